/** `gears letters`: the dead letters of a consumer, one by one or by their errors. */

import { withShards } from '../cluster.js';
import type { Address } from '../connection.js';
import { byError, letters as read, placesOf, type Letter, type Wanted } from '../letters.js';
import { shorten, table, visible, type Output } from '../output.js';
import { Places } from '../places.js';
import { projectOf } from '../project.js';
import { plural, topmost } from '../words.js';

export interface LettersOptions extends Address {
    readonly stream?: string;
    readonly error?: string;
    readonly gone?: boolean;
    readonly count: number;
    readonly summary?: boolean;
    readonly project?: string;
}

export async function letters(
    library: string,
    consumer: string,
    options: LettersOptions,
    output: Output,
): Promise<void> {
    const places = new Places(projectOf(options.project));
    await withShards(options, async shards => {
        const [first] = shards;
        if (places.library === library && first !== undefined) {
            await places.refresh(first.redis);
        }
        const found: Letter[] = [];
        let more = false;
        for await (const at of placesOf(shards, library, consumer, wanted(options))) {
            for await (const letter of read(at.redis, library, consumer, at.wanted)) {
                if (options.summary !== true && found.length === options.count) {
                    more = true;
                    break;
                }
                const { error, stack, time } = letter;
                found.push({ ...letter, error: places.resolve(error, time), stack: places.resolve(stack, time) });
            }
            if (more) {
                break;
            }
        }
        if (options.summary === true) {
            const groups = byError(found);
            output.result({ library, consumer, letters: found.length, errors: groups }, () =>
                found.length === 0
                    ? 'No dead letters'
                    : table(
                          ['LETTERS', 'STREAMS', 'ERROR'],
                          groups.map(group => [group.letters, group.streams, group.error]),
                      ),
            );
            return;
        }
        output.result({ library, consumer, letters: found, more }, () => lines(found));
        if (more && !output.json) {
            output.note(`There are more than ${plural(options.count, 'letter')}: --count shows more of them`);
        }
    });
}

function wanted(options: LettersOptions): Wanted {
    return {
        ...(options.stream === undefined ? {} : { stream: Buffer.from(options.stream) }),
        ...(options.error === undefined ? {} : { error: options.error }),
        ...(options.gone === undefined ? {} : { gone: options.gone }),
    };
}

function lines(found: readonly Letter[]): string {
    if (found.length === 0) {
        return 'No dead letters';
    }
    return table(
        ['STREAM', 'ID', 'ATTEMPTS', 'GIVEN UP', 'ERROR', 'WHERE', 'FIELDS'],
        found.map(letter => [
            visible(letter.stream),
            letter.id,
            letter.attempts,
            new Date(letter.time).toISOString(),
            shorten(letter.error, 80),
            shorten(topmost(letter.stack), 60),
            shorten(letter.fields.map(([name, value]) => `${visible(name)}=${visible(value)}`).join(' '), 120),
        ]),
    );
}
