"""What the tests of examples/python share: the examples, clients of both protocols, and what can be seen of scripts."""

from testing.gears1 import registrations
from testing.launch import REPOSITORY

RECIPES = REPOSITORY / "examples/python"


class Recipes:
    """A server, and a client of it that speaks one of the two protocols."""

    def __init__(self, server, client):
        self.server = server
        self._client = client

    def run(self, *words):
        """One command."""
        return self._client.execute_command(*words)

    def load(self, name):
        """Runs an example; gives the reply."""
        return self.run("RG.PYEXECUTE", (RECIPES / f"{name}.py").read_text())

    def register(self, name):
        """Runs an example that registers something."""
        assert self.load(name) in ("OK", b"OK")

    def add(self, stream, *words, entry="*", **fields):
        """Adds an entry, from words or from names and values; gives its ID."""
        words = [*words, *(word for pair in fields.items() for word in pair)]
        return self.run("XADD", stream, entry, *words)

    def entries(self, stream):
        """The fields of all entries of a stream."""
        return [found for _, found in self.run("XRANGE", stream, "-", "+")]

    def waits_for(self, expected, *words):
        """Waits until a command gives that."""
        self.server.wait(lambda: self.run(*words) == expected, lambda: (self.run(*words), expected))

    def waits_for_entries(self, stream, *expected):
        """Waits until a stream has just these entries."""
        self.server.wait(lambda: self.entries(stream) == list(expected), lambda: (self.entries(stream), expected))

    def registration(self, desc):
        """What RG.DUMPREGISTRATIONS tells of the one with that description."""
        [found] = [one for one in registrations(self.server) if one["desc"] == desc]
        return found

    def waits_for_registration(self, desc, **expected):
        """Waits until RG.DUMPREGISTRATIONS shows these fields."""

        def shown():
            found = self.registration(desc)
            return {name: found[name] for name in expected}

        self.server.wait(lambda: shown() == expected, lambda: (shown(), expected))
