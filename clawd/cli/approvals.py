"""`clawd approvals`: the questions that turns wait with, and their answers."""

from __future__ import annotations

from typing import Annotated

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json, Limit
from clawd.cli.printing import emit, one_line, out, say, table
from clawd.cli.questions import Question
from clawd.client import segment
from clawd.errors import EXIT_USAGE, ClawdError

app = command_app()

QuestionArgument = Annotated[
    str, typer.Argument(metavar="ID", help="approval:…, see `clawd approvals list`.")
]


class NoPattern(ClawdError):
    """A pattern was given, and not said what for."""

    code = "E-USAGE"
    exit_code = EXIT_USAGE


@app.command("list")
def list_questions(
    ctx: typer.Context,
    conversation: Annotated[
        str | None, typer.Option("--conversation", "-c", help="Only of this one: a name or an address.")
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List what waits for a person's word, the most urgent first."""
    answer = invocation(ctx).client().get("/questions", conversation=conversation, limit=limit)
    if as_json:
        emit(answer)
        return
    questions = [Question.parse(item) for item in answer["questions"]]
    if not questions:
        say("nothing waits for anybody's word")
        return
    table(
        ("ID", "CONVERSATION", "ASKER", "TOOL", "LEFT", "CALL"),
        [
            [
                question.id,
                one_line(question.conversation, 60),
                one_line(question.asker, 30),
                one_line(question.tool, 40)
                if question.about == "approval"
                else f"{one_line(question.tool, 40)} again",
                question.left(),
                question.call,
            ]
            for question in questions
        ],
    )
    say("let it run: clawd approvals approve ID, or refuse it: clawd approvals deny ID")


@app.command()
def approve(
    ctx: typer.Context,
    identifier: QuestionArgument,
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="[GLOB]", help="With --always: all calls that match, such as 'git *'."),
    ] = None,
    always: Annotated[
        bool, typer.Option("--always", help="Let later calls like this one run in this conversation too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a call run, once or always in this conversation."""
    if pattern is not None and not always:
        raise NoPattern(
            "a pattern is for later calls too",
            why="--always is missing",
            remedy=f"clawd approvals approve {identifier} --always GLOB",
        )
    body = {"always": pattern or ""} if always else {}
    _tell(ctx, identifier, "approve", body, as_json=as_json)


@app.command()
def deny(ctx: typer.Context, identifier: QuestionArgument, as_json: Json = False) -> None:
    """Refuse a call; the turn goes on and is told so."""
    _tell(ctx, identifier, "deny", {}, as_json=as_json)


def _tell(ctx: typer.Context, identifier: str, word: str, body: dict[str, str], *, as_json: bool) -> None:
    answer = invocation(ctx).client().post(f"/questions/{segment(identifier)}/{word}", dict(body))
    if as_json:
        emit(answer)
    else:
        out(one_line(answer["text"], 500) or ("approved" if word == "approve" else "denied"))
