"""What the tests of rights share: ways in which a function runs a command, and code in two steps."""

import re

from redis import RedisError

from testing.users import is_denied, text_of

# Each gives the reply, or fails with the error of the server.
WAYS = {
    "sync": "(client, ...words) => client.call(...words)",
    "raw": "(client, ...words) => client.call_raw(...words)",
    "async": "async (client, ...words) => client.block(inside => inside.call(...words))",
    "after await": "async (client, ...words) => { await null; return client.block(inside => inside.call(...words)); }",
    "background": "(client, ...words) => client.run_on_background("
    "async background => background.block(inside => inside.call(...words)))",
    "background of block": "async (client, ...words) => client.block(inside => inside.run_on_background("
    "async background => background.block(again => again.call(...words))))",
}

# A function in two steps: `later` waits until `go` is called with its name, and then runs its command. What came of
# it is for `outcome`: whoever waits may be disconnected by then.
STEPS = """
const waiting = new Map();
const outcomes = new Map();
const run_later = async (client, name, ...words) => {
    await new Promise(resolve => waiting.set(name, resolve));
    try {
        const reply = client.block(inside => inside.call(...words));
        outcomes.set(name, 'done');
        return reply;
    } catch (error) {
        outcomes.set(name, String(error));
        throw error;
    }
};
redis.register_function('later', run_later);
redis.register_function('begin', (client, ...words) => {
    client.run_on_background(async background => run_later(background, ...words)).catch(() => {});
    return 'begun';
});
redis.register_function('go', (client, name) => {
    if (!waiting.has(name)) return false;
    waiting.get(name)();
    return true;
});
redis.register_function('waits', (client, name) => waiting.has(name));
redis.register_function('outcome', (client, name) => outcomes.get(name));
"""
FUNCTIONS = [f"redis.register_function('{name}', {code});" for name, code in WAYS.items()]


def fill(server):
    """The data, and no other: keys of several owners with the value 1."""
    server.run("FLUSHALL")
    server.run("MSET", *(word for key in ("mine:1", "ro:1", "wo:1", "other:1") for word in (key, "1")))
    server.run("RPUSH", "mine:list", "1")


def call(client, function, *words, keys=(), library="lib"):
    """Calls a function."""
    return client.execute_command("RG.FCALL", library, function, len(keys), *keys, *words)


def outcome(run):
    """"ok", "denied", or the text of another error."""
    try:
        run()
    except RedisError as error:
        return "denied" if is_denied(text_of(error)) else str(error)
    return "ok"


