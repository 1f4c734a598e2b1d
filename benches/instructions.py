"""How many instructions the hot paths take, against the figures that are kept.

Builds crates/gears-v8/benches/instructions, runs each of its cases under callgrind, and compares the counts with
instructions.txt beside this file. Ends with 1 where a case takes 5 % more than is written there. Where that is as it
has to be, say why: the new figure is then kept with the reason.

    python -m benches.instructions [CASE ...] [--accept "why"]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

KEPT = Path(__file__).with_suffix(".txt")
# The counts are the same at each run: what is left is what another order of functions in the program changes.
GROWTH = 0.05
# A smaller change is not written down.
CHANGE = 0.01
HEAD = """\
# Instructions that each case of crates/gears-v8/benches/instructions takes; docs/building.md says how they are used.
# A line is: case, count, and why it is that and no longer what it was. Written by
#     make instructions ACCEPT="why"
"""
BUILT_BY = "built by: "


@dataclass(frozen=True)
class Figure:
    """What is kept of a case."""

    count: int
    reason: str


@dataclass(frozen=True)
class Baseline:
    """What is kept."""

    built_by: str
    figures: dict[str, Figure]


def parse(text: str) -> Baseline:
    """What the file says."""
    built_by, figures = "", {}
    for line in text.splitlines():
        if line.startswith(BUILT_BY):
            built_by = line.removeprefix(BUILT_BY)
        elif line.strip() and not line.startswith("#"):
            match line.split(maxsplit=2):
                case [name, count, reason] if count.isdecimal():
                    figures[name] = Figure(int(count), reason)
                case _:
                    raise ValueError(f"not a case, a count and a reason: {line}")
    return Baseline(built_by, figures)


def to_text(baseline: Baseline) -> str:
    """The file that says so."""
    width = max(map(len, baseline.figures), default=0)
    lines = [f"{name:{width}} {figure.count:>9}  {figure.reason}" for name, figure in baseline.figures.items()]
    return "\n".join([HEAD + BUILT_BY + baseline.built_by, *lines, ""])


def growth(figure: Figure, count: int) -> float:
    """How much more it is than it was, as a part of that."""
    return count / figure.count - 1


def accepted(baseline: Baseline, counts: dict[str, int], built_by: str, reason: str) -> Baseline:
    """What is kept from now on. Where nothing has changed, the old figure and its reason stay."""
    figures = dict(baseline.figures)
    for name, count in counts.items():
        if name not in figures or abs(growth(figures[name], count)) >= CHANGE:
            figures[name] = Figure(count, reason)
    return Baseline(built_by, figures)


def lost(baseline: Baseline, known: list[str]) -> list[str]:
    """Cases that a figure is kept of, and that are no more."""
    return [name for name in baseline.figures if name not in known]


def verdict(baseline: Baseline, name: str, count: int) -> str:
    """What is to be said of a case; begins with `FAILED` where it is not as it should be."""
    figure = baseline.figures.get(name)
    if figure is None:
        return "FAILED: nothing is kept of it"
    change = growth(figure, count)
    if count > figure.count * (1 + GROWTH):
        return f"FAILED: {change:+.1%} against {figure.count:,} ({figure.reason})"
    if count < figure.count * (1 - GROWTH):
        return f"{change:+.1%}: keep that, with ACCEPT"
    return f"{change:+.1%}"


def output(*command: str, **options) -> str:
    """What a program prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def build() -> tuple[str, str]:
    """The program, and what built it: the counts of different compilers cannot be compared."""
    messages = output(
        "scripts/cargo", "build", "--release", "-p", "gears-v8", "--bench", "instructions",
        "--message-format", "json-render-diagnostics",
    )  # fmt: skip
    found = [json.loads(line) for line in messages.splitlines()]
    [program] = [one["executable"] for one in found if one["reason"] == "compiler-artifact" and one["executable"]]
    about = dict(re.findall(r"^(release|host): (.*)$", output("scripts/cargo", "-Vv"), re.MULTILINE))
    [v8] = re.findall(r'^v8 = "=(.*)"', Path("crates/gears-v8/Cargo.toml").read_text(), re.MULTILINE)
    return program, f"Rust {about['release']} for {about['host']}, V8 {v8}"


def count(program: str, name: str) -> int:
    """Instructions of one step of a case."""
    with tempfile.TemporaryDirectory(prefix="instructions-") as directory:
        out = Path(directory, "out")
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=instructions::measured",
             f"--callgrind-out-file={out}", program, name],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
        )  # fmt: skip
        if run.returncode != 0:
            raise RuntimeError(f"{name} failed under callgrind:\n{run.stdout}")
        [times] = re.findall(r"^(\d+)$", run.stdout, re.MULTILINE)
        [total] = re.findall(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)[-1:]
    if int(total) == 0:
        raise RuntimeError(f"nothing was counted of {name}")
    return round(int(total) / int(times))


def main() -> None:
    """Counts, and compares or keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only those whose names begin like this")
    parser.add_argument("--accept", metavar="WHY", default="", help="keep the counts of today, for this reason")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("instructions: there is no valgrind on the path; `make instructions` installs it or says how")
    baseline = parse(KEPT.read_text()) if KEPT.exists() else Baseline("", {})
    program, built_by = build()
    known = output(program).split()
    names = [name for name in known if not options.cases or name.startswith(tuple(options.cases))]
    if not names:
        sys.exit(f"instructions: no such case; there are: {', '.join(known)}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip(names, pool.map(lambda name: count(program, name), names), strict=True))
    verdicts = {name: verdict(baseline, name, counts[name]) for name in names}
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}} {counts[name]:>9,}  {verdicts[name]}")
    if reason := options.accept.strip():
        kept = accepted(baseline, counts, built_by, reason)
        gone = lost(kept, known)
        kept = Baseline(built_by, {name: kept.figures[name] for name in known if name in kept.figures})
        KEPT.write_text(to_text(kept))
        print(f"Kept in {KEPT}" + (f", without {', '.join(gone)}" if gone else ""))
        return
    if baseline.built_by != built_by:
        print(f"The kept figures are of {baseline.built_by}, these of {built_by}: they are not compared in earnest.")
        return
    if gone := lost(baseline, known):
        sys.exit(f"FAILED: there is no case any more for {', '.join(gone)}")
    if any(text.startswith("FAILED") for text in verdicts.values()):
        sys.exit('Make it cheaper, or say why it has to be so: make instructions ACCEPT="why"')


if __name__ == "__main__":
    main()
