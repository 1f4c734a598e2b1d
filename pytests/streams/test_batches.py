"""Batches: how many entries a callback gets at once, when a batch is closed, and what is drained."""

import itertools
import time

import pytest

from testing.libraries import consumer
from testing.policies import add_at_once, batches, each_persistence, info, kill_and_restart, pass_marker, policy
from testing.replication import promote, settle

GETS = {
    "sync": "(client, batch) => got(batch)",
    "promise": "(client, batch) => Promise.resolve().then(() => got(batch))",
    "async": "async (client, batch) => got(batch)",
}
each_kind = pytest.mark.parametrize("kind", GETS)
NEVER = 86_400_000


def batching(batch, kind="sync", window=1, trim=False, **options):
    return consumer(window=window, trim=trim, callback=GETS[kind], options={"batch": batch} | options)


def holding(batch, window=1, **options):
    return consumer(window=window, callback="holding_batch", options={"batch": batch} | options)


def numbers(*values):
    return [str(value) for value in values]


def wait_batches(node, *expected):
    node.wait_for([numbers(*one) for one in expected], lambda: batches(node))


def entries(node):
    """The values that were handed over, whatever their batches."""
    return [value for batch in batches(node) for value in batch]


# --- full batches ---------------------------------------------------------------------------------------------------


@each_kind
def test_two_of_three_entries_wait_and_the_third_brings_them_in_one_call(server, kind):
    server.load(*policy(batching(3, kind)))
    server.add("stream", 0, 1)
    pass_marker(server)
    assert batches(server) == []
    assert server.stream("stream").get("total_record_processed", 0) == 0
    server.add("stream", 2)
    wait_batches(server, [0, 1, 2])
    server.wait_stream(total_record_processed=3, pending_ids=[])
    server.add("stream", 3, 4)
    pass_marker(server)
    assert len(batches(server)) == 1


def test_a_sync_callback_got_the_batch_when_the_reply_to_the_xadd_that_fills_it_arrives(server):
    server.load(*policy(batching(4)))
    for number in range(40):
        server.add("stream", number)
        assert len(batches(server)) == (number + 1) // 4


@pytest.mark.parametrize("how", ["pipeline", "MULTI", "Lua"])
def test_entries_that_are_added_at_once_make_full_batches_and_the_rest_waits(server, how):
    server.load(*policy(batching(3)))
    if how == "Lua":
        server.run("EVAL", "for i = 0, 9 do redis.call('XADD', KEYS[1], '*', 'n', i) end", 1, "stream")
    else:
        pipe = server.client.pipeline(transaction=how == "MULTI")
        for number in range(10):
            pipe.execute_command("XADD", "stream", "*", "n", number)
        pipe.execute()
    pass_marker(server)
    assert batches(server) == [numbers(0, 1, 2), numbers(3, 4, 5), numbers(6, 7, 8)]
    server.add("stream", 10, 11)
    assert batches(server)[3:] == [numbers(9, 10, 11)]


@pytest.mark.parametrize("size", [1, 2])
def test_the_argument_is_an_array_of_records_even_of_one(server, size):
    code = """(client, batch) => {
        redis.log(`array ${Array.isArray(batch)} ${batch.length}`);
        redis.log(`records ${show(batch)}`);
        redis.log(`raw ${batch.map(data => data.record_raw[0][1].byteLength + data.stream_name_raw.byteLength)}`);
    }"""
    server.load(consumer(callback=code, options={"batch": size}))
    for number in range(size):
        server.run("XADD", "stream", f"5-{number + 1}", "n", f"ü{number}", "n", "again")
    assert server.messages("array ") == [f"true {size}"]
    record = '{"id":["5","%d"],"stream_name":"stream","record":[["n","ü%d"],["n","again"]]}'
    assert server.messages("records ") == ["[" + ",".join(record % (n + 1, n) for n in range(size)) + "]"]
    assert server.messages("raw ") == [",".join(["9"] * size)]


