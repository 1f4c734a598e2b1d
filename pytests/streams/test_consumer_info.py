"""What can be seen of consumers: RG.CONSUMER INFO, RG.FUNCTION LIST, and the server's INFO."""

import pytest
from redis import ResponseError

from testing.libraries import consumer
from testing.policies import (
    AN_HOUR,
    add_at_once,
    attempting,
    attempts_of_pending,
    command,
    info,
    load_attempting,
    make_fail,
    make_succeed,
    pass_marker,
    policy,
    wait_dead_letters,
    wait_done,
    wait_info,
    wait_tries,
)
from testing.replies import fields
from testing.wire import Wire, type_name

BY_HAND = {"on_failure": "retry", "retry_interval": AN_HOUR}
COUNTERS = ["processed", "in_flight", "attempts", "failures", "given_up", "dead_letters", "filtered"]
TIMES = ["lag_ms_p50", "lag_ms_p99", "processing_ms_p50", "processing_ms_p99"]
FIGURES = ["calls", "errors", "running", "duration_ms_p50", "duration_ms_p99", "duration_ms_max", "locked_ms", "bytes"]
RECENT_TIMES = [f"{which}_ms_{part}" for which in ("lag", "processing") for part in ("p50", "p99", "max")]
ERRORS = ["last_error", "last_error_stack", "last_error_time", "last_error_id", "last_error_stream", "error_classes"]
BACKLOG = ["backlog_entries", "backlog_exact", "oldest_pending_ms"]
OF_CONSUMER = [
    "name", "library", "prefix", "window", "trim", "options", "state", "error", "streams",
    *COUNTERS, *RECENT_TIMES, *FIGURES, *ERRORS, "reason", "blocked_streams", "redriven", *BACKLOG,
]
OF_STREAM = ["name", "state", "error", "retry_in_ms", "position", "pending", "attempts_of_pending", "lag_entries"]
OF_STREAM += ["lag_ms", *COUNTERS, *TIMES, "last_error", "last_error_stack", "reason"]

# As RedisGears 2.0 has them, in its order.
LISTED = ["name", "prefix", "window", "trim", "num_streams", "streams"]
LISTED_STREAM = ["name", "last_processed_time", "avg_processed_time", "last_lag", "avg_lag", "total_record_processed"]
LISTED_STREAM += ["id_to_read_from", "last_error", "pending_ids"]
MORE_OF_STREAM = ["state", "attempts", "failures", "given_up", "dead_letters", "filtered"]
MORE_OF_STREAM += ["lag_p50", "lag_p99", "processed_time_p50", "processed_time_p99"]


# --- RG.CONSUMER INFO -----------------------------------------------------------------------------------------------


def test_info_of_a_consumer_has_all_fields(server):
    options = {"batch": 2, "on_failure": "retry", "dead_letter": "dead", "backoff": {"initial": 5, "max": 50}}
    server.load(*policy(attempting(window=7, trim=True, **options)))
    server.add("stream:1", 1)
    server.add("stream:2", 2, 3)
    found = info(server)
    assert [name for name in found if name != "error"] == [name for name in OF_CONSUMER if name != "error"]
    assert (found["name"], found["library"], found["prefix"], found["window"]) == ("consumer", "lib", "stream", 7)
    assert found["trim"] in (1, "enabled")
    assert (found["state"], found["streams"], found["processed"], found["in_flight"]) == ("running", 2, 2, 0)
    shown = fields(found["options"])
    assert (shown["batch"], shown["on_failure"], shown["dead_letter"]) == (2, "retry", "dead")
    backoff = fields(shown["backoff"])
    assert (backoff["initial"], float(backoff["factor"]), backoff["max"]) == (5, 2, 50)
    assert shown.keys() == options.keys()
    for name in RECENT_TIMES:
        assert float(found[name]) >= 0


