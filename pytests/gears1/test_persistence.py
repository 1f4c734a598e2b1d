"""What becomes of registrations and their progress when a server is killed, or replaced by its replica."""

import time

import pytest
from redis.exceptions import ReadOnlyError, ResponseError

from testing.gears1 import (
    TRY,
    bring,
    execute,
    id_of,
    logged,
    registration,
    registrations,
    wait_counts,
    wait_logged,
    wait_registration,
)
from testing.policies import (
    add_at_once,
    done,
    each_persistence,
    kill_and_restart,
    make_fail,
    make_succeed,
    pass_marker,
    policy,
    tries,
    wait_done,
    wait_tries,
)
from testing.replication import fail_over, settle

A_DAY = 86_400
KEYS = "GB().foreach(x => log(`key ${x.key}`)).register('k*');"
STREAM = "GB('StreamReader').foreach(x => log(x.n)).register('s');"
TOGETHER = "accumulate((all, x) => (all === null ? x.n : `${all},${x.n}`)).foreach(all => log(all))"
MODES = ("async", "async_local", "sync")

each_kind = pytest.mark.parametrize("kind", ["RG.JSEXECUTE", "RG.FUNCTION LOAD"])


def shown(node):
    """Of each registration what has to stay as it is."""
    fields = ("id", "reader", "desc", "PD", "mode", "args")
    return sorted([[str(one[field]) for field in fields] for one in registrations(node)])


# --- kills ----------------------------------------------------------------------------------------------------------


@each_persistence
@each_kind
def test_registrations_come_back_and_go_on(restartable, kind):
    code = f"""
        GB('KeysReader', '*', 'first').foreach(x => log(`key ${{x.key}}`)).register('k*', {{
            eventTypes: ['set'], keyTypes: ['string', 'list'], readValue: false,
        }});
        GB('StreamReader').foreach(x => log(x.n)).register('s', {{
            batch: 2, duration: 50, onFailedPolicy: 'abort', trimStream: false,
        }});
        {"".join(f"GB('StreamReader').register('none{n}', {{ mode: '{mode}' }});" for n, mode in enumerate(MODES))}
    """
    bring(restartable, kind, code)
    before = shown(restartable)
    assert len(before) == 5
    for number in range(2):
        restartable.add("s", 2 * number, 2 * number + 1)
        restartable.run("SET", f"k{number}", 1)
        restartable.wait(lambda number=number: len(logged(restartable)) == 3 * (number + 1), lambda: logged(restartable))
        wait_counts(restartable, 1, 1, 0, 0, name="gears:2")
        kill_and_restart(restartable)
        assert shown(restartable) == before
    restartable.add("s", 4)
    restartable.wait(lambda: logged(restartable)[-1] == "4", lambda: logged(restartable))
    assert sorted(logged(restartable)) == ["0", "1", "2", "3", "4", "key k0", "key k1"]


@each_persistence
def test_of_nine_entries_in_batches_of_five_all_are_processed_after_a_restart(restartable):
    execute(restartable, f"GB('StreamReader').{TOGETHER}.register('s', {{ batch: 5 }})")
    restartable.add("s", *range(9))
    wait_logged(restartable, "0,1,2,3,4")
    restartable.wait(lambda: restartable.run("XLEN", "s") == 4, "it is not trimmed")
    kill_and_restart(restartable)
    wait_logged(restartable, "0,1,2,3,4", "5,6,7,8")
    restartable.wait(lambda: restartable.run("XLEN", "s") == 0, "it is not trimmed")


@each_persistence
def test_what_waits_for_a_retry_comes_first_after_a_restart(restartable):
    execute(restartable, f"GB('StreamReader').foreach({TRY}).register('s', {{ onFailedRetryInterval: 0.2 }})")
    make_fail(restartable, 1)
    restartable.add("s", 0, 1, 2, 3)
    wait_tries(restartable, 2)
    kill_and_restart(restartable)
    make_succeed(restartable)
    wait_done(restartable, 0, 1, 2, 3)
    restartable.wait(lambda: restartable.run("XLEN", "s") == 0, "it is not trimmed")


@each_persistence
@pytest.mark.parametrize("how", ["aborted", "paused"])
def test_what_is_stopped_stays_so_until_it_is_unpaused(restartable, how):
    """In the first RedisGears it went on after a restart."""
    execute(restartable, f"GB('StreamReader').foreach({TRY}).register('s', {{ onFailedPolicy: 'abort' }})", "ID", "gears")
    make_fail(restartable, 1)
    if how == "paused":
        restartable.run("RG.PAUSEREGISTRATIONS", id_of(restartable))
    restartable.add("s", 1, 2)
    wait_registration(restartable, status=how.upper())
    restartable.load(*policy(), name="other")
    make_succeed(restartable)
    kill_and_restart(restartable)
    pass_marker(restartable)
    assert registration(restartable, "gears:1")["status"] == how.upper()
    assert done(restartable) == []
    assert restartable.run("RG.UNPAUSEREGISTRATIONS", id_of(restartable, "gears:1")) == "OK"
    wait_done(restartable, 1, 2)


