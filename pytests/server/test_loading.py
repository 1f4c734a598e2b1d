"""The module in the server: the ways to load it, its configuration, and what the server knows of it."""

import contextlib
import subprocess
from pathlib import Path

import pytest
from redis import ResponseError

from testing.launch import MODULE, REDIS_SERVER
from testing.libraries import consumer
from testing.servers import configuration_file

THREADS = "redisgears_2.execution-threads"
TIMEOUT = "redisgears_2.lock-redis-timeout"


def configuration(node, name):
    return node.client.config_get(name)[name]


def assert_works(node):
    assert node.load(consumer()) == "OK"
    node.add("stream", 1)
    node.wait_seen("stream 1")


def texts(reply):
    """All texts in a nested reply, in lower case."""
    if isinstance(reply, dict):
        reply = [*reply.keys(), *reply.values()]
    if isinstance(reply, (list, set)):
        return {text for item in reply for text in texts(item)}
    return {str(reply).lower()}


def test_it_loads_by_an_argument_of_the_server(start_server):
    assert_works(start_server())


def test_it_loads_by_a_line_of_the_configuration_file(start_server):
    assert_works(start_server(module=False, configuration=f"loadmodule {MODULE}\n"))


def test_it_loads_at_run_time_and_finds_the_streams_that_are_there(start_server):
    node = start_server(module=False)
    node.add("stream", *range(10))
    assert node.run("MODULE", "LOAD", MODULE) == "OK"
    node.load(consumer())
    node.wait_seen(*(f"stream {number}" for number in range(10)))
    node.add("stream", "new")
    assert node.seen()[10:] == ["stream new"]


def test_it_loads_at_run_time_with_arguments_and_configuration(start_server):
    node = start_server(module=False)
    node.run("MODULE", "LOADEX", MODULE, "CONFIG", TIMEOUT, "250", "ARGS", "execution-threads", "3")
    assert (configuration(node, TIMEOUT), configuration(node, THREADS)) == ("250", "3")
    assert_works(node)


def test_wrong_arguments_at_run_time_leave_the_server_unharmed(start_server):
    node = start_server(module=False)
    for arguments in (["nosuch", "1"], ["execution-threads", "0"], ["execution-threads"]):
        with pytest.raises(ResponseError):
            node.run("MODULE", "LOAD", MODULE, *arguments)
        assert node.client.ping()
    assert node.run("MODULE", "LOAD", MODULE) == "OK"
    assert_works(node)


WRONG = {
    "argument": ["ARGS", "nosuch", "1"],
    "value": ["CONFIG", THREADS, "999999"],
    # Servers find that out when the module has loaded, and unload it.
    "name": ["CONFIG", "redisgears_2.nosuch", "1"],
    "name of another": ["CONFIG", "nosuch.nosuch", "1", "CONFIG", THREADS, "7"],
}


def threads(node):
    """The names of the server's threads that are the module's own."""
    tasks = Path(f"/proc/{node.run('INFO', 'server')['process_id']}/task")
    names = []
    for task in tasks.iterdir():
        # A thread may have ended since it was listed.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names.append((task / "comm").read_text().strip())
    return sorted(name.rstrip("-0123456789") for name in names if name.startswith("rg-"))


def skip_where_that_ends_the_server(node, more):
    """Valkey ends itself where it has to unload a module with data types that it has just loaded."""
    is_late = more in (WRONG["name"], WRONG["name of another"])
    if is_late and "valkey_version" in node.run("INFO", "server"):
        pytest.skip("Valkey ends itself, before the module could do anything")


@pytest.mark.parametrize("more", WRONG.values(), ids=WRONG)
def test_a_wrong_loadex_leaves_the_server_without_the_module_and_unharmed(start_server, more):
    node = start_server(module=False)
    skip_where_that_ends_the_server(node, more)
    for _ in range(3):
        with pytest.raises(ResponseError):
            node.run("MODULE", "LOADEX", MODULE, *more)
        assert "redisgears_2" not in texts(node.run("MODULE", "LIST"))
        assert not node.client.config_get("redisgears_2.*")
        with pytest.raises(ResponseError, match="unknown command"):
            node.run("RG.FUNCTION", "LIST")
    assert node.run("MODULE", "LOADEX", MODULE, "CONFIG", TIMEOUT, "250") == "OK"
    assert (configuration(node, TIMEOUT), configuration(node, THREADS)) == ("250", "1")
    assert_works(node)
    # Nothing is left of those that went.
    node.wait(lambda: threads(node) == ["rg-watchdog", "rg-worker"], lambda: threads(node))


