"""Registrations of the KeysReader: each argument that the first RedisGears has, and what a step gets."""

import json
import re

import pytest

from testing.gears1 import MODES, execute, logged, registration, wait_among, wait_counts, wait_logged
from testing.libraries import function

NOTE = "foreach(x => log(`${x.event} ${x.key}`))"
IN_FULL = "foreach(x => log(JSON.stringify(x)))"


def register(node, arguments="", steps=NOTE, reader="'KeysReader'"):
    """Has a plan of these steps registered."""
    assert execute(node, f"GearsBuilder({reader}).{steps}.register({arguments})") == "OK"


# --- regex ----------------------------------------------------------------------------------------------------------

SPELLINGS = {"first": "'{}'", "regex": "{{ regex: '{}' }}", "prefix": "{{ prefix: '{}' }}", "both": "'{}', {{}}"}

each_spelling = pytest.mark.parametrize("spelling", SPELLINGS)


@each_spelling
def test_a_star_at_the_end_makes_a_prefix(server, spelling):
    register(server, SPELLINGS[spelling].format("a:*"))
    for key in ("b:1", "a", "A:1", "xa:1", "a:", "a:1", "a:*", "a:b:c"):
        server.run("SET", key, 1)
    wait_logged(server, "set a:", "set a:1", "set a:*", "set a:b:c")
    assert registration(server)["args"]["regex"] == "a:*"


@each_spelling
def test_without_a_star_it_is_the_name_of_one_key(server, spelling):
    register(server, SPELLINGS[spelling].format("a:1"))
    for key in ("a:10", "a:", "a", "a:1"):
        server.run("SET", key, 1)
    wait_logged(server, "set a:1")
    assert registration(server)["args"]["regex"] == "a:1"


def test_nothing_else_is_a_pattern(server):
    register(server, "'a?[b]*c*'")
    for key in ("axbc", "axbxc", "a?[b]", "a?[b]*", "a?[b]*cd"):
        server.run("SET", key, 1)
    wait_logged(server, "set a?[b]*cd")


@pytest.mark.parametrize("arguments", ["", "'*'", "null", "undefined", "{ regex: undefined }", "{ prefix: null }"])
def test_by_default_it_is_every_key(server, arguments):
    register(server, arguments)
    server.run("SET", "a", 1)
    server.run("SET", "", 1)
    wait_logged(server, "set a", "set ")
    assert registration(server)["args"]["regex"] == "*"


def test_register_does_not_ask_for_the_argument_of_the_builder(server):
    register(server, reader="'KeysReader', 'a:*'")
    server.run("SET", "b", 1)
    wait_logged(server, "set b")


# --- mode -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_in_each_mode_the_event_is_processed(server, mode):
    register(server, f"'a*', {{ mode: '{mode}' }}", "foreach(x => execute('HSET', 'seen', x.key, x.value))")
    server.run("SET", "a", "1")
    if mode != "sync":
        server.wait(lambda: server.run("EXISTS", "seen"), "it is not processed")
    assert server.run("HGETALL", "seen") == {"a": "1"}
    wait_counts(server, 1, 1, 0, 0)
    assert registration(server)["mode"] == mode


def test_by_default_the_mode_is_async(server):
    register(server)
    assert registration(server)["mode"] == "async"


def test_what_is_sync_is_done_before_the_reply(server):
    register(server, "'a*', { mode: 'sync' }", "foreach(x => execute('INCR', 'count'))")
    for number in range(1, 101):
        server.run("SET", "a", number)
        assert server.run("GET", "count") == str(number)


def test_a_sync_step_sees_the_value_of_its_event(server):
    register(server, "'a', { mode: 'sync' }", "foreach(x => log(x.value))")
    pipe = server.client.pipeline(transaction=True)
    for value in ("1", "2", "3"):
        pipe.execute_command("SET", "a", value)
    pipe.execute()
    wait_logged(server, "1", "2", "3")


@pytest.mark.parametrize("mode", ["async", "async_local"])
def test_for_what_is_async_nobody_waits(server, mode):
    hold = "foreach(async x => { log(`begin ${x.key}`); await new Promise(go => held.push(go)); log(`end ${x.key}`); })"
    let_go = "foreach(() => held.shift()())"
    arguments = f"{{ mode: '{mode}' }}"
    code = f"const held = []; GB().{hold}.register('a*', {arguments}); GB().{let_go}.register('go', {arguments})"
    assert execute(server, code) == "OK"
    assert server.run("SET", "a:1", 1)
    wait_logged(server, "begin a:1")
    wait_counts(server, 1, 0, 0, 0, name="gears:1")
    server.run("SET", "go", 1)
    wait_logged(server, "begin a:1", "end a:1")
    wait_counts(server, 1, 1, 0, 0, name="gears:1")


