"""What RG.FUNCTION DEL ... KEEPPROGRESS keeps outlives kills and failovers, and brings no code back."""

import time

import pytest
from redis import ReadOnlyError

from testing.libraries import consumer, function
from testing.policies import PERSISTENCE, add_at_once, command, each_persistence, info, kill_and_restart, pass_marker, policy
from testing.replication import fail_over, settle
from testing.waits import eventually

DEL = ["RG.FUNCTION", "DEL", "lib"]


def kept(node):
    return node.run("RG.CONSUMER", "KEPT")


def load_and_read(node, *values):
    node.load(consumer(), function())
    ids = node.add("stream", *values)
    node.wait(lambda: info(node)["processed"] >= len(values), lambda: info(node))
    return ids


def assert_nothing_runs(node):
    assert node.libraries() == []
    assert node.run("RG.FUNCTION", "LIST", "vvv") == []
    assert node.client.info("redisgears_2")["redisgears_2_quarantined_libraries"] == 0


@each_persistence
def test_it_is_kept_over_kills_without_the_code(restartable):
    load_and_read(restartable, 1, 2)
    restartable.run(*DEL, "KEEPPROGRESS")
    before = kept(restartable)
    assert len(before) == 1
    for _ in range(2):
        kill_and_restart(restartable)
        assert_nothing_runs(restartable)
        assert kept(restartable) == before
    restartable.add("stream", 3)
    assert restartable.seen() == ["stream 1", "stream 2"]
    restartable.load(consumer())
    restartable.wait_seen("stream 1", "stream 2", "stream 3")
    kill_and_restart(restartable)
    restartable.add("stream", 4)
    restartable.wait(lambda: restartable.seen()[2:] == ["stream 3", "stream 4"], restartable.seen)
    assert kept(restartable) == []


@each_persistence
def test_what_was_dropped_stays_dropped(restartable):
    load_and_read(restartable, 1)
    restartable.run(*DEL, "KEEPPROGRESS")
    kill_and_restart(restartable)
    restartable.run(*DEL, "FORCE")
    kill_and_restart(restartable)
    assert kept(restartable) == []
    restartable.load(consumer())
    restartable.wait_seen("stream 1", "stream 1")


@each_persistence
def test_it_follows_its_keys_over_kills(restartable):
    restartable.load(consumer())
    for stream in ("stream:moved", "stream:gone"):
        restartable.add(stream, 1)
    restartable.wait(lambda: info(restartable)["processed"] == 2, lambda: info(restartable))
    restartable.run(*DEL, "KEEPPROGRESS")
    kill_and_restart(restartable)
    restartable.run("RENAME", "stream:moved", "stream:here")
    restartable.run("DEL", "stream:gone")
    restartable.run("XADD", "stream:gone", "1-1", "n", 2)
    kill_and_restart(restartable)
    restartable.add("stream:here", 2)
    restartable.load(consumer())
    restartable.wait(lambda: sorted(restartable.seen()[2:]) == ["stream:gone 2", "stream:here 2"], restartable.seen)


@each_persistence
def test_an_entry_in_flight_comes_again_after_a_kill(restartable):
    restartable.load(consumer(callback="async () => new Promise(() => {})"))
    restartable.add("stream", "a", "b")
    restartable.wait(lambda: info(restartable)["in_flight"] == 1, lambda: info(restartable))
    restartable.run(*DEL, "KEEPPROGRESS")
    kill_and_restart(restartable)
    restartable.load(consumer())
    restartable.wait_seen("stream a", "stream b")


def test_it_is_in_a_file_of_commands_that_was_rewritten(start_server):
    server = start_server(*PERSISTENCE["append-only file"], "--aof-use-rdb-preamble", "no")
    load_and_read(server, 1)
    server.run(*DEL, "KEEPPROGRESS")
    before = kept(server)
    server.rewrite()
    server.add("stream", 2)
    server.restart()
    assert_nothing_runs(server)
    assert kept(server) == before
    server.load(consumer())
    server.wait_seen("stream 1", "stream 2")


