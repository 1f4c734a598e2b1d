/**
 * `gears logs`: the module's lines of the server's log. The server gives its log to nobody over a connection, so the file
 * has to be on this machine.
 */

import { createReadStream, existsSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { createInterface } from 'node:readline';
import { withServer, type Address } from '../connection.js';
import { EXIT, Failure } from '../failure.js';
import { visible, type Output } from '../output.js';

export interface LogsOptions extends Address {
    readonly file?: string;
    readonly lines: number;
    readonly follow?: boolean;
}

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

export async function logs(options: LogsOptions, output: Output): Promise<void> {
    const file = options.file ?? (await logFile(options));
    if (!existsSync(file)) {
        throw new Failure(`there is no ${file} on this machine: --file names the server's log`, EXIT.usage);
    }
    const show = ({ time, level, message }: LogLine): void =>
        output.event({ time, level, message }, `${time} ${level.padEnd(7)} ${visible(message)}`);
    let position = statSync(file).size;
    const last: LogLine[] = [];
    await read(file, 0, position, line => {
        last.push(line);
        if (last.length > options.lines) {
            last.shift();
        }
    });
    last.forEach(show);
    while (options.follow === true) {
        await new Promise(resolve => setTimeout(resolve, POLL_MS));
        const size = existsSync(file) ? statSync(file).size : 0;
        // A file that became shorter is another one, or was emptied.
        position = size < position ? 0 : position;
        if (size > position) {
            position += await read(file, position, size, show);
        }
    }
}

/** Gives each line of that part of the file that the module wrote. Resolves to the bytes of the lines that have an end. */
async function read(file: string, start: number, end: number, each: (line: LogLine) => void): Promise<number> {
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

async function logFile(address: Address): Promise<string> {
    const setting = async (name: string): Promise<string> =>
        withServer(address, async redis => ((await redis.config('GET', name)) as string[])[1] ?? '');
    const file = await setting('logfile');
    if (file === '') {
        throw new Failure(`the server logs to its standard output: --file names a file that it was sent to`, EXIT.usage);
    }
    return isAbsolute(file) ? file : join(await setting('dir'), file);
}
