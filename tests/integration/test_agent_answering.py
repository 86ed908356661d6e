"""Whose word on a question counts, whatever chat it is given in and whichever question it names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.schema import AccessConfig
from clawd.fanout import Asked
from clawd.messages import Address, InboundControl, MessageId, Replied, Sender
from clawd.testing import ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, message
from tests.fakes.tools import AskingTool, call
from tests.integration.test_agent_waiting import question_of

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.ids import QuestionId
    from clawd.messages import AcceptResult

ACCESS = AccessConfig(default="allow", grant="tools", owners=("telegram:1",), rate="100000/s")


async def say_word(inner: Inner, sender: str, address: Address, question: QuestionId) -> AcceptResult:
    asked = message()
    control = InboundControl(
        id=MessageId(f"press:{asked.id}"),
        address=address,
        sender=Sender(id=sender),
        kind="approve",
        question=question,
        sent_at=asked.sent_at,
    )
    (result,) = await inner.inbox.accept([control])
    return result


@pytest.mark.parametrize(
    ("sender", "bridge", "counts"),
    [
        ("9", "same", False),  # somebody with the same right, who names another chat's question
        ("42", "other", False),  # the asker's number on another platform is another person
        ("42", "same", False),  # the asker, in another chat of theirs
        ("1", "telegram", True),  # an owner, from anywhere
    ],
)
async def test_only_the_asker_or_an_owner_allows_a_call(
    state_dir: Path, sender: str, bridge: str, *, counts: bool
) -> None:
    tool = AskingTool("pushed")
    model = ScriptedModel([call(arguments='{"line": "git push"}')], "Done.")
    options: dict[str, Any] = {"model": model, "tools": [tool], "access": ACCESS}
    async with Inner(state_dir, **options) as inner:
        turn = await inner.say("push it")
        question = await question_of(inner)
        assert question.asker.id == "42"
        home = question.conversation
        name = home.bridge if bridge == "same" else bridge
        result = await say_word(
            inner, sender, Address(bridge=name, account=home.account, chat="elsewhere"), question.id
        )
        if counts:
            assert result == Replied(text=say("approved"))
            await inner.ended(turn)
            assert len(tool.calls) == 1
        else:
            assert result == Replied(text=say("nothing_to_answer"), nothing=True)
            assert [q.id for q in await inner.views.questions()] == [question.id]
            assert not tool.calls


async def test_a_turn_that_is_woken_for_nothing_is_seen_to_wait_again(state_dir: Path) -> None:
    model = ScriptedModel([call(arguments='{"line": "git push"}')])
    options: dict[str, Any] = {"model": model, "tools": [AskingTool()], "access": ACCESS}
    async with Inner(state_dir, **options) as inner, asyncio.TaskGroup() as tasks:
        await inner.say("push it")
        question = await question_of(inner)
        again = tasks.create_task(inner.seen(Asked))
        await asyncio.sleep(0)
        await inner.opened.store.write(lambda db: db.execute("UPDATE conv SET ready_at = 0").rowcount)
        inner.opened.journal.work.set()
        event = await again
        assert isinstance(event, Asked)
        assert event.question.id == question.id
        assert inner.fanout.live(question.conversation) is None
        assert len([m for m in inner.bridge.sends if m.kind == "question"]) == 1
