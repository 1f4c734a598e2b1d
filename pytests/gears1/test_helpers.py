"""The functions beside GearsBuilder: execute, atomic, log, hashtag, gearsConfigGet."""

import re

import pytest
from redis import ResponseError

from testing.gears1 import execute, logged
from testing.libraries import consumer, function, library

# Where code may run commands; each gives what an expression is.
PLACES = {
    "function": "() => {}",
    "async": "async () => {}",
    "async after await": "async () => {{ await null; return {}; }}",
    "async after several": "async () => {{ for (let n = 0; n < 5; n++) await execute('PING'); return {}; }}",
    "then": "async () => new Promise(go => go()).then(() => {})",
    "block": "async client => client.block(() => {})",
    "background": "client => client.run_on_background(async () => {})",
    "background after await": "client => client.run_on_background(async () => {{ await null; return {}; }})",
}

each_place = pytest.mark.parametrize("place", PLACES)


def call(node, expression, place="async", **options):
    """What an expression is in code at that place."""
    # The first of them are plain expressions of a body.
    form = PLACES[place]
    code = form.format(expression) if "{{" in form else form.replace("{}", expression)
    node.load(function("f", code, **options), options=["UPGRADE"])
    return node.call("f")


# --- execute --------------------------------------------------------------------------------------------------------


@each_place
def test_execute_runs_a_command_wherever_a_callback_runs(server, place):
    assert call(server, "execute('SET', 'a', 5)", place) == "OK"
    assert call(server, "execute('get', 'a')", place) == "5"


@each_place
def test_a_refused_command_throws_its_text(server, place):
    server.run("SET", "a", "text")
    with pytest.raises(ResponseError, match="value is not an integer or out of range"):
        call(server, "execute('INCR', 'a')", place)
    with pytest.raises(ResponseError, match="unknown command|Unknown Redis command|unknown"):
        call(server, "execute('nosuch')", place)
    with pytest.raises(ResponseError, match="rong number of arg"):
        call(server, "execute('GET')", place)


def test_an_error_of_a_command_can_be_caught(server):
    server.run("SET", "a", "text")
    shown = "[error instanceof Error, error.name, String(error)]"
    code = f"() => {{ try {{ execute('INCR', 'a'); }} catch (error) {{ return {shown}; }} }}"
    server.load(function("f", code))
    is_error, name, text = server.call("f")
    assert (is_error, name) == (1, "RedisError")
    assert "value is not an integer" in text


def test_at_the_top_of_a_library_there_is_nobody_to_run_a_command_for(server):
    for code in ("execute('PING')", "atomic(() => execute('PING'))", "hashtag()"):
        for run in (lambda code=code: execute(server, code), lambda code=code: server.load(function(), code)):
            with pytest.raises(ResponseError, match="'execute' can only be used while a callback runs"):
                run()


def test_what_a_plain_function_leaves_to_a_promise_has_no_client_any_more(server):
    """As with the client of such a function: it ends with the call."""
    for code in (
        "() => Promise.resolve().then(() => execute('PING'))",
        "() => (async () => (await null, execute('PING')))()",
    ):
        server.load(function("f", code), options=["UPGRADE"])
        with pytest.raises(ResponseError, match="'execute' can only be used while a callback runs"):
            server.call("f")


def test_replies_are_those_of_the_client(server):
    server.run("HSET", "hash", "a", "1")
    server.run("RPUSH", "list", "a", "b")
    show = """value =>
        typeof value === 'bigint' ? `${value}n` : value instanceof String ? `status ${value}` : JSON.stringify(value)
    """
    commands = "'INCR n', 'SET a 1', 'GET a', 'GET nosuch', 'LRANGE list 0 -1', 'HGETALL hash'"
    server.load(function("f", f"() => [{commands}].map(text => execute(...text.split(' '))).map({show})"))
    assert server.call("f") == ["1n", "status OK", '"1"', "null", '["a","b"]', '{"a":"1"}']


