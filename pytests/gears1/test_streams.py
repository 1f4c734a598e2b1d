"""Registrations of the StreamReader: arguments of the first RedisGears but for policies, and what a step gets."""

import itertools
import json
import time

import pytest

from testing.gears1 import (
    MODES,
    execute,
    logged,
    registration,
    wait_among,
    wait_counts,
    wait_logged,
    wait_registration,
)
from testing.policies import add_at_once

NOTE = "foreach(x => log(x.n))"
IN_FULL = "foreach(x => log(JSON.stringify(x)))"
# One line for each execution.
TOGETHER = "accumulate((all, x) => (all === null ? x.n : `${all},${x.n}`)).foreach(all => log(all))"


def register(node, arguments="'s'", steps=NOTE, reader="'StreamReader'", **more):
    """Has a plan of these steps registered."""
    assert execute(node, f"GearsBuilder({reader}).{steps}.register({arguments})", **more) == "OK"


# --- regex ----------------------------------------------------------------------------------------------------------

SPELLINGS = {"first": "'{}'", "regex": "{{ regex: '{}' }}", "prefix": "{{ prefix: '{}' }}"}

each_spelling = pytest.mark.parametrize("spelling", SPELLINGS)


@each_spelling
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_star_at_the_end_makes_a_prefix(server, spelling, when):
    streams = ["r1", "s", "s1", "stream2", "S1"]
    if when == "before":
        for stream in streams:
            server.add(stream, stream)
    register(server, SPELLINGS[spelling].format("s*"))
    if when == "after":
        for stream in streams:
            server.add(stream, stream)
    wait_among(server, "s", "s1", "stream2")
    server.add("s1", "last")
    server.wait(lambda: logged(server)[-1] == "last", lambda: logged(server))
    assert len(logged(server)) == 4
    assert registration(server)["args"]["stream"] == "s*"


@each_spelling
@pytest.mark.parametrize("when", ["before", "after"])
def test_without_a_star_it_is_the_name_of_one_stream(server, spelling, when):
    if when == "before":
        server.add("s10", "other")
        server.add("s1", "mine")
    register(server, SPELLINGS[spelling].format("s1"))
    if when == "after":
        server.add("s10", "other")
        server.add("s1", "mine")
    wait_logged(server, "mine")
    server.add("s10", "other")
    server.add("s1", "last")
    wait_logged(server, "mine", "last")
    assert registration(server)["args"]["stream"] == "s1"


@pytest.mark.parametrize("arguments", ["", "'*'", "null", "{}", "{ regex: null }"])
def test_by_default_it_is_every_stream(server, arguments):
    register(server, arguments)
    server.add("a", 1)
    server.add("b", 2)
    wait_among(server, 1, 2)
    assert registration(server)["args"]["stream"] == "*"


def test_only_streams_trigger(server):
    register(server, "'*'")
    server.run("SET", "a", 1)
    server.run("RPUSH", "b", 1)
    server.add("s", 1)
    wait_logged(server, 1)
    wait_counts(server, 1, 1, 0, 0)


def test_data_that_is_there_before_is_processed_in_order(server):
    server.add("s", *range(300))
    register(server)
    server.add("s", *range(300, 400))
    wait_logged(server, *range(400))


# --- mode -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_in_each_mode_entries_are_processed_in_order_and_trimmed(server, mode):
    register(server, f"'s', {{ mode: '{mode}' }}")
    add_at_once(server, "s", range(300))
    wait_logged(server, *range(300))
    wait_counts(server, 300, 300, 0, 0)
    server.wait(lambda: server.run("XLEN", "s") == 0, "it is not trimmed")
    assert registration(server)["mode"] == mode


def test_by_default_the_mode_is_async(server):
    register(server)
    assert registration(server)["mode"] == "async"


def test_what_is_sync_is_done_and_trimmed_before_the_reply(server):
    register(server, "'s', { mode: 'sync' }", "foreach(x => execute('INCR', 'count'))")
    for number in range(1, 51):
        server.add("s", number)
        assert (server.run("GET", "count"), server.run("XLEN", "s")) == (str(number), 0)


@pytest.mark.parametrize("mode", ["async", "async_local"])
def test_for_what_is_async_nobody_waits_and_one_entry_is_in_work_at_a_time(server, mode):
    arguments = f"{{ mode: '{mode}' }}"
    code = f"""
        const held = [];
        GB('StreamReader').foreach(async x => {{
            log(`begin ${{x.n}}`);
            await new Promise(go => held.push(go));
            log(`end ${{x.n}}`);
        }}).register('s', {arguments});
        GB('StreamReader').foreach(() => held.shift()()).register('go', {arguments});
    """
    assert execute(server, code) == "OK"
    server.add("s", 1, 2)
    wait_logged(server, "begin 1")
    wait_counts(server, 1, 0, 0, 0, name="gears:1")
    assert server.run("XLEN", "s") == 2
    server.add("go", 1)
    wait_logged(server, "begin 1", "end 1", "begin 2")
    server.add("go", 1)
    wait_logged(server, "begin 1", "end 1", "begin 2", "end 2")
    wait_counts(server, 2, 2, 0, 0, name="gears:1")


