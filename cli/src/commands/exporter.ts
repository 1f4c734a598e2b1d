/** `gears exporter`: serves the module's figures for Prometheus, on `/metrics`. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Address } from '../connection.js';
import { EXIT, Failure, textOf } from '../failure.js';
import { metrics } from '../metrics.js';
import type { Output } from '../output.js';
import { inWords, LiveShards, missingOf } from '../watch/live_shards.js';
import { readStanding } from '../watch/standing.js';

export interface ExporterOptions extends Address {
    readonly host: string;
    readonly port: number;
    readonly mostConsumers: number;
}

/** Serves until the process is asked to end. */
export async function exporter(options: ExporterOptions, output: Output): Promise<void> {
    // It outlives its server: a scrape that finds none says so, and the next one may find it again.
    const live = new LiveShards(options);
    let lastProblem = '';

    // Scrapes that come while one runs get the same figures.
    let running: Promise<string> | null = null;
    let contentType = '';
    const read = async (): Promise<string> => {
        const start = performance.now();
        const parts = await live.read(async redis => readStanding(redis, options.mostConsumers));
        const problem = inWords(missingOf(parts));
        if (problem !== '' && problem !== lastProblem) {
            output.note(`gears: ${problem}`);
        }
        lastProblem = problem;
        const shards = parts.map(({ name, value }) => ({ shard: name, figures: value }));
        const registry = metrics(shards, (performance.now() - start) / 1000, options.mostConsumers);
        contentType = registry.contentType;
        return registry.metrics();
    };
    const scrape = async (): Promise<string> => (running ??= read().finally(() => (running = null)));

    const server = createServer((request, response) => {
        const path = new URL(request.url ?? '/', 'http://localhost').pathname;
        if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
            response.writeHead(path === '/metrics' ? 405 : 404, { 'content-type': 'text/plain' });
            response.end('The figures are at /metrics\n');
            return;
        }
        scrape().then(
            text => {
                response.writeHead(200, { 'content-type': contentType });
                response.end(text);
            },
            (error: unknown) => {
                response.writeHead(500, { 'content-type': 'text/plain' });
                response.end(`${textOf(error)}\n`);
            },
        );
    });
    try {
        const port = await listen(server, options.port, options.host);
        const url = `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}/metrics`;
        output.event({ url }, `Serving ${url}`);
        // What is wrong with the URL is told now, and not at the first scrape alone.
        scrape().catch((error: unknown) => output.note(`gears: ${textOf(error)}`));
        await untilAskedToEnd();
    } finally {
        server.closeAllConnections();
        server.close();
        live.disconnect();
    }
}

/** Listens, and gives the port. */
export async function listen(server: Server, port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, resolve);
    }).catch((error: unknown) => {
        throw new Failure(`cannot listen on ${host}:${port}: ${textOf(error)}`, EXIT.usage);
    });
    return (server.address() as AddressInfo).port;
}

/** Resolves at SIGINT or SIGTERM. */
export async function untilAskedToEnd(): Promise<void> {
    await new Promise<void>(resolve => {
        process.once('SIGINT', resolve);
        process.once('SIGTERM', resolve);
    });
}
