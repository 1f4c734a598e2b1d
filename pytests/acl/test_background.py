"""Background parts whose caller has other rights by then, or is gone."""

import pytest
from redis import ConnectionError as Disconnected
from redis import ResponseError

from testing.rights import STEPS, call, came_of, go, outcome, waits
from testing.users import NO_USER, PASSWORD, is_denied, text_of


def test_a_background_part_keeps_its_user_when_the_connection_takes_another(server, people):
    server.load(STEPS)
    people.set("old", "+set", "~mine:*")
    people.set("new", "+set", "~other:*")
    client = people.connect("old")
    call(client, "begin", "allowed", "SET", "mine:1", "late")
    call(client, "begin", "denied", "SET", "other:1", "late")
    client.execute_command("AUTH", "new", PASSWORD)
    assert outcome(lambda: client.execute_command("SET", "mine:1", "x")) == "denied"
    go(server, "allowed")
    go(server, "denied")
    assert came_of(server, "allowed") == "done"
    assert is_denied(came_of(server, "denied"))
    assert server.run("MGET", "mine:1", "other:1") == ["late", "1"]


LOSSES = {
    "the command": ["-set"],
    "the key": ["resetkeys", "~other:*"],
    "the right to write the key": ["resetkeys", "%R~mine:*"],
    "everything": ["reset"],
}


@pytest.mark.parametrize("start", ["later", "begin"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_background_part_has_no_right_that_its_user_lost_meanwhile(server, people, loss, start):
    server.load(STEPS)
    user = people.make("user", "+set", "~mine:*")
    with WaitingCall(user, start, "name", "SET", "mine:1", "late") as waiting:
        waits(server, "name")
        people.change("user", *LOSSES[loss])
        go(server, "name")
        assert is_denied(came_of(server, "name"))
        if start == "later":
            assert is_denied(waiting.error())
    assert server.run("GET", "mine:1") == "1"


def test_a_background_part_has_the_rights_its_user_got_meanwhile(server, people):
    server.load(STEPS)
    user = people.make("user", "~mine:*")
    call(user, "begin", "name", "SET", "mine:1", "late")
    people.change("user", "+set")
    go(server, "name")
    assert came_of(server, "name") == "done"


@pytest.mark.parametrize("start", ["later", "begin"])
def test_a_background_part_of_a_disabled_user_fails(server, people, start):
    server.load(STEPS)
    user = people.make("user", "+set", "~mine:*")
    with WaitingCall(user, start, "name", "SET", "mine:1", "late") as waiting:
        waits(server, "name")
        people.change("user", "off")
        go(server, "name")
        assert came_of(server, "name") == NO_USER
        if start == "later":
            assert NO_USER in waiting.error()
    assert server.run("GET", "mine:1") == "1"


@pytest.mark.parametrize("start", ["later", "begin"])
def test_a_background_part_of_a_deleted_user_fails(server, people, start):
    server.load(STEPS)
    user = people.make("user", "+set", "~mine:*")
    with WaitingCall(user, start, "name", "SET", "mine:1", "late") as waiting:
        waits(server, "name")
        people.delete("user")
        if start == "later":
            # The server ends the connections of a user that it deletes.
            assert waiting.is_disconnected()
        go(server, "name")
        assert came_of(server, "name") == NO_USER
    assert server.run("GET", "mine:1") == "1"


def test_a_background_part_of_a_user_made_anew_has_the_rights_of_the_new_one(server, people):
    server.load(STEPS)
    user = people.make("user", "+set", "+incr", "~mine:*")
    for name in ("SET", "INCR"):
        call(user, "begin", name, name, "mine:1", *(["late"] if name == "SET" else []))
        waits(server, name)
    people.delete("user")
    people.set("user", "+incr", "~mine:*")
    for name in ("SET", "INCR"):
        go(server, name)
    assert is_denied(came_of(server, "SET"))
    assert came_of(server, "INCR") == "done"
    assert server.run("GET", "mine:1") == "2"


class WaitingCall:
    """A call whose connection waits for the reply while the test goes on."""

    def __init__(self, client, *words):
        self.client = client
        self.words = words

    def __enter__(self):
        self.connection = self.client.connection
        self.connection.send_command("RG.FCALL", "lib", self.words[0], 0, *self.words[1:])
        return self

    def __exit__(self, *failure):
        self.connection.disconnect()

    def error(self):
        """The error it is answered with."""
        with pytest.raises(ResponseError) as caught:
            self.connection.read_response()
        return text_of(caught.value)

    def is_disconnected(self):
        """Whether the server ends the connection instead of answering."""
        with pytest.raises(Disconnected):
            self.connection.read_response()
        return True
