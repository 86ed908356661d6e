"""OpenAI's own SDK against our fake of its Responses: it must read what the fake streams, and be let in by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.responses_api import Answer, FakeResponses, call, reasoning, refused, said

if TYPE_CHECKING:
    from types import ModuleType

TOOL = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "strict": True,
}


@pytest.fixture(scope="module")
def sdk() -> ModuleType:
    import openai  # takes a second, which no other test shall wait

    return openai


def _client(sdk: ModuleType, api: FakeResponses, key: str = "k") -> Any:
    return sdk.AsyncOpenAI(api_key=key, base_url=api.base_url, max_retries=0)


async def _final(client: Any, **request: Any) -> Any:
    async with client.responses.stream(**{"model": "gpt-x", "input": "go", **request}) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_response()


async def test_the_sdk_reads_every_item_that_the_fake_streams(sdk: ModuleType) -> None:
    items = [
        reasoning("rs_1", "Hm.", "So."),
        said("I look. 🎉"),
        refused("Not there."),
        call("a", "look", '{"at": "ü"}'),
    ]
    async with FakeResponses(Answer(items=items)) as api, _client(sdk, api) as client:
        final = await _final(client, tools=[TOOL])
    assert [item.type for item in final.output] == ["reasoning", "message", "message", "function_call"]
    assert [part.text for part in final.output[0].summary] == ["Hm.", "So."]
    assert final.output[0].encrypted_content == items[0]["encrypted_content"]
    assert final.output_text == "I look. 🎉"
    assert final.output[3].arguments == '{"at": "ü"}'
    assert final.usage.output_tokens_details.reasoning_tokens == 4


async def test_the_sdks_own_round_of_reasoning_and_results_is_let_in(sdk: ModuleType) -> None:
    answers = (Answer(items=[reasoning("rs_1"), call("a", "look")]), Answer(text="Done."))
    async with FakeResponses(*answers) as api, _client(sdk, api) as client:
        request: dict[str, Any] = {
            "tools": [TOOL], "store": False, "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "low"},
        }  # fmt: skip
        first = await client.responses.create(model="gpt-x", input="go", **request)
        result = {"type": "function_call_output", "call_id": "a", "output": "seen"}
        history = [
            {"role": "user", "content": "go"},
            *(item.model_dump(exclude_none=True) for item in first.output),
            result,
        ]
        second = await _final(client, input=history, **request)
    assert second.output_text == "Done."
    assert [seen.refused for seen in api.requests] == ["", ""]


async def test_the_sdk_tells_the_fakes_errors_apart(sdk: ModuleType) -> None:
    failed = {"code": "server_error", "message": "broken"}
    answers = (
        Answer(status=429),
        Answer(status=500),
        Answer(text="", failed=failed),
        Answer(text="", incomplete="max_output_tokens"),
    )
    async with (
        FakeResponses(*answers, key="k") as api,
        _client(sdk, api) as client,
        _client(sdk, api, key="wrong") as stranger,
    ):
        with pytest.raises(sdk.RateLimitError):
            await _final(client)
        with pytest.raises(sdk.InternalServerError):
            await _final(client)
        kinds = [event async for event in await client.responses.create(model="m", input="x", stream=True)]
        assert kinds[-1].type == "response.failed"
        assert kinds[-1].response.error.code == "server_error"
        kinds = [event async for event in await client.responses.create(model="m", input="x", stream=True)]
        assert kinds[-1].type == "response.incomplete"
        with pytest.raises(sdk.AuthenticationError):
            await _final(stranger)


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        ({"input": []}, "Missing required parameter: 'input'"),
        ({"max_output_tokens": 5}, "minimum value"),
        ({"temperature": 0.5}, "'temperature' is not supported"),
        ({"extra_body": {"nonsense": 1}}, "Unknown parameter: 'nonsense'"),
        ({"input": [{"role": "user", "content": []}]}, "empty array"),
        ({"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]}, "Invalid value"),
        ({"input": [call("a", "look")]}, "No tool output found"),
        (
            {"input": [{"type": "function_call_output", "call_id": "a", "output": "x"}]},
            "No tool call found",
        ),
        ({"input": [{**reasoning("rs_1"), "encrypted_content": "x"}]}, "could not be verified"),
        ({"input": [reasoning("rs_1")]}, "without its required following item"),
        ({"tools": [{**TOOL, "parameters": {"type": "object"}}]}, "Invalid schema for function"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": {"type": "object"}}}},
            "Invalid schema for response_format",
        ),
    ],
)  # fmt: skip
async def test_the_fake_refuses_what_the_api_refuses(
    sdk: ModuleType, request_of: dict[str, Any], words: str
) -> None:
    async with FakeResponses() as api, _client(sdk, api) as client:
        with pytest.raises(sdk.BadRequestError, match=words):
            await client.responses.create(**{"model": "gpt-x", "input": "go", **request_of})


async def test_reasoning_without_its_seal_is_known_nowhere(sdk: ModuleType) -> None:
    item = {key: value for key, value in reasoning("rs_1").items() if key != "encrypted_content"}
    async with FakeResponses() as api, _client(sdk, api) as client:
        with pytest.raises(sdk.NotFoundError, match="not persisted"):
            await client.responses.create(model="gpt-x", input=[item])


async def test_a_model_that_does_not_reason_says_so(sdk: ModuleType) -> None:
    async with FakeResponses(reasons=False) as api, _client(sdk, api) as client:
        with pytest.raises(sdk.BadRequestError, match="not supported with this model"):
            await client.responses.create(model="gpt-x", input="go", reasoning={"effort": "low"})
        with pytest.raises(sdk.BadRequestError, match="Encrypted content"):
            await client.responses.create(model="gpt-x", input="go", include=["reasoning.encrypted_content"])
