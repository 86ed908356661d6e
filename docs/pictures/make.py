"""The terminal pictures of the documentation: `python docs/pictures/make.py` writes them anew, beside this file.

A real daemon talks to the test suite's model server and Bot API; what the commands print becomes SVG, through rich.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.fakes.bot_api_remote import bot_api_process  # noqa: E402 - the suite is no installed package
from tests.fakes.terminal import Terminal  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS: Final = 100
READING_S: Final = 1.5  # how long the person looks at the question
CLAWD: Final = Path(sys.executable).with_name("clawd")
# Fonts that a page would fetch from elsewhere are left out: the reader's own monospace one does.
FORMAT: Final = re.sub(r"@font-face \{\{.*?\n    \}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)

QUESTION: Final = "How big is my workspace? Look."
# The first model asks for a command, and is gone when the result is there: the standby answers.
MAIN: Final = {
    "replies": [
        {
            "tool_calls": [{"id": "c1", "name": "shell", "arguments": '{"command": "du -sh ."}'}],
            "first_delay_s": 0.2,
        },
    ],
    "default": {"status": 500, "delay_s": 0.1},
}
STANDBY: Final = {
    "default": {
        "chunks": ["It takes **1.3 MB** on the disk, ", "nearly all of it ", "in one file."],
        "first_delay_s": 0.2,
        "chunk_delay_s": 0.15,
    }
}


def last_state(raw: str) -> str:
    """Return what stays of output that goes up some lines and clears them, to write them anew."""
    lines = [""]
    for part in re.split(r"(\x1b\[\d*A|\x1b\[0?J|\n)", raw):
        if part == "\n":
            lines.append("")
        elif up := re.fullmatch(r"\x1b\[(\d*)A", part):
            del lines[-int(up[1] or 1) :]
            lines[-1] = ""
        elif not re.fullmatch(r"\x1b\[0?J", part):
            lines[-1] += part
    return "\n".join(lines)


@contextmanager
def model_server(folder: Path, name: str, script: object) -> Iterator[str]:
    """Run a model server by a script; yields its base URL."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(script), encoding="utf-8")
    command = [sys.executable, "-m", "tests.fakes.openai_api", "--port", "0", "--script", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/v1"
        finally:
            process.kill()


class Scene:
    """A home with a daemon, and a terminal in which commands are typed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {
            **os.environ,
            "CLAWD_HOME": str(home),
            "COLUMNS": str(COLUMNS),
            "FORCE_COLOR": "1",
            "PATH": f"{CLAWD.parent}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, *words: str) -> str:
        """Return what a command prints, on both streams."""
        done = subprocess.run(
            [CLAWD, *words],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return done.stdout.replace(str(self.home), "~/clawd").rstrip()

    def talk(self, *words: str, answer: str) -> str:
        """Return what a person sees who is asked for a word by a command, and gives it."""
        with Terminal([str(CLAWD), *words], self.environ, columns=COLUMNS) as terminal:
            terminal.until("[y]es")
            time.sleep(READING_S)
            terminal.type(f"{answer}\n")
            terminal.wait()
            return last_state(terminal.raw.replace("\r", "")).strip()

    def picture(self, name: str, *commands: Sequence[str], answer: str | None = None) -> None:
        """Write one picture of these commands and what they print; to `answer` see `talk`."""
        console = Console(
            record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor"
        )
        for words in commands:
            typed = " ".join(f'"{word}"' if " " in word else word for word in words)
            console.print(Text.assemble(("$ ", "green"), (f"clawd {typed}", "bold")))
            shown = self.run(*words) if answer is None else self.talk(*words, answer=answer)
            console.print(Text.from_ansi(shown))
        text = console.export_svg(title="clawd", code_format=FORMAT, unique_id=f"clawd-{name}")
        (HERE / f"{name}.svg").write_text(text, encoding="utf-8")


@contextmanager
def daemon(scene: Scene) -> Iterator[None]:
    """Run a daemon over the scene's home."""
    command = [CLAWD, "start"]
    with subprocess.Popen(
        command, env=scene.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def main() -> None:
    """Write all pictures."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clawd-", dir="/tmp")))
        api = stack.enter_context(bot_api_process())
        models = [
            {
                "name": name,
                "type": "chat",
                "base_url": stack.enter_context(model_server(home, name, script)),
                "price": {"input": 3.0, "output": 15.0},
            }
            for name, script in (("main", MAIN), ("standby", STANDBY))
        ]
        config = {
            "models": models,
            "bridges": {"telegram": {"token": api.token, "api_base": api.url, "allow": ["7"]}},
            "access": {"owners": ["telegram:7"]},
            "gateway": {"port": 0},
            "budgets": {"day_usd": 5},
            "tools": {"shell": {"enabled": True}},
            "alerts": {"rules": {"model_error_rate": {"min": 1, "for_s": 0}}},
        }
        workspace = home / "state" / "workspace"
        workspace.mkdir(parents=True)
        (workspace / "log.csv").write_bytes(bytes(1_300_000))
        path = home / "config.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        path.chmod(0o600)
        scene = Scene(home)
        stack.enter_context(daemon(scene))
        api.user_says(7, "/help")  # a bot may write to people once they have written to it
        api.wait_for_messages(7, 1)
        take(scene)


def take(scene: Scene) -> None:
    """Let something happen, and take the pictures of it."""
    scene.picture("chat", ["chat", QUESTION], answer="y")
    turn = json.loads(scene.run("turns", "list", "--json"))["turns"][0]["id"]
    scene.picture("trace", ["trace", turn])
    scene.picture("status", ["status"])
    while not json.loads(scene.run("alerts", "list", "--json"))["alerts"]:
        time.sleep(1)
    scene.picture("alerts", ["alerts", "list"], ["alerts", "test"])
    scene.picture("doctor", ["doctor", "--offline"])


if __name__ == "__main__":
    main()
