"""What the tests of functions share: code that waits or computes until it is told, and what comes of calls."""



import pytest
from redis import ResponseError

from testing.libraries import function
from testing.replies import fields

COMMANDS = ["RG.FCALL", "RG.FCALLASYNC"]
# Calls of "hold" and "hold_async" wait until "settle" or "fail" names their key.
HOLD = "\n".join(
    [
        "const waiting = new Map();",
        "const wait = key => new Promise((resolve, reject) => waiting.set(key, { resolve, reject }));",
        function("hold", "(client, key) => wait(key)", ["no-writes"]),
        function("hold_async", "async (client, key) => wait(key)", ["no-writes"]),
        function("settle", "(client, key, value) => { waiting.get(key).resolve(value); }", ["no-writes"]),
        function("fail", "(client, key, text) => { waiting.get(key).reject(new Error(text)); }", ["no-writes"]),
        function("held", "() => [...waiting.keys()]", ["no-writes"]),
    ]
)

# An async function that computes for so many milliseconds.
SPIN = "const spin = ms => { redis.log('spinning'); const end = Date.now() + Number(ms); while (Date.now() < end); };"
BUSY = "\n".join([SPIN, function("busy", "async (client, ms) => { spin(ms); return 'done'; }")])


def error_of(sent):
    """The error that a command is answered with."""
    with pytest.raises(ResponseError) as caught:
        sent.reply()
    return str(caught.value)


def call_error(server, *args, **options):
    """The error that a call is answered with."""
    with pytest.raises(ResponseError) as caught:
        server.call(*args, **options)
    return str(caught.value)


def described(server, *options, name="lib"):
    """A library as LIST shows it."""
    [reply] = server.run("RG.FUNCTION", "LIST", *options, "LIBRARY", name)
    return fields(reply)


def blocked_clients(server):
    return server.client.info("clients")["blocked_clients"]


def wait_blocked(server, count):
    """Waits until so many clients are blocked."""
    server.wait(lambda: blocked_clients(server) == count, lambda: blocked_clients(server))


def wait_held(server, *keys):
    """Waits until calls with these keys wait for their promises, and no other."""
    server.wait(lambda: sorted(server.call("held")) == sorted(keys), lambda: server.call("held"))


def in_transaction(server, *commands):
    """The replies of a transaction, errors among them."""
    pipe = server.client.pipeline(transaction=True)
    for command in commands:
        pipe.execute_command(*command)
    return pipe.execute(raise_on_error=False)
