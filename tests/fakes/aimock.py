"""A foreign model server that speaks many formats: npm `@copilotkit/aimock`, as a process of its own.

`make test` installs it beside the virtual environment's packages where npm is there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCRIPT = Path(sys.prefix) / "aimock" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_NODE = 20
_READY = re.compile(r"listening on (http://\S+)")


def missing_aimock() -> str:
    """Return why it can't be started here, "" where it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not _SCRIPT.exists():
        return "@copilotkit/aimock is not installed: make clean test, with npm there"
    return ""


def too_old_node() -> str:
    """Return why the installed node can't run it, "" where it can; starts node, which takes a moment."""
    node = shutil.which("node")
    version = subprocess.run([node or "", "--version"], capture_output=True, text=True, check=True).stdout
    return "" if int(version.lstrip("v").partition(".")[0]) >= _NODE else f"node {version.strip()} is too old"


@contextmanager
def aimock(fixtures: list[dict[str, Any]], folder: Path) -> Iterator[str]:
    """Yield the address of a server that answers by these fixtures; blocks until it listens."""
    node = shutil.which("node")
    assert node is not None
    file = folder / "fixtures.json"
    file.write_text(json.dumps({"fixtures": fixtures}))
    command = [node, str(_SCRIPT), "-p", "0", "-f", str(file), "--chunk-size", "5"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    ) as server:
        try:
            said = ""
            assert server.stdout is not None
            for line in server.stdout:
                said += line
                if found := _READY.search(line):
                    yield found.group(1)
                    return
            raise RuntimeError(f"aimock did not start: {said}")
        finally:
            server.terminate()
