"""What is counted of callbacks, and which calls are kept as slow: RG.FUNCTION INFO, RG.TRIGGER INFO, RG.SLOWLOG, LATENCY."""

import time

import pytest
from redis import ResponseError

from testing.libraries import consumer, function
from testing.policies import info as info_of_consumer
from testing.replies import fields
from testing.triggers import trigger

# At least so long: the clock shows whole milliseconds.
SPIN = "const spin = ms => { for (const end = Date.now() + ms + 1; Date.now() < end;); };"
HELD = "let go; const gate = new Promise(resolve => (go = resolve));"
FIGURES = ["calls", "errors", "running", "duration_ms_p50", "duration_ms_p99", "duration_ms_max", "locked_ms", "bytes"]


@pytest.fixture
def slow(server):
    """Sets a threshold, and reads what is slow from then on."""
    server.run("RG.SLOWLOG", "RESET")
    server.run("RG.CONFIG", "SET", "slowlog-threshold", "20")
    yield lambda: [fields(one) for one in server.run("RG.SLOWLOG", "GET", -1)]
    server.run("RG.CONFIG", "SET", "slowlog-threshold", "100")
    server.run("RG.CONFIG", "SET", "slowlog-max-len", "128")


def of_function(server, name="f"):
    return fields(server.run("RG.FUNCTION", "INFO", "lib", name))


def of_trigger(server):
    return fields(server.run("RG.TRIGGER", "INFO", "lib", "trigger"))


def refused(run, *words):
    with pytest.raises(ResponseError) as caught:
        run(*words)
    return str(caught.value)


# --- figures


def test_a_function_shows_its_calls_errors_times_and_bytes(server):
    server.load(SPIN, function("f", "(client, what) => { spin(Number(what)); if (what === '0') throw new Error('no'); }"))
    for what in ("30", "30"):
        server.run("RG.FCALL", "lib", "f", 0, what)
    assert refused(server.run, "RG.FCALL", "lib", "f", 0, "0") == "Error: no"
    found = of_function(server)
    assert list(found) == ["name", "library", "mode", "flags", "run_as", "timeout", "state", *FIGURES]
    assert (found["name"], found["library"], found["mode"], found["state"]) == ("f", "lib", "sync", "running")
    assert (found["calls"], found["errors"], found["running"], found["bytes"]) == (3, 1, 0, 5)
    assert float(found["duration_ms_p50"]) >= 30
    assert float(found["duration_ms_max"]) >= float(found["duration_ms_p99"]) >= float(found["duration_ms_p50"])
    # All of a sync function has the server's lock.
    assert float(found["locked_ms"]) >= 60


def test_a_function_that_waits_runs_until_its_promise_is_settled(server):
    server.load(HELD, function("f", "() => gate"), function("open", "() => go('done')"))
    waiting = server.send("RG.FCALL", "lib", "f", 0)
    server.wait(lambda: of_function(server)["running"] == 1, "it does not run")
    time.sleep(0.03)
    server.run("RG.FCALL", "lib", "open", 0)
    assert waiting.reply() == "done"
    found = of_function(server)
    assert (found["calls"], found["errors"], found["running"]) == (1, 0, 0)
    assert float(found["duration_ms_max"]) >= 30 > float(found["locked_ms"])


def test_an_async_function_has_the_lock_only_in_its_blocks(server):
    server.load(SPIN, function("f", "async client => { spin(60); client.block(() => spin(15)); }"))
    server.run("RG.FCALL", "lib", "f", 0)
    found = of_function(server)
    assert float(found["duration_ms_max"]) >= 75
    assert 15 <= float(found["locked_ms"]) < 60


def test_what_a_background_part_locks_counts_for_the_function_that_began_it(server):
    part = "client.run_on_background(async later => { later.block(() => spin(15)); })"
    server.load(SPIN, function("f", f"client => {part}"))
    server.run("RG.FCALL", "lib", "f", 0)
    server.wait(lambda: float(of_function(server)["locked_ms"]) >= 15, "nothing was counted")


def test_figures_go_on_over_an_upgrade(server):
    server.load(function("f"), function("g"))
    server.run("RG.FCALL", "lib", "f", 0, "abc")
    server.upgrade(function("g"), function("f", "() => 1"))
    server.run("RG.FCALL", "lib", "f", 0, "d")
    assert (of_function(server)["calls"], of_function(server)["bytes"]) == (2, 4)
    assert of_function(server, "g")["calls"] == 0


