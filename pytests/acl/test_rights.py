"""Who may use the module's commands: the right to the keys they name, whose runs they show, and what the documentation says."""

import re

import pytest
from redis import ResponseError

from testing.launch import REPOSITORY
from testing.libraries import consumer, function
from testing.replies import fields
from testing.users import People

UNKNOWN = "execution plan does not exist"

RUNS = (
    """
    let go;
    const gate = new Promise(resolve => (go = resolve));
    redis.register_function("quick", async () => GB("ShardsIDReader").map(x => "secret").run());
    redis.register_function("slow", async client => {
        client.block(() => 1);
        GB("ShardsIDReader").map(async x => { await gate; return "secret"; }).run();
        return "begun";
    });
    redis.register_function("go", () => { go(); });
    """,
)
COMMANDS = ["RG.GETEXECUTION", "RG.GETRESULTS", "RG.GETRESULTSBLOCKING", "RG.ABORTEXECUTION", "RG.DROPEXECUTION"]


@pytest.fixture
def people(server):
    """Users, who are gone after the test."""
    found = People(server)
    yield found
    found.close()
    for name in ("anna", "bert", "admin", "other"):
        server.run("ACL", "DELUSER", name)


def ids(client):
    """The IDs of the runs that this client sees."""
    return [fields(one)["executionId"] for one in client.execute_command("RG.DUMPEXECUTIONS")]


def drop_all(server):
    """No runs of tests before."""
    for found in ids(server.client):
        server.run("RG.DROPEXECUTION", found)


# What each of them may use.
RIGHTS = [f"+{name.lower()}" for name in ["RG.DUMPEXECUTIONS", "RG.JSEXECUTE", *COMMANDS]]


# --- runs


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_is_its_users_and_to_others_it_does_not_exist(server, people, command):
    drop_all(server)
    server.load(*RUNS)
    anna = people.make("anna", *RIGHTS)
    bert = people.make("bert", *RIGHTS)
    assert anna.execute_command("RG.FCALL", "lib", "quick", 0) == [["secret"], []]
    [run] = ids(anna)
    assert ids(bert) == []
    with pytest.raises(ResponseError, match=UNKNOWN):
        bert.execute_command(command, run)
    assert fields(anna.execute_command("RG.DUMPEXECUTIONS")[0])["status"] == "done"
    anna.execute_command(command, run)


def test_who_sends_a_script_owns_its_run(server, people):
    drop_all(server)
    anna = people.make("anna", *RIGHTS)
    bert = people.make("bert", *RIGHTS)
    run = anna.execute_command("RG.JSEXECUTE", "GB('ShardsIDReader').run()", "UNBLOCKING")
    assert ids(anna) == [run]
    with pytest.raises(ResponseError, match=UNKNOWN):
        bert.execute_command("RG.GETRESULTSBLOCKING", run)
    assert anna.execute_command("RG.GETRESULTSBLOCKING", run) == [["1"], []]


def test_nobody_else_ends_a_run_that_goes_on(server, people):
    drop_all(server)
    server.load(*RUNS)
    anna = people.make("anna", *RIGHTS)
    bert = people.make("bert", *RIGHTS)
    assert anna.execute_command("RG.FCALL", "lib", "slow", 0) == "begun"
    [run] = ids(anna)
    for command in COMMANDS:
        with pytest.raises(ResponseError, match=UNKNOWN):
            bert.execute_command(command, run)
    server.call("go")
    assert anna.execute_command("RG.GETRESULTSBLOCKING", run) == [["secret"], []]


@pytest.mark.parametrize("rights", [["+@all"], ["+@admin"], ["+acl"]])
def test_an_administrator_sees_and_touches_all_runs(server, people, rights):
    drop_all(server)
    server.load(*RUNS)
    anna = people.make("anna", *RIGHTS)
    admin = people.make("admin", *RIGHTS, *rights)
    anna.execute_command("RG.FCALL", "lib", "quick", 0)
    assert len(ids(admin)) == 1
    [run] = ids(admin)
    assert admin.execute_command("RG.GETRESULTS", run) == [["secret"], []]
    assert admin.execute_command("RG.DROPEXECUTION", run) == "OK"
    assert ids(anna) == []


