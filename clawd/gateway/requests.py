"""What clients send, as models: they check it, and `/openapi.json` and docs/api.md are made from them. No I/O.

Nothing is converted: a number is no string. An unknown field is an error, null says as much as a missing field.
`clawd.gateway.validation` says in one sentence what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

CONVERSATION: Final = r"^[A-Za-z0-9_.:@+=~-]{1,128}$"
SENDER: Final = r"^[^\x00-\x20\x7f]{1,128}$"
FILE_ID: Final = r"^artifact:[0-9a-f]{32}$"
MIME: Final = r"^[A-Za-z0-9.+-]{1,63}/[A-Za-z0-9.+-]{1,63}$"
ADDRESS: Final = r"^https://[^\s/@]{1,255}(?:/\S{0,4000})?$"
REFERENCE: Final = r"^[\x21-\x7e]{1,255}$"
MAX_PARTS: Final = 64
MAX_PATTERN: Final = 1000
MAX_URL: Final = 2048


class Body(BaseModel):
    """One JSON object: immutable, and an unknown field is an error.

    Models are built when the first body of their kind comes, so that a start does not pay for them.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, defer_build=True, hide_input_in_errors=True
    )


@dataclass(frozen=True, slots=True)
class Says:
    """What a field is to be, for the sentence that refuses another value: "has to be …"."""

    sentence: str


Name = Annotated[
    str,
    Field(pattern=CONVERSATION, examples=["order-42"]),
    Says("has to be 1 to 128 characters of A-Z a-z 0-9 _ . : @ + = ~ -"),
]
SenderName = Annotated[
    str,
    Field(pattern=SENDER, examples=["anna"]),
    Says("has to be a string of 1 to 128 characters without spaces"),
]
Reference = Annotated[
    str,
    Field(pattern=REFERENCE, examples=["m-17"]),
    Says("has to be a string of 1 to 255 visible ASCII characters"),
]
Filled = Annotated[str, Field(min_length=1), Says("has to be a string that is not empty")]

# --- parts of a message -----------------------------------------------------------------------------------


class TextPart(Body):
    """A text."""

    type: Literal["text"]
    text: Annotated[str, Says("has to be a string")] = Field(
        description="What it says.", examples=["What is the weather?"]
    )


class MediaPart(Body):
    """What every part with a file has: where its content is."""

    data: Annotated[str | None, Says("has to be base64")] = Field(
        default=None, description="The content itself, in base64, where it is small enough for the body."
    )
    file: Annotated[str | None, Field(pattern=FILE_ID), Says("has to be the id of a file")] = Field(
        default=None, description="The id of a file from `POST /v1/files`.", examples=["artifact:5f0c…"]
    )
    mime: Annotated[str | None, Field(pattern=MIME), Says("has to be a type such as image/png")] = Field(
        default=None, description="What it is; believed as far as the content agrees.", examples=["image/png"]
    )

    def sources(self) -> list[str | None]:
        """Return the fields that say where the content is, one of which has to be given."""
        return [self.data, self.file]

    @property
    def ref(self) -> str:
        """Where the content is, as parts inside clawd say it: an address, a file's id, or a data URL."""
        if self.data is not None:
            return f"data:{self.mime or ''};base64,{self.data}"
        return next(source for source in self.sources() if source is not None)

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if sum(source is not None for source in self.sources()) != 1:
            names = "data and file" if len(self.sources()) == 2 else "url, data and file"
            raise PydanticCustomError("sentence", "exactly one of {names} is needed", {"names": names})
        return self


class AddressedPart(MediaPart):
    """A part whose content may also lie somewhere else."""

    url: Annotated[str | None, Field(pattern=ADDRESS), Says("has to be an https address")] = Field(
        default=None,
        description="Where it is; handed on to models that fetch it. clawd fetches nothing.",
        examples=["https://example.com/cat.png"],
    )

    def sources(self) -> list[str | None]:
        """Return the fields that say where the content is."""
        return [self.data, self.file, self.url]


