"""What becomes of the rates when there is more of something: streams, consumers, libraries, bytes, fields, windows.

A curve has a series for the module, one for the bare server, and where it can be compared one for a worker; each point
is a row as those of run.py are, with a server of its own.
"""

import resource
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benches.consumers import EMPTY, EMPTY_ASYNC, INCR_ASYNC, STREAM, Nobody, Worker, count_processed
from benches.rows import Row
from testing.throw_away import ThrowAway
from testing.waits import HarnessError, wait_for

# Entries that all points of a curve together may take, in work of the server.
ENTRIES = 400_000
BYTES = 100_000_000
LEAST = 2_000
# The server adds the first entry of each stream itself; a script at a time, so that others are answered in between.
FILL = """
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
    redis.call('XADD', string.format('stream:%012d', number), '*', 'field', 'value')
end
"""
AT_ONCE = 20_000


def fill(server: ThrowAway, streams: int, entries: int = 1) -> None:
    """That many streams, named as redis-benchmark names keys, each with so many entries."""
    script = server.client.register_script(FILL)
    for _ in range(entries):
        for first in range(0, streams, AT_ONCE):
            script(args=[first, min(first + AT_ONCE, streams) - 1])


def rss(server: ThrowAway) -> int:
    """What the process has of the machine's memory now; what INFO says may be older than the last library."""
    pages = Path(f"/proc/{server.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def processed(server: ThrowAway) -> int:
    """Entries that all consumers together are done with."""
    info = server.client.info("everything")
    consumers = [value for key, value in info.items() if key.startswith("redisgears_2_consumer_")]
    if any(one["failures"] for one in consumers):
        raise HarnessError(f"a callback failed: {consumers}")
    return sum(one["processed"] for one in consumers)


class Writers(Nobody):
    """Nobody reads what is written to so many streams, of so many fields and bytes."""

    def __init__(self, streams: int = 1, size: int = 5, fields: int = 1):
        self.values = self._streams = streams
        stream = STREAM if streams == 1 else "stream:__rand_int__"
        self.command = ("XADD", stream, "*", *("field", "x" * size) * fields)

    def start(self, server: ThrowAway, deadline: float) -> None:
        if self._streams > 1:
            fill(server, self._streams)
        server.client.config_resetstat()

    def count(self, server: ThrowAway) -> int:
        return server.client.info("commandstats").get("cmdstat_xadd", {}).get("calls", 0)


class Readers(Writers):
    """Libraries that read it: so many with so many consumers each, the first library's for these streams."""

    def __init__(self, callback: str, libraries: int = 1, consumers: int = 1, window: int = 1, **written):
        super().__init__(**written)
        self._consumers = consumers
        self._counts = callback == INCR_ASYNC
        self._codes = []
        for library in range(libraries):
            prefix = "stream:" if library == 0 else f"other:{library}:"
            lines = [f"#!js name=bench{library}"]
            for number in range(consumers):
                lines.append(f'redis.register_stream_consumer("c{number}", "{prefix}", {window}, false, {callback});')
            self._codes.append("\n".join(lines))

    def start(self, server: ThrowAway, deadline: float) -> None:
        for code in self._codes:
            server.client.execute_command("RG.FUNCTION", "LOAD", code)
        super().start(server, deadline)
        self._before = self._streams * self._consumers if self._streams > 1 else 0
        wait_for("the first entry of each stream", lambda: processed(server) == self._before, deadline)

    def is_done(self, server: ThrowAway, entries: int) -> bool:
        done, expected = processed(server) - self._before, entries * self._consumers
        if done > expected:
            raise HarnessError(f"{done} entries were processed, expected {expected}")
        if done == expected and self._counts and count_processed(server) != entries:
            raise HarnessError(f"{entries} entries were processed, {count_processed(server)} effects are there")
        return done == expected


class WorkerOf(Worker):
    """A worker that reads entries of so many fields and bytes."""

    def __init__(self, size: int = 5, fields: int = 1):
        super().__init__(100, language="Rust")
        self.command = Writers(size=size, fields=fields).command


@dataclass(frozen=True)
class Series:
    """A line of a curve: for each number that there is of something, a row. `kind`: module, bare or worker."""

    title: str
    kind: str
    row: Callable[[int], Nobody]
    drain: bool = False

    def at(self, curve: "Curve", x: int) -> Row:
        """The point."""
        return Row(
            f"{curve.key}-{x}", f"{self.title}, {curve.x_title}: {x:,}", lambda: self.row(x),
            module=self.kind == "module", drain=self.drain, max_requests=curve.requests(x),
        )  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """One plot."""

    key: str
    title: str
    x_title: str
    xs: tuple[int, ...]
    series: tuple[Series, ...]
    requests: Callable[[int], int] = lambda _: ENTRIES // 4


def shared(x: int) -> int:
    """Where each entry makes so much more work."""
    return max(LEAST, ENTRIES // 4 // x)


def of_bytes(size: int) -> int:
    """Where each entry is so large."""
    return max(LEAST // 2, min(ENTRIES // 4, BYTES // size))


CURVES = [
    Curve("scale-streams", "Streams that are written to in turn", "streams", (1, 100, 10_000, 100_000, 1_000_000), (
        Series("bare server", "bare", lambda x: Writers(streams=x)),
        Series("module, sync", "module", lambda x: Readers(EMPTY, streams=x)),
        Series("module, async", "module", lambda x: Readers(EMPTY_ASYNC, window=50, streams=x), drain=True),
    )),
    Curve("scale-consumers", "Consumers of one stream", "consumers", (1, 3, 10, 30, 100), (
        Series("bare server", "bare", lambda _: Writers()),
        # What so many take together may be more than scripts may hold up an iteration of the event loop: the rest waits.
        Series("module, sync", "module", lambda x: Readers(EMPTY, consumers=x), drain=True),
        Series("module, async", "module", lambda x: Readers(EMPTY_ASYNC, window=50, consumers=x), drain=True),
    ), shared),
    Curve("scale-libraries", "Libraries, of which one reads the stream", "libraries", (1, 3, 10, 30, 100), (
        Series("bare server", "bare", lambda _: Writers()),
        Series("module, sync", "module", lambda x: Readers(EMPTY, libraries=x)),
    )),
    Curve("scale-bytes", "Size of an entry's value", "bytes", (10, 100, 1_000, 10_000, 100_000), (
        Series("bare server", "bare", lambda x: Writers(size=x)),
        Series("module, sync", "module", lambda x: Readers(EMPTY, size=x)),
        Series("module, async", "module", lambda x: Readers(EMPTY_ASYNC, window=50, size=x), drain=True),
        Series("worker in Rust", "worker", lambda x: WorkerOf(size=x), drain=True),
    ), of_bytes),
    Curve("scale-fields", "Fields of an entry", "fields", (1, 3, 10, 30, 100), (
        Series("bare server", "bare", lambda x: Writers(fields=x)),
        Series("module, sync", "module", lambda x: Readers(EMPTY, fields=x)),
        Series("module, async", "module", lambda x: Readers(EMPTY_ASYNC, window=50, fields=x), drain=True),
        Series("worker in Rust", "worker", lambda x: WorkerOf(fields=x), drain=True),
    ), lambda x: max(10_000, ENTRIES // 4 // x)),
    Curve("scale-windows", "Entries of a stream that an async consumer may have at once", "window", (1, 10, 100, 1_000), (
        Series("bare server", "bare", lambda _: Writers()),
        Series("module, empty", "module", lambda x: Readers(EMPTY_ASYNC, window=x), drain=True),
        Series("module, INCR", "module", lambda x: Readers(INCR_ASYNC, window=x), drain=True),
    )),
]  # fmt: skip


def measure_all(curves: Iterable[Curve], options, measure: Callable[[Row, object], object]) -> list[dict]:
    """Every point of every curve, as many rounds as asked for."""
    results = []
    for curve in curves:
        rates: dict[tuple[str, int], list[float]] = {}
        for number in range(1, options.rounds + 1):
            for x in curve.xs:
                for series in curve.series:
                    what = f"round {number}/{options.rounds}: {curve.key} {x:,}, {series.title}"
                    with options.attempt(what):
                        rate = measure(series.at(curve, x), options).rps
                        rates.setdefault((series.title, x), []).append(rate)
                        options.progress(f"{what}: {rate:,.0f}/s")
        results.append(
            {
                "key": curve.key,
                "title": curve.title,
                "x": curve.x_title,
                "series": [
                    {
                        "title": one.title,
                        "kind": one.kind,
                        "points": [[x, rates[one.title, x]] for x in curve.xs if (one.title, x) in rates],
                    }
                    for one in curve.series
                ],
            }
        )
    return results


def measure_memory(options, streams: tuple[int, ...] = (10_000, 1_000_000)) -> list[dict]:
    """What a server takes with so many streams, without and with consumers of theirs that have nothing to do."""
    results = []
    for number in streams:
        for entries in (1, 10):
            used = {}
            for consumers in (0, 1, 2):
                with ThrowAway(options.server, options.deadline, options.module) as server:
                    if consumers:
                        Readers(EMPTY, consumers=consumers).start(server, options.deadline)
                    fill(server, number, entries)
                    if processed(server) != number * entries * consumers:
                        raise HarnessError("not all entries were processed")
                    used[consumers] = server.client.info("memory")["used_memory"], rss(server)
            results.append(
                {
                    "streams": number,
                    "entries": entries,
                    "first_consumer": round((used[1][0] - used[0][0]) / number),
                    "second_consumer": round((used[2][0] - used[1][0]) / number),
                    "used_memory": {str(key): value[0] for key, value in used.items()},
                    "rss": {str(key): value[1] for key, value in used.items()},
                }
            )
            options.progress(f"memory: {results[-1]}")
    return results


def measure_process(options) -> list[dict]:
    """What the process takes, with the module and more and more of it."""

    def sizes(title: str, module, consumer: Nobody) -> dict:
        with ThrowAway(options.server, options.deadline, module) as server:
            consumer.start(server, options.deadline)
            used = server.client.info("memory")["used_memory"]
            return {"title": title, "rss": rss(server), "used_memory": used}

    return [
        sizes("bare server", None, Nobody()),
        sizes("module, no library", options.module, Nobody()),
        *(
            sizes(f"module, {number} {'library' if number == 1 else 'libraries'}", options.module,
                  Readers(EMPTY, libraries=number))
            for number in (1, 10, 100)
        ),
    ]  # fmt: skip

