"""The client of the control protocol: what it tries, what it says where nobody answers, and whom it trusts."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client, RemoteError
from clawd.control.server import ControlServer
from clawd.errors import (
    EXIT_NOT_RUNNING,
    EXIT_TRY_LATER,
    ControlError,
    DaemonNotRunning,
    ProtocolMismatch,
)
from tests.fakes.control_services import World, socket_in

if TYPE_CHECKING:
    from pathlib import Path


async def get(client: Client, path: str, **query: Any) -> dict[str, Any]:
    return await asyncio.to_thread(client.get, path, **query)


async def test_no_daemon_names_every_socket_that_was_tried(tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    client = Client([tmp_path / "a", stale])
    with pytest.raises(DaemonNotRunning) as caught:
        await get(client, "/status")
    assert caught.value.exit_code == EXIT_NOT_RUNNING
    assert str(tmp_path / "a") in caught.value.where
    assert "refused" in caught.value.why


async def test_a_reason_that_all_sockets_share_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(DaemonNotRunning) as caught:
        await get(Client([tmp_path / "a", tmp_path / "b"]), "/status")
    assert caught.value.why == "No such file or directory"


async def test_the_first_socket_that_answers_is_used(server: ControlServer, tmp_path: Path) -> None:
    status = await get(Client([tmp_path / "absent", server.path]), "/status")
    assert status["pid"] == 4242


async def test_the_client_is_found_by_the_environment(server: ControlServer) -> None:
    client = Client.find(None, None, {"CLAWD_SOCKET": str(server.path), "HOME": "/nonexistent"})
    assert (await get(client, "/status"))["version"] == "0.1.0"


async def _answering(path: Path, answer: bytes) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(handle, str(path))


async def test_a_daemon_of_another_protocol_is_told_apart(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Clawd-Protocol: 9\r\nContent-Length: 2\r\n\r\n{}"
    async with await _answering(tmp_path / "s", answer):
        with pytest.raises(ProtocolMismatch) as caught:
            await get(Client([tmp_path / "s"]), "/status")
    assert caught.value.theirs == 9


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not a clawd daemon"),
        (b"HTTP/1.1 200 OK\r\nX-Clawd-Protocol: 1\r\nContent-Length: 2\r\n\r\n[]", "can't be read"),
        (b"HTTP/1.1 200 OK\r\nX-Clawd-Protocol: 1\r\nContent-Length: 9\r\n\r\n{", "went away"),
        (b"", "went away"),
        (b"SSH-2.0-OpenSSH\r\n", "went away"),
    ],
)
async def test_an_answer_that_is_not_the_daemons_is_a_clear_error(
    tmp_path: Path, answer: bytes, words: str
) -> None:
    async with await _answering(tmp_path / "s", answer):
        with pytest.raises(ControlError, match=words):
            await get(Client([tmp_path / "s"]), "/status")


async def test_an_error_without_the_four_fields_still_is_one(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 500 X\r\nX-Clawd-Protocol: 1\r\nContent-Length: 4\r\n\r\noops"
    async with await _answering(tmp_path / "s", answer):
        with pytest.raises(RemoteError, match="answered 500"):
            await get(Client([tmp_path / "s"]), "/status")


async def test_a_silent_daemon_is_given_up_after_the_time_out(tmp_path: Path) -> None:
    quiet = asyncio.Event()

    async def handle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await quiet.wait()
        writer.close()

    async with await asyncio.start_unix_server(handle, str(tmp_path / "s")):
        with pytest.raises(ControlError, match="does not answer") as caught:
            await get(Client([tmp_path / "s"], timeout_s=0.05), "/status")
        quiet.set()
    assert caught.value.exit_code == EXIT_TRY_LATER


STRANGER = """
import os, sys
from pathlib import Path
from clawd.client import Client
from clawd.errors import ClawdError
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    print(Client([Path(sys.argv[1])]).get("/status")["state"])
except ClawdError as error:
    print(error.code, error.exit_code)
"""


async def _as_stranger(path: Path) -> str:
    """Ask for the status as nobody, where this test may become nobody; as ourselves elsewhere."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STRANGER, str(path), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    return output.decode().strip()


async def test_a_socket_that_denies_us_is_told_apart_from_none(state_dir: Path, world: World) -> None:
    state_dir.chmod(0o755)
    async with ControlServer(socket_in(state_dir), world.services()) as server:
        if os.geteuid() != 0:
            server.path.chmod(0)
        assert await _as_stranger(server.path) == "E-DENIED 4"


async def test_a_stranger_who_gets_through_the_file_mode_is_still_refused(
    state_dir: Path, world: World
) -> None:
    state_dir.chmod(0o755)
    async with ControlServer(socket_in(state_dir), world.services()) as server:
        server.path.chmod(0o666)
        expected = "E-REFUSED 4" if os.geteuid() == 0 else "ready"
        assert await _as_stranger(server.path) == expected
