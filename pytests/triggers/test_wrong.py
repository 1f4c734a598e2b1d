"""Wrong calls of register_notifications_consumer, and triggers whose owner lacks a right: a clear error each."""

import re

import pytest
from redis import ResponseError

from testing.libraries import consumer, function, library
from testing.triggers import (
    FIRED,
    TRIGGERS,
    counted,
    each_kind,
    fired,
    load,
    run_all,
    shown,
    trigger,
    wait_fired,
    wait_idle,
    wait_shown,
)
from testing.users import PASSWORD, is_denied

OF = "register_notifications_consumer"
REGISTER = f"redis.{OF}"
COUNT = f"Wrong number of arguments to '{OF}' function"
FIRST = f"First argument to '{OF}' must be a string representing the consumer name"
SECOND = f"(?i:Second argument to '{OF}' must be a string or ArrayBuffer representing the prefix)"
THIRD = f"Third argument to '{OF}' must be a function"
FOURTH = f"Fourth argument to '{OF}' must be an object"
ON_FIRED = f"'on_trigger_fired' argument to '{OF}' must be a function"

STATEMENTS = {
    f"{REGISTER}()": COUNT,
    f"{REGISTER}('t', 'key')": COUNT,
    f"{REGISTER}('t', 'key', () => {{}}, {{}}, 1)": COUNT,
    f"{REGISTER}(1, 'key', () => {{}})": FIRST,
    f"{REGISTER}(null, 'key', () => {{}})": FIRST,
    f"{REGISTER}(undefined, 'key', () => {{}})": FIRST,
    f"{REGISTER}(Symbol('t'), 'key', () => {{}})": FIRST,
    f"{REGISTER}(new String('t'), 'key', () => {{}})": FIRST,
    f"{REGISTER}({{ toString() {{ throw 1; }} }}, 'key', () => {{}})": FIRST,
    f"{REGISTER}('t'.repeat(1001), 'key', () => {{}})": f"First argument to '{OF}' must be at most 1000 characters",
    f"{REGISTER}('t', 1, () => {{}})": SECOND,
    f"{REGISTER}('t', undefined, () => {{}})": SECOND,
    f"{REGISTER}('t', null, () => {{}})": SECOND,
    f"{REGISTER}('t', /k/, () => {{}})": SECOND,
    f"{REGISTER}('t', ['key'], () => {{}})": SECOND,
    f"{REGISTER}('t', {{}}, () => {{}})": SECOND,
    f"{REGISTER}('t', 'k'.repeat(65537), () => {{}})": f"Second argument to '{OF}' must be at most 65536 bytes long",
    f"{REGISTER}('t', 'ü'.repeat(32769), () => {{}})": f"Second argument to '{OF}' must be at most 65536 bytes long",
    f"{REGISTER}('t', 'key', 'callback')": THIRD,
    f"{REGISTER}('t', 'key', null)": THIRD,
    f"{REGISTER}('t', 'key', {{}})": THIRD,
    f"{REGISTER}('t', 'key', Promise.resolve())": THIRD,
    f"{REGISTER}('t', 'key', function* () {{}})": f"{THIRD}, not a generator function",
    f"{REGISTER}('t', 'key', async function* () {{}})": f"{THIRD}, not a generator function",
    f"{REGISTER}('t', 'key', () => {{}}, 1)": FOURTH,
    f"{REGISTER}('t', 'key', () => {{}}, null)": FOURTH,
    f"{REGISTER}('t', 'key', () => {{}}, 'exact')": FOURTH,
    f"{REGISTER}('t', 'key', () => {{}}, [])": FOURTH,
    f"{REGISTER}('t', 'key', () => {{}}, () => {{}})": FOURTH,
    f"{REGISTER}('t', 'key', () => {{}}, new Proxy({{}}, {{}}))": FOURTH,
    f"for (const p of ['a', 'b']) {REGISTER}('t', p, () => {{}})": "Notification consumer already exists",
}

