/**
 * Options of a stream consumer in the form in which the server shows them: those that differ from the defaults, maps as
 * lists of names and values, everything else as text. So those of the code can be compared with those of the server.
 */

import type { Reply } from './replies.js';

export type Shown = string | Shown[];

/** Options that the server does not show: they are no part of how entries are delivered. */
const NOT_SHOWN = new Set(['on_registered', 'description']);
const DEFAULTS: Readonly<Record<string, string>> = {
    on_failure: 'continue',
    retry_interval: '1000',
    scope: 'stream',
    start: 'earliest',
    duration: '0',
    exact: '0',
    bisect: '0',
};

/** Options as they are written in code. */
export function shown(options: unknown): Record<string, Shown> {
    const result: Record<string, Shown> = {};
    for (const [name, value] of Object.entries((options ?? {}) as Record<string, unknown>)) {
        if (value === undefined || NOT_SHOWN.has(name)) {
            continue;
        }
        const form = name === 'backoff' ? backoff(value as Record<string, unknown>) : flat(value);
        if (form !== DEFAULTS[name]) {
            result[name] = form;
        }
    }
    return result;
}

/** Options as the server replied them. */
export function asShown(options: Readonly<Record<string, Reply>>): Record<string, Shown> {
    return Object.fromEntries(Object.entries(options).map(([name, value]) => [name, flat(value)]));
}

function backoff(given: Record<string, unknown>): Shown {
    const { initial, factor = 2, max = 3_600_000, jitter = 0 } = given;
    return flat({ initial, factor, max, jitter });
}

function flat(value: unknown): Shown {
    if (Array.isArray(value)) {
        return value.map(flat);
    }
    if (typeof value === 'boolean') {
        return value ? '1' : '0';
    }
    if (value !== null && typeof value === 'object' && !Buffer.isBuffer(value)) {
        return Object.entries(value).flatMap(([name, each]): Shown[] => [name, flat(each)]);
    }
    return String(value);
}
