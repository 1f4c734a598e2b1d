"""What triggers may take: places in their queue, bytes, time and memory; and that the server goes on beyond that."""

import re
import time

import pytest

from testing.libraries import consumer, function
from testing.triggers import (
    FIRED,
    counted,
    each_kind,
    fired,
    load,
    open_gate,
    pipelined,
    run_all,
    shown,
    trigger,
    upgrade,
    wait_fired,
    wait_idle,
    wait_shown,
)

LENGTH = 100
MEMORY = 1 << 20
MODULE_ARGS = f"trigger-queue-length {LENGTH} trigger-queue-memory {MEMORY} library-maxmemory 32mb"
ENDED = "Err Execution was terminated due to OOM or timeout"


def used_memory(server):
    """Bytes, without those of clients' buffers."""
    found = server.client.info("memory")
    return found["used_memory"] - found["mem_clients_normal"]


def warnings(server):
    """What the log says of events that were dropped."""
    return re.findall(r"^.* # <redisgears_2> (.*dropped.*)$", server.log_text(), re.MULTILINE)


def set_many(server, count, start=0):
    """Sets so many keys in one go."""
    pipelined(server, *(f"SET key:{number} v" for number in range(start, start + count)))


# --- how many -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_for_events_that_find_no_place_on_trigger_fired_is_not_called(server, mode):
    looks = "on_trigger_fired: (client, data) => redis.log(`looked ${data.key}`)"
    take = "() => {}" if mode == "sync" else "gated"
    load(server, trigger(callback=take, options=f"{{ read_value: true, {looks} }}"))
    # Sync callbacks run behind the transaction.
    pipelined(server, *(f"SET key:{number} v" for number in range(3 * LENGTH)), transaction=True)
    wait_shown(server, num_triggered=3 * LENGTH, num_dropped=2 * LENGTH)
    assert server.messages("looked ") == [f"key:{number}" for number in range(LENGTH)]
    open_gate(server)
    wait_idle(server)


def test_events_that_find_no_place_are_dropped_and_later_ones_flow_again(server):
    load(server, trigger(callback="gated"))
    set_many(server, 1000)
    wait_shown(server, num_triggered=1000, num_dropped=1000 - LENGTH)
    open_gate(server)
    wait_fired(server, *(f"set key:{number}" for number in range(LENGTH)))
    assert wait_idle(server)["num_success"] == LENGTH
    server.run("SET", "key:later", "v")
    server.wait(lambda: fired(server)[LENGTH:] == ["set key:later"], lambda: fired(server)[LENGTH:])
    assert counted(server) == {
        "num_triggered": 1001,
        "num_finished": LENGTH + 1,
        "num_success": LENGTH + 1,
        "num_failed": 0,
        "num_dropped": 900,
        "num_waiting": 0,
    }


def test_what_is_dropped_is_in_the_log_and_in_the_last_error(server):
    load(server, trigger(callback="gated"))
    set_many(server, LENGTH)
    assert warnings(server) == []
    begin = time.monotonic()
    set_many(server, 500)
    assert warnings(server), "the first one has to be in the log at once"
    for _ in range(20):
        set_many(server, 500)
    server.wait(lambda: counted(server)["num_dropped"] == 500 * 21, lambda: counted(server))
    assert len(warnings(server)) <= 2 + (time.monotonic() - begin)
    assert "trigger" in warnings(server)[0]
    assert "trigger-queue-length" in shown(server)["last_error"]
    open_gate(server)
    wait_idle(server)


def test_a_later_warning_has_the_count_of_all_since_the_one_before(server):
    load(server, trigger(callback="gated"))
    set_many(server, LENGTH + 50)

    def is_told():
        server.run("SET", "key:more", "v")
        return len(warnings(server)) >= 2

    server.wait(is_told, lambda: warnings(server))
    told = [int(count) for line in warnings(server) for count in re.findall(r"\b(\d+) events?\b", line)]
    assert told[0] == 1
    assert sum(told) == counted(server)["num_dropped"]
    open_gate(server)
    wait_idle(server)


def test_another_trigger_of_the_same_events_misses_nothing(server):
    load(server, trigger(callback="gated"), trigger("other"))
    for number in range(5):
        set_many(server, LENGTH, start=number * LENGTH)
    assert counted(server, "other")["num_dropped"] == 0
    assert counted(server)["num_dropped"] == 500 - LENGTH
    open_gate(server)
    wait_idle(server)


def test_a_filtered_event_takes_no_place(server):
    load(server, trigger(callback="gated", options={"event_types": ["del"]}))
    set_many(server, 1000)
    assert counted(server)["num_dropped"] == 0
    run_all(server, [f"DEL key:{number}" for number in range(LENGTH)])
    assert (counted(server)["num_triggered"], counted(server)["num_dropped"]) == (LENGTH, 0)
    open_gate(server)
    wait_idle(server)


