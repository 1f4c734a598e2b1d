"""Remote functions on a server without a cluster: every shard is this one, by the way that calls of other shards take."""

import json
import re

import pytest
from redis import ResponseError

from testing.functions import call_error, described, error_of
from testing.libraries import consumer, function
from testing.replies import fields

LOCAL = "0" * 40


def remote(name="r", callback="async (client, ...args) => args", options=None):
    """JavaScript that registers a remote function."""
    more = "" if options is None else f", {json.dumps(options)}"
    return f"redis.register_remote_function('{name}', {callback}{more});"


def calling(body, name="f", flags=None):
    """A function whose async body gives what it returns as JSON."""
    return function(name, f"async (client, ...args) => JSON.stringify(await (async () => {{ {body} }})())", flags)


def caught(expression):
    """JavaScript that gives what is known of the error that an expression is rejected with."""
    return (
        f"try {{ await {expression}; return 'no error'; }} catch (e) {{ return {{ text: String(e), name: e.name, code: e.code,"
        " may_have_run: e.may_have_run, shard: e.shard, stack: e.stack, is_error: e instanceof Error }; }"
    )


def load_error(server, *statements):
    """The error that loading a library is answered with."""
    with pytest.raises(ResponseError) as refused:
        server.load(*statements)
    return str(refused.value)


def result(server, *words, **options):
    """What such a function gives."""
    return json.loads(server.call(*words, **options))


# --- calls ----------------------------------------------------------------------------------------------------------


def test_a_remote_function_is_called_by_key_and_on_all_shards(server):
    server.load(
        remote(callback="async (client, ...args) => client.block(c => [c.call('GET', 'k'), ...args])"),
        calling("return client.run_on_key('k', 'r', 1, 'two', [3]);"),
        calling("const [results, errors] = await client.run_on_all_shards('r', 4); return { results, errors, shards: results.shards };", "g"),
    )
    server.run("SET", "k", "v")
    assert result(server, "f") == ["v", 1, "two", [3]]
    assert result(server, "g") == {"results": [["v", 4]], "errors": [], "shards": [LOCAL]}


@pytest.mark.parametrize("key", ["'k'", "new Uint8Array([255, 0]).buffer", "new Uint8Array([255])", "''"])
def test_a_key_is_text_or_bytes(server, key):
    server.load(remote(), calling(f"return client.run_on_key({key}, 'r', 1);"))
    assert result(server, "f") == [1]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 1000])
def test_a_remote_function_gets_as_many_arguments_as_its_caller_gave(server, count):
    server.load(
        remote(callback="async (client, ...args) => [typeof client.block, args]"),
        calling("return client.run_on_key('k', 'r', ...Array(Number(args[0])).keys());"),
    )
    assert result(server, "f", count) == ["function", list(range(count))]


VALUES = {
    "integer": "7n ** 100n",
    "date": "new Date(86400000)",
    "map": "new Map([['a', new Map([[1, 2]])]])",
    "set": "new Set([1, 'x'])",
    "pattern": "/a+b/gi",
    "buffer": "new Uint8Array([0, 255]).buffer",
    "view": "new Uint16Array([1, 65535])",
    "nothing": "undefined",
    "nan": "NaN",
    "minus zero": "-0",
    "text": "'\\ud83d\\ude00 ü'",
    "half a pair": "'\\ud83d'",
    "long text": "'x'.repeat(3e6)",
    "holes": "[1, , 3]",
    "object": "({ a: { b: [null, true] } })",
}


