"""`clawd backup`: a copy of the journal, with or without a running daemon."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawd.cli.folding import put
from clawd.cli.invocation import Invocation, invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, say, size
from clawd.errors import DaemonNotRunning

if TYPE_CHECKING:
    from clawd.response import JsonObject

app = command_app()


@app.command()
def backup(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="File or folder; by default the state directory's folder backups.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the journal into one file, while the daemon works on. `clawd restore` takes it back."""
    call = invocation(ctx)
    # On another host, the daemon's, a relative path has no meaning: it says so.
    target = file.absolute() if file is not None and call.remote_url is None else file
    try:
        body: JsonObject = {"file": str(target) if target else None, "force": force}
        answer = call.client().result("/backup", post=body, each=_show)
    except DaemonNotRunning:
        if call.names_socket:
            raise
        answer = _without_daemon(call, target, force=force)
    finally:
        _clear()
    if as_json:
        emit(answer)
    else:
        put(f"{answer['file']}  {size(answer['bytes'])} in {answer['duration_s']:.1f} s", 2)
    if call.remote_url is None and unseen(Path(answer["file"])):
        say("it is not seen from here: the service has a folder of its own there, such as /tmp (PrivateTmp=)")
        say(f"try: clawd backup --force {_seen_place(call)}")


def unseen(file: Path) -> bool:
    """Whether a file that was written is not there for us; one that we may not look for is taken as there."""
    try:
        file.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _seen_place(call: Invocation) -> Path:
    return Path(call.client().get("/status")["state_dir"]) / "backups" / "by-hand.db"


def _without_daemon(call: Invocation, target: Path | None, *, force: bool) -> dict[str, Any]:
    """Copy it ourselves, under the lock that a daemon would hold."""
    from datetime import UTC, datetime

    from clawd.journal.backing_up import back_up
    from clawd.jsonable import json_object
    from clawd.store.backup import place_of
    from clawd.store.lock import StateLock
    from clawd.store.opening import FILE

    state_dir = call.state_dir(holding=FILE)
    lock = StateLock.take(state_dir)
    try:
        goal = place_of(target, state_dir, datetime.now(UTC))
        return dict(json_object(back_up(state_dir / FILE, goal, force=force, progress=_progress)))
    finally:
        lock.release()


def _show(frame: dict[str, Any]) -> None:
    if frame["type"] == "progress":
        _progress(frame["done"], frame["of"])


def _progress(done: int, of: int) -> bool:
    if of and sys.stderr.isatty():
        sys.stderr.write(f"\r{min(done / of, 1):4.0%} of {size(of)}")
        sys.stderr.flush()
    return True


def _clear() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
