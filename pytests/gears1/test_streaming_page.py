"""The two Gears of the first RedisGears' page about streaming, in JavaScript."""

import json

import pytest

from testing.gears1 import DENY, KEEP, bring, counts, registration, registrations, wait_counts
from testing.policies import add_at_once
from testing.replication import digest, settle

each_way = pytest.mark.parametrize("way", ["RG.JSEXECUTE", "RG.FUNCTION LOAD"])

WRITES = {
    "string": ("SET", "x", "1"),
    "number": ("INCR", "x"),
    "hash": ("HSET", "x", "a", "1", "b", "2"),
    "list": ("RPUSH", "x", "a", "b"),
    "set": ("SADD", "x", "a"),
    "sorted set": ("ZADD", "x", "1", "a"),
    "stream": ("XADD", "x", "*", "a", "1"),
    "bits": ("SETBIT", "x", "7", "1"),
}


def is_gone(node, *keys):
    """Waits until none of the keys is there."""
    node.wait(lambda: node.run("EXISTS", *keys) == 0, lambda: node.run("KEYS", "*"))


# --- the first: nothing can be put into the server ------------------------------------------------------------------


@each_way
def test_what_is_set_is_gone(server, way):
    bring(server, way, DENY)
    assert server.run("SET", "x", "1")
    is_gone(server, "x")
    wait_counts(server, 1, 1, 0, 0)
    found = registration(server)
    assert (found["reader"], found["mode"], found["lastError"]) == ("KeysReader", "async", None)
    assert found["args"] == {"regex": "*", "eventTypes": None, "keyTypes": None, "hookCommands": None}


@pytest.mark.parametrize("kind", WRITES)
def test_whatever_kind_of_key_is_written_is_gone(server, kind):
    bring(server, "RG.JSEXECUTE", DENY)
    server.run(*WRITES[kind])
    is_gone(server, "x")
    wait_counts(server, 1, 1, 0, 0)


def test_a_key_whose_name_is_no_text_is_gone(server):
    bring(server, "RG.JSEXECUTE", DENY)
    server.run("SET", b"\xff\x00x", "1")
    is_gone(server, b"\xff\x00x")
    wait_counts(server, 1, 1, 0, 0)


def test_what_is_written_in_a_transaction_and_in_a_script_is_gone(server):
    bring(server, "RG.JSEXECUTE", DENY)
    pipe = server.client.pipeline(transaction=True)
    for number in range(5):
        pipe.execute_command("SET", f"a:{number}", number)
    pipe.execute()
    server.run("EVAL", "for n = 1, 5 do redis.call('SET', KEYS[1] .. n, n) end", 1, "b:")
    server.wait(lambda: server.run("DBSIZE") == 0, lambda: server.run("KEYS", "*"))
    wait_counts(server, 10, 10, 0, 0)


def test_what_was_there_before_stays_until_it_is_written(server):
    server.run("MSET", "old:1", "1", "old:2", "2")
    bring(server, "RG.JSEXECUTE", DENY)
    server.run("APPEND", "old:2", "3")
    is_gone(server, "old:2")
    assert server.run("KEYS", "*") == ["old:1"]


def test_a_key_that_expires_is_an_event_of_a_key_that_is_not_there(server):
    server.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        server.run("SET", "x", "1", "PX", 1)
        bring(server, "RG.JSEXECUTE", DENY)
        is_gone(server, "x")
        wait_counts(server, 1, 1, 0, 0)
    finally:
        server.run("DEBUG", "SET-ACTIVE-EXPIRE", 1)


def test_there_is_no_endless_loop(server):
    """Deleting a key is an event as well: the first RedisGears did not stop by itself where it wrote instead."""
    bring(server, "RG.JSEXECUTE", DENY)
    for number in range(200):
        server.run("SET", f"x:{number}", number)
    server.run("DEL", "nothing")
    server.wait(lambda: server.run("DBSIZE") == 0, lambda: server.run("KEYS", "*"))
    wait_counts(server, 200, 200, 0, 0)
    server.run("SET", "last", 1)
    wait_counts(server, 201, 201, 0, 0)


def test_a_script_that_writes_the_key_at_every_event_does_not_loop_either(server):
    bring(server, "RG.JSEXECUTE", "GearsBuilder().foreach(x => execute('expire', x['key'], 1000)).register()")
    server.run("SET", "x", 1)
    server.wait(lambda: server.run("TTL", "x") > 0, "it gets no time to live")
    server.run("SET", "y", 1)
    wait_counts(server, 2, 2, 0, 0)


