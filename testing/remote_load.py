"""Many calls of remote functions at once, large ones among them, while shards of a cluster are stopped, killed and failed over.

What must hold:

    * each call ends: with its result, or with an error whose code is known, in its time and a little
    * no call runs twice; on a shard that nothing was done to, each call with a result has run
    * nobody takes a node for failed that nothing was done to
    * memory is bounded meanwhile, and no call, result or message is kept when all is over
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import redis

from testing.libraries import function

# What a call may end with. All but the first two may have run.
CODES = ("done", "not_sent", "timeout", "shard_failed", "no_result", "thrown", "refused")
UNCERTAIN = CODES[2:]
# Seconds for a failover, and for what comes after it.
DEADLINE = 60
# Seconds between two looks at memory and at the cluster.
PAUSE = 0.1

LIBRARY = (
    "let pending = 0; let last = 0; const ended = [];",
    "redis.register_remote_function('work', async (client, counter, value) => {"
    " client.block(locked => locked.call('INCR', counter)); return value; });",
    "async function one(client, shard, key, value, timeout) {"
    " pending += 1; const start = Date.now(); let outcome = 'done';"
    " try { const back = await client.run_on_key(key, { name: 'work', timeout }, `{${key}}n`, value);"
    " if (back.length !== value.length) outcome = 'wrong'; }"
    " catch (error) { outcome = error.code ?? String(error);"
    # The function began, and the server refused its command: while the cluster is down, or since the slot has just gone.
    " if (/while the cluster is down|non local key|on replica/.test(outcome)) outcome = 'refused'; }"
    " pending -= 1; ended.push([shard, value.length, Date.now() - start, outcome]); }",
    # While the cluster is down, clients that wait are sent away, also those that wait for the isolate: so a burst has a
    # number and begins once, and what has ended is there to be read again.
    function(
        "begin",
        "(client, number, keys, small, large, bytes, timeout) => { if (Number(number) === last) return; last = Number(number);"
        " pending += 1; client.run_on_background(async client => {"
        " keys = JSON.parse(keys); const value = 'x'.repeat(Number(bytes));"
        " for (let at = 0; at < Number(small) + Number(large); at += 1) { const shard = at % keys.length;"
        " one(client, shard, keys[shard], at < Number(large) ? value : 'x', Number(timeout)); } pending -= 1; }); }",
    ),
    function("collect", "(client, from) => JSON.stringify({ pending, ended: ended.slice(Number(from)) })"),
)


def percentile(values, part):
    """The smallest that so large a part of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)] if ordered else 0


