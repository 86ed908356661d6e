"""The section of a webhook bridge."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from bridges.webhook.mapping import Conditions, MapConfig
from bridges.webhook.reply_config import ReplyConfig
from clawd.bridge import BridgeConfig, Secret
from clawd.config.callbacks import Secrets, keys_of
from clawd.config.schema import SenderId
from clawd.webhooks.addresses import check_callback_url

PresetName = Literal["standard", "github", "slack", "feishu", "dingtalk", "bearer", "header"]

PEOPLE: Final = frozenset({"github", "slack", "feishu", "dingtalk"})
"""Presets behind which anybody may write, and not only who holds the secret."""

_CHATS: Final = frozenset({"slack", "feishu", "dingtalk"})
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_TOLERANCE_S: Final = {
    "feishu": 8 * 3600,  # it tries again for six hours, and the ids of messages are kept for longer
    "dingtalk": 3600,  # as DingTalk's documentation says
}


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("expected the name of a header, such as X-Gitlab-Token")
    if name.lower() in ("authorization", "content-type", "host"):
        raise ValueError("this header has a meaning of its own; for Authorization there is the preset bearer")
    return str(name)


class WebhookConfig(BridgeConfig):
    """Signed requests of a service in, and its replies out.

    `secret` has no default: without one anybody could speak to the agent, so the bridge does not start.
    """

    type: str = "webhook"
    preset: PresetName = "standard"
    secret: Secrets  # Slack: the signing secret, Feishu: the Encrypt Key, DingTalk: the app's secret
    header: Annotated[str, AfterValidator(_header_name)] | None = None  # preset header: where it comes in
    verification_token: Secret | None = None  # preset feishu: checked beside the signature
    tolerance_s: Annotated[int, Field(ge=1, le=86_400)] = 300  # between the sender's clock and ours
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    allow: tuple[SenderId, ...] = (
        "*",
    )  # sender ids; presets of services that people write to: none but these
    map: MapConfig | None = None  # which parts of a payload are a message; None: as the preset reads it
    ignore_when: Conditions = {}  # payloads of which one of these holds are answered, and nothing more
    allow_http: bool = False  # let `callback_url` be http:// although it leaves this machine
    allow_private: bool = False  # let `callback_url` lead into a private network
    callback_url: str | None = None  # where replies are sent; without it they stay in the journal
    callback_secret: Secrets | None = None  # signs callbacks; None: `secret` does, an own one is better
    reply: ReplyConfig | None = None  # the request that carries a reply; None: as the preset does it
    reply_token: Secret | None = None  # preset slack: the bot's token, xoxb-…
    app_id: str | None = None  # preset feishu: replies go out as this app
    app_secret: Secret | None = None
    api_base: str | None = None  # of Slack, Feishu or DingTalk; None: the service's own

    @model_validator(mode="before")
    @classmethod
    def _by_preset(cls, data: Any) -> Any:
        # A signed sender vouches for its users; a service that strangers write to does not.
        if isinstance(data, dict) and data.get("preset") in PEOPLE and "allow" not in data:
            return {**data, "allow": ()}
        return data

    @field_validator("preset")
    @classmethod
    def _can_decrypt(cls, preset: str) -> str:
        if preset == "feishu" and find_spec("cryptography") is None:
            raise ValueError('Feishu encrypts its callbacks; run pip install "clawd-agent[wechat]"')
        return preset

    @field_validator("header", "verification_token", "reply_token", "app_id", "app_secret", "api_base")
    @classmethod
    def _fits_preset(cls, value: object, info: ValidationInfo) -> object:
        wanted = _OF_PRESETS[info.field_name or ""]
        preset = info.data.get("preset", wanted[0])
        if value is not None and preset not in wanted:
            raise ValueError(f"only the preset {' or '.join(wanted)} has this key")
        return value

    @field_validator("map")
    @classmethod
    def _knows_repeats(cls, value: MapConfig | None, info: ValidationInfo) -> MapConfig | None:
        if value is not None and value.id is None and info.data.get("preset") in _CHATS:
            raise ValueError("map.id: this key is missing: what the service sends again is known by it")
        return value

    @field_validator("callback_url", "api_base")
    @classmethod
    def _permitted(cls, url: str | None, info: ValidationInfo) -> str | None:
        # Fields are validated in their order, so what permits the URL stands before it.
        allow_http, allow_private = info.data.get("allow_http", False), info.data.get("allow_private", False)
        if url is not None:
            check_callback_url(url, allow_http=allow_http, allow_private=allow_private)
        return url

    @field_validator("reply")
    @classmethod
    def _leads_somewhere(cls, reply: ReplyConfig | None, info: ValidationInfo) -> ReplyConfig | None:
        if reply is None:
            return None
        url = reply.sample_url
        if url is not None:
            allow_http, allow_private = (
                info.data.get("allow_http", False),
                info.data.get("allow_private", False),
            )
            try:
                check_callback_url(url, allow_http=allow_http, allow_private=allow_private)
            except ValueError as error:
                raise ValueError(f"url: {error}") from error
        elif info.data.get("callback_url") is None and "callback_url" in info.data:
            raise ValueError("url: this key is missing, and there is no callback_url")
        return reply

    @model_validator(mode="after")
    def _whole(self) -> WebhookConfig:
        if self.preset == "header" and self.header is None:
            raise ValueError("the preset header needs header, such as X-Gitlab-Token")
        if (self.app_id is None) != (self.app_secret is None):
            raise ValueError("app_id and app_secret are set together or not at all")
        return self

    @property
    def clock_tolerance_s(self) -> int:
        """How far the sender's clock may be off, in seconds: as set, else as is usual for the preset."""
        if "tolerance_s" in self.model_fields_set:
            return self.tolerance_s
        return _TOLERANCE_S.get(self.preset, self.tolerance_s)

    @property
    def inbound_keys(self) -> tuple[bytes, ...]:
        """The keys of which one has to have signed a request.

        Services that make their secrets themselves sign with the text as it stands; only Standard Webhooks
        know `whsec_`.
        """
        if self.preset == "standard":
            return keys_of(self.secret)
        return tuple(secret.reveal().encode() for secret in self.secret)

    @property
    def outbound_keys(self) -> tuple[bytes, ...]:
        """The keys that sign a callback, all of them."""
        return keys_of(self.callback_secret or self.secret)

    @property
    def callback_keys(self) -> tuple[bytes, ...]:
        """The keys of `callback_secret` as the service reads them: as they stand."""
        return tuple(secret.reveal().encode() for secret in self.callback_secret or ())


_OF_PRESETS: Final = {
    "header": ("header",),
    "verification_token": ("feishu",),
    "reply_token": ("slack",),
    "app_id": ("feishu",),
    "app_secret": ("feishu",),
    "api_base": ("slack", "feishu", "dingtalk"),
}
