"""Remote functions on a real cluster: they run where the key is, and what may have run is told from what has not."""

import collections
import json

import pytest
import redis

from testing.cluster import Cluster, slot_of
from testing.libraries import function

LIBRARY = [
    "let end;",
    "redis.register_remote_function('get', async (client, key) => client.block(c => c.call('GET', key)));",
    "redis.register_remote_function('incr', async (client, key) => client.block(c => Number(c.call('INCR', key))));",
    "redis.register_remote_function('size', async (client, value) => [value.length, 'y'.repeat(value.length)]);",
    "redis.register_remote_function('give', async (client, size) => 'y'.repeat(Number(size)));",
    "redis.register_remote_function('spin', async () => { for (;;); });",
    "redis.register_remote_function('hold', async () => { redis.log('held'); return new Promise(() => {}); });",
    "redis.register_remote_function('keys', async client => client.block(c => c.call('DBSIZE')), { flags: ['no-writes'] });",
    "const known = e => ({ text: String(e), code: e.code, may_have_run: e.may_have_run, shard: e.shard });",
    function(
        "on_key",
        "async (client, key, name, timeout, ...args) => { try {"
        " return JSON.stringify({ done: await client.run_on_key(key, { name, timeout: Number(timeout) }, ...args) }); }"
        " catch (e) { return JSON.stringify(known(e)); } }",
    ),
    function(
        "on_all",
        "async (client, name, timeout) => { const [results, errors] = await client.run_on_all_shards({ name, timeout: Number(timeout) });"
        " return JSON.stringify({ results: results.map(Number), shards: results.shards, errors: errors.map(known) }); }",
    ),
    function("count_at", "async (client, key) => client.run_on_key(key, { name: 'keys', timeout: 20000 })", ["no-writes"]),
    # It does not wait: clients that wait are sent away while the cluster is down.
    function(
        "begin",
        "async (client, key) => { client.run_on_key(key, { name: 'hold', timeout: 600000 })"
        ".catch(e => redis.log('ended ' + JSON.stringify(known(e)))); }",
    ),
    function(
        "large",
        "async (client, key, count) => { const [there, back] = await client.run_on_key(key, { name: 'size', timeout: 60000 }, 'x'.repeat(Number(count)));"
        " return [there, back.length]; }",
    ),
    "const noted = [];",
    "redis.register_remote_function('note', async (client, value) => { noted.push(value); });",
    function("noted", "() => JSON.stringify(noted.map(value => [value[0], value.length]))"),
    function("occupy", "async (client, gate) => { while (client.block(c => c.call('GET', gate)) === null); }"),
    # The library is busy until there is a key: what comes for it meanwhile waits.
    function(
        "busy",
        "async (client, key, gate, count, size) => {"
        " const calls = Array.from({ length: Number(count) }, () => client.run_on_key(key, { name: 'give', timeout: 60000 }, size));"
        " while (client.block(c => c.call('GET', gate)) === null);"
        " const ends = await Promise.allSettled(calls);"
        " return JSON.stringify(ends.map(end => end.status === 'fulfilled' ? end.value.length : known(end.reason))); }",
    ),
    "redis.register_remote_function('mark', async (client, key, call) => { client.block(c => c.call('HINCRBY', key, call, 1)); });",
    function(
        "mark_all",
        "async (client, key, count, size) => { const pad = 'x'.repeat(Number(size));"
        " await Promise.all(Array.from({ length: Number(count) }, (_, call) =>"
        " client.run_on_key(key, { name: 'mark', timeout: 60000 }, key, String(call), pad))); return 'done'; }",
    ),
    function(
        "many",
        "async (client, key, count) => { const all = await Promise.all(Array.from({ length: Number(count) }, () =>"
        " client.run_on_key(key, { name: 'incr', timeout: 60000 }, key))); return new Set(all).size; }",
    ),
]
LONG = 60_000


def kept(node):
    """Calls from there, calls there, and bytes of results there."""
    found = node.client.info("redisgears_2_remote_functions")
    return tuple(found[f"redisgears_2_remote_{name}"] for name in ("calls", "calls_here", "results_bytes"))


def function_figures(node, name):
    """What INFO says of a function."""
    return node.client.info("redisgears_2_functions")[f"redisgears_2_function_lib_{name}"]


def on_key(node, key, name, *args, timeout=LONG):
    """What comes of a call of a remote function by a key."""
    return json.loads(node.call("on_key", key, name, timeout, *args))


def on_all(node, timeout=LONG):
    return json.loads(node.call("on_all", "keys", timeout))


