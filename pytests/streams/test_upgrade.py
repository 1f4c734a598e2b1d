"""LOAD UPGRADE: what it changes, what it keeps, and that a failing one changes nothing."""

import re

import pytest
from redis import ResponseError

from testing.libraries import RELEASE, consumer, function, library

OLD = consumer(callback="(client, data) => saw(data, 'old')")
NEW = consumer(callback="(client, data) => saw(data, 'new')")


def test_an_upgrade_brings_new_code_and_goes_on_where_the_old_code_stopped(server):
    server.load(OLD)
    server.add("stream", 1, 2)
    server.upgrade(NEW)
    server.add("stream", 3)
    assert (server.seen("old"), server.seen("new")) == (["stream 1", "stream 2"], ["stream 3"])


def test_an_upgrade_keeps_cursor_and_statistics(server):
    server.load(consumer(callback="(client, data) => { if (value(data) === 'bad') throw 'first'; }"))
    server.add("stream:1", "good", "bad")
    server.add("stream:2", "good")
    before = server.consumer()["streams"]
    assert before["stream:1"]["last_error"] == "first"
    server.upgrade(NEW)
    assert server.consumer()["streams"] == before
    server.add("stream:1", "next")
    assert server.stream("stream:1")["total_record_processed"] == 3
    assert server.stream("stream:1")["last_error"] == "first"
    assert server.seen("new") == ["stream:1 next"]


def test_an_upgrade_changes_window_and_trim(server):
    server.load(consumer(window=1, trim=False))
    server.add("stream", *range(5))
    assert server.run("XLEN", "stream") == 5
    server.upgrade(consumer(window=7, trim=True))
    assert (server.consumer()["window"], server.consumer()["trim"]) == (7, "enabled")
    server.add("stream", 5)
    assert server.run("XLEN", "stream") == 0
    server.upgrade(consumer(window=2, trim=False))
    assert (server.consumer()["window"], server.consumer()["trim"]) == (2, "disabled")
    server.add("stream", 6)
    assert server.run("XLEN", "stream") == 1
    assert server.seen() == [f"stream {number}" for number in range(7)]


@pytest.mark.parametrize(("old", "new"), [(1, 4), (4, 1)])
def test_a_new_window_holds_for_what_starts_after_the_upgrade(server, old, new):
    server.load(consumer(window=old, callback="async (client, data) => saw(data, 'old')"))
    server.add("stream", *range(10))
    server.wait_stream(total_record_processed=10)
    server.upgrade(consumer(window=new, callback="holding"), RELEASE)
    ids = server.add("stream", *range(10, 18))
    server.wait_stream(pending_ids=ids[:new])
    for number in range(10, 18):
        server.wait_message(f"start {number} ")
        server.release(number)
    server.wait_message("end ", 8)
    assert max(int(text.split()[1]) for text in server.messages("start ")) == new


def test_entries_that_run_in_the_old_code_end_there_and_count(server):
    server.load(
        consumer(
            callback="""async (client, data) => {
                redis.log(`old start ${value(data)}`);
                do {
                    for (const end = Date.now() + 20; Date.now() < end;) await null;
                } while (!client.block(locked => locked.call('EXISTS', 'upgraded')));
                redis.log(`old end ${value(data)}`);
            }"""
        )
    )
    server.add("stream", 1, 2)
    server.wait_message("old start 1")
    server.upgrade(NEW)
    server.run("SET", "upgraded", 1)
    server.wait_seen("stream 2", tag="new")
    server.wait_stream(total_record_processed=2)
    assert server.messages("old ") == ["start 1", "end 1"]


