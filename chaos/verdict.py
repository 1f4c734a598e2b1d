"""What must hold of a stream after a kill, judged from what was seen. Nothing here talks to a server.

    * with an append-only file that is synced always, what was acknowledged is there
    * each entry that the server kept has its effect: once with a sync consumer, at least once with an async one
    * of one stream, consumer and kill, no more entries than the window have their effect twice; of an async consumer,
      no more than two windows are handed over twice: those whose end was put on record in the moment of the kill, and
      those that had just taken their places and could not have written yet
    * a sync consumer may get again what it got in the moment of the kill: all that was waiting behind a failure. None
      of that has an effect yet
    * of entries that come in batches the window counts batches
    * an entry that always fails has one dead letter in the place of its effect, and no other entry has one; the letter
      says what it is about and how many attempts there were. Attempts that the kill interrupted do not count, those
      that had failed do; with a sync consumer as many were made as are counted
    * a letter that is redriven with success is gone, and its entry has its effect; else another is in its place, which
      tells of all attempts
    * a stream that stopped with a failure is stopped after the kill, and goes on with that entry when it is told to
    * a pause before a retry is as long as it has to be, also over a kill
    * where there is an order, effects come in it
    * no effect without its entry; what is trimmed is trimmed to the end
    * a key that is set to one number after the other is judged like a stream with these entries. The effects of a sync
      trigger are there exactly when their causes are. On servers before 7.2, where the two are not one transaction, the
      effects of what was on its way at the kill may be missing, and no others; none is there twice
    * libraries are what they were, code and owner included; nothing is pending, nothing failed but what had to, the log
      is clean
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import chain

EXAMPLES = 3
LIBRARY, ERROR = "again", "as intended"
# What the field `bad` says of entries that never succeed.
POISON, FATAL = "poison", "fatal"
REDRIVE, RESUME = "REDRIVE", "RESUME"
# Milliseconds that times of letters may be early: they are cut off, and reckoned from the process's own clock.
EARLY = 2
# What a letter has beside the fields of its entry.
LETTERS_OWN = {
    *("library", "consumer", "stream", "id", "attempts", "error", "first_time", "last_time"),
    *("redrives", "letter", "to"),
}
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
    # Entries that come at once; whether all of them come again, in parts, when one of them fails.
    batch: int = 1
    bisect: bool = False
    # What the field `bad` of its entries may be, and for those that always fail: after how many attempts they are given
    # up, and how many milliseconds there are at least between two of them.
    bad: tuple = ()
    attempts: int = 1
    pause: int = 0
    # Effects come in the order of the entries; of all, or of those that have the same value of this field.
    ordered: bool = False
    order_by: str = ""
    # The subcommand of RG.CONSUMER that its streams need now and then.
    command: str = ""
    # It is not a consumer but a trigger: what comes are numbers that a key is set to, at most so many at once.
    at_once: int = 0

    @property
    def places(self):
        """Entries of one stream that are with the callback at once."""
        return self.window * self.batch

    @property
    def bursts(self):
        """Whether entries pile up behind a failure and are then handed to a sync callback in one go: they all come
        again if the server is killed before it has written what became of them, and none has left anything."""
        return self.sync and bool(self.bad)

    @property
    def comes_again(self):
        """Whether entries are handed over again because others failed."""
        return self.bisect or (self.batch > 1 and bool(self.bad))


ANY_BAD = ("1", "2", POISON, FATAL)
# As in the libraries.
KINDS = {
    kind.name: kind
    for kind in (
        Kind("sync", 1, sync=True),
        Kind("sync-trim", 1, sync=True, trim=True),
        Kind("async-1", 1),
        Kind("async-10", 10),
        Kind("async-10-trim", 10, trim=True),
        Kind("async-idle", 1, effects=False),
        Kind("batch", 1, batch=5, sync=True, ordered=True),
        Kind("batch-async", 2, batch=5),
        Kind("letter", 1, sync=True, bad=(POISON,), ordered=True),
        Kind("retry", 1, sync=True, bad=ANY_BAD, attempts=3, pause=20, ordered=True),
        Kind("retry-async", 4, bad=ANY_BAD, attempts=3, pause=3),
        Kind("retry-trim", 3, trim=True, bad=ANY_BAD, attempts=3, pause=20),
        Kind("named", 1, batch=5, sync=True, bad=("1", "2", POISON), attempts=3, pause=8),
        Kind("bisect", 1, batch=8, bisect=True, sync=True, bad=("1", POISON), attempts=2, pause=4, ordered=True),
        Kind("bisect-async", 2, batch=4, bisect=True, bad=("1", POISON), attempts=2, pause=4),
        Kind("redriven", 1, sync=True, bad=("2", POISON), attempts=2, pause=5, command=REDRIVE),
        Kind("stopping", 1, sync=True, bad=("1",), ordered=True, command=RESUME),
        Kind("ordered", 5, bad=ANY_BAD, attempts=3, pause=15, ordered=True, order_by="user"),
        Kind("gears", 1, batch=3, bad=("1", "2"), ordered=True),
        Kind("trigger", 1, sync=True, ordered=True, at_once=1),
        Kind("trigger-many", 1, sync=True, ordered=True, at_once=6),
        Kind("behind", 1, bad=("1",), ordered=True, at_once=3),
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
    # The server puts what a sync trigger writes into the transaction of its cause.
    has_units: bool = True


@dataclass
class Known:
    """What earlier checks found of a stream."""

    entries: set = field(default_factory=set)
    effects: dict = field(default_factory=dict)
    handed: set = field(default_factory=set)
    # Told already: entries without an effect, and how many there are of which not even the ID is known.
    missed: set = field(default_factory=set)
    unseen: int = 0
    # The IDs of letters by those of their entries; what was told of entries already.
    letters: dict = field(default_factory=dict)
    told: set = field(default_factory=set)


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
    # The fields of each entry. What consumers with policies leave behind: how many attempts were begun with entries
    # that fail, entries in the order of their effects, and dead letters: their fields, with the letter's own ID and
    # the stream that it is in as `letter` and `to`.
    fields: dict = field(default_factory=dict)
    attempts: dict = field(default_factory=dict)
    order: list = field(default_factory=list)
    letters: list = field(default_factory=list)
    # When the server was killed, in milliseconds.
    killed: int = 0


def kind_of(stream):
    """The kind whose stream this is, if it is one."""
    return KINDS.get(stream.split(":")[0])


def dead_letters_of(kind):
    """The stream of a kind's dead letters."""
    return f"dead:{kind.name}"


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
    handed, repeated = _handed(kind, before, seen, last)

    if strange := {entry for entry in seen.effects if order(entry) > last}:
        told.append(f"{len(strange)} effects of entries that the server does not have: {some(strange)}")
    done = {entry for entry, count in seen.effects.items() if count > 0} if kind.effects else handed
    letters = {letter["id"]: letter["letter"] for letter in seen.letters}
    missed = entries - done - letters.keys()
    fresh = missed - before.missed
    # Entries that nobody acknowledged, and that were trimmed without an effect.
    unseen = max(seen.added - len(entries), 0) if kind.trim else 0
    cut_off = _cut_off(kind, rules, seen, fresh)
    figures["cut off"] = len(cut_off)
    figures["skipped"] = len(fresh - cut_off) + max(unseen - before.unseen, 0)
    if kind.effects and figures["skipped"]:
        told.append(f"{figures['skipped']} entries skipped, they have no effect: {some(fresh - cut_off)}")

    grown = {entry for entry, count in seen.effects.items() if count > max(before.effects.get(entry, 0), 1)}
    figures["effects twice"] = len(grown)
    if kind.sync and grown:
        told.append(f"{len(grown)} effects of a sync callback came twice: {some(grown)}")
    elif len(grown) > kind.places:
        told.append(f"{len(grown)} effects came twice, the window is {kind.places}: {some(grown)}")
    twice = repeated if rules.counts_handovers and not (kind.comes_again or kind.at_once) else grown
    figures["handed twice"] = len(twice)
    most = kind.places if kind.sync else 2 * kind.places
    if rules.counts_handovers and kind.effects and not kind.bursts and len(repeated) > most:
        told.append(f"{len(repeated)} entries handed over twice, at most {most} may be: {some(repeated)}")

    fresh_letters = [letter for letter in seen.letters if before.letters.get(letter["id"]) != letter["letter"]]
    figures["letters"] = len(fresh_letters)
    figures["letters over a kill"] = sum(_is_over(letter, seen.killed) for letter in fresh_letters)
    figures["redriven"] = len(_redriven(kind, seen) - before.effects.keys())
    faults = (_wrong_letters(kind, rules, before, seen), _wrong_attempts(kind, seen), _disorder(kind, seen))
    wrong = {(text, entry) for text, about in chain(*faults) for entry in about}
    for text, about in _grouped(wrong - before.told).items():
        told.append(f"{len(about)} {text}: {some(about)}")

    # Numbers that a key was set to come again if the data went back in time.
    still_missed = {entry for entry in before.missed | missed if order(entry) <= last}
    known = Known(
        entries, dict(seen.effects), handed, still_missed, max(unseen, before.unseen), letters, before.told | wrong
    )
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
        ended = {*seen.effects, *(letter["id"] for letter in seen.letters)}
        present.update(entry for entry in ended if order(entry) <= last)
    elif gone := wanted - present - before.missed:
        told.append(f"{len(gone)} entries are gone from the stream: {some(gone)}")
    return wanted | present


