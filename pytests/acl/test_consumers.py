"""A consumer has the rights of whoever loaded its library, and never more."""

import re

import pytest
from redis import ResponseError

from testing.libraries import consumer, library
from testing.replies import fields
from testing.rights import COMPARED, COMPARED_RULES, FUNCTIONS, NOT_FOR_SCRIPTS, RIGHTS, WAYS, call, code_of, direct_code, fill, outcome
from testing.users import NO_USER, is_denied

CALLBACKS = {
    "sync": "(client, data) => { %s saw(data); }",
    "async": "async (client, data) => { await client.block(client => { %s }); saw(data); }",
}
OWNER = ["+rg.function", "+xread", "+xtrim", "~stream*", "~mine:*"]

# What the owner of a consumer loses, how he gets it back, what the error says, and whether only trimming needs it.
OWNER_LOSSES = {
    "disabled": (["off"], ["on"], "does not exists? or disabled", False),
    "denied the key": (["resetkeys", "~mine:*"], ["~stream*"], "does not have permissions on key", False),
    "denied reading the key": (["resetkeys", "%W~stream*"], ["~stream*"], "does not have permissions on key", False),
    "denied XREAD": (["-xread"], ["+xread"], "XREAD", False),
    "denied writing the key": (["resetkeys", "%R~stream*"], ["~stream*"], "does not have permissions on key", True),
    "denied XTRIM": (["-xtrim"], ["+xtrim"], "XTRIM", True),
    "denied everything": (["nocommands", "resetkeys"], ["+xread", "+xtrim", "~stream*"], "permissions", False),
}


def load_as(client, *statements, upgrade=False, name="lib", owner=None):
    """Loads a library as a user."""
    options = ["UPGRADE"] if upgrade else []
    options += ["OWNER", owner] if owner else []
    client.execute_command("RG.FUNCTION", "LOAD", *options, library(*statements, name=name))


def refused(server, error):
    """Waits until the consumer's error says so."""
    server.wait(
        lambda: re.search(error, str(server.stream("stream").get("last_error"))),
        lambda: server.stream("stream"),
    )


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("kind", CALLBACKS)
@pytest.mark.parametrize("loss", OWNER_LOSSES)
def test_a_consumer_stands_still_while_its_owner_lacks_a_right(server, people, loss, kind, trim):
    rules, back, error, only_trim = OWNER_LOSSES[loss]
    load_as(people.make("owner", *OWNER), consumer(trim=trim, callback=CALLBACKS[kind] % ""))
    server.add("stream", 1)
    server.wait_seen("stream 1")
    length = 0 if trim else 1
    server.wait(lambda: server.run("XLEN", "stream") == length, "the trim is missing")

    people.change("owner", *rules)
    server.add("stream", 2, 3)
    if only_trim and not trim:
        server.wait_seen("stream 1", "stream 2", "stream 3")
        return
    refused(server, error)
    server.add("stream", 4)
    assert server.seen() == ["stream 1"]
    assert server.run("XLEN", "stream") == length + 3
    assert server.stream("stream")["total_record_processed"] == 1

    people.change("owner", *back)
    server.wait_seen("stream 1", "stream 2", "stream 3", "stream 4")
    server.wait_stream(total_record_processed=4, pending_ids=[])
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 4), "the trim is missing")
    server.add("stream", 5)
    server.wait_seen("stream 1", "stream 2", "stream 3", "stream 4", "stream 5")


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_consumer_stands_still_while_its_owner_is_no_user(server, people, kind, trim):
    load_as(people.make("owner", *OWNER), consumer(trim=trim, callback=CALLBACKS[kind] % ""))
    server.add("stream", 1)
    server.wait_seen("stream 1")
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 1), "the trim is missing")
    people.delete("owner")
    server.add("stream", 2, 3)
    refused(server, "does not exists? or disabled")
    assert server.seen() == ["stream 1"]
    assert server.run("XLEN", "stream") == (2 if trim else 3)
    people.set("owner", *OWNER)
    server.wait_seen("stream 1", "stream 2", "stream 3")
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 3), "the trim is missing")


