"""What scripts do with the server: commands, background parts, promises, databases, replication, nested triggers."""

import itertools
import re

import pytest
from redis import ResponseError

from testing.libraries import RELEASE, consumer, function
from testing.replies import fields

INVALID = "Error: Used on invalid client"
TOO_DEEP = "callbacks of stream consumers are nested too deeply"


def call_error(server, *args, **options):
    """The error that a call is answered with."""
    with pytest.raises(ResponseError) as caught:
        server.call(*args, **options)
    return str(caught.value)


def in_transaction(server, *commands):
    """The replies of a transaction, errors among them."""
    pipe = server.client.pipeline(transaction=True)
    for command in commands:
        pipe.execute_command(*command)
    return pipe.execute(raise_on_error=False)


def runs_in_the_command(server):
    """Whether sync callbacks are a part of the command that added their entry: Redis 7.2 and later, and Valkey."""
    version = server.client.info("server")["redis_version"]
    return tuple(map(int, version.split(".")[:2])) >= (7, 2)


def last_error(server, stream="stream", **names):
    return server.stream(stream, **names).get("last_error")


# --- commands -------------------------------------------------------------------------------------------------------


def test_call_gives_text_and_call_raw_gives_bytes(server):
    server.load(
        function(
            "f",
            """client => {
                client.call('SET', 'key', 'ä');
                const text = client.call('GET', 'key'), raw = client.call_raw('GET', 'key');
                return [typeof text, text, raw instanceof ArrayBuffer, `${new Uint8Array(raw)}`];
            }""",
        )
    )
    assert server.call("f") == ["string", "ä", 1, "195,164"]


def test_bytes_that_are_no_text_are_for_call_raw_only(server):
    server.load(
        function("text", "client => client.call('GET', 'key')"),
        function("raw", "client => client.call_raw('GET', 'key')"),
    )
    server.run("SET", "key", b"\xff\x00")
    assert call_error(server, "text") == "Error: Could not decode value as string"
    assert server.call("raw", client=server.connect(decode_responses=False)) == b"\xff\x00"


@pytest.mark.parametrize("call", ["call", "call_raw"])
@pytest.mark.parametrize("where", ["sync", "block"])
def test_an_error_of_a_command_is_thrown_and_can_be_caught(server, where, call):
    tries = f"""c => {{
        c.call('SET', 'text', 'before');
        try {{
            c.{call}('LPUSH', 'text', 'a');
            return 'not thrown';
        }} catch (error) {{
            c.call('APPEND', 'text', ' and after');
            return [error instanceof Error, String(error), error.message, error.name, `${{error}}`];
        }}
    }}"""
    server.load(function("f", tries if where == "sync" else f"async client => client.block({tries})"))
    text = "WRONGTYPE Operation against a key holding the wrong kind of value"
    assert server.call("f") == [1, text, text, "RedisError", text]
    assert server.run("GET", "text") == "before and after"


def test_the_stack_of_a_redis_error_shows_the_script(server):
    server.load(
        function(
            "f",
            "client => { try { breaks(client); } catch (error) { return error.stack; } }",
        ),
        "function breaks(client) { client.call('LPUSH', 'text', 'a'); }",
    )
    server.run("SET", "text", "a")
    assert re.search(r"at breaks \(lib:\d+:\d+\)", server.call("f"))


WRONG_CALLS = {
    "client.call()": "TypeError: Wrong number of arguments to 'call' function",
    "client.call_raw()": "TypeError: Wrong number of arguments to 'call' function",
    "client.call(1)": "TypeError: First argument to 'command' must be a string",
    "client.call(null)": "TypeError: First argument to 'command' must be a string",
    "client.call(['PING'])": "TypeError: First argument to 'command' must be a string",
    "client.call(new Uint8Array([80]))": "TypeError: First argument to 'command' must be a string",
    "client.call('')": "unknown command",
    "client.call('nosuch')": "unknown command",
    "client.call('GET')": "wrong number of arguments",
    "client.call('GET', 'a', 'b')": "wrong number of arguments",
    "client.call('SET\\0', 'a', 'b')": "unknown command",
    "client.call('SET\\0GET', 'a', 'b')": "unknown command",
    "client.call('\\0')": "unknown command",
    "client.call('SET a b')": "unknown command",
    "client.call('SÉT', 'a', 'b')": "unknown command",
    "client.call('\\ud800')": "unknown command",
    "client.call('x'.repeat(1e6))": "unknown command",
    "client.call('SELECT', 3)": "SELECT is not allowed here",
    "client.call('select', '3')": "SELECT is not allowed here",
    "client.call('SeLeCt')": "SELECT is not allowed here",
}


@pytest.mark.parametrize("where", ["sync", "block"])
@pytest.mark.parametrize("statement", WRONG_CALLS)
def test_a_wrong_command_is_thrown_as_an_error(server, statement, where):
    if where == "block":
        code = f"async outer => outer.block(client => {{ {statement}; }})"
    else:
        code = f"client => {{ {statement}; }}"
    server.load(function("f", code), function("ping", "client => client.call('PING')"))
    assert WRONG_CALLS[statement] in call_error(server, "f")
    assert server.run("DBSIZE") == 0
    assert server.call("ping") == "PONG"


ARGUMENTS = {
    "'text'": b"text",
    "''": b"",
    "'ä€\\u{1f600}'": "ä€\U0001f600".encode(),
    "'nul\\0byte'": b"nul\0byte",
    "'\\ud800'": "\ufffd".encode(),
    "new String('object')": b"object",
    "Object.assign(new String('a'), { toString() { return 'b'; } })": b"b",
    "1": b"1",
    "-1": b"-1",
    "1.5": b"1.5",
    "-0": b"0",
    "1e21": b"1e+21",
    "0.1 + 0.2": b"0.30000000000000004",
    "2 ** 53": b"9007199254740992",
    "NaN": b"NaN",
    "-Infinity": b"-Infinity",
    "10n": b"10",
    "-(2n ** 70n)": str(-(2**70)).encode(),
    "true": b"true",
    "false": b"false",
    "new Uint8Array([0, 255]).buffer": b"\0\xff",
    "new ArrayBuffer(0)": b"",
    "new Uint8Array([0, 255])": b"\0\xff",
    "new Uint8Array([1, 2, 3, 4]).subarray(1, 3)": b"\2\3",
    "new Uint16Array([1, 258])": b"\1\0\2\1",
    "new Float64Array(1)": bytes(8),
    "new DataView(new Uint8Array([1, 2, 3]).buffer, 1)": b"\2\3",
    "new Uint8Array(new SharedArrayBuffer(2)).fill(7)": b"\7\7",
    "new SharedArrayBuffer(3)": bytes(3),
    "client.call('PING')": b"PONG",
    "client.call('INCR', 'counter')": b"1",
    "client.call('ECHO', 'echo')": b"echo",
    "client.call_raw('ECHO', 'echo')": b"echo",
    "client.call_raw('ECHO', new Uint8Array([255]))": b"\xff",
}


@pytest.mark.parametrize("expression", ARGUMENTS)
def test_an_argument_of_a_command_may_be(server, expression):
    server.load(function("f", f"client => {{ client.call('SET', 'key', {expression}); }}"))
    assert server.call("f") is None
    assert server.connect(decode_responses=False).get("key") == ARGUMENTS[expression]


BAD_ARGUMENTS = [
    "null",
    "undefined",
    "{}",
    "[]",
    "['a']",
    "Symbol('a')",
    "() => 'a'",
    "new Date()",
    "/a/",
    "new Map()",
    "new Set(['a'])",
    "Promise.resolve('a')",
    "new Number(1)",
    "new Boolean(true)",
    "new Error('a')",
    "new Proxy(new String('a'), {})",
    "{ toString() { return 'a'; } }",
    "client",
    "client.call('GET', 'nosuch')",
]


@pytest.mark.parametrize("expression", BAD_ARGUMENTS)
def test_an_argument_of_a_command_must_not_be(server, expression):
    server.load(function("f", f"client => client.call('SET', 'key', {expression})"))
    assert call_error(server, "f").startswith("TypeError: Bad argument was given to 'call', argument must be")
    assert server.run("DBSIZE") == 0


def test_a_string_object_whose_tostring_throws_throws_that(server):
    server.load(
        function(
            "f",
            "client => { const s = new String('a'); s.toString = () => { throw new Error('by me'); };"
            " client.call('SET', 'key', s); }",
        )
    )
    assert call_error(server, "f") == "Error: by me"
    assert server.run("DBSIZE") == 0


