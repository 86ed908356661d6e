"""A reply that streams into a group stays within what Telegram allows there, and arrives whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.schema import AgentConfig
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.telegram import telegram_bridge
from tests.fakes.telegram_talk import asked, chat_address, heard, inside, pass_time

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.bot_api_http import Call

GROUP = -1001
STEP_S = 1.0
PER_STEP = 100  # tokens: a hundred a second


def minute_of(times: list[float]) -> int:
    """Return how many of these moments lie in the fullest minute."""
    return max((sum(at - 60 < other <= at for other in times) for at in times), default=0)


@pytest.mark.parametrize(("turns", "seconds"), [(1, 60), (3, 15)])
async def test_a_hundred_tokens_a_second_make_at_most_20_calls_a_minute_and_nothing_is_lost(
    state_dir: Path, turns: int, seconds: int
) -> None:
    clock, times = ManualClock(), []

    def note(call: Call, _: Any) -> None:
        if call.chat == GROUP:
            times.append(clock.monotonic())

    steps = int(seconds / STEP_S)
    texts = [["".join(f"w{t}.{s}.{n} " for n in range(PER_STEP)) for s in range(steps)] for t in range(turns)]
    gates = [[asyncio.Event() for _ in range(steps + 1)] for _ in range(turns)]
    script = [
        [part for gate, text in zip(gates[t], texts[t], strict=False) for part in (gate, text)]
        + [gates[t][-1]]
        for t in range(turns)
    ]
    model, roomy = ScriptedModel(*script), AgentConfig(context_tokens=1_000_000)
    async with FakeBotApi(on_effect=note) as api:
        bridge = telegram_bridge(api.url, clock=clock, reactions=True, document_over=0)
        async with inside(state_dir, bridge, model, clock, agent=roomy) as inner:
            for turn in range(turns):
                await asked(inner, api, model, GROUP, turn + 1)
                for step in range(steps):
                    gates[turn][step].set()
                    await heard(inner, chat_address(GROUP), texts[turn][step])
                    await pass_time(inner, clock, STEP_S)
                gates[turn][-1].set()
            whole = " ".join("".join(texts[turn]) for turn in range(turns)).split()
            async with asyncio.timeout(60):
                while " ".join(message.text for message in api.sent(GROUP)).split() != whole:
                    await pass_time(inner, clock, STEP_S)
        await bridge.close()
    assert minute_of(times) <= 20
    assert minute_of(times) >= 10, "it did stream"
    assert not [call for call in api.log if call.outcome.startswith("4")]
