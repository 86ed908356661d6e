"""The example of docs/writing-a-bridge.md, installed as anybody's package and held to the shipped suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "board_bridge"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy, so that a build leaves nothing in the tree."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "package"))


def run(*words: str, cwd: Path, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = dict(os.environ) | ({"PYTHONPATH": str(site)} if site else {})
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_example_is_installed_found_by_its_entry_point_and_passes_the_suite(
    package: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    installed = run(*pip, "--target", str(site), str(package), cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    shutil.rmtree(package / "build", ignore_errors=True)
    for source in package.glob("*.py"):
        source.unlink()  # so that only what was installed is imported

    passed = run("-m", "pytest", "-q", "tests", cwd=package, site=site)
    assert passed.returncode == 0, passed.stdout
    assert "passed" in passed.stdout
    assert "skipped" not in passed.stdout

    config = tmp_path / "config.yaml"
    config.write_text("bridges: {board: {url: 'http://127.0.0.1:9', token: '0123456789abcdef'}}\n")
    config.chmod(0o600)
    checked = run("-m", "clawd.cli.main", "--config", str(config), "config", "check", cwd=tmp_path, site=site)
    assert checked.returncode == 0, checked.stderr
    config.write_text("bridges: {board: {url: 'board', token: '0123456789abcdef'}}\n")
    refused = run("-m", "clawd.cli.main", "--config", str(config), "config", "check", cwd=tmp_path, site=site)
    assert refused.returncode == 78
    assert "bridges.board.url" in refused.stderr + refused.stdout
