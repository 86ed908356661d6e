"""A daemon process asks in Telegram before a tool runs; who presses what decides, through kills."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from clawd.texts import say
from tests.crash.world import World, world
from tests.fakes import tool_package
from tests.fakes.openai_api import Reply, Seen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.fakes.bot_api_world import SentMessage

pytestmark = pytest.mark.timeout(300)

YES, ALWAYS, NO = (say(f"choice_{word}", "en") for word in ("approve", "always", "deny"))
GROUP = -1001
PATIENCE_S = 30


def pushes(seen: Seen) -> Reply | None:
    """The model: it pushes what it is asked to push, and tells what came of it."""
    last = seen.body["messages"][-1]
    if last["role"] == "tool":
        return Reply(text=f"told: {last['content']}")
    text = seen.last_user_text
    if "push" not in text:
        return None
    arguments = json.dumps({"line": text[text.index("push") :]})
    return Reply(text="", tool_calls=[{"id": "call-1", "name": "push", "arguments": arguments}])


class Asking:
    """The world with a tool that asks first."""

    def __init__(self, here: World, folder: Path) -> None:
        self.here = here
        self.telegram = here.telegram
        self._folder = folder

    @property
    def runs(self) -> list[str]:
        return tool_package.runs(self._folder / "runs")

    async def start(self, fault: str | None = None) -> None:
        await self.here.start(fault=fault, environ={"PYTHONPATH": str(self._folder)})

    async def until(self, condition: Any) -> None:
        try:
            await self.telegram.wait_until(condition, PATIENCE_S)
        except TimeoutError:
            raise AssertionError(self.here.tail()) from None

    async def question(self, chat: int) -> SentMessage:
        """Return the question in a chat as soon as it shows its buttons."""
        await self.until(lambda: any(message.keyboard for message in self.telegram.sent(chat)))
        return next(message for message in self.telegram.sent(chat) if message.keyboard)

    async def answered(self, query: str) -> str:
        """Return what was shown to who pressed."""
        await self.until(lambda: query in self.telegram.answers())
        return self.telegram.answers()[query]

    async def told(self, chat: int, text: str) -> None:
        """Return once the chat shows this."""
        await self.until(lambda: text in self.here.answers(chat))


@asynccontextmanager
async def asking(state_dir: Path, tmp_path: Path) -> AsyncIterator[Asking]:
    folder = tmp_path / "packages"
    tool_package.install(folder)
    access = {"default": "deny", "grant": "tools", "rate": "100000/s", "owners": ["telegram:99"]}
    tools = {"push": {"runs": str(folder / "runs")}}
    async with world(state_dir, access=access, tools=tools) as here:
        people = ["11", "12", "13", "14", "42", "43"]
        telegram = {"token": here.telegram.token, "api_base": here.telegram.url, "allow": people}
        here.configure(access=access, tools=tools, bridges={"telegram": telegram})
        here.model.choose = pushes
        yield Asking(here, folder)


async def test_a_press_decides_and_other_text_means_no(state_dir: Path, tmp_path: Path) -> None:
    async with asking(state_dir, tmp_path) as it:
        await it.start()
        for chat in (11, 12, 13, 14):
            it.telegram.user_says(chat, f"push for {chat}")
        asked = {chat: await it.question(chat) for chat in (11, 12, 13, 14)}
        assert it.runs == []
        line = "push for 11"
        at = asked[11].text.index(line)
        assert {"type": "pre", "offset": at, "length": len(line)} in asked[11].entities
        assert [button["text"] for button in asked[11].keyboard[0]] == [YES, ALWAYS, NO]

        yes = it.telegram.press(11, asked[11].message_id, YES)
        assert await it.answered(yes) == say("approved", "en")
        await it.told(11, "told: pushed")
        no = it.telegram.press(12, asked[12].message_id, NO)
        assert await it.answered(no) == say("denied", "en")
        await it.told(12, f"told: {say('denied_person', 'en')}")
        it.telegram.user_says(13, "rather not")
        await it.told(13, "you said: rather not")
        it.telegram.press(14, asked[14].message_id, ALWAYS)
        await it.told(14, "told: pushed")
        assert it.runs == ["push for 11", "push for 14"]

        await it.until(lambda: not any(asked[chat].keyboard for chat in (11, 12, 14)))
        # Answered in words, it still shows its buttons; the first press on one takes them away.
        late = it.telegram.press(13, asked[13].message_id, YES)
        assert await it.answered(late) == say("nothing_to_answer", "en")
        await it.until(lambda: not asked[13].keyboard)
        it.telegram.user_says(14, "push for 14")
        await it.until(lambda: it.here.answers(14).count("told: pushed") == 2)
        await it.here.settled()
        assert it.runs == ["push for 11", "push for 14", "push for 14"]
        assert [len(it.here.answers(chat)) for chat in (11, 12, 13, 14)] == [2, 2, 2, 3]


async def test_in_a_group_only_the_asker_or_an_owner_decides(state_dir: Path, tmp_path: Path) -> None:
    async with asking(state_dir, tmp_path) as it:
        await it.start()
        asked: list[SentMessage] = []
        for thread in (5, 6):
            text = f"@{it.telegram.username} push in {thread}"
            it.telegram.user_says(GROUP, text, sender=42, thread=thread)
            await it.until(lambda: len(it.telegram.sent(GROUP)) > len(asked))
            asked.append(it.telegram.sent(GROUP)[-1])
        first, second = asked
        assert [message.thread for message in asked] == [5, 6]

        stranger = it.telegram.press(GROUP, first.message_id, YES, sender=666)
        assert await it.answered(stranger) == ""
        member = it.telegram.press(GROUP, first.message_id, YES, sender=43)
        assert await it.answered(member) == say("not_yours", "en")
        # A client can send any data, also that of a question in another conversation.
        data = first.keyboard[0][0]["callback_data"]
        elsewhere = it.telegram.world.typed(11, "x", sender=None, thread=None)
        forged = it.telegram.press_raw(11, data, message=elsewhere)
        assert await it.answered(forged) == say("nothing_to_answer", "en")
        it.telegram.user_says(GROUP, f"@{it.telegram.username} yes", sender=43, thread=5)
        assert it.runs == []
        assert first.keyboard
        assert second.keyboard

        asker = it.telegram.press(GROUP, first.message_id, YES, sender=42)
        assert await it.answered(asker) == say("approved", "en")
        owner = it.telegram.press(GROUP, second.message_id, NO, sender=99)
        assert await it.answered(owner) == say("denied", "en")
        await it.told(GROUP, "told: pushed")
        await it.told(GROUP, f"told: {say('denied_person', 'en')}")
        await it.until(lambda: not first.keyboard and not second.keyboard)
        await it.here.settled()
        assert it.runs == ["push in 5"]


@pytest.mark.parametrize(
    "point",
    ["before_commit:accept:2", "after_commit:accept:2", "after_commit:turn.resumed:1"],
)
async def test_a_kill_between_the_press_and_the_run_lets_the_tool_run_once(
    state_dir: Path, tmp_path: Path, point: str
) -> None:
    async with asking(state_dir, tmp_path) as it:
        await it.start(fault=f"journal.{point}:kill")
        it.telegram.user_says(11, "push it")
        question = await it.question(11)
        query = it.telegram.press(11, question.message_id, YES)
        assert await it.here.wait_dead() == -9
        assert it.runs == []
        await it.start()
        await it.told(11, "told: pushed")
        if point == "before_commit:accept:2":
            assert await it.answered(query) == say("approved", "en"), "it came again"
        if question.keyboard:  # killed before it could take them away
            late = it.telegram.press(11, question.message_id, YES)
            assert await it.answered(late) == say("nothing_to_answer", "en")
        await it.until(lambda: not question.keyboard)
        await it.here.settled()
        assert it.runs == ["push it"]
        assert it.here.answers(11) == [question.text, "told: pushed"]
