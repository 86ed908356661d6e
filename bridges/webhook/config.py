"""The section of a webhook bridge."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bridges.webhook.addresses import check_callback_url
from bridges.webhook.signing import key_of
from clawd.bridge import BridgeConfig
from clawd.config.base import Secret


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Secrets = Annotated[
    tuple[Secret, ...],
    Field(min_length=1, max_length=4),
    BeforeValidator(_several, json_schema_input_type=Secret | list[Secret]),
]
"""One secret or a list of up to four, of which any may match: how a key is changed without a gap."""


class WebhookConfig(BridgeConfig):
    """A signed webhook in, and a signed callback out.

    `secret` has no default: without one anybody could speak to the agent, so the bridge does not start.
    """

    type: str = "webhook"
    preset: Literal["standard"] = "standard"
    secret: Secrets  # `whsec_` and base64, or any text, whose bytes are the key then
    callback_url: str | None = None  # where replies are sent; without it they stay in the journal
    callback_secret: Secrets | None = None  # signs callbacks; None: `secret` does, an own one is better
    tolerance_s: Annotated[int, Field(ge=1, le=3600)] = 300  # between the sender's clock and ours
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    allow: tuple[str, ...] = ("*",)  # `data.user.id`s; a signed sender is let in unless this says less
    allow_http: bool = False  # let `callback_url` be http:// although it leaves this machine
    allow_private: bool = False  # let `callback_url` lead into a private network

    @model_validator(mode="after")
    def _check(self) -> Self:
        for secret in (*self.secret, *(self.callback_secret or ())):
            key_of(secret.reveal())
        if self.callback_url is not None:
            check_callback_url(
                self.callback_url, allow_http=self.allow_http, allow_private=self.allow_private
            )
        return self

    @property
    def inbound_keys(self) -> tuple[bytes, ...]:
        """The keys of which one has to have signed a request."""
        return tuple(key_of(secret.reveal()) for secret in self.secret)

    @property
    def outbound_keys(self) -> tuple[bytes, ...]:
        """The keys that sign a callback, all of them."""
        return tuple(key_of(secret.reveal()) for secret in self.callback_secret or self.secret)
