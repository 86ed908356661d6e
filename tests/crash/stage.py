"""A daemon between fakes that note all that they see: two doors for messages, a model, and tools with effects."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml

from tests.crash import effect_tools
from tests.crash.books import PRICE, check_books, read_books
from tests.crash.events import Acted, Died, Notebook, Said, Shown, Started, Taken
from tests.crash.oracle import judge
from tests.crash.process import DaemonProcess
from tests.crash.script import Script, life_in
from tests.crash.words import Wish
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.effects import FakeEffects
from tests.fakes.openai_api import FakeOpenAI
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.webhook_sender import SECRET, event, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tests.crash.events import Event
    from tests.crash.oracle import Verdict
    from tests.fakes.bot_api_http import Call as BotCall
    from tests.fakes.effects import Effect
    from tests.fakes.webhook_receiver import Call as CallbackCall

RETRY_POST_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _Post:
    """What a program sends until it is taken; `word` if an answer is owed then."""

    id: str
    text: str
    word: str = ""


class Stage:
    """All of it. Chats at Telegram are numbers; conversations of the webhook are other text."""

    def __init__(self, home: Path, notebook: Notebook, script: Script, posts: asyncio.TaskGroup) -> None:
        self.home = home
        self.notebook = notebook
        self.script = script
        self.daemon = DaemonProcess(home)
        self.telegram = FakeBotApi(on_effect=self._bot_did)
        self.receiver = WebhookReceiver(CALLBACK_SECRET, on_call=self._callback_came)
        self.effects = FakeEffects(on_effect=self._acted)
        self.model = FakeOpenAI(choose=script.choose)
        self.session: aiohttp.ClientSession | None = None
        self._posts = posts
        self._senders: dict[str, asyncio.Queue[_Post]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._words = 0
        self._commands = 0
        self._port = free_port()
        self._dead = True
        self._processes: dict[int, int] = {}

    # --- configuration ----------------------------------------------------------------------------------

    def configure(self, *, telegram: bool = True, **sections: object) -> None:
        """Write the configuration; Telegram costs a second of CPU time at each start."""
        effect_tools_site = self.home / "site"
        if not effect_tools_site.exists():
            effect_tools_site.mkdir()
            effect_tools.install(effect_tools_site)
        # Without commands: their commit would be the first that fault points count.
        bot = {"token": self.telegram.token, "api_base": self.telegram.url, "allow": ["*"], "commands": False}
        hook = {
            "type": "webhook",
            "secret": SECRET,
            "callback_url": self.receiver.url,
            "callback_secret": CALLBACK_SECRET,
        }
        config: dict[str, object] = {
            # The address tells the fakes which process calls.
            "models": [
                {
                    "name": "main",
                    "type": "chat",
                    "base_url": "${MODEL_URL}",
                    "model": "fake-1",
                    "price": PRICE,
                }
            ],
            "bridges": {"hook": hook, **({"telegram": bot} if telegram else {})},
            "gateway": {"port": self._port},
            "access": {"rate": "100000/s", "grant": "tools"},
            "agent": {"max_attempts": 1000},
            **sections,
        }
        (self.home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def goes_on_after(self, events: Sequence[Event], *, words: int, tokens: int) -> None:
        """Begin where an earlier run ended: with what was seen of it, and fresh words and tokens."""
        for old in events:
            self.notebook.add(old)
        self._words = words
        self.script.tokens = tokens
        self.daemon.starts = max(old.life for old in events if isinstance(old, Died))

    # --- people -----------------------------------------------------------------------------------------

    def wish(self, *steps: str, slow: bool = False) -> Wish:
        """Return a wish with a word of its own; in a step tools are joined by `+`."""
        self._words += 1
        return Wish(word=f"m{self._words}", steps=tuple(tuple(s.split("+")) for s in steps), slow=slow)

    def write(self, chat: int, wish: Wish) -> str:
        """Let somebody write at Telegram; return the word."""
        self.notebook.add(Said(at=time.monotonic(), chat=f"telegram {chat}", word=wish.word))
        self.telegram.user_says(chat, wish.text)
        return wish.word

    def post(self, conversation: str, wish: Wish) -> str:
        """Let a program post; it repeats itself until it is told that it was taken. Returns the word."""
        chat = f"webhook {conversation}"
        self.notebook.add(Said(at=time.monotonic(), chat=chat, word=wish.word, owed=False))
        self._queue(conversation).put_nowait(_Post(id=f"msg_{wish.word}", text=wish.text, word=wish.word))
        return wish.word

    async def taken(self, wish: Wish, timeout_s: float = 60) -> None:
        """Return once a posted wish was taken."""

        def is_taken() -> bool:
            return any(isinstance(seen, Taken) and seen.word == wish.word for seen in self.notebook.events)

        await self.notebook.wait_until(is_taken, timeout_s)

    def command(self, conversation: str, text: str) -> None:
        """Let the program post what is no question: a command, an answer."""
        self._commands += 1
        self._queue(conversation).put_nowait(_Post(id=f"cmd_{self._commands}", text=text))

    def stop_posting(self) -> None:
        """End the programs that post."""
        for task in self._tasks:
            task.cancel()

    def _queue(self, conversation: str) -> asyncio.Queue[_Post]:
        if conversation not in self._senders:
            self._senders[conversation] = asyncio.Queue()
            work = self._send_all(conversation, self._senders[conversation])
            self._tasks.append(self._posts.create_task(work))
        return self._senders[conversation]

    async def _send_all(self, conversation: str, posts: asyncio.Queue[_Post]) -> None:
        while True:
            post = await posts.get()
            while (status := await self._send(conversation, post)) not in (200, 202):
                assert status is None or status >= 500, status
                await asyncio.sleep(RETRY_POST_S)
            if post.word:
                self.notebook.add(Taken(at=time.monotonic(), word=post.word))

    async def _send(self, conversation: str, post: _Post) -> int | None:
        """Post once; None when nobody answered."""
        assert self.session is not None
        body = event(post.text, conversation=conversation, user={"id": "u1"})
        headers = signed(body, datetime.now(UTC), message_id=post.id)
        url = f"http://127.0.0.1:{self._port}/bridges/hook"
        try:
            async with self.session.post(url, data=body, headers=headers) as reply:
                return reply.status
        except aiohttp.ClientError:
            return None

    # --- the daemon -------------------------------------------------------------------------------------

    async def spawn(self, fault: str | None = None) -> None:
        """Begin the next process."""
        life = self.daemon.starts + 1
        python_path = f"{self.home / 'site'}"
        environ = {
            "MODEL_URL": f"http://127.0.0.1:{self.model.port}/life-{life}/v1",
            effect_tools.VARIABLE: f"{self.effects.url}/life-{life}",
            "PYTHONPATH": python_path,
        }
        self.notebook.add(Started(at=time.monotonic(), life=life))
        self._dead = False
        await self.daemon.spawn(fault=fault, environ=environ)
        assert self.daemon.process is not None
        self._processes[life] = self.daemon.process.pid

    async def start(self, fault: str | None = None) -> bool:
        """Begin the next process; return whether it became ready."""
        await self.spawn(fault)
        return await self.daemon.ready()

    async def died(self, timeout_s: float = 60) -> int:
        """Return the exit code once the process is gone, by its fault or otherwise."""
        code = await self.daemon.dead(timeout_s)
        if not self._dead:
            self._dead = True
            self.notebook.add(Died(at=time.monotonic(), life=self.daemon.starts, killed=code == -9))
        return code

    async def killed(self, where: str = "") -> None:
        """Return once the process was killed at its fault point; any other end is an error."""
        code = await self.died()
        assert code == -9, f"{where}: ended by itself with {code}\n{self.daemon.tail()}"

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        await self.daemon.kill()
        await self.died()

    async def all_answered(self, timeout_s: float = 90) -> None:
        """Return once every message is taken, answered, and nothing is left to do."""
        book = self.notebook
        async with asyncio.TaskGroup() as waits:
            answered = waits.create_task(book.wait_until(lambda: not book.unanswered, timeout_s * 2))
            death = waits.create_task(self.daemon.dead(timeout_s * 2))
            await asyncio.wait((answered, death), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            answered.cancel()
            death.cancel()
        assert not book.unanswered, f"not answered: {sorted(book.unanswered)}\n{self.daemon.tail()}"
        await self.daemon.settled()

    def judge(self, *, aside: Callable[[str], bool] = lambda _: False) -> Verdict:
        """Return the oracle's verdict on all that was seen; `aside` as in `judge`."""
        return judge(self.notebook.events, aside=aside)

    async def check_books(self) -> int:
        """Hold what was counted of the model's cost against what it was asked; see `check_books`."""
        books = await asyncio.to_thread(read_books, self.home / "state" / "clawd.db")
        return check_books(books, self.notebook.events, self._processes)

    def shown(self) -> list[str]:
        """Return all texts that were shown, in order."""
        return [seen.text for seen in self.notebook.events if isinstance(seen, Shown)]

    # --- what the fakes saw -----------------------------------------------------------------------------

    def _bot_did(self, call: BotCall, result: Any) -> None:
        if call.method in ("sendMessage", "editMessageText"):
            self.notebook.add(
                Shown(
                    at=time.monotonic(),
                    chat=f"telegram {call.chat}",
                    message=str(result["message_id"]),
                    text=result["text"],
                )
            )

    def _callback_came(self, call: CallbackCall) -> None:
        assert call.verified
        data = call.event["data"]
        self.notebook.add(
            Shown(
                at=time.monotonic(),
                chat=f"webhook {data['conversation']}",
                message=call.id,
                text=data["text"],
                body=call.body,
            )
        )

    def _acted(self, effect: Effect) -> None:
        arguments = effect.arguments
        self.notebook.add(
            Acted(
                at=time.monotonic(),
                life=life_in(effect.path),
                kind=effect.tool.removeprefix("note_"),
                key=effect.key,
                place=arguments["place"],
                token=arguments["token"],
                call=arguments["call"],
                receipt=effect.receipt,
            )
        )


def free_port() -> int:
    """Return a port that nobody listens on.

    Below those that the kernel gives to clients: of those one may be taken while the daemon is dead, even
    by a client of ours that knocks at it.
    """
    while True:
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@asynccontextmanager
async def stage(home: Path, *, telegram: bool = True, **sections: object) -> AsyncIterator[Stage]:
    """A stage with a configuration and no daemon yet; at the end none is left."""
    # A client that dies in the middle of a request is what these tests are about; aiohttp logs each.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    notebook = Notebook()
    async with asyncio.TaskGroup() as posts:
        here = Stage(home, notebook, Script(notebook), posts)
        # Each post on its own connection: one that a dead process left open would fail the next one.
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            here.telegram,
            here.receiver,
            here.effects,
            here.model,
            aiohttp.ClientSession(connector=connector) as here.session,
        ):
            here.configure(telegram=telegram, **sections)
            try:
                yield here
            finally:
                if here.daemon.process is not None:
                    await here.daemon.kill()
                here.stop_posting()
