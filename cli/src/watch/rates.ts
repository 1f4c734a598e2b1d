/** What changes from one reading to the next: rates, and who is in trouble. */

import type { CallbackStanding, ConsumerStanding, Standing } from './standing.js';

/** A consumer with its rates; null where there is no earlier reading of it. */
export interface ConsumerRow extends ConsumerStanding {
    /** Entries that were done, and calls that failed, each second. */
    readonly rate: number | null;
    readonly failure_rate: number | null;
    readonly trouble: Trouble;
    /** Which shard of a cluster it is on, `host:port`; null outside one. */
    readonly shard?: string | null;
}

export interface CallbackRow {
    readonly kind: CallbackStanding['kind'];
    readonly library: string;
    readonly name: string;
    readonly state: string;
    readonly calls: number;
    readonly errors: number;
    readonly rate: number | null;
    readonly failure_rate: number | null;
    readonly duration_ms_p50: number | null;
    readonly duration_ms_p99: number | null;
    readonly duration_ms_max: number | null;
    readonly locked_ms: number | null;
    readonly waiting: number;
    readonly last_error: string | null;
    readonly shard?: string | null;
}

/** `stopped`: it does nothing until somebody acts. `failing`: callbacks fail. `paused`: somebody wanted it. */
export type Trouble = 'stopped' | 'failing' | 'behind' | 'paused' | 'none';

const WEIGHTS: Record<Trouble, number> = { stopped: 4, failing: 3, behind: 2, paused: 1, none: 0 };
const STOPPED = new Set(['blocked', 'aborted', 'refused', 'quarantined']);
/** A stream that is behind for longer than this is worth a look. */
const BEHIND_MS = 10_000;

export function weight(trouble: Trouble): number {
    return WEIGHTS[trouble];
}

/** The consumers of a reading, with the rates since the one before. */
export function consumerRows(now: Standing, before: Standing | null): ConsumerRow[] {
    const earlier = new Map(before?.consumers.map(each => [key(each.library, each.consumer), each]));
    const seconds = before === null ? 0 : (now.time - before.time) / 1000;
    return now.consumers.map(each => {
        const was = earlier.get(key(each.library, each.consumer));
        const rate = perSecond(each.processed, was?.processed, seconds);
        const failureRate = perSecond(each.failures, was?.failures, seconds);
        return { ...each, rate, failure_rate: failureRate, trouble: troubleOf(each, failureRate) };
    });
}

/** Functions and triggers likewise. */
export function callbackRows(now: Standing, before: Standing | null): CallbackRow[] {
    const earlier = new Map(before?.callbacks.map(each => [callbackKey(each), each.figures]));
    const seconds = before === null ? 0 : (now.time - before.time) / 1000;
    const triggers = new Map(
        now.libraries.flatMap(library => library.triggers.map(each => [key(library.name, each.name), each])),
    );
    return now.callbacks.map(each => {
        const { figures, kind, library, name } = each;
        const was = earlier.get(callbackKey(each));
        const trigger = kind === 'trigger' ? triggers.get(key(library, name)) : undefined;
        const callsOf = (of: typeof figures): number => of.number(of.has('calls') ? 'calls' : 'finished');
        const errorsOf = (of: typeof figures): number => of.number(of.has('errors') ? 'errors' : 'failed');
        return {
            kind, library, name,
            state: figures.text('state') || 'running',
            calls: callsOf(figures),
            errors: errorsOf(figures),
            rate: perSecond(callsOf(figures), was && callsOf(was), seconds),
            failure_rate: perSecond(errorsOf(figures), was && errorsOf(was), seconds),
            duration_ms_p50: figures.optional('duration_ms_p50'),
            duration_ms_p99: figures.optional('duration_ms_p99'),
            duration_ms_max: figures.optional('duration_ms_max'),
            locked_ms: figures.optional('locked_ms'),
            waiting: trigger?.waiting ?? 0,
            last_error: trigger?.last_error ?? null,
        };
    });
}

/** Counters that went down have begun anew, with the server or the library: then nobody knows. */
function perSecond(now: number, before: number | undefined, seconds: number): number | null {
    return before === undefined || seconds <= 0 || now < before ? null : (now - before) / seconds;
}

function troubleOf(each: ConsumerStanding, failureRate: number | null): Trouble {
    if (STOPPED.has(each.state)) {
        return 'stopped';
    }
    if (each.state === 'waiting' || (failureRate ?? 0) > 0) {
        return 'failing';
    }
    if (each.state === 'paused') {
        return 'paused';
    }
    return age(each) > BEHIND_MS ? 'behind' : 'none';
}

/** How long the oldest entry that is not done has been waiting. */
export function age(each: ConsumerStanding): number {
    return Math.max(each.behind_ms, each.oldest_pending_ms ?? 0);
}

function key(library: string, name: string): string {
    return `${library}\n${name}`;
}

function callbackKey(each: CallbackStanding): string {
    return `${each.kind}\n${key(each.library, each.name)}`;
}
