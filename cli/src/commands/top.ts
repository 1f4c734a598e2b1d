/** `gears top`: how all stands, in the terminal, again and again; or once, as text or JSON. */

import type { Address } from '../connection.js';
import { textOf } from '../failure.js';
import type { Output } from '../output.js';
import { Places } from '../places.js';
import { projectOf } from '../project.js';
import type { SlowCall } from '../server.js';
import { frame, mostScroll, type Shown } from '../top/frame.js';
import { sortCallbacks, sortConsumers, SORTS, type Sort } from '../top/order.js';
import { Screen, type Key } from '../top/screen.js';
import { age } from '../watch/rates.js';
import { Watch, type View } from '../watch/watch.js';

export interface TopOptions extends Address {
    readonly interval: number;
    readonly mostConsumers: number;
    readonly sort: Sort;
    readonly once?: boolean;
    readonly project?: string;
}

/** So many slow calls are asked for: more find no place. */
const MOST_SLOW = 20;
const HINT = `sort: ${SORTS.map(sort => `[${sort[0]}]${sort.slice(1)}`).join(' ')}  [i]nvert  ↑↓ scroll  [p]ause  [q]uit`;

export async function top(options: TopOptions, output: Output): Promise<void> {
    const watch = new Watch(options, {
        intervalMs: options.interval * 1000,
        mostConsumers: options.mostConsumers,
        keepMs: 0,
        places: new Places(projectOf(options.project)),
    });
    try {
        await watch.start();
        if (options.once === true || output.json || !Screen.isThere()) {
            await once(watch, options, output);
        } else {
            await live(watch, options);
        }
    } finally {
        watch.stop();
    }
}

/** One reading. Rates need two: it is the second. */
async function once(watch: Watch, options: TopOptions, output: Output): Promise<void> {
    await new Promise<void>(resolve => watch.onChange(resolve));
    if (watch.problem !== null || watch.view === null) {
        throw new Error(watch.problem ?? 'nothing was read');
    }
    const { view } = watch;
    const slow = await slowOnes(watch);
    output.result(json(view, slow, options.sort), () => {
        const shown: Shown = {
            view, slow, problem: null, sort: options.sort, isReversed: false, scroll: 0, hint: '',
        };
        const width = process.stdout.isTTY ? process.stdout.columns || Infinity : Infinity;
        return frame(shown, { width, height: Infinity }).map(line => line.text).join('\n');
    });
}

function json({ standing, consumers, callbacks, missing }: View, slow: readonly SlowCall[] | string, sort: Sort): unknown {
    return {
        time: standing.time,
        missing,
        server: standing.server,
        memory: Object.fromEntries(standing.memory),
        libraries: standing.libraries.map(({ name, version, quarantine }) => ({ name, version, quarantine })),
        consumers: sortConsumers(consumers, sort).map(row => ({ ...row, age_ms: age(row) })),
        consumers_left_out: standing.left_out,
        callbacks: sortCallbacks(callbacks),
        slow: typeof slow === 'string' ? null : slow,
    };
}

/** Callbacks that took long; or why nobody can say, for they are no reason to show nothing. */
async function slowOnes(watch: Watch): Promise<readonly SlowCall[] | string> {
    try {
        return (await watch.slowCalls(MOST_SLOW)) ?? 'this server keeps no log of them';
    } catch (error) {
        return textOf(error);
    }
}

/** What a key does to what is shown; null if it ends it. */
export function press(shown: Shown, key: Key, page: number): Shown | null {
    const scrolled = (by: number): Shown => ({
        ...shown,
        scroll: Math.max(0, Math.min(mostScroll(shown), shown.scroll + by)),
    });
    if (key.isControl) {
        return key.name === 'c' || key.name === 'd' ? null : shown;
    }
    switch (key.name) {
        case 'q':
        case 'escape':
            return null;
        case 'i':
            return { ...shown, isReversed: !shown.isReversed, scroll: 0 };
        case 'up':
        case 'k':
            return scrolled(-1);
        case 'down':
        case 'j':
            return scrolled(1);
        case 'pageup':
            return scrolled(-page);
        case 'pagedown':
            return scrolled(page);
        case 'home':
            return scrolled(-Infinity);
        case 'end':
            return scrolled(Infinity);
    }
    const sort = SORTS.find(each => each[0] === key.name);
    return sort === undefined ? shown : { ...shown, sort, isReversed: false, scroll: 0 };
}

async function live(watch: Watch, options: TopOptions): Promise<void> {
    const first = watch.view;
    if (first === null) {
        throw new Error('nothing was read');
    }
    let shown: Shown = {
        view: first,
        problem: null,
        slow: await slowOnes(watch),
        sort: options.sort,
        isReversed: false,
        scroll: 0,
        hint: HINT,
    };
    let isPaused = false;
    let end: () => void = () => {};
    const ended = new Promise<void>(resolve => (end = resolve));
    const draw = (): void => screen.draw(frame({ ...shown, hint: hint(shown, isPaused) }, screen.size));
    const screen = new Screen(key => {
        if (key.name === 'p' && !key.isControl) {
            isPaused = !isPaused;
        }
        const next = press(shown, key, Math.max(1, Math.floor(screen.size.height / 2)));
        if (next === null) {
            end();
        } else {
            shown = next;
            draw();
        }
    }, () => draw());
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    signals.forEach(signal => process.once(signal, end));
    let isOver = false;
    const stopListening = watch.onChange(async () => {
        if (isPaused) {
            return;
        }
        const slow = watch.problem === null ? await slowOnes(watch) : shown.slow;
        if (!isOver && !isPaused) {
            shown = { ...shown, view: watch.view ?? shown.view, problem: watch.problem, slow };
            draw();
        }
    });
    screen.open();
    try {
        draw();
        await ended;
    } finally {
        isOver = true;
        stopListening();
        screen.close();
        signals.forEach(signal => process.off(signal, end));
    }
}

/** How it is sorted, and the keys. */
function hint(shown: Shown, isPaused: boolean): string {
    return `${isPaused ? 'PAUSED  ' : ''}by ${shown.sort}${shown.isReversed ? ', inverted' : ''}  ${HINT}`;
}
