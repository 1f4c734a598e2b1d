/** Tables and lines for a screen of a given width: what does not fit is left out, the least important first. */

import { visible } from '../output.js';

/** What a line is: a terminal with colours shows it by them, and the text says it in words. */
export type Style = 'plain' | 'title' | 'heading' | 'problem' | 'stopped' | 'failing' | 'behind' | 'paused' | 'hint';

export interface Line {
    readonly text: string;
    readonly style: Style;
}

export interface Column<Row> {
    readonly title: string;
    /** The first column has what is left, and so needs none. */
    readonly width: number;
    /** Of two columns that do not both fit, the one with the lower rank stays. */
    readonly rank: number;
    readonly isText?: boolean;
    readonly text: (row: Row) => string;
}

/**
 * The first column is cut no further than this while there are others that can go; and where only those that say most
 * are left, no further than the second.
 */
const LEAST_NAME = 20;
const LEAST_OF_ALL = 12;
const SAYS_MOST = 2;
const GAP = 1;

const WIDE =
    /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const NO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** How many cells of a terminal a character takes. */
function cells(character: string): number {
    return NO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
}

export function widthOf(text: string): number {
    let width = 0;
    for (const character of text) {
        width += cells(character);
    }
    return width;
}

/** Cuts a text that is wider than so many cells, and says so. */
export function cut(text: string, width: number): string {
    if (widthOf(text) <= width) {
        return text;
    }
    let [kept, used] = ['', 0];
    for (const character of text) {
        used += cells(character);
        if (used > width - 1) {
            break;
        }
        kept += character;
    }
    return width < 1 ? '' : `${kept}…`;
}

/** A text in at most so many lines, broken between words where that can be; further lines are indented. */
export function wrap(text: string, width: number, most: number): string[] {
    const lines: string[] = [];
    let rest = text;
    while (rest !== '') {
        const indent = lines.length === 0 ? '' : '    ';
        const room = width - indent.length;
        if (lines.length === most - 1 || room < LEAST_OF_ALL || widthOf(rest) <= room) {
            lines.push(cut(`${indent}${rest}`, width));
            break;
        }
        let end = 0;
        for (let used = 0; end < rest.length; ) {
            const character = String.fromCodePoint(rest.codePointAt(end) ?? 0);
            used += cells(character);
            if (used > room) {
                break;
            }
            end += character.length;
        }
        const blank = rest.lastIndexOf(' ', end);
        const at = blank > end / 2 ? blank : end;
        lines.push(`${indent}${rest.slice(0, at).trimEnd()}`);
        rest = rest.slice(at).trimStart();
    }
    return lines;
}

/** A text in exactly so many cells. */
function fit(text: string, width: number, isText: boolean): string {
    const shown = cut(text, width);
    const padding = ' '.repeat(Math.max(0, width - widthOf(shown)));
    return isText ? shown + padding : padding + shown;
}

/** A heading and a line for each row. Texts of the server are shown with what would steer a terminal escaped. */
export function tableLines<Row>(
    columns: readonly Column<Row>[],
    rows: readonly Row[],
    width: number,
    style: (row: Row) => Style,
): Line[] {
    const [first, ...others] = columns;
    if (first === undefined) {
        return [];
    }
    const names = rows.map(row => visible(first.text(row)));
    const longest = Math.max(widthOf(first.title), ...names.map(widthOf));
    const kept = [...others];
    const left = (): number => width - kept.reduce((sum, each) => sum + each.width + GAP, 0);
    for (;;) {
        const worst = kept.reduce<Column<Row> | null>((a, b) => (a === null || b.rank > a.rank ? b : a), null);
        if (worst === null || left() >= Math.min(longest, worst.rank > SAYS_MOST ? LEAST_NAME : LEAST_OF_ALL)) {
            break;
        }
        kept.splice(kept.indexOf(worst), 1);
    }
    const ofFirst = Math.max(0, Math.min(left(), longest));
    const line = (head: string, texts: readonly string[]): string =>
        [fit(head, ofFirst, true), ...kept.map((column, at) => fit(texts[at] ?? '', column.width, column.isText ?? false))]
            .join(' '.repeat(GAP))
            .trimEnd();
    const heading = line(first.title, kept.map(each => each.title));
    return [
        { text: heading, style: 'heading' },
        ...rows.map((row, at) => ({
            text: line(names[at] ?? '', kept.map(each => visible(each.text(row)))),
            style: style(row),
        })),
    ];
}

/** Parts of a line that go, from the end, where the line is too narrow for all of them. */
export function parts(texts: readonly string[], width: number): string {
    const kept = texts.filter(text => text !== '');
    while (kept.length > 1 && widthOf(kept.join('   ')) > width) {
        kept.pop();
    }
    return cut(kept.join('   '), width);
}

/**
 * How many lines each section of a screen gets, of those that it needs: in turns, the first one twice as often. One
 * that would not get `least` lines gets none.
 */
export function shares(needs: readonly number[], total: number, least: number): number[] {
    const give = (wanted: readonly number[]): number[] => {
        const given = wanted.map(() => 0);
        const order = wanted.flatMap((_, at) => (at === 0 ? [0, 0] : [at]));
        let left = total;
        for (let isMore = true; isMore && left > 0; ) {
            isMore = false;
            for (const at of order) {
                if (left > 0 && (given[at] ?? 0) < (wanted[at] ?? 0)) {
                    given[at] = (given[at] ?? 0) + 1;
                    left -= 1;
                    isMore = true;
                }
            }
        }
        return given;
    };
    // The last sections go first: leaving one out may leave enough for those in front of it.
    const wanted = [...needs];
    for (;;) {
        const given = give(wanted);
        const poor = given.findLastIndex((lines, at) => at > 0 && lines > 0 && lines < Math.min(least, needs[at] ?? 0));
        if (poor < 0) {
            return given;
        }
        wanted[poor] = 0;
    }
}
