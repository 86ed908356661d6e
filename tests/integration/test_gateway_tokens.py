"""What tokens may do over REST, and the cancellation of a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.ids import TurnId
from tests.fakes.gateway_site import site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.gateway_site import Site

CHAT, OTHER, READ, ADMIN, NARROW, BOTH = (letter * 32 for letter in "coranb")
CONFIG = GatewayConfig(
    port=0,
    tokens=(
        TokenConfig(name="chat", token=Secret(CHAT)),
        TokenConfig(name="other", token=Secret(OTHER)),
        TokenConfig(name="read", token=Secret(READ), scopes=("read",)),
        TokenConfig(name="ops", token=Secret(ADMIN), scopes=("admin",)),
        TokenConfig(name="both", token=Secret(BOTH), scopes=("chat", "read")),
        TokenConfig(name="narrow", token=Secret(NARROW), conversations="shop-"),
    ),
)


async def send(here: Site, token: str = CHAT, **body: str) -> tuple[int, dict[str, Any]]:
    return await here.call("POST", "/v1/messages", token=token, json={"text": "hi", **body})


async def test_a_token_with_a_prefix_makes_and_sees_only_conversations_that_begin_so(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        status, body = await send(here, NARROW, conversation="else")
        assert (status, body["error"]["code"]) == (403, "foreign_conversation")
        assert (await send(here, NARROW, conversation="shop-1"))[0] == 202
        status, body = await send(here, NARROW)
        assert (status, body["conversation"][:7]) == (202, "shop-c-")
        assert (await here.call("GET", f"/v1/messages/{body['id']}", token=NARROW))[0] == 200
        assert [m.address.chat for m in here.world.messages] == ["shop-1", body["conversation"]]


async def test_the_scope_read_sees_every_turn_and_changes_none(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        _, sent = await send(here)
        path = f"/v1/messages/{sent['id']}"
        assert (await here.call("GET", path, token=READ))[0] == 200
        assert (await here.call("GET", path, token=OTHER))[0] == 404
        assert (await here.call("POST", f"{path}/cancel", token=READ))[0] == 403
        assert (await send(here, READ))[0] == 403
        assert (await here.call("GET", path, token=BOTH))[0] == 200
        assert (await here.call("POST", f"{path}/cancel", token=BOTH))[0] == 404
        assert here.world.controls == []


async def test_the_same_idempotency_key_of_another_token_is_another_message(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        answers = [
            await here.call(
                "POST", "/v1/messages", token=token, json={"text": "hi"}, headers={"Idempotency-Key": "k"}
            )
            for token in (CHAT, OTHER, CHAT)
        ]
        assert [status for status, _ in answers] == [202, 202, 200]
        assert answers[0][1]["id"] == answers[2][1]["id"] != answers[1][1]["id"]
        assert (await here.call("GET", f"/v1/messages/{answers[0][1]['id']}", token=OTHER))[0] == 404


async def test_a_cancel_is_a_control_for_that_turn_and_tells_how_it_stands(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        _, sent = await send(here)
        status, body = await here.call("POST", f"/v1/messages/{sent['id']}/cancel", token=CHAT)
        assert (status, body["id"], body["status"]) == (202, sent["id"], "queued")
        (control,) = here.world.controls
        assert (control.kind, control.turn, str(control.address)) == (
            "stop",
            sent["id"],
            f"api:chat:{sent['conversation']}",
        )


async def test_a_cancel_that_waits_tells_the_end(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        _, sent = await send(here)
        turn = TurnId(sent["id"])
        here.world.while_asking = lambda: here.world.finish(turn, "", "cancelled")
        status, body = await here.call("POST", f"/v1/messages/{turn}/cancel?wait=5", token=CHAT)
        assert (status, body["status"]) == (200, "cancelled")
        assert (await here.call("POST", f"/v1/messages/{turn}/cancel", token=CHAT))[0] == 409


async def test_others_turns_are_cancelled_by_an_admin_alone(state_dir: Path) -> None:
    async with site(state_dir, config=CONFIG) as here:
        _, sent = await send(here)
        path = f"/v1/messages/{sent['id']}/cancel"
        assert (await here.call("POST", path, token=OTHER))[0] == 404
        assert (await here.call("POST", "/v1/messages/turn:none-1-1/cancel", token=ADMIN))[0] == 404
        assert here.world.controls == []
        assert (await here.call("POST", path, token=ADMIN))[0] == 202
