"""What alerts are about: the readings that rules look at, an alert's life, and silences. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from clawd.ids import DeliveryId
    from clawd.observability.histogram import Histogram

RuleName = Literal[
    "error_rate",  # turns failed or dead / turns ended
    "model_error_rate",  # the same of each model's attempts
    "latency",  # 95th percentile of turns, in seconds
    "first_token",  # the same of each model's time to first token
    "queue_age",  # of the oldest turn that waits for a worker, in seconds
    "dead_letters",  # new ones within the window
    "breaker_open",  # a model is out of service
    "bridge_down",  # a bridge is not connected
    "budget",  # used share of a budget
    "disk",  # used share of the file system of the state directory
    "loop_lag",  # longest time the event loop did not come round, in seconds
    "journal_errors",  # commits that failed within the window
    "crashes",  # starts within the window behind a run that ended without a stop
    "restarts",  # starts within the window, however the run before ended
    "config_refused",  # the configuration on disk is not the one in force
]
"""The rules. Each looks at one number, for each of its labels' values, and says when that is too large."""

RULES: Final[tuple[RuleName, ...]] = get_args(RuleName)

Severity = Literal["warning", "critical"]
AlertState = Literal["pending", "firing", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVitals:
    """One model, since the process began."""

    attempts: int
    failed: int
    first_token: Histogram
    breaker: Literal["closed", "rest", "half_open", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeVitals:
    """One bridge, now."""

    connected: bool
    why: str  # what keeps it from being so


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A start of the daemon that was not its first; this process' own may be one."""

    at: float  # on the steady clock, also below 0: before the machine was started
    crash: bool  # the run before it ended without a stop
    detail: str = ""  # of a crash: who, and when it last wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """All that rules look at, read at one moment. What is counted is counted since the process began."""

    turns: Mapping[str, float]  # ended, by outcome
    turn_s: Histogram
    models: Mapping[str, ModelVitals]
    queue_age_s: float | None  # None: the journal can't be read
    given_up: float
    bridges: Mapping[str, BridgeVitals]
    budgets: Mapping[str, float]  # used share, by `day`, `month` or `model NAME`
    disk_used: float | None  # share, 0 to 1; None: the system does not tell
    loop_lag_s: float  # the longest since the last reading
    journal_errors: float
    restarts: Sequence[Restart] = ()  # of the last day
    config_error: str = ""  # why the configuration on disk is refused; empty: it is in force
    disk_full: bool = False  # the journal can't be written for want of room, whatever `disk_used` says
    busy: bool = False  # turns are under way or wait: what rules look at may move without being counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule at one value of its label, from the moment it is broken until some time after it is not."""

    fingerprint: str  # constant for (rule, label): 16 hexadecimal digits
    rule: RuleName
    label: str  # the model, bridge or budget; empty where the rule has none
    severity: Severity
    state: AlertState
    value: float
    above: float
    began_at: (
        datetime  # when the rule was first broken, or when this state was taken over from an earlier run
    )
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    silenced: str = ""  # the id of the silence that keeps it quiet
    detail: str = ""  # such as a bridge's error, without secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Keeps alerts quiet that would be told; they are still seen in `clawd alerts list`."""

    id: str  # "silence:" and 8 hexadecimal digits
    rule: RuleName | None  # None: every rule
    label: str | None  # None: every label
    until: datetime
    why: str = ""
    by: str = ""  # who asked for it


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStatus:
    """A rule as it is in force."""

    rule: RuleName
    enabled: bool
    above: float
    clear: float  # ends once the number is at most this
    min: int
    window_s: float
    for_s: float
    cool_down_s: float
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTrouble:
    """A target that can't be told now, as the last attempt there, or its bridge, showed."""

    target: str  # as in `AlertsReport.targets`
    since: datetime
    why: str
    attempts: int = 0  # since then


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Who can't be told now, and whether that is everybody."""

    trouble: Sequence[TargetTrouble]
    nobody: bool  # something fires that people are to be told of, and none of the targets, or there is none, can be


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsReport:
    """The answer to `clawd alerts list`."""

    alerts: Sequence[
        Alert
    ]  # pending and firing ones, then those resolved within the last day, the newest first
    silences: Sequence[Silence]
    targets: Sequence[
        str
    ]  # who is told, as people write them: `telegram 12345`, `https://example.com` (no path)
    rules: Sequence[RuleStatus]
    trouble: Sequence[TargetTrouble] = ()
    nobody_told: bool = False  # see `Reach.nobody`


class AlertDesk(Protocol):
    """What people can ask of the alerts: from the terminal, the control socket and chats."""

    def report(self) -> AlertsReport:
        """Return what is going on, what is quiet, who is told, and the rules in force; see `reach` for trouble."""
        ...

    async def reach(self) -> Reach:
        """Return who can't be told now."""
        ...

    def firing(self) -> Mapping[str, int]:
        """Return how many alerts of each enabled rule fire now."""
        ...

    async def test(self) -> Sequence[DeliveryId]:
        """Send a test alert to every target, and return its deliveries; raises NotPossible (there is no target)."""
        ...

    async def silence(
        self, *, rule: RuleName | None, label: str | None, until: datetime, why: str, by: str
    ) -> Silence:
        """Keep these alerts quiet until then, from now on and over restarts; raises NotPossible (too many)."""
        ...

    async def end_silence(self, silence: str) -> None:
        """Let a silence end now; what fires still is told. Raises NotFound."""
        ...
