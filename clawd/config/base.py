"""What every configuration section is made of: frozen models and secrets that know their origin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import core_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue


class Section(BaseModel):
    """One section: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        allow_inf_nan=False,
        defer_build=True,  # most are used as parts of others, which build what they need
    )

    foreign_keys: ClassVar[Mapping[str, str]] = {}
    """Keys that people bring from elsewhere, with what to write instead: a guess by letters would mislead."""


class PluginConfig(Section):
    """Base of the section that a bridge, a model provider or a tool declares for itself."""


class Text(str):
    """A string of a configuration file that knows where its value came from and what paths in it mean."""

    __slots__ = ("folder", "home", "origin")
    folder: Path  # of the file
    home: Path  # what `~` is
    origin: str  # "config.yaml:12", "environment NAME", "file PATH" …

    def __new__(cls, value: str, *, folder: Path, home: Path, origin: str) -> Text:
        text = super().__new__(cls, value)
        text.folder = folder
        text.home = home
        text.origin = origin
        return text


def _resolve(value: object) -> object:
    if not isinstance(value, Text) or not value:
        return value
    path = Path(value)
    if path.parts[0] == "~":
        return str(value.home.joinpath(*path.parts[1:]))
    return str(value.folder / path)


# A path: `~` is the home, a relative one is within the folder of the file that says it.
ConfigPath = Annotated[str, BeforeValidator(_resolve, json_schema_input_type=str)]


class Secret:
    """A value that is never printed; `origin` says where it came from, for error messages.

    In YAML: a string, `{env: NAME}`, `{file: PATH}` or `{credential: NAME}`.
    """

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str = "config") -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        """Return the value itself; call it only where it goes on the wire."""
        return self._value

    @property
    def hint(self) -> str:
        """Origin and last four characters: enough for a person to know which key it is."""
        tail = self._value[-4:] if len(self._value) >= 12 else ""
        return f"{self.origin}, ends in …{tail}" if tail else self.origin

    def __repr__(self) -> str:
        return "Secret(**********)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def read(value: object) -> Secret:
            if isinstance(value, Secret):
                return value
            if isinstance(value, str) and value:
                return cls(str.__str__(value), value.origin if isinstance(value, Text) else "config")
            raise ValueError("expected a non-empty string, {env: NAME}, {file: PATH} or {credential: NAME}")

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(lambda _s: "**********")
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        def ref(key: str) -> JsonSchemaValue:
            return {
                "type": "object",
                "properties": {key: {"type": "string"}},
                "required": [key],
                "additionalProperties": False,
            }

        return {"anyOf": [{"type": "string", "minLength": 1}, ref("env"), ref("file"), ref("credential")]}
