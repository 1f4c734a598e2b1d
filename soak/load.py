"""The clients of a soak run that behave: callers of functions, writers of streams, administrators.

Each is a thread with a connection and a seeded random generator of its own, which takes step after step until the run
ends. Every answer is checked.
"""

import json
import random
import re
import threading
import time
import traceback
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

LIBRARIES = Path(__file__).with_name("libraries")
STREAMS = [f"in:{number}" for number in range(6)]
SCRATCH_DB = 9
SCRATCH = [f"scratch:{number}" for number in range(20)]
CHURNING = [f"churn{number}" for number in range(4)]
# Writers wait for consumers when a stream has more entries than this.
BACKLOG = 2000
HOSTILE = ["hostile0", "hostile1"]
# Harmless code takes a few milliseconds, and must not be ended where the machine is busy with other things.
LOCK_TIMEOUTS = (300, 500, 800)
BACKGROUND_TIMEOUTS = (1000, 2000, 3000)

REPLACED = "The library was replaced or deleted|Function were unregistered"
CANNOT_WAIT = "Can not block client for background execution"


def code(library, name=None):
    """The text of a library; ``name`` where several have the same."""
    return (LIBRARIES / f"{library}.js").read_text().replace("NAME", name or library)


def load(library, version=0, name=None):
    """The command that loads a library, or loads it anew; consumers get another window with each version."""
    config = {"version": version} | ({"window": 1 + version % 30} if version else {})
    return ("RG.FUNCTION", "LOAD", "UPGRADE", "CONFIG", json.dumps(config), code(library, name))


class Gone(Exception):
    """The connection was lost, or an answer did not come."""


class Task(threading.Thread):
    """One client. Subclasses say what a step is."""

    # Seconds between steps, at most.
    pause = 0.01

    def __init__(self, name, soak):
        super().__init__(name=name, daemon=True)
        self.soak = soak
        self.record = soak.record
        self.random = random.Random(f"{soak.seed} {name}")
        self.client = self.connect()
        self.serial = 0

    def connect(self, **options):
        """A connection of its own, RESP2 or RESP3, that is never made anew by itself."""
        settings = {
            "host": "127.0.0.1",
            "port": self.soak.port,
            "protocol": self.random.choice((2, 3)),
            "decode_responses": True,
            "socket_timeout": self.soak.deadline,
            "retry": Retry(NoBackoff(), 0),
            "single_connection_client": True,
            "client_name": self.name,
        }
        return redis.Redis(**(settings | options))

    def run(self):
        try:
            while not self.record.stop.is_set():
                self.step()
                self.record.stop.wait(self.random.uniform(0, self.pause))
            self.finish()
        except Gone:
            pass
        except Exception:  # whatever it is, it must not go unseen
            self.record.violation("client broken", f"{self.name}: {traceback.format_exc()}")

    def step(self):
        """One thing to do."""
        raise NotImplementedError

    def finish(self):
        """What is to be done at the end."""

    def token(self):
        """A word that was not used before."""
        self.serial += 1
        return f"{self.name}-{self.serial}"

    def lost(self, what, error):
        """A connection ended, or an answer did not come in time; always ends the client."""
        if isinstance(error, redis.TimeoutError):
            self.record.violation("stuck", f"{self.name}: no answer to {what} within {self.soak.deadline} s")
        elif self.soak.is_alive():
            self.record.violation("connection lost", f"{self.name}: {what}: {error}")
        raise Gone from error

    def ask(self, what, *words, may_fail=None):
        """The answer to a command. An error is given back where its text is expected, else it is a violation."""
        begin = time.monotonic()
        try:
            answer = self.client.execute_command(*words)
        except redis.ResponseError as error:
            if not (may_fail and re.search(may_fail, str(error))):
                self.record.violation("unexpected error", f"{self.name}: {what} ({short(words)}): {error}")
            answer = error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self.lost(f"{what} ({short(words)})", error)
        self.record.took(what, time.monotonic() - begin)
        return answer

    def ask_all(self, what, commands, transaction):
        """The answers to several commands in one pipeline, or one transaction; errors are among them."""
        begin = time.monotonic()
        try:
            with self.client.pipeline(transaction=transaction) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                answers = pipeline.execute(raise_on_error=False)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self.lost(what, error)
        self.record.took(what, time.monotonic() - begin)
        return answers

    def expect(self, what, answer, expected):
        """An answer that has to be just that."""
        if answer != expected:
            text = f"{str(answer)[:300]!r} instead of {str(expected)[:300]!r}"
            self.record.violation("wrong answer", f"{self.name}: {what}: {text}")

    def expect_error(self, what, answer, pattern):
        """An answer that has to be an error with such a text."""
        if not (isinstance(answer, redis.ResponseError) and re.search(pattern, str(answer))):
            text = f"{str(answer)[:300]!r} instead of an error like {pattern!r}"
            self.record.violation("no error", f"{self.name}: {what}: {text}")


