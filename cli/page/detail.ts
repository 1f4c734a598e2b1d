/** One consumer in full: its figures, its last error, the streams furthest behind, its dead letters. */

import { ask, tell } from './ask';
import { at, byId, element, stackOf, table } from './dom';
import type { Consumer, Letter, Stream } from './replies';
import { outcomeOf, type Redrives } from '../src/outcome';
import { count, duration, frames, when } from '../src/words';

const STREAMS = 20;
const LETTERS = 20;
/** For so long the outcome of a redrive is followed. */
const FOLLOW_MS = 60_000;

interface Named {
    readonly library: string;
    readonly consumer: string;
    readonly shard: string | null;
}

let shown: Named | null = null;
let cursor = '0';
let letters: Letter[] = [];
let pattern = '';
/** Answers that belong to what was shown before are thrown away. */
let turn = 0;

export function isShown(each: Consumer): boolean {
    return shown?.library === each.library && shown.consumer === each.consumer && shown.shard === each.shard;
}

export function chosen(): Named | null {
    return shown;
}

/** How a question names it. */
export function named({ library, consumer, shard }: Named): Record<string, string> {
    return { library, consumer, ...(shard === null ? {} : { shard }) };
}

export function choose(each: Consumer | null, onClose: () => void): void {
    turn += 1;
    shown = each === null ? null : { library: each.library, consumer: each.consumer, shard: each.shard };
    [cursor, letters, pattern] = ['0', [], ''];
    const box = byId('detail');
    box.hidden = each === null;
    if (each === null) {
        box.replaceChildren();
        return;
    }
    const search = element('input', { type: 'search', placeholder: 'error, * is any text', 'aria-label': 'error' });
    const search_now = (): void => {
        pattern = search.value;
        cursor = '0';
        letters = [];
        void loadLetters();
    };
    search.addEventListener('change', search_now);
    box.replaceChildren(
        element(
            'div',
            { class: 'detail-head' },
            element('h2', {}, `${each.library} / ${each.consumer}${at(each)}`),
            element('button', { class: 'act', click: onClose }, 'Close'),
        ),
        element('div', { id: 'facts' }),
        element('h3', {}, 'Streams that are furthest behind'),
        element('div', { id: 'streams' }, element('p', { class: 'empty' }, '…')),
    );
    if (each.dead_letter !== null) {
        box.append(
            element(
                'h3',
                {},
                `Dead letters in ${each.dead_letter}`,
                element(
                    'span',
                    { class: 'letters-tools' },
                    search,
                    element('button', { class: 'act', id: 'redrive', click: () => void redriveAll() }, 'Redrive these'),
                    element('span', { id: 'redriven', role: 'status' }),
                ),
            ),
            element('div', { id: 'letters' }, element('p', { class: 'empty' }, '…')),
        );
        void loadLetters();
    }
    refresh(each);
}

/** What changes by itself. */
export function refresh(each: Consumer): void {
    const facts: [string, string][] = [
        ['processed', count(each.processed)],
        ['attempts', count(each.attempts)],
        ['failures', count(each.failures)],
        ['given up', count(each.given_up)],
        ['letters written', count(each.dead_letters)],
        ['redriven', count(each.redriven)],
        ['filtered', count(each.filtered)],
        ['streams', count(each.streams)],
        ['blocked streams', count(each.blocked_streams)],
        ['in flight', count(each.in_flight)],
        ['lag p50', duration(each.lag_ms_p50)],
        ['lag p99', duration(each.lag_ms_p99)],
        ['lag max', duration(each.lag_ms_max)],
        ['processing p50', duration(each.processing_ms_p50)],
        ['processing p99', duration(each.processing_ms_p99)],
        ['under the lock', duration(each.locked_ms)],
    ];
    const error = each.last_error ?? each.error;
    byId('facts').replaceChildren(
        element(
            'div',
            { class: 'facts' },
            ...facts.map(([name, value]) => element('div', {}, element('span', {}, name), element('b', {}, value))),
        ),
        ...(error === null
            ? []
            : [
                  element('h3', {}, 'Last error', element('small', {}, errorPlace(each))),
                  element('pre', { class: 'reason' }, [error, ...frames(each.last_error_stack).map(frame => `    at ${frame}`)].join('\n')),
              ]),
        ...Object.entries(each.error_classes)
            .sort((a, b) => b[1] - a[1])
            .map(([name, times]) => element('div', {}, `${count(times)} × ${name}`)),
    );
    void loadStreams();
}

function errorPlace(each: Consumer): string {
    const time = each.last_error_time > 0 ? when(each.last_error_time) : '';
    return [time, each.last_error_id === null ? '' : `entry ${each.last_error_id}`].filter(Boolean).join(', ');
}

