"""Frames that clients of a WebSocket send, read strictly. Pure; docs/websocket.md has the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.gateway.approvals import Word, read_word
from clawd.gateway.messages import read_conversation
from clawd.gateway.problems import RequestRefused
from clawd.strict_json import BadJson, parse_object

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue

_MAX_ID: Final = 255


class FrameRefused(RequestRefused):
    """A frame that makes no sense; `ref` is its id, as far as it could be read."""

    def __init__(
        self, what: str, *, ref: str | None = None, code: str = "bad_frame", remedy: str = ""
    ) -> None:
        super().__init__(400, what, code=code, remedy=remedy)
        self.ref = ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """Who speaks: a token, or an app's id and token."""

    ref: str | None
    app_id: str | None
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A message; `id` is its idempotency key, `body` as that of `POST /v1/messages`."""

    id: str
    conversation: str
    body: JsonObject

    @property
    def ref(self) -> str | None:
        """What an answer refers to."""
        return self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """A wish to see a conversation behind this cursor; without one from now on."""

    ref: str | None
    conversation: str
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """A wish to see it no longer."""

    ref: str | None
    conversation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """A wish to end a turn."""

    ref: str | None
    conversation: str
    turn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """A word on what a turn waits to do."""

    ref: str | None
    conversation: str
    approval: str
    word: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """A question whether clawd is there."""

    ref: str | None


Frame = Auth | Send | Subscribe | Unsubscribe | Cancel | Approve | Ping

_FIELDS: Final = {
    "auth": {"app_id", "token"},
    "send": {"conversation", "text", "parts", "sender", "model"},
    "subscribe": {"conversation", "after"},
    "unsubscribe": {"conversation"},
    "cancel": {"conversation", "turn"},
    "approve": {"conversation", "approval", "decision", "always", "sender"},
    "ping": set[str](),
}


def read_frame(text: str) -> Frame:
    """Return what a text frame says.

    Raises:
        FrameRefused: not JSON, an unknown type or field, one that is missing or of the wrong shape.
    """
    try:
        body = parse_object(text.encode("utf-8", "surrogatepass"))
    except BadJson as error:
        raise FrameRefused(str(error).replace("the body", "the frame"), code="bad_json") from error
    ref = _ref(body.pop("id", None))
    kind = body.pop("type", None)
    try:
        if not isinstance(kind, str) or kind not in _FIELDS:
            name = kind[:40] if isinstance(kind, str) else "of this kind"
            known = ", ".join(_FIELDS)
            raise FrameRefused(f"there is no frame {name}", code="unknown_type", remedy=f"types: {known}")
        if unknown := sorted(body.keys() - _FIELDS[kind]):
            names = ", ".join(("id", *sorted(_FIELDS[kind])))
            raise FrameRefused(f"unknown field {unknown[0][:40]}", remedy=f"the fields of {kind} are {names}")
        return _frame(kind, ref, body)
    except RequestRefused as error:
        raise FrameRefused(error.what, ref=ref, code=_code(error), remedy=error.remedy) from error


def _frame(kind: str, ref: str | None, body: JsonObject) -> Frame:
    if kind == "auth":
        app_id = None if body.get("app_id") is None else _text(body, "app_id")
        return Auth(ref=ref, app_id=app_id, token=_text(body, "token"))
    if kind == "ping":
        return Ping(ref=ref)
    conversation = read_conversation(body.pop("conversation", None))
    if conversation is None:
        raise FrameRefused(f"a frame {kind} has to name its conversation")
    match kind:
        case "send":
            if ref is None:
                raise FrameRefused("a frame send needs an id", remedy="a new one for each message")
            return Send(id=ref, conversation=conversation, body=body)
        case "subscribe":
            after = None if body.get("after") is None else _text(body, "after")
            return Subscribe(ref=ref, conversation=conversation, after=after)
        case "unsubscribe":
            return Unsubscribe(ref=ref, conversation=conversation)
        case "cancel":
            return Cancel(ref=ref, conversation=conversation, turn=_text(body, "turn"))
        case _:
            approval = _text(body, "approval")
            body.pop("approval")
            if body.get("decision") not in ("approve", "deny"):
                raise FrameRefused("decision has to be approve or deny")
            word = read_word({"answer": body.pop("decision"), **body})
            return Approve(ref=ref, conversation=conversation, approval=approval, word=word)


def _code(error: RequestRefused) -> str:
    return "bad_frame" if error.reason_code == "bad_request" else error.reason_code


def _text(body: JsonObject, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise FrameRefused(f"{name} has to be a string")
    return value


def _ref(value: JsonValue) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_ID or not value.isascii() or " " in value:
        raise FrameRefused(f"id has to be a string of 1 to {_MAX_ID} visible ASCII characters")
    if not value.isprintable():
        raise FrameRefused(f"id has to be a string of 1 to {_MAX_ID} visible ASCII characters")
    return value
