"""Fixtures: one server per test file, put back to empty before each test."""

import os

import pytest

from testing.launch import MODULE, REDIS_SERVER
from testing.pending import assert_at_rest
from testing.policies import PERSISTENCE
from testing.servers import V8, Server


def pytest_configure(config):
    """Says at once when there is nothing to test."""
    if not os.path.exists(MODULE) and not config.option.collectonly:
        raise pytest.UsageError(f"there is no module at {MODULE}: build it, or name one in MODULE")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """The servers that a test starts or is given have the flags for V8, or it says why not."""
    V8.plain = item.get_closest_marker("plain_v8") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A test that passed leaves nothing pending on its servers, or it says why."""
    result = yield
    if item.get_closest_marker("leaves_pending") is None:
        assert_at_rest(_nodes(item.funcargs.values()))
    return result


def _nodes(values):
    """The servers among the values of fixtures: themselves, their replicas, and those that fixtures start on demand."""
    for value in values:
        if isinstance(value, Server):
            yield value
            if (replica := value.replica) is not None:
                yield replica
        else:
            yield from _nodes(getattr(value, "servers", ()))


def pytest_report_header():
    """What is tested."""
    return f"server: {REDIS_SERVER}, module: {MODULE}" + (f", flags for V8: {V8.flags}" if V8.flags else "")


class Keeper:
    """Keeps one server over the tests of a file; a new one takes the place of one that died, or whose V8 has other flags."""

    def __init__(self, start):
        self._start = start
        self._server = None
        self._v8_arguments = None

    def get(self):
        """The server, empty."""
        if self._server is not None and not (self._server.is_alive() and self._v8_arguments == V8.arguments()):
            self.stop()
        if self._server is None:
            self._server = self._start()
            self._v8_arguments = V8.arguments()
        self._server.reset()
        return self._server

    def stop(self):
        """Ends the server."""
        if self._server is not None:
            self._server.stop()
            self._server = None


def _keep(tmp_path_factory, **options):
    keeper = Keeper(lambda: Server(tmp_path_factory.mktemp("server"), **options))
    yield keeper
    keeper.stop()


@pytest.fixture(scope="module")
def _single(request, tmp_path_factory):
    # A file may say which arguments its server's module gets.
    yield from _keep(tmp_path_factory, module_args=getattr(request.module, "MODULE_ARGS", ""))


@pytest.fixture(scope="module")
def _pair(tmp_path_factory):
    yield from _keep(tmp_path_factory, replica=True)


@pytest.fixture
def server(_single):
    """A server with the module, without data and libraries. Its death fails the test."""
    node = _single.get()
    yield node
    node.assert_alive()


@pytest.fixture
def pair(_pair):
    """The same with a replica, ``pair.replica``."""
    node = _pair.get()
    yield node
    node.assert_alive()


@pytest.fixture
def start_server(tmp_path_factory):
    """Starts servers with options of their own, which can be killed and started again on their data; ends them after the test."""
    servers = []

    def start(*options, **more):
        servers.append(Server(tmp_path_factory.mktemp("server"), *options, **more))
        return servers[-1]

    start.servers = servers
    yield start
    for one in servers:
        one.kill()
        if one.replica is not None:
            one.replica.kill()


@pytest.fixture
def restartable(start_server, persistence):
    """A server for tests of ``each_persistence``: it has its data again after ``kill_and_restart``."""
    return start_server(*PERSISTENCE[persistence])


@pytest.fixture
def nodes(start_server):
    """A primary and its replica, each of which can be killed and started again."""
    primary, replica = start_server(), start_server()
    replica.follow(primary)
    return primary, replica


@pytest.fixture
def measured(request):
    """Takes a line of figures, to be printed after the run."""
    # With the test's report, so that it arrives from another process too.
    return lambda line: request.node.user_properties.append(("measured", line))


def pytest_terminal_summary(terminalreporter):
    """Prints the figures that tests measured."""
    reports = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    lines = [line for report in reports for name, line in report.user_properties if name == "measured"]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
