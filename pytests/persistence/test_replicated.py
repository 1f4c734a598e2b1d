"""Libraries and progress reach replicas, and a replica that is promoted goes on from there."""

import time

import pytest
from redis.exceptions import ReadOnlyError, ResponseError

from testing.libraries import RELEASE, consumer, function, library
from testing.replication import promote, settle
from testing.replies import fields
from testing.waits import eventually

EFFECT = "(client, data) => { client.call('INCR', `done:${value(data)}`); }"
ASYNC_EFFECT = "async (client, data) => { client.block(c => c.call('INCR', `done:${value(data)}`)); }"


@pytest.fixture
def nodes(start_server):
    """A primary, its replica, and the replica of that."""
    primary, replica, sub_replica = start_server(), start_server(), start_server()
    replica.follow(primary)
    sub_replica.follow(replica)
    return primary, replica, sub_replica


def library_of(node, name="lib"):
    found = node.run("RG.FUNCTION", "LIST", "WITHCODE", "v", "LIBRARY", name)
    return fields(found[0]) if found else None


def progress(node, stream="stream"):
    row = node.stream(stream)
    return row.get("id_to_read_from"), row.get("pending_ids")


def test_libraries_reach_replicas_with_their_owner_change_there_and_go(nodes):
    primary = nodes[0]
    primary.run("ACL", "SETUSER", "someone", "on", "nopass", "~*", "&*", "+@all")
    owner = primary.connect(username="someone", password="x")
    code = library(function("f", "() => redis.config.n", ["no-writes"]), consumer(window=4))
    owner.execute_command("RG.FUNCTION", "LOAD", "CONFIG", '{"n": 5}', code)
    for node in nodes:
        node.wait(lambda node=node: library_of(node) is not None, "it does not arrive")
        assert library_of(node) == library_of(primary)
        assert library_of(node)["user"] == "someone"
        assert node.call("f") == 5
    upgrade = ["UPGRADE", "OWNER", "default"]
    primary.load(function("f", "() => 'new'", ["no-writes"]), options=upgrade)
    for node in nodes:
        node.wait(lambda node=node: library_of(node)["user"] == "default", "the upgrade does not arrive")
        assert node.call("f") == "new"
        assert library_of(node)["stream_consumers"] == []
    primary.run("RG.FUNCTION", "DEL", "lib")
    for node in nodes:
        node.wait(lambda node=node: node.libraries() == [], "the deletion does not arrive")


def test_libraries_that_are_loaded_in_a_transaction_reach_replicas(pair):
    pipe = pair.client.pipeline(transaction=True)
    pipe.execute_command("SET", "a", 1)
    pipe.execute_command("RG.FUNCTION", "LOAD", library(function("f", flags=["no-writes"])))
    pipe.execute_command("SET", "b", 2)
    pipe.execute()
    pair.wait(lambda: pair.replica.run("GET", "b") == "2", "the transaction does not arrive")
    assert pair.replica.libraries() == ["lib"]


def test_what_fails_to_load_reaches_no_replica(pair):
    pair.load(function("f", "() => 1", ["no-writes"]))
    with pytest.raises(ResponseError, match="no such luck"):
        pair.upgrade("throw new Error('no such luck')")
    pair.run("SET", "marker", 1)
    pair.wait(lambda: pair.replica.run("GET", "marker") == "1", "the marker does not arrive")
    assert pair.replica.call("f") == 1


def test_a_replica_refuses_to_load_and_to_delete(pair):
    pair.load(function("f", flags=["no-writes"]))
    pair.wait(lambda: pair.replica.libraries() == ["lib"], "it does not arrive")
    for command in (["LOAD", library(function())], ["LOAD", "UPGRADE", library(function())], ["DEL", "lib"]):
        with pytest.raises(ReadOnlyError, match="You can't write against a read only replica"):
            pair.replica.run("RG.FUNCTION", *command)
    assert pair.replica.libraries() == ["lib"]


