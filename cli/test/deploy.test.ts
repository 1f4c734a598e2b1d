/** Deploying onto a server: what is said before, what is asked, and what is on the server afterwards. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { libraries } from '../src/server.js';
import { eventually } from '../src/testing.js';
import { folder, gears, script } from './gears.js';

const CONSUMER = "redis.register_stream_consumer('c', 's:', 1, false, () => {});";
const FUNCTION = "redis.register_function('f', () => redis.config.limit);";

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
beforeEach(async () => {
    for (const { name } of await libraries(redis)) {
        await redis.call('RG.FUNCTION', 'DEL', name);
    }
    await redis.flushall();
});

function deploy(file: string, ...more: string[]) {
    return gears(['deploy', file, '--url', server.url, ...more]);
}

/** The library with its consumer, which knows one stream. */
async function deployed(): Promise<void> {
    const first = await deploy(script(where, 'lib', CONSUMER + FUNCTION));
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^Loaded library 'lib':\n  \+ consumer c: prefix 's:', window 1\n  \+ function f$/m);
    await redis.xadd('s:1', '*', 'a', '1');
    await eventually(async () => (await libraries(redis))[0]?.consumers[0]?.streams === 1);
}

test('an upgrade that changes nothing says so', async () => {
    await deployed();
    const again = await deploy(script(where, 'lib', CONSUMER + FUNCTION), '--json');
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual(again.json, { library: 'lib', action: 'upgrade', changes: [], deployed: true, owner: 'default' });
});

test('nothing is lost unless somebody says that it may be', async () => {
    await deployed();
    const without = script(where, 'lib', FUNCTION);
    const asked = await deploy(without);
    assert.equal(asked.code, 4);
    assert.match(asked.stderr, /- consumer c   LOSES its progress in 1 stream/);
    assert.equal((await libraries(redis))[0]?.consumers.length, 1);

    const said = await deploy(without, '--yes');
    assert.equal(said.code, 0, said.stderr);
    assert.equal((await libraries(redis))[0]?.consumers.length, 0);
});

test('a dry run changes nothing', async () => {
    await deployed();
    const dry = await deploy(script(where, 'lib', FUNCTION), '--dry-run');
    assert.equal(dry.code, 0);
    assert.match(dry.stdout, /^Would upgrade library 'lib':\n  - consumer c   LOSES/);
    assert.equal((await libraries(redis))[0]?.consumers.length, 1);
});

test('another prefix is refused before anything is sent, as the server would', async () => {
    await deployed();
    const moved = script(where, 'lib', CONSUMER.replace('s:', 'x:'));
    const refused = await deploy(moved, '--yes');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /~ consumer c: prefix 's:' → 'x:'   REFUSED/);
});

test('every option that the code has is the one that the server shows afterwards', async () => {
    const options = `{ on_failure: 'retry', backoff: { initial: 100, jitter: 0.25 }, max_attempts: 3, max_age: 60000,
        batch: 10, duration: 5, bisect: true, dead_letter: 'dead', scope: 'consumer', order_by: 'id',
        filter: { kind: ['a', { prefix: 'b' }], flag: { not: { exists: true } } }, start: 'latest', exact: true }`;
    const body = `redis.register_stream_consumer('c', 's', 1, false, () => {}, ${options});`;
    const file = script(where, 'lib', body);
    assert.equal((await deploy(file)).code, 0);
    assert.deepEqual((await deploy(file, '--dry-run', '--json')).json.changes, []);
    const changed = await deploy(script(where, 'lib', body.replace('batch: 10', 'batch: 20')), '--dry-run');
    assert.match(changed.stdout, /~ consumer c: batch "10" → "20"$/m);
});

test('the configuration stays unless another one is given, or none', async () => {
    const file = script(where, 'lib', FUNCTION);
    const config = join(where, 'config.json');
    writeFileSync(config, '{"limit":90}');
    const limit = () => redis.call('RG.FCALL', 'lib', 'f', 0);
    assert.equal((await deploy(file, '--config', config)).code, 0);
    assert.equal(await limit(), 90);
    assert.equal((await deploy(file)).code, 0);
    assert.equal(await limit(), 90);
    const none = await deploy(file, '--no-config');
    assert.match(none.stdout, /~ config: \{"limit":90\} → none/);
    assert.equal(await limit(), null);
    assert.match((await deploy(file, '--no-config')).stdout, /nothing registered differs/);
    writeFileSync(config, '[1]');
    assert.equal((await deploy(file, '--config', config)).code, 2);
});

