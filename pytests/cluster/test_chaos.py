"""Primaries are killed, replaced and stopped under load: no entry is skipped. `chaos/cluster.py` does it for longer."""

import random

from chaos.cluster import KINDS_HERE, Chaos

SECONDS = 8


def test_nothing_is_skipped_whatever_happens_to_primaries(tmp_path, measured):
    seed = random.randrange(1 << 31)
    chaos = Chaos(tmp_path, seed)
    chaos.run(SECONDS)
    assert not chaos.violations, (seed, chaos.violations[:10])
    assert chaos.totals["kept"] > len(KINDS_HERE)
    strikes = ", ".join(f"{name} {count}" for name, count in sorted(chaos.strikes.items()))
    measured(f"chaos in a cluster: {strikes}; {chaos.totals['kept']} entries, {chaos.totals['effects twice']} twice")
