"""What an administrator has: RG.CONFIG, RG.FUNCTION DEBUG, INFO, memory of all libraries together, and the policy."""

import re
import time

import pytest
from redis import ResponseError

from testing.launch import MODULE, REPOSITORY
from testing.libraries import consumer, function
from testing.replies import fields
from testing.servers import Server

SETTINGS = {
    "execution-threads": "1",
    "lock-redis-timeout": "500",
    "db-loading-lock-redis-timeout": "30000",
    "background-timeout": "5000",
    "library-maxmemory": str(1 << 30),
    "v8-maxmemory": str(2 << 30),
    "library-fatal-failure-policy": "abort",
    "error-verbosity": "1",
    "script-log-prefix": "yes",
    "enable-debug-command": "no",
    "trigger-queue-length": "100000",
    "trigger-queue-memory": str(64 << 20),
    "max-executions": "1000",
    "max-executions-memory": str(64 << 20),
    "slowlog-threshold": "100",
    "slowlog-max-len": "128",
    "stalled-after": "60",
    "library-versions": "5",
    "delete-with-progress": "allow",
    "remote-task-default-timeout": "500",
    "remote-task-max-size": str(64 << 20),
    "execution-memory": str(256 << 20),
    "cluster-message-size": str(65 << 20),
    "cluster-queue-memory": str(64 << 20),
    "cluster-receive-memory": str(256 << 20),
}
# What can be changed at run time: a value that is fine, and those that are not, with the errors they end with.
NO_NUMBER = "Failed parsing value '{}' as a number."
TOO_SMALL = "Value '{}' is less then minimum value allowed '%d'"
TOO_LARGE = "Value '{}' is greater then maximum value allowed '%d'"
CHANGES = {
    "db-loading-lock-redis-timeout": ("100", {"99": TOO_SMALL % 100, "1000000001": TOO_LARGE % 10**9, "": NO_NUMBER}),
    "lock-redis-timeout": ("100", {"99": TOO_SMALL % 100, "1000000001": TOO_LARGE % 10**9, "": NO_NUMBER, "1s": NO_NUMBER}),
    "background-timeout": ("100", {"-1": TOO_SMALL % 100, "99999999999999999999": NO_NUMBER, "1.5": NO_NUMBER}),
    "v8-maxmemory": ("64mb", {"1mb": TOO_SMALL % (50 << 20), "2000gb": TOO_LARGE % (1 << 40), "many": NO_NUMBER}),
    "library-fatal-failure-policy": ("KILL", {"x": "Unknown configuration value '{}', options are abort, kill"}),
    "error-verbosity": ("2", {"0": TOO_SMALL % 1, "3": TOO_LARGE % 2, "x": NO_NUMBER}),
    "script-log-prefix": ("NO", {"x": "Unknown configuration value '{}', options are no, yes", "": "Unknown configuration value '{}', options are no, yes"}),
    "trigger-queue-length": ("1", {"0": TOO_SMALL % 1, "100000001": TOO_LARGE % 10**8, "1k": NO_NUMBER}),
    "max-executions": ("0", {"-1": TOO_SMALL % 0, "1000001": TOO_LARGE % 10**6, "x": NO_NUMBER}),
    "max-executions-memory": ("64kb", {"-1": TOO_SMALL % 0, "2000gb": TOO_LARGE % (1 << 40), "x": NO_NUMBER}),
    "slowlog-threshold": ("-1", {"-2": TOO_SMALL % -1, "1000000001": TOO_LARGE % 10**9, "x": NO_NUMBER}),
    "stalled-after": ("0", {"-1": TOO_SMALL % 0, "1000000001": TOO_LARGE % 10**9, "1s": NO_NUMBER}),
    "library-versions": ("1", {"0": TOO_SMALL % 1, "101": TOO_LARGE % 100, "x": NO_NUMBER}),
    "delete-with-progress": ("REFUSE", {"x": "Unknown configuration value '{}', options are allow, refuse"}),
    "remote-task-default-timeout": ("1", {"0": TOO_SMALL % 1, "1000000001": TOO_LARGE % 10**9, "x": NO_NUMBER}),
    "remote-task-max-size": ("64kb", {"63kb": TOO_SMALL % (64 << 10), "257mb": TOO_LARGE % (256 << 20), "": NO_NUMBER}),
    "execution-memory": ("64kb", {"63kb": TOO_SMALL % (64 << 10), "17gb": TOO_LARGE % (16 << 30), "x": NO_NUMBER}),
    "slowlog-max-len": ("0", {"-1": TOO_SMALL % 0, "100001": TOO_LARGE % 10**5, "": NO_NUMBER}),
    **{
        f"cluster-{name}": ("64mb", {"1kb": TOO_SMALL % (1 << 20), "2gb": TOO_LARGE % (1 << 30), "x": NO_NUMBER})
        for name in ("message-size", "queue-memory", "receive-memory")
    },
    "trigger-queue-memory": ("64kb", {"63kb": TOO_SMALL % (64 << 10), "2000gb": TOO_LARGE % (1 << 40), "": NO_NUMBER}),
}
READ = {"64mb": str(64 << 20), "64kb": str(64 << 10), "KILL": "kill", "REFUSE": "refuse", "NO": "no"}
ENDED = "Err Execution was terminated due to OOM or timeout"


