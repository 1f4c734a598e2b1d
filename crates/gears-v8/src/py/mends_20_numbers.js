// Numbers: unary operators, shifts, powers, rounding, and conversions that are refused. Whole numbers are JavaScript
// numbers while these are exact, and BigInts beyond; floats are objects.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;
    const { int, float } = _b_;
    const NOT_IMPLEMENTED = _b_.NotImplemented;
    const whole = (value) => {
        if (typeof value === "bigint") {
            const small = Number(value);
            return Number.isSafeInteger(small) ? small : value;
        }
        return value;
    };
    const is_safe = Number.isSafeInteger;

    /** The value of a whole number, or `undefined` for anything else. */
    function int_of(object) {
        switch (typeof object) {
            case "number":
            case "bigint":
                return object;
            case "boolean":
                return Number(object);
        }
        return $B.is_int(object) ? $B.int_value(object) : undefined;
    }

    function raise(type, message) {
        $B.RAISE(type, message);
    }

    /** Makes an operator of two whole numbers from one on numbers, if its result is exact, and one on BigInts. */
    function binary(fast, exact) {
        return function (self, other) {
            const x = int_of(self);
            const y = int_of(other);
            if (x === undefined || y === undefined) {
                return NOT_IMPLEMENTED;
            }
            if (fast !== undefined && typeof x === "number" && typeof y === "number") {
                const result = fast(x, y);
                if (result !== undefined && is_safe(result)) {
                    return result === 0 ? 0 : result;
                }
            }
            return whole(exact(BigInt(x), BigInt(y)));
        };
    }

    function check_divisor(y, message) {
        if (y === 0 || y === 0n) {
            raise(_b_.ZeroDivisionError, message);
        }
    }

    function floor_divide(x, y) {
        check_divisor(y, "integer division or modulo by zero");
        const quotient = x / y;
        return quotient * y !== x && (x < 0n) !== (y < 0n) ? quotient - 1n : quotient;
    }

    function remainder(x, y) {
        check_divisor(y, "integer modulo by zero");
        const rest = x % y;
        return rest !== 0n && (rest < 0n) !== (y < 0n) ? rest + y : rest;
    }

    function check_shift(count) {
        if (count < 0n) {
            raise(_b_.ValueError, "negative shift count");
        }
    }

    const is_32_bits = (value) => (value | 0) === value;
    const bitwise = (operator) => (x, y) => (is_32_bits(x) && is_32_bits(y) ? operator(x, y) : undefined);

    const operators = {
        nb_add: binary((x, y) => x + y, (x, y) => x + y),
        nb_subtract: binary((x, y) => x - y, (x, y) => x - y),
        nb_multiply: binary((x, y) => x * y, (x, y) => x * y),
        nb_floor_divide: binary((x, y) => (y === 0 ? undefined : Math.floor((x - (((x % y) + y) % y)) / y)), floor_divide),
        nb_remainder: binary((x, y) => {
            if (y === 0) {
                return undefined;
            }
            const rest = x % y;
            return rest !== 0 && (rest < 0) !== (y < 0) ? rest + y : rest;
        }, remainder),
        nb_and: binary(bitwise((x, y) => x & y), (x, y) => x & y),
        nb_or: binary(bitwise((x, y) => x | y), (x, y) => x | y),
        nb_xor: binary(bitwise((x, y) => x ^ y), (x, y) => x ^ y),
        nb_lshift: binary(
            (x, y) => (y >= 0 && y < 32 ? x * 2 ** y : undefined),
            (x, y) => {
                check_shift(y);
                // Too large a number ends the script with a message, not with V8's.
                if (x !== 0n && y > 1n << 30n) {
                    raise(_b_.OverflowError, "too many digits in integer");
                }
                return x << y;
            },
        ),
        nb_rshift: binary(
            (x, y) => (y >= 0 && y < 32 && is_32_bits(x) ? x >> y : undefined),
            (x, y) => {
                check_shift(y);
                return x >> y;
            },
        ),
    };
    const divmod = (self, other) => {
        const y = int_of(other);
        if (y === undefined || int_of(self) === undefined) {
            return NOT_IMPLEMENTED;
        }
        check_divisor(y, "integer division or modulo by zero");
        return $B.fast_tuple([operators.nb_floor_divide(self, other), operators.nb_remainder(self, other)]);
    };
    const original_chr = _b_.chr;
    const original_power = int.nb_power;
    function power(self, other, modulus) {
        if (modulus === undefined || modulus === _b_.None) {
            const x = int_of(self);
            const y = int_of(other);
            if (x !== undefined && y !== undefined) {
                if (y < 0 && Number(x) === 0) {
                    raise(_b_.ZeroDivisionError, "0.0 cannot be raised to a negative power");
                }
                if (y >= 0 && typeof y === "number") {
                    const fast = Number(x) ** y;
                    if (is_safe(fast)) {
                        return fast;
                    }
                    if (bits(x) * y > 2 ** 30) {
                        raise(_b_.OverflowError, "too many digits in integer");
                    }
                }
            }
        } else if (Number(int_of(modulus)) === 0) {
            raise(_b_.ValueError, "pow() 3rd argument cannot be 0");
        }
        return original_power(self, other, modulus);
    }
    /** About how many binary digits a whole number has. */
    function bits(value) {
        return typeof value === "number" ? Math.log2(Math.abs(value) + 1) : value.toString(16).length * 4;
    }
    $B.mend.slots(int, {
        ...operators,
        nb_divmod: divmod,
        nb_power: power,
        nb_negative: (self) => whole(-int_of(self)) || 0,
        nb_positive: (self) => int_of(self),
        nb_absolute: (self) => {
            const value = int_of(self);
            return value < 0 ? -value : value;
        },
        nb_invert: (self) => whole(~BigInt(int_of(self))),
    });
    const both_bool = (operator, otherwise) => (self, other) =>
        typeof self === "boolean" && typeof other === "boolean" ? operator(self, other) : otherwise(self, other);
    $B.mend.slots(_b_.bool, {
        nb_and: both_bool((x, y) => x && y, operators.nb_and),
        nb_or: both_bool((x, y) => x || y, operators.nb_or),
        nb_xor: both_bool((x, y) => x !== y, operators.nb_xor),
        nb_invert: (self) => (self ? -2 : -1),
    });

    /** Says no where a float is no whole number. */
    function check_finite(value) {
        if (Number.isNaN(value)) {
            raise(_b_.ValueError, "cannot convert float NaN to integer");
        }
        if (!Number.isFinite(value)) {
            raise(_b_.OverflowError, "cannot convert float infinity to integer");
        }
    }

    const truncated = (value) => {
        check_finite(value);
        const result = Math.trunc(value);
        return is_safe(result) ? result || 0 : BigInt(result);
    };
    /** A number as a float's value, or `undefined` for anything else. */
    function float_of(object) {
        const type = $B.get_class(object);
        if (type === float || $B.$isinstance(object, float)) {
            return object.value;
        }
        const value = int_of(object);
        if (value === undefined) {
            return undefined;
        }
        const number = Number(value);
        if (!Number.isFinite(number)) {
            raise(_b_.OverflowError, "int too large to convert to float");
        }
        return number;
    }
    /** Makes an operator of two floats. */
    const of_floats = (operator) => function (self, other) {
        const x = float_of(self);
        const y = float_of(other);
        return x === undefined || y === undefined ? NOT_IMPLEMENTED : operator(x, y);
    };
    function float_remainder(x, y) {
        // That of JavaScript is exact, with the sign of the dividend.
        const rest = x % y;
        if (rest === 0) {
            return y < 0 || Object.is(y, -0) ? -0 : 0;
        }
        return (rest < 0) !== (y < 0) ? rest + y : rest;
    }
    function float_quotient(x, y) {
        const rest = x % y;
        let quotient = (x - rest) / y;
        if (rest !== 0 && (rest < 0) !== (y < 0)) {
            quotient -= 1;
        }
        if (quotient === 0) {
            return x / y < 0 || Object.is(x / y, -0) ? -0 : 0;
        }
        const floor = Math.floor(quotient);
        return quotient - floor > 0.5 ? floor + 1 : floor;
    }
    function check_float_divisor(y, message) {
        if (y === 0) {
            raise(_b_.ZeroDivisionError, message);
        }
    }
    $B.mend.slots(float, {
        nb_remainder: of_floats((x, y) => {
            check_float_divisor(y, "float modulo");
            return $B.fast_float(float_remainder(x, y));
        }),
        nb_floor_divide: of_floats((x, y) => {
            check_float_divisor(y, "float floor division by zero");
            return $B.fast_float(float_quotient(x, y));
        }),
        nb_divmod: of_floats((x, y) => {
            check_float_divisor(y, "float divmod()");
            return $B.fast_tuple([$B.fast_float(float_quotient(x, y)), $B.fast_float(float_remainder(x, y))]);
        }),
        nb_true_divide: of_floats((x, y) => {
            check_float_divisor(y, "float division by zero");
            return $B.fast_float(x / y);
        }),
        nb_int: (self) => truncated(self.value),
        nb_negative: (self) => $B.fast_float(-self.value),
        nb_positive: (self) => $B.fast_float(self.value),
    });

    /**
     * The decimal digits of a finite number that is not negative, rounded half to even: with `places` behind the point, or
     * with `places` behind the first digit and an exponent.
     */
    function fixed(value, places) {
        if (places > 100 || value >= 1e21) {
            return exact_fixed(value, places);
        }
        const text = value.toFixed(places);
        const long = value.toFixed(Math.min(100, places + 40));
        return half_to_even(text, long.slice(0, text.length + (places === 0 ? 1 : 0)), long, places === 0 ? text.length + 1 : text.length);
    }

    /** `toFixed` and the like round halves up: takes the lower neighbour where that is even and exactly as near. */
    function half_to_even(text, cut, long, from) {
        if (!/^50*$/.test(long.slice(from).replace(/e.*/, ""))) {
            return text;
        }
        const lower = cut.replace(/\.$/, "");
        return "02468".includes(lower[lower.length - 1]) ? lower : text;
    }

    /** The same for any number of places and any size, by whole numbers. */
    function exact_fixed(value, places) {
        const bytes = new DataView(new ArrayBuffer(8));
        bytes.setFloat64(0, value);
        const pattern = bytes.getBigUint64(0);
        const biased = Number((pattern >> 52n) & 0x7ffn);
        const fraction = pattern & 0xfffffffffffffn;
        const mantissa = biased === 0 ? fraction : fraction | (1n << 52n);
        const exponent = (biased === 0 ? 1 : biased) - 1075;
        let scaled = mantissa * 10n ** BigInt(places);
        if (exponent >= 0) {
            scaled <<= BigInt(exponent);
        } else {
            const shift = BigInt(-exponent);
            const half = 1n << (shift - 1n);
            const rest = scaled & ((1n << shift) - 1n);
            scaled >>= shift;
            if (rest > half || (rest === half && scaled & 1n)) {
                scaled += 1n;
            }
        }
        if (places === 0) {
            return scaled.toString();
        }
        const digits = scaled.toString().padStart(places + 1, "0");
        return `${digits.slice(0, -places)}.${digits.slice(-places)}`;
    }

    function exponential(value, places) {
        const shown = Math.min(places, 100);
        let text = value.toExponential(shown);
        if (shown < 100) {
            const long = value.toExponential(Math.min(100, shown + 40));
            const length = shown === 0 ? 1 : shown + 2;
            const [digits, power] = text.split("e");
            const from = shown === 0 ? 2 : length;
            const mended = half_to_even(digits, long.slice(0, length), long, from);
            if (mended !== digits) {
                text = `${mended}e${long.split("e")[1] ?? power}`;
            }
        }
        const [digits, power] = text.split("e");
        const padded = places > shown ? digits + "0".repeat(places - shown) : digits;
        const sign = power.startsWith("-") ? "-" : "+";
        return `${padded}e${sign}${power.replace(/^[+-]/, "").padStart(2, "0")}`;
    }
    $B.mend.fixed = fixed;
    $B.mend.exponential = exponential;

    function round_float(self, places) {
        const value = self.value;
        if (places === undefined || places === _b_.None) {
            check_finite(value);
            const rounded = fixed(Math.abs(value), 0);
            return whole(BigInt(value < 0 ? `-${rounded}` : rounded)) || 0;
        }
        const count = index(places);
        if (!Number.isFinite(value) || value === 0 || count > 330) {
            return $B.fast_float(value);
        }
        if (count >= 0) {
            const rounded = Number(fixed(Math.abs(value), Number(count)));
            return $B.fast_float(value < 0 ? -rounded : rounded);
        }
        if (count < -310) {
            return $B.fast_float(value < 0 ? -0 : 0);
        }
        const unit = 10n ** BigInt(-count);
        const absolute = Math.abs(value);
        const low = BigInt(Math.floor(absolute));
        const rest = low % unit;
        const twice = rest * 2n;
        const is_tie = twice === unit && Number.isInteger(absolute);
        let result = low - rest;
        if (twice > unit || (twice === unit && !Number.isInteger(absolute)) || (is_tie && (result / unit) & 1n)) {
            result += unit;
        }
        const rounded = Number(result);
        if (!Number.isFinite(rounded)) {
            raise(_b_.OverflowError, "rounded value too large to represent");
        }
        return $B.fast_float(value < 0 ? -rounded : rounded);
    }

    function index(object) {
        const value = int_of(object);
        if (value !== undefined) {
            return value;
        }
        return $B.PyNumber_Index(object);
    }

    function round_int(self, places) {
        const value = int_of(self);
        if (places === undefined || places === _b_.None) {
            return value;
        }
        const count = index(places);
        if (count >= 0) {
            return value;
        }
        const exact = BigInt(value);
        const absolute = exact < 0n ? -exact : exact;
        if (-count > absolute.toString().length) {
            return 0;
        }
        const unit = 10n ** BigInt(-count);
        const rest = absolute % unit;
        let result = absolute - rest;
        if (rest * 2n > unit || (rest * 2n === unit && (result / unit) & 1n)) {
            result += unit;
        }
        return whole(exact < 0n ? -result : result);
    }
    $B.mend.methods(float, { __round__: round_float });
    $B.mend.methods(int, { __round__: round_int });
    $B.mend.builtins({
        round() {
            const { number, places } = $B.args(
                "round", 2, { number: null, places: null }, arguments, { places: _b_.None });
            const type = $B.get_class(number);
            if (type === float) {
                return round_float(number, places);
            }
            const method = $B.$getattr(type, "__round__", $B.NULL);
            if (method === $B.NULL) {
                raise(_b_.TypeError, `type ${$B.class_name(number)} doesn't define __round__ method`);
            }
            return places === _b_.None ? $B.$call(method, number) : $B.$call(method, number, places);
        },
        abs(number) {
            const type = $B.get_class(number);
            const method = $B.$getattr(type, "__abs__", $B.NULL);
            if (method === $B.NULL) {
                raise(_b_.TypeError, `bad operand type for abs(): '${$B.class_name(number)}'`);
            }
            return $B.$call(method, number);
        },
        chr(number) {
            const value = index(number);
            if (value < 0 || value > 0x10ffff) {
                raise(_b_.ValueError, "chr() arg not in range(0x110000)");
            }
            return original_chr(Number(value));
        },
    });
    for (const [name, prefix, base] of [["hex", "0x", 16], ["oct", "0o", 8], ["bin", "0b", 2]]) {
        $B.mend.builtins({
            [name](number) {
                const value = index(number);
                const digits = (value < 0 ? -value : value).toString(base);
                return `${value < 0 ? "-" : ""}${prefix}${digits}`;
            },
        });
    }
})(__BRYTHON__);
