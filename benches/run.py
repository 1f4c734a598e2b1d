"""How fast a stream is written and processed: with and without the module, and by a Python worker.

Prints a Markdown table. README.md beside this file says what the rows mean and how to read them.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

try:
    import hiredis  # noqa: F401  (without it the Python worker would be slower than it has to be)
    import redis
except ImportError as missing:
    sys.exit(f"{missing}: run `make bench`, or `pip install redis hiredis` first")

from consumers import EMPTY, EMPTY_ASYNC, STREAM, TO_JSON, Library, Nobody, Worker
from server import HOST, BenchError, Server, find_program, wait_for

CLIENTS = 50
PIPELINE = 16
MODULE = Path(__file__).resolve().parent.parent / "target" / "release" / "libredisgears.so"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    key: str
    title: str
    consumer: Callable[[], Nobody] = Nobody
    module: bool = True
    # Whether the clock runs on until the consumer has processed everything. Where it does not,
    # everything has to be processed by the time that the last XADD is answered.
    drain: bool = False
    # A slow consumer gets fewer entries: the rate is what counts.
    max_requests: int | None = None


BARE = Row("bare", "bare XADD, no module", module=False)

# fmt: off
ROWS = [
    BARE,
    Row("idle", "module loaded, no library"),
    Row("other-prefix", "library whose prefix does not match",
        lambda: Library(EMPTY, prefix="other:")),
    Row("sync", "sync consumer, empty",
        lambda: Library(EMPTY)),
    Row("sync-trim", "sync consumer, empty, trim",
        lambda: Library(EMPTY, trim=True)),
    Row("sync-json", "sync consumer, entry to JSON",
        lambda: Library(TO_JSON)),
    Row("async-1", "async consumer, empty, window 1; drained",
        lambda: Library(EMPTY_ASYNC, window=1), drain=True),
    Row("async-50", "async consumer, empty, window 50; drained",
        lambda: Library(EMPTY_ASYNC, window=50), drain=True),
    Row("async-50-trim", "async consumer, empty, window 50, trim; drained",
        lambda: Library(EMPTY_ASYNC, window=50, trim=True), drain=True),
    Row("async-50-json", "async consumer, entry to JSON, window 50; drained",
        lambda: Library(f"async {TO_JSON}", window=50), drain=True),
    Row("worker-100", "Python XREADGROUP worker, COUNT 100, trim; drained",
        lambda: Worker(100), module=False, drain=True),
    Row("worker-1", "Python XREADGROUP worker, COUNT 1, trim; drained",
        lambda: Worker(1), module=False, drain=True, max_requests=20_000),
]
# fmt: on


@dataclass(frozen=True)
class Sample:
    """What one run of a row gave."""

    entries: int
    # Entries per second: the figure of the table.
    rps: float
    # What redis-benchmark itself reported: the same, or how fast the writers were before the drain.
    xadd_rps: float


@dataclass
class Result:
    """All runs of a row; `ratios` are to the bare XADD of the same round."""

    row: Row
    samples: list[Sample] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    error: str | None = None

    def add(self, sample: Sample, bare: Sample) -> None:
        """One more run, with the bare XADD of its round."""
        self.samples.append(sample)
        self.ratios.append(sample.rps / bare.rps)

    def median_rps(self) -> float:
        """The figure for the table."""
        return statistics.median(sample.rps for sample in self.samples)


def add_entries(program: str, port: int, requests: int, deadline: float) -> float:
    """Writes the entries with redis-benchmark and returns the rate that it reports."""
    command = [
        program, "-h", HOST, "-p", str(port), "-c", str(CLIENTS), "-P", str(PIPELINE),
        "-n", str(requests), "--csv", "XADD", STREAM, "*", "field", "value",
    ]  # fmt: skip
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=deadline)
    except subprocess.TimeoutExpired:
        raise BenchError(f"redis-benchmark did not end within {deadline:.0f} s") from None
    if run.returncode != 0:
        raise BenchError(f"redis-benchmark failed: {run.stdout}{run.stderr}")
    *_, (_test, rps, *_) = csv.reader(run.stdout.splitlines())
    return float(rps)


def measure(row: Row, options: argparse.Namespace) -> Sample:
    """Runs one row on a server of its own."""
    requests = min(options.requests, row.max_requests or options.requests)
    module = options.module if row.module else None
    consumer = row.consumer()
    with Server(options.server, options.deadline, module) as server:
        print(f"{row.key} (server pid {server.pid})", end=" ", file=sys.stderr, flush=True)
        try:
            consumer.start(server, options.deadline)
            return measure_on(server, consumer, row, requests, options)
        finally:
            consumer.stop()


def measure_on(
    server: Server, consumer: Nobody, row: Row, requests: int, options: argparse.Namespace
) -> Sample:
    """Writes the entries and sees to it that all of them have been added and processed."""
    start = time.monotonic()
    xadd_rps = add_entries(options.benchmark, server.port, requests, options.deadline)
    entries = server.client.xinfo_stream(STREAM)["entries-added"]
    if entries < requests:
        raise BenchError(f"the stream got {entries} entries instead of {requests}")
    if row.drain:
        wait_for(
            "the last entry's turn", lambda: consumer.is_done(server, entries), options.deadline
        )
        return Sample(entries, entries / (time.monotonic() - start), xadd_rps)
    if not consumer.is_done(server, entries):
        raise BenchError("XADD was answered before all entries were processed")
    return Sample(entries, xadd_rps, xadd_rps)


def measure_all(rows: list[Row], options: argparse.Namespace) -> list[Result]:
    """All rows in turn, as many rounds as asked for; a row that fails is left out from then on."""
    results = [Result(row) for row in rows]
    for number in range(1, options.rounds + 1):
        bare = None
        for result in results:
            if result.error:
                continue
            print(f"round {number}/{options.rounds}:", end=" ", file=sys.stderr)
            try:
                sample = measure(result.row, options)
            except (BenchError, redis.RedisError) as error:
                result.error = str(error)
                print("FAILED:", error, *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)
                if bare is None:
                    sys.exit("there is nothing to compare with")
                continue
            bare = bare or sample
            result.add(sample, bare)
            print(f"{sample.rps:,.0f}/s, {ratio(result.ratios[-1])} of bare", file=sys.stderr)
    return results


def machine_and_server(options: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on beside the code."""
    with Server(options.server, options.deadline) as server:
        version = server.version()
    return {
        "server": version,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "clients": CLIENTS,
        "pipeline": PIPELINE,
        "requests": options.requests,
        "rounds": options.rounds,
    }


