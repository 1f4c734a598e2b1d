"""Functions that clients call: RG.FCALL and RG.FCALLASYNC, registration, flags, keys, errors, and waiting clients."""


import pytest
from redis import ResponseError
from redis.exceptions import OutOfMemoryError

from testing.libraries import RELEASE, consumer, function, library
from testing.replies import fields
from testing.servers import Server

COMMANDS = ["RG.FCALL", "RG.FCALLASYNC"]

CANNOT_BLOCK = (
    "Can not block client for background execution, Blocking is not allow inside multi/exec, Lua,"
    " or within another module (RM_Call)."
)
REPLICA = "Err can not run a function that might perform writes on a replica"
OUT_OF_MEMORY = "can not run the function when out of memory"
UNREGISTERED = "Function were unregistered"

# Calls of "hold" and "hold_async" wait until "settle" or "fail" names their key.
HOLD = "\n".join(
    [
        "const waiting = new Map();",
        "const wait = key => new Promise((resolve, reject) => waiting.set(key, { resolve, reject }));",
        function("hold", "(client, key) => wait(key)", ["no-writes"]),
        function("hold_async", "async (client, key) => wait(key)", ["no-writes"]),
        function("settle", "(client, key, value) => { waiting.get(key).resolve(value); }", ["no-writes"]),
        function("fail", "(client, key, text) => { waiting.get(key).reject(new Error(text)); }", ["no-writes"]),
        function("held", "() => [...waiting.keys()]", ["no-writes"]),
    ]
)

# An async function that computes for so many milliseconds.
SPIN = "const spin = ms => { redis.log('spinning'); const end = Date.now() + Number(ms); while (Date.now() < end); };"
BUSY = "\n".join([SPIN, function("busy", "async (client, ms) => { spin(ms); return 'done'; }")])


def error_of(sent):
    """The error that a command is answered with."""
    with pytest.raises(ResponseError) as caught:
        sent.reply()
    return str(caught.value)


def call_error(server, *args, **options):
    """The error that a call is answered with."""
    with pytest.raises(ResponseError) as caught:
        server.call(*args, **options)
    return str(caught.value)


def described(server, *options, name="lib"):
    """A library as LIST shows it."""
    [reply] = server.run("RG.FUNCTION", "LIST", *options, "LIBRARY", name)
    return fields(reply)


def blocked_clients(server):
    return server.client.info("clients")["blocked_clients"]


def wait_blocked(server, count):
    """Waits until so many clients are blocked."""
    server.wait(lambda: blocked_clients(server) == count, lambda: blocked_clients(server))


def wait_held(server, *keys):
    """Waits until calls with these keys wait for their promises, and no other."""
    server.wait(lambda: sorted(server.call("held")) == sorted(keys), lambda: server.call("held"))


def in_transaction(server, *commands):
    """The replies of a transaction, errors among them."""
    pipe = server.client.pipeline(transaction=True)
    for command in commands:
        pipe.execute_command(*command)
    return pipe.execute(raise_on_error=False)


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


# --- flags: replicas ------------------------------------------------------------------------------------------------


@pytest.fixture
def replica(pair):
    """The replica of a pair; what is loaded there is loaded by way of the primary."""
    replica = pair.replica

    def load(*statements):
        pair.load(*statements)
        replica.wait(lambda: replica.libraries() == ["lib"], replica.libraries)

    replica.wait(lambda: replica.libraries() == [], replica.libraries)
    replica.load = load
    yield replica
    del replica.load


READERS = {
    "sync": "(client, key) => client.call('GET', key)",
    "async": "async (client, key) => client.block(c => c.call('GET', key))",
    "background": "(client, key) => client.run_on_background(async c => c.block(b => b.call('GET', key)))",
}
WRITERS = {kind: code.replace("'GET', key", "'SET', key, 'new'") for kind, code in READERS.items()}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("flags", [None, [], ["allow-oom"], ["raw-arguments", "allow-oom"]])
def test_a_replica_refuses_functions_that_may_write(replica, kind, flags, command):
    replica.load(function("f", READERS[kind], flags))
    assert call_error(replica, "f", "key", command=command) == REPLICA


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", READERS)
def test_a_replica_runs_functions_that_do_not_write(pair, replica, kind, command):
    replica.load(function("f", READERS[kind], ["no-writes"]))
    pair.run("SET", "key", "value")
    pair.wait(lambda: replica.run("GET", "key") == "value", "the key did not arrive")
    assert replica.call("f", keys=["key"], command=command) == "value"


