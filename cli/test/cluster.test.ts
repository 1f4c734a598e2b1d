/** A cluster of three shards, of which the command line names one node. */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { readNodes } from '../src/cluster.js';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { eventually, folder, freePort, gears, script, servedBy, start } from './gears.js';

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
const running: ChildProcess[] = [];
after(async () => {
    running.forEach(child => child.kill('SIGKILL'));
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
/** Each shard as it is named. */
const places = (): string[] => urls.map(url => new URL(url).host);

/** Starts a command that serves, and gives its URL. */
async function serve(command: string, ...args: string[]): Promise<URL> {
    const child = start([command, '--url', urls[0] ?? '', '--port', '0', '--json', ...args]);
    running.push(child);
    return servedBy(child);
}

/** The samples of an exporter, by name and labels. */
async function scrape(url: URL): Promise<Map<string, number>> {
    const lines = (await (await fetch(url)).text()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
    return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}

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

test('the exporter has the figures of each shard, and says which it is', async () => {
    const url = await serve('exporter');
    const samples = await scrape(url);
    for (const [index, place] of places().entries()) {
        const book = `{library="lib",consumer="book",shard="${place}"}`;
        assert.equal(samples.get(`redisgears_up{shard="${place}"}`), 1);
        assert.equal(samples.get(`redisgears_consumer_streams${book}`), 1);
        const [letters] = [...samples].filter(([name]) => name === `redisgears_consumer_dead_letters_total${book}`);
        assert.ok((letters?.[1] ?? 0) >= 2, `shard ${index}: ${letters}`);
        assert.equal(samples.get(`redisgears_callback_calls_total{kind="function",library="lib",callback="f",shard="${place}"}`), 2);
        assert.ok((samples.get(`redisgears_library_heap_bytes{library="lib",shard="${place}"}`) ?? 0) > 0);
    }
    assert.ok(samples.has('redisgears_scrape_duration_seconds'));
});

/** The dashboard's answers. */
async function dashboard() {
    const url = await serve('dashboard', '--interval', '1');
    const headers = { authorization: `Bearer ${url.hash.slice(1)}`, 'content-type': 'application/json' };
    const ask = async (question: string, of: Record<string, string> = {}): Promise<any> =>
        (await fetch(new URL(`/api/${question}?${new URLSearchParams(of)}`, url), { headers })).json();
    const tell = async (what: string, body: unknown): Promise<any> =>
        (await fetch(new URL(`/api/${what}`, url), { headers, method: 'POST', body: JSON.stringify(body) })).json();
    return { url, ask, tell };
}

test('the dashboard pages through the letters of a shard, stream by stream, and redrives them', async () => {
    // One more stream, where there is one already.
    const second = 's:more{1}';
    await (await ownerOf(second)).xadd(second, '*', 'bad', 'late: more');
    const fixed = `redis.register_stream_consumer('all', 'f:', 1, false, () => { throw 'no'; }, { dead_letter: 'dead{1}' });`;
    await eventually(async () => (await run('deploy', script(where, 'fixed', fixed), '--yes')).code === 0);
    await (await ownerOf('f:{1}')).xadd('f:{1}', '*', 'a', '1');
    const { ask, tell } = await dashboard();
    const letters = async (of: Record<string, string>, count: string) => {
        const found: any[] = [];
        let cursor = '0';
        do {
            const page = await ask('letters', { ...of, count, cursor });
            assert.equal(page.error, undefined);
            assert.ok(page.letters.length <= Number(count));
            found.push(...page.letters);
            cursor = page.cursor;
        } while (cursor !== '0');
        return found;
    };
    const streams: string[] = [];
    for (const shard of places()) {
        const of = { library: 'lib', consumer: 'book', shard };
        const isMore = shard === places()[1];
        const wanted = isMore ? 3 : 2;
        const all = await eventually(async () => {
            const some = await letters(of, '50');
            return some.length === wanted && some;
        });
        const one = await letters(of, '1');
        assert.deepEqual(one, all, 'pages of one letter have the same');
        assert.equal((await letters({ ...of, error: 'late*' }, '1')).length, wanted - 1);
        streams.push(...new Set(all.map(letter => letter.stream)));

        const [{ letter, key }] = all;
        const driven = await tell('redrive', { ...of, letter, key });
        assert.equal(driven.redriven, 1, JSON.stringify(driven));
        // It failed again: one that still waits for its new letter is not redriven.
        await eventually(async () => {
            const { failed, open } = await ask('redrives', of);
            return failed === driven.before.failed + 1 && open === 0 && (await letters(of, '50')).length === wanted;
        });
        assert.equal((await tell('redrive', of)).redriven, wanted);
        await eventually(async () => (await ask('redrives', of)).open === 0);
    }
    assert.deepEqual(streams.sort(), [...STREAMS, second].sort());

    // A stream of letters for all is on one shard, and the row of each shows it.
    for (const shard of places()) {
        const of = { library: 'fixed', consumer: 'all', shard };
        const [only] = await eventually(async () => {
            const some = await letters(of, '50');
            return some.length === 1 && some;
        });
        assert.equal(only?.stream, 'f:{1}');
    }
    const nobody = await ask('letters', { library: 'lib', consumer: 'book', shard: '127.0.0.1:1' });
    assert.match(nobody.error, /shard 127\.0\.0\.1:1 does not answer, or is none/);
    assert.match((await ask('streams', { library: 'lib', consumer: 'book' })).error, /of which shard/);
    assert.match((await ask('letters', { library: 'lib', consumer: 'book', shard: places()[0] ?? '', cursor: 'x' })).error, /no cursor/);
});

test("the dashboard's page has a row of each shard, with its letters", async () => {
    const { url, ask } = await dashboard();
    const standing = await ask('standing');
    assert.equal(standing.shards, SHARDS);
    assert.deepEqual(standing.consumers.filter((row: any) => row.consumer === 'book').map((row: any) => row.shard).sort(), places().sort());
    const browser = await chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
    try {
        const page = await browser.newPage();
        await page.goto(String(url));
        await page.waitForSelector('body[data-ready]');
        assert.match(await page.locator('#server').innerText(), /, 3 shards, up/);
        await page.locator('#consumers').getByText(`lib / book @${places()[2]}`).click();
        await page.locator('#letters').getByText('bad=busy: 2').waitFor();
        assert.equal(await page.locator('#letters tbody tr').count(), 2);
        assert.equal(await page.locator('#consumers tr.chosen').count(), 1);
        await page.locator('#streams').getByText('No stream is behind').waitFor();
        await page.locator('#letters tbody tr').first().getByRole('button', { name: 'Redrive' }).click();
        await page.locator('#redriven').getByText(/1 delivered again: 0 ok, 1 failed \(1 × (busy|late)\), 0 open/).waitFor();
    } finally {
        await browser.close();
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

test('a shard that does not answer holds nobody up', async () => {
    const exporter = await serve('exporter');
    const stopped = places()[1];
    const up = async (): Promise<unknown[]> => {
        const samples = await scrape(exporter);
        return places().map(place => samples.get(`redisgears_up{shard="${place}"}`));
    };
    assert.deepEqual(await up(), [1, 1, 1]);
    const pid = Number(/process_id:(\d+)/.exec((await nodes[1]?.info('server')) ?? '')?.[1]);
    const { ask } = await dashboard();
    process.kill(pid, 'SIGSTOP');
    try {
        await eventually(async () => JSON.stringify(await up()) === '[1,0,1]');
        const standing = await eventually(async () => {
            const now = await ask('standing');
            return now.problem !== null && now;
        });
        assert.match(standing.problem, new RegExp(`^${stopped}: .*(no answer|timed out)`));
        assert.equal(standing.consumers.filter((row: any) => row.consumer === 'book').length, SHARDS - 1);
        const top = ['top', '--once', '--interval', '1'];
        const [text, read] = await Promise.all([gears([...top, '--url', urls[0] ?? '']), run(...(top as ['top']))]);
        assert.deepEqual([text.code, read.code], [0, 0], text.stderr + read.stderr);
        assert.match(text.stdout, new RegExp(`^Without ${stopped}: .*(no answer|timed out)`, 'm'));
        assert.deepEqual(read.json.missing.map((each: any) => each.shard), [stopped]);
        const others = places().filter(place => place !== stopped);
        assert.deepEqual(read.json.consumers.filter((row: any) => row.consumer === 'book').map((row: any) => row.shard).sort(), others.sort());
        for (const place of others) {
            assert.match(text.stdout, new RegExp(`lib/book @${place} +running`));
        }
    } finally {
        process.kill(pid, 'SIGCONT');
    }
    await eventually(async () => JSON.stringify(await up()) === '[1,1,1]');
    await eventually(async () => (await ask('standing')).problem === null);
});

test('a shard that is gone is named, and the others are shown, although it is that of the URL', async () => {
    const [exporter, { ask }] = [await serve('exporter'), await dashboard()];
    await scrape(exporter);
    await servers[0]?.stop();
    const [gone = '', ...others] = places();
    await eventually(async () => (await scrape(exporter)).get(`redisgears_up{shard="${gone}"}`) === 0);
    const samples = await scrape(exporter);
    assert.deepEqual(others.map(place => samples.get(`redisgears_up{shard="${place}"}`)), [1, 1]);
    assert.equal([...samples.keys()].filter(name => name.startsWith('redisgears_consumer_streams{library="lib"')).length, 2);
    const standing = await eventually(async () => {
        const now = await ask('standing');
        return now.problem !== null && now;
    });
    assert.match(standing.problem, new RegExp(`^${gone}: `));
    assert.deepEqual(standing.consumers.filter((row: any) => row.consumer === 'book').map((row: any) => row.shard).sort(), others.sort());
});
