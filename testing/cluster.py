"""Clusters: primaries and replicas that know each other from their start, what may happen to them, and where keys are.

The nodes begin with files that name them all, so that nobody has to introduce them: a cluster of three primaries and
three replicas is up in about two seconds.
"""

import itertools
import os
import secrets
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.cluster import RedisCluster

from testing.launch import BUS, HOST, free_port
from testing.servers import Server
from testing.waits import DEADLINE, eventually

SLOTS = 16384
# Milliseconds without an answer after which a node counts as failing.
NODE_TIMEOUT = 2000

# Seconds after which a failover that was asked for has come to nothing.
FAILOVER = 6

# What a change of libraries is refused with that may be asked for again.
REFUSED = ("nothing was changed", "LOADING", "READONLY")

OPTIONS = (
    *("--cluster-enabled", "yes"),
    *("--cluster-node-timeout", str(NODE_TIMEOUT)),
    # A replica that was stopped for long may still be the one that takes over.
    *("--cluster-replica-validity-factor", "0"),
    *("--repl-diskless-sync-delay", "0"),
)


def is_open(error):
    """Whether a change of libraries may be made, or not, after that error."""
    return any(text in error for text in ("the change was made here", "The cluster is down", "UNBLOCKED"))


def directories_in(parent):
    """What makes a directory there for each node: the first argument of `Cluster`."""
    return lambda: Path(tempfile.mkdtemp(dir=parent, prefix="node-"))


def slot_of(key):
    """The slot of a key."""
    return redis.crc.key_slot(os.fsencode(key))


