"""Which events reach a trigger, with which data, when, and in which order."""

import json

import pytest

from testing.libraries import consumer, function
from testing.triggers import (
    FIRED,
    KEEP,
    counted,
    each_kind,
    fired,
    kept_data,
    load,
    pipelined,
    release,
    run_all,
    runs_within_the_command,
    set_expired,
    trigger,
    wait_fired,
    without_active_expiry,
)
from testing.waits import DEADLINE

COUNT = "client => client.call('INCR', 'count')"


# --- when -----------------------------------------------------------------------------------------------------------


def test_a_sync_trigger_ran_when_the_reply_arrives(server):
    load(server, trigger())
    for number in range(50):
        server.run("SET", f"key:{number}", "v")
        assert fired(server)[-1] == f"set key:{number}"
    assert len(fired(server)) == 50


def test_a_sync_trigger_ran_when_the_replies_to_a_pipeline_arrive(server):
    load(server, trigger())
    pipelined(server, *(f"SET key:{number} v" for number in range(500)))
    assert fired(server) == [f"set key:{number}" for number in range(500)]


@pytest.mark.parametrize("how", ["MULTI", "Lua"])
def test_events_of_a_transaction_or_script_ran_when_its_reply_arrives(server, how):
    load(server, trigger())
    if how == "MULTI":
        pipelined(server, *(f"SET key:{number} v" for number in range(5)), transaction=True)
    else:
        server.run("EVAL", "for i = 0, 4 do redis.call('SET', KEYS[1] .. ':' .. i, i) end", 1, "key")
    assert fired(server) == [f"set key:{number}" for number in range(5)]


@pytest.mark.parametrize("how", ["MULTI", "Lua"])
def test_they_run_after_the_whole_of_it(server, how):
    load(server, trigger(callback="client => redis.log(`found ${client.call('GET', 'key')}`)"))
    if how == "MULTI":
        pipelined(server, "SET key 1", "SET key 2", "SET key 3", transaction=True)
    else:
        server.run("EVAL", "for i = 1, 3 do redis.call('SET', KEYS[1], i) end", 1, "key")
    assert server.messages("found ") == ["3"] * 3


def test_a_command_pipelined_behind_finds_it_done(server):
    if not runs_within_the_command(server):
        pytest.skip("callbacks run before the reply here, and not as a part of the command")
    load(server, trigger(callback=COUNT))
    replies = pipelined(server, *["SET key v", "GET count"] * 100)
    assert replies[1::2] == [str(number) for number in range(1, 101)]


def test_async_triggers_get_each_event_once_and_in_order(server):
    load(server, trigger(callback=FIRED["async"]))
    pipelined(server, *(f"SET key:{number} v" for number in range(500)))
    wait_fired(server, *(f"set key:{number}" for number in range(500)))
    pipelined(server, *(f"DEL key:{number}" for number in range(500)), transaction=True)
    wait_fired(server, *(f"{event} key:{number}" for event in ("set", "del") for number in range(500)))


def test_the_writer_does_not_wait_for_an_async_trigger(server):
    load(server, trigger(callback="holding_key"))
    server.run("SET", "key", "v")
    server.wait_message("start key")
    assert server.messages("end ") == []
    release(server, "key")
    server.wait_message("end key")


def test_an_async_trigger_has_the_lock_in_block(server):
    load(
        server, trigger(callback="async (client, data) => client.block(c => c.call('APPEND', 'seen', `${data.key} `))")
    )
    pipelined(server, *(f"SET key:{number} v" for number in range(20)))
    expected = "".join(f"key:{number} " for number in range(20))
    server.wait(lambda: len(server.run("GET", "seen") or "") >= len(expected), lambda: server.run("GET", "seen"))
    assert server.run("GET", "seen") == expected


@each_kind
def test_a_client_that_was_waiting_is_served_with_events_of_its_own(server, kind):
    load(server, trigger(callback=FIRED[kind]))
    waiting = server.send("BLPOP", "key", 0)
    server.wait(lambda: server.client.info("clients")["blocked_clients"] == 1, "nobody waits")
    server.run("RPUSH", "key", "v")
    assert waiting.reply() == ["key", "v"]
    wait_fired(server, "rpush key", "lpop key", "del key")


