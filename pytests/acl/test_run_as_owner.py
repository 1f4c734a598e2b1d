"""Functions that act as their library's owner: what their callers gain by that, and what nobody does."""

import re

import pytest
from redis import ResponseError

from testing.functions import BUSY, blocked_clients, described, in_transaction, wait_blocked
from testing.launch import REPOSITORY
from testing.libraries import library
from testing.replies import fields
from testing.rights import STEPS, WAYS, call, came_of, go, outcome, waits
from testing.users import PASSWORD, is_denied, text_of

AS_OWNER = "{ run_as: 'owner' }"
FUNCTIONS = [f"redis.register_function('{name}', {code}, {AS_OWNER});" for name, code in WAYS.items()]
OWN = [f"redis.register_function('own {name}', {code});" for name, code in WAYS.items()]
STEPS_AS_OWNER = STEPS.replace("'later', run_later)", f"'later', run_later, {AS_OWNER})").replace(
    "return 'begun';\n});", f"return 'begun';\n}}, {AS_OWNER});"
)
NO_OWNER = "NOPERM the function acts as the library's owner 'owner', who does not exist, or is disabled"
each_way = pytest.mark.parametrize("way", WAYS)


def load(server, *statements, owner="owner", options=()):
    """Loads a library of that owner."""
    server.run("RG.FUNCTION", "LOAD", "UPGRADE", *options, "OWNER", owner, library(*statements))


@pytest.fixture
def caller(people):
    """Somebody who may call functions, and no command on a key; the owner may read and write ``mine:``."""
    people.set("owner", "+set", "+get", "+publish", "~mine:*", "resetchannels", "&mine:*")
    return people.make("caller", "+client|id")


def error_of(client, function, *words, keys=()):
    with pytest.raises(ResponseError) as caught:
        call(client, function, *words, keys=keys)
    return text_of(caught.value)


# --- what it gives --------------------------------------------------------------------------------------------------


@each_way
def test_a_caller_without_rights_has_those_of_the_owner_in_the_function_alone(server, caller, way):
    load(server, *FUNCTIONS, *OWN)
    assert outcome(lambda: call(caller, way, "SET", "mine:1", "2")) == "ok"
    assert server.run("GET", "mine:1") == "2"
    for words in (["SET", "mine:1", "3"], ["GET", "mine:1"]):
        assert outcome(lambda words=words: caller.execute_command(*words)) == "denied"
        assert outcome(lambda words=words: call(caller, f"own {way}", *words)) == "denied"
    assert server.run("GET", "mine:1") == "2"


@each_way
def test_what_the_owner_may_not_nobody_may_through_it(server, people, caller, way):
    load(server, *FUNCTIONS)
    root = people.make("root", "+@all", "~*", "&*")
    refused = {
        "SET other:1 2": "set' on the key 'other:1'",
        "GET other:1": "get' on the key 'other:1'",
        "APPEND mine:1 2": "append'",
        "PUBLISH other:1 x": "publish' on the channel",
    }
    for client in (caller, root):
        for command, what in refused.items():
            assert error_of(client, way, *command.split()) == f"NOPERM User 'owner' has no permissions to run '{what}"
    assert server.run("MGET", "mine:1", "other:1") == ["1", "1"]


def test_run_as_caller_is_what_is_so_without_it(server, caller):
    load(server, "redis.register_function('f', (client, ...words) => client.call(...words), { run_as: 'caller' });")
    assert outcome(lambda: call(caller, "f", "SET", "mine:1", "2")) == "denied"


def test_calling_still_needs_the_right_to_call(server, people, caller):
    load(server, *FUNCTIONS)
    people.change("caller", "-rg.fcall")
    assert outcome(lambda: call(caller, "sync", "GET", "mine:1")) == "denied"


def test_keys_that_are_named_are_the_callers_and_arguments_are_not(server, people, caller):
    load(server, f"redis.register_function('f', (client, key) => client.call('GET', key), {AS_OWNER});")
    assert outcome(lambda: call(caller, "f", keys=["mine:1"])) == "denied"
    assert call(caller, "f", "mine:1") == "1"
    people.change("caller", "~mine:*")
    assert call(caller, "f", keys=["mine:1"]) == "1"


