"""What is in the wheel and the sdist, and that the first works where it was installed."""

from __future__ import annotations

import email
import fnmatch
import json
import os
import re
import subprocess
import tarfile
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

import clawd
from tests.packaging.building import ROOT, build, contents, copy_tree

if TYPE_CHECKING:
    from pathlib import Path

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("clawd", "bridges")


def data_files() -> set[str]:
    """Return the files of the packages that are no Python."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {str(p.relative_to(ROOT)) for p in files if p.suffix not in (".py", ".pyc")}


def test_every_file_that_is_no_python_is_named_as_a_packages_data() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    named = {
        file
        for file in data_files()
        for package, globs in patterns.items()
        if any(fnmatch.fnmatch(file, f"{package}/{glob}") for glob in globs)
    }
    assert data_files() - named == set()
    assert len(named) > 10


def test_every_folder_with_python_is_a_package() -> None:
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_the_version_stands_in_one_place_and_the_others_agree() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heading is not None
    assert heading[1] == clawd.__version__
    for page in ROOT.glob("docs/**/*.md"):
        told = set(re.findall(r"clawd(?:_agent-|[/ :])(\d+\.\d+\.\d+)", page.read_text()))
        assert told <= {clawd.__version__}, page
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(.*)$", dockerfile, re.M) == [clawd.__version__]


@pytest.mark.slow
@pytest.mark.timeout(150)  # with a build and an installation before it
def test_wheel_and_sdist_hold_what_belongs_to_clawd_and_nothing_else(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree")
    build(tree, tmp_path / "from_sdist")
    (sdist,) = (tmp_path / "from_sdist").glob("*.tar.gz")
    (wheel,) = (tmp_path / "from_sdist").glob("*.whl")
    held = contents(wheel)

    own = {name for name in held if name.startswith(("clawd/", "bridges/"))}
    python = {str(p.relative_to(ROOT)) for package in PACKAGES for p in (ROOT / package).rglob("*.py")}
    assert own == python | data_files()
    rest = {name.partition("/")[2] for name in held if name not in own}
    shared = {name for name in rest if name.startswith("data/")}
    assert shared == {
        "data/share/bash-completion/completions/clawd.bash",
        "data/share/fish/vendor_completions.d/clawd.fish",
        "data/share/zsh/site-functions/_clawd",
    }
    told = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}
    assert rest - shared == told

    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("LICENSE", "README.md", "CHANGELOG.md", "config.example.yaml", "docs/deploy.md"):
        assert needed in names
    assert {"deploy/Dockerfile", "deploy/compose.yaml", "systemd/clawd.service"} <= names
    assert [name for name in names if name.startswith(("tests", "benchmarks", ".")) or "/tests" in name] == []

    build(tree, tmp_path / "direct", "--wheel")
    assert contents(next((tmp_path / "direct").glob("*.whl"))) == held


@pytest.mark.slow
@pytest.mark.timeout(150)  # with a build and an installation before it
def test_an_installed_clawd_works_anywhere_with_its_declared_dependencies_alone(
    installed: Path, tmp_path: Path
) -> None:
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "CLAWD_HOME": str(tmp_path)}

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            arguments, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    python = installed.with_name("python")
    where = run(python, "-c", "import clawd, bridges; print(clawd.__file__); print(bridges.__file__)")
    assert all(line.startswith(str(installed.parents[1])) for line in where.splitlines())
    told = run(python, "-c", "from importlib.metadata import *; print(metadata('clawd-agent'))")
    metadata = email.message_from_string(told)
    assert (metadata["Version"], metadata["License-Expression"]) == (clawd.__version__, "MIT")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).lstrip().startswith("# clawd")
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert json.loads(run(installed, "--version", "--json"))["version"] == clawd.__version__
    assert (installed.parents[1] / "share" / "bash-completion" / "completions" / "clawd.bash").exists()

    (tmp_path / "config.yaml").write_text("models: [{name: demo, type: demo}]\ngateway: {port: 0}\n")
    assert "is ready" in run(installed, "start", "--detach")
    try:
        assert run(installed, "health") == "ready\n"
        assert "demo" in run(installed, "chat", "hi")
        assert run(installed, "doctor", "--json")
    finally:
        assert run(installed, "stop") == "stopped\n"
