/** `gears dev`: the library on the server is what the source is, and places in errors are those of the source. */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { bundle } from '../src/bundle.js';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { Positions } from '../src/positions.js';
import { readProject } from '../src/project.js';
import { eventually, folder, gears, start } from './gears.js';

const where = folder();
let project: string;
const running: ChildProcess[] = [];
after(() => running.forEach(child => child.kill('SIGKILL')));
beforeEach(() => {
    project = mkdtempSync(join(where, 'project-'));
    mkdirSync(join(project, 'src'));
    writeFileSync(join(project, 'gears.json'), JSON.stringify({ name: 'shop', config: { tax: 5 } }));
    source("redis.register_function('f', () => 'first');");
});

function source(text: string): void {
    writeFileSync(join(project, 'src/index.ts'), text);
}

/** A run of the command, and what it said so far. */
class Dev {
    readonly #child: ChildProcess;
    text = '';
    notes = '';

    constructor(...args: string[]) {
        this.#child = start(['dev', '--project', project, ...args]);
        running.push(this.#child);
        this.#child.stdout?.on('data', (data: Buffer) => (this.text += data.toString()));
        this.#child.stderr?.on('data', (data: Buffer) => (this.notes += data.toString()));
    }

    async said(what: RegExp): Promise<RegExpExecArray> {
        return eventually(
            () => {
                assert.equal(this.#child.exitCode, null, `it ended: ${this.notes}`);
                return what.exec(this.text) ?? what.exec(this.notes);
            },
            { timeoutMs: 60_000 },
        );
    }

    async end(): Promise<number | null> {
        const ended = new Promise<number | null>(resolve => this.#child.once('exit', resolve));
        this.#child.kill('SIGINT');
        return ended;
    }
}

test('each change is loaded, a wrong one changes nothing, and all of it is told with places of the source', async () => {
    const dev = new Dev();
    const [, socket] = await dev.said(/redis-cli -s (\S+)/);
    await dev.said(/Loaded 'shop' in \d+ ms/);
    await dev.said(/Watching/);
    const redis = await connect({ url: `unix://${socket}` });
    const says = () => redis.call('RG.FCALL', 'shop', 'f', '0');
    assert.equal(await says(), 'first');

    source("const tax: number = redis.config.tax;\nredis.register_function('f', () => {\n    redis.log('called');\n    return tax;\n});");
    await eventually(async () => (await says()) === 5);
    await dev.said(/notice +\[shop\/f\] called/);

    source("redis.register_function('f', () => 'wrong'\n");
    await dev.said(/Not loaded: the source cannot be bundled[^]*src\/index\.ts:2:0/);
    source("type Price = number;\nredis.register_function('f', () => 1);\n\nconst price = null as any;\nprice.of.it;\n");
    await dev.said(/Not loaded: .*Cannot read properties of null/);
    assert.equal(await says(), 5);

    source("interface Nothing {}\n\nredis.register_stream_consumer('c', 's', 1, false, () => {\n    throw new Error('no');\n});\nredis.register_function('f', () => 2);");
    await eventually(async () => (await says()) === 2);
    redis.disconnect();
    assert.equal(await dev.end(), 0);
});

test('with a given server the library stays there when it ends', async () => {
    const server = await LocalServer.start();
    try {
        const dev = new Dev('--url', server.url, '--json');
        await dev.said(/"event":"loaded","library":"shop"/);
        await dev.said(/Watching/);
        source("redis.register_function('f', () => { redis.log('here'); return 'second'; });");
        const redis = await connect({ url: server.url });
        await eventually(async () => (await redis.call('RG.FCALL', 'shop', 'f', '0')) === 'second');
        await dev.said(/"event":"log","level":"notice","message":"\[shop\/f\] here"/);
        assert.equal(await dev.end(), 0);
        assert.equal(await redis.call('RG.FCALL', 'shop', 'f', '0'), 'second');
        redis.disconnect();
    } finally {
        await server.stop();
    }
});

test('places in a bundle are said as places in the source, and others stay', async () => {
    source("type A = string;\n\nexport function wrong(): void {\n    throw new Error('no');\n}\nredis.register_function('f', wrong);\n");
    assert.equal((await gears(['build', '--project', project])).code, 0);
    const file = join(project, 'dist/library.js');
    const lines = readFileSync(file, 'utf8').split('\n');
    const line = lines.findIndex(one => one.includes('throw new Error')) + 1;
    const column = (lines[line - 1] ?? '').indexOf('new Error') + 1;
    const { positions } = await bundle(readProject(project));
    assert.equal(positions.resolve(`at wrong (shop:${line}:${column})`), 'at wrong (src/index.ts:4:11)');
    assert.equal(positions.frames(`at wrong (shop:${line}:${column}) (line ${line})`), `at wrong (src/index.ts:4:11) (line ${line})`);
    assert.equal(positions.resolve(`no (line ${line})`), 'no (src/index.ts:4)');
    for (const other of [`at x (workshop:${line}:${column})`, 'at x (shop:9999:1)', 'shop:1', '(line 0)', '(line 99999)']) {
        assert.equal(positions.resolve(other), other);
    }
    assert.equal(new Positions('shop', null).resolve('shop:1:1 (line 1)'), 'shop:1:1 (line 1)');
});

test('what is no part of the source changes nothing, and what is does, whatever it is called', async () => {
    writeFileSync(join(project, 'src/terms.txt'), 'first');
    source("import terms from './terms.txt';\nredis.register_function('f', () => terms);");
    const dev = new Dev();
    const [, socket] = await dev.said(/redis-cli -s (\S+)/);
    await dev.said(/Watching/);
    writeFileSync(join(project, 'output.txt'), dev.text);
    writeFileSync(join(project, 'src/terms.txt'), 'second');
    const redis = await connect({ url: `unix://${socket}` });
    await eventually(async () => (await redis.call('RG.FCALL', 'shop', 'f', '0')) === 'second');
    redis.disconnect();
    assert.match(dev.notes, /src\/terms\.txt changed/);
    assert.doesNotMatch(dev.notes, /output\.txt/);
    assert.equal(await dev.end(), 0);
});

test('a wrong call is refused', async () => {
    assert.equal((await gears(['dev', '--project', where])).code, 2);
    const both = await gears(['dev', '--project', project, '--url', 'redis://127.0.0.1:1', '--port', '7777']);
    assert.notEqual(both.code, 0);
    assert.match(both.stderr, /--port is for a server of its own/);
    const unreachable = await gears(['dev', '--project', project, '--module', '/nowhere.so']);
    assert.equal(unreachable.code, 2);
});
