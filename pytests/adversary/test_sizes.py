"""Arguments and replies that are too large."""

import re
import threading
from contextlib import contextmanager

import pytest
from redis import ResponseError

from testing.adversary import LIMITED, LONG_MS, OUT_OF_MEMORY, PLACES, in_time

MODULE_ARGS = LIMITED

LARGE = 100_000_000


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("kind", ["sync", "async", "raw", "raw async"])
def test_arguments_of_100_megabytes_are_refused(hostile, kind, count):
    flags = ", ['raw-arguments']" if "raw" in kind else ""
    start = "async (client, ...words)" if "async" in kind else "(client, ...words)"
    hostile.server.load(f"redis.register_function('f', {start} => words.length{flags});")
    client = hostile.client()
    words = ["x" * (LARGE // count)] * count
    with in_time(10), pytest.raises(ResponseError, match="do not fit into the library's memory"):
        client.execute_command("RG.FCALL", "lib", "f", 0, *words)
    with in_time(10), pytest.raises(ResponseError):
        client.execute_command("RG.FCALL", "lib", "f", 0, *["x"] * 100_000)
    assert client.execute_command("RG.FCALL", "lib", "f", 0, "x", "y") == 2
    client.close()


# Words of one command, of more bytes together than the library may have.
LARGE_WORDS = {
    "a string": "'ECHO', 'x'.repeat(1e8)",
    "the largest string": "'ECHO', 'x'.repeat(2 ** 29 - 24)",
    "a buffer": "'ECHO', new ArrayBuffer(6e7)",
    "the same string many times": "'DEL', ...new Array(1000).fill('x'.repeat(1 << 20))",
    "the same buffer many times": "'DEL', ...new Array(1000).fill(new Uint8Array(1 << 20))",
}


@pytest.mark.parametrize("place", ["function", "block"])
@pytest.mark.parametrize("what", LARGE_WORDS)
def test_words_of_a_command_do_not_take_more_memory_than_the_library_has(hostile, what, place):
    hostile.limit(LONG_MS)
    hostile.server.load(PLACES[place].replace("CODE", f"client.call({LARGE_WORDS[what]}); return 1;"))
    with peak(hostile) as most:
        try:
            hostile.server.run("RG.FCALL", "lib", "f", 0)
        except ResponseError:
            pass
    # The word, the server's copy, its reply, and the reply's text.
    assert max(most) < hostile.before + 10 * (64 << 20), f"{max(most) >> 20} MB were resident"


@contextmanager
def peak(hostile):
    """Looks at the server's memory all the while; ends the server if that gets dangerous for the machine."""
    seen = [0]
    stop = threading.Event()

    def look():
        while not stop.wait(0.01):
            with open(f"/proc/{hostile.pid}/statm", encoding="ascii") as file:
                seen.append(4096 * int(file.read().split()[1]))
            if seen[-1] > 3 << 30:
                hostile.server.process.kill()
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


LARGE_REPLIES = {
    "text": ("call", ["GET", "big"]),
    "bytes": ("call_raw", ["GET", "big"]),
    "a list": ("call", ["LRANGE", "list", "0", "-1"]),
    "a list of bytes": ("call_raw", ["LRANGE", "list", "0", "-1"]),
    "a set": ("call", ["SMEMBERS", "set"]),
    "a map": ("call", ["HGETALL", "hash"]),
    "many times the same": ("call", ["MGET", *["part"] * 100]),
}


@pytest.mark.parametrize("place", ["function", "block"])
@pytest.mark.parametrize("what", LARGE_REPLIES)
def test_replies_that_are_too_large_are_an_error(hostile, what, place):
    hostile.limit(LONG_MS)
    method, words = LARGE_REPLIES[what]
    server = hostile.server
    if "big" in words:
        server.run("SETRANGE", "big", LARGE - 1, "x")
    elif "part" in words:
        server.run("SET", "part", "x" * (LARGE // 100))
    else:
        for start in range(0, 1_000_000, 50_000):
            fill = range(start, start + 50_000)
            if "list" in words:
                server.run("RPUSH", "list", *fill)
            elif "set" in words:
                server.run("SADD", "set", *fill)
            else:
                server.run("HSET", "hash", *(word for one in fill for word in (one, one)))
    hostile.before = max(hostile.before, hostile.memory())
    server.load(PLACES[place].replace("CODE", f"client.{method}(...{words}); return 1;"))
    try:
        assert hostile.call() == 1
    except ResponseError as error:
        assert re.search(f"does not fit into the library's memory|{OUT_OF_MEMORY}", str(error))
    server.run("DEL", "big", "part", "list", "set", "hash")
