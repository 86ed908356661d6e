"""Server-sent events, parsed from bytes in whatever pieces the network brings. Pure.

Source: WHATWG HTML, section "Server-sent events", event stream interpretation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event; `data` holds its data lines joined by line feeds."""

    data: str
    event: str = ""


@dataclass(frozen=True, slots=True)
class Comment:
    """A line that begins with a colon: servers send it to keep the connection open."""


class EventTooLarge(ValueError):
    """One event grew beyond the limit before it was complete."""


class SseParser:
    """Turns bytes into events; how the bytes were cut makes no difference.

    Bad UTF-8 becomes U+FFFD, as the standard says.

    Args:
        max_event_bytes: Greatest size of one event, and of one line.
    """

    def __init__(self, max_event_bytes: int = 1024 * 1024) -> None:
        self._max = max_event_bytes
        self._pieces: list[bytes] = []  # of the line that is not complete yet
        self._pending = 0
        self._after_cr = False  # the last line ended in CR at the very end: a LF now belongs to it
        self._first_line = True
        self._data: list[bytes] = []
        self._size = 0
        self._event = b""

    def feed(self, data: bytes) -> list[ServerEvent | Comment]:
        """Return what these bytes completed, in order.

        Raises:
            EventTooLarge: the parser is of no further use.
        """
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        found: list[ServerEvent | Comment] = []
        start = 0
        for match in _LINE_END.finditer(data):
            self._line(self._take(data[start : match.start()]), found)
            start = match.end()
            self._after_cr = match.group() == b"\r" and start == len(data)
        if rest := data[start:]:
            self._pieces.append(rest)
            self._pending += len(rest)
        if self._pending + self._size > self._max:
            raise EventTooLarge(f"an event of more than {self._max} bytes")
        return found

    def close(self) -> list[ServerEvent | Comment]:
        """Return the event that the end of the stream cut off before its empty line, if there is one.

        The standard drops it; model servers that forget the last line end are common enough to keep it.
        """
        found: list[ServerEvent | Comment] = []
        if self._pieces:
            self._line(self._take(b""), found)
        self._line(b"", found)
        return found

    def _take(self, end: bytes) -> bytes:
        if not self._pieces:
            return end
        line = b"".join([*self._pieces, end])
        self._pieces.clear()
        self._pending = 0
        return line

    def _line(self, line: bytes, found: list[ServerEvent | Comment]) -> None:
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(found)
            return
        name, _, value = line.partition(b":")
        if not name:
            found.append(Comment())
            return
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
            if self._size > self._max:
                raise EventTooLarge(f"an event of more than {self._max} bytes")
        elif name == b"event":
            self._event = value

    def _dispatch(self, found: list[ServerEvent | Comment]) -> None:
        if self._data:
            text = b"\n".join(self._data).decode("utf-8", "replace")
            found.append(ServerEvent(data=text, event=self._event.decode("utf-8", "replace")))
        self._data.clear()
        self._size = 0
        self._event = b""
