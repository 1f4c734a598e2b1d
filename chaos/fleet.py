"""Servers that are killed and started again on the same data.

Each life has a port and a log file of its own; the server appends to its log line by line, so a log tells all until the
kill. The log of a life that was checked is removed a few lives later.
"""

import re
import shutil
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from testing.launch import HOST, kill, launch
from testing.waits import HarnessError, wait_for

# The owner of one of the libraries: who loaded it has to survive as well.
OWNER = "chaos"
LOGS_KEPT = 4
# Another program may take the port before the server does.
ATTEMPTS = 3
PORT_TAKEN = re.compile("Failed listening on port|Could not create server TCP listening socket")
LOG_LINES_SHOWN = 15


class Node:
    """One server program with one data directory."""

    def __init__(self, options, directory, name):
        self.name = name
        self.port = 0
        self.client = None
        self._options = options
        self._directory = directory / name
        self._directory.mkdir(parents=True)
        self._process = None
        self._lives = 0
        # Log files, and how far they are read.
        self._logs = {}

    def start(self, *more):
        """A new life on the data that there is; comes back when the server answers."""
        for leftover in self._directory.glob("**/temp-*"):
            leftover.unlink()
        for attempt in range(1, ATTEMPTS + 1):
            self._lives += 1
            log = self._directory / f"server-{self._lives:04}.log"
            self._logs[log] = 0
            settings = (
                *("--save", "", "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"),
                *("--user", OWNER, "on", "nopass", "~*", "&*", "+@all"),
            )
            options = self._options
            self._process, self.port = launch(
                options.server, self._directory, log, *more, settings=settings, module=options.module
            )
            self.client = self.connect()
            try:
                wait_for(f"an answer of {self.name} after its start", self._answers, self._options.deadline)
                return
            except HarnessError:
                self.close()
                if attempt == ATTEMPTS or not PORT_TAKEN.search(self.tail()):
                    raise

    def connect(self, **more):
        """Another client of this life."""
        settings = {"host": HOST, "port": self.port, "protocol": 2, "decode_responses": True}
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(**settings, socket_timeout=self._options.deadline, retry=retry, **more)

    def is_alive(self):
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def check_alive(self):
        """`HarnessError` if the server ended by itself."""
        if not self.is_alive():
            code = self._process.returncode
            raise HarnessError(f"{self.name} ended by itself, with code {code}")

    def tail(self):
        """The end of the log."""
        try:
            lines = list(self._logs)[-1].read_text(errors="replace").splitlines()
        except (IndexError, FileNotFoundError):
            return "(the server wrote no log)"
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def version(self):
        """Name and version of the server."""
        info = self.client.info("server")
        name = info.get("server_name", "redis")
        return f"{name} {info.get(f'{name}_version', info['redis_version'])}"

    def has_units(self):
        """Whether what a module does behind a command becomes one transaction with it."""
        major, minor = self.client.info("server")["redis_version"].split(".")[:2]
        return (int(major), int(minor)) >= (7, 2)

    def kill(self):
        """SIGKILL, now. A child that is writing a file dies too: it would put it in the place of a later one."""
        self.check_alive()
        self._end()

    def repair_log(self):
        """Cuts off a transaction that the kill left half-written in the append-only file, with the server's own tool;
        whether there was one.

        Redis up to 8.0 itself cuts off the last command alone: the beginning of the transaction stays, what is written
        behind it becomes a part of it, and is lost or done twice at the next restart. Valkey 9 does it right, and its
        tool does not know its own RDB files.
        """
        program = Path(self._options.server)
        if program.name.startswith("valkey"):
            return False
        tool = shutil.which(program.with_name(program.name.replace("-server", "-check-aof")))
        [manifest] = self._directory.glob("appendonlydir/*.manifest")
        check = subprocess.run([tool, "--fix", manifest], input="y\n", capture_output=True, text=True, check=False)
        if check.returncode:
            raise HarnessError(f"{tool} does not mend the append-only file:\n{check.stdout[-1500:]}{check.stderr[-500:]}")
        return "Successfully truncated" in check.stdout

    def close(self):
        """The end of all lives."""
        if self._process:
            self._end()

    def _end(self):
        kill(self._process)
        self.client.close()

    def new_lines(self):
        """What was logged since the last call, in this life and the ones before."""
        lines = []
        for log, read in self._logs.items():
            try:
                with log.open("rb") as file:
                    file.seek(read)
                    new = file.read()
            except FileNotFoundError:
                continue
            new = new[: new.rfind(b"\n") + 1]
            self._logs[log] += len(new)
            lines += new.decode("utf-8", "backslashreplace").splitlines()
        return lines

    def forget_logs(self):
        """Removes logs that were read, but for the last ones."""
        for log in list(self._logs)[:-LOGS_KEPT]:
            log.unlink(missing_ok=True)
            del self._logs[log]

    def _answers(self):
        self.check_alive()
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False  # Not yet there, or loading.
