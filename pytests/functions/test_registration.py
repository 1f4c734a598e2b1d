"""Registration of functions: names, flags, and when it is refused."""

import pytest
from redis import ResponseError

from testing.functions import COMMANDS, call_error, described
from testing.libraries import consumer, function

REGISTER = ["register_function", "register_async_function"]
COUNT = "Wrong number of arguments to 'register_function' function"
FIRST = "First argument to 'register_function' must be "
SECOND = "Second argument to 'register_function' must be a function"
THIRD = "Third argument to 'register_function' must be an array of functions flags"
OPTION = "Option '{}' of 'register_function' must be {}"
MILLISECONDS = "a whole number between 1 and 86400000, in milliseconds"
FLAGS = "Failed parsing function flags, "
F = "() => {}"

WRONG_REGISTRATIONS = {
    "()": COUNT,
    "('f')": COUNT,
    f"('f', {F}, [], 1)": COUNT,
    f"(1, {F})": FIRST + "a string representing the function name",
    f"(null, {F})": FIRST + "a string representing the function name",
    f"(undefined, {F})": FIRST + "a string representing the function name",
    f"(Symbol('f'), {F})": FIRST + "a string representing the function name",
    f"(new String('f'), {F})": FIRST + "a string representing the function name",
    f"({{ toString() {{ throw 1; }} }}, {F})": FIRST + "a string representing the function name",
    f"('f'.repeat(1001), {F})": FIRST + "at most 1000 characters long",
    "('f', 'callback')": SECOND,
    "('f', null)": SECOND,
    "('f', undefined)": SECOND,
    "('f', {})": SECOND,
    "('f', Promise.resolve())": SECOND,
    "('f', [], [])": SECOND,
    "('f', function* () {})": SECOND + ", not a generator function",
    "('f', async function* () {})": SECOND + ", not a generator function",
    f"('f', {F}, null)": THIRD,
    f"('f', {F}, 'no-writes')": THIRD,
    f"('f', {F}, () => {{}})": THIRD,
    f"('f', {F}, new Map())": THIRD,
    f"('f', {F}, new Proxy({{}}, {{}}))": THIRD,
    f"('f', {F}, new Set(['no-writes']))": THIRD,
    f"('f', {F}, [1])": FLAGS + "wrong type of string value",
    f"('f', {F}, [null])": FLAGS + "wrong type of string value",
    f"('f', {F}, ['no-writes', ['allow-oom']])": FLAGS + "wrong type of string value",
    f"('f', {F}, new Array(1))": FLAGS + "wrong type of string value",
    f"('f', {F}, ['no-such'])": FLAGS + "Unknown flag 'no-such' was given",
    f"('f', {F}, ['NO-WRITES'])": FLAGS + "Unknown flag 'NO-WRITES' was given",
    f"('f', {F}, ['no-writes', ''])": FLAGS + "Unknown flag '' was given",
    f"('f', {F}, {{ flag: [] }})": "Unknown option 'flag' of 'register_function'",
    f"('f', {F}, {{ flags: 'no-writes' }})": OPTION.format("flags", "an array of functions flags"),
    f"('f', {F}, {{ flags: ['no-such'] }})": FLAGS + "Unknown flag 'no-such' was given",
    f"('f', {F}, {{ timeout: 0 }})": OPTION.format("timeout", MILLISECONDS),
    f"('f', {F}, {{ timeout: 86400001 }})": OPTION.format("timeout", MILLISECONDS),
    f"('f', {F}, {{ timeout: '5' }})": OPTION.format("timeout", MILLISECONDS),
    f"('f', {F}, {{ run_as: 'root' }})": OPTION.format("run_as", "'caller' or 'owner'"),
    f"('f', {F}, {{ run_as: true }})": OPTION.format("run_as", "'caller' or 'owner'"),
    f"('f', {F}, {{ run_as: 'Owner' }})": OPTION.format("run_as", "'caller' or 'owner'"),
    f"('good', {F})": "Function good already exists",
}


@pytest.mark.parametrize("register", REGISTER)
@pytest.mark.parametrize("call", WRONG_REGISTRATIONS)
def test_a_wrong_registration_fails_the_load(server, call, register):
    with pytest.raises(ResponseError) as caught:
        server.load(function("good"), f"redis.{register}{call};")
    text = str(caught.value)
    assert text.startswith("Failed loading library, Failed evaluating module: ")
    assert text.split("Error: ")[1] == WRONG_REGISTRATIONS[call]
    assert server.libraries() == []


