"""Triggers run on a primary only and leave replicas and files as its own commands would; what becomes of them at a
restart, a promotion, an upgrade and a deletion."""

import io

import pytest

from testing.libraries import function
from testing.policies import AOF, each_persistence, kill_and_restart
from testing.replication import promote, settle, wait_equal
from testing.replies import fields
from testing.triggers import (
    FIRED,
    counted,
    each_kind,
    fired,
    load,
    open_gate,
    pipelined,
    release,
    run_all,
    set_expired,
    shown,
    trigger,
    upgrade,
    wait_fired,
    wait_idle,
    wait_shown,
    without_active_expiry,
)

EFFECTS = {
    "sync": "(client, data) => { client.call('RPUSH', 'effects', `${data.event} ${data.key}`); }",
    "async": "async (client, data) => client.block(c => c.call('RPUSH', 'effects', `${data.event} ${data.key}`))",
}
COMMANDS_ONLY = ("--aof-use-rdb-preamble", "no")
SLOW = {"sync": "slow", "async": "async (client, data) => slow(client, data)"}


def effects(node):
    """What the callbacks of EFFECTS wrote."""
    return node.run("LRANGE", "effects", 0, -1)


def wait_effects(node, count):
    """Waits for so many of them."""
    node.wait(lambda: len(effects(node)) >= count, lambda: effects(node))
    return effects(node)


# --- primary and replica --------------------------------------------------------------------------------------------


@each_kind
def test_a_replica_runs_no_triggers(pair, kind):
    load(pair, trigger(callback=FIRED[kind]))
    run_all(pair, ["SET key:1 v", "RENAME key:1 key:2", "DEL key:2", "GET key:2", "SET other v"])
    wait_fired(pair, "set key:1", "rename_from key:1", "rename_to key:2", "del key:2", "keymiss key:2")
    wait_equal(pair)
    pair.replica.run("GET", "key:2")
    assert fired(pair.replica) == []
    pair.replica.wait(lambda: pair.replica.libraries() == ["lib"], "the library does not arrive")
    assert counted(pair.replica)["num_triggered"] == 0


@each_kind
def test_after_triggers_wrote_both_hold_the_same(pair, kind):
    load(pair, trigger(callback=EFFECTS[kind]))
    for transaction in (False, True):
        commands = [f"SET key:{number} v" for number in range(100)] + [f"DEL key:{number}" for number in range(50)]
        pipelined(pair, *commands, transaction=transaction)
    assert len(wait_effects(pair, 300)) == 300
    wait_equal(pair)
    assert effects(pair.replica) == effects(pair)


def test_after_keys_expired_were_evicted_and_missed_both_hold_the_same(pair):
    load(pair, trigger(callback=EFFECTS["sync"], options={"event_types": ["expired", "keymiss"]}))
    pipelined(pair, *(f"SET key:{number} v PX 1" for number in range(50)), "GET key:none")
    assert len(wait_effects(pair, 51)) == 51
    wait_equal(pair)
    assert effects(pair.replica) == effects(pair)
    assert pair.replica.run("DBSIZE") == 1


BACKGROUND = "client => client.run_on_background(async background => { background.block(locked => locked.call('INCR', 'ran')); })"
HOOKS = {
    "nothing": "() => {}",
    "commands": "(client, data) => { try { client.call('EXISTS', data.key); } catch (error) { data.error = String(error); } }",
}
each_hook = pytest.mark.parametrize("hook", HOOKS)


def load_with_hook(pair, hook):
    """A library whose trigger looks at every event, and has code that may wait."""
    load(pair, trigger(prefix="", callback=BACKGROUND, options=f"{{ on_trigger_fired: {HOOKS[hook]} }}"))
    pair.run("SET", "first", "v")
    pair.wait(lambda: pair.run("EXISTS", "ran"), "its background part does not run")
    pair.run("DEL", "first")
    wait_idle(pair)


