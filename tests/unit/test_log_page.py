"""docs/logs.md names only events that there are."""

from __future__ import annotations

import re
from pathlib import Path

from clawd.cli.logs import logs
from clawd.journal.spans import SpanKind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")


def test_every_event_of_the_tables_is_logged_somewhere() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for name in ("clawd", "bridges")
        for path in (ROOT / name).rglob("*.py")
    )
    events = re.findall(r"^\| `([a-z_]+)` \| (?:debug|info|warning|error|critical)", PAGE, re.MULTILINE)
    assert len(events) > 20
    assert [event for event in events if f'"{event}"' not in source] == []


def test_every_filter_of_the_command_is_told() -> None:
    names = [
        name for name in logs.__annotations__ if name not in ("ctx", "return", "follow", "lines", "as_json")
    ]
    assert [name for name in names if f"`--{name} " not in PAGE] == []


def test_every_kind_of_span_is_told() -> None:
    for kind in SpanKind.__args__:  # type: ignore[attr-defined]
        assert f"`{kind}`" in PAGE
