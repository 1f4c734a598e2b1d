"""Registrations as such: what RG.JSEXECUTE keeps, what RG.DUMPREGISTRATIONS shows, and RG.UNREGISTER."""

import re

import pytest
from redis import ResponseError

from testing.gears1 import (
    KEYS,
    MODES,
    SHARD,
    STREAM,
    TRY,
    bring,
    counts,
    drop_all,
    execute,
    executions,
    id_of,
    logged,
    registration,
    registrations,
    wait_counts,
    wait_logged,
    wait_registration,
)
from testing.libraries import consumer, function
from testing.policies import add_at_once, done, make_fail, pass_marker, policy, tries, wait_done, wait_tries
from testing.replies import fields
from testing.wire import Wire

HOLDING = """
    const held = [];
    GB('StreamReader').foreach(async x => {
        redis.log(`try ${x.n}`);
        await new Promise(go => held.push(go));
        redis.log(`done ${x.n}`);
    }).register('s', { batch: 2 });
    GB('StreamReader').foreach(() => held.shift()()).register('go');
"""

# The positions matter: clients of the first RedisGears look there.
OF_STREAMS = [
    *("mode", "numTriggered", "numSuccess", "numFailures", "numAborted"),
    *("lastRunDurationMS", "totalRunDurationMS", "avgRunDurationMS", "lastEstimatedLagMS", "avgEstimatedLagMS"),
    *("lastError", "args", "status"),
]
OF_KEYS = [
    *("mode", "numTriggered", "numSuccess", "numFailures", "numAborted"),
    *("lastRunDurationMS", "totalRunDurationMS", "avgRunDurationMS", "lastError", "args"),
]


def pending_jobs(node, library="lib"):
    """What INFO tells of what waits in a library."""
    return node.client.info("redisgears_2_libraries")[f"redisgears_2_library_{library}"]["pending_jobs"]


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_a_script_that_registers_stays_as_a_library_of_a_random_name(server):
    assert execute(server, KEYS) == execute(server, STREAM) == "OK"
    names = server.libraries()
    assert len(set(names)) == 2
    assert all(re.fullmatch("[0-9a-f]{40}", name) for name in names)
    for name in names:
        assert server.run("RG.FUNCTION", "DEL", name) == "OK"
    assert server.run("RG.DUMPREGISTRATIONS") == []


def test_a_script_may_get_an_id_or_name_itself(server):
    assert execute(server, KEYS, "ID", "my-Script_1") == "OK"
    assert execute(server, f"#!js name=mine\n{STREAM}") == "OK"
    assert server.libraries() == ["mine", "my-Script_1"]
    with pytest.raises(ResponseError, match="Library my-Script_1 already exists"):
        execute(server, STREAM, "ID", "my-Script_1")
    with pytest.raises(ResponseError, match="the script has a name: ID is not for it"):
        execute(server, f"#!js name=mine\n{STREAM}", "ID", "other")
    assert len(registrations(server)) == 2


@pytest.mark.parametrize("options", [(), ("UNBLOCKING",), ("unblocking", "id", "a")])
@pytest.mark.parametrize("code", ["1 + 1", "", "log('x')", "const f = async () => {}; f()"])
def test_of_a_script_that_registers_nothing_nothing_stays(server, code, options):
    assert execute(server, code, *options) == "OK"
    assert server.libraries() == []


def test_a_script_may_register_what_a_library_does(server):
    assert execute(server, consumer("mine", "s") + function("f", "() => 5"), "ID", "lib") == "OK"
    assert server.call("f") == 5
    assert registration(server)["PD"] == "lib.mine"


def test_a_script_that_throws_leaves_nothing(server):
    with pytest.raises(ResponseError, match="^Error: by me$"):
        execute(server, KEYS + STREAM + "throw new Error('by me')")
    assert (server.libraries(), server.run("RG.DUMPREGISTRATIONS")) == ([], [])
    server.run("SET", "k", 1)
    server.add("s", 1)
    assert logged(server) == []


