"""Runs over the data set: readers, arguments of run, errors, and where a run may begin."""

import pytest
from redis import ResponseError

from testing.gears1 import by_key, each_way_to_run, execute, executions, fill, logged, results, run_in_function, wait_status
from testing.libraries import function


@pytest.fixture(autouse=True)
def no_runs(server):
    """After each test nothing goes on."""
    yield
    assert "running" not in executions(server).values()


# --- the KeysReader -------------------------------------------------------------------------------------------------


@each_way_to_run
def test_a_pattern_says_which_keys_are_read(server, way):
    server.run("MSET", "person:1", "a", "person:2", "b", "n", "c", "person", "d")
    [found, errors] = way(server, "GB().map(x => [x.key, x.value]).run('person:*')")
    assert (sorted(found), errors) == ([["person:1", "a"], ["person:2", "b"]], [])


@each_way_to_run
def test_by_default_all_keys_of_the_database_are_read(server, way):
    server.run("MSET", "a", 1, "b", 2)
    server.connect(db=1).set("c", 3)
    [found, errors] = way(server, "GB().map(x => x.key).run()")
    assert (sorted(found), errors) == (["a", "b"], [])


def test_the_database_is_the_clients(server):
    server.run("SET", "a", 1)
    other = server.connect(db=3)
    other.execute_command("SET", "b", 1)
    assert execute(server, "GB().map(x => x.key).run()", client=other) == [["b"], []]
    steps = "foreach(x => execute('SET', 'c', 1)).count()"
    assert execute(server, f"GB().{steps}.run()", client=other) == [[1], []]
    assert (other.execute_command("GET", "c"), server.run("EXISTS", "c")) == ("1", 0)


@pytest.mark.parametrize(
    "code", ["GB('KeysReader', 'a*')", "new GearsBuilder('KeysReader', 'a*')", "new GB(undefined, 'a*')"]
)
def test_the_builders_argument_is_what_run_reads_if_it_is_not_told(server, code):
    server.run("MSET", "a1", 1, "b1", 1)
    assert results(server, f"{code}.map(x => x.key).run()") == ["a1"]
    assert results(server, f"{code}.map(x => x.key).run('b*')") == ["b1"]
    assert results(server, f"{code}.map(x => x.key).run(null, {{ readValue: false }})") == ["a1"]


@pytest.mark.parametrize(
    ("pattern", "expected"), [("a?c", ["abc", "axc"]), ("a[bx]?", ["abc", "axc"]), ("abc", ["abc"]), ("b", [])]
)
def test_a_pattern_is_one_of_the_server(server, pattern, expected):
    server.run("MSET", "abc", 1, "axc", 1, "abcd", 1, "ac", 1)
    assert sorted(results(server, f"GB().map(x => x.key).run('{pattern}')")) == expected


@each_way_to_run
def test_a_record_is_key_value_type_and_no_event(server, way):
    server.run("SET", "string", "ä")
    server.run("HSET", "hash", "a", "1", "b", "2")
    server.run("RPUSH", "list", "b", "a")
    server.run("SADD", "set", "a")
    server.run("ZADD", "zset", "1.5", "a", "2", "b")
    server.run("XADD", "stream", "*", "a", "1")
    step = (
        "map(x => [x.type, JSON.stringify(x.value), x.key === x.type, JSON.stringify(x.event), Object.keys(x).join()])"
    )
    [found, errors] = way(server, f"GB().{step}.run()")
    assert errors == []
    assert sorted(one[:2] for one in found) == [
        ["hash", '{"a":"1","b":"2"}'],
        ["list", '["b","a"]'],
        ["set", '["a"]'],
        ["stream", "null"],
        ["string", '"ä"'],
        ["zset", '[["a",1.5],["b",2]]'],
    ]
    assert {tuple(one[2:]) for one in found} == {(1, "null", "key,value,type,event")}


def test_without_the_value_a_record_is_key_and_event(server):
    server.run("SET", "a", 1)
    assert results(server, "GB().map(x => JSON.stringify(x)).run('*', { readValue: false })") == [
        '{"key":"a","event":null}'
    ]


