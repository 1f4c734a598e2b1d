/** The connection to a server: its address, TLS and user as the command line or the environment give them. */

import { readFileSync } from 'node:fs';
import { Redis, type RedisOptions } from 'ioredis';
import { EXIT, Failure, textOf } from './failure.js';

/** What the options of every command that talks to a server give. */
export interface Address {
    /** `redis://[user[:password]@]host[:port][/db]`; `rediss://` with TLS; `unix:///path`. */
    readonly url?: string;
    /** Files: certificates to trust, and the client's own certificate and key. */
    readonly tlsCa?: string;
    readonly tlsCert?: string;
    readonly tlsKey?: string;
}

const DEFAULT_URL = 'redis://127.0.0.1:6379';
/** How long a server may take to accept a connection. */
const CONNECT_TIMEOUT_MS = 5000;

/** The options of ioredis for an address. `environment` has the URL where the command line has none. */
export function connectionOptions(address: Address, environment: NodeJS.ProcessEnv = process.env): RedisOptions {
    const text = address.url ?? environment['GEARS_URL'] ?? environment['REDIS_URL'] ?? DEFAULT_URL;
    let url: URL;
    try {
        url = new URL(text);
    } catch {
        throw new Failure(`not a URL: expected redis://[user[:password]@]host[:port][/db]`, EXIT.usage);
    }
    const options: RedisOptions = {
        lazyConnect: true,
        connectTimeout: CONNECT_TIMEOUT_MS,
        retryStrategy: () => null,
        maxRetriesPerRequest: 0,
        // It would need the right to run INFO, which not everybody has who may deploy.
        enableReadyCheck: false,
        disableClientInfo: true,
    };
    if (url.username !== '') {
        options.username = decodeURIComponent(url.username);
    }
    if (url.password !== '') {
        options.password = decodeURIComponent(url.password);
    }
    switch (url.protocol) {
        case 'redis:':
        case 'rediss:':
            options.host = url.hostname.replace(/^\[(.*)\]$/, '$1') || '127.0.0.1';
            options.port = url.port === '' ? 6379 : Number(url.port);
            options.db = database(url.pathname.slice(1));
            break;
        case 'unix:':
            options.path = decodeURIComponent(url.pathname);
            options.db = database(url.searchParams.get('db') ?? '');
            break;
        default:
            throw new Failure(`unknown scheme '${url.protocol}' of the URL: expected redis, rediss or unix`, EXIT.usage);
    }
    if (url.protocol === 'rediss:') {
        options.tls = {
            ...(address.tlsCa === undefined ? {} : { ca: file(address.tlsCa) }),
            ...(address.tlsCert === undefined ? {} : { cert: file(address.tlsCert) }),
            ...(address.tlsKey === undefined ? {} : { key: file(address.tlsKey) }),
        };
    } else if ((address.tlsCa ?? address.tlsCert ?? address.tlsKey) !== undefined) {
        throw new Failure('certificates are for URLs that begin with rediss://', EXIT.usage);
    }
    return options;
}

function database(text: string): number {
    if (!/^\d*$/.test(text)) {
        throw new Failure(`'${text}' is not the number of a database`, EXIT.usage);
    }
    return Number(text);
}

function file(path: string): Buffer {
    try {
        return readFileSync(path);
    } catch (error) {
        throw new Failure(`cannot read ${path}: ${textOf(error)}`, EXIT.usage);
    }
}

/** A connection that is ready, as the user of the address. With `isAll`, `more` has all options, and none are read of it. */
export async function connect(address: Address, more: RedisOptions = {}, isAll = false): Promise<Redis> {
    const redis = new Redis({ ...(isAll ? {} : connectionOptions(address)), ...more });
    let first: unknown;
    // Without a listener ioredis prints errors itself. The first one has the cause, what follows are closed connections.
    redis.on('error', error => (first ??= error));
    try {
        await redis.connect();
        await redis.ping().catch((error: unknown) => {
            // Whoever may not even PING may do the rest of what they are here for.
            if (!textOf(error).startsWith('NOPERM')) {
                throw error;
            }
        });
        // A refused AUTH or SELECT is only told in an event, and the connection would go on as another user.
        if (first !== undefined) {
            throw first;
        }
    } catch (error) {
        redis.disconnect();
        throw new Failure(`cannot connect: ${reason(first ?? error)}`, EXIT.unreachable);
    }
    return redis;
}

/** Why a connection failed. Node.js gives a host with several addresses several errors, in one without a text. */
function reason(error: unknown): string {
    const several = error instanceof AggregateError ? (error.errors as unknown[]) : [];
    return several.length > 0 ? several.map(textOf).join('; ') : textOf(error);
}

/** Connects, does that, and disconnects, whatever comes of it. */
export async function withServer<T>(address: Address, work: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = await connect(address);
    try {
        return await work(redis);
    } finally {
        redis.disconnect();
    }
}
