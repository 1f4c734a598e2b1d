/** Dead letters: the entries that a consumer gave up, in the stream that its option `dead_letter` names. */

import type { Redis } from 'ioredis';
import { Failure } from './failure.js';
import { Fields, type Reply } from './replies.js';
import { call, callBytes, consumerFigures } from './server.js';

export interface Letter {
    /** Its ID in the dead letter stream. */
    readonly letter: string;
    /** The key and the ID of the entry that was given up. */
    readonly stream: Buffer;
    readonly id: string;
    readonly attempts: number;
    readonly error: string;
    /** Unix milliseconds. */
    readonly first_time: number;
    readonly last_time: number;
    /** The entry's own fields, as they were: a name may come twice. */
    readonly fields: readonly (readonly [Buffer, Buffer])[];
}

export interface Wanted {
    /** Only those about this stream. */
    readonly stream?: Buffer;
    /** Only those whose error matches this pattern, in which `*` is any text and `?` any character. */
    readonly error?: string;
}

/** How many entries are read at a time. */
const PAGE = 500;
/** Where a letter that was redriven in vain says how often. */
const REDRIVES_AT = 5;
/** Fields that the module writes in front of the entry's. */
const HEAD = ['library', 'consumer', 'stream', 'id', 'attempts', 'error', 'first_time', 'last_time'];

/** The stream that a consumer's dead letters go to. */
export async function letterStream(redis: Redis, library: string, consumer: string): Promise<Buffer> {
    const { dead_letter } = await consumerFigures(redis, library, consumer);
    if (dead_letter === null) {
        throw new Failure(`consumer '${consumer}' has no option dead_letter: what it gives up is kept nowhere`);
    }
    return dead_letter;
}

/** A consumer's dead letters, the oldest first. Other consumers may have theirs in the same stream. */
export async function* letters(
    redis: Redis,
    library: string,
    consumer: string,
    wanted: Wanted = {},
): AsyncGenerator<Letter> {
    const key = await letterStream(redis, library, consumer);
    const matches = wanted.error === undefined ? () => true : glob(wanted.error);
    for (let from = '-'; ; ) {
        const page = (await callBytes(redis, 'XRANGE', key, from, '+', 'COUNT', PAGE)) as [Buffer, Buffer[]][];
        for (const [id, fields] of page) {
            const letter = parse(id.toString(), fields, library, consumer);
            const isWanted =
                letter !== null &&
                (wanted.stream === undefined || letter.stream.equals(wanted.stream)) &&
                matches(letter.error);
            if (isWanted) {
                yield letter;
            }
        }
        const last = page.at(-1)?.[0];
        if (last === undefined || page.length < PAGE) {
            return;
        }
        from = `(${last.toString()}`;
    }
}

/** An entry of a dead letter stream; null if it is not one of that consumer's letters. */
export function parse(id: string, fields: readonly Reply[], library: string, consumer: string): Letter | null {
    const at = (index: number): Buffer => Buffer.from((fields[2 * index + 1] ?? '') as Buffer);
    if (String(fields[2 * REDRIVES_AT]) === 'redrives') {
        // One that was redriven in vain has a field more.
        fields = fields.toSpliced(2 * REDRIVES_AT, 2);
    }
    if (!HEAD.every((name, index) => String(fields[2 * index]) === name)) {
        return null;
    }
    if (at(0).toString() !== library || at(1).toString() !== consumer) {
        return null;
    }
    const own: [Buffer, Buffer][] = [];
    for (let index = HEAD.length; 2 * index + 1 < fields.length; index += 1) {
        own.push([Buffer.from(fields[2 * index] as Buffer), at(index)]);
    }
    return {
        letter: id,
        stream: at(2),
        id: at(3).toString(),
        attempts: Number(at(4).toString()),
        error: at(5).toString(),
        first_time: Number(at(6).toString()),
        last_time: Number(at(7).toString()),
        fields: own,
    };
}

/** Whether a text matches a pattern as a whole. */
export function glob(pattern: string): (text: string) => boolean {
    const source = [...pattern]
        .map(each => (each === '*' ? '.*' : each === '?' ? '.' : each.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')))
        .join('');
    const expression = new RegExp(`^${source}$`, 'su');
    return text => expression.test(text);
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

/** A letter as the server shows it in pages. */
export interface PagedLetter {
    readonly letter: string;
    readonly stream: Buffer;
    readonly id: string;
    readonly error: string;
    /** Where in the code the last attempt failed; null where nobody knows. */
    readonly stack: string | null;
    readonly attempts: number;
    /** How often it was redriven in vain. */
    readonly redrives: number;
    /** Unix milliseconds, of the last failure. */
    readonly time: number;
    readonly fields: readonly (readonly [Buffer, Buffer])[];
}

/** A page of a consumer's letters, the oldest first. The cursor is '0' where there is no next page. */
export async function letterPage(
    redis: Redis,
    library: string,
    consumer: string,
    wanted: { readonly cursor: string; readonly count: number; readonly error?: string },
): Promise<{ cursor: string; letters: PagedLetter[] }> {
    const of = wanted.error === undefined ? [] : ['ERROR', wanted.error];
    const args = ['LETTERS', library, consumer, ...of, 'CURSOR', wanted.cursor, 'COUNT', wanted.count];
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
                time: fields.number('time'),
                fields: own.flatMap((name, at): [Buffer, Buffer][] =>
                    at % 2 === 0 ? [[name, own[at + 1] ?? Buffer.alloc(0)]] : [],
                ),
            };
        }),
    };
}

/** So many letters are redriven at once at most. */
const MOST_REDRIVEN = 10_000;

/** Hands letters to their consumer again: one, those whose error matches, or all. Gives how many. */
export async function redriveSome(
    redis: Redis,
    library: string,
    consumer: string,
    wanted: { readonly error?: string; readonly letter?: string },
): Promise<number> {
    const which =
        wanted.letter !== undefined
            ? ['ID', wanted.letter]
            : [...(wanted.error === undefined ? [] : ['ERROR', wanted.error]), 'COUNT', MOST_REDRIVEN];
    return (await call(redis, 'RG.CONSUMER', 'REDRIVE', library, consumer, ...which)) as number;
}
