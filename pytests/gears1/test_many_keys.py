"""Runs over many keys: each is read once, and the server goes on meanwhile."""

import time

from testing.gears1 import by_key, execute, executions, fill, results
from testing.waits import DEADLINE

KEYS = 20_000


def pings(node, until):
    """Seconds that each PING took while that is not so."""
    client = node.connect()
    taken = []
    end = time.monotonic() + DEADLINE
    while not until():
        begin = time.monotonic()
        assert begin < end
        client.ping()
        taken.append(time.monotonic() - begin)
    return taken


def test_while_many_keys_are_read_the_server_answers(server, measured):
    keys = 3 * KEYS
    fill(server, "a:", keys)
    pipe = server.client.pipeline(transaction=False)
    for number in range(200):
        pipe.execute_command("RPUSH", f"list:{number}", *range(500))
    pipe.execute()
    identity = execute(server, "GB().map(x => x.type).countby().run()", "UNBLOCKING")
    taken = pings(server, lambda: executions(server)[identity] == "done")
    measured(f"slowest of {len(taken)} PINGs while a run reads {keys + 200} keys: {1000 * max(taken, default=0):.1f} ms")
    # In one go it answers once or twice.
    assert len(taken) >= 5, "the server was held up"
    [found, errors] = server.run("RG.GETRESULTS", identity)
    assert (by_key(found), errors) == ({"string": keys, "list": 200}, [])


def test_a_step_that_takes_long_holds_up_nobody(server):
    fill(server, "a:", 3)
    step = "foreach(() => { const end = Date.now() + 400; while (Date.now() < end) ; })"
    identity = execute(server, f"GB().{step}.run()", "UNBLOCKING")
    answers = 0
    while executions(server)[identity] != "done":
        answers += 1
    # A server that is held up answers once a step.
    assert answers > 10


def test_each_of_many_keys_is_read_once_and_may_be_deleted(server):
    fill(server, "a:", KEYS)
    server.run("SET", "other", 1)
    steps = "foreach(x => execute('DEL', x.key)).map(x => Number(x.value))"
    assert results(server, f"GB().{steps}.accumulate((sum, n) => sum + n).run('a:*')") == [KEYS * (KEYS - 1) // 2]
    assert server.run("KEYS", "*") == ["other"]


def test_keys_that_stay_are_read_though_others_come_and_go(server):
    fill(server, "a:", 5000)
    identity = execute(
        server, "GB('KeysOnlyReader').filter(key => key.startsWith('a:')).distinct().count().run()", "UNBLOCKING"
    )
    number = 0
    while executions(server)[identity] == "running":
        fill(server, f"b:{number}:", 500)
        server.run("UNLINK", *(f"b:{number}:{n}" for n in range(250)))
        number += 1
    assert server.run("RG.GETRESULTS", identity) == [[5000], []]


def test_all_keys_may_be_results(server):
    fill(server, "a:", KEYS)
    assert len(results(server, "GB().run()")) == KEYS
