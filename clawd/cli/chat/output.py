"""Where a chat is shown: the contract, and the two plain ways of doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clawd.cli.printing import clean as visible

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO


class Output(Protocol):
    """Shows one answer at a time, and notes between."""

    def show(self, text: str) -> None:
        """Show the whole visible text of the answer so far; it may differ from what was shown."""
        ...

    def settle(self) -> None:
        """Something else comes below what is shown: it is final as far as it goes."""
        ...

    def end(self, text: str) -> None:
        """The answer is over, and this is the committed text."""
        ...

    def abandon(self) -> None:
        """The answer ends without a committed text: what is seen of it stays."""
        ...

    def aside(self, text: str) -> None:
        """Show a text that is whole, beside the answer that may be growing."""
        ...

    def note(self, text: str) -> None:
        """Say something about what happens: one line, dim."""
        ...

    def notice(self, text: str) -> None:
        """Say what its reader should know beside an answer, in lines of their own."""
        ...

    def error(self, text: str) -> None:
        """Say what failed."""
        ...

    def question(self, text: str) -> None:
        """Show what was asked from another place."""
        ...

    def asks(self, head: str, call: str, how: str) -> None:
        """Show what a person has to decide: the sentence, the call in full, how to answer."""
        ...


class FinalOutput:
    """For pipes and files: only the committed text, whole. What is written there can't be taken back.

    Args:
        out: Takes the answer, as the model wrote it.
        talk: Takes notes and errors.
        notes: Whether somebody sees the notes.
    """

    def __init__(self, out: TextIO, talk: TextIO, *, notes: bool) -> None:
        self._out = out
        self._talk = talk
        self._notes = notes

    def show(self, text: str) -> None:
        """Wait for the end."""

    def settle(self) -> None:
        """Nothing is shown yet."""

    def end(self, text: str) -> None:
        if text:
            self._out.write(text if text.endswith("\n") else f"{text}\n")
            self._out.flush()

    def abandon(self) -> None:
        """Nothing is shown yet, and nothing will be."""

    def aside(self, text: str) -> None:
        """Whoever reads a pipe asked for one answer."""

    def note(self, text: str) -> None:
        if self._notes:
            self._say(text)

    def notice(self, text: str) -> None:
        for line in filter(None, text.split("\n")):
            self._say(line)  # also where nobody sees the notes: it may concern who reads the log

    def error(self, text: str) -> None:
        self._say(text)

    def question(self, text: str) -> None:
        """Whoever reads a pipe asked the one question himself."""

    def asks(self, head: str, call: str, how: str) -> None:
        self._say(f"{head}\n    {call}\n{how}")  # also where nobody sees the notes: it waits for a person

    def _say(self, text: str) -> None:
        # A provider's words and a tool's name come from outside, and this is a terminal more often than not.
        self._talk.write(f"{visible(text)}\n")
        self._talk.flush()


class RawOutput(FinalOutput):
    """Text as it comes, without a single escape of ours: dumb terminals, and pipes that asked for it.

    Args:
        out: Takes the answer.
        talk: Takes notes and errors.
        notes: Whether somebody sees the notes.
        clean: Takes out what may not reach this output: on a terminal the model's own escapes.
    """

    def __init__(self, out: TextIO, talk: TextIO, *, notes: bool, clean: Callable[[str], str] = str) -> None:
        super().__init__(out, talk, notes=notes)
        self._clean = clean
        self._written = ""

    def show(self, text: str) -> None:
        text = self._clean(text)
        if text.startswith(self._written):
            new = text[len(self._written) :]
        elif self._written.startswith(text):
            return  # taken back; what comes may well say the same again
        else:
            self._break()
            self.note("(again from the start)")
            new = text
        self._out.write(new)
        self._out.flush()
        self._written = text

    def settle(self) -> None:
        """The text goes on where it was."""

    def note(self, text: str) -> None:
        if self._notes and self._written and not self._written.endswith("\n"):
            self._out.write("\n")  # a line of the answer must not be continued by something else
            self._out.flush()
        super().note(text)

    def end(self, text: str) -> None:
        if text:
            self.show(text)
        self._break()

    def abandon(self) -> None:
        self._break()

    def aside(self, text: str) -> None:
        self._out.write(f"{self._clean(text)}\n")
        self._out.flush()

    def notice(self, text: str) -> None:
        self._break()
        super().notice(text)

    def error(self, text: str) -> None:
        self._break()
        super().error(text)

    def question(self, text: str) -> None:
        self._break()
        self.note(self._clean(f"> {text}"))

    def asks(self, head: str, call: str, how: str) -> None:
        self._break()
        super().asks(head, call, how)

    def _break(self) -> None:
        if self._written and not self._written.endswith("\n"):
            self._out.write("\n")
            self._out.flush()
        self._written = ""