def test_info_of_a_consumer_without_options_has_them_too(server):
    server.load(*policy(consumer()))
    server.add("stream", 1)
    found = info(server)
    assert found["options"] == []
    assert (found["state"], found["streams"], found["processed"]) == ("running", 1, 1)
    assert info(server, "stream")["processed"] == 1


def test_info_of_a_stream_has_all_fields(server):
    server.load(*policy(consumer(window=2, callback="holding", options={"start": "earliest"})))
    ids = add_at_once(server, "stream", range(5))
    server.wait_message("start ", 2)
    found = info(server, "stream")
    assert list(found) == OF_STREAM
    assert (found["name"], found["state"], found["position"]) == ("stream", "running", ids[1])
    assert (found["pending"], found["in_flight"], found["processed"]) == (ids[:2], 2, 0)
    assert found["lag_entries"] == 5
    server.wait(lambda: info(server, "stream")["lag_ms"] > 0, lambda: info(server, "stream"))
    server.release(0, 1)
    server.wait_message("start ", 4)
    server.release(2, 3)
    server.wait_message("start ", 5)
    server.release(4)
    wait_info(server, "stream", pending=[], in_flight=0, processed=5, lag_entries=0, lag_ms=0, position=ids[4])


def test_info_is_a_map_in_resp3(server):
    server.load(*policy(consumer(options={"batch": 2})))
    server.add("stream", 1)
    for more in ([], ["STREAM", "stream"]):
        with Wire(server.port, 3) as wire:
            assert type_name(wire.call("RG.CONSUMER", "INFO", "lib", "consumer", *more)) == "map"
        with Wire(server.port) as wire:
            assert type_name(wire.call("RG.CONSUMER", "INFO", "lib", "consumer", *more)) == "array"


def test_info_counts_what_is_behind(server):
    server.load(*policy(consumer(options={})))
    server.add("stream", 0)
    command(server, "PAUSE")
    server.run("EVAL", "for i = 1, ARGV[1] do redis.call('XADD', 'stream', '*', 'n', i) end", 0, 9000)
    assert info(server, "stream")["lag_entries"] == 9000
    server.run("EVAL", "for i = 1, ARGV[1] do redis.call('XADD', 'stream', '*', 'n', i) end", 0, 9000)
    assert info(server, "stream")["lag_entries"] == 10_000


# --- backlog --------------------------------------------------------------------------------------------------------

ADD = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'n', i) end"


def backlog(server, name="consumer"):
    found = info(server, name=name)
    shown = section(server, name)
    assert [shown[field] for field in BACKLOG[:2]] == [found[field] for field in BACKLOG[:2]]
    return found["backlog_entries"], found["backlog_exact"]


@pytest.mark.parametrize("options", [None, {}, {"on_failure": "abort"}])
def test_the_backlog_is_what_is_not_done(server, options):
    server.load(*policy(consumer(options=options), consumer("other", "other")))
    assert (backlog(server), info(server)["oldest_pending_ms"]) == ((0, 1), 0)
    server.add("stream:1", *range(7))
    wait_info(server, processed=7, backlog_entries=0, backlog_exact=1, oldest_pending_ms=0)
    command(server, "PAUSE")
    server.run("EVAL", ADD, 1, "stream:1", 12_000)
    server.run("EVAL", ADD, 1, "stream:2", 3_000)
    wait_info(server, backlog_entries=15_000, backlog_exact=1)
    server.wait(lambda: info(server)["oldest_pending_ms"] > 0, lambda: info(server))
    assert backlog(server, "other") == (0, 1)
    command(server, "RESUME")
    wait_info(server, processed=15_007, backlog_entries=0, backlog_exact=1, oldest_pending_ms=0)


