"""Where a callback ends up: at the very address that was found good, or nowhere."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from clawd.config.schema import NetworkConfig
from clawd.errors import DeliveryRejected, DeliveryRetryLater
from clawd.ids import SystemClock
from clawd.webhooks.allowing import Destinations
from clawd.webhooks.sending import WebhookClient
from tests.fakes.webhook_receiver import WebhookReceiver


class _Names(AbstractResolver):
    """A name server that says something else each time it is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self.answers.pop(0)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


def client(names: _Names, *private: str) -> WebhookClient:
    allowed = Destinations(("*",), allow_http=True, allow_private=private)
    return WebhookClient(
        "api", NetworkConfig(), SystemClock(), allowed=allowed.may_reach, resolver=lambda: names
    )


def port_of(receiver: WebhookReceiver) -> int | None:
    return urlsplit(receiver.url).port


async def test_a_name_that_moves_into_a_private_network_is_not_followed_there() -> None:
    async with WebhookReceiver() as receiver:
        names = _Names("127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")
        url = f"http://rebinding.example:{port_of(receiver)}/"
        for _ in range(3):
            with pytest.raises(DeliveryRetryLater, match="not public"):
                await client(names).request("POST", url, {}, b"")
        assert receiver.calls == []


async def test_a_name_is_looked_up_once_and_the_call_goes_where_that_said() -> None:
    async with WebhookReceiver() as receiver:
        names = _Names("127.0.0.1", "192.0.2.1")
        url = f"http://box.lan:{port_of(receiver)}/in?key=1"
        answer = await client(names, "box.lan").request("POST", url, {}, b"{}")
        assert answer.status == 200
        assert names.asked == ["box.lan"]
        (call,) = receiver.calls
        assert call.headers["host"] == f"box.lan:{port_of(receiver)}"
        assert call.path == "/in?key=1"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
async def test_an_address_that_needs_no_lookup_is_checked_all_the_same(host: str) -> None:
    async with WebhookReceiver() as receiver:
        with pytest.raises(DeliveryRejected, match="private"):
            await client(_Names()).request("POST", f"http://{host}:{port_of(receiver)}/", {}, b"")
        assert receiver.calls == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001"])
async def test_a_number_that_some_take_for_an_address_reaches_nobody(host: str) -> None:
    async with WebhookReceiver() as receiver:
        with pytest.raises(DeliveryRejected, match="private"):
            await client(_Names("127.0.0.1")).request("POST", f"http://{host}:{port_of(receiver)}/", {}, b"")
        assert receiver.calls == []
