from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from clawd.alerts.base import Alert
from clawd.alerts.cases import fingerprint_of
from clawd.alerts.payload import MAX_ALERTS, body_of, name_of

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
Rfc3339 = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class OneAlert(Strict):
    """Source: Prometheus documentation, Alertmanager configuration, webhook_config, `alerts`."""

    status: Literal["firing", "resolved"]
    labels: dict[LabelName, str]
    annotations: dict[LabelName, str]
    startsAt: Rfc3339
    endsAt: Rfc3339
    generatorURL: str
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Webhook(Strict):
    """Source: the same, the whole body."""

    version: Literal["4"]
    groupKey: str
    truncatedAlerts: Annotated[int, Field(ge=0)]
    status: Literal["firing", "resolved"]
    receiver: str
    groupLabels: dict[LabelName, str]
    commonLabels: dict[LabelName, str]
    commonAnnotations: dict[LabelName, str]
    externalURL: str
    alerts: Annotated[list[OneAlert], Field(min_length=1)]


def alert(label: str = "main", **values: object) -> Alert:
    made = Alert(
        fingerprint=fingerprint_of("breaker_open", label),
        rule="breaker_open",
        label=label,
        severity="warning",
        state="firing",
        value=1.0,
        above=0.5,
        began_at=NOW - timedelta(seconds=60),
        fired_at=NOW,
    )
    return replace(made, **values)  # type: ignore[arg-type] # of its fields


def read(body: str) -> Webhook:
    return Webhook.model_validate(json.loads(body))


def annotate(one: Alert) -> tuple[str, str]:
    return "a summary", f"a description of {one.label}"


def test_body_of_what_begins_is_alertmanagers() -> None:
    told = read(body_of([alert()], "firing", instance="box", annotate=annotate))
    (only,) = told.alerts
    assert only.labels == {
        "alertname": "ClawdBreakerOpen",
        "severity": "warning",
        "rule": "breaker_open",
        "model": "main",
        "instance": "box",
    }
    assert (only.startsAt, only.endsAt) == ("2026-01-01T12:00:00.123Z", "0001-01-01T00:00:00Z")
    assert told.commonLabels == only.labels
    assert told.groupLabels == {"alertname": "ClawdBreakerOpen"}


def test_body_of_what_ends_says_when_and_has_the_same_identity() -> None:
    begun = read(body_of([alert()], "firing", instance="box", annotate=annotate)).alerts[0]
    over = alert(state="resolved", resolved_at=NOW + timedelta(minutes=5))
    told = read(body_of([over], "resolved", instance="box", annotate=annotate))
    (only,) = told.alerts
    assert (told.status, only.status, only.endsAt) == ("resolved", "resolved", "2026-01-01T12:05:00.123Z")
    assert (only.labels, only.startsAt, only.fingerprint) == (begun.labels, begun.startsAt, begun.fingerprint)


def test_what_several_have_in_common_stands_once_and_too_many_are_counted() -> None:
    several = [alert(f"m{n}") for n in range(MAX_ALERTS + 7)]
    told = read(body_of(several, "firing", instance="box", annotate=annotate))
    assert (len(told.alerts), told.truncatedAlerts) == (MAX_ALERTS, 7)
    assert "model" not in told.commonLabels
    assert told.commonAnnotations == {"summary": "a summary"}


def test_names_of_rules_are_those_of_alerts() -> None:
    assert name_of("journal_errors") == "ClawdJournalErrors"
