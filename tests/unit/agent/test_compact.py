"""What a summary covers, and how much of it one request takes."""

from __future__ import annotations

from clawd.agent.compact import boundary, chunk, cut_points, summary_message, through_seq
from clawd.agent.context import Block, Layout
from clawd.messages import Text, text_of
from clawd.models.base import SystemMessage, UserMessage
from clawd.models.tokens import TokenCounter


def block(seq: int, needs: int | None = None, text: str = "x") -> Block:
    return Block(messages=(UserMessage((Text(text),)),), seq=seq, needs_seq=seq if needs is None else needs)


def step(number: int) -> Block:
    return Block(messages=(UserMessage((Text("step"),)),), step=number)


def layout(*past: Block, steps: int = 0, needs: int | None = None) -> Layout:
    made = tuple(step(n) for n in range(1, steps + 1))
    return Layout(past=past, question=(), steps=made, needs_seq=needs)


def ten(_: Block) -> int:
    return 10


def test_a_summary_leaves_about_half_of_the_budget() -> None:
    past = [block(seq) for seq in range(1, 11)]
    assert cut_points(layout(*past), 100, 0, ten) == (5, 0)
    assert cut_points(layout(*past), 100, 30, ten) == (8, 0)
    assert cut_points(layout(*past), 100, 90, ten) == (10, 0)


def test_the_session_is_covered_before_this_turn_and_the_newest_step_never() -> None:
    past = [block(seq) for seq in range(1, 4)]
    assert cut_points(layout(*past, steps=4), 100, 0, ten) == (2, 0)
    assert cut_points(layout(*past, steps=8), 100, 0, ten) == (3, 3)
    assert cut_points(layout(*past, steps=8), 10, 50, ten) == (3, 7)
    assert cut_points(layout(steps=1), 10, 50, ten) == (0, 0)


def test_a_turn_that_asked_again_keeps_the_turn_whose_message_it_asked() -> None:
    past = (block(1), block(4, needs=2), block(5))
    assert boundary(layout(*past), 3) == 3
    assert boundary(layout(*past), 1) == 1
    assert through_seq(layout(*past), 1, 9, 0) == 1  # not 3: the message of 2 is still needed
    assert boundary(layout(block(1), block(3), block(4, needs=2)), 2) == 1
    assert boundary(layout(block(1), block(2), block(3), needs=2), 3) == 1  # this very turn asks 2 again


def test_a_summary_stands_for_the_commands_between_as_well() -> None:
    past = (block(1), block(5), block(8))
    assert through_seq(layout(*past), 1, 9, 0) == 4
    assert through_seq(layout(*past), 3, 12, 0) == 11
    assert through_seq(layout(*past), 0, 12, 7) == 7


def test_a_request_for_a_summary_takes_what_fits_and_cuts_what_never_will() -> None:
    counter = TokenCounter()
    words = [block(n, text="some words in a row " * 20) for n in range(1, 9)]
    taken, messages = chunk(words, "", 500, 100, counter)
    assert 1 <= taken < 8
    assert counter.messages(messages) <= 500
    taken, messages = chunk([block(1, text="word " * 5000)], "before " * 2000, 500, 100, counter)
    assert taken == 1
    assert counter.messages(messages) <= 500
    asked = messages[-1]
    assert isinstance(messages[0], SystemMessage)
    assert isinstance(asked, UserMessage)
    assert text_of(asked.parts).count("characters are not shown") == 2


def test_what_is_not_shown_is_told() -> None:
    assert summary_message("", 0, searchable=True) == ()
    (told,) = summary_message("S", 3, searchable=True)
    assert isinstance(told, UserMessage)
    assert text_of(told.parts).endswith(
        "S\n\n[Note: 3 earlier messages are not shown; search_history finds them.]"
    )
    (told,) = summary_message("", 3, searchable=False)
    assert isinstance(told, UserMessage)
    assert text_of(told.parts) == "[Note: 3 earlier messages are not shown.]"
