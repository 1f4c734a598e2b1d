/** A library without a server: its top level is run with a `redis` that notes what is registered. */

import { textOf, type Text } from './bytes.js';

/** A callback, to be called as the module would. */
export type Callback = (client: any, ...args: any[]) => any;

export interface FakeFunction {
    readonly callback: Callback;
    /** Flags, or options with them, as given. */
    readonly options: unknown;
}

export interface FakeConsumer {
    readonly callback: Callback;
    readonly prefix: string;
    readonly window: number;
    readonly trim: boolean;
    readonly options: any;
}

export interface FakeTrigger {
    readonly callback: Callback;
    readonly prefix: string;
    readonly options: any;
}

/** What a library registered, and logs. */
export class FakeLibrary {
    readonly functions = new Map<string, FakeFunction>();
    readonly consumers = new Map<string, FakeConsumer>();
    readonly triggers = new Map<string, FakeTrigger>();
    /** Those of `register_remote_function`. */
    readonly remotes = new Map<string, FakeFunction>();
    /** What `redis.log` was given, the first line first. */
    readonly logged: { readonly level: string; readonly message: string }[] = [];

    /** The callback of a function of that name; likewise below. */
    function(name: string): Callback {
        return named('function', this.functions, name);
    }

    consumer(name: string): Callback {
        return named('consumer', this.consumers, name);
    }

    remote(name: string): Callback {
        return named('remote function', this.remotes, name);
    }

    trigger(name: string): Callback {
        return named('trigger', this.triggers, name);
    }
}

function named(kind: string, all: ReadonlyMap<string, { readonly callback: Callback }>, name: string): Callback {
    const found = all.get(name);
    if (found === undefined) {
        const names = [...all.keys()].map(each => `'${each}'`).join(', ');
        throw new Error(`the library registers no ${kind} '${name}'; it registers ${names || 'none'}`);
    }
    return found.callback;
}

/**
 * Runs a library's top level, such as `() => import('../src/index')`, and gives what it registered. The global `redis` is
 * that of the library run last.
 */
export async function fakeLibrary(
    run: () => unknown,
    options: { readonly config?: Readonly<Record<string, unknown>> } = {},
): Promise<FakeLibrary> {
    const library = new FakeLibrary();
    const isNew = (all: ReadonlyMap<string, unknown>, name: unknown): string => {
        if (typeof name !== 'string' || name === '') {
            throw new TypeError('what is registered has a name');
        }
        if (all.has(name)) {
            throw new Error(`'${name}' is registered twice`);
        }
        return name;
    };
    const addFunction = (name: unknown, callback: Callback, flags?: unknown): void => {
        library.functions.set(isNew(library.functions, name), { callback, options: flags ?? {} });
    };
    const redis = {
        config: structuredClone(options.config ?? {}),
        log: (message: unknown, level = 'notice'): void => void library.logged.push({ level, message: String(message) }),
        v8_version: () => process.versions.v8,
        register_function: addFunction,
        register_async_function: addFunction,
        register_remote_function: (name: unknown, callback: Callback, more: unknown = {}): void => {
            library.remotes.set(isNew(library.remotes, name), { callback, options: more });
        },
        register_stream_consumer: (
            name: unknown,
            prefix: unknown,
            window: number | bigint,
            trim: boolean,
            callback: Callback,
            more: unknown = {},
        ): void => {
            const consumer = { callback, prefix: prefixOf(prefix), window: Number(window), trim, options: more };
            library.consumers.set(isNew(library.consumers, name), consumer);
        },
        register_notifications_consumer: (name: unknown, prefix: unknown, callback: Callback, more: unknown = {}): void => {
            library.triggers.set(isNew(library.triggers, name), { callback, prefix: prefixOf(prefix), options: more });
        },
    };
    Object.defineProperty(globalThis, 'redis', { value: redis, configurable: true, writable: true });
    await run();
    if (library.functions.size + library.consumers.size + library.triggers.size + library.remotes.size === 0) {
        throw new Error('nothing was registered: a module runs once, and this one may have been imported before');
    }
    return library;
}

function prefixOf(given: unknown): string {
    return typeof given === 'string' ? given : (textOf(new Uint8Array(given as ArrayBuffer) as Text) ?? '');
}
