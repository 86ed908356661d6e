"""A real daemon whose agent asks before it acts, and one of OpenAI's clients that waits for the answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.crash.stage import stage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(300)
async def test_a_stream_tells_of_the_question_and_goes_on_with_the_answer(state_dir: Path) -> None:
    async with stage(state_dir, telegram=False) as here:
        assert await here.start()
        assert here.session is not None
        wish = here.wish("asked")
        url = (await here.daemon.control("status"))["gateway"]
        head = {"Authorization": f"Bearer {(state_dir / 'state' / 'gateway.token').read_text().strip()}"}
        body = {
            "model": "clawd",
            "stream": True,
            "messages": [{"role": "user", "content": wish.text}],
        }
        text = ""
        async with here.session.post(f"{url}/v1/chat/completions", json=body, headers=head) as answer:
            while not (line := (await answer.content.readline()).decode()).startswith(": waiting for "):
                assert line, "the answer ended"
            question = line.removeprefix(": waiting for ").strip()
            assert not here.effects.effects, "nobody has said yes"
            word = {"answer": "approve"}
            async with here.session.post(f"{url}/v1/approvals/{question}", json=word, headers=head) as said:
                assert said.status == 200, await said.text()
            async for line_bytes in answer.content:
                if line_bytes.startswith(b"data: {"):
                    [choice] = json.loads(line_bytes[6:])["choices"]
                    text += choice["delta"].get("content") or ""
        assert len(here.effects.effects) == 1
        assert text.startswith(f"answer to {wish.word}: ")
        assert "/v1/approvals/" not in text
