"""The command `clawd chat`: chooses how to talk by what standard input and output are."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO, TextIOWrapper
from typing import TYPE_CHECKING, Annotated

import typer

from clawd.cli.chat.conversation import PATIENCE_S, Conversation
from clawd.cli.chat.markdown import printable
from clawd.cli.chat.memory import Memory
from clawd.cli.chat.words import InputError, compose, read_pipe, stdin_bytes
from clawd.cli.invocation import invocation
from clawd.errors import EXIT_USAGE, ClawdError, DaemonNotRunning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.cli.chat.output import Output
    from clawd.cli.invocation import Invocation
    from clawd.client import Client

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class UnknownModel(ClawdError):
    """No model has this name."""

    code = "E-MODEL-NAME"
    exit_code = EXIT_USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    words: tuple[str, ...]
    message: str | None
    conversation: str
    model: str | None
    as_json: bool
    stream: bool | None  # None: on a terminal
    standalone: bool = False


@app.command()
def chat(
    ctx: typer.Context,
    message_words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MESSAGE]...", help="What to ask; without it the chat is interactive."),
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="The same as MESSAGE, for use before a pipe's text.")
    ] = None,
    conversation: Annotated[
        str, typer.Option("--conversation", "-c", metavar="NAME", help="Which conversation to talk in.")
    ] = "default",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Answer with this model, or by this route; the conversation keeps its own."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print frames as JSON lines, the result as the last one.")
    ] = False,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--no-stream", help="Show text while it grows. [default: on a terminal]"),
    ] = None,
    alone: Annotated[
        bool,
        typer.Option(
            "--standalone",
            help="Without a daemon: do its work for this chat, as long as it lasts; nobody else is answered or called.",
        ),
    ] = False,
) -> None:
    """Talk to clawd: one message and its answer, or a chat without MESSAGE on a terminal.

    Text from a pipe is put behind MESSAGE: git diff | clawd chat -m "review this"
    """
    options = Options(
        words=tuple(message_words or ()),
        message=message,
        conversation=conversation,
        model=model,
        as_json=as_json,
        stream=stream,
        standalone=alone,
    )
    raise typer.Exit(_talk(invocation(ctx), options))


def _talk(call: Invocation, options: Options) -> int:
    """Return the exit code of a whole chat."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None when it was closed by the caller
            stream.reconfigure(errors="replace")
    piped = read_pipe(stdin_bytes(), _tell)
    prompt = compose(options.words, options.message, piped)
    interactive = not (options.words or options.message is not None or options.as_json) and _both_terminals()
    if not prompt and not interactive:
        raise InputError(
            "there is nothing to ask",
            why="the message is empty" if _both_terminals() else "no message, and no terminal to type one",
            remedy='clawd chat "MESSAGE"',
        )
    if not options.standalone:
        try:
            return _converse(call, options, call.client(), prompt)
        except DaemonNotRunning as error:
            if call.names_socket:
                raise
            own = f"{shlex.join(_program(call))} chat --standalone"
            error.remedy = f"{error.remedy}, or without a daemon: {own}"
            raise
    from clawd.cli.chat.standalone import LOST_S, standalone

    with standalone(call) as client:
        return _converse(call, options, client, prompt, patience_s=LOST_S)


def _converse(
    call: Invocation, options: Options, client: Client, prompt: str, *, patience_s: float = PATIENCE_S
) -> int:
    """Talk to the daemon behind `client`: one message, or a whole sitting without one."""
    talker = Conversation(
        client,
        options.conversation,
        language=_language(call.environ),
        model=options.model,
        patience_s=patience_s,
    )
    return _ask(call, options, talker, prompt) if prompt else _sit(call, options, talker)


# --- one message --------------------------------------------------------------------------------------------


def _ask(call: Invocation, options: Options, talker: Conversation, prompt: str) -> int:
    from clawd.cli.chat.oneshot import OneShot

    if options.model:
        _check_model(talker, options.model)
    wants_frames = options.as_json and options.stream is not False
    answers = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not options.as_json
    shot = OneShot(
        talker,
        _output(call.environ, options),
        sys.stdout if wants_frames else None,
        keyboard=sys.stdin.fileno() if answers else None,
        program=shlex.join(_program(call)),
    )
    memory = Memory.open(call.environ)
    places = call.client().places
    result = shot.run(prompt)
    if not shot.others and shot.began_at == memory.cursor(places, options.conversation):
        memory.read_up_to(shot.read_to, places, options.conversation)
    if options.as_json:
        sys.stdout.write(json.dumps(result.as_json(), ensure_ascii=False) + "\n")
    return result.exit_code


