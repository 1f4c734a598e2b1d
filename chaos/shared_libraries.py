"""Libraries of a cluster, changed by clients at once while nodes die: all shards have the same in the end.

    python -m chaos.shared_libraries --seconds 300 --seed 7 --server redis-server

Three primaries with a replica each, whose append-only files are synced always. Clients load, upgrade and delete a few
libraries, on whichever primary, and note what they were told; meanwhile nodes are killed and come back, are stopped,
lose their connections, and hand over to their replicas. Every quarter of a minute all comes to rest, and is judged:

    * all nodes, replicas too, have the same libraries with the same stamps, and say so of each other
    * what a client was told to be done is there, unless something was done later, or may have been
    * what was refused, with nothing changed, is nowhere
    * nothing deleted is back, nothing is there that nobody loaded
    * no node died that was not killed, and no log has an internal error

In the end another cluster, with a slot and libraries of its own, is met by accident: both have those of both.

The exit code is 1 after the first violation; the servers' directory is then kept. The seed decides what is tried,
but not when it comes to pass.
"""

import argparse
import collections
import hashlib
import random
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

try:
    import redis
except ImportError as missing:
    sys.exit(f"{missing}: run `make chaos`, or `pip install redis hiredis` first")

from testing.cluster import Cluster, Node, directories_in, is_open
from testing.launch import REDIS_SERVER, find_program, free_port
from testing.libraries import consumer, function, library
from testing.replies import fields

NAMES = [f"lib{number}" for number in range(4)]
CLIENTS = 3
# Seconds between two looks at all nodes.
PERIOD = 15
OPTIONS = (
    *("--appendonly", "yes", "--appendfsync", "always"),
    *("--enable-debug-command", "yes"),
    *("--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"),
)
BAD = ("internal error", "panicked", "Redis Valgrind", "crashed by signal", "is another than the one of its stamp")


@dataclass
class Change:
    """What a client asked for, and what it was told."""

    name: str
    # Of the text; None for a deletion.
    digest: str | None
    what: str
    asked: float
    node: str
    # When the client was told; endless where it was told nothing that says what came of it.
    told: float = float("inf")
    # None as long as nobody knows.
    is_made: bool | None = None
    reply: str = ""


@dataclass
class Seen:
    """What was at a rest: the digest of each name's text, and since when that holds."""

    digests: dict = field(default_factory=dict)
    at: float = 0


def text_of(name, mark):
    """A library that is like no other."""
    return library(function("who", f"() => '{mark}'"), consumer(prefix=f"{name}:"), name=name)


def digest_of(text):
    """As the server gives it."""
    return hashlib.sha256(text.encode()).hexdigest()


def known(node):
    """The libraries of a node, each with its stamp and the digest of its text."""
    rows = [fields(row) for row in node.run("RG.FUNCTION", "LIST", "v")]
    return tuple(sorted((row["name"], row.get("stamp"), row["digest"]) for row in rows))


def compared(node):
    """What a node says of the libraries of all: its own digest, those of the other primaries."""
    info = fields(node.run("RG.CLUSTER", "INFO"))
    peers = [fields(peer) for peer in info["peers"]]
    return fields(info["libraries"])["digest"], [peer["libraries"] for peer in peers if peer["role"] == "primary"]


class Clients:
    """Change libraries until they are told to stop."""

    def __init__(self, cluster, chance):
        self._cluster = cluster
        self._chance = chance
        self._lock = threading.Lock()
        self._count = 0
        self.changes = []
        self.failure = None

    def work(self, stop):
        """What one of them does."""
        try:
            while not stop.is_set():
                self._change()
        except Exception as failure:
            self.failure = failure

    def _change(self):
        with self._lock:
            self._count += 1
            mark = f"t{self._count}"
            name, what = self._chance.choice(NAMES), self._chance.choice(["LOAD", "UPGRADE", "UPGRADE", "DEL", "KEEP"])
            node = self._chance.choice(self._cluster.nodes)
        text = text_of(name, mark) if what in ("LOAD", "UPGRADE") else None
        words = {
            "LOAD": ("LOAD", text),
            "UPGRADE": ("LOAD", "UPGRADE", text),
            "DEL": ("DEL", name, "FORCE"),
            "KEEP": ("DEL", name, "KEEPPROGRESS"),
        }[what]
        change = Change(name, text and digest_of(text), what, time.monotonic(), node.identity)
        try:
            with node.connect() as client:
                change.reply = client.execute_command("RG.FUNCTION", *words)
            change.is_made = True
        except redis.exceptions.ResponseError as error:
            change.reply = str(error)
            change.is_made = None if is_open(change.reply) else False
        except redis.exceptions.ConnectionError as error:
            change.reply = str(error)
            if "refused" in change.reply:
                time.sleep(0.05)
                return
        except redis.exceptions.TimeoutError as error:
            change.reply = str(error)
        if change.is_made is not None:
            change.told = time.monotonic()
        with self._lock:
            self.changes.append(change)
        if not change.is_made:
            time.sleep(0.02)