@pytest.mark.parametrize("options", [None, {"on_failure": "continue"}], ids=["no options", "options"])
def test_what_was_read_ahead_goes_to_the_new_code_while_the_old_code_computes(server, options):
    """Entries of a stream whose window has room, and of another consumer: nobody waits for the old code's worker."""
    at_work = """async (client, data) => {
        redis.log(`old start ${value(data)}`);
        for (const end = Date.now() + 3000; Date.now() < end;);
        redis.log('old end');
    }"""
    new = "async (client, data) => saw(data, 'new')"
    both = ({"window": 2, "options": options}, {"name": "b", "prefix": "b", "options": options})
    server.load(*(consumer(callback=at_work, **one) for one in both))
    pipe = server.client.pipeline()
    for stream in ("stream", "b"):
        for number in (1, 2, 3):
            pipe.execute_command("XADD", stream, "*", "n", number)
    pipe.execute()
    server.wait_message("old start 1")
    server.upgrade(*(consumer(callback=new, **one) for one in both))
    server.wait(lambda: len(server.seen("new")) >= 5, lambda: server.seen("new"))
    assert server.messages("old end") == []
    assert sorted(server.seen("new")) == ["b 1", "b 2", "b 3", "stream 2", "stream 3"]


# --- what the old code does not finish ----------------------------------------------------------------------------

STUCK = {
    "sync": "(client, data) => { redis.log(`old start ${value(data)}`); return new Promise(() => {}); }",
    "async": "async (client, data) => { redis.log(`old start ${value(data)}`); await new Promise(() => {}); }",
}
TAKES = {
    "sync": "(client, data) => saw(data, 'new')",
    "async": "async (client, data) => { await null; saw(data, 'new'); }",
}
NO_RETRY = {"on_failure": "retry", "max_attempts": 1, "dead_letter": "dead"}


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    ("old", "new"), [(None, None), (NO_RETRY, NO_RETRY), (None, NO_RETRY), (NO_RETRY, None)], ids=str
)
@pytest.mark.parametrize("window", [1, 3])
def test_what_the_old_code_cannot_finish_is_handed_to_the_new_code(server, mode, old, new, window):
    server.load(consumer(callback=STUCK[mode], window=window, trim=True, options=old))
    server.add("stream", *range(6))
    server.wait_message("old start ", window)
    server.upgrade(consumer(callback=TAKES[mode], window=window, trim=True, options=new))
    server.wait(lambda: len(server.seen("new")) >= 6, lambda: server.seen("new"))
    expected = [f"stream {number}" for number in range(6)]
    # Those beyond the window of the old code may be started before the old code has given up.
    assert (server.seen("new") if window == 1 else sorted(server.seen("new"))) == expected
    server.wait_stream(total_record_processed=6, last_error="None", pending_ids=[])
    server.wait(lambda: server.run("XLEN", "stream") == 0)
    assert len(server.messages("old start ")) == window
    assert server.run("EXISTS", "dead") == 0


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_new_code_without_options_goes_on_after_what_is_left_of_code_that_had_some(server, mode):
    server.load(consumer(callback=STUCK[mode], trim=True, options={"on_failure": "retry"}))
    server.add("stream", *range(6))
    server.wait_message("old start ")
    server.upgrade(consumer(callback=TAKES[mode], trim=True))
    server.wait(lambda: len(server.seen("new")) == 6, lambda: server.seen("new"))
    server.wait(lambda: server.run("XLEN", "stream") == 0)
    server.add("stream", *range(6, 12))
    server.wait(lambda: len(server.seen("new")) == 12, lambda: server.seen("new"))
    assert server.seen("new") == [f"stream {number}" for number in range(12)]


def test_nothing_is_trimmed_that_the_new_code_has_not_finished_either(server):
    server.load(consumer(callback=STUCK["async"], trim=True))
    ids = server.add("stream", 1, 2)
    server.wait_message("old start ")
    server.upgrade(consumer(callback="holding", trim=True), RELEASE)
    server.wait_message("start 1 ")
    server.wait_stream(pending_ids=[ids[0]])
    assert server.run("XLEN", "stream") == 2
    server.release(1)
    server.wait_message("start 2 ")
    server.release(2)
    server.wait(lambda: server.run("XLEN", "stream") == 0)


