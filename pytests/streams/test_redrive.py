"""RG.CONSUMER REDRIVE: dead letters are handed to the callback once more."""


import time

import pytest
from redis import ResponseError

from testing.libraries import consumer, library
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
from testing.replication import promote, settle
from testing.replies import fields

TO_DEAD = {"dead_letter": "dead"}


NAMES = ["library", "consumer", "stream", "id", "attempts", "error", "first_time", "last_time"]


def redrive(node, stream="stream", count=None):
    more = () if count is None else ("COUNT", count)
    return command(node, "REDRIVE", "STREAM", stream, *more)


def redrives(node, name="consumer", client=None):
    """RG.CONSUMER REDRIVES."""
    found = fields(command(node, "REDRIVES", name=name, client=client))
    found["errors"] = fields(found["errors"])
    return found


def wait_redrives(node, **expected):
    """Waits until RG.CONSUMER REDRIVES shows these fields."""

    def shown():
        found = redrives(node)
        return {field: found[field] for field in expected}

    node.wait(lambda: shown() == expected, lambda: (shown(), expected))


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
def test_what_fails_again_has_a_new_letter_at_the_end(server, kind):
    load_attempting(server, kind, **TO_DEAD)
    make_fail(server, 1, 2, 3)
    server.add("stream", 1, 2, 3)
    wait_dead_letters(server, 1, 2, 3)
    [first, _, third] = dead_letters(server)
    make_succeed(server, 2)
    assert redrive(server, count=2) == 2
    wait_done(server, 2)
    wait_redrives(server, waiting=0, running=0, ok=1, failed=1)
    [left, again] = dead_letters(server)
    assert left == third
    assert again[1][:5] == [*first[1][:4], ("attempts", "2")]
    assert [name for name, _ in again[1]] == [*NAMES[:5], "redrives", *NAMES[5:], "n"]
    found = dict(again[1])
    assert (found["redrives"], found["first_time"], found["n"]) == ("1", dict(first[1])["first_time"], "1")
    assert int(found["last_time"]) >= int(dict(first[1])["last_time"])
    make_succeed(server)
    assert redrive(server) == 2
    wait_done(server, 2, 3, 1)
    wait_gone(server)


@sync_and_async
def test_what_fails_again_is_tried_as_often_as_any_entry(server, kind):
    load_attempting(server, kind, **TO_DEAD, on_failure="retry", retry_interval=20, max_attempts=3)
    make_fail(server, 1)
    server.add("stream", 1)
    wait_dead_letters(server, 1)
    assert redrive(server) == 1
    wait_tries(server, 6)
    wait_info(server, "stream", state="running", pending=[])
    pass_marker(server)
    assert tries(server) == ["1"] * 6
    [(_, pairs)] = dead_letters(server)
    assert {name: dict(pairs)[name] for name in ("attempts", "redrives", "n")} == {"attempts": "6", "redrives": "1", "n": "1"}
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


# --- which ones -----------------------------------------------------------------------------------------------------


def values(node, stream="dead"):
    """The values of the entries of the letters, in order."""
    return [pairs[-1][1] for _, pairs in dead_letters(node, stream)]


def some_letters(node, *entries, **options):
    """Letters of these pairs of a stream and a value, of which all fail."""
    load_attempting(node, **TO_DEAD, **options)
    make_fail(node, *(value for _, value in entries))
    for stream, value in entries:
        node.add(stream, value)
    node.wait(lambda: len(dead_letters(node)) == len(entries), lambda: dead_letters(node))
    return [letter for letter, _ in dead_letters(node)]


def test_without_a_stream_those_of_all_streams_come(server):
    some_letters(server, ("stream:1", 1), ("stream:2", 2), ("stream:1", 3))
    make_succeed(server)
    assert command(server, "REDRIVE") == 3
    server.wait(lambda: sorted(done(server)) == ["1", "2", "3"], lambda: done(server))
    wait_gone(server)
    wait_redrives(server, waiting=0, running=0, ok=3, failed=0, errors={}, last_error="None", last_error_time=0)


def test_those_that_are_named_come_and_no_others(server):
    ids = some_letters(server, *(("stream", n) for n in range(6)))
    make_succeed(server)
    assert command(server, "REDRIVE", "ID", ids[4], ids[1], "7-7", ids[1]) == 2
    wait_done(server, 4, 1)
    wait_redrives(server, ok=2)
    assert values(server) == ["0", "2", "3", "5"]
    assert command(server, "REDRIVE", "STREAM", "stream", "ID", ids[0], ids[2], "COUNT", 1) == 1
    wait_done(server, 4, 1, 0)
    assert command(server, "REDRIVE", "ID", ids[0]) == 0


