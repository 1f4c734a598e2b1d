"""onFailedPolicy and onFailedRetryInterval of the StreamReader, and the pause of a registration."""

import pytest
from redis import ResponseError

from testing.gears1 import (
    MODES,
    TRY,
    counts,
    execute,
    id_of,
    registration,
    registrations,
    wait_counts,
    wait_registration,
)
from testing.policies import (
    add_at_once,
    command,
    done,
    make_fail,
    make_succeed,
    pass_marker,
    pauses,
    policy,
    tries,
    wait_done,
    wait_tries,
    without_repeats,
)

A_DAY = 86_400
ASYNC_MODES = [mode for mode in MODES if mode != "sync"]

each_async_mode = pytest.mark.parametrize("mode", ASYNC_MODES)


def register(node, arguments="{}", stream="s", step=TRY):
    """Has a plan registered that tries."""
    assert execute(node, f"GB('StreamReader').foreach({step}).register('{stream}', {arguments})", "ID", "gears") == "OK"
    # For pass_marker.
    node.load(*policy(), name="other")


def only(node):
    """The registration, which is not among those of the other library."""
    [found] = [one for one in registrations(node) if one["PD"].startswith("gears.")]
    return found


def xlen(node, stream="s"):
    return node.run("XLEN", stream)


# --- retry ----------------------------------------------------------------------------------------------------------


@each_async_mode
@pytest.mark.parametrize("policy_given", ["", "onFailedPolicy: 'retry', ", "onFailedPolicy: 'RETRY', "])
def test_retry_is_the_default_and_the_entry_comes_again_until_its_cause_is_gone(server, mode, policy_given):
    register(server, f"{{ mode: '{mode}', {policy_given}onFailedRetryInterval: 0.05 }}")
    make_fail(server, 1)
    server.add("s", 0, 1, 2, 3)
    assert wait_tries(server, 5)[:5] == ["0", "1", "1", "1", "1"]
    assert (done(server), xlen(server)) == (["0"], 3)
    found = only(server)
    assert (found["args"]["onFailedPolicy"], found["lastError"]) == ("retry", "Error: no 1")
    make_succeed(server)
    wait_done(server, 0, 1, 2, 3)
    assert without_repeats(tries(server)) == ["0", "1", "2", "3"]
    wait_registration(server, "gears:1", lastError=None, status="OK")
    server.wait(lambda: xlen(server) == 0, "it is not trimmed")


def test_while_it_waits_the_status_says_so_and_everything_that_comes_waits(server):
    register(server, f"{{ onFailedRetryInterval: {A_DAY} }}", stream="s*")
    make_fail(server, 1)
    server.add("s1", 1)
    wait_registration(server, "gears:1", status="WAITING_FOR_RETRY_ON_FAILURE", lastError="Error: no 1")
    server.add("s1", 2)
    server.add("s2", 3)
    pass_marker(server)
    assert tries(server) == ["1"]
    assert (xlen(server, "s1"), xlen(server, "s2")) == (2, 1)
    found = only(server)
    assert (found["numTriggered"], found["numSuccess"], found["numFailures"]) == (1, 0, 1)
    assert found["args"]["retryInterval"] == A_DAY
    make_succeed(server)
    command(server, "RETRY", "STREAM", "s1", name="gears:1", library="gears")
    server.wait(lambda: len(done(server)) == 3, lambda: done(server))
    assert done(server)[0] == "1"
    wait_registration(server, "gears:1", status="OK", lastError=None, numTriggered=4, numSuccess=3, numFailures=1)


def test_a_batch_comes_again_whole(server):
    register(server, "{ batch: 3, onFailedRetryInterval: 0.05 }")
    make_fail(server, 1)
    add_at_once(server, "s", range(6))
    found = wait_tries(server, 6)[:6]
    # What is behind the error is not processed.
    assert found == ["0", "1", "0", "1", "0", "1"]
    assert xlen(server) == 6
    make_succeed(server)
    server.wait(lambda: done(server)[-6:] == ["0", "1", "2", "3", "4", "5"], lambda: done(server))
    server.wait(lambda: xlen(server) == 0, "it is not trimmed")
    assert registration(server, "gears:1")["numSuccess"] == 2


