/** What ops/ asks of Prometheus is what the exporter serves. */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { connect } from '../src/connection.js';
import { LocalServer } from '../src/local_server.js';
import { packageFile } from '../src/package.js';
import { eventually, start } from './gears.js';

let server: LocalServer;
let exporter: ChildProcess;
let served: string;
before(async () => {
    server = await LocalServer.start();
    const redis = await connect({ url: server.url });
    await redis.call(
        'RG.FUNCTION',
        'LOAD',
        `#!js name=lib
redis.register_stream_consumer('book', 's:', 1, false, () => { throw new Error('no'); });
redis.register_notifications_consumer('note', 'k:', () => {});
redis.register_function('f', () => {});`,
    );
    await redis.xadd('s:1', '*', 'a', '1');
    redis.disconnect();
    exporter = start(['exporter', '--port', '0', '--json', '--url', server.url]);
    const line = await new Promise<string>(resolve =>
        exporter.stdout?.once('data', (data: Buffer) => resolve(data.toString())),
    );
    served = await eventually(async () => {
        const text = await (await fetch(JSON.parse(line).url)).text();
        return text.includes('class="Error"') && text;
    });
});
after(async () => {
    exporter?.kill('SIGKILL');
    await server?.stop();
});

/** The metrics that a text names. */
function named(text: string): Set<string> {
    return new Set(text.match(/\bredisgears_\w+/g));
}

for (const file of ['alerts.yml', 'alerts.test.yml', 'dashboard.json']) {
    test(`${file} names metrics that the exporter serves`, () => {
        const names = named(readFileSync(packageFile(`../ops/${file}`), 'utf8'));
        assert.ok(names.size > 5);
        const unknown = [...names].filter(name => !served.includes(`# TYPE ${name} `));
        assert.deepEqual(unknown, []);
    });
}

test('the alerts and the dashboard select and show labels that the exporter gives', () => {
    const given = new Set([...served.matchAll(/[{,](\w+)="/g)].map(([, label]) => label));
    // Prometheus adds these two to what it scrapes.
    given.add('job').add('instance');
    // In a cluster everything has this one, too.
    given.add('shard');
    const texts = ['alerts.yml', 'dashboard.json'].map(file => readFileSync(packageFile(`../ops/${file}`), 'utf8'));
    const used = new Set<string>();
    for (const text of texts) {
        for (const [, label] of text.matchAll(/\{\{ ?(?:\$labels\.)?([a-z]+) ?\}\}/g)) {
            used.add(label ?? '');
        }
        for (const [, label] of text.matchAll(/[{,] ?(\w+)(?:=~|!=|=)\\?"/g)) {
            used.add(label ?? '');
        }
        for (const [, labels] of text.matchAll(/\bon \(([^)]*)\)/g)) {
            labels?.split(', ').forEach(label => used.add(label));
        }
    }
    assert.ok(used.has('state') && used.has('quantile') && used.has('consumer'));
    assert.deepEqual([...used].filter(label => !given.has(label)), []);
});

test('the panels of the dashboard have ids and places of their own, and ask the chosen source', () => {
    const { panels } = JSON.parse(readFileSync(packageFile('../ops/dashboard.json'), 'utf8'));
    assert.equal(new Set(panels.map((panel: any) => panel.id)).size, panels.length);
    assert.equal(new Set(panels.map((panel: any) => `${panel.gridPos.x}/${panel.gridPos.y}`)).size, panels.length);
    for (const panel of panels) {
        assert.equal(panel.datasource.uid, '${source}', panel.title);
        assert.ok(panel.targets.length > 0, panel.title);
    }
});
