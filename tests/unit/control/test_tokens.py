"""What a token may be made of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from clawd.control.answers import BadRequest
from clawd.control.protocol import TokenRequest
from clawd.control.tokens import read_token

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def test_a_token_is_for_chat_unless_more_is_said() -> None:
    assert read_token({"name": "phone"}, NOW) == TokenRequest(name="phone", scopes=("chat",))
    body: Any = {
        "name": "phone",
        "scopes": ["read", "chat", "read"],
        "conversations": "p-",
        "expires_at": "2026-02-01T00:00:00+00:00",
        "rate": "60/min",
        "day": 1000,
    }
    assert read_token(body, NOW) == TokenRequest(
        name="phone",
        scopes=("chat", "read"),
        conversations="p-",
        expires_at=datetime(2026, 2, 1, tzinfo=UTC),
        rate="60/min",
        day=1000,
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "name is missing"),
        ({"name": "../x"}, "name can't be used"),
        ({"name": "x\n"}, "name can't be used"),
        ({"name": "x", "scopes": ["root"]}, "no scope 'root'"),
        ({"name": "x", "scopes": []}, "no list"),
        ({"name": "x", "scopes": "chat"}, "no list"),
        ({"name": "x", "scopes": ["admin"], "conversations": "p"}, "sees every conversation"),
        ({"name": "x", "conversations": "a b"}, "conversations can't be used"),
        ({"name": "x", "expires_at": "soon"}, "no time"),
        ({"name": "x", "expires_at": "2026-01-31T12:00:00+00:00"}, "a time to come"),
        ({"name": "x", "expires_at": "2027-01-31"}, "with its zone"),
        ({"name": "x", "rate": "0/min"}, "rate can't be used"),
        ({"name": "x", "day": 0}, "no number from 1"),
        ({"name": "x", "day": True}, "no number from 1"),
    ],
)
def test_what_no_token_can_be_made_of_is_refused_with_a_reason(body: Any, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_token(body, NOW)
    assert why in str(caught.value)
