"""`clawd chat`: the terminal's way to talk to the daemon."""

from clawd.cli.chat.command import app

__all__ = ["app"]
