"""The plots of docs/benchmarks.md: the same data give the same files, byte for byte."""

from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update(
    {
        "svg.hashsalt": "benchmarks",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "figure.facecolor": "white",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
)
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter

from benches.page import KINDS, functions, glance

COLORS = {"bare": "#8a8f98", "module": "#c6302b", "worker": "#2b6cb0"}
# Several series of a kind in one plot.
DASHES = ("-", "--", ":")
NUMBERS = FuncFormatter(lambda value, _: f"{value:,.0f}")


def save(figure, directory: Path, name: str) -> None:
    """Writes it, without a date."""
    figure.savefig(directory / f"{name}.svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    pyplot.close(figure)


def draw_glance(rows: list[dict], directory: Path) -> None:
    """Entries per second of the module, the bare server, and workers."""
    shown = glance(rows)
    if not shown:
        return
    figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(shown) + 0.8))
    titles = [title for title, _, _ in shown]
    axes.barh(titles, [median(rates) for _, _, rates in shown], color=[COLORS[kind] for _, kind, _ in shown])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(NUMBERS)
    axes.set_xlabel("entries/s")
    kinds = dict.fromkeys(kind for _, kind, _ in shown)
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=COLORS[kind]) for kind in kinds]
    axes.legend(handles, [KINDS[kind] for kind in kinds], loc="lower right", frameon=False)
    save(figure, directory, "glance")


def draw_latency(latency: list[dict], directory: Path) -> None:
    """Percentiles of each way."""
    if not latency:
        return
    figure, axes = pyplot.subplots(figsize=(8, 3.5))
    names = list(latency[0]["rounds"][0])
    width = 0.8 / len(names)
    for at, name in enumerate(names):
        places = [place + at * width for place in range(len(latency))]
        colors = [COLORS["module" if one["module"] else "worker"] for one in latency]
        heights = [median(each[name] for each in one["rounds"]) for one in latency]
        axes.bar(places, heights, width * 0.9, color=colors, alpha=1 - 0.3 * at)
        for place, height in zip(places, heights, strict=True):
            axes.text(place, height, name, ha="center", va="bottom", fontsize=7)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(NUMBERS)
    axes.set_xticks([place + width for place in range(len(latency))])
    axes.set_xticklabels([one["title"].replace(" XREADGROUP", "").replace(", ", ",\n") for one in latency])
    axes.set_ylabel("µs from XADD to effect")
    save(figure, directory, "latency")


def draw_functions(rows: list[dict], directory: Path) -> None:
    """Lua, a module's command, and JavaScript."""
    shown = functions(rows)
    if not any(rate for series in shown.values() for _, rate in series):
        return
    figure, axes = pyplot.subplots(figsize=(8, 3.5))
    for at, (title, series) in enumerate(shown.items()):
        color = (COLORS["worker"], COLORS["bare"], COLORS["module"])[at]
        axes.bar([place + at * 0.27 for place in range(len(series))], [rate for _, rate in series], 0.25, color=color, label=title)
    names = [name for name, _ in next(iter(shown.values()))]
    axes.set_xticks([place + 0.27 for place in range(len(names))])
    axes.set_xticklabels(names)
    axes.yaxis.set_major_formatter(NUMBERS)
    axes.set_ylabel("calls/s")
    axes.legend(frameon=False)
    save(figure, directory, "functions")


def draw_curve(curve: dict, directory: Path) -> None:
    """A line for each series, with the spread of the rounds."""
    figure, axes = pyplot.subplots(figsize=(8, 3.8))
    seen = dict.fromkeys(COLORS, 0)
    for series in curve["series"]:
        xs = [x for x, _ in series["points"]]
        rounds = [sorted(rates) for _, rates in series["points"]]
        color, dash = COLORS[series["kind"]], DASHES[seen[series["kind"]] % len(DASHES)]
        seen[series["kind"]] += 1
        axes.plot(xs, [rates[len(rates) // 2] for rates in rounds], dash, marker="o", markersize=4, color=color, label=series["title"])
        axes.fill_between(xs, [rates[0] for rates in rounds], [rates[-1] for rates in rounds], color=color, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(NUMBERS)
    axes.yaxis.set_minor_formatter(lambda *_: "")
    axes.set_xlabel(curve["x"])
    axes.set_ylabel("entries/s")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save(figure, directory, curve["key"])


def draw_all(data: dict, directory: Path) -> None:
    """Every plot that the page shows."""
    directory.mkdir(exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    draw_glance(data["rows"], directory)
    draw_latency(data["latency"], directory)
    draw_functions(data["rows"], directory)
    for curve in data["curves"]:
        draw_curve(curve, directory)
