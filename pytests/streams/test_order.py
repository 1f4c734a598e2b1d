"""order_by: entries with an equal value of a field one after another, the others side by side."""

import pytest

from testing.libraries import consumer
from testing.policies import AN_HOUR, add_at_once, command, info, make_fail, make_succeed, pass_marker, policy, wait_info
from testing.waits import eventually

TOTAL = 10_000
KEYS = 100

# Notes what runs at once; goes on when the test adds to the stream "tick".
WATCHED = """
const busy = new Set();
const last = new Map();
let waiting = [];
let calls = 0, most = 0, overlaps = 0, disorder = 0, ended = 0, seed = 1;
const chance = () => (seed = seed * 48271 % 2147483647) / 2147483647;
const watched = async (client, data) => {
    const entries = [data].flat().map(({ record }) => ({ n: Number(record[0][1]), key: record[1][1] }));
    const keys = new Set(entries.map(entry => entry.key));
    calls += 1;
    most = Math.max(most, calls);
    for (const key of keys) {
        if (busy.has(key)) overlaps += 1;
        busy.add(key);
    }
    for (const { n, key } of entries) {
        if (n <= (last.get(key) ?? -1)) disorder += 1;
        last.set(key, n);
    }
    await new Promise(resolve => waiting.push(resolve));
    for (const key of keys) busy.delete(key);
    calls -= 1;
    ended += entries.length;
};
redis.register_stream_consumer('tick', 'tick', 1, false, () => {
    const now = waiting.map(go => [chance(), go]).sort((one, other) => one[0] - other[0]);
    waiting = [];
    for (const [, go] of now) go();
});
redis.register_function('report', () => [ended, most, overlaps, disorder].join(' '), ['no-writes']);
"""

# Two of the same key in a row: what follows must overtake them.
FILL = """
for i = 0, ARGV[1] - 1 do
    redis.call('XADD', 'stream', '*', 'n', i, 'key', 'k' .. (math.floor(i / 2) % ARGV[2]))
end
"""


def report(server):
    return [int(number) for number in server.call("report").split()]


def run_to_the_end(server, total):
    """Ticks until all entries are through."""

    def tick():
        server.assert_alive()
        server.add("tick", 1)
        return report(server)[0] >= total

    eventually(tick, lambda: report(server), deadline=120)


def held(window=3, **options):
    return consumer(window=window, callback="holding", options={"order_by": "key"} | options)


def add(server, *pairs):
    """Entries of a value and a key; gives the IDs."""
    pipe = server.client.pipeline(transaction=False)
    for value, key in pairs:
        pipe.execute_command("XADD", "stream", "*", "n", value, *([] if key is None else ["key", key]))
    return pipe.execute()


def started(server):
    return [text.split()[0] for text in server.messages("start ")]


@pytest.mark.parametrize("when", ["backlog", "added later"])
def test_ten_thousand_entries_keep_the_order_of_each_key_while_others_run_beside(server, when):
    code = [WATCHED, consumer(window=32, callback="watched", options={"order_by": "key"})]
    if when == "backlog":
        server.run("EVAL", FILL, 0, TOTAL, KEYS)
    server.load(*policy(*code))
    if when != "backlog":
        server.run("EVAL", FILL, 0, TOTAL, KEYS)
    run_to_the_end(server, TOTAL)
    ended, most, overlaps, disorder = report(server)
    assert (ended, overlaps, disorder) == (TOTAL, 0, 0)
    assert 1 < most <= 32
    server.wait_stream(pending_ids=[], total_record_processed=TOTAL)


def test_no_two_batches_at_once_have_an_equal_value(server):
    options = {"order_by": "key", "batch": 5}
    server.load(*policy(WATCHED, consumer(window=8, callback="watched", options=options)))
    server.run("EVAL", FILL, 0, 2000, KEYS)
    run_to_the_end(server, 2000)
    ended, most, overlaps, disorder = report(server)
    assert (ended, overlaps, disorder) == (2000, 0, 0)
    assert 1 < most <= 8


def test_with_one_key_everything_is_one_after_another(server):
    server.load(*policy(WATCHED, consumer(window=32, callback="watched", options={"order_by": "key"})))
    server.run("EVAL", FILL, 0, 200, 1)
    run_to_the_end(server, 200)
    assert report(server) == [200, 1, 0, 0]


def test_an_entry_waits_for_the_one_before_it_with_its_value_and_is_overtaken_by_others(server):
    server.load(*policy(held()))
    add(server, ("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b"))
    server.wait_message("start ", 2)
    pass_marker(server)
    assert started(server) == ["a1", "b1"]
    server.release("b1")
    server.wait_message("start b2 ")
    server.release("b2", "a1")
    server.wait_message("start a2 ")
    pass_marker(server)
    assert started(server) == ["a1", "b1", "b2", "a2"]
    server.release("a2")
    server.wait_message("start a3 ")
    server.release("a3")
    server.wait_stream(pending_ids=[], total_record_processed=5)


