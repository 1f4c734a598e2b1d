/** The parts that need no server. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prologue, readPrologue } from '../src/bundle.js';
import { parseLine } from '../src/log_file.js';
import { connectionOptions } from '../src/connection.js';
import { describe, difference } from '../src/difference.js';
import { EXIT, Failure } from '../src/failure.js';
import { glob, parse } from '../src/letters.js';
import { asShown, shown } from '../src/options.js';
import { duration, table, visible } from '../src/output.js';
import { readProject } from '../src/project.js';
import { registrationsOf } from '../src/registrations.js';
import type { LibraryState } from '../src/server.js';
import { folder } from './gears.js';

function isUsage(pattern: RegExp): (error: unknown) => boolean {
    return error => error instanceof Failure && error.exitCode === EXIT.usage && pattern.test(error.message);
}

test('what would steer a terminal is shown as an escape', () => {
    assert.equal(visible('a\u001b[2Jb\nc'), 'a\\x1b[2Jb\\nc');
    assert.equal(visible('\u202egnp'), '\\u202egnp');
    assert.equal(visible(Buffer.from('grün')), 'grün');
    assert.equal(visible(Buffer.from([0x61, 0xff, 0x1b])), 'a\\xff\\x1b');
});

test('columns are as wide as their widest cell, and numbers stand right', () => {
    assert.equal(table(['NAME', 'N'], [['a', 5], ['longer', 100]]), 'NAME      N\na         5\nlonger  100');
});

test('a duration is in the largest unit that says enough', () => {
    assert.deepEqual([0, 999, 1000, 119_999, 120_000, 7_200_000].map(duration), [
        '0 ms', '999 ms', '1 s', '119 s', '2 min', '2 h',
    ]);
});

test('a URL gives host, port, database, user and password', () => {
    const options = connectionOptions({ url: 'redis://anna:p%40ss@example.org:7000/3' }, {});
    const { host, port, db, username, password, tls } = options;
    assert.deepEqual(
        { host, port, db, username, password, tls },
        { host: 'example.org', port: 7000, db: 3, username: 'anna', password: 'p@ss', tls: undefined },
    );
    assert.notEqual(connectionOptions({ url: 'rediss://example.org' }, {}).tls, undefined);
    assert.equal(connectionOptions({ url: 'redis://[::1]:7000' }, {}).host, '::1');
    assert.equal(connectionOptions({ url: 'unix:///tmp/redis.sock' }, {}).path, '/tmp/redis.sock');
    assert.equal(connectionOptions({}, { REDIS_URL: 'redis://b' }).host, 'b');
    assert.equal(connectionOptions({}, { REDIS_URL: 'redis://b', GEARS_URL: 'redis://a' }).host, 'a');
});

test('a wrong URL is an error of the command line that does not show the password', () => {
    assert.throws(() => connectionOptions({ url: 'http://a:secret@b' }, {}), isUsage(/^unknown scheme 'http:'/));
    assert.throws(() => connectionOptions({ url: 'a:secret@b c' }, {}), (error: Error) => !/secret/.test(error.message));
    assert.throws(() => connectionOptions({ url: 'redis://a/x' }, {}), isUsage(/number of a database/));
    assert.throws(() => connectionOptions({ url: 'redis://a', tlsCa: 'ca.pem' }, {}), isUsage(/rediss/));
});

test('the name comes first on the first line', () => {
    assert.equal(prologue('shop'), '#!js name=shop api_version=1.0');
    assert.deepEqual(readPrologue(prologue('shop')), { engine: 'js', name: 'shop' });
    assert.equal(readPrologue('#!js api_version=1.0 name=shop'), null);
    assert.equal(readPrologue('redis.log("")'), null);
});

test('a project says what is wrong with it', () => {
    const where = folder();
    const wrong: [string, RegExp][] = [
        ['{', /gears\.json: /],
        ['[]', /must be an object/],
        ['{}', /'name' must be a text/],
        ['{"name":"a b"}', /'a b' is no name/],
        ['{"name":"a","nmae":"b"}', /unknown field 'nmae'/],
        ['{"name":"a","config":[]}', /'config' must be an object/],
    ];
    for (const [text, pattern] of wrong) {
        writeFileSync(join(where, 'gears.json'), text);
        assert.throws(() => readProject(where), isUsage(pattern), text);
    }
});

test('a project is found from a folder in it', () => {
    const where = folder();
    mkdirSync(join(where, 'src', 'deep'), { recursive: true });
    writeFileSync(join(where, 'gears.json'), '{"name":"shop"}');
    const project = readProject(join(where, 'src', 'deep'));
    assert.deepEqual([project.name, project.entry], ['shop', join(where, 'src/index.ts')]);
});

test('what a library registers is known without a server', () => {
    const code = `#!js name=lib
        redis.register_function('f', () => redis.config.limit, ['raw-arguments', 'no-writes']);
        redis.register_stream_consumer('c', new Uint8Array([115, 58]), 3n, true, () => {}, { batch: redis.config.batch });
        redis.register_notifications_consumer('t', 'k:', () => {});`;
    assert.deepEqual(registrationsOf(code, { batch: 7 }), {
        functions: [{ name: 'f', flags: ['no-writes', 'raw-arguments'] }],
        consumers: [{ name: 'c', prefix: 's:', window: 3, trim: true, options: { batch: '7' } }],
        triggers: [{ name: 't' }],
    });
});

test('a top level that fails or never ends is an error', () => {
    assert.throws(() => registrationsOf('#!js name=a\nthrow new Error("no")', null), /^Failure: no$/);
    assert.throws(() => registrationsOf('#!js name=a\nfor (;;);', null), /timed out/);
    assert.throws(() => registrationsOf('#!js name=a\nnew GearsBuilder("StreamReader")', null), /GearsBuilder/);
});

test('options are compared in the form in which the server shows them', () => {
    const inCode = shown({
        on_failure: 'retry', retry_interval: 1000, scope: 'stream', exact: false, bisect: true, description: 'x',
        backoff: { initial: 100, max: 500 }, filter: { kind: { prefix: 'a' }, flag: ['x', { exists: true }] },
    });
    const replied = asShown({
        on_failure: 'retry', bisect: 1, backoff: ['initial', 100, 'factor', '2', 'max', 500, 'jitter', '0'],
        filter: ['kind', ['prefix', 'a'], 'flag', ['x', ['exists', 1]]],
    });
    assert.deepEqual(inCode, replied);
});

const old: LibraryState = {
    name: 'lib', engine: 'js', owner: 'default', config: null, quarantine: null, pending_jobs: 0,
    version: null, loaded_at: null,
    functions: [{ name: 'f', flags: [] }, { name: 'gone', flags: [] }],
    consumers: [
        { name: 'c', prefix: 's:', window: 1, trim: false, streams: 4, options: {} },
        { name: 'old', prefix: 'o:', window: 1, trim: false, streams: 2, options: {} },
        { name: 'unused', prefix: 'u:', window: 1, trim: false, streams: 0, options: {} },
    ],
    triggers: [
        { name: 't', triggered: 9, finished: 4, failed: 0, dropped: 0, waiting: 5, total_ms: 1, last_error: null },
    ],
};

test('a change says what it loses', () => {
    const changes = difference(old, {
        functions: [{ name: 'f', flags: ['no-writes'] }, { name: 'new', flags: [] }],
        consumers: [{ name: 'c', prefix: 's:', window: 5, trim: true, options: { batch: '10' } }],
        triggers: [],
    });
    assert.deepEqual(describe(changes), [
        '~ consumer c: window 1 → 5, trim off → on, batch default → "10"',
        '- consumer old   LOSES its progress in 2 streams',
        '- consumer unused',
        '- trigger t   LOSES 5 events that wait for it',
        '~ function f: flags none → no-writes',
        '+ function new',
        '- function gone',
    ]);
});

test('another prefix would be refused, and what is equal is no change', () => {
    const same = { functions: old.functions, consumers: old.consumers.map(each => ({ ...each, options: {} })) };
    assert.deepEqual(difference(old, { ...same, triggers: [{ name: 't' }] }), []);
    const moved = same.consumers.map(each => (each.name === 'c' ? { ...each, prefix: 'x:' } : each));
    const [change, ...more] = difference(old, { ...same, consumers: moved, triggers: [{ name: 't' }] });
    assert.equal(more.length, 0);
    assert.equal(change?.refused, true);
});

test("'*' is any text, and '?' any character, in a pattern", () => {
    assert.equal(glob('Error: *')('Error: a\nb'), true);
    assert.equal(glob('Error')('Error: a'), false);
    assert.equal(glob('a?c')('abc'), true);
    assert.equal(glob('[a-z]+(.)')('x'), false);
    assert.equal(glob('[a-z]+(.){2}|^$\\/')('[a-z]+(.){2}|^$\\/'), true);
});

test('the fields of an entry come behind those of its dead letter, also with the same names', () => {
    const head = ['library', 'lib', 'consumer', 'c', 'stream', 's:1', 'id', '5-1', 'attempts', '2',
        'error', 'Error: no', 'first_time', '10', 'last_time', '20'];
    const reply = [...head, 'id', '7', 'id', '8'].map(each => Buffer.from(each));
    const letter = parse('9-0', reply, 'lib', 'c');
    assert.deepEqual([letter?.id, letter?.attempts, letter?.last_time], ['5-1', 2, 20]);
    assert.deepEqual(letter?.fields.map(pair => pair.map(String)), [['id', '7'], ['id', '8']]);
    assert.equal(parse('9-0', reply, 'lib', 'another'), null);
    assert.equal(parse('9-0', [Buffer.from('a'), Buffer.from('b')], 'lib', 'c'), null);
});

test("of the log, the module's lines are read alone", () => {
    assert.deepEqual(parseLine('2623:M 22 Nov 2026 05:31:05.255 # <redisgears_2> it failed'), {
        time: '22 Nov 2026 05:31:05.255', level: 'warning', message: 'it failed',
    });
    assert.equal(parseLine('2623:M 22 Nov 2026 05:31:05.255 * Ready to accept connections'), null);
});
