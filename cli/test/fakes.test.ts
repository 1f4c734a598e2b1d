/** Fakes for units of libraries: entries, events, clients, a clock, and what a top level registers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, fakeClient, fakeClock, fakeEntry, fakeEvent, fakeLibrary, redisError } from '../src/testing.js';

const redisOf = () => (globalThis as any).redis;

test('an entry has its fields in order, as text and as bytes', () => {
    const entry = fakeEntry('s:1', [['a', '1'], ['a', new Uint8Array([0xff])]], { id: '5-2' });
    assert.deepEqual(entry.id, [5n, 2n]);
    assert.equal(entry.stream_name, 's:1');
    assert.deepEqual(entry.record, [['a', '1'], ['a', null]]);
    assert.deepEqual(Buffer.from(entry.record_raw[1]![1]), Buffer.from([0xff]));
    assert.equal(Buffer.from(entry.stream_name_raw).toString(), 's:1');
    assert.deepEqual(Object.keys(entry), ['id', 'stream_name', 'record']);
    assert.deepEqual(fakeEntry('s', { b: '2', c: '3' }).record, [['b', '2'], ['c', '3']]);
    assert.throws(() => fakeEntry('s', {}, { id: 'x' }), /no ID of an entry/);
});

test('IDs are of the moment, and rise', () => {
    const clock = fakeClock(1000);
    try {
        assert.deepEqual([fakeEntry('s', {}).id, fakeEntry('s', {}).id], [[1000n, 0n], [1000n, 1n]]);
        clock.advance(5);
        assert.deepEqual(fakeEntry('s', {}).id, [1005n, 0n]);
    } finally {
        clock.restore();
    }
});

test('a clock stands still until it is moved, and is the real one afterwards', async () => {
    const real = Date.now();
    const clock = fakeClock('2026-11-29T10:00:00Z');
    try {
        const begun = new Date();
        assert.equal(begun.toISOString(), '2026-11-29T10:00:00.000Z');
        await new Promise(resolve => setTimeout(resolve, 5));
        assert.equal(Date.now(), begun.getTime());
        clock.advance(60_000);
        assert.equal(Date.now() - begun.getTime(), 60_000);
        assert.ok(new Date() instanceof Date);
        assert.equal(new Date(2020, 0).getFullYear(), 2020);
        assert.match(Date(), /^Sun Nov 29 2026/);
        assert.equal(Date.UTC(1970, 0), 0);
        await assert.rejects(eventually(() => false, { timeoutMs: 20 }), /did not happen/);
    } finally {
        clock.restore();
    }
    assert.ok(Date.now() >= real);
    assert.throws(() => fakeClock('never'), /no time/);
});

test('a client answers what it was told to, and notes what it was asked', () => {
    const client = fakeClient({ get: 'value', HSET: (_key: string, field: string) => (field === 'a' ? 1n : 0n) });
    assert.equal(client.call('GET', 'k'), 'value');
    assert.equal(client.call('hset', 'k', 'a', 5), 1n);
    assert.deepEqual(client.calls, [['GET', 'k'], ['HSET', 'k', 'a', '5']]);
    assert.deepEqual(Buffer.from(client.call_raw('get', new Uint8Array([1]))), Buffer.from('value'));
    assert.deepEqual(client.calls[2], ['GET', Buffer.from([1])]);
    assert.throws(() => client.call('DEL', 'k'), /no answer for DEL/);
    assert.equal(client.answer('DEL', 1n).call('del', 'k'), 1n);
    for (const wrong of [null, undefined, {}, ['a']]) {
        assert.throws(() => client.call('GET', wrong as any), TypeError);
    }
});

test('an error as an answer is thrown, as the server would', () => {
    const client = fakeClient({ INCR: redisError('WRONGTYPE Operation against a key') });
    assert.throws(() => client.call('INCR', 'k'), (error: Error) => error.name === 'RedisError' && `${error}` === 'WRONGTYPE Operation against a key');
});

test('an async client takes the lock, and a client does once what it is to do once', async () => {
    const client = fakeClient({ INCR: 1n });
    assert.equal(client.async.block((locked: typeof client) => locked.call('INCR', 'a')), 1n);
    assert.equal(await client.run_on_background(async background => background.block((c: typeof client) => c.call('INCR', 'b'))), 1n);
    const entry = fakeEntry('s', {});
    assert.throws(() => client.once(entry, () => { throw new Error('no'); }), /no/);
    assert.equal(client.once(entry, (c: typeof client) => c.call('INCR', 'c')), 1n);
    assert.equal(client.async.once(entry, () => 'again'), undefined);
    assert.deepEqual(client.calls.map(([, key]) => key), ['a', 'b', 'c']);
    client.canBlock = false;
    assert.equal(client.allow_block(), false);
});

test('remote functions are answered, on the shard of a key and on all', async () => {
    const client = fakeClient().remote('count', (by: number) => by + 1).remote('broken', new Error('no'));
    assert.equal(await client.async.run_on_key('k', 'count', 4), 5);
    const [results, errors] = await client.async.run_on_all_shards({ name: 'count' }, 7);
    assert.deepEqual([[...results], results.shards, errors], [[8], ['fake'], []]);
    await assert.rejects(client.async.run_on_key('k', 'broken'), /no/);
    assert.deepEqual((await client.async.run_on_all_shards('broken'))[1].map(String), ['Error: no']);
    await assert.rejects(client.async.run_on_key('k', 'nosuch'), /no answer for the remote function 'nosuch'/);
    assert.deepEqual(client.remote_calls.slice(0, 2), [
        { name: 'count', key: 'k', args: [4] }, { name: 'count', key: null, args: [7] },
    ]);
});

test('an event has what read_value adds, if it is given a value', () => {
    assert.deepEqual({ ...fakeEvent('del', 'k') }, { event: 'del', key: 'k' });
    assert.deepEqual({ ...fakeEvent('del', 'k', null) }, { event: 'del', key: 'k', type: 'empty', value: null });
    const hash = fakeEvent('hset', 'k', { a: new Uint8Array([0xff]) });
    assert.deepEqual([hash.type, hash.value], ['hash', { a: null }]);
    assert.deepEqual(Buffer.from(hash.value_raw[0][1]), Buffer.from([0xff]));
    assert.deepEqual(fakeEvent('sadd', 'k', new Set(['a'])).value, ['a']);
    assert.equal(fakeEvent('rpush', 'k', ['a']).type, 'list');
    assert.equal(Buffer.from(fakeEvent('set', 'k', 'x').value_raw).toString(), 'x');
});

test('a library gives the callbacks that its top level registers, and what it logs', async () => {
    const library = await fakeLibrary(() => {
        const redis = redisOf();
        redis.register_function('f', () => redis.config.limit, { flags: ['no-writes'] });
        redis.register_stream_consumer('c', new TextEncoder().encode('s:'), 3n, true, (client: any) => client.call('PING'), { batch: 7 });
        redis.register_remote_function('r', async () => 6);
        redis.register_notifications_consumer('t', 'k:', async () => redis.log('seen', 'debug'));
    }, { config: { limit: 9 } });
    assert.equal(library.function('f')(fakeClient()), 9);
    assert.equal(await library.remote('r')(fakeClient().async), 6);
    assert.equal(library.consumer('c')(fakeClient({ PING: 'PONG' }), fakeEntry('s:1', {})), 'PONG');
    await library.trigger('t')(fakeClient().async, fakeEvent('set', 'k:1'));
    assert.deepEqual(library.logged, [{ level: 'debug', message: 'seen' }]);
    const { callback: _, ...consumer } = library.consumers.get('c')!;
    assert.deepEqual(consumer, { prefix: 's:', window: 3, trim: true, options: { batch: 7 } });
    assert.throws(() => library.consumer('d'), /registers no consumer 'd'; it registers 'c'/);
});

test('a top level that registers nothing, or a name twice, is an error', async () => {
    await assert.rejects(fakeLibrary(() => undefined), /nothing was registered/);
    const twice = () => ['f', 'f'].forEach(name => redisOf().register_function(name, () => 1));
    await assert.rejects(fakeLibrary(twice), /'f' is registered twice/);
});