def test_no_more_run_than_the_window_holds(server):
    server.load(*policy(held(window=3)))
    add(server, *((key, key) for key in "abcdef"))
    server.wait_message("start ", 3)
    pass_marker(server)
    assert started(server) == ["a", "b", "c"]
    server.release("b")
    server.wait_message("start d ")


def test_entries_without_the_field_are_not_ordered(server):
    server.load(*policy(held(window=4)))
    add(server, ("x", None), ("y", None), ("a1", "a"), ("a2", "a"), ("z", None))
    server.wait_message("start ", 4)
    assert sorted(started(server)) == ["a1", "x", "y", "z"]


def test_the_first_field_of_that_name_counts_and_an_empty_value_is_one(server):
    server.load(*policy(held(window=4)))
    server.run("XADD", "stream", "*", "n", 1, "key", "", "key", "b")
    server.run("XADD", "stream", "*", "n", 2, "key", "", "key", "c")
    server.run("XADD", "stream", "*", "n", 3, "key", "b")
    server.wait_message("start 3 ")
    pass_marker(server)
    assert started(server) == ["1", "3"]
    server.release(1)
    server.wait_message("start 2 ")


def test_streams_have_orders_of_their_own(server):
    server.load(*policy(held()))
    for stream in ("stream:1", "stream:2"):
        server.run("XADD", stream, "*", "n", stream, "key", "same")
    server.wait_message("start ", 2)


def test_name_and_values_may_be_any_bytes(server):
    options = "{ order_by: new Uint8Array([0xff]).buffer }"
    server.load(*policy(consumer(window=3, callback="holding", options=options)))
    for number, value in enumerate([b"\xfe", b"\xfe", b"\xfd"]):
        server.run("XADD", "stream", "*", "n", number, b"\xff", value)
    server.wait_message("start 2 ")
    pass_marker(server)
    assert started(server) == ["0", "2"]
    server.release(0)
    server.wait_message("start 1 ")


def test_order_and_retry_go_together(server):
    code = "async (client, data) => { await holding(client, data); attempt(client, data); }"
    options = {"order_by": "key", "on_failure": "retry", "retry_interval": AN_HOUR}
    server.load(*policy(consumer(window=3, callback=code, options=options)))
    make_fail(server, "a1")
    ids = add(server, ("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"))
    server.wait_message("start ", 2)
    server.release("a1")
    wait_info(server, "stream", state="waiting")
    server.release("b1")
    # What waits behind its group is pending as well: something behind it is done.
    wait_info(server, "stream", pending=ids[:2])
    pass_marker(server)
    assert started(server) == ["a1", "b1"]
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    server.wait_message("start b2 ")
    assert started(server) == ["a1", "b1", "a1", "b2"]
    server.release("a1", "b2")
    server.wait_message("start a2 ")
    server.release("a2")
    server.wait_stream(pending_ids=[], total_record_processed=4)


def test_a_trim_keeps_what_was_overtaken(server):
    server.load(*policy(consumer(window=2, trim=True, callback="holding", options={"order_by": "key"})))
    ids = add(server, ("a1", "a"), ("a2", "a"), ("b1", "b"))
    server.wait_message("start ", 2)
    server.release("b1")
    server.wait_message("end b1")
    server.release("a1")
    server.wait_message("start a2 ")
    server.wait(lambda: [one for one, _ in server.client.xrange("stream")] == ids[1:], "the first is not trimmed")
    server.release("a2")
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the stream is not trimmed")


def test_after_a_kill_what_was_overtaken_comes_and_what_is_done_does_not(start_server):
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    server.load(*policy(held(window=2)))
    ids = add(server, ("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"))
    server.wait_message("start ", 2)
    server.release("b1")
    server.wait_message("start b2 ")
    server.wait(lambda: ids[2] not in info(server, "stream")["pending"], lambda: info(server, "stream"))
    server.restart()
    server.wait_message("start ", 5)
    assert sorted(started(server)[3:]) == ["a1", "b2"]
    server.release("a1", "b2")
    server.wait_message("start a2 ")
    server.release("a2")
    server.wait_stream(pending_ids=[])


def test_sync_callbacks_are_in_order_anyway(server):
    server.load(*policy(consumer(window=5, callback="(client, data) => saw(data)", options={"order_by": "n"})))
    add_at_once(server, "stream", range(100))
    assert server.seen() == [f"stream {number}" for number in range(100)]