# Rights, and commands with what comes of them.
RIGHTS = {
    "a command denied": (
        ["+@all", "-set", "~*"],
        {"SET mine:1 2": "denied", "GET mine:1": "ok", "APPEND mine:1 x": "ok"},
    ),
    "a category denied": (
        ["+@all", "-@write", "+rg.fcall", "~*"],
        {"SET mine:1 2": "denied", "XADD mine:s * f v": "denied", "GET mine:1": "ok"},
    ),
    "a subcommand denied": (
        ["+@all", "-object|encoding", "~*"],
        {"OBJECT ENCODING mine:1": "denied", "OBJECT REFCOUNT mine:1": "ok"},
    ),
    "one subcommand allowed": (
        ["+object|encoding", "~*"],
        {"OBJECT ENCODING mine:1": "ok", "OBJECT REFCOUNT mine:1": "denied", "GET mine:1": "denied"},
    ),
    "nothing allowed": (["~*", "&*"], {"GET mine:1": "denied", "PING": "denied", "PUBLISH a b": "denied"}),
    "keys of others denied": (
        ["+@all", "~mine:*"],
        {
            "SET mine:1 2": "ok",
            "SET other:1 2": "denied",
            "GET other:1": "denied",
            "EXISTS other:1": "denied",
            "MSET mine:1 2 other:1 2": "denied",
            "MGET mine:1 other:1": "denied",
            "COPY mine:1 other:1": "denied",
            "COPY other:1 mine:2": "denied",
            "XREAD STREAMS mine:s other:s 0 0": "denied",
            "SORT mine:list BY other:*": "denied",
            "DEL mine:2 other:1": "denied",
        },
    ),
    "keys for reading": (
        ["+@all", "~mine:*", "%R~ro:*"],
        {
            "GET ro:1": "ok",
            "SET ro:1 2": "denied",
            "GETSET ro:1 2": "denied",
            "DEL ro:1": "denied",
            "EXPIRE ro:1 100": "denied",
            "COPY ro:1 mine:2 REPLACE": "ok",
            "COPY mine:1 ro:2": "denied",
        },
    ),
    "keys for writing": (
        ["+@all", "%W~wo:*"],
        {
            "SET wo:1 2": "ok",
            "APPEND wo:1 2": "ok",
            "GET wo:1": "denied",
            "SET wo:1 2 GET": "denied",
            "GETDEL wo:1": "denied",
            "INCR wo:1": "denied",
        },
    ),
    "channels": (
        ["+@all", "~*", "resetchannels", "&mine:*"],
        {"PUBLISH mine:1 x": "ok", "PUBLISH other:1 x": "denied", "SPUBLISH other:1 x": "denied"},
    ),
    "selectors": (
        ["+set", "~wo:*", "(+get ~ro:*)", "(+mget +mset %R~mine:*)"],
        {
            "SET wo:1 2": "ok",
            "GET wo:1": "denied",
            "GET ro:1": "ok",
            "SET ro:1 2": "denied",
            "MGET mine:1 mine:2": "ok",
            "MGET mine:1 ro:1": "denied",
            "MSET mine:1 2": "denied",
        },
    ),
}
# As a user with `rules`, directly and through a function.
COMPARED_RULES = {
    "some": ["+@all", "-flushall", "-config|get", "-debug", "~mine:*", "%R~ro:*", "%W~wo:*", "&mine:*"],
    "read": ["+@read", "+@connection", "~*"],
    "few": ["+ping", "+get", "+set|x", "~mine:*"],
    "all": ["+@all", "~*", "&*"],
}
COMPARED = """
PING|ECHO x|TIME|DBSIZE|KEYS *|SCAN 0|RANDOMKEY|FLUSHALL|FLUSHDB|INFO server|COMMAND COUNT|LASTSAVE|LOLWUT
GET mine:1|GET ro:1|GET wo:1|GET other:1|GET nothing|MGET mine:1 other:1|SET mine:1 1|SET ro:1 1|SET wo:1 1|SET other:1 1
SETRANGE wo:1 0 x|GETRANGE wo:1 0 1|STRLEN wo:1|STRLEN other:1|EXISTS wo:1|EXISTS other:1|TYPE other:1|TTL other:1
DEL other:1|UNLINK ro:1|TOUCH other:1|EXPIRE ro:1 100|PERSIST other:1|RENAME mine:1 ro:2|COPY ro:1 mine:2 REPLACE
OBJECT ENCODING mine:1|OBJECT FREQ other:1|MEMORY USAGE other:1|DUMP other:1|RESTORE other:2 0 x
LPUSH mine:l 1|LPUSH ro:l 1|LRANGE other:l 0 1|LMPOP 2 mine:l other:l LEFT|SADD mine:s 1|SINTERSTORE other:s mine:s mine:s
SINTERCARD 2 mine:s other:s|ZADD other:z 1 a|ZUNIONSTORE mine:z 2 mine:z other:z|HSET other:h f v|HGETALL other:h
PFADD other:p x|PFMERGE mine:p other:p|PFCOUNT other:p|GEOADD other:g 1 1 a|GEOSEARCHSTORE mine:g other:g FROMLONLAT 1 1 BYRADIUS 1 m
XADD other:x * f v|XADD mine:x * f v|XREAD STREAMS mine:x other:x 0 0|XRANGE other:x - +|XINFO STREAM other:x|XTRIM other:x MAXLEN 0
XGROUP CREATE other:x g 0|XREADGROUP GROUP g c STREAMS other:x >|SORT mine:list BY other:* GET other:*|SORT mine:list
PUBLISH mine:1 x|PUBLISH other:1 x|SPUBLISH other:1 x|PUBSUB CHANNELS|EVAL_RO x 1 other:1|GET|SET mine:1|NOSUCH x
CONFIG GET maxmemory|CONFIG SET maxmemory 0|ACL LIST|ACL SETUSER user +@all|CLIENT LIST|CLIENT ID|DEBUG SLEEP 0|MONITOR|SAVE
MODULE LIST|SCRIPT EXISTS x|FUNCTION LIST|EVAL x 0|FCALL x 0|RG.FUNCTION LIST|RG.FUNCTION DEL lib|RG.CONFIG GET error-verbosity
"""
NOT_FOR_SCRIPTS = re.compile("not allowed (on|from) script")


def direct_code(client, words):
    """What comes of a command: "ok", or the code of the error."""
    client.connection.send_command(*words)
    try:
        client.connection.read_response()
    except RedisError as error:
        return code_of(text_of(error))
    return "ok"


def code_of(text):
    """The code of an error; the client cuts off ERR, and 7.0 tells a script's lack of rights under that code."""
    if is_denied(text):
        return "NOPERM"
    code = text.split(" ")[0]
    return code if code in ("WRONGTYPE", "NOGROUP", "BUSYGROUP", "NOSCRIPT") else "ERR"


def waits(server, name):
    """Waits until a function waits as `later`, and leaves it there."""
    server.wait(lambda: call(server.client, "waits", name), f"{name} does not wait")


def go(server, name):
    """Lets a function that waits as `later` go on, as soon as it waits."""
    server.wait(lambda: call(server.client, "go", name), f"{name} does not wait")


def came_of(server, name):
    """What came of a function that ran as `later`."""
    return server.wait(lambda: call(server.client, "outcome", name), f"nothing came of {name}")
