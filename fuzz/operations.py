"""Random operations, as a list made from a seed before the first of them is done. So a list can be kept, done again, and
made shorter.

An operation is a dict that JSON can hold. `kind` names it in the counts; `do` says how it is carried out (scene.py):

    command   words on the primary, in database `db`; on the replica with `at`
    multi     several commands as one transaction
    leave     words on a connection of its own that is closed `after` so many milliseconds, before the answer or behind it
    listen    words on a connection of its own that stays open till the next rest
    pick      a command about one of what there is: `what` lists it, `number` chooses
    reload    a DEBUG command that loads the data anew, where the server can do that
    restore   a key is dumped and restored under another name
    roles     the replica becomes primary and the other its replica; or both are primaries for a while
    wait      nothing for some milliseconds
"""

import json
import random as chance

from fuzz.libraries import CALLED, RUNS, gears, library

LIBRARIES = ("l0", "l1", "l2", "l3")
STREAMS = ("s:1", "s:2", "s:3", "s", "t:1")
KEYS = ("k:1", "k:2", "k:3", "k")
ANY = (*STREAMS, *KEYS)
DATABASES = (0, 0, 0, 1)
USER = "fuzz"


def generate(seed, count):
    """So many operations of that seed. The same seed gives the same ones."""
    random = chance.Random(seed)
    makers, weights = zip(*KINDS.values(), strict=True)
    names = list(KINDS)
    operations = [load(random, name) for name in random.sample(LIBRARIES, 2)]
    for at in random.choices(range(len(names)), weights, k=count):
        operations.append({"db": random.choice(DATABASES)} | makers[at](random) | {"kind": names[at]})
    return operations


def command(*words, **more):
    """One command."""
    return {"do": "command", "words": [str(word) for word in words], **more}


def load(random, name=None, *options):
    """LOAD of a library."""
    name = name or random.choice(LIBRARIES)
    config = ("CONFIG", json.dumps({"v": random.randrange(9)})) if random.random() < 0.2 else ()
    as_user = {"user": USER} if random.random() < 0.3 else {}
    words = command("RG.FUNCTION", "LOAD", *options, *config, library(random, name), **as_user)
    return {"kind": "load", "db": 0} | words


def _add(random):
    fields = ["n", random.randrange(12)] + (["bad", random.choice((0, 1))] if random.random() < 0.2 else [])
    return command("XADD", random.choice(STREAMS), "*", *fields)


def _adds(random):
    return {"do": "multi", "commands": [_add(random)["words"] for _ in range(random.choice((2, 10, 50)))]}


def _key(random):
    key = random.choice(KEYS)
    return command(*random.choice((
        ("SET", key, random.randrange(9)), ("HSET", f"{key}:h", "f", "v"), ("RPUSH", f"{key}:l", "v"), ("GET", "k:nosuch"),
        ("APPEND", key, "x"), ("SADD", f"{key}:s", random.randrange(99)), ("ZADD", f"{key}:z", 1, "m"),
    )))  # fmt: skip


def _consumer(random, *words):
    name = random.choice(("c0", "c1", "c2"))
    stream = ("STREAM", random.choice(STREAMS))
    if words[0] in {"PAUSE", "RESUME", "REDRIVE", "LETTERS", "DROP"} and random.random() < 0.5:
        stream = ()
    return command("RG.CONSUMER", words[0], random.choice(LIBRARIES), name, *stream, *words[1:])


def _call(random):
    library, function = random.choice(LIBRARIES), random.choice(CALLED)
    return ["RG.FCALL", library, function, "1", random.choice(STREAMS), "argument"]


def _leave(random, words):
    return {"do": "leave", "words": words, "after": random.choice((0, 0, 1, 5, 50))}


def _multi(random):
    commands = [_call(random) for _ in range(2)] + [_add(random)["words"], _key(random)["words"]]
    random.shuffle(commands)
    return {"do": "multi", "commands": commands}


def _script(random):
    body = random.choice((
        "redis.call('XADD', KEYS[1], '*', 'n', '1'); redis.call('SET', 'k:1', '1'); return 1",
        "for i = 1, 20 do redis.call('XADD', KEYS[1], '*', 'n', i) end",
        "redis.call('DEL', KEYS[1]); redis.call('XADD', KEYS[1], '1-1', 'n', '1')",
        "return redis.pcall('RG.FCALL', 'l0', 'sync', 0)",
        "redis.call('RENAME', KEYS[1], 's:2')",
    ))  # fmt: skip
    return command("EVAL", body, 1, random.choice(STREAMS))


def _server_function(random):
    if random.random() < 0.5:
        code = "#!lua name=lua\nredis.register_function('add', function(k) return redis.call('XADD', k[1], '*', 'n', '1') end)"
        return command("FUNCTION", "LOAD", "REPLACE", code)
    return command("FCALL", "add", 1, random.choice(STREAMS))


