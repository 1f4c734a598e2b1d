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
    /** Those about streams that are gone, too, which takes a look at all keys where each stream has its own letters. */
    readonly gone?: boolean;
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

/** A page of the keys of the streams that a consumer knows on that server, in the database of the connection. */
async function streamPage(
    redis: Redis,
    library: string,
    consumer: string,
    cursor: string,
): Promise<{ next: string; streams: Buffer[] }> {
    const args = ['STREAMS', library, consumer, 'CURSOR', cursor, 'COUNT', PAGE];
    const [next, streams] = (await callBytes(redis, 'RG.CONSUMER', ...args)) as [Buffer, Reply[]];
    const here = streams.map(each => new Fields(each)).filter(each => each.number('db') === (redis.options.db ?? 0));
    return { next: String(next), streams: here.map(each => each.bytes('name')) };
}

/** The keys of all of them. */
async function* streamsOf(redis: Redis, library: string, consumer: string): AsyncGenerator<Buffer> {
    for (let cursor = '0'; ; ) {
        const { next, streams } = await streamPage(redis, library, consumer, cursor);
        yield* streams;
        if (next === '0') {
            return;
        }
        cursor = next;
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
    const { shard, isOfEachStream, deadLetter } = await homeOf(shards, first, library, consumer);
    if (!isOfEachStream) {
        yield { redis: shard.redis, wanted };
        return;
    }
    for (const { redis } of shards) {
        const known = new Set<string>();
        for await (const stream of streamsOf(redis, library, consumer)) {
            known.add(stream.toString('latin1'));
            yield { redis, wanted: { ...wanted, stream } };
        }
        if (wanted.gone === true && deadLetter !== null) {
            for await (const stream of goneStreams(redis, library, consumer, deadLetter, known)) {
                yield { redis, wanted: { ...wanted, stream } };
            }
        }
    }
}

/**
 * Streams that letters on this server are about, and that are not `known`: their consumer forgets a stream that is deleted
 * or has expired, so no list has them.
 */
async function* goneStreams(
    redis: Redis,
    library: string,
    consumer: string,
    deadLetter: Buffer,
    known: Set<string>,
): AsyncGenerator<Buffer> {
    for await (const key of letterStreams(redis, deadLetter)) {
        for (let start = '-'; ; ) {
            const page = (await callBytes(redis, 'XRANGE', key, start, '+', 'COUNT', PAGE)) as [Buffer, Buffer[]][];
            for (const [, [, ofLibrary, , ofConsumer, , stream]] of page) {
                const isOwn = ofLibrary?.toString() === library && ofConsumer?.toString() === consumer;
                const name = stream?.toString('latin1');
                if (isOwn && stream !== undefined && name !== undefined && !known.has(name)) {
                    known.add(name);
                    yield stream;
                }
            }
            const last = page.at(-1);
            if (last === undefined || page.length < PAGE) {
                break;
            }
            start = `(${last[0].toString()}`;
        }
    }
}

/** The keys of all streams that are called as a dead letter stream with a `{}` is, whatever the hash tag. */
async function* letterStreams(redis: Redis, deadLetter: Buffer): AsyncGenerator<Buffer> {
    const name = deadLetter.toString('latin1').replace(/[\\*?[\]]/g, '\\$&');
    const pattern = Buffer.from(name.replace(TAG, '{*}'), 'latin1');
    const seen = new Set<string>();
    for (let cursor = '0'; ; ) {
        const args = [cursor, 'MATCH', pattern, 'COUNT', PAGE, 'TYPE', 'stream'];
        const [next, found] = (await callBytes(redis, 'SCAN', ...args)) as [Buffer, Buffer[]];
        for (const key of found) {
            const text = key.toString('latin1');
            // SCAN may give a key more than once.
            if (!seen.has(text)) {
                seen.add(text);
                yield key;
            }
        }
        cursor = next.toString();
        if (cursor === '0') {
            return;
        }
    }
}

/** Where letters about the streams of one shard are. */
export interface Home {
    readonly shard: Shard;
    /** Whether there are letters of each stream by itself, and so no order of all of them. */
    readonly isOfEachStream: boolean;
    /** The name of the stream that they are in, with its `{}`; null where nobody may tell. */
    readonly deadLetter: Buffer | null;
}

/** Where a consumer's letters about the streams of that shard are. */
export async function homeOf(
    shards: readonly Shard[],
    shard: Shard,
    library: string,
    consumer: string,
): Promise<Home> {
    const deadLetter = await deadLetterOf(shard.redis, library, consumer);
    if (deadLetter?.includes(TAG) === true) {
        return { shard, isOfEachStream: true, deadLetter };
    }
    const home = deadLetter === null ? shard : await shardOf(shards, deadLetter);
    return { shard: home, isOfEachStream: false, deadLetter };
}

/** A page of letters looks for them in streams for so long. */
const LOOK_MS = 500;

/** Where a page of letters ends that are of each stream by itself. */
interface Place {
    /** The cursor of the streams' page, and the stream in it; null for the first one. */
    readonly page: string;
    readonly stream: Buffer | null;
    /** The cursor of that stream's letters. */
    readonly letters: string;
}

function cursorOf({ page, stream, letters }: Place): string {
    return Buffer.from(JSON.stringify([page, stream?.toString('base64') ?? null, letters])).toString('base64url');
}

function placeOf(cursor: string): Place {
    if (cursor === '0') {
        return { page: '0', stream: null, letters: '0' };
    }
    try {
        const [page, stream, letters] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as (string | null)[];
        return {
            page: String(page),
            stream: typeof stream === 'string' ? Buffer.from(stream, 'base64') : null,
            letters: String(letters),
        };
    } catch {
        throw new Failure(`'${cursor}' is no cursor of letters`);
    }
}

/**
 * A page of the letters about the streams of a shard. Where each stream has its own they come stream by stream, and a page
 * may be short or empty although more follows.
 */
export async function letterPageOf(
    { shard: { redis }, isOfEachStream }: Home,
    library: string,
    consumer: string,
    wanted: Wanted & { readonly cursor: string; readonly count: number },
): Promise<{ cursor: string; letters: Letter[] }> {
    if (!isOfEachStream) {
        return letterPage(redis, library, consumer, wanted);
    }
    const found: Letter[] = [];
    const deadline = Date.now() + LOOK_MS;
    const isFull = (): boolean => found.length >= wanted.count || Date.now() > deadline;
    for (let at = placeOf(wanted.cursor); ; ) {
        const { next, streams } = await streamPage(redis, library, consumer, at.page);
        const resumed = at.stream === null ? -1 : streams.findIndex(each => at.stream?.equals(each));
        // If the stream is gone meanwhile its page begins anew: rather a letter twice than one left out.
        for (let index = Math.max(0, resumed); index < streams.length; index += 1) {
            const stream = streams[index] ?? Buffer.alloc(0);
            let cursor = index === resumed ? at.letters : '0';
            do {
                const count = Math.max(1, wanted.count - found.length);
                const page = await letterPage(redis, library, consumer, { ...wanted, stream, cursor, count });
                found.push(...page.letters);
                cursor = page.cursor;
                if (cursor !== '0' && isFull()) {
                    return { cursor: cursorOf({ page: at.page, stream, letters: cursor }), letters: found };
                }
            } while (cursor !== '0');
            const following = streams[index + 1];
            if (following !== undefined && isFull()) {
                return { cursor: cursorOf({ page: at.page, stream: following, letters: '0' }), letters: found };
            }
        }
        if (next === '0') {
            return { cursor: '0', letters: found };
        }
        at = { page: next, stream: null, letters: '0' };
        if (isFull()) {
            return { cursor: cursorOf(at), letters: found };
        }
    }
}

/** Hands letters about the streams of a shard to their consumer again: one of a stream, or those that are wanted. */
export async function redriveOf(
    { shard: { redis }, isOfEachStream }: Home,
    library: string,
    consumer: string,
    { stream, ...wanted }: Wanted & { readonly letter?: string },
): Promise<number> {
    if (!isOfEachStream) {
        return redriveSome(redis, library, consumer, wanted);
    }
    if (stream !== undefined) {
        return redriveSome(redis, library, consumer, { ...wanted, stream });
    }
    let redriven = 0;
    for await (const each of streamsOf(redis, library, consumer)) {
        const count = MOST_REDRIVEN - redriven;
        if (count === 0) {
            break;
        }
        redriven += await redriveSome(redis, library, consumer, { ...wanted, stream: each, count });
    }
    return redriven;
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
            ? [...chosen(wanted.stream === undefined ? {} : { stream: wanted.stream }), 'ID', wanted.letter]
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
