"""A configuration as it is in force, for people: every default filled in, every secret masked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from clawd.config.base import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clawd.config.schema import Config

MASK = "**********"
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)(?=@)")
_URL_KEY = re.compile(
    r"([?&][\w-]*(?:token|key|secret|pass|password|sig|sign|signature)=)([^&\s#]+)", re.IGNORECASE
)


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


def single_values(value: object) -> Iterator[object]:
    """Yield every value that is no section, mapping or list, secrets among them."""
    parts: Iterable[object]
    if isinstance(value, BaseModel):
        parts = (getattr(value, name) for name in type(value).model_fields)
    elif isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, tuple | list | frozenset):
        parts = value
    else:
        yield value
        return
    for part in parts:
        yield from single_values(part)


def secrets_in_urls(text: str) -> Iterator[str]:
    """Yield the passwords and keys that URLs in the text carry: of proxies, endpoints, callbacks."""
    for pattern in (_URL_PASSWORD, _URL_KEY):
        yield from (match[2] for match in pattern.finditer(text))


def _plain(value: object) -> Any:
    # Not pydantic's own dump: it writes a plugin's section by the base class, or a secret not at all.
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, str):
        return _URL_KEY.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}", value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value