def _handed(kind, before, seen, last):
    """All that was ever handed over; and what of it came again now, though it did not fail and the server has it."""
    handed, repeated = set(before.handed), set()
    for entry in seen.handed:
        if entry in handed and order(entry) <= last:
            repeated.add(entry)
        handed.add(entry)
    return handed, set() if kind.comes_again else repeated - seen.attempts.keys()


def _cut_off(kind, rules, seen, fresh):
    """The last numbers that a key was set to, as far as their effects may be missing."""
    found = set()
    if kind.at_once and not rules.has_units:
        for entry in reversed(seen.entries[-kind.at_once :]):
            if entry not in fresh or (rules.keeps_acknowledged and entry in seen.acknowledged):
                break
            found.add(entry)
    return found


def _wrong_letters(kind, rules, before, seen):
    """What is wrong with dead letters, each with the entries that it is wrong of."""
    about = defaultdict(list)
    for letter in seen.letters:
        about[letter["id"]].append(letter)
    last = order(seen.last)
    yield "entries have several dead letters", {entry for entry, letters in about.items() if len(letters) > 1}
    yield "dead letters of entries that the server does not have", {entry for entry in about if order(entry) > last}
    yield "entries have an effect and a dead letter", about.keys() & seen.effects.keys()
    hopeless = {entry for entry, fields in seen.fields.items() if _is_hopeless(fields)}
    yield "entries that always fail have an effect", hopeless & seen.effects.keys()
    if rules.keeps_acknowledged:
        now = {entry: {letter["letter"] for letter in letters} for entry, letters in about.items()}
        changed = {entry for entry, letter in before.letters.items() if letter not in now.get(entry, ())}
        if kind.command == REDRIVE:
            # Another letter is in the place of one that was redriven in vain.
            changed -= seen.effects.keys() | about.keys()
        yield "dead letters are gone or were written again", changed
    for entry, letters in about.items():
        for letter in letters:
            for text in _wrong_fields(kind, letter, seen.fields.get(entry)):
                yield text, {entry}


