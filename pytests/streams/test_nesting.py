"""Callbacks whose writes have other callbacks run."""

import pytest

from testing.functions import in_transaction
from testing.libraries import consumer, function

TOO_DEEP = "callbacks of stream consumers are nested too deeply"


def link(number, prefix="link"):
    """A consumer that forwards entries of one stream to the next."""
    return consumer(
        f"link{number}",
        f"{prefix}:{number}",
        callback=f"(client, data) => {{ client.call('XADD', '{prefix}:{number + 1}', '*', 'n', value(data)); }}",
    )


def test_a_consumer_writes_a_stream_whose_consumer_writes_a_key(server):
    server.load(
        consumer("a", "a", callback="(client, data) => { client.call('XADD', 'b', '*', 'n', value(data)); }"),
        consumer("b", "b", callback="(client, data) => { client.call('SET', 'key', value(data)); }"),
    )
    for n in range(20):
        server.add("a", n)
        assert server.run("GET", "key") == str(n)


@pytest.mark.parametrize("libraries", [1, 2])
def test_a_chain_of_ten_streams_is_processed_before_the_reply(server, libraries):
    links = [link(number) for number in range(10, 20)]
    for n in range(libraries):
        server.load(*links[n::libraries], name=f"lib{n}")
    server.load(consumer("end", "link:20", callback="(client, data) => { client.call('RPUSH', 'end', value(data)); }"))
    for n in range(10):
        server.add("link:10", n)
        assert server.run("LRANGE", "end", 0, -1) == [str(m) for m in range(n + 1)]


def test_a_chain_is_processed_before_the_next_command_of_a_pipeline(server):
    if not server.runs_callbacks_in_commands():
        pytest.skip("this server runs sync callbacks before the replies are sent, but not within the command")
    server.load(
        *(link(number) for number in range(10, 20)),
        consumer("end", "link:20", callback="(client, data) => { client.call('RPUSH', 'end', value(data)); }"),
    )
    pipe = server.client.pipeline(transaction=False)
    for n in range(10):
        pipe.execute_command("XADD", "link:10", "*", "n", n)
        pipe.execute_command("LLEN", "end")
    assert pipe.execute()[1::2] == list(range(1, 11))


@pytest.mark.parametrize("how", ["MULTI", "Lua", "function", "background"])
def test_a_chain_begins_wherever_its_first_entry_comes_from(server, how):
    server.load(
        *(link(number) for number in range(10, 20)),
        consumer("end", "link:20", callback="(client, data) => { client.call('RPUSH', 'end', value(data)); }"),
        function("f", "client => client.call('XADD', 'link:10', '*', 'n', 'a')"),
        function("g", "async client => client.block(c => c.call('XADD', 'link:10', '*', 'n', 'a'))"),
    )
    if how == "MULTI":
        in_transaction(server, ("XADD", "link:10", "*", "n", "a"))
    elif how == "Lua":
        server.run("EVAL", "return redis.call('XADD', 'link:10', '*', 'n', 'a')", 0)
    else:
        server.call("f" if how == "function" else "g")
    if how == "background":
        server.wait(lambda: server.run("LLEN", "end") == 1, "the chain has no end")
    assert server.run("LRANGE", "end", 0, -1) == ["a"]


def test_a_chain_branches(server):
    """Every entry of one stream adds two to the next: 2^8 come out at the end."""
    twice = "(client, data) => {{ for (const n of [1, 2]) client.call('XADD', 'b:{}', '*', 'n', value(data) + n); }}"
    server.load(
        *(consumer(f"c{n}", f"b:{n}", callback=twice.format(n + 1)) for n in range(1, 9)),
        consumer("end", "b:9", callback="(client, data) => { client.call('SADD', 'end', value(data)); }"),
    )
    server.add("b:1", "x")
    server.wait(lambda: server.run("SCARD", "end") == 256, lambda: server.run("SCARD", "end"))
    assert server.run("XLEN", "b:9") == 256


ENDLESS = {
    "a stream that feeds itself": [
        consumer(callback="(client, data) => { client.call('XADD', data.stream_name, '*', 'n', +value(data) + 1); }")
    ],
    "two streams that feed each other": [
        consumer(
            callback="(client, data) => { client.call('XADD', data.stream_name === 'stream' ? 'stream:2' : 'stream',"
            " '*', 'n', +value(data) + 1); }"
        )
    ],
    "ever new streams": [
        consumer(
            callback="(client, data) => { const n = +value(data) + 1; client.call('XADD', `stream:${n}`, '*',"
            " 'n', n); }"
        )
    ],
}