def test_a_consumer_that_is_refused_keeps_the_entries_from_the_trimming_of_another(server, people):
    load_as(people.make("owner", *OWNER), consumer(callback="(client, data) => saw(data, 'owner')"), name="owners")
    server.load(consumer("trims", trim=True))
    people.change("owner", "-xread")
    server.add("stream", 1, 2, 3)
    server.wait_seen("stream 1", "stream 2", "stream 3")
    server.wait(lambda: "XREAD" in str(server.stream("stream", library="owners").get("last_error")))
    assert server.run("XLEN", "stream") == 3
    people.change("owner", "+xread")
    server.wait_seen("stream 1", "stream 2", "stream 3", tag="owner")
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the trim is missing")


def test_a_consumer_that_is_refused_one_stream_has_the_others(server, people):
    load_as(people.make("owner", "+rg.function", "+xread", "~stream:a"), consumer(trim=False))
    server.add("stream:b", 1)
    server.add("stream:a", 2)
    server.wait_seen("stream:a 2")
    server.wait(lambda: "permissions" in str(server.stream("stream:b").get("last_error")))
    people.change("owner", "~stream:b")
    server.wait_seen("stream:a 2", "stream:b 1")


@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_consumer_may_what_its_owner_may_and_not_what_the_writer_may(server, people, kind):
    owner = people.make("owner", *OWNER, "+set", "+get")
    load_as(
        owner,
        consumer(callback=CALLBACKS[kind] % "client.call('SET', data.record[0][1], 'by the owner');"),
    )
    writer = people.make("writer", "+xadd", "~stream*")
    server.add("stream", "mine:1", client=writer)
    server.wait_stream(total_record_processed=1, last_error="None")
    server.add("stream", "other:1")
    server.wait_stream(total_record_processed=2)
    assert is_denied(server.stream("stream")["last_error"])
    assert server.run("MGET", "mine:1", "other:1") == ["by the owner", "1"]
    people.change("owner", "-set")
    server.add("stream", "mine:2")
    server.wait_stream(total_record_processed=3)
    assert is_denied(server.stream("stream")["last_error"])
    assert server.run("EXISTS", "mine:2") == 0


# The command is the entry's value; what came of it is logged, since the last error of a stream stays.
NOTED = """
const words = data => value(data).split(' ');
const noted = (data, work) => {
    let came = 'ok';
    try { work(); } catch (error) { came = String(error); }
    redis.log(`came ${came.replaceAll('\\n', ' ')}`);
};
"""
CALLBACK_WAYS = {
    "sync": "(client, data) => noted(data, () => client.call_raw(...words(data)))",
    "async": "async (client, data) => noted(data, () => client.block(inside => inside.call_raw(...words(data))))",
    "after await": "async (client, data) => { await null;"
    " noted(data, () => client.block(inside => inside.call_raw(...words(data)))); }",
    "background": "(client, data) => client.run_on_background("
    "async background => noted(data, () => background.block(inside => inside.call_raw(...words(data)))))",
}


def owner_of_stream(people, rules):
    """A user with these rights, and those to load a consumer of the stream."""
    # A pattern behind all keys is an error of the server.
    return people.make("owner", *rules, "+rg.function", "+xread", *([] if "~*" in rules else ["~todo*"]))


def come_of_entry(server, command):
    """What a callback of ``CALLBACK_WAYS`` got for its command."""
    seen = len(server.messages("came "))
    server.add("todo", command)
    server.wait_message("came ", seen + 1)
    return server.messages("came ")[seen]


@pytest.mark.parametrize("way", CALLBACK_WAYS)
@pytest.mark.parametrize("rights", RIGHTS)
def test_a_consumer_may_what_its_owner_may(server, people, rights, way):
    rules, commands = RIGHTS[rights]
    owner = owner_of_stream(people, rules)
    load_as(owner, NOTED, consumer(prefix="todo", callback=CALLBACK_WAYS[way]))
    for command, expected in commands.items():
        assert outcome(lambda command=command: owner.execute_command(*command.split())) == expected, command
        came = come_of_entry(server, command)
        assert ("denied" if is_denied(came) else came) == expected, command
    server.wait(lambda: server.stream("todo").get("total_record_processed") == len(commands), "an entry is missing")


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("rules", COMPARED_RULES)
def test_what_a_connection_of_its_owner_is_refused_a_consumer_is_refused_as_well(server, people, rules, way):
    owner = owner_of_stream(people, COMPARED_RULES[rules])
    load_as(owner, NOTED, consumer(prefix="todo", callback=CALLBACK_WAYS[way]))
    differences = []
    for line in COMPARED.strip().splitlines():
        for command in line.split("|"):
            fill(server)
            through = come_of_entry(server, command)
            if NOT_FOR_SCRIPTS.search(through):
                continue
            through = "ok" if through == "ok" else code_of(through)
            fill(server)
            direct = direct_code(owner, command.split())
            if direct != through:
                differences.append((command, direct, through))
    assert differences == []


