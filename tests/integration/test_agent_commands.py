"""Commands that keep their place in the conversation, and those that never reach a model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.messages import Replied
from clawd.models.base import UserMessage
from clawd.testing import ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, message


def asked(model: ScriptedModel, request: int) -> list[str]:
    """Return the user texts of one request."""
    found = [m for m in model.requests[request].messages if isinstance(m, UserMessage)]
    return ["".join(getattr(part, "text", "") for part in m.parts) for m in found]


async def test_new_cuts_the_context_and_asks_no_model(state_dir: Path) -> None:
    model = ScriptedModel("one", "two", "three")
    async with Inner(state_dir, model=model) as inner:
        for text in ("a", "b", "/new", "c"):
            await inner.ask(text)
        await inner.delivered("one", "two", say("new_session"), "three")
    assert [asked(model, n) for n in range(3)] == [["a"], ["a", "b"], ["c"]]


async def test_new_keeps_its_place_behind_what_was_said_before(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, "one"], "two")
    async with Inner(state_dir, model=model) as inner:
        await inner.say("a")
        await model.asked()
        await inner.say("/new")
        await inner.say("b")
        held.set()
        await inner.delivered("one", say("new_session"), "two")
    assert asked(model, 1) == ["b"]


async def test_model_pins_a_model_for_the_conversation_and_survives_a_restart(state_dir: Path) -> None:
    model = ScriptedModel()
    async with Inner(state_dir, model=model) as inner:
        assert (await inner.ask("/model other")).answer == say("model_set", model="other")
        await inner.restart()
        await inner.ask("hi")
        await inner.ask("hi", chat="elsewhere")
        assert [request.pin for request in model.requests] == ["other", None]
        shown = say("model_current", model="other", available="scripted, other")
        assert (await inner.ask("/model")).answer == shown
        assert (await inner.ask("/model default")).answer == say("model_default", model="scripted")
        await inner.ask("hi")
        assert model.requests[-1].pin is None


async def test_an_unknown_model_is_named_and_changes_nothing(state_dir: Path) -> None:
    model = ScriptedModel()
    async with Inner(state_dir, model=model) as inner:
        answer = (await inner.ask("/model gpt-99")).answer
        assert answer == say("model_unknown", name="gpt-99", available="scripted, other")
        await inner.ask("hi")
    assert [request.pin for request in model.requests] == [None]


@pytest.mark.parametrize("tag", ["zh", "ZH", "zh-Hans", "zh_CN"])
async def test_lang_changes_the_language_of_every_sentence(state_dir: Path, tag: str) -> None:
    model = ScriptedModel([asyncio.Event()])
    async with Inner(state_dir, model=model) as inner:
        assert (await inner.ask(f"/lang {tag}", language="en")).answer == say("language_set", "zh")
        assert (await inner.ask("/new", language="en")).answer == say("new_session", "zh")
        assert await inner.accept("/help", language="en") == Replied(text=say("help", "zh"))
        status = await inner.accept("/status", language="en")
        assert isinstance(status, Replied)
        assert say("status", "zh", version="1", uptime="-", model="m", queued=0, running=0) == status.text
        turn = await inner.say(language="en")
        await model.asked()
        assert await inner.accept("/stop", language="en") == Replied(text=say("stopping", "zh"))
        assert (await inner.ended(turn)).answer == say("stopped", "zh")
        assert await inner.accept("/help", chat="2", language="en") == Replied(text=say("help", "en"))


async def test_a_language_nobody_wrote_sentences_for_is_refused(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        assert (await inner.ask("/lang tlh")).answer == say("language_unknown", name="tlh")
        assert (await inner.ask("/lang")).answer == say("language_current", language="en")
        zh = await inner.ask("/lang", language="zh-TW")
        assert zh.answer == say("language_current", "zh", language="zh")


@pytest.mark.parametrize("bridge", ["chat", "api"])
async def test_an_unknown_command_never_reaches_the_model(state_dir: Path, bridge: str) -> None:
    model = ScriptedModel()
    async with Inner(state_dir, model=model) as inner:
        nearest = say("unknown_command", name="modle", hint=say("did_you_mean", name="model"))
        assert await inner.accept("/modle x", bridge=bridge) == Replied(text=nearest)
        help_ = say("unknown_command", name="xyzzy", hint=say("see_help"))
        assert await inner.accept("/xyzzy", bridge=bridge) == Replied(text=help_)
        await inner.settled()
        assert inner.bridge.texts() == ([nearest, help_] if bridge == "chat" else [])
        assert not model.requests
        assert not await inner.views.turns()


async def test_queries_are_answered_while_a_turn_is_in_work(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()])
    async with Inner(state_dir, model=model) as inner:
        await inner.say()
        await model.asked()
        await inner.say("queued")
        await inner.accept("/status")
        expected = say("status", version="1", uptime="-", model="m", queued=1, running=1)
        await inner.bridge.until(lambda: inner.bridge.texts() == [expected])
        await inner.accept("/start")
        await inner.bridge.until(lambda: inner.bridge.texts()[-1] == say("welcome"))


async def test_commands_stay_out_of_what_the_model_is_shown(state_dir: Path) -> None:
    model = ScriptedModel()
    async with Inner(state_dir, model=model) as inner:
        for text in ("a", "/model other", "/lang en", "b"):
            await inner.ask(text)
    assert asked(model, 1) == ["a", "b"]


async def test_a_path_is_no_command(state_dir: Path) -> None:
    model = ScriptedModel()
    async with Inner(state_dir, model=model) as inner:
        await inner.ask("/usr/bin/env is missing")
    assert model.requests[0].messages[-1] == UserMessage(message("/usr/bin/env is missing").parts)
