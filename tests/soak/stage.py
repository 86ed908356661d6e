"""The daemon of the endurance run between its fakes, and the people who keep it busy."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import yaml

from tests.crash.process import DaemonProcess
from tests.crash.stage import free_port
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.openai_api import FakeOpenAI
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.webhook_sender import SECRET
from tests.soak import plugin
from tests.soak.people import ApiChat, HookChat, Ledger, OpenAIChat, TelegramChat
from tests.soak.samples import Sample, read_process, size_mb
from tests.soak.words import Model, choose_kind, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from tests.fakes.bot_api_http import Call as BotCall
    from tests.fakes.openai_api import Reply, Seen
    from tests.fakes.webhook_receiver import Call as CallbackCall
    from tests.soak.people import Chat

BUSY: Final = 0.05  # of all conversations; in them half of all is said
NEW_BUSY: Final = 0.05  # of what is said there: a new session, so that one has 20 turns
NEW_QUIET: Final = 0.15
PATIENCE_S: Final = 90.0  # with one answer; then it counts as lost
_TASKS: Final = re.compile(r"^clawd_tasks (\d+)", re.M)


class Stage:
    """All of it. A tenth of the conversations comes over each API, two tenths are webhooks, the rest is Telegram.

    Half of what is said is said in a few busy conversations, so that sessions are as long as they get soon after the
    start: what a turn needs while it runs grows with its session, and would look like a leak.

    Args:
        home: The daemon's.
        conversations: How many there are.
        seed: Decides what is said.
        sections: Of the configuration, beside those that it has.
        now: What time it is to the daemon.
    """

    def __init__(
        self,
        home: Path,
        *,
        conversations: int,
        seed: int,
        sections: Mapping[str, object] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sections = sections or {}
        self._now = now
        self.daemon = DaemonProcess(home, forks=False)
        self.ledger = Ledger()
        self.model = Model()
        self.ended = 0  # turns, commands among them
        self.late = 0  # of them, those that were not answered in time
        self.samples: list[Sample] = []
        self._dice = random.Random(seed)
        self._conversations = conversations
        self._port = free_port()
        self._telegram: dict[int, TelegramChat] = {}
        self._hooks: dict[str, HookChat] = {}
        self._free: tuple[deque[Chat], deque[Chat]] = (deque(), deque())  # busy, and quiet
        self._began = time.monotonic()
        self.api = FakeBotApi(on_effect=self._bot_did)
        self.receiver = WebhookReceiver(CALLBACK_SECRET, on_call=self._callback_came)
        self.server = FakeOpenAI(choose=self._choose)
        self.session: aiohttp.ClientSession

    # --- the daemon -------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The gateway's."""
        return f"http://127.0.0.1:{self._port}"

    def configure(self) -> None:
        """Write the configuration."""
        hook = {"type": "webhook", "secret": SECRET, "callback_url": self.receiver.url}
        config = {
            "models": [{"name": "main", "type": "chat", "base_url": self.server.base_url, "model": "fake-1"}],
            "bridges": {
                "telegram": {"token": self.api.token, "api_base": self.api.url, "allow": ["*"]},
                "hook": {**hook, "callback_secret": CALLBACK_SECRET},
            },
            "gateway": {"port": self._port},
            "access": {"rate": "100000/s", "grant": "tools"},
            "logging": {"level": "warning"},
            **self._sections,
        }
        (self.daemon.home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    async def start(self, environ: Mapping[str, str]) -> None:
        """Start the daemon, and let everybody know it."""
        site = self.daemon.home / "site"
        site.mkdir()
        plugin.install(site)
        await self.daemon.spawn(environ={"PYTHONPATH": str(site), **environ})
        if not await self.daemon.ready():
            raise RuntimeError(f"the daemon did not start\n{self.daemon.tail()}")
        token = (self.daemon.home / "state" / "gateway.token").read_text().strip()
        self.session.headers["Authorization"] = f"Bearer {token}"
        for number in range(self._conversations):
            self._free[number >= self._conversations * BUSY].append(self._chat(number))

    def _check_alive(self) -> None:
        assert self.daemon.process is not None
        if (code := self.daemon.process.returncode) is not None:
            raise RuntimeError(f"the daemon ended with {code}\n{self.daemon.tail()}")

    def _chat(self, number: int) -> Chat:
        match number % 10:
            case 0:
                return ApiChat(f"rest-{number}", self.ledger, self.session, self.url)
            case 1:
                return OpenAIChat(f"openai-{number}", self.ledger, self.session, self.url)
            case 2 | 3:
                hook = HookChat(
                    f"hook-{number}",
                    self.ledger,
                    self.session,
                    f"{self.url}/bridges/hook",
                    SECRET,
                    now=self._now,
                )
                self._hooks[hook.conversation] = hook
                return hook
            case _:
                chat = self._telegram[1000 + number] = TelegramChat(1000 + number, self.ledger, self.api)
                return chat

    # --- people -----------------------------------------------------------------------------------------

    async def talk(self, turns: int, people: int) -> None:
        """Let so many people talk, each in the conversation that has rested longest, until all is said."""
        self._left = turns
        async with asyncio.TaskGroup() as group:
            for _ in range(people):
                group.create_task(self._person())

    async def _person(self) -> None:
        while self._left > 0:
            self._left -= 1
            busy, resting = self._free
            quiet = bool(resting) and (self._dice.random() < 0.5 or not busy)
            chat = self._free[quiet].popleft()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._once(chat, NEW_QUIET if quiet else NEW_BUSY)
            except TimeoutError:
                self.late += 1  # the ledger has it, unless it comes after all
            except (aiohttp.ClientError, KeyError) as error:
                self._check_alive()
                self.ledger.strange.append(f"{type(error).__name__}: {error}")
            self._free[quiet].append(chat)
            self.ended += 1

    async def _once(self, chat: Chat, new_share: float) -> None:
        if self._dice.random() < new_share:
            await chat.begin_anew()
            return
        kind = choose_kind(self._dice)
        if kind == "careful" and not chat.can_approve:
            kind = "tool"
        number = self.ledger.number()
        await chat.ask(number, said(number, kind))

    # --- what the fakes see -----------------------------------------------------------------------------

    def _choose(self, seen: Seen) -> Reply:
        self.server.requests.clear()
        return self.model.choose(seen)

    def _bot_did(self, call: BotCall, result: Any) -> None:
        if call.chat is not None:
            self._telegram[call.chat].saw(call, result)
        self.api.log.clear()
        self.api.world.answered.clear()

    def _callback_came(self, call: CallbackCall) -> None:
        data = call.event["data"]
        self._hooks[data["conversation"]].came(data["text"])
        self.receiver.calls.clear()

    # --- what the daemon shows --------------------------------------------------------------------------

    async def sample(self, *, idle: bool = False) -> Sample:
        """Read the daemon, and keep what was read; raises RuntimeError when it has ended."""
        self._check_alive()
        assert self.daemon.process is not None
        async with self.session.get(f"{self.url}/metrics") as reply:
            metrics = await reply.text()
        tasks = _TASKS.search(metrics)
        assert tasks is not None, metrics
        queue = (await self.daemon.control("status"))["queue"]
        database = self.daemon.home / "state" / "clawd.db"
        sample = Sample(
            at_s=time.monotonic() - self._began,
            turns=self.ended,
            idle=idle,
            process=read_process(self.daemon.process.pid),
            tasks=int(tasks[1]),
            queue=queue["queued"] - queue["waiting"],
            deliveries=queue["deliveries_open"],
            wal_mb=size_mb(database.with_name("clawd.db-wal")),
            database_mb=size_mb(database),
        )
        self.samples.append(sample)
        return sample

    async def rest(self, floor: Sample | None, more: int, timeout_s: float) -> Sample:
        """Return a sample of the daemon once nothing goes on, and it holds no more than at an earlier time.

        Connections are kept for a while, so this takes some time; what holds more than that after `timeout_s`
        is shown as it is.
        """
        await self.daemon.settled()
        until = time.monotonic() + timeout_s
        while True:
            sample = await self.sample(idle=True)
            above = floor is not None and any(
                now > before + more for now, before in zip(_held(sample), _held(floor), strict=True)
            )
            if not above or time.monotonic() > until:
                return sample
            self.samples.pop()
            await asyncio.sleep(1)


def _held(sample: Sample) -> tuple[int, int]:
    return sample.process.fds, sample.tasks


@asynccontextmanager
async def stage(
    home: Path, *, conversations: int, seed: int, environ: Mapping[str, str] | None = None, **more: Any
) -> AsyncIterator[Stage]:
    """A stage with a daemon that runs; at the end it is gone. `more` goes to `Stage`."""
    here = Stage(home, conversations=conversations, seed=seed, **more)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
    async with (
        here.api,
        here.receiver,
        here.server,
        aiohttp.ClientSession(connector=connector) as here.session,
    ):
        here.configure()
        try:
            await here.start(environ or {})
            yield here
        finally:
            if here.daemon.process is not None:
                await here.daemon.kill()
