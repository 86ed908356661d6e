"""The error tree: a class exists where a caller acts differently, and carries the datum it needs.

Every error is told to people in four lines (what, where, why, try); `four_lines` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.money import money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from clawd.response import ModelAttempt, PassedOver

    _Stamp = tuple[int, int, int, int] | None

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_RUNNING = 3
EXIT_AUTH = 4
EXIT_UNREACHABLE = 69
EXIT_LOCKED = 73
EXIT_JOURNAL = 74
EXIT_TRY_LATER = 75
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


class ClawdError(Exception):
    """Something failed in a way that clawd understands.

    Args:
        what: What failed, one sentence without a full stop.
        where: File with line, component or address; empty when there is no better place than the caller.
        why: The evidence: a status, the other side's own words, an errno.
        remedy: One command or one change that is likely to help.
    """

    code: str = "E-CLAWD"  # constant in each class but for errors told by another process
    exit_code: int = EXIT_FAILED

    def __init__(self, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        """One line for logs; people get `four_lines`."""
        remedy = f"try: {self.remedy}" if self.remedy.startswith("clawd ") else self.remedy  # else a sentence
        detail = "; ".join(part for part in (self.why, remedy) if part)
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f" ({detail})" if detail else "")


def four_lines(error: ClawdError, *, code: str | None = None) -> str:
    r"""Return the error as people see it: what, where, why, try; lines without content are left out.

    Each is one line, and what others wrote into it can't steer a terminal: `ESC` becomes `\x1b`.
    """
    lines = [f"error[{code or error.code}]: {_printable(error.what)}"]
    for label, text in (("where", error.where), ("why", error.why), ("try", error.remedy)):
        if text:
            lines.append(f"{label}: {_printable(text)}")
    return "\n".join(lines)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode() for c in text
    )


# --- configuration -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """One mistake in a configuration file. `line` and `column` count from 1; 0 means unknown."""

    path: str
    key: str
    message: str
    line: int = 0
    column: int = 0
    remedy: str = ""
    snippet: str = ""  # the offending line and a caret, for a terminal

    @property
    def place(self) -> str:
        """`file:line:column`, as editors understand it."""
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path

    def __str__(self) -> str:
        """One line: place, key, message and remedy."""
        key = f"{self.key}: " if self.key else ""
        return f"{self.place}: {key}{self.message}" + (f"; {self.remedy}" if self.remedy else "")


class ConfigError(ClawdError):
    """The configuration can't be used; carries every problem found, not just the first.

    `files` are those that were read or missed, for a watcher that waits until they are mended; `stamps` tells the
    state of each when it was read (`clawd.config.stamps`).
    """

    code = "E-CONFIG"
    exit_code = EXIT_CONFIG

    def __init__(
        self, problems: Sequence[ConfigProblem], *, stamps: Mapping[Path, _Stamp] | None = None
    ) -> None:
        if not problems:
            raise ValueError("a ConfigError needs at least one problem")
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            f"the configuration has {len(problems)} problem{'s' if len(problems) > 1 else ''}",
            where=first.place,
            why=f"{first.key}: {first.message}{more}" if first.key else f"{first.message}{more}",
            remedy=first.remedy or "clawd config check",
        )
        self.problems = tuple(problems)
        self.stamps = dict(stamps or {})
        self.files = tuple(self.stamps)

    def __str__(self) -> str:
        """Every problem, each on a line of its own."""
        lines = [str(problem) for problem in self.problems]
        return lines[0] if len(lines) == 1 else "\n".join((f"{self.what}:", *lines))


# --- journal ---------------------------------------------------------------------------------------


class JournalError(ClawdError):
    """The journal could not do what was asked."""

    code = "E-JOURNAL"
    exit_code = EXIT_JOURNAL


class JournalLocked(JournalError):
    """Another daemon holds this state directory; `pid` is the holder's, 0 when unknown."""

    code = "E-LOCKED"
    exit_code = EXIT_LOCKED

    def __init__(self, path: str, pid: int) -> None:
        super().__init__(
            "another clawd already uses this state directory",
            where=path,
            why=f"locked by process {pid}" if pid else "locked by another process",
            remedy="clawd status, or clawd stop",
        )
        self.pid = pid


class JournalUnavailable(JournalError):
    """Nothing can be committed now (disk full, locked, closing); the caller must not acknowledge."""

    code = "E-JOURNAL-BUSY"
    exit_code = EXIT_TRY_LATER

    def __init__(self, what: str, *, why: str = "", retry_after_s: float = 5.0) -> None:
        super().__init__(what, why=why, remedy="try again in a few seconds; clawd doctor tells more")
        self.retry_after_s = retry_after_s


class JournalBroken(JournalError):
    """The disk failed a write or an fsync: the process must stop, never retry (exit 74)."""

    code = "E-JOURNAL-IO"


