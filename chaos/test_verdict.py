"""The checker can fail: made-up observations with a fault each, and the violation that has to be found.

    target/venv/bin/python -m pytest chaos/test_verdict.py
"""

from dataclasses import replace

import pytest

from chaos.verdict import (
    FATAL,
    KINDS,
    POISON,
    Known,
    LogLines,
    Rules,
    Seen,
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

ALWAYS = Rules(keeps_acknowledged=True, counts_handovers=True)
EVERYSEC = Rules(keeps_acknowledged=False, counts_handovers=True)
RDB = Rules(keeps_acknowledged=False, counts_handovers=False)
# Servers that do not make a trigger's effects a part of its cause.
NO_UNITS = replace(ALWAYS, has_units=False)
IDS = [f"{1000 + number}-0" for number in range(40)]
LATER = "5000-0"


def good(kind, **changes):
    """All is as it should be, but for the changes."""
    effects = dict.fromkeys(IDS, 1) if kind.effects else {}
    entries = [] if kind.trim else IDS
    fields = {key: {"padding": "x"} for key in entries}
    more = {"fields": fields, "order": list(IDS)} if kind.bad or kind.ordered else {}
    return replace(Seen(IDS[-1], len(IDS), entries, effects, list(IDS), list(IDS), **more), **changes)


def found(name, rules=ALWAYS, before=None, **changes):
    """The figures and the violations."""
    kind = KINDS[name]
    _, figures, told = judge(kind, rules, before or Known(), good(kind, **changes))
    return figures, told


def effects(**counts):
    """One effect of each entry, but for those given as at7=2."""
    return dict.fromkeys(IDS, 1) | {IDS[int(at[2:])]: count for at, count in counts.items()}


def without(*gone):
    """One effect of each other entry."""
    return {entry: 1 for entry in IDS if entry not in gone}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB, NO_UNITS])
def test_nothing_is_wrong(name, rules):
    figures, told = found(name, rules)
    assert told == []
    assert figures == {
        "acknowledged": 40, "kept": 40, "skipped": 0, "cut off": 0, "effects twice": 0, "handed twice": 0,
        "letters": 0, "letters over a kill": 0, "redriven": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.effects])
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB, NO_UNITS])
def test_skipped_entry(name, rules):
    figures, [told] = found(name, rules, effects=without(IDS[7]))
    assert figures["skipped"] == 1
    assert told == f"1 entries skipped, they have no effect: {IDS[7]}"


def test_skipped_entry_that_nobody_acknowledged():
    acknowledged = [entry for entry in IDS if entry != IDS[7]]
    for name in ("sync", "async-10", "sync-trim", "async-10-trim"):
        figures, [told] = found(name, acknowledged=acknowledged, effects=without(IDS[7]))
        assert figures["skipped"] == 1
        assert told.startswith("1 entries skipped")


def test_skipped_entry_is_told_once():
    for name in ("sync", "async-10-trim"):
        kind, seen = KINDS[name], good(KINDS[name], effects=without(IDS[7]))
        known, _, told = judge(kind, ALWAYS, Known(), seen)
        assert len(told) == 1
        _, figures, told = judge(kind, ALWAYS, known, replace(seen, acknowledged=[], handed=[]))
        assert told == []
        assert figures["skipped"] == figures["kept"] == 0


@pytest.mark.parametrize("name", ["sync", "sync-trim", "batch", "retry", "named", "bisect", "trigger", "trigger-many"])
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB, NO_UNITS])
def test_sync_effect_twice(name, rules):
    figures, [told] = found(name, rules, effects=effects(at3=2))
    assert figures["effects twice"] == 1
    assert told == f"1 effects of a sync callback came twice: {IDS[3]}"


def test_sync_effect_of_an_earlier_round_twice():
    kind = KINDS["sync"]
    known, _, told = judge(kind, RDB, Known(), good(kind))
    assert told == []
    more = {"last": LATER, "entries": [*IDS, LATER], "acknowledged": [LATER], "handed": [LATER]}
    _, _, [told] = judge(kind, RDB, known, good(kind, effects=effects(at3=2) | {LATER: 1}, **more))
    assert "came twice" in told


