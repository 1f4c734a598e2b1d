"""Functions and consumers that mean harm: each ends with an error in time, and nothing else is harmed.

Each test runs beside a library that must go on working, and the server's memory has to be what it was before, once
the hostile library is deleted: see the fixture ``hostile``. Stream consumers are the matter of streams/test_hostile.py;
here they only come in where they act on the server.
"""

import re
import time
from contextlib import contextmanager
from typing import ClassVar

import pytest
from redis import ResponseError

from testing.libraries import consumer
from testing.servers import V8
from testing.waits import eventually

LIMITED = "library-maxmemory 64mb"

# How long scripts may run, with the server's lock and without it.
LIMIT_MS = 200
# Where memory is to run out first.
LONG_MS = 15_000
# Seconds in which a case must have ended: its limit, and what a busy machine may add. Nothing here ends by itself.
IN_TIME = 8.0
# The same where memory has to be filled.
IN_LONG_TIME = 15.0
# What the server's memory may grow by in a case: the C library keeps so much of what a thread has freed.
GROWTH = 64 << 20
# And in all cases together: what each leaves would add up.
GROWTH_IN_ALL = 3 * GROWTH

ENDED = "Execution was terminated due to OOM or timeout"
TIMEOUT = ENDED + r" \(timeout\)"
OUT_OF_MEMORY = ENDED + r" \(out of memory\)|(?i:array buffer allocation failed|invalid (string|array|typed array) length)"

BYSTANDER = """
redis.register_function('sync', client => Number(client.call('INCR', 'calm')));
redis.register_function('async', async client => client.block(inside => Number(inside.call('INCR', 'calm'))));
redis.register_function('background', client => client.run_on_background(async background =>
    background.block(inside => Number(inside.call('INCR', 'calm')))));
redis.register_stream_consumer('calm', 'calm:', 1, true, (client, data) => { client.call('INCR', 'calm'); });
redis.register_stream_consumer('calm async', 'calm:', 1, true, async (client, data) =>
    client.block(inside => inside.call('INCR', 'calm')));
"""

WARM_UP = """
redis.register_function('heap', client => { const bag = []; for (;;) bag.push(new Array(1000).fill(1)); });
redis.register_function('async heap', async client => { const bag = []; for (;;) bag.push(new Array(1000).fill(1)); });
redis.register_function('buffers', client => { const bag = []; for (;;) bag.push(new Uint8Array(1 << 20).fill(1)); });
redis.register_function('async loop', async client => { for (;;); });
redis.register_function('block', async client => client.block(() => { for (;;); }));
"""


class Hostile:
    """A server with a bystander, on which something hostile is done."""

    # The memory of each process that is in use.
    warm: ClassVar = {}

    def __init__(self, server):
        self.server = server
        self.pid = int(server.client.info("server")["process_id"])
        self.clients = []
        self.patience = IN_TIME
        self.limit()
        if self.pid not in Hostile.warm:
            self.warm_up()
            Hostile.warm[self.pid] = self.memory()
        self.limit(5000)
        server.load(BYSTANDER, name="bystander")
        self.bystander_works()
        self.limit()
        self.before = self.memory()

    def warm_up(self):
        """Has everything in use once that takes memory for good."""
        for _ in range(2):
            self.server.load(WARM_UP)
            for function in re.findall(r"register_function\('(.*?)'", WARM_UP):
                with pytest.raises(ResponseError):
                    self.server.run("RG.FCALL", "lib", function, 0)
            self.server.run("RG.FUNCTION", "DEL", "lib")

    def limit(self, milliseconds=LIMIT_MS):
        """Sets both limits of time."""
        self.server.set_timeout(milliseconds)
        self.server.run("CONFIG", "SET", "redisgears_2.background-timeout", milliseconds)
        self.patience = (IN_LONG_TIME if milliseconds == LONG_MS else IN_TIME) * V8.slowness()

    def memory(self):
        """Bytes that are resident, without what the server's allocator only keeps for later."""
        self.server.run("MEMORY", "PURGE")
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    def client(self):
        """A connection of its own."""
        self.clients.append(self.server.connect(single_connection_client=True))
        return self.clients[-1]

    def call(self, *arguments, function="f", client=None):
        """Calls a function of the hostile library, which must end in time."""
        with in_time(self.patience):
            return (client or self.server.client).execute_command("RG.FCALL", "lib", function, 0, *arguments)

    def fails(self, *arguments, function="f"):
        """The text of the error that a function ends with."""
        with pytest.raises(ResponseError) as caught:
            self.call(*arguments, function=function)
        return str(caught.value)

    def send(self, *words):
        """Sends a command on a connection of its own, and does not wait for the reply; gives the connection."""
        connection = self.client().connection
        connection.send_command(*words)
        return connection

    def provoke(self, place, code):
        """Runs hostile code in a place; gives the text of the error it ends with."""
        if place == "async function" and "client.call" in code:
            code = f"client.block(client => {{ {code} }});"
        statement = PLACES[place].replace("CODE", code)
        if place == "load":
            with in_time(self.patience), pytest.raises(ResponseError, match="Failed loading library") as caught:
                self.server.load(statement)
            return str(caught.value)
        with self.server.setting("redisgears_2.lock-redis-timeout", LONG_MS):
            self.server.load(statement)
        if "callback" not in place:
            return self.fails()
        with in_time(self.patience):
            self.server.add("stream", 1)
            self.server.wait_stream(total_record_processed=1)
        return self.server.stream("stream")["last_error"]

    def bystander_works(self):
        """Whether all parts of the other library do what they should, and in time."""
        count = int(self.server.run("GET", "calm") or 0)
        with in_time():
            for function in ("sync", "async", "background"):
                count += 1
                assert self.server.run("RG.FCALL", "bystander", function, 0) == count
            self.server.add("calm:stream", "x")
            self.server.wait(lambda: self.server.run("GET", "calm") == str(count + 2), "an entry was not processed")
            self.server.wait(lambda: self.server.run("XLEN", "calm:stream") == 0, "the trim is missing")

    def end(self):
        """Deletes what is hostile, and looks what is left."""
        self.limit(5000)
        assert self.server.client.ping()
        self.bystander_works()
        if "lib" in self.server.libraries():
            self.server.run("RG.FUNCTION", "DEL", "lib")
        for client in self.clients:
            client.close()
        self.server.wait(lambda: self.server.client.info("clients")["blocked_clients"] == 0, "a client still waits")
        self.server.run("DEL", "stream", "big")
        most = min(self.before + GROWTH, Hostile.warm[self.pid] + GROWTH_IN_ALL)
        eventually(
            lambda: self.memory() <= most,
            lambda: f"{self.memory() >> 20} MB are resident, before it were {self.before >> 20} MB, at first {Hostile.warm[self.pid] >> 20} MB",
        )
        self.bystander_works()


