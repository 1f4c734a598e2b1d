"""The client that a script gets: commands and their replies, how long it may be used, and databases."""

import re

import pytest
from redis import ResponseError

from testing.functions import call_error
from testing.libraries import consumer, function

INVALID = "Error: Used on invalid client"


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
    assert server.last_error("other", consumer="other") == INVALID
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
