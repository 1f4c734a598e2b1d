"""Each example is tested and says how to try it; the libraries in README.md and docs/ do what is said there."""

import re
from pathlib import Path

import pytest
from redis import ResponseError

from testing.examples import EXAMPLES, entries, fcall
from testing.launch import REPOSITORY

# --- every one of them


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.js")), ids=lambda path: path.stem)
def test_every_example_is_tested_here_and_says_how_to_try_it(path):
    assert any(f'load(server, "{path.stem}"' in file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    text = path.read_text()
    assert "//   redis-cli -x RG.FUNCTION LOAD" in text
    assert f"< examples/{path.name}\n" in text


# --- what the documentation shows


@pytest.mark.parametrize("page", ["README.md", "docs/functions.md"])
def test_the_first_function_does_what_the_paper_says(server, page):
    [code] = re.findall(r"```js\n(#!js name=shop\n.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)
    assert server.run("RG.FUNCTION", "LOAD", code) == "OK"
    server.run("SET", "tickets", 10)
    assert fcall(server, "shop", "take", 1, "tickets", 8) == 2
    with pytest.raises(ResponseError, match="^Error: only 2 left$"):
        fcall(server, "shop", "take", 1, "tickets", 8)
    assert server.run("GET", "tickets") == "2"


def load_from(server, page, name):
    """Loads a library that stands in a page."""
    [code] = re.findall(rf"```js\n(#!js name={name}\n.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)
    assert server.run("RG.FUNCTION", "LOAD", code) == "OK"


def test_the_first_trigger_does_what_the_readme_says(server):
    load_from(server, "README.md", "history")
    server.run("MSET", "price:lamp", 20, "price:chair", 45)
    server.run("SET", "price:lamp", 18)
    assert server.run("LRANGE", "history:price:lamp", 0, -1) == ["20", "18"]


def test_the_first_trigger_does_what_its_page_says(server):
    load_from(server, "docs/key-space-triggers.md", "audit")
    server.run("SET", "session:anna", "data")
    server.run("DEL", "session:anna")
    found = [entry for _, entry in entries(server, "log")]
    assert found == [{"event": event, "key": "session:anna"} for event in ("set", "del")]


def test_a_trigger_may_look_while_the_event_happens_as_its_page_says(server):
    page = (REPOSITORY / "docs/key-space-triggers.md").read_text()
    [code] = re.findall(r"```js\n(redis\.register_notifications_consumer\(\"history\".*?)```", page, re.DOTALL)
    server.run("RG.FUNCTION", "LOAD", f"#!js name=history\n{code}")
    script = "for i, name in ipairs(ARGV) do redis.call('SET', KEYS[2], name); redis.call('SET', KEYS[1], i) end"
    server.run("EVAL", script, 2, "price:lamp", "current:seller", "anna", "bert")
    assert server.run("LRANGE", "history:price:lamp", 0, -1) == ["anna 1", "bert 2"]
