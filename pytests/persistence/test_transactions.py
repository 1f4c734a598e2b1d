"""What one piece of a script writes reaches replicas and the append-only file as one transaction."""

import pytest

from testing.functions import call_error, in_transaction
from testing.libraries import consumer, function
from testing.transactions import commands_of, units_of


@pytest.fixture
def aof(start_server):
    """A server that logs what it replicates; ``aof.units()`` gives that."""
    server = start_server(configuration="appendonly yes\nauto-aof-rewrite-percentage 0\n")
    server.units = lambda: units_of(server)
    return server


THREE = "['a', 'b', 'c'].forEach(key => c.call('INCR', key))"
THREE_IN_ORDER = ["INCR a", "INCR b", "INCR c"]
UNIT_WAYS = {
    "sync": f"c => {{ {THREE}; }}",
    "async": f"async client => {{ client.block(c => {{ {THREE}; }}); }}",
    "background": f"client => client.run_on_background(async b => {{ await null; b.block(c => {{ {THREE}; }}); }})",
    "promise": f"client => {{ const c = client; {THREE}; return Promise.resolve(); }}",
    "throws": f"c => {{ {THREE}; throw new Error('no'); }}",
}


@pytest.mark.parametrize("way", UNIT_WAYS)
def test_the_writes_of_a_function_are_one_unit_and_its_call_is_not_replicated(aof, way):
    aof.load(function("f", UNIT_WAYS[way]))
    aof.run("SET", "before", 1)
    for _ in range(3):
        if way == "throws":
            assert call_error(aof, "f") == "Error: no"
        else:
            aof.call("f")
    aof.run("SET", "after", 1)
    aof.wait(lambda: aof.units()[-1:] == [["SET after 1"]], aof.units)
    assert aof.units() == [["SET before 1"], *[THREE_IN_ORDER] * 3, ["SET after 1"]]


def test_a_function_that_writes_nothing_replicates_nothing(aof):
    aof.load(
        function("f", "client => client.call('GET', 'a')"),
        function("g", "async client => client.block(c => c.call('GET', 'a'))"),
        function("h", "async () => 'value'"),
    )
    for name in "fgh":
        for _ in range(3):
            aof.call(name)
    aof.run("SET", "after", 1)
    aof.wait(aof.units, "the file is empty")
    assert aof.units() == [["SET after 1"]]


def test_a_function_in_a_transaction_is_part_of_it(aof):
    aof.load(function("f", UNIT_WAYS["sync"]))
    in_transaction(aof, ("SET", "x", 1), ("RG.FCALL", "lib", "f", 0), ("SET", "y", 1), ("RG.FCALL", "lib", "f", 0))
    aof.wait(aof.units, "the file is empty")
    assert aof.units() == [["SET x 1", *THREE_IN_ORDER, "SET y 1", *THREE_IN_ORDER]]


def test_each_block_is_a_unit_and_what_comes_between_stays_between(aof):
    aof.load(
        "let go;",
        function(
            "f",
            f"async client => {{ client.block(c => {{ {THREE}; }}); await new Promise(r => {{ go = r; }});"
            f" client.block(c => {{ {THREE}; }}); }}",
        ),
        function("waits", "() => go !== undefined"),
        function("go", "() => { go(); }"),
    )
    sent = aof.send_call("f")
    aof.wait(lambda: aof.call("waits"), "the call did not begin")
    aof.run("SET", "between", 1)
    aof.call("go")
    sent.reply()
    aof.wait(lambda: len(aof.units()) == 3, aof.units)
    assert aof.units() == [THREE_IN_ORDER, ["SET between 1"], THREE_IN_ORDER]


