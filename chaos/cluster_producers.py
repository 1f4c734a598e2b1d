"""Clients that add entries to the shards of a cluster while primaries die, and know what each of these has acknowledged,
and what its replica had by then.

Replication is asynchronous: what a primary has acknowledged and its replica does not have is lost with the primary, by
the server itself. So whoever replaces a primary is asked at once how far each stream goes there, before anybody else
writes to it. What was acknowledged beyond that is gone; what is before it has to stay. And what the replica had
confirmed (WAIT) must not be beyond it.
"""

import random
import socket
import threading
from collections import defaultdict

from chaos.protocol import packed, read_line
from chaos.verdict import order
from testing.launch import HOST

THREADS = 3
PIPELINE_MAX = 16
PADDING_MAX = 100
# Seconds between two pipelines.
PAUSE_MAX = 0.02
# Every so many pipelines wait for the replica, for so many milliseconds at most.
WAIT_ONE_IN = 4
WAIT_MS = "200"
# Seconds until somebody without a primary looks for one again.
AGAIN = 0.02
# What a server says to a client that is to go elsewhere, or to come again.
NOT_HERE = (b"-MOVED", b"-READONLY", b"-CLUSTERDOWN", b"-LOADING", b"-MASTERDOWN")


class Route:
    """The way to a primary, as long as it is one."""

    def __init__(self, port):
        self.port = port
        # The last ID of each stream, as whoever replaced the primary had it.
        self.lasts = None
        self._sockets = []
        self._closed = False
        self._lock = threading.Lock()

    def connect(self, deadline):
        """A connection, which ends with the route."""
        connection = socket.create_connection((HOST, self.port), deadline)
        with self._lock:
            if self._closed:
                raise ConnectionError("it is no primary any more")
            self._sockets.append(connection)
        return connection

    def close(self):
        """It is no primary any more, or is about to be none."""
        with self._lock:
            self._closed = True
            for connection in self._sockets:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # The server is gone.

    def has_kept(self, stream, entry):
        """Whether who replaced the primary, if somebody did, had that entry."""
        return self.lasts is None or order(entry) <= order(self.lasts[stream])


class Acknowledged:
    """Entries whose replies came: each with the way that it went, and whether the replica has confirmed it."""

    def __init__(self):
        self._entries = defaultdict(list)
        self.refused = []

    def add(self, stream, entry, route, confirmed):
        self._entries[stream].append((entry, route, confirmed))

    def take(self, other):
        """Takes those of another."""
        for stream, entries in other._entries.items():
            self._entries[stream] += entries
        self.refused += other.refused

    def kept(self, stream):
        """Those that must be there."""
        return [entry for entry, route, _ in self._entries[stream] if route.has_kept(stream, entry)]

    def lost(self, stream):
        """Those that are gone with a primary, and those among them that its replica had confirmed."""
        gone = [(entry, sure) for entry, route, sure in self._entries[stream] if not route.has_kept(stream, entry)]
        return [entry for entry, _ in gone], [entry for entry, sure in gone if sure]


class Producers:
    """All of them. `shards` have a `route`, or none for a moment, and `streams`."""

    def __init__(self, shards, chance, deadline):
        self._ended = threading.Event()
        self._threads = [
            _Producer(shards, random.Random(chance.getrandbits(32)), deadline, self._ended) for _ in range(THREADS)
        ]
        self._deadline = deadline
        for thread in self._threads:
            thread.start()

    def end(self):
        """Waits for the end; what was acknowledged."""
        self._ended.set()
        all_of_them = Acknowledged()
        for thread in self._threads:
            thread.join(2 * self._deadline)
            if thread.is_alive():
                all_of_them.refused.append(f"a producer does not end within {2 * self._deadline:.0f} s")
                continue
            all_of_them.take(thread.acknowledged)
        return all_of_them


class _Producer(threading.Thread):
    """One client, with a connection to each primary."""

    def __init__(self, shards, chance, deadline, ended):
        super().__init__(daemon=True)
        self.acknowledged = Acknowledged()
        self._shards = shards
        self._chance = chance
        self._deadline = deadline
        self._ended = ended
        self._connections = {}

    def run(self):
        """Goes on until it is told to end."""
        while not self._ended.is_set():
            shard = self._chance.choice(self._shards)
            route = shard.route
            pause = self._chance.uniform(0, PAUSE_MAX)
            try:
                if route is None or not self._step(shard.streams, route):
                    pause = AGAIN
            except TimeoutError:
                self.acknowledged.refused.append(f"no reply to a write within {self._deadline} s")
                self._connections.pop(route, None)
            except OSError:
                # The server is gone, or is replaced.
                self._connections.pop(route, None)
                pause = AGAIN
            self._ended.wait(pause)
        for connection, _ in self._connections.values():
            connection.close()

    def _step(self, streams, route):
        """One pipeline; whether all of it was taken."""
        connection, replies = self._connection(route)
        batch = self._chance.choices(streams, k=self._chance.randint(1, PIPELINE_MAX))
        waits = not self._chance.randrange(WAIT_ONE_IN)
        commands = [packed("XADD", stream, "*", "x", "x" * self._chance.randint(0, PADDING_MAX)) for stream in batch]
        if waits:
            commands.append(packed("WAIT", "1", WAIT_MS))
        connection.sendall(b"".join(commands))
        added = []
        try:
            for stream in batch:
                head = read_line(replies)
                if head.startswith(b"$"):
                    added.append((stream, read_line(replies).decode()))
                elif not head.startswith(NOT_HERE):
                    self.acknowledged.refused.append(f"XADD {stream}: {head.decode(errors='replace')}")
            confirmed = waits and read_line(replies) == b":1"
        except OSError:
            self._note(added, route, False)
            raise
        self._note(added, route, confirmed)
        return len(added) == len(batch)

    def _note(self, added, route, confirmed):
        for stream, entry in added:
            self.acknowledged.add(stream, entry, route, confirmed)

    def _connection(self, route):
        if route not in self._connections:
            connection = route.connect(self._deadline)
            self._connections[route] = connection, connection.makefile("rb")
        return self._connections[route]
