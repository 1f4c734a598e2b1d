/**
 * `gears deploy`: loads a library, or upgrades it. Before that it says what changes, and asks where something is lost
 * for good, or where the library would act as another user from then on.
 */

import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { bundle, readBundle, readPrologue, type Bundle } from '../bundle.js';
import { confirm } from '../confirm.js';
import { withServer, type Address } from '../connection.js';
import { describe, difference, plural, type Change } from '../difference.js';
import { EXIT, Failure, textOf } from '../failure.js';
import type { Output } from '../output.js';
import { readProject } from '../project.js';
import { registrationsOf, type Registrations } from '../registrations.js';
import { call, libraries, type LibraryState } from '../server.js';

export interface DeployOptions extends Address {
    readonly yes?: boolean;
    readonly dryRun?: boolean;
    readonly minify?: boolean;
    /** A file with a JSON object, or false: the library has none from now on. */
    readonly config?: string | false;
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
    await withServer(options, async redis => {
        const [old = null] = await libraries(redis, script.name);
        const config = given === undefined ? configOf(old) : given;
        const me = old === null ? null : await whoAmI(redis);
        const changes = plan(old, me, script, config);
        const report = { library: script.name, action: old === null ? 'load' : 'upgrade', changes };

        if (options.dryRun === true) {
            output.result({ ...report, deployed: false }, () => text(report, 'Would ', changes));
            return;
        }
        const refused = changes.filter(change => change.refused);
        if (refused.length > 0) {
            throw new Failure(
                [`the server would refuse this:`, ...describe(refused), 'Give the consumer another name as well.'].join(
                    '\n',
                ),
            );
        }
        const dangers = changes.filter(change => change.loses !== null);
        if (dangers.length > 0) {
            output.note(describe(dangers).join('\n'));
            await confirm(`Deploy '${script.name}' all the same?`, options.yes ?? false);
        }
        // An upgrade keeps what it is not told: an empty object takes the configuration away.
        const told = config === null && configOf(old) !== null ? '{}' : config;
        const owner = old !== null && me !== old.owner ? me : null;
        await load(redis, script, told, owner);
        const [now = null] = await libraries(redis, script.name);
        if (now === null) {
            throw new Failure(`the server took the library '${script.name}', and does not show it`);
        }
        output.result({ ...report, deployed: true, owner: now.owner }, () => text(report, '', changes));
    });
}

/** Sends the script. What the server does not like about it is the error. */
export async function load(
    redis: Redis,
    script: Bundle,
    config: string | null,
    owner: string | null = null,
): Promise<void> {
    const withConfig = config === null ? [] : ['CONFIG', config];
    const withOwner = owner === null ? [] : ['OWNER', owner];
    await call(redis, 'RG.FUNCTION', 'LOAD', 'UPGRADE', ...withConfig, ...withOwner, script.code);
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

function plan(
    old: LibraryState | null,
    me: string | null,
    script: Bundle,
    config: string | null,
): Change[] {
    const changes: Change[] = [];
    const about = (what: string, detail: string, loses: string | null = null): void => {
        changes.push({ kind: 'change', what, detail, loses, refused: false });
    };
    if (old !== null) {
        if (me !== null && me !== old.owner) {
            about('owner', `${old.owner} → ${me}`, `the rights of '${old.owner}': it acts as '${me}' from now on`);
        }
        if (config !== configOf(old)) {
            about('config', `${old.config ?? 'none'} → ${config ?? 'none'}`);
        }
    }
    let next: Registrations;
    try {
        if (readPrologue(script.code)?.engine !== 'js') {
            throw new Failure('it is not in JavaScript');
        }
        next = registrationsOf(script.code, config === null ? {} : JSON.parse(config));
    } catch (error) {
        const known = old === null ? [] : old.consumers.filter(consumer => consumer.streams > 0);
        const progress = known.length > 0 ? `perhaps the progress of ${plural(known.length, 'consumer')}` : null;
        about('registrations', `cannot be told before the server runs the code: ${textOf(error)}`, progress);
        return changes;
    }
    return [...changes, ...difference(old, next)];
}

/** The user of the connection; null where the user may not know. */
async function whoAmI(redis: Redis): Promise<string | null> {
    try {
        return (await redis.call('ACL', 'WHOAMI')) as string;
    } catch {
        return null;
    }
}

function text(report: { library: string; action: string }, would: string, changes: readonly Change[]): string {
    const verb = report.action === 'load' ? ['load', 'Loaded'] : ['upgrade', 'Upgraded'];
    const first = would === '' ? verb[1] : would + verb[0];
    const lines = describe(changes);
    return [`${first} library '${report.library}'${lines.length > 0 ? ':' : ', nothing registered differs'}`]
        .concat(lines.map(line => `  ${line}`))
        .join('\n');
}