@pytest.mark.parametrize(
    "step", ["async () => 1", "() => new Promise(() => {})", "() => Promise.reject(new Error('x'))"]
)
def test_a_sync_step_cannot_wait(server, step):
    register(server, "'a', { mode: 'sync' }", f"foreach({step})")
    server.run("SET", "a", 1)
    wait_counts(server, 1, 0, 1, 0)
    assert "a step returned a promise, which mode 'sync' cannot wait for" in registration(server)["lastError"]


@pytest.mark.parametrize("mode", MODES)
def test_a_step_that_throws_is_a_failure_and_the_next_event_clears_it(server, mode):
    step = "foreach(x => { if (x.value === 'bad') throw new Error('no'); })"
    register(server, f"'a', {{ mode: '{mode}' }}", step)
    server.run("SET", "a", "bad")
    wait_counts(server, 1, 0, 1, 0)
    assert registration(server)["lastError"] == "Error: no"
    server.run("SET", "a", "good")
    wait_counts(server, 2, 1, 1, 0)
    assert registration(server)["lastError"] is None


@pytest.mark.parametrize("mode", MODES)
def test_what_scripts_write_fires_no_registration_of_keys_and_does_fire_those_of_streams(server, mode):
    chain = """
        GB().foreach(x => { execute('SET', 'again', 1); execute('XADD', 's', '*', 'a', '1'); }).register('a*', MODE);
        GB('StreamReader').foreach(x => log(`entry ${x.a}`)).register('s');
    """.replace("MODE", f"{{ mode: '{mode}' }}")
    assert execute(server, chain) == "OK"
    server.run("SET", "a", 1)
    wait_logged(server, "entry 1")
    wait_counts(server, 1, 1, 0, 0, name="gears:1")


@pytest.mark.parametrize("mode", MODES)
def test_events_are_processed_in_their_order(server, mode):
    register(server, f"'a*', {{ mode: '{mode}' }}", "foreach(x => log(x.key))")
    for number in range(300):
        server.run("SET", f"a:{number}", 1)
    wait_logged(server, *(f"a:{number}" for number in range(300)))


def test_sync_registrations_of_one_event_run_in_the_order_in_which_they_were_registered(server):
    plans = "".join(f"GB().foreach(() => log('{n}')).register('a', {{ mode: 'sync' }});" for n in range(5))
    assert execute(server, plans) == "OK"
    server.run("SET", "a", 1)
    wait_logged(server, *range(5))


@pytest.mark.leaves_pending("a callback whose promise never settles")
def test_events_that_are_too_many_to_wait_are_aborted(server):
    with server.setting("redisgears_2.trigger-queue-length", 3):
        register(server, "'a'", "foreach(() => new Promise(() => {}))")
        for number in range(10):
            server.run("SET", "a", number)
        wait_counts(server, 10, 0, 0, 7)
    assert "too many events wait" in registration(server)["lastError"]


# --- eventTypes -----------------------------------------------------------------------------------------------------


def test_event_types_are_a_white_list(server):
    register(server, "{ eventTypes: ['lpush', 'rpush'] }")
    server.run("SET", "a", 1)
    server.run("RPUSH", "l", 1)
    server.run("LPUSH", "l", 1)
    server.run("LPOP", "l")
    server.run("LPUSH", "l", 1)
    wait_logged(server, "rpush l", "lpush l", "lpush l")
    wait_counts(server, 3, 3, 0, 0)
    assert registration(server)["args"]["eventTypes"] == ["lpush", "rpush"]


def test_event_types_may_be_in_any_case(server):
    register(server, "{ eventTypes: ['SET', 'Del'] }")
    server.run("SET", "a", 1)
    server.run("DEL", "a")
    wait_logged(server, "set a", "del a")


def test_by_default_all_events_but_misses_are_heard(server):
    register(server)
    server.run("GET", "nothing")
    server.run("SET", "a", 1)
    server.run("EXPIRE", "a", 1000)
    server.run("RENAME", "a", "b")
    server.run("DEL", "b")
    server.run("HSET", "h", "a", 1)
    wait_logged(server, "set a", "expire a", "rename_from a", "rename_to b", "del b", "hset h")
    assert registration(server)["args"]["eventTypes"] is None


