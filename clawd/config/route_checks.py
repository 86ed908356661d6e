"""What must hold between routes, models and bridges, and what of it does not do what its writer may expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from clawd.config.nodes import Entries, KeyPath, Mark, find, place_of
from clawd.config.problems import did_you_mean
from clawd.config.values import MISSING
from clawd.messages import COMMAND_NAMES, PULL_BRIDGES

if TYPE_CHECKING:
    from clawd.config.nodes import PlainValue
    from clawd.config.problems import Problems
    from clawd.config.schema import Config, RouteRule


def check_routes(data: Mapping[str, PlainValue], root: Entries, problems: Problems) -> None:
    """Note which routes name a model that there is not, also beside other mistakes in both.

    Args:
        data: The whole configuration as it is written.
        root: Its tree.
        problems: Takes the mistakes.
    """
    names, routes = _model_names(data.get("models")), data.get("routes")
    if not names or not isinstance(routes, dict):
        return
    for route, choice in routes.items():
        models = choice.get("models") if isinstance(choice, dict) else None
        for index, name in enumerate(models if isinstance(models, list) else ()):
            path: KeyPath = ("routes", route, "models", index)
            if isinstance(name, str) and name not in names and not problems.concerns(path):
                message = f"there is no model named {str(name)!r}{did_you_mean(name, names)}"
                problems.add(place_of(root, path), path, message, remedy=f"known: {', '.join(names)}")


def _model_names(models: PlainValue) -> list[str]:
    """Return the names of all entries, those with mistakes among them; none where one of them is not known.

    Without a list, models are found at start, and their names are not known here.
    """
    found: list[str] = []
    for entry in models if isinstance(models, list) else ():
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name == MISSING:
            return []
        found.append(str(name))
    return list(dict.fromkeys(found))


def notes_on_routes(config: Config, root: Entries) -> Iterator[str]:
    """Yield what is allowed in routes and never happens, and what happens otherwise than it reads."""
    models = {model.name for model in config.models}
    taken: dict[str, tuple[str, Mark]] = {}
    for name, route in config.routes.items():
        if name in models:
            mark = find(root, ("routes", name))[2]
            yield f"{mark}: a model is named {name} too, and /model {name} means the model; rename one of them"
        for index, rule in enumerate(route.rules):
            path: KeyPath = ("routes", name, "rules", index)
            yield from _bridges_unknown(config, rule, root, path)
            if rule.prefix is None:
                continue
            mark = place_of(root, (*path, "prefix"))
            if _is_command(rule.prefix):
                yield (
                    f"{mark}: {rule.prefix} is a command, so no message takes the route {name} by it; "
                    "choose another prefix"
                )
            if first := taken.get(rule.prefix.lower()):
                yield f"{mark}: messages with {rule.prefix} take the route {first[0]}, by the rule at {first[1]}"
            elif rule == type(rule)(prefix=rule.prefix):  # other conditions leave some to later rules
                taken[rule.prefix.lower()] = name, mark


def notes_on_time_outs(config: Config, root: Entries) -> Iterator[str]:
    """Yield where a model would be given up before it is late, so that no standby is ever asked beside it."""
    general = config.breaker
    waits: list[tuple[KeyPath, float, float]] = [
        (("breaker",), general.first_token_s, general.first_token_timeout_s)
    ]
    for index, model in enumerate(config.models):
        most = getattr(model, "first_token_timeout_s", None)  # not every type has it
        late_s = model.first_token_s or general.first_token_s
        waits.append((("models", index), late_s, most or general.first_token_timeout_s))
    for path, late_s, most_s in waits:
        for key in ("first_token_s", "first_token_timeout_s"):
            reached, _, mark = find(root, (*path, key))
            if late_s > most_s and reached == (*path, key):
                yield (
                    f"{mark}: first_token_s ({late_s:g}) is above first_token_timeout_s ({most_s:g}): "
                    "no standby is asked in time; lower first_token_s"
                )
                break


def _bridges_unknown(config: Config, rule: RouteRule, root: Entries, path: KeyPath) -> Iterator[str]:
    known = {*config.bridges, *PULL_BRIDGES}
    users = ((user.partition(":")[0], "user", index) for index, user in enumerate(rule.user))
    for bridge, key, index in (*((name, "bridge", index) for index, name in enumerate(rule.bridge)), *users):
        if bridge not in known:
            mark = place_of(root, (*path, key, index))
            hint = did_you_mean(bridge, known) or f"; known: {', '.join(sorted(known))}"
            yield f"{mark}: this never holds, as there is no bridge named {bridge}{hint}"


def _is_command(prefix: str) -> bool:
    word = prefix.strip().partition(" ")[0]
    return word.startswith("/") and word[1:].partition("@")[0].lower() in COMMAND_NAMES
