"""What the tests of examples/ share."""

from testing.launch import REPOSITORY

EXAMPLES = REPOSITORY / "examples"


def load(server, name, *options):
    """Loads an example; gives the name of its library."""
    code = (EXAMPLES / f"{name}.js").read_text()
    assert server.run("RG.FUNCTION", "LOAD", *options, code) == "OK"
    return code.splitlines()[0].removeprefix("#!js name=")


def fcall(server, *words):
    """Calls a function."""
    return server.run("RG.FCALL", *words)


def entries(server, stream):
    """All entries of a stream."""
    return server.run("XRANGE", stream, "-", "+")
