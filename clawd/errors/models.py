"""Errors of models, of routes over them, and of budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.errors.base import EXIT_AUTH, EXIT_FAILED, EXIT_TRY_LATER, EXIT_UNREACHABLE, ClawdError
from clawd.money import money

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.response import ModelAttempt, PassedOver


class ModelError(ClawdError):
    """A model did not answer; `model` is the configured name.

    `attempts` are the requests that were made on the way to an error of a whole route: they may have cost.
    `passed_over` are the models that were not asked at first.
    `offline`: nobody can be reached: no name, no route, nobody listens. Mostly nothing was asked then; where an answer
    was waited for as the network went away, the attempts say what it may have cost.
    """

    code = "E-MODEL"
    exit_code = EXIT_UNREACHABLE
    attempts: Sequence[ModelAttempt] = ()
    passed_over: Sequence[PassedOver] = ()
    offline: bool = False

    def __init__(self, model: str, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where or f"model {model}", why=why, remedy=remedy)
        self.model = model


class ModelUnavailable(ModelError):
    """Refused, timed out, broke off or answered nonsense; another model may do better.

    `transient`: the same request may succeed here in a moment. `local`: this machine could not even ask, such as
    without a free descriptor; that tells nothing about the model.
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
        local: bool = False,
        offline: bool = False,
    ) -> None:
        super().__init__(model, what, where=where, why=why, remedy=remedy)
        self.transient = transient
        self.local = local
        self.offline = offline


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
    less than what the request's input alone costs, `input_usd`. `ill` is why the model would not answer either.
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
        ill: str = "",
    ) -> None:
        anew = [f"it begins anew at {ends_at:%Y-%m-%d %H:%M} UTC"] if ends_at is not None else []
        what, name = "is spent", f"the {budget} budget of {money(limit_usd)}"
        if left_usd > 0:
            what = f"has {money(left_usd)} left, and the request's input alone costs {money(input_usd)}"
        super().__init__(
            model,
            f"{name} {what}",
            why="; ".join([*anew, *([f"{model} itself is out of service: {ill}"] if ill else [])]),
            remedy="raise it in budgets:, or wait" + (f"; clawd models test {model}" if ill else ""),
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
        asked = [cause for cause in causes if not isinstance(cause, BudgetSpent)]
        self.offline = bool(asked) and all(cause.offline for cause in asked)
        codes = {cause.exit_code for cause in self.causes}
        if len(codes) == 1:
            self.exit_code = codes.pop()
