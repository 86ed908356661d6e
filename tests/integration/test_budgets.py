"""The real daemon with a priced model: people are told of a budget that comes to its end, and of one that is spent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import yaml

from clawd.client import Client
from tests.crash.process import DaemonProcess
from tests.fakes.openai_api import FakeOpenAI

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_USD = 7e-3  # 7 tokens of output, as the fake server counts them


async def ask(home: Path, text: str) -> dict[str, Any]:
    """Return the terminal's turn that answers, once it is over."""
    client = Client([home / "state" / "clawd.sock"])
    accepted = await asyncio.to_thread(client.post, "/messages", {"text": text})
    return dict(await asyncio.to_thread(client.get, f"/turns/{accepted['id']}", wait=20))


async def test_a_budget_warns_once_stops_in_words_and_holds_over_a_kill(state_dir: Path) -> None:
    daemon = DaemonProcess(state_dir)
    async with FakeOpenAI() as api:
        model = {"name": "main", "type": "chat", "base_url": api.base_url}
        config = {
            "models": [model | {"price": {"input": 0, "output": 1000}}],
            "budgets": {"day_usd": 3 * ANSWER_USD},
            "gateway": {"port": False},
        }
        (state_dir / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        await daemon.spawn()
        try:
            assert await daemon.ready()
            answers = [await ask(state_dir, f"number {n}") for n in range(3)]
            told = [answer["notice"] for answer in answers]
            assert told[:2] == ["", ""]
            assert "$0.021 of $0.021" in told[2], "all of it is used"
            refused = await ask(state_dir, "number 4")
            assert (refused["state"], refused["exit_code"]) == ("failed", 75)
            assert "$0.021" in refused["answer"], "the terminal is an owner's"
            await daemon.kill()
            await daemon.spawn()
            assert await daemon.ready()
            assert (await ask(state_dir, "number 5"))["answer"] == refused["answer"]
            assert len(api.requests) == 3
        finally:
            await daemon.kill()
