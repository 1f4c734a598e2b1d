"""Whose rights a script has: in functions the caller's, in consumers those of whoever loaded the library; never more.

``LIBRARY`` runs a command, given as arguments, in each of the ways a function can. The texts of refusals differ
between servers, so they are told by ``is_denied``.
"""

import re

import pytest
from redis import ConnectionError as Disconnected
from redis import RedisError, ResponseError

from testing.libraries import consumer, library
from testing.replies import fields
from testing.users import NO_USER, PASSWORD, People, is_denied, text_of

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

# The error as the script sees it, with its code.
TRY = """
redis.register_function('try', (client, ...words) => {
    try { client.call_raw(...words); return 'ok'; } catch (error) { return String(error); }
});
redis.register_function('try async', async (client, ...words) => {
    try { client.block(inside => inside.call_raw(...words)); return 'ok'; } catch (error) { return String(error); }
});
"""

FUNCTIONS = [f"redis.register_function('{name}', {code});" for name, code in WAYS.items()]


def fill(server):
    """The data, and no other: keys of several owners with the value 1."""
    server.run("FLUSHALL")
    server.run("MSET", *(word for key in ("mine:1", "ro:1", "wo:1", "other:1") for word in (key, "1")))
    server.run("RPUSH", "mine:list", "1")


@pytest.fixture
def people(server):
    """Nobody but the default user to begin with, and the data of ``fill``."""
    names = [name for name in server.run("ACL", "USERS") if name != "default"]
    if names:
        server.run("ACL", "DELUSER", *names)
    server.run("ACL", "LOG", "RESET")
    fill(server)
    people = People(server)
    yield people
    people.close()


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


# --- functions -----------------------------------------------------------------------------------

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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rights", RIGHTS)
def test_a_function_may_what_its_caller_may(server, people, rights, way):
    rules, commands = RIGHTS[rights]
    server.load(*FUNCTIONS)
    user = people.make("user", *rules)
    for command, expected in commands.items():
        words = command.split()
        assert outcome(lambda words=words: user.execute_command(*words)) == expected, command
        assert outcome(lambda words=words: call(user, way, *words)) == expected, command
        # Whoever may more gets more from the same library.
        assert outcome(lambda words=words: call(server.client, way, *words)) == "ok", command


def test_a_refused_command_does_nothing_and_the_script_can_go_on(server, people):
    server.load(
        """
        redis.register_function('both', client => {
            try { client.call('SET', 'other:1', 'changed'); } catch (error) { return 'caught ' + error; }
        });
        redis.register_function('after', client => { client.call('SET', 'mine:1', 'new'); client.call('GET', 'other:1'); });
        """
    )
    user = people.make("user", "+@all", "~mine:*")
    assert re.match("caught .*", call(user, "both"))
    assert server.run("GET", "other:1") == "1"
    with pytest.raises(ResponseError):
        call(user, "after")
    assert server.run("GET", "mine:1") == "new"


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


@pytest.mark.parametrize("function", ["try", "try async"])
@pytest.mark.parametrize("rules", COMPARED_RULES)
def test_what_a_connection_of_the_user_refuses_a_function_refuses_as_well(server, people, rules, function):
    server.load(TRY)
    user = people.make("user", *COMPARED_RULES[rules])
    differences = []
    for line in COMPARED.strip().splitlines():
        for command in line.split("|"):
            words = command.split()
            fill(server)
            through = call(user, function, *words)
            if NOT_FOR_SCRIPTS.search(through):
                # For nobody's script, so nothing is gained by it.
                continue
            through = "ok" if through == "ok" else code_of(through)
            fill(server)
            direct = direct_code(user, words)
            if direct != through:
                differences.append((command, direct, through))
    assert differences == []


