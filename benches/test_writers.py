"""The table of what a callback costs who writes."""

from benches.writers import CALLBACKS, SIZES, library, table


def test_each_figure_is_the_median_of_the_rounds():
    rounds = [{size: {"p50": number, "p99": 10 * number, "cpu": number / 2} for size in SIZES} for number in (30, 10, 200)]
    heading, _, row = table({"sync, empty": rounds}).splitlines()
    assert heading.count("|") == row.count("|") == len(SIZES) + 2
    assert row == "| sync, empty |" + " 30 / 300 / 15 |" * len(SIZES)


def test_each_callback_that_reads_is_in_a_library_of_its_own():
    codes = [library(callback) for callback in CALLBACKS if callback.code is not None]
    assert len(set(codes)) == len(CALLBACKS) - 1
    assert all(code.startswith("#!js name=bench\n") for code in codes)
