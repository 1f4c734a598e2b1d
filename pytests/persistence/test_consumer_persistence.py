"""What becomes of pauses, attempts and positions when a server is killed or replaced by its replica."""

import time

import pytest

from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    WAYS,
    add_at_once,
    attempting,
    attempts_of_pending,
    batches,
    come_back,
    command,
    done,
    each_way,
    info,
    load_attempting,
    mend,
    pass_by,
    policy,
    spoil,
    sync_and_async,
    tries,
    wait_done,
    wait_info,
    wait_letters,
    wait_tries,
)
from testing.replication import promote, settle
from testing.waits import eventually

BY_HAND = {"on_failure": "retry", "retry_interval": AN_HOUR}
THRICE = BY_HAND | {"max_attempts": 3, "dead_letter": "dead"}


@pytest.fixture
def kept(keep, way):
    return keep(*WAYS[way])


@pytest.fixture
def nodes(keep):
    """A primary and its replica."""
    primary, replica = keep(), keep()
    replica.follow(primary)
    return primary, replica


def fail_over(primary, replica):
    """The primary dies, and its replica takes over."""
    settle(primary, replica)
    primary.kill()
    promote(replica)


# --- kills ----------------------------------------------------------------------------------------------------------


@each_way
@sync_and_async
def test_attempts_and_pauses_are_kept_over_kills(kept, kind):
    load_attempting(kept, kind, **THRICE)
    spoil(kept, 1)
    ids = kept.add("stream", 0, 1, 2)
    for count in (1, 2):
        wait_tries(kept, count + 1)
        wait_info(kept, "stream", state="waiting")
        come_back(kept)
        pass_by(kept)
        wait_info(kept, "stream", state="waiting", pending=[ids[1]])
        assert attempts_of_pending(kept) == [count]
        assert 0 < info(kept, "stream")["retry_in_ms"] <= AN_HOUR
        assert tries(kept) == ["0", *["1"] * count]
        command(kept, "RETRY", "STREAM", "stream")
    [letter] = wait_letters(kept, 1)
    assert letter["attempts"] == "3"
    assert int(letter["first_time"]) < int(letter["last_time"])
    wait_done(kept, 0, 2)
    assert tries(kept) == ["0", "1", "1", "1", "2"]


@each_way
def test_the_pause_of_a_retry_goes_on_after_a_kill(kept):
    load_attempting(kept, on_failure="retry", retry_interval=3000)
    spoil(kept, 0)
    kept.add("stream", 0)
    wait_tries(kept, 1)
    [failed] = map(int, kept.messages("at "))
    come_back(kept)
    mend(kept)
    wait_done(kept, 0)
    [_, again] = map(int, kept.messages("at "))
    assert again - failed >= 0.9 * 3000


@each_way
def test_a_batch_that_waits_comes_again_as_it_was_after_a_kill(kept):
    load_attempting(kept, **THRICE, batch=3)
    spoil(kept, 4)
    ids = add_at_once(kept, "stream", range(9))
    wait_tries(kept, 2)
    wait_info(kept, "stream", state="waiting", pending=ids[3:6])
    come_back(kept)
    wait_info(kept, "stream", state="waiting", pending=ids[3:6])
    mend(kept)
    command(kept, "RETRY", "STREAM", "stream")
    wait_done(kept, "0,1,2", "3,4,5", "6,7,8")
    assert tries(kept) == ["0,1,2", "3,4,5", "3,4,5", "6,7,8"]


@each_way
def test_pauses_of_consumers_and_streams_are_kept_over_a_kill(kept):
    kept.load(*policy(consumer(options={}), consumer("whole", callback="(client, data) => saw(data, 'whole')")))
    kept.add("stream:1", 1)
    kept.add("stream:2", 1)
    command(kept, "PAUSE", "STREAM", "stream:1")
    command(kept, "PAUSE", name="whole")
    come_back(kept)
    kept.add("stream:1", 2)
    kept.add("stream:2", 2)
    pass_by(kept)
    assert kept.seen() == ["stream:1 1", "stream:2 1", "stream:2 2"]
    assert kept.seen("whole") == ["stream:1 1", "stream:2 1"]
    assert info(kept, "stream:1")["state"] == "paused"
    assert info(kept, "stream:2")["state"] == "running"
    assert info(kept, name="whole")["state"] == "paused"
    command(kept, "RESUME", "STREAM", "stream:1")
    command(kept, "RESUME", name="whole")
    kept.wait_seen("stream:1 1", "stream:2 1", "stream:2 2", "stream:1 2")
    kept.wait(lambda: len(kept.seen("whole")) == 4, lambda: kept.seen("whole"))
    come_back(kept)
    kept.add("stream:1", 3)
    kept.wait(lambda: "stream:1 3" in kept.seen() and "stream:1 3" in kept.seen("whole"), kept.seen)