@pytest.mark.parametrize("words", [["library", "x"], ["delete", "lib"], ["cursor", "lib", "consumer", "s", "9-9", ""]])
def test_the_commands_of_the_module_to_itself_are_taken_from_no_client(pair, words):
    pair.load(consumer())
    pair.wait(lambda: pair.replica.libraries() == ["lib"], "it does not arrive")
    for node in (pair, pair.replica):
        with pytest.raises(ResponseError, match="only taken from the primary and from the append-only file"):
            node.run("_RG_INTERNALS", *words)
        with pytest.raises(ResponseError, match="wrong number of arguments"):
            node.run("_RG_INTERNALS", words[0])
        with pytest.raises(ResponseError, match="unknown subcommand|Unknown subcommand|unknown command"):
            node.run("_RG_INTERNALS", "nosuch")
        assert node.libraries() == ["lib"]
    with pytest.raises(ResponseError, match="not allowed"):
        pair.run("EVAL", "return redis.call(unpack(ARGV))", 0, "_rg_internals", *words)
    pair.upgrade(function("f", "(client, ...words) => client.call(...words)"), consumer())
    with pytest.raises(ResponseError, match="not allowed on script mode|not allowed from script"):
        pair.call("f", "_rg_internals", *words)
    pair.add("s", 1)
    assert "stream" not in pair.consumer()["streams"]


def test_progress_reaches_replicas(nodes):
    primary, replica, sub_replica = nodes
    primary.load(
        consumer("sync", "sync", callback=EFFECT),
        consumer("async", "async", window=3, callback=ASYNC_EFFECT),
        consumer("held", "held", window=4, callback="holding"),
        RELEASE,
    )
    primary.add("sync", *range(20))
    primary.add("async", *range(20, 40))
    held = primary.add("held", 1, 2, 3, 4)
    primary.wait_message("start ", 4)
    primary.release(2, 3)
    primary.wait(lambda: primary.stream("held", "held")["pending_ids"] == [held[0], held[3]], "2 and 3 are not done")
    primary.wait(lambda: primary.run("GET", "done:39") == "1", "async entries are not done")
    settle(primary, replica, sub_replica)
    for node in (replica, sub_replica):
        for name in ("sync", "async"):
            here = node.stream(name, name)
            there = primary.stream(name, name)
            assert here["id_to_read_from"] == there["id_to_read_from"]
        shown = node.stream("held", "held")
        assert (shown["id_to_read_from"], shown["pending_ids"]) == (held[3], [held[0], held[3]])
        assert node.seen() == [] and node.messages("start ") == []
    primary.run("SET", "data", 1)
    settle(primary, replica, sub_replica)


def test_a_promoted_replica_repeats_nothing_that_is_done_and_skips_nothing(nodes):
    """The original lost an entry where acknowledgements came out of order."""
    primary, replica, _ = nodes
    primary.load(consumer(window=6, callback="holding"), consumer("sync", "sync", callback=EFFECT), RELEASE)
    primary.add("sync", *range(20))
    primary.add("stream", *range(1, 9))
    primary.wait_message("start ", 6)
    primary.release(2, 4, 5)
    primary.wait_message("start ", 8)
    primary.release(7)
    primary.wait_message("end 7")
    settle(primary, replica)
    primary.kill()
    promote(replica)
    replica.wait_message("start ", 4)
    assert [message.split()[0] for message in replica.messages("start ")] == ["1", "3", "6", "8"]
    replica.add("sync", *range(20, 30))
    assert [replica.run("GET", f"done:{n}") for n in range(30)] == ["1"] * 30
    replica.release(1, 3, 6, 8)
    replica.wait_stream(pending_ids=[])


