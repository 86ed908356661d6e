"""The section of a Telegram bridge."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from clawd.bridge import BridgeConfig
from clawd.config.base import ConfigPath, Secret

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


class TelegramConfig(BridgeConfig):
    """What a Telegram bridge needs, beside the keys of every bridge."""

    token: Annotated[Secret, AfterValidator(_check_token)]
    api_base: Annotated[str, AfterValidator(_check_base)] = "https://api.telegram.org"
    local_dir: ConfigPath | None = None  # where an `api_base` in local mode keeps files, as seen from here
    stream: bool = True  # show replies while they are made, by edits of one message
    poll_timeout_s: Annotated[int, Field(ge=1, le=50)] = 30  # how long one request for updates may wait
    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30  # every other request
