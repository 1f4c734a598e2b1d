/** `gears redrive`: delivers dead letters to their consumer once more, and follows what becomes of them. */

import type { Redis } from 'ioredis';
import { withServer, type Address } from '../connection.js';
import { Failure } from '../failure.js';
import { redriveSome } from '../letters.js';
import { table, visible, type Output } from '../output.js';
import { Fields, type Reply } from '../replies.js';
import { call } from '../server.js';
import { plural } from '../words.js';

export interface RedriveOptions extends Address {
    readonly stream?: string;
    readonly error?: string;
    /** At most so many letters. */
    readonly count: number;
    /** For how many seconds to wait for the outcome. */
    readonly wait: number;
}

/** What RG.CONSUMER REDRIVES counts, since the server's process began. */
interface Redrives {
    readonly open: number;
    readonly ok: number;
    readonly failed: number;
    readonly errors: ReadonlyMap<string, number>;
    readonly last_error: string | null;
}

const POLL_MS = 50;

export async function redrive(
    library: string,
    consumer: string,
    options: RedriveOptions,
    output: Output,
): Promise<void> {
    await withServer(options, async redis => {
        const before = await redrives(redis, library, consumer);
        const delivered = await redriveSome(redis, library, consumer, {
            count: options.count,
            ...(options.stream === undefined ? {} : { stream: Buffer.from(options.stream) }),
            ...(options.error === undefined ? {} : { error: options.error }),
        });
        const deadline = Date.now() + options.wait * 1000;
        let now = before;
        let ended = 0;
        for (;;) {
            now = await redrives(redis, library, consumer);
            ended = now.ok - before.ok + (now.failed - before.failed);
            // Where none is open and not all have ended, the others were forgotten, as at a restart.
            if (ended >= delivered || now.open === 0 || Date.now() >= deadline) {
                break;
            }
            await new Promise(resolve => setTimeout(resolve, POLL_MS));
        }
        const result = {
            library,
            consumer,
            delivered,
            ok: Math.max(0, now.ok - before.ok),
            failed: Math.max(0, now.failed - before.failed),
            open: Math.max(0, delivered - ended),
            errors: since(before.errors, now.errors),
            last_error: now.failed > before.failed ? now.last_error : null,
        };
        output.result(result, () => text(result));
        if (delivered === options.count && !output.json) {
            output.note(`There may be more than ${plural(options.count, 'letter')}: --count takes more of them`);
        }
        if (result.failed > 0) {
            throw new Failure('some letters failed again: they are at the end, with the new error');
        }
        if (result.open > 0 && now.open === 0) {
            throw new Failure('some were forgotten, as at a restart of the server: their letters are still there');
        }
        if (result.open > 0 && options.wait > 0) {
            throw new Failure(`not all have ended after ${options.wait} seconds`);
        }
    });
}

async function redrives(redis: Redis, library: string, consumer: string): Promise<Redrives> {
    const fields = new Fields((await call(redis, 'RG.CONSUMER', 'REDRIVES', library, consumer)) as Reply);
    return {
        open: fields.number('waiting') + fields.number('running'),
        ok: fields.number('ok'),
        failed: fields.number('failed'),
        errors: new Map(new Fields(fields.raw('errors')).entries().map(([name, times]) => [name, Number(times)])),
        last_error: fields.error('last_error'),
    };
}

/** How often each class of errors has come since, the most frequent first. */
function since(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): Record<string, number> {
    const grown = [...now]
        .map(([name, times]) => [name, times - (before.get(name) ?? 0)] as const)
        .filter(([, times]) => times > 0)
        .sort((a, b) => b[1] - a[1]);
    return Object.fromEntries(grown);
}

function text(result: {
    delivered: number;
    ok: number;
    failed: number;
    open: number;
    errors: Record<string, number>;
    last_error: string | null;
}): string {
    if (result.delivered === 0) {
        return 'No dead letters';
    }
    const { delivered, ok, failed, open } = result;
    const lines = [table(['DELIVERED', 'OK', 'FAILED', 'OPEN'], [[delivered, ok, failed, open]])];
    if (failed > 0) {
        const classes = Object.entries(result.errors).map(([name, times]) => [times, name] as const);
        lines.push('', table(['FAILED', 'BY ERROR'], classes));
        lines.push('', `The last: ${visible(result.last_error ?? 'nobody knows')}`);
    }
    return lines.join('\n');
}