def test_it_works_in_the_callers_database(server, people, caller):
    load(server, *FUNCTIONS)
    people.change("caller", "+select")
    caller.execute_command("SELECT", 3)
    for way in WAYS:
        call(caller, way, "SET", f"mine:{way}", way)
    other = server.connect(db=3)
    assert [other.get(f"mine:{way}") for way in WAYS] == list(WAYS)
    assert server.run("EXISTS", *(f"mine:{way}" for way in WAYS)) == 0


def test_it_works_in_a_transaction_beside_the_callers_own_commands(server, people, caller):
    load(server, *FUNCTIONS)
    people.change("caller", "+multi", "+exec", "+get", "~own")
    pipe = caller.pipeline(transaction=True)
    theirs = ["RG.FCALL", "lib", "sync", 0, "GET", "mine:1"]
    for command in (theirs, ["GET", "own"], theirs):
        pipe.execute_command(*command)
    assert pipe.execute() == ["1", None, "1"]
    assert outcome(lambda: caller.execute_command("GET", "mine:1")) == "denied"


@pytest.mark.parametrize("function", ["f", "g"])
def test_whether_the_client_can_wait_is_told_as_ever(server, function):
    for name, options in (("f", AS_OWNER), ("g", "{}")):
        server.run("RG.FUNCTION", "LOAD", library(f"redis.register_function('{name}', client => client.allow_block(), {options});", name=name))
    call_it = ["RG.FCALL", function, function, 0]
    assert server.run(*call_it) == 1
    assert in_transaction(server, call_it) == [0]


def test_flags_hold_beside_it(server, caller):
    load(server, "redis.register_function('f', (client, ...words) => client.call(...words), { flags: ['no-writes'], run_as: 'owner' });")
    assert call(caller, "f", "GET", "mine:1") == "1"
    assert outcome(lambda: call(caller, "f", "SET", "mine:1", "2")) != "ok"
    assert server.run("GET", "mine:1") == "1"


# --- users that change ----------------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize("is_off", [True, False])
def test_without_its_owner_it_is_refused_and_says_why(server, people, caller, way, is_off):
    load(server, *FUNCTIONS)
    if is_off:
        people.change("owner", "off")
    else:
        people.delete("owner")
    assert error_of(caller, way, "SET", "mine:1", "2") == NO_OWNER
    assert error_of(server.client, way, "SET", "mine:1", "2") == NO_OWNER
    assert server.run("GET", "mine:1") == "1"
    people.set("owner", "+set", "~mine:*")
    assert outcome(lambda: call(caller, way, "SET", "mine:1", "2")) == "ok"


@pytest.mark.parametrize("start", ["later", "begin"])
def test_what_waits_behind_an_await_has_the_rights_that_the_owner_has_then(server, people, caller, start):
    load(server, STEPS_AS_OWNER)
    sent = server.send_call(start, "name", "SET", "mine:1", "late", username="caller", password=PASSWORD)
    waits(server, "name")
    people.change("owner", "-set")
    go(server, "name")
    assert is_denied(came_of(server, "name"))
    sent.disconnect()
    assert server.run("GET", "mine:1") == "1"


def test_a_continuation_that_another_settles_keeps_the_owners_rights_and_the_other_its_own(server, caller):
    load(server, STEPS_AS_OWNER, "redis.register_function('mine', (client, ...words) => client.call(...words));")
    assert call(caller, "begin", "name", "SET", "mine:1", "late") == "begun"
    waits(server, "name")
    assert call(caller, "go", "name") == 1
    assert came_of(server, "name") == "done"
    assert server.run("GET", "mine:1") == "late"
    assert outcome(lambda: call(caller, "mine", "SET", "mine:1", "2")) == "denied"


