"""What the tests of GearsBuilder share: scripts, what they have registered, and what can be seen of it.

Scripts report through ``log``, which ``logged`` reads. ``TRY`` is a step for streams whose entries have the field
``n``: it fails for the values that are in the set ``bad``, and what it did is read with ``tries`` and ``done`` of
policies.py.
"""

import itertools
from contextlib import suppress

import pytest
from redis import ResponseError

from testing.libraries import function
from testing.replies import fields

SHARD = "0" * 40

TRY = """x => {
    redis.log(`at ${Date.now()}`);
    redis.log(`try ${x.n}`);
    if (execute('SISMEMBER', 'bad', x.n) == 1) throw new Error(`no ${x.n}`);
    redis.log(`done ${x.n}`);
}"""

# Each is where a step runs, and how the writer sees it.
MODES = ("sync", "async", "async_local")


# Registrations of each reader that log what comes.
KEYS = "GB().foreach(x => log(x.key)).register('k*');"
STREAM = "GB('StreamReader').foreach(x => log(x.n)).register('s');"

# As they are on the first RedisGears' page about streaming, but for what JavaScript has in place of lambda and str.
DENY = "GearsBuilder().foreach(x => execute('del', x['key'])).register()"
KEEP = "GearsBuilder('StreamReader').foreach(x => execute('set', x['streamId'], JSON.stringify(x))).register('s1')"


# Of each language its command, and what the first line of its libraries begins with.
JAVASCRIPT = ("RG.JSEXECUTE", "#!js")
PYTHON = ("RG.PYEXECUTE", "#!py")


def execute(node, code, *options, client=None, language=JAVASCRIPT):
    """Runs a script."""
    command, _ = language
    return (client or node.client).execute_command(command, code, *options)


def bring(node, way, code, name="gears", language=JAVASCRIPT):
    """Has a script register what it does: by the command of its language, or as a library."""
    command, prologue = language
    if way == command:
        assert execute(node, code, "ID", name, language=language) == "OK"
    else:
        assert node.run("RG.FUNCTION", "LOAD", f"{prologue} name={name}\n{code}") == "OK"


def logged(node, start=""):
    """What scripts gave to ``log``."""
    return node.messages(f"GEARS: {start}")


def wait_logged(node, *expected, start=""):
    """Waits until scripts logged as much as expected; then it must be just that."""
    node.wait_for([str(one) for one in expected], lambda: logged(node, start))


def wait_among(node, *expected, start=""):
    """The same, where the order is nobody's concern."""
    node.wait(lambda: len(logged(node, start)) >= len(expected), lambda: logged(node, start))
    assert sorted(logged(node, start)) == sorted(str(one) for one in expected)


# --- registrations --------------------------------------------------------------------------------------------------


def registrations(node):
    """What RG.DUMPREGISTRATIONS tells, with a registration's data in one dict."""
    all_of_them = []
    for one in node.run("RG.DUMPREGISTRATIONS"):
        found = fields(one)
        found |= fields(found.pop("RegistrationData"))
        found["args"] = fields(found["args"])
        all_of_them.append(found)
    return all_of_them


def registration(node, name=None):
    """The one of that name, or the only one."""
    found = [one for one in registrations(node) if name is None or one["PD"].split(".", 1)[1] == name]
    assert len(found) == 1, found
    return found[0]


def id_of(node, name=None):
    """A registration's ID."""
    return registration(node, name)["id"]


def wait_registration(node, name=None, **expected):
    """Waits until RG.DUMPREGISTRATIONS shows these fields."""

    def shown():
        found = registration(node, name)
        return {field: found[field] for field in expected}

    node.wait(lambda: shown() == expected, lambda: (shown(), expected))


def counts(node, name=None):
    """How often it was triggered, and how that ended."""
    found = registration(node, name)
    return [found[field] for field in ("numTriggered", "numSuccess", "numFailures", "numAborted")]


def wait_counts(node, *expected, name=None):
    """Waits for these counts."""
    node.wait(lambda: counts(node, name) == list(expected), lambda: (counts(node, name), expected))


# --- runs -----------------------------------------------------------------------------------------------------------


def executions(node):
    """What RG.DUMPEXECUTIONS tells: statuses by ID."""
    return {one["executionId"]: one["status"] for one in map(fields, node.run("RG.DUMPEXECUTIONS"))}


def execution(node, identity):
    """What RG.GETEXECUTION tells of a run's plan."""
    [shard] = node.run("RG.GETEXECUTION", identity)
    found = fields(fields(shard)["execution_plan"])
    found["steps"] = [fields(step) for step in found["steps"]]
    return found


def wait_status(node, identity, status):
    """Waits until a run has come to that."""
    node.wait(lambda: executions(node).get(identity) == status, lambda: (executions(node), identity, status))


def drop_all(node):
    """Ends and forgets all runs that are known."""
    for identity in executions(node):
        # One that somebody waited for is forgotten with its end.
        with suppress(ResponseError):
            node.run("RG.ABORTEXECUTION", identity)
            node.run("RG.DROPEXECUTION", identity)
    assert executions(node) == {}


def results(node, code):
    """What comes of a run at the top of a script, which must have no errors."""
    [found, errors] = execute(node, code)
    assert errors == []
    return found


def by_key(records):
    """Records of groups as a dict."""
    return {one["key"]: one["value"] for one in map(fields, records)}


def fill(node, prefix, count, size=1000):
    """So many strings, each of which holds its number."""
    for start in range(0, count, size):
        numbers = range(start, min(start + size, count))
        node.run("MSET", *itertools.chain.from_iterable((f"{prefix}{n}", n) for n in numbers))


def run_in_function(node, plan, *args):
    """What comes of a plan in an async function, whose arguments are in ``args``."""
    node.load(function("f", f"async (client, ...args) => {plan}"), options=["UPGRADE"])
    return node.call("f", *args)


def run_unblocking(node, code):
    """What comes of a plan for which nobody waits."""
    identity = execute(node, code, "UNBLOCKING")
    return node.run("RG.GETRESULTSBLOCKING", identity)


# Each is how a plan is run.
WAYS_TO_RUN = {"blocking": execute, "unblocking": run_unblocking, "in a function": run_in_function}

each_way_to_run = pytest.mark.parametrize("way", WAYS_TO_RUN.values(), ids=WAYS_TO_RUN)
