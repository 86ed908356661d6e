from __future__ import annotations

from clawd.messages import Text
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolMessage, UserMessage
from clawd.models.pairs import paired
from clawd.response import ToolCall


def _user(text: str) -> UserMessage:
    return UserMessage((Text(text),))


def _asks(*ids: str, arguments: str = "{}", name: str = "look") -> AssistantMessage:
    return AssistantMessage(
        text="", tool_calls=tuple(ToolCall(id=i, name=name, arguments=arguments) for i in ids)
    )


def _got(call_id: str, text: str = "done") -> ToolMessage:
    return ToolMessage(call_id=call_id, name="look", text=text)


def test_a_conversation_in_order_stays_as_it_is() -> None:
    messages: list[ChatMessage] = [
        SystemMessage("be brief"),
        _user("hi"),
        _asks("a", "b"),
        _got("a"),
        _got("b"),
        _user("more"),
    ]
    assert paired(messages) == messages


def test_results_stand_in_the_order_of_their_calls() -> None:
    assert paired([_asks("a", "b"), _got("b"), _got("a")])[1:] == [_got("a"), _got("b")]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    assert paired([_asks("a", "b"), _got("b"), _user("and?")])[1:] == [
        _got("a", "[no result]"),
        _got("b"),
        _user("and?"),
    ]


def test_a_result_without_a_call_is_told_as_text() -> None:
    assert paired([_got("x", "42")]) == [_user("[result of look: 42]")]
    assert paired([_asks("a"), _got("a"), _got("a", "again")])[2] == _user("[result of look: again]")


def test_ids_that_a_server_used_twice_become_unique_with_their_results() -> None:
    messages = paired([_asks("call_1"), _got("call_1", "1"), _asks("call_1"), _got("call_1", "2")])
    assert messages == [_asks("call_1"), _got("call_1", "1"), _asks("call_1_2"), _got("call_1_2", "2")]


def test_ids_names_and_arguments_of_other_models_are_made_sendable() -> None:
    first, result = paired(
        [_asks("functions.look:0", arguments="{broken", name="a.b"), _got("functions.look:0")]
    )
    assert isinstance(first, AssistantMessage)
    assert first.tool_calls[0] == ToolCall(
        id="functions_look_0", name="a_b", arguments='{"not_json": "{broken"}'
    )
    assert isinstance(result, ToolMessage)
    assert result.call_id == "functions_look_0"


def test_an_id_has_at_most_64_characters_and_is_never_empty() -> None:
    for wanted in ("x" * 200, ""):
        ids = [
            m.tool_calls[0].id
            for m in paired([_asks(wanted), _got(wanted), _asks(wanted), _got(wanted)])
            if isinstance(m, AssistantMessage)
        ]
        assert len(set(ids)) == 2
        assert all(0 < len(i) <= 64 for i in ids)
