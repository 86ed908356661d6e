"""A daemon tells a collector what it did, and a collector can't harm it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from tests.crash.process import DaemonProcess
from tests.fakes.collector import CONTENT, Collector, Trouble
from tests.fakes.openai_api import FakeOpenAI, Reply, Seen
from tests.fakes.scraping import scrape
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.webhook_sender import SECRET, event, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOOL = {"id": "call_1", "name": "calculator", "arguments": '{"expression": "6 * 7"}'}
KEY = "a-key-of-the-collector"
LIBRARY = "_upb"
"""Of protobuf: mapped into a process once it is imported."""


def choose(seen: Seen) -> Reply:
    if seen.body["model"] == "broken":
        return Reply(status=503, error={"message": f"no room for {seen.last_user_text}"})
    if seen.body["messages"][-1]["role"] == "tool":
        return Reply(text=f"answer to {seen.last_user_text}")
    return Reply(tool_calls=[TOOL])


class Running:
    """A daemon whose first model always fails, whose second one calls a tool first, with a webhook bridge."""

    def __init__(self, home: Path) -> None:
        self.daemon = DaemonProcess(home)
        self.receiver = WebhookReceiver(CALLBACK_SECRET)
        self._session = aiohttp.ClientSession()
        self.url = ""

    async def start(self) -> None:
        await self.daemon.spawn()
        assert await self.daemon.ready(), self.daemon.tail()
        self.url = (await self.daemon.control("status"))["gateway"]

    async def ask(self, name: str) -> None:
        """Post a message, and return once its answer was delivered and all is quiet."""
        before = len(self.receiver.delivered)
        body = event(f"words of {name}", conversation=f"chat-of-{name}", user={"id": f"user-{name}"})
        head = signed(body, datetime.now(UTC), message_id=f"msg_{name}")
        async with self._session.post(f"{self.url}/bridges/hook", data=body, headers=head) as answer:
            assert answer.status == 202
        await self.receiver.wait_until(lambda: len(self.receiver.delivered) > before)
        await self.daemon.settled()

    async def counted(self, count: int) -> None:
        """Return once so many spans were sent since the start; it learns of that behind the collector."""
        async with asyncio.timeout(30):
            while ((await scrape(self.url)).value("clawd_otel_spans_total", outcome="sent") or 0) < count:
                await asyncio.sleep(0.05)

    def maps(self) -> str:
        """Return what is mapped into the daemon."""
        assert self.daemon.process is not None
        return Path(f"/proc/{self.daemon.process.pid}/maps").read_text(encoding="utf-8")

    async def stop(self) -> None:
        """End it by SIGTERM."""
        self.daemon.terminate()
        assert await self.daemon.dead() == 0, self.daemon.tail()

    async def __aenter__(self) -> Running:
        await self.receiver.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.daemon.kill()
        await self._session.close()
        await self.receiver.__aexit__(*error)


@asynccontextmanager
async def running(home: Path, otel: dict[str, Any] | None) -> AsyncIterator[Running]:
    async with FakeOpenAI(choose=choose) as model, Running(home) as here:
        models = [
            {
                "name": name,
                "type": "chat",
                "base_url": model.base_url,
                "model": f"{name}-large" if name == "main" else name,
            }
            for name in ("broken", "main")
        ]
        hook = {
            "type": "webhook",
            "secret": SECRET,
            "callback_url": here.receiver.url,
            "callback_secret": CALLBACK_SECRET,
            "allow": ["*"],
        }
        config = {
            "models": models,
            "routes": {"default": {"models": ["broken", "main"]}},
            "bridges": {"hook": hook},
            "gateway": {"port": 0},
            "logging": {"otel": otel} if otel is not None else {},
        }
        (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        await here.start()
        yield here


async def test_a_turn_with_a_failover_a_tool_and_a_delivery_is_told_also_over_a_kill(state_dir: Path) -> None:
    async with Collector() as collector:
        otel = {"endpoint": collector.url, "headers": {"X-Api-Key": KEY}}
        async with running(state_dir, otel) as here:
            await here.ask("ada")
            await collector.until(lambda: collector.named("clawd.delivery"))
            first = collector.judged()
            await here.daemon.kill()
            await here.start()
            await here.ask("bob")
            await collector.until(
                lambda: len({got.span.trace_id for got in collector.named("clawd.delivery")}) == 2
            )
            spans = collector.judged()  # what was told again is the same, to the byte
            assert LIBRARY in here.maps()
            await here.counted(15)
        assert {got.span.name for got in first} == {
            "invoke_agent clawd",
            "clawd.queue",
            "chat broken",
            "chat main-large",
            "execute_tool calculator",
            "clawd.delivery",
            "clawd.delivery.attempt",
        }
        assert len({got.span.trace_id for got in spans}) == 2
        # The model that failed rests meanwhile, so the second turn does not ask it.
        assert len(spans) == 2 * len(first) - 1
        failed = [got for got in first if got.failed]
        assert {(got.span.name, got.told["error.type"]) for got in failed} == {
            ("chat broken", "E-MODEL-DOWN")
        }
        assert {header["x-api-key"] for header in collector.headers} == {KEY}
        sent = b"".join(collector.bodies)
        for word in (
            KEY,
            SECRET,
            CALLBACK_SECRET,
            "words of",
            "answer to",
            "no room",
            "chat-of",
            "user-ada",
            "6 * 7",
        ):
            assert word.encode() not in sent, word
        assert not {key for got in spans for key in got.told} & CONTENT
        log = (state_dir / "state" / "clawd.log").read_text(encoding="utf-8")
        assert KEY not in log + here.daemon.tail(1000)


@pytest.mark.slow
async def test_a_collector_that_hangs_slows_no_turn_and_no_stop_and_is_told_later(state_dir: Path) -> None:
    async with Collector() as collector:
        collector.always = Trouble(kind="hang")
        async with running(state_dir, {"endpoint": collector.url}) as here:
            await here.ask("ada")
            await collector.until(lambda: collector.bodies)
            await here.ask("bob")
            loop = asyncio.get_running_loop()
            began = loop.time()
            await here.stop()
            assert loop.time() - began < 8, "less than the time that a request has"
            collector.always = None
            await here.start()
            await collector.until(lambda: len(collector.named("invoke_agent")) == 2)
            collector.judged()


@pytest.mark.slow
async def test_where_no_collector_is_set_nothing_of_it_is_imported(state_dir: Path) -> None:
    async with running(state_dir, None) as here:
        await here.ask("ada")
        assert LIBRARY not in here.maps()