@each_persistence
def test_what_is_unregistered_stays_so(restartable):
    bring(restartable, "RG.JSEXECUTE", STREAM + KEYS + STREAM)
    for name in ("gears:1", "gears:2"):
        restartable.run("RG.UNREGISTER", id_of(restartable, name))
    for number in range(2):
        kill_and_restart(restartable)
        assert [one["PD"] for one in registrations(restartable)] == ["gears.gears:3"]
        restartable.run("SET", "k", 1)
        restartable.add("s", number)
        wait_counts(restartable, 1, 1, 0, 0)
    assert logged(restartable) == ["0", "1"]
    restartable.run("RG.UNREGISTER", id_of(restartable))
    kill_and_restart(restartable)
    assert (registrations(restartable), restartable.libraries()) == ([], [])


@each_persistence
def test_statistics_begin_anew_and_a_failure_is_forgotten(restartable):
    execute(restartable, f"GB('StreamReader').foreach({TRY}).register('s', {{ onFailedPolicy: 'continue' }})")
    make_fail(restartable, 1)
    restartable.add("s", 0, 1)
    wait_counts(restartable, 2, 1, 1, 0)
    kill_and_restart(restartable)
    wait_counts(restartable, 0, 0, 0, 0)


@each_persistence
@pytest.mark.parametrize("reader", ["KeysReader", "StreamReader"])
def test_on_registered_is_called_after_a_restart_too(restartable, reader):
    execute(
        restartable, f"GB('{reader}').register('k', {{ onRegistered: () => {{ log('registered'); execute('INCR', 'n'); }} }})"
    )
    for number in ("1", "2"):
        restartable.wait(lambda number=number: restartable.run("GET", "n") == number, lambda: restartable.run("GET", "n"))
        wait_logged(restartable, *["registered"] * int(number))
        kill_and_restart(restartable)


@each_persistence
def test_nothing_is_triggered_by_what_is_loaded(restartable):
    execute(restartable, "GB().foreach(x => log(x.key)).register()")
    restartable.run("SET", "a", 1)
    wait_logged(restartable, "a")
    kill_and_restart(restartable)
    restartable.run("SET", "b", 1)
    wait_logged(restartable, "a", "b")
    wait_counts(restartable, 1, 1, 0, 0)


@each_persistence
def test_in_quarantine_a_registration_can_be_unregistered_and_the_others_stay(restartable):
    later = int(1000 * time.time()) + 1000
    code = f"if (Date.now() > {later}) throw new Error('no more');" + STREAM + KEYS
    execute(restartable, code, "ID", "gears")
    restartable.wait(lambda: 1000 * time.time() > later, "it is too early")
    kill_and_restart(restartable)
    assert restartable.libraries() == ["gears"]
    assert restartable.run("RG.UNREGISTER", id_of(restartable, "gears:1")) == "OK"
    assert restartable.libraries() == ["gears"]
    kill_and_restart(restartable)
    assert restartable.libraries() == ["gears"]
    execute(restartable, STREAM + KEYS, "ID", "gears", "UPGRADE")
    restartable.run("SET", "k", 1)
    wait_logged(restartable, "key k")


# --- replicas -------------------------------------------------------------------------------------------------------


def test_registrations_reach_replicas_which_run_none_of_them(pair):
    hook = "{ onRegistered: () => log('registered') }"
    bring(pair, "RG.JSEXECUTE", KEYS + STREAM + f"GB().register('none', {hook});")
    pair.add("s", 1, 2)
    pair.run("SET", "k", 1)
    wait_counts(pair, 2, 2, 0, 0, name="gears:2")
    wait_counts(pair, 1, 1, 0, 0, name="gears:1")
    settle(pair, pair.replica)
    assert shown(pair.replica) == shown(pair)
    assert logged(pair.replica) == []
    assert [one["numTriggered"] for one in registrations(pair.replica)] == [0, 0, 0]
    assert pair.replica.run("XLEN", "s") == 0


