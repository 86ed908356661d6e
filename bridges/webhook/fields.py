"""Texts and numbers out of a payload, by JSON pointer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridges.webhook.envelope import Rejected
from bridges.webhook.pointers import NotFound, Pointer

if TYPE_CHECKING:
    from clawd.response import JsonObject

MAX_KEY_CHARS: Final = 256


class Fields:
    """Reads one payload."""

    def __init__(self, payload: JsonObject) -> None:
        self._payload = payload

    def need(self, pointer: str) -> str:
        """Return a text, or a number as text; raises Rejected (400) without one."""
        try:
            return Pointer.parse(pointer).plain(self._payload)
        except NotFound as error:
            raise Rejected(400, "bad_request", str(error)) from error

    def key(self, pointer: str) -> str:
        """Return an id; raises Rejected (400) for what can be none."""
        value = self.need(pointer)
        if len(value) > MAX_KEY_CHARS or not value.isprintable():
            raise Rejected(
                400, "bad_request", f"{pointer}: more than {MAX_KEY_CHARS} characters, or odd ones"
            )
        return value

    def may(self, pointer: str) -> str:
        """Return a text, or a number as text; empty without one."""
        try:
            return Pointer.parse(pointer).plain(self._payload)
        except NotFound:
            return ""

    def count(self, pointer: str) -> int:
        """Return the length of a list, 0 without one."""
        try:
            found = Pointer.parse(pointer).find(self._payload)
        except NotFound:
            return 0
        return len(found) if isinstance(found, list) else 0
