/** Texts and bytes, both ways as the module has them. */

/** A text, as UTF-8, or bytes. */
export type Text = string | Uint8Array;

const strict = new TextDecoder('utf-8', { fatal: true });

/** The text; null where the bytes are not UTF-8. */
export function textOf(value: Text): string | null {
    if (typeof value === 'string') {
        return value;
    }
    try {
        return strict.decode(value);
    } catch {
        return null;
    }
}

export function bytesOf(value: Text): ArrayBuffer {
    const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    return new Uint8Array(bytes).buffer;
}

/** Adds properties that do not enumerate: `JSON.stringify` and the spread syntax leave them out, as in the module. */
export function withHidden<T extends object, H extends object>(object: T, hidden: H): T & Readonly<H> {
    for (const [name, value] of Object.entries(hidden)) {
        Object.defineProperty(object, name, { value, enumerable: false });
    }
    return object as T & Readonly<H>;
}