@pytest.mark.parametrize(
    ("name", "most"),
    [("async-1", 1), ("async-10", 10), ("async-10-trim", 10), ("batch-async", 10), ("bisect-async", 8), ("ordered", 5),
     ("gears", 3), ("behind", 1)],
)
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB])
def test_async_effects_twice(name, most, rules):
    twice = {f"at{number}": 2 for number in range(most)}
    figures, told = found(name, rules, effects=effects(**twice))
    assert told == []
    assert figures["effects twice"] == most
    figures, [told] = found(name, rules, effects=effects(**twice, at20=2))
    assert figures["effects twice"] == most + 1
    assert told.startswith(f"{most + 1} effects came twice, the window is {most}")


def test_async_effects_twice_count_for_the_kill_they_came_with():
    kind = KINDS["async-1"]
    before = Known(set(IDS), effects(at1=2), set(IDS))
    seen = good(kind, effects=effects(at1=2, at2=2), acknowledged=[], handed=[])
    _, figures, told = judge(kind, ALWAYS, before, seen)
    assert (figures["effects twice"], told) == (1, [])
    _, figures, _ = judge(kind, ALWAYS, before, replace(seen, effects=effects(at1=3)))
    assert figures["effects twice"] == 1


@pytest.mark.parametrize(
    ("name", "most"),
    [("sync", 1), ("async-1", 2), ("async-10", 20), ("async-10-trim", 20), ("batch", 5), ("batch-async", 20),
     ("retry-async", 8), ("retry-trim", 6), ("ordered", 10)],
)  # fmt: skip
def test_handed_over_twice(name, most):
    figures, told = found(name, handed=IDS + IDS[:most])
    assert told == []
    assert figures["handed twice"] == most
    figures, [told] = found(name, handed=IDS + IDS[: most + 1])
    assert figures["handed twice"] == most + 1
    assert told.startswith(f"{most + 1} entries handed over twice, at most {most} may be")
    assert found(name, RDB, handed=IDS + IDS) == found(name, RDB)


def test_handed_over_again_in_a_later_round():
    before = Known(set(IDS), dict.fromkeys(IDS, 1), set(IDS))
    _, [told] = found("async-1", before=before, acknowledged=[], handed=IDS[:3])
    assert told.startswith("3 entries handed over twice")


def test_handed_over_twice_without_effects_is_only_counted():
    figures, told = found("async-idle", handed=IDS + IDS)
    assert (figures["handed twice"], told) == (40, [])
    figures, told = found("async-idle", handed=IDS[1:])
    assert (figures["skipped"], told) == (1, [])


def test_acknowledged_entry_that_is_lost():
    lost = {"acknowledged": [*IDS, LATER], "handed": [*IDS, LATER, LATER]}
    _, [told] = found("async-1", **lost)
    assert told == f"1 acknowledged entries lost, the last one kept is {IDS[-1]}: {LATER}"
    figures, told = found("async-1", EVERYSEC, **lost)
    assert told == []
    assert (figures["acknowledged"], figures["kept"], figures["handed twice"]) == (41, 40, 0)


def test_stream_that_is_lost_as_a_whole():
    nothing = Seen(acknowledged=IDS, handed=IDS)
    _, figures, told = judge(KINDS["sync"], RDB, Known(), nothing)
    assert (figures["kept"], told) == (0, [])
    _, _, [told] = judge(KINDS["sync"], ALWAYS, Known(), nothing)
    assert told.startswith("40 acknowledged entries lost")


def test_effect_without_entry():
    for name in ("sync", "async-10-trim"):
        _, [told] = found(name, RDB, effects=effects() | {LATER: 1})
        assert told == f"1 effects of entries that the server does not have: {LATER}"


