"""What a script is denied names user, command and key, on every server."""

import pytest
from redis.exceptions import ResponseError

from testing.libraries import consumer, function
from testing.users import text_of

CALL = "(client, ...words) => client.call(...words)"
WAYS = {
    "sync": (CALL, "RG.FCALL"),
    "async": ("async (client, ...words) => client.block(inside => inside.call(...words))", "RG.FCALLASYNC"),
    "background": (
        "(client, ...words) => client.run_on_background(async b => b.block(inside => inside.call(...words)))",
        "RG.FCALL",
    ),
}
RULES = ["+rg.fcallasync", "+get", "+mget", "+set", "+copy", "+publish", "~mine*", "%R~read*", "%W~write*"]
NO = "NOPERM User 'anna' has no permissions to run"
DENIED = {
    "GET other": f"{NO} 'get' on the key 'other'",
    "Set other 1": f"{NO} 'set' on the key 'other'",
    "MGET mine other another": f"{NO} 'mget' on the key 'other'",
    "SET read 1": f"{NO} 'set' on the key 'read'",
    "GET write": f"{NO} 'get' on the key 'write'",
    "COPY mine other": f"{NO} 'copy' on the key 'other'",
    "LPUSH mine 1": f"{NO} 'lpush'",
    "PUBLISH news 1": f"{NO} 'publish' on the channel",
}


def error_of(run, *words):
    with pytest.raises(ResponseError) as caught:
        run(*words)
    return text_of(caught.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", DENIED)
def test_a_denial_names_user_command_and_key(server, people, command, way):
    code, calls = WAYS[way]
    server.load(function("f", code))
    user = people.make("anna", *RULES, "resetchannels")
    assert error_of(user.execute_command, calls, "lib", "f", 0, *command.split()) == DENIED[command]


def test_a_key_may_hold_anything(server, people):
    server.load(function("f", "client => client.call('GET', new Uint8Array([0xff, 0x0d, 0x0a, 0x27]).buffer)"))
    user = people.make("anna", *RULES)
    assert error_of(user.execute_command, "RG.FCALL", "lib", "f", 0) == f"{NO} 'get' on the key '\ufffd  ''"


def test_a_consumer_keeps_it_as_its_last_error(server, people):
    user = people.make("anna", *RULES, "+rg.function", "+xread", "%R~stream*", "~stream*")
    code = "#!js name=lib\n" + consumer(callback="client => { client.call('GET', 'other'); }")
    user.execute_command("RG.FUNCTION", "LOAD", code)
    server.add("stream", 1)
    server.wait_stream(last_error=f"{NO} 'get' on the key 'other'")


def test_an_error_that_only_looks_like_one_stays_as_it_is(server):
    server.load(function("f", "() => { throw 'NOPERM No permissions to access a key'; }"))
    assert error_of(server.call, "f") == "NOPERM No permissions to access a key"
