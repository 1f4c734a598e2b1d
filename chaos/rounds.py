"""The rounds of one mode: load, kill, restart, drain, check.

Of the three streams of a kind two serve for several rounds, so that their cursors live through several kills, and one
is new in each round. A stream that is out of use is watched for some more rounds, since nothing of it may come again,
and is deleted then. The same goes for keys with triggers, of which one serves for several rounds.
"""

import time
from collections import Counter, defaultdict
from dataclasses import replace

import redis

from chaos import observe
from chaos.operators import Operator
from chaos.producers import Producers
from chaos.verdict import (
    KINDS,
    RESUME,
    Known,
    LogLines,
    astray,
    behind,
    compare_libraries,
    failures,
    fired,
    in_pause,
    judge,
    not_stopped,
    still_pending,
    stopped,
)
from testing.waits import HarnessError, wait_for

# Rounds that a stream serves, and that it is watched for afterwards.
SERVES, WATCHED = 4, 4
LIBRARIES = ("near", "far", "again", "keys", "gears")
DRAIN = 20.0
# When all effects are there: for positions that LIST shows, and for entries of the kind that has no effects. If they do
# not come the round goes on; the entries are counted as skipped.
GRACE = 2.0
POLL = 0.02
# Violations of a round that are printed.
PRINTED = 12
SHOWN_EVERY = 10
TEXT_MAX = 4000
SUMMED = ("acknowledged", "kept", "cut off", "letters", "letters over a kill", "redriven")
THE_END = "; the mode ends here"


class Result:
    """What a mode has come to."""

    def __init__(self, mode):
        self.mode = mode
        self.version = ""
        self.rounds = 0
        self.totals = Counter()
        self.kinds = {name: Counter() for name in KINDS}
        # Most entries handed over twice, by kind: per stream and kill.
        self.most = dict.fromkeys(KINDS, 0)
        self.notes = {}
        self.violations = []
        self.seconds = 0.0

    def add(self, kind, figures):
        """Figures of one stream and kill."""
        self.kinds[kind.name].update(figures)
        self.totals.update({what: figures[what] for what in SUMMED})
        self.most[kind.name] = max(self.most[kind.name], figures["handed twice"])
        if kind.effects:
            self.totals["skipped"] += figures["skipped"]
        if kind.sync:
            self.totals["sync missing"] += figures["skipped"]
            self.totals["sync twice"] += figures["effects twice"]


def streams_of(kind, number):
    """The streams, or keys, of a kind in a round, each with the last round that it serves."""
    generation = number // SERVES
    last = (generation + 1) * SERVES - 1
    lasting = {f"{kind.name}:g{generation}:{at}": last for at in ((0,) if kind.at_once else (0, 1))}
    return lasting | {f"{kind.name}:r{number}:2": number}