def test_misses_are_heard_by_who_names_them(server):
    register(server, "{ eventTypes: ['keymiss'] }")
    server.run("SET", "a", 1)
    server.run("GET", "a")
    server.run("GET", "nothing")
    wait_logged(server, "keymiss nothing")


def test_an_event_that_never_comes_does_no_harm(server):
    register(server, "{ eventTypes: ['get', 'nosuch', 'set'] }")
    server.run("SET", "a", 1)
    server.run("GET", "a")
    server.run("SET", "b", 1)
    wait_logged(server, "set a", "set b")


# --- keyTypes -------------------------------------------------------------------------------------------------------


def write_all(node):
    """A key of each type."""
    node.run("SET", "a:string", 1)
    node.run("RPUSH", "a:list", 1)
    node.run("HSET", "a:hash", "a", 1)
    node.run("SADD", "a:set", 1)
    node.run("ZADD", "a:zset", 1, 1)
    node.run("XADD", "a:stream", "*", "a", 1)


@pytest.mark.parametrize("kind", ["string", "list", "hash", "set", "zset", "stream"])
def test_key_types_are_a_white_list(server, kind):
    register(server, f"'a:*', {{ keyTypes: ['{kind}'] }}", "foreach(x => log(`${x.type} ${x.key}`))")
    write_all(server)
    wait_logged(server, f"{kind} a:{kind}")
    assert registration(server)["args"]["keyTypes"] == [kind]


def test_several_key_types_and_event_types_have_to_hold(server):
    register(server, "{ keyTypes: ['hash', 'set'], eventTypes: ['hset', 'sadd', 'srem'] }")
    write_all(server)
    server.run("HDEL", "a:hash", "a")
    server.run("SADD", "b", 1, 2)
    server.run("SREM", "b", 1)
    wait_logged(server, "hset a:hash", "sadd a:set", "sadd b", "srem b")


def test_a_key_that_is_not_there_any_more_is_empty(server):
    register(server, "{ keyTypes: ['empty'] }", IN_FULL)
    server.run("SET", "a", 1)
    server.run("DEL", "a")
    wait_logged(server, '{"key":"a","value":null,"type":"empty","event":"del"}')


# --- OnRegistered ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["OnRegistered", "onRegistered"])
@pytest.mark.parametrize("reader", ["KeysReader", "StreamReader"])
@pytest.mark.parametrize("mode", MODES)
def test_on_registered_is_called_once_with_nothing(server, reader, name, mode):
    hook = "(...args) => log(`registered ${args.length}`)"
    register(server, f"{{ {name}: {hook}, mode: '{mode}' }}", reader=f"'{reader}'")
    wait_logged(server, "registered 0")
    server.run("XADD", "a", "*", "a", 1)
    wait_counts(server, 1, 1, 0, 0)
    assert logged(server, "registered") == [" 0"]


def test_on_registered_may_be_async_and_run_a_plan(server):
    server.run("MSET", "a", 1, "b", 2)
    register(server, "'none', { onRegistered: async () => log(JSON.stringify(await GB().count().run())) }")
    wait_logged(server, "[[2],[]]")


def test_on_registered_may_be_async_and_use_commands(server):
    hook = "async () => { await null; execute('SET', 'ready', 1); atomic(() => execute('INCR', 'ready')); }"
    register(server, f"'none', {{ onRegistered: {hook} }}")
    server.wait(lambda: server.run("GET", "ready") == "2", "it is not called")
    register(server, "'none', { onRegistered: () => execute('INCR', 'ready') }")
    server.wait(lambda: server.run("GET", "ready") == "3", "it is not called")


@pytest.mark.parametrize("start", ["", "async "])
def test_what_on_registered_throws_is_logged_and_no_more(server, start):
    register(server, f"'a', {{ OnRegistered: {start}() => {{ throw new Error('no luck'); }} }}")
    server.wait(lambda: "no luck" in server.log_text(), server.log_text)
    server.run("SET", "a", 1)
    wait_logged(server, "set a")
    assert registration(server)["lastError"] is None


def test_what_on_registered_makes_is_there_for_the_steps(server):
    code = (
        "let made; GB().foreach(x => log(made)).register('a', { mode: 'sync', onRegistered: () => { made = 'made'; } })"
    )
    assert execute(server, code) == "OK"
    server.run("SET", "a", 1)
    wait_logged(server, "made")