@contextmanager
def in_time(seconds=IN_TIME):
    """Fails when what is in it takes longer than it may."""
    start = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - start
        assert took < seconds, f"it took {took:.1f} s"


def define(code, name="f"):
    """JavaScript that registers a function."""
    return f"redis.register_function('{name}', {code});"


# Where hostile code can be, as CODE.
PLACES = {
    "load": "CODE",
    "function": define("client => { CODE }"),
    "async function": define("async client => { CODE }"),
    "after await": define("async client => { await null; CODE }"),
    "block": define("async outer => outer.block(client => { CODE })"),
    "block after block": define("async outer => { outer.block(() => {}); await null; outer.block(client => { CODE }); }"),
    "background": define("client => client.run_on_background(async background => { CODE })"),
    "promise chain": define("client => Promise.resolve().then(() => {}).then(() => { CODE })"),
    "async promise chain": define("async client => Promise.resolve().then(() => {}).then(() => { CODE })"),
    "promise executor": define("client => new Promise(() => { CODE })"),
    "finally": define("client => Promise.reject(1).catch(() => {}).finally(() => { CODE })"),
    "catch": define("client => { try { throw 1; } catch (error) { CODE } }"),
    "getter of the result": define("client => ({ get value() { CODE } })"),
    "getter of an async result": define("async client => { await null; return { get value() { CODE } }; }"),
    "getter of an element": define("client => [1, { get value() { CODE } }, 3]"),
    "getter of the tag": define(
        "client => Object.defineProperty(new String('x'), '__reply_type', { get() { CODE } })"
    ),
    "then of the result": define("async client => ({ then() { CODE } })"),
    "toISOString of the result": define("client => { const d = new Date(); d.toISOString = () => { CODE }; return d; }"),
    "valueOf of the result": define("client => Object.assign(new Number(1), { valueOf() { CODE } })"),
    "ownKeys of the result": define("client => new Proxy({}, { ownKeys() { CODE } })"),
    "get of the result": define("client => new Proxy({ a: 1 }, { get() { CODE } })"),
    "getOwnPropertyDescriptor of the result": define(
        "client => new Proxy({ a: 1 }, { getOwnPropertyDescriptor() { CODE } })"
    ),
    "toString of an argument": define(
        "client => client.call('ECHO', Object.assign(new String('x'), { toString() { CODE } }))"
    ),
    "toPrimitive of an argument": define(
        "client => client.call('ECHO', Object.assign(new String('x'), { [Symbol.toPrimitive]() { CODE } }))"
    ),
    "toString of the command": define(
        "client => client.call(Object.assign(new String('PING'), { toString() { CODE } }))"
    ),
    "toString of an argument in block": define(
        "async client => client.block(inside =>"
        " inside.call('ECHO', Object.assign(new String('x'), { toString() { CODE } })))"
    ),
    "toString of what is thrown": define("client => { throw { toString() { CODE } }; }"),
    "toString of a rejection": define("async client => { await null; throw { toString() { CODE } }; }"),
    "toString of a rejection that nothing handles": define(
        "client => { Promise.reject({ toString() { CODE } }); return 1; }"
    ),
    "message of an error": define(
        "client => { throw Object.defineProperty(new Error(), 'message', { get() { CODE } }); }"
    ),
    "stack of an error": define("client => { throw Object.defineProperty(new Error(), 'stack', { get() { CODE } }); }"),
    "prepareStackTrace": define("client => { Error.prepareStackTrace = () => { CODE }; throw new Error('x'); }"),
    "a generator": define("client => [...(function* () { yield 1; CODE })()]"),
    "a Proxy that is called": define("async client => client.block(new Proxy(() => {}, { apply() { CODE } }))"),
    "callback": consumer(callback="(client, data) => { CODE }"),
    "callback after call": consumer(callback="(client, data) => { client.call('INCR', 'n'); CODE }"),
    "async callback": consumer(callback="async (client, data) => { CODE }"),
    "block of a callback": consumer(callback="async (client, data) => client.block(() => { CODE })"),
    "background of a callback": consumer(
        callback="(client, data) => client.run_on_background(async background => { CODE })"
    ),
}