@pytest.mark.parametrize("value", VALUES)
def test_values_come_as_they_were_both_ways(server, value):
    show = """const shape = value => {
        const kind = Object.prototype.toString.call(value);
        if (value instanceof Map) return [kind, [...value].map(shape)];
        if (value instanceof Set) return [kind, [...value].map(shape)];
        if (value instanceof ArrayBuffer) return [kind, [...new Uint8Array(value)]];
        if (ArrayBuffer.isView(value)) return [kind, [...value]];
        if (Array.isArray(value)) return [kind, Object.keys(value), value.map(shape)];
        if (typeof value === 'object' && value !== null && kind === '[object Object]') {
            return Object.entries(value).map(([key, value]) => [key, shape(value)]);
        }
        return [kind, typeof value, String(value), Object.is(value, -0), value instanceof Date && value.getTime()];
    };"""
    server.load(
        show,
        remote(callback="async (client, value) => [shape(value), value]"),
        calling(f"const value = {VALUES[value]}; const [there, back] = await client.run_on_key('k', 'r', value);"
                " return [shape(value), there, shape(back)];"),
    )
    here, there, back = result(server, "f")
    assert here == there == back


def test_what_refers_to_itself_comes_so_and_nothing_is_shared(server):
    server.load(
        remote(callback="async (client, value) => { value.seen = value.self === value; value.list.push(1); return value; }"),
        calling("const value = { list: [] }; value.self = value; const back = await client.run_on_key('k', 'r', value);"
                " return [back.seen, back.self === back, back.list, value.list, back === value];"),
    )
    assert result(server, "f") == [True, True, [1], [], False]


NOT_CLONED = {
    "function": ("() => 1", "could not be cloned"),
    "symbol": ("Symbol('s')", "could not be cloned"),
    "shared": ("new SharedArrayBuffer(1)", "could not be cloned"),
    "proxy": ("new Proxy({}, {})", "could not be cloned"),
    "getter": ("({ get a() { throw new Error('from the getter'); } })", "from the getter"),
}


@pytest.mark.parametrize("what", NOT_CLONED)
def test_what_cannot_be_cloned_is_an_error_on_both_ways(server, what):
    value, error = NOT_CLONED[what]
    server.load(
        remote(callback=f"async (client, wrong) => wrong ? {value} : 1"),
        calling(caught(f"client.run_on_key('k', 'r', {value})")),
        calling(caught("client.run_on_key('k', 'r', true)"), "g"),
    )
    for name in "fg":
        assert error in result(server, name)["text"], name
    come = result(server, "g")
    assert (come["name"], come["code"], come["may_have_run"], come["shard"]) == ("RemoteError", "no_result", True, LOCAL)


# --- errors ---------------------------------------------------------------------------------------------------------


def test_what_a_remote_function_throws_comes_with_its_stack_and_shard(server):
    server.load(
        remote(callback="async function there() { throw new RangeError('no', { cause: 'c' }); }"),
        calling(caught("client.run_on_key('k', 'r')")),
        calling("const [results, [error]] = await client.run_on_all_shards('r'); return [results, String(error), error.shard];", "g"),
    )
    error = result(server, "f")
    assert (error["text"], error["name"], error["shard"], error["is_error"]) == ("RangeError: no", "RangeError", LOCAL, True)
    assert re.search(r"at there \(lib:\d+:\d+\)", error["stack"]), error["stack"]
    assert result(server, "g") == [[], "RangeError: no", LOCAL]


THROWN = {
    "c => c.call('SET', 'k', 'v', 'NX', 'XX')": ("ERR syntax error", "RedisError"),
    "() => { throw new TypeError('t'); }": ("TypeError: t", "TypeError"),
    "() => { class Odd extends Error { name = 'Odd'; } throw new Odd('o'); }": ("Odd: o", "Odd"),
    "() => { throw new Error(); }": ("Error", "Error"),
}


@pytest.mark.parametrize("work", THROWN)
def test_an_error_keeps_its_name_and_text(server, work):
    server.load(remote(callback=f"async client => client.block({work})"), calling(caught("client.run_on_key('k', 'r')")))
    error = result(server, "f")
    assert (error["text"], error["name"], error["shard"]) == (*THROWN[work], LOCAL)


@pytest.mark.parametrize(("thrown", "seen"), [("'text'", "text"), ("{ a: 1 }", {"a": 1}), ("null", None), ("7", 7)])
def test_what_is_thrown_need_not_be_an_error(server, thrown, seen):
    server.load(
        remote(callback=f"async () => {{ throw {thrown}; }}"),
        calling("try { await client.run_on_key('k', 'r'); } catch (e) { return [e]; }"),
    )
    assert result(server, "f") == [seen]


