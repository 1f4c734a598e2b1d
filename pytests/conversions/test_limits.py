"""Results that are too deep, too large, or take too long to read."""

import re

import pytest

from testing.conversions import WAYS, always, both, in_all_ways, result_of, same, time_limits
from testing.libraries import function
from testing.wire import Wire, bulk, wire

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