@pytest.mark.parametrize(("seconds", "least"), [("0.4", 0.4), (None, 1.0)], ids=["given", "default"])
def test_the_interval_is_in_seconds(server, seconds, least):
    register(server, "{}" if seconds is None else f"{{ onFailedRetryInterval: {seconds} }}")
    make_fail(server, 1)
    server.add("s", 1)
    wait_registration(server, "gears:1", status="WAITING_FOR_RETRY_ON_FAILURE")
    make_succeed(server)
    wait_done(server, 1)
    [pause] = pauses(server)
    assert 0.9 * least <= pause < least + 5


def test_an_interval_of_nothing_is_one(server):
    register(server, "{ onFailedRetryInterval: 0 }")
    make_fail(server, 1)
    server.add("s", 1)
    wait_tries(server, 20)
    assert server.client.ping()
    make_succeed(server)
    wait_done(server, 1)


def test_an_error_of_a_promise_is_one_too(server):
    step = """async x => {
        await null;
        redis.log(`try ${x.n}`);
        if (tried++ < 2) throw new Error('no');
        redis.log(`done ${x.n}`);
    }"""
    code = f"let tried = 0; GB('StreamReader').foreach({step}).register('s', {{ onFailedRetryInterval: 0.05 }})"
    assert execute(server, code) == "OK"
    server.add("s", 1, 2)
    wait_done(server, 1, 2)
    assert tries(server) == ["1", "1", "1", "2"]
    wait_counts(server, 4, 2, 2, 0)


def test_a_command_that_is_refused_is_an_error(server):
    step = "x => { execute('INCR', 'text'); }"
    register(server, f"{{ onFailedRetryInterval: {A_DAY} }}", step=step)
    server.run("SET", "text", "a")
    server.add("s", 1)
    wait_registration(server, "gears:1", status="WAITING_FOR_RETRY_ON_FAILURE")
    assert "not an integer" in only(server)["lastError"]


def test_what_is_ended_for_its_time_is_retried(server):
    step = """x => {
        redis.log(`try ${x.n}`);
        const bad = x.n === '1' && execute('EXISTS', 'bad') == 1;
        while (bad) ;
        redis.log(`done ${x.n}`);
    }"""
    with server.setting("redisgears_2.background-timeout", 200):
        register(server, "{ onFailedRetryInterval: 0.05 }", step=step)
        make_fail(server, 1)
        server.add("s", 1, 2)
        wait_tries(server, 2)
        assert "time" in only(server)["lastError"]
        make_succeed(server)
        wait_done(server, 1, 2)


# --- abort ----------------------------------------------------------------------------------------------------------


@each_async_mode
@pytest.mark.parametrize("word", ["abort", "Abort", "ABORT"])
def test_abort_ends_the_registration_at_its_first_error(server, mode, word):
    register(server, f"{{ mode: '{mode}', onFailedPolicy: '{word}' }}", stream="s*")
    make_fail(server, 1)
    server.add("s1", 0, 1, 2)
    wait_registration(server, "gears:1", status="ABORTED", lastError="Error: no 1")
    server.add("s1", 3)
    server.add("s2", 4)
    pass_marker(server)
    assert tries(server) == ["0", "1"]
    assert (xlen(server, "s1"), xlen(server, "s2")) == (3, 1)
    assert only(server)["args"]["onFailedPolicy"] == "abort"


def test_what_is_aborted_goes_on_where_it_was_when_it_is_unpaused(server):
    register(server, "{ onFailedPolicy: 'abort' }")
    make_fail(server, 1)
    server.add("s", 0, 1, 2)
    wait_registration(server, "gears:1", status="ABORTED")
    assert server.run("RG.UNPAUSEREGISTRATIONS", id_of(server, "gears:1")) == "OK"
    wait_tries(server, 3)
    wait_registration(server, "gears:1", status="ABORTED", numFailures=2)
    make_succeed(server)
    server.run("RG.UNPAUSEREGISTRATIONS", id_of(server, "gears:1"))
    wait_done(server, 0, 1, 2)
    wait_registration(server, "gears:1", status="OK", lastError=None)
    assert tries(server) == ["0", "1", "1", "1", "2"]
    server.wait(lambda: xlen(server) == 0, "it is not trimmed")


