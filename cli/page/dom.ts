/** Makes elements. Texts of the server are always text, never markup. */

import { frames } from '../src/words';

export type Child = Node | string | number | null | undefined | false;

export function element<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    attributes: Record<string, string | boolean | ((event: Event) => void)> = {},
    ...children: Child[]
): HTMLElementTagNameMap[K] {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === 'function') {
            made.addEventListener(name, value);
        } else if (value !== false) {
            made.setAttribute(name, value === true ? '' : value);
        }
    }
    made.append(...children.filter(isChild).map(each => (typeof each === 'number' ? String(each) : each)));
    return made;
}

function isChild(child: Child): child is Node | string | number {
    return child !== null && child !== undefined && child !== false;
}

/** A stack: its topmost frame, and all of them for who opens it. */
export function stackOf(stack: string | null): HTMLElement | null {
    const all = frames(stack).map(frame => `at ${frame}`);
    const [first] = all;
    if (first === undefined) {
        return null;
    }
    return all.length === 1
        ? element('code', {}, first)
        : element('details', {}, element('summary', {}, element('code', {}, first)), element('pre', {}, all.join('\n')));
}

/** On which shard of a cluster it is. */
export function at({ shard }: { readonly shard: string | null }): string {
    return shard === null ? '' : ` @${shard}`;
}

export function byId(id: string): HTMLElement {
    const found = document.getElementById(id);
    if (found === null) {
        throw new Error(`the page has no #${id}`);
    }
    return found;
}

export interface Column<Row> {
    readonly title: string;
    readonly cell: (row: Row) => Child | Child[];
    readonly kind?: 'number' | 'text' | 'name' | 'time';
    /** What to sort by; without it the column is not one to sort by. */
    readonly by?: (row: Row) => number | string;
}

export interface Order {
    column: string;
    descending: boolean;
}

/** A table. With an order its headings sort; a row that can be chosen is one to click on. */
export function table<Row>(
    columns: readonly Column<Row>[],
    rows: readonly Row[],
    options: {
        readonly empty: string;
        /** So many rows at most, the first of the order. */
        readonly most?: number;
        readonly order?: Order;
        readonly onOrder?: () => void;
        readonly onChoose?: (row: Row) => void;
        readonly isChosen?: (row: Row) => boolean;
    },
): HTMLElement {
    if (rows.length === 0) {
        return element('p', { class: 'empty' }, options.empty);
    }
    const { order, onOrder, onChoose, isChosen } = options;
    const headings = columns.map(column => {
        const isOrder = order?.column === column.title;
        const sort = (): void => {
            if (order !== undefined) {
                order.descending = isOrder ? !order.descending : true;
                order.column = column.title;
                onOrder?.();
            }
        };
        const label =
            column.by === undefined || order === undefined
                ? column.title
                : element('button', { click: sort }, column.title + (isOrder ? (order.descending ? ' ▾' : ' ▴') : ''));
        return element(
            'th',
            { class: column.kind ?? '', ...(isOrder ? { 'aria-sort': order.descending ? 'descending' : 'ascending' } : {}) },
            label,
        );
    });
    const body = sorted(columns, rows, order).slice(0, options.most ?? Infinity).map(row => {
        const choose = (): void => onChoose?.(row);
        const key = (event: Event): void => {
            if ((event as KeyboardEvent).key === 'Enter') {
                choose();
            }
        };
        const attributes =
            onChoose === undefined
                ? {}
                : { class: isChosen?.(row) ? 'open chosen' : 'open', tabindex: '0', click: choose, keydown: key };
        return element(
            'tr',
            attributes,
            ...columns.map(column => element('td', { class: column.kind ?? '' }, ...[column.cell(row)].flat())),
        );
    });
    return element('table', {}, element('thead', {}, element('tr', {}, ...headings)), element('tbody', {}, ...body));
}

function sorted<Row>(columns: readonly Column<Row>[], rows: readonly Row[], order: Order | undefined): readonly Row[] {
    const by = columns.find(column => column.title === order?.column)?.by;
    if (by === undefined || order === undefined) {
        return rows;
    }
    const sign = order.descending ? -1 : 1;
    return [...rows].sort((a, b) => {
        const [left, right] = [by(a), by(b)];
        return sign * (left < right ? -1 : left > right ? 1 : 0);
    });
}
