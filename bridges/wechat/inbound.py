"""Callbacks as inbound messages. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

from bridges.wechat.references import reference_of
from clawd.messages import (
    Address,
    Audio,
    File,
    Image,
    InboundControl,
    InboundMessage,
    MessageId,
    Sender,
    Text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.messages import Part

START: Final = "/start"
FETCH_WORDS: Final = frozenset({"1", "１"})
_MAX_ID: Final = 128
_MAX_SECONDS: Final = 4_102_444_800  # the year 2100


class Unusable(ValueError):
    """A message that lacks what every message has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The Official Account, and the bridge that answers for it."""

    bridge: str
    app_id: str
    language: str
    location_events: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What came, as far as every kind of it is alike."""

    id: MessageId
    address: Address
    sender: Sender
    to: str  # our account's own id, which a reply comes from
    sent_at: datetime
    kind: Literal["message", "subscribe", "ignored"]
    parts: tuple[Part, ...] = ()
    reference: str | None = None

    @property
    def fetches(self) -> bool:
        """Whether it says no more than the word by which people fetch what is kept for them."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return isinstance(only, Text) and only.text in FETCH_WORDS

    def message(self) -> InboundMessage:
        """Return it as a message; somebody who has just followed begins like everybody."""
        return InboundMessage(
            id=self.id,
            address=self.address,
            sender=self.sender,
            parts=self.parts,
            sent_at=self.sent_at,
            reference=self.reference,
        )

    def fetch(self) -> InboundControl:
        """Return it as the wish to have what is kept."""
        return InboundControl(
            id=self.id, address=self.address, sender=self.sender, kind="fetch", sent_at=self.sent_at
        )


def read_arrival(account: Account, fields: Mapping[str, str]) -> Arrival:
    """Return what came in a callback; unknown kinds are `ignored`.

    Raises:
        Unusable: a field that every callback has is missing or can't be right.
    """
    who, to, kind = (_needed(fields, name) for name in ("FromUserName", "ToUserName", "MsgType"))
    created = _needed(fields, "CreateTime")
    if not (created.isascii() and created.isdigit() and len(created) <= 12) or int(created) > _MAX_SECONDS:
        raise Unusable("CreateTime is no time")
    event = fields.get("Event", "").lower() if kind.lower() == "event" else None
    parts = _parts(kind.lower(), fields) if event is None else _event_parts(account, event, fields)
    number = fields.get("MsgId", "") if event is None else ""
    if event is None and not number and parts:
        raise Unusable("a message without MsgId")
    # Events have no number: who, when and what tells them apart.
    own = number[:_MAX_ID] or ":".join(
        quote(word[:_MAX_ID], safe="") for word in (who, created, event or kind, fields.get("EventKey", ""))
    )
    return Arrival(
        id=MessageId(f"wx:{account.app_id}:{own}"),
        address=Address(bridge=account.bridge, account=account.app_id, chat=who),
        sender=Sender(id=who, language=account.language),
        to=to,
        sent_at=datetime.fromtimestamp(int(created), UTC),
        kind="subscribe" if event == "subscribe" else "message" if parts else "ignored",
        parts=parts,
        reference=number or None,
    )


def _needed(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value or len(value) > _MAX_ID:
        raise Unusable(f"{name} is missing or too long")
    return value


def _parts(kind: str, fields: Mapping[str, str]) -> tuple[Part, ...]:
    media = fields.get("MediaId", "")
    match kind:
        case "text":
            return _text(fields.get("Content", ""))
        case "image" if media or fields.get("PicUrl"):
            ref = reference_of(media, fields.get("PicUrl", ""))
            return (Image(ref=ref, mime="image/jpeg"),)
        case "voice" if media:
            # Recognition is switched off for many accounts, and empty where nothing was understood.
            spoken = fields.get("Recognition") or None
            mime = "audio/speex" if fields.get("Format", "").lower() == "speex" else "audio/amr"
            return (Audio(ref=reference_of(media), mime=mime, transcript=spoken),)
        case "video" | "shortvideo" if media:
            return (File(ref=reference_of(media), mime="video/mp4"),)
        case "location":
            place = f"{fields.get('Location_X', '?')}, {fields.get('Location_Y', '?')}"
            return _text(_words("[location]", fields.get("Label", ""), place))
        case "link":
            names = ("Title", "Description", "Url")
            return _text(_words("[link]", *(fields.get(name, "") for name in names)))
        case _:
            return ()


def _event_parts(account: Account, event: str, fields: Mapping[str, str]) -> tuple[Part, ...]:
    """Return what an event says in words; most say nothing that is for us."""
    key = fields.get("EventKey", "")
    match event:
        case "subscribe":
            return (Text(START),)
        case "click":
            return _text(key)  # a button of ours carries its words as key
        case "scan":
            return _text(_words("[QR code]", key)) if key else ()
        case "location" if account.location_events:
            place = f"{fields.get('Latitude', '?')}, {fields.get('Longitude', '?')}"
            return _text(_words("[location]", place))
        case _:
            return ()


def _text(text: str) -> tuple[Part, ...]:
    return (Text(text),) if text.strip() else ()


def _words(*words: str) -> str:
    return " ".join(word for word in words if word)
