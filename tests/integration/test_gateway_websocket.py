"""WebSockets of the gateway, seen by another library's client: what is said, shown, resumed and limited."""

from __future__ import annotations

import asyncio
import json
import random
import socket as sockets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from clawd.config.base import Secret
from clawd.config.schema import AppConfig, GatewayConfig, JournalConfig, TokenConfig
from clawd.errors import JournalUnavailable
from clawd.fanout import Arrived, Delta, Reset, ToolNote
from clawd.gateway.auth import TokenStore
from clawd.gateway.places import StreamTimes
from clawd.ids import SystemClock, TurnId
from clawd.journal.opening import open_journal
from clawd.journal.reading import BEGINNING
from clawd.messages import Address
from tests.fakes.gateway_site import Site, not_ready, site
from tests.fakes.gateway_socket import Frame, Talk, talk
from tests.fakes.loop_clock import jump

if TYPE_CHECKING:
    from pathlib import Path

MINE = Address(bridge="api", account="default", chat="c1")


async def sent(there: Talk, text: str, *, key: str = "m1", conversation: str = "c1", **more: Any) -> TurnId:
    """Send a message; return its turn."""
    await there.say("send", id=key, conversation=conversation, text=text, **more)
    accepted = (await there.until("accepted"))[-1]
    assert accepted["ref"] == key
    return TurnId(accepted["turn"])


# --- what is shown ----------------------------------------------------------------------------------------


async def test_a_turn_is_seen_from_its_message_to_its_end(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        assert await there.asked("subscribe", id="s", conversation="c1") == {
            "type": "accepted",
            "ref": "s",
            "conversation": "c1",
            "cursor": BEGINNING,
        }
        await there.say("send", id="m1", conversation="c1", text="hi")
        two = {frame["type"]: frame for frame in [await there.next(), await there.next()]}
        turn = TurnId(two["accepted"]["turn"])
        assert two["accepted"] == {
            "type": "accepted",
            "ref": "m1",
            "conversation": "c1",
            "turn": turn,
            "status": "queued",
            "position": 0,
        }
        assert (two["message"]["role"], two["message"]["text"], two["message"]["turn"]) == (
            "user",
            "hi",
            turn,
        )
        here.world.start(turn)
        here.world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=0, text="hel"))
        here.world.fanout.publish(MINE, ToolNote(turn=turn, name="time", phase="started", summary="{}"))
        here.world.fanout.publish(MINE, Reset(turn=turn, attempt=2, reason="switched"))
        here.world.fanout.publish(MINE, Delta(turn=turn, attempt=2, offset=0, text="hello"))
        here.world.finish(turn, "hello")
        seen = await there.until("done")
        assert [frame["type"] for frame in seen] == ["snapshot", "delta", "tool", "reset", "delta", "done"]
        common = {"conversation": "c1", "turn": turn}
        assert seen[0] == {"type": "snapshot", **common, "attempt": 1, "offset": 0, "text": ""}
        assert seen[4] == {"type": "delta", **common, "attempt": 2, "offset": 0, "text": "hello"}
        done = seen[5]
        assert done.pop("cursor") > two["message"]["cursor"]
        assert done.pop("at").endswith("Z")
        assert done == {"type": "done", **common, "status": "answered", "text": "hello", "answers": [turn]}


async def test_a_turn_in_work_begins_with_its_text_so_far(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        turn = here.world.ask(MINE, "hi")
        here.world.live(turn, "hel")
        await there.asked("subscribe", conversation="c1")
        snapshot = await there.next()
        assert (snapshot["type"], snapshot["offset"], snapshot["text"]) == ("snapshot", 0, "hel")
        here.world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=3, text="lo"))
        delta = await there.next()
        assert (delta["type"], delta["offset"], delta["text"]) == ("delta", 3, "lo")