@each_hook
def test_keys_evicted_while_scripts_look_are_evicted_from_the_replica(pair, hook):
    load_with_hook(pair, hook)
    pipelined(pair, *(f"SET key:{number} v" for number in range(50)), *(f"XADD stream:{number} * f v" for number in range(50)))
    with pair.setting("maxmemory-policy", "allkeys-lru"), pair.setting("maxmemory", 1):
        pair.wait(lambda: set(pair.run("KEYS", "*")) <= {"ran"})
    wait_idle(pair)
    wait_equal(pair)


@each_hook
def test_keys_that_expire_while_scripts_look_leave_the_replica(pair, hook):
    load_with_hook(pair, hook)
    with without_active_expiry(pair):
        pipelined(pair, *(f"SET key:{number} v PX 1" for number in range(50)))
    pair.wait(lambda: pair.run("KEYS", "*") == ["ran"])
    pair.replica.wait(lambda: pair.replica.run("DBSIZE") == 1, lambda: pair.replica.run("DBSIZE"))
    wait_idle(pair)
    wait_equal(pair)


@each_hook
def test_what_waiting_clients_take_while_scripts_look_is_taken_from_the_replica(pair, hook):
    load_with_hook(pair, hook)
    waiting = [pair.send("BLPOP", "key", 0), pair.send("BRPOP", "key", 0), pair.send("BLMOVE", "key", "other", "LEFT", "LEFT", 0)]
    pair.wait(lambda: pair.client.info("clients")["blocked_clients"] == len(waiting))
    pair.run("RPUSH", "key", *"abcd")
    for client in waiting:
        assert client.reply()
    wait_idle(pair)
    wait_equal(pair)
    assert pair.replica.run("LRANGE", "key", 0, -1) == pair.run("LRANGE", "key", 0, -1) != []


def test_what_on_registered_wrote_both_hold(pair):
    load(pair, trigger(options="{ on_registered: client => { client.call('INCR', 'registered'); } }"))
    pair.wait(lambda: pair.run("GET", "registered") == "1", "it is not called")
    wait_equal(pair)
    assert pair.replica.run("GET", "registered") == "1"


# --- the append-only file -------------------------------------------------------------------------------------------


def commands_in(data):
    """The commands in a part of an append-only file, as lists of words."""
    file = io.BytesIO(data)
    for head in file:
        # There may be annotations, too.
        if head.startswith(b"*"):
            lengths = range(int(head[1:]))
            yield [file.read(int(file.readline()[1:]) + 2)[:-2].decode(errors="replace") for _ in lengths]


def written(node):
    """The commands in the append-only file, each a text; without those that choose a database, and the module's own."""
    commands = [words for path in node.appended() for words in commands_in(path.read_bytes())]
    found = [" ".join([words[0].upper(), *words[1:]]) for words in commands]
    return [one for one in found if not one.startswith(("SELECT ", "_RG_INTERNALS "))]


def plain(commands):
    """Without the frames of transactions."""
    return [one for one in commands if one not in ("MULTI", "EXEC")]


def assert_behind(commands, cause, effect):
    """The effect is there, once, and somewhere behind its cause."""
    assert commands.count(effect) == 1, (effect, commands)
    assert cause in commands[: commands.index(effect)], (cause, effect, commands)


@pytest.fixture
def logged(start_server):
    """A server with an append-only file of commands."""
    return start_server(*AOF, *COMMANDS_ONLY)


