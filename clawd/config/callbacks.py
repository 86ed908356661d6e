"""The sections of signed calls to programs: what a message's sender may name, and an app's own."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from clawd.config.base import Secret, Section
from clawd.webhooks.addresses import check_callback_url
from clawd.webhooks.allowing import Destinations
from clawd.webhooks.signing import key_of


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _decodable(secrets: tuple[Secret, ...]) -> tuple[Secret, ...]:
    for secret in secrets:
        key_of(secret.reveal())
    return secrets


Secrets = Annotated[
    tuple[Secret, ...],
    Field(min_length=1, max_length=4),
    BeforeValidator(_several, json_schema_input_type=Secret | list[Secret]),
    AfterValidator(_decodable),
]
"""One secret or a list of up to four: how a key is changed without a gap. `whsec_` and base64, or any text,
whose bytes are the key then."""


def keys_of(secrets: tuple[Secret, ...]) -> tuple[bytes, ...]:
    """Return the keys of valid secrets."""
    return tuple(key_of(secret.reveal()) for secret in secrets)


class CallbacksConfig(Section):
    """Which `callback_url` a message may carry, and what signs the calls to it."""

    secret: Secrets  # all of them sign
    allow: Annotated[tuple[str, ...], Field(min_length=1)]  # beginnings of URLs, hosts, *.example.com
    allow_http: bool = False
    allow_private: tuple[str, ...] = ()  # hosts, addresses and networks that are meant although not public

    @model_validator(mode="after")
    def _readable(self) -> CallbacksConfig:
        _ = self.destinations
        return self

    @cached_property
    def destinations(self) -> Destinations:
        """What may be called."""
        return Destinations(self.allow, allow_http=self.allow_http, allow_private=self.allow_private)

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The keys that sign a call, all of them."""
        return keys_of(self.secret)


class AppCallbackConfig(Section):
    """Where an app is told what happens in its conversations."""

    secret: Secrets  # all of them sign
    events: Annotated[tuple[Literal["message", "done", "failed", "approval"], ...], Field(min_length=1)] = (
        "done",
        "failed",
        "approval",
    )
    allow_http: bool = False  # let `url` be http:// although it leaves this machine
    allow_private: bool = False  # let `url` lead into a private network
    url: str

    @field_validator("url")
    @classmethod
    def _permitted(cls, url: str, info: ValidationInfo) -> str:
        # Fields are validated in their order, so what permits the URL stands before it.
        return check_callback_url(
            url,
            allow_http=info.data.get("allow_http", False),
            allow_private=info.data.get("allow_private", False),
        )

    @property
    def host(self) -> str:
        """The host in `url`."""
        return urlsplit(self.url).hostname or ""

    @property
    def secret_keys(self) -> tuple[bytes, ...]:
        """The keys that sign a call, all of them."""
        return keys_of(self.secret)