def test_a_sync_step_cannot_wait(server):
    register(server, "'s', { mode: 'sync' }", "foreach(async () => 1)")
    server.add("s", 1)
    wait_counts(server, 1, 0, 1, 0)
    assert "a step returned a promise, which mode 'sync' cannot wait for" in registration(server)["lastError"]


# --- batch and duration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_processed_when_it_is_full_and_in_one_execution(server, mode):
    register(server, f"'s', {{ batch: 3, mode: '{mode}' }}", TOGETHER)
    server.add("s", 1, 2)
    # In the meantime another one is full.
    register(server, "'other', { batch: 3 }", TOGETHER)
    server.add("other", "a", "b", "c")
    wait_logged(server, "a,b,c")
    server.add("s", 3)
    wait_logged(server, "a,b,c", "1,2,3")
    add_at_once(server, "s", range(4, 11))
    wait_logged(server, "a,b,c", "1,2,3", "4,5,6", "7,8,9")
    server.wait(lambda: server.run("XLEN", "s") == 1, "it is not trimmed")


def test_each_step_gets_the_entries_of_a_batch_one_by_one(server):
    register(
        server, "'s', { batch: 3 }", "foreach(x => log(x.n)).accumulate((n, x) => n + 1).foreach(n => log(`all ${n}`))"
    )
    server.add("s", 1, 2, 3)
    wait_logged(server, 1, 2, 3, "all 3")
    wait_counts(server, 1, 1, 0, 0)


def test_streams_have_batches_of_their_own(server):
    register(server, "'s*', { batch: 2 }", TOGETHER)
    server.add("s1", "a")
    server.add("s2", "b")
    server.add("s1", "c")
    wait_logged(server, "a,c")
    server.add("s2", "d")
    wait_logged(server, "a,c", "b,d")


def test_by_default_each_entry_is_an_execution(server):
    register(server, steps=TOGETHER)
    add_at_once(server, "s", range(5))
    wait_logged(server, *range(5))
    assert registration(server)["args"] | {"stream": ""} == {
        "batchSize": 1,
        "durationMS": 0,
        "stream": "",
        "trimStream": 1,
        "onFailedPolicy": "retry",
        "retryInterval": 1,
    }


@pytest.mark.parametrize("mode", MODES)
def test_after_its_duration_a_batch_is_processed_as_it_is(server, mode):
    register(server, f"'s', {{ batch: 100, duration: 300, mode: '{mode}' }}", TOGETHER)
    begin = time.monotonic()
    server.add("s", 1, 2)
    wait_logged(server, "1,2")
    assert time.monotonic() - begin > 0.25
    server.add("s", 3)
    wait_logged(server, "1,2", "3")
    assert registration(server)["args"]["durationMS"] == 300


def test_the_duration_does_not_hold_up_what_is_full(server):
    register(server, "'s', { batch: 2, duration: 3_600_000 }", TOGETHER)
    add_at_once(server, "s", range(5))
    wait_logged(server, "0,1", "2,3")
    server.add("s", 5)
    wait_logged(server, "0,1", "2,3", "4,5")


def test_the_duration_counts_from_the_first_entry_of_a_batch(server):
    register(server, "'s', { batch: 10_000, duration: 400 }", TOGETHER)
    added = itertools.count()

    def add_another():
        server.add("s", next(added))
        return logged(server)

    server.wait(add_another, "as long as entries come none is processed")
    first = logged(server)[0].split(",")
    assert first == [str(n) for n in range(len(first))]
    assert 1 < len(first) < 10_000


def test_a_duration_without_batches_has_no_effect(server):
    register(server, "'s', { duration: 3_600_000 }")
    server.add("s", 1)
    wait_logged(server, 1)
    assert registration(server)["args"]["durationMS"] == 0


def test_what_is_there_before_is_drained_without_waiting_for_a_full_batch(server):
    server.add("s", *range(9))
    register(server, "'s', { batch: 5 }", TOGETHER)
    wait_logged(server, "0,1,2,3,4", "5,6,7,8")
    server.add("s", *range(9, 13))
    register(server, "'other'", "foreach(x => log(x.n))")
    server.add("other", "x")
    wait_logged(server, "0,1,2,3,4", "5,6,7,8", "x")
    server.add("s", 13)
    wait_logged(server, "0,1,2,3,4", "5,6,7,8", "x", "9,10,11,12,13")


