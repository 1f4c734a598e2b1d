"""What must hold when everything is at rest."""

import contextlib
import time

import redis

from fuzz.scene import Finding
from testing.logs import BAD_LOG
from testing.pending import pending
from testing.replies import fields

REST = 25
QUIET = {
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "min-replicas-to-write": "0",
    "redisgears_2.lock-redis-timeout": "500",
    "redisgears_2.background-timeout": "2000",
    "redisgears_2.trigger-queue-length": "100000",
    "redisgears_2.trigger-queue-memory": "67108864",
    "redisgears_2.max-executions": "20",
    "redisgears_2.v8-maxmemory": str(2 << 30),
}


def come_to_rest(scene):
    """Ends producers, pauses, refusals and roles, and waits until nothing is to be done; `Finding` if that does not come,
    or if the servers are not equal then."""
    scene.produce(False)
    scene.leave()
    _until(scene, "end pauses, refusals and roles", lambda: _quieten(scene))
    _until(scene, "let the servers follow and come to rest", lambda: _left(scene))
    check_logs(scene)


def clean(scene):
    """Deletes all libraries and data, so that the next round begins like the first."""

    def left():
        for name in [fields(one)["name"] for one in scene.primary.of().execute_command("RG.FUNCTION", "LIST")]:
            scene.primary.of().execute_command("RG.FUNCTION", "DEL", name)
        for name, _ in _kept_progress(scene.primary):
            scene.primary.of().execute_command("RG.FUNCTION", "DEL", name, "FORCE")
        scene.primary.of().flushall()
        scene.primary.of().execute_command("FUNCTION", "FLUSH")
        for node in scene.nodes:
            for one in map(fields, node.of().execute_command("RG.DUMPEXECUTIONS")):
                what = "RG.ABORTEXECUTION" if one["status"] == "running" else "RG.DROPEXECUTION"
                with contextlib.suppress(redis.ResponseError):
                    node.of().execute_command(what, one["executionId"])
        return _left(scene) or _kept(scene)

    _until(scene, "delete all", left)


def _kept(scene):
    """Isolates that are there though no library and no run is: something still holds them."""
    for node in scene.nodes:
        if count := fields(node.of().execute_command("RG.FUNCTION", "DEBUG", "js", "isolates_stats"))["active"]:
            return [f"{node.directory.name}: {count} isolates of libraries or runs that are gone"]
    return []


def check_logs(scene):
    """`Finding` for a line of a log that tells of a fault of ours or a crash."""
    for node in scene.nodes:
        with node.log.open("rb") as file:
            file.seek(node.mark)
            new = file.read()
        node.mark += len(new)
        if found := [line for line in new.decode("utf-8", "backslashreplace").splitlines() if BAD_LOG.search(line)]:
            raise Finding("the log says: " + "\n".join(found[:5]))


def _until(scene, what, left):
    end = time.monotonic() + REST
    while True:
        scene.check_alive()
        try:
            found = left()
        except (redis.ConnectionError, redis.exceptions.BusyLoadingError, redis.ResponseError) as error:
            found = [f"{type(error).__name__}: {error}"]
        if not found:
            return
        if time.monotonic() > end:
            raise Finding(f"could not {what} within {REST} s: {found}")
        time.sleep(0.02)


def _quieten(scene):
    for node in scene.nodes:
        node.of().execute_command("CLIENT", "UNPAUSE")
        for name, value in QUIET.items():
            node.of().execute_command("CONFIG", "SET", name, value)
    scene.set_user()
    if scene.primary.of().info("replication")["role"] != "master":
        scene.primary.of().execute_command("REPLICAOF", "NO", "ONE")
    following = scene.replica.of().info("replication")
    if following["role"] != "slave" or following["master_port"] != scene.primary.port:
        scene.replica.of().execute_command("REPLICAOF", "127.0.0.1", scene.primary.port)
    if following.get("master_link_status") != "up":
        return ["the replica has no link"]
    _resume(scene)
    return []


def _resume(scene):
    for library in map(fields, scene.primary.of().execute_command("RG.FUNCTION", "LIST", "vv")):
        for consumer in map(fields, library["stream_consumers"]):
            name = (library["name"], consumer["name"])
            if consumer.get("state") == "paused":
                scene.primary.of().execute_command("RG.CONSUMER", "RESUME", *name)
            for stream in map(fields, consumer["streams"]):
                if stream.get("state") == "paused":
                    client = scene.primary.of(stream.get("db", 0))
                    client.execute_command("RG.CONSUMER", "RESUME", *name, "STREAM", stream["name"])


