"""What it costs to watch a server with very many streams: INFO, RG.CONSUMER INFO, and the exporter's readings.

Of each, while all streams stand in one way and then in another: how long so many calls of it took, and the PINGs of another
client meanwhile. Prints a table.

    python -m benches.watching --streams 200000
"""

import argparse
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benches import page, run
from benches.latency import Connection, words
from benches.scale import fill
from benches.stalls import CONSUMERS, LIBRARY, is_at_rest, know_streams, pinging
from testing.throw_away import ThrowAway
from testing.waits import HarnessError, wait_for

CLI = Path(__file__).parents[1] / "cli" / "dist" / "src" / "main.js"
OWNER = "watched"
# A reading of the exporter comes after a pause, as a scrape does.
SCRAPE_PAUSE = 0.05
Read = Callable[[], None]


@contextmanager
def exporting(server: ThrowAway, deadline: float) -> Iterator[Read]:
    """`gears exporter` at the server; gives what reads all its metrics, once."""
    url = f"redis://127.0.0.1:{server.port}"
    command = ["node", str(CLI), "exporter", "--url", url, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        # Serving http://127.0.0.1:9121/metrics
        address = process.stdout.readline().split()[-1]

        def scrape() -> None:
            time.sleep(SCRAPE_PAUSE)
            with urllib.request.urlopen(address, timeout=deadline) as answer:
                text = answer.read().decode()
            if "redisgears_up 1" not in text.splitlines():
                raise HarnessError(f"the exporter does not reach the server: {text}")

        yield scrape
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@contextmanager
def asking(server: ThrowAway, deadline: float, *command: str) -> Iterator[Read]:
    """A client that sends the command; gives what does it once, and reads the reply without a look at it."""
    connection = Connection(server.port, deadline)
    end = "the end of the reply"

    def ask() -> None:
        connection.send(words(*command) + words("ECHO", end))
        if not connection.skip(end.encode() + b"\r\n"):
            raise HarnessError(f"{' '.join(command)} was refused")

    try:
        yield ask
    finally:
        connection.close()


# What is measured, and whether it waits between calls.
WAYS: dict[str, tuple[float, Callable]] = {
    "`INFO everything`": (0, lambda server, deadline: asking(server, deadline, "INFO", "everything")),
    "`RG.CONSUMER INFO`, sync": (0, lambda server, deadline: asking(server, deadline, "RG.CONSUMER", "INFO", "bench", "one")),
    "`RG.CONSUMER INFO`, async": (0, lambda server, deadline: asking(server, deadline, "RG.CONSUMER", "INFO", "bench", "two")),
    "a reading of `gears exporter`": (SCRAPE_PAUSE, exporting),
}  # fmt: skip


def figures_of(server: ThrowAway, consumer: str) -> dict:
    """What RG.CONSUMER INFO says."""
    reply = server.client.execute_command("RG.CONSUMER", "INFO", "bench", consumer)
    return dict(zip(reply[::2], reply[1::2], strict=True))


def let_all_be_done(server: ThrowAway, streams: int, deadline: float) -> None:
    """Every entry is done."""
    fill(server, streams)
    know_streams(server, streams, deadline)


def leave_one_of_each(server: ThrowAway, streams: int, deadline: float) -> None:
    """Of every stream there is an entry that is not read: the consumers are paused."""
    for consumer in CONSUMERS:
        server.client.execute_command("RG.CONSUMER", "PAUSE", "bench", consumer)
    fill(server, streams)
    for consumer in CONSUMERS:
        if figures_of(server, consumer)["backlog_entries"] != streams:
            raise HarnessError(f"{consumer} is not behind in every stream: {figures_of(server, consumer)}")


def load_anew(server: ThrowAway, streams: int, deadline: float) -> None:
    """The same, and nobody has counted what there is: as after a restart."""
    server.client.execute_command("DEBUG", "RELOAD")
    known = lambda: all(figures_of(server, consumer)["streams"] == streams for consumer in CONSUMERS)  # noqa: E731
    wait_for("all streams", known, deadline)


def block_all(server: ThrowAway, streams: int, deadline: float) -> None:
    """The consumers' owner may not read any of the streams."""
    server.client.execute_command("RG.FUNCTION", "DEL", "bench")
    server.client.execute_command("ACL", "SETUSER", OWNER, "on", "nopass", "~other:*", "+@all")
    server.client.execute_command("RG.FUNCTION", "LOAD", "OWNER", OWNER, LIBRARY)
    blocked = lambda: all(figures_of(server, consumer)["blocked_streams"] == streams for consumer in CONSUMERS)  # noqa: E731
    wait_for("all streams to be blocked", blocked, deadline)


# One after the other, on the same server.
STATES: dict[str, Callable[[ThrowAway, int, float], None]] = {
    "all done": let_all_be_done,
    "all behind": leave_one_of_each,
    "all behind, after a restart": load_anew,
    "all blocked": block_all,
}


def measure(options: argparse.Namespace) -> list[list[str]]:
    """A line of the table for each way and state."""
    lines = []
    settings = ("--enable-debug-command", "yes")
    with ThrowAway(options.server, options.deadline, options.module, settings) as server, pinging(server) as pings:
        for state, bring_about in STATES.items():
            print(f"{state}, {options.streams:,} streams", file=sys.stderr)
            bring_about(server, options.streams, options.deadline)
            wait_for("rest", lambda: is_at_rest(server), options.deadline)
            for way, (pause, begin) in WAYS.items():
                with begin(server, options.deadline) as read:
                    read()
                    pings()
                    times = []
                    for _ in range(options.calls):
                        start = time.perf_counter()
                        read()
                        times.append((time.perf_counter() - start - pause) * 1e3)
                    of_pings = pings()
                spread = " / ".join(f"{f(times):.2f}" for f in (min, statistics.median, max))
                lines.append([state, way, spread, f"{of_pings['worst']:.1f} ({of_pings['p99']:.1f})"])
    return lines


def main() -> None:
    """Measures, and prints the table."""
    parser = run.arguments(__doc__.splitlines()[0])
    parser.add_argument("--streams", type=run.positive, default=200_000, help="that both consumers know")
    parser.add_argument("--calls", type=run.positive, default=50, help="of each way in each state")
    options = parser.parse_args()
    try:
        run.prepare(options, [run.BY_KEY["sync"]])
        if not CLI.exists():
            raise HarnessError(f"no {CLI}: run `npm run build` in cli/ first")
        context = run.machine_and_server(options)
        lines = measure(options)
    except HarnessError as error:
        sys.exit("\n".join([f"watching: {error}", *getattr(error, "__notes__", [])]))
    print("{server} on {cores} cores (load {load_before} before)\n".format(**context))
    print(page.markdown(["all streams are", "call", "min / p50 / max, ms", "slowest PING (p99), ms"], lines))


if __name__ == "__main__":
    main()
