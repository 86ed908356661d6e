"""What a client has been sent of a text that may begin anew: OpenAI's streams can't take anything back. Pure."""

from __future__ import annotations

from clawd.fanout import GrowingText


class Shown:
    """The text as one client sees it grow.

    A text that begins anew is first compared with what was sent: as long as it says the same nothing is sent,
    and where it goes on beyond that nobody notices the change. Where it says something else, a note and then
    all of the new text follow what was sent.

    Args:
        note: What marks the new beginning, with its blank lines.
        buffered: Send nothing before the text is complete.
    """

    def __init__(self, note: str, *, buffered: bool = False) -> None:
        self._note = note
        self._buffered = buffered
        self._sent = GrowingText()  # since the last note
        self._again: str | None = None  # of a text that began anew, while it says what was sent

    def more(self, text: str) -> str:
        """Return what to send for more text."""
        if self._buffered:
            return ""
        if self._again is None:
            self._sent.add(text)
            return text
        return self._compared(self._again + text)

    def anew(self) -> None:
        """The text begins from nothing."""
        if len(self._sent):
            self._again = ""

    def rest(self, text: str) -> str:
        """Return what to send at the end, given the complete text."""
        sent = str(self._sent)
        if text.startswith(sent):
            return text[len(sent) :]
        return f"{self._note}{text}"

    def _compared(self, again: str) -> str:
        sent = str(self._sent)
        if sent.startswith(again):
            self._again = again
            return ""
        self._again = None
        self._sent.clear()
        self._sent.add(again)
        return again[len(sent) :] if again.startswith(sent) else f"{self._note}{again}"
