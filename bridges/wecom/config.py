"""The section of a WeCom bridge."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from clawd.bridge import BridgeConfig
from clawd.config.base import Secret

_MIB = 1024 * 1024


_OF_APPS = "bot_id and secret are those of the AI bot's long connection, and no others work: see docs/bridges/wecom.md"
"""Said of the credentials of self-built apps and of callbacks, which people have already."""


def _check_url(url: str) -> str:
    """Refuse an address that could not carry the connection."""
    parts = urlsplit(url)
    if parts.scheme not in {"ws", "wss"} or not parts.netloc or parts.fragment:
        raise ValueError("expected wss://HOST[:PORT][/PATH], or ws:// for a server of your own")
    return url


class WecomConfig(BridgeConfig):
    """What a WeCom bridge needs, beside the keys of every bridge."""

    foreign_keys: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (
            "corp_id",
            "corpid",
            "corp_secret",
            "corpsecret",
            "agent_id",
            "agentid",
            "token",
            "encoding_aes_key",
            "aes_key",
        ),
        _OF_APPS,
    )

    bot_id: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
    secret: Secret  # of the bot's long connection; neither a corpsecret nor an EncodingAESKey
    ws_url: Annotated[str, AfterValidator(_check_url)] = "wss://openws.work.weixin.qq.com"
    bot_name: str | None = None  # as groups mention it; None: the first word after the @
    welcome: Annotated[str, Field(min_length=1, max_length=2000)] | None = None  # on the first entry of a day
    language: Literal["en", "zh"] = "zh"  # of clawd's own sentences until somebody says /lang
    stream: bool = True  # show replies while they are made
    max_file_bytes: Annotated[int, Field(ge=1, le=200 * _MIB)] = 20 * _MIB  # of one that people send
    heartbeat_s: Annotated[float, Field(ge=1, le=120)] = 30
    ack_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10  # for the answer to each frame
    # After another connection of this bot took over. None: stay away until a restart, because two
    # that both come back would end each other for ever.
    reconnect_after_kick_s: Annotated[float, Field(ge=60)] | None = None

    @model_validator(mode="after")
    def _can_read_files(self) -> Self:
        if self.enabled and find_spec("cryptography") is None:
            raise ValueError(
                "WeCom encrypts files, and the extra `wechat` is missing; pip install 'clawd-agent[wechat]'"
            )
        return self
