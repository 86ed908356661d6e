"""`clawd restart`: by the service manager that looks after the daemon, else stopped and started again here."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from clawd import __version__, paths
from clawd.cli.invocation import Invocation, invocation
from clawd.cli.launching import Launch, Places, places_of
from clawd.cli.lazy import command_app
from clawd.cli.manager import Service, bring_up, service_of
from clawd.cli.options import Json
from clawd.cli.printing import say
from clawd.cli.start import tell_ready, tell_status
from clawd.cli.stop import StillThere, end
from clawd.errors import ClawdError, DaemonNotRunning
from clawd.ports import holder_of_port, is_taken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.client import Client

app = command_app()

_RUNS_CLAWD: Final = re.compile(
    rb"clawd\.daemon|(?:^|[/\0 ])clawd[\0 ](?:.*[\0 ])?start(?:[\0 ]|$)", re.DOTALL
)
_PARENT: Final = 1  # among the fields behind the name. Source: proc_pid_stat(5)


class RestartRefused(ClawdError):
    """What would be started is not what runs; nothing was stopped."""

    code = "E-RESTART"


@app.command()
def restart(
    ctx: typer.Context,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds to wait for its end, and again for ready.")
    ] = 60,
    as_json: Json = False,
) -> None:
    """Stop the daemon and start it again, as the service it is, or in the background."""
    call = invocation(ctx)
    call.local_only("clawd restart")
    client = call.client()
    try:
        status = client.get("/status")
    except DaemonNotRunning:
        say("no daemon was running")
        _start(places_of(call.config, call.environ), call, timeout, as_json=as_json)
        return
    service = service_of(status["pid"])
    if service is not None:
        by_manager(client, service, status)
        tell_status(client.get("/status"), as_json=as_json)
        return
    places = places_for(call, status)
    check(places, call.environ, status)
    try:
        end(client, status, timeout, here=True)
    except StillThere as error:
        raise StillThere(
            "the daemon has not ended yet, and no other one was started",
            why=error.why,
            remedy="clawd stop waits on, then clawd start --detach; or again with a longer --timeout",
        ) from error
    _start(places, call, timeout, as_json=as_json)


def by_manager(client: Client, service: Service, status: Mapping[str, Any]) -> None:
    """Let the service manager restart a daemon whose `status` is known.

    Raises:
        RemoteError: its configuration would be refused; it goes on.
        UnitError: the manager did not do it.
    """
    if status["version"] == __version__:  # an older one may know less than its successor
        client.post("/reload")
    bring_up([service.restart])


def _start(places: Places, call: Invocation, timeout_s: float, *, as_json: bool) -> None:
    launch = Launch.begin(places, call.environ)
    tell_ready(launch, launch.ready(timeout_s), places.own_call(call.environ), as_json=as_json)


def places_for(call: Invocation, status: Mapping[str, Any], proc: Path = Path("/proc")) -> Places:
    """Return where the next daemon has its files, which must be where this one has them.

    Raises:
        RestartRefused: the running daemon is not one that could be started from here.
    """
    pid, config = status["pid"], call.config or _running_config(status, call.environ)
    try:
        owner = (proc / str(pid)).stat().st_uid
    except FileNotFoundError:
        owner = None
    if owner is None or _is_a_containers(pid, proc):
        raise RestartRefused(
            "the daemon runs in a container of its own",
            why=f"it is process {pid} there, and its end is the container's",
            remedy="restart the container, such as docker compose restart clawd",
        )
    if owner != os.geteuid():
        remedy = f"the same command as uid {owner}"
        raise RestartRefused(
            "the daemon is another user's", why=f"process {pid} has uid {owner}", remedy=remedy
        )
    places = places_of(config, call.environ)
    if places.log.parent != Path(status["state_dir"]):
        raise RestartRefused(
            "from here another clawd would be started",
            where=status["state_dir"],
            why=f"the state directory would be {places.log.parent}",
            remedy="clawd stop, then start it as it was started before",
        )
    return places


def _is_a_containers(pid: int, proc: Path) -> bool:
    """Whether a container would end with this process, or the number is one of another container's processes.

    It is the first one, or what the first one was told to run and to end with, as tini and its like are.
    """
    try:
        first = (proc / "1" / "cmdline").read_bytes()
        command = (proc / str(pid) / "cmdline").read_bytes()
        parent = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[_PARENT]
    except OSError:
        return False  # gone by now
    if not command:
        return True  # a thread of this host's kernel: the number is counted elsewhere
    return pid == 1 or (parent == b"1" and _RUNS_CLAWD.search(first) is not None)


def _running_config(status: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    """Return the running daemon's file where it is not the one that is found by itself."""
    running: str | None = status["config_path"]
    return None if running is None or Path(running) == paths.config_path(None, environ) else running


def check(places: Places, environ: Mapping[str, str], status: Mapping[str, Any]) -> None:
    """Return if the next daemon would take its configuration, and find the port that is named there.

    Raises:
        ConfigError: it would be refused.
        RestartRefused: somebody else has the port.
    """
    from clawd.config.loader import load_config
    from clawd.plugins import find_plugins

    gateway = load_config(places.config, environ, find_plugins()).config.gateway
    if not gateway.port or "port" not in gateway.model_fields_set:
        return  # none, or any free one
    own = status["gateway"] is not None and urlsplit(status["gateway"]).port == gateway.port
    if not own and is_taken(gateway.host, gateway.port):
        raise RestartRefused(
            f"port {gateway.port} is in use by {holder_of_port(gateway.port) or 'another program'}",
            where=str(places.config),
            why="the daemon that runs goes on, as the next one could not start",
            remedy="end it, or set gateway.port to another one, to 0 for any free one, or to false",
        )
