"""Functions and triggers that are paused: refused, or kept waiting, over restarts, upgrades and failovers."""

import pytest
from redis import ResponseError

from testing.libraries import function
from testing.replies import fields
from testing.triggers import trigger

SEEN = """
const seen = (client, data) => client.call('RPUSH', 'seen', data.key);
const noted = { on_trigger_fired: (client, data) => { data.key = `${data.key}!`; } };
"""
SYNC = "(client, data) => seen(client, data)"
ASYNC = "async (client, data) => client.block(locked => seen(locked, data))"
each_mode = pytest.mark.parametrize("callback", [SYNC, ASYNC], ids=["sync", "async"])
PAUSED = "ERR function 'f' is paused"


def refused(run, *words):
    with pytest.raises(ResponseError) as caught:
        run(*words)
    return str(caught.value)


def of(server, kind, name):
    return fields(server.run(f"RG.{kind}", "INFO", "lib", name))


def state(server, kind="FUNCTION", name="f"):
    return of(server, kind, name)["state"]


def pause(server, kind="FUNCTION", name="f"):
    assert server.run(f"RG.{kind}", "PAUSE", "lib", name) == "OK"


def resume(server, kind="FUNCTION", name="f"):
    assert server.run(f"RG.{kind}", "RESUME", "lib", name) == "OK"


def is_refused(server):
    found = refused(server.run, "RG.FCALL", "lib", "f", 0)
    return found in (PAUSED, PAUSED.removeprefix("ERR "))


def wait_seen(server, *keys):
    server.wait(lambda: server.run("LRANGE", "seen", 0, -1) == list(keys), f"not {keys}")


def waiting(server):
    return of(server, "TRIGGER", "trigger")["waiting"]


# --- functions


@pytest.mark.parametrize("callback", ["() => 1", "async () => 1"], ids=["sync", "async"])
def test_calls_of_a_paused_function_are_refused_until_it_goes_on(server, callback):
    server.load(function("f", callback), function("g", "() => 2"))
    assert server.run("RG.FCALL", "lib", "f", 0) == 1
    pause(server)
    pause(server)
    assert is_refused(server) and state(server) == "paused"
    assert (server.run("RG.FCALL", "lib", "g", 0), state(server, name="g")) == (2, "running")
    assert server.run("INFO", "redisgears_2_functions")["redisgears_2_function_lib_f"]["state"] == "paused"
    resume(server)
    assert (server.run("RG.FCALL", "lib", "f", 0), state(server)) == (1, "running")
    # A refused call is no call.
    assert of(server, "FUNCTION", "f")["calls"] == 2


def test_what_runs_when_its_function_is_paused_ends(server):
    server.load("let go; const gate = new Promise(resolve => (go = resolve));", function("f", "() => gate"), function("open", "() => go(7)"))
    call = server.send_call("f")
    server.wait(lambda: of(server, "FUNCTION", "f")["running"] == 1, "it does not run")
    pause(server)
    server.call("open")
    assert call.reply() == 7


def test_a_pause_survives_an_upgrade_and_goes_with_its_function(server):
    server.load(function("f"), function("g"))
    pause(server)
    server.upgrade(function("f", "() => 1"), function("g"))
    assert is_refused(server)
    server.upgrade(function("g"))
    server.upgrade(function("f", "() => 1"), function("g"))
    assert server.run("RG.FCALL", "lib", "f", 0) == 1


def test_a_library_that_is_deleted_takes_its_pauses_along(server):
    server.load(function("f", "() => 1"))
    pause(server)
    server.run("RG.FUNCTION", "DEL", "lib")
    server.load(function("f", "() => 1"))
    assert server.run("RG.FCALL", "lib", "f", 0) == 1


# --- triggers


@each_mode
def test_events_of_a_paused_trigger_wait_in_order(server, callback):
    server.load(SEEN, trigger(callback=callback))
    pause(server, "TRIGGER", "trigger")
    for key in ("key:1", "key:2", "key:3"):
        server.run("SET", key, "a")
    assert (waiting(server), state(server, "TRIGGER", "trigger")) == (3, "paused")
    assert server.run("EXISTS", "seen") == 0
    resume(server, "TRIGGER", "trigger")
    wait_seen(server, "key:1", "key:2", "key:3")
    server.run("SET", "key:4", "a")
    wait_seen(server, "key:1", "key:2", "key:3", "key:4")
    assert (waiting(server), state(server, "TRIGGER", "trigger")) == (0, "running")


@each_mode
def test_what_waits_for_a_paused_trigger_stays_over_an_upgrade(server, callback):
    server.load(SEEN, trigger(callback=callback))
    pause(server, "TRIGGER", "trigger")
    server.run("SET", "key:1", "a")
    server.upgrade(SEEN, trigger(callback=ASYNC if callback == SYNC else SYNC))
    server.run("SET", "key:2", "a")
    assert (waiting(server), state(server, "TRIGGER", "trigger")) == (2, "paused")
    resume(server, "TRIGGER", "trigger")
    wait_seen(server, "key:1", "key:2")


