"""The arguments of ``register``, of both readers, by name and by position, and what the policies do in Python."""

import json
import time

import pytest
from redis.exceptions import ResponseError

from testing.gears1 import logged, registration, registrations, wait_counts, wait_logged, wait_registration
from testing.python import execute

MODES = ("sync", "async", "async_local")
LOG = "foreach(lambda x: log(x['n']))"


def stream_args(server, *args):
    """What RG.DUMPREGISTRATIONS shows of a stream reader that was registered with these arguments."""
    execute(server, f"GearsBuilder('StreamReader').register({', '.join(args)})")
    found = registration(server)
    return found["mode"], found["args"]


# --- arguments of the StreamReader ----------------------------------------------------------------------------------


def test_a_stream_reader_has_the_defaults_of_the_page(server):
    mode, args = stream_args(server)
    assert mode == "async"
    assert args == {
        "batchSize": 1, "durationMS": 0, "stream": "*", "trimStream": 1, "onFailedPolicy": "retry", "retryInterval": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "args",
    [
        ("'s*'", "'async_local'", "10", "200", "None", "'abort'", "5"),
        ("regex='s*'", "mode='async_local'", "batch=10", "duration=200", "onFailedPolicy='abort'", "onFailedRetryInterval=5"),
        ("'s*'", "mode='async_local'", "batch=10", "duration=200", "onRegistered=None", "onFailedPolicy='Abort'"),
        ("prefix='s*'", "convertToStr=False", "collect=True", "mode='async_local'", "batch=10", "duration=200", "onFailedPolicy='abort'"),
        ("'s*'", "True", "True", "mode='async_local'", "batch=10", "duration=200", "onFailedPolicy='abort'"),
    ],
)
def test_a_stream_reader_takes_its_arguments_by_position_and_by_name(server, args):
    mode, found = stream_args(server, *args)
    assert mode == "async_local"
    assert (found["stream"], found["batchSize"], found["durationMS"], found["onFailedPolicy"]) == ("s*", 10, 200, "abort")


def test_streams_may_stay_as_they_are(server):
    execute(server, f"GB('StreamReader').{LOG}.register('s', trimStream=False)")
    server.add("s", 1, 2)
    wait_logged(server, 1, 2)
    wait_counts(server, 2, 2, 0, 0)
    assert server.run("XLEN", "s") == 2


@pytest.mark.parametrize("mode", MODES)
def test_entries_are_processed_in_order_in_each_mode(server, mode):
    execute(server, f"GB('StreamReader').{LOG}.register('s', '{mode}')")
    server.add("s", *range(20))
    if mode == "sync":
        assert logged(server) == [str(n) for n in range(20)]
    wait_logged(server, *range(20))
    wait_registration(server, mode=mode, numSuccess=20)


def test_a_batch_is_processed_at_once(server):
    execute(server, "GB('StreamReader').count().foreach(lambda n: log(str(n))).register('s', batch=3)")
    server.add("s", 1, 2)
    time.sleep(0.1)
    assert logged(server) == []
    server.add("s", 3, 4, 5, 6)
    wait_logged(server, 3, 3)


def test_a_batch_that_is_not_full_waits_for_its_duration(server):
    execute(server, "GB('StreamReader').count().foreach(lambda n: log(str(n))).register('s', 'async', 10, 100)")
    server.add("s", 1, 2)
    wait_logged(server, 2)


WRONG = {
    "'s', batch=0": "Argument 'batch' of 'register' must be a whole number between 1 and 10000",
    "'s', batch='2'": "Argument 'batch' of 'register' must be a whole number",
    "'s', duration=-1": "Argument 'duration' of 'register' must be a whole number",
    "'s', mode='other'": "Argument 'mode' of 'register' must be one of async, async_local, sync",
    "'s', onFailedPolicy='ignore'": "Argument 'onFailedPolicy' of 'register' must be one of continue, abort, retry",
    "'s', onFailedRetryInterval=-1": "Argument 'onFailedRetryInterval' of 'register' must be a number of seconds",
    "'s', 'sync', onFailedPolicy='retry'": "Argument 'onFailedPolicy' of 'register' cannot be 'retry' with mode 'sync'",
    "5": "Argument 'regex' of 'register' must be a string",
    "'s', unknown=1": "Unknown argument 'unknown' of 'register'",
    "'s', 'async', mode='sync'": "register\\(\\) got multiple values for argument 'mode'",
    "'s', regex='t'": "register\\(\\) got multiple values for argument 'regex'",
    "'s', prefix='t'": "Argument 'prefix' of 'register' was given more than once",
    "'s', onRegistered=5": "Argument 'onRegistered' of 'register' must be a function",
    "*range(9)": "takes at most 7 arguments by position, 9 were given",
}


@pytest.mark.parametrize("args", WRONG)
def test_wrong_arguments_are_named(server, args):
    with pytest.raises(ResponseError, match=WRONG[args]):
        execute(server, f"GB('StreamReader').register({args})")
    assert registrations(server) == []


