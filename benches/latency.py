"""From the XADD to what it causes: how long one entry takes where nothing else is going on.

A client sends an XADD, and no other before it has seen the effect: an element in a list, for which a second connection
waits in BLPOP. So everybody's effect is made, and seen, in the same way.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benches.consumers import STREAM, Library, Nobody, Worker
from testing.launch import HOST
from testing.throw_away import ThrowAway
from testing.waits import HarnessError

LIST = "effects"
PUSH = ("LPUSH", LIST, "1")
WARM_UP = 500
SYNC = f'function (client) {{ client.call("LPUSH", "{LIST}", "1"); }}'
ASYNC = f'async function (client) {{ client.block(locked => locked.call("LPUSH", "{LIST}", "1")); }}'
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True)
class Way:
    """Who makes the effect."""

    key: str
    title: str
    consumer: Callable[[], Nobody]
    module: bool


# The first two are the module's. All trim.
WAYS = [
    Way("sync", "module, sync consumer", lambda: Library(SYNC, trim=True), True),
    Way("async", "module, async consumer", lambda: Library(ASYNC, trim=True), True),
    *(
        Way(language.lower(), f"{language} XREADGROUP worker", lambda it=language: Worker(100, PUSH, it), False)
        for language in ("Rust", "Node.js", "Python")
    ),
]


def percentile(ordered: list[float], part: float) -> float:
    """The smallest value that so large a part of them does not exceed."""
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)]


def summary(samples: list[float]) -> dict[str, float]:
    """Percentiles, in microseconds."""
    ordered = sorted(samples)
    return {name: round(percentile(ordered, part) * 1e6, 1) for name, part in PERCENTILES.items()}


def words(*command: str) -> bytes:
    """A command as the server reads it."""
    parts = [f"${len(word)}\r\n{word}\r\n" for word in command]
    return f"*{len(parts)}\r\n{''.join(parts)}".encode()


class Connection:
    """As little as possible between the clock and the server."""

    def __init__(self, port: int, deadline: float):
        self._socket = socket.create_connection((HOST, port), deadline)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, command: bytes) -> None:
        self._socket.sendall(command)

    def receive(self, lines: int) -> bytes:
        """A reply of so many lines."""
        reply = b""
        while reply.count(b"\r\n") < lines:
            more = self._socket.recv(4096)
            if not more or (reply + more)[:1] == b"-":
                raise HarnessError(f"the server answered {reply + more!r}")
            reply += more
        return reply

    def skip(self, end: bytes) -> bool:
        """Replies up to the one that ends so; whether the first one is no error."""
        tail, is_refused = b"", False
        while not tail.endswith(end):
            more = self._socket.recv(1 << 20)
            if not more:
                raise HarnessError("the server closed the connection")
            is_refused |= not tail and more.startswith(b"-")
            tail = (tail + more)[-len(end) :]
        return not is_refused

    def close(self) -> None:
        self._socket.close()


def measure(way: Way, server_program: str, module: Path, requests: int, deadline: float) -> list[float]:
    """Seconds from XADD to effect, of so many entries."""
    add = words("XADD", STREAM, "*", "field", "value")
    wait = words("BLPOP", LIST, "0")
    consumer = way.consumer()
    samples = []
    with ThrowAway(server_program, deadline, module if way.module else None) as server:
        writer, reader = Connection(server.port, deadline), Connection(server.port, deadline)
        try:
            consumer.start(server, deadline)
            for _ in range(WARM_UP + requests):
                reader.send(wait)
                start = time.perf_counter()
                writer.send(add)
                reader.receive(5)
                samples.append(time.perf_counter() - start)
                writer.receive(2)
            left = server.client.llen(LIST)
            if left:
                raise HarnessError(f"{left} effects more than entries")
        finally:
            consumer.stop()
            writer.close()
            reader.close()
    return samples[WARM_UP:]


def measure_all(options) -> list[dict]:
    """Every way, in turn, as many rounds as asked for."""
    samples: dict[str, list[list[float]]] = {way.key: [] for way in WAYS}
    for number in range(1, options.rounds + 1):
        for way in WAYS:
            what = f"round {number}/{options.rounds}: latency, {way.title}"
            with options.attempt(what):
                one = measure(way, options.server, options.module, options.latency_requests, options.deadline)
                samples[way.key].append(one)
                options.progress(f"{what}: {summary(one)}")
    return [
        {
            "key": way.key,
            "title": way.title,
            "module": way.module,
            "samples": sum(map(len, samples[way.key])),
            "rounds": [summary(run) for run in samples[way.key]],
        }
        for way in WAYS
        if samples[way.key]
    ]
