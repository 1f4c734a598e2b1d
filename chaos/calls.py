"""Remote calls under load, while shards are stopped, killed and failed over.

    python -m chaos.calls
    python -m chaos.calls --calls 200 --large 4 --bytes 2000000 --faults kill --seconds 10
    REDIS_SERVER=~/.cache/gears-servers/valkey-9/bin/valkey-server python -m chaos.calls --json calls.json

A cluster of three primaries with a replica each. One of them makes bursts of calls by keys of all shards, each burst when
the one before has ended; among the others happens, one after the other, what `--faults` names:

    pause      SIGSTOP for a second, in which nobody takes it for failed
    stop       SIGSTOP until its replica has taken over
    kill       SIGKILL; its replica takes over, and it comes back as a replica
    failover   CLUSTER FAILOVER

What must hold is in `testing/remote_load.py`. Violations are printed; the exit code is 1 if there is one. The figures
depend on the machine: `--small-p99` and `--ping-p99` make violations of them.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from testing.cluster import Cluster, directories_in
from testing.launch import REDIS_SERVER
from testing.remote_load import RemoteLoad


def options_of(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000, help="calls of a burst (1000)")
    parser.add_argument("--large", type=int, default=20, help="how many of them are large (20)")
    parser.add_argument("--bytes", type=int, default=10_000_000, help="bytes that a large one carries, both ways (10,000,000)")
    parser.add_argument("--timeout", type=int, default=10_000, dest="timeout_ms", help="milliseconds that a call has (10,000)")
    parser.add_argument("--faults", default="pause,stop,kill,failover", help="what is done to shards; nothing if empty")
    parser.add_argument("--seconds", type=float, default=0, help="for how long at least")
    parser.add_argument("--slack", type=int, default=2000, help="milliseconds that a call may take beyond its time (2000)")
    parser.add_argument("--memory", type=int, default=1500, help="MB that a process may grow by meanwhile (1500)")
    parser.add_argument("--small-p99", type=float, help="milliseconds within which small calls to untouched shards have to be")
    parser.add_argument("--ping-p99", type=float, help="milliseconds within which PINGs of the calling node have to be")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args(arguments)
    options.small = options.calls - options.large
    options.faults = [fault for fault in options.faults.split(",") if fault]
    return options


def main(arguments=None):
    options = options_of(arguments)
    with tempfile.TemporaryDirectory(prefix="calls-") as directory:
        cluster = Cluster(directories_in(directory))
        try:
            load = RemoteLoad(cluster, options)
            load.warm_up()
            figures = load.run(options.faults, options.seconds, ping=True)
            found = load.violations(options.slack, options.memory << 20)
            load.wait_nothing_kept()
            figures["memory_after_mb"] = round(load.memory_after() / 1e6, 1)
        finally:
            cluster.kill()
    for name, limit, value in (
        ("small calls", options.small_p99, figures["small_ms"]["p99"]),
        ("PING", options.ping_p99, figures["ping_ms"][0]["p99"]),
    ):
        if limit is not None and value > limit:
            found.append(f"the 99th percentile of {name} is {value} ms, and may be {limit}")
    print(f"{REDIS_SERVER}: {json.dumps(figures, indent=2)}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    for one in found:
        print(f"VIOLATION {one}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