def test_a_promoted_replica_goes_on_and_loses_nothing(nodes):
    primary, replica = nodes
    execute(primary, f"GB('StreamReader').foreach({TRY}).register('s', {{ onFailedRetryInterval: 0.1 }})")
    add_at_once(primary, "s", range(50))
    wait_counts(primary, 50, 50, 0, 0)
    make_fail(primary, 51)
    add_at_once(primary, "s", range(50, 60))
    wait_tries(primary, 53)
    fail_over(primary, replica)
    assert logged(replica) == []
    wait_tries(replica, 1)
    make_succeed(replica)
    replica.add("s", *range(60, 70))
    wait_done(replica, *range(51, 70))
    replica.wait(lambda: replica.run("XLEN", "s") == 0, "it is not trimmed")


def test_a_promoted_replica_hears_events_and_calls_on_registered(nodes):
    primary, replica = nodes
    hook = "{ onRegistered: () => log('registered') }"
    execute(primary, f"GB().foreach(x => log(x.key)).register('k*', {hook})")
    wait_logged(primary, "registered")
    primary.run("SET", "k1", 1)
    fail_over(primary, replica)
    wait_logged(replica, "registered")
    replica.run("SET", "k2", 1)
    wait_logged(replica, "registered", "k2")


def test_a_partial_batch_is_processed_by_the_promoted_replica(nodes):
    primary, replica = nodes
    execute(primary, f"GB('StreamReader').{TOGETHER}.register('s', {{ batch: 5 }})")
    primary.add("s", *range(7))
    wait_logged(primary, "0,1,2,3,4")
    primary.wait(lambda: primary.run("XLEN", "s") == 2, "it is not trimmed")
    fail_over(primary, replica)
    wait_logged(replica, "5,6")


def test_what_is_unregistered_is_gone_on_the_replica_and_stays_so(nodes):
    primary, replica = nodes
    bring(primary, "RG.JSEXECUTE", STREAM + KEYS)
    settle(primary, replica)
    assert shown(replica) == shown(primary)
    primary.run("RG.UNREGISTER", id_of(primary, "gears:1"))
    settle(primary, replica)
    assert [one["PD"] for one in registrations(replica)] == ["gears.gears:2"]
    fail_over(primary, replica)
    replica.add("s", 1)
    replica.run("SET", "k", 1)
    wait_logged(replica, "key k")
    replica.run("RG.UNREGISTER", id_of(replica))
    assert replica.libraries() == []


def test_a_pause_reaches_the_replica_and_so_does_its_end(pair):
    execute(pair, STREAM, "ID", "gears")
    for command, status in (("RG.PAUSEREGISTRATIONS", "PAUSED"), ("RG.UNPAUSEREGISTRATIONS", "OK")):
        pair.run(command, id_of(pair))
        settle(pair, pair.replica)
        assert registration(pair.replica)["status"] == registration(pair)["status"] == status


def test_an_upgrade_reaches_the_replica(pair):
    execute(pair, STREAM, "ID", "gears")
    settle(pair, pair.replica)
    execute(pair, KEYS + STREAM.replace("register('s')", "register('new')"), "ID", "gears", "UPGRADE")
    settle(pair, pair.replica)
    assert len(shown(pair.replica)) == 2
    assert shown(pair.replica) == shown(pair)


@pytest.mark.parametrize(
    "words",
    [
        ["RG.JSEXECUTE", "1"],
        ["RG.JSEXECUTE", STREAM, "ID", "a"],
        ["RG.JSEXECUTE", "GB().run()"],
        ["RG.UNREGISTER", "ID"],
        ["RG.PAUSEREGISTRATIONS", "ID"],
        ["RG.UNPAUSEREGISTRATIONS", "ID"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_replica_changes_nothing(pair, words):
    execute(pair, STREAM, "ID", "gears")
    settle(pair, pair.replica)
    words = [id_of(pair) if word == "ID" and words[0] != "RG.JSEXECUTE" else word for word in words]
    with pytest.raises(ReadOnlyError, match="You can't write against a read only replica"):
        pair.replica.run(*words)
    assert shown(pair.replica) == shown(pair)


def test_a_replica_answers_what_is_asked(pair):
    execute(pair, STREAM, "ID", "gears")
    settle(pair, pair.replica)
    assert pair.replica.run("RG.CLEARREGISTRATIONSSTATS") == "OK"
    assert pair.replica.run("RG.DUMPEXECUTIONS") == []
    with pytest.raises(ResponseError, match="execution plan does not exist"):
        pair.replica.run("RG.GETRESULTS", "nosuch")


def test_what_no_script_keeps_reaches_no_replica(pair):
    execute(pair, "GB().run()")
    execute(pair, "1 + 1", "ID", "gears")
    settle(pair, pair.replica)
    assert (pair.replica.libraries(), tries(pair.replica)) == ([], [])
