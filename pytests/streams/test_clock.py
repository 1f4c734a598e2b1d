"""A server that goes on from what another put on record, with a clock that is behind: a pause lasts no longer than its
own length, and nothing waits where nothing has failed.

The clock is set back by a library that is loaded before all others. So it is that of the distribution's own server: the
others are started through a loader.
"""

import shutil
import subprocess

import pytest

from testing.launch import REDIS_SERVER
from testing.policies import (
    AN_HOUR,
    AOF,
    PERSISTENCE,
    attempting,
    command,
    done,
    info,
    kill_and_restart,
    load_attempting,
    make_fail,
    make_succeed,
    policy,
    tries,
    wait_done,
    wait_info,
    wait_tries,
)
from testing.replication import promote, settle

BEHIND_S = 600
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#define BEHIND %d
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec -= BEHIND;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""

pytestmark = pytest.mark.skipif(
    REDIS_SERVER != "redis-server" or not shutil.which("cc"),
    reason="its clock cannot be set: it is not the distribution's server, or there is no C compiler",
)
each_scope = pytest.mark.parametrize("scope", ["stream", "consumer"])


@pytest.fixture(scope="session")
def clock(tmp_path_factory):
    """The library that sets the clock back."""
    directory = tmp_path_factory.mktemp("clock")
    source, built = directory / "clock.c", directory / "clock.so"
    source.write_text(CLOCK % BEHIND_S)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True, timeout=60)
    return str(built)


@pytest.fixture
def behind(clock, monkeypatch):
    """From its call on, servers that start have a clock that is behind."""
    return lambda: monkeypatch.setenv("LD_PRELOAD", clock)


def time_of(node):
    return int(node.run("TIME")[0])


@pytest.mark.parametrize("way", PERSISTENCE)
@each_scope
def test_after_a_restart_a_pause_lasts_no_longer_than_its_own_length(start_server, behind, way, scope):
    server = start_server(*PERSISTENCE[way])
    load_attempting(server, on_failure="retry", retry_interval=AN_HOUR, scope=scope)
    make_fail(server, 0)
    server.add("stream", 0, 1)
    wait_tries(server, 1)
    wait_info(server, "stream", state="waiting")
    before = time_of(server)
    behind()
    kill_and_restart(server)
    assert time_of(server) < before
    assert AN_HOUR - 60_000 < info(server, "stream")["retry_in_ms"] <= AN_HOUR
    make_succeed(server)
    command(server, "RETRY", "STREAM", "stream")
    wait_done(server, 0, 1)


@pytest.mark.parametrize("way", PERSISTENCE)
@each_scope
def test_after_a_restart_nothing_waits_where_nothing_has_failed(start_server, behind, way, scope):
    server = start_server(*PERSISTENCE[way])
    load_attempting(server, on_failure="retry", retry_interval=200, scope=scope)
    make_fail(server, 0)
    server.add("stream", 0)
    server.wait(lambda: len(tries(server)) >= 2, lambda: tries(server))
    make_succeed(server)
    server.wait(lambda: "0" in done(server), lambda: tries(server))
    wait_info(server, "stream", state="running", pending=[])
    behind()
    kill_and_restart(server)
    assert info(server, "stream")["retry_in_ms"] == 0
    server.add("stream", 1)
    server.wait(lambda: "1" in done(server), lambda: tries(server))


@each_scope
def test_a_promoted_replica_whose_clock_is_behind_goes_on_in_time(start_server, behind, scope):
    primary = start_server(*AOF)
    load_attempting(primary, on_failure="retry", retry_interval=AN_HOUR, scope=scope)
    behind()
    replica = start_server()
    replica.follow(primary)
    assert time_of(replica) < time_of(primary) - BEHIND_S / 2
    make_fail(primary, 0)
    primary.add("stream", 0)
    wait_tries(primary, 1)
    wait_info(primary, "stream", state="waiting")
    settle(primary, replica)
    primary.kill()
    promote(replica)
    assert AN_HOUR - 60_000 < info(replica, "stream")["retry_in_ms"] <= AN_HOUR
    make_succeed(replica)
    command(replica, "RETRY", "STREAM", "stream")
    wait_done(replica, 0)


def test_what_was_tried_before_a_restart_is_as_old_as_it_was(start_server, behind):
    """By the clock alone it would be given up in ten minutes."""
    server = start_server(*AOF)
    server.load(
        *policy(attempting(on_failure="retry", retry_interval=10, max_age=3000, dead_letter="dead"))
    )
    make_fail(server, 0)
    server.add("stream", 0)
    wait_tries(server, 1)
    behind()
    kill_and_restart(server)
    server.wait(lambda: server.run("XLEN", "dead") == 1, lambda: tries(server))
    assert done(server) == []
