/**
 * `gears test`: runs a library's tests with Node.js's test runner, those of units first; then it starts a server, loads the
 * library there, and runs the others.
 */

import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { build } from 'esbuild';
import { bundle } from '../bundle.js';
import { withServer } from '../connection.js';
import { EXIT, Failure, textOf } from '../failure.js';
import { LocalServer, type Programs } from '../local_server.js';
import type { Output } from '../output.js';
import { readProject } from '../project.js';
import { load } from './deploy.js';

export interface TestOptions extends Programs {
    readonly project: string;
    /** Only those that need no server. */
    readonly units?: boolean;
}

/** Tests that need no server: they run before one is started. */
const UNITS = /\.unit\.test\.[mc]?[jt]s$/;

export async function test(files: readonly string[], options: TestOptions, output: Output): Promise<void> {
    const project = readProject(options.project);
    const sources = files.length > 0 ? files.map(file => resolve(file)) : find(join(project.folder, 'tests'));
    const units = sources.filter(file => UNITS.test(file));
    const others = options.units === true ? [] : sources.filter(file => !UNITS.test(file));
    if (units.length + others.length === 0) {
        const names = options.units === true ? '*.unit.test.ts or *.unit.test.js' : '*.test.ts or *.test.js';
        throw new Failure(`there are no files ${names} in ${join(project.folder, 'tests')}`, EXIT.usage);
    }
    // In the project, so that the tests find its packages.
    const compiled = join(project.folder, '.gears', 'tests');
    const count = { passed: 0, failed: 0 };
    try {
        if (units.length > 0) {
            delete process.env['GEARS_URL'];
            await runAll(await compile(units, project.folder, compiled), output, count);
        }
        if (others.length > 0) {
            const script = await bundle(project);
            const scripts = await compile(others, project.folder, compiled);
            const config = project.config === null ? null : JSON.stringify(project.config);
            const server = await LocalServer.start(options);
            try {
                await withServer({ url: server.url }, redis => load(redis, script, { config }));
                process.env['GEARS_URL'] = server.url;
                await runAll(scripts, output, count);
            } finally {
                await server.stop();
            }
        }
    } finally {
        rmSync(compiled, { recursive: true, force: true });
    }
    const { passed, failed } = count;
    output.result({ library: project.name, passed, failed }, '');
    if (failed > 0) {
        throw new Failure(`${failed} of ${passed + failed} tests failed`);
    }
    if (passed === 0) {
        throw new Failure('there are no tests in these files');
    }
}

function find(folder: string): string[] {
    const entries = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
    return entries.filter(name => /\.test\.[mc]?[jt]s$/.test(name)).sort().map(name => join(folder, name));
}

/** Tests in TypeScript as what Node.js runs; packages stay where they are. */
async function compile(sources: readonly string[], folder: string, outdir: string): Promise<string[]> {
    mkdirSync(outdir, { recursive: true });
    const names = sources.map((source, index) => {
        const name = relative(folder, source).replace(/[^A-Za-z0-9._-]+/g, '_').replace(/\.[mc]?[jt]s$/, '');
        return [`${index}-${basename(name)}`, source] as const;
    });
    await build({
        entryPoints: Object.fromEntries(names),
        outdir,
        outExtension: { '.js': '.mjs' },
        bundle: true,
        packages: 'external',
        platform: 'node',
        format: 'esm',
        sourcemap: 'inline',
        logLevel: 'silent',
    }).catch((error: unknown) => {
        throw new Failure(`the tests cannot be bundled: ${textOf(error)}`);
    });
    return names.map(([name]) => join(outdir, `${name}.mjs`));
}

async function runAll(files: string[], output: Output, count: { passed: number; failed: number }): Promise<void> {
    // Set where this command is itself run by a test: the runner would then run nothing.
    delete process.env['NODE_TEST_CONTEXT'];
    // One file after another: they share the server.
    const stream = run({ files, concurrency: 1 });
    stream.on('test:pass', () => (count.passed += 1));
    stream.on('test:fail', () => (count.failed += 1));
    if (output.json) {
        stream.resume();
        await new Promise(resolve => stream.once('end', resolve));
    } else {
        const report = stream.compose(new spec());
        report.pipe(process.stdout, { end: false });
        await new Promise(resolve => report.once('end', resolve));
    }
}