# --- what a step gets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("command", "value", "kind", "event"),
    [
        (("SET", "k", "ä"), "ä", "string", "set"),
        (("SET", "k", ""), "", "string", "set"),
        (("HSET", "k", "a", "1", "b", "2"), {"a": "1", "b": "2"}, "hash", "hset"),
        (("RPUSH", "k", "b", "a"), ["b", "a"], "list", "rpush"),
        (("SADD", "k", "a"), ["a"], "set", "sadd"),
        (("ZADD", "k", "2", "b", "1.5", "a"), [["a", 1.5], ["b", 2]], "zset", "zadd"),
        (("XADD", "k", "*", "a", "1"), None, "stream", "xadd"),
    ],
    ids=["string", "empty string", "hash", "list", "set", "zset", "stream"],
)
def test_a_record_is_key_value_type_and_event(server, mode, command, value, kind, event):
    register(server, f"'k', {{ mode: '{mode}' }}", IN_FULL)
    server.run(*command)
    server.wait(lambda: logged(server), "nothing comes")
    [text] = logged(server)
    assert json.loads(text) == {"key": "k", "value": value, "type": kind, "event": event}


def test_without_the_value_a_record_is_key_and_event(server):
    register(server, "'k', { readValue: false }", IN_FULL)
    server.run("SET", "k", 1)
    wait_logged(server, '{"key":"k","event":"set"}')


def test_what_is_no_text_comes_as_bytes_that_can_be_written_again(server):
    steps = "foreach(x => execute('RPUSH', 'seen', x.key, x.value))"
    register(server, "{ eventTypes: ['set'] }", steps)
    raw = server.connect(decode_responses=False)
    raw.set(b"\xff\x00", b"\x80\x00\xfe")
    server.wait(lambda: server.run("EXISTS", "seen"), "nothing comes")
    assert raw.lrange("seen", 0, -1) == [b"\xff\x00", b"\x80\x00\xfe"]
    wait_counts(server, 1, 1, 0, 0)


def test_a_field_may_have_any_name(server):
    register(server, "'k'", "foreach(x => log(JSON.stringify(Object.entries(x.value))))")
    server.run("HSET", "k", "__proto__", "1", "constructor", "2", "toString", "3")
    server.wait(lambda: logged(server), "nothing comes")
    [text] = logged(server)
    assert sorted(json.loads(text)) == [["__proto__", "1"], ["constructor", "2"], ["toString", "3"]]


def test_steps_work_in_the_database_of_the_key(server):
    register(server, "'a', { mode: 'sync' }", "foreach(x => execute('SET', 'b', x.value))")
    other = server.connect(db=3)
    other.execute_command("SET", "a", "3")
    assert (other.execute_command("GET", "b"), server.run("GET", "b")) == ("3", None)


def test_each_database_fires(server):
    register(server, "'a'", "foreach(x => log(x.value))")
    for db in (0, 5):
        server.connect(db=db).execute_command("SET", "a", db)
    wait_among(server, 0, 5)


# --- beside others --------------------------------------------------------------------------------------------------


def test_a_library_may_have_functions_and_registrations(server):
    server.load(function(), "GB().foreach(x => log(x.key)).register('a')", "redis.log('loaded');")
    assert server.call("f", 1, 2) == ["1", "2"]
    server.run("SET", "a", 1)
    wait_logged(server, "a")


@pytest.mark.parametrize("mode", MODES)
def test_a_registration_acts_as_who_ran_the_script(server, mode):
    server.run("ACL", "SETUSER", "someone", "on", "nopass", "~a*", "+@all")
    try:
        owner = server.connect(username="someone", password="x")
        code = f"GB().foreach(x => execute('SET', x.value, 1)).register('*', {{ mode: '{mode}' }})"
        execute(server, code, client=owner)
        server.run("SET", "a", "b")
        wait_counts(server, 1, 0, 1, 0)
        assert re.search("acl verification failed|permission", registration(server)["lastError"])
        assert server.run("EXISTS", "b") == 0
        server.run("SET", "a", "aa")
        wait_counts(server, 2, 1, 1, 0)
        assert server.run("EXISTS", "aa") == 1
    finally:
        server.run("ACL", "DELUSER", "someone")


def test_arguments_of_run_may_be_there_and_have_no_effect(server):
    register(server, "'a', { convertToStr: true, collect: false, noScan: true }", IN_FULL)
    server.run("SET", "a", 1)
    wait_logged(server, '{"key":"a","value":"1","type":"string","event":"set"}')
