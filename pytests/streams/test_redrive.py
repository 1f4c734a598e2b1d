"""RG.CONSUMER REDRIVE: dead letters are handed to the callback once more."""


from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    add_at_once,
    command,
    dead_letters,
    done,
    each_kind,
    each_persistence,
    info,
    kill_and_restart,
    load_attempting,
    make_fail,
    make_succeed,
    pass_marker,
    policy,
    sync_and_async,
    tries,
    wait_dead_letters,
    wait_done,
    wait_info,
    wait_tries,
)
from testing.replication import settle

TO_DEAD = {"dead_letter": "dead"}


def redrive(node, stream="stream", count=None):
    more = () if count is None else ("COUNT", count)
    return command(node, "REDRIVE", "STREAM", stream, *more)


def wait_gone(node, stream="dead"):
    node.wait(lambda: node.run("XLEN", stream) == 0, lambda: dead_letters(node, stream))


@each_kind
def test_letters_are_handed_over_oldest_first_and_go_when_they_are_done(server, kind):
    load_attempting(server, kind, **TO_DEAD)
    make_fail(server, 1, 3)
    server.add("stream", 0, 1, 2, 3, 4)
    wait_dead_letters(server, 1, 3)
    wait_done(server, 0, 2, 4)
    make_succeed(server)
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
    server.wait(lambda: len(dead_letters(server)) == 2, lambda: dead_letters(server))
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
    make_fail(server, *range(10))
    add_at_once(server, "stream", range(10))
    wait_dead_letters(server, *range(10))
    make_succeed(server)
    assert redrive(server, count=3) == 3
    wait_done(server, 0, 1, 2)
    server.wait(lambda: server.run("XLEN", "dead") == 7, lambda: dead_letters(server))
    wait_dead_letters(server, *range(3, 10))
    assert redrive(server, count=10_000) == 7
    wait_done(server, *range(10))


def test_a_hundred_if_no_count_is_given(server):
    load_attempting(server, **TO_DEAD)
    make_fail(server, *range(120))
    add_at_once(server, "stream", range(120))
    wait_dead_letters(server, *range(120))
    make_succeed(server)
    assert redrive(server) == 100
    server.wait(lambda: len(done(server)) >= 100, lambda: done(server))
    server.wait(lambda: server.run("XLEN", "dead") == 20, lambda: dead_letters(server))


@sync_and_async
def test_what_fails_again_stays_as_it_was(server, kind):
    load_attempting(server, kind, **TO_DEAD)
    make_fail(server, 1, 2)
    server.add("stream", 1, 2)
    wait_dead_letters(server, 1, 2)
    before = dead_letters(server)
    make_succeed(server, 2)
    assert redrive(server) == 2
    wait_done(server, 2)
    server.wait(lambda: len(dead_letters(server)) == 1, lambda: dead_letters(server))
    wait_info(server, "stream", in_flight=0, pending=[])
    assert dead_letters(server) == before[:1]
    make_succeed(server)
    assert redrive(server) == 1
    wait_done(server, 2, 1)
    wait_gone(server)


@sync_and_async
def test_what_fails_again_is_tried_as_often_as_any_entry(server, kind):
    load_attempting(server, kind, **TO_DEAD, on_failure="retry", retry_interval=20, max_attempts=3)
    make_fail(server, 1)
    server.add("stream", 1)
    wait_dead_letters(server, 1)
    before = dead_letters(server)
    assert redrive(server) == 1
    wait_tries(server, 6)
    wait_info(server, "stream", state="running", pending=[])
    pass_marker(server)
    assert tries(server) == ["1"] * 6
    assert dead_letters(server) == before
    server.add("stream", 2)
    wait_done(server, 2)