def _is_hopeless(fields):
    return fields.get("bad") in (POISON, FATAL)


def _wrong_fields(kind, letter, entry):
    """What is wrong with the fields of a letter. `entry` has those of what it is about, if that is still there."""
    if not _is_hopeless(letter) and kind.command != REDRIVE:
        yield "entries were given up, though they do not fail for ever"
    if (letter["library"], letter["consumer"], letter["to"]) != (LIBRARY, kind.name, dead_letters_of(kind)):
        yield "dead letters are another consumer's"
    if ERROR not in letter["error"]:
        yield f"dead letters have the error {letter['error']!r:.200}"
    attempts, first, last = (int(letter[name]) for name in ("attempts", "first_time", "last_time"))
    once = 1 if letter.get("bad") == FATAL else kind.attempts
    redrives = int(letter.get("redrives", 0))
    if redrives and kind.command != REDRIVE:
        yield "dead letters were redriven, which nobody asked for"
    wanted = once * (redrives + 1)
    if attempts != wanted:
        yield f"dead letters tell of {attempts} attempts, not {wanted}"
    if first < order(letter["id"])[0] - EARLY:
        yield "dead letters tell of an attempt before the entry came"
    if last - first < (attempts - redrives - 1) * kind.pause - EARLY:
        yield "dead letters tell of pauses that are too short"
    if entry is not None and entry != {name: value for name, value in letter.items() if name not in LETTERS_OWN}:
        yield "dead letters do not have the fields of their entries"


