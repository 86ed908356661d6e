"""One HTTP exchange with a daemon: the connection, the answer, and what can go wrong. Standard library only."""

from __future__ import annotations

import http.client
import json
import os
import socket
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from clawd.control.protocol import PROTOCOL_HEADER, PROTOCOL_VERSION
from clawd.errors import (
    EXIT_AUTH,
    EXIT_FAILED,
    EXIT_TRY_LATER,
    EXIT_UNREACHABLE,
    ClawdError,
    ConfigProblem,
    ControlError,
    ProtocolMismatch,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.response import JsonObject

_EXITS = {401: EXIT_AUTH, 403: EXIT_AUTH, 429: EXIT_TRY_LATER, 503: EXIT_TRY_LATER}


class RemoteError(ClawdError):
    """What the daemon refused, in its own words, with its code and the exit code it asks for.

    `problems` has one item per mistake when a configuration was refused.
    """

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        # The gateway's own refusals have a `message`; its codes are words for programs.
        super().__init__(
            str(body.get("what") or body.get("message") or f"the daemon answered {status}"),
            where=str(body.get("where") or ""),
            why=str(body.get("why") or ""),
            remedy=str(body.get("try") or ""),
        )
        self.status = status
        self.code = "E-REMOTE" if "message" in body else str(body.get("code") or "E-REMOTE")
        self.exit_code = _int(body.get("exit_code"), _EXITS.get(status, EXIT_FAILED))
        self.problems = tuple(_problem(item) for item in body.get("problems") or ())


class SocketDenied(ControlError):
    """A daemon listens, but this user may not talk to it."""

    code = "E-DENIED"
    exit_code = EXIT_AUTH


class Disconnected(ControlError):
    """The daemon went away before it had answered, or in the middle of a stream."""

    code = "E-DISCONNECTED"
    exit_code = EXIT_UNREACHABLE


class NoAnswer(ControlError):
    """The daemon is there and silent."""

    code = "E-NO-ANSWER"
    exit_code = EXIT_TRY_LATER


class Connection(Protocol):
    """HTTP/1.1 to one daemon; of `http.client.HTTPConnection` what is used of it."""

    sock: Any  # a socket, plain or TLS
    place: str  # for people
    prefix: str  # before every path
    headers: Mapping[str, str]  # of every request

    def request(
        self, method: str, url: str, body: bytes | BinaryIO | None = None, headers: Mapping[str, str] = ...
    ) -> None: ...
    def getresponse(self) -> http.client.HTTPResponse: ...
    def close(self) -> None: ...


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    sock: socket.socket
    prefix = ""
    headers: Mapping[str, str] = {}

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("clawd", timeout=timeout_s)
        self.place = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        try:
            self.sock.connect(self.place)
        except BaseException:
            self.sock.close()
            raise


def exchange(
    connection: Connection, method: str, target: str, body: JsonObject | BinaryIO | None, limit_s: float
) -> http.client.HTTPResponse:
    """Send one request and return its answer, the status already judged."""
    headers = {
        PROTOCOL_HEADER: str(PROTOCOL_VERSION),
        "Accept": "application/json",
        **connection.headers,
    }
    data: bytes | BinaryIO | None = None
    if body is not None and not isinstance(body, dict):
        headers["Content-Type"] = "application/octet-stream"
        headers["Content-Length"] = str(os.fstat(body.fileno()).st_size)
        data = body
    elif body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    try:
        connection.request(method, connection.prefix + target, body=data, headers=headers)
        response = connection.getresponse()
    except TimeoutError as error:
        raise silent(connection.place, limit_s) from error
    except (OSError, http.client.HTTPException) as error:
        raise gone(connection.place, error) from error
    theirs = response.getheader(PROTOCOL_HEADER)
    if theirs is None:
        raise ControlError(
            "what answers there is not a clawd daemon",
            where=connection.place,
            why=f"its answer ({response.status}) has no {PROTOCOL_HEADER}",
            remedy="choose the socket with --socket, or the gateway with --url",
        )
    if theirs != str(PROTOCOL_VERSION):
        raise ProtocolMismatch(_int(theirs, 0), PROTOCOL_VERSION)
    if response.status >= 400:
        told = _error_in(read_answer(response, connection.place, limit_s))
        if connection.headers and not told.get("where"):
            told["where"] = connection.place
        if response.status == http.client.UNAUTHORIZED:  # the gateway's own advice is for who writes HTTP
            told["try"] = "another token, by --token-file or CLAWD_TOKEN; clawd tokens list on that host"
        raise RemoteError(response.status, told)
    return response


def _error_in(data: bytes) -> dict[str, Any]:
    """Return the error an answer tells of; what the HTTP layer itself answers has no such form."""
    try:
        error = json.loads(data)["error"]
    except (ValueError, KeyError, TypeError):
        return {"try": "clawd logs"}
    return error if isinstance(error, dict) else {}


def read_answer(response: http.client.HTTPResponse, place: str, limit_s: float) -> bytes:
    """Return the whole body of an answer."""
    try:
        return response.read()
    except TimeoutError as error:
        raise silent(place, limit_s) from error
    except (OSError, http.client.HTTPException) as error:
        raise gone(place, error) from error


def parse(data: bytes, place: str) -> dict[str, Any]:
    """Return the JSON object that a daemon sent; raises ControlError for anything else."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ControlError("the daemon's answer can't be read", where=place, why=str(error)) from error
    if not isinstance(value, dict):
        raise ControlError(
            "the daemon's answer can't be read", where=place, why=f"expected an object, got {value!r:.80}"
        )
    return value


def gone(place: str, error: Exception) -> Disconnected:
    """Return the error for a connection that ended too early."""
    return Disconnected(
        "the daemon went away before it answered",
        where=place,
        why=str(error) or type(error).__name__,
        remedy="https://, if its gateway speaks TLS" if place.startswith("http://") else "clawd status",
    )


def silent(place: str, limit_s: float) -> NoAnswer:
    """Return the error for a daemon that said nothing for so long."""
    return NoAnswer(
        "the daemon does not answer", where=place, why=f"silent for {limit_s:.0f} s", remedy="clawd logs"
    )


def _problem(item: Mapping[str, Any]) -> ConfigProblem:
    return ConfigProblem(
        path=str(item.get("path") or ""),
        key=str(item.get("key") or ""),
        message=str(item.get("message") or ""),
        line=_int(item.get("line"), 0),
        column=_int(item.get("column"), 0),
        remedy=str(item.get("remedy") or ""),
        snippet=str(item.get("snippet") or ""),
    )


def _int(value: object, default: int) -> int:
    try:
        return int(str(value))
    except ValueError:
        return default
