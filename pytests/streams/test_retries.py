"""on_failure: "retry": what comes again, when, in which order, and when it is given up."""

import itertools

import pytest

from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    ATTEMPTS,
    add_at_once,
    attempting,
    attempts_of_pending,
    command,
    done,
    each_kind,
    info,
    load_attempting,
    make_fail,
    make_succeed,
    pass_marker,
    pauses,
    policy,
    sync_and_async,
    tries,
    wait_dead_letters,
    wait_done,
    wait_info,
    wait_tries,
    without_repeats,
)

RETRY = {"on_failure": "retry"}
# Retries that a test has to ask for.
BY_HAND = RETRY | {"retry_interval": AN_HOUR}


def failing(statement, otherwise="saw(data)"):
    """A callback for records that runs a statement for the entry "bad"."""
    return f"(client, data) => {{ redis.log(`at ${{Date.now()}}`); redis.log(`try ${{value(data)}}`);\
 if (value(data) === 'bad') {{ {statement} }} {otherwise}; }}"


# --- again, first, and in order -------------------------------------------------------------------------------------


@each_kind
def test_a_failed_entry_comes_again_until_its_cause_is_gone_and_the_others_wait(server, kind):
    load_attempting(server, kind, **RETRY, retry_interval=50)
    make_fail(server, 1)
    ids = server.add("stream", 0, 1, 2, 3)
    assert wait_tries(server, 5)[:5] == ["0", "1", "1", "1", "1"]
    assert done(server) == ["0"]
    assert info(server, "stream")["pending"] == [ids[1]]
    assert "no 1" in server.stream("stream")["last_error"]
    make_succeed(server)
    wait_done(server, 0, 1, 2, 3)
    assert without_repeats(tries(server)) == ["0", "1", "2", "3"]
    wait_info(server, "stream", pending=[], state="running")


@each_kind
def test_a_failed_batch_comes_again_as_it_was(server, kind):
    load_attempting(server, kind, **RETRY, retry_interval=50, batch=3)
    make_fail(server, 4)
    add_at_once(server, "stream", range(9))
    wait_tries(server, 4)
    make_succeed(server)
    wait_done(server, "0,1,2", "3,4,5", "6,7,8")
    assert without_repeats(tries(server)) == ["0,1,2", "3,4,5", "6,7,8"]
    assert len(tries(server)) >= 5


def test_a_partial_batch_that_failed_is_not_filled_up(server):
    load_attempting(server, **BY_HAND, batch=3, duration=100)
    make_fail(server, 0)
    add_at_once(server, "stream", range(2))
    wait_tries(server, 1)
    add_at_once(server, "stream", range(2, 5))
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, "0,1", "2,3,4")


def test_several_failures_come_again_in_the_order_of_their_ids(server):
    code = "async (client, data) => { await holding(client, data); attempt(client, data); }"
    server.load(*policy(consumer(window=3, callback=code, options=BY_HAND)))
    make_fail(server, 1, 2)
    ids = add_at_once(server, "stream", range(5))
    server.wait_message("start ", 3)
    server.release(2, 1)
    wait_info(server, "stream", pending=ids[:3], state="waiting", in_flight=1)
    server.release(0)
    wait_info(server, "stream", pending=ids[1:3], in_flight=0)
    assert tries(server) == ["2", "1", "0"]
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    server.wait_message("start ", 6)
    assert [text.split()[0] for text in server.messages("start ")[3:]] == ["1", "2", "3"]
    server.release(1, 2, 3)
    server.wait_message("start 4 ")
    server.release(4)
    wait_done(server, 0, 1, 2, 3, 4)


def test_a_failing_entry_among_others_is_trimmed_when_it_is_done_and_nothing_behind_it_before(server):
    load_attempting(server, trim=True, **BY_HAND)
    make_fail(server, 1)
    server.add("stream", 0, 1, 2)
    wait_tries(server, 2)
    server.wait(lambda: server.run("XLEN", "stream") == 2, "the first is not trimmed")
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    server.wait(lambda: server.run("XLEN", "stream") == 0, "they are not trimmed")
    wait_done(server, 0, 1, 2)


