"""Keeps files in the state directory: implements `media.Artifacts` on a store that this process alone has open.

The order that holds over a crash: the content is written under a name of its own and synced, gets its final
name, that name is synced, and only then is the row committed. A file without a row is removed by the next
sweep; a row without a file never comes into being. Where the last row of a content goes, `artifact_gone`
says so in the same commit, and the file is removed after it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from clawd.artifacts import rows
from clawd.artifacts.disk import FOLDER, PIECE_BYTES, Disk
from clawd.artifacts.naming import agreed, safe_name
from clawd.errors import FilesFull, FileTooLarge, JournalUnavailable, NotFound
from clawd.ids import to_ms
from clawd.media import ARTIFACT, StoredFile, is_stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from clawd.artifacts.disk import Draft
    from clawd.artifacts.rows import KeptFile
    from clawd.ids import Clock
    from clawd.media import Artifacts
    from clawd.store.sqlite import Store

log = logging.getLogger(__name__)

UNUSED_S: Final = 86_400
"""How long a file that no message names is kept."""
_RENEW_S: Final = UNUSED_S // 2
_BATCH: Final = 500  # rows removed in one write
_WRITE_BYTES: Final = 256 * 1024  # handed to the thread at once
_SHARE: Final = 2  # one owner's files may take this part of the room, so that nobody takes that of all others

T = TypeVar("T")


@dataclass(slots=True)
class _Share:
    """What one owner has here, while it writes."""

    owner: str
    drafts: int = 0
    writing: int = 0  # bytes of its drafts
    held: int | None = None  # bytes of its contents; None: to be counted


class ArtifactStore:
    """All files of one state directory.

    Args:
        store: The engine.
        clock: Time of rows.
        max_file_bytes: Of a single file.
        max_bytes: Of all contents together.
    """

    def __init__(self, store: Store, clock: Clock, *, max_file_bytes: int, max_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self.max_file_bytes = max_file_bytes
        self._max_bytes = max_bytes
        self._disk = Disk(store.path.parent / FOLDER)
        self._used: int | None = None  # bytes of all contents; None: to be counted
        # A single file of the greatest size always fits in.
        self._share_bytes = max(max_bytes // _SHARE, min(max_file_bytes, max_bytes))
        self._writing = 0  # bytes of drafts
        self._shares: dict[str, _Share] = {}  # of those who are writing
        # From a content's final name to its row nobody may take it for one without a row.
        self._naming = asyncio.Lock()

    def of(self, owner: str) -> Artifacts:
        """Return the same store as one owner sees it; `owner` is BRIDGE:SENDER or another such name."""
        return _Owned(self, owner)

    async def put(
        self,
        content: AsyncIterable[bytes],
        *,
        owner: str,
        max_bytes: int | None = None,
        mime: str | None = None,
        name: str | None = None,
    ) -> StoredFile:
        """Return the file once content and row are on the disk; see `media.Artifacts.put`.

        Raises:
            FileTooLarge: more than `max_bytes`, or than one file may have.
            FilesFull: all files together, or those of this owner, would be more than they may be.
            JournalUnavailable: the disk does not take it.
        """
        limit = self.max_file_bytes if max_bytes is None else min(max_bytes, self.max_file_bytes)
        with self._share(owner) as share:
            return await self._put(content, share, limit, mime=mime, name=name)

    async def _put(
        self,
        content: AsyncIterable[bytes],
        share: _Share,
        limit: int,
        *,
        mime: str | None,
        name: str | None,
    ) -> StoredFile:
        async with self._draft(share) as draft:
            await self._take(draft, content, share, limit)
            with _disk_errors():
                digest = await asyncio.to_thread(draft.finish)
            file = StoredFile(
                ref=f"{ARTIFACT}{secrets.token_hex(16)}",
                digest=digest,
                size=draft.size,
                mime=agreed(mime, draft.head),
                name=safe_name(name),
            )
            async with self._naming:
                with _disk_errors():
                    await _whole(self._disk.place, draft, digest)
                first = await self._store.write(
                    lambda db: rows.insert(db, file, share.owner, to_ms(self._clock.now())),
                    kinds=("artifact",),
                )
        if first and self._used is not None:
            self._used += file.size
        if share.held is not None:
            share.held += file.size
        return file

    async def find(self, ref: str) -> KeptFile:
        """Return a file with its owner; raises NotFound."""
        found = await self._store.read(rows.FIND, (ref,)) if is_stored(ref) else []
        if not found:
            raise NotFound(f"there is no file {ref[:80]}")
        return rows.kept_file(found[0])

    async def owned(self, owner: str, *, after: str | None, limit: int) -> list[KeptFile]:
        """Return an owner's files, the newest first, behind a cursor of one; raises ValueError for no cursor."""
        found = await self._store.read(rows.OWNED, (owner, *rows.before(after), limit))
        return [rows.kept_file(row) for row in found]

    async def stat(self, ref: str) -> StoredFile:
        return (await self.find(ref)).file

    async def read(self, ref: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Return a file's content in pieces, from a byte on and at most so many; raises NotFound."""
        file = await self.stat(ref)
        path = self._disk.path(file.digest)
        try:
            handle = await asyncio.to_thread(path.open, "rb")
        except OSError as error:
            log.error("artifact_unreadable", extra={"ref": ref, "error": str(error)})  # noqa: TRY400 - no bug of ours
            raise NotFound(f"the file {ref} can't be read", why=str(error)) from error
        left = file.size - start if length is None else length
        try:
            if start:
                handle.seek(start)
            while left > 0 and (piece := await asyncio.to_thread(handle.read, min(left, PIECE_BYTES))):
                left -= len(piece)
                yield piece
        finally:
            handle.close()

    async def hold(self, refs: Iterable[str]) -> None:
        """See to it that files are there for as long as it takes to commit what names them; raises NotFound."""
        old = []
        for ref in refs:
            kept = await self.find(ref)
            if (self._clock.now() - kept.created_at).total_seconds() > _RENEW_S:
                old.append(ref)
        if old:
            await self._store.write(lambda db: rows.renew(db, old, to_ms(self._clock.now())))

    # --- what goes ----------------------------------------------------------------------------------------

    async def delete(self, ref: str) -> None:
        """Remove a file, whatever names it; raises NotFound."""
        if not await self._store.write(lambda db: rows.delete(db, ref), kinds=("artifact.forget",)):
            raise NotFound(f"there is no file {ref[:80]}")
        await self.remove_gone()

    async def remove_gone(self) -> None:
        """Remove the contents that the last commits left without a row.

        Raises:
            JournalUnavailable: nothing can be noted now; what is left is removed another time.
        """
        async with self._naming:
            digests = await self._store.write(rows.gone)
            if not digests:
                return
            with _disk_errors():
                for digest in digests:
                    await _whole(self._disk.remove, digest)
            await self._store.write(lambda db: rows.removed(db, digests))
        self._used = None
        for share in self._shares.values():
            share.held = None

    async def sweep(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Remove what nothing names: rows of yesterday, contents without a row, what a crash left half-written.

        Raises: as `remove_gone`.
        """
        before_ms = to_ms(self._clock.now()) - UNUSED_S * 1000
        while await self._store.write(
            lambda db: rows.forget_unused(db, before_ms, _BATCH), kinds=("artifact.forget",)
        ):
            await pause()
        await self.remove_gone()
        with _disk_errors():
            left = await asyncio.to_thread(self._disk.clear_drafts)
            folders = await asyncio.to_thread(lambda: list(self._disk.digests()))
        strays = 0
        for digests in folders:
            async with self._naming:
                stray = await self._store.write(lambda db, found=digests: rows.without_row(db, found))  # type: ignore[misc]
                with _disk_errors():
                    for digest in stray:
                        await _whole(self._disk.remove, digest)
            strays += len(stray)
            await pause()
        if left or strays:
            log.info("artifacts_swept", extra={"half_written": left, "without_row": strays})

    # --- writing ------------------------------------------------------------------------------------------

    @contextmanager
    def _share(self, owner: str) -> Iterator[_Share]:
        """Count for an owner from its first draft to the end of its last."""
        share = self._shares.setdefault(owner, _Share(owner))
        share.drafts += 1
        try:
            yield share
        finally:
            share.drafts -= 1
            if not share.drafts:
                del self._shares[owner]

    @asynccontextmanager
    async def _draft(self, share: _Share) -> AsyncIterator[Draft]:
        made: list[Draft] = []  # also where the caller went away while it was made
        try:
            with _disk_errors():
                await _whole(lambda: made.append(self._disk.draft()))
            yield made[0]
        finally:
            for draft in made:
                self._writing -= draft.received
                share.writing -= draft.received
                await asyncio.to_thread(self._disk.forget, draft)

    async def _take(self, draft: Draft, content: AsyncIterable[bytes], share: _Share, limit: int) -> None:
        """Write the content as it comes, within all limits."""
        if self._used is None:
            ((self._used,),) = await self._store.read(rows.TOTAL)
        if share.held is None:
            ((share.held,),) = await self._store.read(rows.OF_OWNER, (share.owner,))
        waiting = bytearray()
        async for piece in content:
            waiting += piece
            draft.received += len(piece)
            self._writing += len(piece)
            share.writing += len(piece)
            if draft.received > limit:
                raise FileTooLarge(limit)
            if (self._used or 0) + self._writing > self._max_bytes:
                raise FilesFull(self._max_bytes)
            if (share.held or 0) + share.writing > self._share_bytes:
                raise FilesFull(self._share_bytes, owner=share.owner)
            if len(waiting) >= _WRITE_BYTES:
                await self._write(draft, bytes(waiting))
                waiting.clear()
        if waiting:
            await self._write(draft, bytes(waiting))

    @staticmethod
    async def _write(draft: Draft, piece: bytes) -> None:
        with _disk_errors():
            await asyncio.to_thread(draft.write, piece)


class _Owned:
    """See `ArtifactStore.of`."""

    def __init__(self, store: ArtifactStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    async def put(
        self,
        content: AsyncIterable[bytes],
        *,
        max_bytes: int,
        mime: str | None = None,
        name: str | None = None,
    ) -> StoredFile:
        return await self._store.put(content, owner=self._owner, max_bytes=max_bytes, mime=mime, name=name)

    async def stat(self, ref: str) -> StoredFile:
        return await self._store.stat(ref)

    def read(self, ref: str) -> AsyncIterator[bytes]:
        return self._store.read(ref)


async def _whole(work: Callable[..., T], *args: object) -> T:
    """Return what `work` returns, run in a thread; who is cancelled goes on only once it is over.

    What is held meanwhile is held until then. It is short: a name made, changed or removed.
    """
    running = asyncio.get_running_loop().run_in_executor(None, work, *args)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        running.exception()  # looked at
        raise


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Raise what the disk says as JournalUnavailable."""
    try:
        yield
    except OSError as error:
        raise JournalUnavailable("a file can't be kept now", why=error.strerror or str(error)) from error
