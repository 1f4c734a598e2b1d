/** Follows docs/tutorial.md: writes its files, runs each of its commands, and compares what it shows. */

import assert from 'node:assert/strict';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { LocalServer } from '../src/local_server.js';
import { packageFile } from '../src/package.js';
import { folder, freePort } from './gears.js';

interface Block {
    readonly line: number;
    readonly kind: string;
    readonly file: string | undefined;
    readonly lines: readonly string[];
}

const PAGE = packageFile('../docs/tutorial.md');
/** Commands that change nothing: what they show comes a moment later. The others are run once. */
const LOOKS = /^(cat|curl|gears (letters|logs|top)|redis-cli (RG\.FCALL|RG\.CONSUMER INFO)) /;
const DEADLINE_MS = 60_000;
const COMMAND_MS = 120_000;
const END = '--- the command ended with';

const home = folder();
let server: LocalServer;
let shell: ChildProcessWithoutNullStreams;
/** Ports of the page, and those that are free here. */
const ports = new Map<string, string>();

before(async () => {
    server = await LocalServer.start();
    for (const port of ['6400', '8080', '9121']) {
        ports.set(port, String(await freePort()));
    }
    const bin = join(home, 'bin');
    mkdirSync(bin);
    const program = (name: string, text: string): void => {
        writeFileSync(join(bin, name), `#!/usr/bin/env bash\n${text}\n`);
        chmodSync(join(bin, name), 0o755);
    };
    const cli = packageFile('.').replace(/\/$/, '');
    const path = process.env['PATH'] ?? '';
    program('gears', `exec '${process.execPath}' '${cli}/dist/src/main.js' "$@"`);
    program('redis-cli', `[ "$1" != -p ] || PATH='${path}' exec redis-cli --no-raw "$@"
        PATH='${path}' exec redis-cli -s '${server.url.slice('unix://'.length)}' --no-raw "$@"`);
    // The packages come from where this one has them, and not from the network.
    program('npm', `if [ "$1" != install ]; then PATH="$PWD/node_modules/.bin:$PATH" exec '${await which('npm')}' "$@"; fi
        mkdir -p node_modules/@redisgears node_modules/.bin
        ln -sfn '${cli}' node_modules/@redisgears/cli
        ln -sf '${bin}/gears' '${cli}/node_modules/.bin/tsc' node_modules/.bin/
        for one in @types typescript "\${@:2}"; do
            [ -e "${cli}/node_modules/$one" ] || { echo "there is no package $one"; exit 1; }
            ln -sfn "${cli}/node_modules/$one" "node_modules/$one"
        done`);
    const { REDIS_URL: _, ...environment } = process.env;
    shell = spawn('bash', ['--noprofile', '--norc'], {
        cwd: home,
        env: { ...environment, PATH: `${bin}:${path}`, GEARS_URL: server.url },
    });
    shell.stdin.write('exec 2>&1\n');
});
after(async () => {
    if (shell !== undefined && shell.exitCode === null) {
        const ended = new Promise(resolve => shell.once('close', resolve));
        shell.stdin.end('kill $(jobs -p) 2>/dev/null; exit\n');
        await ended;
    }
    await server?.stop();
});

test('every command of the tutorial does what the page shows', { timeout: 600_000 }, async () => {
    let commands = 0;
    for (const block of blocksOf(readFileSync(PAGE, 'utf8'))) {
        const where = `docs/tutorial.md:${block.line}`;
        if (block.kind === 'ts') {
            assert.ok(block.file !== undefined, `${where}: which file is this?`);
            const file = join(home, 'shop', block.file);
            mkdirSync(dirname(file), { recursive: true });
            writeFileSync(file, `${block.lines.join('\n')}\n`);
            continue;
        }
        if (block.kind === 'browser') {
            await browse(join(home, 'shop', block.file ?? ''), block.lines, where);
            continue;
        }
        assert.equal(block.kind, 'console', `${where}: this kind of block cannot be followed`);
        for (const { command, shown } of commandsOf(block, where)) {
            await follow(command, shown, where);
            commands += 1;
        }
    }
    assert.ok(commands > 20, `${commands} commands were found`);
});

/** Opens the URL that a file names, and waits until the page shows these texts. */
async function browse(file: string, texts: readonly string[], where: string): Promise<void> {
    const [url] = /http:\S+/.exec(readFileSync(file, 'utf8')) ?? [];
    assert.ok(url !== undefined, `${where}: ${file} names no URL`);
    const browser = await chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
    try {
        const page = await browser.newPage();
        const problems: string[] = [];
        page.on('pageerror', error => problems.push(String(error)));
        await page.goto(url);
        for (const text of texts) {
            await page.locator('main').getByText(text).first().waitFor({ timeout: DEADLINE_MS });
        }
        assert.deepEqual(problems, [], where);
    } finally {
        await browser.close();
    }
}

