"""Owners are asked by buttons whether to let a stranger in."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from clawd.access import DENIED_S, MAX_PENDING
from clawd.bridge import BridgeConfig
from clawd.config.schema import AccessConfig
from clawd.ids import QuestionId, pairing_code
from clawd.messages import (
    AcceptResult,
    Address,
    ControlKind,
    InboundControl,
    MessageId,
    OutboundMessage,
    Refused,
    Replied,
    Sender,
)
from clawd.testing import ManualClock
from clawd.texts import say
from tests.fakes.inner import Inner, message

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.ids import Clock

_presses = itertools.count(1)


class AskingConfig(BridgeConfig):
    """A bridge whose platform has buttons."""

    asks_owners: ClassVar[bool] = True


def inner_with(state_dir: Path, *owners: str, clock: Clock | None = None) -> Inner:
    access = AccessConfig(default="pair", rate="100000/s", owners=owners)
    return Inner(state_dir, access=access, clock=clock, sections={"chat": AskingConfig(type="recording")})


def asked(inner: Inner, owner: str) -> list[OutboundMessage]:
    """The questions that an owner was shown."""
    return [m for m in inner.bridge.sends if m.address.chat == owner and m.question is not None]


async def press(inner: Inner, kind: ControlKind, question: QuestionId, *, sender: str) -> AcceptResult:
    control = InboundControl(
        id=MessageId(f"press-{next(_presses)}"),
        address=Address(bridge="chat", account="bot", chat=sender),
        sender=Sender(id=sender, language="en"),
        kind=kind,
        question=question,
        sent_at=inner.clock.now(),
    )
    (result,) = await inner.inbox.accept([control])
    return result


async def stranger(inner: Inner, sender: str = "7", *, chat: str = "") -> AcceptResult:
    return await inner.accept("let me in", sender=sender, chat=chat or sender)


async def test_each_owner_on_the_bridge_is_asked_once_and_one_yes_lets_in(state_dir: Path) -> None:
    async with inner_with(state_dir, "chat:1", "chat:2", "elsewhere:3") as inner:
        for _ in range(3):
            await stranger(inner)
        await inner.settled()
        (first,), (second,) = asked(inner, "1"), asked(inner, "2")
        assert first.question == second.question
        assert [choice.word for choice in first.choices] == ["approve", "deny"]
        assert asked(inner, "3") == asked(inner, "7") == []
        code = pairing_code(first.question)
        assert code is not None
        assert f"clawd pair approve {code}" in first.text

        assert first.question is not None
        yes = await press(inner, "approve", first.question, sender="1")
        assert yes == Replied(text=say("pairing_approved", "en", name="Ann"))
        late = await press(inner, "deny", first.question, sender="2")
        assert late == Replied(text=say("pairing_over", "en"), nothing=True)
        await inner.settled()
        assert inner.bridge.texts().count(say("paired")) == 1
        assert inner.access.right_of("chat", Sender(id="7")) == "chat"


async def test_nobody_but_an_owner_decides(state_dir: Path) -> None:
    async with inner_with(state_dir, "chat:1") as inner:
        await stranger(inner)
        await inner.settled()
        (question,) = asked(inner, "1")
        assert question.question is not None
        assert await press(inner, "approve", question.question, sender="7") == Refused(reason="stranger")
        await inner.access.approve(_code(await stranger(inner, "8")), owner=False)
        friend = await press(inner, "approve", question.question, sender="8")
        assert friend == Refused(reason="not_yours", text=say("pairing_not_yours", "en"))
        assert inner.access.right_of("chat", Sender(id="7")) is None
        made_up = await press(inner, "approve", QuestionId("pairing:AAAAAAAA"), sender="1")
        assert made_up == Replied(text=say("pairing_over", "en"), nothing=True)


async def test_who_was_denied_hears_nothing_for_a_day_and_owners_are_left_alone(state_dir: Path) -> None:
    clock = ManualClock()
    async with inner_with(state_dir, "chat:1", clock=clock) as inner:
        first = await stranger(inner)
        assert isinstance(first, Refused)
        assert first.text
        (pairing,) = inner.access.pairings()
        no = await press(inner, "deny", QuestionId(f"pairing:{pairing.code}"), sender="1")
        assert no == Replied(text=say("pairing_denied", "en", name="Ann"))
        assert inner.access.pairings() == []
        await inner.restart()
        for _ in range(2):
            assert await stranger(inner) == Refused(reason="stranger")
        for number in range(MAX_PENDING):
            assert _code(await stranger(inner, f"8{number}")), "who was denied takes no place"
        await clock.advance(DENIED_S + 1)
        again = await stranger(inner)
        assert isinstance(again, Refused)
        assert again.text


async def test_a_group_or_a_chat_that_is_not_the_persons_own_asks_nobody(state_dir: Path) -> None:
    async with inner_with(state_dir, "chat:1") as inner:
        await stranger(inner, chat="room")
        assert [p.sender for p in inner.access.pairings()] == ["7"]
        await inner.settled()
        assert asked(inner, "1") == []


async def test_a_strangers_name_is_shown_as_what_it_is(state_dir: Path) -> None:
    async with inner_with(state_dir, "chat:1") as inner:
        name = "`[clawd](https://evil.example)`\n\nAnna is a friend"
        said = message("hi", sender="7", chat="7")
        await inner.inbox.accept([replace(said, sender=Sender(id="7", name=name))])
        await inner.settled()
        (question,) = asked(inner, "1")
        assert "`'[clawd](https://evil.example)' Anna is a friend`" in question.text


def _code(result: AcceptResult) -> str:
    assert isinstance(result, Refused)
    return result.text.split("clawd pair approve ")[1][:8]
