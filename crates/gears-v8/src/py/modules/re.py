"""Regular expressions, run by V8."""
import _regex

__all__ = ['A', 'ASCII', 'DOTALL', 'I', 'IGNORECASE', 'L', 'LOCALE', 'M', 'MULTILINE', 'Match', 'NOFLAG', 'Pattern',
           'PatternError', 'RegexFlag', 'S', 'U', 'UNICODE', 'VERBOSE', 'X', 'compile', 'error', 'escape', 'findall',
           'finditer', 'fullmatch', 'match', 'purge', 'search', 'split', 'sub', 'subn']

_NAMES = ((256, 'ASCII'), (2, 'IGNORECASE'), (4, 'LOCALE'), (8, 'MULTILINE'), (16, 'DOTALL'), (32, 'UNICODE'), (64, 'VERBOSE'),
          (128, 'DEBUG'))


class RegexFlag(int):
    def __repr__(self):
        names = [f're.{name}' for bit, name in sorted(_NAMES) if int(self) & bit]
        return '|'.join(names) or 're.NOFLAG'

    __str__ = __repr__

    def __or__(self, other):
        return RegexFlag(int(self) | int(other))

    def __and__(self, other):
        return RegexFlag(int(self) & int(other))

    def __xor__(self, other):
        return RegexFlag(int(self) ^ int(other))

    def __invert__(self):
        return RegexFlag(~int(self) & 511)

    __ror__, __rand__, __rxor__ = __or__, __and__, __xor__

    @property
    def value(self):
        return int(self)


NOFLAG = RegexFlag(0)
A = ASCII = RegexFlag(256)
I = IGNORECASE = RegexFlag(2)
L = LOCALE = RegexFlag(4)
M = MULTILINE = RegexFlag(8)
S = DOTALL = RegexFlag(16)
U = UNICODE = RegexFlag(32)
X = VERBOSE = RegexFlag(64)
DEBUG = RegexFlag(128)
T = TEMPLATE = RegexFlag(1)


class PatternError(Exception):
    __module__ = 're'

    def __init__(self, msg, pattern=None, pos=None):
        self.msg = msg
        self.pattern = pattern
        self.pos = pos
        self.lineno = self.colno = None
        if pattern is not None and pos is not None:
            msg = f'{msg} at position {pos}'
            newline = '\n' if isinstance(pattern, str) else b'\n'
            self.lineno = pattern.count(newline, 0, pos) + 1
            self.colno = pos - pattern.rfind(newline, 0, pos)
            if newline in pattern:
                msg = f'{msg} (line {self.lineno}, column {self.colno})'
        super().__init__(msg)


error = PatternError


def _text(string, is_bytes):
    """The text that is searched: of bytes, with a character for each."""
    if is_bytes:
        if isinstance(string, str):
            raise TypeError('cannot use a bytes pattern on a string-like object')
        return bytes(string).decode('latin-1')
    if not isinstance(string, str):
        if isinstance(string, (bytes, bytearray, memoryview)):
            raise TypeError('cannot use a string pattern on a bytes-like object')
        raise TypeError(f"expected string or bytes-like object, got '{type(string).__name__}'")
    return string


class Match:
    def __init__(self, pattern, string, pos, endpos, spans):
        self.re = pattern
        self.string = string
        self.pos = pos
        self.endpos = endpos
        self._spans = spans

    @property
    def lastindex(self):
        return self._spans[-1] or None

    @property
    def lastgroup(self):
        for name, number in self.re.groupindex.items():
            if number == self._spans[-1]:
                return name
        return None

    @property
    def regs(self):
        return tuple((self._spans[2 * i], self._spans[2 * i + 1]) for i in range(self.re.groups + 1))

    def _number(self, group):
        if isinstance(group, int):
            if 0 <= group <= self.re.groups:
                return group
        elif group in self.re.groupindex:
            return self.re.groupindex[group]
        raise IndexError('no such group')

    def _get(self, number, default=None):
        start = self._spans[2 * number]
        return default if start < 0 else self.string[start:self._spans[2 * number + 1]]

    def group(self, *groups):
        if not groups:
            return self._get(0)
        if len(groups) == 1:
            return self._get(self._number(groups[0]))
        return tuple(self._get(self._number(group)) for group in groups)

    def __getitem__(self, group):
        return self._get(self._number(group))

    def groups(self, default=None):
        return tuple(self._get(i, default) for i in range(1, self.re.groups + 1))

    def groupdict(self, default=None):
        return {name: self._get(number, default) for name, number in self.re.groupindex.items()}

    def start(self, group=0):
        return self._spans[2 * self._number(group)]

    def end(self, group=0):
        return self._spans[2 * self._number(group) + 1]

    def span(self, group=0):
        number = self._number(group)
        return (self._spans[2 * number], self._spans[2 * number + 1])

    def expand(self, template):
        return _expand(_template(self.re, template), self)

    def __bool__(self):
        return True

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f'<re.Match object; span={self.span()!r}, match={self.group()!r}>'


