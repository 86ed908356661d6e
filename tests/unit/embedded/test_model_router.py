"""`clawd.ModelRouter` against a server on loopback: blocking, awaited, streamed, closed, forked, dropped."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import BaseModel

import clawd
from clawd import (
    AnswerMismatch,
    ConfigError,
    ModelAuthError,
    ModelRouter,
    ModelsExhausted,
    NotFound,
    RouterClosed,
)
from clawd.config.schema import Config
from tests.fakes.openai_api import FakeOpenAI, Reply

Make = Callable[..., Awaitable[ModelRouter]]


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes routers over servers, as models a, b …, and closes them."""
    made: list[ModelRouter] = []

    async def make(*servers: FakeOpenAI, more: str = "") -> ModelRouter:
        path = tmp_path / "models.yaml"
        entries = [
            f"- {{name: {name}, type: chat, base_url: '{api.base_url}'}}"
            for name, api in zip("abc", servers, strict=False)
        ]
        path.write_text("\n".join(["models:", *entries, more]))
        made.append(await asyncio.to_thread(ModelRouter, path, environ={}))  # it reads its file
        return made[-1]

    yield make
    for router in made:
        router.close()


async def test_invoke_answers_and_the_answer_is_its_text(make: Make) -> None:
    async with FakeOpenAI() as api:
        router = await make(api)
        answer = await asyncio.to_thread(router.invoke, model_name="a", prompt="hi", user_id="user_123")
    assert str(answer) == "you said: hi"
    assert (answer.model, answer.usage.output_tokens, answer.attempts[0].outcome) == ("a", 7, "ok")


async def test_inside_a_running_loop_invoke_says_what_to_use(make: Make) -> None:
    async with FakeOpenAI() as api:
        with pytest.raises(RuntimeError, match="use ainvoke"):
            (await make(api)).invoke(prompt="hi")
        assert api.requests == []


async def test_ainvoke_passes_on_everything_that_was_said(make: Make) -> None:
    async with FakeOpenAI() as api:
        await (await make(api)).ainvoke(
            prompt="hi",
            system="Be brief.",
            messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            images=["data:image/png;base64,AA=="],
            max_tokens=5,
            temperature=0.5,
        )
        body = api.requests[0].body
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][3]["content"][1]["image_url"]["url"] == "data:image/png;base64,AA=="
    assert (body["max_tokens"], body["temperature"]) == (5, 0.5)


async def test_the_default_route_fails_over_and_a_model_is_taken_by_its_name(
    make: Make,
) -> None:
    async with FakeOpenAI(default=Reply(status=400)) as bad, FakeOpenAI() as good:
        router = await make(bad, good)
        assert (await router.ainvoke(prompt="hi")).model == "b"
        assert (await router.ainvoke(prompt="hi", model_name="b")).model == "b"


async def test_a_strict_model_is_the_only_one_that_is_asked(make: Make) -> None:
    async with FakeOpenAI(default=Reply(status=400)) as bad, FakeOpenAI() as good:
        router = await make(bad, good)
        with pytest.raises(clawd.ModelError):
            await router.ainvoke(prompt="hi", model_name="a", strict=True)
        assert good.requests == []


async def test_a_spent_budget_of_a_user_stops_that_user_alone(make: Make) -> None:
    dear = "price: {input: 1000000, output: 1000000}"  # a dollar for each of the server's 18 tokens
    async with FakeOpenAI() as api:
        more = (
            f"- {{name: dear, type: chat, base_url: '{api.base_url}', {dear}}}\nbudgets: {{user_day_usd: 10}}"
        )
        router = await make(more=more)
        assert (await router.ainvoke(prompt="hi", user_id="one")).cost_usd == pytest.approx(18)
        with pytest.raises(clawd.ModelError) as raised:
            await router.ainvoke(prompt="hi", user_id="one")
        assert "the user budget of $10.00 is spent" in str(raised.value)
        assert str(await router.ainvoke(prompt="hi", user_id="two")) == "you said: hi"


