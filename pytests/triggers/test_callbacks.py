"""What triggers may do beside looking at an event, what fires none, and what is counted."""

import json

import pytest
from redis import ResponseError

from testing.libraries import consumer, function
from testing.triggers import (
    FIRED,
    KEEP,
    each_kind,
    fired,
    load,
    pipelined,
    release,
    run_all,
    seen_data,
    set_expired,
    shown,
    trigger,
    upgrade,
    wait_fired,
    wait_idle,
    wait_shown,
    without_active_expiry,
)
from testing.waits import DEADLINE

# --- promises -------------------------------------------------------------------------------------------------------


def test_a_plain_trigger_that_returns_a_promise_has_ended_when_it_settles(server):
    load(server, trigger(callback="(client, data) => new Promise(done => held.set(data.key, done))"))
    run_all(server, ["SET key:1 v", "SET key:2 v", "SET key:3 v"])
    assert (shown(server)["num_triggered"], shown(server)["num_finished"]) == (3, 0)
    release(server, "key:2")
    wait_shown(server, num_finished=1)
    release(server, "key:1", "key:3")
    assert wait_idle(server)["num_success"] == 3


def test_a_promise_that_is_rejected_is_a_failure(server):
    callback = """(client, data) => new Promise((done, no) => held.set(data.key, () => no(new Error('went wrong'))))"""
    load(server, trigger(callback=callback))
    server.run("SET", "key", "v")
    assert shown(server)["num_failed"] == 0
    release(server, "key")
    wait_shown(server, num_failed=1, num_success=0, num_finished=1, last_error="Error: went wrong")


def test_a_trigger_hands_work_over_to_the_background(server):
    callback = "(client, data) => client.run_on_background(async worker => worker.block(c => c.call('INCR', 'count')))"
    load(server, trigger(callback=callback))
    run_all(server, ["SET key v"] * 5)
    assert wait_idle(server)["num_success"] == 5
    assert server.run("GET", "count") == "5"


# --- on_trigger_fired -----------------------------------------------------------------------------------------------


def at_event(body, **more):
    """Options with this function for the event itself."""
    rest = "".join(f", {name}: {json.dumps(value)}" for name, value in more.items())
    return f"{{ on_trigger_fired: (client, data) => {{ {body} }}{rest} }}"


@pytest.mark.parametrize("how", ["one by one", "pipeline", "MULTI", "Lua"])
@each_kind
def test_what_is_looked_up_at_the_event_is_there_later(server, how, kind):
    load(server, trigger(callback=KEEP[kind], options=at_event("data.found = client.call('GET', 'key');")))
    commands = ["SET key 1", "SET key 2", "SET key 3"]
    if how == "one by one":
        run_all(server, commands)
    elif how == "Lua":
        server.run("EVAL", "for i = 1, 3 do redis.call('SET', KEYS[1], i) end", 1, "key")
    else:
        pipelined(server, *commands, transaction=how == "MULTI")
    server.wait(lambda: len(seen_data(server)) >= 3, lambda: seen_data(server))
    assert seen_data(server) == [{"event": "set", "key": "key", "found": str(number)} for number in (1, 2, 3)]


def test_it_gets_the_same_data_the_value_included(server):
    load(
        server,
        trigger(
            callback=KEEP["sync"],
            options=at_event("data.copy = data.value; data.bytes = hex(data.key_raw);", read_value=True),
        ),
    )
    server.run("SET", "key", "v")
    assert seen_data(server) == [
        {"event": "set", "key": "key", "type": "string", "value": "v", "copy": "v", "bytes": "6b6579"}
    ]


def test_it_runs_before_anything_else_goes_on(server):
    """Of a script it finds what stands before the event, and not what stands behind it."""
    load(
        server,
        trigger(callback=KEEP["sync"], options=at_event("data.old = client.call('LRANGE', 'old', 0, -1).length;")),
    )
    server.run("RPUSH", "old", "a")
    server.run("EVAL", "redis.call('SET', 'key', 1); redis.call('DEL', 'old')", 0)
    assert seen_data(server) == [{"event": "set", "key": "key", "old": 1}]


