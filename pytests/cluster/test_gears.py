"""GearsBuilder on a real cluster: runs read all shards, records go where their keys are, and what fails is named."""

import time

import pytest
from redis import ResponseError

from testing.cluster import Cluster, slot_of
from testing.gears1 import (
    JAVASCRIPT,
    PYTHON,
    bring,
    by_key,
    execute,
    executions,
    id_of,
    registrations,
    wait_registration,
)
from testing.libraries import function
from testing.remote_load import kept
from testing.replies import fields

COUNT = 60
WORDS = ["to be", "or not", "to be be"]
# Plans of both languages, and what comes of them for the keys of `filled`.
PLANS = {
    "count": ("GB().count().run('text:*')", "GB().count().run('text:*', convertToStr=False)", lambda found: found == [COUNT]),
    "countby": (
        "GB().flatmap(x => x.value.split(' ')).countby().run('text:*')",
        "GB().flatmap(lambda x: x['value'].split(' ')).countby().map(lambda x: ['key', x['key'], 'value', x['value']])"
        ".run('text:*', convertToStr=False)",
        lambda found: by_key(found) == {"to": 40, "be": 60, "or": 20, "not": 20},
    ),
    "groupby": (
        "GB().groupby(x => x.value, (k, n, x) => (n ?? 0) + 1).run('text:*')",
        "GB().groupby(lambda x: x['value'], lambda k, n, x: (n or 0) + 1)"
        ".map(lambda x: ['key', x['key'], 'value', x['value']]).run('text:*', convertToStr=False)",
        lambda found: by_key(found) == dict.fromkeys(WORDS, 20),
    ),
    "sort": (
        "GB('KeysOnlyReader').sort().limit(3).run('text:*')",
        "GB('KeysOnlyReader').sort().limit(3).run('text:*')",
        lambda found: found == ["text:0", "text:1", "text:10"],
    ),
    "distinct": (
        "GB().map(x => x.value).distinct().sort().run('text:*')",
        "GB().map(lambda x: x['value']).distinct().sort().run('text:*')",
        lambda found: found == sorted(WORDS),
    ),
    "avg": (
        "GB().avg(x => x.value.length).run('text:*')",
        "GB().avg(lambda x: len(x['value'])).run('text:*')",
        lambda found: float(found[0]) == sum(map(len, WORDS)) / 3,
    ),
    "aggregate": (
        "GB().aggregate([], (a, x) => [...a, x.key], (a, b) => [...a, ...b]).map(a => a.length).run('text:*')",
        "GB().aggregate([], lambda a, x: a + [x['key']], lambda a, b: a + b).map(len_of).run('text:*', convertToStr=False)",
        lambda found: found == [COUNT],
    ),
}
LANGUAGES = {"JavaScript": (0, JAVASCRIPT), "Python": (1, PYTHON)}
each_language = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture
def filled(cluster):
    """Keys on all shards."""
    client = cluster.client()
    for number in range(COUNT):
        client.set(f"text:{number}", WORDS[number % len(WORDS)])
    return cluster


def shards_of(cluster):
    """Its primaries, which reach each other: the first stage that is sent waits for that."""
    return cluster.primaries()


@each_language
@pytest.mark.parametrize("plan", PLANS)
def test_a_run_gives_the_same_whichever_shard_is_asked(filled, plan, language):
    place, command = LANGUAGES[language]
    *codes, is_right = PLANS[plan]
    code = codes[place]
    if "len_of" in code:
        code = f"def len_of(a): return len(a)\n{code}"
    for node in shards_of(filled):
        found, errors = execute(node, code, language=command)
        assert errors == []
        assert is_right(found), found


@each_language
def test_steps_behind_a_repartition_write_on_the_shard_that_has_the_key(filled, language):
    node, *_ = shards_of(filled)
    codes = (
        "GB().repartition(x => 'copy:' + x.key).foreach(x => execute('SET', 'copy:' + x.key, x.value)).count().run('text:*')",
        "GB().repartition(lambda x: 'copy:' + x['key']).foreach(lambda x: execute('set', 'copy:' + x['key'], x['value']))"
        ".count().run('text:*')",
    )
    place, command = LANGUAGES[language]
    found, errors = execute(node, codes[place], language=command)
    assert ([int(one) for one in found], errors) == ([COUNT], [])
    client = filled.client()
    for number in range(COUNT):
        assert client.get(f"copy:text:{number}") == WORDS[number % len(WORDS)]