def total_length(server, pattern="stream*"):
    return sum(server.run("XLEN", key) for key in server.run("KEYS", pattern))


@pytest.mark.parametrize("what", ENDLESS)
def test_a_chain_without_end_is_ended_with_an_error(server, what):
    server.load(*ENDLESS[what])
    server.add("stream", 0)
    # The entry that a client adds, and 32 that callbacks add.
    assert total_length(server) == 33
    streams = server.consumer()["streams"]
    errors = [row["last_error"] for row in streams.values() if row["last_error"] != "None"]
    assert len(errors) == 1
    assert TOO_DEEP in errors[0]
    assert sum(row["total_record_processed"] for row in streams.values()) == 33
    # Nothing of it stays behind: the next entry has a whole chain of its own.
    server.add("stream", 100)
    assert total_length(server) == 66
    assert server.run("PING")


def test_a_chain_without_end_is_ended_also_where_it_takes_longer_than_a_round_may(server):
    """What a round has no time for is for the next one, and is as deep there."""
    server.load(
        consumer(
            callback="(client, data) => { const n = +value(data), end = Date.now() + 30; while (Date.now() < end);"
            " if (n < 100) client.call('XADD', 'stream', '*', 'n', n + 1); }"
        )
    )
    server.add("stream", 0)

    def is_done():
        return server.stream("stream")["total_record_processed"] == server.run("XLEN", "stream")

    server.wait(is_done, lambda: server.stream("stream"))
    assert server.run("XLEN", "stream") == 33
    assert TOO_DEEP in server.last_error()


def test_a_callback_at_the_end_of_a_chain_may_catch_that_and_go_on(server):
    server.load(
        consumer(
            callback="(client, data) => { try { client.call('XADD', 'stream', '*', 'n', 1); }"
            " catch (error) { client.call('RPUSH', 'caught', error.message);"
            " client.call('XADD', 'elsewhere', '*', 'n', 1); } }"
        )
    )
    server.add("stream", 0)
    [caught] = server.run("LRANGE", "caught", 0, -1)
    assert TOO_DEEP in caught
    # A stream that no sync consumer reads is no link of the chain.
    assert server.run("XLEN", "elsewhere") == 1
    assert server.last_error() == "None"


def test_a_chain_of_32_is_not_too_deep(server):
    server.load(
        consumer(
            callback="(client, data) => { const n = +value(data); if (n > 0)"
            " client.call('XADD', `stream:${n}`, '*', 'n', n - 1); else client.call('SET', 'end', 1); }"
        )
    )
    server.add("stream", 32)
    assert server.run("GET", "end") == "1"
    assert {row["last_error"] for row in server.consumer()["streams"].values()} == {"None"}


def test_an_async_chain_may_be_of_any_length(server):
    server.load(
        consumer(
            callback="async (client, data) => { const n = +value(data);"
            " client.block(c => n > 0 ? c.call('XADD', 'stream', '*', 'n', n - 1) : c.call('SET', 'end', 1)); }"
        )
    )
    server.add("stream", 200)
    server.wait(lambda: server.run("GET", "end") == "1", lambda: server.stream("stream"))
    server.wait_stream(last_error="None", total_record_processed=201, pending_ids=[])


@pytest.mark.parametrize("entries", [5, 1000])
def test_a_stream_that_is_read_and_written_by_its_own_consumer_keeps_every_entry(server, entries):
    """The consumer adds an entry for each one that a client added, and not for its own."""
    server.load(
        consumer(
            callback="(client, data) => { client.call('SADD', 'seen', value(data));"
            " if (!value(data).includes('x')) client.call('XADD', 'stream', '*', 'n', value(data) + 'x'); }"
        )
    )
    pipe = server.client.pipeline(transaction=False)
    for n in range(entries):
        pipe.execute_command("XADD", "stream", "*", "n", n)
    pipe.execute()
    server.wait_stream(total_record_processed=2 * entries, pending_ids=[], last_error="None")
    assert set(server.run("SMEMBERS", "seen")) == {f"{n}{x}" for n in range(entries) for x in ("", "x")}
    assert server.run("XLEN", "stream") == 2 * entries
