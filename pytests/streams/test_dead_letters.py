"""Dead letters: what they hold, in which order, and what happens while they cannot be written."""

import re

import pytest

from testing.libraries import consumer, library
from testing.policies import (
    AN_HOUR,
    AOF,
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

TO_DEAD = {"dead_letter": "dead"}
TWICE = TO_DEAD | {"on_failure": "retry", "retry_interval": 200, "max_attempts": 2}
NAMES = ["library", "consumer", "stream", "id", "attempts", "error", "first_time", "last_time"]
FAILS = {
    "sync": "(client, data) => { redis.log(`try ${value(data)}`); throw new Error('went wrong'); }",
    "async": "async (client, data) => { redis.log(`try ${value(data)}`); throw new Error('went wrong'); }",
}
# It fails a while after it was tried.
SLOWLY = """async (client, data) => {
    redis.log(`try ${value(data)}`);
    for (const end = Date.now() + 300; Date.now() < end;);
    throw new Error('went wrong');
}"""


def now_ms(server):
    [seconds, microseconds] = server.client.time()
    return seconds * 1000 + microseconds // 1000


# --- what they hold -------------------------------------------------------------------------------------------------


@each_kind
def test_a_letter_has_eight_fields_and_then_those_of_the_entry(server, kind):
    load_attempting(server, kind, **TWICE)
    make_fail(server, 1)
    before = now_ms(server)
    server.run("XADD", "stream", "7-3", "n", 1, "other", "ü", "n", "again", "id", "x", "", "")
    server.wait(lambda: dead_letters(server), lambda: server.stream("stream"))
    [(_, pairs)] = dead_letters(server)
    assert [name for name, _ in pairs[:8]] == NAMES
    found = dict(pairs[:8])
    assert {name: found[name] for name in NAMES[:5]} == {
        "library": "lib",
        "consumer": "consumer",
        "stream": "stream",
        "id": "7-3",
        "attempts": "2",
    }
    assert "no 1" in found["error"]
    first, last = int(found["first_time"]), int(found["last_time"])
    assert before - 100 <= first <= last - 0.9 * 200
    assert last <= now_ms(server) + 100
    assert pairs[8:] == [("n", "1"), ("other", "ü"), ("n", "again"), ("id", "x"), ("", "")]


@pytest.mark.parametrize("options", [{}, {"on_failure": "continue"}], ids=["default", "given"])
@sync_and_async
def test_under_continue_an_entry_goes_there_at_its_first_failure(server, kind, options):
    load_attempting(server, kind, **TO_DEAD, **options)
    make_fail(server, 1, 3)
    server.add("stream", 0, 1, 2, 3, 4)
    wait_done(server, 0, 2, 4)
    found = wait_dead_letters(server, 1, 3)
    assert [dead_letter["attempts"] for dead_letter in found] == ["1", "1"]
    assert tries(server) == ["0", "1", "2", "3", "4"]
    wait_info(server, "stream", dead_letters=2, given_up=2, pending=[])
    wait_info(server, dead_letters=2, given_up=2)


@sync_and_async
def test_letters_of_a_batch_are_in_the_order_of_its_entries(server, kind):
    load_attempting(server, kind, **TWICE, batch=5)
    make_fail(server, 2)
    ids = add_at_once(server, "stream", range(10))
    found = wait_dead_letters(server, *range(5))
    assert [dead_letter["id"] for dead_letter in found] == ids[:5]
    assert all("no 2" in dead_letter["error"] for dead_letter in found)
    wait_done(server, "5,6,7,8,9")


def test_letters_of_many_entries_are_in_the_order_in_which_they_were_given_up(server):
    load_attempting(server, **TO_DEAD)
    make_fail(server, *range(0, 300, 2))
    add_at_once(server, "stream", range(300))
    wait_dead_letters(server, *range(0, 300, 2))
    assert len(done(server)) == 150


def test_bytes_stay_as_they_are(server):
    options = "{ dead_letter: new Uint8Array([0xff, 0x00, 0x64]).buffer }"
    server.load(*policy(consumer(callback=FAILS["sync"], options=options)))
    client = server.connect(decode_responses=False)
    client.execute_command("XADD", b"stream\xfe", "1-1", b"\x00\xff", b"\xc3\x28")
    [(_, pairs)] = dead_letters(server, b"\xff\x00d", client)
    assert [name for name, _ in pairs[:8]] == [name.encode() for name in NAMES]
    assert dict(pairs[:8])[b"stream"] == b"stream\xfe"
    assert pairs[8:] == [(b"\x00\xff", b"\xc3\x28")]


def test_a_huge_error_is_cut(server):
    code = "(client, data) => { throw new Error('x'.repeat(1 << 24)); }"
    server.load(*policy(consumer(callback=code, options=TO_DEAD)))
    server.add("stream", 1)
    [dead_letter] = wait_dead_letters(server, 1)
    assert "xxx" in dead_letter["error"]
    assert len(dead_letter["error"]) < 1 << 20


def test_letters_are_in_the_database_of_the_stream(server):
    server.load(*policy(consumer(callback=FAILS["sync"], options=TO_DEAD)))
    other = server.connect(db=3)
    server.add("stream", "three", client=other)
    server.add("stream", "zero")
    wait_dead_letters(server, "zero")
    assert [pairs[-1] for _, pairs in dead_letters(server, client=other)] == [("n", "three")]


def test_another_consumer_gets_the_letters_as_entries(server):
    code = "(client, data) => redis.log(`letter ${data.stream_name} ${data.record.map(pair => pair[0])}`)"
    server.load(*policy(consumer(callback=FAILS["sync"], options=TO_DEAD)))
    server.load(consumer(prefix="dead", callback=code), name="undertaker")
    server.add("stream", 1)
    server.wait_for([f"dead {','.join(NAMES)},n"], lambda: server.messages("letter "))


def test_the_letters_of_several_consumers_may_be_in_one_stream(server):
    first = consumer("first", "a", callback=FAILS["sync"], options=TO_DEAD)
    second = consumer("second", "b", callback=FAILS["async"], options=TO_DEAD)
    server.load(*policy(first, second))
    server.add("a", 1)
    wait_dead_letters(server, 1)
    server.add("b", 2)
    found = wait_dead_letters(server, 1, 2)
    assert [(dead_letter["consumer"], dead_letter["stream"]) for dead_letter in found] == [("first", "a"), ("second", "b")]


def test_an_entry_that_was_given_up_is_trimmed(server):
    load_attempting(server, **TO_DEAD, trim=True)
    make_fail(server, 1)
    server.add("stream", 0, 1, 2)
    wait_dead_letters(server, 1)
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the stream is not trimmed")


def test_without_a_dead_letter_stream_nothing_is_written(server):
    load_attempting(server, on_failure="retry", retry_interval=10, max_attempts=2)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_done(server, 1)
    assert sorted(server.client.keys()) == ["bad", "stream"]
    assert info(server, "stream")["given_up"] == 1
    assert info(server, "stream")["dead_letters"] == 0


# --- where they cannot be written -----------------------------------------------------------------------------------


@sync_and_async
@pytest.mark.parametrize("options", [TO_DEAD, TWICE], ids=["continue", "retry"])
def test_a_key_of_another_type_keeps_the_entry_until_it_is_gone(server, kind, options):
    load_attempting(server, kind, **options)
    server.run("SET", "dead", "text")
    make_fail(server, 0)
    ids = server.add("stream", 0, 1)
    server.wait(lambda: "WRONGTYPE" in str(server.stream("stream").get("last_error")), lambda: server.stream("stream"))
    assert ids[0] in server.stream("stream")["pending_ids"]
    assert server.run("GET", "dead") == "text"
    assert info(server, "stream")["dead_letters"] == 0
    server.run("DEL", "dead")
    [dead_letter] = wait_dead_letters(server, 0)
    assert dead_letter["id"] == ids[0]
    assert "no 0" in dead_letter["error"]
    wait_done(server, 1)
    wait_info(server, "stream", pending=[], dead_letters=1)
    wait_dead_letters(server, 0)


@each_persistence
def test_what_could_not_be_written_is_kept_over_a_kill(restartable):
    load_attempting(restartable, **TWICE)
    restartable.run("SET", "dead", "text")
    make_fail(restartable, 0)
    ids = restartable.add("stream", 0, 1)
    restartable.wait(lambda: "WRONGTYPE" in str(restartable.stream("stream").get("last_error")), lambda: restartable.stream("stream"))
    kill_and_restart(restartable)
    assert ids[0] in restartable.stream("stream")["pending_ids"]
    restartable.run("DEL", "dead")
    [dead_letter] = wait_dead_letters(restartable, 0)
    assert dead_letter["id"] == ids[0]
    wait_done(restartable, 1)
    restartable.wait_stream(pending_ids=[])


DENIED = re.compile("NOPERM|permission|ACL", re.IGNORECASE)
OWNER = ["reset", "on", ">pw", "+@all", "~stream*"]


@pytest.mark.parametrize("kind", FAILS)
def test_an_owner_without_the_right_to_write_them_keeps_the_entry_until_he_has_it(server, kind):
    server.run("ACL", "SETUSER", "owner", *OWNER)
    try:
        owner = server.connect(username="owner", password="pw")
        owner.execute_command("RG.FUNCTION", "LOAD", library(consumer(callback=FAILS[kind], options=TWICE)))
        ids = server.add("stream", 1)
        server.wait(
            lambda: DENIED.search(str(server.stream("stream").get("last_error"))), lambda: server.stream("stream")
        )
        assert server.stream("stream")["pending_ids"] == ids
        assert server.run("EXISTS", "dead") == 0
        server.run("ACL", "SETUSER", "owner", "~dead")
        [dead_letter] = wait_dead_letters(server, 1)
        assert "went wrong" in dead_letter["error"]
        server.wait_stream(pending_ids=[])
    finally:
        server.run("ACL", "DELUSER", "owner")


def test_the_right_to_the_key_alone_is_not_enough(server):
    server.run("ACL", "SETUSER", "owner", *OWNER, "~dead", "-xadd")
    try:
        owner = server.connect(username="owner", password="pw")
        owner.execute_command("RG.FUNCTION", "LOAD", library(consumer(callback=FAILS["sync"], options=TO_DEAD)))
        server.add("stream", 1)
        server.wait(
            lambda: DENIED.search(str(server.stream("stream").get("last_error"))), lambda: server.stream("stream")
        )
        server.run("ACL", "SETUSER", "owner", "+xadd")
        wait_dead_letters(server, 1)
    finally:
        server.run("ACL", "DELUSER", "owner")


def test_without_memory_the_entry_is_kept_until_there_is_some(server):
    code = "async (client, data) => { await holding(client, data); throw new Error('went wrong'); }"
    let_go = "redis.register_function('let_go', (client, one) => { held.get(one)(0); return 'ok'; }, ['no-writes']);"
    server.load(*policy(consumer(callback=code, options=TO_DEAD), let_go))
    ids = server.add("stream", 1)
    server.wait_message("start 1 ")
    with server.setting("maxmemory", 1):
        server.call("let_go", 1)
        server.wait(lambda: server.stream("stream")["last_error"] != "None", lambda: server.stream("stream"))
        assert server.stream("stream")["pending_ids"] == ids
        assert server.run("EXISTS", "dead") == 0
        assert re.search("OOM|memory", server.stream("stream")["last_error"])
    [dead_letter] = wait_dead_letters(server, 1)
    assert "went wrong" in dead_letter["error"]
    server.wait_stream(pending_ids=[])


# --- with the cursor ------------------------------------------------------------------------------------------------


def commands_of(path):
    """The commands of an append-only file, as lists of bytes."""
    with path.open("rb") as file:
        while header := file.readline():
            assert header.startswith(b"*"), header
            words = []
            for _ in range(int(header[1:])):
                length = int(file.readline()[1:])
                words.append(file.read(length + 2)[:-2])
            yield words


def units_of(path):
    """Those between each MULTI and EXEC, and each of the others by itself."""
    unit = None
    for words in commands_of(path):
        name = words[0].upper()
        if name == b"MULTI":
            unit = []
        elif name == b"EXEC":
            yield unit
            unit = None
        elif unit is None:
            yield [words]
        else:
            unit.append(words)


@sync_and_async
@pytest.mark.parametrize("options", [TO_DEAD, TWICE], ids=["continue", "retry"])
def test_letter_and_cursor_are_one_unit_in_the_append_only_file(start_server, kind, options):
    server = start_server(*AOF, "--aof-use-rdb-preamble", "no")
    load_attempting(server, kind, **options, batch=2)
    make_fail(server, 1)
    add_at_once(server, "stream", range(2))
    wait_dead_letters(server, 0, 1)
    wait_info(server, "stream", pending=[])
    server.run("SET", "end", 1)
    [path] = server.appended()

    def is_letter(words):
        return words[0].upper() == b"XADD" and words[1] == b"dead"

    [unit] = [unit for unit in units_of(path) if any(map(is_letter, unit))]
    assert len(list(filter(is_letter, unit))) == 2
    names = [words[0].upper() for words in unit]
    assert b"_RG_INTERNALS" in names


@each_persistence
@each_kind
def test_after_a_kill_letters_are_there_once_and_the_entries_are_done(restartable, kind):
    load_attempting(restartable, kind, **TWICE)
    make_fail(restartable, 1)
    restartable.add("stream", 0, 1, 2)
    wait_dead_letters(restartable, 1)
    wait_done(restartable, 0, 2)
    restartable.wait_stream(pending_ids=[])
    count = len(tries(restartable))
    kill_and_restart(restartable)
    restartable.add("stream", 3)
    restartable.wait(lambda: "3" in done(restartable), lambda: done(restartable))
    assert tries(restartable)[count:] == ["3"]
    wait_dead_letters(restartable, 1)


def test_a_dump_holds_the_letter_of_what_it_knows_to_be_given_up(start_server):
    server = start_server()
    server.load(*policy(consumer(callback=SLOWLY, options=TO_DEAD)))
    server.load(consumer("other", "other", callback="() => {}"), name="other")
    server.add("stream", 1)
    server.wait(lambda: tries(server) == ["1"], "nothing was tried")
    # The failure comes in while the server sleeps. The entry of the other stream has the module take note of it, in the
    # middle of the same round in which the dump is written.
    with server.client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("DEBUG", "SLEEP", "0.6")
        pipeline.execute_command("XADD", "other", "*", "n", "1")
        pipeline.execute_command("SAVE")
        pipeline.execute()
    server.restart()
    [dead_letter] = wait_dead_letters(server, 1)
    assert dead_letter["attempts"] == "1"


def test_letters_reach_replicas_with_the_cursor(start_server):
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    load_attempting(primary, **TO_DEAD)
    make_fail(primary, 1)
    primary.add("stream", 0, 1, 2)
    wait_dead_letters(primary, 1)
    settle(primary, replica)
    assert dead_letters(replica) == dead_letters(primary)
    assert replica.stream("stream")["id_to_read_from"] == primary.stream("stream")["id_to_read_from"]
    primary.kill()
    promote(replica)
    replica.add("stream", 3)
    wait_done(replica, 3)
    wait_dead_letters(replica, 1)
    assert tries(replica) == ["3"]


@pytest.fixture
def cluster(start_server):
    """A cluster of one server."""
    server = start_server("--cluster-enabled", "yes")
    server.run("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    server.wait(lambda: server.client.cluster("INFO")["cluster_state"] == "ok", "no cluster")
    return server


@pytest.mark.parametrize("kind", ["cluster", "server"])
def test_letters_may_be_in_the_slot_of_their_stream(request, kind):
    node = request.getfixturevalue(kind)
    node.load(*policy(consumer(callback=FAILS["sync"], options={"dead_letter": "dead:{}"})))
    node.add("stream:1", 1)
    node.add("stream:{user}:2", 2)
    wait_dead_letters(node, 1, stream="dead:{stream:1}")
    wait_dead_letters(node, 2, stream="dead:{user}")


def test_in_a_cluster_a_name_stays_as_it_is(cluster):
    cluster.load(*policy(consumer(callback=FAILS["sync"], options={"dead_letter": "dead:{user}"})))
    cluster.add("stream:1", 1)
    wait_dead_letters(cluster, 1, stream="dead:{user}")


def test_an_entry_that_waits_for_its_retry_is_not_a_letter_yet(server):
    load_attempting(server, **TO_DEAD, on_failure="retry", retry_interval=AN_HOUR, max_attempts=2)
    make_fail(server, 0)
    server.add("stream", 0)
    wait_tries(server, 1)
    pass_marker(server)
    assert server.run("EXISTS", "dead") == 0
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, 0)
    assert server.run("EXISTS", "dead") == 0