def short(words):
    """A command for people."""
    text = " ".join(map(str, words))
    return text if len(text) <= 100 else f"{text[:100]}..."


class Caller(Task):
    """Calls functions. Its counter goes up by one with each call that counts."""

    def __init__(self, name, soak):
        super().__init__(name, soak)
        self.key = f"counter:{name}"
        self.counted = 0
        protocol = self.client.connection_pool.connection_kwargs["protocol"]
        self.speaks_resp3 = protocol == 3

    def call(self, function, *arguments, library="calls"):
        """The words of a call."""
        command = self.random.choice(("RG.FCALL", "RG.FCALLASYNC"))
        return (command, library, function, 0, *arguments)

    def step(self):
        deeds = (self.echo, self.count, self.count, self.pipeline, self.transaction, self.fail, self.refuse)
        self.random.choice(deeds)()

    def echo(self):
        """What goes in comes out, at the right client."""
        token = self.token()
        function = self.random.choice(("echo", "raw"))
        size, count = self.random.choice(((1, 1), (1, 3), (1, 100), (10_000, 1), (10_000, 3)))
        words = [token * size] * count
        self.expect(function, self.ask(function, *self.call(function, *words)), words)
        shape = self.ask("shape", *self.call("shape"))
        if self.speaks_resp3:
            self.expect("shape", shape["list"], [1, 2.5, "text", None, True, 10])
        else:
            self.expect("shape", shape[:2], ["list", [1, "2.5", "text", None, 1, 10]])

    def counting(self):
        """A call that counts."""
        function = self.random.choice(("count", "count_async", "count_background", "count_hops"))
        more = (self.random.choice((0, 1, 5, 30)),) if function == "count_hops" else ()
        return function, self.call(function, self.key, *more)

    def count(self):
        """The answer is the next number: the call had its effect once."""
        function, words = self.counting()
        answer = self.ask(function, *words)
        self.counted += 1
        self.expect(function, answer, self.counted)

    def pipeline(self):
        """Answers come in the order of the calls, some of which have their client wait."""
        calls = [self.counting() for _ in range(self.random.choice((2, 10, 40)))]
        answers = self.ask_all("pipeline of calls", [words for _, words in calls], transaction=False)
        first = self.counted + 1
        self.counted += len(calls)
        self.expect("pipeline", answers, list(range(first, self.counted + 1)))

    def transaction(self):
        """A transaction cannot wait; what need not wait is done."""
        calls = [
            self.call("count", self.key),
            self.call(self.random.choice(("count_async", "never")), self.key),
            self.call("count", self.key),
        ]
        first, refused, second = self.ask_all("transaction with calls", calls, transaction=True)
        self.counted += 2
        self.expect("transaction", [first, second], [self.counted - 1, self.counted])
        self.expect_error("transaction", refused, CANNOT_WAIT)

    def fail(self):
        """An error is the answer, with its message."""
        token = self.token()
        function = self.random.choice(("throw", "reject"))
        answer = self.ask(function, *self.call(function, token), may_fail=f"{token}(\\||$)")
        self.expect_error(function, answer, token)

    def refuse(self):
        """What is not allowed has no effect."""
        answer = self.ask("write without leave", *self.call("write", self.key), may_fail="[Ww]rite command")
        self.expect_error("write without leave", answer, "[Ww]rite command")
        script = "return redis.call('RG.FCALL', 'calls', 'count', '0', KEYS[1])"
        answer = self.ask("call from a script", "EVAL", script, 1, self.key, may_fail="not allowed from script")
        self.expect_error("call from a script", answer, "not allowed from script")
        answer = self.ask("unknown function", *self.call("no such", self.key), may_fail="Unknown function")
        self.expect_error("unknown function", answer, "Unknown function")

    def finish(self):
        self.expect("last count", int(self.ask("last count", "GET", self.key) or 0), self.counted)