@pytest.mark.parametrize(
    "thrown",
    ["{ shard: 'mine', a: 1 }", "{ a: 1 }", "[1]", "new Date(5)", "new Map([[1, 2]])", "new Set([1])", "new Uint8Array([1])"],
)
def test_what_is_thrown_and_is_no_error_has_no_properties_but_its_own(server, thrown):
    show = "value => [Object.prototype.toString.call(value), Object.getOwnPropertyDescriptors(value)]"
    server.load(
        f"const shown = {show};",
        remote(callback=f"async () => {{ throw {thrown}; }}"),
        calling(f"try {{ await client.run_on_key('k', 'r'); }} catch (e) {{ return [shown(e), shown({thrown})]; }}"),
        calling(f"const [results, [e]] = await client.run_on_all_shards('r'); return [shown(e), shown({thrown})];", "g"),
    )
    for name in "fg":
        come, own = result(server, name)
        assert come == own


def test_what_is_thrown_and_cannot_be_cloned_comes_as_text(server):
    server.load(
        remote(callback="async () => { throw Object.assign(() => 1, { toString: () => 'odd' }); }"),
        calling(caught("client.run_on_key('k', 'r')")),
    )
    error = result(server, "f")
    assert (error["text"], error["name"], error["may_have_run"], error["shard"]) == ("odd", "RemoteError", True, LOCAL)
    assert error["code"] == "thrown"


def test_an_error_about_a_further_call_comes_as_the_cause_of_one_that_says_that_this_one_has_run(server):
    server.load(
        "let end;",
        remote("last", "async () => new Promise(resolve => { end = resolve; })"),
        remote("middle", "async client => client.run_on_key('k', { name: 'last', timeout: 50 })"),
        remote("first", "async client => client.run_on_key('k', { name: 'middle', timeout: 30000 })"),
        remote("lost", "async client => client.run_on_key('k', 'nobody')"),
        calling(
            "try { await client.run_on_key('k', { name: args[0], timeout: 30000 }); } catch (e) {"
            " return [String(e), e.name, e.code, e.may_have_run, e.shard, e.cause]; }"
        ),
        function("end", "() => { end(); }"),
    )
    text = "ERR the remote function 'last' has not settled within 50 ms, it may have run"
    timeout = {"message": text, "code": "timeout", "may_have_run": True, "shard": LOCAL}
    assert result(server, "f", "middle") == [text, "RemoteError", "thrown", True, LOCAL, timeout]
    thrown = {"message": text, "code": "thrown", "may_have_run": True, "shard": LOCAL, "cause": timeout}
    assert result(server, "f", "first") == [text, "RemoteError", "thrown", True, LOCAL, thrown]
    # Whoever sees `not_sent` may call again: so it must not be said of what has run.
    *seen, cause = result(server, "f", "lost")
    text = "ERR library 'lib' has no remote function 'nobody'"
    assert seen == [text, "RemoteError", "thrown", True, LOCAL]
    assert cause == {"message": text, "code": "not_sent", "may_have_run": False}
    server.call("end")


def test_arguments_that_do_not_fit_have_not_run(start_server):
    server = start_server(module_args="library-maxmemory 32mb")
    server.load(remote(), calling(caught("client.run_on_key('k', 'r', 'x'.repeat(9e6))")))
    error = result(server, "f")
    assert error["text"] == "ERR the arguments do not fit into the library's memory"
    assert (error["code"], error["may_have_run"]) == ("not_sent", False)


def test_an_error_that_nobody_catches_is_the_reply(server):
    server.load(remote(callback="async () => { throw new Error('no'); }"), function("f", "async client => client.run_on_key('k', 'r')"))
    assert call_error(server, "f") == "Error: no"


