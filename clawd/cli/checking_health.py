"""Whether the daemon works, in one word. No Typer here: supervisors ask every few seconds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from clawd.errors import EXIT_TRY_LATER, ControlError

if TYPE_CHECKING:
    from clawd.cli.invocation import Invocation

PATIENCE_S: Final = 3.0
"""Less than what the supervisor of a container waits for: it shall see our words."""


class NotReadyYet(ControlError):
    """The daemon starts, or drains before its end, or its journal takes nothing now."""

    code = "E-NOT-READY"
    exit_code = EXIT_TRY_LATER


def print_health(call: Invocation, *, as_json: bool) -> None:
    """Print `ready`, or raise what stands against it.

    The answer is the event loop's and the journal's reader's: a daemon that is stuck has none.

    Raises:
        NotReadyYet: it answers, and takes no work now.
        DaemonNotRunning, SocketDenied, NoAnswer, RemoteError: as the client's `get`.
    """
    client = call.client(timeout_s=PATIENCE_S)
    status = client.get("/status")
    state = status["state"]
    if state == "ready" and (pause := status.get("journal_pause")):
        raise NotReadyYet(
            f"not ready: the journal can't commit ({pause})",
            where=status["state_dir"],
            remedy="clawd doctor --only disk",
        )
    if state != "ready":
        raise NotReadyYet(
            f"the daemon is {state}", where=", ".join(client.places), remedy="clawd status --watch"
        )
    sys.stdout.write('{"schema_version": 1, "state": "ready"}\n' if as_json else f"{state}\n")
