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
}

const KINDS: readonly Kind[] = [
    {
        title: 'Entries each second',
        series: [
            { name: 'rate', label: 'done', color: '#2f80ed' },
            { name: 'failure_rate', label: 'failed', color: '#d64545' },
        ],
        say: rate,
    },
    { title: 'Backlog, entries', series: [{ name: 'backlog', label: 'backlog', color: '#b7791f' }], say: count },
    {
        title: 'Age of the oldest entry, and lag p99',
        series: [
            { name: 'age_ms', label: 'age', color: '#8e5bd0' },
            { name: 'lag_ms_p99', label: 'p99', color: '#2a9d8f' },
        ],
        say: duration,
    },
    { title: 'Memory of libraries', series: [{ name: 'memory', label: 'memory', color: '#4a8f3c' }], say: bytes },
];

const HEIGHT = 150;
const made: { readonly plot: uPlot; readonly box: HTMLElement; readonly kind: Kind }[] = [];

/** Shows that data, and makes the plots at first. */
export function show(data: Plot): void {
    if (made.length === 0) {
        make();
    }
    const time = data.time.map(each => each / 1000);
    for (const { plot, kind } of made) {
        plot.setData([time, ...kind.series.map(series => data[series.name] ?? [])]);
    }
}

function make(): void {
    const style = getComputedStyle(document.documentElement);
    const [dim, line] = [style.getPropertyValue('--dim'), style.getPropertyValue('--line')];
    for (const kind of KINDS) {
        const box = element('div', { class: 'plot' }, element('h3', {}, kind.title));
        byId('plots').append(box);
        const axis = { stroke: dim, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
        const plot = new uPlot(
            {
                width: Math.max(box.clientWidth - 16, 200),
                height: HEIGHT,
                legend: { live: true },
                cursor: { y: false },
                scales: {
                    // A minute at least: with a first reading alone uPlot would show years.
                    x: {
                        range: (_plot, least, most) => {
                            const end = most ?? Date.now() / 1000;
                            return [Math.min(least ?? end, end - 60), end];
                        },
                    },
                    // From zero, and never so fine that noise of an idle server fills the plot.
                    y: { range: (_plot, _least, most) => [0, Math.max(most ?? 0, 1) * 1.1] },
                },
                axes: [axis, { ...axis, size: 68, values: (_plot, values) => values.map(value => kind.say(value)) }],
                series: [
                    {},
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
        made.push({ plot, box, kind });
    }
    new ResizeObserver(() => {
        for (const { plot, box } of made) {
            plot.setSize({ width: Math.max(box.clientWidth - 16, 200), height: HEIGHT });
        }
    }).observe(byId('plots'));
}
