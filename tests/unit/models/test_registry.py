from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clawd.config.base import Secret
from clawd.config.schema import Config, ModelConfig, PriceConfig, RouteConfig
from clawd.errors import ModelAuthError, ModelsExhausted, ModelUnavailable, NotFound
from clawd.models.base import (
    AssistantMessage,
    ModelPlugin,
    ModelRequest,
    ToolCall,
    ToolMessage,
    UserMessage,
    collect,
)
from clawd.models.chat import PLUGIN as CHAT
from clawd.models.chat_config import ChatConfig
from clawd.models.demo import PLUGIN as DEMO
from clawd.models.demo import DemoConfig
from clawd.models.paces import Paces
from clawd.models.registry import ModelSet, build_models
from clawd.models.states import RecentStates
from clawd.testing import ManualClock, ScriptedModel
from clawd.tools.base import ToolSpec
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.unit.models.conftest import ask, make_context

SPEC = ToolSpec(name="time", description="d", parameters={"type": "object"}, effect="pure")


async def _build(*models: ScriptedModel, **routes: tuple[str, ...]) -> ModelSet:
    by_name = {model.name: model for model in models}
    plugin: ModelPlugin[Any] = ModelPlugin(
        type="scripted", config=ModelConfig, create=lambda _context, config: by_name[config.name]
    )
    config = Config(
        models=tuple(ModelConfig(name=model.name, type="scripted") for model in models),
        routes={name: RouteConfig(models=names) for name, names in routes.items()},
    )
    return await build_models(config, {"scripted": plugin}, make_context(ManualClock()))


async def test_without_routes_the_order_of_the_list_is_the_default_route() -> None:
    a, b = ScriptedModel(ModelUnavailable("a", "down"), name="a"), ScriptedModel("from b", name="b")
    models = await _build(a, b)
    assert (await collect(models.router, ask())).text == "from b"
    assert models.routes == {"default": ("a", "b")}


async def test_a_request_takes_its_own_route_and_an_unknown_one_is_an_error() -> None:
    models = await _build(ScriptedModel(name="a"), ScriptedModel(name="b"), default=("a",), fast=("b",))
    assert (await collect(models.router, ask(route="fast"))).model == "b"
    with pytest.raises(ModelUnavailable, match="no model 'gone', nor a route") as caught:
        await collect(models.router, ask(route="gone"))
    assert "routes are default, fast" in caught.value.why


async def test_summaries_take_the_default_route_unless_they_have_their_own() -> None:
    models = await _build(ScriptedModel(name="a"), ScriptedModel(name="b"), default=("b",))
    assert (await collect(models.router, ask(route="summary"))).model == "b"


async def test_a_pin_may_name_a_route() -> None:
    models = await _build(ScriptedModel(name="a"), ScriptedModel(name="b"), default=("a",), fast=("b",))
    assert (await collect(models.router, ask(pin="fast"))).model == "b"


async def test_a_pinned_model_is_tried_first_and_the_route_stands_by() -> None:
    b = ScriptedModel("from b", ModelUnavailable("b", "down"), name="b")
    models = await _build(ScriptedModel(name="a"), b, default=("a",))
    assert (await collect(models.router, ask(pin="b"))).model == "b"
    assert (await collect(models.router, ask(pin="b"))).model == "a"


async def test_an_unknown_pin_says_so() -> None:
    models = await _build(ScriptedModel(name="a"))
    with pytest.raises(ModelUnavailable, match="no model 'x'") as caught:
        await collect(models.router, ask(pin="x"))
    assert "models are a; routes are default" in caught.value.why


async def test_a_route_passes_over_models_that_were_not_found() -> None:
    models = await _build(ScriptedModel(name="a"), default=("gone", "a"), lost=("gone",))
    assert (await collect(models.router, ask())).model == "a"
    with pytest.raises(ModelUnavailable, match="no model 'gone'"):
        await collect(models.router, ask(route="lost"))


