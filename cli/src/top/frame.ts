/** What `gears top` shows of a reading, as lines: nothing here knows a terminal. */

import { shorten, visible } from '../output.js';
import type { SlowCall } from '../server.js';
import { inWords } from '../watch/live_shards.js';
import { age, type CallbackRow, type ConsumerRow, type Trouble } from '../watch/rates.js';
import type { View } from '../watch/watch.js';
import { bytes, count, duration, rate, topmost } from '../words.js';
import { cut, parts, shares, tableLines, wrap, type Column, type Line, type Style } from './layout.js';
import { sortCallbacks, sortConsumers, type Sort } from './order.js';

export interface Shown {
    readonly view: View;
    /** Why the last attempt to read gave nothing; null if it gave something. */
    readonly problem: string | null;
    /** Callbacks that took long; or why they are not shown. */
    readonly slow: readonly SlowCall[] | string;
    readonly sort: Sort;
    readonly isReversed: boolean;
    /** How many consumers are above the screen. */
    readonly scroll: number;
    /** A line of keys at the end; empty where nobody can press them. */
    readonly hint: string;
}

/** In cells and lines; infinite where everything is to be shown. */
export interface Size {
    readonly width: number;
    readonly height: number;
}

/** In so many lines at most it is said why a consumer is in trouble. */
const MOST_REASON = 3;

const STYLES: Record<Trouble, Style> = {
    stopped: 'stopped', failing: 'failing', behind: 'behind', paused: 'paused', none: 'plain',
};
/** In front of each row: whoever sees no colours sees these. */
const MARKS: Record<Trouble, string> = { stopped: '!', failing: 'x', behind: '>', paused: '=', none: ' ' };

const CONSUMERS: readonly Column<ConsumerRow>[] = [
    { title: '  CONSUMER', width: 0, rank: 0, text: row => `${MARKS[row.trouble]} ${row.library}/${row.consumer}${at(row)}` },
    { title: 'STATE', width: 11, rank: 1, isText: true, text: row => row.state },
    { title: 'DONE/S', width: 8, rank: 4, text: row => rate(row.rate) },
    { title: 'FAIL/S', width: 7, rank: 5, text: row => rate(row.failure_rate) },
    { title: 'BACKLOG', width: 9, rank: 3, text: row => (row.backlog_exact || row.backlog_entries === null ? '' : '~') + count(row.backlog_entries) },
    { title: 'AGE', width: 7, rank: 2, text: row => duration(age(row)) },
    { title: 'LAG P99', width: 8, rank: 6, text: row => duration(row.lag_ms_p99) },
    { title: 'CALL P99', width: 8, rank: 7, text: row => duration(row.duration_ms_p99) },
    { title: 'FAILED', width: 9, rank: 8, text: row => count(row.failures) },
    { title: 'LETTERS', width: 9, rank: 9, text: row => count(row.dead_letters) },
    { title: 'STREAMS', width: 9, rank: 10, text: row => count(row.streams) },
];

const CALLBACKS: readonly Column<CallbackRow>[] = [
    { title: '  CALLBACK', width: 0, rank: 0, text: row => `${(row.failure_rate ?? 0) > 0 ? 'x' : row.state === 'paused' ? '=' : ' '} ${row.library}/${row.name}${at(row)}` },
    { title: 'KIND', width: 8, rank: 5, isText: true, text: row => row.kind },
    { title: 'STATE', width: 8, rank: 7, isText: true, text: row => row.state },
    { title: 'CALLS/S', width: 8, rank: 1, text: row => rate(row.rate) },
    { title: 'ERR/S', width: 7, rank: 2, text: row => rate(row.failure_rate) },
    { title: 'P50', width: 8, rank: 6, text: row => duration(row.duration_ms_p50) },
    { title: 'P99', width: 8, rank: 3, text: row => duration(row.duration_ms_p99) },
    { title: 'ERRORS', width: 9, rank: 4, text: row => count(row.errors) },
    { title: 'CALLS', width: 9, rank: 8, text: row => count(row.calls) },
    { title: 'WAITING', width: 8, rank: 9, text: row => count(row.waiting) },
];

