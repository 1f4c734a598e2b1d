"""Built-ins that a hostile library replaced."""

import re

import pytest
from redis import ResponseError

from testing.adversary import LIMITED, define

MODULE_ARGS = LIMITED

SPOIL = "() => { throw new Error('spoilt'); }"
PATCHES = {
    "methods of arrays": f"for (const name of Reflect.ownKeys(Array.prototype)) try {{ Array.prototype[name] = {SPOIL}; }} catch (e) {{}}",
    "elements of arrays": "for (const at of [0, 1, 2]) Object.defineProperty(Array.prototype, at,"
    f" {{ get: {SPOIL}, set: {SPOIL}, configurable: true }});",
    "iteration of arrays": "Array.prototype[Symbol.iterator] = function* () { for (;;) yield 'x'; };",
    "iteration of arrays that is gone": "delete Array.prototype[Symbol.iterator];",
    "iterators": "Object.getPrototypeOf([][Symbol.iterator]()).next = () => ({ done: false, value: 'x' });",
    "properties of all objects": "for (const name of ['user', 'db', 'flags', 'id', 'record', 'stack', 'message', 'length', 'name',"
    " 'value', '__reply_type', '__format', 'constructor', 'get', 'set'])"
    f" Object.defineProperty(Object.prototype, name, {{ get: {SPOIL}, set: {SPOIL}, configurable: true }});",
    "then of all objects": "Object.prototype.then = () => { for (;;); };",
    "then of all objects as a getter": "Object.defineProperty(Object.prototype, 'then', { get() { for (;;); } });",
    "toJSON of all objects": f"Object.prototype.toJSON = {SPOIL};",
    "toString of everything": f"for (const one of [Object, Array, Function, Number, BigInt, Error, Date, String, Symbol, RegExp])"
    f" try {{ one.prototype.toString = one.prototype.valueOf = one.prototype[Symbol.toPrimitive] = {SPOIL}; }} catch (e) {{}}",
    "Promise": "globalThis.Promise = function () { for (;;); };",
    "methods of promises": f"for (const name of ['then', 'catch', 'finally']) Promise.prototype[name] = {SPOIL};",
    "then of promises that loops": "Promise.prototype.then = () => { for (;;); };",
    "constructor of promises": "Object.defineProperty(Promise.prototype, 'constructor', { get() { for (;;); } });",
    "species": "for (const one of [Promise, Array, ArrayBuffer, Map, Set])"
    f" Object.defineProperty(one, Symbol.species, {{ get: {SPOIL} }});",
    "JSON": f"JSON.parse = JSON.stringify = {SPOIL};",
    "methods of functions": f"for (const name of ['call', 'apply', 'bind', 'toString']) Function.prototype[name] = {SPOIL};",
    "Reflect and Object": f"for (const one of [Reflect, Object]) for (const name of Reflect.ownKeys(one)) try {{ one[name] = {SPOIL}; }}"
    " catch (e) {}",
    "Error": "globalThis.Error = globalThis.TypeError = globalThis.RangeError = function () { for (;;); };",
    "stack traces": "Error.prepareStackTrace = () => { for (;;); }; Error.stackTraceLimit = Infinity;",
    "maps and sets": f"for (const one of [Map, Set]) for (const name of Reflect.ownKeys(one.prototype))"
    f" try {{ one.prototype[name] = {SPOIL}; }} catch (e) {{}}",
    "texts": f"for (const name of Reflect.ownKeys(String.prototype)) try {{ String.prototype[name] = {SPOIL}; }} catch (e) {{}}",
    "buffers": "globalThis.ArrayBuffer = globalThis.Uint8Array = function () { for (;;); };",
    "byteLength": f"Object.defineProperty(ArrayBuffer.prototype, 'byteLength', {{ get: {SPOIL} }});",
    "prototypes": "Object.setPrototypeOf(Array.prototype, new Proxy({}, { get() { throw 1; }, has() { throw 2; } }));",
    "prototypes of all": "Object.setPrototypeOf(Array.prototype, null); Object.setPrototypeOf(Function.prototype, null);",
    "the redis object": "for (const name of Object.keys(redis)) redis[name] = () => { for (;;); };",
    "all globals": "for (const name of Reflect.ownKeys(globalThis)) try { delete globalThis[name]; } catch (e) {}",
    "frozen": "for (const name of Reflect.ownKeys(globalThis)) try { Object.freeze(globalThis[name]);"
    " Object.freeze(globalThis[name].prototype); } catch (e) {}",
}
RAW = "['raw-arguments']"
# What a library does with the module's own JavaScript, each ending with "fine" where nothing is spoilt.
USES = {
    "result": "client => ['fine', 1, 1n, 0.5, true, null, new Map([['a', new Set([1])]]), { a: [new String('x'), new Date(0)] }]",
    "call": "client => { client.call('MSET', 'a', '1', 'b', 2, 'c', 3n, 'd', true); client.call('MGET', 'a', 'b');"
    " client.call_raw('MGET', 'a', 'b'); client.call('HSET', 'hash', 'f', 'v'); client.call('HGETALL', 'hash');"
    " client.call('SADD', 'set', 'a'); client.call('SMEMBERS', 'set'); client.call('PING'); return 'fine'; }",
    "many replies": "client => { client.call('LRANGE', 'list', 0, -1); client.call_raw('LRANGE', 'list', 0, -1); return 'fine'; }",
    "error": "client => { try { client.call('NOSUCH'); } catch (error) { `${error}`; throw error; } }",
    "async": "async client => { await null; client.block(inside => inside.call('GET', 'a')); return 'fine'; }",
    "background": "client => client.run_on_background(async background => {"
    " await background.block(async inside => inside.call('GET', 'a')); return 'fine'; })",
    "promise": "client => ({ then: undefined }, (async () => 'fine')())",
    "rejection": "async client => { await null; throw new TypeError('fine'); }",
    "raw": "(client, ...words) => words",
    "wrong use": "client => client.run_on_background(1)",
}


