"""Calls of plain functions while a worker runs code of their library: whoever can wait waits, and holds nothing up."""

import pytest
from redis import ResponseError
from redis.exceptions import ConnectionError as Disconnected

from testing.libraries import function
from testing.replies import fields
from testing.wire import Wire

SPIN = (
    "const spin = ms => { redis.log('spinning'); const end = Date.now() + ms; while (Date.now() < end); };",
    function("busy", "async (client, ms) => { spin(Number(ms)); return 'done'; }"),
)
PUSH = function("push", "(client, n) => client.call('RPUSH', 'list', n)")
PUSH_TWICE = function("twice", "(client, n) => { client.call('SET', n, 1); return client.call('RPUSH', 'list', n); }")
LENGTH = function("length", "client => client.call('LLEN', 'list')", ["no-writes"])

BUSY = "Err library 'lib' is busy: other code of it runs for too long"


def blocked(node):
    return node.client.info("clients")["blocked_clients"]


def make_busy(node, milliseconds, count=1):
    """Has a worker compute that long; gives the call, whose client stays until the next one."""
    node.busy = busy = node.send_call("busy", milliseconds)
    node.wait_message("spinning", count)
    return busy


def send_waiting(node, *call, **options):
    """Sends a call and sees that it waits."""
    before = blocked(node)
    sent = node.send_call(*call, **options)
    node.wait(lambda: blocked(node) == before + 1, "the call does not wait")
    return sent


def error_of(sent):
    with pytest.raises(ResponseError) as caught:
        sent.reply()
    return str(caught.value)


@pytest.fixture(autouse=True)
def nobody_waits_in_the_end(request):
    names = [name for name in ("server", "pair") if name in request.fixturenames]
    nodes = [request.getfixturevalue(name) for name in names]
    yield
    for node in nodes:
        node.wait(lambda node=node: blocked(node) == 0, "a client waits still")


def test_calls_wait_in_their_order_and_the_server_goes_on(server):
    server.load(*SPIN, PUSH)
    busy = make_busy(server, 1500)
    calls = [send_waiting(server, "push", n) for n in range(5)]
    for n in range(5):
        assert server.run("INCR", "n") == n + 1
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert [call.reply() for call in calls] == [1, 2, 3, 4, 5]
    assert server.run("LRANGE", "list", 0, -1) == ["0", "1", "2", "3", "4"]
    assert busy.reply() == "done"
    assert server.call("push", "direct") == 6


def test_calls_that_wait_are_among_the_pending_jobs(server):
    server.load(*SPIN, PUSH)
    server.load(function("f", "() => 'other'"), name="other")
    busy = make_busy(server, 1500)
    calls = [send_waiting(server, "push", n) for n in range(3)]
    listed = {one["name"]: one["pending_jobs"] for one in map(fields, server.run("RG.FUNCTION", "LIST"))}
    info = server.client.info("redisgears_2_libraries")
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert listed == {"lib": 3, "other": 0}
    assert {name: info[f"redisgears_2_library_{name}"]["pending_jobs"] for name in listed} == listed
    assert [call.reply() for call in calls] == [1, 2, 3]
    assert fields(server.run("RG.FUNCTION", "LIST", "LIBRARY", "lib")[0])["pending_jobs"] == 0


def test_calls_have_their_turn_between_long_pieces_of_a_worker(server):
    server.load(*SPIN, PUSH)
    pieces = [make_busy(server, 300)] + [server.send_call("busy", 100) for _ in range(40)]
    assert server.send_call("push", 1).reply() == 1
    assert not pieces[-1].is_answered(), "the call waited until the worker had nothing to do"
    assert [piece.reply() for piece in pieces] == ["done"] * 41


def test_a_call_waits_not_for_another_library(server):
    server.load(*SPIN, PUSH)
    server.load(function("f", "() => 'other'"), name="other")
    busy = make_busy(server, 1500)
    call = send_waiting(server, "push", 1)
    assert server.call("f", library="other") == "other"
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert call.reply() == 1


