"""Why a target of alerts was not reached, in words that say what to mend; and where a daemon shows them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp.abc import AbstractResolver

from clawd.alerts.calls import AlertCalls, address_of
from clawd.config.alerts import AlertTarget
from clawd.config.schema import NetworkConfig
from clawd.errors import DeliveryError
from clawd.ids import DeliveryId
from clawd.messages import OutboundMessage
from clawd.testing import ManualClock
from tests.crash.world import world
from tests.fakes.certificates import make_certificate
from tests.fakes.distribution import install_distribution
from tests.fakes.http_proxy import HttpProxy
from tests.fakes.shell import Shell
from tests.fakes.webhook_receiver import Fault, WebhookReceiver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class NoName(AbstractResolver):
    """Knows no name."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def close(self) -> None:
        """Nothing is held."""


async def refused(url: str, network: NetworkConfig | None = None) -> str:
    """Return what an attempt at this target is told as."""
    calls = AlertCalls(ManualClock(NOW), version="1", resolver=NoName)
    target = AlertTarget.model_validate({"allow_http": True, "url": url})
    calls.configure([target], network or NetworkConfig())
    message = OutboundMessage(
        id=DeliveryId("delivery:i-1"), address=address_of(url), text="{}", created_at=NOW
    )
    with pytest.raises(DeliveryError) as raised:
        await calls.send(message)
    return str(raised.value)


async def test_a_name_that_nobody_knows_is_told_as_that() -> None:
    assert await refused("https://alerts.example/hook?key=x") == (
        "the alert target alerts.example can't be reached (looking up its name failed: Name or service not known)"
    )


async def test_a_certificate_that_is_not_accepted_is_told_as_that(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told = await refused(f"https://{place}/hook")
    assert told.startswith(
        f"the alert target {place} can't be reached (its certificate is not accepted: self"
    )


async def test_a_proxy_that_refuses_is_told_as_that() -> None:
    async with HttpProxy("user:pass-word") as proxy:
        told = await refused("https://alerts.example/hook", NetworkConfig(proxy=proxy.url))
    assert told == "the alert target alerts.example can't be reached (the proxy says HTTP 407)"


async def test_a_connection_that_breaks_off_is_told_as_no_answer() -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(kind="reset"))
        place = receiver.url.split("/")[2]
        assert (await refused(receiver.url)).startswith(f"the alert target {place} gave no answer (")


async def test_a_receivers_own_words_are_kept_and_nothing_speaks_of_callbacks() -> None:
    async with WebhookReceiver() as receiver:
        place = receiver.url.split("/")[2]
        for status, did in ((400, "refused it"), (404, "did not take it"), (500, "failed")):
            receiver.fault(Fault(status=status))
            told = await refused(receiver.url)
            assert told.startswith(f"the alert target {place} {did} (HTTP {status}")
            assert "callback" not in told


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_url_that_is_not_reached_shows_in_the_status_until_it_is_no_target_any_more(
    state_dir: Path,
) -> None:
    site = state_dir / "site"
    site.mkdir()
    # It counts after three minutes; here at once.
    source = "from clawd.alerts import desk\nfrom dataclasses import replace\nfrom clawd.tools.calculator import PLUGIN as OTHER\n\ndesk.UNTOLD_S = 0.0\nPLUGIN = replace(OTHER, name='hasty')\n"
    install_distribution(
        site, "hasty", {"clawd.tools": {"hasty": "clawd_hasty:PLUGIN"}}, {"clawd_hasty": source}
    )
    url = "http://127.0.0.1:1/hook?key=recognisable"
    async with world(state_dir) as here:
        here.configure(bridges={}, alerts={"targets": [{"url": url}]})
        await here.start(environ={"PYTHONPATH": str(site)})
        clawd = Shell(state_dir)
        assert (await clawd("status", "--json")).json["untold"] == []
        await clawd("alerts", "test", "--timeout", "1")
        async with asyncio.timeout(30):
            while not (untold := (await here.control("status"))["untold"]):
                await asyncio.sleep(0.05)
        assert [(each["target"], each["why"]) for each in untold] == [
            (
                "http://127.0.0.1:1",
                "the alert target 127.0.0.1:1 can't be reached (connection refused)",
            )
        ]
        assert "not reached: http://127.0.0.1:1" in (await clawd("status")).out
        here.configure(bridges={}, alerts={"targets": []})
        assert (await clawd("reload")).code == 0
        assert (await here.control("status"))["untold"] == []
