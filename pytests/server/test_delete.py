"""RG.FUNCTION DEL with FORCE and KEEPPROGRESS, the setting delete-with-progress, and RG.CONSUMER KEPT."""

import re

import pytest
from redis import ResponseError

from testing.libraries import RELEASE, consumer, function, library
from testing.policies import info, policy
from testing.replies import fields
from testing.triggers import trigger

DEL = ["RG.FUNCTION", "DEL", "lib"]
SETTING = "redisgears_2.delete-with-progress"
IS_KEPT = "library 'lib' is deleted, and the progress of its consumers is kept: say FORCE to drop that"
NONE = "library does not exists"


@pytest.fixture(autouse=True)
def nothing_is_kept_in_the_end(server):
    yield
    for name in kept(server):
        server.run("RG.FUNCTION", "DEL", name, "FORCE")


def kept(node, *names):
    """What is kept, by library."""
    found = [fields(one) for one in node.run("RG.CONSUMER", "KEPT", *names)]
    return {one["library"]: one | {"consumers": [fields(of) for of in one["consumers"]]} for one in found}


def error_of(node, *words):
    with pytest.raises(ResponseError) as caught:
        node.run(*words)
    return str(caught.value)


def wait_processed(node, count, name="consumer"):
    node.wait(lambda: info(node, name=name)["processed"] >= count, lambda: info(node, name=name))


def load_and_read(server, *values, name="consumer"):
    server.load(consumer(name))
    ids = server.add("stream", *values)
    wait_processed(server, len(values), name)
    return ids


# --- progress that is kept ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upgrade", [(), ("UPGRADE",)])
def test_the_next_library_of_that_name_goes_on_from_what_was_kept(server, upgrade):
    load_and_read(server, 1, 2)
    assert server.run(*DEL, "KEEPPROGRESS") == "OK"
    assert server.libraries() == []
    server.add("stream", 3, 4)
    server.load(consumer(), options=upgrade)
    server.wait_seen("stream 1", "stream 2", "stream 3", "stream 4")
    assert kept(server) == {}


def test_without_it_the_next_library_begins_anew(server):
    load_and_read(server, 1, 2)
    assert server.run(*DEL) == "OK"
    assert kept(server) == {}
    server.load(consumer())
    server.wait_seen("stream 1", "stream 2", "stream 1", "stream 2")


def test_what_is_kept_is_shown_and_is_no_library(server):
    server.load(consumer(), consumer("other", "else:"), function(), trigger())
    for stream in ("stream:1", "stream:2"):
        server.add(stream, 1)
    wait_processed(server, 2)
    before = int(server.run("TIME")[0]) * 1000
    server.run(*DEL, "keepprogress")
    [one] = kept(server).values()
    assert (one["library"], one["owner"], one["deleted_by"]) == ("lib", "default", "default")
    assert before - 1000 <= one["deleted_at"] <= int(server.run("TIME")[0]) * 1000 + 1000
    assert one["consumers"] == [
        {"name": "consumer", "prefix": "stream", "streams": 2},
        {"name": "other", "prefix": "else:", "streams": 0},
    ]
    assert list(kept(server, "lib")) == ["lib"] and kept(server, "nosuch") == {}
    assert server.run("RG.FUNCTION", "LIST", "vvv") == []
    assert server.client.info("redisgears_2")["redisgears_2_kept_libraries"] == 1
    assert server.client.info("redisgears_2")["redisgears_2_quarantined_libraries"] == 0
    for words in (["RG.CONSUMER", "INFO", "lib", "consumer"], ["RG.FUNCTION", "VERSIONS", "lib"], ["RG.TRIGGER", "INFO", "lib", "trigger"]):
        assert "no such library 'lib'" in error_of(server, *words)
    assert error_of(server, "RG.FCALL", "lib", "f", 0) == "Unknown library lib"
    server.add("stream:1", 2)
    server.run("SET", "key", "v")
    assert server.seen() == ["stream:1 1", "stream:2 1"]


def test_a_library_without_consumers_leaves_nothing(server):
    server.load(function())
    assert server.run(*DEL, "KEEPPROGRESS") == "OK"
    assert kept(server) == {}
    assert error_of(server, *DEL) == NONE


def test_force_drops_what_is_kept_and_nothing_else_does(server):
    load_and_read(server, 1)
    server.run(*DEL, "KEEPPROGRESS")
    assert error_of(server, *DEL) == IS_KEPT
    assert error_of(server, *DEL, "KEEPPROGRESS") == IS_KEPT
    assert server.run(*DEL, "FORCE") == "OK"
    assert kept(server) == {}
    assert error_of(server, *DEL, "FORCE") == NONE
    server.load(consumer())
    server.wait_seen("stream 1", "stream 1")


