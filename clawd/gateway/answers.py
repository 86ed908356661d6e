"""What clients are answered, as models: `/openapi.json` and docs/api.md are made from them. No I/O.

The daemon writes its answers without them, so that they cost nothing; tests hold each answer against its model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from clawd.journal.base import TurnState

TurnName = Annotated[str, Field(examples=["turn:k3x9-7-1"])]
QuestionName = Annotated[str, Field(examples=["approval:k3x9-7-2-2"])]
FileName = Annotated[str, Field(examples=["artifact:5f0c2a9e41d84b7ab6b1c3d2e9f80714"])]
Conversation = Annotated[str, Field(examples=["order-42"])]
Cursor = Annotated[str, Field(description="Where the conversation is read on from.", examples=["0"])]


class Answer(BaseModel):
    """One JSON object that clawd sends: these fields and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


# --- errors -----------------------------------------------------------------------------------------------


class ErrorDetail(Answer):
    """What went wrong."""

    code: str = Field(description="For programs.", examples=["bad_request"])
    message: str = Field(description="One sentence for people.", examples=["text: has to be a string"])
    try_: str | None = Field(
        default=None, alias="try", description="What may be changed.", examples=["the fields are parts, text"]
    )
    request_id: str | None = Field(
        default=None, description="That of the header `X-Request-Id`; the log of clawd has it too."
    )


class ErrorBody(Answer):
    """The body of every error."""

    error: ErrorDetail


class OpenAIErrorDetail(Answer):
    """What went wrong, in OpenAI's shape."""

    message: str
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = Field(examples=["messages[2].role"])
    code: str | None = Field(examples=["invalid_value"])
    request_id: str | None = Field(default=None, description="That of the header `X-Request-Id`.")


class OpenAIErrorBody(Answer):
    """The body of every error of the OpenAI-compatible paths."""

    error: OpenAIErrorDetail


# --- messages ---------------------------------------------------------------------------------------------


class TextShown(Answer):
    """A text."""

    type: Literal["text"]
    text: str


# Other kinds of parts of an answer join here.
PartShown = TextShown


class Reply(Answer):
    """One answer, as text and in parts."""

    text: str = Field(examples=["Sunny, 21 °C."])
    parts: list[PartShown]


class Submitted(Answer):
    """What became of a message."""

    id: TurnName | None = Field(description="The turn that answers it; null for a command that was answered.")
    conversation: Conversation
    status: Literal["queued", "duplicate", "answered"]
    position: int | None = Field(default=None, ge=0, description="The open turns before it.")
    replies: list[Reply] | None = Field(default=None, description="To a command such as /status.")


class Question(Answer):
    """What a turn waits for a person to say."""

    id: QuestionName
    about: Literal["approval", "unknown"] = Field(
        description="`unknown`: a call began, and nobody knows whether it ran."
    )
    tool: str = Field(examples=["shell"])
    subject: str = Field(description="What is to be run.", examples=["make clean"])
    deadline: AwareDatetime = Field(description="After it the answer is no.")


class TokenCount(Answer):
    """Tokens of a turn."""

    input_tokens: int | None
    output_tokens: int | None


class TurnError(Answer):
    """Why a turn has no answer."""

    code: Literal["turn_failed", "turn_dead"]
    message: str
    detail: str | None = Field(default=None, description="For tokens with the scope admin.")


class Turn(Answer):
    """A turn, as it is now."""

    id: TurnName
    conversation: Conversation
    status: TurnState
    replies: list[Reply] = Field(description="Empty until there is one.")
    model: str | None = Field(description="That answered.", examples=["main"])
    usage: TokenCount
    notice: str | None = Field(default=None, description="To be told beside the answer.")
    position: int | None = Field(
        default=None, ge=0, description="While it is queued: the open turns before it."
    )
    question: Question | None = Field(default=None, description="While it waits for a person.")
    error: TurnError | None = Field(default=None, description="Of one that is failed or dead.")


class Approved(Answer):
    """What was said to a question."""

    id: QuestionName
    answer: Literal["approve", "deny"]
    text: str = Field(description="What people are told.")


# --- conversations ----------------------------------------------------------------------------------------


class ConversationShown(Answer):
    """A conversation of the token."""

    id: Conversation
    turns: int = Field(ge=0)
    open_turns: int = Field(ge=0)
    last_at: AwareDatetime | None
    last_text: str = Field(description="The newest message, shortened.")


class ConversationList(Answer):
    """The token's conversations, the latest first."""

    conversations: list[ConversationShown]


# --- files ------------------------------------------------------------------------------------------------


