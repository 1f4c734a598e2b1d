"""What is asked of a server for a check: libraries, streams, keys, effects."""

from collections import defaultdict
from pathlib import Path

import redis

from chaos.fleet import OWNER
from chaos.verdict import KINDS, LIBRARY, NO_ID, Seen, dead_letters_of, kind_of

LIBRARIES = Path(__file__).resolve().parent / "libraries"
CONFIG = '{"window":10}'
# Fields of LIST that have to be the same after a restart.
LASTING = ("engine", "configuration", "user", "functions", "code")
LASTING_OF_CONSUMERS = ("name", "prefix", "window", "trim", "options")
LASTING_OF_TRIGGERS = ("name", "prefix", "mode", "event_types", "key_types")
# The stream of what a trigger hands on.
HANDED_ON = "behind"
SCAN_COUNT = 1000


def fx(stream):
    """The hash with the effects of a stream's entries."""
    return f"fx:{stream}"


def tries(stream):
    """The hash with the attempts that were begun with a stream's entries."""
    return f"at:{stream}"


def row(stream):
    """The list of entries whose effects were written, in this order."""
    return f"ord:{stream}"


# All that there is of a stream.
KEYS = (str, fx, tries, row)


def load(node, name):
    """Loads a library; but for one they belong to a user of their own, one of those is configured, and one is a script
    that registers something."""
    code = (LIBRARIES / f"{name}.js").read_text()
    configured = ("CONFIG", CONFIG) if name == "far" else ()
    words = ("RG.JSEXECUTE", code) if name == "gears" else ("RG.FUNCTION", "LOAD", *configured, code)
    if name == "near":
        node.client.execute_command(*words)
    else:
        with node.connect(username=OWNER, password="any") as client:
            client.execute_command(*words)


def libraries(client):
    """By name, what must never change of the libraries."""
    found = {}
    for library in map(_fields, client.execute_command("RG.FUNCTION", "LIST", "vvv", "WITHCODE")):
        lasting = {field: library.get(field) for field in LASTING}
        lasting["consumers"] = [
            {field: consumer.get(field) for field in LASTING_OF_CONSUMERS}
            for consumer in map(_fields, library["stream_consumers"])
        ]
        lasting["triggers"] = [
            {field: trigger.get(field) for field in LASTING_OF_TRIGGERS}
            for trigger in map(_fields, library["notifications_consumers"])
        ]
        found[library["name"]] = lasting
    return found


def triggers(client):
    """How often each trigger was called in this life."""
    return {
        trigger["name"]: trigger["num_triggered"]
        for library in map(_fields, client.execute_command("RG.FUNCTION", "LIST", "v"))
        for trigger in map(_fields, library["notifications_consumers"])
    }


def streams(client):
    """The streams that LIST shows, of all consumers of all libraries, and how many jobs are pending."""
    found = list(map(_fields, client.execute_command("RG.FUNCTION", "LIST", "vvv")))
    shown = [
        _fields(stream)
        for library in found
        for consumer in map(_fields, library["stream_consumers"])
        for stream in consumer["streams"]
    ]
    return shown, sum(library["pending_jobs"] for library in found)


def numbers(client, names):
    """For each key the number that it was set to last."""
    return {name: int(number or 0) for name, number in zip(names, _pipeline(client, "get", names), strict=True)}


def handed_on(client):
    """What a trigger has handed on and is not done yet, as text."""
    count = client.xlen(HANDED_ON)
    return [f"{HANDED_ON} has {count} entries"] if count else []


def ends(client, names):
    """For each stream its last ID, and how many entries were ever added to it; for each key the like."""
    keys = [name for name in names if kind_of(name).at_once]
    found = {name: (f"{number}-0", number) for name, number in numbers(client, keys).items()}
    names = [name for name in names if name not in found]
    for name, info in zip(names, _pipeline(client, "xinfo_stream", names), strict=True):
        gone = isinstance(info, Exception)
        if gone and "no such key" not in str(info):
            raise info
        found[name] = (NO_ID, 0) if gone else (info["last-generated-id"], info["entries-added"])
    return found


def lengths(client, kinds):
    """For each stream, given with its kind: the kind, how many entries there are, and how many of them came to an end:
    have an effect, or a dead letter."""
    entries = _pipeline(client, "xlen", kinds)
    effects = _pipeline(client, "hlen", map(fx, kinds))
    given_up = letters(client)
    return {
        name: (kinds[name], there, effected + len({letter["id"] for letter in given_up.get(name, ())}))
        for name, there, effected in zip(kinds, entries, effects, strict=True)
    }


def unfinished(client, names):
    """For each stream, entries that were tried and have no effect."""
    tried, effected = (_pipeline(client, "hkeys", map(key, names)) for key in (tries, fx))
    return {name: set(begun) - set(done) for name, begun, done in zip(names, tried, effected, strict=True)}


def command(client, stream):
    """What the stream's consumer needs now and then; not before the stream is there."""
    kind = kind_of(stream)
    try:
        client.execute_command("RG.CONSUMER", kind.command, LIBRARY, kind.name, "STREAM", stream)
    except redis.ResponseError as error:
        if "knows no stream" not in str(error):
            raise


def letters(client):
    """By stream, the dead letters of its entries: their fields, their own IDs, and the streams that they are in."""
    to = [dead_letters_of(kind) for kind in KINDS.values() if kind.bad]
    found = defaultdict(list)
    for name, entries in zip(to, _pipeline(client, "xrange", to), strict=True):
        for entry, fields in entries:
            found[fields.get("stream", "")].append({**fields, "letter": entry, "to": name})
    return found


def seen(client, ends_found, acknowledged, handed, killed):
    """What there is to see of each stream, once everything is at rest."""
    names, given_up = list(ends_found), letters(client)
    streams = [name for name in names if not kind_of(name).at_once]
    entries = dict(zip(streams, _pipeline(client, "xrange", streams), strict=True))
    # What a key was set to, up to now.
    entries |= {
        name: [(f"{number}-0", {}) for number in range(1, ends_found[name][1] + 1)]
        for name in names
        if name not in entries
    }
    rows = _pipeline(client, "lrange", map(row, names), 0, -1)
    effects, attempts = (map(_counts, _pipeline(client, "hgetall", map(key, names))) for key in (fx, tries))
    return {
        name: Seen(
            *ends_found[name], [entry for entry, _ in entries[name]], effected,
            acknowledged.get(name, []), handed.get(name, []),
            dict(entries[name]), tried, in_order, given_up.get(name, []), killed,
        )
        for name, effected, tried, in_order in zip(names, effects, attempts, rows, strict=True)
    }  # fmt: skip


def _counts(found):
    return {entry: int(count) for entry, count in found.items()}


def delete_others(client, names, prefixes):
    """Deletes streams of the consumers that are none of these, their effects, and their dead letters."""
    wanted = {key(name) for name in names for key in KEYS}
    begins = tuple(key(prefix) for prefix in prefixes for key in KEYS)
    others = [key for key in client.scan_iter(count=SCAN_COUNT) if key.startswith(begins) and key not in wanted]
    if others:
        client.delete(*others)
    for stream in (given_up := letters(client)).keys() - names:
        for letter in given_up[stream]:
            client.xdel(letter["to"], letter["letter"])


def _pipeline(client, method, names, *more):
    pipeline = client.pipeline(transaction=False)
    for name in names:
        getattr(pipeline, method)(name, *more)
    return pipeline.execute(raise_on_error=False)


def _fields(flat):
    return dict(zip(flat[::2], flat[1::2], strict=True))
