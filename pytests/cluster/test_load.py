"""Many remote calls at once while shards stop, die and fail over: each ends, none runs twice, and nothing is kept."""

from types import SimpleNamespace

import pytest

from testing.cluster import Cluster
from testing.remote_load import RemoteLoad

# Milliseconds of a call, and how much longer it may take where the machine is busy with other things.
TIMEOUT_MS, SLACK_MS = 10_000, 30_000
OPTIONS = SimpleNamespace(small=290, large=10, bytes=2_000_000, timeout_ms=TIMEOUT_MS)
# Bytes that a process may take more than before: the calls carry 20 MB both ways, each in some copies.
MEMORY = 600 << 20


@pytest.fixture
def mortal(tmp_path_factory):
    """A cluster of its own, whose nodes may die."""
    own = Cluster(lambda: tmp_path_factory.mktemp("node"))
    yield own
    own.kill()


def test_calls_end_and_nothing_is_kept_while_shards_stop_and_die(mortal, measured):
    load = RemoteLoad(mortal, OPTIONS)
    load.warm_up()
    figures = load.run(["pause", "kill", "failover"])
    measured(f"remote calls under load: {figures}")
    assert load.violations(SLACK_MS, MEMORY) == []
    assert figures["outcomes"]["done"] > 0
    load.wait_nothing_kept()
