"""A cluster whose primaries are killed, replaced and stopped under load, and what becomes of entries and effects.

    target/venv/bin/python -m chaos.cluster --seconds 900
    REDIS_SERVER=.../valkey-server target/venv/bin/python -m chaos.cluster --seconds 60 --seed 7 --json cluster.json

Three primaries, each with a replica; three hundred streams over their slots, of consumers with and without trimming,
sync and async. A round: clients add entries to all shards, and know what was acknowledged and what the replica has
confirmed; after a random while something happens to one or two shards, one after the other:

    kill      the primary dies, its replica takes over; the killed one comes back as a replica, without data
    failover  the replica takes over from its primary, which lives (CLUSTER FAILOVER)
    freeze    the primary is stopped until its replica has taken over, and goes on then
    replica   the replica dies, and comes back without data

Clients go on with whoever is the primary now. Then they end, everything comes to rest, and is judged (verdict.py):

    * what was acknowledged and reached whoever took over is there. The rest is lost with its primary: replication is
      asynchronous (cluster_producers.py says how that is found out); never what its replica had confirmed to WAIT,
      and nothing at all by a failover that was asked for
    * every entry that was kept has its effect; none is skipped
    * the effect of a sync consumer is there once; of an async one at most a window of entries of a stream has its effect
      twice for one kill, freeze or failover, and none where nothing happened to the shard
    * each stream is handled by the primary of its slot: nobody else knows it
    * streams that are to be trimmed are empty at rest, nothing is pending, no callback failed
    * primary and replica have the same data at rest; every log is without internal errors

The end is a table; the exit code is 1 if there was a violation, and the servers' directory is then kept.
"""

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from chaos import observe
from chaos.cluster_producers import Producers, Route
from chaos.verdict import (
    KINDS,
    Known,
    LogLines,
    Rules,
    Seen,
    behind,
    failures,
    judge,
    kind_of,
    still_pending,
)
from testing.cluster import Cluster, slot_of
from testing.launch import REDIS_SERVER

LIBRARIES = {"near": (), "far": ("CONFIG", observe.CONFIG)}
KINDS_HERE = ("sync", "sync-trim", "async-1", "async-10", "async-10-trim")
TAGS = 60
# Rounds that streams serve.
SERVES = 4
STRIKES = ("kill", "kill", "failover", "freeze", "replica")
# Those by which a stream gets another primary, and those by which entries may be lost.
REPLACES = {"kill", "failover", "freeze"}
LOSES = {"kill", "freeze"}
# Seconds from the beginning of a round, or the end of a strike, to the next step.
SOONEST, LATEST = 0.2, 0.8
DEADLINE = 60
POLL = 0.02
# What is said of a slot that a node does not serve, and to a callback that runs when its node becomes a replica.
REFUSED = re.compile("ERR slot [0-9]+ of the key |Can not lock Redis, Can not lock redis for write on replica")
RULES = Rules(keeps_acknowledged=True, counts_handovers=False)


class Shard:
    """A primary and its replica, with the streams that they have now."""

    def __init__(self, primary, replica):
        self.primary = primary
        self.replica = replica
        self.route = Route(primary.port)
        self.streams = []

    def replaced(self, lasts):
        """The replica is the primary now, and had that much of each stream when it took over."""
        old = self.route
        self.primary, self.replica = self.replica, self.primary
        old.lasts = lasts
        self.route = Route(self.primary.port)


