"""A real daemon's conversation is exported whole, and after its deletion it is in none of its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash.world import world
from tests.fakes.keeping_child import ANSWER, QUESTION, showing
from tests.fakes.openai_api import Reply
from tests.fakes.shell import Shell

if TYPE_CHECKING:
    from tests.crash.world import World

CHAT = 11


@pytest.mark.timeout(300)
async def test_a_conversation_with_a_tool_is_exported_and_deleted_to_the_last_byte(state_dir: Path) -> None:
    call = {"id": "call-1", "name": "calculator", "arguments": '{"expression": "6*7"}'}
    async with world(state_dir, Reply(text=ANSWER)) as here:
        here.model.replies.append(Reply(text="", tool_calls=[call]))
        await here.start()
        here.telegram.user_says(CHAT, QUESTION)
        await here.telegram.wait_until(lambda: bool(here.answers(CHAT)), 30)
        await here.settled()
        clawd = Shell(state_dir)
        address = (await clawd("conversations", "list", "--json")).json["conversations"][0]["address"]
        await _exported(clawd, address, state_dir)
        (state_dir / "other").mkdir()
        assert (await clawd("backup", str(state_dir / "other" / "kept.db"))).code == 0
        (state_dir / "export.md").unlink()
        state = state_dir / "state"
        assert showing(state)
        assert (state / "clawd.log").exists()
        assert "clawd.log" not in showing(state), "the log holds no texts"
        updates = await _known_updates(here)
        deleted = await clawd("conversations", "delete", address, "--yes", "--json")
        assert deleted.json == {"schema_version": 1, "turns": 1, "clean": True, "backups": 0}
        assert showing(state) == set()
        assert showing(state_dir / "other") == {"kept.db"}
        # What was delivered stays known, though its conversation is gone.
        assert await _known_updates(here) == updates
        assert (await clawd("journal", "check", "--json")).json["findings"] == []
        assert await here.stop() == 0
        assert showing(state) == set()


async def _exported(clawd: Shell, address: str, folder: Path) -> None:
    shown = await clawd("conversations", "export", address, "-o", str(folder / "export.md"))
    assert shown.code == 0, shown.err
    text = (folder / "export.md").read_text()
    assert oct((folder / "export.md").stat().st_mode & 0o777) == "0o600"
    for part in (QUESTION, ANSWER, "calculator", "42", "sent after 1 attempts"):
        assert part in text
    again = await clawd("conversations", "export", address, "-o", str(folder / "export.md"))
    assert again.code == 1
    assert "--force" in again.err
    lines = (await clawd("conversations", "export", address, "--format", "jsonl")).out.splitlines()
    head, turn = (json.loads(line) for line in lines)
    assert (head["type"], head["address"], head["turns"]) == ("conversation", address, 1)
    kinds = [record["kind"] for record in turn["records"]]
    assert [kind for kind in kinds if kind.endswith(("result", "finished"))] == [
        "llm.result",
        "tool.result",
        "llm.result",
        "turn.finished",
    ]
    (delivery,) = turn["deliveries"]
    assert (delivery["state"], delivery["text"]) == ("sent", ANSWER)
    missing = await clawd("conversations", "export", "telegram:1:nobody")
    assert missing.code == 1
    assert "E-NOT-FOUND" in missing.err


async def _known_updates(here: World) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{here.state_dir}/state/clawd.db?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM dedup").fetchone()[0])
