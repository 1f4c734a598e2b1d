"""All shards have the same libraries: what is loaded or deleted on one is, on all, or nowhere."""

import itertools
import json
import threading
import time
from functools import partial

import pytest
from redis import ResponseError

from testing.cluster import Cluster
from testing.libraries import consumer, function, library
from testing.replies import fields
from testing.waits import DEADLINE


@pytest.fixture(scope="module")
def _shards(tmp_path_factory):
    options = ("--appendonly", "yes", "--appendfsync", "always", "--cluster-require-full-coverage", "no")
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


def test_a_check_asks_all_shards_as_a_load_does_and_changes_nothing(cluster):
    first, second, third = cluster.primaries()
    cluster.change(lambda: first.load(answering("one")))
    before = [known(node) for node in cluster.primaries()]
    code = library(answering("two"))
    for node in (first, third):
        node.run("ACL", "SETUSER", "bert", "on", "nopass", "~*", "+@all")
    options = ("UPGRADE", "OWNER", "bert")
    try:
        errors = []
        for more in (("CHECK",), ()):
            with pytest.raises(ResponseError) as refused:
                first.run("RG.FUNCTION", "LOAD", *options, *more, code)
            errors.append(str(refused.value))
        assert errors[0] == errors[1]
        assert f"shard {second.identity} refuses the library, nothing was changed: its owner, user 'bert', does not exist" in errors[0]
        second.run("ACL", "SETUSER", "bert", "on", "nopass", "~*", "+@all")
        found = fields(first.run("RG.FUNCTION", "LOAD", *options, "CHECK", code))
        assert (found["action"], found["owner"], found["loaded_at"]) == ("upgrade", "bert", None)
        assert [known(node) for node in cluster.primaries()] == before
        assert answers(cluster) == ["one"] * 3
    finally:
        for node in cluster.primaries():
            node.run("ACL", "DELUSER", "bert")


def test_a_check_is_no_more_possible_in_a_transaction_than_a_load(cluster):
    node, *_ = cluster.primaries()
    pipeline = node.client.pipeline(transaction=True)
    for more in ((), ("CHECK",)):
        pipeline.execute_command("RG.FUNCTION", "LOAD", *more, library(answering("one")))
    load, check = map(str, pipeline.execute(raise_on_error=False))
    assert load == check
    assert "not changed in a transaction or script" in check


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


def test_a_shard_that_has_just_come_back_is_asked(shards):
    first, _, third = shards.nodes
    shards.change(lambda: first.load(answering("one")))
    third.kill()
    # It is asked no more once the cluster takes it for failed.
    shards.change(lambda: first.upgrade(answering("two")))
    third.start()
    shards.wait_ok()
    shards.change(lambda: first.upgrade(answering("three")))
    assert answers(shards) == ["three"] * 3


@pytest.fixture
def small_messages(shards):
    """The shards, which send each other messages of 1 MB at most."""
    for one in shards.nodes:
        one.run("RG.CONFIG", "SET", "cluster-message-size", "1mb")
    yield shards
    for one in shards.nodes:
        one.run("RG.CONFIG", "SET", "cluster-message-size", "65mb")


def test_a_library_that_is_larger_than_messages_may_be_gets_to_all_shards(small_messages):
    first, *_ = small_messages.nodes
    small_messages.change(lambda: first.load(answering("large"), "/*" + "x" * 2_000_000 + "*/"))
    assert answers(small_messages) == ["large"] * 3


def test_a_shard_that_was_down_gets_what_is_more_than_messages_may_have(small_messages):
    first, _, third = small_messages.nodes
    third.kill()
    for number in range(12):
        small_messages.change(partial(first.load, answering("more"), "/*" + "x" * 100_000 + "*/", name=f"l{number}"))
    third.start()
    small_messages.wait_ok()
    settle(small_messages)
    assert len(third.libraries()) == 12


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
    shards.forget(node)


def test_a_node_that_was_reset_and_comes_back_brings_none_along(shards):
    [first, *_] = shards.nodes
    shards.change(lambda: first.load(answering("one")))
    node = shards.add_node()
    shards.wait(lambda: node.libraries() == ["lib"], node.libraries)
    before = node.identity
    node.cluster("RESET", "HARD")
    for other in shards.nodes[:-1]:
        other.cluster("FORGET", before)
    # Until it has read the server's table, it tells the others what it has.
    node.wait(lambda: fields(node.run("RG.CLUSTER", "INFO"))["peers"] == [], "it has others")
    node.run("RG.JSEXECUTE", "GB('StreamReader').register('s')")
    [own] = set(node.libraries()) - {"lib"}
    shards.meet(node)
    shards.wait(lambda: node.libraries() == ["lib"], node.libraries)
    settle(shards)
    assert own not in first.libraries()
    shards.forget(node)


