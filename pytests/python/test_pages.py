"""The pages on Python: what they show does what they say, and the Gears of the page about streaming are there verbatim."""

import json
import re

import pytest
from redis import ResponseError

from testing.gears1 import registration, wait_registration
from testing.launch import REPOSITORY
from testing.recipes import RECIPES

# As they are on the first RedisGears' page about streaming.
DENY = "GearsBuilder().foreach(lambda x: execute('del', x['key'])).register()"
KEEP = "GearsBuilder('StreamReader').foreach(lambda x: execute('set', x['streamId'], str(x))).register('s1')"


def page(name):
    """The text of a page."""
    return (REPOSITORY / "docs" / name).read_text()


def python_of(name, word):
    """The Python in a page that has a word."""
    [code] = [block for block in re.findall(r"```python\n(.*?)```", page(name), re.DOTALL) if word in block]
    return code


@pytest.mark.parametrize("name", ["python.md", "coming-from-redisgears-1.md"])
def test_both_gears_are_there_to_the_letter(name):
    shown = [code for code in re.findall(r'RG.PYEXECUTE "(.*)"', page(name)) if "register" in code]
    assert shown == [DENY, KEEP]


def test_every_recipe_has_its_line():
    named = re.findall(r"^\| \[`(\w+)\.py`\]\(\.\./examples/python/\1\.py\) \| \S", page("python.md"), re.MULTILINE)
    assert named == sorted(path.stem for path in RECIPES.glob("*.py"))


def test_the_script_that_is_longer_does_what_its_page_says(server):
    assert server.run("RG.PYEXECUTE", python_of("python.md", "#!py name=shop")) == "OK"
    entry = server.run("XADD", "order:1", "*", "items", json.dumps({"lamp": 2, "chair": 1}))
    server.wait_message(f"GEARS: 3 sold, 2 of them in {entry}")
    assert server.run("HGETALL", "stock") == {"lamp": "-2", "chair": "-1"}
    assert server.run("LRANGE", "shipped", 0, -1) == [entry]


def test_the_arguments_that_the_page_shows_are_those_that_there_are(server):
    code = python_of("python.md", "eventTypes=")
    head = "def step(x):\n    pass\n\n\ndef begin():\n    log('begins')\n\n\n"
    assert server.run("RG.PYEXECUTE", head + code, "ID", "all") == "OK"
    server.wait_message("GEARS: begins", 2)
    shown = {one["reader"]: one for one in (registration(server, name) for name in ("gears:1", "gears:2"))}
    assert shown["KeysReader"]["mode"] == "sync"
    keys, stream = shown["KeysReader"]["args"], shown["StreamReader"]["args"]
    assert (keys["regex"], keys["eventTypes"], keys["keyTypes"]) == ("person:*", ["hset", "del"], ["hash", "empty"])
    assert (stream["stream"], stream["batchSize"], stream["durationMS"]) == ("order:*", 10, 500)
    assert (stream["onFailedPolicy"], stream["retryInterval"], stream["trimStream"]) == ("retry", 5, 1)


def test_the_gear_that_is_moved_runs_as_it_was(server):
    assert server.run("RG.PYEXECUTE", python_of("coming-from-redisgears-1.md", "def weigh"), "ID", "orders") == "OK"
    server.run("XADD", "order:1", "*", "item", "a", "weight", 5)
    server.run("XADD", "order:1", "*", "item", "sample")
    server.run("XADD", "order:2", "*", "item", "b", "weight", 7)
    # A batch is ten of them, or half a second.
    server.wait(lambda: server.run("GET", "orders") == "2", "they are not processed")
    assert server.run("HGETALL", "weights") == {"a": "5", "b": "7"}
    server.run("XADD", "order:1", "*", "item", "c")
    wait_registration(server, "orders", status="WAITING_FOR_RETRY_ON_FAILURE")
    assert "Exception: no weight" in registration(server, "orders")["lastError"]


REFUSED = {
    "GB('CommandReader').register(trigger='x')": "CommandReader is not there: scripts cannot stand in front of commands",
    "GB().register('x', trigger='x')": "the argument trigger is not there: functions of libraries in JavaScript",
    "GB().register('x', commands=['set'])": "the argument commands is not there: scripts cannot stand in front",
    "GB().register(hook='set')": "the argument hook is not there: scripts cannot stand in front of commands",
    "GB('PythonReader').run()": "PythonReader is not there: it may read without an end",
    "override_reply('x')": "override_reply is not there: scripts cannot stand in front of commands",
    "get_command()": "get_command is not there: scripts cannot stand in front of commands",
    "call_next('x')": "call_next is not there: scripts cannot stand in front of commands",
    "registerTE(1, lambda: 1)": "registerTE is not there: the server has no time events",
    "import threading": "'threading' cannot be used: libraries have no threads",
    "import subprocess": "'subprocess' cannot be used: libraries have no processes",
    "import socket": "'socket' cannot be used: libraries have no sockets",
    "import browser": "'browser' cannot be used: there is no browser",
    "import javascript": "'javascript' cannot be used: libraries see Python alone",
    "open('x')": "open cannot be used: libraries have no files",
    "input()": "input cannot be used: libraries have no terminal",
    "import time; time.sleep(1)": "time.sleep cannot be used: it would hold up the server",
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_is_refused_is_named_with_the_reason(server, code):
    with pytest.raises(ResponseError, match=re.escape(REFUSED[code])):
        server.run("RG.PYEXECUTE", code)
    assert server.libraries() == []
