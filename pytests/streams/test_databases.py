"""Streams and keys that change their database: SWAPDB and MOVE. What is handed over then acts where they are."""

import pytest

from testing.libraries import RELEASE, consumer, function
from testing.replies import fields

SYNC = "(client, data) => { client.call('RPUSH', 'out', data.stream_name + ' ' + value(data)); }"
ASYNC = f"async (client, data) => {{ client.block(c => ({SYNC})(c, data)); }}"
HELD = f"async (client, data) => {{ await holding(client, data); await ({ASYNC})(client, data); }}"
OPTIONS = [None, {"on_failure": "retry", "backoff": {"initial": 10}}]
IDS = ["no options", "options"]


def out(server, db):
    return server.connect(db=db).lrange("out", 0, -1)


def wait_out(server, db, *expected):
    server.wait(lambda: len(out(server, db)) >= len(expected), lambda: [out(server, one) for one in range(6)])
    assert out(server, db) == list(expected)


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
@pytest.mark.parametrize("callback", [SYNC, ASYNC], ids=["sync", "async"])
def test_entries_act_in_the_database_of_their_stream(server, callback, options):
    server.load(consumer(callback=callback, options=options))
    server.add("stream", 1)
    wait_out(server, 0, "stream 1")
    server.run("SWAPDB", 0, 1)
    other = server.connect(db=1)
    server.add("stream", 2, client=other)
    wait_out(server, 1, "stream 1", "stream 2")
    other.execute_command("SWAPDB", 1, 4)
    server.add("stream", 3, client=server.connect(db=4))
    wait_out(server, 4, "stream 1", "stream 2", "stream 3")
    server.add("stream", 4)
    wait_out(server, 0, "stream 4")
    assert out(server, 1) == []


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
@pytest.mark.parametrize("window", [1, 2])
def test_what_waited_beside_its_callback_goes_along(server, options, window):
    server.load(consumer(callback=HELD, window=window, options=options), RELEASE)
    server.add("stream", 1, 2, 3, 4)
    server.wait_message("start ", window)
    server.run("SWAPDB", 0, 3)
    for number in (1, 2, 3, 4):
        server.wait_message(f"start {number} ")
        server.release(number)
    wait_out(server, 3, *(f"stream {number}" for number in (1, 2, 3, 4)))
    assert out(server, 0) == []


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
@pytest.mark.parametrize("how", ["MOVE", "RENAME"])
def test_what_waited_beside_its_callback_goes_along_with_its_key(server, options, how):
    server.load(consumer(callback=HELD, options=options), RELEASE)
    server.add("stream", 1, 2, 3)
    server.wait_message("start 1 ")
    db, name = (2, "stream") if how == "MOVE" else (0, "stream:2")
    server.run(how, "stream", db if how == "MOVE" else name)
    for number in (1, 2, 3):
        server.wait_message(f"start {number} ")
        server.release(number)
    # The first one was handed over before.
    server.wait(lambda: len(out(server, 0) + out(server, 2)) == 3)
    assert out(server, db)[-2:] == [f"{name} 2", f"{name} 3"]


def test_units_that_wait_for_a_busy_worker_go_along(server):
    """Handed over by the core, and not begun."""
    busy = "async client => { redis.log('busy'); for (const end = Date.now() + 500; Date.now() < end;); }"
    options = {"on_failure": "continue"}
    long = f"redis.register_async_function('f', {busy});"
    server.load(consumer(callback=ASYNC, window=3, options=options), long)
    sent = server.send_call("f")
    server.wait_message("busy")
    server.add("stream", 1, 2, 3)
    server.run("MOVE", "stream", 2)
    sent.reply()
    server.wait(lambda: len(out(server, 2)) == 3, lambda: (out(server, 0), out(server, 2)))
    assert out(server, 0) == []


def test_a_retry_acts_where_the_stream_is_by_then(server):
    fails = f"(client, data) => {{ if (!globalThis.go) throw 'no'; ({SYNC})(client, data); }}"
    options = {"on_failure": "retry", "backoff": {"initial": 50, "factor": 1}}
    server.load(consumer(callback=fails, options=options), function("go", "() => { globalThis.go = true; }"))
    server.add("stream", 1)
    server.wait_stream(last_error="no")
    server.run("SWAPDB", 0, 1)
    server.call("go")
    wait_out(server, 1, "stream 1")
    assert out(server, 0) == []


def test_a_letter_that_could_not_be_written_goes_where_its_stream_is(server):
    server.run("SET", "dead", "in the way")
    options = {"on_failure": "continue", "dead_letter": "dead"}
    server.load(consumer(callback="() => { throw 'no'; }", options=options))
    [identity] = server.add("stream", 1)
    server.wait(lambda: "WRONGTYPE" in (server.stream("stream")["last_error"] or ""))
    server.run("SWAPDB", 0, 1)
    other = server.connect(db=1)
    other.delete("dead")
    server.run("SET", "dead", "not here")
    server.wait(lambda: other.exists("dead"))
    [(_, dead_letter)] = other.xrange("dead")
    assert (dead_letter["stream"], dead_letter["id"]) == ("stream", identity)
    assert server.run("GET", "dead") == "not here"


@pytest.mark.parametrize("how", ["SWAPDB", "MOVE"])
def test_letters_whose_entries_are_done_after_all_are_deleted_where_they_are(server, how):
    callback = "async (client, data) => { if (!globalThis.go) throw 'no'; await holding(client, data); }"
    options = {"on_failure": "continue", "dead_letter": "dead"}
    go = function("go", "() => { globalThis.go = true; }")
    server.load(consumer(callback=callback, options=options), RELEASE, go)
    server.add("stream", 1)
    server.wait(lambda: server.run("XLEN", "dead") == 1)
    server.call("go")
    assert server.run("RG.CONSUMER", "REDRIVE", "lib", "consumer", "STREAM", "stream") == 1
    server.wait_message("start 1 ")
    server.run(*(("SWAPDB", 0, 1) if how == "SWAPDB" else ("MOVE", "stream", 1)))
    dead_letters = server.connect(db=1 if how == "SWAPDB" else 0)
    assert dead_letters.xlen("dead") == 1
    server.release(1)
    server.wait(lambda: dead_letters.xlen("dead") == 0)


