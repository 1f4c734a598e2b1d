"""What a sync callback costs who writes: how long an XADD takes, by what the callback does and by the size of the entry.

    python -m benches.writers                                     # prints Markdown
    python -m benches.writers --rounds 5 --requests 20000 --json writers.json

One client adds entries one after another, as a writer sees it that waits for each reply. Beside what it waits stands the
time that the server's main thread computes for each entry, which others on the machine change little: it says how many
entries a second there can be. Callbacks take turns in each round, and figures are medians of the rounds.
"""

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benches.consumers import STREAM
from benches.latency import Connection, summary, words
from testing.launch import MODULE
from testing.replies import fields
from testing.throw_away import ThrowAway
from testing.waits import HarnessError, wait_for

SIZES = {"100 B": 100, "1 KB": 1024, "10 KB": 10 * 1024, "100 KB": 100 * 1024}
# Fewer of large entries: what they are made of, and how long the run takes, stays in bounds.
MOST_BYTES = 200 << 20
WARM_UP = 200
# Old entries go, whoever reads them, so that memory stays what it is.
MOST_ENTRIES = "200"


@dataclass(frozen=True)
class Callback:
    """What reads the stream; none where nothing does."""

    title: str
    code: str | None
    is_sync: bool = True


CALLBACKS = [
    Callback("no consumer", None),
    Callback("sync, empty", "() => {}"),
    Callback("sync, all fields as JSON", "(client, entry) => { JSON.stringify(entry.record); }"),
    Callback("sync, one command", "client => { client.call('HINCRBY', 'totals', 'anna', '1'); }"),
    Callback(
        "sync, ten commands",
        "client => { for (let at = 0; at < 10; at += 1) { client.call('HINCRBY', 'totals', 'anna', '1'); } }",
    ),
    Callback("sync, up to 1 ms of computing", "() => { for (const end = Date.now() + 1; Date.now() < end;); }"),
    Callback("async, one command", "async client => { client.block(locked => locked.call('INCR', 'n')); }", False),
]


def library(callback: Callback) -> str:
    """A library with that callback alone."""
    return f"#!js name=bench\nredis.register_stream_consumer('bench', '{STREAM}', 1, false, {callback.code});"


def measure(callback: Callback, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Microseconds of an XADD, by the size of its entry."""
    figures = {}
    with ThrowAway(options.server, options.deadline, options.module) as server:
        if callback.code is not None:
            server.client.execute_command("RG.FUNCTION", "LOAD", library(callback))
        writer = Connection(server.port, options.deadline)
        added = 0
        try:
            for title, size in SIZES.items():
                add = words("XADD", STREAM, "MAXLEN", "~", MOST_ENTRIES, "*", "field", "x" * size)
                requests = min(options.requests, max(WARM_UP, MOST_BYTES // size))
                samples = []
                for number in range(WARM_UP + requests):
                    if number == WARM_UP:
                        computed = main_thread(server)
                    start = time.perf_counter()
                    writer.send(add)
                    writer.receive(2)
                    samples.append(time.perf_counter() - start)
                added += WARM_UP + requests
                computed = (main_thread(server) - computed) / requests
                figures[title] = {**summary(samples[WARM_UP:]), "cpu": round(computed * 1e6, 1)}
        finally:
            writer.close()
        check(callback, server, added, options.deadline)
    return figures


def main_thread(server: ThrowAway) -> float:
    """Seconds that the server's main thread has computed."""
    info = server.client.info("cpu")
    return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])


def check(callback: Callback, server: ThrowAway, added: int, deadline: float) -> None:
    """Fails unless the callback has done its work, and nothing of it failed."""
    if callback.code is None:
        return

    def info() -> dict:
        return fields(server.client.execute_command("RG.CONSUMER", "INFO", "bench", "bench"))

    if callback.is_sync:
        if info()["processed"] != added:
            raise HarnessError(f"{callback.title}: {info()['processed']} of {added} entries were processed")
    else:
        # What was trimmed before a worker came to it is not processed.
        wait_for("an entry processed", lambda: info()["processed"] > 0, deadline)
    if info()["failures"]:
        raise HarnessError(f"{callback.title}: {info()['last_error']}")


def table(runs: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """Medians of the rounds, for each callback and size."""

    def median(callback: str, size: str, part: str) -> float:
        return statistics.median(run[size][part] for run in runs[callback])

    lines = [
        "| µs of an XADD: p50 / p99 / main thread | " + " | ".join(SIZES) + " |",
        "| --- |" + " ---: |" * len(SIZES),
    ]
    for title in runs:
        cells = (" / ".join(f"{median(title, size, part):,.0f}" for part in ("p50", "p99", "cpu")) for size in SIZES)
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Every callback, in turn, as many rounds as asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=5000, help="XADDs of each callback, size and round")
    parser.add_argument("--module", type=Path, default=MODULE)
    parser.add_argument("--server", default=os.environ.get("REDIS_SERVER", "redis-server"))
    parser.add_argument("--deadline", type=float, default=120)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: dict[str, list] = {callback.title: [] for callback in CALLBACKS}
    for number in range(options.rounds):
        for callback in CALLBACKS:
            print(f"round {number + 1}/{options.rounds}: {callback.title}", file=sys.stderr)
            runs[callback.title].append(measure(callback, options))
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1) + "\n")
    print(table(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
