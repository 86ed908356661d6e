"""`/metrics`: who may read it, and what a real daemon tells there."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from clawd.client import Client
from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.observability.metrics import Family
from clawd.observability.names import all_metrics
from clawd.testing import ManualClock
from tests.crash.process import DaemonProcess
from tests.fakes.gateway_site import site
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.fakes.scraping import Scrape, scrape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

PROMTOOL = shutil.which("promtool")
ANSWER = Family(name="clawd_answer", help="All of it.", kind="gauge", samples=[((), 42.0)])
WIDE = GatewayConfig(
    host="0.0.0.0",  # noqa: S104 - what is tested
    port=0,
    tokens=(
        TokenConfig(name="shop", token=Secret("chat-token")),
        TokenConfig(name="prometheus", token=Secret("metrics-token"), scopes=("metrics",)),
        TokenConfig(name="ops", token=Secret("admin-token"), scopes=("admin",)),
    ),
)


async def test_on_loopback_metrics_need_no_token_and_are_text_for_prometheus(state_dir: Path) -> None:
    async with site(state_dir) as here:
        here.metrics = [ANSWER]
        async with here.client.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as got:
            assert (got.status, got.headers["Content-Type"]) == (
                200,
                "text/plain; version=0.0.4; charset=utf-8",
            )
            assert (await got.text()).splitlines()[-1] == "clawd_answer 42.0"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_what_a_reverse_proxy_passes_on_needs_a_token(state_dir: Path, header: str) -> None:
    async with site(state_dir) as here:
        assert (await here.call("GET", "/metrics", token="", headers={header: "203.0.113.9"}))[0] == 401
        token = {"Authorization": f"Bearer {here.token}"}
        async with here.client.get("/metrics", headers={header: "203.0.113.9", **token}) as got:
            assert got.status == 200


async def test_a_public_name_needs_a_token_although_the_gateway_listens_on_loopback(state_dir: Path) -> None:
    config = GatewayConfig(port=0, hosts=("clawd.example.com",))
    async with site(state_dir, config=config) as here:
        public = {"Host": "clawd.example.com"}
        assert (await here.call("GET", "/metrics", token="", headers=public))[0] == 401
        for own in ("localhost", f"127.0.0.1:{here.port}", "[::1]"):
            async with here.client.get("/metrics", headers={"Host": own}) as got:
                assert got.status == 200


async def test_beyond_loopback_metrics_need_a_token_of_their_scope(state_dir: Path) -> None:
    async with site(state_dir, config=WIDE) as here:
        for token, status in (("", 401), ("wrong", 401), ("chat-token", 403)):
            assert (await here.call("GET", "/metrics", token=token))[0] == status
        for token in ("metrics-token", "admin-token"):
            async with here.client.get("/metrics", headers={"Authorization": f"Bearer {token}"}) as got:
                assert got.status == 200
        # … which opens nothing else.
        sent = await here.call("POST", "/v1/messages", token="metrics-token", json={"text": "hi"})
        assert sent[0] == 403
        assert here.world.messages == []


class Daemon:
    """A daemon with two models, of which the first fails at first, a bridge, a budget, and what it tells."""

    def __init__(self, process: DaemonProcess, url: str) -> None:
        self.process = process
        self.url = url
        self._client = Client([process.home / "state" / "clawd.sock"])

    async def ask(self, text: str = "hi") -> str:
        """Return the state that a turn ended in."""
        turn = (await asyncio.to_thread(self._client.post, "/messages", {"text": text}))["id"]
        return str((await asyncio.to_thread(self._client.get, f"/turns/{turn}", wait=20))["state"])

    async def told(self, name: str, value: float, **labels: str) -> Scrape:
        """Return the first scrape that says so; a reading may be a second old."""
        async with asyncio.timeout(30):
            while (seen := await scrape(self.url)).value(name, **labels) != value:
                await asyncio.sleep(0.05)
        return seen


@asynccontextmanager
async def daemon(home: Path, *replies: Reply) -> AsyncIterator[Daemon]:
    async with FakeOpenAI(*replies) as api:
        here = DaemonProcess(home)
        (home / "config.yaml").write_text(
            "gateway: {port: 0}\n"
            "models:\n"
            f"  - {{name: main, type: chat, base_url: '{api.base_url}', price: {{input: 1, output: 1}}}}\n"
            f"  - {{name: standby, type: chat, base_url: '{api.base_url}'}}\n"
            "budgets: {day_usd: 5}\n"
            "bridges: {hook: {type: webhook, secret: a-secret-that-nobody-guesses-x}}\n"
        )
        await here.spawn()
        assert await here.ready(), here.tail()
        try:
            while (status := await here.control("status"))["bridges"][0]["state"] != "connected":
                await asyncio.sleep(0.02)
            yield Daemon(here, status["gateway"])
        finally:
            await here.kill()


async def test_a_daemon_tells_every_metric_of_the_table_with_its_labels_and_nothing_else(
    state_dir: Path,
) -> None:
    calculation = {"id": "c1", "name": "calculator", "arguments": '{"expression": "6*7"}'}
    replies = (Reply(status=500), Reply(text="", tool_calls=[calculation]), Reply(text="42"))
    async with daemon(state_dir, *replies) as here:
        first = await scrape(here.url)
        # What is known is told before anything happened: a rate needs a first value.
        assert first.value("clawd_turns_total", outcome="failed") == 0
        assert first.value("clawd_messages_received_total", bridge="hook") == 0
        assert first.value("clawd_deliveries_total", bridge="hook", outcome="dead") == 0
        assert first.value("clawd_tool_calls_total", tool="calculator", outcome="error") == 0
        assert first.value("clawd_model_requests_total", model="standby", outcome="error") == 0
        route = {"route": "/v1/messages", "method": "POST"}
        assert first.value("clawd_http_requests_total", status="5xx", **route) == 0
        assert await here.ask("6*7?") == "answered"
        seen = await here.told("clawd_turns_total", 1, outcome="answered")
    assert seen.value("clawd_messages_received_total", bridge="terminal") == 1
    assert seen.value("clawd_turn_duration_seconds_count") == 1
    assert seen.value("clawd_tool_calls_total", tool="calculator", outcome="ok") == 1
    assert seen.value("clawd_bridge_up", bridge="hook") == 1
    assert seen.value("clawd_budget_used_ratio", budget="day", model="") == 0  # the standby has no price
    assert (seen.value("clawd_queue_depth"), seen.value("clawd_queue_oldest_age_seconds")) == (0, 0)
    assert seen.value("clawd_breaker_state", model="main") == 1  # it rests after its failure
    assert seen.value("clawd_model_requests_total", model="main", outcome="unavailable") == 1
    assert seen.value("clawd_model_requests_total", model="standby", outcome="ok") == 2
    labels = {"from_model": "main", "to_model": "standby", "reason": "unavailable"}
    assert seen.value("clawd_model_switches_total", **labels) == 1
    assert (seen.value("clawd_journal_commit_seconds_count") or 0) >= 4
    assert seen.value("clawd_alerts_firing", rule="error_rate") == 0
    assert (seen.value("clawd_journal_file_bytes", file="wal") or 0) > 0
    assert (seen.value("process_resident_memory_bytes") or 0) > 20e6
    assert abs((seen.value("process_start_time_seconds") or 0) - time.time()) < 300
    assert_is_the_table(seen)
    assert_promtool_is_content(seen.text)


def assert_is_the_table(seen: Scrape) -> None:
    told = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in seen.families.values()
    }
    table = all_metrics()
    assert set(told) == set(table)
    for name, family in told.items():
        metric = table[name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert family.samples, f"{name} has no sample"
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), name


def assert_promtool_is_content(text: str) -> None:
    if PROMTOOL is not None:
        checked = subprocess.run(
            [PROMTOOL, "check", "metrics"], input=text.encode(), capture_output=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_turns_are_answered_and_memory_stays_while_a_hundred_clients_scrape(state_dir: Path) -> None:
    async with daemon(state_dir, *(Reply(text="hello") for _ in range(3))) as here:
        assert await here.ask() == "answered"
        before = (await scrape(here.url)).value("process_resident_memory_bytes") or 0
        scraped, over = 0, asyncio.Event()

        async def storm(session: aiohttp.ClientSession) -> None:
            nonlocal scraped
            while not over.is_set():
                async with session.get(f"{here.url}/metrics") as got:
                    assert (got.status, (await got.read())[-1:]) == (200, b"\n")
                scraped += 1

        connector = aiohttp.TCPConnector(limit=100)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as clients:
            for _ in range(100):
                clients.create_task(storm(session))
            for _ in range(2):
                assert await here.ask() == "answered"
            over.set()
        after = await here.told("clawd_turns_total", 3, outcome="answered")
        assert scraped >= 100
        assert (after.value("process_resident_memory_bytes") or 0) - before < 30e6


async def test_all_scrapes_of_a_second_share_one_reading(state_dir: Path) -> None:
    clock, held, readings = ManualClock(), asyncio.Event(), 0

    async with site(state_dir, clock=clock) as here:

        async def read() -> Sequence[Family]:
            nonlocal readings
            readings += 1
            await held.wait()
            return [replace(ANSWER, samples=[((), float(readings))])]

        async def get() -> str:
            async with here.client.get("/metrics") as got:
                return (await got.text()).splitlines()[-1]

        here.reading = read
        async with asyncio.TaskGroup() as clients:
            waiting = [clients.create_task(get()) for _ in range(50)]
            while not readings:
                await asyncio.sleep(0)
            held.set()
        assert {task.result() for task in waiting} == {"clawd_answer 1.0"}
        await clock.advance(0.9)
        assert (await get(), readings) == ("clawd_answer 1.0", 1)
        await clock.advance(0.1)
        assert (await get(), readings) == ("clawd_answer 2.0", 2)
