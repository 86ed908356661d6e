"""Makes what is handed out, without the network: the tree copied, built by the tools that are installed here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_LEFT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "build", "dist", "*.egg-info", "state"
)  # a folder that was built in before would lend its old files


def copy_tree(target: Path) -> Path:
    """Return a copy of the project without what tools have left in it."""
    shutil.copytree(ROOT, target, ignore=_LEFT)
    return target


def build(source: Path, target: Path, *kinds: str) -> None:
    """Build `--wheel` or `--sdist`, or with neither the sdist and out of it the wheel, as packagers do."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *kinds, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def install(wheel: Path, venv: Path) -> Path:
    """Install a wheel into a new environment and return its `clawd`.

    Beside it there is what the wheel declares as its dependencies, linked from the environment of the tests, and
    nothing else of that.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "--quiet"]
    subprocess.run(
        [*pip, "install", "--no-index", "--no-deps", "--disable-pip-version-check", wheel], check=True
    )
    site = next((venv / "lib").glob("python*/site-packages"))
    (own,) = (Distribution.at(folder) for folder in site.glob("clawd_agent-*.dist-info"))
    for needed in _closure(own):
        for top in {
            file.parts[0] for file in needed.files or () if file.parts[0] not in ("..", "__pycache__")
        }:
            link = site / top
            if not link.exists():
                link.symlink_to(str(needed.locate_file(top)))
    return venv / "bin" / "clawd"


def _closure(root: Distribution) -> list[Distribution]:
    """Return the distributions that one needs without its extras, directly or not."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = _needs(root, frozenset())
    while waiting:
        asked = waiting.pop()
        if asked not in seen:
            seen.add(asked)
            found[asked[0]] = distribution(asked[0])
            waiting += _needs(found[asked[0]], asked[1])
    return list(found.values())


def _needs(dist: Distribution, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Return what a distribution with some of its extras asks for: names, with the extras of theirs."""
    needs = [Requirement(text) for text in dist.requires or ()]
    return [
        (canonicalize_name(need.name), frozenset(need.extras))
        for need in needs
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in {"", *extras})
    ]