def _listen(random):
    return {"do": "listen", "commands": random.choice((
        [["CLIENT", "TRACKING", "ON"], ["GET", "k:counter"], ["GET", "k:1"]],
        [["CLIENT", "TRACKING", "ON", "BCAST"]],
        [["MONITOR"]],
        [["SUBSCRIBE", "channel"]],
        [["HELLO", "3"], ["SUBSCRIBE", "channel"], _call(random)],
        [["PSUBSCRIBE", "__key*"]],
        [["BLPOP", "nosuch", "0"]],
        [["XREAD", "BLOCK", "0", "STREAMS", "s:1", "$"]],
    ))}  # fmt: skip


def _acl(random):
    return command("ACL", "SETUSER", USER, *random.choice((
        ("on", "nopass", "~*", "&*", "+@all"), ("-@write",), ("off",), ("resetkeys", "~k:*"), ("-xtrim", "-xread"),
        ("+@all", "~*", "on"),
    )))  # fmt: skip


def _limit(random):
    return command("CONFIG", "SET", *random.choice((
        ("maxmemory", 1), ("maxmemory", 0), ("maxmemory-policy", "allkeys-lru"), ("maxmemory-policy", "noeviction"),
        ("min-replicas-to-write", 3), ("min-replicas-to-write", 0), ("maxmemory", 0), ("min-replicas-to-write", 0),
    )))  # fmt: skip


def _setting(random):
    name, value = random.choice((
        ("lock-redis-timeout", random.choice((200, 500))), ("background-timeout", random.choice((500, 2000))),
        ("error-verbosity", random.choice((1, 2))), ("trigger-queue-length", random.choice((1, 10, 100000))),
        ("trigger-queue-memory", random.choice((65536, 67108864))), ("max-executions", random.choice((0, 5, 20))),
        ("library-fatal-failure-policy", "abort"), ("v8-maxmemory", random.choice((1 << 30, 2 << 30))),
    ))  # fmt: skip
    return command("CONFIG", "SET", f"redisgears_2.{name}", value)


def _group(random):
    stream = random.choice(STREAMS)
    return command(*random.choice((
        ("XGROUP", "CREATE", stream, "g", "0", "MKSTREAM"), ("XGROUP", "DESTROY", stream, "g"),
        ("XREADGROUP", "GROUP", "g", "me", "COUNT", 5, "STREAMS", stream, ">"), ("XGROUP", "SETID", stream, "g", "$"),
    )))  # fmt: skip


def _overwrite(random):
    key = random.choice(STREAMS)
    return command(*random.choice((("SET", key, "text"), ("SINTERSTORE", key, "nosuch"), ("SET", key, "text", "PX", 5))))


def _run(random):
    script = random.choice(RUNS)
    unblocking = ["UNBLOCKING"]
    return _leave(random, ["RG.JSEXECUTE", script, *(unblocking if random.random() < 0.5 else [])])


def _register(random):
    return command("RG.JSEXECUTE", gears(random), "ID", random.choice(("r0", "r1")), "UPGRADE")


def _two(random, *words):
    one, other = random.sample(ANY, 2)
    return command(words[0], one, other, *words[1:])


def _on_any(*words):
    return lambda random: command(words[0], random.choice(ANY), *words[1:])


def _on_stream(*words):
    return lambda random: command(words[0], random.choice(STREAMS), *words[1:])


def _plain(*words, **more):
    return lambda _random: command(*words, **more)


