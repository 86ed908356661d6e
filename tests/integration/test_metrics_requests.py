"""Which answers of the gateway are counted, and that nobody outside can make up a label."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING

from tests.fakes.gateway_site import site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.gateway_site import Site


def counted(here: Site) -> dict[tuple[str, ...], float]:
    return {labels: number for labels, number in here.counts.requests.numbers().items() if number}


async def test_requests_are_counted_by_the_pattern_of_their_route(state_dir: Path) -> None:
    async with site(state_dir) as here:
        await here.call("GET", "/healthz")
        for name in ("a", "b", "c"):
            assert (await here.call("GET", f"/v1/messages/turn:{name}"))[0] == 404
        assert (await here.call("POST", "/v1/messages", token="wrong", json={"text": "hi"}))[0] == 401
        assert (await here.call("GET", "/control/v1/turns/turn:nobody"))[0] == 404
        assert counted(here) == {
            ("/healthz", "GET", "2xx"): 1,
            ("/v1/messages/{id}", "GET", "4xx"): 3,
            ("/v1/messages", "POST", "4xx"): 1,
            ("/control/v1/turns/{id}", "GET", "4xx"): 1,
        }


async def test_what_strangers_make_up_has_one_label(state_dir: Path) -> None:
    random.seed(7)
    async with site(state_dir) as here:
        for n in range(30):
            path = "/" + "".join(random.choices(string.printable[:62] + "/%7B%22", k=n + 1))
            await here.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for method in ("PROPFIND", "MKCOL", "PURGE", "MADEUP"):  # the last one is no HTTP at all
            await here.raw(f"{method} /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await here.raw(b'GET /v1/messages/"}{\\ HTTP/1.1\r\nHost: localhost\r\n\r\n')
        found = counted(here)
        assert len(found) <= 5, found
        assert {route for route, _, _ in found} <= {"other", "/v1/messages/{id}", "/"}
        assert {method for _, method, _ in found} == {"GET", "other"}
        assert sum(found.values()) >= 30


async def test_a_stream_is_counted_when_it_begins(state_dir: Path) -> None:
    async with site(state_dir) as here:
        token = {"Authorization": f"Bearer {here.token}"}
        async with here.client.get("/v1/events?conversation=c1", headers=token) as stream:
            assert stream.status == 200
            assert counted(here) == {("/v1/events", "GET", "2xx"): 1}
        async with here.client.ws_connect("/v1/ws", headers=token):
            assert counted(here)[("/v1/ws", "GET", "1xx")] == 1
