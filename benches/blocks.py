"""How often async code gets the server's lock while clients keep the main thread busy, and what that costs them.

    python -m benches.blocks                                      # prints Markdown
    python -m benches.blocks --rounds 5 --seconds 5 --json blocks.json
    python -m benches.blocks --module before.so                   # another module

Eight clients call an async function that runs one command in `client.block`; beside them others set keys, in several ways:
many at once, in pipelines, few, and large values, which the server reads piece by piece. Each is measured without the blocks
as well. Figures are medians of the rounds, of the wait for the lock the longest of all.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testing.launch import HOST, MODULE, find_program
from testing.throw_away import ThrowAway
from testing.waits import HarnessError

CALLERS = 8
# Seconds until a load is what it is.
WARM_UP = 0.5
# More than are sent in any time.
ENDLESS = 10**9

LIBRARY = """#!js name=bench
let blocks = 0;
let longest = 0;
redis.register_function('block', client => client.run_on_background(async client => {
    const asked = Date.now();
    return client.block(client => {
        longest = Math.max(longest, Date.now() - asked);
        blocks += 1;
        return client.call('INCR', 'blocks');
    });
}));
redis.register_function('take', () => {
    const figures = JSON.stringify({ blocks, longest });
    blocks = 0;
    longest = 0;
    return figures;
});
"""


@dataclass(frozen=True)
class Load:
    """What other clients do, in the words of redis-benchmark; nothing if there are none."""

    title: str
    words: tuple[str, ...] = ()


LOADS = [
    Load("nothing"),
    Load("SET, 50 clients", ("-c", "50")),
    Load("SET, 50 clients, pipelines of 32", ("-c", "50", "-P", "32")),
    Load("SET, 4 clients", ("-c", "4")),
    Load("SET of 200 KB, 8 clients", ("-c", "8", "-d", "200000")),
]


@dataclass(frozen=True)
class Sample:
    """What one round of a load gave."""

    # Each second.
    blocks: float
    # Commands of others each second: beside the blocks, and without them.
    others: float
    alone: float
    # Milliseconds.
    longest: int


@contextlib.contextmanager
def clients(options: argparse.Namespace, port: int, *words: str) -> Iterator[None]:
    """redis-benchmark, for as long as the context lasts."""
    command = [options.benchmark, "-h", HOST, "-p", str(port), "-n", str(ENDLESS), "-q", "--csv", *words]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        if process.poll() is not None:
            raise HarnessError(f"redis-benchmark ended with code {process.returncode}")
    finally:
        process.kill()
        process.wait()


def measure(load: Load, server: ThrowAway, options: argparse.Namespace) -> Sample:
    """One round of a load."""
    with contextlib.ExitStack() as running:
        alone = 0.0
        if load.words:
            running.enter_context(clients(options, server.port, *load.words, "-t", "set", "-r", "10000"))
            alone, _ = rates(server, options.seconds)
        call = ("RG.FCALL", "bench", "block", "0")
        running.enter_context(clients(options, server.port, "-c", str(CALLERS), *call))
        others, figures = rates(server, options.seconds)
    if figures["blocks"] == 0:
        raise HarnessError(f"{load.title}: no block ran")
    # A call of the function is a command, and so is what its block runs.
    others = max(0.0, others - 2 * figures["blocks"]) if load.words else 0.0
    return Sample(figures["blocks"], others, alone, figures["longest"])


def rates(server: ThrowAway, seconds: float) -> tuple[float, dict]:
    """Commands each second, and what the library counted: its blocks each second, and the longest wait."""
    time.sleep(WARM_UP)
    server.client.execute_command("RG.FCALL", "bench", "take", 0)
    before, start = server.client.info("stats")["total_commands_processed"], time.monotonic()
    time.sleep(seconds)
    figures = json.loads(server.client.execute_command("RG.FCALL", "bench", "take", 0))
    commands = server.client.info("stats")["total_commands_processed"] - before
    took = time.monotonic() - start
    return commands / took, {**figures, "blocks": figures["blocks"] / took}


def table(samples: dict[str, list[Sample]]) -> str:
    """Markdown."""
    lines = [
        "| others do | blocks/s | longest wait for the lock, ms | their commands/s | to those without blocks |",
        "|---|---:|---:|---:|---:|",
    ]
    for title, rounds in samples.items():
        blocks = statistics.median(one.blocks for one in rounds)
        longest = max(one.longest for one in rounds)
        others = statistics.median(one.others for one in rounds)
        ratio = statistics.median(one.others / one.alone if one.alone else 0.0 for one in rounds)
        beside = f"{others:,.0f} | {ratio:.2f}" if others else " | "
        lines.append(f"| {title} | {blocks:,.0f} | {longest} | {beside} |")
    return "\n".join(lines)


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each load is measured (3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="for how long, with blocks and without (2)")
    parser.add_argument("--module", type=Path, default=Path(MODULE), help="another module")
    parser.add_argument("--deadline", type=float, default=60, help="seconds that a single step may take (60)")
    parser.add_argument("--json", type=Path, help="a file for every round")
    options = parser.parse_args(arguments)
    options.server = os.environ.get("REDIS_SERVER", "redis-server")
    options.benchmark = find_program("REDIS_BENCHMARK", "redis-benchmark")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Measures, and prints."""
    options = options_of(arguments)
    samples: dict[str, list[Sample]] = {load.title: [] for load in LOADS}
    with ThrowAway(options.server, options.deadline, options.module) as server:
        server.client.execute_command("RG.FUNCTION", "LOAD", LIBRARY)
        for number in range(options.rounds):
            for load in LOADS:
                samples[load.title].append(measure(load, server, options))
                print(f"round {number + 1}/{options.rounds}: {load.title}: {samples[load.title][-1]}", file=sys.stderr)
        print(f"{server.version()}, {options.rounds} rounds, {CALLERS} callers\n\n{table(samples)}")
    if options.json:
        rounds = {title: [vars(one) for one in some] for title, some in samples.items()}
        options.json.write_text(json.dumps(rounds, indent=2) + "\n")


if __name__ == "__main__":
    main()
