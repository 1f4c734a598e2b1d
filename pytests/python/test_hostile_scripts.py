"""Python that reaches for what is not its own, source that is meant to break the compiler, and values that lie."""

import re

import pytest
from redis import ResponseError

from testing.adversary import ENDED, LIMITED, LONG_MS
from testing.hostile_python import PythonHostile, in_function
from testing.wire import Wire, type_name

MODULE_ARGS = LIMITED
MEGABYTE = 1 << 20


@pytest.fixture
def hostile(server):
    """See ``PythonHostile``. What comes behind the test is a part of it."""
    case = PythonHostile(server)
    yield case
    server.assert_alive()
    case.end()


# --- source

DEEP = 100_000
DEEP_SOURCES = {
    "parentheses": "(" * DEEP + "1" + ")" * DEEP,
    "brackets": "[" * DEEP + "]" * DEEP,
    "braces": "{1:" * DEEP + "1" + "}" * DEEP,
    "brackets that stay open": "[" * DEEP,
    "brackets that were not opened": "]" * DEEP,
    "signs": "-" * DEEP + "1",
    "not": "not " * DEEP + "1",
    "lambdas": "lambda: " * DEEP + "1",
    "calls": "f" + "()" * DEEP,
    "attributes": "f" + ".a" * DEEP,
    "sums": "1" + " + 1" * DEEP,
    "powers": "1" + " ** 1" * DEEP,
    "comparisons": "1" + " < 1" * DEEP,
    "conditions": "1 if 1 else " * DEEP + "1",
    "assignments": "a = " * DEEP + "1",
    "decorators": "@f\n" * DEEP + "def f(): pass",
    "blocks": "".join(" " * depth + "if 1:\n" for depth in range(1000)) + " " * 1000 + "pass",
    "functions": "".join(" " * depth + "def f():\n" for depth in range(1000)) + " " * 1000 + "pass",
    "classes": "".join(" " * depth + "class C:\n" for depth in range(1000)) + " " * 1000 + "pass",
    "elif": "if 0: pass\n" + "elif 0: pass\n" * DEEP,
    "for in a comprehension": "[1 " + "for a in [1] " * DEEP + "]",
    "f-strings": "f'" + "{f'" * 1000 + "'}" * 1000 + "'",
    "targets": ", ".join(["a"] * DEEP) + " = " + ", ".join(["1"] * DEEP),
    "stars": "f(" + "*a, " * DEEP + ")",
}
REFUSED = rf"SyntaxError|IndentationError|RecursionError|MemoryError|NameError|{ENDED}"


@pytest.mark.parametrize("what", DEEP_SOURCES)
def test_source_that_is_nested_deeply_does_no_harm(hostile, what):
    hostile.limit(LONG_MS)
    try:
        assert hostile.execute(DEEP_SOURCES[what]) == "OK"
    except ResponseError as error:
        assert re.search(REFUSED, str(error))


