"""Who reads the stream while it is written: nobody, a JavaScript library, or a Python worker."""

import subprocess
import sys
from pathlib import Path

from server import BenchError, Server, wait_for

STREAM = "stream:bench"
GROUP = "bench"
WORKER = Path(__file__).with_name("xreadgroup_worker.py")

EMPTY = "function () {}"
EMPTY_ASYNC = "async function () {}"
# What the first example of the documentation does with an entry, less the logging.
TO_JSON = """function (client, data) {
    JSON.stringify(data, (key, value) =>
        typeof value === "bigint" ? value.toString() : value
    );
}"""


class Nobody:
    """No reader; and what every reader has to offer."""

    def start(self, server: Server, deadline: float) -> None:
        """Is ready for entries when this returns."""

    def is_done(self, server: Server, entries: int) -> bool:
        """Whether all the `entries` of the stream are processed; called after the last XADD."""
        return True

    def stop(self) -> None:
        """Leaves nothing running."""


class Library(Nobody):
    """A library with one stream consumer."""

    def __init__(self, callback: str, window: int = 1, trim: bool = False, prefix: str = "stream:"):
        trim_flag = "true" if trim else "false"
        self._code = (
            "#!js name=bench\n"
            f'redis.register_stream_consumer("c", "{prefix}", {window}, {trim_flag}, {callback});'
        )
        self._matches = STREAM.startswith(prefix)

    def start(self, server: Server, deadline: float) -> None:
        server.client.execute_command("RG.FUNCTION", "LOAD", self._code)

    def is_done(self, server: Server, entries: int) -> bool:
        reply = server.client.execute_command("RG.FUNCTION", "LIST", "vv", "LIBRARY", "bench")
        consumer = fields(fields(reply[0])["stream_consumers"][0])
        streams = [fields(stream) for stream in consumer["streams"]]
        for stream in streams:
            if stream["last_error"] != "None":
                raise BenchError(f"the callback failed: {stream['last_error']}")
        processed = sum(stream["total_record_processed"] for stream in streams)
        expected = entries if self._matches else 0
        if processed > expected:
            raise BenchError(f"{processed} entries were processed, expected {expected}")
        return processed == expected


class Worker(Nobody):
    """A process of its own that reads through a consumer group, `count` entries at a time."""

    def __init__(self, count: int):
        self._count = count

    def start(self, server: Server, deadline: float) -> None:
        server.client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        self._process = subprocess.Popen(
            [sys.executable, WORKER, str(server.port), STREAM, GROUP, str(self._count)]
        )
        wait_for("the worker's first XREADGROUP", lambda: self._waits_for_entries(server), deadline)

    def is_done(self, server: Server, entries: int) -> bool:
        self._check_alive()
        last_added = server.client.xinfo_stream(STREAM)["last-generated-id"]
        [group] = server.client.xinfo_groups(STREAM)
        return group["last-delivered-id"] == last_added and group["pending"] == 0

    def stop(self) -> None:
        process = getattr(self, "_process", None)
        if process:
            process.kill()
            process.wait()

    def _waits_for_entries(self, server: Server) -> bool:
        self._check_alive()
        return server.client.info("clients")["blocked_clients"] == 1

    def _check_alive(self) -> None:
        if self._process.poll() is not None:
            raise BenchError(f"the worker ended with code {self._process.returncode}")


def fields(flat: list) -> dict:
    """The name/value pairs of a flat reply."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
