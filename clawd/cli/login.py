"""A bridge's login in the terminal: the QR code, what a phone does with it, and what the daemon makes of it."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

from clawd.bridge import CodeExpired, CodeScanned, CodeToScan, LoggedIn, LoginBridge, NumberNeeded
from clawd.cli.live import close_bridge, make_bridge
from clawd.cli.printing import clean, emit, out, say
from clawd.config.loader import load_config
from clawd.errors import BridgeNotReady, ClawdError, DaemonNotRunning, NotFound, NotPossible
from clawd.paths import config_path
from clawd.plugins import find_plugins

if TYPE_CHECKING:
    from clawd.cli.invocation import Invocation
    from clawd.client import Client

_CONNECT_S: Final = 20.0
_LOOK_S: Final = 0.1
_NO_QR: Final = 'the code as a picture needs the extra `wechat`: pip install "clawd-agent[wechat]"'


def log_in(call: Invocation, name: str, *, as_json: bool) -> None:
    """Log the bridge in, on this host; the daemon connects by itself, now or when it starts."""
    done = asyncio.run(log_in_here(call, name))
    state = _daemon_state(call, name)
    if as_json:
        emit({"bridge": name, "account": done.account, "user": done.user, "kept": done.kept, "state": state})
        return
    what = "was logged in already" if done.kept else "is logged in"
    out(f"{name} {what}: {clean(done.account)}, by {clean(done.user)}")
    if not done.kept:
        say(
            f'write to it and approve the code, or let yourself in: access.owners: ["{name}:{clean(done.user)}"]'
        )
    say(_TOLD.get(state or "", f"the daemon shows it as {state}; clawd bridges list tells more"))


_TOLD: Final = {
    "connected": "the daemon is connected",
    "": "no daemon is running; clawd start connects",
    "absent": "the running daemon has no such bridge; clawd reload adds it",
}


async def log_in_here(call: Invocation, name: str) -> LoggedIn:
    """Log the bridge in, telling each step on standard error; raises ClawdError."""
    plugins = find_plugins()
    config = load_config(config_path(call.config, call.environ), call.environ, plugins).config
    if name not in config.bridges:
        known = ", ".join(config.bridges) or "none"
        remedy = f"add `bridges: {{{name}: {{}}}}` to the configuration" if name in plugins.bridges else ""
        raise NotFound(f"no bridge is called {name}", why=f"configured: {known}", remedy=remedy)
    bridge = make_bridge(name, config, plugins, call.state_dir())
    try:
        if not isinstance(bridge, LoginBridge):
            raise NotPossible(
                f"{name} has no login",
                why=f"a bridge of type {config.bridges[name].type} is set up by its section",
            )
        async for step in bridge.login(_ask):
            match step:
                case CodeToScan():
                    _show(step)
                case CodeScanned():
                    say("scanned: confirm on the phone")
                case CodeExpired(number=number, of=of):
                    say("the code expired" + (", here is another one" if number < of else ""))
                case LoggedIn():
                    return step
    finally:
        await close_bridge(bridge)
    raise BridgeNotReady(name, "the login ended without a result")


def _show(code: CodeToScan) -> None:
    """Draw the code on standard error, and write what it holds below: a picture may not survive a terminal."""
    try:
        import segno
    except ImportError:
        say(_NO_QR)
    else:
        segno.make(code.link, error="l").terminal(out=sys.stderr, border=2, compact=True)
    say(f"scan this with the app, or open it on the phone ({code.number} of {code.of}):\n{clean(code.link)}")


async def _ask(needed: NumberNeeded) -> str:
    """Return what the person types; raises NotPossible when nobody is there."""
    wrong = "that was not the number. " if needed.wrong else ""
    sys.stderr.write(f"{wrong}the number that the phone shows: ")
    sys.stderr.flush()
    typed: str = await asyncio.to_thread(sys.stdin.readline)
    if not typed:
        raise NotPossible("the phone shows a number, and nobody is there to type it")
    return typed.strip()


def _daemon_state(call: Invocation, name: str) -> str | None:
    """Return the bridge's state in the daemon, once it is connected or some time has gone by.

    Empty: no daemon is running; `absent`: it has no such bridge.
    """
    try:
        client = call.client()
        return _wait_connected(client, name)
    except DaemonNotRunning:
        return ""
    except ClawdError as error:  # the login is done, whatever is wrong with the daemon
        return str(error)


def _wait_connected(client: Client, name: str) -> str:
    until = time.monotonic() + _CONNECT_S
    while True:
        bridges = client.get("/bridges")["bridges"]
        state: str = next((bridge["state"] for bridge in bridges if bridge["name"] == name), "absent")
        if state in ("connected", "absent") or time.monotonic() > until:
            return state
        time.sleep(_LOOK_S)