test('another owner is a change to be confirmed', async () => {
    await deployed();
    await redis.acl('SETUSER', 'anna', 'on', '>secret', '+@all', '~*', '&*');
    const url = server.url.replace('unix://', 'unix://anna:secret@localhost');
    const file = script(where, 'lib', CONSUMER + FUNCTION);
    const asked = await gears(['deploy', file, '--url', url]);
    assert.equal(asked.code, 4, asked.stderr);
    assert.match(asked.stderr, /~ owner: default → anna   LOSES the rights of 'default'/);
    const said = await gears(['deploy', file, '--url', url, '--yes', '--json']);
    assert.equal(said.json.owner, 'anna');
});

test('a user needs no more than the commands that deploy sends', async () => {
    await redis.acl('SETUSER', 'ci', 'on', '>secret', '+rg.function|load', '+rg.function|list', '+acl|whoami');
    const url = server.url.replace('unix://', 'unix://ci:secret@localhost');
    const done = await gears(['deploy', script(where, 'lib', FUNCTION), '--url', url]);
    assert.equal(done.code, 0, done.stderr);
    await redis.acl('SETUSER', 'ci', '-rg.function|load');
    const refused = await gears(['deploy', script(where, 'lib', FUNCTION), '--url', url, '--json']);
    assert.equal(refused.code, 1);
    assert.match(JSON.parse(refused.stderr).error, /NOPERM.*rg\.function\|load/);
});

test('what cannot be told before is said, and has to be confirmed where a consumer has progress', async () => {
    await deployed();
    const file = script(where, 'lib', `${CONSUMER}new GearsBuilder('StreamReader').register({ prefix: 'g' });`);
    const asked = await deploy(file);
    assert.equal(asked.code, 4);
    assert.match(asked.stderr, /cannot be told before the server runs the code: GearsBuilder is not defined/);
    assert.equal((await deploy(file, '--yes')).code, 0);
});

test("the server's error is the command's, and leaves the old library", async () => {
    await deployed();
    const broken = await deploy(script(where, 'lib', 'let x = ;'), '--yes');
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /Failed library compilation .*\(line 2\)/);
    assert.equal((await libraries(redis)).length, 1);
});

test('exit codes tell apart a wrong command line, and a server that is not there or refuses the user', async () => {
    assert.equal((await gears(['deplyo'])).code, 2);
    assert.equal((await gears(['letters', 'lib'])).code, 2);
    assert.equal((await gears(['letters', 'lib', 'c', '--count', 'x'])).code, 2);
    assert.equal((await gears(['--help'])).code, 0);
    const file = script(where, 'lib', FUNCTION);
    const nobody = await gears(['deploy', file, '--url', 'redis://127.0.0.1:1']);
    assert.equal(nobody.code, 3);
    assert.match(nobody.stderr, /cannot connect: .*ECONNREFUSED/);
    const stranger = await gears(['deploy', file, '--url', server.url.replace('unix://', 'unix://x:y@localhost')]);
    assert.equal(stranger.code, 3);
    assert.match(stranger.stderr, /WRONGPASS/);
    const beyond = await gears(['deploy', file, '--url', `${server.url}?db=99`]);
    assert.equal(beyond.code, 3);
    assert.match(beyond.stderr, /DB index is out of range/);
});

test("the log shows what scripts wrote, without the server's own lines", async () => {
    await deploy(script(where, 'lib', `redis.log('one \\u001b[2J'); redis.log('two', 'warning');${FUNCTION}`));
    const shown = await gears(['logs', '--url', server.url, '-n', '3', '--json']);
    const lines = shown.stdout.trim().split('\n').map(line => JSON.parse(line));
    assert.deepEqual(lines.slice(0, 2).map(({ level, message }) => [level, message]), [
        ['notice', '[lib] one \\u{1b}[2J'], ['warning', '[lib] two'],
    ]);
    assert.match(lines[2].message, /^audit: (LOAD|UPGRADE) by user 'default' .*: library 'lib'/);
    assert.equal(lines.length, 3);
    const text = await gears(['logs', '--file', server.log, '-n', '3']);
    assert.match(text.stdout, /notice  \[lib\] one \\u\{1b\}\[2J\n.* warning \[lib\] two\n.* audit: .*\n$/);
});