def test_entries_in_the_wrong_place():
    _, [told] = found("sync-trim", entries=IDS[:1])
    assert told.startswith("1 entries are not trimmed")
    _, [told] = found("sync", entries=IDS[1:])
    assert told.startswith("1 entries are gone")


FAILING = [name for name, kind in KINDS.items() if POISON in kind.bad]
# Fails once, and for ever.
ONCE, EVER = IDS[6], IDS[7]


def letter(kind, **changes):
    """The dead letter of EVER."""
    fields = {
        "letter": "9000-0", "to": f"dead:{kind.name}", "library": "again", "consumer": kind.name,
        "stream": f"{kind.name}:1", "id": EVER, "attempts": str(kind.attempts), "error": "Error: as intended",
        "first_time": "2000", "last_time": "2100", "padding": "x", "bad": POISON,
    }  # fmt: skip
    return {name: value for name, value in (fields | changes).items() if value is not None}


def failing(name, **changes):
    """What is seen when all is as it should be, with two entries that fail, but for the changes."""
    kind = KINDS[name]
    fields = {} if kind.trim else {key: {"padding": "x"} for key in IDS}
    if not kind.trim:
        fields |= {ONCE: {"padding": "x", "bad": "1"}, EVER: {"padding": "x", "bad": POISON}}
    normal = {
        "effects": without(EVER), "fields": fields, "letters": [letter(kind)],
        "attempts": {ONCE: 2, EVER: kind.attempts}, "order": [entry for entry in IDS if entry != EVER],
    }  # fmt: skip
    return good(kind, **normal | changes)


def told_of(name, rules=ALWAYS, before=None, **changes):
    """The violations, with what is seen changed."""
    return judge(KINDS[name], rules, before or Known(), failing(name, **changes))[2]


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB])
def test_failures_as_they_should_be(name, rules):
    known, figures, told = judge(KINDS[name], rules, Known(), failing(name))
    assert told == []
    assert (figures["kept"], figures["letters"]) == (40, 1)
    assert known.letters == {EVER: "9000-0"}
    _, figures, told = judge(KINDS[name], rules, known, failing(name, acknowledged=[], handed=[]))
    assert told == []
    assert figures["kept"] == figures["letters"] == 0


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB])
def test_dead_letter_that_is_missing(name, rules):
    assert told_of(name, rules, letters=[]) == [f"1 entries skipped, they have no effect: {EVER}"]


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB])
def test_dead_letter_twice(name, rules):
    kind = KINDS[name]
    letters = [letter(kind), letter(kind, letter="9000-1")]
    assert told_of(name, rules, letters=letters) == [f"1 entries have several dead letters: {EVER}"]


def test_dead_letter_twice_is_told_once():
    kind = KINDS["retry"]
    seen = failing("retry", letters=[letter(kind), letter(kind, letter="9000-1")])
    known, _, told = judge(kind, RDB, Known(), seen)
    assert len(told) == 1
    assert judge(kind, RDB, known, replace(seen, acknowledged=[], handed=[]))[2] == []


def test_dead_letter_that_is_gone_or_came_again():
    kind = KINDS["retry"]
    before, _, _ = judge(kind, ALWAYS, Known(), failing("retry"))
    again = {"letters": [letter(kind, letter="9000-1")], "handed": []}
    wrong = f"1 dead letters are gone or were written again: {EVER}"
    assert told_of("retry", before=before, **again) == [wrong]
    assert wrong in told_of("retry", before=before, letters=[], handed=[])
    # The data went back to a moment before the letter.
    assert told_of("retry", RDB, before, **again) == []


def test_dead_letter_and_effect():
    [told] = told_of("retry-trim", effects=effects())
    assert told == f"1 entries have an effect and a dead letter: {EVER}"
    assert f"1 entries that always fail have an effect: {EVER}" in told_of("retry", effects=effects())
    assert f"1 entries that always fail have an effect: {EVER}" in told_of("retry", effects=effects(), letters=[])