GONE = {
    "deleted": lambda people: people.delete("owner"),
    "disabled": lambda people: people.change("owner", "off"),
}
LATE = {
    "async": "async (client, data) => { await holding(client, data); client.block(c => c.call('SET', 'mine:1', 'late')); }",
    "background": "(client, data) => client.run_on_background(async background => {"
    " await holding(client, data); background.block(c => c.call('SET', 'mine:1', 'late')); })",
}


@pytest.mark.parametrize("kind", LATE)
@pytest.mark.parametrize("how", GONE)
def test_a_callback_that_runs_when_its_owner_goes_fails_and_later_entries_stay(server, people, how, kind):
    owner = people.make("owner", *OWNER, "+set")
    # A caller's function lets the callback go on: a consumer's rights are its owner's.
    release = "redis.register_function('release', (client, key) => held.get(key)(0));"
    load_as(owner, consumer(callback=LATE[kind]), release)
    server.add("stream", "x")
    server.wait_message("start x ")
    GONE[how](people)
    server.add("stream", "y", "z")
    call(server.client, "release", "x")
    server.wait_stream(total_record_processed=1, pending_ids=[])
    assert server.run("GET", "mine:1") == "1"
    refused(server, f"{NO_USER}|does not exists? or disabled")
    assert server.run("XLEN", "stream") == 3
    assert server.messages("start ") == ["x 1"]
    people.set("owner", *OWNER, "+set")
    for key in "yz":
        server.wait_message(f"start {key} ")
        call(server.client, "release", key)
    server.wait_stream(total_record_processed=3, pending_ids=[])
    assert server.run("GET", "mine:1") == "late"


def test_an_async_callback_whose_owner_goes_meanwhile_has_no_rights_left(server, people):
    callback = "async (client, data) => { await holding(client, data); client.block(c => c.call('SET', 'mine:1', '2')); }"
    release = consumer("release", "letgo", callback="(client, data) => { held.get(value(data))(0); }")
    owner = people.make("owner", *OWNER, "+set", "~letgo")
    load_as(owner, consumer(callback=callback), release)
    server.add("stream", "x")
    server.wait_message("start x ")
    people.change("owner", "-set")
    server.add("letgo", "x")
    server.wait_stream(total_record_processed=1)
    assert is_denied(server.stream("stream")["last_error"])
    assert server.run("GET", "mine:1") == "1"


@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_library_that_another_user_upgrades_acts_as_that_one(server, people, kind):
    code = consumer(callback=CALLBACKS[kind] % "client.call('SET', data.record[0][1], 'set');")
    first = people.make("first", *OWNER, "+set")
    second = people.make("second", "+rg.function", "+xread", "+xtrim", "+set", "~stream*", "~other:*")
    load_as(first, code)
    server.add("stream", "mine:1", "other:1")
    server.wait_stream(total_record_processed=2)
    assert server.run("MGET", "mine:1", "other:1") == ["set", "1"]
    load_as(second, code, upgrade=True, owner="second")
    server.add("stream", "mine:2", "other:1")
    server.wait_stream(total_record_processed=4)
    assert server.run("MGET", "mine:2", "other:1") == [None, "set"]
    [reply] = server.run("RG.FUNCTION", "LIST", "LIBRARY", "lib")
    assert fields(reply)["user"] == "second"
    # The first one is of no account any more.
    people.change("first", "off")
    server.add("stream", "other:2")
    server.wait_stream(total_record_processed=5)
    assert server.run("GET", "other:2") == "set"


def test_entries_that_a_failed_upgrade_left_alone_stay_with_the_old_owner(server, people):
    code = consumer(callback=CALLBACKS["sync"] % "client.call('SET', data.record[0][1], 'set');")
    load_as(people.make("first", *OWNER, "+set"), code)
    second = people.make("second", "+rg.function", "+set", "~other:*")
    with pytest.raises(ResponseError, match="by intent"):
        load_as(second, code, "throw new Error('by intent');", upgrade=True, owner="second")
    server.add("stream", "mine:1")
    server.wait_stream(total_record_processed=1, last_error="None")
    assert server.run("GET", "mine:1") == "set"


