"""The goals of the project, and how far from them a module is; or several modules, in interleaved rounds.

    python -m benches.goals --modules before.so after.so --rounds 3 --json goals.json
    python -m benches.goals memory latency                        # only these parts

Prints a table: what is wanted, and of each module the median with the smallest and the largest value. One server: the one
that REDIS_SERVER names.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benches import latency, page, run, scale, stalls
from testing.waits import HarnessError

# The least that a row may be of the one it is compared with: the baseline, or the twin.
SHARES = {
    "sync": 0.55, "sync-incr": 0.40, "async-50": None, "async-50-incr": None, "js-empty": 1.0,
}  # fmt: skip
TWIN_SHARES = {
    "js-get": 0.95, "js-set": 0.95, "js-incr": 0.95, "js-get-10": 0.95, "js-incr-10": 0.95,
    "async-retry": 0.85, "async-order": 0.85,
}  # fmt: skip
RATES = {"js-async": 150_000}
ROWS = (*SHARES, *TWIN_SHARES, *RATES)
PING_WORST_MS, PING_P99_MS = 20, 5
# What one round of a module gave, by part. A part that failed is not in it.
Figures = dict[str, dict]


@dataclass(frozen=True)
class Goal:
    """A figure, and what it is to be; `bound` is `None` where it is only to be no worse than before."""

    title: str
    read: Callable[[Figures], float]
    bound: float | None
    at_most: bool = True
    show: Callable[[float], str] = page.count

    def wanted(self) -> str:
        """For the table."""
        if self.bound is None:
            return ""
        return f"{'≤' if self.at_most else '≥'} {self.show(self.bound)}"

    def figure(self, rounds: list[Figures]) -> str:
        """The median of the rounds that have it, and whether that will do."""
        values = self.values(rounds)
        if not values or self.bound is None:
            return page.spread(values, self.show)
        middle = statistics.median(values)
        is_met = middle <= self.bound if self.at_most else middle >= self.bound
        return f"{page.spread(values, self.show)} {'✓' if is_met else '✗'}"

    def values(self, rounds: list[Figures]) -> list[float]:
        """Of each round that has it."""
        values = []
        for one in rounds:
            try:
                values.append(self.read(one))
            except KeyError:
                continue
        return values


def decimal(value: float) -> str:
    """Milliseconds, or megabytes."""
    return f"{value:,.1f}"


def of_fastest_worker(key: str, name: str) -> Callable[[Figures], float]:
    """A percentile, as a share of the best of the workers'."""

    def read(figures: Figures) -> float:
        ways = figures["latency"]
        return ways[key][name] / min(ways[way.key][name] for way in latency.WAYS if not way.module)

    return read


def row_title(key: str) -> str:
    """A row, and what it is compared with."""
    row = run.BY_KEY[key]
    other = run.BY_KEY[row.twin if key in TWIN_SHARES else row.baseline]
    return f"{row.title}: share of {other.title}"


GOALS = [
    *(
        Goal(f"bytes a stream, {which} consumer, {entries} of each", lambda it, at=f"{which}, {entries}": it["memory"][at], bound)
        for which, bound in (("first", 200), ("second", 64))
        for entries in ("1 entry", "10 entries")
    ),
    *(
        Goal(f"{operation.key}: {text} PING, ms", lambda it, at=operation.key, name=name: it["stalls"][at][name],
             bound if operation.commands else None, show=decimal)
        # What it is where nothing is done, is for comparison.
        for operation in stalls.OPERATIONS
        for name, text, bound in (("worst", "slowest", PING_WORST_MS), ("p99", "p99", PING_P99_MS))
    ),
    *(
        Goal(row_title(key), lambda it, key=key: it["rows"][key]["ratio"], bound, at_most=False, show=page.ratio)
        for key, bound in SHARES.items()
    ),
    *(
        Goal(row_title(key), lambda it, key=key: it["rows"][key]["twin_ratio"], bound, at_most=False, show=page.ratio)
        for key, bound in TWIN_SHARES.items()
    ),
    *(
        Goal(f"{run.BY_KEY[key].title}: per second", lambda it, key=key: it["rows"][key]["rps"], bound, at_most=False)
        for key, bound in RATES.items()
    ),
    *(
        Goal(f"{way.title}: {name}, µs", lambda it, key=way.key, name=name: it["latency"][key][name], None)
        for way in latency.WAYS
        for name in latency.PERCENTILES
    ),
    *(
        Goal(f"{way.title}: {name}, share of the fastest worker's", of_fastest_worker(way.key, name), 1.0, show=page.ratio)
        for way in latency.WAYS
        if way.module
        for name in latency.PERCENTILES
    ),
    *(
        Goal(f"RSS, {title}, MB", lambda it, title=title: it["process"][title] / 1e6, None, show=decimal)
        for title in ("module, no library", "module, 1 library", "module, 10 libraries")
    ),
]