def test_writes_in_another_database_are_replicated_there(aof):
    aof.load(
        "let kept;",
        function("f", UNIT_WAYS["sync"]),
        function("g", UNIT_WAYS["async"]),
        function("keep", "async client => { kept = client; }"),
        # The first three in the database of the caller, the others in that of the client that was kept.
        function("h", f"c => {{ {THREE}; return Promise.resolve().then(() => kept.block(c => {{ {THREE}; }})); }}"),
    )
    aof.run("SET", "x", 0)
    aof.call("f", client=aof.connect(db=3))
    aof.run("SET", "x", 1)
    aof.call("g", client=aof.connect(db=4))
    aof.run("SET", "x", 2)
    aof.call("keep", client=aof.connect(db=6))
    aof.call("h", client=aof.connect(db=5))
    aof.run("SET", "x", 3)
    aof.wait(lambda: ["SET x 3"] in aof.units(), aof.units)
    db, seen = 0, {}
    for words in commands_of(aof):
        if words[0].upper() == "SELECT":
            db = int(words[1])
        elif words[0].upper() not in ("MULTI", "EXEC", "_RG_INTERNALS"):
            seen.setdefault(db, []).append(" ".join(words))
    assert seen == {0: [f"SET x {n}" for n in range(4)]} | dict.fromkeys((3, 4, 5, 6), THREE_IN_ORDER)


WRITE_TWO = "client.call('RPUSH', 'seen', value(data)); client.call('INCR', 'n');"


def flat(units):
    return [command for unit in units for command in unit]


def test_the_writes_of_a_sync_consumer_follow_their_entry(aof):
    aof.load(consumer(callback=f"(client, data) => {{ {WRITE_TWO} }}"))
    aof.add("stream", *"abc")
    aof.run("SET", "after", 1)
    aof.wait(lambda: aof.units()[-1:] == [["SET after 1"]], aof.units)
    units = aof.units()[:-1]
    entries = [[f"XADD stream ID n {one}", f"RPUSH seen {one}", "INCR n"] for one in "abc"]
    assert flat(units) == flat(entries)
    if aof.runs_callbacks_in_commands():
        assert units == entries
    else:
        assert units == [unit for entry in entries for unit in (entry[:1], entry[1:])]
    # In the same unit is how far the consumer is then.
    units = [unit for unit in units_of(aof, cursors=True) if "INCR n" in unit]
    assert [unit[-2:] for unit in units] == [["INCR n", "CURSOR stream ID"]] * 3


@pytest.mark.parametrize("trim", [False, True])
def test_the_writes_of_a_sync_consumer_follow_the_pipeline_that_added_their_entries(aof, trim):
    aof.load(consumer(trim=trim, callback=f"(client, data) => {{ {WRITE_TWO} }}"))
    pipe = aof.client.pipeline(transaction=False)
    for n in range(20):
        pipe.execute_command("XADD", "stream", "*", "n", n)
    pipe.execute()
    aof.run("SET", "after", 1)
    aof.wait(lambda: aof.units()[-1:] == [["SET after 1"]], aof.units)
    commands = flat(aof.units())
    for n in range(20):
        assert commands.index(f"XADD stream ID n {n}") < commands.index(f"RPUSH seen {n}")
    # Each entry's writes lie in one unit, one behind the other.
    for unit in aof.units():
        for at, command in enumerate(unit):
            if command.startswith("RPUSH"):
                assert unit[at + 1] == "INCR n"
    assert commands.count("INCR n") == 20
    trims = [command for command in commands if command.startswith("XTRIM")]
    assert bool(trims) == trim


def test_the_writes_of_a_sync_consumer_follow_the_transaction_that_added_its_entries(aof):
    aof.load(consumer(callback=f"(client, data) => {{ {WRITE_TWO} }}"))
    in_transaction(aof, ("XADD", "stream", "*", "n", "a"), ("SET", "x", 1), ("XADD", "stream", "*", "n", "b"))
    aof.run("SET", "after", 1)
    aof.wait(lambda: aof.units()[-1:] == [["SET after 1"]], aof.units)
    commands = flat(aof.units())
    assert commands == [
        "XADD stream ID n a",
        "SET x 1",
        "XADD stream ID n b",
        "RPUSH seen a",
        "INCR n",
        "RPUSH seen b",
        "INCR n",
        "SET after 1",
    ]
    assert aof.units()[0][:3] == commands[:3]