def memory_of(node):
    """Bytes that a node's process takes."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) << 10


def kept(node, client=None):
    """What a node keeps of calls and messages, where that is something."""
    client = client or node.client
    found = client.info("redisgears_2_remote_functions") | client.info("redisgears_2_cluster")
    names = (
        *("remote_calls", "remote_calls_bytes", "remote_calls_here", "remote_calls_here_bytes", "remote_results_bytes"),
        *("remote_returned_bytes", "remote_messages_waiting", "cluster_receive_bytes"),
    )
    return {name: found[f"redisgears_2_{name}"] for name in names if found[f"redisgears_2_{name}"] != 0}


class _Worker(threading.Thread):
    """Does something again and again until it is stopped; what went wrong with it is thrown then."""

    def __init__(self):
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._error = None

    def run(self):
        try:
            while not self._over.is_set():
                self.step()
        except Exception as error:
            self._error = error

    def stop(self):
        self._over.set()
        self.join()
        if self._error is not None:
            raise self._error


class _Callers(_Worker):
    """Bursts of calls from one node, each when the one before has ended."""

    def __init__(self, node, keys, options):
        super().__init__()
        self._client = node.connect()
        self._burst = (json.dumps(keys), options.small, options.large, options.bytes, options.timeout_ms)
        self.bursts = 0
        self.begun = 0
        self._at_once = options.small + options.large
        self._before = 0
        # A list for each call: shard, bytes, milliseconds, outcome.
        self.ended = []

    def collect(self):
        """Takes what has ended; gives how many calls have not."""
        found = json.loads(self._call("collect", self._before + len(self.ended)))
        self.ended += found["ended"]
        return found["pending"]

    def forget(self):
        """What was until now does not count."""
        self._before += len(self.ended)
        self.ended.clear()
        self.begun = 0

    def _call(self, name, *arguments):
        end = time.monotonic() + DEADLINE
        while True:
            try:
                return self._client.execute_command("RG.FCALL", "lib", name, 0, *arguments)
            except redis.exceptions.ClusterDownError:
                assert time.monotonic() < end, "the cluster stays down"
                time.sleep(0.05)

    def step(self):
        self.bursts += 1
        self._call("begin", self.bursts, *self._burst)
        self.begun += self._at_once
        end = time.monotonic() + DEADLINE
        while self.collect():
            assert time.monotonic() < end, f"calls of burst {self.bursts} do not end"
            time.sleep(0.01)


class _Watch(_Worker):
    """Looks at the memory of all processes, and at whom the nodes take for failed."""

    def __init__(self, cluster, patients):
        super().__init__()
        self._cluster = cluster
        self._patients = patients
        self._clients = {}
        self.peaks = Counter()
        self.accused = set()

    def step(self):
        for node in list(self._cluster.nodes):
            if not node.is_alive() or node.identity in self._patients:
                continue
            try:
                self.peaks[node.identity] = max(self.peaks[node.identity], memory_of(node))
                if node.identity not in self._clients:
                    self._clients[node.identity] = node.connect(decode_responses=True)
                text = self._clients[node.identity].execute_command("CLUSTER NODES")
                rows = text.values() if isinstance(text, dict) else []
                for row in rows:
                    if "fail" in row["flags"].split(",") and row["node_id"] not in self._patients:
                        self.accused.add(row["node_id"])
            except (redis.ConnectionError, FileNotFoundError, ValueError):
                self._clients.pop(node.identity, None)
        time.sleep(PAUSE)


class _Pinger:
    """How long PINGs to a node take: a process of its own measures that."""

    def __init__(self, node):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.pinger", str(node.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def stop(self):
        """Milliseconds: p50, p99, worst."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        self._process.stdin.close()
        self._process.wait()
        return found


