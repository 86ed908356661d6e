"""The agent asked by OpenAI's clients: what is accepted, what streams, and what becomes of it when they hang up."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.fanout import Delta, Reset
from clawd.gateway.openai_models import Offered
from clawd.ids import TurnId
from clawd.messages import Earlier
from clawd.testing import ScriptedModel
from tests.fakes.gateway_site import Site, site
from tests.fakes.routing import router_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import aiohttp

PATH = "/v1/chat/completions"
HI: dict[str, Any] = {"model": "clawd", "messages": [{"role": "user", "content": "hi"}]}


def gateway(state_dir: Path, *, keepalive_s: float = 15) -> AbstractAsyncContextManager[Site]:
    offered = Offered(router=router_over(ScriptedModel(name="main")), models=("main",), routes=("default",))
    return site(state_dir, offered=offered, keepalive_s=keepalive_s)


async def asked(here: Site, count: int = 1) -> TurnId:
    """Return the turn of message number `count`, once somebody waits for its end."""
    async with asyncio.timeout(30):
        while len(here.world.turns) < count or not here.world.fanout._by_address:
            await asyncio.sleep(0.005)
    return list(here.world.turns)[count - 1]


def say(here: Site, turn: TurnId, text: str, offset: int) -> None:
    address = here.world.turns[turn].conversation
    here.world.fanout.publish(address, Delta(turn=turn, attempt=1, offset=offset, text=text))


async def post(here: Site, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    return await here.call("POST", PATH, json=body, headers=headers)


class Stream:
    """A streamed answer as its client reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.values: list[dict[str, Any]] = []
        self.text = ""

    async def _lines(self) -> AsyncIterator[str]:
        async for line in self.response.content:
            if line.startswith(b"data: "):
                yield line.decode().removeprefix("data: ").strip()

    async def until(self, text: str | None) -> None:
        """Read on until the text so far is this; None: to the end."""
        async for line in self._lines():
            if line == "[DONE]":
                return
            self.values.append(json.loads(line))
            for choice in self.values[-1].get("choices", ()):
                self.text += choice["delta"].get("content") or ""
            if text is not None and self.text == text:
                return