# --- which ----------------------------------------------------------------------------------------------------------

COMMANDS = """
SET key v|GET key|SET key v EX 100|SETNX other v|SETEX key 100 v|PSETEX key 100000 v|APPEND key x|SETRANGE key 0 y
GETSET key z|GETDEL key|GETEX key|SET key 1|INCR key|DECR key|INCRBYFLOAT key 0.5|MSET key a key:2 b|EXPIRE key 100
PERSIST key|EXPIRE key -1|DEL key:2 nothing|UNLINK nothing|SET key v|SETBIT key 0 1|BITOP NOT key:b key|PFADD key:p a
PFMERGE key:q key:p|DEL key:b key:p key:q key|RPUSH key a b c|LPUSH key d|LSET key 0 e|LINSERT key BEFORE a f
LREM key 0 f|LTRIM key 0 1|LMOVE key key:2 LEFT RIGHT|RPOPLPUSH key key:2|LPOP key:2|LMPOP 1 key:2 LEFT
HSET key f v g w|HINCRBY key n 1|HINCRBYFLOAT key n 0.5|HSETNX key m 1|HDEL key f|HDEL key g n m|HSET key f v
HGETALL key|DEL key|SADD key a b c|SADD key a|SREM key a|SMOVE key key:2 b|SPOP key|SUNIONSTORE key:3 key:2
SINTERSTORE key:3 nothing key:2|DEL key:2|ZADD key 1 a 2 b|ZADD key 1 a|ZADD key INCR 1 a|ZINCRBY key 1 a|ZREM key b
ZUNIONSTORE key:2 1 key|ZRANGESTORE key:3 key 0 -1|ZPOPMIN key|ZREMRANGEBYRANK key:2 0 -1|GEOADD key 1 1 a|DEL key key:3
XADD key 1-1 f v|XADD key 2-1 f v|XGROUP CREATE key g 0|XREADGROUP GROUP g c STREAMS key >|XACK key g 1-1|XDEL key 1-1
XTRIM key MAXLEN 0|XSETID key 5-5|XGROUP DESTROY key g|DEL key|SET key v|RENAME key key:2|SET key w|RENAME key key:2
RENAMENX key:2 key|COPY key key:2|COPY key key:2 REPLACE|MOVE key:2 1|SORT nothing STORE key:s|RPUSH key:l 2 1
SORT key:l STORE key:s|DEL key key:l key:s|GET nothing|HGET nothing f|EXISTS nothing key|TYPE nothing|TTL nothing
LRANGE nothing 0 -1|OBJECT ENCODING nothing|STRLEN nothing|MGET nothing nope|TOUCH nothing|DUMP nothing
XREAD STREAMS nothing 0|SINTER nothing nope|SORT nothing|FLUSHDB|SET key v|FLUSHALL|SET key v|SWAPDB 0 1|SWAPDB 0 1
DEL key|HSET key f v|HPEXPIRE key 100000 FIELDS 1 f|HPERSIST key FIELDS 1 f|HGETDEL key FIELDS 1 f|GET key|NOSUCH key
"""


@pytest.mark.parametrize("options", ["{}", "{ read_value: true, key_types: [%s] }"], ids=["plain", "with values"])
@each_kind
def test_a_trigger_gets_what_a_subscriber_gets(server, kind, options):
    """Neither more nor less: the module's own looking at keys makes no events either, for nobody."""
    types = "'string', 'list', 'hash', 'set', 'zset', 'stream', 'module', 'empty'"
    with server.setting("notify-keyspace-events", "AKEm"):
        subscriber = server.connect().pubsub()
        subscriber.psubscribe("__keyevent@*__:*")
        assert subscriber.get_message(timeout=DEADLINE)["type"] == "psubscribe"
        load(server, trigger(prefix="", callback=FIRED[kind], options=options.replace("%s", types)))
        commands = [command for line in COMMANDS.strip().splitlines() for command in line.split("|")]
        pipelined(server, *commands, "SET end v")
        expected = []
        while not expected or expected[-1] != "set end":
            message = subscriber.get_message(timeout=DEADLINE)
            assert message, "the subscriber misses the end"
            expected.append(f"{message['channel'].split(':', 1)[1]} {message['data']}")
        subscriber.close()
    assert len(expected) > 100
    server.wait_message("fired set end")
    assert fired(server) == expected


