"""`clawd status --watch` at a real pseudo-terminal, against a control socket that comes and goes."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from clawd.cli.printing import columns
from clawd.control.protocol import Totals
from clawd.control.server import ControlServer
from tests.fakes.alert_desk import alert
from tests.fakes.shell import Shell, at_terminal, socket_of
from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.fakes.control_services import World
    from tests.fakes.terminal import Screen

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


class Watching:
    """The command at a terminal, read in a thread so that the socket answers meanwhile."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    async def until(self, what: str | Callable[[Screen], bool]) -> str:
        return await asyncio.to_thread(self.terminal.until, what)

    async def until_all(self, *words: str) -> None:
        """Return once all of these are on the screen: a picture may come in two pieces."""
        await self.until(lambda screen: all(each in screen.visible() for each in words))

    async def wait(self) -> int:
        return await asyncio.to_thread(self.terminal.wait)


@asynccontextmanager
async def watching(
    state_dir: Path, *, columns: int = 80, rows: int = 24, **environ: str
) -> AsyncIterator[Watching]:
    argv = [sys.executable, "-m", "clawd.cli.main", "status", "--watch"]
    env = {**Shell(state_dir).environ, "TERM": "xterm", **environ}
    with Terminal(argv, env, columns=columns, rows=rows) as terminal:
        yield Watching(terminal)


@pytest.mark.usefixtures("server")
async def test_a_screen_shows_what_changes_without_a_flicker_and_is_left_as_it_was(
    state_dir: Path, world: World
) -> None:
    async with watching(state_dir, NO_COLOR="1") as here:
        before = here.terminal.modes()
        await here.until("hook      bad_credentials")
        world.desk.alerts = [alert(began_at=datetime.now(UTC))]
        world.totals = Totals(messages=1234)
        await here.until_all("telegram is down", "1,234")
        assert here.terminal.screen.scrollback == []
        assert here.terminal.modes() != before, "what is typed is not written into the picture"
        here.terminal.type("\x03")
        assert await here.wait() == 130
        raw = here.terminal.raw
        assert (raw.count(ENTER), raw.count("\x1b[2J"), raw.count(LEAVE)) == (1, 1, 1)
        assert "\x1b[?25h" in raw.rpartition(ENTER)[2], "the cursor is there again"
        assert "\x1b[3" not in raw, "no colours"
        assert here.terminal.modes() == before


async def test_the_screen_waits_for_a_daemon_that_is_away_and_goes_on_with_it(
    server: ControlServer, state_dir: Path, world: World
) -> None:
    async with watching(state_dir) as here:
        await here.until("hook      bad_credentials")
        await server.stop()
        await here.until_all("no clawd daemon is running; what follows is", "hook      bad_credentials")
        world.pid = 4343
        async with ControlServer(socket_of(state_dir), world.services()):
            await here.until(lambda screen: screen.visible().startswith("clawd 0.1.0  ready"))
            here.terminal.type("q")
            assert await here.wait() == 0
            assert here.terminal.raw.count(LEAVE) == 1


@pytest.mark.usefixtures("server")
async def test_a_screen_of_another_size_is_filled_at_once(state_dir: Path) -> None:
    async with watching(state_dir, columns=120, rows=40) as here:
        await here.until("hook      bad_credentials")
        here.terminal.resize(60, 9)
        await here.until(lambda screen: "a taller window" in screen.visible())
        visible = here.terminal.screen.visible().splitlines()
        assert len(visible) == 9
        assert max(map(len, visible)) <= 60
        here.terminal.process.send_signal(signal.SIGTERM)
        assert await here.wait() == 128 + signal.SIGTERM
        assert here.terminal.raw.count(LEAVE) == 1


@pytest.mark.usefixtures("server")
async def test_screens_of_all_widths_hold_wide_characters_to_their_last_column(
    state_dir: Path, world: World
) -> None:
    world.models[0] = replace(world.models[0], name="深度求索", last_error="服务器没有回应，" * 40)
    async with watching(state_dir, columns=300, rows=40, COLUMNS="60", LINES="9") as here:
        await here.until("hook      bad_credentials")
        for width in (299, 120, 61, 60, 20):
            here.terminal.resize(width, 40)
            await here.until(partial(is_filled, width))
            assert here.terminal.screen.scrollback == []
        here.terminal.type("q")
        assert await here.wait() == 0


def is_filled(width: int, screen: Screen) -> bool:
    """Whether the longest line takes the whole width, and what is too long for it shows its last column.

    A wide character may leave one column. A screen that is half drawn, or that was drawn for another size, is neither.
    """
    lines = screen.visible().splitlines()
    cut = [line.endswith("…") for line in lines if "last error" in line]
    return cut == [True] and max(map(columns, lines)) in (width - 1, width)


async def test_a_screen_may_be_there_before_the_daemon(state_dir: Path, world: World) -> None:
    async with watching(state_dir) as here:
        await here.until("no clawd daemon is running (")
        async with ControlServer(socket_of(state_dir), world.services()):
            await here.until("hook      bad_credentials")
            here.terminal.type("\x03")
            assert await here.wait() == 130


@pytest.mark.usefixtures("server")
async def test_without_a_terminal_the_plain_status_is_printed_again(state_dir: Path) -> None:
    process = await Shell(state_dir).start("status", "--watch")
    assert process.stdout is not None
    assert await process.stdout.readline() == b"\n"
    assert (await process.stdout.readline()).startswith(b"clawd 0.1.0  ready")
    process.send_signal(signal.SIGINT)
    rest, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert b"\x1b" not in rest


@pytest.mark.usefixtures("server")
async def test_the_status_alone_loads_nothing_that_only_the_screen_needs(state_dir: Path) -> None:
    code = (
        "import sys; from clawd.cli.main import run; run(['status']);"
        "print(sorted({'rich', 'yaml', 'clawd.cli.watch', 'clawd.cli.fullscreen', 'clawd.cli.report'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=Shell(state_dir).environ, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "[]"


async def test_a_refusal_is_told_on_the_screen_that_stays(state_dir: Path) -> None:
    code, shown = await asyncio.to_thread(
        at_terminal, Shell(state_dir), "--url", "http://127.0.0.1:9", "status", "--watch"
    )
    assert (code, ENTER in shown) == (4, False)
    assert "a token is needed" in shown
