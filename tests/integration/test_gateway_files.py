"""Files over HTTP: put, shown, fetched and deleted, and every wrong way to do so."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from clawd.config.schema import GatewayConfig, JournalConfig, TokenConfig
from clawd.journal.opening import OpenJournal, open_journal
from clawd.testing import ManualClock
from tests.fakes.gateway_site import Site, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MAX = 200_000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)
SHOP, OPS, READER = "shop-token-of-this-test", "ops-token-of-this-test", "read-token-of-this-test"
OTHER = "other-token-of-this-test"
TOKENS = GatewayConfig(
    port=0,
    tokens=(
        TokenConfig.model_validate({"name": "shop", "token": SHOP, "scopes": ["chat"]}),
        TokenConfig.model_validate({"name": "other", "token": OTHER, "scopes": ["chat"]}),
        TokenConfig.model_validate({"name": "reader", "token": READER, "scopes": ["read"]}),
        TokenConfig.model_validate({"name": "ops", "token": OPS, "scopes": ["admin"]}),
    ),
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def opened(state_dir: Path, clock: ManualClock) -> AsyncIterator[OpenJournal]:
    config = JournalConfig(max_file_bytes=MAX, max_files_bytes=2 * MAX)
    journal = await open_journal(state_dir, config, clock)
    yield journal
    await journal.close()


@pytest.fixture
async def here(state_dir: Path, opened: OpenJournal) -> AsyncIterator[Site]:
    async with site(state_dir, config=TOKENS, artifacts=opened.artifacts) as made:
        yield made


def form(content: bytes, *, name: str = "a.png", mime: str = "image/png", **more: str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("file", content, filename=name, content_type=mime)
    for key, value in more.items():
        data.add_field(key, value)
    return data


async def put(here: Site, data: Any, *, token: str = SHOP, path: str = "/v1/files", **options: Any) -> Any:
    return await here.call("POST", path, token=token, data=data, **options)


async def content(here: Site, ref: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    headers["Authorization"] = f"Bearer {SHOP}"
    async with here.client.get(f"/v1/files/{ref}/content", headers=headers) as reply:
        return reply.status, await reply.read(), dict(reply.headers)


@pytest.mark.parametrize("data", [None, b"", form(b"")])
async def test_nothing_is_no_file(here: Site, data: Any) -> None:
    status, told = await put(here, data)
    assert (status, told["error"]["code"]) == (400, "bad_request")
    assert told["error"]["message"] in ("the body is empty", "the file is empty")
    assert "--data-binary" in told["error"]["try"]
    assert (await here.call("GET", "/v1/files", token=SHOP))[1]["files"] == []


async def test_openai_sdk_reads_what_it_puts(here: Site) -> None:
    openai = importlib.import_module("openai")
    async with openai.AsyncOpenAI(base_url=f"{here.gateway.url}/v1", api_key=SHOP, max_retries=0) as client:
        put_here = await client.files.create(file=("a.png", PNG), purpose="vision")
        assert (put_here.object, put_here.bytes, put_here.filename, put_here.purpose) == (
            "file",
            len(PNG),
            "a.png",
            "vision",
        )
        found = await client.files.retrieve(put_here.id)
        assert (found.created_at, found.purpose) == (put_here.created_at, "user_data")
        assert isinstance(found.created_at, int)
    _, told = await here.call("GET", f"/v1/files/{put_here.id}", token=SHOP)
    assert datetime.fromisoformat(told["created_at"]).timestamp() // 1 == found.created_at


async def test_a_file_of_a_form_is_stored_and_comes_back_as_it_was(here: Site) -> None:
    status, told = await put(here, form(PNG, name="../Ada's photo.png", mime="text/html", purpose="vision"))
    assert status == 201, told
    assert told == {
        "id": told["id"],
        "name": "Ada's photo.png",
        "mime": "image/png",
        "size": len(PNG),
        "created_at": "2026-01-01T12:00:00.000Z",
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "object": "file",
        "bytes": len(PNG),
        "filename": "Ada's photo.png",
        "purpose": "vision",
    }
    shown = (200, {**told, "purpose": "user_data"})
    assert await here.call("GET", f"/v1/files/{told['id']}", token=SHOP) == shown
    status, body, headers = await content(here, told["id"])
    assert (status, body) == (200, PNG)
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''Ada%27s%20photo.png"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]


async def test_a_body_that_is_the_file_itself_is_taken_too(here: Site) -> None:
    status, told = await put(
        here, b"a,b\n1,2\n", path="/v1/files?name=table.csv", headers={"Content-Type": "text/csv"}
    )
    assert (status, told["name"], told["mime"], told["size"]) == (201, "table.csv", "text/csv", 8)


async def test_the_same_content_again_is_another_file_of_the_same_hash(here: Site) -> None:
    one, two = (await put(here, form(PNG)))[1], (await put(here, form(PNG)))[1]
    assert one["sha256"] == two["sha256"]
    assert one["id"] != two["id"]


async def test_a_part_of_a_file_can_be_asked_for(here: Site) -> None:
    ref = (await put(here, form(PNG)))[1]["id"]
    status, body, headers = await content(here, ref, Range="bytes=1-7")
    assert (status, body, headers["Content-Range"]) == (206, PNG[1:8], f"bytes 1-7/{len(PNG)}")
    assert (await content(here, ref, Range="bytes=-3"))[:2] == (206, PNG[-3:])
    assert (await content(here, ref, Range="bytes=9999-"))[0] == 416
    assert (await content(here, ref, Range="lines=1-2"))[:2] == (200, PNG)


async def test_a_token_sees_its_own_files_and_an_operator_all(here: Site) -> None:
    ref = (await put(here, form(PNG)))[1]["id"]
    for method, path in (("GET", ref), ("GET", f"{ref}/content"), ("DELETE", ref)):
        async with here.client.request(
            method, f"/v1/files/{path}", headers={"Authorization": f"Bearer {OTHER}"}
        ) as reply:
            assert reply.status == 404, (method, path)
    assert (await here.call("GET", f"/v1/files/{ref}", token=OPS))[0] == 200
    assert (await here.call("GET", f"/v1/files/{ref}", token=""))[0] == 401
    assert (await put(here, form(PNG), token=READER))[0] == 403
    assert (await here.call("DELETE", f"/v1/files/{ref}", token=READER))[0] == 403


async def test_files_are_listed_a_page_at_a_time_and_only_to_their_token(
    here: Site, opened: OpenJournal, clock: ManualClock
) -> None:
    refs = []
    for number in range(5):
        refs.append((await put(here, form(PNG, name=f"{number}.png")))[1]["id"])
        await clock.advance(number % 2)  # two and two of one millisecond
    await put(here, form(PNG), token=OTHER)
    seen: list[Any] = []
    cursor = ""
    while True:
        status, page = await here.call("GET", f"/v1/files?limit=2{cursor}", token=SHOP)
        assert status == 200, page
        seen += page["files"]
        if page["cursor"] is None:
            break
        cursor = f"&after={page['cursor']}"
    assert [file["id"] for file in seen[:1]] == refs[4:], "the newest first"
    assert sorted(file["id"] for file in seen) == sorted(refs), "each of them once, and no other token's"
    assert sorted(seen, key=lambda file: file["created_at"], reverse=True) == seen
    assert seen[0] == (await here.call("GET", f"/v1/files/{refs[4]}", token=SHOP))[1]
    assert (await here.call("GET", "/v1/files", token=READER)) == (200, {"files": [], "cursor": None})
    for query in ("after=x", "limit=0", "limit=201", "after="):
        status, told = await here.call("GET", f"/v1/files?{query}", token=SHOP)
        assert (status, bool(told["error"]["message"])) == (400, True), query


async def test_a_list_goes_on_behind_a_file_that_was_deleted_meanwhile(here: Site) -> None:
    for _ in range(3):
        await put(here, form(PNG))
    _, page = await here.call("GET", "/v1/files?limit=2", token=SHOP)
    async with here.client.delete(
        f"/v1/files/{page['files'][1]['id']}", headers={"Authorization": f"Bearer {SHOP}"}
    ) as reply:
        assert reply.status == 204
    _, rest = await here.call("GET", f"/v1/files?after={page['cursor']}", token=SHOP)
    assert len(rest["files"]) == 1


async def test_a_deleted_file_is_gone(here: Site, state_dir: Path) -> None:
    ref = (await put(here, form(PNG)))[1]["id"]
    async with here.client.delete(f"/v1/files/{ref}", headers={"Authorization": f"Bearer {SHOP}"}) as reply:
        assert reply.status == 204
    assert (await here.call("GET", f"/v1/files/{ref}", token=SHOP))[0] == 404
    assert not [p for p in (state_dir / "artifacts").rglob("*") if p.is_file()]


# --- bad input ------------------------------------------------------------------------------------------


async def test_a_file_that_is_too_large_is_refused_before_it_is_read(here: Site) -> None:
    head = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SHOP}\r\n"
    status, _, body = await here.raw(f"{head}Content-Length: {MAX + 1}\r\n\r\n".encode())
    assert (status, b"larger than 200,000 bytes" in body) == (413, True)
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    status, _, body = await here.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), then=chunk * 4)
    assert (status, b"larger than 200,000 bytes" in body) == (413, True), "though its length is not told"


async def test_a_full_store_says_so(here: Site) -> None:
    assert (await put(here, form(b"0" * (MAX - 1000))))[0] == 201
    status, told = await put(here, form(b"1" * (MAX - 1000)))
    assert (status, told["error"]["code"]) == (503, "files_full"), "one token's share"
    assert "the files of api:shop together may have 200,000 bytes" in told["error"]["message"]
    assert (await put(here, form(b"1" * (MAX - 1000)), token=OTHER))[0] == 201
    status, told = await put(here, form(b"2" * (MAX - 1000)), token=OPS)
    assert (status, told["error"]["code"]) == (503, "files_full")
    assert "400,000 bytes" in told["error"]["message"]


async def test_a_body_that_stands_still_is_given_up(state_dir: Path, opened: OpenJournal) -> None:
    head = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SHOP}\r\n"
    async with site(state_dir, config=TOKENS, artifacts=opened.artifacts, body_timeout_s=0.3) as here:
        status, _, body = await here.raw(f"{head}Content-Length: 100\r\n\r\n".encode(), then=b"half")
    assert (status, b"too slowly" in body) == (408, True)
    assert not [p for p in (state_dir / "artifacts").rglob("*") if p.is_file()]


def multipart(*fields: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\n" + field + b"\r\n" for field in fields) + end


FILE = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\ncontent'


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (multipart(), 400, "no field file"),
        (multipart(b'Content-Disposition: form-data; name="purpose"\r\n\r\nx'), 400, "no field file"),
        (multipart(b'Content-Disposition: form-data; name="path"\r\n\r\nx'), 400, "unknown field path"),
        (multipart(FILE, FILE), 400, "one file at a time"),
        (
            multipart(b'Content-Disposition: form-data; name="purpose"\r\n\r\n' + b"x" * 2000),
            400,
            "larger than 1024",
        ),
        (
            multipart(*[b'Content-Disposition: form-data; name="purpose"\r\n\r\nx'] * 9),
            400,
            "more than 7 fields",
        ),
        (
            multipart(b"Content-Transfer-Encoding: base64\r\n" + FILE),
            415,
            "Content-Transfer-Encoding of a field",
        ),
        (b"nothing of the kind", 400, "can't be read"),
        (multipart(FILE, end=b""), 400, "can't be read"),
        (multipart(b"A" * 20_000 + b": x\r\n\r\n"), 400, ""),
        (multipart(b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y--"), 400, ""),
    ],
)
async def test_a_form_of_another_shape_is_told_what_is_wrong(
    here: Site, body: bytes, status: int, says: str
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    found, told = await put(here, body, headers=headers)
    assert (found, says in told["error"]["message"]) == (status, True), told


async def test_other_bodies_are_refused(here: Site) -> None:
    for kind, encoding in (("multipart/mixed; boundary=x", ""), ("text/plain", "gzip")):
        headers = {"Content-Type": kind, **({"Content-Encoding": encoding} if encoding else {})}
        assert (await put(here, b"x", headers=headers))[0] == 415, kind
    assert (await put(here, b"x", headers={"Content-Type": "multipart/form-data"}))[0] == 400
    assert (await here.call("GET", "/v1/files/artifact:..%2f..%2fclawd.db", token=SHOP))[0] == 404


async def test_a_client_that_hangs_up_leaves_nothing(here: Site, state_dir: Path) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", here.port)
    head = f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SHOP}\r\n"
    writer.write(f"{head}Content-Length: 100000\r\n\r\nhalf".encode())
    await writer.drain()
    root = state_dir / "artifacts"
    async with asyncio.timeout(10):
        while not [p for p in root.rglob("*") if p.is_file()]:
            await asyncio.sleep(0.005)
        writer.close()
        while [p for p in root.rglob("*") if p.is_file()]:
            await asyncio.sleep(0.005)
