"""Signatures agree with the published scheme and with an independent implementation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from clawd.webhooks.signing import MAX_SIGNATURES, key_of, sign, verify
from tests.fakes.webhook_sender import ROTATED, SECRET

BODY = '{"type":"message.created","timestamp":"2023-11-14T22:13:20Z","data":{"text":"你好"}}'.encode()
ID, TIMESTAMP = "msg_clawd_0001", "1700000000"
FIRST = "v1,SAqqL8Grd4Q9CH2Xq3cV1DklpKhag3gtGtdBJo57nk0="
SECOND = "v1,lnIrHyq/TZDCSsMOFGIHzRDvceJmpEXrSI04lnRoSVY="


def test_the_known_vector_is_made() -> None:
    assert len(BODY) == 86
    assert key_of(SECRET) == bytes(range(32))
    assert sign([key_of(SECRET)], ID, int(TIMESTAMP), BODY) == FIRST
    assert sign([key_of(SECRET), key_of(ROTATED)], ID, int(TIMESTAMP), BODY) == f"{FIRST} {SECOND}"


@pytest.mark.parametrize(
    "header", [FIRST, SECOND, f"v1,AAAA {FIRST}", f"v1a,AAAA {SECOND}", f"{FIRST} v1,AAAA", f"v2,x  {FIRST}"]
)
def test_any_good_signature_by_any_key_is_enough(header: str) -> None:
    assert verify([key_of(SECRET), key_of(ROTATED)], ID, TIMESTAMP, BODY, header)


@pytest.mark.parametrize(
    ("message_id", "timestamp", "body", "header"),
    [
        (ID, TIMESTAMP, BODY + b" ", FIRST),
        (ID, TIMESTAMP, BODY.replace("你好".encode(), rb"\u4f60\u597d"), FIRST),
        ("msg_clawd_0002", TIMESTAMP, BODY, FIRST),
        (ID, "1700000001", BODY, FIRST),
        (ID, TIMESTAMP, BODY, SECOND),
        (ID, TIMESTAMP, BODY, ""),
        (ID, TIMESTAMP, BODY, FIRST.removeprefix("v1,")),
        (ID, TIMESTAMP, BODY, FIRST.replace("v1,", "v1a,")),
        (ID, TIMESTAMP, BODY, FIRST + "="),
        (ID, TIMESTAMP, BODY, "v1,\udcff\udcfe"),
    ],
)
def test_whatever_differs_from_what_was_signed_is_refused(
    message_id: str, timestamp: str, body: bytes, header: str
) -> None:
    assert not verify([key_of(SECRET)], message_id, timestamp, body, header)


def test_only_the_first_signatures_of_a_long_list_are_looked_at() -> None:
    junk = " ".join(["v1,AAAA"] * (MAX_SIGNATURES - 1))
    assert verify([key_of(SECRET)], ID, TIMESTAMP, BODY, f"{junk} {FIRST}")
    assert not verify([key_of(SECRET)], ID, TIMESTAMP, BODY, f"v1,AAAA {junk} {FIRST}")


def test_secrets_may_be_plain_text_or_lack_their_padding() -> None:
    assert key_of("a few plain words") == b"a few plain words"
    assert key_of(SECRET.rstrip("=")) == bytes(range(32))


@pytest.mark.parametrize("secret", ["whsec_not*base64", "whsec_ä"])
def test_a_secret_that_can_not_be_decoded_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        key_of(secret)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_AAAA", "abc", "fifteen letters"])
def test_a_key_that_can_be_guessed_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="can be guessed"):
        key_of(secret)


@given(st.binary(min_size=1, max_size=64), st.text(max_size=50), st.integers(0, 4_000_000_000))
def test_an_independent_implementation_signs_and_accepts_the_same(
    key: bytes, text: str, seconds: int
) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert Webhook(key).sign("msg_1", moment, text) == sign([key], "msg_1", seconds, text.encode())
