"""Files that people, platforms and tools send: what a stored one is, and who keeps and fetches them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from clawd.errors import NotFound, NotPossible

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

ARTIFACT: Final = "artifact:"
"""What a `ref` of a part begins with when the file is stored here; any other is its platform's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that is kept in the state directory."""

    ref: str  # `artifact:` and 32 hexadecimal digits; opaque and constant
    digest: str  # SHA-256 of the content, hexadecimal
    size: int  # bytes
    mime: str | None = None
    name: str | None = None  # as its sender called it: never a path to open


class Artifacts(Protocol):
    """Where files are kept; equal content takes the place of one."""

    async def put(
        self,
        content: AsyncIterable[bytes],
        *,
        max_bytes: int,
        mime: str | None = None,
        name: str | None = None,
    ) -> StoredFile:
        """Return the file once it is on the disk for good; only then may a message name it.

        A file that no message names within a day is deleted.

        Raises:
            FileTooLarge: more than `max_bytes` came; nothing is kept.
            JournalUnavailable: the disk is full; nothing is kept.

        What `content` raises passes through, and nothing is kept.
        """
        ...

    async def stat(self, ref: str) -> StoredFile:
        """Return what is known of a file; raises NotFound."""
        ...

    def read(self, ref: str) -> AsyncIterator[bytes]:
        """Return its content in pieces of at most 64 KiB; raises NotFound."""
        ...


class NoArtifacts:
    """For a bridge that only asks its platform who it is: nothing is kept, nothing is there."""

    async def put(
        self,
        content: AsyncIterable[bytes],
        *,
        max_bytes: int,
        mime: str | None = None,
        name: str | None = None,
    ) -> StoredFile:
        """Refuse."""
        raise NotPossible("no files are kept here")

    async def stat(self, ref: str) -> StoredFile:
        """Find nothing."""
        raise NotFound(f"there is no file {ref}")

    def read(self, ref: str) -> AsyncIterator[bytes]:
        """Find nothing."""
        raise NotFound(f"there is no file {ref}")


def is_stored(ref: str) -> bool:
    """Whether a part's `ref` names a file that is kept here."""
    return ref.startswith(ARTIFACT)
