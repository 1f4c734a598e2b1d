"""Calls of functions by RG.FCALL and RG.FCALLASYNC: results, arguments, clients that cannot wait, and what the server knows of the commands."""

import pytest
from redis import ResponseError

from testing.functions import COMMANDS, HOLD, blocked_clients, call_error, described, error_of, in_transaction, wait_blocked, wait_held
from testing.libraries import consumer, function
from testing.replies import fields

CANNOT_BLOCK = (
    "Can not block client for background execution, Blocking is not allow inside multi/exec, Lua,"
    " or within another module (RM_Call)."
)


# --- results --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_a_sync_function_runs_in_the_command(server, command):
    server.load(function("count", "(client, key, by) => client.call('INCRBY', key, by)"))
    pipe = server.client.pipeline(transaction=False)
    for by in (1, 2, 3):
        pipe.execute_command(command, "lib", "count", 1, "n", by)
        pipe.execute_command("GET", "n")
    assert pipe.execute() == [1, "1", 3, "3", 6, "6"]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_sync_function_throws_is_the_error(server, command):
    server.load(function("f", "() => { throw new TypeError('of this kind'); }"))
    assert call_error(server, "f", command=command) == "TypeError: of this kind"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_of_a_redis_command_comes_through_as_it_is(server, command):
    server.load(function("f", "client => client.call('LPUSH', 'text', 'a')"))
    server.run("SET", "text", "a")
    with pytest.raises(ResponseError, match="^WRONGTYPE Operation against a key holding the wrong kind of value$"):
        server.call("f", command=command)


TEXTS_THROWN = {"''": "", "'a\\r\\nb\\0c'": "a  b c", "undefined": "undefined", "({})": "[object Object]", "'ä'": "ä"}


@pytest.mark.parametrize("start", ["", "async "])
@pytest.mark.parametrize("thrown", TEXTS_THROWN)
def test_the_text_of_an_error_is_one_line(server, thrown, start):
    server.load(function("f", f"{start}() => {{ throw {thrown}; }}"))
    assert call_error(server, "f") == TEXTS_THROWN[thrown]
    assert server.run("PING")


def test_a_huge_error_text_is_cut_off(server):
    server.load(function("f", "() => { throw 'x'.repeat(1e7); }"))
    assert 1000 < len(call_error(server, "f")) < 10_000


