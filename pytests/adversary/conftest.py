"""The server on which something hostile is done."""

import pytest

from testing.adversary import Hostile


@pytest.fixture
def hostile(server):
    """See ``Hostile``. What comes behind the test is a part of it."""
    case = Hostile(server)
    yield case
    server.assert_alive()
    case.end()
