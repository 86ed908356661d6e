"""JSON from strangers: whatever is ambiguous is refused with a sentence."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawd.strict_json import MAX_DEPTH, BadJson, parse_object

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _VALUES, max_size=4), st.booleans())
def test_every_plain_object_is_read_as_the_standard_library_reads_it(
    value: dict[str, object], ascii_only: bool
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert parse_object(raw) == json.loads(raw)


@given(st.binary(max_size=200))
def test_random_bytes_are_an_object_or_refused(raw: bytes) -> None:
    with contextlib.suppress(BadJson):  # and nothing else
        assert isinstance(parse_object(raw), dict)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff{}", "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),  # a surrogate written as bytes
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":1,"a":2}', '"a" comes twice'),
        (b'{"a":[{"b":1,"b":1}]}', '"b" comes twice'),
        (rb'{"a":"\ud800"}', "surrogate"),
        (rb'{"\udc00":1}', "surrogate"),
        (b'{"a":' + b"9" * 5000 + b"}", "too long"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "levels deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "levels deep"),
        (b'{"a":1}x', "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
    ],
)
def test_ambiguous_or_hostile_json_is_refused_with_its_reason(raw: bytes, says: str) -> None:
    with pytest.raises(BadJson, match=says):
        parse_object(raw)


def test_nesting_is_allowed_up_to_the_limit_and_not_beyond() -> None:
    def nested(depth: int) -> bytes:  # depth counts the outer object
        return b'{"a":' + b"[" * (depth - 1) + b'"x"' + b"]" * (depth - 1) + b"}"

    assert parse_object(nested(MAX_DEPTH))
    with pytest.raises(BadJson, match="deep"):
        parse_object(nested(MAX_DEPTH + 1))


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_object(rb'{"a":"\ud83d\ude00"}') == {"a": "😀"}
