"""What the flow tests share: a server with the module, waiting, and reading results.

Scripts cannot write to the data set, so they report through ``redis.log`` and the tests read
the server's log. ``library()`` puts a few JavaScript helpers in front of a test's own code:

    saw(data, tag)    logs "saw<tag> <stream> <value of the first field>"; read with Server.seen()
    show(data)        the record as JSON, IDs as strings
    value(data)       the value of the first field
    holding           an async callback that logs "start <value> <how many run>", waits until the
                      test calls Server.release(value), and logs "end <value>"

The callback ``holding`` needs the consumer ``RELEASE`` in the same library.
"""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from RLTest import Env
from RLTest.random_port import get_random_port

REPOSITORY = Path(__file__).resolve().parent.parent
MODULE = os.path.abspath(os.environ.get("MODULE") or REPOSITORY / "target/release/libredisgears.so")
REDIS_SERVER = os.environ.get("REDIS_SERVER") or "redis-server"
# Seconds. What has to come comes in milliseconds; a busy machine may take much longer, and only a failure waits so long.
DEADLINE = 60
DEFAULT_TIMEOUT_MS = 500

CONFIGURATION = """\
bind 127.0.0.1
save ""
appendonly no
repl-diskless-sync-delay 0
enable-debug-command yes
enable-module-command yes
"""

PRELUDE = """\
const show = data => JSON.stringify(data, (key, value) => typeof value === 'bigint' ? value.toString() : value);
const value = data => data.record[0][1];
const saw = (data, tag = '') => redis.log(`saw${tag} ${data.stream_name} ${value(data)}`);
const held = new Map();
let running = 0;
const holding = async (client, data) => {
    running += 1;
    redis.log(`start ${value(data)} ${running}`);
    await new Promise(resolve => held.set(value(data), resolve));
    running -= 1;
    redis.log(`end ${value(data)}`);
};
"""


class V8:
    """The flags for V8 that servers get: the tests must hold with those of ``V8_FLAGS`` too, as ``stress-scavenge=10``."""

    flags = os.environ.get("V8_FLAGS")
    # Whether the test at hand is about what the flags change: the marker plain_v8.
    plain = False

    @classmethod
    def arguments(cls):
        """The module's arguments for them."""
        return ["enable-debug-command", "yes", "v8-flags", cls.flags] if cls.flags and not cls.plain else []


def consumer(
    name="consumer",
    prefix="stream",
    window=1,
    trim=False,
    callback="(client, data) => saw(data)",
    options=None,
):
    """JavaScript that registers a stream consumer; its options are JavaScript, or what JSON can say."""
    given = f"'{name}', '{prefix}', {window}, {str(trim).lower()}, {callback}"
    if options is not None:
        given += f", {options if isinstance(options, str) else json.dumps(options)}"
    return f"redis.register_stream_consumer({given});"


def function(name="f", callback="(client, ...args) => args", flags=None):
    """JavaScript that registers a function."""
    more = "" if flags is None else f", {json.dumps(flags)}"
    return f"redis.register_function('{name}', {callback}{more});"


RELEASE = consumer("release", "release", callback="(client, data) => { value(data) === '*' ? held.forEach(end => end(0)) : held.get(value(data))(0); }")


def library(*statements, name="lib"):
    """The code of a library: prologue, helpers, and the statements."""
    return f"#!js name={name}\n{PRELUDE}" + "\n".join(statements)


def eventually(check, what=None, deadline=DEADLINE):
    """Polls until ``check()`` is true and returns what it gave; fails at the deadline."""
    end = time.monotonic() + deadline
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < end, f"not within {deadline} s: {what() if callable(what) else what}"
        time.sleep(0.005)


def fields(flat):
    """A flat list of names and values as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


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


class Node:
    """One redis-server: its clients, its log, and what its libraries did."""

    def __init__(self, process, port, log):
        self.process = process
        self.port = port
        self.log = log
        self.mark = 0
        self.served = 0
        self.client = self.connect()

    def connect(self, **options):
        """A client of its own; replies are text unless asked otherwise."""
        settings = {
            "host": "127.0.0.1",
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
        self.set_timeout(DEFAULT_TIMEOUT_MS)
        self.mark = self.log.stat().st_size

    def set_timeout(self, milliseconds):
        """How long a script may hold the server."""
        self.run("CONFIG", "SET", "redisgears_2.lock-redis-timeout", milliseconds)

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
        """Messages of the module and its libraries with that start, which is cut off."""
        pattern = rf"^\d+:.*? <redisgears_2> {re.escape(start)}(.*)$"
        return re.findall(pattern, self.log_text() if log is None else log, re.MULTILINE)

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

    def is_alive(self):
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def assert_alive(self):
        """Fails with the end of the log when the process is gone."""
        if not self.is_alive():
            log = self.log.read_text(errors="backslashreplace") if self.log.exists() else "(no log)"
            raise AssertionError(f"the server died; its log ended with\n{log[-6000:]}")


def configuration_file(directory, more=""):
    """Writes a configuration file for a test server and gives its name."""
    path = directory / "server.conf"
    path.write_text(CONFIGURATION + more)
    return str(path)


class Server(Node):
    """A server started for tests, if asked with one replica."""

    def __init__(self, directory, module_args="", configuration="", module=True, replica=False):
        config_file = configuration_file(directory, configuration)
        self.directory = directory
        self.replica = None
        self.env = Env(
            testName="server",
            module=MODULE if module else [],
            moduleArgs=" ".join([*V8.arguments(), module_args]).strip() or None,
            redisBinaryPath=REDIS_SERVER,
            redisConfigFile=config_file,
            logDir=str(directory),
            useSlaves=replica,
            forceTcp=True,
        )
        runner = self.env.envRunner
        super().__init__(runner.masterProcess, runner.port, self._log("master"))
        if replica:
            self.replica = Node(runner.slaveProcess, runner.slavePort, self._log("slave"))
            self.replica.wait(
                lambda: self.replica.client.info("replication")["master_link_status"] == "up",
                "the replica has no link",
            )

        self.assert_alive()

    def is_alive(self):
        return super().is_alive() and (self.replica is None or self.replica.is_alive())

    def assert_alive(self):
        if self.replica is not None:
            self.replica.assert_alive()
        super().assert_alive()

    def _log(self, role):
        return next(self.directory.glob(f"*{role}*.log"), self.directory / "no.log")

    def stop(self):
        """Ends the server and its replica."""
        self.env.stop()


class KeptServer(Node):
    """A server on a data directory that outlives it: it is killed, and started again."""

    def __init__(self, directory, *options):
        self.directory = directory
        self.options = options
        self.process = None
        self.log = directory / "server.log"
        self.mark = 0
        self.served = 0
        self.start()

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
        self.port = get_random_port()
        command = [REDIS_SERVER, configuration_file(self.directory), "--port", str(self.port)]
        command += ["--dir", str(self.directory), "--logfile", str(self.log)]
        command += ["--loadmodule", MODULE, *V8.arguments()] if module else []
        self.process = subprocess.Popen(
            [*command, *self.options, *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.client = self.connect()

    def kill(self):
        """SIGKILL, to the children that write files too."""
        if self.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.client.close()

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

    def persistence(self, field):
        """A field of INFO persistence."""
        return self.client.info("persistence")[field]

    def rewrite(self):
        """BGREWRITEAOF, to its end."""
        self.run("BGREWRITEAOF")
        busy = ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
        self.wait(lambda: not any(self.persistence(field) for field in busy), "the rewrite does not end")
        assert self.persistence("aof_last_bgrewrite_status") == "ok"