@pytest.mark.parametrize("way", WAYS)
def test_rights_count_that_the_caller_has_at_the_moment(server, people, way):
    server.load(*FUNCTIONS)
    user = people.make("user", "+set", "~mine:*")
    assert outcome(lambda: call(user, way, "SET", "mine:1", "2")) == "ok"
    people.change("user", "-set")
    assert outcome(lambda: call(user, way, "SET", "mine:1", "3")) == "denied"
    people.change("user", "+set", "resetkeys", "~other:*")
    assert outcome(lambda: call(user, way, "SET", "mine:1", "4")) == "denied"
    assert outcome(lambda: call(user, way, "SET", "other:1", "4")) == "ok"
    people.change("user", "~mine:*")
    assert outcome(lambda: call(user, way, "SET", "mine:1", "5")) == "ok"
    assert server.run("GET", "mine:1") == "5"


def test_rights_count_that_the_caller_has_when_the_transaction_is_executed(server, people):
    server.load(*FUNCTIONS)
    user = people.make("user", "+set", "+multi", "+exec", "~mine:*")
    user.execute_command("MULTI")
    call(user, "sync", "SET", "mine:1", "2")
    people.change("user", "-set")
    [result] = user.execute_command("EXEC")
    assert isinstance(result, ResponseError)
    assert is_denied(text_of(result))
    assert server.run("GET", "mine:1") == "1"


def test_two_callers_at_once_have_each_their_own_rights(server, people):
    server.load(STEPS)
    people.make("a", "+set", "~mine:*")
    people.make("b", "+set", "~other:*")
    a, b = people.connect("a"), people.connect("b")
    for client, name in ((a, "a"), (b, "b")):
        call(client, "begin", name, "SET", "mine:1", name)
        call(client, "begin", name + name, "SET", "other:1", name)
    for name in ("a", "b", "aa", "bb"):
        go(server, name)
    assert [came_of(server, name) for name in ("a", "bb")] == ["done", "done"]
    assert [is_denied(came_of(server, name)) for name in ("b", "aa")] == [True, True]
    assert server.run("MGET", "mine:1", "other:1") == ["a", "b"]


# --- RG.FCALL itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["RG.FCALL", "RG.FCALLASYNC"])
def test_calling_needs_the_right_to_the_command(server, people, command):
    server.load(*FUNCTIONS)
    user = people.make("user", "+@all", f"-{command.lower()}", "~*")
    assert outcome(lambda: user.execute_command(command, "lib", "sync", 0, "PING")) == "denied"
    people.change("user", "-@all", f"+{command.lower()}", "+ping")
    assert outcome(lambda: user.execute_command(command, "lib", "sync", 0, "PING")) == "ok"


@pytest.mark.parametrize("command", ["RG.FCALL", "RG.FCALLASYNC"])
@pytest.mark.parametrize("keys", ["mine:1", "other:1", "ro:1", "wo:1", "mine:1 other:1", "mine:1 mine:2", ""])
def test_declared_keys_are_checked_as_those_of_fcall_are(server, people, command, keys):
    server.load("redis.register_function('nothing', () => 1);")
    code = "#!lua name=twin\nredis.register_function('nothing', function(keys) return 1 end)"
    server.run("FUNCTION", "LOAD", "REPLACE", code)
    user = people.make("user", "+fcall", "+rg.fcallasync", "~mine:*", "%R~ro:*", "%W~wo:*")
    keys = keys.split()
    expected = outcome(lambda: user.execute_command("FCALL", "nothing", len(keys), *keys))
    assert outcome(lambda: user.execute_command(command, "lib", "nothing", len(keys), *keys)) == expected
    assert expected == ("ok" if all(key.startswith("mine:") for key in keys) else "denied")


