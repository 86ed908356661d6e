"""A configuration as it is in force, for people: every default filled in, every secret masked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from clawd.config.base import Secret
from clawd.config.secrecy import MASK, mask_paths, mask_urls, names_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.config.schema import Config


def view(config: Config) -> dict[str, Any]:
    """Return the configuration in the shape of its file, JSON values only."""
    data: dict[str, Any] = _plain(config)
    tools = data["tools"]
    settings = tools.pop("settings")
    data["tools"] = {**tools, **settings}
    return data


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (key, value) for every single value; an empty list or section is one as well."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from leaves(part, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from leaves(part, f"{key}[{index}]")
    else:
        yield key, value


def _plain(value: object, key: str = "") -> Any:
    # Not pydantic's own dump: it writes a plugin's section by the base class, or a secret not at all.
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, str | int | float) and not isinstance(value, bool) and names_secret(key):
        return MASK
    if isinstance(value, str):
        return mask_paths(key, mask_urls(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name), name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): _plain(part, str(name)) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part, key) for part in value]
    return value
