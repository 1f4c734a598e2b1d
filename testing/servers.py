"""Servers with the module: their clients, their logs, and what their libraries did."""

import os
import re
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from testing.launch import HOST, MODULE, REDIS_SERVER, end, kill, launch
from testing.libraries import library
from testing.replies import fields
from testing.waits import DEADLINE, eventually

TIMEOUT = "redisgears_2.lock-redis-timeout"
DEFAULT_TIMEOUT_MS = 500

CONFIGURATION = """\
save ""
appendonly no
repl-diskless-sync-delay 0
enable-debug-command yes
enable-module-command yes
"""


# How lines of scripts begin: with the names of library and callback.
PLACE = r"\[[^]\n]*\] "
# How lines begin that say who changed what.
AUDIT = r"audit: [A-Z ]+ by user "
# What it says of slow callbacks begins with this.
SLOW = "slow: "


class V8:
    """The flags for V8 that servers get: the tests must hold with those of ``V8_FLAGS`` too, as ``stress-scavenge=10``."""

    flags = os.environ.get("V8_FLAGS")
    # Whether the test at hand is about what the flags change: the marker plain_v8.
    plain = False

    @classmethod
    def arguments(cls):
        """The module's arguments for them."""
        return ["enable-debug-command", "yes", "v8-flags", cls.flags] if cls.is_changed() else []

    @classmethod
    def settings(cls):
        """The server's settings that come before a test's own."""
        return [f"--{TIMEOUT}", str(cls.timeout_ms())] if cls.is_changed() else []

    @classmethod
    def timeout_ms(cls):
        """How long a script may hold the server."""
        return DEFAULT_TIMEOUT_MS * cls.slowness()

    @classmethod
    def slowness(cls):
        """How many times as long scripts may take: V8 is slow where it moves its objects all the time."""
        return 2 if cls.is_changed() else 1

    @classmethod
    def is_changed(cls):
        return bool(cls.flags) and not cls.plain


class Sent:
    """A command on a connection of its own, whose reply may take a while."""

    def __init__(self, client, arguments):
        self._client = client
        self._connection = client.connection_pool.get_connection()
        self._connection.send_command("CLIENT", "ID")
        self.client_id = self._connection.read_response()
        self._connection.send_command(*arguments)

    def is_answered(self):
        """Whether a reply is there."""
        return self._connection.can_read(0)

    def reply(self):
        """Waits for the reply; an error is thrown."""
        return self._connection.read_response()

    def disconnect(self):
        """Leaves without waiting any longer."""
        self._connection.disconnect()


def configuration_file(directory, more=""):
    """Writes a configuration file for a test server and gives its name."""
    path = directory / "server.conf"
    path.write_text(CONFIGURATION + more)
    return str(path)