def test_that_needs_no_notifications_to_be_configured(server):
    assert server.run("CONFIG", "GET", "notify-keyspace-events")[1] == ""
    load(server, trigger(prefix=""))
    run_all(server, ["SET a v", "LPUSH b v", "SADD c v", "HSET d f v", "ZADD e 1 v", "XADD f * f v", "DEL a"])
    assert fired(server) == ["set a", "lpush b", "sadd c", "hset d", "zadd e", "xadd f", "del a"]


def test_reading_what_is_there_fires_nothing(server):
    run_all(
        server, ["SET key v", "RPUSH key:l a", "HSET key:h f v", "SADD key:s a", "ZADD key:z 1 a", "XADD key:x * f v"]
    )
    load(server, trigger())
    run_all(
        server,
        [
            "GET key",
            "EXISTS key",
            "TTL key",
            "TYPE key",
            "STRLEN key",
            "LRANGE key:l 0 -1",
            "HGETALL key:h",
            "SMEMBERS key:s",
        ]
        + [
            "ZRANGE key:z 0 -1",
            "XRANGE key:x - +",
            "XREAD STREAMS key:x 0",
            "KEYS *",
            "SCAN 0",
            "DUMP key",
            "TOUCH key",
        ],
    )
    assert fired(server) == []


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC", "SWAPDB 0 1"])
def test_flushing_and_swapping_fires_nothing_for_the_keys(server, command):
    server.run("SET", "key", "v")
    load(server, trigger(prefix=""))
    run_all(server, [command, "SET end v"])
    assert fired(server) == ["set end"]


def test_several_events_of_one_command_come_one_by_one(server):
    load(server, trigger())
    server.run("SET", "key", "v", "EX", 100)
    server.run("MSET", "key:1", "a", "key:2", "b")
    server.run("DEL", "key", "key:1", "nothing", "key:2")
    assert fired(server) == ["set key", "expire key", "set key:1", "set key:2", "del key", "del key:1", "del key:2"]


def test_a_command_that_changes_nothing_fires_nothing(server):
    run_all(server, ["SET key v", "SADD key:s a", "ZADD key:z 1 a"])
    load(server, trigger())
    run_all(server, ["SETNX key v", "SADD key:s a", "ZADD key:z 1 a", "HDEL nokey f", "DEL nokey", "EXPIRE nokey 9"])
    assert fired(server) == []


def test_triggers_of_all_libraries_get_an_event(server):
    load(server, trigger(callback="(client, data) => fired(data, 'A')"), name="a")
    load(server, trigger(callback="async (client, data) => fired(data, 'B')"), name="b")
    server.run("SET", "key", "v")
    wait_fired(server, "set key", tag="A")
    wait_fired(server, "set key", tag="B")


# --- rename, copy, move, restore ------------------------------------------------------------------------------------


def test_a_renamed_key_fires_for_its_old_name_and_its_new_one(server):
    server.run("SET", "key:old", "v")
    load(server, trigger(callback=KEEP["sync"], options={"read_value": True}))
    server.run("RENAME", "key:old", "key:new")
    assert kept_data(server) == [
        {"event": "rename_from", "key": "key:old", "type": "empty", "value": None},
        {"event": "rename_to", "key": "key:new", "type": "string", "value": "v"},
    ]


def test_only_one_of_the_names_need_match(server):
    server.run("SET", "key", "v")
    load(server, trigger())
    server.run("RENAME", "key", "elsewhere")
    server.run("RENAME", "elsewhere", "key")
    assert fired(server) == ["rename_from key", "rename_to key"]


def test_a_copy_and_a_restored_key_are_seen_with_what_they_hold(server):
    client = server.connect(decode_responses=False)
    server.run("SET", "key:1", "v")
    dump = client.dump("key:1")
    load(server, trigger(callback=KEEP["sync"], options={"read_value": True}))
    server.run("COPY", "key:1", "key:2")
    client.restore("key:3", 0, dump)
    assert kept_data(server) == [
        {"event": "copy_to", "key": "key:2", "type": "string", "value": "v"},
        {"event": "restore", "key": "key:3", "type": "string", "value": "v"},
    ]


