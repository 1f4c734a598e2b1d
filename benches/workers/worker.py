"""What one writes in Python without the module: a loop around XREADGROUP that acknowledges and trims.

Usage: worker.py PORT STREAM GROUP COUNT [COMMAND ...]. A command is run once for each entry.
Runs until it is killed.
"""

import sys

import redis


def process(entry: dict[bytes, bytes]) -> None:
    """The callback; empty, as the JavaScript ones are that it is compared with."""


def id_after(entry_id: bytes) -> bytes:
    """The smallest ID above the given one."""
    milliseconds, sequence = entry_id.split(b"-")
    return b"%b-%d" % (milliseconds, int(sequence) + 1)


def main(port: str, stream: str, group: str, count: str, *effect: str) -> None:
    """Reads, processes, acknowledges, trims; two round trips for `count` entries."""
    client = redis.Redis(host="127.0.0.1", port=int(port), protocol=2, socket_timeout=None)
    while True:
        reply = client.xreadgroup(group, "worker", {stream: ">"}, count=int(count), block=0)
        [(_, entries)] = reply
        ids = [entry_id for entry_id, _ in entries]
        with client.pipeline(transaction=False) as pipeline:
            for _, entry in entries:
                process(entry)
                if effect:
                    pipeline.execute_command(*effect)
            pipeline.xack(stream, group, *ids)
            pipeline.xtrim(stream, minid=id_after(ids[-1]), approximate=True)
            pipeline.execute()


if __name__ == "__main__":
    main(*sys.argv[1:])