def test_during_the_pause_nothing_is_handed_over_and_what_runs_ends(server):
    code = """async (client, data) => {
        redis.log(`try ${value(data)}`);
        if (ask(client, 'SISMEMBER', 'bad', value(data)) == 1) throw new Error('no');
        return holding(client, data);
    }"""
    server.load(*policy(consumer(window=2, callback=code, options=BY_HAND)))
    make_fail(server, 1)
    ids = add_at_once(server, "stream", range(4))
    server.wait_message("start 0 ")
    wait_info(server, "stream", state="waiting", pending=ids[:2])
    server.release(0)
    wait_info(server, "stream", pending=ids[1:2])
    pass_marker(server)
    assert tries(server) == ["0", "1"]
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    server.wait_message("start 2 ")
    assert tries(server)[2] == "1"
    server.release(1, 2)
    server.wait_message("start 3 ")
    server.release(3)
    server.wait_stream(pending_ids=[], total_record_processed=4)


def test_an_entry_that_is_deleted_in_the_pause_holds_up_nothing(server):
    load_attempting(server, **BY_HAND)
    make_fail(server, 0)
    [first, _] = server.add("stream", 0, 1)
    wait_tries(server, 1)
    server.run("XDEL", "stream", first)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, 1)
    server.wait_stream(pending_ids=[])


def test_of_a_batch_what_is_not_deleted_comes_again(server):
    load_attempting(server, **BY_HAND, batch=3)
    make_fail(server, 0)
    ids = add_at_once(server, "stream", range(3))
    wait_tries(server, 1)
    server.run("XDEL", "stream", ids[0])
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, "1,2")


def test_a_stream_that_is_deleted_in_the_pause_begins_anew(server):
    load_attempting(server, **BY_HAND)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_tries(server, 1)
    server.run("DEL", "stream")
    server.add("stream", 2)
    wait_done(server, 2)


def test_an_upgrade_keeps_what_waits_and_takes_the_new_options(server):
    load_attempting(server, **BY_HAND)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_tries(server, 1)
    assert attempts_of_pending(server) == [1]
    server.upgrade(*policy(attempting(**RETRY, retry_interval=10, max_attempts=3, dead_letter="dead")))
    command(server, "RETRY", "STREAM", "stream")
    [dead_letter] = wait_dead_letters(server, 0)
    assert dead_letter["attempts"] == "3"
    wait_done(server, 1)


@sync_and_async
def test_a_filter_that_an_upgrade_brings_ends_the_wait_for_an_entry_that_it_does_not_want(server, kind):
    load_attempting(server, kind, **BY_HAND, trim=True)
    make_fail(server, "bad")
    server.add("stream", "bad", 1, 2)
    wait_tries(server, 1)
    wait_info(server, "stream", state="waiting")
    server.upgrade(*policy(attempting(kind, trim=True, **BY_HAND, filter={"n": {"not": "bad"}})))
    wait_done(server, 1, 2)
    assert tries(server) == ["bad", "1", "2"]
    wait_info(server, "stream", pending=[], state="running", filtered=1)
    server.wait(lambda: server.run("XLEN", "stream") == 0)


@sync_and_async
def test_what_ran_ahead_of_a_failure_goes_on_when_a_filter_takes_out_what_failed(server, kind):
    """After some that ended well, others run ahead of the window: they only waited beside the callback."""
    load_attempting(server, kind, **BY_HAND, trim=True)
    server.add("stream", *range(10))
    wait_done(server, *range(10))
    make_fail(server, "bad")
    add_at_once(server, "stream", ["bad", 10, 11, 12])
    wait_info(server, "stream", state="waiting")
    server.upgrade(*policy(attempting(kind, trim=True, **BY_HAND, filter={"n": {"not": "bad"}})))
    wait_done(server, *range(13))
    wait_info(server, "stream", pending=[], state="running", filtered=1)


