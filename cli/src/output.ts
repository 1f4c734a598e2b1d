/**
 * What a command prints. Results go to the standard output, as text or with `--json` as JSON; everything else goes to
 * the standard error.
 */

import { textOf } from './failure.js';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * A text of the server as it can be shown: what would steer a terminal is written as an escape, and so are the bytes of
 * what is not UTF-8. Names, errors and fields come from clients of the server, whoever they are.
 */
export function visible(text: string | Buffer): string {
    if (typeof text !== 'string') {
        try {
            return visible(utf8.decode(text));
        } catch {
            return [...text].map(byte => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : hex(byte))).join('');
        }
    }
    return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, character => {
        const code = character.charCodeAt(0);
        return code === 10 ? '\\n' : code < 0x100 ? hex(code) : `\\u${code.toString(16)}`;
    });
}

function hex(byte: number): string {
    return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** Shortens a text to so many characters. */
export function shorten(text: string, most: number): string {
    return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Rows under headings, each column as wide as its widest cell. Numbers stand right. */
export function table(headings: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
    const cells = rows.map(row => row.map(cell => (typeof cell === 'number' ? String(cell) : visible(cell))));
    const widths = headings.map((heading, column) =>
        Math.max(heading.length, ...cells.map(row => row[column]?.length ?? 0)),
    );
    const line = (row: readonly string[], isNumber: (column: number) => boolean): string =>
        row
            .map((cell, column) => {
                const width = widths[column] ?? 0;
                return isNumber(column) ? cell.padStart(width) : cell.padEnd(width);
            })
            .join('  ')
            .trimEnd();
    const numeric = (column: number): boolean => rows.length > 0 && rows.every(row => typeof row[column] === 'number');
    return [line(headings, numeric), ...cells.map(row => line(row, numeric))].join('\n');
}

/** A duration in the largest unit that says enough: `850 ms`, `12 s`, `3 min`, `2 h`, `5 d`. */
export function duration(ms: number): string {
    const units: [number, string][] = [
        [86_400_000, 'd'],
        [3_600_000, 'h'],
        [60_000, 'min'],
        [1000, 's'],
    ];
    for (const [size, unit] of units) {
        if (ms >= 2 * size || (unit === 's' && ms >= size)) {
            return `${Math.floor(ms / size)} ${unit}`;
        }
    }
    return `${Math.round(ms)} ms`;
}

/** Where a command's results go. */
export class Output {
    readonly json: boolean;

    constructor(json: boolean) {
        this.json = json;
    }

    /** The result: `value` as JSON, or the text. */
    result(value: unknown, text: string | (() => string)): void {
        if (this.json) {
            process.stdout.write(`${JSON.stringify(value, plain, 2)}\n`);
        } else {
            const shown = typeof text === 'string' ? text : text();
            if (shown !== '') {
                process.stdout.write(`${shown}\n`);
            }
        }
    }

    /** One of many results that come one after another: JSON has a line for each. */
    event(value: unknown, text: string): void {
        process.stdout.write(`${this.json ? JSON.stringify(value, plain) : text}\n`);
    }

    /** Something to know that is not the result. */
    note(text: string): void {
        process.stderr.write(`${text}\n`);
    }

    /** Why the command failed. */
    error(error: unknown): void {
        const message = textOf(error);
        process.stderr.write(this.json ? `${JSON.stringify({ error: message })}\n` : `gears: ${message}\n`);
    }
}

/** Bytes of the server, which JSON does not know, as `visible` shows them. */
function plain(this: unknown, key: string, value: unknown): unknown {
    const original = (this as Record<string, unknown>)[key];
    return Buffer.isBuffer(original) ? visible(original) : value;
}
