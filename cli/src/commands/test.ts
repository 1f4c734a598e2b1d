/** `gears test`: starts a server, loads the library there, and runs its tests with Node.js's test runner. */

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
}

export async function test(files: readonly string[], options: TestOptions, output: Output): Promise<void> {
    const project = readProject(options.project);
    const sources = files.length > 0 ? files.map(file => resolve(file)) : find(join(project.folder, 'tests'));
    if (sources.length === 0) {
        throw new Failure(`there are no files *.test.ts or *.test.js in ${join(project.folder, 'tests')}`, EXIT.usage);
    }
    const script = await bundle(project);
    // In the project, so that the tests find its packages.
    const compiled = join(project.folder, '.gears', 'tests');
    const server = await LocalServer.start(options);
    try {
        const scripts = await compile(sources, project.folder, compiled);
        const config = project.config === null ? null : JSON.stringify(project.config);
        await withServer({ url: server.url }, redis => load(redis, script, { config }));
        process.env['GEARS_URL'] = server.url;
        const { passed, failed } = await runAll(scripts, output);
        output.result({ library: project.name, passed, failed }, '');
        if (failed > 0) {
            throw new Failure(`${failed} of ${passed + failed} tests failed`);
        }
        if (passed === 0) {
            throw new Failure('there are no tests in these files');
        }
    } finally {
        await server.stop();
        rmSync(compiled, { recursive: true, force: true });
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

async function runAll(files: string[], output: Output): Promise<{ passed: number; failed: number }> {
    // Set where this command is itself run by a test: the runner would then run nothing.
    delete process.env['NODE_TEST_CONTEXT'];
    let [passed, failed] = [0, 0];
    // One file after another: they share the server.
    const stream = run({ files, concurrency: 1 });
    stream.on('test:pass', () => (passed += 1));
    stream.on('test:fail', () => (failed += 1));
    if (output.json) {
        stream.resume();
        await new Promise(resolve => stream.once('end', resolve));
    } else {
        const report = stream.compose(new spec());
        report.pipe(process.stdout, { end: false });
        await new Promise(resolve => report.once('end', resolve));
    }
    return { passed, failed };
}
