"""deploy/Dockerfile: well formed, and what it describes runs, without a builder."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, build, contents
from tests.packaging.recipe import DOCKERFILE, TINI, UID, Container, stages

IMAGE = stages()[-1]

needs_sandbox = pytest.mark.skipif(
    shutil.which("bwrap") is None or TINI is None,
    reason="left out: the Debian packages bubblewrap and tini are not installed",
)


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command: list[str | Path] = [hadolint, "--no-color", "--failure-threshold", "style", DOCKERFILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_a_program_that_is_nobody() -> None:
    assert IMAGE.last("USER") == f"{UID}:{UID}"
    assert [*IMAGE.words("ENTRYPOINT"), *IMAGE.words("CMD")] == ["tini", "--", "clawd", "start"]
    assert IMAGE.last("STOPSIGNAL") == "SIGTERM"
    assert IMAGE.last("HEALTHCHECK").endswith('CMD ["clawd", "health"]')
    assert IMAGE.last("VOLUME") == '["/var/lib/clawd"]'
    bases = [stage.base for stage in stages()]
    assert bases == ["python:${PYTHON}"] * 2
    assert "ARG PYTHON=3.11-slim-bookworm\n" in DOCKERFILE.read_text()


def test_no_secret_and_no_history_reaches_a_layer() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"  # all but what is allowed
    copied = [source for stage in stages() for text in stage.all("COPY") for source in text.split()[:-1]]
    local = [source for source in copied if not source.startswith(("--from", "/"))]
    assert sorted(local) == sorted(allowed)
    assert not any("secret" in name.lower() or "token" in name.lower() for name in IMAGE.environ())


@pytest.mark.slow
@pytest.mark.timeout(150)  # with a build and an installation before it
def test_what_the_recipe_copies_is_enough_for_the_same_wheel(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for text in stages()[0].all("COPY"):
        *names, target = text.split()
        for name in names:
            if (ROOT / name).is_dir():
                left = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(ROOT / name, source / target, ignore=left)
            else:
                shutil.copy(ROOT / name, source / target)
    build(source, tmp_path, "--wheel")
    held = contents(next(tmp_path.glob("*.whl")))
    assert {"clawd/py.typed", "clawd/texts/zh.yaml", "bridges/telegram/__init__.py"} <= held.keys()
    assert any(name.endswith("/share/bash-completion/completions/clawd.bash") for name in held)


@pytest.fixture
def container(installed: Path, tmp_path: Path) -> Container:
    (tmp_path / "volume").mkdir()
    (tmp_path / "secrets").mkdir()
    for name in ("gateway_token", "metrics_token"):
        (tmp_path / "secrets" / name).write_text(f"{name}-of-a-good-length-{'x' * 32}\n")
    config = ROOT / "deploy" / "config.yaml"
    return Container(clawd=installed, volume=tmp_path / "volume", config=config, secrets=tmp_path / "secrets")


@needs_sandbox
@pytest.mark.slow
@pytest.mark.timeout(150)  # with a build and an installation before it
async def test_the_image_works_on_a_root_that_cannot_be_written_and_ends_well(container: Container) -> None:
    health = IMAGE.last("HEALTHCHECK").partition("CMD ")[2]
    command = [word.strip('"[] ') for word in health.split(",")]
    code, words = await container.run(command)
    assert code == 3, words
    async with container.started() as running:
        said = await running.ready()
        assert await container.run(command) == (0, "ready\n")
        code, answer = await container.run(["clawd", "chat", "hi"])
        assert (code, "demo" in answer) == (0, True), answer
        code, words = await container.run([*IMAGE.words("ENTRYPOINT"), "start"])
        assert (code, "error[E-LOCKED]" in words) == (73, True), words  # a second one on the same volume
        code, words = await container.run(["touch", "/etc/clawd/x", "/opt/clawd/x", "/x"])
        assert (code, words.count("Read-only file system")) == (1, 3)
        code, last = await running.stopped(signal.SIGTERM)
    assert code == 0, last
    assert "process 1" not in said
    assert "Read-only" not in last
    assert '"level": "error"' not in last
    # The terminal's history belongs to the home; all else is in the folder of the state.
    assert {path.name for path in container.volume.iterdir()} <= {"state", ".local"}
    assert (container.volume / "state").stat().st_mode & 0o777 == 0o700


@needs_sandbox
@pytest.mark.slow
@pytest.mark.timeout(150)  # with a build and an installation before it
async def test_other_commands_run_in_the_image_and_a_wrong_configuration_ends_it(
    container: Container,
) -> None:
    entry = IMAGE.words("ENTRYPOINT")
    code, words = await container.run([*entry, "config", "check"])
    assert code == 0, words
    (container.secrets / "gateway_token").unlink()
    code, words = await container.run([*entry, "start"])
    assert code == 78
    assert "/run/secrets/gateway_token" in words


@needs_sandbox
@pytest.mark.slow
@pytest.mark.timeout(150)  # with a build and an installation before it
async def test_a_clawd_that_is_process_1_says_what_comes_of_it_and_still_ends_well(
    container: Container,
) -> None:
    async with container.started(without=["tini", "--"]) as running:
        said = await running.ready()
        code, _ = await running.stopped(signal.SIGTERM)
    assert "clawd is process 1 here" in said
    assert code == 0


# Each run leaves two orphans: what it had put into the background, and the watcher of its group.
ORPHANS = """
import asyncio, pathlib, sys, time
from clawd.child import start

async def main():
    for _ in range(3):
        async with start(["/bin/sh", "-c", "sleep 0 & exit"], environ={"PATH": "/usr/bin:/bin"}) as child:
            await child.wait()

def zombies():
    stats = [stat.read_text() for stat in pathlib.Path("/proc").glob("[0-9]*/stat")]
    return sum(stat.rpartition(")")[2].split()[0] == "Z" for stat in stats)

asyncio.run(main())
while zombies() != int(sys.argv[1]):
    time.sleep(0.02)
"""


@needs_sandbox
@pytest.mark.parametrize(
    ("init", "left"),
    [([], 6), ([str(TINI), "--"], 0)],
    ids=["clawd as process 1", "tini as process 1"],
)
def test_what_tools_leave_behind_is_reaped_by_the_image_and_would_not_be_by_clawd(
    init: list[str], left: int
) -> None:
    sandbox = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-user"]
    command = [*sandbox, "--unshare-pid", "--as-pid-1", *init, sys.executable, "-c", ORPHANS, str(left)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=30)
