"""The section of a webhook bridge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from clawd.bridge import BridgeConfig
from clawd.config.callbacks import Secrets, keys_of
from clawd.webhooks.addresses import check_callback_url


class WebhookConfig(BridgeConfig):
    """A signed webhook in, and a signed callback out.

    `secret` has no default: without one anybody could speak to the agent, so the bridge does not start.
    """

    type: str = "webhook"
    preset: Literal["standard"] = "standard"
    secret: Secrets
    tolerance_s: Annotated[int, Field(ge=1, le=3600)] = 300  # between the sender's clock and ours
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    allow: tuple[str, ...] = ("*",)  # `data.user.id`s; a signed sender is let in unless this says less
    allow_http: bool = False  # let `callback_url` be http:// although it leaves this machine
    allow_private: bool = False  # let `callback_url` lead into a private network
    callback_url: str | None = None  # where replies are sent; without it they stay in the journal
    callback_secret: Secrets | None = None  # signs callbacks; None: `secret` does, an own one is better

    @field_validator("callback_url")
    @classmethod
    def _permitted(cls, url: str | None, info: ValidationInfo) -> str | None:
        # Fields are validated in their order, so what permits the URL stands before it.
        allow_http, allow_private = info.data.get("allow_http", False), info.data.get("allow_private", False)
        if url is not None:
            check_callback_url(url, allow_http=allow_http, allow_private=allow_private)
        return url

    @property
    def inbound_keys(self) -> tuple[bytes, ...]:
        """The keys of which one has to have signed a request."""
        return keys_of(self.secret)

    @property
    def outbound_keys(self) -> tuple[bytes, ...]:
        """The keys that sign a callback, all of them."""
        return keys_of(self.callback_secret or self.secret)
