/** How everything stands at one moment: what the exporter, `gears top` and the dashboard read from the server. */

import type { Redis } from 'ioredis';
import { Fields } from '../replies.js';
import {
    consumerFigures,
    libraries,
    moduleInfo,
    serverInfo,
    streamsBehind,
    type ConsumerFigures,
    type LibraryState,
    type ServerInfo,
} from '../server.js';

export interface ConsumerStanding extends ConsumerFigures {
    /** How long the stream that is furthest behind has been behind. */
    readonly behind_ms: number;
}

/** A function or a trigger: what it has done since the server began. */
export interface CallbackStanding {
    readonly kind: 'function' | 'trigger';
    readonly library: string;
    readonly name: string;
    /** What INFO says of it, by the names there. */
    readonly figures: Fields;
}

export interface Standing {
    /** Unix milliseconds, by the clock of this machine. */
    readonly time: number;
    /** Null where the user may not ask. */
    readonly server: ServerInfo | null;
    readonly memory: ReadonlyMap<string, string>;
    readonly libraries: readonly LibraryState[];
    /** `used_heap`, `used_buffers` and `memory_limit`, by the library's name as INFO writes it. */
    readonly heaps: ReadonlyMap<string, Fields>;
    readonly consumers: readonly ConsumerStanding[];
    readonly callbacks: readonly CallbackStanding[];
    /** Consumers beyond the most that are read. */
    readonly left_out: number;
}

/** What INFO says of a library's memory, in bytes. */
const HEAP = ['used_heap', 'used_buffers', 'memory_limit'];

/** So many consumers are asked for at once: more would only wait in the server's buffers. */
const AT_ONCE = 50;

/** Reads how all stands, of at most so many consumers. */
export async function readStanding(redis: Redis, mostConsumers: number): Promise<Standing> {
    const [server, memory, ofLibraries, ofFunctions, ofTriggers, all] = await Promise.all([
        serverInfo(redis),
        moduleInfo(redis, 'memory'),
        moduleInfo(redis, 'libraries'),
        moduleInfo(redis, 'functions'),
        moduleInfo(redis, 'triggers'),
        libraries(redis),
    ]);
    const named = all.flatMap(library => library.consumers.map(({ name }) => [library.name, name] as const));
    const shown = named.slice(0, mostConsumers);
    const consumers: ConsumerStanding[] = [];
    for (let at = 0; at < shown.length; at += AT_ONCE) {
        const some = await Promise.all(
            shown.slice(at, at + AT_ONCE).map(([library, consumer]) => readConsumer(redis, library, consumer)),
        );
        consumers.push(...some.filter(each => each !== null));
    }
    const heaps = new Map<string, Fields>();
    for (const [name, value] of ofLibraries) {
        heaps.set(name.replace(/^library_/, ''), infoFields(value));
    }
    const callbacks: CallbackStanding[] = [];
    for (const library of all) {
        const add = (kind: CallbackStanding['kind'], name: string, lines: ReadonlyMap<string, string>): void => {
            const line = lines.get(`${kind}_${infoName(library.name)}_${infoName(name)}`) ?? '';
            callbacks.push({ kind, library: library.name, name, figures: infoFields(line) });
        };
        library.functions.forEach(({ name }) => add('function', name, ofFunctions));
        library.triggers.forEach(({ name }) => add('trigger', name, ofTriggers));
    }
    const time = Date.now();
    return {
        time, server, memory, libraries: all, heaps, consumers, callbacks, left_out: named.length - shown.length,
    };
}

/** What the shards of a cluster have together, but for the consumers and callbacks, which are each shard's own. */
export function together(parts: readonly Standing[]): Standing {
    const [first] = parts;
    if (first === undefined) {
        throw new Error('no shard was read');
    }
    if (parts.length === 1) {
        return first;
    }
    const memory = new Map<string, string>();
    for (const [name, value] of parts.flatMap(part => [...part.memory])) {
        memory.set(name, String(Number(memory.get(name) ?? 0) + Number(value)));
    }
    const libraries = new Map<string, LibraryState>();
    for (const library of parts.flatMap(part => part.libraries)) {
        const known = libraries.get(library.name);
        const shown = known === undefined || known.quarantine === null ? library : known;
        libraries.set(library.name, { ...shown, pending_jobs: (known?.pending_jobs ?? 0) + library.pending_jobs });
    }
    const heaps = new Map<string, Fields>();
    for (const [name, fields] of parts.flatMap(part => [...part.heaps])) {
        const known = heaps.get(name);
        heaps.set(name, new Fields(HEAP.flatMap(each => [each, (known?.number(each) ?? 0) + fields.number(each)])));
    }
    const sum = (of: (server: ServerInfo) => number): number =>
        parts.reduce((total, { server }) => total + (server === null ? 0 : of(server)), 0);
    return {
        ...first,
        server: first.server && {
            ...first.server,
            used_memory: sum(server => server.used_memory),
            clients: sum(server => server.clients),
            commands_per_second: sum(server => server.commands_per_second),
        },
        memory,
        heaps,
        libraries: [...libraries.values()],
        consumers: parts.flatMap(part => part.consumers),
        callbacks: parts.flatMap(part => part.callbacks),
        left_out: parts.reduce((sum, part) => sum + part.left_out, 0),
    };
}

/** A consumer; null if it is gone since the list was made. */
async function readConsumer(redis: Redis, library: string, consumer: string): Promise<ConsumerStanding | null> {
    try {
        const [figures, [furthest]] = await Promise.all([
            consumerFigures(redis, library, consumer),
            streamsBehind(redis, library, consumer, 1),
        ]);
        return { ...figures, behind_ms: furthest?.behind_ms ?? 0 };
    } catch (error) {
        const [is = null] = await libraries(redis, library);
        if (is === null || !is.consumers.some(each => each.name === consumer)) {
            return null;
        }
        throw error;
    }
}

/** A line of INFO, `name=value,name=value`. */
function infoFields(line: string): Fields {
    return new Fields(line.split(',').flatMap(pair => pair.split('=')));
}

/** A name of a library, consumer or callback as INFO writes it. */
export function infoName(name: string): string {
    return name.replace(/[^A-Za-z0-9\-_.]/gu, '_');
}
