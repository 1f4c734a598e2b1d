"""Flags of functions: what replicas run, and what runs beyond maxmemory."""

import pytest
from redis import ResponseError
from redis.exceptions import OutOfMemoryError

from testing.functions import COMMANDS, HOLD, call_error, error_of, wait_held
from testing.libraries import function

REPLICA = "Err can not run a function that might perform writes on a replica"
OUT_OF_MEMORY = "can not run the function when out of memory"


# --- flags: replicas ------------------------------------------------------------------------------------------------


@pytest.fixture
def replica(pair):
    """The replica of a pair; what is loaded there is loaded by way of the primary."""
    replica = pair.replica

    def load(*statements):
        pair.load(*statements)
        replica.wait(lambda: replica.libraries() == ["lib"], replica.libraries)

    replica.wait(lambda: replica.libraries() == [], replica.libraries)
    replica.load = load
    yield replica
    del replica.load


READERS = {
    "sync": "(client, key) => client.call('GET', key)",
    "async": "async (client, key) => client.block(c => c.call('GET', key))",
    "background": "(client, key) => client.run_on_background(async c => c.block(b => b.call('GET', key)))",
}
WRITERS = {kind: code.replace("'GET', key", "'SET', key, 'new'") for kind, code in READERS.items()}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("flags", [None, [], ["allow-oom"], ["raw-arguments", "allow-oom"]])
def test_a_replica_refuses_functions_that_may_write(replica, kind, flags, command):
    replica.load(function("f", READERS[kind], flags))
    assert call_error(replica, "f", "key", command=command) == REPLICA


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", READERS)
def test_a_replica_runs_functions_that_do_not_write(pair, replica, kind, command):
    replica.load(function("f", READERS[kind], ["no-writes"]))
    pair.run("SET", "key", "value")
    pair.wait(lambda: replica.run("GET", "key") == "value", "the key did not arrive")
    assert replica.call("f", keys=["key"], command=command) == "value"


@pytest.mark.parametrize("kind", WRITERS)
def test_a_write_of_a_function_that_said_it_writes_nothing_fails_on_a_replica(replica, kind):
    replica.load(function("f", WRITERS[kind], ["no-writes"]))
    assert "was called while write is not allowed" in call_error(replica, "f", keys=["key"])
    assert replica.run("EXISTS", "key") == 0


@pytest.mark.parametrize("kind", WRITERS)
def test_a_write_of_a_function_that_said_it_writes_nothing_fails_on_a_primary_too(server, kind):
    server.load(function("f", WRITERS[kind], ["no-writes"]))
    assert "was called while write is not allowed" in call_error(server, "f", keys=["key"])
    assert server.run("EXISTS", "key") == 0


def test_on_a_replica_a_function_that_may_write_is_refused_before_its_keys_are_counted(replica):
    replica.load(function())
    with pytest.raises(ResponseError, match=f"^{REPLICA}$"):
        replica.run("RG.FCALL", "lib", "f", 5)
    with pytest.raises(ResponseError, match="^Unknown function nosuch$"):
        replica.run("RG.FCALL", "lib", "nosuch", 5)


def test_a_call_that_waits_when_its_server_becomes_a_replica_writes_no_more(server):
    """The server itself answers those who wait, and closes their connections."""
    server.load(
        HOLD,
        function(
            "f",
            "async client => { await wait('f'); try { client.block(c => c.call('SET', 'a', 1)); }"
            " catch (error) { redis.log(`refused ${error}`); } }",
        ),
    )
    sent = server.send_call("f")
    wait_held(server, "f")
    server.run("REPLICAOF", "127.0.0.1", "1")
    try:
        assert "UNBLOCKED" in error_of(sent)
        server.call("settle", "f", 1)
        server.wait_message("refused ")
        assert server.messages("refused ") == ["Can not lock Redis, Can not lock redis for write on replica"]
    finally:
        server.run("REPLICAOF", "NO", "ONE")
    assert server.run("EXISTS", "a") == 0


# --- flags: memory --------------------------------------------------------------------------------------------------


@pytest.fixture
def full(server):
    """A server, and a way to make its memory count as full until the test ends."""
    server.run("SET", "key", "value")
    yield lambda: server.run("CONFIG", "SET", "maxmemory", 1)
    if server.is_alive():
        server.run("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("flags", [None, ["raw-arguments"]])
def test_out_of_memory_a_function_is_refused(server, full, kind, flags, command):
    server.load(function("f", READERS[kind], flags))
    full()
    with pytest.raises(OutOfMemoryError, match=f"^{OUT_OF_MEMORY}$"):
        server.call("f", "key", command=command)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("flags", [["no-writes"], ["allow-oom"], ["allow-oom", "no-writes"]])
def test_out_of_memory_a_function_runs_if_it_writes_nothing_or_said_it_may(server, full, kind, flags, command):
    server.load(function("f", READERS[kind], flags))
    full()
    assert server.call("f", keys=["key"], command=command) == "value"


@pytest.mark.parametrize("kind", WRITERS)
def test_out_of_memory_a_function_that_said_it_may_also_writes(server, full, kind):
    server.load(function("f", WRITERS[kind], ["allow-oom"]))
    full()
    assert server.call("f", keys=["key"]) == "OK"
    assert server.run("GET", "key") == "new"


@pytest.mark.parametrize("kind", WRITERS)
def test_out_of_memory_no_writes_stays_no_writes(server, full, kind):
    server.load(function("f", WRITERS[kind], ["no-writes", "allow-oom"]))
    full()
    assert "was called while write is not allowed" in call_error(server, "f", keys=["key"])


def test_out_of_memory_comes_before_the_keys_are_counted_and_behind_the_names(server, full):
    server.load(function())
    full()
    with pytest.raises(OutOfMemoryError, match=f"^{OUT_OF_MEMORY}$"):
        server.run("RG.FCALL", "lib", "f", 5)
    with pytest.raises(ResponseError, match="^Unknown function nosuch$"):
        server.run("RG.FCALL", "lib", "nosuch", 5)


LATER = "async client => { await wait('later'); return client.block(c => c.call('SET', 'key', 'new')); }"


def test_memory_that_ran_out_during_a_call_refuses_its_later_parts(server, full):
    server.load(HOLD, function("f", LATER))
    sent = server.send_call("f")
    wait_held(server, "later")
    full()
    server.call("settle", "later", 1)
    assert error_of(sent) == "Can not lock Redis, OOM Can not lock redis for write"
    assert server.run("GET", "key") == "value"


def test_memory_that_ran_out_during_a_call_does_not_matter_to_those_that_said_so(server, full):
    server.load(HOLD, function("f", LATER, ["allow-oom"]))
    sent = server.send_call("f")
    wait_held(server, "later")
    full()
    server.call("settle", "later", 1)
    assert sent.reply() == "OK"
    assert server.run("GET", "key") == "new"