@each_language
def test_a_repartition_goes_by_the_bytes_of_keys_that_are_no_text(cluster, language):
    keys = [b"raw\xff\x00%d" % number for number in range(COUNT)]
    client = cluster.client()
    for key in keys:
        client.set(key, "before")
    codes = (
        "GB('KeysOnlyReader').repartition(x => x).foreach(x => execute('SET', x, 'after')).count().run('raw*')",
        "GB('KeysOnlyReader').repartition(lambda x: x).foreach(lambda x: execute('set', x, 'after')).count().run('raw*')",
    )
    place, command = LANGUAGES[language]
    node, *_ = shards_of(cluster)
    found, errors = execute(node, codes[place], language=command)
    assert ([int(one) for one in found], errors) == ([COUNT], [])
    assert {client.get(key) for key in keys} == {"after"}


@each_language
def test_entries_of_a_stream_are_counted_where_their_words_belong(cluster, language):
    _, other, *_ = shards_of(cluster)
    codes = (
        "GB('StreamReader').flatmap(x => [x.a, x.b]).repartition(x => x).foreach(x => execute('INCR', x)).register('s*')",
        "GB('StreamReader').flatmap(lambda x: [x['a'], x['b']]).repartition(lambda x: x)"
        ".foreach(lambda x: execute('incr', x)).register('s*')",
    )
    place, command = LANGUAGES[language]
    assert execute(other, codes[place], "ID", "words", language=command) == "OK"
    cluster.wait(
        lambda: all(one.libraries() == ["words"] for one in shards_of(cluster)),
        lambda: [one.libraries() for one in shards_of(cluster)],
    )
    client = cluster.client()
    words = [one.key("word") for one in shards_of(cluster)]
    for number in range(30):
        client.xadd(f"s{number}", {"a": words[number % 3], "b": words[0]})
    expected = ["40", "10", "10"]
    cluster.wait(lambda: [client.get(word) for word in words] == expected, lambda: [client.get(word) for word in words])


PLAN = "const COUNT = GB().count();"


def test_a_function_runs_a_builder_of_the_top_level_on_all_shards(filled):
    node, other, *_ = shards_of(filled)
    node.load(PLAN, function("all", "async () => COUNT.run('text:*')"), options=["UPGRADE"])
    assert node.call("all") == [[COUNT], []]
    assert other.call("all") == [[COUNT], []]


def test_what_a_function_builds_runs_on_its_shard_alone_and_only_if_it_says_so(filled):
    node, *_ = shards_of(filled)
    code = "async (client, mode) => GB().count().run('text:*', mode ? { mode } : undefined)"
    node.load(function("count", code), options=["UPGRADE"])
    with pytest.raises(ResponseError, match="make the GearsBuilder at the top level"):
        node.call("count")
    own = sum(node.owns(slot_of(f"text:{number}")) for number in range(COUNT))
    assert node.call("count", "async_local") == [[own], []]
    assert execute(node, "GB().count().run('text:*', { mode: 'async_local' })") == [[own], []]
    assert execute(node, "GB('ShardsIDReader').run('', { mode: 'async_local' })") == [[node.identity], []]


def test_one_key_is_read_on_its_shard(cluster):
    node, other, *_ = shards_of(cluster)
    key = other.key("stream")
    other.run("XADD", key, "*", "a", "1")
    assert execute(node, f"GB('StreamReader').map(x => x.a).run('{key}')") == [["1"], []]
    assert execute(node, f"GB('KeysReader').map(x => x.type).run('{key}', {{ noScan: true }})") == [["stream"], []]


def test_each_shard_has_its_id(cluster):
    node, *_ = shards_of(cluster)
    found, errors = execute(node, "GB('ShardsIDReader').run()")
    assert (sorted(found), errors) == (sorted(one.identity for one in shards_of(cluster)), [])


