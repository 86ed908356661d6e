"""The real daemon is killed around a summary and a snapshot: every message is answered, a summary paid once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from clawd.agent.compact import INSTRUCTIONS
from tests.crash.test_points import both
from tests.crash.world import World, answer_to, messages, world
from tests.fakes.openai_api import Reply, Seen

KILLS_AT: Final = frozenset(both("summary.intent", "summary.result", "snapshot", "search"))

SUMMARY = "SUMMARY: numbered messages about a ferry."


def is_summary(seen: Seen) -> bool:
    return str(seen.body["messages"][0]["content"]).startswith(INSTRUCTIONS[:30])


def choose(seen: Seen) -> Reply | None:
    if is_summary(seen):
        return Reply(chunks=[SUMMARY])
    return Reply(chunks=[answer_to(seen.last_user_text)])


def small(here: World, context_tokens: int) -> None:
    """Give the model a window of this size."""
    here.model.choose = choose
    model = {"name": "main", "type": "chat", "base_url": here.model.base_url, "model": "fake-1"}
    here.configure(models=[{**model, "context_tokens": context_tokens}])


def summaries(here: World) -> list[str]:
    return [seen.last_user_text for seen in here.model.requests if is_summary(seen)]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_daemon_killed_around_a_summary_answers_and_pays_for_a_committed_one_once(
    moment: str, state_dir: Path
) -> None:
    async with world(state_dir) as here:
        small(here, 1600)
        await here.start(fault=f"journal.{moment}_commit:summary.result:1:kill")
        texts = [f"{n}: the ferry " + "was late again and " * 20 + f"left at {n}." for n in range(8)]
        for text in texts:
            here.say(11, text)
        assert await here.wait_dead(60) == -9
        asked = len(summaries(here))
        assert asked == 1
        await here.start()
        await here.all_answered(60)
        await here.settled()
        assert not here.judge().broken, here.tail()
        again = summaries(here).count(summaries(here)[0])
        assert again == (1 if moment == "after" else 2)
        # The turn that was cut off goes on with the summary that it had paid for.
        resumed = next(s for s in here.model.requests[here.model.requests.index(_last_before(here)) + 1 :])
        assert is_summary(resumed) == (moment == "before")
        if moment == "after":
            assert any(SUMMARY in str(m["content"]) for m in resumed.body["messages"])


def _last_before(here: World) -> Seen:
    """Return the summary request at which the daemon died: the first one."""
    return next(seen for seen in here.model.requests if is_summary(seen))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_daemon_killed_before_and_after_a_snapshot_answers_and_forgets_nothing(
    state_dir: Path,
) -> None:
    async with world(state_dir) as here:
        small(here, 100_000)
        await here.start(fault="journal.before_commit:snapshot:1:kill")
        texts = messages(106, "a")
        for text in texts:
            here.say(11, text)
        assert await here.wait_dead(90) == -9
        await here.start(fault="journal.after_commit:snapshot:1:kill")
        assert await here.wait_dead(60) == -9
        await here.start()
        here.say(11, "last")
        await here.all_answered(60)
        await here.settled()
        assert not here.judge().broken, here.tail()
        assert not summaries(here)
        shown = here.model.requests[-1].body["messages"]
        assert [m["content"] for m in shown if m["role"] == "user"] == [*texts, "last"]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_daemon_killed_before_a_summary_is_asked_for_and_while_it_indexes_answers_all(
    state_dir: Path,
) -> None:
    async with world(state_dir) as here:
        small(here, 1600)
        await here.start(fault="journal.before_commit:summary.intent:1:kill")
        for n in range(8):
            here.say(11, f"{n}: the ferry " + "was late again and " * 20 + f"left at {n}.")
        assert await here.wait_dead(60) == -9
        for point in ("after_commit:summary.intent", "before_commit:search", "after_commit:search"):
            await here.start(fault=f"journal.{point}:1:kill")
            assert await here.wait_dead(60) == -9, point
        await here.start()
        await here.all_answered(60)
        await here.settled()
        assert not here.judge().broken, here.tail()
