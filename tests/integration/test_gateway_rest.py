"""The gateway over real sockets: health, messages, tokens, life."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pydantic import TypeAdapter

from clawd.bridge import BridgeStatus
from clawd.config.base import Secret
from clawd.config.schema import GatewayConfig, TokenConfig
from clawd.conformance import MemoryInbox
from clawd.errors import InboxFull, JournalUnavailable
from clawd.gateway.app import CannotListen, Gateway
from clawd.gateway.auth import TokenStore
from clawd.gateway.health import Readiness
from clawd.gateway.surroundings import Surroundings
from clawd.ids import SystemClock
from clawd.messages import Refused
from tests.fakes.control_services import World
from tests.fakes.gateway_site import READY, erase, not_ready, site

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clawd.messages import AcceptResult, Cursor, Inbound


async def test_alive_answers_whatever_else_is_wrong(state_dir: Path) -> None:
    async with site(state_dir) as here:
        here.readiness = not_ready(replayed=False, journal_writable=False, draining=True)
        assert await here.call("GET", "/healthz", token="") == (200, {"status": "ok"})
        assert await here.call("GET", "/livez", token="") == (200, {"status": "ok"})


async def test_ready_follows_the_daemon_and_never_a_bridge(state_dir: Path) -> None:
    down = BridgeStatus(
        name="telegram",
        type="telegram",
        state="bad_credentials",
        since=datetime(2026, 1, 1, tzinfo=UTC),
        error="401 of bot123",
    )
    async with site(state_dir) as here:
        here.readiness = Readiness(replayed=True, journal_writable=True, draining=False, bridges=[down])
        assert await here.call("GET", "/readyz", token="") == (200, {"status": "ready", "failing": []})
        status, body = await here.call("GET", "/readyz?verbose", token="")
        assert (status, body["checks"]["journal"]) == (200, "ok")
        assert body["bridges"] == [
            {
                "name": "telegram",
                "type": "telegram",
                "state": "bad_credentials",
                "since": "2026-01-01T00:00:00+00:00",
            }
        ]
        here.readiness = not_ready(journal_writable=False)
        assert await here.call("GET", "/readyz", token="") == (
            503,
            {"status": "unavailable", "failing": ["journal"]},
        )


async def test_a_message_is_accepted_then_found_with_its_reply(state_dir: Path) -> None:
    async with site(state_dir) as here:
        status, told = await here.call("POST", "/v1/messages", json={"text": "hi", "conversation": "c1"})
        assert status == 202
        assert told == {"id": told["id"], "conversation": "c1", "status": "queued", "position": 0}
        _, queued = await here.call("GET", f"/v1/messages/{told['id']}")
        assert (queued["status"], queued["replies"]) == ("queued", [])
        here.world.finish(told["id"], "Hello.")
        _, done = await here.call("GET", f"/v1/messages/{told['id']}")
        assert (done["status"], done["replies"][0]["text"], done["model"]) == ("answered", "Hello.", "demo")
        _, second = await here.call("POST", "/v1/messages", json={"text": "more", "conversation": "c1"})
        assert second["id"] != told["id"]


async def test_the_same_key_and_body_is_a_duplicate_and_another_body_a_conflict(state_dir: Path) -> None:
    async with site(state_dir) as here:
        key = {"Idempotency-Key": "k1"}
        _, first = await here.call("POST", "/v1/messages", json={"text": "hi"}, headers=key)
        again = await here.call("POST", "/v1/messages", json={"text": "hi"}, headers=key)
        assert again == (
            200,
            {"id": first["id"], "conversation": first["conversation"], "status": "duplicate"},
        )
        status, body = await here.call("POST", "/v1/messages", json={"text": "ho"}, headers=key)
        assert (status, body["error"]["code"]) == (409, "conflict")
        assert len(here.world.messages) == 1


async def test_many_at_once_under_one_key_are_one_message(state_dir: Path) -> None:
    async with site(state_dir, inbox=(inbox := MemoryInbox())) as here:
        statuses: list[int] = []

        async def post() -> None:
            status, _ = await here.call(
                "POST", "/v1/messages", json={"text": "hi"}, headers={"Idempotency-Key": "k"}
            )
            statuses.append(status)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(post())
        assert sorted(statuses) == [200] * 19 + [202]
        assert len(inbox.messages) == 1


async def test_a_command_is_answered_at_once(state_dir: Path) -> None:
    async with site(state_dir) as here:
        status, body = await here.call("POST", "/v1/messages", json={"text": "/status"})
        assert (status, body["id"], body["replies"][0]["text"]) == (200, None, "all is well")


async def test_a_message_may_ask_for_a_model_and_is_refused_at_once_where_there_is_none(
    state_dir: Path,
) -> None:
    async with site(state_dir) as here:
        status, _ = await here.call("POST", "/v1/messages", json={"text": "hi", "model": "main"})
        assert (status, here.world.messages[-1].model) == (202, "main")
        status, body = await here.call("POST", "/v1/messages", json={"text": "hi", "model": "gpt-99"})
        assert (status, body["error"]["code"]) == (400, "unknown_model")
        assert "main, default" in str(body["error"])
        assert len(here.world.messages) == 1


class _Refusing:
    """An inbox that lets nobody in."""

    def __init__(self, refused: Refused) -> None:
        self._refused = refused

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        return [self._refused for _ in batch]

    async def cursor(self, key: str) -> str | None:
        return None


@pytest.mark.parametrize(
    ("refused", "status"), [(Refused(reason="rate", text="Slowly."), 429), (Refused(reason="stranger"), 403)]
)
async def test_who_is_not_let_in_is_told_so(state_dir: Path, refused: Refused, status: int) -> None:
    async with (
        site(state_dir, inbox=_Refusing(refused)) as here,
        here.client.post(
            "/v1/messages", json={"text": "hi"}, headers={"Authorization": f"Bearer {here.token}"}
        ) as response,
    ):
        assert response.status == status
        assert ("Retry-After" in response.headers) == (status == 429)


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [(InboxFull(5, retry_after_s=6.2), "7"), (JournalUnavailable("disk full", why="/var/x"), "5")],
)
async def test_when_nothing_can_be_stored_the_client_is_asked_to_come_again(
    state_dir: Path, error: Exception, retry_after: str
) -> None:
    async with site(state_dir) as here:
        here.world.failure = error
        headers = {"Authorization": f"Bearer {here.token}"}
        async with here.client.post("/v1/messages", json={"text": "hi"}, headers=headers) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, retry_after)
            assert "/var/x" not in await response.text()


async def test_while_draining_messages_are_refused_and_answers_still_found(state_dir: Path) -> None:
    async with site(state_dir) as here:
        _, told = await here.call("POST", "/v1/messages", json={"text": "hi"})
        here.readiness = not_ready(draining=True)
        status, body = await here.call("POST", "/v1/messages", json={"text": "hi"})
        assert (status, body["error"]["code"]) == (503, "draining")
        assert (await here.call("GET", f"/v1/messages/{told['id']}"))[0] == 200
        assert (await here.call("POST", "/bridges/none"))[0] == 503


async def test_without_a_token_nothing_is_told_and_another_token_sees_nothing(state_dir: Path) -> None:
    config = GatewayConfig(
        port=0,
        tokens=(
            TokenConfig(name="shop", token=Secret("s-1")),
            TokenConfig(name="bank", token=Secret("b-1")),
            TokenConfig(name="ops", token=Secret("o-1"), scopes=("admin",)),
        ),
    )
    async with site(state_dir, config=config) as here:
        assert not (state_dir / "gateway.token").exists()
        for method, path in (("POST", "/v1/messages"), ("GET", "/v1/messages/turn:fake-1-1")):
            async with here.client.request(method, path) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == 'Bearer realm="clawd"'
        _, told = await here.call("POST", "/v1/messages", token="s-1", json={"text": "hi"})
        shown = {
            t: (await here.call("GET", f"/v1/messages/{told['id']}", token=t))[0]
            for t in ("s-1", "b-1", "o-1")
        }
        assert shown == {"s-1": 200, "b-1": 404, "o-1": 200}


async def test_a_reload_swaps_tokens_names_and_limits_at_once(state_dir: Path) -> None:
    async with site(state_dir) as here:
        big = {"text": "x" * 5000}
        named = {"Host": "clawd.example"}
        assert (await here.call("POST", "/v1/messages", json=big))[0] == 202
        assert (await here.call("GET", "/healthz", headers=named))[0] == 403
        await here.gateway.configure(
            GatewayConfig(
                port=1,
                hosts=("clawd.example",),
                max_body_bytes=1024,
                tokens=(TokenConfig(name="new", token=Secret("n-1")),),
            )
        )
        assert (await here.call("POST", "/v1/messages", json=big))[0] == 401
        assert (await here.call("POST", "/v1/messages", token="n-1", json=big))[0] == 413
        assert (await here.call("GET", "/healthz", headers=named))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/messages/turn:fake-9-9", 404),
        ("GET", "/v1/messages/nonsense", 404),
        ("GET", "/v1/messages", 405),
        ("DELETE", "/v1/messages/turn:fake-1-1", 405),
        ("POST", "/healthz", 405),
        ("POST", "/bridges/none", 404),
        ("GET", "/bridges/none", 404),
        ("PUT", "/bridges/none", 405),
        ("GET", "/bridges/../v1/messages/x", 404),
    ],
)
async def test_every_wrong_turning_has_the_same_shape(
    state_dir: Path, method: str, path: str, status: int
) -> None:
    async with site(state_dir) as here:
        found, body = await here.call(method, path)
        assert found == status
        assert set(body["error"]) <= {"code", "message", "try", "request_id"}
        assert body["error"]["message"]


async def test_a_text_at_the_cap_is_taken_and_one_over_it_refused(state_dir: Path) -> None:
    limit = GatewayConfig().max_body_bytes
    frame = len('{"text": ""}')
    async with site(state_dir) as here:
        for over, status in ((0, 202), (1, 413)):
            body = io.BytesIO(b'{"text": "' + b"x" * (limit - frame + over) + b'"}')
            headers = {"Content-Type": "application/json"}
            assert (await here.call("POST", "/v1/messages", data=body, headers=headers))[0] == status


@pytest.mark.parametrize("wait", ["x", "-1", "nan", "inf", "", "1_0", "%201", "٣"])
async def test_a_wait_that_is_no_time_is_refused(state_dir: Path, wait: str) -> None:
    async with site(state_dir) as here:
        _, told = await here.call("POST", "/v1/messages", json={"text": "hi"})
        assert (await here.call("GET", f"/v1/messages/{told['id']}?wait={wait}"))[0] == 400


# --- life --------------------------------------------------------------------------------------------


async def test_port_false_opens_nothing(state_dir: Path) -> None:
    config = TypeAdapter(GatewayConfig).validate_python({"port": False})
    gateway = _bare(config, state_dir)
    async with gateway:
        assert gateway.url is None
    assert list(state_dir.iterdir()) == []


async def test_port_zero_finds_a_free_one_and_says_which(state_dir: Path) -> None:
    gateway = _bare(TypeAdapter(GatewayConfig).validate_python({"port": 0}), state_dir)
    async with gateway:
        assert gateway.url is not None
        assert int(gateway.url.rpartition(":")[2]) > 0
    assert gateway.url is None


async def test_a_port_in_use_is_named(state_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as caught:
            await _bare(GatewayConfig(port=port), state_dir).start()
    assert f"port {port} is in use by " in caught.value.what
    assert caught.value.what.endswith(f"(process {os.getpid()})")
    assert "gateway.port" in caught.value.remedy


async def test_a_default_port_in_use_gives_way_to_a_free_one(state_dir: Path) -> None:
    async with _bare(GatewayConfig(), state_dir) as first, _bare(GatewayConfig(), state_dir) as second:
        assert first.url is not None
        assert second.url is not None
        assert first.url != second.url
        assert second.moved_from == GatewayConfig().port


async def test_a_host_that_is_not_ours_is_named(state_dir: Path) -> None:
    with pytest.raises(CannotListen, match=r"nowhere\.invalid:0") as caught:
        await _bare(GatewayConfig(host="nowhere.invalid", port=0), state_dir).start()
    assert caught.value.why


async def test_after_a_stop_the_port_is_free_for_the_next_one(state_dir: Path) -> None:
    async with site(state_dir) as here:
        port = here.port
        await here.call("GET", "/healthz")  # leaves a kept-alive connection behind
    async with site(state_dir, config=GatewayConfig(port=port)) as here:
        assert (await here.call("GET", "/healthz"))[0] == 200


async def _no_metrics() -> tuple[()]:
    return ()


def _bare(config: GatewayConfig, state_dir: Path) -> Gateway:
    world = World()
    services = world.services()
    around = Surroundings(
        inbox=services.inbox,
        views=services.views,
        fanout=world.fanout,
        readiness=lambda: READY,
        metrics=_no_metrics,
        bridges=dict,
        tokens=TokenStore(state_dir),
        clock=SystemClock(),
        erase=lambda address, only: erase(services, address, only),
        models=services.names,
    )
    return Gateway(config, around)
