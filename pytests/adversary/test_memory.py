"""Hostile code that takes memory without end: it is ended, and the memory is free again."""

import re

import pytest
from redis import ResponseError

from testing.adversary import ENDED, IN_TIME, LIMITED, LONG_MS, OUT_OF_MEMORY, define, in_time

MODULE_ARGS = LIMITED

BOMBS = {
    "arrays": "const bag = []; for (;;) bag.push(new Array(1000).fill(bag.length));",
    "objects": "let chain = null; for (;;) chain = { chain, text: 'x' + Math.random() };",
    "strings": "const bag = []; for (let n = 0; ; n++) bag.push(('x' + n).repeat(1000).toUpperCase());",
    "doubled string": "let text = 'x'; for (;;) text += text;",
    "doubled string that is read": "let text = 'x'; for (;;) { text += text; text.charCodeAt(text.length - 1); }",
    "doubled array": "let list = [1]; for (;;) list = list.concat(list);",
    "pushed numbers": "const bag = []; for (;;) bag.push(1);",
    "pushed doubles": "const bag = []; for (;;) bag.push(0.5);",
    "buffers": "const bag = []; for (;;) bag.push(new ArrayBuffer(1 << 20));",
    "buffers in use": "const bag = []; for (;;) bag.push(new Uint8Array(1 << 20).fill(1));",
    "small buffers": "const bag = []; for (;;) bag.push(new ArrayBuffer(1));",
    "one large buffer": "new ArrayBuffer(2 ** 32);",
    "a buffer that is transferred": "let b = new ArrayBuffer(1 << 20); for (;;) b = b.transfer(b.byteLength + (1 << 20));",
    "shared buffers": "const bag = []; for (;;) bag.push(new SharedArrayBuffer(1 << 20));",
    "typed array from an array": "const list = new Array(4e6).fill(1); const bag = []; for (;;) bag.push(Uint32Array.from(list));",
    "map": "const bag = new Map(); for (let n = 0; ; n++) bag.set('k' + n, [n]);",
    "properties": "const bag = {}; for (let n = 0; ; n++) bag['k' + n] = n;",
    "symbols": "const bag = []; for (let n = 0; ; n++) bag.push(Symbol('x'.repeat(1000) + n));",
    "closures": "let f = () => {}; for (;;) { const g = f; f = () => g; }",
    "pending promises": "const bag = []; for (;;) bag.push(new Promise(() => {}));",
    "settled promises": "const bag = []; for (;;) bag.push(Promise.resolve(bag.length));",
    "chained promises": "let p = Promise.resolve(); for (;;) p = p.then(() => {});",
    "weak references": "const bag = []; for (;;) bag.push(new WeakRef({ a: [1, 2, 3] }));",
    "finalizers": "const r = new FinalizationRegistry(() => {}); const bag = [];"
    " for (;;) { const o = {}; bag.push(o); r.register(o, {}); }",
    "spread of a text": "[...'x'.repeat(2 ** 25)];",
    "characters of a text": "Array.from('x'.repeat(2 ** 25));",
    "replies": "const bag = []; for (;;) bag.push(client.call('ECHO', 'x'.repeat(10000)));",
}
# What needs more time for 64 MB than a test should take.
SLOW_BOMBS = {
    "sort of a copy": "const bag = []; for (;;) bag.push(Array.from({ length: 1e5 }, Math.random).sort());",
    "compiled code": "const bag = []; for (let n = 0; ; n++) bag.push(new Function('return [' + '1.5,'.repeat(1000) + n + ']')());",
    "stacks": "Error.stackTraceLimit = 200; const bag = [];"
    " (function down(n) { if (n) return down(n - 1); for (;;) bag.push(new Error('x').stack); })(100);",
    "collators": "const bag = []; for (;;) bag.push(new Intl.Collator('de'));",
    "date formats": "const bag = []; for (;;) bag.push(new Intl.DateTimeFormat('de', { dateStyle: 'full' }));",
    "number formats": "const bag = []; for (;;) bag.push(new Intl.NumberFormat('de', { style: 'currency', currency: 'EUR' }));",
}


# Every bomb off the lock, and some of each kind with it: the heap is the same.
BOMB_PLACES = [("async function", what) for what in BOMBS] + [
    ("block" if number % 2 else "function", what) for number, what in enumerate(BOMBS) if number % 3 == 0
]


@pytest.mark.parametrize(("place", "what"), BOMB_PLACES)
def test_what_takes_too_much_memory_is_ended(hostile, place, what):
    hostile.limit(LONG_MS)
    assert re.search(OUT_OF_MEMORY, hostile.provoke(place, BOMBS[what]))


@pytest.mark.parametrize("place", ["function", "async function"])
@pytest.mark.parametrize("what", SLOW_BOMBS)
def test_what_takes_too_much_memory_slowly_is_ended(hostile, place, what):
    hostile.limit(300)
    assert re.search(ENDED, hostile.provoke(place, SLOW_BOMBS[what]))


@pytest.mark.parametrize("place", ["load", "callback", "async callback", "getter of the result", "toString of an argument",
                                   "promise chain", "background", "ownKeys of the result"])
@pytest.mark.parametrize("what", ["arrays", "buffers in use"])
def test_memory_is_bounded_wherever_it_is_taken(hostile, place, what):
    hostile.limit(LONG_MS)
    assert re.search(OUT_OF_MEMORY, hostile.provoke(place, BOMBS[what]))


def test_a_bomb_in_block_that_is_caught_is_ended_all_the_same(hostile):
    hostile.limit(LONG_MS)
    code = f"for (;;) try {{ client.block(() => {{ {BOMBS['arrays']} }}); }} catch (error) {{}}"
    assert re.search(OUT_OF_MEMORY, hostile.provoke("async function", code))


