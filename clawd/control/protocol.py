"""The control socket's protocol: HTTP/1.1 over a Unix socket, JSON bodies, NDJSON streams.

Every path begins with `/control/v1`. Errors have status 4xx/5xx and the body
`{"error": {"code", "what", "where", "why", "try", "exit_code", "problems"?}}`. Every answer carries
the header `X-Clawd-Protocol`.

| method and path | body or query | answer |
|---|---|---|
| GET /status | | Status |
| POST /stop | | {"pid"} and then the daemon drains and ends |
| POST /reload | | {"changed": [section…], "restart_needed": [key…]}; 400 with `problems` |
| POST /messages | {"text", "conversation" = "default", "id"?, "language"?} | {"kind": "accepted", "id", "position"} or {"kind": "duplicate", "id"} or {"kind": "replied", "text"} |
| GET /turns/ID | ?wait=SECONDS (at most 600: returns earlier when the turn ends; with &wait_for=question also when it waits for a person) | TurnView |
| POST /turns/ID/cancel, /turns/ID/retry | | {} / {"id"} |
| GET /turns | ?conversation=&state=&limit= | {"turns": [TurnView]} |
| GET /questions | ?conversation=&limit= | {"questions": [OpenQuestion]} |
| POST /questions/ID/approve, /questions/ID/deny | {"always"?: "" or GLOB} / | {"text"}; 409 when it is no longer open |
| GET /conversations | ?limit= | {"conversations": [ConversationView]} |
| GET /entries | ?conversation=ADDRESS-OR-NAME&after=CURSOR&limit= | Page |
| GET /stream | ?conversation=&after=CURSOR | NDJSON frames, see `frames` below |
| POST /conversations/reset, /conversations/delete | {"conversation"} | {} / {"turns", "clean", "backups"} |
| GET /export | ?conversation= | NDJSON: `conversation`, `turn` and `push` frames, `done {turns}` |
| GET /journal | | JournalFacts |
| POST /backup | {"file"?, "force"} | NDJSON: `progress {done, of}`, `done {file, bytes, duration_s}` |
| POST /journal/check | {"quick"} | NDJSON: `progress {done, of}`, `done` with the Report |
| POST /files?name= | the file itself | {"id", "name", "mime", "size"} |
| POST /push | {"address", "text", "files"? = [ID…], "id"?} | {"delivery"}, null when this id was pushed before |
| GET /trace/ID | | Trace |
| GET /dead; POST /dead/resubmit, /dead/drop | {"id"} | {"dead": [DeadView]} / {"id"} / {} |
| GET /pairings; POST /pairings/approve; POST /pairings/revoke | {"code", "owner"} / {"principal"} | {"pending": […], "principals": […]} / PrincipalStatus / {} |
| GET /tokens; POST /tokens/create; POST /tokens/revoke | {"name", "scopes"?, "conversations"?, "expires_at"?, "rate"?, "day"?} / {"name"} | {"tokens": [TokenStatus]} / {"token"}, which is told this once / {} |
| GET /bridges; POST /bridges/NAME/test | | {"bridges": [BridgeStatus]} / BridgeTest |
| GET /alerts; POST /alerts/test | | AlertsReport / {"deliveries": [ID…]} |
| POST /silences; POST /silences/end | {"rule"?, "label"?, "until", "why"?} / {"id"} | Silence / {} |
| GET /usage | ?days= (1 to 366, 7)&by= (day, model, user or conversation) | UsageReport; days are those of UTC, today the last of them |
| GET /models; POST /models/NAME/test | | {"models": [ModelInfo]} / {"detail", "duration_s"} |

A conversation is named by its address (`telegram:…`) or, for the terminal's own, by a plain name: `default`
is the address ("terminal", uid, "default") of the uid that asks. Through the gateway (docs/cli.md) who asks is
`token.NAME` instead of a uid.

The `id` of a message or push is the client's own dedup id, per uid: what is sent again under it is
answered `duplicate` with the first one's turn. Without an `after` a stream or page holds the newest entries.

Frames of /stream, one JSON object a line, `type` first: `snapshot {turn, attempt, text}` (a turn in
work when the stream begins; always before the entries), `entry {cursor, turn, role, text, at, state}`
(durable; the answer of a turn comes before its `ended`), `started {turn, attempt}`, `delta {turn,
attempt, offset, text}`, `reset {turn, attempt, reason}`, `tool {turn, name, phase, summary, duration_s}`,
`question {id, turn, conversation, asker, about, tool, subject, asked_at, deadline}` (the turn waits for a
person's word, until its `started` or `ended`; one that is open when the stream begins comes behind the
entries), `ended {turn, outcome, text, model, exit_code}`, `handed_back {turn, why}` (`why` is `offline` where the turn waits for the network, `held` where it rests after a `held`), `held {turn, why}`
(the journal can't be written: the turn, in work or next, stands still and goes on by itself), `ping {}` after 15 s
without another, and `error {error}` as the last one when the journal fails. A client that reads too
slowly is given the state anew in the middle of the stream: `snapshot`, the entries it has not had, an
`ended` for each turn that these end, and the open `question`.

A message that became part of another turn (`merged_into` of its TurnView) has no frames of its own: it ends
with that turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.alerts.base import Alert, TargetTrouble
    from clawd.bridge import BridgeStatus
    from clawd.config.schema import TokenScope
    from clawd.journal.reading import QueueStats
    from clawd.journal.spend import UsageBy, UsageRow
    from clawd.models.info import ModelInfo, SwitchSeen

PROTOCOL_VERSION: Final = 1
PROTOCOL_HEADER: Final = "X-Clawd-Protocol"
PREFIX: Final = "/control/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingStatus:
    """A stranger who waits for an owner's word."""

    code: str
    bridge: str
    sender: str
    name: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalStatus:
    """Somebody who was let in. `principal` is BRIDGE:SENDER."""

    principal: str
    right: Literal["chat", "tools", "owner"]
    name: str
    since: datetime
    source: Literal["pairing", "config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What a new token of the gateway is to be."""

    name: str
    scopes: tuple[TokenScope, ...]
    conversations: str = ""  # what names of its conversations begin with
    expires_at: datetime | None = None
    rate: str | None = None  # requests, such as 60/min
    day: int | None = None  # messages a day


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatus:
    """A token of the gateway, without its value."""

    name: str
    scopes: tuple[str, ...]
    conversations: str
    expires_at: datetime | None
    expired: bool
    rate: str | None
    day: int | None
    messages_today: int
    created_at: datetime | None
    last_used_at: datetime | None
    source: Literal["config", "created", "generated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadReport:
    """What a reload changed, and what waits for a restart."""

    changed: tuple[str, ...]
    restart_needed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """How one budget stands: of all, or of a single model."""

    budget: str  # day, month or model
    of: str  # the model's name
    limit_usd: float
    spent_usd: float  # with what may have been spent, and what requests under way are expected to cost
    left_usd: float
    warn_at: float  # share of the limit from which on people are told
    ends_at: datetime | None  # when it begins anew


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """What models were used for, and what that cost."""

    days: int
    last_day: str  # YYYY-MM-DD: today, in UTC
    by: UsageBy
    rows: Sequence[UsageRow]  # days in order, others the dearest first
    total: UsageRow  # of the rows
    today: UsageRow
    budgets: Sequence[BudgetStatus]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What happened since the process began; a rate is the difference of two answers."""

    messages: float = 0  # accepted
    turns: float = 0  # ended
    turns_failed: float = 0  # of them: failed or dead
    deliveries: float = 0  # sent
    given_up: float = 0  # dead letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Lags:
    """How long the event loop did not come round, since the process began."""

    bounds_s: Sequence[float]  # the greatest lag of each bucket, rising
    counts: Sequence[int]  # one more than bounds: the last one takes what was longer


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEnd:
    """How the run before this one ended; what its note does not tell is 0 or None."""

    how: Literal["clean", "crash"]  # crash: without a stop, as when it is killed or the power fails
    at: datetime | None  # of a crash: when something was last written
    pid: int
    started_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The daemon at a glance."""

    version: str
    protocol: int
    pid: int
    started_at: datetime
    uptime_s: float
    state: Literal["starting", "ready", "draining"]
    rss_bytes: int
    state_dir: str
    config_path: str | None
    config_error: str  # the last refused reload, empty when the file is in force
    socket: str
    gateway: str | None  # URL
    queue: QueueStats
    bridges: Sequence[BridgeStatus]
    models: Sequence[ModelInfo]
    route: Sequence[str]  # names of the default route, in order
    today: UsageRow  # of the day in UTC
    budgets: Sequence[BudgetStatus] = ()  # of all, and of single models
    journal_pause: str = ""  # why nothing could be committed the last time, empty when it could
    offline_since: datetime | None = None  # no model could be reached since then; turns wait for the network
    switches: Sequence[SwitchSeen] = ()  # from one model to another, the newest first
    alerts: Sequence[Alert] = ()  # that fire, the gravest first; those under a silence too
    untold: Sequence[TargetTrouble] = ()  # who could not be told of alerts for some minutes, or nobody could
    nobody_told: bool = False  # of what fires: no target, or there is none, can be told
    totals: Totals = field(default_factory=Totals)
    lags: Lags | None = None
    gateway_moved_from: int | None = None  # the port that was taken at the start; `gateway` has another one
    last_end: LastEnd | None = None  # None: the first run, or the earlier one left no note


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeStep:
    """One step of a bridge's test."""

    name: str
    ok: bool
    detail: str
    exit_code: int  # of a command that ends with it


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeTest:
    """What the test of a bridge showed; `steps` is empty where there is only one, told by `detail`."""

    detail: str
    steps: Sequence[BridgeStep] = ()


class Operations(Protocol):
    """What the daemon does at the control socket's request, beside the journal's views and the inbox."""

    async def status(self) -> Status: ...
    def stop(self) -> None: ...
    async def reload(self) -> ReloadReport:
        """Load and swap the configuration; raises ConfigError, and the old one stays in force."""
        ...

    def bridges(self) -> Sequence[BridgeStatus]: ...
    async def test_bridge(self, name: str) -> BridgeTest:
        """Raises NotFound, BridgeError."""
        ...

    def models(self) -> Sequence[ModelInfo]: ...
    async def test_model(self, name: str) -> str:
        """Raises NotFound, ModelError."""
        ...

    async def usage(self, *, days: int, by: UsageBy) -> UsageReport: ...
    def pairings(self) -> Sequence[PairingStatus]: ...
    def principals(self) -> Sequence[PrincipalStatus]: ...
    async def approve(self, code: str, *, owner: bool) -> PrincipalStatus:
        """Raises NotFound."""
        ...

    async def revoke(self, principal: str) -> None:
        """Raises NotFound, NotPossible (named by the configuration)."""
        ...

    def tokens(self) -> Sequence[TokenStatus]: ...
    async def create_token(self, wanted: TokenRequest) -> str:
        """Return the token itself, which is told this once; raises NotPossible (the name is taken)."""
        ...

    async def revoke_token(self, name: str) -> None:
        """Raises NotFound, NotPossible (named by the configuration)."""
        ...
