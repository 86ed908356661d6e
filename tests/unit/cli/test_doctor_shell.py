"""`clawd doctor` says whether the shell tool is there, why not, and what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clawd.cli.checks import shell
from clawd.cli.checks.shell import check_shell
from clawd.cli.checks.site import Finding, Host, Site, survey

ON = "tools: {{shell: {{enabled: true, {}}}}}\n"

needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="left out: the Debian package bubblewrap is not installed"
)
MakeSite = Callable[..., Site]


@pytest.fixture
def make(tmp_path: Path) -> MakeSite:
    def make(config: str, path: str = os.environ["PATH"]) -> Site:
        home = tmp_path / "clawd"
        home.mkdir(exist_ok=True)
        (home / "config.yaml").write_text(config)
        environ = {"HOME": str(tmp_path / "home"), "CLAWD_HOME": str(home), "PATH": path}
        return survey(None, None, environ, Host(root=tmp_path / "root"))

    return make


def only(site: Site) -> Finding:
    (finding,) = check_shell(site)
    return finding


def test_a_shell_that_is_off_is_no_fault(make: MakeSite) -> None:
    assert only(make("{}\n")).status == "ok"
    assert only(replace(make("{}\n"), loaded=None)).status == "ok"


@pytest.mark.parametrize(
    ("approval", "words"), [("ask", "without a sandbox"), ("auto", "without a question")]
)
def test_a_shell_without_a_sandbox_is_a_warning(make: MakeSite, approval: str, words: str) -> None:
    finding = only(make(ON.format(f"sandbox: none, approval: {approval}")))
    assert (finding.status, words in finding.evidence) == ("warn", True)


@pytest.mark.parametrize(("sandbox", "status"), [("auto", "warn"), ("bwrap", "fail")])
def test_a_missing_bubblewrap_is_told_with_the_package(make: MakeSite, sandbox: str, status: str) -> None:
    finding = only(make(ON.format(f"sandbox: {sandbox}"), path="/nonexistent"))
    assert (finding.status, finding.fix) == (status, "apt install bubblewrap")


def test_the_programs_own_words_are_told(make: MakeSite, tmp_path: Path) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2; exit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    finding = only(make(ON.format("sandbox: auto"), path=str(tmp_path)))
    assert "bwrap: No permissions" in finding.evidence
    assert "clawd-shell.conf" in finding.fix


def test_a_sandbox_that_hangs_is_told_without_its_long_command(
    make: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setattr(shell, "_LEAST_S", 0.05)
    site = make(ON.format("sandbox: auto"), path=f"{tmp_path}:/usr/bin:/bin")
    finding = only(replace(site, until=site.host.monotonic() - 10))
    assert "no answer within 0.05 s" in finding.evidence
    assert len(finding.evidence) < 200


@needs_bwrap
def test_with_no_time_left_a_sandbox_that_works_is_still_found_to_work(make: MakeSite) -> None:
    site = make(ON.format("network: true"))
    assert only(replace(site, until=site.host.monotonic() - 10)).status == "ok"


@needs_bwrap
def test_a_sandbox_that_works_is_tried_out_and_leaves_nothing(make: MakeSite, tmp_path: Path) -> None:
    finding = only(make(ON.format("network: true")))
    assert (finding.status, finding.evidence) == ("ok", "bubblewrap works; network inside: there")
    assert not (tmp_path / "clawd" / "state").exists()


@needs_bwrap
def test_an_installed_unit_without_the_drop_in_is_told(make: MakeSite, tmp_path: Path) -> None:
    unit = tmp_path / "root" / "etc" / "systemd" / "system" / "clawd.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nRestrictNamespaces=yes\n")
    site = make(ON.format("sandbox: auto"))
    finding = only(site)
    assert (finding.status, str(unit) in finding.evidence) == ("warn", True)
    drop_in = Path(f"{unit}.d") / "shell.conf"
    drop_in.parent.mkdir()
    shutil.copy(Path(__file__).parents[3] / "systemd" / "clawd-shell.conf", drop_in)
    assert only(site).status == "ok"