def test_without_any_argument_nothing_is_run(server):
    assert call(server, "[execute()]") == [[]]


@pytest.mark.parametrize(
    "argument", ["5", "null", "undefined", "new Uint8Array([80])", "['PING']", "Symbol('a')", "{}"]
)
def test_the_command_must_be_a_string(server, argument):
    with pytest.raises(ResponseError, match="First argument to 'execute' must be a string"):
        call(server, f"execute({argument})")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("'ä'", "ä".encode()),
        ("5", b"5"),
        ("1.5", b"1.5"),
        ("10n", b"10"),
        ("true", b"true"),
        ("null", b"null"),
        ("undefined", b"undefined"),
        ("[1, [2]]", b"1,2"),
        ("{}", b"[object Object]"),
        ("Symbol('a')", b"Symbol(a)"),
        ("new String('a')", b"a"),
        ("{ toString() { return 'mine'; } }", b"mine"),
        ("new Uint8Array([0, 255])", b"\x00\xff"),
        ("new Uint8Array([1, 0, 255]).subarray(1)", b"\x00\xff"),
        ("new DataView(new ArrayBuffer(1))", b"\x00"),
        ("new ArrayBuffer(2)", b"\x00\x00"),
        ("new SharedArrayBuffer(2)", b"\x00\x00"),
    ],
)
def test_arguments_are_bytes_as_they_are_and_texts_else(server, argument, expected):
    call(server, f"execute('SET', 'a', {argument})")
    assert server.connect(decode_responses=False).get("a") == expected


def test_an_argument_that_has_no_text_is_an_error(server):
    with pytest.raises(ResponseError, match="Cannot convert object to primitive value"):
        call(server, "execute('SET', 'a', Object.create(null))")
    with pytest.raises(ResponseError, match="mine"):
        call(server, "execute('SET', 'a', { toString() { throw new Error('mine'); } })")


def test_what_is_no_text_in_a_reply_is_bytes(server):
    raw = server.connect(decode_responses=False)
    raw.set("a", b"\xff\x00")
    raw.hset("hash", mapping={b"\xff": "no place", "a": b"\x80"})
    raw.rpush("list", "text", b"\xfe")
    shown = "(value => value instanceof ArrayBuffer ? [...new Uint8Array(value)].join() : value)"
    assert call(server, f"{shown}(execute('GET', 'a'))") == "255,0"
    assert call(server, f"execute('LRANGE', 'list', 0, -1).map({shown})") == ["text", "254"]
    assert call(server, f"Object.entries(execute('HGETALL', 'hash')).map(([k, v]) => [k, {shown}(v)])") == [
        ["a", "128"]
    ]


def test_commands_act_as_the_caller_in_the_callers_database(server):
    server.run("ACL", "SETUSER", "someone", "on", "nopass", "~a*", "+@all")
    try:
        caller = server.connect(username="someone", password="x", db=3)
        server.load(function("f", "async (client, key) => { await null; return execute('SET', key, 1); }"))
        assert server.call("f", "a", client=caller) == "OK"
        assert (caller.execute_command("GET", "a"), server.run("GET", "a")) == ("1", None)
        with pytest.raises(ResponseError, match="acl verification failed|permission"):
            server.call("f", "b", client=caller)
    finally:
        server.run("ACL", "DELUSER", "someone")


@each_place
def test_a_function_that_writes_nothing_may_not_write_by_execute(server, place):
    assert call(server, "execute('PING')", place, flags=["no-writes"]) == "PONG"
    with pytest.raises(ResponseError, match="rite command|READONLY|no-writes|write"):
        call(server, "execute('SET', 'a', 1)", place, flags=["no-writes"])
    assert server.run("EXISTS", "a") == 0