@pytest.mark.parametrize("subcommand", ["LOAD", "DEL", "LIST"])
def test_libraries_are_for_those_who_may_have_them(server, people, subcommand):
    server.load(*FUNCTIONS)
    arguments = {"LOAD": ["#!js name=x\nredis.register_function('f', () => 1);"], "DEL": ["lib"], "LIST": []}[subcommand]
    user = people.make("user", "+@all", f"-rg.function|{subcommand.lower()}", "~*")
    assert outcome(lambda: user.execute_command("RG.FUNCTION", subcommand, *arguments)) == "denied"
    assert server.libraries() == ["lib"]
    people.change("user", "-@all", f"+rg.function|{subcommand.lower()}")
    assert outcome(lambda: user.execute_command("RG.FUNCTION", subcommand, *arguments)) == "ok"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_refused_is_in_the_servers_acl_log(server, people, way):
    server.load(*FUNCTIONS)
    user = people.make("user", "+@all", "-incr", "~mine:*")
    assert outcome(lambda: call(user, way, "SET", "other:1", "2")) == "denied"
    assert outcome(lambda: call(user, way, "INCR", "mine:1")) == "denied"
    log = [{name: str(value) for name, value in fields(entry).items()} for entry in server.run("ACL", "LOG")]
    assert {(entry["reason"], entry["object"]) for entry in log} == {("key", "other:1"), ("command", "incr")}
    if way in ("sync", "raw"):
        # Of background parts the server does not say more than that it was not a connection.
        assert {entry["username"] for entry in log} == {"user"}


# --- background parts that outlive what their caller was --------------------------------------------


def waits(server, name):
    """Waits until a function waits as `later`, and leaves it there."""
    server.wait(lambda: call(server.client, "waits", name), f"{name} does not wait")


def go(server, name):
    """Lets a function that waits as `later` go on, as soon as it waits."""
    server.wait(lambda: call(server.client, "go", name), f"{name} does not wait")


def came_of(server, name):
    """What came of a function that ran as `later`."""
    return server.wait(lambda: call(server.client, "outcome", name), f"nothing came of {name}")


def test_a_background_part_keeps_its_user_when_the_connection_takes_another(server, people):
    server.load(STEPS)
    people.set("old", "+set", "~mine:*")
    people.set("new", "+set", "~other:*")
    client = people.connect("old")
    call(client, "begin", "allowed", "SET", "mine:1", "late")
    call(client, "begin", "denied", "SET", "other:1", "late")
    client.execute_command("AUTH", "new", PASSWORD)
    assert outcome(lambda: client.execute_command("SET", "mine:1", "x")) == "denied"
    go(server, "allowed")
    go(server, "denied")
    assert came_of(server, "allowed") == "done"
    assert is_denied(came_of(server, "denied"))
    assert server.run("MGET", "mine:1", "other:1") == ["late", "1"]


LOSSES = {
    "the command": ["-set"],
    "the key": ["resetkeys", "~other:*"],
    "the right to write the key": ["resetkeys", "%R~mine:*"],
    "everything": ["reset"],
}