@pytest.fixture
def shards(cluster):
    """The primaries, which have the library and reach each other."""
    nodes = cluster.primaries()
    cluster.load(*LIBRARY)
    for node in nodes:
        for other in nodes:
            key = other.key("reach")
            cluster.wait(lambda node=node, key=key: "done" in on_key(node, key, "get", key, timeout=500), "there is no way")
    return nodes


def test_a_call_runs_on_the_shard_that_has_the_key(shards):
    for node in shards:
        for other in shards:
            key = other.key("value")
            other.run("SET", key, other.port)
            assert on_key(node, key, "get", key) == {"done": str(other.port)}
            before = int(other.run("INCR", key))
            assert on_key(node, key, "incr", key) == {"done": before + 1}


def test_all_shards_answer_each_with_its_name(shards):
    for number, node in enumerate(shards):
        for count in range(number + 1):
            node.run("SET", f"{{{node.key('tag')}}}{count}", 1)
    found = on_all(shards[0])
    assert found["errors"] == []
    sizes = dict(zip(found["shards"], found["results"], strict=True))
    assert sizes == {node.identity: int(node.run("DBSIZE")) for node in shards}


def test_large_values_and_many_calls_go_both_ways(shards):
    node, other, *_ = shards
    key = other.key("many")
    assert node.call("large", key, 5_000_000) == [5_000_000, 5_000_000]
    assert node.call("many", key, 500) == 500
    assert other.run("GET", key) == "500"


def test_the_largest_arguments_and_results_fit(shards):
    node, other, *_ = shards
    # A clone has some bytes more than the text.
    size = (64 << 20) - 100
    for one in shards:
        one.set_timeout(60_000)
    assert node.call("large", other.key("large"), size) == [size, size]
    node.wait(lambda: kept(node) == kept(other) == (0, 0, 0), lambda: (kept(node), kept(other)))


def test_what_is_too_large_for_a_message_is_an_error_at_once_and_says_whether_it_has_run(shards):
    node, other, *_ = shards
    key = other.key("large")
    for one, size in ((node, "1mb"), (other, "65mb")):
        one.run("RG.CONFIG", "SET", "cluster-message-size", size)
    try:
        error = on_key(node, key, "size", "x" * 2_000_000)
        assert (error["code"], error["may_have_run"]) == ("not_sent", False)
        assert "the message is larger than 1048576 bytes" in error["text"]
        node.run("RG.CONFIG", "SET", "cluster-message-size", "65mb")
        other.run("RG.CONFIG", "SET", "cluster-message-size", "1mb")
        error = on_key(node, key, "give", "2000000")
        assert (error["code"], error["may_have_run"], error["shard"]) == ("no_result", True, other.identity)
        assert "cannot be sent: the message is larger than 1048576 bytes" in error["text"]
        error = on_key(node, key, "size", "x" * 2_000_000)
        assert (error["code"], error["may_have_run"]) == ("not_sent", False)
        assert "the message is larger than 1048576 bytes, which is all that the node takes" in error["text"]
    finally:
        for one in (node, other):
            one.run("RG.CONFIG", "SET", "cluster-message-size", "65mb")
        # Nodes tell each other once a second.
        node.wait(lambda: "done" in on_key(node, key, "size", "x" * 2_000_000), "the node does not take more")


def test_small_calls_pass_large_ones_that_wait_for_a_library_that_is_busy(shards):
    node, other, *_ = shards
    gate, key = other.key("gate"), other.key("value")
    other.set_timeout(60_000)
    with other.setting("redisgears_2.background-timeout", 60_000):
        occupying = other.send_call("occupy", gate)
        other.wait(lambda: function_figures(other, "occupy")["calls"] == 1, "it does not begin")
        sent = []
        for letter, size in (("a", 50_000), ("b", 50_000), ("c", 1), ("d", 1)):
            sent.append(node.send_call("on_key", key, "note", LONG, letter * size))
            node.wait(lambda: kept(other)[1] == len(sent), lambda: kept(other))
        other.run("SET", gate, 1)
        for one in (occupying, *sent):
            one.reply()
    assert json.loads(other.call("noted")) == [["c", 1], ["d", 1], ["a", 50_000], ["b", 50_000]]


def returned(node):
    """Calls from there, and bytes of results that their callers have not taken."""
    found = node.client.info("redisgears_2_remote_functions")
    return found["redisgears_2_remote_calls"], found["redisgears_2_remote_returned_bytes"]


