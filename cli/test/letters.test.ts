/** Dead letters: shown, summed up, and delivered once more. */

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { connect } from '../src/connection.js';
import { redrives } from '../src/letters.js';
import { LocalServer } from '../src/local_server.js';
import { consumerFigures } from '../src/server.js';
import { eventually, gears } from './gears.js';

// An entry fails with its field `error` unless the key `healed` is there, and for good where it says so.
const LIBRARY = `#!js name=lib
function book(client, data) {
    const fields = new Map(data.record);
    const healed = client.call('EXISTS', 'healed') === 1n && !fields.has('hopeless');
    if (fields.has('error') && !healed) {
        throw fields.get('error');
    }
}
redis.register_stream_consumer('book', 's:', 1, false, book, { dead_letter: 'dead' });
redis.register_stream_consumer('other', 's:', 1, false, book, { dead_letter: 'dead' });
redis.register_stream_consumer('plain', 's:', 1, false, () => {});`;

let server: LocalServer;
let redis: Awaited<ReturnType<typeof connect>>;
before(async () => {
    server = await LocalServer.start();
    redis = await connect({ url: server.url });
});
after(async () => {
    redis?.disconnect();
    await server?.stop();
});
beforeEach(async () => {
    await redis.flushall();
    await redis.call('RG.FUNCTION', 'LOAD', 'UPGRADE', LIBRARY);
});

function run(command: string, ...args: string[]) {
    return gears([command, 'lib', ...args, '--url', server.url]);
}

/** Adds entries that fail, and waits for their letters, of both consumers. */
async function fail(stream: string | Buffer, ...errors: string[]): Promise<void> {
    const length = await redis.xlen('dead');
    for (const error of errors) {
        await redis.xadd(stream, '*', 'error', error, ...(error.startsWith('hopeless') ? ['hopeless', '1'] : []));
    }
    await eventually(async () => (await redis.xlen('dead')) === length + 2 * errors.length);
}

test('letters are shown with the entry that was given up', async () => {
    await fail('s:1', 'first', 'second');
    const shown = await run('letters', 'book', '--json');
    assert.equal(shown.code, 0, shown.stderr);
    assert.equal(shown.json.more, false);
    const [letter, ...more] = shown.json.letters;
    assert.equal(more.length, 1);
    assert.deepEqual([letter.stream, letter.attempts, letter.error], ['s:1', 1, 'first']);
    assert.deepEqual(letter.fields, [['error', 'first']]);
    assert.equal(letter.id, (await redis.xrange('s:1', '-', '+'))[0]?.[0]);
    assert.match((await run('letters', 'book')).stdout, /^STREAM .*\ns:1 .* first +error=first\n/);
});

test('letters are chosen by stream and by error, and summed up by error', async () => {
    await fail('s:1', 'busy', 'hopeless 1');
    await fail('s:2', 'busy');
    const of = async (...args: string[]) => (await run('letters', 'book', '--json', ...args)).json.letters.length;
    assert.equal(await of(), 3);
    assert.equal(await of('--stream', 's:1'), 2);
    assert.equal(await of('--error', 'hopeless*'), 1);
    assert.equal(await of('--error', 'hopeless'), 0);
    assert.equal(await of('--count', '2'), 2);
    assert.deepEqual((await run('letters', 'book', '--summary', '--json')).json.errors, [
        { error: 'busy', letters: 2, streams: 2 },
        { error: 'hopeless 1', letters: 1, streams: 1 },
    ]);
});

test('more letters than a page holds are all found', async () => {
    await fail('s:1', ...Array.from({ length: 600 }, (_, index) => `error ${index}`));
    const all = await run('letters', 'book', '--count', '10000', '--json');
    assert.deepEqual(
        all.json.letters.map((letter: { error: string }) => letter.error),
        Array.from({ length: 600 }, (_, index) => `error ${index}`),
    );
});