def test_a_moved_key_fires_in_both_databases(server):
    server.run("SET", "key", "v")
    load(
        server, trigger(callback="(client, data) => { keep(client, data); fired(data); }", options={"read_value": True})
    )
    server.run("MOVE", "key", 5)
    assert fired(server) == ["move_from key", "move_to key"]
    assert kept_data(server) == [{"event": "move_from", "key": "key", "type": "empty", "value": None}]
    other = server.connect(db=5)
    assert kept_data(server, other) == [{"event": "move_to", "key": "key", "type": "string", "value": "v"}]


# --- the data -------------------------------------------------------------------------------------------------------


@each_kind
def test_the_data_is_the_event_and_the_key(server, kind):
    callback = "(client, data) => redis.log(`data ${JSON.stringify(data)} ${Object.keys(data)} ${hex(data.key_raw)}`)"
    load(server, trigger(callback=("async " if kind == "async" else "") + callback))
    server.run("SET", "key", "v")
    server.wait_for(['{"event":"set","key":"key"} event,key 6b6579'], lambda: server.messages("data "))


def test_a_key_that_is_no_text_is_there_as_bytes(server):
    load(server, trigger(prefix="", callback="(client, data) => redis.log(`data ${data.key} ${hex(data.key_raw)}`)"))
    client = server.connect(decode_responses=False)
    for key in (b"\xff\x00k", "ü\U0001f600".encode(), b"", b"a\nb"):
        client.execute_command("SET", key, "v")
    assert server.messages("data ") == [
        "null ff006b",
        "ü\U0001f600 c3bcf09f9880",
        " ",
        "a\\nb 610a62",
    ]


def test_the_bytes_of_a_key_can_be_given_to_a_command(server):
    load(server, trigger(prefix="", callback="(client, data) => { client.call('DEL', data.key_raw); }"))
    client = server.connect(decode_responses=False)
    client.execute_command("SET", b"\xff\x00", "v")
    assert client.execute_command("EXISTS", b"\xff\x00") == 0


def test_each_trigger_has_data_of_its_own(server):
    load(
        server,
        trigger("a", callback="(client, data) => { data.key = 'changed'; data.event = 'changed'; data.more = 1; }"),
        trigger("b", callback=KEEP["sync"]),
    )
    server.run("SET", "key", "v")
    assert kept_data(server) == [{"event": "set", "key": "key"}]


@each_kind
def test_commands_of_a_callback_run_in_the_database_of_the_key(server, kind):
    body = "c.call('APPEND', 'seen', data.event + ' ')"
    callback = f"(c, data) => {body}" if kind == "sync" else f"async (client, data) => client.block(c => {body})"
    load(server, trigger(callback=callback))
    clients = {db: server.connect(db=db) for db in (0, 3, 15)}
    for client in clients.values():
        client.set("key", "v")
    clients[3].delete("key")
    for db, expected in {0: "set ", 3: "set del ", 15: "set "}.items():
        server.wait(
            lambda db=db, expected=expected: clients[db].get("seen") == expected, lambda db=db: clients[db].get("seen")
        )


# --- the value ------------------------------------------------------------------------------------------------------

VALUES = {
    "string": (["SET key text"], "text"),
    "number": (["SET key 12345"], "12345"),
    "appended": (["SET key 12345", "APPEND key 6"], "123456"),
    "list": (["RPUSH key b a b 7"], ["b", "a", "b", "7"]),
    "hash": (["HSET key f v 2 w 1 7"], {"f": "v", "2": "w", "1": "7"}),
    "hash with a field __proto__": (["HSET key __proto__ v constructor w"], {"__proto__": "v", "constructor": "w"}),
    "set": (["SADD key a b c"], ["a", "b", "c"]),
    "set of numbers": (["SADD key 1 2 30000000000"], ["1", "2", "30000000000"]),
    "sorted set": (["ZADD key 2 b 1.5 a -7 c"], [["c", -7], ["a", 1.5], ["b", 2]]),
    "stream": (["XADD key 1-1 f v"], None),
}
# Where the first word does not tell.
TYPES = {"sorted set": "zset", "number": "string", "appended": "string"}


