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
    WAYS,
    add_at_once,
    come_back,
    done,
    mend,
    pass_by,
    policy,
    spoil,
    tries,
    wait_done,
    wait_tries,
)
from testing.replication import promote, settle

A_DAY = 86_400
KEYS = "GB().foreach(x => log(`key ${x.key}`)).register('k*');"
STREAM = "GB('StreamReader').foreach(x => log(x.n)).register('s');"
TOGETHER = "accumulate((all, x) => (all === null ? x.n : `${all},${x.n}`)).foreach(all => log(all))"
MODES = ("async", "async_local", "sync")

each_way = pytest.mark.parametrize("way", WAYS)
each_kind = pytest.mark.parametrize("kind", ["RG.JSEXECUTE", "RG.FUNCTION LOAD"])


@pytest.fixture
def kept(keep, way):
    return keep(*WAYS[way])


@pytest.fixture
def nodes(keep):
    """A primary and its replica."""
    primary, replica = keep(), keep()
    replica.follow(primary)
    return primary, replica


def fail_over(primary, replica):
    """The primary dies, and its replica takes over."""
    settle(primary, replica)
    primary.kill()
    promote(replica)


def shown(node):
    """Of each registration what has to stay as it is."""
    fields = ("id", "reader", "desc", "PD", "mode", "args")
    return sorted([[str(one[field]) for field in fields] for one in registrations(node)])


# --- kills ----------------------------------------------------------------------------------------------------------


@each_way
@each_kind
def test_registrations_come_back_and_go_on(kept, kind):
    code = f"""
        GB('KeysReader', '*', 'first').foreach(x => log(`key ${{x.key}}`)).register('k*', {{
            eventTypes: ['set'], keyTypes: ['string', 'list'], readValue: false,
        }});
        GB('StreamReader').foreach(x => log(x.n)).register('s', {{
            batch: 2, duration: 50, onFailedPolicy: 'abort', trimStream: false,
        }});
        {"".join(f"GB('StreamReader').register('none{n}', {{ mode: '{mode}' }});" for n, mode in enumerate(MODES))}
    """
    bring(kept, kind, code)
    before = shown(kept)
    assert len(before) == 5
    for number in range(2):
        kept.add("s", 2 * number, 2 * number + 1)
        kept.run("SET", f"k{number}", 1)
        kept.wait(lambda number=number: len(logged(kept)) == 3 * (number + 1), lambda: logged(kept))
        wait_counts(kept, 1, 1, 0, 0, name="gears:2")
        come_back(kept)
        assert shown(kept) == before
    kept.add("s", 4)
    kept.wait(lambda: logged(kept)[-1] == "4", lambda: logged(kept))
    assert sorted(logged(kept)) == ["0", "1", "2", "3", "4", "key k0", "key k1"]


@each_way
def test_of_nine_entries_in_batches_of_five_all_are_processed_after_a_restart(kept):
    execute(kept, f"GB('StreamReader').{TOGETHER}.register('s', {{ batch: 5 }})")
    kept.add("s", *range(9))
    wait_logged(kept, "0,1,2,3,4")
    kept.wait(lambda: kept.run("XLEN", "s") == 4, "it is not trimmed")
    come_back(kept)
    wait_logged(kept, "0,1,2,3,4", "5,6,7,8")
    kept.wait(lambda: kept.run("XLEN", "s") == 0, "it is not trimmed")


@each_way
def test_what_waits_for_a_retry_comes_first_after_a_restart(kept):
    execute(kept, f"GB('StreamReader').foreach({TRY}).register('s', {{ onFailedRetryInterval: 0.2 }})")
    spoil(kept, 1)
    kept.add("s", 0, 1, 2, 3)
    wait_tries(kept, 2)
    come_back(kept)
    mend(kept)
    wait_done(kept, 0, 1, 2, 3)
    kept.wait(lambda: kept.run("XLEN", "s") == 0, "it is not trimmed")