def stream(here: Site, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {here.token}"}
    return here.client.post(PATH, json={**body, "stream": True}, headers=headers)


async def test_the_answer_is_that_of_a_turn_whose_context_is_what_was_said_before(state_dir: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    async with gateway(state_dir) as here, asyncio.TaskGroup() as group:
        answer = group.create_task(post(here, {**HI, "messages": messages, "user": "u1", "temperature": 1}))
        turn = await asked(here)
        here.world.finish(turn, "2")
        status, body = await answer
        assert (status, body["choices"][0]["message"]["content"]) == (200, "2")
        assert body["id"] == f"chatcmpl-{turn.removeprefix('turn:')}"
        [message] = here.world.messages
        assert (message.text, message.sender.id, message.address.account) == ("two", "default", "default")
        assert message.context == (
            Earlier(role="system", text="Be brief."),
            Earlier(role="user", text="one"),
            Earlier(role="assistant", text="1"),
        )


async def test_requests_without_a_conversation_never_meet(state_dir: Path) -> None:
    async with gateway(state_dir) as here, asyncio.TaskGroup() as group:
        for number in (1, 2):
            group.create_task(post(here, HI))
            here.world.finish(await asked(here, number), "Hello.")
        assert len({message.address for message in here.world.messages}) == 2


@pytest.mark.parametrize("by", ["header", "metadata"])
async def test_in_a_conversation_only_the_last_message_is_taken(state_dir: Path, by: str) -> None:
    messages = [{"role": "user", "content": "one"}, *HI["messages"]]
    body, headers = {**HI, "messages": messages}, {}
    if by == "header":
        headers["X-Conversation-Id"] = "c1"
    else:
        body["metadata"] = {"conversation_id": "c1"}
    async with gateway(state_dir) as here, asyncio.TaskGroup() as group:
        group.create_task(post(here, body, **headers))
        here.world.finish(await asked(here), "Hello.")
        [message] = here.world.messages
        assert (message.address.chat, message.text, message.context) == ("c1", "hi", None)


async def test_text_streams_while_it_is_made(state_dir: Path) -> None:
    async with gateway(state_dir) as here, stream(here, HI) as response:
        turn, reader = await asked(here), Stream(response)
        here.world.start(turn)
        say(here, turn, "Hel", 0)
        await reader.until("Hel")
        say(here, turn, "lo.", 3)
        here.world.finish(turn, "Hello.")
        await reader.until(None)
        assert reader.text == "Hello."
        assert reader.values[0]["choices"][0]["delta"]["role"] == "assistant"
        assert reader.values[-1]["choices"][0]["finish_reason"] == "stop"


async def test_text_that_was_taken_back_is_followed_by_a_note_and_the_new_one(state_dir: Path) -> None:
    async with gateway(state_dir) as here, stream(here, HI) as response:
        turn, reader = await asked(here), Stream(response)
        here.world.start(turn)
        say(here, turn, "Wrong", 0)
        await reader.until("Wrong")
        address = here.world.turns[turn].conversation
        here.world.fanout.publish(address, Reset(turn=turn, attempt=2, reason="spare: E-MODEL-DOWN"))
        say(here, turn, "Right.", 0)
        here.world.finish(turn, "Right.")
        await reader.until(None)
        assert reader.text == "Wrong\n\n[The answer broke off here and begins anew.]\n\nRight."


async def test_events_that_were_lost_leave_no_gap(state_dir: Path) -> None:
    async with gateway(state_dir) as here, stream(here, HI) as response:
        turn, reader = await asked(here), Stream(response)
        here.world.start(turn)
        for number in range(3000):  # more than a subscription holds, without letting anybody run
            say(here, turn, f"{number} ", sum(len(f"{n} ") for n in range(number)) if number < 3 else -1)
        whole = "".join(f"{number} " for number in range(3000))
        here.world.finish(turn, whole)
        await reader.until(None)
        assert reader.text == whole


async def test_a_failed_turn_is_an_error_that_no_client_repeats(state_dir: Path) -> None:
    async with gateway(state_dir) as here, asyncio.TaskGroup() as group:
        answer = group.create_task(post(here, HI))
        here.world.finish(await asked(here), "No model answers.", "failed")
        status, body = await answer
        assert (status, body["error"]["code"]) == (502, "turn_failed")
        assert body["error"]["message"].startswith("No model answers.")


async def test_a_command_is_answered_at_once(state_dir: Path) -> None:
    status_of = {**HI, "messages": [{"role": "user", "content": "/status"}]}
    async with gateway(state_dir) as here:
        status, body = await post(here, status_of)
        assert (status, body["choices"][0]["message"]["content"]) == (200, "all is well")


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_client_that_hangs_up_stops_the_turn_that_only_it_could_read(
    state_dir: Path, *, streaming: bool
) -> None:
    async with gateway(state_dir) as here:
        await hang_up(here, {**HI, "stream": streaming})
        async with asyncio.timeout(30):
            while not here.world.controls:
                await asyncio.sleep(0.005)
        [control] = here.world.controls
        assert (control.kind, control.turn) == ("stop", next(iter(here.world.turns)))


@pytest.mark.parametrize("headers", [{"X-Conversation-Id": "c1"}, {"Idempotency-Key": "k1"}])
async def test_a_client_that_hangs_up_and_may_come_back_stops_nothing(
    state_dir: Path, headers: dict[str, str]
) -> None:
    async with gateway(state_dir) as here:
        await hang_up(here, {**HI, "stream": True}, **headers)
        async with asyncio.timeout(30):
            while here.world.fanout._by_address:  # it is still waited for
                await asyncio.sleep(0.005)
        assert here.world.controls == []


async def hang_up(here: Site, body: dict[str, Any], **headers: str) -> None:
    """Ask, and break the connection once the turn is waited for."""
    raw = json.dumps(body).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", here.port)
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {here.token}\r\n{more}"
        f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
        + raw
    )
    await asked(here)
    writer.transport.abort()


async def test_a_repeat_under_one_key_follows_the_first_turn(state_dir: Path) -> None:
    async with gateway(state_dir) as here, asyncio.TaskGroup() as group:
        key = {"Idempotency-Key": "k1"}
        first = group.create_task(post(here, HI, **key))
        turn = await asked(here)
        second = group.create_task(post(here, HI, **key))
        other = {**HI, "messages": [{"role": "user", "content": "other"}]}
        assert (await post(here, other, **key))[0] == 409
        here.world.finish(turn, "Hello.")
        assert (await first)[1]["id"] == (await second)[1]["id"]
        assert len(here.world.turns) == 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 200_001}, *HI["messages"]]}, "messages"),
        ({"metadata": {"conversation_id": "a b"}}, "metadata.conversation_id"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a"}}],
                    }
                ]
            },
            "messages[0].content[0].image_url",
        ),
    ],
)
async def test_what_the_agent_does_not_take_is_refused_before_anything_is_kept(
    state_dir: Path, change: dict[str, Any], param: str | None
) -> None:
    async with gateway(state_dir) as here:
        status, body = await post(here, {**HI, **change})
        assert (status, body["error"]["param"]) == (400, param)
        assert here.world.messages == []


@pytest.mark.parametrize("model", ["clawd", "main"])
async def test_a_token_is_held_to_its_conversations(state_dir: Path, model: str) -> None:
    held = TokenConfig(
        name="shop", token=Secret("a-token-of-the-shop"), conversations="shop-", scopes=("chat",)
    )
    offered = Offered(router=router_over(ScriptedModel(name="main")), models=("main",), routes=("default",))
    async with (
        site(state_dir, config=GatewayConfig(port=0, tokens=(held,)), offered=offered) as here,
        asyncio.TaskGroup() as group,
    ):
        body, token = {**HI, "model": model}, "a-token-of-the-shop"
        foreign = {**body, "metadata": {"conversation_id": "other"}}
        status, told = await here.call("POST", PATH, json=foreign, token=token)
        assert (status, told["error"]["code"]) == (403, "foreign_conversation")
        answer = group.create_task(here.call("POST", PATH, json=body, token=token))
        if model == "clawd":
            turn = await asked(here)
            assert here.world.turns[turn].conversation.chat.startswith("shop-c-")
            here.world.finish(turn, "Hello.")
        assert (await answer)[0] == 200
