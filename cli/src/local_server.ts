/** A server with the module that lives as long as a command does, and leaves nothing behind. */

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connect } from './connection.js';
import { EXIT, Failure, textOf } from './failure.js';
import { packageFile } from './package.js';

export interface Programs {
    readonly server?: string;
    readonly module?: string;
}

const START_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 10_000;
const POLL_MS = 20;

export class LocalServer {
    /** It listens on a socket file alone, so it needs no port, and nobody else reaches it. */
    readonly url: string;
    readonly log: string;
    readonly #process: ChildProcess;
    readonly #folder: string;
    readonly #exit: Promise<void>;
    #hasEnded = false;

    private constructor(child: ChildProcess, folder: string) {
        this.#process = child;
        this.#folder = folder;
        this.url = `unix://${join(folder, 'server.sock')}`;
        this.log = join(folder, 'server.log');
        this.#exit = new Promise(ended => {
            const end = (): void => {
                this.#hasEnded = true;
                ended();
            };
            child.once('exit', end);
            child.once('error', end);
        });
        // Also where the command ends in a way of which nobody is told.
        process.once('exit', this.#clear);
    }

    /** Starts one; resolves when it answers. `settings` are arguments of the server's command line. */
    static async start(programs: Programs = {}, ...settings: string[]): Promise<LocalServer> {
        const program = programs.server ?? process.env['REDIS_SERVER'] ?? 'redis-server';
        const module = modulePath(programs.module);
        const folder = mkdtempSync(join(tmpdir(), 'gears-'));
        const child = spawn(
            program,
            [
                ...['--port', '0', '--unixsocket', join(folder, 'server.sock'), '--unixsocketperm', '700'],
                ...['--dir', folder, '--logfile', join(folder, 'server.log'), '--save', '', '--daemonize', 'no'],
                ...settings,
                ...['--loadmodule', module],
            ],
            { stdio: 'ignore' },
        );
        let problem = '';
        child.once('error', error => (problem = textOf(error)));
        const server = new LocalServer(child, folder);
        const deadline = Date.now() + START_TIMEOUT_MS;
        for (;;) {
            if (server.#hasEnded || Date.now() > deadline) {
                const log = existsSync(server.log) ? readFileSync(server.log, 'utf8') : '';
                await server.stop();
                const last = log.trim().split('\n').slice(-5).join('\n');
                throw new Failure(`the server ${program} did not start${problem ? `: ${problem}` : ''}\n${last}`.trim());
            }
            try {
                (await connect({ url: server.url })).disconnect();
                return server;
            } catch {
                await new Promise(next => setTimeout(next, POLL_MS));
            }
        }
    }

    /** Ends it, and removes its data. */
    async stop(): Promise<void> {
        if (!this.#hasEnded) {
            this.#process.kill('SIGTERM');
            const kill = setTimeout(() => this.#process.kill('SIGKILL'), END_TIMEOUT_MS);
            await this.#exit;
            clearTimeout(kill);
        }
        process.removeListener('exit', this.#clear);
        rmSync(this.#folder, { recursive: true, force: true });
    }

    readonly #clear = (): void => {
        this.#process.kill('SIGKILL');
        rmSync(this.#folder, { recursive: true, force: true });
    };
}

/** The module's file. In a checkout it is where `make build` puts it. */
export function modulePath(given: string | undefined): string {
    const built = packageFile('../target/release/libredisgears.so');
    const path = given ?? process.env['GEARS_MODULE'] ?? (existsSync(built) ? built : undefined);
    if (path === undefined) {
        throw new Failure('where is the module? --module names libredisgears.so, or GEARS_MODULE does', EXIT.usage);
    }
    if (!existsSync(path)) {
        throw new Failure(`there is no module at ${path}`, EXIT.usage);
    }
    return resolve(path);
}
