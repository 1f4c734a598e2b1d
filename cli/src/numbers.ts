/** Numbers of the command line. */

import { EXIT, Failure } from './failure.js';

/** A whole number in that range, for an option. */
export function whole(least: number, most: number): (text: string) => number {
    return text => {
        const value = Number(text);
        if (!/^\d+$/.test(text) || value < least || value > most) {
            throw new Failure(`'${text}' is no whole number from ${least} to ${most}`, EXIT.usage);
        }
        return value;
    };
}