def error_of(run, *words):
    """The error that a command is answered with."""
    with pytest.raises(ResponseError) as caught:
        run(*words)
    return str(caught.value)


def configured(server, name):
    """A setting as CONFIG GET shows it."""
    return server.run("CONFIG", "GET", f"redisgears_2.{name}")[1]


# --- RG.CONFIG ------------------------------------------------------------------------------------------------------


@pytest.mark.plain_v8("they come with debugging commands on")
def test_rg_config_reads_each_setting(start_server):
    server = start_server()
    for name, default in SETTINGS.items():
        assert server.run("RG.CONFIG", "GET", name) == default == configured(server, name)
        assert server.run("rg.config", "get", name.upper()) == default


# A row of a table of settings: name, default, range, whether it can be set at run time.
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| ([^|]+) \| ([^|]+) \| (yes|no) \|", re.MULTILINE)


def documented(page):
    """The values that a page names for each setting, and whether it says that they can be set at run time."""
    text = (REPOSITORY / page).read_text()
    found = {}
    for name, default, values, at_run_time in ROW.findall(text):
        ends = re.split(r" to | or |, (?=`)", f"{values.replace(' (ms)', '')} or {default}")
        found[name] = ([end.strip("` ").replace(",", "") for end in ends], at_run_time == "yes")
    return found


PAGES = ["README.md", "docs/limits.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_value_that_the_papers_name_can_be_set(server, page):
    found = documented(page)
    assert set(found) == set(SETTINGS)
    for name, (values, at_run_time) in found.items():
        assert len(values) == 3, name
        try:
            for value in values if at_run_time else []:
                assert server.run("CONFIG", "SET", f"redisgears_2.{name}", value) == "OK"
                assert server.run("RG.CONFIG", "SET", name, value) == "OK"
        finally:
            if at_run_time:
                server.run("RG.CONFIG", "SET", name, SETTINGS[name])


@pytest.mark.plain_v8("they come with debugging commands on")
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("page", PAGES)
def test_a_server_starts_with_the_ends_of_the_ranges_of_the_papers(start_server, page, end):
    words = [f"{name} {values[end]}" for name, (values, _) in documented(page).items()]
    server = start_server(module_args=" ".join(words))
    assert server.run("RG.FUNCTION", "LIST") == []


def test_all_settings_are_known_here(server):
    known = server.client.config_get("redisgears_2.*")
    assert {name.removeprefix("redisgears_2.") for name in known} == set(SETTINGS)


@pytest.mark.parametrize("name", CHANGES)
def test_rg_config_changes_a_setting_and_keeps_its_range(server, name):
    value, wrong = CHANGES[name]
    try:
        assert server.run("RG.CONFIG", "SET", name, value) == "OK"
        for text, error in wrong.items():
            assert error_of(server.run, "RG.CONFIG", "SET", name, text) == error.format(text)
        shown = READ.get(value, value)
        assert server.run("RG.CONFIG", "GET", name) == configured(server, name) == shown
    finally:
        server.run("RG.CONFIG", "SET", name, SETTINGS[name])
    assert configured(server, name) == SETTINGS[name]


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - set(CHANGES)))
def test_rg_config_does_not_change_what_is_for_the_start(server, name):
    error = f"Configuration {name} can not be changed at runtime"
    assert error_of(server.run, "RG.CONFIG", "SET", name, SETTINGS[name]) == error
    with pytest.raises(ResponseError):
        server.run("CONFIG", "SET", f"redisgears_2.{name}", SETTINGS[name])