def test_without_a_scan_just_that_key_is_read_even_if_it_is_not_there(server):
    server.run("MSET", "a*", 1, "ab", 2)
    show = "map(x => JSON.stringify(x))"
    found = results(server, f"GB().{show}.run('a*', {{ noScan: true }})")
    assert found == ['{"key":"a*","value":"1","type":"string","event":null}']
    found = results(server, f"GB().{show}.run('c', {{ noScan: true }})")
    assert found == ['{"key":"c","value":null,"type":"empty","event":null}']


def test_what_is_no_text_comes_as_bytes_and_goes_as_such(server):
    raw = server.connect(decode_responses=False)
    raw.set(b"\xff\x00", b"\x80\x00\xfe")
    assert raw.execute_command("RG.JSEXECUTE", "GB().map(x => [x.key, x.value]).run()") == [
        [[b"\xff\x00", b"\x80\x00\xfe"]],
        [],
    ]
    raw.execute_command("RG.JSEXECUTE", "GB().foreach(x => execute('RENAME', x.key, 'text')).run()")
    assert raw.get("text") == b"\x80\x00\xfe"


def test_a_key_that_expires_meanwhile_is_not_read(server):
    server.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        server.run("SET", "a", 1)
        server.run("SET", "b", 1, "PX", 1)
        server.wait(lambda: server.run("PTTL", "b") < 0, "it does not expire")
        assert results(server, "GB().map(x => x.key).run()") == ["a"]
    finally:
        server.run("DEBUG", "SET-ACTIVE-EXPIRE", 1)


# --- other readers --------------------------------------------------------------------------------------------------


@each_way_to_run
def test_names_alone_are_read_by_the_keys_only_reader(server, way):
    server.run("MSET", "a1", 1, "a2", 1, "b", 1)
    [found, errors] = way(server, "GB('KeysOnlyReader').run('a*', { count: 1 })")
    assert (sorted(found), errors) == (["a1", "a2"], [])
    assert results(server, "GB('KeysOnlyReader').run('a1', { noScan: true })") == ["a1"]
    assert results(server, "GB('KeysOnlyReader').run('a*', { noScan: true })") == []


@each_way_to_run
def test_a_stream_is_read_in_order_and_stays(server, way):
    server.add("s", *range(1000))
    [found, errors] = way(server, "GB('StreamReader').map(x => x.n).run('s')")
    assert (found, errors) == ([str(n) for n in range(1000)], [])
    assert server.run("XLEN", "s") == 1000


def test_a_stream_is_read_from_behind_an_id_on(server):
    ids = server.add("s", *range(5))
    for given, expected in (
        (f"'{ids[2]}'", ["3", "4"]),
        ("'0-0'", list("01234")),
        (f"'{ids[4]}'", []),
        ("undefined", list("01234")),
    ):
        assert results(server, f"GB('StreamReader').map(x => x.n).run('s', {{ fromId: {given} }})") == expected


def test_entries_are_flat_or_nested(server):
    server.run("XADD", "s", "5-1", "a", "1", "a", "2", "b", "")
    show = "map(x => JSON.stringify(x))"
    assert results(server, f"GB('StreamReader').{show}.run('s')") == ['{"streamId":"5-1","a":"2","b":""}']
    nested = f"GB('StreamReader', 's').{show}.run(undefined, {{ recordFormat: 'nested' }})"
    assert results(server, nested) == ['{"key":"s","id":"5-1","value":{"a":"2","b":""}}']


def test_a_stream_that_is_not_there_has_no_entries(server):
    assert execute(server, "GB('StreamReader').count().run('nosuch')") == [[], []]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("GB('StreamReader').run('s', { fromId: 'x' })", "Invalid stream ID"),
        ("GB('StreamReader').run('text')", "WRONGTYPE"),
    ],
)
def test_what_cannot_be_read_is_one_error(server, code, message):
    server.run("SET", "text", 1)
    server.add("s", 1)
    [found, [error]] = execute(server, code)
    assert found == []
    assert message in error


