"""Server-sent events of the gateway: what is shown, how a client resumes, who is let in."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from clawd.config.base import Secret
from clawd.config.schema import AppConfig, GatewayConfig
from clawd.fanout import Delta
from clawd.gateway.places import StreamTimes
from clawd.journal.reading import BEGINNING
from clawd.messages import Address
from tests.fakes.gateway_site import Site, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

MINE = Address(bridge="api", account="default", chat="c1")


class Events:
    """A stream of events, read as a browser does."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> dict[str, Any]:
        """Return the next event's data; `event` and `data` have to agree."""
        kind = data = line = ""
        async with asyncio.timeout(30):
            while not data or line != "\n":
                line = (await self.response.content.readline()).decode()
                assert line
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    data = value
                elif name == "id":
                    self.last_id = value
        frame: dict[str, Any] = json.loads(data)
        assert frame["type"] == kind
        return frame


@asynccontextmanager
async def events(here: Site, query: str = "conversation=c1", **headers: str) -> AsyncIterator[Events]:
    bearer = {"Authorization": f"Bearer {here.token}"}
    async with here.client.get(f"/v1/events?{query}", headers={**bearer, **headers}) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Events(response)


async def test_a_turn_is_seen_and_resumed_behind_the_last_event(state_dir: Path) -> None:
    async with site(state_dir) as here:
        async with events(here) as stream:
            assert await stream.next() == {"type": "accepted", "conversation": "c1", "cursor": BEGINNING}
            turn = here.world.ask(MINE, "hi")
            assert (await stream.next())["text"] == "hi"
            here.world.start(turn)
            here.world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=0, text="你\n好"))
            assert [(await stream.next())["type"] for _ in range(2)] == ["snapshot", "delta"]
            after = stream.last_id
        here.world.finish(turn, "hello")
        for query, headers in (
            ("conversation=c1", {"Last-Event-ID": after}),
            (f"conversation=c1&after={after}", {}),
            (f"conversation=c1&after={BEGINNING}", {"Last-Event-ID": after}),  # a browser that connects again
        ):
            async with events(here, query, **headers) as stream:
                assert (await stream.next())["type"] == "accepted"
                done = await stream.next()
                assert (done["type"], done["text"], done["cursor"]) == ("done", "hello", stream.last_id)


async def test_what_makes_no_sense_is_refused_before_the_stream(state_dir: Path) -> None:
    async with site(state_dir) as here:
        here.world.bad_cursors.add("zz")
        for query, status, code in (
            ("", 400, "bad_request"),
            ("?conversation=a%20b", 400, "bad_request"),
            ("?conversation=c1&after=zz", 400, "bad_cursor"),
        ):
            told = await here.call("GET", f"/v1/events{query}")
            assert (told[0], told[1]["error"]["code"]) == (status, code)
        assert (await here.call("GET", "/v1/events?conversation=c1", token=""))[0] == 401
        assert (await here.call("GET", "/v1/events?conversation=c1", token="wrong"))[0] == 401
        assert (await here.call("POST", "/v1/events?conversation=c1"))[0] == 405


async def test_streams_share_the_limit_of_sockets_and_end_with_clawd(state_dir: Path) -> None:
    one = GatewayConfig(port=0, max_sockets=1)
    async with site(state_dir, config=one) as here, events(here) as stream:
        await stream.next()
        status, body = await here.call("GET", "/v1/events?conversation=c1")
        assert (status, body["error"]["code"]) == (503, "too_many_streams")
        await here.gateway.stop()
        assert await stream.response.content.read() == b""


async def test_an_app_reads_its_own_and_a_withdrawn_token_ends_the_stream(state_dir: Path) -> None:
    shop = GatewayConfig(port=0, apps=(AppConfig(app_id="shop", token=Secret("shop-secret")),))
    async with site(state_dir, config=shop) as here:
        turn = here.world.ask(Address(bridge="api", account="shop", chat="c1"), "mine")
        bearer = {"Authorization": "Bearer shop-secret", "X-App-Id": "shop"}
        async with events(here, f"conversation=c1&after={BEGINNING}", **bearer) as stream:
            await stream.next()
            assert (await stream.next())["turn"] == turn
            await here.gateway.configure(shop.model_copy(update={"apps": ()}))
            assert await stream.response.content.read() == b""


async def test_a_silent_stream_shows_that_it_lives(state_dir: Path) -> None:
    async with site(state_dir, stream_times=StreamTimes(comment_s=0.02)) as here, events(here) as stream:
        await stream.next()
        assert [await stream.response.content.readline() for _ in range(3)] == [
            b": ping\n",
            b"\n",
            b": ping\n",
        ]
        here.world.ask(MINE, "hi")
        assert (await stream.next())["text"] == "hi"