def test_what_recovers_in_its_retries_goes(server):
    load_attempting(server, **TO_DEAD, on_failure="retry", retry_interval=AN_HOUR, max_attempts=2)
    make_fail(server, 1)
    server.add("stream", 1)
    wait_tries(server, 1)
    command(server, "RETRY", "STREAM", "stream")
    wait_dead_letters(server, 1)
    assert redrive(server) == 1
    wait_tries(server, 3)
    wait_info(server, "stream", state="waiting")
    make_succeed(server)
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
    make_fail(server, 1, 2)
    server.add("stream:1", 1)
    server.add("stream:2", 2)
    server.run("XADD", "dead", "*", "no", "letter")
    server.wait(lambda: len(dead_letters(server)) == 5, lambda: dead_letters(server))
    make_succeed(server)
    assert redrive(server, "stream:2") == 1
    wait_done(server, 2)
    server.wait(lambda: len(dead_letters(server)) == 4, lambda: dead_letters(server))
    left = {(dict(pairs[:8]).get("consumer"), dict(pairs[:8]).get("stream")) for _, pairs in dead_letters(server)}
    assert left == {("consumer", "stream:1"), ("other", "stream:1"), ("other", "stream:2"), (None, None)}


@sync_and_async
def test_letters_come_in_batches_to_who_takes_batches(server, kind):
    load_attempting(server, kind, **TO_DEAD, batch=4)
    make_fail(server, 0)
    add_at_once(server, "stream", range(4))
    wait_dead_letters(server, *range(4))
    make_succeed(server)
    assert redrive(server) == 4
    server.wait(lambda: server.run("XLEN", "dead") == 0, lambda: dead_letters(server))
    assert ",".join(done(server)) == "0,1,2,3"


def test_the_position_stays_where_it_is(server):
    load_attempting(server, **TO_DEAD)
    make_fail(server, 1)
    ids = server.add("stream", 1, 2, 3)
    wait_dead_letters(server, 1)
    make_succeed(server)
    assert redrive(server) == 1
    wait_gone(server)
    wait_info(server, "stream", position=ids[2], pending=[])
    ids += server.add("stream", 4)
    wait_done(server, 2, 3, 1, 4)
    wait_info(server, "stream", position=ids[3])


def test_new_entries_and_letters_come_once_each(server):
    load_attempting(server, "async", window=4, **TO_DEAD)
    make_fail(server, *range(50))
    add_at_once(server, "stream", range(50))
    server.wait(lambda: server.run("XLEN", "dead") == 50, lambda: dead_letters(server))
    make_succeed(server)
    assert redrive(server) == 50
    add_at_once(server, "stream", range(50, 300))
    server.wait(lambda: len(done(server)) >= 300, lambda: len(done(server)))
    wait_gone(server)
    pass_marker(server)
    assert sorted(map(int, done(server))) == list(range(300))


@each_persistence
def test_a_kill_in_between_loses_no_letter(restartable):
    code = "async (client, data) => { await holding(client, data); attempt(client, data); }"
    restartable.load(*policy(consumer(callback=code, options=TO_DEAD)))
    make_fail(restartable, 1)
    restartable.add("stream", 1, 2)
    restartable.wait_message("start 1 ")
    restartable.release(1)
    wait_dead_letters(restartable, 1)
    restartable.wait_message("start 2 ")
    restartable.release(2)
    wait_done(restartable, 2)
    restartable.wait_stream(pending_ids=[])
    make_succeed(restartable)
    assert redrive(restartable) == 1
    restartable.wait_message("start ", 3)
    kill_and_restart(restartable)
    wait_dead_letters(restartable, 1)
    if info(restartable, "stream")["in_flight"] == 0:
        redrive(restartable)
    restartable.wait_message("start ", 4)
    restartable.release(1)
    wait_done(restartable, 2, 1)
    wait_gone(restartable)


def test_what_is_done_is_gone_on_replicas_as_well(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    load_attempting(primary, **TO_DEAD)
    make_fail(primary, 1, 2)
    primary.add("stream", 1, 2)
    wait_dead_letters(primary, 1, 2)
    settle(primary, replica)
    make_succeed(primary, 2)
    assert redrive(primary) == 2
    wait_done(primary, 2)
    primary.wait(lambda: len(dead_letters(primary)) == 1, lambda: dead_letters(primary))
    settle(primary, replica)
    assert dead_letters(replica) == dead_letters(primary)
