#!/usr/bin/env node
/** The command line of `gears`: its commands, their options, and the exit code. */

import { Command, CommanderError, Option } from 'commander';
import { build } from './commands/build.js';
import { dashboard, type DashboardOptions } from './commands/dashboard.js';
import { deploy, type DeployOptions } from './commands/deploy.js';
import { dev, type DevOptions } from './commands/dev.js';
import { exporter, type ExporterOptions } from './commands/exporter.js';
import { init } from './commands/init.js';
import { letters, type LettersOptions } from './commands/letters.js';
import { logs, type LogsOptions } from './commands/logs.js';
import { redrive, type RedriveOptions } from './commands/redrive.js';
import { rollback, type RollbackOptions } from './commands/rollback.js';
import { test, type TestOptions } from './commands/test.js';
import { top, type TopOptions } from './commands/top.js';
import { EXIT, Failure } from './failure.js';
import { MOST_REDRIVEN } from './letters.js';
import { whole } from './numbers.js';
import { Output } from './output.js';
import { version } from './package.js';
import { SORTS } from './top/order.js';

const program = new Command('gears')
    .description('Makes, deploys and watches libraries of the redisgears_2 module.')
    .version(version())
    .showHelpAfterError('(gears --help shows the commands)')
    .exitOverride();

/** A command, with what all of them have. */
function command(usage: string, description: string): Command {
    return program
        .command(usage)
        .description(description)
        .option('--json', 'print JSON')
        .exitOverride();
}

/** A command that talks to a server. */
function serverCommand(usage: string, description: string): Command {
    return command(usage, description)
        .option('--url <url>', 'redis://[user[:password]@]host[:port][/db], or rediss:// with TLS, or unix:///path;\n' +
            'default: GEARS_URL or REDIS_URL of the environment, or redis://127.0.0.1:6379')
        .option('--tls-ca <file>', 'certificates of authorities to trust')
        .option('--tls-cert <file>', "the client's certificate")
        .option('--tls-key <file>', "the certificate's key");
}

/** Where results go, by a command's options. */
function out(options: { json?: boolean }): Output {
    return new Output(options.json ?? false);
}

command('init [folder]', 'make a library in TypeScript, with types and tests')
    .option('--name <name>', "the library's name; default: that of the folder")
    .action((folder: string | undefined, options: { name?: string; json?: boolean }) =>
        init(folder ?? '.', options, out(options)),
    );

command('build', 'bundle the library into one script')
    .option('--minify', 'make it small')
    .option('-C, --project <folder>', 'the folder of the project', '.')
    .action((options: { minify?: boolean; project: string; json?: boolean }) =>
        build(options.project, options, out(options)),
    );

serverCommand('dev', 'keep the library on a server as its source is now; show what it logs, and what is wrong')
    .option('-C, --project <folder>', 'the folder of the project', '.')
    .option('--port <port>', 'where its own server listens; default: on a socket file alone', whole(1, 65_535))
    .option('--server <program>', "the program of its own server; default: REDIS_SERVER of the environment, or redis-server")
    .option('--module <file>', "the module; default: GEARS_MODULE of the environment, or that of the tool's checkout")
    .action((options: DevOptions & { json?: boolean }) => dev(options, out(options)));

serverCommand('deploy [file]', 'load or upgrade the library, or a script; say what changes, ask where something is lost')
    .option('-C, --project <folder>', 'the folder of the project', '.')
    .option('--minify', 'make the bundle small')
    .option('--config <file>', 'a file with a JSON object, which the library sees as redis.config;\n' +
        'default: that of gears.json, else what the library has')
    .option('--no-config', 'the library has none')
    .option('--owner <user>', 'whom the library acts as; default: whom it acts as now, or who loads it first')
    .option('--dry-run', 'only say what would change')
    .option('-y, --yes', 'do not ask')
    .action((file: string | undefined, options: DeployOptions & { project: string; json?: boolean }) =>
        deploy(file, options.project, options, out(options)),
    );

serverCommand('rollback <library>', 'load an earlier text of a library again')
    .argument('[version]', 'its number; default: that before the present one', whole(1, Number.MAX_SAFE_INTEGER))
    .option('--list', 'only show what the server keeps')
    .option('-y, --yes', 'do not ask')
    .action((library: string, version: number | undefined, options: RollbackOptions & { json?: boolean }) =>
        rollback(library, version, options, out(options)),
    );

