"""Scripts that have to print the same in CPython and in a library: cases of every construct, and generated expressions.

A case is a part of a text file beside this one, behind a line `# case: what holds`. Each runs alone.
"""

import pathlib
import random
import re
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent

# What a script prints is kept, and is the result of its run.
BEFORE = r"""
_printed = []
def print(*values, sep=' ', end='\n', **_):
    _printed.append(sep.join([str(value) for value in values]) + end)
"""
# A half of a pair cannot be written as UTF-8.
AFTER = r"""
_text = ''.join([c if not 0xd800 <= ord(c) < 0xe000 else '\\u%x' % ord(c) for c in ''.join(_printed)])
GearsBuilder('ShardsIDReader').map(lambda _: _text).run()
"""
# For CPython, which has no GearsBuilder.
CPYTHON = r"""
class GearsBuilder:
    def __init__(self, _):
        self.result = None
    def map(self, step):
        self.result = step(None)
        return self
    def run(self):
        import sys
        sys.stdout.buffer.write(self.result.encode())
"""


def cases():
    """(topic, what holds, the script) of each case."""
    for file in sorted(FOLDER.glob("*.txt")):
        parts = re.split(r"^# case: (.*)\n", file.read_text(), flags=re.MULTILINE)
        for name, script in zip(parts[1::2], parts[2::2], strict=True):
            yield file.stem, name, script.strip("\n") + "\n"


def whole(script):
    """The script with what keeps and hands over what it prints."""
    return BEFORE + script + AFTER


def by_cpython(script):
    """What CPython prints for it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CPYTHON + whole(script)], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


# A script that evaluates expressions, one a line, and prints what each gives or raises.
EVALUATE = """
import math
for expression in {expressions!r}:
    try:
        print(repr(eval(expression)))
    except Exception as e:
        print(type(e).__name__)
