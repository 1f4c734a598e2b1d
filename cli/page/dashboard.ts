/** The dashboard: asks how all stands, again and again, and shows it. */

import { ask } from './ask';
import { chosen, choose, isShown, named, refresh } from './detail';
import { at, byId, element, stackOf, table, type Column, type Order } from './dom';
import { show, type Plot } from './plots';
import type { Callback, Consumer, Library, SlowCall, Standing } from './replies';
import { bytes, count, duration, rate, when } from '../src/words';

const POLL_MS = 2000;
const WEIGHTS = { stopped: 4, failing: 3, behind: 2, paused: 1, none: 0 };
/** So many rows: more nobody reads, and the filter finds the others. */
const MOST_ROWS = 200;

const order: Order = { column: 'state', descending: true };
let last: Standing | null = null;

const backlog = (row: Consumer): string =>
    row.backlog_entries === null ? '–' : `${row.backlog_exact ? '' : '≈ '}${count(row.backlog_entries)}`;

const lastError = (row: Consumer): string | null => row.last_error ?? row.error;

const CONSUMERS: readonly Column<Consumer>[] = [
    {
        title: 'state',
        cell: row => element('span', { class: `state ${row.trouble}` }, row.state),
        by: row => WEIGHTS[row.trouble] * 1e15 + row.age_ms,
    },
    {
        title: 'consumer',
        cell: row => [
            `${row.library} / ${row.consumer}${at(row)}`,
            row.reason === null ? null : element('div', { class: 'reason' }, row.reason),
        ],
        kind: 'name',
        by: row => `${row.library}/${row.consumer}${at(row)}`,
    },
    { title: 'per second', cell: row => rate(row.rate), kind: 'number', by: row => row.rate ?? -1 },
    { title: 'backlog', cell: backlog, kind: 'number', by: row => row.backlog_entries ?? -1 },
    { title: 'age', cell: row => duration(row.age_ms), kind: 'number', by: row => row.age_ms },
    { title: 'lag p99', cell: row => duration(row.lag_ms_p99), kind: 'number', by: row => row.lag_ms_p99 },
    {
        title: 'processing p99',
        cell: row => duration(row.processing_ms_p99),
        kind: 'number',
        by: row => row.processing_ms_p99,
    },
    { title: 'errors / s', cell: row => rate(row.failure_rate), kind: 'number', by: row => row.failure_rate ?? -1 },
    { title: 'failures', cell: row => count(row.failures), kind: 'number', by: row => row.failures },
    { title: 'letters', cell: row => count(row.dead_letters), kind: 'number', by: row => row.dead_letters },
    { title: 'streams', cell: row => count(row.streams), kind: 'number', by: row => row.streams },
    {
        title: 'last error',
        // What is said as the reason already is not said twice.
        cell: row => (lastError(row) === row.reason ? '' : firstLine(lastError(row))),
        kind: 'text',
    },
];

const CALLBACKS: readonly Column<Callback>[] = [
    { title: 'kind', cell: row => row.kind },
    { title: 'name', cell: row => `${row.library} / ${row.name}${at(row)}`, kind: 'name' },
    { title: 'state', cell: row => row.state },
    { title: 'per second', cell: row => rate(row.rate), kind: 'number' },
    { title: 'calls', cell: row => count(row.calls), kind: 'number' },
    { title: 'errors', cell: row => count(row.errors), kind: 'number' },
    { title: 'waiting', cell: row => (row.kind === 'trigger' ? count(row.waiting) : ''), kind: 'number' },
    { title: 'p50', cell: row => duration(row.duration_ms_p50), kind: 'number' },
    { title: 'p99', cell: row => duration(row.duration_ms_p99), kind: 'number' },
    { title: 'max', cell: row => duration(row.duration_ms_max), kind: 'number' },
    { title: 'under the lock', cell: row => duration(row.locked_ms), kind: 'number' },
    { title: 'last error', cell: row => firstLine(row.last_error), kind: 'text' },
];

const LIBRARIES: readonly Column<Library>[] = [
    {
        title: 'library',
        cell: row => [row.name, row.quarantine === null ? null : element('div', { class: 'reason' }, row.quarantine)],
        kind: 'name',
    },
    { title: 'version', cell: row => row.version ?? '', kind: 'number' },
    { title: 'loaded', cell: row => (row.loaded_at === null ? '' : when(row.loaded_at)), kind: 'time' },
    { title: 'engine', cell: row => row.engine },
    { title: 'owner', cell: row => row.owner, kind: 'name' },
    { title: 'functions', cell: row => row.functions, kind: 'number' },
    { title: 'consumers', cell: row => row.consumers, kind: 'number' },
    { title: 'triggers', cell: row => row.triggers, kind: 'number' },
    { title: 'waiting jobs', cell: row => count(row.pending_jobs), kind: 'number' },
    { title: 'heap', cell: row => bytes(row.heap), kind: 'number' },
    { title: 'buffers', cell: row => bytes(row.buffers), kind: 'number' },
    { title: 'limit', cell: row => bytes(row.memory_limit), kind: 'number' },
];

const SLOW: readonly Column<SlowCall>[] = [
    { title: 'time', cell: row => when(row.time), kind: 'time' },
    { title: 'took', cell: row => duration(row.duration_ms), kind: 'number' },
    { title: 'kind', cell: row => row.kind },
    { title: 'callback', cell: row => `${row.library} / ${row.callback}${at(row)}`, kind: 'name' },
    { title: 'key', cell: row => row.key ?? '', kind: 'name' },
    { title: 'entry', cell: row => row.entry_id ?? '', kind: 'time' },
    { title: 'where', cell: row => stackOf(row.stack), kind: 'text' },
];

