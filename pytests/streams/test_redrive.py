"""RG.CONSUMER REDRIVE: dead letters are handed to the callback once more."""

import pytest

from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    WAYS,
    add_at_once,
    come_back,
    command,
    done,
    each_kind,
    each_way,
    info,
    letters,
    load_attempting,
    mend,
    pass_by,
    policy,
    spoil,
    sync_and_async,
    tries,
    wait_done,
    wait_info,
    wait_letters,
    wait_tries,
)
from testing.replication import settle

TO_DEAD = {"dead_letter": "dead"}


@pytest.fixture
def kept(keep, way):
    return keep(*WAYS[way])


def redrive(node, stream="stream", count=None):
    more = () if count is None else ("COUNT", count)
    return command(node, "REDRIVE", "STREAM", stream, *more)


def wait_gone(node, stream="dead"):
    node.wait(lambda: node.run("XLEN", stream) == 0, lambda: letters(node, stream))


@each_kind
def test_letters_are_handed_over_oldest_first_and_go_when_they_are_done(server, kind):
    load_attempting(server, kind, **TO_DEAD)
    spoil(server, 1, 3)
    server.add("stream", 0, 1, 2, 3, 4)
    wait_letters(server, 1, 3)
    wait_done(server, 0, 2, 4)
    mend(server)
    assert redrive(server) == 2
    wait_done(server, 0, 2, 4, 1, 3)
    wait_gone(server)
    assert redrive(server) == 0


def test_id_and_fields_are_those_of_the_entry(server):
    code = """(client, data) => {
        if (ask(client, 'EXISTS', 'broken') == 1) throw new Error('broken');
        redis.log(`record ${show(data)} ${data.record_raw.map(pair => pair[1].byteLength)}`);
    }"""
    server.load(*policy(consumer(callback=code, options=TO_DEAD)))
    server.run("SET", "broken", 1)
    server.run("XADD", "stream", "7-3", "n", 1, "id", "x", "n", "ü", "bytes", b"\xff\x00", "", "")
    server.run("XADD", "stream", "8-1", "n", 2)
    server.wait(lambda: len(letters(server)) == 2, lambda: letters(server))
    server.run("DEL", "broken", "stream")
    server.run("XADD", "stream", "9-1", "n", 3)
    assert redrive(server) == 2
    pairs = '[["n","1"],["id","x"],["n","ü"],["bytes",null],["",""]]'
    record = '{"id":["%s","%s"],"stream_name":"stream","record":%s} %s'
    expected = [
        record % (9, 1, '[["n","3"]]', "1"),
        record % (7, 3, pairs, "1,1,2,2,0"),
        record % (8, 1, '[["n","2"]]', "1"),
    ]
    server.wait_for(expected, lambda: server.messages("record "))
    wait_gone(server)


def test_no_more_than_count_are_handed_over(server):
    load_attempting(server, **TO_DEAD)
    spoil(server, *range(10))
    add_at_once(server, "stream", range(10))
    wait_letters(server, *range(10))
    mend(server)
    assert redrive(server, count=3) == 3
    wait_done(server, 0, 1, 2)
    server.wait(lambda: server.run("XLEN", "dead") == 7, lambda: letters(server))
    wait_letters(server, *range(3, 10))
    assert redrive(server, count=10_000) == 7
    wait_done(server, *range(10))


def test_a_hundred_if_no_count_is_given(server):
    load_attempting(server, **TO_DEAD)
    spoil(server, *range(120))
    add_at_once(server, "stream", range(120))
    wait_letters(server, *range(120))
    mend(server)
    assert redrive(server) == 100
    server.wait(lambda: len(done(server)) >= 100, lambda: done(server))
    server.wait(lambda: server.run("XLEN", "dead") == 20, lambda: letters(server))


@sync_and_async
def test_what_fails_again_stays_as_it_was(server, kind):
    load_attempting(server, kind, **TO_DEAD)
    spoil(server, 1, 2)
    server.add("stream", 1, 2)
    wait_letters(server, 1, 2)
    before = letters(server)
    mend(server, 2)
    assert redrive(server) == 2
    wait_done(server, 2)
    server.wait(lambda: len(letters(server)) == 1, lambda: letters(server))
    wait_info(server, "stream", in_flight=0, pending=[])
    assert letters(server) == before[:1]
    mend(server)
    assert redrive(server) == 1
    wait_done(server, 2, 1)
    wait_gone(server)


@sync_and_async
def test_what_fails_again_is_tried_as_often_as_any_entry(server, kind):
    load_attempting(server, kind, **TO_DEAD, on_failure="retry", retry_interval=20, max_attempts=3)
    spoil(server, 1)
    server.add("stream", 1)
    wait_letters(server, 1)
    before = letters(server)
    assert redrive(server) == 1
    wait_tries(server, 6)
    wait_info(server, "stream", state="running", pending=[])
    pass_by(server)
    assert tries(server) == ["1"] * 6
    assert letters(server) == before
    server.add("stream", 2)
    wait_done(server, 2)


