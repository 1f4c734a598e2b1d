/** `gears top`: what it shows of a reading, and how it behaves in a terminal. */

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { after, before, test } from 'node:test';
import { press } from '../src/commands/top.js';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { packageFile } from '../src/package.js';
import { frame, type Shown } from '../src/top/frame.js';
import { cut, parts, shares, widthOf, wrap } from '../src/top/layout.js';
import { sortConsumers, SORTS } from '../src/top/order.js';
import { rendered } from '../src/top/screen.js';
import type { ConsumerRow } from '../src/watch/rates.js';
import { topmost } from '../src/words.js';
import { eventually, gears } from './gears.js';

const CONSUMER: ConsumerRow = {
    library: 'lib', consumer: 'book', state: 'running', error: null, reason: null, dead_letter: null, streams: 3,
    processed: 10, in_flight: 0, attempts: 0, failures: 0, given_up: 0, dead_letters: 0, filtered: 0, lag_ms_p50: 1,
    lag_ms_p99: 2, processing_ms_p50: 1, processing_ms_p99: 2, last_error: null, last_error_stack: null,
    last_error_id: null, last_error_time: 0, error_classes: {}, blocked_streams: 0, backlog_entries: 0,
    backlog_exact: true, oldest_pending_ms: 0, lag_ms_max: 2, processing_ms_max: 2, redriven: 0, calls: 10, errors: 0,
    running: 0, duration_ms_p50: 1, duration_ms_p99: 2, duration_ms_max: 2, locked_ms: 1, bytes: 1, behind_ms: 0,
    rate: 5, failure_rate: 0, trouble: 'none', shard: null,
};

function shown(consumers: ConsumerRow[], more: Partial<Shown> = {}): Shown {
    const standing = {
        time: Date.now(), server: null, memory: new Map(), libraries: [], heaps: new Map(), consumers, callbacks: [],
        left_out: 0,
    };
    return {
        view: { standing, consumers, callbacks: [], shards: 1, missing: [] }, problem: null, slow: [], sort: 'trouble', isReversed: false,
        scroll: 0, hint: 'keys', ...more,
    };
}

/** One in trouble of each kind, among many that are well. */
const MANY: ConsumerRow[] = [
    ...Array.from({ length: 60 }, (_, at) => ({ ...CONSUMER, consumer: `well-${at}`, rate: at })),
    { ...CONSUMER, consumer: 'late', behind_ms: 60_000, trouble: 'behind' },
    { ...CONSUMER, consumer: 'wrong', state: 'waiting', failure_rate: 3, last_error: 'TypeError: no', trouble: 'failing' },
    { ...CONSUMER, consumer: 'dead', state: 'aborted', error: 'it is \x1b[2J broken', trouble: 'stopped' },
];

test('no frame is wider or higher than its screen, however small that is', () => {
    const names = ['書庫の消費者'.repeat(8), 'a'.repeat(300), 'e\u0301'.repeat(40)];
    const rows = [...MANY, ...names.map(consumer => ({ ...CONSUMER, consumer }))];
    const slow = [{ id: 1, time: 0, duration_ms: 1e6, library: 'l'.repeat(99), kind: 'trigger', callback: 'c', key: Buffer.alloc(64, 0xff), entry_id: '1-1', stack: null }];
    for (const width of [1, 7, 20, 33, 40, 60, 80, 81, 120, 200]) {
        for (const height of [1, 4, 6, 10, 24, 60]) {
            for (const scroll of [0, 50, 9999]) {
                const lines = frame(shown(rows, { slow, scroll, problem: 'gone' }), { width, height });
                assert.ok(lines.length <= height, `${lines.length} lines at ${width}x${height}`);
                const widest = Math.max(...lines.map(line => widthOf(line.text)));
                assert.ok(widest <= width, `${widest} cells at ${width}x${height}`);
            }
        }
    }
});

