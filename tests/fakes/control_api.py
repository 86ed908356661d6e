"""A control socket that follows a script: real HTTP over a real Unix socket, and it can go away and come back."""

from __future__ import annotations

import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

from clawd.control.protocol import PREFIX, PROTOCOL_HEADER, PROTOCOL_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Frame = dict[str, Any]
AT = "2026-11-22T12:00:00+00:00"


class FakeControlApi:
    """What it holds survives `stop` and `start`, as a journal does.

    Args:
        path: The socket.
        script: Called in a thread of its own with (self, turn, text) for each accepted message; None leaves
            the turn to the test.
    """

    def __init__(self, path: Path, script: Callable[[FakeControlApi, str, str], None] | None = None) -> None:
        self.path = path
        self.script = script
        self.entries: list[Frame] = []
        self.turns: dict[str, Frame] = {}
        self.by_id: dict[str, str] = {}
        self.posts: list[Frame] = []
        self.cancelled: list[str] = []
        self.questions: dict[str, Frame] = {}  # what is asked, by id
        self.words: list[tuple[str, str, Frame]] = []  # answers: question, word, body
        self.models = ["main", "standby"]
        self.snapshot: Frame | None = None
        self.replies: dict[str, str] = {"/status": "all is well"}
        self.answers: dict[str, Frame] = {}  # to GETs of other paths, and the last frame of POSTs
        self.refuse: tuple[int, Frame] | None = None
        self.break_posts: list[Literal["before", "after"]] = []
        self.gates: set[str] = set()  # for scripts that wait for a word of the test
        self.changed = threading.Condition()
        self._streams: list[SimpleQueue[Frame | None]] = []
        self._sockets: set[socket.socket] = set()
        self._server: _Server | None = None

    def __enter__(self) -> FakeControlApi:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._server = _Server(str(self.path), self)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Go away as a killed daemon does: every connection breaks."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)
        self._server = None
        with self.changed:
            for stream in self._streams:
                stream.put(None)
            self._streams.clear()
            for sock in self._sockets:
                _cut(sock)

    # --- what a script does -----------------------------------------------------------------------------

    def send(self, **frame: Any) -> None:
        """Send a frame to every open stream."""
        with self.changed:
            for stream in self._streams:
                stream.put(frame)

    def say(self, turn: str, *pieces: str, attempt: int = 1, offset: int = 0) -> None:
        """Send pieces of a turn's text as deltas."""
        for piece in pieces:
            self.send(type="delta", turn=turn, attempt=attempt, offset=offset, text=piece)
            offset += len(piece)

    def ask(self, turn: str, subject: str = "rm -rf build", *, step: int = 2, left_s: float = 600) -> str:
        """Let a turn wait for a person's word; return the question's id."""
        with self.changed:
            self.turns[turn]["state"] = "waiting"
            deadline = datetime.now(UTC) + timedelta(seconds=left_s)
            question: Frame = {
                "id": f"approval:{turn.removeprefix('turn:')}-{step}",
                "turn": turn,
                "conversation": "terminal:1000:default",
                "asker": {"id": "1000", "name": None, "language": None},
                "about": "approval",
                "tool": "shell",
                "subject": subject,
                "asked_at": AT,
                "deadline": deadline.isoformat(),
            }
            self.questions[question["id"]] = question
            for stream in self._streams:
                stream.put({"type": "question", **question})
            self.changed.notify_all()
            return str(question["id"])

    def settle(self, question: str) -> None:
        """Let the turn go on, whoever has answered."""
        with self.changed:
            turn = self.questions.pop(question)["turn"]
            self.turns[turn]["state"] = "running"
            for stream in self._streams:
                stream.put({"type": "started", "turn": turn, "attempt": 1})
            self.changed.notify_all()

    def merge(self, turn: str, into: str) -> None:
        """Let a message become part of an earlier one's turn."""
        with self.changed:
            self.turns[turn]["merged_into"] = into

    def end(
        self, turn: str, text: str, outcome: str = "answered", exit_code: int = 0, error: str | None = None
    ) -> None:
        """Commit the end of a turn and tell it."""
        with self.changed:
            view = self.turns[turn]
            view.update(state=outcome, answer=text, model="main", exit_code=exit_code, error=error)
            for other in self.turns.values():
                if other.get("merged_into") == turn:
                    other.update(state=outcome, answer=text, model="main", exit_code=exit_code, error=error)
            self._entry(turn, "assistant", text, outcome)
            ended = {"outcome": outcome, "text": text, "model": "main", "exit_code": exit_code}
            for stream in self._streams:
                stream.put({"type": "ended", "turn": turn, **ended})
            self.changed.notify_all()

    def add_entry(self, turn: str | None, role: str, text: str, state: str = "answered") -> None:
        """Add a durable entry from elsewhere."""
        with self.changed:
            self._entry(turn, role, text, state)

    def wait(self, condition: Callable[[], bool], timeout_s: float = 30) -> None:
        """Return when the condition holds; it is looked at whenever something changed."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), "the awaited change did not come"

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    # --- what the handler does ------------------------------------------------------------------------------

    def accept(self, body: Frame) -> Frame:
        """Take a message as the daemon does: once per id."""
        with self.changed:
            self.posts.append(body)
            text = body["text"]
            if text in self.replies:
                return {"kind": "replied", "text": self.replies[text]}
            if known := self.by_id.get(body["id"]):
                return {"kind": "duplicate", "id": known}
            turn = f"turn:t-1-{len(self.turns) + 1}"
            position = sum(view["state"] in ("queued", "running") for view in self.turns.values())
            self.by_id[body["id"]] = turn
            self.turns[turn] = {"id": turn, "state": "running", "answer": "", "model": None, "exit_code": 0}
            self._entry(turn, "user", text, "queued")
            self.changed.notify_all()
        if self.script is not None:
            threading.Thread(target=self.script, args=(self, turn, text), daemon=True).start()
        return {"kind": "accepted", "id": turn, "position": position}

    def page(self, query: dict[str, str]) -> Frame:
        """Answer GET /entries."""
        limit = int(query.get("limit", "200"))
        if after := query.get("after"):
            entries = [entry for entry in self.entries if int(entry["cursor"]) > int(after)][:limit]
        else:
            entries = self.entries[-limit:]
        return {"entries": entries, "cursor": entries[-1]["cursor"] if entries else query.get("after", "")}

    def subscribe(self, after: str) -> SimpleQueue[Frame | None]:
        """Open a stream: what stands first, then what comes."""
        stream: SimpleQueue[Frame | None] = SimpleQueue()
        with self.changed:
            if self.snapshot is not None:
                stream.put({"type": "snapshot", **self.snapshot})
            for entry in self.page({"after": after})["entries"]:
                stream.put({"type": "entry", **entry})
            for question in self.questions.values():
                stream.put({"type": "question", **question})
            self._streams.append(stream)
            self.changed.notify_all()
        return stream

    def connected(self, sock: socket.socket) -> None:
        with self.changed:
            self._sockets.add(sock)

    def disconnected(self, sock: socket.socket) -> None:
        with self.changed:
            self._sockets.discard(sock)

    def word(self, question: str, word: str, body: Frame) -> bool:
        """Take an answer; return whether the question was open."""
        with self.changed:
            if question not in self.questions:
                return False
            self.words.append((question, word, body))
            self.settle(question)
            return True

    def cancel(self, turn: str) -> None:
        with self.changed:
            self.cancelled.append(turn)
            self.changed.notify_all()

    def _entry(self, turn: str | None, role: str, text: str, state: str) -> None:
        cursor = str(len(self.entries) + 1)
        entry = {"cursor": cursor, "turn": turn, "role": role, "text": text, "at": AT, "state": state}
        self.entries.append(entry)
        for stream in self._streams:
            stream.put({"type": "entry", **entry})


def _cut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, path: str, api: FakeControlApi) -> None:
        self.api = api
        super().__init__(path, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.api.connected(self.connection)

    def finish(self) -> None:
        self.server.api.disconnected(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet."""

    def do_GET(self) -> None:
        api, url = self.server.api, urlsplit(self.path)
        path = url.path.removeprefix(PREFIX)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if path == "/entries":
            if not query.get("after", "0").isdigit():
                self._answer(400, {"error": {"code": "E-REQUEST", "what": "no such cursor", "exit_code": 1}})
            else:
                self._answer(200, api.page(query))
        elif path == "/status":
            self._answer(200, {"version": "0.0.0", "route": api.models[:1], **api.answers.get(path, {})})
        elif path == "/models":
            self._answer(200, {"models": [{"name": name} for name in api.models], "names": api.models})
        elif path == "/stream":
            self._stream(api.subscribe(query.get("after", "")))
        elif path == "/questions":
            self._answer(200, {"questions": list(api.questions.values())})
        elif path.startswith("/turns/") and path.removeprefix("/turns/") in api.turns:
            self._answer(200, api.turns[path.removeprefix("/turns/")])
        elif path in api.answers:
            self._answer(200, api.answers[path])
        else:
            self._answer(404, {"error": {"code": "E-NOT-FOUND", "what": "not here", "exit_code": 1}})

    def do_POST(self) -> None:
        api = self.server.api
        path = urlsplit(self.path).path.removeprefix(PREFIX)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if path == "/messages":
            how = api.break_posts.pop(0) if api.break_posts else None
            if how == "before":
                self._break()
                return
            if api.refuse:
                self._answer(*api.refuse)
                return
            answer = api.accept(body)
            if how == "after":
                self._break()
                return
            self._answer(200, answer)
        elif path.endswith("/cancel"):
            api.cancel(path.removeprefix("/turns/").removesuffix("/cancel"))
            self._answer(200, {})
        elif path.startswith("/questions/"):
            question, _, word = path.removeprefix("/questions/").partition("/")
            how = api.break_posts.pop(0) if api.break_posts else None
            taken = how != "before" and api.word(question, word, body)
            if how is not None:
                self._break()
            elif taken:
                self._answer(200, {"text": ""})
            else:
                self._answer(409, {"error": {"code": "E-STATE", "what": "this question is no longer open"}})
        elif path in api.answers:
            self._answer(200, {"type": "done", **api.answers[path]})
        else:
            self._answer(404, {"error": {"code": "E-NOT-FOUND", "what": "not here", "exit_code": 1}})

    def _break(self) -> None:
        self.close_connection = True
        _cut(self.connection)

    def _answer(self, status: int, body: Frame) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header(PROTOCOL_HEADER, str(PROTOCOL_VERSION))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, frames: SimpleQueue[Frame | None]) -> None:
        self.send_response(200)
        self.send_header(PROTOCOL_HEADER, str(PROTOCOL_VERSION))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        while (frame := frames.get()) is not None:
            line = json.dumps(frame).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