def test_what_steps_throw_on_other_shards_is_told(filled):
    node, *_ = shards_of(filled)
    step = "map(x => { throw new Error(`no ${hashtag()}`); })"
    found, errors = execute(node, f"GB().{step}.run('text:*')")
    assert found == []
    assert len(errors) == 3
    assert all(error.startswith("Error: no ") for error in errors)


@each_language
def test_what_ends_a_stage_on_another_shard_is_told_with_its_code_once(filled, language):
    node, other, *_ = shards_of(filled)
    codes = (
        f"GB('ShardsIDReader').foreach(x => {{ while (x === '{other.identity}'); }}).run()",
        f"def f(x):\n    while x == '{other.identity}': pass\nGB('ShardsIDReader').foreach(f).run()",
    )
    place, command = LANGUAGES[language]
    with other.setting("redisgears_2.background-timeout", 300):
        _, errors = execute(node, codes[place], language=command)
    assert errors == [f"ERR shard {other.identity}: Execution was terminated due to OOM or timeout (timeout)"]
    large = ("GB().map(x => 'x'.repeat(30000)).run('text:*')", "GB().map(lambda x: 'x' * 30000).run('text:*')")
    with other.setting("redisgears_2.remote-task-max-size", "64kb"):
        _, errors = execute(node, large[place], language=command)
    assert errors == [f"ERR shard {other.identity}: the value is larger than the 65536 bytes that a remote call may carry"]


@each_language
def test_a_registration_tells_what_ended_its_steps_on_another_shard_with_its_code_once(cluster, language):
    node, other, *_ = shards_of(cluster)
    start, end = node.key("start"), other.key("end")
    codes = (
        f"GB().repartition(x => '{end}').foreach(() => {{ for (;;); }}).register('{start}')",
        f"def f(x):\n    while True: pass\nGB().repartition(lambda x: '{end}').foreach(f).register('{start}')",
    )
    place, command = LANGUAGES[language]
    assert execute(node, codes[place], "ID", "loops", language=command) == "OK"
    cluster.wait(lambda: all(one.libraries() == ["loops"] for one in shards_of(cluster)), "not all have the library")

    def last_error():
        [registration] = node.run("RG.DUMPREGISTRATIONS")
        return fields(fields(registration)["RegistrationData"])["lastError"]

    with other.setting("redisgears_2.background-timeout", 300):
        node.run("SET", start, "x")
        node.wait(last_error, "there is no error")
    assert last_error() == f"ERR shard {other.identity}: Execution was terminated due to OOM or timeout (timeout)"


def test_a_slot_that_is_on_its_way_is_named(filled):
    node, source, target = shards_of(filled)
    slot = slot_of(source.key("moving"))
    filled.begin_move(slot, source, target)
    try:
        _, errors = execute(node, "GB().count().run('text:*')")
        assert sorted(errors) == sorted(
            f"ERRCLUSTER slots {slot} moved while shard {one.identity} read: what is in them may be missing, or there twice"
            for one in (source, target)
        )
    finally:
        filled.end_move(slot, source)
        for one in (source, target):
            one.cluster("SETSLOT", slot, "STABLE")


def test_a_user_acts_with_the_rights_that_it_has_on_each_shard(filled):
    node, other, third = shards_of(filled)
    for one, keys in ((node, "~*"), (other, "~*"), (third, "~nothing")):
        one.run("ACL", "SETUSER", "reader", "reset", "on", "nopass", "+@all", keys)
    try:
        client = node.connect(username="reader", password="x")
        found, errors = execute(node, "GB().map(x => x.key).run('text:*')", client=client)
        missing = sum(third.owns(slot_of(f"text:{number}")) for number in range(COUNT))
        assert len(found) == COUNT - missing
        assert len(errors) == 1
        assert "permission" in errors[0].lower()
    finally:
        for one in (node, other, third):
            one.run("ACL", "DELUSER", "reader")


# A run that does not end by itself, on no shard.
STUCK = "GB('ShardsIDReader').foreach(() => log('begun')).map(() => new Promise(() => {})).run()"


