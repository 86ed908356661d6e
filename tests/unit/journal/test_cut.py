"""A journal whose end is gone: what had been given out is not given out again."""

from __future__ import annotations

import json
from pathlib import Path

from clawd.config.schema import JournalConfig
from clawd.ids import SystemClock, parse_row_id
from clawd.journal.items import Pushed
from clawd.journal.opening import open_journal
from tests.conformance.journals import push


async def push_one(state_dir: Path) -> tuple[int, int]:
    """Return the row of a new delivery, and how many warnings the start had."""
    opened = await open_journal(state_dir, JournalConfig(), SystemClock())
    try:
        (result,) = await opened.journal.accept([push()])
        assert isinstance(result, Pushed)
        row = parse_row_id(result.delivery)
        assert row is not None
        return row[1], len(opened.warnings)
    finally:
        await opened.close()


async def test_ids_of_deliveries_that_a_cut_log_lost_are_not_given_out_again(state_dir: Path) -> None:
    first, warnings = await push_one(state_dir)
    assert (first, warnings) == (1, 0)
    (state_dir / "journal.mark").write_text(json.dumps({"highest": 50}))
    fresh, warnings = await push_one(state_dir)
    assert fresh > 50
    assert warnings == 1
    _, warnings = await push_one(state_dir)
    assert warnings == 0, "it is told once"
