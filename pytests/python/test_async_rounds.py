"""Async rounds beside sync steps of the same script: not one is lost, done twice, or sees half of another."""

import itertools
import threading

ENTRIES = 100_000
STREAMS = 20
WRITES = 5_000
PIPELINE = 500

SCRIPT = """
total = 0
rounds = 0
events = []


async def same(value):
    return value


async def add(x):
    global total, rounds
    n = await same(int(x['n']))
    # No await between reading and writing: nothing of the script runs in between.
    total += n
    rounds += 1
    execute('incrby', 'sum', n)


def note(x):
    events.append(int(x['value']))
    execute('set', 'events', f'{len(events)} {sum(events)}')


def tell(x):
    execute('set', 'told', f'{rounds} {total} {len(events)} {sum(events)} {events == sorted(events)}')


GB('StreamReader', desc='add').foreach(add).register('round:*', mode='async')
GB('KeysReader', desc='note').foreach(note).register('event', mode='sync', eventTypes=['set'])
GB('KeysReader', desc='tell').foreach(tell).register('tell', mode='sync', eventTypes=['set'])
"""


def chunks(values, size):
    """Lists of that length, the last of which may be shorter."""
    values = iter(values)
    return iter(lambda: list(itertools.islice(values, size)), [])


def test_a_hundred_thousand_async_rounds_beside_sync_steps_give_exact_results(server):
    server.set_timeout(5000)
    assert server.run("RG.PYEXECUTE", SCRIPT) == "OK"

    def write_keys():
        with server.connect() as client:
            for number in range(WRITES):
                client.execute_command("SET", "event", number)

    writer = threading.Thread(target=write_keys)
    writer.start()
    for numbers in chunks(range(ENTRIES), PIPELINE):
        pipe = server.client.pipeline(transaction=False)
        for number in numbers:
            pipe.execute_command("XADD", f"round:{number % STREAMS}", "*", "n", number)
        pipe.execute()
    writer.join()
    expected = ENTRIES * (ENTRIES - 1) // 2
    server.wait(lambda: server.run("GET", "sum") == str(expected), lambda: server.run("GET", "sum"))
    events = f"{WRITES} {WRITES * (WRITES - 1) // 2}"
    assert server.run("GET", "events") == events
    server.run("SET", "tell", 1)
    assert server.run("GET", "told") == f"{ENTRIES} {expected} {events} True"
    server.wait(
        lambda: all(server.run("XLEN", f"round:{n}") == 0 for n in range(STREAMS)), "a stream is not trimmed"
    )