@each_way
@pytest.mark.parametrize(("place", "expected"), [("earliest", [0, 1, 2]), ("middle", [1, 2]), ("latest", [])])
def test_a_seek_is_kept_over_a_kill(kept, place, expected):
    kept.load(*policy(consumer(options={})))
    ids = kept.add("stream", 0, 1, 2)
    command(kept, "PAUSE", "STREAM", "stream")
    command(kept, "SEEK", "STREAM", "stream", ids[1] if place == "middle" else place)
    come_back(kept)
    kept.add("stream", 3)
    pass_by(kept)
    assert len(kept.seen()) == 3
    command(kept, "RESUME", "STREAM", "stream")
    kept.wait_seen(*(f"stream {number}" for number in [0, 1, 2, *expected, 3]))


@each_way
def test_a_seek_over_what_fails_is_kept_over_a_kill(kept):
    load_attempting(kept, **THRICE)
    spoil(kept, 0)
    ids = kept.add("stream", 0, 1)
    wait_tries(kept, 1)
    command(kept, "SEEK", "STREAM", "stream", ids[1])
    wait_done(kept, 1)
    come_back(kept)
    kept.add("stream", 2)
    wait_done(kept, 1, 2)
    assert tries(kept) == ["0", "1", "2"]
    assert info(kept, "stream")["pending"] == []


@each_way
def test_a_retry_that_was_asked_for_is_kept_over_a_kill(kept):
    load_attempting(kept, **BY_HAND)
    spoil(kept, 0)
    kept.add("stream", 0)
    wait_tries(kept, 1)
    command(kept, "PAUSE")
    command(kept, "RETRY", "STREAM", "stream")
    come_back(kept)
    mend(kept)
    command(kept, "RESUME")
    wait_done(kept, 0)


def test_what_was_rewritten_holds_as_well(keep):
    server = keep(*WAYS["append-only file"], "--aof-use-rdb-preamble", "no")
    load_attempting(server, **THRICE)
    server.load(consumer(callback="(client, data) => saw(data, 'second')", options={}), name="second")
    spoil(server, 0)
    ids = server.add("stream", 0, 1)
    wait_tries(server, 1)
    wait_info(server, "stream", state="waiting")
    command(server, "PAUSE", "STREAM", "stream", library="second")
    server.rewrite()
    server.restart()
    pass_by(server)
    wait_info(server, "stream", state="waiting", pending=ids[:1])
    assert attempts_of_pending(server) == [1]
    server.add("stream", 2)
    pass_by(server)
    assert server.seen("second") == ["stream 0", "stream 1"]
    command(server, "RESUME", "STREAM", "stream", library="second")
    server.wait_seen("stream 0", "stream 1", "stream 2", tag="second")


@each_way
def test_options_are_those_of_the_code_after_a_kill(kept):
    options = {"batch": 2, "filter": {"n": {"not": "x"}}, "on_failure": "abort"}
    kept.load(*policy(consumer(callback="(client, batch) => got(batch)", options=options)))
    before = info(kept)["options"]
    come_back(kept)
    assert info(kept)["options"] == before
    add_at_once(kept, "stream", ["a", "x", "b"])
    kept.wait_for([["a", "b"]], lambda: batches(kept))


def test_a_consumer_of_a_library_in_quarantine_says_so(keep):
    server = keep()
    end = time.time() + 1
    server.load(f"if (Date.now() > {end * 1000}) throw new Error('not any more');", *policy(attempting(**THRICE)))
    spoil(server, 0)
    ids = server.add("stream", 0, 1)
    wait_tries(server, 1)
    eventually(lambda: time.time() > end)
    server.run("SAVE")
    server.restart()
    assert info(server)["state"] == "quarantined"
    server.upgrade(*policy(attempting(**THRICE)))
    wait_info(server, "stream", state="waiting", pending=ids[:1])
    assert attempts_of_pending(server) == [1]
    mend(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, 0, 1)


