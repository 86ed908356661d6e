"""What was said is found again: in any language, in the same conversation only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.config.schema import JournalConfig
from clawd.errors import ToolRetry
from clawd.ids import SystemClock
from clawd.journal import sqlite_search
from clawd.journal.items import AdmittedMessage
from clawd.journal.opening import OpenJournal, open_journal
from clawd.journal.records import ModelResult, SessionStarted, ToolDone, TurnFinished, TurnsUndone
from clawd.journal.search import Wanted, excerpt, query, words
from clawd.messages import Accepted, Address, InboundMessage, MessageId, Sender, Text
from clawd.response import JsonObject, ModelResponse
from clawd.testing import ManualClock
from clawd.tools.base import ToolContext
from clawd.tools.history import HistoryTool


class Talk:
    """A journal, and short ways to say something and to look for it."""

    def __init__(self, opened: OpenJournal) -> None:
        self.opened = opened
        self.count = 0

    async def say(
        self,
        text: str,
        answer: str = "ok",
        *,
        chat: str = "1",
        tool: str = "",
        name: str = "web",
        new: bool = False,
        undone: tuple[int, ...] = (),
    ) -> str:
        """Let a message be answered; return its turn."""
        self.count += 1
        inbound = InboundMessage(
            id=MessageId(f"m:{self.count}"),
            address=Address(bridge="tg", account="bot", chat=chat),
            sender=Sender(id="1", name="Ann"),
            parts=(Text(text),),
            sent_at=datetime.now(UTC),
        )
        (accepted,) = await self.opened.journal.accept([AdmittedMessage(message=inbound, right="chat")])
        assert isinstance(accepted, Accepted)
        (lease,) = await self.opened.journal.claim(1)
        records = [ModelResult(step=1, response=ModelResponse(model="m", text=answer))]
        tools = [ToolDone(step=2, call_id="c", name=name, text=tool)] if tool else []
        session = [SessionStarted(session=lease.settings.session + 1)] if new else []
        taken_back = [TurnsUndone(seqs=undone)] if undone else []
        end = TurnFinished(outcome="answered", text=answer, answers=(lease.seq,))
        await self.opened.journal.record(lease, *records, *tools, *session, *taken_back, end, done=True)
        return lease.turn

    async def find(self, text: str, turn: str, **limits: datetime | int) -> list[str]:
        findings = await self.opened.search.search(Wanted(turn=turn, text=text, **limits))  # type: ignore[arg-type] # a test's own names
        return [found.text for found in findings.found]


@pytest.fixture
async def talk(state_dir: Path) -> AsyncIterator[Talk]:
    opened = await open_journal(state_dir, JournalConfig(), SystemClock())
    yield Talk(opened)
    await opened.close()


SENTENCE = "我们的会议定于星期三下午三点在上海举行，口令是青鸾四十七。"


async def test_every_part_of_a_chinese_sentence_finds_it(talk: Talk) -> None:
    await talk.say(SENTENCE)
    await talk.say("毫无关系的另一句话")
    turn = await talk.say("now")
    for text in ("青", "青鸾", "鸾四", "星期三下午", "口令是青鸾四十七", "上海 口令"):
        assert await talk.find(text, turn) == [SENTENCE], text
    assert await talk.find("青四", turn) == []  # the characters do not stand together


@pytest.mark.parametrize(
    ("said", "looked_for"),
    [
        ("The vault code is KESTREL-7391.", "kestrel"),
        ("The vault code is KESTREL-7391.", "7391 vault"),
        ("The vault code is KESTREL-7391.", '"vault code"'),
        ("Der Schlüssel liegt im Café", "schlussel cafe"),
        ("deploy到production环境失败了", "production环境"),
        ("deploy到production环境失败了", "环境失败"),
        ("会議は東京タワーで", "東京タワー"),
        ("회의는 수요일입니다", "수요일"),
        ("การประชุมวันพุธ", "วันพุธ"),
        ("it's in C:\\temp\\notes.txt", "notes.txt"),
        ("unbelievable", "unbeliev"),
    ],
)
async def test_words_are_found_in_mixed_text(talk: Talk, said: str, looked_for: str) -> None:
    await talk.say(said)
    turn = await talk.say("now")
    assert await talk.find(looked_for, turn) == [said]


@settings(deadline=None)
@given(st.text(alphabet="青鸾四十七会议ab 1", min_size=1, max_size=20), st.data())
def test_a_part_of_a_sentence_becomes_a_phrase_of_its_words(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : data.draw(st.integers(start + 1, len(text)))]
    chinese = [c for c in part if c > "\u3000"]
    if chinese and len(chinese) == len(part):
        assert " ".join(chinese) in " ".join(words(text).split())


async def test_other_conversations_are_never_found(talk: Talk) -> None:
    other = await talk.say("the kestrel is mine", chat="2")
    turn = await talk.say("hello")
    assert await talk.find("kestrel", turn) == []
    assert await talk.find("zqconv1zq kestrel", turn) == []
    assert await talk.find("hello", other) == []


async def test_earlier_sessions_answers_and_tool_results_are_found_but_not_earlier_finds(talk: Talk) -> None:
    await talk.say("question", "the answer is kestrel", tool="a kestrel in the web")
    await talk.say("/new", new=True)
    await talk.say("x", tool="2026 assistant: kestrel", name="search_history")
    turn = await talk.say("kestrel, is it?")
    assert set(await talk.find("kestrel", turn)) == {"the answer is kestrel", "a kestrel in the web"}


async def test_words_of_a_search_need_not_all_be_there(talk: Talk) -> None:
    await talk.say("the kestrel flies")
    await talk.say("the heron flies")
    turn = await talk.say("now")
    assert await talk.find("kestrel nest", turn) == ["the kestrel flies"]
    assert len(await talk.find("flies", turn, limit=1)) == 1


async def test_dates_bound_what_is_found(talk: Talk) -> None:
    await talk.say("the kestrel flies")
    turn = await talk.say("now")
    now = datetime.now(UTC)
    assert await talk.find("kestrel", turn, after=now + timedelta(hours=1)) == []
    assert await talk.find("kestrel", turn, before=now - timedelta(hours=1)) == []
    assert await talk.find("kestrel", turn, after=now - timedelta(hours=1), before=now + timedelta(hours=1))


@pytest.mark.parametrize(
    "text", ['"', '""', "*", "NOT", "a AND", "NEAR(", "^", "col:x", "(((", "-", "_", "\x00", " "]
)
async def test_nothing_that_is_looked_for_breaks_the_search(talk: Talk, text: str) -> None:
    turn = await talk.say("something")
    await talk.find(text, turn)


async def test_a_backlog_is_indexed_in_batches_that_never_count_a_row_twice(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_search, "BATCH", 7)
    for n in range(10):
        await talk.say(f"kestrel {n}")
    while await talk.opened.search.fill():
        pass
    assert not await talk.opened.search.fill()
    ((rows, texts),) = await talk.opened.store.read("SELECT count(*), count(DISTINCT rowid) FROM search")
    assert rows == texts == 20


async def test_a_search_that_can_not_catch_up_in_time_says_so(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_search, "BATCH", 2)
    monkeypatch.setattr(sqlite_search, "CATCH_UP_S", -1.0)
    await talk.say("kestrel")
    turn = await talk.say("now")
    findings = await talk.opened.search.search(Wanted(turn=turn, text="kestrel"))  # type: ignore[arg-type] # as above
    assert findings.behind


async def test_the_index_is_filled_a_while_behind_the_commits_and_rests_when_nothing_comes(
    state_dir: Path,
) -> None:
    clock = ManualClock()
    opened = await open_journal(state_dir, JournalConfig(), clock)
    talk = Talk(opened)

    async def indexed() -> int:
        ((rows,),) = await opened.store.read("SELECT count(*) FROM search")
        return int(rows)

    async with asyncio.timeout(50), asyncio.TaskGroup() as group:
        filling = group.create_task(opened.search.run())
        await clock.sleeping()  # what an earlier process left is looked for, too
        await talk.say("first")
        await talk.say("second")
        assert await indexed() == 0
        await clock.advance(sqlite_search.GATHER_S)
        while await indexed() < 4:
            await asyncio.sleep(0.01)
        while clock.sleepers:  # woken by the last commits, it looks once more
            await clock.advance(60)
            await asyncio.sleep(0.01)
        for _ in range(3):
            await opened.journal.ping()
            await asyncio.sleep(0.01)
        assert clock.sleepers == 0  # it waits for the next commit, not for a time
        await talk.say("third")
        await clock.sleeping()
        await clock.advance(sqlite_search.GATHER_S)
        while await indexed() < 6:
            await asyncio.sleep(0.01)
        filling.cancel()
    await opened.close()


def test_an_excerpt_shows_the_place_that_was_found() -> None:
    text = "x" * 500 + " the kestrel " + "y" * 500
    shown = excerpt(text, "kestrel", 100)
    assert "kestrel" in shown
    assert len(shown) <= 102
    assert excerpt("short\ntext", "text", 100) == "short text"
    assert query("  ", every=True) is None


async def test_what_was_taken_back_is_not_found_again(talk: Talk) -> None:
    await talk.say("my cat is called Xiaobai", "a fine name")
    await talk.say("my dog is called Rex")
    turn = await talk.say("/undo", undone=(1,))
    assert await talk.find("Xiaobai", turn) == []
    assert await talk.find("fine name", turn) == []
    assert await talk.find("Rex", turn) != []


# --- the tool ----------------------------------------------------------------------------------------------


async def call(talk: Talk, turn: str, **arguments: str | int) -> str:
    context = ToolContext(
        turn=turn,  # type: ignore[arg-type] # as above
        step=1,
        address=Address(bridge="tg", account="bot", chat="1"),
        sender=Sender(id="1"),
        clock=SystemClock(),
        history=talk.opened.search,
    )
    given: JsonObject = dict(arguments)
    return (await HistoryTool().call(given, context)).text


async def test_the_tool_tells_when_who_and_what(talk: Talk) -> None:
    await talk.say(SENTENCE, "the kestrel, noted")
    turn = await talk.say("now")
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    found = await call(talk, turn, query="青鸾")
    assert found.startswith(today)
    assert found.endswith(f"user Ann: {SENTENCE}")
    assert "assistant: the kestrel, noted" in await call(talk, turn, query="kestrel", before=today)
    assert await call(talk, turn, query="nowhere") == "Nothing was found."
    with pytest.raises(ToolRetry, match="no ISO date"):
        await call(talk, turn, query="x", after="yesterday")
