"""A process that does not get to run: stopped, throttled, moved to another machine."""

import os
import signal
import time

import pytest

from testing.libraries import function

# Runs for as long as the watchdog needs to notice; then until its clock has jumped; and for as long again.
UNTIL_STOPPED = """
    const begun = Date.now();
    while (Date.now() - begun < 200);
    redis.log('runs');
    let now = Date.now();
    for (let last = now; now - last < 2000; now = Date.now()) last = now;
    const jumped = now;
    while (Date.now() - jumped < 200);
    return 'ran';
"""
LIMIT_MS = 3000


@pytest.mark.parametrize(
    "timeout, code",
    [
        ("lock-redis-timeout", f"client => {{ {UNTIL_STOPPED} }}"),
        ("background-timeout", f"async client => {{ {UNTIL_STOPPED} }}"),
    ],
    ids=["sync", "async"],
)
def test_a_script_is_not_ended_for_the_time_in_which_the_process_was_stopped(server, timeout, code):
    server.load(function("f", code))
    with server.setting(f"redisgears_2.{timeout}", LIMIT_MS):
        call = server.send_call("f")
        server.wait_message("runs")
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            # Not a wait for something: this long it is stopped.
            time.sleep(LIMIT_MS / 1000 + 1)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        assert call.reply() == "ran"
