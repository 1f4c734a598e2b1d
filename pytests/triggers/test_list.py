"""What can be seen of triggers: RG.FUNCTION LIST and the server's INFO; and their settings."""

import pytest

from testing.libraries import consumer
from testing.replies import fields
from testing.triggers import (
    COUNTERS,
    load,
    open_gate,
    pipelined,
    run_all,
    shown,
    trigger,
    upgrade,
    wait_idle,
    wait_shown,
)
from testing.wire import Wire, type_name

# Of the original, in its order and spelling, and what there is beyond it.
LISTED = ["name", "num_triggered", "num_finished", "num_success", "num_failed", "last_error"]
LISTED += ["last_exection_time", "total_exection_time", "avg_exection_time", "num_dropped", "num_waiting"]
DETAILS = ["prefix", "mode", "event_types", "key_types"]


def listed(server, *options):
    """The triggers of the library as LIST shows them."""
    [reply] = server.run("RG.FUNCTION", "LIST", *options, "LIBRARY", "lib")
    return fields(reply)["notifications_consumers"]


def test_without_verbosity_triggers_are_names_in_order(server):
    load(server, *(trigger(name) for name in ("b", "c", "a")), consumer())
    assert listed(server) == ["a", "b", "c"]
    assert listed(server, "WITHCODE") == ["a", "b", "c"]


def test_verbosity_1_shows_the_fields_of_the_original_in_order_and_two_more(server):
    load(server, trigger())
    [row] = map(fields, listed(server, "v"))
    assert list(row) == LISTED
    assert row | {"avg_exection_time": 0} == dict.fromkeys(LISTED, 0) | {"name": "trigger", "last_error": "None"}
    assert float(row["avg_exection_time"]) == 0


@pytest.mark.parametrize("options", [["vv"], ["vvv"], ["v", "v"]])
def test_verbosity_2_shows_what_it_asked_for(server, options):
    more = {"event_types": ["set", "del"], "key_types": ["zset", "empty"]}
    load(server, trigger("a", "key:", "async () => {}", more), trigger("b", "", "() => {}"))
    rows = [fields(row) for row in listed(server, *options)]
    assert [list(row) for row in rows] == [LISTED + DETAILS] * 2
    assert [row["prefix"] for row in rows] == ["key:", ""]
    assert [row["mode"] for row in rows] == ["async", "sync"]
    assert [row["event_types"] for row in rows] == [["set", "del"], None]
    assert [row["key_types"] for row in rows] == [["zset", "empty"], None]


def test_a_prefix_of_bytes_is_shown_as_it_is(server):
    load(server, "redis.register_notifications_consumer('t', new Uint8Array([0xff, 0]), () => {});")
    reply = server.connect(decode_responses=False).execute_command("RG.FUNCTION", "LIST", "vv")
    [row] = fields(reply[0])[b"notifications_consumers"]
    assert fields(row)[b"prefix"] == b"\xff\x00"


def test_they_are_maps_in_resp3(server):
    load(server, trigger(options={"event_types": ["set"]}))
    server.run("SET", "key", "v")
    client = server.connect(protocol=3)
    [reply] = client.execute_command("RG.FUNCTION", "LIST", "vv")
    [row] = reply["notifications_consumers"]
    assert list(row) == LISTED + DETAILS
    assert row["avg_exection_time"] >= 0
    assert isinstance(row["avg_exection_time"], float)
    with Wire(server.port) as wire:
        assert type_name(wire.call("RG.FUNCTION", "LIST", "vv")) == "array"


def test_what_waits_is_counted(server):
    load(server, trigger(callback="async (client, data) => { if (data.key === 'key:first') { redis.log('begun'); spend(1500); } }"))
    server.run("SET", "key:first", "v")
    server.wait_message("begun")
    pipelined(server, *["SET key v"] * 9)
    assert shown(server)["num_waiting"] == 9
    assert wait_idle(server)["num_success"] == 10


def test_what_runs_is_neither_finished_nor_waiting(server):
    load(server, trigger(callback="gated"))
    server.run("SET", "key", "v")
    wait_shown(server, num_triggered=1, num_finished=0, num_waiting=0)
    open_gate(server)
    wait_shown(server, num_triggered=1, num_finished=1, num_waiting=0)


def test_triggers_come_behind_stream_consumers_as_ever(server):
    load(server, trigger(), consumer())
    [reply] = server.run("RG.FUNCTION", "LIST", "v")
    names = list(fields(reply))
    assert names[names.index("stream_consumers") + 1] == "notifications_consumers"


# --- INFO -----------------------------------------------------------------------------------------------------------


def section(server, name="trigger", library="lib"):
    """The line of a trigger."""
    return server.client.info("redisgears_2_triggers")[f"redisgears_2_trigger_{library}_{name}"]


def test_the_servers_info_has_a_line_for_each_trigger(server):
    load(server, trigger(), trigger("other", "key:bad", "() => { throw new Error('no'); }"))
    run_all(server, ["SET key v", "SET key:bad v", "SET elsewhere v"])
    shown_there, other = section(server), section(server, "other")
    assert (shown_there["triggered"], shown_there["finished"], shown_there["failed"]) == (2, 2, 0)
    assert (other["triggered"], other["finished"], other["failed"]) == (1, 1, 1)
    for line in (shown_there, other):
        assert (line["dropped"], line["waiting"]) == (0, 0)


def test_it_agrees_with_list(server):
    with server.setting("redisgears_2.trigger-queue-length", 10):
        load(server, trigger(callback="gated"))
        pipelined(server, *["SET key v"] * 50)
        wait_shown(server, num_triggered=50, num_dropped=40)
        open_gate(server)
        wait_idle(server)
    found, line = shown(server), section(server)
    for counter in COUNTERS:
        name = counter.removeprefix("num_")
        if name in line:
            assert line[name] == found[counter], name


def test_the_section_is_there_without_triggers_and_among_the_others(server):
    assert [name for name in server.client.info("redisgears_2_triggers") if "_trigger_" in name] == []
    load(server, trigger())
    assert "redisgears_2_trigger_lib_trigger" in server.client.info("redisgears_2")
    upgrade(server, trigger("renamed"))
    assert [name for name in server.client.info("redisgears_2") if "_trigger_" in name] == [
        "redisgears_2_trigger_lib_renamed"
    ]


@pytest.mark.parametrize("name", ["a:b=c,d", "ä", "a\\\\b", "a b"])
def test_the_name_of_a_trigger_breaks_no_line_of_info(server, name):
    load(server, trigger(name), name="a:b")
    names = [one for one in server.client.info("redisgears_2_triggers") if "_trigger_" in one]
    assert len(names) == 1
    assert names[0].isascii() and not set(names[0]) & set(":=,\\ ")
