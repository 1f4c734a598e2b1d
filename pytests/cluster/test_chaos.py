"""Primaries are killed, replaced and stopped under load: no entry is skipped. `chaos/cluster.py` does it for longer."""

import random

from chaos.cluster import KINDS_HERE, Chaos
from chaos.runs import Runs

SECONDS = 8


def test_nothing_is_skipped_whatever_happens_to_primaries(tmp_path, measured):
    seed = random.randrange(1 << 31)
    chaos = Chaos(tmp_path, seed)
    chaos.run(SECONDS)
    assert not chaos.violations, (seed, chaos.violations[:10])
    assert chaos.totals["kept"] > len(KINDS_HERE)
    strikes = ", ".join(f"{name} {count}" for name, count in sorted(chaos.strikes.items()))
    measured(f"chaos in a cluster: {strikes}; {chaos.totals['kept']} entries, {chaos.totals['effects twice']} twice")


def test_a_run_without_errors_is_whole_whatever_happens_to_slots_and_primaries(tmp_path_factory, measured):
    """What `chaos/runs.py` does for longer."""
    seed = random.randrange(1 << 31)
    runs = Runs(lambda: tmp_path_factory.mktemp("node"), seed)
    try:
        runs.run(SECONDS)
    finally:
        runs.close()
    assert not runs.violations, (seed, runs.violations[:10])
    assert runs.figures["whole"] + runs.figures["with errors"] > 0
    measured(f"runs in a cluster: {dict(runs.figures)}, the longest took {runs.longest:.1f} s")
