"""A reply that grows in the chat, and a daemon that dies while it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.crash.stage import stage
from tests.crash.test_points import both
from tests.crash.words import MARK

if TYPE_CHECKING:
    from pathlib import Path

KILLS_AT: Final = frozenset(both("preview"))

# One chat after the other: where the daemon dies, whether the answer then says that it may be a repeat, and how
# many messages the chat has in the end. A preview is two commits: its row is reserved; its row has an id.
DEATHS: Final = (
    ("journal.before_commit:preview:1", False, 1),  # nothing was shown
    ("journal.after_commit:preview:1", True, 1),  # it may have been shown: nobody knows
    ("journal.before_commit:preview:2", True, 2),  # it was, and stays: its id is lost
    ("journal.after_commit:preview:2", False, 1),  # it is edited
    ("journal.after_commit:turn.finished:2", False, 1),  # the second turn to end; the first is the one before
)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_an_answer_whose_preview_was_cut_off_is_shown_whole_once_or_marked(state_dir: Path) -> None:
    async with stage(state_dir) as here:
        here.telegram.forget_method("sendMessageDraft")  # drafts have no row
        # What the start before cut off is over before this one's preview begins.
        here.script.slow_times = 1
        for chat, (death, _, _) in enumerate(DEATHS, start=1):
            await here.start(f"{death}:kill")
            if chat > 1:
                await here.all_answered()
            here.write(chat, here.wish(slow=True))
            await here.killed(death)
        await here.start()
        await here.all_answered()
        for chat, (death, marked, messages) in enumerate(DEATHS, start=1):
            texts = [message.text for message in here.telegram.sent(chat)]
            whole = [text for text in texts if text.endswith("over and out")]
            assert (len(whole), len(texts)) == (1, messages), death
            assert whole[0].startswith(MARK) == marked, death
        verdict = here.judge()
        assert not verdict.broken, f"{verdict.broken}\n{here.daemon.tail()}"
        assert (verdict.marked, verdict.leftovers) == (2, 1)
        assert verdict.asked_again == len(DEATHS) - 1, "only what was committed was not asked for again"