test('who stands still comes first, who fails next, and both say why', () => {
    const texts = frame(shown(MANY), { width: 80, height: 24 }).map(line => line.text);
    const at = texts.findIndex(text => text.includes('CONSUMER'));
    assert.match(texts[at + 1] ?? '', /^! lib\/dead +aborted/);
    assert.match(texts[at + 2] ?? '', /^x lib\/wrong +waiting/);
    assert.match(texts[at + 3] ?? '', /^> lib\/late +running .* 60 s/);
    assert.ok(texts.includes('! lib/dead: it is \\x1b[2J broken'), 'what would steer the terminal is not escaped');
    assert.ok(texts.includes('x lib/wrong: TypeError: no'));
    assert.match(texts[1] ?? '', /^1 stopped, 1 failing, 1 behind   63 consumers/);
    assert.equal(texts.at(-1), 'keys');
});

test('the place of the last error is not shown beside a reason that is another one', () => {
    const last = { last_error: 'Error: long ago', last_error_stack: 'at book (src/a.ts:1:2)', trouble: 'stopped' } as const;
    const why = (more: Partial<ConsumerRow>): string =>
        frame(shown([{ ...CONSUMER, ...last, ...more }]), { width: 140, height: 24 }).map(line => line.text).join('\n');
    assert.match(why({ state: 'refused', error: 'NOREPLICAS no', reason: 'NOREPLICAS no' }), /^! lib\/book: NOREPLICAS no$/m);
    assert.match(why({ state: 'aborted', error: 'Error: long ago' }), /^! lib\/book: Error: long ago   at book \(src\/a\.ts:1:2\)$/m);
});

test('shards that are missing are named above the others, and old figures are said to be old', () => {
    const missing = ['a:1', 'b:2'].map(shard => ({ shard, problem: 'no answer' }));
    const { view } = shown(MANY);
    const lines = (problem: string | null) => frame(shown(MANY, { view: { ...view, missing }, problem }), { width: 80, height: 24 });
    const [third, old] = [lines(null)[3], lines('gone')[3]];
    assert.deepEqual(third, { text: 'Without a:1: no answer; b:2: no answer', style: 'problem' });
    assert.deepEqual(old, { text: 'No new reading: gone', style: 'problem' });
    assert.ok(lines(null).some(line => line.text.startsWith('! lib/dead')));
});

test('a narrow screen leaves out what says least, and keeps name, state and age', () => {
    const heading = (width: number): string =>
        frame(shown(MANY), { width, height: 24 }).find(line => line.style === 'heading')?.text ?? '';
    assert.match(heading(140), /CONSUMER .*STATE .*DONE\/S .*FAIL\/S .*BACKLOG .*AGE .*LAG P99 .*CALL P99 .*STREAMS/);
    assert.match(heading(80), /CONSUMER .*STATE .*DONE\/S .*FAIL\/S .*BACKLOG .*AGE/);
    assert.match(heading(40), /CONSUMER .*STATE .*AGE$/);
    assert.doesNotMatch(heading(40), /DONE/);
    assert.match(heading(38), /CONSUMER .*STATE .*AGE$/);
    assert.match(heading(32), /CONSUMER .*STATE .*AGE$/);
    assert.match(heading(16), /CONSUMER$/);
});

test('each figure sorts by itself, the highest first, and inverted the lowest', () => {
    const first = (sort: (typeof SORTS)[number], inverted = false) => sortConsumers(MANY, sort, inverted)[0]?.consumer;
    assert.equal(first('rate'), 'well-59');
    assert.equal(first('rate', true), 'well-0');
    assert.equal(first('errors'), 'wrong');
    assert.equal(first('age'), 'late');
    assert.equal(first('name'), 'dead');
    assert.equal(first('name', true), 'wrong');
    assert.equal(new Set(SORTS.map(sort => sort[0])).size, SORTS.length, 'two figures have the same key');
});

test('keys sort, scroll no further than the rows, and end it', () => {
    const key = (name: string, isControl = false) => ({ name, isControl });
    const start = shown(MANY);
    assert.equal(press(start, key('b'), 10)?.sort, 'backlog');
    assert.equal(press(start, key('x'), 10), start);
    assert.equal(press(start, key('i'), 10)?.isReversed, true);
    assert.equal(press(start, key('up'), 10)?.scroll, 0);
    assert.equal(press(start, key('pagedown'), 10)?.scroll, 10);
    assert.equal(press(start, key('end'), 10)?.scroll, 62);
    assert.equal(press(start, key('q'), 10), null);
    assert.equal(press(start, key('c', true), 10), null);
    assert.equal(press(start, key('b', true), 10), start);
    const last = frame({ ...start, scroll: 9999 }, { width: 80, height: 24 }).map(line => line.text).join('\n');
    assert.match(last, /well-9 /);
});

