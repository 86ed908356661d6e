"""Reading conversations over REST: a token's own, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.gateway.answers import ConversationList, Messages
from clawd.journal.reading import BEGINNING
from clawd.messages import Address
from tests.fakes.gateway_site import site

if TYPE_CHECKING:
    from pathlib import Path

SHOP = GatewayConfig(
    port=0,
    tokens=(
        TokenConfig(name="shop", token=Secret("shop-secret"), scopes=("chat",)),
        TokenConfig(name="held", token=Secret("held-secret"), scopes=("read",), conversations="a-"),
        TokenConfig(name="meter", token=Secret("meter-secret"), scopes=("metrics",)),
    ),
)


def at(chat: str, account: str = "shop") -> Address:
    return Address(bridge="api", account=account, chat=chat)


async def test_a_token_sees_its_own_conversations(state_dir: Path) -> None:
    async with site(state_dir, config=SHOP) as here:
        here.world.ask(at("a-1"), "one")
        here.world.ask(at("b-1"), "two")
        for name in ("a-1", "b-1"):
            here.world.ask(at(name, "held"), "three")
        here.world.ask(Address(bridge="telegram", account="1", chat="a-1"), "four")
        for token, names in (("shop-secret", {"a-1", "b-1"}), ("held-secret", {"a-1"})):
            status, body = await here.call("GET", "/v1/conversations", token=token)
            assert status == 200
            told = ConversationList.model_validate(body).conversations
            assert {conversation.id for conversation in told} == names
        assert (
            len(
                (await here.call("GET", "/v1/conversations?limit=1", token="shop-secret"))[1]["conversations"]
            )
            == 1
        )
        for token, status in (("", 401), ("wrong", 401), ("meter-secret", 403)):
            assert (await here.call("GET", "/v1/conversations", token=token))[0] == status
            assert (await here.call("GET", "/v1/conversations/a-1/messages", token=token))[0] == status


async def test_messages_are_read_behind_a_cursor_with_none_missing_and_none_twice(state_dir: Path) -> None:
    async with site(state_dir, config=SHOP) as here:
        for number in range(3):
            here.world.finish(here.world.ask(at("a-1"), f"q{number}"), f"a{number}")
        read, cursor = [], BEGINNING
        while True:
            path = f"/v1/conversations/a-1/messages?after={cursor}&limit=2"
            _, body = await here.call("GET", path, token="shop-secret")
            page = Messages.model_validate(body)
            if not page.messages:
                break
            assert page.cursor is not None
            read += page.messages
            cursor = page.cursor
        assert [line.text for line in read] == ["q0", "a0", "q1", "a1", "q2", "a2"]
        assert [line.type for line in read[:2]] == ["message", "done"]
        _, body = await here.call("GET", "/v1/conversations/a-1/messages?limit=1", token="shop-secret")
        assert [line["text"] for line in body["messages"]] == ["a2"]
        _, body = await here.call("GET", "/v1/conversations/new/messages", token="shop-secret")
        assert body == {"messages": [], "cursor": None}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/conversations?limit=0", 400, "bad_request"),
        ("/v1/conversations?limit=201", 400, "bad_request"),
        ("/v1/conversations?limit=ten", 400, "bad_request"),
        ("/v1/conversations?limit=²", 400, "bad_request"),
        ("/v1/conversations/a%20b/messages", 404, "not_found"),
        (f"/v1/conversations/{'x' * 129}/messages", 404, "not_found"),
        ("/v1/conversations/a-1/messages?after=zz", 400, "bad_cursor"),
        ("/v1/conversations/b-1/messages", 404, "not_found"),
    ],
)
async def test_what_can_not_be_read_is_told(state_dir: Path, path: str, status: int, code: str) -> None:
    async with site(state_dir, config=SHOP) as here:
        here.world.bad_cursors.add("zz")
        told = await here.call("GET", path, token="held-secret")
        assert (told[0], told[1]["error"]["code"]) == (status, code)
