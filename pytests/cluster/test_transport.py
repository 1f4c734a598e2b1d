"""Nodes of a cluster are connected without anybody's doing, whatever happens to them, and messages arrive or their end is known."""

import os

import pytest
from redis import ResponseError

from testing import bus, certificates
from testing.cluster import NODE_TIMEOUT, Cluster
from testing.launch import HOST
from testing.replies import fields

# Bytes of a message in one command.
CHUNK = 16 * 1024 - 18
# What the tests' messages are about: nobody handles them.
TOPIC = "probe"


@pytest.fixture(scope="module")
def _nodes(tmp_path_factory):
    cluster = Cluster(lambda: tmp_path_factory.mktemp("node"), module_args="enable-debug-command yes")
    yield cluster
    cluster.kill()


@pytest.fixture
def nodes(_nodes):
    """Three primaries, each with a replica, that are all connected."""
    wait_all_up(_nodes)
    yield _nodes
    _nodes.assert_alive()
    _nodes.wait_ok()


def info(node):
    """What RG.CLUSTER INFO says; peers by their names."""
    found = fields(node.run("RG.CLUSTER", "INFO"))
    peers = [fields(peer) for peer in found.get("peers", [])]
    return found | {"peers": {peer["node"]: peer for peer in peers}}


def peer(node, other):
    """What a node says of another one."""
    return info(node)["peers"].get(other.identity, {})


def is_all_up(cluster):
    """Whether every pair of which one is a primary is connected both ways."""
    for node in cluster.alive():
        found = info(node)
        others = [other for other in cluster.alive() if other is not node]
        wanted = {other.identity for other in others if node.is_primary() or other.is_primary()}
        up = {name for name, one in found["peers"].items() if one["state"] == "up" and one["inbound"]}
        if not wanted <= up:
            return False
    return True


def wait_all_up(cluster):
    cluster.wait(lambda: is_all_up(cluster), lambda: [info(node) for node in cluster.alive()])


def wait_state(node, other, state):
    node.wait(lambda: peer(node, other).get("state") == state, lambda: peer(node, other))


def send(node, other, size, topic=TOPIC):
    """Sends a message of so many bytes; gives its ticket."""
    return node.run("RG.FUNCTION", "DEBUG", "send_to_node", other.identity, topic, size)


def counts(node, other):
    """Messages and bytes of the tests' topic that came from another node: about the others nodes talk by themselves."""
    topics = {one["topic"]: one for one in map(fields, peer(node, other)["received_by_topic"])}
    return topics[TOPIC]["messages"], topics[TOPIC]["bytes"]


def wait_received(node, other, before, sizes):
    """Waits until these are all that came since."""
    wanted = (before[0] + len(sizes), before[1] + sum(sizes))
    node.wait(lambda: counts(node, other) >= wanted, lambda: (counts(node, other), wanted))
    assert counts(node, other) == wanted


def error_of(run, *words):
    with pytest.raises(ResponseError) as caught:
        run(*words)
    return str(caught.value)


@pytest.fixture
def patient(nodes):
    """No node counts as failing, however long it is stopped."""
    for node in nodes.alive():
        node.run("CONFIG", "SET", "cluster-node-timeout", 120_000)
    yield nodes
    for node in nodes.alive():
        node.run("CONFIG", "SET", "cluster-node-timeout", NODE_TIMEOUT)


def test_all_nodes_are_connected_without_configuration(nodes):
    first, second, *_ = nodes.primaries()
    found = info(first)
    assert (found["state"], found["node"], found["shards"], found["peers_up"]) == ("on", first.identity, 3, 5)
    one = found["peers"][second.identity]
    assert (one["port"], one["role"], one["tls"]) == (second.port, "primary", 0)
    assert one["process"] == info(second)["process"] != found["process"]
    assert one["version"] == found["version"] != ""
    [replica] = nodes.replicas_of(first)
    # Replicas have nothing to say to each other.
    assert set(info(replica)["peers"]) == {node.identity for node in nodes.primaries()}
    section = first.client.info("redisgears_2_cluster")
    assert section["redisgears_2_cluster_peers_up"] == 5
    assert section[f"redisgears_2_peer_{second.identity}"]["state"] in ("up", "silent")


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK, 10_000_000])
def test_messages_of_any_size_arrive(nodes, size):
    first, second, *_ = nodes.primaries()
    before = counts(second, first)
    send(first, second, size)
    wait_received(second, first, before, [size])
    first.wait(lambda: peer(first, second)["queue_bytes"] == 0, lambda: peer(first, second))
    second.wait(lambda: info(second)["receive_bytes"] == 0, lambda: info(second))