def test_who_cannot_wait_is_refused(server):
    server.load(*SPIN, PUSH)
    server.set_timeout(100)
    busy = make_busy(server, 1500)
    call = send_waiting(server, "push", 1)
    pipe = server.client.pipeline(transaction=True)
    pipe.execute_command("RG.FCALL", "lib", "push", 0, 2)
    [refused] = pipe.execute(raise_on_error=False)
    assert BUSY in str(refused)
    with pytest.raises(ResponseError):
        server.run("EVAL", "return redis.call('RG.FCALL', 'lib', 'push', 0, 2)", 0)
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert call.reply() == 1
    assert server.run("LRANGE", "list", 0, -1) == ["1"]


def test_who_waits_for_longer_than_a_run_may_take_is_refused(start_server):
    server = start_server(module_args="library-fatal-failure-policy kill background-timeout 300")
    server.load(*SPIN, PUSH)
    busy = make_busy(server, 3000)
    assert error_of(send_waiting(server, "push", 1)) == BUSY
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert busy.reply() == "done"
    assert server.call("push", 2) == 1


def test_a_client_that_leaves_is_forgotten_and_others_keep_their_places(server):
    server.load(*SPIN, PUSH)
    make_busy(server, 1500)
    first = send_waiting(server, "push", 1)
    killed = send_waiting(server, "push", 2)
    last = send_waiting(server, "push", 3)
    assert server.run("CLIENT", "UNBLOCK", killed.client_id) == 0
    assert server.run("CLIENT", "KILL", "ID", killed.client_id) == 1
    with pytest.raises(Disconnected):
        killed.reply()
    assert (first.reply(), last.reply()) == (1, 2)
    assert server.run("LRANGE", "list", 0, -1) == ["1", "3"]


def test_a_call_that_waits_gets_the_new_code(server):
    server.load(*SPIN, PUSH)
    make_busy(server, 1500)
    call = send_waiting(server, "push", 1)
    server.upgrade(*SPIN, function("push", "(client, n) => `new ${n}`"))
    assert call.reply() == "new 1"


def test_a_call_that_waits_gets_the_new_code_that_has_become_async(server):
    server.load(*SPIN, PUSH)
    make_busy(server, 1500)
    call = send_waiting(server, "push", 1)
    server.upgrade(*SPIN, function("push", "async (client, n) => client.block(c => c.call('RPUSH', 'list', n))"))
    assert call.reply() == 1


def test_a_call_that_waits_may_go_on_waiting_for_a_promise(server):
    server.load(*SPIN, function("f", "client => client.run_on_background(async b => b.block(c => c.call('INCR', 'n')))"))
    make_busy(server, 1000)
    assert send_waiting(server, "f").reply() == 1


def test_a_call_is_told_that_its_library_is_gone(server):
    server.load(*SPIN, PUSH)
    make_busy(server, 1500)
    call = send_waiting(server, "push", 1)
    server.run("RG.FUNCTION", "DEL", "lib")
    assert error_of(call) == "Unknown library lib"


def test_a_call_that_waited_acts_as_its_user_in_its_database_and_protocol(server):
    server.load(
        *SPIN,
        function("f", "client => client.call('INCR', 'own')"),
        function("forbidden", "client => client.call('SET', 'other', 1)"),
        function("object", "() => ({ a: 1 })"),
    )
    server.run("ACL", "SETUSER", "anna", "on", "nopass", "+@all", "~own")
    make_busy(server, 1000)
    with Wire(server.port, protocol=3) as client:
        assert client.call("AUTH", "anna", "x") == b"+OK\r\n"
        assert client.call("SELECT", 3) == b"+OK\r\n"
        client.send("RG.FCALL", "lib", "f", 0)
        client.send("RG.FCALL", "lib", "object", 0)
        client.send("RG.FCALL", "lib", "forbidden", 0)
        assert client.read() == b":1\r\n"
        assert client.read().startswith(b"%")
        assert client.read().startswith((b"-ERR acl verification failed", b"-NOPERM"))
        assert client.call("GET", "own") == b"$1\r\n1\r\n"
    server.run("ACL", "DELUSER", "anna")