"""


def evaluate(expressions):
    """The script for some expressions."""
    return EVALUATE.format(expressions=expressions)


class Generator:
    """Expressions with values, the same for each seed."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def expressions(self, count):
        """So many of them, of each kind in turn."""
        kinds = [self._arithmetic, self._compare, self._text, self._format, self._percent, self._slice, self._sort, self._repr,
                 self._container, self._method]
        return [kinds[i % len(kinds)]() for i in range(count)]

    def _integer(self):
        r = self._random
        return r.choice([r.randint(-10, 10), r.randint(-1000, 1000), r.randint(-(2**40), 2**40), r.randint(-(2**90), 2**90)])

    def _float(self):
        r = self._random
        return r.choice([
            round(r.uniform(-10, 10), r.randint(0, 4)), r.uniform(-1e6, 1e6), r.uniform(-1, 1) * 10.0 ** r.randint(-20, 25),
            r.randint(-50, 50) / 8, 0.0, -0.0, 1e16, 1e15, 123456789012345680.0,
        ])

    def _number(self):
        value = self._random.choice([self._integer, self._integer, self._float])()
        return f"({value!r})"

    def _word(self):
        r = self._random
        letters = r.choice(["abcXYZ", "abc \t\n'\"\\", "aé€ß😀", "0123 -+.", "aA bB,;"])
        return "".join(r.choice(letters) for _ in range(r.randint(0, 8)))

    def _value(self, depth=0):
        r = self._random
        kind = r.randint(0, 9 if depth < 2 else 5)
        if kind <= 1:
            return self._integer()
        if kind == 2:
            return self._float()
        if kind <= 4:
            return self._word()
        if kind == 5:
            return r.choice([True, False, None, b"a\x00\xff'", 10**25])
        items = [self._value(depth + 1) for _ in range(r.randint(0, 4))]
        if kind == 6:
            return tuple(items)
        if kind == 7:
            return {self._word(): item for item in items}
        return items

    def _arithmetic(self):
        operator = self._random.choice(["+", "-", "*", "/", "//", "%", "&", "|", "^", "<<", ">>", "**"])
        if operator in ("<<", ">>", "**"):
            return f"{self._number()} {operator} {self._random.randint(0, 20)}"
        unary = self._random.choice(["", "", "-", "+", "~"])
        return f"{unary}({self._number()} {operator} {self._number()})"

    def _compare(self):
        operator = self._random.choice(["<", "<=", "==", "!=", ">", ">=", "is not", "in"])
        if operator == "in":
            return f"{self._word()!r} in {self._word()!r}"
        make = self._random.choice([self._number, lambda: repr(self._word()), lambda: repr(self._value())])
        return f"{make()} {operator} {make()}"

    def _text(self):
        method = self._random.choice([
            "upper()", "lower()", "title()", "capitalize()", "swapcase()", "strip()", "split()", "split(' ')", "split(None, 1)",
            "rsplit(None, 1)", "splitlines()", "isdigit()", "isalpha()", "isalnum()", "isspace()", "isupper()", "islower()",
            "istitle()", "encode()", "zfill(6)", "center(9, '*')", "ljust(6, '.')", "rjust(6)", "partition('a')", "rpartition('b')",
            "replace('a', 'xx')", "find('b')", "rfind('a')", "count('a')", "startswith('a')", "endswith('c')", "casefold()",
            "isidentifier()", "isprintable()", "expandtabs(3)", "join(['p', 'q'])", "lstrip('a ')", "rstrip('c ')", "isascii()",
        ])
        return f"{self._word()!r}.{method}"

    def _spec(self, types):
        r = self._random
        align = r.choice(["", "", "<", ">", "^", "=", "*<", "0>", "é^"])
        sign = r.choice(["", "", "+", "-", " "])
        return align + sign + r.choice(["", "", "#"]) + r.choice(["", "", "0"]) + r.choice(["", "5", "12"]) + r.choice(
            ["", "", "", ",", "_"]) + r.choice(["", "", ".0", ".2", ".10"]) + r.choice(types)

    def _format(self):
        r = self._random
        if r.random() < 0.4:
            return f"format({self._number()}, {self._spec(['', 'd', 'b', 'x', 'X', 'o', 'n', 'f', 'e', 'g', '%'])!r})"
        if r.random() < 0.6:
            return f"format({self._float()!r}, {self._spec(['', 'f', 'e', 'g', 'E', 'G', '%', 'F', 'n'])!r})"
        return f"format({self._word()!r}, {self._spec(['', 's'])!r})"

    def _percent(self):
        r = self._random
        flags = r.choice(["", "", "-", "+", "0", " ", "#"]) + r.choice(["", "4", "10"]) + r.choice(["", "", ".2", ".0"])
        kind = r.choice("sdrifegxoc%")
        value = {"s": self._value, "r": self._value, "c": lambda: r.choice(["a", 97])}.get(kind)
        value = value() if value else r.choice([self._integer, self._float])()
        return f"'[%{flags}{kind}]' % ({value!r},)" if kind != "%" else "'100%%' % ()"

    def _slice(self):
        r = self._random
        sequence = r.choice([self._word(), tuple(range(6)), list("abcdefg"), b"bytes\x00", range(3, 30, 4)])
        part = ":".join(r.choice(["", str(r.randint(-9, 9))]) for _ in range(r.choice([1, 2, 2, 3])))
        return f"{sequence!r}[{part if part.strip() else '0'}]"

    def _sort(self):
        r = self._random
        make = r.choice([self._integer, self._float, self._word, lambda: (r.randint(0, 3), self._word())])
        items = [make() for _ in range(r.randint(0, 8))]
        options = r.choice(["", "", ", reverse=True", ", key=str", ", key=lambda x: str(x)[::-1]"])
        return f"sorted({items!r}{options})"

    def _repr(self):
        return f"{self._random.choice(['repr', 'str', 'ascii', 'bool', 'len', 'type'])}({self._value()!r})"

    def _container(self):
        r = self._random
        a, b = [r.randint(0, 6) for _ in range(4)], [r.randint(0, 6) for _ in range(4)]
        return r.choice([
            f"sorted(set({a}) {r.choice('&|-^')} set({b}))", f"dict(zip({[self._word() for _ in range(4)]}, {a}))",
            f"{a} + {b}", f"{a} * {r.randint(-1, 3)}", f"{{**{dict(zip(a, b, strict=True))}, **{dict(zip(b, a, strict=True))}}}",
            f"[x for x in {a} if x in {b}]", f"list(enumerate({a}))", f"sum({a}), max({a}), min({b})",
            f"list(zip({a}, {b}))[::-1]", f"{a} < {b}, {tuple(a)} >= {tuple(b)}", f"{{x: x % 3 for x in {a}}}",
        ])

    def _method(self):
        r = self._random
        number = self._number()
        return r.choice([
            f"round({self._float()!r}, {r.randint(-3, 6)})", f"round({number})", f"divmod({number}, {number})", f"abs({number})",
            f"int({self._float()!r})", f"float({self._integer()})", f"hex({self._integer()}), bin({r.randint(-99, 99)})",
            f"int({self._word()!r})", f"float({self._word()!r})", f"({self._integer()}).bit_length()",
            f"({self._float()!r}).is_integer(), ({self._float()!r}).hex()", f"math.floor({number}), math.ceil({number})",
            f"math.sqrt(abs({self._float()!r}))", f"hash({r.randint(-1000, 1000)}), hash({float(r.randint(0, 50))!r})",
            f"pow({r.randint(2, 99)}, {r.randint(0, 60)}, {r.randint(1, 99)})", f"({r.randint(0, 2**30)}).to_bytes(5, 'big')",
        ])