WRONG_CONFIG = {
    "an unknown setting to read": (["GET", "nosuch"], "No such configuration nosuch"),
    "an unknown setting to change": (["SET", "nosuch", "1"], "No such configuration nosuch"),
    "a setting of the server": (["GET", "maxmemory"], "No such configuration maxmemory"),
    "the name with its prefix": (["GET", "redisgears_2.error-verbosity"], "No such configuration redisgears_2."),
    "bytes": (["GET", b"\xff\x00"], "No such configuration"),
    "no name": (["GET"], "wrong number of arguments for 'rg.config|get' command"),
    "two names": (["GET", "error-verbosity", "execution-threads"], "wrong number of arguments"),
    "no value": (["SET", "error-verbosity"], "wrong number of arguments for 'rg.config|set' command"),
    "two values": (["SET", "error-verbosity", "1", "2"], "wrong number of arguments"),
    "no subcommand": ([], "wrong number of arguments for 'rg.config' command"),
    "an unknown subcommand": (["NOSUCH"], "(?i)unknown subcommand"),
}


@pytest.mark.parametrize("what", WRONG_CONFIG)
def test_a_wrong_rg_config_is_refused(server, what):
    words, error = WRONG_CONFIG[what]
    assert re.search(error, error_of(server.run, "RG.CONFIG", *words))


def test_rg_config_says_how_it_is_used(server):
    text = " ".join(server.run("RG.CONFIG", "HELP"))
    assert "GET <name>" in text
    assert "SET <name> <value>" in text


def test_a_limit_that_rg_config_sets_holds_at_once(server):
    server.load(function("f", "() => { for (;;); }"))
    server.set_timeout(20_000)
    server.run("RG.CONFIG", "SET", "lock-redis-timeout", 100)
    start = time.monotonic()
    assert f"{ENDED} (timeout)" in error_of(server.call, "f")
    assert time.monotonic() - start < 10, "the limit from before held"


# --- RG.FUNCTION DEBUG ----------------------------------------------------------------------------------------------

DEBUG = ("RG.FUNCTION", "DEBUG")


@pytest.fixture(scope="module")
def _debugged(tmp_path_factory):
    one = Server(tmp_path_factory.mktemp("server"), module_args="enable-debug-command yes")
    yield one
    one.stop()


@pytest.fixture
def debugged(_debugged):
    """A server with debugging."""
    _debugged.reset()
    _debugged.run(*DEBUG, "js", "isolates_gc")
    return _debugged


@pytest.mark.plain_v8("they come with debugging commands on")
@pytest.mark.parametrize("how", ["by itself", "module argument", "configuration file"])
def test_debugging_is_off_where_nobody_asked_for_it(start_server, how):
    if how == "configuration file":
        server = start_server(
            module=False, configuration=f"loadmodule {MODULE}\nredisgears_2.enable-debug-command no\n"
        )
    else:
        server = start_server(module_args="" if how == "by itself" else "enable-debug-command no")
    for words in ([], ["help"], ["panic_on_thread_pool"], ["allow_unsafe_redis_commands"], ["js", "isolates_stats"], ["x"]):
        assert error_of(server.run, *DEBUG, *words) == "Debug command are disabled"
    server.load(function("f", "client => client.call('EVAL', 'return 1', 0)"))
    assert "not allowed on script mode" in error_of(server.call, "f")
    assert "internal error" not in server.log_text()


@pytest.mark.parametrize("how", ["module argument", "configuration file"])
def test_debugging_is_on_where_it_was_asked_for(start_server, how):
    if how == "configuration file":
        server = start_server(
            module=False, configuration=f"loadmodule {MODULE}\nredisgears_2.enable-debug-command yes\n"
        )
    else:
        server = start_server(module_args="enable-debug-command yes")
    assert server.run("RG.CONFIG", "GET", "enable-debug-command") == "yes"
    assert server.run(*DEBUG, "js", "isolates_stats") == ["active", 0, "not_active", 0]


def test_debug_describes_itself(debugged):
    text = " ".join(debugged.run(*DEBUG, "HELP"))
    for name in ("panic_on_thread_pool", "allow_unsafe_redis_commands", "js <subcommand>"):
        assert name in text
    text = " ".join(debugged.run(*DEBUG, "JS", "help"))
    for name in ("isolates_stats", "isolates_aggregated_stats", "isolates_strong_count", "isolates_gc"):
        assert name in text