def test_nothing_is_trimmed_that_was_not_seen_while_it_is_kept(server):
    load_and_read(server, 1)
    server.run(*DEL, "KEEPPROGRESS")
    server.load(consumer("trims", trim=True), name="trimming")
    server.add("stream", 2, 3)
    server.wait(lambda: server.run("XLEN", "stream") == 2, lambda: server.run("XLEN", "stream"))
    server.load(consumer())
    server.wait(lambda: server.run("XLEN", "stream") == 0, lambda: server.run("XLEN", "stream"))
    assert server.seen().count("stream 3") == 2


def test_what_is_kept_follows_its_keys(server):
    server.load(consumer())
    for stream in ("stream:moved", "stream:gone", "stream:new"):
        server.add(stream, 1)
    wait_processed(server, 3)
    server.run(*DEL, "KEEPPROGRESS")
    server.run("RENAME", "stream:moved", "stream:here")
    server.run("DEL", "stream:gone", "stream:new")
    server.run("XADD", "stream:new", "1-1", "n", 2)
    server.add("stream:here", 2)
    server.load(consumer())
    wait_processed(server, 2)
    assert sorted(server.seen()[3:]) == ["stream:here 2", "stream:new 2"]


def test_pauses_are_kept_with_it(server):
    server.load(*policy(consumer(options={})))
    server.add("stream", 1)
    wait_processed(server, 1)
    server.run("RG.CONSUMER", "PAUSE", "lib", "consumer")
    server.run(*DEL, "KEEPPROGRESS")
    server.add("stream", 2)
    server.load(*policy(consumer(options={})))
    assert info(server)["state"] == "paused"
    server.run("RG.CONSUMER", "RESUME", "lib", "consumer")
    server.wait_seen("stream 1", "stream 2")


def test_an_entry_that_was_in_flight_comes_again_and_its_old_end_is_not_heard(server):
    server.load(consumer(callback="holding"), RELEASE)
    ids = server.add("stream", "a", "b")
    server.wait_message("start a")
    server.run(*DEL, "KEEPPROGRESS")
    server.load(consumer(callback="async (client, data) => saw(data)"))
    server.wait_seen("stream a", "stream b")
    server.wait_stream(id_to_read_from=ids[1], pending_ids=[])
    assert info(server)["processed"] == 2


def test_code_that_runs_gets_the_lock_no_more_and_that_is_no_failure_of_its_entry(server):
    callback = """async (client, data) => {
        await holding(client, data);
        client.block(locked => locked.call('INCR', 'effects'));
    }"""
    server.load(consumer(callback=callback), RELEASE)
    server.add("stream", "a")
    server.wait_message("start a")
    # Who settles the promise ends what waits for it, too.
    pipe = server.client.pipeline(transaction=True)
    pipe.execute_command("XADD", "release", "*", "n", "a")
    pipe.execute_command(*DEL, "KEEPPROGRESS")
    pipe.execute()
    server.load(consumer(callback="async (client, data) => client.block(locked => locked.call('INCR', 'effects'))"))
    wait_processed(server, 1)
    assert server.run("GET", "effects") == "1"
    assert info(server)["errors"] == 0


# --- loads beside it ------------------------------------------------------------------------------------------------


def test_check_and_report_say_what_goes_on_and_what_is_lost(server):
    server.load(consumer(), consumer("lost"), consumer("unread", "else:"))
    server.add("stream", 1)
    wait_processed(server, 1)
    wait_processed(server, 1, "lost")
    server.run(*DEL, "KEEPPROGRESS")
    for word in ("CHECK", "REPORT"):
        report = fields(server.run("RG.FUNCTION", "LOAD", word, library(consumer(), consumer("new"))))
        assert (report["action"], report["version"], report["loses_progress"]) == ("load", 1, ["lost"])
        assert report["warnings"] == ["the consumer 'consumer' goes on from the progress that was kept when the library was deleted"]
        assert fields(report["stream_consumers"])["added"] == ["consumer", "new"]
    assert kept(server) == {}


OTHER = (
    "the progress that is kept of consumer 'consumer' is one of another prefix, or of another value of 'exact': "
    "RG.FUNCTION DEL lib FORCE drops what is kept"
)