@sync_and_async
def test_of_a_batch_that_waits_only_the_entries_leave_that_a_new_filter_does_not_want(server, kind):
    load_attempting(server, kind, **BY_HAND, batch=3)
    make_fail(server, 2)
    ids = server.add("stream", "bad", 1, 2)
    wait_tries(server, 1)
    wait_info(server, "stream", state="waiting")
    server.upgrade(*policy(attempting(kind, **BY_HAND, batch=3, filter={"n": {"not": "bad"}})))
    wait_info(server, "stream", pending=ids[1:], filtered=1)
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, "1,2")
    assert tries(server) == ["bad,1,2", "1,2"]


def test_an_upgrade_to_no_options_hands_over_what_waited(server):
    load_attempting(server, **BY_HAND)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_tries(server, 1)
    make_succeed(server)
    server.upgrade(*policy(consumer(callback=ATTEMPTS["sync"])))
    wait_done(server, 0, 1)
    server.wait_stream(pending_ids=[])


# --- the pause ------------------------------------------------------------------------------------------------------


@sync_and_async
def test_the_pause_is_the_interval(server, kind):
    load_attempting(server, kind, **RETRY, retry_interval=400)
    make_fail(server, 0)
    server.add("stream", 0)
    wait_tries(server, 4)
    assert min(pauses(server)) >= 0.9 * 0.4


def test_the_interval_is_a_second_if_none_is_given(server):
    load_attempting(server, **RETRY)
    make_fail(server, 0)
    server.add("stream", 0)
    wait_tries(server, 2)
    assert min(pauses(server)) >= 0.9
    wait_info(server, "stream", state="waiting")
    assert info(server, "stream")["retry_in_ms"] <= 1000


def test_an_interval_of_nothing_holds_up_nobody(server):
    load_attempting(server, **RETRY, retry_interval=0, max_attempts=1000, dead_letter="dead")
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_done(server, 1)
    assert tries(server) == ["0"] * 1000 + ["1"]
    [dead_letter] = wait_dead_letters(server, 0)
    assert dead_letter["attempts"] == "1000"


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        ({"initial": 100, "factor": 3}, [0.1, 0.3, 0.9]),
        ({"initial": 100}, [0.1, 0.2, 0.4, 0.8]),
        ({"initial": 300, "factor": 1}, [0.3, 0.3, 0.3]),
        ({"initial": 400, "factor": 2, "jitter": 0.5}, [0.2, 0.4, 0.8]),
        # Without the maximum the second pause would be longer than the test.
        ({"initial": 300, "factor": 100, "max": 400}, [0.3, 0.4, 0.4, 0.4]),
    ],
    ids=["factor", "default factor", "factor 1", "jitter", "max"],
)
def test_pauses_grow_by_the_factor_up_to_the_maximum(server, backoff, expected):
    load_attempting(server, **RETRY, backoff=backoff)
    make_fail(server, 0)
    server.add("stream", 0)
    wait_tries(server, len(expected) + 1)
    for pause, least in zip(pauses(server), expected, strict=False):
        assert pause >= 0.9 * least, pauses(server)


def test_the_pauses_begin_anew_with_the_next_failure(server):
    load_attempting(server, **RETRY, backoff={"initial": 20, "factor": 100, "max": AN_HOUR}, max_attempts=2)
    make_fail(server, *range(5))
    server.add("stream", *range(6))
    wait_done(server, 5)
    assert tries(server) == ["0", "0", "1", "1", "2", "2", "3", "3", "4", "4", "5"]


@pytest.mark.parametrize("how", ["throw", "async throw", "reject"])
def test_an_error_may_say_how_long_to_wait(server, how):
    error = "Object.assign(new Error('later'), { retry_after: 700 })"
    start = "async " if how == "async throw" else ""
    statement = f"return Promise.reject({error});" if how == "reject" else f"throw {error};"
    server.load(*policy(consumer(callback=start + failing(statement), options=RETRY | {"retry_interval": 1})))
    server.add("stream", "bad")
    wait_tries(server, 3)
    assert min(pauses(server)) >= 0.9 * 0.7