@pytest.mark.parametrize("patch", PATCHES)
def test_a_library_that_spoils_the_built_ins_spoils_them_for_itself_only(hostile, patch):
    server = hostile.server
    for start in range(0, 10_000, 1000):
        server.run("RPUSH", "list", *range(start, start + 1000))
    register = "const { register_function, register_stream_consumer, log } = redis;"
    server.load(
        register,
        *(f"register_function('{name}', {code}{', ' + RAW if name == 'raw' else ''});" for name, code in USES.items()),
        "register_stream_consumer('consumer', 'stream', 1, true, (client, data) => {"
        " data.record_raw; data.stream_name_raw; client.call('XLEN', data.stream_name); log('consumed'); });",
        "register_stream_consumer('async consumer', 'stream', 1, true, async (client, data) => {"
        " data.record_raw; client.block(inside => inside.call('XLEN', data.stream_name)); log('consumed'); });",
        "register_function('patch', () => {",
        PATCHES[patch],
        "});",
    )
    hostile.limit(200)
    try:
        hostile.call(function="patch")
    except ResponseError:
        pass
    for name in USES:
        try:
            hostile.call("x", function=name)
        except ResponseError as error:
            assert len(str(error)) < 5000
    server.add("stream", 1, 2)
    for name in ("consumer", "async consumer"):
        server.wait(
            lambda name=name: server.stream("stream", name).get("total_record_processed") == 2,
            lambda name=name: server.consumer(name),
        )
    server.wait(lambda: server.run("XLEN", "stream") == 0, "the trim is missing")
    server.run("DEL", "list")


@pytest.mark.parametrize("use", USES)
def test_what_the_patched_libraries_do_works_without_a_patch(hostile, use):
    server = hostile.server
    server.run("RPUSH", "list", *range(10_000))
    server.load(define(USES[use], "use").replace(");", f", {RAW});") if use == "raw" else define(USES[use], "use"))
    hostile.limit(500)
    try:
        assert "fine" in str(hostile.call("fine", function="use"))
    except ResponseError as error:
        assert re.search("unknown command|TypeError: (fine|First argument to 'run_on_background')", str(error))
    server.run("DEL", "list")
