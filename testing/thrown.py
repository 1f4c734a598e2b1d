"""What code can throw that is no Error, or no proper one: by name, JavaScript expressions."""

NON_ERRORS = {
    "undefined": "undefined",
    "null": "null",
    "a number": "42",
    "a BigInt": "10n",
    "a Symbol": "Symbol('sign')",
    "an object without prototype": "Object.create(null)",
    "an object whose toString throws": "{ toString() { throw new Error('again'); } }",
    "an object whose toString throws itself": "(() => { const o = { toString() { throw o; } }; return o; })()",
    "an object whose toString gives an object": "{ toString() { return {}; } }",
    "a function": "() => {}",
    "a Proxy that throws at every touch": "new Proxy({}, { get() { throw 1; }, getPrototypeOf() { throw 2; },"
    " has() { throw 3; }, ownKeys() { throw 4; } })",
    "a revoked Proxy": "(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })()",
    "an Error whose message and stack throw": "Object.defineProperties(new Error(),"
    " { message: { get() { throw 1; } }, stack: { get() { throw 2; } } })",
    "an Error whose stack is no text": "Object.assign(new Error('message'), { stack: Symbol('s'), message: 7n })",
    "an object whose toString never ends": "{ toString() { for (;;); } }",
    "a huge string": "'x'.repeat(1 << 26)",
    "a string with NUL and line ends": "'a\\0b\\r\\n+OK\\r\\n'",
    "a lone surrogate": "'\\ud800'",
}
