"""docs/benchmarks.md, made of docs/benchmarks.json: tables, and plots in docs/benchmarks/.

    python -m benches.page     # draws both anew, and measures nothing
"""

import json
import statistics
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
DATA = DOCS / "benchmarks.json"
PAGE = DOCS / "benchmarks.md"
PLOTS = DOCS / "benchmarks"
SCHEMA = 1
# The rows that a reader sees first, by key, and what they stand for.
GLANCE = (
    ("bare", "bare"), ("sync", "module"), ("sync-trim", "module"), ("async-50", "module"), ("async-50-trim", "module"),
    ("rust-100", "worker"), ("node-100", "worker"), ("worker-100", "worker"),
)  # fmt: skip
FUNCTIONS = ("empty", "get", "set", "incr", "get-10", "incr-10")
KINDS = {"bare": "bare server", "module": "module", "worker": "worker beside the server"}

Table = tuple[list[str], list[list[str]]]


def check(data: dict) -> None:
    """Raises `ValueError` where it is not what `benches.full` writes."""
    if data.get("schema") != SCHEMA:
        raise ValueError(f"the data are of schema {data.get('schema')}, expected {SCHEMA}")
    for key, kind in {"context": dict, "rows": list, "latency": list, "curves": list, "memory": list, "process": list}.items():
        if not isinstance(data.get(key), kind):
            raise ValueError(f"there is no {kind.__name__} {key}")
    missing = {"server", "cores", "cpu", "date", "commit", "command", "minutes", "load_before"} - set(data["context"])
    if missing:
        raise ValueError(f"the context lacks {', '.join(sorted(missing))}")


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A table; all but the first column are numbers."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def ratio(value: float) -> str:
    """A ratio with two digits that mean something."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def spread(values: list[float], show=ratio) -> str:
    """The median, and where there are several the smallest and the largest; empty where there are none."""
    if not values:
        return ""
    low, middle, high = (show(f(values)) for f in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def count(value: float) -> str:
    """A large number."""
    return f"{value:,.0f}"


def glance(rows: list[dict]) -> list[tuple[str, str, list[float]]]:
    """What a reader sees first: title, kind, entries per second in each round."""
    by_key = {row["row"]: row for row in rows if not row["error"]}
    return [(by_key[key]["title"], kind, by_key[key]["rps"]) for key, kind in GLANCE if key in by_key]


def row_table(rows: list[dict], titles: dict[str, str]) -> Table:
    """Rates and what they are compared with."""
    has_twin = any(row["twin"] for row in rows)
    head = ["", "per second (min–max)", "ratio (min–max)", "to", *(("ratio (min–max)", "to") if has_twin else ())]
    lines = []
    for row in rows:
        cells = ["failed", ""] if row["error"] else [spread(row["rps"], count), spread(row["ratio"])]
        cells.append("" if row["baseline"] == row["row"] else titles.get(row["baseline"], row["baseline"]))
        if has_twin:
            cells += [spread(row["twin_ratio"]), titles.get(row["twin"], "") if row["twin"] else ""]
        lines.append([row["title"], *cells])
    return head, lines


def latency_table(latency: list[dict]) -> Table:
    """Percentiles in microseconds: of each the median of the rounds."""
    names = list(latency[0]["rounds"][0])
    head = ["", *(f"{name}, µs (min–max)" for name in names), "entries"]
    return head, [
        [one["title"], *(spread([each[name] for each in one["rounds"]], count) for name in names), count(one["samples"])]
        for one in latency
    ]


def curve_table(curve: dict) -> Table:
    """A line for each number of something, a column for each series."""
    xs = sorted({x for one in curve["series"] for x, _ in one["points"]})
    columns = [{x: spread(rates, count) for x, rates in one["points"]} for one in curve["series"]]
    return [curve["x"], *(one["title"] for one in curve["series"])], [
        [count(x), *(column.get(x, "") for column in columns)] for x in xs
    ]


def memory_table(memory: list[dict]) -> Table:
    """Bytes of used_memory for each stream."""
    head = ["idle streams", "entries of each", "bytes a stream, first consumer", "bytes a stream, second consumer"]
    return head, [
        [count(one["streams"]), count(one["entries"]), count(one["first_consumer"]), count(one["second_consumer"])]
        for one in memory
    ]


def process_table(process: list[dict]) -> Table:
    """What a process takes."""
    return ["", "RSS, MB", "used_memory, MB"], [
        [one["title"], f"{one['rss'] / 1e6:.1f}", f"{one['used_memory'] / 1e6:.1f}"] for one in process
    ]


def functions(rows: list[dict]) -> dict[str, list[tuple[str, float]]]:
    """What the plot of functions shows: for Lua, the module's command and JavaScript the calls per second of each."""
    by_key = {row["row"]: row for row in rows if not row["error"]}
    shown = {}
    for title, key in (("Lua", "lua"), ("a module's command", "native"), ("JavaScript", "js")):
        found = [(name, by_key.get(f"{key}-{name}")) for name in FUNCTIONS]
        shown[title] = [(name, statistics.median(row["rps"]) if row else 0.0) for name, row in found]
    return shown


