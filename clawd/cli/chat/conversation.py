"""The connection to one conversation: sends, follows, and comes back when the daemon does.

A message carries an id made here, so that sending it again after a broken connection never makes a
second turn; and the stream goes on behind the last entry that was read, so nothing is missed.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from clawd.cli.chat.events import OUTCOMES, Connected, GaveUp, Lost, Received, Signal
from clawd.client import Disconnected, NoAnswer, RemoteError
from clawd.errors import EXIT_TRY_LATER, ClawdError, ControlError, DaemonNotRunning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clawd.cli.chat.answering import Word
    from clawd.cli.chat.events import Ended, Frame
    from clawd.client import Client, Stream

PATIENCE_S: Final = 60.0
"""How long a lost daemon is looked for: a restart takes seconds, a reboot under a minute."""

BACKLOG: Final = 20
"""How many old entries a first look shows."""

MISSED: Final = 200
"""How many entries of those that arrived since the last look are shown at most."""

_CHOOSES_MODEL: Final = re.compile(r"\s*/model\s+\S", re.IGNORECASE)
_DELAYS_S: Final = (0.1, 0.2, 0.4, 0.8, 1.5)
_CONFLICT: Final = 409
_PASSING: Final = (Disconnected, NoAnswer, DaemonNotRunning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a message: a turn that answers it, or a reply at once."""

    turn: str | None
    position: int = 0  # turns before it in this conversation
    text: str = ""  # the reply, when there is no turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a message may ask for: models and routes, and what it may begin with to take a route."""

    models: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What arrived since the last look, oldest first; `earlier`: there is more before it."""

    entries: list[Frame]
    cursor: str
    earlier: bool = False


class Conversation:
    """One conversation of this user; safe to use from several threads.

    Args:
        client: The control client.
        name: The conversation's name.
        patience_s: How long a daemon that went away is looked for.
        language: What the user's environment speaks, such as "zh"; None leaves it to the daemon.
        model: The model or route that messages ask for, until one of them is a `/model NAME`.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        patience_s: float = PATIENCE_S,
        language: str | None = None,
        model: str | None = None,
    ) -> None:
        self._client = client
        self.name = name
        self._patience_s = patience_s
        self._language = language
        self._model = model

    def send(self, text: str) -> Receipt:
        """Return once the daemon has committed the message; it is sent again while the daemon is away.

        Raises:
            RemoteError: the daemon refused it.
            ControlError: the daemon stayed away, or what answers is not ours.
        """
        body: dict[str, Any] = {"text": text, "conversation": self.name, "id": uuid4().hex}
        if self._language:
            body["language"] = self._language
        if _CHOOSES_MODEL.match(text):  # what is said last holds
            self._model = None
        if self._model:
            body["model"] = self._model
        delays = _delays(self._patience_s)
        while True:
            try:
                return _receipt(self._client.post("/messages", body))
            except _PASSING:
                delay_s = next(delays, None)
                if delay_s is None:
                    raise
                time.sleep(delay_s)

    def backlog(self, cursor: str) -> Backlog:
        """Return what came after the cursor; without one, or with one of another journal, the newest few."""
        if cursor:
            try:
                return self._after(cursor)
            except RemoteError as error:
                if error.status != 400:
                    raise
        page = self._client.get("/entries", conversation=self.name, limit=BACKLOG + 1)
        entries = _frames(page)
        return Backlog(
            entries=entries[-BACKLOG:], cursor=str(page.get("cursor") or ""), earlier=len(entries) > BACKLOG
        )

    def _after(self, cursor: str) -> Backlog:
        entries: deque[Frame] = deque(maxlen=MISSED)
        count = 0
        while True:
            page = self._client.get("/entries", conversation=self.name, after=cursor)
            cursor = str(page.get("cursor") or cursor)
            new = _frames(page)
            entries += new
            count += len(new)
            if not new:
                return Backlog(entries=list(entries), cursor=cursor, earlier=count > MISSED)

    def end_of(self, turn: str) -> Frame | None:
        """Return the `ended` frame of a turn, None while it is open."""
        return _ended(turn, self._client.get(f"/turns/{turn}"))

    def standing(self, turn: str) -> Frame | None:
        """Return that a message became part of another's turn, else as `end_of`."""
        view = self._client.get(f"/turns/{turn}")
        if into := view.get("merged_into"):
            return {"type": "merged", "turn": turn, "into": str(into)}
        return _ended(turn, view)

    def asking(self) -> str | None:
        """Return the turn of this conversation that waits for a person's word, None when none does."""
        questions = self._client.get("/questions", conversation=self.name, limit=1)["questions"]
        return str(questions[0]["turn"]) if questions else None

    def answer(self, question: str, word: Word) -> str:
        """Give a person's word on a question; return what the daemon says to it.

        Raises:
            RemoteError: the question waits no more, or it is not ours to answer.
            ControlError: the daemon stayed away, or what answers is not ours.
        """
        path = f"/questions/{question}/{'deny' if word == 'deny' else 'approve'}"
        delays = _delays(self._patience_s)
        again = False
        while True:
            try:
                answer = self._client.post(path, {"always": ""} if word == "always" else {})
                return str(answer.get("text") or "")
            except RemoteError as error:
                if again and error.status == _CONFLICT:
                    return ""  # the answer whose receipt got lost was taken
                raise
            except _PASSING:
                delay_s = next(delays, None)
                if delay_s is None:
                    raise
                again = True
                time.sleep(delay_s)

    def explained(self, event: Ended) -> Ended:
        """Return the end of a failed turn with the operator's line about it; other ends as they are."""
        if event.outcome not in ("failed", "dead"):
            return event
        try:
            view = self._client.get(f"/turns/{event.turn}")
        except ClawdError:
            return event  # the news is told all the same
        return replace(event, why=str(view.get("error") or ""))

    def cancel(self, turn: str) -> None:
        """Ask the daemon to end a turn; one that is over already is no error."""
        try:
            self._client.post(f"/turns/{turn}/cancel")
        except RemoteError as error:
            if error.status >= 500:
                raise

    def choices(self) -> Choices:
        """Return what a message may ask for."""
        found = self._client.get("/models")
        return Choices(
            models=tuple(str(name) for name in found.get("names") or ()),
            prefixes=tuple(str(prefix) for prefix in found.get("prefixes") or ()),
        )

    def greeting(self) -> str:
        """Return one line about who answers; empty when the daemon does not say."""
        try:
            status = self._client.get("/status")
        except RemoteError:
            return ""
        models = ", ".join(str(name) for name in status.get("route") or [])
        return " · ".join(
            part
            for part in (
                f"clawd {status.get('version', '')}".strip(),
                models,
                self.name,
                "/help, Ctrl-D leaves",
            )
            if part
        )

    def follow(self, cursor: Callable[[], str], sink: Callable[[Signal], None]) -> Follower:
        """Return a started follower of the stream.

        Args:
            cursor: Tells how far the conversation was read; asked before each connection.
            sink: Takes the signals, in the follower's thread.
        """
        follower = Follower(self._client, self.name, cursor, sink, self._patience_s)
        follower.start()
        return follower