@pytest.mark.parametrize("start", ["later", "begin"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_background_part_has_no_right_that_its_user_lost_meanwhile(server, people, loss, start):
    server.load(STEPS)
    user = people.make("user", "+set", "~mine:*")
    with WaitingCall(user, start, "name", "SET", "mine:1", "late") as waiting:
        waits(server, "name")
        people.change("user", *LOSSES[loss])
        go(server, "name")
        assert is_denied(came_of(server, "name"))
        if start == "later":
            assert is_denied(waiting.error())
    assert server.run("GET", "mine:1") == "1"


def test_a_background_part_has_the_rights_its_user_got_meanwhile(server, people):
    server.load(STEPS)
    user = people.make("user", "~mine:*")
    call(user, "begin", "name", "SET", "mine:1", "late")
    people.change("user", "+set")
    go(server, "name")
    assert came_of(server, "name") == "done"


@pytest.mark.parametrize("start", ["later", "begin"])
def test_a_background_part_of_a_disabled_user_fails(server, people, start):
    server.load(STEPS)
    user = people.make("user", "+set", "~mine:*")
    with WaitingCall(user, start, "name", "SET", "mine:1", "late") as waiting:
        waits(server, "name")
        people.change("user", "off")
        go(server, "name")
        assert came_of(server, "name") == NO_USER
        if start == "later":
            assert NO_USER in waiting.error()
    assert server.run("GET", "mine:1") == "1"


@pytest.mark.parametrize("start", ["later", "begin"])
def test_a_background_part_of_a_deleted_user_fails(server, people, start):
    server.load(STEPS)
    user = people.make("user", "+set", "~mine:*")
    with WaitingCall(user, start, "name", "SET", "mine:1", "late") as waiting:
        waits(server, "name")
        people.delete("user")
        if start == "later":
            # The server ends the connections of a user that it deletes.
            assert waiting.is_disconnected()
        go(server, "name")
        assert came_of(server, "name") == NO_USER
    assert server.run("GET", "mine:1") == "1"


def test_a_background_part_of_a_user_made_anew_has_the_rights_of_the_new_one(server, people):
    server.load(STEPS)
    user = people.make("user", "+set", "+incr", "~mine:*")
    for name in ("SET", "INCR"):
        call(user, "begin", name, name, "mine:1", *(["late"] if name == "SET" else []))
        waits(server, name)
    people.delete("user")
    people.set("user", "+incr", "~mine:*")
    for name in ("SET", "INCR"):
        go(server, name)
    assert is_denied(came_of(server, "SET"))
    assert came_of(server, "INCR") == "done"
    assert server.run("GET", "mine:1") == "2"


class WaitingCall:
    """A call whose connection waits for the reply while the test goes on."""

    def __init__(self, client, *words):
        self.client = client
        self.words = words

    def __enter__(self):
        self.connection = self.client.connection
        self.connection.send_command("RG.FCALL", "lib", self.words[0], 0, *self.words[1:])
        return self

    def __exit__(self, *failure):
        self.connection.disconnect()

    def error(self):
        """The error it is answered with."""
        with pytest.raises(ResponseError) as caught:
            self.connection.read_response()
        return text_of(caught.value)

    def is_disconnected(self):
        """Whether the server ends the connection instead of answering."""
        with pytest.raises(Disconnected):
            self.connection.read_response()
        return True


# --- what a script could try to have more ----------------------------------------------------------

# With `client` of an async function of a user without rights: gives a client that has more.
FORGERIES = {
    "the class of the client": "new client.constructor('default', 0, 0)",
    "the class of its prototype": "new (Object.getPrototypeOf(client).constructor)('default', 0, 0)",
    "Reflect.construct": "Reflect.construct(client.constructor, ['default', 0, 0], client.constructor)",
    "a class that extends the client's": "new (class extends client.constructor {})('default', 0, 0)",
    "an object with the client's prototype": "Object.create(client)",
    "a Proxy of the client": "new Proxy(client, { get: (target, name) => name === 'block' ? target.block : 'default' })",
    "properties that look like the client's": "Object.assign(client, { user: 'default', db: 0, flags: 0 })",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_script_cannot_make_a_client_of_another_user(server, people, forgery):
    server.load(
        f"""
        redis.register_function('forge', async client => {{
            const forged = {FORGERIES[forgery]};
            forged.block(inside => inside.call('SET', 'other:1', 'stolen'));
        }});
        """
    )
    user = people.make("user", "+set", "~mine:*")
    assert outcome(lambda: call(user, "forge")) != "ok"
    assert server.run("GET", "other:1") == "1"


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_script_cannot_make_a_client_without_the_flags_of_its_function(server, people, forgery):
    server.load(
        f"""
        redis.register_function('forge', async client => {{
            const forged = {FORGERIES[forgery]};
            forged.block(inside => inside.call('SET', 'mine:1', 'written'));
        }}, ['no-writes']);
        """
    )
    assert outcome(lambda: call(server.client, "forge")) != "ok"
    assert server.run("GET", "mine:1") == "1"


def test_a_script_cannot_use_the_client_of_another_call(server, people):
    server.load(
        """
        let kept, kept_inside;
        redis.register_function('keep', client => { kept = client; });
        redis.register_function('keep inside', async client => client.block(inside => { kept_inside = inside; }));
        redis.register_function('use', (client, ...words) => kept.call(...words));
        redis.register_function('use inside', async (client, ...words) => client.block(() => kept_inside.call(...words)));
        redis.register_function('use class', (client, ...words) => client.call.call(kept, ...words));
        """
    )
    call(server.client, "keep")
    call(server.client, "keep inside")
    user = people.make("user", "+set", "~mine:*")
    for function in ("use", "use inside", "use class"):
        with pytest.raises(ResponseError, match="Used on invalid client"):
            call(user, function, "SET", "other:1", "stolen")
    assert server.run("GET", "other:1") == "1"


def test_a_continuation_on_the_main_thread_keeps_its_own_user(server, people):
    # The promise of `later` is settled by a sync function of someone else, which holds the server's lock.
    server.load(STEPS)
    low = people.make("low", "+set", "~mine:*")
    call(low, "begin", "more", "SET", "other:1", "stolen")
    call(server.client, "begin", "less", "SET", "other:1", "by default")
    waits(server, "more")
    waits(server, "less")
    go(server, "more")
    assert is_denied(came_of(server, "more"))
    people.make("helper", "~*")
    assert call(people.connect("helper"), "go", "less")
    assert came_of(server, "less") == "done"
    assert server.run("GET", "other:1") == "by default"


@pytest.mark.parametrize("command", ["ACL SETUSER user +@all", "AUTH default", "RESET", "HELLO 3", "CONFIG SET maxmemory 1"])
def test_a_script_of_a_powerful_user_has_no_command_that_changes_rights(server, people, command):
    server.load(*FUNCTIONS)
    user = people.make("user", "+get", "~mine:*")
    for way in WAYS:
        with pytest.raises(ResponseError):
            call(server.client, way, *command.split())
    assert outcome(lambda: user.execute_command("SET", "mine:1", "2")) == "denied"


# --- consumers -----------------------------------------------------------------------------------

CALLBACKS = {
    "sync": "(client, data) => { %s saw(data); }",
    "async": "async (client, data) => { await client.block(client => { %s }); saw(data); }",
}
OWNER = ["+rg.function", "+xread", "+xtrim", "~stream*", "~mine:*"]

# What the owner of a consumer loses, how he gets it back, what the error says, and whether only trimming needs it.
OWNER_LOSSES = {
    "disabled": (["off"], ["on"], "does not exists? or disabled", False),
    "denied the key": (["resetkeys", "~mine:*"], ["~stream*"], "does not have permissions on key", False),
    "denied reading the key": (["resetkeys", "%W~stream*"], ["~stream*"], "does not have permissions on key", False),
    "denied XREAD": (["-xread"], ["+xread"], "XREAD", False),
    "denied writing the key": (["resetkeys", "%R~stream*"], ["~stream*"], "does not have permissions on key", True),
    "denied XTRIM": (["-xtrim"], ["+xtrim"], "XTRIM", True),
    "denied everything": (["nocommands", "resetkeys"], ["+xread", "+xtrim", "~stream*"], "permissions", False),
}


def load_as(client, *statements, upgrade=False, name="lib"):
    """Loads a library as a user."""
    options = ["UPGRADE"] if upgrade else []
    client.execute_command("RG.FUNCTION", "LOAD", *options, library(*statements, name=name))


def refused(server, error):
    """Waits until the consumer's error says so."""
    server.wait(
        lambda: re.search(error, str(server.stream("stream").get("last_error"))),
        lambda: server.stream("stream"),
    )


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("kind", CALLBACKS)
@pytest.mark.parametrize("loss", OWNER_LOSSES)
def test_a_consumer_stands_still_while_its_owner_lacks_a_right(server, people, loss, kind, trim):
    rules, back, error, only_trim = OWNER_LOSSES[loss]
    load_as(people.make("owner", *OWNER), consumer(trim=trim, callback=CALLBACKS[kind] % ""))
    server.add("stream", 1)
    server.wait_seen("stream 1")
    length = 0 if trim else 1
    server.wait(lambda: server.run("XLEN", "stream") == length, "the trim is missing")

    people.change("owner", *rules)
    server.add("stream", 2, 3)
    if only_trim and not trim:
        server.wait_seen("stream 1", "stream 2", "stream 3")
        return
    refused(server, error)
    server.add("stream", 4)
    assert server.seen() == ["stream 1"]
    assert server.run("XLEN", "stream") == length + 3
    assert server.stream("stream")["total_record_processed"] == 1

    people.change("owner", *back)
    server.wait_seen("stream 1", "stream 2", "stream 3", "stream 4")
    server.wait_stream(total_record_processed=4, pending_ids=[])
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 4), "the trim is missing")
    server.add("stream", 5)
    server.wait_seen("stream 1", "stream 2", "stream 3", "stream 4", "stream 5")


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_consumer_stands_still_while_its_owner_is_no_user(server, people, kind, trim):
    load_as(people.make("owner", *OWNER), consumer(trim=trim, callback=CALLBACKS[kind] % ""))
    server.add("stream", 1)
    server.wait_seen("stream 1")
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 1), "the trim is missing")
    people.delete("owner")
    server.add("stream", 2, 3)
    refused(server, "does not exists? or disabled")
    assert server.seen() == ["stream 1"]
    assert server.run("XLEN", "stream") == (2 if trim else 3)
    people.set("owner", *OWNER)
    server.wait_seen("stream 1", "stream 2", "stream 3")
    server.wait(lambda: server.run("XLEN", "stream") == (0 if trim else 3), "the trim is missing")


