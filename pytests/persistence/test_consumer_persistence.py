"""What becomes of pauses, attempts and positions when a server is killed or replaced by its replica."""

import time

import pytest

from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    PERSISTENCE,
    add_at_once,
    attempting,
    attempts_of_pending,
    batches,
    command,
    done,
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
from testing.replication import fail_over, settle
from testing.waits import eventually

BY_HAND = {"on_failure": "retry", "retry_interval": AN_HOUR}
THRICE = BY_HAND | {"max_attempts": 3, "dead_letter": "dead"}


# --- kills ----------------------------------------------------------------------------------------------------------


@each_persistence
@sync_and_async
def test_attempts_and_pauses_are_kept_over_kills(restartable, kind):
    load_attempting(restartable, kind, **THRICE)
    make_fail(restartable, 1)
    ids = restartable.add("stream", 0, 1, 2)
    for count in (1, 2):
        wait_tries(restartable, count + 1)
        wait_info(restartable, "stream", state="waiting")
        kill_and_restart(restartable)
        pass_marker(restartable)
        wait_info(restartable, "stream", state="waiting", pending=[ids[1]])
        assert attempts_of_pending(restartable) == [count]
        assert 0 < info(restartable, "stream")["retry_in_ms"] <= AN_HOUR
        assert tries(restartable) == ["0", *["1"] * count]
        command(restartable, "RETRY", "STREAM", "stream")
    [dead_letter] = wait_dead_letters(restartable, 1)
    assert dead_letter["attempts"] == "3"
    assert int(dead_letter["first_time"]) < int(dead_letter["last_time"])
    wait_done(restartable, 0, 2)
    assert tries(restartable) == ["0", "1", "1", "1", "2"]


@each_persistence
def test_the_pause_of_a_retry_goes_on_after_a_kill(restartable):
    load_attempting(restartable, on_failure="retry", retry_interval=3000)
    make_fail(restartable, 0)
    restartable.add("stream", 0)
    wait_tries(restartable, 1)
    [failed] = map(int, restartable.messages("at "))
    kill_and_restart(restartable)
    make_succeed(restartable)
    wait_done(restartable, 0)
    [_, again] = map(int, restartable.messages("at "))
    assert again - failed >= 0.9 * 3000


@each_persistence
def test_a_batch_that_waits_comes_again_as_it_was_after_a_kill(restartable):
    load_attempting(restartable, **THRICE, batch=3)
    make_fail(restartable, 4)
    ids = add_at_once(restartable, "stream", range(9))
    wait_tries(restartable, 2)
    wait_info(restartable, "stream", state="waiting", pending=ids[3:6])
    kill_and_restart(restartable)
    wait_info(restartable, "stream", state="waiting", pending=ids[3:6])
    make_succeed(restartable)
    command(restartable, "RETRY", "STREAM", "stream")
    wait_done(restartable, "0,1,2", "3,4,5", "6,7,8")
    assert tries(restartable) == ["0,1,2", "3,4,5", "3,4,5", "6,7,8"]


@each_persistence
def test_pauses_of_consumers_and_streams_are_kept_over_a_kill(restartable):
    restartable.load(*policy(consumer(options={}), consumer("whole", callback="(client, data) => saw(data, 'whole')")))
    restartable.add("stream:1", 1)
    restartable.add("stream:2", 1)
    command(restartable, "PAUSE", "STREAM", "stream:1")
    command(restartable, "PAUSE", name="whole")
    kill_and_restart(restartable)
    restartable.add("stream:1", 2)
    restartable.add("stream:2", 2)
    pass_marker(restartable)
    assert restartable.seen() == ["stream:1 1", "stream:2 1", "stream:2 2"]
    assert restartable.seen("whole") == ["stream:1 1", "stream:2 1"]
    assert info(restartable, "stream:1")["state"] == "paused"
    assert info(restartable, "stream:2")["state"] == "running"
    assert info(restartable, name="whole")["state"] == "paused"
    command(restartable, "RESUME", "STREAM", "stream:1")
    command(restartable, "RESUME", name="whole")
    restartable.wait_seen("stream:1 1", "stream:2 1", "stream:2 2", "stream:1 2")
    restartable.wait(lambda: len(restartable.seen("whole")) == 4, lambda: restartable.seen("whole"))
    kill_and_restart(restartable)
    restartable.add("stream:1", 3)
    restartable.wait(lambda: "stream:1 3" in restartable.seen() and "stream:1 3" in restartable.seen("whole"), restartable.seen)


