"""Files on a real disk and rows in a real database: what is kept, what is refused, what goes."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clawd.artifacts import rows
from clawd.artifacts.store import UNUSED_S, ArtifactStore
from clawd.errors import FilesFull, FileTooLarge, JournalUnavailable, NotFound
from clawd.journal.checking import check_state_dir
from clawd.journal.items import AdmittedMessage, Push
from clawd.messages import File, Image, MessageId, Text
from clawd.store import faults
from tests.conformance.journals import address, inbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from clawd.journal.opening import OpenJournal
    from clawd.media import StoredFile
    from clawd.messages import Part
    from clawd.testing import ManualClock

PNG = b"\x89PNG\r\n\x1a\n" + bytes(500)


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def put(
    store: ArtifactStore, content: bytes, *, name: str | None = None, owner: str = "api:shop"
) -> StoredFile:
    return await store.put(pieces(content), owner=owner, name=name)


async def whole(store: ArtifactStore, ref: str) -> bytes:
    return b"".join([piece async for piece in store.read(ref)])


def files(state_dir: Path) -> list[str]:
    """Return the names of all files that are kept, and of those half-written."""
    root = state_dir / "artifacts"
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


async def no_pause() -> None:
    return


async def send(opened: OpenJournal, chat: str, *parts: Part) -> None:
    said = replace(inbound("look", chat=chat), parts=(Text("look"), *parts))
    await opened.journal.accept([AdmittedMessage(message=said, right="chat")])


async def test_what_was_put_is_read_back_whole_and_stands_under_its_hash(
    opened: OpenJournal, state_dir: Path
) -> None:
    content = bytes(range(256)) * 300
    file = await put(opened.artifacts, content, name="../a.bin")
    digest = hashlib.sha256(content).hexdigest()
    assert (file.digest, file.size, file.name) == (digest, len(content), "a.bin")
    assert await whole(opened.artifacts, file.ref) == content
    assert await opened.artifacts.stat(file.ref) == file
    assert files(state_dir) == [f"{digest[:2]}/{digest[2:]}"]
    assert b"".join([p async for p in opened.artifacts.read(file.ref, 1000, 70_000)]) == content[1000:71_000]


async def test_files_and_folders_are_for_their_owner_alone(opened: OpenJournal, state_dir: Path) -> None:
    await put(opened.artifacts, b"x")
    for path in (state_dir / "artifacts", *(state_dir / "artifacts").rglob("*")):
        wanted = 0o600 if path.is_file() else 0o700
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


async def test_equal_content_takes_the_place_of_one_and_has_a_ref_for_each_sender(
    opened: OpenJournal, state_dir: Path
) -> None:
    one = await put(opened.artifacts, b"same", name="one.txt")
    two = await put(opened.artifacts, b"same", name="two.txt")
    assert one.ref != two.ref
    assert len(files(state_dir)) == 1
    await opened.artifacts.delete(one.ref)
    assert await whole(opened.artifacts, two.ref) == b"same"
    await opened.artifacts.delete(two.ref)
    assert files(state_dir) == []


async def test_the_type_is_what_the_bytes_show(opened: OpenJournal) -> None:
    file = await opened.artifacts.put(pieces(PNG), owner="x", mime="text/html")
    assert file.mime == "image/png"


async def test_more_than_a_file_may_have_is_refused_before_all_of_it_was_read(
    opened: OpenJournal, state_dir: Path
) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1000
            yield bytes(1000)

    with pytest.raises(FileTooLarge) as error:
        await opened.artifacts.put(endless(), owner="x", max_bytes=5000)
    assert (error.value.limit, read) == (5000, 6000)
    with pytest.raises(FileTooLarge):
        await opened.artifacts.put(endless(), owner="x")
    assert files(state_dir) == []


async def test_all_files_together_stay_within_their_limit_and_room_comes_back(opened: OpenJournal) -> None:
    store = opened.artifacts
    first = await put(store, bytes(90_000))
    await put(store, b"1" * 90_000, owner="b")
    with pytest.raises(FilesFull, match="all files together may have 250,000 bytes"):
        await put(store, b"2" * 90_000, owner="c")
    await put(store, b"3" * 60_000, owner="c")
    await store.delete(first.ref)
    await put(store, b"2" * 90_000, owner="d")


async def test_one_owner_takes_half_of_the_room_at_most_and_the_others_have_theirs(
    opened: OpenJournal,
) -> None:
    store = opened.artifacts
    first, twin = await put(store, bytes(60_000)), await put(store, bytes(60_000))
    await put(store, b"1" * 60_000)  # the same content takes the room of one
    with pytest.raises(FilesFull, match="the files of api:shop together may have 125,000 bytes"):
        await put(store, b"2" * 60_000)
    await put(store, b"2" * 90_000, owner="api:other")
    for file in (first, twin):
        await store.delete(file.ref)
    await put(store, b"3" * 60_000)


async def test_one_owner_that_writes_twice_at_once_has_one_share(opened: OpenJournal) -> None:
    go, written = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"1" * 90_000
        written.set()
        await go.wait()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(opened.artifacts.put(slow(), owner="x"))
        await written.wait()
        with pytest.raises(FilesFull):
            await put(opened.artifacts, b"2" * 90_000, owner="x")

        async def after() -> AsyncIterator[bytes]:
            go.set()
            await asyncio.wait({first})
            yield b"3" * 90_000

        with pytest.raises(FilesFull):
            await opened.artifacts.put(after(), owner="x")
    await put(opened.artifacts, b"4" * 30_000, owner="x")


async def test_two_that_are_written_at_once_do_not_take_the_same_room(opened: OpenJournal) -> None:
    go = asyncio.Event()

    async def slow(byte: bytes) -> AsyncIterator[bytes]:
        for _ in range(90):
            yield byte * 1000
        await go.wait()

    await put(opened.artifacts, bytes(60_000))
    taken: list[str] = []
    deadline = time.monotonic() + 10

    async def one(byte: bytes) -> None:
        try:
            await opened.artifacts.put(slow(byte), owner=byte.decode())
        except FilesFull:
            taken.append("full")
        else:
            taken.append("kept")

    async with asyncio.TaskGroup() as group:
        for byte in (b"1", b"2", b"3"):
            group.create_task(one(byte))
        while (
            not taken and time.monotonic() < deadline
        ):  # the third finds the room taken, though neither of the others is done
            await asyncio.sleep(0.001)
        go.set()
    assert sorted(taken) == ["full", "kept", "kept"]


async def test_a_content_that_breaks_off_leaves_nothing(opened: OpenJournal, state_dir: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await opened.artifacts.put(broken(), owner="x")
    assert files(state_dir) == []


async def test_a_disk_that_refuses_is_no_acknowledgement(opened: OpenJournal, state_dir: Path) -> None:
    (state_dir / "artifacts").write_text("in the way")
    with pytest.raises(JournalUnavailable, match="can't be kept"):
        await put(opened.artifacts, b"x")


async def test_a_caller_that_goes_away_leaves_no_draft(opened: OpenJournal, state_dir: Path) -> None:
    async def hanging() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.Event().wait()

    task = asyncio.ensure_future(opened.artifacts.put(hanging(), owner="x"))
    while not files(state_dir):
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(state_dir) == []


async def test_a_caller_that_goes_away_while_the_draft_is_made_leaves_none(
    opened: OpenJournal, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go = slowed(monkeypatch, opened, "draft")
    task = asyncio.ensure_future(put(opened.artifacts, b"x"))
    await asyncio.to_thread(asked.wait, 20)
    task.cancel()
    await asyncio.wait({task}, timeout=0.05)
    go.set()
    await asyncio.wait({task})
    assert task.cancelled()
    assert files(state_dir) == []
    assert opened.artifacts._disk._mine == set()


async def test_who_goes_away_while_a_content_is_removed_takes_none_of_what_comes_after(
    opened: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened.artifacts
    old = await put(store, b"again")
    asked, go = slowed(monkeypatch, opened, "remove")
    deleting = asyncio.ensure_future(store.delete(old.ref))
    await asyncio.to_thread(asked.wait, 20)
    deleting.cancel()
    putting = asyncio.ensure_future(put(store, b"again"))
    await asyncio.wait({putting}, timeout=0.2)  # time enough where nothing would hold it up
    go.set()
    assert await whole(store, (await putting).ref) == b"again"
    await asyncio.wait({deleting})
    assert deleting.cancelled()


def slowed(
    monkeypatch: pytest.MonkeyPatch, opened: OpenJournal, name: str
) -> tuple[threading.Event, threading.Event]:
    """Let a slow disk do one thing: return what tells that it was asked to, and what lets it."""
    asked, go = threading.Event(), threading.Event()
    real = getattr(opened.artifacts._disk, name)

    def slow(*args: object) -> object:
        asked.set()
        go.wait(20)
        return real(*args)

    monkeypatch.setattr(opened.artifacts._disk, name, slow)
    return asked, go


async def test_unknown_refs_are_not_found(opened: OpenJournal) -> None:
    for ref in ("artifact:" + "0" * 32, "artifact:../../clawd.db", "tg-file-id"):
        with pytest.raises(NotFound):
            await opened.artifacts.stat(ref)
        with pytest.raises(NotFound):
            await whole(opened.artifacts, ref)


# --- what goes ------------------------------------------------------------------------------------------


async def test_what_no_message_names_within_a_day_goes_and_what_one_names_stays(
    opened: OpenJournal, clock: ManualClock, state_dir: Path
) -> None:
    named = await put(opened.artifacts, b"named")
    pushed = await put(opened.artifacts, b"pushed")
    await put(opened.artifacts, b"left")
    await send(opened, "1", File(ref=named.ref))
    push = Push(id=MessageId("p1"), address=address("1"), text="see", files=(File(ref=pushed.ref, name="a"),))
    await opened.journal.accept([push])
    clock.jump(UNUSED_S - 1)
    await opened.artifacts.sweep(no_pause)
    assert len(files(state_dir)) == 3
    clock.jump(2)
    await put(opened.artifacts, b"new")
    await opened.artifacts.sweep(no_pause)
    assert len(files(state_dir)) == 3
    assert await whole(opened.artifacts, named.ref) == b"named"
    assert await whole(opened.artifacts, pushed.ref) == b"pushed"


async def test_a_file_that_is_about_to_be_named_counts_as_new(
    opened: OpenJournal, clock: ManualClock
) -> None:
    file = await put(opened.artifacts, b"x")
    clock.jump(UNUSED_S + 60)
    await opened.artifacts.hold([file.ref])
    await opened.artifacts.sweep(no_pause)
    assert await whole(opened.artifacts, file.ref) == b"x"
    with pytest.raises(NotFound):
        await opened.artifacts.hold(["artifact:" + "0" * 32])


async def test_a_deleted_conversation_takes_its_files_along_but_for_those_that_others_name(
    opened: OpenJournal, state_dir: Path
) -> None:
    own, shared = await put(opened.artifacts, b"own"), await put(opened.artifacts, b"shared")
    for chat, parts in (("1", (own, shared)), ("2", (shared,))):
        push = Push(
            id=MessageId(f"p{chat}"),
            address=address(chat),
            text="see",
            files=tuple(Image(ref=file.ref) for file in parts),
        )
        await opened.journal.accept([push])
    await opened.admin.delete(address("1"))
    assert await opened.keeping.scrub_if_wanted()
    digest = shared.digest
    assert files(state_dir) == [f"{digest[:2]}/{digest[2:]}"]
    with pytest.raises(NotFound):
        await opened.artifacts.stat(own.ref)


async def test_a_sweep_removes_what_a_crash_left_and_nothing_that_is_being_written(
    opened: OpenJournal, state_dir: Path
) -> None:
    kept = await put(opened.artifacts, b"kept")
    root = state_dir / "artifacts"
    (root / "tmp" / "half").write_bytes(b"half")
    (root / "ab").mkdir()
    (root / "ab" / ("c" * 62)).write_bytes(b"without a row")
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"slow"
        await go.wait()

    task = asyncio.ensure_future(opened.artifacts.put(slow(), owner="x"))
    while len(files(state_dir)) < 4:
        await asyncio.sleep(0.001)
    await opened.artifacts.sweep(no_pause)
    go.set()
    late = await task
    assert await whole(opened.artifacts, late.ref) == b"slow"
    assert await whole(opened.artifacts, kept.ref) == b"kept"
    assert len(files(state_dir)) == 2


async def test_a_content_that_comes_again_while_it_is_removed_is_there_afterwards(
    opened: OpenJournal,
) -> None:
    store = opened.artifacts
    for _ in range(20):
        old = await put(store, b"again")
        async with asyncio.TaskGroup() as group:
            new = group.create_task(put(store, b"again"))
            group.create_task(store.delete(old.ref))
        assert await whole(store, new.result().ref) == b"again"


@contextmanager
def held(point: str) -> Iterator[None]:
    """Hold the first that comes by a point for a moment."""
    faults.arm({faults.VARIABLE: f"{point}:1:sleep=0.3"})
    try:
        yield
    finally:
        faults.arm({})


async def test_a_sweep_leaves_a_content_alone_whose_row_is_about_to_be_written(
    opened: OpenJournal, state_dir: Path
) -> None:
    """A crash left it without a row, and just when the sweep comes to it somebody puts the same again."""
    store, root = opened.artifacts, state_dir / "artifacts"
    digest = hashlib.sha256(b"left").hexdigest()
    for name in ("0" * 64, digest):
        (root / name[:2]).mkdir(parents=True)
        (root / name[:2] / name[2:]).write_bytes(b"left")
    puts: list[asyncio.Future[StoredFile]] = []

    async def pause() -> None:
        if not puts and len(files(state_dir)) == 1:  # behind the first folder
            puts.append(asyncio.ensure_future(put(store, b"left")))
            await asyncio.sleep(
                0.1
            )  # it is held by now; where it is not, nothing is shown, and nothing fails

    with held("artifact.after:rename"):
        await store.sweep(pause)
        (new,) = puts
        assert await whole(store, (await new).ref) == b"left"


async def test_a_content_that_is_to_be_removed_is_not_when_it_is_just_being_placed_again(
    opened: OpenJournal,
) -> None:
    store = opened.artifacts
    asyncio.get_running_loop().set_default_executor(
        ThreadPoolExecutor(1)
    )  # removed right behind: the worst moment
    old = await put(store, b"again")
    await opened.store.write(lambda db: rows.delete(db, old.ref))  # as a conversation's deletion does
    with held("artifact.before:rename"):
        new = asyncio.ensure_future(put(store, b"again"))
        await asyncio.sleep(0.1)  # it is held by now; where it is not, nothing is shown, and nothing fails
        await store.remove_gone()
        assert await whole(store, (await new).ref) == b"again"


# --- the check --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("harm", "finding"), [("gone", "artifact.missing"), ("other", "artifact.hash"), ("cut", "artifact.size")]
)
async def test_the_check_finds_rows_without_their_file(
    opened: OpenJournal, state_dir: Path, harm: str, finding: str
) -> None:
    file = await put(opened.artifacts, b"content")
    await send(opened, "1", File(ref=file.ref))
    await opened.close()
    assert (await asyncio.to_thread(check_state_dir, state_dir)).findings == ()
    path = state_dir / "artifacts" / file.digest[:2] / file.digest[2:]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(b"CONTENT" if harm == "other" else b"con")
    (found,) = (await asyncio.to_thread(check_state_dir, state_dir)).findings
    assert (found.id, found.where) == (finding, file.ref)


async def test_the_check_finds_a_name_without_a_row(opened: OpenJournal, state_dir: Path) -> None:
    file = await put(opened.artifacts, b"content")
    await send(opened, "1", File(ref=file.ref))
    await opened.close()
    with closing(sqlite3.connect(state_dir / "clawd.db")) as db:
        db.execute("DELETE FROM artifact")
        db.commit()
    found = (await asyncio.to_thread(check_state_dir, state_dir)).findings
    assert {f.id for f in found} == {"artifact.unknown", "file.reference"}