def test_an_error_may_shorten_the_pause(server):
    statement = "throw { retry_after: 5, message: 'soon' };"
    server.load(*policy(consumer(callback=failing(statement), options=BY_HAND | {"max_attempts": 5})))
    server.add("stream", "bad", "good")
    server.wait_seen("stream good")
    assert tries(server) == ["bad"] * 5 + ["good"]


def test_retry_after_holds_for_this_pause_only(server):
    statement = "throw Object.assign(new Error('x'), count++ ? {} : { retry_after: 5 });"
    server.load(*policy("let count = 0;", consumer(callback=failing(statement), options=BY_HAND)))
    server.add("stream", "bad")
    wait_tries(server, 2)
    wait_info(server, "stream", state="waiting")
    assert info(server, "stream")["retry_in_ms"] > AN_HOUR / 2


# --- giving up ------------------------------------------------------------------------------------------------------


@each_kind
def test_after_max_attempts_an_entry_is_given_up_and_the_next_follows(server, kind):
    load_attempting(server, kind, **RETRY, retry_interval=20, max_attempts=3)
    make_fail(server, 1)
    ids = server.add("stream", 0, 1, 2)
    wait_done(server, 0, 2)
    assert tries(server) == ["0", "1", "1", "1", "2"]
    wait_info(server, "stream", pending=[], position=ids[2], given_up=1, dead_letters=0, state="running")
    assert "no 1" in info(server, "stream")["last_error"]


def test_a_single_attempt_is_no_retry(server):
    load_attempting(server, **RETRY, max_attempts=1)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_done(server, 1)
    assert tries(server) == ["0", "1"]


@sync_and_async
def test_a_whole_batch_is_given_up_without_bisect(server, kind):
    load_attempting(server, kind, **RETRY, retry_interval=20, max_attempts=2, batch=3, dead_letter="dead")
    make_fail(server, 1)
    add_at_once(server, "stream", range(6))
    wait_done(server, "3,4,5")
    assert tries(server) == ["0,1,2", "0,1,2", "3,4,5"]
    wait_dead_letters(server, 0, 1, 2)


@sync_and_async
def test_at_its_first_failure_beyond_max_age_an_entry_is_given_up(server, kind):
    load_attempting(server, kind, **RETRY, retry_interval=100, max_age=700, dead_letter="dead")
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_done(server, 1)
    found = tries(server)
    assert found[:-1] == ["0"] * (len(found) - 1)
    [dead_letter] = wait_dead_letters(server, 0)
    assert int(dead_letter["last_time"]) - int(dead_letter["first_time"]) >= 700
    assert dead_letter["attempts"] == str(len(found) - 1)
    *before, _last = itertools.accumulate(pauses(server)[: len(found) - 2])
    assert all(age <= 0.75 for age in before)


@each_kind
def test_a_fatal_error_is_the_last_attempt(server, kind):
    error = "Object.assign(new Error('no use'), { fatal: true })"
    code = {
        "sync": failing(f"throw {error};"),
        "promise": failing(f"return Promise.reject({error});"),
        "async": "async " + failing(f"throw {error};"),
        "async after await": "async " + failing(f"await null; throw {error};"),
    }[kind]
    server.load(*policy(consumer(callback=code, options=BY_HAND | {"dead_letter": "dead"})))
    server.add("stream", "bad", "good")
    server.wait_seen("stream good")
    assert tries(server) == ["bad", "good"]
    [dead_letter] = wait_dead_letters(server, "bad")
    assert dead_letter["attempts"] == "1"
    assert "no use" in dead_letter["error"]


def test_only_true_is_fatal(server):
    statement = "throw Object.assign(new Error('x'), { fatal: false });"
    server.load(*policy(consumer(callback=failing(statement), options=RETRY | {"retry_interval": 10})))
    server.add("stream", "bad")
    wait_tries(server, 3)


