// Texts: order by code points, representations, splitting at white space, questions about characters.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;
    const NONE = _b_.None;
    const text_of = (object) => (typeof object === "string" ? object : _b_.str.$factory(object).toString());
    const plain = (object) => {
        if (typeof object === "string") {
            return object;
        }
        return typeof object.valueOf() === "string" ? object.valueOf() : text_of(object);
    };

    /** A text as the interpreter has it: one with pairs of surrogates knows where they are. */
    const own = (text) => (/[\ud800-\udfff]/.test(text) ? $B.String(text) : text);
    const list_of = (texts) => $B.$list(texts.map(own));
    $B.mend.own_text = own;

    /** Orders two texts by code points; JavaScript orders by halves of pairs, which stand before U+E000 to U+FFFF. */
    function compare(left, right) {
        const length = Math.min(left.length, right.length);
        for (let at = 0; at < length; at += 1) {
            let x = left.charCodeAt(at);
            let y = right.charCodeAt(at);
            if (x !== y) {
                // Surrogates are the upper part of code points beyond all others.
                if (x >= 0xd800 && y >= 0xd800) {
                    x = x >= 0xe000 ? x - 0x800 : x + 0x2000;
                    y = y >= 0xe000 ? y - 0x800 : y + 0x2000;
                }
                return x - y;
            }
        }
        return left.length - right.length;
    }
    const by_result = {
        __lt__: (result) => result < 0,
        __le__: (result) => result <= 0,
        __gt__: (result) => result > 0,
        __ge__: (result) => result >= 0,
    };
    $B.mend.slots(_b_.str, {
        tp_richcompare(self, other, op) {
            if (!$B.is_str(other)) {
                return _b_.NotImplemented;
            }
            const left = plain(self);
            const right = plain(other);
            if (op === "__eq__") {
                return left === right;
            }
            return op === "__ne__" ? left !== right : by_result[op](compare(left, right));
        },
    });
    $B.mend.compare_texts = compare;

    /** Where a slice of something with `length` items begins, ends (excluded) and how it goes on. */
    _b_.slice.$conv_for_seq = function (self, length) {
        const number = (value) => {
            const exact = $B.PyNumber_Index(value);
            return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(exact)));
        };
        const step = self.step === NONE ? 1 : number(self.step);
        if (step === 0) {
            $B.RAISE(_b_.ValueError, "slice step cannot be zero");
        }
        const lowest = step < 0 ? -1 : 0;
        const highest = step < 0 ? length - 1 : length;
        const bound = (value, otherwise) => {
            if (value === NONE) {
                return otherwise;
            }
            const at = number(value);
            return at < 0 ? Math.max(at + length, lowest) : Math.min(at, highest);
        };
        return step > 0
            ? { start: bound(self.start, 0), stop: bound(self.stop, length), step }
            : { start: bound(self.start, length - 1), stop: bound(self.stop, -1), step };
    };
    _b_.str.$getitem_slice = function (self, slice) {
        const text = plain(self);
        // Items are characters: a pair of surrogates is one.
        const has_pairs = /[\ud800-\udbff][\udc00-\udfff]/.test(text);
        const characters = has_pairs ? Array.from(text) : text;
        const { start, stop, step } = _b_.slice.$conv_for_seq(slice, characters.length);
        let result = "";
        if (step === 1) {
            const part = characters.slice(start, Math.max(start, stop));
            result = has_pairs ? part.join("") : part;
        } else if (step > 0) {
            for (let at = start; at < stop; at += step) {
                result += characters[at];
            }
        } else {
            for (let at = start; at > stop; at += step) {
                result += characters[at];
            }
        }
        return $B.mend.own_text(result);
    };

    // What CPython escapes: control characters, separators but the space, surrogates, what is not assigned or private.
    const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]/u;
    const SHORT = { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\" };
    function escaped(code) {
        const digits = code.toString(16);
        if (code < 0x100) {
            return `\\x${digits.padStart(2, "0")}`;
        }
        return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
    }
    function quoted(text, is_shown) {
        const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
        let result = quote;
        for (const character of text) {
            const code = character.codePointAt(0);
            if (SHORT[code] !== undefined) {
                result += SHORT[code];
            } else if (character === quote) {
                result += `\\${quote}`;
            } else if (code >= 32 && code < 127) {
                result += character;
            } else {
                result += is_shown(character, code) ? character : escaped(code);
            }
        }
        return result + quote;
    }
    const is_printable = (character) => !UNPRINTABLE.test(character);
    $B.mend.slots(_b_.str, { tp_repr: (self) => $B.mend.own_text(quoted(plain(self), is_printable)) });
    $B.mend.builtins({
        ascii(object) {
            let result = "";
            for (const character of plain(_b_.repr(object))) {
                const code = character.codePointAt(0);
                result += code < 128 ? character : escaped(code);
            }
            return result;
        },
    });

    /** What `str.split` takes for white space. */
    const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
    const words = (text) => text.split(new RegExp(`${SPACE.source}+`)).filter((word) => word !== "");

    function arguments_of_split(name, given) {
        const { self, sep, maxsplit } = $B.args(
            name, 3, { self: null, sep: null, maxsplit: null }, given, { sep: NONE, maxsplit: -1 });
        if (sep !== NONE && !$B.is_str(sep)) {
            $B.RAISE(_b_.TypeError, `must be str or None, not ${$B.class_name(sep)}`);
        }
        const separator = sep === NONE ? undefined : plain(sep);
        if (separator === "") {
            $B.RAISE(_b_.ValueError, "empty separator");
        }
        return { text: plain(self), separator, most: Number($B.PyNumber_Index(maxsplit)) };
    }
    const skip = (text, at) => {
        let here = at;
        while (here < text.length && SPACE.test(text[here])) {
            here += 1;
        }
        return here;
    };
    $B.mend.methods(_b_.str, {
        center() {
            const { self, width, fillchar } = $B.args(
                "center", 3, { self: null, width: null, fillchar: null }, arguments, { fillchar: " " });
            const text = plain(self);
            const wanted = Number($B.PyNumber_Index(width));
            const missing = wanted - Array.from(text).length;
            if (missing <= 0) {
                return self;
            }
            const left = Math.floor(missing / 2) + (missing & wanted & 1);
            const fill = plain(fillchar);
            return own(fill.repeat(left) + text + fill.repeat(missing - left));
        },
        split() {
            const { text, separator, most } = arguments_of_split("split", arguments);
            if (most < 0) {
                return list_of(separator === undefined ? words(text) : text.split(separator));
            }
            const parts = [];
            let at = 0;
            if (separator === undefined) {
                at = skip(text, 0);
                while (parts.length < most && at < text.length) {
                    let end = at;
                    while (end < text.length && !SPACE.test(text[end])) {
                        end += 1;
                    }
                    parts.push(text.slice(at, end));
                    at = skip(text, end);
                }
                if (at < text.length) {
                    parts.push(text.slice(at));
                }
                return list_of(parts);
            }
            while (parts.length < most) {
                const found = text.indexOf(separator, at);
                if (found === -1) {
                    break;
                }
                parts.push(text.slice(at, found));
                at = found + separator.length;
            }
            parts.push(text.slice(at));
            return list_of(parts);
        },
        rsplit() {
            const { text, separator, most } = arguments_of_split("rsplit", arguments);
            if (most < 0) {
                return list_of(separator === undefined ? words(text) : text.split(separator));
            }
            const parts = [];
            if (separator === undefined) {
                const back = (at) => {
                    let here = at;
                    while (here > 0 && SPACE.test(text[here - 1])) {
                        here -= 1;
                    }
                    return here;
                };
                let end = back(text.length);
                while (parts.length < most && end > 0) {
                    let start = end;
                    while (start > 0 && !SPACE.test(text[start - 1])) {
                        start -= 1;
                    }
                    parts.unshift(text.slice(start, end));
                    end = back(start);
                }
                if (end > 0) {
                    parts.unshift(text.slice(0, end));
                }
                return list_of(parts);
            }
            let end = text.length;
            while (parts.length < most) {
                const found = end < separator.length ? -1 : text.lastIndexOf(separator, end - separator.length);
                if (found === -1) {
                    break;
                }
                parts.unshift(text.slice(found + separator.length, end));
                end = found;
            }
            parts.unshift(text.slice(0, end));
            return list_of(parts);
        },
        casefold(self) {
            let result = "";
            for (const character of plain(self)) {
                const folded = $B.unicode_casefold[character.codePointAt(0)];
                result += folded ? String.fromCodePoint(...folded) : character.toLowerCase();
            }
            return own(result);
        },
        isdigit(self) {
            const text = plain(self);
            const superscript = /^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792]+$/u;
            return superscript.test(text);
        },
        isdecimal: (self) => /^\p{Nd}+$/u.test(plain(self)),
        isnumeric: (self) => /^[\p{N}\u3405\u3483\u382a\u3b4d\u4e00\u4e03\u4e07\u4e09\u4e24\u4e5d\u4e8c\u4e94\u4ebf\u5146\u5168\u516b\u516d\u5341\u5343\u56db\u58f9\u58f1\u8086\u842c\u84ec\u96f6\u767e]+$/u.test(plain(self)),
        isprintable: (self) => Array.from(plain(self)).every((character) => character === " " || is_printable(character)),
        isspace: (self) => plain(self) !== "" && Array.from(plain(self)).every((character) => SPACE.test(character)),
    });
})(__BRYTHON__);