class JournalCorrupt(JournalError):
    """A stored row or the database itself can't be read; `row_id` is None for the whole file."""

    code = "E-JOURNAL-CORRUPT"

    def __init__(self, what: str, *, row_id: int | None = None, where: str = "", why: str = "") -> None:
        super().__init__(
            what,
            where=where,
            why=why,
            remedy="restore a backup, or save what can be read: clawd doctor --salvage",
        )
        self.row_id = row_id


class SchemaTooNew(JournalError):
    """A newer clawd wrote this database."""

    code = "E-SCHEMA"

    def __init__(self, path: str, found: int, supported: int) -> None:
        super().__init__(
            "this database was written by a newer clawd",
            where=path,
            why=f"schema {found}, this version knows up to {supported}",
            remedy="install the newer version again, or restore the backup made before the upgrade",
        )
        self.found = found
        self.supported = supported


class Fenced(JournalError):
    """The lease is no longer ours: somebody else owns the conversation, so nothing was written."""

    code = "E-FENCED"


class InboxFull(JournalError):
    """Too much work is waiting; the message was not taken."""

    code = "E-BUSY"
    exit_code = EXIT_TRY_LATER

    def __init__(self, depth: int, *, retry_after_s: float = 5.0) -> None:
        super().__init__(
            "too many messages are waiting",
            why=f"{depth} messages in the queue",
            remedy=f"try again in {retry_after_s:.0f} s",
        )
        self.depth = depth
        self.retry_after_s = retry_after_s


class NotFound(ClawdError):
    """No such turn, conversation, delivery or name."""

    code = "E-NOT-FOUND"


class NotPossible(ClawdError):
    """The thing exists but is not in a state that allows the request."""

    code = "E-STATE"


# --- bridges -----------------------------------------------------------------------------------------


class BridgeError(ClawdError):
    """A chat platform or its connection failed; `bridge` is the configured name."""

    code = "E-BRIDGE"
    exit_code = EXIT_UNREACHABLE

    def __init__(self, bridge: str, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where or f"bridge {bridge}", why=why, remedy=remedy)
        self.bridge = bridge


