"""`clawd logs` where there is no file, and what it takes for an option."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clawd.cli import logs
from clawd.cli.logfilter import LogLine
from clawd.errors import EXIT_USAGE


@pytest.mark.parametrize(
    ("uid", "config", "follow", "command"),
    [
        (0, None, False, "journalctl -u clawd"),
        (0, None, True, "journalctl -u clawd -f"),
        (1000, "/etc/clawd/config.yaml", False, "journalctl -u clawd"),
        (1000, "/home/ada/.config/clawd/config.yaml", True, "journalctl --user -u clawd -f"),
    ],
)
def test_a_service_that_logs_to_journald_alone_is_read_there(
    monkeypatch: pytest.MonkeyPatch, uid: int, config: str | None, follow: bool, command: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(logs, "config_path", lambda *_: Path(config) if config else None)
    call: Any = SimpleNamespace(config=config, environ={})
    assert logs._of_journald(call, follow=follow) == command


def test_a_pattern_that_is_none_names_its_option() -> None:
    with pytest.raises(logs.BadOption, match="no regular expression") as caught:
        logs._pattern("(")
    assert (caught.value.where, caught.value.exit_code) == ("--grep", EXIT_USAGE)


def test_a_time_that_is_none_names_its_option() -> None:
    with pytest.raises(logs.BadOption) as caught:
        logs._moment("yesterdayish", "--until")
    assert caught.value.remedy == "clawd logs --until 10m"


def test_the_clock_shows_the_date_only_of_other_days() -> None:
    def at(moment: datetime) -> str:
        return str(logs._clock(LogLine("", {"ts": moment.isoformat()})))

    noon = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=7000)
    assert at(noon.astimezone(UTC)) == "12:00:00.007"
    before = (
        noon.replace(tzinfo=None) - timedelta(days=40)
    ).astimezone()  # noon there, in summer or in winter
    assert re.fullmatch(r"\d{4}-\d\d-\d\d 12:00:00\.007", at(before))
    assert logs._clock(LogLine("words", None)) is None
