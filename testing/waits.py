"""Waiting for what has to come."""

import time
from collections.abc import Callable

# Seconds. What has to come comes in milliseconds; a busy machine may take much longer, and only a failure waits so long.
DEADLINE = 60


def eventually(check, what=None, deadline=DEADLINE):
    """Polls until ``check()`` is true and returns what it gave; fails at the deadline."""
    end = time.monotonic() + deadline
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < end, f"not within {deadline} s: {what() if callable(what) else what}"
        time.sleep(0.005)


class HarnessError(Exception):
    """What kept a program from its work, with the reason as its text."""


def wait_for(what: str, condition: Callable[[], bool], deadline: float) -> None:
    """Polls `condition` until it holds; `HarnessError` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise HarnessError(f"{what}: not reached within {deadline:.0f} s")
        time.sleep(0.005)
