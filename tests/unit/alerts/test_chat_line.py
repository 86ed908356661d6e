from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from clawd.alerts.saying import AlertsInChat
from tests.unit.alerts.test_payload import NOW, alert


def test_line_of_a_chat_parts_alerts_as_its_language_does() -> None:
    desk = SimpleNamespace(report=lambda: SimpleNamespace(alerts=[alert("main"), alert("standby")]))
    chat = AlertsInChat(
        cast("Any", lambda: desk), cast("Any", SimpleNamespace(now=lambda: NOW)), models=tuple, bridges=tuple
    )
    assert "；" in chat.line("zh")
    assert "; " not in chat.line("zh")
    assert "; " in chat.line("en")
