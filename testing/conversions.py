"""What the tests of conversions share: the tables of docs/data-types.md, and values in every way in which a function can give one."""

import re
from contextlib import contextmanager

import pytest

from testing.launch import REPOSITORY
from testing.libraries import function
from testing.wire import wire


def documented(section):
    """The rows of the first table of a section."""
    text = (REPOSITORY / "docs/data-types.md").read_text()
    _, found = text.split(f"\n## {section}\n")
    table = re.search(r"\n\n((?:\|.*\n)+)", found)[1]
    _, _, *rows = table.splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def code(cell):
    """The pieces of code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def rows_of(section):
    """The table of a section as parameters of a test."""
    return pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in documented(section)])


# Ways in which a function gives the same value.
WAYS = {
    "at once": "client => {value}",
    "as a settled promise": "client => Promise.resolve({value})",
    "as a promise settled later": "client => {{ const value = {value};"
    " return client.run_on_background(async () => value); }}",
    "from an async function": "async background => background.block(client => {value})",
}

# What kind of value something is, in the words of the documentation, and all of it as text.
SHOW = r"""
const tags = value => '__reply_type' in value ? `, tagged "${value.__reply_type}"` : '';
const kind = value => {
    if (value === null) return 'null';
    if (value instanceof String) return 'String object' + tags(value);
    if (value instanceof ArrayBuffer) return 'ArrayBuffer' + tags(value);
    if (Array.isArray(value)) return 'array';
    if (value instanceof Set) return 'Set';
    return typeof value === 'bigint' ? 'BigInt' : typeof value;
};
const text = buffer => [...new Uint8Array(buffer)].map(byte => String.fromCharCode(byte)).join('');
const display = value => {
    switch (kind(value)) {
        case 'null': case 'number': case 'boolean': return Object.is(value, -0) ? '-0' : String(value);
        case 'BigInt': return `${value}n`;
        case 'string': return JSON.stringify(value);
        case 'array': return `[${value.map(display)}]`;
        case 'Set': return `Set(${[...value].map(display).sort()})`;
    }
    if (value instanceof String) return `${value.__reply_type}${JSON.stringify(String(value))}`;
    if (value instanceof ArrayBuffer) return `${value.__reply_type ?? ''}<${text(value)}>`;
    return `{${Object.entries(value).map(([name, one]) => `${name}:${display(one)}`)}}`;
};
const attempt = work => {
    try {
        return work();
    } catch (error) {
        return `throws a ${error.name}: ${error.message}`;
    }
};
"""


def result_of(server, value, *arguments):
    """What a function with this value gives as text, at once."""
    server.upgrade(SHOW, function("f", f"(client, ...args) => {value}"))
    return server.call("f", *arguments)


def both(server, wires, callback):
    """The replies of a function in both protocols."""
    server.upgrade(SHOW, function("f", callback))
    return [one.call("RG.FCALL", "lib", "f", 0) for one in wires]


def in_all_ways(server, wires, value, *statements):
    """The replies in both protocols of functions that give a value, by the way in which they do."""
    return by_way(server, wires, {way: callback.format(value=value) for way, callback in WAYS.items()}, *statements)


def by_way(server, wires, callbacks, *statements):
    """The replies in both protocols of these functions."""
    server.upgrade(SHOW, *statements, *[function(name, callback) for name, callback in callbacks.items()])
    return {name: [one.call("RG.FCALL", "lib", name, 0) for one in wires] for name in callbacks}


def always(two, three):
    """The same replies in all ways."""
    return {way: [wire(two), wire(three)] for way in WAYS}


@contextmanager
def time_limits(server, milliseconds):
    """Other time limits, under the lock and off it, for a while."""
    with (
        server.setting("redisgears_2.lock-redis-timeout", milliseconds),
        server.setting("redisgears_2.background-timeout", milliseconds),
    ):
        yield


def same(reply):
    """The same reply in both protocols."""
    return reply, reply


DATA = [
    ["SET", "text", "value"],
    ["SET", "number", "41"],
    ["SET", "bytes", b"\x00\xff"],
    ["RPUSH", "list", "a", "b", "a"],
    ["SADD", "set", "b", "a"],
    ["SADD", "byte-set", b"\xff"],
    ["HSET", "hash", "b", "1", "a", "2"],
    ["HSET", "byte-hash", b"\xff", "1"],
    ["HSET", "byte-values", "a", b"\xff"],
    ["ZADD", "zset", "1.5", "one", "inf", "most", "-inf", "least"],
    ["XADD", "stream", "1-1", "f", "v", "f", "w"],
    ["XADD", "stream", "1-2", "g", ""],
]


def fill(server):
    """The data that the examples of commands ask for."""
    for command in [["FLUSHALL"], *DATA]:
        server.run(*command)