# The name of each kind, what makes one, and how often it comes.
KINDS = {
    "load": (load, 6),
    "upgrade": (lambda random: load(random, None, "UPGRADE"), 8),
    "upgrade broken": (lambda r: command("RG.FUNCTION", "LOAD", "UPGRADE", f"#!js name={r.choice(LIBRARIES)}\nthrow 1"), 1),
    "delete": (lambda random: command("RG.FUNCTION", "DEL", random.choice(LIBRARIES)), 3),
    "delete but for its progress": (lambda r: command("RG.FUNCTION", "DEL", r.choice(LIBRARIES), "KEEPPROGRESS"), 3),
    "delete what is kept": (lambda r: command("RG.FUNCTION", "DEL", r.choice(LIBRARIES), "FORCE"), 1),
    "add": (_add, 40),
    "add many": (_adds, 12),
    "key": (_key, 25),
    "pause": (lambda random: _consumer(random, "PAUSE"), 5),
    "resume": (lambda random: _consumer(random, "RESUME"), 6),
    "seek": (lambda r: _consumer(r, "SEEK", r.choice(("earliest", "latest", "0-1", "1-1"))), 4),
    "retry now": (lambda random: _consumer(random, "RETRY"), 4),
    "redrive": (lambda random: _consumer(random, "REDRIVE", "COUNT", "10"), 5),
    "redrive some": (lambda r: _consumer(r, "REDRIVE", *r.choice((("ERROR", "*e*"), ("FROM", "1-1"), ("ID", "1-1", "2-1")))), 2),
    "letters": (lambda random: _consumer(random, "LETTERS", "ERROR", "*e*", "COUNT", "3"), 2),
    "drop": (lambda r: _consumer(r, "DROP", *r.choice((("ALL", "COUNT", "2"), ("ERROR", "*e*")))), 1),
    "skip": (lambda r: _consumer(r, "SKIP", r.choice(("1-1", "1-2", "2-1"))), 2),
    "consumer info": (lambda random: _consumer(random, "INFO"), 2),
    "unregister": (lambda r: {"do": "pick", "what": "registration", "words": ["RG.UNREGISTER"], "number": r.randrange(99)}, 3),
    "pause registration": (
        lambda r: {"do": "pick", "what": "registration", "words": ["RG.PAUSEREGISTRATIONS"], "number": r.randrange(99)}, 2),
    "resume registration": (
        lambda r: {"do": "pick", "what": "registration", "words": ["RG.UNPAUSEREGISTRATIONS"], "number": r.randrange(99)}, 2),
    "clear figures": (_plain("RG.CLEARREGISTRATIONSSTATS"), 1),
    "rename": (lambda random: _two(random, "RENAME"), 5),
    "copy": (lambda random: _two(random, "COPY", "REPLACE"), 4),
    "copy to database": (lambda r: command("COPY", r.choice(ANY), r.choice(ANY), "DB", r.randrange(2), "REPLACE"), 3),
    "move": (_on_any("MOVE", 1), 4),
    "swap databases": (_plain("SWAPDB", 0, 1), 4),
    "expire": (_on_any("PEXPIRE", 5), 6),
    "expire later": (_on_any("PEXPIRE", 40), 3),
    "trim": (_on_stream("XTRIM", "MAXLEN", 3), 4),
    "trim by id": (_on_stream("XTRIM", "MINID", "1-1"), 2),
    "delete entry": (
        lambda r: {"do": "pick", "what": "entry", "words": ["XDEL", r.choice(STREAMS)], "number": r.randrange(99)}, 6),
    "set id": (_on_stream("XSETID", "9999999999999-0"), 1),
    "set id low": (_on_stream("XSETID", "5-0"), 2),
    "add low": (_on_stream("XADD", "1-*", "n", "1"), 3),
    "group": (_group, 5),
    "del": (_on_any("DEL"), 5),
    "unlink": (_on_any("UNLINK"), 4),
    "overwrite": (_overwrite, 4),
    "restore": (lambda r: {"do": "restore", "words": [r.choice(ANY), r.choice(ANY)]}, 4),
    "flush database": (_plain("FLUSHDB"), 2),
    "flush all": (lambda random: command("FLUSHALL", random.choice(("SYNC", "ASYNC"))), 1),
    "reload": (lambda _random: {"do": "reload", "words": ["DEBUG", "RELOAD"]}, 1),
    "load append-only file": (lambda _random: {"do": "reload", "words": ["DEBUG", "LOADAOF"]}, 1),
    "save": (_plain("BGSAVE"), 2),
    "rewrite": (_plain("BGREWRITEAOF"), 2),
    "pause clients": (lambda r: command("CLIENT", "PAUSE", r.choice((5, 50)), r.choice(("WRITE", "ALL"))), 2),
    "kill clients": (lambda r: command("CLIENT", "KILL", "TYPE", r.choice(("normal", "pubsub", "replica")), "SKIPME", "no"), 2),
    "rights": (_acl, 5),
    "roles": (lambda random: {"do": "roles", "how": random.choice(("swap", "apart"))}, 1),
    "replica reads": (lambda random: _on_any("GET")(random) | {"at": "replica"}, 2),
    "replica refuses": (lambda random: load(random) | {"at": "replica"}, 1),
    "script": (_script, 5),
    "server function": (_server_function, 4),
    "transaction": (_multi, 5),
    "limit": (_limit, 4),
    "setting": (_setting, 4),
    "call": (lambda random: _leave(random, _call(random)) | {"after": 100}, 14),
    "caller leaves": (lambda random: _leave(random, _call(random)), 10),
    "loop": (lambda r: _leave(r, ["RG.FCALL", r.choice(LIBRARIES), "loops", "0"]), 0.3),
    "listen": (_listen, 5),
    "run": (_run, 8),
    "register": (_register, 3),
    "abort run": (lambda r: {"do": "pick", "what": "run", "words": ["RG.ABORTEXECUTION"], "number": r.randrange(99)}, 4),
    "drop run": (lambda r: {"do": "pick", "what": "run", "words": ["RG.DROPEXECUTION"], "number": r.randrange(99)}, 2),
    "results": (lambda r: {"do": "pick", "what": "run", "words": ["RG.GETRESULTS"], "number": r.randrange(99)}, 2),
    "list": (_plain("RG.FUNCTION", "LIST", "vvv", "WITHCODE"), 3),
    "registrations": (_plain("RG.DUMPREGISTRATIONS"), 2),
    "info": (_plain("INFO", "redisgears_2"), 2),
    "notify": (_plain("CONFIG", "SET", "notify-keyspace-events", "KEA"), 1),
    "wait": (lambda random: {"do": "wait", "after": random.choice((1, 5, 20, 60))}, 12),
}
