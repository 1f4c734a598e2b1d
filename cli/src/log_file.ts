/** The file that a server logs to: the lines in it that the module, or a script in it, wrote. */

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** A line of the log that the module, or a script in it, wrote. */
export interface LogLine {
    readonly time: string;
    readonly level: 'debug' | 'verbose' | 'notice' | 'warning';
    readonly message: string;
}

const LEVELS = { '.': 'debug', '-': 'verbose', '*': 'notice', '#': 'warning' } as const;
const LINE = /^\d+:[A-Z] (\d+ \w+ \d+ [\d:.]+) ([.\-*#]) <redisgears_2> (.*)$/;
const POLL_MS = 200;

/** Parses a line of the log; null if it is not the module's. */
export function parseLine(line: string): LogLine | null {
    const [, time, level, message] = LINE.exec(line) ?? [];
    return time === undefined || level === undefined || message === undefined
        ? null
        : { time, level: LEVELS[level as keyof typeof LEVELS], message };
}

/** Gives each line that comes behind `position`, until `hasEnded` says so. */
export async function follow(
    file: string,
    position: number,
    each: (line: LogLine) => void,
    hasEnded: () => boolean = () => false,
): Promise<void> {
    let at = position;
    while (!hasEnded()) {
        const size = existsSync(file) ? statSync(file).size : 0;
        // A file that became shorter is another one, or was emptied.
        at = size < at ? 0 : at;
        if (size > at) {
            at += await readLines(file, at, size, each);
        }
        await new Promise(resolve => setTimeout(resolve, POLL_MS));
    }
}

/** Gives each line of that part of the file that the module wrote. Resolves to the bytes of the lines that have an end. */
export async function readLines(
    file: string,
    start: number,
    end: number,
    each: (line: LogLine) => void,
): Promise<number> {
    if (end <= start) {
        return 0;
    }
    let bytes = 0;
    // Latin-1 keeps one character for each byte, so that bytes can be counted; texts are put right below.
    const lines = createInterface({
        input: createReadStream(file, { start, end: end - 1, encoding: 'latin1' }),
        crlfDelay: Infinity,
    });
    for await (const line of lines) {
        const isWhole = start + bytes + line.length < end;
        if (!isWhole) {
            break;
        }
        bytes += line.length + 1;
        const parsed = parseLine(Buffer.from(line, 'latin1').toString());
        if (parsed !== null) {
            each(parsed);
        }
    }
    return bytes;
}
