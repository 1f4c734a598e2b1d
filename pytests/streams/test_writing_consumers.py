"""Consumers that change the stream they read, and consumers that write elsewhere."""

import itertools

import pytest

from testing.libraries import RELEASE, consumer, function
from testing.replies import fields

# --- consumers that change what they read ---------------------------------------------------------------------------

HARMFUL = {
    "DEL": "client.call('DEL', data.stream_name)",
    "UNLINK": "client.call('UNLINK', data.stream_name)",
    "FLUSHALL": "client.call('FLUSHALL')",
    "FLUSHDB ASYNC": "client.call('FLUSHDB', 'ASYNC')",
    "XTRIM": "client.call('XTRIM', data.stream_name, 'MAXLEN', 0)",
    "XTRIM to the last": "client.call('XTRIM', data.stream_name, 'MAXLEN', 1)",
    "XDEL": "client.call('XDEL', data.stream_name, data.id.join('-'))",
    "RENAME": "client.call('RENAME', data.stream_name, `${data.stream_name}x`)",
    "RENAME out of the way": "client.call('RENAME', data.stream_name, 'elsewhere')",
    "MOVE": "client.call('MOVE', data.stream_name, 9)",
    "SET": "client.call('SET', data.stream_name, 'no stream')",
    "PEXPIRE": "client.call('PEXPIRE', data.stream_name, 0)",
    "XSETID": "client.call('XSETID', data.stream_name, '99999999999999-0')",
    "DEL and XADD": "client.call('DEL', data.stream_name);"
    " if (value(data) !== 'again') client.call('XADD', data.stream_name, '1-1', 'n', 'again')",
    "COPY": "client.call('COPY', data.stream_name, 'copy', 'REPLACE')",
    "SWAPDB": "client.call('SWAPDB', 0, 5)",
}
KINDS = {
    "sync": "(client, data) => {{ saw(data); {}; }}",
    "async": "async (outer, data) => {{ saw(data); outer.block(client => {{ {}; }}); }}",
}


@pytest.mark.parametrize("window", [1, 10])
@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", HARMFUL)
def test_a_consumer_that_spoils_its_own_stream_does_no_harm(server, what, kind, trim, window):
    server.load(consumer("own", "own", window, trim, callback=KINDS[kind].format(HARMFUL[what])), name="own")
    server.load(
        consumer("calm", "calm", callback="(client, data) => saw(data, 'calm')"),
        consumer("all", "", callback="(client, data) => {}"),
        name="other",
    )
    for n in range(30):
        pipe = server.client.pipeline(transaction=False)
        # As the name may be taken by something else meanwhile.
        pipe.execute_command("DEL", f"own:{n % 3}")
        for m in range(5):
            pipe.execute_command("XADD", f"own:{n % 3}", "*", "n", f"{n}.{m}")
        pipe.execute(raise_on_error=False)
    server.add("calm", "last")
    assert server.seen("calm") == ["calm last"]
    server.wait(
        lambda: all(
            row["pending_ids"] == []
            for name, one in (("own", "own"), ("other", "all"))
            for row in server.consumer(one, name)["rows"]
        ),
        "an entry is left",
    )
    server.run("FLUSHALL")
    names = (f"own:new:{n}" for n in itertools.count())

    def fresh_is_seen():
        # More than one, as a callback that was still running may spoil the first.
        server.add(next(names), "fresh")
        return any(text.endswith(" fresh") for text in server.seen())

    server.wait(fresh_is_seen, server.seen)
    server.run("RG.FUNCTION", "DEL", "own")
    server.add("calm", "at the end")
    assert server.seen("calm") == ["calm last", "calm at the end"]


def test_a_consumer_that_deletes_its_stream_sees_every_entry_that_is_added_later(server):
    server.load(consumer(callback="(client, data) => { saw(data); client.call('DEL', data.stream_name); }"))
    for n in range(50):
        server.add("stream", n)
        assert server.seen()[-1] == f"stream {n}"
    assert server.run("EXISTS", "stream") == 0
    assert len(server.seen()) == 50


def test_a_consumer_that_renames_its_stream_goes_on_under_the_new_name(server):
    server.load(
        consumer(
            callback="(client, data) => { saw(data); if (value(data) === 'go')"
            " client.call('RENAME', 'stream:1', 'stream:2'); }"
        )
    )
    server.add("stream:1", "a", "go")
    server.add("stream:2", "b")
    server.add("stream:1", "c")
    assert server.seen() == ["stream:1 a", "stream:1 go", "stream:2 b", "stream:1 c"]
    assert server.stream("stream:2")["total_record_processed"] == 3


