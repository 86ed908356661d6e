"""`clawd backup` says so when the daemon wrote its file where nobody else sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawd.cli.backup import unseen
from clawd.cli.main import run
from tests.fakes.control_api import FakeControlApi


def test_only_a_file_that_is_surely_not_there_counts_as_unseen(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert not unseen(tmp_path / "there")
    assert unseen(tmp_path / "nothing")
    assert not unseen(tmp_path / "there" / "below"), "it can't be told"


@pytest.mark.parametrize("seen", [True, False])
def test_a_backup_in_a_folder_of_the_services_own_is_told(
    seen: bool, state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = state_dir / "copy.db"
    if seen:
        target.touch()
    with FakeControlApi(state_dir / "s.sock") as api:
        api.answers["/status"] = {"state_dir": "/var/lib/clawd"}
        api.answers["/backup"] = {"file": str(target), "bytes": 1024, "duration_s": 0.1}
        assert run(["--socket", str(api.path), "backup", str(target)]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{target}  0.0 MB in 0.1 s\n"
    assert ("it is not seen from here" in shown.err) is not seen
    assert ("try: clawd backup --force /var/lib/clawd/backups/by-hand.db" in shown.err) is not seen
