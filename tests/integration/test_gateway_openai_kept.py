"""Responses of the agent that wait for a person, and those that are ended or deleted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.gateway.openai_models import Offered
from clawd.gateway.openai_objects import Completion, ResponseDeleted, ResponseObject
from clawd.messages import Address
from clawd.testing import ScriptedModel
from tests.fakes.gateway_site import Site, site
from tests.fakes.routing import router_over

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from clawd.ids import TurnId

CHAT: dict[str, Any] = {"model": "clawd", "messages": [{"role": "user", "content": "clean up"}]}
ASK: dict[str, Any] = {"model": "clawd", "input": "clean up"}


def gateway(
    state_dir: Path, *, question_s: float = 20, config: GatewayConfig | None = None
) -> AbstractAsyncContextManager[Site]:
    offered = Offered(router=router_over(ScriptedModel(name="main")), models=("main",), routes=("default",))
    return site(state_dir, offered=offered, question_s=question_s, config=config)


async def asked(here: Site) -> TurnId:
    """Return the newest turn, once somebody waits for its end."""
    async with asyncio.timeout(30):
        while not here.world.turns or not here.world.fanout._by_address:
            await asyncio.sleep(0.005)
    return list(here.world.turns)[-1]


def streamed(here: Site, path: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {here.token}"}
    return here.client.post(path, json={**body, "stream": True}, headers=headers)


async def test_a_stream_says_at_once_that_a_person_is_asked_and_ends_with_the_question(
    state_dir: Path,
) -> None:
    async with (
        gateway(state_dir, question_s=0.2) as here,
        streamed(here, "/v1/chat/completions", CHAT) as got,
    ):
        turn = await asked(here)
        question = here.world.wait_for_person(turn, "rm -rf build")
        lines = [line.decode().strip() async for line in got.content]
        assert f": waiting for {question}" in lines
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
        assert "rm -rf build" in text
        assert f"/v1/approvals/{question}" in text
        assert f"/v1/messages/{turn}" in text
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["clawd"]["question"]["id"] == question
        assert lines[-2] == "data: [DONE]"
        # The turn waits on: it is answered over REST, and its end is there.
        assert not here.world.controls
        assert here.world.turns[turn].state == "waiting"


async def test_an_answer_that_does_not_stream_ends_with_the_question_too(state_dir: Path) -> None:
    async with gateway(state_dir, question_s=0.05) as here, asyncio.TaskGroup() as group:
        chat = group.create_task(here.call("POST", "/v1/chat/completions", json=CHAT))
        question = here.world.wait_for_person(await asked(here))
        status, body = await chat
        told = Completion.model_validate_json(json.dumps(body))
        assert (status, told.clawd.question is not None) == (200, True)
        response = group.create_task(here.call("POST", "/v1/responses", json=ASK))
        question = here.world.wait_for_person(await asked(here))
        status, body = await response
        ResponseObject.model_validate_json(json.dumps(body))
        assert (status, body["status"], body["incomplete_details"]) == (
            200,
            "incomplete",
            {"reason": "approval"},
        )
        assert body["clawd"]["question"]["id"] == question
        shown = await here.call("GET", f"/v1/responses/{body['id']}")
        assert shown[1]["status"] == "in_progress"


async def test_a_word_in_time_lets_the_answer_go_on(state_dir: Path) -> None:
    async with gateway(state_dir) as here, streamed(here, "/v1/responses", ASK) as got:
        turn = await asked(here)
        question = here.world.wait_for_person(turn)
        while not (line := await got.content.readline()).startswith(b": waiting"):
            assert line
        said = await here.call("POST", f"/v1/approvals/{question}", json={"answer": "approve"})
        assert said[0] == 200
        here.world.finish(turn, "Cleaned.")
        rest = (await got.content.read()).decode()
        assert "event: response.completed" in rest
        assert "Cleaned." in rest
        assert "approvals" not in rest


async def test_a_turn_that_waited_before_anybody_looked_is_told_too(state_dir: Path) -> None:
    """Under a key, a repeat follows the first one's turn."""
    async with gateway(state_dir, question_s=0.05) as here, asyncio.TaskGroup() as group:
        key = {"Idempotency-Key": "k"}
        first = group.create_task(here.call("POST", "/v1/chat/completions", json=CHAT, headers=key))
        here.world.wait_for_person(await asked(here))
        await first
        status, body = await here.call("POST", "/v1/chat/completions", json=CHAT, headers=key)
        assert (status, "question" in body["clawd"]) == (200, True)


