"""The real daemon with models that fail, hang, drip and refuse: the standby answers, and they come back."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from tests.crash.process import DaemonProcess
from tests.fakes.folders import BASE
from tests.fakes.openai_api import FakeOpenAI, Reply, Seen
from tests.fakes.shell import Shell

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "a-token-of-this-test"
FOR_LONG_S = 600.0  # beyond any test: what is out of service stays so
FOR_A_MOMENT_S = 0.2


class Failover:
    """A daemon whose models are all one fake server, told apart by what they are asked for."""

    def __init__(self, home: Path, api: FakeOpenAI, session: aiohttp.ClientSession) -> None:
        self.api = api
        self.api.choose = self._choose
        self.clawd = Shell(home)
        self.daemon = DaemonProcess(home)
        self.replies: dict[str, Reply] = {}
        self.listed: dict[str, dict[str, Any]] = {}
        self._session = session
        self._url = ""

    def _choose(self, seen: Seen) -> Reply:
        name = seen.body["model"]
        return self.replies.get(name, Reply(text=f"from {name}"))

    async def start(self, open_s: float) -> None:
        models: list[dict[str, Any]] = [
            {"name": name, "type": "chat", "base_url": self.api.base_url}
            for name in ("fails", "hangs", "drips", "locked", "standby")
        ]
        models[1] |= {"first_token_s": 0.3}  # its own: no other is raced because the computer is busy
        models[2] |= {"min_bytes_per_s": 1e6, "rate_window_s": 0.2}
        models[3] |= {"api_key": {"env": "LOCKED_KEY"}}
        config = {
            "models": models,
            "routes": {"default": {"models": ["standby"]}},
            "breaker": {"min_calls": 3, "open_s": open_s},
            "gateway": {"port": 0, "tokens": [{"name": "t", "token": TOKEN}]},
            "access": {"rate": "100000/s"},
        }
        (self.daemon.home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        await self.daemon.spawn(environ={"LOCKED_KEY": "sk-of-the-locked-one"})
        assert await self.daemon.ready()
        self._url = (await self.daemon.control("status"))["gateway"]

    async def say(self, conversation: str, text: str = "hi") -> dict[str, Any]:
        """Return the turn that answers, once it is over."""
        head = {"Authorization": f"Bearer {TOKEN}"}
        body = {"text": text, "conversation": conversation, "sender": "u1"}
        async with self._session.post(f"{self._url}/v1/messages", json=body, headers=head) as sent:
            assert sent.status == 202, await sent.text()
            turn = (await sent.json())["id"]
        async with self._session.get(f"{self._url}/v1/messages/{turn}?wait=20", headers=head) as got:
            answer: dict[str, Any] = await got.json()
        return answer

    async def pinned(self, name: str) -> str:
        """Return a conversation that begins with this model, and has the standby behind it."""
        await self.say(name, f"/model {name}")
        return name

    async def state(self, name: str, *wanted: str) -> dict[str, Any]:
        """Return a model's breaker, once it is in one of these states."""
        async with asyncio.timeout(30):
            while True:
                models = (await self.daemon.control("models"))["models"]
                self.listed = {model["name"]: model for model in models}
                breaker: dict[str, Any] = self.listed[name]["breaker"]
                if not wanted or breaker["state"] in wanted:
                    return breaker
                await asyncio.sleep(0.02)

    async def reload(self) -> None:
        """Have the daemon build all its models anew."""
        path = self.daemon.home / "config.yaml"
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        config["breaker"]["idle_s"] = 29
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        assert (await self.clawd("reload")).code == 0

    def asked(self) -> Counter[str]:
        return Counter(seen.body["model"] for seen in self.api.requests)


@asynccontextmanager
async def failover(open_s: float) -> AsyncIterator[Failover]:
    """A daemon of its own that leaves a model alone for so long."""
    with tempfile.TemporaryDirectory(prefix="clawd-", dir=BASE) as home:
        async with FakeOpenAI() as api, aiohttp.ClientSession() as session:
            here = Failover(Path(home), api, session)
            await here.start(open_s)
            try:
                yield here
            finally:
                await here.daemon.kill()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here() -> AsyncIterator[Failover]:
    async with failover(FOR_LONG_S) as here:
        yield here


async def test_a_model_that_fails_is_answered_for_and_the_next_turn_begins_with_the_standby(
    here: Failover,
) -> None:
    here.replies["fails"] = Reply(status=500, error={"message": "boom"})
    chat = await here.pinned("fails")
    for _ in range(2):
        turn = await here.say(chat)
        assert (turn["model"], turn["replies"][0]["text"]) == ("standby", "from standby")
    assert here.asked()["fails"] == 1
    assert "HTTP 500: boom" in (await here.state("fails", "rest"))["why"]


async def test_a_model_that_hangs_is_raced_and_the_next_turn_begins_with_the_standby(here: Failover) -> None:
    here.replies["hangs"] = Reply(hang="headers")
    chat = await here.pinned("hangs")
    for _ in range(2):
        assert (await here.say(chat))["model"] == "standby"
    assert here.asked()["hangs"] == 1
    [request] = [seen for seen in here.api.requests if seen.body["model"] == "hangs"]
    async with asyncio.timeout(30):
        await request.ended.wait()
    assert request.disconnected, "the loser's socket is freed"
    assert (await here.state("hangs", "rest"))["why"] == "no first token within 0.3 s"


async def test_a_model_that_drips_is_cut_off_and_its_half_answer_is_void(here: Failover) -> None:
    here.replies["drips"] = Reply(chunks=["drip "] * 1000, chunk_delay_s=0.05)
    chat = await here.pinned("drips")
    turn = await here.say(chat)
    assert (turn["model"], turn["replies"][0]["text"]) == ("standby", "from standby")
    assert "bytes a second" in (await here.state("drips", "rest"))["why"]


async def test_a_refused_key_says_where_it_came_from_and_harms_nobody(here: Failover) -> None:
    here.replies["locked"] = Reply(status=401, error={"message": "no such key"})
    chat = await here.pinned("locked")
    assert (await here.say(chat))["model"] == "standby"
    breaker = await here.state("locked", "open")
    before = here.listed["locked"]
    await here.reload()
    assert (await here.state("locked", "open"))["why"] == breaker["why"]
    assert here.listed["locked"]["traffic"]["errors"] == before["traffic"]["errors"] == 1
    assert "the provider refuses the API key" in breaker["why"]
    assert "LOCKED_KEY" in breaker["why"]
    assert (await here.state("standby"))["state"] == "closed"
    shown = await here.clawd("models", "list")
    assert ("open" in shown.out, "LOCKED_KEY" in shown.out) == (True, True), shown.out
    assert "sk-of-the-locked-one" not in shown.out


async def test_a_model_that_failed_and_a_refused_key_are_tried_again_and_come_back() -> None:
    async with failover(FOR_A_MOMENT_S) as here:
        for name, status, then in (("fails", 500, "closed"), ("locked", 401, "half_open")):
            here.replies[name] = Reply(status=status)
            chat = await here.pinned(name)
            assert (await here.say(chat))["model"] == "standby"
            del here.replies[name]
            await here.state(name, then)
            assert (await here.say(chat))["model"] == name
            assert (await here.state(name))["state"] == "closed"