def begin_stuck(cluster):
    """Begins it on the first shard, and waits until it runs on all; gives its ID."""
    before = {one.port: len(one.messages("GEARS: begun")) for one in shards_of(cluster)}
    identity = execute(shards_of(cluster)[0], STUCK, "UNBLOCKING")
    for one in shards_of(cluster):
        one.wait(lambda one=one: len(one.messages("GEARS: begun")) > before[one.port], "it does not begin")
    return identity


def plans_of(node, identity, *more):
    """What RG.GETEXECUTION tells of each shard, in its order."""
    shown = [fields(one) for one in node.run("RG.GETEXECUTION", identity, *more)]
    return {one["shard_id"]: fields(one["execution_plan"]) for one in shown}


def take_longer(node, identity):
    """The plans of all shards, once each has taken longer than it had."""
    before = plans_of(node, identity)

    def now():
        return {shard: plan["total_duration"] for shard, plan in plans_of(node, identity).items()}

    node.wait(lambda: all(took > before[shard]["total_duration"] for shard, took in now().items()), now)
    return plans_of(node, identity).values()


def test_whichever_shard_is_asked_shows_a_run_on_all_that_where_it_began_first(cluster):
    nodes = shards_of(cluster)
    identity = begin_stuck(cluster)
    for one in nodes:
        for more in ((), ("CLUSTER",)):
            plans = plans_of(one, identity, *more)
            assert next(iter(plans)) == nodes[0].identity
            assert sorted(plans) == sorted(one.identity for one in nodes)
            for plan in plans.values():
                assert (plan["status"], plan["results"], plan["errors"]) == ("running", -1, [])
                assert [fields(step)["type"] for step in plan["steps"]] == ["map", "foreach"]
        [(shard, plan)] = plans_of(one, identity, "SHARD").items()
        assert (shard, plan["status"], plan["shards_received"]) == (one.identity, "running", 3 if one is nodes[0] else 1)
        assert [fields(step)["type"] for step in plan["steps"]] == ["map", "foreach"]
    assert nodes[1].run("RG.ABORTEXECUTION", identity) == "OK"


def test_in_a_transaction_another_shard_shows_its_own_part_of_a_run_alone(cluster):
    began, other, *_ = shards_of(cluster)
    identity = begin_stuck(cluster)
    pipeline = other.client.pipeline(transaction=True)
    pipeline.execute_command("RG.GETEXECUTION", identity)
    pipeline.execute_command("RG.GETEXECUTION", identity, "SHARD")
    refused, [own] = pipeline.execute(raise_on_error=False)
    assert "can not wait inside a transaction" in str(refused)
    assert fields(own)["shard_id"] == other.identity
    assert began.run("RG.ABORTEXECUTION", identity) == "OK"


def test_a_shard_where_a_run_began_and_that_does_not_answer_is_not_waited_for_for_ever(tmp_path_factory):
    cluster = Cluster(lambda: tmp_path_factory.mktemp("node"), "--cluster-node-timeout", "60000", replicas=0)
    try:
        began, other, *_ = shards_of(cluster)
        identity = begin_stuck(cluster)
        with began.suspended(), pytest.raises(ResponseError, match=f"shard {began.identity}, where the execution began, does not answer"):
            other.run("RG.GETEXECUTION", identity)

        def answers():
            """It may not have heard yet that the other goes on."""
            try:
                return began.identity in plans_of(other, identity)
            except ResponseError as error:
                assert "does not answer" in str(error)
                return False

        other.wait(answers, "the other does not answer")
    finally:
        cluster.kill()


