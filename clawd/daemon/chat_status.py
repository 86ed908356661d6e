"""What /status says in a chat."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clawd import __version__
from clawd.texts import say

from .minds import would_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.journal.views import SqliteViews

    from .minds import Minds
    from .situation import Situation


class StatusInChat:
    """Answers /status from what the daemon knows now."""

    def __init__(
        self, situation: Situation, views: SqliteViews, minds: Minds, *, pause: Callable[[], str]
    ) -> None:
        self._situation = situation
        self._pause = pause  # why nothing can be committed; empty while it can
        self._views = views
        self._minds = minds

    async def text(self, language: str | None) -> str:
        """Return the answer in a language."""
        stats = await self._views.stats()
        minutes = int((time.monotonic() - self._situation.began) // 60)
        text = say(
            "status",
            language,
            version=__version__,
            uptime=f"{minutes // 60} h {minutes % 60} min",
            model=self._model(language),
            queued=stats.queued,
            running=stats.running,
        )
        if pause := self._pause():
            text += "\n" + say("status_paused", language, why=pause)
        return text

    def _model(self, language: str | None) -> str:
        infos = self._minds.infos()
        name = would_answer(self._minds.default_route(), infos)
        if name is None:
            return "–"
        [info] = [info for info in infos if info.name == name]
        is_out = bool(info.spent) or info.breaker.state in ("rest", "open")
        return say("status_model_out", language, model=name) if is_out else name