def test_what_the_old_code_cannot_finish_may_be_left_by_several_upgrades(server):
    server.load(consumer(callback=STUCK["async"], window=2))
    server.add("stream", 1, 2, 3, 4, 5)
    server.wait_message("old start ", 2)
    for count in (4, 6, 8):
        server.upgrade(consumer(callback=STUCK["async"], window=2))
        server.wait_message("old start ", count)
    server.upgrade(consumer(callback=TAKES["async"], window=2))
    server.wait(lambda: len(server.seen("new")) >= 5, lambda: server.seen("new"))
    assert sorted(server.seen("new")) == [f"stream {number}" for number in (1, 2, 3, 4, 5)]
    assert sorted(server.messages("old start ")) == sorted(["1", "2"] * 4)


def test_entries_deleted_meanwhile_are_not_handed_over_again(server):
    server.load(consumer(callback=STUCK["async"], window=2))
    ids = server.add("stream", 1, 2, 3)
    server.wait_message("old start ", 2)
    server.run("XDEL", "stream", ids[0])
    server.upgrade(consumer(callback=TAKES["async"], window=2))
    server.wait(lambda: len(server.seen("new")) >= 2, lambda: server.seen("new"))
    server.wait_stream(pending_ids=[])
    assert sorted(server.seen("new")) == ["stream 2", "stream 3"]


@pytest.mark.parametrize("options", [None, {"on_failure": "continue"}], ids=["no options", "options"])
def test_an_entry_with_which_the_old_code_computes_for_long_is_handed_over_again(server, options):
    """Two seconds it may go on. Then the new code gets the entry, and the old code does nothing more."""
    old = """async (client, data) => {
        redis.log(`old start ${value(data)}`);
        for (const end = Date.now() + 4000; Date.now() < end;);
        redis.log('old computed');
        client.block(c => c.call('RPUSH', 'effects', 'old'));
    }"""
    new = "async (client, data) => { client.block(c => c.call('RPUSH', 'effects', value(data))); }"
    server.load(consumer(callback=old, options=options))
    server.add("stream", 1, 2)
    server.wait_message("old start 1")
    server.upgrade(consumer(callback=new, options=options))
    server.wait(lambda: server.run("LLEN", "effects") == 2)
    assert server.messages("old computed") == []
    server.wait_message("old computed")
    server.load(consumer(callback="async (client, data) => saw(data)", prefix="after"), name="other")
    server.add("after", 1)
    server.wait_seen("after 1")
    assert server.run("LRANGE", "effects", 0, -1) == ["1", "2"]
    server.wait_stream(total_record_processed=2, last_error="None")


TIMED = "Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, %d).value"


@pytest.mark.parametrize("options", [None, {"on_failure": "continue"}], ids=["no options", "options"])
def test_old_code_that_waits_for_a_time_to_pass_may_finish_its_entry(server, options):
    old = f"""async (client, data) => {{
        redis.log(`old start ${{value(data)}}`);
        await {TIMED % 300};
        client.block(c => c.call('RPUSH', 'effects', `old ${{value(data)}}`));
    }}"""
    new = "async (client, data) => { client.block(c => c.call('RPUSH', 'effects', `new ${value(data)}`)); }"
    server.load(consumer(callback=old, options=options))
    server.add("stream", 1, 2)
    server.wait_message("old start 1")
    server.upgrade(consumer(callback=new, options=options))
    server.wait(lambda: server.run("LRANGE", "effects", 0, -1) == ["old 1", "new 2"])
    server.wait_stream(total_record_processed=2, last_error="None", pending_ids=[])


