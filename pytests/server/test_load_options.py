"""RG.FUNCTION LOAD: CHECK and REPORT, and whom OWNER may name."""

import hashlib

import pytest
from redis import ResponseError

from testing.libraries import consumer, function, library
from testing.replies import fields
from testing.triggers import trigger
from testing.users import PASSWORD, text_of

LOAD = ("RG.FUNCTION", "LOAD")


def report(node, *arguments):
    """What CHECK or REPORT replies."""
    found = fields(node.execute_command(*LOAD, *arguments))
    for kind in ("functions", "remote_functions", "stream_consumers", "triggers"):
        found[kind] = {key: names for key, names in fields(found[kind]).items() if names}
    return found


def shown(server, name="lib"):
    """What LIST shows of the library."""
    [reply] = server.run("RG.FUNCTION", "LIST", "WITHCODE", "LIBRARY", name)
    return fields(reply)


@pytest.fixture
def users(server):
    """Two users who may load libraries, and one who administers the server."""
    rules = {"anna": ("+rg.function", "+xread", "~*"), "bert": ("+rg.function",), "boss": ("+@all", "~*")}
    clients = {}
    for name, more in rules.items():
        server.run("ACL", "SETUSER", name, "reset", "on", f">{PASSWORD}", *more)
        clients[name] = server.connect(username=name, password=PASSWORD, single_connection_client=True)
    yield clients
    for client in clients.values():
        client.close()
    server.run("ACL", "DELUSER", *rules)


def load(client, *options, code=None):
    return client.execute_command(*LOAD, *options, code or library(function()))


def refused(client, *options):
    with pytest.raises(ResponseError) as caught:
        load(client, *options)
    return text_of(caught.value)


# --- CHECK and REPORT -------------------------------------------------------------------------------------------


def test_a_check_says_what_a_load_would_do_and_does_nothing(server):
    code = library(function("f"), consumer(), trigger("t"), "redis.log('top level');")
    found = report(server.client, "CHECK", "CONFIG", "{}", code)
    assert found.pop("digest") == hashlib.sha256(code.encode()).hexdigest()
    assert found == {
        "library": "lib",
        "engine": "js",
        "action": "load",
        "version": 1,
        "loaded_at": None,
        "owner": "default",
        "owner_before": None,
        "configuration": "set",
        "functions": {"added": ["f"]},
        "remote_functions": {},
        "stream_consumers": {"added": ["consumer"]},
        "triggers": {"added": ["t"]},
        "loses_progress": [],
        "warnings": [],
    }
    assert server.messages("top level") == []
    assert server.libraries() == []
    assert server.audits() == []


def test_a_check_of_an_upgrade_says_what_comes_goes_changes_and_loses_progress(server):
    server.load(function("f"), consumer("stays"), consumer("asks"), consumer("goes"), consumer("idle", prefix="no"), trigger("t"))
    server.add("stream", 1)
    server.wait(lambda: server.stream("stream", "goes").get("total_record_processed") == 1)
    before = shown(server)
    new = library(function("g"), consumer("stays"), consumer("asks", window=2), consumer("comes"), trigger("t"))
    found = report(server.client, "CHECK", "UPGRADE", new)
    assert found["action"] == "upgrade"
    assert found["functions"] == {"added": ["g"], "removed": ["f"]}
    expected = {"added": ["comes"], "removed": ["goes", "idle"], "changed": ["asks"], "kept": ["stays"]}
    assert found["stream_consumers"] == expected
    assert found["triggers"] == {"kept": ["t"]}
    assert found["loses_progress"] == ["goes"]
    assert shown(server) == before
    server.add("stream", 2)
    server.wait(lambda: server.stream("stream", "goes").get("total_record_processed") == 2)
    done = report(server.client, "REPORT", "UPGRADE", new)
    assert done.pop("loaded_at") > 0 and found.pop("loaded_at") is None
    assert done == found and found["version"] == 2
    assert shown(server)["stream_consumers"] == ["asks", "comes", "stays"]


def test_remote_functions_are_reported_beside_the_others(server):
    def remote(name, flags="[]"):
        return f"redis.register_remote_function('{name}', async () => 1, {{ flags: {flags} }});"

    server.load(function(), remote("stays"), remote("asks"), remote("goes"))
    new = library(function(), remote("stays"), remote("asks", "['no-writes']"), remote("comes"))
    expected = {"added": ["comes"], "removed": ["goes"], "changed": ["asks"], "kept": ["stays"]}
    for option in ("CHECK", "REPORT"):
        found = report(server.client, option, "UPGRADE", new)
        assert (found["action"], found["remote_functions"]) == ("upgrade", expected)
    found = report(server.client, "CHECK", "UPGRADE", new)
    assert (found["action"], found["remote_functions"]) == ("none", {"kept": ["asks", "comes", "stays"]})


