"""What Python costs beside JavaScript: the rate of one Gear in both languages, the time to load, and memory.

    python -m benches.python                                   # everything, with the goals
    python -m benches.python --rounds 5 --requests 200000 rate # only these parts: rate, load, idle

The Gear is that of the page about streaming of RedisGears 1, which keeps each entry under a key of its ID. Prints
Markdown; ends with 1 if a goal is missed. Each goal stands beside its figure.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from benches import run
from benches.consumers import Nobody
from benches.scale import rss
from testing.launch import MODULE
from testing.replies import fields
from testing.throw_away import ThrowAway
from testing.waits import HarnessError

PARTS = ("rate", "load", "idle")
# The goals.
SHARE_OF_JAVASCRIPT = 0.45
LOAD_MS = 120
LIBRARY_MB = 12

MODES = ("sync", "async")
GEARS = {
    "JavaScript": (
        "RG.JSEXECUTE",
        "GearsBuilder('StreamReader').foreach(x => execute('set', x['streamId'], JSON.stringify(x)))"
        ".register('s1', {{ mode: '{mode}' }})",
    ),
    "Python": (
        "RG.PYEXECUTE",
        "GearsBuilder('StreamReader').foreach(lambda x: execute('set', x['streamId'], str(x)))"
        ".register('s1', mode='{mode}')",
    ),
}
# How many libraries are loaded behind the first one, which reads the runtime.
LIBRARIES = 20


class Gear(Nobody):
    """The Gear, in one of the languages and modes."""

    command = ("XADD", "s1", "*", "field", "value")

    def __init__(self, language: str, mode: str):
        command, code = GEARS[language]
        self._words = (command, code.format(mode=mode), "ID", "bench")

    def count(self, server: ThrowAway) -> int:
        return server.client.xinfo_stream("s1")["entries-added"]

    def start(self, server: ThrowAway, deadline: float) -> None:
        server.client.execute_command(*self._words)

    def is_done(self, server: ThrowAway, entries: int) -> bool:
        [found] = server.client.execute_command("RG.DUMPREGISTRATIONS")
        data = fields(fields(found)["RegistrationData"])
        if data["numFailures"] != 0:
            raise HarnessError(f"a step failed: {data['lastError']}")
        return data["numSuccess"] == entries

    def check(self, server: ThrowAway) -> None:
        # One for each entry, and the stream.
        wanted = server.client.xinfo_stream("s1")["entries-added"] + 1
        if server.client.dbsize() != wanted:
            raise HarnessError(f"{server.client.dbsize()} keys, expected {wanted}")


def rows() -> list[run.Row]:
    """In each mode, the Gear in JavaScript, and then in Python."""
    return [
        run.Row(
            f"{language}-{mode}",
            f"{language}, {mode}",
            lambda language=language, mode=mode: Gear(language, mode),
            drain=mode == "async",
            baseline=f"JavaScript-{mode}",
        )
        for mode in MODES
        for language in GEARS
    ]


@dataclass
class Figure:
    """A line of the table: what was measured, and what it is to be, if anything."""

    title: str
    text: str
    goal: str = ""
    is_met: bool = True

    def line(self) -> str:
        """As Markdown."""
        mark = "" if not self.goal else " ✓" if self.is_met else " ✗"
        return f"| {self.title} | {self.text}{mark} | {self.goal} |"


def measure_rate(options: argparse.Namespace) -> list[Figure]:
    """Entries a second, and the share of JavaScript's in the same round."""
    figures = []
    for result in run.measure_all(rows(), options):
        if result.error:
            raise HarnessError(result.error)
        figures.append(Figure(f"{result.row.title}, entries/s", f"{result.median_rps():,.0f}"))
        if result.row.key != result.row.baseline:
            share = statistics.median(result.ratios)
            title = f"{result.row.title}, share of JavaScript (min–max)"
            goal = f"≥ {SHARE_OF_JAVASCRIPT}"
            figures.append(Figure(title, run.spread(result.ratios), goal, share >= SHARE_OF_JAVASCRIPT))
    return figures


