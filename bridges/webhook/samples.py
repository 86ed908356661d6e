"""Requests that a bridge is tried with: they start no turn and leave no message."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final

from bridges.webhook.building import preset_of
from clawd.bridge import Sample
from clawd.config.base import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridges.webhook.config import WebhookConfig
    from clawd.ids import Clock
    from clawd.response import JsonObject

MARK: Final = "clawd_test"
_LIFE_S: Final = 60.0
_MAX_OPEN: Final = 16


class Samples:
    """Makes samples, and knows them again.

    Each carries a number that was drawn for it, is good once and for a minute, and has to be signed like any
    request: so nobody without the secret can use one, nor somebody who saw one pass.
    """

    def __init__(self, bridge: str, config: WebhookConfig, clock: Clock) -> None:
        self._bridge = bridge
        self._config = config
        self._clock = clock
        self._open: dict[str, float] = {}

    def make(self) -> Sequence[Sample]:
        """Return a request that is to be let in, and the same one signed by a key that is not ours."""
        now = self._clock.monotonic()
        self._open = {mark: end for mark, end in self._open.items() if end > now}
        while len(self._open) >= _MAX_OPEN:
            self._open.pop(next(iter(self._open)))
        mark = secrets.token_hex(16)
        self._open[mark] = now + _LIFE_S
        payload = json.dumps({"type": "clawd.test", MARK: mark}).encode()
        foreign = self._config.model_copy(update={"secret": (Secret(secrets.token_urlsafe(32)),)})
        wall = self._clock.now()
        good = preset_of(self._bridge, self._config).sample(payload, wall)
        bad = preset_of(self._bridge, foreign).sample(payload, wall)
        return (
            Sample(what="wrong signature refused", headers=bad.headers, body=bad.body, status=401),
            Sample(
                what="signature accepted", headers=good.headers, body=good.body, status=200, answer=b'"test"'
            ),
        )

    def take(self, payload: JsonObject) -> bool:
        """Whether a payload is a sample that is open; it is no longer after this."""
        mark = payload.get(MARK)
        if not isinstance(mark, str):
            return False
        end = self._open.pop(mark, None)
        return end is not None and end > self._clock.monotonic()
