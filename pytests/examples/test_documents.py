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


# --- what the pages on the code name

PAGES = ["CONTRIBUTING.md", "docs/architecture.md"]
PAGES += sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs/internals").glob("*.md"))
WAYS = ["An entry's way", "An RG.FCALL's way", "A library's life"]
ROOTS = {"core:": "crates/gears-core/src", "v8:": "crates/gears-v8/src"}


def sources():
    """The Rust files of the workspace, by their paths in it."""
    found = [path for folder in ("src", "crates") for path in (REPOSITORY / folder).rglob("*.rs")]
    return {path.relative_to(REPOSITORY).as_posix() for path in found}


def files_on(way):
    """The files that the rows of a way name, in order, each with its row; a name without a folder is in that before."""
    page = (REPOSITORY / "docs/architecture.md").read_text()
    [text] = re.findall(rf"^## {re.escape(way)}\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    for row, cell in re.findall(r"^\| (\d+) \| ([^|]*) \|", text, re.MULTILINE):
        root = folder = ROOTS.get(cell.split()[0], "src")
        for name in re.findall(r"`([\w/]+\.rs)`", cell):
            places = [f"{root}/{name}", f"{folder}/{name}", f"{folder.rpartition('/')[0]}/{name}"]
            found = [place for place in places if place in sources()]
            assert found, f"row {row}: {name}"
            folder = found[0].rpartition("/")[0]
            yield row, found[0]


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_exist(page):
    named = set(re.findall(r"`([\w/]+\.rs)`", (REPOSITORY / page).read_text()))
    assert [name for name in sorted(named) if not any(f"/{path}".endswith(f"/{name}") for path in sources())] == []


@pytest.mark.parametrize("way", WAYS)
def test_a_way_through_the_code_does_not_come_back_to_a_file(way):
    files = [file for _, file in files_on(way)]
    assert len(files) > 15
    assert [file for file in files if files.count(file) > 1] == []
