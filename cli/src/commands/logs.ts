/**
 * `gears logs`: the module's lines of the server's log. The server gives its log to nobody over a connection, so the file
 * has to be on this machine.
 */

import { existsSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { withServer, type Address } from '../connection.js';
import { EXIT, Failure } from '../failure.js';
import { follow, readLines, type LogLine } from '../log_file.js';
import { visible, type Output } from '../output.js';
import { Places } from '../places.js';
import { projectOf } from '../project.js';

export interface LogsOptions extends Address {
    readonly file?: string;
    readonly lines: number;
    readonly follow?: boolean;
    readonly project?: string;
}

export async function logs(options: LogsOptions, output: Output): Promise<void> {
    const file = options.file ?? (await logFile(options));
    if (!existsSync(file)) {
        throw new Failure(`there is no ${file} on this machine: --file names the server's log`, EXIT.usage);
    }
    const places = new Places(projectOf(options.project));
    // A file alone may be of any server.
    const asks = places.library !== null && (options.file === undefined || options.url !== undefined);
    const refresh = async (): Promise<void> => {
        if (asks) {
            await withServer(options, redis => places.refresh(redis));
        }
    };
    await refresh();
    const show = ({ time, level, message: told }: LogLine): void => {
        const message = places.resolve(told, Date.parse(time));
        output.event({ time, level, message }, `${time} ${level.padEnd(7)} ${visible(message)}`);
    };
    let shown = Promise.resolve();
    const showNew = (line: LogLine): void => {
        shown = shown.then(async () => {
            if (line.message.startsWith('audit: ') && line.message.includes(`library '${places.library}'`)) {
                // Places are those of another text from now on. A server that is gone has none.
                await refresh().catch(() => undefined);
            }
            show(line);
        });
    };
    const position = statSync(file).size;
    const last: LogLine[] = [];
    await readLines(file, 0, position, line => {
        last.push(line);
        if (last.length > options.lines) {
            last.shift();
        }
    });
    last.forEach(show);
    if (options.follow === true) {
        await follow(file, position, showNew);
        await shown;
    }
}

/** The file that a server logs to, if it does. */
export async function logFile(address: Address): Promise<string> {
    const setting = async (name: string): Promise<string> =>
        withServer(address, async redis => ((await redis.config('GET', name)) as string[])[1] ?? '');
    const file = await setting('logfile');
    if (file === '') {
        throw new Failure(`the server logs to its standard output: --file names a file that it was sent to`, EXIT.usage);
    }
    return isAbsolute(file) ? file : join(await setting('dir'), file);
}
