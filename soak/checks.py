"""What a soak run watches while the clients are at work, and what it checks when they have ended."""

import multiprocessing
import os
import statistics
import time
from bisect import bisect_left
from itertools import combinations
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from soak.load import HOSTILE, LOCK_TIMEOUTS, STREAMS
from soak.record import Times, milliseconds
from testing.logs import BAD_LOG
from testing.replies import fields

# No PING may take longer: a few runs that are ended one after the other, and what a busy machine adds.
WORST_PING = 3 * max(LOCK_TIMEOUTS) / 1000 + 1.5
# While nothing hostile runs.
P99_PING = 0.15
# Beyond that, so many times what the machine itself is late: the server has its turns as late as the sleeping client.
SLACK = 3
# What RSS may grow by from the end of the warm-up to the end of the run. It goes up and down by the garbage of a dozen
# libraries, so a trend is taken from the lower quartiles of stretches of time, and not from a few minutes.
GROWTH_SHARE = 0.15
GROWTH_BYTES = 32 << 20
SHORTEST_TREND = 300
# What RSS may be above the beginning when all libraries are deleted: what allocators keep; and how long it may take:
# V8 keeps a pool of free pages for a while.
REMAINS = 100 << 20
REMAINS_WAIT = 90
WARM_UP = 0.25
SHOWN = 30
PING_EVERY = 0.01
SLOWEST_SHOWN = 5

# The streams whose entries each consumer gets.
INCOMING = STREAMS
OUTGOING = [stream.replace("in:", "out:") for stream in STREAMS]
CONSUMERS = {
    "plain": INCOMING,
    "forward": INCOMING,
    "promise": INCOMING,
    "one": INCOMING,
    "many": INCOMING,
    "receive": OUTGOING,
    "echo": OUTGOING,
}


def ping(port, deadline, pings):
    """A process of its own, which no other client disturbs: sends when each PING began, how long it took, and by how
    much the machine overslept before it."""
    client = redis.Redis(host="127.0.0.1", port=port, socket_timeout=deadline, retry=Retry(NoBackoff(), 0))
    while True:
        before = time.monotonic()
        time.sleep(PING_EVERY)
        begin = time.monotonic()
        try:
            client.ping()
        except (redis.TimeoutError, redis.ConnectionError):
            pings.send((begin, None, 0))
            return
        pings.send((begin, time.monotonic() - begin, begin - before - PING_EVERY))


class Pinger:
    """How long the server takes to answer the simplest command."""

    def __init__(self, soak):
        self._record = soak.record
        self._soak = soak
        self._pings, theirs = multiprocessing.Pipe(duplex=False)
        arguments = (soak.port, soak.deadline, theirs)
        self._process = multiprocessing.get_context("spawn").Process(target=ping, args=arguments, daemon=True)
        self._taken = []
        self._overslept = Times()

    def start(self):
        """Begins."""
        self._process.start()

    def look(self):
        """Takes what there is."""
        while self._pings.poll():
            begin, took, overslept = self._pings.recv()
            self._overslept.add(overslept)
            if took is None:
                if self._soak.is_alive():
                    self._record.violation("PING", f"not answered within {self._soak.deadline} s")
                return
            self._taken.append((begin, took))
            if took > WORST_PING + SLACK * self._overslept.percentile(1):
                self._record.violation("PING", f"answered after {milliseconds(took)}")

    def end(self):
        """Ends, and gives the figures: all, and those during which nothing hostile ran."""
        self.look()
        self._process.kill()
        every, quiet = Times(), Times()
        troubles = sorted(self._record.troubles)
        latest = []
        for _, end, _ in troubles:
            latest.append(max(end, latest[-1]) if latest else end)
        for begin, took in self._taken:
            every.add(took)
            before = bisect_left(troubles, (begin + took,))
            if before == 0 or latest[before - 1] < begin:
                quiet.add(took)
        lines = [f"PING, {every.count():,}: {every}", f"  {quiet.count():,} while nothing hostile ran: {quiet}"]
        lines.append(f"  a sleep of the machine was too long by: {self._overslept}")
        for begin, took in sorted(self._taken, key=lambda one: -one[1])[:SLOWEST_SHOWN]:
            around = [what for from_, to, what in troubles if from_ < begin + took and to > begin]
            lines.append(f"  {milliseconds(took)}: {', '.join(around)}")
        if quiet.count() >= 1000 and quiet.percentile(0.99) > P99_PING + SLACK * self._overslept.percentile(0.99):
            self._record.violation("PING", f"p99 while nothing hostile ran is {milliseconds(quiet.percentile(0.99))}")
        return lines


