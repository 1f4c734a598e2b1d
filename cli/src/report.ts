/**
 * What a load makes another than it was, or would: the reply of `RG.FUNCTION LOAD` with CHECK or REPORT, and of ROLLBACK.
 * Its words are the server's, in JSON too.
 */

import { Fields, type Reply } from './replies.js';
import type { LibraryState } from './server.js';
import { plural } from './words.js';

/** Names of one kind of registrations. */
export interface Changes {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    /** Those that ask for something else than before. */
    readonly changed: readonly string[];
    readonly kept: readonly string[];
}

export interface Report {
    readonly library: string;
    readonly engine: string;
    /** `none`: nothing differs from what was there. */
    readonly action: 'load' | 'upgrade' | 'none';
    readonly version: number;
    readonly digest: string;
    /** Unix milliseconds; null where it was only looked at. */
    readonly loaded_at: number | null;
    readonly owner: string;
    /** Null where there was no such library. */
    readonly owner_before: string | null;
    readonly configuration: 'kept' | 'changed' | 'set' | 'none';
    readonly functions: Changes;
    readonly remote_functions: Changes;
    readonly stream_consumers: Changes;
    readonly triggers: Changes;
    /** Consumers that go, or went before, and have read something. */
    readonly loses_progress: readonly string[];
    readonly warnings: readonly string[];
}

/** A change as a line, and whether something is lost for good by it. */
export interface Line {
    readonly text: string;
    readonly loses: boolean;
}

export function readReport(reply: Reply): Report {
    const fields = new Fields(reply);
    const names = (of: Fields, name: string): string[] => of.list(name).map(String);
    const changes = (name: string): Changes => {
        const of = new Fields(fields.raw(name));
        return {
            added: names(of, 'added'),
            removed: names(of, 'removed'),
            changed: names(of, 'changed'),
            kept: names(of, 'kept'),
        };
    };
    return {
        library: fields.text('library'),
        engine: fields.text('engine'),
        action: fields.text('action') as Report['action'],
        version: fields.number('version'),
        digest: fields.text('digest'),
        loaded_at: fields.raw('loaded_at') === null ? null : fields.number('loaded_at'),
        owner: fields.text('owner'),
        owner_before: fields.raw('owner_before') === null ? null : fields.text('owner_before'),
        configuration: fields.text('configuration') as Report['configuration'],
        functions: changes('functions'),
        remote_functions: changes('remote_functions'),
        stream_consumers: changes('stream_consumers'),
        triggers: changes('triggers'),
        loses_progress: names(fields, 'loses_progress'),
        warnings: names(fields, 'warnings'),
    };
}

/** The changes, a line each. `old` is the library as it was: it knows how much is lost. */
export function linesOf(report: Report, old: LibraryState | null = null): Line[] {
    const lines: Line[] = [];
    const { owner, owner_before } = report;
    if (owner_before !== null && owner_before !== owner) {
        lines.push({ text: `~ owner: ${owner_before} → ${owner}   it acts as '${owner}' from now on`, loses: true });
    }
    if (report.configuration === 'set' || report.configuration === 'changed') {
        lines.push({ text: `${report.configuration === 'set' ? '+' : '~'} config`, loses: false });
    }
    const streams = new Map(old?.consumers.map(each => [each.name, each.streams]));
    const waiting = new Map(old?.triggers.map(each => [each.name, each.waiting]));
    const lostBy = (kind: string, name: string): string => {
        if (kind === 'consumer' && report.loses_progress.includes(name)) {
            const known = streams.get(name) ?? 0;
            return `   LOSES its progress${known === 0 ? '' : ` in ${plural(known, 'stream')}`}`;
        }
        const events = kind === 'trigger' ? (waiting.get(name) ?? 0) : 0;
        return events === 0 ? '' : `   LOSES ${plural(events, 'event')} that waited for it`;
    };
    const kinds = [
        ['consumer', report.stream_consumers],
        ['trigger', report.triggers],
        ['function', report.functions],
        ['remote function', report.remote_functions],
    ] as const;
    for (const [kind, { added, changed, removed }] of kinds) {
        added.forEach(name => lines.push({ text: `+ ${kind} ${name}`, loses: false }));
        changed.forEach(name => lines.push({ text: `~ ${kind} ${name}`, loses: false }));
        for (const name of removed) {
            const lost = lostBy(kind, name);
            lines.push({ text: `- ${kind} ${name}${lost}`, loses: lost !== '' });
        }
    }
    // Of a library that was deleted, whose progress was kept for the next one of its name.
    const kept = report.loses_progress.filter(name => !report.stream_consumers.removed.includes(name));
    kept.forEach(name => lines.push({ text: `- consumer ${name}   LOSES its progress, which was kept`, loses: true }));
    report.warnings.forEach(text => lines.push({ text: `! ${text}`, loses: false }));
    return lines;
}

/** Lines under a first one that ends without a mark. */
export function under(first: string, lines: readonly Line[], otherwise: string): string {
    return lines.length === 0 ? `${first}${otherwise}` : [`${first}:`, ...lines.map(line => `  ${line.text}`)].join('\n');
}
