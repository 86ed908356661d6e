"""The model of the crash tests: it does what the user's message wishes, and signs each response with a token."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.crash.events import Asked, Call
from tests.crash.words import Wish, answer_text, position, uniques
from tests.fakes.openai_api import Reply

if TYPE_CHECKING:
    from tests.crash.events import Notebook
    from tests.fakes.openai_api import Seen


class Script:
    """Chooses the replies of a `FakeOpenAI`."""

    def __init__(self, notebook: Notebook) -> None:
        self.delay_s = 0.0  # before each response
        self.piece_delay_s = 0.65  # between the three pieces of a slow answer
        self.slow_times = 2  # how often a slow answer is slow; asked for again after that, it is quick
        self._notebook = notebook
        self._slow = Counter[str]()
        self.tokens = 0  # given so far

    def choose(self, seen: Seen) -> Reply:
        """Return the reply to a request, and note it."""
        messages = seen.body["messages"]
        text, step, results = position(messages)
        wish = Wish.parse(text)
        token = f"tok{self.tokens}x"
        self.tokens += 1
        kinds = wish.steps[step] if step < len(wish.steps) else ()
        calls = tuple(Call(id=f"call-{token}-{n}", kind=kind) for n, kind in enumerate(kinds))
        self._notebook.add(
            Asked(
                at=time.monotonic(),
                life=life_in(seen.path),
                word=wish.word,
                step=step,
                token=token,
                calls=calls,
                contains=uniques(messages),
                results=results,
            )
        )
        if calls:
            return Reply(text="", tool_calls=_wire(wish.word, step, token, calls), delay_s=self.delay_s)
        answer = answer_text(wish.word, token)
        if wish.slow and self._slow[wish.word] < self.slow_times:
            self._slow[wish.word] += 1
            third = len(answer) // 3
            pieces = [answer[:third], answer[third : 2 * third], answer[2 * third :]]
            return Reply(chunks=pieces, chunk_delay_s=self.piece_delay_s)
        return Reply(text=answer, delay_s=self.delay_s)


def _wire(word: str, step: int, token: str, calls: tuple[Call, ...]) -> list[dict[str, str]]:
    return [
        {
            "id": call.id,
            "name": f"note_{call.kind}",
            "arguments": json.dumps({"place": f"{word}/{step}/{n}", "token": token, "call": call.id}),
        }
        for n, call in enumerate(calls)
    ]


def life_in(path: str) -> int:
    """Return which process called, as its address says."""
    match = re.match(r"/life-(\d+)", path)
    assert match is not None, path
    return int(match[1])
