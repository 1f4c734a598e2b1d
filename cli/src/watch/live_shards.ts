/**
 * The primaries of all shards, for as long as a command runs: it goes on where one of them is away, and follows whoever
 * takes over. Outside a cluster the server is the only one.
 */

import type { Redis, RedisOptions } from 'ioredis';
import { connectTo, hostOf, isPrimary, nodes, type Node, type Shard } from '../cluster.js';
import { connect, type Address } from '../connection.js';
import { EXIT, Failure, textOf } from '../failure.js';

/** What came of one shard: its value, or why there is none. */
export type Part<T> = { readonly name: string | null } & (
    | { readonly value: T; readonly problem: null }
    | { readonly value: null; readonly problem: unknown }
);

/** A shard of several that does not answer for so long is left out. Less than Prometheus waits for a scrape, 10 seconds. */
const PATIENCE_MS = 4000;

export class LiveShards {
    readonly #address: Address;
    /** Those that are connected. */
    #shards: Shard[] = [];
    /** The last that was heard of the cluster; empty outside one. */
    #primaries: readonly Node[] = [];
    /** How the first node is connected to, and so all are. */
    #options: RedisOptions | null = null;
    #isEnded = false;

    constructor(address: Address) {
        this.#address = address;
    }

    /** Those that can be asked. */
    get shards(): readonly Shard[] {
        return this.#shards;
    }

    /** Does that on all shards at once. Where none can be reached, and none is known, that is the problem of the only part. */
    async read<T>(work: (redis: Redis) => Promise<T>): Promise<Part<T>[]> {
        try {
            await this.#look();
        } catch (problem) {
            const names = this.#primaries.length === 0 ? [null] : this.#primaries.map(node => this.#nameOf(node));
            return names.map(name => ({ name, value: null, problem }));
        }
        const [alone] = this.#shards;
        if (alone !== undefined && alone.name === null) {
            return [await this.#part(alone.name, async () => work(alone.redis))];
        }
        return Promise.all(
            this.#primaries.map(async node => {
                const name = this.#nameOf(node);
                return this.#part(name, async () => inTime(work(await this.#connected(name, node))));
            }),
        );
    }

    disconnect(): void {
        this.#isEnded = true;
        this.#keep(() => false);
    }

    async #part<T>(name: string | null, work: () => Promise<T>): Promise<Part<T>> {
        try {
            return { name, value: await work(), problem: null };
        } catch (problem) {
            // What the server refuses it would refuse on another connection, too.
            if (!(problem instanceof Failure) || problem.exitCode === EXIT.unreachable) {
                this.#keep(shard => shard.name !== name);
            }
            return { name, value: null, problem };
        }
    }

    /** Asks which nodes are primaries: whoever is connected, else the node of the URL, else one that was a primary. */
    async #look(): Promise<void> {
        this.#keep(shard => shard.redis.status === 'ready');
        for (const { name, redis } of this.#shards) {
            if (name === null) {
                return;
            }
            const all = await inTime(nodes(redis)).catch(() => null);
            if (all !== null) {
                this.#take(all, redis);
                return;
            }
            this.#keep(shard => shard.redis !== redis);
        }
        const known = this.#primaries;
        const ways = [
            async () => connect(this.#address, known.length === 0 ? {} : { commandTimeout: PATIENCE_MS }),
            ...known.map(node => async () => this.#connect(node)),
        ];
        let reason: unknown;
        for (const way of ways) {
            try {
                const redis = this.#opened(await way());
                try {
                    this.#take(await inTime(nodes(redis)), redis);
                } catch (error) {
                    redis.disconnect();
                    throw error;
                }
                return;
            } catch (error) {
                reason ??= error;
            }
        }
        throw reason;
    }

    /** What a node said of its cluster; null where it is in none. */
    #take(all: readonly Node[] | null, redis: Redis): void {
        if (all === null) {
            this.#primaries = [];
            this.#keep(() => false);
            this.#shards = [{ name: null, redis, slots: [[0, 16383]] }];
            return;
        }
        const primaries = all.filter(isPrimary);
        if (primaries.length === 0) {
            throw new Failure('no node of the cluster has slots');
        }
        this.#options ??= redis.options;
        this.#primaries = primaries;
        const slots = new Map(primaries.map(node => [this.#nameOf(node), node.slots]));
        this.#keep(shard => shard.name !== null && slots.has(shard.name));
        this.#shards = this.#shards.map(shard => ({ ...shard, slots: slots.get(shard.name ?? '') ?? [] }));
        if (!this.#shards.some(shard => shard.redis === redis)) {
            const own = primaries.find(node => node.flags.has('myself'));
            if (own === undefined) {
                redis.disconnect();
            } else {
                this.#shards.push({ name: this.#nameOf(own), redis, slots: own.slots });
            }
        }
    }

    async #connected(name: string, node: Node): Promise<Redis> {
        const known = this.#shards.find(shard => shard.name === name);
        if (known !== undefined) {
            return known.redis;
        }
        const redis = this.#opened(await this.#connect(node));
        this.#shards.push({ name, redis, slots: node.slots });
        return redis;
    }

    async #connect(node: Node): Promise<Redis> {
        return connectTo(this.#address, { ...this.#options, commandTimeout: PATIENCE_MS }, node);
    }

    /** A new connection. It was limited as long as nobody else could end it. */
    #opened(redis: Redis): Redis {
        delete redis.options.commandTimeout;
        if (this.#isEnded) {
            redis.disconnect();
            throw new Failure('it has ended');
        }
        return redis;
    }

    #nameOf(node: Node): string {
        return `${hostOf(node, this.#options ?? {})}:${node.port}`;
    }

    /** Ends the connections to the others. */
    #keep(which: (shard: Shard) => boolean): void {
        this.#shards.filter(shard => !which(shard)).forEach(shard => shard.redis.disconnect());
        this.#shards = this.#shards.filter(which);
    }
}

/** A shard of which there is nothing, and why; outside a cluster the shard is null. */
export interface Missing {
    readonly shard: string | null;
    readonly problem: string;
}

export function missingOf(parts: readonly Part<unknown>[]): Missing[] {
    return parts
        .filter(part => part.value === null)
        .map(({ name, problem }) => ({ shard: name, problem: textOf(problem) }));
}

/** That in one line; empty where none is missing. */
export function inWords(missing: readonly Missing[]): string {
    return missing.map(({ shard, problem }) => (shard === null ? problem : `${shard}: ${problem}`)).join('; ');
}

async function inTime<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const end = new Promise<never>((_, reject) => {
        const late = new Failure(`no answer in ${PATIENCE_MS / 1000} seconds`, EXIT.unreachable);
        timer = setTimeout(() => reject(late), PATIENCE_MS);
    });
    try {
        return await Promise.race([work, end]);
    } finally {
        clearTimeout(timer);
    }
}
