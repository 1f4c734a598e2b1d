"""The options of RG.PYEXECUTE, and what RG.PYDUMPSESSIONS, RG.PYDUMPREQS and RG.PYSTATS tell."""

import pytest
from redis.exceptions import ResponseError

from testing.gears1 import registrations
from testing.policies import each_persistence, kill_and_restart
from testing.python import execute
from testing.replies import fields

REGISTER = "GB('StreamReader').foreach(lambda x: execute('incr', 'n')).register('s')"
KEYS = ["ID", "sessionDescription", "refCount", "linked", "dead", "requirementInstallationNeeded", "requirements", "registrations"]


def sessions(server, *options):
    return [fields(one) for one in server.run("RG.PYDUMPSESSIONS", *options)]


def test_an_id_is_taken_once(server):
    assert execute(server, REGISTER, "ID", "a-1_B") == "OK"
    with pytest.raises(ResponseError, match="a-1_B already exists"):
        execute(server, REGISTER, "ID", "a-1_B")
    assert execute(server, REGISTER, "upgrade", "id", "a-1_B") == "OK"
    assert server.libraries() == ["a-1_B"]


def test_a_session_takes_the_place_of_another(server):
    execute(server, REGISTER, "ID", "old")
    for options, error in {
        ("ID", "new", "REPLACE_WITH", "none"): "Session none does not exist",
        ("ID", "old", "REPLACE_WITH", "old"): "UPGRADE keeps it",
        ("ID", "new", "UPGRADE", "REPLACE_WITH", "old"): "exclude each other",
    }.items():
        with pytest.raises(ResponseError, match=error):
            execute(server, REGISTER, *options)
    with pytest.raises(ResponseError, match="ZeroDivisionError"):
        execute(server, f"{REGISTER}\n1 / 0", "ID", "new", "REPLACE_WITH", "old")
    assert server.libraries() == ["old"]
    assert execute(server, REGISTER, "ID", "new", "REPLACE_WITH", "old") == "OK"
    assert server.libraries() == ["new"]
    server.run("XADD", "s", "*", "a", "1")
    server.wait(lambda: server.run("GET", "n") == "1", lambda: registrations(server))


WRONG = {
    ("SOMETHING",): "Unknown arguments were given: SOMETHING",
    ("ID",): "letters",
    ("ID", "a b"): "letters",
    ("DESCRIPTION",): "DESCRIPTION must be followed by a text",
    ("DESCRIPTION", "x" * 1001): "longer than 1000 characters",
    ("REPLACE_WITH",): "letters",
    ("UPGRADE",): "UPGRADE needs an ID",
    ("REQUIREMENTS", "numpy"): "requirement 'numpy' is not there",
    ("REQUIREMENTS", "json", "redis==3.5"): "requirement 'redis==3.5' is not there",
    ("REQUIREMENTS", "../json"): "requirement '../json' is not there",
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_options_are_named_and_nothing_is_registered(server, options):
    with pytest.raises(ResponseError, match=WRONG[options]):
        execute(server, REGISTER, *options)
    assert registrations(server) == []


def test_what_is_built_in_is_no_requirement_to_be_installed(server):
    options = ("ID", "a", "FORCE_REINSTALL_REQUIREMENTS", "REQUIREMENTS", "json", "dataclasses>=0.6")
    assert execute(server, REGISTER, *options) == "OK"
    assert execute(server, REGISTER, "ID", "b", "REQUIREMENTS") == "OK"
    assert execute(server, REGISTER, "ID", "c", "REQUIREMENTS", "json") == "OK"
    listed = [fields(one) for one in server.run("RG.PYDUMPREQS")]
    assert [one["Name"] for one in listed] == ["dataclasses>=0.6", "json"]
    assert list(listed[0]) == ["GearReqVersion", "Name", "IsDownloaded", "IsInstalled", "CompiledOs", "Wheels"]
    assert (listed[0]["IsInstalled"], listed[0]["Wheels"]) == ("yes", [])


@each_persistence
def test_sessions_are_listed(restartable, persistence):
    execute(restartable, f"{REGISTER}\nGB().register('k')", "ID", "b", "DESCRIPTION", 'what "it" is for', "REQUIREMENTS", "json")
    execute(restartable, REGISTER, "ID", "a")
    restartable.run("RG.JSEXECUTE", "GB('StreamReader').register('s')", "ID", "javascript")
    for _ in range(2):
        [first, second] = sessions(restartable)
        assert list(first) == KEYS
        assert (first["ID"], first["sessionDescription"], first["requirements"]) == ("a", None, [])
        assert (second["ID"], second["sessionDescription"], second["requirements"]) == ("b", 'what "it" is for', ["json"])
        assert (second["linked"], second["dead"], second["refCount"]) == ("primary", "false", 2)
        identities = {one["id"] for one in registrations(restartable) if one["PD"].startswith("b.")}
        assert set(second["registrations"]) == identities
        kill_and_restart(restartable)
    [only] = sessions(restartable, "verbose", "SESSIONS", "b", "none")
    assert {fields(one)["id"] for one in only["registrations"]} == identities
    assert sessions(restartable, "DEAD") == []
    with pytest.raises(ResponseError, match="Unknown arguments were given: x"):
        restartable.run("RG.PYDUMPSESSIONS", "x")


def test_memory_is_told(server):
    before = fields(server.run("RG.PYSTATS"))
    assert list(before) == ["TotalAllocated", "PeakAllocated", "CurrAllocated"]
    assert before["CurrAllocated"] == 0
    execute(server, REGISTER)
    after = fields(server.run("RG.PYSTATS"))
    assert 1_000_000 < after["CurrAllocated"] <= after["PeakAllocated"] <= after["TotalAllocated"]


def test_lines_of_errors_count_from_the_first_of_the_script(server):
    for options in [(), ("ID", "x"), ("DESCRIPTION", "d")]:
        with pytest.raises(ResponseError, match="line 2, in <module>.*ZeroDivisionError"):
            execute(server, "x = 1\nx / 0", *options)
        with pytest.raises(ResponseError, match=r"line 3 .*SyntaxError"):
            execute(server, "x = 1\n\ndef f(:", *options)
    with pytest.raises(ResponseError, match=r"line 2\b"):
        server.run("RG.JSEXECUTE", "1\nlet let = 2")


def test_javascript_takes_the_same_options_but_requirements(server):
    register = "GB('StreamReader').register('s')"
    assert server.run("RG.JSEXECUTE", register, "ID", "old", "DESCRIPTION", "d") == "OK"
    assert server.run("RG.JSEXECUTE", register, "ID", "new", "REPLACE_WITH", "old") == "OK"
    assert server.libraries() == ["new"]
    with pytest.raises(ResponseError, match="Unknown arguments were given: REQUIREMENTS"):
        server.run("RG.JSEXECUTE", register, "REQUIREMENTS", "json")
