"""What is asked of a server for a check: libraries, streams, effects."""

from pathlib import Path

from fleet import OWNER
from verdict import NO_ID, Seen

LIBRARIES = Path(__file__).resolve().parent / "libraries"
CONFIG = '{"window":10}'
# Fields of LIST that have to be the same after a restart.
LASTING = ("engine", "configuration", "user", "functions", "code")
LASTING_OF_CONSUMERS = ("name", "prefix", "window", "trim")
SCAN_COUNT = 1000


def fx(stream):
    """The hash with the effects of a stream's entries."""
    return f"fx:{stream}"


def load(node, name):
    """Loads a library; the one that is configured belongs to a user of its own."""
    code = (LIBRARIES / f"{name}.js").read_text()
    if name == "far":
        with node.connect(username=OWNER, password="any") as client:
            client.execute_command("RG.FUNCTION", "LOAD", "CONFIG", CONFIG, code)
    else:
        node.client.execute_command("RG.FUNCTION", "LOAD", code)


def libraries(client):
    """By name, what must never change of the libraries."""
    found = {}
    for library in map(_fields, client.execute_command("RG.FUNCTION", "LIST", "vvv", "WITHCODE")):
        lasting = {field: library.get(field) for field in LASTING}
        lasting["consumers"] = [
            {field: consumer[field] for field in LASTING_OF_CONSUMERS}
            for consumer in map(_fields, library["stream_consumers"])
        ]
        found[library["name"]] = lasting
    return found


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


def ends(client, names):
    """For each stream its last ID, and how many entries were ever added to it."""
    found = {}
    for name, info in zip(names, _pipeline(client, "xinfo_stream", names), strict=True):
        gone = isinstance(info, Exception)
        if gone and "no such key" not in str(info):
            raise info
        found[name] = (NO_ID, 0) if gone else (info["last-generated-id"], info["entries-added"])
    return found


def lengths(client, kinds):
    """For each stream, given with its kind: the kind, how many entries there are, and how many effects."""
    entries = _pipeline(client, "xlen", kinds)
    effects = _pipeline(client, "hlen", map(fx, kinds))
    return {name: (kinds[name], *both) for name, *both in zip(kinds, entries, effects, strict=True)}


def seen(client, ends_found, acknowledged, handed):
    """What there is to see of each stream, once everything is at rest."""
    found = {}
    for name, (last, added) in ends_found.items():
        entries = [entry for entry, _ in client.xrange(name)]
        effects = {entry: int(count) for entry, count in client.hgetall(fx(name)).items()}
        found[name] = Seen(last, added, entries, effects, acknowledged.get(name, []), handed.get(name, []))
    return found


def delete_others(client, names, prefixes):
    """Deletes streams of the consumers that are none of these, and their effects."""
    wanted = {*names, *map(fx, names)}
    begins = (*prefixes, *map(fx, prefixes))
    others = [key for key in client.scan_iter(count=SCAN_COUNT) if key.startswith(begins) and key not in wanted]
    if others:
        client.delete(*others)


def _pipeline(client, method, names):
    pipeline = client.pipeline(transaction=False)
    for name in names:
        getattr(pipeline, method)(name)
    return pipeline.execute(raise_on_error=False)


def _fields(flat):
    return dict(zip(flat[::2], flat[1::2], strict=True))