class FileShown(Answer):
    """A file that is kept."""

    id: FileName
    name: str | None = Field(description="As its sender called it, without folders.", examples=["cat.png"])
    mime: str | None = Field(description="What its first bytes show.", examples=["image/png"])
    size: int = Field(ge=0, description="Bytes.")
    created_at: AwareDatetime | int = Field(
        description="A time; seconds since 1970 where the `User-Agent` is that of an OpenAI SDK."
    )
    sha256: str = Field(description="Of the content; equal contents take the place of one.")
    object: Literal["file"] = Field(description="This and what follows is for OpenAI's clients.")
    bytes: int = Field(ge=0, description="`size` again.")
    filename: str = Field(description="`name` again; the id where there is none.")
    purpose: str = Field(description="As the upload said; not kept, afterwards `user_data`.")


class FileList(Answer):
    """The token's files, the newest first."""

    files: list[FileShown]
    cursor: str | None = Field(description="To go on from, as `after`; null where there are no more.")


# --- health -----------------------------------------------------------------------------------------------


class Alive(Answer):
    """The process runs."""

    status: Literal["ok"]


Check = Literal["replay", "journal", "draining"]


class BridgeShown(Answer):
    """A bridge, as it is now; never a reason not to be ready."""

    name: str
    type: str
    state: str = Field(examples=["connected"])
    since: AwareDatetime


class Ready(Answer):
    """Whether work is taken."""

    status: Literal["ready", "unavailable"]
    failing: list[Check] = Field(description="The checks that stand against it.")
    checks: dict[Check, Literal["ok", "failing"]] | None = Field(default=None, description="With ?verbose.")
    bridges: list[BridgeShown] | None = Field(default=None, description="With ?verbose.")


# --- frames and events ------------------------------------------------------------------------------------


class AcceptedFrame(Answer):
    """A frame was taken; a message is committed."""

    type: Literal["accepted"]
    ref: str | None = Field(default=None, description="The `id` of the frame that it answers.")
    account: str | None = Field(default=None, description="Of auth: the token's name.")
    conversation: Conversation | None = None
    cursor: Cursor | None = None
    turn: TurnName | None = None
    approval: QuestionName | None = None
    decision: Literal["approve", "deny"] | None = None
    status: Literal["queued", "duplicate", "answered"] | None = None
    position: int | None = None
    replies: list[Reply] | None = None


class SnapshotFrame(Answer):
    """A turn is in work, with all of its text so far; it replaces what was shown of the turn."""

    type: Literal["snapshot"]
    conversation: Conversation
    turn: TurnName
    attempt: int
    offset: Literal[0]
    text: str


class DeltaFrame(Answer):
    """More text."""

    type: Literal["delta"]
    conversation: Conversation
    turn: TurnName
    attempt: int
    offset: int = Field(ge=0, description="In Unicode characters, not UTF-16 units.")
    text: str


class ResetFrame(Answer):
    """The text so far is void."""

    type: Literal["reset"]
    conversation: Conversation
    turn: TurnName
    attempt: int
    reason: str


class ToolFrame(Answer):
    """A tool call began or ended."""

    type: Literal["tool"]
    conversation: Conversation
    turn: TurnName
    name: str
    phase: Literal["started", "ok", "error"]
    summary: str = Field(description="Arguments or result, shortened.")
    duration_s: float


class ApprovalFrame(Answer):
    """A turn waits for a person."""

    type: Literal["approval"]
    conversation: Conversation
    cursor: Cursor
    turn: TurnName
    approval: QuestionName
    about: Literal["approval", "unknown"]
    tool: str
    subject: str
    deadline: AwareDatetime


class MessageFrame(Answer):
    """A message was accepted, or pushed without a turn."""

    type: Literal["message"]
    conversation: Conversation
    cursor: Cursor
    turn: TurnName | None
    role: Literal["user", "assistant"]
    text: str
    at: AwareDatetime


class DoneFrame(Answer):
    """A turn is over."""

    type: Literal["done"]
    conversation: Conversation
    cursor: Cursor
    turn: TurnName
    status: Literal["answered", "failed", "cancelled", "dead"]
    text: str = Field(description="The whole answer, or the sentence that says why there is none.")
    answers: list[TurnName] = Field(description="The turns of all messages that it answers.")
    at: AwareDatetime


class ErrorFrame(Answer):
    """A frame was not taken, or (with `conversation`) a subscription ended."""

    type: Literal["error"]
    code: str
    message: str
    ref: str | None
    try_: str | None = Field(default=None, alias="try")
    conversation: Conversation | None = None


class PongFrame(Answer):
    """The answer to `ping`."""

    type: Literal["pong"]
    ref: str | None


ServerFrame = Annotated[
    AcceptedFrame
    | SnapshotFrame
    | DeltaFrame
    | ResetFrame
    | ToolFrame
    | ApprovalFrame
    | MessageFrame
    | DoneFrame
    | ErrorFrame
    | PongFrame,
    Field(discriminator="type"),
]


class Messages(Answer):
    """Lines of a conversation, oldest first, as the frames that tell of them."""

    messages: list[Annotated[MessageFrame | DoneFrame, Field(discriminator="type")]]
    cursor: Cursor | None = Field(description="To go on from, as `after`; null where there is nothing yet.")