test('wide characters take two cells, and marks above letters none', () => {
    assert.equal(widthOf('書a'), 3);
    assert.equal(widthOf('e\u0301'), 1);
    assert.equal(cut('書書書', 5), '書書…');
    assert.equal(parts(['one', 'two', 'three'], 9), 'one   two');
});

test('a long line is broken between words, and cut in the last line there is', () => {
    assert.deepEqual(wrap('one two three', 40, 3), ['one two three']);
    assert.deepEqual(wrap('Error: the ledger is closed', 20, 3), ['Error: the ledger is', '    closed']);
    assert.deepEqual(wrap('a'.repeat(50), 20, 2), ['a'.repeat(20), `    ${'a'.repeat(15)}…`]);
    assert.deepEqual(wrap('書'.repeat(12), 20, 3), ['書'.repeat(10), `    ${'書'.repeat(2)}`]);
    assert.deepEqual(wrap('one two three', 7, 3), ['one tw…']);
    assert.deepEqual(wrap('', 20, 3), []);
});

test('a frame without a name of its own is its place alone', () => {
    assert.equal(topmost('at book (src/a.ts:1:2)|at redis.x (lib:3:4)'), 'book (src/a.ts:1:2)');
    assert.equal(topmost('    at redis.register_stream_consumer.dead_letter (src/a.ts:1:2)\n'), 'src/a.ts:1:2');
    assert.equal(topmost('at lib:1:2'), 'lib:1:2');
    assert.equal(topmost(null), '');
});

test('sections share a screen, and one without room for a row gets no lines', () => {
    assert.deepEqual(shares([5, 5], 20, 3), [5, 5]);
    assert.deepEqual(shares([40, 10, 10], 20, 3), [10, 5, 5]);
    assert.deepEqual(shares([40, 10, 10], 7, 3), [7, 0, 0]);
    assert.deepEqual(shares([0, 4, 4], 5, 3), [0, 4, 0]);
});

test('without colours it is bold or reversed at most', () => {
    assert.equal(rendered({ text: 'a', style: 'stopped' }, true), '\x1b[1;31ma\x1b[0m');
    assert.equal(rendered({ text: 'a', style: 'stopped' }, false), '\x1b[1ma\x1b[0m');
    assert.equal(rendered({ text: 'a', style: 'failing' }, false), 'a');
});

const LIBRARY = `#!js name=lib
redis.register_stream_consumer('book', 's:', 1, false, (client, data) => {
    if (data.record[0][0] === 'bad') { throw new Error('bad ' + data.record[0][1]); }
}, { dead_letter: 'dead' });
redis.register_stream_consumer('stopped', 'stop:', 1, false, () => { throw new Error('it is broken'); }, { on_failure: 'abort' });
redis.register_notifications_consumer('note', 'k:', () => {});
redis.register_function('take', () => { for (const end = Date.now() + 150; Date.now() < end;); return 1; });`;

let server: LocalServer;
let redis: Awaited<ReturnType<typeof connect>>;
const running: ChildProcess[] = [];
before(async () => {
    server = await LocalServer.start();
    redis = await connect({ url: server.url });
    await redis.call('RG.FUNCTION', 'LOAD', LIBRARY);
    await redis.xadd('s:1', '*', 'good', '1');
    await redis.xadd('s:1', '*', 'bad', '1');
    await redis.xadd('stop:1', '*', 'a', '1');
    await redis.call('RG.FCALL', 'lib', 'take', '0');
    await eventually(async () => (await redis.xlen('dead')) === 1);
});
after(async () => {
    running.forEach(child => child.kill('SIGKILL'));
    redis?.disconnect();
    await server?.stop();
});