class Writer(Task):
    """Adds entries to streams, in several ways; each way notes in the ledger ``added`` what it adds."""

    def step(self):
        self.random.choice((self.transaction, self.script, self.function, self.functions))()
        if self.random.random() < 0.05:
            self.wait_for_consumers()

    def entry(self):
        """A stream, and a weight."""
        return self.random.choice(STREAMS), self.random.randrange(1, 1 << 20)

    def transaction(self):
        """With its own MULTI."""
        commands = []
        for _ in range(self.random.choice((1, 5, 30))):
            stream, weight = self.entry()
            commands += [
                ("XADD", stream, "*", "weight", weight),
                ("HINCRBY", "added", stream, 1),
                ("HINCRBY", "added", f"{stream}|weight", weight),
            ]
        for answer in self.ask_all("XADD in MULTI", commands, transaction=True):
            if isinstance(answer, Exception):
                self.record.violation("unexpected error", f"{self.name}: XADD in MULTI: {answer}")
        self.record.count("entries added", len(commands) // 3)

    def script(self):
        """From Lua."""
        text = """redis.call('XADD', KEYS[1], '*', 'weight', ARGV[1])
            redis.call('HINCRBY', 'added', KEYS[1], 1)
            redis.call('HINCRBY', 'added', KEYS[1] .. '|weight', ARGV[1])"""
        stream, weight = self.entry()
        self.ask("XADD from Lua", "EVAL", text, 1, stream, weight)
        self.record.count("entries added")

    def adding(self):
        """A call of a function that adds."""
        return ("RG.FCALL", "calls", self.random.choice(("add", "add_async")), 1, *self.entry())

    def function(self):
        """From JavaScript."""
        self.ask("XADD from a function", *self.adding())
        self.record.count("entries added")

    def functions(self):
        """The same, several at once."""
        commands = [self.adding() for _ in range(self.random.choice((5, 20)))]
        for answer in self.ask_all("XADD from functions", commands, transaction=False):
            self.expect("XADD from functions", answer, None)
        self.record.count("entries added", len(commands))

    def wait_for_consumers(self):
        """Does not add more than they get through."""
        end = time.monotonic() + self.soak.deadline
        while not self.record.stop.is_set():
            lengths = self.ask_all("XLEN", [("XLEN", stream) for stream in STREAMS], transaction=False)
            if max(lengths) < BACKLOG:
                return
            if time.monotonic() > end:
                self.record.violation("consumers stand still", f"{dict(zip(STREAMS, lengths, strict=True))}")
                return
            self.record.stop.wait(0.05)


class Churner(Task):
    """Loads, calls, upgrades and deletes libraries, of which others do the same."""

    pause = 0.2

    def __init__(self, name, soak):
        super().__init__(name, soak)
        self.ask("SELECT", "SELECT", SCRATCH_DB)

    def step(self):
        name = self.random.choice(CHURNING)
        load = ("RG.FUNCTION", "LOAD")
        deeds = ("load", "upgrade", "delete", "broken", "call", "call", "call", "add", "add", "change")
        deed = self.random.choice(deeds)
        if deed == "load":
            self.ask("LOAD", *load, code("churn", name), may_fail="already exists")
        elif deed == "upgrade":
            self.ask("LOAD UPGRADE", *load, "UPGRADE", code("churn", name))
        elif deed == "delete":
            self.ask("DEL", "RG.FUNCTION", "DEL", name, may_fail="does not exists")
        elif deed == "broken":
            broken = self.random.choice(("throw new Error('broken');", "syntax error", "", "null.broken;"))
            text = f"{code('churn', name)}\n{broken}" if broken else f"#!js name={name}"
            expected = "Failed|No function nor registrations"
            answer = self.ask("broken LOAD", *load, "UPGRADE", text, may_fail=expected)
            self.expect_error("broken LOAD", answer, expected)
        elif deed == "add":
            for stream in self.random.sample(SCRATCH, 5):
                words = ("XADD", stream, "MAXLEN", "~", 500, "*", "field", self.token())
                self.ask("XADD scratch", *words, may_fail="WRONGTYPE")
        elif deed == "change":
            key, other = self.random.sample(SCRATCH, 2)
            changes = (("RENAME", key, other), ("UNLINK", key), ("PEXPIRE", key, 5), ("SET", key, "text"),
                       ("COPY", key, other, "REPLACE"), ("XTRIM", key, "MAXLEN", 1))  # fmt: skip
            self.ask("change of a scratch stream", *self.random.choice(changes), may_fail="no such key|WRONGTYPE")
        else:
            token = self.token()
            function = self.random.choice(("hello", "wait"))
            unknown = f"Unknown library|{REPLACED}"
            answer = self.ask(f"{function} of a library that comes and goes", "RG.FCALL", name, function, 0, token,
                              may_fail=unknown)  # fmt: skip
            if not isinstance(answer, Exception):
                self.expect(function, answer, token)


class Administrator(Task):
    """Changes the configuration, saves, flushes the scratch database, upgrades the libraries that work."""

    pause = 1.0

    def step(self):
        deeds = (self.configure, self.configure, self.upgrade, self.upgrade, self.save, self.flush, self.list)
        self.random.choice(deeds)()

    def configure(self):
        """Other limits, another verbosity."""
        name, value = self.random.choice((
            ("lock-redis-timeout", self.random.choice(LOCK_TIMEOUTS)),
            ("background-timeout", self.random.choice(BACKGROUND_TIMEOUTS)),
            ("error-verbosity", self.random.choice((1, 2))),
        ))  # fmt: skip
        if self.random.random() < 0.5:
            self.ask("CONFIG SET", "CONFIG", "SET", f"redisgears_2.{name}", value)
        else:
            self.ask("RG.CONFIG SET", "RG.CONFIG", "SET", name, value)
        self.expect(name, str(self.ask("RG.CONFIG GET", "RG.CONFIG", "GET", name)), str(value))

    def upgrade(self):
        """The libraries that others work with at this moment."""
        library = self.random.choice(("near", "far", "calls", "keys"))
        self.serial += 1
        self.ask(f"UPGRADE of {library}", *load(library, self.serial))

    def save(self):
        """A fork."""
        busy = "in progress|active|scheduled|already"
        self.ask(*self.random.choice((("BGSAVE", "BGSAVE"), ("BGREWRITEAOF", "BGREWRITEAOF"))), may_fail=busy)

    def flush(self):
        """Streams that are consumed are gone at once."""
        self.ask_all("FLUSHDB", [("SELECT", SCRATCH_DB), ("FLUSHDB",), ("SELECT", 0)], transaction=False)

    def list(self):
        """Everything in it is asked for."""
        self.ask("LIST", "RG.FUNCTION", "LIST", "WITHCODE", "vvv")
