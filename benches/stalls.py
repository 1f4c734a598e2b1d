"""How long each operation holds up everybody else on a server with very many streams that consumers know.

Of each: the PINGs of another client from its beginning until the server is at rest again, and the time of the main thread.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benches import pinger
from benches.latency import Connection, words
from benches.scale import fill, processed
from testing.throw_away import ThrowAway
from testing.waits import wait_for

CONSUMERS = ("one", "two")
LIBRARY = """#!js name=bench
redis.register_stream_consumer("one", "stream:", 1, false, () => {});
redis.register_stream_consumer("two", "stream:", 1, false, async () => {});
"""
# At rest: the main thread has taken so small a part of so many seconds.
REST_PART = 0.2
REST_SECONDS = 0.3
END = "the end of the reply"


def is_saved(server: ThrowAway) -> bool:
    """Whether no child writes a dump or another append-only file."""
    persistence = server.client.info("persistence")
    return not persistence["rdb_bgsave_in_progress"] and not persistence["aof_rewrite_in_progress"]


@dataclass(frozen=True)
class Operation:
    """What is done while others want an answer. `is_over`: when what it began is. `forks`: its fork is not counted."""

    key: str
    commands: tuple[tuple[str, ...], ...]
    is_over: Callable[[ThrowAway], bool] = lambda _: True
    forks: bool = False


OPERATIONS = (
    Operation("idle", ()),
    Operation("INFO", (("INFO", "everything"),)),
    *(
        Operation(" ".join(["LIST", *word]), (("RG.FUNCTION", "LIST", *word),))
        for word in ((), ("v",), ("vv",), ("vvv",))
    ),
    Operation("STREAMS", (("RG.CONSUMER", "STREAMS", "bench", "two", "COUNT", "1000"),)),
    Operation("STREAMS BYLAG", (("RG.CONSUMER", "STREAMS", "bench", "two", "COUNT", "1000", "BYLAG"),)),
    Operation("UPGRADE", (("RG.FUNCTION", "LOAD", "UPGRADE", LIBRARY),)),
    Operation("SWAPDB", (("SWAPDB", "0", "1"), ("SWAPDB", "0", "1"))),
    # Nobody listens there.
    Operation("to replica", (("REPLICAOF", "127.0.0.1", "1"),)),
    Operation("to primary", (("REPLICAOF", "NO", "ONE"),)),
    Operation("BGSAVE", (("BGSAVE",),), is_saved, forks=True),
    Operation("BGREWRITEAOF", (("BGREWRITEAOF",),), is_saved, forks=True),
    Operation("DEL", (("RG.FUNCTION", "DEL", "bench"),)),
    # The server frees the keys on another thread.
    Operation("FLUSHALL ASYNC", (("FLUSHALL", "ASYNC"),)),
)  # fmt: skip


def main_thread_ms(server: ThrowAway) -> float:
    """What the main thread has had of a processor."""
    path = Path(f"/proc/{server.pid}/task/{server.pid}/schedstat")
    return int(path.read_text().split()[0]) / 1e6


def is_at_rest(server: ThrowAway) -> bool:
    """Whether the main thread sleeps mostly; takes a while to find out."""
    before = main_thread_ms(server)
    time.sleep(REST_SECONDS)
    return main_thread_ms(server) - before < REST_PART * REST_SECONDS * 1e3


@contextmanager
def pinging(server: ThrowAway):
    """Another client at the server; gives what tells of its time since it was last asked."""
    process = subprocess.Popen(
        [sys.executable, pinger.__file__, str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask() -> dict[str, float]:
        process.stdin.write("\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait()


def run(server: ThrowAway, operation: Operation, deadline: float) -> bool:
    """Runs the commands, and reads their replies without a look at them, however long they are; false if one is refused."""
    connection = Connection(server.port, deadline)
    try:
        for command in operation.commands:
            connection.send(words(*command) + words("ECHO", END))
            if not connection.skip(END.encode() + b"\r\n"):
                return False
    finally:
        connection.close()
    wait_for(f"the end of {operation.key}", lambda: operation.is_over(server) and is_at_rest(server), deadline)
    return True


def know_streams(server: ThrowAway, streams: int, deadline: float) -> None:
    """The consumers are there and know all streams."""
    server.client.execute_command("RG.FUNCTION", "LOAD", LIBRARY)
    wait_for("all entries", lambda: processed(server) == streams * len(CONSUMERS), deadline)


def measure(server_program: str, module: Path, streams: int, deadline: float) -> dict[str, dict[str, float]]:
    """Of each operation what PINGs took, in milliseconds, and what the main thread had of a processor.

    Of operations that the module does not have yet there is nothing."""
    results = {}
    with ThrowAway(server_program, deadline, module) as server:
        fill(server, streams)
        know_streams(server, streams, deadline)
        with pinging(server) as ask:
            for operation in OPERATIONS:
                if operation.key.startswith("FLUSHALL"):
                    know_streams(server, streams, deadline)
                wait_for("rest", lambda: is_at_rest(server), deadline)
                ask()
                before = main_thread_ms(server)
                if not run(server, operation, deadline):
                    continue
                result = ask()
                if operation.forks:
                    fork_ms = server.client.info("stats")["latest_fork_usec"] / 1e3
                    result["fork"] = fork_ms
                    result["worst"] = round(max(result["p99"], result["worst"] - fork_ms), 3)
                results[operation.key] = {**result, "main_thread": round(main_thread_ms(server) - before, 1)}
    return results