@pytest.mark.parametrize("what", VALUES)
def test_the_value_is_there_where_it_was_asked_for(server, what):
    commands, expected = VALUES[what]
    load(server, trigger(callback=KEEP["sync"], options={"read_value": True}))
    run_all(server, commands)
    found = kept_data(server)[-1]
    assert list(found) == ["event", "key", "type", "value"]
    assert found["type"] == TYPES.get(what, what.split()[0])
    if found["type"] == "set":
        found["value"].sort()
    assert found["value"] == expected


def test_an_empty_string_is_a_value(server):
    load(server, trigger(callback=KEEP["sync"], options={"read_value": True}))
    server.run("SET", "key", "")
    assert kept_data(server) == [{"event": "set", "key": "key", "type": "string", "value": ""}]


def test_a_field_named_proto_is_a_property_like_any_other(server):
    callback = """(client, { value }) => redis.log('found ' + [Object.hasOwn(value, '__proto__'), value.f,
        Object.keys(value).length, value.__proto__, value.toString].join())"""
    load(server, trigger(callback=callback, options={"read_value": True}))
    server.run("HSET", "key", "__proto__", "v", "toString", "text", "f", "w")
    assert server.messages("found ") == ["true,w,3,v,text"]


def test_large_values_are_there_as_a_whole(server):
    callback = "(client, data) => client.call('SET', 'seen', JSON.stringify(data.value))"
    load(server, trigger(callback=callback, options={"read_value": True}))
    names = [f"member:{number:05}" for number in range(5000)]
    numbers = list(range(5000))
    pairs = [word for name, number in zip(names, numbers, strict=True) for word in (name, number)]
    expected = {
        ("RPUSH", "key:l", *names): names,
        ("HSET", "key:h", *pairs): {name: str(number) for name, number in zip(names, numbers, strict=True)},
        ("SADD", "key:s", *names): names,
        ("ZADD", "key:z", *[word for number, name in zip(numbers, names, strict=True) for word in (number, name)]): [
            [name, number] for name, number in zip(names, numbers, strict=True)
        ],
        ("SET", "key", "ü" * 1_000_000): "ü" * 1_000_000,
    }
    for command, value in expected.items():
        server.run(*command)
        found = json.loads(server.run("GET", "seen"))
        assert (sorted(found) if command[0] == "SADD" else found) == value, command[0]


def test_scores_are_numbers(server):
    callback = (
        "(client, { value }) => redis.log('scores ' + value.map(([, score]) => typeof score + ' ' + String(score)))"
    )
    load(server, trigger(callback=callback, options={"read_value": True}))
    server.run("ZADD", "key", "-inf", "a", "-0.1", "b", "17179869184.5", "c", "1e300", "d", "inf", "e")
    assert server.messages("scores ") == [
        "number -Infinity,number -0.1,number 17179869184.5,number 1e+300,number Infinity"
    ]


RAW_VALUES = {
    "string": (["SET", "key", b"\xff\x00"], None, "ff00"),
    "list": (["RPUSH", "key", b"\xff", "a"], [None, "a"], ["ff", "61"]),
    "set": (["SADD", "key", b"\xff"], [None], ["ff"]),
    "zset": (["ZADD", "key", "1", b"\xff", "2.5", "b"], [[None, 1], ["b", 2.5]], [["ff", 1], ["62", 2.5]]),
    "hash": (["HSET", "key", "f", b"\xff", "g", "v"], {"f": None, "g": "v"}, [["66", "ff"], ["67", "76"]]),
    "stream": (["XADD", "key", "*", "f", "v"], None, None),
}