def test_a_callback_may_change_its_batch(server):
    code = "(client, batch) => { got(batch); batch.length = 0; }"
    server.load(*policy(consumer(callback=code, options={"batch": 2})))
    server.add("stream", 0, 1, 2, 3)
    assert batches(server) == [numbers(0, 1), numbers(2, 3)]
    assert server.stream("stream")["total_record_processed"] == 4


def test_each_stream_fills_a_batch_of_its_own(server):
    server.load(*policy(batching(3)))
    for number in range(2):
        server.add("stream:1", f"a{number}")
        server.add("stream:2", f"b{number}")
    assert batches(server) == []
    server.add("stream:2", "b2")
    server.add("stream:1", "a2")
    assert server.messages("batch ") == ["stream:2 b0,b1,b2", "stream:1 a0,a1,a2"]


def test_the_window_counts_batches(server):
    server.load(*policy(holding(2, window=2)))
    ids = add_at_once(server, "stream", range(8))
    server.wait_message("start ", 2)
    server.wait_stream(pending_ids=ids[:4])
    pass_marker(server)
    assert [text.split()[0] for text in server.messages("start ")] == ["0,1", "2,3"]
    server.release(2)
    server.wait_message("start 4,5 2")
    server.wait_stream(pending_ids=[*ids[:2], *ids[4:6]])
    server.release(0, 4)
    server.wait_message("start 6,7 ")
    server.release(6)
    server.wait_stream(pending_ids=[], total_record_processed=8)
    assert {text.split()[1] for text in server.messages("start ")} <= {"1", "2"}


def test_entries_that_wait_for_their_batch_are_not_trimmed_and_those_of_a_batch_are(server):
    server.load(*policy(batching(3, trim=True)))
    server.add("stream", 0, 1, 2, 3)
    server.wait(lambda: server.run("XLEN", "stream") == 1, "the batch is not trimmed")
    server.add("stream", 4, 5)
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the batch is not trimmed")
    assert batches(server) == [numbers(0, 1, 2), numbers(3, 4, 5)]


def test_an_entry_that_is_deleted_while_it_waits_for_its_batch_is_not_handed_over(server):
    server.load(*policy(batching(4, duration=2000)))
    ids = server.add("stream", 0, 1, 2)
    server.run("XDEL", "stream", ids[1])
    server.wait(lambda: len(entries(server)) >= 2, lambda: batches(server))
    server.add("stream", 3)
    server.wait(lambda: len(entries(server)) >= 3, lambda: batches(server))
    assert entries(server) == numbers(0, 2, 3)


def test_a_stream_that_is_deleted_takes_the_beginning_of_its_batch_along(server):
    server.load(*policy(batching(3)))
    server.add("stream", 0, 1)
    server.run("DEL", "stream")
    server.add("stream", 2, 3)
    pass_marker(server)
    assert batches(server) == []
    server.add("stream", 4)
    wait_batches(server, [2, 3, 4])


@each_kind
def test_many_entries_come_in_order_and_in_full_batches(server, kind):
    server.load(*policy(batching(100, kind)))
    for start in range(0, 10_000, 1000):
        add_at_once(server, "stream", range(start, start + 1000))
    server.wait(lambda: len(entries(server)) >= 10_000, lambda: len(entries(server)))
    assert entries(server) == numbers(*range(10_000))
    assert {len(batch) for batch in batches(server)} == {100}


# --- size -----------------------------------------------------------------------------------------------------------

SIZES = "(client, batch) => redis.log(`sizes ${batch.map(data => data.record[0][1].length)}`)"


