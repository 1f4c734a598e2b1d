"""Wrong calls of the commands of the first RedisGears, and where they are refused altogether."""

import pytest
from redis import ResponseError

from testing.gears1 import execute, executions, id_of, registrations, wait_counts
from testing.wire import Wire

REGISTERS = "GB().foreach(x => log(x.key)).register('k*')"
UNKNOWN_RUN = "ERR execution plan does not exist"

WRONG = {
    "JSEXECUTE without code": (["RG.JSEXECUTE"], "wrong number of arguments"),
    "JSEXECUTE with an unknown option": (["RG.JSEXECUTE", "1", "NOSUCH"], "ERR Unknown arguments were given: NOSUCH"),
    "JSEXECUTE with requirements": (
        ["RG.JSEXECUTE", "1", "REQUIREMENTS", "numpy"],
        "ERR Unknown arguments were given: REQUIREMENTS",
    ),
    "JSEXECUTE with bytes as an option": (["RG.JSEXECUTE", "1", b"\xff\x00"], "ERR Unknown arguments were given: "),
    "JSEXECUTE without an ID": (["RG.JSEXECUTE", "1", "ID"], "ERR the ID must be of letters, digits, '_' and '-'"),
    "JSEXECUTE with an empty ID": (["RG.JSEXECUTE", "1", "ID", ""], "ERR the ID must be of letters"),
    "JSEXECUTE with a wrong ID": (["RG.JSEXECUTE", "1", "ID", "a.b"], "ERR the ID must be of letters"),
    "JSEXECUTE with bytes as ID": (["RG.JSEXECUTE", "1", "ID", b"\xff"], "ERR the ID must be of letters"),
    "JSEXECUTE with a long ID": (["RG.JSEXECUTE", "1", "ID", "a" * 1001], "ERR the ID must be of letters"),
    "JSEXECUTE UPGRADE without ID": (["RG.JSEXECUTE", "1", "UPGRADE"], "ERR UPGRADE needs an ID"),
    "JSEXECUTE of bytes": (["RG.JSEXECUTE", b"\xff"], "lib code must be a valid string"),
    "JSEXECUTE of a syntax error": (["RG.JSEXECUTE", "function ("], "SyntaxError"),
    "JSEXECUTE of Python": (["RG.JSEXECUTE", "GB().map(lambda x: x).run()"], "SyntaxError"),
    "JSEXECUTE of an exception": (["RG.JSEXECUTE", "throw new Error('by me')"], "Error: by me"),
    "JSEXECUTE of a rejected promise": (["RG.JSEXECUTE", "Promise.reject(new Error('by me'))"], "by me"),
    "JSEXECUTE of an unknown name": (["RG.JSEXECUTE", "nosuch()"], "ReferenceError: nosuch is not defined"),
    "JSEXECUTE of an unknown operator": (["RG.JSEXECUTE", "GB().mapp(x => x)"], "GB(...).mapp is not a function"),
    "JSEXECUTE of another engine": (["RG.JSEXECUTE", "#!lua name=x\n1"], "Unknown backend lua"),
    "JSEXECUTE of a name that is there": (
        ["RG.JSEXECUTE", REGISTERS, "ID", "standing"],
        "Library standing already exists",
    ),
    "JSEXECUTE of a name that is there, as its own": (
        ["RG.JSEXECUTE", f"#!js name=standing\n{REGISTERS}"],
        "Library standing already exists",
    ),
    "JSEXECUTE of a name that is not there, with an ID": (
        ["RG.JSEXECUTE", f"#!js name=x\n{REGISTERS}", "ID", "y"],
        "ERR the script has a name: ID is not for it",
    ),
    "DUMPREGISTRATIONS with an argument": (["RG.DUMPREGISTRATIONS", "x"], "wrong number of arguments"),
    "UNREGISTER without ID": (["RG.UNREGISTER"], "wrong number of arguments"),
    "UNREGISTER of nothing": (["RG.UNREGISTER", "nosuch"], "ERR execution is not registered"),
    "UNREGISTER of bytes": (["RG.UNREGISTER", b"\xff"], "ERR execution is not registered"),
    "UNREGISTER with another word": (["RG.UNREGISTER", "REGISTRATION", "NOW"], "ERR syntax error"),
    "UNREGISTER with too much": (["RG.UNREGISTER", "REGISTRATION", "ABORTPENDING", "x"], "ERR syntax error"),
    "PAUSEREGISTRATIONS without ID": (["RG.PAUSEREGISTRATIONS"], "wrong number of arguments"),
    "PAUSEREGISTRATIONS of nothing": (["RG.PAUSEREGISTRATIONS", "nosuch"], "ERR execution nosuch is not registered"),
    "PAUSEREGISTRATIONS of keys": (
        ["RG.PAUSEREGISTRATIONS", "REGISTRATION"],
        "ERR Reader KeysReader does not support pause/unpause",
    ),
    "UNPAUSEREGISTRATIONS without ID": (["RG.UNPAUSEREGISTRATIONS"], "wrong number of arguments"),
    "UNPAUSEREGISTRATIONS of nothing": (
        ["RG.UNPAUSEREGISTRATIONS", "nosuch"],
        "ERR execution nosuch is not registered",
    ),
    "UNPAUSEREGISTRATIONS of keys": (
        ["RG.UNPAUSEREGISTRATIONS", "REGISTRATION"],
        "ERR Reader KeysReader does not support pause/unpause",
    ),
    "CLEARREGISTRATIONSSTATS with an argument": (
        ["RG.CLEARREGISTRATIONSSTATS", "REGISTRATION"],
        "wrong number of arguments",
    ),
    "DUMPEXECUTIONS with an argument": (["RG.DUMPEXECUTIONS", "x"], "wrong number of arguments"),
    "GETEXECUTION without ID": (["RG.GETEXECUTION"], "wrong number of arguments"),
    "GETEXECUTION of nothing": (["RG.GETEXECUTION", "nosuch"], UNKNOWN_RUN),
    "GETEXECUTION of bytes": (["RG.GETEXECUTION", b"\xff"], UNKNOWN_RUN),
    "GETEXECUTION of a registration": (["RG.GETEXECUTION", "REGISTRATION"], UNKNOWN_RUN),
    "GETEXECUTION of the cluster": (
        ["RG.GETEXECUTION", "RUN", "CLUSTER"],
        "ERR only the executions of this shard are known",
    ),
    "GETEXECUTION with another word": (["RG.GETEXECUTION", "RUN", "NODE"], "ERR syntax error"),
    "GETEXECUTION with too much": (["RG.GETEXECUTION", "RUN", "SHARD", "x"], "ERR syntax error"),
}
for word in ("GETRESULTS", "GETRESULTSBLOCKING", "ABORTEXECUTION", "DROPEXECUTION"):
    WRONG |= {
        f"{word} without ID": ([f"RG.{word}"], "wrong number of arguments"),
        f"{word} with too much": ([f"RG.{word}", "RUN", "x"], "wrong number of arguments"),
        f"{word} of nothing": ([f"RG.{word}", "nosuch"], UNKNOWN_RUN),
        f"{word} of a number": ([f"RG.{word}", "5"], UNKNOWN_RUN),
        f"{word} of bytes": ([f"RG.{word}", b"\xff\x00"], UNKNOWN_RUN),
        f"{word} of a run that is none yet": ([f"RG.{word}", "0" * 40 + "-99999999"], UNKNOWN_RUN),
    }