@pytest.mark.parametrize("what", RAW_VALUES)
def test_values_that_are_no_text_are_there_as_bytes(server, what):
    command, text, raw = RAW_VALUES[what]
    callback = """(client, data) => {
        const hexed = value => Array.isArray(value) ? value.map(hexed)
            : value instanceof ArrayBuffer ? hex(value) : value;
        client.call('SET', 'seen', JSON.stringify([data.type, data.value, hexed(data.value_raw), Object.keys(data)]));
    }"""
    load(server, trigger(callback=callback, options={"read_value": True}))
    server.connect(decode_responses=False).execute_command(*command)
    assert json.loads(server.run("GET", "seen")) == [what, text, raw, ["event", "key", "type", "value"]]


def test_fields_that_are_no_text_are_there_as_bytes(server):
    callback = "(client, { value_raw }) => redis.log('raw ' + value_raw.map(pair => pair.map(hex).join('=')).join(' '))"
    load(server, trigger(callback=callback, options={"read_value": True}))
    server.connect(decode_responses=False).execute_command("HSET", "key", b"\xff", b"\x00", "f", "")
    assert server.messages("raw ") == ["ff=00 66="]


def test_where_no_value_was_asked_for_there_is_none(server):
    callback = "(client, data) => redis.log(`has ${'type' in data} ${'value' in data} ${'value_raw' in data}`)"
    load(server, trigger(callback=callback), trigger("second", callback=callback, options={"read_value": False}))
    server.run("SET", "key", "v")
    assert server.messages("has ") == ["false false false"] * 2


@pytest.mark.parametrize("how", ["MULTI", "Lua", "pipeline"])
@each_kind
def test_the_value_is_that_of_the_event_although_the_key_changes_behind_it(server, how, kind):
    load(server, trigger(callback=KEEP[kind], options={"read_value": True}))
    commands = ["SET key 1", "SET key 2", "DEL key", "SADD key a", "DEL key", "HSET key f v"]
    if how == "Lua":
        script = " ".join(f"redis.call({str(command.split())[1:-1]})" for command in commands)
        server.run("EVAL", script, 0)
    else:
        pipelined(server, *commands, transaction=how == "MULTI")
    server.wait(lambda: len(kept_data(server)) == 6, lambda: kept_data(server))
    assert [(data["event"], data["type"], data["value"]) for data in kept_data(server)] == [
        ("set", "string", "1"),
        ("set", "string", "2"),
        ("del", "empty", None),
        ("sadd", "set", ["a"]),
        ("del", "empty", None),
        ("hset", "hash", {"f": "v"}),
    ]


# --- filters --------------------------------------------------------------------------------------------------------


def test_a_trigger_gets_only_keys_that_start_with_its_prefix(server):
    prefixes = ["", "k", "key", "key:1", "key:12"]
    load(server, *(trigger(f"t{n}", one, f"(client, data) => fired(data, '{n}')") for n, one in enumerate(prefixes)))
    keys = ["x", "k", "ke", "key", "key:1", "key:12", "key:2", "KEY:1", "a key"]
    for key in keys:
        server.run("SET", key, "v")
    for number, prefix in enumerate(prefixes):
        assert fired(server, str(number)) == [f"set {key}" for key in keys if key.startswith(prefix)]


def test_an_exact_one_gets_that_key_alone(server):
    load(server, trigger(options={"exact": True}))
    for key in ("key", "key:1", "ke", "", "KEY", "key"):
        server.run("SET", key, "v")
    server.connect(db=2).set("key", "v")
    assert fired(server) == ["set key"] * 3


def test_an_exact_one_of_the_empty_name_gets_that_key_alone(server):
    load(server, trigger(prefix="", options={"exact": True}))
    for key in ("key", "", "k"):
        server.run("SET", key, "v")
    assert fired(server) == ["set "]


@pytest.mark.parametrize("given", ["new Uint8Array([0xff, 0, 0x41]).buffer", "new Uint8Array([0xff, 0, 0x41])"])
def test_a_prefix_may_be_any_bytes(server, given):
    load(
        server, f"redis.register_notifications_consumer('t', {given}, (client, data) => redis.log(hex(data.key_raw)));"
    )
    client = server.connect(decode_responses=False)
    for key in (b"\xff\x00A", b"\xff\x00A:1", b"\xff\x00B", b"\xff"):
        client.execute_command("SET", key, "v")
    assert server.messages("ff") == ["0041", "00413a31"]


