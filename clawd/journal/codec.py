"""Messages, records and settings as JSON text, and back.

The dataclasses are the schema: fields are written by name, those that are None and default to it are
left out, and reading checks every type. What can't be read raises JournalCorrupt and concerns one
conversation only.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Hashable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from clawd.errors import JournalCorrupt
from clawd.ids import DeliveryId, QuestionId, TurnId, UpdateId
from clawd.journal.base import ConversationSettings, Snapshot
from clawd.journal.items import Right
from clawd.journal.records import KINDS, VERSION, Record
from clawd.messages import Audio, Callback, Choice, File, Image, InboundMessage, Media, Sender, Text

T = TypeVar("T")
Json = Any  # the value of json.loads; checked field by field below

MESSAGE_VERSION: Final = 1
DELIVERY_VERSION: Final = 1
SETTINGS_VERSION: Final = 1
SNAPSHOT_VERSION: Final = 1

_TAGS: Final[dict[type, str]] = {
    Text: "text",
    Image: "image",
    Audio: "audio",
    File: "file",
    **{cls: kind for kind, cls in KINDS.items()},  # inside a snapshot
}
_NAMES: Final = {
    # Contract files import these for type checkers only.
    "datetime": datetime,
    "TurnId": TurnId,
    "DeliveryId": DeliveryId,
    "QuestionId": QuestionId,
    "Right": Right,
    "InboundMessage": InboundMessage,
    "Record": Record,
    "Sender": Sender,
    "UpdateId": UpdateId,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryBody:
    """What the outbox keeps of a message beside its columns."""

    text: str
    kind: Literal["reply", "failed", "push", "question", "alert"]
    parts: int = 1
    in_reply_to: str | None = None
    reference: str | None = None
    question: QuestionId | None = None
    choices: tuple[Choice, ...] = ()
    callback: Callback | None = None
    refusals: int | None = None  # None: 0
    insist: bool | None = None  # None: False
    files: tuple[Media, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBody:
    """What a control that answers a question says beside its kind."""

    step: int
    by: str  # BRIDGE:SENDER
    always: str | None = None


def encode_record(record: Record) -> str:
    """Return a record's body; its kind and `records.VERSION` are stored beside it."""
    return _dump(record)


def decode_record(kind: str, version: int, body: str, *, row_id: int | None = None) -> Record:
    """Return the record of a journal row.

    Raises:
        JournalCorrupt: unknown kind or version, or a body of another shape.
    """
    cls = KINDS.get(kind)
    if cls is None:
        raise JournalCorrupt(f"a record of the unknown kind {kind!r}", row_id=row_id)
    _check_version("record", version, VERSION, row_id)
    record: Record = _load(cls, body, row_id)
    return record


def encode_message(message: InboundMessage) -> str:
    """Return a message's body, stored with MESSAGE_VERSION."""
    return _dump(message)


def decode_message(version: int, body: str) -> InboundMessage:
    """Return an accepted message; raises JournalCorrupt."""
    _check_version("message", version, MESSAGE_VERSION, None)
    return _load(InboundMessage, body, None)


def encode_delivery(delivery: DeliveryBody) -> str:
    """Return a delivery's body, stored with DELIVERY_VERSION."""
    return _dump(delivery)


def decode_delivery(version: int, body: str, *, row_id: int | None = None) -> DeliveryBody:
    """Return the body of an outbox row; raises JournalCorrupt."""
    _check_version("delivery", version, DELIVERY_VERSION, row_id)
    return _load(DeliveryBody, body, row_id)


def encode_answer(answer: AnswerBody) -> str:
    """Return what is stored of an answer to a question."""
    return _dump(answer)


def decode_answer(body: str) -> AnswerBody:
    """Return a stored answer; raises JournalCorrupt."""
    return _load(AnswerBody, body, None)


def encode_snapshot(snapshot: Snapshot) -> str:
    """Return a snapshot's body, stored with SNAPSHOT_VERSION."""
    return _dump(snapshot)


def decode_snapshot(version: int, body: str) -> Snapshot:
    """Return a session's snapshot; raises JournalCorrupt."""
    _check_version("snapshot", version, SNAPSHOT_VERSION, None)
    return _load(Snapshot, body, None)


def encode_settings(settings: ConversationSettings) -> str:
    """Return a conversation's settings with their version inside."""
    return json.dumps({"v": SETTINGS_VERSION, **_encode(settings)}, separators=(",", ":"))


def decode_settings(body: str) -> ConversationSettings:
    """Return a conversation's settings; raises JournalCorrupt."""
    try:
        value = json.loads(body)
        version = value.pop("v")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise JournalCorrupt("settings can't be read", why=str(error)) from error
    _check_version("settings", version, SETTINGS_VERSION, None)
    return _build(ConversationSettings, value, None)


def _check_version(what: str, found: object, supported: int, row_id: int | None) -> None:
    if found != supported:
        raise JournalCorrupt(
            f"a {what} in the format {found!r}", row_id=row_id, why=f"this version reads format {supported}"
        )


# --- writing ---------------------------------------------------------------------------------------------


