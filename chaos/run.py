"""SIGKILL at random moments, again and again, and what becomes of entries, effects and cursors.

    make chaos
    python -m chaos.run --modes aof-always,replica --rounds 20 --seed 7 --json chaos.json

Four modes, each with one data set that lives through all of its rounds:

    aof-always      append-only file, synced always. In the second half without the RDB preamble
    aof-everysec    likewise, synced every second
    rdb             BGSAVE under load, every other kill while another BGSAVE is at work
    replica         the primary is killed, its replica takes over, the killed one comes back as a replica

A round: producers add entries, set keys that have triggers, and note what was acknowledged; after a random while
SIGKILL; the server starts again on its data, with nothing but its configuration; everything comes to rest; check
(verdict.py).

What must hold:

    * the server starts, and has its libraries, each with its owner, configuration and code
    * with aof-always every acknowledged entry is there. The other modes are judged against what the server kept: all up
      to the stream's last ID as found after the restart
    * every entry that was kept has its effect; none is skipped
    * the effect of a sync consumer is there once
    * of one stream, consumer and kill, at most a window of entries has its effect twice, and at most two windows of an
      async consumer's are handed over twice. With batches that is a window of batches
    * entries that always fail have one dead letter each, which tells of as many attempts as the consumer has for them;
      no others have one. Attempts that came to their end count once; pauses are as long as they have to be
    * dead letters can be redriven: there is the letter, or its entry's effect. What stopped with a failure stays so
      until it is told to go on
    * effects are in order where the consumer has one
    * GearsBuilder's registration with the policy "retry" skips nothing, and keeps the order
    * what a sync trigger writes is there once, exactly when its cause is: one transaction. On servers before 7.2, which
      cannot do that, it may be missing for what a client had sent last and had no answer to; never twice, nor without
      its cause. What is loaded, or comes from a primary, fires nothing
    * changes that a trigger adds to a stream are carried out by its consumer, each at least once and in order
    * streams that are to be trimmed are empty at rest, nothing is pending, no callback failed that was not to fail
    * the log has no internal error and no crash
    * primary and replica have the same data at rest

Violations are printed as they are found. The end is a table; the exit code is 1 if there was any violation, and the
servers' directory is then kept; from the first violation on, all logs are. --give-up 1 ends a mode with the data as it
was when something was found. The seed decides when is killed and what is added, but not what the kill finds.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from testing.launch import MODULE

try:
    import redis  # noqa: F401
except ImportError as missing:
    sys.exit(f"{missing}: run `make chaos`, or `pip install redis hiredis` first")

from chaos.modes import MODES
from chaos.rounds import Rounds
from chaos.verdict import KINDS
from testing.launch import find_program
from testing.waits import HarnessError

FIGURES = (
    *("acknowledged", "kept", "skipped", "sync twice", "sync missing"),
    *("cut off", "letters", "letters over a kill", "redriven"),
)


def table(results):
    """All results for people, in Markdown. Of what is handed over twice: the sum, then the most for one stream and one
    kill, and the window, which that must not exceed."""
    columns = [["", *(result.mode for result in results)], ["---", *("---:" for _ in results)]]
    columns.append(["rounds", *(result.rounds for result in results)])
    columns += [[what, *(result.totals[what] for result in results)] for what in FIGURES]
    columns += [[f"twice: {name}", *(twice(result, kind) for result in results)] for name, kind in KINDS.items()]
    columns.append(["skipped: async-idle", *(result.kinds["async-idle"]["skipped"] for result in results)])
    columns.append(["violations", *(len(result.violations) for result in results)])
    rows = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def twice(result, kind):
    """What was handed over twice of a kind."""
    counted = MODES[result.mode].rules.counts_handovers or (kind.effects and not kind.sync)
    if kind.bursts or not counted:
        return "–"
    return f"{result.kinds[kind.name]['handed twice']:,} ({result.most[kind.name]}/{kind.places})"


def as_json(options, results):
    """All results for programs."""
    modes = {}
    for result in results:
        kinds = {
            name: {
                "window": kind.window, "batch": kind.batch, "most handed twice": result.most[name],
                **result.kinds[name],
            }
            for name, kind in KINDS.items()
        }  # fmt: skip
        modes[result.mode] = {
            "server": result.version, "rounds": result.rounds, "seconds": round(result.seconds, 1),
            **result.totals, "kinds": kinds, "notes": result.notes,
            "violations": [{"round": number, "text": text} for number, text in result.violations],
        }  # fmt: skip
    return json.dumps({"seed": options.seed, "modes": modes}, indent=2)


def known_modes(text):
    """The argument of --modes."""
    names = text.split(",")
    if unknown := set(names) - set(MODES):
        raise argparse.ArgumentTypeError(f"no such mode: {', '.join(sorted(unknown))}")
    return names


def parse_options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modes", type=known_modes, default=list(MODES), metavar="MODE,...",
                        help=f"default: {','.join(MODES)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=200,
                        help="of each mode, half as many with a replica (%(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="default: any")
    parser.add_argument("--server", help="default: REDIS_SERVER, else redis-server")
    parser.add_argument("--module", type=Path, default=Path(MODULE), help="default: MODULE, else %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go for programs")
    parser.add_argument("--directory", type=Path, help="for the servers' files, which are kept; must be empty or new")
    parser.add_argument("--give-up", type=int, default=5, metavar="ROUNDS",
                        help="a mode ends after so many rounds with violations (%(default)s)")  # fmt: skip
    parser.add_argument("--deadline", type=float, default=30, metavar="SECONDS",
                        help="for a start, and for every answer (%(default)s)")  # fmt: skip
    return parser.parse_args()


def run_mode(name, options, directory):
    """All rounds of one mode."""
    chance = random.Random(f"{options.seed} {name}")
    mode = MODES[name](options, directory / name, chance)
    return Rounds(mode, options, chance).run()


def main():
    """All modes; ends with 1 if there was a violation."""
    options = parse_options()
    try:
        options.server = options.server or find_program("REDIS_SERVER", "redis-server")
        if not options.module.exists():
            raise HarnessError(f"no module at {options.module}: run `make build` first")
    except HarnessError as error:
        sys.exit(f"chaos: {error}")
    # Servers have working directories of their own.
    options.module = options.module.resolve()
    directory = (options.directory or Path(tempfile.mkdtemp(prefix="chaos-"))).resolve()
    if options.directory and directory.exists() and any(directory.iterdir()):
        sys.exit(f"chaos: {directory} is not empty")
    print(f"{options.server}, seed {options.seed}, files in {directory}", flush=True)
    # The servers do not end with their parent: see to it that it ends them.
    for ended in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended, lambda number, _: sys.exit(f"chaos: ended by signal {number}"))
    results = [run_mode(name, options, directory) for name in options.modes]
    print(f"\n{table(results)}\n")
    for result in results:
        notes = ", ".join(f"{what}: {count}" for what, count in sorted(result.notes.items()))
        print(f"{result.mode}: {result.version}, {result.seconds:.0f} s, {notes}")
    if options.json:
        options.json.write_text(as_json(options, results))
    if count := sum(len(result.violations) for result in results):
        sys.exit(f"{count} violations; the servers' files are in {directory}")
    if not options.directory:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
