/** The plots of the last minutes. */

import uPlot from 'uplot';
import { byId, element } from './dom';
import { bytes, count, duration, rate } from '../src/words';

export interface Plot {
    readonly time: number[];
    readonly [series: string]: (number | null)[];
}

interface Kind {
    readonly title: string;
    readonly series: readonly { readonly name: string; readonly label: string; readonly color: string }[];
    readonly say: (value: number | null) => string;
    /** The axis reaches so far at least: noise of an idle server does not fill the plot. */
    readonly least: number;
    /** It is of all libraries, also where a consumer is shown. */
    readonly ofAll?: boolean;
    /** Steps of the axis, where those of uPlot say nothing. */
    readonly steps?: number[];
}

const WHOLE = [1, 2, 5].flatMap(step => Array.from({ length: 12 }, (_, at) => step * 10 ** at)).sort((a, b) => a - b);
const BINARY = Array.from({ length: 41 }, (_, at) => 2 ** at);

const KINDS: readonly Kind[] = [
    {
        title: 'Entries / s',
        series: [
            { name: 'rate', label: 'done', color: '#2f80ed' },
            { name: 'failure_rate', label: 'failed', color: '#d64545' },
        ],
        say: rate,
        least: 10,
        steps: WHOLE,
    },
    { title: 'Backlog', series: [{ name: 'backlog', label: 'backlog', color: '#b7791f' }], say: count, least: 10, steps: WHOLE },
    {
        title: 'Age of oldest, lag p99',
        series: [
            { name: 'age_ms', label: 'age', color: '#8e5bd0' },
            { name: 'lag_ms_p99', label: 'p99', color: '#2a9d8f' },
        ],
        say: duration,
        least: 10,
    },
    {
        title: 'Heaps of libraries',
        series: [{ name: 'memory', label: 'memory', color: '#4a8f3c' }],
        say: bytes,
        least: 1 << 20,
        ofAll: true,
        steps: BINARY,
    },
];

const HEIGHT = 150;
const made: { readonly plot: uPlot; readonly box: HTMLElement; readonly heading: HTMLElement; readonly kind: Kind }[] = [];

/** Shows that data, of one consumer or of all, and makes the plots at first. */
export function show(data: Plot, of: string): void {
    if (made.length === 0) {
        make();
    }
    const time = data.time.map(each => each / 1000);
    for (const { plot, kind, heading } of made) {
        heading.textContent = kind.ofAll === true || of === '' ? kind.title : `${kind.title}: ${of}`;
        plot.setData([time, ...kind.series.map(series => data[series.name] ?? [])]);
        // Where no mouse points at a moment, the last one is told.
        if (plot.cursor.idx == null && time.length > 0) {
            plot.setLegend({ idx: time.length - 1 });
        }
    }
}

/** A time of the day, of Unix seconds. */
function clock(seconds: number): string {
    return new Date(seconds * 1000).toLocaleTimeString('sv');
}

function make(): void {
    // Read each time: the page may become dark meanwhile.
    const color = (name: string) => (): string => getComputedStyle(document.documentElement).getPropertyValue(name);
    const [dim, line] = [color('--dim'), color('--line')];
    for (const kind of KINDS) {
        const heading = element('h3', {}, kind.title);
        const box = element('div', { class: 'plot' }, heading);
        byId('plots').append(box);
        const axis = { stroke: dim, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
        const plot = new uPlot(
            {
                width: Math.max(box.clientWidth - 16, 200),
                height: HEIGHT,
                legend: { live: true },
                cursor: { y: false },
                scales: {
                    // A minute at least.
                    x: {
                        range: plot => {
                            // Not by what uPlot proposes: for a reading alone that is a whole day.
                            const [first, last] = [plot.data[0]?.[0], plot.data[0]?.at(-1)];
                            const end = last ?? Date.now() / 1000;
                            return [Math.min(first ?? end, end - 60), end];
                        },
                    },
                    y: { range: (_plot, _least, most) => [0, Math.max(most ?? 0, kind.least) * 1.1] },
                },
                axes: [
                    { ...axis, size: 32, space: 70, values: (_plot, values) => values.map(clock) },
                    {
                        ...axis,
                        size: 68,
                        values: (_plot, values) => values.map(value => kind.say(value)),
                        ...(kind.steps === undefined ? {} : { incrs: kind.steps }),
                    },
                ],
                series: [
                    { label: 'at', value: (_plot: uPlot, value: number | null) => (value === null ? '–' : clock(value)) },
                    ...kind.series.map(({ label, color }) => ({
                        label,
                        stroke: color,
                        width: 2,
                        points: { show: false },
                        value: (_plot: uPlot, value: number | null) => kind.say(value),
                    })),
                ],
            },
            [[], ...kind.series.map(() => [])],
            box,
        );
        made.push({ plot, box, heading, kind });
    }
    new ResizeObserver(() => {
        for (const { plot, box } of made) {
            plot.setSize({ width: Math.max(box.clientWidth - 16, 200), height: HEIGHT });
        }
    }).observe(byId('plots'));
}