def test_the_backlog_counts_what_nobody_told_of_and_what_is_deleted(server):
    server.load(*policy(consumer()))
    command(server, "PAUSE")
    server.run("EVAL", ADD, 1, "source", 25_000)
    [first, *_] = server.client.xrange("source", count=1)
    raw = server.connect(decode_responses=False)
    raw.restore("stream:1", 0, raw.dump("source"))
    server.add("stream:2", 1, 2, 3)
    wait_info(server, streams=2, backlog_entries=25_003, backlog_exact=1)
    age = server.client.time()[0] - int(first[0].split("-")[0]) / 1000
    assert age - 5 <= info(server)["oldest_pending_ms"] / 1000 <= age + 60
    server.client.xtrim("stream:2", maxlen=1, approximate=False)
    wait_info(server, backlog_entries=25_001, backlog_exact=1)
    server.client.xtrim("stream:1", maxlen=100, approximate=False)
    wait_info(server, backlog_entries=101, backlog_exact=1)
    server.client.delete("stream:1")
    wait_info(server, streams=1, backlog_entries=1, backlog_exact=1)
    server.client.xdel("stream:2", server.client.xrange("stream:2")[0][0])
    wait_info(server, streams=1, backlog_entries=0, backlog_exact=1, oldest_pending_ms=0)


def test_a_backlog_that_would_take_long_to_count_is_an_estimate(server):
    server.load(*policy(consumer()))
    for ms in range(1, 41):
        add = f"for i = 1, 1000 do redis.call('XADD', KEYS[1], '{ms}-' .. i, 'n', i) end"
        server.run("EVAL", add, 1, "stream:1")
    wait_info(server, processed=40_000)
    command(server, "PAUSE")
    command(server, "SEEK", "STREAM", "stream:1", "11-1")
    found = info(server)
    assert found["backlog_exact"] == 0
    assert abs(found["backlog_entries"] - 30_000) <= 1500
    command(server, "SEEK", "STREAM", "stream:1", "36-1")
    wait_info(server, backlog_entries=5000, backlog_exact=1)
    command(server, "RESUME")
    wait_info(server, processed=45_000, backlog_entries=0, backlog_exact=1)


def test_a_backlog_is_counted_in_every_database(server):
    server.load(*policy(consumer()))
    command(server, "PAUSE")
    other = server.connect(db=3)
    server.run("EVAL", ADD, 1, "stream", 5)
    other.execute_command("EVAL", ADD, 1, "stream", 6)
    other.execute_command("XDEL", "stream", other.xrange("stream")[0][0])
    wait_info(server, backlog_entries=10, backlog_exact=1)
    assert "db=0" in server.client.execute_command("CLIENT", "INFO")


def test_lag_is_the_age_of_the_oldest_entry_that_is_not_done(server):
    server.load(*policy(consumer(options={})))
    command(server, "PAUSE")
    [seconds, _] = server.client.time()
    server.run("XADD", "stream", f"{(seconds - 1000) * 1000}-1", "n", 1)
    server.add("stream", 2)
    server.wait(lambda: info(server)["streams"] == 1, lambda: info(server))
    assert 990_000 <= info(server, "stream")["lag_ms"] <= 1_200_000


def test_failures_and_attempts_are_counted(server):
    load_attempting(server, **BY_HAND)
    make_fail(server, 1)
    ids = server.add("stream", 0, 1, 2)
    wait_tries(server, 2)
    assert attempts_of_pending(server) == [1]
    command(server, "RETRY", "STREAM", "stream")
    wait_tries(server, 3)
    wait_info(server, "stream", state="waiting", failures=2, processed=1, given_up=0, pending=[ids[1]])
    assert attempts_of_pending(server) == [2]
    assert 0 < info(server, "stream")["retry_in_ms"] <= AN_HOUR
    assert info(server, "stream")["attempts"] >= 2
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, 0, 1, 2)
    wait_info(server, "stream", state="running", failures=2, processed=3, pending=[])
    wait_info(server, failures=2, processed=3)
    assert attempts_of_pending(server) == []


