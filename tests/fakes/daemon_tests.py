"""A control socket that knows the tests of models and bridges alone; what it has no answer for hangs."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, Self

from clawd.control.protocol import PREFIX, PROTOCOL_HEADER, PROTOCOL_VERSION

Answers = Mapping[str, tuple[int, dict[str, Any]]]


class DaemonTests:
    """Answers until `over` is set, which also frees what hangs."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self.answers = answers
        self.over = threading.Event()
        self._server = _Server(str(path), _Handler)
        self._server.api = self

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    api: DaemonTests


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        found = self.server.api.answers.get(self.path.removeprefix(PREFIX))
        if found is None:
            self.server.api.over.wait(30)
            return
        status, value = found
        body = json.dumps(value if status == 200 else {"error": value}).encode()
        self.send_response(status)
        self.send_header(PROTOCOL_HEADER, str(PROTOCOL_VERSION))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "local"

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
