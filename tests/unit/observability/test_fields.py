from __future__ import annotations

import pytest

from clawd.observability.fields import field_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        ({}, "-"),
        (True, "yes"),
        (0, "0"),
        (1.5, "1.5"),
        ("word", "word"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ("2026-11-25 22:58:58.651177+00:00", "2026-11-25T22:58:58Z"),
        ("2026-11-25T22:58:58+02:00", "2026-11-25T20:58:58Z"),
        ("2026-11-25", "2026-11-25"),
        ("2026-13-45 22:58:58+00:00", '"2026-13-45 22:58:58+00:00"'),
        (["models"], "models"),
        (["models", "routes"], "models,routes"),
        ([{"a": 1}], '[{"a": 1}]'),
        ({"writer": "no answer"}, '{"writer": "no answer"}'),
        ("half_open", "half-open"),
    ],
)
def test_fields_of_a_log_line_read_as_a_person_writes(value: object, text: str) -> None:
    assert field_text(value) == text