def test_functions_of_a_library_do_not_act_as_its_owner(server, people):
    owner = people.make("owner", "+rg.function", "+@all", "~*")
    load_as(owner, *FUNCTIONS)
    user = people.make("user", "+set", "~mine:*")
    for way in WAYS:
        assert outcome(lambda way=way: call(user, way, "SET", "other:1", "2")) == "denied"
    people.delete("owner")
    for way in WAYS:
        assert outcome(lambda way=way: call(user, way, "SET", "mine:1", "2")) == "ok"


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("loss", ["resetkeys ~stream* ~mine:*", "resetkeys ~stream* ~mine:* %R~rg.once:*", "-zscore", "-zrange", "-zadd"])
def test_an_owner_without_the_right_to_notes_of_once_hears_of_it_before_the_work_is_done(server, people, kind, loss):
    work = "client.once(data, c => c.call('RPUSH', 'mine:done', value(data)));"
    callback = {"sync": "(client, data) => { %s }", "async": "async (client, data) => { %s }"}[kind] % work
    owner = people.make("owner", *OWNER, "~rg.once:*", "+rpush", "+zscore", "+zrange", "+zadd", "+zcard", "+zpopmin")
    people.change("owner", *loss.split())
    load_as(owner, consumer(callback=callback))
    server.add("stream", 1)
    server.wait_stream(total_record_processed=1)
    assert re.search("permission", server.stream("stream")["last_error"])
    assert server.run("EXISTS", "mine:done") == 0
    people.change("owner", "~rg.once:*", "+zscore", "+zrange", "+zadd")
    server.add("stream", 2)
    server.wait_stream(total_record_processed=2)
    assert server.run("LRANGE", "mine:done", 0, -1) == ["2"]


BLOCKS = {
    "gone": (lambda people: people.delete("owner"), lambda people: people.set("owner", *OWNER), "owner.*does not exists? or disabled"),
    "without XREAD": (lambda people: people.change("owner", "-xread"), lambda people: people.change("owner", "+xread"), "owner.*XREAD"),
}


def info_of_consumer(server, *stream):
    return fields(server.run("RG.CONSUMER", "INFO", "lib", "consumer", *stream))


@pytest.mark.parametrize("kind", CALLBACKS)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_consumer_whose_owner_lacks_something_is_blocked_and_says_why(server, people, block, kind):
    begin, end, reason = BLOCKS[block]
    load_as(people.make("owner", *OWNER), consumer(callback=CALLBACKS[kind] % ""))
    server.add("stream", 1)
    server.wait_seen("stream 1")
    assert (info_of_consumer(server)["state"], info_of_consumer(server)["reason"]) == ("running", "None")

    begin(people)
    server.add("stream", 2)
    server.wait(lambda: info_of_consumer(server)["state"] == "blocked", lambda: info_of_consumer(server))
    shown = info_of_consumer(server)
    assert re.search(reason, shown["reason"]) and shown["blocked_streams"] == 1
    of_stream = info_of_consumer(server, "STREAM", "stream")
    assert (of_stream["state"], of_stream["reason"]) == ("blocked", shown["reason"])
    _, rows = server.run("RG.CONSUMER", "STREAMS", "lib", "consumer", "STATE", "blocked")
    assert [fields(row)["name"] for row in rows] == ["stream"]
    line = server.client.info("redisgears_2_consumers")["redisgears_2_consumer_lib_consumer"]
    assert (line["state"], line["blocked_streams"]) == ("blocked", 1)
    assert re.search(reason, line["reason"])

    end(people)
    server.wait_seen("stream 1", "stream 2")
    server.wait(lambda: info_of_consumer(server)["state"] == "running", lambda: info_of_consumer(server))
    shown = info_of_consumer(server)
    assert (shown["reason"], shown["blocked_streams"]) == ("None", 0)
    server.wait(lambda: server.times_logged("[lib/consumer] is not blocked any more") == 1, server.log_text)
    assert server.times_logged("[lib/consumer] is blocked at stream 'stream'") == 1
