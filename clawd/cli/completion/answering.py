r"""Answers a shell: which words may stand where the cursor is.

A shell runs `clawd` with `_CLAWD_COMPLETE` set to one of:

- `bash`, `zsh`, `fish`: our own scripts (`deploy/completions`). bash hands in its line up to the cursor as
  `_CLAWD_LINE` and its $COMP_WORDBREAKS as `_CLAWD_BREAKS`; the others hand in the words as arguments. An answer is
  one word a line: for bash alone, for zsh WORD:HELP with `\:` within the word, for fish WORD, tab, HELP.
- `complete_bash`, `complete_zsh`, `complete_fish`: the scripts that `clawd --install-completion` writes, which are
  Typer's, with its variables and its forms of an answer.
"""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, Final

from clawd.cli.completion import VARIABLE
from clawd.cli.completion.names import Named, limit_of, names
from clawd.cli.completion.tree import Command, Position, Value, load_tree, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from clawd.client import Client

# What a name may consist of. Typer's script for zsh runs an answer through `eval`, other people have a say in what
# conversations are called, and nobody should have to quote what a shell offers.
_SAFE: Final = re.compile(r"[\w@%+=:,./~-]+")


def answer(environ: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Print what may stand at the cursor, and return the exit code; prints nothing where nothing is known."""
    form = environ[VARIABLE]
    words = _words(form, environ, arguments)
    offered = candidates(words, environ)
    if environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return 0 if offered else 1
    written = _written(form, offered, words[-1], environ)
    sys.stdout.write("".join(f"{line}\n" for line in written))
    return 0


def candidates(words: Sequence[str], environ: Mapping[str, str]) -> list[Named]:
    """Return what the last of the words behind `clawd` may become, each with what explains it."""
    position = locate(load_tree(), words)
    if position is None:
        return []
    found: Iterable[Named] = ()
    if position.takes_options and not position.prefix and position.begun.startswith("-"):
        found = _options(position.command)
    elif position.value is not None:
        found = _values(position.value, position, environ)
    elif position.command.commands:
        found = ((name, command.help) for name, command in position.command.commands.items())
    return [
        (position.prefix + word, about)
        for word, about in dict(found).items()
        if word.startswith(position.begun) and _SAFE.fullmatch(word)
    ]


def _options(command: Command) -> Iterator[Named]:
    for option in command.options:
        yield from ((name, option.help) for name in option.names if name.startswith("--"))
        if all(not name.startswith("--") for name in option.names):
            yield option.names[0], option.help


def _values(value: Value, position: Position, environ: Mapping[str, str]) -> Iterable[Named]:
    if value.choices:
        return ((choice, "") for choice in value.choices)
    if not value.kind:
        return ()
    return names(value.kind, lambda: _client(position.given, environ), limit_of(environ))


def _client(given: Mapping[str, str], environ: Mapping[str, str]) -> Client:
    from clawd.cli.invocation import Invocation  # needed for what only the daemon knows

    return Invocation(
        environ=environ,
        socket=given.get("--socket"),
        config=given.get("--config"),
        url=given.get("--url"),
        token_file=given.get("--token-file"),
        ca_file=given.get("--ca-file"),
    ).client()


def _words(form: str, environ: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Return the words behind `clawd`, the last one that under the cursor."""
    if form in ("zsh", "fish"):
        return list(arguments) or [""]
    if form == "bash":
        line = environ.get("_CLAWD_LINE", "")
    elif form == "complete_bash":  # its words, one a line, and the number of that under the cursor
        words = _split(environ.get("COMP_WORDS", ""))
        here = environ.get("COMP_CWORD", "0")
        begun = words[int(here)] if here.isdecimal() and int(here) < len(words) else ""
        return [*(words[1 : int(here)] if here.isdecimal() else ()), begun]
    else:
        line = environ.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(line)[1:]
    return words if words and not line[-1:].isspace() else [*words, ""]


def _split(line: str) -> list[str]:
    """Return the words of a command line that may end within quotes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # the end of a quotation is still to come
        words.append(lexer.token)
    return words


def _written(form: str, offered: Sequence[Named], begun: str, environ: Mapping[str, str]) -> Iterator[str]:
    if form in ("bash", "complete_bash"):
        # bash takes what is behind the last of these characters for the word.
        breaks = environ.get("_CLAWD_BREAKS", "") if form == "bash" else ""
        kept = max((begun.rfind(mark) + 1 for mark in breaks if mark in ":="), default=0)
        yield from (word[kept:] for word, _ in offered)
    elif form == "zsh":
        yield from (word.replace(":", r"\:") + (f":{about}" if about else "") for word, about in offered)
    elif form == "complete_zsh":
        pairs = "\n".join(
            f'"{_typers(word)}"' + (f':"{_typers(about)}"' if about else "") for word, about in offered
        )
        yield f"_arguments '*: :(({pairs}))'" if offered else "_files"
    else:
        yield from (f"{word}\t{about}" if about else word for word, about in offered)


def _typers(text: str) -> str:
    """Return a text as it has to be in the word that Typer's script runs; source: Typer's own completion for zsh."""
    text = text.replace('"', '""').replace("'", "''").replace("$", "\\$").replace("`", "\\`")
    return text.replace(":", r"\\:")
