"""Which events reach a trigger, when, and in which order."""

import pytest

from testing.triggers import FIRED, KEEP, each_kind, fired, load, pipelined, release, run_all, seen_data, trigger, wait_fired
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
    if not server.runs_callbacks_in_commands():
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
    assert seen_data(server) == [
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
    assert seen_data(server) == [
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
    assert seen_data(server) == [{"event": "move_from", "key": "key", "type": "empty", "value": None}]
    other = server.connect(db=5)
    assert seen_data(server, other) == [{"event": "move_to", "key": "key", "type": "string", "value": "v"}]


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
