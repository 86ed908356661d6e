"""`clawd approvals` and what other commands tell of questions: real processes against a real control socket."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from clawd.messages import Address

if TYPE_CHECKING:
    from clawd.ids import QuestionId
    from tests.fakes.control_services import World
    from tests.fakes.shell import Shell

MINE = Address(bridge="terminal", account=str(os.getuid()), chat="default")
CHAT = Address(bridge="telegram", account="1", chat="7")

pytestmark = pytest.mark.usefixtures("server")


def ask(world: World, subject: str = "rm -rf build", address: Address = MINE) -> QuestionId:
    turn = world.ask(address, "clean up")
    world.start(turn)
    return world.wait_for_person(turn, subject)


async def test_nothing_open_is_said_and_no_error(clawd: Shell) -> None:
    result = await clawd("approvals", "list")
    assert (result.code, result.out, result.err) == (0, "", "nothing waits for anybody's word\n")
    assert (await clawd("approvals", "list", "--json")).json == {"schema_version": 1, "questions": []}


async def test_the_list_shows_who_asked_what_where_and_for_how_long(clawd: Shell, world: World) -> None:
    question, other = ask(world, "make -C build clean"), ask(world, "reboot", CHAT)
    result = await clawd("approvals", "list")
    head, first, second = result.out.splitlines()
    assert head.split() == ["ID", "CONVERSATION", "ASKER", "TOOL", "LEFT", "CALL"]
    assert first.startswith(f"{question}  {MINE}  Ann    shell  ")
    assert first.endswith("make -C build clean")
    assert "9 min 5" in first or "10 min" in first
    assert second.startswith(f"{other}  {CHAT} ")
    assert "clawd approvals approve ID" in result.err
    only = await clawd("approvals", "list", "-c", "default", "--json")
    assert [item["id"] for item in only.json["questions"]] == [question]


async def test_a_command_line_can_not_hide_a_part_of_itself(clawd: Shell, world: World) -> None:
    hidden = "echo hi\x1b[2K\x1b[1G\nrm -rf ~\r\x07\u202e\u200b\x9b8m" + " " * 300 + "; reboot" + "x" * 200
    question = ask(world, hidden)
    shown = r"echo hi\e[2K\e[1G\nrm -rf ~\r\x07\u202e\u200b\x9b8m \x20*298 ; reboot" + "x" * 200
    for command in (["approvals", "list"], ["turns", "list"]):
        out = (await clawd(*command)).out
        assert shown in out
        assert not {"\x1b", "\r", "\x07", "\u202e", "\u200b", "\x9b"} & set(out)
    assert next(line for line in (await clawd("approvals", "list")).out.splitlines() if question in line)


@pytest.mark.parametrize(
    ("args", "kind", "always"),
    [
        (["approve"], "approve", None),
        (["approve", "--always"], "approve", ""),
        (["approve", "--always", "rm *"], "approve", "rm *"),
        (["deny"], "deny", None),
    ],
)
async def test_a_question_is_answered(
    clawd: Shell, world: World, args: list[str], kind: str, always: str | None
) -> None:
    question = ask(world)
    result = await clawd("approvals", args[0], question, *args[1:])
    assert (result.code, result.err) == (0, "")
    assert result.out == ("approved\n" if kind == "approve" else "denied\n")
    [control] = world.controls
    assert (control.kind, control.question, control.always) == (kind, question, always)


async def test_what_is_no_longer_open_and_what_never_was_exit_1(clawd: Shell, world: World) -> None:
    question = ask(world)
    assert (await clawd("approvals", "deny", question, "--json")).json["text"] == "denied"
    closed = await clawd("approvals", "approve", question)
    assert (closed.code, closed.out) == (1, "")
    assert closed.err.startswith(
        "error[E-STATE]: this question is no longer open\nwhere: approval:fake-1-1-2\n"
    )
    assert closed.err.endswith("try: clawd approvals list\n")
    unknown = await clawd("approvals", "approve", "approval:zz-1-1-1")
    assert (unknown.code, unknown.err.splitlines()[0]) == (
        1,
        "error[E-NOT-FOUND]: there is no question approval:zz-1-1-1",
    )


async def test_a_pattern_without_always_is_refused_before_anything_happens(
    clawd: Shell, world: World
) -> None:
    result = await clawd("approvals", "approve", ask(world), "rm *")
    assert (result.code, world.controls) == (2, [])
    assert "--always" in result.err


async def test_a_list_of_turns_says_what_those_that_wait_wait_for(clawd: Shell, world: World) -> None:
    ask(world)
    turn = world.questions[0].turn
    world.commit(world.ask(MINE, "other"), "done")
    out = (await clawd("turns", "list")).out
    assert "waiting" in out
    assert f"{turn} waits, " in out
    assert out.rstrip().endswith("left: shell wants to run: rm -rf build")
    assert "waits" not in (await clawd("turns", "list", "--state", "answered")).out
