"""A real Prometheus with the shipped scrape and rules, its times shortened, on a real daemon."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.fakes.openai_api import Reply
from tests.integration.test_metrics import daemon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PROMETHEUS = shutil.which("prometheus")
DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
PATIENCE_S = 60.0


def short_rules() -> str:
    """Return the rules for a test: seconds for minutes, and a failure of one."""
    rules, mark, rest = (DEPLOY / "rules.yaml").read_text().partition("      - alert: ClawdAbsent")
    rules, windows = re.subn(r"\[(5|30)m\]", "[20s]", rules)
    rules, waits = re.subn(r"for: (\d+m|30s)$", "for: 1s", rules, flags=re.MULTILINE)
    rules, least = re.subn(r">= 20", ">= 0.5", rules)
    assert (windows > 10, waits > 5, least) == (True, True, 4)
    return rules + mark + rest  # it is absent until the first scrape


class Prometheus:
    """A server that scrapes one daemon."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, **parameters: str) -> Any:
        try:
            async with self._session.get(f"/api/v1/{path}", params=parameters) as got:
                return (await got.json(content_type=None))["data"] if got.status == 200 else None
        except aiohttp.ClientError:
            return None  # it does not listen yet

    async def firing(self) -> set[str]:
        told = await self.get("alerts")
        return {alert["labels"]["alertname"] for alert in told["alerts"] if alert["state"] == "firing"}

    async def until(self, query: str, good: Callable[[float], bool]) -> None:
        """Return once the query gives such a number."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                told = await self.get("query", query=query)
                if told and told["result"] and good(float(told["result"][0]["value"][1])):
                    return
                await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(folder: Path, url: str) -> AsyncIterator[Prometheus]:
    assert PROMETHEUS is not None
    folder.mkdir()
    scrape = (DEPLOY / "prometheus.yaml").read_text()
    for shipped, here in (
        ("127.0.0.1:7373", url.removeprefix("http://")),
        ("/etc/prometheus/clawd.token", str(folder / "clawd.token")),
        ("_interval: 15s", "_interval: 250ms"),
    ):
        assert shipped in scrape
        scrape = scrape.replace(shipped, here)
    (folder / "prometheus.yaml").write_text(scrape)
    (folder / "rules.yaml").write_text(short_rules())
    (folder / "clawd.token").write_text("metrics-token")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "output.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            PROMETHEUS,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            stdout=output,
            stderr=output,
        )
    try:
        async with aiohttp.ClientSession(f"http://{address}") as session:
            yield Prometheus(session)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian: prometheus)")
async def test_prometheus_scrapes_a_daemon_and_its_alert_fires_when_the_model_fails(state_dir: Path) -> None:
    # The first answer is good, and from then on both models fail.
    replies = (Reply(text="fine"), *(Reply(status=500) for _ in range(40)))
    async with (
        daemon(state_dir, *replies) as here,
        prometheus(state_dir / "prometheus", here.url) as server,
    ):
        assert await here.ask() == "answered"
        await server.until('clawd_turns_total{outcome="answered"}', lambda number: number == 1)
        assert not await server.firing()
        assert await here.ask() == "failed"
        async with asyncio.timeout(PATIENCE_S):
            while not (firing := await server.firing()) >= {"ClawdErrorRate", "ClawdModelErrorRate"}:
                await asyncio.sleep(0.1)
    assert firing <= {"ClawdErrorRate", "ClawdModelErrorRate", "ClawdBreakerOpen"}
