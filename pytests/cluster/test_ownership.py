"""In a cluster a stream is read, and a trigger fired, where the key's slot is."""

import pytest
from redis import ResponseError

from testing.cluster import slot_of
from testing.libraries import consumer
from testing.replies import fields

KINDS = {
    "sync": consumer(),
    "async": consumer(callback="async (client, data) => { saw(data); }"),
    # As in RedisGears 1.
    "gears": "GearsBuilder('StreamReader').foreach(one => redis.log(`saw ${one.key} ${one.value.n}`))"
    ".register({ prefix: 'stream*', recordFormat: 'nested' });",
}
TRIGGERS = {
    "trigger": "redis.register_notifications_consumer('t', '', (client, data) => redis.log(`fired ${data.event} ${data.key}`));",
    "gears": "GearsBuilder('KeysReader').foreach(one => redis.log(`fired ${one.event} ${one.key}`)).register({ prefix: '*' });",
}


def streams(node):
    """What LIST says of the streams of all consumers."""
    libraries = [fields(row) for row in node.run("RG.FUNCTION", "LIST", "vvv")]
    consumers = [fields(row) for library in libraries for row in library["stream_consumers"]]
    return [fields(row) for one in consumers for row in one["streams"]]


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
    place = f"127.0.0.1:{source.port}"
    error = f"ERR slot {slot_of(key)} of the key '{key}' is served by {place}, not by this node"
    waits = lambda: [row["last_error"] for row in streams(target) if row["name"] == key]  # noqa: E731
    target.wait(lambda: waits() == [error], waits)
    assert (target.seen(), source.seen()) == ([], [])
    cluster.end_move(slot_of(key), target)
    target.wait_seen(*[f"{key} {value}" for value in (1, 2, 3)])
    target.run("XADD", key, "*", "n", 4)
    target.wait_seen(*[f"{key} {value}" for value in (1, 2, 3, 4)])
    assert source.seen() == []
    target.run("DEL", key)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_triggers_do_not_fire_for_a_slot_that_is_being_imported(cluster, moving, kind):
    key, source, target = moving
    cluster.load(TRIGGERS[kind])
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


@pytest.fixture
def importing(cluster):
    """Has a node import a slot of another one as the servers themselves do, slowly; gives the slot back."""
    source, target, *_ = cluster.primaries()
    key = source.key("stream")
    slot = slot_of(key)

    def move(to):
        to.cluster("MIGRATION", "IMPORT", slot, slot)
        return to

    yield key, source, lambda: move(target)
    source.run("CONFIG", "SET", "rdb-key-save-delay", 0)
    if target.owns(slot):
        move(source)
        cluster.wait(lambda: source.owns(slot) and not target.owns(slot), "the slot does not come back")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_entries_of_a_slot_that_the_server_itself_imports_wait_until_it_is_here(cluster, importing, kind):
    key, source, move = importing
    cluster.load(KINDS[kind])
    source.add(key, 1, 2, 3)
    source.wait_seen(*[f"{key} {value}" for value in (1, 2, 3)])
    # So it takes about a second.
    source.run("MSET", *(word for number in range(100) for word in (f"{{{key}}}{number}", "x")))
    source.run("CONFIG", "SET", "rdb-key-save-delay", 10_000)
    try:
        target = move()
    except ResponseError:
        pytest.skip("this server has no migration of its own, or not with modules")
    before = 0
    while True:
        seen = target.seen()
        if target.owns(slot_of(key)):
            break
        assert seen == []
        before += 1
    assert before > 0
    # From the beginning: what was done there is not known here.
    target.wait_seen(*[f"{key} {value}" for value in (1, 2, 3)])
    assert len(source.seen()) == 3
