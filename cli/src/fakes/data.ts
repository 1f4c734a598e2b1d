/** What callbacks are given: entries of streams, and events of keys. */

import { bytesOf, textOf, withHidden, type Text } from './bytes.js';

/** As `RedisGears.StreamRecord`. */
export interface FakeEntry {
    id: [ms: bigint, seq: bigint];
    stream_name: string | null;
    record: [field: string | null, value: string | null][];
    readonly stream_name_raw: ArrayBuffer;
    readonly record_raw: [field: ArrayBuffer, value: ArrayBuffer][];
}

/** By name, or as pairs, since a field may come twice. */
export type FakeFields = Readonly<Record<string, Text>> | readonly (readonly [Text, Text])[];

let [lastMs, lastSeq] = [-1n, 0n];

/** An ID of the present moment, greater than the last one of it. */
function nextId(): [bigint, bigint] {
    const now = BigInt(Date.now());
    lastSeq = now === lastMs ? lastSeq + 1n : 0n;
    lastMs = now;
    return [now, lastSeq];
}

/** An entry of a stream. Its ID is of the present moment, unless one is given, `ms-seq`. */
export function fakeEntry(stream: Text, fields: FakeFields, options: { readonly id?: string } = {}): FakeEntry {
    const pairs = Array.isArray(fields)
        ? (fields as readonly (readonly [Text, Text])[])
        : Object.entries(fields as Readonly<Record<string, Text>>);
    const [, ms, seq = '0'] = /^(\d+)(?:-(\d+))?$/.exec(options.id ?? '') ?? [];
    if (options.id !== undefined && ms === undefined) {
        throw new TypeError(`'${options.id}' is no ID of an entry: expected ms-seq`);
    }
    const entry = {
        id: ms === undefined ? nextId() : ([BigInt(ms), BigInt(seq)] as [bigint, bigint]),
        stream_name: textOf(stream),
        record: pairs.map(([name, value]): [string | null, string | null] => [textOf(name), textOf(value)]),
    };
    return withHidden(entry, {
        stream_name_raw: bytesOf(stream),
        record_raw: pairs.map(([name, value]): [ArrayBuffer, ArrayBuffer] => [bytesOf(name), bytesOf(value)]),
    });
}

/** As `RedisGears.KeyEvent`; with a value as `RedisGears.KeyEventWithValue`. */
export interface FakeEvent {
    event: string;
    key: string | null;
    readonly key_raw: ArrayBuffer;
    type?: any;
    value?: any;
    readonly value_raw?: any;
}

/** A string, a list, a set, a hash; null for a key that is gone. */
export type FakeValue = Text | readonly Text[] | ReadonlySet<Text> | Readonly<Record<string, Text>> | null;

/** An event of a key; with a value, as the option `read_value` has it. */
export function fakeEvent(event: string, key: Text, value?: FakeValue): FakeEvent {
    const bare = withHidden({ event, key: textOf(key) }, { key_raw: bytesOf(key) });
    if (value === undefined) {
        return bare;
    }
    const [type, shown, raw] = read(value);
    return withHidden(Object.assign(bare, { type, value: shown }), { value_raw: raw });
}

function read(value: FakeValue): [type: string, value: unknown, raw: unknown] {
    if (value === null) {
        return ['empty', null, null];
    }
    if (typeof value === 'string' || value instanceof Uint8Array) {
        return ['string', textOf(value), bytesOf(value)];
    }
    if (Array.isArray(value) || value instanceof Set) {
        const all = [...(value as Iterable<Text>)];
        return [value instanceof Set ? 'set' : 'list', all.map(textOf), all.map(bytesOf)];
    }
    const fields = Object.entries(value as Readonly<Record<string, Text>>);
    return [
        'hash',
        Object.fromEntries(fields.map(([name, each]) => [name, textOf(each)])),
        fields.map(([name, each]) => [bytesOf(name), bytesOf(each)]),
    ];
}
