"""Who may open a socket of the gateway, and what each token sees there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from clawd.config.base import Secret
from clawd.config.schema import AppConfig, GatewayConfig, JournalConfig, TokenConfig
from clawd.gateway.auth import TokenStore
from clawd.gateway.places import StreamTimes
from clawd.ids import SystemClock, TurnId
from clawd.journal.opening import open_journal
from clawd.journal.reading import BEGINNING
from clawd.messages import Address
from tests.fakes.gateway_site import site
from tests.fakes.gateway_socket import Talk, talk
from tests.fakes.loop_clock import jump

if TYPE_CHECKING:
    from pathlib import Path


async def sent(there: Talk, text: str, *, key: str = "m1", conversation: str = "c1", **more: Any) -> TurnId:
    """Send a message; return its turn."""
    await there.say("send", id=key, conversation=conversation, text=text, **more)
    accepted = (await there.until("accepted"))[-1]
    assert accepted["ref"] == key
    return TurnId(accepted["turn"])


APPS = GatewayConfig(
    port=0,
    tokens=(
        TokenConfig(name="one", token=Secret("first-secret")),
        TokenConfig(name="scrape", token=Secret("other-secret"), scopes=("metrics",)),
    ),
    apps=(
        AppConfig(app_id="shop", token=Secret("shop-secret"), origins=("https://shop.example",)),
        AppConfig(app_id="desk", token=Secret("desk-secret"), origins=("https://desk.example",)),
    ),
)


async def test_the_first_frame_may_say_who_it_is(state_dir: Path) -> None:
    async with site(state_dir, config=APPS) as here:
        async with talk(here.port, None) as there:
            assert await there.asked("auth", id="1", token="first-secret") == {
                "type": "accepted",
                "ref": "1",
                "account": "one",
            }
            await sent(there, "hi")
            assert (await there.asked("auth", token="first-secret"))["code"] == "bad_frame"
        async with talk(here.port, None) as there:
            assert (await there.asked("ping"))["type"] == "pong"
            refused = await there.asked("send", id="1", conversation="c1", text="hi")
            assert (refused["code"], refused["ref"]) == ("unauthorized", "1")
            assert await there.closed() == (1008, "not let in")
        assert [str(message.address) for message in here.world.messages] == ["api:one:c1"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": "wrong"}, "unauthorized"),
        ({"token": "shop-secret"}, "unauthorized"),
        ({"app_id": "shop", "token": "desk-secret"}, "unauthorized"),
        ({"app_id": "none", "token": "shop-secret"}, "unauthorized"),
        ({"app_id": "one", "token": "first-secret"}, "unauthorized"),
        ({"token": "other-secret"}, "forbidden"),
    ],
)
async def test_who_is_not_let_in_is_told_and_closed(
    state_dir: Path, fields: dict[str, str], code: str
) -> None:
    async with site(state_dir, config=APPS) as here, talk(here.port, None) as there:
        assert (await there.asked("auth", **fields))["code"] == code
        assert await there.closed() == (1008, "not let in")


async def test_who_says_nothing_is_closed_in_time(state_dir: Path) -> None:
    async with site(state_dir) as here:
        async with talk(here.port, None) as there:
            await there.asked("ping")
            jump(StreamTimes().auth_s + 1)
            assert await there.closed() == (1008, "no frame auth came in time")
        async with talk(here.port, None) as there:
            await there.asked("auth", token=here.token)
            jump(StreamTimes().auth_s + 1)
            assert (await there.asked("ping"))["type"] == "pong"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer shop-secret"}, 401),
        ({"X-App-Id": "shop"}, 401),
        ({"X-App-Id": "shop", "Authorization": "Bearer first-secret"}, 401),
        ({"Authorization": "Bearer other-secret"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://shop.example.evil.example"}, 403),
        ({"Origin": "https://desk.example", "X-App-Id": "shop", "Authorization": "Bearer shop-secret"}, 403),
        ({"Origin": "https://shop.example", "Authorization": "Bearer first-secret"}, 403),
    ],
)
async def test_who_is_not_let_in_by_headers_is_refused_before_the_upgrade(
    state_dir: Path, headers: dict[str, str], status: int
) -> None:
    async with site(state_dir, config=APPS) as here:
        with pytest.raises(InvalidStatus) as refused:
            async with talk(here.port, None, headers=headers):
                pass
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body)["error"]["message"]


async def test_an_app_speaks_from_its_own_pages_in_its_own_conversations(state_dir: Path) -> None:
    async with site(state_dir, config=APPS) as here:
        async with talk(here.port, None, headers={"Origin": "https://shop.example"}) as there:
            told = await there.asked("auth", app_id="shop", token="shop-secret")
            assert told["account"] == "shop"
            await sent(there, "hi")
        async with talk(here.port, "desk-secret", app="desk") as there:
            await sent(there, "hi")
        assert [str(message.address) for message in here.world.messages] == ["api:shop:c1", "api:desk:c1"]
        assert [message.sender.id for message in here.world.messages] == ["shop", "desk"]
        async with talk(here.port, None, headers={"Origin": "https://desk.example"}) as there:
            assert (await there.asked("auth", app_id="shop", token="shop-secret"))["code"] == "foreign_origin"
            assert await there.closed() == (1008, "not let in")
        status, _, _ = await here.raw(
            b"GET /v1/messages/x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://shop.example\r\n\r\n"
        )
        assert status == 403  # only the streams are open to its pages


async def test_a_conversation_of_another_is_not_shown(state_dir: Path) -> None:
    async with site(state_dir, config=APPS) as here:
        turn = here.world.ask(Address(bridge="api", account="shop", chat="c1"), "secret")
        async with talk(here.port, "first-secret") as there:
            assert (await there.asked("subscribe", conversation="c1", after=BEGINNING))["type"] == "accepted"
            assert (await there.asked("cancel", conversation="c1", turn=turn))["code"] == "not_found"


async def test_a_token_that_is_withdrawn_ends_its_sockets(state_dir: Path) -> None:
    async with (
        site(state_dir, config=APPS) as here,
        talk(here.port, "first-secret") as one,
        talk(here.port, "shop-secret", app="shop") as shop,
        talk(here.port, "desk-secret", app="desk") as desk,
    ):
        left = (AppConfig(app_id="shop", token=Secret("new")), APPS.apps[1])
        await here.gateway.configure(APPS.model_copy(update={"tokens": APPS.tokens[1:], "apps": left}))
        assert await one.closed() == await shop.closed() == (1008, "the token is no longer valid")
        assert (await desk.asked("ping"))["type"] == "pong"


async def test_a_created_token_that_is_revoked_or_ends_closes_the_socket_that_named_it(
    state_dir: Path,
) -> None:
    opened = await open_journal(state_dir / "state", JournalConfig(), SystemClock())
    tokens = TokenStore(state_dir, store=opened.store)
    try:
        async with site(state_dir, config=APPS, tokens=tokens) as here:
            soon = datetime.now(UTC) + timedelta(minutes=10)
            revoked = await tokens.create("phone", scopes=["chat"])
            ending = await tokens.create("guest", scopes=["chat"], expires_at=soon)
            async with talk(here.port, None) as phone, talk(here.port, None) as guest:
                assert (await phone.asked("auth", token=revoked))["account"] == "phone"
                assert (await guest.asked("auth", token=ending))["account"] == "guest"
                await tokens.revoke("phone")
                assert await phone.closed() == (1008, "the token is no longer valid")
                jump(600)
                assert await guest.closed() == (1008, "the token is no longer valid")
    finally:
        await opened.close()


async def test_a_token_keeps_to_its_conversations_and_its_day_on_a_socket_too(state_dir: Path) -> None:
    mine = TokenConfig(name="t", token=Secret("secret-of-t"), conversations="p-", day=1)
    config = GatewayConfig(port=0, tokens=(mine,))
    async with site(state_dir, config=config) as here, talk(here.port, "secret-of-t") as there:
        for kind, more in (("subscribe", {}), ("send", {"text": "hi"})):
            refused = await there.asked(kind, id="x", conversation="q-1", **more)
            assert (refused["type"], refused["code"]) == ("error", "foreign_conversation")
        await sent(there, "hi", conversation="p-1")
        again = await there.asked("send", id="m1", conversation="p-1", text="hi")
        assert again["code"] == "quota_exceeded"
        async with here.client.get(
            "/v1/events", params={"conversation": "q-1"}, headers={"Authorization": "Bearer secret-of-t"}
        ) as response:
            assert response.status == 403
