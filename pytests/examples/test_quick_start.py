"""The documented example, to the letter: its log lines and its RG.FUNCTION LIST reply."""

import re

import pytest

from testing.replies import fields

EXAMPLE = """#!js name=lib

redis.register_stream_consumer(
    "consumer", // consumer name
    "stream", // streams prefix
    1, // window
    false, // trim stream
    function(c, data) {
        // callback to run on each element added to the stream
        redis.log(JSON.stringify(data, (key, value) =>
            typeof value === 'bigint'
                ? value.toString()
                : value // return everything else unchanged
        ));
    }
);
"""

ENTRIES = [
    ("stream:1", "foo1", "bar1"),
    ("stream:1", "foo2", "bar2"),
    ("stream:2", "foo1", "bar1"),
    ("stream:2", "foo2", "bar2"),
]

LIBRARY_FIELDS = [
    "engine",
    "name",
    "pending_jobs",
    "user",
    "functions",
    "stream_consumers",
    "notifications_consumers",
    "gears_box_info",
    "version",
    "digest",
    "loaded_at",
]
CONSUMER_FIELDS = ["name", "prefix", "window", "trim", "num_streams", "streams"]
STREAM_FIELDS = [
    "name",
    "last_processed_time",
    "avg_processed_time",
    "last_lag",
    "avg_lag",
    "total_record_processed",
    "id_to_read_from",
    "last_error",
    "pending_ids",
]


@pytest.fixture
def example(server):
    """The server after the example, and the IDs of the four entries."""
    assert server.run("RG.FUNCTION", "LOAD", EXAMPLE) == "OK"
    ids = [server.run("XADD", stream, "*", field, value) for stream, field, value in ENTRIES]
    return server, ids


def test_every_entry_is_logged_as_documented(example):
    server, ids = example
    expected = []
    for entry_id, (stream, field, value) in zip(ids, ENTRIES, strict=True):
        ms, seq = entry_id.split("-")
        expected.append(f'["{ms}","{seq}"],"stream_name":"{stream}","record":[["{field}","{value}"]]}}')
    assert server.messages('{"id":') == expected


def test_the_log_line_has_the_servers_form_at_level_notice(example):
    server, _ = example
    line = next(line for line in server.log_text().splitlines() if '{"id"' in line)
    assert re.fullmatch(r'\d+:M \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} \* <redisgears_2> \[lib/consumer\] \{"id":.*\}', line)


def test_without_names_the_log_line_is_that_of_the_original_to_the_letter(server):
    with server.setting("redisgears_2.script-log-prefix", "no"):
        assert server.run("RG.FUNCTION", "LOAD", EXAMPLE) == "OK"
        server.run("XADD", "stream:1", "*", "foo1", "bar1")
    line = next(line for line in server.log_text().splitlines() if '{"id"' in line)
    assert re.fullmatch(r'\d+:M \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} \* <redisgears_2> \{"id":.*\}', line)


def test_list_replies_as_documented_to_a_client_of_resp2(example):
    server, ids = example
    reply = server.run("RG.FUNCTION", "LIST", "LIBRARY", "lib", "vvv")

    assert len(reply) == 1
    assert reply[0][::2] == LIBRARY_FIELDS
    library = fields(reply[0])
    [consumer] = library.pop("stream_consumers")
    assert library.pop("loaded_at") > 0 and len(library.pop("digest")) == 64
    assert library == {
        "engine": "js",
        "name": "lib",
        "pending_jobs": 0,
        "user": "default",
        "functions": [],
        "notifications_consumers": [],
        "gears_box_info": None,
        "version": 1,
    }

    assert consumer[::2] == CONSUMER_FIELDS
    consumer = fields(consumer)
    streams = consumer.pop("streams")
    assert consumer == {
        "name": "consumer",
        "prefix": "stream",
        "window": 1,
        "trim": "disabled",
        "num_streams": 2,
    }

    assert [stream[::2] for stream in streams] == [STREAM_FIELDS, STREAM_FIELDS]
    by_name = {stream["name"]: stream for stream in map(fields, streams)}
    assert by_name.keys() == {"stream:1", "stream:2"}
    assert by_name["stream:1"]["id_to_read_from"] == ids[1]
    assert by_name["stream:2"]["id_to_read_from"] == ids[3]
    for stream in by_name.values():
        assert stream["total_record_processed"] == 2
        assert stream["last_error"] == "None"
        assert stream["pending_ids"] == []
        for name in ("last_processed_time", "last_lag"):
            assert type(stream[name]) is int and 0 <= stream[name] < 60_000
        for name in ("avg_processed_time", "avg_lag"):
            assert re.fullmatch(r"\d+(\.\d+)?", stream[name]) and float(stream[name]) < 60_000


def test_list_replies_with_maps_to_a_client_of_resp3(example):
    server, ids = example
    client = server.connect(protocol=3)
    [library] = client.execute_command("RG.FUNCTION", "LIST", "LIBRARY", "lib", "vvv")

    assert list(library) == LIBRARY_FIELDS
    assert library["gears_box_info"] is None
    assert library["functions"] == library["notifications_consumers"] == []
    [consumer] = library["stream_consumers"]
    assert list(consumer) == CONSUMER_FIELDS
    assert (consumer["window"], consumer["trim"], consumer["num_streams"]) == (1, "disabled", 2)
    for stream in consumer["streams"]:
        assert list(stream) == STREAM_FIELDS
        assert stream["total_record_processed"] == 2
        assert stream["last_error"] == "None"
        assert stream["pending_ids"] == []
        assert type(stream["last_lag"]) is type(stream["last_processed_time"]) is int
        assert type(stream["avg_lag"]) is type(stream["avg_processed_time"]) is float
    assert {stream["id_to_read_from"] for stream in consumer["streams"]} == {ids[1], ids[3]}