def test_dead_letter_of_an_entry_that_is_not_there():
    letters = [letter(KINDS["retry"]), letter(KINDS["retry"], id=LATER, first_time="6000", last_time="6100")]
    told = told_of("retry", EVERYSEC, letters=letters, attempts={ONCE: 2, EVER: 3, LATER: 3})
    assert told == [f"1 dead letters of entries that the server does not have: {LATER}"]


@pytest.mark.parametrize("bad", ["1", None])
def test_entry_that_was_given_up_and_does_not_fail_for_ever(bad):
    told = told_of("retry-trim", letters=[letter(KINDS["retry-trim"], bad=bad)])
    assert told == [f"1 entries were given up, though they do not fail for ever: {EVER}"]


@pytest.mark.parametrize(("changes", "wrong"), [
    ({"attempts": "2"}, "tell of 2 attempts, not 3"),
    ({"attempts": "4"}, "tell of 4 attempts, not 3"),
    ({"attempts": "0"}, "tell of 0 attempts, not 3"),
    ({"error": "Error: no"}, "have the error 'Error: no'"),
    ({"library": "far"}, "are another consumer's"),
    ({"consumer": "bisect"}, "are another consumer's"),
    ({"to": "dead:bisect"}, "are another consumer's"),
    ({"first_time": "1004"}, "tell of an attempt before the entry came"),
    ({"last_time": "2037"}, "tell of pauses that are too short"),
    ({"last_time": "1999"}, "tell of pauses that are too short"),
    ({"padding": "y"}, "do not have the fields of their entries"),
    ({"padding": None}, "do not have the fields of their entries"),
    ({"more": "z"}, "do not have the fields of their entries"),
])  # fmt: skip
def test_dead_letter_with_a_wrong_field(changes, wrong):
    told = told_of("retry", letters=[letter(KINDS["retry"], **changes)], attempts={ONCE: 2, EVER: 4})
    assert f"1 dead letters {wrong}: {EVER}" in told


def test_times_of_a_dead_letter_are_cut_off():
    letters = [letter(KINDS["retry"], first_time="1005", last_time="1043")]
    assert told_of("retry", letters=letters) == []


def test_entry_that_nobody_tries_again():
    kind = KINDS["retry-trim"]
    assert told_of("retry-trim", letters=[letter(kind, bad=FATAL, attempts="1")]) == []
    [told] = told_of("retry-trim", letters=[letter(kind, bad=FATAL)])
    assert told.startswith("1 dead letters tell of 3 attempts, not 1")


@pytest.mark.parametrize("name", FAILING)
def test_attempts_that_were_not_made(name):
    kind = KINDS[name]
    told = told_of(name, attempts={ONCE: 2, EVER: kind.attempts - 1})
    assert f"1 entries were given up with less attempts than their dead letters tell: {EVER}" in told


@pytest.mark.parametrize(("attempts", "entry"), [
    ({ONCE: 2, EVER: 4}, EVER),
    ({ONCE: 3, EVER: 3}, ONCE),
    ({ONCE: 1, EVER: 3}, ONCE),
])  # fmt: skip
def test_attempts_of_a_sync_callback(attempts, entry):
    assert told_of("retry", attempts=attempts) == [f"1 entries had more or less attempts than they needed: {entry}"]
    # The others may be interrupted when they have counted.
    assert told_of("retry-async", attempts={ONCE: 3, EVER: 4}) == []


def test_entries_that_failed_are_handed_over_again():
    handed = IDS + [ONCE] * 3 + [EVER] * 5
    assert told_of("retry", handed=handed) == told_of("named", handed=handed) == told_of("ordered", handed=handed) == []
    assert told_of("bisect-async", handed=IDS * 5) == found("gears", handed=IDS * 5)[1] == []
    most = 2 * KINDS["ordered"].places
    assert told_of("ordered", handed=[*handed, *IDS[8 : 8 + most]]) == []
    [told] = told_of("ordered", handed=[*handed, *IDS[8 : 9 + most]])
    assert told.startswith(f"{most + 1} entries handed over twice")