@each_way_to_run
def test_there_is_one_shard(server, way):
    assert way(server, "GB('ShardsIDReader').run()") == [["1"], []]
    assert way(server, "GB('ShardsIDReader').map(x => execute('DBSIZE')).run()") == [[0], []]


@pytest.mark.parametrize("reader", ["'PythonReader'", "'CommandReader'", "'keysreader'", "''", "5", "'toString'", "{}"])
def test_there_are_no_other_readers(server, reader):
    with pytest.raises(ResponseError, match="reader does not exists"):
        execute(server, f"GB({reader})")


# --- results --------------------------------------------------------------------------------------------------------


def test_results_keep_their_types_unless_texts_are_asked_for(server):
    server.add("s", 1)
    values = "[5, 2.5, 'a', null, true, { a: 1 }, [1, ['b']], 10n, new Uint8Array([65])]"
    plan = f"GB('StreamReader').flatmap(() => {values}.reverse())"
    found = results(server, f"{plan}.run('s')")
    assert found == [5, "2.5", "a", None, 1, ["a", 1], [1, ["b"]], 10, "A"]
    found = results(server, f"{plan}.run('s', {{ convertToStr: true }})")
    assert found == ["5", "2.5", "a", "null", "true", '{"a":1}', '[1,["b"]]', "10", '{"0":65}']


def test_a_text_may_begin_with_a_sign(server):
    """In the first RedisGears it became an error or a status."""
    server.add("s", 1)
    assert results(server, "GB('StreamReader').map(() => '-5').run('s')") == ["-5"]
    assert results(server, "GB('StreamReader').map(() => '+OK').run('s')") == ["+OK"]


@each_way_to_run
def test_what_cannot_be_a_reply_is_an_error(server, way):
    server.add("s", 1)
    code = "GB('StreamReader').map(() => { const a = []; a.push(a); return a; }).run('s')"
    if way is run_in_function:
        with pytest.raises(ResponseError, match="nesting level reached"):
            way(server, code)
    else:
        [found, [error]] = way(server, code)
        assert (found, "nesting level reached" in error) == ([], True)


# --- errors ---------------------------------------------------------------------------------------------------------


@each_way_to_run
def test_a_step_that_throws_ends_the_reading(server, way):
    server.add("s", *range(1000))
    step = "map(x => { if (x.n === '3') throw new Error('no 3'); return x.n; })"
    [found, errors] = way(server, f"GB('StreamReader').{step}.run('s')")
    assert (found, errors) == (["0", "1", "2"], ["Error: no 3"])


@pytest.mark.parametrize(
    ("thrown", "text"),
    [
        ("new Error('x')", "Error: x"),
        ("new TypeError('x')", "TypeError: x"),
        ("'x'", "x"),
        ("5", "5"),
        ("null", "null"),
        ("{ toString() { throw 1; } }", "an exception that has no text"),
    ],
)
def test_the_text_of_an_error_is_what_was_thrown(server, thrown, text):
    server.add("s", 1)
    for how in (f"x => {{ throw {thrown}; }}", f"async x => {{ throw {thrown}; }}"):
        assert execute(server, f"GB('StreamReader').map({how}).run('s')") == [[], [text]]


def test_an_error_passes_the_later_steps(server):
    server.add("s", 1, 2)
    steps = "map(x => { throw new Error('no'); }).filter(() => false).foreach(() => log('seen'))"
    assert execute(server, f"GB('StreamReader').{steps}.run('s')") == [[], ["Error: no"]]
    assert logged(server) == []


def test_what_was_gathered_for_other_keys_stays(server):
    server.add("s", "a", "b", "a", "c")
    reducer = "(k, n, x) => { if (n === 1) throw new Error('twice'); return 1; }"
    [found, errors] = execute(server, f"GB('StreamReader').groupby(x => x.n, {reducer}).run('s')")
    assert (by_key(found), errors) == ({"b": 1}, ["Error: twice"])
    reducer = "(a, x) => { if (x.n === 'c') throw new Error('no'); return 1; }"
    assert execute(server, f"GB('StreamReader').accumulate({reducer}).run('s')") == [[], ["Error: no"]]


