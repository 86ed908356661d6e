"""What is told beside an answer: of budgets that come to an end, and of keys that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.errors import BudgetSpent, ModelAuthError, ModelError, ModelsExhausted
from clawd.money import money
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from clawd.agent.choosing import Choice
    from clawd.journal.items import Right
    from clawd.models.ledger import Room
    from clawd.response import ModelAttempt

OWN_BUDGETS: Final = frozenset({"user", "conversation"})
"""Told to whom they are; all others are the owners' business."""

_MOST_KEYS: Final = 200


class Notices:
    """What owners have been told of refused keys and are still to be told of budgets; of one daemon."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}  # by model; one that works again is forgotten
        self._kept: dict[
            tuple[str, str], Room
        ] = {}  # by budget and model: came up in a turn of somebody whom it does not concern

    def of_budget(self, room: Room | None, right: Right, language: str | None, now: datetime) -> list[str]:
        """Return the line about a budget that comes to its end, for those whom it concerns.

        Args:
            room: The budget that came up with this turn; None: none did.
            right: Of the person who reads the line.
            language: To speak in.
            now: A budget that has begun anew meanwhile is told no more.
        """
        if room is not None and room.budget not in OWN_BUDGETS and right != "owner":
            self._kept[room.budget, room.model] = room
            return []
        while room is None and self._kept and right == "owner":
            _, kept = self._kept.popitem()
            room = kept if kept.ends_at is None or kept.ends_at > now else None
        return nearly_spent(room, right, language)

    def of_keys(self, attempts: Iterable[ModelAttempt], right: Right, language: str | None) -> list[str]:
        """Return a line for each key that a turn found refused, for owners, and once."""
        found: list[str] = []
        for attempt in attempts:
            if attempt.outcome == "ok":
                self._keys.pop(attempt.model, None)
            elif attempt.outcome == ModelAuthError.code:
                found += self._line(attempt.model, attempt.detail, right, language)
        return found

    def of_error(self, error: ModelError, right: Right, language: str | None) -> list[str]:
        """Return the same for a turn that no model answered."""
        causes = error.causes if isinstance(error, ModelsExhausted) else (error,)
        refused = [cause for cause in causes if isinstance(cause, ModelAuthError)]
        return [line for e in refused for line in self._line(e.model, _key_of(e), right, language)]

    def _line(self, model: str, detail: str, right: Right, language: str | None) -> list[str]:
        if right != "owner" or model in self._keys:
            return []
        if len(self._keys) >= _MOST_KEYS:
            self._keys.clear()
        self._keys[model] = detail
        return [say("key_refused", language, model=model, detail=detail)]


def of_question(choice: Choice, cut: tuple[int, int] | None, language: str | None) -> list[str]:
    """Return the lines about what was asked: it was cut, or whom it was to be asked of is gone.

    Args:
        choice: Whom the turn asked.
        cut: How many characters of the message the model was shown, and of how many; None: all of them.
        language: To speak in.
    """
    lines: list[str] = []
    if cut is not None:
        lines.append(say("question_cut", language, shown=f"{cut[0]:,}", whole=f"{cut[1]:,}"))
    if choice.gone is not None:
        lines.append(say("model_gone_kept" if choice.kept else "model_gone", language, model=choice.gone))
    return lines


def _key_of(error: ModelAuthError) -> str:
    return f"{error.what}; {error.remedy}" if error.remedy else error.what


def nearly_spent(room: Room | None, right: Right, language: str | None) -> list[str]:
    """Return the line about a budget that comes to its end; its amounts for owners alone."""
    if room is None or not room.budget:
        return []
    name, percent = say(f"budget_{room.budget}", language, model=room.model), int(room.used * 100)
    amounts = ""
    if right == "owner":
        amounts = say("budget_money", language, spent=money(room.spent_usd), limit=money(room.limit_usd))
    return [say("budget_nearly", language, budget=name, percent=percent, amounts=amounts)]


def spent_text(error: ModelError, right: Right, language: str | None) -> str | None:
    """Return the sentence for a turn that only budgets kept from an answer; None where it was something else."""
    spent, others = _causes(error)
    if not spent or others:
        return None
    soonest = _soonest(spent)
    name = say(f"budget_{soonest.budget}", language, model=soonest.model)
    text = say("budget_short" if soonest.left_usd > 0 else "budget_spent", language, budget=name)
    return _with_end(text, soonest, right, language)


def also_spent(error: ModelError, right: Right, language: str | None) -> str | None:
    """Return the sentence for a turn whose models failed, where a budget kept others from being asked; else None."""
    spent, others = _causes(error)
    if not spent or not others:
        return None
    soonest = _soonest(spent)
    name = say(f"budget_{soonest.budget}", language, model=soonest.model)
    return _with_end(say("budget_besides", language, budget=name), soonest, right, language)


def _causes(error: ModelError) -> tuple[list[BudgetSpent], list[ModelError]]:
    """Return the budgets among the causes, and all others."""
    causes = error.causes if isinstance(error, ModelsExhausted) else (error,)
    spent = [cause for cause in causes if isinstance(cause, BudgetSpent)]
    return spent, [cause for cause in causes if not isinstance(cause, BudgetSpent)]


def _soonest(spent: Iterable[BudgetSpent]) -> BudgetSpent:
    """Return the one that begins anew first: it lets the next message pass."""
    return min(spent, key=lambda cause: (cause.ends_at is None, cause.ends_at and cause.ends_at.timestamp()))


def _with_end(text: str, spent: BudgetSpent, right: Right, language: str | None) -> str:
    if spent.ends_at is not None:
        text += " " + say("budget_anew", language, when=_when(spent.ends_at))
    if right == "owner":
        text += " " + say("budget_limit", language, limit=money(spent.limit_usd))
    return text


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