def test_a_consumer_that_is_refused_keeps_the_entries_from_the_trimming_of_another(server, people):
    load_as(people.make("owner", *OWNER), consumer(callback="(client, data) => saw(data, 'owner')"), name="owners")
    server.load(consumer("trims", trim=True))
    people.change("owner", "-xread")
    server.add("stream", 1, 2, 3)
    server.wait_seen("stream 1", "stream 2", "stream 3")
    server.wait(lambda: "XREAD" in str(server.stream("stream", library="owners").get("last_error")))
    assert server.run("XLEN", "stream") == 3
    people.change("owner", "+xread")
    server.wait_seen("stream 1", "stream 2", "stream 3", tag="owner")
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the trim is missing")


def test_a_consumer_that_is_refused_one_stream_has_the_others(server, people):
    load_as(people.make("owner", "+rg.function", "+xread", "~stream:a"), consumer(trim=False))
    server.add("stream:b", 1)
    server.add("stream:a", 2)
    server.wait_seen("stream:a 2")
    server.wait(lambda: "permissions" in str(server.stream("stream:b").get("last_error")))
    people.change("owner", "~stream:b")
    server.wait_seen("stream:a 2", "stream:b 1")


@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_consumer_may_what_its_owner_may_and_not_what_the_writer_may(server, people, kind):
    owner = people.make("owner", *OWNER, "+set", "+get")
    load_as(
        owner,
        consumer(callback=CALLBACKS[kind] % "client.call('SET', data.record[0][1], 'by the owner');"),
    )
    writer = people.make("writer", "+xadd", "~stream*")
    server.add("stream", "mine:1", client=writer)
    server.wait_stream(total_record_processed=1, last_error="None")
    server.add("stream", "other:1")
    server.wait_stream(total_record_processed=2)
    assert is_denied(server.stream("stream")["last_error"])
    assert server.run("MGET", "mine:1", "other:1") == ["by the owner", "1"]
    people.change("owner", "-set")
    server.add("stream", "mine:2")
    server.wait_stream(total_record_processed=3)
    assert is_denied(server.stream("stream")["last_error"])
    assert server.run("EXISTS", "mine:2") == 0