def _left(scene):
    """What is still to be done, in words; cheap questions first."""
    for node in scene.nodes:
        persistence = node.of().info("persistence")
        if persistence["rdb_bgsave_in_progress"] or persistence["aof_rewrite_in_progress"]:
            return ["a file is being written"]
        if left := pending(node):
            return [f"{node.directory.name}: {one}" for one in left]
    if any(database.get("expires") for node in scene.nodes for database in node.of().info("keyspace").values()):
        return ["keys are to expire"]
    if left := _standing(scene.primary):
        return left
    offsets = [_offset(scene.primary), scene.replica.of().info("replication").get("slave_repl_offset")]
    if len(set(offsets)) > 1:
        return [f"the replica is behind: {offsets}"]
    digests = [node.of().execute_command("DEBUG", "DIGEST") for node in scene.nodes]
    if len(set(digests)) > 1:
        return [f"the data differ: {digests}, {_different(scene)}"]
    places = [_places(node) for node in scene.nodes]
    if places[0] != places[1]:
        differ = [(key, *(one.get(key) for one in places)) for key in {*places[0], *places[1]} if places[0].get(key) != places[1].get(key)]
        return [f"places differ, primary and replica: {sorted(differ)[:3]}"]
    kept = [_kept_progress(node) for node in scene.nodes]
    if kept[0] != kept[1]:
        return [f"what is kept of deleted libraries differs, primary and replica: {kept}"]
    return [] if offsets[0] == _offset(scene.primary) else ["something is written"]


def _offset(node):
    return node.of().info("replication")["master_repl_offset"]


def _different(scene):
    for db in (0, 1):
        keys = [set(node.of(db).keys("*")) for node in scene.nodes]
        if keys[0] != keys[1]:
            return f"db {db}: only there {keys[0] - keys[1]}, only here {keys[1] - keys[0]}"
        for key in sorted(keys[0]):
            values = [node.of(db).execute_command("DEBUG", "DIGEST-VALUE", key) for node in scene.nodes]
            if values[0] != values[1]:
                return f"db {db}, key {key}"
    return "no key"


def _streams(node):
    for library in map(fields, node.of().execute_command("RG.FUNCTION", "LIST", "vvv")):
        for consumer in map(fields, library["stream_consumers"]):
            for stream in map(fields, consumer["streams"]):
                yield library["name"], consumer, stream


def _places(node):
    """Where each consumer is in each stream, but for those in which it is where it begins: a replica need not know them."""
    return {
        (library, consumer["name"], stream.get("db", 0), stream["name"]): (stream["id_to_read_from"], stream["pending_ids"])
        for library, consumer, stream in _streams(node)
        if stream["id_to_read_from"] not in ("None", _beginning(consumer))
    }


def _kept_progress(node):
    """The libraries of which progress is kept, and whose it is."""
    kept = map(fields, node.of().execute_command("RG.CONSUMER", "KEPT"))
    return [(one["library"], [fields(consumer)["name"] for consumer in one["consumers"]]) for one in kept]


def _beginning(consumer):
    """The ID before the one that its option ``start`` names."""
    options = fields(consumer["options"]) if consumer.get("options") else {}
    time, _, number = str(options.get("start", "")).partition("-")
    return f"{time}-{int(number) - 1}" if number else None


def _standing(node):
    """Entries that nobody takes though their consumer runs; of consumers of which each entry shows in LIST."""
    for library, consumer, stream in _streams(node):
        options = fields(consumer["options"]) if consumer.get("options") else {}
        running = {consumer.get("state", "running"), stream.get("state", "running")} == {"running"}
        at = stream["id_to_read_from"]
        if not running or at == "None" or {"filter", "batch", "start"} & set(options):
            continue
        client = node.of(stream.get("db", 0))
        with contextlib.suppress(redis.ResponseError):
            if behind := client.execute_command("XRANGE", stream["name"], f"({at}", "+", "COUNT", 1):
                return [f"{library}.{consumer['name']} stands still in {stream['name']} at {at}, before {behind[0][0]}"]
    return []
