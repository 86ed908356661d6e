"""Completion as shells ask for it: real shells run the real program, which asks a real control socket."""

from __future__ import annotations

import asyncio
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.journal.reading import DeadView
from clawd.messages import Address
from tests.fakes.control_journal import AT

if TYPE_CHECKING:
    from clawd.control.server import ControlServer
    from clawd.ids import TurnId
    from tests.fakes.control_services import World
    from tests.fakes.shell import Shell

CLAWD = Path(sys.executable).with_name("clawd")
SCRIPTS = Path(__file__).parents[2] / "deploy" / "completions"
DRIVE = """
COMP_LINE=$2; COMP_POINT=${#COMP_LINE}; COMPREPLY=(); COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
if [[ $COMP_LINE == *' ' ]]; then COMP_WORDS+=(''); COMP_CWORD=$((COMP_CWORD + 1)); fi
"""
ZSH = """
compdef() { : }
_describe() { print -rl -- "${(@P)3}" }
_files() { print -r FILES }
source $1; words=("${(@)argv[2,-1]}"); CURRENT=$#words; PREFIX=$words[-1]
_clawd
"""


def needs(shell: str) -> str:
    """Return the shell's path, or leave the test out."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"left out: {shell} is not installed")
    return path


@dataclass(frozen=True, slots=True)
class Shells:
    """Real shells that know where `clawd` is, and whose home is the daemon's."""

    environ: dict[str, str]

    async def run(self, *command: str) -> list[str]:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environ,
        )
        out, err = await process.communicate()
        assert (process.returncode, err.decode()) == (0, "")
        return out.decode().splitlines()

    async def bash(self, line: str) -> list[str]:
        drive = f'source "$1"; {DRIVE} _clawd clawd; printf "%s\\n" "${{COMPREPLY[@]}}"'
        return await self.run(needs("bash"), "--norc", "-c", drive, "-", str(SCRIPTS / "clawd.bash"), line)

    async def zsh(self, *words: str) -> list[str]:
        return await self.run(needs("zsh"), "-f", "-c", ZSH, "-", str(SCRIPTS / "_clawd"), *words)

    async def fish(self, line: str) -> list[str]:
        drive = "source $argv[1]; complete -C $argv[2]"
        return await self.run(needs("fish"), "--no-config", "-c", drive, str(SCRIPTS / "clawd.fish"), line)


@pytest.fixture
def shells(clawd: Shell) -> Shells:
    # The limit has a test of its own; here a busy machine must not make names disappear.
    return Shells(
        {**clawd.environ, "CLAWD_COMPLETION_S": "30", "PATH": f"{CLAWD.parent}:{clawd.environ['PATH']}"}
    )


@pytest.fixture
def turn(world: World, server: ControlServer) -> TurnId:
    """Return a turn that is open; of what was given up, one alone has a name that a shell leaves alone."""
    assert server.path.exists()
    for identifier in (
        "delivery:a-1",
        "'; touch pwned; '",
        "$(touch pwned)",
        "a b",
        "`touch pwned`",
        "a\x1b[2J",
    ):
        given_up = DeadView(
            id=identifier, bridge="hook", conversation=None, at=AT, why="", text="", state="dead"
        )
        world.dead.append(given_up)
    return world.ask(Address(bridge="telegram", account="1", chat="2"), "hello")


async def test_bash_offers_commands_and_options(shells: Shells) -> None:
    assert await shells.bash("clawd conv") == ["conversations"]
    assert await shells.bash("clawd start --det") == ["--detach"]
    assert await shells.bash("clawd nothing ") == [""]


async def test_bash_offers_what_the_daemon_knows(shells: Shells, turn: TurnId) -> None:
    assert (await shells.bash("clawd turns cancel "))[-1] == turn
    assert await shells.bash("clawd --json models test de") == ["demo"]
    assert await shells.bash("clawd bridges test ") == ["telegram", "hook"]
    assert await shells.bash("clawd dead drop ") == ["delivery:a-1"]
    assert await shells.bash("clawd pair approve ") == ["ABCD2345"]


async def test_bash_is_given_what_stands_behind_the_colon_alone(shells: Shells, turn: TurnId) -> None:
    assert turn.partition(":")[2] in await shells.bash("clawd trace turn:")


async def test_a_name_that_a_shell_would_run_is_not_offered(
    shells: Shells, turn: TurnId, state_dir: Path
) -> None:
    assert turn
    assert await shells.bash("clawd dead drop ") == ["delivery:a-1"]
    typers = {**shells.environ, "_CLAWD_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "clawd dead drop "}
    (line,) = await Shells(typers).run(str(CLAWD))  # zsh runs this line through `eval`
    assert line == """_arguments '*: :(("delivery\\\\:a-1":"dead"))'"""


async def test_without_a_daemon_a_shell_is_told_nothing(shells: Shells) -> None:
    assert await shells.bash("clawd turns cancel ") == [""]


async def test_zsh_offers_commands_with_their_help_and_names(shells: Shells, turn: TurnId) -> None:
    assert await shells.zsh("clawd", "turns", "c") == [
        "cancel:Stop an open turn; what it had written so far stays"
    ]
    assert await shells.zsh("clawd", "trace", str(turn)) == [str(turn).replace(":", r"\:") + ":queued"]
    assert await shells.zsh("clawd", "start", "--config", "") == ["FILES"]


async def test_fish_offers_commands_names_and_files(shells: Shells, turn: TurnId) -> None:
    assert "cancel\tStop an open turn; what it had written so far stays" in await shells.fish("clawd turns ")
    assert await shells.fish(f"clawd trace {turn}") == [f"{turn}\tqueued"]
    assert await shells.fish("clawd start --config /etc/hostnam") == ["/etc/hostname"]


async def test_what_typer_installs_is_answered_the_same_way(shells: Shells, turn: TurnId) -> None:
    bash = needs("bash")
    typers = await shells.run(bash, "--norc", "-c", "clawd --install-completion; true")
    assert any("bash completion installed" in line for line in typers)
    drive = f'source ~/.bash_completions/clawd.sh; {DRIVE} _clawd_completion clawd; printf "%s\\n" "${{COMPREPLY[@]}}"'
    assert await shells.run(bash, "--norc", "-c", drive, "-", "", "clawd bridges test te") == ["telegram"]
    assert (await shells.run(bash, "--norc", "-c", drive, "-", "", "clawd turns cancel "))[-1] == turn
