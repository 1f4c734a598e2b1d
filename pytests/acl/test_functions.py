"""A function has the rights of whoever calls it, and never more."""

import re

import pytest
from redis import ResponseError

from testing.replies import fields
from testing.rights import COMPARED, COMPARED_RULES, FUNCTIONS, NOT_FOR_SCRIPTS, RIGHTS, STEPS, WAYS, call, came_of, code_of, direct_code, fill, go, outcome
from testing.users import is_denied, text_of

# The error as the script sees it, with its code.
TRY = """
redis.register_function('try', (client, ...words) => {
    try { client.call_raw(...words); return 'ok'; } catch (error) { return String(error); }
});
redis.register_function('try async', async (client, ...words) => {
    try { client.block(inside => inside.call_raw(...words)); return 'ok'; } catch (error) { return String(error); }
});
"""


# --- functions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rights", RIGHTS)
def test_a_function_may_what_its_caller_may(server, people, rights, way):
    rules, commands = RIGHTS[rights]
    server.load(*FUNCTIONS)
    user = people.make("user", *rules)
    for command, expected in commands.items():
        words = command.split()
        assert outcome(lambda words=words: user.execute_command(*words)) == expected, command
        assert outcome(lambda words=words: call(user, way, *words)) == expected, command
        # Whoever may more gets more from the same library.
        assert outcome(lambda words=words: call(server.client, way, *words)) == "ok", command


def test_a_refused_command_does_nothing_and_the_script_can_go_on(server, people):
    server.load(
        """
        redis.register_function('both', client => {
            try { client.call('SET', 'other:1', 'changed'); } catch (error) { return 'caught ' + error; }
        });
        redis.register_function('after', client => { client.call('SET', 'mine:1', 'new'); client.call('GET', 'other:1'); });
        """
    )
    user = people.make("user", "+@all", "~mine:*")
    assert re.match("caught .*", call(user, "both"))
    assert server.run("GET", "other:1") == "1"
    with pytest.raises(ResponseError):
        call(user, "after")
    assert server.run("GET", "mine:1") == "new"


@pytest.mark.parametrize("function", ["try", "try async"])
@pytest.mark.parametrize("rules", COMPARED_RULES)
def test_what_a_connection_of_the_user_refuses_a_function_refuses_as_well(server, people, rules, function):
    server.load(TRY)
    user = people.make("user", *COMPARED_RULES[rules])
    differences = []
    for line in COMPARED.strip().splitlines():
        for command in line.split("|"):
            words = command.split()
            fill(server)
            through = call(user, function, *words)
            if NOT_FOR_SCRIPTS.search(through):
                # For nobody's script, so nothing is gained by it.
                continue
            through = "ok" if through == "ok" else code_of(through)
            fill(server)
            direct = direct_code(user, words)
            if direct != through:
                differences.append((command, direct, through))
    assert differences == []


@pytest.mark.parametrize("way", WAYS)
def test_rights_count_that_the_caller_has_at_the_moment(server, people, way):
    server.load(*FUNCTIONS)
    user = people.make("user", "+set", "~mine:*")
    assert outcome(lambda: call(user, way, "SET", "mine:1", "2")) == "ok"
    people.change("user", "-set")
    assert outcome(lambda: call(user, way, "SET", "mine:1", "3")) == "denied"
    people.change("user", "+set", "resetkeys", "~other:*")
    assert outcome(lambda: call(user, way, "SET", "mine:1", "4")) == "denied"
    assert outcome(lambda: call(user, way, "SET", "other:1", "4")) == "ok"
    people.change("user", "~mine:*")
    assert outcome(lambda: call(user, way, "SET", "mine:1", "5")) == "ok"
    assert server.run("GET", "mine:1") == "5"


def test_rights_count_that_the_caller_has_when_the_transaction_is_executed(server, people):
    server.load(*FUNCTIONS)
    user = people.make("user", "+set", "+multi", "+exec", "~mine:*")
    user.execute_command("MULTI")
    call(user, "sync", "SET", "mine:1", "2")
    people.change("user", "-set")
    [result] = user.execute_command("EXEC")
    assert isinstance(result, ResponseError)
    assert is_denied(text_of(result))
    assert server.run("GET", "mine:1") == "1"