def test_the_writes_of_an_async_consumer_follow_their_entry_as_units(aof):
    aof.load(
        consumer(
            callback="async (client, data) => { client.block(client => { " + WRITE_TWO + " }); redis.log('done'); }"
        )
    )
    aof.add("stream", *"abc")
    aof.wait_message("done", 3)
    aof.wait(lambda: len(aof.units()) == 6, aof.units)
    units = aof.units()
    for one in "abc":
        assert [f"RPUSH seen {one}", "INCR n"] in units
        assert units.index([f"XADD stream ID n {one}"]) < units.index([f"RPUSH seen {one}", "INCR n"])


def test_an_entry_that_a_function_adds_is_replicated_before_what_comes_of_it(aof):
    aof.load(
        consumer(callback=f"(client, data) => {{ {WRITE_TWO} }}"),
        function("f", "client => { client.call('XADD', 'stream', '*', 'n', 'a'); client.call('SET', 'f', 1); }"),
        function(
            "g",
            "async client => client.block(client => { client.call('XADD', 'stream', '*', 'n', 'b');"
            " client.call('SET', 'g', 1); })",
        ),
    )
    aof.call("f")
    aof.call("g")
    aof.wait(lambda: len(flat(aof.units())) == 8, aof.units)
    assert flat(aof.units()) == [
        "XADD stream ID n a",
        "SET f 1",
        "RPUSH seen a",
        "INCR n",
        "XADD stream ID n b",
        "SET g 1",
        "RPUSH seen b",
        "INCR n",
    ]


def test_what_was_logged_gives_the_same_data_again(aof):
    mixed(aof)
    before = settled_digest(aof)
    aof.run("RG.FUNCTION", "DEL", "lib")
    aof.run("DEBUG", "LOADAOF")
    assert aof.run("DEBUG", "DIGEST") == before


def mixed(server):
    """Work of all kinds; ends when all of it is done."""
    server.load(
        consumer("sync", "s", trim=True, callback=f"(client, data) => {{ {WRITE_TWO} }}"),
        consumer(
            "async",
            "a",
            window=5,
            trim=True,
            callback="async (client, data) => { await null; client.block(c => {"
            " c.call('HINCRBY', 'hash', value(data) % 7, 1); c.call('INCR', 'done'); }); }",
        ),
        consumer(
            "forward",
            "f",
            callback="(client, data) => { client.call('XADD', 's', '*', 'n', value(data));"
            " client.call('XADD', 'a', '*', 'n', value(data)); }",
        ),
        function("sync", "(client, n) => { client.call('SADD', 'set', n); client.call('XADD', 's', '*', 'n', n); }"),
        function(
            "async",
            "async (client, n) => { for (let m = 0; m < 3; m++) {"
            " client.block(c => { c.call('INCR', 'counter'); c.call('XADD', 'a', '*', 'n', n); });"
            " await null; } }",
        ),
        function(
            "background",
            "(client, n) => { client.call('RPUSH', 'list', n);"
            " return client.run_on_background(async b => b.block(c => c.call('EXPIRE', 'list', 1000 + Number(n)))); }",
        ),
    )
    other = server.connect(db=2)
    for n in range(100):
        server.add("f", n)
        server.call("sync", n)
        server.call("async", n)
        server.call("background", n)
        server.call("sync", n, client=other)
        if n % 10 == 0:
            in_transaction(server, ("XADD", "f", "*", "n", n), ("RG.FCALL", "lib", "sync", 0, n), ("INCR", "x"))
    server.wait(lambda: server.run("GET", "done") == "410", lambda: server.run("GET", "done"))
    assert server.run("GET", "n") == "220"
    assert server.run("GET", "counter") == "300"


def settled_digest(server):
    """The digest of the data, once all trims are done."""
    server.wait(lambda: server.run("XLEN", "s") == 0 and server.run("XLEN", "a") == 0, "the trims are missing")
    return server.run("DEBUG", "DIGEST")


def test_after_work_of_all_kinds_primary_and_replica_hold_the_same(pair):
    mixed(pair)
    settled_digest(pair)
    pair.wait(lambda: pair.run("DEBUG", "DIGEST") == pair.replica.run("DEBUG", "DIGEST"), "they differ")
    assert pair.replica.run("GET", "n") == "220"
    assert pair.replica.run("DEBUG", "DIGEST") != "0" * 40
