"""What stands behind an answer for those whom it concerns: budgets near their end, keys that are refused."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from clawd.config.schema import AccessConfig
from clawd.errors import EXIT_TRY_LATER, BudgetSpent, ModelAuthError
from clawd.messages import text_of
from clawd.models.base import Completed, ModelEvent, ModelRequest, RequestTags, UserMessage
from clawd.models.ledger import Room
from clawd.response import ModelAttempt
from clawd.testing import ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, message
from tests.fakes.tools import call

OWNED = AccessConfig(default="allow", owners=("chat:42",), rate="100000/s")


async def test_a_budget_near_its_end_is_told_behind_the_answer_and_never_to_the_model(
    state_dir: Path,
) -> None:
    asked: list[RequestTags] = []

    def notice(tags: RequestTags) -> Room | None:
        asked.append(tags)
        return Room(budget="day", limit_usd=10, spent_usd=8.4) if len(asked) == 1 else None

    model = ScriptedModel()
    async with Inner(state_dir, model=model, access=OWNED, notice=notice) as inner:
        first = await inner.ask("hi", language="zh")
        await inner.ask("again")
        await inner.delivered(f"ok\n\n{first.notice}", "ok")
    assert (first.answer, first.notice) == ("ok", "（提示：今天的预算已用 84%：$8.40 / $10.00。）")
    assert asked[0] == RequestTags(bridge="chat", conversation=str(message().address), user="chat:42")
    assert "84" not in str(model.requests[-1].messages)


async def test_a_budget_of_the_house_is_no_business_of_a_guest(state_dir: Path) -> None:
    room = Room(budget="day", limit_usd=10, spent_usd=8.4)
    async with Inner(state_dir, notice=lambda _: room) as inner:
        assert (await inner.ask("hi")).answer == "ok"


async def test_a_key_that_is_refused_is_told_to_the_owner_once_while_a_standby_answers(
    state_dir: Path,
) -> None:
    refused = ModelAttempt(
        model="main", outcome=ModelAuthError.code, detail="the key (environment K) is refused"
    )

    class Standby(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            async for event in super().stream(request):
                if isinstance(event, Completed):
                    event = Completed(replace(event.response, attempts=(refused,)))
                yield event

    line = say("key_refused", model="main", detail="the key (environment K) is refused")
    async with Inner(state_dir, model=Standby(), access=OWNED) as inner:
        assert (await inner.ask("a", sender="7", chat="7")).answer == "ok"
        told = await inner.ask("b")
        assert (told.answer, told.notice) == ("ok", line)
        assert (await inner.ask("c")).notice == ""


async def test_a_turn_that_budgets_kept_from_an_answer_says_so_and_the_next_one_goes_on(
    state_dir: Path,
) -> None:
    spent = BudgetSpent("main", budget="user", limit_usd=2, ends_at=datetime(2026, 1, 2, tzinfo=UTC))
    model = ScriptedModel(spent, "fine")
    async with Inner(state_dir, model=model) as inner:
        view = await inner.ask("hi")
        assert (view.state, view.exit_code) == ("failed", EXIT_TRY_LATER)
        assert view.answer == (
            "Sorry, your budget for today is spent, so I can ask no model. It begins anew at 2026-01-02 00:00 UTC."
        )
        assert (await inner.ask("again")).answer == "fine"
    async with Inner(state_dir / "second", model=ScriptedModel(["Let me see.", call()], spent)) as inner:
        view = await inner.ask("hi")
        assert view.answer.startswith("Let me see.\n\nSorry, your budget for today is spent")
    shown = [text_of(m.parts) for m in model.requests[-1].messages if isinstance(m, UserMessage)]
    assert shown == ["hi", "again"]