class ImagePart(AddressedPart):
    """A picture."""

    type: Literal["image"]
    alt: Annotated[str | None, Field(max_length=1000)] = Field(
        default=None, description="What it shows, for a model that sees no pictures."
    )


class AudioPart(AddressedPart):
    """A voice note or another sound."""

    type: Literal["audio"]
    name: Annotated[str | None, Field(max_length=1000)] = Field(default=None, description="How it is called.")


class FilePart(MediaPart):
    """Any other file."""

    type: Literal["file"]
    name: Annotated[str | None, Field(max_length=1000)] = Field(default=None, description="How it is called.")


Part = Annotated[TextPart | ImagePart | AudioPart | FilePart, Field(discriminator="type")]

_PARTS: Final = f"has to be a list of 1 to {MAX_PARTS} parts"
_ONE_OF_THEM: Final[JsonDict] = {
    "oneOf": [
        {
            "required": ["text"],
            "properties": {"text": {"type": "string", "pattern": r"\S"}, "parts": {"type": "null"}},
        },
        {
            "required": ["parts"],
            "properties": {
                "text": {"type": "null"},
                "parts": {"type": "array", "contains": {"properties": {"text": {"pattern": r"\S"}}}},
            },
        },
    ]
}


class Content(Body):
    """What is said, and by whom: of a message, whichever way it comes."""

    text: str | None = Field(
        default=None,
        description="The message; either this or `parts`. More than 200,000 characters are cut, with a note "
        "to the model.",
        examples=["What is the weather?"],
    )
    parts: Annotated[
        tuple[Part, ...] | None,
        Field(strict=False, max_length=MAX_PARTS),
        Says(_PARTS),
    ] = Field(
        default=None,
        description="The message in parts; at least one has to say something.",
        json_schema_extra={"minItems": 1},
    )
    sender: SenderName | None = Field(
        default=None,
        description="Who writes, when one token serves several people; counts as TOKEN-NAME/SENDER.",
    )
    model: Annotated[str | None, Says("there is no model of this kind")] = Field(
        default=None,
        description="The model or route that is to answer this message, before what the conversation chose.",
        examples=["main"],
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.text is None) == (self.parts is None):
            raise PydanticCustomError("sentence", "exactly one of text and parts is needed")
        if self.parts == ():
            raise PydanticCustomError("sentence", "parts: {says}", {"says": _PARTS})
        parts = self.parts or ()
        said = [self.text] if self.text is not None else [p.text for p in parts if isinstance(p, TextPart)]
        if not any(text and text.strip() for text in said) and not any(
            isinstance(p, MediaPart) for p in parts
        ):
            raise PydanticCustomError("sentence", "the message is empty")
        return self


