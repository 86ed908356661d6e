"""Browsers and reverse proxies: which pages are let in, and whose word about a client is believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from clawd.bridge import HttpReply
from clawd.config.schema import GatewayConfig
from tests.fakes.gateway_site import Site, error_of, site

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.bridge import HttpRequest, Inbox

APP = "https://app.example.com"
CORS = GatewayConfig(port=0, cors=(APP,))


@dataclass(slots=True)
class Door:
    """A bridge that answers what it is told and remembers who asked."""

    name: str = "door"
    max_body_bytes: int = 1000
    body: bytes = b""
    seen: list[HttpRequest] = field(default_factory=list)

    async def handle(self, request: HttpRequest, _inbox: Inbox) -> HttpReply:
        self.seen.append(request)
        return HttpReply(status=200, body=self.body)


def door() -> Any:
    return Door()


async def headers_of(here: Site, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with here.client.request(method, path, headers=sent) as response:
        return response.status, {name.lower(): value for name, value in response.headers.items()}


# --- pages ------------------------------------------------------------------------------------------


async def test_an_allowed_page_may_ask_first_and_then_read_the_answer(state_dir: Path) -> None:
    async with site(state_dir, config=CORS) as here:
        status, told = await headers_of(
            here,
            "OPTIONS",
            "/v1/messages",
            Origin=APP,
            Access_Control_Request_Method="POST",
            Access_Control_Request_Headers="authorization, content-type,x y,idempotency-key",
        )
        assert (status, told["access-control-allow-origin"], told["vary"]) == (204, APP, "Origin")
        assert told["access-control-allow-headers"] == "authorization, content-type, idempotency-key"
        assert "POST" in told["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in told
        status, told = await headers_of(
            here, "POST", "/v1/messages", Origin=APP, Authorization=f"Bearer {here.token}"
        )
        assert (status, told["access-control-allow-origin"]) == (415, APP)  # it may read why, too
        assert "Retry-After" in told["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "http://app.example.com", f"{APP}:8443", f"{APP}.evil.test", "*"]
)
async def test_another_page_is_refused_and_told_nothing(state_dir: Path, origin: str) -> None:
    async with site(state_dir, config=CORS) as here:
        for method in ("OPTIONS", "POST", "GET"):
            status, told = await headers_of(
                here, method, "/v1/messages", Origin=origin, Access_Control_Request_Method="POST"
            )
            assert (status, told["vary"]) == (403, "Origin"), method
            assert "access-control-allow-origin" not in told


async def test_without_a_list_no_page_is_allowed_and_no_answer_speaks_of_it(state_dir: Path) -> None:
    async with site(state_dir) as here:
        status, told = await headers_of(
            here, "OPTIONS", "/v1/messages", Origin=APP, Access_Control_Request_Method="POST"
        )
        assert status == 403
        status, told = await headers_of(here, "GET", "/healthz")
        assert (status, "vary" in told) == (200, False)


async def test_an_allowed_page_has_no_business_with_bridges_and_commands(state_dir: Path) -> None:
    async with site(state_dir, config=CORS, bridges={"door": door()}) as here:
        for path in ("/bridges/door", "/control/v1/status"):
            _, told = await headers_of(here, "OPTIONS", path, Origin=APP, Access_Control_Request_Method="GET")
            assert "access-control-allow-origin" not in told, path


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),  # <img>, <script>
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}, 403),  # another port of this host
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 200),  # a link to it
        ({"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}, 200),
        ({"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"}, 200),  # typed by a person
    ],
)
async def test_what_a_foreign_page_has_fetched_is_refused_though_it_has_no_origin(
    state_dir: Path, given: dict[str, str], status: int
) -> None:
    async with site(state_dir) as here:
        assert (await headers_of(here, "GET", "/healthz", **given))[0] == status


# --- proxies ----------------------------------------------------------------------------------------


async def seen_by_a_bridge(here: Site, **headers: str) -> str:
    status, _ = await headers_of(here, "GET", "/bridges/door", **headers)
    assert status == 200
    return here.bridges["door"].seen[-1].remote  # type: ignore[attr-defined,no-any-return]


async def test_forwarded_headers_of_anybody_else_are_not_believed(state_dir: Path) -> None:
    config = GatewayConfig(port=0, hosts=("clawd.example.com",), trusted_proxies=("10.0.0.0/8",))
    async with site(state_dir, config=config, bridges={"door": door()}) as here:
        assert await seen_by_a_bridge(here, X_Forwarded_For="203.0.113.9") == "127.0.0.1"
        status, _, _ = await here.raw(
            b"GET /healthz HTTP/1.1\r\nHost: evil.test\r\nX-Forwarded-Host: clawd.example.com\r\n\r\n"
        )
        assert status == 403


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the first one anybody could write
        ("1.2.3.4, 203.0.113.9, 127.0.0.5", "203.0.113.9"),  # two proxies
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("127.0.0.9", "127.0.0.9"),
        ("", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("203.0.113.9, <script>", "127.0.0.1"),
        (", ".join(["127.0.0.3"] * 200), "127.0.0.3"),
    ],
)
async def test_a_trusted_proxy_tells_who_asks(state_dir: Path, header: str, client: str) -> None:
    config = GatewayConfig(port=0, trusted_proxies=("127.0.0.0/8",))
    async with site(state_dir, config=config, bridges={"door": door()}) as here:
        assert await seen_by_a_bridge(here, X_Forwarded_For=header) == client


async def test_the_host_that_a_trusted_proxy_was_asked_for_is_the_one_that_is_checked(
    state_dir: Path,
) -> None:
    config = GatewayConfig(port=0, hosts=("clawd.example.com",), trusted_proxies=("127.0.0.1",))
    async with site(state_dir, config=config) as here:

        async def ask(*lines: str) -> tuple[int, str]:
            head = "\r\n".join(["GET /healthz HTTP/1.1", *lines]) + "\r\n\r\n"
            status, _, body = await here.raw(head.encode())
            return status, "" if status == 200 else error_of(body)["code"]

        passed = "X-Forwarded-Host: clawd.example.com"
        assert await ask("Host: inner", passed) == (200, "")
        assert await ask("Host: localhost", "X-Forwarded-Host: evil.test") == (403, "foreign_host")
        page = "Origin: https://clawd.example.com"
        assert await ask("Host: inner", passed, "X-Forwarded-Proto: https", page) == (200, "")
        assert await ask("Host: inner", passed, "Origin: https://evil.test") == (403, "foreign_origin")
