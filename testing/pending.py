"""What INFO and LIST say is still to be done. After a test that is nothing: pytests/conftest.py asserts it after each of them.

A test that leaves something on purpose says so: ``@pytest.mark.leaves_pending("why")``.
"""

import contextlib
import time

import redis

from testing.replies import fields

# Code that nothing holds up ends in milliseconds; a backlog, on a busy machine, may take long.
REST_DEADLINE = 60
# Streams that somebody stopped, or that wait for a retry, have pending entries rightly.
STOPPED = {"paused", "aborted", "waiting", "quarantined"}


def assert_at_rest(nodes):
    """Waits until nothing is pending on these servers, as far as they are alive and may be asked."""
    nodes = list(nodes)
    end = time.monotonic() + REST_DEADLINE
    while found := {node.port: left for node in nodes if node.is_alive() and (left := pending(node))}:
        if time.monotonic() > end:
            raise AssertionError(f"still pending {REST_DEADLINE} s after the test, by port: {found}")
        for node in nodes:
            _release(node)
        time.sleep(0.02)


def _release(node):
    """Callbacks that the test still holds (libraries.py) may end."""
    with contextlib.suppress(redis.RedisError), node.connect(socket_timeout=REST_DEADLINE) as client:
        for library in map(fields, client.execute_command("RG.FUNCTION", "LIST")):
            if "release" in library["stream_consumers"]:
                client.execute_command("XADD", "release", "*", "n", "*")


def pending(node):
    """What is pending on a server, in words. A server that cannot be asked has nothing to say."""
    with contextlib.suppress(redis.RedisError), node.connect(socket_timeout=REST_DEADLINE) as client:
        libraries = client.execute_command("RG.FUNCTION", "LIST", "vvv")
        info = client.info("redisgears_2")
        return [*_in_libraries(libraries), *_in_info(info)]
    return []


def _in_libraries(reply):
    for library in map(fields, reply):
        name = library["name"]
        if library["pending_jobs"]:
            yield f"library {name}: pending_jobs {library['pending_jobs']}"
        for consumer in map(fields, library["stream_consumers"]):
            for stream in map(fields, consumer["streams"]):
                if stream["pending_ids"] and not STOPPED & {consumer.get("state"), stream.get("state")}:
                    yield f"consumer {name}.{consumer['name']}: {stream['name']} has pending {stream['pending_ids'][:5]}"
        for trigger in map(fields, library["notifications_consumers"]):
            if trigger["num_waiting"]:
                yield f"trigger {name}.{trigger['name']}: num_waiting {trigger['num_waiting']}"
            if trigger["num_triggered"] != trigger["num_finished"] + trigger["num_dropped"]:
                figures = {key: trigger[key] for key in ("num_triggered", "num_finished", "num_dropped")}
                yield f"trigger {name}.{trigger['name']}: {figures}"


def _in_info(info):
    for name, figures in info.items():
        if "_consumer_" in name and figures["in_flight"]:
            yield f"{name}: in_flight {figures['in_flight']}"
