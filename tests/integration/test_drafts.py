"""Drafts: text that grows apart from messages and vanishes by itself; and signs beside a person's message."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.errors import DeliveryRejected, DeliveryRetryLater, ModelUnavailable
from clawd.ids import TurnId, draft_id
from clawd.messages import BridgeCapabilities
from clawd.testing import ManualClock, RecordingBridge, ScriptedModel
from tests.fakes.inner import Inner
from tests.fakes.routing import router_over
from tests.integration.test_preview_growth import Talk, begun, later

CAPABILITIES = BridgeCapabilities(text_limit=4096, edits=True, typing=True)
LIFE_S = RecordingBridge.draft_life_s


def drafting(*, previews: bool = True, marks: bool = False) -> RecordingBridge:
    return RecordingBridge("chat", capabilities=CAPABILITIES, previews=previews, drafts=True, marks=marks)


async def test_a_draft_grows_and_the_answer_is_a_message_of_its_own(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), drafting(), Talk("a ", "b ", "c")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        turn = await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await talk.give(inner)
        await later(inner, clock, 2)
        talk.end()
        await inner.delivered("a b c")
        assert [draft.text for draft in bridge.draft_calls] == ["a", "a b"]
        assert {(draft.id, draft.turn) for draft in bridge.draft_calls} == {(draft_id(turn), turn)}
        assert not bridge.preview_calls
        assert not bridge.typing, "the draft itself shows that work goes on"
        assert [(sent.text, sent.edit_of) for sent in bridge.sends] == [("a b c", None)]


async def test_an_answer_within_a_second_needs_no_draft(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), drafting(marks=True), Talk("a ", "b")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 0.9)
        talk.end()
        await inner.delivered("a b")
        assert (bridge.draft_calls, bridge.mark_calls, len(bridge.sends)) == ([], [], 1)


async def test_while_nothing_is_said_the_draft_is_empty_and_shown_again_before_it_vanishes(
    state_dir: Path,
) -> None:
    clock, bridge, talk = ManualClock(), drafting(), Talk("a")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await later(inner, clock, 1.1)
        assert [draft.text for draft in bridge.draft_calls] == [""]
        for _ in range(6):
            await later(inner, clock, LIFE_S / 6)
        assert 2 <= len(bridge.draft_calls) <= 3, "often enough to stay, and no more often"
        talk.end()
        await inner.delivered("a")


async def test_where_drafts_are_refused_edits_take_their_place(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), drafting(), Talk("a ", "b")
    bridge.next_drafts(DeliveryRejected("chat", "no drafts here"))
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await later(inner, clock, 0.1)
        talk.end()
        await inner.delivered("a b")
        assert len(bridge.draft_calls) == 1
        assert [preview.text for preview in bridge.preview_calls] == ["a"]
        assert bridge.texts() == ["a b"], "the answer replaces the preview"


async def test_a_limit_pauses_drafts_and_ends_nothing(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), drafting(), Talk("a ", "b ", "c")
    bridge.next_drafts(DeliveryRetryLater("chat", "too many", retry_after_s=9))
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await talk.give(inner)
        await later(inner, clock, 8)
        assert len(bridge.draft_calls) == 1
        await later(inner, clock, 1.1)
        assert [draft.text for draft in bridge.draft_calls] == ["a", "a b"]
        assert not bridge.preview_calls
        talk.end()
        await inner.delivered("a b c")


async def test_after_a_restart_the_draft_goes_on_under_the_same_id(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), drafting(), Talk("a")
    async with Inner(state_dir, model=ScriptedModel(talk.script), bridges=[bridge], clock=clock) as inner:
        await begun(inner, inner.model)  # type: ignore[arg-type] # the scripted one
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await inner.crash()
        again = Talk("b ", "c")
        model = inner.model = ScriptedModel(again.script)
        await inner.start()
        await model.asked()
        await again.give(inner)
        await later(inner, clock, 1.1)
        again.end()
        await inner.delivered("b c")
    assert [draft.text for draft in bridge.draft_calls] == ["a", "b"]
    assert len({draft.id for draft in bridge.draft_calls}) == 1


@pytest.mark.parametrize("fails", [False, True])
async def test_a_message_is_marked_after_a_second_and_again_when_its_turn_ends(
    state_dir: Path, fails: bool
) -> None:
    clock, bridge = ManualClock(), drafting(marks=True)
    gate = asyncio.Event()
    down = ModelUnavailable("scripted", "down")
    model = ScriptedModel([gate, down if fails else "fine"], *([down] * 20))
    async with Inner(state_dir, model=router_over(model), bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await later(inner, clock, 1.1)
        reference = bridge.mark_calls[0][0]
        assert bridge.mark_calls == [(reference, "working")]
        gate.set()
        await bridge.until(lambda: len(bridge.mark_calls) == 2)
        assert bridge.mark_calls[1] == (reference, "failed" if fails else "done")


def test_a_drafts_id_is_a_positive_number_of_31_bits_that_follows_from_the_turn() -> None:
    ids = {draft_id(TurnId(f"turn:{n}")) for n in range(2000)}
    assert len(ids) > 1990
    assert all(0 < number < 2**31 for number in ids)
    assert draft_id(TurnId("turn:1")) == draft_id(TurnId("turn:1"))
