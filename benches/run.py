"""How fast a stream is written and processed, a function is called, and a key is set: with and without the module.

Prints four Markdown tables. README.md beside this file says what the rows mean and how to read them.
"""

import argparse
import contextlib
import csv
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from testing.launch import MODULE

try:
    import hiredis  # noqa: F401  (without it the Python worker would be slower than it has to be)
    import redis
except ImportError as missing:
    sys.exit(f"{missing}: run `make bench`, or `pip install redis hiredis` first")

from benches.consumers import RANDOM, Nobody
from benches.rows import BY_KEY, CLIENTS, GROUPS, PIPELINE, ROWS, Row, chosen_rows
from testing.launch import HOST, find_program
from testing.throw_away import ThrowAway
from testing.waits import HarnessError, wait_for

NATIVE = "libnative.so"


@dataclass(frozen=True)
class Sample:
    """What one run of a row gave."""

    # Entries or calls.
    entries: int
    # As many per second: the figure of the table.
    rps: float
    # What redis-benchmark itself reported: the same, or how fast the writers were before the drain.
    client_rps: float


@dataclass
class Result:
    """All runs of a row; the ratios are to the baseline's and to the twin's run of the same round."""

    row: Row
    samples: list[Sample] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    twin_ratios: list[float] = field(default_factory=list)
    error: str | None = None

    def add(self, sample: Sample, samples: dict[str, Sample]) -> None:
        """One more run, with those of its round."""
        self.samples.append(sample)
        self.ratios.append(sample.rps / samples[self.row.baseline].rps)
        if self.row.twin:
            self.twin_ratios.append(sample.rps / samples[self.row.twin].rps)

    def median_rps(self) -> float:
        """The figure for the table."""
        return statistics.median(sample.rps for sample in self.samples)


def send(consumer: Nobody, row: Row, port: int, requests: int, options: argparse.Namespace) -> float:
    """Sends a command with redis-benchmark, again and again, and returns the rate that it reports."""
    deadline = options.deadline
    command = [
        options.benchmark, "-h", HOST, "-p", str(port), "-c", str(CLIENTS), "-P", str(row.pipeline),
        "-n", str(requests),
        *(("-r", str(consumer.values)) if any(RANDOM in word for word in consumer.command) else ()),
        "--csv", *consumer.command,
    ]  # fmt: skip
    try:
        run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=deadline)
    except subprocess.TimeoutExpired:
        raise HarnessError(f"redis-benchmark did not end within {deadline:.0f} s") from None
    if run.returncode != 0:
        raise HarnessError(f"redis-benchmark failed: {run.stdout}{run.stderr}")
    *_, (_test, rps, *_) = csv.reader(run.stdout.splitlines())
    return float(rps)


def module_of(row: Row, options: argparse.Namespace) -> Path:
    """The module that a row is about: the one without JavaScript is beside the other, or where that is built."""
    if not row.native:
        return options.module
    beside = options.module.with_name(NATIVE)
    return beside if beside.exists() else Path(MODULE).with_name(NATIVE)


def measure(row: Row, options: argparse.Namespace) -> Sample:
    """Runs one row on a server of its own."""
    requests = min(options.requests, row.max_requests or options.requests)
    requests = math.ceil(requests / row.multiple) * row.multiple
    module = module_of(row, options) if row.module else None
    consumer = row.consumer()
    with ThrowAway(options.server, options.deadline, module) as server:
        print(f"{row.key} (server pid {server.pid})", end=" ", file=sys.stderr, flush=True)
        try:
            sample = measure_on(server, consumer, row, requests, options)
            consumer.check(server)
            return sample
        finally:
            consumer.stop()


def measure_on(
    server: ThrowAway, consumer: Nobody, row: Row, requests: int, options: argparse.Namespace
) -> Sample:
    """Has the clients send, and sees to it that all of it has been done and processed."""
    if not row.backlog:
        consumer.start(server, options.deadline)
    start = time.monotonic()
    client_rps = send(consumer, row, server.port, requests, options)
    entries = consumer.count(server)
    if entries < requests:
        raise HarnessError(f"the server has done {entries} of {requests}")
    if row.backlog:
        start = time.monotonic()
        consumer.start(server, options.deadline)
    if row.drain or row.backlog:
        wait_for("the last entry's turn", lambda: consumer.is_done(server, entries), options.deadline)
        return Sample(entries, entries / (time.monotonic() - start), client_rps)
    if not consumer.is_done(server, entries):
        raise HarnessError("the last answer came before everything was processed")
    return Sample(entries, client_rps, client_rps)


def measure_all(rows: list[Row], options: argparse.Namespace) -> list[Result]:
    """All rows in turn, as many rounds as asked for; a row that fails is left out from then on."""
    results = [Result(row) for row in rows]
    for number in range(1, options.rounds + 1):
        samples: dict[str, Sample] = {}
        for result in results:
            row = result.row
            if result.error:
                continue
            missing = {row.baseline, row.twin or row.key} - {row.key} - set(samples)
            if missing:
                result.error = f"there is no {' and no '.join(sorted(missing))} to compare with"
                continue
            print(f"round {number}/{options.rounds}:", end=" ", file=sys.stderr)
            try:
                sample = measure(row, options)
            except (HarnessError, redis.RedisError) as error:
                result.error = str(error)
                print("FAILED:", error, *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)
                continue
            samples[row.key] = sample
            result.add(sample, samples)
            print(f"{sample.rps:,.0f}/s, {ratio(result.ratios[-1])} of {row.baseline}", file=sys.stderr)
    return results