# --- consumers with writes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trim", [False, True])
def test_an_async_consumer_with_blocks_gets_every_entry_exactly_once(server, trim):
    server.load(
        consumer(
            window=10,
            trim=trim,
            callback="async (client, data) => { if (value(data) % 3) await null; client.block(c => {"
            " c.call('INCR', 'n'); c.call('SADD', 'seen', value(data)); }); if (value(data) % 2) await null; }",
        )
    )
    server.add("stream", *range(1000))
    server.wait_stream(total_record_processed=1000, pending_ids=[], last_error="None")
    assert server.run("GET", "n") == "1000"
    assert server.run("SCARD", "seen") == 1000
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 1000), lambda: server.run("XLEN", "stream"))


def test_background_parts_of_a_sync_consumer_get_every_entry_exactly_once(server):
    server.load(
        consumer(
            window=10,
            trim=True,
            callback="(client, data) => client.run_on_background(async b => { await null; b.block(c => {"
            " c.call('INCR', 'n'); c.call('SADD', 'seen', value(data)); }); })",
        )
    )
    server.add("stream", *range(1000))
    server.wait_stream(total_record_processed=1000, pending_ids=[], last_error="None")
    assert (server.run("GET", "n"), server.run("SCARD", "seen")) == ("1000", 1000)
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the trim is missing")


def test_a_redis_error_in_a_consumer_is_its_last_error_and_the_next_entry_comes(server):
    server.load(
        consumer("sync", callback="(client, data) => { client.call('LPUSH', 'text', 1); }"),
        consumer("async", callback="async (client, data) => { client.block(c => c.call('LPUSH', 'text', 1)); }"),
    )
    server.run("SET", "text", "a")
    server.add("stream", 1, 2)
    for name in ("sync", "async"):
        server.wait(
            lambda name=name: server.stream("stream", name)["total_record_processed"] == 2, server.consumer
        )
        error = server.stream("stream", name)["last_error"]
        assert error == "WRONGTYPE Operation against a key holding the wrong kind of value"
    server.run("DEL", "text")
    server.add("stream", 3)
    server.wait(lambda: server.run("LLEN", "text") == 2, "the writes are missing")


def test_a_function_and_a_consumer_of_a_library_share_its_globals(server):
    server.load(
        "let total = 0;",
        consumer(callback="(client, data) => { total += Number(value(data)); }"),
        consumer("async", callback="async (client, data) => { total += Number(value(data)); }"),
        function("total", "() => total"),
    )
    server.add("stream", *range(100))
    server.wait(lambda: server.call("total") == 2 * 4950, lambda: server.call("total"))


def test_a_function_releases_a_consumer_that_waits(server):
    server.load(
        consumer(callback="holding"),
        RELEASE,
        function("release", "(client, key) => { held.get(key)(); }"),
    )
    server.add("stream", "a", "b")
    server.wait_message("start a ")
    server.call("release", "a")
    server.wait_message("start b ")
    server.call("release", "b")
    server.wait_stream(total_record_processed=2, pending_ids=[])


def test_out_of_memory_the_block_of_a_consumer_waits_for_memory(server):
    server.load(
        consumer(
            callback="""async (client, data) => {
                await new Promise(resolve => held.set('k', resolve));
                client.block(c => c.call('SET', 'a', 1));
            }"""
        ),
        function("release", "() => { held.get('k')(); }", ["no-writes"]),
        function("waits", "() => held.has('k')", ["no-writes"]),
    )
    server.add("stream", 1)
    server.wait(lambda: server.call("waits"), "the entry did not start")
    with server.setting("maxmemory", 1):
        server.call("release")
        server.wait(lambda: "OOM" in server.last_error(), lambda: server.stream("stream"))
        assert server.run("EXISTS", "a") == 0
    server.wait(lambda: server.run("GET", "a") == "1", lambda: server.stream("stream"))


def test_out_of_memory_a_sync_consumer_waits_for_memory(server):
    server.load(
        consumer(callback="(client, data) => { client.call('GET', 'a'); client.call('SET', 'a', 1); }"),
        function("add", "client => client.call('XADD', 'stream', '*', 'n', 1)", ["allow-oom"]),
    )
    with server.setting("maxmemory", 1):
        server.call("add")
        server.wait(lambda: "OOM" in server.last_error(), lambda: server.stream("stream"))
        assert server.run("EXISTS", "a") == 0
        assert server.stream("stream")["total_record_processed"] == 0
    server.wait_stream(total_record_processed=1)
    assert server.run("GET", "a") == "1"


def test_list_knows_the_functions(server):
    server.load(function(), function("g"), consumer())
    [reply] = server.run("RG.FUNCTION", "LIST")
    assert fields(reply)["functions"] == ["f", "g"]