async function loadStreams(): Promise<void> {
    if (shown === null) {
        return;
    }
    const [mine, at] = [turn, { ...named(shown), count: STREAMS }];
    let content: HTMLElement;
    try {
        content = table<Stream>(
            [
                { title: 'stream', cell: row => row.name, kind: 'name' },
                { title: 'db', cell: row => row.db, kind: 'number' },
                { title: 'state', cell: row => row.state },
                { title: 'behind', cell: row => duration(row.behind_ms), kind: 'number' },
                { title: 'pending', cell: row => count(row.pending), kind: 'number' },
                { title: 'processed', cell: row => count(row.processed), kind: 'number' },
                { title: 'position', cell: row => row.position, kind: 'time' },
                { title: 'last error', cell: row => row.last_error ?? '', kind: 'text' },
            ],
            await ask<Stream[]>('streams', at),
            { empty: 'No stream is behind.' },
        );
    } catch (error) {
        content = element('p', { class: 'reason' }, (error as Error).message);
    }
    if (mine === turn) {
        byId('streams').replaceChildren(content);
    }
}

async function loadLetters(): Promise<void> {
    if (shown === null) {
        return;
    }
    const mine = turn;
    try {
        const of = { ...named(shown), cursor, count: LETTERS, ...(pattern === '' ? {} : { error: pattern }) };
        const page = await ask<{ cursor: string; letters: Letter[] }>('letters', of);
        if (mine !== turn) {
            return;
        }
        cursor = page.cursor;
        letters.push(...page.letters);
        showLetters();
        // A page may be empty although more follows.
        if (letters.length === 0 && cursor !== '0') {
            await loadLetters();
        }
    } catch (error) {
        if (mine === turn) {
            byId('letters').replaceChildren(element('p', { class: 'reason' }, (error as Error).message));
        }
    }
}

function showLetters(): void {
    byId('letters').replaceChildren(
        table<Letter>(
            [
                { title: 'given up', cell: row => when(row.time), kind: 'time' },
                { title: 'stream', cell: row => row.stream, kind: 'name' },
                { title: 'entry', cell: row => row.id, kind: 'time' },
                { title: 'attempts', cell: row => row.attempts, kind: 'number' },
                { title: 'redrives', cell: row => row.redrives, kind: 'number' },
                {
                    title: 'error',
                    cell: row => [row.error, stackOf(row.stack)],
                    kind: 'text',
                },
                { title: 'fields', cell: row => row.fields.map(pair => pair.join('=')).join(' '), kind: 'text' },
                {
                    title: '',
                    cell: row =>
                        element('button', { class: 'act', click: () => void redriveNow({ letter: row.letter, key: row.key }) }, 'Redrive'),
                },
            ],
            letters,
            { empty: 'There are none.' },
        ),
        ...(cursor === '0' ? [] : [element('button', { class: 'act', click: () => void loadLetters() }, 'More')]),
    );
}

async function redriveAll(): Promise<void> {
    const which = pattern === '' ? 'all dead letters' : `the dead letters whose error is ${pattern}`;
    if (confirm(`Deliver ${which} of ${shown?.consumer} once more?`)) {
        await redriveNow(pattern === '' ? {} : { error: pattern });
    }
}

async function redriveNow(which: Record<string, string>): Promise<void> {
    if (shown === null) {
        return;
    }
    const [mine, of] = [turn, named(shown)];
    const say = (text: string): void => {
        if (mine === turn) {
            byId('redriven').textContent = text;
        }
    };
    try {
        const { before, redriven } = await tell<{ before: Redrives; redriven: number }>('redrive', { ...of, ...which });
        const delivered = `${count(redriven)} delivered again`;
        say(delivered);
        const deadline = Date.now() + FOLLOW_MS;
        for (;;) {
            const now = await ask<Redrives>('redrives', of);
            const { ok, failed, open, errors } = outcomeOf(before, now, redriven);
            const classes = Object.entries(errors).map(([name, times]) => `${count(times)} × ${name}`).join(', ');
            say(`${delivered}: ${count(ok)} ok, ${count(failed)} failed${classes === '' ? '' : ` (${classes})`}, ${count(open)} open`);
            if (open === 0 || now.open === 0 || mine !== turn || Date.now() > deadline) {
                break;
            }
            await new Promise(resolve => setTimeout(resolve, 500));
        }
    } catch (error) {
        say((error as Error).message);
    }
    if (mine === turn) {
        [cursor, letters] = ['0', []];
        void loadLetters();
    }
}
