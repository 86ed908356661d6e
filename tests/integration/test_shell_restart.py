"""A real daemon is killed in the middle of a shell call and started again: nothing of the call is left."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from clawd.child import start
from clawd.ids import TurnId
from clawd.texts import say
from tests.crash.world import world
from tests.fakes.openai_api import Reply
from tests.fakes.processes import count_is, marked_sleep, running

needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="left out: the Debian package bubblewrap is not installed"
)
BOTH = pytest.mark.parametrize("sandbox", ["none", pytest.param("bwrap", marks=needs_bwrap)])
INTERRUPTED = say("tool_unknown", "en")
OPEN = {"rate": "100000/s", "grant": "tools"}


def shell_call(command: str) -> Reply:
    arguments = json.dumps({"command": command})
    return Reply(text="", tool_calls=[{"id": "call-1", "name": "shell", "arguments": arguments}])


def shell(sandbox: str, approval: str = "auto") -> dict[str, object]:
    return {"shell": {"enabled": True, "approval": approval, "sandbox": sandbox}}


@pytest.mark.timeout(300)
@BOTH
async def test_nothing_of_a_shell_call_is_left_after_a_kill_and_a_restart(
    sandbox: str, state_dir: Path
) -> None:
    sleep = marked_sleep()
    # Somebody else's daemon on this host has a call of its own under way.
    other, theirs = TurnId("turn:otherxyz-1-1"), marked_sleep()
    async with (
        start(theirs.split(), environ={"PATH": os.environ["PATH"]}, turn=other),
        world(state_dir, access=OPEN, tools=shell(sandbox)) as here,
    ):
        here.model.replies.append(shell_call(f"{sleep} & setsid {sleep}"))
        await here.start()
        here.say(11, "go")
        await count_is(sleep, 2)
        await here.kill()
        await here.start()
        # Not only soon: before the turn goes on and the model is told that the call was interrupted.
        assert running(sleep) == []
        await here.all_answered()
        assert not here.judge().broken
        told = [m["content"] for m in here.model.requests[-1].body["messages"] if m["role"] == "tool"]
        assert told == [INTERRUPTED]
        assert len(running(theirs)) == 1
        assert await here.stop() == 0


@pytest.mark.timeout(300)
async def test_a_command_that_must_be_asked_about_runs_after_a_yes_that_a_killed_daemon_waited_for(
    state_dir: Path,
) -> None:
    ran = state_dir / "state" / "workspace" / "ran"
    async with world(state_dir, access=OPEN, tools=shell("none", approval="ask")) as here:
        here.model.replies.append(shell_call("echo once >> ran; echo $((6 * 7)); exit 4"))
        await here.start()
        here.say(11, "go")

        def asked() -> bool:
            return any("echo once >> ran" in text for text in here.answers(11))

        await here.telegram.wait_until(asked, 30)
        await here.kill()
        assert not ran.exists()
        await here.start()
        here.telegram.user_says(11, "/approve")
        await here.telegram.wait_until(lambda: "you said: go" in here.answers(11), 30)
        assert ran.read_text() == "once\n"
        asked_first, told = here.model.requests[0].body, here.model.requests[-1].body["messages"][-1]
        assert [tool["function"]["name"] for tool in asked_first["tools"]] == [
            "calculator",
            "search_history",
            "shell",
            "time",
        ]
        assert told["content"].startswith("The command ended with exit status 4 ")
        assert told["content"].endswith("\n42\n")
        assert await here.stop() == 0


@pytest.mark.timeout(300)
async def test_without_bubblewrap_the_model_is_not_offered_a_shell(state_dir: Path) -> None:
    async with world(state_dir, access=OPEN, tools=shell("auto")) as here:
        await here.start(environ={"PATH": "/nonexistent"})
        here.say(11, "compute")
        await here.all_answered()
        offered = [tool["function"]["name"] for tool in here.model.requests[0].body["tools"]]
        assert offered == ["calculator", "search_history", "time"]
        lines = [line for line in here.tail().splitlines() if "tool_left_out" in line]
        assert len(lines) == 1
        assert "bubblewrap is not installed" in lines[0]
