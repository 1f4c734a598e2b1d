"""What a server has replicated, as its append-only file has it: which commands belong together."""

import re


def commands_of(server):
    """The commands in the append-only file."""
    [path] = server.appended()
    data = path.read_bytes()
    at = 0

    def number(kind):
        nonlocal at
        assert data[at : at + 1] == kind, data[at : at + 40]
        end = data.index(b"\r\n", at)
        value = int(data[at + 1 : end])
        at = end + 2
        return value

    while at < len(data):
        words = []
        for _ in range(number(b"*")):
            length = number(b"$")
            words.append(data[at : at + length].decode("utf-8", "backslashreplace"))
            at += length + 2
        yield words


def units_of(server, cursors=False):
    """What was replicated: lists of commands as texts, one list for each transaction, or command outside of one. Of what
    the module tells itself, ``cursors`` shows how far consumers are."""
    units, open_unit = [], None
    for words in commands_of(server):
        name, arguments = words[0].upper(), words[1:]
        if name == "_RG_INTERNALS":
            if words[1] != "cursor" or not cursors:
                continue
            name, arguments = "CURSOR", [words[4], words[5]]
        if name == "MULTI":
            assert open_unit is None
            open_unit = []
        elif name == "EXEC":
            units.append(open_unit)
            open_unit = None
        elif name != "SELECT":
            text = " ".join([name, *arguments])
            text = re.sub(r"\b\d{13}-\d+\b", "ID", text)
            if open_unit is None:
                units.append([text])
            else:
                open_unit.append(text)
    assert open_unit is None
    return [unit for unit in units if unit]
