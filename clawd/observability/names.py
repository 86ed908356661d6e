"""Every metric that clawd tells: its name, its labels, and what it means. docs/metrics.md is made from this table.

Names are a contract: dashboards and rules of other people rely on them. One may be added, none renamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.observability.metrics import Family

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.observability.histogram import Histogram
    from clawd.observability.metrics import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the table."""

    name: str  # with its unit; that of a counter ends in `_total`
    kind: Kind
    help: str  # one sentence, for Prometheus and the page
    labels: tuple[str, ...] = ()
    note: str = ""  # for the page alone: the values of labels

    def family(self, samples: Sequence[tuple[tuple[str, ...], float | Histogram]]) -> Family:
        """Return it with these samples, as `Family.samples`."""
        return Family(name=self.name, help=self.help, kind=self.kind, labels=self.labels, samples=samples)

    def number(self, value: float) -> Family:
        """Return it with its one sample; for a metric without labels."""
        return self.family([((), value)])

    def histogram(self, value: Histogram) -> Family:
        """Return it with what was measured; for a histogram without labels."""
        return self.family([((), value)])


BUILD: Final = Metric(
    name="clawd_build_info",
    kind="gauge",
    help="The version that runs; always 1.",
    labels=("version", "python"),
)
CONFIG: Final = Metric(
    name="clawd_config_last_reload_successful",
    kind="gauge",
    help="Whether the configuration on disk is in force: 0 while a refused one waits to be mended.",
)
LAST_END: Final = Metric(
    name="clawd_last_end_clean",
    kind="gauge",
    help="Whether the run before this one ended by a stop: 0 where it crashed or was killed, 1 too where there was none.",
)
RECEIVED: Final = Metric(
    name="clawd_messages_received_total",
    kind="counter",
    help="Messages that were accepted, each once however often it was brought.",
    labels=("bridge",),
    note="a bridge of the configuration, `terminal` or `api`",
)
TURNS: Final = Metric(
    name="clawd_turns_total",
    kind="counter",
    help="Turns that ended. Messages that were merged end with their turn, as one.",
    labels=("outcome",),
    note="`answered`, `failed`, `cancelled` or `dead`",
)
TURN_DURATION: Final = Metric(
    name="clawd_turn_duration_seconds",
    kind="histogram",
    help="From a message's acceptance to its turn's committed end, without the time that it waited for a person's answer, or for the network.",
)
TOOL_CALLS: Final = Metric(
    name="clawd_tool_calls_total",
    kind="counter",
    help="Tool calls by what came of them.",
    labels=("tool", "outcome"),
    note="a tool that is installed, or `other`: models make names up; `ok`, `error`, `unknown`, `denied` or `skipped`",
)
QUEUE_DEPTH: Final = Metric(
    name="clawd_queue_depth",
    kind="gauge",
    help="Turns that wait for a worker, or for a turn in front of them. Those that wait for a person are not among them.",
)
QUEUE_AGE: Final = Metric(
    name="clawd_queue_oldest_age_seconds",
    kind="gauge",
    help="How long the conversation that waits longest for a worker has waited; 0 when none does.",
)
RUNNING: Final = Metric(name="clawd_turns_running", kind="gauge", help="Turns in work.")
WAITING: Final = Metric(name="clawd_turns_waiting", kind="gauge", help="Turns that wait for a person's word.")
CONVERSATIONS: Final = Metric(
    name="clawd_conversations", kind="gauge", help="Conversations that the journal holds."
)
DELIVERIES: Final = Metric(
    name="clawd_deliveries_total",
    kind="counter",
    help="Attempts to deliver by what came of them.",
    labels=("bridge", "outcome"),
    note="`api` are callbacks, `_alerts` URLs that are told of alerts, `other` a bridge that is gone; `sent`, `retry`, `parked` (until the user writes), "
    "`unknown` (an owner decides) or `dead`",
)
OUTBOX_DEPTH: Final = Metric(
    name="clawd_outbox_depth",
    kind="gauge",
    help="Deliveries that are not over: they wait, are parked or on the wire.",
)
GIVEN_UP: Final = Metric(
    name="clawd_given_up_total",
    kind="counter",
    help="New dead letters.",
    labels=("kind",),
    note="`turn`, `delivery`, `alert` (a delivery that told of one) or `update`",
)
DEAD_LETTERS: Final = Metric(
    name="clawd_dead_letters", kind="gauge", help="Dead letters that nobody has resubmitted or dropped yet."
)
BRIDGE_UP: Final = Metric(
    name="clawd_bridge_up",
    kind="gauge",
    help="Whether a bridge is connected: 1 or 0.",
    labels=("bridge",),
)
MODEL_REQUESTS: Final = Metric(
    name="clawd_model_requests_total",
    kind="counter",
    help="Attempts at models by how they ended; one answer may take several.",
    labels=("model", "outcome"),
    note="`ok`, `hedge` (another model answered first), `cancelled`, `unavailable`, `rate_limited`, `auth`, `context`, "
    "`budget` or `error`",
)
MODEL_DURATION: Final = Metric(
    name="clawd_model_request_duration_seconds",
    kind="histogram",
    help="How long attempts took, whatever their outcome.",
    labels=("model",),
)
FIRST_TOKEN: Final = Metric(
    name="clawd_model_time_to_first_token_seconds",
    kind="histogram",
    help="How long the first token took, where one came.",
    labels=("model",),
)
TOKENS: Final = Metric(
    name="clawd_model_tokens_total",
    kind="counter",
    help="Tokens as providers counted them. cached and cache_write are of the input, thinking of the output.",
    labels=("model", "type"),
    note="`input`, `output`, `cached`, `cache_write` or `thinking`",
)
COST: Final = Metric(
    name="clawd_model_cost_usd_total",
    kind="counter",
    help="What attempts cost in US dollars, as the provider counted them and at the configured price.",
    labels=("model",),
)
POSSIBLE_COST: Final = Metric(
    name="clawd_model_possible_cost_usd_total",
    kind="counter",
    help="What attempts may have cost in US dollars that broke off or lost against another model.",
    labels=("model",),
)
BUDGET_USED: Final = Metric(
    name="clawd_budget_used_ratio",
    kind="gauge",
    help="Share of a budget that is spent, with what may be and what requests under way may cost.",
    labels=("budget", "model"),
    note="`day`, `month`, or `model` with the model's name; budgets of senders and conversations are not shown",
)
BREAKER: Final = Metric(
    name="clawd_breaker_state",
    kind="gauge",
    help="Whether a model is in service: 0 closed (it is), 1 rest (asked last), 2 half-open, 3 open.",
    labels=("model",),
)
SWITCHES: Final = Metric(
    name="clawd_model_switches_total",
    kind="counter",
    help="How often another model took over, and why.",
    labels=("from_model", "to_model", "reason"),
    note="`hedge`, `rest`, `open`, `busy`, `budget`, `unavailable`, `rate_limited`, `auth`, `context`, `error` or `other`",
)
COMMIT: Final = Metric(
    name="clawd_journal_commit_seconds",
    kind="histogram",
    help="How long the journal's commits took, each for all that was to be written then.",
)
JOURNAL_ERRORS: Final = Metric(
    name="clawd_journal_errors_total",
    kind="counter",
    help="Commits that failed; nothing was lost, whoever wrote was told.",
    labels=("kind",),
    note="`full`, `locked` or `failed`",
)
JOURNAL_WRITABLE: Final = Metric(
    name="clawd_journal_writable", kind="gauge", help="Whether the last commit succeeded: 1 or 0."
)
JOURNAL_READABLE: Final = Metric(
    name="clawd_journal_readable",
    kind="gauge",
    help="Whether this scrape could read the journal; at 0 the metrics of queue and outbox are missing.",
)
JOURNAL_BYTES: Final = Metric(
    name="clawd_journal_file_bytes",
    kind="gauge",
    help="Size of the journal's files.",
    labels=("file",),
    note="`database` or `wal`, its log",
)
DISK_FREE: Final = Metric(
    name="clawd_disk_free_bytes",
    kind="gauge",
    help="What clawd may still write to the file system of the state directory.",
)
DISK_SIZE: Final = Metric(
    name="clawd_disk_size_bytes", kind="gauge", help="Size of the file system of the state directory."
)
REQUESTS: Final = Metric(
    name="clawd_http_requests_total",
    kind="counter",
    help="What the gateway answered; a stream counts when it begins.",
    labels=("route", "method", "status"),
    note="the pattern of a route, such as `/v1/messages/{id}`, or `other`; an HTTP method or `other`; `2xx` and so on",
)
FIRING: Final = Metric(
    name="clawd_alerts_firing",
    kind="gauge",
    help="Built-in alerts that fire now.",
    labels=("rule",),
)
BROKEN: Final = Metric(
    name="clawd_service_errors_total",
    kind="counter",
    help="Bugs that ended a service of the daemon, which was started again.",
    labels=("service",),
    note="`alerts`: until it runs again, nobody is told of trouble; `traces`: nor a collector of turns",
)
TASKS: Final = Metric(
    name="clawd_tasks",
    kind="gauge",
    help="Tasks of the event loop: those of turns, deliveries and connections, and some that are always there.",
)
SPANS: Final = Metric(
    name="clawd_otel_spans_total",
    kind="counter",
    help="Spans for the collector of traces by what came of them.",
    labels=("outcome",),
    note="`sent`, `rejected` (the collector did not want them) or `given_up` (turns and deliveries, each as one: it was away for a day)",
)
LOOP_LAG: Final = Metric(
    name="clawd_event_loop_lag_seconds",
    kind="histogram",
    help="How long the event loop did not come round, for each of its rounds.",
)
CPU: Final = Metric(
    name="process_cpu_seconds_total",
    kind="counter",
    help="Total user and system CPU time spent in seconds.",
)
RESIDENT: Final = Metric(
    name="process_resident_memory_bytes", kind="gauge", help="Resident memory size in bytes."
)
VIRTUAL: Final = Metric(
    name="process_virtual_memory_bytes", kind="gauge", help="Virtual memory size in bytes."
)
STARTED: Final = Metric(
    name="process_start_time_seconds",
    kind="gauge",
    help="Start time of the process since unix epoch in seconds.",
)
OPEN_FDS: Final = Metric(name="process_open_fds", kind="gauge", help="Number of open file descriptors.")
MAX_FDS: Final = Metric(name="process_max_fds", kind="gauge", help="Maximum number of open file descriptors.")

