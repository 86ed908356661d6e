"""Messages that end the process each time they are worked on: given up, told, and nobody else suffers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.world import World, answer_to, world
from tests.fakes.openai_api import Reply, Seen
from tests.faults.house import start_under, until
from tests.faults.thirdparty import calls, install

MAX_ATTEMPTS = 3
GIVEN_UP = "Sorry, I tried this message {} times and was interrupted each time, so I gave up on it."
ADDRESS_SPACE = 700_000_000  # a daemon at rest has 300 MB of it


def asks_for(tool: str, how: str) -> Callable[[Seen], Reply | None]:
    """A model that wants this call for every message about poison."""
    call = {"id": "call-1", "name": tool, "arguments": f'{{"how": "{how}"}}'}

    def choose(seen: Seen) -> Reply | None:
        called = any(message["role"] == "tool" for message in seen.body["messages"])
        wanted = "poison" in seen.last_user_text and not called
        return Reply(text="", tool_calls=[call]) if wanted else None

    return choose


async def died(here: World, chat: int) -> int | None:
    """Return the exit code once the daemon has ended, None once it wrote to this chat instead."""
    assert here.daemon is not None
    daemon = here.daemon
    await until(lambda: daemon.returncode is not None or here.telegram.sent(chat))
    return daemon.returncode


@pytest.mark.timeout(300)
async def test_a_poison_message_is_given_up_while_the_others_are_served(
    state_dir: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    environ, fuse = install(site), site / "fuse"
    async with world(state_dir, agent={"max_attempts": MAX_ATTEMPTS}) as here:
        here.model.choose = asks_for("poison", "exit")
        here.telegram.user_says(66, "poison")
        codes: list[int | None] = []
        while not here.telegram.sent(66) and len(codes) < 10:  # a service manager, too
            fuse.unlink(missing_ok=True)
            here.say(11, f"a-{len(codes)}")
            await here.start(environ=environ)
            await here.all_answered()  # beside the poison, which waits for its fuse
            fuse.touch()
            codes.append(await died(here, 66))
        # The model's answer was a step of its own; the attempts count from there.
        assert codes == [*[139] * (1 + MAX_ATTEMPTS), None]
        assert calls(site) == 1 + MAX_ATTEMPTS
        await here.settled()
        assert [m.text for m in here.telegram.sent(66)] == [GIVEN_UP.format(MAX_ATTEMPTS)]
        (entry,) = (await here.control("dead"))["dead"]
        assert entry["id"].startswith("turn:")
        assert not here.judge().broken
        assert here.paid_for("poison") == 1
        here.telegram.user_says(66, "and now?")
        await here.telegram.wait_until(lambda: here.answers(66)[1:] == [answer_to("and now?")])


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_those_who_were_in_work_beside_a_poison_message_are_answered_all_the_same(
    state_dir: Path, tmp_path: Path
) -> None:
    """A model's own code ends the process at once: bystanders of the same moment go down with it."""
    site = tmp_path / "site"
    environ = install(site)
    models = [{"name": "poison", "type": "poison"}]
    async with world(state_dir, models=models, agent={"max_attempts": MAX_ATTEMPTS}) as here:
        here.telegram.user_says(66, "poison")
        for chat in range(11, 14):
            here.say(chat, "slow")  # takes longer than the poison
        codes: list[int | None] = []
        while not here.telegram.sent(66) and len(codes) < 10:
            await here.start(environ=environ)
            codes.append(await died(here, 66))
        assert codes == [*[139] * MAX_ATTEMPTS, None]
        assert [m.text for m in here.telegram.sent(66)] == [GIVEN_UP.format(MAX_ATTEMPTS)]
        await here.all_answered()
        await here.settled()
        assert not here.judge().broken
        assert len((await here.control("dead"))["dead"]) == 1


@pytest.mark.timeout(300)
async def test_a_tool_that_must_not_repeat_takes_the_process_along_only_once(
    state_dir: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    environ = install(site)
    (site / "fuse").touch()
    async with world(state_dir, access={"rate": "100/s", "grant": "tools"}) as here:
        here.model.choose = asks_for("poison_once", "exit")
        here.say(66, "poison")
        await here.start(environ=environ)
        assert await here.wait_dead() == 139
        await here.start(environ=environ)
        await here.all_answered()
        assert calls(site) == 1
        told = [m["content"] for m in here.model.requests[-1].body["messages"] if m["role"] == "tool"]
        assert [text.startswith("Unknown: the call was interrupted by a restart.") for text in told] == [True]


@pytest.mark.timeout(300)
async def test_a_message_that_takes_all_memory_is_given_up_and_leaves_no_cripple_behind(
    state_dir: Path, tmp_path: Path
) -> None:
    """Where memory is refused anything may fail, and a daemon that lives on may answer nobody: it must end."""
    site = tmp_path / "site"
    environ, fuse = install(site), site / "fuse"
    async with world(state_dir, agent={"max_attempts": 1}) as here:
        here.model.choose = asks_for("poison", "hoard")
        here.telegram.user_says(66, "poison")
        codes: list[int | None] = []
        while not here.telegram.sent(66) and len(codes) < 10:
            fuse.unlink(missing_ok=True)
            here.say(11, f"a-{len(codes)}")
            await start_under(here, "prlimit", f"--as={ADDRESS_SPACE}", environ=environ)
            await here.all_answered()
            fuse.touch()
            codes.append(await died(here, 66))
        assert codes == [1, 1, None], here.tail()
        assert here.telegram.sent(66)[0].text == GIVEN_UP.format(1)
        assert here.output.read_text().count("clawd crashed: no memory is left; start it again") == 2
        await here.settled()
        assert not here.judge().broken, here.tail()