function slowColumns(now: number): readonly Column<SlowCall>[] {
    return [
        { title: '  SLOW CALL', width: 0, rank: 0, text: row => `  ${row.library}${row.callback === '' ? '' : `/${row.callback}`}${at(row)}` },
        { title: 'KIND', width: 8, rank: 3, isText: true, text: row => row.kind },
        { title: 'TOOK', width: 7, rank: 1, text: row => duration(row.duration_ms) },
        { title: 'AGO', width: 7, rank: 2, text: row => duration(Math.max(0, now - row.time)) },
        { title: 'KEY', width: 24, rank: 4, isText: true, text: row => (row.key === null ? '' : visible(row.key)) },
        { title: 'ENTRY', width: 20, rank: 6, isText: true, text: row => row.entry_id ?? '' },
        { title: 'WHERE', width: 40, rank: 5, isText: true, text: row => topmost(row.stack) },
    ];
}

/** On which shard of a cluster it is. */
function at({ shard = null }: { readonly shard?: string | null }): string {
    return shard === null ? '' : ` @${shard}`;
}

/** A reading, in at most so many lines that are no wider than that. */
export function frame(shown: Shown, size: Size): Line[] {
    const { view, problem } = shown;
    const { width, height } = size;
    const head: Line[] = header(view, width);
    if (problem !== null) {
        head.push({ text: cut(`No new reading: ${visible(problem)}`, width), style: 'problem' });
    } else if (view.missing.length > 0) {
        head.push({ text: cut(`Without ${visible(inWords(view.missing))}`, width), style: 'problem' });
    }
    const foot: Line[] = shown.hint === '' ? [] : [{ text: cut(shown.hint, width), style: 'hint' }];
    const consumers = sortConsumers(view.consumers, shown.sort, shown.isReversed);
    const why = consumers.filter(row => row.trouble === 'stopped' || row.trouble === 'failing').flatMap(row => reason(row, width));
    const callbacks = sortCallbacks(view.callbacks);
    const slow = typeof shown.slow === 'string' ? [] : shown.slow;
    // With an empty line in front and a heading each.
    const needs = [consumers.length, why.length, callbacks.length, slow.length].map(rows => (rows === 0 ? 0 : rows + 2));
    const [ofConsumers = 0, ofWhy = 0, ofCallbacks = 0, ofSlow = 0] =
        shares(needs, Math.max(0, height - head.length - foot.length), 3);
    const lines = [...head];
    if (ofConsumers > 2) {
        const rows = Math.min(consumers.length, ofConsumers - 2);
        const from = Math.max(0, Math.min(shown.scroll, consumers.length - rows));
        lines.push(EMPTY, ...tableLines(CONSUMERS, consumers.slice(from, from + rows), width, row => STYLES[row.trouble]));
    } else if (consumers.length === 0) {
        lines.push(EMPTY, { text: cut('No library has a stream consumer.', width), style: 'hint' });
    }
    if (ofWhy > 2) {
        lines.push(EMPTY, { text: cut('  WHY', width), style: 'heading' });
        lines.push(...why.slice(0, ofWhy - 2).map(({ text, style }) => ({ text: cut(text, width), style })));
    }
    if (ofCallbacks > 2) {
        const style = (row: CallbackRow): Style =>
            (row.failure_rate ?? 0) > 0 ? 'failing' : row.state === 'paused' ? 'paused' : 'plain';
        lines.push(EMPTY, ...tableLines(CALLBACKS, callbacks.slice(0, ofCallbacks - 2), width, style));
    }
    if (ofSlow > 2) {
        const columns = slowColumns(view.standing.time);
        lines.push(EMPTY, ...tableLines(columns, slow.slice(0, ofSlow - 2), width, () => 'plain'));
    } else if (typeof shown.slow === 'string' && height - lines.length - foot.length >= 2) {
        lines.push(EMPTY, { text: cut(`Slow calls: ${visible(shown.slow)}`, width), style: 'hint' });
    }
    const space = Math.max(0, Number.isFinite(height) ? height - lines.length - foot.length : 0);
    return [...lines, ...Array.from({ length: foot.length === 0 ? 0 : space }, () => EMPTY), ...foot].slice(0, height);
}