def test_many_messages_both_ways_arrive_once(nodes):
    pairs = [(one, other) for one in nodes.primaries() for other in nodes.alive() if one is not other]
    before = {pair: counts(pair[1], pair[0]) for pair in pairs}
    sizes = [10, 100_000, 3, 20_000, 1_000_000] * 4
    for one, other in pairs:
        for size in sizes:
            send(one, other, size)
    for one, other in pairs:
        wait_received(other, one, before[one, other], sizes)


def test_small_messages_do_not_wait_for_large_ones(nodes):
    first, second, *_ = nodes.primaries()
    messages, total = counts(second, first)
    # Nothing arrives before all of it is on its way.
    with second.suspended():
        for _ in range(3):
            send(first, second, 20_000_000)
        send(first, second, 7)
    second.wait(lambda: counts(second, first)[0] > messages, lambda: counts(second, first))
    arrived, found = counts(second, first)
    # All four may be there before anybody looks.
    assert found - total == 7 or arrived == messages + 4 or (found - total) % 20_000_000 == 7
    wait_received(second, first, (messages, total), [20_000_000] * 3 + [7])


def test_a_message_that_is_too_large_is_refused(nodes):
    first, second, *_ = nodes.primaries()
    first.run("RG.CONFIG", "SET", "cluster-message-size", "1mb")
    try:
        error = error_of(send, first, second, (1 << 20) + 1)
        assert error == "not sent: the message is larger than 1048576 bytes"
        send(first, second, 1 << 20)
    finally:
        first.run("RG.CONFIG", "SET", "cluster-message-size", "65mb")


def test_nobody_sends_to_nodes_that_there_are_not(nodes):
    first, *_ = nodes.primaries()
    for wrong in ("0" * 40, first.identity):
        error = error_of(first.run, "RG.FUNCTION", "DEBUG", "send_to_node", wrong, "calls", 1)
        assert error == "not sent: there is no such node in the cluster"


def test_what_waits_for_a_stopped_node_is_bounded_and_arrives(patient):
    first, second, third, *_ = patient.primaries()
    before = counts(second, first)
    size, sent = 20_000_000, []
    with second.suspended():
        for _ in range(3):
            send(first, second, size)
            sent.append(size)
        error = error_of(send, first, second, size)
        assert error == f"not sent: more than {64 << 20} bytes wait for the node"
        others = counts(third, first)
        send(first, third, 5)
        wait_received(third, first, others, [5])
        assert peer(first, second)["queue_bytes"] <= 64 << 20
        wait_state(first, second, "silent")
    wait_received(second, first, before, sent)
    wait_state(first, second, "up")
    first.wait(lambda: peer(first, second)["queue_bytes"] == 0, lambda: peer(first, second))


def test_a_node_that_fails_is_told_of_and_comes_back(nodes):
    first, *_ = nodes.primaries()
    [replica] = nodes.replicas_of(first)
    before = peer(first, replica)["connections"]
    with replica.suspended():
        wait_state(first, replica, "failed")
        assert error_of(send, first, replica, 1) == "not sent: there is no connection to the node"
    wait_all_up(nodes)
    assert peer(first, replica)["connections"] > before
    received = counts(replica, first)
    send(first, replica, 9)
    wait_received(replica, first, received, [9])


def test_a_node_that_starts_anew_is_another_process(nodes):
    first, *_ = nodes.primaries()
    [replica] = nodes.replicas_of(first)
    before = peer(first, replica)["process"]
    replica.restart()
    nodes.wait_ok()
    wait_all_up(nodes)
    assert peer(first, replica)["process"] == info(replica)["process"] != before