def test_two_callers_at_once_have_each_their_own_rights(server, people):
    server.load(STEPS)
    people.make("a", "+set", "~mine:*")
    people.make("b", "+set", "~other:*")
    a, b = people.connect("a"), people.connect("b")
    for client, name in ((a, "a"), (b, "b")):
        call(client, "begin", name, "SET", "mine:1", name)
        call(client, "begin", name + name, "SET", "other:1", name)
    for name in ("a", "b", "aa", "bb"):
        go(server, name)
    assert [came_of(server, name) for name in ("a", "bb")] == ["done", "done"]
    assert [is_denied(came_of(server, name)) for name in ("b", "aa")] == [True, True]
    assert server.run("MGET", "mine:1", "other:1") == ["a", "b"]


# --- RG.FCALL itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["RG.FCALL", "RG.FCALLASYNC"])
def test_calling_needs_the_right_to_the_command(server, people, command):
    server.load(*FUNCTIONS)
    user = people.make("user", "+@all", f"-{command.lower()}", "~*")
    assert outcome(lambda: user.execute_command(command, "lib", "sync", 0, "PING")) == "denied"
    people.change("user", "-@all", f"+{command.lower()}", "+ping")
    assert outcome(lambda: user.execute_command(command, "lib", "sync", 0, "PING")) == "ok"


@pytest.mark.parametrize("command", ["RG.FCALL", "RG.FCALLASYNC"])
@pytest.mark.parametrize("keys", ["mine:1", "other:1", "ro:1", "wo:1", "mine:1 other:1", "mine:1 mine:2", ""])
def test_declared_keys_are_checked_as_those_of_fcall_are(server, people, command, keys):
    server.load("redis.register_function('nothing', () => 1);")
    code = "#!lua name=twin\nredis.register_function('nothing', function(keys) return 1 end)"
    server.run("FUNCTION", "LOAD", "REPLACE", code)
    user = people.make("user", "+fcall", "+rg.fcallasync", "~mine:*", "%R~ro:*", "%W~wo:*")
    keys = keys.split()
    expected = outcome(lambda: user.execute_command("FCALL", "nothing", len(keys), *keys))
    assert outcome(lambda: user.execute_command(command, "lib", "nothing", len(keys), *keys)) == expected
    assert expected == ("ok" if all(key.startswith("mine:") for key in keys) else "denied")


@pytest.mark.parametrize("subcommand", ["LOAD", "DEL", "LIST"])
def test_libraries_are_for_those_who_may_have_them(server, people, subcommand):
    server.load(*FUNCTIONS)
    arguments = {"LOAD": ["#!js name=x\nredis.register_function('f', () => 1);"], "DEL": ["lib"], "LIST": []}[subcommand]
    user = people.make("user", "+@all", f"-rg.function|{subcommand.lower()}", "~*")
    assert outcome(lambda: user.execute_command("RG.FUNCTION", subcommand, *arguments)) == "denied"
    assert server.libraries() == ["lib"]
    people.change("user", "-@all", f"+rg.function|{subcommand.lower()}")
    assert outcome(lambda: user.execute_command("RG.FUNCTION", subcommand, *arguments)) == "ok"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_refused_is_in_the_servers_acl_log(server, people, way):
    server.load(*FUNCTIONS)
    user = people.make("user", "+@all", "-incr", "~mine:*")
    assert outcome(lambda: call(user, way, "SET", "other:1", "2")) == "denied"
    assert outcome(lambda: call(user, way, "INCR", "mine:1")) == "denied"
    log = [{name: str(value) for name, value in fields(entry).items()} for entry in server.run("ACL", "LOG")]
    assert {(entry["reason"], entry["object"]) for entry in log} == {("key", "other:1"), ("command", "incr")}
    if way in ("sync", "raw"):
        # Of background parts the server does not say more than that it was not a connection.
        assert {entry["username"] for entry in log} == {"user"}