def test_two_clients_that_change_the_same_library_at_once_without_a_pause_both_get_on(cluster, measured):
    first, second, _ = cluster.primaries()
    cluster.change(lambda: first.load(answering("start")))
    end = time.monotonic() + DEADLINE
    made, refused = {first: [], second: []}, []

    def change(node):
        client = node.connect()
        while len(made[node]) < 20 and time.monotonic() < end:
            text = f"{node.identity} {len(made[node])}"
            try:
                client.execute_command("RG.FUNCTION", "LOAD", "UPGRADE", library(answering(text)))
                made[node].append(text)
            except ResponseError as error:
                refused.append(str(error))

    begin = time.monotonic()
    threads = [threading.Thread(target=change, args=[node]) for node in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    measured(f"two clients, 20 upgrades each: {time.monotonic() - begin:.1f} s, {len(refused)} refused meanwhile")
    assert [len(texts) for texts in made.values()] == [20, 20], refused[-5:]
    assert all("nothing was changed" in error for error in refused), refused
    settle(cluster)
    [answer] = set(answers(cluster))
    assert answer in {texts[-1] for texts in made.values()}


def test_the_progress_of_a_deleted_library_is_kept_on_all_shards_until_it_is_loaded_again_or_dropped(cluster):
    first, second, third = cluster.primaries()
    cluster.load(consumer())
    key = second.key("stream")
    second.run("XADD", key, "*", "n", 1)
    second.wait_seen(f"{key} 1")
    third.run("RG.FUNCTION", "DEL", "lib", "KEEPPROGRESS")
    assert [node.libraries() for node in cluster.primaries()] == [[], [], []]
    kept = [[fields(row) for row in node.run("RG.CONSUMER", "KEPT")] for node in cluster.primaries()]
    assert [[row["library"] for row in rows] for rows in kept] == [["lib"]] * 3
    assert [rows[0]["deleted_by"] for rows in kept] == [f"node {third.identity}"] * 2 + ["default"]
    with pytest.raises(ResponseError, match="say FORCE to drop that"):
        first.run("RG.FUNCTION", "DEL", "lib")
    second.run("XADD", key, "*", "n", 2)
    first.load(consumer())
    second.wait_seen(f"{key} 1", f"{key} 2")
    second.run("RG.FUNCTION", "DEL", "lib", "KEEPPROGRESS")
    settle(cluster)
    first.run("RG.FUNCTION", "DEL", "lib", "FORCE")
    assert [node.run("RG.CONSUMER", "KEPT") for node in cluster.primaries()] == [[], [], []]
    first.load(consumer())
    second.wait_seen(f"{key} 1", f"{key} 2", f"{key} 1", f"{key} 2")


def test_kept_progress_outlives_a_restart_and_a_shard_that_was_down_keeps_its_own(shards):
    first, second, third = shards.nodes
    shards.load(consumer())
    third.kill()
    shards.change(lambda: first.run("RG.FUNCTION", "DEL", "lib", "KEEPPROGRESS"))
    second.restart()
    third.start()
    shards.wait_ok()
    settle(shards)

    def kept():
        return [[fields(row)["library"] for row in node.run("RG.CONSUMER", "KEPT")] for node in shards.nodes]

    shards.wait(lambda: kept() == [["lib"]] * 3, kept)
    shards.change(lambda: third.run("RG.FUNCTION", "DEL", "lib", "FORCE"))
    shards.wait(lambda: kept() == [[]] * 3, kept)


def test_a_setting_that_refuses_to_lose_progress_holds_for_what_other_shards_have_read(cluster):
    [first, *_] = cluster.primaries()
    cluster.load(consumer())
    first.run("CONFIG", "SET", "redisgears_2.delete-with-progress", "refuse")
    try:
        with pytest.raises(ResponseError, match="has consumers with progress"):
            first.run("RG.FUNCTION", "DEL", "lib")
        first.run("RG.FUNCTION", "DEL", "lib", "FORCE")
    finally:
        first.run("CONFIG", "SET", "redisgears_2.delete-with-progress", "allow")


def test_who_has_other_libraries_is_shown_and_told(shards):
    first, second, third = shards.nodes
    shards.load(answering("one"))

    def shown(node):
        """What it says of the others, by their names."""
        peers = map(fields, fields(node.run("RG.CLUSTER", "INFO"))["peers"])
        return {peer["node"]: (peer["libraries"], peer["libraries_that_differ"]) for peer in peers}

    def own(node):
        return fields(fields(node.run("RG.CLUSTER", "INFO"))["libraries"])

    same = {second.identity: ("same", []), third.identity: ("same", [])}
    shards.wait(lambda: shown(first) == same, lambda: shown(first))
    assert own(first)["count"] == 1
    assert own(first)["digest"] == own(second)["digest"]
    assert first.client.info("redisgears_2_cluster")["redisgears_2_cluster_peers_with_same_libraries"] == 2
    # Others may have been told of in other tests.
    first.mark = first.log.stat().st_size
    # What may not write takes nothing, and so it stays as it is.
    third.run("CLIENT", "PAUSE", 100_000, "WRITE")
    first.run("RG.JSEXECUTE", "GB('StreamReader').register('s')")
    [more] = set(first.libraries()) - {"lib"}

    def has_told(text):
        """It is in its log."""
        first.wait(lambda: text in first.log_text(), first.log_text)

    try:
        second.wait(lambda: more in second.libraries(), second.libraries)
        has_told(f"node {third.identity} has had other libraries than this one for some time")
        assert shown(first)[third.identity][0] == "other"
        assert shown(first)[second.identity] == ("same", [])
    finally:
        third.run("CLIENT", "UNPAUSE")
    has_told(f"node {third.identity} has the same libraries again")


# --- calls of one version of a library by another --------------------------------------------------------------------


def versioned(number):
    """A library that says which one it is, here and where a key is."""
    return (
        f"redis.register_remote_function('version', async () => {number}, {{ flags: ['no-writes'] }});",
        function(
            "ask",
            "async (client, key, timeout) => { try {"
            f" return JSON.stringify([{number}, await client.run_on_key(key, {{ name: 'version', timeout: Number(timeout) }})]); }}"
            " catch (e) { return JSON.stringify({ text: String(e), code: e.code, may_have_run: e.may_have_run, shard: e.shard }); } }",
        ),
    )


def ask(node, key, timeout=60_000, client=None):
    """The version of the library there, and the one that it has called; or what is known of an error."""
    return json.loads(node.call("ask", key, timeout, client=client))


def test_a_call_of_a_new_library_is_not_answered_by_the_one_before(shards):
    first, second, _ = shards.primaries()
    key = second.key("value")
    numbers = itertools.count(1)
    number = next(numbers)
    shards.change(lambda: first.load(*versioned(number)))
    shards.wait(lambda: ask(first, key) == [number, number], "there is no way")

    def is_behind():
        """It comes back with the library from before, and takes none while writes have to wait."""
        nonlocal number
        second.kill()
        number = next(numbers)
        shards.change(lambda: first.upgrade(*versioned(number)))
        second.start()
        second.run("CLIENT", "PAUSE", 600_000, "WRITE")
        [(*_, version)] = known(second)
        return version < number

    def says_so():
        """At first there may be no way."""
        error = ask(first, key, 200)
        assert isinstance(error, dict), f"{error[1]} has answered a call of {error[0]}"
        assert error["may_have_run"] is False
        return error.get("shard") == second.identity and "has an older version of library 'lib'" in error["text"]

    try:
        shards.wait(is_behind, "it always has the new one at once")
        shards.wait(says_so, "the shard does not say so")
        sent = first.send_call("ask", key, 60_000)
    finally:
        second.run("CLIENT", "UNPAUSE")
    assert json.loads(sent.reply()) == [number, number]


def test_while_a_library_is_upgraded_no_call_is_answered_by_code_older_than_its_callers(shards):
    nodes = shards.primaries()
    keys = [node.key("value") for node in nodes]
    shards.change(lambda: nodes[0].load(*versioned(1)))
    for node in nodes:
        for key in keys:
            shards.wait(lambda node=node, key=key: ask(node, key) == [1, 1], "there is no way")
    is_over = threading.Event()
    seen = []

    def go_on_asking(node):
        client = node.connect()
        for key in itertools.cycle(keys):
            if is_over.is_set():
                return
            try:
                seen.append(ask(node, key, client=client))
            except ResponseError as error:
                # The library was replaced while it waited.
                seen.append(str(error))

    threads = [threading.Thread(target=go_on_asking, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, 12):
            node = nodes[number % 3]
            shards.change(lambda node=node, number=number: node.upgrade(*versioned(number)))
            assert [ask(node, key) for key in keys] == [[number, number]] * 3
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    pairs = [one for one in seen if isinstance(one, list)]
    assert pairs
    assert [pair for pair in pairs if pair[1] < pair[0]] == []