def test_a_script_may_register_and_run(server):
    """As before: the reply is OK, and what came of the run is kept."""
    server.run("SET", "k:1", "v")
    before = {fields(one)["executionId"] for one in server.run("RG.DUMPEXECUTIONS")}
    assert execute(server, KEYS + "GB().map(x => x.key).run('k*')") == "OK"
    [identity] = {fields(one)["executionId"] for one in server.run("RG.DUMPEXECUTIONS")} - before
    assert server.run("RG.GETRESULTSBLOCKING", identity) == [["k:1"], []]
    server.run("SET", "k:2", "v")
    wait_logged(server, "k:2")


@pytest.mark.parametrize("when", ["later", "in a step"])
def test_register_is_only_possible_while_the_script_is_loaded(server, when):
    server.load(
        function("f", "() => GB().register('late')"), "GB().foreach(() => GB().register('late')).register('k');"
    )
    if when == "later":
        with pytest.raises(ResponseError, match="'register' can only be used while the library is loaded"):
            server.call("f")
    else:
        server.run("SET", "k", 1)
        wait_counts(server, 1, 0, 1, 0)
        assert "'register' can only be used while the library is loaded" in registration(server)["lastError"]


@pytest.mark.parametrize("reader", ["KeysOnlyReader", "ShardsIDReader"])
def test_not_every_reader_can_register(server, reader):
    with pytest.raises(ResponseError, match=f"'register' is not possible with the {reader}"):
        execute(server, f"GB('{reader}').register()")


# --- what is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["RG.JSEXECUTE", "RG.FUNCTION LOAD"])
def test_the_dump_has_the_form_of_the_first_redisgears(server, way):
    bring(server, way, KEYS + STREAM)
    keys, stream = server.run("RG.DUMPREGISTRATIONS")
    if keys[3] != "KeysReader":
        keys, stream = stream, keys
    for one, reader, names in ((keys, "KeysReader", OF_KEYS), (stream, "StreamReader", OF_STREAMS)):
        assert one[::2] == ["id", "reader", "desc", "RegistrationData", "PD"]
        assert (one[3], one[5]) == (reader, None)
        assert re.fullmatch(SHARD + r"-\d+", one[1])
        assert one[7][::2] == names
    assert (keys[9], stream[9]) == ("gears.gears:1", "gears.gears:2")
    data = stream[7]
    assert (data[3], data[5], data[7], data[9], data[21], data[25]) == (0, 0, 0, 0, None, "OK")
    assert keys[7][19][::2] == ["regex", "eventTypes", "keyTypes", "hookCommands"]
    assert data[23][::2] == ["batchSize", "durationMS", "stream", "trimStream", "onFailedPolicy", "retryInterval"]


def test_figures_are_integers_and_means_are_texts(server):
    execute(
        server,
        "GB('StreamReader').foreach(x => { const end = Date.now() + 20; while (Date.now() < end) ; }).register('s')",
    )
    server.add("s", 1, 2)
    wait_counts(server, 2, 2, 0, 0)
    found = registration(server)
    assert found["lastRunDurationMS"] >= 15
    assert found["totalRunDurationMS"] >= 30
    assert float(found["avgRunDurationMS"]) >= 15
    assert found["lastEstimatedLagMS"] >= 15
    assert float(found["avgEstimatedLagMS"]) >= 15
    assert isinstance(found["avgRunDurationMS"], str)


def test_for_resp3_it_is_a_map(server):
    execute(server, KEYS)
    with Wire(server.port, 3) as wire:
        assert wire.call("RG.DUMPREGISTRATIONS").startswith(b"*1\r\n%5\r\n$2\r\nid\r\n")


def test_a_registration_is_named_and_described_by_its_builder(server):
    code = """
        GB('KeysReader', '*', 'mine').register('a');
        GB('StreamReader', '*', 'mine').register('a');
        GB('StreamReader', '*', 'mine').register('b');
        GB().register('c');
        GB('StreamReader', '*', null).register('d');
    """
    execute(server, code, "ID", "lib")
    found = sorted((one["PD"], one["desc"], one["reader"]) for one in registrations(server))
    assert found == [
        ("lib.gears:4", None, "KeysReader"),
        ("lib.gears:5", None, "StreamReader"),
        ("lib.mine", "mine", "KeysReader"),
        ("lib.mine", "mine", "StreamReader"),
        ("lib.mine:2", "mine", "StreamReader"),
    ]
    assert len({one["id"] for one in registrations(server)}) == 5


