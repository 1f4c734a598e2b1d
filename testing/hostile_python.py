"""Python that means harm: where it can be, and what has to hold behind it.

``PythonHostile`` is ``Hostile`` with a bystander in Python beside the one in JavaScript. Hostile code is the body of a
function that gets a record as ``x``; ``provoke`` runs it in one of ``PLACES`` and gives the text of the error that it
ends with.
"""

import textwrap

import pytest
from redis import ResponseError

from testing.adversary import LIMIT_MS, LONG_MS, Hostile, in_time
from testing.gears1 import registrations

TIMEOUT = "redisgears_2.lock-redis-timeout"
# Seconds: until a library is there, on a busy machine.
LOADED_MS = 20_000

BYSTANDER = """#!py name=bystander_in_python
count = 0


def one_more(x):
    global count
    count += 1
    execute('set', 'counted', str({'count': count}))


GB('KeysReader', desc='bystander').foreach(one_more).register('calm:key', mode='sync', eventTypes=['incr', 'incrby'])
"""

# Where hostile code can be: how its function is used.
PLACES = {
    "script": "hostile(None)",
    "library": "hostile(None)",
    "sync step": "GB().foreach(hostile).register('provoked', mode='sync')",
    "async step": "GB('StreamReader').foreach(hostile).register('provoked', onFailedPolicy='continue')",
    "run": "GB('ShardsIDReader').map(hostile).run()",
}


def in_function(code):
    """A function with that body."""
    return f"def hostile(x):\n{textwrap.indent(textwrap.dedent(code), '    ')}\n"


class PythonHostile(Hostile):
    """A server with bystanders, on which something hostile is done in Python."""

    def __init__(self, server):
        super().__init__(server)
        self.limit(LOADED_MS)
        server.run("RG.FUNCTION", "LOAD", BYSTANDER)
        self.counted = 0
        self.python_works()
        self.limit()
        self.before = self.memory()

    def python_works(self):
        """Whether the other library counts, and the next script runs."""
        self.counted += 1
        self.server.run("INCR", "calm:key")
        assert self.server.run("GET", "counted") == f"{{'count': {self.counted}}}"
        with in_time():
            script = "GB('ShardsIDReader').map(lambda x: {'answer': 6 * 7}).run()"
            assert self.server.run("RG.PYEXECUTE", script) == [["{'answer': 42}"], []]

    def execute(self, code, *options):
        """Runs a script, which must end in time."""
        with in_time(self.patience):
            return self.server.run("RG.PYEXECUTE", code, *options)

    def fails_to_execute(self, code):
        """The text of the error that a script ends with."""
        with pytest.raises(ResponseError) as caught:
            self.execute(code)
        return str(caught.value)

    def provoke(self, place, code):
        """Runs hostile code in a place; gives the text of the error it ends with."""
        script = in_function(code) + PLACES[place]
        if place == "script":
            return self.fails_to_execute(script)
        if place == "library":
            with in_time(self.patience), pytest.raises(ResponseError) as caught:
                self.server.run("RG.FUNCTION", "LOAD", f"#!py name=lib\n{script}")
            return str(caught.value)
        if place == "run":
            [results, [error]] = self.execute(script)
            assert results == []
            return error
        with self.server.setting(TIMEOUT, LONG_MS):
            assert self.execute(script, "ID", "lib") == "OK"
        with in_time(self.patience):
            if place == "sync step":
                self.server.run("SET", "provoked", 1)
            else:
                self.server.run("XADD", "provoked", "*", "a", 1)
            self.server.wait(lambda: self.registration()["numFailures"] == 1, self.registration)
        return self.registration()["lastError"]

    def registration(self):
        """What RG.DUMPREGISTRATIONS tells of the hostile one."""
        [found] = [one for one in registrations(self.server) if one["PD"].startswith("lib.")]
        return found

    def end(self):
        """As above, with Python."""
        self.limit(LOADED_MS)
        if "lib" in self.server.libraries():
            self.server.run("RG.FUNCTION", "DEL", "lib")
        self.server.run("DEL", "provoked")
        self.python_works()
        super().end()


__all__ = ["LIMIT_MS", "LONG_MS", "PLACES", "PythonHostile", "in_function"]
