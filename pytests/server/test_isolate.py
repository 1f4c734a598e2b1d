"""One isolate, several threads: whose client code acts with, what V8 does by itself, and what is left when something breaks off."""

import resource
import subprocess
import threading

import pytest
import redis

from testing.functions import in_transaction
from testing.launch import MODULE, REDIS_SERVER
from testing.libraries import consumer, function, library
from testing.servers import V8, configuration_file
from testing.waits import eventually

MODULE_ARGS = "enable-debug-command yes"

DEBUG = ["RG.FUNCTION", "DEBUG"]

# Plain code and async code of one library on the same streams, with clients that are made anew all the time.
MIXED = [
    consumer("a", "st:", 50, True, "async (c, d) => { await null; c.block(x => { x.call('INCR', 'n') }); }"),
    consumer(
        "s", "st:", 1, True, "(c, d) => { const b = []; for (let i = 0; i < 200; i++) b.push({i}); c.call('INCR', 'm') }"
    ),
]


def together(node, *bodies):
    """Runs each body again and again on a thread of its own while the last one runs once."""
    stop = threading.Event()

    def repeat(body):
        client = node.connect()
        while not stop.is_set():
            body(client)

    threads = [threading.Thread(target=repeat, args=(body,)) for body in bodies[:-1]]
    for thread in threads:
        thread.start()
    try:
        return bodies[-1](node.connect())
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_databases_are_swapped_under_plain_and_async_consumers_of_one_library(server):
    for name in ("one", "two", "three"):
        server.load(*MIXED, name=name)

    def produce(client):
        pipeline = client.pipeline(transaction=False)
        for at in range(20):
            pipeline.execute_command("XADD", f"st:{at % 6}", "*", "o", str(at % 3), "v", at)
        pipeline.execute()

    def swap(client):
        for _ in range(150):
            client.execute_command("SWAPDB", 0, 1)
            before = client.info("stats")["total_commands_processed"]
            # A swap now and then, as the streams go on.
            server.wait(lambda before=before: client.info("stats")["total_commands_processed"] > before + 60)

    together(server, produce, produce, swap)
    server.assert_alive()


LATER = """
redis.register_function('later', async (client, count) => {
    let lost = 0;
    for (let i = 0; i < Number(count); i++) {
        client.block(c => c.call('INCR', 'n'));
        await null;
        try {
            if (i % 2) execute('INCR', 'n');
            else atomic(() => execute('INCR', 'n'));
        } catch (error) {
            lost++;
        }
    }
    return lost;
});
redis.register_function('plain', client => { Promise.resolve().then(() => 1); return 1; });
"""


def test_code_keeps_its_client_over_an_await_while_plain_code_runs(server):
    server.load(LATER)

    def plain(client):
        pipeline = client.pipeline(transaction=False)
        for _ in range(20):
            pipeline.execute_command("RG.FCALL", "lib", "plain", 0)
        pipeline.execute()

    lost = together(
        server, plain, plain, lambda client: [server.call("later", 100, client=client) for _ in range(10)]
    )
    assert lost == [0] * 10
    assert server.run("GET", "n") == "2000"


def test_code_of_two_users_never_acts_with_the_client_of_the_other(server):
    for user in ("ann", "bob"):
        server.run("ACL", "SETUSER", user, "on", ">p", f"~{user}:*", "+@all")
    server.load("""
        redis.register_function('own', async (client, name, count) => {
            let wrong = 0;
            for (let i = 0; i < Number(count); i++) {
                await null;
                try { client.block(c => c.call('INCR', `${name}:n`)); } catch (error) { wrong++; }
                await Promise.resolve();
                try { execute('INCR', `${name}:n`); } catch (error) { wrong++; }
                const other = name === 'ann' ? 'bob' : 'ann';
                try { execute('INCR', `${other}:n`); wrong++; } catch (error) {}
            }
            return wrong;
        });
        redis.register_function('plain', client => { Promise.resolve().then(() => 1); return 1; });
    """)
    clients = {user: server.connect(username=user, password="p") for user in ("ann", "bob")}
    try:
        found = together(
            server,
            lambda client: server.call("plain", client=client),
            lambda _: server.call("own", "bob", 20, client=clients["bob"]),
            lambda _: [server.call("own", "ann", 50, client=clients["ann"]) for _ in range(5)],
        )
        assert found == [0] * 5
        assert server.run("GET", "ann:n") == "500"
    finally:
        server.run("ACL", "DELUSER", "ann", "bob")


