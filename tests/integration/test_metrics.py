"""`/metrics`: who may read it, and what a real daemon tells there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from clawd.client import Client
from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.observability.metrics import Family
from tests.crash.process import DaemonProcess
from tests.fakes.gateway_site import site
from tests.fakes.openai_api import FakeOpenAI, Reply

if TYPE_CHECKING:
    from pathlib import Path

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


async def test_a_daemon_tells_its_version_models_bridges_and_queue(state_dir: Path) -> None:
    async with FakeOpenAI(Reply(status=500), Reply(text="hello")) as api:
        here = DaemonProcess(state_dir)
        (state_dir / "config.yaml").write_text(
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
            client = Client([state_dir / "state" / "clawd.sock"])
            turn = (await asyncio.to_thread(client.post, "/messages", {"text": "hi"}))["id"]
            assert (await asyncio.to_thread(client.get, f"/turns/{turn}", wait=20))["state"] == "answered"
            while (status := await here.control("status"))["bridges"][0]["state"] != "connected":
                await asyncio.sleep(0.02)
            url = status["gateway"]
            async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as got:
                text = await got.text()
        finally:
            await here.kill()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = {
        (s.name, *sorted(s.labels.values())): s.value for family in families.values() for s in family.samples
    }
    assert samples[("clawd_bridge_up", "hook")] == 1
    assert samples[("clawd_budget_used_ratio", "", "day")] == 0  # the standby has no price
    assert samples[("clawd_queue_depth",)] == 0
    assert samples[("clawd_queue_oldest_age_seconds",)] == 0
    assert samples[("clawd_breaker_state", "main")] == 1  # it rests after its failure
    assert samples[("clawd_breaker_state", "standby")] == 0
    assert families["clawd_build_info"].samples[0].value == 1
    assert samples[("clawd_model_requests_total", "main", "unavailable")] == 1
    assert samples[("clawd_model_requests_total", "ok", "standby")] == 1
    assert samples[("clawd_model_switches_total", "main", "standby", "unavailable")] == 1