@each_mode
def test_events_whose_pre_hook_ran_in_replaced_code_fail_where_the_trigger_is_paused(server, callback):
    server.load(SEEN, trigger(callback=callback, options="noted"))
    pause(server, "TRIGGER", "trigger")
    server.run("SET", "key:1", "a")
    server.upgrade(SEEN, trigger(callback=callback, options="noted"))
    found = of(server, "TRIGGER", "trigger")
    assert (found["triggered"], found["finished"], found["waiting"]) == (1, 1, 0)
    assert found["last_error"] == "the code that it began with was replaced"
    server.run("SET", "key:2", "a")
    resume(server, "TRIGGER", "trigger")
    wait_seen(server, "key:2!")


def test_more_events_than_have_room_are_dropped_and_counted_also_in_a_pause(server):
    server.load(SEEN, trigger(callback=SYNC))
    pause(server, "TRIGGER", "trigger")
    with server.setting("redisgears_2.trigger-queue-length", 2):
        for key in ("key:1", "key:2", "key:3"):
            server.run("SET", key, "a")
    found = of(server, "TRIGGER", "trigger")
    assert (found["triggered"], found["dropped"], found["waiting"]) == (3, 1, 2)
    resume(server, "TRIGGER", "trigger")
    wait_seen(server, "key:1", "key:2")


def test_a_paused_trigger_holds_up_no_other(server):
    server.load(SEEN, trigger("trigger", callback=SYNC), trigger("other", callback=SYNC))
    pause(server, "TRIGGER", "trigger")
    server.run("SET", "key:1", "a")
    assert server.run("LRANGE", "seen", 0, -1) == ["key:1"]
    assert waiting(server) == 1
    resume(server, "TRIGGER", "trigger")
    wait_seen(server, "key:1", "key:1")


# --- kept


def test_pauses_survive_restarts_from_commands_and_from_a_dump(start_server):
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    server.load(SEEN, function("f", "() => 1"), function("g", "() => 2"), trigger(callback=SYNC))
    for name in ("f", "g"):
        pause(server, name=name)
    resume(server, name="g")
    pause(server, "TRIGGER", "trigger")
    # What is written since the last rewrite is commands, what the rewrite makes begins with a dump.
    for step in (server.restart, server.rewrite, server.restart):
        step()
        assert is_refused(server) and server.run("RG.FCALL", "lib", "g", 0) == 2
        assert state(server, "TRIGGER", "trigger") == "paused"
        server.run("SET", "key:1", "a")
        assert waiting(server) > 0 == server.run("EXISTS", "seen")
    resume(server, "TRIGGER", "trigger")
    server.wait(lambda: waiting(server) == 0, "it does not go on")


def test_a_replica_knows_what_is_paused_and_refuses_to_change_it(nodes):
    primary, replica = nodes
    primary.load(SEEN, function("f", "() => 1", ["no-writes"]), trigger(callback=SYNC))
    pause(primary)
    pause(primary, "TRIGGER", "trigger")
    replica.wait(lambda: replica.run("RG.FUNCTION", "LIST"), "the replica has no library")
    replica.wait(lambda: state(replica, "TRIGGER", "trigger") == "paused", "the replica does not know")
    assert is_refused(replica)
    assert "read only replica" in refused(replica.run, "RG.FUNCTION", "RESUME", "lib", "f")
    assert "read only replica" in refused(replica.run, "RG.TRIGGER", "RESUME", "lib", "trigger")
    resume(primary)
    replica.wait(lambda: state(replica) == "running", "the replica does not know")
    replica.run("REPLICAOF", "NO", "ONE")
    replica.run("SET", "key:1", "a")
    assert waiting(replica) == 1
    resume(replica, "TRIGGER", "trigger")
    wait_seen(replica, "key:1")


def test_the_log_says_who_paused_what(server):
    server.load(SEEN, function("f"), trigger())
    before = len(server.audits())
    pause(server)
    resume(server, "TRIGGER", "trigger")
    lines = server.audits()[before:]
    assert [line.split("): ")[1] for line in lines] == ["function 'lib/f'", "trigger 'lib/trigger'"]
    assert [line.split()[1] for line in lines] == ["PAUSE", "RESUME"]


@pytest.mark.parametrize("subcommand", ["PAUSE", "RESUME"])
def test_wrong_calls_change_nothing(server, subcommand):
    server.load(function("f", "() => 1"), trigger())
    for words, error in [
        (["RG.FUNCTION", subcommand, "nosuch", "f"], "no such library 'nosuch'"),
        (["RG.FUNCTION", subcommand, "lib", "trigger"], "library 'lib' has no function 'trigger'"),
        (["RG.FUNCTION", subcommand, "lib"], f"wrong number of arguments for 'rg.function|{subcommand.lower()}' command"),
        (["RG.TRIGGER", subcommand, "lib", "f"], "library 'lib' has no trigger 'f'"),
        (["RG.TRIGGER", subcommand, "lib", b"\xff"], "library 'lib' has no trigger '\ufffd'"),
        (["RG.TRIGGER", subcommand, "lib", "trigger", "x"], f"wrong number of arguments for 'rg.trigger|{subcommand.lower()}' command"),
    ]:
        assert refused(server.run, *words).removeprefix("ERR ") == error
    assert server.run("RG.FCALL", "lib", "f", 0) == 1