class Follower(threading.Thread):
    """Reads the stream in its own thread, and opens it again when the daemon was away.

    The first connection is tried once: with no daemon at all there is nothing to wait for.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        cursor: Callable[[], str],
        sink: Callable[[Signal], None],
        patience_s: float,
    ) -> None:
        super().__init__(name="chat-follower", daemon=True)
        self._client = client
        self._conversation = name
        self._cursor = cursor
        self._sink = sink
        self._patience_s = patience_s
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._stream: Stream | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the thread, wherever it waits."""
        self._closing.set()
        self._wanted.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()

    def retry(self) -> None:
        """Try again after `GaveUp`."""
        self._wanted.set()

    def run(self) -> None:
        """Follow until closed."""
        try:
            self._follow()
        finally:
            if not self._closing.is_set():  # a bug: whoever waits for signals must not wait for ever
                self._sink(GaveUp(ControlError("the reader of the stream broke down")))

    def _follow(self) -> None:
        connected = False
        delays = _delays(self._patience_s)
        while not self._closing.is_set():
            try:
                with self._open() as stream:
                    self._sink(Connected(again=connected))
                    connected = True
                    for frame in stream:
                        delays = _delays(self._patience_s)  # not before: it may open and break at once
                        if frame.get("type") == "error":
                            raise RemoteError(500, frame.get("error") or {})
                        self._sink(Received(frame))
            except ClawdError as error:
                if self._closing.is_set():
                    return
                delay_s = next(delays, None) if connected and _passes(error) else None
                if delay_s is None:
                    self._sink(GaveUp(error))
                    self._wanted.wait()
                    self._wanted.clear()
                    delays = _delays(self._patience_s)
                else:
                    self._sink(Lost(error.why or error.what))
                    self._closing.wait(delay_s)

    def _open(self) -> Stream:
        stream = self._client.stream("/stream", conversation=self._conversation, after=self._cursor() or None)
        with self._lock:
            self._stream = stream
        if self._closing.is_set():
            stream.close()
        return stream


def _passes(error: ClawdError) -> bool:
    """Whether waiting may help: the daemon restarts, or is not ready yet."""
    if isinstance(error, RemoteError):
        return error.exit_code == EXIT_TRY_LATER
    return isinstance(error, _PASSING)


def _delays(patience_s: float) -> Iterator[float]:
    """Yield waiting times until the patience is used up, the last one as often as it takes."""
    deadline = time.monotonic() + patience_s
    step = 0
    while time.monotonic() < deadline:
        yield _DELAYS_S[min(step, len(_DELAYS_S) - 1)]
        step += 1


def _ended(turn: str, view: dict[str, Any]) -> Frame | None:
    """Return the `ended` frame of a turn's view, None while it is open."""
    if view.get("state") not in OUTCOMES:
        return None
    return {
        "type": "ended",
        "turn": turn,
        "outcome": view["state"],
        "text": view.get("answer") or "",
        "model": view.get("model"),
        "exit_code": view.get("exit_code"),
        "merged_into": view.get("merged_into"),
        "notice": view.get("notice") or "",
    }


def _receipt(answer: dict[str, Any]) -> Receipt:
    kind, turn, position = answer.get("kind"), answer.get("id"), answer.get("position")
    if kind in ("accepted", "duplicate"):
        place = position if isinstance(position, int) else 0
        return Receipt(turn=str(turn) if turn else None, position=place)
    if kind == "replied":
        return Receipt(turn=None, text=str(answer.get("text") or ""))
    raise ControlError(f"the daemon gave an answer of an unknown kind: {kind!r}", remedy="clawd --version")


def _frames(page: dict[str, Any]) -> list[Frame]:
    return [{"type": "entry", **entry} for entry in page.get("entries") or []]
