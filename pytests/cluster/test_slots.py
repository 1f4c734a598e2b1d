"""What scripts of one shard do with keys of another: they are told where these are; and what goes to the stream's slot."""

import pytest
from redis import ResponseError
from redis.exceptions import MovedError

from testing.cluster import slot_of
from testing.libraries import consumer, function
from testing.replies import fields

WAYS = {
    "sync": "(client, ...words) => client.call(...words)",
    "async": "async (client, ...words) => client.block(locked => locked.call(...words))",
    "gears": "(client, ...words) => execute(...words)",
}
THROWS = "(client, data) => { throw new Error('boom'); }"
COMMANDS = (
    ("GET", "{}"),
    ("SET", "{}", "1"),
    ("XADD", "{}", "*", "n", "1"),
    ("MGET", "{{{}}}1", "{{{}}}2"),
    ("XREAD", "COUNT", "1", "STREAMS", "{}", "0"),
)


def address(node):
    return f"127.0.0.1:{node.port}"


def elsewhere(key, node):
    """What is said of a key that another node has."""
    return f"ERR slot {slot_of(key)} of the key '{key}' is served by {address(node)}, not by this node"


def error_of(run, *words):
    with pytest.raises(ResponseError) as caught:
        run(*words)
    return str(caught.value)


def info(node, *words):
    return fields(node.run("RG.CONSUMER", "INFO", "lib", "consumer", *words))


def wait_info(node, **expected):
    """Waits until the consumer's figures are these."""

    def shown():
        found = info(node)
        return {name: found[name] for name in expected}

    node.wait(lambda: shown() == expected, lambda: (shown(), expected))


@pytest.mark.parametrize("way", WAYS)
def test_a_script_is_told_slot_and_owner_of_a_key_that_is_elsewhere(cluster, way):
    cluster.load(function(callback=WAYS[way]))
    first, second, *_ = cluster.primaries()
    key = second.key()
    for command in COMMANDS:
        words = [word.format(key) for word in command]
        [named, *_] = [word for word in words if key in word]
        error = error_of(first.call, "f", *words)
        assert elsewhere(named, second).removeprefix("ERR ") in error, words
        assert error.endswith(": have run_on_key call a remote function there"), words
    assert second.run("EXISTS", key) == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_script_is_told_which_keys_of_a_command_are_in_different_slots(cluster, way):
    cluster.load(function(callback=WAYS[way]))
    first, second, *_ = cluster.primaries()
    here, there = first.key(), second.key()
    other = next(key for key in map(str, range(100)) if first.owns(slot_of(key)) and slot_of(key) != slot_of(here))
    for key in (there, other):
        error = error_of(first.call, "f", "MSET", here, 1, key, 2)
        keys = f"'{here}' in {slot_of(here)} and '{key}' in {slot_of(key)}"
        assert f"the keys of 'mset' are in different slots, {keys}: give them one {{tag}}" in error
    assert first.run("EXISTS", here) == 0
    # The server is as before.
    assert first.call("f", "SET", here, 1) == "OK"
    first.run("DEL", here)


def test_consumers_and_triggers_are_told_of_keys_that_are_elsewhere(cluster):
    first, second, *_ = cluster.primaries()
    key, stream = second.key(), first.key("stream")
    write = f"(client, data) => client.call('SET', '{key}', 1)"
    trigger = f"redis.register_notifications_consumer('t', 'own', {write});"
    cluster.load(consumer(callback=write), trigger)
    first.add(stream, 1)
    said = elsewhere(key, second)
    first.wait(lambda: said in info(first)["last_error"], lambda: info(first))
    first.run("SET", first.key("own"), 1)
    trigger = lambda: fields(first.run("RG.TRIGGER", "INFO", "lib", "t"))  # noqa: E731
    first.wait(lambda: said in str(trigger()), trigger)
    assert second.run("EXISTS", key) == 0