@pytest.mark.parametrize("place", [0, 1])
def test_a_run_is_seen_on_all_shards_and_ended_from_any(cluster, place):
    nodes = shards_of(cluster)
    identity = begin_stuck(cluster)
    for one in nodes:
        assert executions(one)[identity] == "running"
    shown = [fields(one) for one in nodes[0].run("RG.GETEXECUTION", identity)]
    assert shown[0]["shard_id"] == nodes[0].identity
    assert sorted(one["shard_id"] for one in shown) == sorted(one.identity for one in nodes)
    plans = [fields(one["execution_plan"]) for one in shown]
    assert [plan["status"] for plan in plans] == ["running"] * 3
    assert (plans[0]["shards_received"], plans[0]["shards_completed"]) == (3, 0)
    assert all(plan["total_duration"] > 0 for plan in take_longer(nodes[0], identity))
    [own] = nodes[0].run("RG.GETEXECUTION", identity, "SHARD")
    assert fields(own)["shard_id"] == nodes[0].identity
    with pytest.raises(ResponseError, match="began on another shard"):
        nodes[1].run("RG.GETRESULTSBLOCKING", identity)
    assert nodes[place].run("RG.ABORTEXECUTION", identity) == "OK"
    nodes[0].wait(lambda: executions(nodes[0])[identity] == "aborted", "it goes on where it began")
    for one in nodes[1:]:
        one.wait(lambda one=one: identity not in executions(one), "it goes on")
    assert nodes[0].run("RG.GETRESULTS", identity) == [[], ["The execution was aborted"]]
    ended = plans_of(nodes[0], identity)
    assert [plan["status"] for plan in ended.values()] == ["aborted"] * 3
    assert [plan["errors"] for plan in ended.values()] == [["The execution was aborted"], [], []]
    assert plans_of(nodes[0], identity) == ended
    assert nodes[0].run("RG.DROPEXECUTION", identity) == "OK"
    for one in nodes:
        with pytest.raises(ResponseError, match="execution plan does not exist"):
            one.run("RG.ABORTEXECUTION", identity)


def test_a_client_that_leaves_ends_its_run_on_all_shards(cluster):
    nodes = shards_of(cluster)
    sent = nodes[0].send("RG.JSEXECUTE", STUCK)
    for one in nodes:
        one.wait(lambda one=one: "running" in executions(one).values(), "it does not begin")
    sent.disconnect()
    for one in nodes:
        one.wait(lambda one=one: "running" not in executions(one).values(), "it goes on")


def wait_nothing_runs(cluster):
    """Waits until no shard has anything of a run any more."""

    def left():
        of_runs = [identity for one in shards_of(cluster) for identity, now in executions(one).items() if now == "running"]
        figures = [one.client.info("redisgears_2_remote_functions") for one in shards_of(cluster)]
        calls = [found[f"redisgears_2_{name}"] for found in figures for name in ("remote_calls", "remote_calls_here")]
        return of_runs, sum(calls)

    cluster.wait(lambda: left() == ([], 0), left)


def test_of_runs_that_are_aborted_at_once_no_shard_keeps_anything(cluster):
    nodes = shards_of(cluster)
    identities = set()
    for number in range(60):
        node = nodes[number % len(nodes)]
        identity = execute(node, "GB('ShardsIDReader').map(() => new Promise(() => {})).run()", "UNBLOCKING")
        # From the very beginning of the run to when others have it.
        time.sleep(number % 7 / 100)
        assert node.run("RG.ABORTEXECUTION", identity) == "OK"
        assert node.run("RG.DROPEXECUTION", identity) == "OK"
        identities.add(identity)
    wait_nothing_runs(cluster)

    def known():
        return [identities & set(executions(one)) for one in nodes]

    # Stages that never end are let go of, also several of one text.
    cluster.wait(lambda: not any(known()), known)


def test_a_run_that_a_limit_ends_where_it_began_ends_on_all_shards(cluster):
    node, *_ = shards_of(cluster)
    step = f"map(id => {{ if (id === '{node.identity}') for (;;); return new Promise(() => {{}}); }})"
    with node.setting("redisgears_2.background-timeout", 1000):
        found, errors = execute(node, f"GB('ShardsIDReader').{step}.run()")
    assert found == []
    assert "timeout" in errors[0]
    wait_nothing_runs(cluster)


