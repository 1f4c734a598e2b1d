/** Dead letters: the entries that a consumer gave up, in the stream that its option `dead_letter` names. */

import type { Redis } from 'ioredis';
import { shardOf, type Shard } from './cluster.js';
import { Failure } from './failure.js';
import type { Redrives } from './outcome.js';
import { Fields, type Reply } from './replies.js';
import { call, callBytes, consumerFigures } from './server.js';

export interface Letter {
    /** Its ID in the dead letter stream. */
    readonly letter: string;
    /** The key and the ID of the entry that was given up. */
    readonly stream: Buffer;
    readonly id: string;
    readonly error: string;
    /** Where in the code the last attempt failed; null where nobody knows. */
    readonly stack: string | null;
    readonly attempts: number;
    /** How often it was redriven in vain. */
    readonly redrives: number;
    /** Unix milliseconds: of the first attempt, and of the last failure. */
    readonly first_time: number;
    readonly time: number;
    /** The entry's own fields, as they were: a name may come twice. */
    readonly fields: readonly (readonly [Buffer, Buffer])[];
}

/** Which letters; where nothing is said, all of them. */
export interface Wanted {
    /** Only those about this stream. */
    readonly stream?: Buffer;
    /** Only those whose error matches this pattern, as that of KEYS. */
    readonly error?: string;
}

/** How many letters are asked for at a time: the server gives no more. */
const PAGE = 1000;

function chosen({ stream, error }: Wanted): (string | Buffer)[] {
    return [...(stream === undefined ? [] : ['STREAM', stream]), ...(error === undefined ? [] : ['ERROR', error])];
}

/** A page of a consumer's letters, the oldest first. The cursor is '0' where there is no next page. */
export async function letterPage(
    redis: Redis,
    library: string,
    consumer: string,
    wanted: Wanted & { readonly cursor: string; readonly count: number },
): Promise<{ cursor: string; letters: Letter[] }> {
    const args = ['LETTERS', library, consumer, ...chosen(wanted), 'CURSOR', wanted.cursor, 'COUNT', wanted.count];
    const [cursor, letters] = (await callBytes(redis, 'RG.CONSUMER', ...args)) as [Buffer, Reply[]];
    return {
        cursor: cursor.toString(),
        letters: letters.map(each => {
            const fields = new Fields(each);
            const own = fields.list('fields') as Buffer[];
            return {
                letter: fields.text('letter'),
                stream: fields.bytes('stream'),
                id: fields.text('id'),
                error: fields.text('error'),
                stack: fields.error('stack'),
                attempts: fields.number('attempts'),
                redrives: fields.number('redrives'),
                first_time: fields.number('first_time'),
                time: fields.number('time'),
                fields: own.flatMap((name, at): [Buffer, Buffer][] =>
                    at % 2 === 0 ? [[name, own[at + 1] ?? Buffer.alloc(0)]] : [],
                ),
            };
        }),
    };
}

/** A consumer's letters, the oldest first, however many pages they are. */
export async function* letters(
    redis: Redis,
    library: string,
    consumer: string,
    wanted: Wanted = {},
): AsyncGenerator<Letter> {
    for (let cursor = '0'; ; ) {
        const page = await letterPage(redis, library, consumer, { ...wanted, cursor, count: PAGE });
        yield* page.letters;
        if (page.cursor === '0') {
            return;
        }
        cursor = page.cursor;
    }
}

/** The keys of the streams that a consumer knows on that server. */
async function* streamsOf(redis: Redis, library: string, consumer: string): AsyncGenerator<Buffer> {
    for (let cursor = '0'; ; ) {
        const args = ['STREAMS', library, consumer, 'CURSOR', cursor, 'COUNT', PAGE];
        const [next, streams] = (await callBytes(redis, 'RG.CONSUMER', ...args)) as [Buffer, Reply[]];
        for (const each of streams) {
            yield new Fields(each).bytes('name');
        }
        if (String(next) === '0') {
            return;
        }
        cursor = String(next);
    }
}

/** Stands in the name of a dead letter stream for the hash tag of the stream: each has its own letters then. */
const TAG = '{}';