def _dump(value: object) -> str:
    # What a row holds is told by its columns; only what stands inside of something carries a tag.
    tree = _encode_dataclass(value, tagged=False)
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, as broken clients send; SQLite takes UTF-8 only
            return json.dumps(tree, separators=(",", ":"))
    return text


def _encode(value: object) -> Json:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case tuple():
            return [_encode(item) for item in value]
        case datetime():
            return value.astimezone(UTC).isoformat()
        case _ if is_dataclass(value):
            return _encode_dataclass(value)
        case _:
            raise TypeError(f"the journal has no form for {type(value).__name__}")


def _encode_dataclass(value: object, *, tagged: bool = True) -> dict[str, Json]:
    cls = type(value)
    tree: dict[str, Json] = {"type": _TAGS[cls]} if tagged and cls in _TAGS else {}
    for name, none_is_left_out in _fields(cast(Hashable, cls)):
        item = getattr(value, name)
        if item is None and none_is_left_out:
            continue
        # Most fields are plain: spare them the call.
        tree[name] = item if type(item) in _PLAIN else _encode(item)
    return tree


_PLAIN: Final = frozenset({str, int, bool, float, type(None)})


@cache
def _fields(cls: Hashable) -> tuple[tuple[str, bool], ...]:
    return tuple((f.name, f.default is None) for f in fields(cast(type, cls)))


# --- reading ---------------------------------------------------------------------------------------------


class _WrongShapeError(ValueError):
    """A value is not what its field says."""


_Decode = Callable[[Json], Any]


def _load(cls: type[T], body: str, row_id: int | None) -> T:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise JournalCorrupt(f"a {cls.__name__} is not JSON", row_id=row_id, why=str(error)) from error
    return _build(cls, value, row_id)


def _build(cls: type[T], value: Json, row_id: int | None) -> T:
    try:
        built: T = _decoder(cast(Hashable, cls))(value)
    except _WrongShapeError as error:
        raise JournalCorrupt(f"a {cls.__name__} has another shape", row_id=row_id, why=str(error)) from error
    return built


@cache
def _decoder(hint: Any) -> _Decode:
    """Return the function that reads values of this type."""
    origin = get_origin(hint)
    if hint is datetime:
        return _decode_datetime
    if origin is Literal:
        return _literal(get_args(hint))
    if origin in (types.UnionType, Union):
        return _union(get_args(hint))
    if origin is tuple:
        item, ellipsis = get_args(hint)
        assert ellipsis is ...  # noqa: S101 - our dataclasses hold tuples of any length only
        return _sequence(_decoder(item))
    if is_dataclass(hint):
        return _dataclass(hint)
    # A NewType is its base when it runs.
    base = getattr(hint, "__supertype__", hint)
    return _number if base is float else _plain(base)


def _plain(base: type) -> _Decode:
    def decode(value: Json) -> Any:
        if type(value) is not base:
            raise _WrongShapeError(f"{value!r:.80} is not {base.__name__}")
        return value

    return decode


def _number(value: Json) -> float:
    if type(value) not in (int, float):
        raise _WrongShapeError(f"{value!r:.80} is not a number")
    return float(value)


def _decode_datetime(value: Json) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise _WrongShapeError(f"{value!r:.80} is not a time") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _literal(allowed: tuple[Any, ...]) -> _Decode:
    def decode(value: Json) -> Any:
        if value not in allowed:
            raise _WrongShapeError(f"{value!r:.80} is none of {allowed}")
        return value

    return decode


def _union(members: tuple[Any, ...]) -> _Decode:
    """Dataclasses are told apart by their tag; otherwise it is one type or None."""
    if all(member in _TAGS for member in members):
        decoders = {_TAGS[member]: _decoder(member) for member in members}

        def decode_tagged(value: Json) -> Any:
            tag = value.get("type") if isinstance(value, dict) else None
            if tag not in decoders:
                raise _WrongShapeError(f"{tag!r:.80} is none of {sorted(decoders)}")
            return decoders[tag](value)

        return decode_tagged
    (member,) = (m for m in members if m is not type(None))
    inner = _decoder(member)
    return lambda value: None if value is None else inner(value)


def _sequence(item: _Decode) -> _Decode:
    def decode(value: Json) -> Any:
        if not isinstance(value, list):
            raise _WrongShapeError(f"{value!r:.80} is not a list")
        return tuple(map(item, value))

    return decode


def _dataclass(cls: Any) -> _Decode:
    hints = get_type_hints(cls, localns=_NAMES)
    decoders = {f.name: _decoder(hints[f.name]) for f in fields(cls)}
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    tag = _TAGS.get(cls)

    def decode(value: Json) -> Any:
        if not isinstance(value, dict):
            raise _WrongShapeError(f"{value!r:.80} is not an object")
        try:
            given = {
                name: decoders[name](item) for name, item in value.items() if name != "type" or tag is None
            }
        except KeyError as error:
            raise _WrongShapeError(f"{cls.__name__} has no field {error}") from error
        if missing := required - given.keys():
            raise _WrongShapeError(f"{cls.__name__} without {', '.join(sorted(missing))}")
        return cls(**given)

    return decode