def _wrong_attempts(kind, seen):
    """Attempts that were counted wrong, as the callback has counted them too."""
    failed = {letter["id"]: int(letter["attempts"]) for letter in seen.letters}
    yield "entries were given up with less attempts than their dead letters tell", {
        entry for entry, count in failed.items() if seen.attempts.get(entry, 0) < count
    }
    if kind.sync and not kind.bisect and kind.command != REDRIVE:
        # What is undone by the kill was not written either.
        made = failed | {
            entry: int(fields["bad"]) + 1
            for entry, fields in seen.fields.items()
            if "bad" in fields and not _is_hopeless(fields) and entry in seen.effects
        }
        yield "entries had more or less attempts than they needed", {
            entry for entry, count in made.items() if seen.attempts.get(entry, 0) != count
        }


def _disorder(kind, seen):
    """Effects that came too late."""
    latest, late, come = {}, set(), set()
    for entry in seen.order if kind.ordered else ():
        lane = seen.fields.get(entry, {}).get(kind.order_by)
        if entry not in come and order(entry) < order(latest.get(lane, NO_ID)):
            late.add(entry)
        latest[lane] = max(latest.get(lane, NO_ID), entry, key=order)
        come.add(entry)
    yield "effects came behind those of later entries", late


def _redriven(kind, seen):
    """Entries that have their effect because their letters were redriven."""
    if kind.command != REDRIVE:
        return set()
    return {entry for entry, fields in seen.fields.items() if "bad" in fields} & seen.effects.keys()


def _is_over(letter, killed):
    """Whether attempts were made before and after the kill."""
    return int(letter["first_time"]) < killed <= int(letter["last_time"])


def _grouped(pairs):
    groups = defaultdict(set)
    for text, entry in sorted(pairs):
        groups[text].add(entry)
    return groups


def astray(letters):
    """Dead letters of streams that no consumer has that writes any, as text; `letters` has them by stream."""
    streams = [stream for stream in letters if not (kind := kind_of(stream)) or not kind.bad]
    return [f"{len(letters[stream])} dead letters are of the stream {stream!r}" for stream in streams]


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


def still_pending(streams, jobs, lengths, knowns):
    """What is not done yet, as text; nothing, once every consumer is idle.

    `streams` and `jobs` are what observe.streams gives, `lengths` gives for each stream how many entries there are, and
    how many effects and dead letters."""
    waits = [f"{jobs} pending jobs"] if jobs else []
    for stream in streams:
        if stream["pending_ids"]:
            waits.append(f"{stream['name']} has {len(stream['pending_ids'])} pending: {some(stream['pending_ids'])}")
        if (state := stream.get("state", "running")) != "running":
            waits.append(f"{stream['name']} is {state}")
    for name, (kind, entries, effects) in lengths.items():
        if kind.trim and entries:
            waits.append(f"{name} has {entries} entries to be trimmed, {effects} effects")
        elif kind.effects and not kind.trim and effects + len(knowns[name].missed) < entries:
            waits.append(f"{name} has {entries} entries, {effects} effects")
    return waits


def not_stopped(streams, unfinished):
    """Streams that should wait for somebody, as text; `unfinished` has those of entries that failed and have no effect,
    as they were before, and nobody has come since."""
    states = {stream["name"]: stream.get("state") for stream in streams}
    return [
        f"{name} is {states.get(name)}, though {some(entries)} failed"
        for name, entries in unfinished.items()
        if entries and states.get(name) != "aborted"
    ]


def stopped(streams):
    """The streams that wait for somebody."""
    return [stream["name"] for stream in streams if stream.get("state") == "aborted"]


def in_pause(streams):
    """The streams that wait for a retry."""
    return [stream["name"] for stream in streams if stream.get("state") == "waiting"]


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
    """What callbacks failed with that was not intended, as text."""
    return [f"{one['name']}: last_error {one['last_error']}" for one in streams if not _is_intended(one)]


def fired(triggers):
    """Triggers that were called though nobody has written since the restart, as text; `triggers` has how often."""
    return [f"trigger {name} was called {count} times for what was loaded" for name, count in triggers.items() if count]


def _is_intended(stream):
    kind, error = kind_of(stream["name"]), stream["last_error"]
    return error == "None" or bool(kind and kind.bad and ERROR in error and "dead letter" not in error)