def to_markdown(data: dict) -> str:
    """The page."""
    context, rows = data["context"], data["rows"]
    titles = {row["row"]: row["title"] for row in rows}
    parts = [
        "# Benchmarks",
        "Written by `make bench`; do not edit. The figures are in [benchmarks.json](benchmarks.json), what is measured and\n"
        "how to read it in [benches/README.md](../benches/README.md).",
        markdown(["", ""], [
            ["server", context["server"]],
            ["machine", f"{context['cpu']}, {context['cores']} cores shared by server, clients and workers"],
            ["module", f"commit `{context['commit']}`"],
            ["date", f"{context['date']}, {context['minutes']} minutes; load before the start: {context['load_before']}"],
            ["clients", f"`redis-benchmark -c {context['clients']} -P {context['pipeline']} -n {context['requests']}`; "
                        f"interleaved rounds: {context['rounds']}; medians"],
            ["command", f"`{context['command']}`"],
        ]).replace("---:", "---"),
    ]  # fmt: skip

    def add(title: str, plot: str | None, text: str, table: Table) -> None:
        picture = [f"![{title}](benchmarks/{plot}.svg)"] if plot else []
        parts.extend([f"## {title}", *([text] if text else []), *picture, markdown(*table)])

    if shown := glance(rows):
        lines = [[title, KINDS[kind], spread(rates, count)] for title, kind, rates in shown]
        text = "Entries of one stream, read as fast as they are written."
        add("At a glance", "glance", text, (["", "", "entries/s (min–max)"], lines))
    if data["latency"]:
        text = (
            "From the `XADD` that a client sends to the effect that another one sees, one entry after another, without a\n"
            "pipeline."
        )
        add("Latency", "latency", text, latency_table(data["latency"]))
    for group, title in (
        ("streams", "Streams"), ("options", "Consumer options"), ("functions", "Functions"), ("triggers", "Triggers"),
    ):  # fmt: skip
        if chosen := [row for row in rows if row["group"] == group]:
            add(title, "functions" if group == "functions" else None, "", row_table(chosen, titles))
    for curve in data["curves"]:
        add(curve["title"], curve["key"], "Entries per second (min–max).", curve_table(curve))
    if data["memory"]:
        text = "What `used_memory` grows by where a consumer that has nothing to do knows the streams."
        add("Memory of idle streams", None, text, memory_table(data["memory"]))
    if data["process"]:
        add("Memory of the process", None, "", process_table(data["process"]))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Draws the page and its plots anew."""
    from benches import plots

    data = json.loads(DATA.read_text())
    check(data)
    PAGE.write_text(to_markdown(data))
    plots.draw_all(data, PLOTS)


if __name__ == "__main__":
    main()
