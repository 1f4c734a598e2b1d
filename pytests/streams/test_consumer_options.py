"""Which entries a consumer is handed and in which order: filter, start and exact; and options that are wrong."""

import re

import pytest
from redis import ResponseError

from testing.libraries import consumer, library
from testing.policies import batches, each_persistence, info, kill_and_restart, pass_marker, policy, sync_and_async, wait_info
from testing.replication import promote, settle

SAW = {"sync": "(client, data) => saw(data)", "async": "async (client, data) => saw(data)"}


def seeing(kind="sync", options="{}", **more):
    return consumer(callback=SAW[kind], options=options, **more)


# --- filter ---------------------------------------------------------------------------------------------------------

# Each has its number in front.
ENTRIES = {
    1: ["kind", "new"],
    2: ["kind", "old"],
    3: ["other", "new"],
    4: ["kind", ""],
    5: ["kind", "newer", "size", "9"],
    6: ["kind", "old", "kind", "new"],
    7: ["size", "9", "kind", "new"],
}
ALL = list(ENTRIES)

CONDITIONS = {
    "'new'": [1, 7],
    "''": [4],
    "'NEW'": [],
    "new Uint8Array([110, 101, 119]).buffer": [1, 7],
    "['new']": [1, 7],
    "['new', 'old']": [1, 2, 6, 7],
    "['new', { prefix: 'o' }, { exists: false }]": [1, 2, 3, 6, 7],
    "{ prefix: 'new' }": [1, 5, 7],
    "{ prefix: '' }": [1, 2, 4, 5, 6, 7],
    "{ exists: true }": [1, 2, 4, 5, 6, 7],
    "{ exists: false }": [3],
    "{ not: 'new' }": [2, 3, 4, 5, 6],
    "{ not: { prefix: 'new' } }": [2, 3, 4, 6],
    "{ not: { exists: true } }": [3],
    "{ not: { exists: false } }": [1, 2, 4, 5, 6, 7],
    "{ not: ['new', 'old'] }": [3, 4, 5],
    "{ not: { not: 'new' } }": [1, 7],
}


def add_entries(server):
    for number, pairs in ENTRIES.items():
        server.run("XADD", "stream", "*", "n", number, *pairs)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_only_entries_for_which_the_condition_holds_are_handed_over(server, condition):
    server.load(*policy(seeing(options=f"{{ filter: {{ kind: {condition} }} }}")))
    add_entries(server)
    expected = CONDITIONS[condition]
    assert server.seen() == [f"stream {number}" for number in expected]
    wait_info(server, "stream", filtered=len(ALL) - len(expected), processed=len(expected), pending=[])


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ("kind: { exists: true }, size: '9'", [5, 7]),
        ("kind: { prefix: 'new' }, size: { exists: false }", [1]),
        ("kind: 'new', other: 'new'", []),
        ("n: ['1', '2', '3'], kind: { not: 'old' }", [1, 3]),
    ],
)
@sync_and_async
def test_all_conditions_must_hold(server, kind, conditions, expected):
    server.load(*policy(seeing(kind, f"{{ filter: {{ {conditions} }} }}")))
    add_entries(server)
    wait_info(server, "stream", filtered=len(ALL) - len(expected), processed=len(expected))
    assert server.seen() == [f"stream {number}" for number in expected]


def test_values_that_are_no_text_are_compared_as_bytes(server):
    bytes_ff = "new Uint8Array([0xff, 0x00]).buffer"
    server.load(
        *policy(
            seeing(options=f"{{ filter: {{ kind: {bytes_ff} }} }}"),
            consumer(
                "prefix",
                callback="(client, data) => saw(data, 'prefix')",
                options="{ filter: { kind: { prefix: new Uint8Array([0xff]).buffer } } }",
            ),
        )
    )
    for number, value in enumerate([b"\xff\x00", b"\xff\x00\x00", b"\xff", b"\xfe\x00", b"\xc3\xbf"]):
        server.run("XADD", "stream", "*", "n", number, "kind", value)
    assert server.seen() == ["stream 0"]
    assert server.seen("prefix") == ["stream 0", "stream 1", "stream 2"]