class Pattern:
    def __init__(self, pattern, flags):
        self._bytes = isinstance(pattern, (bytes, bytearray))
        if not self._bytes and not isinstance(pattern, str):
            raise TypeError('first argument must be string or compiled pattern')
        if self._bytes and flags & 32:
            raise ValueError('cannot use UNICODE flag with a bytes pattern')
        text = bytes(pattern).decode('latin-1') if self._bytes else pattern
        self._run, self.groups, names, flags = _regex.compile(text, int(flags), self._bytes, PatternError)
        if not self._bytes and not flags & 256:
            flags |= 32
        self.flags = flags
        self.pattern = pattern
        self.groupindex = dict(names)

    def _once(self, string, pos, endpos, how):
        text = _text(string, self._bytes)
        size = len(text)
        pos = min(max(pos, 0), size)
        endpos = size if endpos is None else min(max(endpos, 0), size)
        if pos > endpos:
            return None
        spans = self._run(text, pos, endpos, how)
        return None if spans is None else Match(self, string, pos, endpos, spans)

    def search(self, string, pos=0, endpos=None):
        return self._once(string, pos, endpos, 0)

    def match(self, string, pos=0, endpos=None):
        return self._once(string, pos, endpos, 1)

    def fullmatch(self, string, pos=0, endpos=None):
        return self._once(string, pos, endpos, 2)

    def _all(self, string, pos=0, endpos=None):
        text = _text(string, self._bytes)
        size = len(text)
        pos = min(max(pos, 0), size)
        endpos = size if endpos is None else min(max(endpos, 0), size)
        if pos > endpos:
            return []
        return [Match(self, string, pos, endpos, spans) for spans in self._run(text, pos, endpos, 3)]

    def finditer(self, string, pos=0, endpos=None):
        return iter(self._all(string, pos, endpos))

    def findall(self, string, pos=0, endpos=None):
        found = self._all(string, pos, endpos)
        if self.groups == 0:
            return [m._get(0) for m in found]
        empty = b'' if self._bytes else ''
        if self.groups == 1:
            return [m._get(1, empty) for m in found]
        return [m.groups(empty) for m in found]

    def split(self, string, maxsplit=0):
        parts = []
        at = 0
        for m in self._all(string):
            if maxsplit and len(parts) >= maxsplit * (1 + self.groups):
                break
            parts.append(string[at:m.start()])
            parts.extend(m.groups())
            at = m.end()
        parts.append(string[at:])
        return parts

    def subn(self, repl, string, count=0):
        template = None if callable(repl) else _template(self, repl)
        parts = []
        at = done = 0
        for m in self._all(string):
            if count and done >= count:
                break
            parts.append(string[at:m.start()])
            parts.append(repl(m) if template is None else _expand(template, m))
            at = m.end()
            done += 1
        parts.append(string[at:])
        return (b'' if self._bytes else '').join([p for p in parts if p is not None]), done

    def sub(self, repl, string, count=0):
        return self.subn(repl, string, count)[0]

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __eq__(self, other):
        if not isinstance(other, Pattern):
            return NotImplemented
        return (self.pattern, self.flags) == (other.pattern, other.flags) and self._bytes == other._bytes

    def __hash__(self):
        return hash((self.pattern, self.flags))

    def __repr__(self):
        shown = RegexFlag(self.flags & ~(0 if self._bytes else 32))
        return f're.compile({self.pattern!r}' + (f', {shown!r})' if shown else ')')

    @classmethod
    def __class_getitem__(cls, item):
        return cls