# What is given, with the name of the option and what it must be.
OPTIONS = {
    "event_types: 'set'": ("event_types", "an array"),
    "event_types: []": ("event_types", "an array"),
    "event_types: {}": ("event_types", "an array"),
    "event_types: null": ("event_types", "an array"),
    "event_types: new Set(['set'])": ("event_types", "an array"),
    "event_types: ['set', 1]": ("event_types", "an array"),
    "event_types: [, 'set']": ("event_types", "an array"),
    "event_types: [new String('set')]": ("event_types", "an array"),
    "event_types: Array(1001).fill('set')": ("event_types", "an array"),
    "key_types: 'hash'": ("key_types", "an array"),
    "key_types: []": ("key_types", "an array"),
    "key_types: [null]": ("key_types", "an array"),
    "key_types: ['hash', 'json']": ("key_types", "an array"),
    "key_types: ['none']": ("key_types", "an array"),
    "exact: 1": ("exact", "a boolean"),
    "exact: 'true'": ("exact", "a boolean"),
    "exact: null": ("exact", "a boolean"),
    "read_value: 0": ("read_value", "a boolean"),
    "timeout: 0": ("timeout", "a whole number between 1 and 86400000, in milliseconds"),
    "timeout: 86400001": ("timeout", "a whole number between 1 and 86400000, in milliseconds"),
    "timeout: '5'": ("timeout", "a whole number between 1 and 86400000, in milliseconds"),
    "timeout: 1.5": ("timeout", "a whole number between 1 and 86400000, in milliseconds"),
    "read_value: new Boolean(true)": ("read_value", "a boolean"),
    "on_registered: 'f'": ("on_registered", "a function"),
    "on_registered: null": ("on_registered", "a function"),
    "on_registered: function* () {}": ("on_registered", "a function"),
    "description: 1": ("description", "a string"),
    "description: null": ("description", "a string"),
    "description: 'd'.repeat(1001)": ("description", "a string of at most 1000 characters"),
}
UNKNOWN = [
    "event_type",
    "Exact",
    "onTriggerFired",
    "on_trigger_Fired",
    "batch",
    "on_failure",
    "window",
    "constructor",
    "",
]
ON_FIRED_WRONG = ["'f'", "null", "{}", "1", "async () => {}", "function* () {}", "async function* () {}"]

for given, (name, what) in OPTIONS.items():
    STATEMENTS[f"{REGISTER}('t', 'key', () => {{}}, {{ {given} }})"] = f"Option '{name}' of '{OF}' must be {what}"
for name in UNKNOWN:
    STATEMENTS[f"{REGISTER}('t', 'key', () => {{}}, {{ '{name}': true }})"] = f"Unknown option '{name}' of '{OF}'"
for given in ON_FIRED_WRONG:
    STATEMENTS[f"{REGISTER}('t', 'key', () => {{}}, {{ on_trigger_fired: {given} }})"] = ON_FIRED
STATEMENTS[f"{REGISTER}('t', 'key', () => {{}}, {{ get exact() {{ throw new Error('by me'); }} }})"] = (
    "cannot be read|by me"
)
STATEMENTS["redis.register_stream_consumer('c', 's', 1, false, () => {}, { on_registered: 1 })"] = (
    "Option 'on_registered' of 'register_stream_consumer' must be a function"
)
STATEMENTS["redis.register_stream_consumer('c', 's', 1, false, () => {}, { description: 1 })"] = (
    "Option 'description' of 'register_stream_consumer' must be a string"
)


@pytest.fixture
def standing(server):
    """A server with a library, which must be there and work after the wrong call."""
    load(server, trigger(), name="standing")
    server.run("SET", "key:before", "v")
    before = server.run("RG.FUNCTION", "LIST", "vv", "WITHCODE")
    yield server
    assert server.run("RG.FUNCTION", "LIST", "vv", "WITHCODE") == before
    server.run("SET", "key:after", "v")
    assert fired(server) == ["set key:before", "set key:after"]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_wrong_call_in_a_library_is_refused(standing, statement):
    with pytest.raises(ResponseError, match=STATEMENTS[statement]):
        load(standing, trigger("good"), statement + ";")


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_wrong_call_in_a_library_can_be_caught(server, statement):
    caught = f"try {{ {statement}; redis.log('caught nothing'); }} catch (error) {{ redis.log('caught ' + error); }}"
    load(server, trigger("good"), caught)
    [text] = server.messages("caught ")
    assert re.search(STATEMENTS[statement], text)
    assert text.startswith(("TypeError: ", "Error: "))
    server.run("SET", "key", "v")
    assert fired(server) == ["set key"]


def test_an_error_of_an_argument_is_a_type_error(server):
    load(
        server,
        trigger(),
        f"try {{ {REGISTER}(1, 2, 3); }} catch (error) {{ redis.log('is ' + (error instanceof TypeError)); }}",
    )
    assert server.messages("is ") == ["true"]


