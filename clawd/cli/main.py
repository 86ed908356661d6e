"""The program `clawd`: global options, the table of commands, and how an error is told."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from typing import TYPE_CHECKING

from clawd.cli import completion
from clawd.cli.version import print_version
from clawd.errors import EXIT_FAILED, EXIT_INTERRUPTED, ClawdError, ConfigError, four_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from clawd.errors import ConfigProblem


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Run one command line; return its exit code. Errors are told on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no Chinese is shown escapes instead
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in argv
    if not debug:
        sys.excepthook = _tell_bug
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
    except ClawdError as error:
        if debug:
            traceback.print_exc()
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        tell(error)
        return error.exit_code
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            sys.stderr.write("\n")  # the prompt begins on a line of its own
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough (`clawd logs | head`). Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return code


def tell(error: ClawdError) -> None:
    """Print an error on standard error; of a configuration every problem, each with its line."""
    sys.stderr.write(four_lines(error) + "\n")
    problems = problems_of(error)
    for problem in problems:
        if len(problems) > 1:
            sys.stderr.write(f"\n{problem}\n")
        if problem.snippet:
            sys.stderr.write(f"{problem.snippet}\n")


def problems_of(error: ClawdError) -> tuple[ConfigProblem, ...]:
    """Return the problems of a refused configuration, here or in the daemon; one alone stands in the error."""
    from clawd.client import RemoteError

    problems = error.problems if isinstance(error, ConfigError | RemoteError) else ()
    return problems if len(problems) > 1 or any(p.snippet for p in problems) else ()


def _dispatch(argv: Sequence[str]) -> int:
    # What is asked for often does without the library for options, which takes longer than all the rest.
    if os.environ.get(completion.VARIABLE) in completion.FORMS:
        from clawd.cli.completion.answering import answer

        return answer(os.environ, argv)
    if argv[:1] == ["--version"] or list(argv) in (["version"], ["version", "--json"]):
        print_version(as_json="--json" in argv)
        return 0
    if argv == ["health"]:
        from clawd.cli.checking_health import print_health
        from clawd.cli.invocation import Invocation

        print_health(Invocation(environ=os.environ), as_json=False)
        return 0
    from clawd.cli.root import run_program

    try:
        return run_program(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_FAILED


def _tell_bug(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """Stand in for Python's traceback, which helps only those who asked for it."""
    bug = ClawdError(
        "clawd ran into a bug", why=f"{kind.__name__}: {error}", remedy="the same command with --debug"
    )
    sys.stderr.write(four_lines(bug, code="E-BUG") + "\n")


if __name__ == "__main__":
    main()