def test_an_upgrade_that_changes_the_owner_changes_whom_it_acts_as(server, people, caller):
    load(server, *FUNCTIONS)
    people.set("other", "+set", "~other:*")
    load(server, *FUNCTIONS, owner="other")
    assert outcome(lambda: call(caller, "sync", "SET", "other:1", "2")) == "ok"
    assert outcome(lambda: call(caller, "sync", "SET", "mine:1", "2")) == "denied"
    server.upgrade(*FUNCTIONS)
    assert outcome(lambda: call(caller, "sync", "SET", "other:1", "3")) == "ok"
    assert server.run("MGET", "mine:1", "other:1") == ["1", "3"]


def test_an_upgrade_can_take_it_back(server, caller):
    load(server, *FUNCTIONS)
    assert outcome(lambda: call(caller, "sync", "GET", "mine:1")) == "ok"
    load(server, *[f"redis.register_function('{name}', {code});" for name, code in WAYS.items()])
    assert outcome(lambda: call(caller, "sync", "GET", "mine:1")) == "denied"


@pytest.mark.parametrize("loses", [False, True])
def test_a_call_that_waits_for_a_busy_library_is_its_callers_and_acts_as_the_owner(server, people, caller, loses):
    load(server, *FUNCTIONS, BUSY)
    busy = server.send_call("busy", 4000)
    server.wait_message("spinning")
    waiting = server.send_call("sync", "SET", "mine:1", "2", username="caller", password=PASSWORD)
    wait_blocked(server, 2)
    if loses:
        people.change("caller", "-rg.fcall")
    assert blocked_clients(server) == 2
    busy.reply()
    if loses:
        with pytest.raises(ResponseError) as caught:
            waiting.reply()
        assert is_denied(text_of(caught.value))
    else:
        assert waiting.reply() == "OK"
    assert server.run("GET", "mine:1") == ("1" if loses else "2")


def test_a_call_that_waits_while_the_owner_goes_is_refused(server, people, caller):
    load(server, *FUNCTIONS, BUSY)
    busy = server.send_call("busy", 4000)
    server.wait_message("spinning")
    waiting = server.send_call("sync", "SET", "mine:1", "2", username="caller", password=PASSWORD)
    wait_blocked(server, 2)
    people.delete("owner")
    assert blocked_clients(server) == 2
    busy.reply()
    with pytest.raises(ResponseError) as caught:
        waiting.reply()
    assert text_of(caught.value) == NO_OWNER


# --- what a script could try ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "ACL SETUSER caller +@all",
        "AUTH owner pw",
        "RG.FCALL lib sync 0 GET mine:1",
        "RG.FUNCTION DEL lib",
        "EVAL x 0",
        "CONFIG SET maxmemory 1",
    ],
)
@each_way
def test_a_function_of_a_powerful_owner_changes_no_rights_and_calls_no_function(server, people, caller, way, command):
    people.set("owner", "+@all", "~*", "&*")
    load(server, *FUNCTIONS)
    with pytest.raises(ResponseError):
        call(caller, way, *command.split())
    assert outcome(lambda: caller.execute_command("GET", "mine:1")) == "denied"
    assert server.libraries() == ["lib"]


def test_the_client_it_was_given_is_of_no_use_in_a_function_of_the_caller(server, caller):
    load(
        server,
        f"""
        let kept;
        redis.register_function('keep', client => {{ kept = client; }}, {AS_OWNER});
        redis.register_function('use', (client, ...words) => kept.call(...words));
        """,
    )
    call(caller, "keep")
    with pytest.raises(ResponseError, match="Used on invalid client"):
        call(caller, "use", "GET", "mine:1")


def test_code_that_it_shares_with_a_function_of_the_caller_acts_as_each_says(server, caller):
    load(
        server,
        f"""
        const read = (client, key) => client.call('GET', key);
        redis.register_function('theirs', read, {AS_OWNER});
        redis.register_function('mine', read);
        """,
    )
    assert outcome(lambda: call(caller, "theirs", "mine:1")) == "ok"
    assert outcome(lambda: call(caller, "mine", "mine:1")) == "denied"