def test_only_events_of_the_white_list_fire_in_whatever_case_it_is_written(server):
    load(server, trigger(options={"event_types": ["SET", "hSet", "rename_TO", "set"]}))
    run_all(server, ["SET key v", "APPEND key w", "RENAME key key:2", "HSET key:3 f v", "HDEL key:3 f", "DEL key:2"])
    assert fired(server) == ["set key", "rename_to key:2", "hset key:3"]
    assert counted(server)["num_triggered"] == 3


def test_an_event_that_there_is_not_never_comes(server):
    load(server, trigger(options={"event_types": ["get", "no such event", "flushall"]}))
    run_all(server, ["SET key v", "GET key", "FLUSHALL"])
    assert fired(server) == []


TYPED = {
    "string": "SET key v",
    "list": "RPUSH key v",
    "hash": "HSET key f v",
    "set": "SADD key v",
    "zset": "ZADD key 1 v",
    "stream": "XADD key * f v",
    "empty": "DEL key",
}


@pytest.mark.parametrize("wanted", [[one] for one in TYPED] + [["list", "zset", "empty"], list(TYPED)], ids=",".join)
def test_only_keys_of_the_wanted_types_fire(server, wanted):
    load(server, trigger(options={"key_types": wanted}))
    expected = []
    for kind, command in TYPED.items():
        if kind != "empty":
            run_all(server, [command, "DEL key"])
            word = command.split()[0].lower()
            expected += [f"{word} key"] * (kind in wanted) + ["del key"] * ("empty" in wanted)
    assert fired(server) == expected


def test_the_type_is_that_after_the_event(server):
    load(server, trigger(options={"key_types": ["empty"]}))
    run_all(server, ["RPUSH key a b", "LPOP key", "LPOP key", "SET key v", "RENAME key key:2", "GETDEL key:2"])
    assert fired(server) == ["del key", "rename_from key", "del key:2"]


def test_all_filters_have_to_let_an_event_through(server):
    load(server, trigger(prefix="key:", options={"event_types": ["set", "del", "expire"], "key_types": ["string"]}))
    run_all(server, ["SET key v", "SET key:1 v EX 9", "APPEND key:1 w", "DEL key:1", "SADD key:2 a", "EXPIRE key:2 9"])
    assert fired(server) == ["set key:1", "expire key:1"]
    assert counted(server)["num_triggered"] == 2


def test_what_is_filtered_out_never_reaches_the_library(server):
    load(server, trigger(callback="() => { for (;;); }", options={"event_types": ["del"], "key_types": ["string"]}))
    pipelined(server, *["SET key v", "DEL key"] * 1000)
    assert counted(server)["num_triggered"] == 0


# --- expired, evicted, missed ---------------------------------------------------------------------------------------

GONE = "(client, data) => { redis.log(`gone ${data.event} ${data.key} ${client.call('EXISTS', data.key)}`); }"


@each_kind
def test_a_key_that_expires_by_itself_fires(server, kind):
    load(server, trigger(callback=KEEP[kind], options={"read_value": True, "event_types": ["expired"]}))
    server.run("SET", "key", "v", "PX", 1)
    server.wait(lambda: kept_data(server), "nothing came")
    assert kept_data(server) == [{"event": "expired", "key": "key", "type": "empty", "value": None}]


@each_kind
def test_it_does_so_in_its_own_database(server, kind):
    load(server, trigger(callback=KEEP[kind], options={"event_types": ["expired"]}))
    other = server.connect(db=5)
    other.set("key", "v", px=1)
    server.wait(lambda: kept_data(server, other), "nothing came")
    assert kept_data(server) == []


def test_a_key_that_is_found_expired_fires_before_the_reply(server):
    load(server, trigger(callback=GONE, options={"event_types": ["expired"]}))
    with without_active_expiry(server):
        set_expired(server, "key")
        assert server.messages("gone ") == []
        assert server.run("GET", "key") is None
        assert server.messages("gone ") == ["expired key 0"]


def test_a_key_that_has_expired_and_is_written_fires_for_both(server):
    load(server, trigger(options={"event_types": ["expired", "incrby"]}))
    with without_active_expiry(server):
        set_expired(server, "key", 7)
        assert server.run("INCR", "key") == 1
        assert fired(server) == ["expired key", "incrby key"]


