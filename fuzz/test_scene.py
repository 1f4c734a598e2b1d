"""Operations that a server answers by dropping data leave primary and replica equal all the same."""


import pytest

from fuzz.scene import Scene
from testing.waits import eventually

# With so many keys and such a pause at each, in microseconds, saving takes a fifth of a second.
KEYS = 200
SLOW = 1000


@pytest.fixture
def scene(tmp_path):
    """A primary and its replica, with some keys."""
    scene = Scene(tmp_path / "life")
    for number in range(KEYS):
        scene.primary.of().set(f"key:{number}", number)
    yield scene
    scene.close()


def are_equal(scene):
    """Whether the replica has all that the primary has, and nothing else."""
    digests = {node.of().execute_command("DEBUG", "DIGEST") for node in scene.nodes}
    return scene.replica.of().info("replication").get("master_link_status") == "up" and len(digests) == 1


def test_a_promoted_server_does_not_read_the_file_from_before_its_full_sync(scene):
    scene.replica.of().config_set("rdb-key-save-delay", SLOW)
    scene.replica.of().execute_command("REPLICAOF", "NO", "ONE")
    scene.replica.of().set("apart", "1")
    scene.replica.follow(scene.primary)
    scene.do({"kind": "roles", "do": "roles", "how": "swap", "db": 0})
    scene.do({"kind": "load append-only file", "do": "reload", "words": ["DEBUG", "LOADAOF"], "db": 0})
    eventually(lambda: are_equal(scene))
    assert scene.primary.of().dbsize() == KEYS


def test_a_key_that_expires_in_a_reload_is_gone_from_the_replica_too(scene):
    scene.primary.of().config_set("rdb-key-save-delay", SLOW)
    scene.primary.of().set("expires", "1", px=100)
    scene.do({"kind": "reload", "do": "reload", "words": ["DEBUG", "RELOAD"], "db": 0})
    assert scene.primary.of().info("persistence")["rdb_last_load_keys_expired"] == 1
    eventually(lambda: are_equal(scene))
