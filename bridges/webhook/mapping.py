"""Foreign payloads as messages: which of their parts are text, sender and conversation. Pure."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from bridges.webhook.envelope import ACCOUNT, DEFAULT_CONVERSATION, Envelope, Rejected
from bridges.webhook.pointers import NotFound, Pointer, Source, parse_source
from clawd.config.base import Section
from clawd.messages import Address, InboundMessage, MessageId, Sender, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.response import JsonObject, JsonValue

MAX_ID_CHARS: Final = 256
MAX_FOUND_CHARS: Final = 16_384
MAX_NAME_CHARS: Final = 128
_MAX_SOURCES: Final = 8
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9-]{1,35}")


def _several(value: object) -> object:
    values = value if isinstance(value, list | tuple) else (value,)
    if not 1 <= len(values) <= _MAX_SOURCES:
        raise ValueError(f"expected 1 to {_MAX_SOURCES} JSON pointers or texts")
    return values


def _values(value: object) -> object:
    """Return what a condition compares with, as a tuple."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    for each in values:
        if not (each is None or isinstance(each, str | int | float | bool)):
            raise ValueError("expected a text, a number, true or false, null, or a list of those")
    # Strings of a configuration know where they are from; here only what they say counts.
    return tuple(str.__str__(each) if isinstance(each, str) else each for each in values)


def _pointer(value: object) -> Pointer:
    if isinstance(value, Pointer):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a JSON pointer such as /action")  # noqa: TRY004 - pydantic wants this one
    return Pointer.parse(str(value))


_ONE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"value": {"type": ["string", "integer"]}}, "required": ["value"]},
    ]
}

Sources = Annotated[
    tuple[Annotated[Any, BeforeValidator(parse_source)], ...],
    BeforeValidator(_several),
    WithJsonSchema({"anyOf": [*_ONE_SCHEMA["anyOf"], {"type": "array", "items": _ONE_SCHEMA}]}),
]
"""Where a field is from: a JSON pointer, a text with pointers in braces, `{value: TEXT}`, or a list of
those, of which the first that finds something counts."""

Conditions = Annotated[
    dict[Annotated[Pointer, BeforeValidator(_pointer)], Annotated[Any, BeforeValidator(_values)]],
    WithJsonSchema({"type": "object", "additionalProperties": {}}),
]
"""JSON pointers with the value, or values, that they are compared with."""


class MapConfig(Section):
    """Which parts of a payload are a message."""

    text: Sources
    sender: Sources | None = None  # the service's constant id of a person; None: all are one
    name: Sources | None = None  # what the person is called
    language: Sources | None = None  # BCP 47
    conversation: Sources | None = None  # None: one for each sender
    id: Sources | None = None  # None: that of the preset's header
    group: Conditions = {}  # true when one of these holds: others than the sender read the conversation


def holds(conditions: Mapping[Pointer, Sequence[JsonValue]], payload: JsonObject) -> Pointer | None:
    """Return the first pointer behind which is one of its values; null stands for nothing there."""
    for pointer, values in conditions.items():
        try:
            found = pointer.find(payload)
        except NotFound:
            found = None
        if any(found == value and isinstance(found, bool) == isinstance(value, bool) for value in values):
            return pointer
    return None


class FieldMap:
    """Reads payloads by a section `map`.

    Args:
        bridge: The name of the bridge.
        config: The section.
    """

    def __init__(self, bridge: str, config: MapConfig) -> None:
        self._bridge = bridge
        self._config = config

    def read(self, envelope: Envelope, payload: JsonObject, *, new_id: str) -> InboundMessage:
        """Return the message in a payload.

        Args:
            envelope: What was around it.
            payload: What the service sent.
            new_id: The message's id where neither `map` nor the service has one.

        Raises:
            Rejected: 400, naming the pointer behind which there was nothing to use.
        """
        config = self._config
        sender = self._field("sender", config.sender, payload)
        conversation = self._field("conversation", config.conversation, payload)
        message_id = self._id(payload) or envelope.id
        language = self._field("language", config.language, payload)
        own = f"user:{sender}"[:MAX_NAME_CHARS] if sender else DEFAULT_CONVERSATION
        return InboundMessage(
            id=MessageId(f"webhook:{self._bridge}:{message_id or new_id}"),
            address=Address(bridge=self._bridge, account=ACCOUNT, chat=conversation or own),
            sender=Sender(
                id=sender or ACCOUNT,
                name=self._field("name", config.name, payload, cut=True),
                language=language if language and _LANGUAGE.fullmatch(language) else None,
            ),
            parts=(Text(_first("text", config.text, payload, readable=True)),),
            sent_at=datetime.fromtimestamp(envelope.timestamp or 0, UTC),
            group=holds(config.group, payload) is not None,
            digest=hashlib.sha256(envelope.body).hexdigest(),
            reference=message_id,
        )

    def _id(self, payload: JsonObject) -> str | None:
        """Return what `map.id` says; of what is too long to be kept its digest, which tells repeats as well."""
        text = self._field("id", self._config.id, payload, MAX_FOUND_CHARS)
        if text is None or len(text) <= MAX_ID_CHARS:
            return text
        return hashlib.sha256(text.encode()).hexdigest()

    def _field(
        self,
        field: str,
        sources: Sequence[Source] | None,
        payload: JsonObject,
        limit: int = MAX_NAME_CHARS,
        *,
        cut: bool = False,
    ) -> str | None:
        """Return a short text; None where the section does not name the field, or says that it is empty."""
        if sources is None:
            return None
        text = _CONTROLS.sub(" ", _first(field, sources, payload)).strip()
        if len(text) > limit and not cut:
            raise Rejected(400, "bad_request", f"map.{field}: more than {limit} characters")
        return text[:limit] or None


def _first(field: str, sources: Sequence[Source], payload: JsonObject, *, readable: bool = False) -> str:
    failed: list[str] = []
    for source in sources:
        try:
            return source.readable(payload) if readable else source.plain(payload)
        except NotFound as error:
            failed.append(str(error))
    raise Rejected(400, "bad_request", f"map.{field}: {'; '.join(failed)}")
