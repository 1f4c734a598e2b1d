/** The last minutes: what plots show. */

import { age, type ConsumerRow } from './rates.js';

/** The figures that are kept of each consumer, and of all together. */
export const SERIES = ['rate', 'failure_rate', 'backlog', 'age_ms', 'lag_ms_p99'] as const;
export type Series = (typeof SERIES)[number];
type Point = Record<Series, number | null>;

interface Sample {
    /** Unix milliseconds. */
    readonly time: number;
    /** Heaps and buffers of all libraries, in bytes. */
    readonly memory: number;
    readonly all: Point;
    readonly consumers: ReadonlyMap<string, Point>;
}

export interface Plot extends Record<Series, (number | null)[]> {
    readonly time: number[];
    readonly memory: number[];
}

/** A consumer, on a shard where there are several. */
interface Named {
    readonly library: string;
    readonly consumer: string;
    readonly shard?: string | null;
}

export class History {
    readonly #samples: Sample[] = [];
    readonly #keepMs: number;

    constructor(keepMs: number) {
        this.#keepMs = keepMs;
    }

    add(time: number, memory: number, rows: readonly ConsumerRow[]): void {
        const consumers = new Map(rows.map(row => [name(row), point(row)]));
        const points = [...consumers.values()];
        const all: Point = {
            rate: total(points, 'rate'),
            failure_rate: total(points, 'failure_rate'),
            backlog: total(points, 'backlog'),
            age_ms: highest(points, 'age_ms'),
            lag_ms_p99: highest(points, 'lag_ms_p99'),
        };
        this.#samples.push({ time, memory, all, consumers });
        const first = this.#samples.findIndex(each => each.time >= time - this.#keepMs);
        this.#samples.splice(0, first);
    }

    /** The series of a consumer, or of all of them: rates and backlogs summed, ages and lags the highest. */
    plot(of: Named | null): Plot {
        const plot: Plot = {
            time: [], memory: [], rate: [], failure_rate: [], backlog: [], age_ms: [], lag_ms_p99: [],
        };
        for (const sample of this.#samples) {
            const values = of === null ? sample.all : sample.consumers.get(name(of));
            plot.time.push(sample.time);
            plot.memory.push(sample.memory);
            SERIES.forEach(series => plot[series].push(values?.[series] ?? null));
        }
        return plot;
    }
}

function point(row: ConsumerRow): Point {
    return {
        rate: row.rate,
        failure_rate: row.failure_rate,
        backlog: row.backlog_entries,
        age_ms: age(row),
        lag_ms_p99: row.lag_ms_p99,
    };
}

function known(points: readonly Point[], series: Series): number[] {
    return points.map(each => each[series]).filter(each => each !== null);
}

function total(points: readonly Point[], series: Series): number | null {
    const values = known(points, series);
    return values.length === 0 ? null : values.reduce((sum, each) => sum + each, 0);
}

function highest(points: readonly Point[], series: Series): number | null {
    return known(points, series).reduce<number | null>((most, each) => Math.max(most ?? 0, each), null);
}

function name({ library, consumer, shard }: Named): string {
    return `${library}\n${consumer}\n${shard ?? ''}`;
}
