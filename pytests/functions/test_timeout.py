"""The option timeout of functions: what their callers get whose promise is not settled in time."""

import pytest

from testing.functions import HOLD, call_error, wait_held
from testing.replies import fields

KINDS = {
    "promise": "(client, key) => wait(key)",
    "async": "async (client, key) => wait(key)",
    "background": "(client, key) => client.run_on_background(async () => wait(key))",
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def load(server, kind, timeout, *more):
    server.load(HOLD, f"redis.register_function('f', {KINDS[kind]}, {{ timeout: {timeout} }});", *more)


def info(server, name="f"):
    return fields(server.run("RG.FUNCTION", "INFO", "lib", name))


@each_kind
def test_a_caller_is_told_when_the_promise_is_not_settled_in_time(server, kind):
    load(server, kind, 200)
    assert call_error(server, "f", "never") == "the callback has not settled within 200 ms"
    found = info(server)
    assert (found["calls"], found["errors"], found["running"], found["timeout"]) == (1, 1, 0, 200)
    assert float(found["duration_ms_max"]) >= 200


@each_kind
def test_what_is_settled_in_time_is_the_reply(server, kind):
    load(server, kind, 60_000)
    sent = server.send_call("f", "key")
    wait_held(server, "key")
    server.call("settle", "key", "value")
    assert sent.reply() == "value"
    assert info(server)["errors"] == 0


@each_kind
def test_what_is_settled_late_is_heard_by_nobody_and_the_code_goes_on(server, kind):
    server.load(
        HOLD,
        f"const late = {KINDS[kind]};",
        "redis.register_function('f', (client, key) => late(client, key).then(value => { redis.log(`went on ${value}`); }), { timeout: 100 });"
        if kind != "async"
        else "redis.register_function('f', async (client, key) => { redis.log(`went on ${await late(client, key)}`); }, { timeout: 100 });",
    )
    assert "has not settled" in call_error(server, "f", "key")
    server.call("settle", "key", "value")
    server.wait_message("went on value")
    assert info(server)["errors"] == 1


def test_each_call_has_the_time_for_itself(server):
    load(server, "async", 300)
    late = [server.send_call("f", f"late{n}") for n in range(3)]
    kept = server.send_call("hold_async", "kept")
    wait_held(server, "late0", "late1", "late2", "kept")
    for sent in late:
        with pytest.raises(Exception, match="has not settled within 300 ms"):
            sent.reply()
    assert not kept.is_answered()
    server.call("settle", "kept", "value")
    assert kept.reply() == "value"


def test_a_function_that_gives_no_promise_is_not_touched(server):
    server.load("redis.register_function('f', () => { for (const end = Date.now() + 80; Date.now() < end;); return 1; }, { timeout: 1 });")
    assert server.call("f") == 1
    assert info(server)["errors"] == 0


def test_a_caller_that_left_is_not_missed(server):
    load(server, "async", 400)
    sent = server.send_call("f", "key")
    wait_held(server, "key")
    sent.disconnect()
    server.wait(lambda: info(server)["running"] == 0, lambda: info(server))
    assert server.call("held") == ["key"]