def test_of_what_is_written_the_replica_keeps_nothing_either(pair):
    bring(pair, "RG.JSEXECUTE", DENY)
    for number in range(100):
        for command, _, *more in WRITES.values():
            pair.run(command, f"{command}:{number}", *more)
    pair.wait(lambda: pair.run("DBSIZE") == 0, lambda: pair.run("KEYS", "*"))
    settle(pair, pair.replica)
    assert (pair.replica.run("DBSIZE"), digest(pair.replica)) == (0, "0" * 40)
    assert [one["numTriggered"] for one in registrations(pair.replica)] == [0]


# --- the second: what comes into a stream is kept under its ID ------------------------------------------------------


def kept(entry, **fields):
    """The text that is kept of an entry."""
    return json.dumps({"streamId": entry} | fields, separators=(",", ":"))


@each_way
def test_an_entry_becomes_a_key_of_its_id(server, way):
    bring(server, way, KEEP)
    entry = server.run("XADD", "s1", "*", "a", "1", "b", "2")
    server.wait(lambda: server.run("EXISTS", entry), lambda: server.run("KEYS", "*"))
    assert server.run("GET", entry) == kept(entry, a="1", b="2")
    wait_counts(server, 1, 1, 0, 0)
    found = registration(server)
    assert (found["reader"], found["mode"], found["status"]) == ("StreamReader", "async", "OK")
    assert found["args"] == {
        "batchSize": 1,
        "durationMS": 0,
        "stream": "s1",
        "trimStream": 1,
        "onFailedPolicy": "retry",
        "retryInterval": 1,
    }


def test_the_stream_is_trimmed_and_stays_as_an_empty_one(server):
    bring(server, "RG.JSEXECUTE", KEEP)
    ids = add_at_once(server, "s1", range(1000))
    server.wait(lambda: server.run("XLEN", "s1") == 0, "the stream is not trimmed")
    assert server.run("TYPE", "s1") == "stream"
    assert server.run("MGET", *ids) == [kept(entry, n=str(n)) for n, entry in enumerate(ids)]
    assert server.run("DBSIZE") == 1001
    wait_counts(server, 1000, 1000, 0, 0)


def test_streams_of_other_names_do_not_trigger(server):
    bring(server, "RG.JSEXECUTE", KEEP)
    others = ["s10", "s", "S1", "as1", "s1:a"]
    for other in others:
        server.run("XADD", other, "*", "a", "1")
    entry = server.run("XADD", "s1", "9999999999999-0", "a", "1")
    server.wait(lambda: server.run("XLEN", "s1") == 0, "the stream is not trimmed")
    assert sorted(server.run("KEYS", "*")) == sorted([entry, "s1", *others])
    assert counts(server) == [1, 1, 0, 0]


def test_entries_that_are_there_before_are_kept_too(server):
    ids = server.add("s1", 1, 2, 3)
    bring(server, "RG.JSEXECUTE", KEEP)
    server.wait(lambda: server.run("XLEN", "s1") == 0, "the stream is not trimmed")
    assert server.run("MGET", *ids) == [kept(entry, n=str(n)) for n, entry in enumerate(ids, 1)]


def test_of_a_field_that_comes_twice_the_last_value_is_kept_and_a_field_may_take_the_ids_place(server):
    bring(server, "RG.JSEXECUTE", KEEP)
    server.run("XADD", "s1", "5-1", "a", "1", "b", "2", "a", "3")
    server.wait(lambda: server.run("EXISTS", "5-1"), lambda: server.run("KEYS", "*"))
    assert server.run("GET", "5-1") == kept("5-1", a="3", b="2")
    server.run("XADD", "s1", "5-2", "streamId", "mine")
    server.wait(lambda: server.run("EXISTS", "mine"), lambda: server.run("KEYS", "*"))
    assert server.run("GET", "mine") == '{"streamId":"mine"}'


def test_the_replica_holds_the_same_keys_and_the_trimmed_stream(pair):
    bring(pair, "RG.JSEXECUTE", KEEP)
    add_at_once(pair, "s1", range(500))
    pair.wait(lambda: pair.run("XLEN", "s1") == 0, "the stream is not trimmed")
    settle(pair, pair.replica)
    assert (pair.replica.run("DBSIZE"), pair.replica.run("XLEN", "s1")) == (501, 0)


@each_way
def test_both_at_once_leave_nothing(server, way):
    """The first one deletes what the client writes; what the second one writes fires no triggers."""
    bring(server, way, KEEP, name="keep")
    bring(server, way, DENY, name="deny")
    server.run("SET", "x", 1)
    is_gone(server, "x")
    server.run("XADD", "s1", "5-1", "a", "1")
    is_gone(server, "s1")
    assert server.run("KEYS", "*") in ([], ["5-1"])
