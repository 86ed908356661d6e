"""Headers by the official client's vectors, where a token may go, and what failures mean."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bridges.weixin.api import IlinkApi, uin_header, version_number
from bridges.weixin.config import WeixinConfig
from bridges.weixin.errors import (
    HttpFailure,
    IlinkError,
    NoAnswer,
    NotSent,
    Refused,
    TooSlow,
    bridge_error,
    delivery_error,
    upload_error,
)
from clawd.config.schema import NetworkConfig
from clawd.errors import (
    BridgeAuthError,
    BridgeNotReady,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)


@pytest.mark.parametrize(
    ("number", "header"), [(305419896, "MzA1NDE5ODk2"), (4294967295, "NDI5NDk2NzI5NQ=="), (0, "MA==")]
)
def test_the_uin_header_is_base64_of_decimal_digits(number: int, header: str) -> None:
    assert uin_header(number) == header


@pytest.mark.parametrize(("version", "number"), [("1.0.11", 65547), ("2.4.9", 132105), ("2.4.6", 132102)])
def test_the_client_version_is_one_number(version: str, number: int) -> None:
    assert version_number(version) == number


def api(**settings: object) -> IlinkApi:
    config = WeixinConfig.model_validate({"type": "weixin", **settings})
    return IlinkApi(config, NetworkConfig(), version="0")


@pytest.mark.parametrize(
    ("address", "base"),
    [
        ("https://ilinkai.weixin.qq.com/", "https://ilinkai.weixin.qq.com"),
        ("szextshort.weixin.qq.com", "https://szextshort.weixin.qq.com"),
        ("https://a.weixin.qq.com:443/x/", "https://a.weixin.qq.com/x"),
        ("http://a.weixin.qq.com", None),
        ("https://a.weixin.qq.com:8443", None),
        ("https://a.weixin.qq.com.evil.example", None),
        ("https://evilweixin.qq.com", None),
        ("https://evil.example/.weixin.qq.com", None),
        ("https://evil.example#.weixin.qq.com", None),
        ("https://user@a.weixin.qq.com", None),
        ("https://a.weixin.qq.com@evil.example", None),
        ("https://a.weixin.qq.com:x", None),
        ("evil.example", None),
        ("", None),
        ("proxy.example:81", None),
    ],
)
def test_a_token_goes_to_the_platform_alone(address: str, base: str | None) -> None:
    assert api().trusted_base(address) == base


def test_a_token_also_goes_where_the_configuration_says() -> None:
    ours = api(api_base="http://127.0.0.1:9/x", hosts=["proxy.example:81"])
    assert ours.trusted_base("127.0.0.1:9") == "http://127.0.0.1:9"
    assert ours.trusted_base("proxy.example:81") == "http://proxy.example:81"
    assert ours.trusted_base("proxy.example:82") is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotSent("no name"), DeliveryRetryLater),
        (TooSlow("no answer in time"), DeliveryUnknown),
        (NoAnswer("reset"), DeliveryUnknown),
        (HttpFailure(500), DeliveryUnknown),
        (HttpFailure(502), DeliveryUnknown),
        (HttpFailure(429, retry_after_s=7), DeliveryRetryLater),
        (HttpFailure(400), DeliveryRejected),
        (HttpFailure(401), DeliveryUnauthorized),
        (Refused(-14, ""), DeliveryUnauthorized),
        (Refused(-2, "prepare failed"), DeliveryParked),
        (Refused(-2, "rate limited"), DeliveryParked),
        (Refused(-2, ""), DeliveryParked),
        (Refused(-3, "invalid argument"), DeliveryRejected),
        (Refused(-1, ""), DeliveryUnknown),
    ],
)
def test_each_failure_of_a_send_says_what_becomes_of_the_delivery(error: IlinkError, kind: type) -> None:
    found = delivery_error("weixin", error)
    assert type(found) is kind
    if isinstance(error, HttpFailure) and error.status == 429:
        assert isinstance(found, DeliveryRetryLater)
        assert found.retry_after_s == 7


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused(-14, ""), BridgeAuthError),
        (HttpFailure(401), BridgeAuthError),
        (Refused(-1, ""), BridgeNotReady),
        (HttpFailure(502), BridgeNotReady),
        (HttpFailure(403), BridgeNotReady),
        (NotSent(""), BridgeNotReady),
        (NoAnswer(""), BridgeNotReady),
    ],
)
def test_only_a_stale_login_needs_a_person(error: IlinkError, kind: type) -> None:
    found = bridge_error("weixin", error)
    assert type(found) is kind
    if isinstance(found, BridgeAuthError):
        assert found.remedy == "clawd bridges login weixin"
        assert found.retry_after_s == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused(-1, ""), DeliveryRetryLater),
        (Refused(2, "voice"), DeliveryRejected),
        (NoAnswer("no address"), DeliveryRetryLater),
        (HttpFailure(500), DeliveryRetryLater),
        (HttpFailure(413), DeliveryRejected),
        (Refused(-14, ""), DeliveryUnauthorized),
    ],
)
def test_a_failed_upload_has_shown_nothing_so_it_is_never_in_doubt(error: IlinkError, kind: type) -> None:
    assert type(upload_error("weixin", error)) is kind


def test_a_reply_in_doubt_is_held_unless_the_owner_wants_it_otherwise() -> None:
    assert WeixinConfig.model_validate({"type": "weixin"}).on_ambiguous == "hold"
    assert WeixinConfig.model_validate({"type": "weixin", "on_ambiguous": "resend"}).on_ambiguous == "resend"


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_base": "ilinkai.weixin.qq.com"},
        {"cdn_base": "https://x.example/?a=b"},
        {"client_version": "2.4"},
        {"text_limit": 100},
        {"sends_per_message": 11},
        {"send_interval_s": 21},
        {"hosts": ["https://x.example"]},
        {"token": "x"},
    ],
)
def test_a_section_that_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WeixinConfig.model_validate({"type": "weixin", **wrong})
