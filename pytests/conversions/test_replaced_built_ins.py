"""Conversions in a library that replaced built-ins."""

import pytest

from testing.conversions import fill
from testing.libraries import function
from testing.wire import bulk, wire

REPLACED = {
    "String": "String = function () { throw new Error('replaced'); }",
    "the iterator of arrays": "Array.prototype[Symbol.iterator] = function () { throw new Error('replaced'); }",
    "elements of arrays": "Object.defineProperty(Array.prototype, 0, { set() { throw new Error('replaced'); } })",
    "tags": "Object.defineProperty(Object.prototype, '__reply_type', { set() { throw new Error('replaced'); } })",
    "properties": "Object.defineProperty(Object.prototype, 'a', { set() { throw new Error('replaced'); } })",
    "methods of collections": "Set.prototype.add = Map.prototype.set = Map.prototype.entries = () => { throw 1; }",
    "promises": "Promise.prototype.then = Promise.resolve = () => { throw 1; }",
    "constructors": "Error = TypeError = ArrayBuffer = Set = Map = Promise = undefined",
}


@pytest.mark.parametrize("what", REPLACED)
def test_conversions_do_not_depend_on_what_a_library_can_replace(server, wires, what):
    fill(server)
    server.run("RPUSH", "large", *range(6000))
    server.load(
        f"{REPLACED[what]};",
        function("status", "client => client.call('ping')"),
        function("map", "client => client.call('hgetall', 'hash')"),
        function("set", "client => client.call('smembers', 'set')"),
        function("large", "client => client.call('lrange', 'large', 0, -1).length"),
        function("raw", "client => client.call_raw('get', 'bytes')"),
        function("error", "client => client.call('get', 'list')"),
        function("wrong", "client => client.call(null)"),
        function("async", "async background => background.block(client => client.call('ping'))"),
    )
    two = wires[0]
    replies = {
        name: two.call("RG.FCALL", "lib", name, 0)
        for name in ("status", "map", "set", "large", "raw", "error", "wrong", "async")
    }
    assert replies == {
        "status": wire("+PONG"),
        "map": two.call("HGETALL", "hash"),
        "set": two.call("SMEMBERS", "set"),
        "large": wire(":6000"),
        "raw": bulk(b"\x00\xff"),
        "error": two.call("GET", "list"),
        "wrong": b"-TypeError: First argument to 'command' must be a string\r\n",
        "async": wire("+PONG"),
    }
