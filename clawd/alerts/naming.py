"""What people call a rule and its label, and which labels a rule has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clawd.alerts.base import RULES
from clawd.alerts.rules import PER
from clawd.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Collection

    from clawd.alerts.base import RuleName


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelProblem:
    """Why a label can't be used, in the words of an error."""

    what: str
    why: str
    near: str = ""  # what was meant, as RULE or RULE=LABEL

    @property
    def remedy(self) -> str:
        """What to try."""
        return f"did you mean {self.near}?" if self.near else ""


def rule_named(text: str) -> tuple[RuleName | None, str]:
    """Return the rule of this name, else None and the nearest name; `-` stands for `_`."""
    wanted = text.strip().lower().replace("-", "_")
    for rule in RULES:
        if rule == wanted:
            return rule, ""
    return None, next(iter(nearest(wanted, RULES)), "")


def means_silence(text: str, rule: str | None, label: str | None) -> bool:
    """Whether RULE or RULE=LABEL means the silence of this rule and label; a rule alone means its labels' too."""
    name, equals, wanted = (part.strip() for part in text.partition("="))
    if rule is None:
        return label is not None and text.strip() == label
    same = name.lower().replace("-", "_") == rule
    return same and (not equals or wanted == label)


def check_label(
    rule: RuleName, label: str, *, models: Collection[str], bridges: Collection[str]
) -> LabelProblem | None:
    """Return why no alert of this rule can ever have the label, None where one can.

    A silence for a name that is not there would keep nothing quiet, and nobody would notice before the night.
    """
    kind = PER.get(rule)
    if kind is None:
        return LabelProblem(what=f"the rule {rule} has no label", why=f"got {label!r:.60}", near=rule)
    names = {
        "model": models,
        "bridge": bridges,
        "budget": ["day", "month", *(f"model {name}" for name in models)],
    }[kind]
    if label in names:
        return None
    near = nearest(label, names)
    return LabelProblem(
        what=f"there is no {kind} {label!r:.60}",
        why=f"{kind}s: {', '.join(names) or 'none'}",
        near=f"{rule}={near[0]}" if near else "",
    )