def test_a_replica_that_joins_later_gets_libraries_and_progress(start_server):
    primary, replica = start_server(), start_server()
    replica.load(consumer(), name="own")
    primary.load(consumer(callback=EFFECT))
    primary.add("stream", 1, 2, 3)
    replica.follow(primary)
    settle(primary, replica)
    assert replica.libraries() == ["lib"]
    assert progress(replica) == progress(primary)
    promote(replica)
    replica.add("stream", 4)
    assert [replica.run("GET", f"done:{n}") for n in range(1, 5)] == ["1"] * 4


def test_after_a_partial_synchronisation_progress_is_known(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    primary.load(consumer(callback=EFFECT))
    settle(primary, replica)
    before = primary.client.info("stats")["sync_partial_ok"]
    primary.run("CLIENT", "KILL", "TYPE", "replica")
    primary.add("stream", 1, 2, 3)
    primary.wait(lambda: primary.client.info("stats")["sync_partial_ok"] > before, "no partial synchronisation")
    settle(primary, replica)
    assert progress(replica) == progress(primary)


def test_what_the_primary_saves_and_loads_again_is_known_to_its_replica(pair):
    """Between the callback and its own progress: the server goes on from the save, and tells no replica of it."""
    pair.load(consumer(callback="(client, data) => { total += Number(value(data)); }"), "let total = 0;")
    pair.add("stream", 0)
    settle(pair, pair.replica)
    pipeline = pair.client.pipeline(transaction=False)
    for value in range(1, 4):
        pipeline.execute_command("XADD", "stream", "*", "n", value)
    pipeline.execute_command("DEBUG", "RELOAD")
    *_, last, _ = pipeline.execute()
    pair.wait(lambda: progress(pair)[0] == last, "not done")
    pair.wait(lambda: progress(pair.replica) == progress(pair), lambda: (progress(pair.replica), progress(pair)))


def test_a_primary_that_was_replaced_and_comes_back_with_callbacks_at_work_repeats_and_skips_nothing(start_server):
    first, second = start_server(), start_server()
    second.follow(first)
    first.load(consumer(window=2, callback="holding"), RELEASE)
    first.add("stream", 1, 2, 3, 4)
    first.wait_message("start ", 2)
    settle(first, second)
    promote(second)
    first.follow(second)
    second.wait_message("start ", 2)
    second.release(1, 2)
    second.wait_message("start ", 4)
    # What the first one had at work ends late: it was retired with the data set that it belonged to.
    second.release(3)
    second.wait_message("end 3")
    settle(second, first)
    promote(first)
    first.wait_message("start ", 3)
    assert [message.split()[0] for message in first.messages("start ")] == ["1", "2", "4"]
    first.release(4)
    first.wait_stream(pending_ids=[])


def test_a_callback_that_ends_after_its_server_was_demoted_and_promoted_again_counts_once(server):
    server.load(consumer(window=2, callback="holding"), RELEASE)
    ids = server.add("stream", 1, 2, 3)
    server.wait_message("start ", 2)
    server.run("REPLICAOF", "127.0.0.1", "1")
    server.run("REPLICAOF", "NO", "ONE")
    server.release(1)
    server.wait_message("start 3")
    server.wait_stream(pending_ids=ids[1:])
    server.release(2, 3)
    server.wait_stream(pending_ids=[], total_record_processed=3)
    assert len(server.messages("start ")) == 3


def test_a_coordinated_failover_under_load_repeats_and_skips_nothing(start_server):
    first, second = start_server(), start_server()
    second.follow(first)
    first.load(
        consumer("sync", "sync", callback=EFFECT), consumer("async", "async", window=5, callback=ASYNC_EFFECT)
    )
    writer = first.connect()
    pipe = writer.pipeline(transaction=False)
    for number in range(500):
        pipe.execute_command("XADD", "sync", "*", "n", number)
        pipe.execute_command("XADD", "async", "*", "n", 500 + number)
    pipe.execute()
    first.run("FAILOVER", "TO", "127.0.0.1", second.port, "TIMEOUT", 10_000)
    second.wait(lambda: second.client.info("replication")["role"] == "master", "no failover")
    names = [f"done:{number}" for number in range(1000)]
    second.wait(lambda: None not in second.run("MGET", *names), "entries are missing")
    counts = [int(count) for count in second.run("MGET", *names)]
    assert counts[:500] == [1] * 500
    assert sum(counts[500:]) <= 500 + 5
    first.wait(lambda: first.client.info("replication").get("master_link_status") == "up", "no link")
    settle(second, first)


def test_while_clients_are_paused_nothing_goes_on_and_afterwards_everything_does(pair):
    pair.load(consumer(window=2, callback="holding"), RELEASE)
    pair.add("stream", 1, 2)
    pair.wait_message("start ", 2)
    pair.run("CLIENT", "PAUSE", 60_000, "WRITE")
    try:
        offset = pair.client.info("replication")["master_repl_offset"]
        for _ in range(300):
            pair.run("RG.FUNCTION", "LIST", "vvv")
        assert pair.client.info("replication")["master_repl_offset"] - offset <= 14, "more than a PING was replicated"
    finally:
        pair.run("CLIENT", "UNPAUSE")
    pair.release(1, 2)
    pair.wait_stream(pending_ids=[])


CHANGES = {
    "load": ("RG.FUNCTION", "LOAD", library(function(), name="other")),
    "delete": ("RG.FUNCTION", "DEL", "lib"),
    "seek": ("RG.CONSUMER", "SEEK", "lib", "consumer", "STREAM", "stream", "1-1"),
    "pause": ("RG.CONSUMER", "PAUSE", "lib", "consumer"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_replica_whose_clients_are_paused_takes_changes_when_they_go_on(start_server, change):
    primary, replica = start_server(), start_server("--appendonly", "yes")
    replica.follow(primary)
    primary.load(consumer(callback=ASYNC_EFFECT, options={"on_failure": "retry"}))
    primary.run("XADD", "stream", "1-1", "n", 1)
    primary.wait_stream(pending_ids=[], total_record_processed=1)
    settle(primary, replica)
    before = replica.libraries(), replica.stream("stream"), replica.consumer().get("state")
    replica.run("CLIENT", "PAUSE", 60_000, "WRITE")
    primary.run(*CHANGES[change])

    def has_read():
        return replica.client.info("replication")["slave_read_repl_offset"] == primary.client.info("replication")["master_repl_offset"]

    replica.wait(has_read, "the change does not arrive")
    assert before == (replica.libraries(), replica.stream("stream"), replica.consumer().get("state"))
    replica.run("CLIENT", "UNPAUSE")
    if change == "seek":
        # The primary processes the entry once more, and its progress counts only when that is done.
        primary.wait_stream(pending_ids=[], total_record_processed=2)
    settle(primary, replica)
    assert replica.libraries() == primary.libraries()
    if change in ("seek", "pause"):
        assert progress(replica) == progress(primary)
        assert replica.consumer().get("state") == primary.consumer().get("state")


def test_a_library_that_a_replica_cannot_load_is_kept_there_with_the_progress_that_goes_on(start_server):
    primary, replica = start_server(), start_server()
    end = time.time() + 0.5
    primary.load(f"if (Date.now() > {end * 1000}) throw new Error('not here');", consumer(callback=EFFECT))
    primary.add("stream", 1)
    eventually(lambda: time.time() > end)
    replica.follow(primary)
    primary.add("stream", 2)
    settle(primary, replica)
    assert "not here" in library_of(replica)["quarantine"]
    assert progress(replica) == progress(primary)
    promote(replica)
    replica.add("stream", 3)
    assert replica.run("GET", "done:3") is None
    replica.upgrade(consumer(callback=EFFECT))
    replica.wait(lambda: replica.run("GET", "done:3") == "1", "it does not go on")
    assert replica.run("MGET", "done:1", "done:2") == ["1", "1"]
