"""What the tests of key-space triggers share.

``load()`` puts some JavaScript in front of a library's own statements:

    fired(data, tag)      logs "fired<tag> <event> <key>"; read with ``fired`` and ``wait_fired``
    keep(client, data)    appends the data as JSON to the list "seen"; read with ``seen_data``
    hex(buffer)           bytes as text
    holding_key           an async callback that logs "start <key>", waits until ``release`` is called with the key, and
                          logs "end <key>"
    gated                 an async callback that waits until ``open_gate``, and logs what ``fired`` does
    slow                  a callback that takes 5 ms of its thread, and logs what ``fired`` does

What a library writes fires no triggers, so a callback may write where it likes.
"""

import json
from contextlib import contextmanager

import pytest

from testing.libraries import function
from testing.replies import fields

TRIGGERS = """
const fired = (data, tag = '') => redis.log(`fired${tag} ${data.event} ${data.key}`);
const keep = (client, data) => client.call('RPUSH', 'seen', JSON.stringify(data));
const hex = buffer => [...new Uint8Array(buffer)].map(byte => byte.toString(16).padStart(2, '0')).join('');
const spend = ms => { for (const end = Date.now() + ms; Date.now() < end;); };
const slow = (client, data) => { spend(5); fired(data); };
const holding_key = async (client, data) => {
    redis.log(`start ${data.key}`);
    await new Promise(resolve => held.set(data.key, resolve));
    redis.log(`end ${data.key}`);
};
let is_open = false;
const waiting = [];
const gated = async (client, data) => {
    if (!is_open) await new Promise(resolve => waiting.push(resolve));
    fired(data);
};
"""
RELEASE_KEYS = function("release", "(client, ...keys) => { for (const key of keys) held.get(key)(); }")
OPEN = function("open", "() => { is_open = true; waiting.splice(0).forEach(resolve => resolve()); }")

FIRED = {
    "sync": "(client, data) => fired(data)",
    "async": "async (client, data) => fired(data)",
}
KEEP = {
    "sync": "(client, data) => keep(client, data)",
    "async": "async (client, data) => client.block(locked => keep(locked, data))",
}
each_kind = pytest.mark.parametrize("kind", FIRED)
COUNTERS = ("num_triggered", "num_finished", "num_success", "num_failed", "num_dropped", "num_waiting")


def trigger(name="trigger", prefix="key", callback=FIRED["sync"], options=None):
    """JavaScript that registers a trigger; its options are JavaScript, or what JSON can say."""
    given = f"'{name}', '{prefix}', {callback}"
    if options is not None:
        given += f", {options if isinstance(options, str) else json.dumps(options)}"
    return f"redis.register_notifications_consumer({given});"


def load(node, *statements, name="lib", options=()):
    """Loads a library of these statements."""
    return node.load(TRIGGERS, RELEASE_KEYS, OPEN, *statements, name=name, options=options)


def upgrade(node, *statements, name="lib"):
    """Loads the library anew."""
    return load(node, *statements, name=name, options=["UPGRADE"])


def open_gate(node):
    """Lets ``gated`` callbacks go on, those that begin later too."""
    node.call("open")


def release(node, *keys):
    """Lets the ``holding_key`` callbacks of these keys end."""
    node.call("release", *keys)


def pipelined(node, *commands, transaction=False, client=None):
    """Sends commands, each a text, in one go; gives the replies."""
    pipe = (client or node.client).pipeline(transaction=transaction)
    for command in commands:
        pipe.execute_command(*command.split())
    return pipe.execute(raise_on_error=False)


def run_all(node, commands):
    """Runs commands, each a text, one after another."""
    for command in commands:
        node.run(*command.split())


@contextmanager
def without_active_expiry(node):
    """Keys expire when somebody looks at them."""
    node.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        yield
    finally:
        node.run("DEBUG", "SET-ACTIVE-EXPIRE", 1)


def milliseconds(node):
    """The server's clock."""
    seconds, microseconds = node.client.time()
    return seconds * 1000 + microseconds // 1000


def set_expired(node, key, value="v"):
    """A key whose time is over, and nobody has looked at it."""
    end = milliseconds(node) + 20
    node.run("SET", key, value, "PXAT", end)
    node.wait(lambda: milliseconds(node) > end)


# What can be seen


def fired(node, tag="", log=None):
    """What ``fired`` logged: "<event> <key>" per event."""
    return node.messages(f"fired{tag} ", log)


def wait_fired(node, *expected, tag=""):
    """Waits until as many events were logged as expected; then it must be just these."""
    node.wait_for(list(expected), lambda: fired(node, tag))


def seen_data(node, client=None):
    """The data of the events that ``keep`` was given."""
    return [json.loads(one) for one in (client or node.client).execute_command("LRANGE", "seen", 0, -1)]


def shown(node, name="trigger", library="lib", verbosity="vv"):
    """What LIST knows of a trigger."""
    [reply] = node.run("RG.FUNCTION", "LIST", verbosity, "LIBRARY", library)
    return {row["name"]: row for row in map(fields, fields(reply)["notifications_consumers"])}[name]


def counted(node, name="trigger", library="lib"):
    """Its counters."""
    found = shown(node, name, library)
    return {counter: found[counter] for counter in COUNTERS}


def wait_shown(node, name="trigger", library="lib", **expected):
    """Waits until LIST shows these fields of it."""

    def found():
        row = shown(node, name, library)
        return {field: row.get(field) for field in expected}

    node.wait(lambda: found() == expected, lambda: (found(), expected))


def wait_idle(node, name="trigger", library="lib"):
    """Waits until nothing of it waits or runs, and gives its counters: each event is finished or dropped."""

    def is_at_rest():
        found = counted(node, name, library)
        return found["num_waiting"] == 0 and found["num_triggered"] == found["num_finished"] + found["num_dropped"]

    node.wait(is_at_rest, lambda: counted(node, name, library))
    found = counted(node, name, library)
    assert found["num_finished"] == found["num_success"] + found["num_failed"]
    return found
