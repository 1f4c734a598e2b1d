"""The commands about runs: what they reply, aborting, and how many runs are kept."""

import re

import pytest
from redis import ResponseError

from testing.gears1 import SHARD, drop_all, execute, execution, executions, fill, logged
from testing.libraries import function
from testing.replies import fields
from testing.wire import Wire

MODULE_ARGS = "enable-debug-command yes"
ABORTED = "The execution was aborted"
# A run that goes on until the key is there.
WAITING = """GB('ShardsIDReader').map(async x => {
    log('begun');
    while (execute('EXISTS', 'go') == 0) await null;
    log('gone on');
    return x;
}).run()"""
# A run that does not end by itself.
STUCK = "GB('ShardsIDReader').foreach(() => log('begun')).map(() => new Promise(() => {})).run()"


@pytest.fixture(autouse=True)
def no_runs(server):
    """Before each test there are none."""
    drop_all(server)
    server.wait(lambda: executions(server) == {}, lambda: executions(server))


def begin(node, code, start="begun", count=1):
    """Begins a run for which nobody waits, and waits until a step of it runs; gives its ID."""
    identity = execute(node, code, "UNBLOCKING")
    node.wait(lambda: len(logged(node, start)) >= count, lambda: logged(node))
    return identity


def outcome(node, identity):
    return node.run("RG.GETRESULTS", identity)


# --- what they reply ------------------------------------------------------------------------------------------------


def test_unblocking_gives_the_id_at_once_and_the_run_is_kept(server):
    fill(server, "a:", 10)
    identity = execute(server, "GB().map(x => x.key).sort().limit(2).run()", "UNBLOCKING")
    assert re.fullmatch(SHARD + r"-\d+", identity)
    assert server.run("RG.GETRESULTSBLOCKING", identity) == [["a:0", "a:1"], []]
    for _ in range(2):
        assert outcome(server, identity) == [["a:0", "a:1"], []]
    assert server.run("RG.DUMPEXECUTIONS") == [["executionId", identity, "status", "done", "registered", 0]]


def test_a_run_that_its_client_waited_for_is_not_kept(server):
    assert execute(server, "GB().run()") == [[], []]
    assert server.run("RG.DUMPEXECUTIONS") == []


def test_runs_of_functions_are_kept(server):
    server.load(function("f", "async () => GB('ShardsIDReader').run()"))
    assert server.call("f") == [["1"], []]
    [[_, identity, _, status, _, registered]] = server.run("RG.DUMPEXECUTIONS")
    assert (status, registered) == ("done", 0)
    assert outcome(server, identity) == [["1"], []]


def test_events_of_registrations_are_no_runs(server):
    execute(
        server, "GB('StreamReader').foreach(x => log(x.n)).register('s'); GB().foreach(x => log(x.key)).register('k')"
    )
    server.add("s", 1)
    server.run("SET", "k", 1)
    server.wait(lambda: len(logged(server)) == 2, lambda: logged(server))
    assert executions(server) == {}


def test_the_earliest_comes_first(server):
    ids = [execute(server, "GB().run()", "UNBLOCKING") for _ in range(5)]
    assert list(executions(server)) == ids
    numbers = [int(identity.split("-")[1]) for identity in ids]
    assert numbers == list(range(numbers[0], numbers[0] + 5))


@pytest.mark.parametrize("more", [(), ("SHARD",), ("shard",)])
def test_an_execution_is_shown_as_one_shard_of_the_first_redisgears(server, more):
    fill(server, "a:", 3)
    plan = "GB().map(function name_of(x) { return x.key; }).filter(x => x !== 'a:1').count().run('a:*')"
    identity = execute(server, plan, "UNBLOCKING")
    server.run("RG.GETRESULTSBLOCKING", identity)
    [[shard_word, shard, plan_word, described]] = server.run("RG.GETEXECUTION", identity, *more)
    assert (shard_word, shard, plan_word) == ("shard_id", SHARD, "execution_plan")
    assert described[::2] == [
        *("status", "shards_received", "shards_completed", "results", "errors"),
        *("total_duration", "read_duration", "steps"),
    ]
    found = fields(described)
    assert (found["status"], found["shards_received"], found["shards_completed"]) == ("done", 1, 1)
    assert (found["results"], found["errors"]) == (1, [])
    assert found["total_duration"] >= 0
    steps = [fields(step) for step in found["steps"]]
    assert [step["type"] for step in steps] == ["count", "filter", "map"]
    assert [step["name"] for step in steps] == ["", "", "name_of"]
    assert all(list(step) == ["type", "duration", "name", "arg"] for step in steps)


