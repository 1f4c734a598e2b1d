// The clock and the calendar of the machine, for the Python module `time`.
(function ($B) {
    "use strict";

    const float = (value) => $B.fast_float(value);
    const started = Date.now();

    /** Year, month, day, hour, minute, second, weekday (Monday is 0), day of the year. */
    function parts(date, is_local) {
        const get = (name) => date[`get${is_local ? "" : "UTC"}${name}`]();
        const year = get("FullYear");
        const month = get("Month");
        const day = get("Date");
        const day_of_year = Math.round((Date.UTC(year, month, day) - Date.UTC(year, 0, 1)) / 86400000) + 1;
        return [year, month + 1, day, get("Hours"), get("Minutes"), get("Seconds"), (get("Day") + 6) % 7, day_of_year];
    }

    /** Seconds that local time is behind UTC in winter and at a moment. */
    function offset(date) {
        return date.getTimezoneOffset() * 60;
    }
    function winter_offset(year) {
        return Math.max(offset(new Date(year, 0, 1)), offset(new Date(year, 6, 1)));
    }
    function zone_name(date) {
        return /\(([^)]*)\)/.exec(date.toTimeString())?.[1] ?? "UTC";
    }
    function short_name(date) {
        const name = zone_name(date);
        return name === "Coordinated Universal Time" ? "UTC" : name.includes(" ") ? name.split(" ").map((word) => word[0]).join("") : name;
    }

    $B.addToImported("_clock", {
        now: () => float(Date.now() / 1000),
        now_ns: () => BigInt(Date.now()) * 1000000n,
        since_start: () => float((Date.now() - started) / 1000),
        utc: (seconds) => $B.fast_tuple([...parts(new Date(number(seconds) * 1000), false), 0]),
        local(seconds) {
            const date = new Date(number(seconds) * 1000);
            return $B.fast_tuple([...parts(date, true), offset(date) < winter_offset(date.getFullYear()) ? 1 : 0]);
        },
        from_local: (year, month, day, hour, minute, second) =>
            float(new Date(year, month - 1, day, hour, minute, second).getTime() / 1000),
        offset: (seconds) => -offset(new Date(number(seconds) * 1000)),
        timezone: () => winter_offset(new Date().getFullYear()),
        altzone() {
            const year = new Date().getFullYear();
            return Math.min(offset(new Date(year, 0, 1)), offset(new Date(year, 6, 1)));
        },
        names() {
            const year = new Date().getFullYear();
            const [january, july] = [new Date(year, 0, 1), new Date(year, 6, 1)];
            const [winter, summer] = offset(january) >= offset(july) ? [january, july] : [july, january];
            return $B.fast_tuple([short_name(winter), short_name(summer)]);
        },
    });

    function number(seconds) {
        return typeof seconds === "object" ? seconds.value : Number(seconds);
    }
})(__BRYTHON__);