class Chaos:
    """All rounds; in `violations` is what was wrong."""

    def __init__(self, directory, seed, say=print):
        self._chance = random.Random(seed)
        self._directory = directory
        self._say = say
        self._made = 0
        self._known = defaultdict(Known)
        self._round = 0
        self.violations = []
        self.totals = Counter()
        self.most = Counter()
        self.strikes = Counter()
        self.version = ""
        self.cluster = Cluster(self._make_directory)
        try:
            self._shards = [
                Shard(primary, self.cluster.replicas_of(primary)[0]) for primary in self.cluster.primaries()
            ]
            self._load()
        except BaseException:
            self.cluster.kill()
            raise

    def _make_directory(self):
        self._made += 1
        directory = self._directory / f"node{self._made}"
        directory.mkdir(parents=True)
        return directory

    def _load(self):
        info = self.cluster.nodes[0].client.info("server")
        name = info.get("server_name", "redis")
        self.version = f"{name} {info.get(f'{name}_version', info['redis_version'])}"
        for name, more in LIBRARIES.items():
            code = (observe.LIBRARIES / f"{name}.js").read_text()
            node = self.cluster.primaries()[0]
            self.cluster.change(lambda node=node, words=(*more, code): node.run("RG.FUNCTION", "LOAD", *words))

    def run(self, seconds):
        """Rounds for so many seconds, one at least."""
        end = time.monotonic() + seconds
        try:
            while self._round == 0 or time.monotonic() < end:
                self._one()
                self._round += 1
                if self.violations:
                    break
            self._read_logs()
        finally:
            self.cluster.kill()

    # --- a round

    def _one(self):
        self._choose_streams()
        producers = Producers(self._shards, self._chance, DEADLINE)
        struck = {}
        try:
            for shard in self._chance.sample(self._shards, self._chance.randint(1, 2)):
                self._pause()
                struck[shard] = self._chance.choice(STRIKES)
                self.strikes[struck[shard]] += 1
                getattr(self, f"_{struck[shard]}")(shard)
                self.cluster.wait_ok()
            self._pause()
        finally:
            acknowledged = producers.end()
        self._violations(sorted(set(acknowledged.refused)))
        for shard in self._shards:
            self._drain(shard)
        for shard in self._shards:
            self._judge(shard, acknowledged, struck.get(shard))
        self._compare()

    def _choose_streams(self):
        generation = self._round // SERVES
        if self._round % SERVES == 0:
            for shard in self._shards:
                for stream in shard.streams:
                    shard.primary.run("DEL", stream, observe.fx(stream))
            self._known.clear()
        streams = [f"{kind}:{{{tag}}}:{generation}" for kind in KINDS_HERE for tag in range(TAGS)]
        for shard in self._shards:
            shard.streams = [stream for stream in streams if shard.primary.owns(slot_of(stream))]

    def _pause(self):
        time.sleep(self._chance.uniform(SOONEST, LATEST))

    # --- strikes

    def _kill(self, shard):
        killed = shard.primary
        killed.kill()
        self._replace(shard)
        killed.start()

    def _freeze(self, shard):
        frozen = shard.primary
        frozen.suspend()
        try:
            self._replace(shard)
        finally:
            frozen.resume()
        self.cluster.wait(lambda: not frozen.is_primary(), "the primary does not step back")

    def _failover(self, shard):
        route, shard.route = shard.route, shard.route
        self.cluster.fail_over(shard.primary)
        route.close()
        shard.replaced(self._lasts(shard.replica, shard.streams))

    def _replica(self, shard):
        shard.replica.kill()
        self._pause()
        shard.replica.start()

    def _replace(self, shard):
        """Waits until the replica has taken over, and has the clients go there."""
        shard.route.close()
        self.cluster.wait(shard.replica.is_primary, "the replica does not take over")
        # Nobody has written to it yet.
        shard.replaced(self._lasts(shard.replica, shard.streams))

    @staticmethod
    def _lasts(node, streams):
        return {name: last for name, (last, _) in observe.ends(node.client, streams).items()}

    # --- rest

    def _drain(self, shard):
        """Waits until every consumer of the shard has come to its end."""
        client = shard.primary.client
        kinds = {stream: kind_of(stream) for stream in shard.streams}
        lasts = self._lasts(shard.primary, shard.streams)
        end = time.monotonic() + DEADLINE
        while True:
            streams, jobs = observe.streams(client)
            lengths = self._lengths(client, kinds)
            waits = still_pending(streams, jobs, lengths, self._known) or behind(streams, kinds, lasts)
            if not waits:
                break
            if time.monotonic() > end:
                self._violation(f"not done {DEADLINE} s after the clients: {'; '.join(waits)[:2000]}")
                break
            shard.primary.assert_alive()
            time.sleep(POLL)
        # Whoever was stopped is a primary for a moment yet when it goes on, and is refused the slots that it has lost. So are
        # callbacks that run while their node is replaced. Nodes keep that as their last error, and may be primaries again.
        self._violations(failures([one for one in streams if not REFUSED.match(one["last_error"])]))
        strange = {stream["name"] for stream in streams} - set(shard.streams)
        strange = {name for name in strange if not shard.primary.owns(slot_of(name))}
        self._violations(f"{name} is known to a node that does not have its slot" for name in strange)

    @staticmethod
    def _lengths(client, kinds):
        pipeline = client.pipeline(transaction=False)
        for name in kinds:
            pipeline.xlen(name)
            pipeline.hlen(observe.fx(name))
        found = iter(pipeline.execute())
        return {name: (kind, next(found), next(found)) for name, kind in kinds.items()}

    def _judge(self, shard, acknowledged, strike):
        client = shard.primary.client
        ends = observe.ends(client, shard.streams)
        pipeline = client.pipeline(transaction=False)
        for stream in shard.streams:
            pipeline.xrange(stream)
            pipeline.hgetall(observe.fx(stream))
        found = iter(pipeline.execute())
        for stream in shard.streams:
            entries, effects = next(found), next(found)
            kind, (last, added) = kind_of(stream), ends[stream]
            lost, confirmed = acknowledged.lost(stream)
            self.totals["lost with their primary"] += len(lost)
            if lost and strike not in LOSES:
                self._violation(f"{stream}: {len(lost)} acknowledged entries are lost by {strike}")
            if confirmed:
                self._violation(f"{stream}: {len(confirmed)} entries are lost that the replica had confirmed: {confirmed[:3]}")
            counts = {entry: int(count) for entry, count in effects.items()}
            seen = Seen(last, added, [entry for entry, _ in entries], counts, acknowledged.kept(stream))
            self._known[stream], figures, told = judge(kind, RULES, self._known[stream], seen)
            self._violations(f"{stream}: {text}" for text in told)
            twice = figures["effects twice"]
            if twice and strike not in REPLACES:
                self._violation(f"{stream}: {twice} effects came twice, though nothing happened to its primary")
            self.totals.update({what: figures[what] for what in ("acknowledged", "kept", "skipped", "effects twice")})
            self.most[kind.name] = max(self.most[kind.name], twice)

    def _compare(self):
        """Primaries and replicas have the same data, once replicas have got all."""
        for shard in self._shards:

            def offsets(shard=shard):
                ours = shard.primary.client.info("replication")
                theirs = shard.replica.client.info("replication")
                return ours["master_repl_offset"], theirs["slave_repl_offset"], theirs["master_link_status"]

            self.cluster.wait(lambda: len({*offsets()[:2]}) == 1 and offsets()[2] == "up", offsets)
            end = offsets()
            digests = {node.run("DEBUG", "DIGEST") for node in (shard.primary, shard.replica)}
            if len(digests) > 1 and offsets() == end:
                self._violation(f"primary and replica differ at offset {end[0]}")

    # --- telling

    def _read_logs(self):
        lines = LogLines()
        for node in self.cluster.nodes:
            lines.add(node.log.read_text(errors="backslashreplace").splitlines())
        self._violations(f"log: {line}" for line in lines.bad)

    def _violations(self, texts):
        for text in texts:
            self._violation(text)

    def _violation(self, text):
        self.violations.append((self._round, text))
        self._say(f"VIOLATION round {self._round}: {text}")

    def table(self):
        """The result, for people."""
        rows = [("", self.version), ("---", "---:"), ("rounds", self._round)]
        rows += [(f"strikes: {name}", count) for name, count in sorted(self.strikes.items())]
        rows += sorted(self.totals.items())
        rows += [(f"most twice, one stream and strike: {name}", f"{self.most[name]}/{KINDS[name].places}") for name in KINDS_HERE]
        rows.append(("violations", len(self.violations)))
        return "\n".join(f"| {name} | {f'{cell:,}' if isinstance(cell, int) else cell} |" for name, cell in rows)


def parse_options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=900, help="rounds begin for so long (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="default: any")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the result goes for programs")
    return parser.parse_args()


def main():
    """All rounds; ends with 1 if there was a violation."""
    options = parse_options()
    directory = Path(tempfile.mkdtemp(prefix="chaos-cluster-"))
    print(f"{REDIS_SERVER}, seed {options.seed}, files in {directory}", flush=True)
    begin = time.monotonic()
    chaos = Chaos(directory, options.seed)
    chaos.run(options.seconds)
    print(f"\n{chaos.table()}\n\n{time.monotonic() - begin:.0f} s")
    if options.json:
        result = {"server": chaos.version, "seed": options.seed, "strikes": chaos.strikes, **chaos.totals}
        result |= {"most twice": chaos.most, "violations": chaos.violations}
        options.json.write_text(json.dumps(result, indent=2))
    if chaos.violations:
        sys.exit(f"{len(chaos.violations)} violations; the servers' files are in {directory}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
