"""The commands at a real terminal, where they talk and ask."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from clawd.messages import Address
from tests.fakes.control_services import World
from tests.fakes.shell import Shell, at_terminal

if TYPE_CHECKING:
    pass

MINE = Address(bridge="terminal", account=str(os.getuid()), chat="default")


async def test_clawd_alone_says_in_five_lines_what_to_do_next(clawd: Shell) -> None:
    code, shown = await asyncio.to_thread(at_terminal, clawd)
    lines = shown.splitlines()
    assert (code, len(lines)) == (0, 5)
    assert "no daemon is running" in lines[0]
    assert lines[-1] == "next:    clawd start --detach"


@pytest.mark.usefixtures("server")
async def test_the_next_step_is_what_needs_a_hand(clawd: Shell) -> None:
    code, shown = await asyncio.to_thread(at_terminal, clawd)
    lines = shown.splitlines()
    assert (code, len(lines)) == (0, 5)
    assert "ready" in lines[0]
    assert lines[-1] == "next:    new key"  # the remedy of the bridge whose credentials were refused


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1)])
async def test_a_delete_asks_first_and_no_is_the_default(
    clawd: Shell, world: World, typed: str, code: int
) -> None:
    world.commit(world.ask(MINE, "hi"), "hello")
    ended, shown = await asyncio.to_thread(
        at_terminal, clawd, "conversations", "delete", "default", typed=typed
    )
    assert "for good? [y/N]" in shown
    assert ended == code
    assert bool(world.calls) is (code == 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("clawd tur", {"turns"}),
        ("clawd turns ", {"list", "cancel", "retry"}),
        ("clawd turns list --st", {"--state"}),
    ],
)
async def test_the_shell_completes_commands_that_are_not_imported_yet(
    clawd: Shell, words: str, expected: set[str]
) -> None:
    result = await clawd(COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), _CLAWD_COMPLETE="complete_bash")
    assert set(result.out.split()) == expected
