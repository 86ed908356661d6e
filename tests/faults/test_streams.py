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
CALL = {"id": "a", "name": "calculator", "arguments": '{"expression": "2+2"}'}
BLANK = {**CALL, "arguments": ""}
HALF = (
    'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"calculator",'
    '"arguments":"{\\"expr"}}]}}]}\n\ndata: [DONE]\n\n'
)
WAITED_FOR = 5  # the first of these
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
    "torn at once": (Reply(reset_after=0), ""),
    "vast": (Reply(huge=200_000_000), "max_response_bytes"),
    "many": (Reply(body=f"[{'{},' * 600_000}0]", content_type="application/json"), "500000 values"),
    "packed": (Reply(body="x", headers={"Content-Encoding": "gzip"}), "Content-Encoding: gzip"),
    "half call": (Reply(tool_calls=[CALL], close_after=3), "in the middle of the answer"),
    "torn call": (Reply(tool_calls=[CALL], reset_after=3), ""),
    "done in a call": (Reply(raw=[HALF]), "in the middle of a tool call"),
    "cut before its arguments": (Reply(tool_calls=[BLANK], finish="length"), "raise max_tokens"),
    "broken off": (Reply(text="half of", finish="error"), "broke off the answer (error)"),
    "empty": (Reply(chunks=[]), "no text and no tool call"),
    "no choices": (Reply(raw=['data: {"choices":[]}\n\n', "data: [DONE]\n\n"]), "no text and no tool call"),
    "null": (Reply(raw=["data: null\n\n"]), "a chunk is null"),
    "error within": (Reply(text="half of", error={"message": "overloaded"}), "overloaded"),
    "refused": (Reply(status=500), "HTTP 500"),
    "busy": (Reply(status=429), "HTTP 429"),
}


@pytest.mark.timeout(300)
async def test_every_bad_stream_is_broken_off_by_its_own_limit_and_the_next_model_answers(
    state_dir: Path,
) -> None:
    def choose(seen: Seen) -> Reply | None:
        return BAD[seen.last_user_text][0] if seen.body["model"].startswith("bad") else None

    async with world(state_dir) as here:
        address = {"type": "chat", "base_url": here.model.base_url}
        limits = {
            "first_token_timeout_s": 3,
            "idle_s": 2,
            "total_s": 7,
            "rate_window_s": 2,
            "max_response_bytes": CAP,
        }
        # A model of its own for each, as one that has failed is not asked first again.
        names = {text: f"bad-{n:02}" for n, text in enumerate(sorted(BAD, key=len, reverse=True))}
        routes = {
            name: {"models": [name, "standby"], "rules": [{"keyword": text}]} for text, name in names.items()
        }
        here.configure(
            models=[
                {"name": "standby", "model": "good", **address},
                *({"name": name, **address, **limits} for name in names.values()),
            ],
            routes={"default": {"models": ["standby"]}, **routes},
        )
        here.model.choose = choose
        await here.start()
        resident = rss_bytes(here)
        # Those that are waited for come first: the others keep a small computer too busy to measure time.
        for n, text in enumerate(BAD):
            if n == WAITED_FOR:
                await here.all_answered(60)
            here.say(20 + n, text)
        await here.all_answered(60)
        await here.settled()
        grown = rss_bytes(here) - resident
        assert grown < 40_000_000, f"grew by {grown}"
        for n, text in enumerate(BAD):
            assert here.answers(20 + n)[-1] == answer_to(text)
        asked = {seen.body["model"] for seen in here.model.requests}
        assert asked == {"good", *names.values()}
        assert not events(here, "turn_broke")
        here.model.release.set()
        assert await here.stop() == 0
        db = sqlite3.connect(state_of(here) / "clawd.db")
        kept = " ".join(body for (body,) in db.execute("SELECT body FROM journal WHERE kind = 'llm.result'"))
        tools = db.execute("SELECT count(*) FROM journal WHERE kind = 'tool.intent'").fetchone()
        db.close()
        assert tools == (0,)  # not one of the calls that did not arrive whole was acted on
        for text, (_, words) in BAD.items():
            assert words in kept, (text, kept[:2000])


async def test_what_a_model_gets_wrong_about_a_call_is_told_to_it_and_the_answer_arrives(
    state_dir: Path,
) -> None:
    def calls(*calls: dict[str, str], finish: str | None = None) -> Reply:
        return Reply(tool_calls=[*calls], finish=finish)

    wrong = {
        "cut arguments": calls({**CALL, "arguments": '{"expression": "2+'}, finish="length"),
        "no arguments": calls(BLANK),
        "other arguments": calls({**CALL, "arguments": '{"formula": 4}'}),
        "no tool": calls({**CALL, "name": "no_such_tool"}),
        "one id twice": calls(CALL, CALL),
    }

    def choose(seen: Seen) -> Reply | None:
        told = seen.body["messages"][-1]["role"] == "tool"
        return None if told else wrong[seen.last_user_text]

    async with world(state_dir) as here:
        here.model.choose = choose
        await here.start()
        for n, text in enumerate(wrong):
            here.say(20 + n, text)
        await here.all_answered(20)
        await here.settled()
        told = {
            seen.last_user_text: [m for m in seen.body["messages"] if m["role"] == "tool"]
            for seen in here.model.requests
        }
        assert await here.stop() == 0
    assert here.judge().broken == {}
    assert "can't be read" in told["cut arguments"][0]["content"]
    assert "do not fit" in told["no arguments"][0]["content"]
    assert "do not fit" in told["other arguments"][0]["content"]
    assert "no_such_tool" in told["no tool"][0]["content"]
    assert [m["content"] for m in told["one id twice"]] == ["4", "4"]
    assert len({m["tool_call_id"] for m in told["one id twice"]}) == 2