test('without a terminal it prints one reading, and ends', async () => {
    const { code, stdout, stderr } = await gears(['top', '--url', server.url, '--interval', '1']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /! lib\/stopped +aborted/);
    assert.match(stdout, /lib\/book +running/);
    assert.match(stdout, /! lib\/stopped: .*it is broken/);
    assert.match(stdout, /lib\/note +trigger/);
    assert.match(stdout, /SLOW CALL[^]*lib\/take +function +\d{3} ms/);
    assert.doesNotMatch(stdout, /\x1b/);
});

test('as JSON it has the rates, and the worst first', async () => {
    const { json } = await gears(['top', '--once', '--json', '--url', server.url, '--interval', '1']);
    assert.deepEqual(json.consumers.map((each: any) => [each.consumer, each.trouble]), [['stopped', 'stopped'], ['book', 'none']]);
    assert.deepEqual([json.consumers[1].rate, json.consumers[1].failures, json.consumers[1].dead_letter], [0, 1, 'dead']);
    assert.equal(json.slow[0].callback, 'take');
    assert.deepEqual(json.callbacks.map((each: any) => each.name).sort(), ['note', 'take']);
});

test('a server that is not there, and a figure that does not exist, are told', async () => {
    const gone = await gears(['top', '--url', 'redis://127.0.0.1:1']);
    assert.deepEqual([gone.code, gone.stdout], [3, '']);
    assert.match(gone.stderr, /^gears: cannot connect: .*ECONNREFUSED/);
    assert.equal((await gears(['top', '--sort', 'beauty', '--url', server.url])).code, 2);
});

/** Starts it in a terminal of that size; `script` is of util-linux, and lends it one. */
function inTerminal(columns: number, rows: number): { child: ChildProcess; written: () => string } {
    const command = `stty cols ${columns} rows ${rows}; exec '${process.execPath}' '${packageFile('dist/src/main.js')}' top --interval 1 --url ${server.url}`;
    const child = spawn('script', ['-qec', command, '/dev/null'], { env: { ...process.env, TERM: 'xterm', SHELL: '/bin/sh' } });
    running.push(child);
    let all = '';
    // A character may come in two parts.
    child.stdout.setEncoding('utf8').on('data', (data: string) => (all += data));
    return { child, written: () => all };
}

test('in a terminal it draws until a key ends it, and leaves the screen as it was', async () => {
    const { child, written } = inTerminal(50, 20);
    const drawings = (): string[] => written().split('\x1b[H').slice(1);
    await eventually(async () => drawings().length >= 3);
    assert.ok((drawings().at(-2) ?? '').endsWith('…\x1b[0m'), 'the end of a full line is wiped');
    const lines = (drawings().at(-2) ?? '').replace(/\x1b\[[0-9;]*[A-Za-z]/g, '').split(/\r+\n/);
    assert.equal(lines.length, 20);
    assert.ok(lines.every(line => widthOf(line) <= 50), lines.join('\n'));
    assert.match(lines.join('\n'), /! lib\/stopped +aborted/);
    child.stdin?.write('n');
    await eventually(async () => /by name/.test(written()));
    const closed = new Promise(resolve => child.once('close', resolve));
    child.stdin?.write('q');
    assert.equal(await closed, 0);
    assert.match(written(), /^[^]*\x1b\[\?1049h[^]*\x1b\[\?25h\x1b\[\?1049l\s*$/);
});

test('a hundred thousand streams are one row like any other', async t => {
    await redis.call('RG.FUNCTION', 'LOAD', '#!js name=many\nredis.register_stream_consumer("all", "many:", 1, false, () => {});');
    for (let from = 0; from < 100_000; from += 5_000) {
        const pipeline = redis.pipeline();
        for (let index = from; index < from + 5_000; index += 1) {
            pipeline.xadd(`many:${index}`, '*', 'a', '1');
        }
        await pipeline.exec();
    }
    const began = Date.now();
    await eventually(async () => {
        const { stdout } = await gears(['top', '--once', '--url', server.url, '--interval', '1']);
        return /many\/all .* 100,000\n/.test(stdout);
    });
    t.diagnostic(`shown after ${Date.now() - began} ms`);
});
