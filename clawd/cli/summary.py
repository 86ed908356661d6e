"""What `clawd` alone says: the state in five lines, the last of which is the next step; a sixth for alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import clawd
from clawd.cli.folding import put
from clawd.cli.printing import duration, emit, one_line, out, paint
from clawd.client import GLANCE_S
from clawd.errors import DaemonNotRunning
from clawd.paths import config_path

if TYPE_CHECKING:
    from clawd.cli.invocation import Invocation


def summary(call: Invocation, *, as_json: bool) -> None:
    """Print the daemon's state in short, or that there is none."""
    try:
        status = call.client(timeout_s=GLANCE_S).get("/status")
    except DaemonNotRunning as error:
        if call.remote_url is not None:
            raise
        _absent(call, error, as_json=as_json)
        return
    if as_json:
        emit({"running": True, **status})
        return
    queue = status["queue"]
    out(
        f"clawd {status['version']} is {paint(status['state'], 'green')}, up {duration(status['uptime_s'])}, "
        f"process {status['pid']}"
    )
    out(f"model:   {' then '.join(status['route']) or 'none'}")
    out(f"bridges: {_bridges(status['bridges'])}")
    out(f"queue:   {queue['queued']} waiting, {queue['running']} running, {queue['dead']} given up")
    if alerts := status.get("alerts"):
        from clawd.cli import alert_words  # not for the many times when all is well

        put(f"alerts:  {alert_words.summary(alerts)}", 9)
        if status.get("nobody_told"):
            put(f"told:    {alert_words.reach(status.get('untold', ()), nobody=True)}", 9)
    out(f"next:    {_next(status)}")


def _absent(call: Invocation, error: DaemonNotRunning, *, as_json: bool) -> None:
    config = config_path(call.config, call.environ)
    if as_json:
        emit({"running": False, "version": clawd.__version__, "config_path": str(config) if config else None})
        return
    out(f"clawd {clawd.__version__}: {paint('no daemon is running', 'yellow')}")
    out(f"config:  {config or 'none, the defaults hold'}")
    put(f"socket:  nobody listens on {one_line(error.socket, 200)}", 9)
    out("setup:   clawd init writes a configuration, clawd doctor checks it")
    out("next:    clawd start --detach")


def _bridges(bridges: list[dict[str, Any]]) -> str:
    return ", ".join(f"{bridge['name']} {bridge['state']}" for bridge in bridges) or "none"


def _next(status: dict[str, Any]) -> str:
    if pause := status.get("journal_pause"):
        return f"clawd doctor: the journal can't commit ({one_line(pause, 80)})"
    if status["config_error"]:
        return "clawd config check: the last reload was refused"
    for bridge in status["bridges"]:
        if bridge["state"] == "bad_credentials":
            return bridge["remedy"] or f"clawd bridges test {bridge['name']}"
    if status["queue"]["dead"]:
        return "clawd dead list"
    if status.get("alerts"):
        return "clawd alerts list"
    return "clawd chat"
