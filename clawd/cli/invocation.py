"""What the options in front of the command say; every command finds it as `ctx.obj`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clawd.client import ANSWER_S, Client
from clawd.errors import EXIT_USAGE, ClawdError, JournalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class OnlyThere(ClawdError):
    """What is asked for makes no sense from another host."""

    code = "E-REMOTE-HOST"
    exit_code = EXIT_USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """The global options and the environment they are completed by."""

    environ: Mapping[str, str]
    socket: str | None = None
    config: str | None = None
    url: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    insecure_http: bool = False
    debug: bool = False

    def client(self, *, timeout_s: float = ANSWER_S) -> Client:
        """Return a client for the daemon that these options mean; connects to none yet.

        Args:
            timeout_s: How long an ordinary request may take.

        Raises:
            BadRemote, NoToken: a URL was named that can't be used so.
        """
        if self.remote_url is None:
            return Client.find(self.socket, self.config, self.environ, timeout_s=timeout_s)
        from clawd.remote import remote_of

        remote = remote_of(
            self.remote_url,
            self.environ,
            token_file=self.token_file,
            ca_file=self.ca_file,
            insecure_http=self.insecure_http,
        )
        return Client(remote=remote, timeout_s=timeout_s)

    @property
    def remote_url(self) -> str | None:
        """The gateway that is meant; None for a daemon of this host.

        What stands on the command line comes before the environment.
        """
        if self.url or self.socket or self.config:
            return self.url
        return self.environ.get("CLAWD_URL") or None

    def local_only(self, what: str) -> None:
        """Return if the command is about this host.

        Raises:
            OnlyThere: a remote daemon is meant, and `what` can't be done from here.
        """
        if self.remote_url is not None:
            raise OnlyThere(
                f"{what} works on the daemon's own host alone",
                where=self.remote_url,
                why="--url names a remote daemon" if self.url else "CLAWD_URL names a remote daemon",
                remedy="run it on that host" if self.url else "run it on that host, or unset CLAWD_URL",
            )

    @property
    def names_socket(self) -> bool:
        """Whether a socket or URL was named, and by it a daemon whose state directory is not known here."""
        return bool(self.socket or self.remote_url or self.environ.get("CLAWD_SOCKET"))

    def state_dir(self, holding: str | None = None) -> Path:
        """Return the state directory that these options mean, for what is done without a daemon.

        Raises:
            ConfigError: the configuration file that was named does not exist, or can't be read as far as `state_dir`.
            JournalError: there is no file `holding` in it.
        """
        from clawd import paths

        found = paths.state_dir(paths.meant_state_dir(self.config, self.environ), self.environ)
        if holding is not None and not (found / holding).exists():
            raise JournalError("there is no journal", where=str(found), remedy="clawd start makes one")
        return found


def invocation(ctx: Any) -> Invocation:
    """Return the invocation of a Typer context."""
    found = ctx.find_object(Invocation)
    if not isinstance(found, Invocation):
        raise TypeError("this command was started without the main program")
    return found
