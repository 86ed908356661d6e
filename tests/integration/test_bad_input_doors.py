"""What people and programs send that nobody can use: each door of the real daemon says so, and goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.fakes.doors import OTHER_TOKEN, TOKEN, Doors, doors
from tests.fakes.openai_api import Reply
from tests.fakes.webhook_sender import ROTATED, event

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEEP_LIST = b"[" * 100_000
DEEP_OBJECT = b'{"text":' * 5_000
CUT = "(The text was longer than I can take and was cut here.)"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here() -> AsyncIterator[Doors]:
    async with doors() as running:
        yield running


# --- REST -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "the body is not JSON: Expecting value at line 1, column 1"),
        (b"{", 400, "the body is not JSON"),
        (b"[]", 400, "the body is not a JSON object"),
        (b'{"text": "\xff"}', 400, "the body is not UTF-8: bad byte at offset 10"),
        (b'{"text": "a\\ud800b"}', 400, "a string holds half of a surrogate pair"),
        (DEEP_LIST, 400, "nested more than 64 levels deep"),
        (DEEP_OBJECT, 400, "nested more than 64 levels deep"),
        (b'{"text": ' + b"9" * 5000 + b"}", 400, "a number that is too long"),
        (b'{"text": "a", "text": "b"}', 400, 'the name "text" comes twice'),
        (b'{"text": NaN}', 400, "NaN is not JSON"),
        (b'{"text": 7}', 400, "text: has to be a string"),
        (b'{"text": ""}', 400, "the message is empty"),
        (b'{"text": " \\n\\t\\u3000"}', 400, "the message is empty"),
        (b'{"parts": []}', 400, "parts: has to be a list of 1 to"),
        (b'{"text": "a", "txt": "b"}', 400, "unknown field txt"),
        (b'{"text": "a", "conversation": "../x"}', 400, "conversation: has to be 1 to 128 characters"),
        (b'{"text": "a", "sender": "\\u0000"}', 400, "sender: has to be a string"),
        (b'{"text": "' + b"x" * 1_100_000 + b'"}', 413, "larger than 1,048,576 bytes"),
    ],
    ids=lambda value: str(value[:24]) if isinstance(value, bytes) else None,
)
async def test_a_bad_body_is_refused_in_words(here: Doors, body: bytes, status: int, words: str) -> None:
    answer = await here.rest(body)
    assert (answer.status, words in answer.message) == (status, True), answer


async def test_fifty_megabytes_are_refused_long_before_they_are_read(here: Doors) -> None:
    async def flood() -> AsyncIterator[bytes]:
        while True:  # only an answer ends it
            yield b"x" * 1_000_000

    head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    before = (await here.world.control("status"))["rss_bytes"]
    for path in ("/v1/messages", "/bridges/hook"):
        answer = await here.request("POST", path, data=flood(), headers=head)
        assert (answer.status, "larger than" in answer.message) == (413, True), answer
    assert (await here.world.control("status"))["rss_bytes"] < before + 30_000_000


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
async def test_a_wrong_token_is_refused_before_the_body_is_looked_at(here: Doors, value: str) -> None:
    answer = await here.rest(DEEP_LIST, Authorization=value)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="clawd"')
    assert answer.json["error"]["try"] == "send the header Authorization: Bearer TOKEN"


async def test_what_is_not_there_is_told_in_the_same_shape(here: Doors) -> None:
    head = {"Authorization": f"Bearer {TOKEN}"}
    for method, path, status in (
        ("GET", "/v1/messages/turn:none-1-1", 404),
        ("GET", "/v1/messages/%00", 404),
        ("GET", "/v1/messages/%ff", 404),
        ("DELETE", "/v1/messages", 405),
        ("GET", "/bridges/nothing", 404),
        ("GET", "/bridges/telegram", 404),
        ("GET", "/nothing", 404),
    ):
        answer = await here.request(method, path, headers=head)
        assert (path, answer.status, bool(answer.message)) == (path, status, True)


# --- webhook --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is not JSON"),
        (b"\xff", "the body is not UTF-8"),
        (b"{}", "type: Field required"),
        (DEEP_LIST, "nested more than 64 levels deep"),
        (event(""), "text or at least one attachment is needed"),
        (event(" \n"), "text or at least one attachment is needed"),
        (b'{"type":"message.created","data":{"text":"\\udc00"}}', "half of a surrogate pair"),
        (event("hi", user={"id": "a\x00b"}), "data.user.id"),
    ],
    ids=lambda value: str(value[:24]),
)
async def test_a_signed_webhook_that_says_nothing_is_refused(here: Doors, body: bytes, words: str) -> None:
    answer = await here.hook(body)
    assert (answer.status, words in answer.message) == (400, True), answer


async def test_unsigned_stale_and_foreign_webhooks_get_one_and_the_same_answer(here: Doors) -> None:
    unsigned = await here.request(
        "POST", "/bridges/hook", data=event("hi"), headers={"Content-Type": "application/json"}
    )
    stale, early = await here.hook(event("hi"), age_s=3600), await here.hook(event("hi"), age_s=-3600)
    foreign = await here.hook(event("hi"), secret=ROTATED)
    answers = {(answer.status, answer.text) for answer in (unsigned, stale, early, foreign)}
    assert [status for status, _ in answers] == [401], answers


# --- Telegram -------------------------------------------------------------------------------------------


async def test_what_telegram_brings_is_answered_or_kept_and_never_stops_the_bridge(here: Doors) -> None:
    chat, api = 70, here.telegram
    photo: dict[str, Any] = api.world.typed(chat, "", sender=None, thread=None)
    del photo["text"]
    photo["photo"] = [{"file_id": "F", "file_unique_id": "U", "width": 9, "height": 9}]
    api.push_update({"message": photo})
    api.user_says(chat, " \n ")
    api.user_says(chat, "nul\x00here")
    api.user_says(chat, "half \ud800 character")
    api.push_update({"message": {"message_id": 1}})
    api.push_update({"message": "nonsense"})
    api.push_update([1, 2])
    api.user_says(chat, "/stpo now")
    api.user_says(chat, "the last")
    await api.wait_until(lambda: any("the last" in message.text for message in api.sent(chat)))
    texts = [message.text for message in api.sent(chat)]
    assert "[image" in texts[0] or "[image" in texts[1], texts
    assert any("There is no command /stpo. Did you mean /stop?" in text for text in texts), texts
    assert texts[-1] == "you said: the last"
    kept = (await here.clawd("dead", "list", "--json")).json["dead"]
    assert {entry["why"].split(":")[0] for entry in kept} >= {"not valid Unicode", "no update_id"}
    assert sum(entry["id"].startswith("update:") for entry in kept) == 4


# --- every door -----------------------------------------------------------------------------------------


async def test_nul_bytes_come_back_from_model_and_journal_as_they_went_in(here: Doors) -> None:
    assert await here.reply({"text": "a\x00b"}) == "you said: a\x00b"
    assert (await here.clawd("chat", stdin="c\x00d")).out == "you said: c\x00d\n"
    assert here.model.requests[-1].last_user_text == "c\x00d"


async def test_a_message_of_a_megabyte_is_cut_with_a_note_at_every_door(here: Doors) -> None:
    text = "y" * 1_000_000
    here.model.choose = lambda seen: Reply(chunks=[f"you said: {seen.last_user_text}"])
    assert (await here.reply({"text": text})).endswith(CUT)
    assert (await here.clawd("chat", "-c", "big", stdin=text)).out.endswith(f"{CUT}\n")
    assert (await here.hook(event(text, conversation="big"))).status == 202
    here.telegram.user_says(71, text)
    # A reply of this length is a document at Telegram.
    await here.telegram.wait_until(lambda: any(CUT.encode() in m.file for m in here.telegram.sent(71)), 30)
    await here.world.settled()
    asked = [len(seen.last_user_text) for seen in here.model.requests if len(seen.last_user_text) > 10_000]
    assert len(asked) == 4
    assert max(asked) < 201_000
    here.model.choose = None


async def test_after_all_of_it_every_accepted_message_has_its_answer(here: Doors) -> None:
    turns = await here.ended(1000)
    assert not [turn for turn in turns if turn["state"] != "answered"]
    assert await here.reply({"text": "still there?"}) == "you said: still there?"
    log = here.world.output.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in log


async def test_an_answer_is_shown_only_to_the_token_that_asked(here: Doors) -> None:
    sent = await here.rest({"text": "mine"})
    head = {"Authorization": f"Bearer {OTHER_TOKEN}"}
    theirs = await here.request("GET", f"/v1/messages/{sent.json['id']}?wait=5", headers=head)
    nothing = await here.request("GET", "/v1/messages/turn:none-9-9", headers=head)
    assert (theirs.status, nothing.status) == (404, 404)
    # But for the id that every request has of its own they are the same.
    assert theirs.json["error"] | {"request_id": ""} == nothing.json["error"] | {"request_id": ""}


# --- terminal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "stdin", "code", "error"),
    [
        (("caht",), b"", 2, "No such command 'caht'. Did you mean 'chat'?"),
        (("chat", "--nope"), b"", 2, "No such option: --nope"),
        (("trace",), b"", 2, "Missing argument 'ID'"),
        (("chat",), b"", 2, "there is nothing to ask"),
        (("chat", " \n "), b"", 2, "there is nothing to ask"),
        (("chat",), b"\xff\xfe", 2, "standard input is no text"),
        (("chat",), b"x" * 3_000_000, 2, "standard input is too long"),
        (("chat", "-c", "a b/\x1b", "hi"), b"", 2, ""),
        (("send", "telegram:1:2", "  "), b"", 2, "there is no text to send"),
        (("send", "nope:a:b", "hi"), b"", 1, "there is no bridge 'nope'"),
        (("send", "noaddress", "hi"), b"", 2, "the address can't be read"),
        (("tail", "bad:::address"), b"", 2, "the address can't be read"),
        (("trace", "turn:none"), b"", 1, "there is no turn or delivery"),
        (("turns", "cancel", "../x"), b"", 1, "there is no turn"),
        (("dead", "resubmit", "update:999"), b"", 1, "there is no update:999"),
        (("pair", "approve", "XXXXXXXX"), b"", 1, "no pairing waits under this code"),
        (("models", "test", "none"), b"", 1, "there is no model 'none'"),
        (("bridges", "test", "none"), b"", 1, "no bridge is called none"),
    ],
    ids=lambda value: " ".join(value)[:24] if isinstance(value, tuple) else None,
)
async def test_a_command_that_makes_no_sense_says_what_and_how_to_go_on(
    here: Doors, words: tuple[str, ...], stdin: bytes, code: int, error: str
) -> None:
    process = await here.clawd.start(*words)
    out, err = await process.communicate(stdin)
    told = err.decode()
    assert (process.returncode, told.startswith("error[E-"), error in told) == (code, True, True), (out, err)
    assert "\ntry: " in told or "\nwhy: " in told


async def test_unknown_words_for_the_agent_are_answered_without_a_model(here: Doors) -> None:
    before = len(here.model.requests)
    assert (await here.clawd("chat", "/nwe")).out == "There is no command /nwe. Did you mean /new?\n"
    assert (await here.rest({"text": "/nwe"})).json["replies"][0]["text"].startswith("There is no command")
    assert (await here.hook(event("/nwe"))).json["text"].startswith("There is no command /nwe.")
    assert len(here.model.requests) == before


async def test_arguments_that_are_no_text_are_refused(here: Doors) -> None:
    result = await here.clawd("chat", "a\udcffb")
    assert (result.code, result.err.startswith("error[E-")) == (2, True), result


# --- a platform that refuses us or is gone --------------------------------------------------------------


async def test_a_refused_bot_token_and_a_dead_platform_lose_no_message(here: Doors) -> None:
    here.telegram.revoke()
    refused = await here.clawd("bridges", "test", "telegram")
    here.telegram.user_says(74, "written while refused")
    await here.telegram.stop()
    gone = await here.clawd("bridges", "test", "telegram")
    here.telegram.user_says(74, "written while gone")
    here.telegram.revoke(revoked=False)
    await here.telegram.start()
    await here.telegram.wait_until(lambda: len(here.telegram.sent(74)) > 1, 15)
    await here.world.settled()
    assert (refused.code, gone.code) == (4, 69), (refused, gone)
    assert "error[E-BRIDGE-AUTH]: Telegram refuses the bot token" in refused.err
    assert "error[E-BRIDGE-DOWN]: Telegram is out of reach" in gone.err
    said = ["you said: written while refused", "you said: written while gone"]
    assert [message.text for message in here.telegram.sent(74)] == said