def machine_and_server(options: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on beside the code."""
    with ThrowAway(options.server, options.deadline) as server:
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


def tables(context: dict[str, object], results: list[Result]) -> str:
    """The results as Markdown."""
    lines = [
        "{server} on {cores} cores (load {load_before} before); redis-benchmark -c {clients} "
        "-P {pipeline} -n {requests}; {rounds} rounds, medians".format(**context),
    ]
    for group, head in (
        ("streams", "| row | entries/s | ratio to bare XADD (min–max) |\n|---|---:|---:|"),
        (
            "options",
            "| row | entries/s | ratio to bare XADD (min–max) | ratio (min–max) | to |\n|---|---:|---:|---:|---|",
        ),
        (
            "functions",
            "| row | calls/s | ratio (min–max) | to | ratio to a module's command (min–max) |\n|---|---:|---:|---|---:|",
        ),
        ("triggers", "| row | SETs/s | ratio to bare SET (min–max) |\n|---|---:|---:|"),
    ):
        chosen = [result for result in results if result.row in GROUPS[group]]
        if chosen:
            lines += ["", head, *(line(result, group) for result in chosen)]
    return "\n".join(lines)


def line(result: Result, group: str) -> str:
    """A row as Markdown."""
    cells = [result.row.title]
    cells += ["failed", ""] if result.error else [f"{result.median_rps():,.0f}", spread(result.ratios)]
    if group == "functions":
        cells += [BY_KEY[result.row.baseline].title, spread(result.twin_ratios)]
    elif group == "options":
        twin = BY_KEY[result.row.twin].title if result.row.twin else ""
        cells += [spread(result.twin_ratios), twin]
    return f"| {' | '.join(cells)} |"


def spread(ratios: list[float]) -> str:
    """The median, the smallest and the largest one; empty where there are none."""
    if not ratios:
        return ""
    low, middle, high = (f(ratios) for f in (min, statistics.median, max))
    return f"{ratio(middle)} ({ratio(low)}–{ratio(high)})"


def ratio(value: float) -> str:
    """A ratio with two digits that mean something."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def rows_as_data(results: list[Result]) -> list[dict]:
    """The results with each single run, for JSON."""
    return [
        {
            "row": result.row.key,
            "title": result.row.title,
            "error": result.error,
            "rps": [round(sample.rps, 1) for sample in result.samples],
            "baseline": result.row.baseline,
            "ratio": [round(one, 4) for one in result.ratios],
            "twin": result.row.twin,
            "twin_ratio": [round(one, 4) for one in result.twin_ratios],
            "client_rps": [sample.client_rps for sample in result.samples],
            "entries": [sample.entries for sample in result.samples],
        }
        for result in results
    ]


class Attempts:
    """Goes on with the next figure where one fails, and knows which did."""

    def __init__(self, progress: Callable[[str], None]):
        self.failed: list[str] = []
        self._progress = progress

    @contextlib.contextmanager
    def __call__(self, what: str):
        try:
            yield
        except (HarnessError, redis.RedisError, OSError) as error:
            self.failed.append(what)
            self._progress("\n".join([f"FAILED: {what}:", str(error), *getattr(error, "__notes__", [])]))


def positive(text: str) -> int:
    """An argument that has to be a number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def arguments(description: str) -> argparse.ArgumentParser:
    """What this program and full.py have in common on their command lines."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=positive, default=3, help="how often each row is run")
    parser.add_argument("--requests", type=positive, default=400_000, help="entries, calls or SETs per run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single run, as JSON")
    parser.add_argument("--module", type=Path, default=Path(MODULE), help="default: %(default)s")
    parser.add_argument("--deadline", type=positive, default=120, metavar="SECONDS",
                        help="how long a single step of a run may take")  # fmt: skip
    return parser


def prepare(options: argparse.Namespace, rows: list[Row]) -> None:
    """Finds the programs, and the modules that the rows need."""
    options.server = find_program("REDIS_SERVER", "redis-server")
    beside = Path(options.server).parent
    options.benchmark = find_program(
        "REDIS_BENCHMARK",
        beside / "redis-benchmark",
        beside / "valkey-benchmark",
        "redis-benchmark",
    )
    for module in {module_of(row, options) for row in rows if row.module}:
        if not module.exists():
            raise HarnessError(f"no module at {module}: run `make bench` first")


def main() -> None:
    """Measures what the command line asks for; ends with 1 if a row failed."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=chosen_rows, default=ROWS, metavar="KEY,KEY",
                        help=f"only these: {', '.join([*GROUPS, *BY_KEY])}")  # fmt: skip
    options = parser.parse_args()
    try:
        prepare(options, options.rows)
        context = machine_and_server(options)
    except HarnessError as error:
        sys.exit(f"bench: {error}")
    results = measure_all(options.rows, options)
    print(tables(context, results))
    if options.json:
        options.json.write_text(json.dumps({"context": context, "rows": rows_as_data(results)}, indent=2) + "\n")
    if any(result.error for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
