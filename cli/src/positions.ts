/** Places in a script, as errors and stacks name them, said as places in the source that it was made of. */

import { SourceMap, type SourceMapping, type SourceMapPayload } from 'node:module';
import { relative, resolve } from 'node:path';

export class Positions {
    readonly #library: string;
    readonly #map: SourceMap | null;

    /** Of a library whose script that map belongs to; without a map every place stays. */
    constructor(library: string, map: SourceMapPayload | null) {
        this.#library = library;
        this.#map = map === null ? null : new SourceMap(map);
    }

    /** The text with those places of the source that stacks name, `library:line:column`. What the map does not know stays. */
    frames(text: string): string {
        const name = this.#library.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
        const frame = new RegExp(`(?<![\\w.:/-])${name}:(\\d+):(\\d+)`, 'g');
        return text.replace(frame, (whole, line: string, column: string) => {
            const entry = this.#at(Number(line), Number(column) - 1);
            return entry === null ? whole : `${placeOf(entry)}:${entry.originalColumn + 1}`;
        });
    }

    /** The same as `frames` for why a load failed: an error there may name a line alone, `(line 7)`. */
    resolve(text: string): string {
        return this.frames(text).replace(/\(line (\d+)\)/g, (whole, line: string) => {
            const entry = this.#at(Number(line), Number.MAX_SAFE_INTEGER);
            return entry === null ? whole : `(${placeOf(entry)})`;
        });
    }

    /** What the map has at a place or before it, on the same line. Lines count from 1, columns from 0. */
    #at(line: number, column: number): SourceMapping | null {
        if (this.#map === null || line < 1) {
            return null;
        }
        const entry = this.#map.findEntry(line - 1, column);
        return 'originalSource' in entry && entry.generatedLine === line - 1 ? entry : null;
    }
}

function placeOf(entry: SourceMapping): string {
    return `${entry.originalSource}:${entry.originalLine + 1}`;
}

/**
 * A map whose sources are named from `folder`, where they were named from `base`. The texts of the sources, most of a map,
 * are left out.
 */
export function namedFrom(folder: string, base: string, map: SourceMapPayload): SourceMapPayload {
    const sources = map.sources.map(source => relative(folder, resolve(base, source)));
    return { ...map, sources, sourcesContent: [], sourceRoot: '' };
}
