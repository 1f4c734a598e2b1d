/** `gears rollback`: loads an earlier text of a library again, of those that the server keeps; or shows these. */

import { withPrimary } from '../cluster.js';
import { confirm } from '../confirm.js';
import type { Address } from '../connection.js';
import { Failure } from '../failure.js';
import { table, visible, type Output } from '../output.js';
import type { Reply } from '../replies.js';
import { linesOf, readReport, under } from '../report.js';
import { call, versions, type Version } from '../server.js';

export interface RollbackOptions extends Address {
    readonly list?: boolean;
    readonly yes?: boolean;
}

/** Goes back to that version, or to the one before the present one. */
export async function rollback(
    library: string,
    version: number | undefined,
    options: RollbackOptions,
    output: Output,
): Promise<void> {
    await withPrimary(options, async redis => {
        const kept = await versions(redis, library);
        if (options.list === true) {
            output.result({ library, versions: kept }, () => listed(kept));
            return;
        }
        const [earlier] = kept.filter(one => !one.current);
        const target = version === undefined ? earlier : kept.find(one => one.version === version);
        if (target === undefined) {
            const which = version === undefined ? 'an earlier version' : `version ${version}`;
            throw new Failure(`the server does not keep ${which} of '${library}'\n${listed(kept)}`);
        }
        if (target.current) {
            throw new Failure(`version ${target.version} is what '${library}' is now`);
        }
        output.note(`Version ${target.version} of '${library}', ${target.digest.slice(0, 12)}, ${loaded(target)}`);
        await confirm(
            'Load it again? Consumers that it does not have lose their progress.',
            options.yes ?? false,
        );
        const report = readReport((await call(redis, 'RG.FUNCTION', 'ROLLBACK', library, target.version)) as Reply);
        output.result({ from: target.version, ...report }, () =>
            under(
                `Loaded version ${target.version} of '${library}' again, as version ${report.version}`,
                linesOf(report).map(line => ({ ...line, text: visible(line.text) })),
                ', nothing registered differs',
            ),
        );
    });
}

/** When a version was loaded, and by whom, as far as that was noted. */
function loaded({ loaded_at, loaded_by }: Version): string {
    const when = loaded_at === 0 ? 'loaded at an unknown time' : `loaded at ${new Date(loaded_at).toISOString()}`;
    return loaded_by === '' ? when : `${when} by ${loaded_by}`;
}

function listed(versions: readonly Version[]): string {
    const rows = versions.map(one => [
        one.version,
        one.current ? 'now' : '',
        one.digest.slice(0, 12),
        one.bytes,
        one.loaded_at === 0 ? 'unknown' : new Date(one.loaded_at).toISOString(),
        one.loaded_by,
        one.owner,
    ]);
    return table(['VERSION', '', 'DIGEST', 'BYTES', 'LOADED', 'BY', 'OWNER'], rows);
}
