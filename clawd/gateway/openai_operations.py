"""The operations for clients of OpenAI's API, for `/openapi.json`. A test holds this list against the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.gateway import openai_bodies as bodies
from clawd.gateway import openai_objects as objects
from clawd.gateway.api_operations import KEY
from clawd.gateway.operations import Given, Operation, Parameter, named
from clawd.gateway.requests import CONVERSATION

if TYPE_CHECKING:
    from clawd.response import JsonObject

_CONVERSATION: Final = Parameter(
    name="X-Conversation-Id",
    place="header",
    text="The conversation to go on with; comes before `metadata.conversation_id`.",
    schema={"type": "string", "pattern": CONVERSATION},
)
_RESPONSE: Final = named("id", "The id of a response of the agent.", "resp_k3x9-7-1")
_ASKED: Final[JsonObject] = {"model": "clawd", "messages": [{"role": "user", "content": "hi"}]}
_STREAM: Final = "With `stream` the answer is text/event-stream: "
_ANY: Final = (404, 409, 502)  # of a request that asks a model or the agent


def _not_yet(kind: str, method: str) -> Operation:
    return Operation(
        method="get" if method == "get" else "post",
        path=f"/v1/{kind}/{{rest}}",
        id=f"{method}{kind.capitalize()}",
        tag="OpenAI",
        summary="Not in this version",
        parameters=(named("rest", "The rest of the path.", "speech"),),
        raw_body=method == "post",
        errors=(404, 501),
        scopes=("chat",),
        openai=True,
    )


ALL: Final = (
    Operation(
        method="post",
        path="/v1/chat/completions",
        id="createChatCompletion",
        tag="OpenAI",
        summary="Ask the agent, a model or a route",
        text=f"{_STREAM}chunks, and `data: [DONE]` at the end.",
        parameters=(KEY, _CONVERSATION),
        body=bodies.ChatBody,
        example=_ASKED,
        answers=(Given(status="200", text="The answer.", model=objects.Completion, or_stream=True),),
        errors=_ANY,
        scopes=("chat",),
        openai=True,
    ),
    Operation(
        method="post",
        path="/v1/responses",
        id="createResponse",
        tag="OpenAI",
        summary="Ask the agent, a model or a route, in the Responses format",
        text=f"{_STREAM}typed events.",
        parameters=(KEY, _CONVERSATION),
        body=bodies.ResponsesBody,
        example={"model": "clawd", "input": "hi"},
        answers=(Given(status="200", text="The answer.", model=objects.ResponseObject, or_stream=True),),
        errors=_ANY,
        scopes=("chat",),
        openai=True,
    ),
    Operation(
        method="get",
        path="/v1/responses/{id}",
        id="showResponse",
        tag="OpenAI",
        summary="Show a response of the agent, also while it is being made",
        parameters=(_RESPONSE,),
        answers=(Given(status="200", text="The response.", model=objects.ResponseObject),),
        errors=(404,),
        scopes=("chat", "read"),
        openai=True,
    ),
    Operation(
        method="post",
        path="/v1/responses/{id}/cancel",
        id="cancelResponse",
        tag="OpenAI",
        summary="End a response of the agent",
        parameters=(_RESPONSE,),
        answers=(Given(status="200", text="What there is of it.", model=objects.ResponseObject),),
        errors=(404, 409),
        scopes=("chat",),
        openai=True,
    ),
    Operation(
        method="delete",
        path="/v1/responses/{id}",
        id="deleteResponse",
        tag="OpenAI",
        summary="Delete a response of the agent",
        text="Its conversation goes with it, to the last byte; where that holds more, it is deleted as a whole with "
        "`clawd conversations delete`.",
        parameters=(_RESPONSE,),
        answers=(
            Given(
                status="200",
                text="It is gone.",
                model=objects.ResponseDeleted,
                example={"id": "resp_k3x9-7-1", "object": "response", "deleted": True},
            ),
        ),
        errors=(404, 409),
        scopes=("chat",),
        openai=True,
    ),
    Operation(
        method="get",
        path="/v1/models",
        id="listModels",
        tag="OpenAI",
        summary="List whom `model` may name",
        answers=(
            Given(
                status="200",
                text="The agent, the models and the routes.",
                model=objects.ModelList,
                example={
                    "object": "list",
                    "data": [{"id": "clawd", "object": "model", "created": 0, "owned_by": "clawd"}],
                },
            ),
        ),
        scopes=("chat", "read"),
        openai=True,
    ),
    Operation(
        method="get",
        path="/v1/models/{id}",
        id="showModel",
        tag="OpenAI",
        summary="Show one of them",
        parameters=(named("id", "Its name.", "clawd"),),
        answers=(
            Given(
                status="200",
                text="There is one of this name.",
                model=objects.ModelShown,
                example={"id": "clawd", "object": "model", "created": 0, "owned_by": "clawd"},
            ),
        ),
        errors=(404,),
        scopes=("chat", "read"),
        openai=True,
    ),
    *(_not_yet(kind, method) for kind in ("audio", "images") for method in ("get", "post")),
)