def test_a_function_that_is_not_there_certainly_has_not_run(server):
    server.load(function("r"), calling(caught("client.run_on_key('k', 'r')")), calling(caught("client.run_on_all_shards('r')"), "g"))
    for name in "fg":
        error = result(server, name)
        assert error["text"] == "ERR library 'lib' has no remote function 'r'"
        assert (error["code"], error["may_have_run"], error["name"]) == ("not_sent", False, "RemoteError")


def test_a_call_whose_time_is_over_may_have_run(server):
    server.load(
        "let end;",
        remote(callback="async () => new Promise(resolve => { end = resolve; })"),
        calling(caught("client.run_on_key('k', { name: 'r', timeout: 50 })")),
        calling("const [results, [error]] = await client.run_on_all_shards({ name: 'r', timeout: 50 }); return [results, error.code];", "g"),
        function("end", "() => { end(); }"),
    )
    error = result(server, "f")
    assert error["text"] == "ERR the remote function 'r' has not settled within 50 ms, it may have run"
    assert (error["code"], error["may_have_run"], error["shard"]) == ("timeout", True, LOCAL)
    server.call("end")
    assert result(server, "g") == [[], "timeout"]
    server.call("end")


def test_the_setting_is_the_time_of_calls_that_name_none(server):
    server.load(
        "let end;",
        remote(callback="async () => new Promise(resolve => { end = resolve; })"),
        calling(caught("client.run_on_key('k', 'r')")),
        function("end", "() => { end(); }"),
    )
    server.run("CONFIG", "SET", "redisgears_2.remote-task-default-timeout", 20)
    try:
        assert "within 20 ms" in result(server, "f")["text"]
    finally:
        server.run("CONFIG", "SET", "redisgears_2.remote-task-default-timeout", 500)
    server.call("end")


def test_a_call_that_was_not_begun_in_time_does_not_run(server):
    spin = "const spin = ms => { const end = Date.now() + ms; while (Date.now() < end); };"
    server.load(
        spin,
        remote(callback="async client => { redis.log('ran'); }"),
        # The worker is here, so nobody begins with the call before its time is over.
        calling("const call = client.run_on_key('k', { name: 'r', timeout: 1 }); spin(200);" + caught("call")),
    )
    error = result(server, "f")
    assert error["code"] in {"timeout", "not_sent"}
    assert server.messages("ran") == []


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(server):
    """The server, where calls carry 64 kB at most."""
    server.run("CONFIG", "SET", "redisgears_2.remote-task-max-size", "64kb")
    yield server
    server.run("CONFIG", "SET", "redisgears_2.remote-task-max-size", "64mb")


TOO_LARGE = "the value is larger than the 65536 bytes that a remote call may carry"


@pytest.mark.parametrize("value", ["'x'.repeat(66000)", "new ArrayBuffer(66000)", "Array(1e5).fill(0)"])
def test_what_a_call_carries_is_bounded_on_both_ways(small, value):
    small.load(
        remote(callback=f"async (client, wrong) => wrong ? {value} : 1"),
        calling(caught(f"client.run_on_key('k', 'r', {value})")),
        calling(caught("client.run_on_key('k', 'r', true)"), "g"),
        calling("return (await client.run_on_key('k', 'r', false, 'x'.repeat(60000)));", "h"),
    )
    gone = result(small, "f")
    assert (gone["text"], gone["name"], gone["code"], gone["may_have_run"]) == (f"ERR {TOO_LARGE}", "RemoteError", "not_sent", False)
    come = result(small, "g")
    assert (come["text"], come["code"], come["may_have_run"]) == (f"Error: {TOO_LARGE}", "no_result", True)
    assert result(small, "h") == 1


def test_a_value_that_would_take_all_memory_is_refused_before_it_does(server):
    server.load(
        remote(),
        calling("const text = 'x'.repeat(1e8);" + caught("client.run_on_key('k', 'r', Array(1e6).fill(text))")),
    )
    assert "is larger than the 67108864 bytes" in result(server, "f")["text"]
    assert server.call("f") is not None


