"""A daemon process asks its owner in Telegram whether to let a stranger in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.texts import say
from tests.crash.world import world

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(90)

OWNER, STRANGER, FRIEND = 99, 7, 8


async def test_a_press_of_the_owner_lets_a_stranger_in_or_keeps_him_out(state_dir: Path) -> None:
    access = {"default": "pair", "rate": "100000/s", "owners": [f"telegram:{OWNER}"]}
    async with world(state_dir, access=access) as here:
        telegram = here.telegram
        section = {"token": telegram.token, "api_base": telegram.url}
        here.configure(access=access, bridges={"telegram": section})
        telegram.world.chat(OWNER)
        await here.start()
        for person in (STRANGER, FRIEND):
            telegram.user_says(person, "let me in")
        first, second = await telegram.wait_for_messages(OWNER, 2)
        assert first.text.startswith(f"User {STRANGER} (id {STRANGER}) wants to write to me.")
        let_in, keep_out = (say(f"choice_{word}", "en") for word in ("let_in", "keep_out"))
        assert [button["text"] for button in first.keyboard[0]] == [let_in, keep_out]

        forged = telegram.press_raw(
            STRANGER,
            first.keyboard[0][0]["callback_data"],
            message=telegram.world.typed(STRANGER, "x", sender=None, thread=None),
        )
        yes = telegram.press(OWNER, first.message_id, let_in)
        no = telegram.press(OWNER, second.message_id, keep_out)
        await telegram.wait_until(lambda: {forged, yes, no} <= telegram.answers().keys())
        assert telegram.answers()[forged] == ""
        assert telegram.answers()[yes] == say("pairing_approved", "en", name=f"User {STRANGER}")
        assert telegram.answers()[no] == say("pairing_denied", "en", name=f"User {FRIEND}")
        await telegram.wait_until(lambda: not first.keyboard and not second.keyboard)
        await telegram.wait_until(lambda: say("paired", "en") in [m.text for m in telegram.sent(STRANGER)])

        late = telegram.press(OWNER, first.message_id, keep_out, stale=True)
        await telegram.wait_until(lambda: late in telegram.answers())
        assert telegram.answers()[late] == say("pairing_over", "en")
        here.say(STRANGER, "hello")
        await telegram.wait_for_messages(STRANGER, 3)
        assert here.answers(STRANGER)[-1] == "you said: hello"
