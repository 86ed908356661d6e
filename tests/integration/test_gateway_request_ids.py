"""X-Request-Id: taken from who sends a good one, made for everybody else, and told everywhere."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from clawd.observability.about import now_about
from tests.fakes.gateway_site import error_of, site

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.bridge import HttpReply, HttpRequest, Inbox

OURS = re.compile(r"req_[0-9a-f]{24}")
GET = b"GET /v1/messages/none HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n"


@pytest.mark.parametrize(
    "given", ["7f0b6c4e-7c2d-4b6e-9a43-1f9f0a9a2a51", "Root=1-67891233-abcdef012345678912345678", "a" * 128]
)
async def test_an_id_that_proxies_send_is_kept_on_the_answer_and_in_the_error(
    state_dir: Path, given: str
) -> None:
    async with site(state_dir) as here:
        _, headers, body = await here.raw(GET % f"X-Request-Id: {given}\r\n".encode())
        assert headers["x-request-id"] == given
        assert error_of(body)["request_id"] == given


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"X-Request-Id: \r\n",
        b"X-Request-Id: two words\r\n",
        b'X-Request-Id: "quoted"\r\n',
        b"X-Request-Id: \x1b[31mred\r\n",
        b"X-Request-Id: " + b"a" * 129 + b"\r\n",
        b"X-Request-Id: caf\xc3\xa9\r\n",
        b"X-Request-Id: one\r\nX-Request-Id: two\r\n",
    ],
)
async def test_without_a_good_one_we_make_our_own(state_dir: Path, lines: bytes) -> None:
    async with site(state_dir) as here:
        status, headers, body = await here.raw(GET % lines)
        if status == 400:
            return  # the HTTP library takes no such header at all
        assert OURS.fullmatch(headers["x-request-id"])
        assert error_of(body)["request_id"] == headers["x-request-id"]


async def test_every_request_has_its_own_also_on_one_connection(state_dir: Path) -> None:
    async with site(state_dir) as here:
        found = set()
        for path in ("/healthz", "/readyz", "/v1/models", "/nothing"):
            async with here.client.get(path) as answer:
                found.add(answer.headers["X-Request-Id"])
        assert len(found) == 4


async def test_openai_s_shape_has_it_too(state_dir: Path) -> None:
    async with site(state_dir) as here:
        _, body = await here.call("GET", "/v1/models/none", headers={"X-Request-Id": "mine"})
        assert body["error"]["request_id"] == "mine"


async def test_the_line_of_the_log_tells_the_request_and_no_query(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "clawd.gateway.request_ids")
    async with site(state_dir) as here, here.client.get("/healthz?token=hidden") as answer:
        await answer.read()
    (line,) = (record.__dict__ for record in caplog.records if record.msg == "gateway_request")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/healthz", 200)
    assert "hidden" not in str(line)


class Broken:
    """A webhook bridge with a bug."""

    max_body_bytes = 1000

    async def handle(self, _request: HttpRequest, _inbox: Inbox) -> HttpReply:
        raise RuntimeError("a bug")


class Abouts(logging.Handler):
    """Notes what the lines of the gateway are about."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append((record.getMessage(), now_about().get("request")))


async def test_a_bug_s_traceback_has_the_id_and_the_next_request_its_own(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    abouts = Abouts()
    root = logging.getLogger("clawd.gateway")
    caplog.set_level(logging.DEBUG, root.name)
    root.addHandler(abouts)
    try:
        async with site(state_dir, bridges={"hook": Broken()}) as here:
            for path, name in (("/bridges/hook", "first"), ("/nothing", "second")):
                async with here.client.get(path, headers={"X-Request-Id": name}) as answer:
                    assert answer.headers["X-Request-Id"] == name
    finally:
        root.removeHandler(abouts)
    assert ("Error handling request from 127.0.0.1", "first") in abouts.seen
    assert ("gateway_request", "first") in abouts.seen
    assert not [line for line in abouts.seen if line[1] == "first"][2:]
