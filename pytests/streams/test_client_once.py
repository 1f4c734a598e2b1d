"""client.once: whatever is delivered again, each entry has its effects once."""

import pytest

from testing.libraries import consumer
from testing.policies import AOF, command, info, wait_info
from testing.replication import promote
from testing.transactions import units_of

COUNT = 200
KEY = "rg.once:{stream}:lib:consumer"
KINDS = {
    "sync": "(client, data) => { %s }",
    "async": "async (client, data) => { await null; %s }",
    "promise": "(client, data) => { const c = client; %s; return Promise.resolve(); }",
}
COPY = "client.once(data, c => c.call('RPUSH', 'done', value(data))%s);"
each_kind = pytest.mark.parametrize("kind", KINDS)


def load(node, kind="async", options="", before="", after="", window=1, **policy):
    callback = KINDS[kind] % (before + COPY % options + after)
    node.load(consumer(callback=callback, window=window, options=policy))


def add(node, first=1, count=COUNT, stream="stream"):
    pipe = node.client.pipeline(transaction=False)
    for number in range(first, first + count):
        pipe.execute_command("XADD", stream, f"{number}-1", "n", number)
    pipe.execute()


def done(node):
    return [int(one) for one in node.run("LRANGE", "done", 0, -1)]


def wait_done(node, expected, processed, stream="stream"):
    wait_info(node, stream, state="running", pending=[], processed=processed)
    assert done(node) == list(expected)


@each_kind
def test_who_seeks_back_gets_nothing_twice(server, kind):
    load(server, kind)
    add(server)
    wait_done(server, range(1, COUNT + 1), COUNT)
    command(server, "SEEK", "STREAM", "stream", "earliest")
    wait_done(server, range(1, COUNT + 1), 2 * COUNT)
    server.run("DEL", KEY)
    command(server, "SEEK", "STREAM", "stream", "earliest")
    wait_done(server, [*range(1, COUNT + 1)] * 2, 3 * COUNT)


@each_kind
def test_what_succeeded_before_a_failure_is_left_out_when_it_is_redriven(server, kind):
    fails = "if (!globalThis.works) throw new Error('behind it');"
    server.load(
        consumer(callback=KINDS[kind] % (COPY % "" + fails), options={"dead_letter": "dead"}),
        "redis.register_function('work', () => { globalThis.works = true; })",
    )
    add(server, count=3)
    server.wait(lambda: server.run("XLEN", "dead") == 3, "dead letters are missing")
    server.call("work")
    assert command(server, "REDRIVE", "STREAM", "stream") == 3
    server.wait(lambda: server.run("XLEN", "dead") == 0, "the dead letters stay")
    assert done(server) == [1, 2, 3]


def test_what_threw_is_done_when_it_is_redriven(server):
    server.run("SET", "done", "no list")
    load(server, dead_letter="dead")
    add(server, count=3)
    server.wait(lambda: server.run("XLEN", "dead") == 3, "dead letters are missing")
    assert not server.run("EXISTS", KEY)
    server.run("DEL", "done")
    command(server, "REDRIVE", "STREAM", "stream")
    server.wait(lambda: server.run("XLEN", "dead") == 0, "the dead letters stay")
    assert done(server) == [1, 2, 3]


def test_the_note_and_the_effects_are_one_unit(start_server):
    server = start_server(*AOF)
    load(server)
    add(server, count=1)
    wait_done(server, [1], 1)
    units = [unit for unit in units_of(server) if "RPUSH done 1" in unit]
    assert len(units) == 1
    assert f"ZADD {KEY} 1 1-1" in units[0]


@pytest.mark.parametrize("window", [1, 16])
def test_kills_in_between_leave_nothing_out_and_double_nothing(start_server, window):
    server = start_server(*AOF)
    load(server, window=window, after="await null; for (let at = 0; at < 100000; at++) {}", on_failure="retry", retry_interval=0)
    for round_ in range(3):
        before = round_ * COUNT
        add(server, first=before + 1)
        server.wait(lambda before=before: len(done(server)) > before + 20, lambda: done(server))
        server.restart()
    wait_info(server, "stream", state="running", pending=[], lag_entries=0)
    assert sorted(done(server)) == list(range(1, 3 * COUNT + 1))


