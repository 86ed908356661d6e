"""Signed webhooks through the gateway: what is accepted, once, and what is refused."""

from __future__ import annotations

import asyncio
import io
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bridges.webhook import PLUGIN, WebhookConfig
from clawd.bridge import HttpBridge
from clawd.conformance import MemoryInbox
from clawd.errors import InboxFull, JournalUnavailable
from clawd.ids import SystemClock
from clawd.messages import Refused, Replied
from clawd.testing import ManualClock
from tests.fakes.bridge_context import bridge_context
from tests.fakes.gateway_site import Site, error_of, not_ready, read_answer, site
from tests.fakes.webhook_sender import ROTATED, SECRET, event, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from clawd.ids import Clock
    from clawd.messages import AcceptResult, Cursor, Inbound


def hook(clock: Clock, **section: Any) -> HttpBridge:
    config = WebhookConfig.model_validate({"secret": SECRET} | section)
    context = bridge_context("hook", clock=clock, version="1.2")
    bridge = PLUGIN.create(context, config)
    assert isinstance(bridge, HttpBridge)
    return bridge


class Hooked:
    """A webhook bridge behind a gateway, and its sender."""

    def __init__(self, here: Site, inbox: MemoryInbox, clock: ManualClock) -> None:
        self.here = here
        self.inbox = inbox
        self.clock = clock

    async def post(self, body: bytes | None = None, **sign: Any) -> tuple[int, dict[str, Any]]:
        """Send a signed request; return status and JSON."""
        body = event() if body is None else body
        return await self.send(body, signed(body, self.clock.now(), **sign))

    async def send(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Send a request with these headers."""
        return await self.here.call("POST", "/bridges/hook", token="", data=io.BytesIO(body), headers=headers)


@asynccontextmanager
async def hooked(state_dir: Path, **section: Any) -> AsyncIterator[Hooked]:
    inbox, clock = MemoryInbox(), ManualClock()
    async with site(state_dir, inbox=inbox, bridges={"hook": hook(clock, **section)}) as here:
        yield Hooked(here, inbox, clock)


async def test_a_signed_message_is_accepted_then_a_duplicate_then_a_conflict(state_dir: Path) -> None:
    async with hooked(state_dir) as there:
        status, told = await there.post(event("hi"))
        assert (status, told) == (
            202,
            {"status": "accepted", "id": "msg_1", "event": "turn:memory-1-1"},
        )
        assert await there.post(event("hi")) == (200, told | {"status": "duplicate"})
        status, body = await there.post(event("ho"))
        assert (status, body["error"]["code"]) == (409, "conflict")
        assert [message.text for message in there.inbox.messages] == ["hi"]


async def test_a_retry_with_a_fresh_time_is_the_same_message(state_dir: Path) -> None:
    async with hooked(state_dir) as there:
        assert (await there.post())[0] == 202
        await there.clock.advance(3600)
        assert (await there.post())[0] == 200
        assert len(there.inbox.messages) == 1


async def test_twenty_at_once_under_one_id_are_one_message(state_dir: Path) -> None:
    async with hooked(state_dir) as there:
        answers: list[tuple[int, dict[str, Any]]] = []

        async def post() -> None:
            answers.append(await there.post())

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(post())
        assert sorted(status for status, _ in answers) == [200] * 19 + [202]
        assert {body["event"] for _, body in answers} == {"turn:memory-1-1"}
        assert len(there.inbox.messages) == 1


@pytest.mark.parametrize(("off_s", "status"), [(299, 202), (-299, 202), (301, 401), (-301, 401)])
async def test_the_time_window_is_five_minutes_in_both_directions(
    state_dir: Path, off_s: int, status: int
) -> None:
    async with hooked(state_dir) as there:
        headers = signed(event(), there.clock.now())
        there.clock.jump(off_s)
        assert (await there.send(event(), headers))[0] == status


async def test_both_secrets_of_a_rotation_are_accepted_and_svix_names_too(state_dir: Path) -> None:
    async with hooked(state_dir, secret=[SECRET, ROTATED]) as there:
        for number, secret in enumerate((SECRET, ROTATED)):
            for family in ("webhook", "svix"):
                name = f"{family}_{number}"
                assert (await there.post(message_id=name, secret=secret, family=family))[0] == 202
    async with hooked(state_dir, secret=[ROTATED]) as there:
        assert (await there.post(secret=SECRET))[0] == 401


async def test_unsigned_and_wrongly_signed_sound_the_same_and_nothing_is_kept(state_dir: Path) -> None:
    async with hooked(state_dir) as there:
        good = signed(event(), there.clock.now())
        told = [
            await there.send(event(), {"content-type": "application/json"}),
            await there.send(event() + b" ", good),
            await there.send(event(), good | {"webhook-signature": "v1,AAAA"}),
            await there.send(b"not json", good),
            await there.post(secret=ROTATED),
        ]
        assert {status for status, _ in told} == {401}
        assert len({body["error"]["message"] for _, body in told}) == 1
        assert there.inbox.batches == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"not json", 400), (b'{"type":"x"}', 400), (b"{" * 10_000, 400), (b"\xef\xbb\xbf{}", 400)],
)
async def test_a_signed_body_that_is_no_message_is_400(state_dir: Path, body: bytes, status: int) -> None:
    async with hooked(state_dir) as there:
        assert (await there.post(body))[0] == status


async def test_other_methods_types_and_encodings_are_refused(state_dir: Path) -> None:
    async with hooked(state_dir) as there:
        good = signed(event(), there.clock.now())
        assert (await there.here.call("GET", "/bridges/hook", token=""))[0] == 405
        assert (await there.here.call("PUT", "/bridges/hook", token=""))[0] == 405
        assert (await there.send(event(), good | {"content-type": "text/plain"}))[0] == 415
        assert (await there.send(event(), good | {"content-encoding": "gzip"}))[0] == 415


async def test_a_body_at_the_cap_is_read_and_one_over_it_refused(state_dir: Path) -> None:
    limit = 4096
    async with hooked(state_dir, max_body_bytes=limit) as there:
        frame = len(event(""))
        assert (await there.post(event("x" * (limit - frame))))[0] == 202
        assert (await there.post(event("x" * (limit - frame + 1)), message_id="msg_2"))[0] == 413


@pytest.mark.parametrize("error", [InboxFull(5), JournalUnavailable("disk full")])
async def test_when_nothing_can_be_stored_the_sender_is_asked_to_come_again(
    state_dir: Path, error: Exception
) -> None:
    async with hooked(state_dir) as there:
        there.inbox.refuse(error)
        headers = signed(event(), there.clock.now())
        async with there.here.client.post("/bridges/hook", data=event(), headers=headers) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert (await there.post())[0] == 202  # the sender's retry


async def test_while_draining_the_sender_is_asked_to_come_again(state_dir: Path) -> None:
    async with hooked(state_dir) as there:
        there.here.readiness = not_ready(draining=True)
        assert (await there.post())[0] == 503


class _Saying:
    """An inbox that answers with one result."""

    def __init__(self, result: AcceptResult) -> None:
        self._result = result

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        return [self._result for _ in batch]

    async def cursor(self, key: str) -> str | None:
        return None


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Refused(reason="stranger"), 403),
        (Refused(reason="rate", text="Slowly."), 429),
        (Refused(reason="unreadable"), 400),
        (Replied(text="all is well"), 200),
    ],
)
async def test_what_the_inbox_says_has_its_status(state_dir: Path, result: AcceptResult, status: int) -> None:
    clock = SystemClock()
    async with site(state_dir, inbox=_Saying(result), bridges={"hook": hook(clock)}) as here:
        headers = signed(event(), clock.now())
        async with here.client.post("/bridges/hook", data=event(), headers=headers) as response:
            assert response.status == status
            assert ("Retry-After" in response.headers) == (status == 429)


def raw(there: Hooked, *extra: str, without: str = "") -> bytes:
    """Return a signed request as bytes, with further header lines."""
    lines = [
        f"{name}: {value}" for name, value in signed(event(), there.clock.now()).items() if name != without
    ]
    head = [
        "POST /bridges/hook HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(event())}",
        *lines,
        *extra,
    ]
    return "\r\n".join(head).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + event()


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_a_signed_header_that_comes_twice_is_400_even_when_equal(state_dir: Path, name: str) -> None:
    async with hooked(state_dir) as there:
        value = signed(event(), there.clock.now())[name]
        status, _, body = await there.here.raw(raw(there, f"{name.title()}: {value}"))
        assert status == 400
        assert "more than once" in error_of(body)["message"]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("webhook-id", "\udcff\udcfe", 400),
        ("webhook-id", "x" * 5000, 400),
        ("webhook-timestamp", "\udcff", 400),
        ("webhook-signature", "v1,\udcff\udcfe", 401),
        ("webhook-signature", " ".join(["v1,AAAA"] * 100), 401),
    ],
)
async def test_odd_bytes_in_headers_are_refused_like_any_other_text(
    state_dir: Path, name: str, value: str, status: int
) -> None:
    async with hooked(state_dir) as there:
        assert (await there.here.raw(raw(there, f"{name}: {value}", without=name)))[0] == status


async def test_a_sender_that_leaves_before_the_answer_finds_a_duplicate_later(state_dir: Path) -> None:
    async with hooked(state_dir) as there:
        _, writer = await asyncio.open_connection("127.0.0.1", there.here.port)
        writer.write(raw(there))
        await writer.drain()
        writer.transport.abort() if there.inbox.accepted else writer.close()
        await there.inbox.wait_for(1)
        assert (await there.post())[0] == 200


async def test_a_chunked_body_is_read_like_any_other(state_dir: Path) -> None:
    async with hooked(state_dir) as there:
        head = raw(there).partition(b"\r\n\r\n")[0].replace(b"Content-Length", b"X-Length")
        chunks = b"".join(b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in event()) + b"0\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", there.here.port)
        writer.write(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert (await read_answer(reader))[0] == 202
        writer.close()


async def test_neither_secret_nor_signature_is_logged_or_told(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with hooked(state_dir) as there:
        headers = signed(event(), there.clock.now(), secret=ROTATED)
        _, body = await there.send(event(), headers)
        logged = caplog.text + str([vars(record) for record in caplog.records])
        for private in (headers["webhook-signature"], SECRET, SECRET.removeprefix("whsec_")):
            assert private not in logged
            assert private not in str(body)
        assert "no signature fits" in logged  # the owner can see why
