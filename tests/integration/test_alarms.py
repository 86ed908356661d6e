"""Each dead letter is told once to whoever alerts people; what nobody can mend is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clawd.alarms import GivenUp
from clawd.bridge import BridgeConfig
from clawd.config.schema import AgentConfig
from clawd.errors import DeliveryRejected
from clawd.messages import MessageId, Unreadable
from clawd.testing import ScriptedModel
from tests.fakes.inner import Inner


async def test_a_dead_turn_is_told_once(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()])
    async with Inner(state_dir, model=model, agent=AgentConfig(max_attempts=1)) as inner:
        turn = await inner.say()
        await model.asked()
        await inner.crash()
        inner.hear = []
        await inner.start()
        await inner.ended(turn)
        await inner.settled()
        assert [(event.id, event.bridge) for event in inner.hear] == [(turn, "chat")]
        assert "attempts" in inner.hear[0].why


async def test_a_refused_delivery_is_told_once_and_one_to_nobody_is_not(state_dir: Path) -> None:
    async with Inner(state_dir, model=ScriptedModel("a", "b")) as inner:
        inner.bridge.next_sends(DeliveryRejected("chat", "bad request"), chat="1")
        inner.bridge.next_sends(DeliveryRejected("chat", "blocked", unreachable=True), chat="2")
        await inner.say(chat="1")
        await inner.say(chat="2")
        await inner.settled()
        letters = {letter.id: letter.why for letter in await inner.views.dead()}
        assert len(letters) == 2
        (event,) = inner.hear
        assert event.id is not None
        assert letters[event.id] == event.why
        assert "bad request" in event.why


async def test_a_delivery_that_an_owner_must_decide_on_is_told(state_dir: Path) -> None:
    sections = {"chat": BridgeConfig(type="recording", on_ambiguous="hold")}
    async with Inner(state_dir, model=ScriptedModel("a"), sections=sections) as inner:
        inner.bridge.next_sends(ConnectionResetError("reset"))
        await inner.say()
        await inner.settled()
        (letter,) = await inner.views.dead()
        assert letter.state == "unknown"
        assert [event.id for event in inner.hear] == [letter.id]


async def test_an_update_that_can_not_be_read_is_told(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        update = Unreadable(id=MessageId("u:1"), bridge="chat", raw="{", why="not JSON")
        await inner.inbox.accept([update])
        await inner.inbox.accept([update])
        assert inner.hear == [GivenUp(id=None, bridge="chat", conversation=None, why="not JSON")]