def test_entries_behind_a_failure_are_handed_over_again():
    """All at once, and they have nothing twice."""
    for name in ("retry", "stopping", "named"):
        assert found(name, handed=IDS * 2)[1] == []
        [told] = found(name, handed=IDS * 2, effects=effects(at8=2))[1]
        assert told == f"1 effects of a sync callback came twice: {IDS[8]}"


def test_dead_letter_that_is_redriven():
    kind, effected = KINDS["redriven"], {"effects": effects(), "order": IDS}
    seen = failing("redriven", attempts={ONCE: 2, EVER: 5}, letters=[letter(kind, bad="2")])
    seen.fields[EVER] = {"padding": "x", "bad": "2"}
    before, _, told = judge(kind, ALWAYS, Known(), seen)
    assert told == []
    seen = replace(seen, handed=[EVER], acknowledged=[])
    _, figures, told = judge(kind, ALWAYS, before, replace(seen, letters=[], **effected))
    assert (figures["redriven"], told) == (1, [])
    assert judge(kind, ALWAYS, before, replace(seen, **effected))[2] == [
        f"1 entries have an effect and a dead letter: {EVER}"
    ]
    told = judge(kind, ALWAYS, before, replace(seen, letters=[]))[2]
    assert f"1 entries skipped, they have no effect: {EVER}" in told
    assert f"1 dead letters are gone or were written again: {EVER}" in told


def test_dead_letter_that_is_redriven_in_vain():
    kind = KINDS["redriven"]
    before, _, told = judge(kind, ALWAYS, Known(), failing("redriven"))
    assert told == []
    again = letter(kind, letter="9000-1", attempts="6", redrives="2")
    seen = replace(failing("redriven", attempts={ONCE: 2, EVER: 6}, letters=[again]), handed=[EVER], acknowledged=[])
    assert judge(kind, ALWAYS, before, seen)[2] == []
    told = judge(kind, ALWAYS, before, replace(seen, letters=[again | {"attempts": "5"}]))[2]
    assert f"1 dead letters tell of 5 attempts, not 6: {EVER}" in told
    told = judge(kind, ALWAYS, before, replace(seen, letters=[letter(kind), again]))[2]
    assert f"1 entries have several dead letters: {EVER}" in told
    [told] = told_of("retry", letters=[letter(KINDS["retry"], attempts="6", redrives="1")], attempts={ONCE: 2, EVER: 6})[:1]
    assert told == f"1 dead letters were redriven, which nobody asked for: {EVER}"


def test_stopped():
    stopping = {"name": "stopping:1", "state": "aborted"}
    assert stopped([stopping, stopping | {"state": "running"}]) == ["stopping:1"]
    assert not_stopped([stopping], {"stopping:1": {ONCE}, "stopping:2": set()}) == []
    wrong = {"stopping:1": {ONCE}, "stopping:2": {EVER}}
    assert not_stopped([stopping | {"state": "running"}], wrong) == [
        f"stopping:1 is running, though {ONCE} failed", f"stopping:2 is None, though {EVER} failed",
    ]  # fmt: skip


def test_order():
    swapped = [IDS[1], IDS[0], *IDS[2:]]
    for name in ("batch", "retry", "bisect", "gears", "trigger", "trigger-many", "behind"):
        assert found(name, order=swapped)[1] == [f"1 effects came behind those of later entries: {IDS[0]}"]
    assert found("retry-async", order=swapped)[1] == []
    # Effects that came twice.
    assert found("ordered", order=[*IDS[:3], IDS[1], *IDS[3:]])[1] == []


