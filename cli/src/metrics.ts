/** Figures of the module as metrics for Prometheus. What they are is read anew for each scrape. */

import { Counter, Gauge, Registry, type LabelValues } from 'prom-client';
import { infoName, type Standing } from './watch/standing.js';

const STATES = ['running', 'waiting', 'paused', 'aborted', 'refused', 'blocked', 'quarantined'];

/** A callback's figures: those of INFO and of RG.CONSUMER INFO have the same names. */
interface Callback {
    readonly kind: 'function' | 'trigger' | 'consumer';
    readonly library: string;
    readonly callback: string;
    readonly figure: (name: CallbackFigure) => number | null;
    readonly paused: boolean;
}
type CallbackFigure =
    | 'calls'
    | 'errors'
    | 'running'
    | 'duration_ms_p50'
    | 'duration_ms_p99'
    | 'duration_ms_max'
    | 'locked_ms'
    | 'bytes';

/** How a shard stands; null where it does not answer. */
export interface ShardFigures {
    /** `host:port`, the label of all that is said of it; null outside a cluster. */
    readonly shard: string | null;
    readonly figures: Standing | null;
}

/** A registry with what is known of these shards. No more functions and triggers than so many are in it of each. */
export function metrics(shards: readonly ShardFigures[], scrapeSeconds: number, mostCallbacks: number): Registry {
    const registry = new Registry();
    const duration = new Gauge({
        name: 'redisgears_scrape_duration_seconds',
        help: 'How long reading the figures took.',
        registers: [registry],
    });
    duration.set(scrapeSeconds);
    for (const { shard, figures } of shards) {
        const label: Record<string, string> = shard === null ? {} : { shard };
        const isThere = makeGauge(registry, label)('up', 'Whether the server answered with the module.');
        isThere.set({}, figures === null ? 0 : 1);
        if (figures !== null) {
            ofShard(figures, mostCallbacks, makeGauge(registry, label), makeCounter(registry, label));
        }
    }
    return registry;
}

/** A metric whose labels all are given; those of the shard come by themselves. */
interface Settable<L extends string> {
    set(labels: LabelValues<L>, value: number): void;
}
interface Countable<L extends string> {
    inc(labels: LabelValues<L>, value: number): void;
}
type MakeGauge = <L extends string>(name: string, help: string, ...labelNames: L[]) => Settable<L>;
type MakeCounter = <L extends string>(name: string, help: string, ...labelNames: L[]) => Countable<L>;

/** What makes gauges of one shard: all shards share the metric. */
function makeGauge(registry: Registry, label: Record<string, string>): MakeGauge {
    return (name, help, ...labelNames) => {
        const known = registry.getSingleMetric(`redisgears_${name}`) as Gauge | undefined;
        const all = [...labelNames, ...Object.keys(label)];
        const gauge = known ?? new Gauge({ name: `redisgears_${name}`, help, labelNames: all, registers: [registry] });
        return { set: (labels, value) => gauge.set({ ...labels, ...label }, value) };
    };
}

function makeCounter(registry: Registry, label: Record<string, string>): MakeCounter {
    return (name, help, ...labelNames) => {
        const known = registry.getSingleMetric(`redisgears_${name}`) as Counter | undefined;
        const all = [...labelNames, ...Object.keys(label)];
        const counter = known ?? new Counter({ name: `redisgears_${name}`, help, labelNames: all, registers: [registry] });
        return { inc: (labels, value) => counter.inc({ ...labels, ...label }, value) };
    };
}

function ofShard(figures: Standing, mostCallbacks: number, gauge: MakeGauge, counter: MakeCounter): void {
    const memory = (name: string): number => Number(figures.memory.get(name) ?? 0);
    const alone = (name: string, help: string, value: number): void => gauge(name, help).set({}, value);
    alone('memory_used_bytes', 'Heaps and array buffers of all libraries.', memory('used_by_libraries'));
    alone('memory_limit_bytes', 'The setting v8-maxmemory.', memory('limit_of_libraries'));
    alone('streams_memory_bytes', 'Memory that the streams take which consumers know.', memory('streams_bytes'));
    alone('consumers_left_out', 'Consumers that are not shown, because there are too many.', figures.left_out);
    alone(
        'callbacks_left_out',
        'Functions and triggers that are not shown, because there are too many.',
        Math.max(0, figures.callbacks.length - mostCallbacks),
    );
    ofLibraries(figures, gauge);
    ofConsumers(figures, gauge, counter);
    ofTriggers(figures, gauge, counter);
    ofCallbacks(callbacks(figures, mostCallbacks), gauge, counter);
}