serverCommand('logs', "show the module's lines of the server's log, which must be on this machine")
    .option('--file <file>', "the log; default: what the server's setting says")
    .option('-n, --lines <n>', 'how many of the last lines', whole(0, 1_000_000), 100)
    .option('-f, --follow', 'go on with new ones')
    .option('-C, --project <folder>', 'the project, in whose source places of errors are shown; default: the one that you are in')
    .action((options: LogsOptions & { json?: boolean }) => logs(options, out(options)));

serverCommand('letters <library> <consumer>', 'show dead letters')
    .option('--stream <key>', 'only those about this stream')
    .option('--error <pattern>', "only those whose error matches; '*' is any text")
    .option('--gone', 'those about streams that were deleted, too: looks through all keys, where the name of the dead letters has a {}')
    .option('--count <n>', 'at most so many', whole(1, 1_000_000), 100)
    .option('--summary', 'how many there are of each error')
    .option('-C, --project <folder>', 'the project, in whose source places of errors are shown; default: the one that you are in')
    .action((library: string, consumer: string, options: LettersOptions & { json?: boolean }) =>
        letters(library, consumer, options, out(options)),
    );

serverCommand('redrive <library> <consumer>', 'deliver dead letters once more, the oldest first')
    .option('--stream <key>', 'only those about this stream')
    .option('--error <pattern>', "only those whose error matches; '*' is any text")
    .option('--count <n>', 'at most so many', whole(1, MOST_REDRIVEN), 100)
    .option('--wait <seconds>', 'how long to wait for the outcome', whole(0, 86_400), 30)
    .action((library: string, consumer: string, options: RedriveOptions & { json?: boolean }) =>
        redrive(library, consumer, options, out(options)),
    );

command('test [files...]', "run the library's tests: of units, and against a server of their own")
    .option('--units', 'only those that need no server, *.unit.test.ts')
    .option('-C, --project <folder>', 'the folder of the project', '.')
    .option('--server <program>', "the server's program; default: REDIS_SERVER of the environment, or redis-server")
    .option('--module <file>', "the module; default: GEARS_MODULE of the environment, or that of the tool's checkout")
    .action((files: string[], options: TestOptions & { json?: boolean }) => test(files, options, out(options)));

serverCommand('exporter', 'serve figures for Prometheus')
    .option('--host <host>', 'the interface to listen on', '127.0.0.1')
    .option('--port <port>', 'the port; 0 takes a free one', whole(0, 65_535), 9121)
    .option('--most-consumers <n>', 'show at most so many consumers, and count the rest', whole(1, 100_000), 1000)
    .action((options: ExporterOptions & { json?: boolean }) => exporter(options, out(options)));

serverCommand('dashboard', 'show in the browser how all stands; for you alone, on the loopback interface')
    .option('--port <port>', 'the port; 0 takes a free one', whole(0, 65_535), 0)
    .option('--interval <seconds>', 'how often to look', whole(1, 60), 2)
    .option('--most-consumers <n>', 'show at most so many consumers', whole(1, 10_000), 500)
    .option('-C, --project <folder>', 'the project, in whose source places of errors are shown; default: the one that you are in')
    .action((options: DashboardOptions & { json?: boolean }) => dashboard(options, out(options)));

serverCommand('top', 'show in the terminal how all stands, those that stand still or fail first')
    .option('--once', 'print one reading, and end; so it does where there is no terminal')
    .option('--interval <seconds>', 'how often to look', whole(1, 60), 2)
    .addOption(new Option('--sort <figure>', 'by what consumers are sorted').choices(SORTS).default('trouble'))
    .option('--most-consumers <n>', 'show at most so many consumers', whole(1, 10_000), 500)
    .option('-C, --project <folder>', 'the project, in whose source places of errors are shown; default: the one that you are in')
    .action((options: TopOptions & { json?: boolean }) => top(options, out(options)));

async function main(): Promise<number> {
    const output = new Output(process.argv.includes('--json'));
    try {
        await program.parseAsync();
        return EXIT.ok;
    } catch (error) {
        if (error instanceof CommanderError) {
            // It has printed what it has to say.
            return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
        }
        if (error instanceof Failure) {
            output.error(error);
            return error.exitCode;
        }
        output.error(error);
        if (process.env['GEARS_DEBUG'] !== undefined) {
            console.error(error);
        }
        return EXIT.failed;
    }
}

process.exitCode = await main();
