"""docs/api.md: made from the description, and its commands work."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawd.gateway.openapi_document import document
from clawd.gateway.openapi_page import page
from tests.fakes.shell import Shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
CONFIG = """
gateway: {port: 0}
models: [{name: demo, type: demo}]
"""
# What the page's commands name that is not there: a question, and sounds and pictures.
OTHER_ANSWERS = {
    "/cancel": 409,
    "/v1/approvals/": 404,
    "/v1/audio/": 501,
    "/v1/images/": 501,
}


FILE = "artifact:5f0c2a9e41d84b7ab6b1c3d2e9f80714"


def makes(command: str) -> bool:
    return " -d '" in command or " -F " in command


def test_the_page_says_what_the_description_says() -> None:
    assert PAGE.read_text() == page(document("")), "python -m clawd.gateway.openapi_page > docs/api.md"


@pytest.fixture
async def here(state_dir: Path) -> AsyncIterator[Shell]:
    (state_dir / "config.yaml").write_text(CONFIG)
    clawd = Shell(state_dir)
    started = await clawd("start", "--detach", "--json")
    assert started.code == 0, started.err
    (state_dir / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    clawd.environ["CLAWD"] = started.json["gateway"]
    clawd.environ["TOKEN"] = (state_dir / "state" / "gateway.token").read_text().strip()
    yield clawd
    await clawd("stop")


async def run(command: str, environ: dict[str, str], folder: Path) -> tuple[int, str]:
    """Return the status and the body that a command of the page gets; streams are left after a second."""
    most_s = 1 if "-sN" in command else 30
    wanted = command.replace("curl ", f"curl --max-time {most_s} -w '\\n%{{http_code}}' ", 1)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", wanted), env=environ, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    body, _, status = (await process.communicate())[0].decode(errors="replace").rpartition("\n")
    return int(status), body


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_command_of_the_page_works(here: Shell, state_dir: Path) -> None:
    commands = re.findall(r"^\$ (curl (?:.*\\\n)*.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) > 15
    known: dict[str, str] = {}
    # What is made comes before what is shown, and what is deleted comes last.
    for command in sorted(commands, key=lambda each: (not makes(each), "DELETE" in each)):
        for example, real in known.items():
            command = command.replace(example, real)
        status, body = await run(command, here.environ, state_dir)
        expected = [code for path, code in OTHER_ANSWERS.items() if path in command]
        assert [status] == expected or (not expected and 200 <= status < 300), f"{command}\n{status} {body}"
        if makes(command) and status < 300:
            made = str(json.loads(body)["id"])
            known |= {FILE: made} if made.startswith("artifact:") else {}
            known |= {"turn:k3x9-7-1": made} if made.startswith("turn:") else {}
            known |= {"resp_k3x9-7-1": made} if made.startswith("resp_") else {}
