/** What the module tells of its libraries: its replies, with types. */

import type { Redis } from 'ioredis';
import { EXIT, Failure } from './failure.js';
import { Fields, type Reply } from './replies.js';

const NO_MODULE = 'the server has no module redisgears_2';

export interface FunctionState {
    readonly name: string;
    readonly flags: readonly string[];
}

export interface ConsumerState {
    readonly name: string;
    readonly prefix: string;
    readonly window: number;
    readonly trim: boolean;
    /** How many streams it knows. */
    readonly streams: number;
    /** Those that were given and differ from the defaults. */
    readonly options: Readonly<Record<string, Reply>>;
}

export interface TriggerState {
    readonly name: string;
    readonly triggered: number;
    readonly finished: number;
    readonly failed: number;
    readonly dropped: number;
    readonly waiting: number;
    /** Milliseconds of all its events, from each to the end of its callback. */
    readonly total_ms: number;
    readonly last_error: string | null;
}

export interface LibraryState {
    readonly name: string;
    readonly engine: string;
    readonly owner: string;
    /** The JSON text given with CONFIG. */
    readonly config: string | null;
    readonly quarantine: string | null;
    readonly pending_jobs: number;
    /** Which text of this name it is, counted from 1; null where the server keeps no earlier ones. */
    readonly version: number | null;
    /** Unix milliseconds. */
    readonly loaded_at: number | null;
    readonly functions: readonly FunctionState[];
    readonly consumers: readonly ConsumerState[];
    readonly triggers: readonly TriggerState[];
}

/** How a consumer is doing: what RG.CONSUMER INFO says. */
export interface ConsumerFigures {
    readonly library: string;
    readonly consumer: string;
    readonly state: string;
    readonly error: string | null;
    /** Why it is in that state, where the state alone does not say. */
    readonly reason: string | null;
    readonly dead_letter: Buffer | null;
    readonly streams: number;
    readonly processed: number;
    readonly in_flight: number;
    readonly attempts: number;
    readonly failures: number;
    readonly given_up: number;
    readonly dead_letters: number;
    readonly filtered: number;
    readonly lag_ms_p50: number;
    readonly lag_ms_p99: number;
    readonly processing_ms_p50: number;
    readonly processing_ms_p99: number;
    readonly last_error: string | null;
    /** Where in the code, a line for each frame. */
    readonly last_error_stack: string | null;
    readonly last_error_id: string | null;
    /** Unix milliseconds; 0 if there was none. */
    readonly last_error_time: number;
    /** How often each class of errors came. */
    readonly error_classes: Readonly<Record<string, number>>;
    readonly blocked_streams: number;
    /** Entries that are not done; null where the server does not tell. */
    readonly backlog_entries: number | null;
    readonly backlog_exact: boolean;
    readonly oldest_pending_ms: number | null;
    readonly lag_ms_max: number | null;
    readonly processing_ms_max: number | null;
    readonly redriven: number;
    readonly calls: number | null;
    readonly errors: number | null;
    readonly running: number | null;
    readonly duration_ms_p50: number | null;
    readonly duration_ms_p99: number | null;
    readonly duration_ms_max: number | null;
    readonly locked_ms: number | null;
    readonly bytes: number | null;
}

/** What the server itself says. */
export interface ServerInfo {
    readonly product: string;
    readonly version: string;
    readonly role: string;
    readonly uptime_s: number;
    readonly used_memory: number;
    readonly clients: number;
    readonly commands_per_second: number;
}

/** A callback that took long. */
export interface SlowCall {
    readonly id: number;
    /** Unix milliseconds. */
    readonly time: number;
    readonly duration_ms: number;
    readonly library: string;
    readonly kind: string;
    readonly callback: string;
    readonly key: Buffer | null;
    readonly entry_id: string | null;
    readonly stack: string | null;
    /** Which shard of a cluster it was on. */
    readonly shard?: string | null;
}

/** A text of a library that the server keeps. */
export interface Version {
    readonly version: number;
    readonly digest: string;
    /** Unix time in milliseconds; 0 where nobody noted it. */
    readonly loaded_at: number;
    readonly owner: string;
    readonly loaded_by: string;
    readonly bytes: number;
    readonly current: boolean;
}

export interface StreamState {
    readonly name: Buffer;
    readonly db: number;
    readonly state: string;
    readonly position: string;
    readonly pending: number;
    readonly behind_ms: number;
    readonly processed: number;
    readonly last_error: string | null;
}