def test_who_may_do_much_is_no_administrator_for_that(server, people):
    drop_all(server)
    server.load(*RUNS)
    anna = people.make("anna", *RIGHTS)
    other = people.make("other", "+@all", "-@admin", *RIGHTS, "~*")
    anna.execute_command("RG.FCALL", "lib", "quick", 0)
    assert ids(other) == []


def test_a_run_outlives_its_user_and_is_there_for_one_of_that_name(server, people):
    drop_all(server)
    server.load(*RUNS)
    anna = people.make("anna", *RIGHTS)
    anna.execute_command("RG.FCALL", "lib", "slow", 0)
    [run] = ids(server.client)
    people.delete("anna")
    server.call("go")
    assert server.run("RG.GETRESULTSBLOCKING", run) == [["secret"], []]
    anna = people.make("anna", *RIGHTS)
    assert anna.execute_command("RG.GETRESULTS", run) == [["secret"], []]


def test_what_a_consumer_runs_is_its_owners(server, people):
    drop_all(server)
    anna = people.make("anna", *RIGHTS, "+rg.function", "+xread", "~stream*")
    bert = people.make("bert", *RIGHTS, "+xadd", "~*")
    code = consumer("c", "stream", callback="async () => { await GB('ShardsIDReader').run(); }")
    anna.execute_command("RG.FUNCTION", "LOAD", f"#!js name=lib\n{code}")
    bert.execute_command("XADD", "stream", "*", "a", 1)
    server.wait(lambda: len(ids(server.client)) == 1, lambda: ids(server.client))
    assert (len(ids(anna)), ids(bert)) == (1, [])


# --- the streams of RG.CONSUMER

ORDERS = {
    "PAUSE": ["STREAM", "stream:1"],
    "RESUME": ["stream", "stream:1"],
    "SEEK": ["STREAM", "stream:1", "earliest"],
    "RETRY": ["STREAM", "stream:1"],
    "REDRIVE": ["STREAM", "stream:1", "COUNT", 10],
    "SKIP": ["STREAM", "stream:1", "1-1"],
    "DROP": ["STREAM", "stream:1", "ALL"],
    "LETTERS": ["STREAM", "stream:1", "COUNT", 10],
    "INFO": ["STREAM", "stream:1"],
}
# Those that change nothing.
READING = ["LETTERS", "INFO"]


def load_consumer(server):
    """A consumer that knows a stream."""
    server.load(consumer("c", "stream", options={"dead_letter": "dead"}))
    server.run("XADD", "stream:1", "*", "n", 1)
    server.wait(lambda: server.stream("stream:1", "c") != {}, "the stream is not known")


@pytest.mark.parametrize("word", ORDERS)
def test_who_names_a_stream_needs_the_right_to_it(server, people, word):
    load_consumer(server)
    order = ["RG.CONSUMER", word, "lib", "c", *ORDERS[word]]
    anna = people.make("anna", "+rg.consumer", "+xrange", "+xdel", "~dead", "~other:*")
    with pytest.raises(ResponseError, match="(?i)noperm|no permissions"):
        anna.execute_command(*order)
    people.change("anna", "%R~stream:*")
    if word not in READING:
        with pytest.raises(ResponseError, match="(?i)noperm|no permissions"):
            anna.execute_command(*order)
        people.change("anna", "~stream:1")
    if word == "SKIP":
        with pytest.raises(ResponseError, match="does not stop the stream"):
            anna.execute_command(*order)
        return
    anna.execute_command(*order)


@pytest.mark.parametrize("word", ORDERS)
def test_the_server_knows_the_stream_as_a_key(server, word):
    script = ["COMMAND", "GETKEYS", "RG.CONSUMER", word, "lib", "c", *ORDERS[word]]
    connection = server.send(*script)
    assert connection.reply() == ["stream:1"]


@pytest.mark.parametrize("names", [("stream", "c"), ("lib", "STREAM"), ("STREAM", "STREAM")])
def test_a_library_or_consumer_may_be_called_stream(server, names):
    connection = server.send("COMMAND", "GETKEYS", "RG.CONSUMER", "PAUSE", *names, "STREAM", "key")
    assert connection.reply() == ["key"]


