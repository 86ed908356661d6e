"""The section of a bridge to a WeChat Official Account."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from clawd.bridge import BridgeConfig
from clawd.config.base import Secret, Section

_TOKEN = re.compile(r"[A-Za-z0-9]{3,32}")
_AES_KEY = re.compile(r"[A-Za-z0-9]{43}")


def _check_token(token: Secret) -> Secret:
    """Refuse what the account's page never takes; the value itself stays out of the message."""
    if not _TOKEN.fullmatch(token.reveal()):
        raise ValueError("not a callback token: it is 3 to 32 letters and digits, as typed at the platform")
    return token


def _check_aes_key(key: Secret) -> Secret:
    """Refuse what is no EncodingAESKey; the value itself stays out of the message."""
    if not _AES_KEY.fullmatch(key.reveal()):
        raise ValueError("not an EncodingAESKey: it is 43 letters and digits, as shown at the platform")
    return key


def _check_base(url: str) -> str:
    """Refuse an address that could not carry the API; a slash at the end does no harm."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("expected http://HOST[:PORT] or https://HOST[:PORT]")
    return url.rstrip("/")


Label = Annotated[str, Field(min_length=1, max_length=60)]


class Button(Section):
    """What one tap does: say `text` as if it had been written, or open `url`."""

    name: Label
    text: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=1024)] | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if (self.text is None) == (self.url is None):
            raise ValueError("a button needs either `text` or `url`")
        return self


class MenuEntry(Section):
    """One entry of the menu under a chat: a button, or a name with up to five buttons above it."""

    name: Label
    text: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=1024)] | None = None
    buttons: Annotated[tuple[Button, ...], Field(max_length=5)] = ()

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if [self.text is not None, self.url is not None, bool(self.buttons)].count(True) != 1:
            raise ValueError("an entry needs one of `text`, `url` and `buttons`")
        return self


class WeChatConfig(BridgeConfig):
    """What a bridge to an Official Account needs, beside the keys of every bridge."""

    app_id: Annotated[str, Field(pattern=r"^wx[0-9A-Za-z]{4,30}$")]
    token: Annotated[Secret, AfterValidator(_check_token)]  # signs callbacks
    app_secret: Secret | None = None  # None: replies go out as answers to callbacks alone
    aes_key: Annotated[Secret, AfterValidator(_check_aes_key)] | None = None
    mode: Literal["auto", "plain", "safe"] = "auto"  # auto: safe with an `aes_key`, else plain
    replies: Literal["auto", "passive"] = "auto"  # passive: never by the customer-service API
    reply_wait_s: Annotated[float, Field(ge=0, le=4.8)] = 4.5  # WeChat hangs up after 5
    use_retries: bool = False  # passive alone: let WeChat ask three times, which gives 14 s for an answer
    tolerance_s: Annotated[int, Field(ge=1, le=3600)] = 300  # between the platform's clock and ours
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    language: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,35}$")] = "zh"  # WeChat does not tell a person's
    welcome: Annotated[str, Field(min_length=1, max_length=600)] | None = None  # None: as /start is answered
    menu: Annotated[tuple[MenuEntry, ...], Field(max_length=3)] = ()
    location_events: bool = False  # take the places that phones report by themselves as messages
    typing: bool = True
    api_base: Annotated[str, AfterValidator(_check_base)] = "https://api.weixin.qq.com"
    picture_hosts: tuple[str, ...] = ("qpic.cn", "qlogo.cn")  # where pictures are fetched without the API
    request_timeout_s: Annotated[float, Field(gt=0, le=120)] = 20

    @model_validator(mode="after")
    def _has_the_key_of_its_mode(self) -> Self:
        if self.mode == "safe" and self.aes_key is None:
            raise ValueError("mode: safe needs `aes_key`, the EncodingAESKey of the account")
        return self

    @model_validator(mode="after")
    def _can_read_what_is_encrypted(self) -> Self:
        if self.enabled and self.encrypted and find_spec("cryptography") is None:
            raise ValueError(
                "with an `aes_key` callbacks are encrypted, and the extra `wechat` is missing; "
                "pip install 'clawd-agent[wechat]'"
            )
        return self

    @model_validator(mode="after")
    def _may_have_a_menu(self) -> Self:
        if self.menu and self.passive:
            raise ValueError("a menu is made by the API: it needs `app_secret`, and replies: auto")
        return self

    @property
    def passive(self) -> bool:
        """Whether replies are to go out as answers to callbacks alone."""
        return self.replies == "passive" or self.app_secret is None

    @property
    def encrypted(self) -> bool:
        """Whether callbacks have to be encrypted; the request itself has no say in that."""
        return self.mode == "safe" or (self.mode == "auto" and self.aes_key is not None)
