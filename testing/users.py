"""Users of a server, their connections, and how servers refuse them."""

import re

from redis.exceptions import NoPermissionError

PASSWORD = "pw"

NO_USER = "Failed authenticating client"
# A user who has lost everything is disabled too.
DENIED = re.compile(
    rf"NOPERM|no permissions?|acl verification failed|insufficient ACL permissions|{NO_USER}", re.IGNORECASE
)


class People:
    """Users of a server, and their connections."""

    def __init__(self, server):
        self.server = server
        self.connections = []

    def make(self, name, *rules):
        """A user with these rights and no others, who may call functions, and a connection of his."""
        self.set(name, *rules)
        return self.connect(name)

    def set(self, name, *rules):
        """Gives a user, new or not, these rights and no others."""
        self.server.run("ACL", "SETUSER", name, "reset", "on", f">{PASSWORD}", "+rg.fcall", *rules)

    def change(self, name, *rules):
        """Changes the rights of a user."""
        self.server.run("ACL", "SETUSER", name, *rules)

    def connect(self, name):
        """One connection of a user."""
        client = self.server.connect(username=name, password=PASSWORD, single_connection_client=True)
        self.connections.append(client)
        return client

    def delete(self, name):
        """No such user any more."""
        self.server.run("ACL", "DELUSER", name)

    def close(self):
        """Ends the connections."""
        for client in self.connections:
            client.close()


def is_denied(text):
    """Whether the text of an error says that rights are missing."""
    return DENIED.search(text) is not None


def text_of(error):
    """The text of an error with its code: of NOPERM the client makes a class, and cuts it off."""
    return f"NOPERM {error}" if isinstance(error, NoPermissionError) else str(error)