function ofLibraries(figures: Standing, gauge: MakeGauge): void {
    const quarantined = gauge('library_quarantined', 'Whether the library is kept but cannot be loaded.', 'library');
    const pending = gauge('library_pending_jobs', 'Entries, calls and background parts that have not begun.', 'library');
    const heap = gauge('library_heap_bytes', 'Heap after the last garbage collection.', 'library');
    const buffers = gauge('library_buffers_bytes', 'Array buffers.', 'library');
    const limit = gauge('library_memory_limit_bytes', 'The setting library-maxmemory as of the load.', 'library');
    for (const library of figures.libraries) {
        const labels = { library: library.name };
        quarantined.set(labels, library.quarantine === null ? 0 : 1);
        pending.set(labels, library.pending_jobs);
        const fields = figures.heaps.get(infoName(library.name));
        if (fields !== undefined) {
            heap.set(labels, fields.number('used_heap'));
            buffers.set(labels, fields.number('used_buffers'));
            limit.set(labels, fields.number('memory_limit'));
        }
    }
}

function ofConsumers(figures: Standing, gauge: MakeGauge, counter: MakeCounter): void {
    const of = ['library', 'consumer'] as const;
    const counters = [
        ['processed', counter('consumer_processed_total', 'Entries that are done, given-up ones included.', ...of)],
        ['attempts', counter('consumer_attempts_total', 'Calls of the callback that ended.', ...of)],
        ['failures', counter('consumer_failures_total', 'Calls of the callback that failed.', ...of)],
        ['given_up', counter('consumer_given_up_total', 'Entries that were given up.', ...of)],
        ['dead_letters', counter('consumer_dead_letters_total', 'Entries added to the dead letter stream.', ...of)],
        ['filtered', counter('consumer_filtered_total', 'Entries that did not match the filter.', ...of)],
        ['redriven', counter('consumer_redriven_total', 'Dead letters that were redriven, and have ended.', ...of)],
    ] as const;
    const streams = gauge('consumer_streams', 'Streams that the consumer knows.', ...of);
    const inFlight = gauge('consumer_in_flight', 'Entries that are with the callback.', ...of);
    const behind = gauge('consumer_behind_seconds', 'How long the stream furthest behind has been behind.', ...of);
    const blocked = gauge('consumer_blocked_streams', 'Streams that are blocked.', ...of);
    const backlog = gauge('consumer_backlog_entries', 'Entries that are not done.', ...of);
    const exact = gauge('consumer_backlog_exact', '1 where the backlog is counted, 0 where it is an estimate.', ...of);
    const oldest = gauge('consumer_oldest_pending_seconds', 'Age of the oldest entry that is not done.', ...of);
    // The module tells no more than sixteen classes apart.
    const errors = counter('consumer_errors_total', 'Errors by class.', ...of, 'class');
    const lastError = gauge('consumer_last_error_timestamp_seconds', 'When the last error was; 0 without one.', ...of);
    const state = gauge('consumer_state', '1 for the state that the consumer is in, 0 for the others.', ...of, 'state');
    const lag = gauge('consumer_lag_seconds', "From the time in an entry's ID to its end.", ...of, 'quantile');
    const lagMax = gauge('consumer_lag_max_seconds', 'The longest of these.', ...of);
    const processing = gauge('consumer_processing_seconds', 'From the delivery to the end.', ...of, 'quantile');
    const processingMax = gauge('consumer_processing_max_seconds', 'The longest of these.', ...of);
    for (const each of figures.consumers) {
        const labels = { library: each.library, consumer: each.consumer };
        for (const [field, metric] of counters) {
            metric.inc(labels, each[field]);
        }
        streams.set(labels, each.streams);
        inFlight.set(labels, each.in_flight);
        behind.set(labels, each.behind_ms / 1000);
        blocked.set(labels, each.blocked_streams);
        if (each.backlog_entries !== null) {
            backlog.set(labels, each.backlog_entries);
            exact.set(labels, each.backlog_exact ? 1 : 0);
            oldest.set(labels, (each.oldest_pending_ms ?? 0) / 1000);
        }
        for (const [name, count] of Object.entries(each.error_classes)) {
            errors.inc({ ...labels, class: name }, count);
        }
        lastError.set(labels, each.last_error_time / 1000);
        for (const one of new Set([...STATES, each.state])) {
            state.set({ ...labels, state: one }, one === each.state ? 1 : 0);
        }
        lag.set({ ...labels, quantile: '0.5' }, each.lag_ms_p50 / 1000);
        lag.set({ ...labels, quantile: '0.99' }, each.lag_ms_p99 / 1000);
        lagMax.set(labels, (each.lag_ms_max ?? 0) / 1000);
        processing.set({ ...labels, quantile: '0.5' }, each.processing_ms_p50 / 1000);
        processing.set({ ...labels, quantile: '0.99' }, each.processing_ms_p99 / 1000);
        processingMax.set(labels, (each.processing_ms_max ?? 0) / 1000);
    }
}