def test_a_place_is_free_when_the_callback_has_ended(server):
    load(server, trigger(callback=FIRED["async"]))
    for number in range(10):
        set_many(server, LENGTH, start=number * LENGTH)
        wait_idle(server)
    assert fired(server) == [f"set key:{number}" for number in range(10 * LENGTH)]


def test_the_bounds_can_be_changed_at_run_time(server):
    load(server, trigger(callback="gated"))
    with server.setting("redisgears_2.trigger-queue-length", 7):
        set_many(server, 10)
        assert counted(server)["num_dropped"] == 3
    set_many(server, LENGTH)
    assert counted(server)["num_dropped"] == 3 + 7
    open_gate(server)
    wait_idle(server)


# --- within one command ---------------------------------------------------------------------------------------------

MANY = "for i = 1, ARGV[1] do redis.call('SET', KEYS[1] .. i, i) end"


@each_kind
def test_one_script_beyond_the_bound_has_the_rest_dropped(server, kind):
    load(server, trigger(callback=FIRED[kind]))
    server.run("EVAL", MANY, 1, "key:", 5000)
    found = wait_idle(server)
    assert found["num_triggered"] == 5000
    if kind == "sync":
        assert fired(server) == [f"set key:{number}" for number in range(1, LENGTH + 1)]
        assert found["num_dropped"] == 5000 - LENGTH
    else:
        # Meanwhile some may have ended.
        assert LENGTH <= found["num_success"] < 5000
    server.run("SET", "key:later", "v")
    server.wait(lambda: fired(server)[-1] == "set key:later", lambda: fired(server)[-1])


def test_a_transaction_beyond_the_bound_has_the_rest_dropped(server):
    load(server, trigger())
    pipelined(server, *(f"SET key:{number} v" for number in range(300)), transaction=True)
    assert len(fired(server)) == LENGTH
    assert wait_idle(server)["num_dropped"] == 200


def test_a_long_pipeline_is_no_single_command(server):
    if not server.runs_callbacks_in_commands():
        pytest.skip("here a round of the event loop is what counts")
    load(server, trigger())
    set_many(server, 3000)
    assert fired(server) == [f"set key:{number}" for number in range(3000)]
    assert counted(server)["num_dropped"] == 0


@each_kind
def test_memory_stays_bounded_whatever_one_script_does(server, kind):
    load(server, trigger(callback=FIRED[kind], options={"read_value": True}))
    script = "local v = string.rep('x', 100000); for i = 1, 2000 do redis.call('SET', KEYS[1], v .. i) end"
    server.run("SET", "key", "x" * 100_000)
    wait_idle(server)
    before = used_memory(server)
    peak_before = server.client.info("memory")["used_memory_peak"]
    server.run("EVAL", script, 1, "key")
    assert server.client.info("memory")["used_memory_peak"] - peak_before < 20 * MEMORY
    found = wait_idle(server)
    assert found["num_triggered"] == 2001
    assert found["num_dropped"] > 1000
    server.wait(lambda: used_memory(server) - before < 2 * MEMORY, lambda: used_memory(server) - before)


# --- bytes ----------------------------------------------------------------------------------------------------------


# Holds the worker up with the first event, so that the others wait.
BUSY = "async (client, data) => { if (data.key === 'key:busy') { redis.log('busy'); spend(1500); } else fired(data); }"


def be_busy(server):
    """Has the worker be busy for a while."""
    server.run("SET", "key:busy", "v")
    server.wait_message("busy")


