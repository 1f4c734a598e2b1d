"""Clients that add entries until their server is gone, and know which ones it has acknowledged.

They speak the protocol themselves: of a pipeline that the kill cuts off, the replies that came count.
"""

import random
import socket
import threading
from collections import defaultdict

from server import HOST
from verdict import kind_of

THREADS = 3
PIPELINE_MAX = 16
PADDING_MAX = 100
# Of entries whose consumer fails with some, how many are such.
BAD = 0.15
# Values of the field that some consumers order by.
USERS = 4
# Between two pipelines; async consumers catch up now and then, and now and then they do not.
PAUSE_MAX = 0.004


class Producers:
    """All of them, on one server."""

    def __init__(self, port, chance, streams, deadline):
        self._deadline = deadline
        self._ended = threading.Event()
        self._threads = [
            Producer(port, chance.getrandbits(32), streams, deadline, self._ended) for _ in range(THREADS)
        ]

    def start(self):
        """Begins."""
        for thread in self._threads:
            thread.start()

    def have_begun(self):
        """Whether each has got a reply, or has ended."""
        return all(thread.acknowledged or not thread.is_alive() for thread in self._threads)

    def end(self):
        """Waits for the end, which comes with that of the server. Gives the acknowledged IDs by stream, and errors."""
        self._ended.set()
        acknowledged, refused = defaultdict(list), []
        for thread in self._threads:
            thread.join(2 * self._deadline)
            if thread.is_alive():
                refused.append(f"a producer does not end within {2 * self._deadline:.0f} s")
                continue
            refused += thread.refused
            for stream, entries in thread.acknowledged.items():
                acknowledged[stream] += entries
        return acknowledged, refused


class Producer(threading.Thread):
    """One connection."""

    def __init__(self, port, seed, streams, deadline, ended):
        super().__init__(daemon=True)
        self.acknowledged = defaultdict(list)
        self.refused = []
        self._port = port
        self._chance = random.Random(seed)
        self._streams = streams
        self._deadline = deadline
        self._ended = ended

    def run(self):
        """Adds entries."""
        try:
            with socket.create_connection((HOST, self._port), self._deadline) as connection:
                replies = connection.makefile("rb")
                while not self._ended.is_set():
                    batch = self._chance.choices(self._streams, k=self._chance.randint(1, PIPELINE_MAX))
                    connection.sendall(b"".join(map(self._command, batch)))
                    for stream in batch:
                        self._read(replies, stream)
                    self._ended.wait(self._chance.uniform(0, PAUSE_MAX))
        except TimeoutError:
            self.refused.append(f"no reply to XADD within {self._deadline} s")
        except OSError:
            pass  # The server is gone, as was to be.

    def _command(self, stream):
        words = ["XADD", stream, "*", "padding", "x" * self._chance.randint(0, PADDING_MAX)]
        kind = kind_of(stream)
        if kind.order_by:
            words += (kind.order_by, str(self._chance.randrange(USERS)))
        if kind.bad and self._chance.random() < BAD:
            words += ("bad", self._chance.choice(kind.bad))
        lines = [f"*{len(words)}", *(line for word in words for line in (f"${len(word)}", word)), ""]
        return "\r\n".join(lines).encode()

    def _read(self, replies, stream):
        head = _line(replies)
        if head.startswith(b"$"):
            self.acknowledged[stream].append(_line(replies).decode())
        else:
            self.refused.append(f"XADD {stream}: {head.decode(errors='replace')}")


def _line(replies):
    line = replies.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("cut off")
    return line[:-2]