/** The libraries, or those of these names. */
export async function libraries(redis: Redis, ...names: string[]): Promise<LibraryState[]> {
    const of = names.flatMap(name => ['LIBRARY', name]);
    // Level 1: from level 2 on the reply has every stream, and there may be very many.
    const reply = (await call(redis, 'RG.FUNCTION', 'LIST', ...of, 'v')) as Reply[];
    return reply.map(each => library(new Fields(each)));
}

function library(fields: Fields): LibraryState {
    return {
        name: fields.text('name'),
        engine: fields.text('engine'),
        owner: fields.text('user'),
        config: fields.has('configuration') ? fields.text('configuration') : null,
        quarantine: fields.error('quarantine'),
        pending_jobs: fields.number('pending_jobs'),
        version: fields.optional('version'),
        loaded_at: fields.optional('loaded_at'),
        functions: fields
            .records('functions')
            .map(each => ({ name: each.text('name'), flags: each.list('flags').map(String) })),
        consumers: fields.records('stream_consumers').map(each => ({
            name: each.text('name'),
            prefix: each.text('prefix'),
            window: each.number('window'),
            trim: each.text('trim') === 'enabled',
            streams: each.number('num_streams'),
            options: Object.fromEntries(new Fields(each.raw('options')).entries()),
        })),
        triggers: fields.records('notifications_consumers').map(each => ({
            name: each.text('name'),
            triggered: each.number('num_triggered'),
            finished: each.number('num_finished'),
            failed: each.number('num_failed'),
            dropped: each.number('num_dropped'),
            waiting: each.number('num_waiting'),
            // The spelling is the module's.
            total_ms: each.number('total_exection_time'),
            last_error: each.error('last_error'),
        })),
    };
}

/** The texts of a library that are kept, the newest first. */
export async function versions(redis: Redis, library: string): Promise<Version[]> {
    const reply = (await call(redis, 'RG.FUNCTION', 'VERSIONS', library)) as Reply[];
    return reply.map(each => {
        const fields = new Fields(each);
        return {
            version: fields.number('version'),
            digest: fields.text('digest'),
            loaded_at: fields.number('loaded_at'),
            owner: fields.text('user'),
            loaded_by: fields.text('loaded_by'),
            bytes: fields.number('bytes'),
            current: fields.number('current') === 1,
        };
    });
}

/** How a consumer is doing. */
export async function consumerFigures(redis: Redis, library: string, consumer: string): Promise<ConsumerFigures> {
    // As bytes: the key of a stream need not be UTF-8.
    const fields = new Fields((await callBytes(redis, 'RG.CONSUMER', 'INFO', library, consumer)) as Reply);
    const deadLetter = new Fields(fields.raw('options')).raw('dead_letter');
    return {
        library,
        consumer,
        state: fields.text('state'),
        error: fields.error('error'),
        dead_letter: Buffer.isBuffer(deadLetter) ? deadLetter : null,
        streams: fields.number('streams'),
        processed: fields.number('processed'),
        in_flight: fields.number('in_flight'),
        attempts: fields.number('attempts'),
        failures: fields.number('failures'),
        given_up: fields.number('given_up'),
        dead_letters: fields.number('dead_letters'),
        filtered: fields.number('filtered'),
        lag_ms_p50: fields.number('lag_ms_p50'),
        lag_ms_p99: fields.number('lag_ms_p99'),
        processing_ms_p50: fields.number('processing_ms_p50'),
        processing_ms_p99: fields.number('processing_ms_p99'),
        reason: fields.error('reason'),
        last_error: fields.error('last_error'),
        last_error_stack: fields.error('last_error_stack'),
        last_error_id: fields.error('last_error_id'),
        last_error_time: fields.number('last_error_time'),
        error_classes: Object.fromEntries(
            new Fields(fields.raw('error_classes')).entries().map(([name, count]) => [name, Number(count)]),
        ),
        blocked_streams: fields.number('blocked_streams'),
        backlog_entries: fields.optional('backlog_entries'),
        backlog_exact: fields.number('backlog_exact') === 1,
        oldest_pending_ms: fields.optional('oldest_pending_ms'),
        lag_ms_max: fields.optional('lag_ms_max'),
        processing_ms_max: fields.optional('processing_ms_max'),
        redriven: fields.number('redriven'),
        calls: fields.optional('calls'),
        errors: fields.optional('errors'),
        running: fields.optional('running'),
        duration_ms_p50: fields.optional('duration_ms_p50'),
        duration_ms_p99: fields.optional('duration_ms_p99'),
        duration_ms_max: fields.optional('duration_ms_max'),
        locked_ms: fields.optional('locked_ms'),
        bytes: fields.optional('bytes'),
    };
}

