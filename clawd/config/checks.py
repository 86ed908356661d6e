"""What must hold between the parts of a configuration, and what is worth a word."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from clawd.config.nodes import Entries, KeyPath, place_of
from clawd.config.problems import did_you_mean
from clawd.config.route_checks import check_routes, notes_on_routes, notes_on_time_outs
from clawd.messages import PULL_BRIDGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clawd.config.nodes import PlainValue
    from clawd.config.problems import Problems
    from clawd.config.schema import Config

_FREE: Final = ("local", "demo")  # types of models that run here


def check_whole(
    config: Config,
    data: Mapping[str, PlainValue],
    root: Entries,
    problems: Problems,
    *,
    called: Sequence[str] = (),
) -> None:
    """Note what contradicts itself: in `config` what is valid, in `data` all as it is written.

    `called` names the enabled bridges that wait for calls at the gateway.
    """
    check_routes(data, root, problems)
    for name in config.bridges:
        if name in PULL_BRIDGES:  # its senders would pass for local users or for holders of a token
            path: KeyPath = ("bridges", name)
            message = f"the name {name!r} belongs to clawd itself"
            problems.add(place_of(root, path), path, message, remedy="give the bridge another name")
    gateway = config.gateway
    if gateway.port is False and called:
        path = ("gateway", "port")
        if _says_port(data):
            off, port = "the gateway is off", "a port"
        else:
            off, port = f"profile {config.profile} leaves the gateway off", "gateway.port"
        message = f"{off}, and there the platform calls {_bridges(called)}: nothing would ever arrive"
        remedy = f"set {port} such as 8080, or enabled: false in bridges.{called[0]}"
        problems.add(place_of(root, path), path, message, remedy=remedy)
    if gateway.port is not False and not gateway.tokens and not is_loopback(gateway.host):
        path = ("gateway", "host")
        message = f"{gateway.host} can be reached from other hosts, and gateway.tokens is empty"
        problems.add(
            place_of(root, path), path, message, remedy="add a token to gateway.tokens, or use 127.0.0.1"
        )
    _check_targets(config, root, problems)
    seen: set[str] = set()
    for index, token in enumerate(gateway.tokens):
        path = ("gateway", "tokens", index, "name")
        if token.name in seen:
            problems.add(place_of(root, path), path, f"the name {token.name!r} is taken by another token")
        seen.add(token.name)
        if token.conversations and "admin" in token.scopes:
            path = ("gateway", "tokens", index, "conversations")
            message = "the scope admin sees every conversation"
            problems.add(place_of(root, path), path, message, remedy="use the scopes chat and read")
    for index, app in enumerate(gateway.apps):
        path = ("gateway", "apps", index, "app_id")
        if app.app_id in seen or app.app_id == "default":  # the generated token's name
            message = f"the name {app.app_id!r} is taken by a token or another app"
            problems.add(place_of(root, path), path, message, remedy="their conversations would be the same")
        seen.add(app.app_id)


def _check_targets(config: Config, root: Entries, problems: Problems) -> None:
    """Note targets of alerts at bridges that there are not: they would never hear of anything."""
    for index, target in enumerate(config.alerts.targets):
        path: KeyPath = ("alerts", "targets", index, "bridge")
        if (
            target.bridge is None
            or target.bridge in config.bridges
            or problems.touch(("bridges", target.bridge))
        ):
            continue
        message = f"there is no bridge named {target.bridge}{did_you_mean(target.bridge, config.bridges)}"
        known = ", ".join(config.bridges) or "none"
        problems.add(place_of(root, path), path, message, remedy=f"known: {known}")


def notes_on(config: Config, root: Entries) -> Iterator[str]:
    """Yield what is allowed but does not do what its writer may expect."""
    yield from _without_gateway(config, root)
    yield from notes_on_routes(config, root)
    yield from notes_on_time_outs(config, root)
    yield from _unpriced(config, root)
    for index, owner in enumerate(config.access.owners):
        bridge = owner.partition(":")[0]
        if bridge not in config.bridges and bridge not in PULL_BRIDGES:
            mark = place_of(root, ("access", "owners", index))
            yield f"{mark}: the owner {owner} belongs to no configured bridge{did_you_mean(bridge, config.bridges)}"


def _says_port(data: Mapping[str, PlainValue]) -> bool:
    gateway = data.get("gateway")
    return isinstance(gateway, dict) and "port" in gateway


def _without_gateway(config: Config, root: Entries) -> Iterator[str]:
    """Say so where the gateway is set up and a profile, not its owner, has left it off."""
    node, mark = root, root.mark
    if (entry := root.entries.get("gateway")) is not None and isinstance(entry.node, Entries):
        node, mark = entry.node, entry.mark
    if config.gateway.port is not False or node is root or not node.entries or "port" in node.entries:
        return
    keys = ", ".join(sorted(node.entries))
    yield f"{mark}: profile {config.profile} leaves the gateway off ({keys}: no effect); set gateway.port to have it"


def _unpriced(config: Config, root: Entries) -> Iterator[str]:
    """Where a limit on money is set, name the models whose cost nobody knows."""
    budgets = config.budgets
    limits = (budgets.day_usd, budgets.month_usd, budgets.user_day_usd, budgets.conversation_day_usd)
    limited = any(limit is not None for limit in limits)
    for index, model in enumerate(config.models):
        if model.price is None and model.type not in _FREE and (limited or model.day_usd is not None):
            mark = place_of(root, ("models", index, "name"))
            yield f"{mark}: a budget is set, but model {model.name} has no price: what it costs is not counted"


def _bridges(names: Sequence[str]) -> str:
    return f"the bridge{'s' if len(names) > 1 else ''} {', '.join(names)}"


def is_loopback(host: str) -> bool:
    """Whether only this host can reach a server bound to `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