# --- arguments of the KeysReader ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        "'k*', 'sync', ['set', 'del'], ('string', 'empty')",
        "regex='k*', mode='sync', eventTypes={'set': 1, 'del': 2}, keyTypes=['string', 'empty']",
        "'k*', mode='sync', eventTypes=(e for e in ['set', 'del']), keyTypes=['string', 'empty'], OnRegistered=None",
    ],
)
def test_a_keys_reader_takes_its_arguments_by_position_and_by_name(server, args):
    execute(server, f"GB().foreach(lambda x: log(x['key'] + ' ' + x['event'] + ' ' + x['type'])).register({args})")
    found = registration(server)
    assert (found["mode"], found["args"]["regex"]) == ("sync", "k*")
    assert (found["args"]["eventTypes"], found["args"]["keyTypes"]) == (["set", "del"], ["string", "empty"])
    server.run("SET", "k1", 1)
    server.run("APPEND", "k1", 1)
    server.run("RPUSH", "k2", 1)
    server.run("SET", "other", 1)
    server.run("DEL", "k1")
    assert logged(server) == ["k1 set string", "k1 del empty"]


VALUES = {
    ("SET", "k", "v"): {"key": "k", "value": "v", "type": "string", "event": "set"},
    ("SET", "k", b"\xff"): {"key": "k", "value": b"\xff", "type": "string", "event": "set"},
    ("RPUSH", "k", "a", "b"): {"key": "k", "value": ["a", "b"], "type": "list", "event": "rpush"},
    ("HSET", "k", "b", "1", "2", "x"): {"key": "k", "value": {"b": "1", "2": "x"}, "type": "hash", "event": "hset"},
    ("SADD", "k", "a"): {"key": "k", "value": None, "type": "set", "event": "sadd"},
    ("ZADD", "k", "1", "a"): {"key": "k", "value": None, "type": "zset", "event": "zadd"},
    ("XADD", "k", "1-1", "a", "b"): {"key": "k", "value": None, "type": "stream", "event": "xadd"},
}


@pytest.mark.parametrize("command", VALUES)
def test_records_of_keys_are_those_of_release_1(server, command):
    execute(server, "GB().foreach(lambda x: log(repr(sorted(x.items())))).register('k', 'sync')")
    server.run(*command)
    [found] = logged(server)
    expected = VALUES[command]
    if command[0] == "HSET":
        # A hash has no order.
        assert sorted(eval(found)[-1][1].items()) == sorted(expected["value"].items())
    else:
        assert found == repr(sorted(expected.items()))


def test_a_keys_reader_need_not_read_the_value(server):
    execute(server, "GB().foreach(lambda x: log(repr(x))).register('k', readValue=False, noScan=True)")
    server.run("SET", "k", "v")
    wait_logged(server, "{'key': 'k', 'event': 'set'}")


@pytest.mark.parametrize("reader", ["KeysReader", "StreamReader"])
@pytest.mark.parametrize("name", ["onRegistered", "OnRegistered"])
@pytest.mark.parametrize("f", ["def f():", "async def f():"])
def test_a_registration_may_begin_with_a_function(start_server, reader, name, f):
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    execute(server, f"count = 0\n{f}\n    global count\n    count += 1\n    log(f'begun {{count}}')\nGB('{reader}').register('k', {name}=f)")
    wait_logged(server, "begun 1")
    server.restart()
    wait_logged(server, "begun 1", "begun 1")


# --- policies -------------------------------------------------------------------------------------------------------

FAIL = """
def work(x):
    log('try ' + x['n'])
    if execute('sismember', 'bad', x['n']):
        raise ValueError('no ' + x['n'])
    log('done ' + x['n'])
GB('StreamReader').foreach(work).register('s', {})
"""


def done(server):
    return logged(server, "done ")


def test_retry_begins_with_the_entry_that_failed(server):
    execute(server, FAIL.format("onFailedRetryInterval=0.1"))
    server.run("SADD", "bad", 1)
    server.add("s", 0, 1, 2)
    server.wait(lambda: logged(server, "try ").count("1") >= 3, lambda: logged(server))
    assert done(server) == ["0"]
    found = registration(server)
    assert 'line 5, in work' in found["lastError"] and "ValueError: no 1" in found["lastError"]
    server.run("DEL", "bad")
    server.wait(lambda: done(server) == ["0", "1", "2"], lambda: logged(server))
    wait_registration(server, lastError=None, status="OK")


def test_abort_stops_the_registration(server):
    execute(server, FAIL.format("onFailedPolicy='abort'"))
    server.run("SADD", "bad", 1)
    server.add("s", 0, 1, 2)
    wait_registration(server, status="ABORTED", numFailures=1)
    server.add("s", 3)
    assert done(server) == ["0"]
    assert server.run("XLEN", "s") == 3