@pytest.mark.parametrize("change", [("off",), ("-rg.fcall", "-rg.fcallasync")])
def test_a_user_who_may_not_call_any_more_is_refused(server, change):
    server.load(*SPIN, PUSH)
    server.run("ACL", "SETUSER", "anna", "on", ">secret", "+@all", "~*")
    make_busy(server, 1500)
    with Wire(server.port) as client:
        assert client.call("AUTH", "anna", "secret") == b"+OK\r\n"
        client.send("RG.FCALL", "lib", "push", 0, 1)
        server.wait(lambda: blocked(server) == 2, lambda: ("the call does not wait", blocked(server)))
        server.run("ACL", "SETUSER", "anna", *change)
        reply = client.read()
        assert reply.startswith((b"-ERR User does not exist", b"-NOPERM"))
    assert server.run("EXISTS", "list") == 0
    server.run("ACL", "DELUSER", "anna")


def test_a_call_that_waited_is_refused_where_one_that_comes_then_is(server):
    server.load(*SPIN, PUSH, LENGTH)
    make_busy(server, 1500)
    writes = send_waiting(server, "push", 1)
    reads = send_waiting(server, "length")
    server.run("CONFIG", "SET", "maxmemory", 1)
    try:
        assert "can not run the function when out of memory" in error_of(writes)
        assert reads.reply() == 0
    finally:
        server.run("CONFIG", "SET", "maxmemory", 0)


def test_a_call_that_waits_writes_nothing_on_a_server_that_became_a_replica(server):
    server.load(*SPIN, PUSH)
    make_busy(server, 1000)
    call = send_waiting(server, "push", 1)
    server.run("REPLICAOF", "127.0.0.1", 1)
    try:
        # Servers send clients that wait away.
        with pytest.raises((ResponseError, Disconnected)):
            call.reply()
        assert server.run("EXISTS", "list") == 0
    finally:
        server.run("REPLICAOF", "NO", "ONE")


def test_calls_that_wait_are_not_made_while_writes_are_paused(server):
    server.load(*SPIN, PUSH)
    busy = make_busy(server, 500)
    call = send_waiting(server, "push", 1)
    server.run("CLIENT", "PAUSE", 60000, "WRITE")
    server.wait(busy.is_answered, "the computation did not end")
    assert (call.is_answered(), server.run("EXISTS", "list")) == (False, 0)
    server.run("CLIENT", "UNPAUSE")
    assert call.reply() == 1


def test_what_a_call_that_waited_did_reaches_replicas(pair):
    pair.load(*SPIN, PUSH_TWICE)
    make_busy(pair, 1000)
    calls = [send_waiting(pair, "twice", n) for n in range(3)]
    assert [call.reply() for call in calls] == [1, 2, 3]
    pair.wait(lambda: pair.replica.run("LRANGE", "list", 0, -1) == ["0", "1", "2"], "the replica lacks something")
    assert pair.replica.run("MGET", 0, 1, 2) == ["1", "1", "1"]


def test_each_call_that_waited_is_a_transaction_of_its_own_in_the_append_only_file(start_server):
    server = start_server(configuration="appendonly yes\naof-use-rdb-preamble no\n")
    server.load(*SPIN, PUSH_TWICE)
    make_busy(server, 1000)
    calls = [send_waiting(server, "twice", f"key{n}") for n in range(3)]
    assert [call.reply() for call in calls] == [1, 2, 3]
    text = "".join(path.read_bytes().decode(errors="replace") for path in server.appended())
    words = [word.upper() for word in text.split("\r\n") if not word.startswith(("*", "$"))]
    begins = [at for at, word in enumerate(words) if word == "MULTI"]
    units = [words[at : words.index("EXEC", at)] for at in begins]
    units = [unit for unit in units if any(word.startswith("KEY") for word in unit)]
    assert [unit[:1] + unit[-6:] for unit in units] == [
        ["MULTI", "SET", f"KEY{n}", "1", "RPUSH", "LIST", f"KEY{n}"] for n in range(3)
    ]