@pytest.mark.parametrize("kind", WRITERS)
def test_a_write_of_a_function_that_said_it_writes_nothing_fails_on_a_replica(replica, kind):
    replica.load(function("f", WRITERS[kind], ["no-writes"]))
    assert "was called while write is not allowed" in call_error(replica, "f", keys=["key"])
    assert replica.run("EXISTS", "key") == 0


@pytest.mark.parametrize("kind", WRITERS)
def test_a_write_of_a_function_that_said_it_writes_nothing_fails_on_a_primary_too(server, kind):
    server.load(function("f", WRITERS[kind], ["no-writes"]))
    assert "was called while write is not allowed" in call_error(server, "f", keys=["key"])
    assert server.run("EXISTS", "key") == 0


def test_on_a_replica_a_function_that_may_write_is_refused_before_its_keys_are_counted(replica):
    replica.load(function())
    with pytest.raises(ResponseError, match=f"^{REPLICA}$"):
        replica.run("RG.FCALL", "lib", "f", 5)
    with pytest.raises(ResponseError, match="^Unknown function nosuch$"):
        replica.run("RG.FCALL", "lib", "nosuch", 5)


def test_a_call_that_waits_when_its_server_becomes_a_replica_writes_no_more(server):
    """The server itself answers those who wait, and closes their connections."""
    server.load(
        HOLD,
        function(
            "f",
            "async client => { await wait('f'); try { client.block(c => c.call('SET', 'a', 1)); }"
            " catch (error) { redis.log(`refused ${error}`); } }",
        ),
    )
    sent = server.send_call("f")
    wait_held(server, "f")
    server.run("REPLICAOF", "127.0.0.1", "1")
    try:
        assert "UNBLOCKED" in error_of(sent)
        server.call("settle", "f", 1)
        server.wait_message("refused ")
        assert server.messages("refused ") == ["Can not lock Redis, Can not lock redis for write on replica"]
    finally:
        server.run("REPLICAOF", "NO", "ONE")
    assert server.run("EXISTS", "a") == 0


# --- flags: memory --------------------------------------------------------------------------------------------------