class RemoteLoad:
    """The load on a cluster, and what is done to its shards meanwhile. `options` has `small`, `large`, `bytes`, `timeout_ms`."""

    def __init__(self, cluster, options):
        self.cluster = cluster
        self.options = options
        cluster.load(*LIBRARY)
        self.caller, *self.others = cluster.primaries()
        self.keys = [node.key("load") for node in (self.caller, *self.others)]
        # The nodes that something was done to, by their names; and the shards.
        self.patients = set()
        self.disturbed = set()
        self._callers = _Callers(self.caller, self.keys, options)
        self._watch = _Watch(cluster, self.patients)
        self._before = {}

    def warm_up(self):
        """Bursts until connections and heaps have their size."""
        for _ in range(2):
            self._callers.step()
        self._callers.forget()
        for key in self.keys:
            self.cluster.owner(key).run("DEL", f"{{{key}}}n")
        self._before = {node.identity: memory_of(node) for node in self.cluster.alive()}

    def run(self, faults, seconds=0, ping=False):
        """Calls for so long, and until all that is to be done to shards is done; gives figures."""
        begin = time.monotonic()
        pingers = [_Pinger(self.caller)] if ping else []
        self._watch.start()
        self._callers.start()
        try:
            for number, fault in enumerate(faults):
                self.caller.wait(lambda wanted=self._callers.bursts + 1: self._goes_on(wanted), "no further burst")
                self._disturb(fault, number)
            rest = seconds - (time.monotonic() - begin)
            if rest > 0:
                time.sleep(rest)
        finally:
            self._callers.stop()
            self._watch.stop()
        return self._figures(time.monotonic() - begin, [pinger.stop() for pinger in pingers])

    def _goes_on(self, wanted):
        return self._callers.bursts >= wanted or not self._callers.is_alive()

    def _disturb(self, fault, number):
        """Does something to the shard whose turn it is, and waits until the cluster is as before."""
        shard = 1 + number % len(self.others)
        node = self.cluster.owner(self.keys[shard])
        self.patients.add(node.identity)
        self.disturbed.add(shard)
        if fault == "pause":
            # Shorter than it takes until a node counts as failed.
            with node.suspended():
                time.sleep(1)
        elif fault == "stop":
            [replica, *_] = self.cluster.replicas_of(node)
            with node.suspended():
                replica.wait(replica.is_primary, "the replica does not take over")
            self.cluster.wait(lambda: not node.is_primary(), "it does not step back")
        elif fault == "kill":
            self.cluster.kill_primary(node)
            node.start()
        elif fault == "failover":
            self.cluster.fail_over(node)
        else:
            raise ValueError(fault)
        self.cluster.wait_ok()

        def is_trusted():
            """Whether no node takes it for failed any more: that is later than when it is back."""
            rows = [row for one in self.cluster.alive() for row in one.table() if row["id"] == node.identity]
            return not any("fail" in flag for row in rows for flag in row["flags"])

        self.cluster.wait(is_trusted, "it is taken for failed")
        self.patients.discard(node.identity)

    def _figures(self, seconds, pings):
        ended = self._callers.ended
        small = [ms for shard, bytes_, ms, outcome in ended if bytes_ == 1 and outcome == "done" and shard not in self.disturbed]
        large = [ms for _, bytes_, ms, outcome in ended if bytes_ > 1 and outcome == "done"]
        growth = {name: peak - self._before.get(name, peak) for name, peak in self._watch.peaks.items()}
        return {
            "seconds": round(seconds, 1),
            "bursts": self._callers.bursts,
            "calls": self._callers.begun,
            "outcomes": dict(Counter(outcome for *_, outcome in ended)),
            "small_ms": {name: percentile(small, part) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
            "large_ms": {name: percentile(large, part) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
            "longest_ms": max((ms for _, _, ms, _ in ended), default=0),
            "peak_mb": round(max(growth.values(), default=0) / 1e6, 1),
            "ping_ms": pings,
        }

    def violations(self, slack_ms, memory):
        """What does not hold. `slack_ms` is how much longer than its time a call may take, `memory` how many bytes a process
        may grow by."""
        found = []
        ended = self._callers.ended
        if len(ended) != self._callers.begun:
            found.append(f"{self._callers.begun} calls were begun, and {len(ended)} have ended")
        found += [f"a call ended with {outcome!r}" for outcome in {outcome for *_, outcome in ended} - set(CODES)]
        most = self.options.timeout_ms + slack_ms
        late = [ms for _, _, ms, _ in ended if ms > most]
        if late:
            found.append(f"{len(late)} calls took longer than their time, up to {max(late)} ms")
        outcomes = defaultdict(Counter)
        for shard, _, _, outcome in ended:
            outcomes[shard][outcome] += 1
        for shard, key in enumerate(self.keys):
            runs = int(self.cluster.owner(key).run("GET", f"{{{key}}}n") or 0)
            done = outcomes[shard]["done"]
            most_runs = done + sum(outcomes[shard][code] for code in UNCERTAIN)
            # A shard that failed may have lost what its replica had not got.
            least_runs = 0 if shard in self.disturbed else done
            if not least_runs <= runs <= most_runs:
                found.append(f"calls to shard {shard} ran {runs} times, which is not between {least_runs} and {most_runs}")
        found += [f"node {node} was taken for failed, and nothing was done to it" for node in self._watch.accused]
        for name, peak in self._watch.peaks.items():
            grown = peak - self._before.get(name, peak)
            if grown > memory:
                found.append(f"node {name} took {grown >> 20} MB more than before, and may take {memory >> 20}")
        return found

    def wait_nothing_kept(self):
        """Waits until no node keeps anything of all this."""
        nodes = self.cluster.alive()
        self.cluster.wait(lambda: not any(map(kept, nodes)), lambda: [kept(node) for node in nodes])

    def memory_after(self):
        """By how many bytes the processes have grown that lived through it, at most."""
        now = {node.identity: memory_of(node) for node in self.cluster.alive()}
        return max((now[name] - before for name, before in self._before.items() if name in now), default=0)