async def test_a_route_is_taken_by_its_name(make: Make) -> None:
    async with FakeOpenAI() as one, FakeOpenAI() as other:
        router = await make(one, other, more="routes: {deep: {models: [b]}}")
        assert (await router.ainvoke(prompt="hi", route="deep")).model == "b"


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"model_name": "aa"}, "there is no model 'aa'"),
        ({"route": "defaul"}, "there is no route 'defaul'; did you mean 'default'?"),
    ],
)
async def test_what_there_is_not_is_told(make: Make, ask: dict[str, str], words: str) -> None:
    async with FakeOpenAI() as api:
        with pytest.raises(NotFound) as raised:
            await (await make(api)).ainvoke(prompt="hi", **ask)  # type: ignore[arg-type]
    assert words in str(raised.value)


async def test_errors_are_clawds_own(make: Make) -> None:
    async with FakeOpenAI(default=Reply(status=401)) as api:
        with pytest.raises((ModelAuthError, ModelsExhausted)) as raised:
            await (await make(api)).ainvoke(prompt="hi")
    assert isinstance(raised.value, clawd.ModelError)


async def test_an_answer_in_the_form_of_a_schema_is_parsed(make: Make) -> None:
    good, bad = Reply(text='{"name": "Ulm", "people": 128000}'), Reply(text="Ulm")
    async with FakeOpenAI(good, bad) as api:
        router = await make(api)
        assert (await router.ainvoke(prompt="a city", schema=City)).parsed == City(name="Ulm", people=128000)
        with pytest.raises(AnswerMismatch):
            await router.ainvoke(prompt="a city", schema=City)


# --- stream -----------------------------------------------------------------------------------------------


async def test_a_stream_yields_text_and_keeps_the_answer(make: Make) -> None:
    async with FakeOpenAI(Reply(chunks=["one ", "two ", "three"])) as api:
        stream = (await make(api)).stream(prompt="count")
        with pytest.raises(RuntimeError, match="once the stream has ended"):
            _ = stream.answer
        pieces = [text async for text in stream]
    assert pieces == ["one ", "two ", "three"]
    assert not any(piece.restart for piece in pieces)
    assert (stream.text, str(stream.answer), stream.answer.model) == ("one two three", "one two three", "a")


async def test_text_comes_while_the_answer_is_made(make: Make) -> None:
    async with FakeOpenAI(Reply(chunks=["first", "second"], hang="stream", null_content=False)) as api:
        stream = (await make(api)).stream(prompt="count")
        assert await anext(stream) == "first"
        api.release.set()
        assert [text async for text in stream] == ["second"]


async def test_text_of_a_broken_stream_is_void_when_another_model_takes_over(
    make: Make,
) -> None:
    broken = Reply(chunks=["half", " an"], close_after=2, null_content=False)
    async with FakeOpenAI(default=broken) as bad, FakeOpenAI(Reply(text="whole")) as good:
        stream = (await make(bad, good)).stream(prompt="hi")
        pieces = [(str(text), text.restart) async for text in stream]
    assert pieces == [("half", False), (" an", False), ("", True), ("whole", False)]
    assert stream.text == "whole"


async def test_a_stream_that_is_left_frees_the_socket(make: Make) -> None:
    async with FakeOpenAI(default=Reply(hang="stream", null_content=False)) as api:
        router = await make(api)
        async with router.stream(prompt="go on") as stream:
            await anext(stream)
        await api.requests[0].ended.wait()
        async for _ in router.stream(prompt="go on"):
            break
        gc.collect()
        await api.requests[1].ended.wait()
        async with aclosing(router.stream(prompt="go on")) as stream:
            await anext(stream)
            await stream.aclose()
            assert [text async for text in stream if not text] == []
        await api.requests[2].ended.wait()
        assert all(seen.disconnected for seen in api.requests)


async def test_errors_of_a_stream_come_with_its_steps(make: Make) -> None:
    async with FakeOpenAI(default=Reply(status=400)) as api:
        stream = (await make(api)).stream(prompt="hi")
        with pytest.raises(clawd.ModelError):
            await anext(stream)
        with pytest.raises(TypeError, match="unknown argument"):
            await anext((await make(api)).stream(promt="hi"))  # type: ignore[call-arg]