@pytest.mark.parametrize("start", ["", "async "])
def test_a_huge_entry_cuts_its_batch_and_keeps_nothing_of_it_waiting(server, start):
    server.load(*policy(consumer(callback=start + SIZES, options={"batch": 3})))
    server.add("stream", "x" * 10)
    server.add("stream", "x" * (2 << 20))
    pass_marker(server)
    assert server.messages("sizes ") == []
    server.add("stream", "x" * 20)
    server.wait_message("sizes ", 2)
    assert server.messages("sizes ") == [f"10,{2 << 20}", "20"]
    server.add("stream", "x" * 30, "x" * 40)
    pass_marker(server)
    assert len(server.messages("sizes ")) == 2
    server.add("stream", "x" * 50)
    server.wait_message("sizes ", 3)
    assert server.messages("sizes ")[2:] == ["30,40,50"]


def test_a_batch_of_large_entries_has_about_a_mebibyte(server):
    server.load(*policy(consumer(callback=SIZES, options={"batch": 30})))
    for _ in range(60):
        server.add("stream", "x" * 100_000)

    def counts():
        return [len(text.split(",")) for text in server.messages("sizes ")]

    server.wait(lambda: sum(counts()) == 60, counts)
    assert counts() == [11, 11, 8, 11, 11, 8]


# --- duration -------------------------------------------------------------------------------------------------------


def add_large(node, bytes_each, *values):
    """Adds entries of that size at once."""
    pipe = node.client.pipeline(transaction=True)
    for value in values:
        pipe.execute_command("XADD", "stream", "*", "n", value, "size", "x" * bytes_each)
    pipe.execute()


@each_kind
def test_a_full_batch_of_large_entries_is_handed_over_to_its_end(server, kind):
    server.load(*policy(batching(100, kind)))
    server.add("stream", 0)
    pass_marker(server)
    add_large(server, 50_000, *range(1, 99))
    pass_marker(server)
    assert batches(server) == []
    add_large(server, 50_000, 99)
    server.wait_for(numbers(*range(100)), lambda: entries(server))
    assert len(batches(server)) > 1


@each_kind
@pytest.mark.parametrize("batch, count, size", [(100, 90, 5_000), (1000, 600, 2_000)])
def test_when_the_duration_ends_all_that_is_there_is_handed_over(server, kind, batch, count, size):
    """What is added behind the first call waits for a duration of its own, unlike all that was there."""
    ends = GETS[kind].replace("got(batch)", "redis.log(`call ${value(batch.at(0))}-${value(batch.at(-1))}`)")
    server.load(*policy(consumer(callback=ends, options={"batch": batch, "duration": 500})))
    server.add("stream", 0)
    server.wait_message("call 0-0")
    add_large(server, size, *range(1, count + 1))
    parts = 1 if count * size < 1 << 20 else 2
    server.wait_message("call ", 1 + parts)
    server.add("stream", "last")
    server.wait_message("call last-last")
    calls = server.messages("call ")[1:-1]
    ends = [tuple(map(int, one.split("-"))) for one in calls]
    assert (ends[0][0], ends[-1][1]) == (1, count)
    assert len(ends) == parts
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(ends))


@each_kind
def test_a_partial_batch_is_handed_over_after_its_duration(server, kind):
    server.load(*policy(batching(10, kind, duration=400)))
    begin = time.monotonic()
    server.add("stream", 0, 1)
    wait_batches(server, [0, 1])
    assert time.monotonic() - begin >= 0.9 * 0.4
    begin = time.monotonic()
    server.add("stream", 2)
    wait_batches(server, [0, 1], [2])
    assert time.monotonic() - begin >= 0.9 * 0.4


def test_the_duration_counts_from_the_first_entry_and_not_from_the_last(server):
    server.load(*policy(batching(10_000, duration=1000)))
    added = 0

    def add_another():
        nonlocal added
        server.add("stream", added)
        added += 1
        return batches(server)

    begin = time.monotonic()
    server.wait(add_another, "as long as entries come none is handed over")
    assert time.monotonic() - begin >= 0.9
    assert batches(server)[0][0] == "0"
    server.wait(lambda: len(entries(server)) >= added, lambda: (added, batches(server)))
    assert entries(server) == numbers(*range(added))


