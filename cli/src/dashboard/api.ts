/** What the dashboard's page asks for, as JSON. */

import { Failure, textOf } from '../failure.js';
import { homeOf, letterPageOf, redriveOf, redrives, type Home } from '../letters.js';
import { visible } from '../output.js';
import { streamsBehind } from '../server.js';
import { infoName } from '../watch/standing.js';
import { inWords } from '../watch/live_shards.js';
import { age, weight } from '../watch/rates.js';
import type { Watch } from '../watch/watch.js';

/** A request that is wrong. */
export class BadRequest extends Error {}

type Query = URLSearchParams;
type Answer = (watch: Watch, query: Query) => unknown;

/** So many rows at most of a table in the page. */
const MOST_ROWS = 1000;

export const QUESTIONS: Readonly<Record<string, Answer>> = {
    standing: watch => standing(watch),
    history: (watch, query) =>
        watch.history.plot(
            query.has('consumer')
                ? { library: text(query, 'library'), consumer: text(query, 'consumer'), shard: shardName(query) }
                : null,
        ),
    streams: async (watch, query) => {
        const count = number(query, 'count', 20, MOST_ROWS);
        const { redis } = watch.shard(shardName(query));
        return (await streamsBehind(redis, text(query, 'library'), text(query, 'consumer'), count)).map(
            stream => ({ ...stream, name: visible(stream.name) }),
        );
    },
    letters: async (watch, query) => {
        const [library, consumer] = [text(query, 'library'), text(query, 'consumer')];
        const page = await letterPageOf(await home(watch, shardName(query), library, consumer), library, consumer, {
            cursor: query.get('cursor') ?? '0',
            count: number(query, 'count', 50, MOST_ROWS),
            ...(query.get('error') ? { error: text(query, 'error') } : {}),
        });
        return {
            cursor: page.cursor,
            letters: page.letters.map(letter => ({
                ...letter,
                error: watch.places.resolve(letter.error, letter.time),
                stack: watch.places.resolve(letter.stack, letter.time),
                stream: visible(letter.stream),
                // The key itself, to name it in a redrive.
                key: letter.stream.toString('base64'),
                fields: letter.fields.map(pair => pair.map(visible)),
            })),
        };
    },
    redrives: async (watch, query) => {
        const [library, consumer] = [text(query, 'library'), text(query, 'consumer')];
        const { shard } = await home(watch, shardName(query), library, consumer);
        return redrives(shard.redis, library, consumer);
    },
    slow: async (watch, query) => {
        const calls = await watch.slowCalls(number(query, 'count', 50, MOST_ROWS));
        return calls?.map(each => ({ ...each, key: each.key === null ? null : visible(each.key) })) ?? null;
    },
};

/** Hands letters to their consumer again: one, those of an error, or all. Gives what was counted before, and how many. */
export async function redrive(watch: Watch, body: unknown): Promise<unknown> {
    const given = (body ?? {}) as Record<string, unknown>;
    const field = (name: string): string => {
        const value = given[name];
        if (typeof value !== 'string' || value === '') {
            throw new BadRequest(`'${name}' must be a text`);
        }
        return value;
    };
    const [library, consumer] = [field('library'), field('consumer')];
    const wanted = {
        ...(given['error'] === undefined ? {} : { error: field('error') }),
        ...(given['letter'] === undefined ? {} : { letter: field('letter') }),
        ...(given['key'] === undefined ? {} : { stream: Buffer.from(field('key'), 'base64') }),
    };
    const place = await home(watch, given['shard'] == null ? null : field('shard'), library, consumer);
    const before = await redrives(place.shard.redis, library, consumer);
    return { before, redriven: await redriveOf(place, library, consumer, wanted) };
}

/** Where a consumer's letters about the streams of that shard are. */
async function home(watch: Watch, shard: string | null, library: string, consumer: string): Promise<Home> {
    return homeOf(watch.shards, watch.shard(shard), library, consumer);
}

/** The shard that a consumer is on; null outside a cluster. */
function shardName(query: Query): string | null {
    return query.get('shard') || null;
}

function standing(watch: Watch): unknown {
    const { view, problem } = watch;
    if (view === null) {
        return { problem: problem ?? 'nothing was read yet' };
    }
    const { standing, missing } = view;
    const rank = [...view.consumers].sort((a, b) => weight(b.trouble) - weight(a.trouble) || age(b) - age(a));
    return {
        problem: problem ?? (inWords(missing) || null),
        time: standing.time,
        server: standing.server,
        memory: {
            used: Number(standing.memory.get('used_by_libraries') ?? 0),
            limit: Number(standing.memory.get('limit_of_libraries') ?? 0),
            streams: Number(standing.memory.get('streams_bytes') ?? 0),
        },
        left_out: standing.left_out,
        shards: view.shards,
        libraries: standing.libraries.map(library => {
            const heap = standing.heaps.get(infoName(library.name));
            return {
                name: library.name,
                engine: library.engine,
                owner: library.owner,
                quarantine: library.quarantine,
                pending_jobs: library.pending_jobs,
                version: library.version,
                loaded_at: library.loaded_at,
                functions: library.functions.length,
                consumers: library.consumers.length,
                triggers: library.triggers.length,
                heap: heap?.number('used_heap') ?? 0,
                buffers: heap?.number('used_buffers') ?? 0,
                memory_limit: heap?.number('memory_limit') ?? 0,
            };
        }),
        consumers: rank.slice(0, MOST_ROWS).map(({ dead_letter, ...each }) => ({
            ...each,
            age_ms: age({ ...each, dead_letter }),
            dead_letter: dead_letter === null ? null : visible(dead_letter),
        })),
        callbacks: view.callbacks.slice(0, MOST_ROWS),
    };
}

function text(query: Query, name: string): string {
    const value = query.get(name);
    if (value === null || value === '') {
        throw new BadRequest(`'${name}' is missing`);
    }
    return value;
}

function number(query: Query, name: string, otherwise: number, most: number): number {
    const given = query.get(name);
    const value = given === null ? otherwise : Number(given);
    if (!Number.isInteger(value) || value < 1 || value > most) {
        throw new BadRequest(`'${name}' must be a whole number from 1 to ${most}`);
    }
    return value;
}

/** The status and the text for an error of the above. */
export function explain(error: unknown): { status: number; text: string } {
    if (error instanceof BadRequest) {
        return { status: 400, text: error.message };
    }
    // The server said no, or cannot be reached.
    return { status: error instanceof Failure ? 409 : 502, text: textOf(error) };
}
