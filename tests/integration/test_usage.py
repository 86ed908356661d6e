"""What was used, asked for in a chat and at the control socket, and what budgets begin with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client, RemoteError
from clawd.config.schema import AccessConfig, BudgetsConfig, JournalConfig
from clawd.ids import SystemClock
from clawd.journal.opening import open_journal
from clawd.journal.records import ModelIntent, ModelResult
from clawd.messages import Replied
from clawd.models.base import Completed, ModelAttempt, ModelResponse, RequestTags, Usage, with_attempts
from clawd.testing import ScriptedModel
from tests.conformance.journals import message
from tests.fakes.inner import Inner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from clawd.models.base import ModelEvent, ModelRequest
    from tests.fakes.shell import Shell

CONFIG = """
gateway: {port: 0}
models: [{name: demo, type: demo}, {name: paid, type: chat, base_url: "http://127.0.0.1:9/v1"}]
budgets: {day_usd: LIMIT}
"""

PAID = ModelAttempt(
    model="main",
    outcome="ok",
    usage=Usage(input_tokens=1200, output_tokens=30),
    cost_usd=0.25,
)
BROKE = ModelAttempt(model="main", outcome="E-MODEL-DOWN", possible_usd=0.01)


class PricedModel(ScriptedModel):
    """Each answer is paid for, and one attempt before it broke off."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        async for event in super().stream(request):
            yield (
                Completed(with_attempts(event.response, (BROKE, PAID)))
                if isinstance(event, Completed)
                else event
            )


async def usage(inner: Inner, **fields: Any) -> list[str]:
    """Return the lines of the answer to /usage, which makes no turn."""
    result = await inner.accept("/usage", **fields)
    assert isinstance(result, Replied)
    return result.text.splitlines()


def budgets(lines: list[str]) -> list[str]:
    """Return what is said of budgets, without the date."""
    return [line.partition(" until ")[0] for line in lines if line.startswith("budget ")]


async def test_a_sender_of_half_a_character_is_told_their_use_too(state_dir: Path) -> None:
    async with Inner(state_dir, model=PricedModel()) as inner:
        await inner.ask(sender="\ud800")
        lines = await usage(inner, sender="\ud800")
    assert any(line.startswith("you: requests 2, ") for line in lines)


async def test_a_person_is_told_their_own_use_and_an_owner_everything(state_dir: Path) -> None:
    access = AccessConfig(default="allow", rate="100000/s", owners=("chat:7",))
    async with Inner(state_dir, model=PricedModel(), access=access) as inner:
        for sender, chat in (("42", "1"), ("42", "2"), ("43", "1")):
            await inner.ask(sender=sender, chat=chat)
        limits = BudgetsConfig(day_usd=5.0, user_day_usd=0.5, conversation_day_usd=1.0)
        inner.ledger.configure(limits, {"main": 2.0})
        inner.ledger.settle(RequestTags(user="chat:42"), (PAID,))
        person = await usage(inner, sender="42", chat="1")
        assert person[:3] == [
            "Today (UTC)",
            "you: requests 4, tokens 2,400 in, 60 out, cost $0.50, perhaps $0.02 more",
            "this conversation: requests 4, tokens 2,400 in, 60 out, cost $0.50, perhaps $0.02 more",
        ]
        assert budgets(person) == [
            "budget of your own for the day: $0.25 of $0.50 used, $0.25 left",
            "budget of this conversation for the day: $0 of $1.00 used, $1.00 left",
        ]
        owner = await usage(inner, sender="7", chat="9")
        assert owner[1:4] == [
            "you: requests 0, tokens 0 in, 0 out, cost $0",
            "this conversation: requests 0, tokens 0 in, 0 out, cost $0",
            "all: requests 6, tokens 3,600 in, 90 out, cost $0.75, perhaps $0.03 more",
        ]
        assert budgets(owner)[2:] == [
            "budget for the day: $0.25 of $5.00 used, $4.75 left",
            "budget of the model main for the day: $0.25 of $2.00 used, $1.75 left",
        ]
        in_a_group = await usage(inner, sender="7", chat="9", group=True, addressed=True)
        assert len(in_a_group) == 5, "others read along"
        chinese = await usage(inner, sender="43", chat="1", language="zh")
        assert chinese[1] == "你：请求 2，输入 1,200、输出 30 个 token，费用 $0.25，另有可能发生的 $0.01"


async def test_a_daemon_begins_with_what_its_journal_has_counted_and_a_reload_keeps_it(
    clawd: Shell, state_dir: Path
) -> None:
    opened = await open_journal(state_dir / "state", JournalConfig(), SystemClock())
    await opened.journal.accept([message(chat="5")])
    (lease,) = await opened.journal.claim(1)
    opened.journal.note(lease, ModelIntent(step=1, route="default", model="main", reserve_usd=0.5))
    result = ModelResult(step=1, response=ModelResponse(model="main", text="hi", attempts=(BROKE, PAID)))
    await opened.journal.record(lease, result)
    opened.journal.note(lease, ModelIntent(step=2, route="default", model="main", reserve_usd=0.5))
    await opened.close()
    (state_dir / "config.yaml").write_text(CONFIG.replace("LIMIT", "2.0"))
    assert (await clawd("start", "--detach")).code == 0
    try:
        client = Client([state_dir / "state" / "clawd.sock"])
        answer = await asyncio.to_thread(client.get, "/usage", by="conversation", days=2)
        assert answer["rows"][0]["name"] == "tg:bot:5"
        assert (answer["total"]["cost_usd"], answer["total"]["possible_usd"]) == (0.25, 0.51)
        assert (answer["days"], answer["by"]) == (2, "conversation")
        (day,) = answer["budgets"]
        assert (day["budget"], day["limit_usd"], day["spent_usd"], day["left_usd"]) == (
            "day",
            2.0,
            0.76,
            1.24,
        )
        (state_dir / "config.yaml").write_text(CONFIG.replace("LIMIT", "1.0"))
        await asyncio.to_thread(client.post, "/reload", {})
        answer = await asyncio.to_thread(client.get, "/usage")
        (day,) = answer["budgets"]
        assert (day["limit_usd"], day["spent_usd"], day["left_usd"]) == (1.0, 0.76, 0.24)
        assert (await asyncio.to_thread(client.get, "/status"))["today"]["possible_usd"] == 0.51
        (state_dir / "config.yaml").write_text(CONFIG.replace("LIMIT", "0.5"))
        await asyncio.to_thread(client.post, "/reload", {})
        status = await asyncio.to_thread(client.get, "/status")
        assert [(b["budget"], b["left_usd"]) for b in status["budgets"]] == [("day", 0.0)]
        spent = {model["name"]: model["spent"] for model in status["models"]}
        assert spent == {"demo": "", "paid": "day"}, "who costs nothing goes on"
        for wrong in ({"days": 0}, {"days": "x"}, {"by": "weather"}):
            with pytest.raises(RemoteError):
                await asyncio.to_thread(client.get, "/usage", **wrong)
    finally:
        await clawd("stop")
