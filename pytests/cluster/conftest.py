"""Fixtures: one cluster per test file, put back to empty before each test."""

import pytest

from testing.cluster import Cluster


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory):
    cluster = Cluster(lambda: tmp_path_factory.mktemp("node"))
    yield cluster
    cluster.kill()


@pytest.fixture
def cluster(_cluster):
    """Three primaries, each with a replica, without data and libraries. A death fails the test."""
    for node in _cluster.primaries():
        node.reset()
    yield _cluster
    _cluster.assert_alive()
