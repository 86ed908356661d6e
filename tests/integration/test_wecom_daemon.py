"""A daemon process behind a WeCom bot: answers that grow, connections that break, processes that die."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.crash.process import DaemonProcess
from tests.crash.words import MARK
from tests.crash.world import answer_to
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.fakes.wecom import running, wecom_bridge
from tests.fakes.wecom_api import FakeWecom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

USER = "zhangsan"
GROUP = "wrGroup1"
WAIT_S = 30


class Office:
    """The fakes and a daemon that may die."""

    def __init__(self, home: Path, wecom: FakeWecom, model: FakeOpenAI) -> None:
        self.wecom = wecom
        self.model = model
        self.daemon = DaemonProcess(home)
        self._home = home

    def configure(self, **bridge: Any) -> None:
        section = {
            "bot_id": self.wecom.bot_id,
            "secret": self.wecom.secret,
            "ws_url": self.wecom.url,
            "allow": ["*"],
            **bridge,
        }
        config = {
            "models": [{"name": "main", "type": "chat", "base_url": self.model.base_url, "model": "fake-1"}],
            "bridges": {"wecom": section},
            "gateway": {"port": 0},
            "access": {"rate": "100000/s"},
            "agent": {"max_attempts": 200},
        }
        (self._home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    async def start(self, *, fault: str | None = None) -> None:
        """Return once the daemon is ready and the bot connected."""
        before = self.wecom.subscriptions
        await self.daemon.spawn(fault=fault)
        assert await self.daemon.ready(), self.daemon.tail()
        await self.until(lambda: self.wecom.subscriptions > before)

    async def until(self, condition: Callable[[], Any]) -> None:
        try:
            await self.wecom.wait_until(condition, WAIT_S)
        except TimeoutError:
            raise AssertionError(self.daemon.tail()) from None

    async def bridge_is(self, state: str) -> dict[str, Any]:
        """Return the bridge's status once it is in this state."""
        shown: dict[str, Any] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                while shown.get("state") != state:
                    (shown,) = (await self.daemon.control("status"))["bridges"]
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{shown}\n{self.daemon.tail()}") from None
        return shown


@asynccontextmanager
async def office(state_dir: Path, reply: Reply | None = None, **bridge: Any) -> AsyncIterator[Office]:
    async with FakeWecom() as wecom, FakeOpenAI(default=reply or Reply()) as model:
        here = Office(state_dir, wecom, model)
        here.configure(**bridge)
        try:
            yield here
        finally:
            if here.daemon.process is not None:
                await here.daemon.kill()


async def test_answers_grow_in_one_stream_and_groups_are_answered_in_the_group(state_dir: Path) -> None:
    slow = Reply(text="one two three four", chunk_delay_s=0.4)
    async with office(state_dir) as here:
        here.model.choose = lambda seen: slow if "slowly" in seen.last_user_text else None
        await here.start()
        here.wecom.user_says(USER, "hello")
        here.wecom.user_says("lisi", "@Bot hello", group=GROUP)
        here.wecom.user_says("wangwu", "slowly")
        await here.until(lambda: all(here.wecom.finished(chat) for chat in (USER, GROUP, "wangwu")))
        await here.daemon.settled()
        assert here.wecom.finished(USER) == [answer_to("hello")]
        assert here.wecom.finished(GROUP) == [answer_to("hello")]
        (shown,) = here.wecom.messages("wangwu")
        assert shown.kind == "stream"
        assert shown.text == "one two three four"
        assert len(shown.history) >= 2, "it was seen before it was whole"
        snapshots = [text for text in shown.history if text != "<think></think>"]
        assert all(later.startswith(earlier) for earlier, later in pairwise(snapshots))


async def test_a_connection_cut_in_mid_answer_costs_nothing_and_the_answer_arrives_once(
    state_dir: Path,
) -> None:
    async with office(state_dir, Reply(text="one two three four five six", chunk_delay_s=0.4)) as here:
        await here.start()
        here.wecom.user_says(USER, "slowly")
        await here.until(lambda: here.wecom.messages(USER))
        await here.wecom.cut()
        await here.until(lambda: here.wecom.finished(USER))
        await here.daemon.settled()
        (shown,) = here.wecom.messages(USER)
        assert shown.text == "one two three four five six"
        assert here.wecom.subscriptions == 2


@pytest.mark.parametrize("moment", ["committed", pytest.param("shown", marks=pytest.mark.slow)])
async def test_a_killed_process_answers_after_its_restart_in_the_stream_that_it_began(
    state_dir: Path, moment: str
) -> None:
    async with office(state_dir, Reply(text="one two three", chunk_delay_s=0.4)) as here:
        if moment == "committed":
            await here.start(fault="journal.after_commit:accept:1:kill")
            here.wecom.user_says(USER, "hello")
            assert await here.daemon.dead() == -9
            assert here.wecom.messages(USER) == []
        else:
            await here.start()
            here.wecom.user_says(USER, "hello")
            await here.until(lambda: [s for s in here.wecom.messages(USER) if "one" in s.text])
            await here.daemon.kill()
        await here.start()
        await here.until(lambda: here.wecom.finished(USER))
        await here.daemon.settled()
        assert [s.text.removeprefix(f"{MARK}\n") for s in here.wecom.messages(USER)] == ["one two three"]
        assert here.wecom.messages(USER)[0].kind == "stream"


@pytest.mark.slow
async def test_a_second_program_with_the_same_bot_is_told_in_the_status(state_dir: Path) -> None:
    async with office(state_dir) as here:
        await here.start()
        await here.bridge_is("connected")
        async with asyncio.timeout(WAIT_S), _another_program(here.wecom):
            shown = await here.bridge_is("transient_disconnect")
            assert shown["error"].startswith("kicked: another connection of this bot took over")
        assert here.wecom.subscriptions == 2


@asynccontextmanager
async def _another_program(wecom: FakeWecom) -> AsyncIterator[None]:
    async with running(wecom_bridge(wecom.url)):
        yield


@pytest.mark.slow
async def test_a_wrong_secret_is_told_and_nothing_is_ever_logged_of_it(state_dir: Path) -> None:
    async with office(state_dir, secret="WrongSecretWrongSecret") as here:
        await here.daemon.spawn()
        assert await here.daemon.ready()
        shown = await here.bridge_is("bad_credentials")
        assert "853000" in shown["error"]
        await here.daemon.kill()
        logs = here.daemon.output.read_text() + (state_dir / "state" / "clawd.log").read_text()
        assert "WrongSecretWrongSecret" not in logs + str(shown)
        assert here.wecom.secret not in logs + str(shown)
