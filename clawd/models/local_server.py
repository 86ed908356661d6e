"""The child process behind a local model: started when needed, asked over HTTP, killed with its group."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.child import DEVNULL, PIPE, Child, launch
from clawd.errors import ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.models.local_config import LocalConfig

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
# What a program needs to run; keys and tokens of the daemon are none of its business.
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


class LocalServer:
    """A running llama.cpp; `start_server` makes it, `kill` must be awaited in the end."""

    def __init__(self, child: Child, port: int, api_key: str) -> None:
        self._child = child
        self.port = port
        self.api_key = api_key

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def ended(self) -> str:
        """How the child ended, in words; empty while it runs."""
        return "" if self._child.returncode is None else exit_words(self._child.returncode)

    async def ended_within(self, seconds: float) -> str:
        """Return how the child ended as soon as it has, or "" when it still runs after that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._child.wait()
        return self.ended

    async def kill(self) -> None:
        """End the child and return once it is gone."""
        await self._child.kill()


async def start_server(config: LocalConfig, path: Path, environ: Mapping[str, str]) -> LocalServer:
    """Return the server once it has loaded the file and listens.

    Raises:
        ModelUnavailable: it did not start, or not within `start_s`.
    """
    api_key = secrets.token_urlsafe(24)
    settings = {
        "path": str(path),
        "context": config.context,
        "threads": config.threads or max(1, len(os.sched_getaffinity(0)) - 1),
        "api_key": api_key,
    }
    child = await launch(
        # -P: a file in the working directory must not shadow a module of ours.
        [sys.executable, "-P", "-m", "clawd.models.local_child"],
        environ=_environment(environ),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    try:
        async with asyncio.timeout(config.start_s):
            port = await _port(config.name, child, settings)
    except TimeoutError as error:
        await child.kill()
        raise _not_started(config.name, f"not ready within {config.start_s:g} s (start_s)") from error
    except BaseException:
        await child.kill()
        raise
    return LocalServer(child, port, api_key)


async def _port(model: str, child: Child, settings: Mapping[str, object]) -> int:
    """Tell the child what to load and return the port that it reports."""
    assert child.stdin is not None  # noqa: S101 - asked for with PIPE
    assert child.stdout is not None  # noqa: S101
    try:
        child.stdin.write(json.dumps(settings).encode() + b"\n")
        await child.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it ended; what it said, or how it ended, tells more
    line = await child.stdout.readline()
    if not line:
        raise _not_started(model, exit_words(await child.wait()))
    report = json.loads(line)
    if "port" not in report:
        raise _not_started(model, str(report.get("error")))
    return int(report["port"])


def _not_started(model: str, why: str) -> ModelUnavailable:
    return ModelUnavailable(
        model,
        "the local model did not start",
        why=why,
        remedy="check the path, the free memory and the package xllamacpp",
        transient=False,
    )


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    passed = {name: environ[name] for name in _PASSED_ON if name in environ}
    roots = [str(_PACKAGE_ROOT), *filter(None, [environ.get("PYTHONPATH")])]
    return {**passed, "PYTHONPATH": os.pathsep.join(roots)}


def exit_words(returncode: int) -> str:
    """Return an exit status in words; negative ones are signals."""
    if returncode >= 0:
        return f"its process ended with status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"its process was ended by {name}"