def test_order_by_a_field():
    users = {entry: {"user": str(at % 2)} for at, entry in enumerate(IDS)}
    assert found("ordered", fields=users, order=[IDS[1], IDS[0], *IDS[2:]])[1] == []
    assert found("ordered", fields=users, order=[*IDS[1::2], *IDS[::2]])[1] == []
    [told] = found("ordered", fields=users, order=[IDS[2], IDS[1], IDS[0], *IDS[3:]])[1]
    assert told == f"1 effects came behind those of later entries: {IDS[0]}"


def test_dead_letters_over_a_kill():
    for killed, over in ((2000, 0), (2001, 1), (2100, 1), (2101, 0)):
        _, figures, told = judge(KINDS["retry"], ALWAYS, Known(), failing("retry", killed=killed))
        assert (figures["letters over a kill"], told) == (over, [])


def test_dead_letters_that_are_astray():
    assert astray({"retry:1": [{}], "named:g0:1": [{}]}) == []
    assert astray({"sync:1": [{}], "": [{}, {}]}) == [
        "1 dead letters are of the stream 'sync:1'", "2 dead letters are of the stream ''",
    ]  # fmt: skip


def without_last(count, acknowledged):
    """The effects of the last numbers that a key was set to are missing; so many numbers were acknowledged."""
    return {"effects": without(*IDS[-count:]), "acknowledged": IDS[:acknowledged], "order": IDS[:-count], "handed": []}


@pytest.mark.parametrize(("name", "most"), [("trigger", 1), ("trigger-many", 6), ("behind", 3)])
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB])
def test_triggers_effects_that_are_cut_off(name, most, rules):
    """Only where cause and effect are no unit, only the last ones, and not more than a client sends at once."""
    cut = without_last(most, acknowledged=40 - most)
    figures, [told] = found(name, rules, **cut)
    assert (figures["cut off"], figures["skipped"]) == (0, most)
    assert told.startswith(f"{most} entries skipped")
    rules = replace(rules, has_units=False)
    figures, told = found(name, rules, **cut)
    assert (figures["cut off"], figures["skipped"], told) == (most, 0, [])
    figures, [told] = found(name, rules, **without_last(most + 1, acknowledged=39 - most))
    assert (figures["cut off"], figures["skipped"]) == (most, 1)
    assert told == f"1 entries skipped, they have no effect: {IDS[-most - 1]}"


def test_triggers_effects_that_are_cut_off_though_acknowledged():
    figures, [told] = found("trigger-many", NO_UNITS, **without_last(2, acknowledged=39))
    assert (figures["cut off"], figures["skipped"]) == (1, 1)
    assert told == f"1 entries skipped, they have no effect: {IDS[-2]}"
    # What was acknowledged says nothing where the server loses some of that.
    figures, told = found("trigger-many", replace(RDB, has_units=False), **without_last(2, acknowledged=40))
    assert (figures["cut off"], told) == (2, [])


def test_triggers_effects_that_were_cut_off_stay_so():
    kind, cut = KINDS["trigger"], without_last(1, acknowledged=39)
    no_units = replace(EVERYSEC, has_units=False)
    known, _, told = judge(kind, no_units, Known(), good(kind, **cut))
    assert (known.missed, told) == ({IDS[-1]}, [])
    cut["acknowledged"] = []
    more = {"last": LATER, "entries": [*IDS, LATER]}
    more["effects"] = without(IDS[-1]) | {LATER: 1}
    _, figures, told = judge(kind, no_units, known, good(kind, **cut | more))
    assert (figures["cut off"], figures["skipped"], told) == (0, 0, [])
    # The data went back to a moment before it. When the key is set to the same number again, that one counts.
    known, _, told = judge(kind, no_units, known, good(kind, **cut | {"last": IDS[-2], "entries": IDS[:-1]}))
    assert (known.missed, told) == (set(), [])
    _, figures, [told] = judge(kind, EVERYSEC, known, good(kind, **cut))
    assert told.startswith("1 entries skipped")


def test_triggers_that_are_called_for_what_is_loaded():
    assert fired({"trigger": 0, "behind": 0}) == []
    assert fired({"trigger": 2, "behind": 0}) == ["trigger trigger was called 2 times for what was loaded"]


