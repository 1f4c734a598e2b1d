"""What is kept of instruction counts, and what is said of new ones.

    target/venv/bin/python -m pytest benches
"""

import pytest

from benches.instructions import KEPT, Baseline, Figure, accepted, lost, parse, to_text, verdict

BASELINE = Baseline("Rust 1", {"one": Figure(1000, "as it began"), "another": Figure(20, "a better way")})


def test_what_is_written_is_read_again():
    assert parse(to_text(BASELINE)) == BASELINE


@pytest.mark.parametrize("line", ["one", "one 1000", "one many as it began"])
def test_a_line_without_a_count_or_a_reason_is_refused(line):
    with pytest.raises(ValueError, match="not a case"):
        parse(f"built by: Rust 1\n{line}\n")


def test_what_is_in_the_repository_can_be_read():
    assert parse(KEPT.read_text()).figures


@pytest.mark.parametrize(("count", "fails"), [(1051, True), (1050, False), (1000, False), (10, False)])
def test_more_than_five_per_cent_more_fails(count, fails):
    assert verdict(BASELINE, "one", count).startswith("FAILED") == fails


def test_a_failure_says_what_was_kept_and_why():
    assert verdict(BASELINE, "one", 1100) == "FAILED: +10.0% against 1,000 (as it began)"


def test_a_case_of_which_nothing_is_kept_fails():
    assert verdict(BASELINE, "new", 1).startswith("FAILED")


def test_a_case_that_got_cheaper_asks_to_be_kept():
    assert "ACCEPT" in verdict(BASELINE, "one", 900)


def test_only_what_has_changed_gets_the_new_reason():
    kept = accepted(BASELINE, {"one": 1009, "another": 30, "new": 5}, "Rust 2", "a feature")
    assert kept == Baseline(
        "Rust 2",
        {"one": Figure(1000, "as it began"), "another": Figure(30, "a feature"), "new": Figure(5, "a feature")},
    )


def test_a_kept_figure_without_a_case_shows():
    assert lost(BASELINE, ["one"]) == ["another"]
