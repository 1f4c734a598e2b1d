"""The ways a server keeps its data, and how it comes back after SIGKILL in each.

A mode knows its servers: how a round begins, what happens up to the kill and what it is, how the data comes back, and
what has to hold when everything is at rest again.
"""

import threading
from collections import Counter

from chaos.fleet import Node
from chaos.verdict import Rules
from testing.waits import HarnessError, wait_for

# Seconds from the producers' first replies to the kill.
SOONEST, LATEST = 0.05, 0.6
# One round of so many rewrites the append-only file, so many seconds before the kill.
REWRITE_ONE_IN = 10
REWRITE_BEFORE = 0.15
# Microseconds for each key that a child saves: with it the kill finds the child at work, without it the file is ready.
REWRITE_DELAYS = (0, 1000)
# Keys that make BGSAVE take its time.
FILLER = 500
BGSAVE_DELAY = 2000


class Mode:
    """One server, one data directory."""

    name = ""
    rules = Rules(keeps_acknowledged=False, counts_handovers=True)
    server_options = ()
    # Of the rounds that were asked for.
    share = 1.0

    def __init__(self, options, directory, chance):
        self.nodes = [self._node(options, directory, "one")]
        self.primary = self.nodes[0]
        # What happened, for the summary.
        self.notes = Counter()
        self._chance = chance
        self._deadline = options.deadline

    @staticmethod
    def _node(options, directory, name):
        return Node(options, directory, name)

    def begin(self):
        """Starts what there is for the first time."""
        self.primary.start(*self.server_options)

    def settle(self):
        """At rest, before the first round and after each check: gives violations."""
        return []

    def prepare(self, _share):
        """At rest, before a round; `_share` of all rounds are done."""

    def strike(self):
        """While the producers are at work: something, and the kill at the end of it."""
        self._pause(SOONEST, LATEST)
        self._kill()

    def recover(self):
        """The data comes back; `primary` is who has it."""
        self.primary.start(*self.server_options)

    def close(self):
        """Ends the servers."""
        for node in self.nodes:
            node.close()

    def _kill(self):
        self.primary.kill()
        self.notes["kills"] += 1

    def _pause(self, shortest, longest):
        """A random while: it decides what the kill finds, and nothing is waited for."""
        threading.Event().wait(max(self._chance.uniform(shortest, longest), 0))


class AofEverysec(Mode):
    """What the server had written to its file counts."""

    name = "aof-everysec"
    # What was still in the server's memory was handed over, and has no effect: it has to be handed over again.
    rules = Rules(keeps_acknowledged=False, counts_handovers=False)
    server_options = ("--appendonly", "yes", "--appendfsync", "everysec")

    def prepare(self, share):
        """The second half of the rounds rewrites files without the preamble."""
        self._preamble = "yes" if share < 0.5 else "no"
        self.primary.client.config_set("aof-use-rdb-preamble", self._preamble)

    def recover(self):
        """The file is mended where the kill tore a transaction apart, and loaded."""
        if self.primary.repair_log():
            self.notes["torn transactions cut off"] += 1
        super().recover()

    def strike(self):
        """The kill, in some rounds during or right after a rewrite."""
        if self._chance.randrange(REWRITE_ONE_IN):
            super().strike()
            return
        before = self._chance.uniform(0, REWRITE_BEFORE)
        self._pause(SOONEST, LATEST - before)
        client = self.primary.client
        client.config_set("rdb-key-save-delay", self._chance.choice(REWRITE_DELAYS))
        client.bgrewriteaof()
        self._pause(before, before)
        during = client.info("persistence")["aof_rewrite_in_progress"]
        self._kill()
        self.notes[f"kills {'during' if during else 'after'} BGREWRITEAOF, preamble {self._preamble}"] += 1


class AofAlways(AofEverysec):
    """Everything that was acknowledged counts."""

    name = "aof-always"
    rules = Rules(keeps_acknowledged=True, counts_handovers=True)
    server_options = ("--appendonly", "yes", "--appendfsync", "always")