WRONG_DEBUG = {
    "nothing": ([], "Subcommand was not provided"),
    "an unknown subcommand": (["nosuch"], "Unknown subcommand 'nosuch'"),
    "an unknown engine": (["nosuch", "help"], "Backend 'nosuch' does not exists"),
    "bytes": ([b"\xff"], "Failed converting arguments to string"),
    "nothing for the engine": (["js"], "Subcommand was not provided"),
    "an unknown subcommand of the engine": (["js", "nosuch"], "Unknown subcommand 'nosuch'"),
    "bytes for the engine": (["js", b"\xff"], "Failed converting arguments to string"),
}


@pytest.mark.parametrize("what", WRONG_DEBUG)
def test_a_wrong_debug_is_refused(debugged, what):
    words, error = WRONG_DEBUG[what]
    assert error_of(debugged.run, *DEBUG, *words) == error


@pytest.mark.leaves_pending("a callback that nobody releases")
def test_a_panic_in_a_worker_is_logged_and_the_workers_go_on(debugged):
    debugged.load(function("f", "async client => client.block(c => c.call('INCR', 'n'))"), consumer(callback="holding"))
    for count in range(1, 6):
        assert debugged.run(*DEBUG, "panic_on_thread_pool") == "OK"
        assert debugged.call("f") == count
        debugged.wait(
            lambda count=count: debugged.log_text().count("internal error") >= count, "the panic is not in the log"
        )
    debugged.add("stream", 1)
    debugged.wait_message("start 1 ")


def test_isolates_are_counted(debugged):
    def stats():
        return fields(debugged.run(*DEBUG, "js", "isolates_stats"))

    # What a worker still holds of an earlier test goes soon.
    debugged.wait(lambda: stats()["active"] == 0, stats)
    debugged.run(*DEBUG, "js", "isolates_gc")
    debugged.load(function(), name="a")
    debugged.load(function(), name="b")
    assert stats() == {"active": 2, "not_active": 0}
    with pytest.raises(ResponseError):
        debugged.load(function(), "throw 1;", name="a", options=["UPGRADE"])
    assert stats() == {"active": 2, "not_active": 1}
    debugged.upgrade(function(), name="a")
    debugged.wait(lambda: stats() == {"active": 2, "not_active": 2}, stats)
    assert [count > 0 for count in debugged.run(*DEBUG, "js", "isolates_strong_count")].count(True) == 2
    debugged.run("RG.FUNCTION", "DEL", "b")
    debugged.wait(lambda: stats() == {"active": 1, "not_active": 3}, stats)
    assert debugged.run(*DEBUG, "js", "isolates_gc") == "OK"
    assert stats() == {"active": 1, "not_active": 0}
    assert len(debugged.run(*DEBUG, "js", "isolates_strong_count")) == 1


def test_isolates_that_are_gone_are_dropped_by_themselves(debugged):
    for n in range(250):
        debugged.upgrade(function("f", f"() => {n}"))
    stats = fields(debugged.run(*DEBUG, "js", "isolates_stats"))
    assert stats["not_active"] < 150
    assert debugged.call("f") == 249


def test_the_memory_of_all_isolates_is_added_up(debugged):
    for name in "ab":
        debugged.load("const kept = new ArrayBuffer(1000000);", function(), name=name)

    def stats_now():
        return fields(debugged.run(*DEBUG, "js", "isolates_aggregated_stats"))

    # What was deleted before ends in the background.
    debugged.wait(lambda: stats_now()["active"] == 2, stats_now)
    stats = stats_now()
    assert stats["used_buffers"] == 2_000_000
    assert 0 < stats["used_heap"] < 64 << 20
    assert stats["combined_memory_limit"] == 2 << 30


# --- INFO -----------------------------------------------------------------------------------------------------------


def info(server, section="redisgears_2"):
    """The fields of a section of INFO."""
    return server.client.info(section)


def library_info(server, name="lib"):
    """What INFO says of a library."""
    return info(server)[f"redisgears_2_library_{name}"]


def test_info_shows_the_memory_of_each_library_and_of_all(server):
    assert info(server)["redisgears_2_used_by_libraries"] == 0
    assert info(server)["redisgears_2_limit_of_libraries"] == 2 << 30
    server.load("let kept = new ArrayBuffer(3000000);", function("f", "() => { kept = null; }"), function("g"), consumer())
    server.load(function(), name="other")
    shown = library_info(server)
    assert (shown["functions"], shown["stream_consumers"], shown["pending_jobs"]) == (2, 1, 0)
    assert shown["used_buffers"] == 3_000_000
    assert shown["memory_limit"] == 1 << 30
    assert shown["used_heap"] > 0
    other = library_info(server, "other")
    assert (other["functions"], other["stream_consumers"], other["used_buffers"]) == (1, 0, 0)
    total = sum(one["used_heap"] + one["used_buffers"] for one in (shown, other))
    assert info(server, "redisgears_2_memory")["redisgears_2_used_by_libraries"] == total
    server.run("RG.FUNCTION", "DEL", "lib")
    assert not [name for name in info(server, "redisgears_2_libraries") if name.endswith("_lib")]
    server.run("RG.FUNCTION", "DEL", "other")
    assert info(server)["redisgears_2_used_by_libraries"] == 0