async def test_one_socket_carries_many_conversations_and_lets_them_go(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        for name in ("c1", "c2"):
            await there.asked("subscribe", conversation=name)
            await sent(there, f"to {name}", key=name, conversation=name)
            message = await there.next()
            assert (message["type"], message["conversation"], message["text"]) == (
                "message",
                name,
                f"to {name}",
            )
        assert (await there.asked("unsubscribe", conversation="c1"))["type"] == "accepted"
        here.world.ask(MINE, "nobody sees this")
        assert (await there.asked("ping", id="p")) == {"type": "pong", "ref": "p"}


async def test_an_approval_is_shown_once_and_answered(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        await there.asked("subscribe", conversation="c1")
        turn = await sent(there, "clean up")
        here.world.start(turn)
        question = here.world.wait_for_person(turn)
        shown = (await there.until("approval"))[-1]
        assert (shown["approval"], shown["tool"], shown["subject"]) == (question, "shell", "rm -rf build")
        assert shown["cursor"]
        said = {"conversation": "c1", "approval": question, "decision": "approve"}
        assert (await there.asked("approve", id="a", **{**said, "conversation": "c2"}))["code"] == "not_found"
        await there.say("approve", id="a", **said)
        assert (await there.until("accepted"))[-1]["approval"] == question
        assert here.world.controls[0].kind == "approve"
        await there.say("approve", id="b", **said)
        assert (await there.until("error"))[-1]["code"] == "conflict"


async def test_a_question_that_is_read_and_announced_is_shown_once(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        turn = here.world.ask(MINE, "clean up")
        here.world.start(turn)
        cursor = (await there.asked("subscribe", conversation="c2"))["cursor"]

        def ask() -> None:
            here.world.wait_for_person(turn)

        await there.say("subscribe", conversation="c1", after=cursor)
        here.world.when_watched = ask
        await there.until("approval")
        assert (await there.asked("ping"))["type"] == "pong"


async def test_a_turn_is_cancelled_in_its_own_conversation_alone(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        turn = await sent(there, "hi")
        assert (await there.asked("cancel", conversation="c2", turn=turn))["code"] == "not_found"
        assert (await there.asked("cancel", id="x", conversation="c1", turn=turn))["ref"] == "x"
        [control] = here.world.controls
        assert (control.kind, control.turn) == ("stop", turn)
        here.world.finish(turn, "stopped", "cancelled")
        assert (await there.asked("cancel", conversation="c1", turn=turn))["code"] == "turn_over"


# --- what is sent -----------------------------------------------------------------------------------------


async def test_a_message_sent_again_under_its_id_is_accepted_once(state_dir: Path) -> None:
    async with site(state_dir) as here:
        async with talk(here.port, here.token) as there:
            first = await sent(there, "hi", sender="ann")
        async with talk(here.port, here.token) as there:
            # The same content; a client that makes its frame anew may order it otherwise.
            frame = '{"sender": "ann", "text": "hi", "conversation": "c1", "id": "m1", "type": "send"}'
            await there.socket.send(frame)
            again = await there.next()
            assert (again["turn"], again["status"]) == (first, "duplicate")
            other = await there.asked("send", id="m1", conversation="c1", text="other")
            assert (other["type"], other["code"], other["ref"]) == ("error", "conflict", "m1")
        assert [message.text for message in here.world.messages] == ["hi"]


async def test_a_command_is_answered_at_once_and_a_model_may_be_chosen(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        told = await there.asked("send", id="1", conversation="c1", text="/status")
        assert (told["turn"], told["status"], told["replies"][0]["text"]) == (None, "answered", "all is well")
        await sent(there, "hi", key="2", model="main")
        assert here.world.messages[0].model == "main"
        refused = await there.asked("send", id="3", conversation="c1", text="hi", model="none")
        assert refused["code"] == "unknown_model"


async def test_what_can_not_be_stored_is_told_and_the_socket_goes_on(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        here.world.failure = JournalUnavailable("the disk is full")
        refused = await there.asked("send", id="1", conversation="c1", text="hi")
        assert (refused["type"], refused["code"], refused["ref"]) == ("error", "unavailable", "1")
        here.world.failure = None
        await sent(there, "hi")
        here.readiness = not_ready(draining=True)
        assert (await there.asked("send", id="2", conversation="c1", text="hi"))["code"] == "draining"


# --- resuming ---------------------------------------------------------------------------------------------


async def test_a_client_resumes_behind_its_cursor(state_dir: Path) -> None:
    async with site(state_dir) as here:
        async with talk(here.port, here.token) as there:
            cursor = (await there.asked("subscribe", conversation="c1"))["cursor"]
        turn = here.world.ask(MINE, "while away")
        here.world.finish(turn, "answer")
        async with talk(here.port, here.token) as there:
            await there.asked("subscribe", conversation="c1", after=cursor)
            message, done = await there.next(), await there.next()
            assert (message["type"], done["type"], done["text"]) == ("message", "done", "answer")
            assert (await there.asked("subscribe", conversation="c1", after=message["cursor"]))[
                "type"
            ] == "accepted"
            assert await there.next() == done
            assert (await there.asked("subscribe", conversation="c1"))["cursor"] == done["cursor"]


async def test_random_disconnects_lose_no_durable_frame_and_repeat_none(state_dir: Path) -> None:
    chance = random.Random(7)
    seen: list[Frame] = []
    told = 60
    async with site(state_dir) as here:

        async def happen() -> None:
            for number in range(told):
                turn = here.world.ask(MINE, f"q{number}")
                here.world.live(turn, "a")
                here.world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=1, text=str(number)))
                here.world.finish(turn, f"a{number}")
                await asyncio.sleep(chance.random() / 500)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(happen())
            cursor = BEGINNING
            while len(seen) < 2 * told:
                async with talk(here.port, here.token) as there:
                    await there.asked("subscribe", conversation="c1", after=cursor)
                    for _ in range(chance.randrange(1, 25)):
                        frame = await there.next()
                        if "cursor" in frame:
                            seen.append(frame)
                            cursor = frame["cursor"]
                        if len(seen) == 2 * told:
                            break
                    if chance.random() < 0.5:  # without a goodbye
                        there.socket.transport.abort()
    assert [frame["text"] for frame in seen] == [f"{kind}{n}" for n in range(told) for kind in "qa"]


# --- who comes in -----------------------------------------------------------------------------------------

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


# --- what no client should send ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "ref"),
    [
        ("", "bad_json", None),
        ("{", "bad_json", None),
        ("null", "bad_json", None),
        ('{"type": NaN}', "bad_json", None),
        ('{"type": "ping", "type": "ping"}', "bad_json", None),
        ('{"type":' + "[" * 10_000, "bad_json", None),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "bad_json", None),
        ('{"id": "7", "type": "dance"}', "unknown_type", "7"),
        ('{"id": "7"}', "unknown_type", "7"),
        ('{"type": ["send"]}', "unknown_type", None),
        ('{"id": 7, "type": "ping"}', "bad_frame", None),
        ('{"type": "ping", "id": "7", "more": 1}', "bad_frame", "7"),
        ('{"type": "send", "id": "7", "text": "hi"}', "bad_frame", "7"),
        ('{"type": "send", "conversation": "c1", "text": "hi"}', "bad_frame", None),
        ('{"type": "subscribe", "conversation": "a b"}', "bad_frame", None),
        ('{"type": "subscribe", "conversation": "c1", "after": 1}', "bad_frame", None),
        ('{"type": "cancel", "conversation": "c1"}', "bad_frame", None),
        (
            '{"type": "approve", "conversation": "c1", "approval": "x", "decision": "maybe"}',
            "bad_frame",
            None,
        ),
    ],
)
async def test_a_frame_that_makes_no_sense_is_told_and_the_socket_goes_on(
    state_dir: Path, text: str, code: str, ref: str | None
) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        await there.socket.send(text)
        error = await there.next()
        assert (error["type"], error["code"], error["ref"]) == ("error", code, ref)
        assert error["message"]
        assert (await there.asked("ping"))["type"] == "pong"


async def test_who_sends_nothing_but_nonsense_is_closed(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        for _ in range(20):
            await there.socket.send("{")
        assert await there.closed() == (1008, "too many frames that make no sense")


async def test_a_wrong_frame_is_closed_with_its_code(state_dir: Path) -> None:
    small = GatewayConfig(port=0, max_body_bytes=1024)
    async with site(state_dir, config=small) as here:
        async with talk(here.port, here.token) as there:
            await there.socket.send(b"binary")
            assert await there.closed() == (1003, "frames have to be text")
        async with talk(here.port, here.token) as there:
            await there.socket.send("x" * 2000)
            assert (await there.closed())[0] == 1009
        async with talk(here.port, here.token) as there:
            there.socket.transport.write(b"\x81\x81\0\0\0\0\xff")  # a text frame that is not UTF-8
            assert (await there.closed())[0] == 1007
        async with talk(here.port, here.token) as there:
            there.socket.transport.write(b"\x81\x02hi")  # without a mask
            there.socket.transport.write(b"\xff\xff\xff")
            assert (await there.closed())[0] == 1002
        assert (await here.call("GET", "/healthz"))[0] == 200


async def test_what_is_no_websocket_is_told_so(state_dir: Path) -> None:
    async with site(state_dir) as here:
        status, body = await here.call("GET", "/v1/ws")
        assert (status, body["error"]["code"]) == (426, "upgrade_required")
        head = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        for more in (
            "",
            "Sec-WebSocket-Version: 12\r\n",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n",
        ):
            status, _, _ = await here.raw(f"{head}{more}\r\n".encode())
            assert status == 400


# --- limits -----------------------------------------------------------------------------------------------


async def test_sockets_and_subscriptions_are_limited_and_the_limit_is_told(state_dir: Path) -> None:
    few = GatewayConfig(port=0, max_sockets=1, max_subscriptions=2)
    async with site(state_dir, config=few) as here:
        async with talk(here.port, here.token) as there:
            for name in ("a", "b", "a"):  # the last one again
                assert (await there.asked("subscribe", conversation=name))["type"] == "accepted"
            refused = await there.asked("subscribe", id="s", conversation="c")
            assert (refused["code"], refused["ref"]) == ("too_many_subscriptions", "s")
            assert "2 conversations" in refused["message"]
            with pytest.raises(InvalidStatus) as full:
                async with talk(here.port, here.token):
                    pass
            assert full.value.response.status_code == 503
            assert full.value.response.headers["Retry-After"] == "5"
        async with talk(here.port, here.token):
            pass  # the place is free again


async def test_a_bad_cursor_is_told(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as there:
        here.world.bad_cursors.add("zz")
        refused = await there.asked("subscribe", id="s", conversation="c1", after="zz")
        assert (refused["type"], refused["code"], refused["ref"]) == ("error", "bad_cursor", "s")


async def silent(here: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a subscribed socket whose client reads nothing more than it is asked to."""
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 64 * 1024)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", here.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=64 * 1024)
    writer.write(
        b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        + f"Authorization: Bearer {here.token}\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    frame = json.dumps({"type": "subscribe", "conversation": "c1"}).encode()
    writer.write(bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
    assert b"accepted" in await reader.read(200)
    return reader, writer


async def test_a_reader_that_stands_still_is_closed(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "clawd.gateway")
    async with site(state_dir, stream_times=StreamTimes(write_s=0.05)) as here:
        turn = here.world.ask(MINE, "hi")
        here.world.start(turn)
        reader, writer = await silent(here)
        for number in range(80):  # more than any buffer on the way holds
            delta = Delta(turn=turn, attempt=1, offset=100_000 * number, text="x" * 100_000)
            here.world.fanout.publish(MINE, delta)
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while "gateway_slow_reader" not in caplog.messages:
                await asyncio.sleep(0.01)
            rest = b""
            while b"slowly" not in rest and (data := await reader.read(1 << 20)):
                rest = (rest + data)[-200:]
        assert rest.endswith(b"\x88\x14\x03\xf0reading too slowly")  # a close frame with the code 1008
        writer.close()
        await writer.wait_closed()


async def test_a_peer_that_answers_no_ping_is_gone(state_dir: Path) -> None:
    one = GatewayConfig(port=0, max_sockets=1)
    silence_s = StreamTimes().heartbeat_s
    async with site(state_dir, config=one) as here:
        reader, writer = await silent(here)
        jump(silence_s + 1)
        assert await reader.readexactly(2) == b"\x89\0"  # a ping
        jump(silence_s / 2 + 1)
        await reader.read()  # to its end
        writer.close()
        await writer.wait_closed()
        async with talk(here.port, here.token) as there:  # its place is free, and who answers stays
            await there.asked("ping")
            jump(silence_s + 1)
            await asyncio.sleep(0.01)
            for _ in range(2):  # an answer that came by the library is in front of the second one
                await there.asked("ping")
            jump(silence_s / 2 + 1)
            assert (await there.asked("ping"))["type"] == "pong"


async def test_a_reader_that_falls_behind_is_given_the_state_anew(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token, max_size=None) as there:
        turn = here.world.ask(MINE, "hi")
        here.world.start(turn)
        await there.asked("subscribe", conversation="c1")
        await there.until("snapshot")
        length = 0
        for _ in range(20):  # all at once: more than is kept for one reader
            here.world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=length, text="x" * 20_000))
            length += 20_000
        again = (await there.until("snapshot"))[-1]
        assert len(again["text"]) == length
        here.world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=length, text="end"))
        assert (await there.until("delta"))[-1]["offset"] == length


async def test_a_stop_closes_every_socket_with_1001(state_dir: Path) -> None:
    async with site(state_dir) as here, talk(here.port, here.token) as one, talk(here.port, None) as two:
        await one.asked("subscribe", conversation="c1")
        await here.gateway.stop()
        assert await one.closed() == await two.closed() == (1001, "clawd is stopping")
        here.world.fanout.publish(MINE, Arrived())  # nobody is there
