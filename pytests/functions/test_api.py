"""What scripts can use: redis.config, redis.log, redis.v8_version, and the record's raw views."""

import json
import re

import pytest

from testing.launch import REPOSITORY
from testing.libraries import consumer, function


@pytest.mark.parametrize(
    ("options", "expected"),
    [([], {}), (["CONFIG", "{}"], {}), (["CONFIG", '{"a":{"b":[1,"é",null]}}'], {"a": {"b": [1, "é", None]}})],
)
def test_a_library_sees_its_configuration(server, options, expected):
    server.load("redis.log('config ' + JSON.stringify(redis.config));", consumer(), options=options)
    [text] = server.messages("config ")
    assert json.loads(text) == expected


def test_a_library_can_ask_for_the_version_of_v8(server):
    server.load("redis.log('v8 ' + redis.v8_version());", consumer())
    [version] = server.messages("v8 ")
    assert re.match(r"\d+\.\d+\.\d+", version)


def test_a_long_message_is_logged_whole_on_several_lines(server):
    server.load("redis.log('<' + 'ü'.repeat(5000) + '>');", consumer())
    text = "".join(server.messages())
    assert text.count("ü") == 5000
    assert text.index("<") < text.index("ü") < text.index(">")


@pytest.mark.parametrize("message", ["", "%s%n%d", "a\\0b", "a\\nb", "\\ud800", "\\u{1F600}"])
def test_any_message_can_be_logged(server, message):
    server.load(f"redis.log('before'); redis.log('{message}'); redis.log('after');", consumer())
    messages = server.messages()
    assert {"before", "after"} <= set(messages)
    if message == "%s%n%d":
        assert message in messages


def test_a_message_cannot_pass_for_a_line_of_the_server(server):
    server.load("redis.log('a\\n1:M 01 Jan 2020 00:00:00.000 * Ready to accept connections');", consumer())
    assert "1:M 01 Jan 2020" in server.log_text()
    assert not re.search(r"^1:M 01 Jan 2020", server.log_text(), re.MULTILINE)


def test_the_callback_gets_a_client_and_a_record_of_the_documented_form(server):
    server.load(
        consumer(
            callback="""(client, data) => redis.log('form ' + JSON.stringify([
                typeof client, Object.keys(data), data.id.map(part => typeof part), data.id.length,
                Array.isArray(data.record), Array.isArray(data.record[0]), arguments_of(client, data)]))"""
        ),
        "function arguments_of() { return arguments.length; }",
    )
    server.add("stream", 1)
    [text] = server.messages("form ")
    assert json.loads(text) == ["object", ["id", "stream_name", "record"], ["bigint", "bigint"], 2, True, True, 2]


def test_the_raw_views_are_array_buffers_and_stay_the_same_objects(server):
    server.load(
        consumer(
            callback="""(client, data) => redis.log('raw ' + JSON.stringify([
                data.stream_name_raw instanceof ArrayBuffer, data.stream_name_raw.byteLength,
                data.record_raw.map(pair => pair.map(part => part instanceof ArrayBuffer && part.byteLength)),
                data.record === data.record, data.record_raw === data.record_raw]))"""
        )
    )
    server.run("XADD", "stream", "*", "field", "ü", "", "")
    [text] = server.messages("raw ")
    assert json.loads(text) == [True, 6, [[5, 2], [0, 0]], True, True]


def test_the_raw_views_can_be_read_after_the_callback_awaited(server):
    server.load(
        consumer(
            window=10,
            callback="""async (client, data) => {
                for (let turn = 0; turn < 5; turn++) await null;
                const text = String.fromCharCode(...new Uint8Array(data.record_raw[0][1]));
                redis.log(`late ${data.stream_name} ${text} ${data.record[0][1]}`);
            }""",
        )
    )
    server.add("stream", *range(100))
    server.wait_for([f"stream {n} {n}" for n in range(100)], lambda: server.messages("late "))


def test_a_record_that_a_callback_changes_is_its_own(server):
    server.load(
        consumer(
            "a", callback="(client, data) => { data.record[0][1] = 'changed'; data.stream_name = 'x'; saw(data); }"
        ),
        consumer("b", callback="(client, data) => saw(data, 'B')"),
    )
    server.add("stream", 1)
    assert server.seen() == ["x changed"]
    assert server.seen("B") == ["stream 1"]


def test_libraries_do_not_see_each_others_globals(server):
    server.load("globalThis.secret = 'shared';", consumer(), name="first")
    server.load("redis.log('secret ' + typeof globalThis.secret);", consumer(), name="second")
    assert server.messages("secret ") == ["undefined"]


def declared(interface):
    """The members of an interface in the declarations."""
    text = (REPOSITORY / "js_api/index.d.ts").read_text()
    [body] = re.findall(rf"^    interface {interface} \{{\n(.*?)^    \}}", text, re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^        (?:readonly )?(\w+)[<(:]", body, re.MULTILINE))


MEMBERS = "[...Object.getOwnPropertyNames(%s), ...Object.getOwnPropertyNames(Object.getPrototypeOf(%s))]"


# What the client of a plain function has only to say that it is for async code.
ONLY_ASYNC = {"run_on_key", "run_on_all_shards"}


def test_what_there_is_is_what_the_declarations_say(server):
    server.load(
        "const of_redis = Object.getOwnPropertyNames(redis);",
        function("of redis", "() => of_redis"),
        function("of client", f"client => {MEMBERS.replace('%s', 'client')}"),
        function("of async client", f"async client => {MEMBERS.replace('%s', 'client')}"),
    )
    assert set(server.call("of redis")) == declared("Redis")
    assert set(server.call("of client")) - {"constructor"} == declared("Client") | ONLY_ASYNC
    assert set(server.call("of async client")) - {"constructor"} == declared("AsyncClient")
