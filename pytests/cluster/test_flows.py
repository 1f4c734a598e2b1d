"""A cluster as users have it, whoever set it up and however its nodes are reached: libraries are loaded and called anywhere,
and each stream is handled once, by the primary of its slot."""

import subprocess
from pathlib import Path

import pytest
import redis

from testing import certificates
from testing.cluster import Cluster, slot_of
from testing.launch import HOST, REDIS_SERVER
from testing.libraries import consumer, function

STREAMS = [f"stream:{number}" for number in range(40)]
# Slots of none of them.
EMPTY = sorted(set(range(16384)) - set(map(slot_of, STREAMS)))
LIBRARY = (
    consumer(callback="async (client, data) => { saw(data); }"),
    "redis.register_notifications_consumer('t', 'key', (client, data) => redis.log(`fired ${data.event} ${data.key}`),"
    " { event_types: ['set', 'incrby'] });",
    "redis.register_remote_function('put', async (client, key) => client.block(c => c.call('INCR', key)));",
    function("put", "async (client, key) => client.run_on_key(key, { name: 'put', timeout: 60000 }, key)"),
)


@pytest.fixture
def start_cluster(tmp_path_factory):
    """Starts a cluster of two shards with options of its own; ends it after the test."""
    started = []

    def start(*options, **more):
        more = {"shards": 2, "replicas": 0} | more
        started.append(Cluster(lambda: tmp_path_factory.mktemp("node"), *options, **more))
        return started[-1]

    start.servers = started
    yield start
    for cluster in started:
        cluster.assert_alive()
        cluster.kill()


def assert_works(cluster):
    """Streams and triggers are handled where their slots are, each once; functions reach keys from wherever they are called."""
    nodes = cluster.primaries()
    owners = {stream: next(node for node in nodes if node.owns(slot_of(stream))) for stream in STREAMS}
    for node in cluster.alive():
        node.mark = node.log.stat().st_size
    for stream, owner in owners.items():
        owner.add(stream, 1)
    for node in nodes:
        expected = sorted(f"{stream} 1" for stream, owner in owners.items() if owner is node)
        count = len(expected)
        node.wait(lambda node=node, count=count: len(node.seen()) >= count, node.seen)
        assert sorted(node.seen()) == expected
    for caller in nodes:
        for owner in nodes:
            key = owner.key("key")
            before = int(owner.run("GET", key) or 0)
            assert caller.call("put", key) == before + 1
            assert owner.run("GET", key) == str(before + 1)
    # A client's write fires; that of a library does not.
    for node in nodes:
        node.run("SET", node.key("key:own"), 1)
        node.wait_message("fired ")
        assert node.messages("fired ") == [f"set {node.key('key:own')}"]
    for node in cluster.alive():
        if node not in nodes:
            assert (node.seen(), node.messages("fired ")) == ([], [])


def test_without_a_default_user_everything_works_and_goes_on_after_a_failover(start_cluster):
    cluster = start_cluster(replicas=1)
    for node in cluster.alive():
        node.run("ACL", "SETUSER", "admin", "on", ">secret", "~*", "&*", "+@all")
        for name, value in (("masteruser", "admin"), ("masterauth", "secret"), ("requirepass", "other")):
            node.run("CONFIG", "SET", name, value)
        node.client = node.connect(username="admin", password="secret")
        node.run("ACL", "SETUSER", "default", "off")
        node.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(redis.AuthenticationError):
        cluster.nodes[0].connect().ping()
    cluster.load(*LIBRARY)
    assert_works(cluster)
    cluster.fail_over(cluster.primaries()[0])
    assert_works(cluster)


def test_over_ipv6_and_with_io_threads_everything_works(start_cluster):
    own = ("--bind", HOST, "::1", "--cluster-announce-ip", "::1", "--io-threads", "4")
    cluster = start_cluster(*own, address="::1")
    cluster.load(*LIBRARY)
    assert_works(cluster)