class Rounds:
    """All rounds of a mode."""

    def __init__(self, mode, options, chance):
        self._mode = mode
        self._options = options
        self._chance = chance
        self._count = max(round(options.rounds * mode.share), 1)
        self._result = Result(mode.name)
        self._round = 0
        self._kinds = {}
        self._last_rounds = {}
        self._known = defaultdict(Known)
        self._log = LogLines()
        self._libraries = {}
        self._rules = mode.rules

    def run(self):
        """The result."""
        begin = time.monotonic()
        try:
            self._begin()
            for number in range(self._count):
                self._round = number
                self._one()
                self._result.rounds += 1
                if self._round % SHOWN_EVERY == SHOWN_EVERY - 1:
                    self._show(time.monotonic() - begin)
                bad = {number for number, _ in self._result.violations}
                if len(bad) >= self._options.give_up:
                    self._violation(f"{len(bad)} rounds with violations{THE_END}")
                    break
        except (HarnessError, redis.RedisError, OSError) as error:
            tails = "".join(f"\n--- {node.name}, the end of its log:\n{node.tail()}" for node in self._mode.nodes)
            self._violation(f"{type(error).__name__}: {error}{tails}{THE_END}")
            self._read_logs()
            self._tell_log()
        finally:
            self._mode.close()
        self._result.notes = dict(self._mode.notes)
        self._result.seconds = time.monotonic() - begin
        return self._result

    def _begin(self):
        self._mode.begin()
        self._result.version = self._mode.primary.version()
        self._rules = replace(self._mode.rules, has_units=self._mode.primary.has_units())
        for name in LIBRARIES:
            observe.load(self._mode.primary, name)
        self._libraries = observe.libraries(self._mode.primary.client)
        self._settle()

    def _one(self):
        mode = self._mode
        self._choose_streams()
        mode.prepare(self._round / self._count)
        in_use = [name for name, last in self._last_rounds.items() if last >= self._round]
        numbers = observe.numbers(mode.primary.client, [name for name in in_use if self._kinds[name].at_once])
        in_use = [name for name in in_use if name not in numbers]
        producers = Producers(mode.primary.port, self._chance, in_use, numbers, self._options.deadline)
        operator = Operator(mode.primary.connect(), self._chance.getrandbits(32), in_use)
        producers.start()
        operator.start()
        try:
            wait_for("the producers' first replies", producers.have_begun, self._options.deadline)
            mode.strike()
            killed = round(time.time() * 1000)
        finally:
            acknowledged, refused = producers.end()
            refused += operator.end()
        self._violations(refused)
        mode.recover()
        client = mode.primary.client
        ends = observe.ends(client, list(self._kinds))
        self._violations(fired(observe.triggers(client)))
        self._check_libraries(mode.primary)
        self._drain(client, ends)
        self._judge(observe.seen(client, ends, acknowledged, self._log.handed, killed))
        self._violations(astray(observe.letters(client)))
        self._settle()
        self._tell_log()

    def _choose_streams(self):
        """This round's streams; those that nobody needs any more are deleted, also if the kill brought them back."""
        for kind in KINDS.values():
            for name, last in streams_of(kind, self._round).items():
                self._kinds[name], self._last_rounds[name] = kind, last
        for name, last in list(self._last_rounds.items()):
            if last < self._round - WATCHED:
                del self._last_rounds[name], self._kinds[name]
                self._known.pop(name, None)
        prefixes = [f"{name}:" for name in KINDS]
        observe.delete_others(self._mode.primary.client, self._kinds, prefixes)

    def _check_libraries(self, node):
        """They have to be there by themselves. If not, they are loaded again, so that the rest can be looked at."""
        found = observe.libraries(node.client)
        self._violations(f"{node.name}: {text}" for text in compare_libraries(self._libraries, found))
        if node is self._mode.primary:
            for name in self._libraries.keys() - found.keys():
                observe.load(node, name)

    def _drain(self, client, ends):
        """Waits until every consumer has come to its end."""
        lasts = {name: last for name, (last, _) in ends.items() if not self._kinds[name].at_once}
        kinds = {name: kind for name, kind in self._kinds.items() if name in lasts}
        begin = time.monotonic()
        streams, jobs = self._first_look(client)
        while True:
            waits = still_pending(streams, jobs, {}, {}) or observe.handed_on(client)
            waits = waits or still_pending([], 0, observe.lengths(client, kinds), self._known)
            took = time.monotonic() - begin
            if not waits and not behind(streams, self._kinds, lasts) and self._is_idle_done(client):
                break
            if not waits and took > GRACE:
                self._mode.notes[f"rounds that went on after {GRACE} s of grace"] += 1
                break
            if took > DRAIN:
                self._violation(f"not done {DRAIN:.0f} s after the restart: {'; '.join(waits)}")
                break
            self._mode.primary.check_alive()
            for stream in stopped(streams):
                observe.command(client, stream)
            time.sleep(POLL)
            streams, jobs = observe.streams(client)
        self._read_logs()
        self._violations(failures(streams))

    def _first_look(self, client):
        """What look.streams gives; before anybody has a stream go on that stopped."""
        unfinished = observe.unfinished(client, [name for name, kind in self._kinds.items() if kind.command == RESUME])
        streams, jobs = observe.streams(client)
        self._violations(not_stopped(streams, unfinished))
        self._mode.notes["streams that wait for a retry after a kill"] += len(in_pause(streams))
        self._mode.notes["streams that are stopped after a kill"] += len(stopped(streams))
        return streams, jobs

    def _is_idle_done(self, client):
        """Whether all entries of the consumer without effects were handed over at some time."""
        self._read_logs()
        for name, kind in self._kinds.items():
            if not kind.effects:
                known = self._known[name]
                handed = known.handed.union(self._log.handed[name], known.missed)
                if any(entry not in handed for entry, _ in client.xrange(name)):
                    return False
        return True

    def _judge(self, seen):
        for name, one in seen.items():
            kind = self._kinds[name]
            self._known[name], figures, told = judge(kind, self._rules, self._known[name], one)
            self._result.add(kind, figures)
            self._violations(f"{name}: {text}" for text in told)
        self._log.handed.clear()

    def _settle(self):
        self._violations(self._mode.settle())
        for node in self._mode.nodes:
            if node is not self._mode.primary:
                self._check_libraries(node)

    def _read_logs(self):
        for node in self._mode.nodes:
            self._log.add(node.new_lines())
            if not self._result.violations:
                node.forget_logs()

    def _tell_log(self):
        self._violations(f"log: {line}" for line in self._log.bad)
        self._log.bad.clear()

    def _violations(self, texts):
        for text in texts:
            self._violation(text)

    def _violation(self, text):
        if len(text) > TEXT_MAX:
            text = f"{text[: TEXT_MAX // 2]} ... {text[-TEXT_MAX // 2 :]}"
        self._result.violations.append((self._round, text))
        found = sum(number == self._round for number, _ in self._result.violations)
        if found <= PRINTED or text.endswith(THE_END):
            print(f"VIOLATION {self._mode.name}, round {self._round}: {text}", flush=True)
        elif found == PRINTED + 1:
            print(f"VIOLATION {self._mode.name}, round {self._round}: and more", flush=True)

    def _show(self, seconds):
        result = self._result
        print(
            f"{self._mode.name}: {result.rounds} of {self._count} rounds, {seconds / result.rounds:.1f} s each; "
            f"{result.totals['acknowledged']:,} entries acknowledged, {result.totals['kept']:,} kept, "
            f"{len(result.violations)} violations",
            flush=True,
        )