def test_replicas_keep_it_and_go_on_from_it_when_they_are_promoted(nodes):
    primary, replica = nodes
    load_and_read(primary, 1, 2)
    settle(primary, replica)
    assert replica.libraries() == ["lib"]
    primary.run(*DEL, "KEEPPROGRESS")
    settle(primary, replica)
    assert_nothing_runs(replica)
    assert kept(replica) == kept(primary)
    with pytest.raises(ReadOnlyError):
        replica.run(*DEL, "FORCE")
    primary.add("stream", 3)
    fail_over(primary, replica)
    assert replica.seen() == []
    replica.load(consumer())
    replica.wait_seen("stream 3")
    assert kept(replica) == []


def test_a_load_on_the_primary_brings_it_back_on_the_replica_too(nodes):
    primary, replica = nodes
    load_and_read(primary, 1)
    primary.run(*DEL, "KEEPPROGRESS")
    primary.load(consumer())
    primary.add("stream", 2)
    primary.wait_seen("stream 1", "stream 2")
    settle(primary, replica)
    assert (replica.libraries(), kept(replica)) == (["lib"], [])
    primary.run(*DEL, "KEEPPROGRESS")
    primary.run(*DEL, "FORCE")
    settle(primary, replica)
    assert (replica.libraries(), kept(replica)) == ([], [])


def test_a_replica_that_joins_later_has_it_too(start_server):
    primary, replica = start_server(), start_server()
    load_and_read(primary, 1)
    primary.run(*DEL, "KEEPPROGRESS")
    # What it had is gone with its data.
    replica.load(consumer(), name="own")
    replica.run("RG.FUNCTION", "DEL", "own", "KEEPPROGRESS")
    replica.follow(primary)
    settle(primary, replica)
    assert kept(replica) == kept(primary)
    fail_over(primary, replica)
    replica.add("stream", 2)
    replica.load(consumer())
    replica.wait_seen("stream 2")


def test_what_is_changed_of_a_library_in_quarantine_is_kept_over_a_kill(start_server):
    server = start_server(*PERSISTENCE["append-only file"])
    end = time.time() + 1
    server.load(f"if (Date.now() > {end * 1000}) throw new Error('not any more');", *policy(consumer(options={})))
    server.add("stream", 1)
    server.wait_seen("stream 1")
    eventually(lambda: time.time() > end)
    server.restart()
    command(server, "PAUSE")
    server.restart()
    server.upgrade(*policy(consumer(options={})))
    assert info(server)["state"] == "paused"
    server.add("stream", 2)
    command(server, "RESUME")
    server.wait_seen("stream 1", "stream 2")
    pass_marker(server)


def test_a_library_in_quarantine_can_be_deleted_but_for_its_progress(start_server):
    server = start_server()
    end = time.time() + 1
    server.load(f"if (Date.now() > {end * 1000}) throw new Error('not any more');", consumer())
    server.add("stream", 1)
    server.wait_seen("stream 1")
    eventually(lambda: time.time() > end)
    server.run("SAVE")
    server.restart()
    server.run(*DEL, "KEEPPROGRESS")
    assert_nothing_runs(server)
    server.add("stream", 2)
    server.load(consumer())
    server.wait_seen("stream 1", "stream 2")


EFFECTS = {
    "sync": "(client, data) => { client.call('INCR', `done:${value(data)}`); }",
    "async": "async (client, data) => { client.block(locked => locked.call('INCR', `done:${value(data)}`)); }",
}


@pytest.mark.parametrize("kind", EFFECTS)
def test_no_entry_is_lost_while_the_library_comes_and_goes_and_the_server_is_killed(start_server, kind):
    server = start_server(*PERSISTENCE["append-only file"])
    code = consumer(window=4, callback=EFFECTS[kind])
    count = 0
    for turn in range(12):
        server.load(code)
        add_at_once(server, "stream", range(count, count + 40))
        count += 40
        # Some of it is done by now, and some under way.
        server.run(*DEL, "KEEPPROGRESS")
        add_at_once(server, "stream", range(count, count + 10))
        count += 10
        if turn % 4 == 3:
            kill_and_restart(server)
    server.load(code)
    add_at_once(server, "stream", [count])
    server.wait(lambda: server.run("EXISTS", f"done:{count}"), lambda: info(server))
    server.wait(lambda: info(server)["in_flight"] == 0, lambda: info(server))
    done = [int(number or 0) for number in server.run("MGET", *(f"done:{number}" for number in range(count + 1)))]
    assert min(done) == 1
    if kind == "sync":
        assert max(done) == 1
    # What was with a callback came again, once for each time that the library went.
    assert sum(number - 1 for number in done) <= 12 * 4
