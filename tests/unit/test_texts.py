"""What clawd says to people, in every language."""

from __future__ import annotations

import string

import pytest

from clawd.texts import LANGUAGES, catalogue, language_for, say


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("language", [tag for tag in LANGUAGES if tag != "en"])
def test_every_language_has_the_same_sentences_with_the_same_values(language: str) -> None:
    english, other = catalogue("en"), catalogue(language)
    assert other.keys() == english.keys()
    for key, sentence in english.items():
        assert fields(other[key]) == fields(sentence), key


@pytest.mark.parametrize(
    ("tag", "language"), [("zh-Hans-CN", "zh"), ("zh_TW", "zh"), ("EN", "en"), ("de", "en"), (None, "en")]
)
def test_a_language_tag_finds_the_nearest_language(tag: str | None, language: str) -> None:
    assert language_for(tag) == language


def test_a_sentence_is_filled_in() -> None:
    assert say("dead", "zh", attempts=6).count("6") == 1
