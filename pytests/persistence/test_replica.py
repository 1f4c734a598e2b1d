"""A primary and its replica hold the same, and only the primary runs callbacks."""

import pytest

from testing.libraries import RELEASE, consumer
from testing.policies import add_at_once, wait_info
from testing.replication import digest, wait_equal
from testing.replies import fields


def pending_jobs(node):
    [library] = node.run("RG.FUNCTION", "LIST", "LIBRARY", "lib")
    return fields(library)["pending_jobs"]


def test_after_sync_processing_with_trim_both_hold_the_same(pair):
    pair.load(consumer(trim=True))
    pair.run("SET", "other", "key")
    for number in range(200):
        pair.add(f"stream:{number % 7}", number)
    wait_equal(pair)
    assert digest(pair.replica) != "0" * 40
    for node in (pair, pair.replica):
        assert [node.run("XLEN", f"stream:{number}") for number in range(7)] == [0] * 7


def test_after_a_pipeline_and_a_transaction_both_hold_the_same(pair):
    pair.load(consumer(trim=True))
    for transaction in (False, True):
        pipe = pair.client.pipeline(transaction=transaction)
        for number in range(100):
            pipe.execute_command("XADD", "stream", "*", "n", number)
            pipe.execute_command("INCR", "counter")
        pipe.execute()
    wait_equal(pair)
    assert pair.replica.run("GET", "counter") == "200"
    assert pair.replica.run("XLEN", "stream") == 0


def test_after_async_processing_with_trim_both_hold_the_same(pair):
    pair.load(consumer(trim=True, window=5, callback="async (client, data) => saw(data)"))
    pair.add("stream", *range(500))
    pair.wait(lambda: pair.run("XLEN", "stream") == 0, "the stream is not trimmed")
    wait_equal(pair)
    assert pair.replica.run("XLEN", "stream") == 0


def test_a_trim_in_another_database_reaches_the_same_database_of_the_replica(pair):
    pair.load(consumer(trim=True))
    pair.add("stream", "a", client=pair.connect(db=3))
    pair.run("RG.FUNCTION", "DEL", "lib")
    pair.add("stream", "stays")
    wait_equal(pair)
    assert pair.replica.run("XLEN", "stream") == 1
    assert pair.replica.connect(db=3).execute_command("XLEN", "stream") == 0


def test_what_a_slow_consumer_keeps_the_replica_keeps(pair):
    pair.load(consumer(trim=True, callback="holding"), RELEASE)
    pair.add("stream", 1, 2)
    pair.wait_message("start 1 ")
    wait_equal(pair)
    assert pair.replica.run("XLEN", "stream") == 2
    pair.release(1)
    pair.wait(lambda: pair.replica.run("XLEN", "stream") == 1, "the trim did not reach the replica")


def test_a_replica_runs_no_callbacks(pair):
    pair.load(consumer())
    pair.add("stream", *range(5))
    wait_equal(pair)
    assert pair.replica.run("XLEN", "stream") == 5
    assert pair.replica.seen() == []


def test_a_server_that_becomes_a_replica_starts_no_further_entries(server):
    takes_5_ms = "async (client, data) => { const end = Date.now() + 5; while (Date.now() < end); saw(data); }"
    server.load(consumer(window=50, callback=takes_5_ms))
    server.add("stream", *range(200))
    server.wait(lambda: len(server.seen()) >= 3, server.seen)
    server.run("REPLICAOF", "127.0.0.1", "1")
    try:
        # One may be running, and the order to stop is on its way for a turn.
        at_most = len(server.seen()) + 20
        server.wait(lambda: pending_jobs(server) == 0 and server.stream("stream")["pending_ids"] == [])
        assert len(server.seen()) <= at_most
    finally:
        server.run("REPLICAOF", "NO", "ONE")
    server.wait(lambda: len(server.seen()) == 200, server.seen)
    assert server.seen() == [f"stream {n}" for n in range(200)]


@pytest.mark.parametrize(
    "options",
    [{}, {"batch": 2}, {"on_failure": "retry", "max_attempts": 1}, {"on_failure": "abort"}],
    ids=["", "batches", "one attempt", "abort"],
)
def test_entries_whose_writes_a_replica_refuses_come_again_when_it_is_a_primary(server, options):
    writes_in_a_while = """async (client, data) => {
        redis.log('begun');
        for (const end = Date.now() + 500; Date.now() < end;);
        try {
            client.block(c => [data].flat().forEach(() => c.call('INCR', 'written')));
        } catch (error) {
            redis.log('refused');
            throw error;
        }
    }"""
    server.load(consumer(window=4, callback=writes_in_a_while, options=options))
    add_at_once(server, "stream", range(4))
    server.wait_message("begun")
    server.run("REPLICAOF", "127.0.0.1", "1")
    try:
        # Where the machine stood still it may have written before.
        server.wait(lambda: server.messages("refused") or server.run("GET", "written"), "it does not end")
    finally:
        server.run("REPLICAOF", "NO", "ONE")
    server.wait(lambda: server.run("GET", "written") == "4", lambda: server.run("GET", "written"))
    wait_info(server, processed=4, failures=0, in_flight=0)
