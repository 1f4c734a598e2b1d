/** Reads again and again how all stands, and keeps the last reading, its rates and the last minutes. */

import { Redis } from 'ioredis';
import { connectionOptions, type Address } from '../connection.js';
import { EXIT, Failure, textOf } from '../failure.js';
import { History } from './history.js';
import { callbackRows, consumerRows, type CallbackRow, type ConsumerRow } from './rates.js';
import { readStanding, type Standing } from './standing.js';

export interface View {
    readonly standing: Standing;
    readonly consumers: readonly ConsumerRow[];
    readonly callbacks: readonly CallbackRow[];
}

export interface WatchOptions {
    readonly intervalMs: number;
    readonly mostConsumers: number;
    /** How much of the past is kept. */
    readonly keepMs: number;
}

export class Watch {
    readonly redis: Redis;
    readonly history: History;
    /** The last reading; null before the first. */
    view: View | null = null;
    /** Why the last attempt gave none; null if it did. */
    problem: string | null = null;
    readonly #options: WatchOptions;
    readonly #listeners = new Set<() => void>();
    #timer: NodeJS.Timeout | undefined;
    #isEnded = false;

    constructor(address: Address, options: WatchOptions) {
        this.#options = options;
        this.history = new History(options.keepMs);
        // It outlives its server: as long as that is gone, it says so.
        this.redis = new Redis({
            ...connectionOptions(address),
            retryStrategy: times => Math.min(times * 200, 2000),
            enableOfflineQueue: false,
        });
        this.redis.on('error', (error: unknown) => (this.problem = textOf(error)));
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
        const standing = await readStanding(this.redis, this.#options.mostConsumers);
        const before = this.view?.standing ?? null;
        const view = {
            standing,
            consumers: consumerRows(standing, before),
            callbacks: callbackRows(standing, before),
        };
        this.view = view;
        this.problem = null;
        const memory = Number(standing.memory.get('used_by_libraries') ?? 0);
        this.history.add(standing.time, memory, view.consumers);
    }
}
