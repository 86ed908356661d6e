"""A daemon on another host, reached through its gateway with a token. Standard library only."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from clawd.connection import Disconnected
from clawd.errors import EXIT_AUTH, EXIT_UNREACHABLE, EXIT_USAGE, ControlError, DaemonNotRunning

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_S: Final = 10.0
_MAX_TOKEN_BYTES: Final = 4096


class BadRemote(ControlError):
    """The URL, or how the token would travel, can't be used."""

    code = "E-URL"
    exit_code = EXIT_USAGE


class NoToken(ControlError):
    """A URL was named, and no token for it."""

    code = "E-TOKEN"
    exit_code = EXIT_AUTH


class Unreachable(Disconnected):
    """There is no way to the host just now."""

    code = "E-UNREACHABLE"
    exit_code = EXIT_UNREACHABLE


class Untrusted(ControlError):
    """Who answers can't prove to be that host."""

    code = "E-TLS"
    exit_code = EXIT_UNREACHABLE


class RemoteNotRunning(DaemonNotRunning):
    """The host is there, and nobody listens on the port."""

    def __init__(self, url: str, *, why: str) -> None:
        super().__init__(url, why=why)
        self.remedy = "clawd start on that host; gateway.host and gateway.port have to match the URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where a gateway is, and what it asks for. Made by `remote_of`."""

    url: str  # without a slash at its end
    token: str
    ca_file: Path | None = None  # PEM bundle that replaces the system's authorities

    def connect(self, timeout_s: float) -> RemoteConnection | RemoteTlsConnection:
        """Return an open connection.

        Raises:
            RemoteNotRunning: refused.
            Unreachable: no such name, no route, no answer in time.
            Untrusted: the certificate does not hold, or there is no TLS.
        """
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port
        limit_s = min(CONNECT_S, timeout_s)
        connection = (
            RemoteTlsConnection(host, port, timeout=limit_s, context=self._context())
            if parts.scheme == "https"
            else RemoteConnection(host, port, timeout=limit_s)
        )
        connection.place = self.url
        connection.prefix = parts.path
        connection.headers = {"Authorization": f"Bearer {self.token}"}
        try:
            connection.connect()
        except ConnectionRefusedError as error:
            raise RemoteNotRunning(self.url, why=error.strerror or "connection refused") from error
        except ssl.SSLError as error:
            raise _untrusted(self.url, error) from error
        except OSError as error:
            why = "no answer within 10 s" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise Unreachable(
                "the daemon's host can't be reached", where=self.url, why=why, remedy="check the URL"
            ) from error
        connection.sock.settimeout(timeout_s)
        return connection

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ValueError) as error:
            raise BadRemote(
                "the file of authorities can't be read",
                where=str(self.ca_file),
                why=str(error),
                remedy="--ca-file names a PEM file of certificates",
            ) from error


class RemoteConnection(http.client.HTTPConnection):
    """HTTP/1.1 to a gateway."""

    sock: socket.socket
    place = ""
    prefix = ""
    headers: Mapping[str, str] = {}


class RemoteTlsConnection(http.client.HTTPSConnection):
    """HTTP/1.1 over TLS to a gateway, its certificate checked."""

    sock: ssl.SSLSocket
    place = ""
    prefix = ""
    headers: Mapping[str, str] = {}


def remote_of(
    url: str, environ: Mapping[str, str], *, token_file: str | None, ca_file: str | None, insecure_http: bool
) -> Remote:
    """Return the remote daemon that options and environment mean; connects to nothing.

    Args:
        url: `http[s]://HOST[:PORT][/PREFIX]`.
        environ: $CLAWD_TOKEN, and $CLAWD_CA_FILE.
        token_file: A file with the token; comes before the environment.
        ca_file: As `Remote.ca_file`.
        insecure_http: Send the token over plain HTTP to another host all the same.

    Raises:
        BadRemote: no URL of a gateway, or the token would cross a network in the clear.
        NoToken: no token, or its file can't be read.
    """
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises when it is none
    except ValueError as error:
        raise BadRemote("the URL can't be read", where=url, why=str(error)) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadRemote(
            "this is no URL of a gateway", where=url, remedy="https://HOST[:PORT], or http://127.0.0.1:7373"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise BadRemote(
            "a gateway's URL has no user, no query and no fragment",
            where=f"{parts.scheme}://{parts.hostname}",
            remedy="give the token by CLAWD_TOKEN or --token-file",
        )
    if parts.scheme == "http" and not insecure_http and not is_loopback(parts.hostname):
        raise BadRemote(
            "the token is not sent over plain HTTP to another host",
            where=url,
            why="everybody on the way could read it",
            remedy="use https://, a tunnel to 127.0.0.1, or --insecure-http",
        )
    ca = ca_file or environ.get("CLAWD_CA_FILE")
    return Remote(
        url=url.strip().rstrip("/"),
        token=_token(url, environ, token_file),
        ca_file=Path(ca).expanduser() if ca else None,
    )


def is_loopback(host: str) -> bool:
    """Whether what is sent to this name never leaves this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _token(url: str, environ: Mapping[str, str], file: str | None) -> str:
    if file is None:
        token = environ.get("CLAWD_TOKEN", "").strip()
    else:
        try:
            with Path(file).expanduser().open("rb") as opened:
                token = opened.read(_MAX_TOKEN_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NoToken("the token's file can't be read", where=file, why=str(error)) from error
    if not token:
        raise NoToken(
            "a token is needed for a remote daemon",
            where=file or url,
            why="the file is empty" if file else "CLAWD_TOKEN is not set",
            remedy="clawd tokens create NAME --scope admin on that host, then --token-file or CLAWD_TOKEN",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise NoToken("this is no token", where=file or "CLAWD_TOKEN", why="it has odd characters in it")
    return token


def _untrusted(url: str, error: ssl.SSLError) -> Untrusted:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(
            "the certificate there does not hold",
            where=url,
            why=error.verify_message,
            remedy="--ca-file names the authority that signed it",
        )
    return Untrusted(
        "there is no TLS connection", where=url, why=error.reason or str(error), remedy="http:// or https://?"
    )
