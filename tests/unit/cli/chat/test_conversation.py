"""The connection: a message makes one turn however often it is sent, and the stream comes back."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from clawd.cli.chat.conversation import BACKLOG, Conversation
from clawd.cli.chat.events import Connected, GaveUp, Lost, Received, Signal
from clawd.client import Client, RemoteError
from clawd.errors import DaemonNotRunning
from tests.fakes.control_api import FakeControlApi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def api(state_dir: Path) -> Iterator[FakeControlApi]:
    with FakeControlApi(state_dir / "s.sock") as api:
        yield api


def conversation(api: FakeControlApi, patience_s: float = 10) -> Conversation:
    return Conversation(Client([api.path], timeout_s=5), "default", patience_s=patience_s)


class Sink:
    """Signals, one after the other."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Signal] = SimpleQueue()

    def next(self) -> Signal:
        return self.queue.get(timeout=30)

    def until(self, kind: type[Signal]) -> Signal:
        while not isinstance(news := self.next(), kind):
            pass
        return news


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_message_whose_receipt_was_lost_makes_one_turn(api: FakeControlApi, how: str) -> None:
    api.break_posts = [how, how]  # type: ignore[list-item]
    receipt = conversation(api).send("hi")
    assert receipt.turn == "turn:t-1-1"
    assert len(api.turns) == 1
    assert len({post["id"] for post in api.posts}) == 1


def test_two_messages_with_the_same_text_are_two_turns(api: FakeControlApi) -> None:
    talker = conversation(api)
    assert talker.send("hi").turn != talker.send("hi").turn


def test_the_queue_position_and_a_reply_at_once_are_told(api: FakeControlApi) -> None:
    talker = conversation(api)
    talker.send("one")
    assert talker.send("two").position == 1
    status = talker.send("/status")
    assert (status.turn, status.text) == (None, "all is well")


def test_a_refusal_is_not_repeated(api: FakeControlApi) -> None:
    api.refuse = (
        503,
        {"error": {"code": "E-BUSY", "what": "too many messages are waiting", "exit_code": 75}},
    )
    with pytest.raises(RemoteError, match="too many") as caught:
        conversation(api).send("hi")
    assert caught.value.exit_code == 75
    assert api.posts == []


def test_a_daemon_that_stays_away_is_given_up(api: FakeControlApi) -> None:
    api.stop()
    with pytest.raises(DaemonNotRunning):
        conversation(api, patience_s=0.1).send("hi")


def test_the_stream_comes_back_behind_what_was_read(api: FakeControlApi) -> None:
    sink, cursor = Sink(), [""]
    api.add_entry(None, "assistant", "first")
    follower = conversation(api).follow(lambda: cursor[0], sink.queue.put)
    try:
        assert sink.next() == Connected(again=False)
        received = sink.next()
        assert isinstance(received, Received)
        cursor[0] = received.frame["cursor"]
        api.stop()
        sink.until(Lost)
        api.add_entry(None, "assistant", "while away")
        api.start()
        assert sink.until(Connected) == Connected(again=True)
        received = sink.next()
        assert isinstance(received, Received)
        assert received.frame["text"] == "while away"
    finally:
        follower.close()
        follower.join(10)
    assert not follower.is_alive()


def test_without_a_daemon_the_first_connection_fails_at_once(api: FakeControlApi) -> None:
    api.stop()
    sink = Sink()
    follower = conversation(api).follow(str, sink.queue.put)
    gave_up = sink.next()
    assert isinstance(gave_up, GaveUp)
    assert isinstance(gave_up.error, DaemonNotRunning)
    follower.close()
    follower.join(10)


def test_a_follower_that_gave_up_tries_again_when_asked(api: FakeControlApi) -> None:
    sink = Sink()
    follower = conversation(api, patience_s=0.2).follow(str, sink.queue.put)
    try:
        sink.until(Connected)
        api.stop()
        sink.until(GaveUp)
        api.start()
        follower.retry()
        assert sink.until(Connected) == Connected(again=True)
    finally:
        follower.close()


def test_an_error_of_the_journal_in_the_stream_is_told(api: FakeControlApi) -> None:
    sink = Sink()
    follower = conversation(api).follow(str, sink.queue.put)
    try:
        sink.until(Connected)
        api.wait(lambda: api.open_streams == 1)
        api.send(type="error", error={"code": "E-JOURNAL", "what": "unreadable", "exit_code": 74})
        gave_up = sink.until(GaveUp)
        assert isinstance(gave_up, GaveUp)
        assert str(gave_up.error) == "unreadable"
    finally:
        follower.close()


def test_the_first_look_shows_the_newest_entries_and_says_that_there_are_more(api: FakeControlApi) -> None:
    for number in range(BACKLOG + 5):
        api.add_entry(None, "assistant", str(number))
    backlog = conversation(api).backlog("")
    assert (len(backlog.entries), backlog.earlier) == (BACKLOG, True)
    assert backlog.entries[-1]["text"] == str(BACKLOG + 4)
    later = conversation(api).backlog(str(BACKLOG))
    assert [entry["text"] for entry in later.entries] == [str(BACKLOG + n) for n in range(5)]


def test_a_cursor_of_another_journal_counts_as_none(api: FakeControlApi) -> None:
    api.add_entry(None, "assistant", "hello")
    assert [entry["text"] for entry in conversation(api).backlog("foreign").entries] == ["hello"]


def test_a_reading_thread_that_breaks_down_does_not_leave_anybody_waiting(
    api: FakeControlApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    sink, calls = Sink(), []

    def broken() -> str:
        calls.append(1)
        raise RuntimeError("a bug")

    conversation(api).follow(broken, sink.queue.put)
    assert isinstance(sink.next(), GaveUp)
    assert calls == [1]


@pytest.mark.parametrize("how", ["before", "after"])
def test_an_answer_whose_receipt_was_lost_counts_once_and_is_no_error(api: FakeControlApi, how: str) -> None:
    talker = conversation(api)
    turn = talker.send("hi").turn
    assert turn is not None
    question = api.ask(turn)
    api.break_posts = [how]  # type: ignore[list-item]
    assert talker.answer(question, "always") == ""
    assert api.words == [(question, "approve", {"always": ""})]
    with pytest.raises(RemoteError, match="no longer open"):
        talker.answer(question, "deny")


def test_a_message_that_joined_another_turn_says_so_before_and_after_its_end(api: FakeControlApi) -> None:
    talker = conversation(api)
    first, second = (str(talker.send(text).turn) for text in ("one", "two"))
    assert talker.standing(second) is None
    api.merge(second, first)
    merged = {"type": "merged", "turn": second, "into": first}
    assert talker.standing(second) == merged
    assert talker.end_of(second) is None
    api.end(first, "Both.")
    assert talker.standing(second) == merged
    ended = talker.end_of(second)
    assert ended is not None
    assert (ended["text"], ended["merged_into"]) == ("Both.", first)