async def test_a_model_without_tools_gets_none_and_reads_earlier_calls_as_text() -> None:
    plain = ScriptedModel(name="a", offers_tools=False)
    models = await _build(plain)
    history = (
        *ask("what time is it?").messages,
        AssistantMessage(text="", tool_calls=(ToolCall(id="1", name="time", arguments="{}"),)),
        ToolMessage(call_id="1", name="time", text="noon"),
    )
    await collect(models.router, ModelRequest(messages=history, tools=(SPEC,)))
    (seen,) = plain.requests
    assert seen.tools == ()
    assert [type(m) for m in seen.messages] == [UserMessage, UserMessage]
    assert "noon" in str(seen.messages[-1])


async def test_a_model_with_tools_gets_them() -> None:
    able = ScriptedModel(name="a")
    models = await _build(able)
    await collect(models.router, ask(tools=(SPEC,)))
    assert able.requests[0].tools == (SPEC,)


async def test_calls_and_errors_are_counted_and_the_last_error_fades() -> None:
    down = ModelUnavailable("a", "down", why="HTTP 500", transient=False)
    models = await _build(ScriptedModel(down, "fine", name="a"), fast=("a",))
    with pytest.raises(ModelsExhausted):
        await collect(models.router, ask())
    (info,) = models.infos()
    assert (info.calls, info.errors, info.last_error) == (1, 1, "model a: down (HTTP 500)")
    assert info.last_error_at is not None
    await collect(models.router, ask())
    (info,) = models.infos()
    assert (info.calls, info.errors, info.last_error, info.last_error_at) == (2, 1, "", None)
    assert (info.type, info.model, info.place, info.found) == (
        "scripted",
        "script",
        "in this process",
        "config",
    )
    assert set(info.routes) == {"default", "fast"}


async def test_a_probe_goes_to_the_named_model_only() -> None:
    models = await _build(ScriptedModel(name="a"))
    assert await models.probe("a") == "a answers by a script"
    with pytest.raises(NotFound, match="no model 'b'"):
        await models.probe("b")


async def test_a_model_that_a_person_has_seen_to_answer_is_back_in_service() -> None:
    models = await _build(ScriptedModel(ModelAuthError("a", "refused"), name="a"))
    with pytest.raises(ModelsExhausted):
        await collect(models.router, ask())
    assert models.infos()[0].breaker.state == "open"
    await models.probe("a")
    (info,) = models.infos()
    assert (info.breaker.state, info.last_error) == ("closed", "")


async def test_closing_closes_every_model() -> None:
    members = [ScriptedModel(name="a"), ScriptedModel(name="b")]
    models = await _build(*members)
    await models.close()
    assert [m.closed for m in members] == [True, True]


async def test_running_ends_at_once_when_no_model_has_work_of_its_own() -> None:
    models = await _build(ScriptedModel(name="a"))
    async with asyncio.timeout(30):
        await models.run()


async def test_a_model_is_shown_with_its_state_its_traffic_and_its_price() -> None:
    models = await _build(ScriptedModel(ModelUnavailable("a", "down", why="HTTP 500"), name="a"))
    models.router.reserve(ask())
    events = models.router.stream(ask())
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(anext(events))  # the first round fails, and it waits for the next
        while not models.infos()[0].errors:
            await asyncio.sleep(0)
        asking.cancel()
    (info,) = models.infos()
    assert (info.breaker.state, info.breaker.why) == ("rest", "down: HTTP 500")
    assert info.traffic is not None
    assert (info.traffic.calls, info.traffic.errors, info.in_flight, info.waiting) == (1, 1, 0, 0)


class Keyed(ScriptedModel):
    """A model with a key."""

    def __init__(self, *script: Any, key_id: str = "one") -> None:
        super().__init__(*script, name="a")
        self.key_id = key_id


async def test_a_breaker_goes_on_from_its_state_unless_the_key_or_the_endpoint_is_another() -> None:
    states = RecentStates(ManualClock())
    refused = ModelAuthError("a", "the provider refuses the API key")

    async def built(model: ScriptedModel) -> ModelSet:
        plugin: ModelPlugin[Any] = ModelPlugin(
            type="scripted", config=ModelConfig, create=lambda _context, _config: model
        )
        config = Config(models=(ModelConfig(name="a", type="scripted"),))
        return await build_models(config, {"scripted": plugin}, make_context(ManualClock()), states=states)

    models = await built(Keyed(refused))
    with pytest.raises(ModelsExhausted):
        await collect(models.router, ask())
    assert (await built(Keyed())).infos()[0].breaker.state == "open"
    assert (await built(Keyed(key_id="another"))).infos()[0].breaker.state == "closed"
    moved = Keyed()
    moved.place = "elsewhere"
    assert (await built(moved)).infos()[0].breaker.state == "closed"


