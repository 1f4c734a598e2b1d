"""What sync callbacks do while the server removes keys by itself: it goes through its tables then, and must not meet what
they took out of these."""

import pytest

from testing.libraries import consumer
from testing.triggers import load, shown, trigger, wait_idle

KEYS = 3000
ROUNDS = 12
# What a callback takes away or replaces: all keys; many others that are to expire, and memory is used anew.
TAKES = {
    "all keys": "c.call('FLUSHDB');",
    "other keys": """
        const others = Array.from({ length: 50 }, () => `key:${Math.floor(Math.random() * 3000)}`);
        c.call('DEL', ...others);
        for (let n = 0; n < 200; n++) c.call('RPUSH', 'fill', 'A'.repeat(8 + n % 40));
        c.call('DEL', 'fill');
    """,
}
each_take = pytest.mark.parametrize("take", TAKES)


def fill(server, expire):
    """Keys that expire while others are added."""
    for _ in range(ROUNDS):
        pipe = server.client.pipeline(transaction=False)
        for number in range(KEYS):
            expire(pipe, f"key:{number}", 30 + number % 100)
        pipe.execute(raise_on_error=False)
    server.wait(lambda: not any(server.client.scan_iter("key:*")), lambda: server.run("DBSIZE"))


def set_key(pipe, key, milliseconds):
    pipe.set(key, "v", px=milliseconds)


def set_fields(pipe, key, milliseconds):
    fields = [f"field:{number}" for number in range(5)]
    pipe.hset(key, mapping=dict.fromkeys(fields, "v"))
    pipe.execute_command("HPEXPIRE", key, milliseconds, "FIELDS", len(fields), *fields)


@each_take
def test_a_callback_takes_keys_away_while_keys_expire(server, take):
    load(server, trigger(callback=f"c => {{ {TAKES[take]} }}", options={"event_types": ["expired"]}))
    fill(server, set_key)
    assert wait_idle(server)["num_success"] > 0
    assert shown(server)["num_failed"] == 0


@each_take
def test_a_stream_consumer_takes_keys_away_while_keys_expire(server, take):
    load(
        server,
        trigger(callback="(c, data) => { c.call('XADD', 'gone', '*', 'key', data.key); }", options={"event_types": ["expired"]}),
        consumer(prefix="gone", trim=True, callback=f"c => {{ {TAKES[take]} }}"),
    )
    fill(server, set_key)
    assert wait_idle(server)["num_success"] > 0


@each_take
def test_a_callback_takes_keys_away_while_fields_expire(server, take):
    if "hpexpire" not in map(str.lower, server.client.command_list()):
        pytest.skip("this server has no fields that expire")
    load(server, trigger(callback=f"c => {{ {TAKES[take]} }}", options={"event_types": ["hexpired", "del"]}))
    fill(server, set_fields)
    assert wait_idle(server)["num_success"] > 0
