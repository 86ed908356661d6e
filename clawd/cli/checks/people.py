"""Is there somebody who is told, and somebody who may decide?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from clawd.cli.checks.reliance import relied_on
from clawd.cli.checks.site import Finding, fail, ok, warn
from clawd.cli.printing import counted
from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clawd.cli.checks.site import Site

_UNKNOWN: Final = "a running daemon knows who else was let in as an owner"


def check_owners(site: Site) -> Iterator[Finding]:
    """Where strangers ask to be let in, an owner can answer from a chat."""
    if site.loaded is None:
        return
    owners, waits = _owners(site), site.config.access.default == "pair"
    if owners:
        yield ok("owners", ", ".join(owners))
    elif site.status is None and _enabled(site):
        yield ok("owners", f"nobody in the configuration; {_UNKNOWN}")
    elif _enabled(site) and waits:
        evidence = "nobody: who asks to be let in is let in at this terminal alone"
        yield warn("owners", evidence, "clawd pair approve CODE --owner, or access: {owners: [BRIDGE:ID]}")
    else:
        yield ok("owners", "nobody but the terminal")


def _owners(site: Site) -> list[str]:
    """Return those that the configuration names, and those that a running daemon has let in as owners."""
    known = list(site.config.access.owners)
    for each in _asked(site, "/pairings", "principals"):
        if each["right"] == "owner" and each["principal"] not in known:
            known.append(each["principal"])
    return known


def _asked(site: Site, path: str, key: str) -> Sequence[Any]:
    """Return what the daemon tells; nothing where there is none, or one that does not answer: others tell that."""
    if site.status is None:
        return ()
    try:
        found: Sequence[Any] = site.client().get(path).get(key, ())
    except ClawdError:
        return ()
    return found


def check_alerts(site: Site) -> Iterator[Finding]:
    """Trouble is told to somebody, by bridges that are there."""
    if site.loaded is None:
        return
    if trouble := _asked(site, "/alerts", "trouble"):
        first = trouble[0]
        more = f"; {len(trouble) - 1} more" if len(trouble) > 1 else ""
        evidence, fix = f"{first['target']} can't be told: {first['why']}{more}", "clawd alerts test"
        if len(trouble) >= len(_asked(site, "/alerts", "targets")):
            yield fail("alerts", f"nobody can be told of trouble: {evidence}", fix)
        else:
            yield warn("alerts", evidence, fix)
        return
    targets = site.config.alerts.targets
    if not targets:
        evidence = "nobody is told of trouble"
        if told := _asked(site, "/alerts", "targets"):
            yield ok("alerts", f"told of trouble: {', '.join(told)}; clawd alerts test tries it")
        elif site.config.alerts.owners and site.config.access.owners:
            yield ok("alerts", "the owners are told of trouble in their private chats, where a bridge can")
        elif site.config.alerts.owners and site.status is None and _enabled(site):
            yield ok("alerts", f"no target in the configuration; {_UNKNOWN}")
        elif _enabled(site):
            yield warn("alerts", evidence, "alerts: {targets: [{bridge: NAME, chat: ID}]}")
        elif relied_on(site):
            yield warn("alerts", evidence, "alerts: {targets: [{url: URL}]}, or one with bridge and chat")
        else:
            yield ok("alerts", evidence)
        return
    # One that is not there at all is a mistake of the configuration.
    off = [target.bridge for target in targets if target.bridge and target.bridge not in _enabled(site)]
    if off:
        evidence = f"a target can't be told: the bridge {off[0]} is not enabled"
        yield fail("alerts", evidence, "enable it, or correct alerts.targets")
    else:
        yield ok("alerts", f"{counted(len(targets), 'target')} told of trouble; clawd alerts test tries them")


def _enabled(site: Site) -> list[str]:
    return [name for name, section in site.config.bridges.items() if section.enabled]
