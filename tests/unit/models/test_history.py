from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawd.messages import Text, text_of
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, UserMessage
from clawd.models.history import fit

S = SystemMessage("brief")


def _u(text: str) -> UserMessage:
    return UserMessage((Text(text),))


def _a(text: str) -> AssistantMessage:
    return AssistantMessage(text=text)


def test_what_fits_stays_whole() -> None:
    messages = (S, _u("one"), _a("1"), _u("two"))
    assert fit(messages, 10_000) == messages


def test_the_oldest_goes_first_and_a_user_always_begins() -> None:
    messages = (S, _u("a" * 100), _a("b" * 100), _u("c" * 100), _a("d" * 100), _u("now"))
    assert fit(messages, 400) == (S, _u("c" * 100), _a("d" * 100), _u("now"))
    assert fit(messages, 250) == (S, _u("now"))


def test_a_question_that_is_too_long_alone_loses_its_middle() -> None:
    (system, question) = fit((S, _u("begin" + "x" * 5000 + "end")), 300)
    assert system == S
    assert isinstance(question, UserMessage)
    text = text_of(question.parts)
    assert text.startswith("begin")
    assert text.endswith("end")
    assert len(text) < 300


@given(
    st.lists(st.tuples(st.booleans(), st.text(max_size=80)), max_size=12),
    st.text(max_size=300),
    st.integers(200, 2000),
)
def test_the_result_fits_and_ends_in_the_question(
    talk: list[tuple[bool, str]], question: str, limit: int
) -> None:
    history: list[ChatMessage] = [_u(text) if user else _a(text) for user, text in talk]
    result = fit((S, *history, _u(question)), limit)
    size = sum(
        len((m.text if not isinstance(m, UserMessage) else text_of(m.parts)).encode("utf-8", "replace")) + 24
        for m in result
    )
    assert size <= limit
    assert isinstance(result[-1], UserMessage)
    assert len(result) == 2 or isinstance(result[1], UserMessage)