function firstLine(text: string | null): string {
    const line = text?.split(/\n|\\n|\|/)[0] ?? '';
    return line.length > 160 ? `${line.slice(0, 159)}…` : line;
}

function tile(label: string, value: string, isBad = false): HTMLElement {
    return element('div', { class: isBad ? 'tile bad' : 'tile' }, element('b', {}, value), element('span', {}, label));
}

function showTiles(standing: Standing): void {
    const consumers = standing.consumers;
    const sum = (of: (each: Consumer) => number | null): number =>
        consumers.reduce((total, each) => total + (of(each) ?? 0), 0);
    const most = (of: (each: Consumer) => number): number => Math.max(0, ...consumers.map(of));
    const stopped = consumers.filter(each => each.trouble === 'stopped').length;
    const failing = consumers.filter(each => each.trouble === 'failing').length;
    const knowsBacklog = consumers.some(each => each.backlog_entries !== null);
    byId('tiles').replaceChildren(
        tile('entries / s', rate(sum(each => each.rate))),
        tile('backlog', knowsBacklog ? count(sum(each => each.backlog_entries)) : '–'),
        tile('age of oldest', duration(most(each => each.age_ms)), most(each => each.age_ms) > 60_000),
        tile('lag p99', duration(most(each => each.lag_ms_p99))),
        tile('errors / s', rate(sum(each => each.failure_rate)), sum(each => each.failure_rate) > 0),
        tile('stand still', count(stopped), stopped > 0),
        tile('fail', count(failing), failing > 0),
        tile('letters written', count(sum(each => each.dead_letters))),
        tile('streams', count(sum(each => each.streams))),
        tile(`heap of ${bytes(standing.memory.limit)}`, bytes(standing.memory.used),
            standing.memory.used > 0.9 * standing.memory.limit),
    );
}

function showServer(standing: Standing): void {
    const { server } = standing;
    byId('server').textContent =
        server === null
            ? ''
            : `${server.product} ${server.version}, ${standing.shards > 1 ? `${standing.shards} shards` : server.role}, up ${duration(server.uptime_s * 1000)}, ` +
              `${count(server.commands_per_second)} commands/s, ${count(server.clients)} clients, ` +
              `${bytes(server.used_memory)} of data, ${bytes(standing.memory.streams)} for tracked streams`;
}

function showConsumers(): void {
    if (last === null) {
        return;
    }
    const filter = (byId('filter') as HTMLInputElement).value.toLowerCase();
    const rows = last.consumers.filter(each => `${each.library} / ${each.consumer}${at(each)}`.toLowerCase().includes(filter));
    const hidden = Math.max(0, rows.length - MOST_ROWS) + last.left_out;
    byId('consumers-count').textContent = `${rows.length}${hidden > 0 ? `, ${hidden} more are not shown` : ''}`;
    byId('consumers').replaceChildren(
        table(CONSUMERS, rows, {
            most: MOST_ROWS,
            empty: 'No library has a consumer of this name.',
            order,
            onOrder: showConsumers,
            isChosen: isShown,
            onChoose: row => {
                choose(isShown(row) ? null : row, close);
                showConsumers();
                void poll();
            },
        }),
    );
}

function close(): void {
    choose(null, close);
    showConsumers();
    void poll();
}

/** Bound to one poll: an older answer does not come after a newer one. */
let polls = 0;

async function poll(): Promise<void> {
    const mine = ++polls;
    const problem = byId('problem');
    try {
        const of = chosen();
        const [standing, plot, slow] = await Promise.all([
            ask<Standing>('standing'),
            ask<Plot>('history', of === null ? {} : named(of)),
            // Who may not ask for it sees the rest.
            ask<SlowCall[] | null>('slow').catch((error: Error) => error.message),
        ]);
        if (mine !== polls) {
            return;
        }
        problem.hidden = standing.problem === null;
        problem.textContent = standing.problem;
        if (standing.time === undefined) {
            return;
        }
        last = standing;
        showServer(standing);
        showTiles(standing);
        show(plot, of === null ? '' : `${of.library} / ${of.consumer}${at(of)}`);
        showConsumers();
        const chosenOne = standing.consumers.find(isShown);
        if (chosenOne !== undefined) {
            refresh(chosenOne);
        }
        const callbacks = [...standing.callbacks].sort(
            (a, b) => (b.failure_rate ?? 0) - (a.failure_rate ?? 0) || (b.rate ?? 0) - (a.rate ?? 0),
        );
        byId('callbacks').replaceChildren(table(CALLBACKS, callbacks.slice(0, MOST_ROWS), { empty: 'There are none.' }));
        byId('libraries').replaceChildren(table(LIBRARIES, standing.libraries, { empty: 'No library is loaded.' }));
        byId('slow').replaceChildren(
            typeof slow === 'string'
                ? element('p', { class: 'empty' }, slow)
                : table(SLOW, slow ?? [], {
                      empty: slow === null ? 'This server keeps no log of them.' : 'There were none.',
                  }),
        );
        document.body.dataset['ready'] = 'yes';
    } catch (error) {
        if (mine === polls) {
            problem.hidden = false;
            problem.textContent = error instanceof TypeError ? 'gears dashboard has ended' : (error as Error).message;
        }
    }
}

byId('filter').addEventListener('input', showConsumers);
void poll();
setInterval(() => {
    // A page that nobody sees does not ask.
    if (!document.hidden) {
        void poll();
    }
}, POLL_MS);
