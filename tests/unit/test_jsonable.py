"""Dataclasses as JSON for the outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from clawd.config.base import Secret
from clawd.config.schema import PriceConfig, TokenConfig
from clawd.journal.reading import EntryView, Page
from clawd.jsonable import json_object, jsonable, moment
from clawd.messages import Address

AT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_page_is_json_with_addresses_and_moments_as_text() -> None:
    entry = EntryView(cursor="1", turn=None, role="user", text="hi", at=AT, state="queued")
    assert json_object(Page(entries=(entry,), cursor="1")) == {
        "entries": [
            {
                "cursor": "1",
                "turn": None,
                "role": "user",
                "text": "hi",
                "at": "2026-01-31T12:00:00.123Z",
                "state": "queued",
                "answers": [],
            }
        ],
        "cursor": "1",
    }
    address = Address(bridge="telegram", account="1", chat="a:b")
    assert jsonable([address, Path("/x")]) == ["telegram:1:a%3Ab", "/x"]


def test_a_section_of_the_configuration_is_json_and_a_secret_in_it_never_is() -> None:
    price = PriceConfig(input=2.5, output=10, as_of=date(2026, 1, 31))
    assert jsonable(price) == {
        "input": 2.5,
        "output": 10.0,
        "cached": None,
        "cache_write": None,
        "as_of": "2026-01-31",
    }
    token = TokenConfig(name="a", token=Secret("x" * 32, "here"))
    with pytest.raises(TypeError, match="Secret has no JSON form"):
        jsonable(token)


def test_every_value_of_a_nested_object_survives_the_way_through_json() -> None:
    @dataclass(frozen=True)
    class Inner:
        flags: frozenset[str]
        pairs: tuple[tuple[str, int], ...]

    value = jsonable({"inner": Inner(frozenset({"b", "a"}), (("x", 1),)), "none": None, "half": 0.5})
    assert json.loads(json.dumps(value)) == {
        "inner": {"flags": ["a", "b"], "pairs": [["x", 1]]},
        "none": None,
        "half": 0.5,
    }


def test_a_moment_of_another_zone_is_told_in_utc() -> None:
    assert moment(AT.astimezone(timezone(timedelta(hours=8)))) == "2026-01-31T12:00:00.123Z"


@pytest.mark.parametrize("value", [object(), {1: "x"}, b"bytes", EntryView])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        jsonable(value)


def test_a_list_is_no_object() -> None:
    with pytest.raises(TypeError):
        json_object([1])
