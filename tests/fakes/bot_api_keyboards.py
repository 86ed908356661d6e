"""Inline keyboards of the fake Bot API: what it accepts, and finding the button that a person presses.

Source: https://core.telegram.org/bots/api#inlinekeyboardmarkup
"""

from __future__ import annotations

from typing import Any, Final

from tests.fakes.bot_api_rules import bad

Keyboard = list[list[dict[str, Any]]]

MAX_DATA_BYTES: Final = 64
MAX_BUTTONS: Final = 100
MAX_ROW: Final = 8
_ACTIONS: Final = frozenset({"callback_data", "url"})  # those that this fake knows


def read_keyboard(markup: Any) -> Keyboard:
    """Return the rows of a `reply_markup`, none when there is none; raises ApiError for a wrong one."""
    if markup is None:
        return []
    if not isinstance(markup, dict) or not isinstance(rows := markup.get("inline_keyboard"), list):
        raise bad("can't parse reply keyboard markup JSON object")
    if markup.keys() != {"inline_keyboard"}:
        raise bad("can't parse reply keyboard markup JSON object: unknown field")
    buttons = 0
    for row in rows:
        if not isinstance(row, list) or not row or len(row) > MAX_ROW:
            raise bad("can't parse inline keyboard: a row needs 1 to 8 buttons")
        for button in row:
            _check_button(button)
        buttons += len(row)
    if buttons > MAX_BUTTONS:
        raise bad("reply markup is too long")
    return rows


def _check_button(button: Any) -> None:
    if not isinstance(button, dict):
        raise bad("can't parse inline keyboard button: expected an Object")
    if not isinstance(text := button.get("text"), str) or not text.strip():
        raise bad("can't parse inline keyboard button: text must not be empty")
    actions = button.keys() - {"text"}
    if not actions:
        raise bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if len(actions) != 1 or not actions <= _ACTIONS:
        raise bad(f"can't parse inline keyboard button: unexpected {sorted(actions)}")
    data = button.get("callback_data")
    if data is not None and not (isinstance(data, str) and 1 <= len(data.encode()) <= MAX_DATA_BYTES):
        raise bad("BUTTON_DATA_INVALID")


def data_behind(keyboard: Keyboard, label: str) -> str:
    """Return what a press on this button sends; raises LookupError when nobody could press it."""
    for row in keyboard:
        for button in row:
            if button["text"] == label and "callback_data" in button:
                return str(button["callback_data"])
    raise LookupError(f"no button {label!r} in {keyboard}")