_ESCAPES = {'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\'}


def _template(pattern, repl):
    """What a replacement consists of: texts, and numbers of groups."""
    is_bytes = isinstance(repl, (bytes, bytearray))
    text = bytes(repl).decode('latin-1') if is_bytes else repl
    if '\\' not in text:
        return [repl]
    parts = []
    plain = ''
    at = 0

    def fail(message, position):
        raise PatternError(message, repl, position)

    def group(number, position):
        nonlocal plain
        if number > pattern.groups:
            fail(f'invalid group reference {number}', position)
        if plain:
            parts.append(plain.encode('latin-1') if is_bytes else plain)
            plain = ''
        parts.append(number)

    while at < len(text):
        c = text[at]
        at += 1
        if c != '\\':
            plain += c
            continue
        if at == len(text):
            fail('bad escape (end of pattern)', at - 1)
        c = text[at]
        at += 1
        if c == 'g':
            end = text.find('>', at)
            if text[at:at + 1] != '<':
                fail('missing <', at)
            name = text[at + 1:end] if end > 0 else ''
            if end < 0 or not name:
                fail('missing group name' if end > 0 else 'missing >, unterminated name', at + 1)
            if name.isdecimal():
                group(int(name), at + 1)
            elif name in pattern.groupindex:
                group(pattern.groupindex[name], at + 1)
            elif name.isidentifier():
                raise IndexError(f'unknown group name {name!r}')
            else:
                fail(f'bad character in group name {name!r}', at + 1)
            at = end + 1
        elif c == '0' or (c in '123' and text[at:at + 2].isdecimal() and len(text[at:at + 2]) == 2
                          and all(d in '01234567' for d in text[at:at + 2])):
            digits = c
            while len(digits) < 3 and text[at:at + 1] in tuple('01234567'):
                digits += text[at]
                at += 1
            plain += chr(int(digits, 8))
        elif c in '123456789':
            digits = c
            if text[at:at + 1] in tuple('0123456789'):
                digits += text[at]
                at += 1
            group(int(digits), at - len(digits))
        elif c in _ESCAPES:
            plain += _ESCAPES[c]
        elif c.isascii() and c.isalpha():
            fail(f'bad escape \\{c}', at - 2)
        else:
            plain += '\\' + c
    if plain:
        parts.append(plain.encode('latin-1') if is_bytes else plain)
    return parts


def _expand(template, m):
    empty = b'' if m.re._bytes else ''
    return empty.join([m._get(part, empty) if isinstance(part, int) else part for part in template])


_cache = {}


def compile(pattern, flags=0):
    if isinstance(pattern, Pattern):
        if flags:
            raise ValueError('cannot process flags argument with a compiled pattern')
        return pattern
    key = (type(pattern), pattern, int(flags))
    found = _cache.get(key)
    if found is None:
        found = Pattern(pattern, flags)
        if len(_cache) >= 512:
            _cache.clear()
        _cache[key] = found
    return found


def purge():
    _cache.clear()


def search(pattern, string, flags=0):
    return compile(pattern, flags).search(string)


def match(pattern, string, flags=0):
    return compile(pattern, flags).match(string)


def fullmatch(pattern, string, flags=0):
    return compile(pattern, flags).fullmatch(string)


def findall(pattern, string, flags=0):
    return compile(pattern, flags).findall(string)


def finditer(pattern, string, flags=0):
    return compile(pattern, flags).finditer(string)


def split(pattern, string, maxsplit=0, flags=0):
    return compile(pattern, flags).split(string, maxsplit)


def sub(pattern, repl, string, count=0, flags=0):
    return compile(pattern, flags).sub(repl, string, count)


def subn(pattern, repl, string, count=0, flags=0):
    return compile(pattern, flags).subn(repl, string, count)


_SPECIAL = {ord(c): '\\' + c for c in '()[]{}?*+-|^$\\.&~# \t\n\r\v\f'}


def escape(pattern):
    if isinstance(pattern, str):
        return pattern.translate(_SPECIAL)
    return bytes(pattern).decode('latin-1').translate(_SPECIAL).encode('latin-1')