def test_an_argument_whose_tostring_calls_a_command_itself(server):
    """The words of the outer command are being collected then."""
    server.load(
        function(
            "f",
            "client => { const s = new String('a');"
            " s.toString = () => client.call('INCRBY', 'counter', 5).toString();"
            " return client.call('MSET', 'first', 'one', 'second', s, 'third', 'three'); }",
        )
    )
    assert server.call("f") == "OK"
    assert server.run("MGET", "counter", "first", "second", "third") == ["5", "one", "5", "three"]


@pytest.mark.parametrize("what", ["gone", "view"])
def test_bytes_that_are_detached_are_no_argument(server, what):
    server.load(
        function(
            "f",
            "client => { const gone = new ArrayBuffer(8), view = new Uint8Array(gone); gone.transfer();"
            f" client.call('RPUSH', 'list', {what}); }}",
        )
    )
    with pytest.raises(ResponseError, match="The ArrayBuffer was detached: its bytes are gone"):
        server.call("f")
    assert server.run("EXISTS", "list") == 0


def test_a_command_of_many_and_large_words_arrives_whole(server):
    server.load(
        function(
            "f",
            "client => { client.call('RPUSH', 'list', ...Array.from({ length: 20000 }, (_, n) => n));"
            " client.call('SET', 'large', 'x'.repeat(1e7)); return client.call('GET', 'large').length; }",
        )
    )
    assert server.call("f") == 10_000_000
    assert server.run("LRANGE", "list", 0, -1) == [str(n) for n in range(20_000)]


# --- how long a client may be used ----------------------------------------------------------------------------------