def test_after_a_failover_all_are_connected(nodes):
    first, *_ = nodes.primaries()
    replica = nodes.fail_over(first)
    others = [node for node in nodes.alive() if node not in (first, replica)]
    for node in others:
        node.wait(lambda node=node: peer(node, replica).get("role") == "primary", lambda node=node: info(node))
    wait_all_up(nodes)
    second = next(node for node in nodes.primaries() if node is not replica)
    before = counts(second, replica)
    send(replica, second, 100_000)
    wait_received(second, replica, before, [100_000])


def test_a_primary_that_is_killed_and_comes_back_is_connected(nodes):
    first, second, *_ = nodes.primaries()
    nodes.kill_primary(first)
    second.wait(lambda: peer(second, first).get("state") in ("failed", "waiting", "connecting"), lambda: info(second))
    first.start()
    nodes.wait_ok()
    wait_all_up(nodes)


@pytest.fixture
def locked(nodes):
    """Nobody gets in without a password, and the default user not at all."""
    for node in nodes.alive():
        node.run("CONFIG", "SET", "requirepass", "secret")
        node.run("ACL", "SETUSER", "default", "off")
    yield nodes
    for node in nodes.alive():
        node.run("ACL", "SETUSER", "default", "on", "nopass")


def test_neither_passwords_nor_rights_are_needed_between_nodes(locked):
    first, second, *_ = locked.primaries()
    pairs = [(one, other) for one in locked.primaries() for other in locked.primaries() if one is not other]
    before = {pair: peer(*pair)["connections"] for pair in pairs}
    for node in locked.primaries():
        node.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for pair, count in before.items():
        locked.wait(lambda pair=pair, count=count: peer(*pair)["connections"] > count, lambda pair=pair: info(pair[0]))
    wait_all_up(locked)
    received = counts(second, first)
    send(first, second, 50_000)
    wait_received(second, first, received, [50_000])


# --- other ways to be a cluster


@pytest.fixture
def start_cluster(tmp_path_factory):
    """Starts a cluster of two shards with options of its own."""
    started = []

    def start(*options, **more):
        debug = {"module_args": "enable-debug-command yes"}
        started.append(Cluster(lambda: tmp_path_factory.mktemp("node"), *options, shards=2, **debug, **more))
        return started[-1]

    yield start
    for cluster in started:
        cluster.assert_alive()
        cluster.kill()


def assert_talks(cluster):
    """Messages go from each primary to each other node."""
    wait_all_up(cluster)
    for node in cluster.primaries():
        for other in cluster.alive():
            if other is not node:
                before = counts(other, node)
                send(node, other, 100_000)
                wait_received(other, node, before, [100_000])


def test_nodes_with_ipv6_addresses_are_connected(start_cluster):
    cluster = start_cluster("--bind", HOST, "::1", "--cluster-announce-ip", "::1", address="::1")
    assert_talks(cluster)
    first, second = cluster.primaries()
    assert peer(first, second)["address"] == "::1"


def test_nodes_that_talk_in_tls_are_connected_in_tls(start_cluster, start_server, tmp_path):
    if not start_server().client.config_get("tls-port"):
        pytest.skip("this server was built without TLS")
    yes = ("--tls-cluster", "yes", "--tls-replication", "yes")
    cluster = start_cluster(*certificates.make(tmp_path), *yes, tls_ports=True)
    assert_talks(cluster)
    first, second = cluster.primaries()
    found = peer(first, second)
    [tls_port] = second.client.config_get("tls-port").values()
    assert (found["tls"], found["port"]) == (1, int(tls_port))


def test_nodes_talk_at_their_own_places_whatever_clients_are_told(start_cluster):
    cluster = start_cluster(replicas=0)
    first, second = cluster.primaries()
    told = {"cluster-announce-client-ipv4": "192.0.2.1", "cluster-announce-client-port": 7}
    told = {name: value for name, value in told.items() if first.client.config_get(name)}
    if not told:
        pytest.skip("this server tells clients what nodes are told")
    for node in (first, second):
        for name, value in told.items():
            node.client.config_set(name, value)

    def place():
        """Where the first tells its clients that the second is."""
        shards = map(fields, first.run("RG.INFOCLUSTER")[4])
        return next((shard["ip"], shard["port"]) for shard in shards if shard["id"] == second.identity)

    expected = ("192.0.2.1", told.get("cluster-announce-client-port", second.port))
    first.wait(lambda: place() == expected, place)
    assert_talks(cluster)
    found = peer(first, second)
    assert (found["address"], found["port"], found["connections"]) == (HOST, second.port, 1)


