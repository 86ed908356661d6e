"""Every sentence that clawd says to people, by language."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

import yaml

# A tenth of the time of the one in Python, in each start.
_LOADER: Final = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

LANGUAGES: Final = ("en", "zh")


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return the sentences of one of `LANGUAGES` by key."""
    text = resources.files(__package__).joinpath(f"{language}.yaml").read_text(encoding="utf-8")
    sentences: dict[str, str] = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader
    return sentences


def language_for(tag: str | None) -> str:
    """Return the language to speak for a BCP 47 tag; English for what we don't know."""
    primary = (tag or "en").replace("_", "-").split("-", 1)[0].lower()
    return primary if primary in LANGUAGES else "en"


def say(key: str, language: str | None = None, /, **values: object) -> str:
    """Return one sentence with its values filled in.

    Raises:
        KeyError: no such sentence, or a value is missing.
    """
    return catalogue(language_for(language))[key].format(**values)