@pytest.mark.parametrize("word", ["PAUSE", "RESUME", "INFO"])
def test_without_a_stream_no_key_is_asked_for(server, people, word):
    load_consumer(server)
    anna = people.make("anna", "+rg.consumer")
    anna.execute_command("RG.CONSUMER", word, "lib", "c")


# --- the table of the documentation


def told():
    """What the page says of each command: its categories, and its right to keys."""
    page = (REPOSITORY / "docs/permissions.md").read_text().split("## Who may do what\n", 1)[1]
    rows = re.findall(r"^\| (`.*?`) \| (`.*?`) \|(.*?)\|.*\|$", page, re.MULTILINE)
    found = {}
    for names, categories, keys in rows:
        for name in re.findall(r"`([^`]+)`", names):
            key = name.lower().replace(" ", "|")
            assert key not in found
            found[key] = (set(re.findall(r"@\w+", categories)), keys.strip().strip("`"))
    return found


def known(server):
    """The same, as the server has it."""
    reply = server.send("COMMAND", "LIST", "FILTERBY", "MODULE", "redisgears_2").reply()
    names = {name for name in reply if "|" not in name}
    found = {}
    for name in names:
        [command] = server.send("COMMAND", "INFO", name).reply()
        for one in command[9] or [command]:
            [keys] = [fields(spec)["flags"] for spec in one[8]] or [[]]
            rights = "%RW" if "RW" in keys else "%R" if "RO" in keys else ""
            found[one[0]] = (set(one[6]), rights)
    return found


def test_the_table_of_the_papers_is_what_the_server_has(server):
    expected, found = told(), known(server)
    assert set(found) == set(expected)
    assert {name: keys for name, (_, keys) in found.items()} == {name: keys for name, (_, keys) in expected.items()}
    # Redis 7.0 has no categories for commands of modules.
    if any(categories for categories, _ in found.values()):
        assert {name: sets for name, (sets, _) in found.items()} == {name: sets for name, (sets, _) in expected.items()}


# --- bytes that are gone

GONE = "const gone = new ArrayBuffer(4); const view = new Uint8Array(gone); gone.transfer();"


@pytest.mark.parametrize("what", ["gone", "view", "new DataView(kept)"])
@pytest.mark.parametrize(
    "statement",
    [
        "redis.register_stream_consumer('c', WHAT, 1, false, () => {});",
        "redis.register_notifications_consumer('c', WHAT, () => {});",
        "redis.register_stream_consumer('c', 's', 1, false, () => {}, { dead_letter: WHAT });",
        "redis.register_stream_consumer('c', 's', 2, false, async () => {}, { order_by: WHAT });",
        "redis.register_stream_consumer('c', 's', 1, false, () => {}, { filter: { a: WHAT } });",
        "redis.register_stream_consumer('c', 's', 1, false, () => {}, { filter: { a: { prefix: WHAT } } });",
    ],
)
def test_bytes_that_are_gone_are_no_prefix_and_no_name(server, what, statement):
    gone = f"{GONE} const kept = new ArrayBuffer(4); new DataView(kept);"
    # A view that was made before the bytes went.
    if what.startswith("new"):
        gone, what = f"{gone} const data = new DataView(kept); kept.transfer();", "data"
    with pytest.raises(ResponseError, match="ArrayBuffer|must be"):
        server.load(gone + statement.replace("WHAT", what))
    assert server.libraries() == []


def test_bytes_that_are_gone_are_no_words_and_no_results(server):
    server.load(
        GONE,
        function("word", "(client) => client.call('SET', 'key', gone)"),
        function("view", "(client) => client.call('SET', view, 'value')"),
        function("result", "() => [1, gone]"),
        function("empty", "(client) => client.call('SET', 'key', new ArrayBuffer(0))"),
    )
    for name in ("word", "view", "result"):
        with pytest.raises(ResponseError, match="The ArrayBuffer was detached"):
            server.call(name)
    assert server.run("DBSIZE") == 0
    assert server.call("empty") == "OK"
