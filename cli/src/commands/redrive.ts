/** `gears redrive`: delivers dead letters to their consumer once more, and follows what becomes of them. */

import { shardOf, withShards } from '../cluster.js';
import type { Address } from '../connection.js';
import { Failure } from '../failure.js';
import { placesOf, redriveSome, redrivesOf, type Wanted } from '../letters.js';
import { outcomeOf, type Outcome } from '../outcome.js';
import { table, visible, type Output } from '../output.js';
import { plural } from '../words.js';

export interface RedriveOptions extends Address {
    readonly stream?: string;
    readonly error?: string;
    /** At most so many letters. */
    readonly count: number;
    /** For how many seconds to wait for the outcome. */
    readonly wait: number;
}

const POLL_MS = 50;

export async function redrive(
    library: string,
    consumer: string,
    options: RedriveOptions,
    output: Output,
): Promise<void> {
    await withShards(options, async shards => {
        const wanted: Wanted = {
            ...(options.stream === undefined ? {} : { stream: Buffer.from(options.stream) }),
            ...(options.error === undefined ? {} : { error: options.error }),
        };
        const concerned = wanted.stream === undefined ? shards : [await shardOf(shards, wanted.stream)];
        const servers = concerned.map(({ redis }) => redis);
        const before = await redrivesOf(servers, library, consumer);
        let delivered = 0;
        for await (const at of placesOf(shards, library, consumer, wanted)) {
            const count = options.count - delivered;
            if (count === 0) {
                break;
            }
            delivered += await redriveSome(at.redis, library, consumer, { ...at.wanted, count });
        }
        const deadline = Date.now() + options.wait * 1000;
        for (;;) {
            const now = await redrivesOf(servers, library, consumer);
            const outcome = outcomeOf(before, now, delivered);
            // Where none waits and not all have ended, the others were forgotten.
            const isForgotten = outcome.open > 0 && now.open === 0;
            if (outcome.open === 0 || isForgotten || Date.now() >= deadline) {
                report({ library, consumer, delivered, ...outcome }, isForgotten, options, output);
                return;
            }
            await new Promise(resolve => setTimeout(resolve, POLL_MS));
        }
    });
}

interface Result extends Outcome {
    readonly library: string;
    readonly consumer: string;
    readonly delivered: number;
}

function report(result: Result, isForgotten: boolean, options: RedriveOptions, output: Output): void {
    output.result(result, () => text(result));
    if (result.delivered === options.count && !output.json) {
        output.note(`There may be more than ${plural(options.count, 'letter')}: --count takes more of them`);
    }
    if (result.failed > 0) {
        throw new Failure('some letters failed again: they are at the end, with the new error');
    }
    if (isForgotten) {
        throw new Failure('some were forgotten, as where their stream is gone, or at a restart: their letters are still there');
    }
    if (result.open > 0 && options.wait > 0) {
        throw new Failure(`not all have ended after ${options.wait} seconds`);
    }
}

function text(result: Result): string {
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
