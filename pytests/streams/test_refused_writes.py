"""While the server refuses what clients write, entries and events wait: nothing is handed over, and nothing is lost."""

import os
import subprocess
import time
from contextlib import contextmanager

import pytest
from redis import ResponseError

from testing.gears1 import execute
from testing.libraries import consumer, function, library
from testing.policies import dead_letters, info, policy, sync_and_async, wait_dead_letters, wait_info
from testing.triggers import load, shown, trigger

COUNT = 200
TO_DEAD = {"dead_letter": "dead"}

INCREMENT = {
    "sync": "(client, data) => { client.call('INCR', 'n'); }",
    "async": "async (client, data) => { await client.block(c => c.call('INCR', 'n')); }",
    "promise": "(client, data) => client.run_on_background(async c => { await c.block(l => l.call('INCR', 'n')); })",
}
ONCE = {"on_failure": "retry", "max_attempts": 1}
BATCH = {"batch": 10, "on_failure": "retry", "max_attempts": 1}
WAYS = {
    "sync": (INCREMENT["sync"], None),
    "async": (INCREMENT["async"], None),
    "promise": (INCREMENT["promise"], None),
    "sync with options": (INCREMENT["sync"], ONCE),
    "async with options": (INCREMENT["async"], ONCE),
    "sync batch": ("(client, all) => { client.call('INCRBY', 'n', all.length); }", BATCH),
    "async batch": ("async (client, all) => { client.block(c => c.call('INCRBY', 'n', all.length)); }", BATCH),
}


@contextmanager
def too_few_replicas(server):
    with server.setting("min-replicas-to-write", 1):
        yield "NOREPLICAS"


@contextmanager
def no_memory(server):
    with server.setting("maxmemory", 1):
        yield "OOM"


@contextmanager
def no_dump(server):
    directory, name = (server.run("CONFIG", "GET", what)[1] for what in ("dir", "dbfilename"))
    path = os.path.join(directory, name)
    if os.path.exists(path):
        os.remove(path)

    def save(status):
        server.run("BGSAVE")
        server.wait(
            lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == status, f"BGSAVE does not end {status}"
        )

    with server.setting("save", "3600 1"):
        os.mkdir(path)
        save("err")
        try:
            yield "MISCONF"
        finally:
            os.rmdir(path)
            # A dump that failed is tried again after some seconds only.
            server.wait(lambda: _try(lambda: save("ok")), "no dump is written")


def _try(action):
    try:
        action()
    except ResponseError:
        return False
    return True


REFUSALS = {"replicas": too_few_replicas, "dump": no_dump, "memory": no_memory}
each_refusal = pytest.mark.parametrize("refusal", REFUSALS)


@contextmanager
def fill(server, way):
    """A consumer with entries that wait for it: its owner is disabled until the context's function is called."""
    callback, options = WAYS[way]
    server.run("ACL", "SETUSER", "own", "on", ">p", "~*", "&*", "+@all")
    try:
        owner = server.connect(username="own", password="p")
        code = library(*policy(consumer(callback=callback, options=options, trim=True)))
        owner.execute_command("RG.FUNCTION", "LOAD", code)
        server.run("ACL", "SETUSER", "own", "off")
        server.add("stream", *range(COUNT))
        yield lambda: server.run("ACL", "SETUSER", "own", "on")
    finally:
        server.run("ACL", "DELUSER", "own")


@each_refusal
@pytest.mark.parametrize("way", WAYS)
def test_a_backlog_waits_and_is_not_trimmed_until_the_server_takes_writes_again(server, refusal, way):
    with fill(server, way) as let_in:
        check_backlog(server, REFUSALS[refusal](server), let_in)


def check_backlog(server, refused, let_in):
    with refused as error:
        let_in()
        wait_info(server, state="refused")
        assert error in info(server)["error"]
        server.wait(lambda: error in server.stream("stream")["last_error"], lambda: server.stream("stream"))
        for _ in range(20):
            server.run("EXISTS", "n")
            time.sleep(0.01)
        assert server.run("XLEN", "stream") == COUNT
        assert server.run("EXISTS", "n") == 0
        assert info(server)["failures"] == 0
    server.wait(lambda: server.run("XLEN", "stream") == 0, lambda: (server.run("GET", "n"), info(server)))
    assert server.run("GET", "n") == str(COUNT)
    found = info(server)
    assert (found["failures"], found["given_up"], found["error"], found["state"]) == (0, 0, "None", "running")


@each_refusal
def test_the_log_says_when_callbacks_begin_and_cease_to_wait(server, refusal):
    with fill(server, "sync") as let_in:
        with REFUSALS[refusal](server) as error:
            let_in()
            wait_info(server, state="refused")
            said = f"callbacks that may write wait, since the server refuses: {error} "
            for _ in range(20):
                server.run("EXISTS", "n")
            assert server.times_logged(said) == 1
        server.wait(lambda: server.run("XLEN", "stream") == 0, lambda: info(server))
        server.wait(lambda: server.times_logged("callbacks go on: the server takes writes again") == 1, server.log_text)


