/** The exporter's figures, against those of INFO. */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { after, before, test } from 'node:test';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { moduleInfo } from '../src/server.js';
import { eventually, freePort, gears, servedBy, start } from './gears.js';

const LIBRARY = `#!js name=lib
redis.register_stream_consumer('book', 's:', 1, false, (c, data) => {
    if (data.record[0][0] === 'bad') {
        throw new Error('bad');
    }
}, { dead_letter: 'dead' });
redis.register_stream_consumer('a "quoted"\\\\name', 'q:', 1, false, () => {});
redis.register_notifications_consumer('note', 'k:', () => {});
redis.register_function('f', () => 1);`;

let server: LocalServer;
let redis: Awaited<ReturnType<typeof connect>>;
const running: ChildProcess[] = [];
before(async () => {
    server = await LocalServer.start();
    redis = await connect({ url: server.url });
    await redis.call('RG.FUNCTION', 'LOAD', LIBRARY);
    await redis.xadd('s:1', '*', 'good', '1');
    await redis.xadd('s:1', '*', 'bad', '1');
    await redis.set('k:1', 'a');
    await redis.call('RG.FCALL', 'lib', 'f', 0);
    await eventually(async () => (await info('consumers', 'consumer_lib_book')).get('processed') === 2);
});
after(async () => {
    running.forEach(child => child.kill('SIGKILL'));
    redis?.disconnect();
    await server?.stop();
});

/** The words of one line of INFO. */
async function words(section: string, line: string): Promise<Map<string, string>> {
    const text = (await moduleInfo(redis, section)).get(line) ?? '';
    return new Map(text.split(',').map(pair => [pair.split('=')[0] ?? '', pair.split('=')[1] ?? '']));
}

/** The numbers of one line of INFO. */
async function info(section: string, line: string): Promise<Map<string, number>> {
    return new Map([...(await words(section, line))].map(([name, value]) => [name, Number(value)]));
}

/** An exporter's URL and process. */
async function serve(...args: string[]): Promise<{ url: string; child: ChildProcess }> {
    const child = start(['exporter', '--port', '0', '--json', ...args]);
    running.push(child);
    return { url: (await servedBy(child)).href, child };
}

