/** What becomes of dead letters that were redriven. The dashboard's page reads it, too. */

/** What RG.CONSUMER REDRIVES counts, since the server's process began. */
export interface Redrives {
    /** Those that wait, or are with the callback. */
    readonly open: number;
    readonly ok: number;
    readonly failed: number;
    /** How often each class of errors came. */
    readonly errors: Readonly<Record<string, number>>;
    readonly last_error: string | null;
}

/** What has become of letters that were delivered since. */
export interface Outcome {
    readonly ok: number;
    readonly failed: number;
    readonly open: number;
    /** The most frequent first. */
    readonly errors: Readonly<Record<string, number>>;
    readonly last_error: string | null;
}

export function outcomeOf(before: Redrives, now: Redrives, delivered: number): Outcome {
    const [ok, failed] = [Math.max(0, now.ok - before.ok), Math.max(0, now.failed - before.failed)];
    const errors = Object.entries(now.errors)
        .map(([name, times]) => [name, times - (before.errors[name] ?? 0)] as const)
        .filter(([, times]) => times > 0)
        .sort((a, b) => b[1] - a[1]);
    return {
        ok,
        failed,
        open: Math.max(0, delivered - ok - failed),
        errors: Object.fromEntries(errors),
        last_error: failed > 0 ? now.last_error : null,
    };
}
