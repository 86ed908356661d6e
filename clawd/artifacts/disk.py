"""The folder of the files: `STATE_DIR/artifacts/ab/cdef…` by SHA-256, and `tmp` for those being written. Blocks."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from clawd.artifacts.naming import HEAD_BYTES
from clawd.store.faults import fault
from clawd.store.mark import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER: Final = "artifacts"  # of the state directory
PIECE_BYTES: Final = 64 * 1024
_TEMPORARY: Final = "tmp"
_PREFIX: Final = re.compile(r"[0-9a-f]{2}")
_REST: Final = re.compile(r"[0-9a-f]{62}")


class Draft:
    """A file that is being written: private, under a name of its own, hashed on the way.

    Who waits for a thread that writes may be cancelled, and drop it meanwhile: never in the middle of a write,
    as the descriptor may be another file's by then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.received = 0  # bytes, those included that are still to be written
        self.head = b""
        self._sha256 = hashlib.sha256()
        self._using = threading.Lock()
        self._file = os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", buffering=0
        )

    def write(self, piece: bytes) -> None:
        """Add a piece; raises OSError."""
        view = memoryview(piece)
        with self._using:
            while view:
                view = view[self._file.write(view) :]
        self._sha256.update(piece)
        self.size += len(piece)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + piece)[:HEAD_BYTES]

    def finish(self) -> str:
        """Bring the content to the disk for good; return its digest. Raises OSError."""
        with self._using:
            os.fsync(self._file.fileno())
            self._file.close()
        return self._sha256.hexdigest()

    def drop(self) -> None:
        """Leave nothing of it; for one that was placed it does nothing."""
        with self._using:
            self._file.close()
        self.path.unlink(missing_ok=True)


class Disk:
    """The folder of one state directory. Every method raises OSError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / _TEMPORARY
        self._mine: set[str] = set()  # names of drafts of this process

    def draft(self) -> Draft:
        """Return a new file to write into."""
        self._make(self.root)
        self._make(self._temporary)
        path = self._temporary / secrets.token_hex(16)
        self._mine.add(path.name)
        return Draft(path)

    def place(self, draft: Draft, digest: str) -> None:
        """Give a finished draft its final name, and bring that to the disk for good."""
        target = self.path(digest)
        self._make(target.parent)
        fault("artifact.before:rename")
        draft.path.replace(target)
        sync_directory(target.parent)
        fault("artifact.after:rename")

    def forget(self, draft: Draft) -> None:
        """Note that a draft is over, one way or the other."""
        draft.drop()
        self._mine.discard(draft.path.name)

    def path(self, digest: str) -> Path:
        """Return where a content is."""
        return self.root / digest[:2] / digest[2:]

    def remove(self, digest: str) -> None:
        """Remove a content for good; one that is not there is no error."""
        path = self.path(digest)
        try:
            path.unlink()
        except FileNotFoundError:
            return
        sync_directory(path.parent)

    def clear_drafts(self) -> int:
        """Remove what killed processes left half-written; return how many."""
        count = 0
        with suppress(FileNotFoundError):
            for path in self._temporary.iterdir():
                if path.name not in self._mine:
                    path.unlink(missing_ok=True)
                    count += 1
        return count

    def digests(self) -> Iterator[list[str]]:
        """Yield the contents that are there, a folder at a time."""
        with suppress(FileNotFoundError):
            for folder in sorted(self.root.iterdir()):
                if _PREFIX.fullmatch(folder.name):
                    yield [folder.name + p.name for p in folder.iterdir() if _REST.fullmatch(p.name)]

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        sync_directory(folder.parent)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