def test_a_command_that_writes_is_refused_there(server):
    load(server, trigger(options=at_event("client.call('SET', 'other', 'v');")))
    server.run("SET", "key", "v")
    assert server.run("EXISTS", "other") == 0
    assert fired(server) == []
    found = shown(server)
    assert "Write command 'set' was called while write is not allowed" in found["last_error"]
    assert (found["num_triggered"], found["num_failed"], found["num_success"]) == (1, 1, 0)


def test_it_can_catch_that_and_the_trigger_runs(server):
    body = "try { client.call('SET', 'other', 'v'); } catch (error) { data.error = error.message; }"
    load(server, trigger(callback=KEEP["sync"], options=at_event(body)))
    server.run("SET", "key", "v")
    assert "write is not allowed" in seen_data(server)[0]["error"]
    assert shown(server)["num_success"] == 1


@each_kind
def test_where_it_throws_the_trigger_does_not_run(server, kind):
    body = "if (data.key === 'key:bad') throw new Error('not this one');"
    load(server, trigger(callback=FIRED[kind], options=at_event(body)))
    run_all(server, ["SET key:1 v", "SET key:bad v", "SET key:2 v"])
    wait_fired(server, "set key:1", "set key:2")
    found = wait_idle(server)
    assert (found["num_triggered"], found["num_failed"], found["num_success"]) == (3, 1, 2)
    assert shown(server)["last_error"] == "Error: not this one"


@each_kind
def test_where_it_does_not_end_it_is_ended_and_the_command_goes_on(server, kind):
    load(server, trigger(callback=FIRED[kind], options=at_event("if (data.key === 'key:bad') for (;;);")))
    server.set_timeout(200)
    run_all(server, ["SET key:bad v", "SET key:good v"])
    assert server.run("GET", "key:bad") == "v"
    wait_fired(server, "set key:good")
    found = wait_idle(server)
    assert (found["num_failed"], found["num_success"]) == (1, 1)
    assert shown(server)["last_error"] == "Err Execution was terminated due to OOM or timeout (timeout)"


@pytest.mark.parametrize("library", ["lib", "other"])
@pytest.mark.parametrize("reader", ["function", "block"])
def test_it_cannot_run_in_the_middle_of_other_code_and_that_is_a_failure(server, reader, library):
    """Of what libraries do, only keys that expire and are evicted can come there."""
    readers = [
        function("function", "client => client.call('GET', 'key')"),
        function("block", "async client => client.block(c => c.call('GET', 'key'))"),
    ]
    watching = trigger(options=at_event("data.more = 1;", event_types=["expired"]))
    load(server, *readers, *([watching] if library == "lib" else []))
    if library != "lib":
        load(server, watching, name=library)
    with without_active_expiry(server):
        set_expired(server, "key")
        assert server.call(reader) is None
        wait_shown(server, library=library, num_triggered=1, num_failed=1)
        assert "on_trigger_fired cannot run" in shown(server, library=library)["last_error"]
        set_expired(server, "key")
        server.run("GET", "key")
        wait_fired(server, "expired key")


IN_EXPIRY = "no command can be run while a key expires"


def test_where_a_key_expires_it_runs_no_commands_and_is_told_so(server):
    caught = "try { client.call('EXISTS', 'other'); } catch (e) { data.error = String(e); }"
    callback = "(client, data) => redis.log(`told ${data.error}`)"
    load(server, trigger(callback=callback, options=at_event(caught, event_types=["expired"])))
    with without_active_expiry(server):
        set_expired(server, "key")
        server.run("GET", "key")
    server.wait_message("told ")
    assert IN_EXPIRY in server.messages("told ")[0]


def test_many_keys_may_expire_while_it_looks_for_others(start_server, monkeypatch):
    """A command there would take away what the server goes on with."""
    for name in ("MALLOC_CONF", "JE_MALLOC_CONF"):
        monkeypatch.setenv(name, "junk:true")
    server = start_server(configuration="hz 100\n")
    look = "for (let i = 0; i < 200; i++) try { client.call('EXISTS', 'key:' + i); } catch { data.refused = true; }"
    load(server, trigger(options=at_event(look, event_types=["expired"])))
    for _ in range(20):
        pipe = server.client.pipeline(transaction=True)
        for number in range(200):
            pipe.execute_command("SET", f"key:{number}", "v", "PX", 5)
        pipe.execute()
        server.wait(lambda: server.run("DBSIZE") == 0, "keys are left")
    server.assert_alive()