def test_a_getter_may_run_commands_with_large_replies_meanwhile(small):
    small.load(
        remote(callback="async (client, value) => value.size"),
        calling("return client.block(c => client.run_on_key('k', 'r', { get size() { return c.call('GET', 'large').length; } }));"),
    )
    small.run("SET", "large", "x" * 3_000_000)
    assert result(small, "f") == 3_000_000


# --- rights and flags -----------------------------------------------------------------------------------------------


def test_a_remote_function_acts_as_its_caller(server):
    server.load(
        remote(callback="async client => String(client.block(c => c.call('SET', 'k', 1)))"),
        calling("return client.run_on_key('k', 'r');"),
        consumer(callback="async client => { redis.log('done ' + await client.run_on_key('k', 'r')); }"),
    )
    server.run("ACL", "SETUSER", "anna", "on", "nopass", "~*", "+@all", "-set")
    denied = call_error(server, "f", client=server.connect(username="anna", password="x"))
    assert denied == "User 'anna' has no permissions to run 'set'"
    assert result(server, "f") == "OK"
    server.add("stream", 1)
    server.wait_message("done ")
    assert server.messages("done ") == ["OK"]
    server.run("ACL", "DELUSER", "anna")


def test_writes_follow_the_flags_of_function_and_caller(server):
    server.load(
        remote("writes", "async client => String(client.block(c => c.call('SET', 'k', 1)))"),
        remote("reads", "async client => String(client.block(c => c.call('SET', 'k', 1)))", {"flags": ["no-writes"]}),
        calling("return client.run_on_key('k', args[0]);"),
        calling("return client.run_on_key('k', args[0]);", "g", ["no-writes"]),
    )
    assert result(server, "f", "writes") == "OK"
    for name, called in (("f", "reads"), ("g", "writes"), ("g", "reads")):
        assert "write" in call_error(server, name, called).lower(), (name, called)


def test_out_of_memory_only_what_may_is_run(server):
    server.load(
        remote(),
        remote("oom", options={"flags": ["allow-oom"]}),
        calling(caught("client.run_on_key('k', 'r')"), flags=["allow-oom"]),
        calling("return client.run_on_key('k', 'oom', 1);", "g", ["allow-oom"]),
    )
    server.run("CONFIG", "SET", "maxmemory", 1)
    try:
        assert "out of memory" in result(server, "f")["text"]
        assert result(server, "g") == [1]
    finally:
        server.run("CONFIG", "SET", "maxmemory", 0)


def test_commands_run_in_the_database_of_the_caller(server):
    server.load(remote(callback="async client => client.block(c => c.call('GET', 'k'))"), calling("return client.run_on_key('k', 'r');"))
    other = server.connect(db=3)
    other.execute_command("SET", "k", "third")
    assert result(server, "f", client=other) == "third"


# --- where it may be used -------------------------------------------------------------------------------------------


def test_consumers_and_triggers_may_call_too(server):
    server.load(
        remote(callback="async (client, from) => from + '!'"),
        consumer(callback="async client => { redis.log('came ' + await client.run_on_key('k', 'r', 'consumer')); }"),
        "redis.register_notifications_consumer('t', 'key', async client => { redis.log('came ' + await client.run_on_key('k', 'r', 'trigger')); });",
        function("f", "client => client.run_on_background(async b => b.run_on_key('k', 'r', 'background'))"),
    )
    server.add("stream", 1)
    server.wait_message("came ")
    server.run("SET", "key", 1)
    server.wait_message("came ", 2)
    assert server.messages("came ") == ["consumer!", "trigger!"]
    assert server.call("f") == "background!"


@pytest.mark.parametrize("method", ["run_on_key", "run_on_all_shards"])
def test_sync_code_is_told_that_it_cannot(server, method):
    server.load(remote(), function("f", f"client => client.{method}('k', 'r')"), function("g", f"async client => client.block(c => c.{method}('k', 'r'))"))
    for name in "fg":
        error = f"Error: '{method}' is for async code: use it in an async function, or in what 'run_on_background' is given"
        assert call_error(server, name) == error


