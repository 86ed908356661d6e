"""The `openai` package and curl against a real daemon, with a scripted model server behind it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
import yaml

from tests.crash.process import DaemonProcess
from tests.fakes.folders import BASE
from tests.fakes.openai_api import FakeOpenAI, Reply, Seen
from tests.fakes.shell import Shell

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN, PLAIN = "an-operators-token", "a-token-that-may-chat"
HI: Any = [{"role": "user", "content": "hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass(slots=True)
class Here:
    api: FakeOpenAI
    daemon: DaemonProcess
    client: openai.AsyncOpenAI
    url: str
    replies: dict[str, Reply]

    def asked(self, text: str) -> list[Seen]:
        """Return the requests whose last user message is this."""
        return [seen for seen in self.api.requests if seen.last_user_text == text]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here() -> AsyncIterator[Here]:
    with tempfile.TemporaryDirectory(prefix="clawd-", dir=BASE) as home:
        replies: dict[str, Reply] = {}
        async with FakeOpenAI() as api:
            api.choose = lambda seen: replies.get(seen.last_user_text)
            config = {
                "models": [
                    {"name": "main", "type": "chat", "base_url": api.base_url, "model": "fake-1"},
                    {
                        "name": "dear",
                        "type": "chat",
                        "base_url": api.base_url,
                        "model": "fake-1",
                        "day_usd": 1e-5,
                    },
                    {
                        "name": "locked",
                        "type": "chat",
                        "base_url": api.base_url,
                        "api_key": {"env": "LOCKED"},
                    },
                ],
                "routes": {"default": {"models": ["main"]}},
                "gateway": {
                    "port": 0,
                    "tokens": [
                        {"name": "ops", "token": TOKEN, "scopes": ["chat", "admin"]},
                        {"name": "app", "token": PLAIN, "scopes": ["chat"]},
                    ],
                },
                "access": {"rate": "100000/s"},
                "agent": {"instructions": "You are clawd."},
            }
            config["models"][1]["price"] = {"input": 1, "output": 1}  # type: ignore[index]
            daemon = DaemonProcess(Path(home))
            (daemon.home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
            await daemon.spawn(environ={"LOCKED": "sk-of-the-locked-one"})
            assert await daemon.ready(), daemon.tail()
            url = (await daemon.control("status"))["gateway"]
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0) as client:
                try:
                    yield Here(api, daemon, client, url, replies)
                finally:
                    await daemon.kill()


async def test_the_client_lists_models(here: Here) -> None:
    assert [model.id async for model in here.client.models.list()] == [
        "clawd",
        "main",
        "dear",
        "locked",
        "default",
    ]
    assert (await here.client.models.retrieve("default")).owned_by == "clawd-route"


async def test_a_model_answers_whole_and_with_its_usage(here: Here) -> None:
    answer = await here.client.chat.completions.create(
        model="main", messages=HI, temperature=0.2, max_tokens=50
    )
    assert answer.choices[0].message.content == "you said: hi"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 7)
    sent = here.api.requests[-1].body
    assert (sent["temperature"], sent["messages"]) == (0.2, HI), "nothing is added to what the client says"


async def test_a_model_streams(here: Here) -> None:
    stream = await here.client.chat.completions.create(
        model="default", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "you said: hi"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 18


async def test_the_clients_own_tools_work(here: Here) -> None:
    here.replies["weather?"] = Reply(
        tool_calls=[{"id": "c1", "name": "get_weather", "arguments": '{"city": "Oslo"}'}], text=""
    )
    messages: Any = [{"role": "user", "content": "weather?"}]
    async with here.client.chat.completions.stream(
        model="main", messages=messages, tools=[WEATHER]
    ) as stream:
        final = await stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Oslo"}')
    assert final.choices[0].finish_reason == "tool_calls"
    del here.replies["weather?"]
    messages += [final.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"})]
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "sun"}]
    await here.client.chat.completions.create(model="main", messages=messages, tools=[WEATHER])
    sent = here.api.requests[-1].body["messages"]
    assert (sent[-1]["tool_call_id"], sent[-2]["tool_calls"][0]["id"]) == ("c1", "c1")


async def test_pictures_and_schemas_reach_the_model(here: Here) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
    form: Any = {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
    }
    messages: Any = [{"role": "user", "content": content}]
    await here.client.chat.completions.create(model="main", messages=messages, response_format=form)
    sent = here.api.requests[-1].body
    assert url in json.dumps(sent["messages"])
    assert "json" in json.dumps(sent).lower()


async def test_errors_are_those_that_the_client_knows(here: Here) -> None:
    create = here.client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="no model"):
        await create(model="none", messages=HI)
    with pytest.raises(openai.BadRequestError, match="only one answer") as bad:
        await create(model="main", messages=HI, n=2)
    assert (bad.value.param, bad.value.code) == ("n", "unsupported_parameter")
    with pytest.raises(openai.AuthenticationError):
        await here.client.with_options(api_key="wrong").chat.completions.create(model="main", messages=HI)
    with pytest.raises(openai.BadRequestError, match="tools of its own"):
        await create(model="clawd", messages=HI, tools=[WEATHER])


async def test_a_turn_that_failed_is_paid_once_as_clients_do_not_repeat_it(here: Here) -> None:
    here.replies["refuse me"] = Reply(status=400, error={"message": "no"})
    messages: Any = [{"role": "user", "content": "refuse me"}]
    with pytest.raises(openai.InternalServerError) as failed:
        await here.client.with_options(max_retries=2).chat.completions.create(
            model="clawd", messages=messages
        )
    assert (failed.value.status_code, failed.value.code) == (502, "turn_failed")
    assert len(here.asked("refuse me")) == 1


async def test_a_spent_budget_is_no_quota(here: Here) -> None:
    create = here.client.chat.completions.create
    await create(model="dear", messages=HI)
    with pytest.raises(openai.RateLimitError) as spent:
        await create(model="dear", messages=HI)
    assert spent.value.code == "insufficient_quota"
    assert "$" in spent.value.message
    with pytest.raises(openai.RateLimitError) as told:
        await here.client.with_options(api_key=PLAIN).chat.completions.create(model="dear", messages=HI)
    assert "$" not in told.value.message, "what may be spent is an operator's business"


async def test_only_an_operator_reads_what_was_said_of_a_key(here: Here) -> None:
    here.replies["locked?"] = Reply(status=401, error={"message": "bad key sk-of-the-locked-one"})
    messages: Any = [{"role": "user", "content": "locked?"}]
    with pytest.raises(openai.InternalServerError, match="bad key"):
        await here.client.chat.completions.create(model="locked", messages=messages)
    with pytest.raises(openai.InternalServerError) as told:
        await here.client.with_options(api_key=PLAIN).chat.completions.create(
            model="locked", messages=messages
        )
    assert "key" not in told.value.message
    assert told.value.status_code == 502


async def test_the_agent_is_shown_the_clients_earlier_messages(here: Here) -> None:
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    answer = await here.client.chat.completions.create(model="clawd", messages=messages)
    assert answer.choices[0].message.content == "you said: two"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 11
    system, *rest = here.asked("two")[0].body["messages"]
    assert system["content"] == "You are clawd.\n\nBe brief."
    assert [m["content"] for m in rest] == ["one", "1", "two"]


async def test_the_agent_streams_and_remembers_a_conversation(here: Here) -> None:
    for text in ("first", "second"):
        stream = await here.client.chat.completions.create(
            model="clawd",
            messages=[{"role": "user", "content": text}],
            stream=True,
            extra_headers={"X-Conversation-Id": "c1"},
        )
        said = [c.choices[0].delta.content or "" async for c in stream]
        assert "".join(said) == f"you said: {text}"
        assert len(said) > 3, "piece by piece"
    shown = [m["content"] for m in here.asked("second")[0].body["messages"][1:]]
    assert shown == ["first", "you said: first", "second"]


@pytest.mark.parametrize("model", ["main", "clawd"])
async def test_a_client_that_closes_its_stream_frees_the_model(here: Here, model: str) -> None:
    here.replies[f"hang {model}"] = Reply(hang="stream", text="Hello", null_content=False)
    messages: Any = [{"role": "user", "content": f"hang {model}"}]
    stream = await here.client.chat.completions.create(model=model, messages=messages, stream=True)
    await anext(aiter(stream))
    async with asyncio.timeout(30):
        while not here.asked(f"hang {model}"):
            await asyncio.sleep(0.01)
    await stream.close()
    [seen] = here.asked(f"hang {model}")
    async with asyncio.timeout(30):
        await seen.ended.wait()
    assert seen.disconnected


async def test_curl_streams(here: Here) -> None:
    body = json.dumps({"model": "clawd", "stream": True, "messages": HI})
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sN", f"{here.url}/v1/chat/completions", "-d", body),
        *("-H", f"Authorization: Bearer {TOKEN}", "-H", "Content-Type: application/json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out.endswith(b"data: [DONE]\n\n")
    assert b'"content":"you s"' in out


# --- responses ------------------------------------------------------------------------------------------


async def test_responses_follow_each_other(here: Here) -> None:
    first = await here.client.responses.create(model="clawd", input="begin", instructions="Be brief.")
    assert (first.output_text, first.status) == ("you said: begin", "completed")
    assert first.model_dump()["store"] is True
    assert first.usage is not None
    assert first.usage.input_tokens == 11
    second = await here.client.responses.create(model="clawd", input="go on", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    shown = [m["content"] for m in here.asked("go on")[0].body["messages"]]
    assert shown == ["You are clawd.", "begin", "you said: begin", "go on"]
    assert here.asked("begin")[0].body["messages"][0]["content"] == "You are clawd.\n\nBe brief."
    assert (await here.client.responses.retrieve(first.id)).output_text == "you said: begin"
    with pytest.raises(openai.NotFoundError):
        await here.client.with_options(api_key=PLAIN).responses.retrieve(first.id)
    plain = here.client.with_options(api_key=PLAIN)
    others = await plain.responses.create(model="clawd", input="mine")
    with pytest.raises(openai.NotFoundError, match="no response"):  # not even for an operator
        await here.client.responses.create(model="clawd", input="hi", previous_response_id=others.id)
    with pytest.raises(openai.NotFoundError, match="no response"):
        await here.client.responses.create(model="clawd", input="hi", previous_response_id="resp_none-1-1")


@pytest.mark.parametrize("model", ["clawd", "main"])
async def test_responses_stream_typed_events(here: Here, model: str) -> None:
    async with here.client.responses.stream(model=model, input="hi") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == "you said: hi"
    assert [kind for n, kind in enumerate(kinds) if kind not in kinds[:n]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_functions_of_a_response_are_called_and_answered(here: Here) -> None:
    tool: Any = {"type": "function", **WEATHER["function"], "strict": False}
    here.replies["rain?"] = Reply(
        tool_calls=[{"id": "c1", "name": "get_weather", "arguments": '{"city": "Oslo"}'}], text=""
    )
    asked: Any = [{"role": "user", "content": "rain?"}]
    async with here.client.responses.stream(model="main", input=asked, tools=[tool]) as stream:
        final = await stream.get_final_response()
    [call] = final.output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", '{"city": "Oslo"}')
    del here.replies["rain?"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    said = call.model_dump(exclude_none=True, exclude={"parsed_arguments"})
    answer = await here.client.responses.create(model="main", input=[*asked, said, result], tools=[tool])  # type: ignore[list-item]
    assert answer.output_text == "you said: rain?"
    assert here.api.requests[-1].body["messages"][-1]["content"] == "sun"


async def test_a_response_of_a_model_is_not_kept(here: Here) -> None:
    first = await here.client.responses.create(model="main", input="hi")
    assert first.model_dump()["store"] is False
    with pytest.raises(openai.NotFoundError):
        await here.client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError, match="not kept"):
        await here.client.responses.create(model="main", input="hi", previous_response_id=first.id)
    with pytest.raises(openai.NotFoundError):
        await here.client.responses.delete(first.id)


async def test_a_response_of_the_agent_is_deleted_with_its_conversation(here: Here) -> None:
    made = await here.client.responses.create(model="clawd", input="forget zanzibar")
    with pytest.raises(openai.ConflictError, match="answered"):
        await here.client.responses.cancel(made.id)
    await here.client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await here.client.responses.retrieve(made.id)
    listed = await here.daemon.control("conversations?limit=200")
    assert "zanzibar" not in str(listed)


async def test_what_models_cost_is_counted_for_good_though_no_turn_asked(here: Here) -> None:
    await here.client.chat.completions.create(model="main", messages=HI)
    usage = await here.daemon.control("usage?days=1&by=user")
    assert usage["rows"][0]["name"] in ("", "api:ops")
    assert next(row for row in usage["rows"] if row["name"] == "")["calls"] > 0


async def test_an_answer_under_way_keeps_its_model_over_a_reload(here: Here) -> None:
    here.replies["slowly"] = Reply(chunks=["a", "b", "c"], hang="stream", null_content=False)
    messages: Any = [{"role": "user", "content": "slowly"}]
    stream = aiter(await here.client.chat.completions.create(model="main", messages=messages, stream=True))
    text = ""
    while not text:
        text += (await anext(stream)).choices[0].delta.content or ""
    path = here.daemon.home / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**config, "breaker": {"min_calls": 9}}), encoding="utf-8")
    assert (await Shell(here.daemon.home)("reload")).code == 0
    here.api.release.set()
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
    assert text == "abc"
