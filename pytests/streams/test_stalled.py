"""The setting stalled-after: a consumer whose callback does not settle is blocked, and says with what."""

import re

import pytest

from testing.libraries import RELEASE, consumer
from testing.replies import fields

CONSUMERS = {
    "entries": consumer(prefix="orders", callback="holding"),
    "batches": consumer(
        prefix="orders",
        callback="async (client, [first]) => holding(client, first)",
        options={"batch": 2, "duration": 1},
    ),
}
each_kind = pytest.mark.parametrize("kind", CONSUMERS)


def info(server, *stream):
    return fields(server.run("RG.CONSUMER", "INFO", "lib", "consumer", *stream))


def blocked_streams(server):
    _, rows = server.run("RG.CONSUMER", "STREAMS", "lib", "consumer", "STATE", "blocked")
    return [fields(row)["name"] for row in rows]


def wait_state(server, state):
    server.wait(lambda: info(server)["state"] == state, lambda: info(server))


def reason_of(key, entry):
    return rf"callback has not settled for \d+ s: key '{key}', entry {entry}"


@pytest.fixture
def stalling(server):
    server.run("RG.CONFIG", "SET", "stalled-after", "1")
    yield server
    server.run("RG.CONFIG", "SET", "stalled-after", "60")


@each_kind
def test_a_consumer_is_blocked_while_its_callback_does_not_settle(stalling, kind):
    server = stalling
    server.load(CONSUMERS[kind], RELEASE)
    entry = server.run("XADD", "orders", "*", "f", "a")
    server.wait(lambda: server.messages("start a"), server.log_text)
    wait_state(server, "blocked")
    shown = info(server)
    assert re.fullmatch(reason_of("orders", entry), shown["reason"])
    assert (shown["blocked_streams"], shown["last_error"], shown["error_classes"]) == (1, "None", [])
    of_stream = info(server, "STREAM", "orders")
    assert of_stream["state"] == "blocked" and re.fullmatch(reason_of("orders", entry), of_stream["reason"])
    assert blocked_streams(server) == ["orders"]
    line = server.client.info("redisgears_2_consumers")["redisgears_2_consumer_lib_consumer"]
    assert (line["state"], line["blocked_streams"]) == ("blocked", 1)
    assert re.fullmatch(reason_of("orders", entry).replace(",", "_"), line["reason"])
    said = "[lib/consumer] is blocked at stream 'orders': its callback has not settled for"
    server.wait(lambda: server.times_logged(said) == 1, server.log_text)

    server.add("release", "a")
    wait_state(server, "running")
    assert (info(server)["reason"], info(server)["blocked_streams"], blocked_streams(server)) == ("None", 0, [])
    server.wait(lambda: server.times_logged("[lib/consumer] is not blocked any more") == 1, server.log_text)
    assert server.times_logged(said) == 1


def test_a_stream_that_is_paused_meanwhile_is_paused_and_not_blocked(stalling):
    server = stalling
    server.load(CONSUMERS["entries"], RELEASE)
    server.add("orders", "a")
    server.add("orders:2", "b")
    server.wait(lambda: info(server)["blocked_streams"] == 2, lambda: info(server))
    server.run("RG.CONSUMER", "PAUSE", "lib", "consumer", "STREAM", "orders")
    assert (info(server)["blocked_streams"], blocked_streams(server)) == (1, ["orders:2"])
    assert info(server, "STREAM", "orders")["state"] == "paused"
    server.run("RG.CONSUMER", "RESUME", "lib", "consumer", "STREAM", "orders")
    server.wait(lambda: sorted(blocked_streams(server)) == ["orders", "orders:2"], lambda: info(server))
    assert info(server)["blocked_streams"] == 2


def test_a_callback_may_take_as_long_as_it_likes_where_the_setting_is_off(stalling):
    server = stalling
    server.load(CONSUMERS["entries"], RELEASE)
    server.add("orders", "a")
    wait_state(server, "blocked")
    server.run("RG.CONFIG", "SET", "stalled-after", "0")
    wait_state(server, "running")
    assert info(server)["in_flight"] == 1


def test_the_new_code_of_a_library_does_not_answer_for_calls_of_the_old(stalling):
    server = stalling
    server.load(CONSUMERS["entries"], RELEASE)
    server.add("orders", "a")
    wait_state(server, "blocked")
    server.upgrade(consumer(prefix="orders"), RELEASE)
    server.wait_seen("orders a")
    wait_state(server, "running")
