"""The checker can fail: made-up observations with a fault each, and the violation that has to be found.

    target/venv/bin/python -m pytest chaos/test_verdict.py
"""

from dataclasses import replace

import pytest

from verdict import KINDS, Known, LogLines, Rules, Seen, behind, compare_libraries, failures, judge, rest

ALWAYS = Rules(keeps_acknowledged=True, counts_handovers=True)
EVERYSEC = Rules(keeps_acknowledged=False, counts_handovers=True)
RDB = Rules(keeps_acknowledged=False, counts_handovers=False)
IDS = [f"{1000 + number}-0" for number in range(40)]
LATER = "5000-0"


def good(kind, **changes):
    """All is as it should be, but for the changes."""
    effects = dict.fromkeys(IDS, 1) if kind.effects else {}
    entries = [] if kind.trim else IDS
    return replace(Seen(IDS[-1], len(IDS), entries, effects, list(IDS), list(IDS)), **changes)


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
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB])
def test_nothing_is_wrong(name, rules):
    figures, told = found(name, rules)
    assert told == []
    assert figures == {
        "acknowledged": 40, "kept": 40, "skipped": 0, "effects twice": 0, "handed twice": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.effects])
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB])
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


@pytest.mark.parametrize("name", ["sync", "sync-trim"])
@pytest.mark.parametrize("rules", [ALWAYS, EVERYSEC, RDB])
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


@pytest.mark.parametrize(("name", "most"), [("async-1", 1), ("async-10", 10), ("async-10-trim", 10)])
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


@pytest.mark.parametrize(("name", "most"), [("sync", 1), ("async-1", 2), ("async-10", 20), ("async-10-trim", 20)])
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
    idle = {"name": "sync:1", "pending_ids": [], "last_error": "None"}
    sync, trim = KINDS["sync"], KINDS["sync-trim"]
    knowns = {"sync:1": Known(), "sync-trim:1": Known()}
    assert rest([idle], 0, {"sync:1": (sync, 3, 3), "sync-trim:1": (trim, 0, 3)}, knowns) == []
    assert rest([idle], 2, {}, knowns) == ["2 pending jobs"]
    assert len(rest([idle | {"pending_ids": ["1-0"]}], 0, {}, knowns)) == 1
    assert len(rest([idle], 0, {"sync:1": (sync, 3, 2), "sync-trim:1": (trim, 1, 3)}, knowns)) == 2
    assert rest([idle], 0, {"sync:1": (sync, 3, 2)}, {"sync:1": Known(missed={"1-0"})}) == []
    assert failures([idle]) == []
    assert failures([idle | {"last_error": "no"}]) == ["sync:1: last_error no"]


def test_behind():
    kinds = {"sync:1": KINDS["sync"], "sync:2": KINDS["sync"], "sync-trim:1": KINDS["sync-trim"]}
    at_its_end = {"name": "sync:1", "id_to_read_from": "7-0"}
    lasts = {"sync:1": "7-0", "sync:2": "0-0", "sync-trim:1": "9-0"}
    assert behind([at_its_end], kinds, lasts) == []
    assert behind([at_its_end], kinds, lasts | {"sync:2": "3-0"}) == ["sync:2 is at None, its end is 3-0"]
    assert behind([at_its_end], kinds, lasts | {"sync:1": "8-0"}) == ["sync:1 is at 7-0, its end is 8-0"]