def test_what_is_loaded_after_a_wrong_loadex_is_kept(start_server):
    node = start_server()
    node.kill()
    node.start(module=False)
    skip_where_that_ends_the_server(node, WRONG["name"])
    for _ in range(2):
        with pytest.raises(ResponseError):
            node.run("MODULE", "LOADEX", MODULE, *WRONG["name"])
    node.run("MODULE", "LOAD", MODULE)
    node.load(consumer())
    node.run("SAVE")
    node.restart()
    assert node.libraries() == ["lib"]
    node.add("stream", 1)
    node.wait_seen("stream 1")


@pytest.mark.plain_v8("they come with a configuration")
def test_without_configuration_the_defaults_hold(start_server):
    node = start_server()
    assert configuration(node, THREADS) == "1"
    assert configuration(node, TIMEOUT) == "500"


def test_arguments_of_the_module_set_its_configuration(start_server):
    node = start_server(module_args="execution-threads 4 lock-redis-timeout 200")
    assert (configuration(node, THREADS), configuration(node, TIMEOUT)) == ("4", "200")
    assert_works(node)


def test_the_configuration_file_sets_the_modules_configuration(start_server):
    lines = f"loadmodule {MODULE}\n{THREADS} 2\n{TIMEOUT} 300\n"
    node = start_server(module=False, configuration=lines)
    assert (configuration(node, THREADS), configuration(node, TIMEOUT)) == ("2", "300")
    assert_works(node)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch", "1"],
        ["execution-threads"],
        ["execution-threads", "0"],
        ["execution-threads", "33"],
        ["execution-threads", "many"],
        ["lock-redis-timeout", "-1"],
        ["lock-redis-timeout", "1s"],
        ["lock-redis-timeout", ""],
    ],
    ids=" ".join,
)
def test_a_server_with_wrong_module_arguments_does_not_start_and_says_why(tmp_path, arguments):
    socket = ["--port", "0", "--unixsocket", str(tmp_path / "socket"), "--dir", str(tmp_path)]
    done = subprocess.run(
        [REDIS_SERVER, configuration_file(tmp_path), *socket, "--loadmodule", MODULE, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1, done.stdout
    assert "<redisgears_2>" in done.stdout
    assert arguments[0] in done.stdout


def test_the_lock_timeout_can_be_changed_and_its_range_is_kept(server):
    server.set_timeout(100)
    assert configuration(server, TIMEOUT) == "100"
    for wrong in ("0", "-1", "99999999999999999999", "x"):
        with pytest.raises(ResponseError):
            server.run("CONFIG", "SET", TIMEOUT, wrong)
    assert configuration(server, TIMEOUT) == "100"


def test_the_number_of_threads_cannot_be_changed_at_run_time(server):
    with pytest.raises(ResponseError):
        server.run("CONFIG", "SET", THREADS, 2)
    assert configuration(server, THREADS) == "1"


def test_unloading_is_refused_and_everything_goes_on(server):
    server.load(consumer())
    with pytest.raises(ResponseError, match="data types"):
        server.run("MODULE", "UNLOAD", "redisgears_2")
    server.add("stream", 1)
    assert server.seen() == ["stream 1"]


def test_the_server_lists_the_module(server):
    assert "redisgears_2" in texts(server.run("MODULE", "LIST"))


@pytest.mark.parametrize("about", ["INFO", "DOCS"])
def test_the_server_knows_the_subcommands(server, about):
    known = texts(server.run(f"COMMAND {about}", "RG.FUNCTION"))
    assert {f"rg.function|{name}" for name in ("load", "list", "del", "help")} <= known


def test_the_docs_name_options_and_summaries(server):
    known = texts(server.run("COMMAND DOCS", "RG.FUNCTION"))
    assert {"summary", "arguments", "upgrade", "config", "withcode", "library"} <= known


def test_commands_that_change_libraries_are_not_in_the_read_category(server):
    assert {"rg.function|load", "rg.function|del"} <= texts(server.run("COMMAND INFO", "RG.FUNCTION"))
    assert not {"rg.function|load", "rg.function|del"} & texts(server.run("ACL", "CAT", "read"))


def test_many_worker_threads_serve_many_libraries(start_server):
    node = start_server(module_args="execution-threads 32")
    for number in range(40):
        callback = f"async (client, data) => {{ await null; saw(data, '{number}'); }}"
        node.load(consumer(callback=callback, window=3), name=f"lib{number}")
    node.add("stream", *range(50))
    for number in range(40):
        node.wait(lambda n=number: len(node.seen(str(n))) == 50, lambda n=number: node.seen(str(n)))
    node.add("stream", "end")
    for number in range(40):
        node.wait(lambda n=number: node.seen(str(n))[-1:] == ["stream end"], "the last entry is missing")
        assert len(node.seen(str(number))) == 51


def test_the_shared_object_needs_no_static_thread_local_storage():
    text = subprocess.run(["readelf", "-d", MODULE], capture_output=True, text=True, check=True).stdout
    assert "NEEDED" in text
    assert "STATIC_TLS" not in text
