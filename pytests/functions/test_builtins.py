"""Built-ins that V8 does not interrupt: beyond a size they are done in steps that can be ended, or throw. Up to it nothing changes."""

import pytest
import redis

from testing.libraries import function

ENDED = "terminated due to OOM or timeout"
TOO_MANY = "RangeError"

# Each of these would go on for a minute or for good.
ENDLESS = """
    Array(1e9).fill(0)
    Array.from({length: 1e9})
    Array.from(Array(1e9))
    (a => { a[5] = 1; a.reverse(); })(Array(1e9))
    Array(1e9).indexOf(1)
    Array(1e9).lastIndexOf(1)
    Array(1e9).includes(1)
    Array(1e9).forEach(x => x)
    Array(1e9).map(x => x)
    Array(1e9).every(x => x)
    Array(1e9).reduce((a, b) => a, 0)
    Array(1e9).slice(5)
    Array(1e9).flat()
    Array(1e9).copyWithin(0, 5)
    Array(1e9).concat(Array(1e9))
    (a => { a[5] = 1; a.splice(3, 1); })(Array(1e9))
    (a => { a[5] = 1; a.unshift(1); })(Array(1e9))
    (a => { a[5] = 1; a.shift(); })(Array(1e9))
    Array(6e7).toSorted()
    Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)
    Array.prototype.forEach.call({length: 2 ** 53 - 1}, x => x)
    Array.prototype.reverse.call({length: 2 ** 53 - 1})
    Array.prototype.fill.call({length: 2 ** 53 - 1}, 1)
    Array.prototype.flat.call({length: 2 ** 53 - 1})
    Array.prototype.shift.call({length: 2 ** 53 - 1})
    Array.prototype.slice.call({length: 2 ** 53 - 1}, 0, 2 ** 32 - 1)
    Array.prototype.some.call((n => ({ get length() { return n++ ? 2 ** 53 - 1 : 0; } }))(1), x => x)
    Array.prototype.some.call(new Proxy([], { get: (t, k) => k === 'length' ? 2 ** 53 - 1 : t[k] }), x => x)
    Array.prototype.some.call(Proxy.revocable([], { get: (t, k) => k === 'length' ? 2 ** 53 - 1 : t[k] }).proxy, x => x)
    new Float64Array(5e7).map((x, i) => -i).sort()
    new Uint8Array(2e8).join('')
    "x".repeat(6e7).replace(/x/g, "yyy")
    "x".repeat(6e7).replaceAll("x", "yyy")
    "x".repeat(6e7).split(/x/)
    "x".repeat(6e7).match(/x/g)
    "a".repeat(1e8).indexOf("b" + "a".repeat(1e7))
    "a".repeat(1e8).lastIndexOf("a".repeat(1e7) + "b")
    "a".repeat(1e8).split("b" + "a".repeat(1e7))
    "a".repeat(1e8).includes({ toString: () => "b" + "a".repeat(1e7) })
    String.raw({ raw: { length: 1e9 } })
    "e".repeat(2e8).normalize("NFD")
    encodeURIComponent("x".repeat(5e8))
    Object.keys(Array(1e7).fill(0))
    Uint8Array.from({ length: 9e8 })
    Array(1e7).fill(1.1).toLocaleString("de")
    Array(1.6e6).fill(Array(1000).fill(1)).flat()
    Array(16).fill(Array(1e9)).flat()
    (a => { for (let i = 0; i < 40; i++) a = [a, a]; a.flat(Infinity); })([1])
    [1].flatMap(() => Array(1e9))
    Array(2000).fill(0).map((_, i) => "a".repeat(1e6) + i).sort()
    Array(2000).fill(0).map((_, i) => "a".repeat(1e6) + i).toSorted()
    (s => s.intersection(s))(new Set(Array(5e6).keys()))
    (s => s.difference(s))(new Set(Array(5e6).keys()))
    Function("a=1;".repeat(1.6e7))
    (async () => {}).constructor("a=1;".repeat(1.6e7))
    eval("a=1;".repeat(1.6e7))
    (0, eval)("a".repeat(5e8))
""".strip().splitlines()


# What takes a moment now, so that it may come to its end; and what does on a fast machine.
SEARCHES = ("indexOf(", "lastIndexOf(", "includes(")
SHORT = "new Uint8Array(2e8).join('')"


@pytest.mark.parametrize("code", [line.strip() for line in ENDLESS])
def test_it_ends_and_the_library_goes_on(server, code):
    server.load(function("f", f"client => {{ try {{ {code}; }} catch (error) {{ return String(error); }} return 'done'; }}"),
                function("g", "client => 'here'"))
    try:
        found = server.call("f")
    except redis.ResponseError as error:
        assert ENDED in str(error), error
    else:
        may_end = code == SHORT or (code.startswith('"') and any(name in code for name in SEARCHES))
        assert found.startswith((TOO_MANY, "EvalError")) or (may_end and found == "done"), found
    assert server.call("g") == "here"


