"""Errors of the control socket, and of whoever speaks to it."""

from __future__ import annotations

from clawd.errors.base import EXIT_NOT_RUNNING, ClawdError


class ControlError(ClawdError):
    """The daemon's control socket could not be used."""

    code = "E-CONTROL"


class DaemonNotRunning(ControlError):
    """Nobody listens on the control socket."""

    code = "E-NOT-RUNNING"
    exit_code = EXIT_NOT_RUNNING

    def __init__(self, socket: str, *, why: str = "") -> None:
        super().__init__("no clawd daemon is running", where=socket, why=why, remedy="clawd start --detach")
        self.socket = socket


class ProtocolMismatch(ControlError):
    """The daemon speaks another version of the control protocol."""

    code = "E-PROTOCOL"

    def __init__(self, theirs: int, ours: int) -> None:
        super().__init__(
            "the daemon and this command are of different versions",
            why=f"the daemon speaks protocol {theirs}, this command {ours}",
            remedy="restart the daemon: clawd stop, clawd start --detach",
        )
        self.theirs = theirs
        self.ours = ours
