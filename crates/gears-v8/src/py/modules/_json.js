// What the Python module `json` stands on: texts to values and back, in one go. Brython's own lets errors of JavaScript
// through, knows neither `indent` with nested dictionaries nor `parse_float`, and needs the module `re`.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;
    const NONE = _b_.None;

    const ESCAPED = /["\\\x00-\x1f]/g;
    const ESCAPED_ASCII = /["\\\x00-\x1f\x7f-\uffff]/g;
    const SHORT = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b" };
    const escape = (unit) => SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

    function raise(type, message) {
        $B.RAISE(type, message);
    }

    function quoted(text, only_ascii) {
        return `"${text.replace(only_ascii ? ESCAPED_ASCII : ESCAPED, escape)}"`;
    }

    function float_text(value, allow_nan) {
        if (Number.isFinite(value)) {
            return _b_.float.tp_repr($B.fast_float(value));
        }
        if (!allow_nan) {
            const shown = _b_.float.tp_repr($B.fast_float(value));
            raise(_b_.ValueError, `Out of range float values are not JSON compliant: ${shown}`);
        }
        return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
    }

    /** The text of a value without parts, or `undefined`. */
    function scalar(object, options) {
        switch (typeof object) {
            case "string":
                return quoted(object, options.only_ascii);
            case "number":
            case "bigint":
                return object.toString();
            case "boolean":
                return object ? "true" : "false";
        }
        if (object === NONE) {
            return "null";
        }
        const type = $B.get_class(object);
        if (type === _b_.float || $B.$isinstance(object, _b_.float)) {
            return float_text(object.value, options.allow_nan);
        }
        if ($B.is_str(object)) {
            return quoted(String(_b_.str.$factory(object)), options.only_ascii);
        }
        return $B.is_int(object) ? $B.int_value(object).toString() : undefined;
    }

    function key_text(key, options) {
        if ($B.is_str(key)) {
            return typeof key === "string" ? key : String(_b_.str.$factory(key));
        }
        const text = scalar(key, options);
        if (text === undefined && !options.skip_keys) {
            raise(_b_.TypeError, `keys must be str, int, float, bool or None, not ${$B.class_name(key)}`);
        }
        return text;
    }

    function write(object, options, depth) {
        const simple = scalar(object, options);
        if (simple !== undefined) {
            return simple;
        }
        if (options.check_circular) {
            if (options.open.has(object)) {
                raise(_b_.ValueError, "Circular reference detected");
            }
            options.open.add(object);
        }
        let result;
        if ($B.is_dict(object)) {
            result = write_dict(object, options, depth);
        } else if (Array.isArray(object)) {
            result = bracketed("[", object.map((item) => write(item, options, depth + 1)), "]", options, depth);
        } else {
            result = write(options.otherwise(object), options, depth);
        }
        options.open.delete(object);
        return result;
    }

    function write_dict(object, options, depth) {
        let pairs = Array.from(_b_.dict.$iter_items(object));
        if ($B.get_class(object) !== _b_.dict) {
            pairs = Array.from($B.make_js_iterator($B.$call($B.$getattr(object, "items"))), ([key, value]) => ({ key, value }));
        }
        if (options.sort_keys) {
            pairs.sort((left, right) => ($B.rich_comp("__lt__", left.key, right.key) ? -1 : $B.rich_comp("__lt__", right.key, left.key) ? 1 : 0));
        }
        const items = [];
        for (const { key, value } of pairs) {
            const name = key_text(key, options);
            if (name !== undefined) {
                items.push(quoted(name, options.only_ascii) + options.key_separator + write(value, options, depth + 1));
            }
        }
        return bracketed("{", items, "}", options, depth);
    }

    function bracketed(open, items, close, options, depth) {
        if (items.length === 0) {
            return open + close;
        }
        if (options.indent === undefined) {
            return open + items.join(options.item_separator) + close;
        }
        const inner = `\n${options.indent.repeat(depth + 1)}`;
        return `${open}${inner}${items.join(options.item_separator + inner)}\n${options.indent.repeat(depth)}${close}`;
    }

    function dumps(object, skip_keys, only_ascii, check_circular, allow_nan, indent, item_separator, key_separator, otherwise, sort_keys) {
        let space;
        if (indent !== NONE) {
            space = $B.is_str(indent) ? String(indent) : " ".repeat(Math.max(0, Number($B.int_value(indent))));
        }
        return write(object, {
            skip_keys: $B.$bool(skip_keys),
            only_ascii: $B.$bool(only_ascii),
            check_circular: $B.$bool(check_circular),
            allow_nan: $B.$bool(allow_nan),
            indent: space,
            item_separator: String(item_separator),
            key_separator: String(key_separator),
            otherwise: (value) => $B.$call(otherwise, value),
            sort_keys: $B.$bool(sort_keys),
            open: new Set(),
        }, 0);
    }

    const SPACE = /[ \t\n\r]*/y;
    const NUMBER = /(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
    const PLAIN = /[^"\\\x00-\x1f]*/y;
    const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

    /** Reads the value at `start`; gives it and where it ends. `fail(message, position)` raises. */
    function read(text, start, hooks, fail) {
        let at = start;
        function skip() {
            SPACE.lastIndex = at;
            SPACE.exec(text);
            at = SPACE.lastIndex;
        }
        function string() {
            const begin = at;
            at += 1;
            let result = "";
            for (;;) {
                PLAIN.lastIndex = at;
                result += PLAIN.exec(text)[0];
                at = PLAIN.lastIndex;
                const next = text[at];
                if (next === '"') {
                    at += 1;
                    return $B.mend.own_text(result);
                }
                if (next === undefined) {
                    fail("Unterminated string starting at", begin);
                }
                if (next !== "\\") {
                    if (hooks.strict) {
                        fail("Invalid control character at", at);
                    }
                    result += next;
                    at += 1;
                    continue;
                }
                const escaped = text[at + 1];
                if (escaped === undefined) {
                    fail("Unterminated string starting at", begin);
                }
                if (escaped === "u") {
                    const digits = text.slice(at + 2, at + 6);
                    if (!/^[0-9a-fA-F]{4}$/.test(digits)) {
                        fail("Invalid \\uXXXX escape", at + 1);
                    }
                    result += String.fromCharCode(parseInt(digits, 16));
                    at += 6;
                } else if (ESCAPES[escaped] === undefined) {
                    fail("Invalid \\escape", at);
                } else {
                    result += ESCAPES[escaped];
                    at += 2;
                }
            }
        }
        function constant(name, value) {
            at += name.length;
            return value(name);
        }
        function value() {
            switch (text[at]) {
                case '"':
                    return string();
                case "{":
                    return object();
                case "[":
                    return array();
                case "n":
                    if (text.startsWith("null", at)) {
                        return constant("null", () => NONE);
                    }
                    break;
                case "t":
                    if (text.startsWith("true", at)) {
                        return constant("true", () => true);
                    }
                    break;
                case "f":
                    if (text.startsWith("false", at)) {
                        return constant("false", () => false);
                    }
                    break;
                case "N":
                    if (text.startsWith("NaN", at)) {
                        return constant("NaN", hooks.constant);
                    }
                    break;
                case "I":
                    if (text.startsWith("Infinity", at)) {
                        return constant("Infinity", hooks.constant);
                    }
                    break;
                case "-":
                    if (text.startsWith("-Infinity", at)) {
                        return constant("-Infinity", hooks.constant);
                    }
            }
            NUMBER.lastIndex = at;
            const match = NUMBER.exec(text);
            if (match === null) {
                fail("Expecting value", at);
            }
            at = NUMBER.lastIndex;
            return match[2] === undefined && match[3] === undefined ? hooks.int(match[0]) : hooks.float(match[0]);
        }
        function array() {
            const items = [];
            at += 1;
            skip();
            if (text[at] === "]") {
                at += 1;
                return $B.$list(items);
            }
            for (;;) {
                items.push(value());
                skip();
                if (text[at] === "]") {
                    at += 1;
                    return $B.$list(items);
                }
                if (text[at] !== ",") {
                    fail("Expecting ',' delimiter", at);
                }
                at += 1;
                skip();
            }
        }
        function object() {
            const pairs = [];
            at += 1;
            skip();
            if (text[at] === "}") {
                at += 1;
                return hooks.pairs(pairs);
            }
            for (;;) {
                if (text[at] !== '"') {
                    fail("Expecting property name enclosed in double quotes", at);
                }
                const name = string();
                skip();
                if (text[at] !== ":") {
                    fail("Expecting ':' delimiter", at);
                }
                at += 1;
                skip();
                pairs.push([name, value()]);
                skip();
                if (text[at] === "}") {
                    at += 1;
                    return hooks.pairs(pairs);
                }
                if (text[at] !== ",") {
                    fail("Expecting ',' delimiter", at);
                }
                at += 1;
                skip();
            }
        }
        return { value: value(), end: at };
    }

    const CONSTANTS = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };

    function int_of(digits) {
        const value = Number(digits);
        return Number.isSafeInteger(value) ? value || 0 : BigInt(digits);
    }

    /** Gives the value that begins at `start` and the position behind it, as a tuple. */
    function scan(text, start, object_hook, parse_float, parse_int, parse_constant, pairs_hook, strict, error) {
        const call = (hook, otherwise) => (hook === NONE ? otherwise : (given) => $B.$call(hook, given));
        const source = String(text);
        const hooks = {
            strict: $B.$bool(strict),
            int: call(parse_int, int_of),
            float: call(parse_float, (digits) => $B.fast_float(Number(digits))),
            constant: call(parse_constant, (name) => $B.fast_float(CONSTANTS[name])),
            pairs(pairs) {
                if (pairs_hook !== NONE) {
                    return $B.$call(pairs_hook, $B.$list(pairs.map((pair) => $B.fast_tuple(pair))));
                }
                const result = _b_.dict.$from_array(pairs);
                return object_hook === NONE ? result : $B.$call(object_hook, result);
            },
        };
        const { value, end } = read(source, start, hooks, (message, position) => {
            throw $B.$call(error, message, source, position);
        });
        return $B.fast_tuple([value, end]);
    }

    $B.addToImported("_json", { dumps, scan, quoted: (text, only_ascii) => quoted(String(text), $B.$bool(only_ascii)) });
})(__BRYTHON__);
