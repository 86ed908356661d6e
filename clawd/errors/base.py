"""What every error has, how people are told of it, and the exit codes."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_RUNNING = 3
EXIT_AUTH = 4
EXIT_UNREACHABLE = 69
EXIT_LOCKED = 73
EXIT_JOURNAL = 74
EXIT_TRY_LATER = 75
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


class ClawdError(Exception):
    """Something failed in a way that clawd understands.

    Args:
        what: What failed, one sentence without a full stop.
        where: File with line, component or address; empty when there is no better place than the caller.
        why: The evidence: a status, the other side's own words, an errno.
        remedy: One command or one change that is likely to help.
    """

    code: str = "E-CLAWD"  # constant in each class but for errors told by another process
    exit_code: int = EXIT_FAILED

    def __init__(self, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        """One line for logs; people get `four_lines`."""
        remedy = f"try: {self.remedy}" if self.remedy.startswith("clawd ") else self.remedy  # else a sentence
        detail = "; ".join(part for part in (self.why, remedy) if part)
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f" ({detail})" if detail else "")


def four_lines(error: ClawdError, *, code: str | None = None) -> str:
    r"""Return the error as people see it: what, where, why, try; lines without content are left out.

    Each is one line, and what others wrote into it can't steer a terminal: `ESC` becomes `\x1b`.
    """
    lines = [f"error[{code or error.code}]: {_printable(error.what)}"]
    for label, text in (("where", error.where), ("why", error.why), ("try", error.remedy)):
        if text:
            lines.append(f"{label}: {_printable(text)}")
    return "\n".join(lines)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode() for c in text
    )


class NotFound(ClawdError):
    """No such turn, conversation, delivery or name."""

    code = "E-NOT-FOUND"


class NotPossible(ClawdError):
    """The thing exists but is not in a state that allows the request."""

    code = "E-STATE"


class HoldsMore(NotPossible):
    """More would go than was asked for."""


class FileTooLarge(ClawdError):
    """A file has more bytes than are taken here; `limit` is how many are."""

    code = "E-FILE-SIZE"

    def __init__(self, limit: int, *, where: str = "", remedy: str = "") -> None:
        super().__init__(f"the file is larger than {limit:,} bytes", where=where, remedy=remedy)
        self.limit = limit
