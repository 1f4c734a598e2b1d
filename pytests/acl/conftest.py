"""Users of a server, for the tests of rights."""

import pytest

from testing.rights import fill
from testing.users import People


@pytest.fixture
def people(server):
    """Nobody but the default user to begin with, and the data of ``fill``."""
    names = [name for name in server.run("ACL", "USERS") if name != "default"]
    if names:
        server.run("ACL", "DELUSER", *names)
    server.run("ACL", "LOG", "RESET")
    fill(server)
    people = People(server)
    yield people
    people.close()