function ofTriggers(figures: Standing, gauge: MakeGauge, counter: MakeCounter): void {
    const of = ['library', 'trigger'] as const;
    const counters = [
        ['triggered', counter('trigger_triggered_total', 'Events that passed the filters.', ...of)],
        ['finished', counter('trigger_finished_total', 'Events that are done, failed ones included.', ...of)],
        ['failed', counter('trigger_failed_total', 'Events that failed.', ...of)],
        ['dropped', counter('trigger_dropped_total', 'Events that found no room.', ...of)],
    ] as const;
    const seconds = counter('trigger_seconds_total', 'From each event to the end of its callback, summed.', ...of);
    const waiting = gauge('trigger_waiting', 'Events that wait for the callback.', ...of);
    for (const library of figures.libraries) {
        for (const trigger of library.triggers) {
            const labels = { library: library.name, trigger: trigger.name };
            for (const [field, metric] of counters) {
                metric.inc(labels, trigger[field]);
            }
            seconds.inc(labels, trigger.total_ms / 1000);
            waiting.set(labels, trigger.waiting);
        }
    }
}

/** Those of the consumers that are shown, and of as many functions and triggers. */
function callbacks(figures: Standing, most: number): Callback[] {
    const named = figures.callbacks.slice(0, most).map(({ kind, library, name, figures: of }): Callback => ({
        kind,
        library,
        callback: name,
        figure: figure => of.optional(figure),
        paused: of.text('state') === 'paused',
    }));
    const ofConsumers = figures.consumers.map((each): Callback => ({
        kind: 'consumer',
        library: each.library,
        callback: each.consumer,
        figure: figure => each[figure],
        paused: each.state === 'paused',
    }));
    return [...named, ...ofConsumers];
}

function ofCallbacks(all: readonly Callback[], gauge: MakeGauge, counter: MakeCounter): void {
    const of = ['kind', 'library', 'callback'] as const;
    const calls = counter('callback_calls_total', 'Calls that ended.', ...of);
    const errors = counter('callback_errors_total', 'Those among them that failed.', ...of);
    const bytes = counter('callback_bytes_total', 'Bytes of arguments and records.', ...of);
    const locked = counter('callback_locked_seconds_total', "How long calls held the server's lock.", ...of);
    const running = gauge('callback_running', 'Calls that have begun and not ended.', ...of);
    const paused = gauge('callback_paused', 'Whether it is paused.', ...of);
    const duration = gauge('callback_duration_seconds', 'How long calls took.', ...of, 'quantile');
    const longest = gauge('callback_duration_max_seconds', 'The longest of these.', ...of);
    for (const { kind, library, callback, figure, paused: isPaused } of all) {
        const labels = { kind, library, callback };
        paused.set(labels, isPaused ? 1 : 0);
        // An older module tells nothing of them.
        if (figure('calls') === null) {
            continue;
        }
        const count = (name: CallbackFigure): number => figure(name) ?? 0;
        calls.inc(labels, count('calls'));
        errors.inc(labels, count('errors'));
        bytes.inc(labels, count('bytes'));
        locked.inc(labels, count('locked_ms') / 1000);
        running.set(labels, count('running'));
        duration.set({ ...labels, quantile: '0.5' }, count('duration_ms_p50') / 1000);
        duration.set({ ...labels, quantile: '0.99' }, count('duration_ms_p99') / 1000);
        longest.set(labels, count('duration_ms_max') / 1000);
    }
}
