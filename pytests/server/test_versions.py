"""RG.FUNCTION VERSIONS and ROLLBACK: the last texts of a library are kept, and one can be gone back to."""

import hashlib
import time

import pytest
from redis import ResponseError

from testing.libraries import consumer, function, library
from testing.replies import fields
from testing.users import PASSWORD, text_of


def text(number, *more):
    return library(function("f", f"() => {number}"), *more)


def deploy(server, *numbers):
    for number in numbers:
        server.run("RG.FUNCTION", "LOAD", "UPGRADE", text(number))


def versions(server):
    return [fields(one) for one in server.run("RG.FUNCTION", "VERSIONS", "lib")]


def numbers(server):
    return [one["version"] for one in versions(server)]


def rollback(server, *version):
    return fields(server.run("RG.FUNCTION", "ROLLBACK", "lib", *version))


def error_of(run, *words):
    with pytest.raises(ResponseError) as caught:
        run("RG.FUNCTION", *words)
    return str(caught.value)


@pytest.fixture
def keep(server):
    """Sets how many are kept."""
    yield lambda count: server.run("RG.CONFIG", "SET", "library-versions", count)
    server.run("RG.CONFIG", "SET", "library-versions", 5)


def test_each_text_is_a_version_that_says_what_it_is_and_who_loaded_it(server):
    before = int(time.time() * 1000)
    deploy(server, 1, 2)
    new, old = versions(server)
    assert before - 1000 <= old.pop("loaded_at") <= new.pop("loaded_at") <= time.time() * 1000 + 1000
    common = {"user": "default", "loaded_by": "default"}
    for found, number in ((new, 2), (old, 1)):
        code = text(number)
        digest = hashlib.sha256(code.encode()).hexdigest()
        current = int(number == 2)
        assert found == {"version": number, "digest": digest, "bytes": len(code), "current": current, **common}
    [shown] = server.run("RG.FUNCTION", "LIST", "v")
    assert (fields(shown)["version"], fields(shown)["digest"]) == (2, new["digest"])


def test_the_same_text_stays_the_version_it_is(server):
    deploy(server, 1, 2, 2)
    server.run("RG.FUNCTION", "LOAD", "UPGRADE", "CONFIG", "{}", text(2))
    server.run("RG.FUNCTION", "LOAD", "UPGRADE", "CHECK", text(3))
    assert numbers(server) == [2, 1]


def test_a_load_that_fails_is_no_version(server):
    deploy(server, 1)
    with pytest.raises(ResponseError):
        server.run("RG.FUNCTION", "LOAD", "UPGRADE", library("throw new Error('no');"))
    assert numbers(server) == [1]


def test_only_the_last_are_kept(server, keep):
    deploy(server, *range(1, 8))
    assert numbers(server) == [7, 6, 5, 4, 3]
    keep(2)
    deploy(server, 8)
    assert numbers(server) == [8, 7]
    keep(1)
    deploy(server, 9)
    assert numbers(server) == [9]
    server.run("RG.FUNCTION", "DEL", "lib")
    deploy(server, 1)
    assert numbers(server) == [1]


def test_earlier_texts_are_bounded_in_bytes(server):
    for number in range(1, 5):
        server.run("RG.FUNCTION", "LOAD", "UPGRADE", text(number, "//" + "x" * (3 << 19)))
    assert numbers(server) == [4, 3, 2]


def test_a_rollback_is_an_upgrade_to_the_text_before_or_of_a_number(server):
    deploy(server, 1, 2, 3)
    found = rollback(server)
    assert (found["action"], found["version"], server.call("f")) == ("upgrade", 4, 2)
    assert numbers(server) == [4, 3, 2, 1]
    assert found["digest"] == versions(server)[2]["digest"]
    # Once more undoes it.
    rollback(server)
    assert server.call("f") == 3
    rollback(server, 1)
    assert server.call("f") == 1
    assert server.audits()[-1].endswith("library 'lib' to version 1: other code")
    assert "audit: ROLLBACK by user 'default'" in server.audits()[-1]


def test_a_rollback_keeps_configuration_and_progress(server):
    code = library(function("f", "() => JSON.stringify(redis.config)"), consumer())
    server.run("RG.FUNCTION", "LOAD", "CONFIG", '{"a":1}', code)
    server.add("stream", 1)
    server.run("RG.FUNCTION", "LOAD", "UPGRADE", "CONFIG", '{"a":2}', code + "\n//")
    found = rollback(server)
    assert (found["configuration"], server.call("f")) == ("kept", '{"a":2}')
    server.add("stream", 2)
    server.wait_seen("stream 1", "stream 2")


def test_a_rollback_that_fails_changes_nothing(server):
    once = "if (redis.config.no) throw new Error('no');"
    server.run("RG.FUNCTION", "LOAD", text(1, once))
    server.run("RG.FUNCTION", "LOAD", "UPGRADE", "CONFIG", '{"no":1}', text(2))
    assert "Error: no" in error_of(server.run, "ROLLBACK", "lib")
    assert (server.call("f"), numbers(server)) == (2, [2, 1])


def test_what_is_wrong_is_named(server):
    assert error_of(server.run, "VERSIONS", "lib") == "no such library 'lib'"
    assert error_of(server.run, "ROLLBACK", "lib") == "no such library 'lib'"
    deploy(server, 1)
    assert error_of(server.run, "ROLLBACK", "lib") == "no earlier version of library 'lib' is kept"
    assert error_of(server.run, "ROLLBACK", "lib", 1) == "library 'lib' is at version 1"
    assert error_of(server.run, "ROLLBACK", "lib", 2) == "version 2 of library 'lib' is not kept"
    for no_number in ("x", "-1", ""):
        assert error_of(server.run, "ROLLBACK", "lib", no_number) == "the version is no number"
    for subcommand, words in (("VERSIONS", []), ("VERSIONS", ["a", "b"]), ("ROLLBACK", []), ("ROLLBACK", ["a", "1", "2"])):
        assert "wrong number of arguments" in error_of(server.run, subcommand, *words)


def test_who_may_not_become_the_owner_may_not_roll_back(server):
    deploy(server, 1, 2)
    server.run("ACL", "SETUSER", "bert", "reset", "on", f">{PASSWORD}", "+rg.function")
    client = server.connect(username="bert", password=PASSWORD, single_connection_client=True)
    with pytest.raises(ResponseError) as caught:
        client.execute_command("RG.FUNCTION", "ROLLBACK", "lib")
    assert text_of(caught.value).startswith("NOPERM the owner of library 'lib' is 'default'")
    client.close()
    server.run("ACL", "DELUSER", "bert")
    assert (server.call("f"), numbers(server)) == (2, [2, 1])
