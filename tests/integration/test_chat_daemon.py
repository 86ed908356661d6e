"""`clawd chat` with the real daemon: both are processes, only the model is a fake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client
from tests.fakes.forked import ForkedProgram, run_clawd
from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
SLOW = "# Tides\n\nFirst paragraph.\n\nSecond paragraph, which takes its time.\n\nThe end."


@pytest.fixture
def model(state_dir: Path) -> Iterator[str]:
    """A model server that stops in the middle of its first long answer; yields its base URL."""
    script = state_dir / "script.json"
    whole = {"chunks": [SLOW[: SLOW.index("paragraph, which")], SLOW[SLOW.index("paragraph, which") :]]}
    cut = {**whole, "null_content": False, "hang": "stream"}
    wrong = {"contains": "wrong key", "reply": {"status": 401, "error": {"message": "bad key"}}}
    short: list[dict[str, object]] = [{"contains": text, "reply": {}} for text in ("hello", "one")]
    script.write_text(json.dumps({"replies": [cut], "default": whole, "rules": [*short, wrong]}))
    argv = [PYTHON, "-m", "tests.fakes.openai_api", "--port", "0", "--script", str(script)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/v1"
        finally:
            process.kill()


@pytest.fixture
def home(state_dir: Path, model: str) -> Path:
    config = f"""
models: [{{name: main, type: chat, base_url: "{model}", api_key: test, model: fake-1}}]
gateway: {{port: false}}
"""
    (state_dir / "config.yaml").write_text(config)
    return state_dir


def environ(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAWD_HOME": str(home),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
    }


@contextmanager
def daemon(home: Path, **env: str) -> Iterator[ForkedProgram]:
    """A running daemon, ready to answer."""
    ours, theirs = os.pipe()
    with Path(os.devnull).open("r+b") as nothing, os.fdopen(ours, encoding="utf-8") as told:
        streams = (nothing.fileno(), nothing.fileno(), theirs)
        process = ForkedProgram("clawd.daemon", (), {**environ(home), **env}, streams, cwd=home)
        os.close(theirs)
        try:
            seen = []
            for line in told:
                seen.append(line)
                if '"event": "ready"' in line:
                    break
            else:
                pytest.fail("the daemon did not start:\n" + "".join(seen))
            yield process
        finally:
            process.kill()
            process.wait()


def argv(*arguments: str) -> list[str]:
    return [PYTHON, "-m", "clawd.cli.main", "chat", *arguments]


def turns(home: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Client.find(None, None, environ(home)).get("/turns")["turns"]
    return found


def test_a_message_is_answered_in_a_pipe_and_in_a_terminal(home: Path) -> None:
    with daemon(home):
        done = run_clawd("chat", "hello", env=environ(home))
        assert (done.returncode, done.stdout, done.stderr) == (0, "you said: hello\n", "")
        with Terminal(argv(), environ(home)) as terminal:
            terminal.until("›")
            terminal.type("one\r")
            terminal.until(lambda screen: screen.visible().endswith("you said: one\n›"))
            terminal.type("/status\r")
            terminal.until("model: main")
            terminal.until(lambda screen: screen.visible().endswith("\n›"))
            terminal.type("\x04")
            assert terminal.wait() == 0


def test_a_refused_key_exits_with_4_and_says_where_to_look(home: Path) -> None:
    with daemon(home):
        done = run_clawd("chat", "wrong key", env=environ(home))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error[E-MODELS]: Sorry, the model's provider refused our key.")
    assert "\ntry: clawd trace turn:" in done.stderr


def test_a_daemon_that_is_killed_in_the_middle_of_an_answer_finishes_it_after_its_restart(home: Path) -> None:
    with daemon(home) as first, Terminal(argv(), environ(home)) as terminal:
        terminal.until("›")
        terminal.type("speak slowly\r")
        terminal.until("First paragraph.")
        first.send_signal(signal.SIGKILL)
        first.wait()
        terminal.until("waiting for it to come back")
        with daemon(home):
            terminal.until("connected again")
            terminal.until("The end.")
            terminal.until(lambda screen: screen.visible().endswith("The end.\n›"))
            [turn] = turns(home)
            assert (turn["state"], turn["answer"]) == ("answered", SLOW)
            terminal.type("\x04")
            assert terminal.wait() == 0
        seen = terminal.screen.text()
        assert [seen.count(words) for words in ("First paragraph.", "takes its time.", "The end.")] == [
            1,
            1,
            1,
        ]


def test_ctrl_c_stops_a_turn_of_the_real_daemon_and_marks_what_there_is(home: Path) -> None:
    with daemon(home), Terminal(argv("speak", "slowly"), environ(home)) as terminal:
        terminal.until("First paragraph.")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert terminal.screen.text().endswith("(stopped here)")
        [turn] = turns(home)
        assert turn["state"] == "cancelled"
