"""What tests of the control socket share: a world of in-memory parts, the server over it, who talks to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.client import Client
from clawd.control.server import ControlServer
from tests.fakes.control_services import World
from tests.fakes.shell import Shell, socket_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def server(state_dir: Path, world: World) -> AsyncIterator[ControlServer]:
    async with ControlServer(socket_of(state_dir), world.services()) as server:
        yield server


@pytest.fixture
def client(server: ControlServer) -> Client:
    return Client([server.path])


@pytest.fixture
def clawd(state_dir: Path) -> Shell:
    return Shell(state_dir)