def test_a_consumer_shows_the_figures_of_its_callback(server):
    server.load(consumer(callback="(client, data) => { if (value(data) === '2') throw new Error('no'); }"))
    server.add("stream", 1, 2, 3)
    server.wait(lambda: info_of_consumer(server)["processed"] == 3, "not processed")
    found = info_of_consumer(server)
    assert (found["calls"], found["errors"], found["running"]) == (3, 1, 0)
    assert found["bytes"] > 0 and float(found["locked_ms"]) > 0


def test_a_trigger_shows_its_events_and_the_figures_of_its_callback(server):
    server.load(trigger(callback="(client, data) => { if (data.key === 'key:2') throw new Error('no'); }"))
    server.run("MSET", "key:1", "a", "key:2", "b")
    found = of_trigger(server)
    assert (found["name"], found["library"], found["prefix"], found["mode"]) == ("trigger", "lib", "key", "sync")
    assert (found["triggered"], found["finished"], found["dropped"], found["waiting"]) == (2, 2, 0, 0)
    assert (found["calls"], found["errors"], found["bytes"], found["last_error"]) == (2, 1, 10, "Error: no")


def test_figures_of_registrations_are_reset_with_their_other_counters(server):
    server.load(function("f"), consumer(), trigger())
    server.run("RG.FCALL", "lib", "f", 0)
    server.run("SET", "key", "a")
    server.add("stream", 1)
    server.wait(lambda: info_of_consumer(server)["calls"] == 1, "not processed")
    server.run("RG.CLEARREGISTRATIONSSTATS")
    for found in (info_of_consumer(server), of_trigger(server)):
        assert [float(found[name]) for name in FIGURES] == [0] * len(FIGURES)
    assert of_function(server)["calls"] == 1


