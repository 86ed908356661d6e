"""What presets add to a model's entry in the configuration. The contract; `clawd.models.presets` has the table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from clawd.config.nodes import PlainValue

ModelEntry = Mapping[str, PlainValue]
"""An entry of `models:` as it is written, before a type has read it."""

Variables = Callable[[str], str | None]
"""Returns what a variable of the environment holds; None when it is not set, or holds nothing but white space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """The value of one key that the entry does not say."""

    value: PlainValue
    origin: str  # "preset NAME" or "environment NAME"
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """A key that the entry has to say, since the preset can't."""

    key: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a preset adds to one entry, by key, and what is still missing."""

    additions: Mapping[str, Addition]
    lacks: tuple[Lack, ...] = ()


class Preset(Protocol):
    """What is known of one provider or model server."""

    @property
    def name(self) -> str: ...

    def type_of(self, entry: ModelEntry, variables: Variables) -> str:
        """Return the model type of the entry: its own word, or what the preset has for its address."""
        ...

    def fill(self, entry: ModelEntry, fields: Collection[str], variables: Variables) -> Filled:
        """Return what the entry does not say itself.

        Args:
            entry: With its name.
            fields: The keys that its type knows; nothing else is added.
            variables: Where keys and addresses may come from.
        """
        ...


class ModelPresets(Protocol):
    """All presets."""

    @property
    def names(self) -> Collection[str]:
        """What `preset:` may say."""
        ...

    @property
    def pattern(self) -> str:
        """A regular expression that names with a preset match, as ECMA-262 and Python both read it."""
        ...

    def find(self, entry: ModelEntry) -> Preset | None:
        """Return the preset that the entry names, or that its name or model stands for.

        An entry with an address of its own is never taken for a preset that it does not name.
        """
        ...

    def price(self, entry: ModelEntry) -> Addition | None:
        """Return the price of a complete entry, None where it is not known: never for another host's prices."""
        ...