def test_remote_functions_call_each_other(server):
    server.load(
        remote("down", "async (client, n) => n === 0 ? [] : [n, ...await client.run_on_key('k', { name: 'down', timeout: 30000 }, n - 1)]"),
        calling("return client.run_on_key('k', { name: 'down', timeout: 30000 }, 20);"),
    )
    assert result(server, "f") == list(range(20, 0, -1))


def test_many_calls_are_on_their_way_at_once(server):
    server.load(
        remote(callback="async (client, n) => n * 2"),
        calling("const all = await Promise.all(Array.from({ length: 2000 }, (_, n) => client.run_on_key('k' + n, { name: 'r', timeout: 60000 }, n)));"
                " return all.every((value, n) => value === n * 2) && all.length;"),
    )
    assert result(server, "f") == 2000


# --- upgrades -------------------------------------------------------------------------------------------------------


def test_the_new_code_is_called_after_an_upgrade(server):
    for answer in ("old", "new"):
        server.load(remote(callback=f"async () => '{answer}'"), calling("return client.run_on_key('k', 'r');"), options=["UPGRADE"])
        assert result(server, "f") == answer


def test_a_call_ends_with_the_library_that_it_runs_in(server):
    server.load(
        remote(callback="async () => { redis.log('runs'); return new Promise(() => {}); }"),
        calling(caught("client.run_on_key('k', { name: 'r', timeout: 60000 })")),
    )
    sent = server.send("RG.FCALL", "lib", "f", 0)
    server.wait_message("runs")
    server.run("RG.FUNCTION", "DEL", "lib")
    assert "replaced or deleted" in error_of(sent)


# --- what is kept ---------------------------------------------------------------------------------------------------


def figures(server):
    """What INFO says of remote functions: numbers by their names, and a dict of the figures of each function."""
    prefix = "redisgears_2_remote_"
    found = server.client.info("redisgears_2_remote_functions")
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def counts(server):
    return {name: value for name, value in figures(server).items() if isinstance(value, int)}


def wait_nothing_kept(server, known=0):
    """Waits until no call is on its way, none runs, and so many are known."""
    wanted = dict.fromkeys(counts(server), 0) | {"calls_known": known}
    server.wait(lambda: counts(server) == wanted, lambda: (counts(server), wanted))


def test_what_runs_and_what_it_takes_is_shown(server):
    server.load(
        "let end;",
        remote(callback="async () => { redis.log('runs'); return new Promise(resolve => { end = resolve; }); }"),
        calling("return client.run_on_key('k', { name: 'r', timeout: 60000 }, 'x'.repeat(5000));"),
        function("end", "() => { end('y'); }"),
    )
    assert figures(server)["function_lib_r"]["calls"] == 0
    sent = server.send_call("f")
    server.wait_message("runs")
    shown = figures(server)
    one = shown["function_lib_r"]
    assert (shown["calls"], shown["calls_here"], shown["calls_known"], one["calls"], one["running"]) == (1, 1, 1, 1, 1)
    assert 5000 < shown["calls_bytes"] == shown["calls_here_bytes"] < 5100
    server.call("end")
    assert json.loads(sent.reply()) == "y"
    wait_nothing_kept(server)
    assert figures(server)["function_lib_r"]["running"] == 0


def test_of_calls_that_never_settle_nothing_is_kept_once_their_time_is_over(server):
    server.load(
        remote(callback="async () => new Promise(() => {})"),
        calling("const all = Array.from({ length: 3000 }, () => client.run_on_key('k', { name: 'r', timeout: 200 }, 'x'));"
                " return (await Promise.allSettled(all)).every(one => ['timeout', 'not_sent'].includes(one.reason.code));"),
    )
    server.set_timeout(20_000)
    assert result(server, "f") is True
    server.wait(lambda: figures(server)["function_lib_r"]["running"] == 0, lambda: figures(server))
    server.wait(lambda: counts(server)["calls_here"] == 0, lambda: counts(server))
    left = counts(server)
    assert (left["calls"], left["calls_here_bytes"], left["results_bytes"]) == (0, 0, 0)


# --- registration ---------------------------------------------------------------------------------------------------