def test_results_that_wait_for_a_library_that_is_busy_are_bounded(shards):
    node, other, *_ = shards
    gate, size, count = node.key("gate"), 600_000, 4
    node.set_timeout(60_000)
    with node.setting("redisgears_2.background-timeout", 60_000), node.setting("redisgears_2.cluster-receive-memory", "1mb"):
        sent = node.send_call("busy", other.key("value"), gate, count, size)
        node.wait(lambda: returned(node)[1] >= size, lambda: returned(node))
        node.wait(lambda: returned(node)[0] == 0, lambda: returned(node))
        assert returned(node)[1] < 2 * size
        node.run("SET", gate, 1)
        ends = json.loads(sent.reply())
    assert ends.count(size) == 1
    for error in (end for end in ends if end != size):
        assert (error["code"], error["may_have_run"], error["shard"]) == ("no_result", True, other.identity)
        assert "the result of the remote function 'give' is dropped, which has run" in error["text"]
    assert returned(node) == (0, 0)
    other.wait(lambda: kept(other) == (0, 0, 0), lambda: kept(other))


@pytest.mark.parametrize("size", [100, 17_000, 400_000])
def test_calls_run_once_where_the_connection_breaks_that_tells_their_ends(shards, size):
    node, other, *_ = shards
    key, count = other.key("marks"), 200
    node.set_timeout(60_000)
    with node.setting("redisgears_2.background-timeout", 60_000):
        for _ in range(3):
            other.run("DEL", key)
            sent = node.send_call("mark_all", key, count, size)
            other.wait(lambda: other.run("HLEN", key) > 0, "none has run")
            for client in node.client.client_list():
                if client["user"] == "redisgears-node":
                    node.run("CLIENT", "KILL", "ID", client["id"])
            assert sent.reply() == "done"
            assert other.run("HVALS", key) == ["1"] * count
    node.wait(lambda: kept(node) == (0, 0, 0), lambda: kept(node))
    other.wait(lambda: kept(other) == (0, 0, 0), lambda: kept(other))


def test_a_function_that_a_limit_ended_has_no_result(shards):
    node, other, *_ = shards
    with other.setting("redisgears_2.background-timeout", 200):
        error = on_key(node, other.key("value"), "spin")
    assert (error["code"], error["may_have_run"], error["shard"]) == ("no_result", True, other.identity)
    assert "timeout" in error["text"]


def test_a_key_may_be_long(shards):
    node, other, *_ = shards
    key = f"{{{other.key('tag')}}}" + "x" * 1_500_000
    for one in shards:
        one.run("RG.CONFIG", "SET", "cluster-message-size", "8mb")
    try:
        assert on_key(node, key, "get", "nothing{" + key[1:].split("}")[0] + "}") == {"done": None}
    finally:
        for one in shards:
            one.run("RG.CONFIG", "SET", "cluster-message-size", "65mb")


def test_a_shard_that_does_not_answer_is_named_and_its_call_may_have_run(cluster, shards):
    node, other, third = shards
    key = other.key("value")
    with other.suspended():
        error = on_key(node, key, "get", key, timeout=300)
        assert (error["code"], error["may_have_run"], error["shard"]) == ("timeout", True, other.identity)
        found = on_all(node, timeout=300)
        assert sorted(found["shards"]) == sorted([node.identity, third.identity])
        assert [error["shard"] for error in found["errors"]] == [other.identity]
    cluster.wait(lambda: "done" in on_key(node, key, "get", key, timeout=1000), "it does not come back")
    cluster.wait_ok()


def give_back(cluster, slot, source, target):
    """A slot that has moved comes back."""
    cluster.begin_move(slot, target, source)
    cluster.end_move(slot, source)
    cluster.wait(lambda: source.owns(slot) and not target.owns(slot), "the slot does not come back")


def test_a_call_follows_a_slot_that_moves(cluster, shards):
    node, source, target = shards
    key = source.key("moving")
    slot = slot_of(key)
    try:
        cluster.begin_move(slot, source, target)
        cluster.end_move(slot, target)
        target.run("SET", key, "here")
        assert on_key(node, key, "get", key) == {"done": "here"}
        assert on_key(source, key, "get", key) == {"done": "here"}
    finally:
        target.run("DEL", key)
        give_back(cluster, slot, source, target)


def test_calls_end_with_their_library(cluster, shards):
    node, source, target = shards
    key = source.key("moving")
    slot = slot_of(key)
    try:
        cluster.begin_move(slot, source, target)
        # The key is not there, and so it may come to either of the two.
        node.call("begin", key)
        node.wait(lambda: kept(node)[0] == 1, lambda: kept(node))
        cluster.change(lambda: node.run("RG.FUNCTION", "DEL", "lib"))
        node.wait(lambda: kept(node)[0] == 0, lambda: kept(node))
    finally:
        cluster.end_move(slot, target)
        give_back(cluster, slot, source, target)