# --- continue -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("word", ["continue", "CONTINUE"])
def test_continue_passes_over_what_failed(server, mode, word):
    register(server, f"{{ mode: '{mode}', onFailedPolicy: '{word}' }}")
    make_fail(server, 1, 3)
    server.add("s", 0, 1, 2, 3)
    wait_registration(server, "gears:1", numTriggered=4, numFailures=2, lastError="Error: no 3", status="OK")
    server.add("s", 4)
    wait_done(server, 0, 2, 4)
    assert tries(server) == ["0", "1", "2", "3", "4"]
    wait_registration(server, "gears:1", lastError=None, numTriggered=5, numSuccess=3, numFailures=2)
    server.wait(lambda: xlen(server) == 0, "it is not trimmed")
    assert only(server)["args"]["onFailedPolicy"] == "continue"


@pytest.mark.parametrize("mode", MODES)
def test_under_continue_the_others_of_a_batch_are_processed_all_the_same(server, mode):
    """In the first RedisGears they were lost."""
    register(server, f"{{ mode: '{mode}', onFailedPolicy: 'continue', batch: 3 }}")
    make_fail(server, 1, 2)
    add_at_once(server, "s", range(6))
    wait_done(server, 0, 3, 4, 5)
    assert tries(server) == ["0", "1", "2", "3", "4", "5"]
    wait_registration(server, "gears:1", numTriggered=2, numSuccess=1, numFailures=1)
    server.wait(lambda: xlen(server) == 0, "it is not trimmed")


def test_under_continue_the_error_that_is_shown_is_the_first_of_the_batch(server):
    register(server, "{ onFailedPolicy: 'continue', batch: 3 }")
    make_fail(server, 1, 2)
    server.add("s", 0, 1, 2)
    wait_registration(server, "gears:1", numFailures=1, lastError="Error: no 1")


def test_sync_goes_with_continue_alone_which_is_its_default(server):
    register(server, "{ mode: 'sync' }")
    make_fail(server, 1)
    server.add("s", 0, 1, 2)
    assert tries(server) == ["0", "1", "2"]
    assert (done(server), xlen(server)) == (["0", "2"], 0)
    assert only(server)["args"]["onFailedPolicy"] == "continue"
    for word in ("retry", "abort", "Retry"):
        with pytest.raises(
            ResponseError, match="'onFailedPolicy' of 'register' cannot be '(retry|abort)' with mode 'sync'"
        ):
            execute(server, f"GB('StreamReader').register('s', {{ mode: 'sync', onFailedPolicy: '{word}' }})")


@pytest.mark.parametrize("word", ["continue", "abort"])
def test_an_interval_without_retries_has_no_effect(server, word):
    register(server, f"{{ onFailedPolicy: '{word}', onFailedRetryInterval: 5 }}")
    server.add("s", 1)
    wait_done(server, 1)
    assert only(server)["args"]["onFailedPolicy"] == word


# --- the pause ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_while_a_registration_is_paused_nothing_is_processed(server, mode):
    register(server, f"{{ mode: '{mode}' }}", stream="s*")
    identity = id_of(server, "gears:1")
    server.add("s1", 1)
    wait_done(server, 1)
    assert server.run("RG.PAUSEREGISTRATIONS", identity) == "OK"
    assert only(server)["status"] == "PAUSED"
    server.add("s1", 2, 3)
    server.add("s2", 4)
    pass_marker(server)
    assert done(server) == ["1"]
    assert (xlen(server, "s1"), xlen(server, "s2")) == (2, 1)
    assert server.run("RG.PAUSEREGISTRATIONS", identity) == "OK"
    assert server.run("RG.UNPAUSEREGISTRATIONS", identity) == "OK"
    server.wait(lambda: len(done(server)) == 4, lambda: done(server))
    assert [one for one in done(server) if one != "4"] == ["1", "2", "3"]
    wait_registration(server, "gears:1", status="OK")
    assert server.run("RG.UNPAUSEREGISTRATIONS", identity) == "OK"
    server.add("s1", 5)
    server.wait(lambda: done(server)[-1] == "5", lambda: done(server))
    assert len(done(server)) == 5


