"""RG.FUNCTION LIST: verbosity, WITHCODE, LIBRARY, order; and RG.FUNCTION DEL and HELP."""

import pytest

from testing.libraries import consumer, library
from testing.replies import fields

OTHER = consumer("other", "elsewhere", window=7, trim=True)
VERSION_FIELDS = ["version", "digest", "loaded_at"]
TOP_FIELDS = ["engine", "name", "pending_jobs", "user", "functions", "stream_consumers", "notifications_consumers"]


def listed(server, *options):
    """The reply's libraries as dicts."""
    return [fields(item) for item in server.run("RG.FUNCTION", "LIST", *options)]


def test_without_libraries_the_list_is_empty(server):
    assert server.run("RG.FUNCTION", "LIST", "vvv", "WITHCODE") == []


def test_without_verbosity_consumers_are_names(server):
    server.load(consumer(), OTHER)
    [reply] = listed(server)
    assert list(reply) == TOP_FIELDS
    assert sorted(reply["stream_consumers"]) == ["consumer", "other"]


@pytest.mark.parametrize("options", [["v"], ["V"], ["VERBOSE"], ["verbose"]])
def test_verbosity_1_describes_consumers_without_their_streams(server, options):
    server.load(OTHER)
    server.add("elsewhere:1", 1)
    [reply] = listed(server, *options)
    assert list(reply) == [*TOP_FIELDS, "gears_box_info", *VERSION_FIELDS]
    assert reply["stream_consumers"] == [
        ["name", "other", "prefix", "elsewhere", "window", 7, "trim", "enabled", "num_streams", 1]
    ]


@pytest.mark.parametrize("options", [["vv"], ["v", "v"], ["VERBOSE", "v"]])
def test_verbosity_2_shows_streams_without_pending_ids(server, options):
    server.load(consumer())
    server.add("stream:1", 1)
    [reply] = listed(server, *options)
    [stream] = fields(reply["stream_consumers"][0])["streams"]
    assert fields(stream)["name"] == "stream:1"
    assert "pending_ids" not in stream


@pytest.mark.parametrize("options", [["vvv"], ["vv", "v"], ["v", "VERBOSE", "v"], ["vvv", "vvv"]])
def test_verbosity_3_shows_pending_ids(server, options):
    server.load(consumer())
    server.add("stream:1", 1)
    [reply] = listed(server, *options)
    [stream] = fields(reply["stream_consumers"][0])["streams"]
    assert fields(stream)["pending_ids"] == []


def test_withcode_gives_the_source_and_leaves_it_out_otherwise(server):
    server.load(consumer())
    [reply] = listed(server, "withcode")
    assert list(reply) == [*TOP_FIELDS, "code"]
    assert reply["code"] == library(consumer())
    [reply] = listed(server, "WITHCODE", "v")
    assert list(reply) == [*TOP_FIELDS, "code", "gears_box_info", *VERSION_FIELDS]
    [reply] = listed(server)
    assert "code" not in reply


def test_every_library_option_counts(server):
    for name in ("one", "two", "three"):
        server.load(consumer(), name=name)
    chosen = [item["name"] for item in listed(server, "LIBRARY", "two", "v", "LIBRARY", "one")]
    assert sorted(chosen) == ["one", "two"]


def test_an_unknown_library_is_left_out_without_an_error(server):
    server.load(consumer())
    assert listed(server, "LIBRARY", "nosuch") == []
    assert [item["name"] for item in listed(server, "LIBRARY", "nosuch", "LIBRARY", "lib")] == ["lib"]


def test_libraries_and_consumers_come_in_stable_order(server):
    names = [f"lib{number}" for number in range(20)]
    for name in reversed(names):
        server.load(consumer("b", "x"), consumer("c", "x"), consumer("a", "x"), name=name)
    first = server.run("RG.FUNCTION", "LIST", "v")
    assert [fields(item)["name"] for item in first] == sorted(names)
    assert all(server.run("RG.FUNCTION", "LIST", "v") == first for _ in range(3))


def test_streams_come_in_stable_order(server):
    server.load(consumer())
    for number in range(20):
        server.add(f"stream:{number}", 1)

    def names():
        [reply] = listed(server, "vv")
        return [fields(row)["name"] for row in fields(reply["stream_consumers"][0])["streams"]]

    first = names()
    assert sorted(first) == sorted(f"stream:{number}" for number in range(20))
    assert all(names() == first for _ in range(3))


def test_configuration_follows_the_name_only_where_a_library_has_one(server):
    server.load(consumer(), name="plain")
    server.load(consumer(), name="configured", options=["CONFIG", '{"a": [1, "é"]}'])
    configured, plain = listed(server)
    assert list(configured)[:3] == ["engine", "name", "configuration"]
    assert configured["configuration"] == '{"a": [1, "é"]}'
    assert list(plain) == TOP_FIELDS


def test_the_owner_is_the_user_who_loaded_the_library(server):
    server.run("ACL", "SETUSER", "alice", "on", ">secret", "~*", "&*", "+@all")
    alice = server.connect(username="alice", password="secret")
    assert alice.execute_command("RG.FUNCTION", "LOAD", library(consumer())) == "OK"
    assert listed(server)[0]["user"] == "alice"
    server.run("ACL", "DELUSER", "alice")


@pytest.mark.leaves_pending("a callback whose promise never settles")
def test_averages_are_numbers_before_anything_was_processed(server):
    server.load(consumer("slow", callback="async (client, data) => { await new Promise(() => {}); }"))
    server.add("stream:1", 1)
    server.wait(lambda: server.stream("stream:1", "slow").get("pending_ids"), "nothing in flight")
    stream = server.stream("stream:1", "slow")
    assert (stream["avg_processed_time"], stream["avg_lag"]) == ("0", "0")
    assert stream["total_record_processed"] == 0


def test_subcommands_and_options_are_case_insensitive(server):
    assert server.run("rg.function", "load", "upgrade", "config", "{}", library(consumer())) == "OK"
    assert [item["name"] for item in listed(server, "library", "lib", "VVV")] == ["lib"]
    assert server.run("rg.function", "del", "lib") == "OK"


def test_a_deleted_library_stops_and_its_name_is_free_again(server):
    server.load(consumer())
    server.add("stream", "before")
    server.run("RG.FUNCTION", "DEL", "lib")
    server.add("stream", "after")
    assert server.seen() == ["stream before"]
    server.load(consumer(callback="(client, data) => saw(data, '2')"))
    server.wait_seen("stream before", "stream after", tag="2")


def test_help_names_every_subcommand(server):
    text = "\n".join(server.run("RG.FUNCTION", "HELP"))
    for word in ("LOAD", "UPGRADE", "CONFIG", "LIST", "WITHCODE", "LIBRARY", "DEL", "HELP"):
        assert word in text