# --- life -------------------------------------------------------------------------------------------------


async def test_cancelling_ainvoke_breaks_the_request_off(make: Make) -> None:
    async with FakeOpenAI(default=Reply(hang="headers")) as api:
        router = await make(api)
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(router.ainvoke(prompt="hi"))
            seen = await api.arrived()
            call.cancel()
        await seen.ended.wait()
        assert seen.disconnected


async def test_many_threads_ask_at_once_over_connections_that_are_kept(
    make: Make,
) -> None:
    peers: list[str] = []
    first = asyncio.Barrier(4)

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(str(request.transport.get_extra_info("peername")))
        if len(peers) <= 4:
            await first.wait()  # all four are under way at the same time
        message = {"role": "assistant", "content": "yes"}
        return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()

        class Server:
            base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"

        router = await make(Server())

        def ask_twice() -> str:
            return f"{router.invoke(prompt='a')} {router.invoke(prompt='b')}"

        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(asyncio.to_thread(ask_twice)) for _ in range(4)]
        assert {call.result() for call in calls} == {"yes yes"}
        assert (len(peers), len(set(peers))) == (8, 4)
    finally:
        await runner.cleanup()


async def test_one_router_serves_blocking_calls_and_several_event_loops(
    make: Make,
) -> None:
    async with FakeOpenAI() as api:
        router = await make(api)
        await router.ainvoke(prompt="one")

        async def other() -> str:
            return str(await router.ainvoke(prompt="two"))

        assert await asyncio.to_thread(asyncio.run, other()) == "you said: two"
        assert str(await asyncio.to_thread(router.invoke, prompt="three")) == "you said: three"
        infos = await asyncio.to_thread(router.models)
        assert [(info.name, info.calls) for info in infos] == [("a", 3)]


async def test_a_closed_router_refuses_calls_and_ends_those_under_way(
    make: Make,
) -> None:
    async with FakeOpenAI(default=Reply(hang="headers")) as api:
        router = await make(api)

        async def ask() -> None:
            with pytest.raises(RouterClosed):
                await router.ainvoke(prompt="hi")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask())
            await api.arrived()
            await router.aclose()
        with pytest.raises(RouterClosed):
            await router.ainvoke(prompt="hi")
        await router.aclose()


async def test_blocks_close_a_router_and_leave_no_thread(make: Make) -> None:
    async with FakeOpenAI() as api, await make(api) as router:
        await router.ainvoke(prompt="hi")
        assert any(thread.name == "clawd-models" for thread in threading.enumerate())
    assert not any(thread.name == "clawd-models" for thread in threading.enumerate())


async def test_a_router_that_is_dropped_leaves_no_thread(make: Make, tmp_path: Path) -> None:
    async with FakeOpenAI() as api:
        await make(api)
        router = await asyncio.to_thread(ModelRouter, tmp_path / "models.yaml", environ={})
        await router.ainvoke(prompt="hi")
        del router
        gc.collect()
    assert not any(thread.name == "clawd-models" for thread in threading.enumerate())


async def test_models_that_can_not_be_built_fail_every_call_the_same_way(
    make: Make,
) -> None:
    async with FakeOpenAI() as api:
        router = await make(api, more="network: {ca_file: /nonexistent.pem}")
        for _ in range(2):
            with pytest.raises(clawd.ClawdError, match="nonexistent"):
                await router.ainvoke(prompt="hi")
        with pytest.raises(clawd.ClawdError, match="nonexistent"):
            await anext(router.stream(prompt="hi"))


def test_a_configuration_may_be_given_as_an_object_or_left_out() -> None:
    with ModelRouter(Config(), environ={}) as router:
        assert "demo" in [info.name for info in router.models()]


def test_a_bad_file_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("models:\n- {name: a, type: chta}\n")
    with pytest.raises(ConfigError, match=r"models.yaml:2:\d+: .*did you mean 'chat'"):
        ModelRouter(path)
    with pytest.raises(ConfigError, match="can't be read"):
        ModelRouter(tmp_path / "nothing.yaml")
