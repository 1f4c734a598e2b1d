/** Figures as people read them. */

export function count(value: number | null | undefined): string {
    if (value === null || value === undefined) {
        return '–';
    }
    if (value >= 10_000_000) {
        return `${(value / 1e6).toFixed(0)} M`;
    }
    return value >= 1_000_000 ? `${(value / 1e6).toFixed(1)} M` : Math.round(value).toLocaleString('en');
}

export function rate(value: number | null | undefined): string {
    if (value === null || value === undefined) {
        return '–';
    }
    return value > 0 && value < 10 ? value.toFixed(1) : count(value);
}

export function duration(ms: number | null | undefined): string {
    if (ms === null || ms === undefined) {
        return '–';
    }
    if (ms < 1) {
        return ms === 0 ? '0' : `${Math.max(1, Math.round(ms * 1000))} µs`;
    }
    if (ms < 1000) {
        return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
    }
    const seconds = ms / 1000;
    if (seconds < 120) {
        return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
    }
    const minutes = seconds / 60;
    if (minutes < 120) {
        return `${Math.round(minutes)} min`;
    }
    return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} d`;
}

export function bytes(value: number | null | undefined): string {
    if (value === null || value === undefined) {
        return '–';
    }
    const units = ['B', 'KB', 'MB', 'GB', 'TB'];
    let at = 0;
    while (value >= 1024 && at < units.length - 1) {
        value /= 1024;
        at += 1;
    }
    return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

export function when(ms: number | null | undefined): string {
    return ms ? new Date(ms).toLocaleString('sv') : '–';
}

/** `1 stream`, `2 streams`. */
export function plural(count: number, noun: string): string {
    return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A callback without a name has that of what it was given to, which says nothing. */
const NAMELESS = /^redis\.register_\S* \((.*)\)$/;

/** The frames of a stack, the topmost first. */
export function frames(stack: string | null): string[] {
    return (stack ?? '')
        .split(/\||\n/)
        .map(frame => frame.trim().replace(/^at /, '').replace(NAMELESS, '$1'))
        .filter(frame => frame !== '');
}

/** The topmost frame of a stack, `readOrder (src/order.ts:8:11)`; empty where there is none. */
export function topmost(stack: string | null): string {
    return frames(stack)[0] ?? '';
}
