/** A cluster, of which the URL names one node: the primaries of its shards, and which of them has a key. */

import type { Redis, RedisOptions } from 'ioredis';
import { connect, withServer, type Address } from './connection.js';
import { Failure } from './failure.js';

/** A primary that has slots. Outside a cluster the server is the only one. */
export interface Shard {
    /** `host:port`; null outside a cluster. */
    readonly name: string | null;
    readonly redis: Redis;
    readonly slots: readonly (readonly [first: number, last: number])[];
}

/** A line of CLUSTER NODES. */
export interface Node {
    readonly host: string;
    readonly port: number;
    readonly flags: ReadonlySet<string>;
    readonly slots: readonly (readonly [number, number])[];
}

/** The nodes of the server's cluster; null where it is in none, or the user may not ask. */
export async function nodes(redis: Redis): Promise<Node[] | null> {
    try {
        return readNodes((await redis.call('CLUSTER', 'NODES')) as string);
    } catch (error) {
        if (error instanceof Error && /^(ERR This instance has cluster support disabled|ERR unknown command|NOPERM)/.test(error.message)) {
            return null;
        }
        throw error;
    }
}

/** What CLUSTER NODES says. */
export function readNodes(text: string): Node[] {
    return text.split('\n').filter(line => line !== '').map(line => {
        const [, place = '', flags = '', , , , , , ...slots] = line.split(' ');
        const [, host = '', port = ''] = /^(.*):(\d+)(?:@.*)?$/.exec(place.split(',')[0] ?? '') ?? [];
        return {
            host,
            port: Number(port),
            flags: new Set(flags.split(',')),
            // What is on its way, in brackets, is not there yet.
            slots: slots.filter(range => /^\d/.test(range)).map(range => {
                const [first, last] = range.split('-').map(Number);
                return [first ?? 0, last ?? first ?? 0] as const;
            }),
        };
    });
}

export function isPrimary(node: Node): boolean {
    return node.flags.has('master') && node.slots.length > 0;
}

/** Connects to a node of the cluster, as the URL says but for its place. */
export async function connectTo(address: Address, own: RedisOptions, node: Node): Promise<Redis> {
    const { path: _, ...options } = { ...own, host: hostOf(node, own), port: node.port };
    return connect(address, options, true);
}

/** Where a node is. One that nobody has spoken to by an address does not know its own. */
export function hostOf(node: Node, own: RedisOptions): string {
    return node.host || (own.host ?? '127.0.0.1');
}

/** Connects to the primaries of all shards. Whoever calls this ends the connections with `disconnect`. */
export async function openShards(address: Address): Promise<Shard[]> {
    const own = await connect(address);
    const open: Redis[] = [own];
    try {
        const all = await nodes(own);
        if (all === null) {
            return [{ name: null, redis: own, slots: [[0, 16383]] }];
        }
        const primaries = all.filter(isPrimary);
        if (primaries.length === 0) {
            throw new Failure('no node of the cluster has slots');
        }
        const shards: Shard[] = [];
        for (const node of primaries) {
            const redis = node.flags.has('myself') ? own : await connectTo(address, own.options, node);
            open.push(redis);
            shards.push({ name: `${redis.options.host ?? ''}:${node.port}`, redis, slots: node.slots });
        }
        if (!shards.some(shard => shard.redis === own)) {
            own.disconnect();
        }
        return shards;
    } catch (error) {
        open.forEach(redis => redis.disconnect());
        throw error;
    }
}

/** Connects to all shards, does that, and disconnects, whatever comes of it. */
export async function withShards<T>(address: Address, work: (shards: readonly Shard[]) => Promise<T>): Promise<T> {
    const shards = await openShards(address);
    try {
        return await work(shards);
    } finally {
        shards.forEach(shard => shard.redis.disconnect());
    }
}

/** Connects to a server that takes changes of libraries: in a cluster a primary, where the URL names a replica. */
export async function withPrimary<T>(address: Address, work: (redis: Redis) => Promise<T>): Promise<T> {
    return withServer(address, async redis => {
        const all = (await nodes(redis)) ?? [];
        const primary = all.find(isPrimary);
        if (primary === undefined || !all.some(node => node.flags.has('myself') && node.flags.has('slave'))) {
            return work(redis);
        }
        const other = await connectTo(address, redis.options, primary);
        try {
            return await work(other);
        } finally {
            other.disconnect();
        }
    });
}

/** The shard that has a key. */
export async function shardOf(shards: readonly Shard[], key: Buffer): Promise<Shard> {
    const [first] = shards;
    if (first !== undefined && first.name === null) {
        return first;
    }
    const slot = Number(await first?.redis.call('CLUSTER', 'KEYSLOT', key));
    const shard = shards.find(({ slots }) => slots.some(([from, to]) => from <= slot && slot <= to));
    if (shard === undefined) {
        throw new Failure(`no shard of the cluster has slot ${slot}`);
    }
    return shard;
}