class Rdb(Mode):
    """What the last complete BGSAVE held counts. One is made under load in each round; every other kill comes while
    another one is being made."""

    name = "rdb"
    rules = Rules(keeps_acknowledged=False, counts_handovers=False)
    server_options = ("--appendonly", "no")

    def begin(self):
        """There is something to save."""
        super().begin()
        self.primary.client.execute_command("DEBUG", "POPULATE", FILLER, "filler", 10)
        self._during = False

    def strike(self):
        """A BGSAVE to come back to, perhaps another one to disturb, and the kill."""
        client = self.primary.client
        self._pause(SOONEST, LATEST / 2)
        client.config_set("rdb-key-save-delay", 0)
        client.bgsave()
        wait_for("the end of BGSAVE", lambda: not self._is_saving(client), self._deadline)
        if (status := client.info("persistence")["rdb_last_bgsave_status"]) != "ok":
            raise HarnessError(f"BGSAVE ends with {status}")
        self._during = not self._during
        if self._during:
            client.config_set("rdb-key-save-delay", BGSAVE_DELAY)
            client.bgsave()
            wait_for("the beginning of BGSAVE", lambda: self._is_saving(client), self._deadline)
        self._pause(0, LATEST / 2)
        during = self._is_saving(client)
        self._kill()
        self.notes["kills during BGSAVE" if during else "kills after BGSAVE"] += 1

    @staticmethod
    def _is_saving(client):
        return client.info("persistence")["rdb_bgsave_in_progress"] == 1


class Replica(Mode):
    """The primary is killed, its replica takes over, and the killed one comes back as its replica."""

    name = "replica"
    rules = Rules(keeps_acknowledged=False, counts_handovers=False)
    server_options = ("--appendonly", "yes", "--appendfsync", "everysec")
    share = 0.5

    def __init__(self, options, directory, chance):
        super().__init__(options, directory, chance)
        self.replica = self._node(options, directory, "two")
        self.nodes.append(self.replica)

    def begin(self):
        """A replica of nothing yet."""
        super().begin()
        self._follow()

    def recover(self):
        """The replica takes over."""
        self.primary, self.replica = self.replica, self.primary
        self.primary.check_alive()
        self.primary.client.replicaof("NO", "ONE")

    def settle(self):
        """The killed one comes back, and both have the same data."""
        if not self.replica.is_alive():
            self._follow()
        wait_for("the replica's link and offset", self._is_level, self._deadline)
        end = self._offsets()
        digests = [node.client.execute_command("DEBUG", "DIGEST") for node in (self.primary, self.replica)]
        if digests[0] == digests[1]:
            self.notes["digests compared"] += 1
            return []
        if self._offsets() != end:
            return [f"the servers are not at rest: offsets were {end}, are {self._offsets()}"]
        return [f"digests differ at offset {end}: primary {digests[0]}, replica {digests[1]}"]

    def _follow(self):
        how = self._chance.choice(("yes", "no"))
        self.primary.client.config_set("repl-diskless-sync", how)
        load = self._chance.choice(("disabled", "on-empty-db", "swapdb"))
        more = ("--repl-diskless-load", load, "--replicaof", f"127.0.0.1 {self.primary.port}")
        self.replica.start(*self.server_options, *more)
        self.notes[f"syncs, diskless {how}, load {load}"] += 1

    def _is_level(self):
        for node in (self.primary, self.replica):
            node.check_alive()
        if self.replica.client.info("replication")["master_link_status"] != "up":
            return False
        # After a diskless sync the primary sends nothing on before it has heard of the replica, once in a second.
        ours = self.primary.client.info("replication").get("slave0")
        return ours is not None and ours["state"] == "online" and len(set(self._offsets())) == 1

    def _offsets(self):
        ours = self.primary.client.info("replication")["master_repl_offset"]
        return ours, self.replica.client.info("replication")["slave_repl_offset"]


MODES = {mode.name: mode for mode in (AofAlways, AofEverysec, Rdb, Replica)}
