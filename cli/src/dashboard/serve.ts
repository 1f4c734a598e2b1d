/** The dashboard's HTTP server: the page's files, what it asks for, and what it may do. */

import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { packageFile } from '../package.js';
import type { Watch } from '../watch/watch.js';
import { BadRequest, explain, QUESTIONS, redrive } from './api.js';
import { Guard, HEADERS } from './guard.js';

const FILES: Readonly<Record<string, readonly [string, string]>> = {
    '/': ['index.html', 'text/html; charset=utf-8'],
    '/dashboard.js': ['dashboard.js', 'text/javascript; charset=utf-8'],
    '/dashboard.css': ['dashboard.css', 'text/css; charset=utf-8'],
};
/** The body of a request has a few names. */
const MOST_BODY_BYTES = 64 * 1024;

export function dashboardServer(watch: Watch, guard: Guard): Server {
    return createServer((request, response) => {
        answer(request, response, watch, guard).catch((error: unknown) => {
            const { status, text } = explain(error);
            send(response, status, { error: text });
        });
    });
}

async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    watch: Watch,
    guard: Guard,
): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const file = FILES[url.pathname];
    const refusal = guard.refusal(request, file === undefined);
    if (refusal !== null) {
        send(response, refusal.status, { error: refusal.text });
    } else if (file !== undefined && request.method === 'GET') {
        response.writeHead(200, { ...HEADERS, 'content-type': file[1] });
        response.end(readFileSync(packageFile(`dist/page/${file[0]}`)));
    } else if (url.pathname === '/api/redrive') {
        if (request.method !== 'POST' || request.headers['content-type'] !== 'application/json') {
            send(response, 405, { error: 'Send JSON with POST' });
            return;
        }
        send(response, 200, await redrive(watch, await body(request)));
    } else {
        const name = /^\/api\/(\w+)$/.exec(url.pathname)?.[1] ?? '';
        const question = Object.hasOwn(QUESTIONS, name) ? QUESTIONS[name] : undefined;
        if (question === undefined || request.method !== 'GET') {
            send(response, question === undefined ? 404 : 405, { error: 'There is nothing here' });
            return;
        }
        send(response, 200, await question(watch, url.searchParams));
    }
}

function send(response: ServerResponse, status: number, value: unknown): void {
    response.writeHead(status, { ...HEADERS, 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
}

async function body(request: IncomingMessage): Promise<unknown> {
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of request as AsyncIterable<Buffer>) {
        bytes += part.length;
        if (bytes > MOST_BODY_BYTES) {
            throw new BadRequest('The request is too long');
        }
        parts.push(part);
    }
    try {
        return JSON.parse(Buffer.concat(parts).toString());
    } catch {
        throw new BadRequest('The body is no JSON');
    }
}
