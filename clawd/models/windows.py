"""How much a request may hold: the context windows of the models that may answer it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.models.context_words import said_window
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
_PLAUSIBLE: Final = 4  # a window that is smaller by more is not believed on somebody's word alone
_SMALL: Final = 8  # a request that is smaller than its window by more was refused for something else
_LEAST_WINDOW: Final = 512  # tokens; as the configuration takes them


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


def order_of(
    routes: Mapping[str, Sequence[str]], route: str, pin: str | None, *, strict: bool = False
) -> list[str]:
    """Return the names to try: the pinned one, then the route's own order; an unknown route is the default one.

    With `strict`, only the first of them.
    """
    names = routes.get(route)
    if names is None:
        names = routes[DEFAULT_ROUTE]
    order = list(dict.fromkeys([*([pin] if pin is not None else []), *names]))
    return order[:1] if strict else order


class Windows:
    """The windows of a set of models, and how far they, and estimates of requests, were found wrong.

    Args:
        models: What is known of each model, by its configured name.
        routes: Each route's models in order; `default` is always there.
    """

    def __init__(self, models: Mapping[str, ModelSize], routes: Mapping[str, Sequence[str]]) -> None:
        self._models = dict(models)
        self._routes = dict(routes)
        self._factors: dict[str, float] = {}
        self._found: dict[str, int] = {}  # windows that are smaller than was believed

    def of(self, route: str, pin: str | None, *, unknown_tokens: int, strict: bool = False) -> Window:
        """Return what a request of this route, or with this pin, may hold, whoever of its models answers.

        Args:
            route: The route's name.
            pin: A model that is tried first.
            unknown_tokens: The window of models that say nothing of theirs.
            strict: Only the first model may answer.
        """
        return self.levels(route, pin, unknown_tokens=unknown_tokens, strict=strict)[0]

    def levels(
        self, route: str, pin: str | None, *, unknown_tokens: int, strict: bool = False
    ) -> tuple[Window, ...]:
        """Return what a request may hold for all of its models, then for the larger of them alone, and so on.

        Each window but the first is meant for models of at least its `tokens`. Arguments as of `of`.
        """
        names = [n for n in order_of(self._routes, route, pin, strict=strict) if n in self._models]
        tokens = {name: self.tokens_of(name, unknown_tokens) for name in names}
        found: list[Window] = []
        for least in sorted(set(tokens.values())):
            window = self._window([name for name in names if tokens[name] >= least], tokens, least)
            if not found or window.input > found[-1].input:
                found.append(window)
        return tuple(found) or (Window(tokens=unknown_tokens, output=_output(unknown_tokens, None)),)

    def tokens_of(self, name: str, unknown_tokens: int) -> int:
        """Return the window of a model, as far as is known by now."""
        said = self._models[name].context_tokens or unknown_tokens if name in self._models else unknown_tokens
        return min(said, self._found.get(name, said))

    def _window(self, names: Sequence[str], tokens: Mapping[str, int], least: int) -> Window:
        """Return what a request may hold if any of these models may answer it, the smallest of `least` tokens."""
        room = min(tokens[name] - _output(tokens[name], self._models[name].max_tokens) for name in names)
        small = any(self._models[name].vocabulary == "small" for name in names)
        return Window(
            tokens=least,
            output=least - room,
            vocabulary="small" if small else "large",
            factor=max(self._factors.get(name, 1.0) for name in names),
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

    def found(self, model: str) -> int | None:
        """Return the window that a provider was found to have, where it is smaller than was believed."""
        return self._found.get(model)

    def too_long(self, model: str, words: str, estimated: int, *, unknown_tokens: int) -> bool:
        """Note that a provider found a request too long: its window is smaller than believed, or its count higher.

        A number is believed from a quarter of the window on, or where it is below the request; without one the
        window is halved, unless the request took less than an eighth of it: then it was refused for nothing.

        Args:
            model: The configured name of the model.
            words: What the provider said; it may name the number.
            estimated: The estimate of the request, raised by the factor of its window.
            unknown_tokens: The window of models that say nothing of theirs.

        Returns:
            Whether a shorter request may help.
        """
        believed = self.tokens_of(model, unknown_tokens)
        said = said_window(words)
        if said is not None and said * _PLAUSIBLE < believed and said >= estimated:
            said = None
        if said is None and estimated * _SMALL < believed:
            log.warning(
                "refusal_not_believed", extra={"model": model, "estimated": estimated, "believed": believed}
            )
            return False
        if estimated > believed and (said is None or said >= believed):
            return True  # it was asked for more than it is believed to hold: nothing new
        if said is not None and said >= believed:
            factor = self._factors[model] = min(_GREATEST_FACTOR, self._factors.get(model, 1.0) * 1.3)
            log.info("token_estimate_raised", extra={"model": model, "factor": round(factor, 3)})
            return True
        self._found[model] = max(_LEAST_WINDOW, believed // 2 if said is None else said)
        extra = {"model": model, "tokens": self._found[model], "believed": believed}
        log.warning("window_smaller_than_believed", extra=extra)
        return True


def _output(tokens: int, max_tokens: int | None) -> int:
    """Return what is kept free for the answer: as much as it may take, a quarter where nobody says."""
    return min(max_tokens, tokens * 3 // 4) if max_tokens is not None else tokens // 4
