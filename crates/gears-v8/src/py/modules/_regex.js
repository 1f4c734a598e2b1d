// Regular expressions of Python as those of V8, for the module `re`. Brython's own engine walks expressions in
// JavaScript, takes many times as long, and gives wrong groups after it went back.
//
// A pattern is parsed and written anew, with what the two languages mean differently spelled out: `$` before a last line
// feed, `\w` of all alphabets, flags in the midst of a pattern, comments. What JavaScript cannot express is refused:
// groups that depend on others, `(?(1)a|b)`.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;
    const NONE = _b_.None;

    const I = 2;
    const M = 8;
    const S = 16;
    const U = 32;
    const X = 64;
    const A = 256;
    const FLAGS = { a: A, i: I, L: 4, m: M, s: S, u: U, x: X };

    // The inside of a class of characters, for all alphabets and for ASCII.
    const SETS = {
        d: ["\\p{Nd}", "0-9"],
        s: ["\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000", "\\t-\\r\\x20"],
        w: ["\\p{L}\\p{N}_", "A-Za-z0-9_"],
    };
    const ESCAPES = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, "\\": 92 };
    const END = "(?![^])";
    const START = "(?<![^])";

    /** A character as a part of a pattern or a class of JavaScript's. */
    function literal(code) {
        const character = String.fromCodePoint(code);
        if (/^[A-Za-z0-9_]$/.test(character)) {
            return character;
        }
        return `\\u{${code.toString(16)}}`;
    }

    class Translator {
        constructor(pattern, flags, is_bytes, fail) {
            this.characters = Array.from(pattern);
            this.at = 0;
            this.is_bytes = is_bytes;
            this.flags = flags;
            this.fail_with = fail;
            /** Groups of Python: their numbers in JavaScript, which has more. */
            this.groups = [];
            this.open = new Set();
            this.names = new Map();
            this.js_groups = 0;
        }

        fail(message, position = this.at) {
            this.fail_with(message, position);
        }

        peek(offset = 0) {
            return this.characters[this.at + offset];
        }

        looking_at(text) {
            return Array.from(text).every((character, offset) => this.peek(offset) === character);
        }

        translate() {
            this.global_flags();
            const source = this.alternatives(this.flags);
            if (this.peek() === ")") {
                this.fail("unbalanced parenthesis");
            }
            return source;
        }

        /** `(?i)` at the beginning holds for all of the pattern. */
        global_flags() {
            for (;;) {
                const text = this.characters.slice(this.at).join("");
                const match = /^\(\?([aiLmsux]+)\)/.exec(text);
                if (match === null) {
                    return;
                }
                for (const letter of match[1]) {
                    this.flags |= FLAGS[letter];
                }
                this.at += match[0].length;
            }
        }

        is_ascii(flags) {
            return this.is_bytes || (flags & A) !== 0;
        }

        set_of(letter, flags) {
            return SETS[letter][this.is_ascii(flags) ? 1 : 0];
        }

        alternatives(flags) {
            const parts = [this.sequence(flags)];
            while (this.peek() === "|") {
                this.at += 1;
                parts.push(this.sequence(flags));
            }
            return parts.join("|");
        }

        sequence(flags) {
            let result = "";
            for (;;) {
                this.skip(flags);
                const next = this.peek();
                if (next === undefined || next === "|" || next === ")") {
                    return result;
                }
                const start = this.at;
                const atom = this.atom(flags);
                result += atom === "" ? "" : this.quantified(atom, flags, start);
            }
        }

        /** White space and comments mean nothing in a verbose pattern. */
        skip(flags) {
            while (flags & X && this.peek() !== undefined) {
                if (/[ \t\n\r\f\v]/.test(this.peek())) {
                    this.at += 1;
                } else if (this.peek() === "#") {
                    while (this.peek() !== undefined && this.peek() !== "\n") {
                        this.at += 1;
                    }
                } else {
                    return;
                }
            }
        }

        quantified(atom, flags) {
            let result = atom;
            let is_repeated = false;
            for (;;) {
                this.skip(flags);
                const start = this.at;
                const quantifier = this.quantifier();
                if (quantifier === undefined) {
                    return result;
                }
                if (is_repeated) {
                    this.fail("multiple repeat", start);
                }
                is_repeated = true;
                const whole = /^(?:\\u\{[0-9a-f]+\}|[A-Za-z0-9_]|\[(?:[^\]\\]|\\.)*\])$/.test(result) ? result : `(?:${result})`;
                if (this.peek() === "?") {
                    this.at += 1;
                    result = `${whole}${quantifier}?`;
                } else if (this.peek() === "+") {
                    this.at += 1;
                    result = this.atomic(`${whole}${quantifier}`);
                } else {
                    result = whole + quantifier;
                }
            }
        }

        /** A part that does not give back what it has taken: looked at once, and then taken as it was found. */
        atomic(source) {
            this.js_groups += 1;
            const name = `_atomic${this.js_groups}`;
            return `(?=(?<${name}>${source}))\\k<${name}>`;
        }

        quantifier() {
            const next = this.peek();
            if (next === "*" || next === "+" || next === "?") {
                this.at += 1;
                return next;
            }
            if (next === "{") {
                const text = this.characters.slice(this.at, this.at + 32).join("");
                const match = /^\{(?:([0-9]+)|([0-9]*),([0-9]*))\}/.exec(text);
                if (match !== null) {
                    this.at += match[0].length;
                    if (match[1] !== undefined) {
                        return `{${match[1]}}`;
                    }
                    const least = match[2] === "" ? "0" : match[2];
                    if (match[3] !== "" && Number(match[3]) < Number(least)) {
                        this.fail("min repeat greater than max repeat", this.at - match[0].length + 1);
                    }
                    return `{${least},${match[3]}}`;
                }
            }
            return undefined;
        }

        atom(flags) {
            const start = this.at;
            const next = this.peek();
            this.at += 1;
            switch (next) {
                case ".":
                    return flags & S ? "[^]" : "[^\\n]";
                case "^":
                    return flags & M ? "(?<=\\n|(?<![^]))" : START;
                case "$":
                    return flags & M ? `(?=\\n|${END})` : `(?=\\n?${END})`;
                case "[":
                    return this.set(flags, start);
                case "(":
                    return this.group(flags, start);
                case "\\":
                    return this.escape(flags, start);
                case "*":
                case "+":
                case "?":
                    return this.fail("nothing to repeat", start);
            }
            return literal(next.codePointAt(0));
        }

        escape(flags, start) {
            const next = this.peek();
            if (next === undefined) {
                this.fail("bad escape (end of pattern)", start);
            }
            this.at += 1;
            const word = `[${this.set_of("w", flags)}]`;
            switch (next) {
                case "A":
                    return START;
                case "Z":
                case "z":
                    return END;
                case "b":
                    return `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`;
                case "B":
                    return `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`;
                case "d":
                case "s":
                case "w":
                    return `[${this.set_of(next, flags)}]`;
                case "D":
                case "S":
                case "W":
                    return `[^${this.set_of(next.toLowerCase(), flags)}]`;
            }
            if (/[1-9]/.test(next)) {
                // Three octal digits are a character; anything else is the number of a group.
                const digits = this.characters.slice(this.at - 1, this.at + 2).join("");
                if (/^[0-3][0-7][0-7]$/.test(digits)) {
                    this.at += 2;
                    return literal(parseInt(digits, 8));
                }
                let number = next;
                if (/[0-9]/.test(this.peek() ?? "")) {
                    number += this.peek();
                    this.at += 1;
                }
                return this.reference(Number(number), start);
            }
            return literal(this.character(next, start));
        }

        reference(number, start) {
            if (this.groups[number - 1] === undefined) {
                this.fail(`invalid group reference ${number}`, start + 1);
            }
            if (this.open.has(number)) {
                this.fail("cannot refer to an open group", start);
            }
            return `(?:\\k<${this.groups[number - 1]}>)`;
        }

        /** The code point that `\` and what follows stand for; the first letter is read already. */
        character(letter, start) {
            const digits = (count) => {
                const text = this.characters.slice(this.at, this.at + count).join("");
                if (!new RegExp(`^[0-9a-fA-F]{${count}}$`).test(text)) {
                    this.fail(`incomplete escape \\${letter}${text.replace(/[^0-9a-fA-F].*/s, "")}`, start);
                }
                this.at += count;
                return parseInt(text, 16);
            };
            if (letter === "x") {
                return digits(2);
            }
            if (letter === "u" && !this.is_bytes) {
                return digits(4);
            }
            if (letter === "U" && !this.is_bytes) {
                return digits(8);
            }
            if (/[0-7]/.test(letter)) {
                let text = letter;
                while (text.length < 3 && /[0-7]/.test(this.peek() ?? "")) {
                    text += this.peek();
                    this.at += 1;
                }
                return parseInt(text, 8);
            }
            if (letter !== "b" && ESCAPES[letter] !== undefined) {
                return ESCAPES[letter];
            }
            if (/[A-Za-z0-9]/.test(letter)) {
                this.fail(`bad escape \\${letter}`, start);
            }
            return letter.codePointAt(0);
        }

        /** `[...]`; what is not in a set may itself be in a class: then the parts become alternatives. */
        set(flags, start) {
            const is_negated = this.peek() === "^";
            if (is_negated) {
                this.at += 1;
            }
            let inside = "";
            const excluded = [];
            let is_first = true;
            for (;;) {
                const from = this.at;
                const next = this.peek();
                if (next === undefined) {
                    this.fail("unterminated character set", start);
                }
                this.at += 1;
                if (next === "]" && !is_first) {
                    break;
                }
                is_first = false;
                const low = this.item(next, flags, from);
                if (typeof low !== "number") {
                    if (low.excluded) {
                        excluded.push(low.set);
                    } else {
                        inside += low.set;
                    }
                    continue;
                }
                if (this.peek() !== "-" || this.peek(1) === "]" || this.peek(1) === undefined) {
                    inside += literal(low);
                    continue;
                }
                this.at += 1;
                const last = this.peek();
                const last_from = this.at;
                this.at += 1;
                const high = this.item(last, flags, last_from);
                if (typeof high !== "number" || high < low) {
                    this.fail(`bad character range ${this.characters.slice(from, this.at).join("")}`, from);
                }
                inside += `${literal(low)}-${literal(high)}`;
            }
            if (excluded.length === 0) {
                return `[${is_negated ? "^" : ""}${inside}]`;
            }
            const union = [inside === "" ? [] : [`[${inside}]`], excluded.map((set) => `[^${set}]`)].flat().join("|");
            return is_negated ? `(?:(?!${union})[^])` : `(?:${union})`;
        }

        item(next, flags, from) {
            if (next !== "\\") {
                return next.codePointAt(0);
            }
            const letter = this.peek();
            if (letter === undefined) {
                this.fail("bad escape (end of pattern)", from);
            }
            this.at += 1;
            if ("dsw".includes(letter)) {
                return { set: this.set_of(letter, flags), excluded: false };
            }
            if ("DSW".includes(letter)) {
                return { set: this.set_of(letter.toLowerCase(), flags), excluded: true };
            }
            return letter === "b" ? 8 : this.character(letter, from);
        }

        group(flags, start) {
            if (this.peek() !== "?") {
                return this.capture(flags, start, undefined);
            }
            this.at += 1;
            const next = this.peek();
            const closed = (inside_flags = flags) => {
                const source = this.alternatives(inside_flags);
                if (this.peek() !== ")") {
                    this.fail("missing ), unterminated subpattern", start);
                }
                this.at += 1;
                return source;
            };
            switch (next) {
                case ":":
                    this.at += 1;
                    return `(?:${closed()})`;
                case "=":
                case "!":
                    this.at += 1;
                    return `(?${next}${closed()})`;
                case ">":
                    this.at += 1;
                    return this.atomic(closed());
                case "#":
                    while (this.peek() !== ")") {
                        if (this.peek() === undefined) {
                            this.fail("missing ), unterminated comment", start);
                        }
                        this.at += 1;
                    }
                    this.at += 1;
                    return "";
                case "<": {
                    const kind = this.peek(1);
                    if (kind !== "=" && kind !== "!") {
                        this.fail(`unknown extension ?<${kind ?? ""}`, start + 1);
                    }
                    this.at += 2;
                    return `(?<${kind}${closed()})`;
                }
                case "(":
                    return this.fail("groups that depend on others are not supported", start);
                case "P":
                    return this.named(flags, start);
            }
            return this.with_flags(flags, start, closed);
        }

        named(flags, start) {
            this.at += 1;
            const kind = this.peek();
            if (kind !== "<" && kind !== "=") {
                this.fail(`unknown extension ?P${kind ?? ""}`, start + 1);
            }
            this.at += 1;
            const end = kind === "<" ? ">" : ")";
            const from = this.at;
            while (this.peek() !== undefined && this.peek() !== end) {
                this.at += 1;
            }
            const name = this.characters.slice(from, this.at).join("");
            if (this.peek() === undefined) {
                this.fail(name === "" ? "missing group name" : `missing ${end}, unterminated name`, from);
            }
            if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)) {
                this.fail(name === "" ? "missing group name" : `bad character in group name '${name}'`, from);
            }
            this.at += 1;
            if (kind === "<") {
                if (this.names.has(name)) {
                    this.fail(`redefinition of group name '${name}' as group ${this.groups.length + 1}; was group ${this.names.get(name)}`, from);
                }
                return this.capture(flags, start, name);
            }
            if (!this.names.has(name)) {
                this.fail(`unknown group name '${name}'`, from);
            }
            return this.reference(this.names.get(name), start);
        }

        capture(flags, start, name) {
            const js_name = `_${this.groups.length + 1}`;
            this.groups.push(js_name);
            const number = this.groups.length;
            if (name !== undefined) {
                this.names.set(name, number);
            }
            this.open.add(number);
            const source = this.alternatives(flags);
            if (this.peek() !== ")") {
                this.fail("missing ), unterminated subpattern", start);
            }
            this.at += 1;
            this.open.delete(number);
            return `(?<${js_name}>${source})`;
        }

        /** `(?i-s:...)` */
        with_flags(flags, start, closed) {
            const text = this.characters.slice(this.at, this.at + 16).join("");
            const match = /^([aiLmsux]*)(?:-([imsx]+))?([:)])/.exec(text);
            if (match === null) {
                this.fail(`unknown extension ?${this.peek() ?? ""}`, start + 1);
            }
            if (match[3] === ")") {
                this.fail("global flags not at the start of the expression", start);
            }
            this.at += match[0].length;
            let inside = flags;
            for (const letter of match[1]) {
                inside |= FLAGS[letter];
            }
            for (const letter of match[2] ?? "") {
                inside &= ~FLAGS[letter];
            }
            const source = closed(inside);
            if ((inside & I) === (flags & I)) {
                return `(?:${source})`;
            }
            return inside & I ? `(?i:${source})` : `(?-i:${source})`;
        }
    }

    /** From positions in UTF-16, as V8 counts, to those in code points; `undefined` where they are the same. */
    function code_points(text) {
        if (!/[\ud800-\udbff][\udc00-\udfff]/.test(text)) {
            return undefined;
        }
        const to_points = new Array(text.length + 1);
        const to_units = [];
        let count = 0;
        for (let at = 0; at < text.length; at += 1) {
            to_points[at] = count;
            to_units.push(at);
            if (text.codePointAt(at) > 0xffff) {
                at += 1;
                to_points[at] = count;
            }
            count += 1;
        }
        to_points[text.length] = count;
        to_units.push(text.length);
        return { to_points, to_units };
    }

    let last_text;
    let last_points;
    function points_of(text) {
        if (text !== last_text) {
            last_text = text;
            last_points = code_points(text);
        }
        return last_points;
    }

    /** Begin and end of the match and of each group, and the number of the group that ended last (0: none). */
    function spans(match, names, points) {
        const map = points === undefined ? (at) => at : (at) => points.to_points[at];
        const result = [map(match.index), map(match.index + match[0].length)];
        let last = 0;
        let last_end = -1;
        for (const [at, name] of names.entries()) {
            const span = match.indices?.groups[name];
            if (span === undefined) {
                result.push(-1, -1);
                continue;
            }
            result.push(map(span[0]), map(span[1]));
            if (span[1] > last_end || span[0] >= last_end) {
                last = at + 1;
                last_end = span[1];
            }
        }
        result.push(last);
        return $B.fast_tuple(result);
    }

    /**
     * Gives (run, number of groups, pairs of names and numbers, flags); run(text, start, end, how) gives spans or None;
     * how: 0 anywhere, 1 at the start, 2 from start to end, 3 all matches, in a list.
     */
    function compile(pattern, flags, is_bytes, error) {
        const source_text = String(pattern);
        const translator = new Translator(source_text, Number(flags), $B.$bool(is_bytes), (message, position) => {
            throw $B.$call(error, message, pattern, position);
        });
        const source = translator.translate();
        const final = translator.flags;
        const names = translator.groups;
        const js_flags = `u${final & I ? "i" : ""}${names.length > 0 ? "d" : ""}`;
        const made = {};
        function expression(how) {
            try {
                return new RegExp(how === 2 ? `(?:${source})${END}` : source, js_flags + (how === 0 ? "g" : "y"));
            } catch (problem) {
                throw $B.$call(error, String(problem.message).replace(/^Invalid regular expression: .*: /s, ""), pattern, NONE);
            }
        }
        made[0] = expression(0);
        function run(text, start, end, how) {
            const whole = typeof text === "string" ? text : text.valueOf();
            const points = points_of(whole);
            const unit = (at) => (points === undefined ? at : points.to_units[at]);
            const cut = unit(end) < whole.length ? whole.slice(0, unit(end)) : whole;
            if (how === 3) {
                return all_of(cut, unit(start), points);
            }
            made[how] ??= expression(how);
            const regex = made[how];
            regex.lastIndex = unit(start);
            const match = regex.exec(cut);
            return match === null ? NONE : spans(match, names, points);
        }
        function all_of(text, start, points) {
            const regex = made[0];
            const found = [];
            let at = start;
            while (at <= text.length) {
                regex.lastIndex = at;
                const match = regex.exec(text);
                if (match === null) {
                    break;
                }
                found.push(spans(match, names, points));
                const end = match.index + match[0].length;
                at = match[0].length > 0 ? end : end + (text.codePointAt(end) > 0xffff ? 2 : 1);
            }
            return $B.$list(found);
        }
        const pairs = Array.from(translator.names, ([name, number]) => $B.fast_tuple([name, number]));
        return $B.fast_tuple([run, names.length, $B.$list(pairs), final]);
    }

    $B.addToImported("_regex", { compile });
})(__BRYTHON__);
