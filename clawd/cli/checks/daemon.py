"""Does the daemon answer, on the socket and on the gateway's port?"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
import struct
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from clawd import __version__, paths
from clawd.cli.checks.site import Finding, evidence_of, fail, ok, warn
from clawd.errors import ConfigError, DaemonNotRunning
from clawd.ports import holder_of_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clawd.cli.checks.site import Site

_PEER: Final = struct.Struct("3i")  # struct ucred: process, user, group


def check_daemon(site: Site) -> Iterator[Finding]:
    """A daemon of this version runs with the configuration as it stands in the file."""
    check = "daemon"
    status = site.status
    if status is None:
        error = site.no_status
        if error is None or isinstance(error, DaemonNotRunning):
            yield warn(check, "not running", "clawd start --detach")
        else:
            yield fail(check, evidence_of(error), error.remedy)
        return
    evidence = f"version {status['version']}, process {status['pid']}, {status['state']}"
    if status["version"] != __version__:
        fix = "clawd stop, then clawd start --detach"
        yield warn(check, f"{evidence}; this command is version {__version__}", fix)
    else:
        yield ok(check, evidence)
    if status.get("config_error"):
        yield fail(check, f"it refused the last reload: {status['config_error']}", "clawd config check")


def check_socket(site: Site) -> Iterator[Finding]:
    """The control socket can be made, is the daemon's, and only those may use it who should."""
    check = "socket"
    try:
        daemons = paths.socket_path(site.config.state_dir, site.environ)
    except ConfigError as error:
        yield fail(check, error.why, error.remedy)
        return
    places = dict.fromkeys((*site.sockets, daemons))
    found = [finding for path in places for finding in _one_socket(site, path)]
    yield from found or [ok(check, f"{daemons}: made when the daemon starts")]


def _one_socket(site: Site, path: Path) -> Iterator[Finding]:
    check = "socket"
    try:
        status = path.lstat()
    except PermissionError:
        yield warn(
            check,
            f"you may not look into {path.parent}",
            "join the group clawd: sudo usermod -aG clawd $USER",
        )
        return
    except OSError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        yield fail(check, f"{path} is not a socket", f"mv {path} {path}.old")
        return
    mode = stat.S_IMODE(status.st_mode)
    allowed = 0o660 if path == paths.SYSTEM_SOCKET else 0o600
    if mode & ~allowed & 0o777:
        yield fail(
            check,
            f"{path} is open to others (mode {mode:o}, owner uid {status.st_uid})",
            f"chmod {allowed:o} {path}",
        )
        return
    answer, pid = _connect(path, site.left_s())
    if answer == 0:
        yield ok(check, f"{path} answers (mode {mode:o}, owner uid {status.st_uid}, process {pid})")
    elif answer == errno.ECONNREFUSED:
        yield warn(check, f"{path} is left from a daemon that died", "clawd start removes it")
    elif answer in (errno.EACCES, errno.EPERM):
        yield fail(
            check,
            f"{path} belongs to uid {status.st_uid}, you may not use it",
            "sudo usermod -aG clawd $USER",
        )
    else:
        yield fail(check, f"{path}: {os.strerror(answer)}", "clawd stop, then clawd start --detach")


def _connect(path: Path, limit_s: float) -> tuple[int, int]:
    """Return the error number, 0 for none, and who listens there. Source: unix(7), SO_PEERCRED."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(limit_s)
        try:
            answer = probe.connect_ex(str(path))
        except TimeoutError:
            return errno.ETIMEDOUT, 0
        if answer:
            return answer, 0
        peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return 0, int(_PEER.unpack(peer)[0])


def check_gateway(site: Site) -> Iterator[Finding]:
    """The running daemon's gateway answers; without one its port is free."""
    check = "gateway"
    gateway = site.config.gateway
    if site.status is not None:
        url = site.status.get("gateway")
        odd = _elsewhere(site, url)
        yield odd or (_healthy(check, str(url), site.left_s()) if url else ok(check, "off"))
        return
    if gateway.port is False:
        yield ok(check, "off")
        return
    try:
        free = _bindable(gateway.host, gateway.port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        holder = holder_of_port(gateway.port, site.host.proc) if taken else None
        why = (
            f"is used by {holder or 'another program'}"
            if taken
            else f"can't be bound: {error.strerror or error}"
        )
        which = (
            f"end process {holder.pid}" if holder else f"sudo ss -ltnp 'sport = :{gateway.port}' tells which"
        )
        fix = f"{which}, or set gateway.port" if taken else "set gateway.host"
        if taken and "port" not in gateway.model_fields_set:
            yield warn(check, f"{gateway.host}:{gateway.port} {why}; any free port will be used instead", fix)
        else:
            yield fail(check, f"{gateway.host}:{gateway.port} {why}", fix)
    else:
        yield ok(check, f"{free} is free")


def _elsewhere(site: Site, url: str | None) -> Finding | None:
    """Return that the daemon's gateway is not where its configuration has it; None where it is, or does not answer."""
    port, check = site.config.gateway.port, "gateway"
    moved = site.status.get("gateway_moved_from") if site.status is not None else None
    if moved is not None and url and (found := _healthy(check, url, site.left_s())).status == "ok":
        holder = holder_of_port(moved, site.host.proc)
        now = f"; {holder} uses it" if holder else ""
        fix = "end what uses it and clawd restart, or set gateway.port"
        return warn(check, f"{found.evidence}, as port {moved} was taken when it started{now}", fix)
    theirs = site.status.get("config_path") if site.status is not None else None
    if site.loaded is None or theirs != str(site.config_path) or moved is not None:
        return None
    any_port = port == 0 and port is not False
    if (url is None) != (port is False) or (url and not any_port and urlsplit(url).port != port):
        wanted = "off" if port is False else f"at port {port}"
        return warn(check, f"{url or 'off'}; the file has it {wanted} by now", "clawd restart")
    return None


def _healthy(check: str, url: str, limit_s: float) -> Finding:
    # The environment's proxy has no business between this host and itself.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:"):
        # Its certificate is for the name that others know it by, and nothing secret is sent.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(f"{url.rstrip('/')}/healthz", timeout=limit_s) as response:
            return ok(check, f"{url} answers {response.status}")
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return fail(check, f"{url} does not answer: {reason}", "clawd logs --level error")


def _bindable(host: str, port: int) -> str:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
    return f"{host}:{port}"
