"""The buttons under a question, and the data that a press on one brings back: pure.

The data of a button is a letter, a colon and the question's id without its kind: "a:INSTANCE-CONV-SEQ-STEP".
Telegram takes 64 bytes. An instance has 8 characters, so 51 digits are left for the three numbers, which
in SQLite could have 19 each but are row ids and counts. Whether to let a stranger in is "p:CODE" or "x:CODE". The data is no secret and no proof: a client can
send any. Who may answer which question is for the inbox to say.

Source: Bot API, InlineKeyboardButton, field `callback_data`; CallbackQuery, field `data`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.ids import QuestionId, pairing_code, pairing_question, parse_question_id

if TYPE_CHECKING:
    from clawd.messages import OutboundMessage

_KIND: Final = "approval:"
_LETTERS: Final = {"approve": "a", "always": "w", "deny": "d"}
_WORDS: Final = {letter: word for word, letter in _LETTERS.items()}
_PAIRING: Final = {"approve": "p", "deny": "x"}
_PAIRING_WORDS: Final = {letter: word for word, letter in _PAIRING.items()}
_CODE: Final = re.compile(r"[A-Z0-9]{1,32}")
_MAX_DATA_BYTES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One button; `data` comes back when it is pressed."""

    label: str
    data: str


def buttons_of(message: OutboundMessage) -> tuple[Button, ...]:
    """Return the buttons of a question, in one row; none under anything else.

    None either when there is no id that could come back within the limit: such a question is answered in
    words. Of a question in parts the last one carries them.
    """
    if message.question is None or message.part != message.parts - 1:
        return ()
    code = pairing_code(message.question)
    letters, asked = (_LETTERS, message.question.removeprefix(_KIND)) if code is None else (_PAIRING, code)
    buttons = tuple(
        Button(label=choice.label, data=f"{letters[choice.word]}:{asked}")
        for choice in message.choices
        if choice.word in letters
    )
    fits = all(button.label.strip() and len(button.data.encode()) <= _MAX_DATA_BYTES for button in buttons)
    return buttons if fits else ()


def read_data(data: object) -> tuple[str, QuestionId] | None:
    """Return the pressed choice's word and its question, None for data that is not ours."""
    if not isinstance(data, str):
        return None
    letter, _, asked = data.partition(":")
    if letter in _PAIRING_WORDS and _CODE.fullmatch(asked):
        return _PAIRING_WORDS[letter], pairing_question(asked)
    question = QuestionId(f"{_KIND}{asked}")
    if letter not in _WORDS or parse_question_id(question) is None:
        return None
    return _WORDS[letter], question
