/**
 * The source maps of the scripts that a project made, in its folder `.gears/maps`. The server shows the digest of the
 * script that it runs, and that finds the map, also after the project was built anew or an earlier version was loaded again.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { SourceMapPayload } from 'node:module';
import { join } from 'node:path';
import type { Project } from './project.js';

export interface Kept {
    readonly map: SourceMapPayload;
    /** When the script was loaded from here, by the server's clock in Unix milliseconds, the last ones. */
    readonly loads: readonly number[];
}

interface Loaded {
    readonly digest: string;
    readonly loaded_at: number | null;
}

/** So many maps are kept, those used last, and so many loads of each. */
const MOST = 100;
const MOST_LOADS = 50;

function folderOf(project: Project): string {
    return join(project.folder, '.gears', 'maps');
}

function fileOf(project: Project, digest: string): string {
    return join(folderOf(project), `${digest}.json`);
}

/** As `sha256sum` says it, and the server. */
export function digestOf(code: string): string {
    return createHash('sha256').update(code).digest('hex');
}

/** What is kept of the script with that digest; null if it was made elsewhere, or too long ago. */
export function keptOf(project: Project, digest: string): Kept | null {
    try {
        return JSON.parse(readFileSync(fileOf(project, digest), 'utf8')) as Kept;
    } catch {
        return null;
    }
}

/** Keeps the map of a script, and lets the oldest go. */
export function keepMap(project: Project, code: string, map: SourceMapPayload): void {
    const folder = folderOf(project);
    const digest = digestOf(code);
    mkdirSync(folder, { recursive: true });
    keep(project, digest, { map, loads: keptOf(project, digest)?.loads ?? [] });
    const kept = readdirSync(folder)
        .map(name => join(folder, name))
        .map(path => ({ path, time: statSync(path).mtimeMs }))
        .sort((a, b) => b.time - a.time);
    kept.slice(MOST).forEach(({ path }) => rmSync(path, { force: true }));
}

/** Notes that a script was loaded. Where there is no project, or its map is not there, nothing is noted. */
export function noteLoad(project: Project | null, { digest, loaded_at }: Loaded): void {
    const kept = project === null ? null : keptOf(project, digest);
    if (project !== null && kept !== null && loaded_at !== null) {
        keep(project, digest, { ...kept, loads: [...kept.loads, loaded_at].slice(-MOST_LOADS) });
    }
}

function keep(project: Project, digest: string, kept: Kept): void {
    writeFileSync(fileOf(project, digest), JSON.stringify(kept));
}
