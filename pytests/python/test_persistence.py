"""What becomes of Python libraries when a server is killed, or replaced by its replica."""

import pytest
from redis.exceptions import ResponseError

from testing.gears1 import registration, registrations, wait_counts
from testing.policies import each_persistence, kill_and_restart
from testing.python import bring, execute
from testing.replication import fail_over, settle

# What the session keeps is made anew with it.
KEEP = """
prefix = ':'.join(['kept', 'by'])

def keep(x):
    execute('set', f"{prefix}:{x['n']}", str(x))

GearsBuilder('StreamReader').foreach(keep).register('s*', trimStream=False)
GearsBuilder().foreach(lambda x: execute('del', x['key'])).register('gone')
"""


def shown(node):
    """Of each registration what has to stay as it is."""
    fields = ("id", "reader", "desc", "PD", "mode", "args")
    return sorted([[str(one[field]) for field in fields] for one in registrations(node)])


def assert_works(node, number):
    """Both registrations do their work once more."""
    identity = node.run("XADD", "s1", "*", "2", "b", "n", number, "1", "a")
    node.run("SET", "gone", number)
    node.wait(lambda: node.run("EXISTS", f"kept:by:{number}") == 1, lambda: (node.run("KEYS", "*"), shown(node)))
    node.wait(lambda: node.run("EXISTS", "gone") == 0, lambda: shown(node))
    assert node.run("GET", f"kept:by:{number}") == str({"streamId": identity, "2": "b", "n": str(number), "1": "a"})


@each_persistence
@pytest.mark.parametrize("way", ["RG.PYEXECUTE", "RG.FUNCTION LOAD"])
def test_registrations_come_back_and_go_on(restartable, way):
    bring(restartable, way, KEEP)
    before = shown(restartable)
    assert len(before) == 2
    for number in range(2):
        assert_works(restartable, number)
        kill_and_restart(restartable)
        assert shown(restartable) == before
    assert_works(restartable, 2)


def test_a_replica_runs_nothing_until_it_is_promoted(nodes):
    primary, replica = nodes
    bring(primary, "RG.PYEXECUTE", KEEP)
    assert_works(primary, 1)
    settle(primary, replica)
    assert replica.run("GET", "kept:by:1") == primary.run("GET", "kept:by:1")
    assert shown(replica) == shown(primary)
    fail_over(*nodes)
    assert_works(replica, 2)


def test_an_upgrade_takes_the_place_of_all_registrations(server):
    bring(server, "RG.PYEXECUTE", KEEP)
    assert_works(server, 1)
    changed = KEEP.replace("'by'", "'again'").replace("register('gone')", "register('lost')")
    assert execute(server, changed, "ID", "gears", "UPGRADE") == "OK"
    server.run("XADD", "s1", "*", "n", "2")
    server.wait(lambda: server.run("EXISTS", "kept:again:2") == 1, lambda: server.run("KEYS", "*"))
    assert sorted(one["args"].get("stream", one["args"].get("regex")) for one in registrations(server)) == ["lost", "s*"]


def test_an_upgrade_that_fails_changes_nothing(server):
    bring(server, "RG.PYEXECUTE", KEEP)
    before = shown(server)
    for broken in ["GearsBuilder('StreamReader').register('t')\n1 / 0", "GearsBuilder().register('x')\ndef f(:"]:
        with pytest.raises(ResponseError, match="ZeroDivisionError|SyntaxError"):
            execute(server, broken, "ID", "gears", "UPGRADE")
        assert shown(server) == before
    assert_works(server, 1)


def test_a_script_that_fails_registers_nothing(server):
    with pytest.raises(ResponseError, match="ValueError: no"):
        execute(server, "GearsBuilder().register('x')\nraise ValueError('no')")
    assert registrations(server) == []


def test_what_is_registered_twice_is_there_twice(server):
    execute(server, "b = GB('StreamReader').foreach(lambda x: execute('incr', 'n'))\nb.register('s')\nb.register('s')")
    server.run("XADD", "s", "*", "a", "1")
    server.wait(lambda: server.run("GET", "n") == "2", lambda: server.run("GET", "n"))
    wait_counts(server, 1, 1, 0, 0, name="gears:2")
    assert registration(server, "gears:1")["numSuccess"] == 1