WAITING = """
redis.register_function('wait', async client => {
    const cell = new Int32Array(new SharedArrayBuffer(4));
    await Atomics.waitAsync(cell, 0, 0, 20).value;
    %s
});
"""


def test_code_behind_atomics_wait_async_may_block(server):
    server.load(WAITING % "return client.block(c => c.call('INCR', 'n'));")
    assert [server.call("wait") for _ in range(3)] == [1, 2, 3]


def test_code_behind_atomics_wait_async_may_execute(server):
    server.load(WAITING % "return execute('INCR', 'n');")
    assert server.call("wait") == 1


def test_code_behind_atomics_wait_async_that_is_ended_answers_its_caller(server):
    with server.setting("redisgears_2.background-timeout", 200):
        server.load(WAITING % "for (;;);", function("f", "client => 1"))
        with pytest.raises(Exception, match="terminated due to OOM or timeout"):
            server.call("wait")
        assert server.call("f") == 1


def test_code_behind_atomics_wait_async_is_done_with_its_entry(server):
    server.load(
        consumer(
            callback="""async (client, data) => {
                await Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5).value;
                client.block(c => c.call('RPUSH', 'out', value(data)));
            }"""
        )
    )
    server.add("stream", *range(20))
    server.wait_stream(total_record_processed=20)
    assert server.run("LRANGE", "out", 0, -1) == [str(n) for n in range(20)]


def test_a_panic_on_the_main_thread_leaves_the_library_to_its_worker(server):
    server.load(
        function("plain", "client => client.call('INCR', 'n')"),
        function("later", "async client => client.block(c => c.call('INCR', 'n'))"),
    )
    for count in range(1, 20, 2):
        # In one round of the event loop: the main thread is still in the library when it panics.
        pipeline = server.client.pipeline(transaction=False)
        pipeline.execute_command(*DEBUG, "panic_in_turn")
        pipeline.execute_command("RG.FCALL", "lib", "plain", 0)
        assert pipeline.execute() == ["OK", count]
        assert server.call("later") == count + 1
    server.wait(lambda: server.times_logged("internal error in the event loop") == 10, server.log_text)


def test_a_command_that_panics_when_its_client_waits_is_answered_once(server):
    pipeline = server.client.pipeline(transaction=False)
    pipeline.execute_command(*DEBUG, "panic_behind_wait")
    pipeline.execute_command("ECHO", "the next reply")
    waited, echoed = pipeline.execute(raise_on_error=False)
    assert "the call ended without a result" in str(waited)
    assert echoed == "the next reply"
    # Here it cannot wait, and the command itself has to answer.
    [answered] = in_transaction(server, (*DEBUG, "panic_behind_wait"))
    assert "internal error" in str(answered)
    server.wait(lambda: server.times_logged("internal error in a command") == 2, server.log_text)


def launch(directory, *arguments, limits=None):
    """Starts a server, its module with these arguments; gives the process and its Unix socket."""
    path = directory / "socket"
    command = [REDIS_SERVER, configuration_file(directory), "--port", "0", "--unixsocket", str(path)]
    command += ["--logfile", str(directory / "log"), "--loadmodule", MODULE, *arguments]
    with (directory / "out").open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            preexec_fn=limits and (lambda: resource.setrlimit(*limits)),
        )
    return process, path


def answering(process, path, directory):
    """A client of a server that was just started."""
    client = redis.Redis(unix_socket_path=str(path), decode_responses=True)

    def answers():
        assert process.poll() is None, (directory / "log").read_text(errors="replace")
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    eventually(answers, "the server does not answer")
    return client


