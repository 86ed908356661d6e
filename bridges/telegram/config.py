"""The section of a Telegram bridge."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from clawd.bridge import BridgeConfig
from clawd.config.base import Secret

Format = Literal["auto", "rich", "entities", "plain"]

DOCUMENT_MIN: Final = 8192
DOCUMENT_MAX: Final = 1_000_000

_TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{35}")


def _check_token(token: Secret) -> Secret:
    """Refuse what BotFather never gave out; the value itself stays out of the message."""
    if not _TOKEN.fullmatch(token.reveal()):
        raise ValueError(
            "not a bot token: it is digits, a colon and 35 letters, digits, '_' or '-'; "
            "copy it from BotFather's message, or set it by {env: NAME}"
        )
    return token


def _check_base(url: str) -> str:
    """Refuse an address that could not carry the API; a slash at the end does no harm."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("expected http://HOST[:PORT] or https://HOST[:PORT]")
    return url.rstrip("/")


def _check_document_over(chars: int) -> int:
    """Refuse a length that a few messages hold: parts of replies must never be taken for a document."""
    if chars and not DOCUMENT_MIN <= chars <= DOCUMENT_MAX:
        raise ValueError(f"expected 0 for never, or {DOCUMENT_MIN:,} to {DOCUMENT_MAX:,} characters")
    return chars


class TelegramConfig(BridgeConfig):
    """What a Telegram bridge needs, beside the keys of every bridge."""

    token: Annotated[Secret, AfterValidator(_check_token)]
    api_base: Annotated[str, AfterValidator(_check_base)] = "https://api.telegram.org"
    stream: bool = (
        True  # show replies while they are made: as drafts in private, else by edits of one message
    )
    format: Format = (
        "auto"  # rich: laid out by Telegram, see rich.py; entities: by us, as auto; plain: not at all
    )
    document_over: Annotated[int, AfterValidator(_check_document_over)] = 20_000  # characters; 0: never
    reactions: bool = False  # on messages that take over a second: 👀, then 👍 or 💔; two calls more
    poll_timeout_s: Annotated[int, Field(ge=1, le=50)] = 30  # how long one request for updates may wait
    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30  # every other request
