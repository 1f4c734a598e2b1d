/** Errors are shown with their places in the source: of the text that ran when they came. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from '../src/connection.js';
import { QUESTIONS } from '../src/dashboard/api.js';
import { LocalServer } from '../src/local_server.js';
import { Places } from '../src/places.js';
import { readProject } from '../src/project.js';
import { keepMap, keptOf } from '../src/source_maps.js';
import { Watch } from '../src/watch/watch.js';
import { eventually, folder, gears } from './gears.js';

const where = folder();
const project = mkdtempSync(join(where, 'project-'));
let server: LocalServer;
let redis: Awaited<ReturnType<typeof connect>>;
before(async () => {
    server = await LocalServer.start();
    redis = await connect({ url: server.url });
    mkdirSync(join(project, 'src'));
    writeFileSync(join(project, 'gears.json'), '{"name":"shop"}');
});
after(async () => {
    redis?.disconnect();
    await server?.stop();
});

/** Deploys a text whose callback fails in that line of `src/book.ts`, and adds an entry. */
async function failAt(line: number, error: string): Promise<void> {
    const book = `${'redis.log("loading");\n'.repeat(line - 2)}export function book(error: string): void {\n    throw new Error(error);\n}\n`;
    writeFileSync(join(project, 'src/book.ts'), book);
    writeFileSync(join(project, 'src/index.ts'), `import { book } from './book';
redis.register_stream_consumer('book', 's:', 1, false, (_client: unknown, data: { record: string[][] }) => {
    redis.log(new Error('logged').stack!.split('\\n')[1]!);
    book(data.record[0]![1]!);
}, { dead_letter: 'dead' });
redis.register_function('slow', () => { for (const end = Date.now() + 150; Date.now() < end;); book('slow'); });
`);
    const done = await gears(['deploy', '--url', server.url], { cwd: project });
    assert.equal(done.code, 0, done.stderr);
    await fail(error);
}

async function fail(error: string): Promise<void> {
    const length = await redis.xlen('dead');
    await redis.xadd('s:1', '*', 'error', error);
    await eventually(async () => (await redis.xlen('dead')) === length + 1);
}

const placesOf = (text: string): string[] => text.match(/(?:src\/book\.ts|shop):\d+:\d+/g) ?? [];

test('each letter has the place of the text that it failed with, also after an upgrade and a rollback', async () => {
    await failAt(4, 'one');
    await failAt(9, 'two');
    assert.equal((await gears(['rollback', 'shop', '--yes', '--url', server.url])).code, 0);
    await fail('three');
    const shown = await gears(['letters', 'shop', 'book', '--url', server.url], { cwd: join(project, 'src') });
    assert.deepEqual(placesOf(shown.stdout), ['src/book.ts:4:11', 'src/book.ts:9:11', 'src/book.ts:4:11'], shown.stdout);
    const json = (await gears(['letters', 'shop', 'book', '--json', '-C', project, '--url', server.url])).json;
    assert.match(json.letters[1].stack, /^at book \(src\/book\.ts:9:11\)/);
});

test('a text that was loaded again, and so has a later time, keeps the places of its errors', async () => {
    await failAt(9, 'four');
    await failAt(9, 'five');
    const shown = await gears(['letters', 'shop', 'book', '--url', server.url], { cwd: project });
    assert.deepEqual(placesOf(shown.stdout).slice(-2), ['src/book.ts:9:11', 'src/book.ts:9:11'], shown.stdout);
    await failAt(4, 'six');
});

test('elsewhere places are those of the script', async () => {
    const shown = await gears(['letters', 'shop', 'book', '--url', server.url], { cwd: where });
    const [first, second] = placesOf(shown.stdout);
    assert.match(first ?? '', /^shop:/);
    assert.notEqual(first, second);
    const wrong = await gears(['letters', 'shop', 'book', '--url', server.url, '-C', where]);
    assert.equal(wrong.code, 2);
});

test('the log, top, slow calls and the dashboard show them too', async () => {
    const logs = await gears(['logs', '--url', server.url, '-C', project]);
    const logged = [...logs.stdout.matchAll(/\[shop\/book\].*\((\S+)\)|\[shop\/book\].* (\S+:\d+:\d+)/g)].map(found => found[1] ?? found[2]);
    assert.deepEqual(logged.map(place => place?.split(':').slice(0, 2).join(':')), Array.from({ length: 6 }, () => 'src/index.ts:3'));
    await redis.call('RG.FCALL', 'shop', 'slow', '0').catch(() => undefined);
    const top = await gears(['top', '--once', '--interval', '1', '--json', '--url', server.url], { cwd: project });
    assert.match(top.json.consumers[0].last_error_stack, /^at book \(src\/book\.ts:4:11\)/);
    assert.match(top.json.slow[0].stack, /at book \(src\/book\.ts:4:11\)/);
    const text = await gears(['top', '--once', '--interval', '1', '--url', server.url], { cwd: project });
    assert.match(text.stdout, /SLOW CALL .*WHERE\n +shop\/slow .* book \(src\/book\.ts:4:11\)/);

    const places = new Places(readProject(project));
    const watch = new Watch({ url: server.url }, { intervalMs: 60_000, mostConsumers: 10, keepMs: 0, places });
    try {
        await watch.start();
        const of = new URLSearchParams({ library: 'shop', consumer: 'book' });
        const page = (await QUESTIONS['letters']?.(watch, of)) as { letters: { stack: string }[] };
        assert.deepEqual(page.letters.flatMap(letter => placesOf(letter.stack).slice(0, 1)), [
            'src/book.ts:4:11', 'src/book.ts:9:11', 'src/book.ts:4:11', 'src/book.ts:9:11', 'src/book.ts:9:11', 'src/book.ts:4:11',
        ]);
        const standing = (await QUESTIONS['standing']?.(watch, of)) as { consumers: { last_error_stack: string }[] };
        assert.match(standing.consumers[0]?.last_error_stack ?? '', /book\.ts:4:11/);
        const slow = (await QUESTIONS['slow']?.(watch, of)) as { stack: string }[];
        assert.match(slow[0]?.stack ?? '', /book\.ts:4:11/);
    } finally {
        watch.stop();
    }
});

test('why a load fails is said with its place', async () => {
    const file = join(project, 'dist/library.js');
    writeFileSync(file, readFileSync(file, 'utf8').replace('throw new Error', 'throw = Error'));
    const failed = await gears(['deploy', file, '--url', server.url], { cwd: project });
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /\(src\/book\.ts:4\)/);
});

test('maps are kept by the digest of their script, and the oldest go', () => {
    const mine = readProject(project);
    const map = { version: 3, file: '', sources: ['src/a.ts'], sourcesContent: [], names: [], mappings: 'AAAA', sourceRoot: '' };
    for (let index = 0; index < 120; index += 1) {
        keepMap(mine, `text ${index}`, map);
    }
    assert.equal(readdirSync(join(project, '.gears/maps')).length, 100);
    assert.equal(keptOf(mine, 'a'.repeat(64)), null);
});
