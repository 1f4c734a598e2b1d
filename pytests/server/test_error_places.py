"""Errors are kept with their place, however much of them callers are told."""

import re

import pytest

from testing.gears1 import registration
from testing.libraries import consumer, function
from testing.policies import command, dead_letters, info
from testing.replies import fields
from testing.triggers import shown, trigger

BREAKS = "function breaks() { throw new TypeError('of this kind'); }"
MESSAGE = "TypeError: of this kind"
STACK = r"at breaks \(lib:\d+:\d+\)\|at .*lib:\d+:\d+\)?(\|.*)?"

KINDS = {
    "sync": "() => breaks()",
    "promise": "() => Promise.resolve().then(breaks)",
    "async": "async () => breaks()",
    "behind an await": "async () => { await null; breaks(); }",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_error_of_a_stream_keeps_its_stack(server, kind):
    server.load(BREAKS, consumer(callback=KINDS[kind]))
    server.add("stream", 1)
    server.wait_stream(last_error=MESSAGE)
    assert info(server, "stream")["last_error"] == MESSAGE
    for stack in (
        info(server, "stream")["last_error_stack"],
        info(server)["last_error_stack"],
        server.stream("stream")["last_error_stack"],
    ):
        assert re.match(r"at (async )?.*breaks \(lib:\d+:\d+\)", stack)
        assert "<redisgears>" not in stack
    assert registration(server)["lastError"] == MESSAGE


def test_a_stream_that_never_failed_has_no_stack(server):
    server.load(consumer())
    server.add("stream", 1)
    server.wait_stream(total_record_processed=1)
    assert info(server, "stream")["last_error_stack"] == info(server)["last_error_stack"] == "None"
    assert "last_error_stack" not in server.stream("stream")


def test_what_is_no_error_object_has_no_stack(server):
    server.load(consumer(callback="() => { throw 'no'; }"))
    server.add("stream", 1)
    server.wait_stream(last_error="no")
    assert info(server, "stream")["last_error_stack"] == "None"


def test_a_dead_letter_has_the_stack_in_the_last_line_of_its_error(server):
    server.load(BREAKS, consumer(callback=KINDS["sync"], options={"dead_letter": "dead"}))
    server.add("stream", 1)
    server.wait(lambda: dead_letters(server), "no letter")
    [(_, pairs)] = dead_letters(server)
    assert [name for name, _ in pairs][5:] == ["error", "first_time", "last_time", "n"]
    assert re.fullmatch(rf"{MESSAGE}\n    {STACK}", dict(pairs)["error"])
    [letter] = map(fields, command(server, "LETTERS")[1])
    assert letter["error"] == MESSAGE
    assert f"{MESSAGE}\n    {letter['stack']}" == dict(pairs)["error"]


def test_a_letter_without_a_stack_says_so(server):
    server.load(consumer(callback="() => { throw 'no\\nwhere'; }", options={"dead_letter": "dead"}))
    server.add("stream", 1)
    server.wait(lambda: dead_letters(server), "no letter")
    [letter] = map(fields, command(server, "LETTERS")[1])
    assert (letter["error"], letter["stack"]) == ("no\nwhere", "None")


def test_a_triggers_last_error_keeps_its_stack(server):
    server.load(BREAKS, trigger(callback=KINDS["sync"]), trigger("fine", callback="() => {}"))
    server.run("SET", "key", 1)
    assert shown(server)["last_error"] == MESSAGE
    assert re.match(r"at breaks \(lib:\d+:\d+\)", shown(server)["last_error_stack"])
    assert "last_error_stack" not in shown(server, "fine")
    told = [fields(server.run("RG.TRIGGER", "INFO", "lib", name)) for name in ("trigger", "fine")]
    assert [one["last_error_stack"] for one in told] == [shown(server)["last_error_stack"], "None"]


def test_callers_are_told_as_much_as_the_setting_says(server):
    server.load(BREAKS, function("f", KINDS["sync"]))
    with pytest.raises(Exception, match=f"^{MESSAGE}$"):
        server.call("f")


def test_classes_patterns_and_redrives_know_the_message_alone(server):
    server.load(BREAKS, consumer(callback=KINDS["sync"], options={"dead_letter": "dead"}))
    server.add("stream", 1)
    server.wait(lambda: dead_letters(server), "no letter")
    assert command(server, "LETTERS", "ERROR", MESSAGE)[1]
    assert command(server, "LETTERS", "ERROR", "*lib:*")[1] == []
    command(server, "REDRIVE")
    server.wait(lambda: fields(command(server, "REDRIVES"))["failed"] == 1, "it is not redriven")
    redrives = fields(command(server, "REDRIVES"))
    assert redrives["last_error"] == MESSAGE
    assert fields(redrives["errors"]) == {"TypeError": 1}


def test_a_stack_is_bounded(server):
    deep = "const deep = n => { if (n === 0) throw new Error('deep'); " + "return deep(n - 1) + 0; };"
    server.load(f"Error.stackTraceLimit = 1000; {deep}", consumer(callback="() => deep(500)"))
    server.add("stream", 1)
    server.wait_stream(last_error="Error: deep")
    stack = info(server, "stream")["last_error_stack"]
    assert 900 < len(stack) <= 1024
    assert all(re.fullmatch(r"at .*lib:\d+:\d+\)?", frame) for frame in stack.split("|"))


def test_a_message_with_the_separator_is_no_stack(server):
    server.load(consumer(callback="() => { throw 'no\\x1fat f (lib:1:1)'; }"))
    server.add("stream", 1)
    server.wait(lambda: server.last_error() != "None", "no error")
    assert server.last_error() == "no\ufffdat f (lib:1:1)"
    assert info(server, "stream")["last_error_stack"] == "None"


def test_python_tells_the_place_in_the_text(server):
    code = "#!py name=lib\ndef breaks(x):\n    raise TypeError('of this kind')\n"
    code += "GB('StreamReader').foreach(breaks).register('stream', onFailedPolicy='continue')\n"
    server.run("RG.FUNCTION", "LOAD", code)
    server.add("stream", 1)
    reply = registration(server)
    server.wait(lambda: registration(server)["lastError"], lambda: reply)
    text = registration(server)["lastError"]
    assert "line 3, in breaks" in text
    assert text.endswith("TypeError: of this kind")
