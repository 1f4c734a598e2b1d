"""Conversions between Redis and JavaScript: every row of the tables in docs/data-types.md, and what lies behind them.

Replies are compared as they are on the wire, in RESP2 and in RESP3. They are written with spaces for line ends:
``*2 :1 $1 a`` is an array of 1 and "a".
"""

import json
import re
from contextlib import contextmanager

import pytest

from testing.launch import REPOSITORY
from testing.libraries import function
from testing.servers import Server
from testing.wire import Wire, bulk, type_name, wire

# --- the documentation ---------------------------------------------------------------------------


def documented(section):
    """The rows of the first table of a section."""
    text = (REPOSITORY / "docs/data-types.md").read_text()
    _, found = text.split(f"\n## {section}\n")
    table = re.search(r"\n\n((?:\|.*\n)+)", found)[1]
    _, _, *rows = table.splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def code(cell):
    """The pieces of code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def rows_of(section):
    """The table of a section as parameters of a test."""
    return pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in documented(section)])


# --- running it ----------------------------------------------------------------------------------

# Ways in which a function gives the same value.
WAYS = {
    "at once": "client => {value}",
    "as a settled promise": "client => Promise.resolve({value})",
    "as a promise settled later": "client => {{ const value = {value};"
    " return client.run_on_background(async () => value); }}",
    "from an async function": "async background => background.block(client => {value})",
}

# What kind of value something is, in the words of the documentation, and all of it as text.
SHOW = r"""
const tags = value => '__reply_type' in value ? `, tagged "${value.__reply_type}"` : '';
const kind = value => {
    if (value === null) return 'null';
    if (value instanceof String) return 'String object' + tags(value);
    if (value instanceof ArrayBuffer) return 'ArrayBuffer' + tags(value);
    if (Array.isArray(value)) return 'array';
    if (value instanceof Set) return 'Set';
    return typeof value === 'bigint' ? 'BigInt' : typeof value;
};
const text = buffer => [...new Uint8Array(buffer)].map(byte => String.fromCharCode(byte)).join('');
const display = value => {
    switch (kind(value)) {
        case 'null': case 'number': case 'boolean': return Object.is(value, -0) ? '-0' : String(value);
        case 'BigInt': return `${value}n`;
        case 'string': return JSON.stringify(value);
        case 'array': return `[${value.map(display)}]`;
        case 'Set': return `Set(${[...value].map(display).sort()})`;
    }
    if (value instanceof String) return `${value.__reply_type}${JSON.stringify(String(value))}`;
    if (value instanceof ArrayBuffer) return `${value.__reply_type ?? ''}<${text(value)}>`;
    return `{${Object.entries(value).map(([name, one]) => `${name}:${display(one)}`)}}`;
};
const attempt = work => {
    try {
        return work();
    } catch (error) {
        return `throws a ${error.name}: ${error.message}`;
    }
};
"""


@pytest.fixture
def wires(server):
    """Connections in both protocols."""
    with Wire(server.port, 2) as two, Wire(server.port, 3) as three:
        yield two, three


@pytest.fixture(scope="module")
def unlocked_server(tmp_path_factory):
    """A server whose scripts may call EVAL and DEBUG PROTOCOL: they answer in types no other command has."""
    one = Server(tmp_path_factory.mktemp("server"), module_args="enable-debug-command yes")
    one.run("RG.FUNCTION", "DEBUG", "allow_unsafe_redis_commands")
    yield one
    one.stop()


@pytest.fixture(scope="module")
def small_server(tmp_path_factory):
    """A server whose libraries have little memory."""
    one = Server(tmp_path_factory.mktemp("server"), module_args="library-maxmemory 16mb")
    one.set_timeout(10_000)
    yield one
    one.stop()


def result_of(server, value, *arguments):
    """What a function with this value gives as text, at once."""
    server.upgrade(SHOW, function("f", f"(client, ...args) => {value}"))
    return server.call("f", *arguments)


def both(server, wires, callback):
    """The replies of a function in both protocols."""
    server.upgrade(SHOW, function("f", callback))
    return [one.call("RG.FCALL", "lib", "f", 0) for one in wires]


def in_all_ways(server, wires, value, *statements):
    """The replies in both protocols of functions that give a value, by the way in which they do."""
    return by_way(server, wires, {way: callback.format(value=value) for way, callback in WAYS.items()}, *statements)


def by_way(server, wires, callbacks, *statements):
    """The replies in both protocols of these functions."""
    server.upgrade(SHOW, *statements, *[function(name, callback) for name, callback in callbacks.items()])
    return {name: [one.call("RG.FCALL", "lib", name, 0) for one in wires] for name in callbacks}


def always(two, three):
    """The same replies in all ways."""
    return {way: [wire(two), wire(three)] for way in WAYS}


@contextmanager
def time_limits(server, milliseconds):
    """Other time limits, under the lock and off it, for a while."""
    with (
        server.setting("redisgears_2.lock-redis-timeout", milliseconds),
        server.setting("redisgears_2.background-timeout", milliseconds),
    ):
        yield


# --- results of functions ------------------------------------------------------------------------

# How the documentation calls a reply where that depends on the value, and what it is for the example.
LIKE = {
    "flat array": "array",
    "as its number": "integer",
    "as its boolean": "boolean",
    "as its BigInt": "integer",
}


@rows_of("Results of functions")
def test_a_documented_result_is_sent_as_documented(server, wires, row):
    _, three, two, example = row
    [value] = code(example)
    expected = [LIKE.get(name, name) for name in (two, three)]
    if two == "as its boolean":
        expected[0] = "integer"
    for way, replies in in_all_ways(server, wires, value).items():
        assert [type_name(reply) for reply in replies] == expected, way
        if two == "flat array":
            assert replies[0].startswith(b"*4\r\n"), way


def same(reply):
    """The same reply in both protocols."""
    return reply, reply


def text_reply(text):
    """A bulk string in both protocols."""
    return same(bulk(text))


# What a function returns, and its replies in RESP2 and in RESP3.
RESULTS = {
    # numbers
    "7": same(":7"),
    "0": same(":0"),
    "-7": same(":-7"),
    "2147483647": same(":2147483647"),
    "-2147483648": same(":-2147483648"),
    "2147483648": ("$10 2147483648", ",2147483648"),
    "-2147483649": ("$11 -2147483649", ",-2147483649"),
    "1795325465255": ("$13 1795325465255", ",1795325465255"),
    "2 ** 53 - 1": ("$16 9007199254740991", ",9007199254740991"),
    "0.5": ("$3 0.5", ",0.5"),
    "-1.5": ("$4 -1.5", ",-1.5"),
    "1e21": ("$5 1e+21", ",1e+21"),
    "-0": ("$2 -0", ",-0"),
    "0 * -1": ("$2 -0", ",-0"),
    "1e3": same(":1000"),
    "Infinity": ("$3 inf", ",inf"),
    "-Infinity": ("$4 -inf", ",-inf"),
    "NaN": ("$3 nan", ",nan"),
    "Math.sqrt(-1)": ("$3 nan", ",nan"),
    "new Float64Array(new Uint8Array([1, 0, 0, 0, 0, 0, 0xf8, 0xff]).buffer)[0]": ("$3 nan", ",nan"),
    "new Number(7)": same(":7"),
    "new Number(0.5)": ("$3 0.5", ",0.5"),
    # BigInts
    "0n": same(":0"),
    "-1n": same(":-1"),
    "2n ** 53n + 1n": same(":9007199254740993"),
    "2n ** 63n - 1n": same(":9223372036854775807"),
    "-(2n ** 63n)": same(":-9223372036854775808"),
    "2n ** 63n": ("$19 9223372036854775808", "(9223372036854775808"),
    "-(2n ** 63n) - 1n": ("$20 -9223372036854775809", "(-9223372036854775809"),
    "2n ** 64n": ("$20 18446744073709551616", "(18446744073709551616"),
    "10n ** 1000n": (bulk("1" + "0" * 1000), "(1" + "0" * 1000),
    "Object(7n)": same(":7"),
    "Object(2n ** 64n)": ("$20 18446744073709551616", "(18446744073709551616"),
    # booleans and nothing
    "true": (":1", "#t"),
    "false": (":0", "#f"),
    "new Boolean(false)": (":0", "#f"),
    "null": ("$-1", "_"),
    "undefined": ("$-1", "_"),
    "void 0": ("$-1", "_"),
    # strings
    '""': text_reply(""),
    '"text"': text_reply("text"),
    r'"a\r\nb"': text_reply("a\r\nb"),
    r'"+OK\r\n"': text_reply("+OK\r\n"),
    r'"a\0b"': text_reply("a\0b"),
    '"é€😀"': text_reply("é€😀"),
    r'"\ufeffa"': text_reply("\ufeffa"),
    r'"\ud83d\ude00"': text_reply("😀"),
    r'"\ud800"': text_reply("\ufffd"),
    r'"a\udc00b"': text_reply("a\ufffdb"),
    r'"\ud83d" + "x"': text_reply("\ufffdx"),
    r'new String("\ud800")': text_reply("\ufffd"),
    # bytes
    "new ArrayBuffer(0)": text_reply(b""),
    "new ArrayBuffer(3)": text_reply(b"\0\0\0"),
    "new Uint8Array([0, 255, 13, 10]).buffer": text_reply(b"\x00\xff\r\n"),
    "new Uint8Array([0, 255, 13, 10])": text_reply(b"\x00\xff\r\n"),
    "new Uint8Array(0)": text_reply(b""),
    "new Uint8ClampedArray([300])": text_reply(b"\xff"),
    "new Int8Array([-1])": text_reply(b"\xff"),
    "new Uint16Array([1, 258])": text_reply(b"\x01\x00\x02\x01"),
    "new Int32Array([-2])": text_reply(b"\xfe\xff\xff\xff"),
    "new Float32Array([1])": text_reply(b"\x00\x00\x80\x3f"),
    "new Float64Array([1])": text_reply(b"\0\0\0\0\0\0\xf0\x3f"),
    "new BigInt64Array([-1n])": text_reply(b"\xff" * 8),
    "new BigUint64Array([1n])": text_reply(b"\1\0\0\0\0\0\0\0"),
    "new Uint8Array([1, 2, 3, 4]).subarray(1, 3)": text_reply(b"\2\3"),
    "new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 1)": text_reply(b"\2"),
    "new SharedArrayBuffer(2)": text_reply(b"\0\0"),
    "new Uint8Array(new SharedArrayBuffer(2))": text_reply(b"\0\0"),
    "(buffer => { buffer.transfer(); return buffer; })(new ArrayBuffer(2))": same(b"-The ArrayBuffer was detached: its bytes are gone\r\n"),
    "(view => { view.buffer.transfer(); return view; })(new Uint8Array(2))": same(b"-The ArrayBuffer was detached: its bytes are gone\r\n"),
    "Object.assign(new Uint8Array([79, 75]).buffer, { __reply_type: 'status' })": text_reply("OK"),
    # arrays
    "[]": same("*0"),
    "[1, 'a', null]": ("*3 :1 $1 a $-1", "*3 :1 $1 a _"),
    "[true, 0.5, 2n ** 64n]": ("*3 :1 $3 0.5 $20 18446744073709551616", "*3 #t ,0.5 (18446744073709551616"),
    "[[], [[]], [1, [2]]]": same("*3 *0 *1 *0 *2 :1 *1 :2"),
    "[, 1, ,]": ("*3 $-1 :1 $-1", "*3 _ :1 _"),
    "new Array(3)": ("*3 $-1 $-1 $-1", "*3 _ _ _"),
    "Object.assign([], { 4: 1 })": ("*5 $-1 $-1 $-1 $-1 :1", "*5 _ _ _ _ :1"),
    "Object.assign([1], { extra: 2 })": same("*1 :1"),
    "new (class List extends Array {})(1, 2)": same("*2 :1 :2"),
    "(list => { Object.defineProperty(list, 0, { get() { list.length = 1; return 7; } }); return list; })([1, 2, 3])": (
        "*3 :7 $-1 $-1",
        "*3 :7 _ _",
    ),
    # sets and maps
    "new Set()": ("*0", "~0"),
    "new Set([2, 'a', 2, 1])": ("*3 :2 $1 a :1", "~3 :2 $1 a :1"),
    "new Set([[1], new Set([null])])": ("*2 *1 :1 *1 $-1", "~2 *1 :1 ~1 _"),
    "new (class Bag extends Set {})([1])": ("*1 :1", "~1 :1"),
    "new Map()": ("*0", "%0"),
    "new Map([['b', 1], ['a', 2]])": ("*4 $1 b :1 $1 a :2", "%2 $1 b :1 $1 a :2"),
    "new Map([[2, 'x'], [null, true]])": ("*4 :2 $1 x $-1 :1", "%2 :2 $1 x _ #t"),
    "new Map([[[1], { a: 1 }]])": ("*2 *1 :1 *2 $1 a :1", "%1 *1 :1 %1 $1 a :1"),
    "new Map([[NaN, -0]])": ("*2 $3 nan $2 -0", "%1 ,nan ,-0"),
    "new Map([['__proto__', 1]])": ("*2 $9 __proto__ :1", "%1 $9 __proto__ :1"),
    # objects
    "({})": ("*0", "%0"),
    "Object.create(null)": ("*0", "%0"),
    "({ b: 1, a: [2] })": ("*4 $1 b :1 $1 a *1 :2", "%2 $1 b :1 $1 a *1 :2"),
    "({ x: 1, 2: 'b', 1: 'a' })": ("*6 $1 1 $1 a $1 2 $1 b $1 x :1", "%3 $1 1 $1 a $1 2 $1 b $1 x :1"),
    "({ '': 0 })": (b"*2\r\n$0\r\n\r\n:0\r\n", b"%1\r\n$0\r\n\r\n:0\r\n"),
    "({ ['__proto__']: 1 })": ("*2 $9 __proto__ :1", "%1 $9 __proto__ :1"),
    r"({ '\ud800': 1 })": ("*2 $3 \ufffd :1", "%1 $3 \ufffd :1"),
    "({ [Symbol('s')]: 1, a: 2 })": ("*2 $1 a :2", "%1 $1 a :2"),
    "({ get a() { return 7; } })": ("*2 $1 a :7", "%1 $1 a :7"),
    "({ a: undefined })": ("*2 $1 a $-1", "%1 $1 a _"),
    "Object.defineProperty({ a: 1 }, 'hidden', { value: 2 })": ("*2 $1 a :1", "%1 $1 a :1"),
    "Object.create({ inherited: 1 })": ("*0", "%0"),
    "new (class { #secret = 1; open = 2; static more = 3; method() {} get computed() { return 4; } })()": (
        "*2 $4 open :2",
        "%1 $4 open :2",
    ),
    "(function () { return arguments; })(1, 2)": ("*4 $1 0 :1 $1 1 :2", "%2 $1 0 :1 $1 1 :2"),
    "({ toJSON() { return 1; } }).constructor === Object": (":1", "#t"),
    "[1, 2][Symbol.iterator]()": ("*0", "%0"),
    "new WeakMap()": ("*0", "%0"),
    # proxies
    "new Proxy({ a: 1 }, {})": ("*2 $1 a :1", "%1 $1 a :1"),
    "new Proxy({ a: 1 }, { get: () => 7 })": ("*2 $1 a :7", "%1 $1 a :7"),
    "new Proxy([1], {})": ("*2 $1 0 :1", "%1 $1 0 :1"),
    "new Proxy(new Map([[1, 2]]), {})": ("*0", "%0"),
    # dates, regular expressions
    "new Date(0)": text_reply("1970-01-01T00:00:00.000Z"),
    "new Date(8.64e15)": text_reply("+275760-09-13T00:00:00.000Z"),
    "/a+/gi": text_reply("/a+/gi"),
    # String objects and their tags
    "new String('text')": text_reply("text"),
    "new (class Text extends String {})('text')": text_reply("text"),
    "tagged('text', 'bulk_string')": text_reply("text"),
    "tagged('text', 7)": text_reply("text"),
    "tagged('text', {})": text_reply("text"),
    "tagged('fine', 'status')": same("+fine"),
    "tagged('a b', 'status')": same(b"+a b\r\n"),
    r"tagged('a\r\n-b\0c', 'status')": same(b"+a  -b c\r\n"),
    "tagged('', 'status')": same(b"+\r\n"),
    "tagged('-12345678901234567890', 'big_number')": ("$21 -12345678901234567890", "(-12345678901234567890"),
    "tagged('1.5', 'big_number')": text_reply("1.5"),
    "tagged('', 'big_number')": text_reply(""),
    r"tagged('1\r\n', 'big_number')": text_reply("1\r\n"),
    "tagged('text', 'verbatim')": ("$4 text", "=8 txt:text"),
    "tagged('text', 'verbatim', 'mkd')": ("$4 text", "=8 mkd:text"),
    "tagged('text', 'verbatim', 'long')": ("$4 text", "=8 txt:text"),
    "tagged('text', 'verbatim', 7)": ("$4 text", "=8 txt:text"),
    "tagged('', 'verbatim')": (b"$0\r\n\r\n", b"=4\r\ntxt:\r\n"),
    r"tagged('a\r\nb', 'verbatim')": (bulk("a\r\nb"), b"=8\r\ntxt:a\r\nb\r\n"),
    "[tagged('fine', 'status'), { a: tagged('1', 'big_number') }]": ("*2 +fine *2 $1 a $1 1", "*2 +fine %1 $1 a (1"),
    "new Set([tagged('fine', 'status')])": ("*1 +fine", "~1 +fine"),
    # errors
    "new Error('no')": same(b"-Error: no\r\n"),
    "new TypeError('no')": same(b"-TypeError: no\r\n"),
    "new Error()": same("-Error"),
    "Object.assign(new Error('no'), { name: 'CODE' })": same(b"-CODE: no\r\n"),
    "new (class Own extends Error { toString() { return `OWN ${this.message}`; } })('no')": same(b"-OWN no\r\n"),
    r"new Error('a\r\n+OK\0\tb')": same(b"-Error: a  +OK  b\r\n"),
    "new AggregateError([new Error('one')], 'all')": same(b"-AggregateError: all\r\n"),
    "[1, new Error('no'), 2]": same(b"*3\r\n:1\r\n-Error: no\r\n:2\r\n"),
    "({ a: new Error('no') })": (b"*2\r\n$1\r\na\r\n-Error: no\r\n", b"%1\r\n$1\r\na\r\n-Error: no\r\n"),
    "new Error('é\\ud800')": same("-Error: é\ufffd".encode() + b"\r\n"),
    "new Error('x'.repeat(5000))": same(b"-Error: " + b"x" * 4089 + b"...\r\n"),
}

TAGGED = (
    "const tagged = (text, type, format) =>"
    " Object.assign(new String(text), { __reply_type: type }, format === undefined ? {} : { __format: format });"
)


@pytest.mark.parametrize("value", RESULTS)
def test_a_result_is_sent_in_both_protocols(server, wires, value):
    assert in_all_ways(server, wires, value, TAGGED) == always(*RESULTS[value])


def test_a_function_that_returns_nothing_gives_null(server, wires):
    assert in_all_ways(server, wires, "(() => {})()") == always("$-1", "_")
    assert both(server, wires, "() => {}") == [wire("$-1"), wire("_")]
    assert both(server, wires, "async () => {}") == [wire("$-1"), wire("_")]


@pytest.mark.parametrize(
    "number",
    [
        "0.1",
        "-1 / 3",
        "3.141592653589793",
        "5e-324",
        "1.7976931348623157e308",
        "1e17",
        "1e-7",
        "123456789012345678",
        "2 ** 53 + 2",
    ],
)
def test_a_double_arrives_as_the_same_number(server, wires, number):
    expected = float(eval(number))
    for two, three in in_all_ways(server, wires, number).values():
        assert (type_name(two), type_name(three)) == ("bulk string", "double")
        assert float(two.split(b"\r\n")[1]) == float(three[1:]) == expected


REFUSED = {
    "() => 1": "A function can not be sent as a reply",
    "function () {}": "A function can not be sent as a reply",
    "class {}": "A function can not be sent as a reply",
    "new Proxy(() => 1, {})": "A function can not be sent as a reply",
    "({ a: () => 1 })": "A function can not be sent as a reply",
    "[1, Math.max]": "A function can not be sent as a reply",
    "new Map([['f', () => 1]])": "A function can not be sent as a reply",
    "new Set([() => 1])": "A function can not be sent as a reply",
    "Symbol('s')": "A symbol can not be sent as a reply",
    "Symbol.iterator": "A symbol can not be sent as a reply",
    "[[Symbol()]]": "A symbol can not be sent as a reply",
    "new Map([[Symbol(), 1]])": "A symbol can not be sent as a reply",
    "[Promise.resolve(1)]": "A promise within the result can not be sent as a reply",
    "({ a: new Promise(() => {}) })": "A promise within the result can not be sent as a reply",
    "new Date(NaN)": "RangeError: Invalid time value",
    "({ get a() { throw new Error('by a getter'); } })": "Error: by a getter",
    "[{ b: 1, get a() { throw 'by a getter'; } }]": "by a getter",
    "Object.defineProperty([1], 0, { get() { throw new Error('by a getter'); } })": "Error: by a getter",
    "new Proxy({}, { ownKeys() { throw new Error('by a trap'); } })": "Error: by a trap",
    "new Proxy({ a: 1 }, { get(of, name) { if (name === 'a') throw new Error('by a trap'); } })": "Error: by a trap",
    "Object.assign(new String('x'), { toString() { throw new Error('by toString'); } })": "Error: by toString",
    "Object.assign(new Number(1), { valueOf() { throw new Error('by valueOf'); } })": "Error: by valueOf",
    "(object => { object.self = object; return object; })({})": "nesting level reached",
    "(list => { list.push(list); return list; })([])": "nesting level reached",
    "(map => map.set('self', map))(new Map())": "nesting level reached",
    "(map => map.set(map, 1))(new Map())": "nesting level reached",
    "(set => set.add(set))(new Set())": "nesting level reached",
    "(number => { number.valueOf = () => number; return number; })(new Number(1))": "nesting level reached",
    "({ get one() { return Object.create(null, Object.getOwnPropertyDescriptors(this)); } })": "nesting level reached",
    "new Array(4294967295)": "The result is too large for a reply",
}


@pytest.mark.parametrize("value", REFUSED)
def test_a_result_that_cannot_be_sent_is_an_error_and_nothing_else(server, wires, value):
    error = f"-{REFUSED[value]}\r\n".encode()
    assert in_all_ways(server, wires, value) == always(error, error)


def test_a_revoked_proxy_is_an_error(server, wires):
    value = "(({ proxy, revoke }) => { revoke(); return proxy; })(Proxy.revocable({}, {}))"
    for replies in in_all_ways(server, wires, value).values():
        for reply in replies:
            assert re.match(rb"-TypeError: Cannot perform '\w+' on a proxy that has been revoked\r\n", reply)


# What a function throws, or rejects its promise with.
THROWN = {
    "new Error('no')": "Error: no",
    "new RangeError('no')": "RangeError: no",
    "'text'": "text",
    "'a\\r\\nb'": "a  b",
    "42": "42",
    "7n": "7",
    "null": "null",
    "undefined": "undefined",
    "Symbol('s')": "Symbol(s)",
    "({})": "[object Object]",
    "[1, 2]": "1,2",
    "({ toString() { return 'own text'; } })": "own text",
}


@pytest.mark.parametrize("value", THROWN)
def test_what_is_thrown_is_an_error_reply(server, wires, value):
    thrown = f"(() => {{ throw {value}; }})()"
    callbacks = {
        "at once": f"client => {thrown}",
        "as a settled promise": f"client => Promise.reject({value})",
        "as a promise settled later": f"client => client.run_on_background(async () => {thrown})",
        "from an async function": f"async background => background.block(client => {thrown})",
    }
    error = f"-{THROWN[value]}\r\n".encode()
    assert by_way(server, wires, callbacks) == always(error, error)


def test_an_error_of_redis_that_is_not_caught_is_the_reply_as_it_is(server, wires):
    server.run("SET", "text", "x")
    expected = wires[0].call("LPUSH", "text", "x")
    assert expected.startswith(b"-WRONGTYPE ")
    assert in_all_ways(server, wires, "client.call('lpush', 'text', 'x')") == always(expected, expected)


def test_a_thenable_is_waited_for_where_the_language_does_so(server, wires):
    thenable = "({ then(resolve) { resolve(7); } })"
    assert both(server, wires, f"client => {thenable}") == [b"-A function can not be sent as a reply\r\n"] * 2
    assert both(server, wires, f"async client => {thenable}") == [wire(":7")] * 2
    assert both(server, wires, f"client => Promise.resolve({thenable})") == [wire(":7")] * 2


@pytest.mark.parametrize("protocol", [2, 3])
def test_results_arrive_as_they_should_in_a_client_library(server, protocol):
    server.load(
        TAGGED,
        function(
            "f",
            "() => [7, 0.5, true, null, 'é', 2n ** 63n - 1n, { a: [1], b: 'x' }, new Set([1, 2]),"
            " tagged('fine', 'status')]",
        ),
    )
    expected = {
        2: [7, "0.5", 1, None, "é", 2**63 - 1, ["a", [1], "b", "x"], [1, 2], "fine"],
        3: [7, 0.5, True, None, "é", 2**63 - 1, {"a": [1], "b": "x"}, {1, 2}, "fine"],
    }[protocol]
    result = server.call("f", client=server.connect(protocol=protocol))
    assert [sorted(one) if isinstance(one, set) else one for one in result] == [
        sorted(one) if isinstance(one, set) else one for one in expected
    ]


def test_the_protocol_of_a_transaction_is_that_of_its_client(server, wires):
    server.load(function("f", "() => ({ a: true })"))
    for one, expected in zip(wires, ["*1 *2 $1 a :1", "*1 %1 $1 a #t"], strict=True):
        one.call("MULTI")
        one.call("RG.FCALL", "lib", "f", 0)
        assert one.call("EXEC") == wire(expected)


# --- depth, size, time ---------------------------------------------------------------------------

# One level around something, and how it is sent in RESP2 and in RESP3.
LEVELS = {
    "arrays": ("[inner]", "*1 ", "*1 "),
    "objects": ("({ a: inner })", "*2 $1 a ", "%1 $1 a "),
    "maps, in their values": ("new Map([['a', inner]])", "*2 $1 a ", "%1 $1 a "),
    "sets": ("new Set([inner])", "*1 ", "~1 "),
}
INNERMOST = {
    "a number": ("7", *same(":7")),
    "a string": ("'x'", *same("$1 x")),
    "bytes": ("new Uint8Array([120]).buffer", *same("$1 x")),
    "a view of bytes": ("new Uint8Array([120])", *same("$1 x")),
    "a String object": ("new String('x')", *same("$1 x")),
    "a Number object": ("new Number(7)", *same(":7")),
    "an error": ("new TypeError()", *same("-TypeError")),
    "a date": ("new Date(0)", *same("$24 1970-01-01T00:00:00.000Z")),
}


def nested(what, count, innermost):
    return f"Array.from({{ length: {count} }}).reduce(inner => {LEVELS[what][0]}, {innermost})"


@pytest.mark.parametrize("what", LEVELS)
def test_a_result_may_have_100_levels(server, wires, what):
    _, two, three = LEVELS[what]
    assert in_all_ways(server, wires, nested(what, 100, "7")) == always(two * 100 + ":7", three * 100 + ":7")


@pytest.mark.parametrize("innermost", INNERMOST)
def test_whatever_is_no_level_itself_may_be_in_the_innermost_of_100_levels(server, wires, innermost):
    value, two, three = INNERMOST[innermost]
    replies = both(server, wires, f"() => {nested('arrays', 100, value)}")
    assert replies == [wire("*1 " * 100 + two), wire("*1 " * 100 + three)]


@pytest.mark.parametrize("innermost", ["7", "[]"])
@pytest.mark.parametrize("what", LEVELS)
def test_a_result_of_101_levels_is_an_error(server, wires, what, innermost):
    value = nested(what, 101 if innermost == "7" else 100, innermost)
    error = b"-nesting level reached\r\n"
    assert in_all_ways(server, wires, value) == always(error, error)


@pytest.mark.parametrize("levels", [128, 129])
def test_a_reply_of_a_command_may_have_128_levels(unlocked_server, levels):
    lua = f"local one = 7 for i = 1, {levels} do one = {{one}} end return one"
    shown = result_of(unlocked_server, f"attempt(() => display(client.call('eval', '{lua}', '0')))")
    if levels == 128:
        assert shown == "[" * 128 + "7n" + "]" * 128
    else:
        assert shown == "throws a Error: The reply of the server could not be read"


LARGE = {
    "an array": ("Array.from({ length: 100000 }, (_, at) => at)", "*100000 ", "*100000 ", ":{at} "),
    "a set": ("new Set(Array.from({ length: 100000 }, (_, at) => at))", "*100000 ", "~100000 ", ":{at} "),
    "a map": ("new Map(Array.from({ length: 50000 }, (_, at) => [at, at]))", "*100000 ", "%50000 ", ":{at} :{at} "),
    "holes": ("Object.assign([], { 99999: 99999 })", None, None, None),
}


@pytest.mark.parametrize("what", LARGE)
def test_a_result_of_100_000_elements_arrives_whole(server, wires, what):
    value, two, three, element = LARGE[what]
    if element is None:
        expected = ["*100000 " + null * 99999 + ":99999 " for null in ("$-1 ", "_ ")]
    else:
        elements = "".join(element.format(at=at) for at in range(50000 if what == "a map" else 100000))
        expected = [two + elements, three + elements]
    with time_limits(server, 10_000):
        replies = in_all_ways(server, wires, value)
    # Compared one by one: a difference in so much text would take long to show.
    for way in WAYS:
        for reply, text in zip(replies[way], expected, strict=True):
            assert (len(reply), reply == wire(text[:-1])) == (len(wire(text[:-1])), True), way


@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
def test_a_text_of_a_million_characters_arrives_whole(server, wires, character):
    with time_limits(server, 10_000):
        replies = in_all_ways(server, wires, f"'{character}'.repeat(1 << 20)")
    expected = bulk(character * (1 << 20))
    assert {way: [reply == expected for reply in replies[way]] for way in WAYS} == {way: [True, True] for way in WAYS}


def test_a_megabyte_of_bytes_arrives_whole(server, wires):
    with time_limits(server, 10_000):
        replies = in_all_ways(server, wires, "Uint8Array.from({ length: 1 << 20 }, (_, at) => at)")
    expected = bulk(bytes(range(256)) * 4096)
    assert {way: [reply == expected for reply in replies[way]] for way in WAYS} == {way: [True, True] for way in WAYS}


TOO_LARGE = "The result is too large for a reply"


@pytest.mark.parametrize(
    ("value", "length"),
    [
        ("new Array(8).fill('x'.repeat(1 << 20))", 8 << 20),
        ("new Array(17).fill('x'.repeat(1 << 20))", None),
        ("new Array(4).fill('€'.repeat(1 << 20))", 12 << 20),
        ("new Array(8).fill('€'.repeat(1 << 20))", None),
        ("new Array(17).fill(new Uint8Array(1 << 20))", None),
        ("(text => Object.fromEntries(Array.from({ length: 17 }, (_, at) => [at, text])))('x'.repeat(1 << 20))", None),
        ("Array(4294967295)", None),
        ("Object.assign([], { 4294967294: 1 })", None),
        ("Array.from({ length: 60 }).reduce(inner => [inner, inner], 1)", None),
    ],
)
def test_a_result_larger_than_the_librarys_memory_is_an_error(small_server, value, length):
    with Wire(small_server.port) as one, time_limits(small_server, 10_000):
        replies = in_all_ways(small_server, [one], value)
    for way, [reply] in replies.items():
        if length is None:
            assert reply[:100] == f"-{TOO_LARGE}\r\n".encode(), way
        else:
            assert length < len(reply) < length + 1000, way


def test_a_getter_runs_after_the_function_has_returned(server, wires):
    getter = "({{ get a() {{ return {value}; }} }})"
    server.run("SET", "text", "value")
    value = getter.format(value="client.call('get', 'text')")
    assert both(server, wires, f"client => {value}") == [b"-Error: Used on invalid client\r\n"] * 2
    value = getter.format(value="background.block(client => client.call('get', 'text'))")
    assert both(server, wires, f"async background => {value}") == [wire("*2 $1 a $5 value"), wire("%1 $1 a $5 value")]


BRANCHES = {
    "arrays": "Array.from({ length: 60 }).reduce(inner => [inner, inner], 1)",
    "objects": "Array.from({ length: 60 }).reduce(inner => ({ a: inner, b: inner }), 1)",
    "maps": "Array.from({ length: 60 }).reduce(inner => new Map([[inner, inner]]), 1)",
    "sets": "Array.from({ length: 60 }).reduce(inner => new Set([inner, [inner]]), 1)",
    "long strings": "new Array(1000).fill('x'.repeat(1 << 20))",
}


@pytest.mark.parametrize("what", BRANCHES)
def test_a_result_that_takes_too_long_to_read_is_ended_in_time(server, wires, what):
    server.load(function("f", f"() => {BRANCHES[what]}"))
    with time_limits(server, 100):
        reply = wires[1].call("RG.FCALL", "lib", "f", 0)
    assert re.match(rb"-Err Execution was terminated due to OOM or timeout", reply), reply[:100]


@pytest.mark.parametrize(
    "value",
    [
        "({ get a() { for (;;); } })",
        "new Proxy({}, { ownKeys() { for (;;); } })",
        "Object.assign(new String('x'), { toString() { for (;;); } })",
    ],
)
def test_code_without_end_in_a_result_is_ended(server, wires, value):
    with time_limits(server, 100):
        replies = in_all_ways(server, wires, value)
    for way in WAYS:
        for reply in replies[way]:
            assert reply.startswith(b"-Err Execution was terminated due to OOM or timeout"), way


# --- replies of commands -------------------------------------------------------------------------

DATA = [
    ["SET", "text", "value"],
    ["SET", "number", "41"],
    ["SET", "bytes", b"\x00\xff"],
    ["RPUSH", "list", "a", "b", "a"],
    ["SADD", "set", "b", "a"],
    ["SADD", "byte-set", b"\xff"],
    ["HSET", "hash", "b", "1", "a", "2"],
    ["HSET", "byte-hash", b"\xff", "1"],
    ["HSET", "byte-values", "a", b"\xff"],
    ["ZADD", "zset", "1.5", "one", "inf", "most", "-inf", "least"],
    ["XADD", "stream", "1-1", "f", "v", "f", "w"],
    ["XADD", "stream", "1-2", "g", ""],
]


def fill(server):
    """The data that the examples of commands ask for."""
    for command in [["FLUSHALL"], *DATA]:
        server.run(*command)


# Examples for types in which no command answers that scripts may call.
OTHER_EXAMPLES = {"boolean": "DEBUG PROTOCOL true", "big number": "DEBUG PROTOCOL bignum"}


@rows_of("Replies of commands")
@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_a_documented_reply_is_given_as_documented(request, row, method):
    name, call, call_raw, example = row
    server = request.getfixturevalue("unlocked_server" if name in OTHER_EXAMPLES else "server")
    fill(server)
    [example] = code(example) or [OTHER_EXAMPLES[name]]
    with Wire(server.port, 3) as one:
        assert type_name(one.call(*example.split())) == name, "the example is one of another type"
    shown = result_of(server, f"attempt(() => kind(client.{method}(...args)))", *example.split())
    expected = {"call": call, "call_raw": call_raw}[method].replace("`", "")
    assert shown.split(":")[0] == expected


# Commands and what `call` and `call_raw` give, as `display` writes it.
REPLIES = {
    "ping": ('status"PONG"', "status<PONG>"),
    "ping hello": ('"hello"', "<hello>"),
    "set new value": ('status"OK"', "status<OK>"),
    "set text value get": ('"value"', "<value>"),
    "set text value nx": ("null", "null"),
    "type list": ('status"list"', "status<list>"),
    "get text": ('"value"', "<value>"),
    "get nothing": ("null", "null"),
    "get bytes": ("throws a Error: Could not decode value as string", "<\x00\xff>"),
    "incr number": ("42n", "42n"),
    "incrbyfloat number 0.5": ('"41.5"', "<41.5>"),
    "exists text": ("1n", "1n"),
    "expire nothing 1": ("0n", "0n"),
    "strlen nothing": ("0n", "0n"),
    "object encoding number": ('"int"', "<int>"),
    "object encoding nothing": ("null", "null"),
    "lrange list 0 -1": ('["a","b","a"]', "[<a>,<b>,<a>]"),
    "lrange nothing 0 -1": ("[]", "[]"),
    "lpop nothing": ("null", "null"),
    "lpos list b": ("1n", "1n"),
    "mget text nothing list": ('["value",null,null]', "[<value>,null,null]"),
    "sort list alpha limit 0 1": ('["a"]', "[<a>]"),
    "smembers set": ('Set("a","b")', "Set(<a>,<b>)"),
    "smembers nothing": ("Set()", "Set()"),
    "smembers byte-set": ("throws a Error: Could not decode value as string", "Set(<\xff>)"),
    "smismember set a x": ("[1n,0n]", "[1n,0n]"),
    "hgetall hash": ('{b:"1",a:"2"}', "{b:<1>,a:<2>}"),
    "hgetall nothing": ("{}", "{}"),
    "hgetall byte-hash": (
        "throws a Error: Could not decode value as string",
        "throws a Error: Binary map key is not supported",
    ),
    "hgetall byte-values": ("throws a Error: Could not decode value as string", "{a:<\xff>}"),
    "hmget hash a nothing": ('["2",null]', "[<2>,null]"),
    "zscore zset one": ("1.5", "1.5"),
    "zscore zset most": ("Infinity", "Infinity"),
    "zscore zset least": ("-Infinity", "-Infinity"),
    "zscore zset nothing": ("null", "null"),
    "zadd zset incr 0.25 one": ("1.75", "1.75"),
    "zincrby zset -1.5 one": ("0", "0"),
    "zadd fresh incr -0 x": ("-0", "-0"),
    "zmscore zset one nothing": ("[1.5,null]", "[1.5,null]"),
    "zrange zset 0 -1": ('["least","one","most"]', "[<least>,<one>,<most>]"),
    "zrange zset 0 -1 withscores": (
        '[["least",-Infinity],["one",1.5],["most",Infinity]]',
        "[[<least>,-Infinity],[<one>,1.5],[<most>,Infinity]]",
    ),
    "zpopmin zset": ('["least",-Infinity]', "[<least>,-Infinity]"),
    "xlen stream": ("2n", "2n"),
    "xadd stream 2-1 f v": ('"2-1"', "<2-1>"),
    "xrange stream - +": (
        '[["1-1",["f","v","f","w"]],["1-2",["g",""]]]',
        "[[<1-1>,[<f>,<v>,<f>,<w>]],[<1-2>,[<g>,<>]]]",
    ),
    "xread streams stream 1-1": ('{stream:[["1-2",["g",""]]]}', "{stream:[[<1-2>,[<g>,<>]]]}"),
    "xread streams stream 9-9": ("null", "null"),
    "lcs text text idx": ("{matches:[[[0n,4n],[0n,4n]]],len:5n}", "{matches:[[[0n,4n],[0n,4n]]],len:5n}"),
    "bitfield bits overflow fail incrby u1 0 2": ("[null]", "[null]"),
    "command getkeysandflags get key": (
        '[["key",Set(status"RO",status"access")]]',
        "[[<key>,Set(status<RO>,status<access>)]]",
    ),
    "lpush text x": (
        "throws a RedisError: WRONGTYPE Operation against a key holding the wrong kind of value",
        "throws a RedisError: WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    "incr text": (
        "throws a RedisError: ERR value is not an integer or out of range",
        "throws a RedisError: ERR value is not an integer or out of range",
    ),
    "xadd stream 1-1 f v": (
        "throws a RedisError: ERR The ID specified in XADD is equal or smaller than the target stream top item",
        "throws a RedisError: ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ),
}


@pytest.mark.parametrize("place", ["at once", "from an async function"])
@pytest.mark.parametrize("method", ["call", "call_raw"])
@pytest.mark.parametrize("command", REPLIES)
def test_a_reply_is_given_in_the_types_of_javascript(server, command, method, place):
    fill(server)
    work = f"attempt(() => display(client.{method}(...args)))"
    callback = {
        "at once": f"(client, ...args) => {work}",
        "from an async function": f"async (background, ...args) => background.block(client => {work})",
    }[place]
    server.load(SHOW, function("f", callback))
    assert server.call("f", *command.split()) == REPLIES[command][method == "call_raw"]


# Types in which only EVAL, DEBUG and modules answer.
OTHER_REPLIES = {
    "debug protocol integer": ("12345n", "12345n"),
    "debug protocol double": ("3.141", "3.141"),
    "debug protocol true": ("true", "true"),
    "debug protocol false": ("false", "false"),
    "debug protocol null": ("null", "null"),
    "debug protocol array": ("[0n,1n,2n]", "[0n,1n,2n]"),
    "debug protocol set": ("Set(0n,1n,2n)", "Set(0n,1n,2n)"),
    "debug protocol map": ("{0:false,1:true,2:false}", "{0:false,1:true,2:false}"),
    "debug protocol push": ('["server-cpu-usage",42n]', "[<server-cpu-usage>,42n]"),
    "debug protocol attrib": (
        '"Some real reply following the attribute"',
        "<Some real reply following the attribute>",
    ),
    "debug protocol verbatim": (r'verbatim"This is a verbatim\nstring"', "verbatim<This is a verbatim\nstring>"),
    "debug protocol bignum": (
        'big_number"1234567999999999999999999999999999999"',
        'big_number"1234567999999999999999999999999999999"',
    ),
    "eval return{double=0/0} 0": ("NaN", "NaN"),
    "eval return{map={a={set={b=true}}}} 0": ('{a:Set("b")}', "{a:Set(<b>)}"),
    "eval redis.setresp(3)return{true,false,{ok='fine'}} 0": ('[true,false,status"fine"]', "[true,false,status<fine>]"),
    "eval return{1,{err='ERR-nested'},2} 0": ("throws a RedisError: ERR-nested", "throws a RedisError: ERR-nested"),
    "eval return{map={a={1,{err='ERR-nested'}}}} 0": (
        "throws a RedisError: ERR-nested",
        "throws a RedisError: ERR-nested",
    ),
    "eval return{verbatim_string={string='text',format='mkd'}} 0": ('verbatim"text"', "verbatim<text>"),
    "eval return'\\255' 0": ("throws a Error: Could not decode value as string", "<\xff>"),
    "eval return{ok='\\255'} 0": ("throws a Error: Could not decode value as string", "status<\xff>"),
    "eval return{set={['\\255']=true}} 0": ("throws a Error: Could not decode value as string", "Set(<\xff>)"),
    "eval return{err='\\255'} 0": ("throws a RedisError: \ufffd", "throws a RedisError: \ufffd"),
}


@pytest.mark.parametrize("method", ["call", "call_raw"])
@pytest.mark.parametrize("command", OTHER_REPLIES)
def test_a_reply_of_any_type_is_given_in_the_types_of_javascript(unlocked_server, command, method):
    shown = result_of(unlocked_server, f"attempt(() => display(client.{method}(...args)))", *command.split())
    assert shown == OTHER_REPLIES[command][method == "call_raw"]


# Commands whose replies have the same structure in both protocols.
ROUND_TRIPS = [
    "ping",
    "type list",
    "get text",
    "get nothing",
    "strlen text",
    "zscore zset one",
    "zscore zset least",
    "lrange list 0 -1",
    "hgetall hash",
    "smembers set",
    "mget text nothing",
    "xrange stream - +",
    "xinfo stream stream",
    "xinfo help",
    "info keyspace",
    "object encoding number",
    "bitfield bits overflow fail incrby u1 0 2",
    "lcs text text idx",
    "command",
    "command docs",
    "lpush text x",
    "nosuch command",
]


@pytest.mark.parametrize("command", ROUND_TRIPS)
def test_a_reply_that_is_returned_is_the_commands_own(server, wires, command):
    fill(server)
    words = ", ".join(f"'{word}'" for word in command.split())
    direct = [one.call(*command.split()) for one in wires]
    for way, replies in in_all_ways(server, wires, f"client.call({words})").items():
        assert [len(reply) for reply in replies] == [len(reply) for reply in direct], way
        assert [mine == theirs for mine, theirs in zip(replies, direct, strict=True)] == [True, True], way


@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_keys_of_a_map_are_properties_whatever_they_are_called(server, method):
    names = ["__proto__", "constructor", "toString", "", "a b", "é", "10", "2", "-1", "01", "1.5", "4294967295"]
    server.run("HSET", "hash", *[word for name in names for word in (name, f"<{name}>")])
    shown = result_of(
        server,
        f"""(() => {{
            const map = client.{method}('hgetall', 'hash');
            const {{ getPrototypeOf, getOwnPropertyNames, entries }} = Object;
            const texts = entries(map).map(([name, value]) =>
                [name, typeof value === 'string' ? value : decodeURIComponent(escape(text(value)))]);
            const clean = getPrototypeOf(map) === Object.prototype;
            return JSON.stringify([clean, ({{}}).constructor === Object, getOwnPropertyNames({{}}), texts]);
        }})()""",
    )
    clean, plain, nothing, entries = json.loads(shown)
    assert (clean, plain, nothing) == (True, True, [])
    assert dict(entries) == {name: f"<{name}>" for name in names}
    order = [name for name, _ in entries]
    assert order[:2] == ["2", "10"]
    assert order[2:] == [name for name in names if name not in ("2", "10")]


def test_a_map_within_an_array_does_not_touch_the_prototype_either(server):
    server.run("XADD", "__proto__", "1-1", "f", "v")
    shown = result_of(
        server,
        "(() => { const map = client.call('xread', 'streams', '__proto__', '0'); return display("
        "[Object.keys(map), Object.getPrototypeOf(map) === Object.prototype, ({}).f === undefined]); })()",
    )
    assert shown == '[["__proto__"],true,true]'


@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_a_verbatim_string_has_its_format(server, method):
    value = f"(reply => display([reply.__reply_type, reply.__format, reply.__ext]))(client.{method}('info', 'server'))"
    assert result_of(server, value) == '["verbatim","txt","txt"]'


def test_a_verbatim_string_of_another_format_comes_back_as_it_was(unlocked_server):
    lua = "return{verbatim_string={string='text',format='mkd'}}"
    unlocked_server.upgrade(function("f", "(client, lua) => client.call('eval', lua, '0')"))
    with Wire(unlocked_server.port, 3) as three:
        assert three.call("RG.FCALL", "lib", "f", 0, lua) == wire("=8 mkd:text")


def test_a_status_is_equal_to_its_text_and_not_identical(server):
    shown = result_of(
        server,
        "display([client.call('ping') == 'PONG', client.call('ping') === 'PONG', `${client.call('ping')}`,"
        " client.call('ping').toLowerCase(), client.call('ping') instanceof String,"
        " Object.keys(client.call('ping'))])",
    )
    assert shown == '[true,false,"PONG","pong",true,["0","1","2","3","__reply_type"]]'


def test_an_error_of_redis_is_an_error_that_reads_like_its_text(server):
    shown = result_of(
        server,
        """(() => {
            try {
                client.call('get');
            } catch (error) {
                return display([error instanceof Error, error.name, error.message, String(error), `${error}`,
                    typeof error.stack, Object.keys(error)]);
            }
        })()""",
    )
    message = "ERR wrong number of arguments for 'get' command"
    assert shown == json.dumps(
        [True, "RedisError", message, message, message, "string", []], separators=(",", ":")
    )


def test_a_reply_belongs_to_its_call(server):
    server.run("RPUSH", "list", "a")
    value = (
        "(() => { const first = client.call('lrange', 'list', '0', '-1'); first.push('b'); first[0] = 'c';"
        " return display(client.call('lrange', 'list', '0', '-1')); })()"
    )
    assert result_of(server, value) == '["a"]'


def test_what_could_not_be_decoded_was_done_all_the_same(server):
    value = "attempt(() => client.call('getdel', 'bytes'))"
    server.run("SET", "bytes", b"\xff")
    assert result_of(server, value) == "throws a Error: Could not decode value as string"
    assert server.run("EXISTS", "bytes") == 0


LARGE_REPLIES = {
    "list": ("RPUSH", "lrange large 0 -1", "reply.length", "reply[0] === '0' && reply[99999] === '99999'"),
    "set": ("SADD", "smembers large", "reply.size", "reply.has('0') && reply.has('99999')"),
    "hash": ("HSET", "hgetall large", "Object.keys(reply).length", "reply.k0 === '0' && reply.k99999 === '99999'"),
}


@pytest.mark.parametrize("kind", LARGE_REPLIES)
def test_a_reply_of_100_000_elements_is_given_whole_and_comes_back_whole(server, wires, kind):
    add, command, size, check = LARGE_REPLIES[kind]
    for start in range(0, 100_000, 10_000):
        part = range(start, start + 10_000)
        server.run(add, "large", *([word for n in part for word in (f"k{n}", n)] if kind == "hash" else part))
    words = ", ".join(f"'{word}'" for word in command.split())
    with time_limits(server, 10_000):
        assert result_of(server, f"(reply => display([{size}, {check}]))(client.call({words}))") == "[100000,true]"
        for one, reply in zip(wires, both(server, wires, f"client => client.call({words})"), strict=True):
            assert reply == one.call(*command.split())


@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_a_reply_of_a_megabyte_is_given_whole(server, wires, method):
    value = ("ä€😀x" * (1 << 17))[: 1 << 18]
    server.run("SET", "text", value)
    with time_limits(server, 10_000):
        assert both(server, wires, f"client => client.{method}('get', 'text')") == [bulk(value)] * 2


def test_a_reply_larger_than_half_of_the_librarys_memory_is_an_error(small_server):
    small_server.run("SET", "text", "x" * (9 << 20))
    value = "attempt(() => display(client.call('get', 'text').length))"
    assert result_of(small_server, value) == "throws a Error: The reply does not fit into the library's memory"
    small_server.run("SET", "text", "x" * (6 << 20))
    assert result_of(small_server, value) == str(6 << 20)


def test_a_reply_of_more_elements_than_the_library_has_memory_for_is_an_error(small_server):
    small_server.run("DEL", "list")
    for start in range(100_000, 700_000, 10_000):
        small_server.run("RPUSH", "list", *range(start, start + 10_000))
    small_server.load(function("f", "client => client.call('lrange', 'list', '0', '-1').length"), options=["UPGRADE"])
    with Wire(small_server.port) as one:
        reply = one.call("RG.FCALL", "lib", "f", 0)
    small_server.run("DEL", "list")
    assert re.match(rb"-.*memory|-.*OOM", reply), reply
    assert small_server.run("PING")
    assert result_of(small_server, "7") == 7


# --- arguments of commands -----------------------------------------------------------------------


@rows_of("Arguments of commands")
@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_a_documented_argument_arrives_as_documented(server, wires, row, method):
    value, expected = code(row[2])
    assert both(server, wires, f"client => client.{method}('echo', {value})") == [bulk(expected)] * 2


ARGUMENTS = {
    "''": "",
    "'text'": "text",
    r"'a\0b\r\nc'": "a\0b\r\nc",
    "'é€😀'": "é€😀",
    r"'\ud800'": "\ufffd",
    r"'a\udc00b'": "a\ufffdb",
    r"'\ufeffa'": "\ufeffa",
    "0": "0",
    "-0": "0",
    "-7": "-7",
    "0.1": "0.1",
    "1e-7": "1e-7",
    "1e21": "1e+21",
    "2 ** 53": "9007199254740992",
    "NaN": "NaN",
    "-Infinity": "-Infinity",
    "0n": "0",
    "-(10n ** 30n)": "-1" + "0" * 30,
    "false": "false",
    "new ArrayBuffer(0)": b"",
    "new Uint8Array([0, 255, 13, 10]).buffer": b"\x00\xff\r\n",
    "new Uint8Array([0, 255])": b"\x00\xff",
    "new Uint16Array([258])": b"\x02\x01",
    "new Float64Array([1])": b"\0\0\0\0\0\0\xf0\x3f",
    "new Uint8Array([1, 2, 3]).subarray(1)": b"\2\3",
    "new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 1)": b"\2",
    "new SharedArrayBuffer(2)": b"\0\0",
    "new String('text')": "text",
    r"new String('\ud800')": "\ufffd",
    "Object.assign(new String('x'), { toString() { return 'own'; } })": "own",
    "'x'.repeat(1 << 20)": "x" * (1 << 20),
    "new Uint8Array(1 << 20)": bytes(1 << 20),
}


@pytest.mark.parametrize("value", ARGUMENTS)
def test_an_argument_arrives_as_bytes(server, wires, value):
    assert both(server, wires, f"client => client.call_raw('echo', {value})") == [bulk(ARGUMENTS[value])] * 2
    callback = f"async background => background.block(client => client.call_raw('echo', {value}))"
    assert both(server, wires, callback) == [bulk(ARGUMENTS[value])] * 2


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "undefined",
        "[]",
        "['a']",
        "({})",
        "({ toString() { return 'x'; } })",
        "() => 1",
        "Symbol('s')",
        "Object(Symbol('s'))",
        "new Date(0)",
        "/a/",
        "new Map()",
        "new Set(['a'])",
        "new Error('no')",
        "Promise.resolve('a')",
        "new Proxy({}, {})",
        "new Proxy(new String('a'), {})",
        "client.call('get', 'nothing')",
    ],
)
@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_another_argument_is_a_type_error_and_nothing_is_run(server, value, method):
    shown = result_of(server, f"attempt(() => client.{method}('rpush', 'list', 'a', {value}, 'b'))")
    assert re.match(r"throws a TypeError: Bad argument was given to 'call'", shown)
    assert server.run("EXISTS", "list") == 0


def test_code_in_an_argument_may_throw_and_nothing_is_run(server):
    value = "Object.assign(new String('x'), { toString() { throw new RangeError('by toString'); } })"
    shown = result_of(server, f"attempt(() => client.call('rpush', 'list', 'a', {value}))")
    assert shown == "throws a RangeError: by toString"
    assert server.run("EXISTS", "list") == 0


def test_code_in_an_argument_may_call_commands(server):
    value = "Object.assign(new String('x'), { toString() { return client.call('echo', 'from within'); } })"
    assert result_of(server, f"client.call('echo', {value})") == "from within"
    shown = result_of(server, f"display(client.call('mget', 'a', {value}, 'c'))")
    assert shown == "[null,null,null]"


@pytest.mark.parametrize("name", ["5", "null", "undefined", "new Uint8Array([112, 105, 110, 103])", "['ping']", "{}"])
def test_the_name_of_a_command_is_a_string(server, name):
    shown = result_of(server, f"attempt(() => client.call({name}))")
    assert shown == "throws a TypeError: First argument to 'command' must be a string"


def test_the_name_of_a_command_may_be_a_string_object_in_any_case(server):
    shown = result_of(server, "display([client.call(new String('PiNg')), client.call('ECHO', 'x')])")
    assert shown == '[status"PONG","x"]'


def test_a_call_without_a_name_is_a_type_error(server):
    shown = result_of(server, "attempt(() => client.call())")
    assert shown == "throws a TypeError: Wrong number of arguments to 'call' function"


def test_an_argument_larger_than_512_megabytes_is_a_type_error(server):
    shown = result_of(server, "attempt(() => client.call('echo', new ArrayBuffer((512 << 20) + 1)))")
    assert shown == "throws a TypeError: Bad argument was given to 'call', it is larger than 512 MB"


@pytest.mark.parametrize(
    "value", ["...Array(60).fill(new Uint8Array(8 << 20))", "...Array(60).fill('x'.repeat(8 << 20))"]
)
def test_a_command_larger_than_the_librarys_memory_is_an_error_and_is_not_run(small_server, value):
    small_server.run("DEL", "list")
    shown = result_of(small_server, f"attempt(() => client.call('rpush', 'list', {value}))")
    added = small_server.run("LLEN", "list")
    small_server.run("DEL", "list")
    assert (added, shown) == (0, "throws a TypeError: The command does not fit into the library's memory")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("client.call('ping')", "PONG"),
        ("client.call('get', 'text')", "value"),
        ("client.call('incr', 'number')", "42"),
        ("client.call('zscore', 'zset', 'one')", "1.5"),
        ("client.call('zscore', 'zset', 'most')", "Infinity"),
        ("client.call_raw('ping')", "PONG"),
        ("client.call_raw('get', 'bytes')", b"\x00\xff"),
        ("client.call('type', 'list')", "list"),
        ("client.call('lrange', 'list', '1', '1')[0]", "b"),
        ("[...client.call('command', 'getkeysandflags', 'get', 'k')[0][1]][0]", "RO"),
    ],
)
def test_what_a_call_gave_may_be_given_to_another(server, wires, reply, expected):
    fill(server)
    assert both(server, wires, f"client => client.call_raw('echo', {reply})")[1] == bulk(expected).replace(
        b"$2\r\n42", b"$2\r\n43"
    )


def test_replies_of_other_types_may_be_given_to_another_call(unlocked_server):
    for value, expected in [
        ("client.call('debug', 'protocol', 'true')", "true"),
        ("client.call('debug', 'protocol', 'bignum')", "1234567999999999999999999999999999999"),
        ("client.call('debug', 'protocol', 'verbatim')", "This is a verbatim\nstring"),
        ("client.call_raw('debug', 'protocol', 'verbatim')", "This is a verbatim\nstring"),
    ]:
        assert result_of(unlocked_server, f"client.call('echo', {value})") == expected


def test_scores_go_through_numbers_unchanged(server):
    scores = "0.1 a 1e300 b -0.30000000000000004 c inf d -inf e 12345678901234567 f 5e-324 g"
    server.run("ZADD", "zset", *scores.split())
    shown = result_of(
        server,
        "(() => { for (const [member, score] of client.call('zrange', 'zset', 0, -1, 'withscores'))"
        " client.call('zadd', 'copy', score, member);"
        " return display(client.call('zrange', 'copy', 0, -1, 'withscores')); })()",
    )
    assert shown == (
        '[["e",-Infinity],["c",-0.30000000000000004],["g",5e-324],["a",0.1],["f",12345678901234568],'
        '["b",1e+300],["d",Infinity]]'
    )
    scores = [server.client.zscore(key, member) for key in ("zset", "copy") for member in "abcdefg"]
    assert scores[:7] == scores[7:]


# --- arguments of functions ----------------------------------------------------------------------

STARTS = {"sync": "(client, ...args)", "async": "async (client, ...args)"}
FLAGS = {"without `raw-arguments`": [], "with `raw-arguments`": ["raw-arguments"]}
SHOW_ARGUMENTS = r"""
const codes = value => value instanceof ArrayBuffer
    ? ['ArrayBuffer', ...new Uint8Array(value)]
    : [typeof value, ...[...value].map(one => one.codePointAt(0))];
