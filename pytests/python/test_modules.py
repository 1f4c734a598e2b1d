"""What Python scripts may import, and what they print."""

import pytest
from redis.exceptions import ResponseError

from testing.python import execute
from testing.servers import TIMEOUT

MODULES = [
    "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "enum", "functools", "hashlib", "heapq", "itertools",
    "json", "math", "operator", "random", "re", "statistics", "string", "textwrap", "time", "typing", "uuid",
]  # fmt: skip

REFUSED = {
    "threading": "libraries have no threads",
    "_thread": "libraries have no threads",
    "multiprocessing": "libraries have no processes",
    "subprocess": "libraries have no processes",
    "socket": "libraries have no sockets",
    "ssl": "libraries have no sockets",
    "asyncio": "there is no loop to run; steps and gearsFuture are awaited without it",
    "browser": "there is no browser",
    "browser.ajax": "there is no browser",
    "interpreter": "there is no browser",
    "_ajax": "there is no browser",
    "javascript": "libraries see Python alone",
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_of_the_standard_library_are_there(server, name):
    execute(server, f"import {name}\nlog({name}.__name__)")
    assert server.messages("GEARS: ") == [name]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("how", ["import {}", "from {} import x", "__import__('{}')", "import json\nimport {} as y"])
def test_what_libraries_have_not_is_refused_with_the_reason(server, name, how):
    with pytest.raises(ResponseError, match=rf"ImportError: module '{name}' cannot be used: {REFUSED[name]}$"):
        execute(server, how.format(name))


def test_a_module_that_is_not_there_is_named(server):
    for name in ["numpy", "no.such", "a-b", "日本"]:
        with pytest.raises(ResponseError, match="ModuleNotFoundError: .*No module named"):
            execute(server, f"__import__({name!r})")


def test_modules_are_made_once_for_a_library_and_anew_for_another(server):
    count = "import json\njson.seen = getattr(json, 'seen', 0) + 1\nimport json as again\nlog(str(again.seen))"
    for _ in range(2):
        execute(server, count)
    assert server.messages("GEARS: ") == ["1", "1"]


def test_what_is_printed_is_in_the_log(server):
    execute(server, "import sys\nprint('a', 1, [2], sep='-')\nprint('b', end='')\nprint('c\\nd')\nprint('e', file=sys.stderr)")
    lines = server.messages("")
    assert [line for line in lines if line in {"a-1-[2]", "bc", "d", "e"}] == ["a-1-[2]", "bc", "d", "e"]


def test_javascript_has_no_names_in_python(server):
    for name in ["window", "document", "XMLHttpRequest", "console", "globalThis", "__BRYTHON__", "redis", "Function"]:
        with pytest.raises(ResponseError, match=f"NameError: name '{name}' is not defined"):
            execute(server, name)


CALLS = {
    "open('/etc/passwd')": "OSError: open cannot be used: libraries have no files",
    "input()": "EOFError: input cannot be used: libraries have no terminal",
    "import time\ntime.sleep(1)": "RuntimeError: time.sleep cannot be used: it would hold up the server",
    "from time import sleep\nsleep(0.1)": "RuntimeError: time.sleep cannot be used: it would hold up the server",
    "eval('[' * 100_000)": "RecursionError|SyntaxError|MemoryError",
}


@pytest.mark.parametrize("call", CALLS)
def test_what_would_be_asked_of_the_machine_is_refused_with_the_reason(server, call):
    with pytest.raises(ResponseError, match=CALLS[call]), server.setting(TIMEOUT, 20_000):
        execute(server, call)


def test_source_that_is_nested_too_deeply_is_refused(server):
    with pytest.raises(ResponseError, match="RecursionError|SyntaxError: too many nested parentheses"), server.setting(TIMEOUT, 20_000):
        execute(server, "x = " + "(" * 50_000 + ")" * 50_000)


def test_a_script_that_is_too_large_is_refused(server):
    with pytest.raises(ResponseError, match="MemoryError: the script is too large: translated it has [0-9]+ characters"), server.setting(TIMEOUT, 20_000):
        execute(server, "x = 1\n" * 30_000)


def test_what_is_wrong_is_told_however_long_the_line_is(server):
    with pytest.raises(ResponseError, match="line 2 .*SyntaxError: .*parenthesis|unmatched"):
        execute(server, "x = 1\n" + "]" * 10_000)
    with pytest.raises(ResponseError, match="ValueError: " + "a" * 1000):
        execute(server, "raise ValueError('a' * 100_000)")


def test_what_is_no_python_is_a_syntax_error(server):
    for code in ["const a = () => { return 1; };", "function f() {}", "let x = 1;", "x = {", "def", "'", "\x00", "print 'a'"]:
        with pytest.raises(ResponseError, match="SyntaxError: "):
            execute(server, code)


def test_what_contains_itself_can_be_printed(server):
    execute(server, "d = {'a': 1}\nd['d'] = d\nl = [d]\nd['l'] = l\nlog(str(d))\nlog(repr({'d': {}, 'e': {}}))")
    assert server.messages("GEARS: ") == ["{'a': 1, 'd': {...}, 'l': [{...}]}", "{'d': {}, 'e': {}}"]
    code = """
class Bad:
    def __repr__(self):
        raise ValueError('no')
d = {'bad': Bad()}
for _ in range(2):
    try:
        repr(d)
    except ValueError as error:
        log(str(error))
"""
    execute(server, code)
    assert server.messages("GEARS: ")[-2:] == ["no", "no"]


def test_errors_have_pythons_lines(server):
    code = "#!py name=lines\ndef f(x):\n    return 1 / x\n\nf(0)\n"
    with pytest.raises(ResponseError) as raised:
        server.run("RG.FUNCTION", "LOAD", code)
    assert 'line 5, in <module>' in str(raised.value)
    assert 'line 3, in f' in str(raised.value)
    assert "ZeroDivisionError: division by zero" in str(raised.value)
    with pytest.raises(ResponseError, match=r'File "lines", line 3 .*SyntaxError: '):
        server.run("RG.FUNCTION", "LOAD", "#!py name=lines\nx = 1\ndef f(:\n")
