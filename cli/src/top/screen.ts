/** The terminal as a screen: draws lines, gives keys, and leaves all as it was. */

import { emitKeypressEvents } from 'node:readline';
import { widthOf, type Line, type Style } from './layout.js';

/** Select Graphic Rendition; texts say the same, for those without colours. */
const RENDITIONS: Record<Style, string> = {
    plain: '', title: '1', heading: '7', problem: '1;37;41', stopped: '1;31', failing: '31', behind: '33', paused: '36', hint: '2',
};

/** A line as it is written; with the environment's NO_COLOR in black and white, but bold or reversed. */
export function rendered({ text, style }: Line, hasColours: boolean): string {
    const codes = RENDITIONS[style].split(';').filter(code => code !== '' && (hasColours || Number(code) < 30));
    return codes.length === 0 ? text : `\x1b[${codes.join(';')}m${text}\x1b[0m`;
}

export interface Key {
    readonly name: string;
    readonly isControl: boolean;
}

export class Screen {
    readonly #input = process.stdin;
    readonly #output = process.stdout;
    readonly #hasColours = !process.env['NO_COLOR'];
    readonly #onKey: (key: Key) => void;
    readonly #onResize: () => void;
    readonly #listener = (_: unknown, key: { name?: string; sequence?: string; ctrl?: boolean } | undefined): void => {
        this.#onKey({ name: key?.name ?? key?.sequence ?? '', isControl: key?.ctrl ?? false });
    };

    constructor(onKey: (key: Key) => void, onResize: () => void) {
        this.#onKey = onKey;
        this.#onResize = onResize;
    }

    /** Whether there is a terminal that can be drawn on. */
    static isThere(): boolean {
        return process.stdout.isTTY === true && process.stdin.isTTY === true && process.env['TERM'] !== 'dumb';
    }

    get size(): { width: number; height: number } {
        return { width: this.#output.columns || 80, height: this.#output.rows || 24 };
    }

    open(): void {
        emitKeypressEvents(this.#input);
        this.#input.setRawMode(true);
        this.#input.on('keypress', this.#listener);
        this.#input.resume();
        this.#output.on('resize', this.#onResize);
        // The other screen, without a cursor; lines that are too long do not wrap.
        this.#output.write('\x1b[?1049h\x1b[?25l\x1b[?7l');
    }

    close(): void {
        this.#output.off('resize', this.#onResize);
        this.#input.off('keypress', this.#listener);
        this.#input.setRawMode(false);
        this.#input.pause();
        this.#output.write('\x1b[?7h\x1b[?25h\x1b[?1049l');
    }

    draw(lines: readonly Line[]): void {
        // Over what is there, each line to its end: nothing flickers, as it would if all were wiped first.
        // Behind a line that is full there is nothing to wipe: the cursor stands on its last character.
        const { width } = this.size;
        const text = lines
            .map(line => `${rendered(line, this.#hasColours)}${widthOf(line.text) < width ? '\x1b[K' : ''}`)
            .join('\r\n');
        const isFull = widthOf(lines.at(-1)?.text ?? '') >= width && lines.length >= this.size.height;
        this.#output.write(`\x1b[H${text}${isFull ? '' : '\x1b[J'}`);
    }
}
