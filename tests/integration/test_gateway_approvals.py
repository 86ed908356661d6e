"""Approvals over REST: what a turn waits for, and the answer of the client that began it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.ids import TurnId
from clawd.messages import Address
from tests.fakes.gateway_site import Site, site
from tests.integration.test_gateway_waits import accepted
from tests.integration.test_gateway_waits import waiting as watched

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = GatewayConfig(
    port=0,
    tokens=(
        TokenConfig(name="one", token=Secret("first-secret"), scopes=("chat",)),
        TokenConfig(name="two", token=Secret("second-secret"), scopes=("chat",)),
        TokenConfig(name="ops", token=Secret("third-secret"), scopes=("chat", "admin")),
    ),
)


async def asked(here: Site, **options: Any) -> tuple[TurnId, str]:
    """Send a message whose turn waits for a person; return the turn and the question."""
    body = {"text": "clean up", "conversation": "c1"}
    _, told = await here.call("POST", "/v1/messages", json=body, **options)
    turn = TurnId(told["id"])
    here.world.start(turn)
    return turn, here.world.wait_for_person(turn)


async def answer(here: Site, question: str, body: object, **options: Any) -> tuple[int, dict[str, Any]]:
    return await here.call("POST", f"/v1/approvals/{question}", json=body, **options)


async def test_a_waiting_turn_shows_its_question_and_is_answered(state_dir: Path) -> None:
    async with site(state_dir) as here:
        turn, question = await asked(here)
        _, shown = await here.call("GET", f"/v1/messages/{turn}")
        deadline = shown["question"].pop("deadline")
        assert deadline.endswith("Z")
        assert (shown["status"], shown["replies"]) == ("waiting", [])
        assert shown["question"] == {
            "id": question,
            "about": "approval",
            "tool": "shell",
            "subject": "rm -rf build",
        }
        status, told = await answer(here, question, {"answer": "approve", "always": "rm *"})
        assert (status, told) == (200, {"id": question, "answer": "approve", "text": "approved"})
        [control] = here.world.controls
        assert (control.kind, control.question, control.always) == ("approve", question, "rm *")
        assert control.address == Address(bridge="api", account="default", chat="c1")
        assert control.sender.id == "default"
        _, shown = await here.call("GET", f"/v1/messages/{turn}")
        assert (shown["status"], "question" in shown) == ("running", False)


async def test_an_answer_may_be_that_of_a_person_behind_the_client(state_dir: Path) -> None:
    async with site(state_dir) as here:
        _, question = await asked(here)
        assert (await answer(here, question, {"answer": "deny", "sender": "bob"}))[0] == 200
        assert [(c.kind, c.sender.id) for c in here.world.controls] == [("deny", "default/bob")]


async def test_a_question_that_is_not_open_or_not_ours_is_told_apart(state_dir: Path) -> None:
    async with site(state_dir, config=TOKENS) as here:
        _, question = await asked(here, token="first-secret")
        deny = {"answer": "deny"}
        for name in ("approval:fake-9-9-9", "nonsense", "turn:fake-1-1"):
            assert (await answer(here, name, deny, token="first-secret"))[0] == 404
        assert (await answer(here, question, deny, token="second-secret"))[0] == 404
        assert (await answer(here, question, deny, token=""))[0] == 401
        here.world.may_answer = False
        status, body = await answer(here, question, deny, token="third-secret")
        assert (status, body["error"]["message"]) == (403, "this sender may not answer the question")
        here.world.may_answer = True
        assert (await answer(here, question, deny, token="first-secret"))[0] == 200
        status, body = await answer(here, question, deny, token="first-secret")
        assert (status, body["error"]["code"]) == (409, "conflict")


async def test_of_two_answers_at_once_the_later_one_is_a_conflict(state_dir: Path) -> None:
    async with site(state_dir) as here:
        _, question = await asked(here)
        here.world.before_answer = lambda: here.world.answered(here.world.questions[0].id)
        assert (await answer(here, question, {"answer": "approve"}))[0] == 409


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"answer": "maybe"},
        {"answer": "approve", "always": 1},
        {"answer": "deny", "always": ""},
        {"answer": "approve", "always": "x" * 1001},
        {"answer": "approve", "sender": "a b"},
        {"answer": "approve", "why": "x"},
    ],
)
async def test_a_body_that_is_no_answer_is_refused(state_dir: Path, body: dict[str, Any]) -> None:
    async with site(state_dir) as here:
        _, question = await asked(here)
        assert (await answer(here, question, body))[0] == 400
        assert not here.world.controls


async def test_a_wait_may_also_be_for_the_question(state_dir: Path) -> None:
    async with site(state_dir) as here, asyncio.TaskGroup() as group:
        turn = TurnId(await accepted(here))
        here.world.start(turn)
        url = f"/v1/messages/{turn}?wait=30"
        asked_too = group.create_task(here.call("GET", f"{url}&wait_for=question"))
        await watched(here, turn)
        question = here.world.wait_for_person(turn)
        assert (await asked_too)[1]["question"]["id"] == question
        ended = group.create_task(here.call("GET", url))
        await watched(here, turn)
        here.world.answered(question)
        here.world.finish(turn, "Done.")
        assert (await ended)[1]["status"] == "answered"
        assert (await here.call("GET", f"{url}&wait_for=rain"))[0] == 400


async def test_a_wait_for_a_merged_message_ends_with_the_turn_that_answers_it(state_dir: Path) -> None:
    async with site(state_dir) as here, asyncio.TaskGroup() as group:
        first, second = TurnId(await accepted(here)), TurnId(await accepted(here))
        here.world.start(first)
        shown = group.create_task(here.call("GET", f"/v1/messages/{second}?wait=30"))
        await watched(here, second)
        here.world.merge(second, first)
        here.world.finish(first, "Both.")
        _, body = await asyncio.wait_for(shown, 30)
        assert (body["status"], body["replies"][0]["text"]) == ("answered", "Both.")