class Trouble:
    """What happens to nodes meanwhile."""

    def __init__(self, cluster, chance):
        self._cluster = cluster
        self._chance = chance
        self.counts = collections.Counter()

    def make(self):
        """One trouble, until the node is back."""
        kinds = [self._kill, self._kill, self._kill_replica, self._stop, self._hand_over, self._hand_over, self._cut]
        kind = self._chance.choice(kinds)
        self.counts[kind.__name__.strip("_").replace("_", " ")] += 1
        kind()

    def _one(self, primaries):
        nodes = [node for node in self._cluster.alive() if node.is_primary() == primaries]
        return self._chance.choice(nodes) if nodes else None

    def _kill(self):
        """Sometimes it is back before anybody takes over."""
        self._kill_one(self._one(primaries=True))

    def _kill_replica(self):
        self._kill_one(self._one(primaries=False))

    def _kill_one(self, node):
        if node is not None:
            node.kill()
            time.sleep(self._chance.choice([0, 0.5, 4, 8]))
            node.start()

    def _stop(self):
        if node := self._one(primaries=True):
            with node.suspended():
                time.sleep(self._chance.choice([0.3, 1, 5]))

    def _hand_over(self):
        if node := self._one(primaries=False):
            try:
                node.cluster("FAILOVER")
            except redis.exceptions.ResponseError:
                # It has not heard of its primary.
                return
            time.sleep(self._chance.choice([0.2, 1]))

    def _cut(self):
        if node := self._one(primaries=True):
            for other in self._cluster.nodes:
                if other is not node:
                    node.run("DEBUG", "CLUSTERLINK", "KILL", "ALL", other.identity)


class Violation(AssertionError):
    """Something that must hold does not."""


