"""Clients that add entries, or set keys, until their server is gone, and know what it has acknowledged.

They speak the protocol themselves: of a pipeline that the kill cuts off, the replies that came count.
"""

import random
import socket
import threading
from collections import defaultdict

from chaos.protocol import packed, read_line
from chaos.verdict import kind_of
from testing.launch import HOST

THREADS = 3
PIPELINE_MAX = 16
PADDING_MAX = 100
# Of entries whose consumer fails with some, how many are such.
BAD = 0.15
# Values of the field that some consumers order by.
USERS = 4
# Between two pipelines; async consumers catch up now and then, and now and then they do not.
PAUSE_MAX = 0.004
# The same for those that set keys: what one of the triggers hands on is worked through one by one.
SETTERS_PAUSE_MAX = 0.02


class Producers:
    """All of them, on one server: some for all streams, and one for each key, which goes on from its number."""

    def __init__(self, port, chance, streams, numbers, deadline):
        self._deadline = deadline
        self._ended = threading.Event()

        def start_with(kind, *what):
            return kind(port, chance.getrandbits(32), *what, deadline, self._ended)

        self._threads = [start_with(Producer, streams) for _ in range(THREADS)]
        self._threads += [start_with(Setter, [key], number) for key, number in numbers.items()]

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

    pause_max = PAUSE_MAX

    def __init__(self, port, seed, streams, deadline, ended):
        super().__init__(daemon=True)
        self.acknowledged = defaultdict(list)
        self.refused = []
        self._port = port
        self._chance = random.Random(seed)
        self._names = streams
        self._deadline = deadline
        self._ended = ended

    def run(self):
        """Goes on until it is told to end, or cannot."""
        try:
            with socket.create_connection((HOST, self._port), self._deadline) as connection:
                replies = connection.makefile("rb")
                while not self._ended.is_set():
                    self._step(connection, replies)
                    self._ended.wait(self._chance.uniform(0, self.pause_max))
        except TimeoutError:
            self.refused.append(f"no reply to a write within {self._deadline} s")
        except OSError:
            pass  # The server is gone, as was to be.

    def _step(self, connection, replies):
        batch = self._chance.choices(self._names, k=self._chance.randint(1, PIPELINE_MAX))
        connection.sendall(b"".join(map(self._command, batch)))
        for stream in batch:
            self._read(replies, stream)

    def _command(self, stream):
        words = ["XADD", stream, "*", "padding", "x" * self._chance.randint(0, PADDING_MAX)]
        kind = kind_of(stream)
        if kind.order_by:
            words += (kind.order_by, str(self._chance.randrange(USERS)))
        if kind.bad and self._chance.random() < BAD:
            words += ("bad", self._chance.choice(kind.bad))
        return packed(*words)

    def _read(self, replies, stream):
        head = read_line(replies)
        if head.startswith(b"$"):
            self.acknowledged[stream].append(read_line(replies).decode())
        else:
            self.refused.append(f"XADD {stream}: {head.decode(errors='replace')}")


class Setter(Producer):
    """Sets a key of its own to one number after the other: one by one, in pipelines, in MULTI, and from Lua."""

    pause_max = SETTERS_PAUSE_MAX

    SCRIPT = "for number = ARGV[1], ARGV[2] do redis.call('SET', KEYS[1], number) end return 'OK'"

    def __init__(self, port, seed, names, number, deadline, ended):
        super().__init__(port, seed, names, deadline, ended)
        self._number = number

    def _step(self, connection, replies):
        [key] = self._names
        first = self._number + 1
        self._number += self._chance.randint(1, kind_of(key).at_once)
        sets = [packed("SET", key, str(number)) for number in range(first, self._number + 1)]
        # What is sent, the replies that say nothing yet, and those that acknowledge: each so many numbers.
        commands, before, after = self._chance.choice((
            (sets, 0, [1] * len(sets)),
            ([packed("MULTI"), *sets, packed("EXEC")], 1 + len(sets), [len(sets), *[0] * len(sets)]),
            ([packed("EVAL", self.SCRIPT, "1", key, str(first), str(self._number))], 0, [len(sets)]),
        ))  # fmt: skip
        connection.sendall(b"".join(commands))
        numbers = iter(range(first, self._number + 1))
        for acknowledges in [*[0] * before, *after]:
            head = read_line(replies)
            if head.startswith(b"$"):
                head = read_line(replies)
            elif not head.startswith((b"+", b"*")):
                self.refused.append(f"SET {key}: {head.decode(errors='replace')}")
            self.acknowledged[key] += [f"{next(numbers)}-0" for _ in range(acknowledges)]
