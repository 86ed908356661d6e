"""What each answer of a callback's receiver means for the delivery."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.webhooks.answers import from_status, retry_after

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "retry_after_s", "kind"),
    [
        (301, None, DeliveryRetryLater),
        (302, None, DeliveryRetryLater),
        (400, None, DeliveryRejected),
        (401, None, DeliveryRetryLater),
        (403, None, DeliveryRetryLater),
        (404, None, DeliveryRetryLater),
        (408, None, DeliveryRetryLater),
        (410, None, DeliveryRejected),
        (413, None, DeliveryRejected),
        (422, None, DeliveryRejected),
        (425, None, DeliveryRetryLater),
        (429, None, DeliveryRetryLater),
        (429, 30.0, DeliveryRetryLater),
        (500, None, DeliveryUnknown),
        (500, 30.0, DeliveryUnknown),
        (502, None, DeliveryUnknown),
        (502, 30.0, DeliveryRetryLater),
        (503, None, DeliveryUnknown),
        (503, 30.0, DeliveryRetryLater),
        (504, 30.0, DeliveryRetryLater),
        (599, None, DeliveryUnknown),
    ],
)
def test_each_status_has_one_meaning(
    status: int, retry_after_s: float | None, kind: type[DeliveryError]
) -> None:
    error = from_status("hook", status, retry_after_s, "their words")
    assert type(error) is kind
    assert f"HTTP {status}: their words" in str(error)
    if isinstance(error, DeliveryRetryLater):
        assert error.retry_after_s == retry_after_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("30", 30.0),
        (" 0 ", 0.0),
        ("99999999999999999999", 86_400.0),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
        ("３０", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86_400.0),
        ("Thu, 99 Jan 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_a_day(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
