/** A client that answers what it was told to, and notes what it was asked: no server is there, and no data. */

import { bytesOf } from './bytes.js';

/** What a command is given: see `RedisGears.Argument`. */
type Argument = string | String | number | bigint | boolean | ArrayBufferLike | ArrayBufferView;

/**
 * What the client answers a command: that value, what a function of the command's arguments gives, or an error, which is
 * thrown. Integers of the server are BigInts in scripts, doubles numbers: answer as the server would.
 */
export type Answer =
    | string
    | bigint
    | number
    | boolean
    | null
    | Error
    | readonly Answer[]
    | ReadonlySet<Answer>
    | { readonly [name: string]: Answer }
    | ((...args: any[]) => unknown);

/** A command that was run: its name in upper case, and its arguments as the server gets them. */
export type Call = readonly [command: string, ...args: (string | Buffer)[]];

/** A remote function that was called: on the shard of that key, or on all shards, where there is none. */
export interface RemoteCall {
    readonly name: string;
    readonly key: string | Buffer | null;
    readonly args: readonly unknown[];
}

/** Answers by the names of commands. */
export type Answers = Readonly<Record<string, Answer>>;

/** What a command that the server refuses throws: the code comes first, `WRONGTYPE Operation against a key ...`. */
export function redisError(message: string): Error {
    const error = new Error(message);
    error.name = 'RedisError';
    error.toString = () => message;
    return error;
}

/** As `RedisGears.Client`, what plain callbacks get. */
export class FakeClient {
    /** The commands that were run, the first one first. */
    readonly calls: Call[] = [];
    /** What `async` callbacks get: its commands are noted here too. */
    readonly async: FakeAsyncClient;
    /** What `allow_block` gives. */
    canBlock = true;
    /** The remote functions that were called, the first one first. */
    readonly remote_calls: RemoteCall[] = [];
    readonly #answers = new Map<string, Answer>();
    readonly #remote = new Map<string, Answer>();
    readonly #done = new Set<string>();

    constructor(answers: Answers = {}) {
        this.async = new FakeAsyncClient(this);
        Object.entries(answers).forEach(([command, answer]) => this.answer(command, answer));
    }

    /** Answers a command so from now on. */
    answer(command: string, answer: Answer): this {
        this.#answers.set(command.toUpperCase(), answer);
        return this;
    }

    /** Answers a remote function so from now on. */
    remote(name: string, answer: Answer): this {
        this.#remote.set(name, answer);
        return this;
    }

    /** Calls a remote function, as `async` code may. */
    async callRemote(name: string | { readonly name: string }, key: unknown, args: readonly unknown[]): Promise<any> {
        const called = typeof name === 'string' ? name : name.name;
        this.remote_calls.push({ name: called, key: key === null ? null : argument(key), args });
        if (!this.#remote.has(called)) {
            throw new Error(`the fake client has no answer for the remote function '${called}': remote() gives it one`);
        }
        return given(this.#remote.get(called), args);
    }

    call(command: string | String, ...args: Argument[]): any {
        const name = String(command).toUpperCase();
        const sent = args.map(argument);
        this.calls.push([name, ...sent]);
        if (!this.#answers.has(name)) {
            throw new Error(`the fake client has no answer for ${name}: fakeClient({ ${name}: ... }) gives it one`);
        }
        return given(this.#answers.get(name), sent);
    }

    /** The same, with bytes in place of strings. */
    call_raw(command: string | String, ...args: Argument[]): any {
        return raw(this.call(command, ...args));
    }

    /** Does it once for each entry, as long as this client lives. */
    once<R>(record: any, work: (client: any) => R, _options?: unknown): R | undefined {
        const name = `${record.stream_name} ${record.id}`;
        if (this.#done.has(name)) {
            return undefined;
        }
        const result = work(this);
        this.#done.add(name);
        return result;
    }

    allow_block(): boolean {
        return this.canBlock;
    }

    /** Runs it at once, where the module would hand it to a worker. */
    async run_on_background<R>(work: (client: any) => Promise<R>): Promise<R> {
        return work(this.async);
    }
}

/** As `RedisGears.AsyncClient`, what `async` callbacks get. */
export class FakeAsyncClient {
    readonly #client: FakeClient;

    constructor(client: FakeClient) {
        this.#client = client;
    }

    /** Calls it at once: there is no lock to wait for. */
    block<R>(work: (client: any) => R): R {
        return work(this.#client);
    }

    once<R>(record: any, work: (client: any) => R, options?: unknown): R | undefined {
        return this.#client.once(record, work, options);
    }

    /** Gives what the client's `remote` was told. */
    async run_on_key(key: any, name: string | { readonly name: string }, ...args: any[]): Promise<any> {
        return this.#client.callRemote(name, key, args);
    }

    /** The same, as the one shard there is. */
    async run_on_all_shards(name: string | { readonly name: string }, ...args: any[]): Promise<[results: any, errors: unknown[]]> {
        try {
            const result = await this.#client.callRemote(name, null, args);
            return [Object.assign([result], { shards: ['fake'] }), []];
        } catch (error) {
            return [Object.assign([], { shards: [] }), [error]];
        }
    }
}

/** What an answer gives. */
function given(answer: Answer | undefined, args: readonly unknown[]): unknown {
    if (answer instanceof Error) {
        throw answer;
    }
    return typeof answer === 'function' ? answer(...args) : answer;
}

/** A client that gives these answers, by the names of the commands. */
export function fakeClient(answers: Answers = {}): FakeClient {
    return new FakeClient(answers);
}

/** An argument as the server gets it. The module refuses the others, too. */
function argument(value: unknown): string | Buffer {
    if (value instanceof String || ['string', 'number', 'bigint', 'boolean'].includes(typeof value)) {
        return String(value);
    }
    if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) {
        return Buffer.from(value);
    }
    if (ArrayBuffer.isView(value)) {
        return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    throw new TypeError(
        "Bad argument was given to 'call', argument must be either String or ArrayBuffer, or a number, a boolean or a view of an ArrayBuffer",
    );
}

function raw(answer: unknown): unknown {
    if (typeof answer === 'string') {
        return bytesOf(answer);
    }
    if (Array.isArray(answer)) {
        return answer.map(raw);
    }
    if (answer instanceof Set) {
        return new Set([...answer].map(raw));
    }
    if (answer !== null && typeof answer === 'object' && Object.getPrototypeOf(answer) === Object.prototype) {
        return Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, raw(value)]));
    }
    return answer;
}
