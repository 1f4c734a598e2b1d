"""Hostile background parts, and clients that leave."""

import re
import threading
import time
from contextlib import contextmanager

import pytest
from redis import ResponseError

from testing.adversary import ENDED, IN_TIME, LIMITED, PLACES, TIMEOUT, Hostile, define, in_time
from testing.waits import eventually

MODULE_ARGS = LIMITED


@contextmanager
def answering(server, seconds=IN_TIME):
    """Fails when the server meanwhile leaves a PING waiting for longer than it may."""
    client = server.connect()
    stop = threading.Event()
    waits = []

    def ping():
        while not stop.is_set():
            start = time.monotonic()
            client.ping()
            waits.append(time.monotonic() - start)
            stop.wait(0.005)

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert max(waits) < seconds, f"a PING waited for {max(waits):.1f} s"


SPAWNS = {
    "one": "inside.run_on_background(again);",
    "one that nothing handles": "inside.run_on_background(again); throw new Error('by intent');",
    "one that is waited for": "return inside.run_on_background(again);",
    "two": "inside.run_on_background(again); inside.run_on_background(again);",
}


@pytest.mark.parametrize("end", ["DEL", "UPGRADE"])
@pytest.mark.parametrize("what", SPAWNS)
def test_background_parts_that_start_themselves_end_with_their_library(start_server, what, end):
    server = start_server(module_args=LIMITED)
    hostile = Hostile(server)
    server.load(
        define(
            f"""client => {{
                const again = async background => background.block(inside => {{
                    inside.call('INCR', 'spawned');
                    {SPAWNS[what]}
                }});
                client.run_on_background(again);
                return 1;
            }}"""
        )
    )
    with answering(server):
        hostile.call()
        server.wait(lambda: int(server.run("GET", "spawned") or 0) > 100, "it does not start itself")
        hostile.bystander_works()
    if end == "DEL":
        server.run("RG.FUNCTION", "DEL", "lib")
    else:
        server.upgrade(define("client => 1"))
    stands_still(server, "spawned")
    hostile.end()


def stands_still(server, key):
    """Waits until a number does not change any more."""
    seen = []

    def settled():
        seen.append(server.run("GET", key))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    eventually(settled, lambda: f"{key} still grows: {seen[-1]}", deadline=5)


MANY = {
    "a million, one after the other": "for (let n = 0; n < 1e6; n++) client.run_on_background(async () => n);",
    "a million at once": "return Promise.all(Array.from({ length: 1e6 }, (_, n) => client.run_on_background(async () => n)));",
    "no end": "for (;;) client.run_on_background(async () => 1);",
}


@pytest.mark.parametrize("place", ["function", "block"])
@pytest.mark.parametrize("what", MANY)
def test_ever_so_many_background_parts_are_bounded(hostile, what, place):
    server = hostile.server
    hostile.limit(1000)
    server.load(PLACES[place].replace("CODE", f"{MANY[what]} return 1;"))
    with answering(server, seconds=3), in_time(10):
        try:
            server.run("RG.FCALL", "lib", "f", 0)
        except ResponseError as error:
            assert re.search(f"{ENDED}|too large", str(error))
        hostile.bystander_works()


BLOCKS = {
    "nothing": "for (;;) client.block(() => {});",
    "nothing, and await": "for (;;) await client.block(() => {});",
    "a command": "for (;;) client.block(inside => inside.call('INCR', 'n'));",
    "a callback that is async": "for (;;) await client.block(async () => {});",
    "errors that are caught": "for (;;) try { client.block(() => { throw 1; }); } catch (error) {}",
    "background": "for (;;) await client.block(inside => inside.run_on_background(async () => 1));",
    "two milliseconds": "for (;;) client.block(() => { const end = Date.now() + 2; while (Date.now() < end); });",
    "kills that are caught": "for (;;) try { client.block(() => { for (;;); }); } catch (error) {}",
}


@pytest.mark.parametrize("what", BLOCKS)
def test_block_in_an_endless_loop_leaves_the_server_to_others(hostile, what):
    server = hostile.server
    server.load(define(f"async client => {{ {BLOCKS[what]} }}"))
    with answering(server):
        connection = hostile.send("RG.FCALL", "lib", "f", 0)
        for _ in range(10):
            hostile.bystander_works()
    server.run("RG.FUNCTION", "DEL", "lib")
    with in_time(10), pytest.raises(ResponseError, match=f"{ENDED}|unregistered|deleted"):
        connection.read_response()