def test_an_upgrade_to_the_same_is_reported_as_none(server):
    code = library(function(), consumer())
    assert report(server.client, "REPORT", code)["action"] == "load"
    assert report(server.client, "UPGRADE", "CHECK", code)["action"] == "none"
    assert report(server.client, "UPGRADE", "CHECK", "CONFIG", "{}", code)["action"] == "upgrade"


def test_a_check_fails_with_the_error_of_the_load(server):
    server.load(function())
    for options, code, error in [
        (["CHECK"], library(function()), "Library lib already exists"),
        (["CHECK", "UPGRADE"], library("throw new Error('no');"), "Failed evaluating module: Error: no"),
        (["CHECK"], "#!js name=new", "No function nor registrations was registered"),
    ]:
        with pytest.raises(ResponseError, match=error):
            load(server.client, *options, code=code)
    assert server.libraries() == ["lib"]


BROKEN = """#!js name=new
redis.log('prices are read');
function prices() {
    return undefined.list;
}
prices();
"""


@pytest.mark.parametrize("option", ["CHECK", "REPORT"])
def test_an_error_of_the_top_level_is_told_with_its_place_to_who_asks_for_a_report(server, option):
    with pytest.raises(ResponseError, match=r"Failed evaluating module: TypeError: .* at prices \(new:4:22\)$"):
        load(server.client, option, code=BROKEN)
    server.wait(lambda: server.times_logged("prices are read") == 1, server.log_text)


def test_the_place_of_an_error_of_the_top_level_is_in_the_log_for_who_just_loads(server):
    with pytest.raises(ResponseError, match=r"Failed evaluating module: TypeError: [^:]*$"):
        load(server.client, code=BROKEN)
    server.wait(lambda: server.times_logged("library 'new' was not loaded: TypeError") == 1, server.log_text)
    assert server.times_logged("at prices (new:4:22)") == 1


def test_what_the_top_level_logs_is_written_once_by_a_check_and_the_load_behind_it(server):
    code = library("redis.log('read the prices of today');", function())
    report(server.client, "CHECK", code)
    assert server.times_logged("read the prices of today") == 0
    report(server.client, "REPORT", code)
    server.wait(lambda: server.times_logged("read the prices of today") == 1, server.log_text)


# --- configuration and owner ------------------------------------------------------------------------------------


def test_an_upgrade_keeps_the_configuration_until_another_is_given(server):
    echo = library(function("f", "() => JSON.stringify(redis.config)"))
    load(server.client, "CONFIG", '{"a":1}', code=echo)
    found = []
    for options in ([], ["CONFIG", '{"b":2}'], ["CONFIG", "{}"]):
        found.append(report(server.client, "UPGRADE", "REPORT", *options, echo)["configuration"])
        found.append(server.call("f"))
    assert found == ["kept", '{"a":1}', "changed", '{"b":2}', "changed", "{}"]


def test_an_administrator_names_any_owner_and_an_upgrade_keeps_it(server, users):
    load(users["boss"], "OWNER", "anna")
    assert shown(server)["user"] == "anna"
    load(users["anna"], "UPGRADE")
    found = report(users["boss"], "UPGRADE", "REPORT", library(function()))
    assert (found["owner"], found["owner_before"]) == ("anna", "anna")
    load(users["boss"], "UPGRADE", "OWNER", "boss")
    assert shown(server)["user"] == "boss"


def test_nobody_else_has_code_of_his_own_run_as_another_user(server, users):
    assert refused(users["bert"], "OWNER", "anna").startswith("NOPERM User 'bert' may not make 'anna' the owner")
    assert refused(users["bert"], "OWNER", "nosuch").startswith("NOPERM User 'bert' may not make 'nosuch' the owner")
    assert server.libraries() == []
    load(users["anna"])
    for check in ([], ["CHECK"]):
        error = refused(users["bert"], "UPGRADE", *check)
        assert error.startswith("NOPERM the owner of library 'lib' is 'anna'") and "OWNER bert" in error
    assert shown(server)["user"] == "anna"
    # With his own rights he may.
    load(users["bert"], "UPGRADE", "OWNER", "bert")
    assert shown(server)["user"] == "bert"


def test_an_owner_has_to_exist(server, users):
    assert refused(users["boss"], "OWNER", "nosuch") == "OWNER: user 'nosuch' does not exist, or is disabled"
    load(users["anna"])
    server.run("ACL", "SETUSER", "anna", "off")
    assert "name another one with OWNER" in refused(users["boss"], "UPGRADE")
    load(users["boss"], "UPGRADE", "OWNER", "bert")
    assert shown(server)["user"] == "bert"
