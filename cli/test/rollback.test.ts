/** Going back to an earlier text of a library: what is shown, what is asked, and what the server has afterwards. */

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { libraries } from '../src/server.js';
import { folder, gears, script } from './gears.js';

const where = folder();
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
/** Three versions of a library, of which the second has a consumer, too. */
beforeEach(async () => {
    for (const { name } of await libraries(redis)) {
        await redis.call('RG.FUNCTION', 'DEL', name);
    }
    const consumer = "redis.register_stream_consumer('c', 's:', 1, false, () => {});";
    for (const [says, more] of [['one', ''], ['two', consumer], ['three', '']] as const) {
        const file = script(where, 'lib', `redis.register_function('f', () => '${says}'); ${more}`);
        const deployed = await gears(['deploy', file, '--url', server.url, '--yes']);
        assert.equal(deployed.code, 0, deployed.stderr);
    }
});

const rollback = (...args: string[]) => gears(['rollback', ...args, '--url', server.url]);
const says = () => redis.call('RG.FCALL', 'lib', 'f', '0');

test('the one before the present one is loaded again, as a new version', async () => {
    const back = await rollback('lib', '--yes');
    assert.equal(back.code, 0, back.stderr);
    assert.equal(back.stdout, "Loaded version 2 of 'lib' again, as version 4:\n  + consumer c\n");
    assert.match(back.stderr, /^Version 2 of 'lib', [0-9a-f]{12}, loaded at 20\S+Z by default\n/);
    assert.equal(await says(), 'two');
});

test('a version can be named, and what its change takes away is said', async () => {
    assert.equal((await rollback('lib', '--yes')).code, 0);
    const back = await rollback('lib', '1', '--yes', '--json');
    assert.equal(back.code, 0, back.stderr);
    assert.deepEqual([back.json.library, back.json.from, back.json.version], ['lib', 1, 5]);
    assert.deepEqual([back.json.stream_consumers.removed, back.json.loses_progress], [['c'], []]);
    assert.equal(await says(), 'one');
});

test('nothing is loaded unless somebody says so', async () => {
    const asked = await rollback('lib');
    assert.equal(asked.code, 4);
    assert.match(asked.stderr, /Consumers that it does not have lose their progress/);
    assert.equal(await says(), 'three');
});

test('the versions that are kept are listed, the newest first', async () => {
    const list = await rollback('lib', '--list');
    assert.equal(list.code, 0, list.stderr);
    const rows = list.stdout.trimEnd().split('\n');
    assert.match(rows[0] ?? '', /^VERSION +DIGEST +BYTES +LOADED +BY +OWNER$/);
    assert.deepEqual(rows.slice(1).map(row => row.trim().split(/\s+/).slice(0, 2)[0]), ['3', '2', '1']);
    assert.match(rows[1] ?? '', / now /);
    const json = (await rollback('lib', '--list', '--json')).json;
    assert.deepEqual(
        json.versions.map((one: { version: number; current: boolean }) => [one.version, one.current]),
        [[3, true], [2, false], [1, false]],
    );
});

test('what is not kept cannot be loaded, and what it is already neither', async () => {
    const unknown = await rollback('lib', '9', '--yes');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /the server does not keep version 9 of 'lib'/);
    const present = await rollback('lib', '3', '--yes');
    assert.equal(present.code, 1);
    assert.match(present.stderr, /version 3 is what 'lib' is now/);
    const library = await rollback('nothing', '--yes');
    assert.equal(library.code, 1);
    assert.match(library.stderr, /no such library 'nothing'/);
    assert.equal((await rollback('lib', 'x')).code, 2);
    assert.equal(await says(), 'three');
});