def test_from_an_id_on(server):
    ids = some_letters(server, *(("stream", n) for n in range(6)))
    make_succeed(server)
    assert command(server, "REDRIVE", "FROM", ids[2], "COUNT", 2) == 2
    wait_done(server, 2, 3)
    wait_redrives(server, ok=2)
    assert command(server, "REDRIVE", "FROM", ids[3]) == 2
    wait_done(server, 2, 3, 4, 5)


def test_those_of_an_error(server):
    some_letters(server, *(("stream", n) for n in (1, 21, 2, 22)))
    make_succeed(server)
    assert command(server, "REDRIVE", "STREAM", "stream", "ERROR", "*no 2?*") == 2
    wait_done(server, 21, 22)
    wait_redrives(server, ok=2)
    assert values(server) == ["1", "2"]
    assert command(server, "REDRIVE", "ERROR", "NO 1") == 0


def test_letters_whose_stream_is_gone_stay_until_it_is_there_again(server):
    some_letters(server, ("stream:1", 1), ("stream:2", 2))
    make_succeed(server)
    server.run("DEL", "stream:1")
    assert command(server, "REDRIVE") == 1
    wait_done(server, 2)
    wait_redrives(server, ok=1, waiting=0, running=0)
    assert values(server) == ["1"]
    server.add("stream:1", 3)
    wait_done(server, 2, 3)
    assert command(server, "REDRIVE") == 1
    wait_done(server, 2, 3, 1)


# --- hopeless ones --------------------------------------------------------------------------------------------------


def test_who_asks_again_gets_to_those_behind_the_hopeless(server):
    some_letters(server, *(("stream", n) for n in range(9)))
    make_succeed(server, 6, 7, 8)
    for turn in range(3):
        assert redrive(server, count=3) == 3
        wait_redrives(server, waiting=0, running=0, ok=max(0, 3 * (turn - 1)), failed=min(6, 3 * (turn + 1)))
    wait_done(server, 6, 7, 8)
    assert values(server) == ["0", "1", "2", "3", "4", "5"]
    found = redrives(server)
    assert found["errors"] == {"Error": 6}
    assert "no 5" in found["last_error"]
    assert abs(found["last_error_time"] / 1000 - server.client.time()[0]) < 60


def test_figures_are_maps_for_resp3_and_in_info(server):
    some_letters(server, ("stream", 1), ("stream", 2))
    make_succeed(server, 1)
    assert redrive(server) == 2
    wait_redrives(server, ok=1, failed=1, waiting=0, running=0)
    client = server.connect(protocol=3)
    found = client.execute_command("RG.CONSUMER", "REDRIVES", "lib", "consumer")
    assert list(found) == ["waiting", "running", "ok", "failed", "errors", "last_error", "last_error_time"]
    assert found["errors"] == {"Error": 1}
    line = server.client.info("redisgears_2_consumers")["redisgears_2_consumer_lib_consumer"]
    assert {name: line[f"redrives_{name}"] for name in ("waiting", "running", "ok", "failed")} == {
        "waiting": 0,
        "running": 0,
        "ok": 1,
        "failed": 1,
    }


def test_what_is_redriven_is_counted_apart(server):
    some_letters(server, ("stream", 1), ("stream", 2))
    before = info(server)
    assert (before["processed"], before["given_up"], before["redriven"]) == (2, 2, 0)
    make_succeed(server, 1)
    assert redrive(server) == 2
    wait_redrives(server, ok=1, failed=1, waiting=0, running=0)
    after = info(server)
    assert after["redriven"] == 2
    for name in ("processed", "given_up", "dead_letters", "lag_ms_max"):
        assert after[name] == before[name], name
    assert (info(server, "stream")["processed"], info(server, "stream")["given_up"]) == (2, 2)
    line = server.client.info("redisgears_2_consumers")["redisgears_2_consumer_lib_consumer"]
    assert (line["processed"], line["redriven"]) == (2, 2)


def test_letters_of_a_paused_stream_wait_and_those_of_others_do_not(server):
    some_letters(server, *(("stream:1", n) for n in range(40)), ("stream:2", "x"))
    make_succeed(server)
    command(server, "PAUSE", "STREAM", "stream:1")
    assert command(server, "REDRIVE") == 41
    wait_done(server, "x")
    wait_redrives(server, waiting=40, running=0, ok=1)
    assert command(server, "REDRIVE") == 0
    command(server, "RESUME", "STREAM", "stream:1")
    wait_redrives(server, waiting=0, ok=41)