def test_a_node_that_joins_is_connected_and_one_that_is_forgotten_is_not(start_cluster):
    cluster = start_cluster(replicas=0)
    wait_all_up(cluster)
    added = cluster.add_node()
    wait_all_up(cluster)
    assert_talks(cluster)
    first, second = (node for node in cluster.alive() if node is not added)
    for node in (first, second):
        node.cluster("FORGET", added.identity)
    for node in (first, second):
        node.wait(lambda node=node: not peer(node, added), lambda node=node: info(node))
    added.wait(lambda: peer(added, first).get("state") != "up", lambda: info(added))
    assert "not sent" in error_of(send, first, added, 1)
    cluster.nodes.remove(added)
    added.kill()


@pytest.fixture
def tight(nodes):
    """A node with little memory for what comes in."""
    _, second, *_ = nodes.primaries()
    second.run("RG.CONFIG", "SET", "cluster-receive-memory", "1mb")
    yield nodes
    second.run("RG.CONFIG", "SET", "cluster-receive-memory", "256mb")


def test_what_finds_no_memory_comes_again_and_arrives_once(tight):
    _, second, *_ = tight.primaries()
    senders = [node for node in tight.primaries() if node is not second]
    before = {node: counts(second, node) for node in senders}
    sizes = [3_000_000, 700_000, 100, 2_000_000] * 3
    for size in sizes:
        for node in senders:
            send(node, second, size)
    for node in senders:
        wait_received(second, node, before[node], sizes)
    second.wait(lambda: info(second)["receive_bytes"] == 0, lambda: info(second))


def test_what_is_sent_to_a_node_in_a_long_script_arrives_behind_it(patient):
    """A node that is busy answers so: that ends no connection."""
    first, second, *_ = patient.primaries()
    before, connections = counts(second, first), peer(first, second)["connections"]
    second.run("CONFIG", "SET", "busy-reply-threshold", 50)
    script = second.send("EVAL", "while true do end", 0)

    def is_busy():
        try:
            second.client.ping()
        except ResponseError as error:
            return "BUSY" in str(error)
        return False

    try:
        second.wait(is_busy)
        for size in (1, 100_000):
            send(first, second, size)
        # It was sent, and refused: that takes less than the time between two attempts. So is what nodes say of libraries.
        first.wait(lambda: peer(first, second)["queue_messages"] >= 2, lambda: peer(first, second))
    finally:
        second.run("SCRIPT", "KILL")
        with pytest.raises(ResponseError):
            script.reply()
        second.run("CONFIG", "SET", "busy-reply-threshold", 5000)
    wait_received(second, first, before, [1, 100_000])
    assert peer(first, second)["connections"] == connections


def test_links_of_the_bus_that_break_break_no_connection(nodes):
    first, second, *_ = nodes.primaries()
    before, connections = counts(second, first), peer(first, second)["connections"]
    for node in (first, second):
        # Once each: some servers die of a link that is not there.
        node.run("DEBUG", "CLUSTERLINK", "KILL", "TO", (second if node is first else first).identity)
        for _ in range(3):
            send(first, second, 20_000)
    wait_received(second, first, before, [20_000] * 6)
    assert peer(first, second)["connections"] == connections


def test_a_node_without_the_module_is_no_peer_and_holds_up_nobody(start_cluster):
    cluster = start_cluster(replicas=0)
    first, second = cluster.primaries()
    wait_all_up(cluster)
    second.kill()
    second.start(module=False)
    first.wait(lambda: peer(first, second)["state"] in ("waiting", "no_token"), lambda: info(first))
    says = "ERR unknown command '_RG_INTERNALS'"
    first.wait(lambda: peer(first, second)["last_error"] == says, lambda: info(first))
    assert error_of(send, first, second, 1) == "not sent: there is no connection to the node"
    second.restart()
    wait_all_up(cluster)
    assert_talks(cluster)


# --- who is no node