def test_events_of_keys_that_wait_for_a_worker_go_along(server):
    busy = "async client => { redis.log('busy'); for (const end = Date.now() + 500; Date.now() < end;); }"
    write = "async (client, data) => { client.block(c => c.call('RPUSH', 'out', data.key)); }"
    server.load(
        f"redis.register_notifications_consumer('t', 'k', {write});",
        f"redis.register_async_function('f', {busy});",
    )
    sent = server.send_call("f")
    server.wait_message("busy")
    server.run("SET", "k1", 1)
    server.run("SWAPDB", 0, 1)
    server.run("SET", "k2", 1)
    sent.reply()
    wait_out(server, 1, "k1")
    wait_out(server, 0, "k2")


def test_background_parts_of_an_entry_go_along_and_those_of_a_client_stay(server):
    """A client's database is that of its number, as it is for the commands that it sends."""
    part = "async c => { await new Promise(go => held.set('part', go)); c.block(l => l.call('RPUSH', 'out', 'part')); }"
    server.load(
        consumer(callback=f"(client, data) => {{ client.run_on_background({part}); redis.log('begun'); }}"),
        function("f", f"client => client.run_on_background({part})"),
        RELEASE,
    )
    server.add("stream", 1)
    server.wait_message("begun")
    server.wait(lambda: fields(server.run("RG.FUNCTION", "LIST")[0])["pending_jobs"] == 0)
    server.run("SWAPDB", 0, 1)
    server.release("part")
    wait_out(server, 1, "part")
    sent = server.send_call("f")
    server.wait(lambda: fields(server.run("RG.FUNCTION", "LIST")[0])["pending_jobs"] == 0)
    server.run("SWAPDB", 0, 2)
    server.release("part")
    sent.reply()
    wait_out(server, 0, "part")
    assert out(server, 2) == []


def test_streams_are_found_by_a_scan_though_their_databases_change_places(server):
    other = server.connect(db=1)
    pipe = other.pipeline(transaction=False)
    for number in range(3000):
        pipe.execute_command("XADD", f"stream:{number}", "*", "n", number)
    pipe.execute()
    pipe = server.client.pipeline(transaction=False)
    for number in range(30000):
        pipe.execute_command("SET", f"key:{number}", number)
    pipe.execute()
    server.load(consumer(callback="(client, data) => {}", trim=True))
    server.run("SWAPDB", 0, 1)
    server.wait(lambda: server.consumer()["num_streams"] == 3000, lambda: server.consumer()["num_streams"])


def transaction(server, *commands, db=0):
    """These commands in one transaction."""
    with server.connect(db=db).pipeline(transaction=True) as pipeline:
        for words in commands:
            pipeline.execute_command(*words)
        pipeline.execute()


def test_a_stream_that_a_transaction_moves_is_followed(server):
    server.load(consumer(callback=SYNC))
    server.add("stream", 1)
    transaction(server, ("MOVE", "stream", 1), ("SET", "other", "x"))
    assert [row.get("db") for row in server.consumer()["rows"]] == [1]
    server.add("stream", 2, client=server.connect(db=1))
    wait_out(server, 1, "stream 2")
    # The one of that name is another stream.
    server.add("stream", 3)
    wait_out(server, 0, "stream 1", "stream 3")


@pytest.mark.parametrize("command", ["COPY", "EVAL"])
def test_a_stream_that_a_transaction_copies_elsewhere_is_found_there(server, command):
    server.load(consumer(callback=SYNC))
    server.add("source", 1, 2)
    copy = ("COPY", "source", "stream", "DB", 1)
    script = ("EVAL", "return redis.call('COPY', KEYS[1], 'stream', 'DB', '1')", 1, "source")
    transaction(server, copy if command == "COPY" else script)
    wait_out(server, 1, "stream 1", "stream 2")
    assert server.stream("stream")["db"] == 1


def milliseconds(server):
    seconds, micros = server.run("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def test_a_transaction_that_finds_a_key_expired_elsewhere_leaves_the_stream_of_that_name(server):
    """COPY deletes what expired where it copies to."""
    server.load(consumer(callback=SYNC))
    server.add("stream", 1)
    server.run("SET", "source", "text")
    server.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        end = milliseconds(server) + 5
        server.connect(db=1).set("stream", "text", pxat=end)
        server.wait(lambda: milliseconds(server) > end)
        transaction(server, ("COPY", "source", "stream", "DB", 1))
    finally:
        server.run("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    assert server.connect(db=1).get("stream") == "text"
    assert server.connect(db=1).ttl("stream") == -1
    assert server.stream("stream")["total_record_processed"] == 1
    wait_out(server, 0, "stream 1")


def test_triggers_are_told_of_a_transaction_where_the_key_is(server):
    where = "(client, data) => redis.log(`saw ${data.event} ${client.call('GET', 'where')}`)"
    server.load(f"redis.register_notifications_consumer('t', 'moved', {where});")
    for db in (0, 1):
        server.connect(db=db).set("where", db)
    server.run("SET", "moved", "x")
    transaction(server, ("MOVE", "moved", 1), ("COPY", "where", "moved"))
    server.wait_for(["set 0", "move_from 0", "move_to 1", "copy_to 0"], server.seen)