def measure_load(options: argparse.Namespace) -> list[Figure]:
    """How long the first library takes, and each further one; what they take of the machine's memory and of V8's."""
    figures = []
    for language, (command, code) in GEARS.items():
        times, heaps, resident = [], [], []
        with ThrowAway(options.server, options.deadline, options.module) as server:
            for number in range(LIBRARIES + 1):
                start = time.perf_counter()
                server.client.execute_command(command, code.format(mode="sync"), "ID", f"lib{number}")
                times.append(1000 * (time.perf_counter() - start))
                resident.append(rss(server) / 1e6)
            info = server.client.info("everything")
            heaps = [value["used_heap"] / 1e6 for name, value in info.items() if "redisgears_2_library_lib" in name]
        later = statistics.median(times[1:])
        each = (resident[-1] - resident[0]) / LIBRARIES
        is_goal = language == "Python"
        figures += [
            Figure(f"{language}, first library of a process, ms", f"{times[0]:.0f}"),
            Figure(f"{language}, each further library, ms (min–max)",
                   f"{later:.0f} ({min(times[1:]):.0f}–{max(times[1:]):.0f})",
                   f"≤ {LOAD_MS}" if is_goal else "", later <= LOAD_MS),
            Figure(f"{language}, V8's heap of a library, MB (min–max)",
                   f"{statistics.median(heaps):.1f} ({min(heaps):.1f}–{max(heaps):.1f})",
                   f"≤ {LIBRARY_MB}" if is_goal else "", statistics.median(heaps) <= LIBRARY_MB),
            Figure(f"{language}, resident for each further library, MB", f"{each:.1f}",
                   f"≤ {LIBRARY_MB}" if is_goal else "", each <= LIBRARY_MB),
        ]  # fmt: skip
    return figures


def measure_idle(options: argparse.Namespace) -> list[Figure]:
    """What a server takes that has the module, and no Python: until its first reply, and of memory."""
    figures = []
    for module in map(Path.resolve, options.modules or [options.module]):
        starts, sizes = [], []
        for _ in range(max(options.rounds, 5)):
            start = time.perf_counter()
            with ThrowAway(options.server, options.deadline, module) as server:
                starts.append(1000 * (time.perf_counter() - start))
                sizes.append(rss(server) / 1e6)
        title = f"no library, {module.name}" if options.modules else "no library"
        figures += [
            Figure(f"{title}, start, ms (min–max)",
                   f"{statistics.median(starts):.0f} ({min(starts):.0f}–{max(starts):.0f})"),
            Figure(f"{title}, resident, MB (min–max)",
                   f"{statistics.median(sizes):.1f} ({min(sizes):.1f}–{max(sizes):.1f})"),
        ]  # fmt: skip
    return figures


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[], help="all of them where none is named")
    parser.add_argument("--rounds", type=run.positive, default=3)
    parser.add_argument("--requests", type=run.positive, default=100_000, help="entries per run")
    parser.add_argument("--module", type=Path, default=Path(MODULE))
    parser.add_argument("--modules", type=Path, nargs="+", help="for idle: these beside one another")
    parser.add_argument("--deadline", type=run.positive, default=120, metavar="SECONDS")
    options = parser.parse_args()
    measures = {"rate": measure_rate, "load": measure_load, "idle": measure_idle}
    figures = []
    try:
        run.prepare(options, rows())
        for part in options.parts or PARTS:
            figures += measures[part](options)
    except (HarnessError, redis.RedisError) as error:
        sys.exit("\n".join([f"bench: {error}", *getattr(error, "__notes__", [])]))
    print("| | measured | goal |\n|---|---:|---:|")
    print("\n".join(figure.line() for figure in figures))
    if not all(figure.is_met for figure in figures if figure.goal):
        sys.exit(1)


if __name__ == "__main__":
    main()
