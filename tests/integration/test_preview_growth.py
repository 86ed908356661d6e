"""What a chat shows while a turn is in work: nothing, typing, a preview that grows, then the answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from clawd.config.schema import DeliveryConfig
from clawd.delivery import preview
from clawd.errors import (
    DeliveryError,
    DeliveryMoved,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
    ModelUnavailable,
)
from clawd.fanout import Delta
from clawd.ids import TurnId
from clawd.journal.items import Push
from clawd.messages import BridgeCapabilities, MessageId
from clawd.testing import ArrivedBut, ManualClock, RecordingBridge, ScriptedModel, Step
from clawd.texts import say
from tests.fakes.inner import Inner, message
from tests.fakes.routing import router_over

MARK = DeliveryConfig().repeat_mark
ADDRESS = message().address
INTERVAL_S = BridgeCapabilities(text_limit=1).preview_interval_s


class Talk:
    """An answer that is given piece by piece, when the test says so."""

    def __init__(self, *pieces: str) -> None:
        self.gates = [asyncio.Event() for _ in (*pieces, "the end")]
        self.script: list[Step] = []
        for gate, piece in zip(self.gates, pieces, strict=False):
            self.script += [gate, piece]
        self.script.append(self.gates[-1])
        self.pieces = pieces

    async def give(self, inner: Inner, count: int = 1) -> None:
        """Let the model say its next pieces, and wait until they are heard."""
        for _ in range(count):
            said = sum(gate.is_set() for gate in self.gates)
            self.gates[said].set()
            whole = "".join(self.pieces[: said + 1])
            async with asyncio.timeout(30):
                while (live := inner.fanout.live(ADDRESS)) is None or not live.text.endswith(whole):
                    await asyncio.sleep(0)

    def end(self) -> None:
        """Let the model say the rest and stop."""
        for gate in self.gates:
            gate.set()


def growing(**fields: object) -> RecordingBridge:
    """Return a bridge that wants previews."""
    capabilities = BridgeCapabilities(**{"text_limit": 4096, "edits": True, "typing": True, **fields})  # type: ignore[arg-type] # checked by the dataclass
    return RecordingBridge("chat", capabilities=capabilities, previews=True)


async def later(inner: Inner, clock: ManualClock, seconds: float) -> None:
    """Let time pass and everybody who shows something see it."""
    await clock.advance(seconds)
    inner.journal.outgoing.set()
    followers = tuple(inner.live_view._followers.values())
    for follower in followers:
        follower.wake.set()
    for _ in range(60):  # what they do takes a commit or two; who is held in a call stays there
        await inner.opened.store.ping()
        if all(f.wake.idle or f.over.is_set() for f in followers) and inner.journal.outgoing.idle:
            break


async def begun(inner: Inner, model: ScriptedModel, requests: int = 1) -> TurnId:
    """Bring a message in and return once its model is asked and somebody follows it."""
    turn = await inner.say()
    await model.asked(requests)
    async with asyncio.timeout(30):
        while turn not in inner.live_view._followers:
            await asyncio.sleep(0)
    return turn


async def test_an_answer_within_a_second_takes_one_call(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("a ", "b ", "c")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner, 2)
        await later(inner, clock, 0.9)
        talk.end()
        await inner.delivered("a b c")
        assert (bridge.typing, bridge.preview_calls, len(bridge.sends)) == ([], [], 1)


async def test_typing_is_shown_after_a_second_without_text_and_again_every_few(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("a")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await later(inner, clock, 0.9)
        assert not bridge.typing
        await later(inner, clock, 0.2)
        assert bridge.typing == [ADDRESS]
        await later(inner, clock, preview.TYPING_EVERY_S - 0.1)
        assert len(bridge.typing) == 1
        await later(inner, clock, 0.2)
        assert len(bridge.typing) == 2
        await talk.give(inner)
        await later(inner, clock, 0.1)
        assert not bridge.preview_calls, "the answer may be whole in a moment"
        await later(inner, clock, preview.FIRST_TEXT_S)
        assert [p.text for p in bridge.preview_calls] == ["a"]
        await later(inner, clock, 60)
        assert len(bridge.typing) == 2, "the growing text itself shows that work goes on"
        talk.end()
        await inner.delivered("a")


async def test_a_preview_grows_by_edits_at_the_platforms_pace_and_becomes_the_answer(
    state_dir: Path,
) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("one ", "two ", "three ", "four ", "five")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        turn = await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        assert bridge.texts() == ["one"]
        await talk.give(inner, 2)
        await later(inner, clock, INTERVAL_S - 0.1)
        assert bridge.texts() == ["one"], "an edit too early would be refused"
        await later(inner, clock, 0.2)
        assert bridge.texts() == ["one two three"]
        await later(inner, clock, 60)
        assert len(bridge.preview_calls) == 2, "nothing new, no edit"
        await talk.give(inner)
        await later(inner, clock, 0.1)
        talk.end()
        await inner.delivered("one two three four five")
        assert len(bridge.shown) == 1
        (final,) = bridge.sends
        assert (final.edit_of, final.part, final.turn) == (bridge.shown[0].remote_id, 0, turn)
        (row,) = (await inner.views.trace(turn)).deliveries
        assert (row.state, row.remote_id) == ("sent", bridge.shown[0].remote_id)


async def test_a_group_is_edited_less_often(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("one ", "two ", "three")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await inner.say(group=True)
        await model.asked()
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await talk.give(inner)
        await later(inner, clock, bridge.capabilities.group_preview_interval_s - 0.1)
        assert bridge.texts() == ["one"]
        await later(inner, clock, 0.2)
        assert bridge.texts() == ["one two"]
        talk.end()
        await inner.delivered("one two three")


async def test_a_long_answer_keeps_its_preview_as_the_first_part(state_dir: Path) -> None:
    clock, bridge = ManualClock(), growing(text_limit=512)
    talk = Talk("start ", "word " * 300)
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        turn = await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await talk.give(inner)
        await later(inner, clock, INTERVAL_S + 0.1)
        assert len(bridge.texts()) == 1
        assert len(bridge.texts()[0]) <= 512
        talk.end()
        await inner.ended(turn)
        await inner.settled()
        assert [m.part for m in bridge.sends] == list(range(bridge.sends[0].parts))
        assert " ".join(bridge.texts()).split() == ["start", *["word"] * 300]
        assert bridge.sends[0].edit_of == "r1"
        assert all(m.edit_of is None for m in bridge.sends[1:])


@pytest.mark.parametrize(
    ("error", "arrived", "left"),
    [
        (DeliveryRejected("chat", "400"), False, ["whole"]),
        (DeliveryRetryLater("chat", "no connection"), False, ["whole"]),
        (DeliveryUnauthorized("chat", "401"), False, ["whole"]),
        (DeliveryMoved("chat", "moved", chat="-100"), False, ["whole"]),
        (DeliveryUnknown("chat", "timed out"), True, ["who", f"{MARK}\nwhole"]),
        (KeyError("a bug"), True, ["who", f"{MARK}\nwhole"]),
    ],
)
async def test_a_preview_that_can_not_be_shown_gives_way_to_a_normal_answer(
    state_dir: Path, error: Exception, arrived: bool, left: list[str]
) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("who", "le")
    bridge.next_previews(ArrivedBut(error) if arrived else error)
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await later(inner, clock, 60)
        assert len(bridge.preview_calls) == 1, "tried once"
        talk.end()
        await inner.delivered(*left)
        assert [m.edit_of for m in bridge.sends] == [None]


async def test_a_first_preview_that_is_limited_is_shown_when_the_pause_is_over(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("one ", "two ", "three")
    bridge.next_previews(DeliveryRetryLater("chat", "429", retry_after_s=20))
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        turn = await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        assert len(bridge.preview_calls) == 1
        assert not (await inner.views.trace(turn)).deliveries, "nothing was sent, so nothing is in doubt"
        await talk.give(inner)
        await later(inner, clock, 19)
        assert len(bridge.preview_calls) == 1
        await later(inner, clock, 1.1)
        assert bridge.texts() == ["one two"]
        talk.end()
        await inner.delivered("one two three")
        assert len(bridge.shown) == 1


async def test_a_preview_without_an_id_is_not_shown_over_and_over(state_dir: Path) -> None:
    class Idless(RecordingBridge):
        async def preview(self, preview):  # type: ignore[no-untyped-def] # as its base
            return replace(await super().preview(preview), remote_id=None)

    clock, talk = ManualClock(), Talk("one ", "two ", "three")
    bridge = Idless("chat", previews=True)
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await talk.give(inner)
        await later(inner, clock, 10)
        talk.end()
        await inner.delivered("one", f"{MARK}\none two three")


async def test_an_edit_that_may_have_arrived_is_repeated_unmarked_with_the_mark_beside_it(
    state_dir: Path,
) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("who", "le")
    bridge.next_sends(DeliveryUnknown("chat", "timed out"))
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        talk.end()
        await bridge.until(lambda: len(bridge.sends) == 1)
        while inner.outbox._sending:
            await asyncio.wait(inner.outbox._sending)  # its outcome is committed
        async with asyncio.timeout(30):
            while len(bridge.sends) < 2:  # when it is due counts from its commit
                await later(inner, clock, 1.1)
        await inner.delivered("whole")
        # For a platform that takes no edit any more: what it shows anew says so.
        assert [m.repeat_mark for m in bridge.sends] == ["", MARK]
        assert [m.edit_of for m in bridge.sends] == ["r1", "r1"]


async def test_an_edit_that_is_limited_pauses_the_preview_and_the_answer_still_comes(
    state_dir: Path,
) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("one ", "two ", "three")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        bridge.next_previews(DeliveryRetryLater("chat", "429", retry_after_s=20))
        await talk.give(inner)
        await later(inner, clock, INTERVAL_S + 0.1)
        assert len(bridge.preview_calls) == 2
        await later(inner, clock, 19)
        assert len(bridge.preview_calls) == 2
        await later(inner, clock, 1.1)
        assert bridge.texts() == ["one two"]
        talk.end()
        await inner.delivered("one two three")


@pytest.mark.parametrize(
    "error", [DeliveryRejected("chat", "gone"), DeliveryUnknown("chat", "?"), KeyError("x")]
)
async def test_an_edit_that_fails_ends_the_preview_and_the_answer_is_still_an_edit(
    state_dir: Path, error: DeliveryError
) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("one ", "two ", "three")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        bridge.next_previews(error)
        await talk.give(inner)
        await later(inner, clock, 10)
        await later(inner, clock, 10)
        assert len(bridge.preview_calls) == 2
        talk.end()
        await inner.delivered("one two three")
        assert len(bridge.shown) == 1


async def test_another_model_replaces_the_whole_preview(state_dir: Path) -> None:
    clock, bridge = ManualClock(), growing()
    broken = asyncio.Event()
    first = ScriptedModel(["a wrong start", broken, ModelUnavailable("first", "reset")], name="first")
    talk = Talk("right ", "answer")
    second = ScriptedModel(talk.script, name="second")
    router = router_over(first, second, clock=clock)
    async with Inner(state_dir, model=router, bridges=[bridge], clock=clock) as inner:
        await begun(inner, first)
        await later(inner, clock, 1.1)
        assert bridge.texts() == ["a wrong start"]
        broken.set()
        await second.asked()
        await talk.give(inner)
        await later(inner, clock, INTERVAL_S + 0.1)
        assert bridge.texts() == ["right"]
        talk.end()
        await inner.delivered("right answer")
        assert bridge.shown[0].history == ["a wrong start", "right", "right answer"]


async def test_a_turn_resumed_after_a_crash_edits_the_message_that_it_had_begun(state_dir: Path) -> None:
    clock, bridge = ManualClock(), growing()
    talk, again = Talk("first try"), Talk("second ", "try")
    model = ScriptedModel(talk.script, again.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        assert bridge.texts() == ["first try"]
        await inner.restart()
        await model.asked(2)
        await again.give(inner)
        async with asyncio.timeout(30):
            while bridge.texts() != ["second"]:  # what it resumes is read meanwhile
                await later(inner, clock, 1.1)
        again.end()
        await inner.delivered("second try")
        assert len(bridge.shown) == 1


async def test_a_crash_before_the_previews_id_was_known_leads_to_a_marked_answer(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("first try")
    bridge.next_previews(asyncio.Event())
    model = ScriptedModel(talk.script, "whole")
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        assert len(bridge.preview_calls) == 1
        await inner.restart()
        await inner.delivered(f"{MARK}\nwhole")


async def test_a_turn_stopped_in_its_preview_ends_as_an_edit_of_it(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("half a story", "never said")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        turn = await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        await inner.accept("/stop")
        await inner.ended(turn)
        await inner.delivered(f"half a story\n\n{say('cut')}")
        assert len(bridge.shown) == 1


async def test_an_answer_that_is_ready_while_its_preview_is_on_the_wire_waits_for_it(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("who", "le")
    on_the_wire = asyncio.Event()
    bridge.next_previews(on_the_wire)
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        turn = await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        talk.end()
        await inner.ended(turn)
        await inner.outbox.ping()
        assert not bridge.sends
        on_the_wire.set()
        await inner.delivered("whole")
        assert len(bridge.shown) == 1


async def test_a_late_edit_never_overwrites_the_answer(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("one ", "two ", "three")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        turn = await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        slow = asyncio.Event()
        bridge.next_previews(slow)
        await talk.give(inner)
        await later(inner, clock, INTERVAL_S + 0.1)
        assert len(bridge.preview_calls) == 2
        talk.end()
        await inner.ended(turn)
        await inner.outbox.ping()
        slow.set()
        await inner.delivered("one two three")
        assert bridge.shown[0].history[-1] == "one two three"


async def test_a_preview_does_not_overtake_what_waits_for_the_chat(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("who", "le")
    bridge.next_sends(DeliveryRetryLater("chat", "429", retry_after_s=30))
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await inner.journal.accept([Push(id=MessageId("push:1"), address=ADDRESS, text="older")])
        await bridge.until(lambda: len(bridge.sends) == 1)
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 2)
        assert not bridge.preview_calls
        talk.end()
        await later(inner, clock, 30)
        await inner.delivered("older", "whole")


async def test_a_preview_noted_while_the_disk_is_full_does_not_lose_the_answer(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("who", "le")
    on_the_wire = asyncio.Event()
    bridge.next_previews(on_the_wire)
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        async with inner.locked():
            on_the_wire.set()
            await clock.sleeping()
        talk.end()
        await later(inner, clock, 2)
        await inner.delivered("whole")
        assert len(bridge.shown) == 1


async def test_a_bridge_whose_typing_breaks_still_gets_its_answer(state_dir: Path) -> None:
    class Broken(RecordingBridge):
        async def working(self, address):  # type: ignore[no-untyped-def] # as its base
            raise KeyError("a bug")

    clock, talk = ManualClock(), Talk("a", "b")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[Broken("chat")], clock=clock) as inner:
        await begun(inner, model)
        await later(inner, clock, 1.1)
        await talk.give(inner)
        talk.end()
        await inner.delivered("ab")


@pytest.mark.parametrize("call", ["preview", "working"])
async def test_a_call_that_never_returns_holds_the_answer_only_for_so_long(
    state_dir: Path, call: str
) -> None:
    class Hanging(RecordingBridge):
        async def working(self, address):  # type: ignore[no-untyped-def] # as its base
            if call == "working":
                await asyncio.Event().wait()

    clock, talk = ManualClock(), Talk("who", "le")
    bridge = Hanging("chat", previews=call == "preview")
    bridge.next_previews(asyncio.Event())
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock, call_timeout_s=0.05) as inner:
        await begun(inner, model)
        if call == "preview":
            await talk.give(inner)
        await later(inner, clock, 1.1)
        talk.end()
        await inner.delivered("whole" if call == "working" else f"{MARK}\nwhole")


async def test_a_bridge_that_can_do_neither_just_gets_the_answer(state_dir: Path) -> None:
    clock, talk = ManualClock(), Talk("a", "b")
    bridge = RecordingBridge("chat", capabilities=BridgeCapabilities(text_limit=1000))
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 10)
        talk.end()
        await inner.delivered("ab")
        assert not bridge.typing


async def test_followers_are_gone_when_their_turns_are(state_dir: Path) -> None:
    bridge = growing()
    async with Inner(state_dir, bridges=[bridge]) as inner:
        for n in range(20):
            await inner.say(chat=str(n))
        await inner.settled()
        async with asyncio.timeout(30):
            while inner.live_view._followers:
                await asyncio.sleep(0)


async def test_an_event_without_text_shows_nothing(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(typing=False), Talk("a")
    model = ScriptedModel(talk.script)
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        turn = await begun(inner, model)
        inner.fanout.publish(ADDRESS, Delta(turn=turn, attempt=1, offset=0, text=""))
        await later(inner, clock, 5)
        assert not bridge.preview_calls
        talk.end()
        await inner.delivered("a")


async def test_a_stop_waits_for_a_preview_that_is_on_the_wire(state_dir: Path) -> None:
    clock, bridge, talk = ManualClock(), growing(), Talk("who", "le")
    on_the_wire = asyncio.Event()
    bridge.next_previews(on_the_wire)
    model = ScriptedModel(talk.script, "whole")
    async with Inner(state_dir, model=model, bridges=[bridge], clock=clock) as inner:
        await begun(inner, model)
        await talk.give(inner)
        await later(inner, clock, 1.1)
        assert len(bridge.preview_calls) == 1
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(inner.stop())
            await asyncio.wait({stopping}, timeout=0.3)
            assert not stopping.done()
            on_the_wire.set()
            await stopping
        await inner.start()
        await inner.delivered("whole")
        assert len(bridge.shown) == 1
