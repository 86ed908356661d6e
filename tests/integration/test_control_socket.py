"""The control server and its client over a real Unix socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client, RemoteError, segment
from clawd.control.answers import MAX_BODY_BYTES
from clawd.control.listening import SocketInUse
from clawd.control.protocol import PREFIX
from clawd.control.server import ControlServer
from clawd.control.waiting import OpenRequests
from clawd.errors import (
    EXIT_CONFIG,
    EXIT_TRY_LATER,
    ConfigError,
    ConfigProblem,
    ControlError,
    InboxFull,
)
from clawd.ids import TurnId
from clawd.journal.reading import DeadView
from clawd.messages import Address
from tests.fakes.control_journal import AT
from tests.fakes.control_services import World, socket_in

if TYPE_CHECKING:
    from pathlib import Path

MINE = Address(bridge="terminal", account=str(os.getuid()), chat="default")


async def get(client: Client, path: str, **query: Any) -> dict[str, Any]:
    return await asyncio.to_thread(client.get, path, **query)


async def post(client: Client, path: str, body: Any = None) -> dict[str, Any]:
    return await asyncio.to_thread(client.post, path, body)


async def raw(path: Path, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are and read the whole answer."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    writer.close()
    await writer.wait_closed()
    return int(first.split()[1]), headers, body


def posted(body: bytes, path: str = "/messages") -> bytes:
    return f"POST {PREFIX}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


# --- the socket -------------------------------------------------------------------------------------


async def test_the_socket_is_for_its_owner_alone(server: ControlServer) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


async def test_a_socket_left_by_a_dead_daemon_is_taken_over(tmp_path: Path, world: World) -> None:
    path = socket_in(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with ControlServer(path, world.services()):
        assert (await get(Client([path]), "/status"))["state"] == "ready"


async def test_a_socket_on_which_somebody_listens_is_left_alone(
    server: ControlServer, client: Client, world: World
) -> None:
    with pytest.raises(SocketInUse) as caught:
        await ControlServer(server.path, world.services()).start()
    assert caught.value.exit_code == 73
    assert (await get(client, "/status"))["state"] == "ready"


async def test_a_file_in_the_way_is_named_and_kept(tmp_path: Path, world: World) -> None:
    path = socket_in(tmp_path)
    path.write_text("precious")
    with pytest.raises(ControlError, match="something else stands"):
        await ControlServer(path, world.services()).start()
    assert path.read_text() == "precious"


async def test_a_path_too_long_for_a_socket_is_a_clear_error(tmp_path: Path, world: World) -> None:
    with pytest.raises(ControlError, match="too long"):
        await ControlServer(tmp_path / ("x" * 120), world.services()).start()


async def test_the_socket_is_gone_after_a_stop(tmp_path: Path, world: World) -> None:
    path = socket_in(tmp_path)
    server = ControlServer(path, world.services())
    await server.start()
    await server.stop()
    await server.stop()
    assert not path.exists()


async def test_a_stop_leaves_the_socket_of_a_successor(tmp_path: Path, world: World) -> None:
    path = socket_in(tmp_path)
    old = ControlServer(path, world.services())
    await old.start()
    path.unlink()
    async with ControlServer(path, world.services()):
        await old.stop()
        assert (await get(Client([path]), "/status"))["state"] == "ready"


# --- requests that make no sense ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"text": NaN}', "NaN"),
        (b'{"text": "\xff"}', "UTF-8"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    server: ControlServer, world: World, body: bytes, why: str
) -> None:
    status, headers, answer = await raw(server.path, posted(body))
    error = json.loads(answer)["error"]
    assert status == 400
    assert headers["x-clawd-protocol"] == "1"
    assert (error["code"], error["exit_code"]) == ("E-REQUEST", 2)
    assert why in error["why"]
    assert not world.messages


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "  \n"}, {"text": 7}, {"text": ["x"]}])
async def test_a_message_without_text_is_refused(client: Client, world: World, body: Any) -> None:
    with pytest.raises(RemoteError, match="text is missing"):
        await post(client, "/messages", body)
    assert not world.messages


async def test_a_body_over_the_limit_is_refused_with_its_limit(client: Client) -> None:
    with pytest.raises(RemoteError) as caught:
        await post(client, "/messages", {"text": "x" * MAX_BODY_BYTES})
    assert (caught.value.status, caught.value.code) == (413, "E-TOO-LARGE")
    assert str(MAX_BODY_BYTES) in caught.value.why


async def test_a_text_of_a_megabyte_is_taken(client: Client, world: World) -> None:
    await post(client, "/messages", {"text": "x" * 1024 * 1024})
    assert len(world.messages[0].text) == 1024 * 1024


async def test_an_unknown_path_is_told_in_the_four_fields(client: Client) -> None:
    with pytest.raises(RemoteError) as caught:
        await get(client, "/nonsense")
    assert (caught.value.status, caught.value.code) == (404, "E-NOT-FOUND")
    assert "/nonsense" in caught.value.what


async def test_a_wrong_method_says_which_is_right(client: Client) -> None:
    with pytest.raises(RemoteError) as caught:
        await get(client, "/messages")
    assert caught.value.status == 405
    assert "POST" in caught.value.why


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/turns", {"limit": 0}),
        ("/turns", {"limit": "many"}),
        ("/turns", {"limit": "nan"}),
        ("/turns", {"state": "happy"}),
        ("/entries", {"conversation": "a:b"}),
        ("/entries", {"conversation": "x" * 129}),
        ("/entries", {"conversation": "a\x1bb"}),
        ("/entries", {"conversation": " "}),
        ("/turns/turn:a-1-1", {"wait": -1}),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(
    client: Client, path: str, query: dict[str, Any]
) -> None:
    with pytest.raises(RemoteError) as caught:
        await get(client, path, **query)
    assert (caught.value.status, caught.value.exit_code) == (400, 2)


# --- messages and turns -------------------------------------------------------------------------------


async def test_a_message_comes_from_the_user_who_connected(client: Client, world: World) -> None:
    answer = await post(client, "/messages", {"text": "hi", "language": "zh"})
    assert answer == {"kind": "accepted", "id": "turn:fake-1-1", "position": 0}
    [message] = world.messages
    assert message.address == MINE
    assert (message.sender.id, message.sender.language) == (str(os.getuid()), "zh")


async def test_the_same_id_twice_is_one_message(client: Client, world: World) -> None:
    body = {"text": "hi", "id": "abc", "conversation": "work"}
    first = await post(client, "/messages", body)
    again = await post(client, "/messages", body)
    assert again == {"kind": "duplicate", "id": first["id"]}
    assert len(world.messages) == 1


async def test_the_same_id_with_another_text_is_a_conflict(client: Client) -> None:
    await post(client, "/messages", {"text": "hi", "id": "abc"})
    with pytest.raises(RemoteError) as caught:
        await post(client, "/messages", {"text": "other", "id": "abc"})
    assert caught.value.status == 409


async def test_a_read_only_command_is_answered_at_once(client: Client) -> None:
    answer = await post(client, "/messages", {"text": "/status"})
    assert answer == {"kind": "replied", "text": "all is well"}


async def test_a_message_may_ask_for_a_model_and_is_refused_where_there_is_none(
    client: Client, world: World
) -> None:
    await post(client, "/messages", {"text": "hi", "model": "main"})
    assert world.messages[-1].model == "main"
    with pytest.raises(RemoteError) as caught:
        await post(client, "/messages", {"text": "hi", "model": "mian"})
    assert (caught.value.status, caught.value.exit_code) == (400, 2)
    assert caught.value.what == "there is no model 'mian'"
    assert (caught.value.why, caught.value.remedy) == (
        "models and routes: main, default",
        "did you mean main?",
    )
    assert len(world.messages) == 1
    assert (await get(client, "/models"))["names"] == ["main", "default"]


async def test_the_same_id_for_another_model_is_another_message(client: Client) -> None:
    await post(client, "/messages", {"text": "hi", "id": "a"})
    with pytest.raises(RemoteError, match="another text"):
        await post(client, "/messages", {"text": "hi", "id": "a", "model": "main"})


async def test_a_message_into_a_chat_is_refused_with_the_command_that_pushes(client: Client) -> None:
    with pytest.raises(RemoteError) as caught:
        await post(client, "/messages", {"text": "hi", "conversation": "telegram:1:2"})
    assert "clawd send telegram:1:2" in caught.value.remedy


async def test_a_full_queue_says_when_to_come_again(server: ControlServer, world: World) -> None:
    world.failure = InboxFull(10_000, retry_after_s=7)
    status, headers, body = await raw(server.path, posted(b'{"text": "hi"}'))
    assert (status, headers["retry-after"]) == (503, "7")
    assert json.loads(body)["error"]["exit_code"] == EXIT_TRY_LATER


async def test_a_wait_returns_when_the_turn_ends(client: Client, world: World) -> None:
    turn = TurnId((await post(client, "/messages", {"text": "hi"}))["id"])
    world.start(turn)
    world.asked.clear()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(get(client, f"/turns/{turn}", wait=20))
        await world.asked.wait()
        world.finish(turn, "hello")
    assert (waiting.result()["state"], waiting.result()["answer"]) == ("answered", "hello")


async def test_a_wait_sees_an_end_that_came_before_it_listened(client: Client, world: World) -> None:
    turn = TurnId((await post(client, "/messages", {"text": "hi"}))["id"])
    world.while_asking = lambda: world.finish(turn, "hello")
    view = await get(client, f"/turns/{turn}", wait=20)
    assert view["answer"] == "hello"


async def test_a_wait_that_runs_out_shows_the_turn_as_it_stands(client: Client) -> None:
    turn = (await post(client, "/messages", {"text": "hi"}))["id"]
    assert (await get(client, f"/turns/{turn}", wait=0.05))["state"] == "queued"


async def test_a_wait_ends_at_once_when_the_server_stops(
    server: ControlServer, client: Client, world: World
) -> None:
    turn = (await post(client, "/messages", {"text": "hi"}))["id"]
    world.asked.clear()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(get(client, f"/turns/{turn}", wait=600))
        await world.asked.wait()
        await asyncio.wait_for(server.stop(), 30)
    assert waiting.result()["state"] == "queued"


async def test_too_many_waits_are_turned_away() -> None:
    requests = OpenRequests(limit=1)
    with requests.one(), pytest.raises(ControlError, match="too many"), requests.one():
        pass
    with requests.one():
        pass


async def test_a_cancel_is_a_stop_that_names_its_turn(client: Client, world: World) -> None:
    turn = (await post(client, "/messages", {"text": "hi"}))["id"]
    await post(client, f"/turns/{turn}/cancel")
    [control] = world.controls
    assert (control.kind, control.turn, control.address.bridge) == ("stop", turn, "terminal")


async def test_a_turn_that_is_over_can_not_be_cancelled(client: Client, world: World) -> None:
    turn = TurnId((await post(client, "/messages", {"text": "hi"}))["id"])
    world.commit(turn, "hello")
    with pytest.raises(RemoteError, match="over"):
        await post(client, f"/turns/{turn}/cancel")
    assert not world.controls


async def test_a_failed_turn_is_asked_again_as_a_new_one(client: Client, world: World) -> None:
    turn = TurnId((await post(client, "/messages", {"text": "hi"}))["id"])
    world.commit(turn, "sorry", "failed", 69)
    assert (await post(client, f"/turns/{turn}/retry"))["id"] == "turn:fake-1-2"


@pytest.mark.parametrize("name", ["turn:zz-1-1", "nonsense", "../status", "a b", "%00", "ü"])
async def test_a_turn_that_does_not_exist_is_not_found(client: Client, name: str) -> None:
    with pytest.raises(RemoteError) as caught:
        await get(client, f"/turns/{segment(name)}")
    assert caught.value.code == "E-NOT-FOUND"


# --- what an operator does ------------------------------------------------------------------------------


async def test_a_push_is_written_once_under_its_id(client: Client, world: World) -> None:
    body = {"address": "telegram:1:2", "text": "hello", "id": "p1"}
    assert await post(client, "/push", body) == {"delivery": "delivery:fake-1"}
    assert await post(client, "/push", body) == {"delivery": None}
    [push] = world.pushes
    assert (str(push.address), push.text) == ("telegram:1:2", "hello")


@pytest.mark.parametrize(
    ("address", "status"), [("terminal:0:default", 409), ("signal:1:2", 404), ("telegram", 400)]
)
async def test_a_push_to_nowhere_is_refused(client: Client, world: World, address: str, status: int) -> None:
    with pytest.raises(RemoteError) as caught:
        await post(client, "/push", {"address": address, "text": "hello"})
    assert caught.value.status == status
    assert not world.pushes


async def test_a_refused_reload_brings_every_problem(client: Client, world: World) -> None:
    problems = [
        ConfigProblem(path="c.yaml", key="agent.busy", message="unknown", line=3, column=7, snippet="x\n^"),
        ConfigProblem(path="c.yaml", key="models", message="empty", remedy="add one"),
    ]
    world.reload_failure = ConfigError(problems)
    with pytest.raises(RemoteError) as caught:
        await post(client, "/reload")
    assert caught.value.exit_code == EXIT_CONFIG
    assert caught.value.problems == tuple(problems)


async def test_a_reload_says_what_changed(client: Client) -> None:
    assert await post(client, "/reload") == {"changed": ["agent"], "restart_needed": ["gateway.port"]}


async def test_a_stop_names_the_process_that_ends(client: Client, world: World) -> None:
    assert await post(client, "/stop") == {"pid": os.getpid()}
    assert world.stopped.is_set()


async def test_conversations_are_reset_and_deleted_by_name(client: Client, world: World) -> None:
    await post(client, "/messages", {"text": "hi", "conversation": "work"})
    await post(client, "/conversations/reset", {"conversation": "work"})
    assert await post(client, "/conversations/delete", {"conversation": "work"}) == {
        "turns": 1,
        "clean": True,
        "backups": 0,
    }
    assert [call[0] for call in world.calls] == ["reset", "delete"]
    with pytest.raises(RemoteError) as caught:
        await post(client, "/conversations/reset", {"conversation": "work"})
    assert caught.value.code == "E-NOT-FOUND"


async def test_dead_letters_are_listed_resubmitted_and_dropped(client: Client, world: World) -> None:
    for row in (1, 2):
        dead = DeadView(
            id=f"delivery:fake-{row}",
            bridge="telegram",
            conversation=Address(bridge="telegram", account="1", chat="2"),
            at=AT,
            why="403",
            text="hello",
            state="dead",
        )
        world.dead.append(dead)
    listed = (await get(client, "/dead"))["dead"]
    assert listed[0]["conversation"] == "telegram:1:2"
    assert await post(client, "/dead/resubmit", {"id": "delivery:fake-1"}) == {"id": "delivery:fake-1"}
    await post(client, "/dead/drop", {"id": "delivery:fake-2"})
    assert not (await get(client, "/dead"))["dead"]


async def test_a_pairing_is_approved_and_revoked(client: Client, world: World) -> None:
    principal = await post(client, "/pairings/approve", {"code": "ABCD2345", "owner": True})
    assert (principal["principal"], principal["right"]) == ("telegram:7", "owner")
    await post(client, "/pairings/revoke", {"principal": "telegram:7"})
    with pytest.raises(RemoteError) as caught:
        await post(client, "/pairings/approve", {"code": "ABCD2345", "owner": "yes"})
    assert caught.value.status == 400


async def test_models_and_bridges_are_tested(client: Client) -> None:
    assert (await post(client, "/bridges/telegram/test"))["detail"] == "@clawd_bot (12345)"
    tested = await post(client, "/models/demo/test")
    assert tested["detail"] == "answered: hello"
    assert tested["duration_s"] >= 0
    with pytest.raises(RemoteError) as caught:
        await post(client, f"/models/{segment('no such')}/test")
    assert caught.value.code == "E-NOT-FOUND"