def test_log():
    log = LogLines()
    log.add([
        "7:M 22 Nov 2026 05:31:05.255 * <redisgears_2> H async-10 async-10:g1:0 1-0",
        "7:M 22 Nov 2026 05:31:05.256 * <redisgears_2> H async-10 async-10:g1:0 1-0",
        "7:M 22 Nov 2026 05:31:05.257 # <redisgears_2> internal error: no cursor",
        "=== REDIS BUG REPORT START: Cut & paste starting from here ===",
        "7:M 22 Nov 2026 05:31:05.258 * Ready to accept connections",
    ])  # fmt: skip
    assert log.handed == {"async-10:g1:0": ["1-0", "1-0"]}
    assert len(log.bad) == 2


def test_libraries():
    wanted = {"near": {"user": "default"}, "far": {"user": "chaos"}}
    assert compare_libraries(wanted, wanted) == []
    assert compare_libraries(wanted, {"near": {"user": "default"}}) == ["library far is gone"]
    assert compare_libraries(wanted, wanted | {"far": {"user": "default"}}) == [
        "library far: user is 'default', was 'chaos'"
    ]
    assert compare_libraries({}, {"far": {}}) == ["library far came from nowhere"]


def test_rest():
    """Also where a retry is to come."""
    waiting = {"name": "retry:1", "pending_ids": [], "last_error": "as intended", "state": "waiting"}
    assert still_pending([waiting], 0, {}, {}) == ["retry:1 is waiting"]
    assert in_pause([waiting, waiting | {"state": "running"}]) == ["retry:1"]
    assert still_pending([waiting | {"state": "running"}], 0, {}, {}) == []
    idle = {"name": "sync:1", "pending_ids": [], "last_error": "None"}
    sync, trim = KINDS["sync"], KINDS["sync-trim"]
    knowns = {"sync:1": Known(), "sync-trim:1": Known()}
    assert still_pending([idle], 0, {"sync:1": (sync, 3, 3), "sync-trim:1": (trim, 0, 3)}, knowns) == []
    assert still_pending([idle], 2, {}, knowns) == ["2 pending jobs"]
    assert len(still_pending([idle | {"pending_ids": ["1-0"]}], 0, {}, knowns)) == 1
    assert len(still_pending([idle], 0, {"sync:1": (sync, 3, 2), "sync-trim:1": (trim, 1, 3)}, knowns)) == 2
    assert still_pending([idle], 0, {"sync:1": (sync, 3, 2)}, {"sync:1": Known(missed={"1-0"})}) == []
    assert failures([idle]) == []
    assert failures([idle | {"last_error": "no"}]) == ["sync:1: last_error no"]


def test_failures_that_are_intended():
    failed = {"name": "retry:1", "last_error": "Error: as intended"}
    assert failures([failed]) == []
    for name, error in (
        *(("retry:1", error) for error in ("no", "the dead letter of 1-0 cannot be written: no, as intended")),
        *((name, "as intended") for name in ("sync:1", "batch:1", "strange:1")),
    ):
        assert failures([failed | {"name": name, "last_error": error}]) == [f"{name}: last_error {error}"]


def test_behind():
    kinds = {"sync:1": KINDS["sync"], "sync:2": KINDS["sync"], "sync-trim:1": KINDS["sync-trim"]}
    at_its_end = {"name": "sync:1", "id_to_read_from": "7-0"}
    lasts = {"sync:1": "7-0", "sync:2": "0-0", "sync-trim:1": "9-0"}
    assert behind([at_its_end], kinds, lasts) == []
    assert behind([at_its_end], kinds, lasts | {"sync:2": "3-0"}) == ["sync:2 is at None, its end is 3-0"]
    assert behind([at_its_end], kinds, lasts | {"sync:1": "8-0"}) == ["sync:1 is at 7-0, its end is 8-0"]