@pytest.mark.plain_v8("it fills a heap within the limit of time")
def test_info_follows_a_heap_that_grows(server):
    server.load("const bag = [];", function("f", "() => { for (let n = 0; n < 2e5; n++) bag.push([n]); }"))
    before = library_info(server)["used_heap"]
    server.set_timeout(10_000)
    server.call("f")
    server.wait(lambda: library_info(server)["used_heap"] > before + (4 << 20), lambda: library_info(server))


def test_info_counts_what_waits(server):
    server.load(
        function("busy", "async () => { redis.log('spinning'); const end = Date.now() + 2000; while (Date.now() < end); }"),
        function("f", "async () => 1"),
    )
    busy = server.send_call("busy")
    server.wait_message("spinning")
    calls = [server.send_call("f") for _ in range(5)]
    server.wait(lambda: library_info(server)["pending_jobs"] == 5, lambda: library_info(server))
    [reply] = server.run("RG.FUNCTION", "LIST")
    assert fields(reply)["pending_jobs"] == 5
    for sent in (busy, *calls):
        sent.reply()
    assert library_info(server)["pending_jobs"] == 0


@pytest.mark.parametrize("name", ["a:b=c,d", "ä", "a\\b", "x" * 1000, "a.b-c_d"])
def test_the_name_of_a_library_breaks_no_line_of_info(server, name):
    server.load(function(), name=name)
    text = server.connect(decode_responses=False).execute_command("INFO", "redisgears_2_libraries")
    lines = [line for line in (text if isinstance(text, dict) else {}) if "library_" in str(line)]
    assert len(lines) == 1
    assert re.fullmatch(r"redisgears_2_library_[A-Za-z0-9_.-]+", lines[0])


def test_a_plain_info_does_not_ask_the_module(server):
    server.load(function())
    assert "redisgears_2_used_by_libraries" not in server.client.info()
    assert "redisgears_2_used_by_libraries" in server.client.info("everything")


# --- memory of all libraries ----------------------------------------------------------------------------------------

BOMBS = {
    "heap": "const bag = []; for (;;) bag.push(new Array(1000).fill(bag.length));",
    "buffers": "const bag = []; for (;;) bag.push(new Uint8Array(1 << 18).fill(1));",
}
OUT_OF_MEMORY = rf"{re.escape(ENDED)} \(out of memory\)|(?i:array buffer allocation failed)"


@pytest.fixture
def tight(start_server):
    """A server whose libraries have less together than one of them may have."""
    server = start_server(module_args="library-maxmemory 1gb v8-maxmemory 64mb")
    server.set_timeout(5000)
    return server


@pytest.mark.plain_v8("the bound of memory is to come before that of time")
@pytest.mark.parametrize("start", ["", "async "])
@pytest.mark.parametrize("what", BOMBS)
def test_all_libraries_together_are_bounded(tight, what, start):
    tight.load(function("calm", "client => Number(client.call('INCR', 'n'))"), name="calm")
    tight.load(function("f", f"{start}client => {{ {BOMBS[what]} }}"))
    for count in range(1, 4):
        assert re.search(OUT_OF_MEMORY, error_of(tight.call, "f"))
        assert tight.call("calm", library="calm") == count
        assert info(tight)["redisgears_2_limit_of_libraries"] == 64 << 20
    if what == "heap":
        # What an ended run took is free again; buffers that nobody holds are with the next collection.
        tight.wait(lambda: info(tight)["redisgears_2_used_by_libraries"] < 32 << 20, lambda: info(tight))
    tight.run("RG.FUNCTION", "DEL", "lib")
    tight.wait(lambda: info(tight)["redisgears_2_used_by_libraries"] < 8 << 20, lambda: info(tight))