WRONG = {
    "()": "TypeError: Wrong number of arguments to 'register_remote_function' function",
    "('r')": "TypeError: Wrong number of arguments to 'register_remote_function' function",
    "('r', async () => {}, {}, 1)": "TypeError: Wrong number of arguments to 'register_remote_function' function",
    "(1, async () => {})": "TypeError: First argument to 'register_remote_function' must be a string representing the function name",
    "('', async () => {})": "TypeError: A remote function must have a name",
    "('r', 1)": "TypeError: Second argument to 'register_remote_function' must be a function",
    "('r', () => {})": "TypeError: Remote function must be async",
    "('r', async function* () {})": "TypeError: Second argument to 'register_remote_function' must be a function",
    "('r', async () => {}, 1)": "TypeError: Third argument to 'register_remote_function' must be an object of options",
    "('r', async () => {}, [])": "TypeError: Third argument to 'register_remote_function' must be an object of options",
    "('r', async () => {}, { x: 1 })": "TypeError: Unknown option 'x' of 'register_remote_function'",
    "('r', async () => {}, { flags: 1 })": "TypeError: Option 'flags' of 'register_remote_function' must be an array of flags",
    "('r', async () => {}, { flags: ['x'] })": "TypeError: Failed parsing function flags, Unknown flag 'x' was given",
    "('r', async () => {}, { flags: ['raw-arguments'] })":
        "TypeError: A remote function cannot have the flag 'raw-arguments': it gets the values that its caller gave",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_registrations_say_what_is_wrong(server, arguments):
    error = load_error(server, function(), f"redis.register_remote_function{arguments};")
    assert error == f"Failed loading library, Failed evaluating module: {WRONG[arguments]}"


def test_a_name_is_taken_once_among_remote_functions(server):
    error = load_error(server, function("r"), remote("r"), remote("r"))
    assert error == "Failed loading library, Failed evaluating module: Error: Remote function r already exists"


def test_remote_functions_alone_are_no_library(server):
    assert load_error(server, remote()) == "No function nor registrations was registered"


def test_registering_later_is_an_error(server):
    server.load(function("f", "() => redis.register_remote_function('r', async () => 1)"))
    assert call_error(server, "f") == "Error: Called 'register_remote_function' out of context"


def test_the_list_shows_remote_functions_where_there_are_some(server):
    server.load(function(), remote("r", options={"flags": ["no-writes"]}))
    assert "remote_functions" not in described(server)
    [shown] = described(server, "v")["remote_functions"]
    assert fields(shown) == {"name": "r", "flags": ["no-writes"]}
    server.load(function(), options=["UPGRADE"])
    assert "remote_functions" not in described(server, "v")


CALLS = {
    "run_on_key()": "Wrong number of arguments to 'run_on_key' function",
    "run_on_key('k')": "Wrong number of arguments to 'run_on_key' function",
    "run_on_key(1, 'r')": "First argument to 'run_on_key' must be a string or an ArrayBuffer: the key",
    "run_on_key('k', 1)": "Second argument to 'run_on_key' must be the name of a remote function, or an object with its 'name' and a 'timeout'",
    "run_on_key('k', {})": "Second argument to 'run_on_key' must be the name of a remote function, or an object with its 'name' and a 'timeout'",
    "run_on_key('k', { name: 'r', x: 1 })": "Unknown option 'x' of 'run_on_key'",
    "run_on_key('k', { name: 'r', timeout: 0 })":
        "Option 'timeout' of 'run_on_key' must be a whole number between 1 and 86400000, in milliseconds",
    "run_on_all_shards()": "Wrong number of arguments to 'run_on_all_shards' function",
    "run_on_all_shards(1)":
        "First argument to 'run_on_all_shards' must be the name of a remote function, or an object with its 'name' and a 'timeout'",
}


@pytest.mark.parametrize("call", CALLS)
def test_wrong_calls_say_what_is_wrong(server, call):
    server.load(remote(), calling(caught(f"client.{call}")))
    assert result(server, "f")["text"] == f"TypeError: {CALLS[call]}"