@each_way
@pytest.mark.parametrize("how", ["aborted", "paused"])
def test_what_is_stopped_stays_so_until_it_is_unpaused(kept, how):
    """In the first RedisGears it went on after a restart."""
    execute(kept, f"GB('StreamReader').foreach({TRY}).register('s', {{ onFailedPolicy: 'abort' }})", "ID", "gears")
    spoil(kept, 1)
    if how == "paused":
        kept.run("RG.PAUSEREGISTRATIONS", id_of(kept))
    kept.add("s", 1, 2)
    wait_registration(kept, status=how.upper())
    kept.load(*policy(), name="other")
    mend(kept)
    come_back(kept)
    pass_by(kept)
    assert registration(kept, "gears:1")["status"] == how.upper()
    assert done(kept) == []
    assert kept.run("RG.UNPAUSEREGISTRATIONS", id_of(kept, "gears:1")) == "OK"
    wait_done(kept, 1, 2)


@each_way
def test_what_is_unregistered_stays_so(kept):
    bring(kept, "RG.JSEXECUTE", STREAM + KEYS + STREAM)
    for name in ("gears:1", "gears:2"):
        kept.run("RG.UNREGISTER", id_of(kept, name))
    for number in range(2):
        come_back(kept)
        assert [one["PD"] for one in registrations(kept)] == ["gears.gears:3"]
        kept.run("SET", "k", 1)
        kept.add("s", number)
        wait_counts(kept, 1, 1, 0, 0)
    assert logged(kept) == ["0", "1"]
    kept.run("RG.UNREGISTER", id_of(kept))
    come_back(kept)
    assert (registrations(kept), kept.libraries()) == ([], [])


@each_way
def test_statistics_begin_anew_and_a_failure_is_forgotten(kept):
    execute(kept, f"GB('StreamReader').foreach({TRY}).register('s', {{ onFailedPolicy: 'continue' }})")
    spoil(kept, 1)
    kept.add("s", 0, 1)
    wait_counts(kept, 2, 1, 1, 0)
    come_back(kept)
    wait_counts(kept, 0, 0, 0, 0)


@each_way
@pytest.mark.parametrize("reader", ["KeysReader", "StreamReader"])
def test_on_registered_is_called_after_a_restart_too(kept, reader):
    execute(
        kept, f"GB('{reader}').register('k', {{ onRegistered: () => {{ log('registered'); execute('INCR', 'n'); }} }})"
    )
    for number in ("1", "2"):
        kept.wait(lambda number=number: kept.run("GET", "n") == number, lambda: kept.run("GET", "n"))
        wait_logged(kept, *["registered"] * int(number))
        come_back(kept)


@each_way
def test_nothing_is_triggered_by_what_is_loaded(kept):
    execute(kept, "GB().foreach(x => log(x.key)).register()")
    kept.run("SET", "a", 1)
    wait_logged(kept, "a")
    come_back(kept)
    kept.run("SET", "b", 1)
    wait_logged(kept, "a", "b")
    assert registration(kept)["numTriggered"] == 1


@each_way
def test_in_quarantine_a_registration_can_be_unregistered_and_the_others_stay(kept):
    later = int(1000 * time.time()) + 1000
    code = f"if (Date.now() > {later}) throw new Error('no more');" + STREAM + KEYS
    execute(kept, code, "ID", "gears")
    kept.wait(lambda: 1000 * time.time() > later, "it is too early")
    come_back(kept)
    assert kept.libraries() == ["gears"]
    assert kept.run("RG.UNREGISTER", id_of(kept, "gears:1")) == "OK"
    assert kept.libraries() == ["gears"]
    come_back(kept)
    assert kept.libraries() == ["gears"]
    execute(kept, STREAM + KEYS, "ID", "gears", "UPGRADE")
    kept.run("SET", "k", 1)
    wait_logged(kept, "key k")


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
    spoil(primary, 51)
    add_at_once(primary, "s", range(50, 60))
    wait_tries(primary, 53)
    fail_over(primary, replica)
    assert logged(replica) == []
    wait_tries(replica, 1)
    mend(replica)
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