def free(kind="sync"):
    """A function that lets go what callbacks hold: on a worker, or on the main thread."""
    work = "for (const one of held.values()) one(0); held.clear();"
    return f"redis.register_function('free', {'async ' if kind == 'async' else ''}() => {{ {work} }}, ['no-writes']);"


@each_refusal
@sync_and_async
@pytest.mark.parametrize("window", [1, 10])
def test_what_is_with_an_async_callback_waits_in_its_block_whoever_lets_it_go_on(server, refusal, window, kind):
    callback = "async (client, data) => { await holding(client, data); client.block(c => c.call('INCR', 'n')); }"
    server.load(*policy(consumer(callback=callback, window=window, trim=True), free(kind)))
    server.add("stream", *range(50))
    server.wait_message("start 0 ")
    with REFUSALS[refusal](server):
        server.send_call("free")
        for _ in range(20):
            server.run("EXISTS", "n")
            time.sleep(0.01)
        wait_info(server, state="refused")
        assert server.run("EXISTS", "n") == 0
        assert server.run("XLEN", "stream") == 50
        assert info(server)["failures"] == 0

    def rest():
        server.call("free")
        return server.run("XLEN", "stream") == 0

    server.wait(rest, lambda: info(server))
    assert server.run("GET", "n") == "50"
    assert len(server.messages("start ")) == 50
    assert info(server)["failures"] == 0


@each_refusal
def test_a_dead_letter_waits_until_it_can_be_written(server, refusal):
    callback = "async (client, data) => { await holding(client, data); throw new Error('went wrong'); }"
    server.load(*policy(consumer(callback=callback, options=TO_DEAD), free()))
    ids = server.add("stream", 1)
    server.wait_message("start 1 ")
    with REFUSALS[refusal](server):
        server.send_call("free")
        server.wait(lambda: server.stream("stream")["state"] == "refused", lambda: server.stream("stream"))
        assert server.stream("stream")["pending_ids"] == ids
        assert server.run("EXISTS", "dead") == 0
    [dead_letter] = wait_dead_letters(server, 1)
    assert "went wrong" in dead_letter["error"]
    assert len(dead_letters(server)) == 1


@pytest.mark.parametrize("refusal", ["replicas", "dump"])
@sync_and_async
def test_events_wait_for_their_trigger_while_writes_are_refused(server, refusal, kind):
    keep = "keep(client, data)" if kind == "sync" else "client.block(c => keep(c, data))"
    load(server, trigger(callback=f"{'async ' if kind == 'async' else ''}(client, data) => {{ {keep}; }}", options={"event_types": ["expired"]}))
    for key in range(5):
        server.run("SET", f"key{key}", 1, "PX", 300)
    with REFUSALS[refusal](server):
        server.wait(lambda: shown(server)["num_triggered"] == 5, lambda: shown(server))
        server.run("EXISTS", "n")
        assert server.run("EXISTS", "seen") == 0
        assert shown(server)["num_failed"] == 0
    server.wait(lambda: server.run("LLEN", "seen") == 5, lambda: shown(server))
    assert shown(server)["num_failed"] == 0


@pytest.mark.parametrize("refusal", ["replicas", "dump"])
def test_a_function_gets_the_error_of_the_server_at_once(server, refusal):
    server.load(
        function("sync", "client => client.call('INCR', 'n')"),
        function("async", "async client => client.block(c => c.call('INCR', 'n'))"),
        function("reads", "async client => client.block(c => c.call('GET', 'n'))"),
    )
    server.run("SET", "n", 7)
    with REFUSALS[refusal](server) as error:
        for name in ("sync", "async"):
            with pytest.raises(ResponseError, match=error):
                server.call(name)
        assert server.call("reads") == "7"
    assert server.call("async") == 8


def test_where_memory_is_made_by_eviction_consumers_go_on_at_the_limit(server):
    server.load(*policy(consumer(callback="(client, data) => { client.call('SET', `k${value(data)}`, 'x'.repeat(500)); }")))
    used = server.client.info("memory")["used_memory"]
    with server.setting("maxmemory-policy", "allkeys-random"), server.setting("maxmemory", used + (1 << 20)):
        for n in range(5000):
            server.run("XADD", f"stream:{n % 50}", "*", "n", n)
        server.run("EXISTS", "n")
        found = info(server)
        assert found["failures"] == 0
        assert found["state"] == "running"


