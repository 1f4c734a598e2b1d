/**
 * What a library registers, found without the server: its top level is run here, with a `redis` that notes the
 * registrations. The module's own `redis` lets a top level do nothing else: it can run no command.
 */

import vm from 'node:vm';
import { Failure, textOf } from './failure.js';
import { shown, type Shown } from './options.js';

export interface Consumer {
    readonly name: string;
    readonly prefix: string;
    readonly window: number;
    readonly trim: boolean;
    readonly options: Readonly<Record<string, Shown>>;
}

export interface Registrations {
    readonly functions: readonly { readonly name: string; readonly flags: readonly string[] }[];
    readonly consumers: readonly Consumer[];
    readonly triggers: readonly { readonly name: string }[];
}

/** As long as the server lets a top level run, unless it is configured otherwise. */
const TIMEOUT_MS = 500;
/** In the order in which the server shows them. */
const FLAGS = ['no-writes', 'allow-oom', 'raw-arguments'];

/** Runs a library's top level. Throws where that fails, or where it uses what is only on the server. */
export function registrationsOf(code: string, config: unknown): Registrations {
    const functions: { name: string; flags: string[] }[] = [];
    const consumers: Consumer[] = [];
    const triggers: { name: string }[] = [];
    const addFunction = (name: unknown, _callback: unknown, flags: unknown): void => {
        const given = Array.isArray(flags) ? flags.map(String) : [];
        functions.push({ name: String(name), flags: FLAGS.filter(flag => given.includes(flag)) });
    };
    const redis = {
        config: structuredClone(config ?? {}),
        log: () => undefined,
        v8_version: () => process.versions.v8,
        register_function: addFunction,
        register_async_function: addFunction,
        register_stream_consumer: (
            name: unknown,
            prefix: unknown,
            window: unknown,
            trim: unknown,
            _callback: unknown,
            options: unknown,
        ): void => {
            consumers.push({
                name: String(name),
                prefix: text(prefix),
                window: Number(window),
                trim: Boolean(trim),
                options: shown(options),
            });
        },
        register_notifications_consumer: (name: unknown): void => {
            triggers.push({ name: String(name) });
        },
    };
    try {
        // What begins with #! is a comment for JavaScript too.
        vm.runInNewContext(code, { redis }, { timeout: TIMEOUT_MS, filename: 'library' });
    } catch (error) {
        // An error of another context is no instance of this one's Error.
        throw new Failure((error as { message?: string } | null)?.message ?? textOf(error));
    }
    return { functions, consumers, triggers };
}

function text(bytes: unknown): string {
    if (typeof bytes === 'string') {
        return bytes;
    }
    // Made in another context: so it is known by what it is made of.
    const view = bytes as { buffer?: ArrayBuffer; byteOffset?: number; byteLength?: number };
    return ArrayBuffer.isView(bytes)
        ? Buffer.from(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength).toString()
        : Buffer.from(bytes as ArrayBuffer).toString();
}