RIGHT = [
    "{}",
    "undefined",
    "{ exact: undefined, event_types: undefined, on_trigger_fired: undefined, nosuch: undefined }",
    "Object.create({ nosuch: 1 })",
    "Object.assign(Object.create(null), { exact: false })",
    "{ event_types: Array(1000).fill('set'), key_types: ['string', 'string'] }",
    "{ event_types: [''] }",
    "{ description: 'd'.repeat(1000), on_registered: async () => {}, read_value: true }",
    "{ on_trigger_fired: () => {}, on_registered() {} }",
]


@pytest.mark.parametrize("options", RIGHT)
def test_what_is_right_is_taken(server, options):
    assert load(server, f"{REGISTER}('n'.repeat(1000), 'k'.repeat(65536), () => {{}}, {options});") == "OK"


def test_a_library_may_have_only_a_trigger(server):
    assert server.run("RG.FUNCTION", "LOAD", f"#!js name=lib\n{REGISTER}('t', '', () => {{}});") == "OK"


def test_names_of_triggers_consumers_and_functions_do_not_meet(server):
    assert load(server, trigger("same"), consumer("same"), function("same")) == "OK"
    assert load(server, trigger("same"), name="second") == "OK"


def test_a_library_has_at_most_so_many(server):
    many = f"for (let n = 0; n < 1000; n++) {REGISTER}('t' + n, 'key' + n, () => {{}});"
    with pytest.raises(ResponseError, match="A library can register at most 1000 notification consumers"):
        load(server, many, f"{REGISTER}('one more', 'key', () => {{}});")
    assert load(server, many) == "OK"


@pytest.mark.parametrize(
    "where", ["trigger", "async trigger", "on_trigger_fired", "on_registered", "function", "consumer"]
)
def test_registering_outside_of_the_load_is_refused(server, where):
    late = f"try {{ {REGISTER}('late', 'x', () => {{}}); }} catch (error) {{ redis.log('late ' + error.message); }}"
    load(
        server,
        trigger(callback=f"() => {{ {late} }}") if where == "trigger" else "",
        trigger(callback=f"async () => {{ {late} }}") if where == "async trigger" else "",
        trigger(options=f"{{ on_trigger_fired() {{ {late} }} }}") if where == "on_trigger_fired" else "",
        trigger(options=f"{{ on_registered() {{ {late} }} }}") if where == "on_registered" else "",
        function("f", f"() => {{ {late} }}"),
        consumer(callback=f"() => {{ {late} }}"),
    )
    match where:
        case "function":
            server.call("f")
        case "consumer":
            server.add("stream", 1)
        case _:
            server.run("SET", "key", "v")
    server.wait_message("late ")
    assert server.messages("late ") == [f"Called '{OF}' out of context"]


def test_what_is_done_to_the_options_behind_the_call_changes_nothing(server):
    code = f"""
    const types = ['set'];
    const options = {{ event_types: types, key_types: ['string'] }};
    {REGISTER}('trigger', 'key', (client, data) => fired(data), options);
    types.push('del'); options.event_types = null; options.exact = true;
    """
    load(server, code)
    run_all(server, ["SET key:1 v", "DEL key:1"])
    assert fired(server) == ["set key:1"]


# --- the owner ------------------------------------------------------------------------------------------------------


@pytest.fixture
def owner(server):
    """Loads libraries as a user with rights that are given; ``owner.rules`` changes them."""
    clients = []

    class Owner:
        def rules(self, *rules):
            server.run("ACL", "SETUSER", "owner", "reset", "on", f">{PASSWORD}", "+rg.function", *rules)

        def load(self, *statements, upgrade=False):
            clients.append(server.connect(username="owner", password=PASSWORD))
            words = ["UPGRADE", "OWNER", "owner"] if upgrade else []
            clients[-1].execute_command("RG.FUNCTION", "LOAD", *words, library(TRIGGERS, *statements))

    yield Owner()
    server.run("ACL", "DELUSER", "owner")
    for client in clients:
        client.close()


LACKS_KEY = "User 'owner' has no permissions on key '%s', User does not have permissions on key."
NO_USER = "User 'owner' has no permissions on key '%s', User does not exists or disabled."