# Memory outside of the heap that V8 maps by itself. Each takes, and fills, 256 MB, where a library may have 64.
MAPPED = {
    "a resizable buffer": "const b = new ArrayBuffer(8, { maxByteLength: 2 ** 29 }); b.resize(2 ** 28); new Uint8Array(b).fill(1);",
    "a growable shared buffer": "const b = new SharedArrayBuffer(8, { maxByteLength: 2 ** 29 }); b.grow(2 ** 28);"
    " new Uint8Array(b).fill(1);",
    "memory of WebAssembly": "const m = new WebAssembly.Memory({ initial: 4096 }); new Uint8Array(m.buffer).fill(1);",
    "memory of WebAssembly that grows": "const m = new WebAssembly.Memory({ initial: 1 }); m.grow(4095);"
    " new Uint8Array(m.buffer).fill(1);",
}


@pytest.mark.parametrize("what", MAPPED)
def test_memory_that_v8_maps_counts_as_well(hostile, what):
    hostile.limit(LONG_MS)
    # Where a thing is not there at all, that is fine too.
    error = hostile.provoke("function", MAPPED[what])
    assert re.search(f"{OUT_OF_MEMORY}|ReferenceError|RangeError|TypeError", error)


# A guard that asks for a length must ask for it once: the second answer may be another. Then nothing is wrong.
TWO_LENGTHS = {
    name: f"let asked = 0; Array.prototype.{name}.call({{ get length() {{ return asked++ ? {length} : 1; }} }}, {arguments});"
    " throw new RangeError();"
    for name, length, arguments in (
        ("sort", "2 ** 53 - 1", ""),
        ("toSorted", "2 ** 31", ""),
        ("toReversed", "2 ** 27", ""),
        ("with", "2 ** 27", "0, 1"),
        ("toSpliced", "2 ** 27", "0, 1"),
    )
}
# More elements than one array of V8 can have.
TOO_MANY = {
    "match": "'x'.repeat(2 ** 28).match(/x/g);",
    "matchAll": "[...'x'.repeat(2 ** 28).matchAll(/x/g)];",
    "split by a regular expression": "/(?:)/[Symbol.split]('x'.repeat(2 ** 28));",
    "replace by a function": "'x'.repeat(2 ** 28).replace(/x/g, () => '');",
    "split": "'x'.repeat(2 ** 28).split('');",
    "concat": "const a = new Array(2 ** 25).fill(0); [].concat(a, a, a, a, a, a, a, a);",
    "sort of a long array": "new Array(2 ** 28).sort();",
    "match, called directly": "/x/g[Symbol.match]('x'.repeat(2 ** 28));",
    "matchAll, called directly": "[.../x/g[Symbol.matchAll]('x'.repeat(2 ** 28))];",
    "replace by a function, called directly": "/x/g[Symbol.replace]('x'.repeat(2 ** 28), () => '');",
    "split, called directly": "/x/[Symbol.split]('x'.repeat(2 ** 28));",
    "split, called on a class of its own": "class R extends RegExp {} new R('x')[Symbol.split]('x'.repeat(2 ** 28));",
    "split by many groups": "'x'.repeat(2 ** 26).split(/(((((((((x)))))))))/);",
    "split by groups that are none": "class R extends RegExp { exec() { this.lastIndex = 1; return { length: 2 ** 32 }; } }"
    " new R('x')[Symbol.split]('abc');",
    "replace of groups that are none": "const r = /x/; r.exec = () => ({ index: 0, length: 2 ** 32, 0: 'a' }); 'abc'.replace(r, 'z');",
    "replace of groups that come late": "const r = /x/; 'abc'.replace(r, { toString() {"
    " r.exec = () => ({ index: 0, length: 2 ** 32, 0: 'a' }); return 'z'; } });",
    "replace of groups of all": "RegExp.prototype.exec = () => ({ index: 0, length: 2 ** 32, 0: 'a' }); 'abc'.replace(/x/, 'z');",
}
# What is asked for a length, and gives something else than a number, each time another.
for method, more in (("toSorted", ""), ("toReversed", ""), ("with", "0, 1"), ("toSpliced", "0, 1"), ("sort", "")):
    TOO_MANY[f"{method} of a length that is no number"] = (
        "for (let answers = 0; answers < 32; answers++) { let asked = 0;"
        " const number = { valueOf: () => answers >> asked++ & 1 ? 2 ** 32 - 1 : 1 }; globalThis.Math = { floor: () => number };"
        f" try {{ Array.prototype.{method}.call({{ length: 1.5 }}, {more}); }} catch (error) {{}} }} throw new RangeError();"
    )


@pytest.mark.parametrize("what", [*TWO_LENGTHS, *TOO_MANY])
def test_too_many_elements_are_an_error(hostile, what):
    hostile.limit(1000)
    error = hostile.provoke("async function", (TWO_LENGTHS | TOO_MANY)[what])
    assert re.search(f"{ENDED}|RangeError|TypeError", error)


def test_a_million_promises_are_kept_or_refused(hostile):
    hostile.limit(LONG_MS)
    hostile.server.load(
        define("async client => (await Promise.all(Array.from({ length: 1e6 }, async () => { await null; }))).length")
    )
    with in_time(LONG_MS / 1000 + IN_TIME):
        try:
            assert hostile.server.run("RG.FCALL", "lib", "f", 0) == 1_000_000
        except ResponseError as error:
            assert re.search(ENDED, str(error))