@pytest.mark.parametrize("mode", MODES)
def test_continue_passes_over_what_failed(server, mode):
    execute(server, FAIL.format(f"mode='{mode}', onFailedPolicy='continue'"))
    server.run("SADD", "bad", 1)
    server.add("s", 0, 1, 2)
    server.wait(lambda: done(server) == ["0", "2"], lambda: logged(server))
    wait_counts(server, 3, 2, 1, 0)


# --- operators and runs ---------------------------------------------------------------------------------------------

RUNS = {
    "GB().map(lambda x: x['value']).run('n*')": ["1", "2", "3", "4"],
    "GB().map(lambda x: int(x['value'])).filter(lambda n: n % 2).run('n*')": ["1", "3"],
    "GB().flatmap(lambda x: [x['value']] * 2).run('n[12]')": ["1", "1", "2", "2"],
    "GB().flatmap(lambda x: (x['value'],)).run('n1')": ["('1',)"],
    "GB().map(lambda x: int(x['value'])).accumulate(lambda a, n: n + (a or 0)).run('n*')": ["10"],
    "GB().count().run('n*')": ["4"],
    "GB().count().run('none*')": [],
    "GB().map(lambda x: int(x['value'])).avg().run('n*')": ["2.5"],
    "GB().map(lambda x: int(x['value'])).sort().limit(3).run('n*')": ["1", "2", "3"],
    "GB().map(lambda x: int(x['value'])).sort(reverse=False).limit(2, 1).run('n*')": ["3", "2"],
    "GB().map(lambda x: int(x['value']) // 3).distinct().sort().run('n*')": ["0", "1"],
    "GB().countby(lambda x: int(x['value']) % 2).map(lambda r: (r['key'], r['value'])).run('n*')": ["('0', 2)", "('1', 2)"],
    "GB().groupby(lambda x: 'all', lambda k, a, x: (a or 0) + int(x['value'])).run('n*')": ["{'key': 'all', 'value': 10}"],
    "GB().localgroupby(lambda x: None, lambda k, a, x: k).run('n*')": ["{'key': 'None', 'value': 'None'}"],
    "GB().batchgroupby(lambda x: 1, lambda k, all: len(all)).run('n*')": ["{'key': '1', 'value': 4}"],
    "GB().aggregate([], lambda a, x: a + [int(x['value'])], lambda a, b: sorted(a + b)).run('n*')": ["[1, 2, 3, 4]"],
    "GB().aggregateby(lambda x: 'k', {}, lambda k, a, x: {**a, x['key']: 1}, lambda k, a, b: sorted([*a, *b])).run('n*')": [
        "{'key': 'k', 'value': ['n1', 'n2', 'n3', 'n4']}"
    ],
    "GB().repartition(lambda x: x['value']).collect().count().run('n*')": ["4"],
    "GB('KeysOnlyReader').sort().run('n*')": ["n1", "n2", "n3", "n4"],
    "GB('ShardsIDReader').run()": ["1"],
    "GB('StreamReader').map(lambda x: x['a']).run('stream')": ["5", "6"],
    "GB('StreamReader').map(lambda x: x['value']['a']).run('stream', fromId='1-1')": ["6"],
    "GB('KeysReader', 'n1').map(lambda x: x['value']).run()": ["1"],
}


@pytest.mark.parametrize("plan", RUNS)
def test_operators_are_pythons(server, plan):
    server.run("MSET", "n1", 1, "n2", 2, "n3", 3, "n4", 4)
    server.run("XADD", "stream", "1-1", "a", 5)
    server.run("XADD", "stream", "2-1", "a", 6)
    [found, errors] = execute(server, plan)
    assert errors == []
    assert (found if "sort" in plan or "limit" in plan else sorted(found)) == RUNS[plan]


def test_results_are_replied_as_release_1_did(server):
    server.run("SET", "k", "v")
    values = "[1, -5, 2 ** 70, 1.5, 'text', b'\\xff', [1, ['x']], {'a': 1}, None, (1, 2), True]"
    [found, errors] = execute(server, f"GB().flatmap(lambda x: {values}[::-1]).run('k', convertToStr=False)")
    assert errors == []
    record = "PY RECORD"
    assert found[:2] == [1, -5] and found[3:5] == ["1.500000", "text"]
    assert found[5].encode("utf-8", "surrogateescape") == b"\xff"
    assert found[6:] == [[1, ["x"]], record, record, record, record]


def test_an_error_in_a_step_is_a_traceback(server):
    server.run("SET", "k", "v")
    [found, errors] = execute(server, "def f(x):\n    return x['none']\n\nGB().map(f).run('k')")
    assert found == []
    assert "line 2, in f" in errors[0] and errors[0].endswith("KeyError: 'none'")


def test_json_goes_both_ways(server):
    server.run("SET", "k", '{"b": [1, 2.5, null, true], "1": "\\u00e9"}')
    [found, errors] = execute(server, "import json\nGB().map(lambda x: json.dumps(json.loads(x['value']))).run('k')")
    assert errors == []
    assert json.loads(found[0]) == {"b": [1, 2.5, None, True], "1": "é"}
