"""Hostile code that does not end, wherever it is: it is ended in time."""

import re

import pytest

from testing.adversary import ENDED, LIMITED, PLACES, TIMEOUT

MODULE_ARGS = LIMITED

LOOP = "for (;;) { try { for (;;); } catch (error) {} finally { for (;;); } }"


@pytest.mark.parametrize("place", PLACES)
def test_an_endless_loop_is_ended_wherever_it_is(hostile, place):
    assert re.search(TIMEOUT, hostile.provoke(place, LOOP))


MICROTASKS = {
    "promises": "(function self() { Promise.resolve().then(self); })();",
    "await": "(async () => { for (;;) await null; })();",
    "a thenable that resolves to itself": "const t = { then(resolve) { resolve(t); } }; Promise.resolve(t);",
    "more and more": "(function self() { Promise.resolve().then(self); Promise.resolve().then(() => 1); })();",
    "async recursion": "(async function self() { await null; return self(); })();",
}


@pytest.mark.parametrize("place", ["load", "function", "async function", "block", "background", "callback"])
@pytest.mark.parametrize("what", MICROTASKS)
def test_microtasks_without_end_are_ended(hostile, place, what):
    assert re.search(ENDED, hostile.provoke(place, MICROTASKS[what]))


# Each goes on for ever, or for hours, in other ways than by a loop of JavaScript.
SLOW = {
    "JSON to text": "JSON.stringify(new Array(1e5).fill('x'.repeat(1e5)));",
    "rejected promises": "for (;;) Promise.reject(1);",
    "regular expression": "/^(a+)+$/.test('a'.repeat(60) + 'b');",
    "regular expression with back references": "/^(.*)*\\1(.*)*\\2x$/.test('a'.repeat(60));",
    "replace by a regular expression": "'a'.repeat(60).replace(/^(a+)+b$/g, 'x');",
    "power of a BigInt": "10n ** 10000000n * 10n ** 10000000n;",
    "text of a BigInt": "(7n ** 3000000n).toString();",
    "division of BigInts": "const a = 7n ** 3000000n, b = 3n ** 3000000n; for (let n = 0; n < 1000; n++) a / b;",
    "BigInt from text": "BigInt('9'.repeat(20000000));",
    "BigInts that grow": "let n = 3n; for (;;) n = n * n;",
    "sort with a hostile comparator": "[3, 2, 1].sort(() => { for (;;); });",
    "sort with an inconsistent comparator": "for (;;) Array.from({ length: 1e4 }, Math.random).sort(() => Math.random() - 0.5);",
    "sort of a typed array": "new Float64Array(1e5).map(Math.random).sort((a, b) => { for (;;); });",
    "reviver of JSON": "JSON.parse('[1, 2, 3]', () => { for (;;); });",
    "toJSON": "JSON.stringify({ toJSON() { for (;;); } });",
    "JSON that unfolds": "let o = {}; for (let n = 0; n < 40; n++) o = { a: o, b: o }; JSON.stringify(o);",
    "eval": "for (let n = 0; ; n++) eval(`(function f${n}() { return ${n}; })()`);",
    "new Function": "for (let n = 0; ; n++) new Function('a', `return a + ${n};`)(1);",
    "regular expressions that are compiled": "for (;;) new RegExp('a' + Math.random()).test('b');",
    "an iterator without end": "Object.groupBy({ [Symbol.iterator]: () => ({ next: () => ({ value: 1 }) }) }, () => 1);",
    "dates": "for (;;) new Date(Math.random() * 1e12).toLocaleString('de', { timeZone: 'Asia/Tokyo' });",
    "Proxy on Proxy": "let p = {}; for (let n = 0; n < 500; n++) p = new Proxy(p, {}); for (;;) p.a;",
    "logging": "for (;;) redis.log('x'.repeat(100000));",
    "waiting for other threads": "for (;;) try { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1e6); }"
    " catch (error) {}",
    "commands": "for (;;) try { client.call('PING'); } catch (error) {}",
}


@pytest.mark.parametrize("place", ["async function", "block"])
@pytest.mark.parametrize("what", SLOW)
def test_what_takes_too_long_is_ended(hostile, place, what):
    assert re.search(ENDED, hostile.provoke(place, SLOW[what]))


# Built-in functions that V8 does not interrupt: they go on where a length is a number that somebody wrote down.
ARRAY_LIKE = "{ length: 2 ** 53 - 1 }"
UNINTERRUPTED = {
    **{
        name: f"Array.prototype.{name}.call({ARRAY_LIKE}, 1);"
        for name in ("indexOf", "lastIndexOf", "includes", "reverse", "shift", "fill", "flat")
    },
    **{
        name: f"Array.prototype.{name}.call({ARRAY_LIKE}, () => true);"
        for name in ("every", "some", "forEach", "reduceRight")
    },
    "copyWithin": f"Array.prototype.copyWithin.call({ARRAY_LIKE}, 1, 0);",
    "unshift": "Array.prototype.unshift.call({ length: 2 ** 53 - 2 }, 1);",
    "slice": "Array.prototype.slice.call({ length: 2 ** 32 - 1 });",
    "splice": "Array.prototype.splice.call({ length: 2 ** 32 - 1 }, 0);",
    "Array.from": "Array.from({ length: 2 ** 32 - 1 });",
    "fill of a long array": "new Array(2 ** 32 - 1).fill(0);",
    "length and fill": "const a = []; a.length = 2 ** 27; a.fill(1);",
    "Object.keys of bytes": "Object.keys(new Uint8Array(6e7));",
    "Object.entries of bytes": "Object.entries(new Uint8Array(6e7));",
    "Object.keys of a text": "Object.keys(new String('x'.repeat(2 ** 28)));",
    "Object.entries of a text": "Object.entries(new String('x'.repeat(2 ** 27)));",
    "Object.values of a text": "Object.values('x'.repeat(2 ** 28));",
    "Object.assign of a text": "Object.assign({}, 'x'.repeat(2 ** 27));",
    "Reflect.ownKeys of a text": "Reflect.ownKeys(new String('x'.repeat(2 ** 28)));",
    "replace in a huge text": "''.padStart(2 ** 29 - 30, 'ab').replace(/a/g, '');",
}


@pytest.mark.parametrize("what", UNINTERRUPTED)
def test_what_v8_does_not_interrupt_is_bounded(hostile, what):
    assert hostile.provoke("function", UNINTERRUPTED[what])