# What gives the same as ever: code, and what JSON says of its value.
SAME = {
    "[3, 1, 2].sort()": "[1,2,3]",
    "[1, 2, 3].map(x => 2 * x)": "[2,4,6]",
    "[1, , 3].forEach(x => x) ?? 'none'": '"none"',
    "Array.prototype.slice.call({ length: 2, 0: 'a', 1: 'b' })": '["a","b"]',
    "(function () { return Array.prototype.slice.call(arguments, 1); })(1, 2, 3)": "[2,3]",
    "(function () { return Array.prototype.map.call(arguments, x => x + 1); })(1, 2)": "[2,3]",
    "Array.prototype.indexOf.call('abc', 'b')": "1",
    "Array.from({ length: 3 }, (_, i) => i)": "[0,1,2]",
    "Array.from(new Set([1, 2]))": "[1,2]",
    "Array.from('a\\u{1f600}').length": "2",
    "Array.from('a\\u{1f600}'.repeat(6e5)).length": "1200000",
    "[].concat([1], 2, { length: 1, 0: 'x', [Symbol.isConcatSpreadable]: true })": '[1,2,"x"]',
    "class L extends Array {}; new L(3).fill(1).map(x => x) instanceof L": "true",
    "new Proxy([1, 2], {}).map(x => x + 1)": "[2,3]",
    "Proxy.name + Proxy.length + typeof Proxy.prototype": '"Proxy2undefined"',
    "[1, 2, 3].fill.length + [].indexOf.name": '"1indexOf"',
    "'abc'.indexOf('c') + 'abcabc'.lastIndexOf('abc') + 'abc'.indexOf('') + 'abc'.lastIndexOf('')": "8",
    "'a.b.c'.split('.', 2)": '["a","b"]',
    "'aXbX'.replaceAll('X', '[$&]') + 'abc'.replace('b', (m, at) => m + at)": '"a[X]b[X]ab1c"',
    "'x'.repeat(2e6).replace(/x/g, 'yy').length": "4000000",
    "'ab'.repeat(6e5).replace(/(?<first>a)(b)/g, '$2$<first>').slice(0, 4)": '"baba"',
    "'ab'.repeat(6e5).match(/a/g).length": "600000",
    "'ab'.repeat(6e5).match(/x/g)": "null",
    "'ab'.repeat(6e5).match(/(?:)/g).length": "1200001",
    "'\\u{1f600}'.repeat(6e5).match(/(?:)/gu).length": "600001",
    "'\\u{1f600}'.repeat(6e5).split(/(?:)/u).length": "600000",
    "'ab'.repeat(6e5).split(/(?:)/).length": "1200000",
    "'ab'.repeat(6e5).split(/(b)/, 4)": '["a","b","a","b"]',
    "'ab'.repeat(6e5).split(/(b)|(x)/).length": "1800001",
    "'ab'.repeat(6e5).split(/B/i).length": "600001",
    "'ab'.repeat(6e5).replace(/(a)(x)?/g, '[$1$2$3$$$&]').slice(0, 12)": '"[a$3$a]b[a$3"',
    "'ab'.repeat(6e5).replace(/b/g, (m, at) => at).slice(0, 6)": '"a1a3a5"',
    "'ab'.repeat(6e5).replace(/(?<k>b)/g, (...all) => all.length + all[4].k).slice(0, 6)": '"a5ba5b"',
    "'ab'.repeat(6e5).replace(/b/, '').length": "1199999",
    "(r => { r.lastIndex = 3; 'ab'.repeat(6e5).replace(r, ''); return r.lastIndex; })(/b/g)": "0",
    "'ab'.repeat(6e5).split(/b/).length": "600001",
    "'ab'.repeat(6e5).split('b').length": "600001",
    "'ab'.repeat(6e5).split('').length": "1200000",
    "'ab'.repeat(6e5).split('', 3)": '["a","b","a"]',
    "'ab'.repeat(6e5).replaceAll('b', '-$`'.slice(0, 1)).length": "1200000",
    "'ab'.repeat(6e5).replaceAll('', '-').length": "2400001",
    "'a'.repeat(1e6).indexOf('b' + 'a'.repeat(5e5))": "-1",
    "('a'.repeat(1e6) + 'b').indexOf('a'.repeat(5e5) + 'b')": "500000",
    "('a'.repeat(1e6) + 'b').lastIndexOf('a'.repeat(5e5))": "500000",
    "('a'.repeat(1e6) + 'b').lastIndexOf('a'.repeat(5e5), 7)": "7",
    "('a'.repeat(1e6) + 'b').includes('a'.repeat(5e5) + 'b', 600000)": "false",
    "(a => { a.sort(); let wrong = 0; for (let i = 1; i < a.length; i++) if (a[i - 1] > a[i]) wrong++; return [wrong, a[0]]; })"
    "(new Int32Array(2500000).map((x, i) => (i * 7919) % 2500000))": "[0,0]",
    "(a => { a[3] = NaN; a[4] = -0; a.sort(); const at = a.indexOf(0); return [a[a.length - 1], Object.is(a[at], -0), a[0]]; })"
    "(new Float64Array(1100000).map((x, i) => (i * 7919) % 1100000 - 7))": "[null,true,-7]",
    "new Uint8Array(1500000).fill(1).join('').length": "1500000",
    "(a => [a.length, a[a.length - 1], a.indexOf(-1)])(Array(17000000).fill(4))": "[17000000,4,-1]",
    "[Object.keys({ a: 1 }), Object.assign({}, [1]), Reflect.ownKeys([1])]": '[["a"],{"0":1},["0","length"]]',
    "[encodeURIComponent('\\u00e4'), parseInt('12px', 10), Number.parseInt === parseInt, 'I'.toLowerCase()]": '["%C3%A4",12,true,"i"]',
    "String.raw`a${1}\\n`": '"a1\\\\n"',
    "[1.5, 2].toLocaleString('de')": '"1,5,2"',
    "Array(2 ** 24).join('').length": "0",
    "[1, [2, [3, [4]]], , 'x'].flat()": '[1,2,[3,[4]],"x"]',
    "[1, [2, [3, [4]]]].flat(Infinity)": "[1,2,3,4]",
    "[1, [2, [3]]].flat(0)": "[1,[2,[3]]]",
    "[[1, , 2]].flat('1')": "[1,2]",
    "[1, 2].flatMap((x, at, all) => [x, [at, all.length]])": "[1,[0,2],2,[1,2]]",
    "[3].flatMap(function (x) { return this.by * x; }, { by: 2 })": "[6]",
    "Array.prototype.flat.call({ length: 2, 0: [1], 1: 2 })": "[1,2]",
    "[[1]].flat.length + [].flatMap.length + [].flat.name + [].flatMap.name": '"1flatflatMap"',
    "class M extends Array {}; [M.from([[1]]).flat() instanceof M, M.from([1]).flatMap(x => x) instanceof M]": "[true,true]",
    "[10, 9, 1, undefined, 'b', null, , 'a', -1].sort()": '[-1,1,10,9,"a","b",null,null,null]',
    "[10, 9, 1].toSorted()": "[1,10,9]",
    "['\\u00e9', 'z', 'a', '\\u{1f600}', '\\uffff'].sort().map(x => x.codePointAt(0))": "[97,122,233,128512,65535]",
    "[1, 2].sort(undefined)": "[1,2]",
    "[...new Set([1, 2]).union(new Map([[3, 1]]))]": "[1,2,3]",
    "[...new Set([1, 2]).intersection({ size: 1, has: x => x === 2, keys: () => [2].values() })]": "[2]",
    "[new Set([1]).isSubsetOf(new Set([1, 2])), Set.prototype.union.length, Set.prototype.union.name]": '[true,1,"union"]',
    "[eval('1 + 1'), eval(5), Function('a', 'return a + 1')(1), eval('`' + 'x'.repeat(2e6) + '`').length]": "[2,5,2,2000000]",
    "(o => eval(o) === o)({})": "true",
}


