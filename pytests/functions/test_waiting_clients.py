"""Which clients can be kept waiting for a result: whoever cannot is told why, and the server goes on."""

import pytest
from redis import ResponseError

from testing.gears1 import executions
from testing.libraries import function
from testing.replies import fields
from testing.wire import Wire, bulk, wire

MODULE_ARGS = "enable-debug-command yes"

SUBSCRIPTIONS = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"]
CANNOT_WAIT = b"-ERR this server does not let a client wait that is subscribed to channels: use another connection\r\n"
RESULTS = wire("*2 *1 $1 1 *0")

FUNCTIONS = (
    function("async", "async client => client.block(locked => locked.call('ECHO', 'value'))"),
    function("pending", "client => client.run_on_background(async () => 'value')"),
    function("begin", "client => { client.run_on_background(async b => b.block(c => c.call('INCR', 'n'))); return 1; }"),
    function("allow", "client => client.allow_block() ? 1 : 0"),
)


def is_refused(client):
    """Whether the server lets no such client wait, as functions see it."""
    return client.call("RG.FCALL", "lib", "allow", 0) == b":0\r\n"


def nothing_waits(server):
    server.wait(lambda: server.client.info("clients")["blocked_clients"] == 0, "a client waits")

    def pending_jobs():
        [library] = server.run("RG.FUNCTION", "LIST", "LIBRARY", "lib")
        return fields(library)["pending_jobs"]

    server.wait(lambda: pending_jobs() == 0, "a job is left")


@pytest.fixture(params=SUBSCRIPTIONS)
def subscribed(request, server):
    """A RESP3 client that is subscribed to a channel."""
    server.load(*FUNCTIONS)
    with Wire(server.port, protocol=3) as client:
        assert client.call(request.param, "channel").startswith(b">3\r\n")
        yield client


@pytest.mark.parametrize("name", ["async", "pending"])
def test_a_subscribed_client_gets_the_result_or_is_told_why(server, subscribed, name):
    expected = CANNOT_WAIT if is_refused(subscribed) else bulk("value")
    for _ in range(3):
        assert subscribed.call("RG.FCALL", "lib", name, 0) == expected
    nothing_waits(server)


def test_a_subscribed_client_may_begin_what_it_does_not_wait_for(server, subscribed):
    assert subscribed.call("RG.FCALL", "lib", "begin", 0) == b":1\r\n"
    server.wait(lambda: server.run("GET", "n") == "1", "the background part did not act")
    assert subscribed.call("PING") == b"+PONG\r\n"


def test_a_subscribed_client_gets_the_results_of_a_run_or_is_told_why(server, subscribed):
    server.run("SET", "key", 1)
    expected = CANNOT_WAIT if is_refused(subscribed) else RESULTS
    known = executions(server)
    assert subscribed.call("RG.JSEXECUTE", "GB().map(x => x.value).run()") == expected
    server.wait(lambda: executions(server) == known, "a run is left that nobody has asked for")


def test_a_subscribed_client_gets_the_results_it_waits_for_or_is_told_why(server, subscribed):
    run = server.run("RG.JSEXECUTE", "GB('ShardsIDReader').map(() => new Promise(() => {})).run()", "UNBLOCKING")
    refused = is_refused(subscribed)
    subscribed.send("RG.GETRESULTSBLOCKING", run)
    if not refused:
        server.wait(lambda: server.client.info("clients")["blocked_clients"] == 1, "nobody waits")
        server.run("RG.ABORTEXECUTION", run)
    reply = subscribed.read()
    assert reply == CANNOT_WAIT if refused else reply.startswith(b"*2")
    server.run("RG.ABORTEXECUTION", run)
    server.run("RG.DROPEXECUTION", run)
    nothing_waits(server)


def test_a_message_comes_while_a_subscribed_client_waits(server):
    server.load(
        *FUNCTIONS,
        "let done;",
        function("hold", "() => new Promise(resolve => { done = resolve; })"),
        function("settle", "() => { done('value'); }"),
    )
    with Wire(server.port, protocol=3) as client:
        client.call("SUBSCRIBE", "channel")
        if is_refused(client):
            pytest.skip("this server lets no subscribed client wait")
        client.send("RG.FCALL", "lib", "hold", 0)
        server.wait(lambda: server.client.info("clients")["blocked_clients"] == 1, "nobody waits")
        server.run("PUBLISH", "channel", "message")
        assert client.read() == wire(">3 $7 message $7 channel $7 message")
        server.call("settle")
        assert client.read() == bulk("value")


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_monitor_is_answered_as_the_server_answers_it(server, protocol):
    server.load(*FUNCTIONS)
    with Wire(server.port, protocol) as client:
        assert client.call("MONITOR") == b"+OK\r\n"
        client.send("RG.FCALL", "lib", "async", 0)
        assert client.read().startswith((b"-ERR Replica can't interact", b"+"))
        server.run("PING")


@pytest.mark.parametrize("inner", ["async", "pending", "allow"])
def test_where_every_command_may_be_called_a_block_calls_no_functions(start_server, inner):
    server = start_server(module_args=MODULE_ARGS)
    server.run("RG.FUNCTION", "DEBUG", "allow_unsafe_redis_commands")
    server.load(*FUNCTIONS)
    outer = "async (client, name) => client.block(locked => locked.call('RG.FCALL', 'lib', name, '0'))"
    server.load(function("outer", outer), name="other")
    with pytest.raises(ResponseError, match="cannot be run from another thread"):
        server.call("outer", inner, library="other")
    server.assert_alive()