@each_kind
def test_effects_are_written_behind_their_cause(logged, kind):
    load(logged, trigger(callback=EFFECTS[kind]))
    pipelined(logged, *(f"SET key:{number} v" for number in range(50)))
    pipelined(logged, "DEL key:1", "RENAME key:2 key:b", transaction=True)
    logged.run("EVAL", "redis.call('SET', 'key:lua', 1); redis.call('INCR', 'key:lua')", 0)
    wait_effects(logged, 55)
    found = plain(written(logged))
    for number in range(50):
        assert_behind(found, f"SET key:{number} v", f"RPUSH effects set key:{number}")
    assert_behind(found, "DEL key:1", "RPUSH effects del key:1")
    assert_behind(found, "RENAME key:2 key:b", "RPUSH effects rename_from key:2")
    assert_behind(found, "RENAME key:2 key:b", "RPUSH effects rename_to key:b")
    assert_behind(found, "SET key:lua 1", "RPUSH effects set key:lua")
    assert_behind(found, "INCR key:lua", "RPUSH effects incrby key:lua")
    assert [one.removeprefix("RPUSH effects ") for one in found if one.startswith("RPUSH")] == effects(logged)


WAITING = """
const asleep = [];
redis.register_async_function('waits', async client => {
    await new Promise(resolve => asleep.push(resolve));
    return client.block(locked => String(locked.call('INCR', 'out')) + locked.call('EXISTS', 'key:0'));
});
redis.register_function('count', () => asleep.length);
const wake = () => asleep.splice(0).forEach(resolve => resolve());
"""


@pytest.mark.parametrize("ends", ["wake();", "wake(); throw 'as intended';"])
@each_kind
def test_code_that_a_look_lets_go_on_writes_behind_the_cause(logged, kind, ends):
    load(logged, WAITING, trigger(callback=FIRED[kind], options=f"{{ on_trigger_fired: (client, data) => {{ {ends} }} }}"))
    for cause, exists in (("SET key:0 v", 1), ("DEL key:0", 0)):
        caller = logged.send_call("waits")
        logged.wait(lambda: logged.call("count") == 1)
        logged.run(*cause.split())
        assert caller.reply()[1:] == str(exists)
    found = plain(written(logged))
    assert found == ["SET key:0 v", "INCR out", "DEL key:0", "INCR out"]


def test_code_that_a_look_lets_go_on_while_keys_expire_leaves_them_alone(logged):
    load(logged, WAITING, trigger(options="{ event_types: ['expired'], on_trigger_fired: () => wake() }"))
    with without_active_expiry(logged):
        callers = [logged.send_call("waits") for _ in range(5)]
        logged.wait(lambda: logged.call("count") == 5)
        pipelined(logged, *(f"SET key:{number} v PX 1" for number in range(50)))
    assert all(caller.reply() for caller in callers)
    logged.wait(lambda: logged.run("KEYS", "*") == ["out"])


def test_where_the_server_can_cause_and_effects_are_one_transaction(logged):
    if not logged.runs_callbacks_in_commands():
        pytest.skip("callbacks run after the command here")
    load(logged, trigger(callback="(client, data) => { client.call('INCR', 'a'); client.call('INCR', 'b'); }"))
    run_all(logged, ["SET key v", "SET other v"])
    pipelined(logged, "SET key:1 v", "SET key:2 v", transaction=True)
    found = written(logged)
    begin = found.index("SET key v") - 1
    both = ["INCR a", "INCR b"]
    assert found[begin:] == [
        *["MULTI", "SET key v", *both, "EXEC"],
        "SET other v",
        *["MULTI", "SET key:1 v", "SET key:2 v", *both, *both, "EXEC"],
    ]


@pytest.mark.parametrize("how", ["by itself", "when it is read"])
def test_effects_of_an_expired_key_are_written_behind_its_deletion(logged, how):
    load(logged, trigger(callback=EFFECTS["sync"], options={"event_types": ["expired"]}))
    if how == "by itself":
        logged.run("SET", "key", "v", "PX", 1)
    else:
        with without_active_expiry(logged):
            set_expired(logged, "key")
            logged.run("GET", "key")
    wait_effects(logged, 1)
    found = [one.replace("UNLINK", "DEL") for one in plain(written(logged))]
    assert_behind(found, "DEL key", "RPUSH effects expired key")