USES = {
    "call": "c.call('INCR', 'n')",
    "call_raw": "c.call_raw('INCR', 'n')",
    "allow_block": "c.allow_block()",
    "run_on_background": "c.run_on_background(async () => {})",
}
KEPT = {
    "a later call": "() => USE",
    "a later call, in its name": "client => { Object.assign(client, { c }); USE; }",
    "a continuation": "client => { c = client; return Promise.resolve().then(() => USE); }",
    "a later background part": "client => client.run_on_background(async () => USE)",
    "a later async function": "async () => USE",
    "a later block": "async client => client.block(() => USE)",
    "behind its own block": "async client => { client.block(b => { c = b; }); await null; USE; }",
    "a second block": "async client => { client.block(b => { c = b; }); client.block(() => USE); }",
    "behind the first await in a block": "async client => client.block(async b => { c = b; await null; USE; })",
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("where", KEPT)
def test_a_client_that_was_kept_is_of_no_use(server, where, use):
    code = KEPT[where].replace("USE", USES[use])
    server.load("let c;", function("keep", "client => { c = client; }"), function("use", code))
    server.call("keep")
    assert call_error(server, "use") == INVALID
    assert server.run("EXISTS", "n") == 0


@pytest.mark.parametrize("use", USES)
def test_a_client_of_a_call_that_was_ended_is_of_no_use(server, use):
    server.load(
        "let c;",
        function("keep", "client => { c = client; for (;;); }"),
        function("use", f"() => {USES[use]}"),
        function("later", f"() => Promise.resolve().then(() => {USES[use]})"),
    )
    server.set_timeout(100)
    assert "terminated" in call_error(server, "keep")
    assert call_error(server, "use") == INVALID
    assert call_error(server, "later") == INVALID
    assert server.run("EXISTS", "n") == 0


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("this", ["null", "undefined", "{}", "Object.create(Object.getPrototypeOf(client))"])
@pytest.mark.parametrize("where", ["call", "continuation"])
def test_a_method_without_its_client_is_of_no_use(server, where, this, use):
    name, arguments = re.fullmatch(r"c\.(\w+)\((.*)\)", USES[use]).groups()
    steal = f"method.call({this}{', ' if arguments else ''}{arguments})"
    if where == "continuation":
        steal = f"Promise.resolve().then(() => {steal})"
    server.load(function("f", f"client => {{ const method = client.{name}; return {steal}; }}"))
    assert call_error(server, "f") == INVALID
    assert server.run("EXISTS", "n") == 0


def test_a_consumers_client_is_of_no_use_behind_its_callback(server):
    server.load(
        "let c;",
        consumer(callback="(client, data) => { c = client; client.call('INCR', 'n'); }"),
        consumer("other", "other", callback="(client, data) => { c.call('INCR', 'n'); }"),
        function("use", "() => c.call('INCR', 'n')"),
    )
    server.add("stream", 1)
    server.add("other", 1)
    assert last_error(server, "other", consumer="other") == INVALID
    assert call_error(server, "use") == INVALID
    assert server.run("GET", "n") == "1"


def test_an_async_client_may_be_used_later_and_acts_for_the_call_it_came_from(server):
    server.load(
        "let kept;",
        function("keep", "async client => { kept = client; }"),
        function("use", "async () => kept.block(c => c.call('INCR', 'n'))"),
        function("use_here", "() => Promise.resolve().then(() => kept.block(c => c.call('INCR', 'n')))"),
    )
    server.call("keep", client=server.connect(db=3))
    assert server.call("use") == 1
    assert server.call("use_here", client=server.connect(db=5)) == 2
    assert server.connect(db=3).get("n") == "2"
    assert server.run("EXISTS", "n") == 0


def test_clients_cannot_be_changed_for_others(server):
    server.load(
        function(
            "f",
            """client => {
                const prototype = Object.getPrototypeOf(client);
                prototype.call = () => 'spoilt';
                try { Object.defineProperty(prototype, 'call_raw', { value: () => 'spoilt' }); } catch (error) {}
                delete prototype.allow_block;
                Object.setPrototypeOf(client, {});
            }""",
        ),
        function("g", "client => [client.call('PING'), client.call_raw('ECHO', 'a'), client.allow_block()]"),
    )
    server.call("f")
    assert server.call("g") == ["PONG", "a", 1]


# --- databases ------------------------------------------------------------------------------------------------------

WRITES = {
    "a sync function": "client => client.call('INCR', 'n')",
    "an async function": "async client => client.block(c => c.call('INCR', 'n'))",
    "an async function behind an await": "async client => { await null;"
    " return client.block(c => c.call('INCR', 'n')); }",
    "a background part": "client => client.run_on_background(async b => b.block(c => c.call('INCR', 'n')))",
    "a background part of a background part": "client => client.run_on_background(async b =>"
    " b.block(c => c.run_on_background(async d => d.block(e => e.call('INCR', 'n')))))",
}


@pytest.mark.parametrize("what", WRITES)
def test_a_function_works_in_the_database_of_its_caller(server, what):
    server.load(function("f", WRITES[what]))
    for db in (3, 0, 15, 3):
        server.call("f", client=server.connect(db=db))
    counts = {db: server.connect(db=db).get("n") for db in range(16)}
    assert counts == dict.fromkeys(range(16)) | {0: "1", 3: "2", 15: "1"}


def test_a_function_in_a_transaction_works_in_the_database_of_the_moment(server):
    server.load(function("f", "client => client.call('INCR', 'n')"))
    call = ("RG.FCALL", "lib", "f", 0)
    client = server.connect()
    pipe = client.pipeline(transaction=True)
    for command in (call, ("SELECT", 4), call, call, ("SELECT", 0), call):
        pipe.execute_command(*command)
    assert [reply for reply in pipe.execute() if not isinstance(reply, bool) and reply != "OK"] == [1, 1, 2, 2]
    assert server.connect(db=4).get("n") == "2"


def test_a_call_that_waits_keeps_the_database_it_came_from(server):
    server.load(
        "let go;",
        function(
            "f", "async client => { await new Promise(r => { go = r; }); client.block(c => c.call('INCR', 'n')); }"
        ),
        function("go", "client => { client.call('INCR', 'settled'); go(); }"),
        function("waits", "() => go !== undefined"),
    )
    sent = server.send_call("f", db=3)
    server.wait(lambda: server.call("waits"), "the call did not begin")
    # The continuation runs in this call, on the main thread.
    server.call("go", client=server.connect(db=5))
    assert sent.reply() is None
    assert server.connect(db=3).get("n") == "1"
    assert server.connect(db=5).get("settled") == "1"
    assert [server.connect(db=db).dbsize() for db in (0, 3, 5)] == [0, 1, 1]


CONSUMES = {
    "a sync consumer": "(client, data) => { client.call('INCR', 'n'); }",
    "an async consumer": "async (client, data) => { await null; client.block(c => c.call('INCR', 'n')); }",
    "a background part of a consumer": "(client, data) =>"
    " client.run_on_background(async b => { b.block(c => c.call('INCR', 'n')); })",
}


@pytest.mark.parametrize("what", CONSUMES)
def test_a_consumer_works_in_the_database_of_its_stream(server, what):
    server.load(consumer(callback=CONSUMES[what]))
    clients = {db: server.connect(db=db) for db in (0, 2, 7)}
    for db in (2, 0, 2, 7, 2):
        server.add("stream", 1, client=clients[db])
    server.wait(lambda: [clients[db].get("n") for db in (0, 2, 7)] == ["1", "3", "1"], "writes are missing")


@pytest.mark.parametrize("what", CONSUMES)
def test_a_consumer_follows_its_stream_into_another_database(server, what):
    server.load(consumer(callback=CONSUMES[what]))
    server.add("stream", 1)
    server.wait(lambda: server.run("GET", "n") == "1", "the first write is missing")
    assert server.run("MOVE", "stream", 2) == 1
    there = server.connect(db=2)
    server.add("stream", 2, client=there)
    server.wait(lambda: there.get("n") == "1", "the second write is missing")
    assert server.run("GET", "n") == "1"


# --- promises -------------------------------------------------------------------------------------------------------

PROMISES = {
    "all": (
        "await Promise.all([1, Promise.resolve(2), client.block(c => c.call('INCR', 'n'))])",
        [1, 2, 1],
    ),
    "race": ("await Promise.race([new Promise(() => {}), Promise.resolve('first')])", "first"),
    "allSettled": (
        "(await Promise.allSettled([1, Promise.reject('no')])).map(r => `${r.status} ${r.value ?? r.reason}`)",
        ["fulfilled 1", "rejected no"],
    ),
    "any": ("await Promise.any([Promise.reject('no'), Promise.resolve('yes')])", "yes"),
    "any of none": (
        "await Promise.any([Promise.reject('no')]).catch(e => [e.constructor.name, e.errors[0]])",
        ["AggregateError", "no"],
    ),
    "resolve": ("await Promise.resolve('value')", "value"),
    "resolve of a promise": ("(p => Promise.resolve(p) === p)(Promise.resolve())", 1),
    "reject": ("await Promise.reject('no').catch(reason => `caught ${reason}`)", "caught no"),
    "withResolvers": (
        "await (({ promise, resolve }) => (resolve('value'), promise))(Promise.withResolvers())",
        "value",
    ),
    "then, catch and finally": (
        "await (log => Promise.reject('a').catch(e => log.push(e)).finally(() => log.push('b')).then(() => log))([])",
        ["a", "b"],
    ),
    "instanceof": ("[(async () => {})() instanceof Promise, Promise.resolve() instanceof Promise]", [1, 1]),
    "an executor that throws": ("await new Promise(() => { throw 'no'; }).catch(e => `caught ${e}`)", "caught no"),
    "settling twice": ("await new Promise((yes, no) => { yes(1); yes(2); no(3); })", 1),
    "subclasses": ("await (class Mine extends Promise {}).resolve('value')", "value"),
    "for await": (
        "await (async () => { const seen = []; for await (const n of [1, Promise.resolve(2)]) seen.push(n);"
        " return seen; })()",
        [1, 2],
    ),
    "background parts at once": (
        "await client.block(c => Promise.all([1, 2, 3].map(n => c.run_on_background(async b => n * 2))))",
        [2, 4, 6],
    ),
    "the first of two background parts": (
        "await client.block(c => Promise.race(['a', 'b'].map(n => c.run_on_background(async b => n))))",
        "a",
    ),
}


@pytest.mark.parametrize("what", PROMISES)
def test_promises_are_those_of_the_language(server, what):
    expression, expected = PROMISES[what]
    server.load(function("f", f"async client => {{ return {expression}; }}"))
    assert server.call("f") == expected


def test_a_redis_error_inside_block_is_caught_around_the_await(server):
    server.load(
        function(
            "f",
            """async client => {
                try {
                    await client.block(c => { c.call('SET', 'text', 'a'); return c.call('LPUSH', 'text', 'b'); });
                } catch (error) {
                    const again = client.block(c => c.call('GET', 'text'));
                    return [error instanceof Error, String(error), again];
                }
            }""",
        )
    )
    text = "WRONGTYPE Operation against a key holding the wrong kind of value"
    assert server.call("f") == [1, text, "a"]


def test_what_a_block_throws_comes_out_of_it_unchanged(server):
    server.load(
        function(
            "f",
            """async client => {
                const thrown = { me: 1 };
                try { client.block(() => { throw thrown; }); } catch (error) { return error === thrown; }
            }""",
        )
    )
    assert server.call("f") == 1


def test_a_promise_that_block_gives_is_a_promise(server):
    server.load(
        function(
            "f", "async client => client.block(async c => { const n = c.call('INCR', 'n'); await null; return n; })"
        ),
        function(
            "g",
            "async client => { const p = client.block(() => Promise.reject(new Error('no')));"
            " try { await p; } catch (error) { return `caught ${error.message}`; } }",
        ),
    )
    assert server.call("f") == 1
    assert server.call("g") == "caught no"


# --- rejections that nobody handles ---------------------------------------------------------------------------------

UNHANDLED = "library 'lib': unhandled rejection: "
REJECTS = {
    "sync function": function("f", "() => { breaks(); }"),
    "continuation": function("f", "() => { Promise.resolve().then(() => { breaks(); }); }"),
    "async function": function("f", "async () => { breaks(); await null; }"),
    "block": function("f", "async client => { client.block(() => { breaks(); }); }"),
    "background part": function(
        "f", "client => { client.run_on_background(async () => { await null; throw new Error('lost'); }); }"
    ),
    "background part of its own": function("f", "client => { client.run_on_background(async () => { breaks(); }); }"),
}
BREAKS = "async function breaks() { throw new Error('lost'); }"


@pytest.mark.parametrize("where", REJECTS)
def test_a_rejection_that_nobody_handles_is_in_the_log_with_its_stack(server, where):
    server.load(BREAKS, REJECTS[where])
    server.call("f")
    server.wait_message(UNHANDLED)
    [text] = server.messages(UNHANDLED)
    assert text.startswith("Error: lost|")
    assert re.search(r"at .*lib:\d+:\d+", text)
    [line] = [line for line in server.log_text().splitlines() if UNHANDLED in line]
    assert re.match(r"\d+:M .* # <redisgears_2> ", line)


def test_a_consumers_lost_promise_is_in_the_log_and_does_not_fail_the_entry(server):
    server.load(BREAKS, consumer(callback="(client, data) => { breaks(); }"))
    server.add("stream", 1)
    server.wait_message(UNHANDLED)
    assert last_error(server) == "None"


def test_a_rejection_while_loading_is_in_the_log(server):
    server.load("Promise.reject(new Error('lost')); 0;", function())
    server.wait_message(UNHANDLED)
    assert server.messages(UNHANDLED)[0].startswith("Error: lost|")


HANDLED = {
    "at once": "() => { Promise.reject('no').catch(() => {}); }",
    "behind the call": "() => { const p = Promise.reject('no'); Promise.resolve().then(() => p.catch(() => {})); }",
    "behind several awaits": "async () => { const p = Promise.reject('no');"
    " for (let n = 0; n < 5; n++) await null; p.catch(() => {}); }",
    "by await": "async () => { try { await Promise.reject('no'); } catch (error) {} }",
    "by all": "async () => { await Promise.all([Promise.reject('no'), Promise.reject('no')]).catch(() => {}); }",
    "behind a block": "async client => { const p = Promise.reject('no');"
    " client.block(c => c.call('PING')); p.catch(() => {}); }",
    "behind a function's result": "client => Promise.resolve(client.run_on_background(async () => { throw 'no'; }))"
    ".catch(() => 'fine')",
}


@pytest.mark.parametrize("when", HANDLED)
def test_a_rejection_that_is_handled_is_not_in_the_log(server, when):
    server.load(function("f", HANDLED[when]), function("lost", "() => { Promise.reject('seen'); }"))
    server.call("f")
    # What follows it shows that the log is up to date.
    server.call("lost")
    server.wait_message(UNHANDLED)
    assert server.messages(UNHANDLED) == ["seen"]


def test_a_rejection_that_a_caller_or_an_entry_is_told_of_is_not_in_the_log(server):
    server.load(
        function("f", "async () => { throw new Error('told'); }"),
        function("g", "() => Promise.reject(new Error('told'))"),
        consumer(callback="async (client, data) => { await null; throw new Error('told'); }"),
        function("lost", "async () => { Promise.reject('seen'); }"),
    )
    assert call_error(server, "f") == call_error(server, "g") == "Error: told"
    server.add("stream", 1)
    server.wait_stream(last_error="Error: told")
    server.call("lost")
    server.wait_message(UNHANDLED)
    assert server.messages(UNHANDLED) == ["seen"]


@pytest.mark.parametrize("thrown", ["null", "Symbol('s')", "new Proxy({}, { get() { throw 1; } })", "'a\\nb'"])
def test_whatever_is_rejected_makes_one_line_in_the_log(server, thrown):
    server.load(function("f", f"() => {{ Promise.reject({thrown}); }}"))
    server.call("f")
    server.wait_message(UNHANDLED)
    assert len(server.messages(UNHANDLED)) == 1
    assert server.call("f") is None


def test_many_lost_rejections_do_not_fill_the_log(server):
    server.load(function("f", "() => { for (let n = 0; n < 500; n++) Promise.reject(n); }"))
    server.call("f")
    server.wait_message("library 'lib': ", 9)
    assert server.messages(UNHANDLED) == [str(n) for n in range(8)]
    assert server.messages("library 'lib': ")[-1] == "492 more unhandled rejections in the same run"


# --- errors ---------------------------------------------------------------------------------------------------------

FAILS = {
    "sync": "client => { breaks(client); }",
    "async": "async client => { breaks(client); }",
    "pending": "async client => { await client.block(c => c.run_on_background(async () => {})); breaks(client); }",
    "background": "client => client.run_on_background(async b => { breaks(b); })",
}


@pytest.mark.parametrize("kind", FAILS)
def test_the_stack_shows_on_one_line_of_the_error_and_only_when_asked_for(server, kind):
    server.load("function breaks() { throw new TypeError('of this kind'); }", function("f", FAILS[kind]))
    assert call_error(server, "f") == "TypeError: of this kind"
    with server.setting("redisgears_2.error-verbosity", 2):
        text = call_error(server, "f")
    assert re.match(r"TypeError: of this kind\|.*at breaks \(lib:\d+:\d+\)\|", text)
    assert "<redisgears>" not in text
    assert call_error(server, "f") == "TypeError: of this kind"


def test_an_error_of_a_command_keeps_its_code_also_with_the_stack(server):
    """Clients tell errors apart by their first word."""
    server.load(function("f", "client => { client.call('LPUSH', 'text', 'a'); }"))
    server.run("SET", "text", "a")
    with server.setting("redisgears_2.error-verbosity", 2):
        text = call_error(server, "f")
    assert text.startswith("WRONGTYPE Operation against a key holding the wrong kind of value|")
    assert re.search(r"lib:\d+:\d+", text)


# --- the log --------------------------------------------------------------------------------------------------------

LEVELS = {"debug": ".", "verbose": "-", "notice": "*", "warning": "#"}


@pytest.mark.parametrize("loglevel", LEVELS)
def test_messages_have_levels_and_show_as_the_server_is_told(server, loglevel):
    server.load(
        function(
            "f",
            "() => { for (const level of ['debug', 'verbose', 'notice', 'warning'])"
            " redis.log(`level ${level}`, level); redis.log('level none'); redis.log('end', 'warning'); }",
        ),
    )
    with server.setting("loglevel", loglevel):
        server.call("f")
    server.wait_message("end")
    shown = list(LEVELS)[list(LEVELS).index(loglevel) :]
    lines = re.findall(r"(\S) <redisgears_2> level (\w+)", server.log_text())
    expected = [(LEVELS[name], name) for name in shown]
    assert lines == expected + ([("*", "none")] if loglevel != "warning" else [])


@pytest.mark.parametrize("where", ["async", "background"])
def test_messages_of_background_parts_show_too(server, where):
    code = "async () => { redis.log('from there', 'warning'); }"
    server.load(function("f", code if where == "async" else f"client => client.run_on_background({code})"))
    server.call("f")
    assert server.messages("from ") == ["there"]


# --- background parts -----------------------------------------------------------------------------------------------


def test_allow_block_says_whether_the_caller_can_wait(server):
    server.load(
        function("f", "client => client.allow_block()"),
        function("g", "async client => client.block(c => c.allow_block())"),
        consumer(callback="(client, data) => { redis.log(`may block ${client.allow_block()}`); }"),
        function("wrong", "client => client.allow_block(1)"),
    )
    assert server.call("f", client=server.connect(protocol=3)) is True
    assert server.call("g", client=server.connect(protocol=3)) is True
    assert in_transaction(server, ("RG.FCALL", "lib", "f", 0)) == [0]
    server.add("stream", 1)
    assert server.messages("may block ") == ["true"]
    assert call_error(server, "wrong") == "TypeError: Wrong number of arguments to 'allow_block' function"


def test_a_function_may_wait_where_it_can_and_answer_at_once_where_it_cannot(server):
    server.load(
        function(
            "f",
            "client => client.allow_block() ? client.run_on_background(async () => 'later') : 'at once'",
        )
    )
    assert server.call("f") == "later"
    assert in_transaction(server, ("RG.FCALL", "lib", "f", 0)) == ["at once"]


def test_a_background_part_acts_behind_the_call_that_began_it(server):
    server.load(
        function(
            "f",
            "client => { client.run_on_background(async b => { b.block(c => c.call('RPUSH', 'list', 'background')); });"
            " client.call('RPUSH', 'list', 'call'); }",
        )
    )
    server.call("f")
    server.wait(lambda: server.run("LLEN", "list") == 2, "the background part did not act")
    assert server.run("LRANGE", "list", 0, -1) == ["call", "background"]


VALUES = {
    "7": 7,
    "-0.5": -0.5,
    "9007199254740993n": 2**53 + 1,
    "true": True,
    "null": None,
    "undefined": None,
    "'ä'": "ä",
    "[1, [2, 'a']]": [1, [2, "a"]],
    "new Set(['a', 'b'])": {"a", "b"},
    "new Map([['a', 1], ['b', [2]]])": {"a": 1, "b": [2]},
    "({ a: 1, b: { c: true } })": {"a": 1, "b": {"c": True}},
    "new Uint8Array([97, 98])": "ab",
}
WAYS = {
    "sync": "client => ({})",
    "async": "async client => ({})",
    "background": "client => client.run_on_background(async b => ({}))",
    "background behind an await": "client => client.run_on_background(async b => {{ await null; return ({}); }})",
    "block": "async client => client.block(c => ({}))",
    "promise that settles in a background part": "client => new Promise(resolve => {{"
    " client.run_on_background(async b => {{ b.block(c => c.call('PING')); resolve({}); }}); }})",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("expression", VALUES)
def test_a_value_keeps_its_type_whatever_way_it_comes(server, expression, way):
    server.load(function("f", WAYS[way].format(expression)))
    reply = server.call("f", client=server.connect(protocol=3))
    if isinstance(VALUES[expression], set):
        assert isinstance(reply, (set, list))
        reply = set(reply)
    assert reply == VALUES[expression]
    assert type(reply) is type(VALUES[expression])


NO_COUNT = "TypeError: Wrong number of arguments to 'run_on_background' function"
NO_ASYNC = "TypeError: First argument to 'run_on_background' must be an async function"
WRONG_BACKGROUND = {
    "client.run_on_background()": NO_COUNT,
    "client.run_on_background(async () => {}, 1)": NO_COUNT,
    "client.run_on_background(() => {})": NO_ASYNC,
    "client.run_on_background(async function* () {})": NO_ASYNC,
    "client.run_on_background(null)": NO_ASYNC,
    "client.block(() => {})": "TypeError: client.block is not a function",
}


@pytest.mark.parametrize("statement", WRONG_BACKGROUND)
def test_a_wrong_background_part_is_refused(server, statement):
    server.load(function("f", f"client => {{ {statement}; }}"))
    assert call_error(server, "f") == WRONG_BACKGROUND[statement]


WRONG_BLOCKS = {
    "client.block()": "TypeError: Argument to 'block' must be a function",
    "client.block(null)": "TypeError: Argument to 'block' must be a function",
    "client.block('f')": "TypeError: Argument to 'block' must be a function",
    "client.block({})": "TypeError: Argument to 'block' must be a function",
    "client.call('PING')": "TypeError: client.call is not a function",
    "client.block(() => client.block(() => {}))": "Error: Main thread is already blocked",
    "client.block(c => Promise.resolve(client.block(() => {})))": "Error: Main thread is already blocked",
    "client.block.call({}, () => {})": "TypeError",
    "client.block.call(null, () => {})": "TypeError",
}


@pytest.mark.parametrize("statement", WRONG_BLOCKS)
def test_a_wrong_block_is_refused_and_the_next_one_works(server, statement):
    server.load(
        function("f", f"async client => {{ await {statement}; }}"),
        function(
            "g",
            f"async client => {{ try {{ await {statement}; }} catch (error) {{}}"
            " return client.block(c => c.call('INCR', 'n')); }",
        ),
    )
    assert WRONG_BLOCKS[statement] in call_error(server, "f")
    assert [server.call("g"), server.call("g")] == [1, 2]


def test_a_block_in_a_sync_call_that_runs_is_refused(server):
    server.load(
        "let kept;",
        function("keep", "async client => { kept = client; }"),
        function("f", "client => kept.block(c => c.call('INCR', 'n'))"),
        function("g", "client => { try { kept.block(() => {}); } catch (error) {} return client.call('INCR', 'n'); }"),
    )
    server.call("keep")
    assert call_error(server, "f") == "Error: Main thread is already blocked"
    assert server.call("g") == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_a_block_is_atomic(start_server, threads):
    """Two libraries and a client change the same counter; each reads it and writes it."""
    server = start_server(module_args=f"execution-threads {threads}")
    steps = """async client => {
        for (let n = 0; n < 200; n++) {
            client.block(c => {
                const before = Number(c.call('GET', 'n') ?? 0);
                for (let m = 0; m < 20; m++) c.call('PING');
                c.call('SET', 'n', before + 1);
            });
            if (n % 10 === 0) await null;
        }
    }"""
    for name in ("one", "two"):
        server.load(function("f", steps), name=name)
    calls = [server.send_call("f", library=name) for name in ("one", "one", "two", "two")]
    count = 0
    while not all(sent.is_answered() for sent in calls):
        server.run("INCR", "n")
        count += 1
    for sent in calls:
        assert sent.reply() is None
    assert int(server.run("GET", "n")) == 800 + count
    assert count > 0


def test_nothing_comes_between_the_commands_of_a_sync_function(server):
    server.load(
        function("f", "client => { for (let n = 0; n < 50; n++) client.call('RPUSH', 'list', 'f'); }"),
    )
    other = server.connect()
    calls = [server.send_call("f") for _ in range(20)]
    while not all(sent.is_answered() for sent in calls):
        other.rpush("list", "x")
    runs = [len(run) for run in re.findall("f+", "".join(server.run("LRANGE", "list", 0, -1)))]
    assert all(run % 50 == 0 for run in runs)
    assert sum(runs) == 1000


# --- units of replication -------------------------------------------------------------------------------------------


@pytest.fixture
def aof(start_server):
    """A server that logs what it replicates; ``aof.units()`` gives that."""
    server = start_server(configuration="appendonly yes\nauto-aof-rewrite-percentage 0\n")
    server.units = lambda: units_of(server)
    return server


def commands_of(server):
    """The commands in the append-only file."""
    [path] = server.directory.rglob("*.incr.aof")
    data = path.read_bytes()
    at = 0

    def number(kind):
        nonlocal at
        assert data[at : at + 1] == kind, data[at : at + 40]
        end = data.index(b"\r\n", at)
        value = int(data[at + 1 : end])
        at = end + 2
        return value

    while at < len(data):
        words = []
        for _ in range(number(b"*")):
            length = number(b"$")
            words.append(data[at : at + length].decode("utf-8", "backslashreplace"))
            at += length + 2
        yield words


def units_of(server, cursors=False):
    """What was replicated: lists of commands as texts, one list for each transaction, or command outside of one. Of what
    the module tells itself, ``cursors`` shows how far consumers are."""
    units, open_unit = [], None
    for words in commands_of(server):
        name, arguments = words[0].upper(), words[1:]
        if name == "_RG_INTERNALS":
            if words[1] != "cursor" or not cursors:
                continue
            name, arguments = "CURSOR", [words[4], words[5]]
        if name == "MULTI":
            assert open_unit is None
            open_unit = []
        elif name == "EXEC":
            units.append(open_unit)
            open_unit = None
        elif name != "SELECT":
            text = " ".join([name, *arguments])
            text = re.sub(r"\b\d{13}-\d+\b", "ID", text)
            if open_unit is None:
                units.append([text])
            else:
                open_unit.append(text)
    assert open_unit is None
    return [unit for unit in units if unit]


THREE = "['a', 'b', 'c'].forEach(key => c.call('INCR', key))"
THREE_IN_ORDER = ["INCR a", "INCR b", "INCR c"]
UNIT_WAYS = {
    "sync": f"c => {{ {THREE}; }}",
    "async": f"async client => {{ client.block(c => {{ {THREE}; }}); }}",
    "background": f"client => client.run_on_background(async b => {{ await null; b.block(c => {{ {THREE}; }}); }})",
    "promise": f"client => {{ const c = client; {THREE}; return Promise.resolve(); }}",
    "throws": f"c => {{ {THREE}; throw new Error('no'); }}",
}


@pytest.mark.parametrize("way", UNIT_WAYS)
def test_the_writes_of_a_function_are_one_unit_and_its_call_is_not_replicated(aof, way):
    aof.load(function("f", UNIT_WAYS[way]))
    aof.run("SET", "before", 1)
    for _ in range(3):
        if way == "throws":
            assert call_error(aof, "f") == "Error: no"
        else:
            aof.call("f")
    aof.run("SET", "after", 1)
    aof.wait(lambda: aof.units()[-1:] == [["SET after 1"]], aof.units)
    assert aof.units() == [["SET before 1"], *[THREE_IN_ORDER] * 3, ["SET after 1"]]


def test_a_function_that_writes_nothing_replicates_nothing(aof):
    aof.load(
        function("f", "client => client.call('GET', 'a')"),
        function("g", "async client => client.block(c => c.call('GET', 'a'))"),
        function("h", "async () => 'value'"),
    )
    for name in "fgh":
        for _ in range(3):
            aof.call(name)
    aof.run("SET", "after", 1)
    aof.wait(aof.units, "the file is empty")
    assert aof.units() == [["SET after 1"]]


def test_a_function_in_a_transaction_is_part_of_it(aof):
    aof.load(function("f", UNIT_WAYS["sync"]))
    in_transaction(aof, ("SET", "x", 1), ("RG.FCALL", "lib", "f", 0), ("SET", "y", 1), ("RG.FCALL", "lib", "f", 0))
    aof.wait(aof.units, "the file is empty")
    assert aof.units() == [["SET x 1", *THREE_IN_ORDER, "SET y 1", *THREE_IN_ORDER]]


def test_each_block_is_a_unit_and_what_comes_between_stays_between(aof):
    aof.load(
        "let go;",
        function(
            "f",
            f"async client => {{ client.block(c => {{ {THREE}; }}); await new Promise(r => {{ go = r; }});"
            f" client.block(c => {{ {THREE}; }}); }}",
        ),
        function("waits", "() => go !== undefined"),
        function("go", "() => { go(); }"),
    )
    sent = aof.send_call("f")
    aof.wait(lambda: aof.call("waits"), "the call did not begin")
    aof.run("SET", "between", 1)
    aof.call("go")
    sent.reply()
    aof.wait(lambda: len(aof.units()) == 3, aof.units)
    assert aof.units() == [THREE_IN_ORDER, ["SET between 1"], THREE_IN_ORDER]


def test_writes_in_another_database_are_replicated_there(aof):
    aof.load(
        "let kept;",
        function("f", UNIT_WAYS["sync"]),
        function("g", UNIT_WAYS["async"]),
        function("keep", "async client => { kept = client; }"),
        # The first three in the database of the caller, the others in that of the client that was kept.
        function("h", f"c => {{ {THREE}; return Promise.resolve().then(() => kept.block(c => {{ {THREE}; }})); }}"),
    )
    aof.run("SET", "x", 0)
    aof.call("f", client=aof.connect(db=3))
    aof.run("SET", "x", 1)
    aof.call("g", client=aof.connect(db=4))
    aof.run("SET", "x", 2)
    aof.call("keep", client=aof.connect(db=6))
    aof.call("h", client=aof.connect(db=5))
    aof.run("SET", "x", 3)
    aof.wait(lambda: ["SET x 3"] in aof.units(), aof.units)
    db, seen = 0, {}
    for words in commands_of(aof):
        if words[0].upper() == "SELECT":
            db = int(words[1])
        elif words[0].upper() not in ("MULTI", "EXEC", "_RG_INTERNALS"):
            seen.setdefault(db, []).append(" ".join(words))
    assert seen == {0: [f"SET x {n}" for n in range(4)]} | dict.fromkeys((3, 4, 5, 6), THREE_IN_ORDER)


WRITE_TWO = "client.call('RPUSH', 'seen', value(data)); client.call('INCR', 'n');"


def flat(units):
    return [command for unit in units for command in unit]


def test_the_writes_of_a_sync_consumer_follow_their_entry(aof):
    aof.load(consumer(callback=f"(client, data) => {{ {WRITE_TWO} }}"))
    aof.add("stream", *"abc")
    aof.run("SET", "after", 1)
    aof.wait(lambda: aof.units()[-1:] == [["SET after 1"]], aof.units)
    units = aof.units()[:-1]
    entries = [[f"XADD stream ID n {one}", f"RPUSH seen {one}", "INCR n"] for one in "abc"]
    assert flat(units) == flat(entries)
    if runs_in_the_command(aof):
        assert units == entries
    else:
        assert units == [unit for entry in entries for unit in (entry[:1], entry[1:])]
    # In the same unit is how far the consumer is then.
    units = [unit for unit in units_of(aof, cursors=True) if "INCR n" in unit]
    assert [unit[-2:] for unit in units] == [["INCR n", "CURSOR stream ID"]] * 3


@pytest.mark.parametrize("trim", [False, True])
def test_the_writes_of_a_sync_consumer_follow_the_pipeline_that_added_their_entries(aof, trim):
    aof.load(consumer(trim=trim, callback=f"(client, data) => {{ {WRITE_TWO} }}"))
    pipe = aof.client.pipeline(transaction=False)
    for n in range(20):
        pipe.execute_command("XADD", "stream", "*", "n", n)
    pipe.execute()
    aof.run("SET", "after", 1)
    aof.wait(lambda: aof.units()[-1:] == [["SET after 1"]], aof.units)
    commands = flat(aof.units())
    for n in range(20):
        assert commands.index(f"XADD stream ID n {n}") < commands.index(f"RPUSH seen {n}")
    # Each entry's writes lie in one unit, one behind the other.
    for unit in aof.units():
        for at, command in enumerate(unit):
            if command.startswith("RPUSH"):
                assert unit[at + 1] == "INCR n"
    assert commands.count("INCR n") == 20
    trims = [command for command in commands if command.startswith("XTRIM")]
    assert bool(trims) == trim


def test_the_writes_of_a_sync_consumer_follow_the_transaction_that_added_its_entries(aof):
    aof.load(consumer(callback=f"(client, data) => {{ {WRITE_TWO} }}"))
    in_transaction(aof, ("XADD", "stream", "*", "n", "a"), ("SET", "x", 1), ("XADD", "stream", "*", "n", "b"))
    aof.run("SET", "after", 1)
    aof.wait(lambda: aof.units()[-1:] == [["SET after 1"]], aof.units)
    commands = flat(aof.units())
    assert commands == [
        "XADD stream ID n a",
        "SET x 1",
        "XADD stream ID n b",
        "RPUSH seen a",
        "INCR n",
        "RPUSH seen b",
        "INCR n",
        "SET after 1",
    ]
    assert aof.units()[0][:3] == commands[:3]


def test_the_writes_of_an_async_consumer_follow_their_entry_as_units(aof):
    aof.load(
        consumer(
            callback="async (client, data) => { client.block(client => { " + WRITE_TWO + " }); redis.log('done'); }"
        )
    )
    aof.add("stream", *"abc")
    aof.wait_message("done", 3)
    aof.wait(lambda: len(aof.units()) == 6, aof.units)
    units = aof.units()
    for one in "abc":
        assert [f"RPUSH seen {one}", "INCR n"] in units
        assert units.index([f"XADD stream ID n {one}"]) < units.index([f"RPUSH seen {one}", "INCR n"])


def test_an_entry_that_a_function_adds_is_replicated_before_what_comes_of_it(aof):
    aof.load(
        consumer(callback=f"(client, data) => {{ {WRITE_TWO} }}"),
        function("f", "client => { client.call('XADD', 'stream', '*', 'n', 'a'); client.call('SET', 'f', 1); }"),
        function(
            "g",
            "async client => client.block(client => { client.call('XADD', 'stream', '*', 'n', 'b');"
            " client.call('SET', 'g', 1); })",
        ),
    )
    aof.call("f")
    aof.call("g")
    aof.wait(lambda: len(flat(aof.units())) == 8, aof.units)
    assert flat(aof.units()) == [
        "XADD stream ID n a",
        "SET f 1",
        "RPUSH seen a",
        "INCR n",
        "XADD stream ID n b",
        "SET g 1",
        "RPUSH seen b",
        "INCR n",
    ]


def test_what_was_logged_gives_the_same_data_again(aof):
    mixed(aof)
    before = settled_digest(aof)
    aof.run("RG.FUNCTION", "DEL", "lib")
    aof.run("DEBUG", "LOADAOF")
    assert aof.run("DEBUG", "DIGEST") == before


def mixed(server):
    """Work of all kinds; ends when all of it is done."""
    server.load(
        consumer("sync", "s", trim=True, callback=f"(client, data) => {{ {WRITE_TWO} }}"),
        consumer(
            "async",
            "a",
            window=5,
            trim=True,
            callback="async (client, data) => { await null; client.block(c => {"
            " c.call('HINCRBY', 'hash', value(data) % 7, 1); c.call('INCR', 'done'); }); }",
        ),
        consumer(
            "forward",
            "f",
            callback="(client, data) => { client.call('XADD', 's', '*', 'n', value(data));"
            " client.call('XADD', 'a', '*', 'n', value(data)); }",
        ),
        function("sync", "(client, n) => { client.call('SADD', 'set', n); client.call('XADD', 's', '*', 'n', n); }"),
        function(
            "async",
            "async (client, n) => { for (let m = 0; m < 3; m++) {"
            " client.block(c => { c.call('INCR', 'counter'); c.call('XADD', 'a', '*', 'n', n); });"
            " await null; } }",
        ),
        function(
            "background",
            "(client, n) => { client.call('RPUSH', 'list', n);"
            " return client.run_on_background(async b => b.block(c => c.call('EXPIRE', 'list', 1000 + Number(n)))); }",
        ),
    )
    other = server.connect(db=2)
    for n in range(100):
        server.add("f", n)
        server.call("sync", n)
        server.call("async", n)
        server.call("background", n)
        server.call("sync", n, client=other)
        if n % 10 == 0:
            in_transaction(server, ("XADD", "f", "*", "n", n), ("RG.FCALL", "lib", "sync", 0, n), ("INCR", "x"))
    server.wait(lambda: server.run("GET", "done") == "410", lambda: server.run("GET", "done"))
    assert server.run("GET", "n") == "220"
    assert server.run("GET", "counter") == "300"


def settled_digest(server):
    """The digest of the data, once all trims are done."""
    server.wait(lambda: server.run("XLEN", "s") == 0 and server.run("XLEN", "a") == 0, "the trims are missing")
    return server.run("DEBUG", "DIGEST")


def test_after_work_of_all_kinds_primary_and_replica_hold_the_same(pair):
    mixed(pair)
    settled_digest(pair)
    pair.wait(lambda: pair.run("DEBUG", "DIGEST") == pair.replica.run("DEBUG", "DIGEST"), "they differ")
    assert pair.replica.run("GET", "n") == "220"
    assert pair.replica.run("DEBUG", "DIGEST") != "0" * 40


# --- triggers of triggers -------------------------------------------------------------------------------------------


def link(number, prefix="link"):
    """A consumer that forwards entries of one stream to the next."""
    return consumer(
        f"link{number}",
        f"{prefix}:{number}",
        callback=f"(client, data) => {{ client.call('XADD', '{prefix}:{number + 1}', '*', 'n', value(data)); }}",
    )


def test_a_consumer_writes_a_stream_whose_consumer_writes_a_key(server):
    server.load(
        consumer("a", "a", callback="(client, data) => { client.call('XADD', 'b', '*', 'n', value(data)); }"),
        consumer("b", "b", callback="(client, data) => { client.call('SET', 'key', value(data)); }"),
    )
    for n in range(20):
        server.add("a", n)
        assert server.run("GET", "key") == str(n)


@pytest.mark.parametrize("libraries", [1, 2])
def test_a_chain_of_ten_streams_is_processed_before_the_reply(server, libraries):
    links = [link(number) for number in range(10, 20)]
    for n in range(libraries):
        server.load(*links[n::libraries], name=f"lib{n}")
    server.load(consumer("end", "link:20", callback="(client, data) => { client.call('RPUSH', 'end', value(data)); }"))
    for n in range(10):
        server.add("link:10", n)
        assert server.run("LRANGE", "end", 0, -1) == [str(m) for m in range(n + 1)]


def test_a_chain_is_processed_before_the_next_command_of_a_pipeline(server):
    if not runs_in_the_command(server):
        pytest.skip("this server runs sync callbacks before the replies are sent, but not within the command")
    server.load(
        *(link(number) for number in range(10, 20)),
        consumer("end", "link:20", callback="(client, data) => { client.call('RPUSH', 'end', value(data)); }"),
    )
    pipe = server.client.pipeline(transaction=False)
    for n in range(10):
        pipe.execute_command("XADD", "link:10", "*", "n", n)
        pipe.execute_command("LLEN", "end")
    assert pipe.execute()[1::2] == list(range(1, 11))


@pytest.mark.parametrize("how", ["MULTI", "Lua", "function", "background"])
def test_a_chain_begins_wherever_its_first_entry_comes_from(server, how):
    server.load(
        *(link(number) for number in range(10, 20)),
        consumer("end", "link:20", callback="(client, data) => { client.call('RPUSH', 'end', value(data)); }"),
        function("f", "client => client.call('XADD', 'link:10', '*', 'n', 'a')"),
        function("g", "async client => client.block(c => c.call('XADD', 'link:10', '*', 'n', 'a'))"),
    )
    if how == "MULTI":
        in_transaction(server, ("XADD", "link:10", "*", "n", "a"))
    elif how == "Lua":
        server.run("EVAL", "return redis.call('XADD', 'link:10', '*', 'n', 'a')", 0)
    else:
        server.call("f" if how == "function" else "g")
    if how == "background":
        server.wait(lambda: server.run("LLEN", "end") == 1, "the chain has no end")
    assert server.run("LRANGE", "end", 0, -1) == ["a"]


def test_a_chain_branches(server):
    """Every entry of one stream adds two to the next: 2^8 come out at the end."""
    twice = "(client, data) => {{ for (const n of [1, 2]) client.call('XADD', 'b:{}', '*', 'n', value(data) + n); }}"
    server.load(
        *(consumer(f"c{n}", f"b:{n}", callback=twice.format(n + 1)) for n in range(1, 9)),
        consumer("end", "b:9", callback="(client, data) => { client.call('SADD', 'end', value(data)); }"),
    )
    server.add("b:1", "x")
    server.wait(lambda: server.run("SCARD", "end") == 256, lambda: server.run("SCARD", "end"))
    assert server.run("XLEN", "b:9") == 256


ENDLESS = {
    "a stream that feeds itself": [
        consumer(callback="(client, data) => { client.call('XADD', data.stream_name, '*', 'n', +value(data) + 1); }")
    ],
    "two streams that feed each other": [
        consumer(
            callback="(client, data) => { client.call('XADD', data.stream_name === 'stream' ? 'stream:2' : 'stream',"
            " '*', 'n', +value(data) + 1); }"
        )
    ],
    "ever new streams": [
        consumer(
            callback="(client, data) => { const n = +value(data) + 1; client.call('XADD', `stream:${n}`, '*',"
            " 'n', n); }"
        )
    ],
}


def total_length(server, pattern="stream*"):
    return sum(server.run("XLEN", key) for key in server.run("KEYS", pattern))


@pytest.mark.parametrize("what", ENDLESS)
def test_a_chain_without_end_is_ended_with_an_error(server, what):
    server.load(*ENDLESS[what])
    server.add("stream", 0)
    # The entry that a client adds, and 32 that callbacks add.
    assert total_length(server) == 33
    streams = server.consumer()["streams"]
    errors = [row["last_error"] for row in streams.values() if row["last_error"] != "None"]
    assert len(errors) == 1
    assert TOO_DEEP in errors[0]
    assert sum(row["total_record_processed"] for row in streams.values()) == 33
    # Nothing of it stays behind: the next entry has a whole chain of its own.
    server.add("stream", 100)
    assert total_length(server) == 66
    assert server.run("PING")


def test_a_chain_without_end_is_ended_also_where_it_takes_longer_than_a_round_may(server):
    """What a round has no time for is for the next one, and is as deep there."""
    server.load(
        consumer(
            callback="(client, data) => { const n = +value(data), end = Date.now() + 30; while (Date.now() < end);"
            " if (n < 100) client.call('XADD', 'stream', '*', 'n', n + 1); }"
        )
    )
    server.add("stream", 0)

    def is_done():
        return server.stream("stream")["total_record_processed"] == server.run("XLEN", "stream")

    server.wait(is_done, lambda: server.stream("stream"))
    assert server.run("XLEN", "stream") == 33
    assert TOO_DEEP in last_error(server)


def test_a_callback_at_the_end_of_a_chain_may_catch_that_and_go_on(server):
    server.load(
        consumer(
            callback="(client, data) => { try { client.call('XADD', 'stream', '*', 'n', 1); }"
            " catch (error) { client.call('RPUSH', 'caught', error.message);"
            " client.call('XADD', 'elsewhere', '*', 'n', 1); } }"
        )
    )
    server.add("stream", 0)
    [caught] = server.run("LRANGE", "caught", 0, -1)
    assert TOO_DEEP in caught
    # A stream that no sync consumer reads is no link of the chain.
    assert server.run("XLEN", "elsewhere") == 1
    assert last_error(server) == "None"


def test_a_chain_of_32_is_not_too_deep(server):
    server.load(
        consumer(
            callback="(client, data) => { const n = +value(data); if (n > 0)"
            " client.call('XADD', `stream:${n}`, '*', 'n', n - 1); else client.call('SET', 'end', 1); }"
        )
    )
    server.add("stream", 32)
    assert server.run("GET", "end") == "1"
    assert {row["last_error"] for row in server.consumer()["streams"].values()} == {"None"}


def test_an_async_chain_may_be_of_any_length(server):
    server.load(
        consumer(
            callback="async (client, data) => { const n = +value(data);"
            " client.block(c => n > 0 ? c.call('XADD', 'stream', '*', 'n', n - 1) : c.call('SET', 'end', 1)); }"
        )
    )
    server.add("stream", 200)
    server.wait(lambda: server.run("GET", "end") == "1", lambda: server.stream("stream"))
    server.wait_stream(last_error="None", total_record_processed=201, pending_ids=[])


@pytest.mark.parametrize("entries", [5, 1000])
def test_a_stream_that_is_read_and_written_by_its_own_consumer_keeps_every_entry(server, entries):
    """The consumer adds an entry for each one that a client added, and not for its own."""
    server.load(
        consumer(
            callback="(client, data) => { client.call('SADD', 'seen', value(data));"
            " if (!value(data).includes('x')) client.call('XADD', 'stream', '*', 'n', value(data) + 'x'); }"
        )
    )
    pipe = server.client.pipeline(transaction=False)
    for n in range(entries):
        pipe.execute_command("XADD", "stream", "*", "n", n)
    pipe.execute()
    server.wait_stream(total_record_processed=2 * entries, pending_ids=[], last_error="None")
    assert set(server.run("SMEMBERS", "seen")) == {f"{n}{x}" for n in range(entries) for x in ("", "x")}
    assert server.run("XLEN", "stream") == 2 * entries


# --- consumers that change what they read ---------------------------------------------------------------------------

SPOILS = {
    "DEL": "client.call('DEL', data.stream_name)",
    "UNLINK": "client.call('UNLINK', data.stream_name)",
    "FLUSHALL": "client.call('FLUSHALL')",
    "FLUSHDB ASYNC": "client.call('FLUSHDB', 'ASYNC')",
    "XTRIM": "client.call('XTRIM', data.stream_name, 'MAXLEN', 0)",
    "XTRIM to the last": "client.call('XTRIM', data.stream_name, 'MAXLEN', 1)",
    "XDEL": "client.call('XDEL', data.stream_name, data.id.join('-'))",
    "RENAME": "client.call('RENAME', data.stream_name, `${data.stream_name}x`)",
    "RENAME out of the way": "client.call('RENAME', data.stream_name, 'elsewhere')",
    "MOVE": "client.call('MOVE', data.stream_name, 9)",
    "SET": "client.call('SET', data.stream_name, 'no stream')",
    "PEXPIRE": "client.call('PEXPIRE', data.stream_name, 0)",
    "XSETID": "client.call('XSETID', data.stream_name, '99999999999999-0')",
    "DEL and XADD": "client.call('DEL', data.stream_name);"
    " if (value(data) !== 'again') client.call('XADD', data.stream_name, '1-1', 'n', 'again')",
    "COPY": "client.call('COPY', data.stream_name, 'copy', 'REPLACE')",
    "SWAPDB": "client.call('SWAPDB', 0, 5)",
}
KINDS = {
    "sync": "(client, data) => {{ saw(data); {}; }}",
    "async": "async (outer, data) => {{ saw(data); outer.block(client => {{ {}; }}); }}",
}


@pytest.mark.parametrize("window", [1, 10])
@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", SPOILS)
def test_a_consumer_that_spoils_its_own_stream_does_no_harm(server, what, kind, trim, window):
    server.load(consumer("own", "own", window, trim, callback=KINDS[kind].format(SPOILS[what])), name="own")
    server.load(
        consumer("calm", "calm", callback="(client, data) => saw(data, 'calm')"),
        consumer("all", "", callback="(client, data) => {}"),
        name="other",
    )
    for n in range(30):
        pipe = server.client.pipeline(transaction=False)
        # As the name may be taken by something else meanwhile.
        pipe.execute_command("DEL", f"own:{n % 3}")
        for m in range(5):
            pipe.execute_command("XADD", f"own:{n % 3}", "*", "n", f"{n}.{m}")
        pipe.execute(raise_on_error=False)
    server.add("calm", "last")
    assert server.seen("calm") == ["calm last"]
    server.wait(
        lambda: all(
            row["pending_ids"] == []
            for name, one in (("own", "own"), ("other", "all"))
            for row in server.consumer(one, name)["rows"]
        ),
        "an entry is left",
    )
    server.run("FLUSHALL")
    names = (f"own:new:{n}" for n in itertools.count())

    def fresh_is_seen():
        # More than one, as a callback that was still running may spoil the first.
        server.add(next(names), "fresh")
        return any(text.endswith(" fresh") for text in server.seen())

    server.wait(fresh_is_seen, server.seen)
    server.run("RG.FUNCTION", "DEL", "own")
    server.add("calm", "at the end")
    assert server.seen("calm") == ["calm last", "calm at the end"]


def test_a_consumer_that_deletes_its_stream_sees_every_entry_that_is_added_later(server):
    server.load(consumer(callback="(client, data) => { saw(data); client.call('DEL', data.stream_name); }"))
    for n in range(50):
        server.add("stream", n)
        assert server.seen()[-1] == f"stream {n}"
    assert server.run("EXISTS", "stream") == 0
    assert len(server.seen()) == 50


def test_a_consumer_that_renames_its_stream_goes_on_under_the_new_name(server):
    server.load(
        consumer(
            callback="(client, data) => { saw(data); if (value(data) === 'go')"
            " client.call('RENAME', 'stream:1', 'stream:2'); }"
        )
    )
    server.add("stream:1", "a", "go")
    server.add("stream:2", "b")
    server.add("stream:1", "c")
    assert server.seen() == ["stream:1 a", "stream:1 go", "stream:2 b", "stream:1 c"]
    assert server.stream("stream:2")["total_record_processed"] == 3


# --- consumers with writes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trim", [False, True])
def test_an_async_consumer_with_blocks_gets_every_entry_exactly_once(server, trim):
    server.load(
        consumer(
            window=10,
            trim=trim,
            callback="async (client, data) => { if (value(data) % 3) await null; client.block(c => {"
            " c.call('INCR', 'n'); c.call('SADD', 'seen', value(data)); }); if (value(data) % 2) await null; }",
        )
    )
    server.add("stream", *range(1000))
    server.wait_stream(total_record_processed=1000, pending_ids=[], last_error="None")
    assert server.run("GET", "n") == "1000"
    assert server.run("SCARD", "seen") == 1000
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 1000), lambda: server.run("XLEN", "stream"))


