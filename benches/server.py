"""A throw-away redis-server, and how long anything here may take."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis

HOST = "127.0.0.1"
# Enough for a whole crash report.
LOG_LINES_SHOWN = 400


class BenchError(Exception):
    """A row that could not be measured, with the reason as its text."""


def wait_for(what: str, condition: Callable[[], bool], deadline: float) -> None:
    """Polls `condition` until it holds; `BenchError` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"{what}: not reached within {deadline:.0f} s")
        time.sleep(0.005)


def find_program(variable: str, *candidates: str | Path) -> str:
    """The program that the environment variable names, else the first candidate there is."""
    wanted = [os.environ[variable]] if os.environ.get(variable) else candidates
    for program in wanted:
        found = shutil.which(program)
        if found:
            return found
    raise BenchError(f"no such program: {', '.join(map(str, wanted))} (set {variable})")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Server:
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
        self.port = free_port()
        self.client = redis.Redis(
            host=HOST, port=self.port, protocol=2, decode_responses=True, socket_timeout=deadline
        )
        self._deadline = deadline
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="bench-")
        self.directory = directory or Path(self._temporary.name)
        self.log = self.directory / "server.log"
        self._command = [
            program,
            *("--bind", HOST, "--port", str(self.port)),
            *("--save", "", "--appendonly", "no"),
            *("--dir", str(self.directory), "--logfile", str(self.log)),
            *(("--loadmodule", str(module)) if module else ()),
            *options,
        ]

    def __enter__(self) -> "Server":
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
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
            raise BenchError(f"the server ended with code {self._process.returncode}")
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
