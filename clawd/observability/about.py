"""What the work of this task is about: fields that every log line written in it carries.

Set where work for a turn or a delivery begins, and inherited by the tasks and threads that are started in it,
so that the lines of libraries have them too. A field that a line names itself wins.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Mapping

_FIELDS: ContextVar[dict[str, object] | None] = ContextVar("clawd_log_fields", default=None)
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Add fields to every line that is logged inside the block; those that are None are left out.

    The names are `turn`, `delivery`, `bridge`, `conversation` and `request`. A value is turned into text when
    a line is written, not before.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    token = _FIELDS.set({**now_about(), **given})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def from_now_on_about(**fields: object) -> None:
    """Let the rest of this task be about these fields, and nothing else: for one that does a thing after another."""
    _FIELDS.set(dict(fields) if fields else None)


def learned(**fields: object) -> None:
    """Add fields to the rest of the block around, where it has none of these names; outside of any do nothing.

    For what is known only after work has begun: which turn a request has made.
    """
    around = _FIELDS.get()
    if around is not None:
        for name, value in fields.items():
            around.setdefault(name, value)


def task_about(task: asyncio.Task[object]) -> Mapping[str, object]:
    """Return the fields of another task, from any thread; Python 3.11 does not tell them."""
    if sys.version_info >= (3, 12):
        return task.get_context().get(_FIELDS) or _NOTHING
    else:  # noqa: RET505 - a type checker of one version takes the other one's lines for dead
        return _NOTHING


def now_about() -> Mapping[str, object]:
    """Return the fields of this task."""
    around = _FIELDS.get()
    return around if around is not None else _NOTHING
