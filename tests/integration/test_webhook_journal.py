"""Webhooks and the journal together: what a 202 promises holds across a restart."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bridges.webhook import WebhookConfig
from bridges.webhook.bridge import WebhookBridge
from clawd.access import Access
from clawd.admission import Admission
from clawd.alarms import Alarms
from clawd.alerts.saying import AlertsInChat
from clawd.config.schema import AccessConfig, JournalConfig
from clawd.fanout import Fanout
from clawd.ids import SystemClock
from clawd.inbox import DurableInbox
from clawd.journal.opening import open_journal
from clawd.queries import Queries
from clawd.texts import catalogue
from tests.fakes.alert_desk import FakeDesk
from tests.fakes.bridge_context import bridge_context
from tests.fakes.gateway_site import Site, site
from tests.fakes.webhook_sender import SECRET, event, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clawd.messages import InboundMessage


async def _status(_language: str | None) -> str:
    return "all is well"


async def _usage(message: InboundMessage, language: str | None, *, whole: bool) -> str:
    return f"{message.sender.id} used nothing, {language}, {whole}"


@asynccontextmanager
async def daemon(state_dir: Path, **section: Any) -> AsyncIterator[tuple[Site, DurableInbox]]:
    """Gateway, webhook bridge, inbox and journal on this directory, until the block ends."""
    clock = SystemClock()
    config = WebhookConfig.model_validate({"secret": SECRET} | section)
    await asyncio.to_thread(catalogue, "en")  # read from a file the first time
    opened = await open_journal(state_dir, JournalConfig(), clock)
    try:
        access = Access(opened.store, clock)
        access.configure(AccessConfig(default="deny", rate="1000/min"), {"hook": config})
        await access.load()
        alerts = AlertsInChat(FakeDesk, clock, models=tuple, bridges=tuple)
        queries = Queries(status=_status, usage=_usage, alerts=alerts, prefixes=dict)
        admission = Admission(opened.journal, access, queries, clock, prefixes=dict)
        inbox = DurableInbox(
            opened.journal,
            admission,
            Fanout(),
            on_stop=lambda _turn: None,
            on_message=lambda _message: None,
            alarms=Alarms(),
        )
        admission.configure(AccessConfig(default="deny", rate="1000/min"))
        context = bridge_context("hook", clock=clock, version="1.2")
        bridge = WebhookBridge(context, config)
        async with site(state_dir, inbox=inbox, bridges={"hook": bridge}) as here:
            yield here, inbox
    finally:
        await opened.close()


async def post(here: Site, body: bytes, message_id: str = "msg_1") -> tuple[int, dict[str, Any]]:
    headers = signed(body, SystemClock().now(), message_id=message_id)
    return await here.call("POST", "/bridges/hook", token="", data=body, headers=headers)


async def test_an_accepted_message_is_a_duplicate_and_another_body_a_conflict_after_a_restart(
    state_dir: Path,
) -> None:
    async with daemon(state_dir) as (here, _):
        status, first = await post(here, event("hi"))
        assert status == 202
    async with daemon(state_dir) as (here, _):
        assert await post(here, event("hi")) == (200, first | {"status": "duplicate"})
        assert (await post(here, event("ho")))[0] == 409
        status, second = await post(here, event("hi"), "msg_2")
        assert (status, second["event"] != first["event"]) == (202, True)


async def test_twenty_at_once_are_one_row(state_dir: Path) -> None:
    async with daemon(state_dir) as (here, _):
        answers: list[tuple[int, dict[str, Any]]] = []

        async def send() -> None:
            answers.append(await post(here, event("hi")))

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(send())
        assert sorted(status for status, _ in answers) == [200] * 19 + [202]
        assert len({body["event"] for _, body in answers}) == 1


async def test_only_allowed_users_are_let_in(state_dir: Path) -> None:
    async with daemon(state_dir, allow=["u1"]) as (here, _):
        assert (await post(here, event(user={"id": "u1"}), "msg_1"))[0] == 202
        assert (await post(here, event(user={"id": "u2"}), "msg_2"))[0] == 403
        assert (await post(here, event(), "msg_3"))[0] == 403


async def test_a_long_text_is_taken_whole_over_http(state_dir: Path) -> None:
    async with daemon(state_dir) as (here, _):
        assert (await post(here, event("x" * 1_000_000)))[0] == 202


async def test_rest_and_webhook_messages_share_one_door(state_dir: Path) -> None:
    async with daemon(state_dir) as (here, _):
        key = {"Idempotency-Key": "k"}
        _, first = await here.call("POST", "/v1/messages", json={"text": "hi"}, headers=key)
        assert first["status"] == "queued"
    async with daemon(state_dir) as (here, _):
        again = await here.call("POST", "/v1/messages", json={"text": "hi"}, headers=key)
        assert again == (
            200,
            {"id": first["id"], "conversation": first["conversation"], "status": "duplicate"},
        )