# As much as there may be, with a first line that names it.
LARGE = 16 * MEGABYTE - 200
LARGE_SOURCES = {
    "a comment": "#" + "x" * LARGE,
    "lines": "a = 1\n" * (LARGE // 6),
    "a text": "a = '" + "x" * LARGE + "'",
    "a text that stays open": "a = '" + "x" * LARGE,
    "a text of three quotes that stays open": "a = '''" + "x\n" * (LARGE // 2),
    "a name": "a" * LARGE,
    "a number": "9" * LARGE,
    "empty lines": "\n" * LARGE,
    "spaces": " " * LARGE,
    "a list": "[" + "1," * (LARGE // 2) + "]",
}


@pytest.mark.parametrize("what", LARGE_SOURCES)
def test_source_that_is_large_does_no_harm(hostile, what):
    hostile.limit(1000)
    hostile.patience = 30
    try:
        assert hostile.execute(LARGE_SOURCES[what]) == "OK"
    except ResponseError as error:
        assert len(str(error)) < 100_000
        assert re.search(REFUSED, str(error))


def test_source_that_is_too_large_is_refused(hostile):
    assert "library code is too large" in hostile.fails_to_execute("#" + "x" * (16 * MEGABYTE))


ODD_SOURCES = {
    "bytes that are not UTF-8": b"a = '\xff'",
    "a zero byte": "a = 1\0\nb = 2",
    "a lone surrogate": "a = '\\ud800'\nexecute('echo', a)",
    "JavaScript": "const a = () => { return 1; };",
    "JavaScript in a text": "a = '`${(() => { for (;;); })()}`'\na.b",
    "a name that ends the code": "a = '*/ ; } } throw 1; //'\nraise ValueError(a)",
    "names of JavaScript": "constructor = prototype = __proto__ = undefined = arguments = 1\nassert constructor + 1 == 3",
}


@pytest.mark.parametrize("what", ODD_SOURCES)
def test_odd_source_is_an_error(hostile, what):
    # What ends it is not to be the limit.
    hostile.limit(LONG_MS)
    error = hostile.fails_to_execute(ODD_SOURCES[what])
    assert re.search(r"[Ee]rror|valid string", error)


EXEC_BOMBS = {
    "exec in exec": "code = 'exec(code)'\nexec(code)",
    "exec for ever": "n = 0\nwhile True:\n    exec(f'def f{n}(): return {n}')\n    n += 1",
    "source that doubles": "code = 'a = 1\\n'\nwhile True:\n    code += code\n    exec(code)",
    "eval of brackets": "eval('(' * 100_000 + ')' * 100_000)",
    "eval of a sum": "eval('1' + ' + 1' * 1_000_000)",
    "compile of lines": "compile('a = 1\\n' * 1_000_000, 'a', 'exec')",
    "exec that loops": "exec('while True:\\n    try:\\n        pass\\n    except:\\n        pass')",
}


@pytest.mark.parametrize("what", EXEC_BOMBS)
def test_source_that_makes_source_is_ended(hostile, what):
    hostile.limit(1000)
    assert re.search(REFUSED, hostile.provoke("script", EXEC_BOMBS[what]))


# --- what is not its own

FOREIGN = {
    "browser": "import browser",
    "window of the browser": "from browser import window",
    "document": "from browser import document",
    "html": "from browser import html",
    "ajax": "from browser import ajax",
    "websocket": "from browser import websocket",
    "webworkers": "from browser import worker",
    "javascript": "import javascript",
    "this of javascript": "from javascript import this",
    "window": "window",
    "document as a global": "document",
    "console": "console",
    "__BRYTHON__": "__BRYTHON__",
    "globalThis": "globalThis",
    "Function": "Function('return 1')",
    "redis": "redis",
    "process": "process",
    "WebAssembly": "WebAssembly",
    "a module of the interpreter": "import interpreter",
    "a module in JavaScript": "import _ajax",
    "sockets": "import socket\nsocket.socket()",
    "threads": "import threading\nthreading.Thread(target=print).start()",
    "threads below": "import _thread\n_thread.start_new_thread(print, ())",
    "processes": "import subprocess\nsubprocess.run(['id'])",
    "a shell": "import os\nos.system('id')",
    "files": "open('/etc/hostname').read()",
    "requests": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')",
    "C": "import ctypes\nctypes.CDLL('libc.so.6')",
    "input": "input()",
    "exit": "exit()",
    "sys.exit": "import sys\nsys.exit()",
    "SystemExit": "raise SystemExit",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "os._exit": "import os\nos._exit(1)",
    "os.abort": "import os\nos.abort()",
    "sleep": "import time\ntime.sleep(3600)",
    "a constructor in JavaScript": "(lambda: 0).constructor('return 1')()",
    "a prototype in JavaScript": "[].__proto__",
    "a method of JavaScript's lists": "[1].splice(0)",
    "a method of JavaScript's texts": "'a'.charCodeAt(0)",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_a_script_s_own_is_an_error(hostile, what):
    # What ends it is not to be the limit.
    hostile.limit(LONG_MS)
    error = hostile.provoke("script", f"print('before')\n{FOREIGN[what]}\nprint('behind')")
    assert error
    assert not re.search(ENDED, error)
    assert hostile.server.messages("GEARS: behind") == []


# --- what is changed under the module's hands

MONKEYS = {
    "builtins": """
        import builtins
        for name in dir(builtins):
            if not name.startswith('_'):
                try:
                    setattr(builtins, name, None)
                except Exception:
                    pass
    """,
    "str": "import builtins\nbuiltins.str = lambda *_: 1 / 0",
    "dict": "import builtins\nbuiltins.dict = None\nbuiltins.list = None\nbuiltins.isinstance = None",
    "methods of dict": "dict.__getitem__ = lambda *_: 1 / 0\ndict.__str__ = lambda *_: 1 / 0",
    "methods of str": "str.encode = None\nstr.__str__ = None",
    "the module": "import redisgears\nredisgears.executeCommand = None\nredisgears.log = None",
    "the builder": "GearsBuilder.foreach = None\nGearsBuilder.map = None\nGearsBuilder.run = None",
    "the helpers": "global execute, atomic, log, GB, GearsBuilder\nexecute = atomic = log = GB = GearsBuilder = None",
    "json": "import json\njson.dumps = json.loads = None",
    "sys.modules": "import sys\nsys.modules.clear()",
    "the import": "import builtins\nbuiltins.__import__ = None",
    "sys.stdout": "import sys\nsys.stdout = sys.stderr = None",
    "the exceptions": "import builtins\nbuiltins.Exception = builtins.BaseException = builtins.TypeError = int",
}


@pytest.mark.parametrize("what", MONKEYS)
def test_who_changes_builtins_harms_nobody_else(hostile, what):
    """The registration of the same script may fail, and then says so; another library has none of these changes."""
    register = "GB('StreamReader').foreach(lambda x: x['a']).register('provoked', onFailedPolicy='continue')\n"
    try:
        hostile.execute(f"{register}{in_function(MONKEYS[what])}hostile(None)", "ID", "lib")
    except ResponseError:
        return
    hostile.server.run("XADD", "provoked", "*", "a", 1)
    hostile.server.wait(lambda: hostile.server.run("XLEN", "provoked") == 0, hostile.registration)


# --- values

LIARS = {
    "a text that raises": "class C:\n    def __str__(self):\n        raise ValueError('no text')\n    __repr__ = __str__\nreturn C()",
    "a text that is none": "class C:\n    def __str__(self):\n        return 1\nreturn C()",
    "an exception that raises": "class E(Exception):\n    def __str__(self):\n        raise ValueError('no text')\nraise E()",
    "an exception that is none": "raise 1",
    "an exception of a class that raises": "class E(Exception):\n    def __init__(self):\n        raise E2('inner')\n"
    "class E2(Exception):\n    pass\nraise E()",
    "an exception with a large text": "raise ValueError('x' * 10 ** 7)",
    "an exception in a list that holds itself": "bag = []\nbag.append(bag)\nraise ValueError(bag)",
    "exceptions in a ring": "a, b = ValueError('a'), ValueError('b')\na.__context__, b.__context__ = b, a\nraise a",
    "a chain of exceptions": """
        for _ in range(1000):
            try:
                raise ValueError(_)
            except ValueError as one:
                try:
                    raise KeyError from one
                except KeyError as other:
                    last = other
        raise last
    """,
    "an exception with a foreign class": "class E(Exception):\n    __class__ = 1\nraise E()",
    "StopIteration": "raise StopIteration(1)",
    "GeneratorExit": "raise GeneratorExit",
    "a hash that raises": "class C:\n    def __hash__(self):\n        raise ValueError('no hash')\nreturn {C(): 1}",
    "an equality that raises": "class C:\n    def __eq__(self, other):\n        raise ValueError('not equal')\nreturn [C()] == [C()]",
    "__del__ that raises": "class C:\n    def __del__(self):\n        raise ValueError('gone')\nC()\nraise KeyError('still here')",
    "a word that raises": "class C:\n    def __str__(self):\n        raise ValueError('no text')\nexecute('echo', C())",
    "a command that is none": "execute(1)",
    "a generator that raises": "def g():\n    yield 1\n    raise ValueError('behind')\nreturn list(g())",
    "a lone surrogate in an error": r"raise ValueError('\ud800')",
    "lines in an error": r"raise ValueError('a\r\n-ERR b\r\n+OK')",
}


@pytest.mark.parametrize("what", LIARS)
def test_a_value_that_lies_is_an_error_of_its_record(hostile, what):
    error = hostile.provoke("run", LIARS[what])
    assert error
    assert "object Object" not in error


UNUSUAL = {
    "a function": "return lambda: 1",
    "a class": "return int",
    "a module": "import json\nreturn json",
    "a generator": "return (n for n in [1])",
    "a complex number": "return 1j",
    "a range": "return range(3)",
    "bytes": r"return b'\xff\x00'",
    "a lone surrogate": r"return '\ud800'",
    "infinity": "return float('inf')",
    "a number without bounds": "return 2 ** 70",
    "a list that holds itself": "bag = []\nbag.append(bag)\nreturn bag",
    "a text of a status": "return '+OK'",
    "a text of an error": r"return '-ERR no\r\n+OK'",
    "nothing": "return None",
    "a text with lines": r"return 'a\r\n:1\r\n'",
}


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("what", UNUSUAL)
def test_an_unusual_result_is_a_whole_reply(hostile, what, protocol, as_text):
    body = "\n".join(f"    {line}" for line in UNUSUAL[what].splitlines())
    script = f"def f(x):\n{body}\nGB('ShardsIDReader').map(f).run(convertToStr={as_text})"
    with Wire(hostile.server.port, protocol) as wire:
        reply = wire.call("RG.PYEXECUTE", script)
        assert reply.startswith(b"*2\r\n"), reply
        assert type_name(wire.call("PING")) == "simple string"
