"""The option timeout: what becomes of entries whose callback gives a promise that is not settled in time."""

import pytest

from testing.libraries import consumer
from testing.policies import (
    info,
    load_attempting,
    policy,
    tries,
    wait_dead_letters,
    wait_info,
    wait_tries,
)

NEVER = {
    "promise": "(client, data) => value(data) === 'bad' ? new Promise(() => {}) : saw(data)",
    "async": "async (client, data) => { if (value(data) === 'bad') await new Promise(() => {}); saw(data); }",
}
each_never = pytest.mark.parametrize("kind", NEVER)
# The first attempt with each entry hangs.
FIRST_HANGS = """
const begun = new Set();
const once_hanging = async (client, data) => {
    redis.log(`try ${text_of(data)}`);
    if (!begun.has(value(data))) { begun.add(value(data)); await new Promise(() => {}); }
    saw(data);
};
"""


def error(ms):
    return f"ERR the callback has not settled within {ms} ms"


def started(server):
    """What ``holding`` began with."""
    return [text.split()[0] for text in server.messages("start ")]


@each_never
def test_an_entry_whose_promise_is_not_settled_in_time_has_failed_and_the_next_follows(server, kind):
    server.load(*policy(consumer(callback=NEVER[kind], options={"timeout": 200})))
    server.add("stream", "bad", "good")
    server.wait_seen("stream good")
    wait_info(server, "stream", pending=[])
    assert server.last_error("stream") == error(200)
    assert info(server)["errors"] == 1


@each_never
def test_every_place_of_a_window_is_free_again(server, kind):
    server.load(*policy(consumer(window=3, callback=NEVER[kind], options={"timeout": 200})))
    server.add("stream", *["bad"] * 7, "good")
    server.wait_seen("stream good")
    wait_info(server, calls=8, errors=7, running=0)


def test_a_timeout_is_a_failure_that_is_retried(server):
    options = {"timeout": 150, "on_failure": "retry", "retry_interval": 10}
    server.load(*policy(FIRST_HANGS, consumer(callback="once_hanging", options=options)))
    server.add("stream", 1, 2)
    server.wait_seen("stream 1", "stream 2")
    assert tries(server) == ["1", "1", "2", "2"]
    wait_info(server, "stream", pending=[], state="running")


@each_never
def test_what_never_settles_is_given_up_and_its_dead_letter_says_why(server, kind):
    options = {"timeout": 100, "on_failure": "retry", "retry_interval": 10, "max_attempts": 2, "dead_letter": "dead"}
    server.load(*policy(consumer(callback=NEVER[kind], options=options)))
    server.add("stream", "good", "bad")
    [letter] = wait_dead_letters(server, "bad")
    assert (letter["error"], letter["attempts"]) == (error(100), "2")


def test_under_abort_a_timeout_stops_the_stream(server):
    server.load(*policy(consumer(callback=NEVER["async"], options={"timeout": 100, "on_failure": "abort"})))
    server.add("stream", "bad", "good")
    wait_info(server, "stream", state="aborted", last_error=error(100))
    assert server.seen() == []


def test_a_batch_that_is_not_settled_in_time_fails_as_a_whole(server):
    options = {"timeout": 100, "batch": 2, "dead_letter": "dead"}
    callback = "(client, batch) => value(batch[0]) === '1' ? new Promise(() => {}) : got(batch)"
    server.load(*policy(consumer(callback=callback, options=options)))
    server.add("stream", 1, 2, 3, 4)
    letters = wait_dead_letters(server, 1, 2)
    assert [letter["error"] for letter in letters] == [error(100)] * 2
    server.wait_for(["stream 3,4"], lambda: server.messages("batch "))


def test_what_is_settled_late_counts_for_nothing_and_frees_no_other_place(server):
    server.load(*policy(consumer(callback="holding", options={"timeout": 2000})))
    server.add("stream", "a", "b", "c")
    server.wait(lambda: started(server) == ["a", "b"], lambda: started(server))
    server.release("a")
    server.wait_message("end a")
    # The place is that of "b".
    assert started(server) == ["a", "b"]
    assert info(server)["errors"] == 1
    server.release("b")
    server.wait(lambda: started(server) == ["a", "b", "c"], lambda: started(server))
    server.release("c")
    wait_info(server, calls=3, errors=1, running=0)
    wait_info(server, "stream", pending=[])


def test_each_call_has_the_time_for_itself(server):
    pause = "await Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20).value;"
    callback = f"async (client, data) => {{ {pause} saw(data); }}"
    server.load(*policy(consumer(callback=callback, options={"timeout": 1000})))
    values = range(80)
    server.add("stream", *values)
    server.wait_seen(*[f"stream {value}" for value in values])
    wait_info(server, calls=80, errors=0, running=0)


def test_a_callback_that_gives_no_promise_is_not_touched(server):
    callback = "(client, data) => { for (const end = Date.now() + 80; Date.now() < end;); saw(data); }"
    server.load(*policy(consumer(callback=callback, options={"timeout": 1})))
    server.add("stream", 1, 2)
    server.wait_seen("stream 1", "stream 2")
    wait_info(server, calls=2, errors=0)


def test_a_failure_before_the_time_is_over_stays_what_it_is(server):
    load_attempting(server, "async", timeout=60_000, on_failure="retry", retry_interval=10, max_attempts=2)
    server.run("SADD", "bad", 1)
    server.add("stream", 1, 2)
    assert wait_tries(server, 3)[:3] == ["1", "1", "2"]
    assert "no 1" in server.last_error("stream")
