"""The watch sees every way in which people, editors and orchestrators change a file."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd import inotify
from clawd.config import watch as watch_module
from clawd.config.stamps import Stamp, stamp
from clawd.config.watch import names_to_watch, watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    Watch = Callable[[Callable[[], Sequence[Path]], Callable[[], Awaitable[None]]], Awaitable[None]]


class Reader:
    """A daemon that reads its file at each call, and lets the test wait until it has read something."""

    def __init__(self, *files: Path) -> None:
        self.files = list(files)
        self.calls = 0
        self._text: str | None = None
        self._read = asyncio.Condition()

    async def changed(self) -> None:
        self.calls += 1
        async with self._read:
            try:
                self._text = await asyncio.to_thread(self.files[0].read_text)
            except OSError:
                self._text = None
            self._read.notify_all()

    async def has_read(self, text: str | None) -> None:
        async with asyncio.timeout(30), self._read:
            await self._read.wait_for(lambda: self.calls > 0 and self._text == text)


@asynccontextmanager
async def watching(reader: Reader, how: Watch = watch) -> AsyncIterator[Reader]:
    async def run() -> None:
        await how(lambda: reader.files, reader.changed)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run())
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(_watches):
                await asyncio.sleep(0.01)
        yield reader
        task.cancel()


def _watches() -> int:
    """Return how many inotify watches this process holds. Source: proc_pid_fdinfo(5)."""
    count = 0
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            count += info.read_text().count("inotify wd:")
        except OSError:  # closed meanwhile
            continue
    return count


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "config.yaml"
    path.parent.mkdir()
    path.write_text("old")
    return path


async def test_file_written_in_place_is_read_again(config: Path) -> None:
    async with watching(Reader(config)) as reader:
        config.write_text("new")
        await reader.has_read("new")


async def test_file_renamed_over_the_old_one_is_read_again(config: Path) -> None:
    async with watching(Reader(config)) as reader:
        for text in ("one", "two"):
            other = config.with_name(".config.yaml.swp")
            other.write_text(text)
            other.rename(config)
            await reader.has_read(text)


async def test_deleted_file_is_noticed_and_its_return_too(config: Path) -> None:
    async with watching(Reader(config)) as reader:
        config.unlink()
        await reader.has_read(None)
        config.write_text("back")
        await reader.has_read("back")


async def test_half_written_file_is_read_when_it_is_complete(config: Path) -> None:
    async with watching(Reader(config)) as reader:
        with config.open("w") as file:
            file.write("ha")
            file.flush()
            await asyncio.sleep(0)
            file.write("lf and half")
        await reader.has_read("half and half")


async def test_several_quick_saves_are_one_change(config: Path) -> None:
    async with watching(Reader(config)) as reader:
        for number in range(20):
            config.write_text(str(number))
        await reader.has_read("19")
        assert reader.calls == 1


async def test_link_swapped_above_the_file_is_noticed_as_kubernetes_does_it(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    for version in ("v1", "v2", "v3"):
        (mount / version).mkdir(parents=True)
        (mount / version / "config.yaml").write_text(version)
    (mount / "..data").symlink_to("v1")
    (mount / "config.yaml").symlink_to("..data/config.yaml")
    async with watching(Reader(mount / "config.yaml")) as reader:
        for version in ("v2", "v3"):
            (mount / "..data_tmp").symlink_to(version)
            (mount / "..data_tmp").rename(mount / "..data")
            await reader.has_read(version)
        shutil.rmtree(mount / "v1")


async def test_file_behind_a_link_in_another_folder_is_watched_there(tmp_path: Path, config: Path) -> None:
    link = tmp_path / "home" / "config.yaml"
    link.parent.mkdir()
    link.symlink_to(config)
    async with watching(Reader(link)) as reader:
        config.write_text("through the link")
        await reader.has_read("through the link")


async def test_folder_removed_and_made_again_is_watched_again(config: Path) -> None:
    async with watching(Reader(config)) as reader:
        shutil.rmtree(config.parent)
        await reader.has_read(None)
        config.parent.mkdir()
        config.write_text("a new home")
        await reader.has_read("a new home")
        config.write_text("and again")
        await reader.has_read("and again")


async def test_folder_replaced_by_another_is_noticed(config: Path) -> None:
    other = config.parent.with_name("next")
    other.mkdir()
    (other / config.name).write_text("from the other folder")
    async with watching(Reader(config)) as reader:
        config.parent.rename(config.parent.with_name("previous"))
        other.rename(config.parent)
        await reader.has_read("from the other folder")
        config.write_text("later")
        await reader.has_read("later")


async def test_second_file_is_watched_and_one_named_later_too(config: Path, tmp_path: Path) -> None:
    async with watching(Reader(config)) as reader:
        secret = tmp_path / "secrets" / "token"
        reader.files.append(secret)
        config.write_text("names a secret file")
        await reader.has_read("names a secret file")
        reader.calls = 0
        secret.parent.mkdir()
        secret.write_text("s")
        config_text = config.read_text()
        await reader.has_read(config_text)
        assert reader.calls


async def test_change_between_reading_and_watching_is_seen(config: Path) -> None:
    read_before = {config: stamp(config)}
    config.write_text("saved in between")
    reader = Reader(config)

    async def late(files: Callable[[], Sequence[Path]], changed: Callable[[], Awaitable[None]]) -> None:
        await watch(files, changed, since=read_before)

    async with watching(reader, late):
        await reader.has_read("saved in between")
        await asyncio.sleep(3 * watch_module.QUIET_S)
        assert reader.calls == 1


async def test_files_as_they_were_read_are_no_change(config: Path) -> None:
    reader = Reader(config)

    async def at_once(files: Callable[[], Sequence[Path]], changed: Callable[[], Awaitable[None]]) -> None:
        await watch(files, changed, since={config: stamp(config)})

    async with watching(reader, at_once):
        await asyncio.sleep(3 * watch_module.QUIET_S)
        assert reader.calls == 0


async def test_save_while_the_callback_reads_is_seen(config: Path) -> None:
    reader = Reader(config)
    texts: list[str] = []

    async def changed() -> None:
        texts.append(await asyncio.to_thread(config.read_text))
        if len(texts) == 1:
            await asyncio.to_thread(config.write_text, "saved meanwhile")
        await reader.changed()

    async with watching(reader, lambda files, _: watch(files, changed)):
        config.write_text("first")
        await reader.has_read("saved meanwhile")
        async with asyncio.timeout(30):
            while texts != ["first", "saved meanwhile"]:
                await asyncio.sleep(0.01)


async def test_neighbours_in_the_folder_are_nothing_to_us(config: Path) -> None:
    async with watching(Reader(config)) as reader:
        for number in range(50):
            (config.parent / f"clawd.db-{number}").write_text("x")
        await asyncio.sleep(3 * watch_module.QUIET_S)
        assert reader.calls == 0
        config.write_text("mine")
        await reader.has_read("mine")
        assert reader.calls == 1


async def test_file_that_appears_before_it_is_watched_is_seen(config: Path) -> None:
    reader = Reader(config)
    missed = config.parent / "included.yaml"

    async def changed() -> dict[Path, Stamp]:
        await reader.changed()
        if reader.calls == 1:  # it is missing, and comes the instant after
            reader.files.append(missed)
            await asyncio.to_thread(missed.write_text, "late")
            return {missed: None}
        return {}

    async with watching(reader, lambda files, _: watch(files, changed)):
        config.write_text("with an include")
        async with asyncio.timeout(30):
            while reader.calls < 2:
                await asyncio.sleep(0.01)


async def test_what_the_callback_raises_ends_the_watch(config: Path) -> None:
    async def changed() -> None:
        raise PermissionError("the callback's own")

    async def touch_until_it_ends() -> None:
        while True:
            config.touch()
            await asyncio.sleep(0.01)

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(touch_until_it_ends())
            tasks.create_task(watch(lambda: [config], changed))

    with pytest.raises(ExceptionGroup) as raised:
        await both()
    assert raised.group_contains(PermissionError, match="the callback's own")


async def test_cancelled_watch_closes_its_descriptor(config: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    async with watching(Reader(config)):
        assert len(list(Path("/proc/self/fd").iterdir())) > before
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


async def test_refused_watch_is_a_warning_and_not_a_crash(
    config: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: inotify.Inotify) -> inotify.Inotify:
        raise inotify.WatchRefused(28, os.strerror(28))

    monkeypatch.setattr(inotify.Inotify, "__enter__", refuse)
    await watch(lambda: [config], Reader(config).changed)
    assert "config_watch_off" in caplog.messages


async def test_systems_without_inotify_see_a_save_too(config: Path) -> None:
    async with watching(Reader(config), watch_module._watch_portably) as reader:
        config.write_text("new")
        await reader.has_read("new")


def test_names_to_watch_end_at_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert names_to_watch([tmp_path / "a"])[tmp_path.resolve()] == {"a", "b"}


def test_names_to_watch_of_a_missing_folder_are_those_that_will_appear(tmp_path: Path) -> None:
    names = names_to_watch([tmp_path / "not" / "there" / "config.yaml"])
    assert names == {tmp_path.resolve(): {"not"}}