@pytest.mark.parametrize("window", [1, 16])
def test_a_replica_that_takes_over_in_between_doubles_nothing(start_server, window):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    load(primary, window=window, after="await null; for (let at = 0; at < 100000; at++) {}", on_failure="retry", retry_interval=0)
    add(primary)
    replica.wait(lambda: len(done(replica)) > 20, lambda: done(replica))
    primary.kill()
    promote(replica)
    wait_info(replica, "stream", state="running", pending=[], lag_entries=0)
    # What had not reached the replica, entries as well as effects, is not there.
    there = [int(fields["n"]) for _, fields in replica.run("XRANGE", "stream", "-", "+")]
    assert len(there) > 20
    assert sorted(done(replica)) == there


@pytest.mark.parametrize("forgotten", ["throw", "run", "skip"])
def test_what_is_forgotten_is_what_the_option_says(server, forgotten):
    load(server, options=f", {{ keep: 32, forgotten: '{forgotten}' }}")
    add(server)
    wait_done(server, range(1, COUNT + 1), COUNT)
    assert 32 <= server.run("ZCARD", KEY) <= 32 + 4
    [mark] = server.run("ZRANGE", KEY, 0, 0)
    first_known = int(mark.removeprefix("<").removesuffix("-1")) + 1
    command(server, "SEEK", "STREAM", "stream", "earliest")
    again = range(1, first_known) if forgotten == "run" else []
    wait_info(server, "stream", state="running", pending=[], processed=2 * COUNT)
    assert done(server) == [*range(1, COUNT + 1), *again]
    error = info(server, "stream")["last_error"] or ""
    assert ("ERR it is not known any more whether the entry" in error) == (forgotten == "throw")


def test_the_key_is_in_the_slot_of_its_stream_and_tells_libraries_apart(server):
    for name in ["a", "a:b"]:
        server.load(consumer(prefix="", callback=KINDS["sync"] % "client.once(data, c => c.call('INCR', 'count'));"), name=name)
    streams = [b"stream", b"x{tag}y", b"\xff"]
    for stream in streams:
        server.client.execute_command("XADD", stream, "*", "n", 1)
    server.wait(lambda: server.run("GET", "count") == "6", lambda: server.run("GET", "count"))
    parts = ["{stream}", "x{tag}y", "0xff"]
    assert sorted(server.run("KEYS", "rg.once:*")) == sorted(
        f"rg.once:{part}:{library}:consumer" for part in parts for library in ["a", "a%3Ab"]
    )


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("client.once(data.id, () => 1)", "First argument to 'once' must be an entry that the callback was given"),
        ("client.once(undefined, () => 1)", "First argument to 'once' must be an entry that the callback was given"),
        ("client.once(data)", "Second argument to 'once' must be a function that is not async"),
        ("client.once(data, async () => 1)", "Second argument to 'once' must be a function that is not async"),
        ("client.once(data, () => 1, 1)", "Third argument to 'once' must be an object"),
        ("client.once(data, () => 1, { keep: 0 })", "Option 'keep' of 'once' must be a whole number between 1 and 10000000"),
        ("client.once(data, () => 1, { forgotten: 1 })", "Option 'forgotten' of 'once' must be 'throw', 'run' or 'skip'"),
        ("client.once(data, () => 1, { most: 1 })", "Unknown option 'most' of 'once'"),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_is_wrong_is_said(server, kind, call, error):
    server.load(consumer(callback=KINDS[kind] % f"{call};"))
    add(server, count=1)
    server.wait(lambda: error in (info(server, "stream")["last_error"] or ""), lambda: info(server, "stream"))
    assert server.run("KEYS", "rg.once:*") == []
