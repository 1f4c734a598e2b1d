/** A clock that stands still until a test moves it. Libraries have `Date` alone to ask for the time: no timers. */

export class FakeClock {
    /** Unix milliseconds. */
    now: number;
    readonly #real: DateConstructor;

    constructor(now: number) {
        this.now = now;
        this.#real = globalThis.Date;
        const told = (): number => this.now;
        globalThis.Date = new Proxy(this.#real, {
            construct: (real, args, target) => Reflect.construct(real, args.length === 0 ? [told()] : args, target) as Date,
            apply: real => new real(told()).toString(),
            get: (real, name) => (name === 'now' ? told : Reflect.get(real, name)),
        });
    }

    advance(ms: number): void {
        this.now += ms;
    }

    /** `Date` tells the real time again. Restore several clocks in the reverse order. */
    restore(): void {
        globalThis.Date = this.#real;
    }
}

/** Has `Date` tell that time, the present one unless said otherwise, until `restore`. */
export function fakeClock(start: number | string | Date = Date.now()): FakeClock {
    const now = new Date(start).getTime();
    if (Number.isNaN(now)) {
        throw new TypeError(`'${String(start)}' is no time`);
    }
    return new FakeClock(now);
}