def test_effects_of_an_evicted_key_are_written_behind_its_deletion(logged):
    load(logged, trigger(callback=EFFECTS["sync"], options={"event_types": ["evicted"]}))
    logged.run("SET", "key", "x" * (8 << 20), "EX", 1000)
    limit = logged.client.info("memory")["used_memory"] - (2 << 20)
    with logged.setting("maxmemory-policy", "volatile-lru"), logged.setting("maxmemory", limit):
        wait_effects(logged, 1)
    found = [one.replace("UNLINK", "DEL") for one in plain(written(logged))]
    assert_behind(found, "DEL key", "RPUSH effects evicted key")


def test_no_trigger_runs_while_the_file_is_loaded(logged):
    load(logged, trigger(callback="(client, data) => { fired(data); client.call('INCR', 'count'); }"))
    run_all(logged, ["SET key:1 v", "SET key:2 v", "RENAME key:1 key:3", "DEL key:3"])
    assert logged.run("GET", "count") == "5"
    before = logged.run("DEBUG", "DIGEST")
    lines = len(fired(logged))
    logged.run("DEBUG", "LOADAOF")
    assert len(fired(logged)) == lines
    logged.restart()
    assert logged.run("DEBUG", "DIGEST") == before
    assert len(fired(logged)) == lines
    logged.run("SET", "key:4", "v")
    assert logged.run("GET", "count") == "6"


def test_no_trigger_runs_while_a_dump_is_loaded(server):
    load(server, trigger(prefix="", callback=FIRED["sync"]))
    server.run("SET", "key", "v")
    server.run("DEBUG", "RELOAD")
    server.run("SET", "end", "v")
    wait_fired(server, "set key", "set end")


# --- restarts -------------------------------------------------------------------------------------------------------


@each_persistence
def test_triggers_survive_a_restart_with_all_they_were_given(restartable):
    options = {"event_types": ["set", "del"], "key_types": ["string", "empty"], "read_value": True, "description": "d"}
    keeping = "(client, data) => client.call('RPUSH', 'seen', `${data.event} ${data.value}`)"
    load(
        restartable,
        trigger(callback=keeping, options=options),
        trigger("exact", "key:1", "async (client, data) => fired(data, ' exact')", {"exact": True}),
        "const bytes = new Uint8Array([0xff]);",
        "redis.register_notifications_consumer('bytes', bytes, (client, data) => fired(data, ' bytes'));",
    )
    before = [shown(restartable, name) for name in ("trigger", "exact", "bytes")]
    kill_and_restart(restartable)
    assert [shown(restartable, name) for name in ("trigger", "exact", "bytes")] == before
    lines = len(fired(restartable))
    run_all(restartable, ["SET key:1 v", "SADD key:2 a", "APPEND key:1 w", "DEL key:1", "SET key:11 x"])
    restartable.connect(decode_responses=False).set(b"\xff", "v")
    assert restartable.run("LRANGE", "seen", 0, -1) == ["set v", "del null", "set x"]
    expected = ["exact set key:1", "exact append key:1", "exact del key:1", "bytes set null"]
    restartable.wait(lambda: len(fired(restartable)) - lines >= 4, lambda: fired(restartable))
    assert sorted(fired(restartable)[lines:]) == sorted(expected)


@each_persistence
def test_on_registered_is_called_after_a_restart(restartable):
    code = "redis.log('registered'); client.call('INCR', 'registered');"
    load(restartable, trigger(options=f"{{ on_registered: client => {{ {code} }} }}"))
    restartable.wait(lambda: restartable.run("GET", "registered") == "1", "it is not called")
    kill_and_restart(restartable)
    restartable.wait(lambda: restartable.run("GET", "registered") == "2", lambda: restartable.run("GET", "registered"))
    assert restartable.messages("registered") == ["", ""]


@each_persistence
def test_what_waited_is_lost_with_the_process(restartable):
    load(restartable, trigger(callback="gated"))
    pipelined(restartable, *(f"SET key:{number} v" for number in range(20)))
    wait_shown(restartable, num_triggered=20)
    kill_and_restart(restartable)
    open_gate(restartable)
    restartable.run("SET", "key:later", "v")
    wait_fired(restartable, "set key:later")
    assert counted(restartable)["num_triggered"] == 1