@pytest.mark.parametrize("code", SAME)
def test_it_gives_the_same_as_ever(server, code):
    *before, last = code.split("; ") if code.startswith("class ") else [code]
    before = "".join(f"{line};" for line in before)
    with server.setting("redisgears_2.lock-redis-timeout", 60000):
        server.load(function("f", f"client => {{ {before} return JSON.stringify({last}); }}"))
        assert server.call("f") == SAME[code]


WRONG = {
    "[].reduce((a, b) => a)": "TypeError: Reduce of empty array with no initial value",
    "Array.prototype.map.call(null, x => x)": "TypeError",
    "[1].map(1)": "TypeError: number 1 is not a function",
    "'a'.includes(/a/)": "TypeError",
    "String.prototype.indexOf.call(undefined, 'a')": "TypeError",
    "Proxy({}, {})": "TypeError: Constructor Proxy requires 'new'",
    "'a'.indexOf(Symbol())": "TypeError",
    "decodeURIComponent('%')": "URIError",
    "[1].flatMap(1)": "TypeError: flatMap mapper function is not callable",
    "Array.prototype.flat.call(null)": "TypeError: Array.prototype.flat called on null or undefined",
    "[1, Symbol()].sort()": "TypeError",
    "[1].sort(1)": "TypeError",
    "new Set([1]).union(1)": "TypeError",
    "Set.prototype.union.call({}, new Set())": "TypeError",
    "Function('}')": "SyntaxError",
}


@pytest.mark.parametrize("code", WRONG)
def test_a_wrong_call_is_as_wrong_as_ever(server, code):
    server.load(function("f", f"client => {{ try {{ return String({code}); }} catch (error) {{ return String(error); }} }}"))
    assert server.call("f").startswith(WRONG[code])
