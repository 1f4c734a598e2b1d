"""RG.CONSUMER PAUSE, RESUME, SEEK and RETRY."""

import pytest
from redis import ResponseError

from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    add_at_once,
    attempting,
    batches,
    command,
    done,
    info,
    load_attempting,
    make_fail,
    make_succeed,
    pass_marker,
    policy,
    sync_and_async,
    tries,
    wait_done,
    wait_info,
    wait_tries,
)

BY_HAND = {"on_failure": "retry", "retry_interval": AN_HOUR}
SAW = {"sync": "(client, data) => saw(data)", "async": "async (client, data) => saw(data)"}
# The commands are for consumers without options as well.
OPTIONS = pytest.mark.parametrize("options", [None, {}, {"exact": False}], ids=["none", "empty", "some"])


# --- PAUSE and RESUME -----------------------------------------------------------------------------------------------


@OPTIONS
@sync_and_async
def test_while_a_consumer_is_paused_nothing_is_handed_over(server, kind, options):
    server.load(*policy(consumer(callback=SAW[kind], options=options)))
    server.add("stream", 1)
    server.wait_seen("stream 1")
    assert command(server, "PAUSE") == "OK"
    wait_info(server, state="paused")
    server.add("stream", 2, 3)
    server.add("stream:new", 4)
    pass_marker(server)
    assert server.seen() == ["stream 1"]
    assert command(server, "RESUME") == "OK"
    server.wait(lambda: len(server.seen()) >= 4, server.seen)
    assert [text for text in server.seen() if text.startswith("stream ")] == ["stream 1", "stream 2", "stream 3"]
    assert "stream:new 4" in server.seen()
    wait_info(server, state="running")


@sync_and_async
def test_while_a_stream_is_paused_the_others_go_on(server, kind):
    server.load(*policy(consumer(callback=SAW[kind], options={"start": "earliest"})))
    server.add("stream:1", 1)
    server.add("stream:2", 2)
    server.wait_seen("stream:1 1", "stream:2 2")
    assert command(server, "PAUSE", "STREAM", "stream:1") == "OK"
    server.add("stream:1", 3)
    server.add("stream:2", 4)
    server.wait_seen("stream:1 1", "stream:2 2", "stream:2 4")
    pass_marker(server)
    assert len(server.seen()) == 3
    wait_info(server, "stream:1", state="paused")
    wait_info(server, "stream:2", state="running")
    assert server.stream("stream:1")["state"] == "paused"
    assert command(server, "RESUME", "STREAM", "stream:1") == "OK"
    server.wait_seen("stream:1 1", "stream:2 2", "stream:2 4", "stream:1 3")


def test_resume_of_the_consumer_does_not_end_the_pause_of_a_stream(server):
    server.load(*policy(consumer(options={})))
    server.add("stream:1", 1)
    server.add("stream:2", 2)
    command(server, "PAUSE", "STREAM", "stream:1")
    command(server, "PAUSE")
    command(server, "RESUME")
    server.add("stream:1", 3)
    server.add("stream:2", 4)
    pass_marker(server)
    assert server.seen() == ["stream:1 1", "stream:2 2", "stream:2 4"]
    command(server, "RESUME", "STREAM", "stream:1")
    server.wait_seen("stream:1 1", "stream:2 2", "stream:2 4", "stream:1 3")


def test_resume_of_a_stream_does_not_end_the_pause_of_the_consumer(server):
    server.load(*policy(consumer(options={})))
    server.add("stream", 1)
    command(server, "PAUSE")
    command(server, "RESUME", "STREAM", "stream")
    server.add("stream", 2)
    pass_marker(server)
    assert server.seen() == ["stream 1"]


def test_other_consumers_go_on(server):
    server.load(*policy(consumer(options={}), consumer("other", callback="(client, data) => saw(data, 'other')")))
    command(server, "PAUSE")
    server.add("stream", 1)
    server.wait_seen("stream 1", tag="other")
    pass_marker(server)
    assert server.seen() == []


def test_what_runs_when_the_pause_begins_ends_and_counts(server):
    server.load(*policy(consumer(window=2, callback="holding", options={})))
    ids = add_at_once(server, "stream", range(4))
    server.wait_message("start ", 2)
    command(server, "PAUSE")
    server.release(0, 1)
    server.wait_stream(pending_ids=[], total_record_processed=2)
    pass_marker(server)
    assert len(server.messages("start ")) == 2
    command(server, "RESUME")
    server.wait_message("start ", 4)
    server.wait_stream(pending_ids=ids[2:])


def test_nothing_that_waits_for_a_paused_consumer_is_trimmed(server):
    server.load(*policy(consumer(trim=True, options={})))
    command(server, "PAUSE")
    server.add("stream", 1, 2)
    pass_marker(server)
    assert server.run("XLEN", "stream") == 2
    command(server, "RESUME")
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the stream is not trimmed")


def test_after_a_pause_batches_are_drained(server):
    server.load(*policy(consumer(callback="(client, batch) => got(batch)", options={"batch": 3})))
    server.add("stream", 0)
    command(server, "PAUSE")
    add_at_once(server, "stream", range(1, 5))
    command(server, "RESUME")
    server.wait_for([["0", "1", "2"], ["3", "4"]], lambda: batches(server))


