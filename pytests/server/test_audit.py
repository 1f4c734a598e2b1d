"""The log says who changed what: one line for each command that changed something, and none for others."""

import re

import pytest
from redis.exceptions import ResponseError

from testing.gears1 import id_of
from testing.launch import HOST
from testing.libraries import consumer, function, library
from testing.policies import command
from testing.triggers import trigger

BY = rf"client \d+ at {re.escape(HOST)}:\d+"


@pytest.fixture
def audits(server):
    """What was noted, without the client, from now on; each line is asserted to name one."""
    before = len(server.audits())

    def noted(user="default"):
        lines = server.audits()[before:]
        pattern = re.compile(rf"audit: ([A-Z ]+) by user '{user}' \({BY}\): (.*)")
        found = [pattern.fullmatch(line) for line in lines]
        assert all(found), lines
        return [" ".join(one.groups()) for one in found]

    return noted


def test_a_load_says_what_the_library_has(server, audits):
    code = library(function("f"), function("g"), consumer(), trigger())
    server.run("RG.FUNCTION", "LOAD", "CONFIG", "{}", code)
    size = len(code)
    has = "2 functions, 1 stream consumer, 1 trigger, with a configuration"
    assert audits() == [f"LOAD library 'lib': engine js, {size} bytes, {has}"]


def test_an_upgrade_says_what_is_another_than_before(server, audits):
    server.load(function("f"), consumer("one"))
    server.upgrade(function("f"), consumer("one"))
    server.upgrade(function("g"), consumer("two"), trigger("three"))
    server.run("RG.FUNCTION", "LOAD", "UPGRADE", "CONFIG", "{}", library(function("g")))
    assert audits()[1:] == [
        "UPGRADE library 'lib': the same code",
        "UPGRADE library 'lib': other code, functions +'g' -'f', stream consumers +'two' -'one', triggers +'three'",
        "UPGRADE library 'lib': other code, stream consumers -'two', triggers -'three', with a configuration now",
    ]


def test_an_upgrade_by_somebody_else_says_who_the_owner_is_now(server):
    server.load(function("f"))
    server.run("ACL", "SETUSER", "deployer", "reset", "on", ">pw", "+@all", "~*")
    client = server.connect(username="deployer", password="pw")
    client.execute_command("RG.FUNCTION", "LOAD", "UPGRADE", "OWNER", "deployer", library(function("f")))
    client.close()
    line = server.audits()[-1]
    assert "UPGRADE by user 'deployer' (client " in line
    assert line.endswith("library 'lib': the same code, owner 'deployer' instead of 'default'")


def test_what_is_done_to_consumers_is_noted(server, audits):
    server.load(consumer(callback="() => { throw new Error('no'); }", options={"dead_letter": "dead"}))
    server.add("stream", 1, 2)
    server.wait(lambda: server.run("XLEN", "dead") == 2, "no letters")
    command(server, "PAUSE")
    command(server, "RESUME", "STREAM", "stream")
    command(server, "RESUME")
    command(server, "SEEK", "STREAM", "stream", "latest")
    command(server, "RETRY", "STREAM", "stream")
    command(server, "REDRIVE", "STREAM", "stream")
    command(server, "DROP", "ALL")
    here = "consumer 'lib/consumer', stream 'stream'"
    assert audits()[1:] == [
        "PAUSE consumer 'lib/consumer'",
        f"RESUME {here}",
        "RESUME consumer 'lib/consumer'",
        f"SEEK {here}, to 'latest'",
        f"RETRY {here}",
        f"REDRIVE {here}, 2 letters",
        "DROP consumer 'lib/consumer', 2 letters",
    ]


def test_an_entry_that_is_skipped_is_named(server, audits):
    server.load(consumer(callback="() => { throw new Error('no'); }", options={"on_failure": "abort"}))
    server.run("XADD", "stream", "7-1", "n", 1)
    server.wait(lambda: server.stream("stream")["pending_ids"] == ["7-1"], lambda: server.stream("stream"))
    command(server, "SKIP", "STREAM", "stream", "7-1")
    assert audits()[1:] == ["SKIP consumer 'lib/consumer', stream 'stream', 7-1"]


def test_what_is_done_to_registrations_is_noted(server, audits):
    server.load(consumer(), trigger("three"))
    first = id_of(server, "consumer")
    server.run("RG.PAUSEREGISTRATIONS", first)
    server.run("RG.UNPAUSEREGISTRATIONS", first)
    server.run("RG.UNREGISTER", first)
    server.run("RG.UNREGISTER", id_of(server, "three"))
    assert audits()[1:] == [
        "PAUSE consumer 'lib/consumer'",
        "RESUME consumer 'lib/consumer'",
        "UNREGISTER consumer 'lib/consumer'",
        "UNREGISTER trigger 'lib/three', and with it the library",
    ]


def test_deletions_and_settings_are_noted(server, audits):
    server.load(function("f"))
    server.run("RG.FUNCTION", "DEL", "lib")
    server.run("RG.CONFIG", "SET", "error-verbosity", "2")
    server.run("RG.CONFIG", "SET", "error-verbosity", "1")
    assert audits()[1:] == ["DEL library 'lib'", "CONFIG SET error-verbosity '2'", "CONFIG SET error-verbosity '1'"]


def test_what_changed_nothing_is_not_noted(server, audits):
    for words in (
        ("RG.FUNCTION", "LOAD", "#!js name=lib\nthrow 1"),
        ("RG.FUNCTION", "DEL", "lib"),
        ("RG.CONFIG", "SET", "error-verbosity", "no"),
        ("RG.CONSUMER", "PAUSE", "lib", "consumer"),
        ("RG.UNREGISTER", "nothing"),
    ):
        with pytest.raises(ResponseError):
            server.run(*words)
    server.run("RG.FUNCTION", "LIST")
    server.run("RG.JSEXECUTE", "1")
    assert audits() == []


def test_a_name_forges_neither_a_line_nor_who_did_it(server, audits):
    server.load(consumer())
    name = "stream\n' audit: DEL by user 'root'"
    server.run("XADD", name, "*", "n", 1)
    command(server, "PAUSE", "STREAM", name)
    escaped = r"stream\n\' audit: DEL by user \'root\'"
    assert audits()[1:] == [f"PAUSE consumer 'lib/consumer', stream '{escaped}'"]


def test_a_replica_takes_a_change_over_without_a_line(pair):
    pair.load(function("f"))
    replica = pair.replica
    replica.wait(lambda: replica.libraries() == ["lib"], "the library does not come")
    assert [line for line in replica.audits() if "'lib'" in line] == []