def test_the_counters_of_a_consumer_are_those_of_its_streams_together(server):
    options = {"on_failure": "retry", "retry_interval": 0, "max_attempts": 2, "dead_letter": "dead"}
    options |= {"filter": {"n": {"not": "x"}}}
    load_attempting(server, **options)
    make_fail(server, "bad")
    for stream in ("stream:1", "stream:2", "stream:3"):
        server.add(stream, 1, "bad", 2, "x")
    wait_dead_letters(server, "bad", "bad", "bad")
    wait_info(server, dead_letters=3, given_up=3, filtered=3)
    rows = [info(server, f"stream:{number}") for number in (1, 2, 3)]
    for name in COUNTERS:
        assert info(server)[name] == sum(row[name] for row in rows), name


def test_the_counters_of_a_consumer_outlive_its_streams(server):
    server.load(consumer())
    server.add("stream:1", 1, 2)
    server.add("stream:2", 3)
    wait_info(server, processed=3, streams=2)
    server.client.delete("stream:1")
    wait_info(server, processed=3, streams=1, in_flight=0)
    server.add("stream:1", 4)
    wait_info(server, processed=4, streams=2)
    server.client.flushall()
    wait_info(server, processed=4, streams=0)


def test_times_are_measured(server):
    code = "(client, data) => { for (const end = Date.now() + 20; Date.now() < end;); }"
    server.load(*policy(consumer(callback=code, options={})))
    server.add("stream", *range(10))
    for found in (info(server), info(server, "stream")):
        assert 15 <= float(found["processing_ms_p50"]) <= float(found["processing_ms_p99"])
        assert 15 <= float(found["lag_ms_p50"]) <= float(found["lag_ms_p99"])
    for found in (info(server), section(server)):
        for which in ("lag", "processing"):
            assert float(found[f"{which}_ms_p99"]) <= float(found[f"{which}_ms_max"])


def test_info_tells_what_went_wrong_when_where_and_how_often(server):
    callback = """(client, data) => {
        const text = value(data);
        if (text === 'type') null.x;
        if (text.startsWith('thrown ')) throw text.slice(7);
    }"""
    server.load(*policy(consumer(callback=callback), consumer("other", "other", callback=callback)))
    before = info(server)
    nothing = {"last_error": "None", "last_error_stack": "None", "last_error_time": 0, "last_error_id": "None"}
    assert {name: before[name] for name in ERRORS} == nothing | {"last_error_stream": "None", "error_classes": []}
    assert section(server)["error_classes"] == "None"
    [seconds, _] = server.client.time()
    ids = server.add("stream:1", "fine", "type", "type", "thrown NOPERM none of it", "fine")
    wait_info(server, processed=5)
    found = info(server)
    assert (found["last_error"], found["last_error_id"]) == ("NOPERM none of it", ids[3])
    assert found["last_error_stream"] == "stream:1"
    assert seconds - 1 <= found["last_error_time"] / 1000 <= server.client.time()[0] + 1
    assert fields(found["error_classes"]) == {"NOPERM": 1, "TypeError": 2}
    shown = section(server)
    assert shown["error_classes"] == "NOPERM:1|TypeError:2"
    assert (shown["last_error_id"], shown["last_error_time"]) == (ids[3], found["last_error_time"])
    assert shown["last_error"] == "NOPERM none of it"
    assert fields(info(server, name="other")["error_classes"]) == {}


def test_classes_of_errors_are_bounded(server):
    callback = "(client, data) => { throw new Error(value(data)); }"
    server.load(*policy(consumer(callback=callback.replace("new Error(value(data))", "`kind ${value(data)}: x`"))))
    server.add("stream", *range(40))
    wait_info(server, processed=40)
    classes = fields(info(server)["error_classes"])
    assert (len(classes), classes["other"], sum(classes.values())) == (17, 24, 40)


def test_classes_of_errors_are_a_map_in_resp3(server):
    server.load(*policy(consumer(callback="() => { throw 'ERR no'; }")))
    server.add("stream", 1)
    wait_info(server, processed=1)
    reply = server.connect(protocol=3).execute_command("RG.CONSUMER", "INFO", "lib", "consumer")
    assert reply["error_classes"] == {"ERR": 1}


