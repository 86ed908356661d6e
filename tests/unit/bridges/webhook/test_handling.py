"""One request through a bridge: what each service is answered, and what is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bridges.webhook import PLUGIN, WebhookConfig
from clawd.bridge import HttpBridge, HttpRequest, SampleBridge
from clawd.conformance import MemoryInbox
from clawd.errors import InboxFull
from clawd.messages import Refused, Replied, Unreadable
from clawd.testing import ManualClock
from tests.fakes import hook_senders as senders
from tests.fakes.bridge_context import bridge_context
from tests.fakes.webhook_sender import SECRET, request, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.messages import AcceptResult, Cursor, Inbound

SECRETS = {
    "standard": SECRET,
    "github": senders.GITHUB,
    "slack": senders.SLACK,
    "feishu": senders.FEISHU,
    "dingtalk": senders.DINGTALK,
    "bearer": senders.BEARER,
    "header": senders.BEARER,
}
CHATS = ["slack", "feishu", "dingtalk"]


class Endpoint:
    """A bridge, its inbox and its clock."""

    def __init__(self, preset: str, inbox: MemoryInbox | None = None, **section: Any) -> None:
        if preset == "header":
            section.setdefault("header", "X-Key")
        config = WebhookConfig.model_validate({"preset": preset, "secret": SECRETS[preset]} | section)
        self.clock = ManualClock()
        self.inbox = inbox or MemoryInbox()
        bridge = PLUGIN.create(bridge_context("hook", clock=self.clock), config)
        assert isinstance(bridge, HttpBridge)
        assert isinstance(bridge, SampleBridge)
        self.bridge = bridge
        self.preset = preset

    async def take(self, given: HttpRequest) -> tuple[int, dict[str, Any]]:
        answer = await self.bridge.handle(given, self.inbox)
        return answer.status, json.loads(answer.body)

    async def post(self, content: dict[str, Any] | bytes, **options: Any) -> tuple[int, dict[str, Any]]:
        body = content if isinstance(content, bytes) else senders.packed(content)
        return await self.take(self.signed(body, **options))

    def signed(self, body: bytes, **options: Any) -> HttpRequest:
        now = self.clock.now()
        match self.preset:
            case "github":
                return request(body, senders.github(body, **options))
            case "slack":
                return request(body, senders.slack(body, now))
            case "feishu":
                return request(*senders.feishu(body, now))
            case "dingtalk":
                return request(body, senders.dingtalk(now))
            case "header":
                return request(body, {"x-key": senders.BEARER, "content-type": "application/json"})
            case _:
                return request(body, senders.bearer(**options))


def said(preset: str, text: str = "hi") -> dict[str, Any]:
    match preset:
        case "github":
            return senders.github_comment(text)
        case "slack":
            return senders.slack_message(text)
        case "feishu":
            return senders.feishu_message(text)
        case "dingtalk":
            return senders.dingtalk_message(text)
        case _:
            return {"type": "message.created", "data": {"text": text}}


class _Answering(MemoryInbox):
    def __init__(self, result: AcceptResult | Exception) -> None:
        super().__init__()
        self.result = result

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        if isinstance(self.result, Exception):
            raise self.result
        return [self.result]


@pytest.mark.parametrize("preset", CHATS)
async def test_a_chat_service_is_answered_200_and_what_it_sends_again_is_known(preset: str) -> None:
    here = Endpoint(preset)
    assert await here.post(said(preset)) == (200, {"status": "accepted"})
    assert await here.post(said(preset)) == (200, {"status": "duplicate"})
    assert [message.text for message in here.inbox.messages] == ["hi"]


@pytest.mark.parametrize("preset", CHATS)
@pytest.mark.parametrize("result", [Refused(reason="stranger"), Refused(reason="rate"), Replied(text="x")])
async def test_a_chat_service_never_hears_of_strangers_it_would_send_them_again(
    preset: str, result: AcceptResult
) -> None:
    status, told = await Endpoint(preset, _Answering(result)).post(said(preset))
    assert (status, told["status"]) == (200, "replied" if isinstance(result, Replied) else "refused")


@pytest.mark.parametrize("preset", CHATS)
async def test_what_can_not_be_stored_passes_on_so_that_the_service_sends_it_again(preset: str) -> None:
    with pytest.raises(InboxFull):
        await Endpoint(preset, _Answering(InboxFull(1))).post(said(preset))


@pytest.mark.parametrize("preset", CHATS)
@pytest.mark.parametrize("body", [b"{", b"[]", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff", b"[" * 10_000])
async def test_what_is_signed_and_can_not_be_read_is_kept_for_the_owner(preset: str, body: bytes) -> None:
    here = Endpoint(preset)
    status, told = await here.post(body)
    assert (status, told["status"]) == (200, "unreadable")
    (kept,) = here.inbox.accepted
    assert isinstance(kept, Unreadable)
    assert (await here.post(body))[0] == 200
    assert len(here.inbox.accepted) == 1


@pytest.mark.parametrize("preset", ["standard", "github", "bearer", "header"])
async def test_another_program_is_told_that_it_sent_nonsense(preset: str) -> None:
    here = Endpoint(preset)
    if preset == "standard":
        answer = await here.take(request(b"{", signed(b"{", here.clock.now())))
    else:
        answer = await here.post(b"{")
    assert (answer[0], answer[1]["error"]["code"]) == (400, "bad_json")
    assert here.inbox.accepted == []


async def test_challenges_and_pings_are_answered() -> None:
    asked = {"type": "url_verification", "challenge": "abc", "token": "t"}
    assert await Endpoint("slack").post(asked) == (200, {"challenge": "abc"})
    here = Endpoint("feishu")
    body, headers = senders.feishu(senders.packed(asked), here.clock.now(), signs=False)
    assert await here.take(request(body, headers)) == (200, {"challenge": "abc"})
    assert await Endpoint("github").post({"zen": "x"}, event="ping") == (200, {"status": "pong"})


async def test_a_delivery_of_github_is_known_again_and_another_body_under_its_id_is_not_taken() -> None:
    here = Endpoint("github")
    assert (await here.post(said("github")))[0] == 202
    assert (await here.post(said("github")))[0] == 200
    assert (await here.post(said("github", "other")))[0] == 409
    assert (await here.post(said("github", "other"), delivery="guid-2"))[0] == 202


async def test_a_bearers_requests_are_apart_unless_they_carry_an_id() -> None:
    here = Endpoint("bearer")
    for _ in range(2):
        assert (await here.post(said("bearer")))[0] == 202
    for status in (202, 200):
        assert (await here.post(said("bearer"), **{"idempotency-key": "k"}))[0] == status
    assert len({message.id for message in here.inbox.messages}) == 3


async def test_a_map_takes_the_place_of_the_presets_own_reading_and_what_is_ignored_is_answered() -> None:
    here = Endpoint(
        "header",
        map={"text": "{/user}: {/text}", "conversation": "/room", "id": "/id"},
        ignore_when={"/user": ["me", "bot"]},
    )
    payload = {"user": "ann", "text": "hi", "room": "a/b", "id": 1}
    assert (await here.post(payload))[0] == 202
    assert (await here.post(payload))[0] == 200
    status, told = await here.post(payload | {"user": "bot", "id": 2})
    assert (status, told) == (200, {"status": "ignored", "why": "ignore_when /user"})
    status, told = await here.post({"user": "ann", "room": "x", "id": 3})
    assert (status, told["error"]["message"]) == (400, "map.text: /text: there is nothing")
    (message,) = here.inbox.messages
    assert (message.text, message.address.chat) == ("ann: hi", "a/b")


async def test_events_that_are_no_messages_are_answered_with_why() -> None:
    assert await Endpoint("slack").post(senders.slack_message(bot_id="B")) == (
        200,
        {"status": "ignored", "why": "written by a bot"},
    )
    assert (await Endpoint("github").post({"action": "created"}, event="star"))[1]["status"] == "ignored"


# --- samples ------------------------------------------------------------------------------------------------


def _as_request(headers: Any, body: bytes) -> HttpRequest:
    return request(body, {name.lower(): value for name, value in headers.items()})


@pytest.mark.parametrize("preset", SECRETS)
async def test_a_sample_is_answered_as_one_and_reaches_nobody(preset: str) -> None:
    here = Endpoint(preset)
    for sample in here.bridge.samples():
        answer = await here.bridge.handle(_as_request(sample.headers, sample.body), here.inbox)
        assert answer.status == sample.status
        assert sample.answer in answer.body
    assert here.inbox.batches == []


@pytest.mark.parametrize("preset", SECRETS)
async def test_a_sample_is_good_once_and_for_a_minute(preset: str) -> None:
    here = Endpoint(preset)
    _, good = here.bridge.samples()
    given = _as_request(good.headers, good.body)
    assert (await here.take(given)) == (200, {"status": "test"})
    assert (await here.take(given))[1].get("status") != "test"
    _, late = here.bridge.samples()
    await here.clock.advance(61)
    assert (await here.take(_as_request(late.headers, late.body)))[1].get("status") != "test"
    assert here.inbox.messages == []


async def test_who_guesses_a_sample_needs_the_secret_all_the_same() -> None:
    here = Endpoint("slack")
    body = b'{"type": "clawd.test", "clawd_test": "0123"}'
    assert (await here.take(request(body, {"content-type": "application/json"})))[0] == 401
    status, told = await here.post(body)
    assert (status, told["status"]) == (200, "ignored")
