"""The tool `time`."""

from __future__ import annotations

import sys
import zoneinfo
from pathlib import Path

import pytest
from pydantic import ValidationError

from clawd.errors import ToolFailed, ToolRetry
from clawd.tools.base import Tool
from clawd.tools.time import PLUGIN, TimeConfig
from tests.unit.tools.context import SITE, context


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "Sunday, 2026-11-22 13:03:05+00:00 (UTC)"),
        ("Europe/Berlin", "Sunday, 2026-11-22 14:03:05+01:00 (Europe/Berlin)"),
        ("Asia/Shanghai", "Sunday, 2026-11-22 21:03:05+08:00 (Asia/Shanghai)"),
        ("Pacific/Kiritimati", "Monday, 2026-11-23 03:03:05+14:00 (Pacific/Kiritimati)"),
    ],
)
async def test_it_tells_the_time_in_a_zone(zone: str, text: str) -> None:
    tool = PLUGIN.create(SITE, TimeConfig())
    assert (await tool.call({"zone": zone}, context())).text == text


@pytest.fixture
def in_tokyo() -> Tool:
    return PLUGIN.create(SITE, TimeConfig(zone="Asia/Tokyo"))


async def test_without_a_zone_the_configured_one_is_meant(in_tokyo: Tool) -> None:
    assert (await in_tokyo.call({}, context())).text == "Sunday, 2026-11-22 22:03:05+09:00 (Asia/Tokyo)"


async def test_without_any_zone_it_is_the_hosts_own() -> None:
    moment = context().clock.now().astimezone().isoformat(sep=" ", timespec="seconds")
    text = (await PLUGIN.create(SITE, TimeConfig()).call({}, context())).text
    assert moment in text
    assert text.endswith("(local time)")


@pytest.mark.parametrize(
    ("zone", "advice"),
    [
        ("Europe/Belin", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("Nowhere", "IANA name"),
        ("Europe", "IANA name"),
        ("../../etc/passwd", "IANA name"),
        ("/etc/passwd", "IANA name"),
        ("x\0y", "IANA name"),
        ("a" * 300, "IANA name"),
    ],
)
async def test_an_unknown_zone_lets_the_model_correct_itself(zone: str, advice: str) -> None:
    with pytest.raises(ToolRetry) as caught:
        await PLUGIN.create(SITE, TimeConfig()).call({"zone": zone}, context())
    assert advice in caught.value.why


async def test_a_host_without_zone_data_still_tells_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONTZPATH", str(tmp_path))
    for name in {"tzdata", *(name for name in sys.modules if name.startswith("tzdata."))}:
        monkeypatch.setitem(sys.modules, name, None)  # as if the package were not installed
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    try:
        with pytest.raises(ToolFailed) as caught:
            await PLUGIN.create(SITE, TimeConfig()).call({"zone": "Asia/Tokyo"}, context())
    finally:
        monkeypatch.undo()
        zoneinfo.reset_tzpath()
    assert "Sunday, 2026-11-22 13:03:05+00:00 (UTC)" in caught.value.what
    assert "tzdata" in caught.value.why


def test_an_unknown_default_zone_is_a_configuration_error() -> None:
    with pytest.raises(ValidationError, match="Europe/Berlin"):
        TimeConfig(zone="Mars/Olympus")
