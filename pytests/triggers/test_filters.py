"""Filters of triggers by event and by type of key; keys that expire, are evicted, or missed."""

import pytest

from testing.libraries import consumer, function
from testing.triggers import (
    FIRED,
    KEEP,
    counted,
    each_kind,
    fired,
    load,
    pipelined,
    run_all,
    seen_data,
    set_expired,
    trigger,
    wait_fired,
    without_active_expiry,
)

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
    server.wait(lambda: seen_data(server), "nothing came")
    assert seen_data(server) == [{"event": "expired", "key": "key", "type": "empty", "value": None}]


@each_kind
def test_it_does_so_in_its_own_database(server, kind):
    load(server, trigger(callback=KEEP[kind], options={"event_types": ["expired"]}))
    other = server.connect(db=5)
    other.set("key", "v", px=1)
    server.wait(lambda: seen_data(server, other), "nothing came")
    assert seen_data(server) == []


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
    assert seen_data(server) == [missed | {"key": key} for key in ("key", "key:1", "key:2")]


def test_what_was_missed_can_be_filled_in_for_the_next_one(server):
    fill = "(client, data) => client.call('SET', data.key, 'filled')"
    load(server, trigger(callback=fill, options={"event_types": ["keymiss"]}))
    assert server.run("GET", "key") is None
    assert server.run("GET", "key") == "filled"