@pytest.mark.parametrize("other", [consumer(prefix="str"), consumer(options={"exact": True})])
def test_a_consumer_of_other_keys_does_not_go_on_from_it(server, other):
    load_and_read(server, 1)
    server.run(*DEL, "KEEPPROGRESS")
    for words in ([], ["UPGRADE"], ["CHECK"]):
        assert error_of(server, "RG.FUNCTION", "LOAD", *words, library(other)) == OTHER
    assert list(kept(server)) == ["lib"]
    server.run(*DEL, "FORCE")
    server.load(other)


def test_a_load_that_fails_leaves_it_kept(server):
    load_and_read(server, 1)
    server.run(*DEL, "KEEPPROGRESS")
    with pytest.raises(ResponseError, match="by me"):
        server.load("throw new Error('by me');")
    server.add("stream", 2)
    server.load(consumer())
    server.wait_seen("stream 1", "stream 2")


def test_a_library_of_another_name_takes_nothing_of_it(server):
    load_and_read(server, 1)
    server.run(*DEL, "KEEPPROGRESS")
    server.load(consumer(), name="other")
    server.wait_seen("stream 1", "stream 1")
    assert list(kept(server)) == ["lib"]


# --- the setting ----------------------------------------------------------------------------------------------------


def test_a_plain_delete_is_refused_where_the_setting_says_so(server):
    with server.setting(SETTING, "refuse"):
        load_and_read(server, 1)
        refused = error_of(server, *DEL)
        assert refused == "library 'lib' has consumers with progress ('consumer'): say FORCE to delete it, or KEEPPROGRESS to keep it for a later load"
        server.add("stream", 2)
        server.wait_seen("stream 1", "stream 2")
        assert server.run(*DEL, "FORCE") == "OK"
        assert (server.libraries(), kept(server)) == ([], {})


@pytest.mark.parametrize("statements", [[function()], [consumer()], [trigger()]])
def test_a_library_without_progress_is_deleted_all_the_same(server, statements):
    with server.setting(SETTING, "refuse"):
        server.load(*statements)
        assert server.run(*DEL) == "OK"


def test_force_deletes_without_the_setting_too(server):
    load_and_read(server, 1)
    assert server.run(*DEL, "FORCE") == "OK"
    assert (server.libraries(), kept(server)) == ([], {})


# --- the log, rights, wrong words -----------------------------------------------------------------------------------


def test_the_log_says_what_became_of_the_progress(server):
    server.load(consumer())
    server.run(*DEL, "KEEPPROGRESS")
    server.run(*DEL, "FORCE")
    server.load(function())
    server.run(*DEL, "KEEPPROGRESS")
    found = [text.rsplit("): ", 1)[1] for text in server.audits() if "audit: DEL by user 'default'" in text]
    assert found == ["library 'lib', its consumers' progress is kept", "what was kept of library 'lib'", "library 'lib'"]


@pytest.mark.parametrize("words", [["NOSUCH"], [""], [b"\xff"], ["FORCE", "KEEPPROGRESS"], ["KEEP", "PROGRESS"]])
def test_other_words_are_refused_and_nothing_is_deleted(server, words):
    server.load(consumer())
    assert re.search("syntax error|wrong number of arguments", error_of(server, *DEL, *words))
    assert server.libraries() == ["lib"]


def test_a_client_of_resp3_gets_maps(server):
    server.load(consumer())
    server.run(*DEL, "KEEPPROGRESS")
    [shown] = server.connect(protocol=3).execute_command("RG.CONSUMER", "KEPT")
    assert (shown["library"], shown["consumers"][0]["name"]) == ("lib", "consumer")


def test_so_many_are_kept_and_no_more(start_server):
    server = start_server()
    pipe = server.client.pipeline(transaction=False)
    for number in range(1001):
        name = f"lib{number}"
        pipe.execute_command("RG.FUNCTION", "LOAD", f"#!js name={name}\nredis.register_stream_consumer('c', 's', 1, false, () => {{}});")
        pipe.execute_command("RG.FUNCTION", "DEL", name, "KEEPPROGRESS")
    *replies, last = pipe.execute(raise_on_error=False)
    assert replies == ["OK"] * 2001
    assert str(last).startswith("the progress of 1000 libraries is kept already")
    assert server.libraries() == ["lib1000"]
    assert len(kept(server)) == 1000
    server.load("redis.register_function('f', () => 1);", name="other")
    assert server.run("RG.FUNCTION", "DEL", "other", "KEEPPROGRESS") == "OK", "of that one nothing is kept"
    server.run("RG.FUNCTION", "DEL", "lib7", "FORCE")
    assert server.run("RG.FUNCTION", "DEL", "lib1000", "KEEPPROGRESS") == "OK"
