"""RG.CONSUMER SKIP: one entry that stops a stream is given up, and the stream goes on."""

import pytest
from redis import ResponseError

from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    add_at_once,
    attempting,
    command,
    dead_letters,
    done,
    each_persistence,
    info,
    kill_and_restart,
    load_attempting,
    make_fail,
    make_succeed,
    policy,
    sync_and_async,
    tries,
    wait_dead_letters,
    wait_done,
    wait_info,
    wait_tries,
)
from testing.replication import promote, settle

TO_DEAD = {"dead_letter": "dead"}
RETRY = {"on_failure": "retry", "retry_interval": AN_HOUR}
ABORT = {"on_failure": "abort"}
STOPPED = {"retry": (RETRY, "waiting"), "abort": (ABORT, "aborted")}
each_stop = pytest.mark.parametrize("how", STOPPED)


def skip(node, entry, stream="stream", **named):
    return command(node, "SKIP", "STREAM", stream, entry, **named)


@each_stop
@sync_and_async
def test_the_entry_becomes_a_letter_and_the_stream_goes_on(server, kind, how):
    options, state = STOPPED[how]
    load_attempting(server, kind, **TO_DEAD, **options)
    make_fail(server, 1)
    ids = server.add("stream", 0, 1, 2, 3)
    wait_info(server, "stream", state=state)
    assert skip(server, ids[1]) == "OK"
    # It is written when the reply comes.
    [dead_letter] = wait_dead_letters(server, 1)
    assert (dead_letter["id"], dead_letter["attempts"]) == (ids[1], "1")
    assert dead_letter["error"].startswith("skipped: ")
    assert "no 1" in dead_letter["error"]
    wait_done(server, 0, 2, 3)
    wait_info(server, "stream", state="running", pending=[], given_up=1, dead_letters=1, position=ids[3])
    assert tries(server) == ["0", "1", "2", "3"]


@each_stop
def test_without_a_dead_letter_stream_it_is_given_up(server, how):
    options, state = STOPPED[how]
    load_attempting(server, trim=True, **options)
    make_fail(server, 0)
    ids = server.add("stream", 0, 1)
    wait_info(server, "stream", state=state)
    assert skip(server, ids[0]) == "OK"
    wait_done(server, 1)
    wait_info(server, "stream", pending=[], given_up=1, dead_letters=0)
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the stream is not trimmed")


@pytest.mark.parametrize("how", ["abort", "retry"])
def test_a_consumer_that_stopped_as_a_whole_goes_on(server, how):
    options, state = STOPPED[how]
    load_attempting(server, scope="consumer", **TO_DEAD, **options)
    make_fail(server, 1)
    [bad] = server.add("stream:1", 1)
    wait_info(server, state=state)
    server.add("stream:2", 2)
    assert skip(server, bad, "stream:1") == "OK"
    wait_done(server, 2)
    wait_info(server, state="running")
    wait_dead_letters(server, 1)


def test_of_a_batch_the_others_come_again(server):
    load_attempting(server, **TO_DEAD, **RETRY, batch=3)
    make_fail(server, 1)
    ids = add_at_once(server, "stream", range(3))
    wait_info(server, "stream", state="waiting")
    assert skip(server, ids[1]) == "OK"
    wait_done(server, "0,2")
    wait_dead_letters(server, 1)


def test_a_pause_that_somebody_asked_for_stays(server):
    load_attempting(server, **TO_DEAD, **RETRY)
    make_fail(server, 0)
    ids = server.add("stream", 0, 1)
    wait_info(server, "stream", state="waiting")
    command(server, "PAUSE", "STREAM", "stream")
    assert skip(server, ids[0]) == "OK"
    wait_dead_letters(server, 0)
    assert info(server, "stream")["state"] == "paused"
    assert done(server) == []
    command(server, "RESUME", "STREAM", "stream")
    wait_done(server, 1)


def test_a_redriven_entry_that_stops_the_stream_is_skipped_too(server):
    load_attempting(server, **TO_DEAD, **RETRY)
    make_fail(server, 1)
    [bad] = server.add("stream", 1)
    wait_info(server, "stream", state="waiting")
    skip(server, bad)
    wait_dead_letters(server, 1)
    assert command(server, "REDRIVE") == 1
    wait_info(server, "stream", state="waiting")
    server.add("stream", 2)
    assert skip(server, bad) == "OK"
    wait_done(server, 2)
    [(_, pairs)] = dead_letters(server)
    assert {name: dict(pairs)[name] for name in ("attempts", "redrives", "n")} == {"attempts": "2", "redrives": "1", "n": "1"}
    make_succeed(server)
    assert command(server, "REDRIVE") == 1
    wait_done(server, 2, 1)


@each_persistence
@each_stop
def test_after_a_kill_what_stops_the_stream_is_skipped_and_stays_skipped(restartable, how):
    options, state = STOPPED[how]
    load_attempting(restartable, **TO_DEAD, **options)
    make_fail(restartable, 1)
    ids = restartable.add("stream", 0, 1, 2)
    restartable.wait(lambda: info(restartable, "stream")["state"] == state, lambda: info(restartable, "stream"))
    kill_and_restart(restartable)
    assert info(restartable, "stream")["state"] == state
    assert skip(restartable, ids[1]) == "OK"
    wait_dead_letters(restartable, 1)
    restartable.wait(lambda: "2" in done(restartable), lambda: done(restartable))
    restartable.wait_stream(pending_ids=[])
    count = len(tries(restartable))
    kill_and_restart(restartable)
    restartable.add("stream", 3)
    restartable.wait(lambda: "3" in done(restartable), lambda: done(restartable))
    assert tries(restartable)[count:] == ["3"]
    wait_dead_letters(restartable, 1)


