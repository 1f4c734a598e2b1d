"""Everything that `make bench` measures, and docs/benchmarks.md of it.

Without a case all of them are measured, and page, plots and JSON are written. With cases only those are, and only their
tables are printed. A case is a table of run.py or one of its rows, a curve of scale.py, `latency`, or `memory`.

What is measured is kept a part at a time, so that a run that was cut can be taken up again with `--resume`.
"""

import argparse
import datetime
import importlib.util
import json
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benches import latency, page, run, scale
from testing.launch import REPOSITORY
from testing.waits import HarnessError

CURVES = {curve.key: curve for curve in scale.CURVES}
CASES = (*run.GROUPS, "latency", *CURVES, "memory")
# What was measured so far.
PARTS = REPOSITORY / "target" / "benchmarks-so-far.json"
# In what a run that goes on has to be like the one that was cut.
SAME = ("server", "cores", "cpu", "commit", "requests", "rounds", "latency_requests")
# Of each way and round: enough for the last of thousand to be known.
LATENCY_REQUESTS = 5_000


def cpu() -> str:
    """What the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def commit() -> str:
    """Which state of the code it is."""
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    described = subprocess.run(words, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def command(arguments: list[str]) -> str:
    """What one enters to have the same measured, from its beginning."""
    rest = shlex.join(word for word in arguments if word not in ("--", "--resume"))
    return f"BENCH_ARGS={shlex.quote(rest)} make bench" if rest else "make bench"


def context(options: argparse.Namespace) -> dict:
    """What the figures depend on beside the code."""
    return {
        **run.machine_and_server(options),
        "cpu": cpu(),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "command": command(sys.argv[1:]),
        "latency_requests": options.latency_requests,
    }


def grouped(results: list[run.Result]) -> list[dict]:
    """Rows for the JSON, each with its table."""
    groups = {row.key: group for group, rows in run.GROUPS.items() for row in rows}
    return [{"group": groups[row["row"]], **row} for row in run.rows_as_data(results)]


def measure_rows(cases: list[str], options: argparse.Namespace) -> dict:
    """Rows of tables. A table asked for as a whole comes without the other tables' rows that it is compared with."""
    rows = grouped(run.measure_all(run.chosen_rows(",".join(cases)), options))
    groups = set(cases) if set(cases) <= set(run.GROUPS) else set(run.GROUPS)
    return {"rows": [row for row in rows if row["group"] in groups]}


def measure_memory(options: argparse.Namespace) -> dict:
    """What streams and the process take."""
    data = {}
    with options.attempt("memory"):
        data["memory"] = scale.measure_memory(options, options.memory_streams)
    with options.attempt("memory of the process"):
        data["process"] = scale.measure_process(options)
    return data


def parts(cases: list[str], options: argparse.Namespace) -> dict[str, Callable[[], dict]]:
    """What is to be measured, by name: each gives some of the page's data."""
    single = [case for case in cases if case in run.BY_KEY]
    tables = [case for case in cases if case in run.GROUPS]
    by_name = {}
    # What is asked for row by row is one table.
    for rows in [[*tables, *single]] if single else [[table] for table in tables]:
        by_name[" ".join(rows)] = lambda rows=rows: measure_rows(rows, options)
    if "latency" in cases:
        by_name["latency"] = lambda: {"latency": latency.measure_all(options)}
    for case in cases:
        if case in CURVES:
            by_name[case] = lambda case=case: {"curves": scale.measure_all([CURVES[case]], options, run.measure)}
    if "memory" in cases:
        by_name["memory"] = lambda: measure_memory(options)
    return by_name


def measure(by_name: dict[str, Callable[[], dict]], data: dict, keep: Callable[[dict], None]) -> dict:
    """Measures what is not there yet, and has it kept after each part."""
    for name, part in by_name.items():
        if name in data["parts"]:
            continue
        start = time.monotonic()
        for key, values in part().items():
            data[key] += values
        data["parts"].append(name)
        data["context"]["minutes"] = round(data["context"]["minutes"] + (time.monotonic() - start) / 60, 1)
        keep(data)
    return data


def keep(data: dict) -> None:
    """Leaves the former state, or the new one, wherever it is cut."""
    new = PARTS.with_suffix(".new")
    new.write_text(json.dumps(data, indent=1) + "\n")
    new.replace(PARTS)


def beginning(options: argparse.Namespace) -> dict:
    """No figures yet; or with `--resume` those of the run that was cut, which has to have been of the same kind."""
    now = {"schema": page.SCHEMA, "context": {**context(options), "minutes": 0.0}, "parts": []}
    now |= {key: [] for key in ("rows", "latency", "curves", "memory", "process")}
    if not options.resume:
        return now
    if not PARTS.exists():
        raise HarnessError(f"there is no {PARTS} to go on with")
    kept = json.loads(PARTS.read_text())
    different = [key for key in SAME if kept["context"].get(key) != now["context"][key]]
    if different:
        told = ", ".join(f"{key} {kept['context'].get(key)} and now {now['context'][key]}" for key in different)
        raise HarnessError(f"{PARTS} is of another kind of run: {told}")
    return kept


def case(text: str) -> str:
    """An argument that has to be a case."""
    if text not in CASES and text not in run.BY_KEY:
        raise argparse.ArgumentTypeError(f"no case {text}; there are: {', '.join(CASES)}, and rows: {', '.join(run.BY_KEY)}")
    return text


def main() -> None:
    """Measures; ends with 1 if something failed."""
    parser = run.arguments(__doc__.splitlines()[0])
    # Three rounds of everything take less than 25 minutes on two cores.
    parser.set_defaults(requests=200_000)
    parser.add_argument("--latency-requests", type=run.positive, default=LATENCY_REQUESTS, help="entries per way and round")
    parser.add_argument("--memory-streams", type=run.positive, nargs="+", default=[10_000, 1_000_000], metavar="STREAMS",
                        help="how many streams are held against each other without and with consumers")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with a run that was cut: its whole parts are kept")
    parser.add_argument("cases", type=case, nargs="*", metavar="CASE", help=", ".join(CASES))
    options = parser.parse_args()
    if options.cases and options.resume:
        parser.error("--resume goes on with a run of everything, without cases")
    options.progress = lambda text: print(text, file=sys.stderr)
    options.attempt = attempts = run.Attempts(options.progress)
    try:
        if not importlib.util.find_spec("matplotlib"):
            raise HarnessError("there is no matplotlib to draw the plots with: run `scripts/setup bench` first")
        cases = options.cases or list(CASES)
        rows = [case for case in cases if case in {*run.GROUPS, *run.BY_KEY}]
        # What is no row needs the module.
        run.prepare(options, run.chosen_rows(",".join(rows or ["sync"])))
        data = measure(parts(cases, options), beginning(options), (lambda _: None) if options.cases else keep)
    except HarnessError as error:
        sys.exit(f"bench: {error}" + "\n".join(["", *getattr(error, "__notes__", [])]))
    page.check(data)
    if options.json:
        options.json.write_text(json.dumps(data, indent=1) + "\n")
    if options.cases:
        print(page.to_markdown(data))
    else:
        page.DATA.write_text(json.dumps(data, indent=1) + "\n")
        page.main()
        PARTS.unlink(missing_ok=True)
        print(f"Written: {page.PAGE}, and what it shows; {data['context']['minutes']} minutes")
    failed = attempts.failed + [row["row"] for row in data["rows"] if row["error"]]
    if failed:
        sys.exit(f"bench: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
