/**
 * Failure drills: for each of them the state (RG.CONSUMER INFO, RG.FUNCTION INFO), the log, the exporter and the dashboard
 * tell what is wrong, and that it is over. How many seconds that took is printed.
 */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test, type TestContext } from 'node:test';
import { chromium, type Browser, type Page } from 'playwright-core';
import { connect } from '../src/connection.js';
import { letters } from '../src/letters.js';
import { LocalServer } from '../src/local_server.js';
import { Fields, type Reply } from '../src/replies.js';
import { consumerFigures, slowCalls, type ConsumerFigures } from '../src/server.js';
import { eventually, folder, gears, script, start } from './gears.js';

type Redis = Awaited<ReturnType<typeof connect>>;
/** Samples of the exporter by name and labels, as they are written. */
type Samples = ReadonlyMap<string, number>;

const where = folder();
let server: LocalServer;
let redis: Redis;
let browser: Browser;
let page: Page;
let metrics: string;
const problems: string[] = [];
const running: ChildProcess[] = [];
before(async () => {
    server = await LocalServer.start();
    redis = await connect({ url: server.url });
    // Whatever else this machine does: no script here is ended for its time.
    await redis.config('SET', 'redisgears_2.lock-redis-timeout', '60000');
    metrics = await serving('exporter', '--port', '0');
    const dashboard = await serving('dashboard', '--interval', '1');
    browser = await chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
    page = await browser.newPage();
    page.on('pageerror', error => problems.push(String(error)));
    await page.goto(dashboard);
    await page.waitForSelector('body[data-ready]');
});
after(async () => {
    await browser?.close();
    running.forEach(child => child.kill('SIGKILL'));
    redis?.disconnect();
    await server?.stop();
});

/** Starts a command that serves, and gives its URL. */
async function serving(...args: string[]): Promise<string> {
    const child = start([...args, '--url', server.url, '--json']);
    running.push(child);
    const line = await new Promise<string>((resolve, reject) => {
        child.stdout?.once('data', (data: Buffer) => resolve(data.toString()));
        child.once('exit', code => reject(new Error(`${args[0]} ended with ${code}`)));
    });
    return JSON.parse(line).url;
}

async function scrape(): Promise<Samples> {
    const text = await (await fetch(metrics)).text();
    const lines = text.split('\n').filter(line => line !== '' && !line.startsWith('#'));
    return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}

/** One place that tells it, in so many of its words. */
interface Told {
    readonly state: () => Promise<boolean>;
    readonly log: RegExp;
    readonly exporter: (samples: Samples) => boolean;
    /** What one of these parts of the page says. */
    readonly dashboard: { readonly at: string; readonly says: RegExp };
}

const log = (): string => readFileSync(server.log, 'utf8');

/** Does that, and waits until all four have told it. */
async function tells(t: TestContext, what: string, act: () => Promise<unknown>, told: Told): Promise<void> {
    const mark = log().length;
    await act();
    const began = performance.now();
    const seconds = async (name: string, ask: () => Promise<boolean>): Promise<string> => {
        await eventually(ask, { timeoutMs: 120_000 }).catch((error: unknown) => {
            throw new Error(`${what}: the ${name} does not tell it`, { cause: error });
        });
        return `${name} ${((performance.now() - began) / 1000).toFixed(1)} s`;
    };
    const parts = page.locator(told.dashboard.at);
    const all = await Promise.all([
        seconds('state', told.state),
        seconds('log', async () => told.log.test(log().slice(mark))),
        seconds('exporter', async () => told.exporter(await scrape())),
        seconds('dashboard', async () => (await parts.allInnerTexts()).some(text => told.dashboard.says.test(text))),
    ]);
    t.diagnostic(`${what}: ${all.join(', ')}`);
}

/** A consumer by its name in every place. */
class Consumer {
    constructor(
        readonly library: string,
        readonly name: string,
    ) {}

    /** Whether RG.CONSUMER INFO says that. */
    is(asked: (figures: ConsumerFigures) => boolean): () => Promise<boolean> {
        return async () => asked(await consumerFigures(redis, this.library, this.name));
    }

    /** A figure of the exporter. */
    sample(samples: Samples, name: string, more = ''): number {
        return samples.get(`redisgears_consumer_${name}{library="${this.library}",consumer="${this.name}"${more}}`) ?? NaN;
    }

