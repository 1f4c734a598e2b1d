/** What an upgrade changes: a library as it is on the server, against what the new code registers. */

import { asShown } from './options.js';
import type { Registrations } from './registrations.js';
import type { LibraryState } from './server.js';

export interface Change {
    readonly kind: 'add' | 'remove' | 'change';
    /** What it is about: `function take`, `consumer book`, `trigger audit`, `owner`, `config`. */
    readonly what: string;
    readonly detail: string;
    /** What is lost for good; null where nothing is. */
    readonly loses: string | null;
    /** Whether the server would refuse it. */
    readonly refused: boolean;
}

interface Named {
    readonly name: string;
}

/** The changes, those of consumers first. Without an old library everything is added. */
export function difference(old: LibraryState | null, next: Registrations): Change[] {
    return [
        ...compare('consumer', old?.consumers ?? [], next.consumers, {
            added: consumer => `prefix '${consumer.prefix}', window ${consumer.window}${consumer.trim ? ', trim' : ''}`,
            lost: consumer =>
                consumer.streams > 0 ? `its progress in ${plural(consumer.streams, 'stream')}` : null,
            changed: (before, after) => {
                const details = [];
                if (before.prefix !== after.prefix) {
                    details.push(`prefix '${before.prefix}' → '${after.prefix}'`);
                }
                if (before.window !== after.window) {
                    details.push(`window ${before.window} → ${after.window}`);
                }
                if (before.trim !== after.trim) {
                    details.push(`trim ${onOff(before.trim)} → ${onOff(after.trim)}`);
                }
                details.push(...changedOptions(asShown(before.options), after.options));
                return { detail: details.join(', '), refused: before.prefix !== after.prefix };
            },
        }),
        ...compare('trigger', old?.triggers ?? [], next.triggers, {
            added: () => '',
            lost: trigger => (trigger.waiting > 0 ? `${plural(trigger.waiting, 'event')} that wait for it` : null),
            changed: () => ({ detail: '', refused: false }),
        }),
        ...compare('function', old?.functions ?? [], next.functions, {
            added: each => each.flags.join(', '),
            lost: () => null,
            changed: (before, after) => ({
                detail:
                    before.flags.join() === after.flags.join()
                        ? ''
                        : `flags ${before.flags.join(', ') || 'none'} → ${after.flags.join(', ') || 'none'}`,
                refused: false,
            }),
        }),
    ];
}

function compare<Old extends Named, New extends Named>(
    kind: string,
    old: readonly Old[],
    next: readonly New[],
    say: {
        added(each: New): string;
        lost(each: Old): string | null;
        changed(before: Old, after: New): { detail: string; refused: boolean };
    },
): Change[] {
    const changes: Change[] = [];
    const before = new Map(old.map(each => [each.name, each]));
    for (const each of next) {
        const was = before.get(each.name);
        before.delete(each.name);
        const what = `${kind} ${each.name}`;
        if (was === undefined) {
            changes.push({ kind: 'add', what, detail: say.added(each), loses: null, refused: false });
            continue;
        }
        const { detail, refused } = say.changed(was, each);
        if (detail !== '') {
            changes.push({ kind: 'change', what, detail, loses: null, refused });
        }
    }
    for (const gone of before.values()) {
        const what = `${kind} ${gone.name}`;
        changes.push({ kind: 'remove', what, detail: '', loses: say.lost(gone), refused: false });
    }
    return changes;
}

function changedOptions(before: Record<string, unknown>, after: Record<string, unknown>): string[] {
    const changes = [];
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
        const [was, is] = [JSON.stringify(before[name]), JSON.stringify(after[name])];
        if (was !== is) {
            changes.push(`${name} ${was ?? 'default'} → ${is ?? 'default'}`);
        }
    }
    return changes;
}

function onOff(value: boolean): string {
    return value ? 'on' : 'off';
}

/** `1 stream`, `2 streams`. */
export function plural(count: number, noun: string): string {
    return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** The changes as lines, one each. */
export function describe(changes: readonly Change[]): string[] {
    const signs = { add: '+', remove: '-', change: '~' };
    return changes.map(change => {
        const detail = change.detail === '' ? '' : `: ${change.detail}`;
        const loses = change.loses === null ? '' : `   LOSES ${change.loses}`;
        return `${signs[change.kind]} ${change.what}${detail}${change.refused ? '   REFUSED by the server' : ''}${loses}`;
    });
}