# --- failovers ------------------------------------------------------------------------------------------------------


@sync_and_async
def test_attempts_and_pauses_are_kept_over_a_failover(nodes, kind):
    primary, replica = nodes
    load_attempting(primary, kind, **THRICE)
    spoil(primary, 1)
    ids = primary.add("stream", 0, 1, 2)
    wait_tries(primary, 2)
    wait_info(primary, "stream", state="waiting")
    command(primary, "RETRY", "STREAM", "stream")
    wait_tries(primary, 3)
    wait_info(primary, "stream", state="waiting")
    settle(primary, replica)
    assert info(replica, "stream")["pending"] == [ids[1]]
    fail_over(primary, replica)
    pass_by(replica)
    wait_info(replica, "stream", state="waiting", pending=[ids[1]])
    assert attempts_of_pending(replica) == [2]
    assert tries(replica) == []
    command(replica, "RETRY", "STREAM", "stream")
    [letter] = wait_letters(replica, 1)
    assert letter["attempts"] == "3"
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
    pass_by(replica)
    assert replica.seen() == ["stream:2 1"]
    command(replica, "RESUME", "STREAM", "stream:1")
    replica.wait_seen("stream:2 1", "stream:1 1", "stream:1 2")


def test_a_replica_that_joins_later_knows_all_of_it(keep):
    primary, replica = keep(), keep()
    primary.load(*policy(attempting(**THRICE), consumer("paused", callback="(client, data) => saw(data)")))
    command(primary, "PAUSE", name="paused")
    spoil(primary, 0)
    ids = primary.add("stream", 0, 1)
    wait_tries(primary, 1)
    wait_info(primary, "stream", state="waiting")
    replica.follow(primary)
    fail_over(primary, replica)
    pass_by(replica)
    wait_info(replica, "stream", state="waiting", pending=ids[:1])
    assert attempts_of_pending(replica) == [1]
    assert info(replica, name="paused")["state"] == "paused"
    mend(replica)
    command(replica, "RETRY", "STREAM", "stream")
    wait_done(replica, 0, 1)
    command(replica, "RESUME", name="paused")
    replica.wait_seen("stream 0", "stream 1")


def test_a_retry_that_comes_due_while_the_server_is_a_replica_comes_when_it_is_promoted(server):
    load_attempting(server, on_failure="retry", retry_interval=300)
    spoil(server, 0)
    server.add("stream", 0, 1)
    wait_tries(server, 1)
    server.run("REPLICAOF", "127.0.0.1", "1")
    count = len(tries(server))
    begin = time.monotonic()
    server.wait(lambda: time.monotonic() - begin > 1)
    assert len(tries(server)) == count
    server.run("REPLICAOF", "NO", "ONE")
    mend(server)
    wait_done(server, 0, 1)


def test_a_coordinated_failover_under_load_gives_up_what_fails_and_loses_nothing(keep):
    first, second = keep(), keep()
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
    wait_letters(second, *range(7, 1000, 100))
    second.wait_stream(pending_ids=[])
    first.wait(lambda: first.client.info("replication").get("master_link_status") == "up", "no link")
    settle(second, first)


def test_done_and_failed_entries_beside_each_other_are_kept_apart(nodes):
    primary, replica = nodes
    code = "async (client, data) => { await holding(client, data); attempt(client, data); }"
    primary.load(*policy(consumer(window=4, callback=code, options=BY_HAND)))
    spoil(primary, 1)
    ids = add_at_once(primary, "stream", range(6))
    primary.wait_message("start ", 4)
    primary.release(1, 3)
    wait_info(primary, "stream", state="waiting", in_flight=2, pending=ids[:3])
    fail_over(primary, replica)
    mend(replica)
    # What was with a callback, and what has failed, come before what is behind.
    command(replica, "RETRY", "STREAM", "stream")
    replica.wait_message("start ", 4)
    assert [text.split()[0] for text in replica.messages("start ")] == ["0", "1", "2", "4"]
    replica.release(0, 1, 2, 4)
    replica.wait_message("start 5 ")
    replica.release(5)
    replica.wait_stream(pending_ids=[])
    assert sorted(done(replica)) == ["0", "1", "2", "4", "5"]