def _ranges(shards):
    """The slots of each of so many shards, as equal ranges."""
    bounds = [SLOTS * shard // shards for shard in range(shards + 1)]
    return [(first, behind - 1) for first, behind in itertools.pairwise(bounds)]


class Node(Server):
    """One node; its identity, port and directory stay over restarts."""

    def __init__(self, directory, identity, port, *options, table=None, **more):
        self.identity = identity
        if table is not None:
            (directory / "nodes.conf").write_text(table)
        super().__init__(directory, *OPTIONS, *options, fixed_port=port, **more)

    def cluster(self, *arguments):
        """A subcommand of CLUSTER."""
        return self.run("CLUSTER", *arguments)

    def state(self):
        """What CLUSTER INFO says, by name."""
        reply = self.cluster("INFO")
        text = reply if isinstance(reply, str) else "\n".join(f"{name}:{value}" for name, value in reply.items())
        return dict(line.strip().split(":", 1) for line in text.splitlines() if ":" in line)

    def is_primary(self):
        """Whether it takes itself for one."""
        return self.run("ROLE")[0] == "master"

    def key(self, start="key"):
        """A key with that start whose slot it has."""
        keys = (f"{start}{number}" for number in range(1 << 20))
        return next(key for key in keys if self.owns(slot_of(key)))

    def owns(self, slot):
        """Whether it takes itself for the primary of that slot."""
        return any(first <= slot <= last for first, last in self.slots())

    def slots(self):
        """Its slots, as ranges of the first and the last."""
        for row in self.table():
            if "myself" in row["flags"]:
                return [_range(words) for words in row["slots"] if not words.startswith("[")]
        return []

    def table(self):
        """What it knows of all nodes."""
        reply = self.run("CLUSTER", "NODES")
        if isinstance(reply, dict):
            # The client has read it.
            return [
                {
                    "id": row["node_id"],
                    "address": address,
                    "flags": row["flags"].split(","),
                    "primary": row["master_id"],
                    "epoch": int(row["epoch"]),
                    "slots": ["-".join(words) for words in row["slots"]],
                }
                for address, row in reply.items()
            ]
        return [
            {
                "id": row[0],
                "address": row[1],
                "flags": row[2].split(","),
                "primary": row[3],
                "epoch": int(row[6]),
                "slots": row[8:],
            }
            for row in map(str.split, reply.splitlines())
        ]

    def suspend(self):
        """It answers nobody until it is resumed."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    @contextmanager
    def suspended(self):
        self.suspend()
        try:
            yield
        finally:
            self.resume()


def _range(words):
    first, _, last = words.partition("-")
    return int(first), int(last or first)


class Cluster:
    """So many shards, each with a primary and so many replicas.

    Nodes know each other by `address`. With `tls_ports` they talk to each other in TLS, on a second port each: the options
    name the files for that. `create` is given nodes that do not know each other, and makes a cluster of them.
    """

    def __init__(
        self, make_directory, *options, shards=3, replicas=1, address=HOST, tls_ports=False, create=None, **more
    ):
        self._make_directory = make_directory
        self._options = options
        self._more = more
        count = shards * (1 + replicas)
        identities = [secrets.token_hex(20) for _ in range(count)]
        ports = [free_port() for _ in range(count)]
        self._tls_ports = {port: free_port() for port in ports} if tls_ports else {}
        lines = []
        for number, (identity, port) in enumerate(zip(identities, ports, strict=True)):
            if number < shards:
                first, last = _ranges(shards)[number]
                rest = f"master - 0 0 {number + 1} connected {first}-{last}"
            else:
                primary = number % shards
                rest = f"slave {identities[primary]} 0 0 {primary + 1} connected"
            lines.append((identity, f"{identity} {address}:{self._tls_ports.get(port, port)}@{port + BUS} ", rest))
        self.nodes = []
        try:
            for identity, port in zip(identities, ports, strict=True):
                if create is not None:
                    self.nodes.append(self._start(None, port))
                    continue
                rows = [
                    start + (f"myself,{rest}" if identity == name else rest) + "\n" for name, start, rest in lines
                ]
                table = "".join(rows) + f"vars currentEpoch {shards} lastVoteEpoch 0\n"
                self.nodes.append(self._start(identity, port, table))
            if create is not None:
                create(self.nodes)
                for node in self.nodes:
                    node.identity = node.cluster("MYID")
            self.wait_ok()
        except BaseException:
            self.kill()
            raise

    def _start(self, identity, port, table=None):
        directory = self._make_directory()
        tls = ("--tls-port", str(self._tls_ports[port]), "--cluster-port", str(port + BUS)) if self._tls_ports else ()
        return Node(directory, identity, port, *self._options, *tls, table=table, **self._more)

    def add_node(self):
        """A node without slots, which the others know."""
        port = free_port()
        node = self._start(None, port)
        self.nodes.append(node)
        self.meet(node)
        return node

    def meet(self, node):
        """A node without slots, which knows nobody, gets to know the others, and they know it."""
        node.identity = node.cluster("MYID")
        node.cluster("MEET", HOST, next(one for one in self.alive() if one is not node).port)

        def met(one):
            """Whether it knows all that it should: nodes that died stay in the tables."""
            known = [row["id"] for row in one.table() if "handshake" not in row["flags"]]
            return {node.identity for node in self.alive()} <= set(known)

        self.wait(lambda: all(map(met, self.alive())), "they do not meet")

    def alive(self):
        """The nodes whose process runs."""
        return [node for node in self.nodes if node.is_alive()]

    def primaries(self):
        """Those of them that are primaries with slots."""
        return [node for node in self.alive() if node.is_primary() and node.slots()]

    def replicas_of(self, primary):
        """Those of them that replicate it."""
        return [
            node
            for node in self.alive()
            for row in node.table()
            if "myself" in row["flags"] and row["primary"] == primary.identity
        ]

    def owner(self, key):
        """The primary that has a key's slot."""
        slot = slot_of(key)
        return next(node for node in self.primaries() if node.owns(slot))

    def keys(self, start="key"):
        """A key of each primary."""
        return [node.key(start) for node in self.primaries()]

    def client(self, **options):
        """A client of the cluster, which finds the node of a key."""
        node = self.primaries()[0]
        return RedisCluster(host=HOST, port=node.port, decode_responses=True, **options)

    def wait(self, check, what=None, deadline=DEADLINE):
        """Polls until it holds; fails at once where a node died that nobody killed."""
        return eventually(check, what, deadline)

    def wait_ok(self):
        """Waits until every node that runs takes the cluster for healthy, and replicas are in step."""

        def is_ok(node):
            state = node.state()
            if state["cluster_state"] != "ok" or int(state["cluster_slots_ok"]) != SLOTS:
                return False
            return node.is_primary() or node.client.info("replication")["master_link_status"] == "up"

        self.wait(lambda: all(map(is_ok, self.alive())), lambda: [node.state() for node in self.alive()])

    def wait_agreed(self):
        """Waits until all nodes that run know the same of who has which slot, and since which epoch."""

        def owners(node):
            """Of the slots on the move it alone knows."""
            rows = [(row, [words for words in row["slots"] if not words.startswith("[")]) for row in node.table()]
            return {(row["id"], row["epoch"], *slots) for row, slots in rows if slots}

        def all_owners():
            return [owners(node) for node in self.alive()]

        self.wait(lambda: len(set(map(frozenset, all_owners()))) == 1, all_owners)

    def change(self, change):
        """Makes a change of libraries, which is refused as long as not all shards are connected."""

        def is_made():
            try:
                change()
            except redis.ResponseError as error:
                if not any(word in str(error) for word in REFUSED):
                    raise
                return False
            return True

        self.wait(is_made, "the change is refused")

    def load(self, *statements, **more):
        """Loads a library on one shard, and so on all."""
        self.change(lambda: self.primaries()[0].load(*statements, **more))

    def fail_over(self, primary):
        """Has a replica take over from its primary, which lives; gives the replica."""
        [replica, *_] = self.replicas_of(primary)
        asked = 0

        def took_over():
            """Asks again where it came to nothing.

            Others do not vote for it before they know the same of its slots. And Redis 8.0.2 may begin with the votes of
            its election before: it takes over at once, without a new epoch, and steps back at the primary's next word.
            """
            nonlocal asked
            if not replica.is_primary() and time.monotonic() > asked + FAILOVER:
                replica.cluster("FAILOVER")
                asked = time.monotonic()
            return replica.is_primary() and not primary.is_primary()

        self.wait(took_over, "the replica does not take over")
        self.wait_ok()
        return replica

    def kill_primary(self, primary):
        """Kills it, and waits until its replica is the primary; gives the replica."""
        [replica, *_] = self.replicas_of(primary)
        primary.kill()
        self.wait(replica.is_primary, "the replica does not take over")
        self.wait_ok()
        return replica

    def begin_move(self, slot, source, target):
        """The slot is migrating there and importing here; no key has moved yet.

        In the end the target takes an epoch above all it knows of. If a move before has just given the source a later
        one, and the target does not know it, both claim the slot, and nobody settles that.
        """
        self.wait_agreed()
        target.cluster("SETSLOT", slot, "IMPORTING", source.identity)
        source.cluster("SETSLOT", slot, "MIGRATING", target.identity)

    def move(self, slots, source, target):
        """Slots without keys go from one to the other."""
        for slot in slots:
            self.begin_move(slot, source, target)
            self.end_move(slot, target)
        self.wait(lambda: all(map(target.owns, slots)), "the slots do not move")
        self.wait_ok()

    def forget(self, node):
        """A node without slots leaves, and ends."""
        self.nodes.remove(node)
        for other in self.alive():
            other.cluster("FORGET", node.identity)
        node.kill()

    def end_move(self, slot, target):
        """All nodes learn who has the slot."""
        for node in [target, *[node for node in self.primaries() if node is not target]]:
            node.cluster("SETSLOT", slot, "NODE", target.identity)

    def assert_alive(self):
        """Fails with the end of a node's log where one died."""
        for node in self.nodes:
            node.assert_alive()

    @property
    def servers(self):
        """Its nodes that run."""
        return self.alive()

    def kill(self):
        """SIGKILL to all."""
        for node in self.alive():
            node.kill()
