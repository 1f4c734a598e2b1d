"""All shards have the same libraries: what is loaded or deleted on one is, on all, or nowhere."""

import threading

import pytest
from redis import ResponseError

from testing.cluster import Cluster
from testing.libraries import consumer, function, library
from testing.replies import fields


@pytest.fixture(scope="module")
def _shards(tmp_path_factory):
    options = ("--appendonly", "yes", "--cluster-require-full-coverage", "no")
    cluster = Cluster(lambda: tmp_path_factory.mktemp("node"), *options, replicas=0)
    yield cluster
    cluster.kill()


@pytest.fixture
def shards(_shards):
    """Three primaries without replicas, which keep what they have on their disks."""
    for node in _shards.nodes:
        if not node.is_alive():
            node.start()
    _shards.wait_ok()
    settle(_shards)
    for name in _shards.nodes[0].libraries():
        delete(_shards, name)
    yield _shards


def settle(cluster):
    """Waits until all nodes have the same libraries."""
    cluster.wait(lambda: len({known(node) for node in cluster.alive()}) == 1, lambda: [known(node) for node in cluster.alive()])


def known(node):
    """The libraries of a node, each with its stamp and the digest of its text."""
    rows = [fields(row) for row in node.run("RG.FUNCTION", "LIST", "v")]
    return tuple((row["name"], row.get("stamp"), row["digest"], row["version"]) for row in rows)


def delete(cluster, name):
    cluster.change(lambda: cluster.nodes[0].run("RG.FUNCTION", "DEL", name))


def answering(text):
    return function("f", f"() => '{text}'")


def answers(cluster):
    return [node.run("RG.FCALL", "lib", "f", 0) for node in cluster.primaries()]


def test_a_library_is_loaded_upgraded_and_deleted_on_all_shards_whichever_is_asked(cluster):
    first, second, third = cluster.primaries()
    cluster.change(lambda: first.load(answering("one")))
    assert answers(cluster) == ["one"] * 3
    second.upgrade(answering("two"))
    assert answers(cluster) == ["two"] * 3
    assert len({known(node) for node in cluster.primaries()}) == 1
    [(_, stamp, _, version)] = known(third)
    assert stamp.endswith(second.identity)
    assert version == 2
    # Replicas have it from their primaries, and say the same of it.
    settle(cluster)
    third.run("RG.FUNCTION", "ROLLBACK", "lib")
    assert answers(cluster) == ["one"] * 3
    third.run("RG.FUNCTION", "DEL", "lib")
    assert [node.libraries() for node in cluster.primaries()] == [[], [], []]
    settle(cluster)


def test_what_one_shard_cannot_load_is_loaded_nowhere_and_the_error_names_it(cluster):
    first, second, _ = cluster.primaries()
    first.run("ACL", "SETUSER", "anna", "on", "nopass", "+@all", "~*")
    try:
        cluster.change(lambda: first.load(answering("one")))
        before = [known(node) for node in cluster.primaries()]
        with pytest.raises(ResponseError, match="refuses the library, nothing was changed") as error:
            first.load(answering("two"), options=["UPGRADE", "OWNER", "anna"])
        assert "anna" in str(error.value)
        assert any(node.identity in str(error.value) for node in cluster.primaries()[1:])
        assert [known(node) for node in cluster.primaries()] == before
        assert answers(cluster) == ["one"] * 3
        with pytest.raises(ResponseError, match="already exists"):
            second.load(answering("three"))
        # It is free again.
        cluster.change(lambda: second.upgrade(answering("four")))
        assert answers(cluster) == ["four"] * 3
    finally:
        first.run("ACL", "DELUSER", "anna")


def test_a_library_is_not_changed_where_a_client_cannot_wait(cluster):
    [node, *_] = cluster.primaries()
    pipeline = node.client.pipeline(transaction=True)
    pipeline.execute_command("RG.FUNCTION", "LOAD", library(answering("one")))
    with pytest.raises(ResponseError, match="not changed in a transaction"):
        pipeline.execute()
    assert node.libraries() == []


def test_a_replica_that_takes_over_has_the_libraries_and_their_stamps(cluster):
    [primary, *_] = cluster.primaries()
    cluster.change(lambda: primary.load(answering("one")))
    settle(cluster)
    before = known(primary)
    replica = cluster.fail_over(primary)
    assert known(replica) == before
    cluster.change(lambda: replica.upgrade(answering("two")))
    assert answers(cluster) == ["two"] * 3
    settle(cluster)
    cluster.fail_over(replica)


def test_consumers_keep_their_progress_when_another_shard_upgrades_their_library(cluster):
    first, second, _ = cluster.primaries()
    cluster.change(lambda: first.load(consumer()))
    key = second.key("stream")
    second.run("XADD", key, "*", "n", 1)
    second.wait_seen(f"{key} 1")
    first.upgrade(consumer())
    second.run("XADD", key, "*", "n", 2)
    second.wait_seen(f"{key} 1", f"{key} 2")


def test_a_shard_that_was_down_catches_up(shards):
    first, second, third = shards.nodes
    shards.change(lambda: first.load(answering("old"), name="kept"))
    first.load(answering("gone"), name="gone")
    third.kill()
    # It is asked no more once the cluster takes it for failed.
    shards.change(lambda: first.load(answering("new"), name="kept", options=["UPGRADE"]))
    second.run("RG.FUNCTION", "DEL", "gone")
    second.load(answering("more"), name="more")
    third.start()
    shards.wait_ok()
    settle(shards)
    assert third.libraries() == ["kept", "more"]
    assert third.run("RG.FCALL", "kept", "f", 0) == "new"


def test_too_few_shards_change_nothing(shards):
    first, second, third = shards.nodes
    shards.change(lambda: first.load(answering("one")))
    before = known(first)
    second.kill()
    third.kill()
    # Whichever comes first: that nobody answers, or that the server has its waiting clients go.
    with pytest.raises(ResponseError, match="nothing was changed|The cluster is down"):
        first.upgrade(answering("two"))
    assert known(first) == before
    second.start()
    third.start()
    shards.wait_ok()
    settle(shards)


def test_libraries_and_what_was_deleted_are_known_after_a_restart(shards):
    [first, *_] = shards.nodes
    shards.change(lambda: first.load(answering("one")))
    first.load(answering("gone"), name="gone")
    first.run("RG.FUNCTION", "DEL", "gone")
    before = known(first)
    for node in shards.nodes:
        node.restart()
    shards.wait_ok()
    settle(shards)
    assert known(first) == before


def test_a_node_that_joins_gets_the_libraries_and_brings_none_along(shards):
    [first, *_] = shards.nodes
    shards.change(lambda: first.load(answering("one")))
    node = shards.add_node()
    shards.wait(lambda: node.libraries() == ["lib"], node.libraries)
    settle(shards)
    node.kill()
    shards.nodes.remove(node)
    for other in shards.nodes:
        other.cluster("FORGET", node.identity)


def test_two_clients_that_change_the_same_library_at_once_leave_one_of_both_everywhere(cluster):
    first, second, _ = cluster.primaries()
    cluster.change(lambda: first.load(answering("start")))
    made = []

    def change(node, who):
        for turn in range(20):
            try:
                node.connect().execute_command("RG.FUNCTION", "LOAD", "UPGRADE", library(answering(f"{who}{turn}")))
                made.append(f"{who}{turn}")
            except ResponseError as error:
                assert "nothing was changed" in str(error), error

    threads = [threading.Thread(target=change, args=one) for one in ((first, "a"), (second, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(cluster)
    [answer] = set(answers(cluster))
    assert answer in made