def test_pause_and_resume_may_be_repeated(server):
    server.load(*policy(consumer(options={})))
    for word in ("RESUME", "PAUSE", "PAUSE", "RESUME", "RESUME"):
        assert command(server, word) == "OK"
    server.add("stream", 1)
    server.wait_seen("stream 1")


def test_words_are_case_insensitive(server):
    server.load(*policy(consumer(options={})))
    server.add("stream", 1)
    assert server.run("rg.consumer", "pause", "lib", "consumer", "stream", "stream") == "OK"
    assert server.run("Rg.Consumer", "Resume", "lib", "consumer", "Stream", "stream") == "OK"
    assert server.run("rg.consumer", "seek", "lib", "consumer", "stream", "stream", "LATEST") == "OK"


def test_a_pause_in_a_transaction_holds_for_what_the_transaction_adds(server):
    server.load(*policy(consumer(options={})))
    pipe = server.client.pipeline(transaction=True)
    pipe.execute_command("RG.CONSUMER", "PAUSE", "lib", "consumer")
    pipe.execute_command("XADD", "stream", "*", "n", 1)
    assert pipe.execute()[0] == "OK"
    pass_marker(server)
    assert server.seen() == []
    command(server, "RESUME")
    server.wait_seen("stream 1")


def test_a_stream_is_that_of_the_clients_database(server):
    server.load(*policy(consumer(options={})))
    other = server.connect(db=3)
    server.add("stream:3", "a", client=other)
    with pytest.raises(ResponseError, match="knows no stream"):
        command(server, "PAUSE", "STREAM", "stream:3")
    assert command(server, "PAUSE", "STREAM", "stream:3", client=other) == "OK"
    server.add("stream:3", "b", client=other)
    server.add("stream:3", "c")
    pass_marker(server)
    assert server.seen() == ["stream:3 a", "stream:3 c"]
    command(server, "RESUME", "STREAM", "stream:3", client=other)
    server.wait_seen("stream:3 a", "stream:3 c", "stream:3 b")


def test_a_key_may_be_any_bytes(server):
    server.load(*policy(consumer(options={})))
    key = b"stream\xff\x00"
    server.run("XADD", key, "*", "n", 1)
    assert command(server, "PAUSE", "STREAM", key) == "OK"
    assert info(server, key)["state"] == "paused"
    assert command(server, "RESUME", "STREAM", key) == "OK"
    assert command(server, "SEEK", "STREAM", key, "earliest") == "OK"


def test_an_upgrade_does_not_end_a_pause(server):
    server.load(*policy(consumer(options={})))
    command(server, "PAUSE")
    server.upgrade(*policy(consumer(options={"start": "latest"})))
    server.add("stream", 1)
    pass_marker(server)
    assert server.seen() == []
    command(server, "RESUME")
    server.wait_seen("stream 1")


@pytest.mark.parametrize("kind", SAW)
def test_pauses_under_load_lose_and_repeat_nothing(server, kind):
    total = 5000
    server.load(*policy(consumer(window=5, callback=SAW[kind], options={})))
    writer = server.connect()
    for start in range(0, total, 100):
        pipe = writer.pipeline(transaction=False)
        for number in range(start, start + 100):
            pipe.execute_command("XADD", "stream", "*", "n", number)
            if number % 37 == 0:
                pipe.execute_command("RG.CONSUMER", "PAUSE", "lib", "consumer")
            if number % 53 == 0:
                pipe.execute_command("RG.CONSUMER", "RESUME", "lib", "consumer")
        pipe.execute()
    command(server, "RESUME")
    server.wait_stream(total_record_processed=total, pending_ids=[])
    assert server.seen() == [f"stream {number}" for number in range(total)]


# --- SEEK -----------------------------------------------------------------------------------------------------------


@OPTIONS
@sync_and_async
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("earliest", ["4-1", "5-1", "6-1"]),
        ("0-0", ["4-1", "5-1", "6-1"]),
        ("5-1", ["5-1", "6-1"]),
        ("5-2", ["6-1"]),
        ("6-2", []),
        ("latest", []),
    ],
)
def test_the_next_is_the_entry_with_that_id_or_the_one_behind(server, kind, options, place, expected):
    server.load(*policy(consumer(callback=SAW[kind], options=options)))
    entries = ["4-1", "5-1", "6-1"]
    for entry in entries:
        server.run("XADD", "stream", entry, "n", entry)
    server.wait_seen(*(f"stream {entry}" for entry in entries))
    assert command(server, "SEEK", "STREAM", "stream", place) == "OK"
    server.run("XADD", "stream", "7-1", "n", "7-1")
    server.wait_seen(*(f"stream {entry}" for entry in [*entries, *expected, "7-1"]))


def test_a_seek_forward_skips_what_was_not_handed_over(server):
    server.load(*policy(consumer(options={})))
    server.add("stream", 0)
    command(server, "PAUSE")
    ids = server.add("stream", 1, 2, 3)
    command(server, "SEEK", "STREAM", "stream", ids[2])
    command(server, "RESUME")
    server.wait_seen("stream 0", "stream 3")
    pass_marker(server)
    assert len(server.seen()) == 2