def test_what_does_not_match_is_done_and_trimmed(server):
    server.load(*policy(seeing(options="{ filter: { n: '3' } }", trim=True)))
    ids = server.add("stream", 1, 2)
    server.wait(lambda: server.run("XLEN", "stream") == 0, "what does not match is not trimmed")
    ids += server.add("stream", 3, 4)
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the stream is not trimmed")
    assert server.seen() == ["stream 3"]
    wait_info(server, "stream", filtered=3, processed=1, position=ids[-1])


def test_what_does_not_match_fills_no_batch(server):
    code = "(client, batch) => got(batch)"
    server.load(*policy(consumer(callback=code, options={"batch": 3, "filter": {"n": {"not": ["1", "3", "5"]}}})))
    server.add("stream", *range(4))
    pass_marker(server)
    assert batches(server) == []
    server.add("stream", *range(4, 7))
    assert batches(server) == [["0", "2", "4"]]


@each_persistence
def test_what_does_not_match_is_not_looked_at_again_after_a_kill(restartable):
    restartable.load(*policy(seeing(options="{ filter: { n: '0' } }")))
    ids = restartable.add("stream", *range(10))
    wait_info(restartable, "stream", filtered=9, position=ids[-1])
    kill_and_restart(restartable)
    restartable.add("stream", 0)
    restartable.wait_seen("stream 0", "stream 0")
    wait_info(restartable, "stream", filtered=0, processed=1)


def test_an_upgrade_changes_the_filter_for_what_comes_then(server):
    server.load(*policy(seeing(options="{ filter: { n: '1' } }")))
    server.add("stream", 0, 1)
    server.upgrade(*policy(seeing(options="{ filter: { n: '0' } }")))
    server.add("stream", 0, 1)
    assert server.seen() == ["stream 1", "stream 0"]


# --- start ----------------------------------------------------------------------------------------------------------


@sync_and_async
@pytest.mark.parametrize("options", ["{}", "{ start: 'earliest' }"])
def test_earliest_begins_with_what_is_there(server, kind, options):
    server.add("stream", 1, 2)
    server.load(*policy(seeing(kind, options)))
    server.wait_seen("stream 1", "stream 2")


@sync_and_async
def test_latest_begins_with_what_is_added_after_the_load(server, kind):
    server.add("stream", 1, 2)
    server.load(*policy(seeing(kind, "{ start: 'latest' }")))
    server.add("stream", 3, 4)
    server.wait_seen("stream 3", "stream 4")
    pass_marker(server)
    assert len(server.seen()) == 2


@sync_and_async
def test_latest_skips_nothing_that_is_added_right_after_the_load(server, kind):
    """The scan that finds the streams comes later than these entries."""
    pipe = server.client.pipeline(transaction=False)
    for number in range(300):
        pipe.execute_command("XADD", f"stream:{number}", "*", "n", "before")
    code = library(*policy(seeing(kind, "{ start: 'latest' }")))
    pipe.execute_command("RG.FUNCTION", "LOAD", code)
    for number in range(300):
        pipe.execute_command("XADD", f"stream:{number}", "*", "n", "after")
        pipe.execute_command("XADD", f"stream:{number}", "*", "n", "then")
    pipe.execute()
    expected = sorted(f"stream:{number} {what}" for number in range(300) for what in ("after", "then"))
    server.wait(lambda: len(server.seen()) >= 600, lambda: len(server.seen()))
    pass_marker(server)
    assert sorted(server.seen()) == expected


def test_latest_takes_all_of_a_stream_that_is_made_after_the_load(server):
    server.load(*policy(seeing(options="{ start: 'latest' }")))
    server.add("stream:new", 1, 2)
    assert server.seen() == ["stream:new 1", "stream:new 2"]
    server.run("DEL", "stream:new")
    server.run("XADD", "stream:new", "1-1", "n", 3)
    assert server.seen()[2:] == ["stream:new 3"]