def test_info_has_a_line_for_each_function_and_trigger(server):
    server.load(function("f"), trigger())
    server.run("RG.FCALL", "lib", "f", 0, "abc")
    server.run("SET", "key", "a")
    found = server.run("INFO", "redisgears_2")
    of = found["redisgears_2_function_lib_f"]
    assert (of["calls"], of["errors"], of["bytes"]) == (1, 0, 3) and float(of["duration_ms_max"]) > 0
    of = found["redisgears_2_trigger_lib_trigger"]
    assert (of["triggered"], of["calls"], of["bytes"]) == (1, 1, 3)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["RG.FUNCTION", "INFO", "nosuch", "f"], "ERR no such library 'nosuch'"),
        (["RG.FUNCTION", "INFO", "lib", "nosuch"], "ERR library 'lib' has no function 'nosuch'"),
        (["RG.FUNCTION", "INFO", "lib", b"\xff"], "ERR library 'lib' has no function '\ufffd'"),
        (["RG.FUNCTION", "INFO", "lib"], "ERR wrong number of arguments for 'rg.function|info' command"),
        (["RG.TRIGGER", "INFO", "lib", "f"], "ERR library 'lib' has no trigger 'f'"),
        (["RG.TRIGGER", "INFO", b"\xff", "f"], "ERR no such library '\ufffd'"),
        (["RG.TRIGGER", "INFO", "lib", "f", "g"], "ERR wrong number of arguments for 'rg.trigger|info' command"),
        (["RG.SLOWLOG", "GET", "-2"], "ERR count should be greater than or equal to -1"),
        (["RG.SLOWLOG", "GET", "x"], "ERR count should be greater than or equal to -1"),
        (["RG.SLOWLOG", "GET", "1", "2"], "ERR wrong number of arguments for 'rg.slowlog|get' command"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(server, words, error):
    server.load(function("f"))
    found = refused(server.run, *words)
    assert found in (error, error.removeprefix("ERR "))


# --- slow calls


def test_slow_calls_are_kept_with_what_they_were_about_the_newest_first(server, slow):
    server.load(
        SPIN,
        function("f", "() => spin(25)"),
        function("quick", "() => 1"),
        consumer(callback="() => spin(25)"),
        trigger(callback="async () => spin(25)"),
    )
    server.run("RG.FCALL", "lib", "f", 0)
    server.run("RG.FCALL", "lib", "quick", 0)
    [entry] = server.add("stream", 1)
    server.wait(lambda: len(slow()) == 2, "the consumer was not slow")
    server.run("SET", "key", "a")
    server.wait(lambda: len(slow()) == 3, "the trigger was not slow")
    found = slow()
    assert list(found[0]) == ["id", "time", "duration_ms", "library", "kind", "callback", "key", "entry_id", "stack"]
    about = [[one[name] for name in ("library", "kind", "callback", "key", "entry_id", "stack")] for one in found]
    assert about == [
        ["lib", "trigger", "trigger", "key", None, None],
        ["lib", "consumer", "consumer", "stream", entry, None],
        ["lib", "function", "f", None, None, None],
    ]
    assert all(float(one["duration_ms"]) >= 25 and abs(one["time"] / 1000 - time.time()) < 60 for one in found)
    ids = [one["id"] for one in found]
    assert ids == [ids[2] + 2, ids[2] + 1, ids[2]]
    assert server.run("RG.SLOWLOG", "LEN") == 3
    assert [fields(one)["callback"] for one in server.run("RG.SLOWLOG", "GET", 1)] == ["trigger"]


def test_a_load_is_slow_like_a_call(server, slow):
    server.load(SPIN, "spin(25);", function("f"))
    [found] = slow()
    assert (found["library"], found["kind"], found["callback"]) == ("lib", "load", None)


def test_a_promise_that_waits_long_is_slow_with_its_entry(server, slow):
    server.load(HELD, consumer(callback="() => gate"), function("open", "() => go()"))
    [entry] = server.add("stream", 1)
    time.sleep(0.03)
    server.run("RG.FCALL", "lib", "open", 0)
    server.wait(lambda: len(slow()) == 1, "it was not slow")
    assert (slow()[0]["key"], slow()[0]["entry_id"]) == ("stream", entry)


def test_an_error_of_a_slow_call_says_where_it_was_thrown(server, slow):
    server.load(SPIN, function("f", "function thrower() { spin(25); throw new Error('no'); }"))
    refused(server.run, "RG.FCALL", "lib", "f", 0)
    assert "thrower (lib:" in slow()[0]["stack"]


def test_code_that_was_ended_says_where_it_was(server, slow):
    inner = "function inner() { for (;;); }"
    server.load(inner, function("f", "function outer() { inner(); }"), function("quick", "() => 1"))
    refused(server.run, "RG.FCALL", "lib", "f", 0)
    frames = [line.strip().split(" (")[0] for line in slow()[0]["stack"].splitlines()]
    assert frames[:2] == ["at inner", "at outer"]
    assert "terminated" not in str(server.run("RG.FCALL", "lib", "quick", 0))


def test_no_more_are_kept_than_the_setting_says_and_none_where_it_is_off(server, slow):
    server.load(function("f"))
    server.run("RG.CONFIG", "SET", "slowlog-threshold", "0")
    server.run("RG.CONFIG", "SET", "slowlog-max-len", "2")
    for _ in range(3):
        server.run("RG.FCALL", "lib", "f", 0)
    assert server.run("RG.SLOWLOG", "LEN") == len(slow()) == 2
    server.run("RG.CONFIG", "SET", "slowlog-threshold", "-1")
    assert server.run("RG.SLOWLOG", "RESET") == "OK"
    server.run("RG.FCALL", "lib", "f", 0)
    assert slow() == []


def test_the_log_says_which_callback_is_slow_and_counts_what_comes_again(server, slow):
    server.load(SPIN, function("f", "() => spin(25)"))
    for _ in range(3):
        server.run("RG.FCALL", "lib", "f", 0)
    said = "slow: function 'lib/f' took 20 ms or longer, see RG.SLOWLOG"
    server.wait(lambda: server.times_logged(said) == 3, server.log_text)
    server.run("RG.CONFIG", "SET", "slowlog-threshold", "-1")
    server.run("RG.FCALL", "lib", "f", 0)
    # A load has written what was held back.
    server.load(function("f"), name="other")
    assert server.times_logged(said) == 3


def test_the_log_names_callback_key_and_entry_of_what_was_ended(server):
    server.load(consumer(callback="function spinner() { for (;;); }"))
    [entry] = server.add("stream", 1)
    said = "consumer 'lib/consumer' was ended after "
    server.wait(lambda: any(said in line for line in server.messages()), "the log does not say it")
    [line] = [line for line in server.messages() if said in line]
    assert f", key 'stream', ID {entry}, at spinner (lib:" in line


def test_the_latency_monitor_knows_callbacks_that_held_the_server_up(server):
    server.load(SPIN, function("f", "() => spin(25)"), function("short", "() => spin(5)"))
    server.run("LATENCY", "RESET")
    server.run("RG.FCALL", "lib", "f", 0)
    assert server.run("LATENCY", "HISTORY", "redisgears-callback") == []
    server.run("CONFIG", "SET", "latency-monitor-threshold", "15")
    try:
        server.run("RG.FCALL", "lib", "short", 0)
        server.run("PING")
        assert server.run("LATENCY", "HISTORY", "redisgears-callback") == []
        server.run("RG.FCALL", "lib", "f", 0)
        server.wait(lambda: server.run("LATENCY", "HISTORY", "redisgears-callback"), "nothing was sampled")
        [[_, ms]] = server.run("LATENCY", "HISTORY", "redisgears-callback")
        assert ms >= 25
    finally:
        server.run("CONFIG", "SET", "latency-monitor-threshold", "0")
