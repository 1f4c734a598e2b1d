"""Python that does not end, or takes all there is: it is ended, the error says why, and the next script runs."""

import re

import pytest

from testing.adversary import ENDED, LIMITED, LONG_MS, OUT_OF_MEMORY, TIMEOUT
from testing.hostile_python import PLACES, PythonHostile

MODULE_ARGS = LIMITED

# What Python calls it where there is no more room.
NO_ROOM = rf"MemoryError|OverflowError|ValueError|{OUT_OF_MEMORY}"
# Where it is a matter of the machine which limit comes first.
A_LIMIT = rf"{ENDED}|{NO_ROOM}"


@pytest.fixture
def hostile(server):
    """See ``PythonHostile``. What comes behind the test is a part of it."""
    case = PythonHostile(server)
    yield case
    server.assert_alive()
    case.end()


# --- what does not end

ENDLESS = {
    "bare except and finally": """
        while True:
            try:
                while True:
                    pass
            except:
                continue
            finally:
                while True:
                    try:
                        pass
                    finally:
                        continue
    """,
    "a handler of everything": """
        def forever():
            try:
                while True:
                    pass
            except BaseException:
                forever()
            else:
                forever()
        forever()
    """,
    "a context manager that swallows": """
        class Swallow:
            def __enter__(self):
                return self
            def __exit__(self, *_):
                return True
        while True:
            with Swallow():
                while True:
                    pass
    """,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", ENDLESS)
def test_an_endless_loop_is_ended_wherever_it_is(hostile, what, place):
    assert re.search(TIMEOUT, hostile.provoke(place, ENDLESS[what]))


# Methods that Python's own functions call, each of which does not come back.
METHODS = {
    "__repr__": "repr(Loop())",
    "__str__": "f'{Loop()}'",
    "__eq__": "Loop() in [1, 2]",
    "__hash__": "{Loop(): 1}",
    "__bool__": "not Loop()",
    "__iter__": "list(Loop())",
    "__len__": "len(Loop())",
    "__lt__": "sorted([Loop(), Loop()])",
    "__getattr__": "Loop().missing",
    "__format__": "format(Loop(), 'x')",
    "__contains__": "1 in Loop()",
    "__call__": "list(map(Loop(), [1]))",
    "__del__": "loop = Loop(); del loop; loop = [Loop()]; loop.clear(); Loop().__del__()",
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_without_end_is_ended(hostile, name):
    code = f"class Loop:\n    def {name}(self, *_):\n        while True:\n            pass\n{METHODS[name]}"
    assert re.search(TIMEOUT, hostile.provoke("script", code))


@pytest.mark.parametrize("what", ["__str__", "__repr__"])
def test_a_result_whose_text_has_no_end_is_ended(hostile, what):
    code = f"class Loop:\n    def {what}(self):\n        while True:\n            pass\nreturn Loop()"
    assert re.search(TIMEOUT, hostile.provoke("run", code))


def test_an_exception_whose_text_has_no_end_is_ended(hostile):
    code = "class Loop(Exception):\n    def __str__(self):\n        while True:\n            pass\nraise Loop()"
    assert re.search(TIMEOUT, hostile.provoke("run", code))


FOREVER = {
    "a generator": "def forever():\n    while True:\n        yield 1\nsum(forever())",
    "a generator that does not close": """
        def stubborn():
            while True:
                try:
                    yield 1
                except GeneratorExit:
                    pass
        for _ in stubborn():
            continue
    """,
    "generators in generators": """
        def chain(inner):
            yield from inner
        def forever():
            while True:
                yield 1
        inner = forever()
        for _ in range(100):
            inner = chain(inner)
        max(inner)
    """,
    "itertools.count": "import itertools\n-1 in itertools.count()",
    "itertools.cycle": "import itertools\nall(itertools.cycle([1]))",
    "iter with a sentinel": "max(iter(lambda: 1, 2))",
    "sum of a range": "sum(x for x in range(10 ** 15))",
    "sorting that does not agree": """
        import random
        while True:
            sorted(range(1000), key=lambda _: random.random())
    """,
    "commands": "while True:\n    execute('ping')",
    "commands that fail": "while True:\n    try:\n        execute('get')\n    except:\n        pass",
    "log": "while True:\n    log('x' * 1000)",
    "print": "while True:\n    print('x' * 1000)",
    "recursion that is caught": """
        def down():
            try:
                down()
            except:
                down()
        while True:
            down()
    """,
    "exceptions in exceptions": """
        while True:
            try:
                try:
                    raise ValueError
                except ValueError as one:
                    raise KeyError from one
            except KeyError:
                pass
    """,
    "imports": "while True:\n    try:\n        import nothing\n    except ImportError:\n        pass",
    "dict views": "d = {n: n for n in range(1000)}\nwhile True:\n    d.keys() & d.keys()",
    "permutations": "import itertools\nfor _ in itertools.permutations(range(50)):\n    pass",
    "an awaited loop": """
        async def forever():
            while True:
                pass
        return forever()
    """,
}


@pytest.mark.parametrize("what", FOREVER)
def test_what_goes_on_for_ever_is_ended(hostile, what):
    assert re.search(ENDED, hostile.provoke("async step", FOREVER[what]))


BACKTRACKING = {
    "repeats in repeats": "re.match('(a+)+$', 'a' * 60 + 'b')",
    "back references": r"re.match(r'(.*)*\1(.*)*\2x$', 'a' * 60)",
    "alternatives": "re.search('(a|a)*c', 'a' * 60 + 'b') or re.fullmatch('(a|aa)+', 'a' * 60 + 'b')",
}


@pytest.mark.parametrize("what", BACKTRACKING)
def test_a_regular_expression_that_tries_for_ever_is_ended_or_right(hostile, what):
    script = f"import re\nGB('ShardsIDReader').map(lambda x: {BACKTRACKING[what]} is None).run()"
    [results, errors] = hostile.execute(script)
    assert results == ["True"] or re.search(ENDED, errors[0])


def test_replacing_by_a_regular_expression_that_tries_for_ever_is_ended_or_right(hostile):
    script = "import re\nGB('ShardsIDReader').map(lambda x: re.sub('(x+x+)+y', '', 'x' * 60)).run()"
    [results, errors] = hostile.execute(script)
    assert results == ["x" * 60] or re.search(ENDED, errors[0])


# --- what is too large

SIZES = {
    "a power": "10 ** 10 ** 8",
    "powers of powers": "n = 7\nwhile True:\n    n = n ** 7",
    "a shift": "1 << 10 ** 10",
    "the text of a number": "n = 80_000_000\nstr(1 << n)",
    "a number from text": "int('9' * 20_000_000)",
    "a factorial": "import math\nmath.factorial(10 ** 7)",
    "a list": "[0] * 10 ** 10",
    "a list of lists": "[[0] * 10 ** 6] * 10 ** 9",
    "a list that grows": "bag = []\nwhile True:\n    bag.append([0] * 1000)",
    "a list that doubles": "bag = [0]\nwhile True:\n    bag += bag",
    "a tuple": "(0,) * 10 ** 10",
    "a range": "list(range(10 ** 10))",
    "a set": "set(range(10 ** 9))",
    "a dict": "{n: n for n in range(10 ** 9)}",
    "a text": "'x' * 10 ** 10",
    "a text that doubles": "text = 'x'\nwhile True:\n    text = text + text + 'y'",
    "bytes": "bytes(10 ** 10)",
    "bytearray": "bytearray(10 ** 10)",
    "bytes that are multiplied": "b'x' * 10 ** 10",
    "a join": "''.join(['x' * 10 ** 6] * 10 ** 6)",
    "a replacement": "('ab' * 10 ** 6).replace('a', 'x' * 10 ** 6)",
    "a width": "'%10000000000d' % 1",
    "a width in a format": "'{:>10000000000}'.format(1)",
    "a width in an f-string": "f'{1:10000000000}'",
    "a precision": "f'{1.5:.10000000000f}'",
    "ljust": "'a'.ljust(10 ** 10)",
    "zfill": "'1'.zfill(10 ** 10)",
    "to_bytes": "(1).to_bytes(10 ** 10, 'big')",
    "a deque": "import collections, itertools\ncollections.deque(itertools.count())",
    "itertools.repeat": "import itertools\nlist(itertools.repeat([1]))",
    "products": "import itertools\nlist(itertools.product(range(1000), repeat=5))",
    "a generator that is kept": "def forever():\n    while True:\n        yield [1] * 100\nlist(forever())",
    "JSON": "import json\njson.dumps(['x' * 10 ** 6] * 10 ** 5)",
    "the same list over and over": "bag = [0]\nfor _ in range(60):\n    bag = [bag, bag]\nstr(bag)",
    "closures": "f = lambda: 0\nwhile True:\n    f = (lambda g: lambda: g)(f)",
    "classes": "bag = []\nwhile True:\n    bag.append(type('C', (), {}))",
    "a global": "global kept\nkept = []\nwhile True:\n    kept.append('x' * 1000 + str(len(kept)))",
}


@pytest.mark.parametrize("place", ["script", "async step"])
@pytest.mark.parametrize("what", SIZES)
def test_what_is_too_large_is_an_error(hostile, what, place):
    hostile.limit(LONG_MS if "bag" in SIZES[what] and "while" in SIZES[what] else 500)
    assert re.search(A_LIMIT, hostile.provoke(place, SIZES[what]))


# --- what is too deep

RECURSIONS = {
    "a function": "def down():\n    return 1 + down()\ndown()",
    "a lambda": "down = lambda: 1 + down()\ndown()",
    "a generator": "def down():\n    yield from down()\nlist(down())",
    "__getattr__": "class C:\n    def __getattr__(self, name):\n        return getattr(self, name)\nC().a",
    "__repr__": "class C:\n    def __repr__(self):\n        return f'{self!r}'\nrepr(C())",
    "__eq__": "class C:\n    def __eq__(self, other):\n        return self == other\nC() == C()",
    "__init__": "class C:\n    def __init__(self):\n        C()\nC()",
    "a property": "class C:\n    @property\n    def a(self):\n        return self.a\nC().a",
    "a key of sorted": "def key(x):\n    return sorted([x], key=key)\nkey(1)",
    "eval": "code = 'eval(code)'\neval(code, {'code': code, 'eval': eval})",
    "the text of a deep list": "deep = []\nfor _ in range(10 ** 5):\n    deep = [deep]\nstr(deep)",
    "JSON that is deep": "import json\njson.loads('[' * 10 ** 5 + ']' * 10 ** 5)",
    "JSON without a bottom": "import json\nbag = []\nbag.append(bag)\njson.dumps(bag)",
    "equality of deep lists": """
        one, other = [], []
        for _ in range(10 ** 5):
            one, other = [one], [other]
        one == other
    """,
    "decorators": "f = lambda: 0\nfor _ in range(10 ** 5):\n    f = (lambda g: lambda: g())(f)\nf()",
}
TOO_DEEP = rf"RecursionError|ValueError|{A_LIMIT}"


@pytest.mark.parametrize("place", ["script", "async step"])
@pytest.mark.parametrize("what", RECURSIONS)
def test_recursion_without_end_is_an_error(hostile, what, place):
    hostile.limit(LONG_MS)
    assert re.search(TOO_DEEP, hostile.provoke(place, RECURSIONS[what]))
