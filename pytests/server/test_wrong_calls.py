"""Wrong calls of the commands and of the JavaScript API: a clear error each, and nothing changed."""

import pytest
from redis import ResponseError

from testing.libraries import PRELUDE, consumer, library

DEEP = 100_000
GOOD = library(consumer())

LOAD = ["RG.FUNCTION", "LOAD"]
DEL = ["RG.FUNCTION", "DEL"]
LIST = ["RG.FUNCTION", "LIST"]

COMMANDS = {
    "CLUSTER INFO with a word more": (["RG.CLUSTER", "INFO", "x"], "wrong number of arguments"),
    "CLUSTER without a subcommand": (["RG.CLUSTER"], "wrong number of arguments"),
    "INFOCLUSTER with a word": (["RG.INFOCLUSTER", "x"], "wrong number of arguments"),
    "no subcommand": (["RG.FUNCTION"], "wrong number of arguments"),
    "unknown subcommand": (["RG.FUNCTION", "NOSUCH"], "(?i)unknown subcommand"),
    "binary subcommand": (["RG.FUNCTION", b"\xff\x00"], "(?i)unknown subcommand|UTF-8"),
    "LOAD without code": (LOAD, "Could not find library payload|wrong number of arguments"),
    "LOAD UPGRADE without code": ([*LOAD, "UPGRADE"], "Could not find library payload"),
    "LOAD CONFIG without value": ([*LOAD, "CONFIG"], "configuration value was not given"),
    "LOAD CONFIG without code": ([*LOAD, "CONFIG", "{}"], "Could not find library payload"),
    "LOAD OWNER without a user": ([*LOAD, "OWNER"], "OWNER needs a user"),
    "LOAD OWNER without code": ([*LOAD, "OWNER", "default"], "Could not find library payload"),
    "LOAD with a binary owner": ([*LOAD, "OWNER", b"\xff", GOOD], "OWNER is not a valid string"),
    "LOAD of an unknown owner": ([*LOAD, "OWNER", "nosuch", GOOD], "OWNER: user 'nosuch' does not exist"),
    "LOAD CHECK without code": ([*LOAD, "CHECK", "REPORT"], "Could not find library payload"),
    "LOAD with a binary configuration": (
        [*LOAD, "CONFIG", b"{\xff}", GOOD],
        "given configuration value is not a valid string",
    ),
    "LOAD with broken JSON": ([*LOAD, "CONFIG", "{a}", GOOD], "configuration must be a valid json, '{a}', .+"),
    "LOAD with empty JSON": ([*LOAD, "CONFIG", "", GOOD], "configuration must be a valid json"),
    "LOAD with a list as configuration": ([*LOAD, "CONFIG", "[]", GOOD], "configuration must be a valid json object"),
    "LOAD with null as configuration": ([*LOAD, "CONFIG", "null", GOOD], "configuration must be a valid json object"),
    "LOAD with text as configuration": ([*LOAD, "CONFIG", '"a"', GOOD], "configuration must be a valid json object"),
    "LOAD with deep JSON": (
        [*LOAD, "CONFIG", '{"a":' + "[" * DEEP + "]" * DEEP + "}", GOOD],
        "configuration must be a valid json",
    ),
    "LOAD of binary code": ([*LOAD, b"#!js name=x\n\xff"], "lib code must"),
    "LOAD of nothing": ([*LOAD, ""], "could not find #! syntax"),
    "LOAD without prologue": ([*LOAD, "redis.log('x')"], "could not find #! syntax"),
    "LOAD without name": ([*LOAD, "#!js\n"], "(?i)find 'name' property"),
    "LOAD of a long name": (
        [*LOAD, f"#!js name={'n' * 1001}\n"],
        "library name is too long: 1001 bytes given, at most 1000 are allowed",
    ),
    "LOAD of a property without value": ([*LOAD, "#!js name\n"], "could not extract property value"),
    "LOAD of an unknown property": ([*LOAD, "#!js foo=x\n"], "unknown property 'foo'"),
    "LOAD for an unknown engine": ([*LOAD, "#!lua name=x\n"], "Unknown backend lua"),
    "LOAD of a syntax error": ([*LOAD, "#!js name=x\nfunction ("], "Failed library compilation.*SyntaxError"),
    "LOAD of a syntax error by UPGRADE": (
        [*LOAD, "UPGRADE", "#!js name=standing\nfunction ("],
        "Failed library compilation.*SyntaxError",
    ),
    "LOAD of an ES module": ([*LOAD, "#!js name=x\nexport const a = 1;"], "Failed library compilation.*SyntaxError"),
    "LOAD of an existing name": ([*LOAD, library(consumer(), name="standing")], "Library standing already exists"),
    "LOAD without registration": (
        [*LOAD, "#!js name=x\n1 + 1"],
        "No function nor registrations? (was|were) registered",
    ),
    "LOAD of an exception": ([*LOAD, "#!js name=x\nthrow new Error('by me')"], "Failed loading library.*by me"),
    "LOAD of a reference error": ([*LOAD, "#!js name=x\nnosuch()"], "Failed loading library.*nosuch is not defined"),
    "LOAD of a rejected promise": (
        [*LOAD, "#!js name=x\nPromise.reject(new Error('by me'))"],
        "Failed loading library.*by me",
    ),
    "DEL without name": (DEL, "function name was not given|wrong number of arguments"),
    "DEL of an unknown library": ([*DEL, "nosuch"], "library does not exist"),
    "DEL of a binary name": ([*DEL, b"\xff"], "library does not exist|not a (valid )?string|UTF-8"),
    "DEL with an unknown word": ([*DEL, "standing", "NOSUCH"], "syntax error"),
    "DEL with two words": ([*DEL, "standing", "FORCE", "KEEPPROGRESS"], "wrong number of arguments"),
    "DEL FORCE of an unknown library": ([*DEL, "nosuch", "FORCE"], "library does not exist"),
    "DEL KEEPPROGRESS of an unknown library": ([*DEL, "nosuch", "KEEPPROGRESS"], "library does not exist"),
    "CONSUMER KEPT of two libraries": (["RG.CONSUMER", "KEPT", "a", "b"], "wrong number of arguments"),
    "LIST with an unknown option": ([*LIST, "NOSUCH"], "Unknown option 'nosuch'"),
    "LIST with too many v": ([*LIST, "vvvv"], "Unknown option 'vvvv'"),
    "LIST LIBRARY without name": ([*LIST, "LIBRARY"], "Library name was not given"),
    "LIST LIBRARY with a binary name": ([*LIST, "LIBRARY", b"\xff"], "Library name is not a string"),
    "LIST with a binary option": ([*LIST, b"\xff"], "Binary option is not allowed"),
}

