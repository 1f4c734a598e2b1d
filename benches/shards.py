"""What one, two and three shards of a cluster process: entries per second in all, and the processor time of each entry.

    python -m benches.shards
    python -m benches.shards --rounds 5 --requests 240000 --json shards.json

Twelve streams lie spread over the slots, so each shard has as many as the others. Each stream has a writer of its own,
`redis-benchmark -c 4 -P 16`: the writers are the same, however many shards there are. Three clusters, of one, two and
three shards without replicas, run at once, and the rounds go through all of them. Prints a Markdown table.

    bare        the module is loaded, and no library
    sync        an empty function
    sync-incr   a function that does an INCR, of a key in the stream's slot
    async-50    an empty async function with window 50

Writers and shards share the cores of this machine, so the rates say what that gives and no more. What a machine would
give that has a core for each thread follows from the processor time, which the kernel counts for each thread
(`schedstat`) and in which others do not run: `main` is that of the servers' main threads, `all` that of all their
threads, and `of a shard` the entries per second that its busiest thread has time for.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benches.run import positive, ratio, spread
from testing.cluster import SLOTS, Cluster, Node, directories_in, slot_of
from testing.launch import HOST, find_program
from testing.replies import fields
from testing.waits import HarnessError, wait_for

SHARDS = (1, 2, 3)
STREAMS = 12
CLIENTS = 4
PIPELINE = 16
PREFIX = "stream:"
COUNTER = "processed:"
INCR = f'(client, data) => {{ client.call("INCR", "{COUNTER}" + data.stream_name.slice({len(PREFIX)})); }}'
# Each reader: its window and its callback.
READERS = {
    "bare": None,
    "sync": (1, "() => {}"),
    "sync-incr": (1, INCR),
    "async-50": (50, "async () => {}"),
}
LIBRARY = "bench"


def tags() -> list[str]:
    """Hash tags whose slots lie in the middle of as many equal ranges."""
    wanted = [SLOTS * (2 * at + 1) // (2 * STREAMS) for at in range(STREAMS)]
    of_slot = {slot_of(f"{{{number}}}"): f"{{{number}}}" for number in range(20 * SLOTS)}
    return [of_slot[slot] for slot in wanted]


@dataclass(frozen=True)
class Sample:
    """What one run gave: entries per second, and nanoseconds of processor time for each entry."""

    rps: float
    main_ns: float
    all_ns: float
    # Of the thread that took the most, for each entry of its own shard; the median of the shards.
    busiest_ns: float


def thread_times(node: Node) -> dict[int, int]:
    """Nanoseconds that each thread of a server has run."""
    pid = node.process.pid
    times = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        times[int(thread.name)] = int((thread / "schedstat").read_text().split()[0])
    return times


def load(cluster: Cluster, reader: tuple[int, str] | None) -> None:
    """No library, or one with that reader, on all shards."""
    node = cluster.primaries()[0]
    if LIBRARY in node.libraries():
        cluster.change(lambda: node.run("RG.FUNCTION", "DEL", LIBRARY))
    if reader:
        window, callback = reader
        cluster.load(f'redis.register_stream_consumer("c", "{PREFIX}", {window}, false, {callback});', name=LIBRARY)


def is_processed(nodes: Iterable[Node], entries: int) -> bool:
    """Whether that many entries are done, in all, and no more of them, and none failed."""
    found = [fields(node.run("RG.CONSUMER", "INFO", LIBRARY, "c")) for node in nodes]
    failures = sum(one["failures"] for one in found)
    processed = sum(one["processed"] for one in found)
    if failures or processed > entries:
        raise HarnessError(f"{processed} of {entries} entries were processed, {failures} calls failed")
    return processed == entries


def measure(cluster: Cluster, kind: str, streams: list[str], options: argparse.Namespace) -> Sample:
    """Has the writers write, and waits until all is processed."""
    nodes = cluster.primaries()
    # redis-benchmark sends whole pipelines, of all its clients.
    unit = CLIENTS * PIPELINE
    each = math.ceil(options.requests / len(streams) / unit) * unit
    entries = each * len(streams)
    load(cluster, READERS[kind])
    owners = {tag: cluster.owner(PREFIX + tag) for tag in streams}
    before = [thread_times(node) for node in nodes]
    start = time.monotonic()
    writers = [
        subprocess.Popen(
            [
                *(options.benchmark, "-h", HOST, "-p", str(owner.port)),
                *("-c", str(CLIENTS), "-P", str(PIPELINE), "-n", str(each), "--csv"),
                *("XADD", PREFIX + tag, "*", "field", "value"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for tag, owner in owners.items()
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=options.deadline)
        if writer.returncode:
            raise HarnessError(f"redis-benchmark failed: {errors.decode(errors='replace')}")
    if READERS[kind]:
        wait_for("the last entry's turn", lambda: is_processed(nodes, entries), options.deadline)
    seconds = time.monotonic() - start
    times = [
        {thread: now - was.get(thread, 0) for thread, now in thread_times(node).items()}
        for node, was in zip(nodes, before, strict=True)
    ]
    added = sum(owner.run("XLEN", PREFIX + tag) for tag, owner in owners.items())
    if added != entries:
        raise HarnessError(f"the servers have {added} of {entries} entries")
    if kind == "sync-incr":
        effects = sum(int(owner.run("GET", COUNTER + tag)) for tag, owner in owners.items())
        if effects != entries:
            raise HarnessError(f"{entries} entries were processed, {effects} effects are there")
    for tag, owner in owners.items():
        owner.run("DEL", PREFIX + tag, COUNTER + tag)
    of_a_shard = entries / len(nodes)
    return Sample(
        rps=entries / seconds,
        main_ns=sum(of[node.process.pid] for of, node in zip(times, nodes, strict=True)) / entries,
        all_ns=sum(sum(of.values()) for of in times) / entries,
        busiest_ns=statistics.median(max(of.values()) / of_a_shard for of in times),
    )


def table(samples: dict[int, dict[str, list[Sample]]]) -> str:
    """The medians as Markdown, with ratios to one shard in the same round."""
    lines = [
        "| reader | shards | entries/s in all | ratio to one shard (min–max) | main, µs | all, µs | of a shard |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for kind in READERS:
        for shards, kinds in samples.items():
            runs = kinds[kind]
            ratios = [run.rps / one.rps for run, one in zip(runs, samples[SHARDS[0]][kind], strict=True)]
            [rps, main, all_of, busiest] = [
                statistics.median(getattr(run, name) for run in runs)
                for name in ("rps", "main_ns", "all_ns", "busiest_ns")
            ]
            compared = ratio(1) if shards == SHARDS[0] else spread(ratios)
            lines.append(
                f"| {kind} | {shards} | {rps:,.0f} | {compared} | {main / 1e3:.2f} | {all_of / 1e3:.2f} "
                f"| {1e9 / busiest:,.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measures all readers on all clusters, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=3, help="how often each is measured (3)")
    parser.add_argument("--requests", type=positive, default=240_000, help="entries of a run, of all streams (240,000)")
    parser.add_argument("--deadline", type=positive, default=120, help="seconds that a step may take (120)")
    parser.add_argument("--json", type=Path, help="a file for every figure")
    options = parser.parse_args()
    options.benchmark = find_program("REDIS_BENCHMARK", "redis-benchmark")
    streams = tags()
    samples: dict[int, dict[str, list[Sample]]] = {shards: {kind: [] for kind in READERS} for shards in SHARDS}
    clusters: dict[int, Cluster] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        try:
            for shards in SHARDS:
                clusters[shards] = Cluster(directories_in(directory), shards=shards, replicas=0)
            for number in range(1, options.rounds + 1):
                print(f"round {number}/{options.rounds}", file=sys.stderr)
                for kind in READERS:
                    for shards, cluster in clusters.items():
                        samples[shards][kind].append(measure(cluster, kind, streams, options))
        finally:
            for cluster in clusters.values():
                cluster.kill()
    print(f"{os.cpu_count()} cores (load {os.getloadavg()[0]:.2f}); {options.requests} entries, {options.rounds} rounds\n")
    print(table(samples))
    if options.json:
        data = {shards: {kind: [asdict(run) for run in runs] for kind, runs in of.items()} for shards, of in samples.items()}
        options.json.write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()
