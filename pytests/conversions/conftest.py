"""Connections and servers of the tests of conversions."""

import pytest

from testing.servers import Server
from testing.wire import Wire


@pytest.fixture
def wires(server):
    """Connections in both protocols."""
    with Wire(server.port, 2) as two, Wire(server.port, 3) as three:
        yield two, three


@pytest.fixture(scope="module")
def unlocked_server(tmp_path_factory):
    """A server whose scripts may call EVAL and DEBUG PROTOCOL: they answer in types no other command has."""
    one = Server(tmp_path_factory.mktemp("server"), module_args="enable-debug-command yes")
    one.run("RG.FUNCTION", "DEBUG", "allow_unsafe_redis_commands")
    yield one
    one.stop()


@pytest.fixture(scope="module")
def small_server(tmp_path_factory):
    """A server whose libraries have little memory."""
    one = Server(tmp_path_factory.mktemp("server"), module_args="library-maxmemory 16mb")
    one.set_timeout(10_000)
    yield one
    one.stop()