def test_registrations_of_libraries_without_gears_builder_are_shown_as_well(server):
    more = "{ event_types: ['set'], description: 'mine' }"
    trigger = f"redis.register_notifications_consumer('note', 'k', async () => {{}}, {more});"
    options = {"batch": 5, "duration": 20, "description": "my stream"}
    server.load(consumer("plain", "s", callback="() => {}"), consumer("rich", "r", trim=True, options=options), trigger)
    server.run("SET", "k", 1)
    wait_counts(server, 1, 1, 0, 0, name="note")
    note = registration(server, "note")
    assert (note["mode"], note["desc"], note["args"]["regex"]) == ("async", "mine", "k*")
    assert note["args"]["eventTypes"] == ["set"]
    plain = registration(server, "plain")
    assert (plain["mode"], plain["desc"]) == ("sync", None)
    assert plain["args"] == {
        "batchSize": 1,
        "durationMS": 0,
        "stream": "s*",
        "trimStream": 0,
        "onFailedPolicy": "continue",
        "retryInterval": 1,
    }
    rich = registration(server, "rich")
    assert (rich["desc"], rich["args"]["batchSize"], rich["args"]["durationMS"]) == ("my stream", 5, 20)
    server.add("s1", 1, 2)
    wait_counts(server, 2, 2, 0, 0, name="plain")
    for name in ("note", "plain", "rich"):
        assert server.run("RG.UNREGISTER", id_of(server, name)) == "OK"
    assert (server.libraries(), registrations(server)) == ([], [])


def test_ids_depend_on_the_names_alone(server):
    bring(server, "RG.JSEXECUTE", KEYS + STREAM)
    before = {one["id"] for one in registrations(server)}
    server.run("RG.FUNCTION", "DEL", "gears")
    bring(server, "RG.FUNCTION LOAD", KEYS + STREAM, name="other")
    assert before.isdisjoint(one["id"] for one in registrations(server))
    server.run("RG.FUNCTION", "DEL", "other")
    bring(server, "RG.FUNCTION LOAD", KEYS + STREAM)
    assert {one["id"] for one in registrations(server)} == before


# --- statistics -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_statistics_may_begin_anew(server, mode):
    arguments = f"{{ mode: '{mode}'"
    code = f"""
        GB().foreach(x => {{ if (x.value === 'bad') throw new Error('no'); }}).register('k', {arguments} }});
        GB('StreamReader').foreach({TRY}).register('s', {arguments}, onFailedPolicy: 'continue' }});
    """
    execute(server, code)
    make_fail(server, 2)
    server.run("SET", "k", "good")
    server.run("SET", "k", "bad")
    server.add("s", 1, 2)
    for name in ("gears:1", "gears:2"):
        wait_counts(server, 2, 1, 1, 0, name=name)
        assert registration(server, name)["lastError"] is not None
    assert server.run("RG.CLEARREGISTRATIONSSTATS") == "OK"
    for name in ("gears:1", "gears:2"):
        found = registration(server, name)
        figures = [field for field in found if re.match("num|last|total|avg", field)]
        assert {str(found[field]) for field in figures} <= {"0", "None"}
    server.run("SET", "k", "good")
    server.add("s", 3)
    for name in ("gears:1", "gears:2"):
        wait_counts(server, 1, 1, 0, 0, name=name)


def test_what_runs_is_counted_as_triggered_before_and_after_the_statistics_begin_anew(server):
    execute(server, HOLDING.replace("{ batch: 2 }", "{}"))
    server.add("s", 1)
    wait_counts(server, 1, 0, 0, 0, name="gears:1")
    server.run("RG.CLEARREGISTRATIONSSTATS")
    assert counts(server, "gears:1") == [1, 0, 0, 0]
    server.add("go", 1)
    wait_counts(server, 1, 1, 0, 0, name="gears:1")


