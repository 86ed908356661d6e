"""What the options in front of the command say; every command finds it as `ctx.obj`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clawd.client import Client

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def invocation(ctx: Any) -> Invocation:
    """Return the invocation of a Typer context."""
    found = ctx.find_object(Invocation)
    if not isinstance(found, Invocation):
        raise TypeError("this command was started without the main program")
    return found