def test_a_replica_knows_what_was_skipped(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    load_attempting(primary, **TO_DEAD, **ABORT)
    make_fail(primary, 1)
    ids = primary.add("stream", 1, 2)
    primary.wait(lambda: info(primary, "stream")["state"] == "aborted", lambda: info(primary, "stream"))
    settle(primary, replica)
    with pytest.raises(ResponseError, match="read only replica"):
        skip(replica, ids[0])
    assert skip(primary, ids[0]) == "OK"
    primary.wait(lambda: done(primary) == ["2"], lambda: done(primary))
    settle(primary, replica)
    assert dead_letters(replica) == dead_letters(primary)
    primary.kill()
    promote(replica)
    replica.add("stream", 3)
    replica.wait(lambda: done(replica) == ["3"], lambda: done(replica))


def test_an_entry_that_is_deleted_meanwhile_leaves_a_letter_of_what_is_known(server):
    load_attempting(server, **TO_DEAD, **RETRY)
    make_fail(server, 1)
    ids = server.add("stream", 1, 2)
    wait_info(server, "stream", state="waiting")
    server.run("XDEL", "stream", ids[0])
    assert skip(server, ids[0]) == "OK"
    wait_dead_letters(server, 1)
    wait_done(server, 2)


def test_what_does_not_stop_the_stream_is_not_skipped(server):
    load_attempting(server, **TO_DEAD, **RETRY)
    make_fail(server, 1)
    ids = server.add("stream", 0, 1, 2)
    wait_info(server, "stream", state="waiting")
    for entry in (ids[0], ids[2], "7-7", "0-0"):
        with pytest.raises(ResponseError, match=f"^entry '{entry}' does not stop the stream"):
            skip(server, entry)
    wait_tries(server, 2)
    assert info(server, "stream")["state"] == "waiting"
    assert skip(server, ids[1]) == "OK"
    with pytest.raises(ResponseError, match="does not stop the stream"):
        skip(server, ids[1])
    wait_dead_letters(server, 1)


@pytest.mark.parametrize("options", [TO_DEAD, {}], ids=["options", "plain"])
def test_what_is_with_the_callback_is_not_skipped(server, options):
    server.load(*policy(consumer(callback="holding", window=2, options=options)))
    [entry] = server.add("stream", 1)
    server.wait_message("start 1 ")
    server.wait(lambda: info(server, "stream")["in_flight"] == 1, lambda: info(server, "stream"))
    with pytest.raises(ResponseError, match=f"^entry '{entry}' is with the callback"):
        skip(server, entry)
    server.release(1)


def test_what_is_given_up_already_has_one_letter(server):
    load_attempting(server, **TO_DEAD)
    server.run("SET", "dead", "text")
    make_fail(server, 1)
    [entry] = server.add("stream", 1)
    server.wait(lambda: "WRONGTYPE" in str(server.stream("stream").get("last_error")), lambda: server.stream("stream"))
    with pytest.raises(ResponseError, match=f"^entry '{entry}' is given up already"):
        skip(server, entry)
    server.run("DEL", "dead")
    wait_dead_letters(server, 1)


def test_a_letter_that_cannot_be_written_waits_and_the_stream_goes_on(server):
    load_attempting(server, **TO_DEAD, **ABORT)
    make_fail(server, 1)
    ids = server.add("stream", 1, 2)
    wait_info(server, "stream", state="aborted")
    server.run("SET", "dead", "text")
    assert skip(server, ids[0]) == "OK"
    wait_done(server, 2)
    assert server.stream("stream")["pending_ids"] == [ids[0]]
    server.run("DEL", "dead")
    wait_dead_letters(server, 1)
    server.wait_stream(pending_ids=[])


def test_one_of_two_that_failed_leaves_the_other(server):
    server.load(*policy(attempting("async after await", window=2, **TO_DEAD, **ABORT)))
    make_fail(server, 1, 2)
    ids = add_at_once(server, "stream", [1, 2, 3])
    wait_info(server, "stream", state="aborted")
    assert skip(server, ids[0]) == "OK"
    wait_info(server, "stream", state="aborted")
    make_succeed(server)
    command(server, "RESUME", "STREAM", "stream")
    wait_done(server, 2, 3)
    wait_dead_letters(server, 1)


WRONG = {
    "no ID": ([], "wrong number of arguments for 'rg.consumer|skip' command"),
    "an ID that is none": (["x"], "^invalid stream ID 'x'"),
    "a binary ID": ([b"\xff"], "^invalid stream ID"),
    "more": (["1-1", "x"], "^syntax error"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_words_are_told(server, what):
    load_attempting(server)
    server.add("stream", 1)
    more, error = WRONG[what]
    with pytest.raises(ResponseError, match=error.replace("|", r"\|")):
        command(server, "SKIP", "STREAM", "stream", *more)
    with pytest.raises(ResponseError, match="knows no stream 'nosuch'"):
        skip(server, "1-1", "nosuch")
    with pytest.raises(ResponseError, match="wrong number of arguments|syntax error"):
        command(server, "SKIP", "1-1")
