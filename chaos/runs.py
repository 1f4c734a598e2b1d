"""Runs of GearsBuilder over all shards while slots move, and primaries die, stop and hand over.

    python -m chaos.runs --seconds 120 --seed 7
    REDIS_SERVER=~/.cache/gears-servers/valkey-9/bin/valkey-server python -m chaos.runs

The data set stays as it is: three primaries with a replica each have some thousand keys. Clients run plans whose results
are known, on whichever node. What must hold:

    * a run without errors has the results of all keys, however the cluster changed meanwhile
    * each run ends
    * when all is over, no node has anything left of a run: calls, executions, messages

Violations are printed; the exit code is 1 if there is one. The seed decides what is tried, but not when it comes to pass.
"""

import argparse
import collections
import random
import re
import sys
import tempfile
import threading
import time

try:
    import redis
except ImportError as missing:
    sys.exit(f"{missing}: run `make chaos`, or `pip install redis hiredis` first")

from testing.cluster import Cluster, directories_in
from testing.launch import REDIS_SERVER
from testing.replies import fields

KEYS = 3000
CLIENTS = 3
# Seconds in which a run ends, also where a shard is stopped until it is taken for failed, and the machine is busy.
LONGEST = 60
JAVASCRIPT, PYTHON = "RG.JSEXECUTE", "RG.PYEXECUTE"
# Command, plan, and its results.
PLANS = [
    (JAVASCRIPT, "GB().count().run('t:*')", [KEYS]),
    (JAVASCRIPT, "GB('KeysOnlyReader').map(x => x).distinct().count().run('t:*')", [KEYS]),
    (JAVASCRIPT, "GB().flatmap(x => x.value.split(' ')).countby().map(x => x.value).run('t:*')", [KEYS] * 3),
    (JAVASCRIPT, "GB().repartition(x => `to ${x.key}`).map(x => 1).collect().accumulate((n, x) => (n ?? 0) + x).run('t:*')", [KEYS]),
    (PYTHON, "GB().map(lambda x: x['key'][-1]).countby().map(lambda x: x['value']).run('t:*', convertToStr=False)", [KEYS // 10] * 10),
]
# What comes to pass, and how often.
STRIKES = {"move slots": 6, "hand over": 2, "kill": 1, "stop": 1, "wait": 6}
# What a client is told where its run has not begun.
NOT_BEGUN = ("replica", "READONLY", "CLUSTERDOWN", "The cluster is down", "LOADING", "UNBLOCKED", "MASTERDOWN")


class Runs:
    """A cluster, clients that run plans on it, and what happens to it meanwhile."""

    def __init__(self, make_directory, seed):
        self._chance = random.Random(seed)
        # No script runs for long, but the machine may stand still.
        self._cluster = Cluster(make_directory, module_args="lock-redis-timeout 10000")
        self._lock = threading.Lock()
        self.figures = collections.Counter()
        self.errors = collections.Counter()
        self.longest = 0.0
        self.violations = []

    def close(self):
        self._cluster.kill()

    def run(self, seconds):
        """Does it all for so long, and judges what is left."""
        self._fill()
        end = time.monotonic() + seconds
        over = threading.Event()
        clients = [threading.Thread(target=self._work, args=(over, self._chance.random())) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            while time.monotonic() < end:
                [what] = self._chance.choices(list(STRIKES), list(STRIKES.values()))
                self._strike(what)
                self.figures[what] += 1
        finally:
            over.set()
            for client in clients:
                client.join()
        self._judge_what_is_left()

    def _fill(self):
        client = self._cluster.client()
        for number in range(KEYS):
            client.set(f"t:{number}", "a b c")
        # Who takes over has them all.
        for node in self._cluster.primaries():
            node.client.wait(1, 0)

    # --- clients ----------------------------------------------------------------------------------------------------

    def _work(self, over, seed):
        """What one of them does."""
        chance = random.Random(seed)
        while not over.is_set():
            try:
                self._run_one(*chance.choice(PLANS), chance.choice(self._cluster.nodes))
            except Exception as failure:
                self.violations.append(f"a client failed: {failure!r}")
                return

    def _run_one(self, command, plan, expected, node):
        began = time.monotonic()
        try:
            with node.connect(socket_timeout=LONGEST) as client:
                found, errors = client.execute_command(command, plan)
        except redis.TimeoutError:
            self.violations.append(f"a run on {node.port} does not end: {plan}")
            return
        except redis.ConnectionError:
            self._count("lost")
            time.sleep(0.1)
            return
        except redis.ResponseError as error:
            if not any(word in str(error) for word in NOT_BEGUN):
                self.violations.append(f"a run was refused: {error}")
            self._count("refused")
            time.sleep(0.1)
            return
        with self._lock:
            self.longest = max(self.longest, time.monotonic() - began)
            for error in errors:
                self.errors[re.sub(r"[0-9a-f]{40}|[0-9]+([-, .]+[0-9]+)*", "...", error.splitlines()[-1])] += 1
        if not errors and found != expected:
            self.violations.append(f"a run on {node.port} has {found} without an error: {plan}")
        self._count("with errors" if errors else "whole")

    def _count(self, what):
        with self._lock:
            self.figures[what] += 1

    # --- what happens -----------------------------------------------------------------------------------------------

    def _strike(self, what):
        cluster = self._cluster
        cluster.wait_agreed()
        primary = self._chance.choice([node for node in cluster.primaries() if cluster.replicas_of(node)])
        if what == "move slots":
            for _ in range(5):
                self._move()
        elif what == "hand over":
            cluster.fail_over(primary)
        elif what == "kill":
            cluster.kill_primary(primary)
            primary.start()
        elif what == "stop":
            # Shorter, or longer, than until it is taken for failed.
            seconds = self._chance.choice([0.5, 4])
            with primary.suspended():
                time.sleep(seconds)
        else:
            time.sleep(1)
        cluster.wait_ok()

    def _move(self):
        """A slot goes to another primary, with its keys."""
        source, target = self._chance.sample(self._cluster.primaries(), 2)
        first, last = self._chance.choice(source.slots())
        slot = self._chance.randint(first, last)
        self._cluster.begin_move(slot, source, target)
        for key in source.cluster("GETKEYSINSLOT", slot, KEYS):
            source.run("MIGRATE", "127.0.0.1", target.port, key, 0, 60_000)
        self._cluster.end_move(slot, target)

    # --- in the end -------------------------------------------------------------------------------------------------

    def _judge_what_is_left(self):
        def left(node):
            """What a node has of runs."""
            info = node.client.info("redisgears_2_remote_functions")
            names = ("calls", "calls_bytes", "calls_here", "calls_here_bytes", "messages_waiting")
            counts = {name: info[f"redisgears_2_remote_{name}"] for name in names}
            executions = [fields(one) for one in node.run("RG.DUMPEXECUTIONS")]
            return {name: count for name, count in counts.items() if count}, executions

        def all_left():
            return {node.port: left(node) for node in self._cluster.alive()}

        try:
            self._cluster.wait(lambda: all(one == ({}, []) for one in all_left().values()), all_left)
            for command, plan, expected in PLANS:
                node = self._chance.choice(self._cluster.primaries())
                found = node.run(command, plan)
                assert found == [expected, []], (plan, node.port, found)
        except AssertionError as failure:
            self.violations.append(f"in the end: {failure}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="for how long (120)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="what is tried")
    options = parser.parse_args(arguments)
    print(f"{REDIS_SERVER}, seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="runs-") as directory:
        runs = Runs(directories_in(directory), options.seed)
        try:
            runs.run(options.seconds)
        finally:
            runs.close()
    print(", ".join(f"{name} {count}" for name, count in sorted(runs.figures.items())), f"longest {runs.longest:.1f} s")
    for error, count in runs.errors.most_common():
        print(f"{count:6} {error}")
    for one in runs.violations:
        print(f"VIOLATION {one}")
    return 1 if runs.violations else 0


if __name__ == "__main__":
    sys.exit(main())
