"""The order of calls, and libraries that compute for long: nobody else waits for them."""

import pytest

from testing.functions import BUSY, HOLD, in_transaction, wait_held
from testing.libraries import function
from testing.servers import Server


@pytest.fixture(scope="module", params=[1, 4])
def threads(request, tmp_path_factory):
    """Servers with one worker and with four."""
    node = Server(tmp_path_factory.mktemp("threads"), module_args=f"execution-threads {request.param}")
    yield node
    node.stop()


def test_async_calls_of_a_library_begin_in_their_order(threads):
    threads.reset()
    threads.load(
        BUSY,
        "const order = [];",
        function("note", "async (client, n) => { order.push(Number(n)); if (n % 3) await null; }"),
        function("order", "() => order"),
    )
    busy = threads.send_call("busy", 300)
    threads.wait_message("spinning")
    calls = []
    for n in range(100):
        calls.append(threads.send_call("note", n))
        # What comes on another connection later is read later.
        threads.run("PING")
        if n == 50:
            assert busy.reply() == "done"
    for sent in calls:
        assert sent.reply() is None
    assert threads.call("order") == list(range(100))


def test_background_parts_of_a_library_begin_in_their_order(threads):
    threads.reset()
    threads.load(
        "const order = [];",
        function("order", "() => order"),
        function(
            "begin",
            "client => Promise.all(Array.from({ length: 500 }, (_, n) =>"
            " client.run_on_background(async c => { order.push(n); if (n % 7 === 0) c.block(b => b.call('PING')); })))"
            " .then(all => all.length)",
        ),
    )
    for _ in range(3):
        assert threads.call("begin") == 500
    assert threads.call("order") == [*range(500)] * 3


def test_a_library_that_computes_for_long_keeps_neither_others_nor_the_server_waiting(threads):
    threads.reset()
    threads.load(BUSY, name="busy")
    threads.load(
        function("write", "async client => client.block(c => c.call('INCR', 'n'))"),
        function("sync", "client => client.call('INCR', 'n')"),
        name="quick",
    )
    busy = threads.send_call("busy", 2500, library="busy")
    threads.wait_message("spinning")
    for n in range(10):
        assert threads.call("write", library="quick") == 2 * n + 1
        assert threads.call("sync", library="quick") == 2 * n + 2
        assert threads.run("PING")
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert busy.reply() == "done"


def test_a_library_with_much_to_do_shares_the_workers_with_others(threads):
    """Each of its parts is short, and there are seconds of them."""
    threads.reset()
    threads.load(
        "const short = () => { const end = Date.now() + 2; while (Date.now() < end); };",
        "let done = 0;",
        function(
            "begin",
            "client => { for (let n = 0; n < 1500; n++) client.run_on_background(async () => { short(); done++; }); }",
        ),
        function("done", "() => done"),
        name="much",
    )
    threads.load(function("f", "async client => client.block(c => c.call('INCR', 'n'))"), name="quick")
    threads.call("begin", library="much")
    for n in range(1, 6):
        assert threads.call("f", library="quick") == n
    assert threads.call("done", library="much") < 1500, "all was done before the test could look"
    threads.wait(lambda: threads.call("done", library="much") == 1500, "a part is missing")


def test_a_call_into_a_busy_library_that_cannot_wait_is_an_error_within_the_limit(threads):
    threads.reset()
    threads.load(BUSY, function("f", "client => client.call('INCR', 'n')"))
    threads.load(function("f", "() => 'other'"), name="other")
    busy = threads.send_call("busy", 2500)
    threads.wait_message("spinning")
    for _ in range(10):
        # The server waits for the same stretch of code only once: each time were longer than the computation takes.
        [_, refused] = in_transaction(threads, ("PING",), ("RG.FCALL", "lib", "f", 0))
        assert "library 'lib' is busy" in str(refused)
        assert threads.run("PING")
        assert threads.call("f", library="other") == "other"
    assert not busy.is_answered(), "the computation ended before the test could look"
    assert busy.reply() == "done"


def test_a_library_is_busy_no_more_when_its_call_is_answered(threads):
    threads.reset()
    threads.load(BUSY, function("f", "client => client.call('INCR', 'n')"))
    threads.set_timeout(100)
    for count in range(1, 4):
        busy = threads.send_call("busy", 1500)
        threads.wait_message("spinning", count)
        [refused] = in_transaction(threads, ("RG.FCALL", "lib", "f", 0))
        assert "library 'lib' is busy" in str(refused)
        assert busy.reply() == "done"
        assert in_transaction(threads, ("RG.FCALL", "lib", "f", 0)) == [count]


def test_a_library_that_waits_for_a_promise_or_for_the_server_is_not_busy(threads):
    threads.reset()
    threads.load(
        HOLD,
        "let going = true;",
        function(
            "loop",
            "async client => { while (going) client.block(c => c.call('INCR', 'n')); return 'stopped'; }",
        ),
        function("stop", "() => { going = false; }"),
        function("f", "client => client.call('GET', 'n')"),
    )
    held = threads.send_call("hold_async", "k")
    wait_held(threads, "k")
    loop = threads.send_call("loop")
    threads.wait(lambda: threads.run("GET", "n"), "the loop did not begin")
    for _ in range(200):
        assert int(threads.call("f")) > 0
    threads.call("settle", "k", "value")
    threads.call("stop")
    assert (held.reply(), loop.reply()) == ("value", "stopped")
