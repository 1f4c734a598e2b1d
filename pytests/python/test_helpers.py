"""The functions beside GearsBuilder: execute, atomic, futures, and what scripts ask of the configuration."""

import pytest
from redis.exceptions import ResponseError

from testing.gears1 import registration, wait_counts
from testing.python import execute
from testing.transactions import units_of

MODES = ("sync", "async", "async_local")


def run(server, step, **values):
    """What a step gives for one key."""
    server.run("SET", "k", "v")
    [found, errors] = execute(server, f"{step}\nGB().map(f).run('k')")
    assert errors == []
    return found[0]


def failure(server, step):
    """What a step that fails says."""
    server.run("SET", "k", "v")
    [found, errors] = execute(server, f"{step}\nGB().map(f).run('k')")
    assert found == [] and len(errors) == 1
    return errors[0]


# --- execute --------------------------------------------------------------------------------------------------------

REPLIES = {
    "execute('ping')": "'PONG'",
    "execute('set', 'a', 1)": "'OK'",
    "execute('get', 'a')": "'1'",
    "execute('get', 'none')": "None",
    "execute('incr', 'a')": "2",
    "execute('incrby', 'a', 2 ** 62)": "4611686018427387906",
    "execute('rpush', 'l', 'x', b'\\xff', 1.5)": "3",
    "execute('lrange', 'l', 0, -1)": "['x', b'\\xff', '1.5']",
    "execute('hset', 'h', 'f', 'v')": "1",
    "execute('hgetall', 'h')": "['f', 'v']",
    "execute('sadd', 's', 'm')": "1",
    "execute('smembers', 's')": "['m']",
    "execute('zadd', 'z', 1.5, 'm')": "1",
    "execute('zscore', 'z', 'm')": "'1.5'",
    "execute('zrange', 'z', 0, -1, 'WITHSCORES')": "['m', '1.5']",
    "execute('mget', 'a', 'none')": "['4611686018427387906', None]",
    "execute('xadd', 'x', '1-1', 'f', 'v')": "'1-1'",
    "execute('xrange', 'x', '-', '+')": "[['1-1', ['f', 'v']]]",
    "execute()": "TypeError",
}


def test_replies_are_pythons_values(server):
    for call, expected in REPLIES.items():
        if expected == "TypeError":
            assert expected in failure(server, f"def f(x):\n    return repr({call})")
        else:
            assert run(server, f"def f(x):\n    return repr({call})") == expected, call


def test_an_error_of_a_command_is_an_exception(server):
    step = """
import redisgears
def f(x):
    try:
        execute('incr', 'k')
    except redisgears.error as error:
        return [type(error).__name__, str(error), isinstance(error, Exception)]
"""
    server.run("SET", "k", "v")
    [found, errors] = execute(server, f"{step}\nGB().map(f).run('k', convertToStr=False)")
    assert errors == []
    assert found[0][:2] == ["error", "ERR value is not an integer or out of range"]
    assert "ERR unknown command" in failure(server, "def f(x):\n    return execute('nosuch', 1)")
    assert "must be a string" in failure(server, "def f(x):\n    return execute(1)")


def test_commands_need_a_callback(server):
    with pytest.raises(ResponseError, match="'execute' can only be used while a callback runs"):
        execute(server, "execute('ping')")


# --- atomic ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["atomic()", "redisgears.atomicCtx()"])
def test_what_is_done_in_atomic_is_one_transaction(start_server, mode, name):
    server = start_server(configuration="appendonly yes\nauto-aof-rewrite-percentage 0\n")
    step = f"""
import redisgears
def both(x):
    with {name}:
        execute('set', 'a', x['n'])
        execute('set', 'b', x['n'])
    execute('set', 'c', x['n'])
GB('StreamReader').foreach(both).register('s', mode='{mode}')
"""
    execute(server, step)
    server.run("XADD", "s", "*", "n", "1")
    server.wait(lambda: any("SET c 1" in unit for unit in units_of(server)), lambda: registration(server))
    units = units_of(server)
    [together] = [unit for unit in units if "SET a 1" in unit]
    assert "SET b 1" in together
    # A sync step is one transaction as a whole.
    assert ("SET c 1" in together) == (mode == "sync")


def test_what_leaves_an_atomic_block_goes_on_behind_it(server):
    step = """
def f(x):
    done = []
    for n in range(6):
        with atomic():
            done.append(n)
            if n == 1:
                continue
            for other in range(3):
                if other == 1:
                    break
                done.append('inner')
            if n == 3:
                break
        done.append('behind')
    try:
        with atomic() as block:
            raise ValueError(isInAtomicBlock())
    except ValueError as error:
        done.append(str(error))
    with atomic():
        return repr([done, isInAtomicBlock()])
"""
    expected = [0, "inner", "behind", 1, 2, "inner", "behind", 3, "inner", "True"]
    assert run(server, step) == repr([expected, True])


def test_atomic_has_its_limits(server):
    nested = "def f(x):\n    with atomic():\n        with atomic():\n            pass"
    assert "'atomic' cannot be used inside of 'atomic'" in failure(server, nested)
    waiting = "async def f(x):\n    with atomic():\n        await f(x)"
    assert "'atomic' needs a body without 'await' and 'yield'" in failure(server, waiting)
    # It does not stay behind.
    assert run(server, "def f(x):\n    with atomic():\n        return 'fine'") == "fine"
    with pytest.raises(ResponseError, match="while a callback runs"):
        execute(server, "with atomic():\n    execute('ping')")