def test_what_each_shard_has_done_for_a_run_is_shown_when_it_has_ended(filled):
    node, *_ = shards_of(filled)
    identity = execute(node, "GB().flatmap(x => x.value.split(' ')).countby().run('text:*')", "UNBLOCKING")
    found, errors = node.run("RG.GETRESULTSBLOCKING", identity)
    shown = [fields(fields(one)["execution_plan"]) for one in node.run("RG.GETEXECUTION", identity, "CLUSTER")]
    assert [one["status"] for one in shown] == ["done"] * 3
    assert (shown[0]["results"], errors) == (len(found), [])
    assert (shown[0]["shards_received"], shown[0]["shards_completed"]) == (3, 3)
    assert [[fields(step)["type"] for step in one["steps"]] for one in shown] == [["countby", "flatmap"]] * 3


def test_scripts_of_one_name_run_at_once(filled):
    node, *_ = shards_of(filled)
    for _ in range(10):
        sent = [
            node.send("RG.JSEXECUTE", f"#!js name=same\nGB().map(x => '{word}').countby().map(x => [x.key, x.value]).run('text:*')")
            for word in ("first", "second")
        ]
        assert [one.reply() for one in sent] == [[[[word, COUNT]], []] for word in ("first", "second")]


def test_the_id_of_a_registration_means_it_on_all_shards(cluster):
    first, second, third = cluster.primaries()
    cluster.change(lambda: bring(first, "library", "GB('StreamReader').register('s*')"))
    identity = id_of(first)
    assert identity.startswith(first.identity)
    second.run("RG.PAUSEREGISTRATIONS", identity)
    wait_registration(second, status="PAUSED")
    assert third.run("RG.UNREGISTER", identity) == "OK"
    cluster.wait(lambda: not any(map(registrations, cluster.alive())), lambda: list(map(registrations, cluster.alive())))


def test_a_stage_is_not_called_by_an_empty_name(cluster):
    node, *_ = shards_of(cluster)
    code = "async (client) => { try { await client.run_on_key('k', '', { plan: 1 }); } catch (error) { return error.message; } }"
    node.load(PLAN, function("f", code), options=["UPGRADE"])
    assert node.call("f") == "ERR library 'lib' has no remote function ''"


@pytest.fixture
def mortal(tmp_path_factory):
    """A cluster of its own, whose nodes may die and be debugged."""
    own = Cluster(lambda: tmp_path_factory.mktemp("node"), module_args="enable-debug-command yes")
    yield own
    own.kill()


def test_a_shard_that_dies_during_a_run_is_named_and_the_next_run_asks_its_replica(mortal):
    node, other, _ = shards_of(mortal)
    client = mortal.client()
    for number in range(COUNT):
        client.set(f"text:{number}", "x")
    assert execute(node, "GB().count().run('text:*')") == [[COUNT], []]
    # It waits on the shard that is going to die.
    wait = f"map(async x => {{ if (x === '{other.identity}') {{ log('held'); await new Promise(() => {{}}); }} return x; }})"
    identity = execute(node, f"GB('ShardsIDReader').{wait}.run()", "UNBLOCKING")
    other.wait_message("GEARS: held")
    mortal.kill_primary(other)
    sent = node.send("RG.GETRESULTSBLOCKING", identity)
    found, errors = sent.reply()
    assert len(found) == 2
    assert other.identity not in found
    assert len(errors) == 1
    assert errors[0].startswith(f"ERR shard {other.identity}: ")
    assert execute(node, "GB().count().run('text:*')") == [[COUNT], []]


def test_a_shard_that_dies_leaves_nothing_of_its_runs_on_the_others(mortal):
    nodes = shards_of(mortal)
    nodes[0].load("const STUCK = GB('ShardsIDReader').foreach(() => log('begun')).map(() => new Promise(() => {}));",
                  function("f", "async () => STUCK.run()"))
    mortal.wait(lambda: all(one.libraries() == ["lib"] for one in nodes), "not all have the library")
    of_library = nodes[0].send("RG.FCALL", "lib", "f", "0")
    for one in nodes:
        one.wait_message("GEARS: begun")
    begin_stuck(mortal)
    for one in nodes[1:]:
        assert sorted(executions(one).values()) == ["running", "running"]
    mortal.kill_primary(nodes[0])
    of_library.disconnect()
    for one in nodes[1:]:
        one.wait(lambda one=one: "running" not in executions(one).values(), lambda one=one: executions(one))
        one.wait(lambda one=one: calls_here(one) == 0, lambda one=one: calls_here(one))


