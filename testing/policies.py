"""What the tests of stream policies share: callbacks that fail on demand, and what can be seen of them.

``policy()`` puts some JavaScript and two consumers in front of a library's own statements:

    got(batch, tag)       logs "batch<tag> <stream> <values>"; read with ``batches``
    attempt(client, data) logs "at <ms>" and "try <values>", fails if one of the values is in the set ``bad``, and
                          else logs "done <values>"; takes a record or a batch of them
    holding_batch         the callback ``holding``, for batches: it is released by the first value

The consumers are ``RELEASE`` and one of the prefix "marker", for ``pass_marker``. Values of a batch are separated by
commas.
"""

import itertools

import pytest
from redis import ResponseError

from testing.libraries import RELEASE, consumer
from testing.replies import fields

AOF = ("--appendonly", "yes", "--appendfsync", "always")
PERSISTENCE = {"append-only file": AOF, "RDB file": ()}
# Milliseconds: no test waits for their end.
AN_HOUR = 3_600_000

POLICIES = """
const text_of = data => [data].flat().map(value).join(',');
const id_of = data => data.id.join('-');
const got = (batch, tag = '') => redis.log(`batch${tag} ${batch[0].stream_name} ${text_of(batch)}`);
const ask = (client, ...words) => client.block ? client.block(locked => locked.call(...words)) : client.call(...words);
const attempt = (client, data) => {
    redis.log(`at ${Date.now()}`);
    redis.log(`try ${text_of(data)}`);
    const values = [data].flat().map(value);
    const bad = ask(client, 'SMISMEMBER', 'bad', ...values);
    const wrong = values.find((_, place) => bad[place] == 1);
    if (wrong !== undefined) throw new Error(`no ${wrong}`);
    redis.log(`done ${text_of(data)}`);
};
const holding_batch = async (client, batch) => {
    running += 1;
    redis.log(`start ${text_of(batch)} ${running}`);
    await new Promise(resolve => held.set(value(batch[0]), resolve));
    running -= 1;
    redis.log(`end ${text_of(batch)}`);
};
"""

MARKER = consumer("marker", "marker", callback="async (client, data) => saw(data, 'marker')")

# Callbacks that attempt, in each of the ways a callback can fail.
ATTEMPTS = {
    "sync": "(client, data) => attempt(client, data)",
    "promise": "(client, data) => new Promise(resolve => resolve(attempt(client, data)))",
    "async": "async (client, data) => attempt(client, data)",
    "async after await": "async (client, data) => { await null; attempt(client, data); }",
}

each_kind = pytest.mark.parametrize("kind", ATTEMPTS)
sync_and_async = pytest.mark.parametrize("kind", ["sync", "async"])
each_persistence = pytest.mark.parametrize("persistence", PERSISTENCE)


def policy(*statements):
    """The statements of a library, behind what this file has for it."""
    return POLICIES, MARKER, RELEASE, *statements


def attempting(kind="sync", name="consumer", prefix="stream", window=1, trim=False, **options):
    """A consumer that attempts, with these options."""
    return consumer(name, prefix, window, trim, ATTEMPTS[kind], options)


def load_attempting(node, kind="sync", **more):
    """A library of one such consumer."""
    node.load(*policy(attempting(kind, **more)))


def make_fail(node, *values):
    """Has entries of these values fail."""
    node.run("SADD", "bad", *values)


def make_succeed(node, *values):
    """Has entries of these values, or of all, fail no more."""
    if values:
        node.run("SREM", "bad", *values)
    else:
        node.run("DEL", "bad")


def pass_marker(node):
    """Has an entry of another stream processed: what was to come before it has come."""
    before = len(node.seen("marker"))
    node.add("marker", "x")
    node.wait(lambda: len(node.seen("marker")) > before, node.seen)


def add_at_once(node, stream, values):
    """Adds an entry per value in one go; gives the IDs."""
    pipe = node.client.pipeline(transaction=False)
    for value in values:
        pipe.execute_command("XADD", stream, "*", "n", value)
    return pipe.execute()


def kill_and_restart(node):
    """The kill of a kept server, and its new start; without an append-only file the dump is made before."""
    if not node.options:
        node.run("SAVE")
    node.restart()


# What can be seen


def batches(node, tag=""):
    """What ``got`` logged, as lists of the values; of one stream."""
    return [text.split()[1].split(",") for text in node.messages(f"batch{tag} ")]


def tries(node):
    """What ``attempt`` began with."""
    return node.messages("try ")


def done(node):
    """What ``attempt`` came through with."""
    return node.messages("done ")


def wait_tries(node, count):
    """Waits for so many attempts, and gives them."""
    node.wait(lambda: len(tries(node)) >= count, lambda: tries(node))
    return tries(node)


def wait_done(node, *expected):
    """Waits until as many came through, which must be these."""
    node.wait_for([str(one) for one in expected], lambda: done(node))


def pauses(node):
    """Seconds between attempts."""
    times = [int(text) for text in node.messages("at ")]
    return [(after - before) / 1000 for before, after in itertools.pairwise(times)]


def without_repeats(found):
    """Each of what comes several times in a row once."""
    return [one for one, _ in itertools.groupby(found)]


def command(node, word, *more, name="consumer", library="lib", client=None):
    """A subcommand of RG.CONSUMER for a consumer."""
    return (client or node.client).execute_command("RG.CONSUMER", word, library, name, *more)


def info(node, stream=None, name="consumer", library="lib", client=None):
    """RG.CONSUMER INFO, of the consumer or of a stream of it."""
    more = () if stream is None else ("STREAM", stream)
    return fields(command(node, "INFO", *more, name=name, library=library, client=client))


def wait_info(node, stream=None, name="consumer", **expected):
    """Waits until RG.CONSUMER INFO shows these fields."""

    def shown():
        try:
            found = info(node, stream, name)
        except ResponseError as error:
            # An entry of a new stream may be on its way.
            return str(error)
        return {field: found.get(field) for field in expected}

    node.wait(lambda: shown() == expected, lambda: (shown(), expected))


def attempts_of_pending(node, stream="stream"):
    """How often what is pending was attempted without success."""
    shown = info(node, stream)["attempts_of_pending"]
    return [int(one) for one in (shown if isinstance(shown, list) else [shown])]


def dead_letters(node, stream="dead", client=None):
    """The entries of a stream as they are: pairs of an ID and a list of pairs, whose names may repeat."""
    script = "return redis.call('XRANGE', KEYS[1], '-', '+')"
    found = (client or node.client).execute_command("EVAL", script, 1, stream)
    return [(entry, list(zip(flat[::2], flat[1::2], strict=True))) for entry, flat in found]


def wait_dead_letters(node, *expected, stream="dead"):
    """Waits for a dead letter for each of these values, gives them, and asserts that there are no others."""
    node.wait(lambda: len(dead_letters(node, stream)) >= len(expected), lambda: dead_letters(node, stream))
    found = dead_letters(node, stream)
    assert [pairs[-1] for _, pairs in found] == [("n", str(one)) for one in expected]
    return [dict(pairs[:8]) for _, pairs in found]
