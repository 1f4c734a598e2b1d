"""Callbacks that fail: noted, and the next entry comes all the same."""

import re

import pytest
from redis import ResponseError

from testing.libraries import RELEASE, consumer
from testing.thrown import NON_ERRORS

# A callback that fails in several ways on the entry "bad", and logs the others.
FAILURES = {
    "throw": "(client, data) => { if (value(data) === 'bad') throw new Error('went wrong'); saw(data); }",
    "throw in an async function": "async (client, data) => {"
    " if (value(data) === 'bad') throw new Error('went wrong'); saw(data); }",
    "throw after await": "async (client, data) => { await null;"
    " if (value(data) === 'bad') throw new Error('went wrong'); saw(data); }",
    "rejected promise": "(client, data) => {"
    " if (value(data) === 'bad') return Promise.reject(new Error('went wrong')); saw(data); }",
    "engine error": "(client, data) => { if (value(data) === 'bad') (void 'went wrong').went.wrong; saw(data); }",
}


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_noted_and_later_entries_are_handled(server, kind, trim):
    server.load(consumer(trim=trim, callback=FAILURES[kind]))
    server.add("stream", "first", "bad", "second", "third")
    server.wait_seen("stream first", "stream second", "stream third")
    server.wait_stream(total_record_processed=4)
    stream = server.stream("stream")
    assert "went" in stream["last_error"]
    assert stream["pending_ids"] == []
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 4), "the trim is missing")


def test_the_error_keeps_its_message_and_where_it_came_from(server):
    server.load(
        "function breaks() { throw new TypeError('of this kind'); }", consumer(callback="(client, data) => breaks()")
    )
    server.add("stream", 1)
    assert server.stream("stream")["last_error"] == "TypeError: of this kind"
    server.run("CONFIG", "SET", "redisgears_2.error-verbosity", 2)
    server.add("stream", 2)
    server.run("CONFIG", "SET", "redisgears_2.error-verbosity", 1)
    assert re.match(r"TypeError: of this kind\|.*at breaks \(lib:\d+:\d+\)", server.stream("stream")["last_error"])


def test_the_error_belongs_to_the_stream_and_consumer_that_failed(server):
    server.load(
        consumer("bad", callback="(client, data) => { if (value(data) === 'bad') throw 'no'; }"), consumer("good")
    )
    server.add("stream:1", "bad")
    server.add("stream:2", "fine")
    assert server.stream("stream:1", "bad")["last_error"] == "no"
    assert server.stream("stream:2", "bad")["last_error"] == "None"
    assert server.stream("stream:1", "good")["last_error"] == "None"
    assert server.seen() == ["stream:1 bad", "stream:2 fine"]


def test_the_last_of_several_errors_is_shown(server):
    server.load(consumer(callback="(client, data) => { throw `error ${value(data)}`; }"))
    server.add("stream", 1, 2, 3)
    assert server.stream("stream")["last_error"] == "error 3"


def test_an_error_beside_entries_in_flight_ends_only_its_own(server):
    server.load(
        consumer(
            window=3,
            callback="async (client, data) => { if (value(data) === '1') throw new Error('no');"
            " return holding(client, data); }",
        ),
        RELEASE,
    )
    ids = server.add("stream", 0, 1, 2, 3)
    server.wait_stream(pending_ids=[ids[0], ids[2], ids[3]])
    server.wait_message("start 3 ")
    server.release(0, 2, 3)
    server.wait_stream(total_record_processed=4)


@pytest.mark.parametrize("what", NON_ERRORS)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_whatever_a_callback_throws_is_noted_as_an_error(server, what, kind):
    server.set_timeout(200)
    start = {"sync": "(client, data)", "async": "async (client, data)"}[kind]
    server.load(consumer(trim=True, callback=f"{start} => {{ saw(data); throw ({NON_ERRORS[what]}); }}"))
    server.add("stream", 1)
    server.wait_stream(total_record_processed=1)
    error = server.stream("stream")["last_error"]
    assert error != "None"
    assert len(error) < 100_000
    server.add("stream", 2)
    server.wait_seen("stream 1", "stream 2")
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the trim is missing")


@pytest.mark.parametrize("what", NON_ERRORS)
def test_whatever_a_library_throws_at_load_is_an_error_reply(server, what):
    server.load(consumer("standing"), name="standing")
    server.set_timeout(200)
    code = f"#!js name=lib\nthrow ({NON_ERRORS[what]});"
    with pytest.raises(ResponseError, match="Failed loading library") as caught:
        server.run("RG.FUNCTION", "LOAD", code)
    assert len(str(caught.value)) < 100_000
    assert server.run("PING")
    assert server.libraries() == ["standing"]
