"""The end of the server: it ends in order whatever libraries do, and one that does not end goes on."""

import os
import signal

import pytest
from redis import ConnectionError as NoConnection
from redis import ResponseError

from testing.libraries import function
from testing.waits import DEADLINE

LOOP = function("loop", "async client => { for (;;) await client.block(locked => 1); }")
COUNT = function("count", "async client => client.block(locked => locked.call('INCR', 'n'))")
ROUNDS = 10


def busy(server):
    """Has two workers want the server's lock all the time; gives the calls."""
    names = ("one", "two")
    for name in names:
        server.load(LOOP, COUNT, name=name)
    calls = [server.send_call("loop", library=name) for name in names]
    server.wait(lambda: server.client.info("clients")["blocked_clients"] == 2, "no calls")
    return calls


@pytest.mark.parametrize("how", ["SAVE", "NOSAVE", "SIGTERM"])
def test_a_server_ends_in_order_while_workers_wait_for_its_lock(start_server, how):
    for _ in range(ROUNDS):
        server = start_server()
        calls = busy(server)
        if how == "SIGTERM":
            server.process.terminate()
        else:
            with pytest.raises(NoConnection):
                server.run("SHUTDOWN", how, "NOW")
        assert server.process.wait(DEADLINE) == 0, server.log.read_text(errors="replace")[-3000:]
        for call in calls:
            call.disconnect()


def test_where_the_shutdown_fails_libraries_go_on(start_server, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    server = start_server("--dir", str(data))
    calls = busy(server)
    data.rmdir()
    with pytest.raises(ResponseError, match="SHUTDOWN"):
        server.run("SHUTDOWN", "SAVE")
    server.load(COUNT)
    assert server.call("count") == 1
    assert not any(call.is_answered() for call in calls)


def test_where_the_shutdown_is_aborted_libraries_go_on(start_server):
    server, replica = start_server("--shutdown-timeout", "600", "--repl-diskless-sync", "yes"), start_server()
    replica.follow(server)
    server.load(COUNT)
    os.kill(replica.process.pid, signal.SIGSTOP)
    try:
        assert server.call("count") == 1
        ending = server.send("SHUTDOWN", "NOSAVE")
        waiting = "shutdown_in_milliseconds"
        server.wait(lambda: waiting in server.client.info("server"), "the server does not wait for its replica")
        server.run("SHUTDOWN", "ABORT")
        with pytest.raises(ResponseError, match="SHUTDOWN"):
            ending.reply()
        assert server.call("count") == 2
    finally:
        os.kill(replica.process.pid, signal.SIGCONT)
