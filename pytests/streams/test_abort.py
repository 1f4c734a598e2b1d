"""on_failure: "abort": the consumer stops, says so, and goes on with the failed entries when it is told to."""

import pytest

from testing.libraries import consumer
from testing.policies import (
    add_at_once,
    attempting,
    command,
    dead_letters,
    done,
    each_kind,
    each_persistence,
    info,
    kill_and_restart,
    load_attempting,
    make_fail,
    make_succeed,
    pass_marker,
    policy,
    sync_and_async,
    tries,
    wait_dead_letters,
    wait_done,
    wait_info,
    wait_tries,
)
from testing.replication import promote, settle

ABORT = {"on_failure": "abort"}


@each_kind
def test_a_failure_stops_the_stream_and_resume_goes_on_with_what_failed(server, kind):
    load_attempting(server, kind, **ABORT)
    make_fail(server, 1)
    ids = server.add("stream", 0, 1, 2)
    wait_info(server, "stream", state="aborted", pending=[ids[1]])
    server.add("stream", 3)
    pass_marker(server)
    assert tries(server) == ["0", "1"]
    assert "no 1" in info(server, "stream")["last_error"]
    row = server.stream("stream")
    assert (row["state"], row["pending_ids"]) == ("aborted", [ids[1]])
    assert "no 1" in row["last_error"]
    make_succeed(server)
    assert command(server, "RESUME") == "OK"
    wait_done(server, 0, 1, 2, 3)
    wait_info(server, "stream", state="running", pending=[])
    assert server.stream("stream")["state"] == "running"


@each_kind
def test_a_failed_batch_stops_the_stream_and_comes_again_as_it_was(server, kind):
    load_attempting(server, kind, **ABORT, batch=3)
    make_fail(server, 4)
    ids = add_at_once(server, "stream", range(9))
    wait_info(server, "stream", state="aborted", pending=ids[3:6])
    make_succeed(server)
    command(server, "RESUME")
    wait_done(server, "0,1,2", "3,4,5", "6,7,8")
    assert tries(server) == ["0,1,2", "3,4,5", "3,4,5", "6,7,8"]


def test_what_fails_again_stops_again(server):
    load_attempting(server, **ABORT)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    for count in range(1, 4):
        wait_tries(server, count)
        wait_info(server, "stream", state="aborted")
        assert tries(server) == ["0"] * count
        command(server, "RESUME", "STREAM", "stream")


def test_other_streams_go_on(server):
    load_attempting(server, **ABORT)
    make_fail(server, 1)
    server.add("stream:1", 1, 2)
    server.add("stream:2", 3, 4)
    wait_done(server, 3, 4)
    wait_info(server, "stream:1", state="aborted")
    wait_info(server, "stream:2", state="running")
    make_succeed(server)
    command(server, "RESUME", "STREAM", "stream:1")
    wait_done(server, 3, 4, 1, 2)


def test_resume_of_the_consumer_goes_on_with_all_its_streams(server):
    load_attempting(server, **ABORT)
    make_fail(server, 1, 2)
    server.add("stream:1", 1)
    server.add("stream:2", 2)
    for stream in ("stream:1", "stream:2"):
        wait_info(server, stream, state="aborted")
    make_succeed(server)
    command(server, "RESUME")
    server.wait(lambda: sorted(done(server)) == ["1", "2"], lambda: done(server))


@sync_and_async
def test_with_the_scope_of_the_consumer_all_its_streams_stop(server, kind):
    load_attempting(server, kind, **ABORT, scope="consumer")
    make_fail(server, 1)
    server.add("stream:1", 1)
    wait_info(server, state="aborted")
    assert "no 1" in info(server)["error"]
    assert server.consumer()["state"] == "aborted"
    server.add("stream:2", 2)
    pass_marker(server)
    assert tries(server) == ["1"]
    make_succeed(server)
    command(server, "RESUME")
    server.wait(lambda: sorted(done(server)) == ["1", "2"], lambda: done(server))
    wait_info(server, state="running")
    assert server.consumer()["state"] == "running"


def test_other_consumers_go_on(server):
    other = consumer("other", callback="(client, data) => saw(data)")
    server.load(*policy(attempting(**ABORT, scope="consumer"), other))
    make_fail(server, 1)
    server.add("stream", 1, 2)
    server.wait_seen("stream 1", "stream 2")
    wait_info(server, state="aborted")
    wait_info(server, name="other", state="running")