@each_persistence
@pytest.mark.parametrize(("place", "expected"), [("earliest", [0, 1, 2]), ("middle", [1, 2]), ("latest", [])])
def test_a_seek_is_kept_over_a_kill(restartable, place, expected):
    restartable.load(*policy(consumer(options={})))
    ids = restartable.add("stream", 0, 1, 2)
    command(restartable, "PAUSE", "STREAM", "stream")
    command(restartable, "SEEK", "STREAM", "stream", ids[1] if place == "middle" else place)
    kill_and_restart(restartable)
    restartable.add("stream", 3)
    pass_marker(restartable)
    assert len(restartable.seen()) == 3
    command(restartable, "RESUME", "STREAM", "stream")
    restartable.wait_seen(*(f"stream {number}" for number in [0, 1, 2, *expected, 3]))


@each_persistence
def test_a_seek_over_what_fails_is_kept_over_a_kill(restartable):
    load_attempting(restartable, **THRICE)
    make_fail(restartable, 0)
    ids = restartable.add("stream", 0, 1)
    wait_tries(restartable, 1)
    command(restartable, "SEEK", "STREAM", "stream", ids[1])
    wait_done(restartable, 1)
    kill_and_restart(restartable)
    restartable.add("stream", 2)
    wait_done(restartable, 1, 2)
    assert tries(restartable) == ["0", "1", "2"]
    assert info(restartable, "stream")["pending"] == []


@each_persistence
def test_a_retry_that_was_asked_for_is_kept_over_a_kill(restartable):
    load_attempting(restartable, **BY_HAND)
    make_fail(restartable, 0)
    restartable.add("stream", 0)
    wait_tries(restartable, 1)
    command(restartable, "PAUSE")
    command(restartable, "RETRY", "STREAM", "stream")
    kill_and_restart(restartable)
    make_succeed(restartable)
    command(restartable, "RESUME")
    wait_done(restartable, 0)


def test_what_was_rewritten_holds_as_well(start_server):
    server = start_server(*PERSISTENCE["append-only file"], "--aof-use-rdb-preamble", "no")
    load_attempting(server, **THRICE)
    server.load(consumer(callback="(client, data) => saw(data, 'second')", options={}), name="second")
    make_fail(server, 0)
    ids = server.add("stream", 0, 1)
    wait_tries(server, 1)
    wait_info(server, "stream", state="waiting")
    command(server, "PAUSE", "STREAM", "stream", library="second")
    server.rewrite()
    server.restart()
    pass_marker(server)
    wait_info(server, "stream", state="waiting", pending=ids[:1])
    assert attempts_of_pending(server) == [1]
    server.add("stream", 2)
    pass_marker(server)
    assert server.seen("second") == ["stream 0", "stream 1"]
    command(server, "RESUME", "STREAM", "stream", library="second")
    server.wait_seen("stream 0", "stream 1", "stream 2", tag="second")


@each_persistence
def test_options_are_those_of_the_code_after_a_kill(restartable):
    options = {"batch": 2, "filter": {"n": {"not": "x"}}, "on_failure": "abort"}
    restartable.load(*policy(consumer(callback="(client, batch) => got(batch)", options=options)))
    before = info(restartable)["options"]
    kill_and_restart(restartable)
    assert info(restartable)["options"] == before
    add_at_once(restartable, "stream", ["a", "x", "b"])
    restartable.wait_for([["a", "b"]], lambda: batches(restartable))


def test_a_consumer_of_a_library_in_quarantine_says_so(start_server):
    server = start_server()
    end = time.time() + 1
    server.load(f"if (Date.now() > {end * 1000}) throw new Error('not any more');", *policy(attempting(**THRICE)))
    make_fail(server, 0)
    ids = server.add("stream", 0, 1)
    wait_tries(server, 1)
    eventually(lambda: time.time() > end)
    server.run("SAVE")
    server.restart()
    assert info(server)["state"] == "quarantined"
    server.upgrade(*policy(attempting(**THRICE)))
    wait_info(server, "stream", state="waiting", pending=ids[:1])
    assert attempts_of_pending(server) == [1]
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, 0, 1)


# --- failovers ------------------------------------------------------------------------------------------------------


@sync_and_async
def test_attempts_and_pauses_are_kept_over_a_failover(nodes, kind):
    primary, replica = nodes
    load_attempting(primary, kind, **THRICE)
    make_fail(primary, 1)
    ids = primary.add("stream", 0, 1, 2)
    wait_tries(primary, 2)
    wait_info(primary, "stream", state="waiting")
    command(primary, "RETRY", "STREAM", "stream")
    wait_tries(primary, 3)
    wait_info(primary, "stream", state="waiting")
    settle(primary, replica)
    assert info(replica, "stream")["pending"] == [ids[1]]
    fail_over(primary, replica)
    pass_marker(replica)
    wait_info(replica, "stream", state="waiting", pending=[ids[1]])
    assert attempts_of_pending(replica) == [2]
    assert tries(replica) == []
    command(replica, "RETRY", "STREAM", "stream")
    [dead_letter] = wait_dead_letters(replica, 1)
    assert dead_letter["attempts"] == "3"
    wait_done(replica, 2)
    assert tries(replica) == ["1", "2"]