def _check_model(talker: Conversation, name: str) -> None:
    """Raise UnknownModel unless the daemon has a model or a route of this name."""
    names = talker.choices().models
    if name in names:
        return
    near = get_close_matches(name, names, n=1)
    raise UnknownModel(
        f"there is no model {name!r}",
        why=f"models and routes: {', '.join(names) or 'none'}",
        remedy=f"--model {near[0]}" if near else "clawd models list",
    )


def _output(environ: Mapping[str, str], options: Options) -> Output:
    """Return where the answer is shown: drawn on a terminal, as it comes, or whole at the end."""
    from clawd.cli.chat.output import FinalOutput, RawOutput

    terminal, talks = sys.stdout.isatty(), sys.stderr.isatty()
    if options.as_json:
        return FinalOutput(StringIO(), sys.stderr, notes=False)
    if terminal and not _dumb(environ):
        from clawd.cli.chat.terminal import LiveSurface, TerminalOutput

        surface = LiveSurface(sys.stdout)
        return TerminalOutput(surface, environ, surface.width, stream=options.stream is not False)
    if terminal if options.stream is None else options.stream:
        return RawOutput(sys.stdout, sys.stderr, notes=talks, clean=printable if terminal else str)
    return FinalOutput(sys.stdout, sys.stderr, notes=talks)


# --- many messages ------------------------------------------------------------------------------------------


def _sit(call: Invocation, options: Options, talker: Conversation) -> int:
    memory, places = Memory.open(call.environ), call.client().places
    history = memory.history_file()
    if memory.why_not:
        _tell(f"input and reading position are not remembered: {memory.why_not}")
    if options.model:
        _check_model(talker, options.model)
    seen = memory.cursor(places, options.conversation)
    backlog = talker.backlog(seen)

    def read(cursor: str) -> None:
        nonlocal seen
        if cursor != seen:
            seen = cursor
            memory.read_up_to(cursor, places, options.conversation)

    if _dumb(call.environ):
        from clawd.cli.chat.plain import sit

        code, open_turns = sit(talker, backlog, read), 0
    else:
        from clawd.cli.chat.interactive import Interactive

        sitting = Interactive(
            talker, backlog, history=history, environ=call.environ, read=read, greeting=talker.greeting()
        )
        code = asyncio.run(sitting.run())
        open_turns = sitting.open_turns
    if open_turns:
        what = "a message is" if open_turns == 1 else f"{open_turns} messages are"
        _tell(f"{what} still being worked on; you find the answer here next time")
    _tell(f"resume: {_resume(call, options)}")
    return code


def _resume(call: Invocation, options: Options) -> str:
    """Return the command that leads back to where the person is now."""
    words = [*_program(call), "chat"]
    if options.conversation != "default":
        words += ["-c", options.conversation]
    if options.model:
        words += ["--model", options.model]
    if options.standalone:
        words.append("--standalone")
    return shlex.join(words)


def _program(call: Invocation) -> list[str]:
    """Return how this program was called, up to the command."""
    words = ["clawd"]
    for name, value in (
        ("--socket", call.socket),
        ("--config", call.config),
        ("--url", call.url),
        ("--token-file", call.token_file),
        ("--ca-file", call.ca_file),
    ):
        words += [name, value] if value else []
    if call.insecure_http:
        words.append("--insecure-http")
    return words


def _both_terminals() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _dumb(environ: Mapping[str, str]) -> bool:
    return environ.get("TERM", "dumb") in ("", "dumb", "unknown")


def _language(environ: Mapping[str, str]) -> str | None:
    """Return the language of the environment as a tag such as `zh`, None for the C locale.

    Source: POSIX, Environment Variables, the precedence of LC_ALL, LC_MESSAGES and LANG.
    """
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    tag = locale.partition(".")[0].partition("@")[0].replace("_", "-")
    return tag if tag not in ("", "C", "POSIX") else None


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
