"""Errors begin with a code, but for those that clients know from RedisGears 2."""

import re

from testing.launch import REPOSITORY

# Whose texts are older than this rule.
OLD = {"LOAD", "LIST", "DEL", "DEBUG", "FCALL", "JSEXECUTE", "CONFIG"}


def documented():
    """Pairs of a command and an error, from the table of the page."""
    page = (REPOSITORY / "docs/commands.md").read_text()
    table = page.split("## Errors\n", 1)[1].split("**Thrown by", 1)[0]
    by = None
    for line in table.replace("\\|", "/").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 3 or cells[0] == "by" or set(cells[0]) == {"-"}:
            continue
        by = cells[0] or by
        yield by, cells[1]


def test_every_error_that_is_not_an_old_one_begins_with_a_code():
    found = list(documented())
    assert len(found) > 60
    assert {by for by, _ in found} >= OLD
    rest = [(by, text) for by, text in found if by not in OLD and text != "anything else"]
    assert [one for one in rest if not re.match(r"`[A-Z]{2,} ", one[1])] == []
