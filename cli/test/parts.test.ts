/** The parts that need no server. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prologue, readPrologue } from '../src/bundle.js';
import { parseLine } from '../src/log_file.js';
import { connectionOptions } from '../src/connection.js';
import { EXIT, Failure } from '../src/failure.js';
import { byError } from '../src/letters.js';
import { duration, table, visible } from '../src/output.js';
import { readProject } from '../src/project.js';
import { linesOf, readReport, under, type Report } from '../src/report.js';
import type { LibraryState } from '../src/server.js';
import { duration as durationOf } from '../src/words.js';
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

test('a duration below a millisecond is in microseconds', () => {
    assert.deepEqual([0, 0.0001, 0.002, 0.4, 1, 9.96].map(durationOf), ['0', '1 µs', '2 µs', '400 µs', '1.0 ms', '10.0 ms']);
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

const NO_CHANGE = { added: [], removed: [], changed: [], kept: [] };
const REPORT: Report = {
    library: 'lib', engine: 'js', action: 'upgrade', version: 2, digest: 'd', loaded_at: null, owner: 'anna', owner_before: 'anna',
    configuration: 'kept', functions: NO_CHANGE, remote_functions: NO_CHANGE, stream_consumers: NO_CHANGE, triggers: NO_CHANGE,
    loses_progress: [], warnings: [],
};

test('a change says what it loses, and how much of it', () => {
    const lines = linesOf({
        ...REPORT,
        owner: 'ben',
        configuration: 'changed',
        stream_consumers: { ...NO_CHANGE, added: ['new'], removed: ['old', 'unused'], changed: ['c'] },
        triggers: { ...NO_CHANGE, removed: ['t'] },
        functions: { ...NO_CHANGE, removed: ['gone'], kept: ['f'] },
        remote_functions: { ...NO_CHANGE, added: ['far'], removed: ['near'] },
        loses_progress: ['old'],
        warnings: ['the library is in quarantine: no'],
    }, old);
    assert.deepEqual(lines.map(line => line.text), [
        "~ owner: anna → ben   it acts as 'ben' from now on",
        '~ config',
        '+ consumer new',
        '~ consumer c',
        '- consumer old   LOSES its progress in 2 streams',
        '- consumer unused',
        '- trigger t   LOSES 5 events that waited for it',
        '- function gone',
        '+ remote function far',
        '- remote function near',
        '! the library is in quarantine: no',
    ]);
    assert.deepEqual(lines.filter(line => line.loses).map(line => line.text.split(' ')[2]), ['anna', 'old', 't']);
});

test('what was kept of a deleted library is lost by a load that does not have it', () => {
    const lines = linesOf({ ...REPORT, action: 'load', owner_before: null, loses_progress: ['c'] });
    assert.deepEqual(lines, [{ text: '- consumer c   LOSES its progress, which was kept', loses: true }]);
});

test('without changes there are no lines', () => {
    assert.deepEqual(linesOf(REPORT, old), []);
    assert.equal(under('Upgraded', [], ', nothing differs'), 'Upgraded, nothing differs');
    assert.equal(under('Loaded', [{ text: '+ function f', loses: false }], ''), 'Loaded:\n  + function f');
});

test("a report has the server's words", () => {
    const changes = ['added', ['a'], 'removed', [], 'changed', ['b'], 'kept', []];
    const read = readReport([
        'library', 'lib', 'engine', 'js', 'action', 'load', 'version', 1, 'digest', 'd', 'loaded_at', null,
        'owner', 'anna', 'owner_before', null, 'configuration', 'set', 'functions', changes, 'remote_functions', changes,
        'stream_consumers', [], 'triggers', [], 'loses_progress', ['c'], 'warnings', [],
    ]);
    assert.deepEqual(read, {
        ...REPORT, action: 'load', version: 1, owner_before: null, configuration: 'set', loses_progress: ['c'],
        functions: { ...NO_CHANGE, added: ['a'], changed: ['b'] },
        remote_functions: { ...NO_CHANGE, added: ['a'], changed: ['b'] },
    });
});

test('letters are counted by their errors, the most frequent first', () => {
    const letter = { letter: '1-1', id: '1-1', stack: null, attempts: 1, redrives: 0, first_time: 1, time: 1, fields: [] };
    const of = (stream: string, error: string) => ({ ...letter, stream: Buffer.from(stream), error });
    assert.deepEqual(byError([of('a', 'rare'), of('a', 'often'), of('b', 'often')]), [
        { error: 'often', letters: 2, streams: 2 },
        { error: 'rare', letters: 1, streams: 1 },
    ]);
});

test("of the log, the module's lines are read alone", () => {
    assert.deepEqual(parseLine('2623:M 22 Nov 2026 05:31:05.255 # <redisgears_2> it failed'), {
        time: '22 Nov 2026 05:31:05.255', level: 'warning', message: 'it failed',
    });
    assert.equal(parseLine('2623:M 22 Nov 2026 05:31:05.255 * Ready to accept connections'), null);
});
