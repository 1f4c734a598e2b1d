/** The dashboard: its page in a headless Chromium, and who may talk to its server. */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium, type Browser, type Page } from 'playwright-core';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { eventually, servedBy, start } from './gears.js';

/** `good` entries succeed; `bad` ones fail until the key `healed` is there; `<b>` is what an attacker would write. */
const LIBRARY = `#!js name=lib
redis.register_stream_consumer('book', 's:', 1, false, (client, data) => {
    if (data.record[0][0] === 'bad' && client.call('EXISTS', 'healed') !== 1n) {
        throw new Error('<b id="injected">bad</b> ' + data.record[0][1]);
    }
}, { dead_letter: 'dead' });
redis.register_stream_consumer('stopped', 'stop:', 1, false, () => { throw new Error('it is broken'); }, { on_failure: 'abort' });
redis.register_notifications_consumer('note', 'k:', () => {});
redis.register_function('take', () => 1);`;

/** Where screenshots go, for who wants to look at them. */
const SCREENSHOTS = process.env['GEARS_SCREENSHOTS'];

let server: LocalServer;
let redis: Awaited<ReturnType<typeof connect>>;
let browser: Browser;
const running: ChildProcess[] = [];
before(async () => {
    server = await LocalServer.start();
    redis = await connect({ url: server.url });
    await redis.call('RG.FUNCTION', 'LOAD', LIBRARY);
    // `scripts/setup test` installs it.
    browser = await chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
});
after(async () => {
    await browser?.close();
    running.forEach(child => child.kill('SIGKILL'));
    redis?.disconnect();
    await server?.stop();
});

async function serve(...args: string[]): Promise<URL> {
    const child = start(['dashboard', '--url', server.url, '--interval', '1', '--json', ...args]);
    running.push(child);
    return servedBy(child);
}

async function open(url: URL, viewport = { width: 1280, height: 900 }): Promise<{ page: Page; problems: string[] }> {
    const page = await browser.newPage({ viewport });
    const problems: string[] = [];
    page.on('pageerror', error => problems.push(String(error)));
    page.on('console', message => message.type() === 'error' && problems.push(message.text()));
    await page.goto(String(url));
    await page.waitForSelector('body[data-ready]');
    return { page, problems };
}

async function picture(page: Page, name: string): Promise<void> {
    if (SCREENSHOTS !== undefined) {
        mkdirSync(SCREENSHOTS, { recursive: true });
        await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
    }
}

test('the page shows consumers, callbacks and libraries, and what stands still first', async () => {
    await redis.xadd('s:1', '*', 'good', '1');
    await redis.xadd('stop:1', '*', 'a', '1');
    await redis.set('k:1', 'a');
    const url = await serve();
    const { page, problems } = await open(url);
    const first = page.locator('#consumers tbody tr').first();
    await first.getByText('aborted').waitFor();
    assert.match(await first.innerText(), /lib \/ stopped/);
    assert.match(await page.locator('#consumers').innerText(), /lib \/ book/);
    assert.match(await page.locator('#callbacks').innerText(), /trigger\s+lib \/ note[^]*function\s+lib \/ take|function\s+lib \/ take[^]*trigger\s+lib \/ note/);
    assert.match(await page.locator('#libraries').innerText(), /lib\s+.*js/);
    assert.equal(await page.locator('#plots canvas').count(), 4);
    assert.doesNotMatch(page.url(), /#./, 'the token stays in the address bar');
    await picture(page, 'idle');
    assert.deepEqual(problems, []);
    await page.close();
});

test('dead letters are shown as text, and redriven by a click', async () => {
    for (const index of [1, 2, 3]) {
        await redis.xadd('s:1', '*', 'bad', String(index));
    }
    await eventually(async () => (await redis.xlen('dead')) === 3);
    const { page, problems } = await open(await serve());
    await page.locator('#consumers').getByText('lib / book').click();
    await page.locator('#letters tbody tr').nth(2).waitFor();
    assert.match(await page.locator('#letters').innerText(), /<b id="injected">bad<\/b> 1/);
    assert.equal(await page.locator('#injected').count(), 0);
    await picture(page, 'failing');

    await redis.set('healed', '1');
    await page.locator('#letters tbody tr').nth(1).getByRole('button', { name: 'Redrive' }).click();
    await eventually(async () => (await redis.xlen('dead')) === 2);
    page.once('dialog', dialog => void dialog.accept());
    await page.getByRole('button', { name: 'Redrive these' }).click();
    await eventually(async () => (await redis.xlen('dead')) === 0);
    await page.locator('#letters').getByText('There are none.').waitFor();
    await page.locator('#redriven').getByText('2 delivered again: 2 ok, 0 failed, 0 open').waitFor();
    assert.deepEqual(problems, []);
    await page.close();
});

test('a narrow page has no wider parts', async () => {
    const { page } = await open(await serve(), { width: 390, height: 800 });
    await picture(page, 'narrow');
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 390);
    await page.close();
});