# The command is the entry's value; what came of it is logged, since the last error of a stream stays.
NOTED = """
const words = data => value(data).split(' ');
const noted = (data, work) => {
    let came = 'ok';
    try { work(); } catch (error) { came = String(error); }
    redis.log(`came ${came.replaceAll('\\n', ' ')}`);
};
"""
CALLBACK_WAYS = {
    "sync": "(client, data) => noted(data, () => client.call_raw(...words(data)))",
    "async": "async (client, data) => noted(data, () => client.block(inside => inside.call_raw(...words(data))))",
    "after await": "async (client, data) => { await null;"
    " noted(data, () => client.block(inside => inside.call_raw(...words(data)))); }",
    "background": "(client, data) => client.run_on_background("
    "async background => noted(data, () => background.block(inside => inside.call_raw(...words(data)))))",
}


def owner_of_stream(people, rules):
    """A user with these rights, and those to load a consumer of the stream."""
    # A pattern behind all keys is an error of the server.
    return people.make("owner", *rules, "+rg.function", "+xread", *([] if "~*" in rules else ["~todo*"]))


def come_of_entry(server, command):
    """What a callback of ``CALLBACK_WAYS`` got for its command."""
    seen = len(server.messages("came "))
    server.add("todo", command)
    server.wait_message("came ", seen + 1)
    return server.messages("came ")[seen]