# --- UNREGISTER -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("ABORTPENDING",), ("abortpending",)])
def test_unregister_stops_that_registration_alone(server, more):
    bring(server, "RG.JSEXECUTE", KEYS + STREAM + STREAM)
    before = {name: id_of(server, name) for name in ("gears:1", "gears:2", "gears:3")}
    assert server.run("RG.UNREGISTER", before["gears:2"], *more) == "OK"
    assert {one["id"] for one in registrations(server)} == {before["gears:1"], before["gears:3"]}
    server.add("s", 1)
    server.run("SET", "k", 1)
    wait_counts(server, 1, 1, 0, 0, name="gears:3")
    wait_counts(server, 1, 1, 0, 0, name="gears:1")
    assert sorted(logged(server)) == ["1", "k"]
    assert server.run("RG.UNREGISTER", before["gears:1"], *more) == "OK"
    server.run("SET", "k", 1)
    server.add("s", 2)
    wait_counts(server, 2, 2, 0, 0, name="gears:3")
    assert sorted(logged(server)) == ["1", "2", "k"]
    for gone in ("gears:1", "gears:2"):
        with pytest.raises(ResponseError, match="execution is not registered"):
            server.run("RG.UNREGISTER", before[gone], *more)


def test_with_its_last_registration_a_library_goes_unless_it_has_functions(server):
    bring(server, "RG.JSEXECUTE", KEYS + STREAM)
    for name in ("gears:1", "gears:2"):
        assert server.libraries() == ["gears"]
        server.run("RG.UNREGISTER", id_of(server, name))
    assert server.libraries() == []
    bring(server, "RG.JSEXECUTE", KEYS + function("f", "() => 5"))
    server.run("RG.UNREGISTER", id_of(server, "gears:1"))
    assert server.call("f", library="gears") == 5
    assert registrations(server) == []


def test_the_batch_that_runs_is_finished_and_nothing_behind_it(server):
    execute(server, HOLDING, "ID", "gears")
    server.load(*policy(), name="other")
    add_at_once(server, "s", range(1, 6))
    wait_tries(server, 1)
    assert server.run("RG.UNREGISTER", id_of(server, "gears:1")) == "OK"
    server.add("go", 1)
    wait_tries(server, 2)
    server.add("go", 1)
    wait_done(server, 1, 2)
    pass_marker(server)
    assert tries(server) == ["1", "2"]
    assert [one["PD"] for one in registrations(server) if one["PD"].startswith("gears.")] == ["gears.gears:2"]


SLOW = """async (client, data) => {
    redis.log(`try ${value(data)}`);
    for (const end = Date.now() + 20; Date.now() < end;);
}"""


@pytest.mark.parametrize("options", [None, {"on_failure": "continue"}], ids=["no options", "options"])
@pytest.mark.parametrize("how", ["UNREGISTER", "DEL", "UPGRADE"])
def test_what_was_read_ahead_is_not_handed_over_when_its_consumer_goes(server, how, options):
    window = 8 if options else 1
    server.load(consumer("c", "s", window=window, callback=SLOW, options=options), function("f", "() => 1"))
    # More than a test can wait for.
    add_at_once(server, "s", range(1000))
    wait_tries(server, 3)
    assert pending_jobs(server) > 0
    if how == "UNREGISTER":
        server.run("RG.UNREGISTER", id_of(server, "c"))
    elif how == "DEL":
        server.run("RG.FUNCTION", "DEL", "lib")
    else:
        server.upgrade(function("f", "() => 1"))
    began = len(tries(server))
    if how != "DEL":
        server.wait(lambda: pending_jobs(server) == 0, lambda: pending_jobs(server))
    # What the callback had at that moment is all that may come.
    server.load(*policy(), name="other")
    pass_marker(server)
    assert len(tries(server)) <= began + 1


