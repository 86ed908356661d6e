"""What the options in front of the command say; every command finds it as `ctx.obj`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clawd.client import Client
from clawd.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """The global options and the environment they are completed by."""

    environ: Mapping[str, str]
    socket: str | None = None
    config: str | None = None
    debug: bool = False

    def client(self) -> Client:
        """Return a client for the daemon that these options mean; connects to none yet."""
        return Client.find(self.socket, self.config, self.environ)

    @property
    def names_socket(self) -> bool:
        """Whether a socket was named, and by it a daemon whose state directory is not known here."""
        return bool(self.socket or self.environ.get("CLAWD_SOCKET"))

    def state_dir(self, holding: str | None = None) -> Path:
        """Return the state directory that these options mean, for what is done without a daemon.

        Raises:
            ConfigError: the configuration file that was named does not exist.
            JournalError: there is no file `holding` in it.
        """
        from clawd import paths

        path = paths.config_path(self.config, self.environ)
        configured = paths.configured_state_dir(path, self.environ) if path else None
        found = paths.state_dir(configured, self.environ)
        if holding is not None and not (found / holding).exists():
            raise JournalError("there is no journal", where=str(found), remedy="clawd start makes one")
        return found


def invocation(ctx: Any) -> Invocation:
    """Return the invocation of a Typer context."""
    found = ctx.find_object(Invocation)
    if not isinstance(found, Invocation):
        raise TypeError("this command was started without the main program")
    return found