/** Where to ask for letters, and what for: each stream by itself where each has its own. */
export async function* placesOf(
    shards: readonly Shard[],
    library: string,
    consumer: string,
    wanted: Wanted,
): AsyncGenerator<{ readonly redis: Redis; readonly wanted: Wanted }> {
    const [first] = shards;
    if (first === undefined) {
        return;
    }
    if (wanted.stream !== undefined) {
        yield { redis: (await shardOf(shards, wanted.stream)).redis, wanted };
        return;
    }
    const deadLetter = await deadLetterOf(first.redis, library, consumer);
    if (deadLetter === null || !deadLetter.includes(TAG)) {
        yield { redis: (deadLetter === null ? first : await shardOf(shards, deadLetter)).redis, wanted };
        return;
    }
    for (const { redis } of shards) {
        for await (const stream of streamsOf(redis, library, consumer)) {
            yield { redis, wanted: { ...wanted, stream } };
        }
    }
}

/** The name of a consumer's dead letter stream; null where it has none, or the user may not ask. */
async function deadLetterOf(redis: Redis, library: string, consumer: string): Promise<Buffer | null> {
    try {
        return (await consumerFigures(redis, library, consumer)).dead_letter;
    } catch (error) {
        if (error instanceof Failure && error.message.startsWith('NOPERM')) {
            return null;
        }
        throw error;
    }
}

/** How many letters there are of each error, the most frequent first. */
export function byError(all: readonly Letter[]): { error: string; letters: number; streams: number }[] {
    const groups = new Map<string, { letters: number; streams: Set<string> }>();
    for (const letter of all) {
        const group = groups.get(letter.error) ?? { letters: 0, streams: new Set() };
        group.letters += 1;
        group.streams.add(letter.stream.toString('latin1'));
        groups.set(letter.error, group);
    }
    return [...groups]
        .map(([error, group]) => ({ error, letters: group.letters, streams: group.streams.size }))
        .sort((a, b) => b.letters - a.letters);
}

/** So many letters are redriven at once at most. */
export const MOST_REDRIVEN = 10_000;

/** Hands letters to their consumer again: one, or those that are wanted, the oldest first. Gives how many. */
export async function redriveSome(
    redis: Redis,
    library: string,
    consumer: string,
    wanted: Wanted & { readonly letter?: string; readonly count?: number },
): Promise<number> {
    const which =
        wanted.letter !== undefined
            ? ['ID', wanted.letter]
            : [...chosen(wanted), 'COUNT', wanted.count ?? MOST_REDRIVEN];
    return (await call(redis, 'RG.CONSUMER', 'REDRIVE', library, consumer, ...which)) as number;
}

/** What all these servers together count of a consumer's redrives. */
export async function redrivesOf(all: readonly Redis[], library: string, consumer: string): Promise<Redrives> {
    const parts = await Promise.all(all.map(redis => redrives(redis, library, consumer)));
    const sum = (of: (each: Redrives) => number): number => parts.reduce((total, each) => total + of(each), 0);
    const errors: Record<string, number> = {};
    for (const [name, times] of parts.flatMap(each => Object.entries(each.errors))) {
        errors[name] = (errors[name] ?? 0) + times;
    }
    return {
        open: sum(each => each.open),
        ok: sum(each => each.ok),
        failed: sum(each => each.failed),
        errors,
        last_error: parts.map(each => each.last_error).findLast(error => error !== null) ?? null,
    };
}

/** What the server counts of a consumer's redrives. */
export async function redrives(redis: Redis, library: string, consumer: string): Promise<Redrives> {
    const fields = new Fields((await call(redis, 'RG.CONSUMER', 'REDRIVES', library, consumer)) as Reply);
    const errors = new Fields(fields.raw('errors')).entries().map(([name, times]) => [name, Number(times)] as const);
    return {
        open: fields.number('waiting') + fields.number('running'),
        ok: fields.number('ok'),
        failed: fields.number('failed'),
        errors: Object.fromEntries(errors),
        last_error: fields.error('last_error'),
    };
}
