"""The page for who comes from RedisGears 1: it names tests that are there, and its example does what it says."""

import re
from pathlib import Path

import pytest

from testing.gears1 import DENY, KEEP, execute, wait_registration
from testing.launch import REPOSITORY

PAGE = (REPOSITORY / "docs/coming-from-redisgears-1.md").read_text()
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_each_test_that_the_page_names_is_there(file, name):
    assert re.search(rf"^def {name}\(", (Path(__file__).parent / file).read_text(), re.MULTILINE)


def test_each_argument_has_a_row_that_names_a_test():
    section = PAGE.split("## Arguments of register")[1].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) == 8 + 12
    assert all("::test_" in row[3] for row in rows)


def test_the_quick_start_is_that_of_the_page_about_streaming():
    assert [code for code in re.findall(r'RG.JSEXECUTE "(.*)"', PAGE) if "register" in code] == [DENY, KEEP]


def test_the_script_that_was_moved_does_what_it_did(server):
    [code] = [block for block in re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL) if "weigh" in block]
    assert execute(server, code, "ID", "orders") == "OK"

    def add(stream, **values):
        server.client.xadd(stream, values)

    add("order:1", item="a", weight=5)
    add("order:1", item="sample")
    add("order:2", item="b", weight=7)
    server.wait(lambda: server.run("GET", "orders") == "2", "they are not processed")
    assert server.run("HGETALL", "weights") == {"a": "5", "b": "7"}
    add("order:1", item="c")
    wait_registration(server, "orders", status="WAITING_FOR_RETRY_ON_FAILURE", lastError="Error: no weight")
