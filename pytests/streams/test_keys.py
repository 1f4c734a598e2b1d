"""Whatever happens to a tracked key: the right entries, once, and no crash."""

import pytest

from testing.libraries import RELEASE, consumer

MAX_ID = "18446744073709551615-18446744073709551615"


def add(server, stream, entry_id, value, client=None):
    """An entry with an ID of our own."""
    return (client or server.client).execute_command("XADD", stream, entry_id, "n", value)


def positions(server):
    """Where the consumer stands in each of its streams."""
    return [row["id_to_read_from"] for row in server.consumer()["rows"]]


def expire(server):
    server.run("PEXPIRE", "stream", 1)
    server.wait(lambda: not server.run("EXISTS", "stream"), "the key does not expire")


REMOVALS = {
    "DEL": lambda server: server.run("DEL", "stream"),
    "UNLINK": lambda server: server.run("UNLINK", "stream"),
    "EXPIRE": expire,
    "EXPIRE in the past": lambda server: server.run("EXPIRE", "stream", -1),
    "RENAME out": lambda server: server.run("RENAME", "stream", "elsewhere"),
    "SET over it": lambda server: (server.run("SET", "stream", 1), server.run("DEL", "stream")),
    "RENAME over it": lambda server: (
        server.run("SET", "string", 1),
        server.run("RENAME", "string", "stream"),
        server.run("DEL", "stream"),
    ),
    "COPY over it": lambda server: (
        server.run("SET", "string", 1),
        server.run("COPY", "string", "stream", "REPLACE"),
        server.run("DEL", "stream"),
    ),
    "SUNIONSTORE over it": lambda server: (
        server.run("SADD", "set", 1),
        server.run("SUNIONSTORE", "stream", "set"),
        server.run("DEL", "stream"),
    ),
    "FLUSHALL": lambda server: server.run("FLUSHALL"),
    "FLUSHALL ASYNC": lambda server: server.run("FLUSHALL", "ASYNC"),
    "FLUSHDB": lambda server: server.run("FLUSHDB"),
    "MOVE away": lambda server: server.run("MOVE", "stream", 1),
    "SWAPDB": lambda server: server.run("SWAPDB", 0, 1),
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_stream_that_is_created_anew_starts_from_its_beginning(server, removal):
    server.load(consumer())
    add(server, "stream", "1000-0", "old")
    assert server.stream("stream")["id_to_read_from"] == "1000-0"
    REMOVALS[removal](server)
    add(server, "stream", "1-0", "low")
    add(server, "stream", "2-0", "next")
    assert server.seen() == ["stream old", "stream low", "stream next"]
    assert "2-0" in positions(server)


@pytest.mark.parametrize("removal", [name for name in REMOVALS if name not in ("MOVE away", "SWAPDB")])
def test_a_stream_that_is_gone_is_no_longer_listed(server, removal):
    server.load(consumer())
    add(server, "stream", "1-0", "old")
    assert server.consumer()["num_streams"] == 1
    REMOVALS[removal](server)
    server.wait(lambda: server.consumer()["num_streams"] == 0, server.consumer)


@pytest.mark.parametrize("removal", ["DEL", "FLUSHALL", "RENAME out", "SET over it"])
def test_a_stream_that_goes_while_its_entries_are_in_callbacks_does_no_harm(server, removal):
    server.load(consumer(window=3, trim=True, callback="holding"), RELEASE)
    for number in range(1, 5):
        add(server, "stream", f"1000-{number}", f"old{number}")
    server.wait_message("start ", 3)
    REMOVALS[removal](server)
    add(server, "stream", "1-0", "new")
    server.wait_message("start new ")
    server.release("old1", "old2", "old3", "new")
    server.wait_for(["old1", "old2", "old3", "new"], lambda: server.messages("end "))
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the new stream is not trimmed")
    assert len(server.messages("start ")) == 4
    assert server.stream("stream")["total_record_processed"] == 1
    assert server.stream("stream")["pending_ids"] == []


def test_a_stream_that_is_renamed_in_is_handed_over(server):
    server.load(consumer())
    server.add("elsewhere", 1, 2)
    server.run("RENAME", "elsewhere", "stream:in")
    server.wait_seen("stream:in 1", "stream:in 2")
    server.add("stream:in", 3)
    assert server.seen()[2:] == ["stream:in 3"]


def test_a_renamed_stream_keeps_its_progress(server):
    server.load(consumer())
    server.add("stream:a", 1, 2)
    server.run("RENAME", "stream:a", "stream:b")
    server.add("stream:b", 3)
    assert server.seen() == ["stream:a 1", "stream:a 2", "stream:b 3"]
    assert server.consumer()["streams"].keys() == {"stream:b"}


def test_a_stream_renamed_over_another_takes_its_place(server):
    server.load(consumer())
    server.add("stream:a", 1)
    add(server, "stream:b", "1-0", 2)
    server.run("RENAME", "stream:b", "stream:a")
    add(server, "stream:a", "2-0", 3)
    assert server.seen() == ["stream:a 1", "stream:b 2", "stream:a 3"]
    assert server.consumer()["num_streams"] == 1


def test_a_renamed_stream_is_trimmed_under_its_new_name(server):
    server.load(consumer(trim=True, callback="holding"), RELEASE)
    server.add("stream:a", 1)
    server.wait_message("start 1 ")
    server.run("RENAME", "stream:a", "stream:b")
    server.release(1)
    server.wait(lambda: server.run("XLEN", "stream:b") == 0, server.consumer)
    assert len(server.messages("start ")) == 1


def test_a_restored_stream_is_handed_over_from_its_beginning(server):
    server.load(consumer())
    server.add("elsewhere", 1, 2)
    dump = server.connect(decode_responses=False).execute_command("DUMP", "elsewhere")
    server.run("RESTORE", "stream", 0, dump)
    server.wait_seen("stream 1", "stream 2")
    server.run("RESTORE", "stream", 0, dump, "REPLACE")
    server.wait_seen("stream 1", "stream 2", "stream 1", "stream 2")
    server.add("stream", 3)
    assert server.seen()[4:] == ["stream 3"]


def test_a_copied_stream_is_handed_over_from_its_beginning(server):
    server.load(consumer())
    server.add("stream:a", 1, 2)
    server.run("COPY", "stream:a", "stream:b")
    server.wait_seen("stream:a 1", "stream:a 2", "stream:b 1", "stream:b 2")
    server.add("stream:a", 3)
    server.add("stream:b", 4)
    assert server.seen()[4:] == ["stream:a 3", "stream:b 4"]


def test_streams_of_the_same_name_in_two_databases_are_two_streams(server):
    server.load(consumer(trim=True))
    other = server.connect(db=1)
    add(server, "stream", "1000-0", "zero")
    add(server, "stream", "1-0", "one", other)
    add(server, "stream", "2-0", "more", other)
    assert server.seen() == ["stream zero", "stream one", "stream more"]
    assert server.consumer()["num_streams"] == 2
    assert (server.run("XLEN", "stream"), other.execute_command("XLEN", "stream")) == (0, 0)
    other.execute_command("FLUSHDB")
    assert positions(server) == ["1000-0"]


def test_a_backlog_in_another_database_is_found(server):
    other = server.connect(db=1)
    server.add("stream", *range(100), client=other)
    server.load(consumer())
    server.wait_seen(*(f"stream {number}" for number in range(100)))


def test_a_moved_stream_keeps_its_progress(server):
    server.load(consumer())
    server.add("stream", 1)
    server.run("MOVE", "stream", 1)
    server.add("stream", 2, client=server.connect(db=1))
    assert server.seen() == ["stream 1", "stream 2"]


def test_swapped_databases_keep_their_progress(server):
    server.load(consumer())
    other = server.connect(db=1)
    add(server, "stream", "1000-0", "zero")
    add(server, "stream", "1-0", "one", other)
    server.run("SWAPDB", 0, 1)
    add(server, "stream", "2-0", "one again")
    add(server, "stream", "1001-0", "zero again", other)
    assert server.seen() == ["stream zero", "stream one", "stream one again", "stream zero again"]


def test_entries_deleted_or_trimmed_before_their_turn_are_passed_over(server):
    server.load(consumer(callback="holding"), RELEASE)
    ids = server.add("stream", *range(10))
    server.wait_message("start 0 ")
    server.run("XDEL", "stream", ids[8])
    server.run("XTRIM", "stream", "MINID", ids[5])
    # What was read ahead may still come; nothing twice, and nothing that stays is left out.
    server.release(0)
    for number in (5, 6, 7, 9):
        while not server.messages(f"start {number} "):
            started = server.messages("start ")
            server.release(started[-1].split()[0])
            server.wait_message("start ", len(started) + 1)
        server.release(number)
    started = [int(text.split()[0]) for text in server.messages("start ")]
    assert started == sorted(set(started))


def test_an_id_ahead_of_the_clock_has_no_lag(server):
    server.load(consumer())
    add(server, "stream", "98204686757998000-5", "future")
    assert server.seen() == ["stream future"]
    stream = server.stream("stream")
    assert (stream["last_lag"], stream["avg_lag"]) == (0, "0")


@pytest.mark.parametrize("entry_id", ["1-18446744073709551615", "18446744073709551615-0", MAX_ID])
@pytest.mark.parametrize("trim", [False, True])
def test_the_greatest_ids_are_handled_and_trimmed(server, entry_id, trim):
    server.load(consumer(trim=trim, callback="(client, data) => redis.log('id ' + data.id.join('-'))"))
    add(server, "stream", "0-1", "first")
    add(server, "stream", entry_id, "last")
    assert server.messages("id ") == ["0-1", entry_id]
    assert server.run("XLEN", "stream") == (0 if trim else 2)
    assert server.stream("stream")["id_to_read_from"] == entry_id
    assert server.stream("stream")["last_error"] == "None"


def test_after_the_greatest_id_the_stream_can_be_created_anew(server):
    server.load(consumer())
    add(server, "stream", MAX_ID, "last")
    server.run("DEL", "stream")
    add(server, "stream", "1-1", "first")
    assert server.seen() == ["stream last", "stream first"]


def test_names_and_fields_that_are_no_text_come_as_null_and_as_bytes(server):
    server.load(
        """
        const bytes = buffer => Array.from(new Uint8Array(buffer)).join('.');
        redis.register_stream_consumer('binary', 'stream', 1, false, (client, data) => redis.log('raw ' +
            JSON.stringify([data.stream_name, data.record, bytes(data.stream_name_raw),
                            data.record_raw.map(pair => pair.map(bytes))])));
        """
    )
    client = server.connect(decode_responses=False)
    client.execute_command("XADD", b"stream\xff", "*", b"\xfe", b"text", b"text", b"\xc3\x28", b"\xff", b"\xfe")
    client.execute_command("XADD", b"stream\x00:\x00", "*", b"a\x00b", b"\x00")
    assert server.messages("raw ") == [
        '[null,[[null,"text"],["text",null],[null,null]],"115.116.114.101.97.109.255",'
        '[["254","116.101.120.116"],["116.101.120.116","195.40"],["255","254"]]]',
        r'["stream\u0000:\u0000",[["a\u0000b","\u0000"]],"115.116.114.101.97.109.0.58.0",[["97.0.98","0"]]]',
    ]
    assert server.consumer("binary")["num_streams"] == 2


@pytest.mark.parametrize("kind", ["(client, data) => saw(data)", "async (client, data) => saw(data)"])
def test_an_entry_deleted_in_the_transaction_that_added_it_does_no_harm(server, kind):
    server.load(consumer(callback=kind))
    server.run("XADD", "stream", "1-1", "n", "first")
    server.wait_seen("stream first")
    for ms in range(2, 20):
        with server.client.pipeline(transaction=True) as transaction:
            transaction.execute_command("XADD", "stream", f"{ms}-1", "n", "deleted")
            transaction.execute_command("XDEL", "stream", f"{ms}-1")
            transaction.execute()
    server.run("XADD", "stream", "20-1", "n", "last")
    server.wait_seen("stream first", "stream last")


@pytest.mark.parametrize("kind", ["(client, data) => saw(data)", "async (client, data) => saw(data)"])
@pytest.mark.parametrize("trim", [True, False])
def test_a_last_id_that_is_set_back_brings_new_entries_and_no_old_ones(server, kind, trim):
    server.load(consumer(callback=kind, trim=trim))
    for ms in (50, 100):
        server.run("XADD", "stream", f"{ms}-1", "n", ms)
    server.wait_seen("stream 50", "stream 100")
    server.run("XTRIM", "stream", "MAXLEN", "0")
    server.run("XSETID", "stream", "60-0")
    server.run("XADD", "stream", "70-1", "n", 70)
    server.wait_seen("stream 50", "stream 100", "stream 70")
    server.run("XSETID", "stream", "200-0")
    server.run("XADD", "stream", "*", "n", "now")
    server.wait_seen("stream 50", "stream 100", "stream 70", "stream now")


def test_reading_a_stream_breaks_no_watch_of_it(server):
    server.add("stream", 1)
    pipe = server.client.pipeline()
    pipe.watch("stream")
    server.load(consumer())
    server.wait_seen("stream 1")
    pipe.multi()
    pipe.execute_command("XLEN", "stream")
    assert pipe.execute() == [1]
