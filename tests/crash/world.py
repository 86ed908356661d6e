"""A real daemon in a small world: Telegram, a model that repeats what was said, and what came of it.

For tests of one thing at a time; `stage.py` has both doors, tools with effects, and the whole oracle.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from tests.crash.process import ROOT, DaemonProcess
from tests.crash.words import MARK
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.forked import Forked
from tests.fakes.openai_api import FakeOpenAI, Reply

__all__ = ["MARK", "ROOT", "Verdict", "World", "answer_to", "messages", "world"]


@dataclass(kw_only=True)
class Verdict:
    """What the outside saw. Everything but `marked` is a broken promise."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)  # without the mark
    disordered: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)  # an answer to nothing that was said
    marked: list[str] = field(default_factory=list)  # repeats that say so

    @property
    def broken(self) -> dict[str, list[str]]:
        """The promises that were broken, by name."""
        kept = ("lost", "doubled", "disordered", "strange")
        return {name: getattr(self, name) for name in kept if getattr(self, name)}


class World:
    """Fakes of Telegram and of a model, a state directory, and a daemon that may die at any time."""

    def __init__(self, state_dir: Path, telegram: FakeBotApi, model: FakeOpenAI) -> None:
        self.state_dir = state_dir
        self.telegram = telegram
        self.model = model
        self.said: dict[int, list[str]] = {}
        self.runs = DaemonProcess(state_dir)

    @property
    def config_path(self) -> Path:
        """The daemon's configuration file."""
        return self.state_dir / "config.yaml"

    def configure(self, **sections: object) -> None:
        """Write the configuration; sections replace the default ones."""
        config: dict[str, object] = {
            "models": [{"name": "main", "type": "chat", "base_url": self.model.base_url, "model": "fake-1"}],
            "bridges": {
                "telegram": {"token": self.telegram.token, "api_base": self.telegram.url, "allow": ["*"]}
            },
            "gateway": {"port": 0},
            "access": {"rate": "100000/s"},
            "agent": {"max_attempts": 200},
            **sections,
        }
        bridges = cast("dict[str, dict[str, object]]", config["bridges"])
        for bridge in bridges.values():
            if {"api_base", "token"} <= bridge.keys():  # a Telegram bot
                bridge.setdefault("commands", False)  # its commit would be the first that fault points count
        self.config_path.write_text(yaml.safe_dump(config), encoding="utf-8")

    def say(self, chat: int, text: str) -> None:
        """Let a user write."""
        self.said.setdefault(chat, []).append(text)
        self.telegram.user_says(chat, text)

    # --- the daemon -------------------------------------------------------------------------------------

    @property
    def daemon(self) -> asyncio.subprocess.Process | Forked | None:
        """The latest process, None before the first start."""
        return self.runs.process

    @property
    def output(self) -> Path:
        """What the daemon wrote to standard error."""
        return self.runs.output

    @property
    def starts(self) -> int:
        """How many processes there have been."""
        return self.runs.starts

    async def start(self, *, fault: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        """Start the daemon and return once it is ready, or has died of its fault before."""
        await self.runs.spawn(fault=fault, environ=environ)
        await self.runs.ready()

    async def wait_dead(self, timeout_s: float = 30) -> int:
        """Return the exit code of the daemon once it is gone."""
        return await self.runs.dead(timeout_s)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        await self.runs.kill()

    async def stop(self) -> int:
        """SIGTERM, and return the exit code."""
        self.runs.terminate()
        return await self.runs.dead(40)

    async def settled(self) -> None:
        """Return once the daemon has nothing left to send: what would double has doubled by then."""
        await self.runs.settled()

    async def control(self, path: str) -> Any:
        """Return what the control socket answers to a GET."""
        return await self.runs.control(path)

    async def bridge_is(self, state: str, timeout_s: float = 30) -> None:
        """Return once the daemon shows its bridges in this state: it learns of an answer after the fake gave it."""
        shown: object = None
        try:
            async with asyncio.timeout(timeout_s):
                while (shown := {b["state"] for b in (await self.control("status"))["bridges"]}) != {state}:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not {state} but {shown}\n{self.tail()}") from None

    def tail(self, lines: int = 40) -> str:
        """Return the end of the daemon's log."""
        return self.runs.tail(lines)

    # --- the oracle -------------------------------------------------------------------------------------

    def answers(self, chat: int) -> list[str]:
        """Return the final texts of the bot in a chat, in the order of their messages."""
        return [message.text for message in self.telegram.sent(chat)]

    async def all_answered(self, timeout_s: float = 30) -> None:
        """Return once every message has its answer on show."""

        def complete() -> bool:
            return all(
                answer_to(text) in {_bare(a) for a in self.answers(chat)}
                for chat, texts in self.said.items()
                for text in texts
            )

        try:
            await self.telegram.wait_until(complete, timeout_s)
        except TimeoutError:
            verdict = self.judge()
            raise AssertionError(f"not answered: {verdict.lost}\n{self.tail()}") from None

    def judge(self) -> Verdict:
        """Compare what was said with what the fakes saw."""
        verdict = Verdict()
        for chat, texts in self.said.items():
            expected = [answer_to(text) for text in texts]
            seen = self.answers(chat)
            firsts = [a for n, a in enumerate(map(_bare, seen)) if a not in map(_bare, seen[:n])]
            verdict.lost += [e for e in expected if e not in firsts]
            verdict.strange += [a for a in firsts if a not in expected]
            known = [a for a in firsts if a in expected]
            if known != [e for e in expected if e in known]:
                verdict.disordered.append(f"{chat}: {known}")
            for answer, count in Counter(map(_bare, seen)).items():
                repeats = sum(1 for a in seen if a.startswith(MARK) and _bare(a) == answer)
                verdict.marked += [answer] * repeats
                if count > max(1, repeats + 1):
                    verdict.doubled.append(answer)
        return verdict

    def paid_for(self, text: str) -> int:
        """Return how often the model was asked about this message."""
        return sum(1 for seen in self.model.requests if seen.last_user_text == text)


def answer_to(text: str) -> str:
    """Return what the fake model answers to a message."""
    return f"you said: {text}"


def _bare(answer: str) -> str:
    return answer.removeprefix(f"{MARK}\n")


@asynccontextmanager
async def world(state_dir: Path, reply: Reply | None = None, **sections: object) -> AsyncIterator[World]:
    """A world with a configuration and no daemon yet; at the end none is left."""
    async with FakeBotApi() as telegram, FakeOpenAI(default=reply or Reply()) as model:
        here = World(state_dir, telegram, model)
        here.configure(**sections)
        try:
            yield here
        finally:
            if here.daemon is not None:
                await here.kill()


def messages(count: int, tag: str) -> Sequence[str]:
    """Return texts that differ from each other and from those of any other tag."""
    return [f"{tag}-{n}" for n in range(count)]
