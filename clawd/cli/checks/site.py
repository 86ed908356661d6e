"""What the checks look at, and how they tell what they found."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from clawd import paths
from clawd.cli.checks.kernel import synchronized
from clawd.client import Client
from clawd.config.loader import LoadedConfig, load_config
from clawd.config.schema import Config
from clawd.errors import ClawdError, ConfigError, ControlError
from clawd.plugins import Plugins, find_plugins

if TYPE_CHECKING:
    from clawd.models.presets import ServerPreset

Status = Literal["ok", "warn", "fail"]

PATIENCE_S: Final = 20.0
LEAST_S: Final = 0.25
"""How long one who is asked late may take, and all of them together that are asked after the time is over."""

_MOMENT_S: Final = 0.01  # for whoever comes after those
_DAEMONS_SHARE: Final = 0.5  # of the time that a daemon's status may take: others are to be asked as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. `fix` is a command or a change that helps; empty when all is well."""

    id: str
    status: Status
    evidence: str
    fix: str = ""


def ok(check: str, evidence: str) -> Finding:
    """All is well."""
    return Finding(id=check, status="ok", evidence=evidence)


def warn(check: str, evidence: str, fix: str = "") -> Finding:
    """It works, but not as it should."""
    return Finding(id=check, status="warn", evidence=evidence, fix=fix)


def fail(check: str, evidence: str, fix: str = "") -> Finding:
    """It does not work, or must not stay so."""
    return Finding(id=check, status="fail", evidence=evidence, fix=fix)


def evidence_of(error: ClawdError) -> str:
    """Return an error in one line without its remedy, which stands under `fix`."""
    place = f"{error.where}: " if error.where else ""
    return f"{place}{error.what} ({error.why})" if error.why else f"{place}{error.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the host says; handed in, so that a test can be another host."""

    now: Callable[[], float] = time.time
    disk: Callable[[Path], tuple[int, int]] = lambda path: shutil.disk_usage(path)[
        ::2
    ]  # total and free bytes
    inodes: Callable[[Path], tuple[int, int]] = lambda path: (
        (found := os.statvfs(path)).f_files,
        found.f_favail,
    )  # total and free; (0, 0) where the file system has no such limit
    writable: Callable[[Path], bool] = lambda path: os.access(path, os.W_OK | os.X_OK)  # by who asks
    read_only: Callable[[Path], bool] = lambda path: bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    file_limit: Callable[[], int] = lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    mounts: Callable[[], str] = lambda: Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    root: Path = Path("/")  # where systemd's files are below
    proc: Path = Path("/proc")
    synchronized: Callable[[], bool | None] = synchronized
    monotonic: Callable[[], float] = time.monotonic
    model_servers: tuple[ServerPreset, ...] | None = None  # on loopback; None: the usual ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One installation: its configuration if that loads, its places, its daemon if one answers."""

    environ: Mapping[str, str]
    host: Host
    plugins: Plugins
    config_path: Path | None
    config_named: str | None  # the value of --config
    loaded: LoadedConfig | None
    config_error: ConfigError | None
    state_dir: Path
    sockets: tuple[Path, ...]  # where clients look
    status: Mapping[str, Any] | None  # the daemon's answer
    no_status: ControlError | ClawdError | None  # why there is none
    limit_s: float = PATIENCE_S  # how long all that is asked of others may take
    until: float | None = (
        None  # when that is over, by the host's monotonic clock; None: it begins anew each time
    )

    def left_s(self) -> float:
        """Return how long an answer may be waited for.

        It is a little also when the time is over, so that who comes late is asked all the same. A daemon that hangs may be
        asked many things: that little is for all of them together.
        """
        if self.until is None:
            return self.limit_s
        left_s = self.until - self.host.monotonic()
        return max(left_s, min(LEAST_S, LEAST_S + left_s), _MOMENT_S)

    def client(self) -> Client:
        """Return a client for the daemon that waits no longer than is left."""
        left_s = self.left_s()
        return Client(self.sockets, timeout_s=left_s, silence_s=left_s)

    @property
    def config(self) -> Config:
        """The configuration, or the defaults when it does not load."""
        return self.loaded.config if self.loaded else Config()


def survey(
    socket: str | None,
    config: str | None,
    environ: Mapping[str, str],
    host: Host | None = None,
    *,
    limit_s: float | None = None,
) -> Site:
    """Return the installation that these options and this environment mean.

    With `limit_s` all that is asked of others, this daemon included, is over so many seconds from now.
    """
    host = host or Host()
    until = None if limit_s is None else host.monotonic() + limit_s
    plugins = find_plugins()
    path, loaded, wrong = None, None, None
    try:
        path = paths.config_path(config, environ)
        loaded = load_config(path, environ, plugins)
    except ConfigError as error:
        wrong = error
    configured = (
        loaded.config.state_dir if loaded else paths.configured_state_dir(path, environ) if path else None
    )
    daemons_s = PATIENCE_S if limit_s is None else limit_s * _DAEMONS_SHARE
    sockets, status, silent = _ask_daemon(socket, config if path else None, environ, daemons_s)
    return Site(
        environ=environ,
        host=host,
        plugins=plugins,
        config_path=path,
        config_named=config,
        loaded=loaded,
        config_error=wrong,
        state_dir=paths.state_dir(configured, environ),
        sockets=sockets,
        status=status,
        no_status=silent,
        limit_s=limit_s or PATIENCE_S,
        until=until,
    )


def _ask_daemon(
    socket: str | None, config: str | None, environ: Mapping[str, str], limit_s: float
) -> tuple[tuple[Path, ...], Mapping[str, Any] | None, ClawdError | None]:
    try:
        client = Client(paths.socket_candidates(socket, config, environ), timeout_s=limit_s)
    except ClawdError as error:
        return (), None, error
    try:
        return client.sockets, client.get("/status"), None
    except ClawdError as error:
        return client.sockets, None, error