/** The samples by name and labels, as they are written. */
async function scrape(url: string): Promise<Map<string, number>> {
    const response = await fetch(url);
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    const lines = (await response.text()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
    return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}

test("the figures are INFO's", async () => {
    const { url, child } = await serve('--url', server.url);
    const samples = await eventually(async () => {
        const found = await scrape(url);
        return found.get('redisgears_up') === 1 && found;
    });
    const book = await info('consumers', 'consumer_lib_book');
    const labels = '{library="lib",consumer="book"}';
    for (const name of ['processed', 'attempts', 'failures', 'given_up', 'dead_letters', 'filtered', 'redriven']) {
        assert.equal(samples.get(`redisgears_consumer_${name}_total${labels}`), book.get(name), name);
    }
    assert.equal(samples.get(`redisgears_consumer_given_up_total${labels}`), 1);
    assert.equal(samples.get(`redisgears_consumer_streams${labels}`), book.get('streams'));
    assert.equal(samples.get(`redisgears_consumer_in_flight${labels}`), 0);
    for (const name of ['backlog_entries', 'backlog_exact', 'blocked_streams']) {
        assert.equal(samples.get(`redisgears_consumer_${name}${labels}`), book.get(name), name);
    }
    const seconds = (name: string, ms: number | undefined): void => {
        const found = samples.get(name) ?? NaN;
        assert.ok(Math.abs(found - (ms ?? NaN) / 1000) < 1e-6, `${name}: ${found} and ${ms}`);
    };
    for (const which of ['lag', 'processing']) {
        seconds(`redisgears_consumer_${which}_max_seconds${labels}`, book.get(`${which}_ms_max`));
        for (const [quantile, part] of [['0.5', 'p50'], ['0.99', 'p99']]) {
            const name = `redisgears_consumer_${which}_seconds{library="lib",consumer="book",quantile="${quantile}"}`;
            seconds(name, book.get(`${which}_ms_${part}`));
        }
    }
    seconds(`redisgears_consumer_oldest_pending_seconds${labels}`, 0);
    seconds(`redisgears_consumer_last_error_timestamp_seconds${labels}`, book.get('last_error_time'));
    assert.equal((await words('consumers', 'consumer_lib_book')).get('error_classes'), 'Error:1');
    assert.equal(samples.get('redisgears_consumer_errors_total{library="lib",consumer="book",class="Error"}'), 1);
    for (const [kind, name] of [['function', 'f'], ['trigger', 'note']] as const) {
        const line = await info(`${kind}s`, `${kind}_lib_${name}`);
        const of = `{kind="${kind}",library="lib",callback="${name}"}`;
        assert.equal(line.get('calls'), 1, kind);
        for (const figure of ['calls', 'errors', 'bytes']) {
            assert.equal(samples.get(`redisgears_callback_${figure}_total${of}`), line.get(figure), `${kind} ${figure}`);
        }
        assert.equal(samples.get(`redisgears_callback_running${of}`), line.get('running'));
        assert.equal(samples.get(`redisgears_callback_paused${of}`), 0);
        seconds(`redisgears_callback_locked_seconds_total${of}`, line.get('locked_ms'));
        seconds(`redisgears_callback_duration_max_seconds${of}`, line.get('duration_ms_max'));
    }
    assert.equal(samples.get('redisgears_callback_calls_total{kind="consumer",library="lib",callback="book"}'), 2);
    assert.equal(samples.get('redisgears_callbacks_left_out'), 0);
    assert.equal(samples.get(`redisgears_consumer_behind_seconds${labels}`), 0);
    const state = (which: string) => samples.get(`redisgears_consumer_state{library="lib",consumer="book",state="${which}"}`);
    assert.deepEqual([state('running'), state('aborted')], [1, 0]);
    const note = await info('triggers', 'trigger_lib_note');
    assert.equal(note.get('triggered'), 1);
    assert.equal(samples.get('redisgears_trigger_triggered_total{library="lib",trigger="note"}'), 1);
    assert.equal(samples.get('redisgears_trigger_dropped_total{library="lib",trigger="note"}'), 0);
    const lib = await info('libraries', 'library_lib');
    assert.equal(samples.get('redisgears_library_heap_bytes{library="lib"}'), lib.get('used_heap'));
    assert.equal(samples.get('redisgears_library_quarantined{library="lib"}'), 0);
    assert.equal(samples.get('redisgears_memory_limit_bytes'), 2 * 1024 ** 3);
    assert.ok(samples.has('redisgears_consumer_processed_total{library="lib",consumer="a \\"quoted\\"\\\\name"}'));
    assert.equal((await fetch(url.replace('/metrics', '/'))).status, 404);

    child.kill('SIGTERM');
    assert.equal(await new Promise(resolve => child.once('exit', resolve)), 0);
});

test('a consumer that stands still is seen by its state and by how long it is behind', async () => {
    const { url } = await serve('--url', server.url);
    await redis.call('RG.CONSUMER', 'PAUSE', 'lib', 'book');
    await redis.call('RG.FUNCTION', 'PAUSE', 'lib', 'f');
    await redis.xadd('s:1', '*', 'good', '2');
    await redis.xadd('s:2', '*', 'good', '3');
    await eventually(async () => {
        const samples = await scrape(url);
        const state = samples.get('redisgears_consumer_state{library="lib",consumer="book",state="paused"}');
        const behind = samples.get('redisgears_consumer_behind_seconds{library="lib",consumer="book"}') ?? 0;
        const backlog = samples.get('redisgears_consumer_backlog_entries{library="lib",consumer="book"}');
        const paused = samples.get('redisgears_callback_paused{kind="function",library="lib",callback="f"}');
        return state === 1 && behind > 0 && backlog === 2 && paused === 1;
    });
    await redis.call('RG.CONSUMER', 'RESUME', 'lib', 'book');
    await redis.call('RG.FUNCTION', 'RESUME', 'lib', 'f');
});

test('more consumers than wanted are counted alone', async () => {
    const { url } = await serve('--url', server.url, '--most-consumers', '1');
    const samples = await eventually(async () => {
        const found = await scrape(url);
        return found.get('redisgears_up') === 1 && found;
    });
    assert.equal(samples.get('redisgears_consumers_left_out'), 1);
    assert.equal(samples.get('redisgears_callbacks_left_out'), 1);
    const functionsAndTriggers = /^redisgears_callback_running.*kind="(function|trigger)"/;
    assert.equal([...samples.keys()].filter(name => functionsAndTriggers.test(name)).length, 1);
    assert.equal([...samples.keys()].filter(name => name.startsWith('redisgears_consumer_streams')).length, 1);
});

test('a server that is gone is down, and up again when it is back', async () => {
    const port = await freePort();
    const { url } = await serve('--url', `redis://127.0.0.1:${port}`);
    const up = async () => (await scrape(url)).get('redisgears_up');
    assert.equal(await up(), 0);
    const second = await LocalServer.start({}, '--port', String(port), '--bind', '127.0.0.1');
    try {
        await eventually(async () => (await up()) === 1, { timeoutMs: 60_000 });
    } finally {
        await second.stop();
    }
    await eventually(async () => (await up()) === 0);
});

test('a port that is taken is an error', async () => {
    const { url } = await serve('--url', server.url);
    const again = await gears(['exporter', '--url', server.url, '--port', new URL(url).port]);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /EADDRINUSE/);
});
