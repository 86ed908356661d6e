"""What a daemon with `profile: edge` needs of memory over many turns; `-s` shows it, `benchmarks/edge.py` measures more."""

from __future__ import annotations

import sys

import pytest

from benchmarks import edge


@pytest.mark.slow
@pytest.mark.may_block
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("door", "measure"), [("terminal", edge.terminal), ("telegram", edge.telegram)])
def test_an_edge_daemon_stays_small_over_five_hundred_turns(door: str, measure: edge.Measure) -> None:
    measure("edge", 1)  # whatever is still to be compiled is compiled by another process
    found = measure("edge")
    sys.stdout.write(
        f"{door}: {found.ready:.1f} MB ready, {found.peak:.1f} MB at most over {edge.TURNS} turns\n"
    )
    assert found.peak < edge.REACH_MB[door]