    inState(state: string): (samples: Samples) => boolean {
        return samples => this.sample(samples, 'state', `,state="${state}"`) === 1;
    }

    /** Its row on the dashboard, that has this behind its state and its name. */
    row(state: string, more = ''): Told['dashboard'] {
        return { at: '#consumers tbody tr', says: new RegExp(`^${state}\\s+${this.library} / ${this.name}\\b[^]*${more}`) };
    }
}

async function load(name: string, body: string, by: Redis = redis): Promise<void> {
    await by.call('RG.FUNCTION', 'LOAD', `#!js name=${name}\n${body}`);
}

test('an owner that is deleted', { timeout: 600_000 }, async t => {
    const permit = ['on', '>secret', '~own:*', '~owned', '&*', '+@all'];
    await redis.call('ACL', 'SETUSER', 'landlord', ...permit);
    const owner = await connect({ url: server.url }, { username: 'landlord', password: 'secret' });
    await load('owned', "redis.register_stream_consumer('book', 'own:', 1, false, c => c.call('incr', 'owned'));", owner);
    owner.disconnect();
    const book = new Consumer('owned', 'book');
    await tells(t, 'owner deleted', async () => {
        await redis.call('ACL', 'DELUSER', 'landlord');
        await redis.xadd('own:1', '*', 'a', '1');
    }, {
        state: book.is(({ state, reason }) => state === 'blocked' && /landlord/.test(reason ?? '')),
        log: /\[owned\/book\] is blocked at stream 'own:1', and tries again: .*landlord/,
        exporter: samples =>
            book.inState('blocked')(samples) &&
            book.sample(samples, 'blocked_streams') === 1 &&
            book.sample(samples, 'errors_total', ',class="NOPERM"') === 1,
        dashboard: book.row('blocked', 'landlord'),
    });
    await tells(t, 'owner back', () => redis.call('ACL', 'SETUSER', 'landlord', ...permit), {
        state: book.is(({ state, processed }) => state === 'running' && processed === 1),
        log: /\[owned\/book\] is not blocked any more/,
        exporter: book.inState('running'),
        dashboard: book.row('running'),
    });
    await tells(t, 'owner without a right', async () => {
        await redis.call('ACL', 'SETUSER', 'landlord', '-xread');
        await redis.xadd('own:1', '*', 'a', '2');
    }, {
        state: book.is(({ state, reason }) => state === 'blocked' && /xread/i.test(reason ?? '')),
        log: /\[owned\/book\] is blocked at stream 'own:1', and tries again: .*xread/i,
        exporter: book.inState('blocked'),
        dashboard: book.row('blocked', '[xX][rR][eE][aA][dD]'),
    });
    await tells(t, 'right back', () => redis.call('ACL', 'SETUSER', 'landlord', '+xread'), {
        state: book.is(({ state, processed }) => state === 'running' && processed === 2),
        log: /\[owned\/book\] is not blocked any more/,
        exporter: book.inState('running'),
        dashboard: book.row('running'),
    });
    assert.equal(await redis.get('owned'), '2');
});

test('writes that are refused', { timeout: 600_000 }, async t => {
    // While it retries, what refuses writes can begin without an entry that could not be added any more.
    await load('refused', `redis.register_stream_consumer('book', 'refused:', 1, false, client => {
        if (client.call('exists', 'open') === 0n) { throw new Error('still closed'); }
        client.call('incr', 'refused');
    }, { on_failure: 'retry', retry_interval: 100 });`);
    const book = new Consumer('refused', 'book');
    await redis.xadd('refused:1', '*', 'a', '1');
    await eventually(book.is(({ failures }) => failures > 0));
    for (const [setting, on, off, code] of [['min-replicas-to-write', '1', '0', 'NOREPLICAS'], ['maxmemory', '1', '0', 'OOM']] as const) {
        await tells(t, `writes refused by ${setting}`, () => redis.config('SET', setting, on), {
            state: book.is(({ state, reason }) => state === 'refused' && (reason ?? '').startsWith(code)),
            log: new RegExp(`callbacks that may write wait, since the server refuses: ${code}`),
            exporter: book.inState('refused'),
            dashboard: book.row('refused', code),
        });
        await tells(t, 'writes taken again', () => redis.config('SET', setting, off), {
            state: book.is(({ state }) => state !== 'refused'),
            log: /callbacks go on: the server takes writes again/,
            exporter: samples => !book.inState('refused')(samples),
            dashboard: book.row('(running|waiting)'),
        });
    }
    await redis.set('open', '1');
    await eventually(book.is(({ processed }) => processed === 1));
    assert.equal(await redis.get('refused'), '1');
});

