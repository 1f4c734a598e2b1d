"""Keys of a call, which the server lends for the commands of the function: it is to keep what it needs of them."""

import pytest

from testing.libraries import function

KEYS = 300
# A command on a key, and what reads it.
WRITES = {
    "SET": (("value",), ("GET",), "value"),
    "LPUSH": (("value",), ("LRANGE", 0, -1), ["value"]),
    "SADD": (("value",), ("SMISMEMBER", "value"), [1]),
    "ZADD": (("1", "value"), ("ZRANGE", 0, -1), ["value"]),
    "HSET": (("field", "value"), ("HGET", "field"), "value"),
    "XADD": (("1-1", "field", "value"), ("XLEN",), 1),
    "PFADD": (("value",), ("PFCOUNT",), 1),
    "APPEND": (("value",), ("GET",), "value"),
}


@pytest.mark.parametrize("command", WRITES)
def test_a_key_that_a_function_writes_outlives_the_call(server, command):
    arguments, (read, *with_what), expected = WRITES[command]
    server.load(function("f", f"(client, key, ...rest) => client.call('{command}', key, ...rest)"))
    keys = [f"key:{at}:{'long' * (at % 40)}" for at in range(KEYS)]
    pipe = server.client.pipeline(transaction=False)
    for key in keys:
        pipe.execute_command("RG.FCALL", "lib", "f", 1, key, *arguments)
    pipe.execute()
    assert sorted(server.run("KEYS", "*")) == sorted(keys)
    assert [server.run(read, key, *with_what) for key in keys] == [expected] * KEYS


def test_a_value_that_reads_like_a_key_is_kept_as_a_number(server):
    server.load(function("f", "(client, key, value) => client.call('SET', key, value)"))
    server.call("f", "12345", keys=["12345"])
    assert (server.run("GET", "12345"), server.run("OBJECT", "ENCODING", "12345")) == ("12345", "int")


def test_each_key_and_argument_of_a_call_can_be_a_commands_first(server):
    names = [f"key:{at}" for at in range(6)]
    server.load(function("f", "(client, ...names) => names.map(name => Number(client.call('INCR', name)))"))
    for expected in (1, 2):
        assert server.call("f", *names[3:], keys=names[:3]) == [expected] * len(names)
    assert [server.run("GET", name) for name in names] == ["2"] * len(names)


def test_a_key_that_the_function_changes_is_another_key(server):
    server.load(function("f", "(client, key) => ['', 'x', '\\0'].map(end => Number(client.call('INCR', key + end)))"))
    assert server.call("f", keys=["key"]) == [1, 1, 1]
    assert sorted(server.run("KEYS", "*")) == ["key", "key\0", "keyx"]
