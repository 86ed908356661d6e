"""A recorded daemon with every door open: messages come in over each, answers go out over each."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp
import yaml

from tests.fakes.bot_api import FakeBotApi
from tests.fakes.openai_api import FakeOpenAI
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import WebhookReceiver
from tests.fakes.webhook_sender import SECRET, event, signed
from tests.power import strace
from tests.power.order import Promise
from tests.power.recording import ROOT, careless

if TYPE_CHECKING:
    from pathlib import Path

    from tests.power.strace import Call

TOKEN: Final = "recognisable-gateway-token"
EACH: Final = 4  # messages over each door


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the daemon did, and the words it gave."""

    calls: list[Call]
    promises: list[Promise]


class Visit:
    """One daemon under a recorder, and its fakes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.telegram = FakeBotApi()
        self.model = FakeOpenAI()
        self.receiver = WebhookReceiver(CALLBACK_SECRET)
        self.promises: list[Promise] = []
        self._url = ""

    async def run(self, how: str = "") -> Run:
        """Start the daemon, knock at all doors, stop it when all is answered, and return the recording."""
        trace = self.folder.with_suffix(".trace")
        try:
            async with self.telegram, self.model, self.receiver:
                self._configure()
                daemon = await asyncio.create_subprocess_exec(
                    *strace.command(trace, [sys.executable, "-m", "clawd.daemon"]),
                    env={**os.environ, "CLAWD_HOME": str(self.folder), **careless(how)},
                    cwd=ROOT,
                    stdout=asyncio.subprocess.PIPE,
                )
                try:
                    async with asyncio.timeout(90):
                        await self._use(daemon)
                        daemon.send_signal(signal.SIGTERM)
                        await daemon.wait()
                finally:
                    if daemon.returncode is None:
                        daemon.kill()
                    await daemon.wait()
            calls = await asyncio.to_thread(strace.finished, trace, daemon.pid)
        finally:
            trace.unlink(missing_ok=True)
        return Run(calls=calls, promises=self.promises)

    def _configure(self) -> None:
        hook = {"type": "webhook", "secret": SECRET, "callback_url": self.receiver.url}
        config = {
            "models": [{"name": "main", "type": "chat", "base_url": self.model.base_url, "model": "fake-1"}],
            "bridges": {
                "telegram": {"token": self.telegram.token, "api_base": self.telegram.url, "allow": ["*"]},
                "hook": {**hook, "callback_secret": CALLBACK_SECRET},
            },
            "gateway": {"port": 0, "tokens": [{"name": "ops", "token": TOKEN}]},
            "access": {"rate": "100000/s"},
            "logging": {"level": "warning"},
        }
        path = self.folder / "config.yaml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")

    async def _use(self, daemon: asyncio.subprocess.Process) -> None:
        assert daemon.stdout is not None
        while not self._url:
            line = await daemon.stdout.readline()
            assert line, "the daemon did not start"
            if line.strip().startswith(b"gateway:"):
                self._url = line.split()[1].decode()
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            socket = aiohttp.UnixConnector(str(self.folder / "state" / "clawd.sock"))
            terminal = await stack.enter_async_context(aiohttp.ClientSession(connector=socket))
            async with asyncio.TaskGroup() as group:
                for n in range(EACH):
                    group.create_task(self._rest(http, f"rest-{n}-text"))
                    group.create_task(self._hook(http, f"hook-{n}-text"))
                    group.create_task(self._terminal(terminal, f"terminal-{n}-text"))
                    group.create_task(self._chat(f"chat-{n}-text", 10 + n))
        # Telegram forgets an update once the offset is above it, which is one of the words to be judged.
        await self.telegram.wait_until(lambda: self.telegram.pending() == 0, 60)

    # --- the doors --------------------------------------------------------------------------------------

    async def _rest(self, http: aiohttp.ClientSession, text: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with http.post(f"{self._url}/v1/messages", json={"text": text}, headers=headers) as reply:
            assert reply.status == 202
            turn = (await reply.json())["id"]
        self._promise(f"REST 202 for {text}", text, f'"{turn}"')
        async with http.get(f"{self._url}/v1/messages/{turn}?wait=60", headers=headers) as reply:
            assert (await reply.json())["status"] == "answered"
        self._promise_answer(f"REST answer to {text}", text, rf'"answered".*you said: {text}')

    async def _hook(self, http: aiohttp.ClientSession, text: str) -> None:
        body = event(text, conversation=text, user={"id": "u1"})
        headers = signed(body, datetime.now(UTC), message_id=text)
        async with http.post(f"{self._url}/bridges/hook", data=body, headers=headers) as reply:
            assert reply.status == 202
            turn = (await reply.json())["event"]
        self._promise(f"webhook 202 for {text}", text, f'"{turn}"')
        await self.receiver.wait_until(lambda: any(text.encode() in c.body for c in self.receiver.calls), 60)
        self._promise_sending(f"callback for {text}", text, rf"you said: {text}")

    async def _terminal(self, terminal: aiohttp.ClientSession, text: str) -> None:
        body = {"text": text, "conversation": text}
        async with terminal.post("http://clawd/control/v1/messages", json=body) as reply:
            turn = json.loads(await reply.read())["id"]
        self._promise(f"control socket's answer for {text}", text, f'"{turn}"')

    async def _chat(self, text: str, chat: int) -> None:
        update = self.telegram.user_says(chat, text)
        await self.telegram.wait_for_messages(chat, 1, 60)
        later = "|".join(str(update + n) for n in range(1, 3 * EACH))
        self._promise(f"Telegram's offset above {text}", text, rf"getUpdates.*\boffset\W+({later})\b")
        self._promise(f"the model asked about {text}", text, rf'"messages".*{text}')
        self._promise_sending(f"sendMessage of {text}", text, rf"sendMessage.*you said: {text}")

    # --- what has to come first --------------------------------------------------------------------------

    def _promise(self, name: str, committed: str, said: str) -> None:
        self.promises.append(
            Promise(
                name=name,
                committed=re.compile(committed.encode(), re.DOTALL),
                said=re.compile(said.encode(), re.DOTALL),
            )
        )

    def _promise_answer(self, name: str, text: str, said: str) -> None:
        self._promise(name, rf"turn\.finished.{{0,60}}you said: {text}", said)

    def _promise_sending(self, name: str, text: str, said: str) -> None:
        """Its row is in the state `sending` before anything of it is on the wire."""
        self._promise(name, rf"sending((?!pending|sending).){{0,60}}you said: {text}", said)
