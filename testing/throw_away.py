"""A server for one measurement or load, without persistence."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import redis

from testing.launch import HOST, end, launch
from testing.waits import HarnessError, wait_for

# Enough for a whole crash report.
LOG_LINES_SHOWN = 400


class ThrowAway:
    """A server without persistence, in a directory of its own, gone when the `with` block ends.

    `options` are further words of its command line. A `directory` that is given is left as it is at the end.
    """

    def __init__(
        self,
        program: str,
        deadline: float,
        module: Path | None = None,
        options: Sequence[str] = (),
        directory: Path | None = None,
    ):
        self._deadline = deadline
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="bench-")
        self.directory = directory or Path(self._temporary.name)
        self.log = self.directory / "server.log"
        self._start = lambda: launch(
            program, self.directory, self.log, *options, settings=("--save", "", "--appendonly", "no"), module=module
        )

    def __enter__(self) -> "ThrowAway":
        self._process, self.port = self._start()
        self.client = redis.Redis(
            host=HOST, port=self.port, protocol=2, decode_responses=True, socket_timeout=self._deadline
        )
        try:
            wait_for("the server's first PONG", self._answers, self._deadline)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, _kind, error: BaseException | None, _traceback) -> None:
        if isinstance(error, Exception):
            error.add_note(self._log_tail())
        self.client.close()
        end(self._process)
        if self._temporary:
            self._temporary.cleanup()

    @property
    def pid(self) -> int:
        """The server's process id, for a profiler."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def version(self) -> str:
        """Name and version of the server."""
        info = self.client.info("server")
        name = info.get("server_name", "redis")
        return f"{name} {info.get(f'{name}_version', info['redis_version'])}"

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise HarnessError(f"the server ended with code {self._process.returncode}")
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    def _log_tail(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(the server wrote no log)"
        return "\n".join(["--- server log, its end:", *lines[-LOG_LINES_SHOWN:]])