@pytest.mark.parametrize("way", CALLBACK_WAYS)
@pytest.mark.parametrize("rights", RIGHTS)
def test_a_consumer_may_what_its_owner_may(server, people, rights, way):
    rules, commands = RIGHTS[rights]
    owner = owner_of_stream(people, rules)
    load_as(owner, NOTED, consumer(prefix="todo", callback=CALLBACK_WAYS[way]))
    for command, expected in commands.items():
        assert outcome(lambda command=command: owner.execute_command(*command.split())) == expected, command
        came = come_of_entry(server, command)
        assert ("denied" if is_denied(came) else came) == expected, command
    server.wait(lambda: server.stream("todo").get("total_record_processed") == len(commands), "an entry is missing")


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("rules", COMPARED_RULES)
def test_what_a_connection_of_its_owner_is_refused_a_consumer_is_refused_as_well(server, people, rules, way):
    owner = owner_of_stream(people, COMPARED_RULES[rules])
    load_as(owner, NOTED, consumer(prefix="todo", callback=CALLBACK_WAYS[way]))
    differences = []
    for line in COMPARED.strip().splitlines():
        for command in line.split("|"):
            fill(server)
            through = come_of_entry(server, command)
            if NOT_FOR_SCRIPTS.search(through):
                continue
            through = "ok" if through == "ok" else code_of(through)
            fill(server)
            direct = direct_code(owner, command.split())
            if direct != through:
                differences.append((command, direct, through))
    assert differences == []


GONE = {
    "deleted": lambda people: people.delete("owner"),
    "disabled": lambda people: people.change("owner", "off"),
}
LATE = {
    "async": "async (client, data) => { await holding(client, data); client.block(c => c.call('SET', 'mine:1', 'late')); }",
    "background": "(client, data) => client.run_on_background(async background => {"
    " await holding(client, data); background.block(c => c.call('SET', 'mine:1', 'late')); })",
}


