"""Model servers that send slowly, for ever, or nonsense: the next model answers, and memory stays."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.crash.world import answer_to, world
from tests.fakes.openai_api import Reply, Seen
from tests.faults.house import events, rss_bytes, state_of

CAP = 2_000_000
DELTA = '{"choices":[{"index":0,"delta":{"content":"a"}}]}'
BAD = {
    "silent": (Reply(hang="headers"), "no first token within"),
    "tokenless": (Reply(hang="first_token"), "no first token within"),
    "idle": (Reply(hang="stream"), "in the middle of the answer (idle_s)"),
    "drips": (Reply(raw=[*(f"data: {DELTA}\n\n",), *"data: " * 100], chunk_delay_s=0.3), "bytes a second"),
    "steady": (Reply(chunks=["x" * 30] * 1000, chunk_delay_s=0.1), "longer than"),
    "endless": (Reply(endless=True), "max_response_bytes"),
    "huge line": (Reply(raw=["data: " + "x" * CAP]), ""),
    "nonsense": (Reply(raw=["data: {no json\n\n"]), ""),
    "page": (Reply(body="<html>busy</html>"), ""),
    "torn": (Reply(reset_after=2), ""),
}


@pytest.mark.timeout(90)
async def test_every_bad_stream_is_broken_off_by_its_own_limit_and_the_next_model_answers(
    state_dir: Path,
) -> None:
    def choose(seen: Seen) -> Reply | None:
        return BAD[seen.last_user_text][0] if seen.body["model"] == "bad" else None

    async with world(state_dir) as here:
        address = {"type": "chat", "base_url": here.model.base_url}
        limits = {
            "first_token_timeout_s": 1.5,
            "idle_s": 1.0,
            "total_s": 8,
            "rate_window_s": 2,
            "max_response_bytes": CAP,
        }
        bad = {"name": "main", "model": "bad", **address, **limits}
        here.configure(
            models=[bad, {"name": "standby", "model": "good", **address}],
            routes={"default": {"models": ["main", "standby"]}},
        )
        here.model.choose = choose
        await here.start()
        resident = rss_bytes(here)
        for n, text in enumerate(BAD):
            here.say(20 + n, text)
        await here.all_answered(60)
        await here.settled()
        grown = rss_bytes(here) - resident
        assert grown < 40_000_000, f"grew by {grown}"
        for n, text in enumerate(BAD):
            assert here.answers(20 + n)[-1] == answer_to(text)
        bad_requests = [seen for seen in here.model.requests if seen.body["model"] == "bad"]
        assert len(bad_requests) >= len(BAD)
        assert not events(here, "turn_broke")
        here.model.release.set()
        assert await here.stop() == 0
        db = sqlite3.connect(state_of(here) / "clawd.db")
        kept = " ".join(body for (body,) in db.execute("SELECT body FROM journal WHERE kind = 'llm.result'"))
        db.close()
        for text, (_, words) in BAD.items():
            assert words in kept, (text, kept[:2000])