def test_a_block_that_takes_too_long_is_ended(server):
    execute(server, "def f(x):\n    with atomic():\n        while True:\n            pass\nGB('StreamReader').foreach(f).register('s')", "ID", "x")
    server.run("XADD", "s", "*", "n", "1")
    server.wait(lambda: registration(server)["lastError"] is not None, lambda: registration(server))
    assert "timeout" in registration(server)["lastError"]
    assert server.run("PING")


# --- futures --------------------------------------------------------------------------------------------------------


def test_a_step_may_give_a_future_that_another_one_continues(server):
    code = """
waiting = {}

def wait(x):
    future = gearsFuture()
    waiting[x['n']] = future
    return future

def go(x):
    future = waiting.pop(x['n'])
    if 'error' in x:
        future.continueFailed(x['error'])
    else:
        future.continueRun(x['value'])

GB('StreamReader').map(wait).foreach(lambda x: execute('rpush', 'done', x)).register('s', onFailedPolicy='continue')
GB('StreamReader').foreach(go).register('go')
"""
    execute(server, code)
    server.run("XADD", "s", "*", "n", "1")
    server.run("XADD", "s", "*", "n", "2")
    server.wait(lambda: registration(server, "gears:1")["numTriggered"] >= 1, lambda: registration(server, "gears:1"))
    server.run("XADD", "go", "*", "n", "1", "value", "one")
    server.wait(lambda: server.run("LRANGE", "done", 0, -1) == ["one"], lambda: registration(server, "gears:1"))
    server.run("XADD", "go", "*", "n", "2", "error", "by me")
    wait_counts(server, 2, 1, 1, 0, name="gears:1")
    assert "error: by me" in registration(server, "gears:1")["lastError"]


def test_coroutines_are_waited_for(server):
    step = """
async def inner(n):
    return n * 2

async def f(x):
    future = gearsFuture()
    runCoroutine(inner(20), future)
    total = await inner(1) + await future
    [found, errors] = await GB('KeysOnlyReader').run('k*')
    return repr([total, found, errors])
"""
    assert run(server, step) == "[42, ['k'], []]"
    assert "ZeroDivisionError" in failure(server, "async def f(x):\n    return 1 / 0")


def test_a_coroutine_may_start_later(server):
    step = """
import time
async def late():
    return 'late'
async def f(x):
    began = time.time()
    future = createFuture()
    runCoroutine(late(), future, 0.2)
    text = await future
    return [text, time.time() - began >= 0.19]
"""
    assert run(server, step) == "['late', True]"


def test_sync_steps_cannot_wait(server):
    execute(server, "GB('StreamReader').map(lambda x: gearsFuture()).register('s', mode='sync')")
    server.run("XADD", "s", "*", "n", "1")
    wait_counts(server, 1, 0, 1, 0)
    assert "mode 'sync' cannot wait" in registration(server)["lastError"]


# --- the rest -------------------------------------------------------------------------------------------------------


def test_log_takes_a_level(server):
    execute(server, "log('a')\nlog('b', level='warning')\nlog('c', 'verbose')")
    assert server.messages("GEARS: ")[:2] == ["a", "b"]
    for wrong in ["log(1)", "log('x', 'loud')", "log()"]:
        with pytest.raises(ResponseError, match="TypeError"):
            execute(server, wrong)


REFUSED = {
    "GB('CommandReader')": "CommandReader is not there: scripts cannot stand in front of commands",
    "GB('PythonReader')": "PythonReader is not there: it may read without an end",
    "registerTE(1, print)": "registerTE is not there: the server has no time events",
    "override_reply('x')": "override_reply is not there: scripts cannot stand in front of commands",
    "get_command()": "get_command is not there",
    "call_next('x')": "call_next is not there",
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_there_is_not_is_refused_by_name_with_the_reason(server, call):
    with pytest.raises(ResponseError, match=f"NotImplementedError: {REFUSED[call]}"):
        execute(server, call)
    with pytest.raises(ResponseError, match="ImportError: cannot import name 'nosuch' from 'redisgears'$"):
        execute(server, "from redisgears import nosuch")


def test_a_flat_error_is_told_as_it_is(server):
    assert failure(server, "def f(x):\n    flat_error('just this')") == "just this"
    with pytest.raises(ResponseError, match="^just this$"):
        execute(server, "flat_error('just this')")


def test_hashtag_and_configuration(server):
    assert run(server, "def f(x):\n    return repr([hashtag(), configGet('x'), gearsConfigGet('x', 5)])") == "['06S', None, 5]"
    code = "#!py name=lib\nlog(repr([configGet('a'), gearsConfigGet('b', 'none'), gearsConfigGet('c', 'none')]))\nGB().register('x')"
    server.run("RG.FUNCTION", "LOAD", "CONFIG", '{"a": "text", "b": 5}', code)
    assert server.messages("GEARS: ")[-1] == "['text', '5', 'none']"


def test_the_module_redisgears_has_the_same(server):
    step = """
from redisgears import executeCommand as call, getMyHashTag, config_get, log as write
def f(x):
    write('from the module')
    return repr([call('ping'), getMyHashTag(), config_get('x')])
"""
    assert run(server, step) == "['PONG', '06S', None]"
    assert server.messages("GEARS: ")[-1] == "from the module"