@pytest.mark.parametrize("of", ["consumer", "trigger"])
def test_on_registered_of_what_was_unregistered_is_called_no_more(start_server, of):
    # A server that does not write at once may put off what a kill then loses.
    kept = start_server("--appendonly", "yes", "--appendfsync", "always")
    hook = "{ on_registered: () => redis.log('registered') }"
    # A registration of the other kind has the same name, and stays.
    code = {
        "consumer": f"redis.register_stream_consumer('c', 's', 1, false, () => {{}}, {hook});"
        "redis.register_notifications_consumer('c', 'k', () => {}, { on_registered: () => redis.log('other') });",
        "trigger": f"redis.register_notifications_consumer('c', 'k', () => {{}}, {hook});"
        "redis.register_stream_consumer('c', 's', 1, false, () => {}, { on_registered: () => redis.log('other') });",
    }[of]
    kept.load(code)
    kept.wait_message("registered")
    reader = {"consumer": "StreamReader", "trigger": "KeysReader"}[of]
    [identity] = [one["id"] for one in registrations(kept) if one["reader"] == reader]
    assert kept.run("RG.UNREGISTER", identity) == "OK"
    kept.restart()
    kept.wait_message("other", 2)
    kept.run("REPLICAOF", "127.0.0.1", 1)
    kept.run("REPLICAOF", "NO", "ONE")
    kept.wait_message("other", 3)
    assert len(kept.messages("registered")) == 1


def test_what_waits_for_a_retry_ends_with_its_registration(server):
    execute(server, f"GB('StreamReader').foreach({TRY}).register('s', {{ onFailedRetryInterval: 0.1 }}); {KEYS}")
    make_fail(server, 1)
    server.add("s", 1)
    wait_registration(server, "gears:1", status="WAITING_FOR_RETRY_ON_FAILURE")
    server.run("RG.UNREGISTER", id_of(server, "gears:1"))
    server.run("SET", "k", 1)
    wait_logged(server, "k")
    assert len(tries(server)) <= 3
    assert done(server) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_step_may_be_running_when_its_library_goes(server, mode):
    code = f"GB().foreach(x => {{ log('seen'); }}).register('k', {{ mode: '{mode}' }})"
    execute(server, code, "ID", "gears")
    pipe = server.client.pipeline(transaction=False)
    identity = id_of(server)
    for number in range(500):
        pipe.execute_command("SET", "k", number)
        if number == 250:
            pipe.execute_command("RG.UNREGISTER", identity)
    pipe.execute()
    assert server.libraries() == []
    assert server.client.ping()


def test_a_run_that_is_aborted_leaves_the_registrations_of_its_script(server):
    drop_all(server)
    stuck = "GB('ShardsIDReader').map(() => { log('begun'); return new Promise(() => {}); }).run()"
    count = "x => { log(execute('INCR', 'count') > 0 ? 'counted' : ''); }"
    plans = f"GB().foreach({count}).register('k*'); GB('StreamReader').foreach({count}).register('s');"
    execute(server, plans + stuck, "ID", "gears")
    wait_logged(server, "begun")
    [identity] = executions(server)
    assert server.run("RG.ABORTEXECUTION", identity) == "OK"
    for number in range(3):
        server.add("s", number)
        server.run("SET", f"k{number}", 1)
    wait_counts(server, 3, 3, 0, 0, name="gears:1")
    wait_counts(server, 3, 3, 0, 0, name="gears:2")
    assert executions(server) == {identity: "aborted"}


@pytest.mark.parametrize("how", ["UNREGISTER", "DEL", "UPGRADE"])
def test_when_a_script_goes_so_does_its_run(server, how):
    drop_all(server)
    stuck = "GB('ShardsIDReader').map(() => { log('begun'); return new Promise(() => {}); }).run()"
    execute(server, KEYS + stuck, "ID", "gears")
    wait_logged(server, "begun")
    [identity] = executions(server)
    if how == "UNREGISTER":
        server.run("RG.UNREGISTER", id_of(server))
    elif how == "DEL":
        server.run("RG.FUNCTION", "DEL", "gears")
    else:
        execute(server, STREAM, "ID", "gears", "UPGRADE")
    [found, [error]] = server.run("RG.GETRESULTSBLOCKING", identity)
    assert found == []
    assert "replaced or deleted" in error