def test_events_with_values_are_bounded_by_their_bytes(server):
    load(server, trigger(callback=BUSY, options={"read_value": True}))
    value = "x" * 100_000
    server.run("SET", "key", value)
    wait_idle(server)
    be_busy(server)
    before = used_memory(server)
    pipelined(server, *[f"SET key {value}"] * 60)
    assert used_memory(server) - before < 3 * MEMORY
    found = counted(server)
    assert found["num_triggered"] == 62
    assert found["num_dropped"] == 60 - MEMORY // len(value)
    wait_idle(server)
    server.wait(lambda: used_memory(server) - before < MEMORY // 2, lambda: used_memory(server) - before)


def test_long_names_of_keys_count_as_well(server):
    load(server, trigger(callback=BUSY))
    be_busy(server)
    pipelined(server, *(f"SET key:{number}:{'x' * 100_000} v" for number in range(60)))
    assert counted(server)["num_dropped"] == 60 - MEMORY // 100_000
    wait_idle(server)


def test_a_value_that_is_too_large_by_itself_is_dropped_and_the_next_event_is_not(server):
    load(server, trigger(callback=FIRED["async"], options={"read_value": True}))
    server.run("SET", "key:large", "x" * (3 * MEMORY))
    server.run("SET", "key:small", "v")
    wait_fired(server, "set key:small")
    assert wait_idle(server)["num_dropped"] == 1


@each_kind
def test_a_collection_that_is_too_large_takes_no_memory_either(server, kind):
    words = [f"member:{number:06}" for number in range(100_000)]
    for at in range(0, len(words), 10_000):
        server.run("SADD", "key", *words[at : at + 10_000])
    load(server, trigger(callback=FIRED[kind], options={"read_value": True}))
    before = used_memory(server)
    peak_before = server.client.info("memory")["used_memory_peak"]
    run_all(server, [f"SADD key more:{number}" for number in range(20)])
    assert server.client.info("memory")["used_memory_peak"] - max(peak_before, before) < 20 * MEMORY
    assert used_memory(server) - before < 2 * MEMORY
    assert wait_idle(server)["num_dropped"] == 20


# --- time -----------------------------------------------------------------------------------------------------------

LOOPS = {
    "loop": "for (;;);",
    "loop that catches": "for (;;) { try { for (;;); } catch (error) {} }",
    "promises": "(function again() { Promise.resolve().then(again); })(); for (;;);",
}


@pytest.mark.parametrize("what", LOOPS)
@each_kind
def test_a_loop_without_end_is_ended_and_the_server_answers(server, kind, what):
    start = "async " if kind == "async" else ""
    load(
        server,
        trigger(callback=f"{start}(c, data) => {{ if (data.key === 'key:bad') {{ {LOOPS[what]} }} fired(data); }}"),
    )
    server.set_timeout(200)
    with server.setting("redisgears_2.background-timeout", 200):
        run_all(server, ["SET key:1 v", "SET key:bad v", "SET key:2 v", "PING"])
        wait_fired(server, "set key:1", "set key:2")
        assert wait_idle(server)["num_failed"] == 1
    assert shown(server)["last_error"] == f"{ENDED} (timeout)"


def test_a_loop_without_end_in_a_block_is_ended_and_the_server_answers(server):
    load(server, trigger(callback="async client => client.block(() => { for (;;); })"))
    server.set_timeout(100)
    server.run("SET", "key", "v")
    assert wait_idle(server)["num_failed"] == 1
    assert "timeout" in shown(server)["last_error"]


def assert_others_are_served(server, count):
    """Between the first of so many callbacks and the last."""
    server.wait(lambda: fired(server), "none has fired")
    assert 0 < len(fired(server, log=server.log_when_served())) < count


def test_sync_triggers_hold_the_server_up_for_a_bounded_time_and_the_rest_comes_later(server):
    load(server, trigger(callback="(client, data) => { spend(30); fired(data); }"))
    server.send("EVAL", MANY, 1, "key:", 60)
    assert_others_are_served(server, 60)
    wait_fired(server, *(f"set key:{number}" for number in range(1, 61)))
    server.run("SET", "key:later", "v")
    assert fired(server)[-1] == "set key:later"


def test_together_with_stream_consumers_they_do(server):
    load(
        server,
        trigger(callback="(client, data) => { spend(30); fired(data); }"),
        consumer(callback="(client, data) => { spend(30); fired({ event: 'xadd', key: value(data) }, ' entry'); }"),
    )
    script = "for i = 1, 30 do redis.call('SET', 'key:' .. i, i); redis.call('XADD', 'stream', '*', 'n', i) end"
    server.send("EVAL", script, 0)
    assert_others_are_served(server, 60)
    server.wait(lambda: len(fired(server)) == 60, lambda: fired(server))
    for start in ("set key:", "entry xadd "):
        assert [line for line in fired(server) if line.startswith(start)] == [f"{start}{n}" for n in range(1, 31)]


SEVERAL = [trigger(name, callback=f"(client, data) => {{ spend(20); fired(data, ' {name}'); }}") for name in "ba"]
IN_ORDER = [f"{name} set key:{number}" for number in range(1, 31) for name in "ba"]


def test_what_is_put_off_keeps_its_order(server):
    load(server, *SEVERAL)
    server.send("EVAL", MANY, 1, "key:", 30)
    assert_others_are_served(server, 60)
    wait_fired(server, *IN_ORDER)


def test_it_does_so_over_an_upgrade(server):
    load(server, *SEVERAL)
    server.send("EVAL", MANY, 1, "key:", 30)
    assert_others_are_served(server, 60)
    upgrade(server, *SEVERAL)
    wait_fired(server, *IN_ORDER)


def test_a_busy_library_puts_its_sync_triggers_off(server):
    busy = function("busy", "async () => { redis.log('busy'); spend(2500); redis.log('idle'); }")
    load(server, trigger(), busy)
    server.set_timeout(100)
    call = server.send_call("busy")
    server.wait_message("busy")
    # Not each of them waits for the library, as long as it may: that were longer than the library is busy.
    run_all(server, [f"SET key:{number} v" for number in range(40)])
    assert server.messages("idle", server.log_when_served()) == []
    wait_fired(server, *(f"set key:{number}" for number in range(40)))
    call.reply()


def test_a_slow_async_trigger_does_not_hold_the_server_up(server):
    load(server, trigger(callback="async () => { spend(1000); redis.log('ended'); }"))
    server.run("SET", "key", "v")
    run_all(server, ["SET other v"] * 20)
    assert server.messages("ended", server.log_when_served()) == []
    wait_idle(server)


# --- failures -------------------------------------------------------------------------------------------------------


@each_kind
def test_one_that_throws_counts_as_failed_and_the_next_event_comes(server, kind):
    body = "if (data.key === 'key:bad') throw new TypeError('of this kind'); fired(data);"
    load(server, trigger(callback=f"{'async ' if kind == 'async' else ''}(client, data) => {{ {body} }}"))
    assert shown(server)["last_error"] == "None"
    run_all(server, ["SET key:1 v", "SET key:bad v", "SET key:2 v"])
    wait_fired(server, "set key:1", "set key:2")
    assert wait_idle(server)["num_failed"] == 1
    assert shown(server)["last_error"] == "TypeError: of this kind"


@each_kind
def test_a_refused_command_is_a_failure_and_what_was_written_stays(server, kind):
    body = "c.call('INCR', 'count'); c.call('LPUSH', 'count', 'x');"
    callback = f"c => {{ {body} }}" if kind == "sync" else f"async client => client.block(c => {{ {body} }})"
    load(server, trigger(callback=callback))
    server.run("SET", "key", "v")
    wait_shown(server, num_failed=1)
    assert shown(server)["last_error"].startswith("WRONGTYPE ")
    assert server.run("GET", "count") == "1"


def test_beyond_maxmemory_triggers_that_write_fail_and_others_do_not(server):
    load(
        server,
        trigger(callback="client => client.call('SET', 'other', 'v')"),
        trigger("reads", callback="(client, data) => fired(data)"),
    )
    server.run("SET", "key", "v")
    with server.setting("maxmemory", 1):
        server.run("DEL", "key")
        assert fired(server) == ["set key", "del key"]
        assert (counted(server)["num_failed"], counted(server)["num_success"]) == (1, 1)
    assert "OOM" in shown(server)["last_error"]


BOMBS = {
    "heap": "const bag = []; for (;;) bag.push(new Array(1000).fill(bag.length));",
    "buffers": "const bag = []; for (;;) bag.push(new Uint8Array(1 << 20).fill(1));",
}


@pytest.mark.parametrize("what", BOMBS)
@each_kind
def test_one_that_takes_too_much_memory_is_ended_and_the_server_goes_on(server, kind, what):
    server.set_timeout(5000)
    start = "async " if kind == "async" else ""
    load(
        server,
        trigger(callback=f"{start}(c, data) => {{ if (data.key === 'key:bad') {{ {BOMBS[what]} }} fired(data); }}"),
    )
    load(server, function("calm", "() => 'calm'"), name="calm")
    run_all(server, ["SET key:1 v", "SET key:bad v", "SET key:2 v"])
    wait_fired(server, "set key:1", "set key:2")
    assert wait_idle(server)["num_failed"] == 1
    assert re.search(r"out of memory|(?i:array buffer allocation failed)", shown(server)["last_error"])
    assert server.call("calm", library="calm") == "calm"


def test_an_ended_run_ends_what_waits_for_a_promise_and_what_waits_in_the_queue_comes(server):
    load(server, trigger(callback="gated"), function("loop", "() => { for (;;); }"))
    server.set_timeout(100)
    set_many(server, 10)
    pipelined(server, "RG.FCALL lib loop 0")
    open_gate(server)
    found = wait_idle(server)
    assert found["num_triggered"] == 10
    server.run("SET", "key:later", "v")
    server.wait(lambda: fired(server)[-1:] == ["set key:later"], lambda: fired(server))


def test_a_value_that_does_not_fit_into_the_librarys_memory_fails(start_server):
    server = start_server(module_args="library-maxmemory 16mb")
    load(server, trigger(callback=FIRED["sync"], options={"read_value": True}))
    server.run("SET", "key:large", "x" * (30 << 20))
    server.run("SET", "key:small", "v")
    assert fired(server) == ["set key:small"]
    found = wait_idle(server)
    assert (found["num_success"], found["num_failed"]) == (1, 1)
    assert "memory" in shown(server)["last_error"]
