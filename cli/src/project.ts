/** A project: a folder with a `gears.json` that names its library. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { EXIT, Failure, textOf } from './failure.js';

export interface Project {
    /** The folder that `gears.json` lies in. */
    readonly folder: string;
    /** The library's name on the server. */
    readonly name: string;
    /** Files, absolute: where the source begins, and where the bundle goes. */
    readonly entry: string;
    readonly outfile: string;
    /** What the library sees as `redis.config`. */
    readonly config: Readonly<Record<string, unknown>> | null;
}

const FILE = 'gears.json';
const KNOWN = new Set(['$schema', 'name', 'entry', 'outfile', 'config']);

/** Throws unless a library can have this name: on the first line of its code it ends at a blank. */
export function checkName(name: string): string {
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name)) {
        throw new Failure(`'${name}' is no name of a library: use letters, digits, '_', '-' and '.'`, EXIT.usage);
    }
    return name;
}

/** The project that a folder, or one above it, belongs to. */
export function readProject(start: string): Project {
    for (let folder = resolve(start); ; folder = dirname(folder)) {
        if (existsSync(join(folder, FILE))) {
            return parse(folder);
        }
        if (folder === dirname(folder)) {
            throw new Failure(`there is no ${FILE} in ${resolve(start)} or above it: 'gears init' makes one`, EXIT.usage);
        }
    }
}

/** The project that a command was told of, or the one that it was called in; null if that is none. */
export function projectOf(told: string | undefined): Project | null {
    if (told !== undefined) {
        return readProject(told);
    }
    try {
        return readProject('.');
    } catch {
        // It would only help to show places of the source: whoever is elsewhere does without.
        return null;
    }
}

function parse(folder: string): Project {
    const path = join(folder, FILE);
    const wrong = (what: string): Failure => new Failure(`${path}: ${what}`, EXIT.usage);
    let given: unknown;
    try {
        given = JSON.parse(readFileSync(path, 'utf8'));
    } catch (error) {
        throw wrong(textOf(error));
    }
    if (!isObject(given)) {
        throw wrong('must be an object');
    }
    for (const key of Object.keys(given)) {
        if (!KNOWN.has(key)) {
            throw wrong(`unknown field '${key}'`);
        }
    }
    const { name, entry = 'src/index.ts', outfile = 'dist/library.js', config = null } = given;
    if (typeof name !== 'string') {
        throw wrong(`'name' must be a text: the library's name`);
    }
    if (typeof entry !== 'string' || typeof outfile !== 'string') {
        throw wrong(`'entry' and 'outfile' must be names of files`);
    }
    if (config !== null && !isObject(config)) {
        throw wrong(`'config' must be an object: what the library sees as redis.config`);
    }
    return { folder, name: checkName(name), entry: join(folder, entry), outfile: join(folder, outfile), config };
}

function isObject(value: unknown): value is Record<string, unknown> {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}