async def test_a_response_is_ended(state_dir: Path) -> None:
    async with (
        gateway(state_dir) as here,
        streamed(here, "/v1/responses", ASK) as got,
        asyncio.TaskGroup() as group,
    ):
        turn = await asked(here)
        here.world.start(turn)
        name = f"resp_{turn.removeprefix('turn:')}"
        ending = group.create_task(here.call("POST", f"/v1/responses/{name}/cancel"))
        async with asyncio.timeout(10):
            while not here.world.controls:
                await asyncio.sleep(0.005)
        here.world.finish(turn, "Stopped.", "cancelled")
        status, body = await ending
        ResponseObject.model_validate_json(json.dumps(body))
        assert (status, body["status"], here.world.controls[0].turn) == (200, "cancelled", turn)
        await got.content.read()
        # Once more it says the same, and does nothing.
        assert (await here.call("POST", f"/v1/responses/{name}/cancel"))[0] == 200
        assert (await here.call("GET", f"/v1/responses/{name}"))[1]["status"] == "cancelled"
        assert len(here.world.controls) == 1


async def test_what_is_over_or_unknown_is_not_ended(state_dir: Path) -> None:
    async with gateway(state_dir) as here, asyncio.TaskGroup() as group:
        answer = group.create_task(here.call("POST", "/v1/responses", json=ASK))
        here.world.finish(await asked(here), "Done.")
        name = (await answer)[1]["id"]
        status, body = await here.call("POST", f"/v1/responses/{name}/cancel")
        assert (status, body["error"]["code"]) == (409, "turn_over")
        for path in ("/v1/responses/resp_x/cancel", "/v1/responses/resp_none-1-1/cancel"):
            assert (await here.call("POST", path))[0] == 404


async def test_a_response_is_deleted_with_its_conversation_unless_that_holds_more(state_dir: Path) -> None:
    async with gateway(state_dir) as here, asyncio.TaskGroup() as group:
        answer = group.create_task(here.call("POST", "/v1/responses", json=ASK))
        turn = await asked(here)
        name = f"resp_{turn.removeprefix('turn:')}"
        here.world.start(turn)
        status, body = await here.call("DELETE", f"/v1/responses/{name}")
        assert (status, body["error"]["code"]) == (409, "turn_open")
        here.world.finish(turn, "Done.")
        await answer
        here.world.finish(more := here.world.ask(here.world.turns[turn].conversation, "more"), "More.")
        status, body = await here.call("DELETE", f"/v1/responses/{name}")
        assert (status, body["error"]["code"]) == (409, "not_alone")
        del here.world.turns[more]
        status, body = await here.call("DELETE", f"/v1/responses/{name}")
        assert (status, ResponseDeleted.model_validate(body).id) == (200, name)
        assert here.world.calls == [("delete", str(here.world.turns[turn].conversation))]
        assert (await here.call("DELETE", "/v1/responses/resp_none-1-1"))[0] == 404


async def test_no_conversation_of_a_chat_and_none_with_a_past_is_deleted(state_dir: Path) -> None:
    async with gateway(state_dir) as here:
        for address in (
            Address(bridge="telegram", account="1", chat="2"),
            Address(bridge="api", account="default", chat="c1"),
        ):
            here.world.finish(turn := here.world.ask(address, "hi"), "Hello.")
            if (
                address.bridge == "api"
            ):  # what was said before it was forgotten, and what is known of that not
                view = here.world.turns[turn]
                here.world.turns[turn] = replace(view, seq=7)
            status, _ = await here.call("DELETE", f"/v1/responses/resp_{turn.removeprefix('turn:')}")
            assert status == (404 if address.bridge == "telegram" else 409)
        assert here.world.calls == []


@pytest.mark.parametrize(("method", "tail"), [("DELETE", ""), ("POST", "/cancel")])
async def test_nobody_changes_what_is_not_theirs(state_dir: Path, method: str, tail: str) -> None:
    tokens = (TokenConfig(name="shop", token=Secret("shop-secret"), scopes=("chat", "read")),)
    async with gateway(state_dir, config=GatewayConfig(port=0, tokens=tokens)) as here:
        turn = here.world.ask(Address(bridge="api", account="ops", chat="c1"), "hi")
        path = f"/v1/responses/resp_{turn.removeprefix('turn:')}"
        assert (await here.call("GET", path, token="shop-secret"))[0] == 200
        assert (await here.call(method, f"{path}{tail}", token="shop-secret"))[0] == 404
        assert (await here.call(method, f"{path}{tail}", token=""))[0] == 401
        assert (here.world.calls, here.world.controls) == ([], [])
