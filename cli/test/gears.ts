/** What the tests share: the command as a process, folders, and small libraries. */

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { packageFile } from '../src/package.js';
import { eventually as poll } from '../src/testing.js';

export interface Outcome {
    readonly code: number | null;
    readonly stdout: string;
    readonly stderr: string;
    /** The standard output, read as JSON. */
    readonly json: any;
}

const main = packageFile('dist/src/main.js');

/** The environment without what would name another server. */
function environment(more: Record<string, string>): NodeJS.ProcessEnv {
    const { GEARS_URL: _, REDIS_URL: __, ...rest } = process.env;
    return { ...rest, ...more };
}

/** Runs `gears`, in that folder, to its end. */
export async function gears(
    args: readonly string[],
    options: { cwd?: string; environment?: Record<string, string> } = {},
): Promise<Outcome> {
    const child = start(args, options);
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr?.on('data', (data: Buffer) => (stderr += data.toString()));
    const code = await new Promise<number | null>(resolve => child.once('close', resolve));
    return {
        code,
        stdout,
        stderr,
        get json() {
            return JSON.parse(stdout);
        },
    };
}

/** Starts `gears`, for a command that serves until it is ended. */
export function start(
    args: readonly string[],
    options: { cwd?: string; environment?: Record<string, string> } = {},
): ChildProcess {
    return spawn(process.execPath, [main, ...args], {
        cwd: options.cwd ?? tmpdir(),
        env: environment(options.environment ?? {}),
        stdio: ['ignore', 'pipe', 'pipe'],
    });
}

/** Where a command serves that was started with `--json`, as soon as it does. */
export async function servedBy(child: ChildProcess): Promise<URL> {
    let errors = '';
    child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
    const line = await new Promise<string>((resolve, reject) => {
        child.stdout?.once('data', (data: Buffer) => resolve(data.toString()));
        child.once('exit', code => reject(new Error(`it ended with ${code}: ${errors}`)));
    });
    return new URL(JSON.parse(line).url);
}

/** A folder that goes when the file's tests are over. */
export function folder(): string {
    const path = mkdtempSync(join(tmpdir(), 'gears-test-'));
    after(() => rmSync(path, { recursive: true, force: true }));
    return path;
}

/** A script with that top level, as a file. */
export function script(where: string, name: string, body: string): string {
    const path = join(where, `${name}.js`);
    writeFileSync(path, `#!js name=${name}\n${body}\n`);
    return path;
}

/** Waits for what has to come. The machine may be busy with much else. */
export const eventually: typeof poll = (ask, options) => poll(ask, { timeoutMs: 60_000, ...options });

/** The bus of a server in cluster mode has a port that is so much higher. */
const BUS = 10_000;

/** A port that nobody listens on right now, nor on its bus port. */
export async function freePort(): Promise<number> {
    const isFree = async (port: number): Promise<boolean> =>
        new Promise(resolve => {
            const probe = createServer().once('error', () => resolve(false));
            probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
        });
    for (;;) {
        // Both are below the ports that systems give to clients: any connection could have such a port by the time the
        // server asks for it. Those from 10,000 on are for the flow tests.
        const port = 19_000 + Math.floor(Math.random() * 1000);
        if ((await isFree(port)) && (await isFree(port + BUS))) {
            return port;
        }
    }
}
