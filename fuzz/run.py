"""Random operations on a primary and its replica while producers are at work, and what must hold whenever all is at rest.

    make fuzz
    python -m fuzz.run --minutes 5 --seed 7 --server ~/.cache/gears-servers/valkey-9/bin/valkey-server
    python -m fuzz.run --replay fuzz-7-12.json

A round: a few hundred operations (operations.py), made from the seed before the first is done: libraries of every kind
(libraries.py) that are loaded, upgraded and deleted, streams and keys that are changed in every way, forks, changes of
roles and limits, clients that leave and listen. Then everything is brought to rest and judged (judge.py):

    * both servers are alive, and their logs tell of no internal error and no crash
    * every command was answered
    * nothing is pending in INFO and LIST, and no consumer that runs stands still before entries
    * the replica has the same data, and its consumers are at the same places
    * when all is deleted, no isolate is left, and what the servers take does not grow from round to round
      (memory.py)

What is found is kept as a file of operations, which `--replay` does again, and is then made shorter: operations are left
out as long as the fault still shows, on fresh servers each time (shrink.py). What depends on time is tried several times.
The seed decides what is done, but not how producers and workers interleave with it.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fuzz.judge import clean, come_to_rest
from fuzz.memory import Memory
from fuzz.operations import generate
from fuzz.scene import Finding, Scene
from fuzz.shrink import shrink
from testing.launch import MODULE, REDIS_SERVER

OPERATIONS = 300
# Rounds on the same servers, before new ones are started.
LIFE = 25
# In which round of a life each server has been the primary: the first time it takes 1 MB for good.
FIRST_SWAP = 2
SWAP = {"db": 0, "do": "roles", "how": "swap", "kind": "roles"}
# How long memory may take to come back: V8 keeps free pages for a while.
MEMORY_WAIT = 20
# Operations of a finding that are printed.
SHOWN = 12


def parse_options():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="how long (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1 << 31, help="how many at most (no limit)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="default: any")
    parser.add_argument("--server", default=REDIS_SERVER, help="default: REDIS_SERVER, else redis-server")
    parser.add_argument("--module", type=Path, default=Path(MODULE), help="default: MODULE, else %(default)s")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="the operations of a finding, once more")
    parser.add_argument("--without", default="", metavar="KIND,...", help="kinds of operations that are left out")
    parser.add_argument("--tries", type=int, default=3, help="how often a list is tried before it counts as harmless (%(default)s)")
    parser.add_argument("--attempts", type=int, default=60, help="lists that are tried to make it shorter, 0 for none (%(default)s)")
    parser.add_argument("--findings", type=int, default=1, help="how many end the run (%(default)s)")
    parser.add_argument("--any-memory", action="store_true", help="memory may grow, as it does under a sanitizer")
    parser.add_argument("--keep", type=Path, default=Path(), metavar="FOLDER", help="where findings go (the current folder)")
    return parser.parse_args()


class Fuzz:
    """One run."""

    def __init__(self, options, directory):
        self._options = options
        self._directory = directory
        self._lives = 0
        self.counts = Counter()
        self.refused = Counter()
        self.rounds = 0
        self.found = []

    def run(self):
        """Rounds until the time is over, or enough was found."""
        end = time.monotonic() + self._options.minutes * 60
        while not self._is_over(end) and len(self.found) < self._options.findings:
            self._life(end)

    def _is_over(self, end):
        return self.rounds >= self._options.rounds or time.monotonic() > end

    def _life(self, end):
        scene = self._start()
        memory, past = Memory(), []
        try:
            for number in range(LIFE):
                if self._is_over(end):
                    break
                operations = [SWAP] * (number == FIRST_SWAP) + self._operations(self.rounds)
                self.rounds += 1
                past.append(operations)
                try:
                    self._round(scene, operations)
                    if not self._options.any_memory:
                        self._check_memory(scene, memory)
                except Finding as finding:
                    self._note(finding, past)
                    break
        finally:
            self._end(scene)

    def _operations(self, number):
        left_out = set(filter(None, self._options.without.split(",")))
        made = generate(f"{self._options.seed}/{number}", OPERATIONS)
        return [one for one in made if one["kind"] not in left_out]

    def _start(self):
        self._lives += 1
        which = {"program": self._options.server, "module_file": self._options.module.resolve()}
        return Scene(self._directory / f"life-{self._lives}", **which)

    def _end(self, scene):
        self.counts += scene.counts
        self.refused += scene.refused
        scene.close()
        if not self.found:
            shutil.rmtree(self._directory / f"life-{self._lives}", ignore_errors=True)

    @staticmethod
    def _round(scene, operations):
        scene.produce(True)
        for operation in operations:
            scene.do(operation)
        come_to_rest(scene)
        clean(scene)

    @staticmethod
    def _check_memory(scene, memory):
        if not memory.end_round():
            memory.learn(scene.memory())
            return
        end = time.monotonic() + MEMORY_WAIT
        while grown := memory.grown(scene.memory()):
            if time.monotonic() > end:
                raise Finding(f"memory is not given back: {'; '.join(grown)}")
            time.sleep(0.5)

    def fails(self, operations, tries=None):
        """The finding that these operations lead to on fresh servers, if any."""
        for _ in range(tries or self._options.tries):
            scene = self._start()
            try:
                self._round(scene, operations)
            except Finding as finding:
                return finding
            finally:
                scene.close()
                shutil.rmtree(self._directory / f"life-{self._lives}", ignore_errors=True)
        return None

    def _note(self, finding, past):
        print(f"FINDING in round {self.rounds - 1} of seed {self._options.seed}: {finding}", flush=True)
        file = self._options.keep / f"fuzz-{self._options.seed}-{self.rounds - 1}.json"
        self.found.append(file)
        self._save(file, past[-1], finding)
        if self._options.attempts == 0 or "memory is not" in str(finding):
            return
        whole = past[-1] if self.fails(past[-1]) else [one for operations in past[-3:] for one in operations]
        if whole is not past[-1] and not self.fails(whole):
            print("it did not come again on fresh servers", flush=True)
            return
        shorter, left = shrink(whole, self.fails, self._options.attempts)
        self._save(file, shorter, finding)
        print(f"made shorter: {len(shorter)} operations of {len(whole)}, {left} attempts left, in {file}", flush=True)
        if len(shorter) <= SHOWN:
            print("\n".join(json.dumps(one) for one in shorter), flush=True)

    def _save(self, file, operations, finding):
        kept = {"seed": self._options.seed, "server": self._options.server, "finding": str(finding), "operations": operations}
        file.write_text(json.dumps(kept, indent=1))

    def summary(self):
        """What was done."""
        total = sum(self.counts.values())
        lines = [f"{self.rounds} rounds, {total:,} operations of {len(self.counts)} kinds, {sum(self.refused.values()):,} refused"]
        lines += [f"  {count:7,}  {kind} ({self.refused[kind]:,} refused)" for kind, count in sorted(self.counts.items())]
        return "\n".join(lines)


def main():
    """One run, or one replay; ends with 1 if something was found."""
    options = parse_options()
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for ended in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended, lambda number, _: sys.exit(f"fuzz: ended by signal {number}"))
    fuzz = Fuzz(options, directory)
    if options.replay:
        finding = fuzz.fails(json.loads(options.replay.read_text())["operations"])
        sys.exit(f"FINDING: {finding}" if finding else 0)
    print(f"{options.server}, seed {options.seed}, files in {directory}", flush=True)
    fuzz.run()
    print(fuzz.summary())
    if fuzz.found:
        sys.exit(f"{len(fuzz.found)} findings: {', '.join(map(str, fuzz.found))}; the servers' files are in {directory}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
