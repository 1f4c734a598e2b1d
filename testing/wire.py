"""A client that shows replies as they are on the wire, where a client library would hide their types."""

import socket

SIMPLE = b"+-:_#,("
BLOB = b"$=!"
AGGREGATE = b"*~>"
PAIRS = b"%|"

# What the documentation calls the types of replies, by their first byte.
NAMES = {
    "+": "simple string",
    "-": "error",
    ":": "integer",
    "$": "bulk string",
    "*": "array",
    "_": "null",
    "#": "boolean",
    ",": "double",
    "(": "big number",
    "=": "verbatim string",
    "~": "set",
    "%": "map",
}


def wire(text):
    """Bytes of a reply from its lines, which are separated by spaces: ``*2 :1 $1 a``."""
    if isinstance(text, bytes):
        return text
    return text.replace(" ", "\r\n").encode() + b"\r\n"


def bulk(value):
    """Bytes of a bulk string."""
    value = value if isinstance(value, bytes) else value.encode()
    return b"$%d\r\n%s\r\n" % (len(value), value)


def type_name(reply):
    """What kind of reply it is."""
    return "null" if reply in (b"$-1\r\n", b"*-1\r\n") else NAMES[chr(reply[0])]


class Wire:
    """A connection, in RESP2 or in RESP3."""

    def __init__(self, port, protocol=2):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._file = self._socket.makefile("rb")
        if protocol == 3:
            hello = self.call("HELLO", 3)
            assert type_name(hello) == "map", hello

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()

    def send(self, *words):
        """Sends one command."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(words) + b"".join(map(bulk, words)))

    def call(self, *words):
        """One command; gives the bytes of its reply."""
        self.send(*words)
        return self.read()

    def read(self):
        """The bytes of the next reply."""
        parts = []
        missing = 1
        while missing:
            line = self._file.readline()
            assert line.endswith(b"\r\n"), f"the connection ended after {b''.join(parts)[-100:] + line}"
            missing -= 1
            parts.append(line)
            kind = line[0]
            if kind in SIMPLE:
                continue
            length = int(line[1:])
            if kind in BLOB:
                if length >= 0:
                    parts.append(self._file.read(length + 2))
            elif kind in AGGREGATE:
                missing += max(length, 0)
            elif kind in PAIRS:
                # What an attribute describes follows it.
                missing += 2 * length + (kind == ord("|"))
            else:
                raise AssertionError(f"no reply: {line}")
        return b"".join(parts)
