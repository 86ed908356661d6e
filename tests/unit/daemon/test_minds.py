"""Which model is named as the one that answers."""

from __future__ import annotations

from typing import Literal

import pytest

from clawd.daemon.minds import would_answer
from clawd.models.info import ModelInfo
from clawd.models.states import BreakerState

State = Literal["closed", "rest", "half_open", "open"]


def info(name: str, state: State = "closed", spent: str = "") -> ModelInfo:
    """Return a model whose breaker is in this state."""
    breaker = BreakerState(state=state)
    return ModelInfo(
        name=name, type="chat", model=name, place="", found="config", routes=(), breaker=breaker, spent=spent
    )


@pytest.mark.parametrize(
    ("infos", "name"),
    [
        ([info("a"), info("b")], "a"),
        ([info("a", "open"), info("b")], "b"),
        ([info("a", "rest"), info("b")], "b"),
        ([info("a", "open"), info("b", "rest")], "b"),
        ([info("a", "open"), info("b", "open")], "a"),
        ([info("a", spent="day"), info("b")], "b"),
        ([info("b")], "b"),
        ([], None),
    ],
)
def test_the_first_model_of_the_route_that_is_in_service_would_answer(
    infos: list[ModelInfo], name: str | None
) -> None:
    assert would_answer(("a", "b"), [*infos, info("elsewhere")]) == name
