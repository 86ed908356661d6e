"""The one client of the control protocol, standard library only, so that a command starts in a blink.

It speaks to the socket of a daemon on this host, or to the gateway of one elsewhere (`clawd.remote`).

Every request opens its own connection: a `Client` may be used from several threads at once.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Self
from urllib.parse import quote, urlencode

from clawd.connection import (
    Disconnected,
    NoAnswer,
    RemoteError,
    SocketDenied,
    UnixConnection,
    exchange,
    gone,
    parse,
    read_answer,
    silent,
)
from clawd.control.protocol import PREFIX
from clawd.errors import DaemonNotRunning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from clawd.connection import Connection
    from clawd.remote import Remote
    from clawd.response import JsonObject

UPLOAD_S = 300.0
"""How long a file may take."""

ANSWER_S = 30.0
"""How long a request may take; `wait` in a query is added to it."""

GLANCE_S = 5.0
"""How long a look at the state may take where a person waits: a daemon that works gives it at once."""

SILENCE_S = 45.0
"""Three pings of the daemon, which come every 15 s."""

__all__ = ["Client", "Disconnected", "NoAnswer", "RemoteError", "SocketDenied", "Stream", "segment"]

Query = str | int | float | bool | None


class Stream:
    """Frames of an NDJSON stream, parsed, in order.

    Iteration ends after `close`, which may be called from another thread and unblocks a waiting one.
    Every other end raises: Disconnected when the daemon goes away, NoAnswer when it falls silent.
    """

    def __init__(self, connection: Connection, response: http.client.HTTPResponse, silence_s: float) -> None:
        connection.sock.settimeout(silence_s)
        self._connection = connection
        self._silence_s = silence_s
        self._response = response
        self._sock = connection.sock
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            while not self._closed.is_set():
                line = self._line()
                if self._closed.is_set():
                    return
                if not line.endswith(b"\n"):
                    raise Disconnected("the daemon ended the connection", where=self._connection.place)
                yield parse(line, self._connection.place)
        finally:
            self._response.close()
            self._connection.close()

    def close(self) -> None:
        """End the iteration, wherever it waits; calling it again does nothing."""
        self._closed.set()
        with contextlib.suppress(OSError):  # already gone, which is what was asked for
            # Of the plain socket: that of a TLS one would change it under the other thread's hands.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
        self._response.close()
        self._connection.close()

    def _line(self) -> bytes:
        try:
            return self._response.readline()
        except TimeoutError as error:
            raise silent(self._connection.place, self._silence_s) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            if self._closed.is_set():
                return b""  # ValueError: a file that `close` took away under our hands
            raise gone(self._connection.place, error) from error


class Client:
    """Speaks to the daemon behind the first of these sockets that answers, or to a remote one.

    Args:
        sockets: Paths to try, best first.
        remote: A gateway to speak to; no socket is tried then.
        timeout_s: How long an ordinary request may take.
        silence_s: A stream that shows nothing for this long is broken.
    """

    def __init__(
        self,
        sockets: Sequence[Path] = (),
        *,
        remote: Remote | None = None,
        timeout_s: float = ANSWER_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._sockets = tuple(sockets)
        self._remote = remote
        self._timeout_s = timeout_s
        self._silence_s = silence_s

    @classmethod
    def find(
        cls,
        socket: str | None,
        config: str | None,
        environ: Mapping[str, str],
        *,
        timeout_s: float = ANSWER_S,
    ) -> Client:
        """Return a client for the places where this user's daemon may listen; connects to none yet."""
        from clawd.paths import socket_candidates

        return cls(socket_candidates(socket, config, environ), timeout_s=timeout_s)

    @property
    def sockets(self) -> tuple[Path, ...]:
        """The paths it tries, best first."""
        return self._sockets

    @property
    def places(self) -> tuple[str, ...]:
        """What names the daemon: the URL, or the paths it tries."""
        return (self._remote.url,) if self._remote is not None else tuple(map(str, self._sockets))

    def get(self, path: str, *, timeout_s: float | None = None, **query: Query) -> dict[str, Any]:
        """Return the answer to a read, for example `get("/turns", limit=5)`; a query of None is left out.

        `timeout_s` is for this one request.

        Raises:
            RemoteError: the daemon refused.
            DaemonNotRunning, SocketDenied: no connection.
            ProtocolMismatch: another version answered.
            Disconnected, NoAnswer: the daemon went away or is stuck.
        """
        return self._request("GET", _target(path, query), None, _wait(query), timeout_s)

    def post(
        self, path: str, body: JsonObject | None = None, *, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Return the answer to a change; raises as `get`. After Disconnected it may have happened."""
        return self._request("POST", _target(path, {}), body or {}, 0.0, timeout_s)

    def upload(
        self, path: str, file: BinaryIO, *, timeout_s: float = UPLOAD_S, **query: Query
    ) -> dict[str, Any]:
        """Return the answer to a file, sent from an open one as it is; raises as `get`."""
        connection = self._connect(timeout_s)
        try:
            response = exchange(connection, "POST", _target(path, query), file, timeout_s)
            return parse(read_answer(response, connection.place, timeout_s), connection.place)
        finally:
            connection.close()

    def stream(self, path: str, *, post: JsonObject | None = None, **query: Query) -> Stream:
        """Return an open stream of frames, of a read or, with a body to `post`, of a change; raises as `get`."""
        connection = self._connect(self._timeout_s)
        try:
            method = "GET" if post is None else "POST"
            response = exchange(connection, method, _target(path, query), post, self._timeout_s)
            return Stream(connection, response, self._silence_s)
        except BaseException:
            connection.close()
            raise

    def result(
        self,
        path: str,
        *,
        post: JsonObject | None = None,
        each: Callable[[dict[str, Any]], None] = lambda _: None,
        **query: Query,
    ) -> dict[str, Any]:
        """Return the `done` frame of a stream that ends; raises as `get`, also what its `error` frame says.

        `each` is given every frame before it.
        """
        with self.stream(path, post=post, **query) as frames:
            for frame in frames:
                kind = frame.pop("type", "")
                if kind == "done":
                    return frame
                if kind == "error":
                    raise RemoteError(200, frame.get("error") or {})
                each({"type": kind, **frame})
        raise AssertionError("a stream ends with its last frame or an error")

    def _request(
        self, method: str, target: str, body: JsonObject | None, wait_s: float, timeout_s: float | None = None
    ) -> dict[str, Any]:
        limit_s = (self._timeout_s if timeout_s is None else timeout_s) + wait_s
        connection = self._connect(limit_s)
        try:
            response = exchange(connection, method, target, body, limit_s)
            return parse(read_answer(response, connection.place, limit_s), connection.place)
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> Connection:
        if self._remote is not None:
            return self._remote.connect(timeout_s)
        denied: Path | None = None
        reasons: dict[Path, str] = {}
        for path in self._sockets:
            connection = UnixConnection(str(path), timeout_s)
            try:
                connection.connect()
            except PermissionError:
                denied = denied or path
            except OSError as error:
                reasons[path] = error.strerror or str(error)
            else:
                return connection
        if denied is not None:
            raise SocketDenied(
                "you may not talk to this daemon",
                where=str(denied),
                why="permission denied on its socket",
                remedy="run as the daemon's user, or join the group clawd",
            )
        raise DaemonNotRunning(", ".join(str(path) for path in self._sockets), why=_why(reasons))


def _why(reasons: Mapping[Path, str]) -> str:
    """Return why nothing answers: a reason that all places share once, else each with its place."""
    shared = set(reasons.values())
    return shared.pop() if len(shared) == 1 else "; ".join(f"{path}: {why}" for path, why in reasons.items())


def segment(text: str) -> str:
    """Return text as one segment of a path, whatever a person typed."""
    return quote(text, safe=":") or "%20"


def _target(path: str, query: Mapping[str, Query]) -> str:
    pairs = {key: _text(value) for key, value in query.items() if value is not None}
    return PREFIX + path + (f"?{urlencode(pairs)}" if pairs else "")


def _text(value: Query) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wait(query: Mapping[str, Query]) -> float:
    wait = query.get("wait")
    return float(wait) if isinstance(wait, int | float) else 0.0
