"""Messages with pictures, sounds and files: stored before they are accepted, or refused with the reason."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.schema import GatewayConfig, JournalConfig, TokenConfig
from clawd.gateway.attachments import Attachments
from clawd.gateway.problems import RequestRefused
from clawd.gateway.token import Token
from clawd.journal.opening import OpenJournal, open_journal
from clawd.messages import Accepted, Audio, File, Image, InboundMessage, Text
from clawd.testing import ManualClock
from tests.fakes.gateway_site import Site, site
from tests.fakes.gateway_socket import talk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from clawd.messages import AcceptResult, Cursor, Inbound, Part

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
DATA = base64.b64encode(PNG).decode()
SHOP, OTHER = "shop-token-of-this-test", "other-token-of-this-test"
CONFIG = GatewayConfig(
    port=0,
    tokens=(
        TokenConfig.model_validate({"name": "shop", "token": SHOP, "scopes": ["chat"]}),
        TokenConfig.model_validate({"name": "other", "token": OTHER, "scopes": ["chat"]}),
    ),
)


class Taking:
    """An inbox that keeps what it takes, and looks whether its files are there by then."""

    def __init__(self, opened: OpenJournal) -> None:
        self.opened = opened
        self.parts: list[tuple[Part, ...]] = []
        self.there: list[str] = []

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        for item in batch:
            assert isinstance(item, InboundMessage)
            self.parts.append(item.parts)
            for part in item.parts:
                if not isinstance(part, Text) and part.ref.startswith("artifact:"):
                    self.there.append((await self.opened.artifacts.stat(part.ref)).ref)
        return [Accepted(turn="turn:abc-1-1") for _ in batch]  # type: ignore[arg-type]

    async def cursor(self, key: str) -> str | None:
        return None


@pytest.fixture
async def taking(state_dir: Path) -> AsyncIterator[Taking]:
    journal = await open_journal(state_dir, JournalConfig(max_file_bytes=50_000), ManualClock())
    yield Taking(journal)
    await journal.close()


@pytest.fixture
async def here(state_dir: Path, taking: Taking) -> AsyncIterator[Site]:
    async with site(state_dir, config=CONFIG, inbox=taking, artifacts=taking.opened.artifacts) as made:
        yield made


async def send(here: Site, *parts: dict[str, Any], token: str = SHOP) -> tuple[int, Any]:
    return await here.call("POST", "/v1/messages", token=token, json={"parts": list(parts)})


async def test_what_comes_inline_is_stored_before_the_message_is_accepted(here: Site, taking: Taking) -> None:
    sound = base64.b64encode(b"OggS" + bytes(50)).decode()
    status, told = await send(
        here,
        {"type": "text", "text": "what is this?"},
        {"type": "image", "data": DATA, "alt": "a cat"},
        {"type": "audio", "data": sound, "mime": "audio/ogg"},
        {"type": "file", "data": base64.b64encode(b"a,b").decode(), "name": "../t.csv", "mime": "text/csv"},
    )
    assert status == 202, told
    ((text, image, audio, file),) = taking.parts
    assert text == Text("what is this?")
    refs = taking.there
    assert image == Image(ref=refs[0], mime="image/png", size=len(PNG), name="a cat")
    assert audio == Audio(ref=refs[1], mime="audio/ogg", size=54)
    assert isinstance(file, File)
    assert (file.ref, file.mime, file.size) == (refs[2], "text/csv", 3)
    assert b"".join([p async for p in taking.opened.artifacts.read(refs[0])]) == PNG


async def test_an_uploaded_file_is_named_by_its_id(here: Site, taking: Taking) -> None:
    _, put = await here.call("POST", "/v1/files?name=a.png", token=SHOP, data=PNG)
    status, _ = await send(here, {"type": "image", "file": put["id"]})
    assert status == 202, "a picture alone is a message"
    assert taking.parts == [(Image(ref=put["id"], mime="image/png", size=len(PNG), name="a.png"),)]
    status, told = await send(here, {"type": "image", "file": put["id"]}, token=OTHER)
    assert (status, told["error"]["code"]) == (400, "unknown_file"), "another token's is not there"


async def test_an_address_is_handed_on_as_it_is(here: Site, taking: Taking) -> None:
    assert (await send(here, {"type": "image", "url": "https://example.com/cat.png?a=1"}))[0] == 202
    assert taking.parts == [(Image(ref="https://example.com/cat.png?a=1"),)]


@pytest.mark.parametrize(
    "ref", ["http://example.com/a.png", "file:///etc/passwd", "ftp://x/a.png", "/etc/passwd"]
)
async def test_no_door_hands_on_an_address_that_is_not_https(taking: Taking, ref: str) -> None:
    """Not every door's own models look at it: OpenAI's leave an `image_url` to this."""
    token = Token(name="shop", scopes=frozenset({"chat"}), digest=b"")
    attachments = Attachments(taking.opened.artifacts)
    with pytest.raises(RequestRefused, match="only https addresses are handed on"):
        await attachments.stored([Image(ref=ref)], token)
    image = Image(ref="HTTPS://example.com/a.png")
    assert await attachments.stored([image], token) == (image,)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "image", "url": "http://127.0.0.1/cat.png"}, "parts[0].url: has to be an https address"),
        (
            {"type": "image", "url": "https://user:pw@example.com/"},
            "parts[0].url: has to be an https address",
        ),
        ({"type": "image", "url": "file:///etc/passwd"}, "parts[0].url: has to be an https address"),
        ({"type": "image"}, "exactly one of url, data and file"),
        ({"type": "file", "name": "a"}, "exactly one of data and file"),
        ({"type": "file", "url": "https://example.com/"}, "unknown field"),
        ({"type": "image", "data": DATA, "url": "https://example.com/"}, "exactly one of"),
        ({"type": "image", "data": "not base64!"}, "parts[0]: data is not base64"),
        ({"type": "image", "data": ""}, "parts[0]: data is empty"),
        ({"type": "image", "data": base64.b64encode(b"<svg/>").decode()}, "no picture"),
        ({"type": "audio", "data": DATA}, "no sound"),
        ({"type": "file", "file": "artifact:" + "0" * 32}, "there is no file"),
        ({"type": "file", "file": "../../clawd.db"}, "has to be the id of a file"),
        ({"type": "image", "data": DATA, "mime": "image/png\r\nX: 1"}, "has to be a type"),
        ({"type": "video", "data": DATA}, "there is no type video"),
    ],
)
async def test_a_part_of_another_shape_is_told_what_is_wrong(
    here: Site, taking: Taking, part: dict[str, Any], says: str
) -> None:
    status, told = await send(here, part)
    assert (status, says in told["error"]["message"]) == (400, True), told
    assert taking.parts == []


async def test_an_inline_file_that_is_too_large_is_refused(here: Site, taking: Taking) -> None:
    data = base64.b64encode(bytes(60_000)).decode()
    status, told = await send(here, {"type": "file", "data": data})
    assert (status, "larger than 50,000 bytes" in told["error"]["message"]) == (413, True)
    assert taking.parts == []


# --- over a WebSocket -----------------------------------------------------------------------------------


async def test_a_socket_sends_what_rest_sends(here: Site, taking: Taking) -> None:
    _, put = await here.call("POST", "/v1/files?name=t.csv", token=SHOP, data=b"a,b")
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image", "data": DATA, "alt": "a cat"},
        {"type": "file", "file": put["id"]},
        {"type": "image", "url": "https://example.com/cat.png"},
    ]
    async with talk(here.port, SHOP) as there:
        accepted = await there.asked("send", id="m1", conversation="c1", parts=parts)
    assert (accepted["type"], accepted["ref"], accepted["turn"]) == ("accepted", "m1", "turn:abc-1-1")
    ((text, image, file, address),) = taking.parts
    assert text == Text("what is this?")
    assert image == Image(ref=taking.there[0], mime="image/png", size=len(PNG), name="a cat")
    assert isinstance(file, File)
    assert (file.ref, file.name, file.size) == (put["id"], "t.csv", 3)
    assert address == Image(ref="https://example.com/cat.png")


async def test_a_socket_is_told_what_is_wrong_with_a_part_and_goes_on(here: Site, taking: Taking) -> None:
    _, put = await here.call("POST", "/v1/files", token=OTHER, data=PNG)
    async with talk(here.port, SHOP) as there:
        for part, code, says in (
            ({"type": "image", "file": put["id"]}, "unknown_file", "there is no file"),
            ({"type": "image", "url": "http://127.0.0.1/"}, "bad_frame", "has to be an https address"),
            ({"type": "image", "data": "!"}, "bad_request", "parts[0]: data is not base64"),
        ):
            told = await there.asked("send", id="m1", conversation="c1", parts=[part])
            assert (told["type"], told["code"], told["ref"]) == ("error", code, "m1"), told
            assert says in told["message"]
        assert taking.parts == []
        accepted = await there.asked(
            "send", id="m2", conversation="c1", parts=[{"type": "image", "data": DATA}]
        )
        assert accepted["type"] == "accepted"


async def test_a_token_over_its_day_has_nothing_kept(state_dir: Path, taking: Taking) -> None:
    token = TokenConfig.model_validate({"name": "shop", "token": SHOP, "scopes": ["chat"], "day": 1})
    config = GatewayConfig(port=0, tokens=(token,))
    parts = [{"type": "image", "data": DATA}]
    async with (
        site(state_dir, config=config, inbox=taking, artifacts=taking.opened.artifacts) as here,
        talk(here.port, SHOP) as there,
    ):
        wrong = await there.asked("send", id="m0", conversation="c1", parts=[{"type": "image", "data": "!"}])
        assert wrong["code"] == "bad_request", "and it does not count"
        first = await there.asked("send", id="m1", conversation="c1", parts=parts)
        over = await there.asked("send", id="m2", conversation="c1", parts=parts)
        status, told = await send(here, *parts)
        _, kept = await here.call("GET", "/v1/files", token=SHOP)
    assert (first["type"], over["code"]) == ("accepted", "quota_exceeded")
    assert (status, told["error"]["code"]) == (429, "quota_exceeded")
    assert len(kept["files"]) == 1
