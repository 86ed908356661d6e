"""Anthropic's own SDK against our fake of its API: it must read what the fake streams, and be let in by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clawd.models.anthropic_schema import accepted_schema
from tests.fakes.anthropic_api import Answer, FakeAnthropic, redacted, said, thinking, tool_use

if TYPE_CHECKING:
    from types import ModuleType

TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def sdk() -> ModuleType:
    import anthropic  # takes a second, which no other test shall wait

    return anthropic


def _client(sdk: ModuleType, api: FakeAnthropic, key: str = "k") -> Any:
    return sdk.AsyncAnthropic(api_key=key, base_url=api.base_url, max_retries=0)


async def _final(client: Any, **request: Any) -> Any:
    given = {
        "model": "claude-x",
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": "go"}],
        **request,
    }
    async with client.messages.stream(**given) as stream:
        return await stream.get_final_message()


async def test_the_sdk_reads_every_block_that_the_fake_streams(sdk: ModuleType) -> None:
    blocks = [
        thinking("Hm, 2 places."),
        redacted("x"),
        said("I look. 🎉"),
        tool_use("toolu_a", "look", at="ü"),
        tool_use("toolu_b", "look"),
    ]
    async with FakeAnthropic(Answer(blocks=blocks)) as api, _client(sdk, api) as client:
        final = await _final(client, tools=[TOOL])
    read = [block.model_dump(exclude_none=True) for block in final.content]
    wanted = [{**block, "caller": read[i].get("caller")} for i, block in enumerate(blocks)]
    assert [{**b, "caller": b.get("caller")} for b in read] == wanted
    assert final.stop_reason == "tool_use"
    assert final.usage.cache_read_input_tokens == 300
    assert final.usage.output_tokens == 7


async def test_the_sdks_own_round_of_thinking_and_results_is_let_in(sdk: ModuleType) -> None:
    blocks = [thinking("Hm."), said("I look."), tool_use("toolu_a", "look", at=1)]
    async with FakeAnthropic(Answer(blocks=blocks), Answer(text="Done.")) as api, _client(sdk, api) as client:
        request: dict[str, Any] = {"tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 2000}}
        first = await _final(client, **request)
        result = {"type": "tool_result", "tool_use_id": "toolu_a", "content": "seen"}
        messages = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        second = await _final(client, messages=messages, **request)
    assert second.content[0].text == "Done."
    assert [seen.refused for seen in api.requests] == ["", ""]


async def test_the_sdk_reads_an_answer_that_does_not_stream(sdk: ModuleType) -> None:
    async with FakeAnthropic() as api, _client(sdk, api) as client:
        message = await client.messages.create(
            model="claude-x", max_tokens=10, messages=[{"role": "user", "content": "hi"}]
        )
    assert message.content[0].text == "you said: hi"


async def test_the_sdk_tells_the_fakes_errors_apart(sdk: ModuleType) -> None:
    overloaded = {"type": "overloaded_error", "message": "Overloaded"}
    async with (
        FakeAnthropic(Answer(status=429), Answer(status=529), Answer(error=overloaded), key="k") as api,
        _client(sdk, api) as client,
        _client(sdk, api, key="wrong") as stranger,
    ):
        with pytest.raises(sdk.RateLimitError):
            await _final(client)
        with pytest.raises(sdk.InternalServerError):
            await _final(client)
        with pytest.raises(sdk.APIStatusError, match="Overloaded"):
            await _final(client)
        with pytest.raises(sdk.AuthenticationError):
            await _final(stranger)


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        ({"messages": []}, "messages: Field required"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message must use"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
            "must alternate",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, "non-whitespace"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "prefill"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
            "unexpected `tool_use_id`",
        ),
        ({"extra_body": {"temperature": 1}}, "temperature: Extra inputs"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, "`max_tokens` must be greater"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "greater than or equal to 1024"),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5},
            "maximum of 4",
        ),
        ({"tool_choice": {"type": "any"}}, "while providing tools"),
        ({"tools": [TOOL, TOOL]}, "must be unique"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "must be false",
        ),
    ],
)
async def test_the_fake_refuses_what_the_api_refuses(
    sdk: ModuleType, request_of: dict[str, Any], words: str
) -> None:
    async with FakeAnthropic() as api, _client(sdk, api) as client:
        with pytest.raises(sdk.BadRequestError, match=words):
            await _final(client, **request_of)


@pytest.mark.parametrize(
    ("assistant", "words"),
    [
        ([tool_use("a", "look")], "Expected `thinking`"),
        (
            [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, tool_use("a", "look")],
            "Invalid `signature`",
        ),
        ([thinking("Hm, other."), tool_use("a", "look")], "cannot be modified"),
        ([thinking("Hm."), tool_use("a", "look"), tool_use("b", "look")], "without `tool_result`"),
    ],
)
async def test_the_fake_wants_the_turns_thinking_back_as_it_was(
    sdk: ModuleType, assistant: list[dict[str, Any]], words: str
) -> None:
    answer = Answer(blocks=[thinking("Hm."), tool_use("a", "look")])
    request: dict[str, Any] = {"tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 2000}}
    async with FakeAnthropic(answer) as api, _client(sdk, api) as client:
        await _final(client, **request)
        result = {"type": "tool_result", "tool_use_id": "a", "content": "seen"}
        messages = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": assistant},
            {"role": "user", "content": [result]},
        ]
        with pytest.raises(sdk.BadRequestError, match=words):
            await _final(client, messages=messages, **request)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 1, "maximum": 10, "description": "A number"},
        {"type": "string", "format": "email", "minLength": 3, "pattern": "^a"},
        {"type": "string", "format": "color"},
        {"type": "array", "items": {"type": "number", "multipleOf": 0.5}, "minItems": 1},
        {"type": "array", "items": {"type": "boolean"}, "maxItems": 3, "minItems": 2},
        {
            "type": "object",
            "properties": {
                "minimum": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/cat"}]},
                "kind": {"enum": ["a", "b"]},
            },
            "required": ["minimum"],
            "additionalProperties": True,
            "$defs": {"cat": {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}}},
        },
    ],
)
def test_a_schema_is_made_acceptable_as_the_sdk_does_it(sdk: ModuleType, schema: dict[str, Any]) -> None:
    assert accepted_schema(schema) == sdk.transform_schema(schema)