"""


@rows_of("Arguments of functions")
@pytest.mark.parametrize("start", STARTS)
def test_documented_arguments_are_given_as_documented(server, row, start):
    name, expected = row
    server.load(SHOW_ARGUMENTS, function("f", f"{STARTS[start]} => args.map(codes)", FLAGS[name]))
    assert server.call("f", "a", "", keys=["k"]) == [
        [expected.strip("`"), 107],
        [expected.strip("`"), 97],
        [expected.strip("`")],
    ]


TEXTS = ["", "text", "a\0b\r\n", "é€😀", "\ufeffa", "\ufffd", "x" * 1000]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_an_argument_with_the_flag_and_without(server, text, start):
    callback = f"{STARTS[start]} => args.map(codes)"
    server.load(SHOW_ARGUMENTS, function("f", callback), function("raw", callback, ["raw-arguments"]))
    assert server.call("f", text, text) == [["string", *map(ord, text)]] * 2
    assert server.call("raw", text, text) == [["ArrayBuffer", *text.encode()]] * 2


# No UTF-8: a byte alone, a surrogate, an overlong form, beyond the last code point, cut off.
BINARY = [b"\xff", b"a\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("data", BINARY, ids=ascii)
def test_bytes_are_an_argument_with_the_flag_only(server, wires, data, start):
    callback = f"{STARTS[start]} => {{ redis.log('called'); return args.map(codes); }}"
    server.load(SHOW_ARGUMENTS, function("f", callback), function("raw", callback, ["raw-arguments"]))
    error = b"-Can not convert argument to string\r\n"
    for one in wires:
        assert one.call("RG.FCALL", "lib", "f", 0, data) == error
        assert one.call("RG.FCALL", "lib", "f", 0, "good", data, "good") == error
        assert one.call("RG.FCALL", "lib", "f", 1, data) == error
    assert server.messages("called") == []
    assert server.call("raw", data, keys=[data]) == [["ArrayBuffer", *data]] * 2


@pytest.mark.parametrize("start", STARTS)
def test_bytes_come_back_as_they_were(server, wires, start):
    data = bytes(range(256)) * 4096
    server.load(function("f", f"{STARTS[start]} => args[0]", ["raw-arguments"]))
    with time_limits(server, 10_000):
        for one in wires:
            assert one.call("RG.FCALL", "lib", "f", 0, data) == bulk(data)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("start", STARTS)
def test_an_argument_of_100_megabytes_arrives_where_the_library_may_hold_it(server, wires, start, flags):
    length = "byteLength" if flags else "length"
    server.load(function("f", f"{STARTS[start]} => args.map(one => one.{length})", flags))
    with time_limits(server, 10_000):
        for one in wires:
            assert one.call("RG.FCALL", "lib", "f", 0, b"x" * 100_000_000, "y") == wire("*2 :100000000 :1")


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("start", STARTS)
def test_a_function_gets_60_000_arguments_and_no_more(server, wires, start, flags):
    server.load(function("f", f"{STARTS[start]} => args.length", flags))
    with time_limits(server, 10_000):
        assert wires[0].call("RG.FCALL", "lib", "f", 0, *["x"] * 60_000) == wire(":60000")
        reply = wires[0].call("RG.FCALL", "lib", "f", 0, *["x"] * 60_001)
    assert reply == b"-The arguments do not fit into the library's memory\r\n"


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_arguments_larger_than_a_quarter_of_the_librarys_memory_are_an_error(small_server, flags):
    small_server.upgrade(function("f", "(client, ...args) => args.length", flags))
    with Wire(small_server.port) as one:
        assert one.call("RG.FCALL", "lib", "f", 0, "x" * (1 << 20), "x" * (2 << 20)) == wire(":2")
        reply = one.call("RG.FCALL", "lib", "f", 0, "x" * (1 << 20), "x" * (4 << 20))
    assert reply == b"-The arguments do not fit into the library's memory\r\n"


# --- built-ins that a library replaced -----------------------------------------------------------

REPLACED = {
    "String": "String = function () { throw new Error('replaced'); }",
    "the iterator of arrays": "Array.prototype[Symbol.iterator] = function () { throw new Error('replaced'); }",
    "elements of arrays": "Object.defineProperty(Array.prototype, 0, { set() { throw new Error('replaced'); } })",
    "tags": "Object.defineProperty(Object.prototype, '__reply_type', { set() { throw new Error('replaced'); } })",
    "properties": "Object.defineProperty(Object.prototype, 'a', { set() { throw new Error('replaced'); } })",
    "methods of collections": "Set.prototype.add = Map.prototype.set = Map.prototype.entries = () => { throw 1; }",
    "promises": "Promise.prototype.then = Promise.resolve = () => { throw 1; }",
    "constructors": "Error = TypeError = ArrayBuffer = Set = Map = Promise = undefined",
}


@pytest.mark.parametrize("what", REPLACED)
def test_conversions_do_not_depend_on_what_a_library_can_replace(server, wires, what):
    fill(server)
    server.run("RPUSH", "large", *range(6000))
    server.load(
        f"{REPLACED[what]};",
        function("status", "client => client.call('ping')"),
        function("map", "client => client.call('hgetall', 'hash')"),
        function("set", "client => client.call('smembers', 'set')"),
        function("large", "client => client.call('lrange', 'large', 0, -1).length"),
        function("raw", "client => client.call_raw('get', 'bytes')"),
        function("error", "client => client.call('get', 'list')"),
        function("wrong", "client => client.call(null)"),
        function("async", "async background => background.block(client => client.call('ping'))"),
    )
    two = wires[0]
    replies = {
        name: two.call("RG.FCALL", "lib", name, 0)
        for name in ("status", "map", "set", "large", "raw", "error", "wrong", "async")
    }
    assert replies == {
        "status": wire("+PONG"),
        "map": two.call("HGETALL", "hash"),
        "set": two.call("SMEMBERS", "set"),
        "large": wire(":6000"),
        "raw": bulk(b"\x00\xff"),
        "error": two.call("GET", "list"),
        "wrong": b"-TypeError: First argument to 'command' must be a string\r\n",
        "async": wire("+PONG"),
    }