def test_what_runs_beside_a_failure_ends(server):
    code = """async (client, data) => {
        if (ask(client, 'SISMEMBER', 'bad', value(data)) == 1) throw new Error('no');
        return holding(client, data);
    }"""
    server.load(*policy(consumer(window=2, callback=code, options=ABORT)))
    make_fail(server, 1)
    ids = add_at_once(server, "stream", range(3))
    server.wait_message("start 0 ")
    wait_info(server, "stream", state="aborted", pending=ids[:2])
    server.release(0)
    wait_info(server, "stream", state="aborted", pending=ids[1:2])
    pass_marker(server)
    assert len(server.messages("start ")) == 1
    make_succeed(server)
    command(server, "RESUME")
    server.wait_message("start ", 3)
    assert [text.split()[0] for text in server.messages("start ")] == ["0", "1", "2"]


def test_nothing_from_the_failed_entry_on_is_trimmed(server):
    load_attempting(server, **ABORT, trim=True)
    make_fail(server, 1)
    ids = server.add("stream", 0, 1, 2)
    wait_info(server, "stream", state="aborted")
    server.wait(lambda: [one for one, _ in server.client.xrange("stream")] == ids[1:], "the first is not trimmed")
    make_succeed(server)
    command(server, "RESUME")
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the stream is not trimmed")


@sync_and_async
def test_a_fatal_error_does_not_stop(server, kind):
    start = {"sync": "", "async": "async "}[kind]
    code = "(client, data) => { if (value(data) === 'bad') throw { fatal: true, message: 'no use' }; saw(data); }"
    server.load(*policy(consumer(callback=start + code, options=ABORT | {"dead_letter": "dead"})))
    server.add("stream", "bad", "good")
    server.wait_seen("stream good")
    [dead_letter] = wait_dead_letters(server, "bad")
    assert dead_letter["attempts"] == "1"
    wait_info(server, "stream", state="running", given_up=1)


def test_what_stops_is_no_dead_letter(server):
    load_attempting(server, **ABORT, dead_letter="dead")
    make_fail(server, 1)
    server.add("stream", 0, 1, 2)
    wait_info(server, "stream", state="aborted")
    pass_marker(server)
    assert dead_letters(server) == []


def test_a_callback_that_is_ended_for_its_time_stops_as_well(server):
    code = "(client, data) => { redis.log(`try ${value(data)}`); if (value(data) === 'bad') for (;;); }"
    server.load(*policy(consumer(callback=code, options=ABORT)))
    server.set_timeout(200)
    server.add("stream", "bad", "good")
    wait_info(server, "stream", state="aborted")
    assert "time" in info(server, "stream")["last_error"]
    assert tries(server) == ["bad"]


@each_persistence
@pytest.mark.parametrize("scope", ["stream", "consumer"])
def test_a_kill_does_not_set_it_going_again(restartable, scope):
    load_attempting(restartable, **ABORT, scope=scope)
    make_fail(restartable, 1)
    ids = restartable.add("stream", 0, 1, 2)
    wait_info(restartable, "stream", pending=[ids[1]])
    kill_and_restart(restartable)
    restartable.add("stream", 3)
    pass_marker(restartable)
    assert tries(restartable) == ["0", "1"]
    if scope == "stream":
        wait_info(restartable, "stream", state="aborted", pending=[ids[1]])
    else:
        wait_info(restartable, state="aborted")
        assert "no 1" in info(restartable)["error"]
    make_succeed(restartable)
    command(restartable, "RESUME")
    wait_done(restartable, 0, 1, 2, 3)


def test_a_promoted_replica_does_not_set_it_going_again(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    load_attempting(primary, "async", **ABORT)
    make_fail(primary, 1)
    ids = primary.add("stream", 0, 1, 2)
    wait_info(primary, "stream", state="aborted")
    settle(primary, replica)
    wait_info(replica, "stream", state="aborted", pending=[ids[1]])
    primary.kill()
    promote(replica)
    pass_marker(replica)
    assert tries(replica) == []
    make_succeed(replica)
    command(replica, "RESUME")
    wait_done(replica, 1, 2)
