/** `gears redrive`: delivers dead letters to their consumer once more, and waits for what becomes of them. */

import type { Redis } from 'ioredis';
import { withServer, type Address } from '../connection.js';
import { Failure } from '../failure.js';
import { letterStream, letters } from '../letters.js';
import { table, visible, type Output } from '../output.js';
import { Fields, type Reply } from '../replies.js';
import { call, callBytes } from '../server.js';
import { wanted } from './letters.js';

export interface RedriveOptions extends Address {
    readonly stream?: string;
    /** At most so many letters of each stream. */
    readonly count: number;
    /** For how many seconds to wait for the outcome. */
    readonly wait: number;
}

/** What becomes of one stream's letters. */
interface Run {
    readonly stream: Buffer;
    /** The letters that were there before, the oldest first: the server takes them in this order. */
    readonly letters: readonly string[];
    readonly givenUpBefore: number;
    delivered: number;
    succeeded: number;
    failed: number;
}

const POLL_MS = 50;

export async function redrive(
    library: string,
    consumer: string,
    options: RedriveOptions,
    output: Output,
): Promise<void> {
    await withServer(options, async redis => {
        const key = await letterStream(redis, library, consumer);
        const runs = await prepare(redis, library, consumer, options);
        for (const run of runs) {
            const args = ['REDRIVE', library, consumer, 'STREAM', run.stream, 'COUNT', options.count];
            run.delivered = (await call(redis, 'RG.CONSUMER', ...args)) as number;
        }
        const deadline = Date.now() + options.wait * 1000;
        const isSettled = (run: Run): boolean => run.succeeded + run.failed >= run.delivered;
        for (;;) {
            for (const run of runs.filter(each => !isSettled(each))) {
                await look(redis, library, consumer, key, run);
            }
            if (runs.every(isSettled) || Date.now() >= deadline) {
                break;
            }
            await new Promise(resolve => setTimeout(resolve, POLL_MS));
        }
        report(runs, library, consumer, output);
        const open = runs.some(run => !isSettled(run));
        if (runs.some(run => run.failed > 0)) {
            throw new Failure('some letters failed again: they are at the end, with the new error');
        }
        if (open && options.wait > 0) {
            throw new Failure(`not all have ended after ${options.wait} seconds`);
        }
    });
}

async function prepare(
    redis: Redis,
    library: string,
    consumer: string,
    options: RedriveOptions,
): Promise<Run[]> {
    const streams = new Map<string, { stream: Buffer; letters: string[] }>();
    for await (const letter of letters(redis, library, consumer, wanted(options))) {
        const name = letter.stream.toString('latin1');
        const of = streams.get(name) ?? { stream: letter.stream, letters: [] };
        of.letters.push(letter.letter);
        streams.set(name, of);
    }
    if (streams.size === 0 && options.stream !== undefined) {
        // Is it the stream that is wrong, or are there no letters? The server says which.
        await givenUp(redis, library, consumer, Buffer.from(options.stream));
    }
    const runs: Run[] = [];
    for (const { stream, letters: ids } of streams.values()) {
        const givenUpBefore = await givenUp(redis, library, consumer, stream);
        runs.push({ stream, letters: ids, givenUpBefore, delivered: 0, succeeded: 0, failed: 0 });
    }
    return runs;
}

/** How many entries of a stream were given up. */
async function givenUp(redis: Redis, library: string, consumer: string, stream: Buffer): Promise<number> {
    const reply = await callBytes(redis, 'RG.CONSUMER', 'INFO', library, consumer, 'STREAM', stream);
    return new Fields(reply as Reply).number('given_up');
}

/**
 * Counts what has become of a stream's letters: nothing is left of one that succeeded, and another is at the end in
 * place of one that failed again.
 */
async function look(redis: Redis, library: string, consumer: string, key: Buffer, run: Run): Promise<void> {
    const first = run.letters[0];
    const last = run.letters.at(-1);
    if (first === undefined || last === undefined) {
        return;
    }
    const left = new Set<string>();
    for (let from = first; ; ) {
        const page = (await redis.callBuffer('XRANGE', key, from, last, 'COUNT', 500)) as [Buffer, Buffer[]][];
        page.forEach(([id]) => left.add(id.toString()));
        const end = page.at(-1)?.[0].toString();
        if (end === undefined || page.length < 500) {
            break;
        }
        from = `(${end}`;
    }
    const ended = run.letters.filter(letter => !left.has(letter)).length;
    // Behind the letters: of all that have ended it is known how. Entries that the stream brought meanwhile may have
    // been given up too.
    const failed = (await givenUp(redis, library, consumer, run.stream)) - run.givenUpBefore;
    run.failed = Math.min(failed, ended);
    run.succeeded = ended - run.failed;
}

function report(runs: readonly Run[], library: string, consumer: string, output: Output): void {
    const rows = runs.map(({ stream, delivered, succeeded, failed }) => ({
        stream: visible(stream),
        delivered,
        succeeded,
        failed,
        open: Math.max(0, delivered - succeeded - failed),
    }));
    output.result({ library, consumer, streams: rows }, () =>
        rows.length === 0
            ? 'No dead letters'
            : table(
                  ['STREAM', 'DELIVERED', 'SUCCEEDED', 'FAILED', 'OPEN'],
                  rows.map(row => [row.stream, row.delivered, row.succeeded, row.failed, row.open]),
              ),
    );
}