# --- callbacks that are ended ---------------------------------------------------------------------------------------

ENDED = {
    "sync": ("for (;;);", "redisgears_2.lock-redis-timeout"),
    "async": ("for (;;);", "redisgears_2.background-timeout"),
    "block": ("client.block(() => { for (;;); });", "redisgears_2.lock-redis-timeout"),
}


@pytest.mark.parametrize("kind", ENDED)
def test_a_callback_that_is_ended_for_its_time_has_failed(server, kind):
    statement, setting = ENDED[kind]
    start = "" if kind == "sync" else "async "
    options = RETRY | {"retry_interval": 20, "max_attempts": 2, "dead_letter": "dead"}
    server.load(*policy(consumer(callback=start + failing(statement), options=options)))
    with server.setting(setting, 200):
        server.add("stream", "bad", "good")
        server.wait_seen("stream good")
    assert tries(server) == ["bad", "bad", "good"]
    [dead_letter] = wait_dead_letters(server, "bad")
    assert dead_letter["attempts"] == "2"
    assert "time" in dead_letter["error"]


def test_a_callback_that_is_ended_for_its_memory_has_failed(start_server):
    server = start_server(module_args="library-maxmemory 32mb")
    statement = "const all = []; for (;;) all.push(new Array(1000).fill(1.5));"
    options = RETRY | {"retry_interval": 20, "max_attempts": 2, "dead_letter": "dead"}
    server.load(*policy(consumer(callback=failing(statement), options=options)))
    with server.setting("redisgears_2.lock-redis-timeout", 10_000):
        server.add("stream", "bad", "good")
        server.wait_seen("stream good")
    [dead_letter] = wait_dead_letters(server, "bad")
    assert "out of memory" in dead_letter["error"]


# --- scope ----------------------------------------------------------------------------------------------------------


@sync_and_async
def test_only_the_stream_of_the_failure_waits(server, kind):
    load_attempting(server, kind, **BY_HAND)
    make_fail(server, 1)
    server.add("stream:1", 1, 2)
    wait_tries(server, 1)
    server.add("stream:2", 3, 4)
    wait_done(server, 3, 4)
    wait_info(server, "stream:1", state="waiting")
    wait_info(server, "stream:2", state="running")


@sync_and_async
def test_with_the_scope_of_the_consumer_all_its_streams_wait(server, kind):
    load_attempting(server, kind, **BY_HAND, scope="consumer")
    make_fail(server, 1)
    server.add("stream:1", 1, 2)
    wait_tries(server, 1)
    wait_info(server, state="waiting")
    server.add("stream:2", 3, 4)
    pass_marker(server)
    assert tries(server) == ["1"]
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream:1")
    server.wait(lambda: len(done(server)) >= 4, lambda: done(server))
    assert sorted(done(server)) == ["1", "2", "3", "4"]
    assert tries(server)[1] == "1"
    wait_info(server, state="running")


def test_with_the_scope_of_the_consumer_another_consumer_goes_on(server):
    other = consumer("other", callback="(client, data) => saw(data)")
    server.load(*policy(attempting(**BY_HAND, scope="consumer"), other))
    make_fail(server, 1)
    server.add("stream:1", 1, 2)
    server.add("stream:2", 3)
    server.wait_seen("stream:1 1", "stream:1 2", "stream:2 3")
    assert tries(server) == ["1"]


# --- continue -------------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("options", [{}, {"on_failure": "continue"}], ids=["default", "given"])
def test_under_continue_a_failed_batch_is_done(server, kind, options):
    load_attempting(server, kind, trim=True, batch=2, **options)
    make_fail(server, 1)
    add_at_once(server, "stream", range(4))
    wait_done(server, "2,3")
    assert tries(server) == ["0,1", "2,3"]
    server.wait_stream(pending_ids=[], total_record_processed=4)
    assert "no 1" in server.stream("stream")["last_error"]
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the stream is not trimmed")
