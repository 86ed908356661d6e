"""What the work of a task is about stands on each of its lines, and on no other's."""

from __future__ import annotations

import asyncio
import json
import logging

from clawd.observability.about import about, from_now_on_about, learned, now_about
from clawd.observability.formatters import JsonFormatter
from clawd.observability.redact import Redactor


def line(**extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "name": "n", **extra})
    whole: dict[str, object] = json.loads(JsonFormatter(Redactor(["secret-value"])).format(record))
    return {key: value for key, value in whole.items() if key not in ("ts", "level", "logger", "event")}


def test_fields_of_blocks_add_up_and_end_with_them() -> None:
    with about(turn="turn:a-1-1", bridge=None):
        with about(delivery="delivery:a-1"):
            assert line(attempt=1) == {"turn": "turn:a-1-1", "delivery": "delivery:a-1", "attempt": 1}
        assert line() == {"turn": "turn:a-1-1"}
    assert line() == {}


def test_what_a_line_names_itself_wins_and_secrets_are_hidden_here_too() -> None:
    with about(turn="turn:a-1-1", conversation="hook:secret-value"):
        assert line(turn="turn:a-2-2") == {"turn": "turn:a-2-2", "conversation": "hook:***"}


async def test_tasks_and_threads_inherit_and_siblings_do_not_mix() -> None:
    seen: dict[str, list[object]] = {}

    async def work(turn: str) -> None:
        with about(turn=turn):
            await asyncio.sleep(0)
            async with asyncio.TaskGroup() as tasks:
                inner = tasks.create_task(asyncio.to_thread(line))
            seen[turn] = [line()["turn"], inner.result()["turn"]]

    async with asyncio.TaskGroup() as tasks:
        for turn in ("one", "two", "three"):
            tasks.create_task(work(turn))
    assert seen == {turn: [turn, turn] for turn in ("one", "two", "three")}


def test_what_is_learned_later_stays_in_its_block_and_changes_nothing_that_is_known() -> None:
    learned(turn="nobody's")
    assert now_about() == {}
    with about(request="r"):
        learned(turn="t", request="other")
        assert line() == {"request": "r", "turn": "t"}
    assert line() == {}


def test_a_task_that_does_one_thing_after_another_is_about_the_last() -> None:
    from_now_on_about(request="one")
    learned(turn="t")
    from_now_on_about(request="two")
    assert line() == {"request": "two"}
    from_now_on_about()
    assert line() == {}