@pytest.mark.parametrize("elsewhere", ["elsewhere", ""])
def test_in_a_cluster_that_is_down_entries_wait(start_server, elsewhere):
    server = start_server(configuration="\ncluster-enabled yes\n")
    server.run("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

    def is_up():
        return "cluster_state:ok" in server.run("CLUSTER", "INFO")

    server.wait(is_up, "the cluster does not come up")
    with fill(server, "sync") as let_in:
        # Of no key that is there.
        slot = server.run("CLUSTER", "KEYSLOT", elsewhere)
        server.run("CLUSTER", "DELSLOTS", slot)
        server.wait(lambda: not is_up(), "the cluster does not go down")
        let_in()
        wait_info(server, state="refused")
        assert "cluster is down" in info(server)["error"]
        # The server is asked again every 100 ms.
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert info(server)["state"] == "refused"
        server.run("CLUSTER", "ADDSLOTS", slot)
        server.wait(lambda: _try(lambda: server.run("GET", "n")), "the cluster does not come up again")
        server.wait(lambda: server.run("XLEN", "stream") == 0, lambda: info(server))
        assert info(server)["failures"] == 0


@sync_and_async
def test_entries_that_a_node_of_a_cluster_finds_when_it_starts_wait_until_that_is_up(start_server, kind):
    owner = "user own on >p ~* &* +@all"
    server = start_server("--appendonly", "yes", "--appendfsync", "always", configuration=f"\ncluster-enabled yes\n{owner}\n")
    server.run("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

    def wait_up():
        server.wait(lambda: "cluster_state:ok" in server.run("CLUSTER", "INFO"), "the cluster does not come up")

    wait_up()
    code = library(*policy(consumer(callback=INCREMENT[kind], window=10, trim=True)))
    server.connect(username="own", password="p").execute_command("RG.FUNCTION", "LOAD", code)
    server.run("ACL", "SETUSER", "own", "off")
    server.add("stream", *range(COUNT))
    server.kill()
    server.start()
    wait_up()
    server.wait(lambda: server.run("XLEN", "stream") == 0, lambda: info(server))
    assert (server.run("GET", "n"), info(server)["failures"]) == (str(COUNT), 0)


@sync_and_async
@each_refusal
def test_what_a_sync_callback_left_in_the_background_waits_too(server, refusal, kind):
    work = "async c => { await holding(c, data); c.block(l => l.call('INCR', 'n')); }"
    callback = f"(client, data) => {{ client.run_on_background({work}); }}"
    server.load(*policy(consumer(callback=callback), free(kind)))
    server.add("stream", 1, 2, 3)
    server.wait_message("start ", 3)
    with REFUSALS[refusal](server):
        server.send_call("free")
        wait_info(server, state="refused")
        assert server.run("EXISTS", "n") == 0
    server.wait(lambda: server.run("GET", "n") == "3", lambda: server.run("GET", "n"))


def test_a_refusal_is_shown_where_all_is_with_a_worker_and_its_end_too(server):
    callback = "async (client, data) => { await holding(client, data); client.block(c => c.call('INCR', 'n')); }"
    server.load(*policy(consumer(callback=callback), free("async")))
    server.add("stream", 1)
    server.wait_message("start 1 ")
    with too_few_replicas(server) as error:
        server.send_call("free")
        wait_info(server, state="refused")
        assert error in info(server)["error"]
    wait_info(server, state="running", error="None")
    server.wait(lambda: server.run("GET", "n") == "1", lambda: info(server))


WAITS_LONG = """async (client, data) => {
    await holding(client, data);
    try {
        client.block(c => c.call('INCR', 'n'));
    } catch (error) {
        redis.log(`ended ${error}`);
        throw error;
    }
}"""


def test_what_waits_in_its_block_ends_when_its_library_is_deleted(server):
    server.load(*policy(consumer(callback=WAITS_LONG), free()))
    server.add("stream", 1)
    server.wait_message("start 1 ")
    with too_few_replicas(server):
        server.call("free")
        wait_info(server, state="refused")
        server.run("RG.FUNCTION", "DEL", "lib")
        server.wait_message("ended Function were unregistered")
    assert server.run("EXISTS", "n") == 0


def test_what_waits_in_its_block_too_long_for_an_upgrade_is_done_by_the_new_code(server):
    server.load(*policy(consumer(callback=WAITS_LONG), free()))
    server.add("stream", 1)
    server.wait_message("start 1 ")
    with too_few_replicas(server):
        server.call("free")
        wait_info(server, state="refused")
        server.upgrade(*policy(consumer(callback=INCREMENT["async"])))
        server.wait_message("ended Function were unregistered")
        assert server.run("EXISTS", "n") == 0
    server.wait(lambda: server.run("GET", "n") == "1", lambda: info(server))


def test_blocks_of_consumers_go_on_where_memory_is_made_by_eviction(server):
    callback = "async (client, data) => { client.block(c => c.call('SET', `k${value(data)}`, 'x'.repeat(500))); }"
    server.load(*policy(consumer(callback=callback)))
    used = server.client.info("memory")["used_memory"]
    with server.setting("maxmemory-policy", "allkeys-random"), server.setting("maxmemory", used + (1 << 20)):
        for n in range(5000):
            server.run("XADD", f"stream:{n % 50}", "*", "n", n)
        found = info(server)
        assert found["failures"] == 0, found
        assert found["state"] == "running"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes, where one may be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def full(server, disk):
    """Until the append-only file cannot be written, and the server says so."""
    filling = disk / "filling"

    def refuses():
        try:
            server.run("SET", "filling", "x" * 100_000)
        except ResponseError as error:
            return str(error).startswith("MISCONF")

    with filling.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
    server.wait(refuses, "the server takes writes on a full disk")
    try:
        yield "MISCONF"
    finally:
        filling.unlink()


@pytest.mark.parametrize("way", ["sync", "async", "async with options"])
def test_a_backlog_waits_while_the_append_only_file_cannot_be_written(start_server, small_disk, way):
    server = start_server("--dir", str(small_disk), "--appendonly", "yes", "--appendfsync", "everysec")
    with fill(server, way) as let_in:
        check_backlog(server, full(server, small_disk), let_in)
    # What is written survives the kill.
    server.appended()
    server.restart()
    server.wait(lambda: server.run("GET", "n") == str(COUNT), lambda: server.run("GET", "n"))
    assert server.run("XLEN", "stream") == 0
    server.kill()


@pytest.mark.parametrize("window", [1, 10])
@sync_and_async
def test_entries_wait_while_clients_are_paused_and_none_fails(server, kind, window):
    server.load(*policy(consumer(callback=INCREMENT[kind], window=window, trim=True)))
    pipe = server.client.pipeline(transaction=False)
    for n in range(COUNT):
        pipe.execute_command("XADD", "stream", "*", "n", n)
    pipe.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    pipe.execute()
    before = server.run("GET", "n")
    for _ in range(20):
        assert server.run("GET", "n") == before
        time.sleep(0.01)
    server.run("CLIENT", "UNPAUSE")
    server.wait(lambda: server.run("GET", "n") == str(COUNT), lambda: server.run("GET", "n"))
    assert info(server)["failures"] == 0


MODES = pytest.mark.parametrize("mode", ["sync", "async", "async_local"])


@each_refusal
@MODES
def test_entries_of_a_gears_builder_wait(server, refusal, mode):
    server.run("ACL", "SETUSER", "own", "on", ">p", "~*", "&*", "+@all")
    owner = server.connect(username="own", password="p")
    code = f"GB('StreamReader').foreach(() => execute('INCR', 'n')).register('s', {{ mode: '{mode}' }})"
    execute(server, code, client=owner)
    server.run("ACL", "SETUSER", "own", "off")
    server.add("s", *range(20))
    with REFUSALS[refusal](server):
        server.run("ACL", "SETUSER", "own", "on")
        for _ in range(20):
            assert server.run("EXISTS", "n") == 0
            time.sleep(0.01)
    server.wait(lambda: server.run("GET", "n") == "20", lambda: server.run("GET", "n"))
    server.run("ACL", "DELUSER", "own")


@pytest.mark.parametrize("refusal", ["replicas", "dump"])
@MODES
def test_events_of_a_gears_builder_wait(server, refusal, mode):
    code = f"GB('KeysReader').foreach(() => execute('INCR', 'n')).register('key*', {{ eventTypes: ['expired'], mode: '{mode}' }})"
    execute(server, code)
    for key in range(5):
        server.run("SET", f"key{key}", 1, "PX", 300)
    with REFUSALS[refusal](server):
        server.wait(lambda: server.run("DBSIZE") == 0, lambda: server.run("KEYS", "*"))
        for _ in range(20):
            assert server.run("EXISTS", "n") == 0
            time.sleep(0.01)
    server.wait(lambda: server.run("GET", "n") == "5", lambda: server.run("GET", "n"))


@pytest.mark.parametrize("reader", ["StreamReader", "KeysReader"])
@MODES
def test_on_registered_waits_for_a_server_that_takes_writes(start_server, reader, mode):
    node = start_server()
    more = f"{{ mode: '{mode}', onRegistered: () => execute('INCR', 'registered') }}"
    execute(node, f"GB('{reader}').foreach(() => 0).register('k', {more})")
    node.wait(lambda: node.run("GET", "registered") == "1", lambda: node.run("GET", "registered"))
    node.run("SAVE")
    node.restart("--min-replicas-to-write", "1")
    for _ in range(20):
        assert node.run("GET", "registered") == "1"
        time.sleep(0.01)
    node.run("CONFIG", "SET", "min-replicas-to-write", 0)
    node.wait(lambda: node.run("GET", "registered") == "2", lambda: (node.run("GET", "registered"), node.log_text()))
