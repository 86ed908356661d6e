"""Bodies of `POST /v1/messages` become inbound messages; turns become answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from clawd.gateway.messages import check_key, describe, read_submission, to_inbound
from clawd.gateway.problems import RequestRefused
from clawd.gateway.token import Token
from clawd.ids import turn_id
from clawd.journal.reading import TurnView
from clawd.messages import Address, Text

if TYPE_CHECKING:
    from clawd.journal.base import TurnState
    from clawd.messages import InboundMessage
    from clawd.response import JsonObject

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MODELS = ("main", "reasoning")
SHOP = Token(name="shop", scopes=frozenset({"chat"}), digest=b"")
VIEW = TurnView(
    id=turn_id("i7", 1, 1),
    conversation=Address(bridge="api", account="shop", chat="c1"),
    seq=1,
    state="answered",
    attempts=1,
    question="hi",
    answer="Hello.",
    accepted_at=NOW,
    model="main",
    input_tokens=3,
    output_tokens=2,
)


def inbound(body: JsonObject, key: str | None = None, raw: bytes = b"raw") -> InboundMessage:
    return to_inbound(read_submission(body, MODELS), raw, token=SHOP, key=key, now=NOW)


def test_text_and_text_parts_say_the_same() -> None:
    assert inbound({"text": "hi"}).parts == (Text("hi"),)
    assert inbound({"parts": [{"type": "text", "text": "hi"}]}).parts == (Text("hi"),)


def test_a_client_can_not_take_another_ones_conversation_or_sender() -> None:
    message = inbound({"text": "hi", "conversation": "c1", "sender": "ops"})
    assert message.address == Address(bridge="api", account="shop", chat="c1")
    assert message.sender.id == "shop/ops"
    assert inbound({"text": "hi"}).sender.id == "shop"


def test_each_message_without_a_conversation_begins_its_own() -> None:
    assert inbound({"text": "hi"}).address != inbound({"text": "hi"}).address
    assert inbound({"text": "hi"}).id != inbound({"text": "hi"}).id


def test_a_repeat_under_a_key_is_the_same_message_in_the_same_conversation() -> None:
    first, again = inbound({"text": "hi"}, "k"), inbound({"text": "hi"}, "k")
    assert (first.id, first.address, first.digest) == (again.id, again.address, again.digest)
    assert inbound({"text": "hi"}, "k", raw=b"other").digest != first.digest
    assert inbound({"text": "hi"}, "k2").address != first.address


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "exactly one of text and parts"),
        ({"text": "a", "parts": []}, "exactly one of text and parts"),
        ({"text": ""}, "empty"),
        ({"text": " \n"}, "empty"),
        ({"text": 7}, "string"),
        ({"parts": []}, "1 to 64"),
        ({"parts": "x"}, "1 to 64"),
        ({"parts": ["x"]}, "object"),
        ({"parts": [{"type": "video", "ref": "x"}]}, "there is no type video"),
        ({"parts": [{"type": "text"}]}, "string"),
        ({"text": "a", "conversation": ""}, "conversation"),
        ({"text": "a", "conversation": "a/b"}, "conversation"),
        ({"text": "a", "conversation": "x" * 129}, "conversation"),
        ({"text": "a", "conversation": 7}, "conversation"),
        ({"text": "a", "sender": "a b"}, "sender"),
        ({"text": "a", "sender": {"id": "x"}}, "sender"),
        ({"text": "a", "txet": "b"}, "unknown field txet"),
        ({"text": "a", "model": "gpt-99"}, "there is no model gpt-99"),
        ({"text": "a", "model": 7}, "there is no model of this kind"),
    ],
)
def test_a_body_that_is_no_message_is_refused_with_its_reason(body: JsonObject, says: str) -> None:
    with pytest.raises(RequestRefused, match=says) as caught:
        read_submission(body, MODELS)
    assert caught.value.status == 400


def test_a_message_may_ask_for_a_model_or_a_route() -> None:
    assert inbound({"text": "hi", "model": "reasoning"}).model == "reasoning"
    assert inbound({"text": "hi"}).model is None
    with pytest.raises(RequestRefused) as caught:
        inbound({"text": "hi", "model": "gpt-99"})
    assert caught.value.remedy == "models and routes: main, reasoning"


def test_a_callback_url_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(RequestRefused, match="callback_url") as caught:
        read_submission({"text": "a", "callback_url": "https://example.com"}, MODELS)
    assert caught.value.status == 403
    assert "gateway.callbacks" in caught.value.what
    assert "wait=" in caught.value.remedy


@pytest.mark.parametrize("values", [["a", "a"], [""], ["a b"], ["x" * 256], ["ü"]])
def test_an_odd_idempotency_key_is_refused(values: list[str]) -> None:
    with pytest.raises(RequestRefused, match="Idempotency-Key"):
        check_key(values)


def test_an_answered_turn_shows_its_reply_model_and_usage() -> None:
    assert describe(VIEW, operator=False) == {
        "id": "turn:i7-1-1",
        "conversation": "c1",
        "status": "answered",
        "replies": [{"text": "Hello.", "parts": [{"type": "text", "text": "Hello."}]}],
        "model": "main",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }


@pytest.mark.parametrize("state", ["failed", "dead"])
def test_a_failed_turn_tells_its_sentence_and_only_operators_the_reason(state: TurnState) -> None:
    view = replace(VIEW, state=state, answer="Sorry.", error="E-MODEL-AUTH: key ends in …1234")
    told = describe(view, operator=False)
    assert told["replies"] == []
    assert told["error"] == {"code": f"turn_{state}", "message": "Sorry."}
    assert describe(view, operator=True)["error"] == {
        "code": f"turn_{state}",
        "message": "Sorry.",
        "detail": "E-MODEL-AUTH: key ends in …1234",
    }


def test_a_waiting_message_shows_its_place() -> None:
    assert describe(replace(VIEW, state="queued", answer="", position=2), operator=False)["position"] == 2
