"""`clawd doctor` on a disk that is full, in full: it tells, and does not fall over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

UNSHARE = shutil.which("unshare") or "/usr/bin/unshare"
FILLED = """
mount -t tmpfs -o size=64k,mode=700 tmpfs "$1" && mkdir -m 700 "$1/state" && : > "$1/state/lock" && : > "$1/state/clawd.db"
head -c 1000000 /dev/zero > "$1/filler" 2>/dev/null
shift; exec "$@"
"""


def test_a_full_disk_is_told_by_every_check_that_meets_it(state_dir: Path) -> None:
    disk = state_dir / "disk"
    disk.mkdir()
    (state_dir / "config.yaml").write_text(f"state_dir: {disk}/state\nmodels: [{{name: d, type: demo}}]\n")
    doctor = [sys.executable, "-m", "clawd.cli.main", "doctor", "--offline", "--json"]
    done = subprocess.run(
        [UNSHARE, "-rm", "sh", "-c", FILLED, "sh", str(disk), *doctor],
        env={"PATH": os.environ["PATH"], "CLAWD_HOME": str(state_dir), "HOME": str(state_dir)},
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    checks = {check["id"]: check for check in json.loads(done.stdout)["checks"]}
    assert (checks["disk"]["status"], "0 MB of 0 MB free" in checks["disk"]["evidence"]) == ("fail", True)
    assert (checks["journal"]["status"], checks["journal"]["fix"]) == ("fail", "free some space")
    assert "No space left on device" in checks["journal"]["evidence"]
    assert "No space left on device" in checks["rows"]["evidence"], "it met its own lock"
