"""Background parts of functions."""

import re

import pytest

from testing.functions import call_error, in_transaction
from testing.libraries import consumer, function


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
    # They go on until the client is done: it has its turn among them, on however busy a machine.
    steps = """async client => {
        for (let n = 1; ; n++) {
            const is_over = client.block(c => {
                const before = Number(c.call('GET', 'n') ?? 0);
                for (let m = 0; m < 20; m++) c.call('PING');
                c.call('SET', 'n', before + 1);
                return c.call('GET', 'over');
            });
            if (is_over) return n;
            if (n % 10 === 0) await null;
        }
    }"""
    for name in ("one", "two"):
        server.load(function("f", steps), name=name)
    calls = [server.send_call("f", library=name) for name in ("one", "one", "two", "two")]
    server.wait(lambda: server.run("GET", "n"))
    count = 200
    for _ in range(count):
        server.run("INCR", "n")
    assert not any(sent.is_answered() for sent in calls)
    server.run("SET", "over", 1)
    counts = [sent.reply() for sent in calls]
    assert all(one > 0 for one in counts)
    assert int(server.run("GET", "n")) == sum(counts) + count


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
