"""Async code whose commands have something to tell other clients: those that track keys, are subscribed, or in MONITOR."""

import pytest

from testing.libraries import consumer, function
from testing.waits import eventually
from testing.wire import Wire, wire

ROUNDS = 20
WAYS = {
    "consumer": consumer(
        callback="async client => { client.block(l => { l.call('INCR', 'n'); l.call('PUBLISH', 'ch', 'x'); }); }"
    ),
    "function": function(
        "f", "async client => client.block(l => { l.call('INCR', 'n'); return l.call('PUBLISH', 'ch', 'x'); })"
    ),
}


def act(server, way, count):
    """Has async code count, and publish, once more."""
    if way == "consumer":
        server.add("stream", count)
    else:
        server.call("f")
    server.wait(lambda: server.run("GET", "n") == str(count), "the block did not act")


@pytest.fixture(params=WAYS)
def way(request, server):
    """A library that acts in blocks, and how it is made to."""
    server.load(WAYS[request.param])
    return request.param


@pytest.mark.parametrize("mode", [(), ("BCAST",), ("NOLOOP",)], ids=["default", "bcast", "noloop"])
def test_a_client_that_tracks_a_key_is_told_that_a_block_wrote_it(server, way, mode):
    with Wire(server.port, protocol=3) as client:
        assert client.call("CLIENT", "TRACKING", "ON", *mode) == b"+OK\r\n"
        for count in range(1, ROUNDS + 1):
            client.call("GET", "n")
            act(server, way, count)
            while (told := client.read()) != wire(">2 $10 invalidate *1 $1 n"):
                assert told.startswith(b">2\r\n$10\r\ninvalidate"), told


def test_a_client_that_is_redirected_is_told_too(server, way):
    with Wire(server.port) as listener, Wire(server.port) as client:
        number = int(listener.call("CLIENT", "ID")[1:])
        listener.call("SUBSCRIBE", "__redis__:invalidate")
        client.call("CLIENT", "TRACKING", "ON", "REDIRECT", number)
        for count in range(1, ROUNDS + 1):
            client.call("GET", "n")
            act(server, way, count)
            assert listener.read() == wire("*3 $7 message $20 __redis__:invalidate *1 $1 n")


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_subscriber_hears_what_a_block_publishes(server, way, protocol):
    with Wire(server.port, protocol) as client:
        client.call("SUBSCRIBE", "ch")
        for count in range(1, ROUNDS + 1):
            act(server, way, count)
            assert client.read()[1:] == wire("*3 $7 message $2 ch $1 x")[1:]


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_subscriber_hears_of_the_keys_that_a_block_writes(server, way, protocol):
    with server.setting("notify-keyspace-events", "KEA"), Wire(server.port, protocol) as client:
        client.call("PSUBSCRIBE", "__keyspace@0__:n")
        for count in range(1, ROUNDS + 1):
            act(server, way, count)
            assert client.read().endswith(wire("$6 incrby"))


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_monitor_sees_what_a_block_runs(server, way, protocol):
    with Wire(server.port, protocol) as client:
        client.call("MONITOR")
        for count in range(1, ROUNDS + 1):
            act(server, way, count)
            eventually(lambda: b'"INCR" "n"' in client.read())


def test_a_block_stays_one_unit_while_others_write(server):
    server.load(
        function("f", "async client => client.block(l => { const a = l.call('GET', 'n'); for (let i = 0; i < 50; i++)"
                 " l.call('PING'); return a === l.call('GET', 'n') ? 1 : 0; })")
    )
    calls = [server.send_call("f") for _ in range(8)]
    for _ in range(300):
        server.run("INCR", "n")
    assert [call.reply() for call in calls] == [1] * 8


def test_what_a_block_throws_and_what_is_ended_in_it_leaves_the_server_free(server):
    server.load(
        function("throws", "async client => client.block(() => { throw new Error('no'); })"),
        function("ends", "async client => client.block(l => { l.call('INCR', 'n'); for (;;); })"),
        function("nested", "async client => client.block(l => client.block(i => 1))"),
        function("good", "async client => client.block(l => l.call('INCR', 'n'))"),
    )
    for name in ["throws", "ends", "nested", "good"]:
        try:
            server.call(name)
        except Exception as error:
            assert name != "good", error
        assert server.run("PING")
    assert server.call("good") == 3
