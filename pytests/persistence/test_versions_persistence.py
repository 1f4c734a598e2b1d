"""The versions of a library are kept over a kill, by dump and append-only file, and reach replicas."""

import time

import pytest
from redis import ReadOnlyError

from testing.libraries import function, library
from testing.policies import PERSISTENCE, each_persistence, kill_and_restart
from testing.replication import fail_over, settle
from testing.waits import eventually


def text(number):
    return library(function("f", f"() => {number}"))


def deploy(server, *numbers):
    for number in numbers:
        server.run("RG.FUNCTION", "LOAD", "UPGRADE", text(number))


def versions(server):
    return server.run("RG.FUNCTION", "VERSIONS", "lib")


@each_persistence
def test_versions_are_kept_over_a_kill_and_can_be_gone_back_to(restartable):
    deploy(restartable, 1, 2, 3)
    restartable.run("RG.FUNCTION", "ROLLBACK", "lib", 1)
    before = versions(restartable)
    assert len(before) == 4
    kill_and_restart(restartable)
    assert versions(restartable) == before
    restartable.run("RG.FUNCTION", "ROLLBACK", "lib")
    assert restartable.call("f") == 3
    kill_and_restart(restartable)
    assert (restartable.call("f"), len(versions(restartable))) == (3, 5)


def test_versions_are_in_a_file_that_was_rewritten(start_server):
    server = start_server(*PERSISTENCE["append-only file"], "--aof-use-rdb-preamble", "no")
    deploy(server, 1, 2)
    before = versions(server)
    server.rewrite()
    server.restart()
    assert versions(server) == before


def test_replicas_have_the_same_versions_and_refuse_to_go_back(nodes):
    primary, replica = nodes
    deploy(primary, 1, 2, 3)
    primary.run("RG.FUNCTION", "ROLLBACK", "lib")
    settle(primary, replica)
    assert versions(replica) == versions(primary)
    with pytest.raises(ReadOnlyError):
        replica.run("RG.FUNCTION", "ROLLBACK", "lib")
    fail_over(primary, replica)
    replica.run("RG.FUNCTION", "ROLLBACK", "lib", 1)
    assert (replica.call("f"), len(versions(replica))) == (1, 5)


def test_a_replica_that_joins_later_has_them_too(start_server):
    primary, replica = start_server(), start_server()
    deploy(primary, 1, 2)
    replica.follow(primary)
    settle(primary, replica)
    assert versions(replica) == versions(primary)


def test_a_library_in_quarantine_can_go_back(start_server):
    server = start_server()
    deploy(server, 1)
    end = time.time() + 1
    late = f"if (Date.now() > {end * 1000}) throw new Error('not any more');"
    server.run("RG.FUNCTION", "LOAD", "UPGRADE", library(function("f", "() => 2"), late))
    eventually(lambda: time.time() > end)
    server.run("SAVE")
    server.restart()
    [reply] = server.run("RG.FUNCTION", "LIST", "v")
    assert "quarantine" in reply
    server.run("RG.FUNCTION", "ROLLBACK", "lib")
    assert server.call("f") == 1
