"""The section of alerts: who is told of trouble, and where the rules differ from their defaults."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from clawd.config.base import Secret, Section
from clawd.config.callbacks import Secrets, keys_of
from clawd.webhooks.addresses import check_callback_url

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_OWN_HEADERS: Final = frozenset({"content-type", "content-length", "host", "user-agent"})
MAX_TARGETS: Final = 32


def _header_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("expected the name of a header, such as X-Api-Key")
    if name.lower() in _OWN_HEADERS or name.lower().startswith("webhook-"):
        raise ValueError(f"the header {name} is set by clawd itself")
    return str(name)


def _printable(value: Secret) -> Secret:
    if not value.reveal().isascii() or not value.reveal().isprintable():
        raise ValueError("a header's value is printable ASCII on one line")
    return value


HeaderValue = Annotated[Secret, AfterValidator(_printable)]


# Platforms' ids are often numbers, which YAML tells apart from text and people do not.
Chat = Annotated[
    str,
    Field(min_length=1),
    BeforeValidator(
        lambda value: str(value) if type(value) is int else value, json_schema_input_type=str | int
    ),
]


class AlertTarget(Section):
    """Somebody who is told: a chat (`bridge` and `chat`), or a `url` that takes Alertmanager's JSON."""

    bridge: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    chat: Chat | None = None
    allow_http: bool = False  # let `url` be http:// although it leaves this machine
    allow_private: bool = False  # let `url` lead into a private network
    url: Secret | None = None  # a key may be part of it
    token: HeaderValue | None = None  # sent as `Authorization: Bearer …`
    headers: dict[Annotated[str, AfterValidator(_header_name)], HeaderValue] = {}
    secret: Secrets | None = None  # signs each call as Standard Webhooks do

    @field_validator("url")
    @classmethod
    def _permitted(cls, url: Secret | None, info: ValidationInfo) -> Secret | None:
        # Fields are validated in their order, so what permits the URL stands before it.
        if url is not None:
            check_callback_url(
                url.reveal(),
                allow_http=info.data.get("allow_http", False),
                allow_private=info.data.get("allow_private", False),
            )
        return url

    @model_validator(mode="after")
    def _one_kind(self) -> AlertTarget:
        if self.url is not None and (self.bridge is not None or self.chat is not None):
            raise ValueError("a target has a url, or bridge and chat, not both")
        if self.url is None and (self.bridge is None or self.chat is None):
            raise ValueError("a target needs a url, or bridge and chat")
        if self.url is None and (self.token or self.headers or self.secret):
            raise ValueError("token, headers and secret belong to a url")
        if self.token is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("token and the header Authorization exclude each other")
        return self

    @property
    def host(self) -> str:
        """The host in `url`."""
        return urlsplit(self.url.reveal()).hostname or "" if self.url is not None else ""

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The keys that sign a call; none where it is not signed."""
        return keys_of(self.secret) if self.secret is not None else ()


Number = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, le=7 * 86_400)]


class AlertRule(Section):
    """Where a rule differs from its defaults (docs/alerts.md); what is left out is as there."""

    enabled: bool = True
    above: Number | None = None  # begins when its number is greater; the unit is the number's own
    min: Annotated[int, Field(ge=0)] | None = None  # so much has to have happened within the window
    window_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    for_s: Seconds | None = None  # for so long without a break
    clear: Number | None = None  # ends once its number is at most this
    cool_down_s: Seconds | None = None  # what has ended is not told anew before
    severity: Literal["warning", "critical"] | None = None

    @model_validator(mode="after")
    def _ends(self) -> AlertRule:
        if self.above is not None and self.clear is not None and self.clear > self.above:
            raise ValueError("clear is greater than above: it would end while it goes on")
        return self


class AlertRules(Section):
    """One key for each rule; their meaning and defaults stand in `clawd/alerts/rules.py`."""

    error_rate: AlertRule = AlertRule.model_construct()
    model_error_rate: AlertRule = AlertRule.model_construct()
    latency: AlertRule = AlertRule.model_construct()
    first_token: AlertRule = AlertRule.model_construct()
    queue_age: AlertRule = AlertRule.model_construct()
    dead_letters: AlertRule = AlertRule.model_construct()
    breaker_open: AlertRule = AlertRule.model_construct()
    bridge_down: AlertRule = AlertRule.model_construct()
    budget: AlertRule = AlertRule.model_construct()
    disk: AlertRule = AlertRule.model_construct()
    loop_lag: AlertRule = AlertRule.model_construct()
    journal_errors: AlertRule = AlertRule.model_construct()
    crashes: AlertRule = AlertRule.model_construct()
    restarts: AlertRule = AlertRule.model_construct()
    config_refused: AlertRule = AlertRule.model_construct()


class AlertsConfig(Section):
    """Who is told of trouble, and when."""

    targets: Annotated[tuple[AlertTarget, ...], Field(max_length=MAX_TARGETS)] = ()
    owners: bool = True  # tell the owners in their private chats too, where those are known by their ids
    rules: AlertRules = AlertRules.model_construct()