@pytest.mark.parametrize("evicts", ["allkeys-random", "allkeys-lru", "volatile-ttl"])
def test_where_a_key_is_evicted_it_runs_no_commands_either(server, evicts):
    look = "let seen = 0; for (let i = 0; i < 50; i++) try { client.call('EXISTS', 'key:' + i); seen++; } catch (e) { data.error = String(e); }"
    callback = "(client, data) => { redis.log(`told ${data.error} ${data.seen}`); }"
    load(server, trigger(callback=callback, options=at_event(f"{look} data.seen = seen;", event_types=["evicted"])))
    with without_active_expiry(server):
        # Some of them expire while others are evicted.
        pipelined(server, *(f"SET key:{number} v PX {(1, 100000)[number % 2]}" for number in range(50)))
        with server.setting("maxmemory-policy", evicts), server.setting("maxmemory", 1):
            server.wait(lambda: server.run("DBSIZE") == 0, "keys are left")
            server.wait_message("told ")
    assert set(server.messages("told ")) == {f"ERR {IN_EXPIRY} or is evicted: run it in the callback 0"}
    server.assert_alive()


@pytest.mark.parametrize("kind", ["field", "hash"])
def test_where_fields_of_a_hash_expire_it_runs_no_commands_either(server, kind):
    caught = "try { client.call('EXISTS', 'other'); } catch (e) { redis.log(`told ${data.event} ${e}`); }"
    load(server, trigger(options=at_event(caught, event_types=["hexpired", "del"])))
    server.run("HSET", "key", "f", "v", *(["more", "v"] if kind == "field" else []))
    try:
        server.run("HPEXPIRE", "key", 5, "FIELDS", 1, "f")
    except ResponseError as error:
        assert "unknown command" in str(error)
        pytest.skip("this server has no fields that expire")
    server.wait_message("told ", 1 if kind == "field" else 2)
    assert all(IN_EXPIRY in told for told in server.messages("told "))


def test_its_own_looking_fires_nothing(server):
    load(server, trigger(prefix="", options=at_event("client.call('GET', 'nothing');")))
    server.run("SET", "key", "v")
    assert fired(server) == ["set key"]


def test_its_client_is_of_no_use_later(server):
    load(server, "let kept;", trigger(callback="() => kept.call('GET', 'key')", options=at_event("kept = client;")))
    server.run("SET", "key", "v")
    assert "Used on invalid client" in shown(server)["last_error"]


# --- on_registered --------------------------------------------------------------------------------------------------

REGISTERED = {
    "sync": "client => { client.call('INCR', 'registered'); }",
    "async": "async client => { client.block(c => c.call('INCR', 'registered')); }",
}


def with_registered(what, code):
    """A trigger, or a stream consumer, with this function."""
    make = trigger if what == "trigger" else consumer
    return make(options=f"{{ on_registered: {code} }}")


def wait_registered(server, count):
    """Waits until it was called so often; a moment later it still must be."""
    server.wait(lambda: server.run("GET", "registered") == str(count), lambda: server.run("GET", "registered"))
    load(server, trigger(), name="marker")
    server.run("RG.FUNCTION", "DEL", "marker")
    assert server.run("GET", "registered") == str(count)


@each_kind
@pytest.mark.parametrize("what", ["trigger", "consumer"])
def test_on_registered_is_called_once_for_each_load_and_upgrade(server, what, kind):
    load(server, with_registered(what, REGISTERED[kind]))
    wait_registered(server, 1)
    upgrade(server, with_registered(what, REGISTERED[kind]))
    wait_registered(server, 2)
    server.run("SET", "key", "v")
    server.add("stream", 1)
    wait_registered(server, 2)


