"""Async code while the main thread always has something to do, and little at a time: it seldom leaves the lock to anybody."""

import re
import subprocess
from contextlib import contextmanager

import pytest
from redis import ResponseError

from testing.launch import find_program
from testing.libraries import consumer, function

CALLS = 200

LIBRARY = (
    function(
        "block",
        "client => client.run_on_background(async client => client.block(client => {"
        " client.call('RPUSH', 'order', client.call('INCR', 'n')); client.call('INCR', 'm'); }))",
    ),
    function(
        "odd_throws",
        "client => client.run_on_background(async client => client.block(client => {"
        " if (client.call('INCR', 'n') % 2n === 1n) throw new Error('odd'); return 'even'; }))",
    ),
    consumer(prefix="stream", window=10, trim=True, callback="async client => { client.block(c => c.call('INCR', 'entries')); }"),
)


def workers(server):
    """How often workers were starved, and did errands."""
    found = server.client.info("redisgears_2_workers")
    return found["redisgears_2_starvations"], found["redisgears_2_errands"]


@contextmanager
def large_values(server):
    """Clients that set large values, which the server reads piece by piece."""
    benchmark = find_program("REDIS_BENCHMARK", "redis-benchmark")
    words = ("-h", "127.0.0.1", "-p", str(server.port), "-n", str(10**9), "-c", "8", "-d", "200000", "-t", "set", "-q")
    process = subprocess.Popen([benchmark, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def starved(start_server):
    """A server with a replica whose workers do errands."""
    server = start_server(replica=True)
    server.load(*LIBRARY)
    with large_values(server):

        def does_errands():
            server.run("RG.FCALL", "lib", "block", 0)
            return workers(server)[1] > 0

        server.wait(does_errands, lambda: workers(server))
        server.run("DEL", "n", "m", "order")
        yield server


def test_blocks_of_starved_workers_are_whole_and_replicated_in_order(starved):
    clients = [starved.connect(single_connection_client=True) for _ in range(4)]
    for _ in range(CALLS):
        for client in clients:
            client.connection.send_command("RG.FCALL", "lib", "block", 0)
        for client in clients:
            client.connection.read_response()
    total = CALLS * len(clients)
    assert starved.run("GET", "n") == starved.run("GET", "m") == str(total)
    assert starved.run("LRANGE", "order", 0, -1) == [str(number) for number in range(1, total + 1)]
    replica = starved.replica
    starved.wait(lambda: replica.run("GET", "m") == str(total), lambda: replica.run("GET", "m"))
    assert replica.run("LRANGE", "order", 0, -1) == [str(number) for number in range(1, total + 1)]


def test_what_a_block_of_a_starved_worker_throws_comes_to_its_caller(starved):
    replies = []
    for _ in range(20):
        try:
            replies.append(starved.run("RG.FCALL", "lib", "odd_throws", 0))
        except ResponseError as error:
            replies.append(str(error))
    assert [re.search("odd|even", reply)[0] for reply in replies] == ["odd", "even"] * 10


def test_entries_of_starved_workers_are_processed_once(starved):
    starved.add("stream", *range(1000))
    starved.wait(lambda: starved.run("XLEN", "stream") == 0, lambda: starved.run("GET", "entries"))
    assert starved.run("GET", "entries") == "1000"


def test_a_sync_callback_sees_an_entry_before_a_block_of_a_starved_worker_takes_it_away(starved):
    takes_away = "async client => { client.block(c => c.call('DEL', 'calm')); }"
    starved.load(
        consumer("takes", "takes", window=10, trim=True, callback=takes_away),
        consumer("calm", "calm", callback="client => { client.call('INCR', 'seen'); }"),
        name="other",
    )
    client = starved.connect(single_connection_client=True)
    for number in range(1, 2000):
        pipe = client.pipeline(transaction=False)
        for _ in range(5):
            pipe.execute_command("XADD", "takes", "*", "n", number)
        pipe.execute_command("XADD", "calm", "*", "n", number)
        pipe.execute_command("GET", "other")
        pipe.execute()
        assert client.get("seen") == str(number)
