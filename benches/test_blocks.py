"""The table of how often async code gets the server's lock."""

from benches.blocks import LOADS, Sample, table


def test_figures_are_medians_of_the_rounds_and_the_wait_is_the_longest():
    rounds = [Sample(10, 50, 100, 1), Sample(30, 90, 100, 9), Sample(20, 100, 100, 2)]
    *_, row = table({"SET": rounds}).splitlines()
    assert row == "| SET | 20 | 9 | 90 | 0.90 |"


def test_what_nobody_does_is_compared_with_nothing():
    heading, _, row = table({LOADS[0].title: [Sample(1234, 0, 0, 3)]}).splitlines()
    assert row == "| nothing | 1,234 | 3 |  |  |"
    assert heading.count("|") == row.count("|")