@pytest.mark.parametrize("what", ["trigger", "consumer"])
def test_on_registered_is_not_called_where_the_load_fails(server, what):
    with pytest.raises(ResponseError, match="by intent"):
        load(server, with_registered(what, REGISTERED["sync"]), "throw new Error('by intent');")
    load(server, trigger())
    assert server.run("EXISTS", "registered") == 0


@each_kind
@pytest.mark.parametrize("what", ["trigger", "consumer"])
def test_what_on_registered_throws_is_in_the_log_alone(server, what, kind):
    start = "async " if kind == "async" else ""
    load(server, with_registered(what, f"{start}() => {{ throw new Error('by intent'); }}"))
    server.wait(lambda: "by intent" in server.log_text(), "the log says nothing")
    server.run("SET", "key", "v")
    server.add("stream", 1)
    if what == "trigger":
        assert fired(server) == ["set key"]
        assert (shown(server)["last_error"], shown(server)["num_failed"]) == ("None", 0)
    else:
        assert server.seen() == ["stream 1"]


def test_an_on_registered_without_end_is_ended(server):
    server.set_timeout(200)
    load(server, with_registered("trigger", "() => { for (;;); }"))
    server.wait(lambda: "timeout" in server.log_text(), "the log says nothing")
    server.run("SET", "key", "v")
    assert fired(server) == ["set key"]


def test_what_on_registered_writes_fires_no_triggers(server):
    code = "client => { client.call('SET', 'key', 'v'); redis.log('registered'); }"
    load(server, trigger("other"), with_registered("trigger", code))
    server.wait_message("registered")
    server.run("SET", "key:2", "v")
    assert fired(server) == ["set key:2"] * 2


# --- what libraries write -------------------------------------------------------------------------------------------


@each_kind
def test_what_a_trigger_writes_fires_no_triggers_but_stream_consumers(server, kind):
    body = "c.call('SET', 'key:again', 'v'); c.call('XADD', 'stream', '*', 'n', data.key); c.call('DEL', 'key:again');"
    callback = (
        f"(c, data) => {{ {body} }}" if kind == "sync" else f"async (client, data) => client.block(c => {{ {body} }})"
    )
    load(
        server, trigger(callback=callback), trigger("other", "", "(client, data) => fired(data, ' other')"), consumer()
    )
    run_all(server, ["SET key:1 v", "SET key:2 v"])
    server.wait_seen("stream key:1", "stream key:2")
    assert wait_idle(server)["num_triggered"] == 2
    assert fired(server) == ["other set key:1", "other set key:2"]


@each_kind
def test_a_trigger_that_changes_its_own_key_does_not_fire_again(server, kind):
    """The first one of the documentation: nothing stays in Redis."""
    callback = "(client, data) => client.call('DEL', data.key)"
    if kind == "async":
        callback = "async (client, data) => client.block(c => c.call('DEL', data.key))"
    load(server, trigger(callback=callback))
    run_all(server, ["SET key v", "HSET key:h f v", "RPUSH key:l a"])
    server.wait(lambda: server.run("DBSIZE") == 0, "the keys stay")
    assert wait_idle(server) == {
        "num_triggered": 3,
        "num_finished": 3,
        "num_success": 3,
        "num_failed": 0,
        "num_dropped": 0,
        "num_waiting": 0,
    }


WRITERS = {
    "function": function("write", "client => client.call('SET', 'key', 'v')"),
    "block": function("write", "async client => client.block(c => c.call('SET', 'key', 'v'))"),
    "background": function(
        "write", "client => client.run_on_background(async worker => worker.block(c => c.call('SET', 'key', 'v')))"
    ),
    "promise": function(
        "write", "client => { client.call('SET', 'key', 'v'); return Promise.resolve(1).then(() => {}); }"
    ),
    "function that throws": function(
        "write", "client => { client.call('SET', 'key', 'v'); throw new Error('after it'); }"
    ),
    "function that misses": function(
        "write", "client => { client.call('GET', 'key:none'); client.call('SET', 'key', 'v'); }"
    ),
    "function that does not end": function("write", "client => { client.call('SET', 'key', 'v'); for (;;); }"),
}