@pytest.fixture
def full(server):
    """A server, and a way to make its memory count as full until the test ends."""
    server.run("SET", "key", "value")
    yield lambda: server.run("CONFIG", "SET", "maxmemory", 1)
    if server.is_alive():
        server.run("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("flags", [None, ["raw-arguments"]])
def test_out_of_memory_a_function_is_refused(server, full, kind, flags, command):
    server.load(function("f", READERS[kind], flags))
    full()
    with pytest.raises(OutOfMemoryError, match=f"^{OUT_OF_MEMORY}$"):
        server.call("f", "key", command=command)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("flags", [["no-writes"], ["allow-oom"], ["allow-oom", "no-writes"]])
def test_out_of_memory_a_function_runs_if_it_writes_nothing_or_said_it_may(server, full, kind, flags, command):
    server.load(function("f", READERS[kind], flags))
    full()
    assert server.call("f", keys=["key"], command=command) == "value"


@pytest.mark.parametrize("kind", WRITERS)
def test_out_of_memory_a_function_that_said_it_may_also_writes(server, full, kind):
    server.load(function("f", WRITERS[kind], ["allow-oom"]))
    full()
    assert server.call("f", keys=["key"]) == "OK"
    assert server.run("GET", "key") == "new"


@pytest.mark.parametrize("kind", WRITERS)
def test_out_of_memory_no_writes_stays_no_writes(server, full, kind):
    server.load(function("f", WRITERS[kind], ["no-writes", "allow-oom"]))
    full()
    assert "was called while write is not allowed" in call_error(server, "f", keys=["key"])


def test_out_of_memory_comes_before_the_keys_are_counted_and_behind_the_names(server, full):
    server.load(function())
    full()
    with pytest.raises(OutOfMemoryError, match=f"^{OUT_OF_MEMORY}$"):
        server.run("RG.FCALL", "lib", "f", 5)
    with pytest.raises(ResponseError, match="^Unknown function nosuch$"):
        server.run("RG.FCALL", "lib", "nosuch", 5)


LATER = "async client => { await wait('later'); return client.block(c => c.call('SET', 'key', 'new')); }"


def test_memory_that_ran_out_during_a_call_refuses_its_later_parts(server, full):
    server.load(HOLD, function("f", LATER))
    sent = server.send_call("f")
    wait_held(server, "later")
    full()
    server.call("settle", "later", 1)
    assert error_of(sent) == "Can not lock Redis, OOM Can not lock redis for write"
    assert server.run("GET", "key") == "value"


def test_memory_that_ran_out_during_a_call_does_not_matter_to_those_that_said_so(server, full):
    server.load(HOLD, function("f", LATER, ["allow-oom"]))
    sent = server.send_call("f")
    wait_held(server, "later")
    full()
    server.call("settle", "later", 1)
    assert sent.reply() == "OK"
    assert server.run("GET", "key") == "new"


# --- registration ---------------------------------------------------------------------------------------------------

REGISTER = ["register_function", "register_async_function"]
COUNT = "Wrong number of arguments to 'register_function' function"
FIRST = "First argument to 'register_function' must be "
SECOND = "Second argument to 'register_function' must be a function"
THIRD = "Third argument to 'register_function' must be an array of functions flags"
FLAGS = "Failed parsing function flags, "
F = "() => {}"

WRONG_REGISTRATIONS = {
    "()": COUNT,
    "('f')": COUNT,
    f"('f', {F}, [], 1)": COUNT,
    f"(1, {F})": FIRST + "a string representing the function name",
    f"(null, {F})": FIRST + "a string representing the function name",
    f"(undefined, {F})": FIRST + "a string representing the function name",
    f"(Symbol('f'), {F})": FIRST + "a string representing the function name",
    f"(new String('f'), {F})": FIRST + "a string representing the function name",
    f"({{ toString() {{ throw 1; }} }}, {F})": FIRST + "a string representing the function name",
    f"('f'.repeat(1001), {F})": FIRST + "at most 1000 characters long",
    "('f', 'callback')": SECOND,
    "('f', null)": SECOND,
    "('f', undefined)": SECOND,
    "('f', {})": SECOND,
    "('f', Promise.resolve())": SECOND,
    "('f', [], [])": SECOND,
    "('f', function* () {})": SECOND + ", not a generator function",
    "('f', async function* () {})": SECOND + ", not a generator function",
    f"('f', {F}, null)": THIRD,
    f"('f', {F}, 'no-writes')": THIRD,
    f"('f', {F}, {{}})": THIRD,
    f"('f', {F}, new Set(['no-writes']))": THIRD,
    f"('f', {F}, [1])": FLAGS + "wrong type of string value",
    f"('f', {F}, [null])": FLAGS + "wrong type of string value",
    f"('f', {F}, ['no-writes', ['allow-oom']])": FLAGS + "wrong type of string value",
    f"('f', {F}, new Array(1))": FLAGS + "wrong type of string value",
    f"('f', {F}, ['no-such'])": FLAGS + "Unknown flag 'no-such' was given",
    f"('f', {F}, ['NO-WRITES'])": FLAGS + "Unknown flag 'NO-WRITES' was given",
    f"('f', {F}, ['no-writes', ''])": FLAGS + "Unknown flag '' was given",
    f"('good', {F})": "Function good already exists",
}


@pytest.mark.parametrize("register", REGISTER)
@pytest.mark.parametrize("call", WRONG_REGISTRATIONS)
def test_a_wrong_registration_fails_the_load(server, call, register):
    with pytest.raises(ResponseError) as caught:
        server.load(function("good"), f"redis.{register}{call};")
    text = str(caught.value)
    assert text.startswith("Failed loading library, Failed evaluating module: ")
    assert text.split("Error: ")[1] == WRONG_REGISTRATIONS[call]
    assert server.libraries() == []


@pytest.mark.parametrize("register", REGISTER)
@pytest.mark.parametrize("call", WRONG_REGISTRATIONS)
def test_a_wrong_registration_can_be_caught_and_leaves_nothing_behind(server, call, register):
    server.load(
        function("good"),
        f"try {{ redis.{register}{call}; redis.log('caught nothing'); }}",
        "catch (error) { redis.log('caught error'); }",
    )
    assert server.messages("caught ") == ["error"]
    assert described(server)["functions"] == ["good"]
    assert server.call("good", "a") == ["a"]


def test_a_flag_whose_getter_throws_fails_the_load(server):
    flags = "Object.defineProperty(['no-writes'], 0, { get() { throw new Error('by me'); } })"
    with pytest.raises(ResponseError, match="Failed loading library"):
        server.load(f"redis.register_function('f', {F}, {flags});")
    assert server.libraries() == []


def test_a_flag_whose_getter_does_not_end_fails_the_load(server):
    server.set_timeout(200)
    flags = "Object.defineProperty(['no-writes'], 0, { get() { for (;;); } })"
    with pytest.raises(ResponseError, match="Failed loading library.*terminated"):
        server.load(f"redis.register_function('f', {F}, {flags});")
    assert server.libraries() == []


@pytest.mark.parametrize("start", ["", "async "])
@pytest.mark.parametrize("register", REGISTER)
def test_registering_after_the_load_is_refused(server, register, start):
    server.load(function("f", f"{start}() => {{ redis.{register}('late', {F}); }}"))
    assert call_error(server, "f") == "Error: Called 'register_function' out of context"
    assert described(server)["functions"] == ["f"]


def test_a_name_may_be_a_thousand_characters_of_any_kind(server):
    names = ["", "ä€\U0001f600", "a b", "nul\\0byte", "x" * 1000, "__proto__", "constructor"]
    server.load(*(function(name, f"() => {n}") for n, name in enumerate(names)))
    assert [server.call(name.replace("\\0", "\0")) for name in names] == list(range(len(names)))


def test_a_library_may_have_ten_thousand_functions_and_no_more(server):
    server.set_timeout(10_000)
    many = "for (let n = 0; n < {}; n++) redis.register_function(`f${{n}}`, () => n);"
    with pytest.raises(ResponseError, match="A library can register at most 10000 functions"):
        server.load(many.format(10_001))
    server.load(many.format(10_000))
    assert server.call("f9999") == 9999
    assert len(described(server)["functions"]) == 10_000


def test_both_names_of_registering_do_the_same(server):
    server.load(
        "redis.register_function('a', async () => 'async');",
        "redis.register_async_function('b', () => 'sync', ['no-writes']);",
        "redis.register_async_function('c', async () => 'async');",
    )
    for command in COMMANDS:
        assert [server.call(name, command=command) for name in "abc"] == ["async", "sync", "async"]


def test_functions_alone_make_a_library(server):
    assert server.load(function()) == "OK"
    assert server.libraries() == ["lib"]


def test_a_function_and_a_consumer_may_have_the_same_name(server):
    server.load(function("same", "() => 'function'"), consumer("same"))
    server.add("stream", 1)
    assert server.seen() == ["stream 1"]
    assert server.call("same") == "function"


def test_libraries_may_have_functions_of_the_same_name(server):
    server.load(function("f", "() => 'one'"), name="one")
    server.load(function("f", "() => 'two'"), name="two")
    assert [server.call("f", library=name) for name in ("one", "two")] == ["one", "two"]


@pytest.mark.parametrize("flags", ["undefined", "[]"])
def test_no_flags_are_no_flags(server, flags):
    server.load(f"redis.register_function('f', {F}, {flags});")
    assert described(server, "v")["functions"] == [["name", "f", "flags", []]]


def test_list_shows_functions_with_their_flags(server):
    server.load(
        function("plain"),
        function("all", flags=["raw-arguments", "allow-oom", "no-writes", "no-writes"]),
        function("some", "async () => {}", ["allow-oom"]),
    )
    assert described(server)["functions"] == ["all", "plain", "some"]
    expected = [
        ["name", "all", "flags", ["no-writes", "allow-oom", "raw-arguments"]],
        ["name", "plain", "flags", []],
        ["name", "some", "flags", ["allow-oom"]],
    ]
    for verbosity in ("v", "vv", "vvv"):
        assert described(server, verbosity)["functions"] == expected


# --- upgrades and deletion ------------------------------------------------------------------------------------------


def test_an_upgrade_replaces_the_functions(server):
    server.load(function("stays", "() => 'old'"), function("goes"), function("changes", "async () => 'old'"))
    server.upgrade(
        function("stays", "() => 'new'"), function("comes"), function("changes", "() => 'new'", ["no-writes"])
    )
    assert described(server)["functions"] == ["changes", "comes", "stays"]
    assert [server.call("stays"), server.call("changes"), server.call("comes", 1)] == ["new", "new", ["1"]]
    assert call_error(server, "goes") == "Unknown function goes"
    assert described(server, "v")["functions"][0] == ["name", "changes", "flags", ["no-writes"]]


@pytest.mark.parametrize(
    "wrong", ["throw new Error('no');", "redis.register_function('f', 1);", "redis.register_function('old');"]
)
def test_a_failed_upgrade_leaves_the_functions_as_they_were(server, wrong):
    server.load("let calls = 0;", function("f", "() => ++calls"))
    assert server.call("f") == 1
    with pytest.raises(ResponseError, match="Failed loading library"):
        server.upgrade(function("f", "() => 'new'"), wrong)
    assert server.call("f") == 2


def test_a_deleted_library_is_unknown_and_comes_back_afresh(server):
    server.load("let calls = 0;", function("f", "() => ++calls"))
    assert [server.call("f"), server.call("f")] == [1, 2]
    server.run("RG.FUNCTION", "DEL", "lib")
    assert call_error(server, "f") == "Unknown library lib"
    server.load("let calls = 0;", function("f", "() => ++calls"))
    assert server.call("f") == 1


SPIN_AND_WRITE = "async client => { spin(500); await null; return client.block(c => c.call('INCR', 'n')); }"


def spin_and(server, *command):
    """Begins a call that computes for a while, runs a command meanwhile, and gives the call."""
    sent = server.send_call("f")
    server.wait_message("spinning")
    assert server.run(*command) == "OK"
    assert not sent.is_answered()
    return sent


def test_a_call_that_runs_while_its_library_is_upgraded_comes_to_its_end(server):
    server.load(SPIN, function("f", SPIN_AND_WRITE))
    sent = spin_and(server, "RG.FUNCTION", "LOAD", "UPGRADE", library(function("f", "() => 'new'")))
    assert server.call("f") == "new"
    assert not sent.is_answered()
    assert sent.reply() == 1
    assert server.run("GET", "n") == "1"


def test_a_call_that_runs_while_its_library_is_deleted_gets_no_more_of_the_server(server):
    server.load(SPIN, function("f", SPIN_AND_WRITE))
    sent = spin_and(server, "RG.FUNCTION", "DEL", "lib")
    assert error_of(sent) == UNREGISTERED
    assert server.run("EXISTS", "n") == 0


def test_a_call_of_a_deleted_library_may_catch_that_and_give_a_result(server):
    server.load(
        SPIN,
        function(
            "f",
            "async client => { spin(500); try { return client.block(c => c.call('INCR', 'n')); }"
            " catch (error) { await null; return `caught ${error}`; } }",
        ),
    )
    sent = spin_and(server, "RG.FUNCTION", "DEL", "lib")
    assert sent.reply() == f"caught {UNREGISTERED}"


@pytest.mark.parametrize("hold", ["hold", "hold_async"])
@pytest.mark.parametrize("how", ["DEL", "UPGRADE"])
def test_a_promise_that_nobody_can_settle_any_more_is_answered(server, how, hold):
    server.load(HOLD)
    calls = [server.send_call(hold, f"k{n}") for n in range(10)]
    wait_held(server, *(f"k{n}" for n in range(10)))
    if how == "DEL":
        server.run("RG.FUNCTION", "DEL", "lib")
    else:
        server.upgrade(HOLD)
    for sent in calls:
        assert "replaced or deleted" in error_of(sent)
    wait_blocked(server, 0)


def test_calls_that_wait_for_their_beginning_are_answered_by_the_code_they_were_sent_to(server):
    server.load(BUSY, function("f", "async client => client.block(c => `old ${c.call('INCR', 'n')}`)"))
    busy = server.send_call("busy", 500)
    server.wait_message("spinning")
    calls = [server.send_call("f") for _ in range(5)]
    wait_blocked(server, 6)
    server.upgrade(function("f", "async () => 'new'"))
    assert server.call("f") == "new"
    assert busy.reply() == "done"
    assert sorted(sent.reply() for sent in calls) == [f"old {n}" for n in range(1, 6)]


def test_calls_that_wait_for_their_beginning_when_their_library_is_deleted_are_answered(server):
    server.load(BUSY, function("f", "async client => client.block(c => c.call('INCR', 'n'))"))
    busy = server.send_call("busy", 500)
    server.wait_message("spinning")
    calls = [server.send_call("f") for _ in range(5)]
    wait_blocked(server, 6)
    server.run("RG.FUNCTION", "DEL", "lib")
    assert busy.reply() == "done"
    assert [error_of(sent) for sent in calls] == [UNREGISTERED] * 5
    assert server.run("EXISTS", "n") == 0
    wait_blocked(server, 0)


def test_a_background_part_of_a_call_comes_to_its_end_after_an_upgrade(server):
    server.load(
        SPIN,
        function(
            "f",
            "client => client.run_on_background(async c => { spin(500); await null;"
            " return c.block(b => b.run_on_background(async d => d.block(e => e.call('INCR', 'n')))); })",
        ),
    )
    sent = spin_and(server, "RG.FUNCTION", "LOAD", "UPGRADE", library(function("f", "() => 'new'")))
    assert sent.reply() == 1


# --- clients that leave ---------------------------------------------------------------------------------------------


def leave(server, sent, how):
    if how == "disconnects":
        sent.disconnect()
    else:
        assert server.run("CLIENT", "KILL", "ID", sent.client_id) == 1


@pytest.mark.parametrize("how", ["disconnects", "is killed"])
@pytest.mark.parametrize("hold", ["hold", "hold_async"])
def test_a_client_that_leaves_while_it_waits_does_no_harm(server, hold, how):
    server.load(HOLD)
    stays = server.send_call(hold, "stays")
    for n in range(200):
        sent = server.send_call(hold, f"k{n}")
        if n % 2:
            wait_blocked(server, 2)
        leave(server, sent, how)
    wait_blocked(server, 1)
    for key in server.call("held"):
        server.call("settle", key, "value")
    assert stays.reply() == "value"
    wait_blocked(server, 0)
    server.wait(lambda: described(server)["pending_jobs"] == 0, "a job is left")
    after = server.send_call(hold, "after")
    server.wait(lambda: "after" in server.call("held"), "the call did not begin")
    server.call("settle", "after", "value")
    assert after.reply() == "value"


@pytest.mark.parametrize("how", ["disconnects", "is killed"])
def test_what_a_client_that_left_has_begun_comes_to_its_end(server, how):
    server.load(HOLD, function("f", "async client => { await wait('f'); client.block(c => c.call('INCR', 'n')); }"))
    sent = server.send_call("f")
    wait_held(server, "f")
    leave(server, sent, how)
    wait_blocked(server, 0)
    server.call("settle", "f", 1)
    server.wait(lambda: server.run("GET", "n") == "1", "the write is missing")


def test_clients_that_leave_just_as_they_are_answered_do_no_harm(server):
    server.load(function("f", "async (client, n) => client.block(c => c.call('INCR', 'n'))"))
    for n in range(200):
        sent = server.send_call("f", n)
        if n % 2:
            sent.disconnect()
        else:
            server.run("CLIENT", "KILL", "ID", sent.client_id)
    wait_blocked(server, 0)
    server.wait(lambda: described(server)["pending_jobs"] == 0, "a job is left")
    # Some of them may have left before the server read what they sent.
    assert 0 < server.call("f", "last") <= 201


def test_a_library_can_be_deleted_after_its_waiting_clients_have_left(server):
    for how in ("DEL", "UPGRADE"):
        server.load(HOLD)
        calls = [server.send_call("hold" if n % 2 else "hold_async", f"k{n}") for n in range(20)]
        wait_held(server, *(f"k{n}" for n in range(20)))
        for sent in calls[:10]:
            sent.disconnect()
        if how == "UPGRADE":
            server.upgrade(HOLD)
        else:
            server.run("RG.FUNCTION", "DEL", "lib")
        for sent in calls[10:]:
            assert "replaced or deleted" in error_of(sent)
        wait_blocked(server, 0)
        server.reset()


def test_the_server_cannot_unblock_a_call_and_it_is_answered_in_the_end(server):
    server.load(HOLD)
    sent = server.send_call("hold", "k")
    wait_held(server, "k")
    for how in ("TIMEOUT", "ERROR"):
        assert server.run("CLIENT", "UNBLOCK", sent.client_id, how) == 0
    assert not sent.is_answered()
    server.call("settle", "k", "value")
    assert sent.reply() == "value"


def test_a_server_with_waiting_calls_can_be_shut_down(start_server):
    server = start_server()
    server.load(HOLD, consumer(callback="holding"), RELEASE)
    server.load(BUSY, name="busy")
    calls = [server.send_call(hold, hold) for hold in ("hold", "hold_async")]
    server.add("stream", 1, 2)
    wait_held(server, "hold", "hold_async")
    calls.append(server.send_call("busy", 2000, library="busy"))
    server.wait_message("spinning")
    server.send("SHUTDOWN", "NOSAVE")
    assert server.process.wait(15) == 0, server.log_text()[-3000:]
    assert "crashed" not in server.log_text()


def test_waiting_calls_outlive_a_flush_of_the_data(server):
    server.load(HOLD)
    sent = server.send_call("hold", "k")
    wait_held(server, "k")
    server.run("FLUSHALL")
    server.call("settle", "k", "value")
    assert sent.reply() == "value"


def test_a_call_that_waits_when_other_data_is_loaded_gets_an_error_for_its_library_is_another_one(server):
    server.load(HOLD)
    sent = server.send_call("hold", "k")
    wait_held(server, "k")
    server.run("DEBUG", "RELOAD")
    with pytest.raises(ResponseError, match="The library was replaced or deleted"):
        sent.reply()
    assert server.libraries() == ["lib"]


def test_while_clients_are_paused_background_parts_write_nothing(server):
    server.load(
        SPIN,
        function(
            "f", "async client => { spin(300); redis.log('spun'); return client.block(c => c.call('INCR', 'n')); }"
        ),
    )
    sent = server.send_call("f")
    server.wait_message("spinning")
    server.run("CLIENT", "PAUSE", 60_000, "WRITE")
    try:
        server.wait_message("spun")
        for _ in range(1000):
            assert server.run("GET", "n") is None
        assert not sent.is_answered()
    finally:
        server.run("CLIENT", "UNPAUSE")
    assert sent.reply() == 1


# --- order and fairness ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 4])
def threads(request, tmp_path_factory):
    """Servers with one worker and with four."""
    node = Server(tmp_path_factory.mktemp("threads"), module_args=f"execution-threads {request.param}")
    yield node
    node.stop()


def test_async_calls_of_a_library_begin_in_their_order(threads):
    threads.reset()
    threads.load(
        BUSY,
        "const order = [];",
        function("note", "async (client, n) => { order.push(Number(n)); if (n % 3) await null; }"),
        function("order", "() => order"),
    )
    busy = threads.send_call("busy", 300)
    threads.wait_message("spinning")
    calls = []
    for n in range(100):
        calls.append(threads.send_call("note", n))
        # What comes on another connection later is read later.
        threads.run("PING")
        if n == 50:
            assert busy.reply() == "done"
    for sent in calls:
        assert sent.reply() is None
    assert threads.call("order") == list(range(100))


def test_background_parts_of_a_library_begin_in_their_order(threads):
    threads.reset()
    threads.load(
        "const order = [];",
        function("order", "() => order"),
        function(
            "begin",
            "client => Promise.all(Array.from({ length: 500 }, (_, n) =>"
            " client.run_on_background(async c => { order.push(n); if (n % 7 === 0) c.block(b => b.call('PING')); })))"
            " .then(all => all.length)",
        ),
    )
    for _ in range(3):
        assert threads.call("begin") == 500
    assert threads.call("order") == [*range(500)] * 3


def test_a_library_that_computes_for_long_keeps_neither_others_nor_the_server_waiting(threads):
    threads.reset()
    threads.load(BUSY, name="busy")
    threads.load(
        function("write", "async client => client.block(c => c.call('INCR', 'n'))"),
        function("sync", "client => client.call('INCR', 'n')"),
        name="quick",
    )
    busy = threads.send_call("busy", 2500, library="busy")
    threads.wait_message("spinning")
    for n in range(10):
        assert threads.call("write", library="quick") == 2 * n + 1
        assert threads.call("sync", library="quick") == 2 * n + 2
        assert threads.run("PING")
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert busy.reply() == "done"


def test_a_library_with_much_to_do_shares_the_workers_with_others(threads):
    """Each of its parts is short, and there are seconds of them."""
    threads.reset()
    threads.load(
        "const short = () => { const end = Date.now() + 2; while (Date.now() < end); };",
        "let done = 0;",
        function(
            "begin",
            "client => { for (let n = 0; n < 1500; n++) client.run_on_background(async () => { short(); done++; }); }",
        ),
        function("done", "() => done"),
        name="much",
    )
    threads.load(function("f", "async client => client.block(c => c.call('INCR', 'n'))"), name="quick")
    threads.call("begin", library="much")
    for n in range(1, 6):
        assert threads.call("f", library="quick") == n
    assert threads.call("done", library="much") < 1500, "all was done before the test could look"
    threads.wait(lambda: threads.call("done", library="much") == 1500, "a part is missing")


def test_a_call_into_a_busy_library_that_cannot_wait_is_an_error_within_the_limit(threads):
    threads.reset()
    threads.load(BUSY, function("f", "client => client.call('INCR', 'n')"))
    threads.load(function("f", "() => 'other'"), name="other")
    busy = threads.send_call("busy", 2500)
    threads.wait_message("spinning")
    for _ in range(10):
        # The server waits for the same stretch of code only once: each time were longer than the computation takes.
        [_, refused] = in_transaction(threads, ("PING",), ("RG.FCALL", "lib", "f", 0))
        assert "library 'lib' is busy" in str(refused)
        assert threads.run("PING")
        assert threads.call("f", library="other") == "other"
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert busy.reply() == "done"


def test_a_library_is_busy_no_more_when_its_call_is_answered(threads):
    threads.reset()
    threads.load(BUSY, function("f", "client => client.call('INCR', 'n')"))
    threads.set_timeout(100)
    for count in range(1, 4):
        busy = threads.send_call("busy", 1500)
        threads.wait_message("spinning", count)
        [refused] = in_transaction(threads, ("RG.FCALL", "lib", "f", 0))
        assert "library 'lib' is busy" in str(refused)
        assert busy.reply() == "done"
        assert in_transaction(threads, ("RG.FCALL", "lib", "f", 0)) == [count]


def test_a_library_that_waits_for_a_promise_or_for_the_server_is_not_busy(threads):
    threads.reset()
    threads.load(
        HOLD,
        "let going = true;",
        function(
            "loop",
            "async client => { while (going) client.block(c => c.call('INCR', 'n')); return 'stopped'; }",
        ),
        function("stop", "() => { going = false; }"),
        function("f", "client => client.call('GET', 'n')"),
    )
    held = threads.send_call("hold_async", "k")
    wait_held(threads, "k")
    loop = threads.send_call("loop")
    threads.wait(lambda: threads.run("GET", "n"), "the loop did not begin")
    for _ in range(200):
        assert int(threads.call("f")) > 0
    threads.call("settle", "k", "value")
    threads.call("stop")
    assert (held.reply(), loop.reply()) == ("value", "stopped")
