"""What a soak run notes down: what was done, how long answers took, and what must not have happened."""

import math
import threading
import time
from collections import Counter, defaultdict

EXAMPLES = 3
# Characters of a violation's text.
TEXT = 2000
VIOLATIONS_MAX = 200
# Characters of a violation's text that are told.
TEXT_MAX = 500
# Times are counted in classes, each a tenth wider than the one before.
CLASS = math.log(1.1)
SHORTEST = 1e-5


class Times:
    """How long something took, many times."""

    def __init__(self):
        self._classes = Counter()
        self.worst = 0.0

    def add(self, seconds):
        """One more."""
        self._classes[round(math.log(max(seconds, SHORTEST)) / CLASS)] += 1
        self.worst = max(self.worst, seconds)

    def percentile(self, share):
        """The time that this share of all did not exceed, to ten per cent."""
        left = share * self.count()
        for number, count in sorted(self._classes.items()):
            left -= count
            if left <= 0:
                return min(math.exp(number * CLASS), self.worst)
        return 0.0

    def count(self):
        """How many there are."""
        return sum(self._classes.values())

    def __str__(self):
        return f"p50 {milliseconds(self.percentile(0.5))}, p99 {milliseconds(self.percentile(0.99))}, worst {milliseconds(self.worst)}"


def milliseconds(seconds):
    """A time for people."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


class Record:
    """What all parts of a run write to, from any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._begin = time.monotonic()
        self.counts = Counter()
        self.times = defaultdict(Times)
        self.violations = defaultdict(list)
        # When something was done that may hold the server up for as long as scripts may.
        self.troubles = []
        # Set when everybody is to end.
        self.stop = threading.Event()

    def elapsed(self):
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    def count(self, what, number=1):
        """That something was done."""
        with self._lock:
            self.counts[what] += number

    def took(self, what, seconds):
        """That something was answered, and after how long."""
        with self._lock:
            self.counts[what] += 1
            self.times[what].add(seconds)

    def trouble(self, begin, end, what):
        """That the server may have been held up meanwhile."""
        with self._lock:
            self.troubles.append((begin, end, what))

    def violation(self, kind, text):
        """That something happened that must not. Too many of it end the run."""
        with self._lock:
            found = self.violations[kind]
            found.append(f"at {self.elapsed():.1f} s: {str(text)[:TEXT_MAX]}")
            if len(found) <= EXAMPLES:
                print(f"VIOLATION {kind}: {found[-1]}", flush=True)
            if sum(map(len, self.violations.values())) >= VIOLATIONS_MAX:
                self.stop.set()

    def summary(self):
        """All of it, as text."""
        lines = ["", "done:"]
        for what in sorted(self.counts):
            times = f"  {self.times[what]}" if what in self.times else ""
            lines.append(f"  {self.counts[what]:9,}  {what}{times}")
        if not self.violations:
            lines.append("no violation")
        for kind, found in sorted(self.violations.items()):
            lines.append(f"VIOLATION {kind}, {len(found)} times:")
            lines += [f"    {text}" for text in found[:EXAMPLES]]
        return "\n".join(lines)