SETTLED = {
    "an async function": "async () => 'value'",
    "an async function that awaits": "async () => { for (let n = 0; n < 10; n++) await null; return 'value'; }",
    "a promise that is settled": "() => Promise.resolve('value')",
    "a promise that is settled behind the call": "() => Promise.resolve().then(() => 'value')",
    "a promise of a background part": "client => client.run_on_background(async () => 'value')",
    "an async function that returns a promise": "async () => Promise.resolve('value')",
    "a thenable in an async function": "async () => ({ then(resolve) { resolve('value'); } })",
}
REJECTED = {
    "an async function": "async () => { throw new Error('no'); }",
    "an async function that awaits": "async () => { await null; throw new Error('no'); }",
    "a promise that is rejected": "() => Promise.reject(new Error('no'))",
    "a promise that is rejected behind the call": "() => Promise.resolve().then(() => { throw new Error('no'); })",
    "a promise of a background part": "client => client.run_on_background(async () => { throw new Error('no'); })",
    "a promise rejected in a background part": "client => client.run_on_background(async client => {"
    " await null; return client.block(() => { throw new Error('no'); }); })",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", SETTLED)
def test_a_promise_is_answered_with_its_value(server, what, command):
    server.load(function("f", SETTLED[what]))
    assert [server.call("f", command=command) for _ in range(3)] == ["value"] * 3


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", REJECTED)
def test_a_rejected_promise_is_answered_with_an_error(server, what, command):
    server.load(function("f", REJECTED[what]))
    for _ in range(3):
        assert call_error(server, "f", command=command) == "Error: no"
    assert not server.messages("library 'lib': unhandled")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("hold", ["hold", "hold_async"])
def test_a_call_waits_until_its_promise_is_settled(server, hold, command):
    server.load(HOLD)
    good = server.send_call(hold, "good", command=command)
    bad = server.send_call(hold, "bad", command=command)
    wait_held(server, "good", "bad")
    assert blocked_clients(server) == 2
    assert not good.is_answered() and not bad.is_answered()
    server.call("settle", "good", "value")
    server.call("fail", "bad", "no")
    assert good.reply() == "value"
    assert error_of(bad) == "Error: no"
    assert blocked_clients(server) == 0


def test_what_a_client_sent_behind_a_waiting_call_is_answered_behind_it(server):
    server.load(HOLD, function("slow", "async (client, ms) => client.block(c => c.call('INCR', 'n'))"))
    pipe = server.client.pipeline(transaction=False)
    for _ in range(50):
        pipe.execute_command("RG.FCALL", "lib", "slow", 0)
        pipe.execute_command("GET", "n")
    replies = pipe.execute()
    assert replies == [reply for n in range(1, 51) for reply in (n, str(n))]


def test_many_clients_wait_at_once_and_each_gets_its_own_answer(server):
    server.load(HOLD)
    keys = [f"k{n}" for n in range(100)]
    calls = {key: server.send_call("hold" if n % 2 else "hold_async", key) for n, key in enumerate(keys)}
    wait_held(server, *keys)
    wait_blocked(server, 100)
    for key in reversed(keys):
        server.call("settle", key, f"value of {key}")
    assert [calls[key].reply() for key in keys] == [f"value of {key}" for key in keys]
    wait_blocked(server, 0)


# --- where a client cannot wait -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["async", "pending", "background"])
def test_a_call_that_would_have_to_wait_is_refused_in_a_transaction(server, name, command):
    server.load(
        function("async", "async () => 'value'"),
        function("pending", "() => new Promise(() => {})"),
        function("background", "client => client.run_on_background(async () => 'value')"),
    )
    before, refused, after = in_transaction(server, ("INCR", "n"), (command, "lib", name, 0), ("INCR", "n"))
    assert (before, after) == (1, 2)
    assert str(refused) == CANNOT_BLOCK
    assert blocked_clients(server) == 0
    server.wait(lambda: described(server)["pending_jobs"] == 0, "a job is left")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_sync_function_works_in_a_transaction(server, command):
    server.load(
        function("count", "client => client.call('INCR', 'n')"),
        function("settled", "() => Promise.resolve('value')"),
        function("throws", "() => { throw 'no'; }"),
    )
    replies = in_transaction(
        server,
        (command, "lib", "count", 0),
        ("INCR", "n"),
        (command, "lib", "count", 0),
        (command, "lib", "settled", 0),
        (command, "lib", "throws", 0),
        ("GET", "n"),
    )
    assert str(replies.pop(4)) == "no"
    assert replies == [1, 2, 3, "value", "3"]


def test_a_background_part_that_nobody_waits_for_may_begin_in_a_transaction(server):
    server.load(
        function("f", "client => { client.run_on_background(async c => { c.block(b => b.call('SET', 'a', 1)); }); }")
    )
    assert in_transaction(server, ("RG.FCALL", "lib", "f", 0), ("GET", "a")) == [None, None]
    server.wait(lambda: server.run("GET", "a") == "1", "the background part did not act")


@pytest.mark.parametrize("command", COMMANDS)
def test_scripts_of_the_server_cannot_call_functions(server, command):
    server.load(function())
    with pytest.raises(ResponseError, match="not allowed from script"):
        server.run("EVAL", f"return redis.call('{command}', 'lib', 'f', '0')", 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_functions_cannot_call_functions(server, command):
    server.load(function("inner"), function("outer", f"client => client.call('{command}', 'lib', 'inner', '0')"))
    assert "not allowed on script mode" in call_error(server, "outer")


@pytest.fixture
def suspended(server):
    """A server whose library has a background part that mostly waits for the lock, in the middle of a continuation."""
    server.load(
        "let going = true;",
        function("settled", "() => Promise.resolve(1).then(n => n + 1)"),
        function("stop", "() => { going = false; }"),
        function(
            "begin",
            "client => { client.run_on_background(async c => { const end = Date.now() + 20_000;"
            " while (going && Date.now() < end) { await null; c.block(b => b.call('INCR', 'n')); } redis.log('ended'); }); }",
        ),
    )
    server.call("begin")
    server.wait(lambda: server.run("GET", "n"), "the background part did not begin")
    yield server
    if server.is_alive():
        server.call("stop")


def test_a_promise_that_settles_at_once_does_so_while_a_background_part_waits_for_the_lock(suspended):
    for _ in range(20):
        assert suspended.call("settled") == 2
    assert suspended.messages("ended") == []


def test_in_a_transaction_such_a_promise_may_have_to_wait_and_is_refused_then(suspended):
    """The engine runs no continuation while another one of the same library is in the middle of its run."""
    for _ in range(20):
        for reply in in_transaction(suspended, *[("RG.FCALL", "lib", "settled", 0)] * 5):
            assert reply == 2 or str(reply) == CANNOT_BLOCK


# --- wrong calls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("words", [(), ("lib",), ("lib", "f")])
def test_too_few_words_are_refused(server, words, command):
    server.load(function())
    with pytest.raises(ResponseError, match=f"^wrong number of arguments for '{command.lower()}' command$"):
        server.run(command, *words)


WRONG = {
    "no number of keys": (("lib", "f", "a"), "invalid digit found in string"),
    "a fraction of a key": (("lib", "f", "1.0", "a"), "invalid digit found in string"),
    "fewer than no keys": (("lib", "f", "-1"), "invalid digit found in string"),
    "a number of keys with a space": (("lib", "f", " 1", "a"), "invalid digit found in string"),
    "a binary number of keys": (("lib", "f", b"\xff"), "Couldn't parse as UTF-8 string"),
    "a binary library": ((b"\xff", "f", 0), "Couldn't parse as UTF-8 string"),
    "a binary function": (("lib", b"\xff", 0), "Couldn't parse as UTF-8 string"),
    "an unknown library": (("nosuch", "f", 0), "Unknown library nosuch"),
    "a library in other case": (("LIB", "f", 0), "Unknown library LIB"),
    "a library over two lines": (("no\r\nsuch", "f", 0), "Unknown library no  such"),
    "an unknown function": (("lib", "nosuch", 0), "Unknown function nosuch"),
    "a function in other case": (("lib", "F", 0), "Unknown function F"),
    "a consumer as a function": (("lib", "consumer", 0), "Unknown function consumer"),
    "fewer keys than said": (
        ("lib", "f", 3, "a", "b"),
        "Not enough arguments was given, expected at least 3 arguments, got 2 arguments.",
    ),
    "many fewer keys than said": (
        ("lib", "f", 18446744073709551615, "a"),
        "Not enough arguments was given, expected at least 18446744073709551615 arguments, got 1 arguments.",
    ),
    "a wrong number before an unknown library": (("nosuch", "f", "a"), "invalid digit found in string"),
    "an unknown library before its function": (("nosuch", "nosuch", 5), "Unknown library nosuch"),
    "an unknown function before its keys": (("lib", "nosuch", 5), "Unknown function nosuch"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_call_is_refused(server, what, command):
    server.load(function(), consumer())
    words, error = WRONG[what]
    with pytest.raises(ResponseError) as caught:
        server.run(command, *words)
    assert str(caught.value) == error
    assert server.call("f", "still", command=command) == ["still"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", ["+1", "01", "00", "-0", "", "18446744073709551616", "1e0", "0x1"])
def test_a_number_of_keys_that_the_server_does_not_understand_is_refused(server, number, command):
    """Else the server would find no keys, neither for a cluster's slots nor for a user's rights."""
    server.load(function())
    with pytest.raises(ResponseError, match="^(invalid digit|cannot parse integer|number too large) "):
        server.run(command, "lib", "f", number, "key")


# --- arguments ------------------------------------------------------------------------------------------------------

SHOW = (
    "(client, ...args) => args.map(a => a instanceof ArrayBuffer ? `bytes ${new Uint8Array(a)}` : `${typeof a} ${a}`)"
)
TEXTS = ["", "a b", "1", "ä€\U0001f600", "nul\0byte", "line\r\nend", "x" * 100_000]


@pytest.mark.parametrize("start", ["", "async "])
def test_keys_and_arguments_are_strings_in_a_row(server, start):
    server.load(function("f", start + SHOW))
    assert server.call("f") == []
    assert server.call("f", "a", keys=["k", "l"]) == ["string k", "string l", "string a"]
    assert server.call("f", *TEXTS) == [f"string {text}" for text in TEXTS]
    assert server.call("f", *range(1000)) == [f"string {n}" for n in range(1000)]


@pytest.mark.parametrize("start", ["", "async "])
@pytest.mark.parametrize("binary", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80"])
def test_a_binary_argument_is_refused_without_the_flag(server, binary, start):
    server.load(function("f", start + SHOW))
    assert call_error(server, "f", binary) == "Can not convert argument to string"
    assert call_error(server, "f", "text", binary, "text") == "Can not convert argument to string"
    assert call_error(server, "f", keys=[binary]) == "Can not convert argument to string"
    assert server.call("f", "text") == ["string text"]


@pytest.mark.parametrize("start", ["", "async "])
def test_with_raw_arguments_all_are_bytes(server, start):
    server.load(function("f", start + SHOW, ["raw-arguments"]))
    assert server.call("f", b"\xff\x00", "", "a", keys=["k"]) == ["bytes 107", "bytes 255,0", "bytes ", "bytes 97"]


@pytest.mark.parametrize("start", ["", "async "])
def test_raw_arguments_come_back_as_they_went_in(server, start):
    server.load(function("f", start + "(client, ...args) => args", ["raw-arguments"]))
    client = server.connect(decode_responses=False)
    words = [bytes(range(256)), b"", b"\r\n", b"\0" * 100_000]
    assert server.call("f", *words, client=client) == words


@pytest.mark.parametrize("count", [1, 59_999])
def test_many_arguments_arrive(server, count):
    server.load(function("f", "(client, ...args) => args.length"))
    assert server.call("f", *range(count)) == count


def test_too_many_arguments_are_an_error(server):
    server.load(function("f", "(client, ...args) => args.length"))
    assert "do not fit" in call_error(server, "f", *range(100_000))
    assert server.call("f") == 0


# --- what the server knows of the commands --------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("count, keys", [(0, []), (1, ["a"]), (2, ["a", "b"]), (3, ["a", "b", "c"])])
def test_the_server_finds_the_keys(server, count, keys, command):
    call = (command, "lib", "f", count, "a", "b", "c")
    assert server.send("COMMAND", "GETKEYS", *call).reply() == keys
    found = server.send("COMMAND", "GETKEYSANDFLAGS", *call).reply()
    assert [key for key, _ in found] == keys
    assert all(set(flags) == {"RW", "access", "update"} for _, flags in found)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_server_describes_the_commands(server, command):
    [info] = server.send("COMMAND", "INFO", command).reply()
    name, arity, flags, first, last, step, _, _, [keys], subcommands = info
    assert (name, arity, subcommands) == (command.lower(), -4, [])
    assert (first, last, step) == (0, 0, 0)
    assert {"module", "noscript", "no_mandatory_keys", "movablekeys"} <= set(flags)
    assert not {"readonly", "fast", "write", "denyoom"} & set(flags)
    assert fields(fields(keys)["find_keys"])["spec"] == ["keynumidx", 0, "firstkey", 1, "keystep", 1]
    [name, docs] = server.send("COMMAND", "DOCS", command).reply()
    docs = fields(docs)
    assert docs["summary"].startswith("Calls a function of a library")
    assert [(fields(arg)["name"], fields(arg)["type"]) for arg in docs["arguments"]] == [
        ("library", "string"),
        ("function", "string"),
        ("numkeys", "integer"),
        ("key", "key"),
        ("arg", "string"),
    ]


def test_a_user_needs_the_right_to_the_command_and_to_the_declared_keys(server):
    server.load(function("f", "(client, ...args) => args"))
    server.run("ACL", "SETUSER", "bob", "on", ">secret", "~own:*", "+rg.fcall")
    bob = server.connect(username="bob", password="secret")
    try:
        assert server.call("f", "foreign", keys=["own:1"], client=bob) == ["own:1", "foreign"]
        with pytest.raises(ResponseError, match="(?i)permission"):
            server.call("f", keys=["own:1", "foreign"], client=bob)
        with pytest.raises(ResponseError, match="(?i)permission"):
            server.call("f", keys=["own:1"], client=bob, command="RG.FCALLASYNC")
    finally:
        server.run("ACL", "DELUSER", "bob")


def test_a_cluster_finds_the_node_of_the_keys(start_server):
    server = start_server(configuration="cluster-enabled yes\ncluster-require-full-coverage no\n")
    server.run("CLUSTER", "ADDSLOTSRANGE", 0, 16_382)
    # No node has the last slot.
    foreign = next(key for key in map(str, range(100_000)) if server.run("CLUSTER", "KEYSLOT", key) == 16_383)
    server.wait(lambda: "cluster_state:ok" in server.send("CLUSTER", "INFO").reply(), "the cluster is not up")
    with pytest.raises(ResponseError, match="Hash slot not served"):
        server.run("GET", foreign)
    server.load(function("f", "(client, ...args) => args"), function("g", "async (client, ...args) => args"))
    for name in "fg":
        for command in COMMANDS:
            assert server.call(name, foreign, command=command) == [foreign]
            assert server.call(name, "a", keys=["{t}1", "{t}2"], command=command) == ["{t}1", "{t}2", "a"]
            with pytest.raises(ResponseError, match="Keys in request don't hash to the same slot"):
                server.call(name, keys=["a", "b"], command=command)
            with pytest.raises(ResponseError, match="Hash slot not served"):
                server.call(name, keys=[foreign], command=command)
