"""WeChat's numbers as ours: each row of the table, and no key in any text."""

from __future__ import annotations

from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from bridges.wechat.errors import MEANINGS, NoAnswer, api_error, bridge_error, delivery_error, no_answer
from clawd.errors import (
    BridgeAuthError,
    BridgeNotReady,
    DeliveryError,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)

NOW = datetime(2026, 1, 1, 12, 0, 20, tzinfo=UTC)  # 20:00:20 in Beijing


def told(code: int) -> DeliveryError:
    return delivery_error("wechat", api_error(code, "words"), NOW)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-1, DeliveryRetryLater),
        (40001, DeliveryRetryLater),
        (40014, DeliveryRetryLater),
        (42001, DeliveryRetryLater),
        (40003, DeliveryRejected),
        (48002, DeliveryRejected),
        (40007, DeliveryRejected),
        (40013, DeliveryUnauthorized),
        (40125, DeliveryUnauthorized),
        (40164, DeliveryUnauthorized),
        (41002, DeliveryUnauthorized),
        (41004, DeliveryUnauthorized),
        (43004, DeliveryParked),
        (45015, DeliveryParked),
        (45047, DeliveryParked),
        (48001, DeliveryParked),
        (45002, DeliveryRejected),
        (45009, DeliveryRetryLater),
        (45011, DeliveryRetryLater),
        (45065, DeliveryRejected),  # taken as success where it is met
        (50002, DeliveryRejected),
        (99999, DeliveryRejected),
    ],
)
def test_each_number_has_its_consequence(code: int, kind: type[DeliveryError]) -> None:
    assert type(told(code)) is kind


def test_the_table_above_is_whole() -> None:
    (mark,) = test_each_number_has_its_consequence.pytestmark  # type: ignore[attr-defined]
    assert set(MEANINGS) <= {code for code, _ in mark.args[1]}


@pytest.mark.parametrize(("code", "unreachable"), [(40003, True), (48002, True), (50002, False), (1, False)])
def test_who_can_not_be_reached_is_no_alarm(code: int, unreachable: bool) -> None:
    error = told(code)
    assert isinstance(error, DeliveryRejected)
    assert error.unreachable is unreachable


def test_a_quota_waits_until_it_begins_anew() -> None:
    day, minute = told(45009), told(45011)
    assert isinstance(day, DeliveryRetryLater)
    assert isinstance(minute, DeliveryRetryLater)
    assert day.retry_after_s == pytest.approx(3 * 3600 + 59 * 60 + 40 + 2)
    assert minute.retry_after_s == pytest.approx(42)


@pytest.mark.parametrize("code", [40013, 40125, 40164, 41002, 41004])
def test_wrong_settings_say_what_to_change(code: int) -> None:
    error = bridge_error("wechat", api_error(code, "invalid ip 192.0.2.7, not in whitelist"))
    assert isinstance(error, BridgeAuthError)
    assert "192.0.2.7" in error.why
    assert "mp.weixin.qq.com" in error.remedy
    assert "{bridge}" not in error.remedy


@pytest.mark.parametrize("code", [-1, 40001, 45009, 12345])
def test_other_numbers_make_the_bridge_wait(code: int) -> None:
    assert isinstance(bridge_error("wechat", api_error(code, "")), BridgeNotReady)


def test_keys_that_the_platform_repeats_are_left_out() -> None:
    words = f"invalid credential, access_token={'t' * 70}&secret=abc rid: 6 token {'T' * 80} \n end"
    text = str(api_error(40001, words))
    assert "ttt" not in text
    assert "TTT" not in text
    assert "abc" not in text
    assert text.endswith("end")
    assert str(api_error(7, None)) == "7"


def test_what_surely_was_not_sent_is_told_apart_and_no_url_is_told() -> None:
    url = "https://api.weixin.qq.com/cgi-bin/message/custom/send?access_token=SECRET"
    key = ConnectionKey("api.weixin.qq.com", 443, True, True, None, None, None)
    refused = no_answer(aiohttp.ClientConnectorError(key, OSError(111, "Connection refused")))
    late = no_answer(aiohttp.ConnectionTimeoutError(f"Connection timeout to host {url}"))
    reset = no_answer(aiohttp.ServerDisconnectedError())
    slow = no_answer(aiohttp.SocketTimeoutError(f"Timeout on reading data from {url}"))
    assert [error.sent for error in (refused, late, reset, slow)] == [False, False, True, True]
    assert not any("SECRET" in str(error) for error in (refused, late, reset, slow))
    assert str(refused) == "Connection refused"
    assert isinstance(delivery_error("wechat", refused, NOW), DeliveryRetryLater)
    assert isinstance(delivery_error("wechat", slow, NOW), DeliveryUnknown)
    assert isinstance(bridge_error("wechat", NoAnswer("x", sent=False)), BridgeNotReady)