@each_persistence
def test_latest_skips_nothing_after_a_kill(restartable):
    held = consumer(callback="holding", options={"start": "latest"})
    restartable.add("stream:old", "old")
    restartable.add("stream:quiet", "old")
    restartable.load(*policy(held))
    restartable.add("stream:old", 1, 2)
    restartable.wait_message("start 1 ")
    restartable.add("stream:new", 3, 4)
    restartable.wait_message("start 3 ")
    kill_and_restart(restartable)
    restartable.wait_message("start ", 4)
    assert {text.split()[0] for text in restartable.messages("start ")} == {"1", "3"}
    restartable.release(1, 3)
    restartable.wait_message("start 2 ")
    restartable.wait_message("start 4 ")
    restartable.add("stream:quiet", 5)
    restartable.wait_message("start 5 ")
    restartable.release(2, 4, 5)
    restartable.wait_message("end ", 5)
    assert not any(text.startswith("old") for text in restartable.messages("start "))


def test_latest_skips_nothing_when_a_replica_is_promoted(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    primary.add("stream:old", "old")
    primary.add("stream:quiet", "old")
    primary.load(*policy(consumer(callback="holding", options={"start": "latest"})))
    primary.add("stream:old", 1, 2)
    primary.add("stream:new", 3)
    primary.wait_message("start ", 2)
    settle(primary, replica)
    primary.kill()
    promote(replica)
    replica.add("stream:quiet", 4)
    for number in (1, 3, 4):
        replica.wait_message(f"start {number} ")
    replica.release(1)
    replica.wait_message("start 2 ")
    assert not any(text.startswith("old") for text in replica.messages("start "))


@sync_and_async
@pytest.mark.parametrize(
    ("start", "expected"),
    [("0-0", [1, 2, 3, 4]), ("5-1", [2, 3, 4]), ("5-2", [3, 4]), ("6-0", [4]), ("9-9", [])],
)
def test_an_id_is_where_to_begin_that_entry_included(server, kind, start, expected):
    for number, entry in enumerate(["4-9", "5-1", "5-3", "7-1"], 1):
        server.run("XADD", "stream", entry, "n", number)
    server.load(*policy(seeing(kind, f"{{ start: '{start}' }}")))
    server.run("XADD", "stream", "10-1", "n", 5)
    server.wait_seen(*(f"stream {number}" for number in [*expected, 5]))


@each_persistence
@pytest.mark.parametrize("start", ["latest", "5-2"])
def test_a_start_is_for_streams_that_are_seen_for_the_first_time(restartable, start):
    restartable.run("XADD", "stream", "5-1", "n", 1)
    restartable.load(*policy(seeing(options=f"{{ start: '{start}' }}")))
    restartable.run("XADD", "stream", "6-1", "n", 2)
    restartable.wait_seen("stream 2")
    kill_and_restart(restartable)
    restartable.upgrade(*policy(seeing(options="{ start: 'earliest' }")))
    restartable.run("XADD", "stream", "7-1", "n", 3)
    restartable.wait_seen("stream 2", "stream 3")


# --- exact ----------------------------------------------------------------------------------------------------------


def test_exact_takes_the_stream_of_that_name_alone(server):
    server.add("stream", "backlog")
    server.add("stream:1", "no")
    server.load(*policy(seeing(options="{ exact: true }"), consumer("all", callback="(c, data) => saw(data, 'all')")))
    server.wait_seen("stream backlog")
    for stream in ("stream:1", "stream", "streams", "strea", "Stream"):
        server.add(stream, stream)
    assert server.seen() == ["stream backlog", "stream stream"]
    assert server.consumer()["streams"].keys() == {"stream"}
    assert info(server)["streams"] == 1
    assert "streams streams" in server.seen("all")


def test_a_stream_that_is_renamed_to_the_exact_name_is_taken(server):
    server.load(*policy(seeing(options="{ exact: true }")))
    server.add("stream:1", 1)
    server.run("RENAME", "stream:1", "stream")
    server.wait_seen("stream 1")
    server.run("RENAME", "stream", "stream:2")
    server.add("stream:2", 2)
    server.add("stream", 3)
    server.wait_seen("stream 1", "stream 3")


def test_the_dead_letters_of_an_exact_consumer_may_begin_with_its_name(server):
    code = "(client, data) => { saw(data); throw 'no'; }"
    server.load(*policy(consumer(callback=code, options={"exact": True, "dead_letter": "stream:dead"})))
    server.add("stream", 1)
    assert server.seen() == ["stream 1"]
    assert server.run("XLEN", "stream:dead") == 1


def test_several_options_go_together(server):
    options = {"exact": True, "start": "latest", "batch": 2, "duration": 60_000, "filter": {"n": {"not": "3"}}}
    options |= {"order_by": "n", "on_failure": "retry", "backoff": {"initial": 1}, "max_attempts": 2, "bisect": True}
    options |= {"dead_letter": "dead", "scope": "consumer", "max_age": 100_000, "timeout": 60_000}
    server.add("stream", 1)
    server.load(*policy(consumer(callback="(client, batch) => got(batch)", options=options)))
    server.add("stream", 2, 3, 4)
    assert batches(server) == [["2", "4"]]


def test_an_option_that_is_undefined_is_as_if_it_were_not_given(server):
    server.load(*policy(seeing(options="{ batch: undefined, start: undefined }")))
    server.add("stream", 1)
    assert server.seen() == ["stream 1"]


# --- wrong options --------------------------------------------------------------------------------------------------

RETRY = "on_failure: 'retry'"
RANGES = {
    "batch": ["0", "-1", "10001", "1.5", "'2'", "NaN", "Infinity", "null", "{}", "true"],
    "duration": ["-1", "86400001", "0.5", "'1'", "null", "{}"],
    "retry_interval": ["-1", "86400001", "0.5", "'1'", "null", "[]"],
    "max_attempts": ["0", "-1", "1000001", "1.5", "'1'", "null", "Infinity"],
    "max_age": ["-1", "0.5", "'1'", "null", "NaN"],
    "timeout": ["0", "-1", "86400001", "0.5", "'1'", "null", "{}", "Infinity"],
    "on_failure": ["'Retry'", "''", "1", "null", "true", "['retry']"],
    "scope": ["'library'", "''", "1", "null"],
    "bisect": ["1", "'true'", "null", "{}"],
    "exact": ["1", "'true'", "null"],
    "dead_letter": ["1", "null", "{}", "['dead']", "true"],
    "order_by": ["1", "null", "{}", "['n']"],
    "start": ["'yesterday'", "''", "1", "null", "'5-'", "'-5'", "'5-1-1'", "'$'", "'99999999999999999999-1'", "{}"],
    "backoff": [
        "1",
        "null",
        "{}",
        "{ initial: -1 }",
        "{ initial: '1' }",
        "{ initial: 1, factor: 0.5 }",
        "{ initial: 1, factor: 101 }",
        "{ initial: 1, max: -1 }",
        "{ initial: 1, jitter: -0.1 }",
        "{ initial: 1, jitter: 1.1 }",
        "{ initial: 1, factor: 'x' }",
        "{ initial: 1, first: 2 }",
    ],
    "filter": [
        "1",
        "null",
        "'n'",
        "{ n: 1 }",
        "{ n: null }",
        "{ n: {} }",
        "{ n: true }",
        "{ n: ['a', 1] }",
        "{ n: { prefix: 1 } }",
        "{ n: { exists: 'yes' } }",
        "{ n: { not: 1 } }",
        "{ n: { suffix: 'a' } }",
    ],
}
# What an option needs beside it, so that nothing but its value is wrong.
WITH = {
    "duration": "batch: 2",
    "retry_interval": RETRY,
    "backoff": RETRY,
    "max_attempts": RETRY,
    "max_age": RETRY,
    "bisect": f"{RETRY}, batch: 2",
    "scope": RETRY,
}
VALUES = [(name, value) for name, values in RANGES.items() for value in values]

UNKNOWN = {
    "{ bach: 1 }": "bach",
    "{ Batch: 1 }": "Batch",
    "{ batch: 1, ' batch': 1 }": " batch",
    "{ retryInterval: 1 }": "retryInterval",
    "{ '': 1 }": "",
}
USELESS = {
    "{ duration: 5 }": "duration",
    f"{{ bisect: true, {RETRY} }}": "bisect",
    "{ bisect: true, batch: 2 }": "bisect",
    "{ bisect: true, batch: 2, on_failure: 'abort' }": "bisect",
    "{ retry_interval: 5 }": "retry_interval",
    "{ retry_interval: 5, on_failure: 'continue' }": "retry_interval",
    "{ retry_interval: 5, on_failure: 'abort' }": "retry_interval",
    "{ backoff: { initial: 5 } }": "backoff",
    "{ max_attempts: 5 }": "max_attempts",
    "{ max_attempts: 5, on_failure: 'abort' }": "max_attempts",
    "{ max_age: 5 }": "max_age",
    f"{{ {RETRY}, retry_interval: 5, backoff: {{ initial: 5 }} }}": "retry_interval|backoff",
    "{ dead_letter: 'stream' }": "dead_letter",
    "{ dead_letter: 'stream:dead' }": "dead_letter",
    "{ dead_letter: 'stream', exact: true }": "dead_letter",
    "{ dead_letter: new Uint8Array([115, 116, 114, 101, 97, 109, 33]).buffer }": "dead_letter",
}


def refused(server, options, error):
    """Loading fails with this error, a TypeError, and changes nothing."""
    server.load(consumer("standing"), name="standing")
    with pytest.raises(ResponseError, match=error):
        server.load(consumer("good", "elsewhere"), seeing(options=options))
    assert server.libraries() == ["standing"]
    server.load(
        consumer("good", "elsewhere"),
        f"try {{ {seeing(options=options)}; redis.log('caught nothing'); }} catch (error) {{"
        " redis.log(`caught ${error instanceof TypeError} ${error.message}`); }",
    )
    [text] = server.messages("caught ")
    assert text.startswith("true ")
    assert re.search(error, text)
    [reply] = server.run("RG.FUNCTION", "LIST", "LIBRARY", "lib")
    assert reply[reply.index("stream_consumers") + 1] == ["good"]


@pytest.mark.parametrize(("name", "value"), VALUES, ids=str)
def test_a_wrong_value_gets_an_error_that_names_the_option(server, name, value):
    given = ", ".join(part for part in (WITH.get(name), f"{name}: {value}") if part)
    refused(server, f"{{ {given} }}", rf"\b{name}\b.* of 'register_stream_consumer'")


@pytest.mark.parametrize("options", UNKNOWN)
def test_an_unknown_option_gets_an_error_that_names_it(server, options):
    refused(server, options, f"Unknown option '{UNKNOWN[options]}' of 'register_stream_consumer'")


@pytest.mark.parametrize("options", USELESS)
def test_an_option_that_would_do_nothing_gets_an_error_that_names_it(server, options):
    refused(server, options, USELESS[options])


def test_the_error_says_what_is_possible(server):
    error = "Option 'batch' of 'register_stream_consumer' must be a whole number between 1 and 10000"
    refused(server, "{ batch: 0 }", error)


@pytest.mark.parametrize("options", ["1", "'batch'", "null", "true", "() => {}", "[]", "7n", "Symbol('options')"])
def test_options_that_are_no_plain_object_are_refused(server, options):
    refused(server, options, "(?i)sixth argument to 'register_stream_consumer' must be|options ")


@pytest.mark.parametrize(
    "options",
    [
        "{ get batch() { throw new Error('by the getter'); } }",
        "new Proxy({}, { ownKeys() { throw new Error('by the getter'); } })",
    ],
    ids=["getter", "proxy"],
)
def test_an_object_that_throws_when_it_is_read_is_an_error_and_no_crash(server, options):
    with pytest.raises(ResponseError, match="by the getter|(?i:option|sixth argument)"):
        server.load(seeing(options=options))
    assert server.libraries() == []


def test_a_wrong_option_in_an_upgrade_changes_nothing(server):
    server.load(*policy(seeing(options="{ batch: 1 }").replace(SAW["sync"], "(client, batch) => got(batch)")))
    server.add("stream", 1)
    with pytest.raises(ResponseError, match="Unknown option 'bach'"):
        server.upgrade(*policy(seeing(options="{ bach: 2 }")))
    server.add("stream", 2)
    assert batches(server) == [["1"], ["2"]]