# --- promotion ------------------------------------------------------------------------------------------------------


@each_kind
def test_a_promoted_replica_runs_triggers(nodes, kind):
    primary, replica = nodes
    load(primary, trigger(callback=EFFECTS[kind], options={"key_types": ["string"]}))
    primary.run("SET", "key:1", "v")
    wait_effects(primary, 1)
    settle(primary, replica)
    primary.kill()
    promote(replica)
    assert effects(replica) == ["set key:1"]
    run_all(replica, ["SET key:2 v", "SADD key:3 a"])
    assert wait_effects(replica, 2) == ["set key:1", "set key:2"]
    assert wait_idle(replica)["num_triggered"] == 1


def test_a_promoted_replica_calls_on_registered(nodes):
    primary, replica = nodes
    code = "redis.log('registered'); client.call('INCR', 'registered');"
    load(primary, trigger(options=f"{{ on_registered: client => {{ {code} }} }}"))
    primary.wait(lambda: primary.run("GET", "registered") == "1", "it is not called")
    settle(primary, replica)
    assert replica.messages("registered") == []
    promote(replica)
    replica.wait(lambda: replica.run("GET", "registered") == "2", lambda: replica.run("GET", "registered"))
    assert replica.messages("registered") == [""]


def test_a_replica_that_joins_later_has_the_triggers_when_it_is_promoted(start_server):
    primary, replica = start_server(), start_server()
    load(primary, trigger(callback=FIRED["sync"]))
    primary.run("SET", "key:1", "v")
    replica.follow(primary)
    settle(primary, replica)
    promote(replica)
    replica.run("SET", "key:2", "v")
    assert fired(replica) == ["set key:2"]


def test_a_primary_that_becomes_a_replica_drops_what_waits(server):
    load(server, trigger(callback=SLOW["async"]))
    pipelined(server, *(f"SET key:{number} v" for number in range(200)))
    server.wait(lambda: len(fired(server)) >= 3, lambda: fired(server))
    server.run("REPLICAOF", "127.0.0.1", "1")
    try:
        at_most = len(fired(server)) + 20
        found = wait_idle(server)
        assert found["num_triggered"] == 200
        assert found["num_dropped"] >= 100
        assert len(fired(server)) <= at_most
    finally:
        server.run("REPLICAOF", "NO", "ONE")
    count = len(fired(server))
    server.run("SET", "key:later", "v")
    server.wait(lambda: fired(server)[count:] == ["set key:later"], lambda: fired(server)[count:])


def test_a_trigger_that_ends_after_its_server_became_a_replica_cannot_write(server):
    callback = (
        "async (client, data) => { await holding_key(client, data); client.block(c => c.call('SET', 'late', 1)); }"
    )
    load(server, trigger(callback=callback))
    server.run("SET", "key", "v")
    server.wait_message("start key")
    server.run("REPLICAOF", "127.0.0.1", "1")
    try:
        server.run("REPLICAOF", "NO", "ONE")
        server.run("REPLICAOF", "127.0.0.1", "1")
    finally:
        server.run("REPLICAOF", "NO", "ONE")
    release(server, "key")
    server.wait_message("end key")
    server.run("SET", "other", "v")
    assert server.client.ping()


# --- upgrade and deletion -------------------------------------------------------------------------------------------