class BridgeNotReady(BridgeError):
    """The platform is out of reach for now; the supervisor waits and restarts the bridge.

    `retry_after_s` is the platform's own wish, None when it gave none.
    """

    code = "E-BRIDGE-DOWN"

    def __init__(self, bridge: str, what: str, *, why: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(bridge, what, why=why, remedy=f"clawd bridges test {bridge}")
        self.retry_after_s = retry_after_s


class BridgeAuthError(BridgeError):
    """The platform refuses our credentials; only a person can mend that."""

    code = "E-BRIDGE-AUTH"
    exit_code = EXIT_AUTH


class DeliveryError(BridgeError):
    """An outbound message was not delivered in the normal way."""

    code = "E-DELIVERY"


class DeliveryRejected(DeliveryError):
    """The platform will never take this message. `unreachable`: the chat itself is gone or blocked us."""

    def __init__(self, bridge: str, what: str, *, why: str = "", unreachable: bool = False) -> None:
        super().__init__(bridge, what, why=why)
        self.unreachable = unreachable


class DeliveryRetryLater(DeliveryError):
    """Surely not sent; try this chat again after `retry_after_s` seconds (None: our own back-off)."""

    def __init__(self, bridge: str, what: str, *, why: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(bridge, what, why=why)
        self.retry_after_s = retry_after_s


class DeliveryUnauthorized(DeliveryError):
    """Surely not sent, and nothing will be until the bridge is connected with good credentials again."""


class DeliveryParked(DeliveryError):
    """The platform allows this only after the user's next message."""


class DeliveryMoved(DeliveryError):
    """The chat has a new address (a Telegram group became a supergroup); `chat` is its new id."""

    def __init__(self, bridge: str, what: str, *, chat: str) -> None:
        super().__init__(bridge, what)
        self.chat = chat


class DeliveryUnknown(DeliveryError):
    """The request may or may not have reached the platform."""


# --- models -------------------------------------------------------------------------------------------


class ModelError(ClawdError):
    """A model did not answer; `model` is the configured name.

    `attempts` are the requests that were made on the way to an error of a whole route: they may have cost.
    `passed_over` are the models that were not asked at first.
    """

    code = "E-MODEL"
    exit_code = EXIT_UNREACHABLE
    attempts: Sequence[ModelAttempt] = ()
    passed_over: Sequence[PassedOver] = ()

    def __init__(self, model: str, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where or f"model {model}", why=why, remedy=remedy)
        self.model = model


class ModelUnavailable(ModelError):
    """Refused, timed out, broke off or answered nonsense; another model may do better.

    `transient`: the same request may succeed here in a moment.
    """

    code = "E-MODEL-DOWN"

    def __init__(
        self,
        model: str,
        what: str,
        *,
        where: str = "",
        why: str = "",
        remedy: str = "",
        transient: bool = True,
    ) -> None:
        super().__init__(model, what, where=where, why=why, remedy=remedy)
        self.transient = transient


class ModelUnknown(ModelUnavailable):
    """Neither a model nor a route has the name that was asked for; `model` is that name."""

    code = "E-MODEL-UNKNOWN"

    def __init__(
        self, model: str, *, why: str = "", remedy: str = "/model default, or clawd models list"
    ) -> None:
        what = f"there is no model {model!r}, nor a route of that name"
        super().__init__(model, what, why=why, remedy=remedy, transient=False)


class ModelRateLimited(ModelError):
    """The provider asks us to wait `retry_after_s` seconds (None when it did not say)."""

    code = "E-MODEL-BUSY"
    exit_code = EXIT_TRY_LATER

    def __init__(self, model: str, *, why: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(model, "the model's provider limits our requests", why=why)
        self.retry_after_s = retry_after_s


class ModelAuthError(ModelError):
    """The provider refuses the key."""

    code = "E-MODEL-AUTH"
    exit_code = EXIT_AUTH


class ContextTooLong(ModelError):
    """The request is longer than this model's context."""

    code = "E-CONTEXT"
    exit_code = EXIT_FAILED


class BudgetSpent(ModelError):
    """A budget leaves no room for the request; `budget` is as in `clawd.models.base.Room`.

    `ends_at` is when the budget begins anew, None when it never does. Where `left_usd` is left of it, that is
    less than what the request's input alone costs, `input_usd`.
    """

    code = "E-BUDGET"
    exit_code = EXIT_TRY_LATER

    def __init__(
        self,
        model: str,
        *,
        budget: str,
        limit_usd: float,
        ends_at: datetime | None,
        left_usd: float = 0.0,
        input_usd: float = 0.0,
    ) -> None:
        what, name = "is spent", f"the {budget} budget of {money(limit_usd)}"
        if left_usd > 0:
            what = f"has {money(left_usd)} left, and the request's input alone costs {money(input_usd)}"
        super().__init__(
            model,
            f"{name} {what}",
            why=f"it begins anew at {ends_at:%Y-%m-%d %H:%M} UTC" if ends_at is not None else "",
            remedy="raise it in budgets:, or wait",
        )
        self.left_usd = left_usd
        self.budget = budget
        self.limit_usd = limit_usd
        self.ends_at = ends_at


class TurnTooDear(ModelError):
    """The input of a request alone costs more than one turn may (`agent.max_turn_usd`)."""

    code = "E-TURN-BUDGET"
    exit_code = EXIT_FAILED

    def __init__(self, model: str, *, input_usd: float, limit_usd: float) -> None:
        super().__init__(
            model,
            f"the input alone costs {money(input_usd)}",
            why=f"agent.max_turn_usd is {money(limit_usd)}",
            remedy="begin anew with /new, take a cheaper model, or raise agent.max_turn_usd",
        )


class ModelsExhausted(ModelError):
    """Every model of the route failed; `causes` has one error per model, in the order tried.

    `where` is told in place of the route's name.
    The exit code is that which all causes have in common, such as authentication; else unreachable.
    """

    code = "E-MODELS"

    def __init__(self, route: str, causes: Sequence[ModelError], *, where: str = "") -> None:
        why = "; ".join(
            f"{cause.model}: {cause.what}" + (f", {cause.why}" if cause.why else "") for cause in causes
        )
        super().__init__(
            route,
            "no model answered",
            where=where or f"route {route}",
            why=why or "the route names no model",
            remedy=next((c.remedy for c in causes if c.remedy), "try again in a minute"),
        )
        self.causes = tuple(causes)
        codes = {cause.exit_code for cause in self.causes}
        if len(codes) == 1:
            self.exit_code = codes.pop()


# --- tools ----------------------------------------------------------------------------------------------


class ToolError(ClawdError):
    """A tool failed; `tool` is its name."""

    code = "E-TOOL"

    def __init__(self, tool: str, what: str, *, why: str = "") -> None:
        super().__init__(what, where=f"tool {tool}", why=why)
        self.tool = tool


class ToolRetry(ToolError):
    """The model may correct its arguments and call again; `what` is told to it."""


class ToolFailed(ToolError):
    """Final: the model is told `what` and may adapt."""


# --- control ----------------------------------------------------------------------------------------------


class ControlError(ClawdError):
    """The daemon's control socket could not be used."""

    code = "E-CONTROL"


class DaemonNotRunning(ControlError):
    """Nobody listens on the control socket."""

    code = "E-NOT-RUNNING"
    exit_code = EXIT_NOT_RUNNING

    def __init__(self, socket: str, *, why: str = "") -> None:
        super().__init__("no clawd daemon is running", where=socket, why=why, remedy="clawd start --detach")
        self.socket = socket


class ProtocolMismatch(ControlError):
    """The daemon speaks another version of the control protocol."""

    code = "E-PROTOCOL"

    def __init__(self, theirs: int, ours: int) -> None:
        super().__init__(
            "the daemon and this command are of different versions",
            why=f"the daemon speaks protocol {theirs}, this command {ours}",
            remedy="restart the daemon: clawd stop, clawd start --detach",
        )
        self.theirs = theirs
        self.ours = ours
