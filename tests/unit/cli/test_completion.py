"""What is offered behind `clawd` and TAB, without a shell and without a daemon."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from clawd.cli.completion.answering import answer, candidates
from clawd.cli.completion.generating import ARGUMENTS, OPTIONS, tree_text
from clawd.cli.completion.names import KINDS, LIMIT_S, limit_of, names
from clawd.cli.completion.tree import TREE_FILE, Command, Value, load_tree, locate
from clawd.client import Client
from clawd.errors import DaemonNotRunning

SCRIPTS = Path(__file__).parents[3] / "deploy" / "completions"
NOT_YET = {"bridges restart"}


def offered(line: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return what is offered for the last word of a line; one that ends with a space has an empty last word."""
    return [word for word, _ in candidates(line.split(" ")[1:], {"HOME": "/nonexistent", **(environ or {})})]


def test_the_tree_is_that_of_the_commands() -> None:
    assert TREE_FILE.read_text() == tree_text(), "run: make pages"


def test_every_kind_of_name_is_known_and_belongs_to_a_command() -> None:
    wanted = {kind for kinds in ARGUMENTS.values() for kind in kinds} | set(OPTIONS.values())
    assert wanted - {"check"} <= KINDS.keys()
    root = load_tree()
    for path in (*ARGUMENTS, *(line.partition(" --")[0] for line in OPTIONS)):
        command = root
        for word in path.split():
            if path in NOT_YET or word in NOT_YET:
                break
            assert word in command.commands, f"{path}: no such command"
            command = command.commands[word]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("clawd sta", ["start", "status"]),
        ("clawd help mo", ["models"]),
        ("clawd help turns ca", ["cancel"]),
        ("clawd turns ", ["cancel", "list", "retry"]),
        ("clawd --json turns ca", ["cancel"]),
        ("clawd --socket /x --config=/y turns ca", ["cancel"]),
        ("clawd turns list --st", ["--state"]),
        ("clawd turns list --state qu", ["queued"]),
        ("clawd turns list --state=wai", ["--state=waiting"]),
        ("clawd start --de", ["--detach"]),
        ("clawd doctor --only m", ["model", "models"]),
        ("clawd doctor --only=back", ["--only=backup"]),
        ("clawd nonsense ", []),
        ("clawd start --config ", []),  # a file, which the shell knows better
        ("clawd send a --unknown=x --fi", ["--file"]),
        ("clawd chat -- --js", []),
        ("clawd chat - --js", ["--json"]),
        ("clawd turns cancel ", []),  # nobody runs who knows one
    ],
)
def test_what_fits_is_offered(line: str, expected: list[str]) -> None:
    assert sorted(offered(line)) == expected


@pytest.mark.parametrize(
    ("line", "kind"),
    [("logs --model ", "model"), ("logs --bridge ", "bridge"), ("logs --turn ", "turn")],
)
def test_the_log_is_asked_for_by_names_that_the_daemon_knows(line: str, kind: str) -> None:
    position = locate(load_tree(), line.split(" "))
    assert position is not None
    assert position.value == Value(kind=kind)


def test_the_last_argument_may_repeat() -> None:
    root = Command(commands={"all": Command(arguments=(Value(choices=("a", "b")),), repeats=True)})
    position = locate(root, ["all", "a", "a", ""])
    assert position is not None
    assert position.value == Value(choices=("a", "b"))
    assert locate(Command(), []) is not None


