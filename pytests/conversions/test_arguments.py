"""What becomes of the arguments of commands and of functions."""

import re

import pytest

from testing.conversions import SHOW, both, code, fill, result_of, rows_of, time_limits
from testing.libraries import function
from testing.wire import Wire, bulk, wire

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


def test_each_of_many_names_is_taken_for_itself_again_and_again(server):
    server.load(
        SHOW,
        function(
            "f",
            """(client, longest) => {
                const names = ["PING", "ping", "p\u00efng", "pi\\0ng", "x".repeat(longest)];
                for (let n = 0; n < 100; ++n) names.push("NO" + n);
                const shown = name => display(attempt(() => client.call(name)));
                const once = names.map(shown);
                const same = names.every((name, at) => shown(name.slice(0, 2) + name.slice(2)) === once[at]);
                const named = names.slice(4).every((name, at) => once[at + 4].includes(name));
                const all_differ = new Set(once.slice(1)).size === names.length - 1;
                return [once[0], once[1], String(all_differ), String(same), String(named)];
            }""",
        ),
    )
    for longest in 32, 33, 100:
        assert server.call("f", longest) == ['status"PONG"', 'status"PONG"', "true", "true", "true"]


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