class Rounds:
    """Trouble, rest and judgement in turn."""

    def __init__(self, make_directory, seconds, seed, program, say=print):
        self._chance = random.Random(seed)
        self._seconds = seconds
        self._program = program
        self._say = say
        self._make_directory = make_directory
        self.cluster = Cluster(make_directory, *OPTIONS, program=program)
        self._clients = Clients(self.cluster, random.Random(self._chance.random()))
        self._trouble = Trouble(self.cluster, random.Random(self._chance.random()))
        self._before = Seen()
        self._judged = 0

    def run(self):
        """All of it; `AssertionError` where something does not hold. Gives figures."""
        end = time.monotonic() + self._seconds
        while True:
            self._unrest(min(PERIOD, max(end - time.monotonic(), 1)))
            self._judge(self._rest())
            if time.monotonic() >= end:
                break
        self._meet_others()
        for node in self.cluster.nodes:
            self._read_log(node)
        return self.figures()

    def figures(self):
        """What was tried."""
        made = collections.Counter(
            f"{change.what} {'open' if change.is_made is None else 'made' if change.is_made else 'refused'}"
            for change in self._clients.changes
        )
        return dict(made) | dict(self._trouble.counts)

    def _unrest(self, seconds):
        stop = threading.Event()
        threads = [threading.Thread(target=self._clients.work, args=(stop,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and self._clients.failure is None:
                self._trouble.make()
                time.sleep(self._chance.random())
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        if self._clients.failure:
            raise self._clients.failure

    def _rest(self):
        """Waits until all nodes are there and have the same; gives that."""
        cluster = self.cluster
        cluster.assert_alive()
        cluster.wait_ok()
        cluster.wait(
            lambda: len({known(node) for node in cluster.nodes}) == 1,
            lambda: f"nodes differ: {[(node.identity, known(node)) for node in cluster.nodes]}",
        )

        def is_agreed():
            said = [compared(node) for node in cluster.primaries()]
            return len({digest for digest, _ in said}) == 1 and all(set(peers) == {"same"} for _, peers in said)

        cluster.wait(is_agreed, lambda: f"they say they differ: {[compared(node) for node in cluster.primaries()]}")
        seen = Seen({name: digest for name, _, digest in known(cluster.nodes[0])}, time.monotonic())
        answers = {
            (name, node.run("RG.FCALL", name, "who", 0)) for name in seen.digests for node in cluster.primaries()
        }
        if len(answers) != len(seen.digests):
            raise Violation(f"shards run other code than they say: {answers}")
        return seen

    def _judge(self, seen):
        changes = self._clients.changes[self._judged :]
        self._judged = len(self._clients.changes)
        for name in NAMES:
            why = judge(name, changes, self._before.digests.get(name), seen.digests.get(name))
            if why:
                raise Violation(why)
        if strange := seen.digests.keys() - set(NAMES):
            raise Violation(f"nobody loaded {strange}")
        self._before = seen
        self._say(f"{self._judged} changes judged: {self.figures()}")

    def _meet_others(self):
        """A node of another cluster, with a slot and libraries, is introduced by mistake."""
        cluster = self.cluster
        other = Node(self._make_directory(), None, free_port(), *OPTIONS, program=self._program)
        other.identity = other.cluster("MYID")
        other.cluster("SET-CONFIG-EPOCH", 1_000_000)
        other.cluster("ADDSLOTS", 0)
        cluster.wait(lambda: other.state()["cluster_state"] == "ok", "the other cluster is not up")
        for node, name, mark in (
            (other, "theirs", "1"),
            (other, "both", "2"),
            # Each of them: what clients asked for that did not wait for the answer is behind it then.
            *((node, "both", "3") for node in cluster.primaries()),
        ):
            text = text_of(name, mark)
            change = lambda node=node, text=text: node.run("RG.FUNCTION", "LOAD", "UPGRADE", text)  # noqa: E731
            cluster.change(change)
        before = self._rest()
        other.cluster("MEET", "127.0.0.1", cluster.primaries()[0].port)
        cluster.nodes.append(other)
        wanted = set(before.digests) | {"theirs", "both"}
        cluster.wait(
            lambda: {tuple(sorted(name for name, _, _ in known(node))) for node in cluster.nodes} == {tuple(sorted(wanted))},
            lambda: f"clusters have met, and there is not {wanted}: {[known(node) for node in cluster.nodes]}",
        )
        self._before = Seen()
        self._rest()

    def _read_log(self, node):
        text = node.log.read_text(errors="replace")
        for line in text.splitlines():
            if any(word in line for word in BAD):
                raise Violation(f"log of {node.identity}: {line}")

    def close(self):
        """The end of all nodes."""
        self.cluster.kill()


def judge(name, changes, before, after):
    """Why a library cannot be what it is, after these changes since it was what it was before; None if it can."""
    changes = [change for change in changes if change.name == name]
    made = [change for change in changes if change.is_made]
    # What was asked for when a change was told to be done is later than that.
    begins = max((change.asked for change in made), default=None)
    if begins is None:
        may = {before} | {change.digest for change in changes if change.is_made is None}
    else:
        may = {change.digest for change in changes if change.is_made is not False and change.told >= begins}
    if after in may:
        return None
    told = "\n".join(
        f"    {change.asked:.3f} to {change.told:.3f} {change.what} {(change.digest or '')[:8]} at {change.node}: {change.reply}"
        for change in changes
    )
    what = "gone" if after is None else f"at {after[:8]}"
    return f"{name} is {what}; before it was {before and before[:8]}, and then\n{told}"


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="how long there is trouble (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="default: any")
    parser.add_argument("--server", default=find_program("REDIS_SERVER", REDIS_SERVER), help="default: REDIS_SERVER, else redis-server")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="shared-libraries-"))
    print(f"{options.server}, seed {options.seed}, files in {directory}", flush=True)

    make_directory = directories_in(directory)
    rounds = Rounds(make_directory, options.seconds, options.seed, options.server, lambda text: print(text, flush=True))
    try:
        rounds.run()
    except AssertionError as violation:
        sys.exit(f"VIOLATION: {violation}\nthe servers' files are in {directory}")
    finally:
        rounds.close()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