@pytest.mark.parametrize(
    ("form", "environ", "arguments", "printed"),
    [
        ("bash", {"_CLAWD_LINE": "clawd turns l"}, [], "list\n"),
        ("bash", {"_CLAWD_LINE": "clawd 'turns' l"}, [], "list\n"),
        ("bash", {"_CLAWD_LINE": "clawd chat 'half a sent"}, [], ""),
        ("bash", {"_CLAWD_LINE": "clawd turns list --state=f", "_CLAWD_BREAKS": " =:"}, [], "failed\n"),
        ("bash", {"_CLAWD_LINE": "clawd turns list --state=f", "_CLAWD_BREAKS": " "}, [], "--state=failed\n"),
        ("zsh", {}, ["turns", "l"], "list:List turns\n"),
        ("fish", {}, ["turns", "l"], "list\tList turns\n"),
        ("fish", {}, ["turns", "x"], ""),
        ("complete_bash", {"COMP_WORDS": "clawd\nturns\nl", "COMP_CWORD": "2"}, [], "list\n"),
        ("complete_bash", {"COMP_WORDS": "clawd\nsto\n", "COMP_CWORD": "1"}, [], "stop\n"),
        (
            "complete_zsh",
            {"_TYPER_COMPLETE_ARGS": "clawd turns l"},
            [],
            '_arguments \'*: :(("list":"List turns"))\'\n',
        ),
        ("complete_zsh", {"_TYPER_COMPLETE_ARGS": "clawd turns x"}, [], "_files\n"),
        ("complete_fish", {"_TYPER_COMPLETE_ARGS": "clawd turns l"}, [], "list\tList turns\n"),
    ],
)
def test_each_shell_is_answered_in_its_form(
    form: str,
    environ: dict[str, str],
    arguments: list[str],
    printed: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert answer({"_CLAWD_COMPLETE": form, **environ}, arguments) == 0
    assert capsys.readouterr().out == printed


def test_fish_is_told_by_the_exit_code_whether_there_is_anything() -> None:
    asked = {"_CLAWD_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "is-args"}
    assert answer({**asked, "_TYPER_COMPLETE_ARGS": "clawd tu"}, []) == 0
    assert answer({**asked, "_TYPER_COMPLETE_ARGS": "clawd nothing "}, []) == 1


def test_a_daemon_that_says_nothing_is_not_waited_for_longer_than_200_ms(tmp_path: Path) -> None:
    path = tmp_path / "clawd.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        began = time.monotonic()
        assert names("turn", lambda: Client([path])) == []
        assert 0.15 < time.monotonic() - began < 5  # its own limit is 30 s


def test_a_daemon_that_answers_drop_by_drop_is_not_waited_for_either(tmp_path: Path) -> None:
    path = tmp_path / "clawd.sock"
    gone = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(BrokenPipeError):  # it is not waited for any longer
            while not gone.wait(0.02):
                connection.sendall(b"H")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        try:
            assert names("turn", lambda: Client([path])) == []
        finally:
            gone.set()
            dripping.join()


@pytest.mark.parametrize(
    ("given", "limit_s"), [("", 0.2), ("1.5", 1.5), ("0", 0.2), ("nan", 0.2), ("1e9", 0.2), ("soon", 0.2)]
)
def test_a_daemon_that_is_far_away_may_be_given_longer(given: str, limit_s: float) -> None:
    assert limit_of({"CLAWD_COMPLETION_S": given}) == limit_s
    assert limit_of({}) == LIMIT_S


def test_without_a_daemon_there_are_no_names_and_no_error() -> None:
    def none() -> Client:
        raise DaemonNotRunning("/nowhere")

    assert [names(kind, none) for kind in (*KINDS, "weather")] == [[]] * (len(KINDS) + 1)


def test_an_answer_imports_no_library_for_options(tmp_path: Path) -> None:
    program = (
        "import sys; from clawd.cli.main import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "turns", "cancel", ""],
        env={"HOME": str(tmp_path), "_CLAWD_COMPLETE": "zsh"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert not {"typer", "click", "rich", "yaml", "asyncio", "pydantic"} & set(done.stderr.split())


@pytest.mark.parametrize(
    ("shell", "script"), [("bash", "clawd.bash"), ("zsh", "_clawd"), ("fish", "clawd.fish")]
)
def test_the_scripts_are_well_formed(shell: str, script: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"left out: {shell} is not installed")
    subprocess.run([shell, "-n", SCRIPTS / script], check=True)