@pytest.mark.parametrize("register", REGISTER)
@pytest.mark.parametrize("call", WRONG_REGISTRATIONS)
def test_a_wrong_registration_can_be_caught_and_leaves_nothing_behind(server, call, register):
    server.load(
        function("good"),
        f"try {{ redis.{register}{call}; redis.log('caught nothing'); }}",
        "catch (error) { redis.log('caught error'); }",
    )
    assert server.messages("caught ") == ["error"]
    assert described(server)["functions"] == ["good"]
    assert server.call("good", "a") == ["a"]


def test_a_flag_whose_getter_throws_fails_the_load(server):
    flags = "Object.defineProperty(['no-writes'], 0, { get() { throw new Error('by me'); } })"
    with pytest.raises(ResponseError, match="Failed loading library"):
        server.load(f"redis.register_function('f', {F}, {flags});")
    assert server.libraries() == []


def test_a_flag_whose_getter_does_not_end_fails_the_load(server):
    server.set_timeout(200)
    flags = "Object.defineProperty(['no-writes'], 0, { get() { for (;;); } })"
    with pytest.raises(ResponseError, match="Failed loading library.*terminated"):
        server.load(f"redis.register_function('f', {F}, {flags});")
    assert server.libraries() == []


@pytest.mark.parametrize("start", ["", "async "])
@pytest.mark.parametrize("register", REGISTER)
def test_registering_after_the_load_is_refused(server, register, start):
    server.load(function("f", f"{start}() => {{ redis.{register}('late', {F}); }}"))
    assert call_error(server, "f") == "Error: Called 'register_function' out of context"
    assert described(server)["functions"] == ["f"]


def test_a_name_may_be_a_thousand_characters_of_any_kind(server):
    names = ["", "ä€\U0001f600", "a b", "nul\\0byte", "x" * 1000, "__proto__", "constructor"]
    server.load(*(function(name, f"() => {n}") for n, name in enumerate(names)))
    assert [server.call(name.replace("\\0", "\0")) for name in names] == list(range(len(names)))


def test_a_library_may_have_ten_thousand_functions_and_no_more(server):
    server.set_timeout(10_000)
    many = "for (let n = 0; n < {}; n++) redis.register_function(`f${{n}}`, () => n);"
    with pytest.raises(ResponseError, match="A library can register at most 10000 functions"):
        server.load(many.format(10_001))
    server.load(many.format(10_000))
    assert server.call("f9999") == 9999
    assert len(described(server)["functions"]) == 10_000


def test_both_names_of_registering_do_the_same(server):
    server.load(
        "redis.register_function('a', async () => 'async');",
        "redis.register_async_function('b', () => 'sync', ['no-writes']);",
        "redis.register_async_function('c', async () => 'async');",
    )
    for command in COMMANDS:
        assert [server.call(name, command=command) for name in "abc"] == ["async", "sync", "async"]


def test_functions_alone_make_a_library(server):
    assert server.load(function()) == "OK"
    assert server.libraries() == ["lib"]


def test_a_function_and_a_consumer_may_have_the_same_name(server):
    server.load(function("same", "() => 'function'"), consumer("same"))
    server.add("stream", 1)
    assert server.seen() == ["stream 1"]
    assert server.call("same") == "function"


def test_libraries_may_have_functions_of_the_same_name(server):
    server.load(function("f", "() => 'one'"), name="one")
    server.load(function("f", "() => 'two'"), name="two")
    assert [server.call("f", library=name) for name in ("one", "two")] == ["one", "two"]


@pytest.mark.parametrize("flags", ["undefined", "[]", "{}", "{ flags: [], run_as: 'caller', timeout: undefined }"])
def test_no_flags_are_no_flags(server, flags):
    server.load(f"redis.register_function('f', {F}, {flags});")
    assert described(server, "v")["functions"] == [["name", "f", "flags", []]]


def test_flags_may_stand_among_options(server):
    server.load(f"redis.register_function('f', {F}, {{ flags: ['no-writes'], timeout: 50 }});")
    assert described(server, "v")["functions"] == [["name", "f", "flags", ["no-writes"]]]
    assert described(server, "vv")["functions"] == [["name", "f", "flags", ["no-writes"], "timeout", 50]]


def test_list_shows_functions_with_their_flags(server):
    server.load(
        function("plain"),
        function("all", flags=["raw-arguments", "allow-oom", "no-writes", "no-writes"]),
        function("some", "async () => {}", ["allow-oom"]),
    )
    assert described(server)["functions"] == ["all", "plain", "some"]
    expected = [
        ["name", "all", "flags", ["no-writes", "allow-oom", "raw-arguments"]],
        ["name", "plain", "flags", []],
        ["name", "some", "flags", ["allow-oom"]],
    ]
    for verbosity in ("v", "vv", "vvv"):
        assert described(server, verbosity)["functions"] == expected
