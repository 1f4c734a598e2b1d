"""What must hold of a stream after a kill, judged from what was seen. Nothing here talks to a server.

    * with an append-only file that is synced always, what was acknowledged is there
    * each entry that the server kept has its effect: once with a sync consumer, at least once with an async one
    * of one stream, consumer and kill, no more entries than the window have their effect twice; of an async consumer,
      no more than two windows are handed over twice: those whose end was put on record in the moment of the kill, and
      those that had just taken their places and could not have written yet
    * no effect without its entry; what is trimmed is trimmed to the end
    * libraries are what they were, code and owner included; nothing is pending, nothing failed, the log is clean
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

EXAMPLES = 3
NO_ID = "0-0"
HANDED = re.compile(r"> H (\S+) (\S+) (\d+-\d+)$")
BAD_LOG = re.compile(
    r"internal error|panicked|BUG REPORT|ASSERTION FAILED|Fatal error|unhandled rejection|Internal error in RDB"
    r"|Bad file format|Unrecoverable error",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Kind:
    """A consumer of libraries/*.js: its name is its prefix."""

    name: str
    window: int
    trim: bool = False
    sync: bool = False
    # The other kind of consumer only logs: less is promised for it, so it is counted and not judged.
    effects: bool = True


KINDS = {
    kind.name: kind
    for kind in (
        Kind("sync", 1, sync=True),
        Kind("sync-trim", 1, sync=True, trim=True),
        Kind("async-1", 1),
        Kind("async-10", 10),
        Kind("async-10-trim", 10, trim=True),
        Kind("async-idle", 1, effects=False),
    )
}


@dataclass(frozen=True)
class Rules:
    """What differs between the modes."""

    # What was acknowledged has to be there, else only what the server kept is judged.
    keeps_acknowledged: bool
    # The log tells of the same history as the data. It does not where the data went back in time, or is another
    # server's: an entry is then handed over once for each of the two.
    counts_handovers: bool


@dataclass
class Known:
    """What earlier checks found of a stream."""

    entries: set = field(default_factory=set)
    effects: dict = field(default_factory=dict)
    handed: set = field(default_factory=set)
    # Told already: entries without an effect, and how many there are of which not even the ID is known.
    missed: set = field(default_factory=set)
    unseen: int = 0


@dataclass
class Seen:
    """What this check sees of a stream."""

    # The stream's last ID and the number of entries ever added to it, right after the restart.
    last: str = NO_ID
    added: int = 0
    # After everything came to rest: IDs in the stream, and how often each effect was written.
    entries: list = field(default_factory=list)
    effects: dict = field(default_factory=dict)
    # Since the last check: IDs whose reply came, and IDs handed over, as often as they were.
    acknowledged: list = field(default_factory=list)
    handed: list = field(default_factory=list)


def order(entry):
    """An ID as what it is sorted by."""
    ms, seq = entry.split("-")
    return int(ms), int(seq)


def some(entries):
    """A few of them, for people."""
    shown = sorted(entries, key=order)[:EXAMPLES]
    return f"{', '.join(shown)}{', ...' if len(entries) > len(shown) else ''}"


def judge(kind, rules, before, seen):
    """What is known now, figures of this kill, and violations as text."""
    figures, told = Counter(acknowledged=len(seen.acknowledged)), []
    last = order(seen.last)
    entries = _kept(kind, rules, before, seen, last, told)
    figures["kept"] = len(entries - before.entries)
    handed, repeated = _handed(before, seen, last)

    if strange := {entry for entry in seen.effects if order(entry) > last}:
        told.append(f"{len(strange)} effects of entries that the server does not have: {some(strange)}")
    done = {entry for entry, count in seen.effects.items() if count > 0} if kind.effects else handed
    missed = entries - done
    fresh = missed - before.missed
    # Entries that nobody acknowledged, and that were trimmed without an effect.
    unseen = max(seen.added - len(entries), 0) if kind.trim else 0
    figures["skipped"] = len(fresh) + max(unseen - before.unseen, 0)
    if kind.effects and figures["skipped"]:
        told.append(f"{figures['skipped']} entries skipped, they have no effect: {some(fresh)}")

    grown = {entry for entry, count in seen.effects.items() if count > max(before.effects.get(entry, 0), 1)}
    figures["effects twice"] = len(grown)
    if kind.sync and grown:
        told.append(f"{len(grown)} effects of a sync callback came twice: {some(grown)}")
    elif len(grown) > kind.window:
        told.append(f"{len(grown)} effects came twice, the window is {kind.window}: {some(grown)}")
    twice = repeated if rules.counts_handovers else grown
    figures["handed twice"] = len(twice)
    most = kind.window if kind.sync else 2 * kind.window
    if rules.counts_handovers and kind.effects and len(repeated) > most:
        told.append(f"{len(repeated)} entries handed over twice, at most {most} may be: {some(repeated)}")

    known = Known(entries, dict(seen.effects), handed, before.missed | missed, max(unseen, before.unseen))
    return known, figures, told


def _kept(kind, rules, before, seen, last, told):
    """The entries that the server kept, whether or not they were trimmed meanwhile."""
    wanted = before.entries.union(seen.acknowledged)
    lost = {entry for entry in wanted if order(entry) > last}
    if lost and rules.keeps_acknowledged:
        told.append(f"{len(lost)} acknowledged entries lost, the last one kept is {seen.last}: {some(lost)}")
    wanted -= lost
    present = set(seen.entries)
    if kind.trim:
        if present:
            told.append(f"{len(present)} entries are not trimmed: {some(present)}")
        present.update(entry for entry in seen.effects if order(entry) <= last)
    elif gone := wanted - present - before.missed:
        told.append(f"{len(gone)} entries are gone from the stream: {some(gone)}")
    return wanted | present


def _handed(before, seen, last):
    """All that was ever handed over; and what of it came again now, though the server has kept it."""
    handed, repeated = set(before.handed), set()
    for entry in seen.handed:
        if entry in handed and order(entry) <= last:
            repeated.add(entry)
        handed.add(entry)
    return handed, repeated


class LogLines:
    """What the lines of server logs say since the last check."""

    def __init__(self):
        self.handed = defaultdict(list)
        self.bad = []

    def add(self, lines):
        """Takes some more."""
        for line in lines:
            if found := HANDED.search(line):
                self.handed[found[2]].append(found[3])
            elif BAD_LOG.search(line):
                self.bad.append(line)


def compare_libraries(wanted, found):
    """What differs between two answers of look.libraries, as text."""
    told = []
    for name, library in wanted.items():
        if name not in found:
            told.append(f"library {name} is gone")
            continue
        for what, value in library.items():
            if found[name][what] != value:
                told.append(f"library {name}: {what} is {found[name][what]!r:.200}, was {value!r:.200}")
    told += [f"library {name} came from nowhere" for name in found.keys() - wanted.keys()]
    return told


def rest(streams, jobs, lengths, knowns):
    """What is not done yet, as text; nothing, once every consumer is idle.

    `streams` and `jobs` are what look.streams gives, `lengths` gives for each stream how many entries and effects there
    are."""
    waits = [f"{jobs} pending jobs"] if jobs else []
    for stream in streams:
        if stream["pending_ids"]:
            waits.append(f"{stream['name']} has {len(stream['pending_ids'])} pending: {some(stream['pending_ids'])}")
    for name, (kind, entries, effects) in lengths.items():
        if kind.trim and entries:
            waits.append(f"{name} has {entries} entries to be trimmed, {effects} effects")
        elif kind.effects and not kind.trim and effects + len(knowns[name].missed) < entries:
            waits.append(f"{name} has {entries} entries, {effects} effects")
    return waits


def behind(streams, kinds, lasts):
    """Streams whose end a consumer has not seen, as far as LIST tells: something may come yet.

    `lasts` gives the last ID of each. What is trimmed is not asked for: it is done when it is gone."""
    at = {stream["name"]: stream["id_to_read_from"] for stream in streams}
    return [
        f"{name} is at {at.get(name)}, its end is {last}"
        for name, last in lasts.items()
        if last not in (NO_ID, at.get(name)) and not kinds[name].trim
    ]


def failures(streams):
    """What callbacks failed with, as text."""
    return [f"{one['name']}: last_error {one['last_error']}" for one in streams if one["last_error"] != "None"]
