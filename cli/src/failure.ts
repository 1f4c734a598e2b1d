/** What ends a command with an error: its text, and the exit code that says what kind it is. */

/** The exit codes. `docs/cli.md` has the same list. */
export const EXIT = {
    ok: 0,
    /** The command was understood, and did not succeed. */
    failed: 1,
    /** The command line, or `gears.json`, is wrong. */
    usage: 2,
    /** The server cannot be reached, or refuses the user. */
    unreachable: 3,
    /** Something would be lost, and nobody said that it may be. */
    unconfirmed: 4,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** An error that is shown to the user as its text alone, without a stack. */
export class Failure extends Error {
    readonly exitCode: ExitCode;

    constructor(message: string, exitCode: ExitCode = EXIT.failed) {
        super(message);
        this.name = 'Failure';
        this.exitCode = exitCode;
    }
}

/** The text of anything that was thrown. */
export function textOf(error: unknown): string {
    return error instanceof Error ? error.message : String(error);
}