def test_an_execution_that_goes_on_says_so(server):
    identity = begin(server, WAITING)
    found = execution(server, identity)
    assert (found["status"], found["results"], found["errors"], found["shards_completed"]) == ("running", -1, [], 0)
    assert executions(server) == {identity: "running"}
    with pytest.raises(ResponseError, match="execution is still running"):
        outcome(server, identity)
    with pytest.raises(ResponseError, match="execution is still running"):
        server.run("RG.DROPEXECUTION", identity)
    waiting = [server.send("RG.GETRESULTSBLOCKING", identity) for _ in range(3)]
    assert not any(sent.is_answered() for sent in waiting)
    server.run("SET", "go", 1)
    assert [sent.reply() for sent in waiting] == [[["1"], []]] * 3
    assert execution(server, identity)["status"] == "done"


def test_one_with_errors_is_done(server):
    fill(server, "a:", 1)
    identity = execute(server, "GB().map(() => { throw new Error('no'); }).run()", "UNBLOCKING")
    assert server.run("RG.GETRESULTSBLOCKING", identity) == [[], ["Error: no"]]
    found = execution(server, identity)
    assert (found["status"], found["results"], found["errors"]) == ("done", 0, ["Error: no"])


def test_one_that_is_dropped_is_forgotten(server):
    identity = execute(server, "GB().run()", "UNBLOCKING")
    server.run("RG.GETRESULTSBLOCKING", identity)
    assert server.run("RG.DROPEXECUTION", identity) == "OK"
    assert executions(server) == {}
    for command in ("DROPEXECUTION", "GETRESULTS", "GETRESULTSBLOCKING", "GETEXECUTION", "ABORTEXECUTION"):
        with pytest.raises(ResponseError, match="execution plan does not exist"):
            server.run(f"RG.{command}", identity)


def test_results_may_be_any_bytes_and_any_types(server):
    raw = server.connect(decode_responses=False)
    raw.set(b"\xff", b"\x00\x80")
    identity = raw.execute_command(
        "RG.JSEXECUTE", "GB().flatmap(x => [x.key, x.value, 2.5, { a: [1] }, null]).run()", "UNBLOCKING"
    )
    found = [None, [b"a", [1]], b"2.5", b"\x00\x80", b"\xff"]
    assert raw.execute_command("RG.GETRESULTSBLOCKING", identity) == [found, []]


def test_for_resp3_lists_of_names_and_values_are_maps(server):
    identity = execute(server, "GB('ShardsIDReader').map(() => ({ a: 2.5 })).run()", "UNBLOCKING")
    server.run("RG.GETRESULTSBLOCKING", identity)
    with Wire(server.port, 3) as wire:
        assert wire.call("RG.DUMPEXECUTIONS").startswith(b"*1\r\n%3\r\n$11\r\nexecutionId\r\n")
        assert wire.call("RG.GETEXECUTION", identity).startswith(b"*1\r\n%2\r\n$8\r\nshard_id\r\n")
        assert wire.call("RG.GETRESULTS", identity) == b"*2\r\n*1\r\n%1\r\n$1\r\na\r\n,2.5\r\n*0\r\n"
        assert wire.call("RG.JSEXECUTE", "GB('ShardsIDReader').map(() => true).run()") == b"*2\r\n*1\r\n#t\r\n*0\r\n"


# --- aborting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [WAITING, STUCK], ids=["waiting", "stuck"])
def test_a_run_can_be_aborted(server, code):
    identity = begin(server, code)
    waiting = server.send("RG.GETRESULTSBLOCKING", identity)
    assert server.run("RG.ABORTEXECUTION", identity) == "OK"
    assert executions(server) == {identity: "aborted"}
    [found, [error]] = outcome(server, identity)
    assert (found, ABORTED in error) == ([], True)
    assert waiting.reply() == [found, [error]]
    server.run("SET", "go", 1)
    assert server.run("RG.ABORTEXECUTION", identity) == "OK"
    assert execution(server, identity)["status"] == "aborted"
    assert server.run("RG.DROPEXECUTION", identity) == "OK"


@pytest.mark.parametrize("code", [WAITING, STUCK], ids=["waiting", "stuck"])
def test_a_run_can_be_aborted_while_its_client_waits(server, code):
    sent = server.send("RG.JSEXECUTE", code)
    server.wait(lambda: logged(server, "begun"), lambda: logged(server))
    [identity] = executions(server)
    assert server.run("RG.ABORTEXECUTION", identity) == "OK"
    [found, [error]] = sent.reply()
    assert (found, ABORTED in error) == ([], True)
    server.wait(lambda: executions(server) == {}, lambda: executions(server))