@each_kind
def test_a_key_that_the_owner_may_not_read_fires_a_failure(server, owner, kind):
    owner.rules("~key:mine:*")
    owner.load(trigger(callback=FIRED[kind], options={"read_value": True}))
    run_all(server, ["SET key:mine:1 v", "SET key:other v", "SET key:mine:2 v"])
    wait_fired(server, "set key:mine:1", "set key:mine:2")
    found = wait_idle(server)
    assert (found["num_triggered"], found["num_failed"], found["num_success"]) == (3, 1, 2)
    assert shown(server)["last_error"] == LACKS_KEY % "key:other"


def test_the_right_to_read_is_enough(server, owner):
    owner.rules("%R~key:read:*", "%W~key:write:*")
    owner.load(trigger(callback=FIRED["sync"], options={"read_value": True, "key_types": ["string"]}))
    run_all(server, ["SET key:read:1 v", "SET key:write:1 v"])
    assert fired(server) == ["set key:read:1"]
    assert shown(server)["last_error"] == LACKS_KEY % "key:write:1"


def test_what_the_owner_may_not_read_reaches_on_trigger_fired_neither(server, owner):
    owner.rules("~key:mine:*")
    owner.load(trigger(options="{ on_trigger_fired: (client, data) => redis.log('looked at ' + data.key) }"))
    run_all(server, ["SET key:other v", "SET key:mine:1 v"])
    assert server.messages("looked at ") == ["key:mine:1"]


@each_kind
def test_commands_of_a_callback_are_those_of_the_owner(server, owner, kind):
    body = "c.call('SET', 'other', 'v')"
    callback = f"c => {body}" if kind == "sync" else f"async client => client.block(c => {body})"
    owner.rules("~key*", "~mine*", "+get")
    owner.load(trigger(callback=callback))
    server.run("SET", "key", "v")
    wait_shown(server, num_failed=1)
    assert is_denied(shown(server)["last_error"])
    assert server.run("EXISTS", "other") == 0
    owner.rules("~key*", "~other", "+set")
    server.run("SET", "key", "v")
    wait_shown(server, num_success=1)
    assert server.run("GET", "other") == "v"


def test_on_trigger_fired_acts_as_the_owner(server, owner):
    owner.rules("~key*", "+get")
    look = "(client, data) => { data.found = client.call('GET', data.key.replace('key:', '')); }"
    options = f"{{ on_trigger_fired: {look} }}"
    owner.load(trigger(callback="(client, data) => redis.log('found ' + data.found)", options=options))
    run_all(server, ["SET key v", "SET key:other v"])
    assert server.messages("found ") == ["v"]
    assert counted(server)["num_failed"] == 1
    assert is_denied(shown(server)["last_error"])


def test_on_registered_acts_as_the_owner(server, owner):
    owner.rules("~mine", "+incr")
    body = "try { client.call('INCR', 'other'); } catch (error) { client.call('INCR', 'mine'); }"
    owner.load(trigger(options=f"{{ on_registered: client => {{ {body} }} }}"))
    server.wait(lambda: server.run("GET", "mine") == "1", "it is not called")
    assert server.run("EXISTS", "other") == 0


@pytest.mark.parametrize("how", ["off", "deleted"])
@each_kind
def test_without_its_owner_a_trigger_fails_until_there_is_one(server, owner, kind, how):
    owner.rules("~*")
    owner.load(trigger(callback=FIRED[kind]))
    server.run(*(["ACL", "DELUSER", "owner"] if how == "deleted" else ["ACL", "SETUSER", "owner", "off"]))
    server.run("SET", "key:1", "v")
    wait_shown(server, num_failed=1)
    assert shown(server)["last_error"] == NO_USER % "key:1"
    owner.rules("~*")
    server.run("SET", "key:2", "v")
    wait_fired(server, "set key:2")


def test_a_caller_needs_no_right_for_what_a_trigger_does(server):
    load(server, trigger(callback="client => client.call('INCR', 'count')"))
    server.run("ACL", "SETUSER", "writer", "reset", "on", f">{PASSWORD}", "+set", "~key")
    try:
        server.connect(username="writer", password=PASSWORD).set("key", "v")
    finally:
        server.run("ACL", "DELUSER", "writer")
    assert server.run("GET", "count") == "1"


def test_an_upgrade_may_make_who_sends_it_the_owner(server, owner):
    load(server, trigger())
    owner.rules("~key:mine")
    owner.load(trigger(), upgrade=True)
    run_all(server, ["SET key:mine v", "SET key:other v"])
    assert fired(server) == ["set key:mine"]
    assert shown(server)["last_error"] == LACKS_KEY % "key:other"