def test_an_upgrade_keeps_the_statistics_and_may_change_everything_else(server):
    body = "(client, data) => { fired(data); if (data.key === 'key:bad') throw new Error('went wrong'); }"
    load(server, trigger(callback=body))
    run_all(server, ["SET key:1 v", "SET key:bad v"])
    before = counted(server)
    upgrade(server, trigger(prefix="new", callback="async (client, data) => fired(data, ' new')",
                            options={"exact": True, "event_types": ["set", "del"]}))  # fmt: skip
    found = shown(server)
    assert counted(server) == before
    assert (found["num_failed"], found["last_error"]) == (1, "Error: went wrong")
    assert (found["prefix"], found["mode"], found["event_types"]) == ("new", "async", ["set", "del"])
    run_all(server, ["SET key:2 v", "SET new v", "APPEND new w", "SET new:1 v", "DEL new"])
    wait_fired(server, "set key:1", "set key:bad", "new set new", "new del new")
    assert wait_idle(server)["num_triggered"] == 4


@pytest.mark.parametrize("how", ["the same prefix", "another prefix"])
def test_what_waits_goes_to_the_new_code(server, how):
    load(server, trigger(callback=SLOW["async"]))
    pipelined(server, *(f"SET key:{number} v" for number in range(100)))
    server.wait(lambda: len(fired(server)) >= 3, lambda: fired(server))
    prefix = "key" if how == "the same prefix" else "other"
    upgrade(server, trigger(prefix=prefix, callback="async (client, data) => fired(data, ' new')"))
    server.wait(lambda: len(fired(server)) >= 100, lambda: fired(server))
    keys = [line.removeprefix("new ") for line in fired(server)]
    assert sorted(keys) == sorted(f"set key:{number}" for number in range(100))
    by_new = [line for line in fired(server) if line.startswith("new ")]
    assert len(by_new) >= 10
    assert by_new == sorted(by_new, key=lambda line: int(line.split(":")[1]))
    found = wait_idle(server)
    assert (found["num_triggered"], found["num_success"], found["num_dropped"]) == (100, 100, 0)


@pytest.mark.parametrize("kinds", [("sync", "async"), ("async", "sync")], ids=" to ".join)
def test_what_waits_goes_to_new_code_of_another_kind(server, kinds):
    begin = {"sync": "", "async": "async "}
    load(server, trigger(callback=f"{begin[kinds[0]]}(client, data) => {{ spend(30); fired(data); }}"))
    # 3 s of work: the upgrade comes in the middle.
    pipelined(server, *(f"SET key:{number} v" for number in range(100)))
    upgrade(server, trigger(callback=f"{begin[kinds[1]]}(client, data) => fired(data, ' new')"))
    server.wait(lambda: len(fired(server)) >= 100, lambda: fired(server))
    assert sorted(line.split()[-1] for line in fired(server)) == sorted(f"key:{number}" for number in range(100))
    by_new = [int(line.split(":")[1]) for line in fired(server) if line.startswith("new ")]
    assert len(by_new) > 10 and by_new == sorted(by_new)
    assert wait_idle(server)["num_success"] == 100


@pytest.mark.parametrize("new", ["sync", "async"])
@pytest.mark.parametrize("old", ["sync", "async"])
def test_what_the_old_code_has_looked_at_is_its_own_to_end(server, old, new):
    """What it made of the data lives in its memory, which the new code does not have."""
    begin = {"sync": "", "async": "async "}
    # Together longer than sync callbacks may take in one go, and far from the time that async ones have after an upgrade.
    takes = {"sync": 20, "async": 5}[old]
    callback = f"{begin[old]}(client, data) => {{ spend({takes}); fired(data, ` old ${{data.more()}}`); }}"
    load(server, trigger(callback=callback, options="{on_trigger_fired: (client, data) => { data.more = () => 1; }}"))
    pipelined(server, *(f"SET key:{number} v" for number in range(40)))
    upgrade(server, trigger(callback=f"{begin[new]}(client, data) => fired(data, ' new')"))
    server.run("SET", "key:40", "v")
    server.wait(lambda: len(fired(server)) >= 41, lambda: fired(server))
    assert [line for line in fired(server) if "old" in line] == [f"old 1 set key:{number}" for number in range(40)]
    assert [line for line in fired(server) if "new" in line] == ["new set key:40"]
    found = wait_idle(server)
    assert (found["num_triggered"], found["num_success"], found["num_dropped"]) == (41, 41, 0)
    assert "internal error" not in server.log_text()


