"""deploy/Dockerfile read as data, and what it describes run without Docker: under bubblewrap, which mounts as it does."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.packaging.building import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
TINI = shutil.which("tini")  # of the package that the image takes its one from
UID = 10001


@dataclass(frozen=True, slots=True)
class Stage:
    """One `FROM` with what follows it: pairs of an instruction and its text, on one line."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for word, text in self.steps if word == instruction]

    def last(self, instruction: str) -> str:
        return self.all(instruction)[-1]

    def words(self, instruction: str) -> list[str]:
        """Return an instruction in its exec form."""
        found = json.loads(self.last(instruction))
        assert isinstance(found, list)
        return [str(word) for word in found]

    def environ(self) -> dict[str, str]:
        pairs = (word.partition("=") for text in self.all("ENV") for word in shlex.split(text))
        return {name: value.replace("$PATH", "/usr/local/bin:/usr/bin:/bin") for name, _, value in pairs}


def stages() -> list[Stage]:
    """Return the stages of the Dockerfile, the image itself as the last one."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.M).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        elif found:
            found[-1].steps.append((word, rest.strip()))
    return found


@dataclass(frozen=True, slots=True)
class Container:
    """What would be the running image: its root cannot be written to, nor anything but the volume and /tmp.

    Args:
        clawd: The program of an environment with the wheel in it, in the place of /opt/clawd.
        volume: Mounted as /var/lib/clawd.
        config: Mounted as /etc/clawd/config.yaml.
        secrets: Mounted as /run/secrets.
    """

    clawd: Path
    volume: Path
    config: Path
    secrets: Path

    def command(self, *command: str) -> list[str]:
        """Return what runs a command as process 1, and tells of it in JSON on descriptor 1 of bubblewrap."""
        image = stages()[-1]
        venv = self.clawd.parents[1]
        read_only = {
            **{path: path for path in ("/usr", "/etc/ssl", sys.base_prefix, sys.prefix, str(venv))},
            str(venv): "/opt/clawd",
            str(self.config): "/etc/clawd/config.yaml",
            str(self.secrets): "/run/secrets",
        }
        mounts = [
            "--tmpfs",
            "/",
            *(w for n in ("lib", "lib64", "bin") for w in ("--symlink", f"usr/{n}", f"/{n}")),
        ]
        mounts += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        mounts += ["--ro-bind", str(venv), str(venv)]
        for source, target in read_only.items():
            mounts += ["--ro-bind", source, target]
        mounts += ["--bind", str(self.volume), "/var/lib/clawd", "--remount-ro", "/"]
        environ = [word for pair in image.environ().items() for word in ("--setenv", *pair)]
        user = ["--unshare-user", "--uid", str(UID), "--gid", str(UID), "--unshare-ipc", "--unshare-uts"]
        alone = ["--unshare-pid", "--as-pid-1", "--unshare-net", "--die-with-parent", "--new-session"]
        return [
            "bwrap",
            "--clearenv",
            *environ,
            *mounts,
            *user,
            *alone,
            "--chdir",
            image.last("WORKDIR"),
            *command,
        ]

    async def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command to its end beside the image's own; return its exit code and all that it said."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    @asynccontextmanager
    async def started(self, *, without: Sequence[str] = ()) -> AsyncIterator[Running]:
        """Run what `docker run IMAGE` runs, `without` some of its words; it is killed at the end of the block."""
        image = stages()[-1]
        told, tell = os.pipe()
        words = [word for word in (*image.words("ENTRYPOINT"), *image.words("CMD")) if word not in without]
        command = self.command(*words)
        command[1:1] = ["--json-status-fd", str(tell)]
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=(tell,), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        os.close(tell)
        with os.fdopen(told) as status:  # open to the end: bubblewrap tells the exit code there too
            pid = int(json.loads(await asyncio.to_thread(status.readline))["child-pid"])
            try:
                yield Running(process, pid)
            finally:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                await process.wait()


@dataclass(frozen=True, slots=True)
class Running:
    """The container's process 1, by the number that this host has for it."""

    process: asyncio.subprocess.Process
    pid: int

    async def ready(self) -> str:
        """Return once the daemon says that it is, with what it has said before."""
        assert self.process.stdout is not None
        said: list[str] = []
        while line := await self.process.stdout.readline():
            if line == b"clawd is ready\n":
                return "".join(said)
            said.append(line.decode())
        raise AssertionError("".join(said))

    async def stopped(self, number: signal.Signals) -> tuple[int, str]:
        """Send process 1 a signal, as `docker stop` does; return the container's exit code and its last words."""
        os.kill(self.pid, number)
        assert self.process.stdout is not None
        rest = await self.process.stdout.read()
        return await self.process.wait(), rest.decode()