@pytest.fixture
def standing(server):
    """A server with a registration and a run that has ended; gives it and their IDs."""
    execute(server, REGISTERS, "ID", "standing")
    run = execute(server, "GB('ShardsIDReader').run()", "UNBLOCKING")
    server.run("RG.GETRESULTSBLOCKING", run)
    return server, {"REGISTRATION": id_of(server), "RUN": run}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_call_is_a_clear_error_and_changes_nothing(standing, wrong):
    server, ids = standing
    words, message = WRONG[wrong]
    before = (registrations(server), executions(server), server.libraries())
    with pytest.raises(ResponseError) as error:
        server.run(*(ids.get(word, word) for word in words))
    assert message in str(error.value) or message.removeprefix("ERR ") in str(error.value)
    assert (registrations(server), executions(server), server.libraries()) == before
    server.run("SET", "k", 1)
    wait_counts(server, 1, 1, 0, 0)


@pytest.mark.parametrize("wrong", [one for one in WRONG if "ERR" in WRONG[one][1]])
def test_errors_of_the_commands_have_a_code(standing, wrong):
    server, ids = standing
    words, message = WRONG[wrong]
    with Wire(server.port) as wire:
        assert wire.call(*(ids.get(word, word) for word in words)).startswith(b"-" + message.encode())


# --- where they are refused -----------------------------------------------------------------------------------------

COMMANDS = [
    ["RG.JSEXECUTE", "1"],
    ["RG.DUMPREGISTRATIONS"],
    ["RG.UNREGISTER", "x"],
    ["RG.PAUSEREGISTRATIONS", "x"],
    ["RG.UNPAUSEREGISTRATIONS", "x"],
    ["RG.CLEARREGISTRATIONSSTATS"],
    ["RG.DUMPEXECUTIONS"],
    ["RG.GETEXECUTION", "x"],
    ["RG.GETRESULTS", "x"],
    ["RG.GETRESULTSBLOCKING", "x"],
    ["RG.ABORTEXECUTION", "x"],
    ["RG.DROPEXECUTION", "x"],
]

each_command = pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])


