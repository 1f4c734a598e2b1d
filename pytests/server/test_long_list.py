"""RG.FUNCTION LIST of many streams: sent in parts, while its client waits and the others do not."""

import contextlib
import socket

import pytest

from testing.functions import blocked_clients, wait_blocked
from testing.libraries import consumer, function, library
from testing.policies import wait_info
from testing.wire import Wire

STREAMS = 3000
LIST = ("RG.FUNCTION", "LIST", "vvv")


@pytest.fixture
def many(server):
    """A server with two libraries, the first of which has many streams."""
    server.load(consumer("one"), consumer("two", callback="async () => {}"), function())
    server.run("RG.FUNCTION", "LOAD", library(consumer("none", "elsewhere"), name="other"))
    pipeline = server.client.pipeline(transaction=False)
    for number in range(STREAMS):
        pipeline.xadd(f"stream:{number}", {"a": 1})
    pipeline.execute()
    for name in ("one", "two"):
        wait_info(server, name=name, processed=STREAMS, in_flight=0)
    return server


def in_transaction(wire, *words):
    """The reply of a command in a transaction, where nobody can wait."""
    wire.call("MULTI")
    wire.call(*words)
    return wire.call("EXEC").removeprefix(b"*1\r\n")


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("words", [("vv",), ("vvv", "WITHCODE"), ("vvv", "LIBRARY", "lib"), ("vv", "LIBRARY", "x")])
def test_what_is_sent_in_parts_is_what_a_transaction_gets(many, protocol, words):
    with Wire(many.port, protocol) as wire:
        parts = wire.call("RG.FUNCTION", "LIST", *words)
        assert parts == in_transaction(wire, "RG.FUNCTION", "LIST", *words)


def test_commands_behind_it_in_a_pipeline_get_their_replies_behind_it(many):
    pipeline = many.client.pipeline(transaction=False)
    pipeline.execute_command(*LIST).execute_command("ECHO", "behind").execute_command(*LIST)
    first, behind, second = pipeline.execute()
    assert behind == "behind" and first == second and len(first) == 2


def test_others_are_served_meanwhile_and_several_may_ask_at_once(many):
    clients = [socket.create_connection(("127.0.0.1", many.port)) for _ in range(5)]
    for client in clients:
        client.sendall(b"RG.FUNCTION LIST vvv\r\nECHO end-of-it\r\n")
    assert many.run("ECHO", "served") == "served"
    sizes = set()
    for client in clients:
        with client:
            received = b""
            while not received.endswith(b"$9\r\nend-of-it\r\n"):
                received += client.recv(1 << 20)
            sizes.add(len(received))
    assert len(sizes) == 1
    assert blocked_clients(many) == 0


def test_streams_and_libraries_that_go_meanwhile_leave_a_reply_that_is_whole(many):
    for change in (
        lambda: many.client.delete(*(f"stream:{number}" for number in range(0, STREAMS, 2))),
        lambda: many.run("RG.FUNCTION", "LOAD", "UPGRADE", library(consumer("one"), name="lib")),
        lambda: many.run("RG.FUNCTION", "DEL", "lib"),
        many.client.flushall,
        lambda: many.run("RG.FUNCTION", "DEL", "other"),
    ):
        with Wire(many.port) as wire:
            wire.send(*LIST)
            change()
            assert wire.read().startswith(b"*")
            assert wire.call("ECHO", "behind") == b"$6\r\nbehind\r\n"
    assert many.libraries() == []


def test_a_client_may_leave_meanwhile(many):
    for _ in range(20):
        with contextlib.closing(socket.create_connection(("127.0.0.1", many.port))) as client:
            client.sendall(b"RG.FUNCTION LIST vvv\r\n")
    wait_blocked(many, 0)
    assert len(many.run(*LIST)) == 2
