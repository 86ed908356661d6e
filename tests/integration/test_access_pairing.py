"""Strangers reach nothing until an owner says so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from clawd.access import CODE_TTL_S, MAX_PENDING
from clawd.bridge import BridgeConfig
from clawd.config.schema import AccessConfig
from clawd.errors import NotFound, NotPossible
from clawd.journal.items import Push
from clawd.messages import Accepted, Address, MessageId, Refused, Sender
from clawd.testing import ManualClock, ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner

PAIRING = AccessConfig(default="pair", rate="100000/s")


def code_in(text: str) -> str:
    """Return the code in the answer to a stranger."""
    found = re.search(r"clawd pair approve ([A-Z2-9]{8})\b", text)
    assert found, text
    return found[1]


async def test_a_stranger_gets_a_code_once_and_is_let_in_by_it(state_dir: Path) -> None:
    model = ScriptedModel()
    async with Inner(state_dir, model=model, access=PAIRING) as inner:
        first = await inner.accept("hi", sender="7", language="zh")
        assert isinstance(first, Refused)
        code = code_in(first.text)
        assert first == Refused(reason="stranger", text=say("pairing", "zh", code=code))
        for _ in range(3):
            await inner.accept("hello?", sender="7")
        await inner.settled()
        assert inner.bridge.texts() == [first.text], "one answer per code"
        assert not model.requests
        principal, pairing = await inner.access.approve(f" {code.lower()} ", owner=False)
        assert (principal.id, principal.right) == ("chat:7", "chat")
        assert pairing.address == Address(bridge="chat", account="bot", chat="1")
        await inner.restart()
        assert (await inner.ask("hi", sender="7")).answer == "ok"
        with pytest.raises(NotFound):
            await inner.access.approve(code, owner=False)


async def test_an_approved_stranger_may_become_an_owner(state_dir: Path) -> None:
    async with Inner(state_dir, access=PAIRING) as inner:
        refused = await inner.accept(sender="7")
        assert isinstance(refused, Refused)
        await inner.access.approve(code_in(refused.text), owner=True)
        assert inner.access.right_of("chat", Sender(id="7")) == "owner"
        assert inner.access.right_of("other", Sender(id="7")) is None


async def test_three_strangers_at_most_wait_for_an_owner(state_dir: Path) -> None:
    clock = ManualClock()
    async with Inner(state_dir, access=PAIRING, clock=clock) as inner:
        results = [await inner.accept(sender=str(n), chat=str(n)) for n in range(MAX_PENDING + 2)]
        texts = [result.text for result in results if isinstance(result, Refused)]
        assert all(texts[:MAX_PENDING])
        assert texts[MAX_PENDING:] == ["", ""]
        assert len(inner.access.pairings()) == MAX_PENDING
        await clock.advance(CODE_TTL_S + 1)
        assert not inner.access.pairings()
        late = await inner.accept(sender="late")
        assert isinstance(late, Refused)
        assert late.text


async def test_messages_of_one_stranger_at_the_same_moment_get_one_code(state_dir: Path) -> None:
    async with Inner(state_dir, access=PAIRING) as inner:
        async with asyncio.TaskGroup() as tasks:
            accepting = [tasks.create_task(inner.accept(sender="7")) for _ in range(5)]
        codes = {code_in(r.text) for r in (t.result() for t in accepting) if isinstance(r, Refused)}
        assert len(codes) == 1
        await inner.settled()
        assert len(inner.bridge.texts()) == 1


async def test_strangers_at_the_same_moment_do_not_pass_the_limit(state_dir: Path) -> None:
    async with Inner(state_dir, access=PAIRING) as inner:
        async with asyncio.TaskGroup() as tasks:
            for n in range(10):
                tasks.create_task(inner.accept(sender=str(n), chat=str(n)))
        assert len(inner.access.pairings()) == MAX_PENDING


async def test_a_code_is_worth_nothing_after_an_hour(state_dir: Path) -> None:
    clock = ManualClock()
    async with Inner(state_dir, access=PAIRING, clock=clock) as inner:
        refused = await inner.accept(sender="7")
        assert isinstance(refused, Refused)
        await clock.advance(CODE_TTL_S + 1)
        with pytest.raises(NotFound):
            await inner.access.approve(code_in(refused.text), owner=False)
        again = await inner.accept(sender="7")
        assert isinstance(again, Refused)
        assert code_in(again.text) != code_in(refused.text)


async def test_an_approval_whose_caller_hung_up_counts_as_soon_as_it_is_committed(state_dir: Path) -> None:
    async with Inner(state_dir, access=PAIRING) as inner:
        refused = await inner.accept(sender="7")
        assert isinstance(refused, Refused)
        async with asyncio.TaskGroup() as tasks:
            approving = tasks.create_task(inner.access.approve(code_in(refused.text), owner=False))
            await asyncio.sleep(0)
            approving.cancel()
        await inner.opened.store.ping()
        assert isinstance(await inner.accept(sender="7"), Accepted)


async def test_groups_are_given_no_codes(state_dir: Path) -> None:
    async with Inner(state_dir, access=PAIRING) as inner:
        assert await inner.accept(sender="7", group=True) == Refused(reason="stranger")
        assert not inner.access.pairings()


@pytest.mark.parametrize("default", ["deny", "pair"])
async def test_who_is_named_in_the_configuration_needs_no_code(state_dir: Path, default: str) -> None:
    access = AccessConfig.model_validate({"default": default, "owners": ("chat:1",)})
    sections = {"chat": BridgeConfig(type="recording", allow=("2",))}
    async with Inner(state_dir, access=access, sections=sections) as inner:
        assert inner.access.right_of("chat", Sender(id="1")) == "owner"
        assert inner.access.right_of("chat", Sender(id="2")) == "chat"
        assert inner.access.right_of("chat", Sender(id="3")) is None
        inner.sections = {"chat": BridgeConfig(type="recording", allow=("*",))}
        inner.configure()
        assert inner.access.right_of("chat", Sender(id="3")) == "chat"


async def test_a_denied_stranger_hears_nothing(state_dir: Path) -> None:
    async with Inner(state_dir, access=AccessConfig(default="deny")) as inner:
        assert await inner.accept(sender="7") == Refused(reason="stranger")
        assert not inner.bridge.sends


async def test_a_revoked_principal_is_a_stranger_again(state_dir: Path) -> None:
    access = AccessConfig(default="pair", owners=("chat:1",), rate="100000/s")
    async with Inner(state_dir, access=access) as inner:
        refused = await inner.accept(sender="7")
        assert isinstance(refused, Refused)
        await inner.access.approve(code_in(refused.text), owner=False)
        await inner.access.revoke("chat:7")
        assert inner.access.right_of("chat", Sender(id="7")) is None
        await inner.restart()
        assert inner.access.right_of("chat", Sender(id="7")) is None
        with pytest.raises(NotPossible):
            await inner.access.revoke("chat:1")
        with pytest.raises(NotFound):
            await inner.access.revoke("chat:99")


async def test_the_word_that_somebody_is_in_goes_out_once(state_dir: Path) -> None:
    async with Inner(state_dir, access=PAIRING) as inner:
        refused = await inner.accept(sender="7")
        assert isinstance(refused, Refused)
        _, pairing = await inner.access.approve(code_in(refused.text), owner=False)
        push = Push(id=MessageId(f"paired:{pairing.code}"), address=pairing.address, text=say("paired"))
        for _ in range(2):
            await inner.journal.accept([push])
        await inner.delivered(refused.text, say("paired"))