@each_command
@pytest.mark.parametrize("place", ["EVAL", "execute", "client.call", "atomic"])
def test_scripts_cannot_call_them(server, words, place):
    with pytest.raises(ResponseError, match="not allowed"):
        if place == "EVAL":
            server.run("EVAL", "return redis.call(unpack(ARGV))", 0, *words)
        else:
            form = {
                "execute": "execute(...words)",
                "client.call": "client.block(c => c.call(...words))",
                "atomic": "atomic(() => execute(...words))",
            }[place]
            server.load(f"redis.register_function('f', async (client, ...words) => {form});", options=["UPGRADE"])
            server.call("f", *words)


def in_transaction(node, *commands):
    pipe = node.client.pipeline(transaction=True)
    for words in commands:
        pipe.execute_command(*words)
    return pipe.execute(raise_on_error=False)


@pytest.mark.parametrize("code", ["1", REGISTERS, "GB().run()"])
@pytest.mark.parametrize("more", [(), ("UNBLOCKING",)])
def test_no_script_is_run_in_a_transaction(server, code, more):
    [before, refused, after] = in_transaction(server, ["SET", "a", 1], ["RG.JSEXECUTE", code, *more], ["SET", "b", 1])
    assert (before, after) == (True, True)
    assert "scripts cannot be run inside a transaction" in str(refused)
    assert server.libraries() == []


def test_no_script_is_run_when_the_server_is_out_of_memory(server):
    with server.setting("maxmemory", "1mb"), pytest.raises(ResponseError, match="maxmemory"):
        execute(server, REGISTERS)
    assert server.libraries() == []


def test_in_a_transaction_nobody_waits_for_results(server):
    stuck = "GB('ShardsIDReader').map(() => new Promise(() => {})).run()"
    running = execute(server, stuck, "UNBLOCKING")
    ended = execute(server, "GB('ShardsIDReader').run()", "UNBLOCKING")
    server.run("RG.GETRESULTSBLOCKING", ended)
    refused, found = in_transaction(server, ["RG.GETRESULTSBLOCKING", running], ["RG.GETRESULTSBLOCKING", ended])
    assert "can not wait inside a transaction or a script" in str(refused)
    assert found == [["1"], []]
    assert in_transaction(server, ["RG.ABORTEXECUTION", running], ["RG.DROPEXECUTION", running]) == ["OK", "OK"]


def test_registrations_may_be_changed_in_a_transaction(server):
    execute(server, "GB('StreamReader').register('s'); " + REGISTERS, "ID", "gears")
    [stream, keys] = [id_of(server, f"gears:{number}") for number in (1, 2)]
    replies = in_transaction(
        server,
        ["RG.PAUSEREGISTRATIONS", stream],
        ["RG.UNPAUSEREGISTRATIONS", stream],
        ["RG.UNREGISTER", stream],
        ["RG.CLEARREGISTRATIONSSTATS"],
        ["RG.UNREGISTER", keys],
        ["RG.DUMPREGISTRATIONS"],
    )
    assert replies == ["OK"] * 5 + [[]]
    assert server.libraries() == []


# --- rights, documentation ------------------------------------------------------------------------------------------


@each_command
def test_who_has_no_right_cannot_call_them(server, words):
    server.run("ACL", "SETUSER", "someone", "on", "nopass", "~*", "+@all", f"-{words[0].lower()}")
    try:
        with pytest.raises(ResponseError, match="no permissions"):
            server.connect(username="someone", password="x").execute_command(*words)
    finally:
        server.run("ACL", "DELUSER", "someone")


def test_a_script_acts_as_who_sent_it(server):
    server.run("ACL", "SETUSER", "someone", "on", "nopass", "~a*", "+@all")
    try:
        client = server.connect(username="someone", password="x")
        server.run("MSET", "a", 1, "b", 1)
        [found, [error]] = execute(server, "GB().run('*', { readValue: true })", client=client)
        assert "acl verification failed" in error or "permission" in error
        assert execute(server, "GB().map(x => x.key).run('a*')", client=client) == [["a"], []]
        [_, [error]] = execute(
            server, "GB('ShardsIDReader').foreach(() => execute('SET', 'c', 1)).run()", client=client
        )
        assert "acl verification failed" in error or "permission" in error
    finally:
        server.run("ACL", "DELUSER", "someone")
    assert found in ([], [["key", "a", "value", "1", "type", "string", "event", None]])


@each_command
def test_the_server_documents_them(server, words):
    with Wire(server.port) as wire:
        assert b"\r\nsummary\r\n" in wire.call("COMMAND", "DOCS", words[0])


def test_code_may_be_large_and_no_larger(server):
    assert execute(server, "//" + "x" * 1_000_000) == "OK"
    with pytest.raises(ResponseError, match="library code is too large"):
        execute(server, "//" + "x" * (16 << 20))