@pytest.mark.parametrize("writer", WRITERS)
@each_kind
def test_what_functions_write_fires_no_triggers(server, writer, kind):
    load(server, trigger(callback=FIRED[kind]), name="other")
    load(server, trigger(callback=FIRED[kind]), WRITERS[writer])
    server.set_timeout(200)
    pipelined(server, "RG.FCALL lib write 0")
    server.wait(lambda: server.run("GET", "key") == "v", "nothing is written")
    server.run("SET", "key:mine", "v")
    wait_fired(server, *["set key:mine"] * 2)


def test_a_function_within_a_transaction_is_the_exception_among_the_commands(server):
    load(server, trigger(), WRITERS["function"])
    pipelined(server, "SET key:1 v", "RG.FCALL lib write 0", "SET key:2 v", transaction=True)
    assert fired(server) == ["set key:1", "set key:2"]


@each_kind
def test_what_stream_consumers_write_fires_no_triggers(server, kind):
    callback = "client => { client.call('SET', 'key', 'v'); }"
    if kind == "async":
        callback = "async client => { client.block(c => c.call('SET', 'key', 'v')); }"
    load(server, trigger(prefix=""), consumer(trim=True, callback=callback))
    server.add("stream", 1)
    server.wait(lambda: server.run("XLEN", "stream") == 0, "it is not processed")
    server.run("SET", "end", "v")
    assert fired(server) == ["xadd stream", "set end"]


def test_an_entry_that_a_client_adds_fires_triggers_and_consumers(server):
    load(server, trigger(prefix="stream", callback=KEEP["sync"], options={"read_value": True}), consumer())
    server.add("stream", 1)
    assert server.seen() == ["stream 1"]
    assert seen_data(server) == [{"event": "xadd", "key": "stream", "type": "stream", "value": None}]


def test_what_a_nested_script_of_a_function_writes_fires_no_triggers(start_server):
    server = start_server(module_args="enable-debug-command yes")
    server.run("RG.FUNCTION", "DEBUG", "allow_unsafe_redis_commands")
    server.client.function_load(
        "#!lua name=inner\nredis.register_function('inner', function(keys) redis.call('SET', keys[1], 'v') end)"
    )
    script = "redis.call(\\'SET\\', KEYS[1], \\'v\\')"
    load(
        server,
        trigger(prefix="", callback=FIRED["sync"]),
        function("lua", f"client => client.call('EVAL', '{script}', 1, 'key')"),
        function("fcall", "client => client.call('FCALL', 'inner', 1, 'key')"),
    )
    for name in ("lua", "fcall"):
        server.call(name)
        assert server.run("GETDEL", "key") == "v"
    server.run("EVAL", "redis.call('SET', KEYS[1], 'v')", 1, "end")
    assert fired(server) == ["del key", "del key", "set end"]


# --- statistics -----------------------------------------------------------------------------------------------------


@each_kind
def test_events_are_counted(server, kind):
    body = "if (data.key === 'key:bad') throw new Error('went wrong');"
    load(server, trigger(callback=f"{'async ' if kind == 'async' else ''}(client, data) => {{ {body} }}"))
    run_all(server, ["SET key v", "SET key:bad v", "SET elsewhere v", "DEL key key:bad"])
    assert wait_idle(server) == {
        "num_triggered": 4,
        "num_finished": 4,
        "num_success": 2,
        "num_failed": 2,
        "num_dropped": 0,
        "num_waiting": 0,
    }
    assert shown(server)["last_error"] == "Error: went wrong"


@each_kind
def test_times_are_from_the_event_to_the_end(server, kind):
    load(server, trigger(callback=f"{'async ' if kind == 'async' else ''}() => spend(20)"))
    run_all(server, ["SET key v"] * 3)
    wait_idle(server)
    found = shown(server)
    # The two clocks need not agree to the millisecond.
    assert 18 <= found["last_exection_time"] <= found["total_exection_time"]
    assert 54 <= found["total_exection_time"] < 1000 * DEADLINE
    assert float(found["avg_exection_time"]) == pytest.approx(found["total_exection_time"] / 3, rel=0.01)
