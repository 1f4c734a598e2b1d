"""Libraries and progress survive kill -9, whatever the server keeps its data in."""

import shutil
import time
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from testing.libraries import RELEASE, consumer, function
from testing.replies import fields
from testing.waits import eventually

GOLDEN = Path(__file__).parent / "golden"
AOF = ("--appendonly", "yes", "--appendfsync", "always")
COMMANDS_ONLY = ("--aof-use-rdb-preamble", "no")


def nothing(_server):
    pass


def save(server):
    server.run("SAVE")


def rewrite(server):
    server.rewrite()


# How data is kept, and what is done for that before the kill.
WAYS = {
    "append-only file": (AOF, nothing),
    "append-only file, rewritten": (AOF, rewrite),
    "append-only file of commands": (AOF + COMMANDS_ONLY, nothing),
    "append-only file of commands, rewritten": (AOF + COMMANDS_ONLY, rewrite),
    "RDB file": ((), save),
}

EFFECT = "(client, data) => { client.call('INCR', `done:${data.stream_name}:${value(data)}`); }"
ASYNC_EFFECT = "async (client, data) => { client.block(c => c.call('INCR', `done:${value(data)}`)); saw(data); }"


@pytest.fixture(params=list(WAYS))
def way(request):
    return request.param


@pytest.fixture
def restartable(start_server, way):
    """A server whose ``kill_and_restart`` is the kill and the new start."""
    options, before_kill = WAYS[way]
    server = start_server(*options)

    def kill_and_restart():
        before_kill(server)
        server.restart()

    server.kill_and_restart = kill_and_restart
    return server


def library_of(server, name="lib", verbosity="v"):
    [reply] = server.run("RG.FUNCTION", "LIST", "WITHCODE", verbosity, "LIBRARY", name)
    return fields(reply)


def test_libraries_come_back_as_they_were(restartable):
    restartable.run("ACL", "SETUSER", "someone", "on", "nopass", "~*", "&*", "+@all")
    restartable.options += ("--user", "someone", "on", "nopass", "~*", "&*", "+@all")
    owner = restartable.connect(username="someone", password="x")
    code = "#!js name=own\n" + function("f", "() => redis.config.greeting + ' ä'") + consumer(window=7, trim=True)
    owner.execute_command("RG.FUNCTION", "LOAD", "CONFIG", '{"greeting": "hello"}', code)
    restartable.load(function("other", "() => 1"), name="second")
    restartable.run("RG.FUNCTION", "LOAD", "#!js name=third\n" + function())
    restartable.run("RG.FUNCTION", "DEL", "third")
    before = library_of(restartable, "own")
    restartable.kill_and_restart()
    assert restartable.libraries() == ["own", "second"]
    assert library_of(restartable, "own") == before
    assert (before["user"], before["code"]) == ("someone", code)
    assert restartable.call("f", library="own") == "hello ä"
    assert restartable.call("other", library="second") == 1


def test_an_upgrade_comes_back_and_not_what_it_replaced(restartable):
    restartable.load(function("f", "() => 'old'"), consumer("gone"), consumer("stays"))
    restartable.add("stream", 1)
    restartable.upgrade(function("f", "() => 'new'"), consumer("stays", callback="(c, data) => saw(data, ' new')"))
    restartable.kill_and_restart()
    assert restartable.call("f") == "new"
    assert [fields(one)["name"] for one in library_of(restartable)["stream_consumers"]] == ["stays"]
    restartable.add("stream", 2)
    restartable.wait_seen("stream 2", tag=" new")


def outlive(milliseconds):
    """Lets what expires after so long expire."""
    end = time.time() + milliseconds / 1000
    eventually(lambda: time.time() > end)


def expect_a_new_stream(server):
    """What comes under the name of a stream that is gone is new, also below where the old one was."""
    assert [fields(one)["streams"] for one in library_of(server, "lib", "vvv")["stream_consumers"]] == [[], []]
    server.run("XADD", "stream", "1-1", "n", "new")
    server.wait(lambda: sorted(server.seen()) == ["stream new"] * 2, server.seen)

    def read():
        return [server.stream("stream", name)["id_to_read_from"] for name in ("sync", "async")]

    server.wait(lambda: read() == ["1-1", "1-1"], read)


