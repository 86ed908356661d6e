"""What OpenAI's clients are answered, as models for `/openapi.json`. No I/O.

Source: OpenAI API reference, chat completions, responses and models.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clawd.gateway.answers import Question


class Told(BaseModel):
    """An object of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class CompletionUsage(Told):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]
    completion_tokens_details: dict[str, int]


class CallMade(Told):
    """A call that the model asks for."""

    id: str
    type: Literal["function"]
    function: dict[str, str]


class CompletionMessage(Told):
    """The answer."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[CallMade] | None = None


class CompletionChoice(Told):
    """One answer; there is no other."""

    index: Literal[0]
    message: CompletionMessage
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class Who(Told):
    """Who answered."""

    model: str = Field(description="Configured name; empty where nobody had to.")
    question: Question | None = Field(
        default=None, description="What the turn waits for a person to say; the answer ends here without it."
    )


class Completion(Told):
    """A complete answer of chat completions."""

    id: str = Field(examples=["chatcmpl-k3x9-7-1"])
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None = None
    clawd: Who


class ResponseError(Told):
    """Why there is no answer."""

    code: str
    message: str


class ResponseObject(Told):
    """A response."""

    id: str = Field(examples=["resp_k3x9-7-1"])
    object: Literal["response"]
    created_at: int
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    error: ResponseError | None
    incomplete_details: dict[str, str] | None
    instructions: None
    max_output_tokens: int | None
    model: str
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    previous_response_id: str | None
    store: bool = Field(description="Whether it can be fetched again.")
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str
    tools: list[dict[str, Any]]
    top_p: None
    truncation: str
    usage: dict[str, Any] | None
    metadata: dict[str, Any]
    clawd: Who | None = None


class ResponseDeleted(Told):
    """A response that is gone."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class ModelShown(Told):
    """A name that `model` may be."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["clawd", "clawd-model", "clawd-route"]


class ModelList(Told):
    """All names."""

    object: Literal["list"]
    data: list[ModelShown]