@pytest.mark.parametrize("kind", LATE)
@pytest.mark.parametrize("how", GONE)
def test_a_callback_that_runs_when_its_owner_goes_fails_and_later_entries_stay(server, people, how, kind):
    owner = people.make("owner", *OWNER, "+set")
    # A caller's function lets the callback go on: a consumer's rights are its owner's.
    release = "redis.register_function('release', (client, key) => held.get(key)(0));"
    load_as(owner, consumer(callback=LATE[kind]), release)
    server.add("stream", "x")
    server.wait_message("start x ")
    GONE[how](people)
    server.add("stream", "y", "z")
    call(server.client, "release", "x")
    server.wait_stream(total_record_processed=1, pending_ids=[])
    assert server.run("GET", "mine:1") == "1"
    refused(server, f"{NO_USER}|does not exists? or disabled")
    assert server.run("XLEN", "stream") == 3
    assert server.messages("start ") == ["x 1"]
    people.set("owner", *OWNER, "+set")
    for key in "yz":
        server.wait_message(f"start {key} ")
        call(server.client, "release", key)
    server.wait_stream(total_record_processed=3, pending_ids=[])
    assert server.run("GET", "mine:1") == "late"


def test_an_async_callback_whose_owner_goes_meanwhile_has_no_rights_left(server, people):
    callback = "async (client, data) => { await holding(client, data); client.block(c => c.call('SET', 'mine:1', '2')); }"
    release = consumer("release", "letgo", callback="(client, data) => { held.get(value(data))(0); }")
    owner = people.make("owner", *OWNER, "+set", "~letgo")
    load_as(owner, consumer(callback=callback), release)
    server.add("stream", "x")
    server.wait_message("start x ")
    people.change("owner", "-set")
    server.add("letgo", "x")
    server.wait_stream(total_record_processed=1)
    assert is_denied(server.stream("stream")["last_error"])
    assert server.run("GET", "mine:1") == "1"


@pytest.mark.parametrize("kind", CALLBACKS)
def test_a_library_that_another_user_upgrades_acts_as_that_one(server, people, kind):
    code = consumer(callback=CALLBACKS[kind] % "client.call('SET', data.record[0][1], 'set');")
    first = people.make("first", *OWNER, "+set")
    second = people.make("second", "+rg.function", "+xread", "+xtrim", "+set", "~stream*", "~other:*")
    load_as(first, code)
    server.add("stream", "mine:1", "other:1")
    server.wait_stream(total_record_processed=2)
    assert server.run("MGET", "mine:1", "other:1") == ["set", "1"]
    load_as(second, code, upgrade=True)
    server.add("stream", "mine:2", "other:1")
    server.wait_stream(total_record_processed=4)
    assert server.run("MGET", "mine:2", "other:1") == [None, "set"]
    [reply] = server.run("RG.FUNCTION", "LIST", "LIBRARY", "lib")
    assert fields(reply)["user"] == "second"
    # The first one is of no account any more.
    people.change("first", "off")
    server.add("stream", "other:2")
    server.wait_stream(total_record_processed=5)
    assert server.run("GET", "other:2") == "set"


def test_entries_that_a_failed_upgrade_left_alone_stay_with_the_old_owner(server, people):
    code = consumer(callback=CALLBACKS["sync"] % "client.call('SET', data.record[0][1], 'set');")
    load_as(people.make("first", *OWNER, "+set"), code)
    second = people.make("second", "+rg.function", "+set", "~other:*")
    with pytest.raises(ResponseError, match="by intent"):
        load_as(second, code, "throw new Error('by intent');", upgrade=True)
    server.add("stream", "mine:1")
    server.wait_stream(total_record_processed=1, last_error="None")
    assert server.run("GET", "mine:1") == "set"


def test_functions_of_a_library_do_not_act_as_its_owner(server, people):
    owner = people.make("owner", "+rg.function", "+@all", "~*")
    load_as(owner, *FUNCTIONS)
    user = people.make("user", "+set", "~mine:*")
    for way in WAYS:
        assert outcome(lambda way=way: call(user, way, "SET", "other:1", "2")) == "denied"
    people.delete("owner")
    for way in WAYS:
        assert outcome(lambda way=way: call(user, way, "SET", "mine:1", "2")) == "ok"