REGISTER = "redis.register_stream_consumer"
FIRST = "First argument to 'register_stream_consumer' must be a string"
SECOND = "(?i)second argument to 'register_stream_consumer' must be a string or ArrayBuffer representing the prefix"
THIRD = "Third argument to 'register_stream_consumer' must be"
FOURTH = "Fourth argument to 'register_stream_consumer' must be a boolean"
FIFTH = "Fifth argument to 'register_stream_consumer' must be a function"
COUNT = "Wrong number of arguments to 'register_stream_consumer' function"
LOG = "First argument to 'log' must be a string"

STATEMENTS = {
    f"{REGISTER}()": COUNT,
    f"{REGISTER}('c', 's', 1, false)": COUNT,
    f"{REGISTER}('c', 's', 1, false, () => {{}}, {{}}, 1)": COUNT,
    f"{REGISTER}(1, 's', 1, false, () => {{}})": FIRST,
    f"{REGISTER}(null, 's', 1, false, () => {{}})": FIRST,
    f"{REGISTER}(Symbol('c'), 's', 1, false, () => {{}})": FIRST,
    f"{REGISTER}({{ toString() {{ throw 1; }} }}, 's', 1, false, () => {{}})": FIRST,
    f"{REGISTER}('c', 1, 1, false, () => {{}})": SECOND,
    f"{REGISTER}('c', undefined, 1, false, () => {{}})": SECOND,
    f"{REGISTER}('c', /s/, 1, false, () => {{}})": SECOND,
    f"{REGISTER}('c', ['s'], 1, false, () => {{}})": SECOND,
    f"{REGISTER}('c', 's', '1', false, () => {{}})": THIRD,
    f"{REGISTER}('c', 's', 0, false, () => {{}})": THIRD,
    f"{REGISTER}('c', 's', -1, false, () => {{}})": THIRD,
    f"{REGISTER}('c', 's', 1.5, false, () => {{}})": THIRD,
    f"{REGISTER}('c', 's', NaN, false, () => {{}})": THIRD,
    f"{REGISTER}('c', 's', Infinity, false, () => {{}})": THIRD,
    f"{REGISTER}('c', 's', 1e300, false, () => {{}})": THIRD,
    f"{REGISTER}('c', 's', null, false, () => {{}})": THIRD,
    f"{REGISTER}('c', 's', 1, 0, () => {{}})": FOURTH,
    f"{REGISTER}('c', 's', 1, 'false', () => {{}})": FOURTH,
    f"{REGISTER}('c', 's', 1, undefined, () => {{}})": FOURTH,
    f"{REGISTER}('c', 's', 1, false, 'callback')": FIFTH,
    f"{REGISTER}('c', 's', 1, false, null)": FIFTH,
    f"{REGISTER}('c', 's', 1, false, {{}})": FIFTH,
    f"{REGISTER}('c', 's', 1, false, Promise.resolve())": FIFTH,
    f"for (const p of ['a', 'b']) {REGISTER}('c', p, 1, false, () => {{}})": "Stream registration already exists",
    "redis.log()": "Wrong number of arguments to 'log' function",
    "redis.log('a', 'b')": "Second argument to 'log' must be 'debug', 'verbose', 'notice' or 'warning'",
    "redis.log('a', 'notice', 'c')": "Wrong number of arguments to 'log' function",
    "redis.log(1)": LOG,
    "redis.log(null)": LOG,
    "redis.log({ toString() { return 'a'; } })": LOG,
    "redis.nosuch()": "not a function",
}


