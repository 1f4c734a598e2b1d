/** Replies of the module's commands, which are lists of names and values, as objects. */

/** What RESP2 knows: bytes are asked for where a text may be anything else than UTF-8. */
export type Reply = string | Buffer | number | null | Reply[];

/** A list of names and values. */
export class Fields {
    readonly #values = new Map<string, Reply>();

    constructor(reply: Reply | undefined) {
        const list = Array.isArray(reply) ? reply : [];
        for (let at = 0; at + 1 < list.length; at += 2) {
            this.#values.set(String(list[at]), list[at + 1] ?? null);
        }
    }

    has(name: string): boolean {
        return this.#values.has(name);
    }

    raw(name: string): Reply {
        return this.#values.get(name) ?? null;
    }

    text(name: string): string {
        const value = this.raw(name);
        return value === null || Array.isArray(value) ? '' : String(value);
    }

    /** A number; RESP2 has doubles as texts. */
    number(name: string): number {
        const value = Number(this.text(name));
        return Number.isFinite(value) ? value : 0;
    }

    /** A number that not every server tells. */
    optional(name: string): number | null {
        return this.has(name) ? this.number(name) : null;
    }

    /** A text as its bytes: it need not be UTF-8. */
    bytes(name: string): Buffer {
        const value = this.raw(name);
        return Buffer.isBuffer(value) ? value : Buffer.from(this.text(name));
    }

    /** What stands for "there is none" in the module's replies, as null. */
    error(name: string): string | null {
        const value = this.text(name);
        return value === 'None' || value === '' ? null : value;
    }

    list(name: string): Reply[] {
        const value = this.raw(name);
        return Array.isArray(value) ? value : [];
    }

    /** A list of lists of names and values. */
    records(name: string): Fields[] {
        return this.list(name).map(each => new Fields(each));
    }

    entries(): [string, Reply][] {
        return [...this.#values];
    }
}