async def test_what_went_through_a_models_limits_counts_after_a_reload() -> None:
    clock, paces, go = ManualClock(), Paces(), asyncio.Event()

    async def built(model: ScriptedModel, **limits: int) -> ModelSet:
        plugin: ModelPlugin[Any] = ModelPlugin(
            type="scripted", config=ModelConfig, create=lambda _context, _config: model
        )
        config = Config(models=(ModelConfig(name="a", type="scripted", **limits),))  # type: ignore[arg-type]
        return await build_models(config, {"scripted": plugin}, make_context(clock), paces=paces)

    old_model, new_model = Keyed([go, "old"]), Keyed("new")
    old = await built(old_model, concurrency=1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(collect(old.router, ask()))
        await old_model.asked()
        new = await built(new_model, concurrency=1)
        second = group.create_task(collect(new.router, ask()))
        await clock.advance(0)
        assert (new.infos()[0].in_flight, new.infos()[0].waiting, new_model.requests) == (1, 1, [])
        go.set()
    assert (first.result().text, second.result().text) == ("old", "new")
    assert (await built(Keyed(key_id="another"), concurrency=1)).infos()[0].in_flight == 0


async def test_a_reload_that_is_refused_leaves_the_limits_in_force() -> None:
    clock, paces = ManualClock(), Paces()

    def create(_context: Any, config: ModelConfig) -> ScriptedModel:
        if config.name == "b":
            raise ModelUnavailable("b", "can not be made")
        return ScriptedModel(name=config.name)

    plugin: ModelPlugin[Any] = ModelPlugin(type="scripted", config=ModelConfig, create=create)
    one, two = (
        Config(models=tuple(ModelConfig(name=n, type="scripted", requests_per_min=most) for n in names))
        for names, most in (("a", 1), ("ab", 9))
    )
    models = await build_models(one, {"scripted": plugin}, make_context(clock), paces=paces)
    with pytest.raises(ModelUnavailable):
        await build_models(two, {"scripted": plugin}, make_context(clock), paces=paces)
    await collect(models.router, ask())
    async with asyncio.TaskGroup() as group:
        waits = group.create_task(collect(models.router, ask()))
        await clock.advance(0)
        assert models.infos()[0].waiting == 1
        waits.cancel()


async def test_models_on_this_computer_cost_nothing_unless_somebody_says_so() -> None:
    by_hand = PriceConfig(input=1, output=1)
    config = Config(
        models=(
            DemoConfig(name="a"),
            DemoConfig(name="b", price=by_hand),
            ModelConfig(name="c", type="scripted"),
        )
    )
    scripted: ModelPlugin[Any] = ModelPlugin(
        type="scripted", config=ModelConfig, create=lambda _context, config: ScriptedModel(name=config.name)
    )
    models = await build_models(config, {"demo": DEMO, "scripted": scripted}, make_context(ManualClock()))
    assert [info.price for info in models.infos()] == [PriceConfig(input=0, output=0), by_hand, None]
    await models.close()


async def test_the_key_of_another_model_is_hidden_in_what_a_provider_echoes() -> None:
    theirs, found, bots = "fixed-other-key-1", "fixed-found-key-2", "fixed-bot-token-3"
    reply = Reply(status=401, body=f"bad key {theirs} not {found} or {bots}")
    async with FakeOpenAI(reply) as api:
        context = make_context()
        context.redactor.add([found, bots])
        config = Config(
            models=(
                ChatConfig(name="main", type="chat", base_url=api.base_url, api_key=Secret("our-own-key-0")),
                ChatConfig(name="other", type="chat", base_url="http://h", api_key=Secret(theirs)),
            )
        )
        models = await build_models(config, {"chat": CHAT}, context)
        with pytest.raises(ModelsExhausted) as caught:
            await collect(models.router, ask(pin="main", strict=True))
        await models.close()
    assert "bad key *** not *** or ***" in caught.value.why
    said = "".join(attempt.detail for attempt in caught.value.attempts)  # what the journal keeps
    assert "bad key ***" in said
