"""The control protocol through the gateway, and the one client that speaks it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client, Disconnected, RemoteError
from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, JournalConfig, TokenConfig
from clawd.control.answers import MAX_BODY_BYTES
from clawd.errors import (
    EXIT_AUTH,
    EXIT_NOT_RUNNING,
    EXIT_TRY_LATER,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    ControlError,
    DaemonNotRunning,
)
from clawd.ids import SystemClock
from clawd.journal.opening import open_journal
from clawd.messages import Address, Image
from clawd.remote import BadRemote, NoToken, Remote, Unreachable, Untrusted, remote_of
from tests.fakes.gateway_site import not_ready, site
from tests.fakes.shell import Shell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.gateway_site import Site

ADMIN, READ, CHAT, NARROW = (letter * 32 for letter in "arcn")
CONFIG = GatewayConfig(
    port=0,
    tokens=(
        TokenConfig(name="1000", token=Secret(ADMIN), scopes=("admin",)),
        TokenConfig(name="read", token=Secret(READ), scopes=("read",)),
        TokenConfig(name="chat", token=Secret(CHAT), scopes=("chat", "metrics")),
        TokenConfig(name="narrow", token=Secret(NARROW), scopes=("read",), conversations="p-"),
    ),
)


def client_of(here: Site, token: str = ADMIN) -> Client:
    assert here.gateway.url is not None
    return Client(remote=Remote(url=here.gateway.url, token=token), timeout_s=5)


async def get(client: Client, path: str, **query: Any) -> dict[str, Any]:
    return await asyncio.to_thread(client.get, path, **query)


async def post(client: Client, path: str, body: Any = None) -> dict[str, Any]:
    return await asyncio.to_thread(client.post, path, body)


async def test_an_admin_reads_and_changes_as_at_the_socket(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        client = client_of(here)
        assert (await get(client, "/status"))["state"] == "ready"
        sent = await post(client, "/messages", {"text": "hi"})
        assert sent["kind"] == "accepted"
        assert (await get(client, f"/turns/{sent['id']}"))["state"] == "queued"
        await post(client, f"/turns/{sent['id']}/cancel")
        assert here.world.controls[0].turn == sent["id"]


async def test_a_token_named_like_a_uid_shares_no_conversation_with_that_user(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        await post(client_of(here), "/messages", {"text": "hi"})
        (message,) = here.world.messages
        assert str(message.address) == "terminal:token.1000:default"
        assert message.sender.id == "token.1000"


async def test_a_reader_reads_and_changes_nothing(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        client = client_of(here, READ)
        assert (await get(client, "/turns"))["turns"] == []
        for path in ("/messages", "/stop", "/tokens/create", "/push"):
            with pytest.raises(RemoteError) as caught:
                await post(client, path, {"text": "hi"})
            assert (caught.value.status, caught.value.exit_code) == (403, EXIT_AUTH), path
        assert not here.world.stopped.is_set()
        assert here.world.messages == []


@pytest.mark.parametrize(("token", "status"), [("", 401), ("x" * 32, 401), (CHAT, 403), (NARROW, 403)])
async def test_who_has_no_business_there_is_told_so_and_where(
    state_dir: Path, token: str, status: int
) -> None:
    async with site(state_dir, config=CONFIG) as here:
        with pytest.raises(RemoteError) as caught:
            await get(client_of(here, token), "/status")
        assert (caught.value.status, caught.value.exit_code) == (status, EXIT_AUTH)
        assert caught.value.where == here.gateway.url
        assert ("--token-file" in caught.value.remedy) == (status == 401)


@pytest.mark.parametrize(
    "header",
    [{"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Mode": "navigate"}],
)
async def test_a_browser_is_refused_whatever_its_token(state_dir: Path, header: dict[str, str]) -> None:
    async with site(state_dir, config=CONFIG) as here:
        if "Origin" in header:
            header = {"Origin": here.gateway.url or ""}
        status, body = await here.call("GET", "/control/v1/status", token=ADMIN, headers=header)
        assert (status, body["error"]["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize("path", ["/control%2Fv1/status", "//control/v1/status", "/%63ontrol/v1/status"])
async def test_no_spelling_of_the_path_leads_around_the_check(state_dir: Path, path: str) -> None:
    async with site(state_dir, config=CONFIG) as here:
        status, _, _ = await here.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert status in (401, 404)


async def test_a_stream_works_through_the_gateway_and_ends_when_its_token_is_revoked(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        address = Address(bridge="terminal", account="token.read", chat="default")
        turn = here.world.ask(address, "hi")

        def follow() -> list[str]:
            kinds = []
            with client_of(here, READ).stream("/stream") as frames:
                for frame in frames:
                    kinds.append(frame["type"])
                    if frame["type"] == "entry":
                        loop.call_soon_threadsafe(seen.set)
            return kinds

        loop, seen = asyncio.get_running_loop(), asyncio.Event()
        following = asyncio.ensure_future(asyncio.to_thread(follow))
        await seen.wait()
        assert turn
        await here.gateway.configure(CONFIG.model_copy(update={"tokens": CONFIG.tokens[:1]}))
        with pytest.raises(Disconnected):
            await following


async def test_a_stop_of_the_gateway_ends_streams_at_once(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        stream = await asyncio.to_thread(client_of(here).stream, "/stream")
    with pytest.raises(Disconnected):
        await asyncio.to_thread(list, stream)


async def test_commands_reach_a_daemon_that_drains(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        here.readiness = not_ready(draining=True)
        await post(client_of(here), "/stop")
        assert here.world.stopped.is_set()


async def test_a_file_is_sent_from_afar(state_dir: Path) -> None:
    opened = await open_journal(state_dir / "journal", JournalConfig(max_file_bytes=5_000_000), SystemClock())
    picture = state_dir / "cat.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2 * MAX_BODY_BYTES))
    async with (
        contextlib.AsyncExitStack() as stack,
        site(state_dir, config=CONFIG, artifacts=opened.artifacts) as here,
    ):
        stack.push_async_callback(opened.close)
        there = Shell(state_dir / "elsewhere")
        url = str(here.gateway.url)
        send = ("--url", url, "send", "telegram:1:2", "see", "--file", str(picture))
        sent = await there(*send, CLAWD_TOKEN=ADMIN)
        assert (sent.code, sent.out) == (0, "delivery:fake-1\n"), sent.err
        ((file,),) = [push.files for push in here.world.pushes]
        assert (type(file), file.name, file.size) == (Image, "cat.png", picture.stat().st_size)
        refused = await there(*send, CLAWD_TOKEN=READ)
        assert (refused.code, "lacks the scope admin" in refused.err) == (EXIT_AUTH, True), refused.err
        with picture.open("ab") as more:
            more.truncate(5_000_001)
        large = await there(*send, CLAWD_TOKEN=ADMIN)
        assert (large.code, "larger than 5,000,000 bytes" in large.err) == (1, True), large.err
        assert len(here.world.pushes) == 1


async def test_a_body_over_the_limit_is_refused(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        with pytest.raises(RemoteError) as caught:
            await post(client_of(here), "/messages", {"text": "x" * (3 << 20)})
        assert caught.value.status == 413
        sent = await post(client_of(here), "/messages", {"text": "x" * 1_500_000})
        assert sent["kind"] == "accepted"


# --- the way there ----------------------------------------------------------------------------------


def remote(url: str, **options: Any) -> Remote:
    fixed: dict[str, Any] = {"token_file": None, "ca_file": None, "insecure_http": False}
    return remote_of(url, {"CLAWD_TOKEN": ADMIN}, **{**fixed, **options})


async def failure(url: str, **options: Any) -> ControlError:
    with pytest.raises(ControlError) as caught:
        await get(Client(remote=remote(url, **options), timeout_s=5), "/status")
    return caught.value


async def test_a_refused_connection_is_a_daemon_that_does_not_run() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = await failure(url)
    assert (type(error).__bases__, error.exit_code, error.where) == (
        (DaemonNotRunning,),
        EXIT_NOT_RUNNING,
        url,
    )


async def test_a_name_that_nobody_has_is_out_of_reach() -> None:
    error = await failure("https://nowhere.invalid")
    assert (type(error), error.exit_code) == (Unreachable, EXIT_UNREACHABLE)


async def test_https_to_a_plain_port_is_told_apart(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        error = await failure(f"https://127.0.0.1:{here.port}")
    assert (type(error), error.exit_code) == (Untrusted, EXIT_UNREACHABLE)


async def test_a_server_that_is_no_clawd_is_told_apart() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 301 Moved\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        error = await failure(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert "not a clawd daemon" in error.what
    assert "301" in error.why


def test_a_token_is_not_sent_in_the_clear_to_another_host_unless_told_to() -> None:
    for url in ("http://example.com", "http://127.0.0.1.example.com", "http://10.0.0.1:7373"):
        with pytest.raises(BadRemote, match="not sent over plain HTTP") as caught:
            remote(url)
        assert caught.value.exit_code == EXIT_USAGE
        assert remote(url, insecure_http=True).url == url
    for url in ("http://localhost:1", "http://127.0.0.2", "http://[::1]:7373", "https://example.com/clawd/"):
        assert remote(url).token == ADMIN
    assert remote("https://example.com/clawd/").url == "https://example.com/clawd"


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://x", "http://", "https://u:p@x", "https://x?a", "https://x:99999"]
)
def test_what_is_no_gateways_url_is_refused(url: str) -> None:
    with pytest.raises(BadRemote):
        remote(url)


def test_a_token_comes_from_its_file_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with pytest.raises(NoToken) as caught:
        remote("https://x", token_file=str(file))
    assert (caught.value.exit_code, caught.value.where) == (EXIT_AUTH, str(file))
    for content in (b"", b"\n", b"a b", b"a\nb", b"\xff"):
        file.write_bytes(content)
        with pytest.raises(NoToken):
            remote("https://x", token_file=str(file))
    file.write_text("from-file\n")
    assert remote("https://x", token_file=str(file)).token == "from-file"
    with pytest.raises(NoToken, match="a token is needed"):
        remote_of("https://x", {}, token_file=None, ca_file=None, insecure_http=False)


def test_what_the_gateway_refuses_has_exit_codes_of_its_own() -> None:
    error = RemoteError(429, {"code": "rate_limited", "message": "too many"})
    assert (error.what, error.code, error.exit_code) == ("too many", "E-REMOTE", EXIT_TRY_LATER)


async def test_alerts_are_read_with_one_scope_and_silenced_with_another(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        here.world.desk.targets = ["telegram 1"]
        until = datetime.now(UTC) + timedelta(hours=1)
        wanted = {"rule": "disk", "until": until.isoformat()}
        assert (await get(client_of(here, READ), "/alerts"))["targets"] == ["telegram 1"]
        for path, body in (("/silences", wanted), ("/alerts/test", {}), ("/silences/end", {"id": "x"})):
            with pytest.raises(RemoteError) as refused:
                await post(client_of(here, READ), path, body)
            assert refused.value.exit_code == EXIT_AUTH
        with pytest.raises(RemoteError):
            await get(client_of(here, CHAT), "/alerts")
        assert (here.world.desk.silences, here.world.desk.tested) == ([], 0)
        made = await post(client_of(here), "/silences", wanted)
        assert (made["by"], made["rule"]) == ("terminal:token.1000", "disk")
        await post(client_of(here), "/silences/end", {"id": made["id"]})
        assert await post(client_of(here), "/alerts/test") == {"deliveries": []}