@pytest.fixture
def mortal(tmp_path_factory):
    """A cluster of its own, whose nodes may die."""
    own = Cluster(lambda: tmp_path_factory.mktemp("node"))
    yield own
    own.kill()


def test_a_call_that_a_shard_had_when_it_was_killed_may_have_run_and_the_next_one_goes_to_its_replica(mortal):
    nodes = mortal.primaries()
    mortal.load(*LIBRARY)
    node, other, *_ = nodes
    key = other.key("value")
    mortal.wait(lambda: "done" in on_key(node, key, "get", key, timeout=500), "there is no way")
    node.call("begin", key)
    other.wait_message("held")
    replica = mortal.kill_primary(other)
    node.wait_message("ended ")
    [ended] = node.messages("ended ")
    error = json.loads(ended)
    assert (error["code"], error["may_have_run"], error["shard"]) == ("shard_failed", True, other.identity)
    replica.run("SET", key, "after")
    mortal.wait(lambda: on_key(node, key, "get", key, timeout=1000) == {"done": "after"}, "no call gets to the replica")


def test_while_slots_are_not_served_a_call_runs_nowhere_but_on_the_shard_of_its_key(mortal):
    node, other, third = mortal.primaries()
    mortal.load(*LIBRARY)
    key = other.key("value")
    other.run("SET", key, 1)
    mortal.wait(lambda: "done" in on_key(node, key, "get", key, timeout=500), "there is no way")
    [replica] = mortal.replicas_of(third)
    third.kill()
    found = collections.Counter()
    while not replica.is_primary():
        try:
            found[node.call("count_at", key)] += 1
        except redis.ResponseError as error:
            # The server has sent its client away.
            assert "CLUSTERDOWN" in str(error) or "cluster is down" in str(error)
    assert set(found) == {1}, found


def test_a_shard_without_a_connection_is_named(mortal):
    node, other, *_ = mortal.primaries()
    mortal.load(*LIBRARY)
    key = other.key("value")
    mortal.wait(lambda: "done" in on_key(node, key, "get", key, timeout=500), "there is no way")
    for replica in mortal.replicas_of(other):
        replica.run("CONFIG", "SET", "cluster-replica-no-failover", "yes")
        replica.kill()
    node.run("CONFIG", "SET", "cluster-require-full-coverage", "no")
    other.kill()

    def errors():
        return [(error["code"], error.get("shard")) for error in on_all(node, timeout=200)["errors"]]

    mortal.wait(lambda: errors() == [("not_sent", other.identity)], errors)
    error = on_key(node, key, "get", key, timeout=200)
    assert (error["code"], error["shard"]) == ("not_sent", other.identity)


@pytest.fixture
def renamed(tmp_path_factory):
    """A cluster that does not know the command by which nodes are asked for a key."""
    own = Cluster(lambda: tmp_path_factory.mktemp("node"), "--rename-command", "EXISTS", "there")
    yield own
    own.kill()


def test_a_call_finds_the_shard_of_its_key_where_the_server_cannot_be_asked(renamed):
    renamed.load(*LIBRARY)
    nodes = renamed.primaries()
    for node in nodes:
        for other in nodes:
            key = other.key("value")
            other.run("SET", key, other.port)
            assert on_key(node, key, "get", key) == {"done": str(other.port)}


def test_a_call_waits_for_a_library_that_comes_in_time_and_says_where_it_did_not(mortal):
    mortal.load(*LIBRARY)
    node, other, *_ = mortal.primaries()
    key = other.key("value")

    def is_lost():
        """It comes back without its library, and takes none while writes have to wait."""
        other.restart()
        other.run("CLIENT", "PAUSE", LONG, "WRITE")
        return other.libraries() == []

    def says_so():
        """At first the call may go to the process that is gone."""
        error = on_key(node, key, "get", key, timeout=200)
        return (
            (error["code"], error["may_have_run"], error.get("shard")) == ("not_sent", False, other.identity)
            and "the shard has no remote function 'get' of library 'lib'" in error["text"]
        )  # fmt: skip

    mortal.wait(is_lost, "it always has it again at once")
    mortal.wait(says_so, "the shard does not say so")
    mortal.wait(lambda: other.state()["cluster_state"] == "ok", "it takes the cluster for down")
    sent = node.send("RG.FCALL", "lib", "on_key", 0, key, "get", LONG, key)
    other.run("CLIENT", "UNPAUSE")
    assert json.loads(sent.reply()) == {"done": None}