async function follow(command: string, shown: string, where: string): Promise<void> {
    const expected = pattern(mapped(shown));
    const deadline = Date.now() + (LOOKS.test(command) ? DEADLINE_MS : 0);
    for (;;) {
        const { code, text } = await run(mapped(command));
        // What the tool says about a failure begins with its name; nothing else may fail.
        const mayFail = /^gears: /m.test(shown);
        if (expected.test(plain(text)) && (code !== 0) === mayFail) {
            return;
        }
        if (Date.now() >= deadline) {
            assert.fail(`${where}: $ ${command}\nended with ${code}, and shows\n${text}\nin place of\n${shown}`);
        }
        await new Promise(resolve => setTimeout(resolve, 200));
    }
}

/** Runs a command in the session, with nothing to read. */
async function run(command: string): Promise<{ code: number; text: string }> {
    let text = '';
    return new Promise((resolve, reject) => {
        const timer = setTimeout(() => done(() => reject(new Error(`${command} does not end:\n${text}`))), COMMAND_MS);
        const read = (data: Buffer): void => {
            text += data.toString();
            const end = new RegExp(`\n${END} (\\d+)\n`).exec(text);
            if (end !== null) {
                done(() => resolve({ code: Number(end[1]), text: text.slice(0, end.index) }));
            }
        };
        const gone = (): void => done(() => reject(new Error(`the session ended at ${command}:\n${text}`)));
        const done = (then: () => void): void => {
            clearTimeout(timer);
            shell.stdout.off('data', read);
            shell.off('close', gone);
            then();
        };
        shell.stdout.on('data', read);
        shell.once('close', gone);
        shell.stdin.write(`{ ${command}\n} < /dev/null\nprintf '\\n${END} %s\\n' $?\n`);
    });
}

function blocksOf(page: string): Block[] {
    const blocks: Block[] = [];
    let open: { line: number; kind: string; file: string | undefined; lines: string[] } | null = null;
    page.split('\n').forEach((text, index) => {
        const fence = /^```(\S*)(?: (\S+))?$/.exec(text);
        if (fence === null) {
            open?.lines.push(text);
        } else if (open === null) {
            open = { line: index + 1, kind: fence[1] ?? '', file: fence[2], lines: [] };
        } else {
            blocks.push(open);
            open = null;
        }
    });
    assert.equal(open, null, 'the last block does not end');
    return blocks;
}

function commandsOf(block: Block, where: string): { command: string; shown: string }[] {
    const commands: { command: string; lines: string[] }[] = [];
    for (const line of block.lines) {
        if (line.startsWith('$ ')) {
            commands.push({ command: line.slice(2), lines: [] });
        } else {
            assert.ok(commands.length > 0, `${where}: output without a command`);
            commands[commands.length - 1]?.lines.push(line);
        }
    }
    return commands.map(({ command, lines }) => ({ command, shown: lines.join('\n') }));
}

/** IDs and times as words, and columns without their widths. */
function plain(text: string): string {
    return text
        .replace(/\d{13}-\d+/g, 'ID')
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
        .replace(/\d+ \w{3} \d{4} [\d:.]+/g, 'TIME')
        .replace(/[ \t]+/g, ' ')
        .replace(/ +$/gm, '')
        .trim();
}

/** What a text of the page matches: `...` is any text of a line, and alone on a line, any lines. */
function pattern(shown: string): RegExp {
    const lines = plain(shown).split('\n').map(line =>
        line === '...' ? '[^]*' : line.split('...').map(part => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('.*'),
    );
    return new RegExp(`^${lines.join('\n').replaceAll('[^]*\n', '(?:.*\n)*').replace('\n[^]*', '(?:\n.*)*')}$`);
}

function mapped(command: string): string {
    return command
        .replace(/\b(6400|8080|9121)\b/g, port => ports.get(port) ?? port)
        .replace(/^gears exporter /, `gears exporter --port ${ports.get('9121')} `);
}

async function which(name: string): Promise<string> {
    const child = spawn('bash', ['-c', `command -v ${name}`]);
    let path = '';
    child.stdout.on('data', (data: Buffer) => (path += data.toString()));
    await new Promise(resolve => child.once('close', resolve));
    assert.notEqual(path, '', `there is no program ${name}`);
    return path.trim();
}