DRILL = 10_000


@sync_and_async
def test_ten_thousand_letters_of_which_half_are_hopeless(server, measured, kind):
    load_attempting(server, kind, window=8, **TO_DEAD)
    server.run("SADD", "bad", *range(DRILL))
    add_at_once(server, "stream", range(DRILL))
    server.wait(lambda: server.run("XLEN", "dead") == DRILL, lambda: server.run("XLEN", "dead"))
    server.run("SREM", "bad", *range(0, DRILL, 2))
    started = time.monotonic()
    assert command(server, "REDRIVE", "COUNT", DRILL) == DRILL
    replied = time.monotonic() - started
    # New entries do not wait for them, and other clients do not notice.
    slowest, new = 0.0, 0
    while True:
        before = time.monotonic()
        server.run("PING")
        slowest = max(slowest, time.monotonic() - before)
        if new < 20:
            server.add("stream", f"new{new}")
            new += 1
        found = redrives(server)
        if found["waiting"] + found["running"] == 0:
            break
        assert time.monotonic() - started < 60, found
    took = time.monotonic() - started
    server.wait(lambda: len([one for one in done(server) if one.startswith("new")]) == new, "new entries are missing")
    assert (found["ok"], found["failed"], found["errors"]) == (DRILL // 2, DRILL // 2, {"Error": DRILL // 2})
    assert values(server) == [str(n) for n in range(1, DRILL, 2)]
    assert all(dict(pairs)["redrives"] == "1" for _, pairs in dead_letters(server))
    measured(
        f"{kind}: {DRILL} letters selected in {1000 * replied:.0f} ms and redriven in {took:.1f} s, "
        f"slowest PING meanwhile {1000 * slowest:.0f} ms"
    )


# --- rights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lacking", "word"), [("-xdel", "XDEL"), ("-xadd", "XADD")])
def test_who_lacks_a_right_on_the_letters_is_told_before_anything_runs(server, lacking, word):
    code = "(client, data) => attempt(client, data)"
    server.run("ACL", "SETUSER", "owner", "reset", "on", ">pw", "+@all", "~*")
    try:
        owner = server.connect(username="owner", password="pw")
        owner.execute_command("RG.FUNCTION", "LOAD", library(*policy(consumer(callback=code, options=TO_DEAD))))
        make_fail(server, 1)
        server.add("stream", 1)
        wait_dead_letters(server, 1)
        before = dead_letters(server)
        make_succeed(server)
        server.run("ACL", "SETUSER", "owner", lacking)
        with pytest.raises(ResponseError, match=f"(?i)no permissions to run '{word}' on the key 'dead'") as error:
            redrive(server)
        assert "User 'owner'" in str(error.value)
        pass_marker(server)
        assert (done(server), dead_letters(server)) == ([], before)
        server.run("ACL", "SETUSER", "owner", "+@all")
        assert redrive(server) == 1
        wait_done(server, 1)
    finally:
        server.run("ACL", "DELUSER", "owner")


def test_a_right_that_is_taken_meanwhile_leaves_one_letter(server):
    code = "async (client, data) => { await holding(client, data); throw new Error('still'); }"
    server.run("ACL", "SETUSER", "owner", "reset", "on", ">pw", "+@all", "~*")
    try:
        owner = server.connect(username="owner", password="pw")
        owner.execute_command("RG.FUNCTION", "LOAD", library(*policy(consumer(callback=code, options=TO_DEAD))))
        server.add("stream", 1)
        server.wait_message("start 1 ")
        server.release(1)
        wait_dead_letters(server, 1)
        before = dead_letters(server)
        assert redrive(server) == 1
        server.wait_message("start 1 ", 2)
        server.run("ACL", "SETUSER", "owner", "-xdel")
        server.release(1)
        server.wait(lambda: "XDEL" in str(server.stream("stream").get("last_error")), lambda: server.stream("stream"))
        assert dead_letters(server) == before
        server.run("ACL", "SETUSER", "owner", "+xdel")
        wait_redrives(server, waiting=0, running=0, failed=1)
        [(letter, pairs)] = dead_letters(server)
        assert letter != before[0][0]
        assert dict(pairs)["redrives"] == "1"
    finally:
        server.run("ACL", "DELUSER", "owner")


# --- deleted meanwhile, killed, replicated --------------------------------------------------------------------------


def test_a_letter_that_is_deleted_meanwhile_does_not_come_again(server):
    code = "async (client, data) => { await holding(client, data); throw new Error('still'); }"
    server.load(*policy(consumer(callback=code, options=TO_DEAD)))
    server.add("stream", 1)
    server.wait_message("start 1 ")
    server.release(1)
    wait_dead_letters(server, 1)
    assert redrive(server) == 1
    server.wait_message("start 1 ", 2)
    server.run("DEL", "dead")
    server.release(1)
    wait_redrives(server, waiting=0, running=0, failed=1)
    pass_marker(server)
    assert server.run("EXISTS", "dead") == 0


def test_in_a_transaction_too(server):
    some_letters(server, *(("stream", n) for n in range(3)))
    make_succeed(server)
    pipe = server.client.pipeline(transaction=True)
    pipe.execute_command("RG.CONSUMER", "REDRIVE", "lib", "consumer")
    pipe.execute_command("RG.CONSUMER", "REDRIVE", "lib", "consumer")
    assert pipe.execute() == [3, 0]
    wait_done(server, 0, 1, 2)
    wait_gone(server)


@each_persistence
def test_a_kill_amid_a_redrive_leaves_each_letter_once(restartable):
    load_attempting(restartable, **TO_DEAD)
    make_fail(restartable, *range(200))
    add_at_once(restartable, "stream", range(200))
    wait_dead_letters(restartable, *range(200))
    make_succeed(restartable, *range(0, 200, 2))
    command(restartable, "REDRIVE", "COUNT", 200)
    kill_and_restart(restartable)
    found = sorted(map(int, values(restartable)))
    assert len(found) == len(set(found))
    assert set(range(1, 200, 2)) <= set(found)
    command(restartable, "REDRIVE", "COUNT", 200)
    restartable.wait(lambda: redrives(restartable)["waiting"] == 0, lambda: redrives(restartable))
    restartable.wait(
        lambda: sorted(map(int, values(restartable))) == list(range(1, 200, 2)), lambda: values(restartable)
    )


def test_a_replica_that_is_promoted_has_what_failed_again_once(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    some_letters(primary, *(("stream", n) for n in range(4)))
    make_succeed(primary, 0, 2)
    assert redrive(primary) == 4
    wait_redrives(primary, ok=2, failed=2, waiting=0, running=0)
    settle(primary, replica)
    assert dead_letters(replica) == dead_letters(primary)
    with pytest.raises(ResponseError, match="read only replica"):
        redrive(replica)
    assert redrives(replica)["ok"] == 0
    primary.kill()
    promote(replica)
    make_succeed(replica)
    assert redrive(replica) == 2
    wait_gone(replica)


# --- DROP -----------------------------------------------------------------------------------------------------------


def test_letters_are_dropped_by_id_by_error_or_all_of_a_stream(server):
    ids = some_letters(server, *(("stream:1", n) for n in range(6)), ("stream:2", 21), ("stream:2", 22))
    assert command(server, "DROP", "ID", ids[1], ids[3], "7-7") == 2
    assert values(server) == ["0", "2", "4", "5", "21", "22"]
    assert command(server, "DROP", "ERROR", "*no 2*", "COUNT", 1) == 1
    assert values(server) == ["0", "4", "5", "21", "22"]
    assert command(server, "DROP", "STREAM", "stream:1", "ALL") == 3
    assert values(server) == ["21", "22"]
    server.run("XADD", "dead", "*", "no", "letter")
    assert command(server, "DROP", "ALL") == 2
    assert server.run("XLEN", "dead") == 1
    assert command(server, "DROP", "ALL") == 0


def test_what_is_dropped_is_not_handed_over(server):
    some_letters(server, *(("stream", n) for n in range(40)))
    make_succeed(server)
    command(server, "PAUSE", "STREAM", "stream")
    assert redrive(server) == 40
    assert command(server, "DROP", "ERROR", "*") == 40
    wait_redrives(server, waiting=0, running=0)
    command(server, "RESUME", "STREAM", "stream")
    pass_marker(server)
    assert done(server) == []


def test_many_letters_are_dropped_in_slices(server, measured):
    load_attempting(server, **TO_DEAD)
    server.run("SADD", "bad", *range(DRILL))
    add_at_once(server, "stream", range(DRILL))
    server.wait(lambda: server.run("XLEN", "dead") == DRILL, lambda: server.run("XLEN", "dead"))
    dropping = server.send("RG.CONSUMER", "DROP", "lib", "consumer", "ALL")
    slowest = 0.0
    while server.run("XLEN", "dead"):
        before = time.monotonic()
        server.run("PING")
        slowest = max(slowest, time.monotonic() - before)
    assert dropping.reply() == DRILL
    measured(f"slowest PING while {DRILL} letters are dropped {1000 * slowest:.0f} ms")


def test_a_drop_reaches_replicas(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    some_letters(primary, ("stream", 1), ("stream", 2))
    assert command(primary, "DROP", "ERROR", "*no 1*") == 1
    settle(primary, replica)
    assert dead_letters(replica) == dead_letters(primary)
    with pytest.raises(ResponseError, match="read only replica"):
        command(replica, "DROP", "ALL")


def test_who_may_not_delete_letters_drops_none(server):
    some_letters(server, ("stream", 1))
    server.run("ACL", "SETUSER", "anna", "reset", "on", ">pw", "+rg.consumer", "~stream*", "%R~dead")
    try:
        anna = server.connect(username="anna", password="pw")
        for rights in ([], ["+xdel"], ["-xdel", "~dead"]):
            server.run("ACL", "SETUSER", "anna", *rights)
            with pytest.raises(ResponseError, match="(?i)no permissions to run 'XDEL' on the key 'dead'"):
                command(server, "DROP", "ALL", client=anna)
        server.run("ACL", "SETUSER", "anna", "+xdel")
        with pytest.raises(ResponseError, match="(?i)noperm|no permissions"):
            command(server, "DROP", "STREAM", "secret", "ALL", client=anna)
        assert command(server, "DROP", "ALL", client=anna) == 1
    finally:
        server.run("ACL", "DELUSER", "anna")


# --- wrong words ----------------------------------------------------------------------------------------------------

WRONG = {
    "REDRIVE of all": (["REDRIVE", "ALL"], "^syntax error"),
    "REDRIVE with IDs and a pattern": (["REDRIVE", "ID", "1-1", "ERROR", "x"], "^syntax error"),
    "REDRIVE with IDs and FROM": (["REDRIVE", "FROM", "1-1", "ID", "1-1"], "^syntax error"),
    "REDRIVE with no ID": (["REDRIVE", "ID"], "^syntax error"),
    "REDRIVE with an ID that is none": (["REDRIVE", "ID", "x"], "^invalid stream ID 'x'"),
    "REDRIVE with an ID that is none among others": (["REDRIVE", "ID", "1-1", "2-x"], "^invalid stream ID '2-x'"),
    "REDRIVE with a binary ID": (["REDRIVE", "ID", b"\xff"], "^invalid stream ID"),
    "REDRIVE with an ID that is too large": (["REDRIVE", "ID", "1" * 30], "^invalid stream ID"),
    "REDRIVE from nowhere": (["REDRIVE", "FROM"], "^syntax error"),
    "REDRIVE with a pattern that is too long": (["REDRIVE", "ERROR", "*" * 1025], "^a pattern has at most 1024 bytes"),
    "REDRIVE with a hidden key": (["REDRIVE", "ERROR", "stream", "STREAM", "secret"], "^syntax error"),
    "REDRIVE with too many IDs": (["REDRIVE", "ID", *["1-1"] * 10_001], "^ID takes at most 10000 IDs"),
    "REDRIVES with more": (["REDRIVES", "x"], "^syntax error|wrong number"),
    "DROP of nothing": (["DROP"], "wrong number of arguments"),
    "DROP with a count alone": (["DROP", "COUNT", 1], "^syntax error"),
    "DROP of all and some": (["DROP", "ALL", "ID", "1-1"], "^syntax error"),
    "DROP of none": (["DROP", "ALL", "COUNT", 0], "^COUNT must be between 1 and"),
    "DROP of another word": (["DROP", "NOSUCH"], "^syntax error"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_words_change_nothing(server, what):
    load_attempting(server, **TO_DEAD)
    make_fail(server, 1)
    server.add("stream", 1)
    wait_dead_letters(server, 1)
    before = dead_letters(server)
    words, error = WRONG[what]
    with pytest.raises(ResponseError, match=error):
        command(server, *words)
    pass_marker(server)
    assert dead_letters(server) == before
    wait_redrives(server, waiting=0, running=0, ok=0, failed=0)
