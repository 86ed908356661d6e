"""What a message answers, quotes or passes on: words of other people, marked as material and no more than that.

Read from the raw object, field by field: nothing strange in it may cost us the message itself.

Source: Bot API, Message, fields `reply_to_message`, `external_reply`, `quote` and `forward_origin`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from bridges.telegram.content import READ, parts_of
from bridges.telegram.lean import Message
from clawd.messages import Earlier, Text, text_of
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridges.telegram.account import Account
    from clawd.messages import Part

MAX_QUOTED: Final = 4000
"""Characters of one quoted message; a message at Telegram has 4,096 at most."""

MAX_OWN: Final = 500
"""Characters of a quoted message of ours, which the session mostly knows already."""

_MAX_NAME: Final = 64


def quoted(raw: dict[str, Any], account: Account, language: str | None) -> tuple[Earlier, ...]:
    """Return what is to be shown in front of a message: the text that it replies to or quotes."""
    answered = _answered(raw)
    outside = raw.get("external_reply")
    if answered is None and not isinstance(outside, dict):
        return ()
    if answered is not None:
        ours = _author_id(answered) == account.id
        name = _author(answered)
        text = text_of(tuple(_parts_of_raw(answered, account)))
    else:
        assert isinstance(outside, dict)  # noqa: S101 - as checked above
        ours, name, text = False, origin_of(outside.get("origin")), ""
    part = quote.get("text") if isinstance(quote := raw.get("quote"), dict) else None
    if isinstance(part, str) and part.strip():
        text = part
    text = _cut(text, MAX_OWN if ours else MAX_QUOTED)
    if not text:
        return ()
    head = say("quoted_own", language) if ours else say("quoted", language, name=name)
    return (Earlier(role="user", text=f"{head}\n{_as_quote(text)}"),)


def answered_files(raw: dict[str, Any], account: Account) -> tuple[Part, ...]:
    """Return the files of the message that a message replies to: "what is this?" is asked about them."""
    answered = _answered(raw)
    if answered is None:
        return ()
    return tuple(part for part in _parts_of_raw(answered, account) if not isinstance(part, Text))


def as_forwarded(parts: Sequence[Part], raw: dict[str, Any], language: str | None) -> tuple[Part, ...]:
    """Return the parts of a message; the text of a forwarded one is somebody else's, and never a command."""
    origin = raw.get("forward_origin")
    if not isinstance(origin, dict):
        return tuple(parts)
    head = say("forwarded", language, name=origin_of(origin))
    if not any(isinstance(part, Text) for part in parts):
        return (Text(head), *parts)
    return tuple(
        replace(part, text=f"{head}\n{_as_quote(part.text)}") if isinstance(part, Text) else part
        for part in parts
    )


def origin_of(origin: Any) -> str:
    """Return the name of who wrote a forwarded message, "?" when Telegram does not say."""
    match origin:
        case {"sender_user": dict(user)}:
            return _name_of(user)
        case {"sender_user_name": str(name)}:
            return _one_line(name)
        case {"sender_chat": dict(chat)} | {"chat": dict(chat)}:
            return _name_of(chat)
        case _:
            return "?"


def _answered(raw: dict[str, Any]) -> dict[str, Any] | None:
    """Return the message that is replied to. In a topic every message "replies" to the one that opened it."""
    answered = raw.get("reply_to_message")
    if not isinstance(answered, dict) or answered.get("forum_topic_created") is not None:
        return None
    return answered


def _parts_of_raw(raw: dict[str, Any], account: Account) -> tuple[Part, ...]:
    """Return the parts of a Message object, as far as it can be read."""
    words = {"text", "caption", "entities", "caption_entities"}
    for fields in (READ, words | {"message_id", "date", "chat"}):
        kept = {name: value for name, value in raw.items() if name in fields}
        try:
            return tuple(parts_of(Message.model_validate(kept), account))
        except (ValidationError, RecursionError):
            continue
    return ()


def _author_id(raw: dict[str, Any]) -> int | None:
    match raw.get("from"):
        case {"id": int(number)}:
            return number
        case _:
            return None


def _author(raw: dict[str, Any]) -> str:
    for key in ("sender_chat", "from"):
        if isinstance(author := raw.get(key), dict):
            return _name_of(author)
    return "?"


def _name_of(raw: dict[str, Any]) -> str:
    names = [raw.get("title"), raw.get("first_name"), raw.get("last_name")]
    return _one_line(" ".join(name for name in names if isinstance(name, str)))


def _one_line(name: str) -> str:
    """Return a name that can't pass for the end of our own words."""
    return " ".join(name.replace("[", "(").replace("]", ")").split())[:_MAX_NAME] or "?"


def _cut(text: str, limit: int) -> str:
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _as_quote(text: str) -> str:
    """Mark each line, so that nothing in the text can pass for what comes behind it."""
    return "\n".join(f"> {line}" for line in text.splitlines())
