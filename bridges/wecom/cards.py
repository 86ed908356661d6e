"""The card with buttons under a question, and the key that a press on one brings back: pure.

The key is a word, a colon and the question's id without its kind. It proves nothing: who may answer which
question is for the inbox to say.

Source: developer.work.weixin.qq.com, documents 101032 and 101027: a `button_interaction` has at most 6 buttons and
a `task_id` of at most 128 letters, digits, `_`, `-` and `@`, which no two cards of a bot share.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from clawd.ids import QuestionId, parse_question_id

if TYPE_CHECKING:
    from clawd.messages import OutboundMessage
    from clawd.response import JsonObject, JsonValue

_KIND: Final = "approval:"
_WORDS: Final = frozenset({"approve", "always", "deny"})
_DONE: Final = "done"
_MAX_BUTTONS: Final = 6
_TITLE_CHARS: Final = 26
_BAD_IN_TASK: Final = re.compile(r"[^A-Za-z0-9_@-]")
_STYLES: Final = {"approve": 1, "always": 2, "deny": 3}  # blue, its frame alone, red


def card_of(message: OutboundMessage, nonce: str) -> JsonObject | None:
    """Return the card that belongs under a question, None under anything else.

    Of a question in parts the last one carries it.

    Args:
        message: The delivery.
        nonce: Tells this attempt's card from that of an earlier one.
    """
    if message.question is None or message.part != message.parts - 1:
        return None
    asked = message.question.removeprefix(_KIND)
    choices = [choice for choice in message.choices if choice.label.strip()][:_MAX_BUTTONS]
    if not choices:
        return None
    buttons: list[JsonValue] = [
        {"text": choice.label, "style": _STYLES[choice.word], "key": f"{choice.word}:{asked}"}
        for choice in choices
    ]
    task = _BAD_IN_TASK.sub("_", f"{asked}-{nonce}")[:128]
    return _card(_first_line(message.text), buttons, task)


def answered_card(task_id: str, told: str) -> JsonObject:
    """Return what takes the place of a card whose question is over: one button that says so."""
    return _card(told, [{"text": told[:_TITLE_CHARS], "style": 2, "key": _DONE}], task_id)


def read_key(key: object) -> tuple[str, QuestionId] | None:
    """Return the pressed choice's word and its question, None for a key that is not ours."""
    if not isinstance(key, str):
        return None
    word, _, asked = key.partition(":")
    question = QuestionId(f"{_KIND}{asked}")
    if word not in _WORDS or parse_question_id(question) is None:
        return None
    return word, question


def _card(title: str, buttons: list[JsonValue], task_id: str) -> JsonObject:
    return {
        "card_type": "button_interaction",
        "main_title": {"title": title[:_TITLE_CHARS]},
        "button_list": buttons,
        "task_id": task_id,
    }


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "?")