# --- RG.FUNCTION LIST -----------------------------------------------------------------------------------------------


def test_a_consumer_without_options_is_listed_as_ever(server):
    server.load(*policy(consumer(callback="(client, data) => { saw(data); throw 'no'; }")))
    server.add("stream", 1)
    found = server.consumer()
    assert [name for name in found if name != "rows"] == LISTED
    assert list(server.stream("stream")) == LISTED_STREAM


def test_also_after_commands_were_given_for_it(server):
    server.load(*policy(consumer()))
    server.add("stream", 1)
    command(server, "PAUSE")
    command(server, "RESUME")
    command(server, "SEEK", "STREAM", "stream", "earliest")
    server.wait_seen("stream 1", "stream 1")
    assert [name for name in server.consumer() if name != "rows"] == LISTED
    assert list(server.stream("stream")) == LISTED_STREAM


def test_a_consumer_with_options_has_more_fields_behind_those(server):
    load_attempting(server, batch=1, **BY_HAND)
    make_fail(server, 1)
    server.add("stream", 0, 1)
    wait_tries(server, 2)
    found = server.consumer()
    assert [name for name in found if name != "rows"] == [*LISTED, "options", "state"]
    assert fields(found["options"]) == {"batch": 1} | BY_HAND
    row = server.stream("stream")
    assert list(row) == [*LISTED_STREAM, *MORE_OF_STREAM, "last_error_stack"]
    assert row["state"] == "waiting"
    assert (row["failures"], row["given_up"], row["dead_letters"], row["filtered"]) == (1, 0, 0, 0)
    for name in MORE_OF_STREAM[-4:]:
        assert float(row[name]) >= 0


@pytest.mark.parametrize("options", ["v", "vv", "vvv"])
def test_the_fields_of_the_seed_stay_at_each_verbosity(server, options):
    server.load(*policy(consumer(), consumer("with", options={"batch": 2})))
    server.add("stream", 1)
    [reply] = server.run("RG.FUNCTION", "LIST", options, "LIBRARY", "lib")
    rows = {row["name"]: row for row in map(fields, fields(reply)["stream_consumers"])}
    plain = list(rows["consumer"])
    assert list(rows["with"])[: len(plain)] == plain
    if options != "v":
        [row] = rows["consumer"]["streams"]
        [more] = rows["with"]["streams"]
        names = list(fields(row))
        assert list(fields(more))[: len(names)] == names


def test_an_upgrade_changes_what_is_listed(server):
    server.load(*policy(consumer(options={"batch": 2})))
    assert fields(server.consumer()["options"]) == {"batch": 2}
    server.upgrade(*policy(consumer(options={"start": "latest"})))
    assert fields(server.consumer()["options"]) == {"start": "latest"}
    server.upgrade(*policy(consumer()))
    assert "options" not in server.consumer()


# --- INFO -----------------------------------------------------------------------------------------------------------


def section(server, name="consumer"):
    return server.client.info("redisgears_2_consumers")[f"redisgears_2_consumer_lib_{name}"]


def test_the_servers_info_has_a_line_for_each_consumer(server):
    options = {"on_failure": "retry", "retry_interval": AN_HOUR, "max_attempts": 2, "dead_letter": "dead"}
    server.load(*policy(attempting(**options), attempting(name="second", prefix="second", on_failure="abort")))
    redrives = [f"redrives_{name}" for name in ("waiting", "running", "ok", "failed")]
    expected = ["streams", *COUNTERS, *RECENT_TIMES, "state", *redrives, "redriven", "blocked_streams", "reason"]
    expected += [name for name in ERRORS if name not in ("last_error_stack", "last_error_stream")]
    expected += BACKLOG
    assert list(section(server)) == expected
    assert (section(server)["streams"], section(server)["state"]) == (0, "running")
    make_fail(server, 1)
    server.add("stream", 0, 1)
    wait_info(server, "stream", state="waiting")
    shown = section(server)
    assert (shown["streams"], shown["processed"], shown["failures"], shown["in_flight"]) == (1, 1, 1, 0)
    assert section(server, "second")["streams"] == 0
    command(server, "RETRY", "STREAM", "stream")
    wait_dead_letters(server, 1)
    wait_info(server, given_up=1)
    shown = section(server)
    assert (shown["given_up"], shown["dead_letters"], shown["state"]) == (1, 1, "running")


