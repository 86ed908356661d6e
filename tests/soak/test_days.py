"""The run over many days in short, and that its judge finds what it is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak.days import LEVEL, LIBRARIES, Evening, judge, run

CALM = [
    Evening(
        day=day,
        turns=100 * day,
        used_mb=0.8,
        file_mb=0.9,
        inbox=200,
        dedup=700,
        too_old=0,
        forgotten_keys=0,
        open_rows=3,
    )
    for day in range(LEVEL + 3)
]


def test_a_database_that_stays_as_it_is_is_in_order() -> None:
    assert judge(CALM) == {}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("retention", {"too_old": 4}),
        ("dedup", {"forgotten_keys": 1}),
        ("open turn", {"open_rows": 2}),
        ("growth: used", {"used_mb": 1.2}),
        ("growth: file", {"file_mb": 1.3}),
        ("growth: dedup rows", {"dedup": 900}),
        ("growth: inbox rows", {"inbox": 300}),
    ],
)
def test_what_went_wrong_on_the_last_day_is_found(name: str, change: dict[str, int]) -> None:
    assert judge([*CALM[:-1], replace(CALM[-1], **change)]).keys() == {name}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not LIBRARIES, reason="faketime is not installed")
async def test_over_twelve_days_nothing_is_lost_kept_too_long_or_grows(state_dir: Path) -> None:
    told: list[str] = []
    assert await run(state_dir, turns=300, days=LEVEL + 2, say=told.append) == {}, "\n".join(told)
    assert len(told) == LEVEL + 2
