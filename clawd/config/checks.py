"""What must hold between the parts of a configuration, and what is worth a word."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from clawd.config.nodes import Entries, KeyPath, Mark, Scalar, find
from clawd.config.problems import did_you_mean
from clawd.messages import PULL_BRIDGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.config.problems import Problems
    from clawd.config.schema import Config

_FREE: Final = ("local", "demo")  # types of models that run here
_NO_EFFECT: Final[tuple[KeyPath, ...]] = (("alerts",), ("journal", "dedup_days"))


def check_whole(config: Config, root: Entries, problems: Problems) -> None:
    """Note what contradicts itself."""
    # Without a list, models are found at start and their names are not known here; nor are those of broken ones.
    names = [] if problems.touch(("models",)) else [model.name for model in config.models]
    for route, choice in config.routes.items():
        for index, name in enumerate(choice.models):
            if names and name not in names:
                path: KeyPath = ("routes", route, "models", index)
                message = f"there is no model named {name!r}{did_you_mean(name, names)}"
                problems.add(_place(root, path), path, message, remedy=f"known: {', '.join(names)}")
    for name in config.bridges:
        if name in PULL_BRIDGES:  # its senders would pass for local users or for holders of a token
            path = ("bridges", name)
            message = f"the name {name!r} belongs to clawd itself"
            problems.add(_place(root, path), path, message, remedy="give the bridge another name")
    gateway = config.gateway
    if gateway.port is not False and not gateway.tokens and not is_loopback(gateway.host):
        path = ("gateway", "host")
        message = f"{gateway.host} can be reached from other hosts, and gateway.tokens is empty"
        problems.add(
            _place(root, path), path, message, remedy="add a token to gateway.tokens, or use 127.0.0.1"
        )
    seen: set[str] = set()
    for index, token in enumerate(gateway.tokens):
        path = ("gateway", "tokens", index, "name")
        if token.name in seen:
            problems.add(_place(root, path), path, f"the name {token.name!r} is taken by another token")
        seen.add(token.name)
    for index, app in enumerate(gateway.apps):
        path = ("gateway", "apps", index, "app_id")
        if app.app_id in seen or app.app_id == "default":  # the generated token's name
            message = f"the name {app.app_id!r} is taken by a token or another app"
            problems.add(_place(root, path), path, message, remedy="their conversations would be the same")
        seen.add(app.app_id)


def notes_on(config: Config, root: Entries) -> Iterator[str]:
    """Yield what is allowed but does not do what its writer may expect."""
    for path in _NO_EFFECT:
        reached, _, mark = find(root, path)
        if reached == path:
            yield f"{mark}: {'.'.join(map(str, path))} is accepted but has no effect in this version"
    yield from _unpriced(config, root)
    for index, owner in enumerate(config.access.owners):
        bridge = owner.partition(":")[0]
        if bridge not in config.bridges:
            mark = _place(root, ("access", "owners", index))
            yield f"{mark}: the owner {owner} belongs to no configured bridge{did_you_mean(bridge, config.bridges)}"


def _unpriced(config: Config, root: Entries) -> Iterator[str]:
    """Where a limit on money is set, name the models whose cost nobody knows."""
    budgets = config.budgets
    limits = (budgets.day_usd, budgets.month_usd, budgets.user_day_usd, budgets.conversation_day_usd)
    limited = any(limit is not None for limit in limits)
    for index, model in enumerate(config.models):
        if model.price is None and model.type not in _FREE and (limited or model.day_usd is not None):
            mark = _place(root, ("models", index, "name"))
            yield f"{mark}: a budget is set, but model {model.name} has no price: what it costs is not counted"


def is_loopback(host: str) -> bool:
    """Whether only this host can reach a server bound to `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _place(root: Entries, path: KeyPath) -> Mark:
    _, node, mark = find(root, path)
    return node.mark if isinstance(node, Scalar) else mark
