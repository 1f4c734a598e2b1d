"""Functions and consumers that mean harm: each ends with an error in time, and nothing else is harmed.

Each test runs beside a library that must go on working, and the server's memory has to be what it was before, once
the hostile library is deleted: see the fixture ``hostile``. Stream consumers are the matter of streams/test_hostile.py;
here they only come in where they act on the server.
"""

import re
import threading
import time
from contextlib import contextmanager
from typing import ClassVar

import pytest
from redis import ResponseError

from testing.libraries import consumer
from testing.thrown import NON_ERRORS
from testing.waits import eventually

MODULE_ARGS = "library-maxmemory 64mb"

# How long scripts may run, with the server's lock and without it.
LIMIT_MS = 100
# Where memory is to run out first.
LONG_MS = 15_000
# Seconds in which a case must have ended: its limit, and what a busy machine may add. Nothing here ends by itself.
IN_TIME = 8.0
# The same where memory has to be filled.
IN_LONG_TIME = 15.0
# What the server's memory may grow.
GROWTH = 1.2

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

    warm: ClassVar = set()

    def __init__(self, server):
        self.server = server
        self.pid = int(server.client.info("server")["process_id"])
        self.clients = []
        self.patience = IN_TIME
        self.limit()
        if self.pid not in Hostile.warm:
            self.warm_up()
            Hostile.warm.add(self.pid)
        server.load(BYSTANDER, name="bystander")
        self.limit(500)
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
        self.patience = IN_LONG_TIME if milliseconds == LONG_MS else IN_TIME

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
        self.limit(500)
        assert self.server.client.ping()
        self.bystander_works()
        if "lib" in self.server.libraries():
            self.server.run("RG.FUNCTION", "DEL", "lib")
        for client in self.clients:
            client.close()
        self.server.wait(lambda: self.server.client.info("clients")["blocked_clients"] == 0, "a client still waits")
        self.server.run("DEL", "stream", "big")
        eventually(
            lambda: self.memory() <= GROWTH * self.before,
            lambda: f"{self.memory() >> 20} MB are resident, before it were {self.before >> 20} MB",
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


@contextmanager
def answering(server, seconds=IN_TIME):
    """Fails when the server meanwhile leaves a PING waiting for longer than it may."""
    client = server.connect()
    stop = threading.Event()
    waits = []

    def ping():
        while not stop.is_set():
            start = time.monotonic()
            client.ping()
            waits.append(time.monotonic() - start)
            stop.wait(0.005)

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert max(waits) < seconds, f"a PING waited for {max(waits):.1f} s"


@pytest.fixture
def hostile(server):
    """See ``Hostile``. What comes behind the test is a part of it."""
    case = Hostile(server)
    yield case
    server.assert_alive()
    case.end()


def function(code, name="f"):
    """JavaScript that registers a function."""
    return f"redis.register_function('{name}', {code});"


# --- time ----------------------------------------------------------------------------------------

# Where hostile code can be, as CODE.
PLACES = {
    "load": "CODE",
    "function": function("client => { CODE }"),
    "async function": function("async client => { CODE }"),
    "after await": function("async client => { await null; CODE }"),
    "block": function("async outer => outer.block(client => { CODE })"),
    "block after block": function("async outer => { outer.block(() => {}); await null; outer.block(client => { CODE }); }"),
    "background": function("client => client.run_on_background(async background => { CODE })"),
    "promise chain": function("client => Promise.resolve().then(() => {}).then(() => { CODE })"),
    "async promise chain": function("async client => Promise.resolve().then(() => {}).then(() => { CODE })"),
    "promise executor": function("client => new Promise(() => { CODE })"),
    "finally": function("client => Promise.reject(1).catch(() => {}).finally(() => { CODE })"),
    "catch": function("client => { try { throw 1; } catch (error) { CODE } }"),
    "getter of the result": function("client => ({ get value() { CODE } })"),
    "getter of an async result": function("async client => { await null; return { get value() { CODE } }; }"),
    "getter of an element": function("client => [1, { get value() { CODE } }, 3]"),
    "getter of the tag": function(
        "client => Object.defineProperty(new String('x'), '__reply_type', { get() { CODE } })"
    ),
    "then of the result": function("async client => ({ then() { CODE } })"),
    "toISOString of the result": function("client => { const d = new Date(); d.toISOString = () => { CODE }; return d; }"),
    "valueOf of the result": function("client => Object.assign(new Number(1), { valueOf() { CODE } })"),
    "ownKeys of the result": function("client => new Proxy({}, { ownKeys() { CODE } })"),
    "get of the result": function("client => new Proxy({ a: 1 }, { get() { CODE } })"),
    "getOwnPropertyDescriptor of the result": function(
        "client => new Proxy({ a: 1 }, { getOwnPropertyDescriptor() { CODE } })"
    ),
    "toString of an argument": function(
        "client => client.call('ECHO', Object.assign(new String('x'), { toString() { CODE } }))"
    ),
    "toPrimitive of an argument": function(
        "client => client.call('ECHO', Object.assign(new String('x'), { [Symbol.toPrimitive]() { CODE } }))"
    ),
    "toString of the command": function(
        "client => client.call(Object.assign(new String('PING'), { toString() { CODE } }))"
    ),
    "toString of an argument in block": function(
        "async client => client.block(inside =>"
        " inside.call('ECHO', Object.assign(new String('x'), { toString() { CODE } })))"
    ),
    "toString of what is thrown": function("client => { throw { toString() { CODE } }; }"),
    "toString of a rejection": function("async client => { await null; throw { toString() { CODE } }; }"),
    "toString of a rejection that nothing handles": function(
        "client => { Promise.reject({ toString() { CODE } }); return 1; }"
    ),
    "message of an error": function(
        "client => { throw Object.defineProperty(new Error(), 'message', { get() { CODE } }); }"
    ),
    "stack of an error": function("client => { throw Object.defineProperty(new Error(), 'stack', { get() { CODE } }); }"),
    "prepareStackTrace": function("client => { Error.prepareStackTrace = () => { CODE }; throw new Error('x'); }"),
    "a generator": function("client => [...(function* () { yield 1; CODE })()]"),
    "a Proxy that is called": function("async client => client.block(new Proxy(() => {}, { apply() { CODE } }))"),
    "callback": consumer(callback="(client, data) => { CODE }"),
    "callback after call": consumer(callback="(client, data) => { client.call('INCR', 'n'); CODE }"),
    "async callback": consumer(callback="async (client, data) => { CODE }"),
    "block of a callback": consumer(callback="async (client, data) => client.block(() => { CODE })"),
    "background of a callback": consumer(
        callback="(client, data) => client.run_on_background(async background => { CODE })"
    ),
}

LOOP = "for (;;) { try { for (;;); } catch (error) {} finally { for (;;); } }"


@pytest.mark.parametrize("place", PLACES)
def test_an_endless_loop_is_ended_wherever_it_is(hostile, place):
    assert re.search(TIMEOUT, hostile.provoke(place, LOOP))


MICROTASKS = {
    "promises": "(function self() { Promise.resolve().then(self); })();",
    "await": "(async () => { for (;;) await null; })();",
    "a thenable that resolves to itself": "const t = { then(resolve) { resolve(t); } }; Promise.resolve(t);",
    "more and more": "(function self() { Promise.resolve().then(self); Promise.resolve().then(() => 1); })();",
    "async recursion": "(async function self() { await null; return self(); })();",
}


@pytest.mark.parametrize("place", ["load", "function", "async function", "block", "background", "callback"])
@pytest.mark.parametrize("what", MICROTASKS)
def test_microtasks_without_end_are_ended(hostile, place, what):
    assert re.search(ENDED, hostile.provoke(place, MICROTASKS[what]))


# Each goes on for ever, or for hours, in other ways than by a loop of JavaScript.
SLOW = {
    "JSON to text": "JSON.stringify(new Array(1e5).fill('x'.repeat(1e5)));",
    "rejected promises": "for (;;) Promise.reject(1);",
    "regular expression": "/^(a+)+$/.test('a'.repeat(60) + 'b');",
    "regular expression with back references": "/^(.*)*\\1(.*)*\\2x$/.test('a'.repeat(60));",
    "replace by a regular expression": "'a'.repeat(60).replace(/^(a+)+b$/g, 'x');",
    "power of a BigInt": "10n ** 10000000n * 10n ** 10000000n;",
    "text of a BigInt": "(7n ** 3000000n).toString();",
    "division of BigInts": "const a = 7n ** 3000000n, b = 3n ** 3000000n; for (let n = 0; n < 1000; n++) a / b;",
    "BigInt from text": "BigInt('9'.repeat(20000000));",
    "BigInts that grow": "let n = 3n; for (;;) n = n * n;",
    "sort with a hostile comparator": "[3, 2, 1].sort(() => { for (;;); });",
    "sort with an inconsistent comparator": "for (;;) Array.from({ length: 1e4 }, Math.random).sort(() => Math.random() - 0.5);",
    "sort of a typed array": "new Float64Array(1e5).map(Math.random).sort((a, b) => { for (;;); });",
    "reviver of JSON": "JSON.parse('[1, 2, 3]', () => { for (;;); });",
    "toJSON": "JSON.stringify({ toJSON() { for (;;); } });",
    "JSON that unfolds": "let o = {}; for (let n = 0; n < 40; n++) o = { a: o, b: o }; JSON.stringify(o);",
    "eval": "for (let n = 0; ; n++) eval(`(function f${n}() { return ${n}; })()`);",
    "new Function": "for (let n = 0; ; n++) new Function('a', `return a + ${n};`)(1);",
    "regular expressions that are compiled": "for (;;) new RegExp('a' + Math.random()).test('b');",
    "an iterator without end": "Object.groupBy({ [Symbol.iterator]: () => ({ next: () => ({ value: 1 }) }) }, () => 1);",
    "dates": "for (;;) new Date(Math.random() * 1e12).toLocaleString('de', { timeZone: 'Asia/Tokyo' });",
    "Proxy on Proxy": "let p = {}; for (let n = 0; n < 500; n++) p = new Proxy(p, {}); for (;;) p.a;",
    "logging": "for (;;) redis.log('x'.repeat(100000));",
    "waiting for other threads": "for (;;) try { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1e6); }"
    " catch (error) {}",
    "commands": "for (;;) try { client.call('PING'); } catch (error) {}",
}


@pytest.mark.parametrize("place", ["async function", "block"])
@pytest.mark.parametrize("what", SLOW)
def test_what_takes_too_long_is_ended(hostile, place, what):
    assert re.search(ENDED, hostile.provoke(place, SLOW[what]))


# Built-in functions that V8 does not interrupt: they go on where a length is a number that somebody wrote down.
ARRAY_LIKE = "{ length: 2 ** 53 - 1 }"
UNINTERRUPTED = {
    **{
        name: f"Array.prototype.{name}.call({ARRAY_LIKE}, 1);"
        for name in ("indexOf", "lastIndexOf", "includes", "reverse", "shift", "fill", "flat")
    },
    **{
        name: f"Array.prototype.{name}.call({ARRAY_LIKE}, () => true);"
        for name in ("every", "some", "forEach", "reduceRight")
    },
    "copyWithin": f"Array.prototype.copyWithin.call({ARRAY_LIKE}, 1, 0);",
    "unshift": "Array.prototype.unshift.call({ length: 2 ** 53 - 2 }, 1);",
    "slice": "Array.prototype.slice.call({ length: 2 ** 32 - 1 });",
    "splice": "Array.prototype.splice.call({ length: 2 ** 32 - 1 }, 0);",
    "Array.from": "Array.from({ length: 2 ** 32 - 1 });",
    "fill of a long array": "new Array(2 ** 32 - 1).fill(0);",
    "length and fill": "const a = []; a.length = 2 ** 27; a.fill(1);",
    "Object.keys of bytes": "Object.keys(new Uint8Array(6e7));",
    "Object.entries of bytes": "Object.entries(new Uint8Array(6e7));",
    "Object.keys of a text": "Object.keys(new String('x'.repeat(2 ** 28)));",
    "Object.entries of a text": "Object.entries(new String('x'.repeat(2 ** 27)));",
    "Object.values of a text": "Object.values('x'.repeat(2 ** 28));",
    "Object.assign of a text": "Object.assign({}, 'x'.repeat(2 ** 27));",
    "Reflect.ownKeys of a text": "Reflect.ownKeys(new String('x'.repeat(2 ** 28)));",
    "replace in a huge text": "''.padStart(2 ** 29 - 30, 'ab').replace(/a/g, '');",
}


@pytest.mark.parametrize("what", UNINTERRUPTED)
def test_what_v8_does_not_interrupt_is_bounded(hostile, what):
    assert hostile.provoke("function", UNINTERRUPTED[what])


# --- memory --------------------------------------------------------------------------------------

BOMBS = {
    "arrays": "const bag = []; for (;;) bag.push(new Array(1000).fill(bag.length));",
    "objects": "let chain = null; for (;;) chain = { chain, text: 'x' + Math.random() };",
    "strings": "const bag = []; for (let n = 0; ; n++) bag.push(('x' + n).repeat(1000).toUpperCase());",
    "doubled string": "let text = 'x'; for (;;) text += text;",
    "doubled string that is read": "let text = 'x'; for (;;) { text += text; text.charCodeAt(text.length - 1); }",
    "doubled array": "let list = [1]; for (;;) list = list.concat(list);",
    "pushed numbers": "const bag = []; for (;;) bag.push(1);",
    "pushed doubles": "const bag = []; for (;;) bag.push(0.5);",
    "buffers": "const bag = []; for (;;) bag.push(new ArrayBuffer(1 << 20));",
    "buffers in use": "const bag = []; for (;;) bag.push(new Uint8Array(1 << 20).fill(1));",
    "small buffers": "const bag = []; for (;;) bag.push(new ArrayBuffer(1));",
    "one large buffer": "new ArrayBuffer(2 ** 32);",
    "a buffer that is transferred": "let b = new ArrayBuffer(1 << 20); for (;;) b = b.transfer(b.byteLength + (1 << 20));",
    "shared buffers": "const bag = []; for (;;) bag.push(new SharedArrayBuffer(1 << 20));",
    "typed array from an array": "const list = new Array(4e6).fill(1); const bag = []; for (;;) bag.push(Uint32Array.from(list));",
    "map": "const bag = new Map(); for (let n = 0; ; n++) bag.set('k' + n, [n]);",
    "properties": "const bag = {}; for (let n = 0; ; n++) bag['k' + n] = n;",
    "symbols": "const bag = []; for (let n = 0; ; n++) bag.push(Symbol('x'.repeat(1000) + n));",
    "closures": "let f = () => {}; for (;;) { const g = f; f = () => g; }",
    "pending promises": "const bag = []; for (;;) bag.push(new Promise(() => {}));",
    "settled promises": "const bag = []; for (;;) bag.push(Promise.resolve(bag.length));",
    "chained promises": "let p = Promise.resolve(); for (;;) p = p.then(() => {});",
    "weak references": "const bag = []; for (;;) bag.push(new WeakRef({ a: [1, 2, 3] }));",
    "finalizers": "const r = new FinalizationRegistry(() => {}); const bag = [];"
    " for (;;) { const o = {}; bag.push(o); r.register(o, {}); }",
    "spread of a text": "[...'x'.repeat(2 ** 25)];",
    "characters of a text": "Array.from('x'.repeat(2 ** 25));",
    "replies": "const bag = []; for (;;) bag.push(client.call('ECHO', 'x'.repeat(10000)));",
}
# What needs more time for 64 MB than a test should take.
SLOW_BOMBS = {
    "sort of a copy": "const bag = []; for (;;) bag.push(Array.from({ length: 1e5 }, Math.random).sort());",
    "compiled code": "const bag = []; for (let n = 0; ; n++) bag.push(new Function('return [' + '1.5,'.repeat(1000) + n + ']')());",
    "stacks": "Error.stackTraceLimit = 200; const bag = [];"
    " (function down(n) { if (n) return down(n - 1); for (;;) bag.push(new Error('x').stack); })(100);",
    "collators": "const bag = []; for (;;) bag.push(new Intl.Collator('de'));",
    "date formats": "const bag = []; for (;;) bag.push(new Intl.DateTimeFormat('de', { dateStyle: 'full' }));",
    "number formats": "const bag = []; for (;;) bag.push(new Intl.NumberFormat('de', { style: 'currency', currency: 'EUR' }));",
}


# Every bomb off the lock, and some of each kind with it: the heap is the same.
BOMB_PLACES = [("async function", what) for what in BOMBS] + [
    ("block" if number % 2 else "function", what) for number, what in enumerate(BOMBS) if number % 3 == 0
]


@pytest.mark.parametrize(("place", "what"), BOMB_PLACES)
def test_what_takes_too_much_memory_is_ended(hostile, place, what):
    hostile.limit(LONG_MS)
    assert re.search(OUT_OF_MEMORY, hostile.provoke(place, BOMBS[what]))


@pytest.mark.parametrize("place", ["function", "async function"])
@pytest.mark.parametrize("what", SLOW_BOMBS)
def test_what_takes_too_much_memory_slowly_is_ended(hostile, place, what):
    hostile.limit(300)
    assert re.search(ENDED, hostile.provoke(place, SLOW_BOMBS[what]))


@pytest.mark.parametrize("place", ["load", "callback", "async callback", "getter of the result", "toString of an argument",
                                   "promise chain", "background", "ownKeys of the result"])
@pytest.mark.parametrize("what", ["arrays", "buffers in use"])
def test_memory_is_bounded_wherever_it_is_taken(hostile, place, what):
    hostile.limit(LONG_MS)
    assert re.search(OUT_OF_MEMORY, hostile.provoke(place, BOMBS[what]))


def test_a_bomb_in_block_that_is_caught_is_ended_all_the_same(hostile):
    hostile.limit(LONG_MS)
    code = f"for (;;) try {{ client.block(() => {{ {BOMBS['arrays']} }}); }} catch (error) {{}}"
    assert re.search(OUT_OF_MEMORY, hostile.provoke("async function", code))


# Memory outside of the heap that V8 maps by itself. Each takes, and fills, 256 MB, where a library may have 64.
MAPPED = {
    "a resizable buffer": "const b = new ArrayBuffer(8, { maxByteLength: 2 ** 29 }); b.resize(2 ** 28); new Uint8Array(b).fill(1);",
    "a growable shared buffer": "const b = new SharedArrayBuffer(8, { maxByteLength: 2 ** 29 }); b.grow(2 ** 28);"
    " new Uint8Array(b).fill(1);",
    "memory of WebAssembly": "const m = new WebAssembly.Memory({ initial: 4096 }); new Uint8Array(m.buffer).fill(1);",
    "memory of WebAssembly that grows": "const m = new WebAssembly.Memory({ initial: 1 }); m.grow(4095);"
    " new Uint8Array(m.buffer).fill(1);",
}


@pytest.mark.parametrize("what", MAPPED)
def test_memory_that_v8_maps_counts_as_well(hostile, what):
    hostile.limit(LONG_MS)
    # Where a thing is not there at all, that is fine too.
    error = hostile.provoke("function", MAPPED[what])
    assert re.search(f"{OUT_OF_MEMORY}|ReferenceError|RangeError|TypeError", error)


# A guard that asks for a length must ask for it once: the second answer may be another. Then nothing is wrong.
TWO_LENGTHS = {
    name: f"let asked = 0; Array.prototype.{name}.call({{ get length() {{ return asked++ ? {length} : 1; }} }}, {arguments});"
    " throw new RangeError();"
    for name, length, arguments in (
        ("sort", "2 ** 53 - 1", ""),
        ("toSorted", "2 ** 31", ""),
        ("toReversed", "2 ** 27", ""),
        ("with", "2 ** 27", "0, 1"),
        ("toSpliced", "2 ** 27", "0, 1"),
    )
}
# More elements than one array of V8 can have.
TOO_MANY = {
    "match": "'x'.repeat(2 ** 28).match(/x/g);",
    "matchAll": "[...'x'.repeat(2 ** 28).matchAll(/x/g)];",
    "split by a regular expression": "/(?:)/[Symbol.split]('x'.repeat(2 ** 28));",
    "replace by a function": "'x'.repeat(2 ** 28).replace(/x/g, () => '');",
    "split": "'x'.repeat(2 ** 28).split('');",
    "concat": "const a = new Array(2 ** 25).fill(0); [].concat(a, a, a, a, a, a, a, a);",
    "sort of a long array": "new Array(2 ** 28).sort();",
    "match, called directly": "/x/g[Symbol.match]('x'.repeat(2 ** 28));",
    "matchAll, called directly": "[.../x/g[Symbol.matchAll]('x'.repeat(2 ** 28))];",
    "replace by a function, called directly": "/x/g[Symbol.replace]('x'.repeat(2 ** 28), () => '');",
    "split, called directly": "/x/[Symbol.split]('x'.repeat(2 ** 28));",
    "split, called on a class of its own": "class R extends RegExp {} new R('x')[Symbol.split]('x'.repeat(2 ** 28));",
    "split by many groups": "'x'.repeat(2 ** 26).split(/(((((((((x)))))))))/);",
    "split by groups that are none": "class R extends RegExp { exec() { this.lastIndex = 1; return { length: 2 ** 32 }; } }"
    " new R('x')[Symbol.split]('abc');",
    "replace of groups that are none": "const r = /x/; r.exec = () => ({ index: 0, length: 2 ** 32, 0: 'a' }); 'abc'.replace(r, 'z');",
    "replace of groups that come late": "const r = /x/; 'abc'.replace(r, { toString() {"
    " r.exec = () => ({ index: 0, length: 2 ** 32, 0: 'a' }); return 'z'; } });",
    "replace of groups of all": "RegExp.prototype.exec = () => ({ index: 0, length: 2 ** 32, 0: 'a' }); 'abc'.replace(/x/, 'z');",
}
# What is asked for a length, and gives something else than a number, each time another.
for method, more in (("toSorted", ""), ("toReversed", ""), ("with", "0, 1"), ("toSpliced", "0, 1"), ("sort", "")):
    TOO_MANY[f"{method} of a length that is no number"] = (
        "for (let answers = 0; answers < 32; answers++) { let asked = 0;"
        " const number = { valueOf: () => answers >> asked++ & 1 ? 2 ** 32 - 1 : 1 }; globalThis.Math = { floor: () => number };"
        f" try {{ Array.prototype.{method}.call({{ length: 1.5 }}, {more}); }} catch (error) {{}} }} throw new RangeError();"
    )


@pytest.mark.parametrize("what", [*TWO_LENGTHS, *TOO_MANY])
def test_too_many_elements_are_an_error(hostile, what):
    hostile.limit(1000)
    error = hostile.provoke("async function", (TWO_LENGTHS | TOO_MANY)[what])
    assert re.search(f"{ENDED}|RangeError|TypeError", error)


def test_a_million_promises_are_kept_or_refused(hostile):
    hostile.limit(LONG_MS)
    hostile.server.load(
        function("async client => (await Promise.all(Array.from({ length: 1e6 }, async () => { await null; }))).length")
    )
    with in_time(LONG_MS / 1000 + IN_TIME):
        try:
            assert hostile.server.run("RG.FCALL", "lib", "f", 0) == 1_000_000
        except ResponseError as error:
            assert re.search(ENDED, str(error))


# --- depth ---------------------------------------------------------------------------------------

RECURSIONS = {
    "function": "(function down() { return 1 + down(); })();",
    "getter": "const o = { get a() { return this.a; } }; o.a;",
    "Proxy": "const p = new Proxy({}, { get(target, name, self) { return self[name]; } }); p.a;",
    "toJSON": "const o = { toJSON() { return JSON.stringify(this); } }; JSON.stringify(o);",
    "toString": "const o = { toString() { return `${this}`; } }; `${o}`;",
    "call": "const word = new String('x'); word.toString = () => client.call('ECHO', word); client.call('ECHO', word);",
    "flat": "const list = []; list.push(list, list); list.flat(Infinity);",
    "constructor": "class A { constructor() { new A(); } } new A();",
    "replace": "const again = () => 'x'.replace(/x/, again); again();",
    "sort": "const again = () => [2, 1].sort(again); again();",
    "brackets": "eval('['.repeat(1e6));",
    "regular expression": "new RegExp('('.repeat(1e6) + ')'.repeat(1e6)).test('x');",
}


@pytest.mark.parametrize("place", ["function", "async function", "block"])
@pytest.mark.parametrize("what", RECURSIONS)
def test_recursion_without_end_is_an_error(hostile, place, what):
    hostile.limit(LONG_MS)
    assert re.search(f"Maximum call stack|RangeError|SyntaxError|{ENDED}", hostile.provoke(place, RECURSIONS[what]))


DEPTHS = {
    "bound functions": "let f = () => 1; for (let n = 0; n < 1e5; n++) f = f.bind(null); f();",
    "Proxy on Proxy": "let p = () => 1; for (let n = 0; n < 1e5; n++) p = new Proxy(p, {}); p();",
    "JSON": "JSON.stringify(JSON.parse('['.repeat(1e5) + ']'.repeat(1e5)));",
    "text in text": "let text = 'x'; for (let n = 0; n < 1e6; n++) text = 'y' + text; text.charCodeAt(1e5);",
    "prototypes": "let o = {}; for (let n = 0; n < 1e5; n++) o = Object.create(o); o.a;",
    "scopes": "let f = () => 1; for (let n = 0; n < 1e4; n++) { const g = f; f = () => g(); } f();",
}


@pytest.mark.parametrize("place", ["function", "async function"])
@pytest.mark.parametrize("what", DEPTHS)
def test_great_depth_does_no_harm(hostile, place, what):
    hostile.limit(1000)
    hostile.server.load(PLACES[place].replace("CODE", f"{DEPTHS[what]} return 1;"))
    try:
        assert hostile.call() == 1
    except ResponseError as error:
        assert re.search(f"Maximum call stack|{ENDED}", str(error))


DEEP_RESULTS = {
    "getters": "const deep = { get a() { return deep; } }; return deep;",
    "proxies": "const h = { ownKeys: () => ['a'], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),"
    " get: () => new Proxy({}, h) }; return new Proxy({}, h);",
    "arrays": "let deep = []; for (let n = 0; n < 1e5; n++) deep = [deep]; return deep;",
    "maps": "let deep = new Map(); for (let n = 0; n < 1e5; n++) deep = new Map([[1, deep]]); return deep;",
    "itself": "const list = []; list.push(list); return list;",
    "valueOf": "const n = new Number(1); n.valueOf = () => n; return n;",
}


@pytest.mark.parametrize("kind", ["", "async"])
@pytest.mark.parametrize("what", DEEP_RESULTS)
def test_a_result_without_a_bottom_is_an_error(hostile, what, kind):
    hostile.server.load(function(f"{kind} client => {{ {DEEP_RESULTS[what]} }}"))
    assert "nesting level reached" in hostile.fails()


# --- what is thrown, and what is returned -----------------------------------------------------------

THROWERS = {
    "function": "client => { throw (%s); }",
    "async function": "async client => { throw (%s); }",
    "block": "async client => client.block(() => { throw (%s); })",
    "rejection": "client => Promise.reject(%s)",
    "background": "client => client.run_on_background(async background => { throw (%s); })",
    "getter": "client => ({ get value() { throw (%s); } })",
}


@pytest.mark.parametrize("place", THROWERS)
@pytest.mark.parametrize("what", NON_ERRORS)
def test_whatever_a_function_throws_is_an_error_reply(hostile, what, place):
    hostile.server.load(function(THROWERS[place] % NON_ERRORS[what]))
    assert len(hostile.fails()) < 100_000


NO_RESULTS = {
    "a function": "() => 1",
    "a class": "class {}",
    "a Proxy of a function": "new Proxy(() => 1, {})",
    "a symbol": "Symbol('x')",
    "a revoked Proxy": "(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })()",
    "a Proxy that throws": "new Proxy({}, { ownKeys() { throw new Error('no'); } })",
    "a Proxy that lies": "new Proxy(Object.freeze({ a: 1 }), { ownKeys: () => ['b'] })",
    "an invalid date": "new Date(NaN)",
    "a pending promise in a list": "[new Promise(() => {})]",
    "a text that is too large": "'x'.repeat(2 ** 28)",
    "a list that is too long": "new Array(2 ** 32 - 1)",
    "the same text a thousand times": "new Array(1000).fill('x'.repeat(1 << 20))",
    "the same list over and over": "(() => { let list = []; for (let n = 0; n < 50; n++) list = [list, list]; return list; })()",
}


@pytest.mark.parametrize("kind", ["", "async"])
@pytest.mark.parametrize("what", NO_RESULTS)
def test_what_cannot_be_a_reply_is_an_error(hostile, what, kind):
    hostile.limit(1000)
    hostile.server.load(function(f"{kind} client => ({NO_RESULTS[what]})"))
    assert hostile.fails()


# --- large arguments and replies -----------------------------------------------------------------------

LARGE = 100_000_000


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("kind", ["sync", "async", "raw", "raw async"])
def test_arguments_of_100_megabytes_are_refused(hostile, kind, count):
    flags = ", ['raw-arguments']" if "raw" in kind else ""
    start = "async (client, ...words)" if "async" in kind else "(client, ...words)"
    hostile.server.load(f"redis.register_function('f', {start} => words.length{flags});")
    client = hostile.client()
    words = ["x" * (LARGE // count)] * count
    with in_time(10), pytest.raises(ResponseError, match="do not fit into the library's memory"):
        client.execute_command("RG.FCALL", "lib", "f", 0, *words)
    with in_time(10), pytest.raises(ResponseError):
        client.execute_command("RG.FCALL", "lib", "f", 0, *["x"] * 100_000)
    assert client.execute_command("RG.FCALL", "lib", "f", 0, "x", "y") == 2
    client.close()


# Words of one command, of more bytes together than the library may have.
LARGE_WORDS = {
    "a string": "'ECHO', 'x'.repeat(1e8)",
    "the largest string": "'ECHO', 'x'.repeat(2 ** 29 - 24)",
    "a buffer": "'ECHO', new ArrayBuffer(6e7)",
    "the same string many times": "'DEL', ...new Array(1000).fill('x'.repeat(1 << 20))",
    "the same buffer many times": "'DEL', ...new Array(1000).fill(new Uint8Array(1 << 20))",
}


@pytest.mark.parametrize("place", ["function", "block"])
@pytest.mark.parametrize("what", LARGE_WORDS)
def test_words_of_a_command_do_not_take_more_memory_than_the_library_has(hostile, what, place):
    hostile.limit(LONG_MS)
    hostile.server.load(PLACES[place].replace("CODE", f"client.call({LARGE_WORDS[what]}); return 1;"))
    with peak(hostile) as most:
        try:
            hostile.server.run("RG.FCALL", "lib", "f", 0)
        except ResponseError:
            pass
    # The word, the server's copy, its reply, and the reply's text.
    assert max(most) < hostile.before + 10 * (64 << 20), f"{max(most) >> 20} MB were resident"


@contextmanager
def peak(hostile):
    """Looks at the server's memory all the while; ends the server if that gets dangerous for the machine."""
    seen = [0]
    stop = threading.Event()

    def look():
        while not stop.wait(0.01):
            with open(f"/proc/{hostile.pid}/statm", encoding="ascii") as file:
                seen.append(4096 * int(file.read().split()[1]))
            if seen[-1] > 3 << 30:
                hostile.server.process.kill()
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


LARGE_REPLIES = {
    "text": ("call", ["GET", "big"]),
    "bytes": ("call_raw", ["GET", "big"]),
    "a list": ("call", ["LRANGE", "list", "0", "-1"]),
    "a list of bytes": ("call_raw", ["LRANGE", "list", "0", "-1"]),
    "a set": ("call", ["SMEMBERS", "set"]),
    "a map": ("call", ["HGETALL", "hash"]),
    "many times the same": ("call", ["MGET", *["part"] * 100]),
}


@pytest.mark.parametrize("place", ["function", "block"])
@pytest.mark.parametrize("what", LARGE_REPLIES)
def test_replies_that_are_too_large_are_an_error(hostile, what, place):
    hostile.limit(LONG_MS)
    method, words = LARGE_REPLIES[what]
    server = hostile.server
    if "big" in words:
        server.run("SETRANGE", "big", LARGE - 1, "x")
    elif "part" in words:
        server.run("SET", "part", "x" * (LARGE // 100))
    else:
        for start in range(0, 1_000_000, 50_000):
            fill = range(start, start + 50_000)
            if "list" in words:
                server.run("RPUSH", "list", *fill)
            elif "set" in words:
                server.run("SADD", "set", *fill)
            else:
                server.run("HSET", "hash", *(word for one in fill for word in (one, one)))
    hostile.before = max(hostile.before, hostile.memory())
    server.load(PLACES[place].replace("CODE", f"client.{method}(...{words}); return 1;"))
    try:
        assert hostile.call() == 1
    except ResponseError as error:
        assert re.search(f"does not fit into the library's memory|{OUT_OF_MEMORY}", str(error))
    server.run("DEL", "big", "part", "list", "set", "hash")


# --- commands ------------------------------------------------------------------------------------

WORDS = [
    function("(client, ...words) => client.call(...words)", "function"),
    function("async (outer, ...words) => outer.block(client => client.call(...words))", "block"),
]

# Commands that would end, stop or take over the server, or hold the client of a script.
NOT_FOR_SCRIPTS = """
SHUTDOWN|SHUTDOWN NOSAVE|SHUTDOWN ABORT|DEBUG SEGFAULT|DEBUG SLEEP 10|DEBUG RELOAD|DEBUG PANIC|SAVE|BGSAVE|BGREWRITEAOF
SUBSCRIBE a|PSUBSCRIBE *|SSUBSCRIBE a|UNSUBSCRIBE|MULTI|EXEC|DISCARD|WATCH a|UNWATCH|MONITOR|RESET|QUIT|HELLO 3|AUTH default x
EVAL return 0|EVALSHA a 0|EVAL_RO return 0|FCALL a 0|FCALL_RO a 0|SCRIPT FLUSH|SCRIPT KILL|FUNCTION FLUSH|FUNCTION LIST
CONFIG GET *|CONFIG SET maxmemory 1|CONFIG REWRITE|CONFIG RESETSTAT|ACL SETUSER default off|ACL LIST|ACL WHOAMI
CLIENT KILL TYPE normal|CLIENT PAUSE 10000|CLIENT REPLY OFF|CLIENT LIST|CLIENT TRACKING ON|CLIENT NO-EVICT ON|CLIENT ID
REPLICAOF 127.0.0.1 1|SLAVEOF 127.0.0.1 1|REPLCONF listening-port 1|SYNC|PSYNC ? -1|FAILOVER|ROLE|CLUSTER RESET
MODULE LIST|MODULE LOAD /tmp/x|MODULE UNLOAD redisgears_2|LATENCY RESET|SELECT 1
RG.FUNCTION LIST|RG.FUNCTION DEL bystander|RG.FUNCTION LOAD x|RG.FCALL lib function 0 PING|RG.FCALLASYNC lib function 0 PING
RG.CONFIG SET lock-redis-timeout 1000000|RG.CONFIG GET lock-redis-timeout
"""


@pytest.mark.parametrize("place", ["function", "block"])
def test_commands_that_are_not_for_scripts_are_refused(hostile, place):
    server = hostile.server
    server.load(*WORDS)
    server.run("SET", "key", "kept")
    hostile.limit(500)
    for line in NOT_FOR_SCRIPTS.strip().splitlines():
        for command in line.split("|"):
            error = hostile.fails(*command.split(), function=place)
            assert re.search("not allowed|disabled", error), (command, error)
    assert server.run("CONFIG", "GET", "maxmemory") == ["maxmemory", "0"]
    assert server.client.info("replication")["role"] == "master"
    assert server.libraries() == ["bystander", "lib"]
    assert server.run("GET", "key") == "kept"


# What would wait returns at once, or is refused.
WAITING = """
BLPOP nothing 0|BRPOP nothing 0|BLMOVE nothing other LEFT LEFT 0|BLMPOP 0 1 nothing LEFT|BZPOPMIN nothing 0|BZMPOP 0 1 nothing MIN
XREAD BLOCK 0 STREAMS nothing $|XREADGROUP GROUP g c BLOCK 0 STREAMS nothing >|WAIT 1 0|WAITAOF 1 0 0|BRPOPLPUSH nothing other 0
"""


@pytest.mark.parametrize("place", ["function", "block"])
def test_commands_that_wait_do_not_wait_in_a_script(hostile, place):
    hostile.server.load(*WORDS)
    hostile.limit(LONG_MS)
    hostile.patience = IN_TIME
    for line in WAITING.strip().splitlines():
        for command in line.split("|"):
            try:
                assert hostile.call(*command.split(), function=place) in (None, [], 0, [0, 0]), command
            except ResponseError as error:
                assert re.search("not allowed|NOGROUP|unknown command|WAITAOF", str(error)), command


NO_COMMANDS = {
    "no arguments": ("", "Wrong number of arguments to 'call' function"),
    "NUL in the name": ("'GE\\0T', 'x'", "NUL"),
    "NUL at the end": ("'GET\\0', 'x'", "NUL"),
    "no name": ("''", "unknown command"),
    "an unknown command": ("'NOSUCH', 'x'", "unknown command"),
    "two words in the name": ("'CONFIG GET', 'maxmemory'", "unknown command"),
    "line ends in the name": ("'x\\r\\n+OK\\r\\n'", "unknown command"),
    "a long name": ("'x'.repeat(1e7)", "unknown command"),
    "a name in bytes that are no text": ("'\\ud800'", "unknown command"),
    "too few arguments": ("'GET'", "wrong number of arguments"),
    "too many arguments": ("'GET', 'a', 'b'", "wrong number of arguments"),
    "a number as the name": ("1, 'x'", "First argument to 'command' must be a string"),
    "undefined": ("'ECHO', undefined", "Bad argument was given to 'call'"),
    "null": ("'ECHO', null", "Bad argument was given to 'call'"),
    "an object": ("'ECHO', {}", "Bad argument was given to 'call'"),
    "a list": ("'ECHO', ['x']", "Bad argument was given to 'call'"),
    "a symbol": ("'ECHO', Symbol('x')", "Bad argument was given to 'call'"),
    "a function": ("'ECHO', () => 1", "Bad argument was given to 'call'"),
    "a Proxy that loops": ("'ECHO', new Proxy(new String('x'), { get() { for (;;); } })", "Bad argument was given to 'call'"),
    "a text that throws": ("'ECHO', Object.assign(new String('x'), { toString() { throw null; } })", "null"),
    "a text that throws a symbol": (
        "'ECHO', Object.assign(new String('x'), { toString() { throw Symbol('x'); } })",
        "Symbol",
    ),
}


@pytest.mark.parametrize("method", ["call", "call_raw"])
@pytest.mark.parametrize("place", ["function", "block"])
@pytest.mark.parametrize("what", NO_COMMANDS)
def test_what_is_no_command_is_an_error(hostile, what, place, method):
    words, error = NO_COMMANDS[what]
    hostile.limit(500)
    hostile.server.load(PLACES[place].replace("CODE", f"return client.{method}({words});"))
    message = hostile.fails()
    assert error in message
    assert len(message) < 1000


def test_a_buffer_that_changes_while_its_words_are_read_does_no_harm(hostile):
    hostile.server.load(
        function(
            """client => {
                const buffer = new ArrayBuffer(1 << 20);
                const word = new String('x');
                word.toString = () => { buffer.transfer(); return 'second'; };
                client.call('MSET', 'first', buffer, word, buffer);
                return ['first', 'second'].map(key => client.call('STRLEN', key));
            }"""
        )
    )
    assert hostile.call() == [1 << 20, 0]


# --- background parts --------------------------------------------------------------------------------

SPAWNS = {
    "one": "inside.run_on_background(again);",
    "one that nothing handles": "inside.run_on_background(again); throw new Error('by intent');",
    "one that is waited for": "return inside.run_on_background(again);",
    "two": "inside.run_on_background(again); inside.run_on_background(again);",
}


@pytest.mark.parametrize("end", ["DEL", "UPGRADE"])
@pytest.mark.parametrize("what", SPAWNS)
def test_background_parts_that_start_themselves_end_with_their_library(start_server, what, end):
    server = start_server(module_args=MODULE_ARGS)
    hostile = Hostile(server)
    server.load(
        function(
            f"""client => {{
                const again = async background => background.block(inside => {{
                    inside.call('INCR', 'spawned');
                    {SPAWNS[what]}
                }});
                client.run_on_background(again);
                return 1;
            }}"""
        )
    )
    with answering(server):
        hostile.call()
        server.wait(lambda: int(server.run("GET", "spawned") or 0) > 100, "it does not start itself")
        hostile.bystander_works()
    if end == "DEL":
        server.run("RG.FUNCTION", "DEL", "lib")
    else:
        server.upgrade(function("client => 1"))
    stands_still(server, "spawned")
    hostile.end()


def stands_still(server, key):
    """Waits until a number does not change any more."""
    seen = []

    def settled():
        seen.append(server.run("GET", key))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    eventually(settled, lambda: f"{key} still grows: {seen[-1]}", deadline=5)


MANY = {
    "a million, one after the other": "for (let n = 0; n < 1e6; n++) client.run_on_background(async () => n);",
    "a million at once": "return Promise.all(Array.from({ length: 1e6 }, (_, n) => client.run_on_background(async () => n)));",
    "no end": "for (;;) client.run_on_background(async () => 1);",
}


@pytest.mark.parametrize("place", ["function", "block"])
@pytest.mark.parametrize("what", MANY)
def test_ever_so_many_background_parts_are_bounded(hostile, what, place):
    server = hostile.server
    hostile.limit(1000)
    server.load(PLACES[place].replace("CODE", f"{MANY[what]} return 1;"))
    with answering(server, seconds=3), in_time(10):
        try:
            server.run("RG.FCALL", "lib", "f", 0)
        except ResponseError as error:
            assert re.search(f"{ENDED}|too large", str(error))
        hostile.bystander_works()


BLOCKS = {
    "nothing": "for (;;) client.block(() => {});",
    "nothing, and await": "for (;;) await client.block(() => {});",
    "a command": "for (;;) client.block(inside => inside.call('INCR', 'n'));",
    "a callback that is async": "for (;;) await client.block(async () => {});",
    "errors that are caught": "for (;;) try { client.block(() => { throw 1; }); } catch (error) {}",
    "background": "for (;;) await client.block(inside => inside.run_on_background(async () => 1));",
    "two milliseconds": "for (;;) client.block(() => { const end = Date.now() + 2; while (Date.now() < end); });",
    "kills that are caught": "for (;;) try { client.block(() => { for (;;); }); } catch (error) {}",
}


@pytest.mark.parametrize("what", BLOCKS)
def test_block_in_an_endless_loop_leaves_the_server_to_others(hostile, what):
    server = hostile.server
    server.load(function(f"async client => {{ {BLOCKS[what]} }}"))
    with answering(server):
        connection = hostile.send("RG.FCALL", "lib", "f", 0)
        for _ in range(10):
            hostile.bystander_works()
    server.run("RG.FUNCTION", "DEL", "lib")
    with in_time(10), pytest.raises(ResponseError, match=f"{ENDED}|unregistered|deleted"):
        connection.read_response()


def test_a_run_that_catches_being_ended_in_block_is_ended_for_good(hostile):
    hostile.server.load(function(f"async client => {{ {BLOCKS['kills that are caught']} }}"))
    connection = hostile.send("RG.FCALL", "lib", "f", 0)
    eventually(connection.can_read, "it goes on", deadline=IN_TIME)
    with pytest.raises(ResponseError, match=ENDED):
        connection.read_response()


@pytest.mark.parametrize("threads", [1, 4])
def test_many_loops_at_once_keep_nobody_waiting(start_server, threads):
    server = start_server(module_args=f"execution-threads {threads} library-maxmemory 64mb background-timeout 1000")
    case = Hostile(server)
    libraries = [f"lib{n}" for n in range(6)]
    for name in libraries:
        server.load(function("async client => { for (;;); }"), name=name)
    server.run("CONFIG", "SET", "redisgears_2.background-timeout", 1000)
    connections = [case.send("RG.FCALL", name, "f", 0) for name in libraries for _ in range(2)]
    with answering(server, seconds=1):
        for _ in range(5):
            case.bystander_works()
        # Two rounds of six loops; no more than the machine's processors may run at once.
        with in_time(15):
            for connection in connections:
                with pytest.raises(ResponseError, match=TIMEOUT):
                    connection.read_response()
    for name in libraries:
        server.run("RG.FUNCTION", "DEL", name)
    case.end()


def test_a_run_that_is_ended_takes_all_with_it_that_waits_in_its_library(hostile):
    hostile.server.load(
        function("client => new Promise(() => {})", "never"),
        function("async client => { await new Promise(() => {}); }", "never async"),
        function("async client => { for (;;); }"),
    )
    waiting = [hostile.send("RG.FCALL", "lib", name, 0) for name in ("never", "never async") for _ in range(3)]
    server = hostile.server
    server.wait(lambda: server.client.info("clients")["blocked_clients"] == 6)
    assert re.search(TIMEOUT, hostile.fails())
    with in_time():
        for connection in waiting:
            with pytest.raises(ResponseError, match=TIMEOUT):
                connection.read_response()


@pytest.mark.parametrize("how", ["close", "CLIENT KILL"])
@pytest.mark.parametrize("kind", ["", "async"])
def test_a_promise_that_is_never_settled_does_not_outlive_its_client(hostile, kind, how):
    server = hostile.server
    # Each holds a megabyte until it is forgotten.
    server.load(
        function(
            f"{kind} client => {{ const bytes = new Uint8Array(1 << 20).fill(1); return new Promise(() => bytes); }}",
        ),
        function("() => { for (let n = 0; n < 100; n++) new Array(1e5).fill(n); return 1; }", "churn"),
    )
    hostile.limit(1000)
    for _ in range(10):
        connections = [hostile.send("RG.FCALL", "lib", "f", 0) for _ in range(20)]
        server.wait(lambda: server.client.info("clients")["blocked_clients"] == 20)
        if how == "close":
            for connection in connections:
                connection.disconnect()
        else:
            server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        server.wait(lambda: server.client.info("clients")["blocked_clients"] == 0)
    assert hostile.call(function="churn") == 1


def test_a_finalizer_that_loops_is_ended(hostile):
    server = hostile.server
    server.load(
        function(
            """client => {
                globalThis.registry = new FinalizationRegistry(() => { redis.log('finalizer'); for (;;); });
                for (let n = 0; n < 1000; n++) registry.register({}, n);
                return new Promise(() => {});
            }"""
        ),
        function("() => { for (let n = 0; n < 50; n++) new Array(1e5).fill(n); return 1; }", "churn"),
    )
    hostile.limit(500)
    hostile.send("RG.FCALL", "lib", "f", 0)
    with answering(server, seconds=1):

        def ran():
            try:
                hostile.call(function="churn")
            except ResponseError as error:
                assert re.search(f"{ENDED}|busy", str(error))
            return server.messages("finalizer")

        server.wait(ran, "no finalizer was called")
        hostile.bystander_works()


def test_a_million_waits_for_another_thread_are_bounded(hostile):
    code = "for (;;) Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1e6);"
    hostile.limit(1000)
    assert re.search(f"{ENDED}|RangeError|TypeError", hostile.provoke("async function", code))


# --- built-ins that are not what they were -----------------------------------------------------------

SPOIL = "() => { throw new Error('spoilt'); }"
PATCHES = {
    "methods of arrays": f"for (const name of Reflect.ownKeys(Array.prototype)) try {{ Array.prototype[name] = {SPOIL}; }} catch (e) {{}}",
    "elements of arrays": "for (const at of [0, 1, 2]) Object.defineProperty(Array.prototype, at,"
    f" {{ get: {SPOIL}, set: {SPOIL}, configurable: true }});",
    "iteration of arrays": "Array.prototype[Symbol.iterator] = function* () { for (;;) yield 'x'; };",
    "iteration of arrays that is gone": "delete Array.prototype[Symbol.iterator];",
    "iterators": "Object.getPrototypeOf([][Symbol.iterator]()).next = () => ({ done: false, value: 'x' });",
    "properties of all objects": "for (const name of ['user', 'db', 'flags', 'id', 'record', 'stack', 'message', 'length', 'name',"
    " 'value', '__reply_type', '__format', 'constructor', 'get', 'set'])"
    f" Object.defineProperty(Object.prototype, name, {{ get: {SPOIL}, set: {SPOIL}, configurable: true }});",
    "then of all objects": "Object.prototype.then = () => { for (;;); };",
    "then of all objects as a getter": "Object.defineProperty(Object.prototype, 'then', { get() { for (;;); } });",
    "toJSON of all objects": f"Object.prototype.toJSON = {SPOIL};",
    "toString of everything": f"for (const one of [Object, Array, Function, Number, BigInt, Error, Date, String, Symbol, RegExp])"
    f" try {{ one.prototype.toString = one.prototype.valueOf = one.prototype[Symbol.toPrimitive] = {SPOIL}; }} catch (e) {{}}",
    "Promise": "globalThis.Promise = function () { for (;;); };",
    "methods of promises": f"for (const name of ['then', 'catch', 'finally']) Promise.prototype[name] = {SPOIL};",
    "then of promises that loops": "Promise.prototype.then = () => { for (;;); };",
    "constructor of promises": "Object.defineProperty(Promise.prototype, 'constructor', { get() { for (;;); } });",
    "species": "for (const one of [Promise, Array, ArrayBuffer, Map, Set])"
    f" Object.defineProperty(one, Symbol.species, {{ get: {SPOIL} }});",
    "JSON": f"JSON.parse = JSON.stringify = {SPOIL};",
    "methods of functions": f"for (const name of ['call', 'apply', 'bind', 'toString']) Function.prototype[name] = {SPOIL};",
    "Reflect and Object": f"for (const one of [Reflect, Object]) for (const name of Reflect.ownKeys(one)) try {{ one[name] = {SPOIL}; }}"
    " catch (e) {}",
    "Error": "globalThis.Error = globalThis.TypeError = globalThis.RangeError = function () { for (;;); };",
    "stack traces": "Error.prepareStackTrace = () => { for (;;); }; Error.stackTraceLimit = Infinity;",
    "maps and sets": f"for (const one of [Map, Set]) for (const name of Reflect.ownKeys(one.prototype))"
    f" try {{ one.prototype[name] = {SPOIL}; }} catch (e) {{}}",
    "texts": f"for (const name of Reflect.ownKeys(String.prototype)) try {{ String.prototype[name] = {SPOIL}; }} catch (e) {{}}",
    "buffers": "globalThis.ArrayBuffer = globalThis.Uint8Array = function () { for (;;); };",
    "byteLength": f"Object.defineProperty(ArrayBuffer.prototype, 'byteLength', {{ get: {SPOIL} }});",
    "prototypes": "Object.setPrototypeOf(Array.prototype, new Proxy({}, { get() { throw 1; }, has() { throw 2; } }));",
    "prototypes of all": "Object.setPrototypeOf(Array.prototype, null); Object.setPrototypeOf(Function.prototype, null);",
    "the redis object": "for (const name of Object.keys(redis)) redis[name] = () => { for (;;); };",
    "all globals": "for (const name of Reflect.ownKeys(globalThis)) try { delete globalThis[name]; } catch (e) {}",
    "frozen": "for (const name of Reflect.ownKeys(globalThis)) try { Object.freeze(globalThis[name]);"
    " Object.freeze(globalThis[name].prototype); } catch (e) {}",
}
RAW = "['raw-arguments']"
# What a library does with the module's own JavaScript, each ending with "fine" where nothing is spoilt.
USES = {
    "result": "client => ['fine', 1, 1n, 0.5, true, null, new Map([['a', new Set([1])]]), { a: [new String('x'), new Date(0)] }]",
    "call": "client => { client.call('MSET', 'a', '1', 'b', 2, 'c', 3n, 'd', true); client.call('MGET', 'a', 'b');"
    " client.call_raw('MGET', 'a', 'b'); client.call('HSET', 'hash', 'f', 'v'); client.call('HGETALL', 'hash');"
    " client.call('SADD', 'set', 'a'); client.call('SMEMBERS', 'set'); client.call('PING'); return 'fine'; }",
    "many replies": "client => { client.call('LRANGE', 'list', 0, -1); client.call_raw('LRANGE', 'list', 0, -1); return 'fine'; }",
    "error": "client => { try { client.call('NOSUCH'); } catch (error) { `${error}`; throw error; } }",
    "async": "async client => { await null; client.block(inside => inside.call('GET', 'a')); return 'fine'; }",
    "background": "client => client.run_on_background(async background => {"
    " await background.block(async inside => inside.call('GET', 'a')); return 'fine'; })",
    "promise": "client => ({ then: undefined }, (async () => 'fine')())",
    "rejection": "async client => { await null; throw new TypeError('fine'); }",
    "raw": "(client, ...words) => words",
    "wrong use": "client => client.run_on_background(1)",
}


@pytest.mark.parametrize("patch", PATCHES)
def test_a_library_that_spoils_the_built_ins_spoils_them_for_itself_only(hostile, patch):
    server = hostile.server
    for start in range(0, 10_000, 1000):
        server.run("RPUSH", "list", *range(start, start + 1000))
    register = "const { register_function, register_stream_consumer, log } = redis;"
    server.load(
        register,
        *(f"register_function('{name}', {code}{', ' + RAW if name == 'raw' else ''});" for name, code in USES.items()),
        "register_stream_consumer('consumer', 'stream', 1, true, (client, data) => {"
        " data.record_raw; data.stream_name_raw; client.call('XLEN', data.stream_name); log('consumed'); });",
        "register_stream_consumer('async consumer', 'stream', 1, true, async (client, data) => {"
        " data.record_raw; client.block(inside => inside.call('XLEN', data.stream_name)); log('consumed'); });",
        "register_function('patch', () => {",
        PATCHES[patch],
        "});",
    )
    hostile.limit(200)
    try:
        hostile.call(function="patch")
    except ResponseError:
        pass
    for name in USES:
        try:
            hostile.call("x", function=name)
        except ResponseError as error:
            assert len(str(error)) < 5000
    server.add("stream", 1, 2)
    for name in ("consumer", "async consumer"):
        server.wait(
            lambda name=name: server.stream("stream", name).get("total_record_processed") == 2,
            lambda name=name: server.consumer(name),
        )
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the trim is missing")
    server.run("DEL", "list")


@pytest.mark.parametrize("use", USES)
def test_what_the_patched_libraries_do_works_without_a_patch(hostile, use):
    server = hostile.server
    server.run("RPUSH", "list", *range(10_000))
    server.load(function(USES[use], "use").replace(");", f", {RAW});") if use == "raw" else function(USES[use], "use"))
    hostile.limit(500)
    try:
        assert "fine" in str(hostile.call("fine", function="use"))
    except ResponseError as error:
        assert re.search("unknown command|TypeError: (fine|First argument to 'run_on_background')", str(error))
    server.run("DEL", "list")