const EMPTY: Line = { text: '', style: 'plain' };

/** How many consumers may be scrolled away, so that the last ones are seen at the end. */
export function mostScroll(shown: Shown): number {
    return Math.max(0, shown.view.consumers.length - 1);
}

function header({ standing, consumers, shards }: View, width: number): Line[] {
    const { server, memory } = standing;
    const sum = (of: (row: ConsumerRow) => number | null): number | null =>
        consumers.reduce<number | null>((total, row) => (of(row) === null ? total : (total ?? 0) + (of(row) ?? 0)), null);
    const inTrouble = (['stopped', 'failing', 'behind', 'paused'] as const)
        .map(trouble => [consumers.filter(row => row.trouble === trouble).length, trouble] as const)
        .filter(([number]) => number > 0)
        .map(([number, trouble]) => `${count(number)} ${trouble}`)
        .join(', ');
    const oldest = consumers.reduce((most, row) => Math.max(most, age(row)), 0);
    const limit = Number(memory.get('limit_of_libraries') ?? 0);
    const used = bytes(Number(memory.get('used_by_libraries') ?? 0));
    const total = consumers.length + standing.left_out;
    const worst: Style = consumers.some(row => row.trouble === 'stopped' || row.trouble === 'failing') ? 'failing' : 'plain';
    return [
        {
            text: parts(
                [
                    `gears top ${new Date(standing.time).toLocaleTimeString('sv')}`,
                    server === null ? '' : `${server.product} ${visible(server.version)} ${shards > 1 ? `${count(shards)} shards` : visible(server.role)}`,
                    server === null ? '' : `up ${duration(server.uptime_s * 1000)}`,
                    server === null ? '' : `${count(server.commands_per_second)} commands/s`,
                    `${used}${limit > 0 ? ` of ${bytes(limit)}` : ''} in libraries`,
                ],
                width,
            ),
            style: 'title',
        },
        {
            text: parts(
                [
                    inTrouble === '' ? 'none in trouble' : inTrouble,
                    `${count(total)} ${total === 1 ? 'consumer' : 'consumers'}`,
                    `${count(sum(row => row.streams) ?? 0)} streams`,
                    `${count(standing.libraries.length)} ${standing.libraries.length === 1 ? 'library' : 'libraries'}`,
                    standing.left_out > 0 ? `${count(standing.left_out)} consumers left out` : '',
                ],
                width,
            ),
            style: worst,
        },
        {
            text: parts(
                [
                    `${rate(sum(row => row.rate))} done/s`,
                    `${rate(sum(row => row.failure_rate))} failed/s`,
                    `backlog ${count(sum(row => row.backlog_entries))}`,
                    `oldest ${duration(oldest)}`,
                ],
                width,
            ),
            style: 'plain',
        },
        ...quarantined(standing.libraries, width),
    ];
}

function quarantined(libraries: View['standing']['libraries'], width: number): Line[] {
    return libraries
        .filter(library => library.quarantine !== null)
        .slice(0, 3)
        .map(({ name, quarantine }) => ({
            text: cut(`${visible(name)} is in quarantine: ${visible(quarantine ?? '')}`, width),
            style: 'problem',
        }));
}

/** Why a consumer is in trouble, if anybody knows. */
function reason(row: ConsumerRow, width: number): Line[] {
    const text = row.error ?? row.reason ?? row.last_error;
    if (text === null) {
        return [];
    }
    const name = `${MARKS[row.trouble]} ${visible(row.library)}/${visible(row.consumer)}${at(row)}`;
    // The place is that of the last error: what is said may be about something else.
    const place = text === row.last_error ? topmost(row.last_error_stack) : '';
    const where = place === '' ? '' : `   at ${visible(place)}`;
    const said = `${name}: ${shorten(visible(text), 300)}${where}`;
    return wrap(said, width, MOST_REASON).map(line => ({ text: line, style: STYLES[row.trouble] }));
}
