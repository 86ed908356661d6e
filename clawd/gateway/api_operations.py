"""The operations of clawd's own API, for `/openapi.json`. A test holds this list against the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.gateway import answers, requests
from clawd.gateway.conversations import MAX_LIMIT
from clawd.gateway.operations import EVENT_STREAM, Given, Operation, Parameter, named

if TYPE_CHECKING:
    from clawd.response import JsonObject

_TURN: Final = named("id", "The id of the message's turn.", "turn:k3x9-7-1")
_WAIT: Final = Parameter(
    name="wait",
    place="query",
    text="How many seconds the answer may wait for the end of the turn; more than 60 is taken as 60.",
    schema={"type": "number", "minimum": 0, "default": 0},
    example=30,
)
_AFTER: Final = Parameter(
    name="after",
    place="query",
    text='A cursor, to read on behind it; "0" is the beginning.',
    schema={"type": "string"},
    example="0",
)
LIMIT: Final = Parameter(
    name="limit",
    place="query",
    text="How many at most.",
    schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50},
    example=50,
)
KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    text="Makes a repeat safe: the same key and the same bytes are one message.",
    schema={"type": "string", "pattern": requests.REFERENCE},
    example="order-42-1",
)
_TURN_SHOWN: Final[JsonObject] = {
    "id": "turn:k3x9-7-1",
    "conversation": "order-42",
    "status": "answered",
    "replies": [{"text": "Hello.", "parts": [{"type": "text", "text": "Hello."}]}],
    "model": "main",
    "usage": {"input_tokens": 31, "output_tokens": 4},
}
_FRAME: Final[JsonObject] = {
    "type": "message",
    "conversation": "order-42",
    "cursor": "00000000002a",
    "turn": "turn:k3x9-7-1",
    "role": "user",
    "text": "hi",
    "at": "2026-01-31T12:00:00.000Z",
}

MESSAGES: Final = (
    Operation(
        method="post",
        path="/v1/messages",
        id="sendMessage",
        tag="Messages",
        summary="Send a message",
        text="The answer comes once the message is committed: from then on it is answered once, whatever "
        "happens to the process.",
        parameters=(KEY,),
        body=requests.MessageBody,
        example={"text": "hi", "conversation": "order-42"},
        answers=(
            Given(
                status="202",
                text="The message is committed.",
                model=answers.Submitted,
                headers=("Location",),
                example={
                    "id": "turn:k3x9-7-1",
                    "conversation": "order-42",
                    "status": "queued",
                    "position": 0,
                },
            ),
            Given(
                status="200",
                text="A repeat under the same key, or a command such as /status, with its replies.",
                model=answers.Submitted,
                example={"id": "turn:k3x9-7-1", "conversation": "order-42", "status": "duplicate"},
            ),
        ),
        errors=(409,),
        scopes=("chat",),
    ),
    Operation(
        method="get",
        path="/v1/messages/{id}",
        id="showMessage",
        tag="Messages",
        summary="Show a turn, or wait for its end",
        parameters=(
            _TURN,
            _WAIT,
            Parameter(
                name="wait_for",
                place="query",
                text="With question the wait also ends when the turn waits for a person.",
                schema={"type": "string", "enum": ["end", "question"], "default": "end"},
            ),
        ),
        answers=(Given(status="200", text="The turn as it is.", model=answers.Turn, example=_TURN_SHOWN),),
        errors=(400, 404),
        scopes=("chat", "read"),
    ),
    Operation(
        method="post",
        path="/v1/messages/{id}/cancel",
        id="cancelMessage",
        tag="Messages",
        summary="End a turn",
        parameters=(_TURN, _WAIT),
        answers=(
            Given(status="202", text="The wish is committed.", model=answers.Turn),
            Given(status="200", text="The turn has ended by now.", model=answers.Turn, example=_TURN_SHOWN),
        ),
        errors=(400, 404, 409),
        scopes=("chat",),
    ),
    Operation(
        method="post",
        path="/v1/approvals/{id}",
        id="answerApproval",
        tag="Messages",
        summary="Approve or deny what a turn waits to do",
        parameters=(named("id", "The id of the question.", "approval:k3x9-7-2-2"),),
        body=requests.ApprovalBody,
        example={"answer": "approve"},
        answers=(
            Given(
                status="200",
                text="The word is committed.",
                model=answers.Approved,
                example={"id": "approval:k3x9-7-2-2", "answer": "approve", "text": "Approved: make clean"},
            ),
        ),
        errors=(404, 409),
        scopes=("chat",),
    ),
)

CONVERSATIONS: Final = (
    Operation(
        method="get",
        path="/v1/conversations",
        id="listConversations",
        tag="Conversations",
        summary="List the token's conversations, the latest first",
        parameters=(LIMIT,),
        answers=(
            Given(
                status="200",
                text="The conversations.",
                model=answers.ConversationList,
                example={
                    "conversations": [
                        {
                            "id": "order-42",
                            "turns": 1,
                            "open_turns": 0,
                            "last_at": "2026-01-31T12:00:00.000Z",
                            "last_text": "hi",
                        }
                    ]
                },
            ),
        ),
        errors=(400,),
        scopes=("chat", "read"),
    ),
    Operation(
        method="get",
        path="/v1/conversations/{id}/messages",
        id="readConversation",
        tag="Conversations",
        summary="Read a conversation, a page at a time",
        text="Oldest line first. Without `after` the newest lines come. Empty for one that nobody wrote to.",
        parameters=(named("id", "The conversation's name.", "order-42"), _AFTER, LIMIT),
        answers=(
            Given(
                status="200",
                text="A page.",
                model=answers.Messages,
                example={"messages": [_FRAME], "cursor": "00000000002a"},
            ),
        ),
        errors=(400, 404),
        scopes=("chat", "read"),
    ),
)

STREAMS: Final = (
    Operation(
        method="get",
        path="/v1/events",
        id="streamEvents",
        tag="Streams",
        summary="One conversation as server-sent events",
        text="`event` is the frame's type, `data` the frame, `id` the cursor where it has one. The frames are "
        "those that clawd sends on a WebSocket: the schema ServerFrame.",
        parameters=(
            Parameter(
                name="conversation",
                place="query",
                text="Which.",
                schema={"type": "string", "pattern": requests.CONVERSATION},
                example="order-42",
                required=True,
            ),
            _AFTER,
            Parameter(
                name="Last-Event-ID",
                place="header",
                text="A cursor, as browsers send it when they connect again; comes before `after`.",
                schema={"type": "string"},
            ),
        ),
        answers=(
            Given(
                status="200",
                text="Events, until either side ends the stream.",
                content=EVENT_STREAM,
                example='event: accepted\ndata: {"type": "accepted", "conversation": "order-42", "cursor": "0"}\n\n',
            ),
        ),
        errors=(400,),
        scopes=("chat",),
        app=True,
        extra={"x-server-frames": {"$ref": "#/components/schemas/ServerFrame"}},
    ),
    Operation(
        method="get",
        path="/v1/ws",
        id="openWebSocket",
        tag="Streams",
        summary="A WebSocket for many conversations",
        text="An upgrade to the WebSocket protocol (RFC 6455). Frames are JSON objects in text frames: the "
        "client sends the schema ClientFrame, clawd the schema ServerFrame. Without headers that say who it is, "
        "the first frame has to be `auth`.",
        answers=(Given(status="101", text="The connection is a WebSocket from here on.", content=""),),
        errors=(400, 426),
        scopes=("chat",),
        app=True,
        open_here=True,
        extra={
            "x-client-frames": {"$ref": "#/components/schemas/ClientFrame"},
            "x-server-frames": {"$ref": "#/components/schemas/ServerFrame"},
        },
    ),
)


def _alive(path: str, name: str) -> Operation:
    return Operation(
        method="get",
        path=path,
        id=name,
        tag="Health",
        summary="Whether the process runs",
        answers=(
            Given(status="200", text="The event loop runs.", model=answers.Alive, example={"status": "ok"}),
        ),
    )


HEALTH: Final = (
    _alive("/healthz", "isHealthy"),
    _alive("/livez", "isAlive"),
    Operation(
        method="get",
        path="/readyz",
        id="isReady",
        tag="Health",
        summary="Whether messages are taken and worked on",
        parameters=(
            Parameter(
                name="verbose",
                place="query",
                text="Tell each check, and the state of each bridge.",
                schema={"type": "string"},
            ),
        ),
        answers=(
            Given(
                status="200",
                text="Ready.",
                model=answers.Ready,
                example={"status": "ready", "failing": []},
            ),
            Given(
                status="503",
                text="Not ready, or too many connections are open.",
                model=answers.Ready,
                example={"status": "unavailable", "failing": ["draining"]},
            ),
        ),
    ),
    Operation(
        method="get",
        path="/metrics",
        id="readMetrics",
        tag="Health",
        summary="Metrics for Prometheus",
        text="Open on loopback; from elsewhere it needs the scope metrics.",
        answers=(Given(status="200", text="Prometheus' text format.", content="text/plain"),),
        scopes=("metrics",),
        open_here=True,
    ),
    Operation(
        method="get",
        path="/openapi.json",
        id="readDescription",
        tag="Health",
        summary="This description",
        answers=(Given(status="200", text="OpenAPI 3.1."),),
    ),
)


def _bridge(method: str, name: str) -> Operation:
    return Operation(
        method="post" if method == "post" else "get",
        path="/bridges/{name}",
        id=name,
        tag="Bridges",
        summary="What a platform calls" if method == "post" else "What a platform asks to check the address",
        text="Bodies, signatures and answers are those of the platform of the bridge.",
        parameters=(named("name", "The bridge's name in the configuration.", "hook"),),
        raw_body=method == "post",
        answers=(
            Given(status="2XX", text="As the platform wants it.", content="*/*"),
            Given(status="4XX", text="The bridge, or clawd, does not take it.", content="*/*"),
            Given(status="5XX", text="Nothing can be stored just now: call again.", content="*/*"),
        ),
    )


BRIDGES: Final = (_bridge("get", "checkBridge"), _bridge("post", "callBridge"))

ALL: Final = (*MESSAGES, *CONVERSATIONS, *STREAMS, *HEALTH, *BRIDGES)