test('a callback that never settles', { timeout: 600_000 }, async t => {
    await redis.config('SET', 'redisgears_2.stalled-after', '1');
    await load('stuck', `let release;
        redis.register_stream_consumer('book', 'stuck:', 1, false, async () => { await new Promise(go => (release = go)); });
        redis.register_function('release', () => release(1));`);
    const book = new Consumer('stuck', 'book');
    await tells(t, 'callback that does not settle', () => redis.xadd('stuck:1', '*', 'a', '1'), {
        state: book.is(({ state, reason }) => state === 'blocked' && /callback has not settled for .*'stuck:1'/.test(reason ?? '')),
        log: /\[stuck\/book\] is blocked at stream 'stuck:1': .*has not settled/,
        exporter: samples => book.inState('blocked')(samples) && book.sample(samples, 'in_flight') === 1,
        dashboard: book.row('blocked', 'has not settled'),
    });
    await tells(t, 'callback settled', () => redis.call('RG.FCALL', 'stuck', 'release', '0'), {
        state: book.is(({ state, processed }) => state === 'running' && processed === 1),
        log: /\[stuck\/book\] is not blocked any more/,
        exporter: book.inState('running'),
        dashboard: book.row('running'),
    });
});

test('a callback that is slow', { timeout: 600_000 }, async t => {
    await load('slow', `function wait() { for (const end = Date.now() + 200; Date.now() < end;); }
        redis.register_function('total', wait);`);
    await tells(t, 'slow callback', () => redis.call('RG.FCALL', 'slow', 'total', '0'), {
        state: async () => {
            const info = new Fields((await redis.call('RG.FUNCTION', 'INFO', 'slow', 'total')) as Reply);
            const [call] = (await slowCalls(redis, 10))?.filter(each => each.library === 'slow' && each.kind === 'function') ?? [];
            return info.number('duration_ms_max') > 150 && (call?.duration_ms ?? 0) > 150;
        },
        log: /slow: function 'slow\/total' took 100 ms or longer, see RG\.SLOWLOG/,
        exporter: samples =>
            (samples.get('redisgears_callback_duration_max_seconds{kind="function",library="slow",callback="total"}') ?? 0) > 0.15,
        dashboard: { at: '#slow tbody tr', says: /function\s+slow \/ total/ },
    });
});