def test_background_parts_of_a_sync_consumer_get_every_entry_exactly_once(server):
    server.load(
        consumer(
            window=10,
            trim=True,
            callback="(client, data) => client.run_on_background(async b => { await null; b.block(c => {"
            " c.call('INCR', 'n'); c.call('SADD', 'seen', value(data)); }); })",
        )
    )
    server.add("stream", *range(1000))
    server.wait_stream(total_record_processed=1000, pending_ids=[], last_error="None")
    assert (server.run("GET", "n"), server.run("SCARD", "seen")) == ("1000", 1000)
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the trim is missing")


def test_a_redis_error_in_a_consumer_is_its_last_error_and_the_next_entry_comes(server):
    server.load(
        consumer("sync", callback="(client, data) => { client.call('LPUSH', 'text', 1); }"),
        consumer("async", callback="async (client, data) => { client.block(c => c.call('LPUSH', 'text', 1)); }"),
    )
    server.run("SET", "text", "a")
    server.add("stream", 1, 2)
    for name in ("sync", "async"):
        server.wait(
            lambda name=name: server.stream("stream", name)["total_record_processed"] == 2, server.consumer
        )
        error = server.stream("stream", name)["last_error"]
        assert error == "WRONGTYPE Operation against a key holding the wrong kind of value"
    server.run("DEL", "text")
    server.add("stream", 3)
    server.wait(lambda: server.run("LLEN", "text") == 2, "the writes are missing")


