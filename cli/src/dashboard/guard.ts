/**
 * Who may talk to the dashboard. It acts with the rights of whoever started it, so no other user of the machine and no
 * other page of the browser may use it:
 *
 * - It listens on the loopback interface alone, and refuses requests that name another host: a page whose name was made
 *   to point here (DNS rebinding) has its own name in `host`.
 * - Each request for data has the token of this run in the header `authorization`. The page has it from its URL's
 *   fragment, which is sent to nobody. It is no cookie: browsers add cookies by themselves, whichever page asks, and give
 *   those of one port to all ports.
 * - No answer allows another origin to read it, and what comes from another origin is refused.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export class Guard {
    readonly token = randomBytes(24).toString('base64url');

    /** Why a request is refused: the status and a text; null if it is not. */
    refusal(request: IncomingMessage, needsToken: boolean): { status: number; text: string } | null {
        const host = request.headers.host ?? '';
        const port = request.socket.localPort;
        if (!['127.0.0.1', 'localhost', '[::1]'].some(name => host === `${name}:${port}`)) {
            return { status: 421, text: 'This is the dashboard of gears, on the loopback interface' };
        }
        const origin = request.headers.origin;
        if (origin !== undefined && origin !== `http://${host}`) {
            return { status: 403, text: 'Requests of other pages are refused' };
        }
        if (needsToken && !this.#knows(request.headers.authorization ?? '')) {
            return { status: 401, text: 'The token is missing or wrong: open the URL that gears dashboard printed' };
        }
        return null;
    }

    #knows(header: string): boolean {
        const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
        return timingSafeEqual(hash(header), hash(`Bearer ${this.token}`));
    }
}

/** For every answer: nothing from elsewhere runs in the page, nobody frames it, nothing of it is kept. */
export const HEADERS: Readonly<Record<string, string>> = {
    'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    'cross-origin-opener-policy': 'same-origin',
    'cache-control': 'no-store',
};