def test_a_pause_while_it_waits_for_a_retry_wins(server):
    register(server, "{ onFailedRetryInterval: 0.05 }")
    make_fail(server, 1)
    server.add("s", 1)
    wait_tries(server, 1)
    server.run("RG.PAUSEREGISTRATIONS", id_of(server, "gears:1"))
    assert only(server)["status"] == "PAUSED"
    server.wait(lambda: counts(server, "gears:1")[0] == sum(counts(server, "gears:1")[1:3]), "it goes on")
    before = len(tries(server))
    pass_marker(server)
    make_succeed(server)
    assert len(tries(server)) == before
    server.run("RG.UNPAUSEREGISTRATIONS", id_of(server, "gears:1"))
    wait_done(server, 1)


def test_several_are_paused_together_or_none_of_them(server):
    names = ["gears:1", "gears:2"]
    code = ";".join(f"GB('StreamReader').foreach(x => log(x.n)).register('s{n}')" for n in (1, 2))
    assert execute(server, code + "; GB().register('none')") == "OK"
    ids = [id_of(server, name) for name in names]

    def statuses():
        return [registration(server, name)["status"] for name in names]

    with pytest.raises(ResponseError, match="is not registered"):
        server.run("RG.PAUSEREGISTRATIONS", *ids, "nosuch")
    with pytest.raises(ResponseError, match="Reader KeysReader does not support pause/unpause"):
        server.run("RG.PAUSEREGISTRATIONS", *ids, id_of(server, "gears:3"))
    assert statuses() == ["OK", "OK"]
    assert server.run("RG.PAUSEREGISTRATIONS", *ids) == "OK"
    assert statuses() == ["PAUSED", "PAUSED"]
    server.add("s1", 1)
    server.add("s2", 2)
    with pytest.raises(ResponseError, match="Reader KeysReader does not support pause/unpause"):
        server.run("RG.UNPAUSEREGISTRATIONS", *ids, id_of(server, "gears:3"))
    assert statuses() == ["PAUSED", "PAUSED"]
    assert server.run("RG.UNPAUSEREGISTRATIONS", *reversed(ids)) == "OK"
    server.wait(lambda: counts(server, "gears:2")[1] == 1, lambda: counts(server, "gears:2"))
    server.wait(lambda: counts(server, "gears:1")[1] == 1, lambda: counts(server, "gears:1"))


@each_async_mode
def test_failures_pauses_and_upgrades_lose_and_repeat_nothing(server, mode):
    step = """async x => {
        if (x.n % 97 === 0 && !failed.has(x.n)) {
            failed.add(x.n);
            throw new Error('once');
        }
        await null;
        execute('HINCRBY', 'done', x.n, 1);
    }"""
    arguments = f"{{ mode: '{mode}', onFailedRetryInterval: 0.005 }}"
    code = f"const failed = new Set(); GB('StreamReader').foreach({step}).register('s*', {arguments})"
    execute(server, code, "ID", "gears")
    identity = id_of(server)
    for start in range(0, 3000, 30):
        pipe = server.client.pipeline(transaction=False)
        for number in range(start, start + 30):
            pipe.execute_command("XADD", f"s{number % 3}", "*", "n", number)
        pipe.execute()
        if start % 7 == 0:
            server.run("RG.PAUSEREGISTRATIONS", identity)
        if start % 4 == 0:
            server.run("RG.UNPAUSEREGISTRATIONS", identity)
        if start % 11 == 0:
            execute(server, code, "ID", "gears", "UPGRADE")
    server.run("RG.UNPAUSEREGISTRATIONS", identity)
    server.wait(lambda: all(xlen(server, f"s{n}") == 0 for n in range(3)), lambda: only(server))
    assert server.run("HGETALL", "done") == {str(number): "1" for number in range(3000)}


def test_a_pause_may_be_seen_and_ended_by_the_commands_for_consumers_too(server):
    register(server)
    server.run("RG.PAUSEREGISTRATIONS", id_of(server, "gears:1"))
    server.add("s", 1)
    command(server, "RESUME", name="gears:1", library="gears")
    wait_done(server, 1)
    command(server, "PAUSE", name="gears:1", library="gears")
    assert only(server)["status"] == "PAUSED"