class MessageBody(Content):
    """The body of `POST /v1/messages`."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_THEM)

    conversation: Name | None = Field(
        default=None,
        description="Messages of one conversation are answered in order and remember each other. Without it "
        "each message begins a conversation of its own, which the answer names.",
    )
    callback_url: Annotated[
        str | None,
        Field(max_length=MAX_URL),
        Says(f"has to be a URL of at most {MAX_URL} characters"),
    ] = Field(
        default=None,
        description="Called, signed, when the turn has ended, however it does. Refused with 403 unless "
        "`gateway.callbacks` allows it.",
        examples=["https://hooks.example.com/clawd"],
    )


def _always_with(answer: str) -> JsonDict:
    return {
        "anyOf": [
            {"properties": {answer: {"const": "approve"}}},
            {"properties": {"always": {"type": "null"}}},
        ]
    }


class ApprovalBody(Body):
    """The body of `POST /v1/approvals/{id}`."""

    model_config = ConfigDict(json_schema_extra=_always_with("answer"))

    answer: Literal["approve", "deny"] = Field(description="Whether the call may run.", examples=["approve"])
    always: Annotated[
        str | None,
        Field(max_length=MAX_PATTERN),
        Says(f"goes with approve and has to be a string of at most {MAX_PATTERN} characters"),
    ] = Field(
        default=None,
        description="With approve: what passes in this conversation from now on without a question. Empty for "
        "the same call, a pattern such as `git *` for all that match.",
        examples=["git *"],
    )
    sender: SenderName | None = Field(default=None, description="Who answers, as for a message.")

    @model_validator(mode="after")
    def _always_goes_with_approve(self) -> Self:
        _check_always(self.answer, self.always)
        return self


def _check_always(answer: str, always: str | None) -> None:
    if answer == "deny" and always is not None:
        raise PydanticCustomError("sentence", "always: goes with approve and not with deny")


class Upload(Body):
    """The form of `POST /v1/files`, which `clawd.gateway.uploads` reads in pieces."""

    file: bytes = Field(
        description="The file, with its name and its type.",
        json_schema_extra={"format": "binary", "contentMediaType": "application/octet-stream"},
    )
    purpose: Annotated[str, Field(max_length=1024)] = Field(  # no null: all of a form is text
        default="", description="Comes back in the answer, and has no other effect."
    )


# --- frames of a WebSocket --------------------------------------------------------------------------------


class ClientFrame(Body):
    """What every frame has."""

    id: Reference | None = Field(default=None, description="Comes back as `ref` in the answer.")

    @property
    def ref(self) -> str | None:
        """What an answer refers to."""
        return self.id


class AuthFrame(ClientFrame):
    """Who speaks; the first frame of a socket whose request did not say it in its headers."""

    type: Literal["auth"]
    app_id: Filled | None = Field(
        default=None, description="The id of an app, with the app's token.", examples=["shop"]
    )
    token: Filled = Field(description="A token, without the word Bearer.", examples=["clawd_…"])


class SendFrame(Content):
    """A message."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_THEM)

    type: Literal["send"]
    id: Reference = Field(description="A new one for each message: its idempotency key.")
    conversation: Name = Field(description="Which it belongs to.")

    @property
    def ref(self) -> str:
        """What an answer refers to."""
        return self.id


class SubscribeFrame(ClientFrame):
    """A wish to see a conversation behind a cursor; again: begins anew."""

    type: Literal["subscribe"]
    conversation: Name
    after: Filled | None = Field(
        default=None,
        description='The cursor; "0" is the beginning, and without one it is from now on.',
        examples=["0"],
    )


class UnsubscribeFrame(ClientFrame):
    """A wish to see it no longer."""

    type: Literal["unsubscribe"]
    conversation: Name


class CancelFrame(ClientFrame):
    """A wish to end a turn."""

    type: Literal["cancel"]
    conversation: Name
    turn: Filled = Field(description="The turn's id.", examples=["turn:k3x9-7-1"])


class ApproveFrame(ClientFrame):
    """A word on what a turn waits to do."""

    model_config = ConfigDict(json_schema_extra=_always_with("decision"))

    type: Literal["approve"]
    conversation: Name
    approval: Filled = Field(description="The id in the frame `approval`.", examples=["approval:k3x9-7-2-2"])
    decision: Literal["approve", "deny"]
    always: Annotated[
        str | None,
        Field(max_length=MAX_PATTERN),
        Says(f"goes with approve and has to be a string of at most {MAX_PATTERN} characters"),
    ] = Field(default=None, description="As over REST.")
    sender: SenderName | None = Field(default=None, description="Who answers, as for a message.")

    @model_validator(mode="after")
    def _always_goes_with_approve(self) -> Self:
        _check_always(self.decision, self.always)
        return self


class PingFrame(ClientFrame):
    """A question whether clawd is there; answered by `pong`."""

    type: Literal["ping"]


Frame = AuthFrame | SendFrame | SubscribeFrame | UnsubscribeFrame | CancelFrame | ApproveFrame | PingFrame
AnyFrame = Annotated[Frame, Field(discriminator="type")]
FRAMES: Final[dict[str, type[Frame]]] = {
    "auth": AuthFrame,
    "send": SendFrame,
    "subscribe": SubscribeFrame,
    "unsubscribe": UnsubscribeFrame,
    "cancel": CancelFrame,
    "approve": ApproveFrame,
    "ping": PingFrame,
}