def test_what_recovers_in_its_retries_goes(server):
    load_attempting(server, **TO_DEAD, on_failure="retry", retry_interval=AN_HOUR, max_attempts=2)
    spoil(server, 1)
    server.add("stream", 1)
    wait_tries(server, 1)
    command(server, "RETRY", "STREAM", "stream")
    wait_letters(server, 1)
    assert redrive(server) == 1
    wait_tries(server, 3)
    wait_info(server, "stream", state="waiting")
    mend(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, 1)
    wait_gone(server)


def test_letters_of_others_in_the_same_stream_stay(server):
    code = "(client, data) => attempt(client, data)"
    server.load(
        *policy(
            consumer(callback=code, options=TO_DEAD),
            consumer("other", callback="() => { throw new Error('always'); }", options=TO_DEAD),
        )
    )
    spoil(server, 1, 2)
    server.add("stream:1", 1)
    server.add("stream:2", 2)
    server.run("XADD", "dead", "*", "no", "letter")
    server.wait(lambda: len(letters(server)) == 5, lambda: letters(server))
    mend(server)
    assert redrive(server, "stream:2") == 1
    wait_done(server, 2)
    server.wait(lambda: len(letters(server)) == 4, lambda: letters(server))
    left = {(dict(pairs[:8]).get("consumer"), dict(pairs[:8]).get("stream")) for _, pairs in letters(server)}
    assert left == {("consumer", "stream:1"), ("other", "stream:1"), ("other", "stream:2"), (None, None)}


@sync_and_async
def test_letters_come_in_batches_to_who_takes_batches(server, kind):
    load_attempting(server, kind, **TO_DEAD, batch=4)
    spoil(server, 0)
    add_at_once(server, "stream", range(4))
    wait_letters(server, *range(4))
    mend(server)
    assert redrive(server) == 4
    server.wait(lambda: server.run("XLEN", "dead") == 0, lambda: letters(server))
    assert ",".join(done(server)) == "0,1,2,3"


def test_the_position_stays_where_it_is(server):
    load_attempting(server, **TO_DEAD)
    spoil(server, 1)
    ids = server.add("stream", 1, 2, 3)
    wait_letters(server, 1)
    mend(server)
    assert redrive(server) == 1
    wait_gone(server)
    wait_info(server, "stream", position=ids[2], pending=[])
    ids += server.add("stream", 4)
    wait_done(server, 2, 3, 1, 4)
    wait_info(server, "stream", position=ids[3])


def test_new_entries_and_letters_come_once_each(server):
    load_attempting(server, "async", window=4, **TO_DEAD)
    spoil(server, *range(50))
    add_at_once(server, "stream", range(50))
    server.wait(lambda: server.run("XLEN", "dead") == 50, lambda: letters(server))
    mend(server)
    assert redrive(server) == 50
    add_at_once(server, "stream", range(50, 300))
    server.wait(lambda: len(done(server)) >= 300, lambda: len(done(server)))
    wait_gone(server)
    pass_by(server)
    assert sorted(map(int, done(server))) == list(range(300))


@each_way
def test_a_kill_in_between_loses_no_letter(kept):
    code = "async (client, data) => { await holding(client, data); attempt(client, data); }"
    kept.load(*policy(consumer(callback=code, options=TO_DEAD)))
    spoil(kept, 1)
    kept.add("stream", 1, 2)
    kept.wait_message("start 1 ")
    kept.release(1)
    wait_letters(kept, 1)
    kept.wait_message("start 2 ")
    kept.release(2)
    wait_done(kept, 2)
    kept.wait_stream(pending_ids=[])
    mend(kept)
    assert redrive(kept) == 1
    kept.wait_message("start ", 3)
    come_back(kept)
    wait_letters(kept, 1)
    if info(kept, "stream")["in_flight"] == 0:
        redrive(kept)
    kept.wait_message("start ", 4)
    kept.release(1)
    wait_done(kept, 2, 1)
    wait_gone(kept)


def test_what_is_done_is_gone_on_replicas_as_well(keep):
    primary, replica = keep(), keep()
    replica.follow(primary)
    load_attempting(primary, **TO_DEAD)
    spoil(primary, 1, 2)
    primary.add("stream", 1, 2)
    wait_letters(primary, 1, 2)
    settle(primary, replica)
    mend(primary, 2)
    assert redrive(primary) == 2
    wait_done(primary, 2)
    primary.wait(lambda: len(letters(primary)) == 1, lambda: letters(primary))
    settle(primary, replica)
    assert letters(replica) == letters(primary)
