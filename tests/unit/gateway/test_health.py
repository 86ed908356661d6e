"""What stands against being ready, and what never does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from clawd.bridge import BridgeStatus
from clawd.gateway.health import Readiness

DOWN = BridgeStatus(
    name="telegram",
    type="telegram",
    state="bad_credentials",
    since=datetime(2026, 1, 1, tzinfo=UTC),
    error="401",
)


@pytest.mark.parametrize(
    ("replayed", "journal_writable", "draining", "failing"),
    [
        (True, True, False, ()),
        (False, True, False, ("replay",)),
        (True, False, False, ("journal",)),
        (True, True, True, ("draining",)),
        (False, False, True, ("replay", "journal", "draining")),
    ],
)
def test_each_check_can_fail_and_bridges_never_count(
    replayed: bool, journal_writable: bool, draining: bool, failing: tuple[str, ...]
) -> None:
    readiness = Readiness(
        replayed=replayed, journal_writable=journal_writable, draining=draining, bridges=[DOWN]
    )
    assert readiness.failing == failing
