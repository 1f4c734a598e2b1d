/** Deploying onto a server: what is said before, what is asked, and what is on the server afterwards. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { libraries } from '../src/server.js';
import { eventually, folder, gears, script } from './gears.js';

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
    assert.match(first.stdout, /^Loaded library 'lib', version 1:\n  \+ consumer c\n  \+ function f$/m);
    await redis.xadd('s:1', '*', 'a', '1');
    await eventually(async () => (await libraries(redis))[0]?.consumers[0]?.streams === 1);
}

test('an upgrade that changes nothing says so', async () => {
    await deployed();
    const again = await deploy(script(where, 'lib', CONSUMER + FUNCTION), '--json');
    assert.equal(again.code, 0, again.stderr);
    const { digest, loaded_at, ...report } = again.json;
    assert.equal(loaded_at, (await libraries(redis))[0]?.loaded_at);
    assert.match(digest, /^[0-9a-f]{64}$/);
    const kept = (...names: string[]) => ({ added: [], removed: [], changed: [], kept: names });
    assert.deepEqual(report, {
        library: 'lib', engine: 'js', action: 'none', version: 1, owner: 'default', owner_before: 'default',
        configuration: 'none', functions: kept('f'), remote_functions: kept(), stream_consumers: kept('c'),
        triggers: kept(), loses_progress: [], warnings: [], deployed: true,
    });
    const text = await deploy(script(where, 'lib', CONSUMER + FUNCTION));
    assert.equal(text.stdout, "Loaded again library 'lib', version 1, nothing registered differs\n");
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
    assert.match(dry.stdout, /^Would upgrade library 'lib', version 2:\n  - consumer c   LOSES/);
    assert.equal((await libraries(redis))[0]?.consumers.length, 1);
});

test('another prefix is refused, and nothing changes', async () => {
    await deployed();
    const moved = script(where, 'lib', CONSUMER.replace('s:', 'x:'));
    const refused = await deploy(moved, '--yes');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /different prefix, consumer: 'c', old_prefix: s:, new_prefix: x:/);
    assert.equal((await libraries(redis))[0]?.consumers[0]?.prefix, 's:');
});

test('another option makes it another consumer, and the same options do not', async () => {
    const options = `{ on_failure: 'retry', backoff: { initial: 100, jitter: 0.25 }, max_attempts: 3, max_age: 60000,
        batch: 10, duration: 5, bisect: true, dead_letter: 'dead', scope: 'consumer', order_by: 'id',
        filter: { kind: ['a', { prefix: 'b' }], flag: { not: { exists: true } } }, start: 'latest', exact: true }`;
    const body = `redis.register_stream_consumer('c', 's', 1, false, () => {}, ${options});`;
    const file = script(where, 'lib', body);
    assert.equal((await deploy(file)).code, 0);
    assert.deepEqual((await deploy(file, '--dry-run', '--json')).json.stream_consumers.kept, ['c']);
    const changed = await deploy(script(where, 'lib', body.replace('batch: 10', 'batch: 20')), '--dry-run');
    assert.match(changed.stdout, /^  ~ consumer c$/m);
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
    assert.match(none.stdout, /^  ~ config$/m);
    assert.equal(await limit(), null);
    assert.match((await deploy(file, '--no-config')).stdout, /nothing registered differs/);
    writeFileSync(config, '[1]');
    assert.equal((await deploy(file, '--config', config)).code, 2);
});

test('the owner stays, and another one is a change to be confirmed', async () => {
    await deployed();
    await redis.acl('SETUSER', 'anna', 'on', '>secret', '+@all', '~*', '&*');
    const url = server.url.replace('unix://', 'unix://anna:secret@localhost');
    const file = script(where, 'lib', CONSUMER + FUNCTION);
    const kept = await gears(['deploy', file, '--url', url, '--json']);
    assert.equal(kept.json.owner, 'default', kept.stderr);
    const asked = await gears(['deploy', file, '--url', url, '--owner', 'anna']);
    assert.equal(asked.code, 4, asked.stderr);
    assert.match(asked.stderr, /~ owner: default → anna   it acts as 'anna' from now on/);
    const said = await gears(['deploy', file, '--url', url, '--owner', 'anna', '--yes', '--json']);
    assert.deepEqual([said.json.owner, said.json.owner_before], ['anna', 'default']);
    const nobody = await gears(['deploy', file, '--url', url, '--owner', 'nobody', '--yes']);
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /nobody/);
});

test('a user needs no more than the commands that deploy sends', async () => {
    await redis.acl('SETUSER', 'ci', 'on', '>secret', '+rg.function|load', '+rg.function|list');
    const url = server.url.replace('unix://', 'unix://ci:secret@localhost');
    const done = await gears(['deploy', script(where, 'lib', FUNCTION), '--url', url]);
    assert.equal(done.code, 0, done.stderr);
    await redis.acl('SETUSER', 'ci', '-rg.function|load');
    const refused = await gears(['deploy', script(where, 'lib', FUNCTION), '--url', url, '--json']);
    assert.equal(refused.code, 1);
    assert.match(JSON.parse(refused.stderr).error, /NOPERM.*rg\.function\|load/);
});

test('what GearsBuilder registers is told before, too', async () => {
    await deployed();
    const file = script(where, 'lib', `${CONSUMER}new GearsBuilder('StreamReader').foreach(() => {}).register({ prefix: 'g' });`);
    const dry = await deploy(file, '--dry-run');
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(dry.stdout, /\n  \+ consumer .*\n  - function f\n/);
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