def test_who_may_not_own_it_cannot_have_code_of_his_run_as_the_owner(server, people, caller):
    load(server, *FUNCTIONS)
    deployer = people.make("deployer", "+rg.function|load")
    code = library(f"redis.register_function('steal', client => client.call('GET', 'mine:1'), {AS_OWNER});")
    for options in (["UPGRADE"], ["UPGRADE", "OWNER", "owner"]):
        assert outcome(lambda options=options: deployer.execute_command("RG.FUNCTION", "LOAD", *options, code)) == "denied"
    deployer.execute_command("RG.FUNCTION", "LOAD", "UPGRADE", "OWNER", "deployer", code)
    assert outcome(lambda: call(caller, "steal")) == "denied"


# --- what is shown --------------------------------------------------------------------------------------------------


def test_it_is_shown_and_counts_as_a_change(server, people, caller):
    plain = "redis.register_function('f', () => 1{});"
    load(server, plain.format(""))
    assert described(server, "vv")["functions"] == [["name", "f", "flags", []]]
    assert fields(server.run("RG.FUNCTION", "INFO", "lib", "f"))["run_as"] == "caller"
    given = plain.format(", { run_as: 'owner', timeout: 300 }")
    report = fields(server.run("RG.FUNCTION", "LOAD", "UPGRADE", "CHECK", library(given)))
    assert fields(report["functions"])["changed"] == ["f"]
    load(server, given)
    assert described(server, "v")["functions"] == [["name", "f", "flags", []]]
    assert described(server, "vv")["functions"] == [["name", "f", "flags", [], "run_as", "owner", "timeout", 300]]
    shown = fields(server.run("RG.FUNCTION", "INFO", "lib", "f"))
    assert (shown["run_as"], shown["timeout"]) == ("owner", 300)


WARNING = "the function 'f' acts as the owner 'owner', whoever calls it"


def warnings(server, code, *words):
    return fields(server.run("RG.FUNCTION", "LOAD", *words, "OWNER", "owner", library(code)))["warnings"]


def test_a_load_warns_of_it_where_it_is_new_and_the_log_names_it(server, caller):
    plain, as_owner = (f"redis.register_function('f', () => 1, {{ run_as: '{name}' }});" for name in ("caller", "owner"))
    assert warnings(server, as_owner, "CHECK") == [WARNING]
    assert warnings(server, plain, "REPORT") == []
    assert warnings(server, as_owner, "UPGRADE", "CHECK") == [WARNING]
    assert warnings(server, as_owner, "UPGRADE", "REPORT") == [WARNING]
    assert warnings(server, as_owner + "//", "UPGRADE", "REPORT") == []
    assert warnings(server, plain, "UPGRADE", "REPORT") == []
    load(server, as_owner)
    server.run("RG.FUNCTION", "DEL", "lib")
    load(server, as_owner)
    told = [re.findall(r"functions as owner [^,]*", text) for text in server.audits()]
    as_told = [found[0].removeprefix("functions as owner ") for found in told if found]
    assert as_told == ["+'f'", "-'f'", "+'f'", "+'f'"]


# --- what the page says ---------------------------------------------------------------------------------------------


def test_the_rate_limiter_of_the_page_can_be_used_by_who_may_not_touch_its_keys(server, people):
    page = (REPOSITORY / "docs/permissions.md").read_text()
    [code] = re.findall(r"```js\n(#!js name=limits\n.*?)```", page, re.DOTALL)
    [rules] = re.findall(r"```\n(ACL SETUSER limiter .*?)```", page, re.DOTALL)
    for line in rules.strip().splitlines():
        server.run(*line.split())
    server.run("RG.FUNCTION", "LOAD", "OWNER", "limiter", code)
    anna = server.connect(username="anna", password="secret")
    people.connections.append(anna)
    assert [call(anna, "allow", "login:7", library="limits") for _ in range(6)] == [1] * 5 + [0]
    assert call(anna, "allow", "login:8", library="limits") == 1
    assert outcome(lambda: anna.execute_command("DEL", "limit:login:7")) == "denied"
    assert outcome(lambda: anna.execute_command("GET", "limit:login:7")) == "denied"
    assert server.run("GET", "limit:login:7") == "6"
    assert 0 < server.run("TTL", "limit:login:7") <= 60