test('a redrive reports what succeeded and what failed again, of every stream, and why', async () => {
    await fail('s:1', 'busy', 'hopeless: no', 'busy');
    await fail('s:2', 'busy');
    await redis.set('healed', '1');
    const driven = await run('redrive', 'book', '--json');
    assert.equal(driven.code, 1);
    assert.match(driven.stderr, /some letters failed again/);
    const { delivered, ok, failed, open, errors, last_error } = driven.json;
    assert.deepEqual([delivered, ok, failed, open], [4, 3, 1, 0]);
    assert.deepEqual(errors, { hopeless: 1 });
    assert.equal(last_error, 'hopeless: no');
    const left = (await run('letters', 'book', '--json')).json.letters;
    assert.deepEqual(left.map((letter: { error: string; redrives: number }) => [letter.error, letter.redrives]), [['hopeless: no', 1]]);
    // Those of the other consumer lie in the same stream, and stay.
    assert.equal((await run('letters', 'other', '--json')).json.letters.length, 4);
    // What was before is not counted again.
    const text = await run('redrive', 'book');
    assert.match(text.stdout, /^DELIVERED  OK  FAILED  OPEN\n +1   0       1     0\n\nFAILED  BY ERROR\n +1  hopeless\n\nThe last: hopeless: no\n$/);
});

test('a redrive of one stream or one error leaves the others, and takes so many', async () => {
    await fail('s:1', 'busy', 'busy', 'busy');
    await fail('s:2', 'late');
    await redis.set('healed', '1');
    const driven = await run('redrive', 'book', '--stream', 's:1', '--count', '2', '--json');
    assert.equal(driven.code, 0, driven.stderr);
    assert.deepEqual([driven.json.delivered, driven.json.ok], [2, 2]);
    assert.equal((await run('letters', 'book', '--json')).json.letters.length, 2);
    assert.equal((await run('redrive', 'book', '--error', 'l*', '--json')).json.delivered, 1);
    const [left] = (await run('letters', 'book', '--json')).json.letters;
    assert.equal(left.error, 'busy');
});

test('a stream whose name is not UTF-8 is redriven too', async () => {
    await fail(Buffer.from([0x73, 0x3a, 0xff]), 'busy');
    const [letter] = (await run('letters', 'book', '--json')).json.letters;
    assert.equal(letter.stream, 's:\\xff');
    await redis.set('healed', '1');
    const driven = await run('redrive', 'book', '--json');
    assert.equal(driven.code, 0, driven.stderr);
    assert.equal(driven.json.ok, 1);
});

test('thousands are followed to their end', async () => {
    await fail('s:1', ...Array.from({ length: 3000 }, () => 'busy'));
    await redis.set('healed', '1');
    const driven = await run('redrive', 'book', '--count', '10000', '--json');
    assert.equal(driven.code, 0, driven.stderr);
    assert.deepEqual([driven.json.delivered, driven.json.ok, driven.json.open], [3000, 3000, 0]);
});

test('letters that each hash tag has for itself are shown and redriven together', async () => {
    await redis.call('RG.FUNCTION', 'LOAD', 'UPGRADE', LIBRARY.replaceAll("'dead'", "'dead:{}'"));
    for (const stream of ['s:1', 's:2', 's:{a}']) {
        await redis.xadd(stream, '*', 'error', 'busy');
    }
    const streams = async () => (await run('letters', 'book', '--json')).json.letters.map((letter: { stream: string }) => letter.stream);
    await eventually(async () => (await streams()).length === 3);
    assert.deepEqual((await streams()).sort(), ['s:1', 's:2', 's:{a}']);
    await redis.set('healed', '1');
    const driven = await run('redrive', 'book', '--json');
    assert.equal(driven.code, 0, driven.stderr);
    assert.deepEqual([driven.json.delivered, driven.json.ok], [3, 3]);
    assert.deepEqual(await streams(), []);
});