@each_place
def test_on_a_replica_a_function_may_read(pair, place):
    pair.run("SET", "a", "text")
    form = PLACES[place]
    reads = "[execute('GET', 'a'), atomic(() => execute('GET', 'a'))]"
    code = form.format(reads) if "{{" in form else form.replace("{}", reads)
    pair.load(function("f", code, ["no-writes"]), options=["UPGRADE"])
    pair.wait(lambda: pair.replica.libraries() == ["lib"] and pair.replica.run("EXISTS", "a"), "it does not arrive")
    assert pair.replica.call("f") == ["text", "text"]


def test_execute_works_in_callbacks_of_consumers_and_triggers(server):
    code = "async (c, data) => { await null; execute('INCR', 'count'); }"
    server.load(
        consumer("sync", "s", callback="() => { execute('INCR', 'count'); }"),
        consumer("async", "s", callback=code),
        "redis.register_notifications_consumer('sync', 'k', () => { execute('INCR', 'count'); });",
        f"redis.register_notifications_consumer('async', 'k', {code});",
    )
    server.add("s", 1)
    server.run("SET", "k", 1)
    server.wait(lambda: server.run("GET", "count") == "4", lambda: server.run("GET", "count"))


def test_a_loop_of_commands_is_ended_for_its_time(server):
    with (
        server.setting("redisgears_2.background-timeout", 200),
        pytest.raises(ResponseError, match="Execution was terminated due to OOM or timeout"),
    ):
        call(server, "(() => { for (;;) execute('PING'); })()")
    assert server.log_text().count("and is ended") == 1


# --- atomic ---------------------------------------------------------------------------------------------------------


@each_place
def test_atomic_gives_what_its_function_gives(server, place):
    assert call(server, "atomic(() => [execute('INCR', 'a'), execute('INCR', 'a')])", place) == [1, 2]
    with pytest.raises(ResponseError, match="^Error: mine"):
        call(server, "atomic(() => { throw new Error('mine'); })", place)
    assert call(server, "atomic(() => undefined)", place) is None


def test_nobody_comes_between_the_commands_of_one_atomic(server):
    code = """async () => {
        for (let n = 0; n < 300; n++) {
            atomic(() => { for (const key of ['a', 'b', 'c', 'd']) execute('INCR', key); });
            await null;
        }
    }"""
    server.load(function("f", code))
    sent = server.send_call("f")
    while not sent.is_answered():
        assert len(set(server.run("MGET", "a", "b", "c", "d"))) == 1
    sent.reply()
    assert server.run("MGET", "a", "b", "c", "d") == ["300"] * 4


def test_what_was_written_before_an_error_stays(server):
    with pytest.raises(ResponseError, match="^Error: mine"):
        call(server, "atomic(() => { execute('SET', 'a', 1); throw new Error('mine'); })")
    assert server.run("GET", "a") == "1"
    assert call(server, "atomic(() => execute('GET', 'a'))") == "1"


@each_place
def test_atomic_is_not_nested(server, place):
    with pytest.raises(ResponseError, match="'atomic' cannot be used inside of 'atomic'"):
        call(server, "atomic(() => atomic(() => 1))", place)
    assert call(server, "[atomic(() => 1), atomic(() => 2)]", place) == [1, 2]


def test_atomic_goes_on_after_code_of_it_was_ended_for_its_time(server):
    with (
        server.setting("redisgears_2.lock-redis-timeout", 200),
        pytest.raises(ResponseError, match="timeout|time"),
    ):
        call(server, "atomic(() => { for (;;) ; })", "function")
    server.load(function("f", "() => atomic(() => 5)"), options=["UPGRADE"])
    assert server.call("f") == 5


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "Argument to 'atomic' must be a function"),
        ("5", "Argument to 'atomic' must be a function"),
        ("async () => 1", "Argument to 'atomic' must not be an async function"),
        ("() => Promise.resolve(1)", "The function given to 'atomic' returned a promise"),
    ],
)
def test_atomic_takes_a_plain_function(server, argument, message):
    with pytest.raises(ResponseError, match=message):
        call(server, f"atomic({argument})")


# --- log ------------------------------------------------------------------------------------------------------------


