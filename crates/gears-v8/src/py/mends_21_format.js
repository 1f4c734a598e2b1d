// Formats: what `format`, f-strings, `str.format` and `%` do with a specification such as `>10,.2f`.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;
    const { fixed, exponential } = $B.mend;

    function refuse(message) {
        $B.RAISE(_b_.ValueError, message);
    }

    /** Takes a specification apart: [[fill]align][sign][z][#][0][width][grouping][.precision][type] */
    function parse(spec, type_name) {
        const characters = Array.from(spec);
        let at = 0;
        const result = { fill: " ", align: "", sign: "", alternate: false, zero: false, width: 0, group: "", type: "" };
        if (characters.length > 1 && "<>=^".includes(characters[1])) {
            result.fill = characters[0];
            result.has_fill = true;
            result.align = characters[1];
            at = 2;
        } else if (characters.length > 0 && "<>=^".includes(characters[0])) {
            result.align = characters[0];
            at = 1;
        }
        if ("+- ".includes(characters[at] ?? "x")) {
            result.sign = characters[at];
            at += 1;
        }
        if (characters[at] === "z") {
            result.no_negative_zero = true;
            at += 1;
        }
        if (characters[at] === "#") {
            result.alternate = true;
            at += 1;
        }
        if (characters[at] === "0") {
            result.zero = true;
            if (!result.has_fill) {
                result.fill = "0";
            }
            result.align ||= "=";
            at += 1;
        }
        const digits = () => {
            let text = "";
            while (/[0-9]/.test(characters[at] ?? "")) {
                text += characters[at];
                at += 1;
            }
            return text;
        };
        const width = digits();
        if (width.length > 9) {
            refuse("Too many decimal digits in format string");
        }
        result.width = Number(width);
        if (characters[at] === "," || characters[at] === "_") {
            result.group = characters[at];
            at += 1;
            if (characters[at] === "," || characters[at] === "_") {
                refuse(characters[at] === result.group
                    ? `Cannot specify '${result.group}' with '${result.group}'.`
                    : "Cannot specify both ',' and '_'.");
            }
        }
        if (characters[at] === ".") {
            at += 1;
            const precision = digits();
            if (precision === "") {
                refuse("Format specifier missing precision");
            }
            if (precision.length > 9) {
                refuse("Too many decimal digits in format string");
            }
            result.precision = Number(precision);
        }
        if (characters.length - at > 1) {
            refuse(`Invalid format specifier '${spec}' for object of type '${type_name}'`);
        }
        result.type = characters[at] ?? "";
        return result;
    }

    function unknown(spec, type_name) {
        refuse(`Unknown format code '${spec.type}' for object of type '${type_name}'`);
    }

    /** Fills up to the width; `prefix` (a sign, `0x`) stays in front where the filling goes behind it. */
    function pad(text, spec, align, prefix = "") {
        const length = Array.from(prefix + text).length;
        const missing = spec.width - length;
        if (missing <= 0) {
            return prefix + text;
        }
        switch (spec.align || align) {
            case "<":
                return prefix + text + spec.fill.repeat(missing);
            case "^": {
                const left = Math.floor(missing / 2);
                return spec.fill.repeat(left) + prefix + text + spec.fill.repeat(missing - left);
            }
            case "=":
                return prefix + spec.fill.repeat(missing) + text;
            default:
                return spec.fill.repeat(missing) + prefix + text;
        }
    }

    /** Puts a separator between groups of digits; zeros that fill the width are grouped as well. */
    function grouped(digits, spec, size, prefix_length, rest_length) {
        if (spec.group === "") {
            return digits;
        }
        let all = digits;
        const join = (text) => {
            const groups = [];
            for (let end = text.length; end > 0; end -= size) {
                groups.unshift(text.slice(Math.max(0, end - size), end));
            }
            return groups.join(spec.group);
        };
        if (spec.fill === "0" && (spec.align === "=")) {
            while (join(all).length + prefix_length + rest_length < spec.width) {
                all = `0${all}`;
            }
        }
        return join(all);
    }

    function sign_of(negative, spec) {
        if (negative) {
            return "-";
        }
        return spec.sign === "+" || spec.sign === " " ? spec.sign : "";
    }

    function format_int(value, spec, type_name) {
        if ("eEfFgG%".includes(spec.type || "x")) {
            return format_float(Number(value), spec, type_name);
        }
        if (!"bcdoxXn".includes(spec.type || "d")) {
            unknown(spec, type_name);
        }
        if (spec.precision !== undefined) {
            refuse("Precision not allowed in integer format specifier");
        }
        if (spec.type === "c") {
            if (spec.sign !== "") {
                refuse("Sign not allowed with integer format specifier 'c'");
            }
            return pad(_b_.chr(value), spec, "<");
        }
        const [base, prefix] = { b: [2, "0b"], o: [8, "0o"], x: [16, "0x"], X: [16, "0X"] }[spec.type] ?? [10, ""];
        if (spec.group === "," && base !== 10) {
            refuse(`Cannot specify ',' with '${spec.type}'.`);
        }
        if (spec.group !== "" && spec.type === "n") {
            refuse(`Cannot specify '${spec.group}' with 'n'.`);
        }
        const negative = value < 0;
        let digits = (negative ? -value : value).toString(base);
        if (spec.type === "X") {
            digits = digits.toUpperCase();
        }
        const front = sign_of(negative, spec) + (spec.alternate ? prefix : "");
        return pad(grouped(digits, spec, base === 10 ? 3 : 4, front.length, 0), spec, ">", front);
    }

    /** `g`: as many digits as asked for, with an exponent where that is shorter. `keep` keeps zeros at the end. */
    function general(value, precision, keep) {
        const shown = precision === 0 ? 1 : precision;
        if (value === 0) {
            return keep && shown > 1 ? `0.${"0".repeat(shown - 1)}` : "0";
        }
        const text = exponential(value, shown - 1);
        const power = Number(text.split("e")[1]);
        if (power < -4 || power >= shown) {
            const [digits, rest] = text.split("e");
            return `${keep ? digits : trimmed(digits)}e${rest}`;
        }
        const places = fixed(value, Math.max(0, shown - 1 - power));
        return keep ? places : trimmed(places);
    }

    const trimmed = (digits) => (digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits);

    function format_float(value, spec, type_name = "float") {
        if (!"eEfFgGn%".includes(spec.type || "f")) {
            unknown(spec, type_name);
        }
        if (spec.group !== "" && spec.type === "n") {
            refuse(`Cannot specify '${spec.group}' with 'n'.`);
        }
        let negative = value < 0 || Object.is(value, -0);
        const absolute = Math.abs(value);
        let text;
        if (Number.isNaN(value)) {
            negative = false;
            text = "nan";
        } else if (absolute === Infinity) {
            text = "inf";
        } else {
            const precision = spec.precision ?? 6;
            switch (spec.type.toLowerCase()) {
                case "e":
                    text = exponential(absolute, precision);
                    break;
                case "f":
                    text = fixed(absolute, precision);
                    break;
                case "%":
                    text = fixed(absolute * 100, precision);
                    break;
                case "g":
                case "n":
                    text = general(absolute, precision, spec.alternate);
                    break;
                default:
                    text = spec.precision === undefined ? shortest(absolute) : general_like_repr(absolute, precision, spec.alternate);
            }
            if (spec.alternate && !text.includes(".")) {
                text = text.includes("e") ? text.replace("e", ".e") : `${text}.`;
            }
            if (spec.no_negative_zero && negative && !/[1-9]/.test(text.split("e")[0])) {
                negative = false;
            }
        }
        if (spec.type === "%") {
            text += "%";
        }
        if (spec.type === "E" || spec.type === "F" || spec.type === "G") {
            text = text.toUpperCase();
        }
        const front = sign_of(negative, spec);
        const [, digits, rest] = /^([0-9]*)(.*)$/.exec(text);
        const number = digits === "" ? text : grouped(digits, spec, 3, front.length, rest.length) + rest;
        return pad(number, spec, ">", front);
    }

    /** As `repr` shows a float. */
    function shortest(value) {
        return _b_.float.tp_repr($B.fast_float(value));
    }

    /** Without a type, but with a precision: like `g`, with at least one digit behind the point. */
    function general_like_repr(value, precision, keep) {
        const shown = precision === 0 ? 1 : precision;
        const text_with_power = exponential(value, shown - 1);
        const power = Number(text_with_power.split("e")[1]);
        // A digit behind the point is kept, and so the exponent comes one earlier.
        if (power < -4 || power >= shown - 1) {
            const [digits, rest] = text_with_power.split("e");
            return `${keep ? digits : trimmed(digits)}e${rest}`;
        }
        const text = general(value, precision, keep);
        return text.includes(".") || text.includes("e") ? text : `${text}.0`;
    }

    function format_str(text, spec) {
        if (spec.type !== "" && spec.type !== "s") {
            unknown(spec, "str");
        }
        if (spec.sign !== "") {
            refuse(spec.sign === " " ? "Space not allowed in string format specifier" : "Sign not allowed in string format specifier");
        }
        if (spec.no_negative_zero) {
            refuse("Negative zero coercion (z) not allowed in string format specifier");
        }
        if (spec.alternate) {
            refuse("Alternate form (#) not allowed in string format specifier");
        }
        if (spec.align === "=" && !spec.zero) {
            refuse("'=' alignment not allowed in string format specifier");
        }
        if (spec.group !== "") {
            refuse(`Cannot specify '${spec.group}' with 's'.`);
        }
        const cut = spec.precision === undefined ? text : Array.from(text).slice(0, spec.precision).join("");
        return pad(cut, spec.align === "=" ? { ...spec, align: "<" } : spec, "<");
    }

    function check_spec(spec) {
        if (!$B.is_str(spec)) {
            $B.RAISE(_b_.TypeError, `__format__() argument must be str, not ${$B.class_name(spec)}`);
        }
        return String(spec);
    }

    $B.mend.methods(_b_.int, {
        __format__(self, spec) {
            const text = check_spec(spec);
            return text === "" ? _b_.str.$factory(self) : format_int($B.int_value(self), parse(text, "int"), $B.class_name(self));
        },
    });
    $B.mend.methods(_b_.float, {
        __format__(self, spec) {
            const text = check_spec(spec);
            return text === "" ? _b_.str.$factory(self) : format_float(self.value, parse(text, "float"));
        },
    });
    $B.mend.methods(_b_.str, {
        __format__(self, spec) {
            const text = check_spec(spec);
            return text === "" ? _b_.str.$factory(self) : format_str(_b_.str.$factory(self), parse(text, "str"));
        },
    });
    $B.mend.methods(_b_.object, {
        __format__(self, spec) {
            if (check_spec(spec) !== "") {
                $B.RAISE(_b_.TypeError, `unsupported format string passed to ${$B.class_name(self)}.__format__`);
            }
            return _b_.str.$factory(self);
        },
    });

    /** What a conversion of `%` makes of a value. */
    function convert(type, value, spec) {
        switch (type) {
            case "s":
                return pad_text(_b_.str.$factory(value), spec);
            case "r":
                return pad_text(_b_.repr(value), spec);
            case "a":
                return pad_text(_b_.ascii(value), spec);
            case "c":
                if ($B.is_str(value)) {
                    if (Array.from(String(value)).length !== 1) {
                        $B.RAISE(_b_.TypeError, "%c requires int or char");
                    }
                    return pad_text(String(value), { ...spec, precision: undefined });
                }
                if (!$B.is_int(value)) {
                    $B.RAISE(_b_.TypeError, `%c requires int or char`);
                }
                return pad_text(_b_.chr(value), { ...spec, precision: undefined });
            case "d":
            case "i":
            case "u":
            case "o":
            case "x":
            case "X":
                return whole_number(type, value, spec);
            default: {
                let number;
                if ($B.get_class(value) === _b_.float) {
                    number = value.value;
                } else if ($B.$isinstance(value, _b_.float) || $B.is_int(value) || $B.$getattr($B.get_class(value), "__float__", null)) {
                    number = $B.$call(_b_.float, value).value;
                } else {
                    $B.RAISE(_b_.TypeError, `must be real number, not ${$B.class_name(value)}`);
                }
                return format_float(number, { ...spec, type });
            }
        }
    }

    function pad_text(text, spec) {
        const cut = spec.precision === undefined ? text : Array.from(text).slice(0, spec.precision).join("");
        return pad(cut, { ...spec, fill: " ", align: spec.align === "<" ? "<" : ">" }, ">");
    }

    function whole_number(type, value, spec) {
        let number;
        if ($B.is_int(value)) {
            number = $B.int_value(value);
        } else if ("diu".includes(type) && $B.$isinstance(value, _b_.float)) {
            number = $B.$call(_b_.int, value);
        } else {
            const method = "diu".includes(type) ? "__int__" : "__index__";
            if ($B.is_str(value) || $B.$getattr($B.get_class(value), method, null) === null) {
                $B.RAISE(
                    _b_.TypeError,
                    "diu".includes(type)
                        ? `%${type} format: a real number is required, not ${$B.class_name(value)}`
                        : `%${type} format: an integer is required, not ${$B.class_name(value)}`,
                );
            }
            number = $B.$call(_b_.int, value);
        }
        const [base, prefix] = { o: [8, "0o"], x: [16, "0x"], X: [16, "0X"] }[type] ?? [10, ""];
        let digits = (number < 0 ? -number : number).toString(base);
        if (type === "X") {
            digits = digits.toUpperCase();
        }
        if (spec.precision !== undefined) {
            digits = digits.padStart(spec.precision, "0");
        }
        return pad(digits, spec, ">", sign_of(number < 0, spec) + (spec.alternate ? prefix : ""));
    }

    /** `format % values` for texts. */
    function percent(self, values) {
        const format = _b_.str.$factory(self);
        const is_tuple = $B.is_tuple(values);
        const mapping = !is_tuple && !$B.is_str(values) && $B.$getattr($B.get_class(values), "__getitem__", null) !== null;
        let used = 0;
        const next = () => {
            if (is_tuple ? used >= values.length : used > 0) {
                $B.RAISE(_b_.TypeError, "not enough arguments for format string");
            }
            used += 1;
            return is_tuple ? values[used - 1] : values;
        };
        let result = "";
        let at = 0;
        while (at < format.length) {
            const start = format.indexOf("%", at);
            if (start === -1) {
                result += format.slice(at);
                break;
            }
            result += format.slice(at, start);
            at = start + 1;
            let value;
            let has_value = false;
            if (format[at] === "(") {
                if (!mapping) {
                    $B.RAISE(_b_.TypeError, "format requires a mapping");
                }
                let depth = 1;
                let end = at + 1;
                while (end < format.length && depth > 0) {
                    depth += format[end] === "(" ? 1 : format[end] === ")" ? -1 : 0;
                    end += 1;
                }
                if (depth > 0) {
                    refuse("incomplete format key");
                }
                value = $B.$getitem1(values, format.slice(at + 1, end - 1));
                has_value = true;
                used = Math.max(used, 1);
                at = end;
            }
            const spec = { fill: " ", align: "", sign: "", alternate: false, width: 0, group: "" };
            for (; "-+ #0".includes(format[at] ?? "x"); at += 1) {
                switch (format[at]) {
                    case "-": spec.align = "<"; break;
                    case "+": spec.sign = "+"; break;
                    case " ": spec.sign ||= " "; break;
                    case "#": spec.alternate = true; break;
                    default: spec.zero = true;
                }
            }
            if (spec.zero && spec.align === "") {
                spec.fill = "0";
                spec.align = "=";
            }
            const number = () => {
                if (format[at] === "*") {
                    at += 1;
                    const given = next();
                    if (!$B.is_int(given)) {
                        $B.RAISE(_b_.TypeError, "* wants int");
                    }
                    return Number($B.int_value(given));
                }
                let text = "";
                while (/[0-9]/.test(format[at] ?? "")) {
                    text += format[at];
                    at += 1;
                }
                return Number(text);
            };
            spec.width = number();
            if (spec.width < 0) {
                spec.width = -spec.width;
                spec.fill = " ";
                spec.align = "<";
            }
            if (format[at] === ".") {
                at += 1;
                spec.precision = Math.max(0, number());
            }
            while ("hlL".includes(format[at] ?? "x")) {
                at += 1;
            }
            const type = format[at];
            if (type === undefined) {
                refuse("incomplete format");
            }
            at += 1;
            if (type === "%") {
                result += "%";
                continue;
            }
            if (!"srcdiuoxXeEfFgGa".includes(type)) {
                const code = type.codePointAt(0).toString(16);
                refuse(`unsupported format character '${type}' (0x${code}) at index ${at - 1}`);
            }
            result += convert(type, has_value ? value : next(), spec);
        }
        if (is_tuple ? used < values.length : used === 0 && !mapping) {
            $B.RAISE(_b_.TypeError, "not all arguments converted during string formatting");
        }
        return result;
    }
    $B.mend.slots(_b_.str, { nb_remainder: percent });
})(__BRYTHON__);