def test_a_command_that_is_refused_is_an_error(server):
    server.run("SET", "a", "text")
    [found, [error]] = execute(server, "GB().foreach(x => execute('INCR', x.key)).run()")
    assert found == []
    assert error.startswith("ERR value is not an integer")


def test_steps_may_wait_and_the_order_stays(server):
    server.add("s", *range(200))
    wait = "async x => { for (let n = 0; n < x.n % 5; n++) await null; return x.n; }"
    assert results(server, f"GB('StreamReader').map({wait}).filter(async n => n % 2 == 0).run('s')") == [
        str(n) for n in range(0, 200, 2)
    ]


# --- where a run may begin ------------------------------------------------------------------------------------------


def test_only_one_run_may_begin_at_the_top_of_a_script(server):
    for code in ("GB().run(); GB().run()", "GB().register('k'); GB().run(); GB('KeysOnlyReader').run()"):
        with pytest.raises(ResponseError, match="more then 1"):
            execute(server, code)
    assert server.libraries() == []
    assert "running" not in executions(server).values()


def test_the_script_can_go_on_when_its_run_has_ended(server):
    server.run("SET", "a", 1)
    code = "GB().map(x => x.key).run().then(([found]) => log(`found ${found}`)); log('begun')"
    assert execute(server, code) == [["a"], []]
    server.wait(lambda: logged(server) == ["begun", "found a"], lambda: logged(server))


@pytest.mark.parametrize("place", ["library", "sync function", "block", "sync step"])
def test_elsewhere_a_run_is_refused(server, place):
    if place == "library":
        with pytest.raises(
            ResponseError, match="'run' can only be used in an async function, or at the top level of RG.JSEX"
        ):
            server.load(function(), "GB().run();")
        return
    if place == "sync step":
        execute(server, "GB('StreamReader').foreach(x => GB().run()).register('s', { mode: 'sync' })", "ID", "lib")
        server.add("s", 1)
        assert "where the server's lock is not held" in server.consumer("gears:1")["rows"][0]["last_error"]
        return
    code = {"sync function": "() => GB().run()", "block": "async client => client.block(() => GB().run())"}[place]
    server.load(function("f", code))
    with pytest.raises(
        ResponseError, match="'run' can only be used where the server's lock is not held, in async code"
    ):
        server.call("f")


def test_an_async_function_may_run_many_plans_one_in_another_and_at_the_same_time(server):
    fill(server, "a:", 50)
    nested = """async () => {
        const count = pattern => GB().count().run(pattern);
        const both = await Promise.all([count('a:*'), count('a:1*')]);
        const [found] = await GB('KeysOnlyReader').map(async key => (await count(key))[0][0]).run('a:2*');
        return [both, found];
    }"""
    server.load(function("f", nested))
    before = len(executions(server))
    assert server.call("f") == [[[[50], []], [[11], []]], [1] * 11]
    assert len(executions(server)) == before + 14


def test_an_async_step_of_a_registration_may_run_a_plan(server):
    server.run("MSET", "a1", 1, "a2", 2)
    step = "foreach(async x => { const [[n]] = await GB().count().run('a*'); log(`${x.n} ${n}`); })"
    execute(server, f"GB('StreamReader').{step}.register('s')")
    server.add("s", "x")
    server.wait(lambda: logged(server) == ["x 2"], lambda: logged(server))


def test_a_library_that_is_replaced_ends_its_runs(server):
    server.load(function("f", "async () => GB('ShardsIDReader').map(() => new Promise(() => {})).run()"))
    before = set(executions(server))
    sent = server.send_call("f")
    server.wait(lambda: set(executions(server)) - before, "it does not begin")
    [identity] = set(executions(server)) - before
    assert executions(server)[identity] == "running"
    server.upgrade(function("g"))
    with pytest.raises(ResponseError, match="replaced or deleted"):
        sent.reply()
    wait_status(server, identity, "done")
    [found, [error]] = server.run("RG.GETRESULTS", identity)
    assert found == []
    assert "gone" in error
