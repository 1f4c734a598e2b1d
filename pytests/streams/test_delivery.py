"""Which entries reach a callback, when, in which order, and how many at once."""

import json
import re

import pytest

from testing.libraries import RELEASE, consumer, library


def test_a_sync_callback_ran_when_the_reply_to_xadd_arrives(server):
    server.load(consumer())
    for number in range(50):
        server.add("stream", number)
        assert server.seen()[-1] == f"stream {number}"
    assert server.stream("stream")["total_record_processed"] == 50


def test_a_sync_callback_ran_when_the_replies_to_a_pipeline_arrive(server):
    server.load(consumer())
    pipe = server.client.pipeline(transaction=False)
    for number in range(500):
        pipe.execute_command("XADD", "stream", "*", "n", number)
    pipe.execute()
    assert server.seen() == [f"stream {number}" for number in range(500)]


@pytest.mark.parametrize("how", ["MULTI", "Lua"])
def test_entries_of_a_transaction_or_script_ran_when_its_reply_arrives(server, how):
    server.load(consumer())
    if how == "MULTI":
        pipe = server.client.pipeline(transaction=True)
        for number in range(5):
            pipe.execute_command("XADD", "stream", "*", "n", number)
        pipe.execute()
    else:
        server.run("EVAL", "for i = 0, 4 do redis.call('XADD', KEYS[1], '*', 'n', i) end", 1, "stream")
    assert server.seen() == [f"stream {number}" for number in range(5)]


def test_each_entry_comes_exactly_once_to_each_consumer(server):
    server.load(
        consumer("a", callback="(client, data) => saw(data, 'A')"),
        consumer("b", callback="async (client, data) => saw(data, 'B')", window=3),
        consumer("c", callback="(client, data) => Promise.resolve().then(() => saw(data, 'C'))"),
    )
    server.load(consumer(callback="(client, data) => saw(data, 'D')"), name="second")
    server.add("stream", *range(200))
    for tag in "ABCD":
        server.wait_seen(*(f"stream {number}" for number in range(200)), tag=tag)
    server.add("stream", "last")
    for tag in "ABCD":
        server.wait(lambda tag=tag: len(server.seen(tag)) == 201, server.seen)
        assert server.seen(tag)[-1] == "stream last"


def test_an_async_consumer_of_window_1_is_strictly_sequential(server):
    server.load(
        consumer(
            window=1,
            callback="""async (client, data) => {
                redis.log(`step start ${value(data)}`);
                for (let turn = 0; turn < 10; turn++) await null;
                redis.log(`step end ${value(data)}`);
            }""",
        )
    )
    server.add("stream", *range(200))
    expected = [f"{step} {number}" for number in range(200) for step in ("start", "end")]
    server.wait_for(expected, lambda: server.messages("step "))


def test_with_window_1_the_second_entry_waits_for_the_first(server):
    server.load(consumer(window=1, callback="holding"), RELEASE)
    ids = server.add("stream", *range(4))
    for number in range(4):
        server.wait_message(f"start {number} ")
        assert len(server.messages("start ")) == number + 1
        # The worker begins the next one before the main thread is told that the last one ended.
        server.wait_stream(pending_ids=[ids[number]])
        server.release(number)
    server.wait_for(["0", "1", "2", "3"], lambda: server.messages("end "))
    assert {text.split()[1] for text in server.messages("start ")} == {"1"}