@pytest.mark.parametrize("ends", ["upgrade", "delete"])
def test_a_caller_of_old_code_that_waits_for_a_time_to_pass_gets_its_result(server, ends):
    server.load(function("wait", f"async client => {{ redis.log('old start'); await {TIMED % 300}; return 'done'; }}"))
    call = server.send_call("wait")
    server.wait_message("old start")
    if ends == "upgrade":
        server.upgrade(function("wait", "client => 1"))
    else:
        server.run("RG.FUNCTION", "DEL", "lib")
    assert call.reply() == "done"


def test_old_code_that_waits_for_too_long_a_time_is_given_up(server):
    server.load(consumer(callback=f"async (client, data) => {{ redis.log('old start'); await {TIMED % 3_600_000}; }}"))
    server.add("stream", 1)
    server.wait_message("old start")
    server.upgrade(consumer(callback=TAKES["async"]))
    server.wait_seen("stream 1", tag="new")


@pytest.mark.parametrize("upgrades", [False, True])
def test_code_that_nobody_waits_for_continues_when_its_time_has_passed(server, upgrades):
    part = f"""client.run_on_background(async client => {{
        redis.log('old start');
        await {TIMED % 300};
        client.block(c => c.call('SET', 'k', 'old'));
    }})"""
    server.load(function("begin", f"client => {{ {part}; return 1; }}"))
    assert server.call("begin") == 1
    server.wait_message("old start")
    if upgrades:
        server.upgrade(function("begin", "client => 2"))
    server.wait(lambda: server.run("GET", "k") == "old")


def test_what_a_deleted_library_did_not_finish_is_not_handed_over(server):
    server.load(consumer(callback=STUCK["async"]))
    server.add("stream", 1)
    server.wait_message("old start ")
    server.run("RG.FUNCTION", "DEL", "lib")
    server.load(consumer(callback=TAKES["async"], options={"start": "latest"}))
    server.add("stream", 2)
    server.wait_seen("stream 2", tag="new")


def test_an_upgrade_with_unread_backlog_hands_over_every_entry_once(server):
    server.load(consumer(window=3, callback="async (client, data) => saw(data)"))
    pipe = server.client.pipeline(transaction=False)
    for number in range(2000):
        pipe.execute_command("XADD", "stream", "*", "n", number)
        if number % 100 == 50:
            pipe.execute_command(
                "RG.FUNCTION",
                "LOAD",
                "UPGRADE",
                library(consumer(window=number % 7 + 1, callback="async (client, data) => saw(data)")),
            )
    pipe.execute()
    server.wait(lambda: len(server.seen()) >= 2000, lambda: server.stream("stream"))
    server.wait_stream(total_record_processed=2000)
    assert sorted(server.seen(), key=lambda text: int(text.split()[1])) == [f"stream {n}" for n in range(2000)]


def test_a_consumer_that_an_upgrade_adds_begins_at_the_beginning(server):
    server.load(OLD)
    server.add("stream", 1, 2)
    server.upgrade(OLD, consumer("added", callback="(client, data) => saw(data, 'added')"))
    server.wait_seen("stream 1", "stream 2", tag="added")
    assert server.seen("old") == ["stream 1", "stream 2"]


def test_a_consumer_that_an_upgrade_leaves_out_is_gone(server):
    server.load(OLD, consumer("other", callback="(client, data) => saw(data, 'other')", trim=True))
    server.upgrade(OLD)
    server.add("stream", 1)
    assert (server.seen("old"), server.seen("other")) == (["stream 1"], [])
    [reply] = server.run("RG.FUNCTION", "LIST")
    assert reply[reply.index("stream_consumers") + 1] == ["consumer"]