test('letters that each hash tag has for itself are found by their names where their stream is gone', async () => {
    const name = 'dead[1]:{}:*';
    await redis.call('RG.FUNCTION', 'LOAD', 'UPGRADE', LIBRARY.replaceAll("'dead'", `'${name}'`));
    const raw = Buffer.from([0x73, 0x3a, 0x7b, 0x61, 0x7d, 0xff]);
    const streams = ['s:1', 's:2', 's:{a}', raw];
    for (const stream of streams) {
        await redis.xadd(stream, '*', 'error', 'busy');
    }
    const shown = async (...args: string[]): Promise<string[]> => {
        const { code, stderr, json } = await run('letters', 'book', '--json', ...args);
        assert.equal(code, 0, stderr);
        return json.letters.map((letter: { stream: string }) => letter.stream).sort();
    };
    const all = ['s:1', 's:2', 's:{a}', 's:{a}\\xff'];
    await eventually(async () => (await shown()).length === all.length);
    await redis.del('s:1', raw);
    // Neither is one of ours: another stream by its name, and no stream.
    await redis.xadd('dead1:{x}:y', '*', 'library', 'lib', 'consumer', 'book', 'stream', 's:9');
    await redis.set('dead[1]:{x}:*', '1');
    await redis.xadd('dead[1]:{y}:*', '*', 'a', '1');
    await eventually(async () => (await shown()).length === 2);
    assert.deepEqual(await shown('--gone'), all);
    assert.deepEqual(await shown('--gone', '--stream', 's:1'), ['s:1']);
    assert.deepEqual((await shown('--gone', '--count', '3')).length, 3);
    const { json } = await run('letters', 'book', '--gone', '--summary', '--json');
    assert.deepEqual(json.errors, [{ error: 'busy', letters: 4, streams: 4 }]);
});

test('a redrive that has not ended in time says so', async () => {
    await fail('s:1', 'busy');
    await redis.set('healed', '1');
    await redis.call('RG.CONSUMER', 'PAUSE', 'lib', 'book');
    const driven = await run('redrive', 'book', '--wait', '1', '--json');
    assert.equal(driven.code, 1);
    assert.match(driven.stderr, /not all have ended after 1 seconds/);
    assert.equal(driven.json.open, 1);
    await redis.call('RG.CONSUMER', 'RESUME', 'lib', 'book');
    await eventually(async () => (await run('letters', 'book', '--json')).json.letters.length === 0);
});

test('letters whose stream goes meanwhile are told, and nobody waits for them', async () => {
    await fail('s:1', 'busy', 'busy');
    await redis.call('RG.CONSUMER', 'PAUSE', 'lib', 'book');
    const running = run('redrive', 'book', '--wait', '600', '--json');
    await eventually(async () => (await redrives(redis, 'lib', 'book')).open === 2, { timeoutMs: 60_000 });
    await redis.del('s:1');
    await redis.call('RG.CONSUMER', 'RESUME', 'lib', 'book');
    const driven = await running;
    assert.equal(driven.code, 1);
    assert.match(driven.stderr, /some were forgotten/);
    assert.deepEqual([driven.json.delivered, driven.json.open], [2, 2]);
    assert.equal((await run('letters', 'book', '--json')).json.letters.length, 2);
});

test('without letters, without a dead letter stream and without a consumer it says so', async () => {
    await redis.xadd('s:1', '*', 'a', '1');
    await eventually(async () => (await consumerFigures(redis, 'lib', 'book')).streams === 1);
    assert.match((await run('letters', 'book')).stdout, /^No dead letters$/m);
    const none = await run('redrive', 'book');
    assert.deepEqual([none.code, none.stdout], [0, 'No dead letters\n']);
    const unknown = await run('redrive', 'book', '--stream', 's:nosuch');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /knows no stream 's:nosuch'/);
    const plain = await run('letters', 'plain');
    assert.equal(plain.code, 1);
    assert.match(plain.stderr, /has no dead letter stream/);
    const nobody = await run('letters', 'nobody');
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /has no stream consumer 'nobody'/);
});
