"""What becomes of a function's result on the wire: every row of the tables in docs/data-types.md, and what lies behind them."""

import re

import pytest

from testing.conversions import always, both, by_way, code, in_all_ways, rows_of, same
from testing.libraries import function
from testing.wire import bulk, type_name, wire

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


# What a library makes of the `OK` of a command, and how that is sent.
CHANGED = {
    "ok": same(b"+OK\r\n"),
    "[ok, ok]": same(b"*2\r\n+OK\r\n+OK\r\n"),
    "Object.freeze(ok)": same(b"+OK\r\n"),
    "Object.assign(ok, { more: 1 })": same(b"+OK\r\n"),
    "Object.assign(ok, { __reply_type: 'text' })": text_reply("OK"),
    "Object.assign(ok, { __reply_type: 'big_number' })": text_reply("OK"),
    "Object.assign(ok, { __reply_type: new String('status') })": text_reply("OK"),
    "(delete ok.__reply_type, ok)": text_reply("OK"),
    "Object.defineProperty(ok, '__reply_type', { get() { return 'text'; } })": text_reply("OK"),
    "Object.assign(ok, { toString() { return 'own'; } })": same(b"+own\r\n"),
    "Object.assign(ok, { toString: undefined, valueOf() { return 'own'; } })": same(b"+own\r\n"),
    "Object.assign(ok, { [Symbol.toPrimitive]() { return 'own'; } })": same(b"+own\r\n"),
    "Object.assign(ok, { toString() { throw new Error('by toString'); } })": same(b"-Error: by toString\r\n"),
    "Object.defineProperty(ok, 'toString', { get() { throw new Error('by a getter'); } })": same(
        b"-Error: by a getter\r\n"
    ),
    "Object.setPrototypeOf(ok, { toString() { return 'own'; } })": same(b"+own\r\n"),
    "new String(ok)": text_reply("OK"),
    "new Proxy(ok, {}).__reply_type": text_reply("status"),
}


@pytest.mark.parametrize("value", CHANGED)
def test_an_ok_is_sent_as_what_the_library_made_of_it(server, wires, value):
    made = f"(ok => {value})(client.call('set', 'key', 'value'))"
    assert in_all_ways(server, wires, made) == always(*CHANGED[value])


@pytest.mark.parametrize(
    "change",
    [
        "String.prototype.toString = () => 'own'",
        "String.prototype[Symbol.toPrimitive] = () => 'own'",
        "Object.prototype[Symbol.toPrimitive] = () => 'own'",
    ],
)
def test_an_ok_is_read_as_the_library_has_string_objects_read(server, wires, change):
    code = f"client => {{ {change}; return client.call('set', 'key', 'value'); }}"
    assert both(server, wires, code) == [wire("+own"), wire("+own")]


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