# --- trimStream -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_without_trim_stream_the_entries_stay(server, mode):
    register(server, f"'s', {{ trimStream: false, mode: '{mode}' }}")
    server.add("s", 1, 2, 3)
    wait_counts(server, 3, 3, 0, 0)
    server.add("s", 4)
    wait_logged(server, 1, 2, 3, 4)
    assert server.run("XLEN", "s") == 4
    assert registration(server)["args"]["trimStream"] == 0


def test_what_another_registration_still_needs_is_not_trimmed(server):
    fails = "GB('StreamReader').foreach(() => { throw new Error('later'); }).register('s')"
    assert execute(server, f"{fails}; GB('StreamReader').{NOTE}.register('s');") == "OK"
    server.add("s", 1)
    wait_logged(server, 1)
    wait_registration(server, "gears:1", status="WAITING_FOR_RETRY_ON_FAILURE")
    assert server.run("XLEN", "s") == 1


# --- what a step gets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_record_is_the_id_and_the_fields(server, mode):
    register(server, f"'s', {{ mode: '{mode}' }}", IN_FULL)
    server.run("XADD", "s", "5-1", "b", "ä", "a", "", "10", "ten")
    server.wait(lambda: logged(server), "nothing comes")
    assert json.loads(logged(server)[0]) == {"streamId": "5-1", "b": "ä", "a": "", "10": "ten"}


def test_a_field_may_have_any_name(server):
    register(server, steps="foreach(x => log(JSON.stringify(Object.entries(x))))")
    server.run("XADD", "s", "5-1", "__proto__", "1", "constructor", "2", "toString", "3")
    server.wait(lambda: logged(server), "nothing comes")
    pairs = [["__proto__", "1"], ["constructor", "2"], ["streamId", "5-1"], ["toString", "3"]]
    assert sorted(json.loads(logged(server)[0])) == pairs


def test_a_record_may_be_nested_as_in_later_releases(server):
    register(server, "'s*', { recordFormat: 'nested' }", IN_FULL)
    server.run("XADD", "s1", "5-1", "a", "1", "id", "mine")
    wait_logged(server, '{"key":"s1","id":"5-1","value":{"a":"1","id":"mine"}}')


def test_what_is_no_text_comes_as_bytes_that_can_be_written_again(server):
    steps = "foreach(x => execute('SET', x.streamId, x.a))"
    register(server, "'s'", steps)
    raw = server.connect(decode_responses=False)
    entry = raw.xadd("s", {"a": b"\x80\x00\xff", b"\xff": "no place"}, id="5-1")
    server.wait(lambda: server.run("EXISTS", "5-1"), "nothing comes")
    assert (entry, raw.get("5-1")) == (b"5-1", b"\x80\x00\xff")
    wait_counts(server, 1, 1, 0, 0)


def test_a_stream_whose_name_is_no_text_is_known_by_its_bytes(server):
    register(server, "'*', { recordFormat: 'nested' }", "foreach(x => execute('SET', 'seen', x.key))")
    server.run("XADD", b"\xff\x00", "*", "a", 1)
    server.wait(lambda: server.run("EXISTS", "seen"), "nothing comes")
    assert server.connect(decode_responses=False).get("seen") == b"\xff\x00"


# --- several registrations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modes", [("async", "async"), ("sync", "async"), ("sync", "sync"), ("async", "async_local")])
def test_two_registrations_of_one_stream_both_get_every_entry(server, modes):
    """In the first RedisGears they competed for them."""
    for number, mode in enumerate(modes):
        arguments = f"'s', {{ mode: '{mode}', batch: {number + 1} }}"
        register(server, arguments, f"foreach(x => log('{number} ' + x.n))")
    add_at_once(server, "s", range(100))
    for number in range(2):
        wait_logged(server, *range(100), start=f"{number} ")
    server.wait(lambda: server.run("XLEN", "s") == 0, "it is not trimmed")


def test_one_builder_may_be_registered_several_times_and_go_on_being_built(server):
    code = """
        const builder = GB('StreamReader').map(x => x.n);
        builder.foreach(n => log(`a ${n}`));
        builder.register('a');
        builder.foreach(n => log(`b ${n}`)).register('b', { mode: 'sync' });
    """
    assert execute(server, code) == "OK"
    server.add("a", 1)
    wait_logged(server, "a 1")
    server.add("b", 2)
    wait_logged(server, "a 1", "a 2", "b 2")


def test_null_is_as_good_as_nothing(server):
    arguments = (
        "{ batch: null, duration: null, mode: null, onFailedPolicy: null, trimStream: undefined, onRegistered: null }"
    )
    register(server, f"'s', {arguments}")
    server.add("s", 1)
    wait_logged(server, 1)
    found = registration(server)
    assert (found["mode"], found["args"]["onFailedPolicy"], found["args"]["batchSize"]) == ("async", "retry", 1)