def measure_memory(options: argparse.Namespace) -> dict:
    """Bytes a stream."""
    figures = {}
    for one in scale.measure_memory(options, (options.streams,)):
        entries = "1 entry" if one["entries"] == 1 else f"{one['entries']} entries"
        figures |= {f"{which}, {entries}": one[f"{which}_consumer"] for which in ("first", "second")}
    return figures


def measure_rows(options: argparse.Namespace) -> dict:
    """Rates, and what they are of those that they are compared with."""
    results = run.rows_as_data(run.measure_all(run.chosen_rows(",".join(ROWS)), options))
    options.attempt.failed += [one["row"] for one in results if one["error"]]
    return {
        one["row"]: {"rps": one["rps"][0], "ratio": one["ratio"][0], **({"twin_ratio": one["twin_ratio"][0]} if one["twin"] else {})}
        for one in results
        if not one["error"]
    }


# The parts of a round.
PARTS: dict[str, Callable[[argparse.Namespace], dict]] = {
    "rows": measure_rows,
    "latency": lambda options: {one["key"]: one["rounds"][0] for one in latency.measure_all(options)},
    "process": lambda options: {one["title"]: one["rss"] for one in scale.measure_process(options)},
    "memory": measure_memory,
    "stalls": lambda options: stalls.measure(options.server, options.module, options.streams, options.deadline),
}
# Without noise: once is enough.
ONCE = ("memory", "process")


def table(rounds: dict[str, list[Figures]]) -> str:
    """All goals of which something is known, as Markdown."""
    lines = []
    for goal in GOALS:
        figures = [goal.figure(of_module) for of_module in rounds.values()]
        if any(figures):
            lines.append([goal.title, goal.wanted(), *figures])
    return page.markdown(["goal", "wanted", *rounds], lines)


def measure_all(parts: list[str], modules: dict[str, Path], options: argparse.Namespace, keep: Callable[[dict], None]) -> dict:
    """Every part of every module in turn, as many rounds as asked for."""
    rounds: dict[str, list[Figures]] = {name: [{} for _ in range(options.interleaved)] for name in modules}
    for number in range(options.interleaved):
        for part in parts:
            if number and part in ONCE:
                continue
            for name, module in modules.items():
                what = f"round {number + 1}/{options.interleaved}: {part}, {name}"
                options.progress(what)
                options.module = module
                with options.attempt(what):
                    rounds[name][number][part] = PARTS[part](options)
                    keep(rounds)
    return rounds


def main() -> None:
    """Measures, and prints the table; ends with 1 if something failed."""
    parser = run.arguments(__doc__.splitlines()[0])
    parser.set_defaults(requests=200_000)
    parser.add_argument("--modules", type=Path, nargs="+", metavar="FILE", help="instead of --module: as many as are to be compared")
    parser.add_argument("--streams", type=run.positive, default=1_000_000, help="for memory and stalls")
    parser.add_argument("--latency-requests", type=run.positive, default=5_000, help="entries per way and round")
    parser.add_argument("parts", choices=[*PARTS, []], nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    options = parser.parse_args()
    # A round of each module at a time.
    options.interleaved, options.rounds = options.rounds, 1
    options.progress = lambda text: print(text, file=sys.stderr)
    options.attempt = attempts = run.Attempts(options.progress)
    modules = {path.name: path.absolute() for path in options.modules or [options.module]}
    parts = options.parts or list(PARTS)
    try:
        if len(modules) < len(options.modules or []):
            raise HarnessError("the modules' file names have to be different")
        for options.module in modules.values():
            run.prepare(options, run.chosen_rows(",".join(ROWS)) if "rows" in parts else [run.BY_KEY["sync"]])
        context = run.machine_and_server(options) | {"rounds": options.interleaved, "streams": options.streams}
    except HarnessError as error:
        sys.exit(f"goals: {error}")

    def keep(rounds: dict) -> None:
        if options.json:
            options.json.write_text(json.dumps({"context": context, "modules": rounds}, indent=1) + "\n")

    rounds = measure_all(parts, modules, options, keep)
    print("{server} on {cores} cores (load {load_before} before); {rounds} interleaved rounds, medians (min–max)\n".format(**context))
    print(table(rounds))
    if attempts.failed:
        sys.exit(f"goals: failed: {', '.join(attempts.failed)}")


if __name__ == "__main__":
    main()