@pytest.fixture
def standing(server):
    """A server with a library, which must be there and work after the wrong call."""
    server.load(consumer(), name="standing")
    server.add("stream", "before")
    before = server.run("RG.FUNCTION", "LIST", "vvv", "WITHCODE")
    yield server
    assert server.client.ping()
    assert server.run("RG.FUNCTION", "LIST", "vvv", "WITHCODE") == before
    server.add("stream", "after")
    assert server.seen()[-1] == "stream after"


@pytest.mark.parametrize("what", COMMANDS)
def test_a_wrong_command_is_refused(standing, what):
    command, error = COMMANDS[what]
    with pytest.raises(ResponseError, match=error):
        standing.run(*command)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_wrong_call_in_a_library_is_refused(standing, statement):
    with pytest.raises(ResponseError, match=STATEMENTS[statement]):
        standing.load(consumer("good", "elsewhere"), statement + ";")


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_wrong_call_in_a_library_can_be_caught(server, statement):
    server.load(
        consumer("good"),
        f"try {{ {statement}; redis.log('caught nothing'); }} catch (error) {{ redis.log('caught ' + error); }}",
    )
    [text] = server.messages("caught ")
    assert text != "nothing"
    server.add("stream", 1)
    assert server.seen() == ["stream 1"]


@pytest.mark.parametrize("start", ["(client, data)", "async (client, data)"])
def test_registering_outside_of_the_load_is_refused(server, start):
    server.load(consumer(callback=f"{start} => {{ {consumer('late', 'x')} }}"))
    server.add("stream", 1)
    server.wait(lambda: server.stream("stream").get("total_record_processed"), lambda: server.stream("stream"))
    assert "out of context" in server.stream("stream")["last_error"]
    [reply] = server.run("RG.FUNCTION", "LIST")
    assert reply[reply.index("stream_consumers") + 1] == ["consumer"]


def test_a_command_that_is_sent_in_a_script_is_refused(standing):
    with pytest.raises(ResponseError, match="(?i)not allowed from script"):
        standing.run("EVAL", "return redis.call('RG.FUNCTION', 'LIST')", 0)


def test_a_user_without_the_right_cannot_load(standing):
    standing.run("ACL", "SETUSER", "bob", "on", ">secret", "~*", "+ping", "+xadd")
    bob = standing.connect(username="bob", password="secret")
    with pytest.raises(ResponseError, match="(?i)no permissions|NOPERM"):
        bob.execute_command("RG.FUNCTION", "LOAD", GOOD)
    standing.run("ACL", "DELUSER", "bob")


def test_line_numbers_in_errors_are_those_of_the_source(server):
    code = f"#!js name=lib\n{PRELUDE}\nfunction (\n"
    line = code[: code.index("function (")].count("\n") + 1
    with pytest.raises(ResponseError) as caught:
        server.run("RG.FUNCTION", "LOAD", code)
    assert str(line) in str(caught.value) + server.log_text()