test('ten thousand letters of which half are hopeless', { timeout: 600_000 }, async t => {
    await load('mail', `redis.register_stream_consumer('book', 'mail:', 1, false, (client, data) => {
        const [[kind, number]] = data.record;
        if (kind === 'bad') { throw new Error('hopeless: ' + number); }
        if (client.call('exists', 'healed') === 0n) { throw 'busy: ' + number; }
        client.call('hincrby', 'delivered', number, '1');
    }, { dead_letter: 'dead' });`);
    const book = new Consumer('mail', 'book');
    const COUNT = 10_000;
    await tells(t, '10,000 letters', async () => {
        for (let from = 0; from < COUNT; from += 1000) {
            const pipeline = redis.pipeline();
            for (let index = from; index < from + 1000; index += 1) {
                pipeline.xadd(`mail:${index % 7}`, '*', index % 2 === 0 ? 'good' : 'bad', String(index));
            }
            await pipeline.exec();
        }
    }, {
        state: book.is(({ dead_letters, error_classes }) =>
            dead_letters === COUNT && error_classes['Error'] === COUNT / 2 && error_classes['busy'] === COUNT / 2),
        log: /consumer 'mail\/book' gave up an entry: its dead letter is in 'dead' \(\d+ more\)/,
        exporter: samples =>
            book.sample(samples, 'dead_letters_total') === COUNT && book.sample(samples, 'errors_total', ',class="busy"') === COUNT / 2,
        dashboard: book.row('running', '10,000'),
    });
    await redis.set('healed', '1');
    const redrive = async (count: number): Promise<[ok: number, failed: number, open: number]> => {
        const { json } = await gears(['redrive', 'mail', 'book', '--count', String(count), '--wait', '300', '--json', '--url', server.url]);
        assert.equal(json.delivered, count);
        return [json.ok, json.failed, json.open];
    };
    // Oldest first. If the hopeless ones of the first thousand stood in front, the second would hold them again.
    assert.deepEqual(await redrive(1000), [500, 500, 0]);
    assert.deepEqual(await redrive(1000), [500, 500, 0]);
    await page.locator('#consumers').getByText('mail / book').click();
    await tells(t, 'letters redriven', async () => assert.deepEqual(await redrive(COUNT - 1000), [4000, 5000, 0]), {
        state: book.is(({ redriven }) => redriven === COUNT + 1000),
        log: /audit: REDRIVE by user 'default' .*consumer 'mail\/book', .*\d+ letters/,
        exporter: samples => book.sample(samples, 'redriven_total') === COUNT + 1000,
        dashboard: { at: '#facts .facts > div', says: /^redriven\s+11,000$/ },
    });
    assert.deepEqual(new Set(await redis.hvals('delivered')), new Set(['1']));
    assert.equal(await redis.hlen('delivered'), COUNT / 2);
    const times = new Map<number, number>();
    for await (const letter of letters(redis, 'mail', 'book')) {
        assert.match(letter.error, /^Error: hopeless: \d+$/);
        assert.equal(letter.attempts, letter.redrives + 1);
        times.set(letter.redrives, (times.get(letter.redrives) ?? 0) + 1);
    }
    assert.deepEqual([...times].sort(), [[1, 4000], [2, 1000]]);
});

test('a wrong deploy that is rolled back under load', { timeout: 600_000 }, async t => {
    const version = (first: string): string => script(where, 'shop', `redis.register_stream_consumer('book', 'shop:', 1, false,
        (client, data) => {
            ${first}
            client.call('hincrby', 'sold', data.record[0][1], '1');
        }, { on_failure: 'retry', retry_interval: 20 });`);
    const deploy = async (first: string) => {
        const done = await gears(['deploy', version(first), '--yes', '--url', server.url]);
        assert.equal(done.code, 0, done.stderr);
    };
    await deploy('');
    const book = new Consumer('shop', 'book');
    let added = 0;
    let isLoaded = true;
    const producer = (async () => {
        while (isLoaded) {
            const pipeline = redis.pipeline();
            for (let index = 0; index < 20; index += 1, added += 1) {
                pipeline.xadd(`shop:${added % 5}`, '*', 'n', String(added));
            }
            await pipeline.exec();
            await new Promise(resolve => setTimeout(resolve, 20));
        }
    })();
    try {
        await eventually(book.is(({ processed }) => processed > 100));
        await tells(t, 'wrong deploy', () => deploy('data.records.forEach(() => {});'), {
            state: book.is(({ failures, last_error }) => failures > 0 && /^TypeError: /.test(last_error ?? '')),
            log: /audit: UPGRADE by user 'default' .*library 'shop': other code[^]*shop\/book.*TypeError: /,
            exporter: samples =>
                book.sample(samples, 'failures_total') > 0 && book.sample(samples, 'errors_total', ',class="TypeError"') > 0,
            dashboard: book.row('(waiting|running)', 'TypeError: '),
        });
        await tells(t, 'rolled back', async () => {
            const back = await gears(['rollback', 'shop', '--yes', '--url', server.url]);
            assert.equal(back.code, 0, back.stderr);
        }, {
            state: book.is(({ state, backlog_entries }) => state === 'running' && (backlog_entries ?? Infinity) < 1000),
            log: /audit: ROLLBACK by user 'default' .*library 'shop'/,
            exporter: book.inState('running'),
            dashboard: book.row('running'),
        });
    } finally {
        isLoaded = false;
        await producer;
    }
    await eventually(book.is(({ processed }) => processed === added), { timeoutMs: 120_000 });
    assert.equal(await redis.hlen('sold'), added);
    assert.deepEqual(new Set(await redis.hvals('sold')), new Set(['1']));
    t.diagnostic(`${added} entries, each booked once`);
});

test('the page had no errors in all of this', () => {
    assert.deepEqual(problems, []);
});
