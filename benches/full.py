"""Everything that `make bench` measures, and docs/benchmarks.md of it.

Without a case all of them are measured, and page, plots and JSON are written. With cases only those are, and only their
tables are printed. A case is a table of run.py or one of its rows, a curve of scale.py, `latency`, or `memory`.
"""

import argparse
import contextlib
import datetime
import importlib.util
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import redis

from benches import latency, page, run, scale
from testing.waits import HarnessError

CURVES = {curve.key: curve for curve in scale.CURVES}
CASES = (*run.GROUPS, "latency", *CURVES, "memory")
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


def context(options: argparse.Namespace) -> dict:
    """What the figures depend on beside the code."""
    return {
        **run.machine_and_server(options),
        "cpu": cpu(),
        "kernel": f"{platform.system()} {platform.release()}",
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["python -m benches.full", *sys.argv[1:]]),
        "latency_requests": options.latency_requests,
    }


def grouped(results: list[run.Result]) -> list[dict]:
    """Rows for the JSON, each with its table."""
    groups = {row.key: group for group, rows in run.GROUPS.items() for row in rows}
    return [{"group": groups[row["row"]], **row} for row in run.rows_as_data(results)]


def measure(cases: list[str], options: argparse.Namespace) -> dict:
    """What the page is made of."""
    start = time.monotonic()
    data = {"schema": page.SCHEMA, "context": context(options)}
    rows = [case for case in cases if case not in CASES or case in run.GROUPS]
    data["rows"] = grouped(run.measure_all(run.chosen_rows(",".join(rows)), options)) if rows else []
    data["latency"] = latency.measure_all(options) if "latency" in cases else []
    data["curves"] = scale.measure_all([CURVES[case] for case in cases if case in CURVES], options, run.measure)
    data["memory"], data["process"] = [], []
    if "memory" in cases:
        with options.attempt("memory"):
            data["memory"] = scale.measure_memory(options, options.memory_streams)
        with options.attempt("memory of the process"):
            data["process"] = scale.measure_process(options)
    data["context"]["minutes"] = round((time.monotonic() - start) / 60, 1)
    return data


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
    parser.add_argument("cases", type=case, nargs="*", metavar="CASE", help=", ".join(CASES))
    options = parser.parse_args()
    options.progress = lambda text: print(text, file=sys.stderr)
    failed: list[str] = []

    @contextlib.contextmanager
    def attempt(what: str):
        """Goes on with the next figure where one fails."""
        try:
            yield
        except (HarnessError, redis.RedisError, OSError) as error:
            failed.append(what)
            print(f"FAILED: {what}:", error, *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)

    options.attempt = attempt
    try:
        if not importlib.util.find_spec("matplotlib"):
            raise HarnessError("there is no matplotlib to draw the plots with: run `scripts/setup bench` first")
        run.prepare(options, run.ROWS)
        data = measure(options.cases or list(CASES), options)
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
        print(f"Written: {page.PAGE}, and what it shows; {data['context']['minutes']} minutes")
    failed += [row["row"] for row in data["rows"] if row["error"]]
    if failed:
        sys.exit(f"bench: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