def test_a_shard_that_becomes_a_replica_keeps_nothing_of_runs_and_is_named(mortal):
    node, other, _ = shards_of(mortal)
    stuck = f"GB('ShardsIDReader').map(x => x === '{other.identity}' ? (log('held'), new Promise(() => {{}})) : x).run()"
    identity = execute(node, stuck, "UNBLOCKING")
    other.wait_message("GEARS: held")
    assert calls_here(other) == 1
    mortal.fail_over(other)
    other.wait(lambda: calls_here(other) == 0, lambda: calls_here(other))
    assert "running" not in executions(other).values()
    found, errors = node.run("RG.GETRESULTSBLOCKING", identity)
    assert len(found) == 2
    assert [error.split(": ")[0] for error in errors] == [f"ERR shard {other.identity}"]


def test_a_shard_that_was_stopped_keeps_no_call_to_one_that_has_become_a_replica_meanwhile(mortal):
    node, other, _ = shards_of(mortal)
    [heir], [successor] = mortal.replicas_of(node), mortal.replicas_of(other)
    stuck = f"GB('ShardsIDReader').map(x => x === '{other.identity}' ? (log('held'), new Promise(() => {{}})) : x).run()"
    execute(node, stuck, "UNBLOCKING")
    other.wait_message("GEARS: held")
    with node.suspended():
        # So it waits for an answer, and what it is going to say of the call waits behind that.
        other.wait(lambda: peers(other).get(node.identity) == "silent", lambda: peers(other))
        successor.cluster("FAILOVER")
        other.wait(lambda: not other.is_primary(), "it does not hand over")
        heir.wait(heir.is_primary, "nobody takes over")
        # The connection is lost, and there is no other one before both know that they are replicas.
        other.run("CONFIG", "SET", "maxclients", 1)
        other.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    node.wait(lambda: other.identity not in peers(node), lambda: peers(node))
    node.wait(lambda: not kept(node), lambda: kept(node))


def test_a_node_sleeps_while_a_run_without_a_time_limit_waits_and_other_timers_run_out(mortal):
    node, other, _ = shards_of(mortal)
    if "eventloop_cycles" not in node.client.info("stats"):
        pytest.skip("this server does not count its iterations")
    execute(node, "GB('ShardsIDReader').foreach(() => log('held')).map(() => new Promise(() => {})).run()", "UNBLOCKING")
    other.wait_message("GEARS: held")
    # There is another connection after 50 ms: a timer that is over before those of the calls.
    before = node.client.info("redisgears_2_cluster")[f"redisgears_2_peer_{other.identity}"]["connections"]
    other.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def is_connected_again():
        peer = node.client.info("redisgears_2_cluster")[f"redisgears_2_peer_{other.identity}"]
        return peer["state"] == "up" and peer["connections"] > before

    node.wait(is_connected_again, "there is no connection again")
    begin = node.client.info("stats")["eventloop_cycles"]
    for _ in range(20):
        node.run("PING")
        time.sleep(0.01)
    # One that does not sleep goes round some ten thousand times.
    assert node.client.info("stats")["eventloop_cycles"] - begin < 2000


def peers(node):
    """How it stands with the nodes that it talks to, by their names."""
    found = map(fields, fields(node.run("RG.CLUSTER", "INFO"))["peers"])
    return {one["node"]: one["state"] for one in found}


def calls_here(node):
    """Calls of other nodes that run there."""
    return node.client.info("redisgears_2_remote_functions")["redisgears_2_remote_calls_here"]


def test_other_shards_keep_few_of_the_scripts_that_ran(mortal):
    nodes = shards_of(mortal)
    for number in range(30):
        assert execute(nodes[0], f"GB().count().map(n => n + {number}).run('nothing:*')") == [[], []]
        for one in nodes:
            assert fields(one.run("RG.FUNCTION", "DEBUG", "js", "isolates_stats"))["active"] <= 10