def test_the_state_is_a_word_there(server):
    server.load(
        *policy(
            attempting(**BY_HAND, scope="consumer"),
            attempting(name="aborts", prefix="aborts", on_failure="abort", scope="consumer"),
            attempting(name="idle", prefix="idle"),
        )
    )
    make_fail(server, 1)
    server.add("stream", 1)
    server.add("aborts", 1)
    command(server, "PAUSE", name="idle")
    wait_info(server, state="waiting")
    wait_info(server, name="aborts", state="aborted")
    assert [section(server, name)["state"] for name in ("consumer", "idle", "aborts", "marker")] == ["waiting", "paused", "aborted", "running"]


def test_other_sections_stay_as_they_are(server):
    server.load(*policy(consumer(options={"batch": 2})))
    pass_marker(server)
    everything = server.client.info("redisgears_2")
    assert everything["redisgears_2_library_lib"]["stream_consumers"] == 3
    assert "redisgears_2_consumer_lib_consumer" in everything


@pytest.mark.parametrize("options", [{"on_failure": "abort"}, {"on_failure": "retry", "retry_interval": 100000}])
def test_entries_behind_a_failed_one_of_their_group_are_pending_here_and_on_the_replica(pair, options):
    # It fails when those of other groups are done: behind a failure none of them would begin.
    pair.load(
        consumer(
            callback="""async (client, data) => {
                if (value(data) === 'x') await new Promise(resolve => { globalThis.last = resolve; });
                if (value(data) === 'x') throw new Error('no');
                if (value(data) === 'c') globalThis.last();
            }""",
            window=10,
            options=options | {"order_by": "n"},
        )
    )
    pipeline = pair.client.pipeline(transaction=True)
    for value in ["a", "x", "b", "x", "c"]:
        pipeline.execute_command("XADD", "stream", "*", "n", value)
    ids = pipeline.execute()
    pair.replica.wait(lambda: pair.replica.libraries() == ["lib"], "the library does not arrive")
    for node in (pair, pair.replica):
        node.wait_stream(pending_ids=[ids[1], ids[3]])


def test_a_stream_that_is_found_expired_while_it_is_looked_at_is_gone(server):
    """Its consumers would skip entries of the next one of that name."""
    server.load(consumer(), consumer("other", callback="async (client, data) => saw(data)"))
    server.add("stream", 1)
    server.wait(lambda: len(server.seen()) == 2, server.seen)
    server.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        server.run("PEXPIRE", "stream", 1)
        with pytest.raises(ResponseError, match="consumer 'consumer' knows no stream 'stream'"):
            server.wait(lambda: server.run("RG.CONSUMER", "INFO", "lib", "consumer", "STREAM", "stream") is None)
    finally:
        server.run("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    assert (server.stream("stream"), server.stream("stream", "other")) == ({}, {})
    server.run("XADD", "stream", "1-1", "n", "new")
    server.wait(lambda: server.seen()[2:] == ["stream new"] * 2, server.seen)
    assert "internal error" not in server.log_text()


def test_info_tells_what_streams_take_which_is_nothing_once_they_are_gone(server):
    def streams_bytes():
        return server.client.info("redisgears_2_memory")["redisgears_2_streams_bytes"]

    server.load(*policy(consumer()))
    assert streams_bytes() == 0
    server.add("stream", 1)
    one = streams_bytes()
    assert one > 100
    for number in range(9):
        server.add(f"stream:{number}", 1)
    assert streams_bytes() > 9 * one
    server.client.flushall()
    assert streams_bytes() == 0
