"""Listening on a Unix socket."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import pytest

from clawd.control.listening import gid_of, group_of, listen
from clawd.errors import ControlError


def test_only_the_systems_socket_is_shared_with_the_group() -> None:
    assert group_of(Path("/run/clawd/clawd.sock")) == "clawd"
    assert group_of(Path("/run/user/1000/clawd/clawd.sock")) is None


def test_a_groups_socket_belongs_to_it_and_to_nobody_else(state_dir: Path) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    path = state_dir / "run" / "c.sock"
    with listen(path, group):
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o660, os.getegid())
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_without_the_group_the_socket_stays_its_owners(state_dir: Path) -> None:
    assert gid_of("no-such-group-here") is None
    with listen(state_dir / "c.sock", "no-such-group-here"):
        assert stat.S_IMODE((state_dir / "c.sock").stat().st_mode) == 0o600


def test_the_processs_own_mask_is_kept(state_dir: Path) -> None:
    mask = os.umask(0o027)
    try:
        with listen(state_dir / "c.sock", None):
            assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)


def test_a_directory_that_can_not_be_made_is_a_clear_error(state_dir: Path) -> None:
    (state_dir / "file").write_text("")
    with pytest.raises(ControlError, match="can't be made") as caught:
        listen(state_dir / "file" / "c.sock", None)
    assert str(state_dir) in caught.value.where