BOTH = (consumer("sync"), consumer("async", callback="async (client, data) => saw(data)"))


def test_a_stream_that_expires_while_the_server_is_down_is_forgotten(start_server, way):
    options, before_kill = WAYS[way]
    server = start_server(*options)
    server.load(*BOTH)
    server.add("stream", 1)
    server.wait(lambda: len(server.seen()) == 2, server.seen)
    server.run("PEXPIRE", "stream", 300)
    before_kill(server)
    server.kill()
    outlive(400)
    server.start()
    server.mark = server.log.stat().st_size
    server.wait(lambda: server.run("DBSIZE") == 0)
    expect_a_new_stream(server)


def test_a_stream_that_has_expired_when_the_data_is_loaded_again_is_forgotten(start_server):
    server = start_server(module_args="enable-debug-command yes")
    server.load(*BOTH)
    server.add("stream", 1)
    server.wait(lambda: len(server.seen()) == 2, server.seen)
    server.run("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    server.run("PEXPIRE", "stream", 50)
    outlive(60)
    server.mark = server.log.stat().st_size
    server.run("DEBUG", "RELOAD")
    expect_a_new_stream(server)


def test_a_sync_consumer_goes_on_behind_the_last_entry_and_its_effects_are_there_once(restartable):
    restartable.load(consumer(callback=EFFECT))
    restartable.add("stream", *range(50))
    restartable.kill_and_restart()
    restartable.add("stream", *range(50, 60))
    assert [restartable.run("GET", f"done:stream:{n}") for n in range(60)] == ["1"] * 60
    assert restartable.stream("stream")["total_record_processed"] == 10


def test_an_async_consumer_goes_on_behind_the_last_entry(restartable):
    restartable.load(consumer(window=5, callback=ASYNC_EFFECT))
    ids = restartable.add("stream", *range(50))
    restartable.wait_stream(total_record_processed=50)
    restartable.kill_and_restart()
    assert restartable.stream("stream")["id_to_read_from"] == ids[-1]
    restartable.add("stream", *range(50, 60))
    restartable.wait_stream(total_record_processed=10)
    assert [restartable.run("GET", f"done:{n}") for n in range(60)] == ["1"] * 60


def test_entries_that_were_read_and_not_done_are_handed_over_again(restartable):
    """The original kept the last ID read: these were lost."""
    restartable.load(consumer(window=3, callback="holding"), RELEASE)
    ids = restartable.add("stream", *range(1, 6))
    started = [f"{n} {n}" for n in (1, 2, 3)]
    restartable.wait_for(started, lambda: restartable.messages("start "))
    restartable.wait_stream(pending_ids=ids[:3])
    restartable.kill_and_restart()
    restartable.wait_for(started * 2, lambda: restartable.messages("start "))
    restartable.wait_stream(pending_ids=ids[:3])
    restartable.release(1, 2, 3)
    restartable.wait_message("start 4")
    restartable.wait_message("start 5")
    restartable.release(4, 5)
    restartable.wait_stream(pending_ids=[], total_record_processed=5)


def test_of_entries_that_are_done_out_of_order_just_the_others_are_handed_over_again(restartable):
    """The original reordered what was pending, and lost an entry."""
    restartable.load(consumer(window=6, trim=True, callback="holding"), RELEASE)
    ids = restartable.add("stream", *range(1, 9))
    restartable.wait_message("start ", 6)
    restartable.release(2, 4, 5)
    restartable.wait_message("start ", 8)
    restartable.release(7)
    restartable.wait_stream(pending_ids=[ids[n - 1] for n in (1, 3, 6, 8)])
    assert restartable.run("XLEN", "stream") == 8
    restartable.kill_and_restart()
    restartable.wait_message("start ", 12)
    again = [message.split()[0] for message in restartable.messages("start ")[8:]]
    assert again == ["1", "3", "6", "8"]
    restartable.release(1, 3, 6, 8)
    restartable.wait_stream(pending_ids=[])
    restartable.wait(lambda: restartable.run("XLEN", "stream") == 0, "the stream is not trimmed")
    assert len(restartable.messages("start ")) == 12


def test_an_entry_that_is_deleted_while_it_waits_to_be_done_again_holds_up_nothing(restartable):
    restartable.load(consumer(window=3, callback="holding"), RELEASE)
    [first, second, _third] = restartable.add("stream", 1, 2, 3)
    restartable.wait_message("start ", 3)
    restartable.run("XDEL", "stream", first, second)
    restartable.kill_and_restart()
    restartable.wait_message("start ", 4)
    restartable.release(3)
    restartable.wait_stream(pending_ids=[])
    restartable.add("stream", 4)
    restartable.wait_message("start 4")
    restartable.release(4)


def test_progress_follows_its_stream(restartable):
    """Databases, new names, deletion, and a stream that is made anew with lower IDs."""
    restartable.load(consumer(callback="(c, data) => saw(data)"))
    other = restartable.connect(db=3)
    other.execute_command("XADD", "stream:db", "5-1", "n", "db")
    for stream in ("renamed", "deleted", "replaced", "expired"):
        restartable.run("XADD", f"stream:{stream}", "5-1", "n", "old")
    restartable.run("RENAME", "stream:renamed", "stream:new-name")
    restartable.run("DEL", "stream:deleted")
    restartable.run("SET", "stream:replaced", "text")
    restartable.run("DEL", "stream:replaced")
    restartable.run("PEXPIRE", "stream:expired", 1)
    restartable.wait(lambda: restartable.run("EXISTS", "stream:expired") == 0, "it does not expire")
    for stream in ("deleted", "expired"):
        restartable.run("XADD", f"stream:{stream}", "2-1", "n", "young")
    before = len(restartable.seen())
    restartable.kill_and_restart()
    restartable.run("XADD", "stream:replaced", "2-1", "n", "young")
    restartable.run("XADD", "stream:deleted", "3-1", "n", "younger")
    restartable.run("XADD", "stream:new-name", "6-1", "n", "younger")
    other = restartable.connect(db=3)
    other.execute_command("XADD", "stream:db", "6-1", "n", "younger")
    restartable.wait(lambda: len(restartable.seen()) >= before + 4, restartable.seen)
    expected = ["stream:replaced young", "stream:deleted younger", "stream:new-name younger", "stream:db younger"]
    assert restartable.seen()[before:] == expected


def test_nothing_runs_while_the_data_is_loaded(restartable):
    restartable.load(consumer(window=10, callback="async (c, data) => saw(data)"), consumer("sync", callback="() => {}"))
    restartable.add("stream", *range(300))
    restartable.wait_stream(total_record_processed=300)
    restartable.kill_and_restart()
    restartable.add("stream", "last")
    restartable.wait_seen(*(f"stream {n}" for n in range(300)), "stream last")


def test_a_second_restart_goes_on_as_the_first_did(restartable):
    restartable.load(consumer(window=2, callback="holding"), RELEASE)
    ids = restartable.add("stream", 1, 2, 3)
    restartable.wait_message("start ", 2)
    restartable.kill_and_restart()
    restartable.wait_message("start ", 4)
    restartable.release(2)
    restartable.wait_stream(pending_ids=[ids[0], ids[2]])
    restartable.kill_and_restart()
    restartable.wait_message("start ", 7)
    again = [message.split()[0] for message in restartable.messages("start ")[5:]]
    assert again == ["1", "3"]
    restartable.release(1, 3)
    restartable.wait_stream(pending_ids=[])


# --- quarantine -----------------------------------------------------------------------------------------------------


def only_once(*statements, seconds=1.0):
    """Code that can be loaded for a while, and the time when that is over."""
    end = time.time() + seconds
    return (f"if (Date.now() > {end * 1000}) throw new Error('this V8 will not do');", *statements), end


def test_a_library_that_cannot_be_loaded_any_more_is_kept_with_its_progress_until_it_is_mended(restartable):
    code, end = only_once(function(), consumer(trim=True))
    restartable.load(*code)
    restartable.load(consumer("other", trim=True, callback="(c, data) => saw(data, '2')"), name="other")
    ids = restartable.add("stream", 1, 2)
    restartable.run("SET", "data", "stays")
    eventually(lambda: time.time() > end)
    for _ in range(2):
        restartable.kill_and_restart()
        assert restartable.run("GET", "data") == "stays"
        assert restartable.libraries() == ["lib", "other"]
        assert "this V8 will not do" in library_of(restartable)["quarantine"]
        assert "quarantine" not in library_of(restartable, "other")
        assert restartable.stream("stream")["id_to_read_from"] == ids[-1]
    with pytest.raises(ResponseError, match="^Err the library is in quarantine: .*this V8 will not do"):
        restartable.call("f")
    assert restartable.client.info("redisgears_2")["redisgears_2_quarantined_libraries"] == 1

    restartable.add("stream", 3)
    restartable.wait_seen("stream 1", "stream 2", "stream 3", tag="2")
    assert restartable.run("XLEN", "stream") == 1, "who waits in quarantine has not seen it"
    assert restartable.seen() == ["stream 1", "stream 2"]
    with pytest.raises(ResponseError, match="already exists"):
        restartable.load(consumer())
    restartable.upgrade(consumer(trim=True))
    restartable.wait_seen("stream 1", "stream 2", "stream 3")
    restartable.wait(lambda: restartable.run("XLEN", "stream") == 0, "the stream is not trimmed")
    assert "quarantine" not in library_of(restartable)


def test_a_library_in_quarantine_can_be_deleted(restartable):
    code, end = only_once(consumer())
    restartable.load(*code)
    eventually(lambda: time.time() > end)
    restartable.kill_and_restart()
    assert "quarantine" in library_of(restartable)
    restartable.run("RG.FUNCTION", "DEL", "lib")
    assert restartable.libraries() == []
    restartable.load(consumer())
    restartable.add("stream", 1)
    assert restartable.seen() == ["stream 1"]


# --- a rewrite --------------------------------------------------------------------------------------------------------


def test_libraries_stay_where_the_rewrite_ends_before_the_event_loop_goes_on(start_server):
    server = start_server(*AOF, *COMMANDS_ONLY)
    server.load(consumer())
    server.add("stream", 1)
    # The sleep, in the same round as the fork, lasts until the child has ended; the server's clock then reaps it before
    # anything else is done.
    with server.client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("BGREWRITEAOF")
        pipeline.execute_command("DEBUG", "SLEEP", "0.5")
        pipeline.execute()
    server.wait(lambda: server.persistence("aof_rewrite_in_progress") == 0, "the rewrite does not end")
    server.restart()
    assert server.libraries() == ["lib"]
    server.add("stream", 2)
    server.wait_seen("stream 1", "stream 2")


# --- dumps ----------------------------------------------------------------------------------------------------------


def leaves_out_nothing(server):
    """Whether the server is one that leaves out what a module writes nothing for: 7.2 and later."""
    return tuple(map(int, server.client.info("server")["redis_version"].split(".")[:2])) >= (7, 2)


def test_once_the_libraries_are_deleted_a_server_without_the_module_loads_the_dump(start_server):
    server = start_server()
    server.load(consumer())
    server.add("stream", 1)
    server.run("RG.FUNCTION", "DEL", "lib")
    server.run("SAVE")
    optional = leaves_out_nothing(server)
    server.kill()
    if optional:
        server.start(module=False)
        assert server.run("XLEN", "stream") == 1
    else:
        server.launch(module=False)
        assert server.process.wait(timeout=15) != 0
        assert "no matching module 'RGlibrary'" in server.log_text()


@pytest.mark.leaves_pending("the library of the dump waits for promises")
def test_the_dump_of_an_earlier_release_is_loaded(start_server):
    server = start_server()
    server.kill()
    shutil.copy(GOLDEN / "form-1.rdb", server.directory / "dump.rdb")
    server.start()
    library = library_of(server)
    assert (library["configuration"], library["user"]) == ('{"a": 1}', "default")
    assert server.call("f") == "form 1, ä"
    rows = server.consumer()["rows"]
    shown = [(row["name"], row.get("db", 0), row["id_to_read_from"]) for row in rows]
    assert shown == [("stream:b", 3, "7-1"), ("stream:a", 0, "5-4")]
    server.wait(lambda: server.stream("stream:a")["pending_ids"] == ["5-2", "5-4"], server.consumer)
    server.wait_for(["two 1", "four 2"], lambda: server.messages("start "))


def test_the_dump_of_a_later_release_is_refused_with_a_clear_message(start_server):
    server = start_server()
    server.load(consumer())
    server.run("SAVE")
    server.kill()
    dump = server.directory / "dump.rdb"
    data = bytearray(dump.read_bytes())
    # The module's name and its form are one number of 64 bits; without a checksum nothing is compared.
    place = data.index(module_type(1))
    data[place : place + 8] = module_type(2)
    data[-8:] = bytes(8)
    dump.write_bytes(data)
    server.launch()
    server.process.wait(timeout=15)
    assert "a newer release of the module wrote them, in form 2; this one reads forms up to 1" in server.log_text()


def module_type(form, name="RGlibrary"):
    """The number by which a dump names a type of a module: six bits for each character, ten for the form."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    number = 0
    for character in name:
        number = number << 6 | alphabet.index(character)
    return (number << 10 | form).to_bytes(8, "big")


def crc64(data):
    """The checksum of a dumped value."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


def test_no_key_can_be_made_of_the_type_that_stands_for_the_libraries(server):
    of_a_key = server.client.dump("nothing") or b""
    assert of_a_key == b""
    server.run("SET", "text", "x")
    raw = server.connect(decode_responses=False)
    version = raw.dump("text")[-10:-8]
    body = b"\x07\x81" + module_type(1) + b"\x00" + version
    payload = body + crc64(body).to_bytes(8, "little")
    with pytest.raises(ResponseError, match="Bad data format|DUMP payload version or checksum are wrong"):
        raw.restore("key", 0, payload)
    assert server.run("EXISTS", "key") == 0


# --- libraries that take long to load -------------------------------------------------------------------------------

LONG_TO_LOAD = "for (const end = Date.now() + 900; Date.now() < end;);"
TIMEOUTS = ["--redisgears_2.lock-redis-timeout", "100", "--redisgears_2.db-loading-lock-redis-timeout"]


@pytest.mark.parametrize("way", ["AOF", "RDB"])
def test_a_library_that_was_loaded_under_a_longer_timeout_comes_back(start_server, way):
    server = start_server("--appendonly", "yes" if way == "AOF" else "no", "--appendfsync", "always")
    with server.setting("redisgears_2.lock-redis-timeout", 10_000):
        server.load(LONG_TO_LOAD, consumer(), function("f", "() => { for (;;); }"))
    server.add("stream", 1)
    server.wait_seen("stream 1")
    if way == "RDB":
        server.run("SAVE")
    server.restart()
    server.add("stream", 2)
    server.wait_seen("stream 1", "stream 2")
    # Once it is loaded its code has the time of any other.
    with pytest.raises(ResponseError, match="timeout"):
        server.call("f")
    server.restart(*TIMEOUTS, "200")
    with pytest.raises(ResponseError, match="quarantine"):
        server.call("f")
    # Never less than the other one.
    server.restart("--redisgears_2.lock-redis-timeout", "10000", *TIMEOUTS[2:], "200")
    server.add("stream", 3)
    server.wait_seen("stream 1", "stream 2", "stream 3")


def test_a_library_that_was_loaded_under_a_longer_timeout_reaches_replicas(start_server):
    primary, replica, late = start_server(), start_server(), start_server()
    replica.follow(primary)
    with primary.setting("redisgears_2.lock-redis-timeout", 10_000):
        primary.load(LONG_TO_LOAD, function("f", "() => 'here'", ["no-writes"]))
    assert primary.client.wait(1, 10000) == 1
    late.follow(primary)
    for node in (replica, late):
        assert node.call("f") == "here"