def test_several_libraries_share_what_there_is(tight):
    keep = function(
        "keep", "(client, megabytes) => { for (let n = 0; n < megabytes; n++) kept.push(new Uint8Array(1 << 20)); }"
    )
    for n in range(4):
        tight.load("const kept = [];", keep, function("f", "() => kept.length"), name=f"lib{n}")
    tight.call("keep", 40, library="lib0")
    # The greedy one gives way, the others have their share.
    assert re.search(OUT_OF_MEMORY, error_of(lambda: tight.call("keep", 40, library="lib0")))
    for n in range(1, 4):
        tight.call("keep", 10, library=f"lib{n}")
        assert tight.call("f", library=f"lib{n}") == 10
    used = info(tight)["redisgears_2_used_by_libraries"]
    assert used < 64 << 21
    tight.run("RG.FUNCTION", "DEL", "lib0")

    def has_room():
        # Whoever works for the deleted library gives its memory back a moment later.
        try:
            tight.call("keep", 10, library="lib1")
        except ResponseError:
            return False
        return True

    tight.wait(has_room, "the memory of the deleted library does not come back")
    assert tight.call("f", library="lib1") >= 20


def test_where_all_memory_is_taken_no_library_is_loaded(tight):
    keep = "for (let n = 0; n < 55; n++) kept.push(new Uint8Array(1 << 20));"
    tight.load("const kept = [];", function("f", f"() => {{ {keep} }}"))
    tight.call("f")
    tight.run("RG.CONFIG", "SET", "v8-maxmemory", "50mb")
    error = "all memory that libraries may use together (v8-maxmemory) is taken"
    assert error in error_of(lambda: tight.load(function(), name="next"))
    assert error in error_of(lambda: tight.upgrade(function("f", "() => 'new'")))
    assert tight.libraries() == ["lib"]
    assert tight.client.ping()
    tight.run("RG.CONFIG", "SET", "v8-maxmemory", "200mb")
    tight.load(function("f", "() => 'loaded'"), name="next")
    assert tight.call("f", library="next") == "loaded"
    tight.run("RG.CONFIG", "SET", "v8-maxmemory", "50mb")
    tight.run("RG.FUNCTION", "DEL", "lib")

    def loads():
        # Whoever works for the deleted library gives its memory back a moment later.
        try:
            return tight.load(function("f", "() => 'loaded too'")) == "OK"
        except ResponseError:
            return False

    tight.wait(loads, "the memory of the deleted library does not come back")
    assert tight.call("f") == "loaded too"


# --- the policy -----------------------------------------------------------------------------------------------------

# Longer than the limit, and not without end.
LONG = "const end = Date.now() + 700; while (Date.now() < end);"


@pytest.fixture
def never_killing(start_server):
    """A server that ends no script."""
    server = start_server(module_args="library-fatal-failure-policy kill library-maxmemory 32mb")
    server.set_timeout(250)
    server.run("RG.CONFIG", "SET", "background-timeout", 250)
    return server


def test_the_policy_kill_lets_code_go_on_and_warns(never_killing):
    never_killing.load(
        function("f", f"() => {{ {LONG} return 'done'; }}"),
        function("g", f"async () => {{ {LONG} return 'done'; }}"),
        consumer(callback=f"(client, data) => {{ {LONG} saw(data); }}"),
    )
    assert (never_killing.call("f"), never_killing.call("g")) == ("done", "done")
    never_killing.add("stream", 1)
    never_killing.wait_seen("stream 1")
    warnings = never_killing.messages("library 'lib' runs for ")
    assert len(warnings) == 3
    assert all(warning.endswith("and goes on") for warning in warnings)


def test_the_policy_can_be_changed_while_the_server_runs(never_killing):
    never_killing.load(function("f", f"() => {{ {LONG} return 'done'; }}"))
    assert never_killing.call("f") == "done"
    never_killing.run("CONFIG", "SET", "redisgears_2.library-fatal-failure-policy", "abort")
    assert f"{ENDED} (timeout)" in error_of(never_killing.call, "f")
    never_killing.run("RG.CONFIG", "SET", "library-fatal-failure-policy", "kill")
    assert never_killing.call("f") == "done"


def test_with_the_policy_kill_a_heap_without_bounds_ends_the_server(never_killing):
    never_killing.run("CONFIG", "SET", "redisgears_2.lock-redis-timeout", 10_000)
    never_killing.load(function("f", f"() => {{ {BOMBS['heap']} }}"))
    sent = never_killing.send_call("f")
    assert never_killing.process.wait(30) != 0
    sent.disconnect()
    assert "the policy is to end the process" in never_killing.log_text()
