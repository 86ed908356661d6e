"""`clawd version`, the same as `clawd --version`."""

from __future__ import annotations

from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.version import print_version

app = command_app()


@app.command()
def version(as_json: Json = False) -> None:
    """Print the version; with --json also those of protocol and Python."""
    print_version(as_json=as_json)