class Process:
    """What the server's process takes, as the system sees it."""

    def __init__(self, soak):
        self._record = soak.record
        self._status = Path(f"/proc/{soak.server.pid}/status")
        self._files = Path(f"/proc/{soak.server.pid}/fd")
        self._taken = []
        self.threads = self.files = self.most_threads = 0

    def look(self):
        """Takes the figures of this moment."""
        try:
            fields = dict(line.split(":\t", 1) for line in self._status.read_text().splitlines() if ":\t" in line)
            rss = int(fields["VmRSS"].split()[0]) * 1024
            self._taken.append((self._record.elapsed(), rss))
            self.threads = int(fields["Threads"])
            self.most_threads = max(self.threads, self.most_threads)
            self.files = len(os.listdir(self._files))
        except (OSError, KeyError):
            pass  # It is gone, which is noticed elsewhere.

    def rss(self):
        """What it takes in bytes, as of the last look."""
        return self._taken[-1][1] if self._taken else 0

    def end(self):
        """The figures; RSS must not grow after the warm-up."""
        if not self._taken:
            return []
        series = buckets(self._taken, SHOWN)
        shown = " ".join(f"{rss / (1 << 20):.0f}" for _, rss in series)
        lines = [f"RSS in MB, {len(series)} medians: {shown}"]
        end = self._taken[-1][0]
        late = [(at, rss) for at, rss in self._taken if at >= end * WARM_UP]
        span = end - late[0][0]
        if span < SHORTEST_TREND:
            return [*lines, "  too short for a trend"]
        points = buckets(late, SHOWN, lower_quartile)
        slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(points, 2)]
        slope = statistics.median(slopes)
        usual = statistics.median(rss for _, rss in points)
        lines.append(f"  trend after the warm-up: {slope * 60 / (1 << 20):+.2f} MB a minute")
        if slope * span > GROWTH_BYTES + GROWTH_SHARE * usual:
            self._record.violation("RSS", f"grows: {lines[-1].strip()}, {shown}")
        return lines


def empty(soak, process, before):
    """Deletes all libraries; their memory comes back."""
    for library in soak.client.execute_command("RG.FUNCTION", "LIST"):
        soak.client.execute_command("RG.FUNCTION", "DEL", fields(library)["name"])
    end = time.monotonic() + REMAINS_WAIT
    while True:
        process.look()
        if process.rss() <= before + REMAINS or time.monotonic() > end:
            break
        time.sleep(0.1)
    line = f"RSS with all libraries deleted {process.rss() >> 20} MB, at the beginning {before >> 20} MB"
    if process.rss() > before + REMAINS:
        soak.record.violation("RSS", line)
    return line


