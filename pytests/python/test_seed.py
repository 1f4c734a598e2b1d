"""The two Gears of the first RedisGears' page about streaming, word for word."""

import ast

import pytest

from testing.gears1 import registration, wait_counts
from testing.python import bring, execute
from testing.replication import settle

DENY = "GearsBuilder().foreach(lambda x: execute('del', x['key'])).register()"
KEEP = "GearsBuilder('StreamReader').foreach(lambda x: execute('set', x['streamId'], str(x))).register('s1')"

each_way = pytest.mark.parametrize("way", ["RG.PYEXECUTE", "RG.FUNCTION LOAD"])

WRITES = {
    "string": ("SET", "x", "1"),
    "number": ("INCR", "x"),
    "hash": ("HSET", "x", "a", "1", "b", "2"),
    "list": ("RPUSH", "x", "a", "b"),
    "set": ("SADD", "x", "a"),
    "sorted set": ("ZADD", "x", "1", "a"),
    "stream": ("XADD", "x", "*", "a", "1"),
}

# Fields and values as they are added.
ENTRIES = {
    "one field": {"a": "1"},
    "two fields": {"a": "1", "b": "2"},
    "fields that are numbers, in their order": {"b": "1", "7": "x", "1": "y", "0": "z"},
    "quotes of both kinds": {"it's": 'he said "no"', "plain": "'", "double": '"'},
    "what is escaped": {"line\nfeed": "tab\tnul\x00 back\\slash"},
    "other alphabets": {"naïve": "日本 ☃ \U0001f600"},
    "bytes that are no text": {"raw": b"\xff\x00a", b"\xfe": "x"},
    "nothing": {"empty": ""},
}


@each_way
def test_what_is_set_is_gone(server, way):
    bring(server, way, DENY)
    assert server.run("SET", "x", "1")
    server.wait(lambda: server.run("EXISTS", "x") == 0, "x is still there")
    wait_counts(server, 1, 1, 0, 0)
    found = registration(server)
    assert (found["reader"], found["mode"], found["lastError"]) == ("KeysReader", "async", None)
    assert found["args"] == {"regex": "*", "eventTypes": None, "keyTypes": None, "hookCommands": None}


@pytest.mark.parametrize("kind", WRITES)
def test_whatever_kind_of_key_is_written_is_gone(server, kind):
    execute(server, DENY)
    server.run(*WRITES[kind])
    server.wait(lambda: server.run("EXISTS", "x") == 0, "x is still there")
    wait_counts(server, 1, 1, 0, 0)


@each_way
@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_is_kept_as_python_prints_it(server, way, entry):
    fields = ENTRIES[entry]
    bring(server, way, KEEP)
    identity = server.run("XADD", "s1", "*", *[part for pair in fields.items() for part in pair])
    server.wait(lambda: server.run("EXISTS", identity) == 1, lambda: registration(server))
    assert server.run("GET", identity) == str({"streamId": identity, **fields})
    server.wait(lambda: server.run("XLEN", "s1") == 0, "the stream is not trimmed")
    wait_counts(server, 1, 1, 0, 0)


def test_what_was_kept_is_read_back_by_python(server):
    execute(server, KEEP)
    identity = server.run("XADD", "s1", "*", "a", "it's", "1", '"')
    server.wait(lambda: server.run("EXISTS", identity) == 1, lambda: registration(server))
    assert ast.literal_eval(server.run("GET", identity)) == {"streamId": identity, "a": "it's", "1": '"'}


def test_the_last_of_two_fields_of_one_name_is_kept(server):
    execute(server, KEEP)
    identity = server.run("XADD", "s1", "*", "a", "1", "b", "2", "a", "3")
    server.wait(lambda: server.run("EXISTS", identity) == 1, lambda: registration(server))
    assert server.run("GET", identity) == str({"streamId": identity, "a": "3", "b": "2"})


def test_a_stream_of_another_name_triggers_nothing(server):
    execute(server, KEEP)
    server.run("XADD", "s10", "*", "a", "1")
    identity = server.run("XADD", "s1", "*", "a", "1")
    server.wait(lambda: server.run("EXISTS", identity) == 1, lambda: registration(server))
    wait_counts(server, 1, 1, 0, 0)
    assert server.run("XLEN", "s10") == 1


def test_entries_from_before_are_processed_too(server):
    identities = [server.run("XADD", "s1", "*", "n", number) for number in range(20)]
    execute(server, KEEP)
    server.wait(lambda: server.run("EXISTS", *identities) == 20, lambda: registration(server))
    server.wait(lambda: server.run("XLEN", "s1") == 0, "the stream is not trimmed")


def test_a_replica_gets_what_both_of_them_do(pair):
    execute(pair, DENY.replace("register()", "register('gone')"))
    execute(pair, KEEP)
    pair.run("SET", "gone", "1")
    identity = pair.run("XADD", "s1", "*", "2", "b", "1", "a")
    pair.wait(lambda: pair.run("EXISTS", identity) == 1, lambda: pair.run("KEYS", "*"))
    pair.wait(lambda: pair.run("EXISTS", "gone") == 0, "it is still there")
    settle(pair, pair.replica)
    assert pair.replica.run("GET", identity) == str({"streamId": identity, "2": "b", "1": "a"})
    assert pair.replica.run("EXISTS", "gone") == 0
