"""What forks the programs of tests outlives none of its tests' mistakes."""

from __future__ import annotations

import os
import select
from pathlib import Path

from tests.crash.nursery import Nursery


def test_a_daemon_that_nobody_ended_ends_with_the_nursery(state_dir: Path) -> None:
    nursery = Nursery()
    (state_dir / "config.yaml").write_text("models: [{name: d, type: demo}]\ngateway: {port: false}\n")
    ours, theirs = os.pipe()
    with Path(os.devnull).open("r+b") as nothing:
        streams = (nothing.fileno(), theirs, nothing.fileno())
        environ = {**os.environ, "CLAWD_HOME": str(state_dir)}
        pid = nursery.fork("clawd.daemon", (), environ, str(state_dir), streams)
    os.close(theirs)
    with os.fdopen(ours, "rb") as said, os.fdopen(os.pidfd_open(pid), "rb", buffering=0) as end:
        assert said.readline() == b"clawd is ready\n"
        nursery.close()
        assert select.select([end], [], [], 60)[0]
