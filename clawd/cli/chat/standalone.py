"""`clawd chat --standalone`: the daemon's own work for one terminal, for as long as the chat lasts.

It is the daemon that does it, started as a child on the same journal, without bridges and gateway; the chat speaks
to it as to any other. It answers and calls nobody else: what others are owed waits for the next daemon. It takes the lock, so it never runs beside a daemon, and ends with the chat, however that ends.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from clawd.cli.launching import Launch, places_of
from clawd.client import Client
from clawd.errors import EXIT_LOCKED, EXIT_USAGE, ClawdError, ControlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.invocation import Invocation

START_S: Final = 60.0
END_S: Final = 10.0
LOST_S: Final = 2.0
"""How long the chat looks for it when it is gone: nobody starts it again."""

_LOOK_S: Final = 5.0


class DaemonRuns(ClawdError):
    """There is a daemon already, which answers."""

    code = "E-STANDALONE"
    exit_code = EXIT_LOCKED


class OnlyOwn(ClawdError):
    """A socket was named, and by it a daemon that is somebody else's to start."""

    code = "E-USAGE"
    exit_code = EXIT_USAGE


@contextmanager
def standalone(call: Invocation) -> Iterator[Client]:
    """Run it while the block lasts; give a client for it.

    Raises:
        OnlyThere, OnlyOwn: a remote daemon, or a socket, was named.
        DaemonRuns: there is a daemon already.
        typer.Exit: it could not start, and has said why.
        StartFailed, NotReady: it could not start.
    """
    call.local_only("clawd chat --standalone")
    if call.names_socket:
        raise OnlyOwn(
            "a standalone chat has a daemon of its own, and a socket was named",
            where=call.socket or "CLAWD_SOCKET",
            remedy="clawd --config PATH chat --standalone",
        )
    places = places_of(call.config, call.environ)
    _refuse_beside_daemon(Client([places.socket], timeout_s=_LOOK_S))
    launch = Launch.begin(places, call.environ, attached=True)
    try:
        launch.ready(START_S)
        yield Client([places.socket])
    finally:
        launch.end(END_S)


def _refuse_beside_daemon(client: Client) -> None:
    """Return when nobody answers; whether somebody silent holds the lock shows at the start."""
    try:
        status = client.get("/status")
    except ControlError:
        return
    raise DaemonRuns(
        "a clawd daemon is running",
        where=str(status["socket"]),
        why=f"process {status['pid']} holds the state directory {status['state_dir']}",
        remedy="clawd chat (it speaks to that daemon)",
    )
