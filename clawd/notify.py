"""Talking to the service manager: sd_notify on a datagram socket. Without NOTIFY_SOCKET nothing is sent.

Source: sd_notify(3), systemd.service(5).
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Tells the service manager how this process is doing; never raises and never waits.

    Args:
        address: Value of NOTIFY_SOCKET: a path, or an abstract name that begins with "@". None or empty
            sends nothing.
    """

    def __init__(self, address: str | None) -> None:
        self._address = _socket_address(address)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notifier:
        """Return the notifier for this process's service manager, one that does nothing without any."""
        return cls(environ.get("NOTIFY_SOCKET"))

    def ready(self, status: str = "") -> None:
        """The start is over."""
        self._send("READY=1", *([_status(status)] if status else []))

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(_status(text))

    def stopping(self) -> None:
        """The shutdown has begun."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """Prove that this process is alive."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)  # a manager that does not read must not hold us
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("notify_failed", extra={"what": lines[0], "why": str(error)})


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Return every how many seconds the watchdog wants to be fed: half of WATCHDOG_USEC.

    None when there is no watchdog, or it watches another process (WATCHDOG_PID).
    """
    try:
        period_us = int(environ.get("WATCHDOG_USEC", "0"))
        pid = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        log.warning("watchdog_environment_unreadable", extra={"usec": environ.get("WATCHDOG_USEC")})
        return None
    return period_us / 2_000_000 if period_us > 0 and pid == os.getpid() else None


def _socket_address(address: str | None) -> str | None:
    if not address:
        return None
    if address[0] not in "/@":  # vsock:… of newer systemd, which only virtual machines get
        log.warning("notify_socket_unknown", extra={"address": address})
        return None
    return f"\0{address[1:]}" if address[0] == "@" else address


def _status(text: str) -> str:
    """Return the assignment; a line break in the text would begin another one."""
    return f"STATUS={' '.join(text.split())}"
