/**
 * Places in texts that the server kept, such as errors and stacks, said as places in the project's source. Which version
 * of the library a place belongs to follows from when the error came.
 */

import type { Redis } from 'ioredis';
import { Positions } from './positions.js';
import type { Project } from './project.js';
import { versions, type LibraryState, type Version } from './server.js';
import { keptOf } from './source_maps.js';

export class Places {
    readonly #project: Project | null;
    /** By their digests. */
    readonly #texts = new Map<string, Known>();
    /** The newest first. */
    #versions: readonly Version[] = [];
    #known = '';

    /** Of a project's library; without a project every place stays. */
    constructor(project: Project | null) {
        this.#project = project;
    }

    /** The library whose places are known. */
    get library(): string | null {
        return this.#project?.name ?? null;
    }

    /** Asks which texts of the library there were. Who may not know sees places as the server gives them. */
    async refresh(redis: Redis): Promise<void> {
        if (this.#project !== null) {
            this.#texts.clear();
            this.#versions = await versions(redis, this.#project.name).catch(() => []);
        }
    }

    /** The same, where the library is another one than the last time. */
    async update(redis: Redis, libraries: readonly LibraryState[]): Promise<void> {
        const mine = libraries.find(each => each.name === this.library);
        const known = `${mine?.version} ${mine?.loaded_at}`;
        if (mine !== undefined && known !== this.#known) {
            this.#known = known;
            await this.refresh(redis);
        }
    }

    /** A text of that time, in Unix milliseconds; of 0, where nobody knows, the present version is meant. */
    resolve<Text extends string | null>(text: Text, time: number): Text {
        const ran = this.#versions.find((version, at) => time === 0 || this.#began(version, at) <= time);
        return text === null || ran === undefined ? text : ((this.#of(ran).positions?.frames(text) ?? text) as Text);
    }

    /**
     * When a version was loaded first. The server knows when it was loaded last; a load of the same text before that, but
     * after the version before, was noted if it was done from here.
     */
    #began({ loaded_at, digest }: Version, at: number): number {
        const before = this.#versions[at + 1]?.loaded_at ?? 0;
        const first = this.#of({ digest }).loads.find(time => time > before);
        return Math.min(first ?? loaded_at, loaded_at);
    }

    #of({ digest }: Pick<Version, 'digest'>): Known {
        let known = this.#texts.get(digest);
        if (known === undefined) {
            const kept = this.#project === null ? null : keptOf(this.#project, digest);
            const positions = kept === null ? null : new Positions(this.library ?? '', kept.map);
            known = { positions, loads: kept?.loads ?? [] };
            this.#texts.set(digest, known);
        }
        return known;
    }
}

/** What is known here of a text. */
interface Known {
    readonly positions: Positions | null;
    readonly loads: readonly number[];
}
