"""Recursion without end, things that are deeply nested, and hostile values that are thrown or returned."""

import re

import pytest
from redis import ResponseError

from testing.adversary import ENDED, LIMITED, LONG_MS, PLACES, define
from testing.thrown import NON_ERRORS

MODULE_ARGS = LIMITED

# --- depth ---------------------------------------------------------------------------------------

RECURSIONS = {
    "function": "(function down() { return 1 + down(); })();",
    "getter": "const o = { get a() { return this.a; } }; o.a;",
    "Proxy": "const p = new Proxy({}, { get(target, name, self) { return self[name]; } }); p.a;",
    "toJSON": "const o = { toJSON() { return JSON.stringify(this); } }; JSON.stringify(o);",
    "toString": "const o = { toString() { return `${this}`; } }; `${o}`;",
    "call": "const word = new String('x'); word.toString = () => client.call('ECHO', word); client.call('ECHO', word);",
    "flat": "const list = []; list.push(list, list); list.flat(Infinity);",
    "constructor": "class A { constructor() { new A(); } } new A();",
    "replace": "const again = () => 'x'.replace(/x/, again); again();",
    "sort": "const again = () => [2, 1].sort(again); again();",
    "brackets": "eval('['.repeat(1e6));",
    "regular expression": "new RegExp('('.repeat(1e6) + ')'.repeat(1e6)).test('x');",
}


@pytest.mark.parametrize("place", ["function", "async function", "block"])
@pytest.mark.parametrize("what", RECURSIONS)
def test_recursion_without_end_is_an_error(hostile, place, what):
    hostile.limit(LONG_MS)
    assert re.search(f"Maximum call stack|RangeError|SyntaxError|{ENDED}", hostile.provoke(place, RECURSIONS[what]))


DEPTHS = {
    "bound functions": "let f = () => 1; for (let n = 0; n < 1e5; n++) f = f.bind(null); f();",
    "Proxy on Proxy": "let p = () => 1; for (let n = 0; n < 1e5; n++) p = new Proxy(p, {}); p();",
    "JSON": "JSON.stringify(JSON.parse('['.repeat(1e5) + ']'.repeat(1e5)));",
    "text in text": "let text = 'x'; for (let n = 0; n < 1e6; n++) text = 'y' + text; text.charCodeAt(1e5);",
    "prototypes": "let o = {}; for (let n = 0; n < 1e5; n++) o = Object.create(o); o.a;",
    "scopes": "let f = () => 1; for (let n = 0; n < 1e4; n++) { const g = f; f = () => g(); } f();",
}


@pytest.mark.parametrize("place", ["function", "async function"])
@pytest.mark.parametrize("what", DEPTHS)
def test_great_depth_does_no_harm(hostile, place, what):
    hostile.limit(1000)
    hostile.server.load(PLACES[place].replace("CODE", f"{DEPTHS[what]} return 1;"))
    try:
        assert hostile.call() == 1
    except ResponseError as error:
        assert re.search(f"Maximum call stack|{ENDED}", str(error))


DEEP_RESULTS = {
    "getters": "const deep = { get a() { return deep; } }; return deep;",
    "proxies": "const h = { ownKeys: () => ['a'], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),"
    " get: () => new Proxy({}, h) }; return new Proxy({}, h);",
    "arrays": "let deep = []; for (let n = 0; n < 1e5; n++) deep = [deep]; return deep;",
    "maps": "let deep = new Map(); for (let n = 0; n < 1e5; n++) deep = new Map([[1, deep]]); return deep;",
    "itself": "const list = []; list.push(list); return list;",
    "valueOf": "const n = new Number(1); n.valueOf = () => n; return n;",
}


@pytest.mark.parametrize("kind", ["", "async"])
@pytest.mark.parametrize("what", DEEP_RESULTS)
def test_a_result_without_a_bottom_is_an_error(hostile, what, kind):
    hostile.server.load(define(f"{kind} client => {{ {DEEP_RESULTS[what]} }}"))
    assert "nesting level reached" in hostile.fails()


# --- what is thrown, and what is returned -----------------------------------------------------------

THROWERS = {
    "function": "client => { throw (%s); }",
    "async function": "async client => { throw (%s); }",
    "block": "async client => client.block(() => { throw (%s); })",
    "rejection": "client => Promise.reject(%s)",
    "background": "client => client.run_on_background(async background => { throw (%s); })",
    "getter": "client => ({ get value() { throw (%s); } })",
}


@pytest.mark.parametrize("place", THROWERS)
@pytest.mark.parametrize("what", NON_ERRORS)
def test_whatever_a_function_throws_is_an_error_reply(hostile, what, place):
    hostile.server.load(define(THROWERS[place] % NON_ERRORS[what]))
    assert len(hostile.fails()) < 100_000


NO_RESULTS = {
    "a function": "() => 1",
    "a class": "class {}",
    "a Proxy of a function": "new Proxy(() => 1, {})",
    "a symbol": "Symbol('x')",
    "a revoked Proxy": "(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })()",
    "a Proxy that throws": "new Proxy({}, { ownKeys() { throw new Error('no'); } })",
    "a Proxy that lies": "new Proxy(Object.freeze({ a: 1 }), { ownKeys: () => ['b'] })",
    "an invalid date": "new Date(NaN)",
    "a pending promise in a list": "[new Promise(() => {})]",
    "a text that is too large": "'x'.repeat(2 ** 28)",
    "a list that is too long": "new Array(2 ** 32 - 1)",
    "the same text a thousand times": "new Array(1000).fill('x'.repeat(1 << 20))",
    "the same list over and over": "(() => { let list = []; for (let n = 0; n < 50; n++) list = [list, list]; return list; })()",
}


@pytest.mark.parametrize("kind", ["", "async"])
@pytest.mark.parametrize("what", NO_RESULTS)
def test_what_cannot_be_a_reply_is_an_error(hostile, what, kind):
    hostile.limit(1000)
    hostile.server.load(define(f"{kind} client => ({NO_RESULTS[what]})"))
    assert hostile.fails()
