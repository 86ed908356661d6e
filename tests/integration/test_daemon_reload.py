"""The real daemon takes a saved configuration by itself, and refuses a broken one without harm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from clawd.client import Client, RemoteError
from clawd.errors import EXIT_CONFIG
from tests.crash.world import World, answer_to, world
from tests.fakes.openai_api import FakeOpenAI, Reply


def edit(here: World, change: Callable[[dict[str, Any]], None]) -> None:
    """Save the configuration with a change."""
    config = yaml.safe_load(here.config_path.read_text(encoding="utf-8"))
    change(config)
    here.config_path.write_text(yaml.safe_dump(config), encoding="utf-8")


async def status(here: World, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the daemon's status once it is as expected: what a watch does shows nowhere else."""
    async with asyncio.timeout(30):
        found: dict[str, Any] = await here.control("status")
        while not holds(found):
            await asyncio.sleep(0.02)
            found = await here.control("status")
    return found


async def test_a_broken_file_leaves_the_old_configuration_in_force_and_says_so(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        good = here.config_path.read_text(encoding="utf-8")
        here.config_path.write_text(good.replace("max_attempts", "max_attempt"), encoding="utf-8")
        shown = await status(here, lambda s: bool(s["config_error"]))
        assert "config.yaml:" in shown["config_error"]
        client = Client([state_dir / "state" / "clawd.sock"])
        with pytest.raises(RemoteError) as refused:
            await asyncio.to_thread(client.post, "/reload", {})
        assert refused.value.exit_code == EXIT_CONFIG
        assert refused.value.problems
        here.say(11, "still there?")
        await here.all_answered()
        here.config_path.write_text(good, encoding="utf-8")
        await status(here, lambda s: not s["config_error"])
        assert await here.stop() == 0


async def test_a_changed_model_answers_what_comes_after_the_save(state_dir: Path) -> None:
    async with world(state_dir) as here, FakeOpenAI(default=Reply(text="from the other")) as other:
        here.model.replies.append(Reply(text="from the first", hang="headers"))
        await here.start()
        here.telegram.user_says(11, "under way")
        await here.model.arrived()
        edit(here, lambda config: config["models"][0].update(base_url=other.base_url))
        await status(here, lambda s: s["models"][0]["place"] == other.base_url)
        here.telegram.user_says(12, "new")
        await here.telegram.wait_until(lambda: here.answers(12) == ["from the other"])
        here.model.release.set()
        await here.telegram.wait_until(lambda: here.answers(11) == ["from the first"])
        assert len(here.model.requests) == 1, "a turn under way keeps the model that it began with"


async def test_a_changed_bridge_restarts_alone(state_dir: Path) -> None:
    async with world(state_dir) as here:
        hook = {"type": "webhook", "preset": "standard", "secret": "whsec_" + "A" * 32}
        edit(here, lambda config: config["bridges"].update(hook=hook))
        await here.start()
        before = {
            b["name"]: b["since"]
            for b in (await status(here, lambda s: all(b["state"] == "connected" for b in s["bridges"])))[
                "bridges"
            ]
        }
        edit(here, lambda config: config["bridges"]["telegram"].update(allow=["11"]))
        after = await status(
            here,
            lambda s: all(
                b["state"] == "connected" and (b["name"] != "telegram" or b["since"] != before["telegram"])
                for b in s["bridges"]
            ),
        )
        assert {b["name"]: b["since"] for b in after["bridges"]}["hook"] == before["hook"]
        here.say(11, "hello")
        await here.all_answered()
        assert here.answers(11) == [answer_to("hello")]


async def test_a_bridge_taken_out_and_put_back_loses_nothing(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        telegram = yaml.safe_load(here.config_path.read_text(encoding="utf-8"))["bridges"]["telegram"]
        edit(here, lambda config: config.update(bridges={}))
        await status(here, lambda s: not s["bridges"])
        here.say(11, "said while nobody listened")
        edit(here, lambda config: config.update(bridges={"telegram": telegram}))
        await here.all_answered()
        assert not here.judge().broken


async def test_a_changed_network_reaches_the_bridges_that_have_none_of_their_own(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        before = await status(here, lambda s: bool(s["bridges"]) and s["bridges"][0]["state"] == "connected")
        since = before["bridges"][0]["since"]
        edit(here, lambda config: config.update(network={"proxy": "http://127.0.0.1:9"}))
        await status(here, lambda s: bool(s["bridges"]) and s["bridges"][0]["since"] != since)
        edit(here, lambda config: config.pop("network"))
        here.say(11, "hello")
        await here.all_answered()


async def test_what_waits_for_a_restart_is_told_at_every_reload_and_has_to_be_usable(state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start()
        edit(here, lambda config: config["gateway"].update(host="127.0.0.2"))
        client = Client([state_dir / "state" / "clawd.sock"])
        for _ in range(3):
            report = await asyncio.to_thread(client.post, "/reload", {})
            assert report["restart_needed"] == ["gateway.host"]
        absent = {"cert": str(state_dir / "absent.pem"), "key": str(state_dir / "absent.key")}
        edit(here, lambda config: config["gateway"].update(tls=absent))
        with pytest.raises(RemoteError) as refused:  # the restart would have found nobody to answer
            await asyncio.to_thread(client.post, "/reload", {})
        assert refused.value.exit_code == EXIT_CONFIG
