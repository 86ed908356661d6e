"""Apps over REST, and the callbacks that a message may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.config.callbacks import CallbacksConfig
from clawd.config.schema import AppConfig, GatewayConfig, JournalConfig, TokenConfig
from clawd.errors import NotPossible
from clawd.gateway.auth import TokenStore
from clawd.ids import SystemClock
from clawd.journal.opening import open_journal
from tests.fakes.gateway_site import site
from tests.fakes.webhook_receiver import SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.gateway_site import Site

SHOP, DESK, CHAT = (letter * 32 for letter in "sdc")
CONFIG = GatewayConfig(
    port=0,
    tokens=(TokenConfig(name="chat", token=Secret(CHAT)),),
    apps=(
        AppConfig(app_id="shop", token=Secret(SHOP)),
        AppConfig(app_id="desk", token=Secret(DESK), conversations="d-"),
    ),
)


def with_callbacks(**section: Any) -> GatewayConfig:
    given = {"secret": SECRET, "allow": ["https://hooks.example.com/in/"]} | section
    return CONFIG.model_copy(update={"callbacks": CallbacksConfig.model_validate(given)})


async def send(
    here: Site, token: str = CHAT, app: str | None = None, **body: str
) -> tuple[int, dict[str, Any]]:
    headers = {"X-App-Id": app} if app is not None else {}
    return await here.call("POST", "/v1/messages", token=token, headers=headers, json={"text": "hi", **body})


async def test_an_app_sends_and_reads_over_rest_as_over_streams(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        status, sent = await send(here, SHOP, "shop", conversation="order-1")
        assert status == 202
        (message,) = here.world.messages
        assert (message.address.account, message.sender.id) == ("shop", "shop")
        path, head = f"/v1/messages/{sent['id']}", {"X-App-Id": "shop"}
        assert (await here.call("GET", path, token=SHOP, headers=head))[0] == 200
        assert (await here.call("GET", path, token=CHAT))[0] == 404
        assert (await here.call("GET", path, token=DESK, headers={"X-App-Id": "desk"}))[0] == 404


@pytest.mark.parametrize(
    ("token", "app"), [(SHOP, None), (SHOP, "desk"), (CHAT, "chat"), (CHAT, "shop"), (SHOP, "nobody")]
)
async def test_id_and_token_of_an_app_only_count_together(
    state_dir: Path, token: str, app: str | None
) -> None:
    async with site(state_dir, config=CONFIG) as here:
        assert (await send(here, token, app))[0] == 401
        assert here.world.messages == []


async def test_an_app_is_no_operator(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        for path in ("/control/v1/status", "/control/v1/tokens"):
            status, _ = await here.call("GET", path, token=SHOP, headers={"X-App-Id": "shop"})
            assert status == 403


async def test_an_app_with_a_prefix_keeps_to_its_conversations(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        status, body = await send(here, DESK, "desk", conversation="else")
        assert (status, body["error"]["code"]) == (403, "foreign_conversation")
        assert (await send(here, DESK, "desk", conversation="d-1"))[0] == 202
        status, body = await send(here, DESK, "desk")
        assert body["conversation"].startswith("d-c-")


async def test_a_reload_ends_an_app_at_once(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        assert (await send(here, SHOP, "shop"))[0] == 202
        await here.gateway.configure(CONFIG.model_copy(update={"apps": CONFIG.apps[1:]}))
        assert (await send(here, SHOP, "shop"))[0] == 401


async def test_no_token_is_made_under_the_id_of_an_app_and_one_that_was_counts_no_more(
    state_dir: Path,
) -> None:
    opened = await open_journal(state_dir, JournalConfig(), SystemClock())
    try:
        tokens = TokenStore(state_dir, store=opened.store)
        await tokens.configure(CONFIG.tokens)
        value = await tokens.create("shop", scopes=("chat",))
        assert tokens.find(value)
        await tokens.configure(CONFIG.tokens, CONFIG.apps)
        assert tokens.find(value) is None, "its conversations are the app's"
        with pytest.raises(NotPossible, match="id of an app"):
            await tokens.create("desk", scopes=("chat",))
    finally:
        await opened.close()


async def test_a_callback_url_that_is_allowed_goes_with_the_message(state_dir: Path) -> None:
    async with site(state_dir, config=with_callbacks()) as here:
        assert (await send(here, callback_url="https://HOOKS.example.com:443/in/1?k=v"))[0] == 202
        assert here.world.messages[0].callback_url == "https://hooks.example.com/in/1?k=v"
        assert (await send(here, SHOP, "shop", callback_url="https://hooks.example.com/in/1"))[0] == 202


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://hooks.example.com/out", "not on the list"),
        ("http://hooks.example.com/in/1", "http://"),
        ("https://evil.example/in/", "not on the list"),
        ("nonsense", "expected a URL"),
        ("", "expected a URL"),
    ],
)
async def test_another_callback_url_is_refused_and_nothing_is_taken(
    state_dir: Path, url: str, says: str
) -> None:
    async with site(state_dir, config=with_callbacks()) as here:
        status, body = await send(here, callback_url=url)
        assert (status, body["error"]["code"]) == (403, "callback_not_allowed")
        assert says in body["error"]["message"]
        assert "gateway.callbacks" in body["error"]["try"]
        assert here.world.messages == []


async def test_callbacks_are_let_in_and_shut_out_by_a_reload(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        url = "https://hooks.example.com/in/1"
        assert (await send(here, callback_url=url))[0] == 403
        await here.gateway.configure(with_callbacks())
        assert (await send(here, callback_url=url))[0] == 202
