"""The data of an event that a trigger gets, and the value of its key."""

import json

import pytest

from testing.triggers import KEEP, each_kind, load, pipelined, run_all, seen_data, trigger

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
    assert seen_data(server) == [{"event": "set", "key": "key"}]


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
    found = seen_data(server)[-1]
    assert list(found) == ["event", "key", "type", "value"]
    assert found["type"] == TYPES.get(what, what.split()[0])
    if found["type"] == "set":
        found["value"].sort()
    assert found["value"] == expected


def test_an_empty_string_is_a_value(server):
    load(server, trigger(callback=KEEP["sync"], options={"read_value": True}))
    server.run("SET", "key", "")
    assert seen_data(server) == [{"event": "set", "key": "key", "type": "string", "value": ""}]


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
    server.wait(lambda: len(seen_data(server)) == 6, lambda: seen_data(server))
    assert [(data["event"], data["type"], data["value"]) for data in seen_data(server)] == [
        ("set", "string", "1"),
        ("set", "string", "2"),
        ("del", "empty", None),
        ("sadd", "set", ["a"]),
        ("del", "empty", None),
        ("hset", "hash", {"f": "v"}),
    ]
