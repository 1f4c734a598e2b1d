"""A server in cluster mode that has all slots: scripts find there what they find elsewhere."""

import pytest
from redis import ResponseError

from testing.libraries import function

ALL = ["a", "b", "{x}1", "{x}2"]
DIFFERENT = "are in different slots"
WAYS = {
    "sync": "(client, ...words) => client.call(...words)",
    "async": "async (client, ...words) => client.block(locked => locked.call(...words))",
}


@pytest.fixture
def node(start_server):
    """Such a server, with some keys."""
    server = start_server("--cluster-enabled", "yes")
    server.run("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    server.wait(lambda: "cluster_state:ok" in str(server.send("CLUSTER", "INFO").reply()), "the cluster is not ready")
    for key in ALL:
        server.run("SET", key, key)
    server.load(
        "const keys = GB().map(x => x.key);",
        *[function(name, code) for name, code in WAYS.items()],
        function("run", "async (client, pattern) => keys.run(pattern)"),
    )
    return server


def keys_of(node, way):
    """All keys, by a script."""
    return sorted(node.call(way, "KEYS", "*"))


@pytest.mark.parametrize("way", WAYS)
def test_scripts_find_all_keys_also_after_a_command_of_several_slots(node, way):
    for _ in range(2):
        assert keys_of(node, way) == ALL
        assert node.call(way, "GET", "a") == "a"
        assert node.call(way, "MGET", "{x}1", "{x}2") == ["{x}1", "{x}2"]
        for words in (["MGET", "a", "b"], ["DEL", "a", "b"], ["RENAME", "a", "b"]):
            with pytest.raises(ResponseError, match=DIFFERENT):
                node.call(way, *words)
    assert node.run("DBSIZE") == len(ALL)


def test_runs_find_all_keys_also_after_a_command_of_several_slots(node):
    for _ in range(2):
        [found, errors] = node.call("run", "*")
        assert (sorted(found), errors) == (ALL, [])
        for way in WAYS:
            with pytest.raises(ResponseError, match=DIFFERENT):
                node.call(way, "MGET", "a", "b")
        [found, errors] = node.run("RG.JSEXECUTE", "GB().map(x => x.key).run('{x}*')")
        assert (sorted(found), errors) == (ALL[2:], [])
