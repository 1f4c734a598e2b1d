/** Reads again and again how all stands, and keeps the last reading, its rates and the last minutes. */

import { Redis } from 'ioredis';
import { openShards, type Shard } from '../cluster.js';
import { connectionOptions, type Address } from '../connection.js';
import { EXIT, Failure, textOf } from '../failure.js';
import type { Places } from '../places.js';
import { slowCalls, type SlowCall } from '../server.js';
import { History } from './history.js';
import { callbackRows, consumerRows, type CallbackRow, type ConsumerRow } from './rates.js';
import { readStanding, together, type Standing } from './standing.js';

export interface View {
    readonly standing: Standing;
    /** Where there are several shards, each has rows of its own. */
    readonly consumers: readonly ConsumerRow[];
    readonly callbacks: readonly CallbackRow[];
    readonly shards: number;
}

export interface WatchOptions {
    readonly intervalMs: number;
    readonly mostConsumers: number;
    /** How much of the past is kept. */
    readonly keepMs: number;
    /** Whether all shards of a cluster are read, and not the named server alone. */
    readonly allShards?: boolean;
    /** Says where in the source errors came. */
    readonly places: Places;
}

export class Watch {
    readonly redis: Redis;
    readonly history: History;
    readonly places: Places;
    /** The last reading; null before the first. */
    view: View | null = null;
    /** Why the last attempt gave none; null if it did. */
    problem: string | null = null;
    readonly #options: WatchOptions;
    readonly #listeners = new Set<() => void>();
    readonly #address: Address;
    /** The shards that are read, and how each of them stood at the last reading. */
    #shards: readonly Shard[] | null = null;
    #before = new Map<string | null, Standing>();
    #timer: NodeJS.Timeout | undefined;
    #isEnded = false;

    constructor(address: Address, options: WatchOptions) {
        this.#options = options;
        this.#address = address;
        this.places = options.places;
        this.history = new History(options.keepMs);
        // It outlives its server: as long as that is gone, it says so.
        this.redis = new Redis({
            ...connectionOptions(address),
            retryStrategy: times => Math.min(times * 200, 2000),
            enableOfflineQueue: false,
        });
        this.redis.on('error', (error: unknown) => (this.problem = textOf(error)));
    }

    /** Callbacks that took long, the newest first; null where the server keeps no such log. */
    async slowCalls(count: number): Promise<SlowCall[] | null> {
        const parts = await Promise.all(
            this.#servers().map(async ({ name, redis }) =>
                (await slowCalls(redis, count))?.map(each => ({ ...each, shard: name })) ?? null,
            ),
        );
        const calls = parts.some(each => each === null) ? null : parts.flatMap(each => each ?? []);
        return (
            calls
                ?.sort((a, b) => b.time - a.time)
                .slice(0, count)
                .map(each => ({ ...each, stack: this.places.resolve(each.stack, each.time) })) ?? null
        );
    }

    /** Calls that after each reading. */
    onChange(listener: () => void): () => void {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }

    /** Connects, reads once, and goes on. Throws if the first reading fails. */
    async start(): Promise<void> {
        try {
            await this.redis.connect();
            await this.#read();
        } catch (error) {
            throw error instanceof Failure
                ? error
                : new Failure(`cannot connect: ${this.problem ?? textOf(error)}`, EXIT.unreachable);
        }
        this.#schedule();
    }

    stop(): void {
        this.#isEnded = true;
        clearTimeout(this.#timer);
        this.redis.disconnect();
        this.#forgetShards();
    }

    #servers(): readonly Pick<Shard, 'name' | 'redis'>[] {
        return this.#shards ?? [{ name: null, redis: this.redis }];
    }

    /** They are looked for anew: another node may be the primary. */
    #forgetShards(): void {
        this.#shards?.forEach(shard => shard.redis.disconnect());
        this.#shards = null;
    }

    #schedule(): void {
        if (this.#isEnded) {
            return;
        }
        // One reading after another: a slow server is not asked more while it still answers.
        this.#timer = setTimeout(async () => {
            await this.#read().catch((error: unknown) => {
                // Without a connection the cause is what the last attempt to connect said.
                this.problem = this.redis.status === 'ready' ? textOf(error) : (this.problem ?? textOf(error));
            });
            if (!this.#isEnded) {
                this.#listeners.forEach(listener => listener());
            }
            this.#schedule();
        }, this.#options.intervalMs);
    }

    async #read(): Promise<void> {
        if (this.#options.allShards === true) {
            this.#shards ??= await openShards(this.#address);
        }
        const parts = await Promise.all(
            this.#servers().map(async ({ name, redis }) => {
                try {
                    return { name, standing: await readStanding(redis, this.#options.mostConsumers) };
                } catch (error) {
                    this.#forgetShards();
                    throw name === null ? error : new Error(`${name}: ${textOf(error)}`, { cause: error });
                }
            }),
        );
        const standing = together(parts.map(part => part.standing));
        await this.places.update(this.#servers()[0]?.redis ?? this.redis, standing.libraries);
        const placed = <Text extends string | null>(text: Text, time: number): Text => this.places.resolve(text, time);
        const consumers = parts.flatMap(({ name, standing: now }) =>
            consumerRows(now, this.#before.get(name) ?? null).map(row => ({
                ...row,
                shard: name,
                error: placed(row.error, row.last_error_time),
                last_error: placed(row.last_error, row.last_error_time),
                last_error_stack: placed(row.last_error_stack, row.last_error_time),
            })),
        );
        const callbacks = parts.flatMap(({ name, standing: now }) =>
            callbackRows(now, this.#before.get(name) ?? null).map(row => ({
                ...row,
                shard: name,
                last_error: placed(row.last_error, 0),
            })),
        );
        this.#before = new Map(parts.map(part => [part.name, part.standing]));
        this.view = { standing, consumers, callbacks, shards: parts.length };
        this.problem = null;
        const memory = Number(standing.memory.get('used_by_libraries') ?? 0);
        this.history.add(standing.time, memory, consumers);
    }
}
