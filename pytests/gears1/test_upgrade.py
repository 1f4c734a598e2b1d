"""Upgrades of scripts that have registered something."""

import pytest
from redis import ResponseError

from testing.gears1 import KEYS, STREAM, bring, execute, id_of, registration, registrations, wait_logged


def test_an_upgrade_keeps_positions_and_takes_the_new_steps(server):
    old = "GB('StreamReader').foreach(x => log(`old ${x.n}`)).register('s', { trimStream: false })"
    new = "GB('StreamReader').foreach(x => log(`new ${x.n}`)).register('s', { trimStream: false, batch: 2 })"
    execute(server, old, "ID", "gears")
    server.add("s", 1, 2)
    wait_logged(server, "old 1", "old 2")
    identity = id_of(server)
    assert execute(server, new, "UPGRADE", "ID", "gears") == "OK"
    server.add("s", 3, 4)
    wait_logged(server, "old 1", "old 2", "new 3", "new 4")
    server.wait(lambda: registration(server)["numSuccess"] == 3, lambda: registration(server))
    found = registration(server)
    assert (found["id"], found["args"]["batchSize"]) == (identity, 2)
    assert server.libraries() == ["gears"]


def test_a_script_that_names_itself_can_be_upgraded(server):
    for number in range(3):
        code = f"#!js name=mine\nGB().foreach(x => log(`{number} ${{x.key}}`)).register('k')"
        assert execute(server, code, "UPGRADE") == "OK"
    server.run("SET", "k", 1)
    wait_logged(server, "2 k")
    assert server.libraries() == ["mine"]


def test_a_registration_of_a_stream_keeps_its_prefix(server):
    """It goes by its name, and that is its number in the script unless it is described."""
    execute(server, STREAM, "ID", "gears")
    for pattern in ("s*", "other"):
        with pytest.raises(
            ResponseError, match="Can not upgrade an existing consumer with (different prefix|another value)"
        ):
            execute(server, STREAM.replace("'s'", f"'{pattern}'"), "ID", "gears", "UPGRADE")
    execute(server, KEYS + STREAM.replace("'s'", "'other'"), "ID", "gears", "UPGRADE")
    assert sorted(one["PD"] for one in registrations(server)) == ["gears.gears:1", "gears.gears:2"]


def test_a_registration_of_keys_may_change_its_prefix_and_its_filters(server):
    execute(server, KEYS, "ID", "gears")
    execute(server, KEYS.replace("'k*'", "'a', { eventTypes: ['set'], mode: 'sync' }"), "ID", "gears", "UPGRADE")
    server.run("SET", "k", 1)
    server.run("SET", "a", 1)
    server.run("DEL", "a")
    wait_logged(server, "a")


def test_an_upgrade_may_change_mode_policy_and_batch(server):
    form = "GB('StreamReader').foreach(x => log(`{} ${{x.n}}`)).register('s', {{ {} }})"
    ways = [
        "mode: 'sync'",
        "mode: 'async', batch: 2",
        "onFailedPolicy: 'abort'",
        "mode: 'async_local', trimStream: false",
    ]
    for number, arguments in enumerate(ways):
        execute(server, form.format(number, arguments), "ID", "gears", "UPGRADE")
        server.add("s", 1, 2)
        wait_logged(server, 1, 2, start=f"{number} ")
    found = registration(server)
    assert (found["mode"], found["args"]["trimStream"]) == ("async_local", 0)


def test_an_upgrade_may_drop_registrations_and_bring_others(server):
    execute(server, KEYS + STREAM, "ID", "gears")
    execute(
        server, "GB('StreamReader', '*', 'mine').foreach(x => log(`m ${x.n}`)).register('m')", "ID", "gears", "UPGRADE"
    )
    assert [one["PD"] for one in registrations(server)] == ["gears.mine"]
    server.run("SET", "k", 1)
    server.add("s", 1)
    server.add("m", 2)
    wait_logged(server, "m 2")


def test_an_upgrade_registers_again_what_was_unregistered(server):
    execute(server, KEYS + STREAM, "ID", "gears")
    server.run("RG.UNREGISTER", id_of(server, "gears:1"))
    execute(server, KEYS + STREAM, "ID", "gears", "UPGRADE")
    assert sorted(one["PD"] for one in registrations(server)) == ["gears.gears:1", "gears.gears:2"]
    server.run("SET", "k", 1)
    wait_logged(server, "k")


def test_an_upgrade_of_what_is_not_there_is_a_plain_one_and_one_that_fails_changes_nothing(server):
    assert execute(server, KEYS, "ID", "gears", "UPGRADE") == "OK"
    with pytest.raises(ResponseError, match="by me"):
        execute(server, STREAM + "throw new Error('by me')", "ID", "gears", "UPGRADE")
    assert [one["reader"] for one in registrations(server)] == ["KeysReader"]
    server.run("SET", "k", 1)
    wait_logged(server, "k")


def test_an_upgrade_by_the_other_command_is_one_too(server):
    bring(server, "RG.FUNCTION LOAD", STREAM.replace("log(x.n)", "log(`old ${x.n}`)"))
    server.add("s", 1)
    wait_logged(server, "old 1")
    execute(server, STREAM, "ID", "gears", "UPGRADE")
    server.add("s", 2)
    wait_logged(server, "old 1", "2")
    server.run("RG.FUNCTION", "LOAD", "UPGRADE", "#!js name=gears\n" + KEYS)
    assert [one["reader"] for one in registrations(server)] == ["KeysReader"]
