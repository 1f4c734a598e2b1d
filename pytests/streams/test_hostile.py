"""Scripts that would take a server down: they end with an error, and the server goes on."""


import pytest
from redis import ResponseError

from testing.libraries import RELEASE, consumer, library

# Little memory, so that what takes too much of it does so soon.
MODULE_ARGS = "library-maxmemory 32mb"

ENDED = "terminated|time|memory|heap|limit"

# Each without end, or without bound, unless it is stopped.
LOOPS = {
    "loop": "for (;;);",
    "loop that catches": "for (;;) { try { for (;;); } catch (error) {} }",
    "loop in finally": "try { for (;;); } finally { for (;;); }",
    "loop that logs": "for (let n = 0; ; n++) if (n % 1e6 === 0) redis.log('turn');",
    "regular expression": "/^(a+)+$/.test('a'.repeat(60) + 'b');",
    "sort": "for (;;) Array.from({ length: 1e5 }, Math.random).sort();",
    "wait": "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); for (;;);",
    "toString": "`${{ toString() { for (;;); } }}`;",
}

MICROTASKS = "(function again() { Promise.resolve().then(again); })();"

BOMBS = {
    "array": "const bag = []; for (;;) bag.push(new Array(1000).fill(bag.length));",
    "objects": "let chain = null; for (;;) chain = { chain, text: 'x' + Math.random() };",
    "strings": "const bag = []; for (let n = 0; ; n++) bag.push(('x' + n).repeat(1000).toUpperCase());",
    "buffers": "const bag = []; for (;;) bag.push(new Uint8Array(1 << 20).fill(1));",
    "map": "const bag = new Map(); for (let n = 0; ; n++) bag.set('k' + n, [n]);",
}

RECURSIONS = {
    "function": "(function down() { return 1 + down(); })();",
    "getter": "const o = { get a() { return this.a; } }; o.a;",
    "proxy": "const p = new Proxy({}, { get(t, k, r) { return r[k]; } }); p.a;",
    "JSON": "const o = { toJSON() { return JSON.stringify(this); } }; JSON.stringify(o);",
}

STARTS = {"sync": "(client, data)", "async": "async (client, data)"}


@pytest.fixture
def bystander(server):
    """A server with a short time limit and a library that must go on working."""
    server.set_timeout(200)
    server.load(consumer("bystander", "calm", callback="(client, data) => saw(data, 'calm')"), name="calm")
    yield server
    server.add("calm", "still here")
    assert server.seen("calm")[-1] == "calm still here"
    assert server.client.ping()


def load_fails(server, code, error):
    with pytest.raises(ResponseError, match=f"(?i){error}"):
        server.load(consumer(), code)
    assert server.libraries() == ["calm"]


def bad_then_good(server, kind, code):
    """A consumer that runs the code on the entry "bad" only; gives its error after later entries came."""
    server.load(
        consumer(trim=True, callback=f"{STARTS[kind]} => {{ if (value(data) === 'bad') {{ {code} }} saw(data); }}")
    )
    server.add("stream", "first", "bad", "second", "third")
    server.wait_seen("stream first", "stream second", "stream third")
    server.wait(lambda: server.run("XLEN", "stream") == 0, lambda: server.stream("stream"))
    stream = server.stream("stream")
    assert (stream["total_record_processed"], stream["pending_ids"]) == (4, [])
    return stream["last_error"]


@pytest.mark.parametrize("what", LOOPS)
def test_a_library_that_does_not_end_at_load_is_ended(bystander, what):
    load_fails(bystander, LOOPS[what], "Failed loading library|" + ENDED)


def test_microtasks_without_end_at_load_are_ended(bystander):
    load_fails(bystander, MICROTASKS, "Failed loading library|" + ENDED)


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("what", LOOPS)
def test_a_callback_that_does_not_end_is_ended_and_later_entries_come(bystander, what, kind):
    assert bad_then_good(bystander, kind, LOOPS[what]) != "None"


@pytest.mark.parametrize("kind", STARTS)
def test_microtasks_without_end_in_a_callback_are_ended(bystander, kind):
    bystander.load(consumer(callback=f"{STARTS[kind]} => {{ saw(data); if (value(data) === 'bad') {MICROTASKS} }}"))
    bystander.add("stream", "first", "bad", "second", "third")
    bystander.wait_seen("stream first", "stream bad", "stream second", "stream third")


def test_a_loop_after_an_await_is_ended_and_later_entries_come(bystander):
    assert bad_then_good(bystander, "async", "await null; for (;;);") != "None"


def test_an_async_loop_keeps_neither_the_server_nor_another_library_waiting(bystander):
    bystander.set_timeout(2000)
    bystander.load(consumer(callback="async (client, data) => { redis.log('looping'); for (;;); }"))
    bystander.add("stream", 1)
    bystander.wait_message("looping")
    bystander.add("calm", *range(20))
    assert len(bystander.seen("calm")) == 20
    assert bystander.stream("stream")["total_record_processed"] == 0, "the loop ended before the test could look"
    bystander.wait_stream(total_record_processed=1)


