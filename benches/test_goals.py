"""What is said of figures, and whether they will do.

    target/venv/bin/python -m pytest benches
"""

import argparse

import pytest

from benches import goals, pinger, run


def goal(bound, at_most=True):
    return goals.Goal("title", lambda it: it["part"]["figure"], bound, at_most)


def rounds(*values):
    return [{"part": {"figure": value}} for value in values]


@pytest.mark.parametrize(("values", "told"), [((3, 1, 2), "2 (1–3) ✓"), ((3, 9, 2), "3 (2–9) ✗"), ((2,), "2 ✓")])
def test_the_median_of_the_rounds_is_held_against_the_goal(values, told):
    assert goal(2).figure(rounds(*values)) == told


def test_a_goal_may_be_a_least_or_none_at_all():
    assert goal(2, at_most=False).figure(rounds(3)) == "3 ✓"
    assert goal(2, at_most=False).wanted() == "≥ 2"
    assert goal(None).figure(rounds(3)) == "3"
    assert goal(None).wanted() == ""


def test_a_round_without_the_figure_is_left_out():
    assert goal(2).figure([{}, *rounds(1), {"part": {}}]) == "1 ✓"
    assert goal(2).figure([{}]) == ""


def test_only_goals_of_which_something_is_known_are_shown_for_each_module():
    figures = {"before.so": [{"rows": {"sync": {"ratio": 0.5}}}], "after.so": [{"rows": {"sync": {"ratio": 0.6}}}]}
    head, _, *lines = goals.table(figures).splitlines()
    assert head == "| goal | wanted | before.so | after.so |"
    assert lines == ["| sync consumer, empty: share of bare XADD, no module | ≥ 0.55 | 0.50 ✗ | 0.60 ✓ |"]


def test_latency_is_held_against_the_fastest_worker():
    ways = {"sync": 90.0, "async": 100.0, "rust": 120.0, "node.js": 200.0, "python": 300.0}
    figures = {"latency": {key: dict.fromkeys(("p50", "p99", "p99.9"), value) for key, value in ways.items()}}
    assert goals.of_fastest_worker("sync", "p99")(figures) == 0.75


def test_modules_take_turns_and_what_has_no_noise_is_measured_once(monkeypatch):
    made = []
    for part in ("rows", "memory"):
        monkeypatch.setitem(goals.PARTS, part, lambda options, part=part: made.append((part, options.module)) or {})
    options = argparse.Namespace(interleaved=2, progress=lambda _: None, attempt=run.Attempts(print))
    goals.measure_all(["rows", "memory"], {"a": 1, "b": 2}, options, lambda _: None)
    assert made == [("rows", 1), ("rows", 2), ("memory", 1), ("memory", 2), ("rows", 1), ("rows", 2)]


def test_the_longest_ping_is_no_percentile():
    told = pinger.summary([0.001] * 98 + [0.002, 0.1])
    assert told == {"count": 100, "p50": 1.0, "p99": 2.0, "worst": 100.0}
