"""The visible text of one answer, as far as it is printed for good and as far as it is still live. Pure."""

from __future__ import annotations

from clawd.cli.chat.blocks import BlockSplitter


class Answer:
    """Takes the whole visible text again and again and says which blocks became final.

    What is printed stays printed: a text that was taken back and begins alike goes on behind it, one that
    differs is printed anew, and `restarted` says so.
    """

    def __init__(self) -> None:
        self.text = ""
        self.printed = ""
        self._splitter = BlockSplitter()

    @property
    def tail(self) -> str:
        """The live part."""
        return self._splitter.tail

    def show(self, text: str) -> tuple[list[str], bool]:
        """Take the whole text; return the blocks to print now, and whether it starts all over."""
        restarted = False
        if len(self.text) >= len(self.printed) and text.startswith(self.text):
            new = text[len(self.text) :]
        else:
            self._splitter = BlockSplitter()
            if self.printed.startswith(text):
                new = ""  # taken back; what comes may well say the same again
            elif text.startswith(self.printed):
                new = text[len(self.printed) :]
            else:
                restarted, self.printed, new = bool(self.printed.strip()), "", text
        self.text = text
        blocks = self._splitter.feed(new)
        self.printed += "".join(blocks)
        return blocks, restarted

    def settle(self) -> list[str]:
        """Return what is live as a last block: something else is going to be printed below it."""
        blocks = self._splitter.finish()
        self.printed = self.text if len(self.text) > len(self.printed) else self.printed
        return blocks
