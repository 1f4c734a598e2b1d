"""Clients that wait hear of what async code writes and publishes at once, not with the server's next timer."""

from functools import partial

import pytest

from testing.libraries import consumer, function
from testing.servers import Server
from testing.waits import eventually

ACT = "client.block(locked => { locked.call('RPUSH', 'out', 'x'); locked.call('PUBLISH', 'channel', 'x'); })"
# Each is the code, and the command that starts it.
WAYS = {
    "stream": (consumer(callback=f"async client => {{ {ACT}; }}"), ("XADD", "stream", "*", "n", 1)),
    "trigger": (
        f"redis.register_notifications_consumer('t', 'key', async client => {{ {ACT}; }});",
        ("SET", "key", 1),
    ),
    "background": (
        function("f", f"first => {{ first.run_on_background(async client => {{ {ACT}; }}); }}"),
        ("RG.FCALL", "lib", "f", 0),
    ),
    "async": (function("f", f"async client => {{ {ACT}; }}"), ("RG.FCALL", "lib", "f", 0)),
    "keys_reader": (
        "GB('KeysReader').foreach(async () => { execute('RPUSH', 'out', 'x'); execute('PUBLISH', 'channel', 'x'); })"
        ".register({prefix: 'key', mode: 'async'});",
        ("SET", "key", 1),
    ),
}
ROUNDS = 10


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A server that wakes by itself once a second."""
    server = Server(tmp_path_factory.mktemp("slow"), configuration="hz 1\ndynamic-hz no\n")
    yield server
    server.stop()


@pytest.mark.parametrize("way", WAYS)
def test_who_waits_is_answered_without_a_timer(slow, way):
    slow.reset()
    code, command = WAYS[way]
    slow.load(code)
    began = slow.run("TIME")
    for _ in range(ROUNDS):
        listener = slow.connect().pubsub(ignore_subscribe_messages=True)
        listener.subscribe("channel")
        eventually(lambda: slow.run("PUBSUB", "NUMSUB", "channel")[1] == 1)
        popper = slow.send("BLPOP", "out", 0)
        eventually(lambda: slow.client.info("clients")["blocked_clients"] == 1)
        slow.run(*command)
        assert popper.reply() == ["out", "x"]
        assert eventually(partial(listener.get_message, timeout=15))["data"] == "x"
        listener.close()
        popper.disconnect()
        eventually(lambda: slow.run("PUBSUB", "NUMSUB", "channel")[1] == 0)
    began, ended = (int(time[0]) + int(time[1]) / 1e6 for time in (began, slow.run("TIME")))
    # Each would have waited for a timer of its own, which comes once a second.
    assert ended - began < 0.8 * ROUNDS
