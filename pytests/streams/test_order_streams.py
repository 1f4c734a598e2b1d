"""Entries of different streams: they start about in the order in which they were added, and exactly in it one at a time."""

import itertools

import pytest

from testing.libraries import consumer

# As in gears_core::delivery: entries of one stream that are handed over together while others wait.
SHARE = 16

CALLBACKS = {
    "sync": "(client, data) => saw(data, '%s')",
    "async": "async (client, data) => saw(data, '%s')",
    "async with a block": "async (client, data) => { saw(data, '%s'); client.block(locked => locked.call('INCR', 'n')); }",
}
# How far one stream may get ahead of what was added to others before: less than a share when it is read, and with async
# callbacks as much again for each of two prefetch queues that do not begin their share with a run.
AHEAD = {"sync": SHARE - 1, "async": 3 * SHARE, "async with a block": 3 * SHARE}
# With options a share runs ahead of the window of each of two streams, beside the callback.
BESIDE = 2 * SHARE

every_kind = pytest.mark.parametrize("kind", CALLBACKS)
with_and_without = pytest.mark.parametrize("options", [None, {"on_failure": "retry"}], ids=["plain", "options"])


def load(server, kind, options, consumers=1):
    server.load(
        *(
            consumer(name=f"c{number}", window=1, callback=CALLBACKS[kind] % number, options=options)
            for number in range(consumers)
        )
    )


def add_at_once(server, streams, each):
    """One MULTI; gives (stream, value) in the order of adding: the value is the place."""
    added = [(f"stream:{number % streams}", str(number)) for number in range(streams * each)]
    with server.client.pipeline(transaction=True) as pipe:
        for stream, value in added:
            pipe.execute_command("XADD", stream, "*", "n", value)
        pipe.execute()
    return added


def lead(started):
    """By how many entries a stream got ahead at most of one that was added to another before."""
    waiting = {}
    for stream, value in started:
        waiting.setdefault(stream, []).append(int(value))
    first = dict.fromkeys(waiting, 0)
    most = 0
    for stream, value in started:
        place = int(value)
        for other, places in waiting.items():
            if other != stream and first[other] < len(places) and places[first[other]] < place:
                since = places[first[other]]
                mine = waiting[stream]
                most = max(most, sum(since < one <= place for one in mine[max(0, first[stream] - 4000) : first[stream] + 1]))
        first[stream] += 1
    return most


def bound(kind, options):
    """By how many entries a stream may get ahead of one that was added to another before."""
    return AHEAD[kind] + (BESIDE if options and kind != "sync" else 0)


def seen(server, number=0):
    return [tuple(line.split()) for line in server.seen(str(number))]


@every_kind
@with_and_without
@pytest.mark.parametrize(("streams", "each"), [(2, 1000), (10, 200)])
def test_of_what_a_transaction_adds_to_several_streams_none_gets_far_ahead(server, kind, options, streams, each):
    load(server, kind, options)
    added = add_at_once(server, streams, each)
    server.wait(lambda: len(server.seen("0")) >= len(added), lambda: len(server.seen("0")))
    started = seen(server)
    assert sorted(started) == sorted(added)
    assert lead(started) <= bound(kind, options)


@every_kind
@with_and_without
def test_with_two_consumers_none_of_their_streams_gets_far_ahead(server, kind, options):
    load(server, kind, options, consumers=2)
    added = add_at_once(server, 2, 1000)
    for number in range(2):
        server.wait(lambda number=number: len(server.seen(str(number))) >= len(added), lambda: server.log_text()[-2000:])
        started = seen(server, number)
        assert sorted(started) == sorted(added)
        assert lead(started) <= bound(kind, options)


@every_kind
@with_and_without
def test_where_each_is_added_after_the_one_before_was_processed_the_order_is_that_of_adding(server, kind, options):
    load(server, kind, options)
    added = []
    for number, stream in zip(range(60), itertools.cycle(["stream:b", "stream:a", "stream:b", "stream:c"])):
        server.add(stream, number)
        added.append((stream, str(number)))
        server.wait(lambda: len(server.seen("0")) >= len(added), "it is not handed over")
    assert seen(server) == added