def test_a_batch_that_is_full_does_not_wait_for_its_duration(server):
    server.load(*policy(batching(2, duration=NEVER)))
    server.add("stream", 0, 1, 2)
    assert batches(server) == [numbers(0, 1)]
    pass_marker(server)
    assert batches(server) == [numbers(0, 1)]
    server.add("stream", 3)
    assert batches(server) == [numbers(0, 1), numbers(2, 3)]


def test_after_a_full_batch_the_duration_begins_anew(server):
    server.load(*policy(batching(2, duration=800)))
    begin = time.monotonic()
    server.add("stream", 0)
    server.wait(lambda: time.monotonic() - begin > 0.4 or batches(server))
    server.add("stream", 1)
    before_third = time.monotonic()
    server.add("stream", 2)
    server.wait(lambda: "2" in entries(server), lambda: batches(server))
    assert time.monotonic() - before_third >= 0.9 * 0.8
    assert entries(server) == numbers(0, 1, 2)


def test_each_stream_has_a_duration_of_its_own(server):
    server.load(*policy(batching(10, duration=600)))
    server.add("stream:1", "a")
    begin = time.monotonic()
    server.wait(lambda: time.monotonic() - begin > 0.3)
    before_second = time.monotonic()
    server.add("stream:2", "b")
    server.wait_message("batch stream:1 a")
    server.wait_message("batch stream:2 b")
    assert time.monotonic() - before_second >= 0.9 * 0.6


def test_a_partial_batch_waits_for_the_batch_before_it(server):
    server.load(*policy(holding(2, duration=200)))
    server.add("stream:1", 0, 1, 2)
    server.wait_message("start 0,1 1")
    # Of another stream, and with the same duration: that of the entry 2 is over as well.
    server.add("stream:2", "other")
    server.wait_message("start other 2")
    pass_marker(server)
    assert len(server.messages("start ")) == 2
    server.release(0)
    server.wait_message("start 2 2")
    server.release("other", 2)
    server.wait_stream("stream:1", total_record_processed=3)


# --- what was there already -----------------------------------------------------------------------------------------


@each_kind
def test_a_backlog_is_drained_at_load_and_then_batches_fill_up_again(server, kind):
    server.add("stream", *range(7))
    server.load(*policy(batching(3, kind)))
    wait_batches(server, [0, 1, 2], [3, 4, 5], [6])
    server.add("stream", 7, 8)
    pass_marker(server)
    assert len(batches(server)) == 3
    server.add("stream", 9)
    wait_batches(server, [0, 1, 2], [3, 4, 5], [6], [7, 8, 9])


@each_persistence
@each_kind
def test_after_a_kill_the_beginning_of_a_batch_is_drained(restartable, kind):
    restartable.load(*policy(batching(5, kind)))
    restartable.add("stream", *range(9))
    wait_batches(restartable, range(5))
    restartable.wait_stream(total_record_processed=5)
    pass_marker(restartable)
    assert len(batches(restartable)) == 1
    kill_and_restart(restartable)
    wait_batches(restartable, range(5), range(5, 9))
    restartable.wait_stream(total_record_processed=4, pending_ids=[])
    restartable.add("stream", 9)
    pass_marker(restartable)
    assert len(batches(restartable)) == 2


@each_persistence
def test_batches_that_were_with_a_callback_come_again_after_a_kill(restartable):
    restartable.load(*policy(holding(3, window=2)))
    ids = add_at_once(restartable, "stream", range(8))
    restartable.wait_message("start ", 2)
    restartable.wait_stream(pending_ids=ids[:6])
    kill_and_restart(restartable)
    restartable.wait_message("start ", 4)
    restartable.wait_stream(pending_ids=ids[:6])
    assert [text.split()[0] for text in restartable.messages("start ")] == ["0,1,2", "3,4,5"] * 2
    restartable.release(0)
    restartable.wait_message("start 6,7 ")
    restartable.release(3, 6)
    restartable.wait_stream(pending_ids=[], total_record_processed=8)
    assert len(restartable.messages("start ")) == 5