def test_a_library_can_be_deleted_or_upgraded_while_its_async_callback_loops(bystander):
    for _ in range(2):
        bystander.load(consumer(callback="async (client, data) => { redis.log('looping'); for (;;); }"))
        loops = len(bystander.messages("looping"))
        bystander.add("stream", 1)
        bystander.wait_message("looping", loops + 1)
        bystander.run("RG.FUNCTION", "DEL", "lib")
        bystander.run("DEL", "stream")
    bystander.load(consumer(callback="async (client, data) => { redis.log('looping'); for (;;); }"))
    bystander.add("stream", 1)
    bystander.upgrade(consumer(callback="async (client, data) => saw(data)"))
    bystander.add("stream", 2)
    bystander.wait(lambda: "stream 2" in bystander.seen(), bystander.seen)


def test_a_timeout_says_so(bystander):
    error = bad_then_good(bystander, "sync", "for (;;);")
    assert any(word in error.lower() for word in ("timeout", "terminated", "time")), error


@pytest.mark.parametrize("what", BOMBS)
def test_a_library_that_allocates_without_end_at_load_is_ended(bystander, what):
    bystander.set_timeout(30_000)
    load_fails(bystander, BOMBS[what], ENDED + "|allocation|invalid (array|string) length")


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("what", BOMBS)
def test_a_callback_that_allocates_without_end_is_ended_and_later_entries_come(bystander, what, kind):
    bystander.set_timeout(30_000)
    assert bad_then_good(bystander, kind, BOMBS[what]) != "None"


@pytest.mark.parametrize("what", RECURSIONS)
def test_recursion_without_end_at_load_is_an_error(bystander, what):
    bystander.set_timeout(5000)
    load_fails(bystander, RECURSIONS[what], "Maximum call stack|too much recursion|" + ENDED)


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("what", RECURSIONS)
def test_recursion_without_end_in_a_callback_is_an_error_of_that_entry(bystander, what, kind):
    bystander.set_timeout(5000)
    assert "Maximum call stack" in bad_then_good(bystander, kind, RECURSIONS[what])


def test_code_of_20_megabytes_is_refused_and_the_server_unharmed(bystander):
    code = library(consumer(), "const text = '" + "x" * 20_000_000 + "';")
    with pytest.raises(ResponseError, match="(?i)too (large|big|long)|limit|memory|size|bytes"):
        bystander.run("RG.FUNCTION", "LOAD", code)
    assert bystander.libraries() == ["calm"]


def test_deeply_nested_code_is_an_error(bystander):
    load_fails(bystander, "const deep = " + "[" * 200_000 + "]" * 200_000 + ";", "Failed")


def test_a_long_prologue_line_is_handled(bystander):
    with pytest.raises(ResponseError, match="unknown property"):
        bystander.run("RG.FUNCTION", "LOAD", "#!js " + "x" * 1_000_000 + "=1\n")


@pytest.mark.parametrize("flush", ["DEL", "FLUSHALL"])
def test_streams_that_vanish_under_load_do_no_harm(bystander, flush):
    bystander.load(
        consumer("sync", trim=True),
        consumer("async", window=5, callback="async (client, data) => { await null; saw(data, 'async'); }"),
    )
    pipe = bystander.client.pipeline(transaction=False)
    for number in range(2000):
        pipe.execute_command("XADD", "stream", "*", "n", number)
        if number % 50 == 25:
            pipe.execute_command(*([flush] if flush == "FLUSHALL" else [flush, "stream"]))
    pipe.execute()
    bystander.run("DEL", "stream")
    bystander.add("stream", "last")
    for tag in ("", "async"):
        bystander.wait(lambda tag=tag: "stream last" in bystander.seen(tag), "the last entry is missing")
    seen = bystander.seen("async")
    assert len(seen) == len(set(seen))


def test_promises_that_never_settle_go_with_their_library(bystander):
    for _ in range(20):
        bystander.load(consumer(window=50, callback="holding"), RELEASE)
        bystander.add("stream", *range(50))
        bystander.wait(lambda: len(bystander.stream("stream").get("pending_ids", [])) == 50, bystander.consumer)
        bystander.run("RG.FUNCTION", "DEL", "lib")
        bystander.run("DEL", "stream")
    assert bystander.libraries() == ["calm"]


def test_a_library_that_spoils_the_built_ins_harms_only_itself(bystander):
    bystander.load(
        """
        for (const name of ['push', 'map', 'join']) Array.prototype[name] = () => { throw new Error('spoilt'); };
        Object.defineProperty(Array.prototype, 0, { set() { throw new Error('spoilt'); }, configurable: true });
        Object.defineProperty(Object.prototype, 'record', { get() { throw new Error('spoilt'); } });
        Promise.prototype.then = () => { throw new Error('spoilt'); };
        String.prototype.toString = Error.prototype.toString = () => { throw new Error('spoilt'); };
        """,
        consumer("sync"),
        consumer("async", callback="async (client, data) => saw(data, 'async')"),
    )
    bystander.add("stream", "x")
    bystander.wait_seen("stream x")
    bystander.wait_seen("stream x", tag="async")


def test_many_entries_for_a_loop_hold_the_server_up_no_longer_than_one(bystander):
    bystander.load(consumer(callback="(client, data) => { for (;;); }"))
    with bystander.client.pipeline(transaction=False) as pipeline:
        for n in range(20):
            pipeline.execute_command("XADD", "stream", "*", "n", n)
        pipeline.execute()
    assert bystander.stream("stream")["total_record_processed"] < 15, "none was put off"
    bystander.wait_stream(total_record_processed=20)
