/** A cluster of three shards, of which the command line names one node. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readNodes } from '../src/cluster.js';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { eventually, folder, freePort, gears, script } from './gears.js';

type Redis = Awaited<ReturnType<typeof connect>>;

const SHARDS = 3;
const SLOTS = 16384;
/** A key of a stream for each shard, by the hash tags whose slots are in its third. */
const STREAMS = ['s:{06S}', 's:{1}', 's:{0}'];
const where = folder();
const servers: LocalServer[] = [];
const nodes: Redis[] = [];
const urls: string[] = [];
before(async () => {
    for (let shard = 0; shard < SHARDS; shard += 1) {
        const port = await freePort();
        const options = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '15000', '--bind', '127.0.0.1'];
        const server = await LocalServer.start({}, ...options, '--port', String(port));
        servers.push(server);
        urls.push(`redis://127.0.0.1:${port}`);
        const node = await connect({ url: server.url });
        nodes.push(node);
        await node.call('CLUSTER', 'SET-CONFIG-EPOCH', shard + 1);
        const [first, behind] = [shard, shard + 1].map(each => Math.floor((SLOTS * each) / SHARDS)) as [number, number];
        await node.call('CLUSTER', 'ADDSLOTSRANGE', first, behind - 1);
    }
    for (const url of urls.slice(1)) {
        await nodes[0]?.call('CLUSTER', 'MEET', '127.0.0.1', new URL(url).port);
    }
    await eventually(async () => {
        const states = await Promise.all(nodes.map(async node => (await node.call('CLUSTER', 'INFO')) as string));
        return states.every(state => /cluster_state:ok[^]*cluster_known_nodes:3/.test(state));
    });
});
after(async () => {
    nodes.forEach(node => node.disconnect());
    await Promise.all(servers.map(server => server.stop()));
});

/** The node that has a key. */
async function ownerOf(key: string): Promise<Redis> {
    for (const node of nodes) {
        if (await node.exists(key).then(() => true, () => false)) {
            return node;
        }
    }
    throw new Error(`nobody has ${key}`);
}

const run = (command: string, ...args: string[]) => gears([command, ...args, '--json', '--url', urls[0] ?? '']);
const LIBRARY = `redis.register_stream_consumer('book', 's:', 1, false, (client, data) => {
    const [[kind, text]] = data.record;
    if (kind === 'bad') { throw text; }
}, { dead_letter: 'dead:{}' });
redis.register_function('f', () => VERSION);`;

test('a library that is deployed to one node is on all of them, and rolled back on all', async () => {
    for (const version of ['1', '2']) {
        // Nodes that have only just met may not know each other well enough.
        await eventually(async () => {
            const done = await run('deploy', script(where, 'lib', LIBRARY.replace('VERSION', version)), '--yes');
            return done.code === 0 || (assert.match(done.stderr, /nothing was changed|libraries that are not known|CLUSTERDOWN/), false);
        });
    }
    const says = async (): Promise<unknown[]> => Promise.all(nodes.map(node => node.call('RG.FCALL', 'lib', 'f', '0')));
    assert.deepEqual(await says(), [2, 2, 2]);
    const back = await run('rollback', 'lib', '--yes');
    assert.equal(back.code, 0, back.stderr);
    assert.deepEqual(await says(), [1, 1, 1]);
});

test('letters of all shards are shown, and redriven', async () => {
    for (const [index, stream] of STREAMS.entries()) {
        const node = await ownerOf(stream);
        await node.xadd(stream, '*', 'bad', `busy: ${index}`);
        await node.xadd(stream, '*', 'bad', 'late: yes');
    }
    assert.equal(new Set(await Promise.all(STREAMS.map(ownerOf))).size, SHARDS, 'each shard has a stream');
    const letters = async (...args: string[]) => {
        const done = await run('letters', 'lib', 'book', ...args);
        assert.equal(done.code, 0, done.stderr);
        return done.json.letters as { stream: string; error: string; redrives: number }[];
    };
    await eventually(async () => (await letters()).length === 6);
    assert.deepEqual((await letters()).map(letter => letter.stream).sort(), STREAMS.flatMap(stream => [stream, stream]).sort());
    assert.deepEqual((await letters('--stream', STREAMS[2] ?? '')).map(letter => letter.error), ['busy: 2', 'late: yes']);
    assert.equal((await letters('--error', 'late*')).length, 3);

    const driven = await run('redrive', 'lib', 'book', '--error', 'busy*', '--wait', '300');
    const { delivered, ok, failed, open, errors } = driven.json;
    assert.deepEqual([delivered, ok, failed, open, errors], [3, 0, 3, 0, { busy: 3 }]);
    const one = await run('redrive', 'lib', 'book', '--stream', STREAMS[1] ?? '', '--wait', '300');
    assert.deepEqual([one.json.delivered, one.json.failed], [2, 2]);
    const some = await run('redrive', 'lib', 'book', '--count', '5', '--wait', '300');
    assert.equal(some.json.delivered, 5);
});

test('top shows each shard of a consumer', async () => {
    const { code, json, stderr } = await run('top', '--once', '--interval', '1');
    assert.equal(code, 0, stderr);
    const places = urls.map(url => new URL(url).host).sort();
    assert.deepEqual(json.consumers.map((row: any) => [row.consumer, row.streams, row.shard]).sort(),
        places.map(place => ['book', 1, place]));
    assert.deepEqual(json.libraries.map((library: any) => library.name), ['lib']);
    const { stdout } = await gears(['top', '--once', '--interval', '1', '--url', urls[0] ?? '']);
    assert.match(stdout, /^gears top .* 3 shards /);
    for (const place of places) {
        assert.match(stdout, new RegExp(`lib/book @${place} +running`));
    }
});

test('of the nodes of a cluster those with slots are read, with the slots that they have', () => {
    const text = `a1 10.0.0.1:7000@17000 myself,slave b2 0 0 1 connected
b2 10.0.0.2:7001@17001,host.example master - 0 1 2 connected 0-5460 5462 [5461->-a1]
c3 :7002@17002 master,fail - 0 1 3 disconnected
`;
    assert.deepEqual(readNodes(text).map(({ host, port, flags, slots }) => [host, port, [...flags], slots]), [
        ['10.0.0.1', 7000, ['myself', 'slave'], []],
        ['10.0.0.2', 7001, ['master'], [[0, 5460], [5462, 5462]]],
        ['', 7002, ['master', 'fail'], []],
    ]);
});