def test_of_a_key_that_has_left_a_slot_it_is_said_where_that_goes(cluster):
    cluster.load(function(callback=WAYS["sync"]))
    source, target, *_ = cluster.primaries()
    key = source.key("moving")
    slot = slot_of(key)
    cluster.begin_move(slot, source, target)
    try:
        leaving = f"slot {slot} of the key '{key}' is on its way to {address(target)}"
        # The server's table is read once a second.
        source.wait(lambda: leaving in error_of(source.call, "f", "GET", key), "the table is not read")
        assert elsewhere(key, source).removeprefix("ERR ") in error_of(target.call, "f", "GET", key)
    finally:
        cluster.end_move(slot, source)
    cluster.wait(lambda: source.call("f", "GET", key) is None, "the slot does not come back")


def test_dead_letters_with_a_place_in_their_name_are_in_the_slot_of_their_stream(cluster):
    cluster.load(consumer(callback=THROWS, options={"dead_letter": "dead:{}"}))
    for node in cluster.primaries():
        stream = node.key("stream")
        tagged = f"stream:{{{node.key('tag')}}}:x"
        for name, tag in ((stream, stream), (tagged, node.key("tag"))):
            [entry] = node.add(name, 1)
            letters = f"dead:{{{tag}}}"
            node.wait(lambda node=node, letters=letters: node.run("XLEN", letters) == 1, "there is no dead letter")
            [_, [letter]] = node.run("RG.CONSUMER", "LETTERS", "lib", "consumer", "STREAM", name)
            found = fields(letter)
            assert (found["dead_letter_stream"], found["stream"], found["id"]) == (letters, name, entry)
            assert node.run("RG.CONSUMER", "DROP", "lib", "consumer", "STREAM", name, "ALL") == 1
        assert "name a STREAM" in error_of(node.run, "RG.CONSUMER", "LETTERS", "lib", "consumer")


def test_a_dead_letter_stream_that_is_elsewhere_is_named_and_what_is_to_go_there_waits(cluster):
    first, second, *_ = cluster.primaries()
    dead, stream = second.key("dead"), first.key("stream")
    options = {"dead_letter": dead}
    cluster.load(consumer(callback=THROWS, options=options))
    [entry] = first.add(stream, 1)
    reason = f"the dead letter of {entry} cannot be written: {elsewhere(dead, second)}"
    reason += ": with {} in its name, dead letters are in the stream's slot"
    wait_info(first, state="blocked", blocked_streams=1, reason=reason, last_error=reason)
    assert info(first, "STREAM", stream)["reason"] == reason
    assert first.stream(stream)["pending_ids"] == [entry]
    assert elsewhere(dead, second).removeprefix("ERR ") in error_of(
        first.run, "RG.CONSUMER", "LETTERS", "lib", "consumer", "STREAM", stream
    )
    # Where it is here it is written.
    own = second.key("stream")
    second.add(own, 1)
    second.wait(lambda: second.run("XLEN", dead) == 1, "there is no dead letter")
    [_, [letter]] = second.run("RG.CONSUMER", "LETTERS", "lib", "consumer")
    assert fields(letter)["stream"] == own
    # Nothing was lost: new code has it written.
    options["dead_letter"] = "dead:{}"
    cluster.load(consumer(callback=THROWS, options=options), options=["UPGRADE"])
    first.wait(lambda: first.run("XLEN", f"dead:{{{stream}}}") == 1, lambda: info(first))
    wait_info(first, state="running", blocked_streams=0, reason="None")
    assert first.stream(stream)["pending_ids"] == []


@pytest.mark.parametrize(
    "words",
    [
        ("INFO",),
        ("PAUSE",),
        ("RESUME",),
        ("RETRY",),
        ("SEEK", "earliest"),
        ("SKIP", "1-1"),
        ("LETTERS",),
        ("REDRIVE",),
        ("DROP", "ALL"),
    ],
    ids=lambda words: words[0].lower(),
)
def test_the_stream_of_a_consumer_command_is_a_key_and_clients_are_sent_to_its_node(cluster, words):
    first, second, *_ = cluster.primaries()
    key = second.key("stream")
    command = ("RG.CONSUMER", words[0], "lib", "consumer", "STREAM", key, *words[1:])
    assert first.send("COMMAND", "GETKEYS", *command).reply() == [key]
    with pytest.raises(MovedError) as moved:
        first.run(*command)
    assert (moved.value.slot_id, moved.value.port) == (slot_of(key), second.port)