def test_a_function_and_a_consumer_of_a_library_share_its_globals(server):
    server.load(
        "let total = 0;",
        consumer(callback="(client, data) => { total += Number(value(data)); }"),
        consumer("async", callback="async (client, data) => { total += Number(value(data)); }"),
        function("total", "() => total"),
    )
    server.add("stream", *range(100))
    server.wait(lambda: server.call("total") == 2 * 4950, lambda: server.call("total"))


def test_a_function_releases_a_consumer_that_waits(server):
    server.load(
        consumer(callback="holding"),
        RELEASE,
        function("release", "(client, key) => { held.get(key)(); }"),
    )
    server.add("stream", "a", "b")
    server.wait_message("start a ")
    server.call("release", "a")
    server.wait_message("start b ")
    server.call("release", "b")
    server.wait_stream(total_record_processed=2, pending_ids=[])


def test_out_of_memory_the_block_of_a_consumer_waits_for_memory(server):
    server.load(
        consumer(
            callback="""async (client, data) => {
                await new Promise(resolve => held.set('k', resolve));
                client.block(c => c.call('SET', 'a', 1));
            }"""
        ),
        function("release", "() => { held.get('k')(); }", ["no-writes"]),
        function("waits", "() => held.has('k')", ["no-writes"]),
    )
    server.add("stream", 1)
    server.wait(lambda: server.call("waits"), "the entry did not start")
    with server.setting("maxmemory", 1):
        server.call("release")
        server.wait(lambda: "OOM" in last_error(server), lambda: server.stream("stream"))
        assert server.run("EXISTS", "a") == 0
    server.wait(lambda: server.run("GET", "a") == "1", lambda: server.stream("stream"))


def test_out_of_memory_a_sync_consumer_waits_for_memory(server):
    server.load(
        consumer(callback="(client, data) => { client.call('GET', 'a'); client.call('SET', 'a', 1); }"),
        function("add", "client => client.call('XADD', 'stream', '*', 'n', 1)", ["allow-oom"]),
    )
    with server.setting("maxmemory", 1):
        server.call("add")
        server.wait(lambda: "OOM" in last_error(server), lambda: server.stream("stream"))
        assert server.run("EXISTS", "a") == 0
        assert server.stream("stream")["total_record_processed"] == 0
    server.wait_stream(total_record_processed=1)
    assert server.run("GET", "a") == "1"


def test_list_knows_the_functions(server):
    server.load(function(), function("g"), consumer())
    [reply] = server.run("RG.FUNCTION", "LIST")
    assert fields(reply)["functions"] == ["f", "g"]
