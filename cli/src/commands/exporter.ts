/** `gears exporter`: serves the module's figures for Prometheus, on `/metrics`. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { connectionOptions, type Address } from '../connection.js';
import { EXIT, Failure, textOf } from '../failure.js';
import { metrics } from '../metrics.js';
import type { Output } from '../output.js';
import { readStanding, type Standing } from '../watch/standing.js';

export interface ExporterOptions extends Address {
    readonly host: string;
    readonly port: number;
    readonly mostConsumers: number;
}

/** Serves until the process is asked to end. */
export async function exporter(options: ExporterOptions, output: Output): Promise<void> {
    // It outlives its server: a scrape that finds none says so, and the next one may find it again.
    const redis = new Redis({
        ...connectionOptions(options),
        lazyConnect: false,
        retryStrategy: times => Math.min(times * 200, 2000),
        enableOfflineQueue: false,
    });
    let lastProblem = '';
    const problem = (error: unknown): void => {
        const text = textOf(error);
        if (text !== '' && text !== lastProblem) {
            output.note(`gears: ${text}`);
        }
        lastProblem = text;
    };
    redis.on('error', problem);

    // Scrapes that come while one runs get the same figures.
    let running: Promise<string> | null = null;
    let contentType = '';
    const scrape = async (): Promise<string> => {
        const start = performance.now();
        let figures: Standing | null = null;
        try {
            figures = await readStanding(redis, options.mostConsumers);
            lastProblem = '';
        } catch (error) {
            problem(error);
        }
        const registry = metrics(figures, (performance.now() - start) / 1000, options.mostConsumers);
        contentType = registry.contentType;
        return registry.metrics();
    };

    const server = createServer((request, response) => {
        const path = new URL(request.url ?? '/', 'http://localhost').pathname;
        if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
            response.writeHead(path === '/metrics' ? 405 : 404, { 'content-type': 'text/plain' });
            response.end('The figures are at /metrics\n');
            return;
        }
        running ??= scrape().finally(() => (running = null));
        running.then(
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
        await untilAskedToEnd();
    } finally {
        server.closeAllConnections();
        server.close();
        redis.disconnect();
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
