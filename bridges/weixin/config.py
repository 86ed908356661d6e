"""The section of a personal WeChat bridge."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from clawd.bridge import BridgeConfig


def _check_base(url: str) -> str:
    """Refuse an address that could not carry the API; a slash at the end does no harm."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("expected https://HOST[:PORT][/PATH]")
    return url.rstrip("/")


Base = Annotated[str, AfterValidator(_check_base)]


class WeixinConfig(BridgeConfig):
    """What the bridge needs, beside the keys of every bridge. The token is no part of it: a login brings it."""

    # A reply that may have arrived costs one of few messages; the owner decides on a repeat.
    on_ambiguous: Literal["resend", "hold"] = "hold"
    api_base: Base = "https://ilinkai.weixin.qq.com"
    cdn_base: Base = "https://novac2c.cdn.weixin.qq.com/c2c"
    # HOST[:PORT] beside *.weixin.qq.com that a login may name: the token is sent there.
    hosts: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")], ...] = ()
    client_version: Annotated[str, Field(pattern=r"^\d{1,3}\.\d{1,3}\.\d{1,3}$")] = "2.4.9"
    text_limit: Annotated[int, Field(ge=640, le=4000)] = 2000  # characters of one message
    sends_per_message: Annotated[int, Field(ge=1, le=10)] = 8  # before the user must write again
    window_s: Annotated[int, Field(ge=60, le=86400)] = 86400  # after the user's last message
    send_interval_s: Annotated[float, Field(ge=0, le=20)] = 1.0
    max_file_bytes: Annotated[int, Field(ge=1, le=104857600)] = 104857600
    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = 15
    poll_timeout_s: Annotated[float, Field(gt=0, le=300)] = 45  # at least; the server's own wish and 10 s
