"""A `clawd` that was built and installed as its users do, once for all tests of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.packaging.building import build, copy_tree, install

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program `clawd` of an environment into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("installed")
    build(copy_tree(folder / "tree"), folder, "--wheel")
    return install(next(folder.glob("*.whl")), folder / "opt")
