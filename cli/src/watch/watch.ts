/** Reads again and again how all stands, and keeps the last reading, its rates and the last minutes. */

import type { Shard } from '../cluster.js';
import type { Address } from '../connection.js';
import { EXIT, Failure, textOf } from '../failure.js';
import type { Places } from '../places.js';
import { slowCalls, type SlowCall } from '../server.js';
import { History } from './history.js';
import { inWords, LiveShards, missingOf, type Missing } from './live_shards.js';
import { callbackRows, consumerRows, type CallbackRow, type ConsumerRow } from './rates.js';
import { readStanding, together, type Standing } from './standing.js';

export interface View {
    readonly standing: Standing;
    /** Where there are several shards, each has rows of its own. */
    readonly consumers: readonly ConsumerRow[];
    readonly callbacks: readonly CallbackRow[];
    readonly shards: number;
    /** Those of them of which it has nothing. */
    readonly missing: readonly Missing[];
}

export interface WatchOptions {
    readonly intervalMs: number;
    readonly mostConsumers: number;
    /** How much of the past is kept. */
    readonly keepMs: number;
    /** Says where in the source errors came. */
    readonly places: Places;
}

export class Watch {
    readonly history: History;
    readonly places: Places;
    /** The last reading; null before the first. */
    view: View | null = null;
    /** Why the last attempt gave none; null if it gave one. */
    problem: string | null = null;
    readonly #options: WatchOptions;
    readonly #listeners = new Set<() => void>();
    readonly #live: LiveShards;
    /** How each shard stood at the last reading. */
    #before = new Map<string | null, Standing>();
    #timer: NodeJS.Timeout | undefined;
    #isEnded = false;

    constructor(address: Address, options: WatchOptions) {
        this.#options = options;
        this.#live = new LiveShards(address);
        this.places = options.places;
        this.history = new History(options.keepMs);
    }

    /** The shards that answered last; outside a cluster the server. */
    get shards(): readonly Shard[] {
        return this.#live.shards;
    }

    /** One of them by its name, which may be left out where there are no others. */
    shard(name: string | null): Shard {
        const found = name === null && this.shards.length === 1 ? this.shards[0] : this.shards.find(each => each.name === name);
        if (found === undefined) {
            throw new Failure(name === null ? (this.problem ?? 'of which shard?') : `shard ${name} does not answer, or is none`);
        }
        return found;
    }

    /** Callbacks that took long, the newest first; null where the server keeps no such log. */
    async slowCalls(count: number): Promise<SlowCall[] | null> {
        const asked = await Promise.allSettled(
            this.shards.map(async ({ name, redis }) =>
                (await slowCalls(redis, count))?.map(each => ({ ...each, shard: name })) ?? null,
            ),
        );
        const parts = asked.filter(each => each.status === 'fulfilled').map(each => each.value);
        if (parts.length === 0) {
            throw asked.find(each => each.status === 'rejected')?.reason ?? new Failure(this.problem ?? 'nobody answers');
        }
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
            await this.#read();
        } catch (error) {
            throw error instanceof Failure ? error : new Failure(`cannot connect: ${textOf(error)}`, EXIT.unreachable);
        }
        this.#schedule();
    }

    stop(): void {
        this.#isEnded = true;
        clearTimeout(this.#timer);
        this.#live.disconnect();
    }

    #schedule(): void {
        if (this.#isEnded) {
            return;
        }
        // One reading after another: a slow server is not asked more while it still answers.
        this.#timer = setTimeout(async () => {
            await this.#read().catch((error: unknown) => (this.problem = textOf(error)));
            if (!this.#isEnded) {
                this.#listeners.forEach(listener => listener());
            }
            this.#schedule();
        }, this.#options.intervalMs);
    }

    async #read(): Promise<void> {
        const all = await this.#live.read(async redis => readStanding(redis, this.#options.mostConsumers));
        const parts = all.flatMap(({ name, value }) => (value === null ? [] : [{ name, standing: value }]));
        const missing = missingOf(all);
        if (parts.length === 0) {
            const [first] = all;
            throw first?.name === null ? first.problem : new Failure(inWords(missing), EXIT.unreachable);
        }
        const standing = together(parts.map(part => part.standing));
        const [one] = this.shards;
        if (one !== undefined) {
            await this.places.update(one.redis, standing.libraries);
        }
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
        this.view = { standing, consumers, callbacks, shards: all.length, missing };
        this.problem = null;
        const memory = Number(standing.memory.get('used_by_libraries') ?? 0);
        this.history.add(standing.time, memory, consumers);
    }
}
