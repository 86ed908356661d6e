"""Files that a command writes: private, and whole under their name or not there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class FileExists(ClawdError):
    """There is a file of that name, and nobody said that it may go."""

    code = "E-EXISTS"


def write_new(path: Path, pieces: Iterable[str], *, force: bool = False) -> None:
    """Write a text file with mode 0600.

    Raises:
        FileExists: and `force` is not set.
        ClawdError: it can't be written.
    """
    if path.exists() and not force:
        raise FileExists(
            "there is a file of that name already", where=str(path), remedy="another name, or --force"
        )
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ClawdError(
            "the file can't be written", where=str(error.filename or path), why=error.strerror or str(error)
        ) from error
