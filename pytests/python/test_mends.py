"""Expressions that Brython alone evaluates otherwise than CPython: each fails without its mend."""

import pytest

from testing.differential import by_cpython, evaluate, whole
from testing.python import execute

MENDED = {
    "dictionaries keep keys that are numbers in their place": [
        "str({'b': 1, '7': 2, '1': 3})", "list(dict([('z', 0), ('10', 1)]))", "dict(zip('cab', '321'))", "{**{'b': 1}, '2': 2}",
    ],
    "dictionaries hold any text as a key": [
        "{'__proto__': 1}", "{'hasOwnProperty': 1, 'a': 2}.get('a')", "'constructor' in {}", "{'__proto__': 1, 'x': 2}.pop('__proto__')",
    ],
    "what is deleted from a dictionary is gone": [
        "(lambda d: (d.pop('a'), 'a' in d, d))({1: 2, 'a': 3})", "(lambda d: (d.popitem(), 2 in d, d))({'a': 1, 2: 3})",
    ],
    "views of dictionaries are sets": [
        "{'a': 1, 'b': 2}.keys() & {'a'}", "sorted({'a': 1}.keys() | {'c'})", "{'a': 1}.keys()", "{'a': 'b'}.values()", "{'a': 1}.items() & {('a', 1)}",
    ],
    "a copy of a subclass of dict has its items": ["type('D', (dict,), {})(a=1).copy()"],
    "items with the same hash stay in sets": ["len({2 ** 61 - 1, 0, 2 ** 61})", "len({(1, 2), (2, 1), 1.5, 'a'})"],
    "rounding is to the nearest even number": ["round(2.675, 2)", "round(0.5), round(1.5), round(2.5)", "round(25, -1)", "round(1e20)"],
    "whole numbers are exact": ["-7 // 2, -7 % 2, 7 // -2", "1 << 70 >> 68", "~(2 ** 70)", "~True", "True & False", "2 ** 53 * 3"],
    "numbers that cannot be are refused": ["int(float('inf'))", "int(float('nan'))", "0 ** -1", "1 << -1", "~1.5", "-'a'", "chr(-1)"],
    "formats are those of CPython": [
        "f'{1e22:.2f}'", "f'{5:08,d}'", "f'{-5:#x}'", "format(1234567.5, '_.1f')", "'%.3s|%5d|%-5d|%05.1f' % ('abcd', 3, 4, 2.25)",
        "f'{3.0:.1}'", "format('a', '=5')", "format([], '5')", "f'{(2.5)!s:>6}'",
    ],
    "exceptions show all arguments": [
        "str(ValueError('x', 1))", "repr(ValueError('x', 1))", "str(KeyError('a', 'b'))", "ValueError().args", "str(OSError(2, 'no'))", "repr(KeyError([1]))",
    ],
    "texts are ordered by code points": ["'\\uffff' < '\\U0001f600'", "sorted(['\\U0001f600', '\\uffff', 'a'])", "max('\\ue000\\U0001f642')"],
    "texts are shown as CPython shows them": ["'\\u200b\\x7f\\xa0'", "ascii('\\U0001f600')", "repr('\\ud800')", "'it\\'s'", "'\"\\''"],
    "texts are taken apart at white space": ["''.split()", "' a  b '.split(None, 1)", "'a b c'.rsplit(None, 1)", "'ß'.casefold()", "'²'.isdigit()"],
    "bytes keep every byte": [
        "b'a\\x00b'.upper()", "bytearray(b' a ').strip()", "b'abc'.startswith((b'x', b'a'))", "b'\\x7f'", "'€😀'.encode()", "'€😀'.encode().decode()",
        "b'\\xff'.decode('utf-8', 'replace')", "'é'.encode('ascii')", "(lambda a: (bytearray(a).append(1), a))(bytearray(b'x'))",
    ],
    "sequences are walked by their items": ["list(iter([1, 2, 3].pop, 1))", "list(type('S', (), {'__getitem__': lambda s, i: [5, 6][i]})())"],
}


@pytest.mark.parametrize("what", MENDED)
def test_expressions_have_the_values_of_cpython(server, what):
    script = evaluate(MENDED[what])
    [[found], errors] = execute(server, whole(script))
    assert errors == []
    assert found.splitlines() == by_cpython(script).splitlines()


def test_stop_iteration_does_not_leave_a_generator(server):
    script = """
def early():
    yield 1
    raise StopIteration('x')
try:
    print(list(early()))
except RuntimeError as e:
    print(e, repr(e.__cause__))
"""
    [[found], _] = execute(server, whole(script))
    assert found == by_cpython(script) == "generator raised StopIteration StopIteration('x')\n"


def test_json_keeps_the_order_and_says_where_a_text_is_wrong(server):
    script = """
import json
print(json.loads('{"b": [1, 2.5, null], "1": {"x": 12345678901234567890}}'), json.dumps({'é': (1, None), '2': True}))
for wrong in ('{', '[1,]', '', '[1 2]', '"a'):
    try:
        json.loads(wrong)
    except json.JSONDecodeError as e:
        print(e)
"""
    [[found], _] = execute(server, whole(script))
    assert found == by_cpython(script)