def buckets(samples, count, middle=statistics.median):
    """Samples (time, value) as one for each of so many stretches of time."""
    count = min(count, len(samples))
    parts = [samples[len(samples) * at // count : len(samples) * (at + 1) // count] for at in range(count)]
    return [(statistics.median(at for at, _ in part), middle([value for _, value in part])) for part in parts]


def lower_quartile(values):
    """The value that a quarter of all do not exceed."""
    return sorted(values)[len(values) // 4]


class Log:
    """The server's log, as it grows."""

    def __init__(self, soak):
        self._record = soak.record
        self._path = soak.server.log
        self._read = 0

    def look(self):
        """Takes the new lines."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._read += len(new)
        for line in new.decode("utf-8", "backslashreplace").splitlines():
            if BAD_LOG.search(line):
                self._record.violation("log", line)
            for what in ("is ended", "unhandled rejection"):
                if what in line:
                    self._record.count(f"log: {what}")


class Info:
    """What the server says about itself."""

    def __init__(self, soak):
        self._record = soak.record
        self._client = soak.connect()

    def look(self):
        """INFO and LIST agree, limits are kept, no effect is there twice."""
        sections = ("redisgears_2_memory", "redisgears_2_libraries", "persistence")
        pipeline = self._client.pipeline(transaction=True)
        for section in sections:
            pipeline.info(section)
        pipeline.execute_command("RG.FUNCTION", "LIST")
        pipeline.hgetall("added")
        for consumer in CONSUMERS:
            pipeline.hgetall(f"done:{consumer}")
        memory, libraries, persistence, listed, added, *done = pipeline.execute()
        self._check_memory(memory, libraries, listed)
        for field in ("rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"):
            if persistence[field] != "ok":
                self._record.violation("persistence", f"{field}: {persistence[field]}")
        for consumer, ledger in zip(CONSUMERS, done, strict=True):
            for stream, count in ledger.items():
                if int(count) > int(added.get(stream, 0)):
                    self._record.violation("effects", f"{consumer} has done {count} of {added.get(stream)} in {stream}")

    def _check_memory(self, memory, libraries, listed):
        prefix = "redisgears_2_library_"
        shown = {name.removeprefix(prefix): fields for name, fields in libraries.items() if name.startswith(prefix)}
        names = {fields(library)["name"] for library in listed}
        if set(shown) != names:
            self._record.violation("INFO", f"shows {sorted(shown)}, LIST has {sorted(names)}")
        used = sum(int(one["used_heap"]) + int(one["used_buffers"]) for one in shown.values())
        total = int(memory["redisgears_2_used_by_libraries"])
        # Workers change it while it is added up.
        if abs(used - total) > max(used, total) // 2 + (64 << 20):
            self._record.violation("INFO", f"libraries use {used} in all, used_by_libraries is {total}")
        if total > 2 * int(memory["redisgears_2_limit_of_libraries"]):
            self._record.violation("INFO", f"libraries use {total}: {libraries}")
        for name, one in shown.items():
            if int(one["pending_jobs"]) > 100_000:
                self._record.violation("INFO", f"library {name} has {one['pending_jobs']} pending jobs")

    def is_idle(self):
        """Whether nobody waits, and nothing is to be done."""
        waiting = self._client.info("clients")["blocked_clients"]
        libraries = self._client.info("redisgears_2_libraries")
        jobs = {name: one["pending_jobs"] for name, one in libraries.items() if int(one["pending_jobs"])}
        return None if not waiting and not jobs else f"{waiting} blocked clients, pending jobs: {jobs}"

    def effects(self):
        """What is wrong with the ledgers; nothing, once every entry had its effects once."""
        added = numbers(self._client.hgetall("added"))
        wrong = []
        for consumer, streams in CONSUMERS.items():
            done = numbers(self._client.hgetall(f"done:{consumer}"))
            for stream in streams:
                for field in (stream, f"{stream}|weight"):
                    if done.get(field, 0) != added.get(field, 0):
                        wrong.append(f"{consumer} {field}: added {added.get(field, 0)}, done {done.get(field, 0)}")
        return "; ".join(wrong) or None

    def disorder(self):
        """Entries that came again, or before others, to consumers with window 1."""
        return self._client.hgetall("disorder") or None

    def hostile_entries(self):
        """What consumers of the hostile libraries have not dealt with; nothing, once they are done with every entry."""
        wrong = []
        for name in HOSTILE:
            added = self._client.xinfo_stream(name)["entries-added"] if self._client.exists(name) else 0
            [library] = self._client.execute_command("RG.FUNCTION", "LIST", "vvv", "LIBRARY", name)
            for consumer in map(fields, fields(library)["stream_consumers"]):
                done = sum(fields(stream)["total_record_processed"] for stream in consumer["streams"])
                if done != added:
                    wrong.append(f"{name}, {consumer['name']}: {added} entries, processed {done}")
        return "; ".join(wrong) or None


def numbers(ledger):
    """A ledger's fields as numbers."""
    return {field: int(value) for field, value in ledger.items()}


def settle(soak, info, triggers):
    """After the load: everything comes to rest, every effect is there once."""
    conditions = {
        "effects": info.effects,
        "events": triggers.events,
        "hostile entries": info.hostile_entries,
        "triggers": triggers.unfinished,
        "executions": triggers.running,
        "idle": info.is_idle,
    }
    for name, condition in conditions.items():
        end = time.monotonic() + soak.deadline
        while (wrong := condition()) and time.monotonic() < end:
            time.sleep(0.05)
        if wrong:
            soak.record.violation(f"not within {soak.deadline} s: {name}", wrong)
    if disorder := info.disorder():
        soak.record.violation("order", str(disorder))