/** So many of a consumer's streams: those that are furthest behind, the furthest first. */
export async function streamsBehind(
    redis: Redis,
    library: string,
    consumer: string,
    count: number,
): Promise<StreamState[]> {
    const reply = await callBytes(redis, 'RG.CONSUMER', 'STREAMS', library, consumer, 'BYLAG', 'COUNT', count);
    const streams = (reply as [Buffer, Reply[]])[1];
    return streams.map(each => {
        const fields = new Fields(each);
        return {
            name: fields.bytes('name'),
            db: fields.number('db'),
            state: fields.text('state'),
            position: fields.text('position'),
            pending: fields.number('pending'),
            behind_ms: fields.number('behind_ms'),
            processed: fields.number('processed'),
            last_error: fields.error('last_error'),
        };
    });
}

/** The fields of one section of INFO that belong to the module, without its name in front. */
export async function moduleInfo(redis: Redis, section: string): Promise<Map<string, string>> {
    const text = (await call(redis, 'INFO', `redisgears_2_${section}`)) as string;
    const fields = new Map<string, string>();
    for (const line of text.split(/\r?\n/)) {
        const colon = line.indexOf(':');
        if (colon > 0 && !line.startsWith('#')) {
            fields.set(line.slice(0, colon).replace(/^redisgears_2_/, ''), line.slice(colon + 1));
        }
    }
    return fields;
}

/** What the server itself says; null where the user may not ask. */
export async function serverInfo(redis: Redis): Promise<ServerInfo | null> {
    const fields = new Map<string, string>();
    const sections = ['server', 'clients', 'memory', 'stats', 'replication'];
    for (const text of await Promise.all(sections.map(section => redis.info(section).catch(() => '')))) {
        for (const line of text.split(/\r?\n/)) {
            const colon = line.indexOf(':');
            fields.set(line.slice(0, Math.max(colon, 0)), line.slice(colon + 1));
        }
    }
    const valkey = fields.get('valkey_version');
    const version = valkey ?? fields.get('redis_version');
    if (version === undefined) {
        return null;
    }
    const number = (name: string): number => Number(fields.get(name) ?? 0);
    return {
        product: valkey === undefined ? 'Redis' : 'Valkey',
        version,
        role: fields.get('role') ?? '',
        uptime_s: number('uptime_in_seconds'),
        used_memory: number('used_memory'),
        clients: number('connected_clients'),
        commands_per_second: number('instantaneous_ops_per_sec'),
    };
}

/** The callbacks that took long, the newest first; null where the server keeps no such log. */
export async function slowCalls(redis: Redis, count: number): Promise<SlowCall[] | null> {
    let reply: Reply[];
    try {
        reply = (await callBytes(redis, 'RG.SLOWLOG', 'GET', count)) as Reply[];
    } catch (error) {
        if (error instanceof Failure && error.exitCode === EXIT.failed && error.message === NO_MODULE) {
            return null;
        }
        throw error;
    }
    return reply.map(each => {
        const fields = new Fields(each);
        const key = fields.raw('key');
        return {
            id: fields.number('id'),
            time: fields.number('time'),
            duration_ms: fields.number('duration_ms'),
            library: fields.text('library'),
            kind: fields.text('kind'),
            callback: fields.text('callback'),
            key: Buffer.isBuffer(key) && fields.error('key') !== null ? key : null,
            entry_id: fields.error('entry_id'),
            stack: fields.error('stack'),
        };
    });
}

/** Sends a command. What the server refuses is an error of the user's, and so has no stack. */
export async function call(redis: Redis, command: string, ...args: (string | Buffer | number)[]): Promise<unknown> {
    return refusable(redis.call(command, ...args), command);
}

/** The same, for a reply as bytes. */
export async function callBytes(
    redis: Redis,
    command: string,
    ...args: (string | Buffer | number)[]
): Promise<unknown> {
    return refusable(redis.callBuffer(command, ...args), command);
}

async function refusable(reply: Promise<unknown>, command: string): Promise<unknown> {
    try {
        return await reply;
    } catch (error) {
        if (error instanceof Error && error.name === 'ReplyError') {
            const missing = /unknown command/i.test(error.message) && command.startsWith('RG.');
            throw new Failure(missing ? NO_MODULE : error.message);
        }
        throw error;
    }
}
