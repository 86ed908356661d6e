"""Which models a message asks: by rules, by the conversation's pin, by its own wish; and over a crash."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.config.schema import AccessConfig, AgentConfig, RouteConfig, RouteRule
from clawd.errors import ModelUnavailable
from clawd.journal.records import ModelIntent
from clawd.messages import SPLIT_TEXT, Replied, text_of
from clawd.models.base import ModelRequest, RequestTags, UserMessage
from clawd.testing import ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, Routed, message
from tests.fakes.tools import ScriptedTool, call

DEEP = RouteConfig(models=("reasoner", "talker"), rules=(RouteRule(prefix="/think"), RouteRule(length=200)))
ROUTES = {"default": RouteConfig(models=("talker", "reasoner")), "deep": DEEP}
TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")


class Two:
    """A talker and a reasoner behind one router."""

    def __init__(self, talker: ScriptedModel | None = None, reasoner: ScriptedModel | None = None) -> None:
        self.talker = talker or ScriptedModel(name="talker")
        self.reasoner = reasoner or ScriptedModel(name="reasoner")
        self.router = Routed(self.talker, self.reasoner, default=("talker",), deep=("reasoner",), usd=0.25)

    def inner(self, state_dir: Path, **sections: object) -> Inner:
        models = ("talker", "reasoner")
        return Inner(state_dir, model=self.router, models=models, routes=ROUTES, **sections)  # type: ignore[arg-type]


def asked(request: ModelRequest) -> str:
    last = request.messages[-1]
    assert isinstance(last, UserMessage)
    return text_of(last.parts)


@pytest.mark.parametrize("bridge", ["chat", "api", "terminal"])
async def test_a_prefix_takes_its_route_at_every_door_and_the_model_is_shown_the_rest(
    state_dir: Path, bridge: str
) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        assert (await inner.ask("hi", bridge=bridge)).model == "talker"
        assert (await inner.ask("/think why?", bridge=bridge)).model == "reasoner"
        assert (await inner.ask("and now?", bridge=bridge)).model == "talker"
    assert asked(two.reasoner.requests[0]) == "why?"
    assert two.reasoner.requests[0].route == "deep"
    shown = [text_of(m.parts) for m in two.talker.requests[-1].messages if isinstance(m, UserMessage)]
    assert shown == ["hi", "why?", "and now?"]


async def test_a_prefix_alone_is_answered_with_how_to_use_it_and_help_names_them_all(state_dir: Path) -> None:
    async with Two().inner(state_dir) as inner:
        assert await inner.accept("/think", language="zh") == Replied(
            text=say("prefix_alone", "zh", prefix="/think")
        )
        told = await inner.accept("/help")
        assert isinstance(told, Replied)
        assert told.text == f"{say('help')}\n{say('help_prefix', prefix='/think', route='deep')}"
        unknown = await inner.accept("/thnik why?")
        hint = say("did_you_mean", name="think")
        assert unknown == Replied(text=say("unknown_command", name="thnik", hint=hint))


async def test_a_question_that_took_a_route_takes_it_again_with_retry(state_dir: Path) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        await inner.ask("/think why?")
        assert (await inner.ask("/retry")).model == "reasoner"
    assert asked(two.reasoner.requests[1]) == "why?"


async def test_the_pieces_of_a_message_choose_the_route_together(state_dir: Path) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        await inner.inbox.accept([message("a" * 150, piece_of=SPLIT_TEXT), message("b" * 150)])
        await inner.settled()
    assert [len(r.messages) for r in two.reasoner.requests] == [3]
    assert not two.talker.requests


async def test_a_turn_keeps_its_route_whatever_steers_it_later(state_dir: Path) -> None:
    held = asyncio.Event()
    two = Two(talker=ScriptedModel([call()], "done", name="talker"))
    tool = ScriptedTool(held)
    async with two.inner(state_dir, agent=AgentConfig(busy="steer"), tools=[tool], access=TOOLS) as inner:
        turn = await inner.say("hi")
        await tool.called()
        await inner.say("x" * 300)  # alone, this would take the other route
        await inner.say("/think of this alone")
        held.set()
        assert (await inner.ended(turn)).model == "talker"
        await inner.settled()
    assert asked(two.talker.requests[1]) == "x" * 300
    assert [asked(r) for r in two.reasoner.requests] == ["of this alone"], "a prefix keeps its own turn"


async def test_a_route_holds_over_a_crash_in_the_middle_of_the_turn(state_dir: Path) -> None:
    two = Two(reasoner=ScriptedModel([call()], [asyncio.Event()], "at last", name="reasoner"))
    async with two.inner(state_dir, tools=[ScriptedTool()], access=TOOLS) as inner:
        turn = await inner.say("/think why?")
        await two.reasoner.asked(2)
        await inner.restart()
        view = await inner.ended(turn)
        assert (view.model, view.answer) == ("reasoner", "at last")
    assert not two.talker.requests


async def test_a_messages_own_model_comes_before_the_conversations_and_that_before_the_rules(
    state_dir: Path,
) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        assert (await inner.ask("/model reasoner")).answer == say("model_set", model="reasoner")
        await inner.ask("pinned")
        await inner.ask("wished", model="talker")
        await inner.ask("again")
        await inner.ask("/model default")
        await inner.ask("by route", model="deep")
        await inner.ask("/think but by default", model="default")
    pins = [(asked(r), r.route, r.pin) for r in (*two.talker.requests, *two.reasoner.requests)]
    assert sorted(pins) == [
        ("again", "default", "reasoner"),
        ("but by default", "default", None),
        ("by route", "deep", None),
        ("pinned", "default", "reasoner"),
        ("wished", "default", "talker"),
    ]


async def test_a_messages_own_model_holds_over_a_crash(state_dir: Path) -> None:
    two = Two(reasoner=ScriptedModel([asyncio.Event()], "at last", name="reasoner"))
    async with two.inner(state_dir) as inner:
        turn = await inner.say("hi", model="reasoner")
        await two.reasoner.asked()
        await inner.restart()
        assert (await inner.ended(turn)).model == "reasoner"


async def test_a_strict_pin_is_kept_and_asked_for_until_it_is_taken_back(state_dir: Path) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        assert (await inner.ask("/model reasoner strict")).answer == say("model_set_strict", model="reasoner")
        await inner.ask("/lang en")
        await inner.restart()
        await inner.ask("one")
        shown = say("model_strict", model="reasoner")
        available = say("models_and_routes", models="talker, reasoner", routes="default, deep")
        assert (await inner.ask("/model")).answer == say("model_current", model=shown, available=available)
        await inner.ask("/model reasoner")
        await inner.ask("two")
        await inner.ask("/model deep strict")
        await inner.ask("three")
    assert [(r.route, r.pin, r.strict) for r in two.reasoner.requests] == [
        ("default", "reasoner", True),
        ("default", "reasoner", False),
        ("deep", None, True),
    ]


async def test_a_pinned_model_that_is_gone_leaves_the_answer_to_the_route_and_is_told(
    state_dir: Path,
) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        await inner.ask("/model reasoner")
        inner.models = ("talker",)
        await inner.restart()
        view = await inner.ask("hi")
        assert (view.state, view.model) == ("answered", "talker")
        assert (view.answer, view.notice) == ("ok", say("model_gone_kept", model="reasoner"))
        here = say("model_gone_now", model="reasoner")
        available = say("models_and_routes", models="talker", routes="default, deep")
        assert (await inner.ask("/model")).answer == say("model_current", model=here, available=available)
        await inner.ask("/model default")
        by_rules = say("model_by_rules", model="talker")
        assert (await inner.ask("/model")).answer == say("model_current", model=by_rules, available=available)
        assert (await inner.ask("again")).notice == ""
    assert [r.pin for r in two.talker.requests] == [None, None]


async def test_a_strict_pin_that_is_gone_says_so_and_asks_nobody(state_dir: Path) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        await inner.ask("/model reasoner strict")
        inner.models = ("talker",)
        await inner.restart()
        view = await inner.ask("hi")
        assert (view.state, view.answer) == ("failed", say("failed_gone", model="reasoner"))
        assert view.error is not None
        assert view.error.startswith("E-MODEL-UNKNOWN: ")
        assert (await inner.ask("/compact")).answer == say("failed_gone", model="reasoner")
        assert (await inner.ask("/model")).answer.startswith("Model: reasoner alone, which is not here")
    assert not two.talker.requests
    assert not two.reasoner.requests


async def test_a_messages_own_model_that_went_before_its_turn_leaves_it_to_the_route(state_dir: Path) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        view = await inner.ask("hi", model="vanished")
        assert (view.model, view.notice) == ("talker", say("model_gone", model="vanished"))


async def test_what_is_asked_is_noted_with_its_reserve_and_on_whose_behalf(state_dir: Path) -> None:
    two = Two()
    async with two.inner(state_dir) as inner:
        view = await inner.ask("hi")
        rows = await inner.opened.store.read("SELECT body FROM journal WHERE kind = ?", (ModelIntent.kind,))
        assert '"model":"talker","reserve_usd":0.25' in rows[0][0]
        assert view.state == "answered"
    (request,) = two.talker.requests
    where = str(message().address)
    assert request.tags == RequestTags(bridge="chat", conversation=where, user="chat:42")
    assert request.input_tokens is not None
    assert 0 < request.input_tokens < 100


async def test_nobody_to_ask_is_told_by_the_request_itself(state_dir: Path) -> None:
    class Nobody(Routed):
        def reserve(self, request: ModelRequest) -> object:  # type: ignore[override]
            raise ModelUnavailable("talker", "out of service")

    down = ModelUnavailable("talker", "out of service", transient=False)
    async with Inner(state_dir, model=Nobody(ScriptedModel(down))) as inner:
        assert (await inner.ask()).answer == say("failed_models")
