"""`clawd stop`."""

from __future__ import annotations

import os
import select
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.printing import counted, out, say
from clawd.errors import EXIT_TRY_LATER, ClawdError, ControlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.client import Client

app = command_app()

_LOOK_S = 0.1


class StillThere(ClawdError):
    """The daemon was asked to stop and has not ended in time."""

    code = "E-STILL-RUNNING"
    exit_code = EXIT_TRY_LATER


@app.command()
def stop(
    ctx: typer.Context,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait until it is gone.")] = 60,
) -> None:
    """Stop the daemon and wait until it is gone. Running turns may finish; what can't, goes on later."""
    call = invocation(ctx)
    client = call.client()
    end(client, client.get("/status"), timeout, here=call.remote_url is None)
    out("stopped")


def end(client: Client, status: Mapping[str, Any], timeout_s: float, *, here: bool) -> None:
    """Ask the daemon to stop, say so, and return once it is gone.

    Args:
        client: To the daemon.
        status: What it has just said.
        timeout_s: How long to wait.
        here: Whether it is a process of this host; the number of another host's says nothing here.

    Raises:
        StillThere: it takes longer.
    """
    pid = status["pid"]
    watched = _watch(pid) if here else None
    client.post("/stop")
    running = status["queue"]["running"]
    finish = f"; {counted(running, 'running turn')} may finish first" if running else ""
    say(f"clawd (process {pid}) stops{finish}")
    gone = _wait_socket(client, timeout_s) if watched is None else _wait_process(watched, timeout_s)
    if not gone:
        raise StillThere(
            "the daemon has not ended yet",
            why=f"process {pid} is still there after {timeout_s:.0f} s",
            remedy=f"wait with clawd stop again, or end it: kill -9 {pid} (nothing is lost)",
        )


def _watch(pid: int) -> int | None:
    """Return a descriptor that becomes readable at the process's end; None when it can't be seen from here."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # ended already, or counted in another container


def _wait_process(descriptor: int, timeout_s: float) -> bool:
    with closing(os.fdopen(descriptor, "rb", buffering=0)):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))


def _wait_socket(client: Client, timeout_s: float) -> bool:
    """Return True once nobody answers any more, which is the last that can be seen of it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            client.get("/status")
        except ControlError:
            return True
        time.sleep(_LOOK_S)
    return False