def test_a_run_that_catches_being_ended_in_block_is_ended_for_good(hostile):
    hostile.server.load(define(f"async client => {{ {BLOCKS['kills that are caught']} }}"))
    connection = hostile.send("RG.FCALL", "lib", "f", 0)
    eventually(connection.can_read, "it goes on", deadline=IN_TIME)
    with pytest.raises(ResponseError, match=ENDED):
        connection.read_response()


@pytest.mark.parametrize("threads", [1, 4])
def test_many_loops_at_once_keep_nobody_waiting(start_server, threads):
    server = start_server(module_args=f"execution-threads {threads} library-maxmemory 64mb background-timeout 1000")
    case = Hostile(server)
    libraries = [f"lib{n}" for n in range(6)]
    for name in libraries:
        server.load(define("async client => { for (;;); }"), name=name)
    server.run("CONFIG", "SET", "redisgears_2.background-timeout", 1000)
    connections = [case.send("RG.FCALL", name, "f", 0) for name in libraries for _ in range(2)]
    with answering(server, seconds=1):
        for _ in range(5):
            case.bystander_works()
        # Two rounds of six loops; no more than the machine's processors may run at once.
        with in_time(15):
            for connection in connections:
                with pytest.raises(ResponseError, match=TIMEOUT):
                    connection.read_response()
    for name in libraries:
        server.run("RG.FUNCTION", "DEL", name)
    case.end()


def test_a_run_that_is_ended_takes_all_with_it_that_waits_in_its_library(hostile):
    hostile.server.load(
        define("client => new Promise(() => {})", "never"),
        define("async client => { await new Promise(() => {}); }", "never async"),
        define("async client => { for (;;); }"),
    )
    waiting = [hostile.send("RG.FCALL", "lib", name, 0) for name in ("never", "never async") for _ in range(3)]
    server = hostile.server
    server.wait(lambda: server.client.info("clients")["blocked_clients"] == 6)
    assert re.search(TIMEOUT, hostile.fails())
    with in_time():
        for connection in waiting:
            with pytest.raises(ResponseError, match=TIMEOUT):
                connection.read_response()


@pytest.mark.parametrize("how", ["close", "CLIENT KILL"])
@pytest.mark.parametrize("kind", ["", "async"])
def test_a_promise_that_is_never_settled_does_not_outlive_its_client(hostile, kind, how):
    server = hostile.server
    # Each holds a megabyte until it is forgotten.
    server.load(
        define(
            f"{kind} client => {{ const bytes = new Uint8Array(1 << 20).fill(1); return new Promise(() => bytes); }}",
        ),
        define("() => { for (let n = 0; n < 100; n++) new Array(1e5).fill(n); return 1; }", "churn"),
    )
    hostile.limit(1000)
    for _ in range(10):
        connections = [hostile.send("RG.FCALL", "lib", "f", 0) for _ in range(20)]
        server.wait(lambda: server.client.info("clients")["blocked_clients"] == 20)
        if how == "close":
            for connection in connections:
                connection.disconnect()
        else:
            server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        server.wait(lambda: server.client.info("clients")["blocked_clients"] == 0)
    assert hostile.call(function="churn") == 1


def test_a_finalizer_that_loops_is_ended(hostile):
    server = hostile.server
    server.load(
        define(
            """client => {
                globalThis.registry = new FinalizationRegistry(() => { redis.log('finalizer'); for (;;); });
                for (let n = 0; n < 1000; n++) registry.register({}, n);
                return new Promise(() => {});
            }"""
        ),
        define("() => { for (let n = 0; n < 50; n++) new Array(1e5).fill(n); return 1; }", "churn"),
    )
    hostile.limit(500)
    hostile.send("RG.FCALL", "lib", "f", 0)
    with answering(server, seconds=1):

        def ran():
            try:
                hostile.call(function="churn")
            except ResponseError as error:
                assert re.search(f"{ENDED}|busy", str(error))
            return server.messages("finalizer")

        server.wait(ran, "no finalizer was called")
        hostile.bystander_works()


def test_a_million_waits_for_another_thread_are_bounded(hostile):
    code = "for (;;) Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1e6);"
    hostile.limit(1000)
    assert re.search(f"{ENDED}|RangeError|TypeError", hostile.provoke("async function", code))