def test_with_window_5_five_are_in_flight_and_never_six(server):
    server.load(consumer(window=5, callback="holding"), RELEASE)
    ids = server.add("stream", *range(40))
    open_entries = list(range(5))
    for following in [*range(5, 40), *[None] * 5]:
        server.wait_message(f"start {open_entries[-1]} ")
        server.wait_stream(pending_ids=[ids[n] for n in open_entries])
        # Out of order: the middle one ends first.
        server.release(open_entries.pop(len(open_entries) // 2))
        if following is not None:
            open_entries.append(following)
    server.wait_message("end ", 40)
    starts = [tuple(map(int, text.split())) for text in server.messages("start ")]
    assert [number for number, _ in starts] == list(range(40))
    assert max(running for _, running in starts) == 5


def test_the_window_counts_for_each_stream_of_its_own(server):
    server.load(consumer(window=1, callback="holding"), RELEASE)
    server.add("stream:1", "a", "b")
    server.add("stream:2", "c", "d")
    server.wait_message("start ", 2)
    assert {text.split()[0] for text in server.messages("start ")} == {"a", "c"}
    server.release("c")
    server.wait_message("start d ")
    assert not server.messages("start b ")


def test_a_plain_function_that_returns_a_promise_is_done_when_it_settles(server):
    server.load(
        consumer(window=2, callback="(client, data) => new Promise(done => held.set(value(data), done))"),
        RELEASE,
    )
    ids = server.add("stream", *range(3))
    assert server.stream("stream")["pending_ids"] == ids[:2]
    assert server.stream("stream")["total_record_processed"] == 0
    server.release(1)
    server.wait_stream(pending_ids=[ids[0], ids[2]])
    server.release(0)
    server.release(2)
    server.wait_stream(total_record_processed=3)
    assert server.stream("stream")["pending_ids"] == []


def test_a_new_consumer_begins_with_what_the_stream_holds_already(server):
    ids = server.add("stream:old", *range(100))
    server.add("elsewhere", "no")
    server.load(consumer())
    server.wait_seen(*(f"stream:old {number}" for number in range(100)))
    server.add("stream:old", "new")
    assert server.seen()[100:] == ["stream:old new"]
    assert server.stream("stream:old")["id_to_read_from"] > ids[-1]


def test_a_consumer_tracks_only_streams_that_start_with_its_prefix(server):
    server.load(consumer(prefix="stream:"))
    server.run("HSET", "stream:hash", "n", 1)
    server.run("SET", "stream:string", 1)
    server.add("stream", "too short")
    server.add("strean:1", "other letter")
    server.add("a stream:1", "not at the start")
    server.add("STREAM:1", "other case")
    server.add("stream:", "whole")
    server.add("stream:1", "longer")
    assert server.seen() == ["stream: whole", "stream:1 longer"]
    assert server.consumer()["streams"].keys() == {"stream:", "stream:1"}
    assert server.consumer()["num_streams"] == 2


def test_prefixes_within_prefixes_each_get_their_share(server):
    prefixes = ["", "s", "stream", "stream:1", "stream:12"]
    server.load(
        *(
            consumer(f"p{number}", prefix, callback=f"(client, data) => saw(data, '{number}')")
            for number, prefix in enumerate(prefixes)
        )
    )
    streams = ["x", "s", "str", "stream", "stream:1", "stream:12", "stream:2"]
    for stream in streams:
        server.add(stream, 1)
    for number, prefix in enumerate(prefixes):
        assert server.seen(str(number)) == [f"{name} 1" for name in streams if name.startswith(prefix)]


def test_a_prefix_may_be_any_bytes(server):
    server.load(
        "redis.register_stream_consumer('binary', new Uint8Array([0xff, 0x00, 0x41]).buffer, 1, false,"
        " (client, data) => redis.log(`bytes ${value(data)}`));"
    )
    client = server.connect(decode_responses=False)
    for key, text in [(b"\xff\x00A", "exact"), (b"\xff\x00A:1", "longer"), (b"\xff\x00B", "no"), (b"\xff", "no")]:
        client.execute_command("XADD", key, "*", "n", text)
    assert server.messages("bytes ") == ["exact", "longer"]
    [reply] = client.execute_command("RG.FUNCTION", "LIST", "vv")
    [row] = reply[reply.index(b"stream_consumers") + 1]
    assert row[row.index(b"prefix") + 1] == b"\xff\x00A"
    assert row[row.index(b"num_streams") + 1] == 2


def test_the_record_keeps_order_and_duplicates_of_fields(server):
    server.load(consumer(callback="(client, data) => redis.log('record ' + JSON.stringify(data.record))"))
    server.run("XADD", "stream", "*", "b", "1", "a", "2", "b", "3", "", "")
    assert server.messages("record ") == ['[["b","1"],["a","2"],["b","3"],["",""]]']


def test_each_entry_has_the_names_of_its_own_stream_and_fields_whatever_came_before(server):
    server.load(
        consumer(
            callback="""(client, data) => {
                const raw = String.fromCharCode(...new Uint8Array(data.stream_name_raw));
                client.call('RPUSH', 'names', JSON.stringify([data.stream_name, raw, data.record]));
            }"""
        )
    )
    long_stream, long_field = "stream" + "s" * 2000, "f" * 100
    of_streams = ["stream1", "stream1", "stream1", "stream2", "stream1", "stream2", "stream2", "stream2"]
    of_fields = [["a"], ["a"], ["b"], ["a", "b"], ["b", "a"], ["a"], [""], ["b", "b"]]
    entries = list(zip(of_streams, of_fields, strict=True))
    entries += [(long_stream, [long_field])] * 3 + [("stream1", ["a"])] * 3
    for number, (stream, fields) in enumerate(entries):
        # One by one, so that each may have a session of its own.
        server.run("XADD", stream, "*", *(part for field in fields for part in (field, number)))
    expected = [
        [stream, stream, [[field, str(number)] for field in fields]] for number, (stream, fields) in enumerate(entries)
    ]
    assert [json.loads(names) for names in server.run("LRANGE", "names", 0, -1)] == expected


def test_a_field_that_is_no_text_is_null_each_time(server):
    server.load(consumer(callback="(client, data) => redis.log('record ' + JSON.stringify(data.record))"))
    for field in (b"\xff", b"\xff", b"\xff", b"a", b"\xff"):
        server.run("XADD", "stream", "*", field, "1")
    null, text = '[[null,"1"]]', '[["a","1"]]'
    assert server.messages("record ") == [null, null, null, text, null]


def test_a_record_of_many_fields_and_big_values_arrives_whole(server):
    server.load(
        consumer(
            callback="(client, data) => redis.log(`sizes ${data.record.length} ${data.record[999][0]} "
            "${data.record[999][1].length} ${data.record[0][1]}`)"
        )
    )
    pairs = [part for number in range(999) for part in (f"f{number}", "ü\U0001f600")]
    server.run("XADD", "stream", "*", *pairs, "last", "x" * 1_000_000)
    assert server.messages("sizes ") == ["1000 last 1000000 ü\U0001f600"]


def test_another_library_gets_its_entries_while_one_holds_its_own(server):
    server.load(consumer("slow", callback="holding"), RELEASE, name="slow")
    server.load(consumer("quick", callback="async (client, data) => saw(data)"), name="quick")
    server.add("stream", *range(20))
    server.wait_seen(*(f"stream {number}" for number in range(20)))
    assert [re.sub(" .*", "", text) for text in server.messages("start ")] == ["0"]


def test_loading_and_adding_in_one_pipeline_hands_over_every_entry(server):
    pipe = server.client.pipeline(transaction=False)
    pipe.execute_command("XADD", "stream", "*", "n", 0)
    pipe.execute_command("RG.FUNCTION", "LOAD", library(consumer()))
    for number in range(1, 50):
        pipe.execute_command("XADD", "stream", "*", "n", number)
    pipe.execute()
    server.wait_seen(*(f"stream {number}" for number in range(50)))


def test_an_entry_never_waits_for_longer_than_the_promise_before_it(server):
    """The main thread settles each promise while its worker is just about to rest."""
    count = 400
    server.load(consumer(callback="holding"), RELEASE)
    server.add("stream", *range(count))
    for number in range(count):
        server.wait_message(f"start {number} ")
        server.release(number)
    server.wait_stream(total_record_processed=count, pending_ids=[])