def test_a_promoted_replica_drains_the_beginning_of_a_batch(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    primary.load(*policy(batching(3)))
    primary.add("stream", *range(5))
    wait_batches(primary, [0, 1, 2])
    settle(primary, replica)
    primary.kill()
    promote(replica)
    wait_batches(replica, [3, 4])


# --- upgrades -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [(5, 2), (2, 5)])
def test_an_upgrade_changes_the_size_of_batches(server, old, new):
    server.load(*policy(batching(old)))
    server.add("stream", *range(old * 2 - 1))
    wait_batches(server, range(old))
    server.upgrade(*policy(batching(new)))
    pass_marker(server)
    server.add("stream", *range(old * 2 - 1, 40))
    pass_marker(server)
    found = batches(server)
    assert entries(server) == numbers(*range(len(entries(server))))
    assert 40 - len(entries(server)) < new
    assert max(len(batch) for batch in found[1:]) == new
    assert info(server)["options"][1::2] == [new]


BUSY = """async (client, data) => {
    redis.log(`old start ${text_of(data)}`);
    for (const end = Date.now() + 100; Date.now() < end;) await null;
    redis.log(`old end ${text_of(data)}`);
}"""
PLAIN = consumer(window=2, callback="async (client, data) => redis.log(`new ${value(data)}`)")
BUSY_PLAIN = consumer(window=2, callback=BUSY)
BUSY_BATCHES = consumer(window=2, callback=BUSY, options={"batch": 2})
BATCHES = consumer(
    window=2,
    callback="async (client, batch) => { for (const data of batch) redis.log(`new ${value(data)}`); }",
    options={"batch": 2, "duration": 200},
)


@pytest.mark.parametrize(
    ("old", "new"), [(BUSY_PLAIN, BATCHES), (BUSY_BATCHES, PLAIN), (BUSY_BATCHES, BATCHES)], ids=["to", "from", "both"]
)
def test_an_upgrade_to_batches_or_from_them_hands_over_each_entry_once(server, old, new):
    server.load(*policy(old))
    add_at_once(server, "stream", range(9))
    server.wait_message("old start ")
    server.upgrade(*policy(new))

    def handled():
        ended = [value for text in server.messages("old end ") for value in text.split(",")]
        return sorted(ended + server.messages("new "))

    server.wait(lambda: len(handled()) >= 9, handled)
    server.wait_stream(pending_ids=[], total_record_processed=9)
    assert handled() == numbers(*range(9))


def test_an_upgrade_from_no_options_to_options_and_back_keeps_the_position(server):
    plain = consumer(callback="(client, data) => got([data])")
    server.load(*policy(plain))
    server.add("stream", 0, 1)
    server.upgrade(*policy(batching(2)))
    server.add("stream", 2, 3)
    server.upgrade(*policy(plain))
    server.add("stream", 4, 5)
    assert batches(server) == [["0"], ["1"], ["2", "3"], ["4"], ["5"]]
    assert server.stream("stream")["total_record_processed"] == 6
    assert "options" not in server.consumer()


def test_entries_that_wait_for_a_batch_come_one_by_one_after_an_upgrade_without_options(server):
    server.load(*policy(batching(10)))
    server.add("stream", *range(5))
    server.upgrade(*policy(consumer(callback="(client, data) => got([data])")))
    wait_batches(server, [0], [1], [2], [3], [4])


def test_a_batch_that_never_ends_is_handed_over_again_after_an_upgrade(server):
    server.load(*policy(holding(2)))
    server.add("stream", *range(4))
    server.wait_message("start 0,1 ")
    server.upgrade(*policy(batching(2, "async")))
    wait_batches(server, [0, 1], [2, 3])
    server.wait_stream(pending_ids=[], total_record_processed=4)
