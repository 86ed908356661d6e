"""The section of a Telegram bridge."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from bridges.telegram.account import Groups
from clawd.bridge import BridgeConfig
from clawd.config.base import ConfigPath, Secret
from clawd.config.schema import SenderId

_WEBHOOK_PORTS: Final = (443, 80, 88, 8443)
_WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")
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


def _check_webhook_url(url: str) -> str:
    """Refuse what Telegram would not call. Source: Bot API, setWebhook: HTTPS, and four ports."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.fragment or parts.username:
        raise ValueError("expected https://HOST[:PORT]/bridges/NAME, as Telegram reaches it from outside")
    if (parts.port or 443) not in _WEBHOOK_PORTS:
        raise ValueError(f"Telegram calls the ports {', '.join(map(str, _WEBHOOK_PORTS))} alone")
    return url


def _check_webhook_secret(secret: Secret) -> Secret:
    if not _WEBHOOK_SECRET.fullmatch(secret.reveal()):
        raise ValueError(
            "Telegram takes 1 to 256 letters, digits, '_' and '-' as a secret; 16 are asked for here"
        )
    return secret


def _check_document_over(chars: int) -> int:
    """Refuse a length that a few messages hold: parts of replies must never be taken for a document."""
    if chars and not DOCUMENT_MIN <= chars <= DOCUMENT_MAX:
        raise ValueError(f"expected 0 for never, or {DOCUMENT_MIN:,} to {DOCUMENT_MAX:,} characters")
    return chars


class TelegramConfig(BridgeConfig):
    """What a Telegram bridge needs, beside the keys of every bridge."""

    asks_owners: ClassVar[bool] = True

    token: Annotated[Secret, AfterValidator(_check_token)]
    api_base: Annotated[str, AfterValidator(_check_base)] = "https://api.telegram.org"
    local_dir: ConfigPath | None = None  # where an `api_base` in local mode keeps files, as seen from here
    stream: bool = (
        True  # show replies while they are made: as drafts in private, else by edits of one message
    )
    format: Format = (
        "auto"  # rich: laid out by Telegram, see rich.py; entities: by us, as auto; plain: not at all
    )
    document_over: Annotated[int, AfterValidator(_check_document_over)] = 20_000  # characters; 0: never
    reactions: bool = False  # on messages that take over a second: 👀, then 👍 or 💔; two calls more
    groups: tuple[SenderId, ...] = ("*",)  # chat ids of groups to work in; "*" is every group
    without_mention: tuple[SenderId, ...] = ()  # those of them where each message is for the bot
    per_user: bool = False  # in groups each person has a conversation of his own
    commands: bool = True  # tell Telegram's apps which commands there are
    mode: Literal["polling", "webhook"] = "polling"  # ask for updates, or be called with them by the gateway
    webhook_url: Annotated[str, AfterValidator(_check_webhook_url)] | None = None  # where Telegram calls us
    # Telegram shows it with each call; None: made of the token.
    webhook_secret: Annotated[Secret, AfterValidator(_check_webhook_secret)] | None = None
    webhook_connections: Annotated[int, Field(ge=1, le=100)] = 1  # calls at a time; only one keeps the order
    poll_timeout_s: Annotated[int, Field(ge=1, le=50)] = 30  # how long one request for updates may wait
    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30  # every other request

    @model_validator(mode="after")
    def _can_be_called(self) -> Self:
        if self.mode == "webhook" and self.webhook_url is None:
            raise ValueError(
                "mode: webhook needs webhook_url: the https:// address at which Telegram reaches /bridges/NAME of the gateway"
            )
        return self

    @property
    def group_rules(self) -> Groups:
        """What is to be done in groups."""
        return Groups(
            allowed=frozenset(self.groups),
            unmentioned=frozenset(self.without_mention),
            per_user=self.per_user,
        )
