/** In which order `gears top` shows consumers and callbacks. */

import { age, weight, type CallbackRow, type ConsumerRow } from '../watch/rates.js';

type Measure = (row: ConsumerRow) => number;

/** By what consumers can be sorted, the highest first. The first letter is the key that chooses it. */
const MEASURES = {
    trouble: row => weight(row.trouble),
    rate: row => row.rate ?? 0,
    errors: row => row.failure_rate ?? 0,
    backlog: row => row.backlog_entries ?? 0,
    age,
    lag: row => row.lag_ms_p99,
    duration: row => row.duration_ms_p99 ?? 0,
    streams: row => row.streams,
    name: () => 0,
} as const satisfies Record<string, Measure>;

export type Sort = keyof typeof MEASURES;
export const SORTS = Object.keys(MEASURES) as Sort[];

export function sortConsumers(rows: readonly ConsumerRow[], by: Sort, isReversed = false): ConsumerRow[] {
    const measure: Measure = MEASURES[by];
    const sorted = [...rows].sort(
        (a, b) =>
            measure(b) - measure(a) ||
            // Among equals, too, whoever is worse off; and then in a place of their own, so that rows do not jump.
            (by === 'name' ? 0 : weight(b.trouble) - weight(a.trouble) || age(b) - age(a)) ||
            compare(a.library, b.library) ||
            compare(a.consumer, b.consumer),
    );
    return isReversed ? sorted.reverse() : sorted;
}

/** Those that fail first, then the busiest, then the slowest. */
export function sortCallbacks(rows: readonly CallbackRow[]): CallbackRow[] {
    return [...rows].sort(
        (a, b) =>
            (b.failure_rate ?? 0) - (a.failure_rate ?? 0) ||
            (b.rate ?? 0) - (a.rate ?? 0) ||
            (b.duration_ms_p99 ?? 0) - (a.duration_ms_p99 ?? 0) ||
            compare(a.library, b.library) ||
            compare(a.name, b.name),
    );
}

function compare(a: string, b: string): number {
    return a < b ? -1 : a > b ? 1 : 0;
}