TABLE: Final[Mapping[str, tuple[Metric, ...]]] = {
    "Messages and turns": (RECEIVED, TURNS, TURN_DURATION, TOOL_CALLS),
    "Queue and deliveries": (
        QUEUE_DEPTH,
        QUEUE_AGE,
        RUNNING,
        WAITING,
        CONVERSATIONS,
        DELIVERIES,
        OUTBOX_DEPTH,
        GIVEN_UP,
        DEAD_LETTERS,
        BRIDGE_UP,
    ),
    "Models and cost": (
        MODEL_REQUESTS,
        MODEL_DURATION,
        FIRST_TOKEN,
        TOKENS,
        COST,
        POSSIBLE_COST,
        BUDGET_USED,
        BREAKER,
        SWITCHES,
    ),
    "Journal and disk": (
        COMMIT,
        JOURNAL_ERRORS,
        JOURNAL_WRITABLE,
        JOURNAL_READABLE,
        JOURNAL_BYTES,
        DISK_FREE,
        DISK_SIZE,
    ),
    "Process": (
        BUILD,
        CONFIG,
        LAST_END,
        REQUESTS,
        FIRING,
        SPANS,
        BROKEN,
        LOOP_LAG,
        TASKS,
        CPU,
        RESIDENT,
        VIRTUAL,
        STARTED,
        OPEN_FDS,
        MAX_FDS,
    ),
}
"""All of them, by the headings of the page."""


def all_metrics() -> Mapping[str, Metric]:
    """Return all of them by name."""
    return {metric.name: metric for metrics in TABLE.values() for metric in metrics}
