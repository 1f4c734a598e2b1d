"""The option timeout of triggers: what becomes of events whose promise is not settled in time."""

import pytest

from testing.triggers import load, release, run_all, shown, trigger, wait_fired, wait_idle, wait_shown

ERROR = "ERR the callback has not settled within 200 ms"
NEVER = {
    "promise": "(client, data) => data.key === 'key:bad' ? new Promise(() => {}) : fired(data)",
    "async": "async (client, data) => { if (data.key === 'key:bad') await new Promise(() => {}); fired(data); }",
}
each_never = pytest.mark.parametrize("kind", NEVER)


@each_never
def test_an_event_whose_promise_is_not_settled_in_time_has_failed(server, kind):
    load(server, trigger(callback=NEVER[kind], options={"timeout": 200}))
    run_all(server, ["SET key:bad v", "SET key:good v"])
    wait_fired(server, "set key:good")
    wait_shown(server, num_failed=1, num_success=1, num_finished=2, last_error=ERROR)


@each_never
def test_its_place_in_the_queue_is_free_again(server, kind):
    with server.setting("redisgears_2.trigger-queue-length", 1):
        load(server, trigger(callback=NEVER[kind], options={"timeout": 200}))
        server.run("SET", "key:bad", "v")
        wait_shown(server, num_failed=1)
        server.run("SET", "key:good", "v")
        wait_fired(server, "set key:good")
        wait_shown(server, num_dropped=0, num_finished=2)


def test_what_is_settled_late_counts_for_nothing(server):
    load(server, trigger(callback="holding_key", options={"timeout": 200}))
    server.run("SET", "key", "v")
    wait_shown(server, num_failed=1, num_finished=1)
    release(server, "key")
    server.wait_message("end key")
    found = shown(server)
    assert (found["num_finished"], found["num_failed"], found["num_success"]) == (1, 1, 0)


def test_an_event_that_is_settled_in_time_has_not_failed(server):
    load(server, trigger(callback="holding_key", options={"timeout": 60_000}))
    server.run("SET", "key", "v")
    server.wait_message("start key")
    release(server, "key")
    assert wait_idle(server)["num_success"] == 1
