"""Calls that wait while their library is upgraded or deleted, or whose client leaves."""

import pytest
from redis import ResponseError

from testing.functions import BUSY, HOLD, SPIN, call_error, described, error_of, wait_blocked, wait_held
from testing.libraries import RELEASE, consumer, function, library

UNREGISTERED = "Function were unregistered"


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


def test_functions_of_one_name_are_those_of_their_libraries_before_and_after_each_changes(server):
    libraries = [f"lib{n}" for n in range(8)]

    def called():
        return [server.call("f", library=name) for name in libraries for _ in range(2)]

    for name in libraries:
        server.load(function("f", f"() => '{name}'"), name=name)
    assert called() == [name for name in libraries for _ in range(2)]
    server.upgrade(function("f", "() => 'new'"), name="lib7")
    assert called()[-4:] == ["lib6", "lib6", "new", "new"]
    server.upgrade(function("g"), name="lib7")
    assert call_error(server, "f", library="lib7") == "Unknown function f"
    server.run("RG.FUNCTION", "DEL", "lib7")
    assert call_error(server, "f", library="lib7") == "Unknown library lib7"
    assert server.call("f", library="lib6") == "lib6"


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
