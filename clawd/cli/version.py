"""`clawd --version`: imports next to nothing, as scripts ask for it often."""

from __future__ import annotations

import sys

import clawd


def print_version(*, as_json: bool) -> None:
    """Print the program's version, or all versions that matter as one JSON object."""
    if not as_json:
        sys.stdout.write(f"clawd {clawd.__version__}\n")
        return
    import json
    import platform

    from clawd.control.protocol import PROTOCOL_VERSION

    versions = {
        "schema_version": 1,
        "version": clawd.__version__,
        "protocol": PROTOCOL_VERSION,
        "python": platform.python_version(),
    }
    sys.stdout.write(json.dumps(versions) + "\n")
