"""In a cluster a stream is read, and a trigger fired, where the key's slot is."""

import pytest

from testing.cluster import slot_of
from testing.libraries import consumer

KINDS = {"sync": consumer(), "async": consumer(callback="async (client, data) => { saw(data); }")}


def asking(node):
    """A client whose commands a node takes for slots that it is importing."""
    client = node.connect(single_connection_client=True)

    def run(*arguments):
        client.execute_command("ASKING")
        return client.execute_command(*arguments)

    return run


@pytest.fixture
def moving(cluster):
    """A key whose slot is on its way: the key, the node that has it, and the one that imports it. Ends where it began."""
    source, target, *_ = cluster.primaries()
    key = source.key("stream")
    slot = slot_of(key)
    cluster.begin_move(slot, source, target)
    yield key, source, target
    if target.owns(slot):
        cluster.begin_move(slot, target, source)
    cluster.end_move(slot, source)
    cluster.wait(lambda: source.owns(slot) and not target.owns(slot), "the slot does not come back")


@pytest.mark.parametrize("kind", KINDS)
def test_each_stream_is_handled_once_by_the_primary_that_has_its_slot(cluster, kind):
    cluster.load(KINDS[kind])
    client = cluster.client()
    streams = [f"stream:{number}" for number in range(60)]
    for stream in streams:
        client.execute_command("XADD", stream, "*", "n", 1)
    seen = {}
    cluster.wait(
        lambda: seen.update({node.port: node.seen() for node in cluster.alive()}) or sum(map(len, seen.values())) >= 60,
        lambda: seen,
    )
    for node in cluster.primaries():
        assert sorted(seen[node.port]) == sorted(f"{stream} 1" for stream in streams if node.owns(slot_of(stream)))


@pytest.mark.parametrize("kind", KINDS)
def test_entries_of_a_slot_that_is_being_imported_wait_until_it_is_here(cluster, moving, kind):
    key, source, target = moving
    cluster.load(KINDS[kind])
    run = asking(target)
    for value in (1, 2, 3):
        run("XADD", key, "*", "n", value)
    error = f"ERR slot {slot_of(key)} is not served by this node"
    target.wait(lambda: target.stream(key).get("last_error") == error, lambda: target.stream(key))
    assert (target.seen(), source.seen()) == ([], [])
    cluster.end_move(slot_of(key), target)
    target.wait_seen(*[f"{key} {value}" for value in (1, 2, 3)])
    target.run("XADD", key, "*", "n", 4)
    target.wait_seen(*[f"{key} {value}" for value in (1, 2, 3, 4)])
    assert source.seen() == []
    target.run("DEL", key)


def test_triggers_do_not_fire_for_a_slot_that_is_being_imported(cluster, moving):
    key, source, target = moving
    trigger = "redis.register_notifications_consumer('t', '', (client, data) => redis.log(`fired ${data.event} ${data.key}`));"
    cluster.load(trigger)
    asking(target)("SET", key, 1)
    own = target.key("own")
    target.run("SET", own, 1)
    target.wait_message("fired ")
    assert target.messages("fired ") == [f"set {own}"]
    cluster.end_move(slot_of(key), target)
    target.run("SET", key, 2)
    target.wait_message("fired ", 2)
    assert target.messages("fired ") == [f"set {own}", f"set {key}"]
    assert source.messages("fired ") == []
    target.run("DEL", key)


def test_after_a_failover_the_streams_are_handled_where_they_are_now(cluster):
    cluster.load(KINDS["async"])
    primary = cluster.primaries()[0]
    key = primary.key("stream")
    primary.run("XADD", key, "*", "n", 1)
    primary.wait_seen(f"{key} 1")
    replica = cluster.fail_over(primary)
    replica.run("XADD", key, "*", "n", 2)
    replica.wait_seen(f"{key} 2")
    assert primary.seen() == [f"{key} 1"]
    cluster.fail_over(replica)
