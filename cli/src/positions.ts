/** Places in a bundle, as errors and stacks name them, said as places in the source. */

import { existsSync, readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { dirname, relative, resolve } from 'node:path';

export class Positions {
    readonly #library: string;
    readonly #folder: string;
    readonly #bundle: string;
    readonly #map: SourceMap | null;

    /** Of a library whose bundle lies in `bundle`, with its source map beside it. Places are said from `folder`. */
    constructor(library: string, bundle: string, folder: string) {
        const map = `${bundle}.map`;
        this.#library = library;
        this.#folder = folder;
        this.#bundle = bundle;
        this.#map = existsSync(map)
            ? new SourceMap(JSON.parse(readFileSync(map, 'utf8')) as SourceMapPayload)
            : null;
    }

    /**
     * The text with places of the source: those in stacks, `library:line:column`, and the line that a syntax error or an
     * error of the top level names, `(line 7)`. What the map does not know stays.
     */
    resolve(text: string): string {
        const name = this.#library.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
        return text
            .replace(new RegExp(`(?<![\\w.:/-])${name}:(\\d+):(\\d+)`, 'g'), (whole, line: string, column: string) =>
                this.#place(Number(line), Number(column)) ?? whole,
            )
            .replace(/\(line (\d+)\)/g, (whole, line: string) => {
                const place = this.#place(Number(line), null);
                return place === null ? whole : `(${place})`;
            });
    }

    /** Lines and columns count from 1. Without a column it is the first place of the line that the map knows. */
    #place(line: number, column: number | null): string | null {
        if (this.#map === null || line < 1) {
            return null;
        }
        const entry = this.#map.findEntry(line - 1, column === null ? Number.MAX_SAFE_INTEGER : column - 1);
        if (!('originalSource' in entry) || entry.generatedLine !== line - 1) {
            return null;
        }
        const source = resolve(dirname(this.#bundle), entry.originalSource);
        const place = `${relative(this.#folder, source)}:${entry.originalLine + 1}`;
        return column === null ? place : `${place}:${entry.originalColumn + 1}`;
    }
}