def test_an_upgrade_replaces_code_configuration_and_globals(server):
    callback = "(client, data) => redis.log(`state ${JSON.stringify(redis.config)} ${++count}`)"
    server.load("let count = 0;", consumer(callback=callback), options=["CONFIG", '{"a":1}'])
    server.add("stream", 1, 2)
    server.load("let count = 10;", consumer(callback=callback), options=["UPGRADE", "CONFIG", '{"b":2}'])
    server.add("stream", 3)
    server.upgrade("let count = 20;", consumer(callback=callback))
    server.add("stream", 4)
    assert server.messages("state ") == ['{"a":1} 1', '{"a":1} 2', '{"b":2} 11', '{"b":2} 21']
    [reply] = server.run("RG.FUNCTION", "LIST", "WITHCODE")
    assert reply[reply.index("configuration") + 1] == '{"b":2}'
    assert "let count = 20;" in reply[reply.index("code") + 1]


def test_upgrade_of_a_library_that_is_not_there_loads_it(server):
    assert server.upgrade(NEW) == "OK"
    server.add("stream", 1)
    assert server.seen("new") == ["stream 1"]


CHANGED = NEW.replace("1, false", "9, true")
FAILING = {
    "a syntax error": ("function (", "Failed library compilation"),
    "an unknown engine": ("#!python name=lib\n", "Unknown backend"),
    "nothing registered": ("", "No function nor registrations"),
    "an exception after the registration": (f"{CHANGED} throw new Error('too late');", "too late"),
    "a rejected promise": (f"{CHANGED} Promise.reject(new Error('rejected'));", "rejected"),
    "an endless loop after the registration": (f"{CHANGED} for (;;);", r"(?i)terminated|timeout|time"),
    "a wrong argument after a right one": (f"{CHANGED} redis.register_stream_consumer(1);", "Wrong number of arg"),
    "the same name twice": (f"{CHANGED} {CHANGED}", "Stream registration already exists"),
    "another prefix": (
        consumer(prefix="changed", window=9, trim=True),
        "Can not upgrade an existing consumer with different prefix, consumer: 'consumer', "
        "old_prefix: stream, new_prefix: changed",
    ),
    "another prefix and a new consumer": (
        consumer("added") + consumer(prefix="str", window=9, trim=True),
        "Can not upgrade an existing consumer with different prefix",
    ),
    "wrong configuration": (None, "configuration must be a valid json"),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_failing_upgrade_leaves_the_old_library_as_it_was(server, what):
    code, error = FAILING[what]
    server.load(OLD)
    server.set_timeout(200)
    server.add("stream", 1)
    before = server.run("RG.FUNCTION", "LIST", "vvv", "WITHCODE")

    with pytest.raises(ResponseError, match=error):
        if code is None:
            server.load(CHANGED, options=["UPGRADE", "CONFIG", "no json"])
        elif code.startswith("#!"):
            server.run("RG.FUNCTION", "LOAD", "UPGRADE", code)
        else:
            server.upgrade(code)

    assert server.run("RG.FUNCTION", "LIST", "vvv", "WITHCODE") == before
    server.add("stream", 2)
    assert (server.seen("old"), server.seen("new")) == (["stream 1", "stream 2"], [])
    assert server.run("XLEN", "stream") == 2
    assert server.upgrade(NEW) == "OK"
    server.add("stream", 3)
    assert server.seen("new") == ["stream 3"]


def test_a_failing_upgrade_leaves_running_callbacks_alone(server):
    server.load(consumer(window=2, callback="holding"), RELEASE)
    ids = server.add("stream", 1, 2, 3)
    server.wait_message("start ", 2)
    with pytest.raises(ResponseError, match="too late"):
        server.upgrade(consumer(window=9), RELEASE, "throw new Error('too late');")
    assert server.stream("stream")["pending_ids"] == ids[:2]
    server.release(2)
    server.wait_message("start 3 ")
    server.release(1, 3)
    server.wait_stream(total_record_processed=3)
    assert not server.seen()


def test_loading_again_without_upgrade_is_refused_and_changes_nothing(server):
    server.load(OLD)
    with pytest.raises(ResponseError, match=re.escape("Library lib already exists")):
        server.load(NEW)
    server.add("stream", 1)
    assert (server.seen("old"), server.seen("new")) == (["stream 1"], [])