@sync_and_async
def test_a_seek_over_the_failing_entry_ends_its_retries(server, kind):
    load_attempting(server, kind, **BY_HAND)
    make_fail(server, 1)
    ids = server.add("stream", 0, 1, 2, 3)
    wait_tries(server, 2)
    wait_info(server, "stream", state="waiting")
    command(server, "SEEK", "STREAM", "stream", ids[2])
    wait_done(server, 0, 2, 3)
    wait_info(server, "stream", state="running", pending=[])
    assert tries(server) == ["0", "1", "2", "3"]


def test_a_seek_back_forgets_attempts(server):
    load_attempting(server, on_failure="retry", retry_interval=AN_HOUR, max_attempts=2)
    make_fail(server, 0)
    server.add("stream", 0)
    wait_tries(server, 1)
    command(server, "SEEK", "STREAM", "stream", "earliest")
    wait_tries(server, 2)
    wait_info(server, "stream", state="waiting", given_up=0)


def test_what_is_with_a_callback_ends_unheard(server):
    code = "async (client, data) => { await holding(client, data); if (value(data) === '1') throw new Error('late'); }"
    server.load(*policy(consumer(window=2, callback=code, options=BY_HAND)))
    ids = server.add("stream", 0, 1, 2)
    server.wait_message("start ", 2)
    command(server, "SEEK", "STREAM", "stream", ids[2])
    server.wait_message("start 2 ")
    server.wait_stream(pending_ids=ids[2:])
    server.release(0, 1)
    server.wait_message("end 1")
    pass_marker(server)
    assert info(server, "stream")["failures"] == 0
    assert server.stream("stream")["last_error"] == "None"
    server.release(2)
    server.wait_stream(pending_ids=[], total_record_processed=1)


def test_after_a_seek_batches_are_drained(server):
    server.load(*policy(consumer(callback="(client, batch) => got(batch)", options={"batch": 3})))
    ids = server.add("stream", *range(5))
    command(server, "SEEK", "STREAM", "stream", ids[1])
    server.wait_for([["0", "1", "2"], ["1", "2", "3"], ["4"]], lambda: batches(server))


def test_a_seek_does_not_end_a_pause(server):
    server.load(*policy(consumer(options={})))
    server.add("stream", 1)
    command(server, "PAUSE", "STREAM", "stream")
    command(server, "SEEK", "STREAM", "stream", "earliest")
    pass_marker(server)
    assert server.seen() == ["stream 1"]
    command(server, "RESUME", "STREAM", "stream")
    server.wait_seen("stream 1", "stream 1")


def test_a_seek_back_keeps_the_trim_from_what_is_handed_over_again(server):
    server.load(*policy(consumer(callback="holding", options={}), consumer("trims", trim=True)))
    ids = server.add("stream", 0, 1)
    server.wait_message("start 0 ")
    command(server, "SEEK", "STREAM", "stream", ids[1])
    server.wait_message("start 1 ")
    server.wait(lambda: [one for one, _ in server.client.xrange("stream")] == ids[1:], "the first is not trimmed")


# --- RETRY ----------------------------------------------------------------------------------------------------------


@sync_and_async
def test_retry_ends_the_pause_at_once(server, kind):
    load_attempting(server, kind, **BY_HAND)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    for count in range(1, 4):
        wait_tries(server, count)
        wait_info(server, "stream", state="waiting")
        assert tries(server) == ["0"] * count
        assert 0 < info(server, "stream")["retry_in_ms"] <= AN_HOUR
        assert command(server, "RETRY", "STREAM", "stream") == "OK"
    wait_tries(server, 4)
    # The fourth attempt has failed by then: it does not see that the next ones are to succeed.
    wait_info(server, "stream", state="waiting")
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, 0, 1)


def test_retry_of_one_stream_leaves_the_others(server):
    load_attempting(server, **BY_HAND)
    make_fail(server, 1, 2)
    server.add("stream:1", 1)
    server.add("stream:2", 2)
    wait_tries(server, 2)
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream:2")
    wait_done(server, 2)
    wait_info(server, "stream:1", state="waiting")


def test_retry_does_not_end_a_pause(server):
    load_attempting(server, **BY_HAND)
    make_fail(server, 0)
    server.add("stream", 0)
    wait_tries(server, 1)
    make_succeed(server)
    command(server, "PAUSE")
    command(server, "RETRY", "STREAM", "stream")
    pass_marker(server)
    assert tries(server) == ["0"]
    command(server, "RESUME")
    wait_done(server, 0)


def test_two_consumers_of_a_library_are_told_apart(server):
    server.load(*policy(attempting(name="one"), attempting(name="two")))
    server.add("stream", 0)
    command(server, "PAUSE", name="one")
    server.add("stream", 1)
    pass_marker(server)
    assert done(server) == ["0", "0", "1"]
    wait_info(server, name="one", state="paused")
    wait_info(server, name="two", state="running")
