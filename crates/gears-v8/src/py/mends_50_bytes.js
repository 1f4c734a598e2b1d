// Bytes: encodings, and the methods of `bytes` and `bytearray`. Brython's share arrays between objects, drop bytes that
// are zero, and know encodings by the browser's TextEncoder, which a server has not.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;
    const { bytes, bytearray } = _b_;
    const NONE = _b_.None;

    function is_bytes(object) {
        return $B.$isinstance(object, [bytes, bytearray]);
    }
    /** The bytes of an object, as an array that is not to be changed. */
    function source_of(object) {
        if (is_bytes(object)) {
            return object.source;
        }
        if ($B.get_class(object) === _b_.memoryview) {
            return _b_.memoryview.tp_funcs.tobytes(object).source;
        }
        return $B.RAISE(_b_.TypeError, `a bytes-like object is required, not '${$B.class_name(object)}'`);
    }
    // A text with a character for each byte: all that looks for and takes apart is there already.
    const text_of = (object) => {
        const source = source_of(object);
        let text = "";
        for (let at = 0; at < source.length; at += 8192) {
            text += String.fromCharCode.apply(null, source.slice(at, at + 8192));
        }
        return text;
    };
    const array_of = (text) => Array.from(text, (unit) => unit.charCodeAt(0));
    function make(like, text) {
        const type = $B.$isinstance(like, bytearray) ? bytearray : bytes;
        return make_of(type, array_of(text));
    }
    function make_of(type, source) {
        const made = { ob_type: type, source };
        if (type === bytearray) {
            made.exports = 0;
            $B.init_dict(made);
        }
        return made;
    }

    function utf8(text, errors) {
        const result = [];
        for (let at = 0; at < text.length; at += 1) {
            const code = text.codePointAt(at);
            if (code < 0x80) {
                result.push(code);
            } else if (code < 0x800) {
                result.push(0xc0 | (code >> 6), 0x80 | (code & 63));
            } else if (code >= 0xd800 && code < 0xe000) {
                if (errors === "surrogatepass") {
                    result.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
                } else if (errors === "surrogateescape" && code >= 0xdc80 && code <= 0xdcff) {
                    result.push(code & 0xff);
                } else {
                    result.push(...unencodable("utf-8", text, at, errors, "surrogates not allowed"));
                }
            } else if (code < 0x10000) {
                result.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
            } else {
                result.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
                at += 1;
            }
        }
        return result;
    }

    /** What stands for a character that an encoding has not: bytes, or an error. */
    function unencodable(encoding, text, at, errors, reason) {
        const code = text.codePointAt(at);
        const hex = code.toString(16);
        const escape = code < 0x100 ? `\\x${hex.padStart(2, "0")}` : code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
        switch (errors) {
            case "ignore":
                return [];
            case "replace":
                return [63];
            case "backslashreplace":
                return array_of(escape);
            case "xmlcharrefreplace":
                return array_of(`&#${code};`);
        }
        const position = Array.from(text.slice(0, at)).length;
        const error = $B.$call(
            _b_.UnicodeEncodeError, `'${encoding}' codec can't encode character '${escape}' in position ${position}: ${reason}`);
        $B.assign_dict(error, { encoding, object: text, start: position, end: position + 1, reason });
        throw error;
    }

    function narrow(encoding, limit) {
        return function (text, errors) {
            const result = [];
            for (let at = 0; at < text.length; at += 1) {
                const code = text.codePointAt(at);
                if (code < limit) {
                    result.push(code);
                    continue;
                }
                result.push(...unencodable(encoding, text, at, errors, `ordinal not in range(${limit})`));
                if (code > 0xffff) {
                    at += 1;
                }
            }
            return result;
        };
    }
    const ENCODERS = { utf_8: utf8, ascii: narrow("ascii", 128), latin_1: narrow("latin-1", 256) };
    const ALIASES = {
        utf8: "utf_8", u8: "utf_8", utf: "utf_8", cp65001: "utf_8", us_ascii: "ascii", "646": "ascii",
        latin1: "latin_1", latin: "latin_1", l1: "latin_1", iso_8859_1: "latin_1", iso8859_1: "latin_1", "8859": "latin_1", cp819: "latin_1",
    };
    function canonical(encoding) {
        const name = String(encoding).toLowerCase().replace(/[- ]/g, "_");
        return ALIASES[name] ?? name;
    }

    function undecodable(encoding, source, start, end, errors, reason) {
        switch (errors) {
            case "ignore":
                return "";
            case "replace":
                return "\ufffd";
            case "backslashreplace":
                return source.slice(start, end).map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
            case "surrogateescape":
                return String.fromCharCode(...source.slice(start, end).map((byte) => 0xdc00 + byte));
        }
        const where = end - start === 1
            ? `byte 0x${source[start].toString(16).padStart(2, "0")} in position ${start}`
            : `bytes in position ${start}-${end - 1}`;
        const error = $B.$call(_b_.UnicodeDecodeError, `'${encoding}' codec can't decode ${where}: ${reason}`);
        $B.assign_dict(error, { encoding, object: make_of(bytes, source.slice()), start, end, reason });
        throw error;
    }

    function from_utf8(source, errors) {
        const units = [];
        let text = "";
        const flush = () => {
            text += String.fromCodePoint.apply(null, units);
            units.length = 0;
        };
        for (let at = 0; at < source.length;) {
            if (units.length > 8192) {
                flush();
            }
            const first = source[at];
            if (first < 0x80) {
                units.push(first);
                at += 1;
                continue;
            }
            const length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
            let end = at + 1;
            let reason = "invalid start byte";
            let code = first & (0xff >> (length + 1));
            if (length !== 0) {
                reason = undefined;
                for (let number = 1; number < length; number += 1, end += 1) {
                    const next = source[end];
                    if (next === undefined) {
                        reason = "unexpected end of data";
                        break;
                    }
                    const least = number > 1 ? 0x80 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
                    const most = number > 1 ? 0xbf : first === 0xed && errors !== "surrogatepass" ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
                    if (next < least || next > most) {
                        reason = "invalid continuation byte";
                        break;
                    }
                    code = (code << 6) | (next & 63);
                }
            }
            if (reason === undefined) {
                units.push(code);
            } else {
                flush();
                text += undecodable("utf-8", source, at, end, errors, reason);
            }
            at = end;
        }
        flush();
        return text;
    }
    function from_ascii(source, errors) {
        let text = "";
        for (const [at, byte] of source.entries()) {
            text += byte < 128 ? String.fromCharCode(byte)
                : undecodable("ascii", source, at, at + 1, errors, "ordinal not in range(128)");
        }
        return text;
    }
    const DECODERS = { utf_8: from_utf8, ascii: from_ascii, latin_1: (source) => text_of(make_of(bytes, source)) };

    const original = { encode: $B.encode, decode: $B.decode };
    $B.encode = function () {
        const { text, encoding, errors } = $B.args(
            "encode", 3, { text: null, encoding: null, errors: null }, arguments, { encoding: "utf-8", errors: "strict" });
        const encoder = ENCODERS[canonical(encoding)];
        if (encoder === undefined) {
            return original.encode(text, encoding, errors);
        }
        return make_of(bytes, encoder(String(_b_.str.$factory(text)), String(errors)));
    };
    $B.decode = function (object, encoding = "utf-8", errors = "strict") {
        const decoder = DECODERS[canonical(encoding)];
        if (decoder === undefined) {
            return original.decode(object, encoding, errors);
        }
        return $B.mend.own_text(decoder(source_of(object), String(errors)));
    };
    $B.mend.methods(_b_.str, {
        encode() {
            const { self, encoding, errors } = $B.args(
                "encode", 3, { self: null, encoding: null, errors: null }, arguments, { encoding: "utf-8", errors: "strict" });
            return $B.encode(self, encoding, errors);
        },
    });

    const SHORT = { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\" };
    function represent(self) {
        const { source } = self;
        const quote = source.includes(39) && !source.includes(34) ? '"' : "'";
        let result = `b${quote}`;
        for (const byte of source) {
            if (SHORT[byte] !== undefined) {
                result += SHORT[byte];
            } else if (byte === quote.charCodeAt(0)) {
                result += `\\${quote}`;
            } else {
                result += byte < 32 || byte > 126 ? `\\x${byte.toString(16).padStart(2, "0")}` : String.fromCharCode(byte);
            }
        }
        return result + quote;
    }
    $B.mend.slots(bytes, { tp_repr: represent, tp_str: represent });
    const represent_array = (self) => `bytearray(${represent(self)})`;
    $B.mend.slots(bytearray, { tp_repr: represent_array, tp_str: represent_array });

    /** What is looked for: bytes, or a number that is a byte. */
    function needle(object) {
        if ($B.is_int(object)) {
            const value = $B.int_value(object);
            if (value < 0 || value > 255) {
                $B.RAISE(_b_.ValueError, "byte must be in range(0, 256)");
            }
            return String.fromCharCode(Number(value));
        }
        if (!is_bytes(object) && $B.get_class(object) !== _b_.memoryview) {
            $B.RAISE(_b_.TypeError, `argument should be integer or bytes-like object, not '${$B.class_name(object)}'`);
        }
        return text_of(object);
    }
    function between(name, given) {
        const { self, sub, start, end } = $B.args(
            name, 4, { self: null, sub: null, start: null, end: null }, given, { start: NONE, end: NONE });
        const text = text_of(self);
        const bound = (value, otherwise) => {
            if (value === NONE) {
                return otherwise;
            }
            const at = Number($B.PyNumber_Index(value));
            return at < 0 ? Math.max(0, at + text.length) : Math.min(at, text.length + 1);
        };
        const from = bound(start, 0);
        return { sub, from, text, part: text.slice(from, Math.max(from, bound(end, text.length))), too_far: from > text.length };
    }
    const searches = {
        find(name, given) {
            const { sub, from, part, too_far } = between(name, given);
            const at = too_far ? -1 : part.indexOf(needle(sub));
            return at === -1 ? -1 : at + from;
        },
        rfind(name, given) {
            const { sub, from, part, too_far } = between(name, given);
            const at = too_far ? -1 : part.lastIndexOf(needle(sub));
            return at === -1 ? -1 : at + from;
        },
    };
    const or_error = (search, name) => function () {
        const at = searches[search](name, arguments);
        return at === -1 ? $B.RAISE(_b_.ValueError, "subsection not found") : at;
    };
    const ends = (name, test) => function () {
        const { sub, part, too_far } = between(name, arguments);
        const all = $B.is_tuple(sub) ? Array.from(sub) : [sub];
        for (const one of all) {
            if (!is_bytes(one)) {
                $B.RAISE(_b_.TypeError, `${name} first arg must be bytes or a tuple of bytes, not ${$B.class_name(one)}`);
            }
        }
        return !too_far && all.some((one) => test(part, text_of(one)));
    };

    // These do for bytes what they do for texts, as long as both are ASCII.
    const str = (name) => (...given) => $B.$call(_b_.str.tp_funcs[name], ...given);
    const convert = (self, value) => (typeof value === "string" ? make(self, value)
        : Array.isArray(value) ? Object.assign(value.map((item) => make(self, item)), { ob_type: value.ob_type })
            : value);
    function like_text(name, spec = {}) {
        return function () {
            const count = spec.arguments ?? 0;
            const slots = { self: null };
            const names = spec.names ?? ["a", "b", "c"];
            for (const argument of names.slice(0, count)) {
                slots[argument] = null;
            }
            const given = $B.args(name, count + 1, slots, arguments, spec.defaults ?? {});
            const passed = names.slice(0, count).map((argument) => {
                const value = given[argument];
                return is_bytes(value) ? text_of(value) : value;
            });
            for (const [at, value] of passed.entries()) {
                if ($B.is_str(given[names[at]]) && value !== spec.defaults?.[names[at]]) {
                    $B.RAISE(_b_.TypeError, `a bytes-like object is required, not 'str'`);
                }
            }
            return convert(given.self, str(name)(text_of(given.self), ...passed));
        };
    }
    const lower = (text) => text.replace(/[A-Z]/g, (unit) => unit.toLowerCase());
    const upper = (text) => text.replace(/[a-z]/g, (unit) => unit.toUpperCase());
    const mapped = (change) => (self) => make(self, change(text_of(self)));
    const asks = (pattern) => (self) => pattern.test(text_of(self));
    const WHITE = "\t\n\x0b\f\r ";
    const stripper = (left, right, name) => function () {
        const { self, chars } = $B.args(name, 2, { self: null, chars: null }, arguments, { chars: NONE });
        const text = text_of(self);
        const set = chars === NONE ? WHITE : text_of(chars);
        let start = 0;
        let end = text.length;
        while (left && start < end && set.includes(text[start])) {
            start += 1;
        }
        while (right && end > start && set.includes(text[end - 1])) {
            end -= 1;
        }
        return make(self, text.slice(start, end));
    };
    const splitter = (name) => function () {
        const { self, sep, maxsplit } = $B.args(
            name, 3, { self: null, sep: null, maxsplit: null }, arguments, { sep: NONE, maxsplit: -1 });
        return convert(self, str(name)(text_of(self), sep === NONE ? NONE : text_of(sep), maxsplit));
    };
    const fill = { names: ["width", "fillchar"], arguments: 2, defaults: { fillchar: " " } };
    const two = { names: ["old", "new", "count"], arguments: 3, defaults: { count: -1 } };
    const one = { names: ["sep"], arguments: 1 };
    const shared = {
        find() { return searches.find("find", arguments); },
        rfind() { return searches.rfind("rfind", arguments); },
        index: or_error("find", "index"),
        rindex: or_error("rfind", "rindex"),
        count() {
            const { sub, part, too_far } = between("count", arguments);
            const wanted = needle(sub);
            return too_far ? 0 : wanted === "" ? part.length + 1 : part.split(wanted).length - 1;
        },
        startswith: ends("startswith", (part, wanted) => part.startsWith(wanted)),
        endswith: ends("endswith", (part, wanted) => part.endsWith(wanted)),
        split: splitter("split"),
        rsplit: splitter("rsplit"),
        strip: stripper(true, true, "strip"),
        lstrip: stripper(true, false, "lstrip"),
        rstrip: stripper(false, true, "rstrip"),
        lower: mapped(lower),
        upper: mapped(upper),
        swapcase: mapped((text) => text.replace(/[A-Za-z]/g, (unit) => (unit < "a" ? unit.toLowerCase() : unit.toUpperCase()))),
        capitalize: mapped((text) => upper(text.slice(0, 1)) + lower(text.slice(1))),
        title: mapped((text) => text.replace(/[A-Za-z]+/g, (word) => upper(word[0]) + lower(word.slice(1)))),
        replace: like_text("replace", two),
        partition: like_text("partition", one),
        rpartition: like_text("rpartition", one),
        removeprefix: like_text("removeprefix", one),
        removesuffix: like_text("removesuffix", one),
        center: like_text("center", fill),
        ljust: like_text("ljust", fill),
        rjust: like_text("rjust", fill),
        zfill: like_text("zfill", { names: ["width"], arguments: 1 }),
        expandtabs: like_text("expandtabs", { names: ["tabsize"], arguments: 1, defaults: { tabsize: 8 } }),
        splitlines() {
            const { self, keepends } = $B.args(
                "splitlines", 2, { self: null, keepends: null }, arguments, { keepends: false });
            const lines = text_of(self).match(/[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$/g) ?? [];
            return $B.$list(lines.map((line) => make(self, $B.$bool(keepends) ? line : line.replace(/[\r\n]+$/, ""))));
        },
        join(self, iterable) {
            const parts = [];
            for (const item of $B.make_js_iterator(iterable)) {
                if (!is_bytes(item)) {
                    $B.RAISE(
                        _b_.TypeError, `sequence item ${parts.length}: expected a bytes-like object, ${$B.class_name(item)} found`);
                }
                parts.push(text_of(item));
            }
            return make(self, parts.join(text_of(self)));
        },
        translate() {
            const { self, table, del } = $B.args(
                "translate", 3, { self: null, table: null, delete: null }, arguments, { delete: NONE });
            const { delete: deleted } = $B.args(
                "translate", 3, { self: null, table: null, delete: null }, arguments, { delete: NONE });
            void del;
            const gone = new Set(deleted === NONE ? [] : source_of(deleted));
            const map = table === NONE ? undefined : source_of(table);
            if (map !== undefined && map.length !== 256) {
                $B.RAISE(_b_.ValueError, "translation table must be 256 characters long");
            }
            const kept = source_of(self).filter((byte) => !gone.has(byte)).map((byte) => (map === undefined ? byte : map[byte]));
            return make_of($B.$isinstance(self, bytearray) ? bytearray : bytes, kept);
        },
        decode() {
            const { self, encoding, errors } = $B.args(
                "decode", 3, { self: null, encoding: null, errors: null }, arguments, { encoding: "utf-8", errors: "strict" });
            return $B.decode(self, encoding, errors);
        },
        hex() {
            const { self, sep, group } = $B.args(
                "hex", 3, { self: null, sep: null, group: null }, arguments, { sep: "", group: 1 });
            const pairs = source_of(self).map((byte) => byte.toString(16).padStart(2, "0"));
            const size = Math.abs(Number($B.int_value(group)));
            if (sep === "" || size === 0) {
                return pairs.join("");
            }
            const groups = [];
            if ($B.int_value(group) > 0) {
                for (let end = pairs.length; end > 0; end -= size) {
                    groups.unshift(pairs.slice(Math.max(0, end - size), end).join(""));
                }
            } else {
                for (let start = 0; start < pairs.length; start += size) {
                    groups.push(pairs.slice(start, start + size).join(""));
                }
            }
            return groups.join(is_bytes(sep) ? text_of(sep) : String(sep));
        },
        isalnum: asks(/^[0-9A-Za-z]+$/),
        isalpha: asks(/^[A-Za-z]+$/),
        isascii: asks(/^[\x00-\x7f]*$/),
        isdigit: asks(/^[0-9]+$/),
        isspace: asks(/^[\t-\r ]+$/),
        islower: (self) => /[a-z]/.test(text_of(self)) && !/[A-Z]/.test(text_of(self)),
        isupper: (self) => /[A-Z]/.test(text_of(self)) && !/[a-z]/.test(text_of(self)),
    };
    // Each class has functions of its own, as each is marked with its class.
    for (const type of [bytes, bytearray]) {
        const own = {};
        for (const [name, method] of Object.entries(shared)) {
            own[name] = function () { return method.apply(this, arguments); };
        }
        $B.mend.methods(type, own);
    }

    function byte_of(value) {
        const number = $B.PyNumber_Index(value);
        if (number < 0 || number > 255) {
            $B.RAISE(_b_.ValueError, "byte must be in range(0, 256)");
        }
        return Number(number);
    }
    function items_of(iterable) {
        if (is_bytes(iterable)) {
            return iterable.source.slice();
        }
        if ($B.is_int(iterable) || $B.is_str(iterable)) {
            $B.RAISE(_b_.TypeError, `can't extend bytearray with ${$B.class_name(iterable)}`);
        }
        return Array.from($B.make_js_iterator(iterable), byte_of);
    }
    $B.mend.methods(bytearray, {
        append(self, value) {
            self.source.push(byte_of(value));
            return NONE;
        },
        extend(self, iterable) {
            self.source.push(...items_of(iterable));
            return NONE;
        },
        reverse(self) {
            self.source.reverse();
            return NONE;
        },
        clear(self) {
            self.source.length = 0;
            return NONE;
        },
        copy: (self) => make_of(bytearray, self.source.slice()),
    });
    // An array of its own for each: what is changed here must not change there.
    const original_bytes_new = bytes.tp_new;
    $B.mend.slots(bytes, {
        tp_new(cls, args, kw) {
            const made = original_bytes_new(cls, args, kw);
            if (Array.isArray(made.source) && args.length > 0 && made.source === args[0]?.source) {
                made.source = made.source.slice();
            }
            return made;
        },
    });
    const original_new = bytearray.tp_new;
    $B.mend.slots(bytearray, {
        tp_new(cls, args, kw) {
            const made = original_new(cls, args, kw);
            made.source = made.source.slice();
            made.exports = 0;
            return made;
        },
        nb_inplace_add(self, other) {
            if (!is_bytes(other)) {
                $B.RAISE(_b_.TypeError, `can't concat ${$B.class_name(other)} to bytearray`);
            }
            self.source.push(...other.source.slice());
            return self;
        },
    });
})(__BRYTHON__);
