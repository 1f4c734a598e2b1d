/**
 * `gears dev`: keeps a library on a server as its source is now. Each change is bundled and loaded; what scripts log, and
 * what is wrong, is shown with places of the source. The server is one of its own, which goes with the command, or a given
 * one.
 */

import { existsSync, statSync } from 'node:fs';
import { relative } from 'node:path';
import { watch } from 'chokidar';
import { bundle } from '../bundle.js';
import { withServer, type Address } from '../connection.js';
import { Failure, textOf } from '../failure.js';
import { LocalServer, type Programs } from '../local_server.js';
import { follow } from '../log_file.js';
import { visible, type Output } from '../output.js';
import { Positions } from '../positions.js';
import { readProject, type Project } from '../project.js';
import { noteLoad } from '../source_maps.js';
import { load } from './deploy.js';
import { logFile } from './logs.js';

export interface DevOptions extends Address, Programs {
    readonly project: string;
    /** Where its own server listens, on the loopback interface; without it on a socket file alone. */
    readonly port?: number;
}

/** Editors write a file in several steps. */
const SETTLED_MS = 100;
/** What may be part of the source although it was not yet: it may be what an import is waiting for. */
const SOURCE = /\.[mc]?[jt]sx?$|(^|[/\\])(gears|package|tsconfig)\.json$/;
/** What a change of never changes the library. */
const IGNORED = /(^|[/\\])(node_modules|\.git|\.gears|tests)([/\\]|$)/;

export async function dev(options: DevOptions, output: Output): Promise<void> {
    const project = readProject(options.project);
    if (options.url !== undefined && options.port !== undefined) {
        throw new Failure('--port is for a server of its own, --url names another one');
    }
    const own = options.url === undefined ? await LocalServer.start(options, ...listening(options.port)) : null;
    const ended = new Ended();
    try {
        const address = own === null ? options : { url: own.url };
        const log = own === null ? await logOf(address, output) : own.log;
        if (own !== null) {
            const command = options.port === undefined ? `-s ${new URL(own.url).pathname}` : `-p ${options.port}`;
            output.note(`A server of its own: redis-cli ${command}`);
        }
        const session = new Session(project, address, output);
        const start = log !== null && existsSync(log) ? statSync(log).size : 0;
        await session.bring();
        const logged =
            log === null ? null : follow(log, start, line => session.logged(line.level, line.message), () => ended.is);
        const watcher = watch(project.folder, {
            ignored: path => IGNORED.test(relative(project.folder, path)) || path.startsWith(project.outfile),
            ignoreInitial: true,
            awaitWriteFinish: { stabilityThreshold: SETTLED_MS, pollInterval: SETTLED_MS / 4 },
        });
        watcher.on('all', (_event, path) => void session.changed(relative(project.folder, path)));
        await new Promise<void>(ready => watcher.once('ready', () => ready()));
        output.note(`Watching ${project.folder}; Ctrl-C ends it`);
        await ended.promise;
        await watcher.close();
        await session.idle();
        await logged;
    } finally {
        ended.stop();
        await own?.stop();
    }
}

function listening(port: number | undefined): string[] {
    return port === undefined ? [] : ['--port', String(port), '--bind', '127.0.0.1'];
}

/** The log of a server that was given, if it is a file of this machine. */
async function logOf(address: Address, output: Output): Promise<string | null> {
    try {
        const file = await logFile(address);
        if (existsSync(file)) {
            return file;
        }
        output.note(`The server's log, ${file}, is not on this machine: what scripts log is not shown`);
    } catch (error) {
        output.note(`What scripts log is not shown: ${textOf(error)}`);
    }
    return null;
}

/** Whether somebody ended the command: Ctrl-C, or SIGTERM. */
class Ended {
    is = false;
    readonly promise: Promise<void>;
    #resolve: () => void = () => undefined;

    constructor() {
        this.promise = new Promise(resolve => (this.#resolve = resolve));
        process.on('SIGINT', this.#end);
        process.on('SIGTERM', this.#end);
    }

    readonly #end = (): void => {
        this.is = true;
        this.#resolve();
    };

    stop(): void {
        process.removeListener('SIGINT', this.#end);
        process.removeListener('SIGTERM', this.#end);
    }
}

/** The library on the server, and what is said of it. One load at a time; changes meanwhile make one more. */
class Session {
    #project: Project;
    readonly #address: Address;
    readonly #output: Output;
    /** Of what was bundled last. */
    #positions: Positions;
    /** The files that the library was made of last. */
    #inputs: ReadonlySet<string> = new Set();
    #running: Promise<void> | null = null;
    #isStale = false;

    constructor(project: Project, address: Address, output: Output) {
        this.#project = project;
        this.#address = address;
        this.#output = output;
        this.#positions = new Positions(project.name, null);
    }

    /** A file of the project changed. What is no part of the source may be what this command writes itself. */
    async changed(file: string): Promise<void> {
        if (!SOURCE.test(file) && !this.#inputs.has(file)) {
            return;
        }
        this.#output.note(`${file} changed`);
        this.#isStale = true;
        if (this.#running === null) {
            this.#running = this.#bringAll();
            await this.#running;
            this.#running = null;
        }
    }

    async idle(): Promise<void> {
        await this.#running;
    }

    async #bringAll(): Promise<void> {
        while (this.#isStale) {
            this.#isStale = false;
            await this.bring();
        }
    }

    /** Bundles the source and loads it. What is wrong is shown, and the library on the server stays as it was. */
    async bring(): Promise<void> {
        const begun = Date.now();
        try {
            this.#project = readProject(this.#project.folder);
            const { name, config } = this.#project;
            const script = await bundle(this.#project);
            this.#positions = script.positions;
            this.#inputs = new Set(script.inputs);
            const how = { config: config === null ? null : JSON.stringify(config) };
            noteLoad(this.#project, await withServer(this.#address, redis => load(redis, script, how)));
            const ms = Date.now() - begun;
            this.#output.event({ event: 'loaded', library: name, ms }, `Loaded '${name}' in ${ms} ms`);
        } catch (error) {
            const message = textOf(error);
            this.#output.event({ event: 'failed', error: message }, `Not loaded: ${message}`);
        }
    }

    /** The module, or a script in it, logged a line. */
    logged(level: string, text: string): void {
        const message = this.#positions.frames(text);
        // Who loaded what is said already.
        if (!message.startsWith('audit: ')) {
            this.#output.event({ event: 'log', level, message }, `  ${level.padEnd(7)} ${visible(message)}`);
        }
    }
}
