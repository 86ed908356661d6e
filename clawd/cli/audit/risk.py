"""What an audit tells, and a walk through a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

Severity = Literal["ok", "low", "medium", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """One line of the audit: what others could reach or misuse. `high` lets the audit fail."""

    id: str
    severity: Severity
    evidence: str
    fix: str = ""


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield every plain value below a section with its key, such as `models[0].base_url`."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, tuple | list | frozenset):
        for index, part in enumerate(value):
            yield from leaves(part, f"{path}[{index}]")
    else:
        yield path, value
