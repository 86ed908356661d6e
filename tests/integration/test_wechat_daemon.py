"""WeChat and real daemons: the passive reply, the slow model, and a kill between commit and answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
import yaml

from clawd.ids import SystemClock
from tests.crash.process import DaemonProcess
from tests.crash.stage import free_port
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.fakes.wechat_api import APP_SECRET, WeChatApiFake
from tests.fakes.wechat_sender import AES_KEY, APP_ID, TOKEN, USER, WeChatSender, text

if TYPE_CHECKING:
    from pathlib import Path


def configure(home: Path, port: int, model: FakeOpenAI, api: WeChatApiFake) -> None:
    """Write a configuration with one account three times: as it is, in a hurry, and without the API."""
    wechat = {
        "type": "wechat",
        "app_id": APP_ID,
        "token": TOKEN,
        "aes_key": AES_KEY,
        "app_secret": APP_SECRET,
        "api_base": api.url,
        "allow": ["*"],
    }
    config = {
        "models": [{"name": "m", "type": "chat", "base_url": model.base_url}],
        "bridges": {
            "wechat": wechat,
            "hasty": wechat | {"reply_wait_s": 0.2},
            "passive": wechat | {"replies": "passive"},
        },
        "gateway": {"port": port},
    }
    (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


@pytest.mark.timeout(300)
async def test_quick_and_slow_answers_arrive_and_a_kill_between_commit_and_answer_loses_none(
    state_dir: Path,
) -> None:
    port, daemon = free_port(), DaemonProcess(state_dir)
    url = f"http://127.0.0.1:{port}/bridges"
    sender = WeChatSender(SystemClock(), safe=True)
    slow = Reply(hang="headers", text="slow")
    # A fresh connection each time, as a dead daemon leaves none.
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        FakeOpenAI(Reply(text="quick"), slow, slow, default=Reply(text="at last")) as model,
        WeChatApiFake() as api,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        configure(state_dir, port, model, api)
        try:
            await daemon.spawn()
            assert await daemon.ready(), daemon.tail()
            query = dict(sender.verification("echo-1").query)
            async with session.get(f"{url}/wechat", params=query) as verified:
                assert (verified.status, await verified.text()) == (200, "echo-1")
            assert (await sender.post(session, f"{url}/wechat", message("one"))).content == "quick"

            api.wrote(USER)
            late = await sender.post(session, f"{url}/hasty", message("two"))
            assert (late.status, late.body) == (200, b"success")
            model.release.set()
            await api.wait_until(lambda: api.texts == ["slow"], 30)
            await daemon.settled()
            model.release.clear()

            third = message("three")
            async with asyncio.TaskGroup() as tasks:
                lost = tasks.create_task(sender.post(session, f"{url}/passive", third))
                await model.arrived(3)
                await daemon.kill()
            assert lost.result().body is None
            await daemon.spawn()
            assert await daemon.ready(), daemon.tail()
            assert (await sender.post(session, f"{url}/passive", third)).content == "at last"
            await daemon.settled()
            assert api.texts == ["slow"]
        finally:
            await daemon.kill()
    assert APP_SECRET not in daemon.output.read_text()
    assert "TOKEN-1" not in daemon.output.read_text()


def message(words: str) -> str:
    """Return a text of now."""
    return text(words, created=int(SystemClock().now().timestamp()))
