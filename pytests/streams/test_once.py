"""What the documentation says of callbacks that are safe to repeat: whatever comes again, each entry has its effect once."""

import re

import pytest

from testing.launch import REPOSITORY
from testing.policies import AOF, command, info, wait_info

PAGE = REPOSITORY / "docs/stream-processing.md"
COUNT = 200

# What the code of the page calls. Each entry fails at its first attempt, and as long as it is in the set "bad".
CHECK = """
const tried = new Set();
const check = async (data, client) => {
    const id = data.id.join("-");
    const bad = client.block((locked) => locked.call("SISMEMBER", "bad", id));
    if (bad === 1n) throw new Error("bad");
    if (FIRST_FAILS && !tried.has(id)) {
        tried.add(id);
        throw new Error("not yet");
    }
};
"""


def load(node, options, first_fails=False):
    """The library of the page, with these options."""
    [code] = re.findall(r"```js\n(function once\(.*?)```", PAGE.read_text(), re.DOTALL)
    for before, after in [
        ('}, { on_failure: "retry" });', f"}}, {options});"),
        ("await check(data);", "await check(data, client);"),
    ]:
        assert before in code
        code = code.replace(before, after)
    check = CHECK.replace("FIRST_FAILS", "true" if first_fails else "false")
    assert node.run("RG.FUNCTION", "LOAD", f"#!js name=lib\n{check}\n{code}") == "OK"


def add(node, first=1, count=COUNT):
    """Adds entries whose IDs and values are these numbers."""
    pipe = node.client.pipeline(transaction=False)
    for number in range(first, first + count):
        pipe.execute_command("XADD", "order:1", f"{number}-1", "n", number)
    pipe.execute()


def copied(node):
    """What was copied, in the order of the copies."""
    return [int(copy["n"]) for _, copy in node.run("XRANGE", "checked", "-", "+")]


def wait_copied(node, expected):
    """Waits until all is processed; then each of them must have been copied once, and nothing else."""
    wait_info(node, "order:1", name="copy", state="running", pending=[], lag_entries=0)
    assert sorted(copied(node)) == list(expected)


def test_entries_that_come_through_late_in_a_window_are_all_there_once(server):
    load(server, '{ on_failure: "retry", retry_interval: 0 }', first_fails=True)
    add(server)
    wait_copied(server, range(1, COUNT + 1))


def test_an_entry_that_is_handed_over_once_more_lands_behind_later_ones(server):
    load(server, '{ dead_letter: "dead" }')
    server.run("SADD", "bad", "1-1", "5-1")
    add(server)
    server.wait(lambda: server.run("XLEN", "dead") == 2, "dead letters are missing")
    wait_copied(server, sorted(set(range(1, COUNT + 1)) - {1, 5}))
    server.run("DEL", "bad")
    assert command(server, "REDRIVE", "STREAM", "order:1", name="copy") == 2
    server.wait(lambda: server.run("XLEN", "dead") == 0, "the dead letters stay")
    wait_copied(server, range(1, COUNT + 1))
    assert sorted(copied(server)[-2:]) == [1, 5]


def test_who_seeks_back_gets_nothing_twice(server):
    load(server, '{ on_failure: "retry", retry_interval: 0 }')
    add(server)
    wait_copied(server, range(1, COUNT + 1))
    command(server, "SEEK", "STREAM", "order:1", "50-1", name="copy")
    add(server, first=COUNT + 1)
    wait_copied(server, range(1, 2 * COUNT + 1))
    assert info(server, "order:1", name="copy")["processed"] == 2 * COUNT + COUNT - 49


def test_a_copy_that_is_refused_is_not_noted_as_done(server):
    load(server, '{ on_failure: "retry", retry_interval: 0 }')
    server.run("SET", "checked", "no stream")
    add(server, count=5)
    server.wait(lambda: "WRONGTYPE" in info(server, "order:1", name="copy")["last_error"], "it is not refused")
    assert server.run("KEYS", "done:*") == []
    server.run("DEL", "checked")
    wait_copied(server, range(1, 6))


@pytest.mark.parametrize("first_fails", [False, True])
def test_kills_in_between_leave_nothing_out_and_double_nothing(start_server, first_fails):
    server = start_server(*AOF)
    load(server, '{ on_failure: "retry", retry_interval: 0 }', first_fails)
    for round_ in range(3):
        before = round_ * COUNT
        add(server, first=before + 1)
        server.wait(lambda before=before: server.run("XLEN", "checked") > before + 20, lambda: copied(server))
        server.restart()
    wait_copied(server, range(1, 3 * COUNT + 1))