def test_an_aborted_run_reads_and_processes_nothing_more(server):
    fill(server, "a:", 5000)
    # No step ends before the key is there, so that the run cannot end before it is aborted.
    waits = "while (execute('EXISTS', 'go') == 0) await null;"
    step = f"foreach(async x => {{ execute('INCR', 'count'); log('begun'); {waits} }})"
    identity = begin(server, f"GB().{step}.run('a:*')")
    assert server.run("RG.ABORTEXECUTION", identity) == "OK"
    server.run("SET", "go", 1)
    server.load(function("f", "async () => GB('ShardsIDReader').run()"))
    server.call("f")

    def count():
        return int(server.run("GET", "count"))

    # What is in work comes to its end.
    stopped = []
    server.wait(
        lambda: stopped.append(count()) or (stopped[-3:] == [stopped[-1]] * 3 and len(stopped) > 10), lambda: stopped
    )
    assert count() < 5000


def test_one_run_of_a_function_can_be_aborted_and_the_function_goes_on(server):
    code = f"async () => {{ const [found, errors] = await {WAITING}; return ['went on', found, errors]; }}"
    server.load(function("f", code))
    sent = server.send_call("f")
    server.wait(lambda: logged(server, "begun"), lambda: logged(server))
    [identity] = executions(server)
    assert server.run("RG.ABORTEXECUTION", identity) == "OK"
    assert executions(server)[identity] == "aborted"
    server.run("SET", "go", 1)
    [word, found, [error]] = sent.reply()
    assert (word, found, ABORTED in error) == ("went on", [], True)
    assert executions(server) == {identity: "aborted"}


def test_a_run_that_has_ended_stays_as_it_is_when_it_is_aborted(server):
    identity = execute(server, "GB('ShardsIDReader').run()", "UNBLOCKING")
    server.run("RG.GETRESULTSBLOCKING", identity)
    assert server.run("RG.ABORTEXECUTION", identity) == "OK"
    assert (executions(server), outcome(server, identity)) == ({identity: "done"}, [["1"], []])


@pytest.mark.parametrize("how", ["disconnect", "kill"])
@pytest.mark.parametrize("code", [WAITING, STUCK], ids=["waiting", "stuck"])
def test_with_its_client_a_run_goes(server, how, code):
    sent = server.send("RG.JSEXECUTE", code)
    server.wait(lambda: logged(server, "begun"), lambda: logged(server))
    assert list(executions(server).values()) == ["running"]
    if how == "kill":
        server.run("CLIENT", "KILL", "ID", sent.client_id)
    else:
        sent.disconnect()
    server.wait(lambda: executions(server) == {}, lambda: executions(server))
    assert execute(server, "GB('ShardsIDReader').run()") == [["1"], []]


def test_who_waits_for_results_may_leave(server):
    identity = begin(server, WAITING)
    sent = server.send("RG.GETRESULTSBLOCKING", identity)
    server.wait(lambda: server.client.info("clients")["blocked_clients"] == 1, "it does not wait")
    sent.disconnect()
    server.wait(lambda: server.client.info("clients")["blocked_clients"] == 0, "it still waits")
    server.run("SET", "go", 1)
    assert server.run("RG.GETRESULTSBLOCKING", identity) == [["1"], []]


@pytest.mark.parametrize("loop", ["for (;;) ;", "for (;;) await null;"])
@pytest.mark.parametrize("way", ["blocking", "unblocking", "function"])
def test_a_run_that_is_ended_for_its_time_has_ended(server, way, loop):
    code = f"GB('ShardsIDReader').foreach(async () => {{ {loop} }}).run()"
    with server.setting("redisgears_2.background-timeout", 200):
        if way == "function":
            server.load(function("f", f"async () => {code}"))
            with pytest.raises(ResponseError, match="Execution was terminated due to OOM or timeout"):
                server.call("f")
            [identity] = executions(server)
            [found, [error]] = outcome(server, identity)
            assert executions(server)[identity] == "done"
        elif way == "unblocking":
            identity = execute(server, code, "UNBLOCKING")
            [found, [error]] = server.run("RG.GETRESULTSBLOCKING", identity)
            assert executions(server)[identity] == "done"
        else:
            [found, [error]] = execute(server, code)
            assert executions(server) == {}
    assert found == []
    assert "Execution was terminated due to OOM or timeout (timeout)" in error


# --- how many are kept ----------------------------------------------------------------------------------------------


def test_the_oldest_are_forgotten(server):
    with server.setting("redisgears_2.max-executions", 3):
        ids = [execute(server, "GB().run()", "UNBLOCKING") for _ in range(6)]
        for identity in ids[3:]:
            server.run("RG.GETRESULTSBLOCKING", identity)
        server.wait(lambda: list(executions(server)) == ids[3:], lambda: (executions(server), ids))