def test_pauses_seeks_and_resumes_reach_replicas(nodes):
    primary, replica = nodes
    primary.load(*policy(consumer(options={})))
    ids = primary.add("stream:1", 0, 1, 2)
    primary.add("stream:2", 0)
    command(primary, "PAUSE", "STREAM", "stream:1")
    command(primary, "SEEK", "STREAM", "stream:1", ids[1])
    command(primary, "PAUSE")
    settle(primary, replica)
    replica.wait(lambda: info(replica)["state"] == "paused", lambda: info(replica))
    assert info(replica, "stream:1")["state"] == "paused"
    command(primary, "RESUME")
    settle(primary, replica)
    replica.wait(lambda: info(replica)["state"] == "running", lambda: info(replica))
    assert info(replica, "stream:1")["position"] == info(primary, "stream:1")["position"]
    fail_over(primary, replica)
    replica.add("stream:2", 1)
    pass_marker(replica)
    assert replica.seen() == ["stream:2 1"]
    command(replica, "RESUME", "STREAM", "stream:1")
    replica.wait_seen("stream:2 1", "stream:1 1", "stream:1 2")


def test_a_replica_that_joins_later_knows_all_of_it(start_server):
    primary, replica = start_server(), start_server()
    primary.load(*policy(attempting(**THRICE), consumer("paused", callback="(client, data) => saw(data)")))
    command(primary, "PAUSE", name="paused")
    make_fail(primary, 0)
    ids = primary.add("stream", 0, 1)
    wait_tries(primary, 1)
    wait_info(primary, "stream", state="waiting")
    replica.follow(primary)
    fail_over(primary, replica)
    pass_marker(replica)
    wait_info(replica, "stream", state="waiting", pending=ids[:1])
    assert attempts_of_pending(replica) == [1]
    assert info(replica, name="paused")["state"] == "paused"
    make_succeed(replica)
    command(replica, "RETRY", "STREAM", "stream")
    wait_done(replica, 0, 1)
    command(replica, "RESUME", name="paused")
    replica.wait_seen("stream 0", "stream 1")


def test_a_retry_that_comes_due_while_the_server_is_a_replica_comes_when_it_is_promoted(server):
    load_attempting(server, on_failure="retry", retry_interval=300)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_tries(server, 1)
    server.run("REPLICAOF", "127.0.0.1", "1")
    count = len(tries(server))
    begin = time.monotonic()
    server.wait(lambda: time.monotonic() - begin > 1)
    assert len(tries(server)) == count
    server.run("REPLICAOF", "NO", "ONE")
    make_succeed(server)
    wait_done(server, 0, 1)


def test_a_coordinated_failover_under_load_gives_up_what_fails_and_loses_nothing(start_server):
    first, second = start_server(), start_server()
    second.follow(first)
    effect = """async (client, batch) => {
        for (const data of batch) if (Number(value(data)) % 100 === 7) throw new Error('no');
        ask(client, 'SADD', 'processed', ...batch.map(value));
    }"""
    options = {"batch": 10, "on_failure": "retry", "retry_interval": 5, "max_attempts": 2, "bisect": True}
    first.load(*policy(consumer(window=2, callback=effect, options=options | {"dead_letter": "dead"})))
    add_at_once(first, "stream", range(1000))
    first.run("FAILOVER", "TO", "127.0.0.1", second.port, "TIMEOUT", 10_000)
    second.wait(lambda: second.client.info("replication")["role"] == "master", "no failover")
    second.wait(lambda: second.run("SCARD", "processed") >= 990, lambda: info(second, "stream"))
    second.wait(lambda: second.run("XLEN", "dead") >= 10, lambda: info(second, "stream"))
    wait_dead_letters(second, *range(7, 1000, 100))
    second.wait_stream(pending_ids=[])
    first.wait(lambda: first.client.info("replication").get("master_link_status") == "up", "no link")
    settle(second, first)


def test_done_and_failed_entries_beside_each_other_are_kept_apart(nodes):
    primary, replica = nodes
    code = "async (client, data) => { await holding(client, data); attempt(client, data); }"
    primary.load(*policy(consumer(window=4, callback=code, options=BY_HAND)))
    make_fail(primary, 1)
    ids = add_at_once(primary, "stream", range(6))
    primary.wait_message("start ", 4)
    primary.release(1, 3)
    wait_info(primary, "stream", state="waiting", in_flight=2, pending=ids[:3])
    fail_over(primary, replica)
    make_succeed(replica)
    # What was with a callback, and what has failed, come before what is behind.
    command(replica, "RETRY", "STREAM", "stream")
    replica.wait_message("start ", 4)
    assert [text.split()[0] for text in replica.messages("start ")] == ["0", "1", "2", "4"]
    replica.release(0, 1, 2, 4)
    replica.wait_message("start 5 ")
    replica.release(5)
    replica.wait_stream(pending_ids=[])
    assert sorted(done(replica)) == ["0", "1", "2", "4", "5"]