/** A request with exactly these headers, as no browser would let a page send it. */
async function ask(url: URL, path: string, options: { method?: string; headers?: Record<string, string>; body?: string }) {
    return new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
        const sent = request({ host: '127.0.0.1', port: url.port, path, ...options }, response => {
            let text = '';
            response.on('data', (data: Buffer) => (text += data.toString()));
            response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
        });
        sent.once('error', reject);
        sent.end(options.body);
    });
}

test('without its token nobody reads, and nobody redrives', async () => {
    const url = await serve();
    const bearer = { authorization: `Bearer ${url.hash.slice(1)}` };
    const json = { 'content-type': 'application/json' };
    const redrive = { method: 'POST', body: '{"library":"lib","consumer":"book"}' };
    assert.equal((await ask(url, '/api/standing', {})).status, 401);
    assert.equal((await ask(url, '/api/standing', { headers: { authorization: 'Bearer x' } })).status, 401);
    assert.equal((await ask(url, '/api/standing', { headers: { cookie: `token=${url.hash.slice(1)}` } })).status, 401);
    assert.equal((await ask(url, '/api/redrive', { ...redrive, headers: json })).status, 401);
    const good = await ask(url, '/api/standing', { headers: bearer });
    assert.equal(good.status, 200);
    assert.equal(good.headers['access-control-allow-origin'], undefined);
    assert.match(String(good.headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
    // Not even with the token: no GET changes anything, nor does what a form of another page could send.
    assert.equal((await ask(url, '/api/redrive', { headers: bearer })).status, 405);
    assert.equal((await ask(url, '/api/redrive', { ...redrive, headers: bearer })).status, 405);
    const elsewhere = { ...bearer, ...json, origin: 'http://evil.example' };
    assert.equal((await ask(url, '/api/redrive', { ...redrive, headers: elsewhere })).status, 403);
    const rebound = { ...bearer, host: `evil.example:${url.port}` };
    assert.equal((await ask(url, '/api/standing', { headers: rebound })).status, 421);
    assert.equal((await ask(url, '/', { headers: { host: 'evil.example' } })).status, 421);
    const preflight = { method: 'OPTIONS', headers: { origin: 'http://evil.example', 'access-control-request-method': 'POST' } };
    assert.equal((await ask(url, '/api/redrive', preflight)).status, 403);
});

test('a wrong question is told what is wrong with it', async () => {
    const url = await serve();
    const headers = { authorization: `Bearer ${url.hash.slice(1)}` };
    const of = async (path: string) => ask(url, path, { headers });
    assert.equal((await of('/api/nosuch')).status, 404);
    assert.equal((await of('/api/constructor')).status, 404);
    assert.deepEqual(JSON.parse((await of('/api/streams?library=lib')).text), { error: "'consumer' is missing" });
    assert.equal((await of('/api/streams?library=lib&consumer=book&count=100000')).status, 400);
    const nobody = await of('/api/streams?library=lib&consumer=nobody');
    assert.equal(nobody.status, 409);
    assert.match(nobody.text, /nobody/);
    const long = { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: ' '.repeat(100_000) };
    assert.equal((await ask(url, '/api/redrive', long)).status, 400);
    assert.equal((await ask(url, '/api/redrive', { ...long, body: '{"library":1}' })).status, 400);
});

test('it listens on the loopback interface alone, and outlives its server', async () => {
    const mine = await LocalServer.start();
    const child = start(['dashboard', '--url', mine.url, '--interval', '1', '--json']);
    running.push(child);
    const url = await servedBy(child);
    assert.equal(url.hostname, '127.0.0.1');
    await mine.stop();
    const headers = { authorization: `Bearer ${url.hash.slice(1)}` };
    await eventually(async () => JSON.parse((await ask(url, '/api/standing', { headers })).text).problem !== null);
    child.kill('SIGTERM');
    assert.equal(await new Promise(resolve => child.once('exit', resolve)), 0);
});

test('a hundred thousand streams are as quick as one', async () => {
    const many = '#!js name=many\nredis.register_stream_consumer("all", "many:", 1, false, () => {});';
    await redis.call('RG.FUNCTION', 'LOAD', many);
    for (let from = 0; from < 100_000; from += 5_000) {
        const pipeline = redis.pipeline();
        for (let index = from; index < from + 5_000; index += 1) {
            pipeline.xadd(`many:${index}`, '*', 'a', '1');
        }
        await pipeline.exec();
    }
    const { page, problems } = await open(await serve());
    await page.locator('#consumers').getByText('100,000').first().waitFor();
    await page.locator('#consumers').getByText('many / all').click();
    await page.locator('#streams').getByText(/No stream is behind|many:/).first().waitFor();
    await redis.call('RG.CONSUMER', 'PAUSE', 'many', 'all');
    for (let index = 0; index < 100; index += 1) {
        await redis.xadd(`many:${index}`, '*', 'a', '2');
    }
    await page.locator('#streams tbody tr').nth(19).waitFor();
    assert.equal(await page.locator('#streams tbody tr').count(), 20);
    await picture(page, 'hundred-thousand');
    assert.deepEqual(problems, []);
    await page.close();
});
