"""Mixed load on one server with the module, for half an hour or as long as wanted, and what must hold meanwhile.

    make soak
    python -m soak.run --minutes 5 --seed 7 --server ~/.cache/gears-servers/valkey-9/bin/valkey-server --replica

At work at the same time:

    callers         functions sync and async, in pipelines and transactions, with background parts, that fail,
                    that are not allowed (load.py, libraries/calls.js)
    writers         entries added by MULTI, Lua and functions (load.py)
    consumers       sync and async, with promises, one that adds to a stream of another (libraries/near.js, far.js)
    key writers     changes of keys by MULTI, pipelines and Lua, keys that expire, reads of no key (keys.py)
    triggers        sync and async, with promises, filters and a function at the event itself (libraries/keys.js)
    runners         GearsBuilder runs over keys, executions that are aborted, registrations that come and go (keys.py)
    troublemakers   loops and bombs for the heap in every place where code runs, triggers included (trouble.py,
                    libraries/hostile.js)
    deserters       clients that disconnect, or are killed, while they wait for a function or a run (trouble.py)
    churners        LOAD, UPGRADE and DEL of libraries that are called and consume streams (load.py, libraries/churn.js)
    administrator   CONFIG SET, upgrades of the working libraries, BGSAVE, BGREWRITEAOF, FLUSHDB of a scratch database

What must hold:

    * the server lives, and its log has no internal error
    * every answer is right and comes within the deadline, or the connection is closed
    * each call that counts counts once; each entry has its effects in each consumer once, and window 1 keeps the order
    * each change of a key is counted by each trigger that wants it once, with the value of that moment; none is dropped
    * runs give what the keys that stay hold; executions do not pile up
    * hostile code is answered with an error, and its library is as good as before
    * PING is answered fast, and at any time within what the limits allow
    * RSS is flat after the warm-up, and comes back when all libraries are deleted
    * threads and open files do not pile up
    * INFO agrees with RG.FUNCTION LIST, and events add up
    * at the end nothing is pending, the replica equals its primary, and so does what another server
      loads from the append-only file

Each violation is printed as it is found. The end is a summary; the exit code is 1 if there was any, and the server's
directory is then kept. The seed decides what each client does, but not how they interleave.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from testing.launch import MODULE

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as missing:
    sys.exit(f"{missing}: run `make soak`, or `pip install redis hiredis` first")

from soak.checks import Info, Log, Pinger, Process, empty, settle
from soak.keys import EXECUTIONS, FIXED, KeyWriter, Runner
from soak.load import HOSTILE, Administrator, Caller, Churner, Writer, load
from soak.record import Record
from soak.triggers import Triggers
from soak.trouble import Deserter, Troublemaker
from testing.launch import find_program
from testing.throw_away import ThrowAway
from testing.waits import HarnessError

TASKS = (
    *((Caller, 3), (Writer, 2), (KeyWriter, 2), (Runner, 2)),
    *((Troublemaker, 2), (Deserter, 1), (Churner, 2), (Administrator, 1)),
)
MODULE_ARGUMENTS = (
    *("execution-threads", "2"),
    *("library-maxmemory", str(64 << 20)),
    *("lock-redis-timeout", "500"),
    *("background-timeout", "2000"),
    *("max-executions", str(EXECUTIONS)),
)
LOOK_EVERY = 1.0
# Workers that stand in for stuck ones leave when there is nothing to do; connections are closed.
MORE_THREADS = 4
MORE_FILES = 20


class Soak:
    """One run: the server and what all parts have to know."""

    def __init__(self, options, directory):
        self.seed = options.seed
        self.deadline = options.deadline
        self.record = Record()
        self._options = options
        self._directory = directory
        self.server = self._start(options.module, "--appendonly", "yes")
        # Of the checks; there once the server runs.
        self.client = None
        self.replica = None

    def _start(self, module, *more, name="primary"):
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        arguments = MODULE_ARGUMENTS if module else ()
        options = (*arguments, "--enable-debug-command", "yes", *more)
        return ThrowAway(self._options.server, self.deadline, module, options, directory)

    @property
    def port(self):
        """The server's."""
        return self.server.port

    def is_alive(self):
        """Whether the server runs."""
        return self.server.is_alive()

    def connect(self):
        """A client for the checks."""
        settings = {"port": self.port, "protocol": 2, "decode_responses": True, "socket_timeout": self.deadline}
        return redis.Redis(**settings, retry=Retry(NoBackoff(), 0))

    def run(self):
        """All of it; gives the lines of the summary."""
        with self.server:
            if self._options.replica:
                primary = ("--replicaof", f"127.0.0.1 {self.port}")
                with self._start(self._options.module, *primary, name="replica") as self.replica:
                    lines, digest = self._work()
                    self._compare_replica(digest)
            else:
                lines, digest = self._work()
        if digest:
            self._compare_file(digest)
        return lines

    def _work(self):
        print(f"{self.server.version()}, pid {self.server.pid}, port {self.port}, seed {self.seed}", flush=True)
        self.client = self.connect()
        self.client.mset(FIXED)
        for library in ("calls", "near", "far", "keys"):
            self.client.execute_command(*load(library))
        for name in HOSTILE:
            self.client.execute_command(*load("hostile", name=name))
        pinger, process, log, info, triggers = Pinger(self), Process(self), Log(self), Info(self), Triggers(self)
        process.look()
        threads, files, rss = process.threads, process.files, process.rss()
        tasks = [kind(f"{kind.__name__.lower()}-{number}", self) for kind, count in TASKS for number in range(count)]
        pinger.start()
        for task in tasks:
            task.start()
        self._watch((pinger, process, log, info, triggers))
        self._end_tasks(tasks)
        lines, digest = [*pinger.end(), *process.end()], None
        if self.is_alive():
            settle(self, info, triggers)
            lines += triggers.end()
            lines.append(empty(self, process, rss))
            if process.threads > threads + MORE_THREADS:
                self.record.violation("threads", f"{process.threads} at the end, {threads} at the beginning")
            if process.files > files + MORE_FILES:
                self.record.violation("open files", f"{process.files} at the end, {files} at the beginning")
            digest = self.client.execute_command("DEBUG", "DIGEST")
        lines.append(f"threads {threads}, then {process.threads}, at most {process.most_threads}")
        lines.append(f"open files {files}, then {process.files}")
        log.look()
        return lines, digest

    def _watch(self, watches):
        end = time.monotonic() + self._options.minutes * 60
        while time.monotonic() < end and not self.record.stop.wait(LOOK_EVERY):
            try:
                for watch in watches:
                    watch.look()
            except redis.TimeoutError:
                self.record.violation("stuck", f"no answer to the checks within {self.deadline} s")
                break
            except redis.ConnectionError as error:
                if self.is_alive():
                    self.record.violation("connection lost", f"the checks': {error}")
            if not self.is_alive():
                self.record.violation("the server died", f"see {self.server.log}")
                break
        self.record.stop.set()

    def _end_tasks(self, tasks):
        end = time.monotonic() + 2 * self.deadline
        for task in tasks:
            task.join(max(end - time.monotonic(), 0))
            if task.is_alive():
                self.record.violation("stuck", f"{task.name} does not end")
            elif self.is_alive():
                task.client.close()

    def _compare_replica(self, digest):
        if not digest:
            return
        self.server.client.execute_command("WAIT", 1, int(self.deadline * 1000))
        theirs = self.replica.client.execute_command("DEBUG", "DIGEST")
        if theirs != digest:
            self.record.violation("replica", f"its data is {theirs}, the primary's {digest}")

    def _compare_file(self, digest):
        with self._start(self._options.module, "--appendonly", "yes") as again:
            theirs = again.client.execute_command("DEBUG", "DIGEST")
        if theirs != digest:
            self.record.violation("append-only file", f"it gives {theirs}, the data was {digest}")


def parse_options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="how long (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="default: any")
    parser.add_argument("--server", help="default: REDIS_SERVER, else redis-server")
    parser.add_argument("--module", type=Path, default=Path(MODULE), help="default: MODULE, else %(default)s")
    parser.add_argument("--deadline", type=float, default=30, metavar="SECONDS",
                        help="for every answer (%(default)s)")  # fmt: skip
    parser.add_argument("--replica", action="store_true", help="with a replica")
    return parser.parse_args()


def main():
    """One run; ends with 1 if there was a violation."""
    options = parse_options()
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        options.server = options.server or find_program("REDIS_SERVER", "redis-server")
        if not options.module.exists():
            raise HarnessError(f"no module at {options.module}: run `make build` first")
        soak = Soak(options, directory)
        lines = soak.run()
    except HarnessError as error:
        sys.exit("\n".join([f"soak: {error}", *getattr(error, "__notes__", [])]))
    print(soak.record.summary())
    print("\n".join(lines))
    if soak.record.violations:
        sys.exit(f"{sum(map(len, soak.record.violations.values()))} violations; the server's files are in {directory}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