def test_log_writes_a_line_behind_gears(server):
    assert execute(server, "log('one'); log('two ä', 'warning'); log('three', undefined)") == "OK"
    assert server.messages() == ["GEARS: one", "GEARS: two ä", "GEARS: three"]
    assert re.search(r"# <redisgears_2> \[\w+\] GEARS: two", server.log_text())
    assert re.search(r"\* <redisgears_2> \[\w+\] GEARS: one", server.log_text())


def test_the_level_says_whether_a_line_is_written(server):
    code = "for (const level of ['debug', 'verbose', 'notice', 'warning']) log(level, level)"
    execute(server, code)
    assert logged(server) == ["notice", "warning"]
    with server.setting("loglevel", "debug"):
        execute(server, code)
    assert logged(server) == ["notice", "warning", "debug", "verbose", "notice", "warning"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "First argument to 'log' must be a string"),
        ("5", "First argument to 'log' must be a string"),
        ("{ a: 1 }", "First argument to 'log' must be a string"),
        ("'a', 'loud'", "Second argument to 'log' must be 'debug', 'verbose', 'notice' or 'warning'"),
        ("'a', 5", "Second argument to 'log' must be 'debug', 'verbose', 'notice' or 'warning'"),
    ],
)
def test_log_takes_a_string_and_a_level(server, arguments, message):
    with pytest.raises(ResponseError, match=message):
        execute(server, f"log({arguments})")
    assert logged(server) == []


# --- hashtag --------------------------------------------------------------------------------------------------------


@each_place
def test_without_a_cluster_the_hash_tag_is_that_of_slot_0(server, place):
    assert call(server, "hashtag()", place) == "06S"


def test_in_a_cluster_the_hash_tag_is_that_of_the_lowest_slot(start_server):
    server = start_server(configuration="cluster-enabled yes\ncluster-require-full-coverage no\n")
    server.load(function("f", "() => hashtag()"))
    server.run("CLUSTER", "ADDSLOTSRANGE", 16383, 16383)
    server.wait(lambda: "cluster_state:ok" in server.run("CLUSTER", "INFO"), "there is no cluster")
    lowest = 16383
    for first in (16383, 16380, 5461, 1, 0):
        if first < lowest:
            server.run("CLUSTER", "ADDSLOTSRANGE", first, lowest - 1)
        lowest = first
        assert server.run("CLUSTER", "KEYSLOT", f"a{{{server.call('f')}}}b") == lowest
    server.run("CLUSTER", "DELSLOTSRANGE", 0, 99)
    assert server.run("CLUSTER", "KEYSLOT", f"{{{server.call('f')}}}") == 100


# --- gearsConfigGet -------------------------------------------------------------------------------------------------


def test_values_of_the_configuration_are_texts(server):
    names = "['text', 'number', 'list', 'object', 'no', 'nothing', 'missing', 'toString', '__proto__']"
    code = library(
        function("f", f"() => [{names}.map(name => configGet(name)), {names}.map(name => gearsConfigGet(name, 5))]")
    )
    config = '{"text": "a", "number": 1.5, "list": [1], "object": {"b": 1}, "no": false, "nothing": null}'
    server.run("RG.FUNCTION", "LOAD", "CONFIG", config, code)
    found = ["a", "1.5", "[1]", '{"b":1}', "false"]
    assert server.call("f") == [found + [None] * 4, found + [5] * 4]


def test_without_a_configuration_there_are_only_defaults(server):
    for code in ("[gearsConfigGet('a', 'b'), gearsConfigGet('a'), configGet('a')]",):
        assert call(server, code) == ["b", None, None]
    execute(server, "log(String(gearsConfigGet('a', 'b')))")
    assert logged(server) == ["b"]


@pytest.mark.parametrize("argument", ["", "5", "null"])
def test_the_name_of_a_configuration_value_must_be_a_string(server, argument):
    with pytest.raises(ResponseError, match="First argument to 'gearsConfigGet' must be a string"):
        call(server, f"gearsConfigGet({argument})")
