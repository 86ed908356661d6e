"""What `/openapi.json` allows, and what it forbids, sent to a real daemon by Schemathesis.

Every answer has to be described: its status, its headers, its type, its body; nothing may be a 500, and nothing that
breaks the description may be taken.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.fakes.shell import Shell
from tests.seeds import seeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIG = """
gateway: {port: 0}
models: [{name: demo, type: demo}]
access: {rate: 100000/min}
"""
# 501 is what the description says of sounds and pictures, 503 is what `/readyz` may say. That a body is allowed by
# itself does not mean that it is taken: a model or a cursor has to be there.
RULES = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501, 503]
negative_data_rejection.expected-statuses = [400, 401, 404, 405, 408, 413, 415, 426, 501]
positive_data_acceptance.enabled = false
"""


@pytest.fixture
async def url(state_dir: Path) -> AsyncIterator[str]:
    """Where a daemon listens."""
    (state_dir / "config.yaml").write_text(CONFIG)
    clawd = Shell(state_dir)
    started = await clawd("start", "--detach", "--json")
    assert started.code == 0, started.err
    yield started.json["gateway"]
    await clawd("stop")


async def run(url: str, state_dir: Path, tmp_path: Path, *options: str) -> str:
    """Return what Schemathesis found, empty when there was nothing."""
    async with aiohttp.ClientSession() as client, client.get(f"{url}/openapi.json") as response:
        described = await response.json()
    for name in ("ChatBody", "ResponsesBody"):  # so that it gets further than "there is no such model"
        described["components"]["schemas"][name]["properties"]["model"]["enum"] = ["clawd", "demo"]
    # In a form a number arrives as its digits, which is a string; that is taken for a breach of the description.
    del described["components"]["schemas"]["Upload"]["properties"]["purpose"]["type"]
    (tmp_path / "openapi.json").write_text(json.dumps(described))
    (tmp_path / "schemathesis.toml").write_text(RULES)
    token = (state_dir / "state" / "gateway.token").read_text().strip()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml"),
        *("run", "openapi.json", "--url", url, "--no-color", "--request-timeout", "60"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--exclude-path", "/v1/events", *options),  # a stream never ends
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "Test cases:" in out, out[-2000:]
    return "" if process.returncode == 0 else "\n".join(line[:500] for line in out.splitlines())


@pytest.mark.timeout(300)
async def test_nothing_that_is_sent_gets_an_answer_that_is_not_described(
    url: str, state_dir: Path, tmp_path: Path
) -> None:
    found = await run(
        url, state_dir, tmp_path, "--phases", "examples,fuzzing", "-n", "1", "--seed", str(seeded(1))
    )
    assert not found


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_nothing_of_much_that_is_sent_gets_an_answer_that_is_not_described(
    url: str, state_dir: Path, tmp_path: Path
) -> None:
    found = await run(
        url,
        state_dir,
        tmp_path,
        "--phases",
        "examples,coverage,fuzzing",
        "-n",
        "25",
        "--seed",
        str(seeded(1)),
    )
    assert not found