class Server:
    """A server on a data directory that outlives it: it can be killed, and started again. If asked it has a replica.

    `options` are further words of its command line, behind the module and its arguments. The program and the module are
    those of the environment unless others are named. With `fixed_port` it comes back under the port that it had.
    """

    def __init__(
        self,
        directory,
        *options,
        module_args="",
        configuration="",
        module=True,
        replica=False,
        program=REDIS_SERVER,
        module_file=MODULE,
        fixed_port=None,
    ):
        self.directory = directory
        self.options = options
        self._module_arguments = module_args.split()
        self._configuration = configuration
        self._program = program
        self._module_file = module_file
        self._fixed_port = fixed_port
        self.log = directory / "server.log"
        # Where the tests' view of the log begins, and how many commands were served to mark a place in it.
        self.mark = self.served = 0
        self.process = self.port = self.client = self.replica = None
        self.start(module=module)
        if replica:
            (directory / "replica").mkdir()
            self.replica = Server(
                directory / "replica", *options, module_args=module_args, configuration=configuration, program=program,
                module_file=module_file,
            )  # fmt: skip
            self.replica.follow(self)

    # its life

    def start(self, *more, module=True):
        """Starts on the data there is, and waits for it to be loaded."""
        self.launch(*more, module=module)

        def answers():
            try:
                return self.client.ping()
            except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                return False

        self.wait(answers, "the server does not answer")

    def launch(self, *more, module=True):
        """Starts without waiting."""
        arguments = [*V8.arguments(), *self._module_arguments] if module else []
        self.process, self.port = launch(
            self._program,
            self.directory,
            self.log,
            *arguments,
            *self.options,
            *more,
            configuration=configuration_file(self.directory, self._configuration),
            settings=V8.settings() if module else (),
            module=self._module_file if module else None,
            port=self._fixed_port,
        )
        self.client = self.connect()

    def stop(self):
        """Ends the server and its replica, in order."""
        if self.replica is not None:
            self.replica.stop()
        end(self.process)
        self.client.close()

    def kill(self):
        """SIGKILL."""
        kill(self.process)
        self.client.close()

    def appended(self):
        """The files of what the append-only file has since it was last rewritten, when all of it is written: with
        `appendfsync everysec` the server may put that off."""
        self.wait(lambda: self.persistence("aof_buffer_length") == 0, "the append-only file is not written")
        return sorted((self.directory / "appendonlydir").glob("*.incr.aof"))

    def restart(self, *more):
        """SIGKILL, and a new start."""
        self.kill()
        self.start(*more)

    def follow(self, primary):
        """Becomes a replica, and waits until both sides say so: the primary learns it by the replica's first ACK."""
        self.run("REPLICAOF", "127.0.0.1", primary.port)
        self.wait(lambda: self.client.info("replication")["master_link_status"] == "up", "no link")

        def online():
            replicas = primary.client.info("replication")
            return any(
                replica["port"] == self.port and replica["state"] == "online"
                for name, replica in replicas.items()
                if name.startswith("slave") and isinstance(replica, dict)
            )

        self.wait(online, "the primary does not see its replica online")

    def is_alive(self):
        """Whether its process runs, and that of its replica."""
        if self.process is None or self.process.poll() is not None:
            return False
        return self.replica is None or self.replica.is_alive()

    def assert_alive(self):
        """Fails with the end of the log when the process is gone."""
        if self.replica is not None:
            self.replica.assert_alive()
        if not self.is_alive():
            log = self.log.read_text(errors="backslashreplace") if self.log.exists() else "(no log)"
            raise AssertionError(f"the server died; its log ended with\n{log[-6000:]}")

    # clients and commands

    def connect(self, **options):
        """A client of its own; replies are text unless asked otherwise."""
        settings = {
            "host": HOST,
            "port": self.port,
            "protocol": 2,
            "decode_responses": True,
            "encoding_errors": "surrogateescape",
            "socket_timeout": 60,
            "retry": Retry(NoBackoff(), 0),
        }
        return redis.Redis(**(settings | options))

    def run(self, *arguments):
        """One command."""
        return self.client.execute_command(*arguments)

    def send(self, *arguments, **options):
        """Sends a command on a connection of its own, with these options, and does not wait for its reply."""
        return Sent(self.connect(**({"socket_timeout": DEADLINE} | options)), arguments)

    def runs_callbacks_in_commands(self):
        """Whether sync callbacks are a part of the command that has them run: Redis 7.2 and later, and Valkey."""
        version = self.client.info("server")["redis_version"]
        return tuple(map(int, version.split(".")[:2])) >= (7, 2)

    @contextmanager
    def setting(self, name, value):
        """Another value of a configuration parameter, for a while."""
        [_, before] = self.run("CONFIG", "GET", name)
        self.run("CONFIG", "SET", name, value)
        try:
            yield
        finally:
            self.run("CONFIG", "SET", name, before)

    # functions

    def call(self, function, *args, keys=(), library="lib", client=None, command="RG.FCALL"):
        """Calls a function of a library."""
        return (client or self.client).execute_command(command, library, function, len(keys), *keys, *args)

    def send_call(self, function, *args, keys=(), library="lib", command="RG.FCALL", **options):
        """Calls a function on a connection of its own, and does not wait for its result."""
        return self.send(command, library, function, len(keys), *keys, *args, **options)

    # libraries

    def load(self, *statements, name="lib", options=()):
        """Loads a library of these statements."""
        return self.run("RG.FUNCTION", "LOAD", *options, library(*statements, name=name))

    def upgrade(self, *statements, name="lib"):
        """Loads the library anew."""
        return self.load(*statements, name=name, options=["UPGRADE"])

    def libraries(self):
        """The names of all libraries."""
        return [fields(item)["name"] for item in self.run("RG.FUNCTION", "LIST")]

    def consumer(self, name="consumer", library="lib"):
        """All that LIST knows of a consumer: its streams as ``rows``, and as ``streams`` by name."""
        [reply] = self.run("RG.FUNCTION", "LIST", "vvv", "LIBRARY", library)
        found = {row["name"]: row for row in map(fields, fields(reply)["stream_consumers"])}[name]
        found["rows"] = [fields(row) for row in found["streams"]]
        found["streams"] = {row["name"]: row for row in found["rows"]}
        return found

    def stream(self, name, consumer="consumer", library="lib"):
        """All that LIST knows of a consumer's stream; an empty dict where it is not tracked."""
        return self.consumer(consumer, library)["streams"].get(name, {})

    def reset(self):
        """No data, no libraries, configuration as at the start, and an empty view of the log."""
        for name in self.libraries():
            self.run("RG.FUNCTION", "DEL", name)
        self.run("FLUSHALL")
        self.set_timeout(V8.timeout_ms())
        self.mark = self.log.stat().st_size

    def set_timeout(self, milliseconds):
        """How long a script may hold the server."""
        self.run("CONFIG", "SET", TIMEOUT, milliseconds)

    # data

    def add(self, stream, *values, client=None):
        """Adds an entry per value, under the field ``n``; gives the IDs."""
        client = client or self.client
        return [client.execute_command("XADD", stream, "*", "n", value) for value in values]

    def release(self, *values):
        """Lets the ``holding`` callbacks of these entries end."""
        self.add("release", *values)

    # results

    def log_text(self):
        """The log since the last reset."""
        with self.log.open("rb") as file:
            file.seek(self.mark)
            return file.read().decode("utf-8", "backslashreplace")

    def log_when_served(self):
        """Has the server run a command, and gives the log before it. So the server says itself what comes first: a test
        that asks later, on a busy machine, is told the same."""
        self.served += 1
        mark = f"DEBUG LOG: served {self.served}."
        self.run("DEBUG", "LOG", mark.removeprefix("DEBUG LOG: "))
        before, found, _ = self.log_text().partition(mark)
        assert found, "the server logs nothing"
        return before

    def messages(self, start="", log=None):
        """Messages of the module and its libraries with that start, which is cut off as is what scripts' lines begin
        with; ``audits`` has the others. That callbacks are slow is left out: on a busy machine any may be."""
        pattern = rf"^\d+:.*? <redisgears_2> (?!{AUDIT}|{SLOW})(?:{PLACE})?{re.escape(start)}(.*)$"
        return re.findall(pattern, self.log_text() if log is None else log, re.MULTILINE)

    def audits(self):
        """What the log says of who changed what."""
        return re.findall(rf"^\d+:.*? \* <redisgears_2> ({AUDIT}.*)$", self.log_text(), re.MULTILINE)

    def times_logged(self, text):
        """How often something was said with that text: what came again within a second is a number behind it."""
        lines = [line for line in self.log_text().splitlines() if text in line]
        return sum(int(more[1]) if (more := re.search(r" \((\d+) more\)$", line)) else 1 for line in lines)

    def seen(self, tag=""):
        """What ``saw`` logged: "<stream> <value>" per entry."""
        return self.messages(f"saw{tag} ")

    def wait_for(self, expected, messages):
        """Waits until ``messages()`` is as long as expected; then they must be equal."""
        self.wait(lambda: len(messages()) >= len(expected), messages)
        assert messages() == expected

    def wait_seen(self, *expected, tag=""):
        """Waits until ``saw`` logged as much as expected; then it must be just that."""
        self.wait_for(list(expected), lambda: self.seen(tag))

    def last_error(self, stream="stream", **names):
        """The last failure with a stream, as LIST shows it."""
        return self.stream(stream, **names).get("last_error")

    def wait_stream(self, stream="stream", **expected):
        """Waits until LIST shows these fields of a stream of the consumer."""

        def shown():
            found = self.stream(stream)
            return {name: found.get(name) for name in expected}

        self.wait(lambda: shown() == expected, lambda: (shown(), expected))

    def wait_message(self, start, count=1):
        """Waits for so many messages with that start."""
        self.wait(lambda: len(self.messages(start)) >= count, self.messages)

    def wait(self, check, what=None):
        """``eventually``, but fails at once when the server died."""

        def step():
            self.assert_alive()
            return check()

        return eventually(step, what)

    # files

    def persistence(self, field):
        """A field of INFO persistence."""
        return self.client.info("persistence")[field]

    def rewrite(self):
        """BGREWRITEAOF, to its end."""
        self.run("BGREWRITEAOF")
        busy = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
        self.wait(lambda: not any(self.persistence(field) for field in busy), "the rewrite does not end")
        assert self.persistence("aof_last_bgrewrite_status") == "ok"
