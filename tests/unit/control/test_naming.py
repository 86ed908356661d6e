"""How conversations are named at the terminal."""

from __future__ import annotations

import pytest

from clawd.control.answers import BadRequest
from clawd.control.naming import address_named
from clawd.messages import Address


def test_a_plain_name_is_a_conversation_of_the_user_who_asks() -> None:
    assert address_named("work", "1000") == Address(bridge="terminal", account="1000", chat="work")
    assert address_named("工作", "0") == Address(bridge="terminal", account="0", chat="工作")


def test_an_address_is_taken_as_it_is_spelled() -> None:
    address = Address(bridge="telegram", account="1", chat="-100", thread="7")
    assert address_named(str(address), "1000") == address


@pytest.mark.parametrize("text", ["", " ", "a\nb", "\x1b[2J", "x" * 129, "a:b", ":::", "a:b:c:d:e"])
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        address_named(text, "1000")
