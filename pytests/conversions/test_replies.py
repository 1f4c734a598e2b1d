"""What JavaScript gets of the replies of commands."""

import json
import re

import pytest

from testing.conversions import SHOW, both, code, fill, in_all_ways, result_of, rows_of, time_limits
from testing.libraries import function
from testing.wire import Wire, bulk, type_name, wire

# Examples for types in which no command answers that scripts may call.
OTHER_EXAMPLES = {"boolean": "DEBUG PROTOCOL true", "big number": "DEBUG PROTOCOL bignum"}


@rows_of("Replies of commands")
@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_a_documented_reply_is_given_as_documented(request, row, method):
    name, call, call_raw, example = row
    server = request.getfixturevalue("unlocked_server" if name in OTHER_EXAMPLES else "server")
    fill(server)
    [example] = code(example) or [OTHER_EXAMPLES[name]]
    with Wire(server.port, 3) as one:
        assert type_name(one.call(*example.split())) == name, "the example is one of another type"
    shown = result_of(server, f"attempt(() => kind(client.{method}(...args)))", *example.split())
    expected = {"call": call, "call_raw": call_raw}[method].replace("`", "")
    assert shown.split(":")[0] == expected


# Commands and what `call` and `call_raw` give, as `display` writes it.
REPLIES = {
    "ping": ('status"PONG"', "status<PONG>"),
    "ping hello": ('"hello"', "<hello>"),
    "set new value": ('status"OK"', "status<OK>"),
    "set text value get": ('"value"', "<value>"),
    "set text value nx": ("null", "null"),
    "type list": ('status"list"', "status<list>"),
    "get text": ('"value"', "<value>"),
    "get nothing": ("null", "null"),
    "get bytes": ("throws a Error: Could not decode value as string", "<\x00\xff>"),
    "incr number": ("42n", "42n"),
    "incrbyfloat number 0.5": ('"41.5"', "<41.5>"),
    "exists text": ("1n", "1n"),
    "expire nothing 1": ("0n", "0n"),
    "strlen nothing": ("0n", "0n"),
    "object encoding number": ('"int"', "<int>"),
    "object encoding nothing": ("null", "null"),
    "lrange list 0 -1": ('["a","b","a"]', "[<a>,<b>,<a>]"),
    "lrange nothing 0 -1": ("[]", "[]"),
    "lpop nothing": ("null", "null"),
    "lpos list b": ("1n", "1n"),
    "mget text nothing list": ('["value",null,null]', "[<value>,null,null]"),
    "sort list alpha limit 0 1": ('["a"]', "[<a>]"),
    "smembers set": ('Set("a","b")', "Set(<a>,<b>)"),
    "smembers nothing": ("Set()", "Set()"),
    "smembers byte-set": ("throws a Error: Could not decode value as string", "Set(<\xff>)"),
    "smismember set a x": ("[1n,0n]", "[1n,0n]"),
    "hgetall hash": ('{b:"1",a:"2"}', "{b:<1>,a:<2>}"),
    "hgetall nothing": ("{}", "{}"),
    "hgetall byte-hash": (
        "throws a Error: Could not decode value as string",
        "throws a Error: Binary map key is not supported",
    ),
    "hgetall byte-values": ("throws a Error: Could not decode value as string", "{a:<\xff>}"),
    "hmget hash a nothing": ('["2",null]', "[<2>,null]"),
    "zscore zset one": ("1.5", "1.5"),
    "zscore zset most": ("Infinity", "Infinity"),
    "zscore zset least": ("-Infinity", "-Infinity"),
    "zscore zset nothing": ("null", "null"),
    "zadd zset incr 0.25 one": ("1.75", "1.75"),
    "zincrby zset -1.5 one": ("0", "0"),
    "zadd fresh incr -0 x": ("-0", "-0"),
    "zmscore zset one nothing": ("[1.5,null]", "[1.5,null]"),
    "zrange zset 0 -1": ('["least","one","most"]', "[<least>,<one>,<most>]"),
    "zrange zset 0 -1 withscores": (
        '[["least",-Infinity],["one",1.5],["most",Infinity]]',
        "[[<least>,-Infinity],[<one>,1.5],[<most>,Infinity]]",
    ),
    "zpopmin zset": ('["least",-Infinity]', "[<least>,-Infinity]"),
    "xlen stream": ("2n", "2n"),
    "xadd stream 2-1 f v": ('"2-1"', "<2-1>"),
    "xrange stream - +": (
        '[["1-1",["f","v","f","w"]],["1-2",["g",""]]]',
        "[[<1-1>,[<f>,<v>,<f>,<w>]],[<1-2>,[<g>,<>]]]",
    ),
    "xread streams stream 1-1": ('{stream:[["1-2",["g",""]]]}', "{stream:[[<1-2>,[<g>,<>]]]}"),
    "xread streams stream 9-9": ("null", "null"),
    "lcs text text idx": ("{matches:[[[0n,4n],[0n,4n]]],len:5n}", "{matches:[[[0n,4n],[0n,4n]]],len:5n}"),
    "bitfield bits overflow fail incrby u1 0 2": ("[null]", "[null]"),
    "command getkeysandflags get key": (
        '[["key",Set(status"RO",status"access")]]',
        "[[<key>,Set(status<RO>,status<access>)]]",
    ),
    "lpush text x": (
        "throws a RedisError: WRONGTYPE Operation against a key holding the wrong kind of value",
        "throws a RedisError: WRONGTYPE Operation against a key holding the wrong kind of value",
    ),
    "incr text": (
        "throws a RedisError: ERR value is not an integer or out of range",
        "throws a RedisError: ERR value is not an integer or out of range",
    ),
    "xadd stream 1-1 f v": (
        "throws a RedisError: ERR The ID specified in XADD is equal or smaller than the target stream top item",
        "throws a RedisError: ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ),
}


@pytest.mark.parametrize("place", ["at once", "from an async function"])
@pytest.mark.parametrize("method", ["call", "call_raw"])
@pytest.mark.parametrize("command", REPLIES)
def test_a_reply_is_given_in_the_types_of_javascript(server, command, method, place):
    fill(server)
    work = f"attempt(() => display(client.{method}(...args)))"
    callback = {
        "at once": f"(client, ...args) => {work}",
        "from an async function": f"async (background, ...args) => background.block(client => {work})",
    }[place]
    server.load(SHOW, function("f", callback))
    assert server.call("f", *command.split()) == REPLIES[command][method == "call_raw"]


# Types in which only EVAL, DEBUG and modules answer.
OTHER_REPLIES = {
    "debug protocol integer": ("12345n", "12345n"),
    "debug protocol double": ("3.141", "3.141"),
    "debug protocol true": ("true", "true"),
    "debug protocol false": ("false", "false"),
    "debug protocol null": ("null", "null"),
    "debug protocol array": ("[0n,1n,2n]", "[0n,1n,2n]"),
    "debug protocol set": ("Set(0n,1n,2n)", "Set(0n,1n,2n)"),
    "debug protocol map": ("{0:false,1:true,2:false}", "{0:false,1:true,2:false}"),
    "debug protocol push": ('["server-cpu-usage",42n]', "[<server-cpu-usage>,42n]"),
    "debug protocol attrib": (
        '"Some real reply following the attribute"',
        "<Some real reply following the attribute>",
    ),
    "debug protocol verbatim": (r'verbatim"This is a verbatim\nstring"', "verbatim<This is a verbatim\nstring>"),
    "debug protocol bignum": (
        'big_number"1234567999999999999999999999999999999"',
        'big_number"1234567999999999999999999999999999999"',
    ),
    "eval return{double=0/0} 0": ("NaN", "NaN"),
    "eval return{map={a={set={b=true}}}} 0": ('{a:Set("b")}', "{a:Set(<b>)}"),
    "eval redis.setresp(3)return{true,false,{ok='fine'}} 0": ('[true,false,status"fine"]', "[true,false,status<fine>]"),
    "eval return{1,{err='ERR-nested'},2} 0": ("throws a RedisError: ERR-nested", "throws a RedisError: ERR-nested"),
    "eval return{map={a={1,{err='ERR-nested'}}}} 0": (
        "throws a RedisError: ERR-nested",
        "throws a RedisError: ERR-nested",
    ),
    "eval return{verbatim_string={string='text',format='mkd'}} 0": ('verbatim"text"', "verbatim<text>"),
    "eval return'\\255' 0": ("throws a Error: Could not decode value as string", "<\xff>"),
    "eval return{ok='\\255'} 0": ("throws a Error: Could not decode value as string", "status<\xff>"),
    "eval return{set={['\\255']=true}} 0": ("throws a Error: Could not decode value as string", "Set(<\xff>)"),
    "eval return{err='\\255'} 0": ("throws a RedisError: \ufffd", "throws a RedisError: \ufffd"),
}


@pytest.mark.parametrize("method", ["call", "call_raw"])
@pytest.mark.parametrize("command", OTHER_REPLIES)
def test_a_reply_of_any_type_is_given_in_the_types_of_javascript(unlocked_server, command, method):
    shown = result_of(unlocked_server, f"attempt(() => display(client.{method}(...args)))", *command.split())
    assert shown == OTHER_REPLIES[command][method == "call_raw"]


# Commands whose replies have the same structure in both protocols.
ROUND_TRIPS = [
    "ping",
    "type list",
    "get text",
    "get nothing",
    "strlen text",
    "zscore zset one",
    "zscore zset least",
    "lrange list 0 -1",
    "hgetall hash",
    "smembers set",
    "mget text nothing",
    "xrange stream - +",
    "xinfo stream stream",
    "xinfo help",
    "info keyspace",
    "object encoding number",
    "bitfield bits overflow fail incrby u1 0 2",
    "lcs text text idx",
    "command",
    "command docs",
    "lpush text x",
    "nosuch command",
]


@pytest.mark.parametrize("command", ROUND_TRIPS)
def test_a_reply_that_is_returned_is_the_commands_own(server, wires, command):
    fill(server)
    words = ", ".join(f"'{word}'" for word in command.split())
    direct = [one.call(*command.split()) for one in wires]
    for way, replies in in_all_ways(server, wires, f"client.call({words})").items():
        assert [len(reply) for reply in replies] == [len(reply) for reply in direct], way
        assert [mine == theirs for mine, theirs in zip(replies, direct, strict=True)] == [True, True], way


@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_keys_of_a_map_are_properties_whatever_they_are_called(server, method):
    names = ["__proto__", "constructor", "toString", "", "a b", "é", "10", "2", "-1", "01", "1.5", "4294967295"]
    server.run("HSET", "hash", *[word for name in names for word in (name, f"<{name}>")])
    shown = result_of(
        server,
        f"""(() => {{
            const map = client.{method}('hgetall', 'hash');
            const {{ getPrototypeOf, getOwnPropertyNames, entries }} = Object;
            const texts = entries(map).map(([name, value]) =>
                [name, typeof value === 'string' ? value : decodeURIComponent(escape(text(value)))]);
            const clean = getPrototypeOf(map) === Object.prototype;
            return JSON.stringify([clean, ({{}}).constructor === Object, getOwnPropertyNames({{}}), texts]);
        }})()""",
    )
    clean, plain, nothing, entries = json.loads(shown)
    assert (clean, plain, nothing) == (True, True, [])
    assert dict(entries) == {name: f"<{name}>" for name in names}
    order = [name for name, _ in entries]
    assert order[:2] == ["2", "10"]
    assert order[2:] == [name for name in names if name not in ("2", "10")]


def test_a_map_within_an_array_does_not_touch_the_prototype_either(server):
    server.run("XADD", "__proto__", "1-1", "f", "v")
    shown = result_of(
        server,
        "(() => { const map = client.call('xread', 'streams', '__proto__', '0'); return display("
        "[Object.keys(map), Object.getPrototypeOf(map) === Object.prototype, ({}).f === undefined]); })()",
    )
    assert shown == '[["__proto__"],true,true]'


@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_a_verbatim_string_has_its_format(server, method):
    value = f"(reply => display([reply.__reply_type, reply.__format, reply.__ext]))(client.{method}('info', 'server'))"
    assert result_of(server, value) == '["verbatim","txt","txt"]'


def test_a_verbatim_string_of_another_format_comes_back_as_it_was(unlocked_server):
    lua = "return{verbatim_string={string='text',format='mkd'}}"
    unlocked_server.upgrade(function("f", "(client, lua) => client.call('eval', lua, '0')"))
    with Wire(unlocked_server.port, 3) as three:
        assert three.call("RG.FCALL", "lib", "f", 0, lua) == wire("=8 mkd:text")


def test_a_status_is_equal_to_its_text_and_not_identical(server):
    shown = result_of(
        server,
        "display([client.call('ping') == 'PONG', client.call('ping') === 'PONG', `${client.call('ping')}`,"
        " client.call('ping').toLowerCase(), client.call('ping') instanceof String,"
        " Object.keys(client.call('ping'))])",
    )
    assert shown == '[true,false,"PONG","pong",true,["0","1","2","3","__reply_type"]]'


def test_an_error_of_redis_is_an_error_that_reads_like_its_text(server):
    shown = result_of(
        server,
        """(() => {
            try {
                client.call('get');
            } catch (error) {
                return display([error instanceof Error, error.name, error.message, String(error), `${error}`,
                    typeof error.stack, Object.keys(error)]);
            }
        })()""",
    )
    message = "ERR wrong number of arguments for 'get' command"
    assert shown == json.dumps(
        [True, "RedisError", message, message, message, "string", []], separators=(",", ":")
    )


def test_a_reply_belongs_to_its_call(server):
    server.run("RPUSH", "list", "a")
    value = (
        "(() => { const first = client.call('lrange', 'list', '0', '-1'); first.push('b'); first[0] = 'c';"
        " return display(client.call('lrange', 'list', '0', '-1')); })()"
    )
    assert result_of(server, value) == '["a"]'


def test_what_could_not_be_decoded_was_done_all_the_same(server):
    value = "attempt(() => client.call('getdel', 'bytes'))"
    server.run("SET", "bytes", b"\xff")
    assert result_of(server, value) == "throws a Error: Could not decode value as string"
    assert server.run("EXISTS", "bytes") == 0


LARGE_REPLIES = {
    "list": ("RPUSH", "lrange large 0 -1", "reply.length", "reply[0] === '0' && reply[99999] === '99999'"),
    "set": ("SADD", "smembers large", "reply.size", "reply.has('0') && reply.has('99999')"),
    "hash": ("HSET", "hgetall large", "Object.keys(reply).length", "reply.k0 === '0' && reply.k99999 === '99999'"),
}


@pytest.mark.parametrize("kind", LARGE_REPLIES)
def test_a_reply_of_100_000_elements_is_given_whole_and_comes_back_whole(server, wires, kind):
    add, command, size, check = LARGE_REPLIES[kind]
    for start in range(0, 100_000, 10_000):
        part = range(start, start + 10_000)
        server.run(add, "large", *([word for n in part for word in (f"k{n}", n)] if kind == "hash" else part))
    words = ", ".join(f"'{word}'" for word in command.split())
    with time_limits(server, 10_000):
        assert result_of(server, f"(reply => display([{size}, {check}]))(client.call({words}))") == "[100000,true]"
        for one, reply in zip(wires, both(server, wires, f"client => client.call({words})"), strict=True):
            assert reply == one.call(*command.split())


@pytest.mark.parametrize("method", ["call", "call_raw"])
def test_a_reply_of_a_megabyte_is_given_whole(server, wires, method):
    value = ("ä€😀x" * (1 << 17))[: 1 << 18]
    server.run("SET", "text", value)
    with time_limits(server, 10_000):
        assert both(server, wires, f"client => client.{method}('get', 'text')") == [bulk(value)] * 2


def test_a_reply_larger_than_half_of_the_librarys_memory_is_an_error(small_server):
    small_server.run("SET", "text", "x" * (9 << 20))
    value = "attempt(() => display(client.call('get', 'text').length))"
    assert result_of(small_server, value) == "throws a Error: The reply does not fit into the library's memory"
    small_server.run("SET", "text", "x" * (6 << 20))
    assert result_of(small_server, value) == str(6 << 20)


def test_a_reply_of_more_elements_than_the_library_has_memory_for_is_an_error(small_server):
    small_server.run("DEL", "list")
    for start in range(100_000, 700_000, 10_000):
        small_server.run("RPUSH", "list", *range(start, start + 10_000))
    small_server.load(function("f", "client => client.call('lrange', 'list', '0', '-1').length"), options=["UPGRADE"])
    with Wire(small_server.port) as one:
        reply = one.call("RG.FCALL", "lib", "f", 0)
    small_server.run("DEL", "list")
    assert re.match(rb"-.*memory|-.*OOM", reply), reply
    assert small_server.run("PING")
    assert result_of(small_server, "7") == 7
