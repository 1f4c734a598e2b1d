"""How long one client's PING takes while others keep the server busy: a process of its own, so that nothing of theirs delays it.

Usage: pinger.py PORT. For each line that it reads it answers with a line of JSON about the time since the one before:
how many there were, and in milliseconds their median, 99th percentile, and the longest. Ends where its input does.
"""

import json
import select
import socket
import sys
import time

PAUSE = 0.0002


def summary(seconds: list[float]) -> dict[str, float]:
    """What is said of so many of them."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    places = {"p50": last // 2, "p99": last - len(ordered) // 100, "worst": last}
    return {"count": len(ordered), **{name: round(ordered[place] * 1e3, 3) for name, place in places.items()}}


def main(port: str) -> None:
    """Sends one PING after another."""
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        while True:
            start = time.perf_counter()
            connection.sendall(b"PING\r\n")
            if not connection.recv(64):
                return
            times.append(time.perf_counter() - start)
            if select.select([sys.stdin], [], [], PAUSE)[0]:
                if not sys.stdin.readline():
                    return
                print(json.dumps(summary(times)), flush=True)
                times = []


if __name__ == "__main__":
    main(*sys.argv[1:])
