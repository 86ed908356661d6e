"""`clawd health`, as a container's supervisor runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clawd.control.server import ControlServer
    from tests.fakes.control_services import World
    from tests.fakes.shell import Shell

# Without options it does without Typer; with them it is a command like any other.
BOTH = pytest.mark.parametrize("arguments", [["health"], ["health", "--json"]], ids=["plain", "json"])


@BOTH
async def test_a_daemon_that_works_is_healthy(
    clawd: Shell, server: ControlServer, arguments: list[str]
) -> None:
    assert server.path.exists()
    result = await clawd(*arguments)
    assert (result.code, result.err) == (0, "")
    if "--json" in arguments:
        assert result.json == {"schema_version": 1, "state": "ready"}
    else:
        assert result.out == "ready\n"


@BOTH
async def test_a_daemon_that_ends_is_not(
    clawd: Shell, world: World, server: ControlServer, arguments: list[str]
) -> None:
    world.state = "draining"
    result = await clawd(*arguments)
    assert (result.code, result.out) == (75, "")
    what, where, remedy = result.err.splitlines()
    assert what == "error[E-NOT-READY]: the daemon is draining"
    assert str(server.path) in where
    assert remedy == "try: clawd status --watch"


@BOTH
async def test_a_daemon_that_can_commit_nothing_is_not(
    clawd: Shell, world: World, server: ControlServer, arguments: list[str]
) -> None:
    assert server.path.exists()
    world.journal_pause = "database or disk is full"
    result = await clawd(*arguments)
    assert (result.code, result.out) == (75, "")
    what, where, remedy = result.err.splitlines()
    assert what == "error[E-NOT-READY]: not ready: the journal can't commit (database or disk is full)"
    assert where.startswith("where: ")
    assert remedy == "try: clawd doctor --only disk"


async def test_status_tells_that_nothing_can_be_committed(
    clawd: Shell, world: World, server: ControlServer
) -> None:
    assert server.path.exists()
    assert "journal  " not in (await clawd("status")).out
    world.journal_pause = "database or disk is full"
    result = await clawd("status")
    assert "journal  paused: database or disk is full" in result.out
    assert (await clawd("--json")).json["journal_pause"] == "database or disk is full"


@BOTH
async def test_no_daemon_is_not(clawd: Shell, arguments: list[str]) -> None:
    result = await clawd(*arguments)
    assert (result.code, result.out) == (3, "")
    assert "E-NOT-RUNNING" in result.err