def table(context: dict[str, object], results: list[Result]) -> str:
    """The results as Markdown."""
    lines = [
        "{server} on {cores} cores (load {load_before} before); redis-benchmark -c {clients} "
        "-P {pipeline} -n {requests}; {rounds} rounds, medians".format(**context),
        "",
        "| row | entries/s | ratio to bare XADD (min–max) |",
        "|---|---:|---:|",
    ]
    for result in results:
        if result.error:
            figures = "failed | "
        else:
            low, middle, high = (f(result.ratios) for f in (min, statistics.median, max))
            figures = f"{result.median_rps():,.0f} | {ratio(middle)} ({ratio(low)}–{ratio(high)})"
        lines.append(f"| {result.row.title} | {figures} |")
    return "\n".join(lines)


def ratio(value: float) -> str:
    """A ratio with two digits that mean something."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def as_json(context: dict[str, object], results: list[Result]) -> str:
    """The results with each single run."""
    rows = [
        {
            "row": result.row.key,
            "title": result.row.title,
            "error": result.error,
            "rps": [sample.rps for sample in result.samples],
            "ratio": result.ratios,
            "xadd_rps": [sample.xadd_rps for sample in result.samples],
            "entries": [sample.entries for sample in result.samples],
        }
        for result in results
    ]
    return json.dumps({"context": context, "rows": rows}, indent=2)


def positive(text: str) -> int:
    """An argument that has to be a number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def chosen_rows(text: str) -> list[Row]:
    """The rows of a comma-separated list, in the table's order, the bare one always among them."""
    wanted = set(text.split(","))
    unknown = wanted - {row.key for row in ROWS}
    if unknown:
        known = ", ".join(row.key for row in ROWS)
        raise argparse.ArgumentTypeError(f"no row {', '.join(sorted(unknown))}; there are: {known}")
    return [row for row in ROWS if row is BARE or row.key in wanted]


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=3, help="how often each row is run")
    parser.add_argument("--requests", type=positive, default=400_000, help="entries per run")
    parser.add_argument("--rows", type=chosen_rows, default=ROWS, metavar="KEY,KEY",
                        help=f"only these rows: {', '.join(row.key for row in ROWS)}")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single run, as JSON")
    parser.add_argument("--module", type=Path, default=MODULE, help="default: %(default)s")
    parser.add_argument("--deadline", type=positive, default=120, metavar="SECONDS",
                        help="how long a single step of a run may take")  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Measures what the command line asks for; ends with 1 if a row failed."""
    options = parse_options()
    try:
        options.server = find_program("REDIS_SERVER", "redis-server")
        beside = Path(options.server).parent
        options.benchmark = find_program(
            "REDIS_BENCHMARK",
            beside / "redis-benchmark",
            beside / "valkey-benchmark",
            "redis-benchmark",
        )
        if any(row.module for row in options.rows) and not options.module.exists():
            raise BenchError(f"no module at {options.module}: run `make build` first")
        context = machine_and_server(options)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    results = measure_all(options.rows, options)
    print(table(context, results))
    if options.json:
        options.json.write_text(as_json(context, results) + "\n")
    if any(result.error for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
