/** Bundles a library's source into the one script that RG.FUNCTION LOAD takes. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { SourceMapPayload } from 'node:module';
import { basename, dirname, resolve } from 'node:path';
import { build, formatMessages, type BuildFailure } from 'esbuild';
import { EXIT, Failure, textOf } from './failure.js';
import { namedFrom, Positions } from './positions.js';
import type { Project } from './project.js';
import { keepMap } from './source_maps.js';

export interface Bundle {
    readonly name: string;
    readonly file: string;
    /** The script: the prologue, then everything. */
    readonly code: string;
    /** The files that it was made of, from the project's folder; empty for one that was bundled before. */
    readonly inputs: readonly string[];
    /** Where in the source a place of it is. */
    readonly positions: Positions;
}

/** The server takes no more, in bytes. */
const MOST_BYTES = 16 * 1024 * 1024;

/** The first line of a library. The module wants the name first; whatever is behind it is for people. */
export function prologue(name: string): string {
    return `#!js name=${name} api_version=1.0`;
}

/** The engine and the library's name, as the module reads them from the first line; null if it would refuse it. */
export function readPrologue(code: string): { engine: string; name: string } | null {
    const match = /^#!\s*(\S+)\s+name=(\S+)/.exec(code.split('\n', 1)[0] ?? '');
    return match?.[1] !== undefined && match[2] !== undefined ? { engine: match[1], name: match[2] } : null;
}

/** Bundles the project, and writes the script and its source map. */
export async function bundle(project: Project, options: { minify?: boolean } = {}): Promise<Bundle> {
    const result = await build({
        absWorkingDir: project.folder,
        entryPoints: [project.entry],
        outfile: project.outfile,
        bundle: true,
        write: false,
        // A script of its own, in one function: the module runs no modules.
        format: 'iife',
        // Neither a browser nor Node.js. Packages say in these fields where their code is.
        platform: 'neutral',
        mainFields: ['module', 'main'],
        target: 'es2023',
        charset: 'utf8',
        minify: options.minify ?? false,
        // The module shows names of functions in errors.
        keepNames: options.minify ?? false,
        sourcemap: 'linked',
        metafile: true,
        banner: { js: prologue(project.name) },
        // Packages ask for it, and there is no `process` in the module.
        define: { 'process.env.NODE_ENV': '"production"' },
        logLevel: 'silent',
    }).catch(async (error: unknown) => {
        throw new Failure(await explain(error));
    });
    const script = result.outputFiles.find(each => each.path === project.outfile);
    const map = result.outputFiles.find(each => each.path.endsWith('.map'));
    if (script === undefined || map === undefined) {
        throw new Failure(`esbuild made no ${basename(project.outfile)}`);
    }
    // esbuild puts a first line that begins with #! in front of everything, the prologue too.
    if (readPrologue(script.text)?.name !== project.name || script.text.split('\n')[1]?.startsWith('#!')) {
        throw new Failure(`${project.entry} begins with a line #!: leave it out, 'gears build' writes it`, EXIT.usage);
    }
    if (script.contents.length > MOST_BYTES) {
        throw new Failure(`the bundle has ${script.contents.length} bytes, the server takes at most ${MOST_BYTES}`);
    }
    mkdirSync(dirname(project.outfile), { recursive: true });
    writeFileSync(script.path, script.contents);
    writeFileSync(map.path, map.contents);
    const places = namedFrom(project.folder, dirname(project.outfile), JSON.parse(map.text) as SourceMapPayload);
    keepMap(project, script.text, places);
    const positions = new Positions(project.name, places);
    const inputs = Object.keys(result.metafile.inputs);
    return { name: project.name, file: project.outfile, code: script.text, inputs, positions };
}

async function explain(error: unknown): Promise<string> {
    const messages = (error as Partial<BuildFailure>).errors;
    if (!Array.isArray(messages)) {
        return textOf(error);
    }
    const lines = await formatMessages(messages, { kind: 'error', color: false });
    return `the source cannot be bundled\n\n${lines.join('\n').trim()}`;
}

/** A script that was bundled before, or written by hand. */
export function readBundle(file: string): Bundle {
    let code: string;
    try {
        code = readFileSync(file, 'utf8');
    } catch (error) {
        throw new Failure(`cannot read ${file}: ${textOf(error)}`, EXIT.usage);
    }
    const first = readPrologue(code);
    if (first === null) {
        throw new Failure(`${file} does not begin with a line such as '${prologue('lib')}'`, EXIT.usage);
    }
    return { name: first.name, file, code, inputs: [], positions: new Positions(first.name, mapBeside(file)) };
}

/** The source map that lies beside a script, if one does. */
function mapBeside(file: string): SourceMapPayload | null {
    const path = `${file}.map`;
    if (!existsSync(path)) {
        return null;
    }
    try {
        const map = JSON.parse(readFileSync(path, 'utf8')) as SourceMapPayload;
        return namedFrom(process.cwd(), dirname(resolve(file)), map);
    } catch (error) {
        throw new Failure(`cannot read ${path}: ${textOf(error)}`, EXIT.usage);
    }
}