@pytest.mark.parametrize("how", ["MULTI", "Lua"])
def test_a_key_that_expires_within_a_transaction_or_script_fires(server, how):
    load(server, trigger(options={"event_types": ["expired", "append"]}))
    with without_active_expiry(server):
        set_expired(server, "key")
        if how == "MULTI":
            pipelined(server, "GET key", "APPEND key w", transaction=True)
        else:
            server.run("EVAL", "redis.call('GET', KEYS[1]); redis.call('APPEND', KEYS[1], 'w')", 1, "key")
        assert fired(server) == ["expired key", "append key"]


@pytest.mark.parametrize("reader", ["function", "block", "trigger", "consumer"])
def test_a_key_that_a_library_finds_expired_fires(server, reader):
    """What libraries do fires nothing, but that is the server's doing."""
    load(
        server,
        function("function", "client => client.call('GET', 'key')"),
        function("block", "async client => client.block(c => c.call('GET', 'key'))"),
        trigger("reader", "trigger", "client => client.call('GET', 'key')"),
        consumer("reader", "consumer", callback="client => client.call('GET', 'key')"),
        trigger(prefix="key", options={"event_types": ["expired"]}),
    )
    with without_active_expiry(server):
        set_expired(server, "key")
        match reader:
            case "trigger":
                server.run("SET", "trigger", "v")
            case "consumer":
                server.add("consumer", 1)
            case _:
                assert server.call(reader) is None
        wait_fired(server, "expired key")


@each_kind
def test_a_key_that_is_evicted_fires(server, kind):
    load(server, trigger(callback=FIRED[kind], options={"event_types": ["evicted"], "key_types": ["empty"]}))
    pipelined(server, *(f"SET key:{number} v" for number in range(20)))
    with server.setting("maxmemory-policy", "allkeys-random"), server.setting("maxmemory", 1):
        server.wait(lambda: len(fired(server)) >= 20, lambda: fired(server))
    assert sorted(fired(server)) == sorted(f"evicted key:{number}" for number in range(20))
    assert server.run("DBSIZE") == 0


def test_a_miss_fires(server):
    load(server, trigger(callback=KEEP["sync"], options={"read_value": True}))
    server.run("GET", "key")
    server.run("MGET", "key:1", "elsewhere", "key:2")
    missed = {"event": "keymiss", "type": "empty", "value": None}
    assert kept_data(server) == [missed | {"key": key} for key in ("key", "key:1", "key:2")]


def test_what_was_missed_can_be_filled_in_for_the_next_one(server):
    fill = "(client, data) => client.call('SET', data.key, 'filled')"
    load(server, trigger(callback=fill, options={"event_types": ["keymiss"]}))
    assert server.run("GET", "key") is None
    assert server.run("GET", "key") == "filled"


# --- order ----------------------------------------------------------------------------------------------------------


def test_several_sync_triggers_run_in_the_order_of_their_registration(server):
    names = ["z", "a", "m", "b"]
    load(server, *(trigger(name, callback=f"(client, data) => fired(data, ' {name}')") for name in names))
    run_all(server, ["SET key:1 v", "SET key:2 v"])
    assert fired(server) == [f"{name} set key:{number}" for number in (1, 2) for name in names]


def test_they_do_so_although_their_prefixes_differ(server):
    prefixes = {"z": "key", "a": "", "m": "key:", "b": "k"}
    load(server, *(trigger(name, one, f"(client, data) => fired(data, ' {name}')") for name, one in prefixes.items()))
    server.run("SET", "key:1", "v")
    assert fired(server) == [f"{name} set key:1" for name in prefixes]


def test_events_of_an_async_trigger_start_in_order_although_they_end_in_another(server):
    load(
        server,
        trigger(
            callback="async (client, data) => { fired(data); for (let n = data.key.at(-1); n > 0; n--) await null; }"
        ),
    )
    keys = [f"key:{number % 10}" for number in range(200)]
    pipelined(server, *(f"SET {key} v" for key in keys))
    wait_fired(server, *(f"set {key}" for key in keys))
