/**
 * `gears deploy`: loads a library, or upgrades it. Before that it has the server say what changes, and asks where
 * something is lost for good, or where the library would act as another user from then on.
 */

import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { bundle, readBundle, type Bundle } from '../bundle.js';
import { confirm } from '../confirm.js';
import { withPrimary } from '../cluster.js';
import type { Address } from '../connection.js';
import { EXIT, Failure, textOf } from '../failure.js';
import { visible, type Output } from '../output.js';
import { projectOf, readProject } from '../project.js';
import type { Reply } from '../replies.js';
import { linesOf, readReport, under, type Line, type Report } from '../report.js';
import { call, libraries, type LibraryState } from '../server.js';
import { noteLoad } from '../source_maps.js';

export interface DeployOptions extends Address {
    readonly yes?: boolean;
    readonly dryRun?: boolean;
    readonly minify?: boolean;
    /** A file with a JSON object, or false: the library has none from now on. */
    readonly config?: string | false;
    /** Whom the library acts as. Without it: who it acts as now, or who loads it first. */
    readonly owner?: string;
}

/** What a library is loaded with beside its code. What is not said stays as it is. */
export interface LoadOptions {
    readonly config?: string | null;
    readonly owner?: string | null;
}

/** Deploys a script, or without one the project of the folder. */
export async function deploy(
    file: string | undefined,
    folder: string,
    options: DeployOptions,
    output: Output,
): Promise<void> {
    const project = file === undefined ? readProject(folder) : null;
    const script = project === null ? readBundle(file as string) : await bundle(project, options);
    const given = wantedConfig(options.config, project?.config ?? null);
    await withPrimary(options, async redis => {
        const [old = null] = await libraries(redis, script.name);
        // An upgrade keeps what it is not told: an empty object takes the configuration away.
        const config = given === null && configOf(old) !== null ? '{}' : (given ?? null);
        const how: LoadOptions = { config, owner: options.owner ?? null };

        const plan = await report(redis, 'CHECK', script, how);
        const lines = linesOf(plan, old);
        if (options.dryRun === true) {
            output.result({ ...plan, deployed: false }, () => text(plan, lines, 'would'));
            return;
        }
        const dangers = lines.filter(line => line.loses);
        if (dangers.length > 0) {
            output.note(dangers.map(line => visible(line.text)).join('\n'));
            await confirm(`Deploy '${script.name}' all the same?`, options.yes ?? false);
        }
        const done = await load(redis, script, how);
        noteLoad(project ?? projectOf(undefined), done);
        output.result({ ...done, deployed: true }, () => text(done, linesOf(done, old), 'has'));
    });
}

/** Loads the script, and gives what has changed. What the server does not like about it is the error. */
export async function load(redis: Redis, script: Bundle, how: LoadOptions): Promise<Report> {
    return report(redis, 'REPORT', script, how);
}

/** What sending the script would change, or has changed. */
async function report(
    redis: Redis,
    what: 'CHECK' | 'REPORT',
    script: Bundle,
    { config, owner }: LoadOptions,
): Promise<Report> {
    const withConfig = config == null ? [] : ['CONFIG', config];
    const withOwner = owner == null ? [] : ['OWNER', owner];
    try {
        const args = ['LOAD', 'UPGRADE', what, ...withConfig, ...withOwner, script.code];
        return readReport((await call(redis, 'RG.FUNCTION', ...args)) as Reply);
    } catch (error) {
        throw error instanceof Failure ? new Failure(script.positions.resolve(error.message), error.exitCode) : error;
    }
}

/** The configuration of a library, null for an empty one too: scripts see no difference. */
function configOf(library: LibraryState | null): string | null {
    const config = library?.config ?? null;
    return config === '{}' ? null : config;
}

/** The JSON text for CONFIG, null for none; undefined where nobody says. */
function wantedConfig(option: string | false | undefined, ofProject: object | null): string | null | undefined {
    if (option === false) {
        return null;
    }
    if (option === undefined) {
        return ofProject === null ? undefined : JSON.stringify(ofProject);
    }
    let value: unknown;
    try {
        value = JSON.parse(readFileSync(option, 'utf8'));
    } catch (error) {
        throw new Failure(`${option}: ${textOf(error)}`, EXIT.usage);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        throw new Failure(`${option} must have a JSON object`, EXIT.usage);
    }
    return JSON.stringify(value);
}

function text({ action, library, version }: Report, lines: readonly Line[], tense: 'would' | 'has'): string {
    const [would, has] = {
        load: ['Would load', 'Loaded'],
        upgrade: ['Would upgrade', 'Upgraded'],
        none: ['Would load again', 'Loaded again'],
    }[action];
    const first = `${tense === 'would' ? would : has} library '${library}', version ${version}`;
    return under(first, lines.map(line => ({ ...line, text: visible(line.text) })), ', nothing registered differs');
}
