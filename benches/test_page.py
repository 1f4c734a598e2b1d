"""The page that is made of the figures, and the figures that are made of samples.

    target/venv/bin/python -m pytest benches
"""

import pytest

from benches import full, latency, page, scale

CONTEXT = {
    "server": "redis 8", "cores": 2, "cpu": "a processor", "date": "2026-01-01", "commit": "abc",
    "command": "make bench", "minutes": 1.5, "load_before": 0.1, "clients": 50, "pipeline": 16, "requests": 10, "rounds": 3,
}  # fmt: skip


def row(key, rps, baseline="bare", error=None, group="streams"):
    return {
        "group": group, "row": key, "title": f"title of {key}", "error": error, "rps": rps, "baseline": baseline,
        "ratio": [one / 100 for one in rps], "twin": None, "twin_ratio": [],
    }  # fmt: skip


def data(**parts):
    return {"schema": 1, "context": CONTEXT, "rows": [], "latency": [], "curves": [], "memory": [], "process": [], **parts}


def test_what_is_complete_is_taken():
    page.check(data())


@pytest.mark.parametrize("part", ["schema", "context", "rows", "latency", "curves", "memory", "process"])
def test_data_that_lack_a_part_are_refused(part):
    with pytest.raises(ValueError, match=part):
        page.check({key: value for key, value in data().items() if key != part})


def test_a_machine_that_is_not_named_is_refused():
    with pytest.raises(ValueError, match="cpu"):
        page.check(data(context={key: value for key, value in CONTEXT.items() if key != "cpu"}))


def test_the_page_says_machine_versions_command_and_date():
    text = page.to_markdown(data())
    assert all(word in text for word in ("a processor", "redis 8", "abc", "make bench", "2026-01-01"))


def test_a_row_shows_its_median_its_ratios_and_to_what():
    text = page.to_markdown(data(rows=[row("bare", [100, 100, 100]), row("sync", [40, 60, 50])]))
    assert "| title of sync | 50 (40–60) | 0.50 (0.40–0.60) | title of bare |" in text


def test_a_row_that_failed_says_so_and_is_in_no_plot():
    rows = [row("bare", [100]), row("sync", [], error="no")]
    assert "| title of sync | failed |  | title of bare |" in page.to_markdown(data(rows=rows))
    assert [title for title, _, _ in page.glance(rows)] == ["title of bare"]


def test_module_bare_server_and_worker_are_told_apart_at_a_glance():
    rows = [row(key, [100]) for key in ("bare", "sync", "rust-100")]
    assert [kind for _, kind, _ in page.glance(rows)] == ["bare", "module", "worker"]


def test_a_curve_has_a_line_for_each_number_even_where_a_series_lacks_it():
    series = [
        {"title": "one", "kind": "bare", "points": [[1, [5.0]]]},
        {"title": "another", "kind": "module", "points": [[1, [3.0, 1.0, 2.0]], [1000, [4.0]]]},
    ]
    head, lines = page.curve_table({"x": "streams", "series": series})
    assert head == ["streams", "one", "another"]
    assert lines == [["1", "5", "2 (1–3)"], ["1,000", "", "4"]]


def test_functions_are_shown_beside_their_twins_and_nothing_where_there_is_none():
    shown = page.functions([row("lua-empty", [10.0], group="functions"), row("js-empty", [20.0], group="functions")])
    assert [series[0][1] for series in shown.values()] == [10.0, 0.0, 20.0]


def test_percentiles_are_values_that_were_measured():
    ordered = [float(one) for one in range(1, 1001)]
    assert [latency.percentile(ordered, part) for part in (0.5, 0.99, 0.999, 1)] == [500, 990, 999, 1000]
    assert latency.percentile([7.0], 0.999) == 7


def test_a_summary_is_in_microseconds():
    assert latency.summary([0.001] * 10) == {"p50": 1000, "p99": 1000, "p99.9": 1000}


def test_a_command_is_what_the_server_reads():
    assert latency.words("GET", "k") == b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"


def test_every_curve_has_the_module_and_the_bare_server():
    for curve in scale.CURVES:
        assert {"module", "bare"} <= {series.kind for series in curve.series}, curve.key
        assert all(curve.requests(x) >= 1000 for x in curve.xs), curve.key


def test_of_a_percentile_the_median_of_the_rounds_is_shown_with_its_spread():
    rounds = [{"p50": 3.0}, {"p50": 1.0}, {"p50": 2.0}]
    _, lines = page.latency_table([{"title": "one", "samples": 30, "rounds": rounds}])
    assert lines == [["one", "2 (1–3)", "30"]]


def test_a_run_that_was_cut_goes_on_where_it_was_and_keeps_each_part():
    begun = {"context": {"minutes": 0.0}, "parts": ["first"], "rows": ["of first"], "latency": []}
    kept = []
    parts = {"first": lambda: pytest.fail("it is there"), "second": lambda: {"rows": ["of second"], "latency": [1]}}
    data = full.measure(parts, begun, lambda data: kept.append(list(data["parts"])))
    assert data["rows"] == ["of first", "of second"]
    assert data["latency"] == [1]
    assert kept == [["first", "second"]]


def test_everything_that_can_be_asked_for_is_a_part_of_a_whole_run():
    assert list(full.parts(list(full.CASES), None)) == list(full.CASES)


def test_what_is_asked_for_row_by_row_is_measured_together():
    assert list(full.parts(["sync", "async-50", "memory"], None)) == ["sync async-50", "memory"]


def test_the_command_is_that_of_a_whole_run():
    assert full.command(["--"]) == "make bench"
    assert full.command(["--rounds", "5", "--resume", "--"]) == "BENCH_ARGS='--rounds 5' make bench"