@pytest.mark.parametrize("looks", [False, True], ids=["", "on_trigger_fired"])
def test_old_code_that_is_at_an_event_takes_none_of_those_after_the_upgrade(server, looks):
    """What on_trigger_fired makes of an event then is in the memory of the new code alone."""
    options = "{on_trigger_fired: (client, data) => {}}" if looks else "{}"
    load(server, trigger(callback="async (client, data) => { fired(data, ' old'); spend(300); }", options=options))
    server.run("SET", "key:0", "v")
    server.wait(lambda: fired(server) == ["old set key:0"], lambda: fired(server))
    # The new code is at its first event until long after the old code is done.
    upgrade(server, trigger(callback="async (client, data) => { fired(data, ' new'); spend(1000); }", options=options))
    pipelined(server, "SET key:1 v", "SET key:2 v")
    server.wait(lambda: len(fired(server)) >= 3, lambda: fired(server))
    assert fired(server) == ["old set key:0", "new set key:1", "new set key:2"]
    assert wait_idle(server)["num_success"] == 3
    assert "internal error" not in server.log_text()


def test_a_callback_of_the_old_code_that_waits_for_a_promise_fails_with_the_upgrade(server):
    load(server, trigger(callback="holding_key"))
    server.run("SET", "key", "v")
    # What the old code has not begun is the new code's.
    server.wait_message("start key")
    upgrade(server, trigger(callback=FIRED["sync"]))
    server.wait(lambda: counted(server)["num_finished"] == 1, lambda: counted(server))
    server.run("SET", "key", "v")
    wait_fired(server, "set key")
    assert wait_idle(server)["num_triggered"] == 2


def test_a_failed_upgrade_changes_nothing(server):
    load(server, trigger())
    server.run("SET", "key:1", "v")
    before = shown(server)
    with pytest.raises(Exception, match="by intent"):
        upgrade(server, trigger(prefix="other"), "throw new Error('by intent');")
    assert shown(server) == before
    run_all(server, ["SET key:2 v", "SET other v"])
    assert fired(server) == ["set key:1", "set key:2"]


def test_a_trigger_that_is_not_in_the_new_code_is_gone(server):
    load(server, trigger(), trigger("other", callback="(client, data) => fired(data, ' other')"))
    upgrade(server, trigger("other", callback="(client, data) => fired(data, ' other')"))
    server.run("SET", "key", "v")
    assert fired(server) == ["other set key"]
    [reply] = server.run("RG.FUNCTION", "LIST")
    assert fields(reply)["notifications_consumers"] == ["other"]


def test_a_deleted_library_fires_no_more_and_what_waits_is_not_handed_over(server):
    load(server, trigger(callback=SLOW["async"]))
    pipelined(server, *(f"SET key:{number} v" for number in range(200)))
    server.wait(lambda: len(fired(server)) >= 3, lambda: fired(server))
    server.run("RG.FUNCTION", "DEL", "lib")
    at_most = len(fired(server)) + 20
    load(server, trigger(callback="(client, data) => fired(data, ' new')"), function("f"))
    server.run("SET", "key", "v")
    assert fired(server)[-1] == "new set key"
    assert counted(server)["num_triggered"] == 1
    for _ in range(50):
        assert server.client.ping()
    assert len(fired(server)) <= at_most + 1


def test_a_sync_trigger_may_outlive_the_deletion_within_a_transaction(server):
    """The library goes in the middle of a transaction, after an event and before its callback."""
    load(server, trigger())
    replies = pipelined(server, "SET key v", "RG.FUNCTION DEL lib", "SET key w", transaction=True)
    assert replies[1] == "OK"
    assert len(fired(server)) <= 1
    server.run("SET", "key", "x")
    assert len(fired(server)) <= 1
    assert server.libraries() == []
