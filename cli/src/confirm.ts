/** Asks before something is lost. */

import { createInterface } from 'node:readline/promises';
import { EXIT, Failure } from './failure.js';

/** Goes on if it was said before, with `--yes`, or is said now; throws otherwise. Without a terminal nobody is asked. */
export async function confirm(question: string, yes: boolean): Promise<void> {
    if (yes) {
        return;
    }
    if (!process.stdin.isTTY || !process.stderr.isTTY) {
        throw new Failure(`${question} Nothing was changed: say --yes if that is meant`, EXIT.unconfirmed);
    }
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    try {
        const answer = await terminal.question(`${question} [y/N] `);
        if (!/^y(es)?$/i.test(answer.trim())) {
            throw new Failure('nothing was changed', EXIT.unconfirmed);
        }
    } finally {
        terminal.close();
    }
}
