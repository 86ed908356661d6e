"""Installations to be looked at by `clawd doctor`: healthy ones below a directory, unless told otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawd import __version__
from clawd.cli.checks.site import Finding, Host, Site, survey

LOCAL_DISK = "22 1 8:1 / / rw,relatime - ext4 /dev/root rw\n"
HEALTHY = "gateway: {port: 0}\nmodels: [{name: d, type: demo}]\n"
ALIVE = {"version": __version__, "pid": os.getpid(), "state": "ready", "gateway": None, "config_error": ""}

MakeSite = Callable[..., Site]


@pytest.fixture
def make(tmp_path: Path) -> MakeSite:
    """Return a maker of installations below `tmp_path`, healthy unless told otherwise."""

    def make(config: str = HEALTHY, *, status: dict[str, Any] | None = None, **of_host: Any) -> Site:
        home = tmp_path / "clawd"
        (home / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "config.yaml").write_text(config)
        (home / "config.yaml").chmod(0o600)
        healthy: dict[str, Any] = {
            "disk": lambda _: (100 << 30, 50 << 30),
            "file_limit": lambda: 1024,
            "mounts": lambda: LOCAL_DISK,
            "root": tmp_path / "root",
            "model_servers": (),
            "inodes": lambda _: (1_000_000, 900_000),
            "synchronized": lambda: True,
        }
        environ = {"HOME": str(tmp_path / "home"), "CLAWD_HOME": str(home)}
        site = survey(None, None, environ, Host(**healthy | of_host))
        return replace(site, status=status, no_status=None) if status else site

    return make


def only(findings: Iterable[Finding]) -> Finding:
    found = list(findings)
    assert len(found) == 1, found
    return found[0]


def failed(findings: Iterable[Finding], words: str, status: str = "fail") -> Finding:
    (finding,) = [finding for finding in findings if finding.status == status]
    assert words in finding.evidence
    assert finding.fix
    return finding
