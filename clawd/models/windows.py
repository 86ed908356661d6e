"""How much a request may hold: the context windows of the models that may answer it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.models.tokens import TokenCounter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.models.tokens import VocabularySize

log = logging.getLogger(__name__)

DEFAULT_ROUTE: Final = "default"
SUMMARY_ROUTE: Final = "summary"

_LEARN_FROM: Final = (
    500  # tokens; below, what a provider adds to every request would look like a wrong estimate
)
_GREATEST_FACTOR: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What is known of one model; None where nothing is."""

    context_tokens: int | None = None
    max_tokens: int | None = None  # of one answer
    vocabulary: VocabularySize = "large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a request may hold, whoever of its models answers it. All in tokens."""

    tokens: int
    output: int  # kept free for the answer
    vocabulary: VocabularySize = "large"
    factor: float = 1.0  # that estimates have to be raised by

    @property
    def input(self) -> int:
        """What messages and tools may take together."""
        return self.tokens - self.output

    def counter(self) -> TokenCounter:
        """Return a new counter for requests to these models."""
        return TokenCounter(self.vocabulary, self.factor)


def order_of(routes: Mapping[str, Sequence[str]], route: str, pin: str | None) -> list[str]:
    """Return the names to try: the pinned one, then the route's own order; an unknown route is the default one."""
    names = routes.get(route)
    if names is None:
        names = routes[DEFAULT_ROUTE]
    return list(dict.fromkeys([*([pin] if pin is not None else []), *names]))


class Windows:
    """The windows of a set of models, and how far their estimates were found too low.

    Args:
        models: What is known of each model, by its configured name.
        routes: Each route's models in order; `default` is always there.
    """

    def __init__(self, models: Mapping[str, ModelSize], routes: Mapping[str, Sequence[str]]) -> None:
        self._models = dict(models)
        self._routes = dict(routes)
        self._factors: dict[str, float] = {}

    def of(self, route: str, pin: str | None, *, unknown_tokens: int) -> Window:
        """Return what a request of this route, or with this pin, may hold.

        Args:
            route: The route's name.
            pin: A model that is tried first.
            unknown_tokens: The window of models that say nothing of theirs.
        """
        names = [name for name in order_of(self._routes, route, pin) if name in self._models]
        sizes = [self._models[name] for name in names] or [ModelSize()]
        windows = [(size.context_tokens or unknown_tokens, size.max_tokens) for size in sizes]
        inputs = [tokens - _output(tokens, max_tokens) for tokens, max_tokens in windows]
        smallest = min(range(len(inputs)), key=inputs.__getitem__)
        tokens = windows[smallest][0]
        return Window(
            tokens=tokens,
            output=tokens - inputs[smallest],
            vocabulary="small" if any(size.vocabulary == "small" for size in sizes) else "large",
            factor=max((self._factors.get(name, 1.0) for name in names), default=1.0),
        )

    def has_route(self, route: str) -> bool:
        """Whether this route is configured."""
        return route in self._routes

    def learn(self, model: str, estimated: int, counted: int | None) -> None:
        """Note what a provider counted of a request, so that later estimates are not below it.

        Args:
            model: The configured name of the model that answered.
            estimated: The estimate of the request, raised by the factor of its window.
            counted: The provider's own count; None where it gave none.
        """
        if counted is None or estimated < _LEARN_FROM or counted <= estimated:
            return
        old = self._factors.get(model, 1.0)
        new = min(_GREATEST_FACTOR, old * counted / estimated * 1.02)
        if new > old:
            self._factors[model] = new
            log.info("token_estimate_raised", extra={"model": model, "factor": round(new, 3)})


def _output(tokens: int, max_tokens: int | None) -> int:
    """Return what is kept free for the answer: as much as it may take, a quarter where nobody says."""
    return min(max_tokens, tokens * 3 // 4) if max_tokens is not None else tokens // 4