def test_over_tls_alone_everything_works(start_cluster, start_server, tmp_path):
    if not start_server().client.config_get("tls-port"):
        pytest.skip("this server was built without TLS")
    yes = ("--tls-cluster", "yes", "--tls-replication", "yes")
    cluster = start_cluster(*certificates.make(tmp_path), *yes, tls_ports=True)
    for node in cluster.alive():
        # Nobody but these clients gets in without TLS any more.
        node.run("CONFIG", "SET", "port", 0)
        with pytest.raises(redis.ConnectionError):
            node.connect().ping()
    cluster.load(*LIBRARY)
    assert_works(cluster)


def test_a_shard_that_joins_handles_the_streams_of_its_slots_until_it_leaves(start_cluster):
    # Or a primary that gives its last slot away would follow the other one.
    cluster = start_cluster("--cluster-allow-replica-migration", "no")
    cluster.load(*LIBRARY)
    source, *_ = cluster.primaries()
    added = cluster.add_node()
    added.wait(lambda: added.libraries() == ["lib"], added.libraries)
    moved = next(stream for stream in STREAMS if source.owns(slot_of(stream)))
    slots = [slot_of(moved), *[slot for slot in EMPTY if source.owns(slot)][:4]]
    cluster.move(slots, source, added)
    assert_works(cluster)
    # Its entries move with the next feature: there are none when it leaves.
    for key in (moved, added.key("key"), added.key("key:own")):
        added.run("DEL", key)
    cluster.move(slots, added, source)
    cluster.forget(added)
    cluster.wait_ok()
    assert_works(cluster)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("RG.JSEXECUTE", "GB('ShardsIDReader').map(x => hashtag()).run({ mode: 'async_local' })"),
        ("RG.PYEXECUTE", "GB('ShardsIDReader').map(lambda x: hashtag()).run(mode='async_local')"),
    ],
    ids=["JavaScript", "Python"],
)
def test_a_node_without_slots_has_no_hash_tag_and_says_so(start_cluster, command, code):
    cluster = start_cluster()
    source, *_ = cluster.primaries()
    [tag], errors = source.run(command, code)
    assert (source.owns(slot_of(tag)), errors) == (True, [])
    added = cluster.add_node()
    added.wait(lambda: added.state()["cluster_state"] == "ok", added.state)
    found, [error] = added.run(command, code)
    assert found == []
    assert "'hashtag' needs a slot, and this node has none" in error


def test_nodes_that_start_while_the_cluster_is_down_go_on_when_it_is_up(start_cluster):
    cluster = start_cluster("--appendonly", "yes", "--appendfsync", "always", "--cluster-node-timeout", "1000", shards=3)
    cluster.load(*LIBRARY)
    first, second, third = cluster.primaries()
    first.kill()
    cluster.wait(lambda: second.state()["cluster_state"] == "fail", second.state)
    stream = second.key("stream")
    with pytest.raises(redis.exceptions.ClusterDownError):
        second.add(stream, 1)
    second.restart()
    third.wait(lambda: third.state()["cluster_state"] == "fail", third.state)
    first.start()
    cluster.wait_ok()
    assert_works(cluster)


def cli(*words):
    """Runs the server's own client."""
    server = Path(REDIS_SERVER)
    program = str(server.with_name(server.name.replace("-server", "-cli")))
    command = [program, "--cluster", *map(str, words), "--cluster-yes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def address(node):
    return f"{HOST}:{node.port}"


def test_a_cluster_that_the_servers_own_tool_makes_and_shifts_works(start_cluster):
    cluster = start_cluster(shards=3, create=lambda nodes: cli("create", *map(address, nodes)))
    cluster.load(*LIBRARY)
    assert_works(cluster)
    source, target, _ = cluster.primaries()
    for node in cluster.primaries():
        # Streams whose slots move are the next feature.
        node.run("FLUSHALL")
    before = source.slots()
    cli("reshard", address(source), "--cluster-from", source.identity, "--cluster-to", target.identity, "--cluster-slots", 50)
    cluster.wait(lambda: source.slots() != before, source.slots)
    cluster.wait_ok()
    assert_works(cluster)