def frame(data=b"x", version=1, topic=1, total=None, offset=0):
    total = len(data) if total is None else total
    return bytes([version, topic]) + bytes(8) + total.to_bytes(4, "little") + offset.to_bytes(4, "little") + data


def test_who_has_not_shown_the_token_sends_nothing(nodes):
    first, second, *_ = nodes.primaries()
    refused = info(second)["refused"]
    for data in (b"", b"x", frame()):
        error = error_of(second.run, "_RG_INTERNALS", "FRAME", data)
        assert error == "this connection is not that of another node of the cluster"
    process = info(first)["process"]
    wrong = "WRONGTOKEN this is not the token that the node was given"
    for name in (first.identity, second.identity, "0" * 40):
        for token in (b"", bytes(32), os.urandom(32), os.urandom(33)):
            assert error_of(second.run, "_RG_INTERNALS", "PEER", 1, name, process, token) == wrong
    for words in (["x", first.identity, process], [0, first.identity, process], [1, "x", process], [1, first.identity, "x"]):
        assert error_of(second.run, "_RG_INTERNALS", "PEER", *words, bytes(32)) == "version, node or process is none"
    assert info(second)["refused"] == refused + 15
    assert is_all_up(nodes)


def test_garbage_on_the_bus_is_refused_and_harms_nobody(nodes):
    first, second, *_ = nodes.primaries()
    refused = info(second)["refused"]
    whole = bus.greeting(bytes(16), bytes(32))
    assert len(whole) == bus.GREETING
    wrong = [b"x", b"RG2", whole[:-1], whole + b"x", b"RG2\x02" + whole[4:], whole[:4] + b"\x07" + whole[5:], os.urandom(10_000)]
    bus.send(second, *[bus.packet(first, payload) for payload in wrong])
    second.wait(lambda: info(second)["refused"] >= refused + len(wrong), lambda: info(second))
    # Of other types, of other modules, of nobody; and a packet that is cut off.
    bus.send(second, bus.packet(first, whole, kind=3), bus.packet(first, whole)[:-10])
    assert info(second)["refused"] == refused + len(wrong)
    wait_state(second, first, "up")


def test_greetings_that_are_repeated_or_false_are_set_right(nodes):
    """A token that is none is shown once, and refused; the next greeting brings the right one."""
    first, second, *_ = nodes.primaries()
    before = peer(second, first)["connections"]
    false = bus.packet(first, bus.greeting(os.urandom(16), os.urandom(32)))
    bus.send(second, *[false] * 20)
    # What is there stays.
    wait_state(second, first, "up")
    assert peer(second, first)["connections"] == before
    first.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    second.wait(lambda: peer(second, first)["connections"] > before, lambda: info(second))
    wait_all_up(nodes)
    received = counts(first, second)
    send(second, first, 77)
    wait_received(first, second, received, [77])


# --- RedisGears 1


def test_clients_of_redisgears_1_see_the_shards(nodes):
    first, *_ = nodes.primaries()
    name, identity, run_name, run, shards = first.run("RG.INFOCLUSTER")
    assert (name, identity, run_name, run) == ("MyId", first.identity, "MyRunId", info(first)["process"])
    found = {one["id"]: one for one in map(fields, shards)}
    assert set(found) == {node.identity for node in nodes.primaries()}
    for node in nodes.primaries():
        one = found[node.identity]
        [(lowest, highest)] = node.slots()
        assert (one["ip"], one["port"], one["minHslot"], one["maxHslot"]) == ("127.0.0.1", node.port, lowest, highest)
        assert (one["unixSocket"], one["runid"], one["pendingMessages"]) == ("None", None, 0)
    assert first.run("RG.REFRESHCLUSTER") == "OK"


def test_without_a_cluster_there_is_none(server):
    assert fields(server.run("RG.CLUSTER", "INFO")) == {"state": "off"}
    assert server.run("RG.INFOCLUSTER") == "no cluster mode"
    assert server.run("RG.REFRESHCLUSTER") == "OK"
    assert "redisgears_2_cluster" not in str(server.run("INFO", "redisgears_2"))
    for words in (["PEER", 1, "0" * 40, "0" * 32, "x"], ["FRAME", "x"]):
        assert error_of(server.run, "_RG_INTERNALS", *words) == "this server is in no cluster"