def test_the_oldest_are_forgotten_where_results_take_much_memory(server):
    code = "GB('ShardsIDReader').flatmap(x => Array.from({ length: 4 }, () => 'y'.repeat(100000))).run()"
    with server.setting("redisgears_2.max-executions-memory", 1_000_000):
        ids = []
        for _ in range(5):
            ids.append(execute(server, code, "UNBLOCKING"))
            assert [len(text) for text in server.run("RG.GETRESULTSBLOCKING", ids[-1])[0]] == [100_000] * 4
        server.wait(lambda: list(executions(server)) == ids[3:], lambda: (executions(server), ids))
    with server.setting("redisgears_2.max-executions-memory", 0):
        ids.append(execute(server, code, "UNBLOCKING"))
        server.run("RG.GETRESULTSBLOCKING", ids[-1])
        server.wait(lambda: list(executions(server)) == ids[-1:], lambda: (executions(server), ids))


def test_those_that_go_on_do_not_count(server):
    with server.setting("redisgears_2.max-executions", 2):
        waiting = [begin(server, WAITING, count=number) for number in range(1, 4)]
        ended = [execute(server, "GB('StreamReader').run('nosuch')", "UNBLOCKING") for _ in range(3)]
        for identity in ended[1:]:
            server.run("RG.GETRESULTSBLOCKING", identity)
        server.wait(lambda: list(executions(server)) == waiting + ended[1:], lambda: executions(server))
        server.run("SET", "go", 1)
        server.wait(lambda: list(executions(server).values()) == ["done"] * 2, lambda: executions(server))


def test_a_smaller_limit_holds_with_the_next_end(server):
    ids = [execute(server, "GB().run()", "UNBLOCKING") for _ in range(5)]
    for identity in ids:
        server.run("RG.GETRESULTSBLOCKING", identity)
    with server.setting("redisgears_2.max-executions", 1):
        last = execute(server, "GB().run()", "UNBLOCKING")
        server.wait(lambda: executions(server) == {last: "done"}, lambda: executions(server))


def test_none_may_be_kept_and_who_waits_is_answered_all_the_same(server):
    with server.setting("redisgears_2.max-executions", 0):
        assert execute(server, "GB('ShardsIDReader').run()") == [["1"], []]
        identity = begin(server, WAITING)
        waiting = server.send("RG.GETRESULTSBLOCKING", identity)
        server.wait(lambda: server.client.info("clients")["blocked_clients"] == 1, "it does not wait")
        server.run("SET", "go", 1)
        assert waiting.reply() == [["1"], []]
        assert executions(server) == {}


def test_the_default_is_a_thousand(server):
    assert server.run("CONFIG", "GET", "redisgears_2.max-executions") == ["redisgears_2.max-executions", "1000"]
    assert server.run("RG.CONFIG", "GET", "max-executions") == "1000"


def test_of_a_script_that_has_ended_nothing_is_left(server):
    for number in range(10):
        assert execute(server, "1") == "OK"
        assert execute(server, "GB('ShardsIDReader').run()") == [["1"], []]
        assert execute(server, "GB('ShardsIDReader').map(() => { throw 1; }).run()") == [[], ["1"]]
        aborted = execute(server, STUCK, "UNBLOCKING")
        server.run("RG.ABORTEXECUTION", aborted)
        for wrong in ("throw 1", "function (", "GB().register('k'); throw 1"):
            with pytest.raises(ResponseError):
                execute(server, wrong)
        gone = server.send("RG.JSEXECUTE", STUCK)
        server.wait(lambda number=number: "running" in executions(server).values(), "it does not begin")
        gone.disconnect()

    def scripts():
        return fields(server.run("RG.FUNCTION", "DEBUG", "js", "isolates_stats"))["active"]

    server.wait(lambda: scripts() == 0, scripts)


def test_runs_are_not_kept_over_a_restart(start_server):
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    identity = execute(server, "GB('ShardsIDReader').run()", "UNBLOCKING")
    server.run("RG.GETRESULTSBLOCKING", identity)
    begin(server, STUCK)
    server.restart()
    assert (executions(server), server.libraries()) == ({}, [])


def test_a_run_that_goes_on_does_not_keep_the_server_from_ending(start_server):
    server = start_server()
    execute(server, STUCK, "UNBLOCKING")
    sent = server.send("RG.JSEXECUTE", STUCK)
    server.wait(lambda: len(logged(server, "begun")) == 2, lambda: logged(server))
    assert not sent.is_answered()
    server.process.terminate()
    assert server.process.wait(timeout=10) == 0