def test_flags_of_v8_are_taken_where_debugging_is_on(start_server):
    server = start_server(module_args="enable-debug-command yes v8-flags stack-trace-limit=3,stress-scavenge=10")
    server.load(function("f", "client => Error.stackTraceLimit"))
    assert server.call("f") == 3
    assert "V8 runs with flags for tests: --stack-trace-limit=3 --stress-scavenge=10" in server.log_text()


def test_a_flag_that_v8_does_not_know_is_said_and_the_module_not_loaded(tmp_path):
    process, _ = launch(tmp_path, "enable-debug-command", "yes", "v8-flags", "stress-scavenge=10,no-such-flag")
    assert process.wait(timeout=30) == 1
    assert "V8 does not know the flag --no-such-flag" in (tmp_path / "log").read_text(errors="replace")


def collections(directory, *flags):
    """How often V8 moved young objects in a server with these flags that does little."""
    process, path = launch(directory, "enable-debug-command", "yes", "v8-flags", ",".join(["trace-gc", *flags]))
    try:
        client = answering(process, path, directory)
        code = "client => { const b = []; for (let i = 0; i < 1000; i++) b.push({i}); return b.length }"
        client.execute_command("RG.FUNCTION", "LOAD", library(function("f", code)))
        for _ in range(50):
            assert client.execute_command("RG.FCALL", "lib", "f", 0) == 1000
    finally:
        process.terminate()
        process.wait()
    return (directory / "out").read_text(errors="replace").count("Scavenge")


@pytest.mark.skipif(not V8.flags, reason="no flags for V8 are given")
def test_the_flags_that_the_tests_are_given_make_v8_move_more(tmp_path):
    (few := tmp_path / "few").mkdir()
    (many := tmp_path / "many").mkdir()
    assert collections(many, V8.flags) > 2 * collections(few)


# --- what the operating system gives -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit, amount, text", [
    ("RLIMIT_AS", 12 << 30, "address space"),
    ("RLIMIT_STACK", 64 << 10, "stack of the process is too small"),
])
def test_a_process_that_has_too_little_does_not_load_the_module_and_says_why(tmp_path, limit, amount, text):
    process, _ = launch(tmp_path, limits=(getattr(resource, limit), (amount, amount)))
    assert process.wait(timeout=30) == 1
    assert text in (tmp_path / "log").read_text(errors="replace")


DEEP = {
    "plain": "const f = n => 1 + f(n + 1); try { f(0) } catch (error) { return String(error.name) }",
    "json": "const o = { toJSON() { return JSON.stringify(o) } }; try { JSON.stringify(o) } catch (error) { return error.name }",
    "getter": "const o = { get x() { return this.x } }; try { o.x } catch (error) { return error.name }",
    "call": "const f = n => { client.call('PING'); return 1 + f(n + 1) }; try { f(0) } catch (error) { return error.name }",
    "sort": "const f = () => [2, 1].sort(f); try { f() } catch (error) { return error.name }",
    "regexp": "try { return new RegExp('('.repeat(50000) + ')'.repeat(50000)).source.length } catch (error) { return 'RangeError' }",
}


def test_deep_recursion_on_a_small_stack_is_an_error_of_the_script(tmp_path):
    process, path = launch(tmp_path, limits=(resource.RLIMIT_STACK, (256 << 10, 256 << 10)))
    try:
        client = answering(process, path, tmp_path)
        client.execute_command("CONFIG", "SET", "redisgears_2.lock-redis-timeout", 10_000)
        for name, code in DEEP.items():
            deep = "#!js name=l\n" + function("f", f"client => {{ {code} }}") + function("a", f"async () => {{ const client = {{ call() {{}} }}; {code} }}")
            client.execute_command("RG.FUNCTION", "LOAD", "UPGRADE", deep)
            assert client.execute_command("RG.FCALL", "l", "f", 0) == "RangeError", name
            assert client.execute_command("RG.FCALL", "l", "a", 0) == "RangeError", name
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
